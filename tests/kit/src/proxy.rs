//! A proxy in front of one server that counts what passes and may add a time to every response: what the benchmark
//! measures registries through. Plain HTTP/1.1, a connection to the server for each of the client's, which is kept for
//! the next client, Nagle's algorithm off on both.
//!
//! The time is added between the server's response and its way to the client, so requests that are made side by side
//! wait side by side. What takes part in no response (names, connections, TLS) is not delayed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Failure>>;

/// What has passed since the last reset.
#[derive(Debug, Clone, Default)]
struct Counts {
    /// Which measurement this is: what an earlier one left open is not counted in a later one.
    epoch: u64,
    requests: u64,
    connections: u64,
    /// Responses of the proxy's own, because the server gave none.
    failures: u64,
    /// Bytes of response bodies, and of request bodies.
    received: u64,
    sent: u64,
    /// The longest chain of requests of which each began after the one before had been answered in full.
    depth: u64,
    /// The longest such chain among those that have been answered.
    answered: u64,
    statuses: BTreeMap<u16, u64>,
}

#[derive(Debug, Default)]
struct Shared {
    /// `HOST:PORT` of the server.
    server: String,
    counts: Mutex<Counts>,
    delay: Mutex<Duration>,
    /// Connections to the server whose clients have gone.
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Incoming>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delay(&self) -> Duration {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy and its control, both on loopback ports that the system chose; they live as long as the process.
///
/// `GET /counts` of the control has the counts as JSON, `GET /reset?delay=MILLISECONDS` begins anew.
#[derive(Debug)]
pub struct Proxy {
    host: String,
    control: String,
}

impl Proxy {
    /// In front of `server`, which is `HOST:PORT`. Has to be called within a runtime.
    pub fn start(server: &str) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { server: server.to_owned(), ..Shared::default() });
        let (listener, host) = listen()?;
        let (controls, control) = listen()?;
        tokio::spawn(accept(listener, Arc::clone(&shared), true));
        tokio::spawn(accept(controls, shared, false));
        Ok(Self { host, control: format!("http://{control}") })
    }

    /// `127.0.0.1:PORT` in place of the server's.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `http://127.0.0.1:PORT` of the control.
    #[must_use]
    pub fn control(&self) -> &str {
        &self.control
    }
}

fn listen() -> std::io::Result<(tokio::net::TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let host = listener.local_addr()?.to_string();
    Ok((tokio::net::TcpListener::from_std(listener)?, host))
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>, passing: bool) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let server: Arc<tokio::sync::Mutex<Option<SendRequest<Incoming>>>> = Arc::default();
            let (kept, of) = (Arc::clone(&shared), Arc::clone(&server));
            let service = service_fn(move |request| {
                let (shared, server) = (Arc::clone(&shared), Arc::clone(&of));
                async move {
                    Ok::<_, Infallible>(if passing {
                        pass(&shared, &mut *server.lock().await, request).await
                    } else {
                        control(&shared, &request)
                    })
                }
            });
            if passing {
                kept.counts().connections += 1;
            }
            // Errors here are clients that went away.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            let server = server.lock().await.take().filter(|server| !server.is_closed());
            kept.idle().extend(server);
        });
    }
}

async fn pass(
    shared: &Arc<Shared>,
    server: &mut Option<SendRequest<Incoming>>,
    request: Request<Incoming>,
) -> Answer {
    let open = {
        let mut counts = shared.counts();
        counts.requests += 1;
        let depth = counts.answered + 1;
        counts.depth = counts.depth.max(depth);
        counts.sent += request.body().size_hint().exact().unwrap_or(0);
        Open { shared: Arc::clone(shared), epoch: counts.epoch, depth }
    };
    let response = forward(shared, server, request).await;
    match shared.delay() {
        Duration::ZERO => {}
        // The runtime's own clock ticks in milliseconds.
        delay => drop(tokio::task::spawn_blocking(move || std::thread::sleep(delay)).await),
    }
    let status = response.as_ref().map_or(StatusCode::BAD_GATEWAY, Response::status);
    {
        let mut counts = shared.counts();
        *counts.statuses.entry(status.as_u16()).or_default() += 1;
        counts.failures += u64::from(response.is_err());
    }
    match response {
        Ok(response) => response.map(|body| Counted { body, open }.map_err(Into::into).boxed()),
        Err(error) => {
            *server = None;
            text(StatusCode::BAD_GATEWAY, error.to_string())
        }
    }
}

/// Sends it on, over the connection that there is or a new one.
async fn forward(
    shared: &Shared,
    server: &mut Option<SendRequest<Incoming>>,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Failure> {
    // It is about the client's connection (RFC 9110 section 7.6.1).
    request.headers_mut().remove(hyper::header::CONNECTION);
    // A connection to the server outlives the client's: to open one is no part of what is measured.
    loop {
        if server.is_none() {
            *server = shared.idle().pop();
        }
        let Some(sender) = server else { break };
        if sender.ready().await.is_ok() {
            break;
        }
        *server = None;
    }
    if server.is_none() {
        let stream = TcpStream::connect(&shared.server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        *server = Some(sender);
    }
    let sender = server.as_mut().ok_or("no connection")?;
    Ok(sender.send_request(request).await?)
}

fn control(shared: &Shared, request: &Request<Incoming>) -> Answer {
    match request.uri().path() {
        "/counts" => {
            let counts = shared.counts().clone();
            let json = serde_json::json!({
                "requests": counts.requests, "connections": counts.connections, "failures": counts.failures,
                "received": counts.received, "sent": counts.sent, "depth": counts.depth, "statuses": counts.statuses,
            });
            text(StatusCode::OK, json.to_string())
        }
        "/reset" => {
            let query = request.uri().query().unwrap_or_default();
            let Some(Ok(delay)) = query.strip_prefix("delay=").map(str::parse) else {
                return text(StatusCode::BAD_REQUEST, "reset?delay=MILLISECONDS".to_owned());
            };
            let mut counts = shared.counts();
            *counts = Counts { epoch: counts.epoch + 1, ..Counts::default() };
            *shared.delay.lock().unwrap_or_else(PoisonError::into_inner) =
                Duration::from_millis(delay);
            text(StatusCode::OK, String::new())
        }
        _ => text(StatusCode::NOT_FOUND, String::new()),
    }
}

fn text(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer
}

/// A request whose response is not yet with the client; dropped with the last of its bytes.
struct Open {
    shared: Arc<Shared>,
    epoch: u64,
    depth: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut counts = self.shared.counts();
        if counts.epoch == self.epoch {
            counts.answered = counts.answered.max(self.depth);
        }
    }
}

/// A response body whose bytes are counted.
struct Counted {
    body: Incoming,
    open: Open,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let mut counts = self.open.shared.counts();
            if counts.epoch == self.open.epoch {
                counts.received += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
