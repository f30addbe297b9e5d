//! Packaged charts, as files.

use std::path::Path;

use crate::chart::Archive;
use crate::error::{Error, Reason, Result};

/// The largest packed chart that is read.
pub(super) const MAX_CHART_BYTES: u64 = 100 << 20;

/// Reads a packaged chart, within bounds.
pub(super) fn read_chart(path: &Path) -> Result<Archive> {
    use std::io::Read;
    let cannot = |error: std::io::Error| {
        Error::usage("cannot open chart").on(path.display().to_string()).cause(error.to_string())
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(cannot)?
        .take(MAX_CHART_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    check_named(path, &bytes)
}

/// Reads a packaged chart whose bytes, at most one more than may be, came from the file at `path`.
pub(super) fn check_named(path: &Path, bytes: &[u8]) -> Result<Archive> {
    if bytes.len() as u64 > MAX_CHART_BYTES {
        return Err(Error::refused(Reason::NotAChart, "not a chart")
            .cause(format!("it is larger than {MAX_CHART_BYTES} bytes")));
    }
    let archive = Archive::read(bytes)?;
    if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
        archive.check_file_name(name)?;
    }
    Ok(archive)
}
