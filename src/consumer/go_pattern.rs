//! Our patterns for programs in Go, whose regular expressions (RE2) differ from ours in places.

use crate::error::{Error, Result};
use crate::verify::Matcher;

/// A Go regular expression that matches from the first to the last character.
///
/// # Errors
/// Usage: the pattern means something else there.
pub(super) fn anchored(matcher: &Matcher) -> Result<String> {
    Ok(match matcher {
        Matcher::Exact(text) => format!("^{}$", literal(text)),
        Matcher::Glob { typed, .. } => {
            let parts: Vec<_> = typed.split('*').map(literal).collect();
            format!("^{}$", parts.join(".*"))
        }
        Matcher::Pattern { typed, .. } => match differs(typed) {
            Some(what) => {
                return Err(Error::usage("the pattern means something else in Go")
                    .on(typed.as_str())
                    .cause(format!(
                        "{what} is Rust's, and those who verify here are written in Go"
                    )));
            }
            None => format!("^(?:{typed})$"),
        },
    })
}

/// The same characters, none of them an operator.
fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// What in a pattern that is one of ours is read otherwise by Go: operators and classes within a class, and word
/// boundaries by other names. What Go does not know at all it refuses itself.
fn differs(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        if let Some(escape) = rest.strip_prefix('\\') {
            if !class && ["<", ">", "b{"].iter().any(|what| escape.starts_with(what)) {
                return Some("a word boundary of this form");
            }
            let escaped = escape.chars().next().map_or(0, char::len_utf8);
            rest = escape.get(escaped..).unwrap_or_default();
            continue;
        }
        if class {
            if ["&&", "--", "~~"].iter().any(|what| rest.starts_with(what)) {
                return Some("an operator (&&, -- or ~~) within a class");
            }
            if let Some(name) = rest.strip_prefix("[:") {
                // A class by name, as both write it; anything else within one ends below.
                let end = name.find(":]").filter(|end| {
                    name.get(..*end).is_some_and(|name| {
                        name.chars().all(|c| c == '^' || c.is_ascii_lowercase())
                    })
                });
                if let Some(end) = end {
                    rest = name.get(end + 2..).unwrap_or_default();
                    continue;
                }
            }
            match c {
                '[' => return Some("a class within a class"),
                ']' => class = false,
                _ => {}
            }
        } else if c == '[' {
            class = true;
            // A bracket that comes first stands for itself.
            rest = rest.get(1..).unwrap_or_default();
            rest = rest.strip_prefix('^').unwrap_or(rest);
            rest = rest.strip_prefix(']').unwrap_or(rest);
            continue;
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pattern: &str) -> Result<String> {
        anchored(&Matcher::pattern("--certificate-identity-regexp", pattern).unwrap())
    }

    #[test]
    fn a_pattern_that_go_reads_otherwise_is_refused() {
        for pattern in [
            "https://x/[a-z--m]+",
            "https://x/[a-z&&[^m]]+",
            "https://x/[a-z~~m]+",
            "https://x/[[a-c]x]+",
            "https://x/[]a--b]+",
            r"https://x/[\]a--b]+",
            r"https://x/\<a\>",
            r"https://x/\b{start}a",
        ] {
            let error = given(pattern).unwrap_err();
            assert!(error.to_string().contains("means something else in Go"), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_pattern_that_both_read_alike_is_anchored() {
        for pattern in [
            r"https://github\.com/acme/.*",
            "https://x/[a-z0-9_.-]+",
            "https://x/[[:alpha:]-]+",
            "https://x/[[:^digit:]]+",
            r"https://x/\[--\]",
            "https://x/a--b&&c~~d",
            "https://x/[]a][^]b]--",
            r"https://x/[\[\-\-]",
            "a|b",
        ] {
            assert_eq!(given(pattern).unwrap(), format!("^(?:{pattern})$"), "{pattern}");
        }
    }
}
