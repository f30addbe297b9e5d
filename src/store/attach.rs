//! Attaching signatures to a manifest: a bundle as a referrer, listed by the registry where it has the API, else
//! by us in the fallback tag; a legacy signature in the image under the `.sig` tag.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::cosign_tag::{SignatureLayer, for_writing};
use super::fallback_tag::{FallbackTag, IndexEntry};
use super::shared_tag::{Pace, Unsettled};
use crate::chart::{Descriptor as Subject, Digest, MANIFEST};
use crate::error::{Error, Reason, Result};
use crate::registry::{
    Descriptor, EMPTY_BLOB, Entry, ImageParts, Pushed, Referrer, Referrers as Answer, Repository,
    SignatureImage,
};
use crate::verify::SIMPLE_SIGNING;

/// Bundles up to this size also stand in their manifest as `data` (OCI image specification,
/// descriptor), which saves every reader that knows the field a request.
const MAX_INLINED_BYTES: usize = 32 << 10;

/// When a registry is asked whether it lists what it took: at once, then twice more.
const READ_BACK_PAUSES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1000)];

/// The pauses before a manifest is pushed again whose blobs were uploaded and are said to be missing.
const PUSH_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// Uploads the empty config that every signature manifest needs: a harmless write, which shows that we
/// may write before anything is made public.
///
/// # Errors
/// Undecided, when the registry does not take it.
pub async fn prove_write_access(repository: &Repository) -> Result<()> {
    repository.push_blob(EMPTY_BLOB.into()).await.map(drop)
}

/// Who will list what refers to a manifest.
#[derive(Clone, Debug)]
pub enum Listing {
    /// The registry.
    Api,
    /// We, in the fallback tag.
    FallbackTag,
    /// The registry does not let us ask whether it does (401, 403): so we list it too.
    Unknown(Error),
}

/// Finds out who will list what refers to `subject`, before anything is made public. Nothing is written.
///
/// # Errors
/// Undecided: not asked, or neither the registry nor we can list anything there (`unsupported-format`).
pub async fn survey(repository: &Repository, subject: &Digest) -> Result<Listing> {
    let listing = match repository.referrers(subject).await {
        Ok(Answer::Listed(_)) => return Ok(Listing::Api),
        Ok(Answer::Absent { .. }) => Listing::FallbackTag,
        Err(error) if error.reason == Reason::Unauthorized => Listing::Unknown(error),
        Err(error) => return Err(error),
    };
    FallbackTag::new(repository, *subject).for_writing().await?;
    Ok(listing)
}

/// How a bundle was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// The registry lists it by itself.
    Api,
    /// We listed it in the fallback tag.
    FallbackTag,
    /// It is a layer of the image under the `.sig` tag.
    CosignTag,
}

/// Who may still take something out of its list by mistake.
#[derive(Debug)]
enum Waiting {
    Index(Unsettled<IndexEntry>),
    Image(Unsettled<SignatureLayer>),
}

/// A bundle that was attached to one manifest.
#[derive(Debug)]
pub struct Attached {
    /// Who lists it.
    pub through: Through,
    /// The digest of the manifest that holds it.
    pub digest: Digest,
    unsettled: Option<Waiting>,
}

impl Attached {
    /// Whether nobody can take it out of its list any more by mistake; else [`Attached::settle`] is to be
    /// waited for.
    pub fn is_settled(&self) -> bool {
        self.unsettled.is_none()
    }

    /// Makes sure that it stays listed. Where we list it ourselves this takes a second or more, nearly all of
    /// it waiting: several are better waited for together.
    ///
    /// # Errors
    /// Undecided, when other writers keep taking it out of the list, or the registry fails.
    pub async fn settle(&mut self) -> Result<()> {
        match self.unsettled.take() {
            Some(Waiting::Index(entry)) => entry.settle().await,
            Some(Waiting::Image(layer)) => layer.settle().await,
            None => Ok(()),
        }
    }
}

/// Attaches `bundle` over a statement of this kind to each of `subjects` as a referrer, and sees to it that it is listed ([`survey`] has
/// told by whom). The empty config has been pushed before ([`prove_write_access`]). What is answered is
/// still to be settled.
///
/// A failure leaves at most blobs and manifests that nothing lists, and those subjects that came first signed.
///
/// # Errors
/// Undecided, when the registry does not take a part of it, or does not list it afterwards.
pub async fn attach(
    repository: &Repository,
    subjects: &[(Subject, Listing)],
    bundle: &[u8],
    predicate_type: &str,
    created: jiff::Timestamp,
) -> Result<Vec<Attached>> {
    repository.push_blob(bundle.to_vec().into()).await?;
    let inline = bundle.len() <= MAX_INLINED_BYTES;
    let mut attached = Vec::with_capacity(subjects.len());
    for (subject, listing) in subjects {
        let described = described(subject);
        let referrer = Referrer::new(&described, bundle, predicate_type, created, inline);
        attached.push(attach_one(repository, &subject.digest, listing, referrer).await?);
    }
    Ok(attached)
}

/// Finds out whether a legacy signature of `subject` can be kept, before anything is made public. Nothing is
/// written.
///
/// # Errors
/// Undecided: not asked, or something else is under the tag.
pub async fn survey_signatures(repository: &Repository, subject: &Digest) -> Result<()> {
    for_writing(repository, subject).await.map(drop)
}

/// A legacy signature: the payload, and its proof as annotations.
#[derive(Clone, Debug)]
pub struct Signature {
    /// What is signed.
    pub payload: Vec<u8>,
    /// What proves it.
    pub annotations: BTreeMap<String, String>,
}

impl Signature {
    async fn stored(self, repository: &Repository) -> Result<Descriptor> {
        let mut layer = Descriptor::of(SIMPLE_SIGNING, &self.payload);
        layer.annotations = self.annotations;
        repository.push_blob(self.payload.into()).await?;
        Ok(layer)
    }
}

/// Adds a legacy signature to those of `subject`, under the `.sig` tag. What is answered is still to be settled.
///
/// # Errors
/// Undecided, when the registry does not take a part of it.
pub async fn attach_signature(
    repository: &Repository,
    subject: Digest,
    signature: Signature,
) -> Result<Attached> {
    let layer = signature.stored(repository).await?;
    let held = layer.digest;
    let layer = SignatureLayer { subject, layer };
    let unsettled = Unsettled::make(repository, layer, Pace::default()).await?;
    // The image as it was then; others change it.
    let digest = unsettled.document().unwrap_or(held);
    Ok(Attached { through: Through::CosignTag, digest, unsettled: Some(Waiting::Image(unsettled)) })
}

/// Attaches a legacy signature to `subject` as a referrer (cosign's OCI 1.1 experiment, which Ratify reads).
/// What is answered is still to be settled.
///
/// # Errors
/// Undecided, when the registry does not take a part of it, or does not list it afterwards.
pub async fn refer_signature(
    repository: &Repository,
    subject: &Subject,
    listing: &Listing,
    signature: Signature,
) -> Result<Attached> {
    let layer = signature.stored(repository).await?;
    let (ImageParts { config, manifest }, entry) =
        SignatureImage::referring(&described(subject), &layer);
    repository.push_blob(config).await?;
    attach_one(repository, &subject.digest, listing, Referrer { bytes: manifest, entry }).await
}

fn described(subject: &Subject) -> Descriptor {
    Descriptor {
        digest: subject.digest,
        size: subject.size,
        ..Descriptor::of(&subject.media_type, &[])
    }
}

async fn attach_one(
    repository: &Repository,
    subject: &Digest,
    listing: &Listing,
    Referrer { bytes, entry }: Referrer,
) -> Result<Attached> {
    let digest = entry.digest;
    let pushed = push_manifest(repository, &digest, bytes).await?;
    // `OCI-Subject` in the answer promises a listing, and some registries promise it falsely: the listing
    // itself decides. It is worth asking again even where there was none before: zot, for one, knows no
    // referrers of a manifest that is not there.
    let asks = match listing {
        Listing::Api => true,
        Listing::FallbackTag => pushed.oci_subject,
        Listing::Unknown(_) => false,
    };
    if asks && is_listed(repository, subject, &digest).await? {
        return Ok(Attached { through: Through::Api, digest, unsettled: None });
    }
    let entry = IndexEntry { subject: *subject, entry };
    let unsettled = Unsettled::make(repository, entry, Pace::default()).await?;
    let unsettled = Some(Waiting::Index(unsettled));
    Ok(Attached { through: Through::FallbackTag, digest, unsettled })
}

/// Stores a signature manifest under its digest. CNCF distribution rewrites the link of a blob that is uploaded
/// again, in place: when another signer uploads the empty config while our manifest is checked, the link
/// reads as empty, and what is there counts as missing.
async fn push_manifest(repository: &Repository, digest: &Digest, bytes: Bytes) -> Result<Pushed> {
    let mut pauses = PUSH_PAUSES.iter();
    loop {
        let pushed = repository.push_manifest(&digest.to_string(), MANIFEST, bytes.clone()).await;
        let Err(error) = &pushed else { return pushed };
        let text = error.to_string();
        let passing = ["DIGEST_INVALID", "BLOB_UNKNOWN"].iter().any(|code| text.contains(code));
        match pauses.next() {
            Some(pause) if passing => tokio::time::sleep(*pause).await,
            _ => return pushed,
        }
    }
}

/// Whether the registry lists `digest` among the referrers of `subject`; no where it has no such list.
async fn is_listed(repository: &Repository, subject: &Digest, digest: &Digest) -> Result<bool> {
    for pause in READ_BACK_PAUSES {
        tokio::time::sleep(pause).await;
        let Answer::Listed(entries) = repository.referrers(subject).await? else {
            return Ok(false);
        };
        let ours = |entry: &Entry| entry.as_ref().is_ok_and(|entry| entry.digest == *digest);
        if entries.iter().any(ours) {
            return Ok(true);
        }
    }
    Err(Error::undecided(
        Reason::Unreachable,
        "the registry took the signature and does not list it",
    )
    .note("sign again: what was left behind is not listed anywhere"))
}
