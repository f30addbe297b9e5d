//! What a run tells while it works, and what it needs of the outside world; and of each object of the run,
//! how far it has come.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// How long a run waits at most for a clock that is behind (DESIGN decision 10).
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What a run tells while it works, and what it needs of the outside world. Clones are the same world.
#[derive(Clone, Debug)]
pub struct World {
    clock: fn() -> Timestamp,
    warnings: Rc<RefCell<Vec<String>>>,
    said: Rc<RefCell<Vec<String>>>,
    waiting: Rc<Cell<Option<Waiting>>>,
    /// The step that was begun last, of whatever object.
    latest: Rc<RefCell<String>>,
    /// How many of several objects have ended, and how many there are.
    ended: Rc<Cell<(usize, usize)>>,
    /// The progress of the object that is being worked on at this very moment.
    current: Rc<RefCell<Progress>>,
    /// The files of this run, and what each was written for.
    files: Rc<RefCell<HashMap<PathBuf, String>>>,
}

/// The one wait for our clock that a run may have.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    began: Instant,
    ends: Instant,
}

/// How far one object of a run has come: what can be said of it while it is worked on, and if it is cut off.
/// Clones are the same progress.
#[derive(Clone, Debug, Default)]
pub struct Progress(Rc<State>);

#[derive(Debug, Default)]
struct State {
    step: RefCell<String>,
    aftermath: Cell<Option<&'static str>>,
    settling: Cell<bool>,
}

impl Progress {
    /// What is being done, as in `resolving oci://…`; empty before the first step.
    pub fn step(&self) -> String {
        self.0.step.borrow().clone()
    }

    /// Whether all that is left for the object is to wait and look again.
    pub fn is_settling(&self) -> bool {
        self.0.settling.get()
    }
}

impl World {
    /// A world with this clock.
    pub fn new(clock: fn() -> Timestamp) -> Self {
        Self {
            clock,
            warnings: Rc::default(),
            said: Rc::default(),
            waiting: Rc::default(),
            latest: Rc::default(),
            ended: Rc::default(),
            current: Rc::default(),
            files: Rc::default(),
        }
    }

    /// What is being done right now, for a progress line: of several objects, how many have ended and what
    /// was begun last.
    pub fn step(&self) -> String {
        let step = self.latest.borrow();
        match self.ended.get() {
            (_, 0 | 1) => step.clone(),
            (ended, all) => format!("{ended} of {all} done: {step}"),
        }
    }

    /// Says how many of `all` objects have ended.
    pub fn count(&self, ended: usize, all: usize) {
        self.ended.set((ended, all));
    }

    /// What the user should know although nothing failed.
    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// Says something that a person has to read while the work goes on.
    pub fn say(&self, text: impl Into<String>) {
        self.said.borrow_mut().push(text.into());
    }

    /// Whether something was said since the last time.
    pub fn has_said(&self) -> bool {
        !self.said.borrow().is_empty()
    }

    /// What was said since the last time.
    pub fn take_said(&self) -> Vec<String> {
        self.said.take()
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Does `work` for the object of `progress`: what it says of itself is said of that object. Objects that
    /// are worked on side by side take turns in one thread, so each turn is one call of this.
    pub fn within<R>(&self, progress: &Progress, work: impl FnOnce() -> R) -> R {
        let before = self.current.replace(progress.clone());
        let done = work();
        self.current.replace(before);
        done
    }

    /// Says what is being done from now on, as in `resolving oci://…`.
    pub fn enter(&self, step: impl Into<String>) {
        let step = step.into();
        self.current.borrow().0.step.borrow_mut().clone_from(&step);
        *self.latest.borrow_mut() = step;
    }

    /// Says what an undecided end from now on would mean for the object, as in `nothing was attached`.
    pub(super) fn leaves(&self, aftermath: &'static str) {
        self.current.borrow().0.aftermath.set(Some(aftermath));
    }

    /// What an undecided end now would mean for the object, if anybody has said it.
    pub(super) fn aftermath(&self) -> Option<&'static str> {
        self.current.borrow().0.aftermath.get()
    }

    /// Says that all that is left for the object is to wait and look again: it makes room for another that
    /// has work to do, so that several wait together.
    pub fn settle(&self) {
        self.current.borrow().0.settling.set(true);
    }

    /// Whether an object may wait `pause` for our clock. A run has one wait, of at most [`MAX_WAIT`]; all
    /// objects that need it while it lasts share it.
    pub(super) fn may_wait(&self, pause: Duration) -> bool {
        self.may_wait_at(Instant::now(), pause)
    }

    fn may_wait_at(&self, now: Instant, pause: Duration) -> bool {
        let (began, ends) = match self.waiting.get() {
            None => (now, now),
            Some(Waiting { began, ends }) if now < ends => (began, ends),
            Some(_) => return false,
        };
        if now + pause > began + MAX_WAIT {
            return false;
        }
        self.waiting.set(Some(Waiting { began, ends: ends.max(now + pause) }));
        true
    }

    /// Takes the file at `path` for `object`: no other object of the run may have it.
    ///
    /// # Errors
    /// Usage, if another object has it: two charts of one name and version would be one file.
    pub(super) fn claim(&self, path: &Path, object: &str) -> Result<()> {
        match self.files.borrow_mut().entry(path.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(object.to_owned());
                Ok(())
            }
            Entry::Occupied(taken) => Err(Error::usage("two bundles of one name")
                .on(object)
                .cause(format!("{} is already that of {}", path.display(), taken.get()))
                .hint("a run for each, with --bundle-out FILE")),
        }
    }

    /// Adds a warning; the same one is told once.
    pub fn warn(&self, warning: impl Into<String>) {
        let (warning, mut warnings) = (warning.into(), self.warnings.borrow_mut());
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn objects_that_need_the_wait_while_it_lasts_share_it() {
        let (world, began) = (World::new(Timestamp::now), Instant::now());
        assert!(world.may_wait_at(began, seconds(2)));
        let later = began + seconds(1);
        assert!(world.may_wait_at(later, seconds(1)) && world.may_wait_at(later, seconds(3)));
        // It is over: there is no second one.
        assert!(!world.may_wait_at(later + seconds(4), seconds(1)));
    }

    #[test]
    fn nobody_makes_the_wait_longer_than_its_bound() {
        let (world, began) = (World::new(Timestamp::now), Instant::now());
        assert!(!world.may_wait_at(began, seconds(61)));
        assert!(world.may_wait_at(began, seconds(50)));
        assert!(!world.may_wait_at(began + seconds(20), seconds(41)));
        assert!(world.may_wait_at(began + seconds(20), seconds(40)));
    }

    #[test]
    fn what_is_said_within_is_said_of_that_object() {
        let world = World::new(Timestamp::now);
        let (one, other) = (Progress::default(), Progress::default());
        world.within(&one, || world.enter("resolving"));
        world.within(&other, || {
            world.enter("signing");
            world.leaves("nothing was attached");
            world.settle();
        });
        assert_eq!((one.step().as_str(), other.step().as_str()), ("resolving", "signing"));
        assert_eq!(world.step(), "signing");
        world.count(0, 1);
        assert_eq!(world.step(), "signing");
        world.count(3, 20);
        assert_eq!(world.step(), "3 of 20 done: signing");
        assert!(other.is_settling() && !one.is_settling());
        assert_eq!(world.within(&one, || world.aftermath()), None);
        assert_eq!(world.within(&other, || world.aftermath()), Some("nothing was attached"));
    }

    #[test]
    fn a_warning_is_told_once() {
        let world = World::new(Timestamp::now);
        world.warn("old");
        world.warn("old");
        assert_eq!(world.take_warnings(), ["old"]);
    }
}
