//! One bounded file for each instance: verified metadata, targets, and when they were last refreshed.
//!
//! It is replaced whole, and only after a complete refresh, so that a refresh that was cut never leaves half
//! of it behind, and processes that share it see the old one or the new one. What is in it is verified
//! again each time from the root that is trusted already; names in it are keys, never paths.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_tuf::MetadataStore;

/// The largest cache file that is read or written; that of the public-good instance takes 60 KB.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// What the file says it is.
const SCHEMA: &str = "helm-sigstore.trust-cache/v1";

/// What is known of an instance.
#[derive(Clone, Debug)]
pub(super) struct Cached {
    /// Metadata and targets by name.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// When the last complete refresh was.
    pub(super) refreshed: Timestamp,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    refreshed: Timestamp,
    files: BTreeMap<String, String>,
}

/// The file of one instance, which need not exist, nor be allowed to.
#[derive(Clone, Debug)]
pub(super) struct CacheFile(PathBuf);

impl CacheFile {
    /// The cache of the instance `name` below `home`; the name has been checked.
    pub(super) fn new(home: &Path, name: &str) -> Self {
        Self(home.join("trust").join(format!("{name}.json")))
    }

    /// The path, for messages.
    pub(super) fn words(&self) -> String {
        self.0.display().to_string()
    }

    /// What is cached; nothing, if there is none.
    ///
    /// # Errors
    /// Why what is there is not used: a symbolic link, no file, not ours to read, or no cache.
    pub(super) fn load(&self) -> Result<Option<Cached>, String> {
        self.refuse_what_is_not_ours()?;
        let file = match std::fs::File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
        }
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        if document.schema != SCHEMA {
            return Err("it is of another version".to_owned());
        }
        let mut files = BTreeMap::new();
        for (name, text) in document.files {
            files.insert(name, STANDARD.decode(text).map_err(|error| error.to_string())?);
        }
        Ok(Some(Cached { files, refreshed: document.refreshed }))
    }

    /// Replaces the file in one step.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(super) fn replace(&self, cached: &Cached, now: Timestamp) -> Result<(), String> {
        self.refuse_what_is_not_ours()?;
        // Another process may have come back with something newer meanwhile.
        if let Ok(Some(other)) = self.load()
            && other.refreshed > cached.refreshed
            && other.refreshed <= now
        {
            return Ok(());
        }
        let files = cached.files.iter();
        let document = Document {
            schema: SCHEMA.to_owned(),
            refreshed: cached.refreshed,
            files: files.map(|(name, bytes)| (name.clone(), STANDARD.encode(bytes))).collect(),
        };
        let json = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
        if json.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("it would be larger than {MAX_FILE_BYTES} bytes"));
        }
        write_atomically(&self.0, &json).map_err(|error| error.to_string())
    }

    /// Forgets what is cached.
    pub(super) fn remove(&self) {
        // Not there is as good as removed, and what cannot be removed is verified anyway.
        let _ = std::fs::remove_file(&self.0);
    }

    /// A link in the place of our file or of our directories would let somebody else say where we write, and reading a
    /// pipe in its place might never end.
    fn refuse_what_is_not_ours(&self) -> Result<(), String> {
        let directories = self.0.parent().into_iter().chain(self.0.parent().and_then(Path::parent));
        for path in std::iter::once(self.0.as_path()).chain(directories) {
            if std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_symlink()) {
                return Err(format!("{} is a symbolic link", path.display()));
            }
        }
        if std::fs::symlink_metadata(&self.0).is_ok_and(|data| !data.is_file()) {
            return Err("it is no file".to_owned());
        }
        Ok(())
    }
}

/// Writes a file of ours beside its place and moves it there, so that nobody ever sees half of it.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    make_private(directory)?;
    replace_atomically(path, bytes)
}

/// The same in a directory that is there.
pub(super) fn replace_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let nonce = rand_core::RngCore::next_u64(&mut rand_core::OsRng);
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{nonce:016x}.partial"));
    let partial = PathBuf::from(partial);
    let mut file = std::fs::File::create_new(&partial)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // Best effort: the error that is told is the first.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// The metadata that a refresh starts from and adds to. It is in memory until the refresh is complete.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Memory {
    pub(super) fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(files)))
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come together.
    pub(super) fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        std::mem::take(&mut *self.files())
    }

    pub(super) fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.files().get(name).cloned()
    }
}

impl MetadataStore for Memory {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        Ok(self.file(name))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        // `7.snapshot.json` is stored as `snapshot.json` too; once is enough.
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            self.files().insert(name.to_owned(), bytes.to_vec());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(at: &str) -> Cached {
        let files = [("../../etc/x".to_owned(), b"y".to_vec())].into();
        Cached { files, refreshed: at.parse().unwrap() }
    }

    fn now() -> Timestamp {
        "2026-02-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_names_in_it_are_no_paths() {
        let home = tempfile::tempdir().unwrap();
        let file = CacheFile::new(home.path(), "kit");
        assert!(file.load().unwrap().is_none());
        file.replace(&cached("2026-01-01T00:00:00Z"), now()).unwrap();
        assert_eq!(file.load().unwrap().unwrap().files["../../etc/x"], b"y");
        let names: Vec<_> = std::fs::read_dir(home.path().join("trust")).unwrap().collect();
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn an_older_refresh_does_not_replace_a_newer_one() {
        let home = tempfile::tempdir().unwrap();
        let file = CacheFile::new(home.path(), "kit");
        file.replace(&cached("2026-01-02T00:00:00Z"), now()).unwrap();
        file.replace(&cached("2026-01-01T00:00:00Z"), now()).unwrap();
        let refreshed = file.load().unwrap().unwrap().refreshed;
        assert_eq!(refreshed, "2026-01-02T00:00:00Z".parse().unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join("trust")).unwrap();
        let file = CacheFile::new(home.path(), "kit");
        assert!(file.load().unwrap_err().contains("symbolic link"));
        assert!(file.replace(&cached("2026-01-02T00:00:00Z"), now()).is_err());
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn half_a_file_and_an_endless_one_are_no_cache() {
        let home = tempfile::tempdir().unwrap();
        let file = CacheFile::new(home.path(), "kit");
        file.replace(&cached("2026-01-02T00:00:00Z"), now()).unwrap();
        let bytes = std::fs::read(&file.0).unwrap();
        std::fs::write(&file.0, &bytes[..bytes.len() / 2]).unwrap();
        assert!(file.load().is_err());
        std::fs::write(&file.0, vec![b' '; (8 << 20) + 1]).unwrap();
        assert!(file.load().unwrap_err().contains("larger"));
    }
}
