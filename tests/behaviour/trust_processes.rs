//! Processes of their own that share one cache, are killed, or find no place for it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::World;
use crate::trust_support::{cache, private, repository};

/// The program itself, in the environment of the world.
fn program(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helm-sigstore"));
    command.args(arguments).env_clear().envs(&world.environment);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What lies in the directory of the cache.
fn kept(world: &World) -> Vec<String> {
    let directory = cache(world).parent().unwrap().to_owned();
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn processes_that_refresh_at_once_leave_one_whole_cache() {
    let (world, mut tuf) = private();
    let (reference, _) = world.signed_web();
    std::fs::remove_file(cache(&world)).unwrap();
    let signer = world.signer();
    let mut verify = vec!["verify", reference.as_str()];
    verify.extend(signer.iter().map(String::as_str));
    for round in 0..2 {
        let children: Vec<Child> = (0..6)
            .map(|at| {
                let arguments = if at % 2 == 0 { &verify[..] } else { &["trust", "update"][..] };
                program(&world, arguments).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let words = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "round {round}: {words}");
            assert!(!words.contains("trust cache"), "{words}");
        }
        world.verify(&[&reference, "--offline"]).exits(0);
        assert_eq!(kept(&world), ["kit.json"]);
        // The next round starts from a cache, and a root that was rotated.
        tuf.next_root(true);
    }
}

#[test]
fn a_process_that_is_killed_at_any_moment_leaves_the_cache_usable() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    for pause in [0, 2, 4, 6, 8, 12, 16, 24, 40] {
        let mut child = program(&world, &["trust", "update"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        world.verify(&[&reference, "--offline"]).exits(0);
    }
    // What is left of a write that was cut is no cache, and in nobody's way.
    std::fs::write(cache(&world).with_file_name("kit.json.0123456789abcdef.partial"), "{").unwrap();
    world.run(&["trust", "update"]).exits(0);
    world.verify(&[&reference, "--offline"]).exits(0);
    drop(tuf);
}

#[cfg(unix)]
#[test]
fn whatever_the_mask_others_neither_write_nor_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    let tuf = repository(&world);
    let root = world.argument("1.root.json");
    std::fs::write(&root, tuf.root()).unwrap();
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    for mask in ["000", "077", "777"] {
        let home = world.argument(&format!("home-{mask}"));
        world.environment.insert("HOME".to_owned(), home.clone());
        std::fs::create_dir(&home).unwrap();
        let words = format!(
            "umask {mask}; exec \"$0\" trust init kit --mirror {} --root {root}",
            tuf.url()
        );
        let output = Command::new("/bin/sh")
            .args(["-c", &words, env!("CARGO_BIN_EXE_helm-sigstore")])
            .env_clear()
            .envs(&world.environment)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if mask == "777" && !output.status.success() {
            // Nothing that is made under this mask can be used; then nothing is said to be kept.
            assert!(said.contains("error: "), "{said}");
            continue;
        }
        assert!(output.status.success(), "{mask}: {said}");
        for path in [".cache/helm/sigstore/trust", ".config/helm/sigstore/instances"] {
            let directory = std::path::Path::new(&home).join(path);
            let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{mask} {path}: {mode:o}");
        }
    }
}
