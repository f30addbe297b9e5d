//! Reading from one repository: manifests, blobs, tags, referrers.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use super::auth::{self, FirstTurn, Place};
use super::listing::{self, Entry, List};
use super::pages::Pages;
use super::{Access, Shared, explanation};
use crate::chart::{Digest, INDEX, MAX_MANIFEST_BYTES};
use crate::error::{Error, Reason, Result};
use crate::net::header::{ACCEPT, HeaderValue};
use crate::net::{Origin, Redirects, Request, Response, Url};

/// Every document that a chart, an index or a signature may be; Docker's types so that we can say that it
/// is no chart.
pub(super) const ACCEPT_MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json",
);
const ACCEPT_INDEX: HeaderValue = HeaderValue::from_static(INDEX);
const ACCEPT_JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Tags asked for at once; registries may send fewer.
const TAGS_PER_PAGE: &str = "1000";
/// A tag's length, at most (OCI distribution specification).
const MAX_TAG: usize = 128;

/// A repository in a registry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Place,
    /// Whether it is asked without waiting for whoever asks the place first.
    pub(super) unbidden: bool,
}

/// A manifest or index as it was sent.
#[derive(Clone, Debug)]
pub struct RawManifest {
    /// The digest of [`RawManifest::bytes`], computed here.
    pub digest: Digest,
    /// What the registry calls it, without parameters; only a claim.
    pub media_type: Option<String>,
    /// The document.
    pub bytes: Bytes,
}

/// What the referrers API said.
#[derive(Clone, Debug)]
pub enum Referrers {
    /// The registry has no such API, or says so for this digest (`404`, `405`, `200 text/html`, …): the
    /// fallback tag is the place to look.
    Absent {
        /// The answer, for the list of places that were looked in.
        why: String,
    },
    /// All referrers that it knows, from all pages, whatever their type.
    Listed(Vec<Entry>),
}

impl Repository {
    /// `HOST/PATH` as the user typed it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.place.host, self.place.path)
    }

    /// The host as the user typed it.
    pub fn host(&self) -> &str {
        &self.place.host
    }

    /// The same repository for reading and writing.
    #[must_use]
    pub fn for_push(mut self) -> Self {
        self.place.access = Access::PullPush;
        self
    }

    /// The same repository, for a question that goes out beside the first one: at worst it is sent away for a token
    /// too. Over TLS it waits all the same, until the first connection stands and a token is there.
    #[must_use]
    pub fn beside_the_first(mut self) -> Self {
        self.unbidden = self.place.base.scheme() == "http";
        self
    }

    /// The manifest or index under a tag or a digest; nothing if there is none. At most 4 MiB.
    ///
    /// # Errors
    ///
    /// Undecided: not authorised, not reached, over its bound, or (`malformed`) other bytes than the digest
    /// asked for. Usage: neither a tag nor a digest.
    pub async fn manifest(&self, reference: &str) -> Result<Option<RawManifest>> {
        let digest = check_reference(reference)?;
        let url = self.url(&format!("manifests/{reference}"));
        let request = Request::get(url, MAX_MANIFEST_BYTES).header(ACCEPT, ACCEPT_MANIFESTS);
        let response = self.send(request).await?;
        match response.status.as_u16() {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refusal(&response)),
        }
        let found = Digest::of(&response.body);
        if let Some(expected) = digest {
            check_digest(&response, expected, found)?;
        }
        Ok(Some(RawManifest {
            digest: found,
            media_type: response.media_type(),
            bytes: response.body,
        }))
    }

    /// A blob of at most `max_bytes`; nothing if there is none.
    ///
    /// # Errors
    ///
    /// As [`Repository::manifest`].
    pub async fn blob(&self, digest: &Digest, max_bytes: usize) -> Result<Option<Bytes>> {
        let response =
            self.send(Request::get(self.url(&format!("blobs/{digest}")), max_bytes)).await?;
        match response.status.as_u16() {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refusal(&response)),
        }
        check_digest(&response, *digest, Digest::of(&response.body))?;
        Ok(Some(response.body))
    }

    /// All tags, in the registry's order; nothing if it knows no such repository.
    ///
    /// # Errors
    ///
    /// Undecided: as [`Repository::manifest`], and a list that is malformed or over its limits.
    pub async fn tags(&self) -> Result<Option<Vec<String>>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let settings = &self.shared.settings;
        let mut url = self.url("tags/list");
        url.query_pairs_mut().append_pair("n", TAGS_PER_PAGE);
        let mut pages = Pages::new(&url, settings.max_list_bytes);
        let mut tags = Vec::new();
        loop {
            let request = Request::get(url, pages.bytes_left)
                .header(ACCEPT, ACCEPT_JSON)
                .redirects(Redirects::SameOrigin);
            let response = self.send(request).await.map_err(|error| pages.explain(error))?;
            match response.status.as_u16() {
                200 => {}
                404 => return Ok(None),
                _ => return Err(self.refusal(&response)),
            }
            let page: Page = serde_json::from_slice(&response.body)
                .map_err(|_| malformed(&response, "the answer is no list of tags"))?;
            // What is no tag names nothing that could be asked for.
            tags.extend(page.tags.into_iter().flatten().filter(|tag| is_tag(tag)));
            if tags.len() > settings.max_tags {
                let what = format!("{}: more than {} tags", response.label(), settings.max_tags);
                return Err(Error::undecided(Reason::LimitReached, what));
            }
            match pages.next(&response)? {
                Some(next) => url = next,
                None => return Ok(Some(tags)),
            }
        }
    }

    /// What refers to `digest`, by the referrers API alone. Never filtered by artifact type: entries may
    /// lack it or have it wrong.
    ///
    /// # Errors
    ///
    /// Undecided: whoever could not be asked (401, 403, 429, 5xx, transport), a list that is malformed, in
    /// part unread or over its limits. That is never "no referrers".
    pub async fn referrers(&self, digest: &Digest) -> Result<Referrers> {
        let settings = &self.shared.settings;
        let mut url = self.url(&format!("referrers/{digest}"));
        let mut pages = Pages::new(&url, settings.max_list_bytes);
        let mut entries = Vec::new();
        let mut first = true;
        loop {
            let request = Request::get(url, pages.bytes_left)
                .header(ACCEPT, ACCEPT_INDEX)
                .redirects(Redirects::SameOrigin);
            let response = self.send(request).await.map_err(|error| pages.explain(error))?;
            if let Some(why) = Self::no_such_api(&response) {
                if first {
                    return Ok(Referrers::Absent { why });
                }
                return Err(malformed(&response, &format!("a page is missing: {why}")));
            }
            if response.status != 200 {
                return Err(self.refusal(&response));
            }
            let room = settings.max_referrers.saturating_sub(entries.len());
            match listing::read(&response.body, room).map_err(|what| malformed(&response, &what))? {
                List::Entries(more) => entries.extend(more),
                List::TooMany => {
                    let limit = settings.max_referrers;
                    let what = format!("{}: more than {limit} referrers", response.label());
                    return Err(Error::undecided(Reason::LimitReached, what));
                }
                List::NoIndex => {
                    let why = "200 with something else than an index".to_owned();
                    return Ok(Referrers::Absent { why });
                }
            }
            first = false;
            match pages.next(&response)? {
                Some(next) => url = next,
                None => return Ok(Referrers::Listed(entries)),
            }
        }
    }

    /// Whether an answer means that the registry has no referrers API (or none for this digest). 401 and 403
    /// mean nothing: Harbor before 2.8 says the first to everybody, Artifactory the second for what is not there,
    /// and others mean what they say.
    fn no_such_api(response: &Response) -> Option<String> {
        let status = response.status.as_u16();
        match status {
            200 => {
                let media_type = response.media_type();
                match media_type.as_deref() {
                    Some(INDEX) => None,
                    Some(other) => Some(format!("200 {}", crate::net::bounded_line(other, 80))),
                    None => Some("200 without a content type".into()),
                }
            }
            300..=399 => Some(format!("{status} to another site")),
            400 | 404 | 405 | 406 | 501 => Some(status.to_string()),
            _ => None,
        }
    }

    /// `BASE/v2/PATH/REST`.
    pub(super) fn url(&self, rest: &str) -> Url {
        let mut url = self.place.base.clone();
        url.set_path(&format!("/v2/{}/{rest}", self.place.path));
        url
    }

    /// Sends a request of this repository, with what was granted, and answers one challenge.
    pub(super) async fn send(&self, request: Request) -> Result<Response> {
        let request = request.plain_http(self.shared.settings.plain());
        if self.unbidden {
            return self.send_now(request, None).await;
        }
        let first_turn = self.shared.auth.first_turn(&self.place).await;
        self.send_now(request, first_turn).await
    }

    async fn send_now(&self, request: Request, turn: Option<FirstTurn>) -> Result<Response> {
        let auth = &self.shared.auth;
        let used = auth.current(&self.place);
        let first = match &used {
            Some(granted) => request.clone().authorization(granted.clone()),
            None => request.clone(),
        };
        let response = self.shared.client.send(first).await?;
        let answered = || turn.into_iter().for_each(|mut turn| *turn = true);
        // A challenge counts only if the host that the user named made it, not one that it led us to.
        if !(response.status == 401 || response.status == 403 && wants_more(&response))
            || response.redirected
            || !Origin::same(&response.url, &self.place.base)
        {
            answered();
            return Ok(response);
        }
        let mut challenges = auth::challenges(&response);
        if challenges.is_empty() && used.is_none() {
            challenges = self.challenges_of_root().await?;
        }
        let granted = auth.answer(&self.place, &challenges, used.as_ref()).await?;
        // What was granted is for the others too: they need not wait for what it is used for first.
        answered();
        match granted {
            // A 401 to this one is final.
            Some(granted) => self.shared.client.send(request.authorization(granted)).await,
            None => Ok(response),
        }
    }

    /// What `/v2/` demands, for a registry whose other answers do not say.
    async fn challenges_of_root(&self) -> Result<Vec<super::challenge::Challenge>> {
        let mut url = self.place.base.clone();
        url.set_path("/v2/");
        let request = Request::get(url, MAX_MANIFEST_BYTES)
            .redirects(Redirects::Never)
            .plain_http(self.shared.settings.plain());
        let response = self.shared.client.send(request).await?;
        let asked = response.status == 401;
        Ok(if asked { auth::challenges(&response) } else { Vec::new() })
    }

    /// An answer that is none, as an error: status, the registry's own words, and whose credentials they
    /// were.
    pub(super) fn refusal(&self, response: &Response) -> Error {
        let error = response.failure(&explanation(response));
        match response.status.as_u16() {
            401 | 403 if wants_more(response) => {
                let error = error.note("the token does not allow this (insufficient_scope)");
                self.shared.auth.explain(&self.place, error)
            }
            401 => {
                let error = error.note("wrong path or no access");
                self.shared.auth.explain(&self.place, error)
            }
            403 => self.shared.auth.explain(&self.place, error),
            429 => self.shared.auth.suggest_login(&self.place, error),
            _ => error,
        }
    }
}

/// Whether the token is good and allows too little (RFC 6750 section 3.1); some registries say so with 403.
fn wants_more(response: &Response) -> bool {
    let short = |challenge: &super::challenge::Challenge| {
        challenge.parameter("error") == Some("insufficient_scope")
    };
    auth::challenges(response).iter().any(short)
}

/// A digest, or a tag (then nothing).
pub(super) fn check_reference(reference: &str) -> Result<Option<Digest>> {
    if reference.contains(':') {
        return Digest::parse(reference).map(Some);
    }
    if is_tag(reference) {
        return Ok(None);
    }
    Err(Error::usage("invalid tag").on(crate::net::bounded_line(reference, MAX_TAG)))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn check_digest(response: &Response, expected: Digest, found: Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(malformed(response, "the digest differs")
        .expected_found(expected.to_string(), found.to_string()))
}

pub(super) fn malformed(response: &Response, what: &str) -> Error {
    Error::undecided(Reason::Malformed, format!("{}: {what}", response.label()))
}
