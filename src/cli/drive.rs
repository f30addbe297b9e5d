//! Drives the work of a command to its end, or to the end of its time, and tells a terminal what takes
//! long.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::Context;
use crate::error::{Error, Reason, Result};
use crate::run::Outcome;

/// How long something may take before a terminal is told what is going on.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

/// One runtime and one deadline for a whole command.
pub(super) struct Driver {
    started: Instant,
    progress: bool,
    runtime: Option<Runtime>,
}

impl Driver {
    /// Starts the clock of `--timeout`. `progress` says whether anybody reads what is going on.
    pub(super) fn new(progress: bool) -> Self {
        Self { started: Instant::now(), progress, runtime: None }
    }

    /// Does not count `pause` against the time-out: a person was asked.
    pub(super) fn forgive(&mut self, pause: Duration) {
        self.started += pause;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A name lookup or a file that hangs in its thread must not hold the process beyond its time.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Drives `work` to its end or to the time-out, which counts from the start of the command.
///
/// # Errors
/// Undecided, when the time is over.
pub(super) fn drive<T>(
    context: &mut Context<'_, '_>,
    timeout: Duration,
    work: impl Future<Output = T>,
) -> Result<T> {
    let Driver { started, progress, runtime } = &mut context.driver;
    let (deadline, progress) = (*started + timeout, *progress);
    let runtime = match runtime {
        Some(runtime) => runtime,
        None => runtime.insert(
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::undecided(Reason::Unreachable, error.to_string()))?,
        ),
    };
    let world = context.world.clone();
    let printer = &mut *context.printer;
    runtime.block_on(async move {
        let mut work = std::pin::pin!(work);
        let mut next = Instant::now() + PROGRESS_AFTER;
        let mut shown = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut work => break Ok(ended),
                () = tokio::time::sleep_until(deadline) => {
                    let step = world.step();
                    let when = if step.is_empty() { "" } else { " while " };
                    let seconds = timeout.as_secs_f64();
                    let cause = format!("timed out after {seconds} s{when}{step} (--timeout)");
                    break Err(Error::undecided(Reason::LimitReached, cause));
                }
                () = tokio::time::sleep_until(next), if progress => {
                    printer.progress(&world.step());
                    shown = true;
                    next += PROGRESS_AFTER;
                }
            }
        };
        if shown {
            printer.progress("");
        }
        ended
    })
}

/// An object of a command: what the user typed, and what became of it.
pub(super) type Object<T> = (String, Result<T>);

/// The outcomes of a command that none of its objects can be worked on with; then nobody has to be trusted
/// or asked first to say so. `blank` is an outcome that knows nothing yet.
pub(super) fn none_usable<T>(
    objects: &[Object<T>],
    blank: impl Fn(&str) -> Outcome,
) -> Option<Vec<Outcome>> {
    objects
        .iter()
        .map(|(typed, object)| Some(blank(typed).failed(object.as_ref().err()?.clone())))
        .collect()
}

/// Runs `work` on one object after the other. Every object has an outcome: one that cannot be worked on
/// fails by itself, and what the time-out leaves undone is undecided. `blank` is an outcome that knows
/// nothing yet.
pub(super) fn each<T>(
    context: &mut Context<'_, '_>,
    timeout: Duration,
    objects: &[Object<T>],
    blank: impl Fn(&str, Option<&T>) -> Outcome,
    work: impl AsyncFn(&T) -> Outcome,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(objects.len());
    let done = drive(context, timeout, async {
        for (typed, object) in objects {
            outcomes.push(match object {
                Ok(object) => work(object).await,
                Err(error) => blank(typed, None).failed(error.clone()),
            });
        }
    });
    if let Err(error) = done {
        let left = objects.get(outcomes.len()..).unwrap_or_default();
        outcomes.extend(left.iter().map(|(typed, object)| match object {
            Ok(object) => blank(typed, Some(object)).failed(error.clone()),
            Err(error) => blank(typed, None).failed(error.clone()),
        }));
    }
    outcomes
}
