//! The documents that clients are given: trusted root, signing config, and both in one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::certificate::Authority;
use super::clock::date;
use super::error::Result;
use super::fault::Service;
use super::identity::IssuerKind;
use super::instance::Instance;
use super::keys::{KeyKind, SigningKey};
use super::{RekorVersion, tsa};

/// Who runs the services, in signing configs.
const OPERATOR: &str = "sigstore.test";

impl Instance {
    /// The trusted root (protobuf-specs `sigstore_trustroot.proto`).
    pub(crate) fn trusted_root(&self) -> Result<Value> {
        let start = date(self.valid_from)?.to_string();
        let log = |service, key: &SigningKey, id: [u8; 32]| {
            json!({
                "baseUrl": self.url(service),
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": BASE64.encode(key.spki()),
                    "keyDetails": key_details(key),
                    "validFor": {"start": start},
                },
                "logId": {"keyId": BASE64.encode(id)},
            })
        };
        let authority = |url: &str, name: &str, chain: [&Authority; 2]| {
            let certificates: Vec<_> =
                chain.iter().map(|one| json!({"rawBytes": BASE64.encode(&one.der)})).collect();
            json!({
                "subject": {"organization": OPERATOR, "commonName": name},
                "uri": url,
                "certChain": {"certificates": certificates},
                "validFor": {"start": start},
            })
        };
        let (v1, v2) = (&self.rekor_v1.noted, &self.rekor_v2.noted);
        Ok(json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                log(Service::RekorV1, &v1.key, v1.key_id()),
                log(Service::RekorV2, &v2.key, v2.key_id()),
            ],
            "certificateAuthorities": [authority(
                self.url(Service::Fulcio),
                "kit-fulcio",
                [&self.fulcio.intermediate, &self.fulcio.root],
            )],
            "ctlogs": [log(Service::Ct, &self.ct.key, self.ct.key.key_id())],
            "timestampAuthorities": [authority(
                &self.tsa_url(),
                "kit-tsa",
                [&self.tsa.leaf, &self.tsa.root],
            )],
        }))
    }

    /// The signing config, version 0.2 (protobuf-specs `sigstore_trustroot.proto`).
    pub(crate) fn signing_config(&self) -> Result<Value> {
        let start = date(self.valid_from)?.to_string();
        let service = |url: &str, version: u32| {
            json!({
                "url": url,
                "majorApiVersion": version,
                "validFor": {"start": start},
                "operator": OPERATOR,
            })
        };
        let logs: Vec<_> = self
            .options
            .rekor
            .iter()
            .map(|version| match version {
                RekorVersion::V1 => service(self.url(Service::RekorV1), 1),
                RekorVersion::V2 => service(self.url(Service::RekorV2), 2),
            })
            .collect();
        let mut config = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service(self.url(Service::Fulcio), 1)],
            "oidcUrls": [service(&self.oidc.issuer(IssuerKind::Email), 1)],
            "rekorTlogUrls": logs,
            "rekorTlogConfig": {"selector": "ANY"},
        });
        if let (true, Value::Object(fields)) = (self.options.tsa, &mut config) {
            fields.insert("tsaUrls".into(), json!([service(&self.tsa_url(), 1)]));
            fields.insert("tsaConfig".into(), json!({"selector": "ANY"}));
        }
        Ok(config)
    }

    /// Both in one, as sigstore-python's `--trust-config` takes them.
    pub(crate) fn trust_config(&self) -> Result<Value> {
        Ok(json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root()?,
            "signingConfig": self.signing_config()?,
        }))
    }

    /// Timestamp authorities are named by their full path.
    pub(crate) fn tsa_url(&self) -> String {
        format!("{}{}", self.url(Service::Tsa), tsa::PATH)
    }
}

fn key_details(key: &SigningKey) -> &'static str {
    match key.kind() {
        KeyKind::P256 => "PKIX_ECDSA_P256_SHA_256",
        KeyKind::P384 => "PKIX_ECDSA_P384_SHA_384",
        KeyKind::Ed25519 => "PKIX_ED25519",
    }
}
