//! Those who verify charts besides us: what they are to be told, and what they accept; and those who do not.
//!
//! Pure: facts in, text out.

mod bystander;
mod diagnosis;
mod export;
mod facts;
mod go_pattern;
mod private_trust;
mod reader;
mod told;

pub use bystander::Bystander;
pub use diagnosis::{Acceptance, Opinion, diagnose};
pub use export::{Consumer, Export, PrivateTrust, Trusted, Tuf, export};
pub use facts::{Facts, Form, Log, SignatureFacts, Spot, is_bundle};
pub use reader::Reader;
