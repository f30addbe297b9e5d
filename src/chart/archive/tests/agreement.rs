//! Packaged charts as Helm's own loader reads them: `tests/interop/archives`, whose answers are recorded here, and
//! asked for anew where `HELM_SIGSTORE_ARCHIVE_ORACLE` names that program.

use super::cases::cases;
use super::*;

/// What Helm says of an archive.
#[derive(serde::Deserialize)]
struct Answer {
    name: String,
    version: String,
    error: String,
}

/// Asks Helm's loader about each archive, if it is there.
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
    let archives: Vec<_> = (0..30_000).map(|_| gzip(&confusing_tar(&mut random))).collect();
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

/// A tar of entries that contradict each other, with bytes changed under a right checksum.
fn confusing_tar(random: &mut Random) -> Vec<u8> {
    let mut entries = vec![file("web/notes")];
    if random.below(2) == 0 {
        entries = vec![chart_yaml()];
    }
    for _ in 0..=random.below(4) {
        let names = [
            "web/x",
            "web/y",
            "web/Chart.yaml",
            "web/Chart.yaml",
            "other/Chart.yaml",
            "x",
            "web/requirements.yaml",
        ];
        let name = names[random.below(names.len())];
        let kind = b"000000000000512xgLKS7\0\0"[random.below(23)];
        let data = match random.below(8) {
            0 => CHART_YAML.to_vec(),
            5 => dependencies(random).into_bytes(),
            6 => [CHART_YAML, dependencies(random).as_bytes()].concat(),
            1 => b"name: web\nversion: 9.9.9\n".to_vec(),
            2 => [record("path", "web/Chart.yaml"), record("size", "27")].concat().into_bytes(),
            3 => record("path", "web/Chart.yaml").into_bytes(),
            4 => b"web/Chart.yaml\0".to_vec(),
            _ => Vec::new(),
        };
        let pokes: Vec<_> = (0..random.below(4).saturating_sub(1))
            .map(|_| {
                let at = [
                    0, 3, 100, 101, 102, 108, 115, 116, 124, 134, 135, 136, 140, 156, 257, 262,
                    263, 265, 329, 337, 340, 345, 348, 357, 476, 488, 508,
                ];
                let at = at[random.below(at.len())];
                (at, b"\x00 0145/wxust\x80\xff"[random.below(14)])
            })
            .collect();
        let magic: &[u8] =
            [&b"ustar\x0000"[..], b"ustar  \0", b"\0\0\0\0\0\0\0\0"][random.below(3)];
        let made = entry_with(name, kind, &data, |block| {
            block[257..265].copy_from_slice(magic);
            for (at, byte) in pokes {
                block[at] = byte;
            }
        });
        let at = random.below(entries.len() + 1);
        entries.insert(at, made);
    }
    tar(&entries)
}

/// Dependencies of which Helm refuses some.
fn dependencies(random: &mut Random) -> String {
    let lists = [
        "",
        "[]",
        "[{name: x}, {name: y}]",
        "[{name: x}, {name: x}]",
        "[{name: x, alias: y}, {name: x}]",
        "[{name: x, alias: ../y}]",
        "[{name: x}, {name: y, alias: x}]",
        "[{name: y}, null]",
        "[&a {name: x}, {<<: *a, alias: b}]",
    ];
    format!("dependencies: {}\n", lists[random.below(lists.len())])
}

/// Where a tar archive can be read in two ways, another reader finds another `Chart.yaml` in it: what Go's finds is
/// what we find, or nothing is accepted. (RUSTSEC-2026-0068 and its relatives.)
#[test]
fn tar_agrees_with_go() {
    let cases = cases();
    let archives: Vec<_> = cases.iter().map(|case| gzip(&case.tar)).collect();
    if let Some(answers) = helm(&archives) {
        for (case, helm) in cases.iter().zip(answers) {
            let found = helm.error.is_empty().then(|| format!("{} {}", helm.name, helm.version));
            assert_eq!(case.go, found.as_deref(), "{}: {}", case.name, helm.error);
        }
    }
    for (case, archive) in cases.iter().zip(archives) {
        let ours = read_both(&archive);
        let found = ours.as_ref().map(|it| format!("{} {}", it.name(), it.version()));
        match (&found, case.refused) {
            (Ok(found), "") => assert_eq!(case.go, Some(found.as_str()), "{}", case.name),
            (Ok(found), _) => panic!("{}: accepted as {found}", case.name),
            (Err(error), why) => {
                assert!(
                    !why.is_empty() && error.to_string().contains(why),
                    "{}: {error}",
                    case.name
                );
            }
        }
    }
}
