//! Who signed.

use super::certificate::{Claims, NameKind};

/// Who signed, as a certificate says; worth something only beside a successful verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signer {
    /// The subject alternative name: an e-mail address, a URI or a user name.
    pub identity: String,
    /// What kind of name that is.
    pub kind: Option<NameKind>,
    /// The OIDC issuer (Fulcio extension 1.3.6.1.4.1.57264.1.8, or the deprecated .1 of old certificates).
    pub issuer: String,
    /// SHA-256 of the public key, for signatures made with a key.
    pub key_id: Option<String>,
    /// Source repository URI (extension .12).
    pub source_repository: Option<String>,
    /// Source repository ref (extension .14).
    pub source_ref: Option<String>,
    /// Source repository digest (extension .13).
    pub source_digest: Option<String>,
    /// Build config URI: the workflow (extension .18).
    pub workflow: Option<String>,
    /// Run invocation URI (extension .21).
    pub run_uri: Option<String>,
    /// The claims that a policy can ask for.
    pub claims: Claims,
}

impl Signer {
    /// Whether both are one and the same: the same name by the same issuer, of the same source (a reusable
    /// workflow signs for many), or the same key.
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.issuer == other.issuer
            && self.source_repository == other.source_repository
            && self.key_id == other.key_id
    }

    /// Who that is, for people: the key, or the identity and its issuer.
    pub fn words(&self) -> String {
        match &self.key_id {
            Some(id) => format!("key {id}"),
            None => format!("{}   issuer {}", self.identity, self.issuer),
        }
    }
}
