//! What Helm's provenance says, and where it is logged.

use jiff::Timestamp;
use serde::Serialize;

use super::LogReport;
use crate::error::{Error, Reason};
use crate::verify::{LogRecord, VerifiedProvenance};

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
    pub(in crate::run) fn failed(error: &Error) -> Self {
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

/// Where a provenance file is logged, as the log proves it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelmEntryReport {
    /// The identifier of the entry.
    pub uuid: String,
    /// Where it can be read.
    pub url: String,
    /// The log, the index and the time.
    pub log: LogReport,
}

impl HelmEntryReport {
    pub(in crate::run) fn new(uuid: &str, url: String, record: &LogRecord) -> Self {
        Self { uuid: uuid.to_owned(), url, log: LogReport::from(record) }
    }

    /// As labels and values.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        vec![("Provenance logged in", self.log.words()), ("Rekor UUID", self.uuid.clone())]
    }
}
