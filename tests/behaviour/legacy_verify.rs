//! Signatures that cosign made before bundles: found under the tag and among the referrers, and judged as any other.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Pushed, media_type};
use helm_sigstore_kit::sigstore::{Identity, LegacySignature, Sigstore};
use serde_json::{Value, json};

use crate::legacy_support::{
    legacy, legacy_as, legacy_image, legacy_tag, payload, payload_for, refer_legacy, tag_legacy,
};
use crate::support::World;
use crate::verify_craft::{BUNDLE, MALLORY, attach, refuses, sign, usual, write};

/// A chart whose one legacy signature was changed by `change`.
fn with(change: impl FnOnce(&mut LegacySignature)) -> (World, String) {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let mut signature = legacy(&world, &pushed);
    change(&mut signature);
    tag_legacy(&world, &pushed, &[signature]);
    (world, reference)
}

#[test]
fn a_legacy_signature_under_the_tag_verifies_with_the_log_s_promise_alone() {
    for world in [World::new(), World::with_fallback_registry()] {
        let (reference, pushed) = world.push_web();
        tag_legacy(&world, &pushed, &[legacy(&world, &pushed)]);
        let result = world.verdict(&[&reference]);
        assert_eq!(result["verdict"], "verified", "{result:#}");
        let signature = &result["signatures"][0];
        assert_eq!(signature["format"], "legacy");
        assert_eq!(signature["place"], "cosign-tag");
        assert_eq!(signature["predicateType"], Value::Null);
        assert_eq!(signature["subject"]["kind"], "manifest");
        assert_eq!(signature["subject"]["digest"], pushed.manifest_digest);
        assert!(signature["log"]["index"].is_u64() && signature["log"]["time"].is_string());
        assert!(result["digestRef"].as_str().unwrap().ends_with(&pushed.manifest_digest));
        let ended = world.verify(&[&reference]).exits(0).prints("(signed: manifest)\n");
        assert!(ended.stdout.contains("Logged in: "), "{}", ended.stdout);
    }
}

#[test]
fn a_legacy_signature_that_refers_to_the_chart_verifies_too() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    refer_legacy(&world, &pushed, &[legacy(&world, &pushed)]);
    let result = world.verdict(&[&reference]);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    assert_eq!(result["signatures"][0]["place"], "referrers");
    assert_eq!(result["signatures"][0]["format"], "legacy");
}

#[test]
fn a_timestamp_beside_a_legacy_signature_is_verified_and_reported() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let identity = Identity::github(crate::support::WORKFLOW);
    let stamped = world.sigstore.sign_legacy(&identity, &payload(&pushed), true);
    tag_legacy(&world, &pushed, std::slice::from_ref(&stamped));
    let result = world.verdict(&[&reference]);
    assert!(result["signatures"][0]["timestamp"].is_string(), "{result:#}");
    // Another signature's does not do, whatever the log says.
    let other = world.sigstore.sign_legacy(&identity, &payload(&pushed), true);
    let mixed = LegacySignature { timestamp: other.timestamp, ..stamped };
    tag_legacy(&world, &pushed, &[mixed]);
    refuses(&world, &[&reference], 5, "bad-signature", &["timestamp does not verify"]);
}

#[test]
fn the_message_is_the_payload_byte_for_byte() {
    // The same document, written otherwise.
    let (world, reference) = with(|signature| signature.payload.push(b'\n'));
    refuses(&world, &[&reference], 5, "bad-signature", &[]);
    let (world, reference) = with(|signature| {
        let value: Value = serde_json::from_slice(&signature.payload).unwrap();
        signature.payload = format!("{value:#}").into_bytes();
    });
    refuses(&world, &[&reference], 5, "bad-signature", &[]);
}

#[test]
fn a_log_entry_over_another_payload_signature_or_certificate_is_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let own = legacy(&world, &pushed);
    // Same signer, same payload: only signature and certificate differ.
    let again = legacy(&world, &pushed);
    let elsewhere = legacy_as(
        &world,
        crate::support::WORKFLOW,
        &payload_for(&pushed, &format!("sha256:{}", "0".repeat(64))),
    );
    for (what, changed) in [
        ("entry of another signature", LegacySignature { log: again.log.clone(), ..own.clone() }),
        ("entry over another payload", LegacySignature { log: elsewhere.log, ..own.clone() }),
        (
            "another certificate of the same signer",
            LegacySignature { certificate: again.certificate, ..own.clone() },
        ),
        (
            "another signature over the same payload",
            LegacySignature { signature: again.signature, ..own.clone() },
        ),
    ] {
        tag_legacy(&world, &pushed, &[changed]);
        let result = world.verdict(&[&reference]);
        assert_eq!(result["reason"], "bad-signature", "{what}: {result:#}");
    }
    tag_legacy(&world, &pushed, &[own]);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn the_promise_covers_body_time_log_and_index() {
    for (field, value) in [
        ("integratedTime", json!(1_700_000_000)),
        ("logIndex", json!(7)),
        ("logID", json!("00".repeat(32))),
    ] {
        let (world, reference) = with(|signature| {
            signature.log.as_mut().unwrap()["Payload"][field] = value.clone();
        });
        let result = world.verdict(&[&reference]);
        assert_eq!(result["verdict"], "refused", "{field}: {result:#}");
    }
    // The time would lie outside of the certificate, and nobody is told so: it was never believed.
    let (world, reference) = with(|signature| {
        signature.log.as_mut().unwrap()["Payload"]["integratedTime"] = json!(4_000_000_000_u64);
    });
    let ended = world.verify(&[&reference]).exits(5);
    assert!(!ended.stderr.contains("clock"), "{}", ended.stderr);
}

#[test]
fn the_promise_covers_the_body_as_the_log_has_written_it() {
    // The same document, told to the last value, and written with one space more: another text than was promised.
    let (world, reference) = with(|signature| {
        let payload = &mut signature.log.as_mut().unwrap()["Payload"];
        let body = BASE64.decode(payload["body"].as_str().unwrap()).unwrap();
        let body = String::from_utf8(body).unwrap();
        let spaced = body.replacen(',', ", ", 1);
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(spaced != body && read(&spaced) == read(&body));
        payload["body"] = json!(BASE64.encode(spaced));
    });
    refuses(&world, &[&reference], 5, "bad-signature", &["log entry does not verify"]);
}

#[test]
fn without_a_log_entry_a_certificate_proves_nothing() {
    let (world, reference) = with(|signature| signature.log = None);
    let words = ["signature is in no transparency log"];
    refuses(&world, &[&reference], 5, "bad-signature", &words);
    let (world, reference) = with(|signature| {
        signature.log.as_mut().unwrap()["SignedEntryTimestamp"] = json!("");
    });
    refuses(&world, &[&reference], 5, "bad-signature", &[]);
}

#[test]
fn the_chain_beside_a_certificate_makes_nobody_an_authority() {
    let mallory = Sigstore::start(helm_sigstore_kit::sigstore::Options::default());
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let identity = Identity::github(crate::support::WORKFLOW);
    let foreign = mallory.sign_legacy(&identity, &payload(&pushed), false);
    assert!(foreign.chain.as_ref().is_some_and(|chain| chain.contains("CERTIFICATE")));
    tag_legacy(&world, &pushed, &[foreign]);
    refuses(&world, &[&reference], 5, "untrusted-instance", &[]);
    // And nothing that stands there takes trust away.
    for chain in [None, Some(String::new()), Some("nonsense".to_owned())] {
        let changed = LegacySignature { chain, ..legacy(&world, &pushed) };
        tag_legacy(&world, &pushed, &[changed]);
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn a_signature_copied_from_another_chart_of_the_same_signer_is_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let other = world.push(&Chart::new("web", "1.0.0"));
    tag_legacy(&world, &pushed, &[legacy(&world, &other)]);
    let words = ["manifest not signed", other.manifest_digest.as_str()];
    refuses(&world, &[&reference], 5, "not-covered", &words);
}

#[test]
fn a_payload_has_to_say_what_it_is_and_which_manifest_it_names() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let good: Value = serde_json::from_slice(&payload(&pushed)).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut payload = good.clone();
        *payload.pointer_mut(pointer).unwrap() = value;
        payload.to_string()
    };
    let digest = &pushed.manifest_digest;
    for payload in [
        changed("/critical/type", json!("atomic container signature")),
        changed("/critical/type", Value::Null),
        changed("/critical/image", json!({})),
        changed("/critical/image/docker-manifest-digest", json!("")),
        changed("/critical/image/docker-manifest-digest", json!(digest.to_uppercase())),
        changed("/critical", json!({})),
        format!(r#"{{"critical":{},"critical":{}}}"#, good["critical"], good["critical"]),
        "{}".to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        let signature = legacy_as(&world, crate::support::WORKFLOW, payload.as_bytes());
        tag_legacy(&world, &pushed, &[signature]);
        let result = world.verdict(&[&reference]);
        assert_eq!(result["reason"], "malformed", "{payload}: {result:#}");
        assert_eq!(result["verdict"], "refused");
    }
    // Where it was signed is no fact about the chart: a mirror has another name.
    for reference_in in ["", "elsewhere.example/x", "not a reference at all"] {
        let payload = changed("/critical/identity/docker-reference", json!(reference_in));
        let signature = legacy_as(&world, crate::support::WORKFLOW, payload.as_bytes());
        tag_legacy(&world, &pushed, &[signature]);
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn a_certificate_counts_by_its_bytes_and_not_by_how_its_pem_is_written() {
    for write in [
        |pem: String| pem.replace('\n', "\r\n"),
        |pem: String| pem.trim_end().to_owned(),
        |pem: String| format!("\n\n{pem}\n\n"),
    ] {
        let (world, reference) = with(|signature| {
            signature.certificate = signature.certificate.take().map(write);
        });
        world.verify(&[&reference]).exits(0);
    }
    for write in [
        |pem: String| format!("{pem}{pem}"),
        |pem: String| pem.replace("CERTIFICATE", "PUBLIC KEY"),
        |_: String| "nonsense".to_owned(),
    ] {
        let (world, reference) = with(|signature| {
            signature.certificate = signature.certificate.take().map(write);
        });
        refuses(&world, &[&reference], 5, "malformed", &["not one certificate in PEM"]);
    }
}

#[test]
fn a_wrong_signer_of_a_legacy_signature_is_named() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    tag_legacy(&world, &pushed, &[legacy_as(&world, MALLORY, &payload(&pushed))]);
    let words = ["wrong signer", MALLORY, "(1 valid signature)"];
    refuses(&world, &[&reference], 5, "wrong-signer", &words);
}

#[test]
fn every_layer_is_a_signature_of_its_own_and_bad_ones_hide_no_good_one() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bad = LegacySignature { signature: Vec::new(), ..legacy(&world, &pushed) };
    let mallory = legacy_as(&world, MALLORY, &payload(&pushed));
    tag_legacy(&world, &pushed, &[bad.clone(), legacy(&world, &pushed), mallory.clone()]);
    let result = world.verdict(&[&reference]);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    // The newest comes first, and what is older than the good one is not judged.
    assert_eq!(reasons(&result), [json!("wrong-signer"), Value::Null]);
    tag_legacy(&world, &pushed, &[bad, mallory]);
    let result = world.verdict(&[&reference]);
    assert_eq!(reasons(&result), [json!("wrong-signer"), json!("malformed")]);
    assert_eq!(result["reason"], "wrong-signer");
}

/// Puts `layers` among those of the image under the tag of a chart, as somebody who may push could.
fn tag_with(
    world: &World,
    pushed: &Pushed,
    signatures: &[LegacySignature],
    add: impl Fn(&mut Vec<Value>),
) {
    let mut image = legacy_image(world, pushed, signatures);
    add(image["layers"].as_array_mut().unwrap());
    let bytes = image.to_string().into_bytes();
    let tag = legacy_tag(pushed);
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::MANIFEST, bytes);
}

#[test]
fn a_bundle_among_the_layers_hides_no_signature_and_is_one_itself() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let layer = |content: &[u8]| {
        let digest = world.registry.put_blob(&pushed.repository, content.to_vec());
        json!({"mediaType": BUNDLE, "size": content.len(), "digest": digest})
    };
    let good = [legacy(&world, &pushed)];
    let junk = layer(b"{}");
    let mut gone = layer(b"gone");
    gone["digest"] = json!(format!("sha256:{}", "4".repeat(64)));
    let mut large = layer(b"large");
    large["size"] = json!(1_u64 << 40);
    // None, one and several of them, before and after the signature.
    for (added, before) in [
        (vec![junk.clone()], true),
        (vec![junk.clone()], false),
        (vec![junk.clone(), gone, large], false),
        (vec![junk.clone(); 1001], false),
    ] {
        tag_with(&world, &pushed, &good, |layers| match before {
            true => drop(layers.splice(0..0, added.clone())),
            false => layers.extend(added.clone()),
        });
        world.verify(&[&reference]).exits(0).prints("Format: legacy (cosign tag)");
    }
    // What stands beside nothing that counts is told for what it is.
    let mallory = [legacy_as(&world, MALLORY, &payload(&pushed))];
    tag_with(&world, &pushed, &mallory, |layers| layers.extend(vec![junk.clone(); 3]));
    let result = world.verdict(&[&reference]);
    assert_eq!(reasons(&result), [json!("wrong-signer"), json!("malformed")]);
    assert_eq!(result["reason"], "wrong-signer");
    // A good bundle counts there as anywhere, and is the bundle that is written.
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    let there = layer(&bundle);
    tag_with(&world, &pushed, &mallory, |layers| layers.push(there.clone()));
    let out = world.argument("out.json");
    world.verify(&[&reference, "--bundle-out", &out]).exits(0);
    assert_eq!(std::fs::read(&out).unwrap(), bundle);
    let result = world.verdict(&[&reference, "--all"]);
    let found: Vec<_> = result["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["format"].as_str().unwrap(), one["status"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("legacy", "refused"), ("bundle", "accepted")]);
    refuses(&world, &["--accept", "legacy", &reference], 5, "wrong-signer", &[]);
}

/// The payload of a chart is the same for all who sign it, so that who appends a layer describes that of everybody.
#[test]
fn a_payload_that_somebody_describes_wrongly_spoils_no_signature_over_it() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let good = [legacy(&world, &pushed)];
    let wrong = |layers: &[Value], name: &str, value: Value| {
        let mut layer = layers[0].clone();
        layer["annotations"] = json!({});
        layer[name] = value;
        layer
    };
    let inlined = BASE64.encode(&good[0].payload);
    for (name, value) in [
        ("size", json!(1)),
        ("size", json!(0)),
        ("size", json!(60_000)),
        ("size", json!(1_u64 << 40)),
        ("data", json!("?")),
        ("data", json!("")),
        ("data", json!(BASE64.encode("another"))),
        ("data", json!(inlined)),
    ] {
        tag_with(&world, &pushed, &good, |layers| {
            layers.push(wrong(layers, name, value.clone()));
        });
        world.verify(&[&reference]).exits(0);
    }
    // Many, each described in a way of its own, take no more requests.
    tag_with(&world, &pushed, &good, |layers| {
        layers.extend((0..500).map(|size| wrong(layers, "size", json!(size))).collect::<Vec<_>>());
    });
    world.registry.reset_requests();
    world.verify(&[&reference]).exits(0);
    assert!(world.registry.requests().len() <= 6, "{:?}", world.registry.requests());
    // Nor does another payload that would be too large for all limits together.
    tag_with(&world, &pushed, &good, |layers| {
        let mut huge = wrong(layers, "size", json!(1_u64 << 40));
        huge["digest"] = json!(format!("sha256:{}", "4".repeat(64)));
        layers.push(huge);
    });
    world.verify(&[&reference]).exits(0);
    // Where nobody describes it rightly it stays open.
    tag_with(&world, &pushed, &good, |layers| layers[0]["size"] = json!(1));
    refuses(&world, &[&reference], 4, "limit-reached", &["has 243 bytes, over its bound of 1"]);
}

fn reasons(result: &Value) -> Vec<Value> {
    let signatures = result["signatures"].as_array().unwrap();
    signatures.iter().map(|signature| signature["reason"].clone()).collect()
}

#[test]
fn layers_with_one_payload_take_one_request() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let mallory = legacy_as(&world, MALLORY, &payload(&pushed));
    let mut all = vec![legacy(&world, &pushed)];
    all.extend(std::iter::repeat_n(mallory, 40));
    tag_legacy(&world, &pushed, &all);
    world.registry.reset_requests();
    world.verify(&[&reference]).exits(0);
    // Manifest, referrers, both tags, payload, and the config that names the chart or nothing.
    assert!(world.registry.requests().len() <= 6, "{:?}", world.registry.requests());
}

#[test]
fn a_payload_that_is_missing_or_too_large_leaves_the_verdict_open() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let signature = legacy(&world, &pushed);
    tag_legacy(&world, &pushed, std::slice::from_ref(&signature));
    let digest = helm_sigstore_kit::registry::digest_of(&signature.payload);
    world.registry.delete_blob(&pushed.repository, &digest);
    refuses(&world, &[&reference], 4, "unreachable", &["payload", "is listed and not there"]);
    let mut large = signature.clone();
    large.payload.resize(70_000, b' ');
    tag_legacy(&world, &pushed, &[large]);
    refuses(&world, &[&reference], 4, "limit-reached", &["payload has 70000 bytes"]);
}

#[test]
fn so_many_layers_that_a_limit_is_reached_are_not_judged_to_their_end() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let mallory = legacy_as(&world, MALLORY, &payload(&pushed));
    let mut all = vec![legacy(&world, &pushed)];
    all.extend(std::iter::repeat_n(mallory.clone(), 20));
    tag_legacy(&world, &pushed, &all);
    let words = ["10 candidates were looked at", "11 candidates were not looked at"];
    refuses(&world, &["--max-candidates", "10", &reference], 4, "limit-reached", &words);
    let bare = LegacySignature { certificate: None, chain: None, log: None, ..mallory };
    tag_legacy(&world, &pushed, &vec![bare; 1001]);
    let started = std::time::Instant::now();
    refuses(&world, &[&reference], 4, "limit-reached", &["more than 1000 layers"]);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_key_verifies_legacy_signatures_with_and_without_the_log() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let (signature, public) = world.sigstore.sign_legacy_by_key(&payload(&pushed));
    let key = write(&world, "cosign.pub", public.as_bytes());
    tag_legacy(&world, &pushed, std::slice::from_ref(&signature));
    let by_key = |more: &[&str]| {
        let mut words = vec!["verify", &reference, "--key", &key];
        words.extend(more);
        world.run(&words)
    };
    by_key(&[]).exits(0).prints("Signed by: key sha256:").prints("Logged in: ");
    // As `cosign sign --tlog-upload=false` leaves it.
    let unlogged = LegacySignature { log: None, ..signature.clone() };
    tag_legacy(&world, &pushed, std::slice::from_ref(&unlogged));
    by_key(&[]).exits(5).says("signature is in no transparency log");
    by_key(&["--insecure-ignore-tlog"]).exits(0).prints("Weakened by: --insecure-ignore-tlog");
    let mut altered = unlogged;
    altered.payload.push(b' ');
    tag_legacy(&world, &pushed, &[altered]);
    by_key(&["--insecure-ignore-tlog"]).exits(5).says("signature does not verify");
    // Another key, and an identity instead of a key.
    let (other, _) = world.sigstore.sign_legacy_by_key(&payload(&pushed));
    tag_legacy(&world, &pushed, std::slice::from_ref(&other));
    by_key(&[]).exits(5).says("wrong signer");
    let words = ["wrong signer", "found     key sha256:"];
    refuses(&world, &[&reference], 5, "wrong-signer", &words);
    tag_legacy(&world, &pushed, &[legacy(&world, &pushed)]);
    by_key(&[]).exits(5).says("wrong signer");
}

#[test]
fn accept_says_which_formats_count() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    tag_legacy(&world, &pushed, &[legacy(&world, &pushed)]);
    let ended = world.verify(&["--accept", "bundle", &reference]).exits(3);
    assert!(!ended.stderr.contains(".sig"), "{}", ended.stderr);
    assert!(world.registry.requests().iter().all(|one| !one.line().contains(".sig")));
    world.verify(&["--accept", "legacy", &reference]).exits(0);
    world.verify(&["--accept", "bundle,legacy", &reference]).exits(0);
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    let result = world.verdict(&["--accept", "legacy", &reference]);
    assert_eq!(result["verdict"], "verified");
    let statuses: Vec<_> =
        result["signatures"].as_array().unwrap().iter().map(|s| &s["status"]).collect();
    assert_eq!(statuses, ["other", "accepted"]);
    world.verify(&["--accept", "nonsense", &reference]).exits(2);
    // A legacy referrer is there and was not asked for.
    let (reference, pushed) = {
        let pushed = world.push(&Chart::new("api", "1.0.0"));
        (format!("{}:1.0.0", world.repository("api")), pushed)
    };
    refer_legacy(&world, &pushed, &[legacy(&world, &pushed)]);
    world.verify(&["--accept", "bundle", &reference]).exits(3);
}

#[test]
fn all_reports_the_signatures_of_both_formats() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    let mallory = legacy_as(&world, MALLORY, &payload(&pushed));
    tag_legacy(&world, &pushed, &[legacy(&world, &pushed), mallory]);
    let result = world.verdict(&[&reference]);
    assert_eq!(result["signatures"].as_array().unwrap().len(), 1);
    let result = world.verdict(&["--all", &reference]);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    let found: Vec<_> = result["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["format"].as_str().unwrap(), s["status"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("bundle", "accepted"), ("legacy", "refused"), ("legacy", "accepted")]);
    let ended = world.verify(&["--all", &reference]).exits(0);
    assert_eq!(ended.stdout.matches("Signed by: ").count(), 2, "{}", ended.stdout);
    ended.prints("Format: bundle (referrers API)").prints("Format: legacy (cosign tag)");
}

#[test]
fn a_legacy_signature_is_no_bundle_that_could_be_written() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    tag_legacy(&world, &pushed, &[legacy(&world, &pushed)]);
    let out = world.argument("out.json");
    world
        .verify(&["--bundle-out", &out, &reference])
        .exits(0)
        .says("is a legacy signature, and no bundle");
    assert!(!world.path("out.json").exists());
    assert!(legacy_tag(&pushed).ends_with(".sig"));
}

#[test]
fn a_layer_alone_is_not_what_a_legacy_signature_is_over() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    tag_legacy(&world, &pushed, &[legacy(&world, &pushed)]);
    refuses(&world, &["--match", "chart-layer", &reference], 5, "not-covered", &[]);
    // Not even one that names the digest of the layer as if it were a manifest.
    let signature =
        legacy_as(&world, crate::support::WORKFLOW, &payload_for(&pushed, &pushed.layer_digest));
    tag_legacy(&world, &pushed, &[signature]);
    refuses(&world, &["--match", "chart-layer", &reference], 5, "not-covered", &[]);
    let file = crate::verify_craft::package(&world, &Chart::new("web", "1.4.2"));
    let target = world.target();
    refuses(&world, &[&file, "--repository", &target], 5, "not-covered", &[]);
}
