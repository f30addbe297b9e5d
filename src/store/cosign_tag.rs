//! The tag `sha256-HEX.sig`, where cosign kept signatures before bundles.

use std::cell::{Cell, RefCell};

use super::listing::{missing, unpack};
use super::{Candidate, Content, Discovered, SignatureStore};
use crate::chart::Digest;
use crate::error::Result;
use crate::registry::{RawManifest, Repository};

/// The legacy signatures of one manifest.
#[derive(Debug)]
pub struct CosignTag<'a> {
    repository: &'a Repository,
    tag: String,
    /// What was found under the tag, so that it is asked for once.
    found: RefCell<Option<RawManifest>>,
}

impl<'a> CosignTag<'a> {
    /// The place beside `subject` in `repository`.
    pub fn new(repository: &'a Repository, subject: &Digest) -> Self {
        let tag = format!("sha256-{}.sig", subject.hex());
        Self { repository, tag, found: RefCell::default() }
    }
}

impl SignatureStore for CosignTag<'_> {
    async fn discover(&self) -> Discovered {
        let object = format!("tag {}", self.tag);
        match self.repository.manifest(&self.tag).await {
            Ok(None) => Discovered::nothing(object, "404"),
            Ok(Some(manifest)) => {
                let candidate = Candidate {
                    digest: manifest.digest,
                    artifact_type: None,
                    predicate_type: None,
                    created: None,
                };
                self.found.replace(Some(manifest));
                Discovered::found(object, vec![candidate])
            }
            Err(error) => Discovered::open(object, error),
        }
    }

    async fn fetch(&self, candidate: &Candidate, read: &Cell<u64>) -> Result<Content> {
        let found = self.found.borrow().clone();
        let found = found.filter(|found| found.digest == candidate.digest);
        let found = found.ok_or_else(|| missing("signature manifest", &candidate.digest))?;
        unpack(self.repository, &found, read).await
    }
}
