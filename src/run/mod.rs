//! The straight paths: `sign` and `verify`, from what the user typed to a [`Report`].
//!
//! Every command calls these. No step calls back, and nothing here knows the command line or prints.

mod findings;
mod report;
mod resolve;
mod sign;
mod verify;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use jiff::Timestamp;

use crate::error::{Error, Reason, Result};

pub use findings::Limits;
pub use report::{
    Attached, Chart, Format, LogReport, LookedIn, Outcome, Place, PolicyReport, Report, SCHEMA,
    SignatureReport, SignerReport, Status, SubjectReport, Tool, TrustReport, Verdict,
};
pub use resolve::ChartName;
pub use sign::{Aftermath, SignObject, SignRun};
pub use verify::{VerifyObject, VerifyRun, VerifySource};

/// What a run tells while it works, and what it needs of the outside world.
#[derive(Clone, Debug)]
pub struct World {
    clock: fn() -> Timestamp,
    step: Rc<RefCell<String>>,
    warnings: Rc<RefCell<Vec<String>>>,
    waited: Rc<Cell<bool>>,
}

impl World {
    /// A world with this clock.
    pub fn new(clock: fn() -> Timestamp) -> Self {
        Self { clock, step: Rc::default(), warnings: Rc::default(), waited: Rc::default() }
    }

    /// What is being done right now, for a progress line.
    pub fn step(&self) -> String {
        self.step.borrow().clone()
    }

    /// What the user should know although nothing failed.
    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whether the one wait for our clock that a run may have is still to be had; it is taken with this.
    fn may_wait(&self) -> bool {
        !self.waited.replace(true)
    }

    /// Says what is being done from now on, as in `resolving oci://…`.
    pub fn enter(&self, step: impl Into<String>) {
        *self.step.borrow_mut() = step.into();
    }

    /// Adds a warning.
    pub fn warn(&self, warning: impl Into<String>) {
        self.warnings.borrow_mut().push(warning.into());
    }
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
