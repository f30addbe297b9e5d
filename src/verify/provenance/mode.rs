//! Whether a provenance file is looked at.

/// Whether a provenance file is looked at (`--prov`, and `prov` in a policy). Of two the later one asks for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProvMode {
    /// Not at all.
    Ignore,
    /// Where there is one.
    #[default]
    IfPresent,
    /// There has to be one, and its PGP signature has to hold.
    Require,
}

impl ProvMode {
    /// What `word` means.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Ignore, Self::IfPresent, Self::Require].into_iter().find(|one| one.as_str() == word)
    }

    /// The word, in a flag and in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::IfPresent => "if-present",
            Self::Require => "require",
        }
    }
}
