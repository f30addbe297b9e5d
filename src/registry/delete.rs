//! Deleting from one repository: manifests, and only by digest. To delete a tag takes the manifest, and with it all
//! other tags on it, away in some registries.

use super::auth::Access;
use super::client::{ACCEPT_MANIFESTS, Repository, check_reference};
use super::explanation;
use crate::chart::{Digest, MAX_MANIFEST_BYTES};
use crate::error::{Error, Result};
use crate::net::header::ACCEPT;
use crate::net::{Method, Redirects, Request, Response};

/// Bytes of an answer to a deletion, at most; nothing in them is needed.
const MAX_ANSWER: usize = 64 * 1024;
/// The header that names what a tag leads to.
const DIGEST_HEADER: &str = "docker-content-digest";

impl Repository {
    /// The same repository for deleting, which asks for the right to.
    #[must_use]
    pub fn for_delete(mut self) -> Self {
        self.place.access = Access::Delete;
        self
    }

    /// Deletes a manifest; one that is not there is deleted.
    ///
    /// # Errors
    ///
    /// Undecided: not authorised, not reached, or the registry deletes nothing (405 and the like).
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let url = self.url(&format!("manifests/{digest}"));
        let request = Request::new(Method::DELETE, url, MAX_ANSWER)
            .redirects(Redirects::SameOrigin)
            .repeatable();
        let response = self.send(request).await?;
        match response.status.as_u16() {
            404 => Ok(()),
            _ if response.status.is_success() => Ok(()),
            _ => Err(advised(self.refusal(&response), &response)),
        }
    }

    /// What a tag leads to; nothing if there is no such tag. The registry's word for it, where it gives one: nothing
    /// but caution follows from it.
    ///
    /// # Errors
    ///
    /// As [`Repository::manifest`].
    pub async fn tag_target(&self, tag: &str) -> Result<Option<Digest>> {
        check_reference(tag)?;
        let url = self.url(&format!("manifests/{tag}"));
        let request =
            Request::new(Method::HEAD, url, MAX_MANIFEST_BYTES).header(ACCEPT, ACCEPT_MANIFESTS);
        let response = self.send(request).await?;
        let named = response.header(DIGEST_HEADER).and_then(|text| Digest::parse(text).ok());
        match (response.status.as_u16(), named) {
            (404, _) => Ok(None),
            (200, Some(digest)) => Ok(Some(digest)),
            // Neither the header nor HEAD is everywhere.
            _ => Ok(self.manifest(tag).await?.map(|found| found.digest)),
        }
    }
}

fn advised(error: Error, response: &Response) -> Error {
    let says = explanation(response).to_lowercase();
    let mentions = |words: &[&str]| words.iter().any(|word| says.contains(word));
    match response.status.as_u16() {
        405 | 501 => error.note("the registry deletes nothing: deletion is switched off there"),
        400 | 403 if mentions(&["unsupported", "disabled", "not allowed"]) => {
            error.note("the registry deletes nothing: deletion is switched off there")
        }
        409 | 412 | 423 => {
            error.note("a rule of the registry keeps it (immutability, retention, a lock)")
        }
        _ if mentions(&["immutable", "retention", "locked"]) => {
            error.note("a rule of the registry keeps it (immutability, retention, a lock)")
        }
        _ => error,
    }
}
