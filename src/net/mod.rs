//! The one HTTP client: bounds, redirects, origins, retries, time-outs.
//!
//! Everything that leaves this machine goes through [`Client::send`]. It promises:
//!
//! * no body is longer than the bound that its request names, and none is decompressed;
//! * `Authorization` never leaves the origin of the request's URL, https is never followed to http, and a
//!   public host cannot send us to a private address;
//! * what is repeated is bounded, and a request that counts is not repeated once the server may have it;
//! * no query, user name, password or token is in an error.
//!
//! TLS roots are loaded when the first https request is made, not before.

mod allowance;
mod body;
mod failure;
mod journal;
mod lanes;
mod origin;
mod request;
mod retry;
#[cfg(test)]
pub(crate) mod testing;
mod text;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
pub use reqwest::{Method, StatusCode, header};
pub use url::Url;

use self::failure::{Failure, Times};

pub use self::journal::Journal;
use self::lanes::Lanes;
pub use self::origin::{Origin, PlainHttp, check_hop, is_loopback};
pub use self::request::{Redirects, Request, Response};
pub(crate) use self::text::{bounded_line, one_line};
use crate::error::{Error, Result};

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 5;

/// Bytes kept of a body that explains a refusal.
const MAX_EXPLANATION: usize = 64 * 1024;

/// How a [`Client`] reaches its servers.
#[derive(Clone)]
pub struct Options {
    /// The `User-Agent`. Harbor lets only clients that call themselves "cosign" or "notation" read what a
    /// signed-only policy protects, hence the default.
    pub user_agent: String,
    /// PEM certificates of CAs to trust beside the system's.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// A certificate and its key, PEM, for servers that want to know their clients.
    pub client_identity: Option<ClientIdentity>,
    /// Accept any server certificate.
    pub insecure_skip_tls_verify: bool,
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The longest silence before and within an answer.
    pub idle_timeout: Duration,
    /// Attempts after the first, at most.
    pub max_retries: u32,
    /// The first pause between attempts; it doubles each time.
    pub first_pause: Duration,
    /// Where requests and warnings are written down.
    pub journal: Journal,
}

/// A client certificate with its private key, both PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate, then any intermediates.
    pub certificate_pem: Vec<u8>,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key_pem: zeroize::Zeroizing<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: concat!(
                "helm-sigstore/",
                env!("CARGO_PKG_VERSION"),
                " (cosign-compatible)"
            )
            .into(),
            extra_ca_pem: None,
            client_identity: None,
            insecure_skip_tls_verify: false,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            max_retries: 3,
            first_pause: Duration::from_millis(200),
            journal: Journal::default(),
        }
    }
}

/// The HTTP client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    options: Options,
    extra_roots: Vec<reqwest::Certificate>,
    identity: Option<reqwest::Identity>,
    /// One for each [`Route`], made when first needed.
    clients: [OnceLock<Result<reqwest::Client, Failure>>; 4],
    lanes: Lanes,
}

/// What the transport below has to be able to do for a URL.
#[derive(Clone, Copy, Debug)]
struct Route {
    /// Loading the TLS roots costs milliseconds and fails on a machine that has none; plain http needs none.
    tls: bool,
    /// A proxy cannot reach our own loopback addresses, whatever the environment says (Helm agrees).
    proxy: bool,
}

impl Route {
    fn to(url: &Url) -> Self {
        Self { tls: url.scheme() == "https", proxy: !is_loopback(url) }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client; opens no socket and loads no roots yet.
    ///
    /// # Errors
    ///
    /// Usage: the CA file or the client certificate and key are no PEM of that kind.
    pub fn new(options: Options) -> Result<Self> {
        let extra_roots = match &options.extra_ca_pem {
            None => Vec::new(),
            Some(pem) => {
                let roots = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
                if roots.is_empty() {
                    return Err(Error::usage("the CA file holds no PEM certificate"));
                }
                roots
            }
        };
        let identity = match &options.client_identity {
            None => None,
            Some(identity) => {
                let mut pem = zeroize::Zeroizing::new(identity.certificate_pem.clone());
                pem.push(b'\n');
                pem.extend_from_slice(&identity.key_pem);
                let identity = reqwest::Identity::from_pem(&pem).map_err(|_| {
                    Error::usage("the client certificate and key are not PEM of that kind")
                })?;
                Some(identity)
            }
        };
        Ok(Self(Arc::new(Inner {
            options,
            extra_roots,
            identity,
            clients: Default::default(),
            lanes: Lanes::default(),
        })))
    }

    /// Whether servers have to prove who they are.
    pub fn verifies_tls(&self) -> bool {
        !self.0.options.insecure_skip_tls_verify
    }

    /// Sends a request, follows its redirects, repeats it where that is safe, and reads the whole answer.
    /// An answer of any status is an answer.
    ///
    /// # Errors
    ///
    /// Undecided, when no whole answer came: [`crate::Reason::LimitReached`] for a body over its bound, else
    /// the request's own reason (unreachable). The cause tells name, connection, TLS, time-out and
    /// truncation apart.
    pub async fn send(&self, request: Request) -> Result<Response> {
        let options = &self.0.options;
        let mut attempt = 0;
        loop {
            let outcome = self.follow(&request).await;
            let (attempts, pause) = match &outcome {
                Ok(response) if request.repeatable => {
                    let asked = response.retry_after();
                    if asked.is_some_and(|wait| wait > retry::MAX_RETRY_AFTER) {
                        (0, None)
                    } else {
                        (retry::attempts_after(response.status, options.max_retries), asked)
                    }
                }
                Ok(_) => (0, None),
                Err(failure) => (failure.attempts(options.max_retries, request.repeatable), None),
            };
            if attempt >= attempts {
                return outcome.map_err(|failure| failure.into_error(&request));
            }
            let least = retry::backoff(options.first_pause, attempt);
            tokio::time::sleep(pause.unwrap_or_default().max(least)).await;
            attempt += 1;
        }
    }

    /// One attempt, over all its redirects.
    async fn follow(&self, request: &Request) -> Result<Response, Failure> {
        if !request.plain_http.permits(&request.url) {
            let why = match request.url.scheme() {
                "http" => "plain http is not allowed here",
                _ => "is neither https nor http",
            };
            return Err(Failure::Route(why.into()));
        }
        let mut url = request.url.clone();
        let mut authorization = request.authorization.as_ref();
        for hop in 0..=MAX_REDIRECTS {
            let Inner { lanes, options, .. } = &*self.0;
            let turn = lanes.enter(&url).await;
            let begun = std::time::Instant::now();
            let end = |end: &str| {
                options.journal.exchanged(&request.method, &url, end, begun.elapsed());
            };
            let answer = self.exchange(request, &url, authorization).await;
            let answer = answer.inspect_err(|failure| end(&failure.to_string()))?;
            if let Some(turn) = &turn {
                turn.speaks(answer.version());
            }
            options.journal.heed(&url, answer.headers());
            let status = answer.status().as_u16().to_string();
            let Some(next) = redirect_target(request, &answer, &url)? else {
                let whole = read_whole(answer, request, url.clone(), hop > 0, self.times()).await;
                match &whole {
                    Ok(_) => end(&status),
                    Err(failure) => end(&format!("{status}, {failure}")),
                }
                // The connection goes back to the others in a task of its own: who takes our turn shall find it.
                tokio::task::yield_now().await;
                return whole;
            };
            end(&status);
            drop(answer);
            if !Origin::same(&url, &next) {
                // Stays dropped even when a later hop returns: by then somebody else chose the path.
                authorization = None;
            }
            url = next;
        }
        Err(Failure::Route(format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn exchange(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, Failure> {
        let route = Route::to(url);
        let http = self.http(Route { proxy: route.proxy && !request.direct, ..route })?;
        let mut message =
            http.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(authorization) = authorization {
            message = message.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = &request.body {
            message = message.body(body.clone());
        }
        message.send().await.map_err(|error| Failure::before_answer(&error, url, self.times()))
    }

    fn http(&self, route: Route) -> Result<&reqwest::Client, Failure> {
        let [direct, proxied, direct_tls, proxied_tls] = &self.0.clients;
        let cell = match (route.tls, route.proxy) {
            (false, false) => direct,
            (false, true) => proxied,
            (true, false) => direct_tls,
            (true, true) => proxied_tls,
        };
        cell.get_or_init(|| self.build(route)).as_ref().map_err(Clone::clone)
    }

    fn build(&self, route: Route) -> Result<reqwest::Client, Failure> {
        let inner = &*self.0;
        let mut builder = reqwest::Client::builder()
            .user_agent(&inner.options.user_agent)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(inner.options.connect_timeout)
            .read_timeout(inner.options.idle_timeout)
            .pool_max_idle_per_host(lanes::CONNECTIONS);
        if !route.proxy {
            builder = builder.no_proxy();
        }
        if !route.tls {
            return builder
                .tls_certs_only(std::iter::empty())
                .build()
                .map_err(|error| Failure::in_setup(&error));
        }
        if !inner.extra_roots.is_empty() {
            builder = builder.tls_certs_merge(inner.extra_roots.iter().cloned());
        }
        if let Some(identity) = &inner.identity {
            builder = builder.identity(identity.clone());
        }
        if inner.options.insecure_skip_tls_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| Failure::in_setup(&error))
    }

    fn times(&self) -> Times {
        Times {
            connect: self.0.options.connect_timeout.as_secs(),
            idle: self.0.options.idle_timeout.as_secs(),
        }
    }
}

/// Where an answer sends us, if it does and we go: nothing means that the answer itself is the result.
fn redirect_target(
    request: &Request,
    answer: &reqwest::Response,
    from: &Url,
) -> Result<Option<Url>, Failure> {
    let status = answer.status().as_u16();
    if request.redirects == Redirects::Never || !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.headers().get(LOCATION) else { return Ok(None) };
    let target = location.to_str().ok().and_then(|text| from.join(text).ok());
    let Some(target) = target.map(request::without_userinfo) else {
        return Err(Failure::Route(format!("{status} with a malformed Location")));
    };
    let same_origin = Origin::same(from, &target);
    let followed = match request.method {
        Method::GET | Method::HEAD => same_origin || request.redirects == Redirects::Follow,
        // A body is for the origin that it was written for, and only 307 and 308 promise to keep it.
        _ => same_origin && matches!(status, 307 | 308),
    };
    if !followed {
        return Ok(None);
    }
    check_hop(from, &target, request.plain_http)
        .map_err(|why| Failure::Route(format!("{status} {why} is not followed")))?;
    Ok(Some(target))
}

async fn read_whole(
    mut answer: reqwest::Response,
    request: &Request,
    url: Url,
    redirected: bool,
    times: Times,
) -> Result<Response, Failure> {
    let mut body = body::Body::default();
    if answer.status().is_success() {
        let bound = request.max_bytes;
        let announced = answer.content_length().filter(|_| request.method != Method::HEAD);
        if announced.is_some_and(|size| usize::try_from(size).map_or(true, |size| size > bound)) {
            return Err(Failure::TooLarge { bound, announced });
        }
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| Failure::in_body(&error, times))?
        {
            if chunk.len() > bound.saturating_sub(body.len()) {
                return Err(Failure::TooLarge { bound, announced: None });
            }
            body.push(&chunk);
        }
    } else {
        // The status is the answer; the body only explains it, so as much as came is enough.
        while let Ok(Some(chunk)) = answer.chunk().await {
            let room = MAX_EXPLANATION.saturating_sub(body.len()).min(chunk.len());
            body.push(chunk.get(..room).unwrap_or_default());
            if body.len() >= MAX_EXPLANATION {
                break;
            }
        }
    }
    Ok(Response {
        status: answer.status(),
        headers: std::mem::take(answer.headers_mut()),
        body: body.freeze(),
        url,
        redirected,
        label: request.label(),
        unreachable: request.unreachable,
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
