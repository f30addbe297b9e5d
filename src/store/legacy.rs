//! What cosign keeps in one manifest, one a layer: legacy signatures and attestations, their pieces beside them as
//! annotations, and what others put there.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::BUNDLE_MEDIA_TYPE_PREFIX;
use super::listing::missing;
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};
use crate::registry::{Descriptor, ReferrerManifest, Repository};
use crate::verify::{
    DSSE_ENVELOPE, LegacyAttestation, LegacySignature, MAX_BUNDLE_BYTES, MAX_PAYLOAD_BYTES,
    SIMPLE_SIGNING,
};

/// Layers of one manifest, at most; as many as cosign reads.
const MAX_LAYERS: usize = 1000;
/// Different payloads of one manifest, at most, the newest. Those who sign alike share theirs.
const MAX_PAYLOADS: usize = 100;
/// Bytes of the payloads of one manifest, as it claims them, at most: what candidates may take by default.
const MAX_BYTES: u64 = 16 << 20;
/// Bytes of the bundles among them, at most: with the largest payloads they are less than candidates may take.
const MAX_BUNDLES_BYTES: u64 = 4 << 20;
/// Bytes of payloads, each counted as often as a layer names it, at most: every layer gets a copy.
const MAX_COPIED_BYTES: usize = 64 << 20;
/// Payloads that are fetched side by side: the connections that a host gets.
const SIDE_BY_SIDE: usize = 8;

/// What is read of a layer.
struct Form<T> {
    is: fn(&str) -> bool,
    /// Whether the payload is all there is of it, so that a second layer with the same is the same.
    alone: bool,
    most_bytes: usize,
    all_bytes: u64,
    of: fn(Vec<u8>, &BTreeMap<String, String>) -> T,
}

/// Where a payload comes from.
enum Source {
    /// Out of the manifest.
    Inlined(Bytes),
    /// The blob, of so many bytes at most.
    Blob(usize),
}

/// The signatures in `manifest`, the newest (the last, as they are appended) first. One that cannot be read
/// hides none of the others.
///
/// # Errors
/// Undecided (`limit-reached`), when there are more than anybody needs.
pub(super) async fn signatures(
    repository: &Repository,
    manifest: &ReferrerManifest,
    read: &Cell<u64>,
) -> Result<Vec<Result<LegacySignature>>> {
    let form = Form {
        is: |media_type| media_type == SIMPLE_SIGNING,
        alone: false,
        most_bytes: MAX_PAYLOAD_BYTES,
        all_bytes: MAX_BYTES,
        of: LegacySignature::of_layer,
    };
    layers(repository, manifest, read, form).await
}

/// The same of attestations.
///
/// # Errors
/// Undecided (`limit-reached`), when there are more than anybody needs.
pub(super) async fn attestations(
    repository: &Repository,
    manifest: &ReferrerManifest,
    read: &Cell<u64>,
) -> Result<Vec<Result<LegacyAttestation>>> {
    let form = Form {
        is: |media_type| media_type == DSSE_ENVELOPE,
        alone: false,
        most_bytes: MAX_BUNDLE_BYTES,
        all_bytes: MAX_BYTES,
        of: LegacyAttestation::of_layer,
    };
    layers(repository, manifest, read, form).await
}

/// The same of bundles that somebody has put beside them.
///
/// # Errors
/// Undecided (`limit-reached`), when there are more than anybody needs.
pub(super) async fn bundles(
    repository: &Repository,
    manifest: &ReferrerManifest,
    read: &Cell<u64>,
) -> Result<Vec<Result<Vec<u8>>>> {
    let form = Form {
        is: |media_type| media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX),
        alone: true,
        most_bytes: MAX_BUNDLE_BYTES,
        all_bytes: MAX_BUNDLES_BYTES,
        of: |bundle, _: &BTreeMap<String, String>| bundle,
    };
    layers(repository, manifest, read, form).await
}

async fn layers<T>(
    repository: &Repository,
    manifest: &ReferrerManifest,
    read: &Cell<u64>,
    form: Form<T>,
) -> Result<Vec<Result<T>>> {
    let mut layers: Vec<&Descriptor> =
        manifest.layers.iter().filter(|layer| (form.is)(&layer.media_type)).rev().collect();
    let limit = |what: String| Error::undecided(Reason::LimitReached, what);
    if layers.len() > MAX_LAYERS {
        return Err(limit(format!("a legacy signature has more than {MAX_LAYERS} layers")));
    }
    let all_bytes = form.all_bytes;
    let mut wanted: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut payloads: BTreeMap<Digest, Result<Bytes>> = BTreeMap::new();
    let mut left = all_bytes;
    let described = described(&layers);
    if form.alone {
        layers = described.iter().filter_map(|(_, same)| same.first().copied()).collect();
    }
    for (digest, described) in described.into_iter().take(MAX_PAYLOADS) {
        match source(&described, form.most_bytes) {
            Ok(Source::Inlined(bytes)) => {
                payloads.insert(digest, Ok(bytes));
            }
            // One that is too large hides none of the others.
            Ok(Source::Blob(bound)) => {
                if let Some(rest) = left.checked_sub(bound as u64) {
                    left = rest;
                    wanted.insert(digest, bound);
                }
            }
            Err(error) => {
                payloads.insert(digest, Err(error));
            }
        }
    }
    let fetched =
        stream::iter(wanted)
            .map(|(digest, bound)| async move {
                (digest, payload(repository, &digest, bound, read).await)
            })
            .buffer_unordered(SIDE_BY_SIDE);
    let fetched: Vec<_> = fetched.collect().await;
    payloads.extend(fetched);
    let mut copied = 0_usize;
    let one = |layer: &&Descriptor| match payloads.get(&layer.digest) {
        Some(Ok(payload)) => {
            copied = copied.saturating_add(payload.len());
            match copied <= MAX_COPIED_BYTES {
                true => Ok((form.of)(payload.to_vec(), &layer.annotations)),
                false => Err(limit(format!(
                    "the layers of a legacy signature repeat more than {MAX_COPIED_BYTES} bytes"
                ))),
            }
        }
        Some(Err(error)) => Err(error.clone()),
        None => Err(limit(format!(
            "a legacy signature has more than {MAX_PAYLOADS} payloads, or {all_bytes} bytes of them"
        ))),
    };
    Ok(layers.iter().map(one).collect())
}

/// The different payloads, in the order of `layers`, each with all who describe it.
fn described<'a>(layers: &[&'a Descriptor]) -> Vec<(Digest, Vec<&'a Descriptor>)> {
    let mut described: Vec<(Digest, Vec<&Descriptor>)> = Vec::new();
    let mut places: BTreeMap<Digest, usize> = BTreeMap::new();
    for layer in layers {
        match places.entry(layer.digest) {
            Entry::Vacant(place) => {
                place.insert(described.len());
                described.push((layer.digest, vec![layer]));
            }
            Entry::Occupied(place) => {
                if let Some((_, known)) = described.get_mut(*place.get()) {
                    known.push(layer);
                }
            }
        }
    }
    described
}

/// Where the payload that all of these describe comes from. All who sign alike share theirs, and anybody can append
/// a layer that describes it wrongly, so that none of them decides alone: the digest does, whoever names it.
///
/// # Errors
/// Undecided: nobody describes it as something that is read.
fn source(described: &[&Descriptor], most: usize) -> Result<Source> {
    let mut broken = None;
    let mut sizes = Vec::new();
    for layer in described {
        match layer.inlined() {
            Ok(Some(bytes)) => return Ok(Source::Inlined(bytes)),
            Ok(None) => sizes.push(usize::try_from(layer.size).unwrap_or(usize::MAX)),
            Err(error) => {
                broken.get_or_insert(error);
            }
        }
    }
    if let Some(bound) = sizes.iter().filter(|size| **size <= most).max() {
        return Ok(Source::Blob(*bound));
    }
    Err(broken.unwrap_or_else(|| {
        let size = sizes.iter().min().copied().unwrap_or_default();
        let cause = format!("payload has {size} bytes; {most} are read");
        Error::undecided(Reason::LimitReached, cause)
    }))
}

async fn payload(
    repository: &Repository,
    digest: &Digest,
    bound: usize,
    read: &Cell<u64>,
) -> Result<Bytes> {
    let bytes = repository.blob(digest, bound).await?.ok_or_else(|| missing("payload", digest))?;
    read.set(read.get().saturating_add(bytes.len() as u64));
    Ok(bytes)
}
