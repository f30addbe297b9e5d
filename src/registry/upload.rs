//! Storing a blob, in as few requests as the registry takes it in (OCI distribution specification 1.1,
//! "Pushing blobs").

use std::ops::Range;

use bytes::Bytes;

use super::advice::{Write, advised};
use super::client::{Repository, malformed};
use super::explanation;
use crate::chart::Digest;
use crate::error::Result;
use crate::net::header::{CONTENT_RANGE, HeaderValue, LOCATION};
use crate::net::{Method, Origin, Redirects, Request, Response, Url, check_hop};

/// Bytes of an answer to an upload, at most; nothing in them is needed.
const MAX_ANSWER: usize = 64 * 1024;
/// Bytes of a piece, unless the registry wants larger ones: little enough for any proxy before it.
const PIECE: usize = 64 * 1024;
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// How a blob travels. A registry that does not take one may take the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One POST that holds it all.
    Post,
    /// A POST that opens an upload, and a PUT that holds it all.
    Put,
    /// The same with pieces in between.
    Pieces,
}

impl Repository {
    /// Stores a blob: in one request, in two, or in pieces, whichever the registry takes first. Storing it
    /// twice does no harm.
    ///
    /// # Errors
    ///
    /// Undecided: not authorised, not reached, refused, or a `Location` that leads nowhere or down to plain
    /// http.
    pub async fn push_blob(&self, bytes: Bytes) -> Result<Digest> {
        let digest = Digest::of(&bytes);
        let mut shape = Shape::Post;
        let mut again = true;
        loop {
            let response = self.open_upload(shape, digest, &bytes).await?;
            if response.status == 202 && shape == Shape::Post {
                shape = Shape::Put;
            }
            let answer = match (response.status.as_u16(), shape) {
                (202, Shape::Pieces) => self.send_pieces(response, digest, &bytes).await?,
                (202, _) => {
                    let url = self.upload_url(&response)?;
                    self.finish(url, digest, bytes.clone()).await?
                }
                _ => response,
            };
            match answer.status.as_u16() {
                200 | 201 | 204 => return Ok(digest),
                // The upload is gone, perhaps because it arrived and only the answer did not.
                404 if again && answer.label().starts_with("PUT") => again = false,
                // Not in this form, it seems: a proxy that bounds bodies, a registry that knows one way only.
                400 | 405 | 411 | 413 | 415 | 416 | 501 if shape != Shape::Pieces => {
                    shape = if shape == Shape::Post { Shape::Put } else { Shape::Pieces };
                }
                // What is there already, byte for byte, need not be stored.
                409 if matches!(self.blob(&digest, bytes.len()).await, Ok(Some(_))) => {
                    return Ok(digest);
                }
                _ if Origin::same(&answer.url, &self.place.base) => {
                    let error = self.refusal(&answer);
                    return Err(advised(error, &answer, Write::Blob { size: bytes.len() }));
                }
                _ => return Err(answer.failure(&explanation(&answer))),
            }
        }
    }

    async fn open_upload(&self, shape: Shape, digest: Digest, bytes: &Bytes) -> Result<Response> {
        let mut url = self.url("blobs/uploads/");
        let body = match shape {
            Shape::Post => {
                url.query_pairs_mut().append_pair("digest", &digest.to_string());
                bytes.clone()
            }
            Shape::Put | Shape::Pieces => Bytes::new(),
        };
        let request = Request::new(Method::POST, url, MAX_ANSWER)
            .body(OCTETS, body)
            .redirects(Redirects::SameOrigin)
            .repeatable();
        self.send(request).await
    }

    /// The last request of an upload, with what has not been sent.
    async fn finish(&self, mut url: Url, digest: Digest, rest: Bytes) -> Result<Response> {
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let request = Request::new(Method::PUT, url, MAX_ANSWER).body(OCTETS, rest).repeatable();
        self.send_upload(request).await
    }

    /// Sends the pieces in order, then ends the upload. An answer in between that is not the next place to send to
    /// is the answer of all.
    async fn send_pieces(
        &self,
        opened: Response,
        digest: Digest,
        bytes: &Bytes,
    ) -> Result<Response> {
        let wanted = opened.header("oci-chunk-min-length").and_then(|text| text.parse().ok());
        let mut answer = opened;
        for Range { start, end } in pieces(bytes.len(), wanted) {
            let request = Request::new(Method::PATCH, self.upload_url(&answer)?, MAX_ANSWER)
                .body(OCTETS, bytes.slice(start..end))
                .header(CONTENT_RANGE, range(start, end));
            answer = self.send_upload(request).await?;
            if answer.status != 202 {
                return Ok(answer);
            }
        }
        self.finish(self.upload_url(&answer)?, digest, Bytes::new()).await
    }

    async fn send_upload(&self, request: Request) -> Result<Response> {
        let request = request.redirects(Redirects::SameOrigin);
        if request.is_to(&self.place.base) {
            return self.send(request).await;
        }
        // Somebody else's host: the URL itself has to be all that it wants.
        self.shared.client.send(request.plain_http(self.shared.settings.plain())).await
    }

    /// Where an upload goes on.
    fn upload_url(&self, answer: &Response) -> Result<Url> {
        let Some(location) = answer.headers.get(LOCATION) else {
            // The specification asks for a Location; some that lack it name the upload.
            let id = answer.header("docker-upload-uuid").filter(|id| is_id(id));
            let id = id.filter(|_| Origin::same(&answer.url, &self.place.base));
            return id
                .map(|id| self.url(&format!("blobs/uploads/{id}")))
                .ok_or_else(|| malformed(answer, "202 without a Location to upload to"));
        };
        let url = location.to_str().ok().and_then(|text| answer.url.join(text).ok());
        let Some(url) = url.filter(|url| url.host().is_some()) else {
            return Err(malformed(answer, "202 with a malformed Location"));
        };
        check_hop(&answer.url, &url, self.shared.settings.plain())
            .map_err(|why| malformed(answer, &format!("202 with a Location that leads {why}")))?;
        Ok(url)
    }
}

/// Whether a text is one segment of a path that means itself.
fn is_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~=".contains(&b))
}

/// The pieces of `size` bytes, none smaller than `wanted` but the last.
fn pieces(size: usize, wanted: Option<usize>) -> impl Iterator<Item = Range<usize>> {
    let piece = PIECE.max(wanted.unwrap_or_default());
    (0..size).step_by(piece).map(move |start| start..start.saturating_add(piece).min(size))
}

/// `FIRST-LAST`, as the specification has it (and RFC 9110 has not).
fn range(start: usize, end: usize) -> HeaderValue {
    HeaderValue::from_str(&format!("{start}-{}", end.saturating_sub(1))).unwrap_or(OCTETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_large_as_is_wanted_and_leave_nothing_out() {
        let of = |size, wanted| pieces(size, wanted).map(|r| (r.start, r.end)).collect::<Vec<_>>();
        assert_eq!(of(0, None), []);
        assert_eq!(of(5, None), [(0, 5)]);
        assert_eq!(of(PIECE, None), [(0, PIECE)]);
        assert_eq!(of(PIECE + 1, Some(7)), [(0, PIECE), (PIECE, PIECE + 1)]);
        assert_eq!(of(PIECE + 1, Some(usize::MAX)), [(0, PIECE + 1)]);
        assert_eq!(range(0, 5), "0-4");
    }

    #[test]
    fn the_name_of_an_upload_is_one_segment() {
        for (id, fine) in
            [("0a-b_c.d", true), ("", false), ("..", false), ("a/b", false), ("a?b", false)]
        {
            assert_eq!(is_id(id), fine, "{id}");
        }
    }
}
