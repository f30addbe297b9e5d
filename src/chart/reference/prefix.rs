//! Where charts are stored below: the target of `helm push`.

use std::fmt;

use super::host::split_host;
use super::path::{check_repository, parse_tag};
use super::{ChartReference, SCHEME, invalid, request_host};
use crate::error::Result;

/// The target that `helm push` was given: a host and the path that charts are stored below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPrefix {
    /// The text as the user typed it.
    pub typed: String,
    /// `HOST[:PORT]` in lower case.
    pub host: String,
    /// The path, empty for the root of the registry.
    pub path: String,
}

impl RepositoryPrefix {
    /// Parses `oci://HOST[:PORT][/PATH]`, the value of `--repository`.
    ///
    /// # Errors
    /// A usage error, also for a tag or digest: name and version come from the chart.
    pub fn parse(text: &str) -> Result<Self> {
        let (host, path) = split_host(text)?;
        let path = path.unwrap_or_default();
        // `helm push` cleans the path, so the slash that completion leaves behind is no mistake.
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.contains('%') {
            return Err(invalid("the repository given to helm push is not percent-encoded"));
        }
        if path.contains([':', '@']) {
            return Err(invalid("the repository given to helm push has no tag and no digest"));
        }
        if !path.is_empty() {
            check_repository(path)?;
        }
        Ok(Self { typed: text.to_owned(), host, path: path.to_owned() })
    }

    /// Where `helm push` stores `name` at `version`: `PREFIX/NAME:VERSION`, `+` written as `_`.
    ///
    /// # Errors
    /// A usage error if name or version cannot stand in a reference (a registry has no upper case).
    pub fn chart(&self, name: &str, version: &str) -> Result<ChartReference> {
        let slash = if self.path.is_empty() { "" } else { "/" };
        let repository = format!("{}{slash}{name}", self.path);
        if name.contains('/') {
            return Err(invalid("a chart's name holds no slash"));
        }
        check_repository(&repository)?;
        let tag = parse_tag(version)?;
        let typed = format!("{SCHEME}{}/{repository}:{tag}", self.host);
        Ok(ChartReference {
            typed,
            host: self.host.clone(),
            repository,
            tag: Some(tag),
            digest: None,
        })
    }

    /// The host that requests go to; see [`ChartReference::request_host`].
    pub fn request_host(&self) -> &str {
        request_host(&self.host)
    }
}

impl fmt::Display for RepositoryPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}
