//! Whose credentials go to which registry: what the user gave, then Helm's store, then Docker's.
//!
//! This room reads files and runs credential helpers; which ones is the caller's to say, because only
//! `main` reads the environment.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::credential_files::{Keys, read};
use super::credential_helper::Helpers;
use crate::error::Result;
use crate::files::reading;

/// A password or token: wiped when dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// What a registry gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// User name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that the token server exchanges (`identitytoken`, a refresh token).
    IdentityToken(Secret),
    /// A token for the registry itself (`registrytoken`).
    RegistryToken(Secret),
}

/// A credential and where it came from, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The credential.
    pub credential: Credential,
    /// `--username`, a file's path, or a helper's name; empty for [`Credential::Anonymous`].
    pub source: String,
}

/// Where credentials may come from, in this order.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--username` and `--password`: for every registry that the user names.
    pub given: Option<(String, Secret)>,
    /// Helm's registry config, then Docker's config; a file that does not exist holds nothing.
    pub files: Vec<PathBuf>,
    /// Where credential helpers are looked for, in this order.
    pub programs: Vec<PathBuf>,
}

/// Finds credentials by host, and remembers them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Sources,
    found: Mutex<HashMap<(String, String), Found>>,
    /// What helpers answered. One is asked at a time, as it may ask a person something.
    helpers: futures_util::lock::Mutex<Helpers>,
}

impl Credentials {
    /// Credentials from these sources; nothing is read yet.
    pub fn new(sources: Sources) -> Self {
        Self(Arc::new(Inner { sources, found: Mutex::default(), helpers: Default::default() }))
    }

    /// None at all.
    pub fn anonymous() -> Self {
        Self::new(Sources::default())
    }

    /// The credential for the repository `path` at `host` (`HOST[:PORT]` as the user typed it).
    ///
    /// # Errors
    ///
    /// Usage, for a file that cannot be read or understood; undecided (unauthorized) for a helper that
    /// fails. Both name the file or helper, never what is in it.
    pub async fn find(&self, host: &str, path: &str) -> Result<Found> {
        let mut helpers = self.0.helpers.lock().await;
        if let Some(found) = self.known(host, path) {
            return Ok(found);
        }
        let found = self.search(host, path, &mut helpers).await?;
        let mut memory = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        memory.insert((host.to_owned(), path.to_owned()), found.clone());
        Ok(found)
    }

    /// What was found for a repository earlier.
    pub(super) fn known(&self, host: &str, path: &str) -> Option<Found> {
        let memory = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(&(host.to_owned(), path.to_owned())).cloned()
    }

    async fn search(&self, host: &str, path: &str, helpers: &mut Helpers) -> Result<Found> {
        if let Some((username, password)) = &self.0.sources.given {
            let credential =
                Credential::Basic { username: username.clone(), password: password.clone() };
            return Ok(Found { credential, source: "--username".into() });
        }
        let keys = Keys::of(host, path);
        for file in &self.0.sources.files {
            let path = file.clone();
            let config = reading(&[file], move || read(&path)).await?;
            let Some(config) = config else { continue };
            if let Some(found) = config.find(&keys, file, &self.0.sources.programs, helpers).await?
            {
                return Ok(found);
            }
        }
        Ok(Found { credential: Credential::Anonymous, source: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Class, Reason};

    async fn find(json: &str, host: &str) -> Result<Found> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        let files = vec![directory.path().join("absent.json"), path];
        Credentials::new(Sources { files, ..Sources::default() }).find(host, "acme/web").await
    }

    async fn password(json: &str, host: &str) -> Option<String> {
        match find(json, host).await.unwrap().credential {
            Credential::Basic { username, password } => {
                Some(format!("{username}:{}", password.expose()))
            }
            Credential::Anonymous => None,
            Credential::IdentityToken(token) => Some(format!("identity {}", token.expose())),
            Credential::RegistryToken(token) => Some(format!("registry {}", token.expose())),
        }
    }

    #[tokio::test]
    async fn finds_a_host_under_every_name_it_is_filed_as() {
        // "u:p" is dTpw.
        for (key, host, found) in [
            ("ghcr.io", "ghcr.io", true),
            ("https://ghcr.io", "ghcr.io", true),
            ("https://ghcr.io/v1/", "ghcr.io", true),
            ("http://localhost:5000/v2/", "localhost:5000", true),
            ("localhost:5000", "localhost", false),
            ("localhost", "localhost:5000", false),
            ("https://index.docker.io/v1/", "docker.io", true),
            ("https://index.docker.io/v1/", "registry-1.docker.io", true),
            ("docker.io", "docker.io", true),
            ("ghcr.io.evil.example", "ghcr.io", false),
            ("evil.example/ghcr.io", "ghcr.io", false),
        ] {
            let json = format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#);
            let expected = found.then(|| "u:p".to_owned());
            assert_eq!(password(&json, host).await, expected, "{key} {host}");
        }
    }

    #[tokio::test]
    async fn reads_every_shape_of_an_entry() {
        for (entry, expected) in [
            (r#"{"auth":"dTpwOng="}"#, Some("u:p:x")),
            (r#"{"auth":"dTpwOng"}"#, Some("u:p:x")),
            (r#"{"username":"u","password":"p"}"#, Some("u:p")),
            (r#"{"auth":"dTpw","identitytoken":"t"}"#, Some("identity t")),
            (r#"{"registrytoken":"t"}"#, Some("registry t")),
            (r#"{"auth":"","email":"x"}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            let json = format!(r#"{{"auths":{{"a.example":{entry}}}}}"#);
            assert_eq!(password(&json, "a.example").await.as_deref(), expected, "{entry}");
        }
        for json in ["", "{}", r#"{"auths":null}"#, r#"{"credsStore":""}"#] {
            assert_eq!(password(json, "a.example").await, None, "{json}");
        }
    }

    #[tokio::test]
    async fn names_a_malformed_file_and_not_what_is_in_it() {
        for json in [
            "{\"auths\": secret",
            r#"{"auths":{"a.example":{"auth":["secret"]}}}"#,
            r#"{"auths":{"a.example":{"auth":"secret!"}}}"#,
            r#"{"credsStore":"../secret"}"#,
            r#"{"credHelpers":{"a.example":"a b"}}"#,
            &format!("{{\"auths\":{{}},\"x\":\"{}\"}}", "x".repeat(1 << 20)),
        ] {
            let error = find(json, "a.example").await.unwrap_err();
            assert_eq!(error.class, Class::Usage);
            assert!(error.object.ends_with("config.json"), "{error}");
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret") || json.contains("../secret"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_the_user_gives_comes_first_and_then_the_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, auth: &str| {
            let path = directory.path().join(name);
            let json = format!(r#"{{"auths":{{"a.example":{{"auth":"{auth}"}}}}}}"#);
            std::fs::write(&path, json).unwrap();
            path
        };
        let files = vec![file("helm.json", "aGVsbTpw"), file("docker.json", "ZG9ja2VyOnA=")];
        let given = Some(("me".to_owned(), Secret::new("secret")));
        let found = Credentials::new(Sources { given, files: files.clone(), ..Sources::default() });
        let found = found.find("a.example", "acme/web").await.unwrap();
        assert_eq!(found.source, "--username");
        assert!(!format!("{found:?}").contains("secret"));
        let found = Credentials::new(Sources { files, ..Sources::default() });
        let found = found.find("a.example", "acme/web").await.unwrap();
        assert!(found.source.ends_with("helm.json"));
    }

    #[tokio::test]
    async fn a_missing_helper_is_an_error_that_names_it() {
        let json = r#"{"credsStore":"surely-not-installed-here"}"#;
        let error = find(json, "a.example").await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::Unauthorized));
        let text = error.to_string();
        assert!(text.contains("docker-credential-surely-not-installed-here: is not in PATH"));
    }
}
