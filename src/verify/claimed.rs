//! What a signature claims of its signer, before anything of it is verified: for listings, never for a verdict.

use sigstore_types::DerCertificate;
use sigstore_types::bundle::VerificationMaterialContent;

use super::bundle::Bundle;
use super::certificate::holder;

/// The longest hint of a key that is repeated, in characters.
const MAX_HINT: usize = 200;

/// What a signature says of its signer. Anybody can write this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedSigner {
    /// The name in the certificate.
    pub identity: Option<String>,
    /// The OIDC issuer in the certificate.
    pub issuer: Option<String>,
    /// The hint at a key, where there is no certificate.
    pub key_hint: Option<String>,
}

impl ClaimedSigner {
    /// What the verification material of `bundle` says.
    pub fn of_bundle(bundle: &Bundle) -> Self {
        match &bundle.inner().verification_material.content {
            VerificationMaterialContent::Certificate(leaf) => Self::of_certificate(&leaf.raw_bytes),
            VerificationMaterialContent::X509CertificateChain { certificates } => certificates
                .first()
                .map(|leaf| Self::of_certificate(&leaf.raw_bytes))
                .unwrap_or_default(),
            VerificationMaterialContent::PublicKey(key) => Self {
                key_hint: Some(key.hint.chars().take(MAX_HINT).collect()),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    /// What a certificate says; nothing where it cannot be read or bears no name that Fulcio issues.
    pub fn of_certificate(leaf: &DerCertificate) -> Self {
        Self {
            identity: holder(leaf).ok().flatten().map(|(_, name)| name),
            issuer: sigstore_crypto::parse_certificate_info(leaf).ok().and_then(|info| info.issuer),
            key_hint: None,
        }
    }

    /// The same of a certificate in PEM.
    pub fn of_pem(text: &str) -> Self {
        let pem = pem::parse(text).ok().filter(|pem| pem.tag() == "CERTIFICATE");
        let leaf = pem.map(|pem| DerCertificate::new(pem.into_contents()));
        leaf.map(|leaf| Self::of_certificate(&leaf)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_claims_nothing() {
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(ClaimedSigner::of_pem(text), ClaimedSigner::default());
        }
    }
}
