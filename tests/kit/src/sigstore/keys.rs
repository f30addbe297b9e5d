//! Keys that sign, keys that verify, and PEM.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1,
    SECP_384_R_1, SECP_521_R_1,
};
use const_oid::db::rfc8410::ID_ED_25519;
use der::asn1::BitString;
use der::{Any, Decode, Encode};
use pem::{EncodeConfig, LineEnding, Pem};
use sha2::{Digest as _, Sha256};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::error::{Error, Result};

/// The kinds of keys that the services sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    Ed25519,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key of one service.
pub(crate) struct SigningKey {
    kind: KeyKind,
    pair: Pair,
    spki: Vec<u8>,
}

impl SigningKey {
    pub(crate) fn generate(kind: KeyKind) -> Result<Self> {
        let (pair, spki) = match kind {
            KeyKind::P256 | KeyKind::P384 => {
                let (algorithm, curve) = if kind == KeyKind::P256 {
                    (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, SECP_256_R_1)
                } else {
                    (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, SECP_384_R_1)
                };
                let pair = EcdsaKeyPair::generate(algorithm)?;
                let spki = spki(ID_EC_PUBLIC_KEY, Some(curve), pair.public_key().as_ref())?;
                (Pair::Ecdsa(pair), spki)
            }
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::generate()?;
                let spki = spki(ID_ED_25519, None, pair.public_key().as_ref())?;
                (Pair::Ed25519(pair), spki)
            }
        };
        Ok(Self { kind, pair, spki })
    }

    /// A signature over `message`: ECDSA in DER with the curve's own hash, or plain Ed25519.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }

    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The DER of the public key's SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo: how CT logs and Rekor v1 logs are named.
    pub(crate) fn key_id(&self) -> [u8; 32] {
        sha256(&self.spki)
    }

    pub(crate) fn public_pem(&self) -> String {
        to_pem("PUBLIC KEY", &self.spki)
    }

    /// The bits of the public key: an uncompressed point, or 32 bytes of Ed25519.
    pub(crate) fn public_bits(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// The algorithm identifier of this key's signatures in X.509 and CMS.
    pub(crate) fn signature_algorithm(&self) -> AlgorithmIdentifierOwned {
        let oid = match self.kind {
            KeyKind::P256 => ECDSA_WITH_SHA_256,
            KeyKind::P384 => ECDSA_WITH_SHA_384,
            KeyKind::Ed25519 => ID_ED_25519,
        };
        AlgorithmIdentifierOwned { oid, parameters: None }
    }
}

fn spki(
    algorithm: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
    bits: &[u8],
) -> Result<Vec<u8>> {
    let parameters = curve.map(|oid| Any::encode_from(&oid)).transpose()?;
    let info = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: algorithm, parameters },
        subject_public_key: BitString::from_bytes(bits)?,
    };
    Ok(info.to_der()?)
}

/// A client's public key, as it came in a request, a certificate or a certificate request.
pub(crate) struct PublicKey {
    spki: Vec<u8>,
    bits: Vec<u8>,
    algorithm: &'static dyn VerificationAlgorithm,
    hash: &'static digest::Algorithm,
}

impl PublicKey {
    /// Reads the DER of a SubjectPublicKeyInfo. ECDSA on the three NIST curves, Ed25519 and RSA are known.
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self> {
        let info = SubjectPublicKeyInfoOwned::from_der(der)?;
        let curve = info.algorithm.parameters.as_ref();
        let curve = curve.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let (algorithm, hash): (&'static dyn VerificationAlgorithm, _) =
            match (info.algorithm.oid, curve) {
                (ID_EC_PUBLIC_KEY, Some(SECP_256_R_1)) => {
                    (&signature::ECDSA_P256_SHA256_ASN1, &digest::SHA256)
                }
                (ID_EC_PUBLIC_KEY, Some(SECP_384_R_1)) => {
                    (&signature::ECDSA_P384_SHA384_ASN1, &digest::SHA384)
                }
                (ID_EC_PUBLIC_KEY, Some(SECP_521_R_1)) => {
                    (&signature::ECDSA_P521_SHA512_ASN1, &digest::SHA512)
                }
                (ID_ED_25519, _) => (&signature::ED25519, &digest::SHA512),
                (RSA_ENCRYPTION, _) => (&signature::RSA_PKCS1_2048_8192_SHA256, &digest::SHA256),
                (oid, _) => {
                    return Err(Error::new(format!("unsupported public key algorithm {oid}")));
                }
            };
        let bits = info.subject_public_key.raw_bytes().to_vec();
        Ok(Self { spki: der.to_vec(), bits, algorithm, hash })
    }

    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        Ok(UnparsedPublicKey::new(self.algorithm, &self.bits).verify(message, signature)?)
    }

    /// Verifies a signature over something of which only the digest is known.
    pub(crate) fn verify_digest(&self, digest: &[u8], signature: &[u8]) -> Result<()> {
        let digest = Digest::import_less_safe(digest, self.hash)?;
        Ok(UnparsedPublicKey::new(self.algorithm, &self.bits).verify_digest(&digest, signature)?)
    }
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// PEM with line feeds, as Go writes it.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    pem::encode_config(&Pem::new(label, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// `count` random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_verifies_its_own_signatures_and_no_others() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
            let key = SigningKey::generate(kind).unwrap();
            let public = PublicKey::from_spki(key.spki()).unwrap();
            let signature = key.sign(b"chart").unwrap();
            public.verify(b"chart", &signature).unwrap();
            assert!(public.verify(b"other", &signature).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn a_signature_verifies_by_digest_alone() {
        let key = SigningKey::generate(KeyKind::P256).unwrap();
        let public = PublicKey::from_spki(key.spki()).unwrap();
        let signature = key.sign(b"chart").unwrap();
        public.verify_digest(&sha256(b"chart"), &signature).unwrap();
        assert!(public.verify_digest(&sha256(b"other"), &signature).is_err());
    }
}
