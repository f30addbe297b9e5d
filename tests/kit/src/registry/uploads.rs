//! Blob uploads: in one request, in two, in pieces, or mounted from another repository.
//!
//! Distribution specification 1.1, "Pushing blobs".

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use hyper::body::Bytes;
use rand_core::{OsRng, RngCore as _};

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
}

impl Call<'_> {
    pub(super) fn begin_upload(&self, body: &Bytes) -> Answer {
        let options = &self.shared.options;
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
        let upload = Upload { repository: self.repository.to_owned(), bytes: Vec::new() };
        self.uploads().insert(id.clone(), upload);
        self.accepted(&id, 0).with("docker-upload-uuid", &id)
    }

    pub(super) fn upload(&self, method: &str, id: &str, body: &Bytes) -> Answer {
        let unknown = || Answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no upload");
        // The state travels in the query, as with CNCF distribution: a client must keep what
        // `Location` holds and add to it.
        if self.query("_state").as_deref() != Some(id) {
            return unknown();
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
                upload.bytes.extend_from_slice(body);
                self.accepted(id, upload.bytes.len())
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

fn range(length: usize) -> String {
    format!("0-{}", length.saturating_sub(1))
}
