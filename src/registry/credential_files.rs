//! The files that hold credentials, or name who does: Helm's registry config and Docker's `config.json`,
//! which have one shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::credential_helper::Helpers;
use super::credentials::{Credential, Found, Secret};
use crate::error::{Error, Result};

/// Bytes of a credentials file, at most.
const MAX_FILE: u64 = 1024 * 1024;
/// The name under which Docker files the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The names under which a repository's credentials may be filed.
pub(super) struct Keys {
    /// `HOST[:PORT]`.
    host: String,
    /// The repository below it.
    path: String,
    /// What a helper is asked for.
    helper: String,
}

/// How well a key fits, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The same host, and another path in it: Helm takes these too.
    Host,
    /// The host by another of its names, as in `https://HOST/v1/`.
    Alias,
    /// The very host.
    Exact,
    /// The repository itself or a path above it (podman's `HOST/PATH`), of so many segments.
    Namespace(usize),
}

impl Keys {
    pub(super) fn of(host: &str, path: &str) -> Self {
        let (host, path) = (host.to_ascii_lowercase(), path.to_owned());
        if matches!(host.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io") {
            return Self { host: "index.docker.io".into(), path, helper: DOCKER_HUB_KEY.into() };
        }
        Self { helper: host.clone(), host, path }
    }

    fn fit(&self, key: &str) -> Option<Fit> {
        let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
        let (host, path) = bare.unwrap_or(key).split_once('/').unwrap_or((bare.unwrap_or(key), ""));
        let same_host = host.eq_ignore_ascii_case(&self.host)
            || (self.helper == DOCKER_HUB_KEY && host.eq_ignore_ascii_case("docker.io"));
        if !same_host {
            return None;
        }
        if key.eq_ignore_ascii_case(&self.helper) {
            return Some(Fit::Exact);
        }
        let path = path.trim_end_matches('/');
        // A URL is an API's and not a repository's.
        if bare.is_some() || matches!(path, "" | "v1" | "v2") {
            return Some(Fit::Alias);
        }
        let below = self.path.strip_prefix(path);
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Some(Fit::Namespace(path.split('/').count()));
        }
        Some(Fit::Host)
    }

    /// The entries that fit, the best first.
    fn sorted<'m, V>(&self, map: Option<&'m BTreeMap<String, V>>) -> Vec<(Fit, &'m str, &'m V)> {
        let entries = map.into_iter().flatten();
        let mut found: Vec<_> = entries
            .filter_map(|(key, value)| Some((self.fit(key)?, key.as_str(), value)))
            .collect();
        found.sort_by_key(|(fit, _, _)| std::cmp::Reverse(*fit));
        found
    }

    /// What a helper is asked for that is named, or hinted at, under `key`.
    fn for_helper<'k>(&'k self, fit: Fit, key: &'k str) -> &'k str {
        if matches!(fit, Fit::Namespace(_)) { key } else { &self.helper }
    }
}

/// The part of Docker's `config.json` that is about credentials; Helm's file has the same shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Auth>>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

/// Reads a file; nothing if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Config>> {
    use std::io::Read;
    let failed = |what: &str, cause: String| {
        Err(Error::usage(what).on(path.display().to_string()).cause(cause))
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return failed("cannot open credentials file", error.to_string()),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    if let Err(error) = file.take(MAX_FILE + 1).read_to_end(&mut bytes) {
        return failed("cannot read credentials file", error.to_string());
    }
    if bytes.len() as u64 > MAX_FILE {
        return failed("malformed credentials file", format!("larger than {MAX_FILE} bytes"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(&bytes) {
        Ok(config) => Ok(Some(config)),
        // The parser's own words may quote what it stumbled over, and that may be a password.
        Err(error) => failed(
            "malformed credentials file",
            format!("no Docker config at line {} column {}", error.line(), error.column()),
        ),
    }
}

impl Config {
    /// The order of Docker and Helm: a helper for this place, the store for all, the file itself; of several
    /// that fit the one that says most.
    pub(super) async fn find(
        &self,
        keys: &Keys,
        path: &Path,
        programs: &[PathBuf],
        asked: &mut Helpers,
    ) -> Result<Option<Found>> {
        let auths = keys.sorted(self.auths.as_ref());
        let mut helpers: Vec<(&str, &str)> = Vec::new();
        if let Some((fit, key, name)) = keys.sorted(self.cred_helpers.as_ref()).first() {
            helpers.push((name, keys.for_helper(*fit, key)));
        }
        if let Some(store) = self.creds_store.as_deref() {
            // An entry that says nothing tells under which name the store was given something.
            let marked = auths.first().filter(|(fit, ..)| matches!(fit, Fit::Namespace(_)));
            helpers.extend(marked.map(|(_, key, _)| (store, *key)));
            helpers.push((store, &keys.helper));
        }
        for (name, key) in helpers.into_iter().filter(|(name, _)| !name.is_empty()) {
            if let Some(credential) = asked.ask(name, key, path, programs).await? {
                let source = format!("docker-credential-{name} (named in {})", path.display());
                return Ok(Some(Found { credential, source }));
            }
        }
        for (_, key, auth) in auths {
            let Some(auth) = auth else { continue };
            match auth.credential(key, path)? {
                Credential::Anonymous => {}
                credential => {
                    let source = path.display().to_string();
                    return Ok(Some(Found { credential, source }));
                }
            }
        }
        Ok(None)
    }
}

impl Auth {
    fn credential(&self, key: &str, path: &Path) -> Result<Credential> {
        let given = |secret: &Option<Secret>| {
            secret.as_ref().filter(|secret| !secret.expose().is_empty()).cloned()
        };
        if let Some(token) = given(&self.registrytoken) {
            return Ok(Credential::RegistryToken(token));
        }
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Credential::IdentityToken(token));
        }
        if let Some(auth) = given(&self.auth) {
            return decode(&auth).ok_or_else(|| {
                Error::usage("malformed credentials file").on(path.display().to_string()).cause(
                    format!(
                        "auth of {} is not base64 of USER:PASSWORD",
                        crate::net::bounded_line(key, 100)
                    ),
                )
            });
        }
        match (&self.username, given(&self.password)) {
            (Some(username), Some(password)) if !username.is_empty() => {
                Ok(Credential::Basic { username: username.clone(), password })
            }
            _ => Ok(Credential::Anonymous),
        }
    }
}

fn decode(auth: &Secret) -> Option<Credential> {
    let text = auth.expose().trim();
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    let bytes = Zeroizing::new(bytes);
    let (username, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    // Docker pads some of these with zeros.
    let password = password.trim_end_matches('\0');
    Some(Credential::Basic { username: username.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_says_most_about_a_repository_comes_first() {
        let keys = Keys::of("GHCR.io", "acme/charts/web");
        let of = |names: &[&str]| {
            let map: BTreeMap<String, ()> = names.iter().map(|n| ((*n).to_owned(), ())).collect();
            let sorted = keys.sorted(Some(&map));
            sorted.into_iter().map(|(_, key, ())| key.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&[
                "acme/charts",
                "evil.example/ghcr.io",
                "ghcr.io",
                "ghcr.io.evil.example",
                "ghcr.io/acme",
                "ghcr.io/acme/chart",
                "ghcr.io/acme/charts/",
                "ghcr.io/acme/charts/web/deeper",
                "https://ghcr.io/v1/",
            ]),
            [
                "ghcr.io/acme/charts/",
                "ghcr.io/acme",
                "ghcr.io",
                "https://ghcr.io/v1/",
                "ghcr.io/acme/chart",
                "ghcr.io/acme/charts/web/deeper",
            ]
        );
    }
}
