//! Keys that sign where they are kept.

use std::fmt::Debug;

use futures_util::future::BoxFuture;

use crate::error::Result;
use crate::verify::PublicKey;

/// A P-256 key that somebody keeps. [`PrivateKey`](super::PrivateKey) is one in a file; one in hardware
/// (PKCS#11) or at a cloud (KMS) would be another, and nothing but this is asked of it.
///
/// It may ask somebody else and take its time: the wait is bounded by the time-out of the run. Nothing is
/// public before it has signed.
pub trait SigningKey: Debug + Send + Sync {
    /// The public half, by which verifiers know it.
    fn public(&self) -> &PublicKey;

    /// Signs a SHA-256 digest with ECDSA: the signature in DER (SEC 1 section C.8).
    ///
    /// # Errors
    /// Undecided, when whoever keeps the key was not reached; refused or usage, when it does not sign.
    fn sign_digest(&self, digest: [u8; 32]) -> BoxFuture<'_, Result<Vec<u8>>>;
}

#[cfg(test)]
mod tests;
