//! A log of version 1 as whoever looks for something in it asks: its entries, and its search index (Rekor v1 OpenAPI).
//! What it answers is read within bounds and judged by nobody here.

use url::Url;

use super::service::{self, Answer, Call, Service};
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};
use crate::net;
use crate::verify::{PublicKey, UnverifiedEntry, is_entry_id};

/// The longest answer with one entry that is read, in bytes: it may hold an OpenPGP key with all that hangs on it.
pub(super) const MAX_ENTRY_BYTES: usize = 4 << 20;
/// The longest list of identifiers that is read, in bytes.
const MAX_INDEX_BYTES: usize = 4 << 20;
/// The longest key of a log that is read, in bytes.
const MAX_PEM_BYTES: usize = 64 << 10;

/// What is looked for in the index of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogQuery {
    /// Entries about what has this digest.
    Digest(Digest),
    /// Entries by a key or a certificate with this e-mail address.
    Email(String),
}

/// A log of version 1.
#[derive(Clone, Debug)]
pub struct RekorV1 {
    client: net::Client,
    pub(super) url: Url,
}

impl RekorV1 {
    /// The log at `url`.
    pub fn new(client: net::Client, url: Url) -> Self {
        Self { client, url }
    }

    /// The URL of a log: https, or http on loopback.
    ///
    /// # Errors
    /// Usage.
    pub fn parse_url(text: &str) -> Result<Url> {
        // A password in it would be shown with every message.
        let secret = Url::parse(text)
            .is_ok_and(|url| !url.username().is_empty() || url.password().is_some());
        if secret {
            return Err(Error::usage("cannot use this log")
                .cause("its URL holds credentials, and none are sent to a log"));
        }
        let mut url = service::parse_url(text)
            .map_err(|cause| Error::usage("cannot use this log").on(text).cause(cause))?;
        url.set_query(None);
        url.set_fragment(None);
        Ok(url)
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The URL of an entry.
    pub fn entry_url(&self, uuid: &str) -> String {
        format!("{}/api/v1/log/entries/{uuid}", self.url())
    }

    /// The identifiers of the entries that the index of the log leads to, each once and in order.
    ///
    /// # Errors
    /// Usage, where the log has no index; undecided, where it does not answer or its answer is no list of identifiers.
    pub async fn search(&self, query: &LogQuery) -> Result<Vec<String>> {
        let service = self.service("cannot search the log");
        let url = service::join(&self.url, "api/v1/index/retrieve");
        let query = match query {
            LogQuery::Digest(digest) => serde_json::json!({"hash": digest.to_string()}),
            LogQuery::Email(address) => serde_json::json!({"email": address}),
        };
        let body = Some((query.to_string().into_bytes(), "application/json"));
        let answer = service.send(Call { body, ..Call::new(&url, MAX_INDEX_BYTES) }).await?;
        match answer.status {
            200 => {}
            404 | 405 | 501 => return Err(self.unsupported("POST", &url, &answer)),
            _ => return Err(service.refused(&answer)),
        }
        let malformed = |why| service.malformed(&url, why);
        // Go writes null for no list.
        let found: Option<Vec<String>> = serde_json::from_slice(&answer.body)
            .map_err(|_| malformed("its answer is no list of entries"))?;
        let mut found = found.unwrap_or_default();
        if !found.iter().all(|uuid| is_entry_id(uuid)) {
            return Err(malformed("its answer names something that is no entry"));
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The entry with the identifier `uuid`, which is one.
    ///
    /// # Errors
    /// Undecided: not there, though the index names it, or not that entry.
    pub async fn entry(&self, uuid: &str) -> Result<UnverifiedEntry> {
        let answer = self.ask_for(uuid, MAX_ENTRY_BYTES).await?;
        self.read_entry(uuid, &answer)
    }

    /// The same of one that may not be there, or has no name in this log; of at most so many bytes.
    ///
    /// # Errors
    /// Undecided: the log does not answer, or its answer is not that entry.
    pub async fn entry_if_there(
        &self,
        uuid: &str,
        max_bytes: usize,
    ) -> Result<Option<UnverifiedEntry>> {
        let answer = self.ask_for(uuid, max_bytes).await?;
        match answer.status {
            // Rekor v2 has no such path.
            404 | 405 | 501 => Ok(None),
            _ => self.read_entry(uuid, &answer).map(Some),
        }
    }

    async fn ask_for(&self, uuid: &str, max_bytes: usize) -> Result<Answer> {
        let url = service::join(&self.url, &format!("api/v1/log/entries/{uuid}"));
        self.service("cannot read the log").send(Call::new(&url, max_bytes)).await
    }

    fn read_entry(&self, uuid: &str, answer: &Answer) -> Result<UnverifiedEntry> {
        let service = self.service("cannot read the log");
        if answer.status != 200 {
            return Err(service.refused(answer));
        }
        let entry = UnverifiedEntry::parse(&answer.body)
            .map_err(|why| service.malformed(answer.url(), why))?;
        match entry.is(uuid) {
            true => Ok(entry),
            false => Err(service.malformed(answer.url(), "its answer is another entry")),
        }
    }

    /// The key that it says is its own.
    ///
    /// # Errors
    /// As [`RekorV1::search`].
    pub async fn key(&self) -> Result<PublicKey> {
        let service = self.service("cannot ask the log for its key");
        let url = service::join(&self.url, "api/v1/log/publicKey");
        let accept = "application/x-pem-file";
        let answer = service.send(Call { accept, ..Call::new(&url, MAX_PEM_BYTES) }).await?;
        match answer.status {
            200 => {}
            404 | 405 | 501 => return Err(self.unsupported("GET", &url, &answer)),
            _ => return Err(service.refused(&answer)),
        }
        PublicKey::from_pem(&answer.body)
            .map_err(|_| service.malformed(&url, "its answer is no key"))
    }

    pub(super) fn service(&self, what: &'static str) -> Service<'_> {
        Service { net: &self.client, what }
    }

    pub(super) fn unsupported(&self, method: &str, url: &Url, answer: &Answer) -> Error {
        let mut error = Error::usage("log keeps no provenance files")
            .on(self.url())
            .cause(format!("{method} {}: {}", service::place(url), answer.status))
            .note("only Rekor v1 has entries of the type helm and an index to search; Rekor v2 has neither")
            .hint("--rekor-server URL");
        error.reason = Reason::UnsupportedFormat;
        error
    }
}
