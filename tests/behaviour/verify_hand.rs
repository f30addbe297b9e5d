//! A signer that asks nobody whether what it makes is any good.
//!
//! The product's own signer refuses to go on when a time lies in its future or past, or an answer is not
//! to its question. Here everything is taken as it comes (Rekor v1, without a timestamp).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use helm_sigstore::net::{self, Method, Request, Url, header::HeaderValue};
use helm_sigstore_kit::sigstore::Identity;
use serde_json::{Value, json};
use sigstore_bundle::BundleV03;
use sigstore_crypto::KeyPair;
use sigstore_rekor::{DsseEntry, LogEntry};
use sigstore_types::{
    DerCertificate, DsseEnvelope, DsseSignature, KeyId, KindVersion, PayloadBytes,
};

use crate::support::{WORKFLOW, World};
use crate::verify_craft::block_on;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A bundle over `statement` by the usual workflow.
pub(crate) fn sign_by_hand(world: &World, statement: &Value) -> Vec<u8> {
    let key = KeyPair::generate_ecdsa_p256().unwrap();
    let certificate = certificate(world, &key);
    let payload = statement.to_string().into_bytes();
    let signature = key.sign(&sigstore_types::dsse::pae(PAYLOAD_TYPE, &payload)).unwrap();
    let signature = DsseSignature::new(signature, KeyId::default());
    let envelope = DsseEnvelope::new(PAYLOAD_TYPE, PayloadBytes::from_bytes(&payload), signature);

    let entry = DsseEntry::new(&envelope, &certificate).unwrap();
    let url = format!("{}/api/v1/log/entries", world.sigstore.rekor_v1_url());
    let entries: BTreeMap<String, LogEntry> =
        serde_json::from_slice(&post(&url, &serde_json::to_value(&entry).unwrap())).unwrap();
    let entry = entries.into_values().next().unwrap();
    let entry = entry.to_bundle_entry(KindVersion::DsseV001).unwrap();
    let bundle = BundleV03::with_certificate_and_dsse(certificate, envelope).with_tlog_entry(entry);
    bundle.into_bundle().to_json().unwrap().into_bytes()
}

fn certificate(world: &World, key: &KeyPair) -> DerCertificate {
    let token = world.sigstore.token(&Identity::github(WORKFLOW));
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let proof = key.sign(claims["sub"].as_str().unwrap().as_bytes()).unwrap();
    let request = json!({
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": key.public_key_der().unwrap().to_pem()},
            "proofOfPossession": STANDARD.encode(proof.as_bytes()),
        },
    });
    let url = format!("{}/api/v2/signingCert", world.sigstore.fulcio_url());
    let answer: Value = serde_json::from_slice(&post(&url, &request)).unwrap();
    let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    DerCertificate::from_pem(chain[0].as_str().unwrap()).unwrap()
}

fn post(url: &str, body: &Value) -> Vec<u8> {
    let json = HeaderValue::from_static("application/json");
    let request = Request::new(Method::POST, Url::parse(url).unwrap(), 1 << 20)
        .service()
        .body(json, body.to_string().into());
    let answer = block_on(async {
        net::Client::new(net::Options::default()).unwrap().send(request).await.unwrap()
    });
    assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.body));
    answer.body.to_vec()
}
