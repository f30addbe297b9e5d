//! The registry over a raw socket: no client of ours may hide what goes over the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use super::*;
use crate::chart::Chart;

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the connection ended in an error, or before the announced length.
    broken: bool,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn open(registry: &Registry, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(registry.host()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    let request = format!(
        "{head}host: {}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
        registry.host()
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// One request on a connection of its own; `headers` are whole lines.
fn send(registry: &Registry, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
    let path = path.strip_prefix(&registry.origin()).unwrap_or(path);
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let mut stream = open(registry, &format!("{method} {path} HTTP/1.1\r\n{lines}"), body);
    let mut bytes = Vec::new();
    let result = stream.read_to_end(&mut bytes);
    let mut broken = result.is_err();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        return Reply { status: 0, headers: Vec::new(), body: Vec::new(), broken: true };
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let body = bytes[end + 4..].to_vec();
    let announced = headers.iter().find(|(name, _)| name == "content-length");
    if let Some((_, length)) = announced
        && method != "HEAD"
    {
        broken |= length.parse::<usize>().unwrap() != body.len();
    }
    Reply { status, headers, body, broken }
}

fn get(registry: &Registry, path: &str) -> Reply {
    send(registry, "GET", path, &[], b"")
}

fn web(registry: &Registry) -> Pushed {
    registry.push_chart("charts/web", &Chart::new("web", "1.4.2"))
}

/// A referrer of `subject`, as cosign shapes it.
fn attach(registry: &Registry, subject: &str, number: usize) -> String {
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2, "data": "e30=" },
        "layers": [],
        "subject": { "mediaType": media_type::MANIFEST, "digest": subject, "size": 1 },
        "annotations": { "number": number.to_string() },
    });
    registry.put_manifest("charts/web", None, media_type::MANIFEST, manifest.to_string())
}

#[test]
fn serves_a_chart_by_tag_and_by_digest() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    let by_tag = get(&registry, "/v2/charts/web/manifests/1.4.2");
    assert_eq!(by_tag.status, 200);
    assert_eq!(by_tag.header("content-type"), Some(media_type::MANIFEST));
    assert_eq!(by_tag.header("docker-content-digest"), Some(pushed.manifest_digest.as_str()));
    assert_eq!(by_tag.body, pushed.manifest);
    assert!(by_tag.json().get("mediaType").is_none(), "helm writes no top-level media type");
    let by_digest = get(&registry, &format!("/v2/charts/web/manifests/{}", pushed.manifest_digest));
    assert_eq!(by_digest.body, by_tag.body);
    let layer = get(&registry, &format!("/v2/charts/web/blobs/{}", pushed.layer_digest));
    assert_eq!(layer.body, Chart::new("web", "1.4.2").tgz());
}

#[test]
fn head_tells_the_length_and_sends_nothing() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    let reply = send(&registry, "HEAD", "/v2/charts/web/manifests/1.4.2", &[], b"");
    assert_eq!(reply.header("content-length"), Some(pushed.manifest.len().to_string().as_str()));
    assert!(reply.body.is_empty());
}

#[test]
fn unknown_things_are_json_errors() {
    let registry = Registry::start(Options::default());
    web(&registry);
    for (path, code) in [
        ("/v2/charts/web/manifests/9.9.9", "MANIFEST_UNKNOWN"),
        ("/v2/charts/none/manifests/1", "NAME_UNKNOWN"),
        ("/v2/charts/none/tags/list", "NAME_UNKNOWN"),
        ("/v2/charts/web/blobs/sha256:00", "BLOB_UNKNOWN"),
    ] {
        let reply = get(&registry, path);
        assert_eq!((reply.status, reply.json()["errors"][0]["code"].as_str()), (404, Some(code)));
    }
}

#[test]
fn uploads_a_blob_in_two_requests_or_three() {
    let registry = Registry::start(Options::fallback());
    let digest = digest_of(b"hello world");
    let begun = send(&registry, "POST", "/v2/c/x/blobs/uploads/?digest=ignored", &[], b"");
    assert_eq!(begun.status, 202);
    let put = format!("{}&digest={digest}", begun.header("location").unwrap());
    assert_eq!(send(&registry, "PUT", &put, &[], b"hello world").status, 201);
    assert_eq!(registry.blob("c/x", &digest).as_deref(), Some(&b"hello world"[..]));

    let begun = send(&registry, "POST", "/v2/c/y/blobs/uploads/", &[], b"");
    let patch = send(&registry, "PATCH", begun.header("location").unwrap(), &[], b"hello ");
    assert_eq!((patch.status, patch.header("range")), (202, Some("0-5")));
    let put = format!("{}&digest={digest}", patch.header("location").unwrap());
    assert_eq!(send(&registry, "PUT", &put, &[], b"world").status, 201);
    assert!(registry.blob("c/y", &digest).is_some());
}

#[test]
fn refuses_an_upload_that_is_not_its_digest() {
    let registry = Registry::start(Options::default());
    let wrong = digest_of(b"other");
    let path = format!("/v2/c/x/blobs/uploads/?digest={wrong}");
    let reply = send(&registry, "POST", &path, &[], b"hello");
    assert_eq!(
        (reply.status, reply.json()["errors"][0]["code"].as_str()),
        (400, Some("DIGEST_INVALID"))
    );
    assert!(registry.blobs("c/x").is_empty());
}

#[test]
fn uploads_in_one_request_and_mounts_where_the_options_say_so() {
    let registry = Registry::start(Options::default());
    let digest = digest_of(b"hello");
    let post = format!("/v2/c/x/blobs/uploads/?digest={digest}");
    assert_eq!(send(&registry, "POST", &post, &[], b"hello").status, 201);
    let mount = format!("/v2/c/y/blobs/uploads/?mount={digest}&from=c/x");
    assert_eq!(send(&registry, "POST", &mount, &[], b"").status, 201);
    assert!(registry.blob("c/y", &digest).is_some());
    let absent = format!("/v2/c/y/blobs/uploads/?mount={digest}&from=c/none");
    assert_eq!(send(&registry, "POST", &absent, &[], b"").status, 202);
}

#[test]
fn location_takes_the_form_that_was_asked_for() {
    for (location, expected) in [
        (Location::Relative, Some("/v2/c/x/")),
        (Location::Missing, None),
        (
            Location::Foreign("http://other.invalid".to_owned()),
            Some("http://other.invalid/v2/c/x/"),
        ),
        (Location::Verbatim("::not a url".to_owned()), Some("::not a url")),
    ] {
        let registry = Registry::start(Options { location, ..Options::default() });
        let reply = send(&registry, "POST", "/v2/c/x/blobs/uploads/", &[], b"");
        match (reply.header("location"), expected) {
            (Some(found), Some(expected)) => assert!(found.starts_with(expected), "{found}"),
            (found, expected) => assert_eq!(found, expected),
        }
    }
}

#[test]
fn puts_a_manifest_and_refuses_bad_ones() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    let subject = pushed.manifest_digest.as_str();
    let body = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{{\"digest\":\"{}\"}},\"layers\":[],\"subject\":{{\"digest\":\"{subject}\"}}}}",
        media_type::MANIFEST,
        pushed.config_digest
    );
    let typed = format!("content-type: {}", media_type::MANIFEST);
    let put = |reference: &str, body: &str| {
        send(
            &registry,
            "PUT",
            &format!("/v2/charts/web/manifests/{reference}"),
            &[&typed],
            body.as_bytes(),
        )
    };
    let digest = digest_of(body.as_bytes());
    let reply = put(&digest, &body);
    assert_eq!((reply.status, reply.header("oci-subject")), (201, Some(subject)));
    assert_eq!(reply.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(registry.referrers("charts/web", subject).len(), 1);
    assert_eq!(registry.tags("charts/web"), ["1.4.2"]);

    assert_eq!(put(subject, &body).status, 400, "another digest");
    assert_eq!(put("-tag", &body).status, 400, "no tag");
    let unknown = body.replace(&pushed.config_digest, &digest_of(b"nowhere"));
    let reply = put("next", &unknown);
    assert_eq!(reply.json()["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn oci_subject_follows_the_api_or_lies() {
    for (referrers, oci_subject, expected) in [
        (Referrers::Api, None, true),
        (Referrers::NotFound, None, false),
        (Referrers::NotFound, Some(true), true),
        (Referrers::Api, Some(false), false),
    ] {
        let registry = Registry::start(Options { referrers, oci_subject, ..Options::default() });
        let body = "{\"subject\":{\"digest\":\"sha256:00\"}}";
        let reply =
            send(&registry, "PUT", "/v2/c/x/manifests/t", &["content-type: a/b"], body.as_bytes());
        assert_eq!(reply.header("oci-subject").is_some(), expected);
    }
}

#[test]
fn pages_tags_with_links() {
    let registry = Registry::start(Options { page_size: 2, ..Options::default() });
    for version in ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"] {
        registry.push_chart("charts/web", &Chart::new("web", version));
    }
    let (mut path, mut tags, mut pages) = ("/v2/charts/web/tags/list".to_owned(), Vec::new(), 0);
    loop {
        let reply = get(&registry, &path);
        pages += 1;
        tags.extend(
            reply.json()["tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tag| tag.as_str().unwrap().to_owned()),
        );
        let Some(link) = reply.header("link") else { break };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!((pages, tags.len()), (3, 5));
    assert_eq!(tags, registry.tags("charts/web"));
}

#[test]
fn pages_and_filters_referrers() {
    let registry = Registry::start(Options { page_size: 2, ..Options::default() });
    let subject = web(&registry).manifest_digest;
    let attached: Vec<_> = (0..5).map(|number| attach(&registry, &subject, number)).collect();
    let (mut path, mut found) = (format!("/v2/charts/web/referrers/{subject}"), Vec::new());
    loop {
        let reply = get(&registry, &path);
        assert_eq!(reply.header("content-type"), Some(media_type::INDEX));
        for entry in reply.json()["manifests"].as_array().unwrap() {
            assert_eq!(entry["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
            found.push(entry["digest"].as_str().unwrap().to_owned());
        }
        let Some(link) = reply.header("link") else { break };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(found, attached);
    let filtered =
        get(&registry, &format!("/v2/charts/web/referrers/{subject}?artifactType=a%2Fb"));
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(filtered.json()["manifests"].as_array().unwrap().len(), 0);
}

#[test]
fn referrers_answer_in_every_shape_that_was_seen() {
    for (referrers, status, content_type) in [
        (Referrers::Api, 200, Some(media_type::INDEX)),
        (Referrers::Empty, 200, Some(media_type::INDEX)),
        (Referrers::FalseOk, 200, Some("application/json")),
        (Referrers::NotFound, 404, Some("text/plain; charset=utf-8")),
        (Referrers::NotFoundJson, 404, Some("application/json; charset=utf-8")),
        (Referrers::ApiForKnown, 404, Some("application/json; charset=utf-8")),
        (Referrers::Status(401), 401, Some("application/json; charset=utf-8")),
        (Referrers::RedirectTo("https://web.invalid{path}".to_owned()), 303, None),
    ] {
        let registry =
            Registry::start(Options { referrers: referrers.clone(), ..Options::default() });
        let path = format!("/v2/charts/web/referrers/{}", digest_of(b"x"));
        let reply = get(&registry, &path);
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, content_type),
            "{referrers:?}"
        );
        assert_eq!(reply.header("www-authenticate"), None);
        if status == 303 {
            assert_eq!(
                reply.header("location"),
                Some(format!("https://web.invalid{path}").as_str())
            );
        }
    }
}

#[test]
fn deletes_tags_and_manifests() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    assert_eq!(send(&registry, "DELETE", "/v2/charts/web/manifests/1.4.2", &[], b"").status, 202);
    assert!(registry.tags("charts/web").is_empty());
    let path = format!("/v2/charts/web/manifests/{}", pushed.manifest_digest);
    assert_eq!(send(&registry, "DELETE", &path, &[], b"").status, 202);
    assert_eq!(get(&registry, &path).status, 404);
}

#[test]
fn basic_authentication_wants_the_right_password() {
    let auth = Auth::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let registry = Registry::start(Options { auth, ..Options::default() });
    web(&registry);
    let refused = get(&registry, "/v2/");
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Basic realm=\"kit\""))
    );
    for (credentials, status) in [("u:p", 200), ("u:q", 401)] {
        let line = format!(
            "authorization: Basic {}",
            base64::engine::general_purpose::STANDARD.encode(credentials)
        );
        let reply = send(&registry, "GET", "/v2/charts/web/manifests/1.4.2", &[&line], b"");
        assert_eq!(reply.status, status);
    }
    let seen: Vec<_> = registry.requests().iter().map(|request| request.authorization).collect();
    assert_eq!(seen, [false, true, true]);
    assert!(!format!("{:?}", registry.requests()).contains("dTpw"), "the log holds no secret");
}

fn token(
    registry: &Registry,
    scope: &str,
    credentials: Option<&str>,
    field: &str,
) -> Option<String> {
    let line = credentials.map(|credentials| {
        format!(
            "authorization: Basic {}",
            base64::engine::general_purpose::STANDARD.encode(credentials)
        )
    });
    let headers: Vec<_> = line.as_deref().into_iter().collect();
    let reply = send(registry, "GET", &format!("/token?service=kit&scope={scope}"), &headers, b"");
    (reply.status == 200).then(|| reply.json()[field].as_str().unwrap().to_owned())
}

#[test]
fn bearer_tokens_open_what_their_scope_names() {
    let bearer =
        Bearer { anonymous_pull: true, field: TokenField::AccessToken, ..Bearer::new("u", "p") };
    let registry = Registry::start(Options { auth: Auth::Bearer(bearer), ..Options::default() });
    web(&registry);
    let path = "/v2/charts/web/manifests/1.4.2";
    let challenge = get(&registry, path);
    let expected = format!(
        "Bearer realm=\"{}/token\",service=\"kit\",scope=\"repository:charts/web:pull\"",
        registry.origin()
    );
    assert_eq!(
        (challenge.status, challenge.header("www-authenticate")),
        (401, Some(expected.as_str()))
    );

    let with = |method: &str, path: &str, token: &str| {
        send(&registry, method, path, &[&format!("authorization: Bearer {token}")], b"")
    };
    let anonymous =
        token(&registry, "repository:charts/web:pull,push", None, "access_token").unwrap();
    assert_eq!(with("GET", path, &anonymous).status, 200);
    let refused = with("POST", "/v2/charts/web/blobs/uploads/", &anonymous);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().ends_with("error=\"insufficient_scope\""));

    let push =
        token(&registry, "repository:charts/web:pull,push", Some("u:p"), "access_token").unwrap();
    assert_eq!(with("POST", "/v2/charts/web/blobs/uploads/", &push).status, 202);
    assert_eq!(
        with("GET", "/v2/charts/other/manifests/1", &push).status,
        401,
        "another repository"
    );
    assert_eq!(with("GET", "/v2/", &push).status, 200);
    assert_eq!(
        token(&registry, "repository:charts/web:pull", Some("u:wrong"), "access_token"),
        None
    );

    assert_eq!(registry.requests().len() - registry.registry_requests_count(), 3);
    registry.revoke_tokens();
    assert_eq!(with("GET", path, &push).status, 401);
}

#[test]
fn bearer_tokens_wear_out_and_come_from_refresh_tokens() {
    let refresh_token = Some("r".to_owned());
    let bearer = Bearer { uses: Some(1), refresh_token, ..Bearer::new("u", "p") };
    let registry = Registry::start(Options { auth: Auth::Bearer(bearer), ..Options::default() });
    web(&registry);
    let form =
        "grant_type=refresh_token&refresh_token=r&service=kit&scope=repository:charts/web:pull";
    let reply = send(&registry, "POST", "/token", &[], form.as_bytes());
    let line = format!("authorization: Bearer {}", reply.json()["token"].as_str().unwrap());
    let get = || send(&registry, "GET", "/v2/charts/web/tags/list", &[&line], b"").status;
    assert_eq!((get(), get()), (200, 401));
    let wrong = form.replace("refresh_token=r&", "refresh_token=x&");
    assert_eq!(send(&registry, "POST", "/token", &[], wrong.as_bytes()).status, 401);
}

#[test]
fn one_registry_can_be_the_realm_of_another() {
    let own = Bearer::new("u", "p");
    let realm = Registry::start(Options { auth: Auth::Bearer(own.clone()), ..Options::default() });
    let other = Bearer { realm: Some(format!("{}/token", realm.origin())), ..own };
    let registry = Registry::start(Options { auth: Auth::Bearer(other), ..Options::default() });
    web(&registry);
    let token = token(&realm, "repository:charts/web:pull", Some("u:p"), "token").unwrap();
    let line = format!("authorization: Bearer {token}");
    assert_eq!(send(&registry, "GET", "/v2/charts/web/tags/list", &[&line], b"").status, 200);
}

const MANIFEST: &str = "/v2/charts/web/manifests/1.4.2";

#[test]
fn faults_skip_and_stop() {
    let registry = Registry::start(Options::default());
    web(&registry);
    let action = Action::status_with(429, "Retry-After", "7");
    registry.fault(Fault::new("/manifests/", action).method("GET").skip(1).times(2));
    let replies: Vec<_> = (0..4).map(|_| get(&registry, MANIFEST)).collect();
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 429, 429, 200]);
    assert_eq!(replies[1].header("retry-after"), Some("7"));
    assert_eq!(replies[1].json()["errors"][0]["code"], "TOOMANYREQUESTS");
    assert_eq!(send(&registry, "HEAD", MANIFEST, &[], b"").status, 200);
    let faulted: Vec<_> = registry.requests().iter().map(|request| request.faulted).collect();
    assert_eq!(faulted, [false, true, true, false, false]);
}

/// The answer to a GET of the manifest under one fault, and what the log says of it.
fn under(action: Action) -> (Reply, Request, Vec<u8>) {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    registry.fault(Fault::once("", action));
    let reply = get(&registry, MANIFEST);
    (reply, registry.requests().remove(0), pushed.manifest)
}

#[test]
fn faults_spoil_the_body() {
    let (reply, request, _) = under(Action::Truncate(10));
    assert_eq!((reply.status, reply.body.len(), reply.broken), (200, 10, true));
    assert_eq!(request.sent_bytes, 10);

    let (reply, _, whole) = under(Action::FlipBit);
    let differing = reply.body.iter().zip(&whole).filter(|(a, b)| a != b).count();
    assert_eq!((reply.body.len(), differing, reply.broken), (whole.len(), 1, false));

    let (reply, _, whole) = under(Action::Drip { bytes: 100, every_ms: 1 });
    assert_eq!((reply.body, reply.broken), (whole, false));

    let (reply, _, _) = under(Action::ReplaceBody(b"{}".to_vec()));
    assert_eq!(
        (reply.body.as_slice(), reply.header("content-type")),
        (&b"{}"[..], Some(media_type::MANIFEST))
    );

    let (reply, _, whole) = under(Action::Gzip);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut plain).unwrap();
    assert_eq!((plain, reply.header("content-encoding")), (whole, Some("gzip")));

    let (reply, _, whole) = under(Action::Chunked);
    assert_eq!(
        (reply.header("content-length"), reply.header("transfer-encoding")),
        (None, Some("chunked"))
    );
    assert!(reply.body.len() > whole.len());

    let (reply, _, _) = under(Action::SetHeader("content-length".to_owned(), "99999".to_owned()));
    assert!(reply.broken);
}

#[test]
fn faults_change_headers_and_redirect() {
    let (reply, _, _) =
        under(Action::SetHeader("link".to_owned(), "<{path}>; rel=\"next\"".to_owned()));
    assert_eq!(reply.header("link"), Some(format!("<{MANIFEST}>; rel=\"next\"").as_str()));
    let (reply, _, _) = under(Action::DropHeader("Docker-Content-Digest".to_owned()));
    assert_eq!((reply.status, reply.header("docker-content-digest")), (200, None));
    let (reply, _, _) = under(Action::ReplaceContentType("text/html".to_owned()));
    assert_eq!(reply.header("content-type"), Some("text/html"));
    let to = "http://cdn.invalid{path}".to_owned();
    let (reply, request, _) = under(Action::Redirect { to, status: 307 });
    assert_eq!((reply.status, request.status), (307, 307));
    assert_eq!(reply.header("location"), Some(format!("http://cdn.invalid{MANIFEST}").as_str()));
}

#[test]
fn faults_close_without_an_answer() {
    for action in [Action::Reset, Action::LoseAnswer] {
        let (reply, request, _) = under(action);
        assert_eq!((reply.status, reply.broken, request.status), (0, true, 0));
    }
    let registry = Registry::start(Options::default());
    for (action, stored) in [(Action::Reset, false), (Action::LoseAnswer, true)] {
        registry.fault(Fault::once("", action));
        let path = format!("/v2/c/x/blobs/uploads/?digest={}", digest_of(b"hello"));
        send(&registry, "POST", &path, &[], b"hello");
        assert_eq!(registry.blob("c/x", &digest_of(b"hello")).is_some(), stored);
    }
}

#[test]
fn hanging_answers_do_not_keep_the_registry_alive() {
    for (action, head) in [(Action::Hang, false), (Action::HangAfter(5), true)] {
        let registry = Registry::start(Options::default());
        web(&registry);
        registry.fault(Fault::new("", action));
        let mut stream = open(&registry, &format!("GET {MANIFEST} HTTP/1.1\r\n"), b"");
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).unwrap_err().kind();
        assert!(matches!(end, ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert_eq!(!bytes.is_empty(), head);
        let start = Instant::now();
        drop(registry);
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn an_endless_body_ends_when_the_client_leaves() {
    let registry = Registry::start(Options::default());
    web(&registry);
    registry.fault(Fault::new("", Action::Endless));
    let mut stream = open(&registry, &format!("GET {MANIFEST} HTTP/1.1\r\n"), b"");
    let mut bytes = vec![0; 8 << 20];
    stream.read_exact(&mut bytes).unwrap();
    drop(stream);
    let (mut before, mut sent) = (0, registry.requests()[0].sent_bytes);
    while before != sent {
        std::thread::sleep(Duration::from_millis(100));
        (before, sent) = (sent, registry.requests()[0].sent_bytes);
    }
    assert!((8 << 20..ENDLESS / 4).contains(&sent), "{sent}");
}

#[test]
fn a_hook_moves_a_tag_after_it_was_read() {
    let registry = Registry::start(Options::default());
    let first = web(&registry);
    let next = registry.push_chart("charts/web", &Chart::new("web", "1.5.0"));
    let moved = next.manifest_digest.clone();
    registry.fault(Fault::once(
        "/manifests/1.4.2",
        Action::run(move |store| store.tag("charts/web", "1.4.2", &moved)),
    ));
    assert_eq!(get(&registry, MANIFEST).body, first.manifest);
    assert_eq!(get(&registry, MANIFEST).body, next.manifest);
}

#[test]
fn every_answer_waits_when_told_so() {
    let registry = Registry::start(Options::default());
    registry.delay_per_response(60);
    let start = Instant::now();
    get(&registry, "/v2/");
    get(&registry, "/v2/");
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!((registry.connections(), registry.most_concurrent()), (2, 1));
}

#[test]
fn registries_of_today_have_their_ways() {
    let registry = Registry::start(Options {
        immutable_tags: true,
        digest_tags: true,
        allowed_types: Some(vec![media_type::CHART_CONFIG.to_owned()]),
        ..Options::default()
    });
    let pushed = web(&registry);
    let typed = format!("content-type: {}", media_type::MANIFEST);
    let put = |tag: &str, body: &[u8]| {
        send(&registry, "PUT", &format!("/v2/charts/web/manifests/{tag}"), &[&typed], body).status
    };
    assert_eq!(put("1.4.2", &pushed.manifest), 412);
    assert_eq!(put("1.4.3", &pushed.manifest), 201);
    assert_eq!(
        put("1.4.4", b"{\"artifactType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\"}"),
        400
    );
    let tag = pushed.manifest_digest.replace(':', "-");
    assert_eq!(get(&registry, &format!("/v2/charts/web/manifests/{tag}")).body, pushed.manifest);
}

#[test]
fn two_registries_can_serve_one_content() {
    let content = Registry::start(Options::default());
    let pushed = web(&content);
    let store = Some(content.store());
    let front = Registry::start(Options { store, ..Options::default() });
    assert_eq!(get(&front, MANIFEST).body, pushed.manifest);
    assert_eq!((content.requests().len(), front.requests().len()), (0, 1));
}

#[test]
fn makes_an_index_of_any_length() {
    let index: Value = serde_json::from_slice(&index_of(1000)).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 1000);
    assert_ne!(entries[0]["digest"], entries[999]["digest"]);
}

#[test]
fn provenance_becomes_a_layer_and_layers_are_sorted() {
    let registry = Registry::start(Options::default());
    let pushed =
        registry.push_chart("charts/web", &Chart::new("web", "1.4.2+b.5").provenance("signed"));
    assert_eq!(pushed.tag, "1.4.2_b.5");
    let manifest: Value = serde_json::from_slice(&pushed.manifest).unwrap();
    let layers: Vec<_> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["digest"].as_str().unwrap())
        .collect();
    assert_eq!(layers.len(), 2);
    assert!(layers.is_sorted() && layers.contains(&pushed.provenance_digest.unwrap().as_str()));
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.4.2+b.5");
}
