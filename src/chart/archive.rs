//! A packaged chart: a gzip'ed tar, read in memory as a stream, never extracted and never held unpacked.
//!
//! The limits are Helm's own. Everything that two tar readers could understand differently, Helm's (Go) and any
//! other, is refused, so that "this is chart NAME at VERSION" is true for whoever unpacks the same bytes:
//! links, devices, sparse files, sizes outside the header, modes that contradict types, paths that are not
//! plain, a second `Chart.yaml`. Gzip members may follow one another, as Go allows. What follows the end mark
//! of the tar must be zeros and the gzip stream must be whole: Helm stops reading at the mark, other tools
//! do not, and nothing that packages charts writes more.

mod entry;

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use self::entry::{Block, Kind, Overrides, pax_records};
use super::digest::Digest;
use super::hashed::Hashed;
use super::metadata::{ChartMetadata, MAX_METADATA_BYTES};
use super::version::Version;
use crate::error::{Error, Reason, Result};

/// The most that all files of a chart may hold together, in bytes (Helm: `MaxDecompressedChartSize`).
pub const MAX_ARCHIVE_BYTES: u64 = 100 * 1024 * 1024;
/// The most that one file of a chart may hold, in bytes (Helm: `MaxDecompressedFileSize`).
pub const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024;
/// The most entries that are read; Helm has no such limit.
pub const MAX_ENTRIES: usize = 10_000;

/// The unpacked stream with headers and padding.
const MAX_STREAM_BYTES: u64 = MAX_ARCHIVE_BYTES + 4096 * MAX_ENTRIES as u64;
/// The bound that Go puts on a header that describes the next one, in bytes.
const MAX_EXTENSION_BYTES: u64 = 1024 * 1024;

/// The facts about a packaged chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The digest of the file as it is, which is the digest of the chart layer in a registry.
    pub digest: Digest,
    /// The length of the file in bytes.
    pub size: u64,
    /// Its `Chart.yaml`.
    pub metadata: ChartMetadata,
    /// The files that Helm takes a chart's metadata from, as they are.
    pub(super) sources: Sources,
}

/// `Chart.yaml` and, in charts of old, `requirements.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    pub chart_yaml: Vec<u8>,
    pub requirements: Option<Vec<u8>>,
}

impl Archive {
    /// Reads a packaged chart.
    ///
    /// # Errors
    /// Refused (`not-a-chart`): no gzip'ed tar, a dangerous or ambiguous one, one beyond the limits, or no chart.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let (metadata, sources) = open(bytes)?;
        Ok(Self { digest: Digest::of(bytes), size: bytes.len() as u64, metadata, sources })
    }

    /// Reads a packaged chart from a stream, which is never held whole.
    ///
    /// # Errors
    /// Those of the stream; within, as [`Archive::read`].
    pub fn read_from(stream: impl Read) -> io::Result<Result<Self>> {
        let mut stream = Hashed::new(stream);
        let opened = open(&mut stream);
        if let Some(failure) = stream.failure() {
            return Err(failure);
        }
        let (metadata, sources) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        let (digest, size) = stream.finish()?;
        Ok(Ok(Self { digest, size, metadata, sources }))
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The chart's version, as `Chart.yaml` has it.
    pub fn version(&self) -> &str {
        &self.metadata.version
    }

    /// Checks the last part of the path that the archive was read from: a name of the form `NAME-VERSION.tgz` has
    /// to tell the truth. Other names promise nothing, `NAME@sha256-HEX.tgz` included, which `helm pull` writes
    /// for a pinned reference (the digest in it is the manifest's).
    ///
    /// # Errors
    /// Refused (`wrong-chart` or `wrong-version`).
    pub fn check_file_name(&self, file_name: &str) -> Result<()> {
        let Some(stem) = file_name.strip_suffix(".tgz") else { return Ok(()) };
        let found = self.metadata.file_name();
        if file_name == found || file_name == found.replace('+', "_") {
            return Ok(());
        }
        let is_version = |text: &str| {
            let text = text.strip_prefix('v').unwrap_or(text).replace('_', "+");
            Version::parse_strict(&text).is_ok()
        };
        // Several readings are possible (`web-1-4.2.0`); any of them is a promise.
        let splits = || {
            let dashes = stem.match_indices('-').map(|(at, _)| at);
            let pairs = dashes.filter_map(|at| Some((stem.get(..at)?, stem.get(at + 1..)?)));
            pairs.filter(|(name, version)| !name.is_empty() && is_version(version))
        };
        let reason = match (splits().any(|(name, _)| name == self.name()), splits().next()) {
            (_, None) => return Ok(()),
            (true, _) => Reason::WrongVersion,
            (false, _) => Reason::WrongChart,
        };
        let what = if reason == Reason::WrongChart { "wrong chart" } else { "wrong version" };
        Err(Error::refused(reason, what)
            .cause("the file name and the Chart.yaml inside disagree")
            .expected_found(file_name, found))
    }
}

/// What a packaged chart says of itself, and where.
fn open(mut packed: impl BufRead) -> Result<(ChartMetadata, Sources)> {
    if !packed.fill_buf().is_ok_and(|start| start.starts_with(b"\x1f\x8b")) {
        return Err(not_an_archive("it is not compressed with gzip"));
    }
    let mut stream =
        Bounded { inner: MultiGzDecoder::new(packed), left: MAX_STREAM_BYTES, failure: None };
    let contents = match Contents::scan(&mut stream).and_then(|c| drain(&mut stream).map(|()| c)) {
        Ok(contents) => contents,
        Err(Problem::Chart(error)) => return Err(*error),
        Err(Problem::Stream(error)) => {
            return Err(match stream.failure {
                Some(Failure::TooLong) => too_large("the chart", MAX_ARCHIVE_BYTES),
                Some(Failure::Gzip) => {
                    not_an_archive(format!("the gzip stream is damaged: {error}"))
                }
                None => not_an_archive(format!("the tar archive is damaged: {error}")),
            });
        }
    };
    let Some(chart_yaml) = contents.chart_yaml else {
        return Err(not_an_archive("there is no NAME/Chart.yaml in it"));
    };
    let metadata = ChartMetadata::of_chart(&chart_yaml, contents.requirements.as_deref())?;
    if metadata.name != contents.base {
        return Err(not_an_archive("the directory in it does not have the chart's name")
            .expected_found(metadata.name, contents.base));
    }
    Ok((metadata, Sources { chart_yaml, requirements: contents.requirements }))
}

/// What the scan keeps.
#[derive(Default)]
struct Contents {
    /// The one directory that everything lies in.
    base: String,
    chart_yaml: Option<Vec<u8>>,
    requirements: Option<Vec<u8>>,
}

/// Why a scan stopped.
enum Problem {
    Chart(Box<Error>),
    Stream(io::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Chart(Box::new(error))
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

impl Contents {
    fn scan(stream: &mut impl Read) -> Result<Self, Problem> {
        let mut contents = Self::default();
        let mut archive = tar::Archive::new(stream);
        let (mut members, mut total) = (0, 0);
        let mut overrides = Overrides::default();
        // Raw entries: the `tar` crate checks and frames the blocks, what they mean is decided here.
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            let size = entry.size();
            let block = Block::parse(entry.header().as_bytes())?;
            match block.kind {
                Kind::Extended => {
                    overrides.add_pax(&pax_records(&read_exactly(&mut entry, size)?)?)?;
                    continue;
                }
                Kind::LongName => {
                    overrides.add_long_name(&read_exactly(&mut entry, size)?)?;
                    continue;
                }
                Kind::Directory | Kind::File | Kind::Global => {}
            }
            members += 1;
            if members > MAX_ENTRIES {
                return Err(too_large_because(format!("more than {MAX_ENTRIES} entries")).into());
            }
            if block.kind == Kind::Global {
                // `git archive` notes the commit this way. Helm ignores it, others apply it.
                overrides.check_unused()?;
                let mut ignored = Overrides::default();
                ignored.add_pax(&pax_records(&read_exactly(&mut entry, size)?)?)?;
                ignored.check_unused()?;
                continue;
            }
            let path = std::mem::take(&mut overrides).path(block.name)?;
            let inner = contents.place(&path, block.kind)?;
            if block.kind == Kind::Directory {
                if size != 0 {
                    return Err(dangerous(&path, "it is a directory with contents").into());
                }
                continue;
            }
            if size > MAX_FILE_BYTES {
                return Err(too_large(&format!("file {path:?}"), MAX_FILE_BYTES).into());
            }
            total += size;
            if total >= MAX_ARCHIVE_BYTES {
                return Err(too_large("the chart", MAX_ARCHIVE_BYTES).into());
            }
            let slot = match inner {
                "Chart.yaml" => &mut contents.chart_yaml,
                "requirements.yaml" => &mut contents.requirements,
                _ => continue,
            };
            if slot.is_some() {
                return Err(dangerous(&path, "it is there twice").into());
            }
            if size > MAX_METADATA_BYTES as u64 {
                return Err(too_large(&format!("file {path:?}"), MAX_METADATA_BYTES as u64).into());
            }
            *slot = Some(read_exactly(&mut entry, size)?);
        }
        overrides.check_unused()?;
        Ok(contents)
    }

    /// Checks a path and returns what follows the base directory, which the first entry decides.
    fn place<'p>(&mut self, path: &'p str, kind: Kind) -> Result<&'p str> {
        let plain = match kind {
            // A directory is written with or without the slash.
            Kind::Directory => path.strip_suffix('/').unwrap_or(path),
            _ => path,
        };
        entry::check_path(plain)?;
        let (base, inner) = match (plain.split_once('/'), kind) {
            (Some((base, inner)), _) => (base, inner),
            (None, Kind::Directory) => (plain, ""),
            (None, _) => return Err(dangerous(path, "it is outside the chart's directory")),
        };
        if self.base.is_empty() {
            base.clone_into(&mut self.base);
        }
        match self.base == base {
            true => Ok(inner),
            // Helm drops the first part of every path, so two directories would be laid over one another.
            false => Err(dangerous(path, format!("it is outside directory {:?}", self.base))),
        }
    }
}

/// Reads the contents of an entry that is small by nature.
fn read_exactly(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, Problem> {
    if size > MAX_EXTENSION_BYTES {
        return Err(too_large("an extended header", MAX_EXTENSION_BYTES).into());
    }
    let mut data = Vec::new();
    entry.take(size).read_to_end(&mut data)?;
    match data.len() as u64 == size {
        true => Ok(data),
        false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// Reads what follows the end mark.
fn drain(stream: &mut impl Read) -> Result<(), Problem> {
    static ZEROS: [u8; 4 * 1024] = [0; 4 * 1024];
    let mut buffer = ZEROS;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length if buffer.get(..length) == ZEROS.get(..length) => {}
            _ => return Err(not_an_archive("there is data behind the end of the archive").into()),
        }
    }
}

/// A stream that ends with an error when it becomes too long, and remembers whose fault an error is.
struct Bounded<R> {
    inner: R,
    left: u64,
    failure: Option<Failure>,
}

enum Failure {
    Gzip,
    TooLong,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer).inspect_err(|_| self.failure = Some(Failure::Gzip))?;
        match self.left.checked_sub(length as u64) {
            Some(left) => self.left = left,
            None => {
                self.failure = Some(Failure::TooLong);
                return Err(io::Error::other("too long"));
            }
        }
        Ok(length)
    }
}

fn not_an_archive(cause: impl Into<String>) -> Error {
    Error::refused(Reason::NotAChart, "not a packaged chart").cause(cause)
}

fn dangerous(path: &str, cause: impl std::fmt::Display) -> Error {
    let shown: String = path.chars().take(120).collect();
    Error::refused(Reason::NotAChart, "dangerous chart archive")
        .cause(format!("{shown:?}: {cause}"))
}

fn too_large(what: &str, limit: u64) -> Error {
    too_large_because(format!("{what} is larger than {limit} bytes unpacked"))
}

fn too_large_because(cause: String) -> Error {
    Error::refused(Reason::NotAChart, "chart archive too large").cause(cause)
}

#[cfg(test)]
mod tests;
