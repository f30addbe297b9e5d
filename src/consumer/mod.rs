//! Those who verify charts besides us: what they are to be told, and what they accept.
//!
//! Pure: facts in, text out.

mod export;
mod private_trust;

pub use export::{Consumer, Export, PrivateTrust, Trusted, Tuf, export};
