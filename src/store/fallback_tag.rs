//! The fallback tag `sha256-HEX`: an index of referrers that clients keep where the registry has no
//! referrers API (OCI distribution specification 1.1, "Referrers Tag Schema").

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::listing::{fetch, listed};
use super::{Candidate, Content, Discovered, SignatureStore};
use crate::chart::{Digest, INDEX};
use crate::error::{Error, Reason, Result};
use crate::registry::{Descriptor, Index, RawManifest, Repository};

/// How often our entry is added again when somebody else's write took it away.
const MAX_WRITES: u32 = 8;
/// How long an entry has to stand at least, and at most, before it is believed to stay.
const SETTLING: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// The referrers of one manifest that are listed under its fallback tag.
#[derive(Debug)]
pub struct FallbackTag<'a> {
    repository: &'a Repository,
    subject: Digest,
    tag: String,
}

impl<'a> FallbackTag<'a> {
    /// The place beside `subject` in `repository`.
    pub fn new(repository: &'a Repository, subject: Digest) -> Self {
        Self { repository, subject, tag: format!("sha256-{}", subject.hex()) }
    }

    /// The index under the tag. GitLab answers the tag with the subject itself; that, like anything
    /// that is no index, means that there is no fallback tag here.
    async fn index(&self) -> Result<Option<Index>> {
        let found = self.repository.manifest(&self.tag).await?;
        found.map_or(Ok(None), |found| self.read(&found))
    }

    fn read(&self, found: &RawManifest) -> Result<Option<Index>> {
        if found.digest == self.subject {
            return Ok(None);
        }
        Index::parse(&found.bytes).map_err(|cause| {
            Error::undecided(Reason::Malformed, format!("tag {}: {cause}", self.tag))
        })
    }

    async fn lists(&self, entry: &Descriptor) -> Result<bool> {
        Ok(self.index().await?.is_some_and(|index| index.contains(&entry.digest)))
    }

    /// Lists `entry`: read, merge, write, read again, until it stands. Other entries are kept byte for
    /// byte.
    ///
    /// No registry in wide use takes conditional writes, so a writer that read the index before we wrote
    /// takes ours away without knowing. It needs about as long as we do from reading to writing; so
    /// what stands is looked at once more after twice that time.
    ///
    /// # Errors
    /// Undecided, when the registry does not take the index, or other writers keep taking ours away.
    pub(super) async fn add(&self, entry: &Descriptor) -> Result<()> {
        for attempt in 0..MAX_WRITES {
            let started = Instant::now();
            let before = match self.repository.manifest(&self.tag).await? {
                None => Index::default(),
                Some(found) => self.read(&found)?.ok_or_else(|| {
                    Error::undecided(
                        Reason::UnsupportedFormat,
                        format!("tag {} holds something that is no index", self.tag),
                    )
                    .note("this registry has neither the referrers API nor room for its fallback")
                })?,
            };
            if attempt > 0 && before.contains(&entry.digest) {
                return Ok(());
            }
            let after = before.with(entry)?;
            self.repository.push_manifest(&self.tag, INDEX, after).await?;
            if self.lists(entry).await? {
                let [least, most] = SETTLING;
                tokio::time::sleep((started.elapsed() * 2).clamp(least, most)).await;
                if self.lists(entry).await? {
                    return Ok(());
                }
            }
            tokio::time::sleep(jitter(attempt)).await;
        }
        Err(Error::undecided(
            Reason::Unreachable,
            format!("tag {} is being rewritten by others; our entry did not stand", self.tag),
        ))
    }
}

/// A pause that differs between writers, the more of them there seem to be.
fn jitter(attempt: u32) -> Duration {
    use rand_core::RngCore;
    let spread = rand_core::OsRng.next_u32() % (100 * (attempt + 1));
    Duration::from_millis(u64::from(50 + spread))
}

impl SignatureStore for FallbackTag<'_> {
    async fn discover(&self) -> Discovered {
        let object = format!("tag {}", self.tag);
        match self.repository.manifest(&self.tag).await {
            Ok(None) => Discovered::nothing(object, "404"),
            Ok(Some(found)) => match self.read(&found) {
                Ok(Some(index)) => listed(object, index.entries()),
                Ok(None) => Discovered::nothing(object, "no index"),
                Err(error) => Discovered::open(object, error),
            },
            Err(error) => Discovered::open(object, error),
        }
    }

    async fn fetch(&self, candidate: &Candidate, read: &Cell<u64>) -> Result<Content> {
        fetch(self.repository, candidate, read).await
    }
}
