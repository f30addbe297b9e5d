//! One signature, what became of it, and where it was found or put.

use jiff::Timestamp;
use serde::Serialize;

use super::TrustedAs;
use crate::chart::Digest;
use crate::verify::{COSIGN_SIGN_PREDICATE, Claim, LogRecord, RootName, Signer, Verified};

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It meets the policy.
    Accepted,
    /// It is no signature.
    Other,
    /// A no.
    Refused,
    /// Open.
    Undecided,
}

/// Where a signature was found or put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The tag `sha256-HEX.sig`.
    CosignTag,
    /// The tag `sha256-HEX`.
    FallbackTag,
    /// A file.
    File,
    /// A transparency log, where the log entry of a signature was looked for.
    Log,
    /// The referrers API.
    Referrers,
}

impl Place {
    /// The word for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::CosignTag => "cosign tag",
            Self::FallbackTag => "fallback tag",
            Self::File => "file",
            Self::Log => "log",
            Self::Referrers => "referrers API",
        }
    }
}

/// The format of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A statement of another kind.
    Attestation,
    /// A Sigstore bundle.
    Bundle,
    /// A cosign simple-signing layer.
    Legacy,
}

impl Format {
    /// The word in JSON, and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attestation => "attestation",
            Self::Bundle => "bundle",
            Self::Legacy => "legacy",
        }
    }
}

/// One candidate and what became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignatureReport {
    /// The verdict on it.
    pub status: Status,
    /// A word from the closed list, where it was not accepted.
    pub reason: Option<&'static str>,
    /// Why, on one line.
    pub message: Option<String>,
    /// The format.
    pub format: Option<Format>,
    /// Where it was found.
    pub place: Place,
    /// The digest of its manifest, or of the bundle where it is a file.
    pub digest: Option<String>,
    /// What kind of statement it is.
    pub predicate_type: Option<String>,
    /// What was matched.
    pub subject: Option<SubjectReport>,
    /// Who signed, when it verified.
    pub signer: Option<SignerReport>,
    /// Where it is logged, when it verified.
    pub log: Option<LogReport>,
    /// The timestamp authority's time, when it verified.
    pub timestamp: Option<Timestamp>,
    /// Whether a certificate log vouches for the certificate, when it verified.
    pub sct: Option<bool>,
    /// The root that it was verified with, where the file holds several.
    pub trusted_root: Option<RootName>,
    /// The trusted identity that the signer is, when it was accepted for one.
    pub trusted_as: Option<TrustedAs>,
    /// Who signed with a signature that is valid, accepted or not.
    #[serde(skip)]
    pub valid_signer: Option<Signer>,
}

impl SignatureReport {
    /// A signature that was just made and verified.
    pub(in crate::run) fn of_made(
        format: Format,
        place: Place,
        digest: &Digest,
        subject: SubjectReport,
        verified: &Verified,
    ) -> Self {
        Self {
            status: Status::Accepted,
            reason: None,
            message: None,
            format: Some(format),
            place,
            digest: Some(digest.to_string()),
            predicate_type: (format == Format::Bundle).then(|| COSIGN_SIGN_PREDICATE.to_owned()),
            subject: Some(subject),
            signer: Some(SignerReport::from(verified.signer())),
            log: verified.log().map(LogReport::from),
            timestamp: verified.timestamp(),
            sct: verified.sct(),
            trusted_root: verified.root().cloned(),
            trusted_as: None,
            valid_signer: None,
        }
    }
}

/// The subject that was matched.
#[derive(Clone, Debug, Serialize)]
pub struct SubjectReport {
    /// `index`, `manifest`, `chart` or `prov`.
    pub kind: &'static str,
    /// Its digest.
    pub digest: String,
}

/// A verified signer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerReport {
    /// Subject alternative name; none for a key.
    pub identity: Option<String>,
    /// OIDC issuer; none for a key.
    pub issuer: Option<String>,
    /// SHA-256 of the key, for keys.
    pub key_id: Option<String>,
    /// Source repository.
    pub source_repository: Option<String>,
    /// Source ref.
    pub source_ref: Option<String>,
    /// Source digest.
    pub source_digest: Option<String>,
    /// The workflow.
    pub workflow: Option<String>,
    /// The run.
    pub run_uri: Option<String>,
    /// The build signer.
    pub build_signer: Option<String>,
    /// What triggered the build.
    pub build_trigger: Option<String>,
    /// What it ran on.
    pub runner_environment: Option<String>,
}

impl From<&Signer> for SignerReport {
    fn from(signer: &Signer) -> Self {
        let claim = |claim| signer.claims.value(claim).map(str::to_owned);
        Self {
            identity: signer.key_id.is_none().then(|| signer.identity.clone()),
            issuer: signer.key_id.is_none().then(|| signer.issuer.clone()),
            key_id: signer.key_id.clone(),
            source_repository: signer.source_repository.clone(),
            source_ref: signer.source_ref.clone(),
            source_digest: signer.source_digest.clone(),
            workflow: signer.workflow.clone(),
            run_uri: signer.run_uri.clone(),
            build_signer: claim(Claim::BuildSigner),
            build_trigger: claim(Claim::BuildTrigger),
            runner_environment: claim(Claim::RunnerEnvironment),
        }
    }
}

/// A verified log entry.
#[derive(Clone, Debug, Serialize)]
pub struct LogReport {
    /// The trusted log.
    pub url: String,
    /// The proved index.
    pub index: Option<u64>,
    /// The proved time of integration.
    pub time: Option<Timestamp>,
}

impl LogReport {
    /// `rekor.sigstore.dev index 1 at 2026-11-22T19:41:13Z`: the host of the log, which is how people know it.
    pub fn words(&self) -> String {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let mut words = rest.split('/').next().unwrap_or(rest).to_owned();
        if let Some(index) = self.index {
            words.push_str(&format!(" index {index}"));
        }
        if let Some(time) = self.time {
            words.push_str(&format!(" at {time}"));
        }
        words
    }
}

impl From<&LogRecord> for LogReport {
    fn from(record: &LogRecord) -> Self {
        Self { url: record.url.clone(), index: record.index, time: record.time }
    }
}

/// A place that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookedIn {
    /// Which place.
    pub place: Place,
    /// The tag, the file, or the API.
    pub object: String,
    /// What it answered: an HTTP status, `found`, `not found`, or why it did not answer.
    pub status: String,
}

/// Where a signature was attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Which place.
    pub place: Place,
    /// The digest of the signature's manifest.
    pub digest: String,
}
