//! One header block of a tar archive, read as Go's `archive/tar` reads it, or refused where readers differ
//! (RUSTSEC-2026-0068 and its relatives are such differences).

use super::{dangerous, not_an_archive};
use crate::error::Result;

/// The longest path of a file in a chart, in bytes.
const MAX_PATH: usize = 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// PAX records about the next entry.
    Extended,
    File,
    /// PAX records about all entries that follow.
    Global,
    /// GNU's way to name the next entry.
    LongName,
}

/// A header block.
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
}

impl Block {
    pub(super) fn parse(block: &[u8; 512]) -> Result<Self> {
        let field = |from: usize, length: usize| block.iter().skip(from).take(length).copied();
        let text =
            |from, length| -> Vec<u8> { field(from, length).take_while(|b| *b != 0).collect() };
        let mut name = text(0, 100);
        let magic: Vec<u8> = field(257, 8).collect();
        if magic.starts_with(b"ustar\0") {
            let star = field(508, 4).eq(*b"tar\0");
            let mut prefix = text(345, if star { 131 } else { 155 });
            if !prefix.is_empty() {
                prefix.push(b'/');
                prefix.append(&mut name);
                name = prefix;
            }
        }
        let shown = String::from_utf8_lossy(&name).into_owned();
        let refuse = |cause: &str| dangerous(&shown, cause);
        if magic == b"ustar  \0" && [345, 357].iter().any(|at| octal(field(*at, 12)).is_none()) {
            // An old Go wrote a part of the path where GNU keeps times; Go guesses, others do not.
            return Err(refuse("its header can be read in two ways"));
        }
        let (Some(mode), Some(_)) = (octal(field(100, 8)), octal(field(124, 12))) else {
            return Err(refuse("its header holds a bad number"));
        };
        // What else Go reads as a number; where it cannot, it reads no further.
        let mut numbers = vec![(108, 8), (116, 8), (136, 12)];
        if magic.starts_with(b"ustar\0") || magic == b"ustar  \0" {
            numbers.extend([(329, 8), (337, 8)]);
        }
        if magic.starts_with(b"ustar\0") && field(508, 4).eq(*b"tar\0") {
            numbers.extend([(476, 12), (488, 12)]);
        }
        if !numbers.into_iter().all(|(at, length)| is_number(field(at, length))) {
            return Err(refuse("its header holds a bad number"));
        }
        let kind = match field(156, 1).next() {
            Some(b'0' | 0) => Kind::File,
            Some(b'5') => Kind::Directory,
            Some(b'x') => Kind::Extended,
            Some(b'g') => Kind::Global,
            Some(b'L') => Kind::LongName,
            Some(b'1') => return Err(refuse("it is a hard link")),
            Some(b'2' | b'K') => return Err(refuse("it is a symbolic link")),
            Some(b'3' | b'4' | b'6') => return Err(refuse("it is a device")),
            Some(b'S') => return Err(refuse("it is a sparse file")),
            _ => return Err(refuse("it is of an unknown type")),
        };
        // Go takes an entry for a directory when its mode says so, whatever its type says.
        let agrees = match (kind, mode & !0o7777) {
            (_, 0) => true,
            (Kind::File, mode) => mode == 0o100_000,
            (Kind::Directory, mode) => mode == 0o040_000,
            _ => true,
        };
        match agrees {
            true => Ok(Self { kind, name }),
            false => Err(refuse("its mode says otherwise than its type")),
        }
    }
}

/// A number in octal digits between blanks and NULs; none for anything else, the binary form for sizes beyond
/// 8 GiB included. An empty field is zero.
fn octal(field: impl Iterator<Item = u8>) -> Option<u64> {
    let bytes: Vec<u8> = field.collect();
    let blank = |b: &&u8| matches!(**b, b' ' | 0);
    let digits: Vec<_> = bytes.iter().skip_while(blank).take_while(|b| !blank(b)).collect();
    // Whatever follows the number must be blank, or somebody reads more digits than we do.
    let rest = bytes.iter().skip_while(blank).skip(digits.len()).all(|b| blank(&b));
    let valid = rest && digits.iter().all(|b| (b'0'..=b'7').contains(b));
    valid.then(|| digits.iter().fold(0, |sum: u64, b| (sum << 3) | u64::from(**b - b'0')))
}

/// Whether Go reads a number in the field: octal digits between blanks and up to a NUL, or, for what is large or
/// negative, 63 bits in two's complement.
fn is_number(field: impl Iterator<Item = u8>) -> bool {
    let bytes: Vec<u8> = field.collect();
    if let Some(first) = bytes.first().filter(|b| **b & 0x80 != 0) {
        let inverted = if first & 0x40 != 0 { 0xff } else { 0 };
        let mask = |at| if at == 0 { 0x7f } else { 0xff };
        let digits = bytes.iter().enumerate().map(|(at, b)| (b ^ inverted) & mask(at));
        let significant = digits.skip_while(|digit| *digit == 0).collect::<Vec<_>>();
        let bit = significant.first().is_some_and(|first| first & 0x80 != 0);
        return significant.len() < 8 || (significant.len() == 8 && !bit);
    }
    let blank = |b: &&u8| matches!(**b, b' ' | 0);
    let behind = bytes.iter().rposition(|b| !blank(&b)).map_or(0, |at| at + 1);
    let number = bytes.iter().take(behind).skip_while(blank).take_while(|b| **b != 0);
    number.into_iter().all(|b| (b'0'..=b'7').contains(b))
}

/// What the entries before a member say about it.
#[derive(Default)]
pub(super) struct Overrides {
    pax: bool,
    pax_path: Option<Vec<u8>>,
    long_name: Option<Vec<u8>>,
}

impl Overrides {
    pub(super) fn add_pax(&mut self, records: &[(&str, &[u8])]) -> Result<()> {
        if std::mem::replace(&mut self.pax, true) {
            return Err(not_an_archive("two extended headers describe the same entry"));
        }
        for (key, value) in records {
            match *key {
                "path" if self.pax_path.is_some() => {
                    return Err(not_an_archive("an extended header names an entry twice"));
                }
                // Go keeps the header's own name then.
                "path" if value.is_empty() => {}
                "path" => self.pax_path = Some(value.to_vec()),
                // Only for files far beyond the limits; readers that ignore it see other entries.
                "size" => return Err(not_an_archive("an extended header changes a file's size")),
                key if key.starts_with("GNU.sparse.") => {
                    return Err(not_an_archive("an extended header describes a sparse file"));
                }
                // Go reads no further where it cannot read these.
                "atime" | "ctime" | "mtime" if !value.is_empty() && !is_pax_time(value) => {
                    return Err(not_an_archive("an extended header holds a bad number"));
                }
                "gid" | "uid" if !value.is_empty() && !is_integer(value) => {
                    return Err(not_an_archive("an extended header holds a bad number"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn add_long_name(&mut self, data: &[u8]) -> Result<()> {
        let name: Vec<u8> = data.iter().copied().take_while(|b| *b != 0).collect();
        // Up to the first NUL for some, the whole without the last byte for others.
        if data.iter().skip(name.len()).any(|b| *b != 0) || name.is_empty() {
            return Err(not_an_archive("a long file name is malformed"));
        }
        match self.long_name.replace(name) {
            None => Ok(()),
            Some(_) => Err(not_an_archive("two long file names describe the same entry")),
        }
    }

    /// Fails if an extended header names an entry although none follows.
    pub(super) fn check_unused(&self) -> Result<()> {
        match self.pax_path.is_some() || self.long_name.is_some() {
            true => Err(not_an_archive("a header describes an entry that does not follow")),
            false => Ok(()),
        }
    }

    /// The path of the member whose header has `name`.
    pub(super) fn path(self, name: Vec<u8>) -> Result<String> {
        let name = match (self.pax_path, self.long_name) {
            (Some(pax), Some(long)) if pax != long => {
                return Err(not_an_archive("two headers give an entry different names"));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => name,
        };
        String::from_utf8(name).map_err(|error| {
            dangerous(&String::from_utf8_lossy(error.as_bytes()), "its name is not UTF-8")
        })
    }
}

fn is_integer(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// Seconds, and perhaps their parts.
fn is_pax_time(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |b| *b == b'.');
    is_integer(parts.next().unwrap_or_default())
        && parts.next().is_none_or(|rest| rest.iter().all(u8::is_ascii_digit))
}

/// Splits PAX records, `LENGTH KEY=VALUE\n` each (POSIX.1-2001, pax).
pub(super) fn pax_records(data: &[u8]) -> Result<Vec<(&str, &[u8])>> {
    let mut rest = data;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, after) =
            pax_record(rest).ok_or_else(|| not_an_archive("an extended header is malformed"))?;
        records.push(record);
        rest = after;
    }
    Ok(records)
}

/// A key with its value, and what follows the record.
type Record<'a> = ((&'a str, &'a [u8]), &'a [u8]);

fn pax_record(data: &[u8]) -> Option<Record<'_>> {
    let digits = data.iter().take_while(|b| b.is_ascii_digit()).count();
    let length: usize = std::str::from_utf8(data.get(..digits)?).ok()?.parse().ok()?;
    let (record, after) = data.split_at_checked(length)?;
    let record = record.get(digits..)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    let key = std::str::from_utf8(key).ok().filter(|key| !key.is_empty())?;
    let value = value.strip_prefix(b"=")?;
    let text = match key {
        "gname" | "linkpath" | "path" | "uname" => value,
        _ => key.as_bytes(),
    };
    (!text.contains(&0)).then_some(((key, value), after))
}

/// Accepts `a/b/c` and nothing that any system could take for more: no absolute path, `.`, `..`, empty part,
/// backslash, drive or control character.
pub(super) fn check_path(path: &str) -> Result<()> {
    let refuse = |cause: &str| Err(dangerous(path, cause));
    if path.is_empty() {
        return refuse("its name is empty");
    }
    if path.len() > MAX_PATH {
        return refuse("its name is too long");
    }
    if path.starts_with('/') {
        return refuse("it is an absolute path");
    }
    if path.contains('\\') {
        return refuse("its name holds a backslash");
    }
    if path.chars().any(char::is_control) {
        return refuse("its name holds a control character");
    }
    for part in path.split('/') {
        let drive = part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && part.as_bytes().get(1) == Some(&b':');
        match part {
            "" => return refuse("its name has an empty part or ends in a slash"),
            "." => return refuse("its name has the part \".\""),
            ".." => return refuse("it leads out of the chart"),
            _ if drive => return refuse("its name holds a drive"),
            _ => {}
        }
    }
    Ok(())
}
