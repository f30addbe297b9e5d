//! Speaks the client protocol of the TUF conformance suite (theupdateframework/tuf-conformance) through the TUF
//! client that the product uses: the crate's Updater over our bounded repository. Exit code 0 or 1.
//!
//! What the crate does not serve: hash bins (`succinct_roles`, TAP 15), whose delegations it passes over.
//!
//! `--metadata-dir D init ROOT_FILE`, `--metadata-dir D --metadata-url U refresh`, and
//! `--metadata-dir D --metadata-url U --target-name N --target-base-url B --target-dir T download`.

#![allow(clippy::print_stderr)] // a program for people, with nothing else to print with

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use helm_sigstore::net::{Client, Options, Url};
use helm_sigstore::trust::Mirror;
use sigstore_tuf::{FileStore, MetadataStore, TrustedMetadataSet, Updater};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Metadata under their names without versions, as the suite looks for them, and nothing else.
struct Unversioned(FileStore);

impl MetadataStore for Unversioned {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        self.0.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        if name.contains('/') || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(());
        }
        self.0.store(name, bytes)
    }
}

fn run() -> Result<(), Failure> {
    let (mut flags, mut words) = (std::collections::BTreeMap::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        match word.strip_prefix("--") {
            Some(flag) => {
                let value = arguments.next().ok_or_else(|| format!("{word} needs a value"))?;
                flags.insert(flag.to_owned(), value);
            }
            None => words.push(word),
        }
    }
    let flag = |name: &str| {
        flags.get(name).cloned().ok_or_else(|| Failure::from(format!("--{name} is missing")))
    };
    let directory = PathBuf::from(flag("metadata-dir")?);
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["init", root] => {
            let bytes = std::fs::read(root)?;
            TrustedMetadataSet::from_root(&bytes)?;
            std::fs::create_dir_all(&directory)?;
            Ok(std::fs::write(directory.join("root.json"), bytes)?)
        }
        ["refresh"] => {
            let metadata = base(&flag("metadata-url")?)?;
            driven(async {
                let mut updater = updater(&directory, metadata.clone(), metadata)?;
                Ok(updater.refresh(jiff::Timestamp::now()).await?)
            })
        }
        ["download"] => {
            let metadata = base(&flag("metadata-url")?)?;
            let targets = base(&flag("target-base-url")?)?;
            let (name, folder) = (flag("target-name")?, PathBuf::from(flag("target-dir")?));
            driven(async {
                let mut updater = updater(&directory, metadata, targets)?;
                let now = jiff::Timestamp::now();
                updater.refresh(now).await?;
                let bytes = updater.get_target(&name, now).await?;
                // The whole name as one file name, so that it never becomes a path.
                let file: String = url_encoded(&name);
                Ok(std::fs::write(folder.join(file), bytes)?)
            })
        }
        _ => Err("init ROOT_FILE, refresh or download".into()),
    }
}

fn updater(directory: &Path, metadata: Url, targets: Url) -> Result<Updater, Failure> {
    let root = std::fs::read(directory.join("root.json"))?;
    let mirror = Mirror::new(Client::new(Options::default())?, metadata, targets);
    Ok(Updater::new(mirror, &root)?.with_store(Unversioned(FileStore::new(directory))))
}

fn base(text: &str) -> Result<Url, Failure> {
    let slash = if text.ends_with('/') { "" } else { "/" };
    Ok(Url::parse(&format!("{text}{slash}"))?)
}

fn url_encoded(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F").replace('\\', "%5C")
}

fn driven(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
