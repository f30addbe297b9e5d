//! Certificates, timestamps and log entries that prove something else, or nothing.

use helm_sigstore::chart::Digest;
use helm_sigstore::sign::Content;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Options as RegistryOptions, Pushed, digest_of};
use helm_sigstore_kit::sigstore::{Fault, Options, RekorVersion, Service};
use serde_json::{Value, json};

use crate::support::{WORKFLOW, World};
use crate::verify_craft::{
    MALLORY, SIGN_PREDICATE, attach, bare, bundle_of, refuses, sign, sign_as, sign_payload_as,
    statement, usual, write,
};

fn with_log(version: RekorVersion) -> World {
    let options = Options { rekor: vec![version], ..Options::default() };
    World::with(RegistryOptions::default(), options)
}

fn parsed(bundle: &[u8]) -> Value {
    serde_json::from_slice(bundle).unwrap()
}

/// Insists that this bundle is refused for `web` 1.4.2, from a file.
#[track_caller]
fn is_refused(world: &World, reference: &str, bundle: &Value, reasons: &[&str]) -> String {
    let path = write(world, "b.json", bundle.to_string().as_bytes());
    let ended = world.verify(&[reference, "--bundle", &path]);
    assert_eq!((ended.code, ended.stdout.as_str()), (5, ""), "{}", ended.stderr);
    let result = world.verdict(&[reference, "--bundle", &path]);
    let reason = result["reason"].as_str().unwrap();
    assert!(reasons.contains(&reason), "{reason}: {}", ended.stderr);
    ended.stderr
}

fn good(world: &World) -> (String, Pushed, Value) {
    let (reference, pushed) = world.push_web();
    let bundle = parsed(&sign(world, &usual(&pushed, "web", "1.4.2")));
    let path = write(world, "b.json", bundle.to_string().as_bytes());
    world.verify(&[&reference, "--bundle", &path]).exits(0);
    (reference, pushed, bundle)
}

#[test]
fn advisory_cve_2026_22703_a_log_entry_of_another_signature_is_refused() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let world = with_log(version);
        let (reference, pushed, bundle) = good(&world);
        // The same signer over another chart, the same statement signed once more, somebody else.
        let api = world.push(&Chart::new("api", "1.4.2"));
        for other in [
            sign(&world, &usual(&api, "api", "1.4.2")),
            sign(&world, &usual(&pushed, "web", "1.4.2")),
            sign_as(&world, MALLORY, &usual(&pushed, "web", "1.4.2")),
            bundle_of(
                &world,
                WORKFLOW,
                Content::Message { artifact: Digest::parse(&pushed.manifest_digest).unwrap() },
            ),
        ] {
            let other = parsed(&other);
            let mut spliced = bundle.clone();
            spliced["verificationMaterial"]["tlogEntries"] =
                other["verificationMaterial"]["tlogEntries"].clone();
            let told = is_refused(&world, &reference, &spliced, &["bad-signature", "malformed"]);
            assert!(told.contains("log entry") || told.contains("bundle"), "{told}");
            // Nor does a second, unrelated entry count beside our own as anything but a contradiction.
            let mut both = bundle.clone();
            let foreign = other["verificationMaterial"]["tlogEntries"][0].clone();
            both["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap().push(foreign);
            is_refused(&world, &reference, &both, &["bad-signature", "malformed"]);
        }
    }
}

#[test]
fn signature_certificate_and_timestamp_of_another_bundle_are_refused() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let world = with_log(version);
        let (reference, pushed, bundle) = good(&world);
        let other = parsed(&sign(&world, &usual(&pushed, "web", "1.4.2")));
        for pointer in [
            "/dsseEnvelope/signatures",
            "/verificationMaterial/certificate",
            "/verificationMaterial/timestampVerificationData",
        ] {
            let mut spliced = bundle.clone();
            *spliced.pointer_mut(pointer).unwrap() = other.pointer(pointer).unwrap().clone();
            is_refused(&world, &reference, &spliced, &["bad-signature"]);
        }
        // The payload that names this chart, under a signature that is not over it.
        let evil = parsed(&sign_as(&world, MALLORY, &usual(&pushed, "web", "1.4.2")));
        let mut spliced = bundle.clone();
        let altered = statement(&[bare(&pushed.manifest_digest)]).to_string();
        use base64::Engine as _;
        let altered = base64::engine::general_purpose::STANDARD.encode(altered);
        spliced["dsseEnvelope"]["payload"] = altered.into();
        is_refused(&world, &reference, &spliced, &["bad-signature"]);
        let mut spliced = evil;
        spliced["verificationMaterial"]["certificate"] =
            bundle["verificationMaterial"]["certificate"].clone();
        is_refused(&world, &reference, &spliced, &["bad-signature"]);
    }
}

#[test]
fn evidence_that_a_service_made_wrongly_is_refused() {
    for (version, fault) in [
        (RekorVersion::V1, Fault::NoSct),
        (RekorVersion::V1, Fault::SctByUnknownLog),
        (RekorVersion::V1, Fault::WrongSet),
        (RekorVersion::V1, Fault::WrongCheckpoint(Service::RekorV1)),
        (RekorVersion::V1, Fault::WrongInclusionProof(Service::RekorV1)),
        (RekorVersion::V2, Fault::WrongCheckpoint(Service::RekorV2)),
        (RekorVersion::V2, Fault::WrongInclusionProof(Service::RekorV2)),
        (RekorVersion::V1, Fault::TimestampByUnknownAuthority),
        (RekorVersion::V2, Fault::TimestampByUnknownAuthority),
    ] {
        let world = with_log(version);
        let (reference, pushed) = world.push_web();
        world.sigstore.set_fault(fault.clone());
        attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
        let ended = world.verify(&[&reference]);
        assert_eq!(ended.code, 5, "{fault:?}: {}{}", ended.stdout, ended.stderr);
        let reason = world.verdict(&[&reference])["reason"].clone();
        assert_eq!(reason, "bad-signature", "{fault:?}: {}", ended.stderr);
    }
}

#[test]
fn evidence_that_is_missing_is_refused() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let world = with_log(version);
        let (reference, _, bundle) = good(&world);
        let without = |change: fn(&mut Value)| {
            let mut bundle = bundle.clone();
            change(&mut bundle);
            is_refused(&world, &reference, &bundle, &["bad-signature", "malformed"]);
        };
        without(|b| b["verificationMaterial"]["tlogEntries"] = json!([]));
        without(|b| drop(b["verificationMaterial"].as_object_mut().unwrap().remove("tlogEntries")));
        without(|b| b["dsseEnvelope"]["signatures"] = json!([]));
        without(|b| drop(b.as_object_mut().unwrap().remove("dsseEnvelope")));
        without(|b| drop(b["verificationMaterial"].as_object_mut().unwrap().remove("certificate")));
        // gitsign CVE-2026-44310: an empty list of certificates was no error, and exit 0.
        without(|b| {
            let material = b["verificationMaterial"].as_object_mut().unwrap();
            material.remove("certificate");
            material.insert("x509CertificateChain".into(), json!({"certificates": []}));
            b["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2".into();
        });
        // A key where a certificate is asked for.
        let mut key = bundle.clone();
        let material = key["verificationMaterial"].as_object_mut().unwrap();
        material.remove("certificate");
        material.insert("publicKey".into(), json!({"hint": "x"}));
        is_refused(&world, &reference, &key, &["wrong-signer"]);
        if version == RekorVersion::V2 {
            // Without a timestamp nothing says when it was: v2 has no time of its own.
            without(|b| b["verificationMaterial"]["timestampVerificationData"] = json!({}));
        }
    }
}

#[test]
fn advisory_cve_2024_45395_evidence_without_end_is_refused() {
    let world = World::new();
    let (reference, pushed, bundle) = good(&world);
    let mut entries = bundle.clone();
    let entry = entries["verificationMaterial"]["tlogEntries"][0].clone();
    entries["verificationMaterial"]["tlogEntries"] = vec![entry; 33].into();
    let told = is_refused(&world, &reference, &entries, &["malformed"]);
    assert!(told.contains("33 log entries"), "{told}");
    let mut stamps = bundle;
    let data = &mut stamps["verificationMaterial"]["timestampVerificationData"];
    let stamp = data["rfc3161Timestamps"][0].clone();
    data["rfc3161Timestamps"] = vec![stamp; 33].into();
    let told = is_refused(&world, &reference, &stamps, &["malformed"]);
    assert!(told.contains("33 timestamps"), "{told}");
    let mut subjects = vec![bare(&pushed.manifest_digest)];
    subjects.extend((0..1024).map(|number: u32| bare(&digest_of(&number.to_be_bytes()))));
    let many = parsed(&sign(&world, &statement(&subjects)));
    let told = is_refused(&world, &reference, &many, &["malformed"]);
    assert!(told.contains("more than 1024 subjects"), "{told}");
    let mut digests = bare(&pushed.manifest_digest);
    for number in 0..32 {
        digests["digest"][format!("x{number}")] = "00".into();
    }
    let many = parsed(&sign(&world, &statement(&[digests])));
    let told = is_refused(&world, &reference, &many, &["malformed"]);
    assert!(told.contains("33 digests"), "{told}");
}

#[test]
fn a_second_dsse_signature_is_refused() {
    // TOB-SIGSTORE-9: which of them was verified?
    let world = World::new();
    let (reference, pushed, bundle) = good(&world);
    let other = parsed(&sign(&world, &usual(&pushed, "web", "1.4.2")));
    let (one, two) =
        (&bundle["dsseEnvelope"]["signatures"][0], &other["dsseEnvelope"]["signatures"][0]);
    for signatures in [json!([one, one]), json!([one, two]), json!([two, one])] {
        let mut several = bundle.clone();
        several["dsseEnvelope"]["signatures"] = signatures;
        is_refused(&world, &reference, &several, &["malformed"]);
    }
}

#[test]
fn advisory_cve_2026_39395_a_payload_that_is_no_statement_is_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let manifest = bare(&pushed.manifest_digest);
    let subject = manifest.to_string();
    let v1 = "https://in-toto.io/Statement/v1";
    for payload in [
        String::new(),
        "nonsense".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        statement(&[]).to_string(),
        statement(&[json!({"digest": {}})]).to_string(),
        statement(&[json!({"name": "web"})]).to_string(),
        statement(&[manifest.clone(), Value::Null]).to_string(),
        format!(r#"{{"_type":"{v1}","predicateType":"{SIGN_PREDICATE}"}}"#),
        format!(r#"{{"_type":"{v1}","subject":[{subject}]}}"#),
        format!(r#"{{"_type":"else","subject":[{subject}],"predicateType":"{SIGN_PREDICATE}"}}"#),
        // Duplicate keys: two readers, two statements (gitsign CVE-2026-44309).
        format!(
            r#"{{"_type":"{v1}","subject":[],"subject":[{subject}],"predicateType":"{SIGN_PREDICATE}"}}"#
        ),
        format!(
            r#"{{"_type":"{v1}","subject":[{subject}],"predicateType":"x","predicateType":"{SIGN_PREDICATE}"}}"#
        ),
        format!("{} x", statement(std::slice::from_ref(&manifest))),
    ] {
        let bundle = parsed(&sign_payload_as(&world, WORKFLOW, payload.as_bytes()));
        let told = is_refused(&world, &reference, &bundle, &["malformed"]);
        assert!(told.contains("not an in-toto statement"), "{payload}: {told}");
    }
    // Fields that nobody knows are ignored, as in-toto asks of a consumer.
    let mut more = statement(&[manifest]);
    more["later"] = json!({"x": [1, 2]});
    more["subject"][0]["uri"] = "x".into();
    attach(&world, &pushed, &sign(&world, &more));
    world.verify(&[&reference]).exits(0);
}

#[test]
fn advisory_cve_2022_35929_an_attestation_of_another_type_is_no_signature() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    for predicate in ["https://slsa.dev/provenance/v1", "", "https://sigstore.dev/cosign/sign/v2"] {
        let mut other = usual(&pushed, "web", "1.4.2");
        other["predicateType"] = predicate.into();
        attach(&world, &pushed, &sign(&world, &other));
        refuses(&world, &[&reference], 3, "unsigned", &[]);
    }
}

#[test]
fn advisory_cve_2026_31830_a_digest_that_is_not_this_charts_is_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let hex = pushed.manifest_digest.trim_start_matches("sha256:");
    for digest in [
        json!({"sha256": ""}),
        json!({"sha256": "00"}),
        json!({"sha256": &hex[..63]}),
        json!({"sha256": hex.to_uppercase()}),
        json!({"sha256": format!("sha256:{hex}")}),
        json!({"sha512": hex}),
        json!({"SHA256": hex}),
        json!({"sha1": hex}),
    ] {
        let bundle = parsed(&sign(&world, &statement(&[json!({"digest": digest})])));
        is_refused(&world, &reference, &bundle, &["not-covered"]);
    }
}

#[test]
fn advisory_cve_2021_21303_what_a_stranger_wrote_cannot_move_the_cursor() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let name = "web\u{1b}[2J\r\nVerified: everything\u{202e}";
    attach(&world, &pushed, &sign(&world, &usual(&pushed, name, "1.4.2")));
    let ended = world.verify(&[&reference]).exits(5);
    let controls = |c: char| c.is_control() && c != '\n';
    assert!(!ended.stderr.contains(controls) && !ended.stderr.contains('\u{202e}'));
    assert!(ended.stderr.lines().all(|line| !line.starts_with("Verified:")), "{}", ended.stderr);
    assert!(ended.stderr.contains("web\\u{1b}[2J"), "{}", ended.stderr);
}
