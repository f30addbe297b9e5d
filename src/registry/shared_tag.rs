//! Writing a document under a tag that several writers share: never repeated behind the caller's back,
//! because what was read before it is stale by then.

use std::time::Duration;

use bytes::Bytes;

use super::client::{Repository, check_reference};
use super::explanation;
use crate::error::{Error, Reason, Result};
use crate::net::header::HeaderValue;
use crate::net::{Method, Redirects, Request, Response};

/// Bytes of an answer to a write, at most; nothing in them is needed.
const MAX_ANSWER: usize = 64 * 1024;

/// What became of one attempt to write a document under a shared tag.
#[derive(Debug)]
pub enum SharedWrite {
    /// The registry took it.
    Stored,
    /// It did not this time, or its answer was lost: read the tag again before the next attempt.
    Again {
        /// What it said.
        error: Error,
        /// How long it asks to wait first.
        wait: Option<Duration>,
    },
    /// It never will.
    Refused(Error),
}

impl Repository {
    /// Stores a document under `tag`, in one attempt. Only with `patient` is a challenge answered on the way: to
    /// get a token takes time, in which the document grows old, so that the reading before the next attempt is the
    /// better place for it.
    ///
    /// # Errors
    /// Usage: no tag. What the registry says is no error here but an [`SharedWrite`].
    pub async fn put_shared(
        &self,
        tag: &str,
        media_type: &'static str,
        document: Bytes,
        patient: bool,
    ) -> Result<SharedWrite> {
        check_reference(tag)?;
        let size = document.len();
        let request = Request::new(Method::PUT, self.url(&format!("manifests/{tag}")), MAX_ANSWER)
            .body(HeaderValue::from_static(media_type), document)
            .redirects(Redirects::SameOrigin);
        let sent = match self.shared.auth.current(&self.place) {
            Some(granted) if !patient => {
                let request = request.plain_http(self.shared.settings.plain());
                self.shared.client.send(request.authorization(granted)).await
            }
            _ => self.send(request).await,
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Ok(SharedWrite::Again { error, wait: None }),
        };
        if response.status.is_success() {
            return Ok(SharedWrite::Stored);
        }
        let error = self.refusal(&response);
        let expired = response.status == 401 && !patient;
        if expired || matches!(response.status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504) {
            return Ok(SharedWrite::Again { error, wait: response.retry_after() });
        }
        Ok(SharedWrite::Refused(explained(error, &response, tag, size)))
    }
}

/// What to do about a refusal, as far as the answer tells: registries word it in many ways, and the
/// status alone means too much.
fn explained(error: Error, response: &Response, tag: &str, size: usize) -> Error {
    let says = explanation(response).to_lowercase();
    let mentions = |words: &[&str]| words.iter().any(|word| says.contains(word));
    let status = response.status.as_u16();
    if mentions(&["quota", "upper limit"]) {
        return error.note("the storage quota of the repository is used up; ask its administrator");
    }
    if matches!(status, 409 | 412) || mentions(&["immutable", "overwritten", "already exists"]) {
        return Error { reason: Reason::Unauthorized, ..error }
            .note(format!("tags are immutable here, and {tag} lists every signature of the chart"))
            .note("ask the administrator to exempt the tags sha256-* from immutability");
    }
    if mentions(&["blob_unknown", "manifest_unknown", "blob unknown"]) {
        return error.note(format!("an entry under {tag} names something that is gone; remove it"));
    }
    if status == 413 {
        return error.note(format!("what is under {tag} has {size} bytes with our entry"));
    }
    error
}
