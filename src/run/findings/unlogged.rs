//! A signature in files of its own that came without its log entry: the log is searched for it, as cosign does.
//! What is found is put beside the signature and judged by the one verifier, so that a log can only withhold.

use futures_util::{StreamExt, stream};
use tokio::time::timeout_at;

use super::super::rekor::{MAX_ENTRIES, RekorAccess, SIDE_BY_SIDE};
use super::super::report::{LookedIn, Place, SignatureReport};
use super::{Findings, Question};
use crate::error::{Error, Reason, Result};
use crate::sign::{LogQuery, RekorV1};
use crate::verify::{Judgement, LegacySignature, SoughtEntry, UnverifiedEntry};

/// The longest answer with one entry that is read, in bytes; one with a certificate takes 5 KiB.
const MAX_ENTRY_BYTES: usize = 256 << 10;

/// Where the log entry is looked for of a signature that came without one.
#[derive(Clone, Debug)]
pub enum LogSearch {
    /// Nowhere (`--offline`).
    Offline,
    /// In the log that is named, or those of the trusted root.
    In(RekorAccess),
}

/// What one log has.
#[derive(Default)]
struct Found {
    /// Entries of this signature.
    entries: Vec<UnverifiedEntry>,
    /// How many others are about the same bytes.
    others: usize,
    /// What stayed open.
    open: Option<Error>,
}

impl Found {
    fn status(&self) -> String {
        match (self.entries.len(), &self.open) {
            (0, Some(error)) => {
                let cause = error.lines.iter().find(|line| line.label == "cause");
                cause.map_or_else(|| error.what.clone(), |line| line.text.clone())
            }
            (0, None) => "none".to_owned(),
            (count, _) => format!("{count} found"),
        }
    }
}

impl Findings<'_> {
    /// Judges a signature in files of its own. Where a log entry is all that it lacks, one is looked for; a signature
    /// that is refused anyway, or accepted without, is nothing that a log has to be told of.
    pub(super) async fn weigh_detached(
        &mut self,
        report: SignatureReport,
        mut pieces: LegacySignature,
        question: &Question<'_>,
    ) -> SignatureReport {
        let bundle = pieces.to_bundle_over_file();
        let judged = match (&bundle, &self.log_search) {
            (Ok(bundle), Some(search)) if self.scope.accept.legacy => {
                let search = search.clone();
                Some((search, self.judge(bundle, question).await))
            }
            _ => None,
        };
        let Some((search, Ok(Judgement::Unlogged { error, sought }))) = judged else {
            return self.weigh(report, bundle, None, question).await;
        };
        let access = match search {
            LogSearch::In(access) => access,
            LogSearch::Offline => {
                let error = error.note("with --offline no log is searched");
                return self.refuse(report, in_a_bundle(error), None);
            }
        };
        match self.look_up(&access, &mut pieces, &sought, error, question).await {
            Ok(()) => self.weigh(report, pieces.to_bundle_over_file(), None, question).await,
            Err(error) => self.fail(report, error),
        }
    }

    /// Puts the entry beside the signature that verifies, or else the first that was found.
    ///
    /// # Errors
    /// Refused (`not-logged`), when every log answered and none has it; undecided, when something stayed open.
    async fn look_up(
        &mut self,
        access: &RekorAccess,
        pieces: &mut LegacySignature,
        sought: &SoughtEntry,
        unlogged: Error,
        question: &Question<'_>,
    ) -> Result<()> {
        let logs = access.logs(self.verifier, self.world.now())?;
        if logs.is_empty() {
            let why = "the trusted root has no log of version 1, and logs of version 2 have no index to search";
            return Err(in_a_bundle(unlogged.note(why)));
        }
        let (mut first, mut hollow, mut open, mut others) = (None, None, None, 0);
        for log in &logs {
            self.world.enter(format!("searching {}", log.url()));
            let found = match timeout_at(self.deadline, search(log, sought)).await {
                Ok(found) => found,
                Err(_) => {
                    let time = self.scope.limits.time.as_secs_f32();
                    let words = format!("{time} s were spent on candidates (--max-candidate-time)");
                    let limit = Error::undecided(Reason::LimitReached, words);
                    Found { open: Some(limit), ..Found::default() }
                }
            };
            let object = log.url().to_owned();
            self.looked_in.push(LookedIn { place: Place::Log, object, status: found.status() });
            others += found.others;
            open = open.or(found.open);
            for entry in found.entries {
                let beside = entry.beside_a_signature().and_then(|text| {
                    pieces.log = Some(text);
                    pieces.to_bundle_over_file()
                });
                let bundle = match beside {
                    Ok(bundle) => bundle,
                    Err(error) => {
                        hollow.get_or_insert(error);
                        continue;
                    }
                };
                match self.judge(&bundle, question).await? {
                    // Whatever is said of the signer now, it is no other entry that would change it.
                    Judgement::Accepted(_)
                    | Judgement::Refused { signer: Some(_), .. }
                    | Judgement::Undecided { .. } => return Ok(()),
                    _ => {
                        first.get_or_insert_with(|| pieces.log.clone());
                    }
                }
            }
        }
        // Where one stayed open it may be the one that holds.
        if let Some(error) = open {
            return Err(error);
        }
        match (first, hollow) {
            (Some(log), _) => {
                pieces.log = log;
                Ok(())
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(not_logged(&logs, others, unlogged)),
        }
    }
}

/// What `log` has of a signature. It is asked for the entry itself, whose name follows from the signature; so no
/// number of entries of others about the same bytes can hide it. Only a log that has none under that name is asked
/// what its index leads to.
async fn search(log: &RekorV1, sought: &SoughtEntry) -> Found {
    let mut found = Found::default();
    match log.entry_if_there(&sought.uuid(), MAX_ENTRY_BYTES).await {
        Ok(Some(entry)) => found.entries.push(entry),
        Ok(None) => {
            if let Err(error) = by_index(log, sought, &mut found).await {
                found.open.get_or_insert(error);
            }
        }
        Err(error) => found.open = Some(error),
    }
    found
}

async fn by_index(log: &RekorV1, sought: &SoughtEntry, found: &mut Found) -> Result<()> {
    let query = LogQuery::Digest(sought.digest());
    let named = log.search(&query).await.map_err(without_index)?;
    let mut reading = stream::iter(named.iter().take(MAX_ENTRIES))
        .map(|uuid| async move {
            let entry = log.entry_if_there(uuid, MAX_ENTRY_BYTES).await?;
            entry.ok_or_else(|| {
                let words = format!("{} is in the index and not there", log.entry_url(uuid));
                Error::undecided(Reason::ServiceUnreachable, words)
            })
        })
        .buffered(SIDE_BY_SIDE);
    while let Some(entry) = reading.next().await {
        match entry {
            Ok(entry) if sought.is(&entry) => found.entries.push(entry),
            Ok(_) => found.others += 1,
            Err(error) => {
                found.open.get_or_insert(error);
            }
        }
    }
    if named.len() > MAX_ENTRIES && found.entries.is_empty() {
        let words = format!(
            "{} names {} entries about this chart; {MAX_ENTRIES} were read, and none is of this signature",
            log.url(),
            named.len()
        );
        found.open.get_or_insert(Error::undecided(Reason::LimitReached, words));
    }
    Ok(())
}

/// A log that was named and cannot be searched, in words that are not about provenance files.
fn without_index(error: Error) -> Error {
    if error.reason != Reason::UnsupportedFormat {
        return error;
    }
    let lines = error.lines.into_iter().filter(|line| line.label == "cause").collect();
    Error { what: "log cannot be searched".to_owned(), lines, ..error }
        .note("only Rekor v1 has an index; a log of version 2 has none")
}

/// Every log has answered, and none has it.
fn not_logged(logs: &[RekorV1], others: usize, unlogged: Error) -> Error {
    let urls: Vec<_> = logs.iter().map(RekorV1::url).collect();
    let error = Error::refused(Reason::NotLogged, unlogged.what).line("looked in", urls.join(", "));
    let error = match others {
        0 => error,
        1 => error.line("found", "1 entry, but of another signature"),
        count => error.line("found", format!("{count} entries, but of other signatures")),
    };
    match unlogged.hint {
        Some(hint) => error.hint(hint),
        None => in_a_bundle(error),
    }
}

/// What else would verify.
fn in_a_bundle(error: Error) -> Error {
    error.hint("a bundle has its log entry in it, if whoever signed kept one: --bundle FILE")
}
