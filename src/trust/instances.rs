//! Sigstore instances by name: the public ones, and those that `trust init` has set up.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::write_atomically;
use super::source::read;
use super::tuf;
use crate::error::{Error, Result};
use crate::net::{PlainHttp, Url};

/// The name of the instance that counts where none is named.
pub const PRODUCTION: &str = "production";
/// The name of the instance for staging.
const STAGING: &str = "staging";
/// The name of GitHub's own instance, which signs attestations of private repositories.
const GITHUB: &str = "github";

const SCHEMA: &str = "helm-sigstore.instance/v1";

/// A Sigstore instance: where its TUF repository is, and the root that starts the chain.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The base URL of its TUF repository, with a slash at its end.
    pub mirror: Url,
    pub(super) root: Vec<u8>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    mirror: String,
    /// The root as it was given, byte for byte.
    root: String,
}

impl Instance {
    /// The TUF root that it starts from, byte for byte.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// The public instances have their roots in this binary; others are below `home`.
    ///
    /// # Errors
    /// Usage, when there is no instance of this name.
    pub fn named(name: &str, home: Option<&Path>) -> Result<Self> {
        let built_in = |mirror: &str, root: &[u8]| {
            Ok(Self { name: name.to_owned(), mirror: mirror_url(mirror)?, root: root.to_vec() })
        };
        match name {
            PRODUCTION => built_in(
                "https://tuf-repo-cdn.sigstore.dev",
                include_bytes!("roots/production.json"),
            ),
            STAGING => {
                built_in("https://tuf-repo-cdn.sigstage.dev", include_bytes!("roots/staging.json"))
            }
            GITHUB => built_in("https://tuf-repo.github.com", include_bytes!("roots/github.json")),
            _ => Self::read(name, home),
        }
    }

    /// Insists that somebody else than its owner can sign with the instance.
    ///
    /// # Errors
    /// Usage, for GitHub's: it publishes a trusted root, and no services to sign with.
    pub fn check_signs(&self) -> Result<()> {
        match self.name.as_str() {
            GITHUB => Err(Error::usage("instance names no services to sign with")
                .on(format!("instance {GITHUB}"))
                .cause("GitHub signs with it for its own; here it is for verifying")),
            _ => Ok(()),
        }
    }

    fn read(name: &str, home: Option<&Path>) -> Result<Self> {
        check_name(name)?;
        let unknown = || {
            Error::usage("no such instance")
                .on(name)
                .hint(format!("helm sigstore trust init {name} --mirror URL --root FILE"))
        };
        let path = home.map(|home| file(home, name)).ok_or_else(unknown)?;
        if !path.exists() {
            return Err(unknown());
        }
        let wrong = |cause: String| {
            Error::usage("instance cannot be used").on(path.display().to_string()).cause(cause)
        };
        let document: Document =
            serde_json::from_slice(&read(&path)?).map_err(|error| wrong(error.to_string()))?;
        if document.schema != SCHEMA {
            return Err(wrong("it is of another version".to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            mirror: mirror_url(&document.mirror)?,
            root: document.root.into_bytes(),
        })
    }

    /// A new private instance, not yet kept anywhere.
    ///
    /// # Errors
    /// Usage: a name that is taken or none, a mirror that is no URL, a root that does not vouch for itself.
    pub fn private(name: &str, mirror: &str, root: &Path) -> Result<Self> {
        check_name(name)?;
        let bytes = read(root)?;
        tuf::check_root(&bytes).map_err(|cause| {
            Error::usage("not a TUF root").on(root.display().to_string()).cause(cause)
        })?;
        Ok(Self { name: name.to_owned(), mirror: mirror_url(mirror)?, root: bytes })
    }

    /// Keeps a private instance below `home`; what was there under its name is replaced.
    ///
    /// # Errors
    /// Usage, when it cannot be written.
    pub fn keep(&self, home: &Path) -> Result<PathBuf> {
        let path = file(home, &self.name);
        let cannot = |cause: String| {
            Error::usage("cannot write instance").on(path.display().to_string()).cause(cause)
        };
        let root = String::from_utf8(self.root.clone()).map_err(|e| cannot(e.to_string()))?;
        let document =
            Document { schema: SCHEMA.to_owned(), mirror: self.mirror.to_string(), root };
        let json = serde_json::to_vec_pretty(&document).map_err(|e| cannot(e.to_string()))?;
        write_atomically(&path, &json).map_err(|error| cannot(error.to_string()))?;
        Ok(path)
    }
}

/// Where a private instance is kept.
pub fn file(home: &Path, name: &str) -> PathBuf {
    home.join("instances").join(format!("{name}.json"))
}

/// A name becomes a file name, and has to be told from the names that are taken.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let taken = [PRODUCTION, STAGING, GITHUB, "embedded"].contains(&name);
    if taken {
        return Err(Error::usage("name of an instance is taken").on(name));
    }
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !starts || name.len() > 64 || !name.chars().all(plain) {
        return Err(Error::usage("not a name of an instance").on(name).cause(
            "lower-case letters, digits, `-`, `_` and `.`, 64 at most, a letter or a digit first",
        ));
    }
    Ok(())
}

fn mirror_url(text: &str) -> Result<Url> {
    let wrong = |cause: &str| Error::usage("not the URL of a mirror").on(text).cause(cause);
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !PlainHttp::Loopback.permits(&url) || url.host_str().is_none() {
        return Err(wrong("https is required, or http on this machine"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(Error::usage("not the URL of a mirror")
            .cause("user name, password and query have no place in it"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_roots_vouch_for_themselves() {
        for name in [PRODUCTION, STAGING, GITHUB] {
            let instance = Instance::named(name, None).unwrap();
            assert_eq!(tuf::check_root(&instance.root), Ok(()), "{name}");
            assert!(instance.mirror.as_str().starts_with("https://tuf-repo"), "{name}");
        }
    }

    #[test]
    fn names_never_become_other_paths() {
        for name in ["../x", "a/b", "", ".x", "A", "x\0", &"x".repeat(65), "C:x"] {
            assert!(Instance::named(name, Some(Path::new("/nowhere"))).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_mirror_is_https_or_on_this_machine() {
        assert_eq!(mirror_url("https://a.example/b").unwrap().as_str(), "https://a.example/b/");
        assert!(mirror_url("http://127.0.0.1:1").is_ok());
        for text in ["http://a.example", "file:///x", "https://u:p@a.example/", "x"] {
            let error = mirror_url(text).unwrap_err();
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }
}
