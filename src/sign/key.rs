//! Private keys to sign with, as cosign writes them and as OpenSSL does.
//!
//! Keys are P-256: what this program's cryptography signs with and every verifier reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use sigstore_crypto::KeyPair;
use sigstore_types::{Sha256Hash, SignatureBytes};
use zeroize::Zeroizing;

use super::signing_key::SigningKey;
use crate::error::{Error, Result};
use crate::verify::PublicKey;

/// The largest key file that is read; real ones take 700 bytes.
pub const MAX_KEY_BYTES: usize = 64 << 10;

/// What cosign writes, and what it wrote before version 2.
const ENCRYPTED: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];
/// The costs that cosign has used, as powers of two, always with r = 8 and p = 1. Nothing else is
/// derived: a hostile file could demand any amount of memory and time.
const SCRYPT_COSTS: [u8; 3] = [15, 16, 17];
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// What new keys get: cosign's own choice.
const NEW_COST: u8 = 16;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const DERIVED_BYTES: usize = 32;
/// prime256v1 (RFC 5480 section 2.1.1.1) in DER.
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A key to sign with, and its public half.
#[derive(Debug)]
pub struct PrivateKey {
    pair: KeyPair,
    public: PublicKey,
}

impl PrivateKey {
    /// Reads the first private key in `text` (PEM): cosign's encrypted form, for which `password` is asked,
    /// PKCS#8 (RFC 5208) or SEC1 (RFC 5915).
    ///
    /// # Errors
    /// Usage, when there is no such key, it is no P-256 key, its costs are not cosign's, or the password
    /// does not open it; and what `password` says.
    pub fn parse(
        text: &[u8],
        password: impl FnOnce() -> Result<Zeroizing<String>>,
    ) -> Result<Self> {
        if text.len() > MAX_KEY_BYTES {
            return Err(unusable(format!("it is larger than {MAX_KEY_BYTES} bytes")));
        }
        let blocks = pem::parse_many(text).map_err(|_| unusable("it holds no PEM block"))?;
        let found = blocks.into_iter().find(|block| block.tag().ends_with("PRIVATE KEY"));
        let Some(block) = found else { return Err(unusable("it holds no private key")) };
        let tag = block.tag().to_owned();
        let contents = Zeroizing::new(block.into_contents());
        match tag.as_str() {
            "PRIVATE KEY" => Self::from_pkcs8(&contents),
            "EC PRIVATE KEY" => {
                // Without its curve another curve's number would pass for one of this.
                if !contents.windows(P256_OID.len()).any(|part| part == P256_OID) {
                    return Err(other_kind());
                }
                SecretKey::from_sec1_der(&contents).map_err(|_| other_kind()).and_then(Self::new)
            }
            tag if ENCRYPTED.contains(&tag) => {
                let sealed = Sealed::parse(&contents)?;
                Self::from_pkcs8(&sealed.open(&password()?)?)
            }
            "ENCRYPTED PRIVATE KEY" => {
                Err(unusable("it is an encrypted PKCS#8 key")
                    .hint("cosign import-key-pair --key FILE"))
            }
            tag => Err(unusable(format!("it is a {tag}"))),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self> {
        SecretKey::from_pkcs8_der(der).map_err(|_| other_kind()).and_then(Self::new)
    }

    fn new(secret: SecretKey) -> Result<Self> {
        let public = public_half(&secret)?;
        // Written anew, so that what signs is what was understood.
        let der = secret.to_pkcs8_der().map_err(|error| unusable(error.to_string()))?;
        let pair =
            KeyPair::from_pkcs8_der(der.as_bytes()).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { pair, public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl SigningKey for PrivateKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign_digest(&self, digest: [u8; 32]) -> BoxFuture<'_, Result<Vec<u8>>> {
        let signed = self.pair.sign_digest(&Sha256Hash::new(digest));
        let signed = signed.map(SignatureBytes::into_bytes);
        std::future::ready(signed.map_err(|error| unusable(error.to_string()))).boxed()
    }
}

/// A key that was just made: both files of it.
pub struct NewKey {
    /// The private half, encrypted as cosign reads it.
    pub private_pem: Zeroizing<String>,
    /// The public half.
    pub public: PublicKey,
}

impl NewKey {
    /// Makes a P-256 key and encrypts it with `password`.
    ///
    /// # Errors
    /// Usage, when the system has no randomness.
    pub fn generate(password: &str) -> Result<Self> {
        let secret = SecretKey::random(&mut OsRng);
        let public = public_half(&secret)?;
        let der = secret.to_pkcs8_der().map_err(|error| unusable(error.to_string()))?;
        let sealed = Sealed::seal(der.as_bytes(), password)?;
        let json = serde_json::to_vec(&sealed).map_err(|error| unusable(error.to_string()))?;
        let block = pem::Pem::new(ENCRYPTED[0], json);
        let form = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        Ok(Self { private_pem: Zeroizing::new(pem::encode_config(&block, form)), public })
    }
}

fn public_half(secret: &SecretKey) -> Result<PublicKey> {
    let der = secret.public_key().to_public_key_der();
    PublicKey::from_spki(der.map_err(|error| unusable(error.to_string()))?.into_vec())
}

/// cosign's encryption (go-securesystemslib, `encrypted`): a key derived by scrypt opens a NaCl secretbox.
#[derive(Deserialize, Serialize)]
struct Sealed {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize, Serialize)]
struct Derivation {
    name: String,
    params: Costs,
    salt: String,
}

#[derive(Deserialize, Serialize)]
struct Costs {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize, Serialize)]
struct Cipher {
    name: String,
    nonce: String,
}

impl Sealed {
    fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|_| unusable("its encrypted content cannot be read"))
    }

    fn seal(secret: &[u8], password: &str) -> Result<Self> {
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        let filled = OsRng.try_fill_bytes(&mut salt).and(OsRng.try_fill_bytes(&mut nonce));
        filled.map_err(|_| unusable("the system has no randomness"))?;
        let key = derive(password, &salt, NEW_COST)?;
        let sealed = XSalsa20Poly1305::new(Key::from_slice(key.as_slice()))
            .encrypt(Nonce::from_slice(&nonce), secret)
            .map_err(|_| unusable("it cannot be encrypted"))?;
        Ok(Self {
            kdf: Derivation {
                name: "scrypt".to_owned(),
                params: Costs { n: 1 << NEW_COST, r: SCRYPT_R, p: SCRYPT_P },
                salt: BASE64.encode(salt),
            },
            cipher: Cipher { name: "nacl/secretbox".to_owned(), nonce: BASE64.encode(nonce) },
            ciphertext: BASE64.encode(sealed),
        })
    }

    fn open(&self, password: &str) -> Result<Zeroizing<Vec<u8>>> {
        let damaged = || unusable("its encrypted content cannot be read");
        if (self.kdf.name.as_str(), self.cipher.name.as_str()) != ("scrypt", "nacl/secretbox") {
            return Err(unusable("it is encrypted in another way than cosign's"));
        }
        let Costs { n, r, p } = self.kdf.params;
        let cost = SCRYPT_COSTS.into_iter().find(|cost| n == 1 << cost);
        let Some(cost) = cost.filter(|_| (r, p) == (SCRYPT_R, SCRYPT_P)) else {
            return Err(unusable(format!(
                "its scrypt costs (N {n}, r {r}, p {p}) are none that cosign uses"
            )));
        };
        let decode = |text: &str| BASE64.decode(text).map_err(|_| damaged());
        let (salt, nonce) = (decode(&self.kdf.salt)?, decode(&self.cipher.nonce)?);
        let sealed = decode(&self.ciphertext)?;
        if nonce.len() != NONCE_BYTES {
            return Err(damaged());
        }
        let key = derive(password, &salt, cost)?;
        XSalsa20Poly1305::new(Key::from_slice(key.as_slice()))
            .decrypt(Nonce::from_slice(&nonce), sealed.as_slice())
            .map(Zeroizing::new)
            .map_err(|_| unusable("the password is wrong, or the file is damaged"))
    }
}

fn derive(password: &str, salt: &[u8], cost: u8) -> Result<Zeroizing<[u8; DERIVED_BYTES]>> {
    let mut key = Zeroizing::new([0; DERIVED_BYTES]);
    scrypt::Params::new(cost, SCRYPT_R, SCRYPT_P, DERIVED_BYTES)
        .map_err(|error| error.to_string())
        .and_then(|params| {
            scrypt::scrypt(password.as_bytes(), salt, &params, key.as_mut_slice())
                .map_err(|error| error.to_string())
        })
        .map_err(unusable)?;
    Ok(key)
}

fn unusable(cause: impl Into<String>) -> Error {
    Error::usage("cannot use the private key").cause(cause.into())
}

fn other_kind() -> Error {
    unusable("it is no P-256 key, or it is damaged; other kinds are verified, not signed with")
}

#[cfg(test)]
mod tests;
