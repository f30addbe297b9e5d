//! A Sigstore that lives in the test process.
//!
//! It issues real certificates with real certificate timestamps, real inclusion proofs, checkpoints and RFC 3161
//! timestamps over the real protocols, on loopback ports of its own: unchanged cosign and sigstore-python sign and
//! verify against it. Its keys are made at each start and vouch for nothing. Everything is in memory; instances share
//! nothing, so tests may run side by side.
//!
//! ```no_run
//! use helm_sigstore_kit::sigstore::{Identity, Options, Sigstore};
//!
//! let sigstore = Sigstore::start(Options::default());
//! let identity = Identity::github("acme/charts/.github/workflows/release.yml@refs/heads/main");
//! let token = sigstore.token(&identity);
//! std::fs::write("trusted_root.json", sigstore.trusted_root_json())?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod certificate;
mod clock;
mod cosign;
mod ct;
mod error;
mod fault;
mod fulcio;
mod google;
mod http;
mod identity;
mod instance;
mod keys;
mod merkle;
mod note;
mod oidc;
mod platform;
mod rekor_entry;
mod rekor_helm;
mod rekor_v1;
mod rekor_v2;
mod sign_in;
#[cfg(unix)]
mod spiffe;
mod trust;
mod tsa;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::runtime::Runtime;

pub(crate) use self::clock::{date, wall_seconds};
pub use self::cosign::{
    LegacySignature, SIGNATURE_ARTIFACT, SIMPLE_SIGNING, signature_image, simple_signing,
};
pub use self::error::{Error, Result};
pub use self::fault::{Fault, LogLie, Service};
pub use self::http::Request;
use self::http::{Sockets, lock};
pub use self::identity::{Identity, IssuerKind};
use self::instance::Instance;
pub(crate) use self::keys::{KeyKind, SigningKey, sha256};

/// Versions of the transparency log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RekorVersion {
    /// Signed entry timestamps; `dsse` and `hashedrekord` entries.
    V1,
    /// Tiles; no time of its own, so it needs a timestamp authority.
    V2,
}

/// How the instance is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The logs that the signing config offers, in this order. Both run and are trusted in any case.
    pub rekor: Vec<RekorVersion>,
    /// Whether the signing config offers the timestamp authority, which runs and is trusted in any case.
    pub tsa: bool,
    /// How many entries of others each log holds at the start.
    ///
    /// The first entry of an empty log has index 0 and a proof without hashes. Go's JSON leaves both out, and
    /// sigstore-python refuses such bundles, so 0 is for tests that are about just that.
    pub earlier_entries: usize,
}

impl Default for Options {
    /// As the public-good instance: Rekor v1 and a timestamp authority.
    fn default() -> Self {
        Self { rekor: vec![RekorVersion::V1], tsa: true, earlier_entries: 3 }
    }
}

/// A running instance; it ends when it is dropped.
pub struct Sigstore {
    instance: Arc<Instance>,
    runtime: Option<Runtime>,
}

impl Sigstore {
    /// Starts all services.
    ///
    /// # Panics
    /// If it cannot start; [`try_start`](Self::try_start) says so instead.
    pub fn start(options: Options) -> Self {
        match Self::try_start(options) {
            Ok(sigstore) => sigstore,
            Err(error) => panic!("the test Sigstore does not start: {error}"),
        }
    }

    /// Starts all services on free ports of 127.0.0.1 and, where there is IPv6, of `[::1]`.
    ///
    /// # Errors
    /// If there are no ports, no threads or no randomness to be had.
    pub fn try_start(options: Options) -> Result<Self> {
        let mut sockets = Vec::new();
        let mut urls = Vec::new();
        for service in Service::ALL {
            let socket = Sockets::bind()?;
            // The host of a v2 log's URL is the name that its checkpoints carry; an address would not do.
            let host = if service == Service::RekorV2 { rekor_v2::ORIGIN } else { "127.0.0.1" };
            urls.push((service, format!("http://{host}:{}", socket.port)));
            sockets.push((service, socket));
        }
        let instance = Arc::new(Instance::new(options, urls)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kit-sigstore")
            .enable_all()
            .build()?;
        let guard = runtime.enter();
        for (service, socket) in sockets {
            socket.serve(service, &instance)?;
        }
        drop(guard);
        Ok(Self { instance, runtime: Some(runtime) })
    }

    /// The trusted root: `application/vnd.dev.sigstore.trustedroot+json;version=0.1`.
    pub fn trusted_root_json(&self) -> String {
        text(self.instance.trusted_root())
    }

    /// The signing config: `application/vnd.dev.sigstore.signingconfig.v0.2+json`.
    pub fn signing_config_json(&self) -> String {
        text(self.instance.signing_config())
    }

    /// Both in one document, for sigstore-python's `--trust-config`.
    pub fn trust_config_json(&self) -> String {
        text(self.instance.trust_config())
    }

    /// Writes `trusted_root.json`, `signing_config.json`, `trust_config.json`, and the public keys of the logs and the
    /// chains of the authorities in PEM: `ct.pub`, `rekor-v1.pub`, `rekor-v2.pub`, `fulcio.pem`, `tsa.pem`.
    ///
    /// # Errors
    /// If the directory cannot be made or a file cannot be written.
    pub fn write_files(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        let instance = &self.instance;
        let (fulcio, tsa) = (&instance.fulcio, &instance.tsa);
        let files = [
            ("trusted_root.json", self.trusted_root_json()),
            ("signing_config.json", self.signing_config_json()),
            ("trust_config.json", self.trust_config_json()),
            ("ct.pub", instance.ct.key.public_pem()),
            ("rekor-v1.pub", instance.rekor_v1.noted.key.public_pem()),
            ("rekor-v2.pub", instance.rekor_v2.noted.key.public_pem()),
            ("fulcio.pem", format!("{}{}", fulcio.intermediate.pem(), fulcio.root.pem())),
            ("tsa.pem", format!("{}{}", tsa.leaf.pem(), tsa.root.pem())),
        ];
        for (name, content) in files {
            std::fs::write(dir.join(name), content)?;
        }
        Ok(())
    }

    /// The base URL of a service.
    pub fn url(&self, service: Service) -> String {
        self.instance.url(service).to_owned()
    }

    /// The base URL of Fulcio.
    pub fn fulcio_url(&self) -> String {
        self.url(Service::Fulcio)
    }

    /// The base URL of the certificate transparency log, to which a real Fulcio can be pointed.
    pub fn ct_url(&self) -> String {
        self.url(Service::Ct)
    }

    /// The base URL of Rekor v1.
    pub fn rekor_v1_url(&self) -> String {
        self.url(Service::RekorV1)
    }

    /// The base URL of Rekor v2; its host is `localhost`, the name in its checkpoints.
    pub fn rekor_v2_url(&self) -> String {
        self.url(Service::RekorV2)
    }

    /// The full URL of the timestamp authority, as signing configs hold it.
    pub fn tsa_url(&self) -> String {
        self.instance.tsa_url()
    }

    /// The issuer of one kind of identities, as `--certificate-oidc-issuer` takes it.
    pub fn issuer_url(&self, kind: IssuerKind) -> String {
        self.instance.oidc.issuer(kind)
    }

    /// A signed identity token.
    ///
    /// # Panics
    /// If there is no randomness to be had.
    pub fn token(&self, identity: &Identity) -> String {
        match self.instance.oidc.token(identity) {
            Ok(token) => token,
            Err(error) => panic!("no token: {error}"),
        }
    }

    /// The variables of a GitHub Actions job that may ask for tokens. They speak for the workflow
    /// `acme/charts/.github/workflows/release.yml@refs/heads/main`. The URL has a query, as the real one has.
    pub fn github_actions_env(&self) -> Vec<(String, String)> {
        self.instance.oidc.actions_environment()
    }

    /// The variables of a workload of Google Cloud, whose metadata server and IAM credentials are the instance's. It
    /// is `builder@acme.iam.gserviceaccount.com`, and may sign as `release@acme.iam.gserviceaccount.com`.
    pub fn google_env(&self) -> Vec<(String, String)> {
        self.instance.oidc.google_environment()
    }

    /// The requests received so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.instance.requests).clone()
    }

    /// How many requests a service received so far.
    pub fn request_count(&self, service: Service) -> usize {
        lock(&self.instance.requests).iter().filter(|request| request.service == service).count()
    }

    /// Forgets the requests received so far.
    pub fn reset_requests(&self) {
        lock(&self.instance.requests).clear();
    }

    /// Lets a service misbehave until further notice, in place of what it did wrong before.
    pub fn set_fault(&self, fault: Fault) {
        self.instance.faults.set(fault, None);
    }

    /// Lets a service misbehave for so many requests.
    pub fn set_fault_times(&self, fault: Fault, requests: u32) {
        self.instance.faults.set(fault, Some(requests));
    }

    /// All services behave again.
    pub fn clear_faults(&self) {
        self.instance.faults.clear();
    }

    /// Shifts the time in what is issued from now on: certificates, certificate timestamps, entry timestamps and RFC
    /// 3161 timestamps. With a positive number the clock of whoever verifies is behind. Identity tokens keep real time.
    /// Keys and authorities are valid from 400 days before the start.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.instance.clock.set_offset(seconds);
    }
}

impl Drop for Sigstore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Requests that hang on purpose are not waited for; nor may this block inside another runtime.
            runtime.shutdown_background();
        }
    }
}

/// A document as text; making one fails only if the clock is out of all bounds.
fn text(document: Result<Value>) -> String {
    match document {
        Ok(document) => format!("{document:#}"),
        Err(error) => panic!("no document: {error}"),
    }
}
