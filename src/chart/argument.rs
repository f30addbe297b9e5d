//! One argument of `sign` or `verify`: a packaged chart or a chart in a registry.

use super::reference::{ChartReference, has_scheme};
use crate::error::{Error, Result};

/// What stands at a path; the caller looks, because this room opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// Something that can be opened and read.
    File,
    /// Nothing.
    Missing,
}

/// One argument of `sign` or `verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A packaged chart, by its path as typed.
    File(String),
    /// A chart in a registry.
    Reference(ChartReference),
}

impl Argument {
    /// Decides what an argument is: `oci://…` is a reference, an existing file or anything that ends in
    /// `.tgz` is a file, the rest is a reference.
    ///
    /// # Errors
    /// A usage error for a directory, for nothing at all and for what is neither.
    pub fn parse(text: &str, kind: impl Fn(&str) -> PathKind) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("empty argument"));
        }
        if has_scheme(text) {
            return ChartReference::parse(text).map(Self::Reference);
        }
        match kind(text) {
            PathKind::File => Ok(Self::File(text.to_owned())),
            PathKind::Directory => Err(Error::usage("not a packaged chart")
                .on(text)
                .cause("this is a directory; only a packaged chart has a digest to sign")
                .hint(format!("helm package {}", shell_word(text)))),
            PathKind::Missing if text.ends_with(".tgz") => Ok(Self::File(text.to_owned())),
            PathKind::Missing => ChartReference::parse(text).map(Self::Reference),
        }
    }

    /// The argument as the user typed it.
    pub fn typed(&self) -> &str {
        match self {
            Self::File(path) => path,
            Self::Reference(reference) => &reference.typed,
        }
    }
}

/// Quotes a word for a POSIX shell where it needs it, so that a hint can be pasted.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+@:,=".contains(c);
    // A leading dash would be taken for a flag.
    let text = if text.starts_with('-') { format!("./{text}") } else { text.to_owned() };
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    #[test]
    fn a_quoted_word_is_one_word_and_runs_nothing() {
        assert_eq!(shell_word("jane@example.com"), "jane@example.com");
        assert_eq!(shell_word("a; rm -rf ~"), "'a; rm -rf ~'");
        assert_eq!(shell_word("a'b"), r"'a'\''b'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn tells_files_from_references() {
        let kind = |path: &str| match path {
            "there" | "ghcr.io/there" | "web-1.0.0.tgz" => PathKind::File,
            "web" | "my charts/it's" | "-d" => PathKind::Directory,
            _ => PathKind::Missing,
        };
        for file in ["there", "ghcr.io/there", "web-1.0.0.tgz", "gone.tgz", "/x/gone-1.0.0.tgz"] {
            let argument = Argument::parse(file, kind).unwrap();
            assert_eq!(argument, Argument::File(file.to_owned()));
            assert_eq!(argument.typed(), file);
        }
        for text in ["oci://ghcr.io/a/web", "ghcr.io/a/web:1", "oci://ghcr.io/a/web.tgz"] {
            let argument = Argument::parse(text, kind).unwrap();
            assert!(matches!(&argument, Argument::Reference(r) if r.typed == text));
            assert_eq!(argument.typed(), text);
        }
        for (directory, hint) in [
            ("web", "helm package web"),
            ("my charts/it's", r"helm package 'my charts/it'\''s'"),
            ("-d", "helm package ./-d"),
        ] {
            let error = Argument::parse(directory, kind).unwrap_err();
            assert_eq!((error.class, error.hint.as_deref()), (Class::Usage, Some(hint)));
        }
        for neither in ["", "gone", "a/gone", "web.zip"] {
            assert_eq!(Argument::parse(neither, kind).unwrap_err().class, Class::Usage);
        }
    }
}
