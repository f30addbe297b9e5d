//! Legacy cosign signatures in a manifest: one a layer, its pieces beside it as annotations.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::listing::missing;
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};
use crate::registry::{Descriptor, ReferrerManifest, Repository};
use crate::verify::{LegacySignature, MAX_PAYLOAD_BYTES, SIMPLE_SIGNING};

/// Layers of one manifest, at most; as many as cosign reads.
const MAX_LAYERS: usize = 1000;
/// Different payloads of one manifest, at most, the newest. Those who sign alike share theirs.
const MAX_PAYLOADS: usize = 100;
/// Payloads that are fetched side by side: the connections that a host gets.
const SIDE_BY_SIDE: usize = 8;

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
    let layers: Vec<&Descriptor> =
        manifest.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING).collect();
    let limit = |what: &str, most: usize| {
        let cause = format!("a legacy signature has more than {most} {what}");
        Error::undecided(Reason::LimitReached, cause)
    };
    if layers.len() > MAX_LAYERS {
        return Err(limit("layers", MAX_LAYERS));
    }
    let mut wanted: BTreeMap<Digest, &Descriptor> = BTreeMap::new();
    for layer in layers.iter().rev() {
        if wanted.len() < MAX_PAYLOADS {
            wanted.entry(layer.digest).or_insert(layer);
        }
    }
    let fetched = stream::iter(wanted)
        .map(|(digest, layer)| async move { (digest, payload(repository, layer, read).await) })
        .buffer_unordered(SIDE_BY_SIDE);
    let payloads: BTreeMap<Digest, Result<Bytes>> = fetched.collect().await;
    let signature = |layer: &&Descriptor| match payloads.get(&layer.digest) {
        Some(Ok(payload)) => Ok(LegacySignature::of_layer(payload.to_vec(), &layer.annotations)),
        Some(Err(error)) => Err(error.clone()),
        None => Err(limit("payloads", MAX_PAYLOADS)),
    };
    Ok(layers.iter().rev().map(signature).collect())
}

async fn payload(repository: &Repository, layer: &Descriptor, read: &Cell<u64>) -> Result<Bytes> {
    if let Some(bytes) = layer.inlined()? {
        return Ok(bytes);
    }
    let bound = usize::try_from(layer.size).unwrap_or(usize::MAX);
    if bound > MAX_PAYLOAD_BYTES {
        return Err(Error::undecided(
            Reason::LimitReached,
            format!("payload has {} bytes; {MAX_PAYLOAD_BYTES} are read", layer.size),
        ));
    }
    let bytes = repository
        .blob(&layer.digest, bound)
        .await?
        .ok_or_else(|| missing("payload", &layer.digest))?;
    read.set(read.get().saturating_add(bytes.len() as u64));
    Ok(bytes)
}
