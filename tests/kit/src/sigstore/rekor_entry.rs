//! What Rekor v1 logs: proposed `dsse`, `helm` (see `rekor_helm`) and `hashedrekord` entries of version 0.0.1, checked and made canonical.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use der::{Decode, Encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::error::{Error, Result};
use super::keys::{KeyKind, PublicKey, SigningKey, random, sha256, to_pem};
use super::rekor_helm::propose_helm;

/// An entry that was checked and may be logged.
pub(crate) struct Proposal {
    pub(crate) body: Vec<u8>,
    /// What the search index finds it by.
    pub(crate) keys: Vec<String>,
}

/// Checks a proposed entry and gives the canonical body that is logged for it.
pub(crate) fn propose(request: &[u8]) -> Result<Proposal> {
    #[derive(Deserialize)]
    struct Request {
        kind: String,
        #[serde(rename = "apiVersion")]
        api_version: String,
        spec: Value,
    }
    let request: Request = serde_json::from_slice(request)?;
    match (request.kind.as_str(), request.api_version.as_str()) {
        ("dsse", "0.0.1") => propose_dsse(request.spec),
        ("helm", "0.0.1") => propose_helm(request.spec),
        ("hashedrekord", "0.0.1") => propose_hashedrekord(request.spec),
        (kind, version) => Err(Error::new(format!("unsupported entry {kind} {version}"))),
    }
}

fn propose_dsse(spec: Value) -> Result<Proposal> {
    // Go clients send the fields that only the log may fill as well, as null.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Spec {
        proposed_content: Content,
        #[serde(default)]
        signatures: Option<Value>,
        #[serde(default)]
        envelope_hash: Option<Value>,
        #[serde(default)]
        payload_hash: Option<Value>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Content {
        envelope: String,
        verifiers: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        payload: String,
        payload_type: String,
        signatures: Vec<Signature>,
    }
    #[derive(Deserialize)]
    struct Signature {
        sig: String,
    }
    let spec: Spec = serde_json::from_value(spec)?;
    if spec.signatures.is_some() || spec.envelope_hash.is_some() || spec.payload_hash.is_some() {
        return Err(Error::new(
            "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both",
        ));
    }
    let content = spec.proposed_content;
    let envelope: Envelope = serde_json::from_str(&content.envelope)?;
    if envelope.signatures.is_empty() {
        return Err(Error::new("the envelope holds no signature"));
    }
    let payload = BASE64.decode(&envelope.payload)?;
    let signed = pre_authentication_encoding(&envelope.payload_type, &payload);
    let verifiers = content
        .verifiers
        .iter()
        .map(|text| Verifier::from_pem(&BASE64.decode(text)?))
        .collect::<Result<Vec<_>>>()?;
    let mut keys = Vec::new();
    let mut signatures = Vec::new();
    for Signature { sig } in &envelope.signatures {
        let signature = BASE64.decode(sig)?;
        let verifier = verifiers
            .iter()
            .find(|verifier| verifier.key.verify(&signed, &signature).is_ok())
            .ok_or_else(|| Error::new("could not verify envelope: no valid signature"))?;
        signatures.push((sig.clone(), verifier));
    }
    signatures.sort_by(|(one, _), (other, _)| one.cmp(other));
    let payload_hash = hex::encode(sha256(&payload));
    let envelope_hash = hex::encode(sha256(content.envelope.as_bytes()));
    keys.extend([format!("sha256:{payload_hash}"), format!("sha256:{envelope_hash}")]);
    keys.extend(subject_digests(&payload));
    keys.extend(signatures.iter().flat_map(|(_, verifier)| verifier.keys()));
    let signatures: Vec<_> = signatures
        .iter()
        .map(|(signature, verifier)| {
            json!({"signature": signature, "verifier": BASE64.encode(&verifier.pem)})
        })
        .collect();
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": envelope_hash},
            "payloadHash": {"algorithm": "sha256", "value": payload_hash},
            "signatures": signatures,
        },
    });
    Ok(Proposal { body: serde_json_canonicalizer::to_vec(&body)?, keys })
}

fn propose_hashedrekord(spec: Value) -> Result<Proposal> {
    #[derive(Deserialize)]
    struct Spec {
        data: Data,
        signature: Signature,
    }
    #[derive(Deserialize)]
    struct Data {
        hash: Hash,
    }
    #[derive(Deserialize)]
    struct Hash {
        algorithm: String,
        value: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Signature {
        content: String,
        public_key: Key,
    }
    #[derive(Deserialize)]
    struct Key {
        content: String,
    }
    let Spec { data: Data { hash }, signature } = serde_json::from_value(spec)?;
    let verifier = Verifier::from_pem(&BASE64.decode(&signature.public_key.content)?)?;
    verifier
        .key
        .verify_digest(&hex::decode(&hash.value)?, &BASE64.decode(&signature.content)?)
        .map_err(|_| Error::new("verifying signature: invalid signature"))?;
    let mut keys = vec![format!("{}:{}", hash.algorithm, hash.value)];
    keys.extend(verifier.keys());
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": hash.algorithm, "value": hash.value.to_lowercase()}},
            "signature": {
                "content": signature.content,
                "publicKey": {"content": BASE64.encode(&verifier.pem)},
            },
        },
    });
    Ok(Proposal { body: serde_json_canonicalizer::to_vec(&body)?, keys })
}

/// A valid entry of the same kind as the request's, by another key over other data; for a provenance file a
/// `hashedrekord`.
pub(crate) fn foreign_proposal(request: &[u8]) -> Result<Proposal> {
    let request: Map<String, Value> = serde_json::from_slice(request)?;
    let key = SigningKey::generate(KeyKind::P256)?;
    let pem = BASE64.encode(key.public_pem());
    let artifact: [u8; 16] = random()?;
    let kind = request.get("kind").cloned().unwrap_or_default();
    let kind = if kind == "helm" { json!("hashedrekord") } else { kind };
    let spec = if kind == "dsse" {
        let payload_type = "application/vnd.in-toto+json";
        let signature = key.sign(&pre_authentication_encoding(payload_type, &artifact))?;
        let envelope = json!({
            "payload": BASE64.encode(artifact),
            "payloadType": payload_type,
            "signatures": [{"sig": BASE64.encode(signature)}],
        });
        json!({"proposedContent": {"envelope": envelope.to_string(), "verifiers": [pem]}})
    } else {
        json!({
            "data": {"hash": {"algorithm": "sha256", "value": hex::encode(sha256(&artifact))}},
            "signature": {
                "content": BASE64.encode(key.sign(&artifact)?),
                "publicKey": {"content": pem},
            },
        })
    };
    let entry = json!({"kind": kind, "apiVersion": "0.0.1", "spec": spec});
    propose(entry.to_string().as_bytes())
}

/// A certificate or public key in the canonical form that entries hold.
struct Verifier {
    key: PublicKey,
    pem: String,
    email: Option<String>,
}

impl Verifier {
    fn from_pem(text: &[u8]) -> Result<Self> {
        let pem = pem::parse(text)?;
        let (spki, email) = match pem.tag() {
            "CERTIFICATE" => {
                let certificate = Certificate::from_der(pem.contents())?;
                (certificate.tbs_certificate.subject_public_key_info.to_der()?, email(&certificate))
            }
            "PUBLIC KEY" => (pem.contents().to_vec(), None),
            other => return Err(Error::new(format!("unsupported verifier {other}"))),
        };
        let key = PublicKey::from_spki(&spki)?;
        Ok(Self { key, pem: to_pem(pem.tag(), pem.contents()), email })
    }

    /// What the search index knows this verifier by.
    fn keys(&self) -> Vec<String> {
        let mut keys = vec![format!("sha256:{}", hex::encode(sha256(self.pem.as_bytes())))];
        keys.extend(self.email.clone());
        keys
    }
}

fn email(certificate: &Certificate) -> Option<String> {
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|name| match name {
        GeneralName::Rfc822Name(email) => Some(email.to_string()),
        _ => None,
    })
}

/// The digests of an in-toto statement's subjects.
fn subject_digests(payload: &[u8]) -> Vec<String> {
    let statement: Value = serde_json::from_slice(payload).unwrap_or_default();
    let subjects = statement.get("subject").and_then(Value::as_array);
    let digests = subjects.into_iter().flatten().filter_map(|subject| subject.get("digest"));
    digests
        .filter_map(Value::as_object)
        .flatten()
        .filter_map(|(algorithm, value)| Some(format!("{algorithm}:{}", value.as_str()?)))
        .collect()
}

/// What a DSSE signature covers.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoding =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoding.extend(payload);
    encoding
}
