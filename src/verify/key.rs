//! Signatures by a key that somebody keeps, instead of by a certificate of an identity.
//!
//! A bundle of this kind names its key only by a hint that nobody signed (Sigstore bundle format,
//! `PublicKeyIdentifier`), so the key is always the verifier's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use sigstore_rekor::RekorEntryBody;
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_types::{HashAlgorithm, MediaType, SignatureContent};
use sigstore_verify::PublicKeyVerificationPolicy;
use sigstore_verify::crypto::{KeyAlgorithm, VerificationKey, verify_signature};

use super::bundle::Bundle;
use super::public_key::{LogCheck, PublicKey, TrustedKey, is_by_key, other_kind};
use super::refusal::Failure;
use super::signer::Signer;
use super::sought::SoughtEntry;
use super::verifier::{Artifact, Stage, Verified, Verifier};
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};

impl Verifier {
    /// Judges a bundle that was signed with a key: with the one that is trusted, and where that is not
    /// the one, with the key that the log says it was, so that the refusal can name it. Who is trusted
    /// stays the policy's question.
    pub(super) fn check_by_key(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        trusted: Option<&TrustedKey>,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let log = trusted.map_or(LogCheck::Required, |trusted| trusted.log);
        let ours = trusted.map(|trusted| {
            self.check_with_key(bundle, artifact, &trusted.key, log, Stage::Complete, now)
        });
        match &ours {
            Some(Err(Failure::No(error))) if error.reason == Reason::BadSignature => {}
            None => {}
            Some(_) => return ours.unwrap_or_else(|| Err(Failure::No(other_kind(true)))),
        }
        let expected = trusted.map(|trusted| trusted.key.id());
        if let Some(other) = logged_key(bundle)
            && Some(other.id()) != expected
            && let Ok(checked) =
                self.check_with_key(bundle, artifact, &other, log, Stage::Complete, now)
        {
            return Ok(checked);
        }
        match (ours, expected, claimed_id(bundle)) {
            // The bundle itself says that it is by another key; that proves nothing, but it explains.
            (Some(Err(Failure::No(_))), Some(expected), Some(claimed)) if claimed != expected => {
                Err(Failure::No(
                    Error::refused(Reason::WrongSigner, "wrong signer")
                        .line("expected", format!("key {expected}"))
                        .line("claims", format!("key {claimed}")),
                ))
            }
            // cosign 3 signs so with such a key, and nothing in a bundle tells the two kinds apart.
            (Some(Err(Failure::No(error))), _, _)
                if trusted.is_some_and(|trusted| trusted.key.is_ed25519()) =>
            {
                Err(Failure::No(
                    error.note("Ed25519ph, as cosign 3 signs with such a key, is not verified"),
                ))
            }
            (Some(ours), _, _) => ours,
            // Without a certificate the format is that of a key, also where nothing speaks of one.
            // A legacy signature with neither certificate nor hint is how cosign writes one by a key.
            (None, _, None) if !has_hint(bundle) && bundle.message().is_none() => Err(Failure::No(
                Error::refused(Reason::Malformed, "bundle cannot be used")
                    .cause("it holds no certificate, and does not name a key"),
            )),
            (None, _, _) => Err(Failure::No(other_kind(true))),
        }
    }

    /// Judges a bundle with one key. Without log the crate's own path is taken as far as there is evidence
    /// for it; an index of the log and its time are then nothing that was proved.
    pub(super) fn check_with_key(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        key: &PublicKey,
        log: LogCheck,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        if !is_by_key(bundle) {
            return Err(Failure::No(other_kind(false)));
        }
        let material = &bundle.inner().verification_material;
        let logged = log == LogCheck::Required && stage == Stage::Complete;
        let has_entry = !material.tlog_entries.is_empty();
        let stamped = !material.timestamp_verification_data.rfc3161_timestamps.is_empty();
        if logged && !has_entry {
            // Whether it is the right key comes first: a log entry would not make it so.
            verify_without_evidence(bundle, artifact, key).map_err(Failure::No)?;
            let cause = match bundle.message() {
                Some(_) => "the key is right, but no log entry lies beside the signature",
                None => "the key is right, but the bundle holds no log entry",
            };
            let error = Error::refused(Reason::BadSignature, "signature is in no transparency log")
                .cause(cause)
                .hint("if it was signed without a log, add --insecure-ignore-tlog");
            return Err(Failure::unlogged(error, SoughtEntry::by_key(bundle, key)));
        }
        let proves_time = stamped && self.trust.is_some();
        if !logged && !proves_time {
            verify_without_evidence(bundle, artifact, key).map_err(Failure::No)?;
            return Ok(Verified::by(key_signer(key)));
        }
        let policy = PublicKeyVerificationPolicy::new(key.der().clone());
        let policy = if logged { policy } else { policy.skip_tlog_unsafe() };
        self.with_a_root(|root| {
            let checked = root.crate_verify(bundle, artifact, &policy, logged, now)?;
            if logged && !checked.tlog_verified() {
                let error = Error::refused(Reason::BadSignature, "log was not checked");
                return Err(Failure::No(error));
            }
            let mut verified = root.record(bundle, &checked, logged);
            verified.signer = key_signer(key);
            Ok(verified)
        })
    }

    /// Judges a bundle that we have just made with `key`; without a log when it is to have none.
    ///
    /// # Errors
    /// Refused or undecided, as [`Verifier::verify_artifact`].
    pub fn verify_own_by_key(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        trusted: &TrustedKey,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified> {
        self.check_with_key(bundle, artifact, &trusted.key, trusted.log, stage, now)
            .map_err(Error::from)
    }
}

fn key_signer(key: &PublicKey) -> Signer {
    Signer { key_id: Some(key.id().to_string()), ..Signer::default() }
}

/// The one path that the crate lacks: a statement that was signed with `key`, without log entry and without
/// timestamp, which it refuses whatever its policy says. Everything that follows the cryptography (what
/// the statement covers, what it means, who is trusted) is asked by the caller as of any other bundle.
fn verify_without_evidence(bundle: &Bundle, artifact: Artifact<'_>, key: &PublicKey) -> Result<()> {
    if let Some(message) = bundle.message() {
        return verify_message(bundle, message, key);
    }
    let inner = bundle.inner();
    let unusable = |cause: &str| {
        Err(Error::refused(Reason::Malformed, "bundle cannot be used").cause(cause.to_owned()))
    };
    if inner.media_type() != MediaType::Bundle0_3 {
        return unusable("without log entry it has to be a bundle of version 0.3");
    }
    let (SignatureContent::DsseEnvelope(envelope), Some(statement)) =
        (&inner.content, bundle.statement())
    else {
        return unusable("without log entry it has to be a signed statement");
    };
    let verifies = VerificationKey::from_spki(key.der())
        .and_then(|key| key.verify(envelope.pae(), &envelope.signature.sig));
    if let Err(error) = verifies {
        return Err(Error::refused(Reason::BadSignature, "signature does not verify")
            .cause(format!("with the key {}: {error}", key.id())));
    }
    let digest = match artifact {
        Artifact::Bytes(bytes) => Digest::of(bytes),
        Artifact::Digest(digest) => digest,
    };
    if !statement.names(&digest) {
        return Err(Error::refused(Reason::NotCovered, "signature is over something else"));
    }
    Ok(())
}

/// The same of a legacy signature, over the bytes of its payload.
pub(super) fn verify_message(bundle: &Bundle, message: &[u8], key: &PublicKey) -> Result<()> {
    let signature = match &bundle.inner().content {
        SignatureContent::MessageSignature(message) => &message.signature,
        _ => {
            return Err(Error::refused(Reason::Malformed, "bundle cannot be used")
                .cause("it holds no signature over its message"));
        }
    };
    // SHA-256 whatever the key, as cosign signs.
    KeyAlgorithm::from_spki(key.der())
        .and_then(|kind| kind.resolve_signing_scheme(HashAlgorithm::Sha2256))
        .and_then(|scheme| verify_signature(key.der(), message, signature, scheme))
        .map_err(|error| {
            Error::refused(Reason::BadSignature, "signature does not verify")
                .cause(format!("with the key {}: {error}", key.id()))
        })
}

/// The key that a log entry says the signature is by; a claim until the signature verifies with it.
fn logged_key(bundle: &Bundle) -> Option<PublicKey> {
    let entry = bundle.inner().verification_material.tlog_entries.first()?;
    let body = RekorEntryBody::parse(&entry.canonicalized_body, entry.kind_version).ok()?;
    let pem = |bytes: &[u8]| PublicKey::from_pem(bytes).ok();
    match body {
        RekorEntryBody::DsseV001(body) => pem(body.spec.signatures.first()?.verifier.as_bytes()),
        RekorEntryBody::HashedRekordV001(body) => {
            pem(body.spec.signature.public_key.content.as_bytes())
        }
        RekorEntryBody::HashedRekordV002(body) => {
            let verifier = body.spec.hashed_rekord_v002.signature.verifier;
            PublicKey::from_spki(verifier.public_key?.raw_bytes.as_bytes().to_vec()).ok()
        }
        _ => None,
    }
}

fn has_hint(bundle: &Bundle) -> bool {
    let content = &bundle.inner().verification_material.content;
    matches!(content, VerificationMaterialContent::PublicKey(claim) if !claim.hint.is_empty())
}

/// The key that the bundle's hint names, where it is a SHA-256 in base64, as cosign and we write it.
pub(super) fn claimed_id(bundle: &Bundle) -> Option<Digest> {
    let VerificationMaterialContent::PublicKey(claim) =
        &bundle.inner().verification_material.content
    else {
        return None;
    };
    let bytes = BASE64.decode(&claim.hint).ok().filter(|bytes| bytes.len() == 32)?;
    Digest::parse(&format!("sha256:{}", hex::encode(bytes))).ok()
}
