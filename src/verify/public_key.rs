//! Keys that somebody keeps, and how a bundle speaks of one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigstore_types::DerPublicKey;
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_verify::crypto::{KeyAlgorithm, VerificationKey, validate_raw_public_key};

use super::bundle::Bundle;
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};

/// A public key that signatures are verified with: ECDSA over P-256 or P-384, Ed25519, or RSA of 2048 to
/// 8192 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    der: DerPublicKey,
    id: Digest,
}

impl PublicKey {
    /// Reads one `PUBLIC KEY` block (PEM, SubjectPublicKeyInfo; RFC 7468 section 13).
    ///
    /// # Errors
    /// Usage, when there is no such block, or its key is of no kind that is verified here.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let unusable = |cause: String| Error::usage("not a public key").cause(cause);
        let block = pem::parse(text)
            .map_err(|_| unusable("it holds no PEM block (-----BEGIN PUBLIC KEY-----)".into()))?;
        match block.tag() {
            "PUBLIC KEY" => Self::from_spki(block.into_contents()),
            tag if tag.ends_with("PRIVATE KEY") => {
                Err(unusable("it is a private key; verifying needs its public half".into()))
            }
            tag => Err(unusable(format!("it is a {tag}"))),
        }
    }

    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// Usage, as [`PublicKey::from_pem`].
    pub fn from_spki(der: Vec<u8>) -> Result<Self> {
        let unusable = |cause: String| Error::usage("not a public key").cause(cause);
        let id = Digest::of(&der);
        let der = DerPublicKey::new(der);
        let key = VerificationKey::from_spki(&der).map_err(|error| unusable(error.to_string()))?;
        let known = [
            KeyAlgorithm::EcdsaP256,
            KeyAlgorithm::EcdsaP384,
            KeyAlgorithm::Ed25519,
            KeyAlgorithm::Rsa,
        ];
        if !known.contains(&key.scheme().key_algorithm()) {
            return Err(unusable(format!("{} keys are not verified", key.scheme().name())));
        }
        validate_raw_public_key(key.scheme(), key.as_bytes())
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { der, id })
    }

    /// What the key is known by: SHA-256 of its SubjectPublicKeyInfo.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// What a bundle calls the key: its identifier in base64, as cosign writes it.
    pub fn hint(&self) -> String {
        BASE64.encode(self.id.bytes())
    }

    /// The key as a `PUBLIC KEY` block, in lines that end as Unix's.
    pub fn to_pem(&self) -> String {
        let block = pem::Pem::new("PUBLIC KEY", self.der.as_bytes());
        pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
    }

    /// Whether signatures by it are Ed25519 (RFC 8032), of which the pre-hashed kind is not verified.
    pub(super) fn is_ed25519(&self) -> bool {
        VerificationKey::from_spki(&self.der)
            .is_ok_and(|key| key.scheme().key_algorithm() == KeyAlgorithm::Ed25519)
    }

    /// The SubjectPublicKeyInfo.
    pub fn der(&self) -> &DerPublicKey {
        &self.der
    }
}

/// Whether a signature by a key has to be in a trusted log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCheck {
    /// The user does not ask (`--insecure-ignore-tlog`, or it was signed without one).
    Ignored,
    /// It has to.
    Required,
}

/// A key that may have signed.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Whether its signatures have to be logged.
    pub log: LogCheck,
}

/// Whether a bundle says that it is signed with a key.
pub(super) fn is_by_key(bundle: &Bundle) -> bool {
    let content = &bundle.inner().verification_material.content;
    matches!(content, VerificationMaterialContent::PublicKey(_))
}

/// The refusal of a bundle that is of the other kind than is trusted, before any cryptography.
pub(super) fn other_kind(by_key: bool) -> Error {
    let error = Error::refused(Reason::WrongSigner, "wrong signer");
    if by_key {
        error
            .cause("it is signed with a key, and an identity was asked for")
            .hint("to trust a key, name its file: --key cosign.pub")
    } else {
        error.cause("it is signed with a certificate of an identity, and a key was asked for")
    }
}
