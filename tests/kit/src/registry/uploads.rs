//! Blob uploads: in one request, in two, in pieces, or mounted from another repository.
//!
//! Distribution specification 1.1, "Pushing blobs".

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use hyper::body::Bytes;
use rand_core::{OsRng, RngCore as _};

use super::Location;
use super::answer::Answer;
use super::api::Call;
use super::store::digest_of;

/// Uploads under way, by their id.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Upload>>);

#[derive(Debug)]
struct Upload {
    repository: String,
    bytes: Vec<u8>,
    /// Whether a piece was shorter than it may be: it was the last.
    short: bool,
}

impl Call<'_> {
    pub(super) fn begin_upload(&self, body: &Bytes) -> Answer {
        let options = &self.shared.options;
        if body.len() > options.max_upload_request {
            return Answer::error_of(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if options.refuses_known_blobs
            && let Some(digest) = self.query("digest")
            && self.shared.store.blob(self.repository, &digest).is_some()
        {
            return Answer::error(StatusCode::CONFLICT, "DENIED", "blob already exists");
        }
        if let (Some(digest), Some(from)) = (self.query("mount"), self.query("from"))
            && options.mount
            && self.may_pull(&from)
            && self.shared.store.mount(&from, self.repository, &digest).is_some()
        {
            return self.created(&digest);
        }
        if let Some(digest) = self.query("digest")
            && options.single_post_upload
        {
            return self.finish(&digest, body.clone());
        }
        let mut random = [0; 16];
        OsRng.fill_bytes(&mut random);
        let id = hex::encode(random);
        let upload =
            Upload { repository: self.repository.to_owned(), bytes: Vec::new(), short: false };
        self.uploads().insert(id.clone(), upload);
        let answer = self.accepted(&id, 0).with("docker-upload-uuid", &id);
        match options.chunk_min_length {
            Some(least) => answer.with("oci-chunk-min-length", &least.to_string()),
            None => answer,
        }
    }

    pub(super) fn upload(&self, method: &str, id: &str, body: &Bytes) -> Answer {
        let unknown = || Answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no upload");
        // The state travels in the query, as with CNCF distribution: a client must keep what
        // `Location` holds and add to it.
        let options = &self.shared.options;
        if options.location != Location::Missing && self.query("_state").as_deref() != Some(id) {
            return unknown();
        }
        if body.len() > options.max_upload_request {
            return Answer::error_of(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let mut uploads = self.uploads();
        let Some(upload) = uploads.get_mut(id).filter(|known| known.repository == self.repository)
        else {
            return unknown();
        };
        match method {
            "GET" | "HEAD" => {
                let range = range(upload.bytes.len());
                Answer::empty(StatusCode::NO_CONTENT).with("range", &range)
            }
            "PATCH" => {
                let expected = range_of(upload.bytes.len(), body.len());
                let named = self.header("content-range");
                if named.is_some_and(|named| named != expected) {
                    return Answer::empty(StatusCode::RANGE_NOT_SATISFIABLE);
                }
                // Only the last one may be shorter.
                let least = options.chunk_min_length.unwrap_or_default();
                if upload.short || body.is_empty() {
                    return Answer::error_of(StatusCode::BAD_REQUEST);
                }
                upload.short = body.len() < least;
                upload.bytes.extend_from_slice(body);
                self.accepted(id, upload.bytes.len())
            }
            "PUT" if !options.put_upload && !body.is_empty() => {
                Answer::error(StatusCode::BAD_REQUEST, "UNSUPPORTED", "send it by PATCH")
            }
            "PUT" => {
                let Some(digest) = self.query("digest") else {
                    return Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "no digest");
                };
                let mut bytes = uploads.remove(id).map(|upload| upload.bytes).unwrap_or_default();
                bytes.extend_from_slice(body);
                self.finish(&digest, bytes.into())
            }
            "DELETE" => {
                uploads.remove(id);
                Answer::empty(StatusCode::NO_CONTENT)
            }
            _ => Answer::error_of(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn finish(&self, digest: &str, bytes: Bytes) -> Answer {
        if digest_of(&bytes) != digest {
            let message = "provided digest did not match uploaded content";
            return Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message);
        }
        if bytes.is_empty() && self.shared.options.refuses_empty_blobs {
            return Answer::error(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "empty blob");
        }
        self.shared.store.put_blob(self.repository, bytes);
        self.created(digest)
    }

    fn created(&self, digest: &str) -> Answer {
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        self.located(Answer::empty(StatusCode::CREATED), &path)
            .with("docker-content-digest", digest)
    }

    fn accepted(&self, id: &str, length: usize) -> Answer {
        let path = format!("/v2/{}/blobs/uploads/{id}?_state={id}", self.repository);
        self.located(Answer::empty(StatusCode::ACCEPTED), &path).with("range", &range(length))
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.shared.uploads.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range_of(start: usize, length: usize) -> String {
    format!("{start}-{}", (start + length).saturating_sub(1))
}

fn range(length: usize) -> String {
    format!("0-{}", length.saturating_sub(1))
}
