//! What to do about a registry that refuses a write, as far as its answer tells: registries word it in many
//! ways, and the status alone means too much.

use super::explanation;
use super::manifest::{BUNDLE_V03, EMPTY_CONFIG};
use crate::error::{Error, Reason};
use crate::net::Response;

/// What was to be written, of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write<'a> {
    Blob {
        size: usize,
    },
    /// The manifest of a signature, by its digest.
    Manifest {
        size: usize,
    },
    /// The index under a tag that all who sign share.
    Index {
        tag: &'a str,
        size: usize,
    },
}

/// Adds to `error` what the user, or whom they ask, can do about it.
pub(super) fn advised(error: Error, response: &Response, write: Write<'_>) -> Error {
    let says = explanation(response).to_lowercase();
    let mentions = |words: &[&str]| words.iter().any(|word| says.contains(word));
    let status = response.status.as_u16();
    if status == 507 || mentions(&["quota", "upper limit", "insufficient storage"]) {
        return error.note("the storage quota of the repository is used up; ask its administrator");
    }
    if mentions(&["read only", "read-only", "readonly", "maintenance"]) {
        return error
            .note("the registry is read-only for now; ask its administrator, or sign later");
    }
    let taken = mentions(&["immutable", "overwritten", "already exists"]);
    if matches!(status, 409 | 412) || taken {
        return immutable(error, write);
    }
    if let Write::Index { tag, .. } = write
        && mentions(&["blob_unknown", "manifest_unknown", "blob unknown"])
    {
        return error.note(format!("an entry under {tag} names something that is gone; remove it"));
    }
    let types = ["media type", "mediatype", "media-type", "artifact type", "artifacttype"];
    if matches!(status, 400 | 403 | 406 | 415 | 422) && mentions(&types) {
        return error
            .note("the registry takes only media types that are on its list")
            .note(format!("ask its administrator to allow {BUNDLE_V03} and {EMPTY_CONFIG}"));
    }
    match status {
        413 => error.note(match write {
            Write::Index { tag, size } => {
                format!(
                    "the index under {tag} has {size} bytes with our entry; the registry, or a proxy before it, does not take so many"
                )
            }
            Write::Blob { size } | Write::Manifest { size } => format!(
                "it has {size} bytes; the registry, or a proxy before it, does not take so many"
            ),
        }),
        405 => {
            error.note("the registry takes no writes here: it is read-only, or a mirror of another")
        }
        _ => error,
    }
}

fn immutable(error: Error, write: Write<'_>) -> Error {
    match write {
        Write::Index { tag, .. } => Error { reason: Reason::Unauthorized, ..error }
            .note(format!("tags are immutable here, and {tag} lists every signature of the chart"))
            .note("ask the administrator to exempt the tags sha256-* from immutability"),
        Write::Blob { .. } | Write::Manifest { .. } => {
            error.note("a rule of the registry forbids to store it; ask its administrator")
        }
    }
}
