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
    let file = std::fs::File::open(path).map_err(cannot)?;
    check_size(file.metadata().map_err(cannot)?.len())?;
    // One byte more than may be, of what grows or has no size.
    let read = Archive::read_from(file.take(MAX_CHART_BYTES + 1)).map_err(cannot)?;
    check_size(read.as_ref().map_or(0, |archive| archive.size))?;
    named(path, read?)
}

/// Reads a packaged chart whose bytes, at most one more than may be, came from the file at `path`.
pub(super) fn check_named(path: &Path, bytes: &[u8]) -> Result<Archive> {
    check_size(bytes.len() as u64)?;
    named(path, Archive::read(bytes)?)
}

fn check_size(size: u64) -> Result<()> {
    if size > MAX_CHART_BYTES {
        return Err(Error::refused(Reason::NotAChart, "not a chart")
            .cause(format!("it is larger than {MAX_CHART_BYTES} bytes")));
    }
    Ok(())
}

fn named(path: &Path, archive: Archive) -> Result<Archive> {
    if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
        archive.check_file_name(name)?;
    }
    Ok(archive)
}
