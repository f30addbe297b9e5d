//! Version constraints: `,` or space for AND, `||` for OR, comparison operators, wildcards and ranges.
//!
//! The grammar is Masterminds/semver's, oddities included, because `--version` has to mean what it means
//! to Helm. `tests/interop/constraints` compares the two over that module's own tables.

use std::cmp::Ordering;

use super::Version;
use crate::error::{Error, Result};

/// The longest constraint that Helm's library reads, in bytes.
const MAX_CONSTRAINT: usize = 512;
/// The most groups joined by `||` that it reads.
const MAX_GROUPS: usize = 32;

/// A set of versions: at least one group is satisfied whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    text: String,
    groups: Vec<Group>,
}

/// Comparators joined by AND.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    comparators: Vec<Comparator>,
    /// Pre-releases take part only if some comparator of the group names one.
    prereleases: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    version: Version,
    wild: Wild,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Caret,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    NotEqual,
    Tilde,
}

/// The first part of the version that is missing or a wildcard; the parts from there on are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wild {
    Major,
    Minor,
    Nothing,
    Patch,
}

impl Constraint {
    /// Parses a constraint.
    ///
    /// # Errors
    /// A usage error, `improper constraint`, as Helm calls it.
    pub fn parse(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(80).collect();
        let improper =
            |cause: String| Error::usage("improper constraint").on(shown.clone()).cause(cause);
        if text.len() > MAX_CONSTRAINT {
            return Err(improper(format!("it is longer than {MAX_CONSTRAINT} bytes")));
        }
        let rewritten = rewrite_ranges(text);
        let segments: Vec<_> = rewritten.split("||").collect();
        if segments.len() > MAX_GROUPS {
            return Err(improper(format!("it has more than {MAX_GROUPS} alternatives")));
        }
        let groups: Option<Vec<_>> = segments.into_iter().map(Group::parse).collect();
        match groups {
            Some(groups) => Ok(Self { text: text.to_owned(), groups }),
            None => Err(improper("this is neither a version nor a range of versions".to_owned())),
        }
    }

    /// The constraint as the user typed it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a version belongs to the set.
    pub fn check(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| group.check(version))
    }
}

impl Group {
    /// Reads comparators that are separated by white space, one comma, or both.
    fn parse(segment: &str) -> Option<Self> {
        let mut rest = segment;
        let mut comparators = Vec::new();
        loop {
            rest = trim(rest);
            let (comparator, after) = Comparator::parse(rest)?;
            comparators.push(comparator);
            rest = trim(after);
            if rest.is_empty() {
                break;
            }
            match rest.strip_prefix(',') {
                Some(after_comma) => rest = after_comma,
                None if rest.len() == after.len() => return None,
                None => {}
            }
        }
        let prereleases = comparators.iter().any(|c| c.version.is_prerelease());
        Some(Self { comparators, prereleases })
    }

    fn check(&self, version: &Version) -> bool {
        (self.prereleases || !version.is_prerelease())
            && self.comparators.iter().all(|comparator| comparator.check(version))
    }
}

impl Comparator {
    /// Reads an operator and a version from the start of `text`; what follows them is returned.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let (operator, rest) = Operator::parse(text);
        let rest = trim(rest);
        let length = pattern_length(rest)?;
        let (pattern, rest) = rest.split_at_checked(length)?;
        let (version, wild) = parse_pattern(pattern)?;
        Some((Self { operator, version, wild }, rest))
    }

    fn check(&self, version: &Version) -> bool {
        let order = version.precedence(&self.version);
        match self.operator {
            Operator::Caret => self.caret(version, order),
            Operator::Equal => match self.wild {
                Wild::Nothing => order.is_eq(),
                _ => self.tilde(version, order),
            },
            Operator::Greater => match self.wild {
                // `>11` means 12 and up, `>11.1` means 11.2 and up.
                Wild::Minor => version.major() > self.version.major(),
                Wild::Patch => {
                    [version.major(), version.minor()]
                        > [self.version.major(), self.version.minor()]
                }
                Wild::Major | Wild::Nothing => order.is_gt(),
            },
            Operator::GreaterEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessEqual => match self.wild {
                Wild::Nothing => order.is_le(),
                Wild::Minor => version.major() <= self.version.major(),
                // `<=1.1` includes 1.1.9.
                Wild::Patch | Wild::Major => {
                    [version.major(), version.minor()]
                        <= [self.version.major(), self.version.minor()]
                }
            },
            Operator::NotEqual => self.not_equal(version, order),
            Operator::Tilde => self.tilde(version, order),
        }
    }

    fn same_major(&self, version: &Version) -> bool {
        version.major() == self.version.major()
    }

    fn same_minor(&self, version: &Version) -> bool {
        self.same_major(version) && version.minor() == self.version.minor()
    }

    /// `~1.2.3` is `>=1.2.3, <1.3.0`; `~1` is `1.x`.
    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        let zero = [self.version.major(), self.version.minor(), self.version.patch()] == [0; 3];
        if order.is_lt() {
            return false;
        }
        match self.wild {
            // `*`, and `~0.0.0` with it, is every version.
            Wild::Major | Wild::Nothing if zero => true,
            Wild::Minor => self.same_major(version),
            _ => self.same_minor(version),
        }
    }

    /// `^1.2.3` is `>=1.2.3, <2.0.0`; below 1.0.0 the first number that is not zero takes that part.
    fn caret(&self, version: &Version, order: Ordering) -> bool {
        if order.is_lt() {
            return false;
        }
        if self.version.major() > 0 || self.wild == Wild::Minor {
            self.same_major(version)
        } else if self.version.minor() > 0 || self.wild == Wild::Patch {
            self.same_minor(version)
        } else {
            self.same_minor(version) && version.patch() == self.version.patch()
        }
    }

    fn not_equal(&self, version: &Version, order: Ordering) -> bool {
        match self.wild {
            Wild::Nothing => order.is_ne(),
            Wild::Minor => !self.same_major(version),
            Wild::Patch => {
                let pre = version.is_prerelease() || self.version.is_prerelease();
                !self.same_minor(version)
                    || (pre && version.compare_pre(&self.version) != Ordering::Equal)
            }
            // Unlike everywhere else, `!=*` is `!=0.0.0`.
            Wild::Major => order.is_ne(),
        }
    }
}

impl Operator {
    /// Reads the longest operator that `text` begins with; none is `=`.
    fn parse(text: &str) -> (Self, &str) {
        for (sign, operator) in [
            (">=", Self::GreaterEqual),
            ("=>", Self::GreaterEqual),
            ("<=", Self::LessEqual),
            ("=<", Self::LessEqual),
            ("!=", Self::NotEqual),
            ("~>", Self::Tilde),
            ("=", Self::Equal),
            (">", Self::Greater),
            ("<", Self::Less),
            ("~", Self::Tilde),
            ("^", Self::Caret),
        ] {
            if let Some(rest) = text.strip_prefix(sign) {
                return (operator, rest);
            }
        }
        (Self::Equal, text)
    }
}

/// How many bytes at the start of `text` have the shape of a version or pattern:
/// `v? PART [.PART [.PART]] [-PRE] [+BUILD]`, a part being digits, wildcards or (as in Helm) `|`.
fn pattern_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let run = |from: usize, accept: fn(u8) -> bool| {
        bytes.get(from..).unwrap_or_default().iter().take_while(|b| accept(**b)).count()
    };
    let part = |b: u8| b.is_ascii_digit() || matches!(b, b'x' | b'X' | b'*' | b'|');
    let identifier = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let mut end = usize::from(bytes.first() == Some(&b'v'));
    match run(end, part) {
        0 => return None,
        length => end += length,
    }
    for _ in 0..2 {
        match run(end + 1, part) {
            length if bytes.get(end) == Some(&b'.') && length > 0 => end += 1 + length,
            _ => break,
        }
    }
    for sign in [b'-', b'+'] {
        let mut next = match run(end + 1, identifier) {
            length if bytes.get(end) == Some(&sign) && length > 0 => end + 1 + length,
            _ => continue,
        };
        while bytes.get(next) == Some(&b'.') {
            match run(next + 1, identifier) {
                0 => break,
                length => next += 1 + length,
            }
        }
        end = next;
    }
    Some(end)
}

/// Reads a version whose parts may be missing or wildcards.
fn parse_pattern(pattern: &str) -> Option<(Version, Wild)> {
    let body = pattern.strip_prefix('v').unwrap_or(pattern);
    let (numbers, tail) = match body.find(['-', '+']) {
        Some(at) => body.split_at_checked(at)?,
        None => (body, ""),
    };
    // Build metadata never counts, and after a wildcard it is not even read.
    let pre = tail.split('+').next().unwrap_or_default();
    let mut parts = numbers.split('.');
    let mut part = || parts.next().filter(|part| !matches!(*part, "x" | "X" | "*"));
    let (text, wild) = match (part(), part(), part()) {
        (None, ..) => (format!("0.0.0{pre}"), Wild::Major),
        (Some(major), None, _) => (format!("{major}.0.0{pre}"), Wild::Minor),
        (Some(major), Some(minor), None) => (format!("{major}.{minor}.0{pre}"), Wild::Patch),
        (Some(_), Some(_), Some(_)) => (pattern.to_owned(), Wild::Nothing),
    };
    Some((Version::parse(&text).ok()?, wild))
}

/// Rewrites each `A - B` to `>= A, <= B`, textually and before anything else is read, so that the result is
/// improper wherever Helm's is (`1.0 1 - 2` loses its separator, for example).
fn rewrite_ranges(text: &str) -> String {
    let mut rewritten = text.to_owned();
    let mut start = 0;
    while let Some(rest) = text.get(start..)
        && !rest.is_empty()
    {
        match range(rest) {
            Some((range, low, high)) => {
                rewritten = rewritten.replacen(range, &format!(">= {low}, <= {high} "), 1);
                start += range.len();
            }
            None => start += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    rewritten
}

/// A range at the very start of `text`: the whole, with the white space around it, and its two ends.
fn range(text: &str) -> Option<(&str, &str, &str)> {
    let first = trim(text);
    let (low, rest) = first.split_at_checked(pattern_length(first)?)?;
    let dash = trim(rest);
    let after = dash.strip_prefix('-')?;
    let second = trim(after);
    if dash.len() == rest.len() || second.len() == after.len() {
        return None;
    }
    let (high, rest) = second.split_at_checked(pattern_length(second)?)?;
    let whole = text.get(..text.len() - trim(rest).len())?;
    Some((whole, low, high))
}

/// Removes white space from the start: the ASCII kind that Go's regular expressions know.
fn trim(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r', '\x0c'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    fn check(constraint: &str, version: &str) -> bool {
        let version = Version::parse(version).unwrap();
        Constraint::parse(constraint).unwrap_or_else(|e| panic!("{e}")).check(&version)
    }

    #[test]
    fn admits_and_excludes_by_helms_rules() {
        // Constraint, versions that satisfy it, versions that do not.
        for (constraint, good, bad) in [
            ("*", &["0.0.0", "9.1.0"][..], &["1.0.0-rc"][..]),
            ("*-0", &["1.0.0-rc", "1.0.0"], &[]),
            ("x.7.9", &["4.0.0"], &[]),
            ("1.x.|", &["1.9.0"], &["2.0.0"]),
            ("3.1.4", &["3.1.4", "3.1.4+meta"], &["3.1.5", "3.1.4-rc"]),
            ("v3.1.4", &["3.1.4"], &["3.1.3"]),
            ("03.1.4", &["3.1.4"], &["3.1.3"]),
            ("3", &["3.0.0", "3.9.9"], &["4.0.0", "2.9.9", "3.0.0-rc"]),
            ("3.1", &["3.1.0", "3.1.9"], &["3.2.0"]),
            ("3.1.X", &["3.1.7"], &["3.2.0"]),
            ("= 3.1", &["3.1.7"], &["3.2.0"]),
            ("!=3.1.4", &["3.1.5"], &["3.1.4", "3.1.5-rc"]),
            ("!=3.1", &["3.2.0"], &["3.1.0", "3.1.9"]),
            ("!=3", &["4.0.0"], &["3.0.0", "3.9.9"]),
            ("!=*", &["0.0.1"], &["0.0.0"]),
            ("!=3.1-rc", &["3.1.0", "3.1.4-beta"], &["3.1.0-rc", "3.1.9-rc"]),
            (">3", &["4.0.0"], &["3.0.0", "3.9.9"]),
            (">3.1", &["3.2.0", "4.0.0"], &["3.1.9"]),
            (">3.1.4", &["3.1.5"], &["3.1.4"]),
            (">=3.1", &["3.1.0", "4.0.0"], &["3.0.9"]),
            ("=>3.1", &["3.1.0"], &["3.0.9"]),
            ("<3.1", &["3.0.9"], &["3.1.0"]),
            ("<=3.1", &["3.1.9"], &["3.2.0"]),
            ("=<3", &["3.9.9"], &["4.0.0"]),
            ("<=3.1.4", &["3.1.4"], &["3.1.5"]),
            ("<=*", &["0.0.9"], &["0.1.0"]),
            ("~3.1.4", &["3.1.4", "3.1.9"], &["3.1.3", "3.2.0"]),
            ("~> 3.1", &["3.1.0"], &["3.2.0"]),
            ("~3", &["3.9.0"], &["4.0.0"]),
            ("~0.0.0", &["7.0.0"], &[]),
            ("^3.1.4", &["3.9.0"], &["3.1.3", "4.0.0"]),
            ("^0.3.1", &["0.3.9"], &["0.4.0", "1.3.1"]),
            ("^0.3", &["0.3.9"], &["0.4.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4", "0.1.3"]),
            ("^0.0", &["0.0.9"], &["0.1.0"]),
            ("^0", &["0.9.0"], &["1.0.0"]),
            ("^*", &["0.0.0"], &["0.0.1"]),
            (">=1, <2", &["1.5.0"], &["2.0.0"]),
            (">=1 <2", &["1.5.0"], &["0.9.0"]),
            (">=1\t, \n<2", &["1.5.0"], &["0.9.0"]),
            ("^1 || ^3", &["1.1.0", "3.1.0"], &["2.0.0"]),
            ("1.2 - 1.4.5", &["1.2.0", "1.4.5"], &["1.4.6", "1.1.9"]),
            ("1 - 2 || 4 - 5", &["2.9.9", "5.9.9"], &["3.0.0"]),
            // Pre-releases count where a comparator of the same group names one.
            (">=1.0.0-0 <2", &["1.0.0-rc", "2.0.0-rc"], &[]),
            (">=1.0.0-0 || <2", &["1.5.0-rc"], &["0.5.0-rc"]),
            (">0.0.0-0", &["1.0.0-rc", "0.0.0"], &["0.0.0-0"]),
            ("~1.2.3-beta.2", &["1.2.4-beta.1"], &["1.2.3-beta.1", "1.3.0-beta"]),
        ] {
            for version in good {
                assert!(check(constraint, version), "{constraint} {version}");
            }
            for version in bad {
                assert!(!check(constraint, version), "{constraint} {version}");
            }
        }
    }

    #[test]
    fn refuses_improper_constraints() {
        let many = vec!["1"; 33].join("||");
        for text in [
            "",
            " ",
            "latest",
            "1.2.3.4",
            "1,",
            ",1",
            "1,,2",
            "1||",
            "||1",
            "> = 1",
            "==1",
            "1>2",
            "~ >1",
            "1.0 1 - 2",
            "1.2.3.4 - 5",
            "1 - 2 - 3",
            "1-",
            "1.2.3-rc.01",
            "1.2.3 -rc",
            "1x",
            "xx",
            "1|2",
            ">=>1",
            "^^1",
            "V1",
            "1.",
            ".1",
            "+1",
            "18446744073709551616",
            "1\u{a0}2",
            "é",
            &many,
            &format!("1.0.0-{}", "a".repeat(300)),
            &"1 ".repeat(300),
        ] {
            let error = Constraint::parse(text).unwrap_err();
            assert_eq!(
                (error.class, error.what.as_str()),
                (Class::Usage, "improper constraint"),
                "{text}"
            );
        }
        assert!(Constraint::parse(&vec!["1"; 32].join("||")).is_ok());
    }

    #[test]
    fn survives_mutated_constraints() {
        let mut random = crate::chart::tests::Random::new(3);
        for round in 0..20_000 {
            let seed =
                ["v1.2.3-rc.1+b - 2.x, !=1.5 || ~>3 é", "1 - 2 - 3 1 - 2", ">=1 <2"][round % 3];
            let text = random.mutate(seed.as_bytes());
            let text = String::from_utf8_lossy(&text);
            let _ = Version::parse(&text);
            if let Ok(constraint) = Constraint::parse(&text) {
                constraint.check(&Version::parse("1.2.3-rc.1").unwrap());
            }
        }
    }
}
