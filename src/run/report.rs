//! What a run found, as data: the same for people (the CLI words it) and for scripts (`-o json`).
//!
//! The JSON form is `helm-sigstore.report/v1`; fields are added, never renamed. Its schema lies in
//! `docs/report.schema.json`.

use serde::Serialize;

use crate::error::{Class, Error, Reason};

mod grounds;
mod provenance;
mod signature;

pub(super) use self::grounds::TrustedAs;
pub use self::grounds::{PolicyReport, TrustReport};
pub use self::provenance::{HelmEntryReport, ProvenanceReport};
pub use self::signature::{
    Attached, Format, LogReport, LookedIn, Place, SignatureReport, SignerReport, Status,
    SubjectReport,
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
    /// The file that ran; asked for where it is told.
    #[serde(serialize_with = "called")]
    pub executable: fn() -> String,
}

fn called<S: serde::Serializer>(text: &fn() -> String, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: Verdict) -> Outcome {
        Outcome { verdict, ..Outcome::new("x") }
    }

    fn tool() -> Tool {
        Tool { name: "helm-sigstore", version: "0", executable: || "x".into() }
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
