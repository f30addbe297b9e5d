//! Text from outside, fit for one line of a message.

/// At most 300 characters without control characters.
pub(crate) fn one_line(text: &str) -> String {
    bounded_line(text, 300)
}

/// At most `max` characters of `text`; control characters and runs of blanks become one blank.
pub(crate) fn bounded_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for c in text.trim().chars() {
        let c = if c.is_control() || c.is_whitespace() { ' ' } else { c };
        if c == ' ' && line.ends_with(' ') {
            continue;
        }
        if count == max {
            line.push('…');
            break;
        }
        line.push(c);
        count += 1;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_becomes_one_bounded_line() {
        assert_eq!(one_line(" a\r\n\u{1b}[31mb\tc  d "), "a [31mb c d");
        assert_eq!(bounded_line("abcdef", 3), "abc…");
        assert_eq!(bounded_line("abc", 3), "abc");
        assert!(one_line(&"x".repeat(10_000)).chars().count() <= 301);
    }
}
