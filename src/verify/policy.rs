//! Who may have signed.

use regex::Regex;

use super::key::TrustedKey;
use crate::error::{Error, Result};

/// How one string of a certificate is compared.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// Equal, byte for byte.
    Exact(String),
    /// Matched from its first to its last character.
    Pattern {
        /// The pattern as the user typed it.
        typed: String,
        /// The same, anchored at both ends.
        anchored: Regex,
        /// The same, as typed; used only to tell the user why nothing matched.
        unanchored: Regex,
    },
}

impl Matcher {
    /// Text that must be equal. `flag` names where it came from in the error.
    ///
    /// # Errors
    /// Usage, when `text` is empty: an empty identity would be no identity at all.
    pub fn exact(flag: &str, text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("empty value").on(flag));
        }
        Ok(Self::Exact(text.to_owned()))
    }

    /// A regular expression that must match the whole string; it is anchored whatever it says itself.
    ///
    /// # Errors
    /// Usage, when the pattern is empty or does not compile.
    pub fn pattern(flag: &str, pattern: &str) -> Result<Self> {
        if pattern.is_empty() {
            return Err(Error::usage("empty value").on(flag));
        }
        let compile = |text: &str| {
            regex::RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|error| {
                let words = error.to_string();
                let cause = words.lines().last().unwrap_or_default().trim();
                let cause = cause.strip_prefix("error: ").unwrap_or(cause).to_owned();
                Error::usage("not a regular expression")
                    .on(format!("{flag} {pattern}"))
                    .cause(cause)
            })
        };
        // The pattern is compiled by itself first, so that `a)|(b` cannot climb out of the group.
        let unanchored = compile(pattern)?;
        let anchored = compile(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Self::Pattern { typed: pattern.to_owned(), anchored, unanchored })
    }

    /// Whether `text` satisfies this matcher.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(expected) => expected == text,
            Self::Pattern { anchored, .. } => anchored.is_match(text),
        }
    }

    /// The pattern that would have matched, when this one fails only because it is anchored.
    pub fn unanchored_form(&self, text: &str) -> Option<String> {
        match self {
            Self::Pattern { typed, unanchored, .. }
                if !self.matches(text) && unanchored.is_match(text) =>
            {
                // `a|b` would otherwise become `.*a` or `b.*`.
                let group =
                    if typed.contains('|') { format!("(?:{typed})") } else { typed.clone() };
                Some(format!(".*{group}.*"))
            }
            _ => None,
        }
    }

    /// The text as the user typed it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Pattern { typed, .. } => typed,
        }
    }
}

/// A signer that is trusted: who, and who says so.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Compared with the certificate's subject alternative name.
    pub subject: Matcher,
    /// Compared with the certificate's OIDC issuer (Fulcio extension 1.3.6.1.4.1.57264.1.8).
    pub issuer: Matcher,
}

impl Identity {
    /// Whether a certificate with this subject and issuer is meant.
    pub fn matches(&self, subject: &str, issuer: &str) -> bool {
        self.subject.matches(subject) && self.issuer.matches(issuer)
    }
}

/// What has to hold for a signature to count.
#[derive(Clone, Debug)]
pub enum Policy {
    /// Any one of these identities; never empty.
    AnyOf(Vec<Identity>),
    /// This key, and no identity.
    Key(Box<TrustedKey>),
    /// The user named nobody: every valid signature is reported and none is accepted.
    Unstated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_regex_is_anchored() {
        let matcher = Matcher::pattern("--x", "https://github.com/acme/.*").unwrap();
        assert!(matcher.matches("https://github.com/acme/web"));
        assert!(!matcher.matches("xhttps://github.com/acme/web"));
        assert!(!matcher.matches("https://github.com/acme/web\n"));
        let matcher = Matcher::pattern("--x", "a|b").unwrap();
        assert!(!matcher.matches("ab"));
        assert!(matcher.matches("b"));
    }

    #[test]
    fn refuses_a_prefix_lookalike() {
        let matcher = Matcher::pattern("--x", "https://github.com/acme").unwrap();
        assert!(!matcher.matches("https://github.com/acme-evil/web"));
        assert_eq!(
            matcher.unanchored_form("https://github.com/acme-evil/web").as_deref(),
            Some(".*https://github.com/acme.*")
        );
        let matcher = Matcher::pattern("--x", "nobody|acme").unwrap();
        assert_eq!(matcher.unanchored_form("x/acme/y").as_deref(), Some(".*(?:nobody|acme).*"));
    }

    #[test]
    fn a_pattern_cannot_climb_out_of_its_anchors() {
        assert!(Matcher::pattern("--x", "a)|(b").is_err());
        assert!(Matcher::pattern("--x", "(").is_err());
    }

    #[test]
    fn an_empty_identity_is_a_usage_error() {
        assert!(Matcher::exact("--x", "").is_err());
        assert!(Matcher::pattern("--x", "").is_err());
    }
}
