//! Each service by itself: what it accepts, refuses and answers.

use super::*;

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
fn a_timestamp_may_be_asked_for_in_json() {
    let sigstore = start();
    let root = TrustedRoot::from_json(&sigstore.trusted_root_json()).unwrap();
    let authority = root.tsa_authorities().remove(0);
    let ask = |algorithm: &str| {
        let hash = BASE64.encode(Sha256::digest(b"signature"));
        let request = json!({"artifactHash": hash, "hashAlgorithm": algorithm}).to_string();
        let json = [("Content-Type", "application/json")];
        send("POST", &sigstore.tsa_url(), &json, request.as_bytes())
    };
    let answer = ask("sha256");
    assert_eq!(answer.status, 201);
    let judge = |signature: &[u8]| {
        sigstore_tsa::verify_timestamp_for_authority(
            &TimestampToken::new(answer.body.clone()),
            &SignatureBytes::from_bytes(signature),
            &authority,
        )
    };
    judge(b"signature").unwrap();
    assert!(judge(b"other").is_err());
    assert_eq!(ask("sha512").status, 400);
    assert_eq!(ask("md5").status, 400);
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
    let found = post(&url, &json!({"entryUUIDs": [uuid], "logIndexes": null}));
    assert!(found.json()[0].get(uuid).is_some());
    assert_eq!(get(&format!("{base}/api/v1/log/entries/00")).status, 404);
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
    let authorization = format!("bearer {token}");
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
