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

/// The documents of a file, one after the other: `gh attestation trusted-root` writes several trusted roots,
/// one a line. A file that is one document is that document, byte for byte.
///
/// # Errors
/// Undecided (`trust-unusable`): what follows the first document is none.
pub(super) fn documents(bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let stream = serde_json::Deserializer::from_slice(&bytes);
    for document in stream.into_iter::<Box<serde_json::value::RawValue>>() {
        match document {
            Ok(document) => found.push(document.get().as_bytes().to_vec()),
            // A single one that is no JSON at all is judged by whoever wants to use it.
            Err(_) if found.is_empty() => return Ok(vec![bytes]),
            Err(error) => {
                return Err(unusable(format!("document {}: {error}", found.len() + 1)));
            }
        }
    }
    Ok(if found.len() > 1 { found } else { vec![bytes] })
}

/// One of the two documents of the combined trust config
/// (`application/vnd.dev.sigstore.clienttrustconfig.v0.1+json`); any other file is its own document.
///
/// # Errors
/// Undecided (`trust-unusable`): a trust config without that document.
pub(super) fn part(json: Vec<u8>, member: &str) -> Result<Vec<u8>> {
    let Ok(document) = serde_json::from_slice::<TrustConfig>(&json) else {
        return Ok(json);
    };
    if !document.media_type.contains(".sigstore.clienttrustconfig.") {
        return Ok(json);
    }
    let part = match member {
        TRUSTED_ROOT => document.trusted_root,
        _ => document.signing_config,
    };
    match part {
        Some(part) => Ok(part.get().as_bytes().to_vec()),
        None => Err(unusable(format!("it holds no {member}"))),
    }
}

/// The trusted root in a trust config.
pub(super) const TRUSTED_ROOT: &str = "trustedRoot";
/// The signing config in a trust config.
pub(super) const SIGNING_CONFIG: &str = "signingConfig";

/// The combined trust config; its parts as they stand there.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrustConfig {
    media_type: String,
    trusted_root: Option<Box<serde_json::value::RawValue>>,
    signing_config: Option<Box<serde_json::value::RawValue>>,
}

fn unusable(cause: String) -> Error {
    Error::new(Class::Undecided, Reason::TrustUnusable, "trust config cannot be used").cause(cause)
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
    // Most are smaller, and are read at once.
    let mut bytes = Vec::with_capacity(16 * 1024);
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
        let twice = br#"{"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json","trustedRoot":{},"trustedRoot":{"a":1}}"#;
        assert_eq!(part(twice.to_vec(), "trustedRoot").unwrap(), twice);
        for other in [&b"{}"[..], b"nonsense", br#"{"trustedRoot":{}}"#] {
            assert_eq!(part(other.to_vec(), "trustedRoot").unwrap(), other);
        }
    }

    #[test]
    fn a_file_of_lines_is_several_documents_and_any_other_is_itself() {
        let several = documents(b"{\"a\":1}\n\n{\"b\": 2}\n".to_vec()).unwrap();
        assert_eq!(several, [b"{\"a\":1}".to_vec(), b"{\"b\": 2}".to_vec()]);
        for one in ["{ \"a\": 1 }\n", "", "nonsense", "{", "[]"] {
            assert_eq!(documents(one.into()).unwrap(), [one.as_bytes().to_vec()], "{one:?}");
        }
        let error = documents(b"{}\n{}\nx".to_vec()).unwrap_err();
        assert!(error.to_string().contains("document 3"), "{error}");
    }
}
