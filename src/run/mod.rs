//! The straight paths: `sign` and `verify`, from what the user typed to a [`Report`].
//!
//! Every command calls these. No step calls back, and nothing here knows the command line or prints.

mod detach;
mod doctor;
mod findings;
mod formats;
mod packaged;
mod provenance;
mod push;
mod rekor;
mod rekor_search;
mod repair;
mod report;
mod resolve;
mod rules;
mod sign;
mod sign_file;
mod skip;
mod tree;
mod trust;
mod verify;
mod world;

pub use detach::{DetachRun, Detachment, State, Target};
pub use doctor::{Diagnosis, DoctorRun, Known, ListingReport};
pub use findings::{Formats, Limits, LogSearch, Scope};
pub use formats::Making;
pub use provenance::{DefaultKeyring, ProvCheck, ProvKeys, load_keyring, read_keyring};
pub use push::{PushObject, PushRun};
pub use rekor::{LoggedProvenance, ReadyProvenance, RekorAccess, RekorRun, Uploaded};
pub use rekor_search::{Found, FoundEntry, Sought};
pub use repair::{Mended, Supplied, words as fault_words};
pub use report::{
    Attached, Chart, Format, HelmEntryReport, LogReport, LookedIn, Outcome, Place, PolicyReport,
    ProvenanceReport, Report, SCHEMA, SignatureReport, SignerReport, Status, SubjectReport, Tool,
    TrustReport, Verdict,
};
pub use resolve::ChartName;
pub use rules::{Means, PolicySource, Rules};
pub use sign::{Attestation, SignObject, SignRun};
pub use skip::SkipIfSigned;
pub use tree::{Attachment, Claimed, Tree, TreePlace, TreeRun};
pub use trust::{Trust, Trusted};
pub use verify::{VerifyObject, VerifyRun, VerifySource};
pub use world::{Progress, World};
