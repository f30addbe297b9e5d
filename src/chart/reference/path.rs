//! What follows the host: repository and tag.

use std::borrow::Cow;

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

/// What Helm's URL parser makes of the text after the host: each `%XX` is one byte (RFC 3986 section 2.1), once.
pub(super) fn percent_decoded(text: &str) -> Result<Cow<'_, str>> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = String::with_capacity(text.len());
    let mut parts = text.split('%');
    decoded.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or_default();
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
        // Nothing else can stand in a reference, so that it is not worth decoding.
        let Some(byte) = byte.filter(u8::is_ascii_graphic).filter(|byte| *byte != b'%') else {
            return Err(invalid(format!("%{} stands for nothing in a reference", digits)));
        };
        decoded.push(char::from(byte));
        decoded.push_str(rest);
    }
    Ok(Cow::Owned(decoded))
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
