//! One exchange with one Sigstore service, and the words for what goes wrong in it.

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::error::{Class, Error, Reason, Result};
use crate::net::header::{ACCEPT, HeaderValue, LOCATION};
use crate::net::{self, Method, PlainHttp, Redirects, Request, Response};

/// How much of what a service says is shown, in characters.
const MAX_WORDS: usize = 300;

/// A service, and what cannot be done without it.
#[derive(Clone, Copy)]
pub(super) struct Service<'a> {
    /// The one HTTP client.
    pub(super) net: &'a net::Client,
    /// The headline of every error (`cannot get a certificate`).
    pub(super) what: &'static str,
}

/// One request: POST where it has a body, else GET.
///
/// Most are safe to repeat: a second certificate or timestamp does no harm, and a log knows the entries
/// that it has.
pub(super) struct Call<'a> {
    pub(super) url: &'a Url,
    /// Bytes and media type.
    pub(super) body: Option<(Vec<u8>, &'static str)>,
    pub(super) accept: &'static str,
    /// A bearer token.
    pub(super) bearer: Option<&'a str>,
    /// The bound on the answer's body.
    pub(super) max_bytes: usize,
    /// Nothing is tried after this.
    pub(super) deadline: Option<Instant>,
    /// What is in it counts once: it is not sent again.
    pub(super) once: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(url: &'a Url, max_bytes: usize) -> Self {
        Self {
            url,
            body: None,
            accept: "application/json",
            bearer: None,
            max_bytes,
            deadline: None,
            once: false,
        }
    }
}

/// What came back, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    response: Response,
}

impl Answer {
    /// The `Location` header, resolved against the URL that sent it.
    pub(super) fn location(&self) -> Option<Url> {
        self.response.url.join(self.response.header(LOCATION)?).ok()
    }

    /// The URL that answered.
    pub(super) fn url(&self) -> &Url {
        &self.response.url
    }
}

impl Service<'_> {
    /// Sends and reads the whole answer. Redirects are followed within the origin only: bodies here hold
    /// identity tokens.
    ///
    /// # Errors
    /// Undecided: not reached, an answer over its bound, or no answer before the deadline.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let method = if call.body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::new(method, call.url.clone(), call.max_bytes)
            .service()
            .redirects(Redirects::SameOrigin)
            .header(ACCEPT, HeaderValue::from_static(call.accept));
        if !call.once {
            request = request.repeatable();
        }
        if let Some((body, media_type)) = call.body {
            request = request.body(HeaderValue::from_static(media_type), Bytes::from(body));
        }
        if let Some(bearer) = call.bearer {
            let value = Zeroizing::new(format!("Bearer {bearer}"));
            let value = HeaderValue::from_str(&value)
                .map_err(|_| self.malformed(call.url, "the token for it is no header value"))?;
            request = request.authorization(value);
        }
        let label = request.label();
        let sending = self.net.send(request);
        let outcome = match call.deadline {
            None => sending.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, sending).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let why = format!("{label}: no answer before the certificate runs out");
                    return Err(self.undecided(Reason::ServiceUnreachable, why));
                }
            },
        };
        let response = outcome.map_err(|error| self.reword(error))?;
        Ok(Answer { status: response.status.as_u16(), body: response.body.clone(), response })
    }

    /// An answer that says no, in its own words.
    pub(super) fn refused(&self, answer: &Answer) -> Error {
        self.reword(answer.response.failure(&said(&answer.body)))
    }

    /// An answer that is not what it has to be.
    pub(super) fn malformed(&self, url: &Url, why: impl AsRef<str>) -> Error {
        self.undecided(Reason::Malformed, format!("{}: {}", place(url), why.as_ref()))
    }

    fn undecided(&self, reason: Reason, cause: String) -> Error {
        Error::new(Class::Undecided, reason, self.what).cause(cause)
    }

    fn reword(&self, mut error: Error) -> Error {
        self.what.clone_into(&mut error.what);
        // The words of registries; a service that says 401 or 429 did not serve.
        if matches!(error.reason, Reason::Throttled | Reason::Unauthorized | Reason::Unreachable) {
            error.reason = Reason::ServiceUnreachable;
        }
        error
    }
}

/// A service's URL: https, or http on loopback.
///
/// # Errors
/// What is wrong with it, as a phrase that names it.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("{text:?} is no URL"))?;
    if !PlainHttp::Loopback.permits(&url) {
        return Err(format!("{text:?} is not https, as all but loopback has to be"));
    }
    Ok(url)
}

/// `path` (relative) under `base`, whether or not that ends in a slash.
pub(super) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// A URL for messages: without query and credentials.
pub(super) fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// What a service says about its refusal, on one bounded line: the message of its JSON, or its text.
pub(super) fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        #[serde(alias = "error")]
        message: String,
    }
    let words = match serde_json::from_slice::<Message>(body) {
        Ok(Message { message }) => message,
        Err(_) => {
            // Four bytes a character at most; what is cut off would not be shown.
            let start = body.get(..body.len().min(4 * MAX_WORDS)).unwrap_or_default();
            String::from_utf8_lossy(start).into_owned()
        }
    };
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_path_of_a_service_behind_a_prefix() {
        let url = Url::parse("https://sigstore.acme.example/fulcio/?x#y").unwrap();
        assert_eq!(
            join(&url, "api/v2/signingCert").as_str(),
            "https://sigstore.acme.example/fulcio/api/v2/signingCert"
        );
    }

    #[test]
    fn what_a_service_says_is_one_bounded_line() {
        assert_eq!(said(b"{\"code\":3,\"message\":\"no\\n  such\\tthing\"}"), "no such thing");
        assert_eq!(said(b"{\"error\":\"no\"}"), "no");
        assert_eq!(said(b"<html>\r\n no"), "<html> no");
        assert_eq!(said(b""), "");
        assert_eq!(said(&[0xff; 9]).chars().count(), 9);
        assert_eq!(said("\u{1f600}".repeat(9_999).as_bytes()).chars().count(), MAX_WORDS);
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(9_999));
        assert_eq!(said(long.as_bytes()).len(), MAX_WORDS);
    }
}
