//! How much a server still allows us, where it says so: Docker Hub's `RateLimit-Limit: 100;w=21600` and
//! `RateLimit-Remaining: 0;w=21600`, and for whom it counts.

use reqwest::header::HeaderMap;

use super::text::bounded_line;

/// As a phrase: `0 of 100 requests left in 6 h (counted for 192.0.2.1)`; nothing if the server does not say.
pub(super) fn phrase(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let limit = text("ratelimit-limit").and_then(parse);
    let (left, window) = text("ratelimit-remaining").and_then(parse)?;
    let mut phrase = match limit {
        Some((limit, _)) => format!("{left} of {limit} requests left"),
        None => format!("{left} requests left"),
    };
    if let Some(seconds) = window.or(limit.and_then(|(_, window)| window)) {
        phrase.push_str(&format!(" in {}", duration(seconds)));
    }
    if let Some(source) = text("docker-ratelimit-source").filter(|source| !source.is_empty()) {
        phrase.push_str(&format!(" (counted for {})", bounded_line(source, 64)));
    }
    Some(phrase)
}

/// `COUNT` or `COUNT;w=SECONDS`.
fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let mut parts = text.split(';').map(str::trim);
    let count = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok());
    Some((count, window))
}

fn duration(seconds: u64) -> String {
    match seconds {
        s if s >= 3600 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn says_what_the_server_still_allows() {
        for (headers, expected) in [
            (
                &[
                    ("ratelimit-limit", "100;w=21600"),
                    ("ratelimit-remaining", "0;w=21600"),
                    ("docker-ratelimit-source", "192.0.2.1"),
                ][..],
                Some("0 of 100 requests left in 6 h (counted for 192.0.2.1)"),
            ),
            (&[("ratelimit-remaining", "7")], Some("7 requests left")),
            (
                &[("ratelimit-limit", "5; w=90"), ("ratelimit-remaining", "1")],
                Some("1 of 5 requests left in 90 s"),
            ),
            (&[("ratelimit-limit", "100")], None),
            (&[("ratelimit-remaining", "many")], None),
            (&[], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(phrase(&map).as_deref(), expected, "{headers:?}");
        }
    }
}
