//! The listener: connections, faults, the log. What a request means is `api`'s business.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::Options;
use super::answer::{Answer, Cut, Delivered};
use super::api::{self, Uploads};
use super::faults::{Action, Faults};
use super::log::{Log, path_and_query};
use super::store::Store;
use super::tls::Material;

/// The largest request body that is taken, in bytes.
const MAX_BODY: usize = 512 << 20;

/// What the handle in the test and the thread of the server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    /// `127.0.0.1:PORT`.
    pub(super) host: String,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) faults: Faults,
    pub(super) uploads: Uploads,
    /// Milliseconds before every answer.
    pub(super) delay: AtomicU64,
    pub(super) material: Option<Material>,
}

impl Shared {
    /// `http://127.0.0.1:PORT` or with `https`.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }
}

/// Serves until `stop` resolves; connections that are open then are dropped.
pub(super) fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let accepting = async {
            loop {
                // A peer that is gone before it was accepted is no reason to stop.
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                shared.log.connected();
                let shared = Arc::clone(&shared);
                match tls.clone() {
                    None => drop(tokio::spawn(serve(stream, shared))),
                    Some(tls) => drop(tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, shared).await;
                        }
                    })),
                }
            }
        };
        tokio::select! {
            _ = stop => (),
            () = accepting => (),
        }
        Ok(())
    })
}

async fn serve<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Small buffers, so that the count of sent bytes is near what the client took.
    builder.http1().max_buf_size(64 * 1024);
    // Errors here are peers that went away and connections that a fault cut.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    shared: &Shared,
    request: hyper::Request<Incoming>,
) -> Result<Response<Delivered>, Cut> {
    let _open = shared.log.open();
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes());
    let path = path_and_query(&parts);
    let actions = shared.faults.meet(&parts.method, &path);
    let length = body.as_ref().map_or(0, Bytes::len) as u64;
    let entry = shared.log.begin(&parts, length, !actions.is_empty());

    let delay = shared.delay.load(Ordering::SeqCst);
    if delay > 0 {
        sleep(Duration::from_millis(delay)).await;
    }
    let fill = |text: &str| text.replace("{path}", &path).replace("{host}", &shared.host);
    let mut instead = None;
    for action in &actions {
        match action {
            Action::Delay(time) => sleep(Duration::from_millis(*time)).await,
            Action::Hang => std::future::pending().await,
            Action::Reset => return Err(Cut),
            _ => instead = action.instead(&fill).or(instead),
        }
    }
    let mut answer = match (instead, body) {
        (Some(answer), _) => answer,
        (None, Ok(body)) => api::respond(shared, &parts, &body),
        (None, Err(_)) => Answer::error_of(StatusCode::PAYLOAD_TOO_LARGE),
    };
    for action in &actions {
        if matches!(action, Action::LoseAnswer) {
            return Err(Cut);
        }
        action.spoil(&mut answer, &shared.store, &fill);
    }
    entry.answered(answer.status.as_u16());
    Ok(answer.into_response(&parts.method, Arc::clone(&entry.sent)))
}
