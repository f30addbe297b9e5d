//! The small HTTP server under all services: sockets, request log, faults that need no service.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;

use super::error::Result;
use super::fault::{Fault, Service};
use super::instance::Instance;

/// No request that a client of these services makes is larger.
const MAX_REQUEST_BYTES: usize = 8 << 20;

/// How many free ports are tried until one is free on both loopback addresses.
const PORT_ATTEMPTS: usize = 20;

/// One request that a service received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who received it.
    pub service: Service,
    /// Its method.
    pub method: String,
    /// Its path with the query, if any.
    pub path: String,
}

/// A request on its way to a service.
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) fault: Option<Fault>,
}

impl Call {
    /// The first query parameter of this name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The token of an `Authorization: Bearer` header; cosign writes the scheme in lower case.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let header = self.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }
}

/// An answer.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![(CONTENT_TYPE, content_type.into())], body: body.into() }
    }

    pub(crate) fn json(status: u16, document: &impl Serialize) -> Self {
        match serde_json::to_vec(document) {
            Ok(body) => Self::new(status, "application/json", body),
            Err(error) => Self::text(500, error.to_string()),
        }
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body of an answer that says yes.
    pub(crate) fn success(self) -> Option<Vec<u8>> {
        (200..300).contains(&self.status).then_some(self.body)
    }

    fn into_response(self) -> hyper::Response<Full<Bytes>> {
        let mut response = hyper::Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = hyper::StatusCode::from_u16(self.status)
            .unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Locks a mutex; a test that panicked while it held one does not take the others down.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sockets of one service: the same port on 127.0.0.1 and, where there is IPv6, on `[::1]`, because `localhost`
/// may mean either.
pub(crate) struct Sockets {
    pub(crate) port: u16,
    listeners: Vec<TcpListener>,
}

impl Sockets {
    pub(crate) fn bind() -> Result<Self> {
        let mut last = None;
        for _ in 0..PORT_ATTEMPTS {
            let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = first.local_addr()?.port();
            let listeners = match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))) {
                Ok(second) => vec![first, second],
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    last = Some(error);
                    continue;
                }
                Err(_) => vec![first],
            };
            for listener in &listeners {
                listener.set_nonblocking(true)?;
            }
            return Ok(Self { port, listeners });
        }
        Err(last.unwrap_or_else(|| io::Error::other("no free port")).into())
    }

    /// Serves until the runtime ends. To be called inside the runtime.
    pub(crate) fn serve(self, service: Service, instance: &Arc<Instance>) -> Result<()> {
        for listener in self.listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(accept(listener, service, Arc::clone(instance)));
        }
        Ok(())
    }
}

async fn accept(listener: tokio::net::TcpListener, service: Service, instance: Arc<Instance>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: let some connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let instance = Arc::clone(&instance);
        tokio::spawn(async move {
            let handler = service_fn(|request| respond(service, &instance, request));
            // A client that goes away in the middle is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), handler)
                .await;
        });
    }
}

async fn respond(
    service: Service,
    instance: &Instance,
    request: hyper::Request<Incoming>,
) -> std::result::Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let method = head.method.as_str().to_owned();
    let path = head.uri.path().to_owned();
    let target = head.uri.path_and_query().map_or_else(|| path.clone(), ToString::to_string);
    lock(&instance.requests).push(Request { service, method: method.clone(), path: target });

    let body = match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(Reply::text(400, error.to_string()).into_response()),
    };
    let fault = instance.faults.take(service, &method);
    match &fault {
        Some(Fault::Hang(_)) => std::future::pending().await,
        Some(Fault::Delay(_, time)) => tokio::time::sleep(*time).await,
        Some(Fault::Status(_, status)) => {
            return Ok(instance.failure(service, *status).into_response());
        }
        Some(Fault::Throttle(_, seconds)) => {
            let reply = instance.failure(service, 429);
            return Ok(reply.with_header(RETRY_AFTER, seconds.to_string()).into_response());
        }
        Some(Fault::Garbage(_)) => {
            return Ok(Reply::new(200, "text/html", "<html>Welcome</html>").into_response());
        }
        _ => {}
    }
    let query = head.uri.query().map(form).unwrap_or_default();
    let call = Call { method, path, query, headers: head.headers, body, fault };
    Ok(instance.answer(service, &call).into_response())
}

/// The pairs of a query or a form (application/x-www-form-urlencoded).
pub(crate) fn form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = match first {
            b'%' => tail.get(..2).and_then(|digits| hex::decode(digits).ok()),
            b'+' => {
                bytes.push(b' ');
                continue;
            }
            _ => None,
        };
        match escaped {
            Some(escaped) => {
                bytes.extend(escaped);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        assert_eq!(
            form("kind=github&identity=a%2Fb%40refs&x=1+2&y&z=%zz"),
            [("kind", "github"), ("identity", "a/b@refs"), ("x", "1 2"), ("y", ""), ("z", "%zz")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
