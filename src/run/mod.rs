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

use std::path::Path;

use crate::error::{Error, Reason, Result};

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

/// The largest file that is read where the time is kept: that takes milliseconds, a thread of its own takes as many.
const MAX_AT_ONCE: u64 = 4 << 20;

/// Reads `files`: at once where each is an ordinary and small one, or none, else away from the thread that keeps
/// the time.
async fn reading<T: Send + 'static>(
    files: &[&Path],
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    // What has no size may be of the kind that waits for somebody to write.
    let at_once = files.iter().all(|file| match std::fs::metadata(file) {
        Ok(file) => file.is_file() && (1..=MAX_AT_ONCE).contains(&file.len()),
        Err(_) => true,
    });
    if at_once { work() } else { off_thread(work).await }
}

/// Reads files away from the thread that keeps the time: a pipe that nobody writes to must not outlast the
/// time-out.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::undecided(Reason::LimitReached, "reading a file was given up")),
        },
    }
}
