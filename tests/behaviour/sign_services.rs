//! Services that are named one by one: in place of those of a signing config, or of an instance, or instead of both.

use helm_sigstore_kit::sigstore::{Options, RekorVersion, Service, Sigstore};
use helm_sigstore_kit::tuf::Tuf;

use crate::support::World;
use crate::trust_support::{init, private};

/// A world that has a trusted root and no signing config.
fn without_config() -> World {
    let mut world = World::new();
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    world
}

/// The flags for all services of `sigstore`, with one of its logs.
fn all(sigstore: &Sigstore, version: RekorVersion) -> Vec<String> {
    let (rekor, number) = match version {
        RekorVersion::V1 => (sigstore.rekor_v1_url(), "1"),
        RekorVersion::V2 => (sigstore.rekor_v2_url(), "2"),
    };
    let fulcio = sigstore.fulcio_url();
    let tsa = sigstore.tsa_url();
    ["--fulcio-url", &fulcio, "--rekor-url", &rekor, "--rekor-version", number, "--tsa-url", &tsa]
        .map(str::to_owned)
        .to_vec()
}

/// Runs `sign` for `web` 1.4.2 with these flags.
fn sign(world: &World, reference: &str, flags: &[impl AsRef<str>]) -> crate::support::Ended {
    let mut words = vec!["sign", reference];
    words.extend(flags.iter().map(AsRef::as_ref));
    world.run(&words)
}

#[test]
fn services_by_their_urls_stand_in_for_a_signing_config() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let world = without_config();
        let (reference, _) = world.push_web();
        sign(&world, &reference, &all(&world.sigstore, version)).exits(0);
        world.verify(&[&reference]).exits(0);
        let (used, unused) = match version {
            RekorVersion::V1 => (Service::RekorV1, Service::RekorV2),
            RekorVersion::V2 => (Service::RekorV2, Service::RekorV1),
        };
        assert!(world.sigstore.request_count(used) > 0);
        assert_eq!(world.sigstore.request_count(unused), 0);
        assert_eq!(world.sigstore.request_count(Service::Tsa), 1);
    }
}

#[test]
fn a_log_of_the_first_generation_is_meant_unless_told_and_needs_no_timestamp() {
    let world = without_config();
    let (reference, _) = world.push_web();
    let flags = all(&world.sigstore, RekorVersion::V1);
    sign(&world, &reference, &flags[..4]).exits(0);
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 1);
    assert_eq!(world.sigstore.request_count(Service::Tsa), 0);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn what_is_not_named_is_missing_before_anything_is_asked() {
    let world = without_config();
    let (reference, _) = world.push_web();
    let flags = all(&world.sigstore, RekorVersion::V2);
    for (flags, words) in [
        (&flags[2..], "no certificate authority"),
        (&flags[..2], "no transparency log"),
        (&flags[..6], "no timestamp authority"),
        (&flags[6..], "no certificate authority"),
        (&flags[..0], "--trusted-root and --signing-config belong together"),
    ] {
        sign(&world, &reference, flags).exits(2).says(words);
    }
    assert_eq!(world.sigstore.requests(), []);
    assert_eq!(world.registry.requests(), []);
}

#[test]
fn a_service_that_is_named_takes_the_place_of_the_one_in_the_config_or_the_instance() {
    let (world, tuf) = private();
    let (reference, _) = world.push_web();
    let rekor = world.sigstore.rekor_v2_url();
    sign(&world, &reference, &["--rekor-url", &rekor, "--rekor-version", "2"]).exits(0);
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 0);
    world.verify(&[&reference]).exits(0);
    drop(tuf);
    let world = World::new();
    let (reference, _) = world.push_web();
    let rekor = world.sigstore.rekor_v2_url();
    sign(&world, &reference, &["--rekor-url", &rekor, "--rekor-version", "2"]).exits(0);
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 0);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_instance_that_names_no_services_signs_with_those_that_are_named() {
    let mut world = World::new();
    let tuf = Tuf::start(&[("trusted_root.json", world.sigstore.trusted_root_json())]);
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    init(&world, &tuf).exits(0);
    world.environment.insert("HELM_SIGSTORE_INSTANCE".to_owned(), "kit".to_owned());
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference]).exits(2).says("names no services to sign with");
    sign(&world, &reference, &all(&world.sigstore, RekorVersion::V1)).exits(0);
    world.verify(&[&reference]).exits(0);
    // But never GitHub's: whatever is named, its root vouches for none of it.
    let mut flags = all(&world.sigstore, RekorVersion::V1);
    flags.extend(["--instance".to_owned(), "github".to_owned()]);
    sign(&world, &reference, &flags).exits(2).says("instance github");
}

#[test]
fn a_service_that_the_root_does_not_vouch_for_is_found_out_before_anything_is_logged() {
    let world = World::new();
    let stranger = Sigstore::start(Options::default());
    let (reference, _) = world.push_web();
    let ended = sign(&world, &reference, &["--tsa-url", &stranger.tsa_url()]).exits(5);
    assert!(ended.stderr.contains("timestamp"), "{}", ended.stderr);
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 0);
    // A strange log is known by its entry alone; nothing is attached then.
    sign(&world, &reference, &["--rekor-url", &stranger.rekor_v1_url()]).exits(5);
    world.verify(&[&reference]).exits(3);
}

#[test]
fn what_is_no_url_of_a_service_is_a_usage_error_that_names_the_flag() {
    let world = World::new();
    let (reference, _) = world.push_web();
    for flag in ["--fulcio-url", "--rekor-url", "--tsa-url"] {
        for url in
            ["nonsense", "http://sigstore.example", "https://u:secret@a.example", "https://a/?b"]
        {
            let ended = sign(&world, &reference, &[flag, url]).exits(2);
            let first = format!("error: not the URL of a service: {flag}");
            assert!(ended.stderr.starts_with(&first), "{}", ended.stderr);
            assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        }
        sign(&world, &reference, &[flag, ""]).exits(2);
    }
    assert_eq!(world.sigstore.requests(), []);
}

#[test]
fn a_key_has_no_use_for_a_certificate_authority_and_without_log_none_for_a_log() {
    let mut world = World::new();
    world.environment.insert("COSIGN_PASSWORD".to_owned(), "x".to_owned());
    let prefix = world.argument("k");
    world.run(&["key", "generate", "--output-key-prefix", &prefix]).exits(0);
    let (key, public) = (format!("{prefix}.key"), format!("{prefix}.pub"));
    let (reference, _) = world.push_web();
    let fulcio = world.sigstore.fulcio_url();
    let rekor = world.sigstore.rekor_v1_url();
    let keyed = ["--key", &key];
    sign(&world, &reference, &[&keyed[..], &["--fulcio-url", &fulcio]].concat())
        .exits(2)
        .says("service is not used: --fulcio-url");
    let unlogged = [&keyed[..], &["--tlog-upload=false", "--rekor-url", &rekor]].concat();
    sign(&world, &reference, &unlogged).exits(2).says("service is not used: --rekor-url");
    // In the environment they are for other runs.
    world.environment.insert("HELM_SIGSTORE_FULCIO_URL".to_owned(), fulcio);
    world.environment.insert("HELM_SIGSTORE_REKOR_URL".to_owned(), rekor);
    let unlogged = [&keyed[..], &["--tlog-upload=false"]].concat();
    sign(&world, &reference, &unlogged).exits(0);
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 0);
    let verify = ["verify", &reference, "--key", &public, "--insecure-ignore-tlog"];
    world.run(&verify).exits(0).prints("Timestamp: ");
    sign(&world, &reference, &keyed).exits(0);
    world.run(&["verify", &reference, "--key", &public]).exits(0);
}
