//! Reads a token, bounded, from wherever a platform or a user has put it.

use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::token::{MAX_TOKEN_BYTES, bad};
use crate::error::{Error, Result};

/// The text of a file that holds a token.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>> {
    let cannot_open = |error: std::io::Error| {
        Error::usage("cannot open identity token").cause(error.kind().to_string())
    };
    let file = std::fs::File::open(path).map_err(cannot_open)?;
    let mut bytes = Zeroizing::new(Vec::new());
    // One byte more than a token may have, so that a longer file is not mistaken for its beginning.
    file.take(MAX_TOKEN_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(cannot_open)?;
    text(&bytes)
}

/// The text of bytes that hold a token.
pub(super) fn text(bytes: &[u8]) -> Result<Zeroizing<String>> {
    std::str::from_utf8(bytes)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| bad("not an identity token").cause("it is not text"))
}
