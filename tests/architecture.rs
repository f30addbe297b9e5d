//! The house rules that nobody has to remember: who may import whom, which rooms are pure, who prints.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what cannot be read is a failed test

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which rooms a room may import, beside itself. Never back: `main -> cli -> run -> {sign, store, trust}
/// -> registry -> net`, and `files` for those who read some; `chart`, `verify` and `consumer` are pure; `run` and `cli` import the last.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("chart", &["error"]),
    (
        "cli",
        &[
            "chart", "consumer", "error", "files", "net", "registry", "run", "sign", "store",
            "trust", "verify",
        ],
    ),
    ("consumer", &["chart", "error", "verify"]),
    ("error", &[]),
    ("files", &["error"]),
    ("net", &["error"]),
    ("registry", &["chart", "error", "files", "net"]),
    (
        "run",
        &[
            "chart", "consumer", "error", "files", "net", "registry", "sign", "store", "trust",
            "verify",
        ],
    ),
    ("sign", &["chart", "error", "files", "net", "verify"]),
    ("store", &["chart", "error", "net", "registry", "verify"]),
    ("trust", &["chart", "error", "net", "verify"]),
    ("verify", &["chart", "error"]),
];

/// What a pure room may not mention.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "tokio",
    "reqwest",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below `directory` with its text, without its tests.
fn sources(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !["tests.rs", "testing.rs"].contains(&name) {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
                found.insert(path, code);
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {}", directory.display());
    found
}

/// The code of a file, without comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.starts_with("//"))
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn rooms_import_only_downwards() {
    let rules: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        let room = room_of(&path);
        if ["main", "lib"].contains(&room.as_str()) {
            continue;
        }
        let allowed = rules.get(room.as_str()).unwrap_or_else(|| panic!("no rule for {room}"));
        for (line, code) in code_lines(&text) {
            for rest in code.split("crate::").skip(1) {
                let word: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_room = rules.contains_key(word.as_str());
                if is_room && word != room && !allowed.contains(&word.as_str()) {
                    wrong.push(format!("{}:{line}: {room} imports {word}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_rooms_touch_nothing() {
    let mut wrong = Vec::new();
    for room in ["chart", "consumer", "verify"] {
        for (path, text) in sources(&root().join("src").join(room)) {
            for (line, code) in code_lines(&text) {
                for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                    wrong.push(format!("{}:{line}: {word}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_main_reads_the_environment_and_only_one_file_prints() {
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        let room = room_of(&path);
        for (line, code) in code_lines(&text) {
            let reads = code.contains("env::var") || code.contains("env::args");
            let prints = ["println!", "print!(", "io::stdout", "io::stderr", "dbg!"]
                .iter()
                .any(|word| code.contains(word));
            if (reads || prints) && room != "main" {
                wrong.push(format!("{}:{line}: {code}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_http_client_and_the_registry_know_the_http_library() {
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        if room_of(&path) == "net" {
            continue;
        }
        for (line, code) in code_lines(&text) {
            if code.contains("reqwest::") {
                wrong.push(format!("{}:{line}: {code}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_test_kit_never_depends_on_the_product() {
    let manifest = std::fs::read_to_string(root().join("tests/kit/Cargo.toml")).unwrap();
    assert!(
        !manifest
            .lines()
            .any(|line| line.starts_with("helm-sigstore ") || line.contains("path = \"../.."))
    );
    for (path, text) in sources(&root().join("tests/kit/src")) {
        let imports = text.contains("use helm_sigstore::") || text.contains("helm_sigstore::run");
        assert!(!imports, "{}", path.display());
    }
}

#[test]
fn every_dependency_is_justified_in_one_line() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[profile").next().unwrap();
    for line in dependencies.lines().filter(|line| line.contains(" = ") && !line.starts_with('[')) {
        assert!(line.contains(" # "), "no reason beside: {line}");
    }
    for line in dependencies.lines().filter(|line| line.starts_with("sigstore-")) {
        assert!(line.contains("\"=0."), "not pinned: {line}");
    }
}

#[test]
fn the_plugin_manifest_and_the_package_have_one_version() {
    let plugin = std::fs::read_to_string(root().join("plugin.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(plugin.contains(&format!("version: \"{version}\"")), "{plugin}");
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    for library in ["src/lib.rs", "tests/kit/src/lib.rs"] {
        let text = std::fs::read_to_string(root().join(library)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{library}");
    }
}
