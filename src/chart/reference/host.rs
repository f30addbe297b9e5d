//! The front of a reference: scheme, host and port.

use core::net::Ipv6Addr;

use super::{ChartReference, SCHEME, invalid};
use crate::error::Result;

/// Longer than any reference that a registry would serve (characters, all parts together).
const MAX_REFERENCE: usize = 1024;
/// RFC 1035 section 2.3.4.
const MAX_HOST: usize = 253;

pub(in crate::chart) fn has_scheme(text: &str) -> bool {
    text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Splits `[oci://]HOST[:PORT][/REST]` into the host, checked and in lower case, and the rest.
pub(super) fn split_host(text: &str) -> Result<(String, Option<&str>)> {
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
