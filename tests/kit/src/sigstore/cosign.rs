//! Signatures as cosign made them before bundles: a payload, and beside it, in pieces, what proves it
//! (cosign `specs/SIGNATURE_SPEC.md`, and what cosign 2.6.4 and 3.1.3 write with `--new-bundle-format=false`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use der::Encode as _;
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use super::fault::Service;
use super::http::Call;
use super::identity;
use super::keys::{KeyKind, SigningKey, random, sha256};
use super::{Identity, Sigstore};

/// The media type of a payload's layer.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The type of a signature manifest that refers to its subject.
pub const SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// One signature in pieces. Every piece may be changed before it is written.
#[derive(Clone, Debug)]
pub struct LegacySignature {
    /// What is signed.
    pub payload: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
    /// The certificate in PEM; none for a key.
    pub certificate: Option<String>,
    /// Its authorities in PEM.
    pub chain: Option<String>,
    /// The log entry with its promise: `{"SignedEntryTimestamp": …, "Payload": …}`.
    pub log: Option<Value>,
    /// The answer of the timestamp authority.
    pub timestamp: Option<Vec<u8>>,
}

impl LegacySignature {
    /// The annotations of its layer.
    pub fn annotations(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let mut set = |name: &str, text: String| all.insert(name.to_owned(), text.into());
        set("dev.cosignproject.cosign/signature", BASE64.encode(&self.signature));
        if let Some(pem) = &self.certificate {
            set("dev.sigstore.cosign/certificate", pem.clone());
        }
        if let Some(pem) = &self.chain {
            set("dev.sigstore.cosign/chain", pem.clone());
        }
        if let Some(log) = &self.log {
            set("dev.sigstore.cosign/bundle", log.to_string());
        }
        if let Some(token) = &self.timestamp {
            let stamp = json!({"SignedRFC3161Timestamp": BASE64.encode(token)});
            set("dev.sigstore.cosign/rfc3161timestamp", stamp.to_string());
        }
        all
    }
}

/// The payload over the manifest with this digest; `optional` is what `-a` adds.
pub fn simple_signing(reference: &str, digest: &str, optional: &Value) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": optional,
    })
    .to_string()
    .into_bytes()
}

/// The manifest and the config of the tag `sha256-HEX.sig`: an image whose layers are the payloads.
pub fn signature_image(signatures: &[LegacySignature]) -> (Value, Vec<u8>) {
    let digest = |bytes: &[u8]| format!("sha256:{}", hex::encode(sha256(bytes)));
    let layers: Vec<_> = signatures
        .iter()
        .map(|one| {
            json!({
                "mediaType": SIMPLE_SIGNING,
                "size": one.payload.len(),
                "digest": digest(&one.payload),
                "annotations": one.annotations(),
            })
        })
        .collect();
    let diff_ids: Vec<_> = signatures.iter().map(|one| digest(&one.payload)).collect();
    let history: Vec<_> =
        signatures.iter().map(|_| json!({"created": "0001-01-01T00:00:00Z"})).collect();
    let config = json!({
        "architecture": "",
        "created": "0001-01-01T00:00:00Z",
        "history": history,
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": {},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "size": config.len(),
            "digest": digest(&config),
        },
        "layers": layers,
    });
    (manifest, config)
}

impl Sigstore {
    /// Signs `payload` as `identity`, logs it in Rekor v1 and, where asked, timestamps it.
    ///
    /// # Panics
    /// If a service of this instance says no.
    pub fn sign_legacy(
        &self,
        identity: &Identity,
        payload: &[u8],
        stamped: bool,
    ) -> LegacySignature {
        self.try_sign_legacy(Some(identity), payload, stamped)
            .unwrap_or_else(|error| panic!("not signed: {error}"))
            .0
    }

    /// The same with a fresh P-256 key; answers its public half in PEM too.
    ///
    /// # Panics
    /// If a service of this instance says no.
    pub fn sign_legacy_by_key(&self, payload: &[u8]) -> (LegacySignature, String) {
        self.try_sign_legacy(None, payload, false)
            .unwrap_or_else(|error| panic!("not signed: {error}"))
    }

    /// Logs a signature by a certificate that was made elsewhere in this instance's log too.
    ///
    /// # Panics
    /// If the log says no, or there is no certificate.
    pub fn log_legacy_again(&self, signature: &LegacySignature) {
        let signer = signature.certificate.as_deref().unwrap_or_default();
        self.log_legacy(&signature.payload, &signature.signature, signer)
            .unwrap_or_else(|error| panic!("not logged: {error}"));
    }

    fn try_sign_legacy(
        &self,
        identity: Option<&Identity>,
        payload: &[u8],
        stamped: bool,
    ) -> Result<(LegacySignature, String)> {
        let key = SigningKey::generate(KeyKind::P256)?;
        let certificates = match identity {
            Some(identity) => self.certify(identity, &key)?,
            None => Vec::new(),
        };
        let (certificate, chain) = match certificates.split_first() {
            Some((leaf, authorities)) => (Some(leaf.clone()), Some(authorities.concat())),
            None => (None, None),
        };
        let signature = key.sign(payload)?;
        let timestamp = if stamped { Some(self.stamp(&signature)?) } else { None };
        let signer = certificate.clone().unwrap_or_else(|| key.public_pem());
        let log = self.log_legacy(payload, &signature, &signer)?;
        let payload = payload.to_vec();
        let made =
            LegacySignature { payload, signature, certificate, chain, log: Some(log), timestamp };
        Ok((made, key.public_pem()))
    }

    /// Leaf, intermediate and root in PEM.
    fn certify(&self, identity: &Identity, key: &SigningKey) -> Result<Vec<String>> {
        let challenge = identity::challenge(&identity.claims);
        let request = json!({
            "credentials": {"oidcIdentityToken": self.token(identity)},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": key.public_pem()},
                "proofOfPossession": BASE64.encode(key.sign(challenge.as_bytes())?),
            },
        });
        let answer = self.post(Service::Fulcio, "/api/v2/signingCert", request.to_string())?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let certificates = answer
            .pointer("/signedCertificateEmbeddedSct/chain/certificates")
            .and_then(Value::as_array)
            .ok_or_else(|| Error::new(format!("no certificate: {answer}")))?;
        Ok(certificates.iter().filter_map(|pem| pem.as_str().map(str::to_owned)).collect())
    }

    fn stamp(&self, signature: &[u8]) -> Result<Vec<u8>> {
        let request = x509_tsp::TimeStampReq {
            version: x509_tsp::TspVersion::V1,
            message_imprint: x509_tsp::MessageImprint {
                hash_algorithm: spki::AlgorithmIdentifierOwned {
                    oid: const_oid::db::rfc5912::ID_SHA_256,
                    parameters: None,
                },
                hashed_message: der::asn1::OctetString::new(sha256(signature))?,
            },
            req_policy: None,
            nonce: Some(der::asn1::Int::new(&random::<7>()?.map(|byte| byte & 0x7f | 1))?),
            cert_req: true,
            extensions: None,
        };
        self.post(Service::Tsa, "/api/v1/timestamp", request.to_der()?)
    }

    /// Logs a signature as cosign does and answers what cosign keeps of the answer (`RekorBundle`).
    fn log_legacy(&self, payload: &[u8], signature: &[u8], signer: &str) -> Result<Value> {
        let entry = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex::encode(sha256(payload))}},
                "signature": {
                    "content": BASE64.encode(signature),
                    "publicKey": {"content": BASE64.encode(signer)},
                },
            },
        });
        let answer = self.post(Service::RekorV1, "/api/v1/log/entries", entry.to_string())?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let entry = answer.as_object().and_then(|entries| entries.values().next());
        let entry = entry.ok_or_else(|| Error::new(format!("no entry: {answer}")))?;
        let field = |name: &str| entry.get(name).cloned().unwrap_or_default();
        Ok(json!({
            "SignedEntryTimestamp": entry.pointer("/verification/signedEntryTimestamp"),
            "Payload": {
                "body": field("body"),
                "integratedTime": field("integratedTime"),
                "logIndex": field("logIndex"),
                "logID": field("logID"),
            },
        }))
    }

    /// What a service answers to a request that came over no wire.
    fn post(&self, service: Service, path: &str, body: impl Into<Bytes>) -> Result<Vec<u8>> {
        let mut headers = HeaderMap::new();
        let media_type = match service {
            Service::Tsa => "application/timestamp-query",
            _ => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let call = Call {
            method: "POST".into(),
            path: path.into(),
            query: Vec::new(),
            headers,
            body: body.into(),
            fault: None,
        };
        let reply = self.instance.answer(service, &call);
        reply.success().ok_or_else(|| Error::new(format!("{path} says no")))
    }
}
