//! Trusted roots and signing configs from files, each for itself or both in one.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Class, Error, Reason, Result};

/// The largest trust file that is read; the public ones take 7 KB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a trusted root or a signing config is read from, when a flag names a place.
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

/// One of the two documents of the combined trust config
/// (`application/vnd.dev.sigstore.clienttrustconfig.v0.1+json`); any other file is its own document.
///
/// # Errors
/// Undecided (`trust-unusable`): a trust config without that document.
pub(super) fn part(json: Vec<u8>, member: &str) -> Result<Vec<u8>> {
    let unusable = |cause: String| {
        Error::new(Class::Undecided, Reason::TrustUnusable, "trust config cannot be used")
            .cause(cause)
    };
    // What is no JSON at all is judged by whoever wants to use it.
    let Ok(serde_json::Value::Object(mut document)) = serde_json::from_slice(&json) else {
        return Ok(json);
    };
    let media_type = document.get("mediaType").and_then(|value| value.as_str());
    if !media_type.is_some_and(|name| name.contains(".sigstore.clienttrustconfig.")) {
        return Ok(json);
    }
    match document.remove(member) {
        Some(part) => serde_json::to_vec(&part).map_err(|error| unusable(error.to_string())),
        None => Err(unusable(format!("it holds no {member}"))),
    }
}

/// Reads a trust file, within its bound.
///
/// # Errors
/// Usage, when it cannot be opened or is too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
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
    fn a_combined_config_serves_for_both_and_any_other_file_for_itself() {
        let combined = br#"{"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json","trustedRoot":{"a":1}}"#;
        assert_eq!(part(combined.to_vec(), "trustedRoot").unwrap(), br#"{"a":1}"#);
        let error = part(combined.to_vec(), "signingConfig").unwrap_err();
        assert_eq!(error.reason, Reason::TrustUnusable);
        for other in [&b"{}"[..], b"nonsense", br#"{"trustedRoot":{}}"#] {
            assert_eq!(part(other.to_vec(), "trustedRoot").unwrap(), other);
        }
    }
}
