//! Writing a document under a tag that several writers share: never repeated behind the caller's back,
//! because what was read before it is stale by then.

use std::time::Duration;

use bytes::Bytes;

use super::advice::{Write, advised};
use super::client::{Repository, check_reference};
use super::explanation;
use crate::error::{Error, Result};
use crate::net::header::HeaderValue;
use crate::net::{Method, Redirects, Request};

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
        // A tag is no digest that could be wrong: CNCF distribution says so where a blob that the document names is
        // being stored by somebody else at this moment, and its link is read half written.
        let torn = response.status == 400 && explanation(&response).starts_with("DIGEST_INVALID");
        if expired || torn || matches!(response.status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
        {
            return Ok(SharedWrite::Again { error, wait: response.retry_after() });
        }
        Ok(SharedWrite::Refused(advised(error, &response, Write::Index { tag, size })))
    }
}
