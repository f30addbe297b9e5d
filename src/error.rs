//! What went wrong, in a form that a person and a script can both use.
//!
//! An [`Error`] says what failed, on what, why, and (when we are certain) the one command that helps.
//! It never holds a token or a password. Its [`Class`] decides the exit code, its [`Reason`] is the word
//! that scripts match on. Text from charts, certificates and registries is escaped where it is printed,
//! so that nothing here has to remember to.

use std::fmt;

/// The kind of answer that an error stands for; one exit code each (INTERFACE: exit codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// No such chart, tag or matching version.
    NotFound,
    /// A signature, a chart or a policy says no.
    Refused,
    /// A place, candidate or limit stayed open; asking again may help.
    Undecided,
    /// Asked everywhere, every place answered, and there is no signature.
    Unsigned,
    /// Bad arguments, or nothing to trust or sign with.
    Usage,
}

impl Class {
    /// The process exit code of this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Unsigned => 3,
            Self::Undecided => 4,
            Self::Refused => 5,
            Self::NotFound => 6,
        }
    }
}

/// Why, as a word from a closed list that scripts may match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A signature that does not verify.
    BadSignature,
    /// A token that is missing, expired, or meant for somebody else.
    BadToken,
    /// A verified time lies after our clock.
    ClockBehind,
    /// A policy file denies the signer or the chart.
    Denied,
    /// A bound on candidates, bytes or time was reached.
    LimitReached,
    /// An answer or a file that cannot be parsed.
    Malformed,
    /// No identity to trust was given.
    NoIdentity,
    /// There is no provenance file, and there has to be one.
    NoProvenance,
    /// No rule of the policy file covers the chart.
    NoRule,
    /// What was found is no Helm chart.
    NotAChart,
    /// The statement does not cover this chart.
    NotCovered,
    /// No such chart, tag or matching version.
    NotFound,
    /// A log does not hold the entry that there has to be.
    NotLogged,
    /// Provenance holds, there is no signature of Sigstore, and a policy accepts that: no failure.
    ProvenanceOnly,
    /// A Sigstore service, an issuer or a mirror did not serve.
    ServiceUnreachable,
    /// A registry asked us to slow down.
    Throttled,
    /// Fewer trusted signers than the policy asks for.
    TooFewSignatures,
    /// The trusted root or its metadata has expired.
    TrustExpired,
    /// No trusted root can be used.
    TrustUnusable,
    /// A registry refused our credentials, or wants some.
    Unauthorized,
    /// A registry could not be reached or failed.
    Unreachable,
    /// There is no signature.
    Unsigned,
    /// A signature format that we cannot judge.
    UnsupportedFormat,
    /// A Sigstore instance that the trusted root does not know.
    UntrustedInstance,
    /// Bad arguments or files.
    Usage,
    /// A signature of another chart.
    WrongChart,
    /// An attestation of another kind.
    WrongPredicate,
    /// A valid signature by somebody who is not trusted here.
    WrongSigner,
    /// A valid signature of a time that a policy file excludes.
    WrongTime,
    /// A signature of another version of the chart.
    WrongVersion,
}

impl Reason {
    /// The word as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadSignature => "bad-signature",
            Self::BadToken => "bad-token",
            Self::ClockBehind => "clock-behind",
            Self::Denied => "denied",
            Self::LimitReached => "limit-reached",
            Self::Malformed => "malformed",
            Self::NoIdentity => "no-identity",
            Self::NoProvenance => "no-provenance",
            Self::NoRule => "no-rule",
            Self::NotAChart => "not-a-chart",
            Self::NotCovered => "not-covered",
            Self::NotFound => "not-found",
            Self::NotLogged => "not-logged",
            Self::ProvenanceOnly => "provenance-only",
            Self::ServiceUnreachable => "service-unreachable",
            Self::Throttled => "throttled",
            Self::TooFewSignatures => "too-few-signatures",
            Self::TrustExpired => "trust-expired",
            Self::TrustUnusable => "trust-unusable",
            Self::Unauthorized => "unauthorized",
            Self::Unreachable => "unreachable",
            Self::Unsigned => "unsigned",
            Self::UnsupportedFormat => "unsupported-format",
            Self::UntrustedInstance => "untrusted-instance",
            Self::Usage => "usage",
            Self::WrongChart => "wrong-chart",
            Self::WrongPredicate => "wrong-predicate",
            Self::WrongSigner => "wrong-signer",
            Self::WrongTime => "wrong-time",
            Self::WrongVersion => "wrong-version",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line under an error's headline: a label (`cause`, `expected`, `found`, …) and its text.
///
/// A line without a label is a sentence of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `cause`, `expected`, `found`, `looked in`, …; lower case, empty for a plain sentence.
    pub label: &'static str,
    /// One line of text without a full stop.
    pub text: String,
}

/// What failed, on what, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Decides the exit code.
    pub class: Class,
    /// The word for scripts.
    pub reason: Reason,
    /// What failed: a short phrase, lower case, no full stop (`wrong signer`, `cannot open file`).
    pub what: String,
    /// What it failed on, as the user typed it; empty until somebody who knows has said so.
    pub object: String,
    /// The digest of the object, once known (`sha256:HEX`).
    pub digest: Option<String>,
    /// The lines under the headline, in order.
    pub lines: Vec<Line>,
    /// One command or flag that can be pasted.
    pub hint: Option<String>,
}

impl Error {
    /// An error of `class` for `reason`; `what` is the phrase of the headline.
    pub fn new(class: Class, reason: Reason, what: impl Into<String>) -> Self {
        Self {
            class,
            reason,
            what: what.into(),
            object: String::new(),
            digest: None,
            lines: Vec::new(),
            hint: None,
        }
    }

    /// Bad arguments or files of the user (exit 2).
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Class::Usage, Reason::Usage, what)
    }

    /// A no (exit 5).
    pub fn refused(reason: Reason, what: impl Into<String>) -> Self {
        Self::new(Class::Refused, reason, what)
    }

    /// Could not be decided (exit 4); the headline is `undecided` unless it says more.
    pub fn undecided(reason: Reason, cause: impl Into<String>) -> Self {
        Self::new(Class::Undecided, reason, "undecided").cause(cause)
    }

    /// Nothing there (exit 6).
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Class::NotFound, Reason::NotFound, what)
    }

    /// Names the object, unless a deeper place that knew better has named it already.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        if self.object.is_empty() {
            self.object = object.into();
        }
        self
    }

    /// Adds the object's digest (`sha256:HEX`).
    #[must_use]
    pub fn at_digest(mut self, digest: impl fmt::Display) -> Self {
        if self.digest.is_none() {
            self.digest = Some(digest.to_string());
        }
        self
    }

    /// Adds a labelled line.
    #[must_use]
    pub fn line(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.lines.push(Line { label, text: text.into() });
        self
    }

    /// Adds a `cause` line.
    #[must_use]
    pub fn cause(self, text: impl Into<String>) -> Self {
        self.line("cause", text)
    }

    /// Adds a sentence of its own.
    #[must_use]
    pub fn note(self, text: impl Into<String>) -> Self {
        self.line("", text)
    }

    /// Adds the aligned pair of what was expected and what was found.
    #[must_use]
    pub fn expected_found(self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.line("expected", expected).line("found", found)
    }

    /// Sets the hint, unless one is set already: there is at most one.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if self.hint.is_none() {
            self.hint = Some(hint.into());
        }
        self
    }

    /// Whether asking again, unchanged, may give another answer.
    pub fn retryable(&self) -> bool {
        self.class == Class::Undecided
    }
}

impl fmt::Display for Error {
    /// The headline and its causes on one line: `what: object (digest): cause`. The CLI prints the long form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.object.is_empty() {
            write!(f, ": {}", self.object)?;
        }
        if let Some(digest) = &self.digest {
            write!(f, " ({digest})")?;
        }
        for line in &self.lines {
            match line.label {
                "" | "cause" => write!(f, ": {}", line.text)?,
                label => write!(f, "; {label} {}", line.text)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
