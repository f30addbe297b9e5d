//! What `helm push` prints, read from standard input: pairs of `Pushed: HOST/PATH/NAME:TAG` and `Digest: sha256:…`.

use crate::chart::{ChartReference, Digest};
use crate::error::{Error, Result};
use crate::run::ChartName;

/// Charts that are taken from standard input at most.
const MAX_PUSHED: usize = 10_000;

/// A chart that was pushed.
#[derive(Debug)]
pub(super) struct Pushed {
    /// The reference as Helm printed it.
    pub typed: String,
    /// The same by its digest.
    pub reference: ChartReference,
    /// Its name and version, from the tag.
    pub chart: ChartName,
}

/// What standard input held.
#[derive(Debug)]
pub(super) struct Scraped {
    /// The pairs, in order.
    pub pushed: Result<Vec<Pushed>>,
    /// All other lines.
    pub rest: Vec<String>,
}

/// Takes the pairs out of `text`. `helm pull` prints `Digest:` too, after a `Pulled:`: that one is no half of a pair.
pub(super) fn scrape(text: &str) -> Scraped {
    let mut rest = Vec::new();
    let mut pushed = Vec::new();
    let mut failure = None;
    let (mut open, mut pulled) = (None::<&str>, false);
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        if let Some(reference) = line.strip_prefix("Pushed: ") {
            if let Some(before) = open.replace(reference.trim()) {
                failure.get_or_insert_with(|| half(before, "without its digest"));
            }
            pulled = false;
        } else if let Some(digest) = line.strip_prefix("Digest: ").filter(|_| !pulled) {
            match open.take() {
                Some(reference) => match pair(reference, digest.trim()) {
                    Ok(one) => pushed.push(one),
                    Err(error) => {
                        failure.get_or_insert(error);
                    }
                },
                None => {
                    failure.get_or_insert_with(|| half(digest, "without its reference"));
                }
            }
        } else {
            pulled = line.starts_with("Pulled: ") || (pulled && !line.starts_with("Digest: "));
            rest.push(line.to_owned());
        }
    }
    if let Some(before) = open {
        failure.get_or_insert_with(|| half(before, "without its digest"));
    }
    let pushed = match failure {
        Some(error) => Err(error),
        None if pushed.is_empty() => Err(Error::usage("nothing was pushed")
            .on("standard input")
            .cause("there is no line `Pushed:` of `helm push` in it")
            .note(
                "helm 3 and early helm 4 print it on standard error: helm push … 2>&1 | … sign -",
            )),
        None if pushed.len() > MAX_PUSHED => {
            Err(Error::usage(format!("more than {MAX_PUSHED} charts")).on("standard input"))
        }
        None => Ok(pushed),
    };
    Scraped { pushed, rest }
}

fn half(found: &str, words: &str) -> Error {
    Error::usage("half of what `helm push` prints")
        .on(crate::net::bounded_line(found, 200))
        .cause(format!("a line {words}"))
        .note("nothing was signed")
}

fn pair(reference: &str, digest: &str) -> Result<Pushed> {
    let bare = reference.strip_prefix("oci://").unwrap_or(reference);
    let typed = format!("oci://{bare}");
    let parsed = ChartReference::parse(&typed)?;
    let digest = Digest::parse(digest)?;
    let (Some(tag), None) = (&parsed.tag, &parsed.digest) else {
        return Err(half(reference, "without a tag"));
    };
    let chart = ChartName { name: parsed.name().to_owned(), version: Some(tag.clone()) };
    Ok(Pushed { reference: ChartReference::parse(&parsed.with_digest(&digest))?, chart, typed })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:2ba200000000000000000000000000000000000000000000000000000000000f";

    #[test]
    fn pairs_are_taken_and_the_rest_is_kept() {
        let text = format!(
            "level=WARN msg=\"x\"\nPushed: r.io/a/web:1.0.0_b\r\nDigest: {DIGEST}\n\
             r.io/a/web:1.0.0_b contains an underscore.\nPulled: r.io/a/x:1\nDigest: {DIGEST}\n\
             Pushed: r.io/a/api:2.0.0\nDigest: {DIGEST}\n"
        );
        let found = scrape(&text);
        assert_eq!(found.rest.len(), 4, "{:?}", found.rest);
        let pushed = found.pushed.unwrap();
        let typed: Vec<_> = pushed.iter().map(|one| one.typed.as_str()).collect();
        assert_eq!(typed, ["oci://r.io/a/web:1.0.0_b", "oci://r.io/a/api:2.0.0"]);
        assert_eq!(pushed[0].reference.to_string(), format!("oci://r.io/a/web@{DIGEST}"));
        assert_eq!(pushed[0].chart.version.as_deref(), Some("1.0.0_b"));
    }

    #[test]
    fn none_and_half_of_one_are_refused() {
        for text in [
            String::new(),
            "Error: denied\n".to_owned(),
            "Pushed: r.io/a/web:1.0.0\n".to_owned(),
            format!("Digest: {DIGEST}\n"),
            format!("Pushed: r.io/a/web:1\nPushed: r.io/a/api:1\nDigest: {DIGEST}\n"),
            "Pushed: r.io/a/web:1\nDigest: sha256:2ba2\n".to_owned(),
            format!("Pushed: r.io/a/web\nDigest: {DIGEST}\n"),
        ] {
            let error = scrape(&text).pushed.unwrap_err();
            assert_eq!(error.class, crate::error::Class::Usage, "{text}: {error}");
        }
    }
}
