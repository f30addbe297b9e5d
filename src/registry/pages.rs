//! Lists that come in pages (OCI distribution specification, `Link`; RFC 8288).

use std::collections::HashSet;

use crate::error::{Error, Reason, Result};
use crate::net::header::{HeaderMap, LINK};
use crate::net::{Origin, Response, Url};

/// Pages of one list, at most.
const MAX_PAGES: usize = 1_000;
/// Bytes of one `Link` header that are read.
const MAX_HEADER: usize = 8 * 1024;

/// Walks the pages of one list: never in a circle, never to another site, never without end.
pub(super) struct Pages {
    seen: HashSet<Url>,
    max_bytes: usize,
    /// Bytes that the rest of the list may have.
    pub(super) bytes_left: usize,
}

impl Pages {
    pub(super) fn new(first: &Url, max_bytes: usize) -> Self {
        Self { seen: HashSet::from([first.clone()]), max_bytes, bytes_left: max_bytes }
    }

    /// Says on an error about one page's bound what the bound of the whole list is.
    pub(super) fn explain(&self, error: Error) -> Error {
        match error.reason {
            Reason::LimitReached => {
                error.note(format!("of a list, {} bytes are read", self.max_bytes))
            }
            _ => error,
        }
    }

    /// The page after this one; nothing if it is the last.
    ///
    /// # Errors
    ///
    /// Undecided: a link to another site or back, or more pages or bytes than we read. A list that was read
    /// in part is not a list.
    pub(super) fn next(&mut self, page: &Response) -> Result<Option<Url>> {
        self.bytes_left = self.bytes_left.saturating_sub(page.body.len());
        let Some(link) = next_link(&page.headers) else { return Ok(None) };
        let failed = |reason, what: String| {
            Err(Error::undecided(reason, format!("{}: {what}", page.label())))
        };
        let Ok(next) = page.url.join(&link) else {
            return failed(Reason::Malformed, "the link to the next page is no URL".into());
        };
        if !Origin::same(&page.url, &next) {
            let what = "the link to the next page leads to another site";
            return failed(Reason::Malformed, what.into());
        }
        if self.seen.len() >= MAX_PAGES {
            return failed(Reason::LimitReached, format!("more than {MAX_PAGES} pages"));
        }
        if self.bytes_left == 0 {
            let what = format!("the list is over its bound of {} bytes", self.max_bytes);
            return failed(Reason::LimitReached, what);
        }
        if !self.seen.insert(next.clone()) {
            return failed(Reason::Malformed, "the pages form a loop".into());
        }
        Ok(Some(next))
    }
}

/// The target of the first link in `Link` whose relation is `next`, as it stands there.
pub fn next_link(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter(|value| value.len() <= MAX_HEADER)
        .find_map(next_in)
}

fn next_in(header: &str) -> Option<String> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        // The parameters end where the next target begins; a URL inside quotes does not matter to us.
        let end = after.find('<').unwrap_or(after.len());
        let (parameters, behind) = after.split_at(end);
        if parameters.split(';').any(is_next) {
            return Some(target.to_owned());
        }
        rest = behind;
    }
}

fn is_next(parameter: &str) -> bool {
    let parameter = parameter.trim().trim_end_matches(',');
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("rel")
        && value.trim().trim_matches('"').split_whitespace().any(|r| r.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_link_to_the_next_page() {
        for (header, expected) in [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=b&n=2")),
            ("<x>;rel=next", Some("x")),
            ("<p>; rel=prev, <n>; title=\"a\" ; REL=\"x next\"", Some("n")),
            ("<p>; rel=\"prev\"", None),
            ("<p>; rel=\"nextly\"", None),
            ("<p>", None),
            ("next", None),
            ("<p; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_in(header).as_deref(), expected, "{header}");
        }
    }
}
