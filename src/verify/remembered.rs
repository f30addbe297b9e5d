//! Signatures that were verified already are not verified again.
//!
//! The bundles of one run share most of their signatures: the authority's certificates are the same for all,
//! and a bundle of our own is judged before it is logged and after. Whether a signature is by a key over some
//! bytes is a question of mathematics alone, so the same question, byte for byte, has the same answer. Only a
//! yes is remembered, for this process only, and only so many. What depends on the time, such as the validity
//! of a certificate, is no such question and is asked each time.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sigstore_types::HashAlgorithm;
use sigstore_verify::crypto::{
    CryptoProvider, Error, HashContext, KeyAlgorithm, SigningKeyPair, SigningScheme,
    aws_lc_provider, install_default_provider,
};

/// Questions of one generation; two are kept.
const GENERATION: usize = 64;
/// The longest question that is remembered. A certificate is one; a whole artifact would be, too.
const MAX_QUESTION_BYTES: usize = 8 * 1024;

type Result<T> = std::result::Result<T, Error>;

static REMEMBERING: Remembering =
    Remembering { backend: aws_lc_provider, known: Mutex::new(Known::new()) };

/// Has the Sigstore crates ask here first. May be called often.
pub(super) fn remember() {
    // Somebody was first, most likely we.
    let _ = install_default_provider(&REMEMBERING);
}

/// The cryptography behind `backend`, with a memory.
struct Remembering {
    backend: fn() -> &'static dyn CryptoProvider,
    known: Mutex<Known>,
}

/// What was answered with yes. What is asked again moves to the younger generation; the elder is forgotten
/// when the younger is full.
struct Known {
    younger: BTreeSet<Vec<u8>>,
    elder: BTreeSet<Vec<u8>>,
}

impl Known {
    const fn new() -> Self {
        Self { younger: BTreeSet::new(), elder: BTreeSet::new() }
    }

    fn holds(&mut self, question: &[u8]) -> bool {
        if self.younger.contains(question) {
            return true;
        }
        match self.elder.take(question) {
            Some(question) => {
                self.keep(question);
                true
            }
            None => false,
        }
    }

    fn keep(&mut self, question: Vec<u8>) {
        if self.younger.len() >= GENERATION {
            self.elder = std::mem::take(&mut self.younger);
        }
        self.younger.insert(question);
    }
}

/// The question as one: every part with its length, so that no two questions are the same bytes.
fn question(of: &str, scheme: SigningScheme, parts: [&[u8]; 3]) -> Option<Vec<u8>> {
    let parts = [&[of.as_bytes(), scheme.name().as_bytes()], &parts[..]].concat();
    let length = parts.iter().map(|part| part.len() + size_of::<u64>()).sum();
    if length > MAX_QUESTION_BYTES {
        return None;
    }
    let mut question = Vec::with_capacity(length);
    for part in parts {
        question.extend_from_slice(&(part.len() as u64).to_le_bytes());
        question.extend_from_slice(part);
    }
    Some(question)
}

impl Remembering {
    fn ask(
        &self,
        question: Option<Vec<u8>>,
        verify: impl FnOnce(&dyn CryptoProvider) -> Result<()>,
    ) -> Result<()> {
        let Some(question) = question else { return verify((self.backend)()) };
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).holds(&question) {
            return Ok(());
        }
        verify((self.backend)())?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keep(question);
        Ok(())
    }
}

impl std::fmt::Debug for Remembering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembering").finish_non_exhaustive()
    }
}

impl CryptoProvider for Remembering {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        (self.backend)().hash(algorithm)
    }

    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        (self.backend)().sha256(data)
    }

    fn sha384(&self, data: &[u8]) -> [u8; 48] {
        (self.backend)().sha384(data)
    }

    fn sha512(&self, data: &[u8]) -> [u8; 64] {
        (self.backend)().sha512(data)
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        data: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        self.ask(question("data", scheme, [key, data, signature]), |backend| {
            backend.verify_raw(scheme, key, data, signature)
        })
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        self.ask(question("digest", scheme, [key, digest, signature]), |backend| {
            backend.verify_prehashed(scheme, key, digest, signature)
        })
    }

    fn generate_key_pair(&self, algorithm: KeyAlgorithm) -> Result<Box<dyn SigningKeyPair>> {
        (self.backend)().generate_key_pair(algorithm)
    }

    fn key_pair_from_pkcs8_der(&self, pkcs8: &[u8]) -> Result<Box<dyn SigningKeyPair>> {
        (self.backend)().key_pair_from_pkcs8_der(pkcs8)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Says yes to signatures that begin with `y`, and counts how often it is asked.
    #[derive(Debug)]
    struct Counting;

    static ASKED: AtomicUsize = AtomicUsize::new(0);

    impl CryptoProvider for Counting {
        fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
            aws_lc_provider().hash(algorithm)
        }

        fn verify_raw(&self, _: SigningScheme, _: &[u8], _: &[u8], signature: &[u8]) -> Result<()> {
            ASKED.fetch_add(1, Ordering::SeqCst);
            match signature.starts_with(b"y") {
                true => Ok(()),
                false => Err(Error::Verification("no".to_owned())),
            }
        }

        fn verify_prehashed(
            &self,
            scheme: SigningScheme,
            key: &[u8],
            digest: &[u8],
            signature: &[u8],
        ) -> Result<()> {
            self.verify_raw(scheme, key, digest, signature)
        }
    }

    /// The one test that counts: tests run side by side.
    #[test]
    fn the_same_question_is_asked_once_and_every_other_is_asked() {
        let asking = Remembering { backend: || &Counting, known: Mutex::new(Known::new()) };
        let asked = |verify: &dyn Fn() -> Result<()>| {
            let before = ASKED.load(Ordering::SeqCst);
            (verify().is_ok(), ASKED.load(Ordering::SeqCst) - before)
        };
        let (p256, p384) = (SigningScheme::EcdsaP256Sha256, SigningScheme::EcdsaP384Sha384);
        let raw = |scheme, key: &[u8], data: &[u8], signature: &[u8]| {
            asked(&|| asking.verify_raw(scheme, key, data, signature))
        };
        assert_eq!(raw(p256, b"key", b"data", b"yes"), (true, 1));
        assert_eq!(raw(p256, b"key", b"data", b"yes"), (true, 0));
        for (scheme, key, data, signature) in [
            (p384, &b"key"[..], &b"data"[..], &b"yes"[..]),
            (p256, b"kez", b"data", b"yes"),
            (p256, b"key", b"datb", b"yes"),
            (p256, b"key", b"data", b"yet"),
            // The same bytes, divided in another way.
            (p256, b"keyd", b"ata", b"yes"),
            (p256, b"key", b"datay", b"yes"),
        ] {
            assert_eq!(raw(scheme, key, data, signature), (true, 1), "{key:?} {data:?}");
        }
        // A digest is another question than data of the same bytes.
        assert_eq!(asked(&|| asking.verify_prehashed(p256, b"key", b"data", b"yes")), (true, 1));
        assert_eq!(asked(&|| asking.verify_prehashed(p256, b"key", b"data", b"yes")), (true, 0));
        // A no is never remembered, and what was a yes for another signature does not help it.
        for _ in 0..3 {
            assert_eq!(raw(p256, b"key", b"data", b"no"), (false, 1));
        }
        // What is long is asked each time.
        let long = vec![0; MAX_QUESTION_BYTES];
        for _ in 0..2 {
            assert_eq!(raw(p256, b"key", &long, b"yes"), (true, 1));
        }
        // What is asked again and again stays, whatever else is asked, and no more is kept than two generations.
        for number in 0..10 * GENERATION {
            assert_eq!(raw(p256, b"key", &number.to_le_bytes(), b"yes"), (true, 1));
            assert_eq!(raw(p256, b"key", b"data", b"yes"), (true, 0), "{number}");
            let known = asking.known.lock().unwrap();
            assert!(known.younger.len() + known.elder.len() <= 2 * GENERATION);
        }
        assert_eq!(raw(p256, b"key", &0_usize.to_le_bytes(), b"yes"), (true, 1));
    }

    #[test]
    fn a_signature_that_was_verified_proves_nothing_of_another() {
        remember();
        let pair = sigstore_verify::crypto::KeyPair::generate_ecdsa_p256().unwrap();
        let (data, signature) = (b"data", pair.sign(b"data").unwrap());
        let key = pair.public_key_bytes().to_vec();
        let scheme = SigningScheme::EcdsaP256Sha256;
        for _ in 0..2 {
            REMEMBERING.verify_raw(scheme, &key, data, signature.as_bytes()).unwrap();
            let mut other = signature.as_bytes().to_vec();
            *other.last_mut().unwrap() ^= 1;
            assert!(REMEMBERING.verify_raw(scheme, &key, data, &other).is_err());
            assert!(REMEMBERING.verify_raw(scheme, &key, b"date", signature.as_bytes()).is_err());
        }
    }
}
