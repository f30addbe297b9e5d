//! Charts that were signed as cosign did before bundles.

use helm_sigstore_kit::registry::{Pushed, media_type};
use helm_sigstore_kit::sigstore::{
    Identity, LegacySignature, SIGNATURE_ARTIFACT, signature_image, simple_signing,
};
use serde_json::{Value, json};

use crate::support::{WORKFLOW, World};
use crate::verify_craft::put;

/// The payload that cosign writes for a chart.
pub(crate) fn payload(pushed: &Pushed) -> Vec<u8> {
    payload_for(pushed, &pushed.manifest_digest)
}

/// The same for whatever has this digest.
pub(crate) fn payload_for(pushed: &Pushed, digest: &str) -> Vec<u8> {
    simple_signing(&format!("registry.example/{}", pushed.repository), digest, &Value::Null)
}

/// A legacy signature over `payload` by `workflow`.
pub(crate) fn legacy_as(world: &World, workflow: &str, payload: &[u8]) -> LegacySignature {
    world.sigstore.sign_legacy(&Identity::github(workflow), payload, false)
}

/// A good legacy signature over a chart by the usual signer.
pub(crate) fn legacy(world: &World, pushed: &Pushed) -> LegacySignature {
    legacy_as(world, WORKFLOW, &payload(pushed))
}

/// The tag of a chart's legacy signatures.
pub(crate) fn legacy_tag(pushed: &Pushed) -> String {
    format!("{}.sig", pushed.manifest_digest.replacen(':', "-", 1))
}

/// Puts `signatures` under the tag of a chart, in place of those that were there.
pub(crate) fn tag_legacy(world: &World, pushed: &Pushed, signatures: &[LegacySignature]) {
    let manifest = legacy_image(world, pushed, signatures);
    let bytes = manifest.to_string().into_bytes();
    let tag = legacy_tag(pushed);
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::MANIFEST, bytes);
}

/// Attaches `signatures` to a chart as cosign's OCI 1.1 experiment does; answers the digest of the manifest.
pub(crate) fn refer_legacy(
    world: &World,
    pushed: &Pushed,
    signatures: &[LegacySignature],
) -> String {
    let mut manifest = legacy_image(world, pushed, signatures);
    manifest["artifactType"] = json!(SIGNATURE_ARTIFACT);
    manifest["config"]["mediaType"] = json!(SIGNATURE_ARTIFACT);
    manifest["subject"] = json!({
        "mediaType": media_type::MANIFEST,
        "digest": pushed.manifest_digest,
        "size": pushed.manifest.len(),
    });
    put(world, pushed, &manifest)
}

/// Stores payloads and config, and answers the manifest.
pub(crate) fn legacy_image(
    world: &World,
    pushed: &Pushed,
    signatures: &[LegacySignature],
) -> Value {
    let (manifest, config) = signature_image(signatures);
    world.registry.put_blob(&pushed.repository, config);
    for signature in signatures {
        world.registry.put_blob(&pushed.repository, signature.payload.clone());
    }
    manifest
}
