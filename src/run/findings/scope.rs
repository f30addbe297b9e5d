//! What a run looks at, and until when.

use std::time::Duration;

/// How much is looked at before a verdict stays open (DESIGN decision 7).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Candidates.
    pub candidates: usize,
    /// Bytes of candidates.
    pub bytes: u64,
    /// Time spent on candidates.
    pub time: Duration,
}

impl Default for Limits {
    /// Those of DESIGN decision 7.
    fn default() -> Self {
        Self { candidates: 1000, bytes: 16 << 20, time: Duration::from_secs(30) }
    }
}

/// Which formats of signatures count (`--accept`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Sigstore bundles.
    pub bundle: bool,
    /// cosign's older signatures.
    pub legacy: bool,
}

impl Formats {
    /// Every format that is known.
    pub const ALL: Self = Self { bundle: true, legacy: true };
}

/// What a run looks at, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// How much.
    pub limits: Limits,
    /// Which formats count.
    pub accept: Formats,
    /// Whether every signature is judged, also once enough of them were accepted (`--all`).
    pub all: bool,
}
