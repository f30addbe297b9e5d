//! Helm's provenance file beside a verification: present or not, and whether its PGP signature holds.
//!
//! It decides nothing unless somebody asked for that: with a keyring that was named, or by `--prov require`. A
//! default keyring that merely lies there is used to report, and never to fail.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::off_thread;
use super::rekor::HelmEntryReport;
use super::report::Outcome;
use crate::chart::Digest;
use crate::error::{Class, Error, Reason, Result};
use crate::verify::{Keyring, MAX_KEYRING_BYTES, VerifiedProvenance, verify_provenance};

/// Whether a provenance file is looked at (`--prov`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProvMode {
    /// Not at all.
    Ignore,
    /// Where there is one.
    #[default]
    IfPresent,
    /// There has to be one, and its PGP signature has to hold.
    Require,
}

/// The keys that count.
#[derive(Clone, Debug)]
pub enum ProvKeys {
    /// Those of a keyring that was named: what they say decides.
    Named(Box<Keyring>),
    /// Those of the first of these files that is there: what they say is reported.
    Default(Vec<PathBuf>),
}

impl ProvKeys {
    /// The default keyring, where none was named and there is one.
    pub fn default_keyring(&self) -> Option<&PathBuf> {
        match self {
            Self::Named(_) => None,
            Self::Default(paths) => paths.iter().find(|path| path.is_file()),
        }
    }
}

/// How provenance is looked at.
#[derive(Clone, Debug)]
pub struct ProvCheck {
    /// `--prov`.
    pub mode: ProvMode,
    /// The keyring.
    pub keys: ProvKeys,
}

/// What was found of the PGP signature of a provenance file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceReport {
    /// `verified`, `refused`, or `unknown-key`.
    pub status: &'static str,
    /// The user ids of the key.
    pub signed_by: Vec<String>,
    /// The fingerprint of the primary key, in upper-case hex.
    pub fingerprint: Option<String>,
    /// The chart's digest, as the provenance names it.
    pub chart_hash: Option<String>,
    /// When it says that it was signed.
    pub signed_at: Option<Timestamp>,
    /// Why it does not hold.
    pub message: Option<String>,
}

impl From<&VerifiedProvenance> for ProvenanceReport {
    fn from(verified: &VerifiedProvenance) -> Self {
        Self {
            status: "verified",
            signed_by: verified.signed_by.clone(),
            fingerprint: Some(verified.fingerprint.clone()),
            chart_hash: Some(verified.digest.to_string()),
            signed_at: Some(verified.signed_at),
            message: None,
        }
    }
}

impl ProvenanceReport {
    fn failed(error: &Error) -> Self {
        Self {
            status: if error.reason == Reason::WrongSigner { "unknown-key" } else { "refused" },
            signed_by: Vec::new(),
            fingerprint: None,
            chart_hash: None,
            signed_at: None,
            message: Some(error.to_string()),
        }
    }

    /// Helm's own lines, as labels and values.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> =
            self.signed_by.iter().map(|one| ("Signed by", one.clone())).collect();
        let found = [
            ("Using Key With Fingerprint", &self.fingerprint),
            ("Chart Hash Verified", &self.chart_hash),
        ];
        lines.extend(found.into_iter().filter_map(|(label, it)| Some((label, it.clone()?))));
        lines
    }
}

/// One chart whose provenance is looked at.
pub(super) struct ProvSubject<'a> {
    /// Its digest.
    pub digest: &'a Digest,
    /// `NAME-VERSION.tgz`, whatever it is called now.
    pub file_name: String,
    /// What time it is.
    pub now: Timestamp,
}

impl ProvCheck {
    /// Looks at nothing.
    pub fn ignored() -> Self {
        Self { mode: ProvMode::Ignore, keys: ProvKeys::Default(Vec::new()) }
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
                    .cause("--prov require asks for it")
                    .note("whoever packages the chart signs it: helm package --sign"))
            }
            (_, true) if self.decides() => Ok(true),
            (_, true) => Ok(!covered && self.default_keyring().is_some()),
        }
    }

    fn default_keyring(&self) -> Option<&PathBuf> {
        self.keys.default_keyring()
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
        let judged = match (prov, self.keyring().await) {
            (Ok(prov), Ok(keyring)) => {
                let ProvSubject { digest, file_name, now } = subject;
                let digest = *digest;
                // Hundreds of keys may have to be tried.
                off_thread(move || verify_provenance(&prov, &keyring, &file_name, &digest, now))
                    .await
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
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

    async fn keyring(&self) -> Result<Keyring> {
        let path = match &self.keys {
            ProvKeys::Named(keyring) => return Ok((**keyring).clone()),
            ProvKeys::Default(_) => self.default_keyring().cloned(),
        };
        let Some(path) = path else {
            return Err(Error::usage("there is no keyring")
                .cause("--prov require needs the keys that may have signed")
                .hint("--keyring FILE"));
        };
        off_thread(move || read_keyring(&path)).await
    }
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

/// What a chart without any signature of Sigstore is, whose provenance was verified.
pub(super) fn only_provenance(unsigned: Error, outcome: &Outcome) -> Error {
    let mut error =
        Error::new(Class::Unsigned, Reason::Unsigned, "provenance verified, unsigned in Sigstore");
    for (label, value) in outcome.provenance.iter().flat_map(ProvenanceReport::lines) {
        error = error.line(label, value);
    }
    for (label, value) in outcome.helm_entry.iter().flat_map(HelmEntryReport::lines) {
        error = error.line(label, value);
    }
    error.lines.extend(unsigned.lines);
    error
}
