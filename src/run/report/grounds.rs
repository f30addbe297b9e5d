//! By what a verdict came about: who was trusted, and with what trust.

use jiff::Timestamp;
use serde::Serialize;

use crate::verify::Identity;

/// What decided who is trusted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// `flags`, `none`, `file` (one that was named), or `default-file` (one that was found).
    pub source: &'static str,
    /// The policy file.
    pub file: Option<String>,
    /// The rule of the file.
    pub rule: Option<String>,
    /// Whether flags ask for more than the rule.
    pub narrowed: bool,
    /// The policy file that was found, where the flags replace it.
    pub replaces: Option<String>,
    /// How many different signers are needed.
    pub min_signatures: usize,
    /// Who is trusted, in the terms of a certificate.
    pub identities: Vec<TrustedAs>,
    /// The keys that are trusted, by SHA-256 of their SubjectPublicKeyInfo.
    pub keys: Vec<String>,
    /// How Helm's provenance file is looked at: `ignore`, `if-present`, `require` or `accept`.
    pub prov: Option<&'static str>,
    /// The keyring that was named for it.
    pub keyring: Option<String>,
    /// Kinds of statements that have to be there too.
    pub require_predicate: Vec<String>,
}

/// An identity that is trusted, in the terms of a certificate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedAs {
    /// The flag and its value, where a short form was given.
    pub short: Option<String>,
    /// What the subject alternative name has to be.
    pub identity: String,
    /// What the OIDC issuer has to be.
    pub issuer: String,
    /// The claims that have to hold beside them, as `claim: value`.
    pub constraints: Vec<String>,
}

impl From<&Identity> for TrustedAs {
    fn from(identity: &Identity) -> Self {
        Self {
            short: identity.short.clone(),
            identity: identity.subject.as_str().to_owned(),
            issuer: identity.issuer.as_str().to_owned(),
            constraints: identity.words().1,
        }
    }
}

/// What the cryptography relied on.
#[derive(Clone, Debug, Serialize)]
pub struct TrustReport {
    /// `instance NAME`, `embedded`, or the file's name.
    pub source: String,
    /// Its age in seconds, where it was refreshed from somewhere.
    pub age: Option<i64>,
    /// When it expires, where it does.
    pub expires: Option<Timestamp>,
}

impl TrustReport {
    /// Of a run that relies on nothing but a key.
    pub fn none() -> Self {
        Self { source: "none".to_owned(), age: None, expires: None }
    }
}
