//! Completion: what a shell, or Helm, is told when a person presses Tab.

use std::process::Command;

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault};

use crate::support::World;

/// The candidates without their descriptions, and what the shell adds.
fn complete(world: &World, words: &[&str]) -> (Vec<String>, String) {
    let mut arguments = vec!["__complete"];
    arguments.extend(words);
    let ended = world.run(&arguments).exits(0);
    assert_eq!(ended.stderr, "");
    let mut lines: Vec<_> = ended.stdout.lines().map(str::to_owned).collect();
    let directive = lines.pop().unwrap();
    let value = |line: &String| line.split('\t').next().unwrap().to_owned();
    (lines.iter().map(value).collect(), directive)
}

#[test]
fn commands_and_flags_are_completed_with_what_they_are_for() {
    let world = World::new();
    assert_eq!(complete(&world, &["veri"]), (vec!["verify".to_owned()], ":4".to_owned()));
    // Helm's own flags stand in the way of nothing.
    let words = ["--debug", "-n", "prod", "verify", "--certificate-identity-r"];
    assert_eq!(complete(&world, &words).0, ["--certificate-identity-regexp"]);
    let ended = world.run(&["__complete", "key", ""]);
    assert!(ended.stdout.starts_with("generate\tMake a P-256 key"), "{}", ended.stdout);
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn tags_are_completed_newest_first_and_signatures_are_none() {
    let world = World::new();
    for version in ["1.4.2", "1.10.0", "2.0.0-rc.1", "1.3.0+build.5"] {
        world.push(&Chart::new("web", version));
    }
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(0);
    let repository = world.repository("web");
    let digest = world.registry.resolve("charts/web", "1.4.2").unwrap();
    for tag in ["latest", &format!("sha256-{}.sig", "0".repeat(64))] {
        world.registry.tag("charts/web", tag, &digest);
    }
    let typed = format!("{repository}:");
    let (values, directive) = complete(&world, &["verify", &typed]);
    let expected =
        ["2.0.0-rc.1", "1.10.0", "1.4.2", "1.3.0_build.5"].map(|tag| format!("{typed}{tag}"));
    assert_eq!((values.as_slice(), directive.as_str()), (&expected[..], ":4"));
    let (values, _) = complete(&world, &["sign", &format!("{typed}1.4")]);
    assert_eq!(values, [reference]);
    let (values, _) = complete(&world, &["verify", &repository, "--version", "1.3"]);
    assert_eq!(values, ["1.3.0+build.5"]);
}

#[test]
fn a_registry_that_does_not_answer_is_not_waited_for_and_nothing_is_said() {
    let world = World::new();
    let typed = format!("{}:", world.repository("web"));
    assert_eq!(complete(&world, &["verify", &typed]), (Vec::new(), ":4".to_owned()));
    world.registry.fault(Fault::new("/tags/list", Action::Hang));
    let begun = std::time::Instant::now();
    assert_eq!(complete(&world, &["verify", &typed]).0, Vec::<String>::new());
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn what_helm_knows_from_its_own_file_is_not_offered_twice() {
    let mut world = World::new();
    world.environment.insert("HELM_PLUGIN_NAME".to_owned(), "sigstore".to_owned());
    assert_eq!(complete(&world, &["verify", "--certificate-i"]), (Vec::new(), ":4".to_owned()));
    assert_eq!(complete(&world, &["verify", "--output", "j"]).0, ["json"]);
    assert_eq!(complete(&world, &["veri"]).0, ["verify"]);
}

#[test]
fn the_file_that_helm_completes_from_is_made_of_the_command_line() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("completion.yaml");
    let text = helm_sigstore::cli::completion_yaml();
    if std::env::var_os("HELM_SIGSTORE_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "completion.yaml is not of this command line; with HELM_SIGSTORE_UPDATE_SNAPSHOTS=1 it is written anew"
    );
}

#[test]
fn a_completion_says_no_password_and_warns_of_none() {
    let world = World::new();
    world.push(&Chart::new("web", "1.4.2"));
    let typed = format!("{}:", world.repository("web"));
    // A literal password makes a warning elsewhere; Helm would take it for a candidate.
    let words = ["verify", "--username", "jane", "--password", "s3cret", &typed];
    let (values, directive) = complete(&world, &words);
    assert_eq!((values, directive.as_str()), (vec![format!("{typed}1.4.2")], ":4"));
    let unfinished = ["verify", "--username", "jane", "--password", "s3cret"];
    assert_eq!(complete(&world, &unfinished), (Vec::new(), ":4".to_owned()));
}

#[test]
fn there_is_a_script_for_every_shell_and_bash_reads_its_own() {
    let world = World::new();
    for shell in ["bash", "fish", "powershell", "zsh"] {
        world.run(&["completion", shell]).exits(0).prints("helm-sigstore").prints(" __complete ");
    }
    world.run(&["completion", "tcsh"]).exits(2).says("bash or fish or powershell or zsh");
    world.run(&["completion"]).exits(2).says("an argument is missing: <SHELL>");
    let script = world.path("completion.bash");
    std::fs::write(&script, world.run(&["completion", "bash"]).stdout).unwrap();
    let words = r#"
        helm-sigstore() { printf '%s\n' "$3:1.0.0" "$3:1.1.0" ":4"; }
        source "$0"
        COMP_LINE='helm-sigstore verify oci://r.io/web'; COMP_POINT=${#COMP_LINE}
        _helm_sigstore
        printf '%s\n' "${COMPREPLY[@]}""#;
    // Where there is no bash, nobody completes in it.
    if let Ok(output) = Command::new("bash").args(["-c", words]).arg(&script).output() {
        let text = String::from_utf8(output.stdout).unwrap();
        // What stands in front of the last word break is on the line already.
        assert_eq!(text, "//r.io/web:1.0.0\n//r.io/web:1.1.0\n");
    }
}
