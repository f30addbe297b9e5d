//! What a listing of referrers holds, and what its entries turn out to be; the same whether the registry
//! or the fallback tag keeps the list.

use std::cell::Cell;

use serde::Deserialize;

use super::{
    BUNDLE_MEDIA_TYPE_PREFIX, CREATED_ANNOTATION, Candidate, Content, Discovered, ImageLayer,
    PREDICATE_ANNOTATION, legacy,
};
use crate::chart::Digest;
use crate::error::{Class, Error, Reason, Result};
use crate::registry::{Descriptor, Entry, Index, RawManifest, ReferrerManifest, Repository};
use crate::verify::{MAX_BUNDLE_BYTES, SIMPLE_SIGNING};

/// What is wrong with a manifest that is no signature's though it looks like one.
const NO_MANIFEST: &str = "not a signature manifest";

/// What a listing holds. An entry that cannot be read hides none of the others, and is not passed over
/// in silence either.
pub(super) fn listed<'a>(
    object: String,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Discovered {
    let annotation = |entry: &Descriptor, key: &str| entry.annotations.get(key).cloned();
    let mut candidates = Vec::new();
    let mut unreadable = 0_usize;
    for entry in entries {
        match entry {
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
        media_type: Option<String>,
    }
    let Ok(Manifest { layers }) = serde_json::from_slice(manifest) else { return true };
    layers.into_iter().flatten().filter_map(|layer| layer.media_type).any(|media_type| {
        media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX) || media_type == SIMPLE_SIGNING
    })
}

/// Fetches a referrer's manifest and, where it is not inlined, the bundle; both by digest.
pub(super) async fn fetch(
    repository: &Repository,
    candidate: &Candidate,
    read: &Cell<u64>,
) -> Result<Content> {
    let digest = candidate.digest;
    let raw = repository
        .manifest(&digest.to_string())
        .await?
        .ok_or_else(|| missing("signature manifest", &digest))?;
    unpack(repository, &raw, read).await
}

pub(super) fn missing(what: &str, digest: &Digest) -> Error {
    Error::undecided(Reason::Unreachable, format!("{what} {digest} is listed and not there"))
}

/// Reads a manifest that may hold signatures; nothing where it holds none. Its bytes are added to `read`.
fn opened(raw: &RawManifest, read: &Cell<u64>) -> Result<Option<ReferrerManifest>> {
    count(&raw.bytes, read);
    if let Ok(Some(_)) = Index::parse(&raw.bytes) {
        return Ok(None);
    }
    if !holds_a_signature(&raw.bytes) {
        return Ok(None);
    }
    // These are the bytes that the digest names: asking again will not make a signature of them.
    let manifest = ReferrerManifest::parse(&raw.bytes).map_err(|error| Error {
        class: Class::Refused,
        what: NO_MANIFEST.to_owned(),
        ..error
    })?;
    Ok(Some(manifest))
}

fn count(bytes: &[u8], read: &Cell<u64>) {
    read.set(read.get().saturating_add(bytes.len() as u64));
}

fn is_bundle(layer: &Descriptor) -> bool {
    layer.media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX)
}

/// What the image under a `.sig` tag holds. Everybody who signs appends a layer to it, so that each is a candidate of
/// its own: a bundle that somebody puts there hides none of the signatures.
pub(super) async fn unpack_image(
    repository: &Repository,
    raw: &RawManifest,
    read: &Cell<u64>,
) -> Result<Content> {
    let Some(manifest) = opened(raw, read)? else { return Ok(Content::Other) };
    let signatures = legacy::signatures(repository, &manifest, read).await;
    if !manifest.layers.iter().any(is_bundle) {
        return signatures.map(Content::Legacy);
    }
    let mut layers: Vec<ImageLayer> = match signatures {
        Ok(signatures) => signatures.into_iter().map(ImageLayer::Legacy).collect(),
        Err(error) => vec![ImageLayer::Legacy(Err(error))],
    };
    match legacy::bundles(repository, &manifest, read).await {
        Ok(bundles) => layers.extend(bundles.into_iter().map(ImageLayer::Bundle)),
        Err(error) => layers.push(ImageLayer::Bundle(Err(error))),
    }
    Ok(Content::Image(layers))
}

/// What a manifest that refers to a chart holds: one bundle, or legacy signatures.
pub(super) async fn unpack(
    repository: &Repository,
    raw: &RawManifest,
    read: &Cell<u64>,
) -> Result<Content> {
    let Some(manifest) = opened(raw, read)? else { return Ok(Content::Other) };
    let bundles: Vec<_> = manifest.layers.iter().filter(|layer| is_bundle(layer)).collect();
    let layer = match bundles.as_slice() {
        [layer] => *layer,
        [] if manifest.layers.iter().any(|l| l.media_type == SIMPLE_SIGNING) => {
            return legacy::signatures(repository, &manifest, read).await.map(Content::Legacy);
        }
        [] => return Ok(Content::Other),
        more => {
            return Err(Error::refused(Reason::Malformed, NO_MANIFEST)
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
    count(&bytes, read);
    Ok(Content::Bundle(bytes.to_vec()))
}
