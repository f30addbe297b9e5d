//! Those who verify charts besides us: what they are to be told, and what they accept.
//!
//! Pure: facts in, text out.

mod diagnosis;
mod export;
mod facts;
mod go_pattern;
mod private_trust;
mod reader;
mod told;

pub use diagnosis::{Acceptance, Opinion, diagnose};
pub use export::{Consumer, Export, PrivateTrust, Trusted, Tuf, export};
pub use facts::{Facts, Form, Log, SignatureFacts, Spot};
pub use reader::Reader;
