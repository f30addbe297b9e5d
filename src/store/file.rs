//! Bundles in files: beside the chart, or where the user says.

use std::cell::Cell;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::{Candidate, Content, Discovered, SignatureStore};
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::verify::MAX_BUNDLE_BYTES;

/// The extensions of a bundle beside its artifact, in order (client specification section 4.1.1).
const SIDECARS: [&str; 2] = ["sigstore.json", "sigstore"];

/// A bundle in a file.
#[derive(Debug)]
pub struct BundleFile {
    path: PathBuf,
    bytes: Option<Vec<u8>>,
    object: String,
}

impl BundleFile {
    /// The bundle that the user named.
    ///
    /// # Errors
    /// Usage, when it cannot be opened.
    pub fn named(path: &Path) -> Result<Self> {
        let bytes = read(path).map_err(|error| {
            Error::usage("cannot open bundle")
                .on(path.display().to_string())
                .cause(error.to_string())
        })?;
        Ok(Self { path: path.to_owned(), bytes: Some(bytes), object: path.display().to_string() })
    }

    /// The file and its bytes, at most one more than a bundle may have.
    pub(super) fn contents(&self) -> Option<(&Path, &[u8])> {
        Some((&self.path, self.bytes.as_deref()?))
    }

    /// The bundle beside `chart`: `CHART.sigstore.json`, else `CHART.sigstore`.
    ///
    /// # Errors
    /// Usage, when one is there and cannot be read.
    pub fn beside(chart: &Path) -> Result<Self> {
        let mut tried = Vec::new();
        for path in sidecars(chart) {
            match std::fs::symlink_metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    tried.push(path.display().to_string());
                }
                // What is there, or cannot be looked at, is no absence: reading it says why.
                _ => return Self::named(&path),
            }
        }
        Ok(Self { path: PathBuf::new(), bytes: None, object: tried.join(", ") })
    }
}

impl SignatureStore for BundleFile {
    async fn discover(&self) -> Discovered {
        match &self.bytes {
            None => Discovered::nothing(self.object.clone(), "not found"),
            Some(bytes) => Discovered::found(
                self.path.display().to_string(),
                vec![Candidate {
                    digest: Digest::of(bytes),
                    artifact_type: None,
                    predicate_type: None,
                    created: None,
                }],
            ),
        }
    }

    async fn fetch(&self, _: &Candidate, _: &Cell<u64>) -> Result<Content> {
        Ok(Content::Bundle(self.bytes.clone().unwrap_or_default()))
    }
}

/// Reads one byte more than a bundle may have, so that the parser can say that it is too large.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    // Most bundles are smaller, and are read at once.
    let mut bytes = Vec::with_capacity(16 * 1024);
    std::fs::File::open(path)?.take(MAX_BUNDLE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bundle beside a packaged chart: `CHART.sigstore.json`.
pub fn sidecar(chart: &Path) -> PathBuf {
    let [first, _] = sidecars(chart);
    first
}

/// Where a bundle may lie beside a packaged chart, in order.
pub fn sidecars(chart: &Path) -> [PathBuf; 2] {
    SIDECARS.map(|extension| {
        let mut name = chart.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    })
}

/// Writes `bundle` to `target`, or into it as `NAME-VERSION.tgz.sigstore.json` when it is a directory.
/// The file appears whole or not at all. Answers where it lies.
///
/// # Errors
/// Usage, when it cannot be written; nothing is left behind then.
pub fn write_bundle(target: &Path, file_name: &str, bundle: &[u8]) -> Result<PathBuf> {
    BundlePlace::take(target, file_name)?.write(bundle)
}

/// Where the bundle of `file_name` lies that is written to `target`: that file, or `FILE_NAME.sigstore.json` in
/// that directory.
///
/// # Errors
/// Usage, for a name that leads out of the directory.
pub fn bundle_path(target: &Path, file_name: &str) -> Result<PathBuf> {
    if !target.is_dir() {
        return Ok(target.to_owned());
    }
    // A signed version may be any text, and this one becomes a path.
    if file_name.contains(['/', '\\', ':', '\0']) || file_name.starts_with('.') {
        return Err(Error::usage("cannot write bundle")
            .on(target.display().to_string())
            .cause(format!("{file_name:?} is no file name; name the file instead")));
    }
    Ok(target.join(format!("{file_name}.{}", SIDECARS[0])))
}

/// Room for a bundle that is still to be made: that it can be written is known before anything is public.
/// Nothing is left behind where none is.
#[derive(Debug)]
pub struct BundlePlace {
    path: PathBuf,
    partial: PathBuf,
    file: std::fs::File,
}

impl BundlePlace {
    /// Takes room at `target`, or in it, as [`write_bundle`] does.
    ///
    /// # Errors
    /// Usage, when nothing can be written there.
    pub fn take(target: &Path, file_name: &str) -> Result<Self> {
        let path = bundle_path(target, file_name)?;
        let mut partial = path.clone().into_os_string();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        // A file that is there already is not ours, neither to write nor to remove.
        let file =
            std::fs::File::create_new(&partial).map_err(|error| cannot_write(&path, &error))?;
        Ok(Self { path, partial, file })
    }

    /// Whether a bundle is there already.
    pub fn is_taken(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Where the bundle will lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the bundle: whole, or not at all.
    ///
    /// # Errors
    /// Usage, when it cannot be written.
    pub fn write(mut self, bundle: &[u8]) -> Result<PathBuf> {
        self.file
            .write_all(bundle)
            .and_then(|()| self.file.sync_all())
            .and_then(|()| std::fs::rename(&self.partial, &self.path))
            .map_err(|error| cannot_write(&self.path, &error))?;
        Ok(self.path.clone())
    }
}

impl Drop for BundlePlace {
    fn drop(&mut self) {
        // Gone where the bundle was written.
        let _ = std::fs::remove_file(&self.partial);
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::usage("cannot write bundle").on(path.display().to_string()).cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_written_whole_into_a_file_or_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = write_bundle(directory.path(), "web-1.4.2.tgz", b"{}").unwrap();
        assert!(path.ends_with("web-1.4.2.tgz.sigstore.json"));
        let path = write_bundle(&directory.path().join("b.json"), "x", b"{}").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"{}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn room_that_is_not_used_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("web-1.4.2.tgz.sigstore.json");
        assert_eq!(sidecar(&directory.path().join("web-1.4.2.tgz")), target);
        let place = BundlePlace::take(&target, "x").unwrap();
        assert!(!place.is_taken() && !target.exists());
        drop(place);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("no").join("b.json");
        assert!(write_bundle(&missing, "x", b"{}").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
