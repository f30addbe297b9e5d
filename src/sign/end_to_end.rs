//! The Signer against whole services, with the one Verifier as its judge: real certificates, proofs and timestamps over the
//! real protocols.

use helm_sigstore_kit::sigstore::{
    Fault, Identity, IssuerKind, Options, RekorVersion as Kit, Service, Sigstore,
};
use jiff::Timestamp;
use sigstore_trust_root::SigningConfig;
use zeroize::Zeroizing;

use super::*;
use crate::chart::Digest;
use crate::error::{Class, Reason, Result};
use crate::net::testing::client_with;
use crate::verify::{TrustRoot, Verifier};

const WORKFLOW: &str = "acme/charts/.github/workflows/release.yml@refs/heads/main";

fn digest() -> Digest {
    Digest::of(b"a chart")
}

fn statement() -> Vec<u8> {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"web-1.4.2.tgz","digest":{{"sha256":"{}"}}}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#,
        digest().hex()
    )
    .into_bytes()
}

fn signer(kit: &Sigstore, identity: &Identity) -> Signer {
    let config = SigningConfig::from_json(&kit.signing_config_json()).unwrap();
    let services = Services::select(&config, None, Timestamp::now()).unwrap();
    let token = kit.token(identity);
    let source = TokenSource::Environment(Zeroizing::new(token.clone()));
    let net = client_with(|options| options.idle_timeout = std::time::Duration::from_secs(5));
    Signer::new(net, services, source, Token::parse(&token).unwrap(), AUDIENCE)
}

fn verifier(kit: &Sigstore) -> Verifier {
    Verifier::new(TrustRoot::from_json(kit.trusted_root_json().as_bytes()).unwrap())
}

async fn sign(kit: &Sigstore, identity: &Identity) -> Result<Signed> {
    let payload = statement();
    let content = Content::Statement { payload: &payload, artifact: digest() };
    signer(kit, identity).sign(content, &verifier(kit)).await
}

fn github() -> Identity {
    Identity::github(WORKFLOW)
}

#[tokio::test]
async fn signs_for_every_kind_of_identity_with_one_request_each() {
    let kit = Sigstore::start(Options::default());
    for (identity, kind, name) in [
        (github(), IssuerKind::GitHub, format!("https://github.com/{WORKFLOW}")),
        (
            Identity::gitlab("acme/charts//.gitlab-ci.yml@refs/heads/main"),
            IssuerKind::GitLab,
            "https://gitlab.com/acme/charts//.gitlab-ci.yml@refs/heads/main".to_owned(),
        ),
        (Identity::email("jane@acme.example"), IssuerKind::Email, "jane@acme.example".to_owned()),
    ] {
        kit.reset_requests();
        let signed = sign(&kit, &identity).await.unwrap();
        assert_eq!(signed.certificate.as_ref().unwrap().identity(), Some(name.as_str()));
        assert_eq!(
            signed.certificate.as_ref().unwrap().issuer(),
            Some(kit.issuer_url(kind).as_str())
        );
        for service in [Service::Fulcio, Service::Tsa, Service::RekorV1] {
            assert_eq!(kit.request_count(service), 1);
        }
    }
}

#[tokio::test]
async fn signs_statements_and_messages_for_both_generations_of_the_log() {
    for (rekor, tsa) in [(Kit::V1, true), (Kit::V1, false), (Kit::V2, true)] {
        let kit = Sigstore::start(Options { rekor: vec![rekor], tsa, ..Options::default() });
        sign(&kit, &github()).await.unwrap();
        let content = Content::Message { artifact: digest() };
        signer(&kit, &github()).sign(content, &verifier(&kit)).await.unwrap();
    }
}

#[tokio::test]
async fn gets_its_token_from_a_github_job() {
    let kit = Sigstore::start(Options::default());
    let environment = kit.github_actions_env();
    let value = |name: &str| {
        environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    let source = TokenSource::choose(Offered {
        in_github_actions: true,
        request_url: value("ACTIONS_ID_TOKEN_REQUEST_URL"),
        request_token: value("ACTIONS_ID_TOKEN_REQUEST_TOKEN").map(Zeroizing::new),
        ..Offered::default()
    })
    .unwrap();
    let token = source.resolve(&client_with(|_| {}), AUDIENCE).await.unwrap();
    token.check(Timestamp::now(), AUDIENCE).unwrap();
    assert!(token.identity().ends_with(WORKFLOW));
}

#[tokio::test]
async fn nothing_is_logged_when_a_service_before_the_log_is_wrong() {
    for (fault, class, reason) in [
        (Fault::CertificateForAnotherKey, Class::Refused, Reason::BadSignature),
        (Fault::CertificateForAnotherSubject, Class::Refused, Reason::WrongSigner),
        (Fault::NoSct, Class::Refused, Reason::BadSignature),
        (Fault::SctByUnknownLog, Class::Refused, Reason::BadSignature),
        (Fault::WrongNonce, Class::Undecided, Reason::Malformed),
        (Fault::WrongImprint, Class::Undecided, Reason::Malformed),
        (Fault::TimestampByUnknownAuthority, Class::Refused, Reason::BadSignature),
        (Fault::Garbage(Service::Fulcio), Class::Undecided, Reason::Malformed),
        (Fault::Garbage(Service::Tsa), Class::Undecided, Reason::Malformed),
        (Fault::Status(Service::Fulcio, 400), Class::Usage, Reason::BadToken),
        (Fault::Status(Service::Tsa, 500), Class::Undecided, Reason::ServiceUnreachable),
        (Fault::Throttle(Service::Fulcio, 99), Class::Undecided, Reason::ServiceUnreachable),
    ] {
        let kit = Sigstore::start(Options::default());
        kit.set_fault(fault.clone());
        let error = sign(&kit, &github()).await.unwrap_err();
        assert_eq!((error.class, error.reason), (class, reason), "{fault:?}: {error}");
        assert_eq!(kit.request_count(Service::RekorV1), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_wrong_log_is_never_believed() {
    let (v1, v2) = (Service::RekorV1, Service::RekorV2);
    for (rekor, fault, class, reason) in [
        (Kit::V1, Fault::DuplicateOfAnother(v1), Class::Undecided, Reason::Malformed),
        (Kit::V1, Fault::EntryForAnother(v1), Class::Undecided, Reason::Malformed),
        (Kit::V1, Fault::WrongSet, Class::Refused, Reason::BadSignature),
        (Kit::V1, Fault::WrongCheckpoint(v1), Class::Refused, Reason::BadSignature),
        (Kit::V1, Fault::WrongInclusionProof(v1), Class::Refused, Reason::BadSignature),
        (Kit::V2, Fault::Duplicate(v2), Class::Undecided, Reason::ServiceUnreachable),
        (Kit::V2, Fault::DuplicateOfAnother(v2), Class::Undecided, Reason::ServiceUnreachable),
        (Kit::V2, Fault::EntryForAnother(v2), Class::Undecided, Reason::Malformed),
        (Kit::V2, Fault::WrongCheckpoint(v2), Class::Refused, Reason::BadSignature),
        (Kit::V2, Fault::WrongInclusionProof(v2), Class::Refused, Reason::BadSignature),
    ] {
        let kit = Sigstore::start(Options { rekor: vec![rekor], ..Options::default() });
        kit.set_fault(fault.clone());
        let error = sign(&kit, &github()).await.unwrap_err();
        assert_eq!((error.class, error.reason), (class, reason), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn faults_that_are_none_or_pass_do_not_matter() {
    for (fault, times) in [
        (Fault::Duplicate(Service::RekorV1), 9),
        (Fault::TimestampWith200, 9),
        (Fault::Status(Service::Fulcio, 503), 1),
        (Fault::Status(Service::Tsa, 502), 1),
        (Fault::Throttle(Service::RekorV1, 1), 1),
    ] {
        let kit = Sigstore::start(Options::default());
        kit.set_fault_times(fault, times);
        sign(&kit, &github()).await.unwrap();
    }
}

#[tokio::test]
async fn waits_for_a_clock_that_is_a_little_behind_and_no_more() {
    let kit = Sigstore::start(Options::default());
    kit.set_clock_offset(2);
    sign(&kit, &github()).await.unwrap();
    kit.set_clock_offset(3600);
    let error = sign(&kit, &github()).await.unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Undecided, Reason::ClockBehind), "{error}");
    let logged = kit.request_count(Service::RekorV1);
    assert_eq!(logged, 1);
    kit.set_clock_offset(-3600);
    let error = sign(&kit, &github()).await.unwrap_err();
    assert_eq!(error.class, Class::Undecided, "{error}");
    assert_eq!(kit.request_count(Service::RekorV1), logged);
}

#[tokio::test]
async fn tokens_that_cannot_serve_never_reach_the_authority() {
    let kit = Sigstore::start(Options::default());
    for identity in [github().expires_in(-1), github().with_audience("https://example.com")] {
        let error = sign(&kit, &identity).await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Usage, Reason::BadToken));
    }
    assert_eq!(kit.request_count(Service::Fulcio), 0);
}
