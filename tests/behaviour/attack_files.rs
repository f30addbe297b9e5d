//! Files beside the chart and files that we write.

use std::time::{Duration, Instant};

use helm_sigstore::store::write_bundle;
use helm_sigstore_kit::chart::Chart;

use crate::support::World;

#[cfg(unix)]
#[test]
fn a_sidecar_that_cannot_be_looked_at_is_not_a_missing_signature() {
    let world = World::new();
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let sidecar = format!("{}.sigstore.json", file.display());
    std::os::unix::fs::symlink(&sidecar, &sidecar).unwrap();
    world.verify(&[&file.display().to_string()]).exits(2).says("cannot open bundle");
}

#[test]
fn a_file_of_somebody_else_is_not_removed_when_a_bundle_cannot_be_written() {
    let world = World::new();
    let target = world.path("b.json");
    let partial = world.path(&format!("b.json.{}.partial", std::process::id()));
    std::fs::write(&partial, b"precious").unwrap();
    // Written or not: what lay there before is still there.
    let _ = write_bundle(&target, "web-1.4.2.tgz", b"{}");
    assert_eq!(std::fs::read(&partial).unwrap(), b"precious");
}

#[test]
fn a_bundle_is_written_into_its_directory_and_nowhere_else() {
    let world = World::new();
    let directory = world.path("out");
    std::fs::create_dir_all(directory.join("web-")).unwrap();
    for name in ["web-/../../escaped.tgz", "../escaped.tgz", "/tmp/escaped.tgz", "a\\..\\b", ".."] {
        assert!(write_bundle(&directory, name, b"{}").is_err(), "{name}");
    }
    assert!(!world.path("escaped.tgz.sigstore.json").exists());
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to_ends_with_the_time_out() {
    let world = World::new();
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    for name in ["web-1.4.2.tgz.sigstore.json", "pipe.tgz", "keyring"] {
        let made = std::process::Command::new("mkfifo").arg(world.path(name)).status().unwrap();
        assert!(made.success());
    }
    let pipe = world.argument("pipe.tgz");
    let keyring = world.argument("keyring");
    for arguments in
        [vec![file.as_str()], vec![pipe.as_str()], vec![file.as_str(), "--keyring", &keyring]]
    {
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut words: Vec<String> = ["verify", "--timeout", "1s"].map(str::to_owned).to_vec();
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        words.extend(world.signer());
        let environment = world.environment.clone();
        let started = Instant::now();
        std::thread::spawn(move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = helm_sigstore::cli::run(helm_sigstore::cli::Process {
                arguments: words,
                environment: helm_sigstore::cli::Environment::new(environment),
                executable: String::new(),
                stdin: &mut std::io::empty(),
                stdout: &mut out,
                stderr: &mut err,
                stdin_is_terminal: false,
                stdout_is_terminal: false,
                stderr_is_terminal: false,
                clock: jiff::Timestamp::now,
            });
            let _ = sender.send(code);
        });
        let code = receiver.recv_timeout(Duration::from_secs(10));
        assert_eq!(code, Ok(4), "{arguments:?} after {:?}", started.elapsed());
    }
}
