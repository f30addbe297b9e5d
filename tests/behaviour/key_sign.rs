//! Signing with a key.

use helm_sigstore_kit::registry::Options as RegistryOptions;
use helm_sigstore_kit::sigstore::{Options, RekorVersion};
use serde_json::{Value, json};

use crate::key_support::{PASSWORD, generate, key_id, sign, signed, verdict, verify, with_key};
use crate::sign_support::{
    asked, assert_hides, assert_nothing_logged, attached, sign_json, signature,
};
use crate::support::World;

/// Both generations of the log, on a registry with the referrers API and on one without.
fn worlds() -> Vec<World> {
    let v2 = || Options { rekor: vec![RekorVersion::V2], ..Options::default() };
    vec![
        with_key(World::new(), "release"),
        with_key(World::with_fallback_registry(), "release"),
        with_key(World::with(RegistryOptions::default(), v2()), "release"),
        with_key(World::with(RegistryOptions::fallback(), v2()), "release"),
    ]
}

#[test]
fn signs_with_a_key_in_both_logs_without_any_certificate_and_verifies() {
    for world in worlds() {
        let (reference, pushed) = world.push_web();
        let ended = sign(&world, &reference, &[]).exits(0);
        let id = key_id(&world, "release");
        assert!(ended.stdout.contains(&format!("Signed by: key {id}\n")), "{}", ended.stdout);
        assert!(!ended.stdout.contains("Issued by"), "{}", ended.stdout);
        assert!(ended.stdout.contains("Logged in: "), "{}", ended.stdout);
        assert_hides(&ended, PASSWORD);
        assert_eq!(asked(&world), (0, 1, 1), "Fulcio, timestamp, log");
        verify(&world, &reference, "release", &[])
            .exits(0)
            .prints(&format!("Signed by: key {id}\n"))
            .prints("Logged in: ")
            .prints("(signed: manifest and chart)")
            .prints(&format!("@{}", pushed.manifest_digest));
    }
}

#[test]
fn the_bundle_names_its_key_by_the_hint_that_cosign_writes() {
    let world = with_key(World::with_fallback_registry(), "release");
    let (_, pushed) = signed(&world, &[]);
    let listed = crate::sign_support::listed_by_tag(&world, &pushed);
    let digest = listed[0]["digest"].as_str().unwrap();
    let signature = crate::sign_support::read_signature(&world, &pushed, digest);
    use base64::Engine as _;
    let id = key_id(&world, "release");
    let hash = hex::decode(id.trim_start_matches("sha256:")).unwrap();
    let hint = base64::engine::general_purpose::STANDARD.encode(hash);
    let material = &signature.bundle["verificationMaterial"];
    assert_eq!(material["publicKey"], json!({"hint": hint}));
    assert_eq!(material["certificate"], Value::Null);
    assert_eq!(material["tlogEntries"].as_array().unwrap().len(), 1);
    assert_eq!(signature.statement["predicateType"], "https://sigstore.dev/cosign/sign/v1");
    assert_eq!(signature.statement["subject"].as_array().unwrap().len(), 2);
}

#[test]
fn without_the_log_nothing_is_asked_and_no_trust_is_needed() {
    let mut world = with_key(World::new(), "release");
    for name in ["HELM_SIGSTORE_TRUSTED_ROOT", "HELM_SIGSTORE_SIGNING_CONFIG"] {
        world.environment.remove(name);
    }
    let (reference, pushed) = world.push_web();
    let ended = sign(&world, &reference, &["--tlog-upload=false"]).exits(0);
    assert!(ended.stdout.contains("Logged in: no log\n"), "{}", ended.stdout);
    assert!(ended.stderr.contains("nothing is logged"), "{}", ended.stderr);
    assert_eq!(asked(&world), (0, 0, 0));
    let material = &signature(&world, &pushed).bundle["verificationMaterial"];
    assert_eq!(material["tlogEntries"].as_array().map_or(0, Vec::len), 0);
    // With trust it is not enough, and the verifier has to say that it is.
    verify(&world, &reference, "release", &["--insecure-ignore-tlog"])
        .exits(0)
        .prints("Weakened by: --insecure-ignore-tlog")
        .prints("Logged in: not checked");
}

#[test]
fn without_the_log_the_timestamp_authority_of_a_signing_config_is_still_asked() {
    let world = with_key(World::new(), "release");
    let (reference, _) = world.push_web();
    sign(&world, &reference, &["--tlog-upload=false"]).exits(0).prints("Timestamp: ");
    assert_eq!(asked(&world), (0, 1, 0));
    verify(&world, &reference, "release", &["--insecure-ignore-tlog"])
        .exits(0)
        .prints("Timestamp: ");
    verify(&world, &reference, "release", &[])
        .exits(5)
        .says("signature is in no transparency log")
        .says("--insecure-ignore-tlog");
}

#[test]
fn an_identity_is_never_signed_for_without_the_log_and_a_key_not_beside_a_token() {
    let mut world = with_key(World::new(), "release");
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--tlog-upload=false"]).exits(2).says("--tlog-upload=false");
    sign(&world, &reference, &["--identity-token", "x"]).exits(2).says("cannot be used together");
    // A token in the environment is not meant.
    let token = "a.b.c".to_owned();
    world.environment.insert("SIGSTORE_ID_TOKEN".to_owned(), token);
    sign(&world, &reference, &[]).exits(0);
}

#[test]
fn a_key_that_cannot_be_used_stops_everything_before_anything_is_public() {
    let mut world = with_key(World::new(), "release");
    let (reference, pushed) = world.push_web();
    let text = std::fs::read_to_string(world.path("release.key")).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(world.path(name), text).unwrap();
        world.argument(name)
    };
    for (named, words) in [
        (write("short.key", &text[..300]), "cannot use the private key"),
        (write("empty.key", ""), "no private key"),
        (write("huge.key", &"x".repeat(70 << 10)), "larger than"),
        (world.argument("release.pub"), "no private key"),
        (world.argument("none.key"), "cannot open key"),
        (world.directory().display().to_string(), "cannot open key"),
        ("env://NO_SUCH_KEY".to_owned(), "no such variable"),
        ("awskms:///alias/x".to_owned(), "none in hardware or at a cloud"),
        ("pkcs11:token=x".to_owned(), "none in hardware or at a cloud"),
    ] {
        let ended = world.run(&["sign", &reference, "--key", &named]).exits(2).says(words);
        assert_hides(&ended, PASSWORD);
    }
    world.environment.insert("COSIGN_PASSWORD".to_owned(), "wrong horse".to_owned());
    let ended = sign(&world, &reference, &[]).exits(2).says("the password is wrong");
    assert_hides(&ended, "wrong horse");
    world.environment.remove("COSIGN_PASSWORD");
    sign(&world, &reference, &[]).exits(2).says("COSIGN_PASSWORD is not set");
    assert_nothing_logged(&world);
    assert!(attached(&world, &pushed).is_empty());
}

#[test]
fn a_key_is_read_from_a_variable() {
    let mut world = with_key(World::new(), "release");
    for (variable, file) in [("MY_KEY", "release.key"), ("MY_PUB", "release.pub")] {
        let text = std::fs::read_to_string(world.path(file)).unwrap();
        world.environment.insert(variable.to_owned(), text);
    }
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--key", "env://MY_KEY"]).exits(0);
    world.run(&["verify", &reference, "--key", "env://MY_PUB"]).exits(0);
}

#[cfg(unix)]
#[test]
fn a_plain_key_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let world = with_key(World::new(), "release");
    let (reference, _) = world.push_web();
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let path = world.path("plain.key");
    std::fs::write(&path, &pem).unwrap();
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let ended =
            world.run(&["sign", &reference, "--key", &world.argument("plain.key")]).exits(0);
        assert_eq!(ended.stderr.contains("others may read it"), warned, "{}", ended.stderr);
        assert_hides(&ended, pem.lines().nth(1).unwrap());
    }
}

#[test]
fn the_report_of_a_signature_names_the_key_and_no_identity() {
    let world = with_key(World::new(), "release");
    generate(&world, "other");
    let (reference, _) = world.push_web();
    let key = world.argument("release.key");
    let (code, result) = sign_json(&world, &[&reference, "--key", &key]);
    assert_eq!((code, &result["verdict"]), (0, &json!("signed")));
    let id = key_id(&world, "release");
    let signer = |result: &Value| result["signatures"][0]["signer"].clone();
    assert_eq!(signer(&result)["keyId"], id.as_str());
    assert_eq!(signer(&result)["identity"], Value::Null);
    assert_eq!(signer(&result)["issuer"], Value::Null);
    let result = verdict(&world, &reference, "release", &[]);
    assert_eq!(signer(&result)["keyId"], id.as_str());
    let result = verdict(&world, &reference, "other", &[]);
    assert_eq!(
        (&result["reason"], signer(&result)["keyId"].as_str()),
        (&json!("wrong-signer"), Some(id.as_str()))
    );
}
