//! Versions and tags as Helm reads them: the rules of Masterminds/semver 3.5, which Helm 3 and 4 use.
//!
//! [`Version`] is one version, [`Constraint`] what `--version` may hold, [`select`] the choice from a tag
//! list, [`TagMeaning`] what a tag promises about the chart behind it.

mod constraint;
mod selection;

use std::cmp::Ordering;
use std::fmt;

pub use constraint::Constraint;
pub use selection::{Lookup, Selected, is_exact, lookup, newest_first, select};

use crate::error::{Error, Result};

/// The longest version text that Helm's library reads, in bytes.
const MAX_VERSION: usize = 256;

/// A semantic version. Two versions that differ only in build metadata have the same precedence, so there
/// is no `Ord`: see [`Version::precedence`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(semver::Version);

impl Version {
    /// Parses what Helm takes for a version: `1.4.2`, but also `1`, `1.4`, `v1.4.2` and leading zeros.
    ///
    /// # Errors
    /// A usage error.
    pub fn parse(text: &str) -> Result<Self> {
        let core = text.strip_prefix('v').unwrap_or(text);
        Self::read(text, core, false).ok_or_else(|| not_a_version(text))
    }

    /// Parses a version of exactly the form X.Y.Z, with pre-release and build metadata (semver.org 2.0.0);
    /// only such tags take part in a choice.
    ///
    /// # Errors
    /// A usage error.
    pub fn parse_strict(text: &str) -> Result<Self> {
        Self::read(text, text, true).ok_or_else(|| not_a_version(text))
    }

    fn read(text: &str, body: &str, strict: bool) -> Option<Self> {
        if text.len() > MAX_VERSION {
            return None;
        }
        let (body, build) = match body.split_once('+') {
            Some((body, build)) => (body, Some(build)),
            None => (body, None),
        };
        let (core, pre) = match body.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (body, None),
        };
        let mut parts = core.split('.');
        let mut numbers = [0; 3];
        let mut count = 0;
        for (number, part) in numbers.iter_mut().zip(parts.by_ref()) {
            *number = parse_number(part, strict)?;
            count += 1;
        }
        if parts.next().is_some() || (strict && count != 3) {
            return None;
        }
        let [major, minor, patch] = numbers;
        let mut version = semver::Version::new(major, minor, patch);
        if let Some(pre) = pre {
            version.pre = semver::Prerelease::new(pre).ok().filter(|pre| !pre.is_empty())?;
        }
        if let Some(build) = build {
            version.build =
                semver::BuildMetadata::new(build).ok().filter(|build| !build.is_empty())?;
        }
        Some(Self(version))
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// The second number.
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    /// The third number.
    pub fn patch(&self) -> u64 {
        self.0.patch
    }

    /// Whether this is a pre-release.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// Which of two versions is newer (semver.org section 11); build metadata does not count.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let numbers = |v: &Self| [v.0.major, v.0.minor, v.0.patch];
        numbers(self).cmp(&numbers(other)).then_with(|| {
            match (self.is_prerelease(), other.is_prerelease()) {
                (false, false) => Ordering::Equal,
                (false, true) => Ordering::Greater,
                (true, false) => Ordering::Less,
                (true, true) => self.compare_pre(other),
            }
        })
    }

    /// Compares the pre-releases alone. Numbers beyond 64 bits count as words, as they do in Helm; that is
    /// where the `semver` crate orders differently.
    fn compare_pre(&self, other: &Self) -> Ordering {
        let (mut ours, mut theirs) = (identifiers(&self.0.pre), identifiers(&other.0.pre));
        loop {
            let order = match (ours.next(), theirs.next()) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                    (Ok(a), Ok(b)) => a.cmp(&b),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(_), Err(_)) => a.cmp(b),
                },
            };
            if order.is_ne() {
                return order;
            }
        }
    }

    /// A total order for choosing one of several tags: precedence, then build metadata, so that the answer
    /// does not depend on the order of the registry's list. (Helm leaves that order open.)
    fn choice_order(&self, other: &Self) -> Ordering {
        self.precedence(other).then_with(|| self.0.build.cmp(&other.0.build))
    }
}

impl fmt::Display for Version {
    /// `X.Y.Z[-PRE][+BUILD]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn parse_number(text: &str, strict: bool) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if !digits || (strict && leading_zero) { None } else { text.parse().ok() }
}

/// The dot-separated parts of a pre-release; none if there is no pre-release.
fn identifiers(pre: &str) -> impl Iterator<Item = &str> {
    pre.split('.').filter(|part| !part.is_empty())
}

fn not_a_version(text: &str) -> Error {
    let shown: String = text.chars().take(64).collect();
    Error::usage("not a version").cause(format!("{shown:?} is not of the form X.Y.Z"))
}

/// What a tag promises about the version of the chart behind it (DESIGN decision 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagMeaning {
    /// A full X.Y.Z version: the chart's version is this text. Without a leading `v`, `+` for `_`.
    Exact(String),
    /// `1` or `1.4`: the chart's version begins with these numbers.
    Leading(Vec<u64>),
    /// Not a tag, but the constraint that was given beside a digest: it admits the chart's version.
    Within(Constraint),
    /// Anything else, `latest` for example: no promise, and the report says so.
    NotChecked,
}

impl TagMeaning {
    /// The meaning of a tag as it stands on the wire.
    pub fn of(tag: &str) -> Self {
        let text = tag.replace('_', "+");
        let text = without_v(&text);
        if Version::parse_strict(text).is_ok() {
            return Self::Exact(text.to_owned());
        }
        let numbers: Option<Vec<_>> =
            text.splitn(3, '.').map(|part| parse_number(part, true)).collect();
        match numbers {
            Some(numbers) if numbers.len() < 3 => Self::Leading(numbers),
            _ => Self::NotChecked,
        }
    }

    /// Whether a chart of this version may stand behind the tag.
    pub fn admits(&self, version: &str) -> bool {
        match self {
            Self::Exact(expected) => without_v(version) == expected,
            Self::Leading(expected) => Version::parse(version).is_ok_and(|version| {
                let numbers = [version.major(), version.minor()];
                expected.iter().zip(numbers).all(|(expected, number)| *expected == number)
            }),
            Self::Within(constraint) => {
                Version::parse(version).is_ok_and(|version| constraint.check(&version))
            }
            Self::NotChecked => true,
        }
    }
}

impl fmt::Display for TagMeaning {
    /// The version as far as it is known, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => f.write_str(version),
            Self::Leading(numbers) => {
                for number in numbers {
                    write!(f, "{number}.")?;
                }
                f.write_str("x")
            }
            Self::Within(constraint) => f.write_str(constraint.text()),
            Self::NotChecked => f.write_str("any version"),
        }
    }
}

fn without_v(text: &str) -> &str {
    text.strip_prefix('v').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_as_helm_does() {
        for (text, lenient, strict) in [
            ("1.2.3", Some("1.2.3"), true),
            ("1", Some("1.0.0"), false),
            ("1.2", Some("1.2.0"), false),
            ("v1.2.3", Some("1.2.3"), false),
            ("V1.2.3", None, false),
            ("vv1.2.3", None, false),
            ("v", None, false),
            ("", None, false),
            ("01.2.3", Some("1.2.3"), false),
            ("1.2.03", Some("1.2.3"), false),
            ("1.2.3.4", None, false),
            ("1..3", None, false),
            ("1.2.", None, false),
            (".1.2", None, false),
            ("1.x", None, false),
            ("+1.2.3", None, false),
            ("-1.2.3", None, false),
            (" 1.2.3", None, false),
            ("1.2.3 ", None, false),
            ("1.2.3\n", None, false),
            ("1.2.3-rc.1", Some("1.2.3-rc.1"), true),
            ("1.2.3-rc.01", None, false),
            ("1.2.3-rc.0a", Some("1.2.3-rc.0a"), true),
            ("1.2.3-", None, false),
            ("1.2.3-a..b", None, false),
            ("1.2.3-ä", None, false),
            ("1.2.3+", None, false),
            ("1.2.3+001", Some("1.2.3+001"), true),
            ("1.2.3+a-b.c", Some("1.2.3+a-b.c"), true),
            ("1.2.3+a+b", None, false),
            ("1.2.3-a-b+c-d", Some("1.2.3-a-b+c-d"), true),
            ("1-a.b", Some("1.0.0-a.b"), false),
            ("1.2-a.3", Some("1.2.0-a.3"), false),
            ("18446744073709551615.0.0", Some("18446744073709551615.0.0"), true),
            ("18446744073709551616.0.0", None, false),
            ("latest", None, false),
        ] {
            let parsed = Version::parse(text).ok().map(|v| v.to_string());
            assert_eq!(parsed.as_deref(), lenient, "{text}");
            assert_eq!(Version::parse_strict(text).is_ok(), strict, "{text}");
        }
        let long = format!("1.2.3-{}", "a".repeat(250));
        assert!(Version::parse(&long[..256]).is_ok());
        assert!(Version::parse(&format!("{long}b")).is_err());
    }

    #[test]
    fn orders_versions_by_precedence() {
        let sorted = [
            "0.0.1",
            "0.1.0-alpha",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-99999999999999999999",
            "1.0.0-A",
            "1.0.0-a",
            "1.0.0-a.1",
            "1.0.0-a.1.1",
            "1.0.0-a.b",
            "1.0.0-rc",
            "1.0.0",
            "1.0.1",
            "1.1.0",
            "2.0.0-rc.1",
            "2.0.0",
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                let (va, vb) = (Version::parse(a).unwrap(), Version::parse(b).unwrap());
                assert_eq!(va.precedence(&vb), i.cmp(&j), "{a} {b}");
            }
        }
        let (a, b) = (Version::parse("1.0.0+a").unwrap(), Version::parse("1.0.0+b").unwrap());
        assert!(a.precedence(&b).is_eq() && a.choice_order(&b).is_lt());
    }

    #[test]
    fn a_tag_means_what_it_says() {
        let exact = |text: &str| TagMeaning::Exact(text.to_owned());
        for (tag, meaning, good, bad) in [
            (
                "1.4.2",
                exact("1.4.2"),
                &["1.4.2", "v1.4.2"][..],
                &["1.4.20", "1.4", "1.4.2+b", ""][..],
            ),
            ("v1.4.2", exact("1.4.2"), &["1.4.2", "v1.4.2"], &["vv1.4.2", "1.4.3"]),
            (
                "1.3.0_build.5",
                exact("1.3.0+build.5"),
                &["1.3.0+build.5"],
                &["1.3.0", "1.3.0_build.5"],
            ),
            ("1.0.0-rc.1", exact("1.0.0-rc.1"), &["1.0.0-rc.1"], &["1.0.0"]),
            (
                "1",
                TagMeaning::Leading(vec![1]),
                &["1.4.2", "v1.0.0", "1"],
                &["10.0.0", "2.1.0", "x"],
            ),
            ("1.4", TagMeaning::Leading(vec![1, 4]), &["1.4.2", "1.4.0-rc"], &["1.40.0", "1.5.0"]),
            ("v1.4", TagMeaning::Leading(vec![1, 4]), &["1.4.2"], &["1.5.0"]),
            ("latest", TagMeaning::NotChecked, &["1.4.2", ""], &[]),
            ("1.02.3", TagMeaning::NotChecked, &["1.2.3"], &[]),
            ("1.4-rc", TagMeaning::NotChecked, &["9.9.9"], &[]),
            ("1.2.3.4", TagMeaning::NotChecked, &["9.9.9"], &[]),
            ("01", TagMeaning::NotChecked, &["9.9.9"], &[]),
            ("vv1.0.0", TagMeaning::NotChecked, &["9.9.9"], &[]),
        ] {
            assert_eq!(TagMeaning::of(tag), meaning, "{tag}");
            for version in good {
                assert!(meaning.admits(version), "{tag} {version}");
            }
            for version in bad {
                assert!(!meaning.admits(version), "{tag} {version}");
            }
        }
    }

    /// `tests/interop/constraints` writes the table with the library that Helm uses.
    #[test]
    fn agrees_with_helms_library() {
        #[derive(serde::Deserialize)]
        struct Row {
            constraint: Option<String>,
            version: Option<String>,
            other: Option<String>,
            valid: bool,
            strict: bool,
            #[serde(default)]
            normal: String,
            check: bool,
            compare: i8,
        }
        let Some(path) = std::env::var_os("HELM_SIGSTORE_CONSTRAINT_TABLE") else { return };
        let (mut agreed, mut wrong) = (0, Vec::new());
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let row: Row = serde_json::from_str(line).unwrap();
            let version = row.version.as_deref().map(Version::parse);
            let good = match (&row.constraint, version, &row.other) {
                (Some(constraint), version, _) => match (Constraint::parse(constraint), version) {
                    (Ok(constraint), Some(version)) => {
                        row.valid && constraint.check(&version.unwrap()) == row.check
                    }
                    (Err(_), _) => !row.valid,
                    (Ok(_), None) => false,
                },
                (None, Some(version), Some(other)) => {
                    let other = Version::parse(other).unwrap();
                    version.unwrap().precedence(&other) as i8 == row.compare
                }
                (None, Some(version), None) => {
                    let strict = Version::parse_strict(row.version.as_deref().unwrap()).is_ok();
                    let normal = version.map(|v| v.to_string());
                    strict == row.strict
                        && normal.is_ok() == row.valid
                        && normal.unwrap_or_default() == row.normal
                }
                (None, None, _) => false,
            };
            match good {
                true => agreed += 1,
                false => wrong.push(line.to_owned()),
            }
        }
        println!("{agreed} rows agree, {} do not", wrong.len());
        wrong.truncate(20);
        assert!(agreed > 0 && wrong.is_empty(), "{wrong:#?}");
    }
}
