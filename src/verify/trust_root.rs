//! Whom the cryptography may rely on: certificate authorities, logs and timestamp authorities.

use der::Decode;
use sigstore_trust_root::{TransparencyLog, TrustedRoot};
use sigstore_types::{KindVersion, TransparencyLogEntry};
use x509_cert::Certificate;

use crate::error::{Class, Error, Reason, Result};

/// The largest trusted root that is read; the public one takes 7 KB.
const MAX_TRUSTED_ROOT_BYTES: usize = 1 << 20;

/// A trusted root, prepared for verification.
pub struct TrustRoot {
    pub(super) root: TrustedRoot,
    pub(super) verifier: sigstore_verify::Verifier,
}

impl TrustRoot {
    /// Prepares a trusted root (`application/vnd.dev.sigstore.trustedroot`) from its JSON.
    ///
    /// # Errors
    /// Undecided (`trust-unusable`), when it is no trusted root, or holds a key, certificate or
    /// window that cannot be used: an authority is one unit, and a root is taken whole or not at all.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let unusable = |cause: String| {
            Error::new(Class::Undecided, Reason::TrustUnusable, "trusted root cannot be used")
                .cause(cause)
        };
        if json.len() > MAX_TRUSTED_ROOT_BYTES {
            return Err(unusable(format!("it is larger than {MAX_TRUSTED_ROOT_BYTES} bytes")));
        }
        let text = std::str::from_utf8(json).map_err(|error| unusable(error.to_string()))?;
        let root = TrustedRoot::from_json(text).map_err(|error| unusable(error.to_string()))?;
        let verifier =
            sigstore_verify::Verifier::new(&root).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { root, verifier })
    }
}

impl TrustRoot {
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
        f.debug_struct("TrustRoot")
            .field("logs", &self.root.tlogs.len())
            .field("certificate_authorities", &self.root.certificate_authorities.len())
            .finish_non_exhaustive()
    }
}
