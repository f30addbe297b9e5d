//! The registry over a raw socket: no client of ours may hide what goes over the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use super::*;
use crate::chart::Chart;

mod auth;
mod endpoints;
mod faults;
mod tls;

const MANIFEST: &str = "/v2/charts/web/manifests/1.4.2";

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
