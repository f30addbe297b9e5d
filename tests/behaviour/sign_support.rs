//! What the tests of signing and of registries share beyond the world itself.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Pushed, digest_of};
use helm_sigstore_kit::sigstore::Service;
use serde_json::Value;

use crate::support::{Ended, World};

/// Runs `sign -o json`; answers the exit code and the one result.
#[track_caller]
pub(crate) fn sign_json(world: &World, arguments: &[&str]) -> (u8, Value) {
    let mut words = vec!["sign", "-o", "json"];
    words.extend(arguments);
    let ended = world.run(&words);
    let document = ended.json();
    assert_eq!(document["exitCode"], ended.code, "{document:#}");
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{document:#}");
    (ended.code, results[0].clone())
}

/// How many requests each service has had: Fulcio, timestamp authority, both logs together.
pub(crate) fn asked(world: &World) -> (usize, usize, usize) {
    let count = |service| world.sigstore.request_count(service);
    (count(Service::Fulcio), count(Service::Tsa), count(Service::RekorV1) + count(Service::RekorV2))
}

/// Insists that no certificate was asked for, and nothing after it.
#[track_caller]
pub(crate) fn assert_nothing_public(world: &World) {
    assert_eq!(asked(world), (0, 0, 0), "{:#?}", world.sigstore.requests());
}

/// Insists that no log was asked.
#[track_caller]
pub(crate) fn assert_nothing_logged(world: &World) {
    assert_eq!(asked(world).2, 0, "{:#?}", world.sigstore.requests());
}

/// What the registry holds that refers to a chart, whether or not anything lists it.
pub(crate) fn attached(world: &World, pushed: &Pushed) -> Vec<Value> {
    world.registry.referrers(&pushed.repository, &pushed.manifest_digest)
}

/// What the fallback tag lists.
pub(crate) fn listed_by_tag(world: &World, pushed: &Pushed) -> Vec<Value> {
    world.registry.fallback_referrers(&pushed.repository, &pushed.manifest_digest)
}

/// A provenance file for a chart; `comment` makes another one of it.
pub(crate) fn provenance(chart: &Chart, comment: &str) -> String {
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: {}\nversion: {}\n\n...\nfiles:\n  \
         {}: {}\n-----BEGIN PGP SIGNATURE-----\nComment: {comment}\n\nwsBc\n-----END PGP SIGNATURE-----\n",
        chart.name(),
        chart.version(),
        chart.file_name(),
        digest_of(&chart.tgz()),
    )
}

/// Insists that a secret is nowhere in what a command wrote.
#[track_caller]
pub(crate) fn assert_hides(ended: &Ended, secret: &str) {
    for (stream, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        assert!(!text.contains(secret), "{stream} shows the secret: {text}");
    }
}

/// The requests of the registry, for the message of a failed assertion.
pub(crate) fn lines(world: &World) -> Vec<String> {
    world.registry.requests().iter().map(|request| request.line()).collect()
}

/// Manifest, bundle and statement of the one signature that is attached to a chart.
pub(crate) struct Signature {
    pub(crate) digest: String,
    pub(crate) manifest: Value,
    pub(crate) bundle_bytes: Vec<u8>,
    pub(crate) bundle: Value,
    pub(crate) statement: Value,
}

/// Reads the one signature that is attached to a chart.
#[track_caller]
pub(crate) fn signature(world: &World, pushed: &Pushed) -> Signature {
    let found = attached(world, pushed);
    assert_eq!(found.len(), 1, "{found:#?}");
    let digest = found[0]["digest"].as_str().unwrap().to_owned();
    read_signature(world, pushed, &digest)
}

/// Reads one signature by the digest of its manifest.
#[track_caller]
pub(crate) fn read_signature(world: &World, pushed: &Pushed, digest: &str) -> Signature {
    use base64::Engine as _;
    let (_, bytes) = world.registry.manifest(&pushed.repository, digest).unwrap();
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let bundle_bytes = world.registry.blob(&pushed.repository, layer).unwrap().to_vec();
    let bundle: Value = serde_json::from_slice(&bundle_bytes).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    let statement = serde_json::from_slice(&payload).unwrap();
    Signature { digest: digest.to_owned(), manifest, bundle_bytes, bundle, statement }
}
