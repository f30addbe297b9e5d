//! Test kit: an OCI registry, a Sigstore and a TUF repository that live in the test process and speak the real protocols.
#![forbid(unsafe_code)]

pub mod chart;
#[cfg(unix)]
pub mod program;
pub mod proxy;
pub mod registry;
pub mod sigstore;
pub mod tuf;
pub mod tunnel;
