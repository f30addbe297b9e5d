use std::sync::Mutex as StdMutex;

use serde_json::{Value, json};

use super::*;
use crate::error::Class;
use crate::net::testing::{Reply, Server, reply};
use crate::sign::services::RekorVersion;
use crate::sign::testing::instance::{
    Check, Instance, STATEMENT, answers, artifact, assert_error, at, statement,
};
use crate::sign::testing::{Answers, IDENTITY, ISSUER, token};

#[tokio::test]
async fn logs_only_what_was_stamped_and_judged() {
    let instance = Instance::honest().await;
    let check = Check::default();
    let signed = instance.signer().sign(statement(), &check).await.unwrap();
    assert_eq!(
        instance.paths(),
        ["/api/v2/signingCert", "/api/v1/timestamp", "/api/v1/log/entries"]
    );
    assert_eq!(check.stages(), [Stage::BeforeLog, Stage::Complete]);
    for (stage, bundle, digest) in check.asked.lock().unwrap().iter() {
        let material = &bundle.verification_material;
        assert_eq!(*digest, artifact());
        assert_eq!(material.timestamp_verification_data.rfc3161_timestamps.len(), 1);
        assert_eq!(material.tlog_entries.len(), usize::from(*stage == Stage::Complete));
    }
    assert_eq!(signed.certificate.as_ref().unwrap().identity(), Some(IDENTITY));
    assert_eq!(signed.certificate.as_ref().unwrap().issuer(), Some(ISSUER));
    assert_eq!(signed.certificate.as_ref().unwrap().chain().len(), 1);
}

#[tokio::test]
async fn writes_zero_values_and_one_certificate() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let mut instance = Instance::honest().await;
        instance.version = version;
        let signed = instance.sign().await.unwrap();
        let json: Value = serde_json::from_slice(&signed.json).unwrap();
        assert_eq!(json["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
        let material = &json["verificationMaterial"];
        assert!(material["certificate"]["rawBytes"].is_string());
        assert!(material.get("x509CertificateChain").is_none());
        let entry = &material["tlogEntries"][0];
        assert_eq!(entry["logIndex"], "0");
        assert_eq!(entry["inclusionProof"]["logIndex"], "0");
        assert_eq!(entry["inclusionProof"]["hashes"], json!([]));
        assert_eq!(entry["inclusionPromise"].is_object(), version == RekorVersion::V1);
        let envelope = &json["dsseEnvelope"];
        assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
        assert_eq!(envelope["signatures"].as_array().unwrap().len(), 1);
        let again = Bundle::from_json(std::str::from_utf8(&signed.json).unwrap()).unwrap();
        assert_eq!(again, signed.bundle);
    }
}

#[tokio::test]
async fn the_signature_is_over_the_pae_and_the_stamp_over_the_signature() {
    let instance = Instance::honest().await;
    let signed = instance.sign().await.unwrap();
    let sigstore_types::SignatureContent::DsseEnvelope(envelope) = &signed.bundle.content else {
        panic!("no envelope");
    };
    assert_eq!(envelope.payload.as_bytes(), STATEMENT);
    let info = sigstore_crypto::parse_certificate_info(signed.certificate.as_ref().unwrap().der())
        .unwrap();
    sigstore_crypto::verify_signature(
        &info.public_key,
        &envelope.pae(),
        &envelope.signature.sig,
        sigstore_crypto::SigningScheme::EcdsaP256Sha256,
    )
    .unwrap();
    let query = &instance.server.seen()[1];
    assert_eq!(query.header("content-type"), Some("application/timestamp-query"));
    let hash = Digest::of(envelope.signature.sig.as_bytes()).bytes();
    assert!(query.body.windows(32).any(|window| window == hash));
}

#[tokio::test]
async fn signs_a_plain_message_for_both_generations() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let mut instance = Instance::honest().await;
        instance.version = version;
        let check = Check::default();
        let content = Content::Message { artifact: artifact() };
        let signed = instance.signer().sign(content, &check).await.unwrap();
        let json: Value = serde_json::from_slice(&signed.json).unwrap();
        assert_eq!(json["messageSignature"]["messageDigest"]["algorithm"], "SHA2_256");
        let request: Value = serde_json::from_slice(&instance.server.seen()[2].body).unwrap();
        match version {
            RekorVersion::V1 => assert_eq!(request["kind"], "hashedrekord"),
            RekorVersion::V2 => assert!(request["hashedRekordRequestV002"].is_object()),
        }
    }
}

#[tokio::test]
async fn one_certificate_signs_several_statements() {
    let instance = Instance::honest().await;
    let (signer, check) = (instance.signer(), Check::default());
    let (first, second) = tokio::join!(
        signer.sign(statement(), &check),
        signer.sign(Content::Statement { payload: b"{}", artifact: artifact() }, &check)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(
        first.certificate.as_ref().unwrap().der(),
        second.certificate.as_ref().unwrap().der()
    );
    assert_eq!(
        signer.certificate().await.unwrap().unwrap().der(),
        first.certificate.as_ref().unwrap().der()
    );
    let certified = instance.paths().iter().filter(|path| path.ends_with("/signingCert")).count();
    assert_eq!((certified, instance.paths().len()), (1, 5));
}

#[tokio::test]
async fn an_authority_that_refuses_is_asked_once_by_those_who_wait_together() {
    let instance =
        Instance::start(Answers::default(), at("signingCert", || reply(400, &[], "no"))).await;
    let signer = instance.signer();
    let together = tokio::join!(signer.certificate(), signer.certificate(), signer.certificate());
    for certificate in [together.0, together.1, together.2] {
        assert_error(&certificate.unwrap_err(), Class::Usage, Reason::BadToken, "400");
    }
    assert_eq!(instance.paths().len(), 1);
    // Who comes later asks again.
    assert!(signer.certificate().await.is_err());
    assert_eq!(instance.paths().len(), 2);
}

#[tokio::test]
async fn renews_a_certificate_that_nears_its_end() {
    let instance = Instance::start(answers(|a| a.ends = 59), |_, _| None).await;
    let signer = instance.signer();
    let first = signer.certificate().await.unwrap().unwrap();
    assert_ne!(signer.certificate().await.unwrap().unwrap().der(), first.der());
}

#[tokio::test]
async fn a_renewed_token_must_be_of_the_same_identity() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, token()).unwrap();
    let instance = Instance::start(answers(|a| a.ends = 59), |_, _| None).await;
    let signer = instance.signer_with(TokenSource::File(file.clone()));
    signer.certificate().await.unwrap();
    signer.certificate().await.unwrap();
    let other =
        crate::sign::token::tests::jwt(&json!({"iss": ISSUER, "email": "mallory@acme.example",
        "aud": "sigstore", "exp": Timestamp::now().as_second() + 600}));
    std::fs::write(&file, other).unwrap();
    let error = signer.certificate().await.unwrap_err();
    assert_error(&error, Class::Usage, Reason::BadToken, "identity changed");
}

#[tokio::test]
async fn an_expired_token_is_not_sent() {
    let instance = Instance::honest().await;
    let mut signer = instance.signer();
    signer.clock = Box::new(|| Timestamp::now() + SignedDuration::from_secs(601));
    let error = signer.sign(statement(), &Check::default()).await.unwrap_err();
    assert_error(&error, Class::Usage, Reason::BadToken, "has expired");
    assert!(instance.paths().is_empty());
}

#[tokio::test]
async fn signs_nothing_with_a_certificate_that_was_not_asked_for() {
    for (answers, reason, words) in [
        (answers(|a| a.other_key = true), Reason::BadSignature, "another key"),
        (
            answers(|a| a.identity = "mallory@acme.example".to_owned()),
            Reason::WrongSigner,
            "found mallory@acme.example",
        ),
        (
            answers(|a| a.issuer = "https://other.example".to_owned()),
            Reason::WrongSigner,
            "issuer https://other.example",
        ),
        (
            answers(|a| a.usage = const_oid::db::rfc5280::ID_KP_TIME_STAMPING),
            Reason::BadSignature,
            "not for signing code",
        ),
    ] {
        let instance = Instance::start(answers, |_, _| None).await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Refused, reason, words);
        assert_eq!(instance.paths(), ["/api/v2/signingCert"]);
    }
}

#[tokio::test]
async fn says_how_far_the_clock_is_behind() {
    let instance = Instance::start(answers(|a| a.begins = 90), |_, _| None).await;
    let error = instance.sign().await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::ClockBehind, "clock is ");
    assert!(error.to_string().contains(" s behind"));
    assert_eq!(instance.paths(), ["/api/v2/signingCert"]);

    let instance = Instance::start(answers(|a| a.ahead = 90), |_, _| None).await;
    let error = instance.sign().await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::ClockBehind, "clock is ");
    assert!(!instance.asked_log());

    let instance =
        Instance::start(answers(|a| (a.begins, a.ends) = (-700, -100)), |_, _| None).await;
    let error = instance.sign().await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::Malformed, "before our clock");
}

#[tokio::test]
async fn waits_for_a_clock_that_is_a_little_behind() {
    let instance = Instance::start(answers(|a| a.begins = 2), |_, _| None).await;
    let started = Timestamp::now();
    let signed = instance.sign().await.unwrap();
    assert!(Timestamp::now() >= signed.certificate.as_ref().unwrap().not_before());
    assert!(Timestamp::now().duration_since(started) < SignedDuration::from_secs(10));
}

#[tokio::test]
async fn a_run_waits_for_a_minute_in_all() {
    let instance = Instance::honest().await;
    let signer = instance.signer();
    *signer.waited.lock().await = SignedDuration::from_secs(60);
    let error =
        signer.wait_until(Timestamp::now() + SignedDuration::from_secs(1)).await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::ClockBehind, "1 s behind");
}

#[tokio::test]
async fn a_bundle_that_fails_its_check_is_never_logged() {
    let instance = Instance::honest().await;
    let check = Check { refuses: Some(Stage::BeforeLog), ..Check::default() };
    let error = instance.signer().sign(statement(), &check).await.unwrap_err();
    assert_error(&error, Class::Refused, Reason::BadSignature, "bad signature");
    assert!(!instance.asked_log());

    let check = Check { refuses: Some(Stage::Complete), ..Check::default() };
    instance.signer().sign(statement(), &check).await.unwrap_err();
}

#[tokio::test]
async fn does_without_a_timestamp_authority() {
    let mut instance = Instance::honest().await;
    instance.timestamps = false;
    let check = Check::default();
    instance.signer().sign(statement(), &check).await.unwrap();
    assert_eq!(check.stages(), [Stage::Complete]);
    assert_eq!(instance.paths(), ["/api/v2/signingCert", "/api/v1/log/entries"]);
}

#[tokio::test]
async fn refuses_timestamps_that_answer_something_else() {
    for (answers, words) in [
        (answers(|a| a.nonce = Some(5)), "the nonce differs"),
        (answers(|a| a.imprint = Some(5)), "for another signature"),
        (answers(|a| a.status = 2), "did not grant"),
    ] {
        let instance = Instance::start(answers, |_, _| None).await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::Malformed, words);
        assert!(error.to_string().starts_with("cannot get a timestamp"));
        assert!(!instance.asked_log());
    }
}

#[tokio::test]
async fn names_the_service_that_does_not_serve() {
    for (end, what) in [
        ("signingCert", "cannot get a certificate"),
        ("timestamp", "cannot get a timestamp"),
        ("entries", "cannot log the signature"),
    ] {
        for (answer, reason, words) in [
            (500, Reason::ServiceUnreachable, "500"),
            (429, Reason::ServiceUnreachable, "retry after 100 s"),
            (404, Reason::ServiceUnreachable, "no such thing"),
        ] {
            let instance = Instance::start(
                Answers::default(),
                at(end, move || {
                    reply(answer, &[("Retry-After", "100")], r#"{"message":"no such\n thing"}"#)
                }),
            )
            .await;
            let error = instance.sign().await.unwrap_err();
            assert_error(&error, Class::Undecided, reason, words);
            assert_eq!(error.what, what);
        }
        let instance = Instance::start(Answers::default(), at(end, || Reply::Close)).await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::ServiceUnreachable, what);

        let instance = Instance::start(
            Answers::default(),
            at(end, || Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())),
        )
        .await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::LimitReached, what);

        for body in ["", "{}", "[]", "null", "0", "\u{0}"] {
            let instance =
                Instance::start(Answers::default(), at(end, move || reply(200, &[], body))).await;
            let error = instance.sign().await.unwrap_err();
            assert_error(&error, Class::Undecided, Reason::Malformed, what);
        }
    }
}

#[tokio::test]
async fn asks_again_after_a_passing_failure() {
    for end in ["signingCert", "timestamp", "entries"] {
        let failed = StdMutex::new(0);
        let instance = Instance::start(Answers::default(), move |seen, _| {
            let mut failed = failed.lock().unwrap();
            (seen.path().ends_with(end) && *failed < 2).then(|| {
                *failed += 1;
                if *failed == 1 { reply(503, &[], "") } else { Reply::Close }
            })
        })
        .await;
        instance.sign().await.unwrap();
        assert_eq!(instance.paths().len(), 5, "{end}");
    }
}

#[tokio::test]
async fn a_refused_token_is_a_usage_error_in_the_words_of_the_authority() {
    for status in [400, 401, 403] {
        let instance = Instance::start(
            Answers::default(),
            at("signingCert", move || {
                reply(status, &[], r#"{"code":16,"message":"email not verified"}"#)
            }),
        )
        .await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Usage, Reason::BadToken, "email not verified");
        assert_eq!(instance.paths().len(), 1);
    }
}

#[tokio::test]
async fn never_shows_a_token_that_a_service_repeats() {
    let instance = Instance::start(Answers::default(), |seen, _| {
        let request: Value = serde_json::from_slice(&seen.body).unwrap();
        let token = request["credentials"]["oidcIdentityToken"].as_str().unwrap();
        Some(reply(400, &[], format!("bad token {token}")))
    })
    .await;
    let error = instance.sign().await.unwrap_err();
    assert_error(&error, Class::Usage, Reason::BadToken, ": 400");
}

#[tokio::test]
async fn refuses_a_detached_sct() {
    let detached = json!({"signedCertificateDetachedSct":
        {"chain": {"certificates": []}, "signedCertificateTimestamp": ""}});
    let instance = Instance::start(
        Answers::default(),
        at("signingCert", move || reply(200, &[], detached.to_string())),
    )
    .await;
    let error = instance.sign().await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::Malformed, "detached SCT");
}

#[tokio::test]
async fn tokens_do_not_follow_redirects_to_another_origin() {
    let other = Server::start(|_, _| reply(200, &[], "")).await;
    let target = other.url("/api/v2/signingCert").to_string();
    let instance = Instance::start(
        Answers::default(),
        at("signingCert", move || reply(307, &[("Location", &target)], "")),
    )
    .await;
    let error = instance.sign().await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::ServiceUnreachable, "307");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn gives_up_on_a_service_when_the_certificate_runs_out() {
    let instance = Instance::start(
        answers(|a| a.ends = 2),
        at("timestamp", || Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec())),
    )
    .await;
    let mut signer = instance.signer();
    signer.net = crate::net::testing::client_with(|options| {
        options.idle_timeout = Duration::from_secs(30);
    });
    let error = signer.sign(statement(), &Check::default()).await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::ServiceUnreachable, "certificate runs out");
}
