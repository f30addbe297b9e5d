//! What a run found, as data: the same for people (the CLI words it) and for scripts (`-o json`).
//!
//! The JSON form is `helm-sigstore.report/v1`; fields are added, never renamed. Its schema lies in
//! `docs/report.schema.json`.

use jiff::Timestamp;
use serde::Serialize;

use super::provenance::ProvenanceReport;
use super::rekor::HelmEntryReport;
use crate::chart::Digest;
use crate::error::{Class, Error, Reason};
use crate::verify::{
    COSIGN_SIGN_PREDICATE, Claim, Identity, LogRecord, RootName, Signer, Verified,
};

/// The schema that the JSON form follows.
pub const SCHEMA: &str = "helm-sigstore.report/v1";

/// The verdict on one object, or the worst of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No such chart.
    NotFound,
    /// Pushed, or there already; and not signed, as nobody asked for that.
    Pushed,
    /// A no.
    Refused,
    /// Signed just now.
    Signed,
    /// Open.
    Undecided,
    /// No signature anywhere.
    Unsigned,
    /// Bad arguments.
    Usage,
    /// A signature meets the policy.
    Verified,
}

impl Verdict {
    /// The exit code of this verdict (INTERFACE: exit codes).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pushed | Self::Signed | Self::Verified => 0,
            Self::Usage => Class::Usage.exit_code(),
            Self::Unsigned => Class::Unsigned.exit_code(),
            Self::Undecided => Class::Undecided.exit_code(),
            Self::Refused => Class::Refused.exit_code(),
            Self::NotFound => Class::NotFound.exit_code(),
        }
    }

    /// How bad it is beside other verdicts: refused, unsigned, not found, undecided, usage, success.
    fn severity(self) -> u8 {
        match self {
            Self::Refused => 5,
            Self::Unsigned => 4,
            Self::NotFound => 3,
            Self::Undecided => 2,
            Self::Usage => 1,
            Self::Pushed | Self::Signed | Self::Verified => 0,
        }
    }
}

impl From<Class> for Verdict {
    fn from(class: Class) -> Self {
        match class {
            Class::NotFound => Self::NotFound,
            Class::Refused => Self::Refused,
            Class::Undecided => Self::Undecided,
            Class::Unsigned => Self::Unsigned,
            Class::Usage => Self::Usage,
        }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    schema: &'static str,
    /// Which program, at which version, from which file.
    pub tool: Tool,
    verdict: Verdict,
    exit_code: u8,
    /// One result an object, in the order of the arguments.
    pub results: Vec<Outcome>,
}

impl Report {
    /// A report over `results`; the verdict is the worst of them. No result at all is no success.
    pub fn new(tool: Tool, results: Vec<Outcome>) -> Self {
        let worst = results.iter().map(|result| result.verdict).max_by_key(|v| v.severity());
        let verdict = worst.unwrap_or(Verdict::Usage);
        Self { schema: SCHEMA, tool, verdict, exit_code: verdict.exit_code(), results }
    }

    /// The process exit code.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

/// The program that made a report.
#[derive(Clone, Debug, Serialize)]
pub struct Tool {
    /// `helm-sigstore`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The file that ran.
    pub executable: String,
}

/// The outcome for one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The object as the user typed it.
    pub input: String,
    /// The verdict.
    pub verdict: Verdict,
    /// A word from the closed list, where the verdict is no success, or one without a signature of Sigstore.
    pub reason: Option<&'static str>,
    /// What happened, on one line.
    pub message: Option<String>,
    /// What to do, ready to be pasted.
    pub hint: Option<String>,
    /// Whether asking again may help.
    pub retryable: bool,
    /// Name and version, once known.
    pub chart: Option<Chart>,
    /// The reference that was resolved, with its tag.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The pinned reference: set only where the manifest itself is signed.
    pub digest_ref: Option<String>,
    /// The manifest's digest.
    pub manifest_digest: Option<String>,
    /// The chart layer's digest, or the file's.
    pub chart_digest: Option<String>,
    /// The provenance layer's digest.
    pub prov_digest: Option<String>,
    /// The repository of the signatures, where it is not the chart's own.
    pub signature_repository: Option<String>,
    /// Every candidate that was looked at.
    pub signatures: Vec<SignatureReport>,
    /// What decided who is trusted.
    pub policy: Option<PolicyReport>,
    /// What the cryptography relied on.
    pub trust: Option<TrustReport>,
    /// Checks that the user switched off.
    pub weakened: Vec<String>,
    /// Where signatures were looked for, and what each place answered.
    pub looked_in: Vec<LookedIn>,
    /// What the signature says of the provenance layer.
    pub prov: Option<String>,
    /// What was found of its PGP signature, where that was looked at.
    pub provenance: Option<ProvenanceReport>,
    /// Where the provenance is logged, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helm_entry: Option<HelmEntryReport>,
    /// What `sign` attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached: Option<Vec<Attached>>,
    /// The bundle file that was written.
    pub bundle_file: Option<String>,
    /// Whether `sign` found the chart signed and left it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub already_signed: Option<bool>,
    /// Whether `push` stored the chart; not where the tag held it already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed: Option<bool>,
    /// Whether the signatures that were accepted cover everything that the chart is called by.
    #[serde(skip)]
    pub whole: bool,
    /// Whether every signature is to be told of, also those that did not count.
    #[serde(skip)]
    pub all: bool,
    /// How the signature binds the chart, for people.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// The error behind a verdict that is no success.
    #[serde(skip)]
    pub error: Option<Error>,
    /// What an undecided end means for the object, for people.
    #[serde(skip)]
    pub aftermath: &'static str,
}

impl Outcome {
    /// An outcome that knows nothing yet; it is a failure until somebody proves success.
    pub fn new(input: &str) -> Self {
        Self {
            input: input.to_owned(),
            verdict: Verdict::Undecided,
            reason: None,
            message: None,
            hint: None,
            retryable: false,
            chart: None,
            reference: None,
            digest_ref: None,
            manifest_digest: None,
            chart_digest: None,
            prov_digest: None,
            signature_repository: None,
            signatures: Vec::new(),
            policy: None,
            trust: None,
            weakened: Vec::new(),
            looked_in: Vec::new(),
            prov: None,
            provenance: None,
            helm_entry: None,
            attached: None,
            bundle_file: None,
            already_signed: None,
            pushed: None,
            whole: false,
            all: false,
            notes: Vec::new(),
            error: None,
            aftermath: "nothing was verified",
        }
    }

    /// The same of `sign`, whose results have more fields.
    pub fn of_sign(input: &str) -> Self {
        Self {
            attached: Some(Vec::new()),
            already_signed: Some(false),
            aftermath: "nothing was signed",
            ..Self::new(input)
        }
    }

    /// The same, of which nothing will be asked any more but to be told: of a thousand objects everything else
    /// would be kept to the end.
    #[must_use]
    pub fn settled(mut self) -> Self {
        for signature in &mut self.signatures {
            signature.valid_signer = None;
        }
        self.signatures.shrink_to_fit();
        self.looked_in.shrink_to_fit();
        self.weakened.shrink_to_fit();
        self.notes.shrink_to_fit();
        self
    }

    /// Whether nothing but Helm's provenance file speaks for the chart, and a policy is content with that.
    pub fn is_provenance_only(&self) -> bool {
        self.verdict == Verdict::Verified && self.reason == Some(Reason::ProvenanceOnly.as_str())
    }

    /// Ends in `error`.
    #[must_use]
    pub fn failed(mut self, error: Error) -> Self {
        let error = error.on(self.input.clone());
        self.verdict = error.class.into();
        self.reason = Some(error.reason.as_str());
        self.message = Some(error.to_string());
        self.hint.clone_from(&error.hint);
        self.retryable = error.retryable();
        self.error = Some(error);
        self
    }
}

/// A chart's name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// `name` of Chart.yaml.
    pub name: String,
    /// `version` of Chart.yaml.
    pub version: String,
}

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
    pub(super) fn of_made(
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

/// What decided who is trusted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// `flags`, `none`, `file` (one that was named), or `default-file` (one that was found).
    pub source: &'static str,
    /// The policy file.
    pub file: Option<String>,
    /// The rule of the file.
    pub rule: Option<String>,
    /// Whether flags ask for more than the rule.
    pub narrowed: bool,
    /// The policy file that was found, where the flags replace it.
    pub replaces: Option<String>,
    /// How many different signers are needed.
    pub min_signatures: usize,
    /// Who is trusted, in the terms of a certificate.
    pub identities: Vec<TrustedAs>,
    /// The keys that are trusted, by SHA-256 of their SubjectPublicKeyInfo.
    pub keys: Vec<String>,
    /// How Helm's provenance file is looked at: `ignore`, `if-present`, `require` or `accept`.
    pub prov: Option<&'static str>,
    /// The keyring that was named for it.
    pub keyring: Option<String>,
    /// Kinds of statements that have to be there too.
    pub require_predicate: Vec<String>,
}

/// An identity that is trusted, in the terms of a certificate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedAs {
    /// The flag and its value, where a short form was given.
    pub short: Option<String>,
    /// What the subject alternative name has to be.
    pub identity: String,
    /// What the OIDC issuer has to be.
    pub issuer: String,
    /// The claims that have to hold beside them, as `claim: value`.
    pub constraints: Vec<String>,
}

impl From<&Identity> for TrustedAs {
    fn from(identity: &Identity) -> Self {
        Self {
            short: identity.short.clone(),
            identity: identity.subject.as_str().to_owned(),
            issuer: identity.issuer.as_str().to_owned(),
            constraints: identity.words().1,
        }
    }
}

/// What the cryptography relied on.
#[derive(Clone, Debug, Serialize)]
pub struct TrustReport {
    /// `instance NAME`, `embedded`, or the file's name.
    pub source: String,
    /// Its age in seconds, where it was refreshed from somewhere.
    pub age: Option<i64>,
    /// When it expires, where it does.
    pub expires: Option<Timestamp>,
}

impl TrustReport {
    /// Of a run that relies on nothing but a key.
    pub fn none() -> Self {
        Self { source: "none".to_owned(), age: None, expires: None }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: Verdict) -> Outcome {
        Outcome { verdict, ..Outcome::new("x") }
    }

    fn tool() -> Tool {
        Tool { name: "helm-sigstore", version: "0", executable: "x".into() }
    }

    #[test]
    fn the_worst_result_decides_the_exit_code_in_the_documented_order() {
        let order = [
            Verdict::Refused,
            Verdict::Unsigned,
            Verdict::NotFound,
            Verdict::Undecided,
            Verdict::Usage,
            Verdict::Verified,
        ];
        let codes = [5, 3, 6, 4, 2, 0];
        for (at, code) in codes.iter().enumerate() {
            let mut results: Vec<_> = order[at..].iter().map(|v| outcome(*v)).collect();
            results.reverse();
            assert_eq!(Report::new(tool(), results).exit_code(), *code);
        }
    }

    #[test]
    fn a_report_without_results_is_no_success() {
        assert_ne!(Report::new(tool(), Vec::new()).exit_code(), 0);
    }
}
