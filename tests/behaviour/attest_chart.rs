//! Statements of other kinds about charts: made, required, and never taken for a signature.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::Options;
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;
use serde_json::{Value, json};

use crate::sign_support::{assert_nothing_public, attached, signature};
use crate::support::World;
use crate::verify_craft::{
    MALLORY, SBOM_PREDICATE, attach_as, bare, refuses, sign, sign_as, statement, usual, write,
};

const SLSA: &str = "https://slsa.dev/provenance/v1";
const SBOM: &str = r#"{"spdxVersion": "SPDX-2.3", "n": 1.50, "big": 12345678901234567890123}"#;

/// Attests `predicate` of a chart.
#[track_caller]
fn attest(world: &World, reference: &str, kind: &str) -> crate::support::Ended {
    let file = write(world, "predicate.json", SBOM.as_bytes());
    world.run(&["attest", reference, "--predicate", &file, "--predicate-type", kind])
}

/// A statement of this kind about a chart's manifest, as GitHub attaches it.
fn attach_kind(
    world: &World,
    pushed: &helm_sigstore_kit::registry::Pushed,
    workflow: &str,
    kind: &str,
) {
    let mut made = statement(&[bare(&pushed.manifest_digest)]);
    made["predicateType"] = kind.into();
    made["subject"][0]["name"] = json!("ghcr.io/acme/charts/web");
    let bundle = sign_as(world, workflow, &made);
    attach_as(world, pushed, &bundle, |manifest| {
        manifest["annotations"]["dev.sigstore.bundle.predicateType"] = kind.into();
    });
}

#[test]
fn what_is_attested_stands_in_the_statement_as_it_was_written() {
    for registry in [Options::default(), Options::fallback()] {
        let world = World::with(registry, SigstoreOptions::default());
        let (reference, pushed) = world.push_web();
        attest(&world, &reference, "spdx")
            .exits(0)
            .prints("Attested: ")
            .prints("Attached: sha256:");
        let made = signature(&world, &pushed);
        let annotations = &made.manifest["annotations"];
        assert_eq!(annotations["dev.sigstore.bundle.predicateType"], SBOM_PREDICATE);
        assert_eq!(made.statement["predicateType"], SBOM_PREDICATE);
        assert_eq!(
            made.statement["subject"][0]["digest"]["sha256"].as_str().unwrap(),
            pushed.manifest_digest.trim_start_matches("sha256:")
        );
        let payload = made.bundle["dsseEnvelope"]["payload"].as_str().unwrap();
        let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload);
        let payload = String::from_utf8(payload.unwrap()).unwrap();
        assert!(payload.contains(SBOM), "{payload}");
    }
}

#[test]
fn an_attestation_is_no_signature_and_a_signature_no_attestation() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attest(&world, &reference, "spdx").exits(0);
    refuses(&world, &[&reference], 3, "unsigned", &[]);
    let result = world.verdict(&[&reference]);
    assert_eq!(result["signatures"][0]["status"], "other");
    assert_eq!(result["signatures"][0]["format"], "attestation");
    assert_eq!(result["signatures"][0]["predicateType"], SBOM_PREDICATE);
    world.run(&["sign", &reference]).exits(0);
    world.verify(&[&reference]).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 2);
    refuses(&world, &["--predicate-type", "slsaprovenance1", &reference], 3, "unsigned", &[]);
}

#[test]
fn required_predicates_have_to_be_there_beside_the_signature() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let words = ["required attestation is missing", SBOM_PREDICATE, "looked in"];
    refuses(&world, &["--require-predicate", "spdx", &reference], 5, "wrong-predicate", &words);
    // Somebody else's does not do.
    attach_kind(&world, &pushed, MALLORY, SBOM_PREDICATE);
    let words = ["wrong signer", "mallory", SBOM_PREDICATE];
    refuses(&world, &["--require-predicate", "spdx", &reference], 5, "wrong-signer", &words);
    attest(&world, &reference, "spdx").exits(0);
    world.verify(&["--require-predicate", "spdx", &reference]).exits(0);
    let both = ["--require-predicate", "spdx", "--require-predicate", SLSA, &reference];
    refuses(&world, &both, 5, "wrong-predicate", &[SLSA]);
    attest(&world, &reference, "slsaprovenance1").exits(0);
    let result = world.verdict(&both);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    let accepted: Vec<_> = result["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["status"] == "accepted")
        .map(|one| (one["format"].as_str().unwrap(), one["predicateType"].as_str().unwrap()))
        .collect();
    assert_eq!(accepted[1..], [("attestation", SBOM_PREDICATE), ("attestation", SLSA)]);
    // Attestations do not make up for the signature.
    let unsigned = world.push(&Chart::new("api", "1.0.0"));
    let reference = format!("{}:1.0.0", world.repository("api"));
    attach_kind(&world, &unsigned, crate::support::WORKFLOW, SBOM_PREDICATE);
    refuses(&world, &["--require-predicate", "spdx", &reference], 3, "unsigned", &[]);
}

#[test]
fn a_packaged_chart_finds_what_is_required_in_the_registry() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    world.push(&chart);
    let file = crate::verify_craft::package(&world, &chart);
    let target = world.target();
    let at = ["--repository", &target];
    let predicate = write(&world, "predicate.json", SBOM.as_bytes());
    world.run(&["sign", &file, at[0], at[1]]).exits(0);
    let words = ["attest", &file, at[0], at[1], "--predicate", &predicate, "--type", "spdx"];
    world.run(&words).exits(0);
    world.verify(&[&file, at[0], at[1], "--require-predicate", "spdx"]).exits(0);
    world.verify(&[&file, at[0], at[1], "--require-predicate", "vuln"]).exits(5);
    world.run(&["attest", &file, "--predicate", &predicate, "--type", "spdx"]).exits(2);
    let ended = world.verify(&[&file, "--require-predicate", "spdx"]).exits(2);
    ended.says("one bundle holds one statement");
}

#[test]
fn a_github_attestation_counts_where_its_kind_is_asked_for() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_kind(&world, &pushed, crate::support::WORKFLOW, SLSA);
    refuses(&world, &[&reference], 3, "unsigned", &[]);
    for name in [SLSA, "slsaprovenance1"] {
        let result = world.verdict(&["--predicate-type", name, &reference]);
        assert_eq!(result["verdict"], "verified", "{result:#}");
        assert_eq!(result["signatures"][0]["predicateType"], SLSA);
        assert_eq!(result["signatures"][0]["format"], "attestation");
    }
    let ended = world.verify(&["--type", SLSA, &reference]).exits(0);
    ended.prints(&format!("Predicate: {SLSA}\n")).prints("(signed: manifest)");
    // It names the chart by its manifest, so that what was asked for is compared as ever.
    let other = world.push(&Chart::new("web", "9.9.9"));
    let wrong = format!("{}:9.9.9", world.repository("web"));
    attach_kind(&world, &other, MALLORY, SLSA);
    refuses(&world, &["--type", SLSA, &wrong], 5, "wrong-signer", &[]);
    // By file, as `gh attestation download` leaves it.
    let mut made = statement(&[bare(&pushed.layer_digest)]);
    made["predicateType"] = SLSA.into();
    let bundle = write(&world, "github.json", &sign(&world, &made));
    let file = crate::verify_craft::package(&world, &Chart::new("web", "1.4.2"));
    world.verify(&[&file, "--bundle", &bundle]).exits(3);
    world.verify(&[&file, "--bundle", &bundle, "--predicate-type", SLSA]).exits(0);
}

#[test]
fn any_text_is_attested_as_cosign_does_it() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let said = "approved by the release team\n";
    let file = write(&world, "approval.txt", said.as_bytes());
    world.run(&["attest", &reference, "--predicate", &file, "--type", "custom"]).exits(0);
    let made = signature(&world, &pushed);
    assert_eq!(made.statement["predicateType"], "https://cosign.sigstore.dev/attestation/v1");
    let predicate = &made.statement["predicate"];
    assert_eq!(predicate["Data"], said);
    assert!(predicate["Timestamp"].as_str().unwrap().ends_with('Z'), "{predicate}");
    world.verify(&[&reference, "--predicate-type", "custom"]).exits(0);
    let file = write(&world, "approval.bin", b"\xff\xfe");
    world.run(&["attest", &reference, "--predicate", &file, "--type", "custom"]).exits(2);
}

#[test]
fn a_signature_stays_what_it_is_when_another_kind_is_asked_for() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    attach_as(&world, &pushed, &bundle, |_| ());
    let result = world.verdict(&["--predicate-type", SLSA, &reference]);
    assert_eq!(result["reason"], "unsigned");
    assert_eq!(result["signatures"][0]["status"], "other");
    // The tag of legacy signatures holds nothing of that kind, and is not asked.
    assert!(world.registry.requests().iter().all(|one| !one.line().contains(".sig")));
}

#[test]
fn what_is_no_predicate_or_no_kind_is_told_before_anything_is_public() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(800_000));
    for (content, words) in [
        ("[]", "it is no JSON object"),
        ("", "not a predicate"),
        ("{", "not a predicate"),
        (r#"{"a":1,"a":2}"#, "appears twice"),
        ("SPDXVersion: SPDX-2.3", "not a predicate"),
        (large.as_str(), "larger than"),
    ] {
        let file = write(&world, "wrong.json", content.as_bytes());
        let words_of = ["attest", &reference, "--predicate", &file, "--predicate-type", "spdx"];
        world.run(&words_of).exits(2).says(words);
    }
    let file = write(&world, "p.json", b"{}");
    for kind in ["sbom", "", "https://sigstore.dev/cosign/sign/v1"] {
        world.run(&["attest", &reference, "--predicate", &file, "--predicate-type", kind]).exits(2);
    }
    world.run(&["attest", &reference, "--predicate", &file]).exits(2);
    let missing = world.argument("missing.json");
    world.run(&["attest", &reference, "--predicate", &missing, "--type", "spdx"]).exits(2);
    world
        .verify(&["--require-predicate", "sbom", &reference])
        .exits(2)
        .says("no such predicate type");
    assert_nothing_public(&world);
}

#[test]
fn the_report_of_an_attestation_has_the_fields_of_sign() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let file = write(&world, "predicate.json", SBOM.as_bytes());
    let out = world.argument("out.json");
    let words = ["attest", "-o", "json", &reference, "--predicate", &file, "--type", "cyclonedx"];
    let document = world.run(&[&words[..], &["--bundle-out", &out]].concat()).exits(0).json();
    let result = &document["results"][0];
    assert_eq!(result["verdict"], "signed");
    assert_eq!(result["signatures"][0]["format"], "attestation");
    assert_eq!(result["signatures"][0]["predicateType"], "https://cyclonedx.org/bom");
    assert_eq!(result["attached"].as_array().unwrap().len(), 1);
    assert_eq!(result["bundleFile"], Value::from(out.as_str()));
    assert!(world.path("out.json").exists());
}
