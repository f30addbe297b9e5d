//! Whose credentials go to which registry: what the user gave, then Helm's store, then Docker's.
//!
//! This room reads files and runs credential helpers; which ones is the caller's to say, because only
//! `main` reads the environment.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::error::{Error, Reason, Result};

/// Bytes of a credentials file, at most.
const MAX_FILE: u64 = 1024 * 1024;
/// Bytes of a helper's answer, at most.
const MAX_HELPER_OUTPUT: u64 = 64 * 1024;
/// How long a helper may take; it may have to ask a person to unlock something.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);
/// The name under which Docker files the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name that marks a helper's secret as an identity token.
const TOKEN_USER: &str = "<token>";

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
}

/// Finds credentials by host, and remembers them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Sources,
    found: Mutex<HashMap<String, Found>>,
}

impl Credentials {
    /// Credentials from these sources; nothing is read yet.
    pub fn new(sources: Sources) -> Self {
        Self(Arc::new(Inner { sources, found: Mutex::default() }))
    }

    /// None at all.
    pub fn anonymous() -> Self {
        Self::new(Sources::default())
    }

    /// The credential for `host` (`HOST[:PORT]` as the user typed it).
    ///
    /// # Errors
    ///
    /// Usage, for a file that cannot be read or understood; undecided (unauthorized) for a helper that
    /// fails. Both name the file or helper, never what is in it.
    pub async fn find(&self, host: &str) -> Result<Found> {
        if let Some(found) = self.known(host) {
            return Ok(found);
        }
        let found = self.search(host).await?;
        let mut memory = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        memory.insert(host.to_owned(), found.clone());
        Ok(found)
    }

    /// What was found for `host` earlier.
    pub(super) fn known(&self, host: &str) -> Option<Found> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    async fn search(&self, host: &str) -> Result<Found> {
        if let Some((username, password)) = &self.0.sources.given {
            let credential =
                Credential::Basic { username: username.clone(), password: password.clone() };
            return Ok(Found { credential, source: "--username".into() });
        }
        let keys = Keys::of(host);
        for path in &self.0.sources.files {
            let Some(config) = read(path)? else { continue };
            if let Some(found) = config.find(&keys, path).await? {
                return Ok(found);
            }
        }
        Ok(Found { credential: Credential::Anonymous, source: String::new() })
    }
}

/// The names under which a host's credentials may be filed.
struct Keys {
    /// `HOST[:PORT]`.
    host: String,
    /// What a helper is asked for.
    helper: String,
}

impl Keys {
    fn of(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        if matches!(host.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io") {
            return Self { host: "index.docker.io".into(), helper: DOCKER_HUB_KEY.into() };
        }
        Self { helper: host.clone(), host }
    }

    fn matches(&self, key: &str) -> bool {
        let key =
            key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let host = key.split('/').next().unwrap_or_default();
        host.eq_ignore_ascii_case(&self.host)
            || (self.helper == DOCKER_HUB_KEY && host.eq_ignore_ascii_case("docker.io"))
    }
}

/// The part of Docker's `config.json` that is about credentials; Helm's file has the same shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
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

fn read(path: &Path) -> Result<Option<Config>> {
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
    /// The order of Docker and Helm: a helper for this host, the store for all, the file itself.
    async fn find(&self, keys: &Keys, path: &Path) -> Result<Option<Found>> {
        let helpers = self.cred_helpers.iter().flatten();
        let helper =
            helpers.filter(|(key, _)| keys.matches(key)).map(|(_, name)| name.as_str()).next();
        for name in [helper, self.creds_store.as_deref()].into_iter().flatten() {
            if name.is_empty() {
                continue;
            }
            if let Some(credential) = ask_helper(name, &keys.helper, path).await? {
                let source = format!("docker-credential-{name} (named in {})", path.display());
                return Ok(Some(Found { credential, source }));
            }
        }
        let exact = self.auths.iter().flatten().find(|(key, _)| **key == keys.helper);
        let others = self.auths.iter().flatten().filter(|(key, _)| keys.matches(key));
        for (_, auth) in exact.into_iter().chain(others) {
            if let Some(credential) = auth.as_ref().map(|auth| auth.credential(keys, path)) {
                match credential? {
                    Credential::Anonymous => {}
                    credential => {
                        let source = path.display().to_string();
                        return Ok(Some(Found { credential, source }));
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Auth {
    fn credential(&self, keys: &Keys, path: &Path) -> Result<Credential> {
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
                Error::usage("malformed credentials file")
                    .on(path.display().to_string())
                    .cause(format!("auth of {} is not base64 of USER:PASSWORD", keys.host))
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: Secret,
}

/// Runs `docker-credential-NAME get` (docker/docker-credential-helpers); nothing if it knows none.
async fn ask_helper(name: &str, key: &str, path: &Path) -> Result<Option<Credential>> {
    // The name comes from a file and becomes the name of a program: no path, no shell, no surprises.
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(Error::usage("malformed credentials file")
            .on(path.display().to_string())
            .cause(format!(
                "{:?} is no name of a credential helper",
                crate::net::bounded_line(name, 40)
            )));
    }
    let program = format!("docker-credential-{name}");
    let failed = |cause: &str| {
        Err(Error::undecided(Reason::Unauthorized, format!("{program}: {cause}"))
            .note(format!("it is named in {}", path.display())))
    };
    match tokio::time::timeout(HELPER_TIMEOUT, run_helper(&program, key)).await {
        Err(_) => failed(&format!("no answer within {} s", HELPER_TIMEOUT.as_secs())),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            failed("is not installed")
        }
        Ok(Err(error)) => failed(&error.to_string()),
        Ok(Ok((false, output))) => {
            let output = String::from_utf8_lossy(&output).to_lowercase();
            if output.contains("credentials not found") {
                Ok(None)
            } else {
                // What it printed is not repeated: nobody knows what is in it.
                failed("failed")
            }
        }
        Ok(Ok((true, output))) => match serde_json::from_slice::<HelperAnswer>(&output) {
            Err(_) => failed("answered something else than credentials"),
            Ok(answer) if answer.secret.expose().is_empty() => Ok(None),
            Ok(answer) if answer.username == TOKEN_USER => {
                Ok(Some(Credential::IdentityToken(answer.secret)))
            }
            Ok(HelperAnswer { username, secret }) => {
                Ok(Some(Credential::Basic { username, password: secret }))
            }
        },
    }
}

/// Whether the helper succeeded, and what it wrote to standard output, bounded.
async fn run_helper(program: &str, key: &str) -> std::io::Result<(bool, Zeroizing<Vec<u8>>)> {
    let mut child = tokio::process::Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input may still know the answer.
        let _ = stdin.write_all(key.as_bytes()).await;
    }
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_HELPER_OUTPUT + 1).read_to_end(&mut output).await?;
    }
    if output.len() as u64 > MAX_HELPER_OUTPUT {
        return Err(std::io::Error::other(format!("wrote more than {MAX_HELPER_OUTPUT} bytes")));
    }
    Ok((child.wait().await?.success(), output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    async fn find(json: &str, host: &str) -> Result<Found> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        let files = vec![directory.path().join("absent.json"), path];
        Credentials::new(Sources { given: None, files }).find(host).await
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
        let found = Credentials::new(Sources { given, files: files.clone() });
        let found = found.find("a.example").await.unwrap();
        assert_eq!(found.source, "--username");
        assert!(!format!("{found:?}").contains("secret"));
        let found = Credentials::new(Sources { given: None, files });
        let found = found.find("a.example").await.unwrap();
        assert!(found.source.ends_with("helm.json"));
    }

    #[tokio::test]
    async fn a_missing_helper_is_an_error_that_names_it() {
        let json = r#"{"credsStore":"surely-not-installed-here"}"#;
        let error = find(json, "a.example").await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::Unauthorized));
        let text = error.to_string();
        assert!(text.contains("docker-credential-surely-not-installed-here: is not installed"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn speaks_with_a_helper_within_bounds() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let run = |script: &str| {
            let path = directory.path().join("docker-credential-x");
            // A fresh file each time: an executable that runs cannot be written.
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            async move {
                loop {
                    match run_helper(path.to_str().unwrap(), "a.example").await {
                        // Another test's fork may hold the file open for an instant.
                        Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                        outcome => return outcome,
                    }
                }
            }
        };
        let (ok, output) = run(r#"printf '{"k":"%s %s"}' "$1" "$(cat)""#).await.unwrap();
        assert!(ok);
        assert_eq!(output.as_slice(), br#"{"k":"get a.example"}"#);
        let (ok, output) =
            run("echo credentials not found in native keychain; exit 1").await.unwrap();
        assert!(!ok && output.starts_with(b"credentials not found"));
        let error = run("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done").await;
        assert!(error.unwrap_err().to_string().contains("wrote more than"));
    }
}
