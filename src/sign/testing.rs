//! Stand-ins for the services, as far as the Signer can tell them from real ones: certificates, tokens
//! and entries have the right form and content, and signatures that only a verifier would miss.

pub(super) mod instance;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerInfos};
use const_oid::db::rfc5280::{ID_CE_EXT_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME, ID_KP_CODE_SIGNING};
use const_oid::db::rfc5911::ID_SIGNED_DATA;
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use const_oid::{AssociatedOid as _, ObjectIdentifier};
use der::asn1::{
    Any, BitString, GeneralizedTime, Ia5String, Int, OctetString, SetOfVec, UtcTime, Utf8StringRef,
};
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sigstore_crypto::KeyPair;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::request::CertReq;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_tsp::{TimeStampReq, TspVersion, TstInfo};

use super::token::tests::jwt;
use crate::net::testing::{Reply, Seen, reply};

pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const IDENTITY: &str = "release@acme.example";

/// What the stand-ins say; the tests bend one field each.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) identity: String,
    pub(super) issuer: String,
    /// Of the leaf, in seconds from now.
    pub(super) begins: i64,
    pub(super) ends: i64,
    pub(super) usage: ObjectIdentifier,
    pub(super) other_key: bool,
    /// Of timestamps and log entries, in seconds from now.
    pub(super) ahead: i64,
    pub(super) nonce: Option<u8>,
    pub(super) imprint: Option<u8>,
    pub(super) status: u8,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            identity: IDENTITY.to_owned(),
            issuer: ISSUER.to_owned(),
            begins: 0,
            ends: 600,
            usage: ID_KP_CODE_SIGNING,
            other_key: false,
            ahead: 0,
            nonce: None,
            imprint: None,
            status: 0,
        }
    }
}

impl Answers {
    /// What a whole, honest instance answers to a request.
    pub(super) fn to(&self, seen: &Seen) -> Reply {
        match seen.path() {
            "/api/v2/signingCert" => {
                let request: Value = serde_json::from_slice(&seen.body).unwrap();
                let csr = request["certificateSigningRequest"].as_str().unwrap();
                let chain = [self.leaf(csr), self.leaf(csr)];
                let chain = json!({"chain": {"certificates": chain}});
                reply(201, &[], json!({"signedCertificateEmbeddedSct": chain}).to_string())
            }
            "/api/v1/timestamp" => reply(201, &[], self.stamp(&seen.body)),
            "/api/v1/log/entries" => {
                let request: Value = serde_json::from_slice(&seen.body).unwrap();
                reply(201, &[], self.entry_v1(&body_v1(&request)).to_string())
            }
            "/api/v2/log/entries" => {
                let request: Value = serde_json::from_slice(&seen.body).unwrap();
                reply(201, &[], entry_v2(&body_v2(&request)).to_string())
            }
            _ => reply(404, &[], ""),
        }
    }

    /// A leaf over the key of a request, in PEM with the line ends of the other world.
    pub(super) fn leaf(&self, csr: &str) -> String {
        let csr = pem::parse(STANDARD.decode(csr).unwrap()).unwrap();
        assert_eq!(csr.tag(), "CERTIFICATE REQUEST");
        let csr = CertReq::from_der(csr.contents()).unwrap();
        let other = KeyPair::generate_ecdsa_p256().unwrap();
        let other_public = other.public_key_der().unwrap();
        let spki = if self.other_key {
            SubjectPublicKeyInfoOwned::from_der(other_public.as_bytes()).unwrap()
        } else {
            csr.info.public_key
        };
        let name = Ia5String::new(&self.identity).unwrap();
        let name = if self.identity.contains("://") {
            GeneralName::UniformResourceIdentifier(name)
        } else {
            GeneralName::Rfc822Name(name)
        };
        let extension = |id, value: Vec<u8>| Extension {
            extn_id: id,
            critical: false,
            extn_value: OctetString::new(value).unwrap(),
        };
        let issuer = Utf8StringRef::new(&self.issuer).unwrap();
        let algorithm = AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA_256, parameters: None };
        let tbs = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&[1]).unwrap(),
            signature: algorithm.clone(),
            issuer: Name::default(),
            validity: Validity { not_before: time(self.begins), not_after: time(self.ends) },
            subject: Name::default(),
            subject_public_key_info: spki,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(vec![
                extension(
                    ID_CE_EXT_KEY_USAGE,
                    ExtendedKeyUsage(vec![self.usage]).to_der().unwrap(),
                ),
                extension(ID_CE_SUBJECT_ALT_NAME, SubjectAltName(vec![name]).to_der().unwrap()),
                extension(
                    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8"),
                    issuer.to_der().unwrap(),
                ),
            ]),
        };
        let signature = other.sign(&tbs.to_der().unwrap()).unwrap();
        let leaf = x509_cert::Certificate {
            tbs_certificate: tbs,
            signature_algorithm: algorithm,
            signature: BitString::from_bytes(signature.as_bytes()).unwrap(),
        };
        assert_eq!(SubjectAltName::OID, ID_CE_SUBJECT_ALT_NAME);
        pem::encode(&pem::Pem::new("CERTIFICATE", leaf.to_der().unwrap()))
    }

    /// An RFC 3161 answer, unsigned.
    pub(super) fn stamp(&self, query: &[u8]) -> Vec<u8> {
        let query = TimeStampReq::from_der(query).unwrap();
        assert!(query.cert_req);
        let mut imprint = query.message_imprint;
        if let Some(byte) = self.imprint {
            imprint.hashed_message = OctetString::new([byte; 32]).unwrap();
        }
        let nonce = match self.nonce {
            Some(byte) => Int::new(&[byte]).unwrap(),
            None => query.nonce.unwrap(),
        };
        let info = TstInfo {
            version: TspVersion::V1,
            policy: ObjectIdentifier::new_unwrap("1.2.3.4.1"),
            message_imprint: imprint,
            serial_number: Int::new(&[1]).unwrap(),
            gen_time: GeneralizedTime::from_unix_duration(since_epoch(self.ahead)).unwrap(),
            accuracy: None,
            ordering: false,
            nonce: Some(nonce),
            tsa: None,
            extensions: None,
        };
        let info = OctetString::new(info.to_der().unwrap()).unwrap();
        let signed = SignedData {
            version: CmsVersion::V3,
            digest_algorithms: SetOfVec::default(),
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4"),
                econtent: Some(Any::encode_from(&info).unwrap()),
            },
            certificates: None,
            crls: None,
            signer_infos: SignerInfos(SetOfVec::default()),
        };
        let token = ContentInfo {
            content_type: ID_SIGNED_DATA,
            content: Any::encode_from(&signed).unwrap(),
        };
        let mut content = Vec::new();
        // PKIStatusInfo with its status only.
        content.extend([0x30, 3, 2, 1, self.status]);
        if self.status < 2 {
            content.extend(token.to_der().unwrap());
        }
        Any::new(der::Tag::Sequence, content).unwrap().to_der().unwrap()
    }

    /// A v1 entry with this body: the first of a fresh log.
    pub(super) fn entry_v1(&self, body: &Value) -> Value {
        let body = body.to_string();
        json!({"24296fb24b8ad77a": {
            "body": STANDARD.encode(&body),
            "integratedTime": Timestamp::now().as_second() + self.ahead,
            "logID": "11".repeat(32),
            "logIndex": 0,
            "verification": {
                "signedEntryTimestamp": STANDARD.encode("SET"),
                "inclusionProof": {
                    "checkpoint": checkpoint(&body), "hashes": [], "logIndex": 0,
                    "rootHash": hex::encode(leaf_hash(&body)), "treeSize": 1,
                },
            },
        }})
    }
}

/// The canonical body that Rekor v1 makes of a request.
pub(super) fn body_v1(request: &Value) -> Value {
    if request["kind"] != "dsse" {
        return request.clone();
    }
    let proposed = &request["spec"]["proposedContent"];
    let envelope = proposed["envelope"].as_str().unwrap();
    let parsed: Value = serde_json::from_str(envelope).unwrap();
    let payload = STANDARD.decode(parsed["payload"].as_str().unwrap()).unwrap();
    let sha256 =
        |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex::encode(Sha256::digest(bytes))});
    json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "envelopeHash": sha256(envelope.as_bytes()),
        "payloadHash": sha256(&payload),
        "signatures": [{
            "signature": parsed["signatures"][0]["sig"],
            "verifier": proposed["verifiers"][0],
        }],
    }})
}

/// The canonical body that Rekor v2 makes of a request.
pub(super) fn body_v2(request: &Value) -> Value {
    let request = &request["hashedRekordRequestV002"];
    json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
        "data": {"algorithm": "SHA2_256", "digest": request["digest"]},
        "signature": request["signature"],
    }}})
}

/// A v2 entry with this body, as protojson writers do it: zero values left out.
pub(super) fn entry_v2(body: &Value) -> Value {
    let body = body.to_string();
    json!({
        "logId": {"keyId": STANDARD.encode([0x22; 32])},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "inclusionProof": {
            "rootHash": STANDARD.encode(leaf_hash(&body)), "treeSize": "1",
            "checkpoint": {"envelope": checkpoint(&body)},
        },
        "canonicalizedBody": STANDARD.encode(&body),
    })
}

fn leaf_hash(body: &str) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(body).finalize().into()
}

fn checkpoint(body: &str) -> String {
    format!(
        "log.example\n1\n{}\n\n\u{2014} log.example {}\n",
        STANDARD.encode(leaf_hash(body)),
        STANDARD.encode([7; 68]),
    )
}

/// A token for [`IDENTITY`], good for ten minutes.
pub(super) fn token() -> String {
    jwt(&json!({"iss": ISSUER, "sub": "1", "email": IDENTITY, "email_verified": true,
        "aud": "sigstore", "exp": Timestamp::now().as_second() + 600}))
}

fn since_epoch(ahead: i64) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(Timestamp::now().as_second() + ahead).unwrap())
}

fn time(ahead: i64) -> Time {
    Time::UtcTime(UtcTime::from_unix_duration(since_epoch(ahead)).unwrap())
}
