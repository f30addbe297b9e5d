//! The transparency log of version 2 (rekor-tiles): `hashedrekord` 0.0.2 alone, no entry timestamps, no search.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use der::{Decode, Encode};
use hyper::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};
use x509_cert::Certificate;

use super::error::{Error, Result};
use super::fault::Fault;
use super::fulcio::failure;
use super::http::{Call, Reply, lock};
use super::keys::{KeyKind, PublicKey, SigningKey, random, sha256};
use super::merkle::{Tree, leaf_hash};
use super::note::{Noted, with_signature_of};

/// The checkpoint's origin. Clients demand that it equals the host, without port, of the log's URL.
pub(crate) const ORIGIN: &str = "localhost";

/// The log.
pub(crate) struct RekorV2 {
    pub(crate) noted: Noted,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tree: Tree,
    bodies: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateRequest {
    #[serde(rename = "hashedRekordRequestV002")]
    request: HashedRekord,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekord {
    digest: String,
    signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    content: String,
    verifier: Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verifier {
    key_details: String,
    #[serde(default, alias = "x509_certificate")]
    x509_certificate: Option<RawBytes>,
    #[serde(default)]
    public_key: Option<RawBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBytes {
    raw_bytes: String,
}

impl RekorV2 {
    /// A log with so many entries of others in it.
    pub(crate) fn new(earlier: usize) -> Result<Self> {
        let noted = Noted { name: ORIGIN.into(), key: SigningKey::generate(KeyKind::Ed25519)? };
        let mut state = State::default();
        for _ in 0..earlier {
            state.append(foreign_body()?);
        }
        Ok(Self { noted, state: Mutex::new(state) })
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/healthz") => Reply::json(200, &json!({"status": "SERVING"})),
            ("GET", "/api/v2/checkpoint") => {
                let state = lock(&self.state);
                match self.checkpoint(&state.tree, None) {
                    Ok(text) => Reply::text(200, text),
                    Err(error) => failure(500, &error.to_string()),
                }
            }
            ("POST", "/api/v2/log/entries") => match self.create(call) {
                Ok(reply) => reply,
                Err(error) => failure(500, &error.to_string()),
            },
            _ => failure(404, "Not Found"),
        }
    }

    fn create(&self, call: &Call) -> Result<Reply> {
        let Ok(body) = canonical_body(&call.body) else {
            return Ok(failure(400, "invalid hashedrekord request"));
        };
        let fault = call.fault.as_ref();
        let mut state = lock(&self.state);
        let other = matches!(fault, Some(Fault::DuplicateOfAnother(_) | Fault::EntryForAnother(_)));
        let body = if other { foreign_body()? } else { body };
        let known = state.tree.position(&leaf_hash(&body));
        let index = known.unwrap_or_else(|| state.append(body));
        let pretended = matches!(fault, Some(Fault::Duplicate(_) | Fault::DuplicateOfAnother(_)));
        if pretended || known.is_some() {
            let message = format!("an equivalent entry already exists at index {index}");
            let header = HeaderName::from_static("x-log-index");
            return Ok(failure(409, &message).with_header(header, index.to_string()));
        }
        let mut proof = state.tree.inclusion_proof(index);
        if matches!(fault, Some(Fault::WrongInclusionProof(_))) {
            proof.push([7; 32]);
        }
        let hashes: Vec<_> = proof.iter().map(|hash| BASE64.encode(hash)).collect();
        let body = state.bodies.get(index).map(Vec::as_slice).unwrap_or_default();
        // Every field is written, empty or not, and 64-bit numbers are text: the real service's gateway does so.
        let document = json!({
            "logIndex": index.to_string(),
            "logId": {"keyId": BASE64.encode(self.noted.key_id())},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "integratedTime": "0",
            "inclusionPromise": null,
            "inclusionProof": {
                "logIndex": index.to_string(),
                "rootHash": BASE64.encode(state.tree.root()),
                "treeSize": state.tree.size().to_string(),
                "hashes": hashes,
                "checkpoint": {"envelope": self.checkpoint(&state.tree, fault)?},
            },
            "canonicalizedBody": BASE64.encode(body),
        });
        Ok(Reply::json(201, &document))
    }

    fn checkpoint(&self, tree: &Tree, fault: Option<&Fault>) -> Result<String> {
        let text = self.noted.checkpoint(ORIGIN, tree.size(), &tree.root())?;
        if matches!(fault, Some(Fault::WrongCheckpoint(_))) {
            let other = self.noted.checkpoint(ORIGIN, tree.size() + 1, &tree.root())?;
            return Ok(with_signature_of(&text, &other));
        }
        Ok(text)
    }
}

impl State {
    fn append(&mut self, body: Vec<u8>) -> usize {
        let index = self.tree.append(leaf_hash(&body));
        self.bodies.push(body);
        index
    }
}

/// Checks a request and gives the body that is logged for it.
fn canonical_body(request: &[u8]) -> Result<Vec<u8>> {
    let CreateRequest { request } = serde_json::from_slice(request)?;
    let HashedRekord { digest, signature: Signature { content, verifier } } = request;
    let algorithm = match verifier.key_details.as_str() {
        "PKIX_ECDSA_P256_SHA_256"
        | "PKIX_RSA_PKCS1V15_2048_SHA256"
        | "PKIX_RSA_PKCS1V15_3072_SHA256"
        | "PKIX_RSA_PKCS1V15_4096_SHA256" => "SHA2_256",
        "PKIX_ECDSA_P384_SHA_384" => "SHA2_384",
        "PKIX_ECDSA_P521_SHA_512" => "SHA2_512",
        other => return Err(Error::new(format!("unsupported key details {other}"))),
    };
    let (spki, key) = match (&verifier.x509_certificate, &verifier.public_key) {
        (Some(certificate), None) => {
            let der = BASE64.decode(&certificate.raw_bytes)?;
            let parsed = Certificate::from_der(&der)?;
            let spki = parsed.tbs_certificate.subject_public_key_info.to_der()?;
            (spki, json!({"x509Certificate": {"rawBytes": BASE64.encode(der)}}))
        }
        (None, Some(key)) => {
            let der = BASE64.decode(&key.raw_bytes)?;
            let fields = json!({"publicKey": {"rawBytes": BASE64.encode(&der)}});
            (der, fields)
        }
        _ => return Err(Error::new("one of certificate and public key is needed")),
    };
    let digest = BASE64.decode(&digest)?;
    let signature = BASE64.decode(&content)?;
    PublicKey::from_spki(&spki)?.verify_digest(&digest, &signature)?;
    let mut verified = key;
    if let Value::Object(fields) = &mut verified {
        fields.insert("keyDetails".into(), verifier.key_details.into());
    }
    let body = json!({
        "apiVersion": "0.0.2",
        "kind": "hashedrekord",
        "spec": {"hashedRekordV002": {
            "data": {"algorithm": algorithm, "digest": BASE64.encode(digest)},
            "signature": {"content": BASE64.encode(signature), "verifier": verified},
        }},
    });
    Ok(serde_json_canonicalizer::to_vec(&body)?)
}

/// A valid body by another key over other data.
fn foreign_body() -> Result<Vec<u8>> {
    let key = SigningKey::generate(KeyKind::P256)?;
    let artifact: [u8; 16] = random()?;
    let request = json!({"hashedRekordRequestV002": {
        "digest": BASE64.encode(sha256(&artifact)),
        "signature": {
            "content": BASE64.encode(key.sign(&artifact)?),
            "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "publicKey": {"rawBytes": BASE64.encode(key.spki())},
            },
        },
    }});
    canonical_body(request.to_string().as_bytes())
}
