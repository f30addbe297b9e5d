//! What a user can see, behaviour by behaviour, against an in-process registry and Sigstore.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed arrangement ends the test

mod support;

mod story;
mod verify_coverage;
mod verify_craft;
mod verify_identity;
mod verify_limits;
mod verify_meaning;
mod verify_places;
mod verify_precedence;
mod verify_reference;
