use std::sync::OnceLock;

use serde_json::{Value, json};

use super::*;
use crate::error::Class;

const PASSWORD: &str = "correct-horse";

/// A key in cosign's form, sealed with [`PASSWORD`], and its public half. (Keys that cosign itself wrote are
/// read by the interop suite.)
fn cosign() -> &'static (String, String) {
    static KEY: OnceLock<(String, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let new = NewKey::generate(PASSWORD).unwrap();
        (new.private_pem.to_string(), new.public.to_pem())
    })
}

/// One key as `openssl ecparam -genkey` writes it (curve first, then SEC1) and as PKCS#8, and its public
/// half.
fn openssl() -> &'static [String; 3] {
    static KEY: OnceLock<[String; 3]> = OnceLock::new();
    KEY.get_or_init(|| {
        let secret = SecretKey::random(&mut OsRng);
        let block = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
        // RFC 5915 section 3, with the curve, which OpenSSL always writes.
        let point = p256::elliptic_curve::sec1::ToEncodedPoint::to_encoded_point(
            &secret.public_key(),
            false,
        );
        let sec1 = [
            &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20][..],
            &secret.to_bytes(),
            &[0xa0, 0x0a],
            &P256_OID,
            &[0xa1, 0x44, 0x03, 0x42, 0x00],
            point.as_bytes(),
        ]
        .concat();
        let text = block("EC PARAMETERS", &P256_OID) + &block("EC PRIVATE KEY", &sec1);
        let pkcs8 = block("PRIVATE KEY", secret.to_pkcs8_der().unwrap().as_bytes());
        [text, pkcs8, public_half(&secret).unwrap().to_pem()]
    })
}

fn with(password: &'static str) -> impl FnOnce() -> Result<Zeroizing<String>> {
    move || Ok(Zeroizing::new(password.to_owned()))
}

fn unasked() -> Result<Zeroizing<String>> {
    panic!("nobody has to be asked")
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = PrivateKey::parse(text.as_bytes(), with(PASSWORD)).unwrap_err();
    assert_eq!(error.class, Class::Usage, "{error}");
    assert!(error.to_string().contains(words), "{error} lacks {words:?}");
    assert!(!error.to_string().contains(PASSWORD), "{error}");
}

/// cosign's key with a change in what its block holds.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut content: Value =
        serde_json::from_slice(pem::parse(&cosign().0).unwrap().contents()).unwrap();
    change(&mut content);
    pem::encode(&pem::Pem::new(ENCRYPTED[0], content.to_string()))
}

#[test]
fn reads_cosigns_form_under_both_of_its_names() {
    let (private, public) = cosign();
    let key = PrivateKey::parse(private.as_bytes(), with(PASSWORD)).unwrap();
    assert_eq!(key.public().to_pem(), *public);
    let older = private.replace("SIGSTORE", "COSIGN");
    let key = PrivateKey::parse(older.as_bytes(), with(PASSWORD)).unwrap();
    assert_eq!(key.public().to_pem(), *public);
}

#[test]
fn reads_openssls_forms_without_asking_for_a_password() {
    let [sec1, pkcs8, public] = openssl();
    for text in [sec1, pkcs8] {
        let key = PrivateKey::parse(text.as_bytes(), unasked).unwrap();
        assert_eq!(key.public().to_pem(), *public);
    }
}

#[test]
fn a_new_key_opens_with_its_password_and_with_no_other() {
    let new = NewKey::generate("pass word").unwrap();
    assert!(new.private_pem.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    let read = PrivateKey::parse(new.private_pem.as_bytes(), with("pass word")).unwrap();
    assert_eq!(read.public(), &new.public);
    let error = PrivateKey::parse(new.private_pem.as_bytes(), with("password")).unwrap_err();
    assert!(error.to_string().contains("password is wrong"), "{error}");
    let other = NewKey::generate("").unwrap();
    assert_ne!(other.public, new.public);
    PrivateKey::parse(other.private_pem.as_bytes(), with("")).unwrap();
}

#[test]
fn costs_that_cosign_never_used_are_refused_before_they_are_paid() {
    for (n, r, p) in [
        (1_u64 << 40, 8, 1),
        (u64::MAX, 8, 1),
        (1 << 18, 8, 1),
        (1 << 16, 1 << 20, 1),
        (1 << 16, 8, 1 << 20),
        (2, 8, 1),
        (0, 0, 0),
        (65_537, 8, 1),
    ] {
        refused(
            &changed(|key| key["kdf"]["params"] = json!({"N": n, "r": r, "p": p})),
            "none that cosign uses",
        );
    }
    refused(&changed(|key| key["kdf"]["params"]["N"] = json!(-1)), "cannot be read");
}

#[test]
fn a_damaged_key_is_refused_whatever_is_wrong_with_it() {
    refused(&changed(|key| key["ciphertext"] = json!("AAAA")), "password is wrong");
    refused(&changed(|key| key["ciphertext"] = json!("!")), "cannot be read");
    refused(&changed(|key| key["cipher"]["nonce"] = json!("AAAA")), "cannot be read");
    refused(&changed(|key| key["cipher"]["name"] = json!("none")), "another way");
    refused(&changed(|key| key["kdf"]["name"] = json!("argon2")), "another way");
    refused(&changed(|key| *key = json!([])), "cannot be read");
    let (private, public) = cosign();
    for end in (0..private.len() - 2).step_by(7) {
        let error = PrivateKey::parse(&private.as_bytes()[..end], with(PASSWORD)).unwrap_err();
        assert_eq!(error.class, Class::Usage);
    }
    refused(&"x".repeat(MAX_KEY_BYTES + 1), "larger than");
    refused("", "no private key");
    refused(public, "no private key");
}

#[test]
fn keys_of_other_kinds_are_refused_and_told_apart() {
    use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        refused(&key, "no P-256 key");
    }
    // The number of another curve, which would be one of this too.
    let [sec1, ..] = openssl();
    let named = sec1.find("-----BEGIN EC PRIVATE").unwrap();
    let mut der = pem::parse(&sec1[named..]).unwrap().into_contents();
    let at = der.windows(P256_OID.len()).position(|part| part == P256_OID).unwrap();
    der[at + 9] ^= 1;
    refused(&pem::encode(&pem::Pem::new("EC PRIVATE KEY", der)), "no P-256 key");
    let sealed = pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", vec![1; 64]));
    refused(&sealed, "encrypted PKCS#8");
    refused(&pem::encode(&pem::Pem::new("RSA PRIVATE KEY", vec![1; 64])), "RSA PRIVATE KEY");
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let [_, pkcs8, _] = openssl();
    let key = PrivateKey::parse(pkcs8.as_bytes(), unasked).unwrap();
    let shown = format!("{key:?}");
    assert!(shown.contains("EcdsaP256"), "{shown}");
    let der = pem::parse(pkcs8).unwrap().into_contents();
    for part in der.windows(8) {
        assert!(!shown.contains(&hex::encode(part)) && !shown.contains(&BASE64.encode(part)));
    }
}
