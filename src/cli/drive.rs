//! Drives the work of a command to its end, or to the end of its time, and tells a terminal what takes
//! long.

use std::cell::RefCell;
use std::future::poll_fn;
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::Context;
use crate::error::{Error, Reason, Result};
use crate::files::reading_for;
use crate::run::{Outcome, Progress, World};

/// How long something may take before a terminal is told what is going on.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

/// The time of a command that has no `--timeout`, and that of the others where none is named.
const USUAL_TIMEOUT: Duration = Duration::from_secs(180);

/// Objects that are worked on side by side: the connections that a registry gets.
const AT_WORK: usize = 8;
/// Objects that are begun and not ended at most, those included that only wait.
const OPEN: usize = 64;

/// One runtime and one deadline for a whole command.
pub(super) struct Driver {
    started: Instant,
    /// How long files may take that are read before anything is driven.
    timeout: Duration,
    progress: bool,
    /// Whether nothing of the command goes over a network.
    local: bool,
    runtime: Option<Runtime>,
}

impl Driver {
    /// Starts the clock of `--timeout`. `progress` says whether anybody reads what is going on.
    pub(super) fn new(progress: bool) -> Self {
        Self {
            started: Instant::now(),
            timeout: USUAL_TIMEOUT,
            progress,
            local: false,
            runtime: None,
        }
    }

    /// Says how long the command may take.
    pub(super) fn end_after(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Opens no socket, and cannot: before anything is driven.
    pub(super) fn stay_local(&mut self) {
        self.local = true;
    }

    /// A runtime for what is driven.
    fn start(&self) -> Result<Runtime> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        match self.local {
            true => builder.enable_time(),
            false => builder.enable_all(),
        };
        builder.build().map_err(|error| Error::undecided(Reason::Unreachable, error.to_string()))
    }

    /// Does `work`, which reads `file`, before anything is driven: a pipe may never end.
    ///
    /// # Errors
    /// Those of `work`; undecided, when the time of the command is over.
    pub(super) fn reading<T: Send + 'static>(
        &self,
        file: &Path,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let left = (self.started + self.timeout).saturating_duration_since(Instant::now());
        reading_for(left, file, work)
            .unwrap_or_else(|| Err(timed_out(self.timeout, &format!("reading {}", file.display()))))
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
    match drive_in_time(context, timeout, work)? {
        Some(ended) => Ok(ended),
        None => Err(timed_out(timeout, &context.world.step())),
    }
}

fn timed_out(timeout: Duration, step: &str) -> Error {
    let when = if step.is_empty() { "" } else { " while " };
    let seconds = timeout.as_secs_f64();
    let cause = format!("timed out after {seconds} s{when}{step} (--timeout)");
    Error::undecided(Reason::LimitReached, cause)
}

/// The same; nothing when the time is over.
fn drive_in_time<T>(
    context: &mut Context<'_, '_>,
    timeout: Duration,
    work: impl Future<Output = T>,
) -> Result<Option<T>> {
    let driver = &mut context.driver;
    let (deadline, progress) = (driver.started + timeout, driver.progress);
    let runtime = match driver.runtime.take() {
        Some(runtime) => runtime,
        None => driver.start()?,
    };
    let runtime = &*driver.runtime.insert(runtime);
    let (world, journal) = (context.world.clone(), context.journal.clone());
    let printer = &mut *context.printer;
    Ok(runtime.block_on(async move {
        let mut work = std::pin::pin!(work);
        let mut next = Instant::now() + PROGRESS_AFTER;
        let mut shown = false;
        let ended = loop {
            // What the work says to a person is told at once: it may be waiting for that person.
            let step = poll_fn(|task| {
                let polled = work.as_mut().poll(task);
                journal.take_lines().iter().for_each(|line| printer.debug(line));
                match polled {
                    Poll::Ready(ended) => Poll::Ready(Some(ended)),
                    Poll::Pending if world.has_said() => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            tokio::select! {
                biased;
                ended = step => {
                    let said = world.take_said();
                    if shown && !said.is_empty() {
                        printer.progress("");
                        shown = false;
                    }
                    for text in said {
                        printer.note(&text);
                    }
                    if ended.is_some() {
                        break ended;
                    }
                }
                () = tokio::time::sleep_until(deadline) => break None,
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
    }))
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

/// How far an object has come.
#[allow(clippy::large_enum_variant)] // nearly all of them hold an outcome in the end
enum Slot {
    Untouched,
    Begun(Progress),
    Ended(Outcome),
}

/// The objects of a command while they are worked on, in the order of the arguments.
struct Slots(RefCell<Vec<Slot>>);

impl Slots {
    fn set(&self, at: usize, slot: Slot) {
        if let Some(place) = self.0.borrow_mut().get_mut(at) {
            *place = slot;
        }
    }
}

/// Runs `work` on the objects, [`AT_WORK`] of them side by side. Every object has an outcome, in the order
/// of the objects: one that cannot be worked on fails by itself, and what the time-out leaves undone is
/// undecided. `blank` is an outcome that knows nothing yet.
///
/// Work that has nothing left to do but to wait and look again says so ([`crate::run::World::settle`]) and
/// makes room for the next object. Of an object that ended only its outcome is kept.
pub(super) fn each<T>(
    context: &mut Context<'_, '_>,
    timeout: Duration,
    objects: &[Object<T>],
    blank: impl Fn(&str, Option<&T>) -> Outcome,
    work: impl AsyncFn(&T) -> Outcome,
) -> Vec<Outcome> {
    let world = context.world.clone();
    let slots = Slots(RefCell::new(objects.iter().map(|_| Slot::Untouched).collect()));
    let done = drive_in_time(context, timeout, async {
        let mut left = objects
            .iter()
            .enumerate()
            .filter_map(|(at, (_, object))| object.as_ref().ok().map(|object| (at, object)));
        let mut open: Vec<(usize, Progress)> = Vec::with_capacity(OPEN);
        let mut running = FuturesUnordered::new();
        let mut ended = objects.iter().filter(|(_, object)| object.is_err()).count();
        world.count(ended, objects.len());
        poll_fn(|task| {
            loop {
                while open.len() < OPEN
                    && open.iter().filter(|(_, progress)| !progress.is_settling()).count() < AT_WORK
                    && let Some((at, object)) = left.next()
                {
                    let progress = Progress::default();
                    slots.set(at, Slot::Begun(progress.clone()));
                    open.push((at, progress.clone()));
                    running.push(one(&world, progress, at, work(object)));
                }
                let settling = |open: &[(usize, Progress)]| {
                    open.iter().filter(|(_, progress)| progress.is_settling()).count()
                };
                let before = settling(&open);
                match running.poll_next_unpin(task) {
                    Poll::Ready(Some((at, outcome))) => {
                        slots.set(at, Slot::Ended(outcome.settled()));
                        ended += 1;
                        world.count(ended, objects.len());
                        open.retain(|(other, _)| *other != at);
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    // There may be room now.
                    Poll::Pending if settling(&open) > before => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    });
    let cut_off = |progress: &Progress| match &done {
        Err(error) => error.clone(),
        Ok(_) => timed_out(timeout, &progress.step()),
    };
    let failed = |(typed, object): &Object<T>, progress: &Progress| match object {
        Ok(object) => {
            world.within(progress, || blank(typed, Some(object))).failed(cut_off(progress))
        }
        Err(error) => blank(typed, None).failed(error.clone()),
    };
    let mut objects = objects.iter();
    // In this form the outcomes stay where they are.
    let ended = slots.0.into_inner().into_iter().filter_map(|slot| {
        let object = objects.next()?;
        Some(match slot {
            Slot::Ended(outcome) => outcome,
            Slot::Begun(progress) => failed(object, &progress),
            Slot::Untouched => failed(object, &Progress::default()),
        })
    });
    ended.collect()
}

/// Works on one object; what the work says of itself is said of that object.
async fn one(
    world: &World,
    progress: Progress,
    at: usize,
    work: impl Future<Output = Outcome>,
) -> (usize, Outcome) {
    let mut work = std::pin::pin!(work);
    let outcome = poll_fn(|task| world.within(&progress, || work.as_mut().poll(task))).await;
    (at, outcome)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::parse::Given;
    use super::super::print::Printer;
    use super::super::{Environment, Subject};
    use super::*;
    use crate::net::Journal;
    use crate::run::{Tool, Verdict};

    fn run<R>(test: impl FnOnce(&mut Context<'_, '_>) -> R) -> R {
        let (mut stdout, mut stderr, mut stdin) = (Vec::new(), Vec::new(), &b""[..]);
        let mut printer = Printer::new(&mut stdout, &mut stderr, false, false);
        test(&mut Context {
            environment: &Environment::default(),
            given: Given::default(),
            registry_config: None,
            journal: Journal::default(),
            tool: Tool { name: "x", version: "0", executable: String::new },
            stdin: &mut stdin,
            interactive: false,
            wide: false,
            world: World::new(jiff::Timestamp::now),
            driver: Driver::new(false),
            printer: &mut printer,
            subject: Subject::default(),
        })
    }

    fn blank(typed: &str, _: Option<&usize>) -> Outcome {
        Outcome::new(typed)
    }

    fn objects(count: usize) -> Vec<Object<usize>> {
        (0..count).map(|at| (at.to_string(), Ok(at))).collect()
    }

    /// What is held while an object is worked on; counts how many there are.
    struct Held<'a>(&'a Cell<usize>);

    impl<'a> Held<'a> {
        fn new(now: &'a Cell<usize>, most: &'a Cell<usize>) -> Self {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            Self(now)
        }
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    #[test]
    fn of_a_thousand_objects_no_more_than_eight_are_held_at_a_time() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let outcomes = run(|context| {
            each(context, Duration::from_secs(60), &objects(1000), blank, async |at: &usize| {
                let _held = Held::new(&now, &most);
                for _ in 0..at % 3 {
                    tokio::task::yield_now().await;
                }
                Outcome::new(&at.to_string())
            })
        });
        let inputs: Vec<_> = outcomes.iter().map(|outcome| outcome.input.clone()).collect();
        assert_eq!(inputs, (0..1000).map(|at| at.to_string()).collect::<Vec<_>>());
        assert_eq!((now.get(), most.get()), (0, AT_WORK));
    }

    #[test]
    fn objects_that_only_wait_make_room_and_wait_together() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let started = std::time::Instant::now();
        run(|context| {
            let world = context.world.clone();
            each(context, Duration::from_secs(60), &objects(200), blank, async |at: &usize| {
                let _held = Held::new(&now, &most);
                tokio::task::yield_now().await;
                world.settle();
                tokio::time::sleep(Duration::from_millis(100)).await;
                Outcome::new(&at.to_string())
            })
        });
        assert_eq!(most.get(), OPEN);
        // 200 waits of 100 ms, 64 at a time.
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }

    #[test]
    #[should_panic(expected = "IO is disabled")]
    fn a_command_that_stays_local_cannot_open_a_socket() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let _ = run(|context| {
            context.driver.stay_local();
            let connect = tokio::net::TcpStream::connect(address);
            drive(context, Duration::from_secs(5), connect).map(drop)
        });
    }

    #[test]
    fn what_the_time_out_leaves_undone_is_undecided_in_its_place() {
        let outcomes = run(|context| {
            let world = context.world.clone();
            let time = Duration::from_millis(100);
            each(context, time, &objects(12), blank, async |at: &usize| {
                world.enter(format!("step {at}"));
                if at % 2 == 1 {
                    std::future::pending::<()>().await;
                }
                Outcome { verdict: Verdict::Verified, ..Outcome::new(&at.to_string()) }
            })
        });
        for (at, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.input, at.to_string());
            let verdict = if at % 2 == 1 { Verdict::Undecided } else { Verdict::Verified };
            assert_eq!(outcome.verdict, verdict);
            if let Some(message) = &outcome.message {
                assert!(message.contains(&format!("while step {at} ")), "{message}");
            }
        }
    }
}
