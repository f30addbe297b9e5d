//! Archives that readers understand differently: made at random, and the table of those that are known.

use super::cases::cases;
use super::*;

/// A tar of entries that contradict each other, with bytes changed under a right checksum.
pub(super) fn confusing_tar(random: &mut Random) -> Vec<u8> {
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
