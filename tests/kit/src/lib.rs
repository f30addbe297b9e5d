//! Test kit: an OCI registry, a Sigstore and a TUF repository that live in the test process and speak the real protocols.
#![forbid(unsafe_code)]

pub mod chart;
pub mod registry;
pub mod sigstore;
pub mod tuf;
