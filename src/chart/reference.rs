//! The reference grammar: what Helm accepts, plus what users paste (INTERFACE: commands).
//!
//! `oci://HOST[:PORT]/PATH[:TAG][@DIGEST]`, or the same without `oci://` where the host cannot be
//! mistaken for a directory. Repository and tag follow the OCI distribution specification; `+` in a tag
//! is written `_` on the wire, as `helm push` does, and only in the tag.

use core::net::Ipv6Addr;
use std::fmt;

use super::digest::Digest;
use crate::error::{Error, Result};

const SCHEME: &str = "oci://";
/// Longer than any reference that a registry would serve (characters, all parts together).
const MAX_REFERENCE: usize = 1024;
/// RFC 1035 section 2.3.4.
const MAX_HOST: usize = 253;
/// What Docker's reference grammar allows; some registries stop earlier.
const MAX_REPOSITORY: usize = 255;
/// OCI distribution specification, "Pulling manifests".
const MAX_TAG: usize = 128;

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
    /// Parses a reference, with or without `oci://`.
    ///
    /// # Errors
    /// A usage error that says which part is wrong, with a hint where only one thing can be meant.
    pub fn parse(text: &str) -> Result<Self> {
        let (host, rest) = split_host(text)?;
        let Some(rest) = rest else {
            return Err(invalid("there is no repository after the host"));
        };
        let (path, digest) = match rest.split_once('@') {
            None => (rest, None),
            Some((path, digest)) => {
                let parsed = Digest::parse(digest).map_err(|e| invalid(reason_of(&e)))?;
                (path, Some(parsed))
            }
        };
        let (repository, tag) = match path.split_once(':') {
            None => (path, None),
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

pub(super) fn has_scheme(text: &str) -> bool {
    text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Splits `[oci://]HOST[:PORT][/REST]` into the host, checked and in lower case, and the rest.
fn split_host(text: &str) -> Result<(String, Option<&str>)> {
    if text.is_empty() {
        return Err(invalid("it is empty"));
    }
    if text.len() > MAX_REFERENCE {
        return Err(invalid(format!("it is longer than {MAX_REFERENCE} bytes")).on("…"));
    }
    let bare = !has_scheme(text);
    let (scheme, body) = match text.split_once("://") {
        Some((scheme, body)) => (Some(scheme), body),
        None => (None, text),
    };
    let (host, rest) = match body.split_once('/') {
        Some((host, rest)) => (host, Some(rest)),
        None => (body, None),
    };
    if host.split_once('@').is_some_and(|(_, after)| !after.starts_with("sha256:")) {
        // What stands before the @ may be a password: it must not appear in a message.
        return Err(invalid("credentials do not belong in a reference")
            .on(format!("{SCHEME}…@{}", host.rsplit('@').next().unwrap_or_default()))
            .note("use --username and --password-stdin, or `helm registry login`"));
    }
    if let Some(c) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(invalid(format!("it holds {c:?}")));
    }
    if let Some(scheme) = scheme
        && bare
    {
        let error = invalid(format!("charts in registries are named {SCHEME}…, not {scheme}://…"));
        let oci = format!("{SCHEME}{body}");
        return Err(match ChartReference::parse(&oci).is_ok() {
            true => error.hint(oci),
            false => error,
        });
    }
    if bare && !names_a_host(host) {
        let error = invalid("it names no registry, and there is no such file");
        return Err(match rest {
            Some(_) => error.hint(format!("{SCHEME}REGISTRY/{text}")),
            None => {
                error.note("a reference reads oci://HOST/PATH:TAG, a packaged chart ends in .tgz")
            }
        });
    }
    Ok((parse_host(host)?, rest))
}

/// Whether the first segment of a bare reference can only be a host.
fn names_a_host(segment: &str) -> bool {
    segment.eq_ignore_ascii_case("localhost") || segment.contains(['.', ':'])
}

/// Checks `HOST[:PORT]`: a DNS name, an IPv4 address or an IPv6 address in brackets.
fn parse_host(text: &str) -> Result<String> {
    if text.is_empty() {
        return Err(invalid("the host is missing"));
    }
    let port = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else {
                return Err(invalid("the bracket of the IPv6 address is not closed"));
            };
            if address.parse::<Ipv6Addr>().is_err() {
                return Err(invalid(format!("[{address}] is no IPv6 address")));
            }
            match after {
                "" => None,
                _ => Some(
                    after
                        .strip_prefix(':')
                        .ok_or_else(|| invalid("only a port may follow the IPv6 address"))?,
                ),
            }
        }
        None => {
            let (name, port) = match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            };
            check_name(name)?;
            port
        }
    };
    if let Some(port) = port {
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        if !digits || port.parse::<u16>().unwrap_or(0) == 0 {
            return Err(invalid(format!("{port:?} is no port")));
        }
    }
    Ok(text.to_ascii_lowercase())
}

fn check_name(name: &str) -> Result<()> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            // Names of containers, which people use as hosts, may hold an underscore.
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    match name.len() <= MAX_HOST && name.split('.').all(label) {
        true => Ok(()),
        false => Err(invalid(format!("{name:?} is no host name"))),
    }
}

/// Checks the path: segments of `[a-z0-9]+`, joined inside by `.`, `_`, `__` or any number of `-`
/// (OCI distribution specification, "Pulling manifests").
fn check_repository(path: &str) -> Result<()> {
    if path.is_empty() {
        return Err(invalid("there is no repository after the host"));
    }
    if path.len() > MAX_REPOSITORY {
        return Err(invalid(format!("the repository is longer than {MAX_REPOSITORY} characters")));
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(invalid("a repository is written in lower case"));
    }
    for segment in path.split('/') {
        if !is_path_segment(segment) {
            return Err(invalid(format!("{segment:?} cannot be part of a repository")));
        }
    }
    Ok(())
}

fn is_path_segment(segment: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = segment.bytes();
    if !bytes.next().is_some_and(word) || !segment.bytes().next_back().is_some_and(word) {
        return false;
    }
    let separators = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    segment.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(separators)
}

/// Checks a tag and brings it to the form of the wire.
fn parse_tag(text: &str) -> Result<String> {
    let tag = text.replace('+', "_");
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts = !text.starts_with('+') && tag.bytes().next().is_some_and(word);
    if starts && tag.len() <= MAX_TAG && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-')) {
        return Ok(tag);
    }
    Err(match tag.len() {
        0 => invalid("the tag is empty"),
        length if length > MAX_TAG => {
            invalid(format!("the tag is longer than {MAX_TAG} characters"))
        }
        _ => invalid(format!("{text:?} is no tag")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> (String, String, Option<String>, bool) {
        let reference = ChartReference::parse(text).unwrap();
        assert_eq!(reference.typed, text);
        assert_eq!(reference.to_string(), text);
        (reference.host, reference.repository, reference.tag, reference.digest.is_some())
    }

    #[test]
    fn accepts_what_helm_accepts_and_what_users_paste() {
        let d = format!("@sha256:{HEX}");
        for (text, host, repository, tag, digest) in [
            ("oci://ghcr.io/acme/charts/web", "ghcr.io", "acme/charts/web", None, false),
            ("oci://ghcr.io/acme/web:1.4.2", "ghcr.io", "acme/web", Some("1.4.2"), false),
            ("ghcr.io/acme/web:1.4.2", "ghcr.io", "acme/web", Some("1.4.2"), false),
            ("localhost/web:latest", "localhost", "web", Some("latest"), false),
            ("localhost:5000/web", "localhost:5000", "web", None, false),
            ("LOCALHOST:5000/web", "localhost:5000", "web", None, false),
            ("oci://registry/charts/web", "registry", "charts/web", None, false),
            ("OCI://registry/charts/web", "registry", "charts/web", None, false),
            ("oci://my_registry:5000/web", "my_registry:5000", "web", None, false),
            ("127.0.0.1:5000/web:1", "127.0.0.1:5000", "web", Some("1"), false),
            ("[::1]:5000/a/web:1.0.0", "[::1]:5000", "a/web", Some("1.0.0"), false),
            ("oci://[fe80::1]/web", "[fe80::1]", "web", None, false),
            ("ghcr.io/a/web:1.3.0+build.5", "ghcr.io", "a/web", Some("1.3.0_build.5"), false),
            ("ghcr.io/a/web:1.3.0_build.5", "ghcr.io", "a/web", Some("1.3.0_build.5"), false),
            ("ghcr.io/a/a__b/c.d/e---f/g_h", "ghcr.io", "a/a__b/c.d/e---f/g_h", None, false),
            (&format!("ghcr.io/a/web{d}"), "ghcr.io", "a/web", None, true),
            (&format!("oci://ghcr.io/a/web:1.0.0{d}"), "ghcr.io", "a/web", Some("1.0.0"), true),
            ("docker.io/acme/web:1", "docker.io", "acme/web", Some("1"), false),
            ("xn--bcher-kva.example/web", "xn--bcher-kva.example", "web", None, false),
        ] {
            let expected = (host.into(), repository.into(), tag.map(String::from), digest);
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn changes_plus_in_the_tag_and_nowhere_else() {
        // Helm replaces the tag's text everywhere, which turns this host into another one.
        let reference = ChartReference::parse("ghcr.io/a1_b/1_b:1_b").unwrap();
        assert_eq!(reference.repository, "a1_b/1_b");
        let reference = ChartReference::parse("1.2:5000/a/1.2:1.2+1").unwrap();
        assert_eq!(reference.host, "1.2:5000");
        assert_eq!(reference.repository, "a/1.2");
        assert_eq!(reference.tag.as_deref(), Some("1.2_1"));
        assert_eq!(reference.tag_version().as_deref(), Some("1.2+1"));
    }

    #[test]
    fn refuses_malformed_references_and_says_why() {
        let long = "a".repeat(256);
        for (text, why) in [
            ("", "empty"),
            ("web", "names no registry"),
            ("acme/charts/web", "names no registry"),
            ("./web", "is no host name"),
            ("../web", "is no host name"),
            ("oci://", "host is missing"),
            ("oci:///web", "host is missing"),
            ("oci://ghcr.io", "no repository"),
            ("oci://ghcr.io/", "no repository"),
            ("ghcr.io/:1.0", "no repository"),
            ("ghcr.io/a/", "\"\" cannot be part"),
            ("ghcr.io//a", "\"\" cannot be part"),
            ("ghcr.io/a/../b", "\"..\" cannot be part"),
            ("ghcr.io/a/./b", "\".\" cannot be part"),
            ("ghcr.io/Acme/web", "lower case"),
            ("ghcr.io/-web", "cannot be part"),
            ("ghcr.io/web-", "cannot be part"),
            ("ghcr.io/a___b", "cannot be part"),
            ("ghcr.io/a.-b", "cannot be part"),
            ("ghcr.io/a?b", "cannot be part"),
            ("ghcr.io/a#b", "cannot be part"),
            ("ghcr.io/a%2fb", "cannot be part"),
            ("ghcr.io/wéb", "cannot be part"),
            ("ghcr.io/a\\b", "cannot be part"),
            ("ghcr.io/a b", "holds ' '"),
            ("ghcr.io/a\n", "holds '\\n'"),
            ("ghcr.io/a\u{1b}[31m", "holds"),
            ("ghcr.io/web:", "tag is empty"),
            ("ghcr.io/web:+1", "is no tag"),
            ("ghcr.io/web:.1", "is no tag"),
            ("ghcr.io/web:1:2", "is no tag"),
            ("ghcr.io/web:1~2", "is no tag"),
            ("ghcr.io/web:1/2", "is no tag"),
            ("ghcr.io/web@", "sha256:HEX"),
            ("ghcr.io/web@sha256:00", "64 lower-case"),
            ("ghcr.io/web@sha512:00", "not sha256"),
            (&format!("ghcr.io/web@sha256:{HEX}@sha256:{HEX}"), "64 lower-case"),
            (&format!("ghcr.io/web@sha256:{HEX}:1.0"), "64 lower-case"),
            ("ghcr.io:/web", "is no port"),
            ("ghcr.io:0/web", "is no port"),
            ("ghcr.io:65536/web", "is no port"),
            ("ghcr.io:+80/web", "is no port"),
            ("ghcr.io:80:80/web", "is no port"),
            ("oci://gh_cr..io/web", "is no host name"),
            ("oci://-a/web", "is no host name"),
            ("oci://gïthub.com/web", "is no host name"),
            ("oci://[::1/web", "not closed"),
            ("oci://[::1%25lo]/web", "no IPv6 address"),
            ("oci://[::g]/web", "no IPv6 address"),
            ("oci://[::1]x/web", "only a port"),
            (&format!("ghcr.io/{long}"), "longer than 255"),
            (&format!("ghcr.io/web:{}", "1".repeat(129)), "longer than 128"),
            (&format!("{long}.io/web"), "is no host name"),
            (&format!("ghcr.io/{}", "a/".repeat(600)), "longer than 1024"),
        ] {
            let error = ChartReference::parse(text).unwrap_err();
            assert_eq!(error.class, Class::Usage, "{text}");
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn hints_only_where_one_thing_can_be_meant() {
        for (text, hint) in [
            ("https://ghcr.io/acme/web:1.0.0", Some("oci://ghcr.io/acme/web:1.0.0")),
            ("docker://ghcr.io/acme/web:1.0.0", Some("oci://ghcr.io/acme/web:1.0.0")),
            ("https://charts.example.com/index.yaml?x=1", None),
            ("ghcr.io/Acme/Web:V1", Some("ghcr.io/acme/web:V1")),
            ("ghcr.io/Acme/W?b", None),
            ("acme/web:1.0.0", Some("oci://REGISTRY/acme/web:1.0.0")),
            ("web", None),
        ] {
            let error = ChartReference::parse(text).unwrap_err();
            assert_eq!(error.hint.as_deref(), hint, "{text}: {error}");
        }
    }

    #[test]
    fn never_repeats_a_password() {
        for text in [
            "oci://bob:hunter2@ghcr.io/acme/web",
            "bob:hunter2@ghcr.io/acme/web",
            "https://bob:hunter2@ghcr.io/acme/web",
            "oci://hunter2@ghcr.io",
        ] {
            let error = ChartReference::parse(text).unwrap_err().on(text);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            assert!(error.to_string().contains("credentials"), "{error}");
        }
    }

    #[test]
    fn says_what_others_need() {
        let digest = Digest::parse(&format!("sha256:{HEX}")).unwrap();
        let reference = ChartReference::parse("docker.io/acme/charts/web:1.0.0+b").unwrap();
        assert_eq!(reference.name(), "web");
        assert_eq!(reference.request_host(), "registry-1.docker.io");
        assert_eq!(reference.repository_ref(), "oci://docker.io/acme/charts/web");
        let pinned = format!("oci://docker.io/acme/charts/web@sha256:{HEX}");
        assert_eq!(reference.with_digest(&digest), pinned);
        assert_eq!(ChartReference::parse(&pinned).unwrap().digest, Some(digest));
        assert_eq!(reference.wire_reference().as_deref(), Some("1.0.0_b"));
        let both = ChartReference::parse(&format!("ghcr.io/a/web:1@{digest}")).unwrap();
        assert_eq!(both.wire_reference(), Some(digest.to_string()));
        assert_eq!(both.request_host(), "ghcr.io");
        let bare = ChartReference::parse("localhost/web").unwrap();
        assert_eq!((bare.name(), bare.wire_reference()), ("web", None));
        assert_eq!(bare.with_tag("1.0.0+b").unwrap().tag.as_deref(), Some("1.0.0_b"));
        assert!(bare.with_tag("a b").is_err());
    }

    #[test]
    fn finds_where_helm_push_put_a_chart() {
        for (prefix, expected) in [
            ("oci://ghcr.io/acme/charts", "oci://ghcr.io/acme/charts/web:1.0.0_b"),
            ("oci://ghcr.io/acme/charts/", "oci://ghcr.io/acme/charts/web:1.0.0_b"),
            ("ghcr.io/acme", "oci://ghcr.io/acme/web:1.0.0_b"),
            ("oci://localhost:5000", "oci://localhost:5000/web:1.0.0_b"),
            ("oci://localhost:5000/", "oci://localhost:5000/web:1.0.0_b"),
        ] {
            let prefix = RepositoryPrefix::parse(prefix).unwrap();
            let reference = prefix.chart("web", "1.0.0+b").unwrap();
            assert_eq!(reference.typed, expected);
            assert_eq!(ChartReference::parse(expected).unwrap(), reference);
        }
        let hub = RepositoryPrefix::parse("oci://docker.io/acme").unwrap();
        assert_eq!(
            (hub.request_host(), hub.to_string().as_str()),
            ("registry-1.docker.io", "oci://docker.io/acme")
        );
        for (name, version) in [
            ("Web", "1.0.0"),
            ("a/b", "1.0.0"),
            ("..", "1.0.0"),
            ("", "1.0.0"),
            ("web", ""),
            ("web", "1 0"),
        ] {
            assert!(hub.chart(name, version).is_err(), "{name} {version}");
        }
        for text in [
            "",
            "acme",
            "acme/charts",
            "oci://ghcr.io/a/web:1",
            "https://ghcr.io/acme",
            "oci://ghcr.io/a//",
        ] {
            assert!(RepositoryPrefix::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn survives_mutated_references() {
        let seeds = [
            format!("oci://[::1]:5000/acme/charts/web:1.3.0+build.5@sha256:{HEX}"),
            "https://bob:pw@ghcr.io/acme/web:1".to_owned(),
            "ghcr.io/Acme/é/web".to_owned(),
        ];
        let mut random = crate::chart::tests::Random::new(1);
        for round in 0..20_000 {
            let text = random.mutate(seeds[round % seeds.len()].as_bytes());
            let text = String::from_utf8_lossy(&text);
            let _ = RepositoryPrefix::parse(&text);
            if let Ok(reference) = ChartReference::parse(&text) {
                let again = ChartReference::parse(&reference.repository_ref()).unwrap();
                assert_eq!((again.host, again.repository), (reference.host, reference.repository));
            }
        }
    }
}
