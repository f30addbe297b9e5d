//! The tag `sha256-HEX.att`, where cosign kept attestations before bundles.

use std::cell::{Cell, RefCell};

use super::listing::missing;
use super::{Candidate, Content, Discovered, SignatureStore, legacy};
use crate::chart::Digest;
use crate::error::{Class, Error, Result};
use crate::registry::{Index, RawManifest, ReferrerManifest, Repository};
use crate::verify::DSSE_ENVELOPE;

/// The legacy attestations of one manifest.
#[derive(Debug)]
pub struct AttestationTag<'a> {
    repository: &'a Repository,
    subject: Digest,
    tag: String,
    /// What was found under the tag, so that it is asked for once.
    found: RefCell<Option<RawManifest>>,
}

impl<'a> AttestationTag<'a> {
    /// The place beside `subject` in `repository`.
    pub fn new(repository: &'a Repository, subject: &Digest) -> Self {
        let tag = format!("sha256-{}.att", subject.hex());
        Self { repository, subject: *subject, tag, found: RefCell::default() }
    }
}

impl SignatureStore for AttestationTag<'_> {
    async fn discover(&self) -> Discovered {
        let object = format!("tag {}", self.tag);
        match self.repository.manifest(&self.tag).await {
            Ok(None) => Discovered::nothing(object, "404"),
            // A registry that answers with the chart itself has no such tag.
            Ok(Some(manifest)) if manifest.digest == self.subject => {
                Discovered::nothing(object, "no tag")
            }
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
        let found = found.ok_or_else(|| missing("attestation manifest", &candidate.digest))?;
        read.set(read.get().saturating_add(found.bytes.len() as u64));
        if let Ok(Some(_)) = Index::parse(&found.bytes) {
            return Ok(Content::Other);
        }
        // These are the bytes that the digest names: asking again will not make attestations of them.
        let manifest = ReferrerManifest::parse(&found.bytes).map_err(|error| Error {
            class: Class::Refused,
            what: "not an attestation manifest".to_owned(),
            ..error
        })?;
        if !manifest.layers.iter().any(|layer| layer.media_type == DSSE_ENVELOPE) {
            return Ok(Content::Other);
        }
        legacy::attestations(self.repository, &manifest, read).await.map(Content::Attestations)
    }
}
