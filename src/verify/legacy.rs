//! cosign's older signatures, turned into bundles for the one verifier.
//!
//! Before bundles, cosign kept a signature in pieces: a payload that names the manifest (simple signing), and
//! beside it, as annotations of its layer, the signature over the payload's bytes, the certificate, the log's
//! promise and a timestamp (cosign `specs/SIGNATURE_SPEC.md`). Nothing of that is verified here. The chain that
//! may stand there too is not even read: who may issue certificates is said by the trusted root alone.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sigstore_types::{
    CanonicalizedBody, CertificateContent, DerCertificate, HashAlgorithm, InclusionPromise,
    KindVersion, LogId, LogIndex, LogKeyId, MediaType, MessageDigest, MessageSignature,
    PublicKeyIdentifier, Rfc3161Timestamp, Sha256Hash, SignatureBytes, SignatureContent,
    SignedTimestamp, TimestampToken, TimestampVerificationData, TransparencyLogEntry,
    VerificationMaterial, VerificationMaterialContent,
};

use super::bundle::Bundle;
use super::statement::Statement;
use crate::chart::{Digest, check_distinct_keys};
use crate::error::{Error, Reason, Result};

/// The media type of a layer that holds such a payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with the signature over the payload's bytes, in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The annotation with the certificate in PEM.
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
/// The annotation with the authorities of the certificate in PEM: for others, never read here.
pub const CHAIN_ANNOTATION: &str = "dev.sigstore.cosign/chain";
/// The annotation with the log entry and its promise.
pub const LOG_ANNOTATION: &str = "dev.sigstore.cosign/bundle";
/// The annotation with the answer of a timestamp authority.
pub const TIMESTAMP_ANNOTATION: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// What the payload says it is.
pub const SIGNATURE_TYPE: &str = "cosign container image signature";
/// The largest payload that is read; real ones take 250 bytes and what `-a` adds.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 10;

/// A signature in pieces, as somebody wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacySignature {
    /// What is signed, byte for byte.
    pub payload: Vec<u8>,
    /// The signature, in base64.
    pub signature: String,
    /// The certificate in PEM; none where a key signed.
    pub certificate: Option<String>,
    /// The log entry with its promise, as JSON (cosign: `RekorBundle`).
    pub log: Option<String>,
    /// The answer of a timestamp authority, as JSON (cosign: `RFC3161Timestamp`).
    pub timestamp: Option<String>,
}

impl LegacySignature {
    /// The pieces as a layer's annotations hold them. What is empty is not there: cosign writes some so.
    pub fn of_layer(payload: Vec<u8>, annotations: &BTreeMap<String, String>) -> Self {
        let piece = |name: &str| annotations.get(name).filter(|text| !text.is_empty()).cloned();
        Self {
            payload,
            signature: piece(SIGNATURE_ANNOTATION).unwrap_or_default(),
            certificate: piece(CERTIFICATE_ANNOTATION),
            log: piece(LOG_ANNOTATION),
            timestamp: piece(TIMESTAMP_ANNOTATION),
        }
    }

    /// The bundle that means the same: a signature over the payload's bytes, which stand for a statement about
    /// the one manifest that the payload names.
    ///
    /// # Errors
    /// Refused (`malformed`), when a piece cannot be read, or the payload is no signature of an image.
    pub fn to_bundle(&self) -> Result<Bundle> {
        let digest = named_manifest(&self.payload)?;
        let material = self.material()?;
        let inner = self.signed(material)?;
        Bundle::over(inner, Statement::of_manifest(&digest), self.payload.clone())
    }

    /// The same of a signature over a file: `self.payload` is what the file holds.
    ///
    /// # Errors
    /// Refused (`malformed`), when a piece cannot be read.
    pub fn to_bundle_over_file(&self) -> Result<Bundle> {
        let inner = self.signed(self.material()?)?;
        let digest = Digest::of(&self.payload);
        Bundle::over(inner, Statement::of_file(&digest), self.payload.clone())
    }

    fn signed(&self, material: VerificationMaterial) -> Result<sigstore_types::Bundle> {
        let signature = BASE64
            .decode(self.signature.trim())
            .ok()
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| unreadable("its signature is no base64"))?;
        // cosign hashes with SHA-256 whatever the key, which is not the default of every kind.
        let hash = Sha256Hash::new(Sha256::digest(&self.payload).into());
        let digest = MessageDigest::new(HashAlgorithm::Sha2256, hash.into());
        let message =
            MessageSignature::new(SignatureBytes::new(signature)).with_message_digest(digest);
        let version = version_for(&material);
        let content = SignatureContent::MessageSignature(message);
        Ok(sigstore_types::Bundle::new(version, material, content))
    }

    fn material(&self) -> Result<VerificationMaterial> {
        let Self { certificate, log, timestamp, .. } = self;
        let proof = Proof { certificate, log, timestamp };
        proof.material(&[KindVersion::HashedRekordV001])
    }
}

/// What proves a legacy signature or attestation, as somebody wrote it.
pub(super) struct Proof<'a> {
    /// The certificate in PEM; none where a key signed.
    pub(super) certificate: &'a Option<String>,
    /// The log entry with its promise.
    pub(super) log: &'a Option<String>,
    /// The answer of a timestamp authority.
    pub(super) timestamp: &'a Option<String>,
}

impl Proof<'_> {
    /// The same in a bundle; the log entry is of one of these `kinds`.
    ///
    /// # Errors
    /// Refused (`malformed`), when a piece cannot be read.
    pub(super) fn material(&self, kinds: &[KindVersion]) -> Result<VerificationMaterial> {
        let content = match self.certificate {
            Some(pem) => VerificationMaterialContent::Certificate(CertificateContent::new(
                one_certificate(pem)?,
            )),
            None => VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")),
        };
        let entry = self.log.as_deref().map(|text| log_entry(text, kinds)).transpose()?;
        let stamps = self.timestamp.as_deref().map(timestamp).transpose()?;
        let stamped = TimestampVerificationData::new(stamps.into_iter().collect());
        Ok(VerificationMaterial::new(content)
            .with_tlog_entries(entry.into_iter().collect())
            .with_timestamp_verification_data(stamped))
    }
}

/// The version of a bundle with this material. The log of those days proved an entry by a promise alone, as
/// bundles of version 0.1 do.
pub(super) fn version_for(material: &VerificationMaterial) -> MediaType {
    match material.tlog_entries.is_empty() {
        true => MediaType::Bundle0_3,
        false => MediaType::Bundle0_1,
    }
}

/// The manifest that a payload names. Its docker-reference is a name that a mirror makes false, and is not read.
fn named_manifest(payload: &[u8]) -> Result<Digest> {
    #[derive(Deserialize)]
    struct Payload {
        critical: Critical,
    }
    #[derive(Deserialize)]
    struct Critical {
        image: Image,
        r#type: String,
    }
    #[derive(Deserialize)]
    struct Image {
        #[serde(rename = "docker-manifest-digest")]
        digest: String,
    }
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(unreadable(format!("its payload is larger than {MAX_PAYLOAD_BYTES} bytes")));
    }
    check_distinct_keys(payload).map_err(|error| unreadable(format!("its payload: {error}")))?;
    let Payload { critical } = serde_json::from_slice(payload)
        .map_err(|error| unreadable(format!("its payload: {error}")))?;
    if critical.r#type != SIGNATURE_TYPE {
        return Err(unreadable(format!(
            "its payload is of type {:?}, not {SIGNATURE_TYPE:?}",
            critical.r#type
        )));
    }
    Digest::parse(&critical.image.digest).map_err(|_| {
        unreadable(format!("its payload names {:?}, no digest", critical.image.digest))
    })
}

/// The certificate in `text`; one, so that every reader reads the same.
fn one_certificate(text: &str) -> Result<DerCertificate> {
    let blocks = pem::parse_many(text).unwrap_or_default();
    match <[pem::Pem; 1]>::try_from(blocks) {
        Ok([block]) if block.tag() == "CERTIFICATE" => {
            Ok(DerCertificate::new(block.into_contents()))
        }
        _ => Err(unreadable("its certificate is not one certificate in PEM")),
    }
}

/// The entry of the log, whose promise covers body, time, log and index (Rekor v1 OpenAPI,
/// `signedEntryTimestamp`): nothing of it counts before that was verified.
fn log_entry(text: &str, kinds: &[KindVersion]) -> Result<TransparencyLogEntry> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Logged {
        signed_entry_timestamp: String,
        payload: Entry,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        body: String,
        integrated_time: i64,
        log_index: u64,
        #[serde(rename = "logID")]
        log_id: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        kind: String,
        api_version: String,
    }
    let wrong = |what: &str| unreadable(format!("its log entry: {what}"));
    check_distinct_keys(text.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
    let Logged { signed_entry_timestamp, payload } =
        serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    let base64 = |text: &str, what: &str| {
        BASE64.decode(text).map_err(|_| wrong(&format!("{what} is no base64")))
    };
    let promise = base64(&signed_entry_timestamp, "SignedEntryTimestamp")?;
    let body = base64(&payload.body, "body")?;
    let log = hex::decode(&payload.log_id).map_err(|_| wrong("logID is no hexadecimal number"))?;
    let time = jiff::Timestamp::from_second(payload.integrated_time)
        .map_err(|_| wrong("integratedTime is no time"))?;
    let index = LogIndex::new(payload.log_index).map_err(|_| wrong("logIndex is too large"))?;
    let Kind { kind, api_version } =
        serde_json::from_slice(&body).map_err(|error| wrong(&error.to_string()))?;
    let named = |known: &&KindVersion| (known.kind(), known.version()) == (&kind, &api_version);
    let Some(kind_version) = kinds.iter().find(named) else {
        let known: Vec<_> =
            kinds.iter().map(|one| format!("{}/{}", one.kind(), one.version())).collect();
        return Err(wrong(&format!(
            "it is of kind {kind}/{api_version}, not {}",
            known.join(" or ")
        )));
    };
    Ok(TransparencyLogEntry::new(
        index,
        LogId::new(LogKeyId::new(log)),
        *kind_version,
        CanonicalizedBody::new(body),
    )
    .with_integrated_time(time)
    .with_inclusion_promise(InclusionPromise::new(SignedTimestamp::new(promise))))
}

fn timestamp(text: &str) -> Result<Rfc3161Timestamp> {
    let wrong = || unreadable("its timestamp cannot be read");
    check_distinct_keys(text.as_bytes()).map_err(|_| wrong())?;
    let value: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    let token = value.get("SignedRFC3161Timestamp").and_then(Value::as_str).ok_or_else(wrong)?;
    let token = BASE64.decode(token).map_err(|_| wrong())?;
    Ok(Rfc3161Timestamp::new(TimestampToken::new(token)))
}

fn unreadable(cause: impl Into<String>) -> Error {
    Error::refused(Reason::Malformed, "not a legacy cosign signature").cause(cause.into())
}
