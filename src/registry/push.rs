//! Writing to one repository: manifests.

use bytes::Bytes;

use super::advice::{Write, advised};
use super::client::{Repository, check_reference};
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::net::header::HeaderValue;
use crate::net::{Method, Redirects, Request};

/// Bytes of an answer to a write, at most; nothing in them is needed.
const MAX_ANSWER: usize = 64 * 1024;

/// A manifest that the registry took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of what was sent.
    pub digest: Digest,
    /// Whether the answer says (`OCI-Subject`) that it will be listed among its subject's referrers. Some
    /// registries say so and do not list it: read it back.
    pub oci_subject: bool,
}

impl Repository {
    /// Stores a manifest or index under a tag, or under its own digest.
    ///
    /// # Errors
    ///
    /// Undecided: not authorised, not reached, refused. Usage: neither a tag nor the digest of `bytes`.
    pub async fn push_manifest(
        &self,
        reference: &str,
        media_type: &'static str,
        bytes: Bytes,
    ) -> Result<Pushed> {
        let digest = Digest::of(&bytes);
        if check_reference(reference)?.is_some_and(|expected| expected != digest) {
            return Err(Error::usage(
                "the manifest does not have the digest it is to be stored under",
            ));
        }
        let size = bytes.len();
        let request =
            Request::new(Method::PUT, self.url(&format!("manifests/{reference}")), MAX_ANSWER)
                .body(HeaderValue::from_static(media_type), bytes)
                .redirects(Redirects::SameOrigin)
                .repeatable();
        let response = self.send(request).await?;
        if !response.status.is_success() {
            return Err(advised(self.refusal(&response), &response, Write::Manifest { size }));
        }
        Ok(Pushed { digest, oci_subject: response.headers.contains_key("oci-subject") })
    }
}
