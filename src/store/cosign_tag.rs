//! The tag `sha256-HEX.sig`, where cosign kept signatures before bundles.

use std::cell::{Cell, RefCell};

use super::listing::{missing, unpack_image};
use super::shared_tag::{Edited, SharedEdit};
use super::{Candidate, Content, Discovered, SignatureStore};
use crate::chart::{Digest, MANIFEST};
use crate::error::{Error, Reason, Result};
use crate::registry::{Descriptor, RawManifest, Repository, SignatureImage};

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
        Self { repository, tag: tag_of(subject), found: RefCell::default() }
    }
}

fn tag_of(subject: &Digest) -> String {
    format!("sha256-{}.sig", subject.hex())
}

/// The image that a signature of `subject` can be added to: that under its tag, or an empty one.
///
/// # Errors
/// Undecided: not asked, or (`unsupported-format`, `malformed`) something that is not ours to overwrite.
pub(super) async fn for_writing(
    repository: &Repository,
    subject: &Digest,
) -> Result<(Option<Digest>, SignatureImage)> {
    let found = image_under(repository, &tag_of(subject)).await?;
    Ok(found.map_or((None, SignatureImage::default()), |(digest, image)| (Some(digest), image)))
}

/// The image under one of cosign's tags.
///
/// # Errors
/// As [`for_writing`].
pub(super) async fn image_under(
    repository: &Repository,
    tag: &str,
) -> Result<Option<(Digest, SignatureImage)>> {
    let Some(found) = repository.manifest(tag).await? else { return Ok(None) };
    let image = SignatureImage::parse(&found.bytes)
        .map_err(|cause| Error::undecided(Reason::Malformed, format!("tag {tag}: {cause}")))?;
    match image {
        Some(image) => Ok(Some((found.digest, image))),
        None => {
            let cause = format!("tag {tag} holds something that is no signature");
            Err(Error::undecided(Reason::UnsupportedFormat, cause))
        }
    }
}

/// One of the legacy signatures of a manifest.
#[derive(Debug)]
pub(super) struct SignatureLayer {
    /// What is signed.
    pub(super) subject: Digest,
    /// The payload, with its proof as annotations.
    pub(super) layer: Descriptor,
}

impl SharedEdit for SignatureLayer {
    type Read = SignatureImage;

    // A config is stored before a write, in two requests where the registry wants it so.
    const STEPS: u32 = 2;

    fn tag(&self) -> String {
        tag_of(&self.subject)
    }

    async fn read(&self, repository: &Repository) -> Result<(Option<Digest>, SignatureImage)> {
        for_writing(repository, &self.subject).await
    }

    fn holds(&self, read: &SignatureImage) -> bool {
        read.contains(&self.layer)
    }

    fn edited(&self, read: &SignatureImage) -> Result<Edited> {
        let parts = read.with(&self.layer)?;
        Ok(Edited { media_type: MANIFEST, document: parts.manifest, blob: Some(parts.config) })
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
        unpack_image(self.repository, &found, read).await
    }
}
