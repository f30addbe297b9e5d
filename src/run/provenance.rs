//! Helm's provenance file beside a verification: present or not, and whether its PGP signature holds.
//!
//! It decides nothing unless somebody asked for that: with a keyring that was named, or by `--prov require`. A
//! default keyring that merely lies there is used to report, and never to fail.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::report::{HelmEntryReport, Outcome, ProvenanceReport};
use crate::chart::Digest;
use crate::error::{Class, Error, Reason, Result};
use crate::files::off_thread;
use crate::verify::{
    Keyring, MAX_KEYRING_BYTES, NamedVersion, ProvMode, RuleProvenance, VerifiedProvenance,
    verify_provenance,
};

/// The keys that count.
#[derive(Clone, Debug)]
pub enum ProvKeys {
    /// Those of keyrings that were named, never none: what they say decides, and each of them has to hold the key.
    Named(Vec<Arc<Keyring>>),
    /// Those of a keyring that nobody named: what they say is reported.
    Default(Arc<DefaultKeyring>),
}

/// The first of these files that is there; read once, and only if it is asked for.
#[derive(Debug, Default)]
pub struct DefaultKeyring {
    paths: Vec<PathBuf>,
    read: OnceCell<Arc<Keyring>>,
}

impl DefaultKeyring {
    /// Looks for a keyring in `paths`, in their order.
    pub fn among(paths: Vec<PathBuf>) -> Self {
        Self { paths, read: OnceCell::new() }
    }

    fn path(&self) -> Option<&PathBuf> {
        self.paths.iter().find(|path| path.is_file())
    }

    async fn get(&self) -> Result<Arc<Keyring>> {
        let read = async {
            let Some(path) = self.path().cloned() else {
                return Err(Error::usage("there is no keyring")
                    .cause("--prov require needs the keys that may have signed")
                    .hint("--keyring FILE"));
            };
            load_keyring(path).await
        };
        self.read.get_or_try_init(|| read).await.map(Arc::clone)
    }
}

/// How provenance is looked at.
#[derive(Clone, Debug)]
pub struct ProvCheck {
    /// Whether it is.
    pub mode: ProvMode,
    /// Whether it suffices for a chart that has no signature of Sigstore.
    pub accept: bool,
    /// The keys that may have signed.
    pub keys: ProvKeys,
    /// What asks for it where it is required, as the user wrote it.
    pub asked_by: &'static str,
    /// The keyring as a policy names it, for the report.
    pub keyring: Option<String>,
}

/// One chart whose provenance is looked at.
pub(super) struct ProvSubject<'a> {
    /// Its digest.
    pub digest: &'a Digest,
    /// Its name and version, whatever its file is called now; or why they are not known.
    pub named: Result<NamedVersion>,
    /// What time it is.
    pub now: Timestamp,
}

impl ProvCheck {
    /// What flags ask for.
    pub fn new(mode: ProvMode, keys: ProvKeys) -> Self {
        Self { mode, accept: false, keys, asked_by: "--prov require", keyring: None }
    }

    /// Looks at nothing.
    pub fn ignored() -> Self {
        Self::new(ProvMode::Ignore, ProvKeys::Default(Arc::default()))
    }

    /// What `rule` asks for, by the keyring that it names, and beside it what flags ask for: the stricter of the two
    /// modes, and a key that both keyrings hold.
    pub fn of_rule(
        rule: &RuleProvenance,
        keyring: Option<Arc<Keyring>>,
        flags: ProvMode,
        narrowed: Option<Arc<Keyring>>,
    ) -> Self {
        let named: Vec<_> = keyring.into_iter().chain(narrowed).collect();
        Self {
            mode: rule.mode.max(flags),
            accept: rule.accept,
            keys: match named.is_empty() {
                true => ProvKeys::Default(Arc::default()),
                false => ProvKeys::Named(named),
            },
            asked_by: match rule.mode {
                ProvMode::Require => "prov: require of the policy",
                _ => "--prov require",
            },
            keyring: rule.keyring.clone(),
        }
    }

    /// The word for it in the report: that of a flag, or of a policy.
    pub(super) fn as_str(&self) -> &'static str {
        if self.accept && self.mode != ProvMode::Require { "accept" } else { self.mode.as_str() }
    }

    /// Whether what it says decides.
    fn decides(&self) -> bool {
        matches!(self.keys, ProvKeys::Named(_)) || self.mode == ProvMode::Require
    }

    /// Whether the provenance file has to be read at all, if there is one.
    pub(super) fn reads(&self, present: bool, covered: bool) -> Result<bool> {
        match (self.mode, present) {
            (ProvMode::Ignore, _) | (ProvMode::IfPresent, false) => Ok(false),
            (ProvMode::Require, false) => {
                Err(Error::refused(Reason::NoProvenance, "provenance is missing")
                    .cause(format!("{} asks for it", self.asked_by))
                    .note("whoever packages the chart signs it: helm package --sign"))
            }
            (_, true) if self.decides() => Ok(true),
            (_, true) => Ok(!covered && self.has_default()),
        }
    }

    fn has_default(&self) -> bool {
        matches!(&self.keys, ProvKeys::Default(keyring) if keyring.path().is_some())
    }

    /// Judges a provenance file; what it says goes into the outcome. Answers what was verified, if it was.
    ///
    /// # Errors
    /// Only where it decides.
    pub(super) async fn judge(
        &self,
        prov: Result<Vec<u8>>,
        subject: ProvSubject<'_>,
        outcome: &mut Outcome,
    ) -> Result<Option<VerifiedProvenance>> {
        let ProvSubject { digest, named, now } = subject;
        let judged = match (prov, named, self.keyrings().await) {
            (Ok(prov), Ok(named), Ok(keyrings)) => {
                let digest = *digest;
                // Hundreds of keys may have to be tried.
                off_thread(move || by_every_one(&keyrings, &prov, &named, &digest, now)).await
            }
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => Err(error),
        };
        outcome.provenance = Some(match &judged {
            Ok(verified) => ProvenanceReport::from(verified),
            Err(error) => ProvenanceReport::failed(error),
        });
        match judged {
            Ok(verified) => Ok(Some(verified)),
            Err(_) if !self.decides() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn keyrings(&self) -> Result<Vec<Arc<Keyring>>> {
        match &self.keys {
            ProvKeys::Named(keyrings) => Ok(keyrings.clone()),
            ProvKeys::Default(keyring) => Ok(vec![keyring.get().await?]),
        }
    }
}

/// Verifies a provenance file by each of these keyrings, of which there is at least one.
fn by_every_one(
    keyrings: &[Arc<Keyring>],
    prov: &[u8],
    named: &NamedVersion,
    digest: &Digest,
    now: Timestamp,
) -> Result<VerifiedProvenance> {
    let mut verified = Err(Error::usage("there is no keyring").hint("--keyring FILE"));
    for keyring in keyrings {
        verified = Ok(verify_provenance(prov, keyring, named, digest, now)?);
    }
    verified
}

/// Reads a keyring from a file, within bounds.
///
/// # Errors
/// Usage: not to be opened, or no keyring.
pub fn read_keyring(path: &std::path::Path) -> Result<Keyring> {
    use std::io::Read as _;
    let object = path.display().to_string();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_KEYRING_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            Error::usage("cannot open keyring").on(object.clone()).cause(error.to_string())
        })?;
    Keyring::parse(&bytes).map_err(|error| error.on(object))
}

/// The same, away from the thread that keeps the time: a pipe that nobody writes to must not outlast the time-out.
///
/// # Errors
/// As above.
pub async fn load_keyring(path: PathBuf) -> Result<Arc<Keyring>> {
    off_thread(move || read_keyring(&path)).await.map(Arc::new)
}

/// What a chart without any signature of Sigstore is, whose provenance was verified.
pub(super) fn only_provenance(unsigned: Error, outcome: &Outcome) -> Error {
    let mut error =
        Error::new(Class::Unsigned, Reason::Unsigned, "provenance verified, unsigned in Sigstore");
    let logged = outcome.helm_entry.iter().flat_map(HelmEntryReport::lines);
    let lines = outcome.provenance.iter().flat_map(ProvenanceReport::lines).chain(logged);
    for (label, value) in lines {
        error = error.line(label, value);
    }
    error.lines.extend(unsigned.lines);
    error
}
