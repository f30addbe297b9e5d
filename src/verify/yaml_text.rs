//! What others say, in the YAML that we write: quoted, and in ASCII alone.
//!
//! Readers of YAML do not agree on what ends a line (U+0085, U+2028, U+2029), and a terminal acts on more than
//! control characters; of ASCII both make the same.

use std::fmt::Write as _;

/// A scalar in double quotes that YAML reads as this very text; one without characters beyond U+FFFF is JSON too.
pub fn yaml_scalar(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_ascii() && !c.is_control() => quoted.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    ..=0xffff => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// The same for a comment: nothing that could end it.
pub fn yaml_comment(text: &str) -> String {
    let shown = |c: char| c.is_ascii() && !c.is_control();
    text.chars()
        .flat_map(|c| if shown(c) { vec![c] } else { c.escape_unicode().collect() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\"\\\n\r\t\u{7f}\u{85}\u{9b}\u{ad}\u{202e}\u{2028}\u{2029}é\u{1f600}: # x";

    #[test]
    fn a_scalar_is_read_back_as_the_same_text_and_is_ascii_on_one_line() {
        let scalar = yaml_scalar(HOSTILE);
        assert!(scalar.chars().all(|c| c.is_ascii() && !c.is_control()), "{scalar}");
        assert_eq!(serde_saphyr::from_str::<String>(&scalar).unwrap(), HOSTILE);
        let plane: String = HOSTILE.chars().filter(|c| u32::from(*c) <= 0xffff).collect();
        assert_eq!(serde_json::from_str::<String>(&yaml_scalar(&plane)).unwrap(), plane);
        assert_eq!(yaml_scalar("a/b@c"), "\"a/b@c\"");
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        let comment = yaml_comment(HOSTILE);
        assert!(comment.chars().all(|c| c.is_ascii() && !c.is_control()), "{comment}");
        assert!(comment.contains("\\u{2028}") && comment.ends_with(": # x"), "{comment}");
    }
}
