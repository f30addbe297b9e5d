//! Lists of references: `@FILE` in place of a reference, and for `verify` also `-`, standard input.
//!
//! One reference or file a line; blank lines and those that begin with `#` are skipped. A list does not name
//! other lists.

use std::io::Read;
use std::path::Path;

use super::drive::Driver;
use super::setup;
use crate::error::{Error, Result};

/// The largest list that is read.
const MAX_BYTES: u64 = 4 << 20;
/// Objects of a command at most, from all its lists together.
const MAX_OBJECTS: usize = 10_000;

/// An object that was named, on the command line or in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// What was typed.
    pub text: String,
    /// The list and the line that it stands in, as `FILE:LINE`; none on the command line.
    pub place: Option<String>,
}

impl Named {
    /// Says on an error about the text where it stands.
    pub(super) fn locate(&self, error: Error) -> Error {
        match &self.place {
            Some(place) => error.on(self.text.clone()).line("in", place.clone()),
            None => error,
        }
    }
}

/// The objects that `arguments` name, in their order. `stdin` is standard input where `-` stands for it.
///
/// # Errors
/// Usage: a list that cannot be read, is too long or no text, or names nothing; standard input named twice.
pub(super) fn expand(
    arguments: &[String],
    mut stdin: Option<&mut dyn Read>,
    driver: &Driver,
) -> Result<Vec<Named>> {
    let reads_stdin = stdin.is_some();
    let mut named = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let cannot = |error: std::io::Error| {
            Error::usage("cannot read list").on(argument.clone()).cause(error.to_string())
        };
        let (name, bytes) = match argument.as_str() {
            "-" if reads_stdin => {
                let Some(stdin) = stdin.take() else {
                    return Err(Error::usage("standard input can be read only once")
                        .cause("it was named twice"));
                };
                ("standard input", read(stdin).map_err(cannot)?)
            }
            text => match text.strip_prefix('@') {
                Some("") => return Err(Error::usage("a list has no name").on(text)),
                Some(path) => {
                    let file = path.to_owned();
                    let opened = move || Ok(std::fs::File::open(file).and_then(read));
                    (path, driver.reading(Path::new(path), opened)?.map_err(cannot)?)
                }
                None => {
                    named.push(Named { text: text.to_owned(), place: None });
                    continue;
                }
            },
        };
        lines(name, &bytes, &mut named).map_err(|error| error.on(argument.clone()))?;
    }
    if named.len() > MAX_OBJECTS {
        return Err(too_long(format!("it names more than {MAX_OBJECTS} charts")));
    }
    Ok(named)
}

/// Reads one byte more than a list may have, so that its length can be judged.
fn read(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_long(cause: String) -> Error {
    Error::usage("the list is too long").cause(cause)
}

fn lines(name: &str, bytes: &[u8], named: &mut Vec<Named>) -> Result<()> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_long(format!("{MAX_BYTES} bytes are read")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let before = named.len();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = format!("{name}:{}", at + 1);
        let text = std::str::from_utf8(line)
            .map_err(|_| Error::usage("the list is no text").line("in", place.clone()))?
            .trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if text == "-" || text.starts_with('@') {
            return Err(Error::usage("a list names no other lists").line("in", place));
        }
        named.push(Named { text: text.to_owned(), place: Some(place) });
        if named.len() > MAX_OBJECTS {
            return Err(too_long(format!("more than {MAX_OBJECTS} charts are named")));
        }
    }
    match named.len() > before {
        true => Ok(()),
        // Nothing verified is no success.
        false => Err(Error::usage("the list names no chart")),
    }
}

/// Every object with the words that it was named by, parsed by `parse`.
pub(super) fn objects<T>(
    named: &[Named],
    parse: impl Fn(crate::chart::Argument) -> Result<T>,
) -> Vec<super::drive::Object<T>> {
    let object = |named: &Named| {
        let object = setup::object(&named.text).and_then(&parse);
        (named.text.clone(), object.map_err(|error| named.locate(error)))
    };
    named.iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    fn list(bytes: &[u8]) -> Result<Vec<(String, String)>> {
        let mut stdin = bytes;
        let named = expand(&["-".to_owned()], Some(&mut stdin), &Driver::new(false))?;
        Ok(named.into_iter().map(|one| (one.text, one.place.unwrap_or_default())).collect())
    }

    #[test]
    fn blank_lines_and_comments_are_skipped_and_lines_are_counted() {
        let found = list(b"\xef\xbb\xbf# all\r\n\r\n oci://r/a:1 \r\n\n  # b\nweb.tgz").unwrap();
        let expected = [("oci://r/a:1", "standard input:3"), ("web.tgz", "standard input:6")];
        let found: Vec<_> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_list_that_names_nothing_or_too_much_or_another_list_is_refused() {
        let long = b"oci://r/a\n".repeat(MAX_OBJECTS + 1);
        let wide = vec![b' '; MAX_BYTES as usize + 1];
        for (bytes, words) in [
            (&b""[..], "names no chart"),
            (b"# nothing\n\n", "names no chart"),
            (&long, "too long"),
            (&wide, "too long"),
            (b"oci://r/a\n@other", "standard input:2"),
            (b"oci://r/a\n\xff", "standard input:2"),
        ] {
            let error = list(bytes).unwrap_err();
            assert_eq!(error.class, Class::Usage);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn without_standard_input_a_dash_is_left_alone() {
        let named =
            expand(&["-".to_owned(), "a.b/c".to_owned()], None, &Driver::new(false)).unwrap();
        assert_eq!(named.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["-", "a.b/c"]);
        let twice = ["-".to_owned(), "-".to_owned()];
        assert!(expand(&twice, Some(&mut &b"a.b/c"[..]), &Driver::new(false)).is_err());
    }
}
