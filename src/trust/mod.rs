//! Where trust comes from: the trusted root to verify with and the signing config to sign with.
//!
//! Each is named as a file or as `embedded`, the public-good production instance as it was when this
//! binary was built. Nothing is taken silently: without a name there is no trust, and no signature.

use std::io::Read;
use std::path::{Path, PathBuf};

use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_SIGNING_CONFIG, SIGSTORE_PRODUCTION_TRUSTED_ROOT, SigningConfig,
};

use crate::error::{Class, Error, Reason, Result};
use crate::verify::TrustRoot;

/// The largest trust file that is read; the public ones take 7 KB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why nothing goes on without a name.
const NAME_ONE: &str =
    "whom to trust has to be said: `embedded` is public-good Sigstore, else a FILE";

/// Where a trusted root or a signing config is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The public-good production instance, as embedded in this binary.
    Embedded,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// Reads `embedded`, or anything else as a path.
    pub fn parse(text: &str) -> Self {
        if text == "embedded" { Self::Embedded } else { Self::File(PathBuf::from(text)) }
    }

    /// The words for a report.
    pub fn words(&self) -> String {
        match self {
            Self::Embedded => "embedded".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// Reads and prepares the trusted root.
///
/// # Errors
/// Undecided (`trust-unusable`) with the hint that helps, when none is named or it cannot be used;
/// usage, when the file cannot be opened.
pub fn trusted_root(source: Option<&Source>) -> Result<TrustRoot> {
    match source {
        None => {
            Err(Error::new(Class::Undecided, Reason::TrustUnusable, "no trusted root is named")
                .cause(NAME_ONE)
                .hint("--trusted-root embedded"))
        }
        Some(Source::Embedded) => TrustRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()),
        Some(Source::File(path)) => {
            let json = read(path)?;
            TrustRoot::from_json(&json).map_err(|error| error.on(path.display().to_string()))
        }
    }
}

/// Reads the signing config.
///
/// # Errors
/// As [`trusted_root`].
pub fn signing_config(source: Option<&Source>) -> Result<SigningConfig> {
    let unusable = |cause: String| {
        Error::new(Class::Undecided, Reason::TrustUnusable, "signing config cannot be used")
            .cause(cause)
    };
    match source {
        None => {
            Err(Error::new(Class::Undecided, Reason::TrustUnusable, "no signing config is named")
                .cause(NAME_ONE)
                .hint("--trusted-root embedded --signing-config embedded"))
        }
        Some(Source::Embedded) => SigningConfig::from_json(SIGSTORE_PRODUCTION_SIGNING_CONFIG)
            .map_err(|error| unusable(error.to_string())),
        Some(Source::File(path)) => {
            let json = read(path)?;
            let text = std::str::from_utf8(&json)
                .map_err(|error| unusable(error.to_string()).on(path.display().to_string()))?;
            SigningConfig::from_json(text)
                .map_err(|error| unusable(error.to_string()).on(path.display().to_string()))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = |error: std::io::Error| {
        Error::usage("cannot read file").on(path.display().to_string()).cause(error.to_string())
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::usage("file is too large")
            .on(path.display().to_string())
            .cause(format!("{MAX_FILE_BYTES} bytes are read at most")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_instance_can_be_used() {
        assert!(trusted_root(Some(&Source::Embedded)).is_ok());
        assert!(!signing_config(Some(&Source::Embedded)).unwrap().ca_urls.is_empty());
    }

    #[test]
    fn without_a_trusted_root_nothing_is_trusted() {
        let error = trusted_root(None).unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::TrustUnusable));
        assert!(error.hint.unwrap().contains("--trusted-root"));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_a_usage_error_and_one_that_is_no_root_is_undecided() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.json");
        let source = Source::File(path.clone());
        assert_eq!(trusted_root(Some(&source)).unwrap_err().class, Class::Usage);
        std::fs::write(&path, b"{}").unwrap();
        assert_eq!(trusted_root(Some(&source)).unwrap_err().class, Class::Undecided);
    }
}
