//! The files that Helm reads of the plugin, and the two installers, of which each is run on one system only: what one
//! knows, the other knows too.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Both installers, without their comments.
fn installers() -> [String; 2] {
    ["install-binary.sh", "install-binary.ps1"].map(|name| {
        let text = read(name);
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        code.collect::<Vec<_>>().join("\n")
    })
}

fn all<'t>(pattern: &str, text: &'t str) -> BTreeSet<&'t str> {
    Regex::new(pattern).unwrap().find_iter(text).map(|found| found.as_str()).collect()
}

#[test]
fn both_installers_look_at_the_same_variables_and_the_page_tells_of_them() {
    let [unix, windows] = installers();
    let (ours, theirs) = (all("HELM_[A-Z0-9_]+", &unix), all("HELM_[A-Z0-9_]+", &windows));
    assert_eq!(ours, theirs);
    let settings: BTreeSet<_> =
        ours.into_iter().filter(|name| name.starts_with("HELM_SIGSTORE_")).collect();
    assert_eq!(settings.len(), 4, "{settings:?}");
    let page = read("docs/helm.md");
    for name in settings {
        assert!(page.contains(name), "docs/helm.md does not tell of {name}");
        for script in ["install-binary.sh", "install-binary.ps1"] {
            let comments = read(script);
            let told = comments
                .lines()
                .any(|line| line.starts_with("# ") && line.contains(&format!("{name}=")));
            assert!(told, "the head of {script} does not tell of {name}");
        }
    }
}

#[test]
fn both_installers_ask_for_a_file_of_the_same_name() {
    let [unix, windows] = installers();
    assert!(unix.contains("file=helm-sigstore-$version-$(platform)\n"));
    assert!(windows.contains("\"helm-sigstore-$($script:Version)-$(Get-Platform).exe\""));
    assert!(unix.contains("echo \"$os-$arch\""));
    let systems = all("os=(linux|darwin)", &unix);
    assert_eq!(systems, BTreeSet::from(["os=darwin", "os=linux"]));
    let architectures = |text: &str| all("(amd64|arm64)\\b", text).len();
    assert_eq!(architectures(&unix), 2);
    assert_eq!(all("'windows-(amd64|arm64)'", &windows).len(), 2);
}

#[test]
fn both_installers_make_the_same_checks() {
    let [unix, windows] = installers();
    for check in [
        // Nothing is downloaded whose digest is not known, over http, or of another digest.
        "is not known, so nothing is downloaded",
        "HELM_SIGSTORE_DOWNLOAD_URL does not begin with https://",
        "is not what it has to be",
        "checksums.txt",
        "{64}",
        "127",
        "localhost",
        "cannot download",
        // Nothing is put in place that is another program or version, nor beside another plugin.
        "HELM_SIGSTORE_BINARY: no such file",
        "its answer to 'version --short'",
        "another plugin is named sigstore",
        "names no version",
        "there are no sources to build it from",
        // Built as it is built everywhere, and said in the same words.
        "cargo build --release --locked -p helm-sigstore --bin helm-sigstore",
        "--message-format json-render-diagnostics",
        "AWS_LC_SYS_NO_JITTER_ENTROPY",
        "run: helm plugin uninstall sigstore and retry",
        "is in place",
    ] {
        for (script, text) in [("install-binary.sh", &unix), ("install-binary.ps1", &windows)] {
            assert!(text.contains(check), "{script} lacks {check:?}");
        }
    }
    let seconds = |text: &str| {
        let found = Regex::new(r"(?:MAX_SECONDS=|MaxSeconds = )(\d+)").unwrap();
        found.captures(text).unwrap()[1].to_owned()
    };
    assert_eq!(seconds(&unix), seconds(&windows));
}

#[test]
fn every_command_and_hook_of_the_plugin_is_there_on_windows() {
    let manifest: Value = serde_saphyr::from_str(&read("plugin.yaml")).unwrap();
    // Helm takes an entry of the system before one of none.
    let on_windows = |entries: &Value| {
        let entries = entries.as_array().unwrap();
        let named = entries.iter().find(|entry| entry["os"] == "windows");
        let entry = named.or_else(|| entries.iter().find(|entry| entry["os"].is_null()));
        entry.unwrap_or_else(|| panic!("nothing for Windows in {entries:?}")).clone()
    };
    // Without an ending: Windows finds the .exe that the installer puts there.
    assert_eq!(
        on_windows(&manifest["platformCommand"])["command"],
        "${HELM_PLUGIN_DIR}/bin/helm-sigstore"
    );
    assert!(read("install-binary.ps1").contains("'helm-sigstore.exe'"));
    let hooks = manifest["platformHooks"].as_object().unwrap();
    assert_eq!(hooks.keys().collect::<Vec<_>>(), ["install", "update"]);
    for (name, entries) in hooks {
        let entry = on_windows(entries);
        let arguments = entry["args"].as_array().unwrap();
        assert_eq!(entry["command"], "powershell.exe", "{name}");
        assert_eq!(arguments.last().unwrap(), "${HELM_PLUGIN_DIR}\\install-binary.ps1", "{name}");
        let unix = entries.as_array().unwrap().iter().find(|entry| entry["os"].is_null());
        assert_eq!(unix.unwrap()["command"], "${HELM_PLUGIN_DIR}/install-binary.sh", "{name}");
    }
    // `sh` would have to run these.
    assert!(manifest["hooks"].is_null() && manifest["command"].is_null());
}
