//! The public log: an entry is written, and what the log says it wrote is compared with what we sent
//! (Rekor v1 OpenAPI; rekor-tiles, CLIENTS.md).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sigstore_rekor::{
    DsseEntry, HashedRekord, HashedRekordV2, LogEntry, RekorEntryBody, RekorV2KeyDetails,
};
use sigstore_types::{
    DerCertificate, DsseEnvelope, HashAlgorithm, KindVersion, Sha256Hash, SignatureBytes,
    TransparencyLogEntry,
};
use tokio::time::Instant;
use url::Url;

use super::service::{self, Answer, Call, Service};
use super::services::{Log, RekorVersion};
use crate::error::Result;
use crate::net::Origin;
use crate::verify::PublicKey;

/// The longest answer that is read, in bytes; real ones take 5 KiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What is to be logged.
pub(super) struct Record<'a> {
    pub(super) signer: SignedWith<'a>,
    pub(super) signed: Signed<'a>,
}

/// What the log is to verify a signature with.
#[derive(Clone, Copy)]
pub(super) enum SignedWith<'a> {
    Certificate(&'a DerCertificate),
    Key(&'a PublicKey),
}

/// A signature with what it is over.
#[derive(Clone, Copy)]
pub(super) enum Signed<'a> {
    /// An envelope with its one signature.
    Envelope(&'a DsseEnvelope),
    /// A signature over bytes with this digest.
    Message { digest: Sha256Hash, signature: &'a SignatureBytes },
}

/// Writes `record` to `log`, or finds it there.
///
/// # Errors
/// Undecided: not reached, not accepted, not answered before `deadline`, or an entry that is not ours.
pub(super) async fn record(
    service: &Service<'_>,
    log: &Log,
    record: &Record<'_>,
    deadline: Instant,
) -> Result<TransparencyLogEntry> {
    match log.version {
        RekorVersion::V1 => record_v1(service, &log.url, record, deadline).await,
        RekorVersion::V2 => record_v2(service, &log.url, record, deadline).await,
    }
}

async fn record_v1(
    service: &Service<'_>,
    base: &Url,
    record: &Record<'_>,
    deadline: Instant,
) -> Result<TransparencyLogEntry> {
    let url = service::join(base, "api/v1/log/entries");
    let body = record.body_v1().map_err(|why| service.malformed(&url, why))?;
    let answer = service
        .send(Call {
            body: Some((body, "application/json")),
            deadline: Some(deadline),
            ..Call::new(&url, MAX_ANSWER_BYTES)
        })
        .await?;
    let answer = match answer.status {
        200 | 201 => answer,
        // The log has it already: an earlier attempt of ours got through, or so it says.
        409 => existing(service, &url, &answer, Some(deadline), MAX_ANSWER_BYTES).await?,
        _ => return Err(service.refused(&answer)),
    };
    record.entry_v1(&answer).map_err(|why| service.malformed(answer.url(), why))
}

/// Follows a 409 of a log of version 1 to the entry that it says it has already.
pub(super) async fn existing(
    service: &Service<'_>,
    url: &Url,
    conflict: &Answer,
    deadline: Option<Instant>,
    max_bytes: usize,
) -> Result<Answer> {
    let place =
        conflict.location().filter(|location| Origin::same(location, conflict.url())).ok_or_else(
            || service.malformed(url, "it has this entry already and does not say where"),
        )?;
    let answer = service.send(Call { deadline, ..Call::new(&place, max_bytes) }).await?;
    match answer.status {
        200 => Ok(answer),
        _ => Err(service.refused(&answer)),
    }
}

async fn record_v2(
    service: &Service<'_>,
    base: &Url,
    record: &Record<'_>,
    deadline: Instant,
) -> Result<TransparencyLogEntry> {
    let url = service::join(base, "api/v2/log/entries");
    let body = record.body_v2().map_err(|why| service.malformed(&url, why))?;
    let answer = service
        .send(Call {
            body: Some((body, "application/json")),
            deadline: Some(deadline),
            ..Call::new(&url, MAX_ANSWER_BYTES)
        })
        .await?;
    match answer.status {
        200 | 201 => {}
        // An earlier attempt of ours got through and its answer was lost. This log has no entries to ask
        // for; another signature by the same key is another entry.
        409 => {
            return Err(service
                .refused(&answer)
                .note("sign again: a new signature is a new entry"));
        }
        _ => return Err(service.refused(&answer)),
    }
    let entry: TransparencyLogEntry = serde_json::from_slice(&answer.body)
        .map_err(|_| service.malformed(&url, "its answer is no log entry"))?;
    record
        .check(&entry, KindVersion::HashedRekordV002)
        .map_err(|why| service.malformed(&url, why))?;
    Ok(entry)
}

impl Record<'_> {
    fn signature(&self) -> &SignatureBytes {
        match self.signed {
            Signed::Envelope(envelope) => &envelope.signature.sig,
            Signed::Message { signature, .. } => signature,
        }
    }

    /// The digest of the bytes that the signature is over: an envelope's are its PAE.
    fn digest(&self) -> Sha256Hash {
        match self.signed {
            Signed::Envelope(envelope) => Sha256Hash::new(Sha256::digest(envelope.pae()).into()),
            Signed::Message { digest, .. } => digest,
        }
    }

    fn kind_v1(&self) -> KindVersion {
        match self.signed {
            Signed::Envelope(_) => KindVersion::DsseV001,
            Signed::Message { .. } => KindVersion::HashedRekordV001,
        }
    }

    fn body_v1(&self) -> Result<Vec<u8>, String> {
        match (self.signed, self.signer) {
            (Signed::Envelope(envelope), SignedWith::Certificate(certificate)) => {
                DsseEntry::new(envelope, certificate)
                    .map_err(|error| error.to_string())
                    .and_then(|entry| json(&entry))
            }
            (Signed::Message { digest, signature }, SignedWith::Certificate(certificate)) => {
                json(&HashedRekord::new(&digest, signature, certificate))
            }
            // The crate makes requests with certificates only.
            (Signed::Envelope(envelope), SignedWith::Key(key)) => {
                let envelope = serde_json::to_string(envelope).map_err(|e| e.to_string())?;
                json(&serde_json::json!({
                    "apiVersion": "0.0.1",
                    "kind": "dsse",
                    "spec": {"proposedContent": {
                        "envelope": envelope,
                        "verifiers": [BASE64.encode(key.to_pem())],
                    }},
                }))
            }
            (Signed::Message { digest, signature }, SignedWith::Key(key)) => {
                json(&serde_json::json!({
                    "apiVersion": "0.0.1",
                    "kind": "hashedrekord",
                    "spec": {
                        "data": {"hash": {"algorithm": "sha256", "value": digest.to_hex()}},
                        "signature": {
                            "content": signature,
                            "publicKey": {"content": BASE64.encode(key.to_pem())},
                        },
                    },
                }))
            }
        }
    }

    /// Rekor v2 knows one kind of entry, whatever was signed.
    fn body_v2(&self) -> Result<Vec<u8>, String> {
        let (digest, signature) = (self.digest(), self.signature());
        let details = RekorV2KeyDetails::PkixEcdsaP256Sha256;
        json(&match self.signer {
            SignedWith::Certificate(certificate) => {
                HashedRekordV2::new_with_certificate(&digest, signature, certificate, details)
            }
            SignedWith::Key(key) => {
                HashedRekordV2::new_with_public_key(&digest, signature, key.der(), details)
            }
        })
    }

    /// The entry in an answer of Rekor v1: a map from its UUID, with this one entry.
    fn entry_v1(&self, answer: &Answer) -> Result<TransparencyLogEntry, String> {
        let entries: BTreeMap<String, LogEntry> = serde_json::from_slice(&answer.body)
            .map_err(|_| "its answer is no log entry".to_owned())?;
        let mut entries = entries.values();
        let (Some(entry), None) = (entries.next(), entries.next()) else {
            return Err("its answer is not one log entry".to_owned());
        };
        let entry = entry
            .to_bundle_entry(self.kind_v1())
            .map_err(|error| format!("its entry cannot be read: {error}"))?;
        self.check(&entry, self.kind_v1())?;
        Ok(entry)
    }

    /// Refuses an entry that is not about this signature, this certificate and what was signed. That it
    /// is in the log is the verifier's question.
    fn check(&self, entry: &TransparencyLogEntry, kind: KindVersion) -> Result<(), String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            kind: String,
            api_version: String,
        }
        let unreadable = |_| "its entry cannot be read".to_owned();
        let named: Kind =
            serde_json::from_slice(entry.canonicalized_body.as_bytes()).map_err(unreadable)?;
        if entry.kind_version != kind
            || (named.kind.as_str(), named.api_version.as_str()) != (kind.kind(), kind.version())
        {
            return Err("its entry is of another kind than was sent".to_owned());
        }
        let body = RekorEntryBody::parse(&entry.canonicalized_body, kind)
            .map_err(|_| "its entry cannot be read".to_owned())?;
        if !self.is_body(&body) {
            return Err("its entry is not ours".to_owned());
        }
        // v1 promises the entry at a time; v2 has neither promise nor time of its own, and a reader might
        // take what stands there for one.
        let promised = (entry.inclusion_promise.is_some(), entry.integrated_time.is_some());
        let wanted = kind != KindVersion::HashedRekordV002;
        if promised != (wanted, wanted) {
            return Err(match wanted {
                true => "its entry has no signed time".to_owned(),
                false => "its entry has a time that nobody signed".to_owned(),
            });
        }
        let proved =
            entry.inclusion_proof.as_ref().is_some_and(|proof| !proof.checkpoint.is_empty());
        if !proved {
            return Err("its entry has no proof with a checkpoint".to_owned());
        }
        Ok(())
    }

    fn is_body(&self, body: &RekorEntryBody) -> bool {
        let digest = self.digest();
        match (body, self.signed) {
            (RekorEntryBody::DsseV001(body), Signed::Envelope(envelope)) => {
                let payload = hex::encode(Sha256::digest(envelope.payload.as_bytes()));
                let [logged] = body.spec.signatures.as_slice() else { return false };
                body.spec.payload_hash.algorithm == HashAlgorithm::Sha2256
                    && body.spec.payload_hash.value == payload
                    && logged.signature == *self.signature()
                    && self.is_signer(logged.verifier.as_bytes())
            }
            (RekorEntryBody::HashedRekordV001(body), Signed::Message { .. }) => {
                let (data, logged) = (&body.spec.data, &body.spec.signature);
                data.hash.algorithm == HashAlgorithm::Sha2256
                    && data.hash.value.as_str() == digest.to_hex()
                    && logged.content == *self.signature()
                    && self.is_signer(logged.public_key.content.as_bytes())
            }
            (RekorEntryBody::HashedRekordV002(body), _) => {
                let body = &body.spec.hashed_rekord_v002;
                let verifier = &body.signature.verifier;
                body.data.algorithm == HashAlgorithm::Sha2256
                    && body.data.digest.as_bytes() == digest.as_bytes()
                    && body.signature.content == *self.signature()
                    && match (self.signer, &verifier.x509_certificate, &verifier.public_key) {
                        (SignedWith::Certificate(ours), Some(logged), None) => {
                            logged.raw_bytes == *ours
                        }
                        (SignedWith::Key(ours), None, Some(logged)) => {
                            logged.raw_bytes == *ours.der()
                        }
                        _ => false,
                    }
            }
            _ => false,
        }
    }

    /// Whether this PEM is the certificate, or the key, that was sent.
    fn is_signer(&self, pem: &[u8]) -> bool {
        match self.signer {
            SignedWith::Certificate(ours) => std::str::from_utf8(pem)
                .is_ok_and(|pem| DerCertificate::from_pem(pem).is_ok_and(|logged| logged == *ours)),
            SignedWith::Key(ours) => PublicKey::from_pem(pem).is_ok_and(|logged| logged == *ours),
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
