//! Test kit: an OCI registry and a Sigstore that live in the test process and speak the real protocols.
#![forbid(unsafe_code)]

pub mod chart;
pub mod registry;
pub mod sigstore;
