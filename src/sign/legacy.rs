//! Signatures as cosign made them before bundles, for those who read nothing else: a payload that names the
//! manifest, and the layer that holds it with its proof (cosign `specs/SIGNATURE_SPEC.md`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sigstore_types::{Bundle, DerCertificate, SignatureContent, TransparencyLogEntry};

use super::fulcio::Certificate;
use super::signer::Signed;
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};
use crate::verify::{
    CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, LOG_ANNOTATION, LegacySignature,
    SIGNATURE_ANNOTATION, SIGNATURE_TYPE, TIMESTAMP_ANNOTATION,
};

/// The payload over `manifest`, which is in the repository `reference` (`HOST/PATH`). `annotations` are what the
/// user has to say.
pub fn simple_signing(
    reference: &str,
    manifest: &Digest,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let optional = if annotations.is_empty() { Value::Null } else { json!(annotations) };
    json!({
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": manifest.to_string()},
            "type": SIGNATURE_TYPE,
        },
        "optional": optional,
    })
    .to_string()
    .into_bytes()
}

/// A payload with what stands beside it in a signature image.
#[derive(Clone, Debug)]
pub struct LegacyLayer {
    /// What is signed.
    pub payload: Vec<u8>,
    /// The annotations of its layer.
    pub annotations: BTreeMap<String, String>,
}

impl LegacyLayer {
    /// Takes a signature over `payload` to pieces.
    ///
    /// # Errors
    /// Usage (`unsupported-format`): its log has promised nothing, and a promise is what older clients go by.
    pub fn of<V>(payload: Vec<u8>, signed: &Signed<V>) -> Result<Self> {
        let Bundle { verification_material: material, content, .. } = &signed.bundle;
        let SignatureContent::MessageSignature(message) = content else {
            return Err(unfit("the signature is over a statement"));
        };
        let mut annotations = BTreeMap::new();
        let mut set = |name: &str, text: String| annotations.insert(name.to_owned(), text);
        set(SIGNATURE_ANNOTATION, BASE64.encode(message.signature.as_bytes()));
        if let Some(certificate) = &signed.certificate {
            set(CERTIFICATE_ANNOTATION, to_pem(certificate.der()));
            // Those who trust a root alone find the way to it here.
            set(CHAIN_ANNOTATION, chain(certificate));
        }
        if let Some(entry) = material.tlog_entries.first() {
            set(LOG_ANNOTATION, promised(entry)?);
        }
        if let Some(stamp) = material.timestamp_verification_data.rfc3161_timestamps.first() {
            let token = BASE64.encode(stamp.signed_timestamp.as_bytes());
            set(TIMESTAMP_ANNOTATION, json!({"SignedRFC3161Timestamp": token}).to_string());
        }
        Ok(Self { payload, annotations })
    }

    /// The same as a verifier reads it.
    pub fn as_read(&self) -> LegacySignature {
        LegacySignature::of_layer(self.payload.clone(), &self.annotations)
    }
}

/// In lines that end as Unix's, as cosign writes it.
fn to_pem(certificate: &DerCertificate) -> String {
    let block = pem::Pem::new("CERTIFICATE", certificate.as_bytes());
    pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

fn chain(certificate: &Certificate) -> String {
    certificate.chain().iter().map(to_pem).collect()
}

/// What cosign keeps of a log entry (`RekorBundle`): the index is that of the whole log.
fn promised(entry: &TransparencyLogEntry) -> Result<String> {
    let (Some(promise), Some(time)) = (&entry.inclusion_promise, entry.integrated_time) else {
        return Err(unfit("its log entry holds no promise"));
    };
    Ok(json!({
        "SignedEntryTimestamp": BASE64.encode(promise.signed_entry_timestamp.as_bytes()),
        "Payload": {
            "body": entry.canonicalized_body.to_base64(),
            "integratedTime": time.as_second(),
            "logIndex": entry.log_index.get(),
            "logID": hex::encode(entry.log_id.key_id.as_bytes()),
        },
    })
    .to_string())
}

fn unfit(cause: &str) -> Error {
    Error { reason: Reason::UnsupportedFormat, ..Error::usage("cannot make a legacy signature") }
        .cause(cause)
}
