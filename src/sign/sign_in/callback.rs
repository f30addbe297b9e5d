//! The address on this machine to which the browser comes back (RFC 8252 section 7.3).
//!
//! Whatever else runs in the browser can reach it too, and browsers open connections that they do not use:
//! so several are read side by side, each within bounds, and only the answer to this very sign-in counts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use zeroize::Zeroizing;

use super::browser::cannot_listen;
use super::{page, refusal};
use crate::error::{Error, Result};

/// The path that clients of Sigstore's issuers use.
const USUAL_PATH: &str = "/auth/callback";
/// Connections that are read at a time; more have to wait for one of them to end.
const MAX_OPEN: usize = 32;
/// How long a connection may take to send its request, and how long to take the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// The longest head of a request that is read, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Answers to other sign-ins that are refused before this one is given up.
const MAX_STRANGERS: usize = 10;
/// Ports that are tried until one is free on every address of `localhost`.
const PORT_ATTEMPTS: usize = 10;

/// Where the browser comes back to: a loopback address, its port, and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    host: String,
    port: u16,
    path: String,
}

impl Default for Redirect {
    /// `http://localhost:PORT/auth/callback` with any free port. RFC 8252 section 8.3 prefers the address to
    /// the name; the clients that are registered for cosign have the name.
    fn default() -> Self {
        Self { host: "localhost".to_owned(), port: 0, path: USUAL_PATH.to_owned() }
    }
}

impl Redirect {
    /// Reads a redirect URL: http on `localhost`, 127.0.0.1 or `[::1]`, perhaps with a port (else any free one).
    ///
    /// # Errors
    /// Usage: it is anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let url = Url::parse(text).ok().filter(|url| {
            url.scheme() == "http"
                && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
                && url.username().is_empty()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let Some(url) = url else {
            return Err(Error::usage("not a redirect URL on this machine")
                .on(text)
                .hint("--oidc-redirect-url http://localhost:PORT/auth/callback"));
        };
        // Url drops the usual port, which is meant when it is written.
        let port = match url.port() {
            Some(port) => port,
            None if text.contains(":80/") || text.ends_with(":80") => 80,
            None => 0,
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self { host, port, path: url.path().to_owned() })
    }

    fn addresses(&self) -> &'static [IpAddr] {
        const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
        match self.host.as_str() {
            "127.0.0.1" => &[V4],
            "[::1]" => &[V6],
            _ => &[V4, V6],
        }
    }
}

/// What the issuer sent the browser back with.
pub(super) enum Answer {
    /// A code for a token.
    Code(Zeroizing<String>),
    /// A no, in its words.
    Refused(String),
}

/// The connection that waits to hear what became of it.
pub(super) struct Browser(TcpStream);

impl Browser {
    /// Sends a whole answer. Somebody who does not take it is not waited for.
    pub(super) async fn reply(mut self, response: &str) {
        let sending = async {
            self.0.write_all(response.as_bytes()).await?;
            self.0.shutdown().await
        };
        let _ = tokio::time::timeout(CONNECTION_TIME, sending).await;
    }
}

/// Listens on this machine only.
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    path: String,
    url: String,
}

/// What a connection brought.
enum Came {
    /// The answer that was waited for.
    Answer(Answer, Browser),
    /// An answer to another sign-in.
    Stranger,
    /// Nothing of interest: it has been dealt with.
    Nothing,
}

impl Listener {
    /// Takes the port, on every address that the name stands for: who else listened on one of them would get
    /// some of the answers.
    pub(super) fn bind(redirect: &Redirect) -> Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PORT_ATTEMPTS {
            match Self::try_bind(redirect) {
                Ok(sockets) => {
                    let port = sockets.first().and_then(|socket| socket.local_addr().ok());
                    let port = port.map_or(redirect.port, |address| address.port());
                    let url = format!("http://{}:{port}{}", redirect.host, redirect.path);
                    return Ok(Self { sockets, path: redirect.path.clone(), url });
                }
                Err(error) if redirect.port == 0 => last = error,
                Err(error) => {
                    return Err(Error::usage("the redirect URL cannot be listened at")
                        .on(format!("http://{}:{}", redirect.host, redirect.port))
                        .cause(error.kind().to_string()));
                }
            }
        }
        Err(cannot_listen(&last))
    }

    fn try_bind(redirect: &Redirect) -> io::Result<Vec<TcpListener>> {
        let mut sockets: Vec<TcpListener> = Vec::new();
        let mut port = redirect.port;
        for address in redirect.addresses() {
            let bound = std::net::TcpListener::bind(SocketAddr::new(*address, port));
            let socket = match bound {
                Ok(socket) => socket,
                // A machine may lack one of the two families; a port that is taken is another matter.
                Err(error)
                    if error.kind() != io::ErrorKind::AddrInUse
                        && redirect.addresses().len() > 1 =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            port = socket.local_addr()?.port();
            socket.set_nonblocking(true)?;
            sockets.push(TcpListener::from_std(socket)?);
        }
        match sockets.is_empty() {
            true => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
            false => Ok(sockets),
        }
    }

    /// The redirect URI, with its port.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the answer with this state; nothing, when too many came with another one. The caller says
    /// for how long.
    pub(super) async fn answer(&self, state: &str, issuer: &str) -> Option<(Answer, Browser)> {
        let mut open = FuturesUnordered::new();
        let mut strangers = 0;
        loop {
            tokio::select! {
                accepted = self.accept(), if open.len() < MAX_OPEN => match accepted {
                    Ok(stream) => open.push(self.read(stream, state, issuer)),
                    // Out of descriptors, most likely.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                Some(came) = open.next(), if !open.is_empty() => match came {
                    Came::Answer(answer, browser) => return Some((answer, browser)),
                    Came::Stranger => {
                        strangers += 1;
                        if strangers == MAX_STRANGERS {
                            return None;
                        }
                    }
                    Came::Nothing => {}
                },
            }
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let accepts = self.sockets.iter().map(|socket| Box::pin(socket.accept()));
        let ((stream, _), ..) = futures_util::future::select_ok(accepts).await?;
        Ok(stream)
    }

    async fn read(&self, mut stream: TcpStream, state: &str, issuer: &str) -> Came {
        let head = tokio::time::timeout(CONNECTION_TIME, head(&mut stream)).await;
        let browser = Browser(stream);
        let Ok(Some(head)) = head else { return Came::Nothing };
        let (status, text, came) = match self.judge(&head, state, issuer) {
            Judged::Answer(answer) => return Came::Answer(answer, browser),
            Judged::Stranger => {
                let text = "This answer belongs to another sign-in, and was not used.";
                ("400 Bad Request", text, Came::Stranger)
            }
            Judged::Garbage => {
                ("400 Bad Request", "This is no answer to a sign-in.", Came::Nothing)
            }
            Judged::Elsewhere => ("404 Not Found", "There is nothing here.", Came::Nothing),
        };
        browser.reply(&page::respond(status, "helm-sigstore", text)).await;
        came
    }

    fn judge(&self, head: &str, state: &str, issuer: &str) -> Judged {
        let mut words = head.lines().next().unwrap_or_default().split(' ');
        let (Some("GET"), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Judged::Garbage;
        };
        let Some(url) = Url::parse(&self.url).ok().and_then(|base| base.join(target).ok()) else {
            return Judged::Garbage;
        };
        if url.path() != self.path {
            return Judged::Elsewhere;
        }
        let one = |name: &str| {
            let mut values =
                url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (value, None) => Ok(value.map(|value| Zeroizing::new(value.into_owned()))),
                // Two of one kind: nobody can say which is meant (RFC 6749 section 3.1).
                (_, Some(_)) => Err(Judged::Garbage),
            }
        };
        let read = || -> Result<Judged, Judged> {
            let (found, code, error) = (one("state")?, one("code")?, one("error")?);
            let (description, named) = (one("error_description")?, one("iss")?);
            if found.as_ref().map(|found| found.as_str()) != Some(state) {
                return Ok(Judged::Stranger);
            }
            // RFC 9207: an answer of another issuer, mixed up with this one's.
            if named.is_some_and(|named| named.as_str() != issuer) {
                return Ok(Judged::Stranger);
            }
            match (code, error) {
                (Some(code), None) => Ok(Judged::Answer(Answer::Code(code))),
                (None, Some(error)) => {
                    let description = description.unwrap_or_default();
                    Ok(Judged::Answer(Answer::Refused(refusal(&error, &description))))
                }
                _ => Err(Judged::Garbage),
            }
        };
        read().unwrap_or_else(|garbage| garbage)
    }
}

/// What a request is.
enum Judged {
    Answer(Answer),
    Stranger,
    Garbage,
    Elsewhere,
}

/// The head of a request, if one comes. Nothing is answered to what does not begin as a request: a TLS
/// hello, most likely.
async fn head(stream: &mut TcpStream) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
    let mut chunk = Zeroizing::new([0_u8; 2048]);
    loop {
        let count = stream.read(chunk.as_mut()).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(chunk.get(..count)?);
        if !bytes.first().is_some_and(u8::is_ascii_uppercase) || bytes.len() > MAX_HEAD {
            return None;
        }
        if bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            return String::from_utf8(bytes.to_vec()).ok().map(Zeroizing::new);
        }
    }
}
