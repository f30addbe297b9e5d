//! The table of docs/references.md: which chart a reference leads to, here and in Helm. The columns of Helm are
//! measured by `tests/interop/run references`.

use std::collections::BTreeMap;

use helm_sigstore_kit::chart::Chart;

use crate::support::World;

/// One line of the table.
#[derive(Debug)]
struct Line {
    reference: String,
    flags: Vec<String>,
    helm: [String; 2],
    ours: String,
}

/// The words of a cell of flags; only single quotes are used there.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, part) in text.split('\'').enumerate() {
        match at % 2 {
            0 => found.extend(part.split_whitespace().map(str::to_owned)),
            _ => found.push(part.to_owned()),
        }
    }
    found
}

fn table() -> Vec<Line> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/references.md");
    let text = std::fs::read_to_string(path).unwrap();
    // The only bar inside a cell is escaped.
    let text = text.replace("\\|", "\u{1}");
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().trim_matches('`').replace('\u{1}', "|")).collect()
    };
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| match cells(line).as_slice() {
            [reference, flags, helm_3, helm_4, ours] => Line {
                reference: reference.clone(),
                flags: words(flags),
                helm: [helm_3.clone(), helm_4.clone()],
                ours: ours.clone(),
            },
            _ => panic!("not five cells: {line}"),
        })
        .collect()
}

/// The registry that the page describes, and the version behind each digest.
fn registry() -> (World, BTreeMap<String, String>) {
    let world = World::new();
    let mut digests = BTreeMap::new();
    for version in ["1.4.2", "1.10.0", "2.0.0-rc.1", "1.3.0+build.5", "v1.5.0"] {
        let pushed = world.push(&Chart::new("web", version));
        digests.insert(pushed.manifest_digest, version.to_owned());
    }
    let zeros = format!("sha256-{}", "0".repeat(64));
    let signature = format!("{zeros}.sig");
    for (tag, version) in
        [("latest", "1.10.0"), ("1.4", "1.4.2"), (&zeros, "1.4.2"), (&signature, "1.4.2")]
    {
        let digest = world.registry.resolve("charts/web", version).unwrap();
        world.registry.tag("charts/web", tag, &digest);
    }
    (world, digests)
}

#[test]
fn every_reference_of_the_table_leads_where_the_table_says() {
    let (world, digests) = registry();
    let host = world.registry.host();
    let port = host.rsplit(':').next().unwrap();
    let digest = world.registry.resolve("charts/web", "1.4.2").unwrap();
    let lines = table();
    assert!(lines.len() > 80, "{} lines", lines.len());
    let mut wrong = Vec::new();
    for line in &lines {
        let reference = line
            .reference
            .replace("LOCALHOST:PORT", &format!("LOCALHOST:{port}"))
            .replace("localhost:PORT", &format!("localhost:{port}"))
            .replace("DIGEST", &digest);
        let reference = match reference.contains("LOCALHOST") {
            true => reference,
            false => reference.replace("HOST", &host),
        };
        let mut arguments = vec!["-o", "json", reference.as_str()];
        arguments.extend(line.flags.iter().map(String::as_str));
        let ended = world.verify(&arguments);
        let found = match ended.code {
            // None of them is signed: whoever got so far has found the chart.
            3 => {
                let digest = ended.json()["results"][0]["manifestDigest"].clone();
                digests.get(digest.as_str().unwrap()).cloned().unwrap_or_default()
            }
            code => format!("exit {code}"),
        };
        if found != line.ours {
            wrong.push(format!("{} {:?}: {found}, not {}", line.reference, line.flags, line.ours));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_helm_resolves_leads_to_the_same_chart_but_for_an_empty_flag() {
    let differing: Vec<_> = table()
        .into_iter()
        .filter(|line| line.helm.iter().any(|helm| helm != "—" && *helm != line.ours))
        .collect();
    let [line] = differing.as_slice() else { panic!("{differing:#?}") };
    assert_eq!(line.flags, ["--version", ""]);
    assert_eq!(line.ours, "exit 2");
}

#[test]
fn sign_and_attest_refuse_what_helm_reads_past_and_ask_for_nothing() {
    let (world, _) = registry();
    let host = world.registry.host();
    let directory = tempfile::tempdir().unwrap();
    let predicate = directory.path().join("predicate.json");
    std::fs::write(&predicate, "{}").unwrap();
    let attest = ["attest", "--predicate", predicate.to_str().unwrap(), "--predicate-type", "spdx"];
    let before = world.registry.registry_requests_count();
    for (end, why) in [
        (":", "the tag is empty"),
        ("@", "the digest is empty"),
        (":1.4.2@", "the digest is empty"),
        ("%3A1.4.2", "percent-encoded"),
    ] {
        let reference = format!("oci://{host}/charts/web{end}");
        for command in [["sign"].as_slice(), &attest] {
            let ended = world.run(&[command, &["--yes", &reference]].concat());
            assert_eq!(ended.code, 2, "{ended:?}");
            assert!(ended.stderr.contains(why), "{ended:?}");
            assert!(ended.stderr.contains(&reference), "{ended:?}");
        }
    }
    assert_eq!(world.registry.registry_requests_count(), before);
}
