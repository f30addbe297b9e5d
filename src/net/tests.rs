//! The rules of the client, each against a server that breaks it.

use super::testing::{Reply, Seen, Server, client, client_with, head, reply};
use super::*;
use crate::error::{Class, Reason};

fn get(server: &Server, path: &str) -> Request {
    Request::get(server.url(path), 1024).plain_http(PlainHttp::Loopback)
}

fn auth() -> HeaderValue {
    HeaderValue::from_static("Bearer secret")
}

#[tokio::test]
async fn reads_a_body_up_to_its_bound() {
    let server = Server::start(|seen, _| reply(200, &[], vec![7; seen.path().len()])).await;
    let answer = client().send(get(&server, "/1234567")).await.unwrap();
    assert_eq!(&answer.body[..], [7; 8]);
    assert_eq!(server.seen()[0].header("accept-encoding"), None);
    let user_agent = server.seen()[0].header("user-agent").unwrap().to_owned();
    assert!(user_agent.starts_with("helm-sigstore/") && user_agent.contains("cosign"));

    let mut request = get(&server, "/1234567");
    request.max_bytes = 7;
    let error = client().send(request).await.unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Undecided, Reason::LimitReached));
    let port = server.port;
    assert_eq!(
        error.to_string(),
        format!(
            "undecided: GET http://127.0.0.1:{port}/1234567: \
             the body has 8 bytes, over its bound of 7"
        )
    );
}

#[tokio::test]
async fn refuses_endless_body() {
    let server = Server::start(|_, _| {
        let mut bytes = head(200, &[]);
        bytes.extend(b"\r\n");
        Reply::Endless(bytes)
    })
    .await;
    let error = client().send(get(&server, "/x")).await.unwrap_err();
    assert_eq!(error.reason, Reason::LimitReached);
    assert_eq!(server.seen().len(), 1, "an endless body is not asked for again");
}

#[tokio::test]
async fn an_error_is_told_however_long_its_body() {
    let server = Server::start(|_, _| {
        let mut bytes = head(404, &[]);
        bytes.extend(b"\r\n");
        Reply::Endless(bytes)
    })
    .await;
    let answer = client().send(get(&server, "/x")).await.unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body.len(), MAX_EXPLANATION);
}

#[tokio::test]
async fn never_decompresses() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&[0; 1 << 20]).unwrap();
    let bomb = gzip.finish().unwrap();
    let sent = bomb.clone();
    let server =
        Server::start(move |_, _| reply(200, &[("Content-Encoding", "gzip")], &sent)).await;
    let mut request = get(&server, "/x");
    request.max_bytes = 1 << 16;
    assert_eq!(client().send(request).await.unwrap().body, bomb);
}

#[tokio::test]
async fn names_what_went_wrong() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let plain = Server::start(|_, _| Reply::Close).await;
    let half = Server::start(|_, _| {
        let mut bytes = head(200, &[("Content-Length", "100")]);
        bytes.extend(b"\r\nhalf");
        Reply::Raw(bytes)
    })
    .await;
    let silent = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    // So that this test needs no CA certificates on the machine.
    let client = client_with(|options| options.insecure_skip_tls_verify = true);
    // A label longer than DNS has: no resolver has to be asked (nor, under localhost, a proxy).
    let nowhere = format!("http://user:secret@{}.localhost/v2/", "x".repeat(64));
    let cases = [
        (format!("http://127.0.0.1:{closed}/v2/?token=secret"), "connection refused"),
        (plain.url("/").into(), "connection closed before an answer"),
        (half.url("/").into(), "the body ended early"),
        (silent.url("/").into(), "no answer for 1 s"),
        (format!("https://127.0.0.1:{}/v2/", plain.port), "the server does not speak https"),
        ("ftp://a.example/".into(), "is neither https nor http"),
        (nowhere, "cannot resolve the host's name"),
    ];
    for (url, cause) in cases {
        let request = Request::get(Url::parse(&url).unwrap(), 1000).plain_http(PlainHttp::Allowed);
        let label = request.label();
        let error = client.send(request).await.unwrap_err();
        assert_eq!(error.to_string(), format!("undecided: {label}: {cause}"), "{error:?}");
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::Unreachable));
        assert!(!error.to_string().contains("secret"));
        let hint = cause.contains("speak https").then_some("--plain-http");
        assert_eq!(error.hint.as_deref(), hint);
    }
    let request = Request::get(Url::parse("http://a.example").unwrap(), 9);
    let error = client.send(request).await.unwrap_err();
    assert!(error.to_string().ends_with("plain http is not allowed here"), "{error}");
    let service =
        Request::get(Url::parse(&format!("https://127.0.0.1:{}", plain.port)).unwrap(), 9);
    let error = client.send(service.service()).await.unwrap_err();
    assert_eq!((error.reason, error.hint), (Reason::ServiceUnreachable, None));
}

#[test]
fn names_each_failure_of_tls() {
    use rustls::{AlertDescription, CertificateError as C, Error as E};
    let of = |error: E| {
        // As it arrives: inside an I/O error, which hides it from `source`.
        let io = std::io::Error::other(error);
        let found = failure::find::<E>(&io).unwrap();
        Failure::of_tls(found).to_string()
    };
    assert!(of(E::InvalidCertificate(C::UnknownIssuer)).contains("unknown CA"));
    assert!(of(E::InvalidCertificate(C::NotValidForName)).contains("another host"));
    assert!(of(E::InvalidCertificate(C::Expired)).contains("has expired"));
    assert!(of(E::InvalidCertificate(C::NotValidYet)).contains("not valid yet"));
    assert!(
        of(E::AlertReceived(AlertDescription::CertificateRequired)).contains("client certificate")
    );
}

#[tokio::test]
async fn repeats_what_is_safe_and_counts() {
    // (statuses in turn, then 200; attempts expected)
    for (statuses, expected_status, expected_requests) in [
        (vec![429, 503, 429], 200, 4),
        (vec![429, 429, 429, 429], 429, 4),
        (vec![500, 502], 200, 3),
        (vec![500, 502, 504], 504, 3),
        (vec![501], 501, 1),
        (vec![403], 403, 1),
    ] {
        let script = statuses.clone();
        let server = Server::start(move |_, n| {
            reply(script.get(n).copied().unwrap_or(200), &[("Retry-After", "0")], "")
        })
        .await;
        let answer = client().send(get(&server, "/x")).await.unwrap();
        assert_eq!(answer.status, expected_status, "{statuses:?}");
        assert_eq!(server.seen().len(), expected_requests, "{statuses:?}");
    }
}

#[tokio::test]
async fn a_request_that_counts_is_sent_once() {
    for script in [|| reply(503, &[], ""), || Reply::Close, || reply(429, &[], "")] {
        let server = Server::start(move |_, _| script()).await;
        let post = |repeatable: bool| {
            let request = Request::new(Method::POST, server.url("/"), 10)
                .plain_http(PlainHttp::Loopback)
                .body(HeaderValue::from_static("text/plain"), "once".into());
            if repeatable { request.repeatable() } else { request }
        };
        let _ = client().send(post(false)).await;
        assert_eq!(server.seen().len(), 1);
        let _ = client().send(post(true)).await;
        assert_eq!(server.seen().len(), 5);
        assert!(server.seen().iter().all(|seen| seen.body == b"once"));
    }
}

#[tokio::test]
async fn gives_up_at_once_when_told_to_wait_long() {
    let server = Server::start(|_, _| {
        reply(429, &[("Retry-After", "31")], r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#)
    })
    .await;
    let answer = client().send(get(&server, "/v2/x/manifests/1.4.2?q=secret")).await.unwrap();
    assert_eq!(server.seen().len(), 1);
    let error = answer.failure("TOOMANYREQUESTS");
    assert_eq!(error.reason, Reason::Throttled);
    let url = server.url("/v2/x/manifests/1.4.2");
    assert_eq!(
        error.to_string(),
        format!("undecided: GET {url}: 429, retry after 31 s, TOOMANYREQUESTS")
    );
}

#[tokio::test]
async fn follows_redirects_within_reason() {
    let server = Server::start(|seen, _| match seen.path() {
        "/end" => reply(200, &[], "end"),
        "/loop" => reply(302, &[("Location", "/loop")], ""),
        "/bad" => reply(302, &[("Location", "http://[")], ""),
        "/none" => reply(302, &[], "here"),
        "/relative" => reply(307, &[("Location", "end?x=y")], ""),
        "/file" => reply(302, &[("Location", "file:///etc/passwd")], ""),
        "/metadata" => reply(302, &[("Location", "http://169.254.169.254/latest")], ""),
        "/public" => reply(302, &[("Location", "http://public.example/")], ""),
        path => {
            let n: usize = path[1..].parse().unwrap();
            let next = if n == 0 { "/end".to_owned() } else { format!("/{}", n - 1) };
            reply(301, &[("Location", &next)], "")
        }
    })
    .await;
    let client = client();
    let ask = |path: &str| client.send(get(&server, path));
    assert_eq!(ask("/4").await.unwrap().body, "end");
    assert_eq!(ask("/relative").await.unwrap().url, server.url("/end?x=y"));
    assert!(ask("/relative").await.unwrap().redirected);
    assert_eq!(ask("/none").await.unwrap().body, "here");
    for (path, why) in [
        ("/5", "more than 5 redirects"),
        ("/loop", "more than 5 redirects"),
        ("/bad", "302 with a malformed Location"),
        ("/file", "302 to neither https nor http is not followed"),
        ("/metadata", "302 to plain http is not followed"),
        ("/public", "302 to plain http is not followed"),
    ] {
        let text = ask(path).await.unwrap_err().to_string();
        assert!(text.ends_with(why), "{path}: {text}");
    }
    let request = get(&server, "/metadata").plain_http(PlainHttp::Allowed);
    let text = client.send(request).await.unwrap_err().to_string();
    assert!(text.ends_with("302 to a link-local address is not followed"), "{text}");
    let request = get(&server, "/4").redirects(Redirects::Never);
    assert_eq!(client.send(request).await.unwrap().status, 301);
}

#[tokio::test]
async fn no_credentials_across_origins() {
    let other = Server::start(|seen, _| match seen.path() {
        "/end" => reply(200, &[], ""),
        back => reply(302, &[("Location", &back.replace("/to/", "http://"))], ""),
    })
    .await;
    let away = other.url("/end").to_string();
    let bounce = other.host();
    let server = Server::start(move |seen, _| match seen.path() {
        "/here" => reply(302, &[("Location", "/end")], ""),
        "/away" => reply(302, &[("Location", &away.replace("http://", "http://u:p@"))], ""),
        "/bounce" => {
            let me = seen.header("host").unwrap();
            reply(302, &[("Location", &format!("http://{bounce}/to/{me}/end"))], "")
        }
        _ => reply(200, &[], ""),
    })
    .await;
    for (path, redirects) in [
        ("/here", Redirects::SameOrigin),
        ("/away", Redirects::SameOrigin),
        ("/away", Redirects::Follow),
        ("/bounce", Redirects::Follow),
    ] {
        client().send(get(&server, path).authorization(auth()).redirects(redirects)).await.unwrap();
    }
    let credentials = |seen: Vec<Seen>| -> Vec<(String, bool)> {
        seen.iter().map(|s| (s.target.clone(), s.header("authorization").is_some())).collect()
    };
    let port = server.port;
    assert_eq!(
        credentials(server.seen()),
        [
            ("/here".into(), true),
            ("/end".into(), true),
            ("/away".into(), true),
            ("/away".into(), true),
            ("/bounce".into(), true),
            // Back home, but by a path that somebody else chose.
            ("/end".into(), false),
        ]
    );
    assert_eq!(
        credentials(other.seen()),
        [("/end".into(), false), (format!("/to/127.0.0.1:{port}/end"), false)]
    );
}

#[tokio::test]
async fn a_body_stays_with_its_origin() {
    let other = Server::start(|_, _| reply(200, &[], "")).await;
    let away = other.url("/").to_string();
    let server = Server::start(move |seen, _| match seen.path() {
        "/away" => reply(307, &[("Location", &away)], ""),
        "/here" => reply(308, &[("Location", "/end")], ""),
        "/found" => reply(302, &[("Location", "/end")], ""),
        _ => reply(200, &[], ""),
    })
    .await;
    for (path, status) in [("/away", 307), ("/here", 200), ("/found", 302)] {
        let request = Request::new(Method::POST, server.url(path), 10)
            .plain_http(PlainHttp::Loopback)
            .body(HeaderValue::from_static("text/plain"), "token".into());
        assert_eq!(client().send(request).await.unwrap().status, status, "{path}");
    }
    assert!(other.seen().is_empty());
    assert_eq!(server.lines(), ["POST /away", "POST /here", "POST /end", "POST /found"]);
}

#[test]
fn refuses_files_that_are_no_certificates() {
    for change in [(|o| o.extra_ca_pem = Some(b"nonsense".to_vec())) as fn(&mut Options), |o| {
        o.client_identity = Some(ClientIdentity {
            certificate_pem: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
                .to_vec(),
            key_pem: zeroize::Zeroizing::new(b"nonsense".to_vec()),
        });
    }] {
        let mut options = Options::default();
        change(&mut options);
        assert_eq!(Client::new(options).unwrap_err().class, Class::Usage);
    }
}

#[tokio::test]
async fn survives_any_answer() {
    // Seeded, so that a failure can be repeated.
    let mut state = 0x5eed_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let garbage: Vec<Vec<u8>> = (0..300)
        .map(|i| {
            let name = ["Location", "Retry-After", "Content-Length", "Content-Type", "Link"][i % 5];
            let status = [200, 302, 429, 401, 503, 307][i % 6];
            let mut bytes = head(status, &[]);
            bytes.extend(format!("{name}: ").bytes());
            bytes.extend((0..next() % 40).map(|_| next()).filter(|b| !matches!(b, b'\r' | b'\n')));
            bytes.extend(b"\r\n\r\n");
            bytes.extend((0..next() % 20).map(|_| next()));
            bytes
        })
        .collect();
    let count = garbage.len();
    let server = Server::start(move |_, n| Reply::Raw(garbage[n % garbage.len()].clone())).await;
    let client = client_with(|options| options.max_retries = 0);
    for _ in 0..count {
        if let Ok(answer) = client.send(get(&server, "/x")).await {
            let _ = (answer.media_type(), answer.failure("x").to_string());
        }
    }
}
