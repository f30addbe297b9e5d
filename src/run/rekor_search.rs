//! `rekor search`: what a log has about a chart, or by somebody.

use std::path::Path;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::packaged::read_chart;
use super::rekor::{MAX_ENTRIES, RekorRun, SIDE_BY_SIDE, check_no_version, judge};
use super::report::{LogReport, Status};
use super::resolve::resolve;
use crate::chart::{Argument, Digest};
use crate::error::{Class, Error, Reason, Result};
use crate::files::off_thread;
use crate::net::bounded_line;
use crate::sign::{LogQuery, RekorV1};
use crate::verify::{EntryContent, EntrySigner, Verifier};

/// Signers that are told of one entry, at most, and the longest of what each is called, in characters.
const MAX_SIGNERS: usize = 16;
const MAX_NAME: usize = 400;

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

impl RekorRun {
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
