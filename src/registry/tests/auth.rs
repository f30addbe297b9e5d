//! Challenges, tokens, realms, and where credentials do not go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// Credentials from a file that files this entry for the server.
fn filed(server: &Server, entry: &str) -> (tempfile::TempDir, Credentials) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{}":{entry}}}}}"#, server.host())).unwrap();
    (directory, Credentials::new(Sources { files: vec![path], ..Sources::default() }))
}

fn challenge(seen: &Seen, scope: &str) -> Reply {
    let host = seen.header("host").unwrap();
    let value =
        format!(r#"Bearer realm="http://{host}/token?x=1",service="the registry",scope="{scope}""#);
    reply(
        401,
        &[("WWW-Authenticate", &value)],
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
    )
}

fn authorizations(server: &Server) -> Vec<String> {
    let of = |seen: &Seen| seen.header("authorization").unwrap_or("-").to_owned();
    server.seen().iter().map(|seen| format!("{} {}", seen.path(), of(seen))).collect()
}

#[tokio::test]
async fn gets_one_anonymous_token_for_all_requests() {
    let server = Server::start(|seen, _| match (seen.path(), seen.header("authorization")) {
        ("/token", None) => reply(200, &[], r#"{"access_token":"t1","expires_in":300}"#),
        (_, Some("Bearer t1")) => reply(200, &[("Content-Type", INDEX)], r#"{"manifests":[]}"#),
        _ => challenge(seen, "repository:acme/web:pull"),
    })
    .await;
    let repository = open(&server);
    let digest = Digest::of(b"x");
    // Two that start together share one challenge and one token.
    let (one, two) = tokio::join!(repository.manifest("1"), repository.referrers(&digest));
    one.unwrap().unwrap();
    assert!(matches!(two.unwrap(), Referrers::Listed(entries) if entries.is_empty()));
    repository.manifest("2").await.unwrap().unwrap();
    let tokens: Vec<_> = server.lines().into_iter().filter(|l| l.contains("/token")).collect();
    assert_eq!(
        tokens,
        ["GET /token?x=1&service=the+registry&scope=repository%3Aacme%2Fweb%3Apull"]
    );
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_first_request_that_hangs_does_not_hold_up_the_others_for_long() {
    let server = Server::start(|seen, _| match seen.path() {
        "/v2/acme/web/manifests/1" => Reply::Hang(Vec::new()),
        _ => reply(200, &[], "{}"),
    })
    .await;
    let repository = open(&server);
    let started = std::time::Instant::now();
    let first = async {
        let _ = repository.manifest("1").await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        () = first => {}
        found = repository.manifest("2") => assert!(found.unwrap().is_some()),
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn sends_the_password_to_the_realm_and_the_token_to_the_registry() {
    let basic = format!("Basic {}", STANDARD.encode("user:pass"));
    let expected = basic.clone();
    let server = Server::start(move |seen, _| match (seen.path(), seen.header("authorization")) {
        ("/token", Some(auth)) if auth == expected => reply(200, &[], r#"{"token":"t1"}"#),
        (_, Some("Bearer t1")) => reply(201, &[("OCI-Subject", "x")], ""),
        _ => challenge(seen, "repository:acme/web:pull,push"),
    })
    .await;
    let repository = with(&server, user(), Access::Pull).for_push();
    let pushed = repository.push_manifest("1", MANIFEST, "{}".into()).await.unwrap();
    assert_eq!(pushed, Pushed { digest: Digest::of(b"{}"), oci_subject: true });
    repository.push_blob("{}".into()).await.unwrap();
    assert_eq!(
        authorizations(&server),
        [
            "/v2/acme/web/manifests/1 -".to_owned(),
            format!("/token {basic}"),
            "/v2/acme/web/manifests/1 Bearer t1".to_owned(),
            "/v2/acme/web/blobs/uploads/ Bearer t1".to_owned(),
        ]
    );
    assert!(server.lines()[1].ends_with("scope=repository%3Aacme%2Fweb%3Apull%2Cpush"));
    assert_eq!(server.seen()[2].body, b"{}");
    assert_eq!(server.seen()[2].header("content-type"), Some(MANIFEST));
}

#[tokio::test]
async fn answers_a_basic_challenge_once_and_remembers() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        Some("Basic dXNlcjpwYXNz") => reply(404, &[], ""),
        _ => reply(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], ""),
    })
    .await;
    let repository = with(&server, user(), Access::Pull);
    assert!(repository.manifest("1").await.unwrap().is_none());
    assert!(repository.manifest("2").await.unwrap().is_none());
    assert_eq!(server.seen().len(), 3);
    // Nothing was sent before it was asked for.
    assert_eq!(server.seen()[0].header("authorization"), None);

    let error = open(&server).manifest("1").await.unwrap_err();
    assert_eq!(error.hint.unwrap(), format!("helm registry login {}", server.host()));
}

#[tokio::test]
async fn a_401_after_a_fresh_token_is_final() {
    let server = Server::start(|seen, n| match seen.path() {
        "/token" => reply(200, &[], format!(r#"{{"token":"secret{n}"}}"#)),
        _ => challenge(seen, "repository:acme/web:pull"),
    })
    .await;
    let repository = with(&server, user(), Access::Pull);
    let error = repository.manifest("1").await.unwrap_err();
    assert_eq!(server.seen().len(), 3);
    assert_eq!(error.reason, Reason::Unauthorized);
    let text = format!("{error} {error:?}");
    assert!(text.contains("401, UNAUTHORIZED: authentication required"), "{text}");
    assert!(text.contains("with the credentials of --username"), "{text}");
    assert!(!text.contains("secret") && !text.contains("pass"), "{text}");
}

#[tokio::test]
async fn renews_a_token_that_the_registry_no_longer_takes() {
    let server = Server::start(|seen, n| match (seen.path(), seen.header("authorization")) {
        ("/token", _) if n < 3 => reply(200, &[], r#"{"token":"old","expires_in":1e300}"#),
        ("/token", _) => reply(200, &[], r#"{"token":"new","expires_in":-5}"#),
        (path, Some("Bearer old")) if path.ends_with('1') => reply(404, &[], ""),
        (_, Some("Bearer new")) => reply(404, &[], ""),
        _ => challenge(seen, "repository:acme/web:pull"),
    })
    .await;
    let repository = open(&server);
    assert!(repository.manifest("1").await.unwrap().is_none());
    assert!(repository.manifest("2").await.unwrap().is_none());
    let seen = authorizations(&server);
    assert_eq!(
        seen[3..],
        ["/v2/acme/web/manifests/2 Bearer old", "/token -", "/v2/acme/web/manifests/2 Bearer new"]
    );
}

#[tokio::test]
async fn exchanges_an_identity_token_and_uses_a_registry_token() {
    let server = Server::start(|seen, _| match (seen.path(), seen.header("authorization")) {
        ("/token", None) if seen.method == "POST" => {
            reply(200, &[], r#"{"access_token":"exchanged"}"#)
        }
        (_, Some("Bearer exchanged" | "Bearer ready")) => reply(404, &[], ""),
        _ => challenge(seen, "repository:acme/web:pull"),
    })
    .await;
    let (_directory, identity) = filed(&server, r#"{"identitytoken":"refresh"}"#);
    with(&server, identity, Access::Pull).manifest("1").await.unwrap();
    let body = String::from_utf8(server.seen()[1].body.clone()).unwrap();
    assert_eq!(
        body,
        "grant_type=refresh_token&client_id=helm-sigstore&service=the+registry\
         &scope=repository%3Aacme%2Fweb%3Apull&refresh_token=refresh"
    );
    let (_directory, ready) = filed(&server, r#"{"registrytoken":"ready"}"#);
    with(&server, ready, Access::Pull).manifest("1").await.unwrap();
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn refuses_token_answers_that_make_no_sense() {
    for (status, body, reason) in [
        (200, "{}".to_owned(), Reason::Malformed),
        (200, r#"{"token":""}"#.into(), Reason::Malformed),
        (200, r#"{"token":"a\r\nb"}"#.into(), Reason::Malformed),
        (200, r#"["secret"]"#.into(), Reason::Malformed),
        (200, "x".repeat((1 << 20) + 1), Reason::LimitReached),
        (401, String::new(), Reason::Unauthorized),
        (403, String::new(), Reason::Unauthorized),
        (429, String::new(), Reason::Throttled),
        (500, String::new(), Reason::Unreachable),
        (302, String::new(), Reason::Unreachable),
    ] {
        let sent = body.clone();
        let server = Server::start(move |seen, _| match seen.path() {
            "/token" => reply(status, &[("Location", "https://a.example")], &sent),
            _ => challenge(seen, ""),
        })
        .await;
        let error = open(&server).manifest("1").await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, reason), "{status} {error}");
        assert!(error.to_string().contains("/token: "), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn refuses_realms_that_are_not_ours_to_ask() {
    for realm in [
        "http://a.example/token",
        "http://localhost:1/token",
        "https://169.254.169.254/token",
        "file:///etc/passwd",
        "/token",
        "",
    ] {
        let header = format!("Bearer realm=\"{realm}\"");
        let server =
            Server::start(move |_, _| reply(401, &[("WWW-Authenticate", &header)], "")).await;
        let error = with(&server, user(), Access::Pull).manifest("1").await.unwrap_err();
        assert_eq!(error.class, Class::Undecided, "{realm} {error}");
        assert_eq!(server.seen().len(), 1, "{realm}");
    }
}

#[tokio::test]
async fn a_challenge_behind_a_redirect_gets_no_answer() {
    let other = Server::start(|seen, _| match seen.path() {
        "/token" => reply(200, &[], r#"{"token":"t"}"#),
        _ => challenge(seen, "repository:acme/web:pull"),
    })
    .await;
    let away = other.url("/blob").to_string();
    let server = Server::start(move |seen, _| match seen.path() {
        "/here" => challenge(seen, ""),
        path if path.ends_with("/1") => reply(307, &[("Location", "/here")], ""),
        _ => reply(307, &[("Location", &away)], ""),
    })
    .await;
    let repository = with(&server, user(), Access::Pull);
    let blob = repository.blob(&Digest::of(b"x"), 9).await.unwrap_err();
    let manifest = repository.manifest("1").await.unwrap_err();
    assert_eq!((blob.reason, manifest.reason), (Reason::Unauthorized, Reason::Unauthorized));
    assert_eq!(other.lines(), ["GET /blob"]);
    assert!(server.seen().iter().chain(&other.seen()).all(|s| s.header("authorization").is_none()));
}

#[tokio::test]
async fn a_blob_elsewhere_is_fetched_without_credentials() {
    let other = Server::start(|_, _| reply(200, &[], "blob")).await;
    let away = other.url("/cdn?signature=secret").to_string();
    let server = Server::start(move |seen, _| match seen.header("authorization") {
        None => reply(401, &[("WWW-Authenticate", "Basic")], ""),
        Some(_) => reply(307, &[("Location", &away)], ""),
    })
    .await;
    let repository = with(&server, user(), Access::Pull);
    let digest = Digest::of(b"blob");
    assert_eq!(repository.blob(&digest, 4).await.unwrap().unwrap(), "blob");
    assert_eq!(other.seen()[0].header("authorization"), None);
    let error = repository.blob(&digest, 3).await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn asks_the_root_when_an_answer_does_not_say_how_to_authenticate() {
    let server = Server::start(|seen, _| match (seen.path(), seen.header("authorization")) {
        (_, Some(_)) => reply(404, &[], ""),
        ("/v2/", None) => reply(401, &[("WWW-Authenticate", "Basic")], ""),
        _ => reply(401, &[], ""),
    })
    .await;
    let repository = with(&server, user(), Access::Pull);
    assert!(repository.manifest("1").await.unwrap().is_none());
    assert_eq!(server.lines()[1], "GET /v2/");
    assert_eq!(server.seen().len(), 3);
}
