//! Tar archives that can be read in several ways, with what Go makes of them.

use super::*;

/// A tar archive, and what becomes of it.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) tar: Vec<u8>,
    /// Name and version that Go 1.26 finds, by way of Helm's loader; nothing where it refuses.
    pub(super) go: Option<&'static str>,
    /// Why we refuse it; empty where we do not.
    pub(super) refused: &'static str,
}

/// The `Chart.yaml` that a reader finds who goes astray.
const ASTRAY: &[u8] = b"apiVersion: v2\nname: web\nversion: 9.9.9\n";

pub(super) fn cases() -> Vec<Case> {
    let astray = || entry("web/Chart.yaml", b'0', ASTRAY);
    let gnu = |block: &mut [u8; 512]| block[257..265].copy_from_slice(b"ustar  \0");
    let long = |name: &[u8]| entry("././@LongLink", b'L', name);
    let sized = |name: &str, size: &'static [u8; 12]| {
        entry_with(name, b'0', b"", |block| block[124..136].copy_from_slice(size))
    };
    let poked = |at: usize, bytes: &'static [u8]| {
        entry_with("web/Chart.yaml", b'0', CHART_YAML, |block| {
            block[at..at + bytes.len()].copy_from_slice(bytes);
        })
    };
    let named = |name: &str| entry(name, b'0', CHART_YAML);
    let path = |name: &str| record("path", name);
    let chart = "web/Chart.yaml";
    let (web, other) = (Some("web 1.4.2"), Some("web 9.9.9"));
    // A header of its own among the data of another entry.
    let hidden = astray();
    let hides = |header: Vec<u8>| [header, hidden.clone()].concat();
    let size_of_hidden = hidden.len().to_string();
    let mut flipped = chart_yaml();
    flipped[3] ^= 1;
    [
        ("ustar", tar(&[chart_yaml()]), web, ""),
        (
            "ustar, with a prefix",
            tar(&[entry_with("Chart.yaml", b'0', CHART_YAML, |b| {
                b[345..348].copy_from_slice(b"web")
            })]),
            web,
            "",
        ),
        ("v7", tar(&[entry_with(chart, 0, CHART_YAML, |b| b[257..265].fill(0))]), web, ""),
        (
            "v7, with a prefix that is none",
            tar(&[entry_with(chart, 0, CHART_YAML, |b| {
                b[257..265].fill(0);
                b[345..350].copy_from_slice(b"other");
            })]),
            web,
            "",
        ),
        ("GNU", tar(&[entry_with(chart, b'0', CHART_YAML, gnu)]), web, ""),
        (
            "GNU, with a prefix of an old Go",
            tar(&[entry_with("Chart.yaml", b'0', CHART_YAML, |b| {
                gnu(b);
                b[345..348].copy_from_slice(b"web");
            })]),
            web,
            "its header can be read in two ways",
        ),
        (
            "star, with a prefix",
            tar(&[entry_with("Chart.yaml", b'0', CHART_YAML, |b| {
                b[345..348].copy_from_slice(b"web");
                b[508..512].copy_from_slice(b"tar\0");
            })]),
            web,
            "",
        ),
        (
            "star, with times that are none",
            tar(&[entry_with("Chart.yaml", b'0', CHART_YAML, |b| {
                b[345..348].copy_from_slice(b"web");
                b[476..479].copy_from_slice(b"abc");
                b[508..512].copy_from_slice(b"tar\0");
            })]),
            None,
            "its header holds a bad number",
        ),
        ("long name", tar(&[long(b"web/Chart.yaml\0"), named("x"), file("web/y")]), web, ""),
        (
            "long name without its NUL",
            tar(&[long(b"web/Chart.yaml"), named("x"), file("web/y")]),
            web,
            "",
        ),
        (
            "long name with more behind the NUL",
            tar(&[long(b"web/Chart.yaml\0../y"), named("x"), file("web/y")]),
            web,
            "a long file name is malformed",
        ),
        (
            "long name, empty",
            tar(&[long(b"\0"), chart_yaml()]),
            web,
            "a long file name is malformed",
        ),
        (
            "two long names",
            tar(&[long(b"web/y\0"), long(b"web/Chart.yaml\0"), named("x")]),
            web,
            "two long file names describe the same entry",
        ),
        (
            "long name at the end",
            tar(&[chart_yaml(), long(b"web/y\0")]),
            web,
            "a header describes an entry that does not follow",
        ),
        (
            "long link",
            tar(&[entry("././@LongLink", b'K', b"web/y\0"), chart_yaml()]),
            web,
            "it is a symbolic link",
        ),
        ("pax path", tar(&[pax(&[&path(chart)]), named("x"), file("web/y")]), web, ""),
        ("pax path, empty", tar(&[pax(&[&path("")]), chart_yaml()]), web, ""),
        (
            "pax path, twice",
            tar(&[pax(&[&path("web/y"), &path(chart)]), named("x")]),
            web,
            "an extended header names an entry twice",
        ),
        (
            "pax path, with a NUL",
            tar(&[pax(&[&path("web/Chart.yaml\0x")]), named("x")]),
            None,
            "an extended header is malformed",
        ),
        ("pax path in capitals", tar(&[pax(&[&record("PATH", "web/y")]), chart_yaml()]), web, ""),
        (
            "two pax headers",
            tar(&[
                pax(&[&path(chart)]),
                pax(&[&record("comment", "x")]),
                named("web/y"),
                chart_yaml(),
            ]),
            web,
            "two extended headers describe the same entry",
        ),
        (
            "pax path, then a long name",
            tar(&[pax(&[&path("web/y")]), long(b"web/Chart.yaml\0"), named("x")]),
            web,
            "two headers give an entry different names",
        ),
        (
            "long name, then a pax path",
            tar(&[long(b"web/Chart.yaml\0"), pax(&[&path("web/y")]), named("x")]),
            web,
            "two headers give an entry different names",
        ),
        (
            "long name and pax path that agree",
            tar(&[long(b"web/Chart.yaml\0"), pax(&[&path(chart)]), named("x")]),
            web,
            "",
        ),
        (
            "pax path at the end",
            tar(&[chart_yaml(), pax(&[&path("web/y")])]),
            web,
            "a header describes an entry that does not follow",
        ),
        (
            "pax path before a global header",
            tar(&[
                pax(&[&path(chart)]),
                entry("g", b'g', record("comment", "x").as_bytes()),
                named("web/y"),
                chart_yaml(),
            ]),
            web,
            "a header describes an entry that does not follow",
        ),
        (
            "global path",
            tar(&[entry("g", b'g', path("web/y").as_bytes()), chart_yaml()]),
            web,
            "a header describes an entry that does not follow",
        ),
        (
            "global comment",
            tar(&[entry("g", b'g', record("comment", "x").as_bytes()), chart_yaml()]),
            web,
            "",
        ),
        (
            "global size",
            tar(&[entry("g", b'g', record("size", "0").as_bytes()), chart_yaml()]),
            web,
            "an extended header changes a file's size",
        ),
        (
            "pax size that hides an entry",
            tar(&[
                pax(&[&record("size", &size_of_hidden)]),
                hides(sized("web/x", b"00000000000\0")),
                chart_yaml(),
            ]),
            web,
            "an extended header changes a file's size",
        ),
        (
            "pax size that shows an entry",
            tar(&[chart_yaml(), pax(&[&record("size", "0")]), entry("web/x", b'0', &hidden)]),
            other,
            "an extended header changes a file's size",
        ),
        (
            "pax size, negative",
            tar(&[pax(&[&record("size", "-1")]), file("web/x"), chart_yaml()]),
            None,
            "an extended header changes a file's size",
        ),
        (
            "pax size, no number",
            tar(&[pax(&[&record("size", "x")]), file("web/x"), chart_yaml()]),
            None,
            "an extended header changes a file's size",
        ),
        (
            "pax size, as it is",
            tar(&[pax(&[&record("size", "4")]), file("web/x"), chart_yaml()]),
            web,
            "an extended header changes a file's size",
        ),
        (
            "pax times and owners",
            tar(&[
                pax(&[
                    &record("mtime", "-1.5"),
                    &record("atime", "1."),
                    &record("uid", "-3000000"),
                    &record("gid", ""),
                ]),
                chart_yaml(),
            ]),
            web,
            "",
        ),
        (
            "pax time, no number",
            tar(&[pax(&[&record("mtime", "x")]), chart_yaml()]),
            None,
            "an extended header holds a bad number",
        ),
        (
            "pax time, parts that are none",
            tar(&[pax(&[&record("ctime", "1.x")]), chart_yaml()]),
            None,
            "an extended header holds a bad number",
        ),
        (
            "pax owner, no number",
            tar(&[pax(&[&record("uid", "1x")]), chart_yaml()]),
            None,
            "an extended header holds a bad number",
        ),
        (
            "pax owner, too large",
            tar(&[pax(&[&record("gid", "9223372036854775808")]), chart_yaml()]),
            None,
            "an extended header holds a bad number",
        ),
        (
            "pax name of the owner, with a NUL",
            tar(&[pax(&[&record("uname", "a\0")]), chart_yaml()]),
            None,
            "an extended header is malformed",
        ),
        (
            "pax key with a NUL",
            tar(&[pax(&[&record("a\0", "b")]), chart_yaml()]),
            None,
            "an extended header is malformed",
        ),
        ("pax value with a NUL", tar(&[pax(&[&record("a", "b\0")]), chart_yaml()]), web, ""),
        (
            "pax character set",
            tar(&[pax(&[&record("hdrcharset", "BINARY"), &path(chart)]), named("x")]),
            web,
            "",
        ),
        (
            "pax record with a newline",
            tar(&[pax(&[&record("comment", "x\n22 path=web/Chart.yam\n")]), chart_yaml()]),
            web,
            "",
        ),
        (
            "pax record, too long",
            tar(&[pax(&["99 path=web/y\n"]), chart_yaml()]),
            None,
            "an extended header is malformed",
        ),
        (
            "pax record, too short",
            tar(&[pax(&["8 path=web/y\n"]), chart_yaml()]),
            None,
            "an extended header is malformed",
        ),
        ("pax record of five", tar(&[pax(&["5 a=\n"]), chart_yaml()]), web, ""),
        (
            "pax record with a signed length",
            tar(&[pax(&["+6 a=b\n"]), chart_yaml()]),
            None,
            "an extended header is malformed",
        ),
        (
            "pax record with blanks",
            tar(&[pax(&[" 6 a=b\n"]), chart_yaml()]),
            None,
            "an extended header is malformed",
        ),
        (
            "sparse, pax 1.0",
            tar(&[
                pax(&[
                    &record("GNU.sparse.major", "1"),
                    &record("GNU.sparse.minor", "0"),
                    &record("GNU.sparse.name", chart),
                    &record("GNU.sparse.realsize", "40"),
                ]),
                entry("web/y", b'0', &[b"1\n0\n40\n".as_slice(), &[0; 505], CHART_YAML].concat()),
            ]),
            web,
            "an extended header describes a sparse file",
        ),
        (
            "sparse, pax 0.1",
            tar(&[
                pax(&[
                    &record("GNU.sparse.map", "0,40"),
                    &record("GNU.sparse.name", chart),
                    &record("GNU.sparse.size", "40"),
                ]),
                named("web/y"),
            ]),
            None,
            "an extended header describes a sparse file",
        ),
        (
            "sparse, of no known version",
            tar(&[
                pax(&[&record("GNU.sparse.major", "2"), &record("GNU.sparse.name", chart)]),
                named("web/y"),
                chart_yaml(),
            ]),
            web,
            "an extended header describes a sparse file",
        ),
        (
            "sparse, old GNU",
            tar(&[entry_with(chart, b'S', CHART_YAML, |b| {
                gnu(b);
                b[386..398].copy_from_slice(b"00000000000\0");
                b[398..410].copy_from_slice(b"00000000050\0");
                b[483..495].copy_from_slice(b"00000000050\0");
            })]),
            web,
            "it is a sparse file",
        ),
        ("contiguous", tar(&[entry(chart, b'7', CHART_YAML)]), web, "it is of an unknown type"),
        ("type of nobody", tar(&[entry(chart, b'Z', CHART_YAML)]), web, "it is of an unknown type"),
        (
            "link of that name",
            tar(&[chart_yaml(), entry(chart, b'2', b"")]),
            web,
            "it is a symbolic link",
        ),
        (
            "link with data",
            tar(&[
                entry_with("web/x", b'2', b"", |b| b[124..136].copy_from_slice(b"00000002000\0")),
                chart_yaml(),
                astray(),
            ]),
            None,
            "it is a symbolic link",
        ),
        (
            "directory with data",
            tar(&[chart_yaml(), entry("web/d", b'5', &hidden)]),
            other,
            "it is a directory with contents",
        ),
        (
            "directory by its mode",
            tar(&[
                chart_yaml(),
                entry_with(chart, b'0', ASTRAY, |b| b[100..108].copy_from_slice(b"0040755\0")),
            ]),
            web,
            "its mode says otherwise than its type",
        ),
        (
            "directory by its slash, old",
            tar(&[chart_yaml(), entry("web/d/", 0, b"")]),
            web,
            "its name has an empty part or ends in a slash",
        ),
        (
            "file with a slash",
            tar(&[chart_yaml(), entry("web/Chart.yaml/", b'0', ASTRAY)]),
            other,
            "its name has an empty part or ends in a slash",
        ),
        (
            "another directory",
            tar(&[chart_yaml(), entry("other/Chart.yaml", b'0', ASTRAY)]),
            other,
            "it is outside directory \"web\"",
        ),
        (
            "a dot in front",
            tar(&[entry("./web/Chart.yaml", b'0', CHART_YAML)]),
            None,
            "its name has the part \".\"",
        ),
        (
            "two slashes",
            tar(&[chart_yaml(), entry("web//Chart.yaml", b'0', ASTRAY)]),
            None,
            "its name has an empty part or ends in a slash",
        ),
        (
            "a dot inside",
            tar(&[chart_yaml(), entry("web/./Chart.yaml", b'0', ASTRAY)]),
            other,
            "its name has the part \".\"",
        ),
        (
            "a backslash",
            tar(&[chart_yaml(), entry("web\\Chart.yaml", b'0', ASTRAY)]),
            other,
            "its name holds a backslash",
        ),
        ("two of that name", tar(&[chart_yaml(), astray()]), other, "it is there twice"),
        (
            "size in binary",
            tar(&[entry_with(chart, b'0', CHART_YAML, |b| {
                b[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x28")
            })]),
            web,
            "its header holds a bad number",
        ),
        (
            "size in binary, negative",
            tar(&[entry_with(chart, b'0', CHART_YAML, |b| {
                b[124..136].copy_from_slice(&[0xff; 12])
            })]),
            None,
            "the tar archive is damaged",
        ),
        ("size between blanks", tar(&[poked(124, b"        50 \0")]), web, ""),
        (
            "size of two numbers",
            tar(&[poked(124, b"50\09999999\0\0")]),
            web,
            "its header holds a bad number",
        ),
        (
            "size with a sign",
            tar(&[poked(124, b"+0000000050\0")]),
            None,
            "its header holds a bad number",
        ),
        (
            "size that is none",
            tar(&[poked(124, b"0000000005x\0")]),
            None,
            "the tar archive is damaged",
        ),
        ("owner in binary", tar(&[poked(108, b"\x80\0\0\0\xff\xff\xff\xff")]), web, ""),
        (
            "owner in binary, large",
            tar(&[poked(108, b"\x80\xff\xff\xff\xff\xff\xff\xff")]),
            web,
            "",
        ),
        (
            "owner in binary, negative",
            tar(&[poked(108, b"\xff\xff\xff\xff\xff\xff\xff\xfe")]),
            web,
            "",
        ),
        (
            "time in binary, too large",
            tar(&[poked(136, b"\x80\0\0\x01\0\0\0\0\0\0\0\0")]),
            None,
            "its header holds a bad number",
        ),
        (
            "time in binary, of 64 bits",
            tar(&[poked(136, b"\x80\0\0\0\x80\0\0\0\0\0\0\0")]),
            None,
            "its header holds a bad number",
        ),
        (
            "time in binary, of 63 bits",
            tar(&[poked(136, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")]),
            web,
            "",
        ),
        (
            "owner that is none",
            tar(&[poked(108, b"root\0\0\0\0")]),
            None,
            "its header holds a bad number",
        ),
        ("group of two numbers", tar(&[poked(116, b"17\0x\0\0\0\0")]), web, ""),
        (
            "time with a sign",
            tar(&[poked(136, b"-0000000001\0")]),
            None,
            "its header holds a bad number",
        ),
        ("device that is none", tar(&[poked(329, b"abc")]), None, "its header holds a bad number"),
        (
            "device that is none, v7",
            tar(&[entry_with(chart, 0, CHART_YAML, |b| {
                b[257..265].fill(0);
                b[329..332].copy_from_slice(b"abc");
            })]),
            web,
            "",
        ),
        (
            "device that is none, GNU",
            tar(&[entry_with(chart, b'0', CHART_YAML, |b| {
                gnu(b);
                b[337..340].copy_from_slice(b"abc");
            })]),
            None,
            "its header holds a bad number",
        ),
        (
            "checksum that is wrong",
            tar(&[flipped, chart_yaml()]),
            None,
            "the tar archive is damaged",
        ),
        ("no end mark", chart_yaml(), web, ""),
        ("half an end mark", [chart_yaml(), vec![0; 512]].concat(), web, ""),
        (
            "one block of zeros, then more",
            [chart_yaml(), vec![0; 512], tar(&[astray()])].concat(),
            None,
            "there is data behind the end of the archive",
        ),
        (
            "more behind the end mark",
            [tar(&[chart_yaml()]), tar(&[astray()])].concat(),
            web,
            "there is data behind the end of the archive",
        ),
        (
            "cut in a header",
            [chart_yaml(), astray()[..100].to_vec()].concat(),
            None,
            "the tar archive is damaged",
        ),
        (
            "cut in the data",
            [file("web/x"), chart_yaml()[..530].to_vec()].concat(),
            None,
            "the tar archive is damaged",
        ),
        ("cut in the padding", chart_yaml()[..700].to_vec(), web, "the tar archive is damaged"),
    ]
    .into_iter()
    .map(|(name, tar, go, refused)| Case { name, tar, go, refused })
    .collect()
}
