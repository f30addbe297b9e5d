//! Whom the cryptography may rely on: certificate authorities, logs and timestamp authorities.

use der::Decode;
use serde::Serialize;
use sigstore_trust_root::{TransparencyLog, TrustedRoot};
use sigstore_types::{KindVersion, TransparencyLogEntry};
use x509_cert::Certificate;

use super::against::Demands;
use super::refusal::Failure;
use super::remembered::remember;
use super::verifier::Verified;
use crate::error::{Class, Error, Reason, Result};

/// The largest trusted root that is read; the public one takes 7 KB.
const MAX_TRUSTED_ROOT_BYTES: usize = 1 << 20;
/// As many roots as are tried; `gh attestation trusted-root` writes two.
const MAX_ROOTS: usize = 16;
/// What a trusted root says it is: `…+json;version=0.1`, or `….v0.2+json`.
const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.",
    "application/vnd.dev.sigstore.trustedroot.v0.",
];
/// The members of a trusted root (protobuf-specs `sigstore_trustroot.proto`, `TrustedRoot`).
const MEMBERS: [&str; 5] =
    ["mediaType", "tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities"];

/// Trusted roots, prepared for verification. Mostly it is one. Of several each is tried as it is: what one
/// of them vouches for is never held against another's.
pub struct TrustRoot {
    roots: Vec<Root>,
}

/// One of several roots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootName {
    /// Its place in the file, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// The name of its first certificate authority, as it stands there.
    pub authority: Option<String>,
}

/// One trusted root.
pub(super) struct Root {
    pub(super) root: TrustedRoot,
    pub(super) verifier: sigstore_verify::Verifier,
    /// What it is called where there are several.
    pub(super) name: Option<RootName>,
}

impl TrustRoot {
    /// Prepares a trusted root (`application/vnd.dev.sigstore.trustedroot`) from its JSON.
    ///
    /// # Errors
    /// Undecided (`trust-unusable`), when it is no trusted root, or holds a key, certificate or
    /// window that cannot be used: an authority is one unit, and a root is taken whole or not at all.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        Ok(Self { roots: vec![Root::from_json(json)?] })
    }

    /// Prepares several trusted roots, which are tried in this order.
    ///
    /// # Errors
    /// As [`TrustRoot::from_json`] for each of them, and when there are none, or more than are tried.
    pub fn from_documents(documents: &[Vec<u8>]) -> Result<Self> {
        if documents.is_empty() || documents.len() > MAX_ROOTS {
            let count = documents.len();
            return Err(unusable(format!(
                "it holds {count} roots, and 1 to {MAX_ROOTS} are tried"
            )));
        }
        let mut roots = Vec::new();
        for (at, document) in documents.iter().enumerate() {
            let root = Root::from_json(document).map_err(|error| match documents.len() {
                1 => error,
                of => error.note(format!("root {} of {of}", at + 1)),
            })?;
            roots.push(root);
        }
        let of = roots.len();
        if of > 1 {
            for (at, root) in roots.iter_mut().enumerate() {
                let authority = root.root.certificate_authorities.first();
                let authority = authority.map(|authority| authority.uri.clone());
                root.name = Some(RootName { number: at + 1, of, authority });
            }
        }
        Ok(Self { roots })
    }

    /// Whether entries of a transparency log can be verified with one of the roots.
    pub fn knows_a_log(&self) -> bool {
        self.roots.iter().any(|root| root.demands().log)
    }

    /// The transparency logs of all roots.
    pub(super) fn logs(&self) -> impl Iterator<Item = &TransparencyLog> {
        self.roots.iter().flat_map(|root| &root.root.tlogs)
    }

    /// The first root that verifies. Where none does, the refusal that says most: a time in our future may
    /// yet come, a log entry may yet be found, and a root that knows the instance knows better than one that does not.
    pub(super) fn first_to_verify(
        &self,
        judge: impl Fn(&Root) -> Result<Verified, Failure>,
    ) -> Result<Verified, Failure> {
        let mut best: Option<Failure> = None;
        for root in &self.roots {
            let failure = match judge(root) {
                Ok(verified) => return Ok(verified),
                Err(failure) => failure,
            };
            if best.as_ref().is_none_or(|best| weight(&failure) > weight(best)) {
                best = Some(failure);
            }
        }
        let several = self.roots.len() > 1;
        Err(match best {
            Some(Failure::No(error)) if several && error.reason == Reason::UntrustedInstance => {
                let words = format!("none of the {} trusted roots knows it", self.roots.len());
                Failure::No(error.note(words))
            }
            Some(failure) => failure,
            None => Failure::No(unusable("it holds no root".to_owned())),
        })
    }
}

fn weight(failure: &Failure) -> u8 {
    match failure {
        Failure::Future { .. } => 3,
        Failure::Unlogged { .. } => 2,
        Failure::No(error) if error.reason != Reason::UntrustedInstance => 1,
        Failure::No(_) => 0,
    }
}

fn unusable(cause: String) -> Error {
    Error::new(Class::Undecided, Reason::TrustUnusable, "trusted root cannot be used").cause(cause)
}

impl Root {
    fn from_json(json: &[u8]) -> Result<Self> {
        if json.len() > MAX_TRUSTED_ROOT_BYTES {
            return Err(unusable(format!("it is larger than {MAX_TRUSTED_ROOT_BYTES} bytes")));
        }
        let text = std::str::from_utf8(json).map_err(|error| unusable(error.to_string()))?;
        let root = TrustedRoot::from_json(text).map_err(|error| unusable(error.to_string()))?;
        if !MEDIA_TYPES.iter().any(|prefix| root.media_type.starts_with(prefix)) {
            let media_type: String = root.media_type.chars().take(100).collect();
            return Err(unusable(format!("it is of the type {media_type:?}")));
        }
        if root.tlogs.is_empty() || root.ctlogs.is_empty() {
            // Then less has to be proved, which a member that was misspelt must not bring about.
            let members: std::collections::BTreeMap<String, serde::de::IgnoredAny> =
                serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?;
            if let Some(name) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
                let name: String = name.chars().take(100).collect();
                return Err(unusable(format!(
                    "it has no logs, but a member that is not known: {name:?}"
                )));
            }
        }
        remember();
        let verifier =
            sigstore_verify::Verifier::new(&root).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { root, verifier, name: None })
    }

    /// What has to be proved under this root.
    pub(super) fn demands(&self) -> Demands {
        Demands { log: !self.root.tlogs.is_empty(), sct: !self.root.ctlogs.is_empty() }
    }

    /// The log that vouches for an entry: the one that it names where there is a promise (v1, whose
    /// signature covers the name), else the one whose key signed the checkpoint.
    pub(super) fn log_of(&self, entry: &TransparencyLogEntry) -> Option<&TransparencyLog> {
        let logs = &self.root.tlogs;
        let v2 = entry.kind_version == KindVersion::HashedRekordV002;
        if !v2 && entry.inclusion_promise.is_some() {
            return logs.iter().find(|log| log.log_id.key_id == entry.log_id.key_id);
        }
        let checkpoint = entry.inclusion_proof.as_ref()?.checkpoint.checkpoint()?;
        logs.iter().find(|log| {
            let Ok(key) =
                sigstore_verify::crypto::VerificationKey::from_spki(&log.public_key.raw_bytes)
            else {
                return false;
            };
            let hint = log.log_id.key_id.as_bytes().get(..4);
            checkpoint
                .signatures()
                .iter()
                .filter(|signature| hint == Some(signature.key_id.as_slice()))
                .any(|signature| key.verify(checkpoint.signed_data(), &signature.signature).is_ok())
        })
    }

    /// Why a bundle is from another instance: the name of the authority that issued its certificate is
    /// one that no certificate of this root bears, or every log it is in has an identifier that no log
    /// of this root has. Names prove nothing; this only explains a refusal.
    pub(super) fn stranger(&self, bundle: &sigstore_types::Bundle) -> Option<String> {
        let leaf = Certificate::from_der(bundle.signing_certificate()?.as_bytes()).ok()?;
        let issuer = leaf.tbs_certificate.issuer;
        let authorities = &self.root.certificate_authorities;
        let known = authorities
            .iter()
            .flat_map(|authority| &authority.cert_chain.certificates)
            .any(|certificate| {
                Certificate::from_der(certificate.raw_bytes.as_bytes())
                    .is_ok_and(|certificate| certificate.tbs_certificate.subject == issuer)
            });
        if !known {
            let issuer: String = issuer.to_string().chars().take(200).collect();
            return Some(format!("the trusted root does not know the authority {issuer}"));
        }
        let entries = &bundle.verification_material.tlog_entries;
        let logged_here = entries.iter().any(|entry| {
            self.root.tlogs.iter().any(|log| log.log_id.key_id == entry.log_id.key_id)
        });
        let log = hex::encode(entries.first()?.log_id.key_id.as_bytes());
        (!logged_here).then(|| {
            format!("the trusted root does not know the log {}", log.get(..16).unwrap_or(&log))
        })
    }
}

impl std::fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.roots).finish()
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root")
            .field("logs", &self.root.tlogs.len())
            .field("certificate_authorities", &self.root.certificate_authorities.len())
            .finish_non_exhaustive()
    }
}
