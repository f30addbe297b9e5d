//! What the verification relies on: the trusted root, and what it does not vouch for.

use helm_sigstore_kit::registry::Options as RegistryOptions;
use helm_sigstore_kit::sigstore::{Options, RekorVersion, Sigstore};
use serde_json::{Value, json};

use crate::support::World;
use crate::verify_craft::{attach, refuses, sign, usual, write};

/// The world's trusted root with a change.
fn root(world: &World, change: impl FnOnce(&mut Value)) -> String {
    let mut root: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    change(&mut root);
    write(world, "root.json", root.to_string().as_bytes())
}

/// A window that ended before anything here was signed.
fn past() -> Value {
    json!({"start": "2020-01-01T00:00:00Z", "end": "2020-06-01T00:00:00Z"})
}

#[test]
fn with_nothing_to_trust_nothing_is_verified_and_the_flag_is_named() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    let words = ["error: nothing to trust offline: instance production", "--trusted-root FILE"];
    let offline = [reference.as_str(), "--offline"];
    let ended = world.verify(&offline).exits(4).says(words[0]).says(words[1]);
    assert_eq!(ended.stdout, "");
    assert_eq!(world.verdict(&offline)["reason"], "trust-unusable");
    assert_eq!(world.registry.requests(), []);
}

#[test]
fn a_trusted_root_that_cannot_be_used_is_undecided_and_one_that_cannot_be_opened_is_usage() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let missing = world.argument("no-root.json");
    let ended = world.verify(&[&reference, "--trusted-root", &missing]).exits(2);
    assert!(ended.stderr.contains(&missing), "{}", ended.stderr);
    let good = world.sigstore.trusted_root_json();
    let broken_key = root(&world, |root| {
        root["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into();
    });
    let broken_key = std::fs::read_to_string(broken_key).unwrap();
    let broken_authority = root(&world, |root| {
        root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] =
            "AAAA".into();
    });
    let broken_authority = std::fs::read_to_string(broken_authority).unwrap();
    for content in [
        "nonsense",
        "",
        "{}",
        "[]",
        &good[..good.len() - 2],
        &broken_key,
        &broken_authority,
        &format!("{good}{}", " ".repeat(1 << 20)),
    ] {
        let path = write(&world, "root.json", content.as_bytes());
        let result = world.verdict(&[&reference, "--trusted-root", &path]);
        let about = &content[..content.len().min(60)];
        // A file over its bound cannot be read as one; all others are roots that are none.
        let expected = if content.len() > 1 << 20 { "usage" } else { "trust-unusable" };
        assert_eq!(result["reason"], expected, "{about}: {result:#}");
        assert_ne!(result["verdict"], "verified");
    }
}

#[test]
fn a_signature_of_another_instance_is_refused_as_such() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let stranger = World::new();
    attach(&world, &pushed, &sign(&stranger, &usual(&pushed, "web", "1.4.2")));
    let words = ["error: signature is from a Sigstore instance that is not trusted: "];
    refuses(&world, &[&reference], 5, "untrusted-instance", &words);
    refuses(
        &world,
        &[&reference, "--trusted-root", "embedded"],
        5,
        "untrusted-instance",
        &["the trusted root does not know the authority"],
    );
    let theirs = write(&world, "root.json", stranger.sigstore.trusted_root_json().as_bytes());
    let issuer = stranger.sigstore.issuer_url(helm_sigstore_kit::sigstore::IssuerKind::GitHub);
    let identity = world.signer()[1].clone();
    world
        .run(&[
            "verify",
            &reference,
            "--trusted-root",
            &theirs,
            "--certificate-identity",
            &identity,
            "--certificate-oidc-issuer",
            &issuer,
        ])
        .exits(0);
}

#[test]
fn every_part_of_the_trusted_root_is_needed() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let options = Options { rekor: vec![version], ..Options::default() };
        let world = World::with(RegistryOptions::default(), options);
        let (reference, _) = world.signed_web();
        let complete = root(&world, |_| ());
        world.verify(&[&reference, "--trusted-root", &complete]).exits(0);
        let other: Value =
            serde_json::from_str(&Sigstore::start(Options::default()).trusted_root_json()).unwrap();
        for part in ["tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities"] {
            let foreign = root(&world, |root| root[part] = other[part].clone());
            let ended = world.verify(&[&reference, "--trusted-root", &foreign]);
            assert_eq!(ended.code, 5, "{version:?} {part}: {}", ended.stderr);
            let without = root(&world, |root| root[part] = json!([]));
            let ended = world.verify(&[&reference, "--trusted-root", &without]);
            // What vouches for certificates is asked exactly where the root has it, and its absence is said.
            if part == "ctlogs" {
                ended.exits(0).prints("Certificate log: none (the trusted root has none)");
                continue;
            }
            assert!([4, 5].contains(&ended.code), "{version:?} {part}: {}", ended.stderr);
            assert_eq!(ended.stdout, "");
        }
    }
}

#[test]
fn advisory_cve_2026_54787_a_key_or_authority_outside_its_window_vouches_for_nothing() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let options = Options { rekor: vec![version], ..Options::default() };
        let world = World::with(RegistryOptions::default(), options);
        let (reference, _) = world.signed_web();
        for (part, pointer) in [
            ("tlogs", "/publicKey/validFor"),
            ("ctlogs", "/publicKey/validFor"),
            ("certificateAuthorities", "/validFor"),
            ("timestampAuthorities", "/validFor"),
        ] {
            let root = root(&world, |root| {
                for entry in root[part].as_array_mut().unwrap() {
                    *entry.pointer_mut(pointer).unwrap() = past();
                }
            });
            let ended = world.verify(&[&reference, "--trusted-root", &root]);
            assert!([4, 5].contains(&ended.code), "{version:?} {part}: {}", ended.stderr);
            assert_eq!(ended.stdout, "");
        }
    }
}

#[test]
fn advisory_cve_2026_39984_the_window_of_another_timestamp_authority_does_not_count() {
    let options = Options { rekor: vec![RekorVersion::V2], ..Options::default() };
    let world = World::with(RegistryOptions::default(), options);
    let (reference, _) = world.signed_web();
    let other: Value =
        serde_json::from_str(&Sigstore::start(Options::default()).trusted_root_json()).unwrap();
    // The signer's authority is over, another one is still good.
    let borrowed = root(&world, |root| {
        let authorities = root["timestampAuthorities"].as_array_mut().unwrap();
        authorities[0]["validFor"] = past();
        authorities.push(other["timestampAuthorities"][0].clone());
    });
    refuses(&world, &[&reference, "--trusted-root", &borrowed], 5, "bad-signature", &["timestamp"]);
    let both = root(&world, |root| {
        let authorities = root["timestampAuthorities"].as_array_mut().unwrap();
        authorities.push(other["timestampAuthorities"][0].clone());
    });
    world.verify(&[&reference, "--trusted-root", &both]).exits(0);
}

#[test]
fn no_key_is_asked_of_the_instance_itself() {
    // gitsign CVE-2023-47122: keys from the log's own API.
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.verify(&[&reference]).exits(0);
    assert_eq!(world.sigstore.requests().len(), 0);
}
