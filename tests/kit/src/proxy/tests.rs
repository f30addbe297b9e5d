use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use super::*;
use crate::registry::{Options, Registry};

#[test]
fn counts_what_passes_and_delays_every_response() {
    let registry = Registry::start(Options::default());
    let (host, control) = started(&registry.host());

    get(&control, "/reset?delay=50");
    let since = Instant::now();
    assert!(get(&host, "/v2/").starts_with("HTTP/1.1 200"));
    assert!(get(&host, "/v2/a/manifests/none").starts_with("HTTP/1.1 404"));
    assert!(since.elapsed() >= Duration::from_millis(100), "each response is delayed");

    let counts = get(&control, "/counts");
    for part in ["\"requests\":2", "\"depth\":2", "\"connections\":2", "\"200\":1", "\"404\":1"] {
        assert!(counts.contains(part), "{part} in {counts}");
    }
    get(&control, "/reset?delay=0");
    assert!(get(&control, "/counts").contains("\"requests\":0"));
}

#[test]
fn requests_side_by_side_are_one_step() {
    let registry = Registry::start(Options::default());
    let (host, control) = started(&registry.host());
    get(&control, "/reset?delay=300");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| get(&host, "/v2/"));
        }
    });
    let counts = get(&control, "/counts");
    assert!(counts.contains("\"requests\":4") && counts.contains("\"depth\":1"), "{counts}");
}

#[test]
fn a_server_that_is_not_there_is_a_bad_gateway() {
    let (host, control) = started("127.0.0.1:9");
    assert!(get(&host, "/v2/").starts_with("HTTP/1.1 502"));
    assert!(get(&control, "/counts").contains("\"failures\":1"));
}

#[test]
fn a_connection_to_the_server_serves_one_client_after_the_other() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let server = listener.local_addr().expect("address").to_string();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            tell.send(()).expect("told");
            std::thread::spawn(move || answer(stream));
        }
    });
    let (host, control) = started(&server);
    for _ in 0..3 {
        assert!(get(&host, "/").ends_with("ok"));
    }
    assert_eq!(told.try_iter().count(), 1);
    assert!(get(&control, "/counts").contains("\"connections\":3"));
}

/// Answers every request on a connection.
fn answer(mut stream: std::net::TcpStream) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while matches!(stream.read(&mut byte), Ok(1)) {
        seen.extend(byte);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("sends");
        }
    }
}

/// Host and control of a proxy that lives as long as the test process.
fn started(server: &str) -> (String, String) {
    let server = server.to_owned();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let proxy = Proxy::start(&server).expect("starts");
            tell.send((proxy.host().to_owned(), proxy.control().to_owned())).expect("told");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the proxy's ports")
}

fn get(host: &str, path: &str) -> String {
    let host = host.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).expect("connects");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .expect("sends");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answers");
    text
}
