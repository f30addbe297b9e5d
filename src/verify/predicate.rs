//! Kinds of statements that are made about charts beside signatures, and the short names that cosign has for them.

use crate::error::{Error, Result};

/// The largest predicate that is attested: with it the bundle is one that everybody reads.
pub const MAX_PREDICATE_BYTES: usize = 700 << 10;

/// What cosign's `custom` stands for: any text, in an object of cosign's own.
pub const COSIGN_CUSTOM_PREDICATE: &str = "https://cosign.sigstore.dev/attestation/v1";

/// cosign's short names (`--type`), and what they stand for.
const SHORT: [(&str, &str); 10] = [
    ("custom", COSIGN_CUSTOM_PREDICATE),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
];

/// The predicate type that `text` names: one of cosign's short names, or a URI.
///
/// # Errors
/// Usage, when it is neither.
pub fn predicate_type(text: &str) -> Result<String> {
    if let Some((_, uri)) = SHORT.iter().find(|(short, _)| *short == text) {
        return Ok((*uri).to_owned());
    }
    let scheme = text.split_once(':').map_or("", |(scheme, rest)| match rest {
        "" => "",
        _ => scheme,
    });
    let plain = text.chars().all(|character| character.is_ascii_graphic());
    let begins = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    let named = scheme.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one));
    if plain && begins && named {
        return Ok(text.to_owned());
    }
    let names: Vec<_> = SHORT.iter().map(|(short, _)| *short).collect();
    Err(Error::usage("no such predicate type")
        .on(text)
        .cause(format!("it is one of {}, or a URI", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_uris_name_predicate_types() {
        for (text, uri) in [
            ("spdx", "https://spdx.dev/Document"),
            ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
            ("custom", COSIGN_CUSTOM_PREDICATE),
            ("https://example.com/x/v1", "https://example.com/x/v1"),
            ("urn:example:x", "urn:example:x"),
        ] {
            assert_eq!(predicate_type(text).unwrap(), uri);
        }
        for text in ["", "SPDX", "sbom", "https:", ":x", "1a:x", "https://x y", "https://x\n"] {
            assert!(predicate_type(text).is_err(), "{text:?}");
        }
    }
}
