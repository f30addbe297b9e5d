//! A TUF repository over the one HTTP client, and one that lives in the cache (TUF specification section 5).

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Repository, Root, TrustedMetadataSet, Updater, UpdaterConfig};

use super::cache::Memory;
use crate::error::{Error, Reason};
use crate::net::{Client, Request, StatusCode, Url};

/// The trusted root in a repository of Sigstore.
pub(super) const TRUSTED_ROOT: &str = "trusted_root.json";
/// The signing config in a repository of Sigstore.
pub(super) const SIGNING_CONFIG: &str = "signing_config.v0.2.json";

/// The largest target that is read; the public ones take 7 KB.
const MAX_TARGET_BYTES: u64 = 1 << 20;

/// Why there was no complete refresh. The two are kept apart because only the first may be lived with.
#[derive(Debug)]
pub(super) enum Failure {
    /// The repository did not serve.
    Unreachable(Error),
    /// What it served is not to be trusted.
    Invalid {
        /// Why.
        cause: String,
        /// Whether it is merely too old.
        expired: bool,
    },
}

/// What verified metadata vouches for.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) trusted_root: Vec<u8>,
    pub(super) signing_config: Option<Vec<u8>>,
    /// When the first of the roles expires.
    pub(super) expires: Timestamp,
    pub(super) root_version: u64,
}

/// What was read, what for, and from where: the first thing that the network refused.
#[derive(Clone, Debug, Default)]
struct Refusal(Arc<Mutex<Option<Error>>>);

impl Refusal {
    fn set(&self, error: Error) -> sigstore_tuf::Error {
        let words = error.to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        sigstore_tuf::Error::transport(words)
    }

    fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A TUF repository over HTTP: every answer is bounded, and the end of the chain of roots is the only thing
/// that may be missing.
#[derive(Debug)]
pub struct Mirror {
    client: Client,
    metadata: Url,
    targets: Url,
    refusal: Refusal,
}

impl Mirror {
    /// A repository with its metadata and targets below these URLs, each with a slash at its end.
    pub fn new(client: Client, metadata: Url, targets: Url) -> Self {
        Self { client, metadata, targets, refusal: Refusal::default() }
    }

    async fn fetch(
        &self,
        base: &Url,
        name: &str,
        max_length: u64,
    ) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        let odd = |part: &str| part.is_empty() || part == "." || part == "..";
        if name.split('/').any(odd) || name.contains(['?', '#', '\\', ':']) {
            return Err(sigstore_tuf::Error::transport(format!("{name:?} is no file name")));
        }
        let url = base
            .join(name)
            .map_err(|_| sigstore_tuf::Error::transport(format!("{name:?} is no file name")))?;
        let bound = usize::try_from(max_length).unwrap_or(usize::MAX);
        let response = match self.client.send(Request::get(url, bound).service()).await {
            Ok(response) => response,
            // Endless data is an attack, not an outage.
            Err(error) if error.reason == Reason::LimitReached => {
                return Err(sigstore_tuf::Error::transport(error.to_string()));
            }
            Err(error) => return Err(self.refusal.set(error)),
        };
        // The end of the chain of roots; object stores answer 403 for what they do not have.
        let absent = matches!(response.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN);
        if absent && name.ends_with(".root.json") {
            return Ok(None);
        }
        if !response.status.is_success() {
            return Err(self.refusal.set(response.failure("")));
        }
        Ok(Some(response.body.to_vec()))
    }
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.fetch(&self.metadata, name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.fetch(&self.targets, path, max_length))
    }
}

/// Nothing but what is cached.
struct InCache(Memory);

impl Repository for InCache {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _: u64) -> FetchFuture<'a> {
        let plain = name.trim_start_matches(|c: char| c.is_ascii_digit());
        let plain = plain.strip_prefix('.').filter(|rest| rest.contains('.')).unwrap_or(name);
        let found = if name.ends_with(".root.json") { None } else { self.0.file(plain) };
        Box::pin(async move { Ok(found) })
    }

    fn fetch_target<'a>(&'a self, _: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(async move { Ok(None) })
    }
}

/// Verifies what is cached as of `at`, from the root that is trusted already; asks nobody.
///
/// # Errors
/// Invalid: it expired before `at`, or is not what was once verified.
pub(super) async fn verify_cached(
    bootstrap: &[u8],
    memory: Memory,
    at: Timestamp,
) -> Result<Content, Failure> {
    let updater = updater(InCache(memory.clone()), bootstrap)?.with_store(memory);
    finish(updater, &Refusal::default(), at).await
}

/// Brings `memory` up to date from a mirror. It is complete only if this succeeds.
///
/// # Errors
/// Unreachable, when the mirror does not serve; invalid, when what it serves does not hold.
pub(super) async fn refresh(
    client: &Client,
    mirror: &Url,
    bootstrap: &[u8],
    memory: Memory,
    now: Timestamp,
) -> Result<Content, Failure> {
    let targets = mirror
        .join("targets/")
        .map_err(|error| Failure::Invalid { cause: error.to_string(), expired: false })?;
    let mirror = Mirror::new(client.clone(), mirror.clone(), targets);
    let refusal = mirror.refusal.clone();
    let updater = updater(mirror, bootstrap)?.with_store(memory);
    finish(updater, &refusal, now).await
}

/// Whether these bytes are a root that vouches for itself.
///
/// # Errors
/// Why not.
pub(super) fn check_root(bytes: &[u8]) -> Result<(), String> {
    let set = TrustedMetadataSet::from_root(bytes).map_err(|error| chain(&error))?;
    distinct_keys(set.root())
}

fn updater(repository: impl Repository + 'static, root: &[u8]) -> Result<Updater, Failure> {
    let updater = Updater::new(repository, root)
        .map_err(|error| Failure::Invalid { cause: chain(&error), expired: false })?;
    let mut config = UpdaterConfig::default();
    config.target_max_length = MAX_TARGET_BYTES;
    Ok(updater.with_config(config))
}

async fn finish(
    mut updater: Updater,
    refusal: &Refusal,
    at: Timestamp,
) -> Result<Content, Failure> {
    let failure = |error: &sigstore_tuf::Error| match refusal.take() {
        Some(error) => Failure::Unreachable(error),
        None => Failure::Invalid {
            cause: chain(error),
            expired: matches!(error, sigstore_tuf::Error::Expired { .. }),
        },
    };
    updater.refresh(at).await.map_err(|error| failure(&error))?;
    distinct_keys(updater.trusted().root())
        .map_err(|cause| Failure::Invalid { cause, expired: false })?;
    let trusted_root = updater.get_target(TRUSTED_ROOT, at).await.map_err(|e| failure(&e))?;
    let signing_config = match updater.get_target(SIGNING_CONFIG, at).await {
        Ok(bytes) => Some(bytes),
        Err(sigstore_tuf::Error::TargetNotFound(_)) => None,
        Err(error) => return Err(failure(&error)),
    };
    let trusted = updater.trusted();
    let expiries = [
        Some(trusted.root().expires),
        trusted.timestamp().map(|role| role.expires),
        trusted.snapshot().map(|role| role.expires),
        trusted.targets_role("targets").map(|role| role.expires),
    ];
    let expires = expiries.into_iter().flatten().min().unwrap_or(at);
    Ok(Content { trusted_root, signing_config, expires, root_version: trusted.root().version })
}

/// The crate counts key identifiers. One key under two names is still one key.
fn distinct_keys(root: &Root) -> Result<(), String> {
    for (name, role) in &root.roles {
        let keys: std::collections::BTreeSet<_> = role
            .keyids
            .iter()
            .filter_map(|id| root.keys.get(id))
            .map(|key| key.keyval.public.split_whitespace().collect::<String>())
            .collect();
        if keys.len() < role.threshold {
            return Err(format!(
                "role {name} wants {} signatures and has {} different keys",
                role.threshold,
                keys.len()
            ));
        }
    }
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    crate::net::bounded_line(&words, 400)
}
