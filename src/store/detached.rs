//! Signatures over a file that lie in files of their own, as `cosign sign-blob` wrote them before bundles.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{BundleFile, Candidate, Content, Discovered, SignatureStore};
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::verify::{LegacySignature, MAX_BUNDLE_BYTES};

/// The largest chart that is read.
const MAX_CHART_BYTES: usize = 100 << 20;

/// A detached signature over a packaged chart.
#[derive(Debug)]
pub struct DetachedSignature {
    object: String,
    digest: Digest,
    pieces: LegacySignature,
}

impl DetachedSignature {
    /// The signature over `chart` in the file `signature` (base64, or as it is), with the certificate of who
    /// signed (PEM, or that in base64) and a timestamp where they are named.
    ///
    /// # Errors
    /// Usage, when a file cannot be read or is too large.
    pub fn named(
        chart: &Path,
        signature: &Path,
        certificate: Option<&Path>,
        timestamp: Option<&Path>,
    ) -> Result<Self> {
        let signed = read(signature, "signature", MAX_BUNDLE_BYTES)?;
        let certificate = certificate
            .map(|path| read(path, "certificate", MAX_BUNDLE_BYTES))
            .transpose()?
            .map(|bytes| pem_in(&bytes));
        let timestamp = timestamp
            .map(|path| read(path, "timestamp", MAX_BUNDLE_BYTES))
            .transpose()?
            .map(|bytes| stamp_in(&bytes));
        let text = std::str::from_utf8(&signed).map(str::trim).ok();
        let signature_text = match text.filter(|text| BASE64.decode(text).is_ok()) {
            Some(text) => text.to_owned(),
            None => BASE64.encode(&signed),
        };
        Ok(Self {
            object: signature.display().to_string(),
            digest: Digest::of(&signed),
            pieces: LegacySignature {
                payload: read(chart, "chart", MAX_CHART_BYTES)?,
                signature: signature_text,
                certificate,
                log: None,
                timestamp,
            },
        })
    }

    /// The signature over `chart` in cosign's own older bundle (`sign-blob --bundle`, before Sigstore's); nothing
    /// where the file is of another kind.
    ///
    /// # Errors
    /// Usage, when the chart cannot be read or is too large.
    pub fn in_old_bundle(chart: &Path, bundle: &BundleFile) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Old<'a> {
            base64_signature: String,
            #[serde(default)]
            cert: Option<String>,
            #[serde(borrow, default)]
            rekor_bundle: Option<&'a RawValue>,
        }
        let Some((path, bytes)) = bundle.contents() else { return Ok(None) };
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Ok(None);
        }
        let Ok(old) = serde_json::from_slice::<Old<'_>>(bytes) else { return Ok(None) };
        // For a key it holds the public half, which nobody takes from here.
        let certificate = old.cert.map(|text| pem_in(text.as_bytes()));
        let certificate = certificate.filter(|text| text.contains("BEGIN CERTIFICATE"));
        Ok(Some(Self {
            object: path.display().to_string(),
            digest: Digest::of(bytes),
            pieces: LegacySignature {
                payload: read(chart, "chart", MAX_CHART_BYTES)?,
                signature: old.base64_signature,
                certificate,
                log: old.rekor_bundle.map(|raw| raw.get().to_owned()),
                timestamp: None,
            },
        }))
    }
}

impl SignatureStore for DetachedSignature {
    async fn discover(&self) -> Discovered {
        let candidate = Candidate {
            digest: self.digest,
            artifact_type: None,
            predicate_type: None,
            created: None,
        };
        Discovered::found(self.object.clone(), vec![candidate])
    }

    async fn fetch(&self, _: &Candidate, _: &Cell<u64>) -> Result<Content> {
        Ok(Content::Detached(self.pieces.clone()))
    }
}

/// PEM, also where cosign wrote it in base64.
fn pem_in(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let plain = BASE64.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    plain.unwrap_or(text)
}

/// cosign's JSON around the answer of a timestamp authority, also where the answer lies there as it is.
fn stamp_in(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with('{') => text.to_owned(),
        _ => json!({"SignedRFC3161Timestamp": BASE64.encode(bytes)}).to_string(),
    }
}

fn read(path: &Path, what: &str, most: usize) -> Result<Vec<u8>> {
    let cannot = |cause: String| {
        Error::usage(format!("cannot open {what}")).on(path.display().to_string()).cause(cause)
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(error.to_string()))?;
    if bytes.len() > most {
        return Err(cannot(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}
