//! A Sigstore bundle, read within bounds (Sigstore bundle format v0.1 to v0.3).

use sigstore_types::SignatureContent;

use super::statement::{PAYLOAD_TYPE, Statement};
use crate::chart::check_distinct_keys;
use crate::error::{Error, Reason, Result};

/// The largest bundle that is read; real ones take 12 KB.
pub const MAX_BUNDLE_BYTES: usize = 1 << 20;
/// As many log entries, and as many timestamps, as sigstore-go reads.
const MAX_EVIDENCE: usize = 32;

/// A parsed bundle: signature, certificate and evidence, nothing of it verified.
#[derive(Clone, Debug)]
pub struct Bundle {
    inner: sigstore_types::Bundle,
    statement: Option<Statement>,
    message: Option<Vec<u8>>,
}

impl Bundle {
    /// Reads a bundle from its JSON.
    ///
    /// # Errors
    /// Refused (`malformed`), when the bytes are too many, are not one JSON document with distinct
    /// keys, are no bundle, hold more evidence than any signer needs, or an in-toto payload that is
    /// no statement. Refused (`unsupported-format` is kept for formats that may be right):
    /// an envelope whose payload is not in-toto is `malformed` too.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed =
            |cause: String| Error::refused(Reason::Malformed, "not a Sigstore bundle").cause(cause);
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(malformed(format!(
                "it is larger than {MAX_BUNDLE_BYTES} bytes: {} bytes",
                bytes.len()
            )));
        }
        check_distinct_keys(bytes).map_err(|error| malformed(error.to_string()))?;
        let inner: sigstore_types::Bundle =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        Self::from_inner(inner)
    }

    /// Wraps a bundle that was built in memory; the bounds hold for it as well.
    ///
    /// # Errors
    /// As [`Bundle::parse`].
    pub fn from_inner(inner: sigstore_types::Bundle) -> Result<Self> {
        let malformed =
            |cause: String| Error::refused(Reason::Malformed, "not a Sigstore bundle").cause(cause);
        let material = &inner.verification_material;
        let counts = [
            material.tlog_entries.len(),
            material.timestamp_verification_data.rfc3161_timestamps.len(),
        ];
        if counts.iter().any(|count| *count > MAX_EVIDENCE) {
            return Err(malformed(format!(
                "it holds {} log entries and {} timestamps; {MAX_EVIDENCE} of each are read",
                counts[0], counts[1]
            )));
        }
        let statement = match &inner.content {
            SignatureContent::DsseEnvelope(envelope) => {
                if envelope.payload_type != PAYLOAD_TYPE {
                    return Err(malformed(format!(
                        "its payload is {:?}, not {PAYLOAD_TYPE}",
                        envelope.payload_type
                    )));
                }
                Some(Statement::parse(envelope.payload.as_bytes())?)
            }
            _ => None,
        };
        Ok(Self { inner, statement, message: None })
    }

    /// A signature over the bytes of `message`, which say what `statement` says: older formats
    /// ([`super::LegacySignature`]) are read so, and nothing else is.
    ///
    /// # Errors
    /// As [`Bundle::parse`].
    pub(super) fn over(
        inner: sigstore_types::Bundle,
        statement: Statement,
        message: Vec<u8>,
    ) -> Result<Self> {
        let bundle = Self::from_inner(inner)?;
        Ok(Self { statement: Some(statement), message: Some(message), ..bundle })
    }

    /// A bundle of ours over the bytes of `message`, for the judgement of what we make.
    ///
    /// # Errors
    /// As [`Bundle::parse`].
    pub fn of_message(inner: sigstore_types::Bundle, message: Vec<u8>) -> Result<Self> {
        Ok(Self { message: Some(message), ..Self::from_inner(inner)? })
    }

    /// The bytes that are signed, where they are no envelope: then the statement is what they stand for.
    pub fn message(&self) -> Option<&[u8]> {
        self.message.as_deref()
    }

    /// The statement inside, or nothing for a signature over plain bytes.
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_ref()
    }

    /// The Sigstore crate's form.
    pub fn inner(&self) -> &sigstore_types::Bundle {
        &self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_bundle_with_its_own_words() {
        for (text, words) in [
            ("", "EOF"),
            ("{}", "missing field"),
            (r#"{"mediaType":"a","mediaType":"b"}"#, "appears twice"),
            (r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v9+json"}"#, "v9"),
        ] {
            let error = Bundle::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.reason, Reason::Malformed);
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_a_bundle_over_its_bound_before_parsing_it() {
        let huge = vec![b'['; MAX_BUNDLE_BYTES + 1];
        let error = Bundle::parse(&huge).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");
    }
}
