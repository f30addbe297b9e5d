//! Legacy cosign signatures and attestations in a manifest: one a layer, its pieces beside it as annotations.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

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
/// Payloads that are fetched side by side: the connections that a host gets.
const SIDE_BY_SIDE: usize = 8;

/// What is read of a layer.
struct Form<T> {
    media_type: &'static str,
    most_bytes: usize,
    of: fn(Vec<u8>, &BTreeMap<String, String>) -> T,
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
        media_type: SIMPLE_SIGNING,
        most_bytes: MAX_PAYLOAD_BYTES,
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
        media_type: DSSE_ENVELOPE,
        most_bytes: MAX_BUNDLE_BYTES,
        of: LegacyAttestation::of_layer,
    };
    layers(repository, manifest, read, form).await
}

async fn layers<T>(
    repository: &Repository,
    manifest: &ReferrerManifest,
    read: &Cell<u64>,
    form: Form<T>,
) -> Result<Vec<Result<T>>> {
    let layers: Vec<&Descriptor> =
        manifest.layers.iter().filter(|layer| layer.media_type == form.media_type).collect();
    let limit = |what: String| Error::undecided(Reason::LimitReached, what);
    if layers.len() > MAX_LAYERS {
        return Err(limit(format!("a legacy signature has more than {MAX_LAYERS} layers")));
    }
    let mut wanted: BTreeMap<Digest, &Descriptor> = BTreeMap::new();
    let mut left = MAX_BYTES;
    for layer in layers.iter().rev() {
        if wanted.contains_key(&layer.digest) {
            continue;
        }
        let Some(rest) = left.checked_sub(layer.size).filter(|_| wanted.len() < MAX_PAYLOADS)
        else {
            break;
        };
        left = rest;
        wanted.insert(layer.digest, layer);
    }
    let most = form.most_bytes;
    let fetched = stream::iter(wanted)
        .map(
            |(digest, layer)| async move { (digest, payload(repository, layer, most, read).await) },
        )
        .buffer_unordered(SIDE_BY_SIDE);
    let payloads: BTreeMap<Digest, Result<Bytes>> = fetched.collect().await;
    let one = |layer: &&Descriptor| match payloads.get(&layer.digest) {
        Some(Ok(payload)) => Ok((form.of)(payload.to_vec(), &layer.annotations)),
        Some(Err(error)) => Err(error.clone()),
        None => Err(limit(format!(
            "a legacy signature has more than {MAX_PAYLOADS} payloads, or {MAX_BYTES} bytes of them"
        ))),
    };
    Ok(layers.iter().rev().map(one).collect())
}

async fn payload(
    repository: &Repository,
    layer: &Descriptor,
    most: usize,
    read: &Cell<u64>,
) -> Result<Bytes> {
    if let Some(bytes) = layer.inlined()? {
        return Ok(bytes);
    }
    let bound = usize::try_from(layer.size).unwrap_or(usize::MAX);
    if bound > most {
        return Err(Error::undecided(
            Reason::LimitReached,
            format!("payload has {} bytes; {most} are read", layer.size),
        ));
    }
    let bytes = repository
        .blob(&layer.digest, bound)
        .await?
        .ok_or_else(|| missing("payload", &layer.digest))?;
    read.set(read.get().saturating_add(bytes.len() as u64));
    Ok(bytes)
}
