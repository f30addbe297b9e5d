//! How one string of a certificate is compared.

use regex::Regex;

use crate::error::{Error, Result};

/// How one string of a certificate is compared: case and every other byte counts, nothing is normalised.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// Equal, byte for byte.
    Exact(String),
    /// Equal, but that a `*` stands for any run of characters, also an empty one and one with slashes.
    Glob {
        /// The text with its stars.
        typed: String,
        /// The same as an anchored pattern.
        anchored: Regex,
    },
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

    /// Text in which a `*` stands for any run of characters.
    ///
    /// # Errors
    /// Usage, when `text` is empty or too long to be compared.
    pub fn glob(flag: &str, text: &str) -> Result<Self> {
        if !text.contains('*') {
            return Self::exact(flag, text);
        }
        let parts: Vec<_> = text.split('*').map(regex::escape).collect();
        let anchored = compile(&format!(r"\A(?s:{})\z", parts.join(".*")))
            .map_err(|cause| Error::usage("cannot be compared").on(flag).cause(cause))?;
        Ok(Self::Glob { typed: text.to_owned(), anchored })
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
            compile(text).map_err(|cause| {
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
            Self::Glob { anchored, .. } | Self::Pattern { anchored, .. } => anchored.is_match(text),
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
            Self::Glob { typed, .. } | Self::Pattern { typed, .. } => typed,
        }
    }
}

fn compile(text: &str) -> std::result::Result<Regex, String> {
    regex::RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|error| {
        let words = error.to_string();
        let cause = words.lines().last().unwrap_or_default().trim();
        cause.strip_prefix("error: ").unwrap_or(cause).to_owned()
    })
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

    #[test]
    fn a_star_stands_for_any_run_and_everything_else_for_itself() {
        let matcher = Matcher::glob("--x", "refs/tags/v*").unwrap();
        assert!(matcher.matches("refs/tags/v1.2") && matcher.matches("refs/tags/v"));
        assert!(matcher.matches("refs/tags/v1/x\n"));
        assert!(!matcher.matches("refs/tags/w1") && !matcher.matches("xrefs/tags/v1"));
        let matcher = Matcher::glob("--x", "a.c*z").unwrap();
        assert!(
            matcher.matches("a.c-z") && !matcher.matches("abc-z") && !matcher.matches("a.c-zx")
        );
        assert!(matches!(Matcher::glob("--x", "plain"), Ok(Matcher::Exact(_))));
        assert!(Matcher::glob("--x", "").is_err());
    }
}
