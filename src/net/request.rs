//! One request and its answer, as data.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use super::allowance;
use super::origin::{Origin, PlainHttp};
use super::retry;
use super::text::{bounded_line, one_line};
use crate::error::{Error, Reason};

/// Which redirects are followed; the others are handed to the caller as the answer that they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// To any origin that may be asked, without credentials there.
    #[default]
    Follow,
    /// None.
    Never,
    /// Only within the same origin.
    SameOrigin,
}

/// A request that has not been sent yet. Every response body has a bound.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) body: Option<Bytes>,
    pub(super) max_bytes: usize,
    pub(super) repeatable: bool,
    pub(super) redirects: Redirects,
    pub(super) plain_http: PlainHttp,
    pub(super) direct: bool,
    pub(super) unreachable: Reason,
}

impl Request {
    /// A request whose answer may have at most `max_bytes` in its body.
    ///
    /// GET and HEAD may be repeated when the connection breaks, others only when [`Request::repeatable`].
    /// A user name or password inside `url` is dropped.
    pub fn new(method: Method, url: Url, max_bytes: usize) -> Self {
        Self {
            repeatable: method == Method::GET || method == Method::HEAD,
            method,
            url: without_userinfo(url),
            headers: HeaderMap::new(),
            authorization: None,
            body: None,
            max_bytes,
            redirects: Redirects::default(),
            plain_http: PlainHttp::default(),
            direct: false,
            unreachable: Reason::Unreachable,
        }
    }

    /// A GET.
    pub fn get(url: Url, max_bytes: usize) -> Self {
        Self::new(Method::GET, url, max_bytes)
    }

    /// Sets a header that is no secret: it is also sent where a redirect leads.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body and its media type.
    #[must_use]
    pub fn body(mut self, media_type: HeaderValue, body: Bytes) -> Self {
        self.headers.insert(CONTENT_TYPE, media_type);
        self.body = Some(body);
        self
    }

    /// Sets the credentials, which stay within the origin of the URL.
    #[must_use]
    pub fn authorization(mut self, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.authorization = Some(value);
        self
    }

    /// Says that it does no harm when the server receives this request twice.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Says which redirects are followed.
    #[must_use]
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// Says where plain http may go; without this, nowhere.
    #[must_use]
    pub fn plain_http(mut self, policy: PlainHttp) -> Self {
        self.plain_http = policy;
        self
    }

    /// Goes there itself, whatever proxies the environment names.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    /// Marks a request to a Sigstore service, an issuer or a mirror: plain http on loopback is fine, and
    /// failures are called [`Reason::ServiceUnreachable`].
    #[must_use]
    pub fn service(mut self) -> Self {
        self.unreachable = Reason::ServiceUnreachable;
        self.plain_http(PlainHttp::Loopback)
    }

    /// Whether it goes to the same origin as `url`.
    pub fn is_to(&self, url: &Url) -> bool {
        Origin::same(&self.url, url)
    }

    /// Method and URL for messages: without query, fragment or credentials.
    pub fn label(&self) -> String {
        label(&self.method, &self.url)
    }
}

/// Whatever a server answered, error or not, with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status of the last answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, exactly as sent: nothing is ever decompressed.
    pub body: Bytes,
    /// The URL that gave it, after redirects.
    pub url: Url,
    /// Whether a redirect led there.
    pub redirected: bool,
    pub(super) label: String,
    pub(super) unreachable: Reason,
}

impl Response {
    /// A header's text; nothing if it is absent or holds more than visible ASCII.
    pub fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type in lower case, without parameters.
    pub fn media_type(&self) -> Option<String> {
        let value = self.header(CONTENT_TYPE)?;
        let essence = value.split(';').next()?.trim();
        (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        retry::retry_after(&self.headers)
    }

    /// `GET https://host/path` of the request as it was made: without query or credentials.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// This answer as an error (undecided), for a caller that cannot use it; `detail` is what the body says,
    /// or nothing.
    pub fn failure(&self, detail: &str) -> Error {
        let reason = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Reason::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => Reason::Throttled,
            _ => self.unreachable,
        };
        let mut text = format!("{}: {}", self.label, self.status.as_u16());
        if let Some(wait) = self.retry_after()
            && matches!(self.status.as_u16(), 429 | 503)
        {
            text.push_str(&format!(", retry after {} s", wait.as_secs()));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS
            && let Some(allowance) = allowance::phrase(&self.headers)
        {
            text.push_str(&format!(", {allowance}"));
        }
        let detail = one_line(detail);
        if !detail.is_empty() {
            text.push_str(", ");
            text.push_str(&detail);
        }
        Error::undecided(reason, text)
    }
}

/// `METHOD scheme://host[:port]/path`, bounded.
pub(super) fn label(method: &Method, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = bounded_line(url.path(), 400);
    format!("{method} {}://{host}{port}{path}", url.scheme())
}

/// The URL without user name, password and fragment: a password there would become a header.
pub(super) fn without_userinfo(mut url: Url) -> Url {
    // Fails only for URLs without a host, which have no credentials and are refused when sent.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}
