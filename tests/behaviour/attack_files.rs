//! Files beside the chart and files that we write.

#[cfg(unix)]
use std::sync::mpsc::Receiver;
#[cfg(unix)]
use std::time::{Duration, Instant};

use helm_sigstore::store::write_bundle;
use helm_sigstore_kit::chart::Chart;
#[cfg(unix)]
use helm_sigstore_kit::registry::{Auth, Bearer, Options as RegistryOptions};
#[cfg(unix)]
use helm_sigstore_kit::sigstore::Options;

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

/// A command that may never end, in a thread of its own: exit code and standard error.
#[cfg(unix)]
fn begin(world: &World, words: &[&str]) -> Receiver<(u8, String)> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let arguments = words.iter().map(|word| (*word).to_owned()).collect();
    let environment = world.environment.clone();
    std::thread::spawn(move || {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = helm_sigstore::cli::run(helm_sigstore::cli::Process {
            arguments,
            environment: helm_sigstore::cli::Environment::new(environment),
            executable: String::new,
            stdin: &mut std::io::empty(),
            stdout: &mut out,
            stderr: &mut err,
            stdin_is_terminal: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            clock: jiff::Timestamp::now,
        });
        let _ = sender.send((code, String::from_utf8_lossy(&err).into_owned()));
    });
    receiver
}

/// A pipe that nobody writes to.
#[cfg(unix)]
fn pipe(world: &World, name: &str) -> String {
    let made = std::process::Command::new("mkfifo").arg(world.path(name)).status().unwrap();
    assert!(made.success());
    world.argument(name)
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to_ends_with_the_time_out() {
    let bearer = Auth::Bearer(Bearer::new("jane", "secret"));
    let world = World::new();
    let mut shut = World::with(
        RegistryOptions { auth: bearer, ..RegistryOptions::default() },
        Options::default(),
    );
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    pipe(&world, "web-1.4.2.tgz.sigstore.json");
    let chart = pipe(&world, "pipe.tgz");
    let pipe = pipe(&world, "pipe");
    shut.environment.insert("HELM_REGISTRY_CONFIG".to_owned(), pipe.clone());
    let (reference, _) = world.signed_web();
    let (closed, _) = shut.push_web();
    let (list, file, pipe) = (format!("@{pipe}"), file.as_str(), pipe.as_str());
    let signer = world.signer();
    let signer: Vec<&str> = signer.iter().map(String::as_str).collect();
    let (reference, closed) = (reference.as_str(), closed.as_str());
    let commands: Vec<(&World, Vec<&str>, u8)> = vec![
        (&world, [&["verify", file], &signer[..]].concat(), 4),
        (&world, [&["verify", &chart], &signer[..]].concat(), 4),
        (&world, [&["verify", file, "--keyring", pipe], &signer[..]].concat(), 4),
        (&world, [&["verify", &list], &signer[..]].concat(), 4),
        (&world, [&["verify", reference, "--bundle", pipe], &signer[..]].concat(), 4),
        (&world, [&["verify", reference, "--trusted-root", pipe], &signer[..]].concat(), 4),
        (&world, [&["verify", reference, "--ca-file", pipe], &signer[..]].concat(), 4),
        // It could say something else the next time.
        (&world, [&["verify", reference, "--policy", pipe], &signer[..]].concat(), 2),
        (&world, vec!["verify", reference, "--key", pipe], 4),
        (&world, vec!["verify", file, "--signature", pipe, "--key", pipe], 4),
        (&world, vec!["doctor", reference, "--key", pipe], 4),
        (&world, vec!["doctor", reference, "--repair", "--bundle", pipe], 4),
        (&world, vec!["sign", reference, "--key", pipe], 4),
        (&world, vec!["sign", reference, "--identity-token", pipe], 4),
        (&world, vec!["sign", reference, "--signing-config", pipe], 4),
        (&world, vec!["sign", reference, "--sigstore-ca-file", pipe], 4),
        (&world, vec!["attest", reference, "--predicate-type", "spdx", "--predicate", pipe], 4),
        (&world, vec!["trust", "show", "--trusted-root", pipe], 4),
        (&world, vec!["trust", "init", "x", "--mirror", "https://127.0.0.1:1", "--root", pipe], 4),
        (&shut, vec!["tree", closed], 4),
    ];
    let begun: Vec<_> = commands
        .iter()
        .map(|(world, words, _)| begin(world, &[&words[..], &["--timeout", "1s"]].concat()))
        .collect();
    let started = Instant::now();
    for ((_, words, code), ended) in commands.iter().zip(begun) {
        let left = Duration::from_secs(20).saturating_sub(started.elapsed());
        let Ok((found, stderr)) = ended.recv_timeout(left) else { panic!("{words:?} hangs") };
        assert_eq!(found, *code, "{words:?}: {stderr}");
        if *code == 4 {
            assert!(stderr.contains("timed out after 1 s"), "{words:?}: {stderr}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_that_somebody_writes_to_is_read_as_a_file() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let root = std::fs::read(world.path("trusted_root.json")).unwrap();
    let pipe = pipe(&world, "pipe");
    let writer = pipe.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        std::fs::write(writer, root)
    });
    let signer = world.signer();
    let words = ["verify", &reference, "--trusted-root", &pipe, "--timeout", "20s"];
    let words = [&words[..], &signer.each_ref().map(String::as_str)].concat();
    let (code, stderr) = begin(&world, &words).recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(code, 0, "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_bundle_that_comes_through_a_pipe_is_read_once_and_verifies() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let chart = chart.display().to_string();
    world.run(&["sign", &chart]).exits(0);
    let bundle = std::fs::read(format!("{chart}.sigstore.json")).unwrap();
    let pipe = pipe(&world, "pipe");
    let writer = pipe.clone();
    std::thread::spawn(move || std::fs::write(writer, bundle));
    let signer = world.signer();
    let words = ["verify", &chart, "--bundle", &pipe, "--offline", "--timeout", "20s"];
    let words = [&words[..], &signer.each_ref().map(String::as_str)].concat();
    let (code, stderr) = begin(&world, &words).recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(code, 0, "{stderr}");
}

#[cfg(unix)]
#[test]
fn what_is_waited_for_is_the_bundle_where_one_is_named() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let pipe = pipe(&world, "pipe");
    world
        .verify(&[&reference, "--bundle", &pipe, "--timeout", "2s"])
        .exits(4)
        .says("while looking for signatures in the file");
}
