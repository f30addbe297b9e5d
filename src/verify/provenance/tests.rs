use pgp::composed::{ArmorOptions, CleartextSignedMessage};
use pgp::packet::{Notation, RevocationCode, Subpacket};
use pgp::types::Duration;

use super::testing::{
    DIGEST, FILE, Key, MADE, SIGNED, Says, clear_sign, signature, text, unknown, with_hash,
};
use super::*;
use crate::error::Class;

fn now() -> Timestamp {
    Timestamp::from_second(i64::from(SIGNED) + 100_000).unwrap()
}

fn named() -> NamedVersion {
    NamedVersion { name: "web".to_owned(), version: "1.4.2".to_owned() }
}

fn judge(prov: &str, ring: &[u8]) -> Result<VerifiedProvenance> {
    let digest = Digest::parse(DIGEST).unwrap();
    verify_provenance(prov.as_bytes(), &Keyring::parse(ring).unwrap(), &named(), &digest, now())
}

#[track_caller]
fn refuses(prov: &str, key: &Key, why: &str) {
    let error = judge(prov, &key.ring()).unwrap_err();
    assert_eq!(error.class, Class::Refused, "{error}");
    assert!(error.to_string().contains(why), "{error}, expected {why}");
}

#[test]
fn a_provenance_file_of_a_known_key_verifies() {
    let key = Key::new(&Says::default());
    let verified = judge(&key.signs(), &key.ring()).unwrap();
    assert_eq!(verified.signed_by, ["Jane <jane@example.com>"]);
    assert_eq!(verified.fingerprint.len(), 40);
    assert!(verified.fingerprint.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()));
    assert_eq!(verified.signed_at.as_second(), i64::from(SIGNED));
    // Line ends of another system are none of the text.
    judge(&key.signs().replace('\n', "\r\n"), &key.ring()).unwrap();
}

#[test]
fn an_unknown_key_is_another_answer_than_a_bad_signature() {
    let (key, other) = (Key::new(&Says::default()), Key::new(&Says::default()));
    let error = judge(&key.signs(), &other.ring()).unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Refused, Reason::WrongSigner));
    let tampered = key.signs().replace("name: web", "name: wob");
    assert_eq!(judge(&tampered, &key.ring()).unwrap_err().reason, Reason::BadSignature);
}

#[test]
fn a_weak_hash_is_refused() {
    let key = Key::new(&Says::default());
    for hash in
        [HashAlgorithm::Sha1, HashAlgorithm::Md5, HashAlgorithm::Ripemd160, HashAlgorithm::Sha224]
    {
        let weak = CleartextSignedMessage::new_many(&text(), |text| {
            Ok(vec![with_hash(&signature(&key.primary, text), hash)])
        });
        let weak = weak.unwrap().to_armored_string(ArmorOptions::default()).unwrap();
        assert_eq!(judge(&weak, &key.ring()).unwrap_err().class, Class::Refused, "{hash}");
        if hash == HashAlgorithm::Sha1 {
            refuses(&weak, &key, "weak");
        }
    }
}

#[test]
fn a_key_rests_on_sha_1_only_where_it_is_old() {
    let certified = |at| {
        let key = Key::new(&Says { at, ..Says::default() });
        with_hash(&key.public.details.users[0].signatures[0], HashAlgorithm::Sha1)
    };
    assert!(!super::keys::counts(&certified(MADE)));
    assert!(super::keys::counts(&certified(1_600_000_000)));
    let key = Key::new(&Says::default());
    let own = &key.public.details.users[0].signatures[0];
    assert!(!super::keys::counts(&with_hash(own, HashAlgorithm::Md5)));
}

#[test]
fn a_signature_older_than_its_key_is_refused_and_one_of_the_future_is_open() {
    let key = Key::new(&Says::default());
    let made = |at| clear_sign(&key.primary, &text(), HashAlgorithm::Sha512, at, Vec::new());
    refuses(&made(MADE - 1), &key, "older than its key");
    let error = judge(&made(SIGNED + 200_000), &key.ring()).unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Undecided, Reason::ClockBehind));
}

#[test]
fn a_signature_that_has_expired_is_refused() {
    let key = Key::new(&Says::default());
    let lasts = |seconds| {
        let one = SubpacketData::SignatureExpirationTime(Duration::from_secs(seconds));
        let more = vec![Subpacket::regular(one).unwrap()];
        clear_sign(&key.primary, &text(), HashAlgorithm::Sha512, SIGNED, more)
    };
    refuses(&lasts(1000), &key, "has expired");
    judge(&lasts(1_000_000), &key.ring()).unwrap();
}

#[test]
fn what_is_critical_and_unknown_is_refused() {
    let key = Key::new(&Says::default());
    let notation = |critical| {
        let notation = Notation {
            readable: false,
            name: "salt@notations.openpgpjs.org".into(),
            value: vec![7; 16].into(),
        };
        let one = SubpacketData::Notation(notation);
        let one = if critical { Subpacket::critical(one) } else { Subpacket::regular(one) };
        clear_sign(&key.primary, &text(), HashAlgorithm::Sha512, SIGNED, vec![one.unwrap()])
    };
    // Helm's own files have one that is not.
    judge(&notation(false), &key.ring()).unwrap();
    refuses(&notation(true), &key, "critical");
}

#[test]
fn expiry_is_judged_when_it_signed() {
    let expires = |lasts| Key::new(&Says { lasts: Some(lasts), ..Says::default() });
    let key = expires(500);
    refuses(&key.signs(), &key, "had expired when it signed");
    let key = expires(2000);
    judge(&key.signs(), &key.ring()).unwrap();
    // Renewed after it had signed: it was expired then.
    let mut key = expires(500);
    key.certify_again(&Says { at: SIGNED + 10, ..Says::default() });
    refuses(&key.signs(), &key, "had expired");
    // Renewed before.
    let mut key = expires(500);
    key.certify_again(&Says { at: SIGNED - 10, ..Says::default() });
    judge(&key.signs(), &key.ring()).unwrap();
}

#[test]
fn a_hard_revocation_counts_always_and_a_soft_one_from_its_time() {
    let revoked = |code, when| {
        let mut key = Key::new(&Says::default());
        key.revoke(code, when);
        key
    };
    for code in [None, Some(RevocationCode::NoReason), Some(RevocationCode::KeyCompromised)] {
        let key = revoked(code, SIGNED + 50_000);
        refuses(&key.signs(), &key, "the key is revoked");
    }
    for code in [RevocationCode::KeySuperseded, RevocationCode::KeyRetired] {
        let key = revoked(Some(code), SIGNED - 10);
        refuses(&key.signs(), &key, "was revoked when it signed");
        let key = revoked(Some(code), SIGNED + 10);
        judge(&key.signs(), &key.ring()).unwrap();
    }
    // Somebody else's revocation is none.
    let mut key = Key::new(&Says::default());
    let other = revoked(None, SIGNED);
    key.public.details.revocation_signatures = other.public.details.revocation_signatures;
    judge(&key.signs(), &key.ring()).unwrap();
}

#[test]
fn a_key_of_nobody_is_refused() {
    let mut key = Key::new(&Says::default());
    key.revoke_user(SIGNED - 10);
    refuses(&key.signs(), &key, "no user id");
    let mut key = Key::new(&Says::default());
    key.public.details.users.clear();
    refuses(&key.signs(), &key, "no user id");
    // A user id that somebody else certified.
    let other = Key::new(&Says::default());
    let mut key = Key::new(&Says::default());
    key.public.details.users = other.public.details.users;
    refuses(&key.signs(), &key, "no user id");
}

#[test]
fn a_key_that_is_not_to_sign_with_is_refused() {
    let key = Key::new(&Says { signs: Some(false), ..Says::default() });
    refuses(&key.signs(), &key, "not one to sign with");
    // Old keys have no flags.
    let key = Key::new(&Says { signs: None, ..Says::default() });
    judge(&key.signs(), &key.ring()).unwrap();
}

#[test]
fn a_subkey_signs_if_it_is_bound_both_ways() {
    let bound = |says: &Says, confirmed| {
        let mut key = Key::new(&Says { signs: Some(false), ..Says::default() });
        key.bind(says, confirmed);
        key
    };
    let key = bound(&Says::default(), true);
    let verified = judge(&key.subkey_signs(), &key.ring()).unwrap();
    // The primary key's, as Helm prints it.
    assert_eq!(
        verified.fingerprint,
        format!("{:X}", pgp::types::KeyDetails::fingerprint(&key.primary))
    );

    let key = bound(&Says::default(), false);
    refuses(&key.subkey_signs(), &key, "does not confirm");
    for signs in [Some(false), None] {
        let key = bound(&Says { signs, ..Says::default() }, true);
        refuses(&key.subkey_signs(), &key, "not one to sign with");
    }
    let key = bound(&Says { lasts: Some(500), ..Says::default() }, true);
    refuses(&key.subkey_signs(), &key, "had expired");
    let mut key = bound(&Says::default(), true);
    key.revoke_subkey(RevocationCode::KeyCompromised, SIGNED + 10, Vec::new());
    refuses(&key.subkey_signs(), &key, "subkey is revoked");
    let mut key = bound(&Says::default(), true);
    key.revoke_subkey(RevocationCode::KeyRetired, SIGNED + 10, Vec::new());
    judge(&key.subkey_signs(), &key.ring()).unwrap();
    // What would not count as a binding counts as a revocation.
    let mut key = bound(&Says::default(), true);
    key.revoke_subkey(RevocationCode::KeyCompromised, SIGNED + 10, vec![unknown()]);
    refuses(&key.subkey_signs(), &key, "subkey is revoked");

    // Somebody else's subkey, with the binding that it has there.
    let other = bound(&Says::default(), true);
    let mut key = Key::new(&Says::default());
    key.public.public_subkeys = other.public.public_subkeys.clone();
    refuses(&other.subkey_signs(), &key, "not bound");
}

#[test]
fn one_block_one_signature_and_nothing_around_them() {
    let key = Key::new(&Says::default());
    let prov = key.signs();
    for around in [
        format!("{prov}{prov}"),
        format!("{prov}trailing\n"),
        format!("leading\n{prov}"),
        format!("\n{prov}"),
        format!("{prov}-----BEGIN PGP SIGNATURE-----\n\n=\n-----END PGP SIGNATURE-----\n"),
        prov.replace("-----END PGP SIGNATURE-----", ""),
        "files: {}".to_owned(),
        String::new(),
    ] {
        assert_eq!(judge(&around, &key.ring()).unwrap_err().class, Class::Refused, "{around}");
    }
    let twice = CleartextSignedMessage::new_many(&text(), |text| {
        Ok(vec![signature(&key.primary, text), signature(&key.primary, text)])
    });
    let twice = twice.unwrap().to_armored_string(ArmorOptions::default()).unwrap();
    refuses(&twice, &key, "2 signatures");
}

#[test]
fn nothing_but_hash_stands_in_front_of_what_is_signed() {
    let key = Key::new(&Says::default());
    let prov = key.signs();
    let (head, body) = prov.split_once("\n\n").unwrap();
    assert!(head.contains("\nHash: "), "{head}");
    for shown in ["files:", "Hash", "Comment: x", "NotDashEscaped: y", " ", "Hash: SHA512\t\nx"] {
        let around = format!("{head}\n{shown}\n\n{body}");
        refuses(&around, &key, "");
        assert!(UnverifiedProvenance::read(around.as_bytes()).is_err(), "{shown}");
    }
    // A line that ends in another way is another text.
    refuses(&prov.replacen("name: web\n", "name: web\r", 1), &key, "");
}

#[test]
fn a_modulus_is_counted_without_its_exponent() {
    let parameters = |bits: u16, exponent: usize| {
        let number =
            |bits: u16| [bits.to_be_bytes().to_vec(), vec![0xff; usize::from(bits.div_ceil(8))]];
        let exponent = u16::try_from(exponent).unwrap();
        [number(bits), number(exponent)].concat().concat()
    };
    assert!(super::keys::is_long_rsa(&parameters(2048, 17)));
    assert!(super::keys::is_long_rsa(&parameters(4096, 17)));
    for (bits, exponent) in [(2047, 17), (2000, 17), (1024, 1024), (512, 4096)] {
        assert!(!super::keys::is_long_rsa(&parameters(bits, exponent)), "{bits}");
    }
    assert!(!super::keys::is_long_rsa(&[]));
}

#[test]
fn the_chart_that_was_signed_is_named_by_chart_yaml_and_not_by_its_file_alone() {
    let key = Key::new(&Says::default());
    let signs =
        |text: &str| clear_sign(&key.primary, text, HashAlgorithm::Sha512, SIGNED, Vec::new());
    for (from, to) in [
        ("name: web", "name: web-1"),
        ("version: 1.4.2", "version: 1.4.3"),
        ("version: 1.4.2", "version: \"1.4.2 \""),
        ("name: web\n", ""),
        ("name: web\n", "name: web\nname: web\n"),
        ("apiVersion: v2\n", "- x\n"),
    ] {
        let error = judge(&signs(&text().replace(from, to)), &key.ring()).unwrap_err();
        assert_eq!(error.reason, Reason::WrongChart, "{to}: {error}");
    }
    judge(&signs(&text().replace("apiVersion: v2\n", "")), &key.ring()).unwrap();
}

#[test]
fn only_the_digest_of_this_file_counts_and_no_key_is_there_twice() {
    let key = Key::new(&Says::default());
    let signs =
        |text: &str| clear_sign(&key.primary, text, HashAlgorithm::Sha512, SIGNED, Vec::new());
    let zero = "0".repeat(64);
    for (text, why) in [
        (text().replace(FILE, "web-1.4.3.tgz"), "of another file"),
        (text().replace(DIGEST, &format!("sha256:{zero}")), "of another chart"),
        (text().replace(DIGEST, "7"), "of another chart"),
        (text().replace("files:", "Files:"), "\"Files\""),
        (format!("{}  {FILE}: sha256:{zero}\n", text()), "cannot be read"),
        (format!("{}files: {{}}\n", text()), "cannot be read"),
        (text().replace("files:", "images:"), "names no files"),
        (text().replace("\n...\n", "\n"), "two parts"),
        (format!("{}\n...\nfiles: {{}}\n", text()), "two parts"),
    ] {
        refuses(&signs(&text), &key, why);
        let unverified = UnverifiedProvenance::read(signs(&text).as_bytes()).unwrap();
        assert!(unverified.names(FILE, &Digest::parse(DIGEST).unwrap()).is_err());
    }
    // Beside others it counts; dashes are escaped and come back.
    let keywords = text().replace("\n\n...", "\nkeywords:\n- a\n\n...");
    let more = format!("{keywords}  other-1.tgz: sha256:{zero}\n");
    judge(&signs(&more), &key.ring()).unwrap();
    let unverified = UnverifiedProvenance::read(signs(&more).as_bytes()).unwrap();
    unverified.names(FILE, &Digest::parse(DIGEST).unwrap()).unwrap();
}

#[test]
fn rings_are_read_in_every_form() {
    let (key, other) = (Key::new(&Says::default()), Key::new(&Says::default()));
    let prov = key.signs();
    let binary = [other.ring(), key.ring()].concat();
    let armored = format!("# two keys\n{}\n{}", other.armored(), key.armored());
    for ring in [key.ring(), binary, key.armored().into_bytes(), armored.into_bytes()] {
        judge(&prov, &ring).unwrap();
    }
    for ring in [
        &b""[..],
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
        b"\0\0\0\x20\x01\x01\0\0KBXf",
        &[0xff; 64],
    ] {
        assert_eq!(Keyring::parse(ring).unwrap_err().class, Class::Usage);
    }
}

#[test]
fn a_mutated_file_or_ring_never_panics_and_never_says_another_digest() {
    let key = Key::new(&Says::default());
    let (prov, ring) = (key.signs().into_bytes(), key.ring());
    let digest = Digest::parse(DIGEST).unwrap();
    let good = Keyring::parse(&ring).unwrap();
    let mut state = 7_u64;
    let mut random = |end: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end.max(1)
    };
    for round in 0..400 {
        let mut bytes = if round % 2 == 0 { prov.clone() } else { ring.clone() };
        for _ in 0..=random(2) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] ^= 1 << random(8),
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if round % 2 == 0 {
            if let Ok(found) = verify_provenance(&bytes, &good, &named(), &digest, now()) {
                assert_eq!(found.digest, digest);
            }
            let _ = UnverifiedProvenance::read(&bytes);
        } else if let Ok(ring) = Keyring::parse(&bytes) {
            let _ = verify_provenance(&prov, &ring, &named(), &digest, now());
        }
    }
}
