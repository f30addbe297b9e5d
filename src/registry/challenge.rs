//! What a registry demands in `WWW-Authenticate` (RFC 9110 section 11.6.1; distribution: token
//! authentication). Written by a stranger: whatever makes no sense is skipped.

use crate::net::header::{HeaderMap, WWW_AUTHENTICATE};

/// Bytes of one header that are read.
const MAX_HEADER: usize = 8 * 1024;
/// Challenges, and parameters of one, that are read.
const MAX_ITEMS: usize = 16;

/// One way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `basic`, `bearer`, …: lower case.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of that name (lower case).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of an answer, in order, at most 16.
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE).iter().take(MAX_ITEMS) {
        if let Ok(text) = value.to_str()
            && text.len() <= MAX_HEADER
        {
            parse_into(text, &mut found);
        }
    }
    found
}

fn parse_into(text: &str, challenges: &mut Vec<Challenge>) {
    let first = challenges.len();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let word = token(rest);
        if word.is_empty() {
            return;
        }
        rest = rest.get(word.len()..).unwrap_or_default();
        let after = rest.trim_start_matches([' ', '\t']);
        let Some(value) = after.strip_prefix('=') else {
            // A word that no `=` follows names the next scheme.
            if challenges.len() == MAX_ITEMS {
                return;
            }
            let scheme = word.to_ascii_lowercase();
            challenges.push(Challenge { scheme, parameters: Vec::new() });
            continue;
        };
        let (value, behind) = parameter_value(value.trim_start_matches([' ', '\t']));
        rest = behind;
        // A parameter before any scheme of this header belongs to nobody.
        if challenges.len() > first
            && let Some(challenge) = challenges.last_mut()
            && challenge.parameters.len() < MAX_ITEMS
        {
            challenge.parameters.push((word.to_ascii_lowercase(), value));
        }
    }
}

/// The token at the start of `text`, perhaps empty.
fn token(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~/".contains(c));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// A quoted string or everything up to the next comma; and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim_end().to_owned(), rest);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            _ => value.push(c),
        }
    }
    // An unfinished string is as good as what came of it.
    (value, "")
}

#[cfg(test)]
mod tests {
    use crate::net::header::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        challenges(&headers)
    }

    #[test]
    fn reads_a_registry_token_challenge() {
        let found = read(&[
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scheme, "bearer");
        assert_eq!(found[0].parameter("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(found[0].parameter("service"), Some("registry.docker.io"));
        assert_eq!(found[0].parameter("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(found[0].parameter("error"), None);
    }

    #[test]
    fn reads_several_challenges_in_one_header_or_many() {
        for values in [
            &[r#"BASIC realm="a \"b\", c", bearer REALM=https://x/t , scope = "s""#][..],
            &[r#"Basic realm="a \"b\", c""#, r#"Bearer realm="https://x/t",scope="s""#],
        ] {
            let found = read(values);
            assert_eq!(found.len(), 2, "{values:?}");
            assert_eq!(found[0].parameter("realm"), Some(r#"a "b", c"#));
            assert_eq!(found[1].scheme, "bearer");
            assert_eq!(found[1].parameter("realm"), Some("https://x/t"));
            assert_eq!(found[1].parameter("scope"), Some("s"));
        }
    }

    #[test]
    fn skips_what_makes_no_sense() {
        assert_eq!(read(&[""]), []);
        assert_eq!(read(&["=,\"", "realm=\"x\""]), []);
        assert_eq!(read(&["Negotiate YWJj=="])[0].scheme, "negotiate");
        assert_eq!(read(&["Bearer realm=\"unfinished"])[0].parameter("realm"), Some("unfinished"));
        assert_eq!(read(&[&format!("Bearer realm=\"{}\"", "x".repeat(MAX_HEADER))]), []);
        assert_eq!(read(&["a ".repeat(4000).as_str()]).len(), MAX_ITEMS);
    }

    #[test]
    fn never_panics_on_garbage() {
        let alphabet = b"Bearer Basic realm=\"x\\\",= \t;\xc3\xa4\xff:/";
        let mut state = 7_u64;
        for _ in 0..5_000 {
            let mut value = Vec::new();
            for _ in 0..40 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                value.push(alphabet[(state >> 33) as usize % alphabet.len()]);
            }
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(&value).unwrap());
            let _ = challenges(&headers);
        }
    }
}
