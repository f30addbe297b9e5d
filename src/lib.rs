//! Sign and verify Helm charts in OCI registries with Sigstore.
#![forbid(unsafe_code)]

pub mod chart;
pub mod cli;
pub mod error;
pub mod net;
pub mod registry;
pub mod run;
pub mod sign;
pub mod store;
pub mod trust;
pub mod verify;

pub use error::{Class, Error, Reason};
