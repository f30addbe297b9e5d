//! What a signature looks like in the registry, byte for byte where others read it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Options as RegistryOptions, digest_of, media_type};
use helm_sigstore_kit::sigstore::{Identity, Options, RekorVersion};
use serde_json::json;

use crate::sign_support::{attached, lines, provenance, signature};
use crate::support::World;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

#[test]
fn the_manifest_is_the_referrer_that_cosign_writes() {
    for world in [World::new(), World::with_fallback_registry()] {
        let before = jiff::Timestamp::now().as_second();
        let (reference, pushed) = world.push_web();
        world.run(&["sign", &reference]).exits(0);
        let made = signature(&world, &pushed);
        let created = made.manifest["annotations"]["org.opencontainers.image.created"].as_str();
        let created = created.unwrap().to_owned();
        let expected = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "artifactType": BUNDLE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY, "size": 2},
            "layers": [{
                "mediaType": BUNDLE,
                "digest": digest_of(&made.bundle_bytes),
                "size": made.bundle_bytes.len(),
                "data": STANDARD.encode(&made.bundle_bytes),
            }],
            "subject": {
                "mediaType": media_type::MANIFEST,
                "digest": pushed.manifest_digest,
                "size": pushed.manifest.len(),
            },
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
                "org.opencontainers.image.created": created,
            },
        });
        assert_eq!(made.manifest, expected);
        assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
        let seconds = created.parse::<jiff::Timestamp>().unwrap().as_second();
        assert!((before..=before + 60).contains(&seconds), "{created}");
        assert_eq!(world.registry.blob(&pushed.repository, EMPTY).unwrap().as_ref(), b"{}");
        // By digest: the signature has no tag of its own.
        let tags = world.registry.tags(&pushed.repository);
        assert!(tags.iter().all(|tag| {
            world.registry.resolve(&pushed.repository, tag).as_ref() != Some(&made.digest)
        }));
    }
}

#[test]
fn the_statement_covers_manifest_chart_and_provenance_in_this_order() {
    let world = World::new();
    let chart = Chart::new("web", "1.3.0+build.5");
    let chart = chart.clone().provenance(provenance(&chart, "x"));
    let pushed = world.push(&chart);
    world.run(&["sign", &format!("{}:1.3.0_build.5", world.repository("web"))]).exits(0);
    let hex = |digest: &str| digest.strip_prefix("sha256:").unwrap().to_owned();
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {
                "name": "web:1.3.0+build.5",
                "digest": {"sha256": hex(&pushed.manifest_digest)},
                "mediaType": media_type::MANIFEST,
            },
            {
                "name": "web-1.3.0+build.5.tgz",
                "digest": {"sha256": hex(&pushed.layer_digest)},
                "mediaType": media_type::CHART,
                "annotations": {
                    "org.opencontainers.image.title": "web",
                    "org.opencontainers.image.version": "1.3.0+build.5",
                },
            },
            {
                "name": "web-1.3.0+build.5.tgz.prov",
                "digest": {"sha256": hex(pushed.provenance_digest.as_deref().unwrap())},
                "mediaType": media_type::PROVENANCE,
            },
        ],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    });
    assert_eq!(signature(&world, &pushed).statement, expected);
}

#[test]
fn a_chart_without_provenance_has_two_subjects() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let statement = signature(&world, &pushed).statement;
    let subjects = statement["subject"].as_array().unwrap();
    let names: Vec<_> = subjects.iter().map(|subject| subject["name"].clone()).collect();
    assert_eq!(names, ["web:1.4.2", "web-1.4.2.tgz"]);
    // A name without host survives a mirror.
    assert!(!statement.to_string().contains("127.0.0.1"), "{statement:#}");
}

#[test]
fn the_bundle_is_of_version_0_3_with_one_leaf_one_entry_one_timestamp_and_one_signature() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let bundle = signature(&world, &pushed).bundle;
    assert_eq!(bundle["mediaType"], BUNDLE);
    let material = &bundle["verificationMaterial"];
    assert!(material["certificate"]["rawBytes"].is_string(), "{material:#}");
    assert!(material.get("x509CertificateChain").is_none());
    assert_eq!(material["tlogEntries"].as_array().unwrap().len(), 1);
    let stamps = &material["timestampVerificationData"]["rfc3161Timestamps"];
    assert_eq!(stamps.as_array().unwrap().len(), 1);
    let envelope = &bundle["dsseEnvelope"];
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(envelope["signatures"].as_array().unwrap().len(), 1);
    let entry = &material["tlogEntries"][0];
    assert_eq!(entry["kindVersion"], json!({"kind": "dsse", "version": "0.0.1"}));
    assert!(entry["inclusionPromise"]["signedEntryTimestamp"].is_string());
    assert!(entry["inclusionProof"]["checkpoint"]["envelope"].is_string());
}

#[test]
fn the_first_entry_of_a_log_is_written_with_its_zeros() {
    for rekor in [RekorVersion::V1, RekorVersion::V2] {
        let sigstore = Options { rekor: vec![rekor], earlier_entries: 0, ..Options::default() };
        let world = World::with(RegistryOptions::default(), sigstore);
        let (reference, pushed) = world.push_web();
        world.run(&["sign", &reference]).exits(0);
        let made = signature(&world, &pushed);
        let entry = &made.bundle["verificationMaterial"]["tlogEntries"][0];
        let proof = &entry["inclusionProof"];
        assert_eq!(proof["logIndex"], "0", "{rekor:?}: {entry:#}");
        assert_eq!(proof["treeSize"], "1", "{rekor:?}: {entry:#}");
        assert_eq!(proof["hashes"], json!([]), "{rekor:?}: {entry:#}");
        if rekor == RekorVersion::V2 {
            assert_eq!(entry["logIndex"], "0", "{entry:#}");
        }
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn a_large_bundle_is_not_inlined_and_takes_verify_one_request_more() {
    let mut world = World::new();
    let (reference, pushed) = world.push_web();
    // A workflow's name may be long, and stands in the certificate several times.
    let path = "x".repeat(3000);
    let workflow = format!("acme/charts/.github/workflows/{path}.yml@refs/heads/main");
    let identity = Identity::github(&workflow);
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), world.sigstore.token(&identity));
    world.run(&["sign", &reference]).exits(0);
    let made = signature(&world, &pushed);
    assert!(made.bundle_bytes.len() > 32 << 10, "{}", made.bundle_bytes.len());
    let layer = &made.manifest["layers"][0];
    assert_eq!(layer.get("data"), None);
    assert_eq!(layer["size"], made.bundle_bytes.len());
    world.registry.reset_requests();
    let issuer = world.sigstore.issuer_url(identity.kind());
    let subject = identity.subject();
    world
        .run(&[
            "verify",
            &reference,
            "--certificate-identity",
            &subject,
            "--certificate-oidc-issuer",
            &issuer,
        ])
        .exits(0);
    assert_eq!(world.registry.requests().len(), 4, "{:#?}", lines(&world));
}

#[test]
fn nothing_but_the_signature_and_its_listing_is_written() {
    for (world, tags) in [(World::new(), 1), (World::with_fallback_registry(), 2)] {
        let (reference, pushed) = world.push_web();
        let blobs = world.registry.blobs(&pushed.repository).len();
        world.run(&["sign", &reference]).exits(0);
        assert_eq!(world.registry.tags(&pushed.repository).len(), tags);
        assert_eq!(world.registry.blobs(&pushed.repository).len(), blobs + 2);
        let (_, manifest) = world.registry.manifest(&pushed.repository, "1.4.2").unwrap();
        assert_eq!(manifest.as_ref(), pushed.manifest.as_slice());
    }
}

#[test]
fn signing_by_reference_takes_at_most_ten_requests_with_the_referrers_api() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    assert!(world.registry.requests().len() <= 10, "{:#?}", lines(&world));
    assert_eq!(crate::sign_support::asked(&world), (1, 1, 1));
}

#[test]
fn signing_by_reference_takes_at_most_thirteen_requests_on_a_fallback_registry() {
    let world = World::with_fallback_registry();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    assert!(world.registry.requests().len() <= 13, "{:#?}", lines(&world));
    assert_eq!(crate::sign_support::asked(&world), (1, 1, 1));
}

#[test]
fn signing_a_file_does_not_fetch_the_chart_layer() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.push(&chart);
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    world.run(&["sign", &file, "--repository", &world.target()]).exits(0);
    let layer = format!("/blobs/{}", pushed.layer_digest);
    assert!(lines(&world).iter().all(|line| !line.contains(&layer)), "{:#?}", lines(&world));
    assert!(world.registry.requests().len() <= 9, "{:#?}", lines(&world));
}

#[test]
fn whoever_is_asked_without_a_challenge_gets_no_credentials() {
    let mut world = World::new();
    world.stdin = b"secret\n".to_vec();
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference, "--username", "jane", "--password-stdin"]).exits(0);
    assert!(world.registry.requests().iter().all(|request| !request.authorization));
    assert_eq!(attached(&world, &pushed).len(), 1);
}
