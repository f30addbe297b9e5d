//! What follows the host: repository and tag.

use super::invalid;
use crate::error::Result;

/// What Docker's reference grammar allows; some registries stop earlier.
const MAX_REPOSITORY: usize = 255;
/// OCI distribution specification, "Pulling manifests".
const MAX_TAG: usize = 128;

/// Checks the path: segments of `[a-z0-9]+`, joined inside by `.`, `_`, `__` or any number of `-`
/// (OCI distribution specification, "Pulling manifests").
pub(super) fn check_repository(path: &str) -> Result<()> {
    if path.is_empty() {
        return Err(invalid("there is no repository after the host"));
    }
    if path.len() > MAX_REPOSITORY {
        return Err(invalid(format!("the repository is longer than {MAX_REPOSITORY} characters")));
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(invalid("a repository is written in lower case"));
    }
    for segment in path.split('/') {
        if !is_path_segment(segment) {
            return Err(invalid(format!("{segment:?} cannot be part of a repository")));
        }
    }
    Ok(())
}

fn is_path_segment(segment: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = segment.bytes();
    if !bytes.next().is_some_and(word) || !segment.bytes().next_back().is_some_and(word) {
        return false;
    }
    let separators = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    segment.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(separators)
}

/// Checks a tag and brings it to the form of the wire.
pub(super) fn parse_tag(text: &str) -> Result<String> {
    let tag = text.replace('+', "_");
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts = !text.starts_with('+') && tag.bytes().next().is_some_and(word);
    if starts && tag.len() <= MAX_TAG && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-')) {
        return Ok(tag);
    }
    Err(match tag.len() {
        0 => invalid("the tag is empty"),
        length if length > MAX_TAG => {
            invalid(format!("the tag is longer than {MAX_TAG} characters"))
        }
        _ => invalid(format!("{text:?} is no tag")),
    })
}
