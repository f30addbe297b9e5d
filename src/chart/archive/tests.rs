use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::chart::tests::Random;
use crate::error::Class;

mod agreement;
mod cases;

const CHART_YAML: &[u8] = b"apiVersion: v2\nname: web\nversion: 1.4.2\n";

/// Gives what it has piece by piece, as a pipe may.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into.len().min(self.0.len()).min(1000);
        let (piece, rest) = self.0.split_at(length);
        into[..length].copy_from_slice(piece);
        self.0 = rest;
        Ok(length)
    }
}

/// Reads bytes at once and as a stream, which has to be the same.
fn read_both(bytes: &[u8]) -> Result<Archive> {
    let whole = Archive::read(bytes);
    let streamed = Archive::read_from(Pieces(bytes)).unwrap();
    match (&whole, &streamed) {
        (Ok(whole), Ok(streamed)) => assert_eq!(whole, streamed),
        (whole, streamed) => assert_eq!(format!("{whole:?}"), format!("{streamed:?}")),
    }
    whole
}

#[test]
fn a_file_that_cannot_be_read_on_is_no_damaged_chart() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::IsADirectory))
        }
    }
    let chart = gzip(&tar(&[chart_yaml(), file("web/a")]));
    for start in [0, 10, chart.len() / 2, chart.len()] {
        let error = Archive::read_from((&chart[..start]).chain(Broken)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory, "{start}");
    }
}

/// One header block and its data, padded; `change` runs before the checksum is set.
fn entry_with(name: &str, kind: u8, data: &[u8], change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    change(&mut block);
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = block.to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn entry(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    entry_with(name, kind, data, |_| {})
}

fn chart_yaml() -> Vec<u8> {
    entry("web/Chart.yaml", b'0', CHART_YAML)
}

fn file(name: &str) -> Vec<u8> {
    entry(name, b'0', b"data")
}

fn pax(records: &[&str]) -> Vec<u8> {
    entry("pax", b'x', records.concat().as_bytes())
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while format!("{length}{rest}").len() != length {
        length += 1;
    }
    format!("{length}{rest}")
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(entries: &[Vec<u8>]) -> Result<Archive> {
    read_both(&gzip(&tar(entries)))
}

#[test]
fn reads_a_chart() {
    let bytes = gzip(&tar(&[
        entry("web/", b'5', b""),
        file("web/values.yaml"),
        chart_yaml(),
        file("web/templates/Chart.yaml"),
        entry("web/charts/sub/Chart.yaml", b'0', b"name: sub"),
        entry("web/requirements.yaml", 0, b"dependencies: []\n"),
    ]));
    let archive = read_both(&bytes).unwrap();
    assert_eq!((archive.name(), archive.version()), ("web", "1.4.2"));
    assert_eq!((archive.digest, archive.size), (Digest::of(&bytes), bytes.len() as u64));
}

#[test]
fn reads_what_other_tools_write() {
    let long = format!("web/{}", "d/".repeat(100) + "x");
    let mut split = entry_with("Chart.yaml", b'0', CHART_YAML, |block| {
        block[345..348].copy_from_slice(b"web");
    });
    split.extend(pax(&[&record("path", &long), &record("mtime", "1.5")]));
    split.extend(file("short"));
    for (name, entries) in [
        ("ustar prefix and pax path", vec![split]),
        ("gnu long name", {
            let gnu = |block: &mut [u8; 512]| block[257..265].copy_from_slice(b"ustar  \0");
            vec![
                entry_with("././@LongLink", b'L', format!("{long}\0").as_bytes(), gnu),
                entry_with("short", b'0', b"data", gnu),
                chart_yaml(),
            ]
        }),
        (
            "git archive",
            vec![
                entry("pax_global_header", b'g', record("comment", "6dcd4ce23d88e2ee").as_bytes()),
                entry("web/", b'5', b""),
                chart_yaml(),
            ],
        ),
        ("v7", vec![entry_with("web/Chart.yaml", 0, CHART_YAML, |b| b[257..265].fill(0))]),
        (
            "full mode",
            vec![entry_with("web/Chart.yaml", b'0', CHART_YAML, |b| {
                b[100..108].copy_from_slice(b"0100644\0");
            })],
        ),
    ] {
        let archive = read(&entries).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(archive.name(), "web", "{name}");
    }
}

#[test]
fn reads_gzip_as_go_does() {
    let tar = tar(&[chart_yaml()]);
    let (first, second) = tar.split_at(700);
    assert!(read_both(&[gzip(first), gzip(second)].concat()).is_ok(), "two members");
    let padded = [tar.clone(), vec![0; 10_240]].concat();
    assert!(read_both(&gzip(&padded)).is_ok(), "zeros behind the end");
    let unmarked = &tar[..tar.len() - 1024];
    assert!(read_both(&gzip(unmarked)).is_ok(), "no end mark");

    let good = gzip(&tar);
    let mut broken = good.clone();
    let length = broken.len();
    broken[length - 6] ^= 1;
    for (bytes, why) in [
        (vec![], "not compressed"),
        (tar.clone(), "not compressed"),
        (b"\x1f\x8b".to_vec(), "gzip stream is damaged"),
        (good[..good.len() - 9].to_vec(), "gzip stream is damaged"),
        (broken, "gzip stream is damaged"),
        ([good.clone(), b"garbage".to_vec()].concat(), "gzip stream is damaged"),
        (gzip(&[tar.clone(), chart_yaml()].concat()), "behind the end"),
        (gzip(&tar[..700]), "tar archive is damaged"),
        (gzip(&tar[..300]), "tar archive is damaged"),
        (gzip(b""), "no NAME/Chart.yaml"),
        (gzip(&[0; 1024]), "no NAME/Chart.yaml"),
        (gzip(&[b'x'; 1024]), "tar archive is damaged"),
    ] {
        let error = read_both(&bytes).unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Refused, Reason::NotAChart));
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
}

#[test]
fn refuses_dangerous_entries() {
    let with = |entry: Vec<u8>| vec![chart_yaml(), entry];
    let mode = |name: &str, kind, mode: &'static [u8; 8]| {
        with(entry_with(name, kind, b"", |block| block[100..108].copy_from_slice(mode)))
    };
    for (name, entries, why) in [
        ("absolute", with(file("/web/x")), "absolute"),
        ("parent", with(file("web/../x")), "leads out"),
        ("parent first", with(file("../web/x")), "leads out"),
        ("dot", with(file("./web/x")), "part \".\""),
        ("dot inside", with(file("web/./x")), "part \".\""),
        ("empty part", with(file("web//x")), "empty part"),
        ("trailing slash", with(file("web/x/")), "empty part"),
        ("backslash", with(file("web\\x")), "backslash"),
        ("drive", with(file("web/c:/x")), "drive"),
        ("drive first", with(file("C:/x")), "drive"),
        ("control", with(file("web/\x1b[31m")), "control"),
        ("no name", with(file("")), "empty"),
        ("another directory", with(file("other/x")), "outside directory \"web\""),
        ("another directory entry", with(entry("other/", b'5', b"")), "outside directory"),
        ("no directory", with(file("x")), "outside the chart's"),
        ("Chart.yaml at the top", vec![entry("Chart.yaml", b'0', CHART_YAML)], "outside"),
        ("two Chart.yaml", with(chart_yaml()), "there twice"),
        ("hard link", with(entry("web/x", b'1', b"")), "hard link"),
        ("link", with(entry("web/Chart.lock", b'2', b"")), "symbolic link"),
        ("long link", with(entry("web/x", b'K', b"x")), "symbolic link"),
        ("character device", with(entry("web/x", b'3', b"")), "device"),
        ("block device", with(entry("web/x", b'4', b"")), "device"),
        ("fifo", with(entry("web/x", b'6', b"")), "device"),
        ("sparse", with(entry("web/x", b'S', b"")), "sparse"),
        ("contiguous", with(entry("web/x", b'7', b"")), "unknown type"),
        ("volume", with(entry("web/x", b'V', b"")), "unknown type"),
        ("file of mode directory", mode("web/x", b'0', b"0040755\0"), "mode says otherwise"),
        ("file of mode link", mode("web/x", b'0', b"0120755\0"), "mode says otherwise"),
        ("directory of mode file", mode("web/x", b'5', b"0100755\0"), "mode says otherwise"),
        ("bad mode", mode("web/x", b'0', b"00x0755\0"), "bad number"),
        ("directory with contents", with(entry("web/x/", b'5', b"data")), "with contents"),
        ("binary size", with(entry_with("web/x", b'0', b"", |b| b[124] = 0x80)), "bad number"),
        (
            "size of two numbers",
            with(entry_with("web/x", b'0', b"", |b| {
                b[124..136].copy_from_slice(b"0\0\x30000000001")
            })),
            "bad number",
        ),
        (
            "old Go path in a GNU header",
            with(entry_with("x", b'0', b"", |block| {
                block[257..265].copy_from_slice(b"ustar  \0");
                block[345..348].copy_from_slice(b"web");
            })),
            "two ways",
        ),
        ("name not UTF-8", with(entry_with("web/x", b'0', b"", |b| b[4] = 0xff)), "not UTF-8"),
    ] {
        let error = read(&entries).unwrap_err();
        assert_eq!(error.what, "dangerous chart archive", "{name}: {error}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
}

#[test]
fn refuses_headers_that_readers_read_differently() {
    let size = record("size", "0");
    let path = record("path", "web/y");
    let with = |entries: Vec<Vec<u8>>| [vec![chart_yaml()], entries].concat();
    let long_name = |data: &[u8]| entry("././@LongLink", b'L', data);
    for (name, entries, why) in [
        ("size", with(vec![pax(&[&size]), file("web/x")]), "file's size"),
        ("sparse", with(vec![pax(&[&record("GNU.sparse.name", "x")]), file("web/x")]), "sparse"),
        ("global size", with(vec![entry("g", b'g', size.as_bytes())]), "file's size"),
        ("global path", with(vec![entry("g", b'g', path.as_bytes())]), "does not follow"),
        ("two", with(vec![pax(&[&path]), pax(&[&path]), file("web/x")]), "two extended"),
        ("path twice", with(vec![pax(&[&path, &path]), file("web/x")]), "names an entry twice"),
        ("nothing follows", with(vec![pax(&[&path])]), "does not follow"),
        ("global follows", with(vec![pax(&[&path]), entry("g", b'g', b"")]), "does not follow"),
        ("no record", with(vec![pax(&["x"]), file("web/x")]), "malformed"),
        ("short record", with(vec![pax(&["8 path=x\n"]), file("web/x")]), "malformed"),
        ("long record", with(vec![pax(&["99 path=x\n"]), file("web/x")]), "malformed"),
        ("hidden newline", with(vec![pax(&["\n", &path]), file("web/x")]), "malformed"),
        ("empty key", with(vec![pax(&[&record("", "x")]), file("web/x")]), "malformed"),
        ("huge length", with(vec![pax(&["99999999999999999999 a=b\n"])]), "malformed"),
        ("two long names", with(vec![long_name(b"web/a"), long_name(b"web/b")]), "two long"),
        ("hidden long name", with(vec![long_name(b"web/a\0/../b"), file("x")]), "malformed"),
        ("empty long name", with(vec![long_name(b""), file("web/x")]), "malformed"),
        (
            "long name and path",
            with(vec![long_name(b"web/a"), pax(&[&path]), file("x")]),
            "different names",
        ),
    ] {
        let error = read(&entries).unwrap_err();
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
    // A renamed second Chart.yaml is a second Chart.yaml.
    let renamed = [chart_yaml(), pax(&[&record("path", "web/Chart.yaml")]), file("web/x")];
    assert!(read(&renamed).unwrap_err().to_string().contains("there twice"));
    // Go keeps the header's name where the record is empty.
    assert!(read(&[chart_yaml(), pax(&[&record("path", "")]), file("web/x")]).is_ok());
}

#[test]
fn refuses_what_is_beyond_the_limits() {
    let claims = |name: &str, size: &'static [u8; 12]| {
        entry_with(name, b'0', b"", |block| block[124..136].copy_from_slice(size))
    };
    let many: Vec<_> = (0..MAX_ENTRIES).map(|i| entry(&format!("web/{i}"), b'0', b"")).collect();
    let zeros = vec![0; MAX_FILE_BYTES as usize];
    let big: Vec<_> = (0..20).map(|i| entry(&format!("web/{i}"), b'0', &zeros)).collect();
    for (name, entries, why) in [
        ("file", vec![claims("web/x", b"00024000001\0")], "larger than 5242880"),
        ("whole", big, "larger than 104857600"),
        ("entries", [vec![chart_yaml()], many].concat(), "10000 entries"),
        ("Chart.yaml", vec![claims("web/Chart.yaml", b"00004000001\0")], "larger than 1048576"),
        (
            "header",
            vec![entry_with("p", b'x', b"", |block| {
                block[124..136].copy_from_slice(b"00004000001\0");
            })],
            "larger than 1048576",
        ),
    ] {
        let error = read(&entries).unwrap_err();
        assert_eq!(error.what, "chart archive too large", "{name}: {error}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
    assert!(read(&[chart_yaml(), entry("web/x", b'0', &zeros)]).is_ok(), "5 MiB are allowed");
}

#[test]
fn refuses_an_endless_stream() {
    // 200 MiB of zeros behind the end mark: 200 KiB packed, and nothing of it is kept.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&tar(&[chart_yaml()])).unwrap();
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..200 {
        encoder.write_all(&zeros).unwrap();
    }
    let error = read_both(&encoder.finish().unwrap()).unwrap_err();
    assert_eq!(error.what, "chart archive too large");
}

#[test]
fn refuses_what_is_no_chart() {
    let yaml = |text: &str| vec![entry("web/Chart.yaml", b'0', text.as_bytes())];
    for (name, entries, why) in [
        ("no Chart.yaml", vec![file("web/values.yaml")], "no NAME/Chart.yaml"),
        ("deeper", vec![entry("a/web/Chart.yaml", b'0', CHART_YAML)], "no NAME/Chart.yaml"),
        ("directory", vec![entry("web/Chart.yaml/", b'5', b"")], "no NAME/Chart.yaml"),
        ("bad yaml", yaml("name: ["), "Chart.yaml"),
        ("empty yaml", yaml(""), "Chart.yaml"),
        ("no version", yaml("name: web"), "no version"),
        ("bad name", yaml("name: ..\nversion: 1.0.0"), "not allowed"),
        ("other name", yaml("name: other\nversion: 1.0.0"), "does not have the chart's name"),
        (
            "requirements that rename",
            vec![chart_yaml(), entry("web/requirements.yaml", b'0', b"version: 9.9.9")],
            "would change the name",
        ),
    ] {
        let error = read(&entries).unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Refused, Reason::NotAChart), "{name}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
}

#[test]
fn a_file_name_that_is_a_promise_is_kept() {
    let chart = |name: &str, version: &str| {
        let yaml = format!("name: {name}\nversion: {version}\n");
        read(&[entry(&format!("{name}/Chart.yaml"), b'0', yaml.as_bytes())]).unwrap()
    };
    let (web, web_1) = (chart("web", "1.4.2+b.1"), chart("web-1", "4.2.0"));
    let hex = "0".repeat(64);
    for (archive, name, expected) in [
        (&web, "web-1.4.2+b.1.tgz", None),
        (&web, "web-1.4.2_b.1.tgz", None),
        (&web, "web.tgz", None),
        (&web, "chart.tgz", None),
        (&web, "chart-of-today.tgz", None),
        (&web, "web-1.tgz", None),
        (&web, "layer", None),
        (&web, &format!("web@sha256-{hex}.tgz"), None),
        (&web, &format!("other@sha256-{hex}.tgz"), None),
        (&web, "web-1.4.2.tgz", Some(Reason::WrongVersion)),
        (&web, "web-1.4.3.tgz", Some(Reason::WrongVersion)),
        (&web, "web-v1.4.3.tgz", Some(Reason::WrongVersion)),
        (&web, "other-1.4.2+b.1.tgz", Some(Reason::WrongChart)),
        (&web, "web-server-1.4.2+b.1.tgz", Some(Reason::WrongChart)),
        (&web_1, "web-1-4.2.0.tgz", None),
        (&web_1, "web-1-4.2.1.tgz", Some(Reason::WrongVersion)),
        (&web_1, "web-4.2.0.tgz", Some(Reason::WrongChart)),
    ] {
        let found = archive.check_file_name(name).err().map(|error| error.reason);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn survives_mutated_archives() {
    let tar = tar(&[
        entry("web/", b'5', b""),
        pax(&[&record("path", "web/templates/x")]),
        file("x"),
        entry("././@LongLink", b'L', b"web/templates/y\0"),
        file("y"),
        chart_yaml(),
    ]);
    let packed = gzip(&tar);
    let mut random = Random::new(5);
    for round in 0..6_000 {
        let bytes = match round % 2 {
            0 => gzip(&random.mutate(&tar)),
            _ => random.mutate(&packed),
        };
        if let Ok(archive) = read_both(&bytes) {
            let _ = archive.check_file_name("web-1.4.2.tgz");
        }
    }
}

/// What Helm's own loader, `tests/interop/archives`, says of an archive.
#[derive(serde::Deserialize)]
struct Answer {
    name: String,
    version: String,
    error: String,
}

/// Asks it about each archive, where `HELM_SIGSTORE_ARCHIVE_ORACLE` names the program.
fn helm(archives: &[Vec<u8>]) -> Option<Vec<Answer>> {
    let oracle = std::env::var_os("HELM_SIGSTORE_ARCHIVE_ORACLE")?;
    let mut corpus = tempfile::tempfile().unwrap();
    for archive in archives {
        corpus.write_all(&u32::try_from(archive.len()).unwrap().to_le_bytes()).unwrap();
        corpus.write_all(archive).unwrap();
    }
    std::io::Seek::rewind(&mut corpus).unwrap();
    let output = std::process::Command::new(oracle).stdin(corpus).output().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), archives.len());
    Some(answers)
}

/// What we accept, Helm has to understand in the same way; that we refuse more is the point.
#[test]
#[ignore = "asks Helm's loader: tests/interop/run archives"]
fn reads_no_archive_otherwise_than_helm() {
    let mut random = Random::new(6);
    let archives: Vec<_> =
        (0..30_000).map(|_| gzip(&agreement::confusing_tar(&mut random))).collect();
    let answers = helm(&archives).expect("HELM_SIGSTORE_ARCHIVE_ORACLE names the program");
    let (mut same, mut stricter, mut laxer, mut neither) = (0, 0, 0, 0);
    let mut reasons = std::collections::BTreeMap::new();
    for (archive, helm) in archives.iter().zip(answers) {
        match (read_both(archive), helm.error.is_empty()) {
            (Ok(ours), true) => {
                assert_eq!((ours.name(), ours.version()), (&*helm.name, &*helm.version));
                same += 1;
            }
            (Ok(_), false) => {
                laxer += 1;
                *reasons.entry(helm.error).or_insert(0) += 1;
            }
            (Err(_), true) => stricter += 1,
            (Err(_), false) => neither += 1,
        }
    }
    println!(
        "{same} read alike, {neither} refused by both, {stricter} by us, {laxer} by Helm: {reasons:?}"
    );
    assert_eq!(laxer, 0, "{reasons:?}");
    assert!(same > 500);
}
