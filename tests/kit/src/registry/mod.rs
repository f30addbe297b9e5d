//! An OCI registry that lives in the test process and speaks the distribution specification 1.1.
//!
//! A [`Registry`] has a listener on a free port of 127.0.0.1 and a thread of its own; its methods
//! block and may be called from ordinary tests. It stops when it is dropped. What it holds is
//! reached directly through [`Store`], to arrange and to assert; what clients asked is in
//! [`Registry::requests`]; what shall go wrong is told to [`Registry::fault`].

mod answer;
mod api;
mod auth;
mod faults;
mod log;
mod server;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod uploads;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

pub use auth::{Auth, Bearer, TokenField, Tokens};
pub use faults::{Action, ENDLESS, Fault, Hook};
pub use log::Request;
pub use store::{Pushed, Store, digest_of, index, index_of, media_type};
pub use tls::{Certificate, Tls};

/// How the registry behaves. The default is a plain-http registry with the referrers API that
/// everybody may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Listens on `[::1]` instead of 127.0.0.1.
    pub ipv6: bool,
    /// Answer of the referrers endpoint.
    pub referrers: Referrers,
    /// Who may do what.
    pub auth: Auth,
    /// TLS; plain http when `None`.
    pub tls: Option<Tls>,
    /// Most tags or referrers in one answer; the rest follows by `Link`.
    pub page_size: usize,
    /// Whether `POST …/uploads/?digest=` stores the blob (201). CNCF distribution ignores the
    /// digest and begins an upload (202).
    pub single_post_upload: bool,
    /// Most bytes of a blob in one request; more are 413, as from a proxy before the registry.
    pub max_upload_request: usize,
    /// Whether the PUT that ends an upload may hold bytes; else it is 400, and they have to come by PATCH.
    pub put_upload: bool,
    /// `OCI-Chunk-Min-Length` of an upload, which is kept to.
    pub chunk_min_length: Option<usize>,
    /// Whether a POST of a blob that is there is 409.
    pub refuses_known_blobs: bool,
    /// Whether a blob that another repository holds can be mounted (201), or an upload begins (202).
    pub mount: bool,
    /// Whether a PUT of a manifest with `subject` is answered with `OCI-Subject`; `None` does so if
    /// the referrers API is there, `Some(true)` without the API is the false promise of some.
    pub oci_subject: Option<bool>,
    /// Whether `?artifactType=` filters the referrers.
    pub filters: bool,
    /// Form of `Location`.
    pub location: Location,
    /// Whether an OCI manifest or index is hidden (404) from a client that does not name its media
    /// type in `Accept`, as CNCF distribution 2.8 does; `*/*` is not enough there.
    pub checks_accept: bool,
    /// Whether a manifest is refused when it names blobs or manifests that are not there.
    pub check_references: bool,
    /// Refuses to write a tag twice: 412, as Harbor.
    pub immutable_tags: bool,
    /// Refuses a blob of no bytes, as Amazon ECR.
    pub refuses_empty_blobs: bool,
    /// Reads a tag `sha256-HEX` that does not exist as the digest `sha256:HEX`, as GitLab.
    pub digest_tags: bool,
    /// If given, any other `artifactType` or config media type is refused with 400, as GitLab.
    pub allowed_types: Option<Vec<String>>,
    /// Whether a PUT with an `If-Match` that no longer holds is refused with 412. No registry in
    /// wide use does so.
    pub honours_if_match: bool,
    /// Sends whoever gets a blob to `/cdn/…` at `http://localhost:PORT`, where no credentials are asked for. That port and
    /// the realm of a challenge are those of the request's `Host`, so that a proxy in front sees everything.
    pub content_network: bool,
    /// Content shared with another registry; its own when `None`.
    pub store: Option<Store>,
}

/// What `GET /v2/NAME/referrers/DIGEST` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// The list, empty for a manifest that nobody has heard of.
    Api,
    /// The list, 404 for a manifest that is not there, as zot.
    ApiForKnown,
    /// An empty list whatever was attached.
    Empty,
    /// 200 with an empty list, but another content type.
    FalseOk,
    /// `404 page not found` as plain text, as CNCF distribution.
    NotFound,
    /// 404 with a JSON error, as ggcr and GHCR.
    NotFoundJson,
    /// 303 to this place; `{path}` stands for path and query of the request.
    RedirectTo(String),
    /// This status with a JSON error and without challenge: 400, 401, 403, 405, 406, 501 were seen.
    Status(u16),
}

/// What `Location` says after an upload was begun or finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// Scheme, host and path.
    #[default]
    Absolute,
    /// The path at another origin, such as `http://127.0.0.1:4000`.
    Foreign(String),
    /// Nothing: the header is not there.
    Missing,
    /// The path alone.
    Relative,
    /// This text.
    Verbatim(String),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 0,
            ipv6: false,
            referrers: Referrers::Api,
            auth: Auth::None,
            tls: None,
            page_size: 1000,
            single_post_upload: true,
            max_upload_request: usize::MAX,
            put_upload: true,
            chunk_min_length: None,
            refuses_known_blobs: false,
            mount: true,
            oci_subject: None,
            filters: true,
            location: Location::default(),
            checks_accept: true,
            check_references: true,
            immutable_tags: false,
            refuses_empty_blobs: false,
            digest_tags: false,
            allowed_types: None,
            honours_if_match: false,
            content_network: false,
            store: None,
        }
    }
}

impl Options {
    /// As CNCF distribution and GHCR behave: no referrers API, no upload in one request.
    pub fn fallback() -> Options {
        Options { referrers: Referrers::NotFound, single_post_upload: false, ..Options::default() }
    }

    fn sends_oci_subject(&self) -> bool {
        let has_api = matches!(self.referrers, Referrers::Api | Referrers::ApiForKnown);
        self.oci_subject.unwrap_or(has_api)
    }
}

/// A running registry. It dereferences to its [`Store`]: `registry.push_chart(…)`,
/// `registry.tags(…)` and so on act on the content without a request.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<server::Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    /// Starts a registry; it answers when this returns.
    ///
    /// # Panics
    /// If the port is taken or a certificate cannot be made: no test can go on then.
    pub fn start(options: Options) -> Registry {
        let address = match options.ipv6 {
            true => IpAddr::V6(Ipv6Addr::LOCALHOST),
            false => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let listener = TcpListener::bind((address, options.port))
            .expect("the registry's port on the loopback address is free");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (acceptor, material) = options
            .tls
            .as_ref()
            .map(|tls| tls::acceptor(tls).expect("the registry's certificates can be made"))
            .unzip();
        let shared = Arc::new(server::Shared {
            host: address.to_string(),
            store: options.store.clone().unwrap_or_default(),
            options,
            log: log::Log::default(),
            faults: faults::Faults::default(),
            uploads: uploads::Uploads::default(),
            delay: AtomicU64::new(0),
            material,
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("kit-registry".to_owned())
            .spawn(move || {
                server::run(listener, acceptor, served, stopped).expect("the registry can serve");
            })
            .expect("a thread can be started");
        Registry { shared, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.shared.host.clone()
    }

    /// `http://127.0.0.1:PORT` or `https://…`.
    pub fn origin(&self) -> String {
        self.shared.origin()
    }

    /// `oci://127.0.0.1:PORT/REPOSITORY`.
    pub fn oci(&self, repository: &str) -> String {
        format!("oci://{}/{repository}", self.shared.host)
    }

    /// A handle on the content, for other threads and other registries.
    pub fn store(&self) -> Store {
        self.shared.store.clone()
    }

    /// All requests since the start or the last [`Registry::reset_requests`], in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.requests()
    }

    /// As [`Registry::requests`], without those to the token endpoint.
    pub fn registry_requests(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| !request.is_token()).collect()
    }

    /// How many requests there were, without those to the token endpoint.
    pub fn registry_requests_count(&self) -> usize {
        self.registry_requests().len()
    }

    /// Forgets the requests, connections and the peak of concurrency so far.
    pub fn reset_requests(&self) {
        self.shared.log.reset();
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.log.connections()
    }

    /// The most requests that were open at one time.
    pub fn most_concurrent(&self) -> usize {
        self.shared.log.most_open()
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Waits this many milliseconds before every answer.
    pub fn delay_per_response(&self, milliseconds: u64) {
        self.shared.delay.store(milliseconds, Ordering::SeqCst);
    }

    /// The authority of the registry's certificate in PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<String> {
        self.shared.material.as_ref().map(|material| material.ca.clone())
    }

    /// Certificate and key, in PEM, of a client that the registry accepts; `None` without TLS.
    pub fn client_pem(&self) -> Option<(String, String)> {
        let material = self.shared.material.as_ref()?;
        Some((material.client_certificate.clone(), material.client_key.clone()))
    }

    /// Forgets all bearer tokens handed out: they expire now. Nothing without bearer authentication.
    pub fn revoke_tokens(&self) {
        if let Auth::Bearer(bearer) = &self.shared.options.auth {
            bearer.revoke_all();
        }
    }
}

impl Deref for Registry {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.shared.store
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
