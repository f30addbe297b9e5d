use std::time::Instant;

use super::*;
use crate::net::testing::client;

#[test]
fn a_challenge_is_the_one_of_the_specification() {
    // RFC 7636 appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let (one, two) = (unguessable().unwrap(), unguessable().unwrap());
    assert!(one.len() == 43 && one != two);
}

#[test]
fn issuers_that_cannot_be_one_are_refused() {
    let person =
        |issuer: &str| SignIn::new(issuer, CLIENT_ID, Redirect::default(), Way::NoBrowser, |_| {});
    for issuer in ["http://issuer.example", "issuer", "https://u@a.example", "https://a.example/?x"]
    {
        let error = person(issuer).unwrap_err();
        assert_eq!((error.class, error.object.as_str()), (Class::Usage, issuer));
    }
    assert!(person("http://127.0.0.1:1/email").is_ok() && person("https://a.example").is_ok());
}

#[test]
fn the_browser_comes_back_to_this_machine_only() {
    let sample = "http://localhost:8080/auth/callback";
    let read = |text: &str| Redirect::parse(text);
    assert!(
        read(sample).is_ok()
            && read("http://127.0.0.1/x").is_ok()
            && read("http://[::1]:9").is_ok()
    );
    for text in [
        "https://localhost:1/x",
        "http://issuer.example/x",
        "http://localhost.example/x",
        "http://10.0.0.1/x",
        "http://u@localhost/x",
        "http://localhost/x?y",
        "localhost:8080",
    ] {
        assert_eq!(read(text).unwrap_err().class, Class::Usage, "{text}");
    }
}

#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    use helm_sigstore_kit::sigstore::{IssuerKind, Options, Sigstore};
    let sigstore = Sigstore::start(Options::default());
    let issuer = sigstore.issuer_url(IssuerKind::Email);
    for way in [Way::NoBrowser, Way::Device] {
        let mut person = SignIn::new(&issuer, CLIENT_ID, Redirect::default(), way, |_| {}).unwrap();
        person.patience = Duration::from_millis(300);
        let started = Instant::now();
        let error = person.ask(&client()).await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::LimitReached));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
