//! A name and its issuer as a flag or a key of a policy spells them: text, or a pattern.

use super::identity::Identity;
use super::matcher::Matcher;
use crate::error::Result;

/// What a string of a certificate has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelled<'a> {
    /// This text.
    Exact(&'a str),
    /// What this regular expression matches as a whole.
    Pattern(&'a str),
}

impl Spelled<'_> {
    /// `flag` takes the text, and with `-regexp` behind it the pattern.
    fn matcher(self, flag: &str) -> Result<Matcher> {
        match self {
            Self::Exact(text) => Matcher::exact(flag, text),
            Self::Pattern(pattern) => Matcher::pattern(&format!("{flag}-regexp"), pattern),
        }
    }
}

impl Identity {
    /// A name in a certificate, and the issuer that has to have vouched for it.
    ///
    /// # Errors
    /// Usage, when a text is empty or a pattern none.
    pub fn of_certificate(subject: Spelled<'_>, issuer: Spelled<'_>) -> Result<Self> {
        let subject = subject.matcher("--certificate-identity")?;
        Ok(Self::new(subject, issuer.matcher("--certificate-oidc-issuer")?))
    }
}
