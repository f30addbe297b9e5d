//! Why no answer came, told apart so that a person knows whether to look at the name, the network, the
//! certificate or the server.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use url::Url;

use super::origin::is_loopback;
use super::request::Request;
use super::text::one_line;
use crate::error::{Error, Reason};

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke before an answer began.
    Closed,
    /// No connection within the time allowed.
    ConnectTimeout { seconds: u64 },
    /// The name has no address, or the resolver did not say.
    Dns,
    /// The machine has no CA certificates.
    NoRoots,
    /// Any other failure to connect, in the words of the layer below.
    NotConnected(String),
    /// Not a single byte for the time allowed.
    Idle { seconds: u64 },
    /// Nobody listens there.
    Refused,
    /// A redirect, or the URL itself, led where we do not go.
    Route(String),
    /// TLS cannot be set up on this machine.
    Setup(String),
    /// The body is, or says it will be, longer than its bound.
    TooLarge { bound: usize, announced: Option<u64> },
    /// TLS failed; what it was, and whether the server spoke plain http.
    Tls { why: String, plain: bool },
    /// The body ended early.
    Truncated,
}

impl Failure {
    /// How often this failure may be followed by another attempt, up to `max`; `repeatable` says whether the
    /// request may reach the server twice.
    pub(super) fn attempts(&self, max: u32, repeatable: bool) -> u32 {
        match self {
            // Never got through to the server, so that even a request that counts may be sent again.
            Self::Dns | Self::NotConnected(_) | Self::Refused => max,
            Self::ConnectTimeout { .. } => max.min(1),
            Self::Closed | Self::Truncated if repeatable => max,
            Self::Idle { .. } if repeatable => max.min(1),
            _ => 0,
        }
    }

    /// The error that a user sees.
    pub(super) fn into_error(self, request: &Request) -> Error {
        let label = request.label();
        let reason = match self {
            Self::TooLarge { .. } => Reason::LimitReached,
            _ => request.unreachable,
        };
        let registry = request.unreachable == Reason::Unreachable;
        let hint = match &self {
            Self::Tls { plain: true, .. } if registry && is_loopback(&request.url) => {
                Some("--plain-http")
            }
            Self::NoRoots => Some("SSL_CERT_FILE=/path/to/ca-certificates.crt"),
            _ => None,
        };
        let error = Error::undecided(reason, format!("{label}: {self}"));
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// What an error of the HTTP library before the answer's head means.
    pub(super) fn before_answer(error: &reqwest::Error, url: &Url, times: Times) -> Self {
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::of_tls(tls);
        }
        if error.is_dns() {
            return Self::Dns;
        }
        let connecting = error.is_connect();
        if error.is_timeout() {
            return if connecting {
                Self::ConnectTimeout { seconds: times.connect }
            } else {
                Self::Idle { seconds: times.idle }
            };
        }
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return Self::Refused,
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
                if connecting && url.scheme() == "https" =>
            {
                return Self::NotConnected(
                    "the server closed the connection during the TLS handshake".into(),
                );
            }
            _ => {}
        }
        if connecting {
            return Self::NotConnected(innermost(error));
        }
        if error.is_builder() {
            return Self::Route("is not a URL that can be asked".into());
        }
        Self::Closed
    }

    /// What an error of the HTTP library inside the answer's body means.
    pub(super) fn in_body(error: &reqwest::Error, times: Times) -> Self {
        if error.is_timeout() { Self::Idle { seconds: times.idle } } else { Self::Truncated }
    }

    /// What a failure to set the HTTP library up means; it happens once, on the first request.
    pub(super) fn in_setup(error: &reqwest::Error) -> Self {
        match find::<rustls::Error>(error) {
            Some(rustls::Error::General(text)) if text.contains("No CA certificates") => {
                Self::NoRoots
            }
            _ => Self::Setup(format!("cannot set up TLS: {}", innermost(error))),
        }
    }

    pub(super) fn of_tls(error: &rustls::Error) -> Self {
        let mut plain = false;
        let why = match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer => {
                    "the server's certificate is signed by an unknown CA".into()
                }
                CertificateError::BadSignature => {
                    "the server's certificate is not signed by the CA that it names".into()
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    "the server's certificate is for another host".into()
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "the server's certificate has expired".into()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "the server's certificate is not valid yet".into()
                }
                CertificateError::Revoked => "the server's certificate is revoked".into(),
                other => format!("the server's certificate is not acceptable: {other}"),
            },
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                plain = true;
                "the server does not speak https".into()
            }
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                "the server wants a client certificate".into()
            }
            other => format!("TLS: {other}"),
        };
        Self::Tls { why: one_line(&why), plain }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed before an answer"),
            Self::ConnectTimeout { seconds } => {
                write!(f, "no connection within {seconds} s")
            }
            Self::Dns => f.write_str("cannot resolve the host's name"),
            Self::NoRoots => f.write_str("this machine has no CA certificates to trust"),
            Self::Idle { seconds } => write!(f, "no answer for {seconds} s"),
            Self::Refused => f.write_str("connection refused"),
            Self::NotConnected(why)
            | Self::Route(why)
            | Self::Setup(why)
            | Self::Tls { why, .. } => f.write_str(why),
            Self::TooLarge { bound, announced: Some(size) } => {
                write!(f, "the body has {size} bytes, over its bound of {bound}")
            }
            Self::TooLarge { bound, announced: None } => {
                write!(f, "the body is over its bound of {bound} bytes")
            }
            Self::Truncated => f.write_str("the body ended early"),
        }
    }
}

/// The time-outs in force, in seconds, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) connect: u64,
    pub(super) idle: u64,
}

/// Looks for an error of one type in a chain, also inside I/O errors, which hide what they wrap.
pub(super) fn find<'e, E: StdError + 'static>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e E> {
    let mut next = Some(error);
    // Chains are a handful of errors long; the bound is for one that would loop.
    for _ in 0..16 {
        let error = next?;
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The text of the deepest error of a chain: the one that names the cause without the layers around it.
fn innermost(error: &reqwest::Error) -> String {
    let mut deepest: &(dyn StdError + 'static) = error;
    for _ in 0..16 {
        match deepest.source() {
            Some(source) => deepest = source,
            None => break,
        }
    }
    if deepest.is::<reqwest::Error>() {
        // Its own text may hold a URL with its query.
        return "connection failed".into();
    }
    one_line(&deepest.to_string())
}
