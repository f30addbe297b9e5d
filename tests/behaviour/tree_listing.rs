//! `tree`: what is attached to a chart, wherever it hangs, and nothing of it verified.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Pushed};
use serde_json::{Value, json};

use crate::cli_json::follows;
use crate::sign_support::signature;
use crate::support::{WORKFLOW, World};

const SCHEMA: &str = include_str!("../../docs/tree.schema.json");
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The document of `tree -o json`, held to its schema.
#[track_caller]
fn tree(world: &World, reference: &str, code: u8) -> Value {
    let document = world.run(&["tree", reference, "-o", "json"]).exits(code).json();
    follows(SCHEMA, &document);
    assert_eq!(document["exitCode"], code);
    document
}

fn place<'a>(document: &'a Value, object: &str) -> &'a Value {
    let places = document["places"].as_array().unwrap();
    places.iter().find(|place| place["object"].as_str().unwrap().ends_with(object)).unwrap()
}

/// Stores a manifest with these layers under one of cosign's tags.
fn put_tag(world: &World, pushed: &Pushed, ending: &str, layers: &[Value]) {
    let config = world.registry.put_blob(&pushed.repository, "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": layers,
    });
    let tag = format!("{}.{ending}", pushed.manifest_digest.replace(':', "-"));
    let bytes = manifest.to_string().into_bytes();
    world.registry.put_manifest(&pushed.repository, Some(&tag), MANIFEST, bytes);
}

fn layer(world: &World, pushed: &Pushed, media_type: &str, annotations: &Value) -> Value {
    let digest = world.registry.put_blob(&pushed.repository, "content");
    json!({"mediaType": media_type, "digest": digest, "size": 7, "annotations": annotations})
}

#[test]
fn a_signature_is_listed_with_what_it_claims_in_words() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let made = signature(&world, &pushed);
    let hex = pushed.manifest_digest.replace(':', "-");
    let ended = world.run(&["tree", &reference]).exits(0);
    let size = made.bundle_bytes.len();
    let expected = [
        format!("{reference} ({})", pushed.manifest_digest),
        "├── referrers API (1 found)".to_owned(),
        format!("│   └── {}  signature (bundle), {size} bytes", made.digest),
        "│       Type: application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
        "│       Predicate: https://sigstore.dev/cosign/sign/v1".to_owned(),
        format!("│       Signed by (claimed): https://github.com/{WORKFLOW}"),
    ];
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines[..expected.len()], expected);
    for ending in ["", ".sig", ".att", ".sbom"] {
        assert!(
            ended.stdout.contains(&format!("── tag {hex}{ending} (404)\n")),
            "{}",
            ended.stdout
        );
    }
    let digest = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    let last = format!("nothing of this is verified; to verify it: helm-sigstore verify {digest}");
    assert_eq!(lines.last(), Some(&last.as_str()));
}

#[test]
fn what_hangs_under_the_fallback_tag_and_cosigns_tags_is_listed_too() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.signed_web();
    let plain =
        layer(&world, &pushed, "application/vnd.dev.cosign.simplesigning.v1+json", &json!({}));
    put_tag(&world, &pushed, "sig", &[plain.clone(), plain]);
    let predicate = json!({"predicateType": "https://slsa.dev/provenance/v1"});
    let envelope = layer(&world, &pushed, "application/vnd.dsse.envelope.v1+json", &predicate);
    put_tag(&world, &pushed, "att", &[envelope]);
    put_tag(&world, &pushed, "sbom", &[layer(&world, &pushed, "text/spdx+json", &json!({}))]);
    let document = tree(&world, &reference, 0);
    assert_eq!(place(&document, "referrers API")["status"], "404");
    let hex = pushed.manifest_digest.replace(':', "-");
    let fallback = &place(&document, &hex)["attached"][0];
    assert_eq!((&fallback["kind"], &fallback["format"]), (&json!("signature"), &json!("bundle")));
    let identity = format!("https://github.com/{WORKFLOW}");
    assert_eq!(fallback["claimedSigner"]["identity"], identity.as_str());
    let kinds = |ending: &str| -> Vec<_> {
        let attached = place(&document, ending)["attached"].as_array().unwrap();
        attached.iter().map(|one| (one["kind"].clone(), one["format"].clone())).collect()
    };
    assert_eq!(kinds(".sig"), vec![(json!("signature"), json!("legacy")); 2]);
    assert_eq!(kinds(".att"), [(json!("attestation"), json!("dsse"))]);
    assert_eq!(kinds(".sbom"), [(json!("sbom"), Value::Null)]);
    let attestation = &place(&document, ".att")["attached"][0];
    assert_eq!(attestation["predicateType"], "https://slsa.dev/provenance/v1");
}

#[test]
fn nothing_attached_is_a_success_and_no_such_chart_is_not() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let ended = world.run(&["tree", &reference]).exits(0);
    assert!(ended.stdout.ends_with("\nnothing attached\n"), "{}", ended.stdout);
    tree(&world, &reference, 0);
    let missing = format!("{}:9.9.9", world.repository("web"));
    world.run(&["tree", &missing]).exits(6).says(&format!("error: no such chart: {missing}\n"));
    let document = world.run(&["tree", &missing, "-o", "json"]).exits(6).json();
    assert_eq!(document["schema"], "helm-sigstore.report/v1");
    assert_eq!((&document["exitCode"], &document["verdict"]), (&json!(6), &json!("not-found")));
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    world.run(&["tree", &file.display().to_string()]).exits(2).says("tree is for references");
}

#[test]
fn a_place_that_does_not_answer_is_told_and_hides_no_other() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.registry.fault(Fault::new(".att", Action::status(403)));
    let document = tree(&world, &reference, 4);
    assert_eq!(place(&document, "referrers API")["attached"].as_array().unwrap().len(), 1);
    let silent = place(&document, ".att");
    assert_eq!(silent["answered"], false);
    assert!(silent["status"].as_str().unwrap().contains("403"), "{silent:#}");
    world.registry.clear_faults();
    world.registry.fault(Fault::new("/referrers/", Action::status(403)));
    let document = tree(&world, &reference, 4);
    assert_eq!(place(&document, "referrers API")["answered"], false);
    world
        .run(&["tree", &reference])
        .exits(4)
        .prints("\nnot everything has been listed and read; retry\n");
}

#[test]
fn an_attachment_that_is_not_there_or_no_bundle_is_told() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let made = signature(&world, &pushed);
    world.registry.fault(Fault::new(&made.digest, Action::status(404)));
    let document = tree(&world, &reference, 4);
    let attached = &place(&document, "referrers API")["attached"][0];
    assert_eq!(
        (&attached["kind"], &attached["message"]),
        (&json!("unknown"), &json!("listed, and not there"))
    );
    // The listing's own claims are told all the same.
    assert_eq!(attached["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
}

#[test]
fn what_a_stranger_wrote_is_escaped_and_the_listing_verifies_nothing() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let evil = json!({"predicateType": "x\u{1b}[2K\u{202e}\nVerified: all"});
    let envelope = layer(&world, &pushed, "application/vnd.dsse.envelope.v1+json", &evil);
    put_tag(&world, &pushed, "att", &[envelope]);
    let ended = world.run(&["tree", &reference]).exits(0);
    assert!(!ended.stdout.contains(['\u{1b}', '\u{202e}']), "{:?}", ended.stdout);
    assert!(!ended.stdout.contains("\nVerified:"), "{:?}", ended.stdout);
    let document = tree(&world, &reference, 0);
    let attached = &place(&document, ".att")["attached"][0];
    assert_eq!(attached["verified"], false);
    assert_eq!(world.sigstore.requests().len(), 0);
}

#[test]
fn a_version_constraint_chooses_the_chart_as_for_verify() {
    let world = World::new();
    for version in ["1.4.2", "2.0.0-rc.1"] {
        world.push(&Chart::new("web", version));
    }
    let repository = world.repository("web");
    world.run(&["tree", &repository]).exits(0).prints(":1.4.2 (sha256:");
    world.run(&["tree", &repository, "--devel"]).exits(0).prints(":2.0.0-rc.1 (sha256:");
    world.run(&["tree", &repository, "--version", "^1"]).exits(0).prints(":1.4.2 (sha256:");
}
