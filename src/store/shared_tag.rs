//! Changing a document under a tag that everybody rewrites whole: the index under a fallback tag, or the image
//! under a `.sig` tag. An entry is to be there from then on, or not to be there any more.
//!
//! No registry in wide use takes conditional writes, so whoever read the document before we wrote undoes our
//! change without knowing. All that can be done is done by every writer for itself: write soon after reading,
//! wait until nobody can still hold a copy from before, look, and make the change again until it holds.

use std::time::Duration;

use rand_core::RngCore;
use tokio::time::Instant;

use bytes::Bytes;

use crate::chart::Digest;
use crate::error::{Error, Reason, Result};
use crate::registry::{Repository, SharedWrite};

/// Attempts that a registry turns away, at most.
const MAX_ATTEMPTS: u32 = 4;
/// Documents that have grown too old to be written on, at most; among many writers others often come first.
const MAX_LATE: u32 = 10;
/// Looks at a change that holds, at most, while others go on writing.
const MAX_LOOKS: u32 = 5;
/// The longest wait, whatever a registry asks for or however slow it is.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A change to a document that is shared. Made twice it is as if made once.
pub(super) trait SharedEdit {
    /// The document as it was read.
    type Read;

    /// Requests that a writer makes between reading and writing, for a blob that the document names: who does not
    /// look again after them writes on a copy that is so much older.
    const STEPS: u32;

    /// The tag.
    fn tag(&self) -> String;

    /// The document that can be changed, with its digest; an empty one where there is none.
    ///
    /// # Errors
    /// Undecided: not asked, or (`unsupported-format`, `malformed`) something that is not ours to overwrite.
    fn read(
        &self,
        repository: &Repository,
    ) -> impl Future<Output = Result<(Option<Digest>, Self::Read)>>;

    /// Whether the document is as it is to be.
    fn holds(&self, read: &Self::Read) -> bool;

    /// The document with the change; all else in it byte for byte.
    ///
    /// # Errors
    /// Undecided, when it would be too large.
    fn edited(&self, read: &Self::Read) -> Result<Edited>;
}

/// A document as it is to be written.
pub(super) struct Edited {
    pub(super) media_type: &'static str,
    pub(super) document: Bytes,
    /// What it names and has to be stored first.
    pub(super) blob: Option<Bytes>,
}

/// How a change is made to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How old a document may be when it is written back.
    pub(super) fresh: Duration,
    /// How long after a write is looked whether it holds, at least; long enough for every writer that keeps
    /// `fresh`.
    pub(super) rest: Duration,
    /// The jitter on top of it, at most, after the first write; twice that after the second, and so on.
    pub(super) spread: Duration,
    /// Its bound.
    pub(super) most_spread: Duration,
    /// Writes, at most.
    pub(super) writes: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_millis(500),
            rest: Duration::from_secs(1),
            spread: Duration::from_millis(500),
            most_spread: Duration::from_secs(4),
            writes: 10,
        }
    }
}

impl Pace {
    /// How long to wait after write number `writes` of a registry whose slowest answer took `slowest`. A
    /// stale copy is under way for as long as its writer's read and write take, so twice the slowest is the
    /// least there, and more where there are `steps` between them; `noise` (0 to 1) tells writers apart.
    fn wait(&self, writes: u32, slowest: Duration, steps: u32, noise: f64) -> Duration {
        let doubled = self.spread.max(slowest).saturating_mul(1 << writes.saturating_sub(1).min(6));
        let spread = doubled.min(self.most_spread.max(slowest.saturating_mul(4)));
        (self.rest.max(slowest.saturating_mul(2 + steps)) + spread.mul_f64(noise)).min(MAX_WAIT)
    }
}

/// A change that was written and is not known to hold yet.
#[derive(Debug)]
pub(super) struct Unsettled<E> {
    repository: Repository,
    edit: E,
    pace: Pace,
    writes: u32,
    written: Instant,
    slowest: Duration,
    /// The document that was written last.
    document: Option<Digest>,
    /// The document as we know it: as it was written, or read, last.
    known: Option<Digest>,
}

impl<E: SharedEdit> Unsettled<E> {
    /// Makes `edit`: read, change, write; nothing is written where it holds already.
    ///
    /// # Errors
    /// Undecided, when the registry does not take the document, or the tag holds something else.
    pub(super) async fn make(repository: &Repository, edit: E, pace: Pace) -> Result<Self> {
        let mut made = Self {
            repository: repository.clone(),
            edit,
            pace,
            writes: 0,
            written: Instant::now(),
            slowest: Duration::ZERO,
            document: None,
            known: None,
        };
        let read = made.read().await?;
        made.known = read.digest;
        made.write(read).await?;
        Ok(made)
    }

    /// Waits until no other writer can undo the change without knowing, and makes it again as often as one did.
    ///
    /// Where others have written meanwhile, one of them may be slower than all that was seen here, and still on its
    /// way with a copy from before: then it is looked again, until nobody has written between two looks.
    ///
    /// # Errors
    /// Undecided, when others keep undoing it, or the registry fails.
    pub(super) async fn settle(mut self) -> Result<()> {
        let mut looks = 0;
        loop {
            let wait = self.pace.wait(self.writes, self.slowest, E::STEPS, noise());
            tokio::time::sleep_until(self.written + wait).await;
            let read = self.read().await?;
            if self.edit.holds(&read.document) {
                looks += 1;
                if read.digest == self.known || looks >= MAX_LOOKS {
                    return Ok(());
                }
                (self.known, self.written) = (read.digest, read.at);
                continue;
            }
            looks = 0;
            if self.writes >= self.pace.writes {
                return Err(Error::undecided(
                    Reason::Unreachable,
                    format!("tag {} is being rewritten by others", self.edit.tag()),
                )
                .note(format!("our change was made {} times and did not stand", self.writes)));
            }
            self.write(read).await?;
        }
    }

    /// The digest of the document as we wrote it last; none where nothing had to be changed.
    pub(super) fn document(&self) -> Option<Digest> {
        self.document
    }

    async fn read(&mut self) -> Result<Read<E::Read>> {
        let asked = Instant::now();
        let (digest, document) = self.edit.read(&self.repository).await?;
        self.slowest = self.slowest.max(asked.elapsed());
        Ok(Read { digest, document, at: Instant::now() })
    }

    /// Changes what was read, or what is read then if that is too old, and writes it.
    async fn write(&mut self, mut read: Read<E::Read>) -> Result<()> {
        let (mut late, mut turned_away) = (0, 0);
        let mut stored = None;
        loop {
            if self.edit.holds(&read.document) {
                // An attempt arrived and only its answer was lost.
                return Ok(());
            }
            let Edited { media_type, document, blob } = self.edit.edited(&read.document)?;
            if let Some(blob) = blob
                && stored.as_ref() != Some(&blob)
            {
                self.repository.push_blob(blob.clone()).await?;
                stored = Some(blob);
            }
            if read.at.elapsed() > self.pace.fresh {
                late += 1;
                if late >= MAX_LATE {
                    return Err(Error::undecided(
                        Reason::LimitReached,
                        format!("tag {} cannot be written fast enough", self.edit.tag()),
                    )
                    .note(
                        "this machine is too busy: others would lose what they wrote meanwhile",
                    ));
                }
                if late > 1 {
                    tokio::time::sleep(self.pace.spread.mul_f64(noise())).await;
                }
                // Where nobody has written meanwhile, what was stored still fits.
                read = self.read().await?;
                continue;
            }
            let sent = Instant::now();
            let (name, digest) = (self.edit.tag(), Digest::of(&document));
            let patient = turned_away > 0;
            let answer = self.repository.put_shared(&name, media_type, document, patient).await?;
            self.slowest = self.slowest.max(sent.elapsed());
            self.written = Instant::now();
            let (error, wait) = match answer {
                SharedWrite::Stored => {
                    self.writes += 1;
                    (self.document, self.known) = (Some(digest), Some(digest));
                    return Ok(());
                }
                SharedWrite::Refused(error) => return Err(error),
                SharedWrite::Again { error, wait } => (error, wait.unwrap_or_default()),
            };
            turned_away += 1;
            if turned_away >= MAX_ATTEMPTS || wait > MAX_WAIT {
                return Err(error);
            }
            let pause = Duration::from_millis(200 << turned_away).mul_f64(noise());
            tokio::time::sleep(wait.max(pause)).await;
            read = self.read().await?;
        }
    }
}

/// The document as it was, and when it came.
struct Read<D> {
    digest: Option<Digest>,
    document: D,
    at: Instant,
}

/// Between 0 and 1, another for each writer.
fn noise() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness everybody waits equally long, which is still long enough.
    let _ = rand_core::OsRng.try_fill_bytes(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_wait_is_a_second_and_some_jitter_or_twice_the_slowest_answer() {
        let pace = Pace::default();
        assert_eq!(pace.wait(1, millis(5), 0, 0.0), millis(1000));
        assert_eq!(pace.wait(1, millis(5), 0, 1.0), millis(1500));
        assert_eq!(pace.wait(1, millis(900), 0, 0.0), millis(1800));
        // The more often it was in vain, the more writers there seem to be.
        assert_eq!(pace.wait(2, millis(5), 0, 1.0), millis(2000));
        assert_eq!(pace.wait(9, millis(5), 0, 1.0), millis(5000));
        assert_eq!(pace.wait(9, millis(2000), 0, 1.0), millis(12_000));
        // Where a blob is stored in between, copies of others may be older.
        assert_eq!(pace.wait(1, millis(900), 2, 0.0), millis(3600));
        assert_eq!(pace.wait(u32::MAX, Duration::from_secs(600), 0, 1.0), MAX_WAIT);
    }

    #[test]
    fn writers_differ() {
        let some: Vec<f64> = (0..8).map(|_| noise()).collect();
        assert!(some.iter().all(|noise| (0.0..=1.0).contains(noise)));
        assert!(some.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
