//! Signatures over packaged charts in files of their own, as cosign wrote them before bundles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::{Identity, LegacySignature};
use serde_json::json;

use crate::support::{WORKFLOW, World};
use crate::verify_craft::{MALLORY, package, refuses, write};

/// A packaged chart, and a signature over its bytes by this workflow.
fn signed(world: &World, workflow: &str) -> (String, LegacySignature) {
    let chart = Chart::new("web", "1.4.2");
    let file = package(world, &chart);
    let made = world.sigstore.sign_legacy(&Identity::github(workflow), &chart.tgz(), false);
    (file, made)
}

/// cosign's older bundle.
fn old_bundle(made: &LegacySignature) -> String {
    json!({
        "base64Signature": BASE64.encode(&made.signature),
        "cert": made.certificate.as_ref().map(|pem| BASE64.encode(pem)),
        "rekorBundle": made.log,
    })
    .to_string()
}

#[test]
fn the_older_bundle_of_cosign_verifies_a_packaged_chart() {
    let world = World::new();
    let (file, made) = signed(&world, WORKFLOW);
    let bundle = write(&world, "old.bundle", old_bundle(&made).as_bytes());
    let result = world.verdict(&[&file, "--bundle", &bundle, "--offline"]);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    assert_eq!(result["signatures"][0]["format"], "legacy");
    assert_eq!(result["signatures"][0]["place"], "file");
    assert_eq!(result["signatures"][0]["subject"]["kind"], "chart");
    // Another chart, another signer, an entry that is changed, and a format that was not asked for.
    let other = package(&world, &Chart::new("web", "1.4.3"));
    refuses(&world, &[&other, "--bundle", &bundle], 5, "bad-signature", &[]);
    refuses(&world, &[&file, "--bundle", &bundle, "--accept", "bundle"], 3, "unsigned", &[]);
    let mut changed = made;
    changed.log.as_mut().unwrap()["Payload"]["integratedTime"] = json!(1_700_000_000);
    let bundle = write(&world, "changed.bundle", old_bundle(&changed).as_bytes());
    refuses(&world, &[&file, "--bundle", &bundle], 5, "bad-signature", &[]);
    let (file, made) = signed(&world, MALLORY);
    let bundle = write(&world, "mallory.bundle", old_bundle(&made).as_bytes());
    refuses(&world, &[&file, "--bundle", &bundle], 5, "wrong-signer", &["mallory"]);
}

#[test]
fn a_signature_by_a_key_verifies_from_its_own_file() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let file = package(&world, &chart);
    let (made, public) = world.sigstore.sign_legacy_by_key(&chart.tgz());
    let key = write(&world, "cosign.pub", public.as_bytes());
    let text = write(&world, "web.sig", format!("{}\n", BASE64.encode(&made.signature)).as_bytes());
    let raw = write(&world, "web.sig.raw", &made.signature);
    for signature in [&text, &raw] {
        let words = ["verify", &file, "--signature", signature, "--key", &key, "--offline"];
        world.run(&words).exits(5).says("signature is in no transparency log");
        let words = [&words[..], &["--insecure-ignore-tlog"]].concat();
        world.run(&words).exits(0).prints("Signed by: key sha256:");
    }
    let other = package(&world, &Chart::new("web", "1.4.3"));
    let words = ["verify", &other, "--signature", &text, "--key", &key, "--insecure-ignore-tlog"];
    world.run(&words).exits(5).says("signature does not verify");
}

#[test]
fn a_signature_and_a_certificate_alone_prove_no_time() {
    let world = World::new();
    let (file, made) = signed(&world, WORKFLOW);
    let signature = write(&world, "web.sig", BASE64.encode(&made.signature).as_bytes());
    let pem = made.certificate.unwrap();
    for content in [pem.clone(), BASE64.encode(&pem)] {
        let certificate = write(&world, "web.pem", content.as_bytes());
        let words = [&file, "--signature", &signature, "--certificate", &certificate];
        let offline = [&words[..], &["--offline"]].concat();
        refuses(&world, &offline, 5, "bad-signature", &["signature is in no transparency log"]);
        // What a log has of them does: `legacy_log`.
        world.verify(&words).exits(0);
    }
}

#[test]
fn flags_for_files_are_for_files() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let (file, made) = signed(&world, WORKFLOW);
    let signature = write(&world, "web.sig", &made.signature);
    world
        .verify(&[&reference, "--signature", &signature])
        .exits(2)
        .says("--signature is for files");
    world.verify(&[&file, "--certificate", &signature]).exits(2);
    world.verify(&[&file, "--signature", &signature, "--bundle", &signature]).exits(2);
    let missing = world.argument("missing");
    world.verify(&[&file, "--signature", &missing]).exits(2).says("cannot open signature");
    world.verify(&[&file, &file, "--signature", &signature]).exits(2);
}
