//! What a user can see, behaviour by behaviour, against an in-process registry and Sigstore.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed arrangement ends the test

mod support;

mod attack_bundle;
mod attack_chart_yaml;
mod attack_files;
mod attack_limits;
mod attack_sign;
mod attack_words;
mod cli_arguments;
mod cli_json;
mod cli_question;
mod cli_snapshots;
mod cli_streams;
mod cli_support;
mod identity_ambient;
mod identity_forges;
mod identity_kinds;
mod identity_lists;
mod identity_threshold;
mod registry_auth;
mod registry_credentials;
mod registry_tls;
mod registry_trouble;
mod sign_attach;
mod sign_chart;
mod sign_fallback;
mod sign_objects;
mod sign_order;
mod sign_rekor;
mod sign_support;
mod sign_token;
mod sign_written;
mod story;
mod trust_attacks;
mod trust_instance;
mod trust_support;
mod verify_charts;
mod verify_clock;
mod verify_coverage;
mod verify_craft;
mod verify_evidence;
mod verify_files;
mod verify_hand;
mod verify_identity;
mod verify_limits;
mod verify_meaning;
mod verify_mutation;
mod verify_places;
mod verify_precedence;
mod verify_reference;
mod verify_trust;
