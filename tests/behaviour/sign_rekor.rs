//! Which log and whose trust: Rekor v1 and v2, the two trust files, and clocks that disagree.

use std::time::{Duration, Instant};

use helm_sigstore_kit::registry::Options as RegistryOptions;
use helm_sigstore_kit::sigstore::{Options, RekorVersion, Service};
use serde_json::Value;

use crate::sign_support::{assert_nothing_public, attached, sign_json, signature};
use crate::support::World;

fn with(rekor: &[RekorVersion], tsa: bool) -> World {
    let sigstore = Options { rekor: rekor.to_vec(), tsa, ..Options::default() };
    World::with(RegistryOptions::default(), sigstore)
}

fn count(world: &World) -> (usize, usize) {
    let requests = |service| world.sigstore.request_count(service);
    (requests(Service::RekorV1), requests(Service::RekorV2))
}

fn entry(bundle: &Value) -> &Value {
    let entries = bundle["verificationMaterial"]["tlogEntries"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    &entries[0]
}

#[test]
fn the_first_generation_is_taken_where_both_are_offered_in_whatever_order() {
    use RekorVersion::{V1, V2};
    for offered in [[V1, V2], [V2, V1]] {
        let world = with(&offered, true);
        let (reference, pushed) = world.push_web();
        world.run(&["sign", &reference]).exits(0);
        assert_eq!(count(&world), (1, 0));
        let made = signature(&world, &pushed);
        assert_eq!(entry(&made.bundle)["kindVersion"]["kind"], "dsse");
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn the_second_generation_is_taken_when_it_is_asked_for() {
    let world = with(&[RekorVersion::V1, RekorVersion::V2], true);
    let (reference, pushed) = world.push_web();
    let ended = world.run(&["sign", &reference, "--rekor-version", "2"]).exits(0);
    assert_eq!(count(&world), (0, 1));
    let made = signature(&world, &pushed);
    let entry = entry(&made.bundle);
    assert_eq!(entry["kindVersion"]["kind"], "hashedrekord");
    assert_eq!(entry["kindVersion"]["version"], "0.0.2");
    // No time of the log: it ends after the index, and the timestamp has a line of its own.
    let line = ended.stdout.lines().find(|line| line.starts_with("Logged in: ")).unwrap();
    assert!(line.starts_with("Logged in: localhost:") && !line.contains(" at "), "{line}");
    ended.prints("\nTimestamp: ");
    world.verify(&[&reference]).exits(0).prints("\nTimestamp: ");
}

#[test]
fn a_sigstore_with_the_second_generation_alone_is_used_without_being_told() {
    let world = with(&[RekorVersion::V2], true);
    let (reference, _) = world.push_web();
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!(code, 0);
    let log = &result["signatures"][0]["log"];
    assert_eq!(log["url"], world.sigstore.rekor_v2_url());
    assert!(log["index"].is_u64() && log["time"].is_null(), "{log}");
    assert!(result["signatures"][0]["timestamp"].is_string());
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_first_generation_log_does_without_a_timestamp_authority() {
    let world = with(&[RekorVersion::V1], false);
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(world.sigstore.request_count(Service::Tsa), 0);
    let made = signature(&world, &pushed);
    let stamps = &made.bundle["verificationMaterial"]["timestampVerificationData"];
    assert!(stamps["rfc3161Timestamps"].as_array().is_none_or(Vec::is_empty), "{stamps}");
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_second_generation_log_without_a_timestamp_authority_is_a_usage_error() {
    let world = with(&[RekorVersion::V2], false);
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference]).exits(2).says("timestamp authority");
    let world = with(&[RekorVersion::V1, RekorVersion::V2], false);
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--rekor-version", "2"]).exits(2).says("timestamp authority");
    assert_nothing_public(&world);
}

#[test]
fn a_generation_that_is_not_offered_is_a_usage_error() {
    let world = with(&[RekorVersion::V1], true);
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--rekor-version", "2"]).exits(2).says("no Rekor v2 log");
    world.run(&["sign", &reference, "--rekor-version", "3"]).exits(2).says("--rekor-version");
    assert_nothing_public(&world);
}

#[test]
fn one_trust_file_without_the_other_is_a_usage_error() {
    for missing in ["HELM_SIGSTORE_TRUSTED_ROOT", "HELM_SIGSTORE_SIGNING_CONFIG"] {
        let mut world = World::new();
        let (reference, _) = world.push_web();
        world.environment.remove(missing);
        world.run(&["sign", &reference]).exits(2).says("belong together");
        assert_nothing_public(&world);
    }
}

#[test]
fn without_an_instance_that_exists_nothing_is_signed() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    world.environment.insert("HELM_SIGSTORE_INSTANCE".to_owned(), "absent".to_owned());
    world
        .run(&["sign", &reference])
        .exits(2)
        .says("no such instance: absent")
        .says("trust init absent --mirror URL --root FILE");
    assert_nothing_public(&world);
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn trust_files_that_cannot_be_opened_or_used_name_themselves() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let root = world.argument("trusted_root.json");
    let config = world.argument("signing_config.json");
    let absent = world.argument("absent.json");
    let broken = world.argument("broken.json");
    std::fs::write(&broken, "{").unwrap();
    for (root, config, code, named) in [
        (&absent, &config, 2, &absent),
        (&root, &absent, 2, &absent),
        (&broken, &config, 4, &broken),
        (&root, &broken, 4, &broken),
    ] {
        let words = ["sign", &reference, "--trusted-root", root, "--signing-config", config];
        world.run(&words).exits(code).says(named);
    }
    assert_nothing_public(&world);
}

#[test]
fn a_signature_that_the_trusted_root_does_not_know_is_refused_and_not_attached() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let stranger = World::new();
    let root = stranger.argument("trusted_root.json");
    let config = world.argument("signing_config.json");
    let ended =
        world.run(&["sign", &reference, "--trusted-root", &root, "--signing-config", &config]);
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert_eq!(count(&world), (0, 0));
    assert_eq!(attached(&world, &pushed).len(), 0);
}

#[test]
fn a_clock_that_is_a_little_behind_is_waited_for() {
    for (rekor, tsa) in [(RekorVersion::V1, false), (RekorVersion::V2, true)] {
        let world = with(&[rekor], tsa);
        let (reference, _) = world.push_web();
        world.sigstore.set_clock_offset(1);
        let started = Instant::now();
        world.run(&["sign", &reference]).exits(0);
        assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
        world.sigstore.set_clock_offset(0);
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn a_clock_that_is_far_behind_is_undecided_and_nothing_is_logged() {
    for rekor in [RekorVersion::V1, RekorVersion::V2] {
        let world = with(&[rekor], true);
        let (reference, pushed) = world.push_web();
        world.sigstore.set_clock_offset(7200);
        let (code, result) = sign_json(&world, &[&reference]);
        let message = result["message"].as_str().unwrap();
        assert_eq!((code, result["reason"].as_str()), (4, Some("clock-behind")), "{message}");
        assert!(message.contains("clock is 7") && message.contains(" s behind"), "{message}");
        assert_eq!(count(&world), (0, 0));
        assert_eq!(attached(&world, &pushed).len(), 0);
    }
}

#[test]
fn a_clock_that_is_far_ahead_says_that_the_certificate_has_ended() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.sigstore.set_clock_offset(-7200);
    world.run(&["sign", &reference]).exits(4).says("before our clock");
    assert_eq!(count(&world), (0, 0));
}
