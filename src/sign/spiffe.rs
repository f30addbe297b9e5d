//! JWT-SVIDs from the SPIFFE Workload API: one call over the socket that the agent opened for workloads.
//!
//! The API is gRPC (SPIFFE Workload API, section 6). A client library for it brings a second HTTP stack and a
//! generator of code; one unary call needs HTTP/2, which is linked already, and the three fields read below.

// Elsewhere there is no such socket, and nothing to read from it.
#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::token::{Token, bad};
use crate::error::{Class, Error, Reason, Result};

/// How long the agent may take in all.
const CALL_TIME: Duration = Duration::from_secs(10);
/// The most that is read of an answer, in bytes: several tokens.
const MAX_ANSWER_BYTES: usize = 512 << 10;
/// What a workload may not have (gRPC's `PERMISSION_DENIED`): nobody has registered it.
const PERMISSION_DENIED: &str = "7";
/// The headline of every error.
const WHAT: &str = "cannot get an identity token";

/// The Workload API of the agent on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadApi {
    socket: PathBuf,
}

impl WorkloadApi {
    /// Reads `SPIFFE_ENDPOINT_SOCKET` (SPIFFE Workload Endpoint, section 4). The form `tcp:` is not supported: nothing
    /// would say who answers.
    ///
    /// # Errors
    /// Usage (`bad-token`): it names no socket file by its whole path.
    pub fn parse(text: &str) -> Result<Self> {
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path.map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(socket) => Ok(Self { socket }),
            None => Err(bad("SPIFFE_ENDPOINT_SOCKET names no socket of this machine")
                .on(text)
                .cause("it has to be unix:///PATH")),
        }
    }

    /// The name for messages.
    pub(super) fn label(&self) -> String {
        format!("SPIFFE workload API ({})", self.socket.display())
    }

    /// Asks for a JWT-SVID for `audience`: the workload's default one, which comes first.
    #[cfg(unix)]
    pub(super) async fn ask(&self, audience: &str) -> Result<Token> {
        let asked = tokio::time::timeout(CALL_TIME, self.call(audience)).await;
        asked.unwrap_or_else(|_| Err(open(format!("no answer in {} s", CALL_TIME.as_secs()))))
    }

    #[cfg(not(unix))]
    pub(super) async fn ask(&self, _audience: &str) -> Result<Token> {
        Err(bad("the SPIFFE workload API is not supported on this platform"))
    }

    #[cfg(unix)]
    async fn call(&self, audience: &str) -> Result<Token> {
        use http::header::{CONTENT_TYPE, TE};

        let stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .map_err(|error| open(format!("the socket cannot be opened: {}", error.kind())))?;
        let broken = |error: h2::Error| open(format!("the call broke off: {error}"));
        let (client, connection) = h2::client::handshake(stream).await.map_err(broken)?;
        let request = http::Request::post("http://localhost/SpiffeWorkloadAPI/FetchJWTSVID")
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            // Keeps browsers and proxies that are talked into it away (SPIFFE Workload Endpoint, section 6).
            .header("workload.spiffe.io", "true")
            .body(())
            .map_err(|error| open(error.to_string()))?;
        let exchange = async {
            let mut client = client.ready().await.map_err(broken)?;
            let (answer, mut body) = client.send_request(request, false).map_err(broken)?;
            body.send_data(framed(&text_field(1, audience)).into(), true).map_err(broken)?;
            let answer = answer.await.map_err(broken)?;
            let status = |headers: &http::HeaderMap| {
                let status = headers.get("grpc-status")?.to_str().ok()?;
                Some(status.to_owned())
            };
            // A refusal may come without a body, its status among the headers.
            let early = status(answer.headers());
            let served = answer.status().is_success();
            let mut stream = answer.into_body();
            let mut bytes = Zeroizing::new(Vec::new());
            while let Some(data) = stream.data().await {
                let data = data.map_err(broken)?;
                stream.flow_control().release_capacity(data.len()).map_err(broken)?;
                if bytes.len() + data.len() > MAX_ANSWER_BYTES {
                    return Err(open(format!("its answer has more than {MAX_ANSWER_BYTES} bytes")));
                }
                bytes.extend_from_slice(&data);
            }
            let trailers = stream.trailers().await.map_err(broken)?;
            let late = trailers.as_ref().and_then(status);
            match early.or(late).as_deref() {
                Some("0") if served => first_svid(&bytes),
                Some(PERMISSION_DENIED) => Err(bad("this workload has no SPIFFE identity")
                    .cause("no registration of the agent fits it")
                    .hint("spire-server entry create")),
                Some(code) => {
                    Err(open(format!("gRPC status {}", super::service::said(code.as_bytes()))))
                }
                None => Err(open("what answers there speaks no gRPC".to_owned())),
            }
        };
        // The connection works only while it is polled.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            ended = &mut exchange => ended,
            closed = &mut connection => match closed {
                Err(error) => Err(broken(error)),
                Ok(()) => exchange.await,
            },
        }
    }
}

fn open(cause: String) -> Error {
    Error::new(Class::Undecided, Reason::ServiceUnreachable, WHAT).cause(cause)
}

/// A message as gRPC sends it: not compressed, its length, itself.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

/// A text as a field of a protobuf message.
fn text_field(number: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = text.len();
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// `JWTSVIDResponse.svids[0].svid` of a whole answer.
fn first_svid(answer: &[u8]) -> Result<Token> {
    let malformed = || open("its answer holds no token".to_owned());
    let [0, a, b, c, d, message @ ..] = answer else { return Err(malformed()) };
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    if u32::try_from(message.len()) != Ok(length) {
        return Err(malformed());
    }
    let svid = field(message, 1).and_then(|svid| field(svid, 2)).ok_or_else(malformed)?;
    let text = std::str::from_utf8(svid).map_err(|_| malformed())?;
    Token::parse(text)
}

/// The first field with this number that has a length (protobuf wire type 2).
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let (tag, rest) = varint(message)?;
        message = match tag & 7 {
            0 => varint(rest)?.1,
            1 => rest.get(8..)?,
            2 => {
                let (length, rest) = varint(rest)?;
                let length = usize::try_from(length).ok()?;
                let value = rest.get(..length)?;
                if tag >> 3 == wanted {
                    return Some(value);
                }
                rest.get(length..)?
            }
            5 => rest.get(4..)?,
            _ => return None,
        };
    }
    None
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::testing::{ISSUER, token};

    fn answer(token: &str) -> Vec<u8> {
        let svid = [text_field(1, "spiffe://acme.example/ci"), text_field(2, token)].concat();
        let mut message = text_field(1, "");
        message.truncate(1);
        let mut length = svid.len();
        while length > 0x7f {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(&svid);
        framed(&message)
    }

    #[test]
    fn the_first_token_of_an_answer_is_read() {
        assert_eq!(first_svid(&answer(&token())).unwrap().issuer(), ISSUER);
    }

    #[test]
    fn whatever_is_cut_off_or_bent_is_no_token_and_no_panic() {
        let whole = answer(&token());
        for end in 0..whole.len() {
            assert!(first_svid(&whole[..end]).is_err(), "{end}");
        }
        for at in 0..40 {
            for bit in 0..8 {
                let mut bent = whole.clone();
                bent[at] ^= 1 << bit;
                let _ = first_svid(&bent);
            }
        }
        for garbage in [&[0xff; 64][..], b"<html>", &[0, 0, 0, 0, 2, 0x0a, 0xff]] {
            assert!(first_svid(garbage).is_err());
        }
    }

    #[test]
    fn a_socket_is_named_by_its_whole_path() {
        for text in ["unix:///run/spire/agent.sock", "unix:/run/spire/agent.sock"] {
            assert_eq!(
                WorkloadApi::parse(text).unwrap().socket,
                PathBuf::from("/run/spire/agent.sock")
            );
        }
        for text in ["/run/spire/agent.sock", "unix:agent.sock", "unix://", "tcp://127.0.0.1:1", ""]
        {
            assert!(WorkloadApi::parse(text).is_err(), "{text}");
        }
    }
}
