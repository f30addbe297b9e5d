//! Provenance files in a log of version 1, as entries of its type `helm` (Rekor, `types/helm/v0.0.1`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::rekor::existing;
use super::rekor_v1::{MAX_ENTRY_BYTES, RekorV1};
use super::service::{self, Call, said};
use crate::error::{Error, Reason, Result};
use crate::verify::UnverifiedEntry;

/// The largest key that is sent, in bytes.
const MAX_KEY_BYTES: usize = 1 << 20;

impl RekorV1 {
    /// Writes the provenance file `prov` with the key that made its signature, in armor; or finds it there. Answers
    /// what the log says is the entry, and whether it had it before.
    ///
    /// # Errors
    /// Usage, where the log has no such entries; refused, where it does not take this one; undecided, where it does not
    /// answer or its answer is no entry.
    pub async fn upload(&self, prov: &[u8], key: &str) -> Result<(UnverifiedEntry, bool)> {
        if key.len() > MAX_KEY_BYTES {
            return Err(Error::usage("key is too large for a log")
                .cause(format!("it has {} bytes with all that hangs on it", key.len()))
                .hint("gpg --export --export-options export-minimal KEY"));
        }
        let service = self.service("cannot upload the provenance");
        let url = service::join(&self.url, "api/v1/log/entries");
        let body = serde_json::json!({
            "apiVersion": "0.0.1",
            "kind": "helm",
            "spec": {
                "chart": {"provenance": {"content": BASE64.encode(prov)}},
                "publicKey": {"content": BASE64.encode(key)},
            },
        });
        let body = Some((body.to_string().into_bytes(), "application/json"));
        let answer = service.send(Call { body, ..Call::new(&url, MAX_ENTRY_BYTES) }).await?;
        let (answer, existed) = match answer.status {
            200 | 201 => (answer, false),
            409 => (existing(&service, &url, &answer, None, MAX_ENTRY_BYTES).await?, true),
            400 | 422 => {
                let words = said(&answer.body);
                return Err(Error::refused(
                    Reason::BadSignature,
                    "log does not take the provenance",
                )
                .cause(format!(
                    "POST {}: {}, {words}",
                    service::place(&url),
                    answer.status
                )));
            }
            404 | 405 | 501 => return Err(self.unsupported("POST", &url, &answer)),
            _ => return Err(service.refused(&answer)),
        };
        let entry = UnverifiedEntry::parse(&answer.body)
            .map_err(|why| service.malformed(answer.url(), why))?;
        Ok((entry, existed))
    }
}
