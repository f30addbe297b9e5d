//! Writing to one repository: blobs and manifests.

use bytes::Bytes;

use super::client::{Repository, check_reference, malformed};
use super::explanation;
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::net::header::{HeaderValue, LOCATION};
use crate::net::{Method, Origin, Redirects, Request, Response, Url, check_hop};

/// Bytes of an answer to an upload, at most; nothing in them is needed.
const MAX_ANSWER: usize = 64 * 1024;
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

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
    /// Stores a blob, in one request where the registry can, else in two. Storing it twice does no harm.
    ///
    /// # Errors
    ///
    /// Undecided: not authorised, not reached, refused, or a `Location` that leads nowhere or down to plain
    /// http.
    pub async fn push_blob(&self, bytes: Bytes) -> Result<Digest> {
        let digest = Digest::of(&bytes);
        let mut again = true;
        loop {
            let mut url = self.url("blobs/uploads/");
            url.query_pairs_mut().append_pair("digest", &digest.to_string());
            let request = Request::new(Method::POST, url, MAX_ANSWER)
                .body(OCTETS, bytes.clone())
                .redirects(Redirects::SameOrigin)
                .repeatable();
            let response = self.send(request).await?;
            match response.status.as_u16() {
                200 | 201 | 204 => return Ok(digest),
                202 => {}
                _ => return Err(self.refusal(&response)),
            }
            let response = self.finish_upload(&response, digest, bytes.clone()).await?;
            match response.status.as_u16() {
                200 | 201 | 204 => return Ok(digest),
                // The upload is gone, perhaps because it arrived and only the answer did not.
                404 if again => again = false,
                _ if Origin::same(&response.url, &self.place.base) => {
                    return Err(self.refusal(&response));
                }
                _ => return Err(response.failure(&explanation(&response))),
            }
        }
    }

    /// The second request: the registry opened an upload and says where.
    async fn finish_upload(
        &self,
        opened: &Response,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<Response> {
        let mut url = self.upload_url(opened)?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let at_home = Origin::same(&url, &self.place.base);
        let request = Request::new(Method::PUT, url, MAX_ANSWER)
            .body(OCTETS, bytes)
            .redirects(Redirects::SameOrigin)
            .repeatable();
        if at_home {
            return self.send(request).await;
        }
        // Somebody else's host: the URL itself has to be all that it wants.
        self.shared.client.send(request.plain_http(self.shared.settings.plain())).await
    }

    fn upload_url(&self, opened: &Response) -> Result<Url> {
        let Some(location) = opened.headers.get(LOCATION) else {
            return Err(malformed(opened, "202 without a Location to upload to"));
        };
        let url = location.to_str().ok().and_then(|text| opened.url.join(text).ok());
        let Some(url) = url.filter(|url| url.host().is_some()) else {
            return Err(malformed(opened, "202 with a malformed Location"));
        };
        check_hop(&opened.url, &url, self.shared.settings.plain())
            .map_err(|why| malformed(opened, &format!("202 with a Location that leads {why}")))?;
        Ok(url)
    }

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
        let request =
            Request::new(Method::PUT, self.url(&format!("manifests/{reference}")), MAX_ANSWER)
                .body(HeaderValue::from_static(media_type), bytes)
                .redirects(Redirects::SameOrigin)
                .repeatable();
        let response = self.send(request).await?;
        if !response.status.is_success() {
            return Err(self.refusal(&response));
        }
        Ok(Pushed { digest, oci_subject: response.headers.contains_key("oci-subject") })
    }
}
