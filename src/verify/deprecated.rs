//! Claims that a Fulcio certificate makes twice: in a deprecated extension as bare text, and in its successor as a
//! DER UTF8String (Fulcio's `oid-info.md`). Fulcio writes both from one token. Readers that know only the old one and
//! readers that know only the new one have to see the same signer, so a pair that disagrees is no certificate to rely on.

use const_oid::ObjectIdentifier;
use der::Decode;
use der::asn1::Utf8StringRef;
use x509_cert::Certificate;

use super::certificate::wrong;
use crate::error::Result;

/// Fulcio's own arc.
const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

/// A deprecated extension, its successor, and what both say.
const PAIRS: [(u8, u8, &str); 5] = [
    (1, 8, "issuer"),
    (2, 20, "build trigger"),
    (3, 13, "source digest"),
    (5, SOURCE_REPOSITORY, "source repository"),
    (6, 14, "source ref"),
];

/// The successor that holds a URL where the deprecated one holds `OWNER/REPO`.
const SOURCE_REPOSITORY: u8 = 12;

/// Insists that what a certificate says twice is the same.
///
/// # Errors
/// Refused (`bad-signature`), when it is not, or when one half cannot be read.
pub(super) fn check_pairs(leaf: &Certificate) -> Result<()> {
    let extensions = leaf.tbs_certificate.extensions.as_deref().unwrap_or_default();
    let value = |number: u8| {
        // Of a number below 128 an identifier has one byte.
        let of = |id: &ObjectIdentifier| {
            id.as_bytes().strip_prefix(FULCIO.as_bytes()) == Some(&[number])
        };
        extensions.iter().find(|one| of(&one.extn_id)).map(|one| one.extn_value.as_bytes())
    };
    for (old, new, what) in PAIRS {
        let (Some(bare), Some(encoded)) = (value(old), value(new)) else { continue };
        let unreadable = |number| wrong(format!("its {what} (extension .{number}) cannot be read"));
        // Some writers encode the deprecated ones too; bare text never begins with the tag of a UTF8String.
        let bare = match Utf8StringRef::from_der(bare) {
            Ok(text) => text.as_str(),
            Err(_) => std::str::from_utf8(bare).map_err(|_| unreadable(old))?,
        };
        let encoded = Utf8StringRef::from_der(encoded).map_err(|_| unreadable(new))?.as_str();
        let same = match new {
            SOURCE_REPOSITORY => encoded.strip_suffix(bare).is_some_and(|host| host.ends_with('/')),
            _ => bare == encoded,
        };
        if !same {
            let short = |text: &str| text.chars().take(200).collect::<String>();
            return Err(wrong(format!(
                "it makes two claims of its {what}: {} (extension .{old}) and {} (extension .{new})",
                short(bare),
                short(encoded),
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use der::Encode;
    use rcgen::{CertificateParams, CustomExtension, KeyPair};

    use super::*;
    use crate::error::Reason;

    fn leaf(extensions: &[(u64, Vec<u8>)]) -> Certificate {
        let mut params = CertificateParams::default();
        for (number, value) in extensions {
            let id = [1, 3, 6, 1, 4, 1, 57264, 1, *number];
            params.custom_extensions.push(CustomExtension::from_oid_content(&id, value.clone()));
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::from_der(certificate.der()).unwrap()
    }

    fn der(text: &str) -> Vec<u8> {
        Utf8StringRef::new(text).unwrap().to_der().unwrap()
    }

    #[test]
    fn pairs_that_agree_and_halves_that_stand_alone_are_fine() {
        for extensions in [
            vec![],
            vec![(1, b"https://a.example".to_vec())],
            vec![(8, der("https://a.example"))],
            vec![(1, b"https://a.example".to_vec()), (8, der("https://a.example"))],
            vec![(1, der("https://a.example")), (8, der("https://a.example"))],
            vec![(5, b"acme/charts".to_vec()), (12, der("https://github.com/acme/charts"))],
            vec![(4, b"Release".to_vec()), (9, der("https://x")), (2, b"push".to_vec())],
        ] {
            assert!(check_pairs(&leaf(&extensions)).is_ok(), "{extensions:?}");
        }
    }

    #[test]
    fn pairs_that_disagree_are_refused_whatever_their_encoding() {
        for (extensions, words) in [
            (vec![(1, b"https://a".to_vec()), (8, der("https://b"))], "two claims of its issuer"),
            (vec![(1, b"https://a/".to_vec()), (8, der("https://a"))], "two claims of its issuer"),
            (vec![(1, der("https://a")), (8, der("https://b"))], "two claims of its issuer"),
            (vec![(1, b"".to_vec()), (8, der("https://b"))], "two claims of its issuer"),
            (vec![(2, b"push".to_vec()), (20, der("schedule"))], "two claims of its build trigger"),
            (vec![(3, b"aa".to_vec()), (13, der("bb"))], "of its source digest"),
            (vec![(6, b"refs/heads/a".to_vec()), (14, der("refs/heads/b"))], "of its source ref"),
            (
                vec![(5, b"acme/x".to_vec()), (12, der("https://h/acme/y"))],
                "of its source repository",
            ),
            (
                vec![(5, b"cme/x".to_vec()), (12, der("https://h/acme/x"))],
                "of its source repository",
            ),
            (vec![(1, vec![0xff]), (8, der("x"))], "issuer (extension .1) cannot be read"),
            (vec![(1, b"x".to_vec()), (8, b"x".to_vec())], "issuer (extension .8) cannot be read"),
        ] {
            let error = check_pairs(&leaf(&extensions)).unwrap_err();
            assert_eq!(error.reason, Reason::BadSignature);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
