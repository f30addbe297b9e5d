//! OCI registries: manifests, blobs, tags and referrers (OCI distribution specification 1.1).
//!
//! Every answer is bounded and every digest checked against the bytes; what a registry merely says about
//! its bytes (`Docker-Content-Digest`, sizes, HEAD) is not used, but for the caution before something is deleted. "It is not there" and "it could not be
//! asked" are different results: only 404 means the first.

mod advice;
mod auth;
mod challenge;
mod client;
mod credential_files;
mod credential_helper;
mod credentials;
mod delete;
mod index_repair;
mod listing;
mod manifest;
mod pages;
mod push;
mod shared_tag;
mod signature_image;
mod upload;

use std::sync::Arc;

use serde::Deserialize;

pub use self::auth::Access;
use self::auth::{Authenticator, Place};
pub use self::challenge::{Challenge, challenges};
pub use self::client::{RawManifest, Referrers, Repository};
pub use self::credentials::{Credential, Credentials, Found, Secret, Sources};
pub use self::index_repair::{Correction, IndexFault, RepairedIndex};
pub use self::listing::Entry;
pub use self::manifest::{
    BUNDLE_V03, Descriptor, EMPTY_BLOB, EMPTY_CONFIG, Index, IndexEntry, MAX_INDEX_BYTES, Referrer,
    ReferrerManifest,
};
pub use self::pages::next_link;
pub use self::push::Pushed;
pub use self::shared_tag::SharedWrite;
pub use self::signature_image::{ImageParts, SignatureImage};
use crate::error::{Error, Result};
use crate::net::{Client, PlainHttp, Response, Url, one_line};

/// How registries are spoken to, and how much of their lists is read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Speak plain http, as `--plain-http` asks.
    pub plain_http: bool,
    /// Referrers of one digest, at most.
    pub max_referrers: usize,
    /// Bytes of all pages of a list together, at most.
    pub max_list_bytes: usize,
    /// Tags of one repository, at most.
    pub max_tags: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            plain_http: false,
            max_referrers: 1_000,
            max_list_bytes: MAX_INDEX_BYTES,
            max_tags: 100_000,
        }
    }
}

/// All registries of a run, with one set of credentials and one memory of tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    settings: Settings,
    auth: Authenticator,
}

impl Registry {
    /// Registries reached through `client`.
    pub fn new(client: Client, credentials: Credentials, settings: Settings) -> Self {
        let auth = Authenticator::new(client.clone(), credentials);
        Self(Arc::new(Shared { client, settings, auth }))
    }

    /// The repository `path` at `host` (`HOST[:PORT]`, as the user typed it), for `access`.
    ///
    /// # Errors
    ///
    /// Usage, if they do not make a URL that means the same.
    pub fn repository(&self, host: &str, path: &str, access: Access) -> Result<Repository> {
        let invalid = || Error::usage("invalid repository").on(format!("{host}/{path}"));
        // Docker Hub's registry has another name than the one that everybody uses.
        let name = match host {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            name => name,
        };
        let scheme = if self.0.settings.plain_http { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{name}/")).map_err(|_| invalid())?;
        let plain = base.username().is_empty() && base.password().is_none() && base.path() == "/";
        let plain = plain && base.query().is_none() && base.fragment().is_none();
        let segment = |text: &str| {
            !text.is_empty()
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !plain || base.host().is_none() || !path.split('/').all(segment) || path.len() > 1024 {
            return Err(invalid());
        }
        let place = Place { base, host: host.to_owned(), path: path.to_owned(), access };
        Ok(Repository { shared: self.0.clone(), place, unbidden: false })
    }
}

impl Settings {
    fn plain(&self) -> PlainHttp {
        if self.plain_http { PlainHttp::Allowed } else { PlainHttp::Never }
    }
}

/// What a registry's error body says: the first `CODE: message`, on one bounded line.
fn explanation(response: &Response) -> String {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        code: Option<String>,
        message: Option<String>,
    }
    let Ok(Body { errors }) = serde_json::from_slice(&response.body) else {
        return String::new();
    };
    let Some(Item { code, message }) = errors.into_iter().next() else { return String::new() };
    let parts = [code, message].into_iter().flatten().filter(|part| !part.is_empty());
    one_line(&parts.collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests;
