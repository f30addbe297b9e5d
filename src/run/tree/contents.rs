//! What a manifest turns out to be: one thing, or one a layer.

use futures_util::{StreamExt, stream};

use super::{Attachment, Budget, Claimed, Held, SIDE_BY_SIDE, cause_of};
use crate::error::{Class, Error, Reason, Result};
use crate::registry::{Descriptor, Index, RawManifest, ReferrerManifest, Repository};
use crate::verify::{Bundle, COSIGN_SIGN_PREDICATE, ClaimedSigner, MAX_BUNDLE_BYTES};

/// What the media types of all bundle versions begin with.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const NOTATION: &str = "application/vnd.cncf.notary.signature";
const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
const CREATED_ANNOTATION: &str = "org.opencontainers.image.created";
/// Parts of the names of the formats of bills of materials.
const SBOMS: [&str; 3] = ["spdx", "cyclonedx", "syft"];

/// What refers to a chart: one thing where it holds a bundle, else one for each legacy signature or attestation.
pub(super) async fn of_referrer(
    found: &RawManifest,
    claims: Attachment,
    repository: &Repository,
    budget: &Budget,
) -> Vec<Attachment> {
    let (manifest, claims) = match opened(found, claims, budget) {
        (Some(manifest), claims) => (manifest, claims),
        (None, claims) => return vec![claims],
    };
    if let Some(layer) = manifest.layers.iter().find(|layer| is_bundle(layer)) {
        let read = read_bundle(layer, repository, budget).await;
        return vec![of_bundle(read, claims)];
    }
    let layers = manifest.layers.iter().filter_map(|layer| of_layer(layer, &claims)).collect();
    counted(layers).unwrap_or_else(|| vec![of_whole(&manifest, claims)])
}

/// What is under one of cosign's tags: everybody who signs appends a layer, so that each is a thing of its own as
/// soon as one of them is a signature or an attestation, whatever the others are.
pub(super) async fn of_image(
    found: &RawManifest,
    claims: Attachment,
    repository: &Repository,
    budget: &Budget,
) -> Vec<Attachment> {
    let (manifest, claims) = match opened(found, claims, budget) {
        (Some(manifest), claims) => (manifest, claims),
        (None, claims) => return vec![claims],
    };
    let shared = |layer: &Descriptor| is_bundle(layer) || of_layer(layer, &claims).is_some();
    if !manifest.layers.iter().any(shared) {
        return vec![of_whole(&manifest, claims)];
    }
    let layers = stream::iter(&manifest.layers).map(|layer| {
        let claims = &claims;
        async move {
            if let Some(one) = of_layer(layer, claims) {
                return one;
            }
            let part = part(layer, claims);
            if !is_bundle(layer) {
                let kind = if is_sbom(&layer.media_type) { "sbom" } else { "other" };
                return Attachment { kind, ..part };
            }
            match budget.take() {
                Ok(()) => of_bundle(read_bundle(layer, repository, budget).await, part),
                Err(message) => Attachment { message: Some(message), ..part },
            }
        }
    });
    let layers: Vec<_> = layers.buffered(SIDE_BY_SIDE).collect().await;
    counted(layers).unwrap_or_default()
}

/// A manifest, and what it claims as a whole; no manifest where it is none of layers, or cannot be read.
fn opened(
    found: &RawManifest,
    claims: Attachment,
    budget: &Budget,
) -> (Option<ReferrerManifest>, Attachment) {
    budget.spend(found.bytes.len());
    let claims = Attachment { media_type: found.media_type.clone(), ..claims };
    if let Ok(Some(_)) = Index::parse(&found.bytes) {
        return (None, Attachment { kind: "other", ..claims });
    }
    let manifest = match ReferrerManifest::parse(&found.bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            let message = Some(cause_of(&error));
            return (None, Attachment { kind: "other", message, ..claims });
        }
    };
    let config = manifest.config.as_ref().map(|config| config.media_type.clone());
    let subject = manifest.subject.as_ref().map(|subject| subject.digest);
    let held = Held { manifest: found.digest, subject, layers: manifest.layers.clone(), count: 1 };
    let claims = Attachment {
        held: Some(held),
        media_type: manifest.media_type.clone().or(claims.media_type),
        artifact_type: manifest.artifact_type.clone().or(claims.artifact_type).or(config),
        size: Some(manifest.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))),
        claimed_time: manifest.annotations.get(CREATED_ANNOTATION).cloned().or(claims.claimed_time),
        ..claims
    };
    (Some(manifest), claims)
}

/// The parts of one manifest, which know how many they are; nothing where there are none.
fn counted(mut parts: Vec<Attachment>) -> Option<Vec<Attachment>> {
    let count = parts.len();
    parts.iter_mut().filter_map(|one| one.held.as_mut()).for_each(|held| held.count = count);
    (count > 0).then_some(parts)
}

fn is_bundle(layer: &Descriptor) -> bool {
    layer.media_type.starts_with(BUNDLE)
}

/// All layers together, where none is a signature.
fn of_whole(manifest: &ReferrerManifest, claims: Attachment) -> Attachment {
    let artifact_type = claims.artifact_type.as_deref().unwrap_or_default();
    let (kind, format) = match artifact_type {
        NOTATION => ("signature", Some("notation")),
        kind if is_sbom(kind) || manifest.layers.iter().any(|layer| is_sbom(&layer.media_type)) => {
            ("sbom", None)
        }
        _ => ("other", None),
    };
    Attachment { kind, format, ..claims }
}

fn is_sbom(media_type: &str) -> bool {
    SBOMS.iter().any(|name| media_type.contains(name))
}

async fn read_bundle(
    layer: &Descriptor,
    repository: &Repository,
    budget: &Budget,
) -> Result<Bundle> {
    let bytes = match layer.inlined()? {
        Some(bytes) => bytes,
        None => {
            let bound = usize::try_from(layer.size).unwrap_or(usize::MAX).min(MAX_BUNDLE_BYTES);
            let bytes = repository.blob(&layer.digest, bound).await?.ok_or_else(|| {
                Error::undecided(Reason::Unreachable, "the bundle is named, and not there")
            })?;
            budget.spend(bytes.len());
            bytes
        }
    };
    Bundle::parse(&bytes)
}

fn of_bundle(read: Result<Bundle>, claims: Attachment) -> Attachment {
    let claims = Attachment { format: Some("bundle"), ..claims };
    match read {
        Ok(bundle) => {
            let predicate = bundle.statement().map(|statement| statement.predicate_type.clone());
            let signs = predicate.as_deref().is_none_or(|kind| kind == COSIGN_SIGN_PREDICATE);
            Attachment {
                kind: if signs { "signature" } else { "attestation" },
                predicate_type: predicate.or(claims.predicate_type),
                claimed_signer: Claimed::of(ClaimedSigner::of_bundle(&bundle)),
                ..claims
            }
        }
        // What was read and is no bundle will be none the next time.
        Err(error) if error.class == Class::Refused => {
            Attachment { kind: "other", message: Some(error.to_string()), ..claims }
        }
        Err(error) => Attachment { kind: "unknown", message: Some(cause_of(&error)), ..claims },
    }
}

/// One of the things that cosign's tags hold a layer each of.
fn of_layer(layer: &Descriptor, claims: &Attachment) -> Option<Attachment> {
    let (kind, format) = match layer.media_type.as_str() {
        SIMPLE_SIGNING => ("signature", "legacy"),
        DSSE => ("attestation", "dsse"),
        IN_TOTO => ("attestation", "in-toto"),
        _ => return None,
    };
    let annotation = |key: &str| layer.annotations.get(key);
    let predicate = annotation("predicateType").or_else(|| annotation("in-toto.io/predicate-type"));
    let certificate = annotation(CERTIFICATE_ANNOTATION);
    Some(Attachment {
        kind,
        format: Some(format),
        predicate_type: predicate.cloned().or_else(|| claims.predicate_type.clone()),
        claimed_signer: certificate.and_then(|pem| Claimed::of(ClaimedSigner::of_pem(pem))),
        ..part(layer, claims)
    })
}

/// One layer of a manifest, before it is known what it holds.
fn part(layer: &Descriptor, claims: &Attachment) -> Attachment {
    Attachment {
        digest: layer.digest.to_string(),
        media_type: Some(layer.media_type.clone()),
        size: Some(layer.size),
        entry: Some(layer.entry_digest().to_string()),
        held: claims.held.as_ref().map(|held| Held { layers: vec![layer.clone()], ..*held }),
        artifact_type: claims.artifact_type.clone(),
        predicate_type: claims.predicate_type.clone(),
        claimed_time: claims.claimed_time.clone(),
        kind: "unknown",
        ..Attachment::default()
    }
}
