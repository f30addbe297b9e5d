//! Which repositories a rule of a policy is about.

use core::net::Ipv6Addr;

use crate::chart::RepositoryPrefix;
use crate::error::{Error, Result};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 512;

/// Repositories by name: `HOST[:PORT]/PATH`, with or without `oci://`. A `*` stands for characters of one
/// segment and never for a slash; `**`, only as the last segment, for one segment or more. A host is written
/// out, or `*.DOMAIN` for one label below a domain, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPattern {
    /// As it is written in the policy.
    pub typed: String,
    host: String,
    segments: Vec<String>,
}

impl RepositoryPattern {
    /// Reads a pattern; the host is normalised ([`normal_host`]).
    ///
    /// # Errors
    /// Usage, when it is none, or when something in it could not match what it seems to.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |cause: &str| Error::usage("not a pattern of repositories").cause(cause);
        if text.len() > MAX_LENGTH {
            return Err(bad("it is too long"));
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            return Err(bad("it holds a space or something else that no repository has"));
        }
        if text.contains('%') {
            return Err(bad("a repository is not percent-encoded"));
        }
        let scheme = text.get(..6).is_some_and(|front| front.eq_ignore_ascii_case("oci://"));
        let body = if scheme { text.get(6..).unwrap_or_default() } else { text };
        if body.contains("://") {
            return Err(bad("charts in registries are named oci://…"));
        }
        let (host, path) = match body.split_once('/') {
            Some((host, path)) => (host, path),
            None => (body, ""),
        };
        if path.is_empty() {
            return Err(bad("it names no repository; for everything on the host end it with /**"));
        }
        if path.ends_with('/') {
            return Err(bad("it ends with a slash; for everything below end it with /**"));
        }
        if path.contains([':', '@']) {
            return Err(bad("a rule is about a repository, without tag and digest"));
        }
        let host = if host == "*" {
            "*".to_owned()
        } else if let Some(domain) = host.strip_prefix("*.") {
            format!("*.{}", plain_host(domain, true)?)
        } else if host.contains('*') {
            return Err(bad("a host is written out, or *.DOMAIN, or *"));
        } else {
            plain_host(host, scheme)?
        };
        let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
        for (at, segment) in segments.iter().enumerate() {
            if segment.is_empty() || segment == "." || segment == ".." {
                return Err(bad("a segment of its path is empty, or a dot"));
            }
            if segment.bytes().any(|b| b.is_ascii_uppercase()) {
                return Err(bad("a repository has no upper case"));
            }
            let plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-*".contains(&b);
            if !segment.bytes().all(plain) {
                return Err(bad("it holds a character that no repository has"));
            }
            let whole = segment == "**" && at + 1 == segments.len();
            if segment.contains("**") && !whole {
                return Err(bad("** stands alone, as the last segment"));
            }
        }
        Ok(Self { typed: text.to_owned(), host, segments })
    }

    /// Whether it is about `repository` at `host`, which is normalised ([`normal_host`]).
    pub fn matches(&self, host: &str, repository: &str) -> bool {
        let hosts = match self.host.strip_prefix('*') {
            Some("") => true,
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|label| !label.is_empty() && !label.contains(['.', ':', '['])),
            None => self.host == host,
        };
        let found: Vec<_> = repository.split('/').collect();
        let (plain, open) = match self.segments.split_last() {
            Some((last, plain)) if last == "**" => (plain, true),
            _ => (self.segments.as_slice(), false),
        };
        let length = match open {
            true => found.len() > plain.len(),
            false => found.len() == plain.len(),
        };
        hosts && length && plain.iter().zip(found).all(|(glob, found)| both(glob, found))
    }

    /// How specific it is: the length of what stands before the first star, and whether there is none.
    pub fn precedence(&self) -> (usize, bool) {
        let (prefix, whole) = self.literal();
        (prefix.len(), whole)
    }

    /// What stands before the first star, of the normalised pattern; and whether that is all of it.
    fn literal(&self) -> (String, bool) {
        let text = format!("{}/{}", self.host, self.segments.join("/"));
        match text.split_once('*') {
            Some((prefix, _)) => (prefix.to_owned(), false),
            None => (text, true),
        }
    }

    /// Whether some repository is matched by both, and neither is the more specific one.
    pub fn is_ambiguous_with(&self, other: &Self) -> bool {
        self.literal() == other.literal() && self.meets(other)
    }

    fn meets(&self, other: &Self) -> bool {
        let hosts = match (self.host.as_str(), other.host.as_str()) {
            ("*", _) | (_, "*") => true,
            (one, two) => one == two || below(one, two) || below(two, one),
        };
        let split = |segments: &[String]| match segments.split_last() {
            Some((last, plain)) if last == "**" => (plain.to_vec(), true),
            _ => (segments.to_vec(), false),
        };
        let ((one, one_open), (two, two_open)) = (split(&self.segments), split(&other.segments));
        let lengths = match (one_open, two_open) {
            (true, true) => true,
            (true, false) => two.len() > one.len(),
            (false, true) => one.len() > two.len(),
            (false, false) => one.len() == two.len(),
        };
        hosts && lengths && one.iter().zip(&two).all(|(one, two)| both(one, two))
    }
}

/// Whether `host` is one label below the domain of `pattern`.
fn below(pattern: &str, host: &str) -> bool {
    let domain = pattern.strip_prefix('*').filter(|domain| !domain.is_empty());
    let label = domain.and_then(|domain| host.strip_suffix(domain));
    label.is_some_and(|label| !label.is_empty() && !label.contains(['.', ':', '[', '*']))
}

/// Whether there is a text that both globs stand for; of two without stars, whether they are equal.
fn both(one: &str, two: &str) -> bool {
    let (one, two) = (one.as_bytes(), two.as_bytes());
    // reached[j]: what is before i in one and before j in two can be the same text.
    let mut reached = vec![false; two.len() + 1];
    for i in 0..=one.len() {
        let star = i.checked_sub(1).and_then(|i| one.get(i)) == Some(&b'*');
        let mut row = vec![false; two.len() + 1];
        for j in 0..=two.len() {
            let other_star = j.checked_sub(1).and_then(|j| two.get(j)) == Some(&b'*');
            let at = |row: &[bool], j: Option<usize>| {
                j.and_then(|j| row.get(j)).copied().unwrap_or(false)
            };
            let (above, left) = (at(&reached, Some(j)), at(&row, j.checked_sub(1)));
            let diagonal = at(&reached, j.checked_sub(1));
            let same = i > 0 && j > 0 && one.get(i - 1) == two.get(j - 1) && diagonal;
            let here = (i == 0 && j == 0)
                || (star && i > 0 && (above || (j > 0 && left)))
                || (other_star && j > 0 && (left || (i > 0 && above)))
                || same;
            if let Some(place) = row.get_mut(j) {
                *place = here;
            }
        }
        reached = row;
    }
    reached.last().copied().unwrap_or(false)
}

fn plain_host(text: &str, scheme: bool) -> Result<String> {
    let prefix = match scheme {
        true => RepositoryPrefix::parse(&format!("oci://{text}")),
        false => RepositoryPrefix::parse(text),
    };
    match prefix {
        Ok(prefix) if prefix.path.is_empty() => Ok(normal_host(&prefix.host)),
        _ => Err(Error::usage("not a pattern of repositories").cause(match scheme {
            true => "what stands in front is no host",
            false => "what stands in front is no host; one without a dot needs oci:// before it",
        })),
    }
}

/// One spelling for every way to write a host: lower case, without https's own port, IPv6 addresses in their
/// canonical form, and Docker Hub by the name that everybody writes.
pub fn normal_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse::<u16>().ok()),
        _ => (host.as_str(), None),
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name = match address.and_then(|text| text.parse::<Ipv6Addr>().ok()) {
        Some(address) => format!("[{address}]"),
        None => name.to_owned(),
    };
    let name = match name.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            "docker.io".to_owned()
        }
        _ => name,
    };
    match port {
        None | Some(443) => name,
        Some(port) => format!("{name}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> RepositoryPattern {
        RepositoryPattern::parse(text).unwrap()
    }

    fn matches(text: &str, host: &str, repository: &str) -> bool {
        pattern(text).matches(&normal_host(host), repository)
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_stars_take_what_is_below() {
        for (text, repository, expected) in [
            ("ghcr.io/acme/*", "acme/web", true),
            ("ghcr.io/acme/*", "acme/charts/web", false),
            ("ghcr.io/acme/*", "acme-evil/web", false),
            ("ghcr.io/acme/*", "acme", false),
            ("ghcr.io/acme*/web", "acme-evil/web", true),
            ("ghcr.io/acme*/web", "acme/x/web", false),
            ("ghcr.io/acme/w*b", "acme/wb", true),
            ("ghcr.io/acme/**", "acme/web", true),
            ("ghcr.io/acme/**", "acme/charts/deep/web", true),
            ("ghcr.io/acme/**", "acme", false),
            ("ghcr.io/acme/**", "acmeevil/web", false),
            ("ghcr.io/**", "web", true),
            ("ghcr.io/acme/web", "acme/web", true),
            ("ghcr.io/acme/web", "acme/web2", false),
            ("ghcr.io/acme/web", "acme/web/x", false),
        ] {
            assert_eq!(matches(text, "ghcr.io", repository), expected, "{text} {repository}");
        }
    }

    #[test]
    fn a_host_is_compared_whole_in_one_spelling() {
        for (text, host, expected) in [
            ("GHCR.io/acme/web", "ghcr.io", true),
            ("oci://ghcr.io/acme/web", "GHCR.IO:443", true),
            ("OCI://ghcr.io:443/acme/web", "ghcr.io", true),
            ("ghcr.io:0443/acme/web", "ghcr.io", true),
            ("ghcr.io/acme/web", "ghcr.io:5000", false),
            ("ghcr.io:5000/acme/web", "ghcr.io:05000", true),
            ("ghcr.io:80/acme/web", "ghcr.io", false),
            ("ghcr.io/acme/web", "ghcr.io.evil.example", false),
            ("ghcr.io/acme/web", "xghcr.io", false),
            ("docker.io/acme/web", "index.docker.io", true),
            ("registry-1.docker.io/acme/web", "docker.io", true),
            ("docker.io/acme/web", "docker.io.evil.example", false),
            ("oci://[::1]:5000/acme/web", "[0:0:0:0:0:0:0:1]:5000", true),
            ("*.corp.example/acme/web", "eu.corp.example", true),
            ("*.corp.example/acme/web", "corp.example", false),
            ("*.corp.example/acme/web", "a.eu.corp.example", false),
            ("*.corp.example/acme/web", "evilcorp.example", false),
            ("*.corp.example/acme/web", "eu.corp.example:5000", false),
            ("*.corp.example:5000/acme/web", "eu.corp.example:5000", true),
            ("*/acme/web", "anything.example:5000", true),
        ] {
            assert_eq!(matches(text, host, "acme/web"), expected, "{text} {host}");
        }
    }

    #[test]
    fn what_could_not_mean_what_it_seems_is_refused() {
        for text in [
            "",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io/acme/",
            "ghcr.io//acme",
            "/acme/web",
            "acme/web",
            "ghcr.io/acme/**/web",
            "ghcr.io/acme/web**",
            "ghcr.io/acme/***",
            "ghcr.io/Acme/*",
            "ghcr.io/acme/web:1.4.2",
            "ghcr.io/acme/web@sha256:00",
            "https://ghcr.io/acme/*",
            "gh*.io/acme/*",
            "*.*.io/acme/*",
            "ghcr.io/ac%6de/*",
            "ghcr.io/acme /*",
            "ghcr.io/./web",
            "ghcr.io/../web",
            "ghcr.io/a?c/web",
            "ghcr.io/[ab]/web",
            "user@ghcr.io/acme/*",
            "gһcr.io/acme/*",
            "ghcr.io:/acme/*",
            "ghcr.io:99999/acme/*",
            "oci://oci://ghcr.io/acme",
            "ghcr.io\\acme/*",
            "**/acme",
            "*:5000/acme",
        ] {
            assert!(RepositoryPattern::parse(text).is_err(), "{text}");
        }
        assert!(RepositoryPattern::parse(&format!("ghcr.io/{}", "a".repeat(600))).is_err());
    }

    #[test]
    fn two_patterns_are_ambiguous_only_where_neither_is_more_specific_and_both_match() {
        for (one, two, ambiguous) in [
            ("ghcr.io/acme/*", "ghcr.io/acme/**", true),
            ("ghcr.io/acme/*", "GHCR.io:443/acme/*", true),
            ("docker.io/acme/*", "index.docker.io/acme/*", true),
            ("ghcr.io/acme/*", "ghcr.io/acme/web*", false),
            ("ghcr.io/acme/web", "ghcr.io/acme/web*", false),
            ("ghcr.io/acme/*-a", "ghcr.io/acme/*-b", false),
            ("ghcr.io/acme/*-a", "ghcr.io/acme/*a", true),
            ("ghcr.io/acme/*/web", "ghcr.io/acme/*", false),
            ("ghcr.io/acme/*/web", "ghcr.io/acme/**", true),
            ("ghcr.io/acme/**", "ghcr.io/other/**", false),
            ("*/acme/web", "*.corp.example/acme/web", true),
            ("*.corp.example/acme/web", "*.example/acme/web", false),
            ("ghcr.io/acme/a*b", "ghcr.io/acme/a*c", false),
            ("ghcr.io/acme/a*b", "ghcr.io/acme/a*c*", true),
        ] {
            assert_eq!(pattern(one).is_ambiguous_with(&pattern(two)), ambiguous, "{one} {two}");
            assert_eq!(pattern(two).is_ambiguous_with(&pattern(one)), ambiguous, "{two} {one}");
        }
        assert!(pattern("a.b/x/web").precedence() > pattern("a.b/x/web*").precedence());
        assert!(pattern("a.b/x/web*").precedence() > pattern("a.b/x/*").precedence());
    }
}
