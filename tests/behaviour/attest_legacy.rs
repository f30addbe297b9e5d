//! Attestations that cosign made before bundles, under the tag `.att`: found where another kind of statement is asked
//! for, and judged as any other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Pushed, media_type};
use serde_json::{Map, Value, json};

use crate::support::{WORKFLOW, World};
use crate::verify_craft::{MALLORY, SBOM_PREDICATE, bare, refuses, sign_as, statement, usual};

const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const LOG: &str = "dev.sigstore.cosign/bundle";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";

/// An attestation as cosign 2 kept it.
#[derive(Clone)]
struct Pieces {
    envelope: Vec<u8>,
    annotations: Map<String, Value>,
}

/// What `workflow` states of `digest`, in the older form.
fn attested(world: &World, workflow: &str, digest: &str, kind: &str) -> Pieces {
    let mut made = statement(&[bare(digest)]);
    made["_type"] = json!("https://in-toto.io/Statement/v0.1");
    made["predicateType"] = kind.into();
    made["subject"][0]["name"] = json!("registry.example/charts/web");
    in_pieces(&sign_as(world, workflow, &made))
}

/// The same evidence, as cosign 2 kept it.
fn in_pieces(bundle: &[u8]) -> Pieces {
    let bundle: Value = serde_json::from_slice(bundle).unwrap();
    let material = &bundle["verificationMaterial"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let number = |value: &Value| -> u64 { value.as_str().unwrap().parse().unwrap() };
    let entry = &material["tlogEntries"][0];
    let log_id = BASE64.decode(text(&entry["logId"]["keyId"])).unwrap();
    let log_id: String = log_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let log = json!({
        "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        "Payload": {
            "body": entry["canonicalizedBody"],
            "integratedTime": number(&entry["integratedTime"]),
            "logIndex": number(&entry["logIndex"]),
            "logID": log_id,
        },
    });
    let leaf = text(&material["certificate"]["rawBytes"]);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{leaf}\n-----END CERTIFICATE-----\n");
    let annotations = json!({
        "dev.cosignproject.cosign/signature": "",
        "predicateType": "https://claims.example/anything",
        CERTIFICATE: pem,
        "dev.sigstore.cosign/chain": "",
        LOG: log.to_string(),
    });
    Pieces {
        envelope: bundle["dsseEnvelope"].to_string().into_bytes(),
        annotations: annotations.as_object().unwrap().clone(),
    }
}

/// Puts attestations under the tag of a chart.
fn tag(world: &World, pushed: &Pushed, all: &[Pieces]) {
    let repository = &pushed.repository;
    let layer = |one: &Pieces| {
        let digest = world.registry.put_blob(repository, one.envelope.clone());
        let size = one.envelope.len();
        json!({"mediaType": DSSE, "digest": digest, "size": size, "annotations": one.annotations})
    };
    let config = world.registry.put_blob(repository, "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": all.iter().map(layer).collect::<Vec<_>>(),
    });
    let tag = format!("{}.att", pushed.manifest_digest.replacen(':', "-", 1));
    let bytes = manifest.to_string().into_bytes();
    world.registry.put_manifest(repository, Some(&tag), media_type::MANIFEST, bytes);
}

#[test]
fn a_legacy_attestation_counts_as_the_kind_that_it_is() {
    for world in [World::new(), World::with_fallback_registry()] {
        let (reference, pushed) = world.push_web();
        tag(
            &world,
            &pushed,
            &[attested(&world, WORKFLOW, &pushed.manifest_digest, SBOM_PREDICATE)],
        );
        let result = world.verdict(&["--predicate-type", "spdx", &reference]);
        assert_eq!(result["verdict"], "verified", "{result:#}");
        let one = &result["signatures"][0];
        assert_eq!((&one["format"], &one["place"]), (&json!("attestation"), &json!("cosign-tag")));
        assert_eq!(one["predicateType"], SBOM_PREDICATE);
        assert!(one["log"]["index"].is_u64() && one["log"]["time"].is_string(), "{one:#}");
        // It is no signature, and of no other kind, whatever its annotations say.
        refuses(&world, &[&reference], 3, "unsigned", &[]);
        refuses(&world, &["--predicate-type", "vuln", &reference], 3, "unsigned", &[]);
        let claimed = ["--predicate-type", "https://claims.example/anything", &reference];
        refuses(&world, &claimed, 3, "unsigned", &[]);
    }
}

#[test]
fn what_is_required_beside_the_signature_may_be_a_legacy_attestation() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let of = |workflow| attested(&world, workflow, &pushed.manifest_digest, SBOM_PREDICATE);
    let required = ["--require-predicate", "spdx", &reference];
    tag(&world, &pushed, &[of(MALLORY)]);
    refuses(&world, &required, 5, "wrong-signer", &["mallory", SBOM_PREDICATE]);
    // One that somebody else added, and one that nobody can read, hide none of the others.
    let broken = Pieces { envelope: b"{}".to_vec(), ..of(MALLORY) };
    tag(&world, &pushed, &[of(MALLORY), of(WORKFLOW), broken]);
    world.verify(&required).exits(0);
    let bundles = ["--accept", "bundle", "--require-predicate", "spdx", &reference];
    refuses(&world, &bundles, 5, "wrong-predicate", &[]);
}

#[test]
fn an_attestation_that_was_copied_from_another_chart_is_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let other = world.push(&Chart::new("web", "2.0.0"));
    tag(&world, &pushed, &[attested(&world, WORKFLOW, &other.manifest_digest, SBOM_PREDICATE)]);
    refuses(&world, &["--predicate-type", "spdx", &reference], 5, "not-covered", &[]);
}

#[test]
fn log_entry_certificate_and_envelope_belong_together() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let of = |workflow| attested(&world, workflow, &pushed.manifest_digest, SBOM_PREDICATE);
    let (own, again) = (of(WORKFLOW), of(WORKFLOW));
    let asked = ["--predicate-type", "spdx", &reference];
    let with = |name: &str, value: Value| {
        let mut changed = own.clone();
        changed.annotations.insert(name.to_owned(), value);
        changed
    };
    let log: Value = serde_json::from_str(own.annotations[LOG].as_str().unwrap()).unwrap();
    let mut later = log.clone();
    later["Payload"]["integratedTime"] = json!(1_700_000_000);
    let mut other_payload = own.clone();
    let mut envelope: Value = serde_json::from_slice(&own.envelope).unwrap();
    let text = usual(&pushed, "web", "1.4.2")
        .to_string()
        .replace(crate::verify_craft::SIGN_PREDICATE, SBOM_PREDICATE);
    envelope["payload"] = json!(BASE64.encode(text));
    other_payload.envelope = envelope.to_string().into_bytes();
    for (what, changed, reason) in [
        ("another entry", with(LOG, again.annotations[LOG].clone()), "bad-signature"),
        ("another time", with(LOG, json!(later.to_string())), "bad-signature"),
        (
            "another certificate",
            with(CERTIFICATE, again.annotations[CERTIFICATE].clone()),
            "bad-signature",
        ),
        ("another payload", other_payload, "bad-signature"),
        ("no entry", with(LOG, json!("")), "malformed"),
        ("an entry that is none", with(LOG, json!("{}")), "malformed"),
        ("a certificate that is none", with(CERTIFICATE, json!("x")), "malformed"),
    ] {
        tag(&world, &pushed, &[changed]);
        let result = world.verdict(&asked);
        assert_eq!(result["reason"], reason, "{what}: {result:#}");
    }
    // An entry of the kind that is for signatures over plain bytes.
    let legacy = crate::legacy_support::legacy(&world, &pushed);
    tag(&world, &pushed, &[with(LOG, json!(legacy.log.unwrap().to_string()))]);
    refuses(&world, &asked, 5, "malformed", &["not dsse/0.0.1 or intoto/0.0.2"]);
    let mut twice: Value = serde_json::from_slice(&own.envelope).unwrap();
    let signature = twice["signatures"][0].clone();
    twice["signatures"] = json!([signature, signature]);
    let twice = Pieces { envelope: twice.to_string().into_bytes(), ..own.clone() };
    tag(&world, &pushed, &[twice]);
    refuses(&world, &asked, 5, "malformed", &["exactly one signature"]);
    tag(&world, &pushed, &[own]);
    world.verify(&asked).exits(0);
}

#[test]
fn a_tag_that_does_not_answer_leaves_open_what_is_required() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    world.registry.fault(Fault::new(".att", Action::status(503)));
    world.verify(&["--require-predicate", "spdx", &reference]).exits(4);
    // Whoever asks for nothing of that kind does not ask for it.
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_image_of_attestations_is_read_within_bounds() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let mut large = attested(&world, WORKFLOW, &pushed.manifest_digest, SBOM_PREDICATE);
    large.envelope = vec![b' '; (1 << 20) + 1];
    tag(&world, &pushed, &[large]);
    let asked = ["--predicate-type", "spdx", &reference];
    refuses(&world, &asked, 4, "limit-reached", &["1048576 are read"]);
    // Nor does a small image make much of one envelope by naming it often.
    let mut often = attested(&world, WORKFLOW, &pushed.manifest_digest, SBOM_PREDICATE);
    often.envelope = vec![b' '; 1 << 20];
    tag(&world, &pushed, &vec![often; 80]);
    refuses(&world, &asked, 4, "limit-reached", &["repeat more than 67108864 bytes"]);
}
