//! cosign's older attestations, turned into bundles for the one verifier.
//!
//! Before bundles, cosign kept the envelope of a statement as a layer under the tag `.att`, and beside it, as the
//! layer's annotations, the certificate, the log's promise and a timestamp (cosign `specs/ATTESTATION_SPEC.md`).
//! Nothing of that is verified here. What the annotations say of the statement is not read: the payload says it.

use std::collections::BTreeMap;

use sigstore_types::{DsseEnvelope, KindVersion, SignatureContent};

use super::bundle::{Bundle, MAX_BUNDLE_BYTES};
use super::legacy::{
    CERTIFICATE_ANNOTATION, LOG_ANNOTATION, Proof, TIMESTAMP_ANNOTATION, version_for,
};
use crate::chart::check_distinct_keys;
use crate::error::{Error, Reason, Result};

/// The media type of a layer that holds such an envelope.
pub const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// An attestation in pieces, as somebody wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyAttestation {
    /// The envelope, as JSON.
    pub envelope: Vec<u8>,
    /// The certificate in PEM; none where a key signed.
    pub certificate: Option<String>,
    /// The log entry with its promise, as JSON (cosign: `RekorBundle`).
    pub log: Option<String>,
    /// The answer of a timestamp authority, as JSON (cosign: `RFC3161Timestamp`).
    pub timestamp: Option<String>,
}

impl LegacyAttestation {
    /// The pieces as a layer and its annotations hold them. What is empty is not there: cosign writes some so.
    pub fn of_layer(envelope: Vec<u8>, annotations: &BTreeMap<String, String>) -> Self {
        let piece = |name: &str| annotations.get(name).filter(|text| !text.is_empty()).cloned();
        Self {
            envelope,
            certificate: piece(CERTIFICATE_ANNOTATION),
            log: piece(LOG_ANNOTATION),
            timestamp: piece(TIMESTAMP_ANNOTATION),
        }
    }

    /// The bundle that means the same. The log entry is of a kind that holds envelopes: cosign 2 wrote `dsse`, and
    /// `intoto` before that.
    ///
    /// # Errors
    /// Refused (`malformed`), when a piece cannot be read, or the payload is no in-toto statement.
    pub fn to_bundle(&self) -> Result<Bundle> {
        let wrong = |cause: String| {
            Error::refused(Reason::Malformed, "not a legacy cosign attestation").cause(cause)
        };
        if self.envelope.len() > MAX_BUNDLE_BYTES {
            return Err(wrong(format!("its envelope is larger than {MAX_BUNDLE_BYTES} bytes")));
        }
        check_distinct_keys(&self.envelope)
            .map_err(|error| wrong(format!("its envelope: {error}")))?;
        let envelope: DsseEnvelope = serde_json::from_slice(&self.envelope)
            .map_err(|error| wrong(format!("its envelope: {error}")))?;
        let Self { certificate, log, timestamp, .. } = self;
        let proof = Proof { certificate, log, timestamp };
        let material = proof.material(&[KindVersion::DsseV001, KindVersion::IntotoV002])?;
        let version = version_for(&material);
        let content = SignatureContent::DsseEnvelope(envelope);
        Bundle::from_inner(sigstore_types::Bundle::new(version, material, content))
    }
}
