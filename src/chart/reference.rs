//! The reference grammar: what Helm accepts, plus what users paste (INTERFACE: commands; the table in
//! docs/references.md).
//!
//! `oci://HOST[:PORT]/PATH[:TAG][@DIGEST]`, or the same without `oci://` where the host cannot be
//! mistaken for a directory. Repository and tag follow the OCI distribution specification; `+` in a tag
//! is written `_` on the wire, as `helm push` does, and only in the tag.

mod host;
mod path;
mod prefix;

use std::fmt;

pub(super) use self::host::has_scheme;
use self::host::split_host;
use self::path::{check_repository, parse_tag, percent_decoded};
pub use self::prefix::RepositoryPrefix;
use super::digest::Digest;
use crate::error::{Error, Result};

const SCHEME: &str = "oci://";

/// A chart in a registry, parsed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartReference {
    /// The text as the user typed it; every message names the chart by it.
    pub typed: String,
    /// `HOST[:PORT]` in lower case, as the user named it; see [`ChartReference::request_host`].
    pub host: String,
    /// The path below the host, for example `acme/charts/web`.
    pub repository: String,
    /// The tag as it stands on the wire (`1.3.0_build.5`).
    pub tag: Option<String>,
    /// The digest of the manifest.
    pub digest: Option<Digest>,
}

impl ChartReference {
    /// Parses a reference, with or without `oci://`. As in Helm, a tag or digest of no characters is none, and
    /// what follows the host may be percent-encoded; whoever writes asks [`ChartReference::overlooked`] too.
    ///
    /// # Errors
    /// A usage error that says which part is wrong, with a hint where only one thing can be meant.
    pub fn parse(text: &str) -> Result<Self> {
        let (host, rest) = split_host(text)?;
        let Some(rest) = rest else {
            return Err(invalid("there is no repository after the host"));
        };
        let rest = percent_decoded(rest)?;
        let (path, digest) = match rest.split_once('@') {
            None | Some((_, "")) => (rest.trim_end_matches('@'), None),
            Some((path, digest)) => {
                let parsed = Digest::parse(digest).map_err(|e| invalid(reason_of(&e)))?;
                (path, Some(parsed))
            }
        };
        let (repository, tag) = match path.split_once(':') {
            None => (path, None),
            Some((repository, "")) => (repository, None),
            Some((repository, tag)) => (repository, Some(parse_tag(tag)?)),
        };
        check_repository(repository).map_err(|error| {
            // Upper case is the one mistake whose correction is certain.
            let lower = text.replacen(repository, &repository.to_ascii_lowercase(), 1);
            match lower != text && Self::parse(&lower).is_ok() {
                true => error.hint(lower),
                false => error,
            }
        })?;
        Ok(Self { typed: text.to_owned(), host, repository: repository.to_owned(), tag, digest })
    }

    /// What Helm reads past in the text. Only what is read may be named like this: an empty part is most often a
    /// variable that is not set, and the newest chart is not the one to sign in its place.
    pub fn overlooked(&self) -> Option<&'static str> {
        let text = self.typed.as_str();
        match text {
            _ if text.contains('%') => Some("the reference is percent-encoded"),
            _ if text.ends_with('@') => Some("the digest is empty"),
            _ if text.ends_with(':') || text.contains(":@") => Some("the tag is empty"),
            _ => None,
        }
    }

    /// The chart's name by Helm's rule: the last segment of the repository.
    pub fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// The host that requests go to: Docker Hub's registry answers under another name than the one
    /// that everybody writes. Credentials are looked up under [`ChartReference::host`].
    pub fn request_host(&self) -> &str {
        request_host(&self.host)
    }

    /// `oci://HOST/PATH`, without tag and digest.
    pub fn repository_ref(&self) -> String {
        format!("{SCHEME}{}/{}", self.host, self.repository)
    }

    /// The pinned reference, which every tool accepts: `oci://HOST/PATH@sha256:HEX`.
    pub fn with_digest(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.repository_ref())
    }

    /// The same chart under a tag, for example the one that a version constraint led to; `+` becomes `_`.
    ///
    /// # Errors
    /// A usage error if this is no tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        Ok(Self { tag: Some(parse_tag(tag)?), ..self.clone() })
    }

    /// What names the manifest in a request: the digest if there is one, else the tag.
    pub fn wire_reference(&self) -> Option<String> {
        self.digest.map(|digest| digest.to_string()).or_else(|| self.tag.clone())
    }

    /// The version that the tag stands for: `_` read as `+`.
    pub fn tag_version(&self) -> Option<String> {
        self.tag.as_deref().map(|tag| tag.replace('_', "+"))
    }
}

impl fmt::Display for ChartReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

fn invalid(cause: impl Into<String>) -> Error {
    Error::usage("invalid reference").cause(cause)
}

/// The cause of an error about a part, to be told about the whole.
fn reason_of(error: &Error) -> String {
    error.lines.first().map_or_else(|| error.what.clone(), |line| line.text.clone())
}

fn request_host(host: &str) -> &str {
    match host {
        "docker.io" => "registry-1.docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests;
