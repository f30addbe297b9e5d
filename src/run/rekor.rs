//! Provenance files in Rekor: `rekor upload`, `rekor search`, `rekor verify`, and what `verify --rekor-helm` asks for.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::provenance::ProvenanceReport;
use super::push::read_prov;
use super::report::{LogReport, Status};
use super::resolve::{Places, resolve};
use super::trust::{Trust, Trusted};
use super::verify::read_chart;
use super::{World, off_thread};
use crate::chart::{Argument, Digest};
use crate::error::{Class, Error, Reason, Result};
use crate::net::{self, bounded_line};
use crate::registry::{Access, Registry};
use crate::sign::{LogQuery, RekorV1};
use crate::verify::{
    EntryContent, EntrySigner, HelmEntry, Keyring, LogRecord, UnverifiedEntry, VerifiedProvenance,
    Verifier, verify_provenance,
};

/// Entries that are read at most: anybody can log anything about any digest.
const MAX_ENTRIES: usize = 100;
/// Signers that are told of one entry, at most, and the longest of what each is called, in characters.
const MAX_SIGNERS: usize = 16;
const MAX_NAME: usize = 400;
/// Entries that are read side by side.
const SIDE_BY_SIDE: usize = 8;

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

/// What is looked for.
#[derive(Clone, Debug)]
pub enum Sought {
    /// What is logged about a chart, with `--version`.
    Chart(Argument, Option<String>),
    /// What is logged about a digest.
    Digest(Digest),
    /// What is logged by somebody.
    Email(String),
}

/// Where a provenance file is logged, as the log proves it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelmEntryReport {
    /// The identifier of the entry.
    pub uuid: String,
    /// Where it can be read.
    pub url: String,
    /// The log, the index and the time.
    pub log: LogReport,
}

impl HelmEntryReport {
    fn new(log: &RekorV1, entry: &UnverifiedEntry, record: &LogRecord) -> Self {
        Self {
            uuid: entry.uuid().to_owned(),
            url: log.entry_url(entry.uuid()),
            log: LogReport::from(record),
        }
    }

    /// As labels and values.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        vec![("Provenance logged in", self.log.words()), ("Rekor UUID", self.uuid.clone())]
    }
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

/// What a log has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The URL of the log.
    pub rekor_server: String,
    /// The digest that was looked for.
    pub chart_digest: Option<String>,
    /// The e-mail address that was looked for.
    pub email: Option<String>,
    /// The reference that the digest is of, with its tag.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Entries, those that were read.
    pub entries: Vec<FoundEntry>,
    /// How many more the index names.
    pub more: usize,
}

/// One entry that the index of a log names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundEntry {
    /// Its identifier.
    pub uuid: String,
    /// Where it can be read.
    pub url: String,
    /// Whether the log vouches for it and it is about what was looked for.
    pub status: Status,
    /// A word from the closed list, where it is not accepted.
    pub reason: Option<&'static str>,
    /// Why, on one line.
    pub message: Option<String>,
    /// The type of the entry.
    pub kind: Option<String>,
    /// The version of that.
    pub version: Option<String>,
    /// `entry`, where the entry itself says that it is about what was looked for; `index`, where it holds nothing of it
    /// and only the index of the log does.
    pub named_by: Option<&'static str>,
    /// The log, the index and the time, where they are proved.
    pub log: Option<LogReport>,
    /// Who signed, as the entry says.
    pub signers: Vec<EntrySigner>,
}

impl Found {
    /// The exit code: the worst of the entries.
    pub fn exit_code(&self) -> u8 {
        let any = |status| self.entries.iter().any(|one| one.status == status);
        match (any(Status::Refused), any(Status::Undecided)) {
            (true, _) => Class::Refused.exit_code(),
            (false, true) => Class::Undecided.exit_code(),
            (false, false) => 0,
        }
    }
}

impl RekorAccess {
    fn log(&self, verifier: &Verifier, now: Timestamp) -> Result<RekorV1> {
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
                Ok(record) => return Ok(HelmEntryReport::new(&log, &entry, &record)),
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
async fn judge(world: &World, verifier: &Verifier, entry: &UnverifiedEntry) -> Result<LogRecord> {
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
        keyring: Keyring,
    ) -> Result<ReadyProvenance> {
        let reading = async {
            match argument {
                Argument::File(path) => self.read_file(Path::new(path), version).await,
                Argument::Reference(reference) => {
                    let resolved =
                        resolve(&self.world, self.places(), reference, version, None).await?;
                    let found = resolved.named_prov(None).await?;
                    let (file_name, prov) = found.ok_or_else(missing)?;
                    Ok((file_name, resolved.manifest.chart.digest, prov))
                }
            }
        };
        let (trusted, (file_name, digest, prov)) = self.trust.beside(&self.world, reading).await?;
        let now = self.world.now();
        let log = self.access.log(&trusted.verifier, now)?;
        let text = prov.clone();
        let judging = move || verify_provenance(&text, &keyring, &file_name, &digest, now);
        let verified = off_thread(judging).await?;
        Ok(ReadyProvenance { log, trusted, prov, verified })
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
            entry: HelmEntryReport::new(log, &entry, &record),
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

    /// What the log has about a chart or by somebody, each entry verified as far as it can be.
    ///
    /// # Errors
    /// Not found, where it has nothing; else as of the chart, or undecided.
    pub async fn search(&self, sought: &Sought) -> Result<Found> {
        let reading = async {
            match sought {
                Sought::Chart(Argument::File(path), version) => {
                    check_no_version(version.as_deref())?;
                    let path = path.clone();
                    let archive = off_thread(move || read_chart(Path::new(&path))).await?;
                    Ok((LogQuery::Digest(archive.digest), None))
                }
                Sought::Chart(Argument::Reference(reference), version) => {
                    let version = version.as_deref();
                    let resolved =
                        resolve(&self.world, self.places(), reference, version, None).await?;
                    let digest = resolved.manifest.chart.digest;
                    Ok((LogQuery::Digest(digest), Some(resolved.words())))
                }
                Sought::Digest(digest) => Ok((LogQuery::Digest(*digest), None)),
                Sought::Email(address) => Ok((LogQuery::Email(address.clone()), None)),
            }
        };
        let (trusted, (query, reference)) = self.trust.beside(&self.world, reading).await?;
        let log = self.access.log(&trusted.verifier, self.world.now())?;
        self.world.enter(format!("searching {}", log.url()));
        let named = log.search(&query).await?;
        if named.is_empty() {
            let what = match &query {
                LogQuery::Digest(digest) => digest.to_string(),
                LogQuery::Email(address) => address.clone(),
            };
            return Err(Error::not_found("no entry in the log")
                .line("looked for", what)
                .line("looked in", log.url()));
        }
        let mut entries: Vec<FoundEntry> = stream::iter(named.iter().take(MAX_ENTRIES))
            .map(|uuid| self.look_at(&log, &trusted.verifier, uuid, &query))
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await;
        entries.sort_by_key(|one| one.log.as_ref().and_then(|log| log.index).unwrap_or(u64::MAX));
        let (chart_digest, email) = match query {
            LogQuery::Digest(digest) => (Some(digest.to_string()), None),
            LogQuery::Email(address) => (None, Some(address)),
        };
        Ok(Found {
            rekor_server: log.url().to_owned(),
            chart_digest,
            email,
            reference,
            entries,
            more: named.len().saturating_sub(MAX_ENTRIES),
        })
    }

    async fn look_at(
        &self,
        log: &RekorV1,
        verifier: &Verifier,
        uuid: &str,
        query: &LogQuery,
    ) -> FoundEntry {
        let mut found = FoundEntry {
            uuid: uuid.to_owned(),
            url: log.entry_url(uuid),
            status: Status::Accepted,
            reason: None,
            message: None,
            kind: None,
            version: None,
            named_by: None,
            log: None,
            signers: Vec::new(),
        };
        let judged = async {
            let entry = log.entry(uuid).await?;
            let content = EntryContent::read(&entry)?;
            found.kind = Some(content.kind.clone());
            found.version = Some(content.version.clone());
            found.signers = content.signers.iter().take(MAX_SIGNERS).map(bounded).collect();
            let record = judge(&self.world, verifier, &entry).await?;
            found.log = Some(LogReport::from(&record));
            let says = match query {
                LogQuery::Digest(digest) => content.artifact.map(|artifact| artifact == *digest),
                LogQuery::Email(address) => content.is_by(address),
            };
            match says {
                Some(true) => found.named_by = Some("entry"),
                None => found.named_by = Some("index"),
                Some(false) => {
                    let (reason, what) = match query {
                        LogQuery::Digest(_) => {
                            (Reason::WrongChart, "log entry is of another chart")
                        }
                        LogQuery::Email(_) => {
                            (Reason::WrongSigner, "log entry is by somebody else")
                        }
                    };
                    return Err(Error::refused(reason, what)
                        .cause("the index of the log names it all the same"));
                }
            }
            Ok(())
        };
        if let Err(error) = judged.await {
            found.status = match error.class {
                Class::Undecided => Status::Undecided,
                _ => Status::Refused,
            };
            found.reason = Some(error.reason.as_str());
            found.message = Some(error.to_string());
        }
        found
    }

    async fn read_file(
        &self,
        path: &Path,
        version: Option<&str>,
    ) -> Result<(String, Digest, Vec<u8>)> {
        check_no_version(version)?;
        self.world.enter("reading the chart");
        let chart = path.to_owned();
        let read = move || {
            let archive = read_chart(&chart)?;
            let prov = read_prov(&chart)?.ok_or_else(missing)?;
            Ok((archive.metadata.file_name(), archive.digest, prov))
        };
        off_thread(read).await
    }

    fn places(&self) -> Places<'_> {
        Places { registry: &self.registry, access: Access::Pull, signatures: None }
    }
}

/// A signer whose names somebody else chose, within bounds.
fn bounded(signer: &EntrySigner) -> EntrySigner {
    let short = |text: &Option<String>| text.as_deref().map(|text| bounded_line(text, MAX_NAME));
    EntrySigner {
        identity: short(&signer.identity),
        issuer: short(&signer.issuer),
        key: short(&signer.key),
    }
}

fn check_no_version(version: Option<&str>) -> Result<()> {
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
