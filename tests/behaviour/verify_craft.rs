//! Statements, bundles, referrers and manifests that no honest tool would make.
//!
//! The cryptography in them is real: the kit's services issue it, and our own signer asks for it with a
//! check that lets everything pass.

use helm_sigstore::chart::Digest;
use helm_sigstore::sign::{
    AUDIENCE, Content, Offered, OwnBundleCheck, Services, Signer, TokenSource,
};
use helm_sigstore::trust::{self, Source};
use helm_sigstore::verify::Stage;
use helm_sigstore::{Error, net};
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Pushed, digest_of, index, media_type};
use helm_sigstore_kit::sigstore::Identity;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Ended, WORKFLOW, World};

pub(crate) const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
pub(crate) const SBOM_PREDICATE: &str = "https://spdx.dev/Document";
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
pub(crate) const VERSION: &str = "org.opencontainers.image.version";
pub(crate) const CREATED: &str = "org.opencontainers.image.created";
/// A workflow that nobody trusts.
pub(crate) const MALLORY: &str = "mallory/charts/.github/workflows/x.yml@refs/heads/main";

/// An in-toto statement over `subjects`.
pub(crate) fn statement(subjects: &[Value]) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": SIGN_PREDICATE,
        "predicate": {},
    })
}

/// A subject with a digest and nothing else, as cosign writes it.
pub(crate) fn bare(digest: &str) -> Value {
    json!({"digest": {"sha256": digest.trim_start_matches("sha256:")}})
}

/// A subject with a media type.
pub(crate) fn typed(media_type: &str, digest: &str) -> Value {
    let mut subject = bare(digest);
    subject["mediaType"] = json!(media_type);
    subject
}

/// The chart layer as a subject that names the chart.
pub(crate) fn chart_subject(digest: &str, name: &str, version: &str) -> Value {
    let mut subject = typed(media_type::CHART, digest);
    subject["annotations"] = json!({TITLE: name, VERSION: version});
    subject
}

/// What `sign` states of a chart.
pub(crate) fn usual(pushed: &Pushed, name: &str, version: &str) -> Value {
    let mut subjects = vec![
        typed(media_type::MANIFEST, &pushed.manifest_digest),
        chart_subject(&pushed.layer_digest, name, version),
    ];
    if let Some(prov) = &pushed.provenance_digest {
        subjects.push(typed(media_type::PROVENANCE, prov));
    }
    statement(&subjects)
}

struct Unchecked;

impl OwnBundleCheck for Unchecked {
    type Verified = ();

    fn verify_own(
        &self,
        _: &sigstore_types::Bundle,
        _: &Digest,
        _: Stage,
        _: Timestamp,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// A bundle over `content` by `workflow`, whatever it says.
pub(crate) fn bundle_of(world: &World, workflow: &str, content: Content<'_>) -> Vec<u8> {
    bundle_by(world, &Identity::github(workflow), content)
}

/// A bundle over `statement` by `identity`.
pub(crate) fn sign_by(world: &World, identity: &Identity, statement: &Value) -> Vec<u8> {
    let payload = statement.to_string();
    let content = Content::Statement { payload: payload.as_bytes(), artifact: Digest::of(b"") };
    bundle_by(world, identity, content)
}

/// A bundle over `content` by `identity`.
pub(crate) fn bundle_by(world: &World, identity: &Identity, content: Content<'_>) -> Vec<u8> {
    let config = Source::File(world.path("signing_config.json"));
    let config = trust::signing_config(&config).unwrap();
    let services = Services::select(&config, None, Timestamp::now()).unwrap();
    let token = world.sigstore.token(identity);
    let offered = Offered { environment: Some(token.into()), ..Offered::default() };
    let source = TokenSource::choose(offered).unwrap();
    block_on(async {
        let client = net::Client::new(net::Options::default()).unwrap();
        let token = source.resolve(&client, AUDIENCE).await.unwrap();
        let signer = Signer::new(client, services, source, token, AUDIENCE);
        signer.sign(content, &Unchecked).await.unwrap().json
    })
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

/// A bundle over these payload bytes by `workflow`.
pub(crate) fn sign_payload_as(world: &World, workflow: &str, payload: &[u8]) -> Vec<u8> {
    bundle_of(world, workflow, Content::Statement { payload, artifact: Digest::of(b"") })
}

/// A bundle over `statement` by `workflow`.
pub(crate) fn sign_as(world: &World, workflow: &str, statement: &Value) -> Vec<u8> {
    sign_payload_as(world, workflow, statement.to_string().as_bytes())
}

/// A bundle over `statement` by the usual signer.
pub(crate) fn sign(world: &World, statement: &Value) -> Vec<u8> {
    sign_as(world, WORKFLOW, statement)
}

/// The referrer that cosign would write for `bundle`, not inlined.
pub(crate) fn referrer(pushed: &Pushed, bundle: &[u8]) -> Value {
    let empty = b"{}";
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "artifactType": BUNDLE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": digest_of(empty),
            "size": empty.len(),
        },
        "layers": [{"mediaType": BUNDLE, "digest": digest_of(bundle), "size": bundle.len()}],
        "subject": {
            "mediaType": media_type::MANIFEST,
            "digest": pushed.manifest_digest,
            "size": pushed.manifest.len(),
        },
        "annotations": {
            CREATED: "2026-06-01T00:00:00Z",
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": SIGN_PREDICATE,
        },
    })
}

/// Attaches `bundle` to a chart through the referrers API; answers the digest of its manifest.
pub(crate) fn attach(world: &World, pushed: &Pushed, bundle: &[u8]) -> String {
    attach_as(world, pushed, bundle, |_| ())
}

/// The same, with a last change to the referrer's manifest.
pub(crate) fn attach_as(
    world: &World,
    pushed: &Pushed,
    bundle: &[u8],
    change: impl FnOnce(&mut Value),
) -> String {
    world.registry.put_blob(&pushed.repository, bundle.to_vec());
    let mut manifest = referrer(pushed, bundle);
    change(&mut manifest);
    put(world, pushed, &manifest)
}

/// Stores a manifest beside a chart, without a tag; answers its digest.
pub(crate) fn put(world: &World, pushed: &Pushed, manifest: &Value) -> String {
    let bytes = manifest.to_string().into_bytes();
    world.registry.put_manifest(&pushed.repository, None, media_type::MANIFEST, bytes)
}

/// The fallback tag of a chart.
pub(crate) fn fallback_tag(pushed: &Pushed) -> String {
    pushed.manifest_digest.replacen(':', "-", 1)
}

/// Writes the fallback index of a chart.
pub(crate) fn list(world: &World, pushed: &Pushed, entries: &[Value]) {
    let tag = fallback_tag(pushed);
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::INDEX, index(entries));
}

/// An entry of a fallback index for the referrer with this digest, without type and annotations.
pub(crate) fn entry(world: &World, pushed: &Pushed, digest: &str) -> Value {
    let (media_type, bytes) = world.registry.manifest(&pushed.repository, digest).unwrap();
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Writes `bundle` to a file and answers its path.
pub(crate) fn write(world: &World, name: &str, bytes: &[u8]) -> String {
    std::fs::write(world.path(name), bytes).unwrap();
    world.argument(name)
}

/// Packages a chart into the test's directory and answers its path.
pub(crate) fn package(world: &World, chart: &Chart) -> String {
    chart.write_to(world.directory()).unwrap().display().to_string()
}

/// Insists that `verify` with the usual signer ends with this code and reason and these words, tells
/// nothing on standard output and writes nothing.
#[track_caller]
pub(crate) fn refuses(world: &World, arguments: &[&str], code: u8, reason: &str, words: &[&str]) {
    let ended = told(world, arguments);
    assert_eq!(ended.code, code, "stdout: {}\nstderr: {}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, "", "a refusal is no result");
    for words in words {
        assert!(ended.stderr.contains(words), "no {words:?} in stderr: {}", ended.stderr);
    }
    let result = world.verdict(arguments);
    assert_eq!(result["reason"], reason, "{result:#}");
    assert_eq!(result["digestRef"], Value::Null);
    assert_eq!(result["bundleFile"], Value::Null);
    assert_eq!(result["retryable"], code == 4);
}

/// `verify` with an empty directory for the bundle, which stays empty unless it verifies.
#[track_caller]
pub(crate) fn told(world: &World, arguments: &[&str]) -> Ended {
    let out = world.path("out");
    std::fs::create_dir_all(&out).unwrap();
    let out_argument = out.display().to_string();
    let mut words = vec!["--bundle-out", out_argument.as_str()];
    words.extend(arguments);
    let ended = world.verify(&words);
    if ended.code != 0 {
        let written = std::fs::read_dir(&out).unwrap().count();
        assert_eq!(written, 0, "something was written: {}", ended.stderr);
    }
    ended
}
