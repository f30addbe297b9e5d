//! Where trust comes from: the trusted root to verify with and the signing config to sign with.
//!
//! A flag names a file or `embedded`; without one they come from a Sigstore instance by TUF: a root in this
//! binary starts the chain, a cache remembers what was verified, and trust never fails open. Unexpired and
//! refreshed within a day: nobody is asked. A mirror that cannot be reached is lived with while nothing has
//! expired, and said; a mirror that serves what does not hold is never lived with.

mod cache;
mod instances;
mod source;
mod tuf;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_SIGNING_CONFIG, SIGSTORE_PRODUCTION_TRUSTED_ROOT, SigningConfig,
};

use crate::error::{Class, Error, Reason, Result};
use crate::net::Client;
use crate::verify::TrustRoot;
use cache::{CacheFile, Cached, Memory};
use tuf::{Content, Failure};

pub use instances::{Instance, PRODUCTION, file as instance_file};
pub use source::Source;
pub use tuf::Mirror;

/// How long after a refresh nobody is asked.
const FRESH: SignedDuration = SignedDuration::from_hours(24);

/// Turns in which a connection on the same machine stands and a request is on its way.
const HEAD_START: usize = 8;

/// What helps where nothing can be trusted.
const HINT: &str = "--trusted-root FILE";

/// Reads and prepares the trusted root that a flag names, or the several of a file.
///
/// # Errors
/// Undecided (`trust-unusable`), when it cannot be used; usage, when the file cannot be opened.
pub fn trusted_root(source: &Source) -> Result<TrustRoot> {
    let documents = trusted_root_documents(source)?;
    TrustRoot::from_documents(&documents).map_err(|error| match source {
        Source::Embedded => error,
        Source::File(path) => error.on(path.display().to_string()),
    })
}

/// The trusted roots that a flag names, as JSON; mostly one.
///
/// # Errors
/// As [`trusted_root`].
pub fn trusted_root_documents(source: &Source) -> Result<Vec<Vec<u8>>> {
    let path = match source {
        Source::Embedded => return Ok(vec![SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec()]),
        Source::File(path) => path,
    };
    let documents = source::documents(source::read(path)?);
    documents
        .and_then(|documents| {
            let parts = documents.into_iter().map(|json| source::part(json, source::TRUSTED_ROOT));
            parts.collect()
        })
        .map_err(|error| error.on(path.display().to_string()))
}

/// Reads the signing config that a flag names.
///
/// # Errors
/// As [`trusted_root`].
pub fn signing_config(source: &Source) -> Result<SigningConfig> {
    match source {
        Source::Embedded => parse_signing_config(SIGSTORE_PRODUCTION_SIGNING_CONFIG.as_bytes()),
        Source::File(path) => source::read(path)
            .and_then(|bytes| source::part(bytes, source::SIGNING_CONFIG))
            .and_then(|json| parse_signing_config(&json))
            .map_err(|error| error.on(path.display().to_string())),
    }
}

fn parse_signing_config(json: &[u8]) -> Result<SigningConfig> {
    let unusable = |cause: String| {
        Error::new(Class::Undecided, Reason::TrustUnusable, "signing config cannot be used")
            .cause(cause)
    };
    let text = std::str::from_utf8(json).map_err(|error| unusable(error.to_string()))?;
    SigningConfig::from_json(text).map_err(|error| unusable(error.to_string()))
}

/// How an instance is asked.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The client for the mirror.
    pub client: Client,
    /// Where caches are kept; without one every run asks the mirror.
    pub home: Option<PathBuf>,
    /// Ask nobody: the cache counts as of its last refresh.
    pub offline: bool,
    /// The oldest refresh that counts.
    pub max_age: Option<Duration>,
    /// Ask even if the cache is fresh.
    pub always: bool,
}

/// The trust of an instance, verified by TUF.
#[derive(Clone, Debug)]
pub struct InstanceTrust {
    /// The instance.
    pub instance: Instance,
    /// The trusted root, JSON.
    pub trusted_root: Vec<u8>,
    /// When it was last refreshed.
    pub refreshed: Timestamp,
    /// When the first of the TUF roles expires.
    pub expires: Timestamp,
    /// The version of the TUF root at the end of the chain.
    pub root_version: u64,
    /// What the user should know although nothing failed.
    pub warnings: Vec<String>,
    signing_config: Option<Vec<u8>>,
}

impl InstanceTrust {
    /// Prepares the trusted root.
    ///
    /// # Errors
    /// Undecided (`trust-unusable`).
    pub fn trust_root(&self) -> Result<TrustRoot> {
        TrustRoot::from_json(&self.trusted_root).map_err(|error| error.on(self.words()))
    }

    /// The services to sign with.
    ///
    /// # Errors
    /// Usage, when the instance publishes none; undecided, when they cannot be read.
    pub fn signing_config(&self) -> Result<SigningConfig> {
        let Some(json) = &self.signing_config else {
            return Err(Error::usage("instance names no services to sign with")
                .on(self.words())
                .cause("its repository has no signing config"));
        };
        parse_signing_config(json).map_err(|error| error.on(self.words()))
    }

    /// Whether it publishes services to sign with.
    pub fn can_sign(&self) -> bool {
        self.signing_config.is_some()
    }

    /// The words for a report.
    pub fn words(&self) -> String {
        format!("instance {}", self.instance.name)
    }

    /// Seconds since the last refresh.
    pub fn age(&self, now: Timestamp) -> i64 {
        now.duration_since(self.refreshed).as_secs()
    }
}

/// The trust of `instance`: from the cache where that is enough, else from its mirror.
///
/// # Errors
/// Undecided: `trust-expired`, `trust-unusable`, with a hint that helps; never anything weaker than what
/// was verified before.
pub async fn load(
    instance: &Instance,
    asking: &Asking,
    clock: impl Fn() -> Timestamp,
) -> Result<InstanceTrust> {
    let now = clock();
    let mut warnings = Vec::new();
    let file = asking.home.as_deref().map(|home| CacheFile::new(home, &instance.name));
    let cached = match file.as_ref().map(CacheFile::load) {
        Some(Ok(cached)) => cached,
        Some(Err(cause)) => {
            let name = file.as_ref().map(CacheFile::words).unwrap_or_default();
            warnings.push(format!("trust cache is not used: {name}: {cause}"));
            None
        }
        None => None,
    };
    let verified = |content: Content, refreshed, warnings| InstanceTrust {
        instance: instance.clone(),
        trusted_root: content.trusted_root,
        signing_config: content.signing_config,
        refreshed,
        expires: content.expires,
        root_version: content.root_version,
        warnings,
    };
    let root = instance.root.as_slice();
    if asking.offline {
        return match offline(cached, root, asking, now).await {
            Ok((content, refreshed)) => {
                let age = now.duration_since(refreshed);
                if age >= FRESH {
                    let name = &instance.name;
                    warnings
                        .push(format!("offline: trust of instance {name} is {} old", words(age)));
                }
                Ok(verified(content, refreshed, warnings))
            }
            Err(error) => Err(warnings
                .into_iter()
                .fold(error, Error::note)
                .on(format!("instance {}", instance.name))
                .hint(HINT)),
        };
    }
    let usable = match &cached {
        Some(cached) => {
            others_first().await;
            let content = tuf::verify_cached(root, Memory::new(cached.files.clone()), now).await;
            Some((content, cached.refreshed))
        }
        None => None,
    };
    // A refresh that lies ahead of us was never seen: the clock or the file is wrong.
    let age = |refreshed: Timestamp| now.duration_since(refreshed);
    let known = |refreshed| !age(refreshed).is_negative() && young(age(refreshed), asking.max_age);
    if let Some((Ok(content), refreshed)) = &usable
        && !asking.always
        && known(*refreshed)
        && age(*refreshed) < FRESH
    {
        return Ok(verified(content.clone(), *refreshed, warnings));
    }
    let memory = Memory::new(cached.map(|cached| cached.files).unwrap_or_default());
    let refreshed = tuf::refresh(&asking.client, &instance.mirror, root, memory.clone(), now).await;
    match refreshed {
        Ok(content) => {
            // Only what can be used is kept.
            let trust = verified(content, now, Vec::new());
            trust.trust_root().map_err(|error| error.hint(HINT))?;
            if let Some(file) = &file {
                let cached = Cached { files: memory.into_files(), refreshed: now };
                if let Err(cause) = file.replace(&cached, clock()) {
                    let name = file.words();
                    warnings.push(format!("trust cache cannot be written: {name}: {cause}"));
                }
            }
            Ok(InstanceTrust { warnings, ..trust })
        }
        Err(Failure::Unreachable(error)) => match usable {
            Some((Ok(content), refreshed)) if known(refreshed) && !asking.always => {
                warnings.push(format!(
                    "trust of instance {} could not be refreshed and is {} old: {error}",
                    instance.name,
                    words(age(refreshed)),
                ));
                Ok(verified(content, refreshed, warnings))
            }
            Some((Err(Failure::Invalid { expired: true, cause }), _)) => Err(unusable(
                instance,
                Reason::TrustExpired,
                &format!("{cause}, and it could not be refreshed: {}", bare(&error)),
            )),
            _ => Err(unusable(instance, Reason::TrustUnusable, &bare(&error))),
        },
        Err(Failure::Invalid { cause, expired }) => {
            let reason = if expired { Reason::TrustExpired } else { Reason::TrustUnusable };
            let mirror = &instance.mirror;
            Err(unusable(instance, reason, &format!("what {mirror} serves does not hold: {cause}")))
        }
    }
}

async fn offline(
    cached: Option<Cached>,
    root: &[u8],
    asking: &Asking,
    now: Timestamp,
) -> Result<(Content, Timestamp)> {
    let open = |reason, cause: String| {
        Error::new(Class::Undecided, reason, "nothing to trust offline").cause(cause)
    };
    let Some(Cached { files, refreshed }) = cached else {
        let cause = "nothing is cached; `helm sigstore trust update` fetches it";
        return Err(open(Reason::TrustUnusable, cause.to_owned()));
    };
    let age = now.duration_since(refreshed);
    if age.is_negative() {
        let cause = format!("the last refresh lies in the future ({refreshed})");
        return Err(open(Reason::TrustUnusable, cause));
    }
    if !young(age, asking.max_age) {
        let cause = format!("the last refresh was {} ago (--max-trust-age)", words(age));
        return Err(open(Reason::TrustExpired, cause));
    }
    others_first().await;
    match tuf::verify_cached(root, Memory::new(files), refreshed).await {
        Ok(content) => Ok((content, refreshed)),
        Err(Failure::Invalid { cause, .. }) => {
            Err(open(Reason::TrustUnusable, format!("the cache does not hold: {cause}")))
        }
        Err(Failure::Unreachable(error)) => Err(error),
    }
}

/// To verify what is cached keeps the thread for milliseconds: a registry that is asked beside it is to have the request
/// before.
async fn others_first() {
    for _ in 0..HEAD_START {
        tokio::task::yield_now().await;
    }
}

fn young(age: SignedDuration, limit: Option<Duration>) -> bool {
    limit.is_none_or(|limit| age.unsigned_abs() <= limit)
}

fn unusable(instance: &Instance, reason: Reason, cause: &str) -> Error {
    let what = match reason {
        Reason::TrustExpired => "trust has expired",
        _ => "nothing to trust",
    };
    Error::new(Class::Undecided, reason, what)
        .on(format!("instance {}", instance.name))
        .cause(cause)
        .hint(HINT)
}

/// The causes of an error without its headline.
fn bare(error: &Error) -> String {
    let causes: Vec<_> = error.lines.iter().map(|line| line.text.as_str()).collect();
    if causes.is_empty() { error.what.clone() } else { causes.join(": ") }
}

/// An age in seconds, in words: `12 min`, `3 h`, `60 d`.
pub fn age_words(seconds: i64) -> String {
    words(SignedDuration::from_secs(seconds))
}

fn words(age: SignedDuration) -> String {
    let hours = age.as_hours();
    match hours {
        0 => format!("{} min", age.as_mins()),
        1..48 => format!("{hours} h"),
        _ => format!("{} d", hours / 24),
    }
}

/// Sets up a private instance: fetches its trust, and only when that holds keeps the instance in `config`.
///
/// # Errors
/// As [`load`]; usage, when it cannot be kept.
pub async fn init(
    instance: &Instance,
    config: &Path,
    asking: &Asking,
    clock: impl Fn() -> Timestamp,
) -> Result<(InstanceTrust, PathBuf)> {
    // What an instance of the same name has left belongs to another chain: it is neither read nor kept.
    let without_cache = Asking { home: None, always: true, ..asking.clone() };
    let mut trust = load(instance, &without_cache, &clock).await?;
    let path = instance.keep(config)?;
    if let Some(home) = &asking.home {
        CacheFile::new(home, &instance.name).remove();
        trust = load(instance, asking, &clock).await?;
    }
    Ok((trust, path))
}

/// Writes a trusted root where the user wants it: a file in one step, anything else that is there as it is.
///
/// # Errors
/// Usage, when it cannot be written.
pub fn write_file(path: &Path, json: &[u8]) -> Result<()> {
    let special = std::fs::metadata(path).is_ok_and(|data| !data.is_file());
    let written = match special {
        true => std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut out| std::io::Write::write_all(&mut out, json)),
        false => cache::replace_atomically(path, json),
    };
    written.map_err(|error| {
        Error::usage("cannot write file").on(path.display().to_string()).cause(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_instance_can_be_used() {
        assert!(trusted_root(&Source::Embedded).is_ok());
        assert!(!signing_config(&Source::Embedded).unwrap().ca_urls.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_a_usage_error_and_one_that_is_no_root_is_undecided() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.json");
        let source = Source::File(path.clone());
        assert_eq!(trusted_root(&source).unwrap_err().class, Class::Usage);
        std::fs::write(&path, b"{}").unwrap();
        assert_eq!(trusted_root(&source).unwrap_err().class, Class::Undecided);
    }
}
