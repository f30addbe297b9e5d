//! Signatures as OCI referrers (OCI distribution specification 1.1, "Listing Referrers" and
//! "Unavailable Referrers API"): found through the API, and attached with the API or the fallback tag.

use std::time::Duration;

use serde::Deserialize;

use super::fallback_tag::FallbackTag;
use super::{
    BUNDLE_MEDIA_TYPE_PREFIX, CREATED_ANNOTATION, Candidate, Content, Discovered,
    PREDICATE_ANNOTATION, SIMPLE_SIGNING_MEDIA_TYPE, SignatureStore,
};
use crate::chart::{ChartManifest, Digest, MANIFEST};
use crate::error::{Class, Error, Reason, Result};
use crate::registry::{
    Descriptor, EMPTY_BLOB, Entry, Index, Referrer, ReferrerManifest, Referrers as Answer,
    Repository,
};
use crate::verify::{COSIGN_SIGN_PREDICATE, MAX_BUNDLE_BYTES};

/// Bundles up to this size also stand in their manifest as `data` (OCI image specification,
/// descriptor), which saves every reader that knows the field a request.
const MAX_INLINED_BYTES: usize = 32 << 10;

/// When a registry is asked whether it lists what it took: at once, then twice more.
const READ_BACK_PAUSES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1000)];

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

    async fn fetch(&self, candidate: &Candidate) -> Result<Content> {
        fetch(self.repository, candidate).await
    }
}

/// What a listing holds. An entry that cannot be read hides none of the others, and is not passed over
/// in silence either.
pub(super) fn listed(object: String, entries: &[Entry]) -> Discovered {
    let annotation = |entry: &Descriptor, key: &str| entry.annotations.get(key).cloned();
    let mut candidates = Vec::with_capacity(entries.len());
    let mut unreadable = 0_usize;
    for entry in entries {
        match &entry.descriptor {
            Ok(entry) => candidates.push(Candidate {
                digest: entry.digest,
                artifact_type: entry.artifact_type.clone(),
                predicate_type: annotation(entry, PREDICATE_ANNOTATION),
                created: annotation(entry, CREATED_ANNOTATION),
            }),
            Err(_) => unreadable += 1,
        }
    }
    let mut discovered = Discovered::found(object, candidates);
    if unreadable > 0 {
        let cause = format!("{unreadable} entries of the listing cannot be read");
        discovered.error = Some(Error::undecided(Reason::Malformed, cause));
    }
    discovered
}

/// Whether a manifest has a layer with a bundle or an old signature in it, or cannot be read even so far.
/// What has none may otherwise be written as it likes: it is none of our business.
fn holds_a_signature(manifest: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Manifest {
        layers: Option<Vec<Layer>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layer {
        #[serde(default)]
        media_type: Option<String>,
    }
    let Ok(Manifest { layers }) = serde_json::from_slice(manifest) else { return true };
    layers.into_iter().flatten().filter_map(|layer| layer.media_type).any(|media_type| {
        media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX) || media_type == SIMPLE_SIGNING_MEDIA_TYPE
    })
}

/// Fetches a referrer's manifest and, where it is not inlined, the bundle; both by digest.
pub(super) async fn fetch(repository: &Repository, candidate: &Candidate) -> Result<Content> {
    let missing = |what: &str, digest: &Digest| {
        Error::undecided(Reason::Unreachable, format!("{what} {digest} is listed and not there"))
    };
    let digest = candidate.digest;
    let raw = repository
        .manifest(&digest.to_string())
        .await?
        .ok_or_else(|| missing("signature manifest", &digest))?;
    if let Ok(Some(_)) = Index::parse(&raw.bytes) {
        return Ok(Content::Other);
    }
    if !holds_a_signature(&raw.bytes) {
        return Ok(Content::Other);
    }
    // These are the bytes that the digest names: asking again will not make a signature of them.
    let no_manifest = "not a signature manifest";
    let manifest = ReferrerManifest::parse(&raw.bytes).map_err(|error| Error {
        class: Class::Refused,
        what: no_manifest.to_owned(),
        ..error
    })?;
    let bundles: Vec<_> = manifest
        .layers
        .iter()
        .filter(|layer| layer.media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX))
        .collect();
    let layer = match bundles.as_slice() {
        [layer] => *layer,
        [] if manifest.layers.iter().any(|l| l.media_type == SIMPLE_SIGNING_MEDIA_TYPE) => {
            return Ok(Content::Legacy);
        }
        [] => return Ok(Content::Other),
        more => {
            return Err(Error::refused(Reason::Malformed, no_manifest)
                .cause(format!("it holds {} bundles", more.len())));
        }
    };
    if layer.size > MAX_BUNDLE_BYTES as u64 {
        return Err(Error::undecided(
            Reason::LimitReached,
            format!("bundle has {} bytes; {MAX_BUNDLE_BYTES} are read", layer.size),
        ));
    }
    if let Some(bytes) = layer.inlined()? {
        return Ok(Content::Bundle(bytes.to_vec()));
    }
    let bound = usize::try_from(layer.size).unwrap_or(MAX_BUNDLE_BYTES);
    let bytes = repository
        .blob(&layer.digest, bound)
        .await?
        .ok_or_else(|| missing("bundle", &layer.digest))?;
    Ok(Content::Bundle(bytes.to_vec()))
}

/// Uploads the empty config that every signature manifest needs: a harmless write, which shows that we
/// may write before anything is made public.
///
/// # Errors
/// Undecided, when the registry does not take it.
pub async fn prove_write_access(repository: &Repository) -> Result<()> {
    repository.push_blob(EMPTY_BLOB.into()).await.map(drop)
}

/// How a bundle was attached.
#[derive(Debug, PartialEq, Eq)]
pub enum Through {
    /// The registry lists it by itself.
    Api,
    /// We listed it in the fallback tag.
    FallbackTag,
}

/// Attaches `bundle` to `subject` as a referrer, and reads back that it is listed. The empty config has
/// been pushed before ([`prove_write_access`]).
///
/// A failure leaves at most blobs and a manifest that nothing lists.
///
/// # Errors
/// Undecided, when the registry does not take a part of it, or does not list it afterwards.
pub async fn attach(
    repository: &Repository,
    subject: &ChartManifest,
    bundle: &[u8],
    created: jiff::Timestamp,
) -> Result<(Through, Digest)> {
    repository.push_blob(bundle.to_vec().into()).await?;
    let subject = Descriptor {
        digest: subject.digest,
        size: subject.size,
        ..Descriptor::of(&subject.media_type, &[])
    };
    let inline = bundle.len() <= MAX_INLINED_BYTES;
    let referrer = Referrer::new(&subject, bundle, COSIGN_SIGN_PREDICATE, created, inline);
    let digest = referrer.entry.digest;
    repository.push_manifest(&digest.to_string(), MANIFEST, referrer.bytes).await?;
    // `OCI-Subject` in the answer promises a listing, and some registries promise it falsely: the listing
    // itself decides.
    for pause in READ_BACK_PAUSES {
        tokio::time::sleep(pause).await;
        match repository.referrers(&subject.digest).await? {
            Answer::Absent { .. } => {
                FallbackTag::new(repository, subject.digest).add(&referrer.entry).await?;
                return Ok((Through::FallbackTag, digest));
            }
            Answer::Listed(entries) => {
                let ours = |entry: &Entry| {
                    entry.descriptor.as_ref().is_ok_and(|entry| entry.digest == digest)
                };
                if entries.iter().any(ours) {
                    return Ok((Through::Api, digest));
                }
            }
        }
    }
    Err(Error::undecided(
        Reason::Unreachable,
        "the registry took the signature and does not list it",
    )
    .note("sign again: what was left behind is not listed anywhere"))
}
