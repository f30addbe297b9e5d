//! Verifying with a key: which one, of which kind, and what it does not excuse.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::{Options, RekorVersion};
use serde_json::{Value, json};

use crate::key_support::{generate, key_id, sign, signed, verdict, verify, with_key};
use crate::sign_support::signature;
use crate::support::World;
use crate::verify_craft::{attach, usual};

#[test]
fn another_key_is_refused_and_both_are_named() {
    let v2 = Options { rekor: vec![RekorVersion::V2], ..Options::default() };
    for world in [World::new(), World::with(Default::default(), v2)] {
        let world = with_key(world, "release");
        generate(&world, "other");
        let (reference, _) = signed(&world, &[]);
        let (ours, other) = (key_id(&world, "release"), key_id(&world, "other"));
        verify(&world, &reference, "other", &[])
            .exits(5)
            .says("error: wrong signer")
            .says(&format!("expected  key {other}\n"))
            .says(&format!("found     key {ours}   (1 valid signature)"));
        let result = verdict(&world, &reference, "other", &[]);
        assert_eq!(result["reason"], "wrong-signer");
        assert_eq!(result["signatures"][0]["status"], "refused");
        assert_eq!(result["digestRef"], Value::Null);
    }
}

#[test]
fn without_a_log_another_key_is_refused_by_what_the_bundle_claims() {
    let world = with_key(World::new(), "release");
    generate(&world, "other");
    let (reference, _) = signed(&world, &["--tlog-upload=false"]);
    for more in [&["--insecure-ignore-tlog"][..], &[]] {
        verify(&world, &reference, "other", more)
            .exits(5)
            .says("wrong signer")
            .says(&format!("expected  key {}", key_id(&world, "other")))
            .says(&format!("claims    key {}", key_id(&world, "release")));
    }
}

#[test]
fn a_key_and_an_identity_never_meet() {
    let mut world = with_key(World::new(), "release");
    let (reference, _) = signed(&world, &[]);
    let signer = world.signer();
    let identity: Vec<&str> = signer.iter().map(String::as_str).collect();
    // Both at once (the confusion of CVE-2022-36056: one of both is silently not checked).
    verify(&world, &reference, "release", &identity).exits(2).says("cannot be used together");
    verify(&world, &reference, "release", &identity[2..]).exits(2);
    // Signed with a key, an identity asked for.
    world
        .verify(&[&reference])
        .exits(5)
        .says("wrong signer")
        .says(&format!("found     key {}", key_id(&world, "release")));
    // Signed by an identity, a key asked for.
    let other = world.push(&Chart::new("api", "1.4.2"));
    let api = format!("{}@{}", world.repository("api"), other.manifest_digest);
    let token = world
        .sigstore
        .token(&helm_sigstore_kit::sigstore::Identity::github(crate::support::WORKFLOW));
    world.environment.insert("SIGSTORE_ID_TOKEN".to_owned(), token);
    world.run(&["sign", &api]).exits(0);
    verify(&world, &api, "release", &[])
        .exits(5)
        .says("wrong signer")
        .says(&format!("expected  key {}", key_id(&world, "release")))
        .says(&format!("found     https://github.com/{}", crate::support::WORKFLOW));
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    verify(&world, &api, "release", &["--insecure-ignore-tlog"])
        .exits(5)
        .says("signed with a certificate of an identity, and a key was asked for");
}

#[test]
fn a_key_in_the_environment_does_not_join_an_identity_on_the_command_line() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    world.environment.insert("HELM_SIGSTORE_KEY".to_owned(), "/no/such.pub".to_owned());
    world.verify(&[&reference]).exits(0);
}

#[test]
fn nobody_is_trusted_unasked_and_the_key_that_signed_is_told() {
    let world = with_key(World::new(), "release");
    let (reference, _) = signed(&world, &[]);
    world
        .run(&["verify", &reference])
        .exits(2)
        .says("no identity to trust was given")
        .says(&format!("valid signature by  key {}", key_id(&world, "release")))
        .says("--key cosign.pub");
    let unlogged = with_key(World::new(), "release");
    let (reference, _) = signed(&unlogged, &["--tlog-upload=false"]);
    unlogged.run(&["verify", &reference]).exits(5).says("it is signed with a key");
}

#[test]
fn ignoring_the_log_is_only_for_keys() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world
        .verify(&[&reference, "--insecure-ignore-tlog"])
        .exits(2)
        .says("only a signature by a key");
    world.run(&["verify", &reference, "--insecure-ignore-tlog"]).exits(2).says("--key cosign.pub");
}

#[test]
fn a_logged_signature_by_a_key_needs_its_trusted_root() {
    let mut world = with_key(World::new(), "release");
    let (reference, _) = signed(&world, &[]);
    let stranger = World::new();
    let root = stranger.argument("trusted_root.json");
    verify(&world, &reference, "release", &["--trusted-root", &root]).exits(5);
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    verify(&world, &reference, "release", &["--offline"]).exits(4);
    let ended = verify(&world, &reference, "release", &["--insecure-ignore-tlog"]).exits(0);
    assert!(ended.stdout.contains("Logged in: not checked"), "{}", ended.stdout);
    let result = verdict(&world, &reference, "release", &["--insecure-ignore-tlog"]);
    assert_eq!(result["weakened"], json!(["--insecure-ignore-tlog"]));
    assert_eq!(result["trust"]["source"], "none");
    assert_eq!(result["signatures"][0]["log"], Value::Null);
}

#[test]
fn what_a_key_signed_is_still_asked_what_it_covers_and_means() {
    let world = with_key(World::new(), "release");
    for more in [&[][..], &["--tlog-upload=false"]] {
        let (_, pushed) = signed(&world, more);
        let bundle = crate::sign_support::attached(&world, &pushed);
        let newest = bundle.last().unwrap()["digest"].as_str().unwrap().to_owned();
        let bytes = crate::sign_support::read_signature(&world, &pushed, &newest).bundle_bytes;
        let file = crate::verify_craft::write(&world, "b.json", &bytes);
        let tampered = Chart::new("web", "1.4.2").description("tampered");
        let tampered = tampered.write_to(world.directory()).unwrap().display().to_string();
        let good = ["--bundle", file.as_str(), "--offline", "--insecure-ignore-tlog"];
        verify(&world, &tampered, "release", &good)
            .exits(5)
            .says("signature does not match this chart");
        let chart = Chart::new("web", "1.4.2");
        let chart = chart.write_to(world.directory()).unwrap().display().to_string();
        verify(&world, &chart, "release", &good).exits(0);
        let renamed = [&good[..], &["--chart", "api"]].concat();
        verify(&world, &chart, "release", &renamed).exits(5).says("wrong chart");
    }
}

#[test]
fn a_bundle_that_was_changed_is_refused_with_and_without_the_log() {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let world = with_key(World::new(), "release");
    for (name, sign_with) in [("web", &[][..]), ("api", &["--tlog-upload=false"])] {
        let chart = Chart::new(name, "1.4.2");
        let pushed = world.push(&chart);
        let reference = format!("{}@{}", world.repository(name), pushed.manifest_digest);
        sign(&world, &reference, sign_with).exits(0);
        let file = chart.write_to(world.directory()).unwrap().display().to_string();
        let original = signature(&world, &pushed);
        let statement = usual(&pushed, name, "9.9.9").to_string();
        let changes: [(&str, Value); 3] = [
            ("/dsseEnvelope/payload", json!(base64.encode(statement))),
            ("/dsseEnvelope/signatures/0/sig", json!(base64.encode([0x30, 6, 2, 1, 1, 2, 1, 1]))),
            ("/dsseEnvelope/payloadType", json!("text/plain")),
        ];
        for (pointer, value) in changes {
            let mut bundle = original.bundle.clone();
            *bundle.pointer_mut(pointer).unwrap() = value;
            let bundle =
                crate::verify_craft::write(&world, "b.json", bundle.to_string().as_bytes());
            for more in [&["--insecure-ignore-tlog"][..], &[]] {
                let words = [&["--bundle", bundle.as_str()][..], more].concat();
                verify(&world, &file, "release", &words).exits(5);
            }
        }
    }
}

#[test]
fn a_log_entry_of_another_key_does_not_serve() {
    let world = with_key(World::new(), "release");
    let (reference, pushed) = signed(&world, &[]);
    let ours = signature(&world, &pushed);
    generate(&world, "other");
    let copy = world.registry.push_chart("charts/api", &Chart::new("api", "1.4.2"));
    let api = format!("{}@{}", world.repository("api"), copy.manifest_digest);
    let key = world.argument("other.key");
    world.run(&["sign", &api, "--key", &key]).exits(0);
    let theirs = signature(&world, &copy);
    let mut mixed = ours.bundle.clone();
    mixed["verificationMaterial"]["tlogEntries"] =
        theirs.bundle["verificationMaterial"]["tlogEntries"].clone();
    let bundle = crate::verify_craft::write(&world, "mixed.json", mixed.to_string().as_bytes());
    verify(&world, &reference, "release", &["--bundle", &bundle])
        .exits(5)
        .says("log entry belongs to another signature");
    // A hint is a claim: a wrong one does not harm, and a right one does not help.
    let mut hinted = ours.bundle.clone();
    hinted["verificationMaterial"]["publicKey"]["hint"] =
        theirs.bundle["verificationMaterial"]["publicKey"]["hint"].clone();
    let bundle = crate::verify_craft::write(&world, "hint.json", hinted.to_string().as_bytes());
    verify(&world, &reference, "release", &["--bundle", &bundle]).exits(0);
    verify(&world, &reference, "other", &["--bundle", &bundle]).exits(5).says("wrong signer");
}

#[test]
fn a_signature_of_the_right_key_is_found_among_those_of_others() {
    let world = with_key(World::new(), "release");
    generate(&world, "other");
    let (reference, pushed) = world.push_web();
    sign(&world, &reference, &[]).exits(0);
    let key = world.argument("other.key");
    world.run(&["sign", &reference, "--key", &key]).exits(0);
    attach(&world, &pushed, b"{}");
    verify(&world, &reference, "release", &[]).exits(0);
    verify(&world, &reference, "other", &[]).exits(0);
    generate(&world, "third");
    verify(&world, &reference, "third", &[]).exits(5).says("(2 valid signatures)");
}

#[test]
fn what_is_no_public_key_is_a_usage_error() {
    let world = with_key(World::new(), "release");
    let (reference, _) = signed(&world, &[]);
    let write = |name: &str, text: &str| crate::verify_craft::write(&world, name, text.as_bytes());
    let pem = |tag: &str, bytes: &[u8]| pem::encode(&pem::Pem::new(tag, bytes.to_vec()));
    for (named, words) in [
        (world.argument("release.key"), "it is a private key"),
        (write("a", ""), "no PEM block"),
        (write("b", &pem("CERTIFICATE", b"x")), "it is a CERTIFICATE"),
        (write("c", &pem("PUBLIC KEY", b"x")), "not a public key"),
        (world.argument("none.pub"), "cannot open key"),
        ("k8s://ns/secret".to_owned(), "none in hardware or at a cloud"),
    ] {
        world.run(&["verify", &reference, "--key", &named]).exits(2).says(words);
    }
}

/// One signature by each kind of key, in a bundle without any evidence.
#[test]
fn verifies_every_kind_of_key_that_cosign_signs_with() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature as sig;
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut world = with_key(World::new(), "release");
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.push(&chart);
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    let payload = usual(&pushed, "web", "1.4.2").to_string();
    let kind = "application/vnd.in-toto+json";
    let pae = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let (pae, rng) = (pae.as_bytes(), SystemRandom::new());
    let ecdsa = |algorithm: &'static rcgen::SignatureAlgorithm, scheme| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let pair = sig::EcdsaKeyPair::from_pkcs8(scheme, &key.serialize_der()).unwrap();
        (key.public_key_pem(), pair.sign(&rng, pae).unwrap().as_ref().to_vec())
    };
    let ed25519 = || {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let pair = sig::Ed25519KeyPair::from_pkcs8(&key.serialize_der()).unwrap();
        (key.public_key_pem(), pair.sign(pae).as_ref().to_vec())
    };
    let rsa = || {
        use aws_lc_rs::encoding::AsDer;
        let pair = sig::RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let mut made = vec![0; pair.public_modulus_len()];
        pair.sign(&sig::RSA_PKCS1_SHA256, &rng, pae, &mut made).unwrap();
        use sig::KeyPair as _;
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        (pem::encode(&pem::Pem::new("PUBLIC KEY", der.as_ref().to_vec())), made)
    };
    let p256 = ecdsa(&rcgen::PKCS_ECDSA_P256_SHA256, &sig::ECDSA_P256_SHA256_ASN1_SIGNING);
    let p384 = ecdsa(&rcgen::PKCS_ECDSA_P384_SHA384, &sig::ECDSA_P384_SHA384_ASN1_SIGNING);
    for (name, (public, made)) in
        [("p256", p256), ("p384", p384), ("ed25519", ed25519()), ("rsa", rsa())]
    {
        let bundle = |made: &[u8]| {
            json!({
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {"publicKey": {"hint": ""}},
                "dsseEnvelope": {
                    "payload": base64.encode(&payload),
                    "payloadType": kind,
                    "signatures": [{"sig": base64.encode(made)}],
                },
            })
            .to_string()
        };
        std::fs::write(world.path(&format!("{name}.pub")), &public).unwrap();
        let good = crate::verify_craft::write(&world, "good.json", bundle(&made).as_bytes());
        let words = ["--insecure-ignore-tlog", "--bundle", &good];
        verify(&world, &file, name, &words).exits(0).prints(&key_id(&world, name));
        verify(&world, &file, "release", &words).exits(5).says("signature does not verify");
        let mut wrong = made.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let bad = crate::verify_craft::write(&world, "bad.json", bundle(&wrong).as_bytes());
        let ended =
            verify(&world, &file, name, &["--insecure-ignore-tlog", "--bundle", &bad]).exits(5);
        assert_eq!(ended.stderr.contains("Ed25519ph"), name == "ed25519", "{}", ended.stderr);
        verify(&world, &file, name, &["--bundle", &good, "--offline"]).exits(4);
    }
}
