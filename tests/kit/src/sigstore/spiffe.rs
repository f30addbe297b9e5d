//! The SPIFFE Workload API of an agent, as far as a workload asks it for a JWT-SVID: gRPC over a socket file.
//!
//! The workload is `spiffe://acme.example/ns/ci/sa/release`. Faults of the identity provider are those of the agent:
//! a status is "permission denied", whatever its number.

use std::path::Path;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request as HttpRequest, Response, StatusCode};
use tokio::net::{UnixListener, UnixStream};

use super::Sigstore;
use super::error::{Error, Result};
use super::fault::{Fault, Service};
use super::http::{Request, lock};
use super::identity::{Identity, IssuerKind};
use super::instance::Instance;

const METHOD: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";

impl Sigstore {
    /// Serves the Workload API at a socket file that is not there yet; `SPIFFE_ENDPOINT_SOCKET` is then `unix://` and
    /// its path.
    ///
    /// # Errors
    /// If there can be no such socket.
    pub fn serve_workload_api(&self, socket: &Path) -> Result<()> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::new("the instance has ended"))?;
        let _guard = runtime.enter();
        let listener = UnixListener::bind(socket)?;
        let instance = Arc::clone(&self.instance);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&instance)));
            }
        });
        Ok(())
    }
}

async fn serve(stream: UnixStream, instance: Arc<Instance>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&instance)));
    }
}

async fn answer(
    request: HttpRequest<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    instance: Arc<Instance>,
) {
    let (head, mut body) = request.into_parts();
    let (method, path) = (head.method.as_str().to_owned(), head.uri.path().to_owned());
    lock(&instance.requests).push(Request { service: Service::Oidc, method: method.clone(), path });
    let mut asked = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        asked.extend_from_slice(&data);
    }
    let fault = instance.faults.take(Service::Oidc, &method);
    if matches!(fault, Some(Fault::Hang(_))) {
        std::future::pending::<()>().await;
    }
    let known = head.uri.path() == METHOD
        && head.headers.get("workload.spiffe.io").is_some_and(|value| value == "true")
        && head.headers.get(CONTENT_TYPE).is_some_and(|value| value == "application/grpc");
    let (status, message) = match fault {
        Some(Fault::Status(..)) => ("7", Vec::new()),
        Some(Fault::Garbage(_)) => ("0", b"<html>Welcome</html>".to_vec()),
        _ if !known => ("3", Vec::new()),
        _ => match svid(&instance, &asked) {
            Some(message) => ("0", message),
            None => ("13", Vec::new()),
        },
    };
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::OK;
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    // A client that goes away in the middle is its own affair.
    let _ = stream.send_data(Bytes::from(message), false);
    let _ = stream.send_trailers(trailers);
}

/// The answer to a request with one audience of at most 127 bytes.
fn svid(instance: &Instance, asked: &[u8]) -> Option<Vec<u8>> {
    let [0, _, _, _, _, 0x0a, length, audience @ ..] = asked else { return None };
    let audience = std::str::from_utf8(audience.get(..usize::from(*length))?).ok()?;
    let kind = IssuerKind::Spiffe;
    let identity = Identity::of_kind(kind, None, &instance.oidc.issuer(kind));
    let token = instance.oidc.token(&identity.with_audience(audience)).ok()?;
    let svid =
        [field(1, b"spiffe://acme.example/ns/ci/sa/release"), field(2, token.as_bytes())].concat();
    let message = field(1, &svid);
    let length = u32::try_from(message.len()).ok()?;
    Some([&[0], length.to_be_bytes().as_slice(), &message].concat())
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        bytes.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap_or_default());
    bytes.extend_from_slice(value);
    bytes
}
