//! Provenance files in Rekor: `rekor upload`, `rekor verify`, and what `verify --rekor-helm` asks for.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::World;
use super::packaged::read_chart;
use super::push::read_prov;
use super::report::{HelmEntryReport, ProvenanceReport};
use super::resolve::{Places, resolve};
use super::trust::{Trust, Trusted};
use crate::chart::{Argument, Digest};
use crate::error::{Class, Error, Reason, Result};
use crate::files::off_thread;
use crate::net;
use crate::registry::{Access, Registry};
use crate::sign::{LogQuery, RekorV1};
use crate::verify::{
    HelmEntry, Keyring, LogRecord, NamedVersion, UnverifiedEntry, VerifiedProvenance, Verifier,
    verify_provenance,
};

/// Entries that are read at most: anybody can log anything about any digest.
pub(super) const MAX_ENTRIES: usize = 100;
/// Entries that are read side by side.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// How a log is reached.
#[derive(Clone, Debug)]
pub struct RekorAccess {
    /// The client for Sigstore's services.
    pub client: net::Client,
    /// The log that was named; without one it is that of the trusted root.
    pub server: Option<net::Url>,
}

/// A run of one of the commands of `rekor`.
#[derive(Debug)]
pub struct RekorRun {
    /// Clock, progress, warnings.
    pub world: World,
    /// The registries; opens no socket until one is asked.
    pub registry: Registry,
    /// The log.
    pub access: RekorAccess,
    /// Whose keys count of the log.
    pub trust: Trust,
}

fn found_in(log: &RekorV1, entry: &UnverifiedEntry, record: &LogRecord) -> HelmEntryReport {
    HelmEntryReport::new(entry.uuid(), log.entry_url(entry.uuid()), record)
}

/// A provenance file that was verified: it may be uploaded, or looked for.
pub struct ReadyProvenance {
    log: RekorV1,
    trusted: Rc<Trusted>,
    prov: Vec<u8>,
    verified: VerifiedProvenance,
}

impl ReadyProvenance {
    /// The URL of the log.
    pub fn server(&self) -> &str {
        self.log.url()
    }

    /// The user ids and the fingerprint that become public.
    pub fn signer(&self) -> String {
        let VerifiedProvenance { signed_by, fingerprint, .. } = &self.verified;
        format!("{} (key {fingerprint})", signed_by.join(", "))
    }
}

/// A provenance file that was uploaded, or was there.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded {
    /// Whether the log had it before.
    pub existed: bool,
    /// What is in the log.
    #[serde(flatten)]
    pub logged: LoggedProvenance,
}

/// A provenance file that is in the log.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedProvenance {
    /// The URL of the log.
    pub rekor_server: String,
    /// The entry.
    #[serde(flatten)]
    pub entry: HelmEntryReport,
    /// The PGP signature.
    pub provenance: ProvenanceReport,
}

impl RekorAccess {
    pub(super) fn log(&self, verifier: &Verifier, now: Timestamp) -> Result<RekorV1> {
        let url = match (&self.server, verifier.rekor_v1(now)) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => RekorV1::parse_url(url)?,
            (None, None) => {
                return Err(Error::usage("trusted root has no log of version 1")
                    .cause("only Rekor v1 keeps provenance files and has an index; Rekor v2 has neither")
                    .hint("--rekor-server URL"));
            }
        };
        Ok(RekorV1::new(self.client.clone(), url))
    }

    /// The log that was named, or all those of version 1 in the trusted root.
    ///
    /// # Errors
    /// Usage, where the trusted root has a URL that is not asked.
    pub(super) fn logs(&self, verifier: &Verifier, now: Timestamp) -> Result<Vec<RekorV1>> {
        let urls = match &self.server {
            Some(url) => vec![url.clone()],
            None => {
                let urls = verifier.all_rekor_v1(now).into_iter();
                urls.map(RekorV1::parse_url).collect::<Result<_>>()?
            }
        };
        Ok(urls.into_iter().map(|url| RekorV1::new(self.client.clone(), url)).collect())
    }

    /// Finds the entry about this very provenance, which the log has to vouch for.
    ///
    /// # Errors
    /// Refused: `not-logged`, where the log has none; else as the one that it has is refused. Undecided, as long as
    /// something stayed open.
    pub(super) async fn prove(
        &self,
        world: &World,
        verifier: &Verifier,
        provenance: &VerifiedProvenance,
    ) -> Result<HelmEntryReport> {
        let log = self.log(verifier, world.now())?;
        world.enter(format!("searching {}", log.url()));
        let named = log.search(&LogQuery::Digest(provenance.digest)).await?;
        let (mut open, mut refused, mut others) = (None, None, 0_usize);
        let mut reading = stream::iter(named.iter().take(MAX_ENTRIES))
            .map(|uuid| log.entry(uuid))
            .buffered(SIDE_BY_SIDE);
        while let Some(entry) = reading.next().await {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    open.get_or_insert(error);
                    continue;
                }
            };
            let of_this = match HelmEntry::read(&entry) {
                Ok(Some(helm)) => helm.check_is_of(provenance),
                // Our own bundles are found by the same digest.
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            if of_this.is_err() {
                others += 1;
                continue;
            }
            match judge(world, verifier, &entry).await {
                Ok(record) => return Ok(found_in(&log, &entry, &record)),
                Err(error) if error.class == Class::Undecided => {
                    open.get_or_insert(error);
                }
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        if open.is_none() && named.len() > MAX_ENTRIES {
            open = Some(Error::undecided(
                Reason::LimitReached,
                format!(
                    "{} names {} entries about this chart; {MAX_ENTRIES} were read, and none is of this provenance",
                    log.url(),
                    named.len()
                ),
            ));
        }
        if let Some(error) = open.or(refused) {
            return Err(error);
        }
        let missing = Error::refused(Reason::NotLogged, "provenance is not in the log")
            .line("looked in", log.url());
        Err(match others {
            0 => missing,
            count => missing.line("found", format!("{count} of other provenance or keys")),
        }
        .note("whoever signs the chart uploads it: helm sigstore rekor upload"))
    }
}

/// Judges an entry; where only our clock stands against it, waits for the clock once a run.
pub(super) async fn judge(
    world: &World,
    verifier: &Verifier,
    entry: &UnverifiedEntry,
) -> Result<LogRecord> {
    let now = world.now();
    let judged = verifier.verify_entry(entry, now);
    match (&judged, entry.ahead(now).map(Duration::from_secs)) {
        (Err(error), Some(pause))
            if error.reason == Reason::ClockBehind && world.may_wait(pause) =>
        {
            world.enter(format!("waiting {} s for our clock", pause.as_secs()));
            tokio::time::sleep(pause).await;
            verifier.verify_entry(entry, world.now())
        }
        _ => judged,
    }
}

impl RekorRun {
    /// Reads a chart's provenance and verifies it: what does not hold is not logged.
    ///
    /// # Errors
    /// Refused, as of the provenance; else as of the chart.
    pub async fn ready(
        &self,
        argument: &Argument,
        version: Option<&str>,
        keyring: Arc<Keyring>,
    ) -> Result<ReadyProvenance> {
        let reading = async {
            match argument {
                Argument::File(path) => self.read_file(Path::new(path), version).await,
                Argument::Reference(reference) => {
                    let resolved =
                        resolve(&self.world, self.places(), reference, version, None).await?;
                    let found = resolved.named_prov(None).await?;
                    let (named, prov) = found.ok_or_else(missing)?;
                    Ok((named, resolved.manifest.chart.digest, prov))
                }
            }
        };
        let (trusted, (named, digest, prov)) = self.trust.beside(&self.world, reading).await?;
        let now = self.world.now();
        let log = self.access.log(&trusted.verifier, now)?;
        let text = prov.clone();
        let judging = move || verify_provenance(&text, &keyring, &named, &digest, now);
        let verified = off_thread(judging).await?;
        Ok(ReadyProvenance { log, trusted, prov, verified })
    }

    /// The same for an upload: of a log that could not be believed afterwards, this is known before anything is public.
    ///
    /// # Errors
    /// As [`RekorRun::ready`]; refused (`untrusted-instance`), where the trusted root does not know the log.
    pub async fn ready_to_upload(
        &self,
        argument: &Argument,
        version: Option<&str>,
        keyring: Arc<Keyring>,
    ) -> Result<ReadyProvenance> {
        let ready = self.ready(argument, version, keyring).await?;
        let ReadyProvenance { log, trusted, .. } = &ready;
        if !trusted.verifier.names_log(log.url()) {
            let key = log.key().await?;
            trusted.verifier.check_log_key(&key).map_err(|error| error.line("log", log.url()))?;
        }
        Ok(ready)
    }

    /// Uploads it, and verifies what the log says it has.
    ///
    /// # Errors
    /// As [`RekorV1::upload`]; undecided (`malformed`), where the entry is not about it; refused, where the log does not
    /// prove that it has it.
    pub async fn upload(&self, ready: &ReadyProvenance) -> Result<Uploaded> {
        let ReadyProvenance { log, trusted, prov, verified } = ready;
        self.world.enter(format!("uploading to {}", log.url()));
        let (entry, existed) = log.upload(prov, &verified.armored_key()?).await?;
        let of_this = match HelmEntry::read(&entry) {
            Ok(Some(helm)) => helm.check_is_of(verified),
            Ok(None) => Err(Error::refused(Reason::Malformed, "it is of another type")),
            Err(error) => Err(error),
        };
        of_this.map_err(|why| {
            Error::undecided(
                Reason::Malformed,
                format!("the entry that it answers is not ours: {why}"),
            )
            .on(log.entry_url(entry.uuid()))
        })?;
        let record = judge(&self.world, &trusted.verifier, &entry)
            .await
            .map_err(|error| error.on(log.entry_url(entry.uuid())))?;
        let logged = LoggedProvenance {
            rekor_server: log.url().to_owned(),
            entry: found_in(log, &entry, &record),
            provenance: ProvenanceReport::from(verified),
        };
        Ok(Uploaded { existed, logged })
    }

    /// Looks for it in the log, which has to prove that it has it.
    ///
    /// # Errors
    /// Refused (`not-logged`), where the log has none; else as [`RekorRun::upload`].
    pub async fn verify(&self, ready: &ReadyProvenance) -> Result<LoggedProvenance> {
        let ReadyProvenance { log, trusted, verified, .. } = ready;
        Ok(LoggedProvenance {
            rekor_server: log.url().to_owned(),
            entry: self.access.prove(&self.world, &trusted.verifier, verified).await?,
            provenance: ProvenanceReport::from(verified),
        })
    }

    async fn read_file(
        &self,
        path: &Path,
        version: Option<&str>,
    ) -> Result<(NamedVersion, Digest, Vec<u8>)> {
        check_no_version(version)?;
        self.world.enter("reading the chart");
        let chart = path.to_owned();
        let read = move || {
            let archive = read_chart(&chart)?;
            let prov = read_prov(&chart)?.ok_or_else(missing)?;
            let named = NamedVersion {
                name: archive.name().to_owned(),
                version: archive.version().to_owned(),
            };
            Ok((named, archive.digest, prov))
        };
        off_thread(read).await
    }

    pub(super) fn places(&self) -> Places<'_> {
        Places { registry: &self.registry, access: Access::Pull, signatures: None }
    }
}

pub(super) fn check_no_version(version: Option<&str>) -> Result<()> {
    match version {
        None => Ok(()),
        Some(_) => Err(Error::usage("--version is for references; a file has one version")),
    }
}

fn missing() -> Error {
    Error::refused(Reason::NoProvenance, "provenance is missing")
        .cause("it is what is logged")
        .note("whoever packages the chart signs it: helm package --sign")
}
