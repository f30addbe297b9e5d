//! The tag `sha256-HEX.sig`, where cosign kept signatures before bundles.

use std::cell::Cell;

use super::{Candidate, Content, Discovered, SignatureStore};
use crate::chart::Digest;
use crate::error::Result;
use crate::registry::Repository;

/// The legacy signatures of one manifest.
#[derive(Debug)]
pub struct CosignTag<'a> {
    repository: &'a Repository,
    tag: String,
}

impl<'a> CosignTag<'a> {
    /// The place beside `subject` in `repository`.
    pub fn new(repository: &'a Repository, subject: &Digest) -> Self {
        Self { repository, tag: format!("sha256-{}.sig", subject.hex()) }
    }
}

impl SignatureStore for CosignTag<'_> {
    async fn discover(&self) -> Discovered {
        let object = format!("tag {}", self.tag);
        match self.repository.manifest(&self.tag).await {
            Ok(None) => Discovered::nothing(object, "404"),
            Ok(Some(manifest)) => Discovered::found(
                object,
                vec![Candidate {
                    digest: manifest.digest,
                    artifact_type: None,
                    predicate_type: None,
                    created: None,
                }],
            ),
            Err(error) => Discovered::open(object, error),
        }
    }

    /// The format cannot be judged yet, so nothing of it is read.
    async fn fetch(&self, _: &Candidate, _: &Cell<u64>) -> Result<Content> {
        Ok(Content::Legacy)
    }
}
