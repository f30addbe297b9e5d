//! Reading files that may be something else. An ordinary file is read where the time is kept, which takes
//! milliseconds, and a thread of its own as many; a pipe that nobody writes to must not outlast the time-out.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::error::{Error, Reason, Result};

/// The largest file that is read at once.
const MAX_AT_ONCE: u64 = 4 << 20;

/// Whether a file is read at once: an ordinary and small one, or none. What has no size may be of the kind that waits
/// for somebody to write.
fn is_read_at_once(file: &Path) -> bool {
    match std::fs::metadata(file) {
        Ok(file) => file.is_file() && (1..=MAX_AT_ONCE).contains(&file.len()),
        Err(_) => true,
    }
}

/// Does `work`, which reads `files`: at once where that can be done, else away from this thread.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn reading<T: Send + 'static>(
    files: &[&Path],
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match files.iter().all(|file| is_read_at_once(file)) {
        true => work(),
        false => off_thread(work).await,
    }
}

/// Does `work` away from the thread that keeps the time.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(given_up()),
        },
    }
}

/// As [`reading`] where nobody keeps the time: nothing when it takes longer than `left`.
pub(crate) fn reading_for<T: Send + 'static>(
    left: Duration,
    file: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Option<Result<T>> {
    if is_read_at_once(file) {
        return Some(work());
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let reader = std::thread::Builder::new().spawn(move || {
        // Nobody listens any more when the time was over.
        let _ = sender.send(work());
    });
    if let Err(error) = reader {
        return Some(Err(Error::undecided(Reason::Unreachable, error.to_string())));
    }
    match receiver.recv_timeout(left) {
        Ok(done) => Some(done),
        Err(mpsc::RecvTimeoutError::Timeout) => None,
        Err(mpsc::RecvTimeoutError::Disconnected) => Some(Err(given_up())),
    }
}

fn given_up() -> Error {
    Error::undecided(Reason::LimitReached, "reading a file was given up")
}
