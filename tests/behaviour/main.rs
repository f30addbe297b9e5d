//! What a user can see, behaviour by behaviour, against an in-process registry and Sigstore.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed arrangement ends the test

mod support;

mod story;
mod sign_chart;
mod sign_objects;
mod sign_support;
mod sign_token;
mod sign_order;
mod sign_rekor;
mod sign_attach;
mod sign_fallback;
mod sign_written;
