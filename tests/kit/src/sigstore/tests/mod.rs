//! Tests over HTTP: a client and a signer, small enough to need no library of the product.

mod bundles;
mod faults;
mod services;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use der::Encode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sigstore_bundle::BundleV03;
use sigstore_crypto::{Keyring, SigningScheme};
use sigstore_rekor::entry::{DsseEntry, HashedRekordV2, LogEntry, RekorV2KeyDetails};
use sigstore_trust_root::{SigningConfig, TrustedRoot};
use sigstore_types::{
    Bundle, DerCertificate, DsseEnvelope, DsseSignature, KindVersion, PayloadBytes, Sha256Hash,
    SignatureBytes, TimestampToken, TransparencyLogEntry,
};
use sigstore_verify::{VerificationPolicy, Verifier};

use super::keys::{KeyKind, SigningKey};
use super::*;

const WORKFLOW: &str = "acme/charts/.github/workflows/release.yml@refs/heads/main";
const ARTIFACT: &[u8] = b"a chart";

/// One answer: status, headers in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&self.body));
        })
    }
}

/// A client small enough to need no library.
fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: answer[end + 4..].to_vec() }
}

fn post(url: &str, document: &Value) -> Answer {
    send("POST", url, &[("Content-Type", "application/json")], document.to_string().as_bytes())
}

fn get(url: &str) -> Answer {
    send("GET", url, &[], b"")
}

/// Asks Fulcio for a certificate by public key and proof of possession.
fn request_certificate(
    sigstore: &Sigstore,
    token: &str,
    key: &SigningKey,
    challenge: &str,
) -> Answer {
    let proof = key.sign(challenge.as_bytes()).unwrap();
    post(
        &format!("{}/api/v2/signingCert", sigstore.fulcio_url()),
        &json!({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": key.public_pem()},
                "proofOfPossession": BASE64.encode(proof),
            },
        }),
    )
}

fn leaf(answer: &Answer) -> DerCertificate {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let document = answer.json();
    let pem = &document["signedCertificateEmbeddedSct"]["chain"]["certificates"][0];
    DerCertificate::from_pem(pem.as_str().unwrap()).unwrap()
}

fn certificate(sigstore: &Sigstore, identity: &Identity, key: &SigningKey) -> DerCertificate {
    let challenge = identity.claims.get("email").or(identity.claims.get("sub")).unwrap();
    let token = sigstore.token(identity);
    leaf(&request_certificate(sigstore, &token, key, challenge.as_str().unwrap()))
}

fn timestamp_request(digest: &[u8], nonce: &[u8], with_certificate: bool) -> Vec<u8> {
    let request = x509_tsp::TimeStampReq {
        version: x509_tsp::TspVersion::V1,
        message_imprint: x509_tsp::MessageImprint {
            hash_algorithm: spki::AlgorithmIdentifierOwned {
                oid: const_oid::db::rfc5912::ID_SHA_256,
                parameters: None,
            },
            hashed_message: der::asn1::OctetString::new(digest).unwrap(),
        },
        req_policy: None,
        nonce: Some(der::asn1::Int::new(nonce).unwrap()),
        cert_req: with_certificate,
        extensions: None,
    };
    request.to_der().unwrap()
}

fn timestamp(sigstore: &Sigstore, signature: &[u8]) -> Answer {
    let request = timestamp_request(&Sha256::digest(signature), &[0x51, 7], true);
    send("POST", &sigstore.tsa_url(), &[("Content-Type", "application/timestamp-query")], &request)
}

fn statement() -> String {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "web-1.4.2.tgz", "digest": {"sha256": hex::encode(Sha256::digest(ARTIFACT))}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
    .to_string()
}

/// What a signer holds before it logs.
struct Signed {
    key: SigningKey,
    certificate: DerCertificate,
    envelope: DsseEnvelope,
}

impl Signed {
    fn new(sigstore: &Sigstore, identity: &Identity) -> Self {
        let key = SigningKey::generate(KeyKind::P256).unwrap();
        let certificate = certificate(sigstore, identity, &key);
        let payload_type = "application/vnd.in-toto+json";
        let payload = PayloadBytes::from_bytes(statement().as_bytes());
        let signed = rekor_entry::pre_authentication_encoding(payload_type, payload.as_bytes());
        let signature = DsseSignature::new(
            SignatureBytes::new(key.sign(&signed).unwrap()),
            sigstore_types::KeyId::default(),
        );
        let envelope = DsseEnvelope::new(payload_type, payload, signature);
        Self { key, certificate, envelope }
    }

    fn signature(&self) -> &[u8] {
        self.envelope.signature.sig.as_bytes()
    }

    fn v1_request(&self) -> Value {
        serde_json::to_value(DsseEntry::new(&self.envelope, &self.certificate).unwrap()).unwrap()
    }

    fn v2_request(&self) -> Value {
        let request = HashedRekordV2::new_with_certificate(
            &Sha256Hash::new(Sha256::digest(self.envelope.pae()).into()),
            &self.envelope.signature.sig,
            &self.certificate,
            RekorV2KeyDetails::PkixEcdsaP256Sha256,
        );
        serde_json::to_value(request).unwrap()
    }

    fn log(&self, sigstore: &Sigstore, version: RekorVersion) -> Answer {
        match version {
            RekorVersion::V1 => {
                post(&format!("{}/api/v1/log/entries", sigstore.rekor_v1_url()), &self.v1_request())
            }
            RekorVersion::V2 => {
                post(&format!("{}/api/v2/log/entries", sigstore.rekor_v2_url()), &self.v2_request())
            }
        }
    }

    fn bundle(&self, entry: TransparencyLogEntry, timestamp: Option<Vec<u8>>) -> Bundle {
        let mut bundle =
            BundleV03::with_certificate_and_dsse(self.certificate.clone(), self.envelope.clone())
                .with_tlog_entry(entry);
        if let Some(timestamp) = timestamp {
            bundle = bundle.with_rfc3161_timestamp(TimestampToken::new(timestamp));
        }
        // Through text, as everybody else reads it.
        Bundle::from_json(&bundle.into_bundle().to_json().unwrap()).unwrap()
    }
}

fn v1_entry(document: &Value) -> TransparencyLogEntry {
    let (_, entry) = document.as_object().unwrap().iter().next().unwrap();
    let entry: LogEntry = serde_json::from_value(entry.clone()).unwrap();
    entry.to_bundle_entry(KindVersion::DsseV001).unwrap()
}

fn entry(answer: &Answer, version: RekorVersion) -> TransparencyLogEntry {
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    match version {
        RekorVersion::V1 => v1_entry(&answer.json()),
        RekorVersion::V2 => serde_json::from_slice(&answer.body).unwrap(),
    }
}

fn verify(
    sigstore: &Sigstore,
    bundle: &Bundle,
    identity: &Identity,
) -> sigstore_verify::Result<()> {
    let root = TrustedRoot::from_json(&sigstore.trusted_root_json()).unwrap();
    let policy = VerificationPolicy::new(identity.subject(), sigstore.issuer_url(identity.kind()));
    Verifier::new(&root)?.verify(ARTIFACT, bundle, &policy).map(|result| {
        assert!(result.sct_verified() && result.tlog_verified() && result.certificate_verified());
    })
}

/// The whole way: certificate, signature, timestamp, log entry, bundle.
fn sign(sigstore: &Sigstore, identity: &Identity, version: RekorVersion, stamped: bool) -> Bundle {
    let signed = Signed::new(sigstore, identity);
    let timestamp = stamped.then(|| {
        let answer = timestamp(sigstore, signed.signature());
        assert!((200..=201).contains(&answer.status));
        answer.body
    });
    let logged = entry(&signed.log(sigstore, version), version);
    signed.bundle(logged, timestamp)
}

fn github() -> Identity {
    Identity::github(WORKFLOW)
}

fn start() -> Sigstore {
    Sigstore::start(Options::default())
}
