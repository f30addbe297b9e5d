//! Where a URL leads: its origin, whether that is a local place, and which hop may follow which.
//!
//! Credentials never cross an origin, https never steps down to http, and nobody outside may point us at
//! a place inside (a cloud's metadata service, a neighbour on the private network).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Scheme, host and port of a URL: what credentials are bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: Host<String>,
    port: u16,
}

impl Origin {
    /// The origin of an http or https URL; nothing for any other.
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }

    /// Whether both URLs have one origin. Two URLs without an origin are never equal.
    pub fn same(a: &Url, b: &Url) -> bool {
        Self::of(a).is_some_and(|origin| Some(origin) == Self::of(b))
    }

    /// Whether both URLs name the same host, whatever their schemes and ports.
    pub fn same_host(a: &Url, b: &Url) -> bool {
        a.host().is_some() && a.host() == b.host()
    }
}

/// When a request may go over plain http.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// To any host: a registry under `--plain-http`.
    Allowed,
    /// To a loopback host only: Sigstore services, issuers and mirrors.
    Loopback,
    /// Never: a registry.
    #[default]
    Never,
}

impl PlainHttp {
    /// Whether a request may be sent to `url`: https always, http as this policy says, nothing else.
    pub fn permits(self, url: &Url) -> bool {
        match url.scheme() {
            "https" => url.host().is_some(),
            "http" => match self {
                Self::Allowed => url.host().is_some(),
                Self::Loopback => is_loopback(url),
                Self::Never => false,
            },
            _ => false,
        }
    }
}

/// How far away a host is, as far as its name or address alone can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    LinkLocal,
    Loopback,
    Private,
    Public,
    Unspecified,
}

/// Whether the URL's host is this machine: `localhost`, a name under it, or a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    reach(url) == Reach::Loopback
}

/// Whether `to` may be asked because `from` said so, in a redirect, a `Location`, a `Link` or a realm.
///
/// # Errors
///
/// Why not, as a phrase: a scheme that `plain` does not permit, https to http, or a public host that names
/// a local address.
pub fn check_hop(from: &Url, to: &Url, plain: PlainHttp) -> Result<(), &'static str> {
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err("from https to plain http");
    }
    if !plain.permits(to) {
        return Err(match to.scheme() {
            "http" => "to plain http",
            _ => "to neither https nor http",
        });
    }
    if Origin::same_host(from, to) {
        return Ok(());
    }
    match (reach(from), reach(to)) {
        (_, Reach::Public) => Ok(()),
        (_, Reach::LinkLocal | Reach::Unspecified) => Err("to a link-local address"),
        (Reach::Public, _) => Err("to a private address"),
        _ => Ok(()),
    }
}

fn reach(url: &Url) -> Reach {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if name == "localhost" || name.ends_with(".localhost") {
                Reach::Loopback
            } else {
                // A URL parser has normalised every spelling of an IPv4 address; what is left is a name,
                // but for bracketed forms of schemes that are not special, which are refused elsewhere.
                name.parse::<IpAddr>().map_or(Reach::Public, reach_of_ip)
            }
        }
        Some(Host::Ipv4(ip)) => reach_of_v4(ip),
        Some(Host::Ipv6(ip)) => reach_of_v6(ip),
        None => Reach::Unspecified,
    }
}

fn reach_of_ip(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_of_v4(ip),
        IpAddr::V6(ip) => reach_of_v6(ip),
    }
}

fn reach_of_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, ..] = ip.octets();
    if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_link_local() {
        Reach::LinkLocal
    } else if a == 0 || ip.is_broadcast() || ip.is_multicast() {
        Reach::Unspecified
    } else if ip.is_private() || (a == 100 && (64..128).contains(&b)) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_of_v6(ip: Ipv6Addr) -> Reach {
    let segments = ip.segments();
    // An IPv4 address in IPv6 clothes: mapped, compatible, or behind a NAT64 gateway.
    let embedded = match segments {
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Some((a, b)),
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 => Some((a, b)),
        _ => None,
    };
    if let Some((a, b)) = embedded {
        return reach_of_v4(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b)));
    }
    let [first, ..] = segments;
    if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_unspecified() || ip.is_multicast() {
        Reach::Unspecified
    } else if first & 0xffc0 == 0xfe80 {
        Reach::LinkLocal
    } else if first & 0xfe00 == 0xfc00 {
        Reach::Private
    } else {
        Reach::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (a, b, same) in [
            ("https://a.example/x", "https://a.example:443/y?z", true),
            ("https://a.example", "https://A.EXAMPLE", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example", "https://b.a.example", false),
            ("https://[::1]:1", "https://[0:0::1]:1", true),
            ("data:x", "data:x", false),
        ] {
            assert_eq!(Origin::same(&url(a), &url(b)), same, "{a} {b}");
        }
    }

    #[test]
    fn plain_http_needs_permission() {
        for (text, never, loopback, allowed) in [
            ("https://a.example", true, true, true),
            ("http://a.example", false, false, true),
            ("http://localhost:5000", false, true, true),
            ("http://x.localhost", false, true, true),
            ("http://127.8.9.1", false, true, true),
            ("http://[::1]:80", false, true, true),
            ("http://[::ffff:127.0.0.1]", false, true, true),
            ("http://0x7f.1", false, true, true),
            ("http://localhost.a.example", false, false, true),
            ("ftp://localhost", false, false, false),
            ("file:///etc/passwd", false, false, false),
        ] {
            let url = url(text);
            assert_eq!(PlainHttp::Never.permits(&url), never, "{text}");
            assert_eq!(PlainHttp::Loopback.permits(&url), loopback, "{text}");
            assert_eq!(PlainHttp::Allowed.permits(&url), allowed, "{text}");
        }
    }

    #[test]
    fn a_public_host_may_not_point_inside() {
        for (from, to, permitted) in [
            ("https://a.example", "https://cdn.example/x", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://127.0.0.1", false),
            ("https://a.example", "https://localhost", false),
            ("https://a.example", "https://10.1.2.3", false),
            ("https://a.example", "https://192.168.0.1", false),
            ("https://a.example", "https://172.16.0.1", false),
            ("https://a.example", "https://172.32.0.1", true),
            ("https://a.example", "https://100.64.0.1", false),
            ("https://a.example", "https://169.254.169.254", false),
            ("https://a.example", "https://2852039166", false),
            ("https://a.example", "https://0.0.0.0", false),
            ("https://a.example", "https://[::]", false),
            ("https://a.example", "https://[fd00::1]", false),
            ("https://a.example", "https://[fe80::1]", false),
            ("https://a.example", "https://[::ffff:169.254.169.254]", false),
            ("https://a.example", "https://[64:ff9b::a9fe:a9fe]", false),
            ("https://a.example", "https://8.8.8.8", true),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("http://127.0.0.1:1", "http://localhost:2", true),
            ("http://127.0.0.1:1", "http://169.254.169.254", false),
            ("http://10.0.0.1", "http://10.0.0.2", true),
            ("https://10.0.0.1", "https://10.0.0.1:5", true),
            ("https://a.example", "file:///etc/passwd", false),
        ] {
            let verdict = check_hop(&url(from), &url(to), PlainHttp::Allowed);
            assert_eq!(verdict.is_ok(), permitted, "{from} {to} {verdict:?}");
        }
    }
}
