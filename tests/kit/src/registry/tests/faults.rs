//! What can go wrong on purpose.

use super::*;

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
