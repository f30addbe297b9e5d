//! The fallback tag `sha256-HEX`: an index of referrers that clients keep where the registry has no
//! referrers API (OCI distribution specification 1.1, "Referrers Tag Schema").

use std::cell::Cell;

use super::listing::{fetch, listed};
use super::shared_tag::{Edited, SharedEdit};
use super::{Candidate, Content, Discovered, SignatureStore};
use crate::chart::{Digest, INDEX};
use crate::error::{Error, Reason, Result};
use crate::registry::{Descriptor, Index, RawManifest, Repository};

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

    /// The index that an entry can be added to: that under the tag, or an empty one where there is none.
    ///
    /// # Errors
    /// Undecided: not asked, or (`unsupported-format`, `malformed`) something that is no index and not ours to
    /// overwrite.
    pub(super) async fn for_writing(&self) -> Result<(Option<Digest>, Index)> {
        let Some(found) = self.repository.manifest(&self.tag).await? else {
            return Ok((None, Index::default()));
        };
        if let Some(index) = self.read(&found)? {
            return Ok((Some(found.digest), index));
        }
        let what = match found.digest == self.subject {
            // GitLab resolves the tag as if it were the digest that it spells.
            true => "the manifest itself, so it is no index of what refers to it",
            false => "something that is no index",
        };
        Err(Error::undecided(Reason::UnsupportedFormat, format!("tag {} holds {what}", self.tag))
            .note(
                "signatures cannot be listed here: neither by the referrers API nor under its tag",
            ))
    }

    /// The tag.
    pub(super) fn name(&self) -> &str {
        &self.tag
    }

    /// What is under the tag, for reading.
    ///
    /// # Errors
    /// Undecided: not asked, or (`malformed`) an index that cannot be read.
    pub(super) async fn look(&self) -> Result<Under> {
        Ok(match self.repository.manifest(&self.tag).await? {
            None => Under::Nothing,
            Some(found) => self.read(&found)?.map_or(Under::NoIndex, Under::Index),
        })
    }

    /// What was found as an index. GitLab answers the tag with the subject itself; that, like anything
    /// that is no index, means that there is no fallback tag here. The digest is asked first: the subject
    /// may be an index.
    fn read(&self, found: &RawManifest) -> Result<Option<Index>> {
        if found.digest == self.subject {
            return Ok(None);
        }
        Index::parse(&found.bytes).map_err(|cause| {
            Error::undecided(Reason::Malformed, format!("tag {}: {cause}", self.tag))
        })
    }
}

/// What is under a fallback tag.
#[derive(Debug)]
pub(super) enum Under {
    /// There is no such tag.
    Nothing,
    /// Something that lists nothing.
    NoIndex,
    /// The index.
    Index(Index),
}

/// One of those that refer to a manifest, in the index under its fallback tag.
#[derive(Debug)]
pub(super) struct IndexEntry {
    /// What it refers to.
    pub(super) subject: Digest,
    /// The entry.
    pub(super) entry: Descriptor,
}

impl SharedEdit for IndexEntry {
    type Read = Index;

    const STEPS: u32 = 0;

    fn tag(&self) -> String {
        format!("sha256-{}", self.subject.hex())
    }

    async fn read(&self, repository: &Repository) -> Result<(Option<Digest>, Index)> {
        FallbackTag::new(repository, self.subject).for_writing().await
    }

    fn holds(&self, read: &Index) -> bool {
        read.contains(&self.entry.digest)
    }

    fn edited(&self, read: &Index) -> Result<Edited> {
        Ok(Edited { media_type: INDEX, document: read.with(&self.entry)?, blob: None })
    }
}

impl SignatureStore for FallbackTag<'_> {
    async fn discover(&self) -> Discovered {
        let object = format!("tag {}", self.tag);
        match self.look().await {
            Ok(Under::Nothing) => Discovered::nothing(object, "404"),
            Ok(Under::NoIndex) => Discovered::nothing(object, "no index"),
            Ok(Under::Index(index)) => {
                listed(object, index.entries().iter().map(|entry| &entry.descriptor))
            }
            Err(error) => Discovered::open(object, error),
        }
    }

    async fn fetch(&self, candidate: &Candidate, read: &Cell<u64>) -> Result<Content> {
        fetch(self.repository, candidate, read).await
    }
}
