//! Uploads, and where a registry sends them.

use super::*;

#[tokio::test]
async fn stores_a_blob_in_one_request_or_two() {
    let digest = Digest::of(b"blob");
    let one = Server::start(|_, _| reply(201, &[], "")).await;
    assert_eq!(open(&one).push_blob("blob".into()).await.unwrap(), digest);
    let query = format!("digest=sha256%3A{}", digest.hex());
    assert_eq!(one.lines(), [format!("POST /v2/acme/web/blobs/uploads/?{query}")]);
    assert_eq!(one.seen()[0].body, b"blob");

    for location in ["session?_state=x", "/v2/acme/web/blobs/uploads/session?_state=x", "HOST"] {
        let two = Server::start(move |seen, _| match seen.method.as_str() {
            "POST" => {
                let host = seen.header("host").unwrap();
                let absolute = format!("http://{host}/v2/acme/web/blobs/uploads/session?_state=x");
                let location = location.replace("HOST", &absolute);
                reply(202, &[("Location", &location)], "")
            }
            _ => reply(201, &[], ""),
        })
        .await;
        open(&two).push_blob("blob".into()).await.unwrap();
        assert_eq!(
            two.lines()[1],
            format!("PUT /v2/acme/web/blobs/uploads/session?_state=x&{query}"),
            "{location}"
        );
        assert_eq!(two.seen()[1].body, b"blob");
    }
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_made_again() {
    let server = Server::start(|seen, n| match (seen.method.as_str(), n) {
        ("POST", 0) => reply(202, &[("Location", "/session")], ""),
        ("PUT", 1) => Reply::Close,
        ("PUT", _) => reply(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
        _ => reply(201, &[], ""),
    })
    .await;
    open(&server).push_blob("blob".into()).await.unwrap();
    assert_eq!(server.seen().len(), 4);

    let never = Server::start(|seen, _| match seen.method.as_str() {
        "POST" => reply(202, &[("Location", "/session")], ""),
        _ => reply(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
    })
    .await;
    let error = open(&never).push_blob("blob".into()).await.unwrap_err();
    assert!(error.to_string().ends_with("404, BLOB_UPLOAD_UNKNOWN"), "{error}");
    assert_eq!(never.seen().len(), 4);
}

#[tokio::test]
async fn uploads_elsewhere_without_credentials() {
    let other = Server::start(|_, _| reply(201, &[], "")).await;
    let away = other.url("/bucket?signature=x").to_string();
    let server = Server::start(move |seen, _| match seen.header("authorization") {
        None => reply(401, &[("WWW-Authenticate", "Basic")], ""),
        Some(_) => reply(202, &[("Location", &away.replace("http://", "http://u:p@"))], ""),
    })
    .await;
    with(&server, user(), Access::PullPush).push_blob("blob".into()).await.unwrap();
    assert_eq!(other.seen()[0].header("authorization"), None);
    assert!(other.seen()[0].target.starts_with("/bucket?signature=x&digest="));
    assert_eq!(other.seen()[0].body, b"blob");
}

#[tokio::test]
async fn refuses_malformed_location() {
    for (location, why) in [
        (None, "202 without a Location to upload to"),
        (Some("http://["), "202 with a malformed Location"),
        (Some("http://a b/"), "202 with a malformed Location"),
        (Some("mailto:a@b"), "202 with a malformed Location"),
        (Some("file:///etc/passwd"), "202 with a malformed Location"),
        (Some("ftp://a.example/"), "202 with a Location that leads to neither https nor http"),
        (
            Some("http://169.254.169.254/x"),
            "202 with a Location that leads to a link-local address",
        ),
    ] {
        let server = Server::start(move |_, _| match location {
            Some(location) => reply(202, &[("Location", location)], ""),
            None => reply(202, &[], ""),
        })
        .await;
        let error = open(&server).push_blob("blob".into()).await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::Malformed));
        assert!(error.to_string().ends_with(why), "{location:?}: {error}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn says_why_a_registry_did_not_take_something() {
    for (status, reason) in [
        (400, Reason::Unreachable),
        (401, Reason::Unauthorized),
        (403, Reason::Unauthorized),
        (405, Reason::Unreachable),
        (409, Reason::Unreachable),
        (412, Reason::Unreachable),
        (413, Reason::Unreachable),
    ] {
        let server = Server::start(move |_, _| {
            let body = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"unknown media type"}]}"#;
            reply(status, &[], body)
        })
        .await;
        let repository = open(&server);
        let manifest = repository.push_manifest("1", MANIFEST, "{}".into()).await.unwrap_err();
        let blob = repository.push_blob("{}".into()).await.unwrap_err();
        for (error, method) in [(manifest, "PUT"), (blob, "POST")] {
            assert_eq!((error.class, error.reason), (Class::Undecided, reason), "{status}");
            let text = error.to_string();
            let expected = format!("{status}, MANIFEST_INVALID: unknown media type");
            assert!(text.contains(&expected) && text.contains(method), "{text}");
        }
    }
    let server = Server::start(|_, _| reply(201, &[], "")).await;
    let digest = Digest::of(b"{}").to_string();
    let pushed = open(&server).push_manifest(&digest, MANIFEST, "{}".into()).await.unwrap();
    assert!(!pushed.oci_subject);
    let error = open(&server).push_manifest(&digest, MANIFEST, "[]".into()).await.unwrap_err();
    assert_eq!(error.class, Class::Usage);
}
