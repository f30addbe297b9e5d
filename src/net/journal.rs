//! What goes over the network, for those who want to see it, and what servers warn of.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, WARNING};
use url::Url;

use super::request::label;
use super::text::bounded_line;

/// Warnings that are kept.
const MAX_WARNINGS: usize = 20;
/// Characters of a warning that are kept.
const MAX_WARNING: usize = 500;
/// Lines that are kept until somebody takes them.
const MAX_LINES: usize = 10_000;

/// Clones are the same journal. It holds no query, no header and no body, so that no secret is in it.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether requests are written down.
    requests: bool,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    lines: Vec<String>,
    warnings: Vec<String>,
    told: usize,
}

impl Journal {
    /// A journal; `requests` says whether every request is written down.
    pub fn new(requests: bool) -> Self {
        Self(Arc::new(Inner { requests, ..Inner::default() }))
    }

    /// The requests since the last time, a line each: `METHOD URL: STATUS, N ms`.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.pages().lines)
    }

    /// What servers warned of since the last time: `HOST warns: TEXT`. Each is told once.
    pub fn take_warnings(&self) -> Vec<String> {
        let mut pages = self.pages();
        let told = pages.told;
        pages.told = pages.warnings.len();
        pages.warnings.get(told..).unwrap_or_default().to_vec()
    }

    /// Writes down one exchange, and how it ended.
    pub(super) fn exchanged(&self, method: &Method, url: &Url, end: &str, took: Duration) {
        if self.0.requests {
            let line = format!("{}: {end}, {} ms", label(method, url), took.as_millis());
            let mut pages = self.pages();
            if pages.lines.len() < MAX_LINES {
                pages.lines.push(line);
            }
        }
    }

    /// Keeps what an answer warns of (OCI distribution specification 1.1, "Warnings": `299 - "TEXT"`).
    pub(super) fn heed(&self, url: &Url, headers: &HeaderMap) {
        for value in headers.get_all(WARNING).iter().take(MAX_WARNINGS) {
            let Some(text) = value.to_str().ok().and_then(text_of) else { continue };
            let host = url.host_str().unwrap_or_default();
            let text = format!("{host} warns: {}", bounded_line(&text, MAX_WARNING));
            let mut pages = self.pages();
            if pages.warnings.len() < MAX_WARNINGS && !pages.warnings.contains(&text) {
                pages.warnings.push(text);
            }
        }
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of a warning of the kind that is meant for people; others are about caches.
fn text_of(value: &str) -> Option<String> {
    let (_agent, quoted) = value.trim().strip_prefix("299 ")?.trim_start().split_once(' ')?;
    let quoted = quoted.trim_start().strip_prefix('"')?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return (!text.trim().is_empty()).then_some(text),
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn reads_warnings_that_are_meant_for_people() {
        for (value, text) in [
            (
                r#"299 - "Your auth token expires in 30 seconds.""#,
                Some("Your auth token expires in 30 seconds."),
            ),
            (r#"299 - "a \"b\" \\ c" "Sun, 22 Nov 2026 08:49:37 GMT""#, Some("a \"b\" \\ c")),
            (r#"299 r.example:443 "x""#, Some("x")),
            (r#"110 - "Response is Stale""#, None),
            ("299 -", None),
            (r#"299 - "unfinished"#, None),
            (r#"299 - """#, None),
            ("", None),
        ] {
            assert_eq!(text_of(value).as_deref(), text, "{value}");
        }
    }

    #[test]
    fn a_warning_is_told_once_and_not_without_end() {
        let journal = Journal::default();
        let url = Url::parse("https://r.example/v2/").unwrap();
        for at in [0, 0, 1] {
            let mut headers = HeaderMap::new();
            let text = format!("299 - \"no {at} {}\"", "x".repeat(600));
            headers.append(WARNING, HeaderValue::from_str(&text).unwrap());
            journal.heed(&url, &headers);
        }
        let warnings = journal.take_warnings();
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("r.example warns: no 0 x"));
        assert!(warnings[0].chars().count() < 530);
        assert_eq!(journal.take_warnings(), Vec::<String>::new());
        for at in 0..100 {
            let mut headers = HeaderMap::new();
            headers.append(WARNING, HeaderValue::from_str(&format!("299 - \"{at}\"")).unwrap());
            journal.heed(&url, &headers);
        }
        assert_eq!(journal.take_warnings().len(), MAX_WARNINGS - 2);
    }

    #[test]
    fn a_line_holds_no_query_and_is_written_only_where_it_is_wanted() {
        let url = Url::parse("https://u:secret@r.example/token?password=secret#secret").unwrap();
        for wanted in [false, true] {
            let journal = Journal::new(wanted);
            journal.exchanged(&Method::GET, &url, "200", Duration::from_millis(12));
            let expected = ["GET https://r.example/token: 200, 12 ms"];
            assert_eq!(journal.take_lines(), if wanted { &expected[..] } else { &[] });
        }
    }
}
