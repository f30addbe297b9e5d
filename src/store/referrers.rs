//! Signatures as OCI referrers (OCI distribution specification 1.1, "Listing Referrers" and
//! "Unavailable Referrers API"): found through the API, and attached with the API or the fallback tag.

use super::fallback_tag::FallbackTag;
use super::{
    BUNDLE_MEDIA_TYPE, BUNDLE_MEDIA_TYPE_PREFIX, CONTENT_ANNOTATION, CREATED_ANNOTATION, Candidate,
    Content, Discovered, PREDICATE_ANNOTATION, SIMPLE_SIGNING_MEDIA_TYPE, SignatureStore,
};
use crate::chart::{ChartManifest, Digest};
use crate::error::{Error, Reason, Result};
use crate::registry::{
    Descriptor, EMPTY_CONFIG, ReferrerManifest, Referrers as Answer, Repository,
};
use crate::verify::{COSIGN_SIGN_PREDICATE, MAX_BUNDLE_BYTES, MANIFEST_MEDIA_TYPE};

/// Bundles up to this size also stand in their manifest as `data` (OCI image specification,
/// descriptor), which saves every reader that knows the field a request.
const MAX_INLINED_BYTES: usize = 32 << 10;

/// The signatures that the referrers API lists for one manifest.
#[derive(Debug)]
pub struct Referrers<'a> {
    repository: &'a Repository,
    subject: Digest,
    max_candidates: usize,
}

impl<'a> Referrers<'a> {
    /// The place beside `subject` in `repository`.
    pub fn new(repository: &'a Repository, subject: Digest, max_candidates: usize) -> Self {
        Self { repository, subject, max_candidates }
    }
}

impl SignatureStore for Referrers<'_> {
    async fn discover(&self) -> Discovered {
        let object = "referrers API".to_owned();
        match self.repository.referrers(&self.subject, self.max_candidates).await {
            Ok(Answer::Listed(entries)) => Discovered::found(object, candidates(&entries)),
            Ok(Answer::Absent { why }) => Discovered::nothing(object, why),
            Err(error) => Discovered::open(object, error),
        }
    }

    async fn fetch(&self, candidate: &Candidate) -> Result<Content> {
        fetch(self.repository, candidate).await
    }
}

pub(super) fn candidates(entries: &[Descriptor]) -> Vec<Candidate> {
    let annotation = |entry: &Descriptor, key: &str| entry.annotations.get(key).cloned();
    entries
        .iter()
        .map(|entry| Candidate {
            digest: entry.digest,
            artifact_type: entry.artifact_type.clone(),
            predicate_type: annotation(entry, PREDICATE_ANNOTATION),
            created: annotation(entry, CREATED_ANNOTATION),
        })
        .collect()
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
    let Some(manifest) = ReferrerManifest::parse(&raw.bytes)? else { return Ok(Content::Other) };
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
            return Err(Error::refused(Reason::Malformed, "not a signature manifest")
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
        return Ok(Content::Bundle(bytes));
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
    repository.push_blob(EMPTY_CONFIG.into()).await
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
    let manifest = ReferrerManifest::build(
        BUNDLE_MEDIA_TYPE,
        bundle,
        bundle.len() <= MAX_INLINED_BYTES,
        (subject.media_type.as_str(), &subject.digest, subject.size),
        &[
            (CREATED_ANNOTATION, &created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            (CONTENT_ANNOTATION, "dsse-envelope"),
            (PREDICATE_ANNOTATION, COSIGN_SIGN_PREDICATE),
        ],
    )?;
    let digest = Digest::of(&manifest);
    let listed = Descriptor::of_referrer(&manifest, MANIFEST_MEDIA_TYPE)?;
    repository
        .push_manifest(&digest.to_string(), MANIFEST_MEDIA_TYPE, manifest.into())
        .await?;
    // `OCI-Subject` in the answer promises a listing; some registries promise it falsely, so the
    // listing itself decides.
    match repository.referrers_holding(&subject.digest, &digest).await? {
        Some(true) => Ok((Through::Api, digest)),
        Some(false) => Err(Error::undecided(
            Reason::Unreachable,
            "the registry took the signature and does not list it",
        )
        .note("sign again: what was left behind is not listed anywhere")),
        None => {
            FallbackTag::new(repository, subject.digest).add(&listed).await?;
            Ok((Through::FallbackTag, digest))
        }
    }
}
