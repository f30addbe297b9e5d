//! Whole bundles, made over HTTP and judged by another implementation.

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
        let signed = rekor_v1::pre_authentication_encoding(payload_type, payload.as_bytes());
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

#[test]
fn bundles_of_every_identity_and_log_verify() {
    let sigstore = start();
    let identities = [
        github(),
        Identity::gitlab("acme/charts//.gitlab-ci.yml@refs/tags/v1"),
        Identity::email("jane@example.com"),
    ];
    for identity in &identities {
        for version in [RekorVersion::V1, RekorVersion::V2] {
            let bundle = sign(&sigstore, identity, version, true);
            verify(&sigstore, &bundle, identity)
                .unwrap_or_else(|error| panic!("{:?} {version:?}: {error}", identity.kind()));
        }
    }
}

#[test]
fn a_v1_entry_s_time_suffices_without_a_timestamp() {
    let sigstore = start();
    let bundle = sign(&sigstore, &github(), RekorVersion::V1, false);
    verify(&sigstore, &bundle, &github()).unwrap();
}

#[test]
fn the_first_entries_of_empty_logs_verify() {
    let sigstore = Sigstore::start(Options { earlier_entries: 0, ..Options::default() });
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let bundle = sign(&sigstore, &github(), version, true);
        verify(&sigstore, &bundle, &github()).unwrap();
    }
}

#[test]
fn another_instance_s_bundle_does_not_verify() {
    let (one, other) = (start(), start());
    let bundle = sign(&one, &github(), RekorVersion::V1, true);
    assert!(verify(&other, &bundle, &github()).is_err());
    assert!(verify(&one, &bundle, &Identity::email("jane@example.com")).is_err());
}

#[test]
fn certificates_hold_the_claims() {
    let sigstore = start();
    let key = SigningKey::generate(KeyKind::P256).unwrap();
    let der = certificate(&sigstore, &github(), &key);
    let info = sigstore_crypto::parse_certificate_info(&der).unwrap();
    assert_eq!(info.issuer.as_deref(), Some(sigstore.issuer_url(IssuerKind::GitHub).as_str()));
    let text = format!("{info:?}");
    for claim in [
        "https://github.com/acme/charts",
        "refs/heads/main",
        "https://github.com/acme/charts/actions/runs/7412589630/attempts/1",
        "github-hosted",
        "public",
    ] {
        assert!(text.contains(claim), "{claim} is missing in {text}");
    }
}

#[test]
fn a_certificate_request_is_as_good_as_a_key() {
    use x509_cert::request::{CertReq, CertReqInfo, Version};
    let sigstore = start();
    let key = SigningKey::generate(KeyKind::P256).unwrap();
    let info = CertReqInfo {
        version: Version::V1,
        subject: x509_cert::name::Name::default(),
        public_key: der::Decode::from_der(key.spki()).unwrap(),
        attributes: Default::default(),
    };
    let signed = |signer: &SigningKey| {
        let signature = signer.sign(&info.to_der().unwrap()).unwrap();
        let request = CertReq {
            algorithm: key.signature_algorithm(),
            signature: der::asn1::BitString::from_bytes(&signature).unwrap(),
            info: info.clone(),
        };
        let pem = keys::to_pem("CERTIFICATE REQUEST", &request.to_der().unwrap());
        let token = sigstore.token(&github());
        send(
            "POST",
            &format!("{}/api/v2/signingCert", sigstore.fulcio_url()),
            &[("Authorization", &format!("Bearer {token}"))],
            json!({"certificateSigningRequest": BASE64.encode(pem)}).to_string().as_bytes(),
        )
    };
    leaf(&signed(&key));
    assert_eq!(signed(&SigningKey::generate(KeyKind::P256).unwrap()).status, 400);
}

#[test]
fn fulcio_refuses_bad_tokens_and_unproved_keys() {
    let sigstore = start();
    let key = SigningKey::generate(KeyKind::P256).unwrap();
    let subject = "repo:acme/charts:ref:refs/heads/main";
    let ask = |identity: Identity, challenge: &str| {
        request_certificate(&sigstore, &sigstore.token(&identity), &key, challenge).status
    };
    assert_eq!(ask(github(), subject), 200);
    assert_eq!(ask(github().with_audience("other"), subject), 401);
    assert_eq!(ask(github().expires_in(-10), subject), 401);
    assert_eq!(ask(github(), "somebody else"), 400);
    assert_eq!(request_certificate(&sigstore, "no token", &key, subject).status, 401);
}

#[test]
fn timestamps_are_accepted_and_end_with_their_authority() {
    let sigstore = start();
    let root = TrustedRoot::from_json(&sigstore.trusted_root_json()).unwrap();
    let authority = root.tsa_authorities().remove(0);
    let judge = |answer: &Answer, signature: &[u8]| {
        sigstore_tsa::verify_timestamp_for_authority(
            &TimestampToken::new(answer.body.clone()),
            &SignatureBytes::from_bytes(signature),
            &authority,
        )
    };
    let answer = timestamp(&sigstore, b"signature");
    assert_eq!(answer.status, 201);
    assert!(answer.head.contains("content-type: application/timestamp-reply"));
    judge(&answer, b"signature").unwrap();
    assert!(judge(&answer, b"other").is_err());

    sigstore.set_fault(Fault::TimestampByUnknownAuthority);
    assert!(judge(&timestamp(&sigstore, b"signature"), b"signature").is_err());
    sigstore.set_fault(Fault::WrongImprint);
    assert!(judge(&timestamp(&sigstore, b"signature"), b"signature").is_err());
    sigstore.set_fault(Fault::TimestampWith200);
    let answer = timestamp(&sigstore, b"signature");
    assert_eq!(answer.status, 200);
    judge(&answer, b"signature").unwrap();
}

#[test]
fn a_timestamp_echoes_the_nonce_unless_told_otherwise() {
    let sigstore = start();
    let nonce = [2, 2, 0x51, 7];
    let holds = |answer: Answer| answer.body.windows(4).any(|window| window == nonce);
    assert!(holds(timestamp(&sigstore, b"signature")));
    sigstore.set_fault(Fault::WrongNonce);
    assert!(!holds(timestamp(&sigstore, b"signature")));
}

#[test]
fn the_same_entry_twice_is_a_conflict_that_names_the_first() {
    let sigstore = start();
    let signed = Signed::new(&sigstore, &github());
    let first = signed.log(&sigstore, RekorVersion::V1);
    let uuid = first.json().as_object().unwrap().keys().next().unwrap().clone();
    let second = signed.log(&sigstore, RekorVersion::V1);
    assert_eq!(second.status, 409);
    let location = format!("/api/v1/log/entries/{uuid}");
    assert!(second.head.contains(&format!("location: {location}")), "{}", second.head);
    assert!(second.json()["message"].as_str().unwrap().contains(&uuid));
    let existing = get(&format!("{}{location}", sigstore.rekor_v1_url()));
    assert_eq!(existing.status, 200);
    let bundle = signed.bundle(v1_entry(&existing.json()), None);
    verify(&sigstore, &bundle, &github()).unwrap();

    signed.log(&sigstore, RekorVersion::V2);
    let conflict = signed.log(&sigstore, RekorVersion::V2);
    assert_eq!(conflict.status, 409);
    assert!(conflict.head.contains("x-log-index: 3"), "{}", conflict.head);
}

#[test]
fn rekor_refuses_signatures_that_do_not_verify() {
    let sigstore = start();
    let one = Signed::new(&sigstore, &github());
    let mut other = Signed::new(&sigstore, &github());
    other.certificate = one.certificate.clone();
    for version in [RekorVersion::V1, RekorVersion::V2] {
        assert_eq!(other.log(&sigstore, version).status, 400);
    }
    let hash = hex::encode(Sha256::digest(ARTIFACT));
    let entry = json!({"kind": "hashedrekord", "apiVersion": "0.0.1", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": hash}},
        "signature": {
            "content": BASE64.encode(one.key.sign(b"other").unwrap()),
            "publicKey": {"content": BASE64.encode(one.key.public_pem())},
        },
    }});
    let url = format!("{}/api/v1/log/entries", sigstore.rekor_v1_url());
    assert_eq!(post(&url, &entry).status, 400);
}

#[test]
fn rekor_finds_entries_by_index_and_by_subject() {
    let sigstore = start();
    let logged = Signed::new(&sigstore, &github()).log(&sigstore, RekorVersion::V1).json();
    let (uuid, entry) = logged.as_object().unwrap().iter().next().unwrap();
    let base = sigstore.rekor_v1_url();
    let by_index = get(&format!("{base}/api/v1/log/entries?logIndex={}", entry["logIndex"]));
    assert!(by_index.json().get(uuid).is_some());
    let hash = format!("sha256:{}", hex::encode(Sha256::digest(ARTIFACT)));
    let found = post(&format!("{base}/api/v1/index/retrieve"), &json!({"hash": hash}));
    assert_eq!(found.json(), json!([uuid]));
    let url = format!("{base}/api/v1/log/entries/retrieve");
    let found = post(&url, &json!({"entryUUIDs": [uuid]}));
    assert!(found.json()[0].get(uuid).is_some());
    assert_eq!(get(&format!("{base}/api/v1/log/entries/00")).status, 404);
}

#[test]
fn every_fault_in_what_is_issued_makes_the_bundle_fail() {
    let sigstore = start();
    let cases = [
        (Fault::CertificateForAnotherSubject, RekorVersion::V1),
        (Fault::NoSct, RekorVersion::V1),
        (Fault::SctByUnknownLog, RekorVersion::V1),
        (Fault::EntryForAnother(Service::RekorV1), RekorVersion::V1),
        (Fault::EntryForAnother(Service::RekorV2), RekorVersion::V2),
        (Fault::WrongSet, RekorVersion::V1),
        (Fault::WrongCheckpoint(Service::RekorV1), RekorVersion::V1),
        (Fault::WrongCheckpoint(Service::RekorV2), RekorVersion::V2),
        (Fault::WrongInclusionProof(Service::RekorV1), RekorVersion::V1),
        (Fault::WrongInclusionProof(Service::RekorV2), RekorVersion::V2),
        (Fault::TimestampByUnknownAuthority, RekorVersion::V1),
        (Fault::WrongImprint, RekorVersion::V2),
    ];
    for (fault, version) in cases {
        sigstore.set_fault(fault.clone());
        let bundle = sign(&sigstore, &github(), version, true);
        assert!(verify(&sigstore, &bundle, &github()).is_err(), "{fault:?}");
        sigstore.clear_faults();
        let bundle = sign(&sigstore, &github(), version, true);
        verify(&sigstore, &bundle, &github()).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
}

#[test]
fn a_certificate_for_another_key_cannot_be_logged() {
    let sigstore = start();
    sigstore.set_fault(Fault::CertificateForAnotherKey);
    let signed = Signed::new(&sigstore, &github());
    assert_eq!(signed.log(&sigstore, RekorVersion::V1).status, 400);
}

#[test]
fn pretended_conflicts_point_at_the_own_or_at_another_entry() {
    let sigstore = start();
    let cases = [
        (Fault::Duplicate(Service::RekorV1), true),
        (Fault::DuplicateOfAnother(Service::RekorV1), false),
    ];
    for (fault, own) in cases {
        sigstore.set_fault_times(fault, 1);
        let signed = Signed::new(&sigstore, &github());
        let answer = signed.log(&sigstore, RekorVersion::V1);
        assert_eq!(answer.status, 409);
        let location =
            answer.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        let existing = get(&format!("{}{location}", sigstore.rekor_v1_url()));
        let bundle = signed.bundle(v1_entry(&existing.json()), None);
        assert_eq!(verify(&sigstore, &bundle, &github()).is_ok(), own);
    }
}

#[test]
fn failures_are_worded_as_the_services_word_them() {
    let sigstore = start();
    sigstore.set_fault(Fault::Status(Service::Fulcio, 401));
    sigstore.set_fault(Fault::Throttle(Service::RekorV1, 7));
    sigstore.set_fault(Fault::Status(Service::Tsa, 500));
    let answer = post(&format!("{}/api/v2/signingCert", sigstore.fulcio_url()), &json!({}));
    assert_eq!((answer.status, &answer.json()["code"]), (401, &json!(16)));
    let answer = post(&format!("{}/api/v1/log/entries", sigstore.rekor_v1_url()), &json!({}));
    assert_eq!((answer.status, &answer.json()["code"]), (429, &json!(429)));
    assert!(answer.head.contains("retry-after: 7"));
    assert_eq!(timestamp(&sigstore, b"x").status, 500);
}

#[test]
fn a_service_that_hangs_does_not_keep_the_instance_from_ending() {
    let sigstore = start();
    sigstore.set_fault(Fault::Hang(Service::Tsa));
    let address = sigstore.url(Service::Tsa).replace("http://", "");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0; 1]).is_err());
    drop(sigstore);
}

#[test]
fn requests_are_counted_by_service() {
    let sigstore = start();
    sign(&sigstore, &github(), RekorVersion::V1, true);
    for service in [Service::Fulcio, Service::Tsa, Service::RekorV1] {
        assert_eq!(sigstore.request_count(service), 1, "{service:?}");
    }
    assert_eq!(
        sigstore.requests().last().unwrap(),
        &Request {
            service: Service::RekorV1,
            method: "POST".into(),
            path: "/api/v1/log/entries".into()
        }
    );
    sigstore.reset_requests();
    assert!(sigstore.requests().is_empty());
}

#[test]
fn a_clock_ahead_shows_in_everything_that_is_issued() {
    let sigstore = start();
    sigstore.set_clock_offset(3600);
    let v1 = sign(&sigstore, &github(), RekorVersion::V1, false);
    let error = verify(&sigstore, &v1, &github()).unwrap_err();
    assert!(error.to_string().contains("future"), "{error}");
    // The verifier behind `verify` accepts timestamps from the future; that is for its users to know.
    let v2 = sign(&sigstore, &github(), RekorVersion::V2, true);
    verify(&sigstore, &v2, &github()).unwrap();
    sigstore.set_clock_offset(-24 * 3600);
    let past = sign(&sigstore, &github(), RekorVersion::V1, true);
    verify(&sigstore, &past, &github()).unwrap();
}

#[test]
fn a_real_fulcio_can_use_the_certificate_transparency_log() {
    let sigstore = start();
    // A certificate from this instance's Fulcio, turned back into a precertificate by an authority of its own.
    let authority = fulcio::Fulcio::new(1_700_000_000, 2_000_000_000).unwrap();
    let key = SigningKey::generate(KeyKind::P256).unwrap();
    let profile = |extensions| certificate::Profile {
        common_name: None,
        not_before: 1_750_000_000,
        not_after: 1_750_000_600,
        extensions,
    };
    let mut extensions =
        certificate::leaf_extensions(const_oid::db::rfc5280::ID_KP_CODE_SIGNING, false).unwrap();
    extensions.push(ct::poison().unwrap());
    let issuer = &authority.intermediate;
    let tbs = issuer.tbs(key.spki(), profile(extensions)).unwrap();
    let precertificate = issuer.sign(tbs.clone()).unwrap().to_der().unwrap();
    let chain = json!({"chain": [BASE64.encode(precertificate), BASE64.encode(&issuer.der)]});
    let url = format!("{}/ct/v1/add-pre-chain", sigstore.ct_url());
    let answer = post(&url, &chain);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let sct = answer.json();
    let root = TrustedRoot::from_json(&sigstore.trusted_root_json()).unwrap();
    let keys: Keyring = root.ctfe_keys(SigningScheme::EcdsaP256Sha256).unwrap();
    let bytes = |field: &str| BASE64.decode(sct[field].as_str().unwrap()).unwrap();
    let id = Sha256Hash::try_from(bytes("id").as_slice()).unwrap();
    let clean = ct::without(&tbs, const_oid::db::rfc6962::CT_PRECERT_POISON).to_der().unwrap();
    let mut content = vec![0, 0];
    content.extend(sct["timestamp"].as_u64().unwrap().to_be_bytes());
    content.extend([0, 1]);
    content.extend(Sha256::digest(issuer.key.spki()));
    content.extend(&(clean.len() as u32).to_be_bytes()[1..]);
    content.extend(&clean);
    content.extend([0, 0]);
    let signature = SignatureBytes::from_bytes(&bytes("signature")[4..]);
    keys.verify_with_key_id(&id, &content, &signature).unwrap();

    let plain = issuer.sign(ct::without(&tbs, const_oid::db::rfc6962::CT_PRECERT_POISON)).unwrap();
    let plain = BASE64.encode(plain.to_der().unwrap());
    assert_eq!(post(&url, &json!({"chain": [plain, BASE64.encode(&issuer.der)]})).status, 400);
}

#[test]
fn a_job_gets_its_token_as_github_gives_it() {
    let sigstore = start();
    let env = sigstore.github_actions_env();
    let [(url_name, url), (token_name, token)] = env.as_slice() else { panic!("{env:?}") };
    assert_eq!(url_name, "ACTIONS_ID_TOKEN_REQUEST_URL");
    assert_eq!(token_name, "ACTIONS_ID_TOKEN_REQUEST_TOKEN");
    let url = format!("{url}&audience=sigstore");
    assert_eq!(get(&url).status, 401);
    let authorization = format!("Bearer {token}");
    let answer = send("GET", &url, &[("Authorization", &authorization)], b"");
    let jwt = answer.json()["value"].as_str().unwrap().to_owned();
    let key = SigningKey::generate(KeyKind::P256).unwrap();
    leaf(&request_certificate(&sigstore, &jwt, &key, "repo:acme/charts:ref:refs/heads/main"));
}

#[test]
fn issuers_are_discovered_below_their_paths() {
    let sigstore = start();
    for kind in IssuerKind::ALL {
        let issuer = sigstore.issuer_url(kind);
        let document = get(&format!("{issuer}/.well-known/openid-configuration")).json();
        assert_eq!(document["issuer"], issuer);
        let keys = get(document["jwks_uri"].as_str().unwrap()).json();
        assert_eq!(keys["keys"][0]["alg"], "RS256");
    }
    let minted = get(&format!(
        "{}/token?kind=email&identity=joe%40example.com",
        sigstore.url(Service::Oidc)
    ));
    let claims = String::from_utf8(minted.body).unwrap();
    assert_eq!(claims.split('.').count(), 3);
}

#[test]
fn the_documents_parse_and_name_the_services() {
    let options = Options { rekor: vec![RekorVersion::V1, RekorVersion::V2], ..Options::default() };
    let sigstore = Sigstore::start(options);
    let config = SigningConfig::from_json(&sigstore.signing_config_json()).unwrap();
    let text = format!("{config:?}");
    for url in [
        sigstore.fulcio_url(),
        sigstore.rekor_v1_url(),
        sigstore.rekor_v2_url(),
        sigstore.tsa_url(),
    ] {
        assert!(text.contains(&url), "{url}");
    }
    let both: Value = serde_json::from_str(&sigstore.trust_config_json()).unwrap();
    assert_eq!(both["mediaType"], "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json");
    let without = Sigstore::start(Options { tsa: false, ..Options::default() });
    assert!(!without.signing_config_json().contains("tsaUrls"));
}
