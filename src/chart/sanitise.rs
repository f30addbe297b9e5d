//! Text as Helm keeps it once it has read a chart.

/// Helm's `sanitizeString`: white space becomes a space, what Go's `unicode.IsPrint` does not know goes away.
pub(super) fn sanitise(text: &str) -> String {
    let kept = text.chars().filter_map(|c| match c {
        c if c.is_whitespace() => Some(' '),
        c if c.is_ascii() => (!c.is_ascii_control()).then_some(c),
        c => is_print(c).then_some(c),
    });
    kept.collect()
}

/// The categories L, M, N, P and S. The standard library has the same table, to decide what `Debug` escapes; it
/// escapes combining marks too, but not behind a letter.
fn is_print(c: char) -> bool {
    !format!("a{c}").escape_debug().to_string().contains("\\u{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_sanitised_as_helm_does() {
        assert_eq!(
            sanitise("a\tb\nc\u{a0}d\u{7}e\u{200b}f\u{301}ü\u{e000}\u{2028}"),
            "a b c def\u{301}ü "
        );
    }
}
