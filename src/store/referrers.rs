//! The referrers API of a registry (OCI distribution specification 1.1, "Listing Referrers").

use std::cell::Cell;

use super::listing::{fetch, listed};
use super::{Candidate, Content, Discovered, SignatureStore};
use crate::chart::Digest;
use crate::error::Result;
use crate::registry::{Referrers as Answer, Repository};

/// The signatures that the referrers API lists for one manifest.
#[derive(Debug)]
pub struct Referrers<'a> {
    repository: &'a Repository,
    subject: Digest,
}

impl<'a> Referrers<'a> {
    /// The place beside `subject` in `repository`.
    pub fn new(repository: &'a Repository, subject: Digest) -> Self {
        Self { repository, subject }
    }
}

impl SignatureStore for Referrers<'_> {
    async fn discover(&self) -> Discovered {
        let object = "referrers API".to_owned();
        match self.repository.referrers(&self.subject).await {
            Ok(Answer::Listed(entries)) => listed(object, &entries),
            Ok(Answer::Absent { why }) => Discovered::nothing(object, why),
            Err(error) => Discovered::open(object, error),
        }
    }

    async fn fetch(&self, candidate: &Candidate, read: &Cell<u64>) -> Result<Content> {
        fetch(self.repository, candidate, read).await
    }
}
