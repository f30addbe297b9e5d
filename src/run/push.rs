//! Pushing: what `helm push` stores, under the tag that it would use, and what a tag holds already.

use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::World;
use super::packaged::{MAX_CHART_BYTES, check_named};
use super::report::{Chart, Outcome, Verdict};
use super::resolve::{ChartName, Places, Resolved, resolve};
use super::sign::{SignObject, SignRun};
use crate::chart::{
    Archive, Argument, ChartReference, Digest, HelmPush, MANIFEST, RepositoryPrefix, shell_word,
};
use crate::error::{Class, Error, Reason, Result};
use crate::files::off_thread;
use crate::registry::{Access, Registry};
use crate::verify::{MAX_PROVENANCE_BYTES, UnverifiedProvenance};

/// What an undecided end means from when something may have been written.
const PUSHING: &str = "perhaps pushed, not signed";

/// One packaged chart to push.
#[derive(Clone, Debug)]
pub struct PushObject {
    /// The packaged chart.
    pub path: PathBuf,
    /// Its path as the user typed it.
    pub typed: String,
    /// Where it is pushed to.
    pub target: RepositoryPrefix,
    /// Whether a tag that holds something else may be moved.
    pub force: bool,
    /// Where the bundle is written, if it is signed: a file or a directory.
    pub bundle_out: Option<PathBuf>,
    /// Checks that the user switched off.
    pub weakened: Vec<String>,
}

/// A run of `push`.
pub struct PushRun {
    /// Clock, progress, warnings.
    pub world: World,
    /// The registries.
    pub registry: Registry,
    /// How what was pushed is signed, if it is.
    pub sign: Option<SignRun>,
}

/// A chart file as it was read.
struct ChartFile {
    bytes: Vec<u8>,
    archive: Archive,
    prov: Option<Vec<u8>>,
    created: String,
}

impl PushRun {
    /// Pushes one object, and signs what was pushed. Every failure is an outcome.
    pub async fn push(&self, object: &PushObject) -> Outcome {
        self.world.leaves("nothing was pushed");
        let mut outcome = self.unfinished(&object.typed, &object.weakened);
        match self.try_push(object, &mut outcome).await {
            Ok(()) => outcome,
            Err(error) => {
                outcome.aftermath = self.world.aftermath().unwrap_or("nothing was pushed");
                outcome.failed(error)
            }
        }
    }

    /// An outcome that knows nothing of the object yet.
    pub fn unfinished(&self, typed: &str, weakened: &[String]) -> Outcome {
        let mut outcome = match &self.sign {
            Some(sign) => sign.unfinished(typed, weakened),
            None => Outcome::new(typed),
        };
        outcome.aftermath = self.world.aftermath().unwrap_or("nothing was pushed");
        outcome.weakened = weakened.to_vec();
        outcome
    }

    async fn try_push(&self, object: &PushObject, outcome: &mut Outcome) -> Result<()> {
        self.world.enter("reading the chart");
        let path = object.path.clone();
        let file = off_thread(move || ChartFile::read(&path)).await?;
        let archive = &file.archive;
        let (name, version) = (archive.name(), archive.version());
        let reference = object.target.chart(name, version)?;
        if reference.name() != name {
            return Err(Error::usage("the registry has no such name").on(name.to_owned()));
        }
        let made = HelmPush::of(archive, file.prov.as_deref(), &file.created)?;
        outcome.chart = Some(Chart { name: name.to_owned(), version: version.to_owned() });
        outcome.reference = Some(reference.to_string());
        outcome.chart_digest = Some(archive.digest.to_string());

        if let (Some(_), Some(prov)) = (&self.sign, &file.prov) {
            // Helm pushes any, and signing refuses it: by then it would be stored.
            UnverifiedProvenance::read(prov)
                .and_then(|prov| prov.names(&archive.metadata.file_name(), &archive.digest))
                .map_err(|error| error.on(prov_path(&object.path).display().to_string()))?;
        }

        let held = self.held(&reference).await;
        let (digest, prov, pushed) = match (held, object.force) {
            (Ok(None), _) | (_, true) => {
                let prov = file.prov.as_deref().map(Digest::of);
                (self.store(&reference, &file, &made).await?, prov, true)
            }
            (Ok(Some(resolved)), false) => {
                let prov = resolved.manifest.prov.as_ref().map(|prov| prov.digest);
                (self.keep(&resolved, &file, &object.typed)?, prov, false)
            }
            (Err(error), false) => return Err(error),
        };
        let pinned = reference.with_digest(&digest);
        outcome.manifest_digest = Some(digest.to_string());
        outcome.prov_digest = prov.map(|digest| digest.to_string());
        outcome.pushed = Some(pushed);
        outcome.digest_ref = Some(pinned.clone());
        outcome.verdict = Verdict::Pushed;
        let Some(sign) = &self.sign else { return Ok(()) };

        // By the digest: whoever moves the tag meanwhile does not get this signature.
        let signed = sign
            .sign(&SignObject {
                argument: Argument::Reference(ChartReference::parse(&pinned)?),
                version: None,
                chart: Some(ChartName { name: name.to_owned(), version: Some(version.to_owned()) }),
                repository: None,
                bundle_out: object.bundle_out.clone(),
                force: false,
                weakened: object.weakened.clone(),
            })
            .await;
        let before = std::mem::replace(outcome, signed);
        outcome.input = before.input;
        outcome.reference = before.reference;
        outcome.pushed = before.pushed;
        match outcome.error.take() {
            None => Ok(()),
            Some(error) => {
                let words =
                    if pushed { "it was pushed, and is not signed" } else { "it is not signed" };
                let error = error.note(words);
                // What was refused would be refused again.
                Err(match error.class {
                    Class::Refused => error,
                    _ => error.hint(format!("helm sigstore sign {}", shell_word(&pinned))),
                })
            }
        }
    }

    /// What the tag holds already.
    async fn held(&self, reference: &ChartReference) -> Result<Option<Resolved>> {
        let places =
            Places { registry: &self.registry, access: Access::PullPush, signatures: None };
        match resolve(&self.world, places, reference, None, None).await {
            Ok(resolved) => Ok(Some(resolved)),
            Err(error) if error.class == Class::NotFound => Ok(None),
            Err(error) if error.class == Class::Refused => Err(taken(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Leaves the tag as it is, if it holds this chart.
    fn keep(&self, resolved: &Resolved, file: &ChartFile, typed: &str) -> Result<Digest> {
        let manifest = &resolved.manifest;
        if manifest.chart.digest != file.archive.digest {
            return Err(taken("it holds another chart").expected_found(
                format!("{}  (this file)", file.archive.digest),
                format!("{}  (in the registry)", manifest.chart.digest),
            ));
        }
        let ours = file.prov.as_deref().map(Digest::of);
        let theirs = manifest.prov.as_ref().map(|prov| prov.digest);
        if self.sign.is_some() && ours != theirs {
            // It would be a subject of the signature, and somebody else may have put it there.
            let digest =
                |digest: Option<Digest>| digest.map_or("none".to_owned(), |d| d.to_string());
            return Err(taken("it holds this chart with another provenance file").expected_found(
                format!("{}  ({typed}.prov)", digest(ours)),
                format!("{}  (in the registry)", digest(theirs)),
            ));
        }
        if ours.is_some() && ours != theirs {
            self.world.warn(format!(
                "{typed}.prov is not what the registry holds of this chart: --force pushes it"
            ));
        }
        Ok(manifest.index.as_ref().map_or(manifest.digest, |index| index.digest))
    }

    /// Stores blobs, then the manifest under its tag.
    async fn store(
        &self,
        reference: &ChartReference,
        file: &ChartFile,
        made: &HelmPush,
    ) -> Result<Digest> {
        let ChartReference { host, repository, tag, .. } = reference;
        let repository = self.registry.repository(host, repository, Access::PullPush)?;
        self.world.enter(format!("pushing {reference}"));
        repository.push_blob(made.config.clone().into()).await?;
        repository.push_blob(file.bytes.clone().into()).await?;
        if let Some(prov) = &file.prov {
            repository.push_blob(prov.clone().into()).await?;
        }
        self.world.leaves(PUSHING);
        let tag = tag.as_deref().unwrap_or_default();
        let pushed = repository.push_manifest(tag, MANIFEST, made.manifest.clone().into()).await?;
        Ok(pushed.digest)
    }
}

fn taken(cause: impl Into<String>) -> Error {
    Error::refused(Reason::WrongChart, "tag is taken")
        .cause(cause)
        .hint("to move the tag, for everybody who uses it: --force")
}

impl ChartFile {
    fn read(path: &Path) -> Result<Self> {
        let object = path.display().to_string();
        let cannot = |error: std::io::Error| {
            Error::usage("cannot open chart").on(object.clone()).cause(error.to_string())
        };
        let mut opened = std::fs::File::open(path).map_err(cannot)?;
        let modified = opened.metadata().and_then(|it| it.modified()).map_err(cannot)?;
        let mut bytes = Vec::new();
        (&mut opened).take(MAX_CHART_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
        let archive = check_named(path, &bytes)?;
        let prov = read_prov(path)?;
        let modified = Timestamp::try_from(modified)
            .map_err(|error| Error::usage("file has no usable time").cause(error.to_string()))?;
        Ok(Self { bytes, archive, prov, created: go_rfc3339(modified, TimeZone::system()) })
    }
}

/// Where the provenance of a packaged chart lies: `CHART.tgz.prov`.
pub(super) fn prov_path(chart: &Path) -> PathBuf {
    let mut path = chart.as_os_str().to_owned();
    path.push(".prov");
    PathBuf::from(path)
}

/// `CHART.tgz.prov`, where it lies beside the chart.
pub(super) fn read_prov(chart: &Path) -> Result<Option<Vec<u8>>> {
    let path = prov_path(chart);
    let cannot = |error: std::io::Error| {
        Error::usage("cannot open provenance")
            .on(path.display().to_string())
            .cause(error.to_string())
    };
    let opened = match std::fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(cannot)?,
    };
    let mut bytes = Vec::new();
    opened.take(MAX_PROVENANCE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > MAX_PROVENANCE_BYTES {
        return Err(Error::usage("provenance is too large")
            .on(path.display().to_string())
            .cause(format!("{MAX_PROVENANCE_BYTES} bytes are read")));
    }
    Ok(Some(bytes))
}

/// A time as Go's `time.RFC3339` writes it, in local time as Helm does: to the second, `Z` for no offset.
fn go_rfc3339(time: Timestamp, zone: TimeZone) -> String {
    let zoned = time.to_zoned(zone);
    let local = zoned.strftime("%Y-%m-%dT%H:%M:%S");
    match zoned.offset().seconds() {
        0 => format!("{local}Z"),
        seconds => {
            let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
            format!("{local}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_helm_writes_it() {
        let time: Timestamp = "2026-07-01T22:05:06.789Z".parse().unwrap();
        assert_eq!(go_rfc3339(time, TimeZone::UTC), "2026-07-01T22:05:06Z");
        let offset = |seconds| TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).unwrap());
        assert_eq!(go_rfc3339(time, offset(7200)), "2026-07-02T00:05:06+02:00");
        assert_eq!(go_rfc3339(time, offset(-12_600)), "2026-07-01T18:35:06-03:30");
    }
}
