//! Manifests, blobs and what their absence means.

use super::*;

#[test]
fn builds_urls_only_from_hosts_and_paths() {
    let registry = Registry::new(client(), Credentials::anonymous(), Settings::default());
    let url = |host: &str, path: &str| {
        registry.repository(host, path, Access::Pull).map(|r| r.url("x").to_string())
    };
    assert_eq!(url("ghcr.io", "a/b").unwrap(), "https://ghcr.io/v2/a/b/x");
    assert_eq!(url("[::1]:5000", "a").unwrap(), "https://[::1]:5000/v2/a/x");
    assert_eq!(url("docker.io", "a/b").unwrap(), "https://registry-1.docker.io/v2/a/b/x");
    for (host, path) in [
        ("u:p@ghcr.io", "a"),
        ("ghcr.io/x", "a"),
        ("ghcr.io?x", "a"),
        ("ghcr.io#x", "a"),
        ("", "a"),
        ("ghcr.io", ""),
        ("ghcr.io", "a//b"),
        ("ghcr.io", "../a"),
        ("ghcr.io", "a/.."),
        ("ghcr.io", "a?b"),
        ("ghcr.io", "a%2fb"),
    ] {
        assert_eq!(url(host, path).unwrap_err().class, Class::Usage, "{host} {path}");
    }
}

#[tokio::test]
async fn reads_a_manifest_and_computes_its_digest() {
    let server = Server::start(|seen, _| match seen.path() {
        "/v2/acme/web/manifests/1.4.2" => reply(
            200,
            &[
                ("Content-Type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
                // A claim, and a wrong one.
                ("Docker-Content-Digest", "sha256:00"),
            ],
            "{}",
        ),
        _ => reply(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
    })
    .await;
    let manifest = open(&server).manifest("1.4.2").await.unwrap().unwrap();
    assert_eq!(manifest.digest, Digest::of(b"{}"));
    assert_eq!(manifest.media_type.as_deref(), Some(MANIFEST));
    assert_eq!(manifest.bytes, "{}");
    assert!(open(&server).manifest("1.4.3").await.unwrap().is_none());
    assert!(open(&server).blob(&Digest::of(b"x"), 10).await.unwrap().is_none());
    let accept = server.seen()[0].header("accept").unwrap().to_owned();
    assert!(accept.contains(MANIFEST) && accept.contains(INDEX));
    for reference in ["", "a b", "a/b", "-a", "a?b", "sha512:00", "sha256:xyz", &"a".repeat(129)] {
        let error = open(&server).manifest(reference).await.unwrap_err();
        assert_eq!(error.class, Class::Usage, "{reference}");
    }
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn refuses_bytes_of_another_digest() {
    let server = Server::start(|_, _| reply(200, &[], "lie")).await;
    let (expected, found) = (Digest::of(b"truth"), Digest::of(b"lie"));
    let repository = open(&server);
    let manifest = repository.manifest(&expected.to_string()).await.unwrap_err();
    let blob = repository.blob(&expected, 10).await.unwrap_err();
    for (error, kind) in [(manifest, "manifests"), (blob, "blobs")] {
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::Malformed));
        let url = server.url(&format!("/v2/acme/web/{kind}/{expected}"));
        assert_eq!(
            error.to_string(),
            format!("undecided: GET {url}: the digest differs; expected {expected}; found {found}")
        );
    }
}

#[tokio::test]
async fn bounds_manifests_and_blobs() {
    let server = Server::start(|_, _| {
        let mut bytes = head(200, &[]);
        bytes.extend(b"\r\n");
        Reply::Endless(bytes)
    })
    .await;
    let repository = open(&server);
    let manifest = repository.manifest("1").await.unwrap_err();
    let blob = repository.blob(&Digest::of(b"x"), 1000).await.unwrap_err();
    assert_eq!((manifest.reason, blob.reason), (Reason::LimitReached, Reason::LimitReached));
    assert!(blob.to_string().ends_with("the body is over its bound of 1000 bytes"), "{blob}");
}

#[tokio::test]
async fn tells_outage_from_absence() {
    for (status, reason, text) in [
        (
            401,
            Reason::Unauthorized,
            "401, CODE: a message: wrong path or no access: it asked for no credentials",
        ),
        (403, Reason::Unauthorized, "403, CODE: a message: it asked for no credentials"),
        (429, Reason::Throttled, "429, retry after 31 s, CODE: a message"),
        (500, Reason::Unreachable, "500, CODE: a message"),
        (503, Reason::Unreachable, "503, retry after 31 s, CODE: a message"),
        (418, Reason::Unreachable, "418, CODE: a message"),
    ] {
        let server = Server::start(move |_, _| {
            let body = r#"{"errors":[{"code":"CODE","message":"a\n\u001b message"},{"code":"X"}]}"#;
            reply(status, &[("Retry-After", "31")], body)
        })
        .await;
        let repository = open(&server);
        let digest = Digest::of(b"x");
        for error in [
            repository.manifest("1.4.2").await.unwrap_err(),
            repository.blob(&digest, 9).await.unwrap_err(),
            repository.tags().await.unwrap_err(),
            repository.referrers(&digest).await.unwrap_err(),
        ] {
            assert_eq!((error.class, error.reason), (Class::Undecided, reason), "{error}");
            assert!(error.to_string().ends_with(text), "{error}");
            assert!(!error.to_string().contains('?'), "{error}");
        }
    }
}

#[tokio::test]
async fn plain_http_has_to_be_asked_for() {
    let server = Server::start(|_, _| reply(404, &[], "")).await;
    let registry = Registry::new(
        // Needs no CA certificates on the machine.
        client_with(|options| options.insecure_skip_tls_verify = true),
        Credentials::anonymous(),
        Settings::default(),
    );
    let repository = registry.repository(&server.host(), "a", Access::Pull).unwrap();
    let error = repository.manifest("1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "undecided: GET https://{}/v2/a/manifests/1: the server does not speak https",
            server.host()
        )
    );
    assert_eq!(error.hint.as_deref(), Some("--plain-http"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn never_panics_on_garbage_headers() {
    let mut state = 0x5eed_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let alphabet: Vec<char> =
        "<>;=\"rel next/:?&%[]@Bearer realm,htps.127 \\é\u{0}".chars().collect();
    let garbage: Vec<(u16, String, String)> = (0..400)
        .map(|i| {
            let name = ["Location", "Link", "WWW-Authenticate", "Content-Type"][i % 4];
            let status = [200, 401, 202, 307, 201][next() % 5];
            let mut value: String =
                (0..next() % 30).map(|_| alphabet[next() % alphabet.len()]).collect();
            if next() % 2 == 0 {
                value = match name {
                    "Link" => format!("<{value}>; rel=next"),
                    "WWW-Authenticate" => format!("Bearer realm=\"http://127.0.0.1:1/{value}\""),
                    "Content-Type" => INDEX.to_owned(),
                    _ => format!("http://127.0.0.1:1/{value}"),
                };
            }
            (status, name.to_owned(), value)
        })
        .collect();
    let server = Server::start(move |_, n| {
        let (status, name, value) = &garbage[n % garbage.len()];
        reply(*status, &[(name, value)], r#"{"manifests":[],"tags":[]}"#)
    })
    .await;
    let client = client_with(|options| options.max_retries = 0);
    let settings = Settings { plain_http: true, ..Settings::default() };
    let registry = Registry::new(client, user(), settings);
    let repository = registry.repository(&server.host(), "a", Access::Pull).unwrap();
    let digest = Digest::of(b"x");
    for _ in 0..60 {
        let _ = repository.manifest("1").await;
        let _ = repository.referrers(&digest).await;
        let _ = repository.tags().await;
        let _ = repository.push_blob("x".into()).await;
    }
    assert!(server.seen().len() >= 200);
}
