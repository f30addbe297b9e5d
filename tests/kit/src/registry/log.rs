//! The request log.

use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;

/// One request as the registry saw it, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query as sent.
    pub path_and_query: String,
    /// Status of the answer; 0 while there is none (hanging, closed without one).
    pub status: u16,
    /// Whether an `Authorization` header was there.
    pub authorization: bool,
    /// Its scheme (`Basic`, `Bearer`), never its value.
    pub authorization_scheme: Option<String>,
    /// All other headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the request's body.
    pub body_bytes: u64,
    /// Bytes of the answer's body that the connection took; up to some 100 KB of them may still be
    /// in its buffers.
    pub sent_bytes: u64,
    /// Whether a fault met it.
    pub faulted: bool,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
}

impl Request {
    /// The path without query.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it went to the token endpoint.
    pub fn is_token(&self) -> bool {
        self.path() == "/token"
    }

    /// `METHOD path?query -> status`, for the message of a failed assertion.
    pub fn line(&self) -> String {
        format!("{} {} -> {}", self.method, self.path_and_query, self.status)
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Mutex<Vec<Arc<Entry>>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    connections: AtomicUsize,
}

/// One request whose answer may still be under way.
#[derive(Debug)]
pub(super) struct Entry {
    request: Request,
    status: AtomicU16,
    pub(super) sent: Arc<AtomicU64>,
}

impl Entry {
    pub(super) fn answered(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

impl Log {
    pub(super) fn begin(&self, parts: &Parts, body_bytes: u64, faulted: bool) -> Arc<Entry> {
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let authorization = parts.headers.get(AUTHORIZATION).map(text);
        let headers = parts.headers.iter().filter(|(name, _)| *name != AUTHORIZATION);
        let entry = Arc::new(Entry {
            request: Request {
                method: parts.method.to_string(),
                path_and_query: path_and_query(parts),
                status: 0,
                authorization: authorization.is_some(),
                authorization_scheme: authorization
                    .and_then(|value| value.split(' ').next().map(str::to_owned)),
                headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
                body_bytes,
                sent_bytes: 0,
                faulted,
                protocol: format!("{:?}", parts.version),
            },
            status: AtomicU16::new(0),
            sent: Arc::default(),
        });
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&entry));
        entry
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .iter()
            .map(|entry| Request {
                status: entry.status.load(Ordering::SeqCst),
                sent_bytes: entry.sent.load(Ordering::SeqCst),
                ..entry.request.clone()
            })
            .collect()
    }

    pub(super) fn reset(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.most_open.store(self.open.load(Ordering::SeqCst), Ordering::SeqCst);
        self.connections.store(0, Ordering::SeqCst);
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn most_open(&self) -> usize {
        self.most_open.load(Ordering::SeqCst)
    }

    /// Counts a request as open until the guard goes.
    pub(super) fn open(&self) -> Open<'_> {
        let now = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(now, Ordering::SeqCst);
        Open(self)
    }
}

pub(super) struct Open<'a>(&'a Log);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn path_and_query(parts: &Parts) -> String {
    parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string)
}
