//! Why the cryptography said no, in words that help: the crate's errors told apart by their types.

use jiff::Timestamp;
use sigstore_verify::{Error as CrateError, TimestampError, TransparencyLogError};

use super::sought::SoughtEntry;
use crate::error::{Error, Reason};

/// What keeps a bundle from being verified.
pub(super) enum Failure {
    Future {
        error: Error,
        ahead_seconds: i64,
    },
    No(Error),
    /// A no for want of a log entry, which a log may have: what it would be.
    Unlogged {
        error: Error,
        sought: Box<SoughtEntry>,
    },
}

impl Failure {
    /// A no for want of a log entry, which can be looked for where it is known what it would be.
    pub(super) fn unlogged(error: Error, sought: Option<SoughtEntry>) -> Self {
        match sought {
            Some(sought) => Self::Unlogged { error, sought: Box::new(sought) },
            None => Self::No(error),
        }
    }

    pub(super) fn future(time: Timestamp, now: Timestamp) -> Self {
        // Rounded up: whoever waits that long has passed the time, whatever its fraction.
        let ahead = time.duration_since(now);
        let fraction = i64::from(ahead.subsec_nanos() > 0);
        let ahead_seconds = ahead.as_secs().saturating_add(fraction).max(1);
        let error =
            Error::undecided(Reason::ClockBehind, format!("clock is {ahead_seconds} s behind"))
                .note(format!("the signature was made at {time}, our clock says {now}"));
        Self::Future { error, ahead_seconds }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Future { error, .. }
            | Failure::No(error)
            | Failure::Unlogged { error, .. } => error,
        }
    }
}

/// The crate's refusal in our words. Its nested texts are detail for people, so only types decide.
///
/// Where the certificate's issuer is a `stranger` to the trusted root, that is what a user has to know:
/// whatever the crate stumbled over first, nothing of a foreign instance can verify here.
pub(super) fn explain(error: &CrateError, stranger: Option<String>) -> Error {
    let structural = matches!(
        error,
        CrateError::Bundle(_) | CrateError::InvalidBundle(_) | CrateError::ArtifactMismatch(_)
    );
    if let (false, Some(why)) = (structural, stranger) {
        return self::stranger(why);
    }
    let (reason, what) = match error {
        CrateError::ArtifactMismatch(_) => (Reason::NotCovered, "signature is over something else"),
        CrateError::Bundle(_)
        | CrateError::InvalidBundle(_)
        | CrateError::Types(_)
        | CrateError::UnsupportedArtifact(_)
        | CrateError::UnsupportedBundle(_) => (Reason::Malformed, "bundle cannot be used"),
        CrateError::TransparencyLog(TransparencyLogError::UnknownLog { .. }) => {
            (Reason::UntrustedInstance, "signature is from a Sigstore instance that is not trusted")
        }
        CrateError::TransparencyLog(TransparencyLogError::EntryMismatch(_)) => {
            (Reason::BadSignature, "log entry belongs to another signature")
        }
        CrateError::TransparencyLog(_) => (Reason::BadSignature, "log entry does not verify"),
        CrateError::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => {
            (Reason::BadSignature, "signature has no verified time")
        }
        CrateError::Timestamp(_) => (Reason::BadSignature, "timestamp does not verify"),
        CrateError::Certificate(_) => (Reason::BadSignature, "certificate does not verify"),
        _ => (Reason::BadSignature, "signature does not verify"),
    };
    let mut words = error.to_string();
    words.truncate(words.char_indices().nth(400).map_or(words.len(), |(at, _)| at));
    Error::refused(reason, what).cause(words)
}

/// What certificates of GitHub's own instance say of their issuer.
const GITHUB: &str = "O=GitHub\\, Inc.";

/// The refusal of a signature from an instance that the trusted root does not know.
pub(super) fn stranger(why: String) -> Error {
    let hint = why
        .contains(GITHUB)
        .then_some("if GitHub's own instance is to be trusted: --instance github");
    let error = Error::refused(
        Reason::UntrustedInstance,
        "signature is from a Sigstore instance that is not trusted",
    )
    .cause(why);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_the_clock_is_long_enough() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-11-22T00:00:00.1Z", 1),
            ("2026-11-22T00:00:02Z", 2),
            ("2026-11-22T00:00:02.9Z", 3),
        ] {
            let Failure::Future { ahead_seconds, .. } = Failure::future(time.parse().unwrap(), now)
            else {
                panic!("not a future time")
            };
            assert_eq!(ahead_seconds, expected, "{time}");
        }
    }
}
