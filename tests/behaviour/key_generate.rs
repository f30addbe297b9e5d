//! `key generate`.

use crate::cli_support::Setting;
use crate::key_support::{PASSWORD, generate, key_id, with_key};
use crate::sign_support::assert_hides;
use crate::support::World;

#[test]
fn a_new_key_is_two_files_of_which_one_is_for_the_owner_alone() {
    let world = with_key(World::new(), "release");
    let ended = generate(&world, "other");
    let id = key_id(&world, "other");
    assert!(ended.stdout.ends_with(&format!("Key: {id}\n")), "{}", ended.stdout);
    assert_hides(&ended, PASSWORD);
    let private = std::fs::read_to_string(world.path("other.key")).unwrap();
    assert!(private.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"), "{private}");
    let public = std::fs::read_to_string(world.path("other.pub")).unwrap();
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n") && !public.contains('\r'));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name| world.path(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("other.key"), 0o600);
    }
    let left: Vec<_> = std::fs::read_dir(world.directory()).unwrap().flatten().collect();
    assert!(!left.iter().any(|file| file.file_name().to_string_lossy().starts_with('.')));
}

#[test]
fn a_key_that_exists_is_replaced_only_when_that_is_said() {
    let mut world = with_key(World::new(), "release");
    let files =
        || ["release.key", "release.pub"].map(|name| std::fs::read(world.path(name)).unwrap());
    let before = files();
    let prefix = world.argument("release");
    let arguments = ["key", "generate", "--output-key-prefix", prefix.as_str()];
    world.run(&arguments).exits(2).says("file exists").says("--force");
    assert_eq!(files(), before);
    // One of both is enough.
    std::fs::remove_file(world.path("release.key")).unwrap();
    world.run(&arguments).exits(2).says("release.pub");
    std::fs::write(world.path("release.key"), &before[0]).unwrap();

    let no = Setting::terminal().run(&world, &arguments).exits(2);
    assert!(no.stderr.contains("release.key exists: replace the key? [y/N]"), "{}", no.stderr);
    assert_eq!(files(), before);
    world.run(&[&arguments[..], &["--force"]].concat()).exits(0);
    let after = files();
    assert!(after[0] != before[0] && after[1] != before[1]);
    world.stdin = b"y\n".to_vec();
    Setting::terminal().run(&world, &arguments).exits(0);
    assert_ne!(std::fs::read(world.path("release.key")).unwrap(), after[0]);
}

#[test]
fn an_empty_password_is_a_choice_and_warned_of_and_none_is_an_error() {
    let mut world = with_key(World::new(), "release");
    world.environment.insert("COSIGN_PASSWORD".to_owned(), String::new());
    generate(&world, "open").says("warning: the password is empty");
    let (reference, _) = world.push_web();
    let key = world.argument("open.key");
    world.run(&["sign", &reference, "--key", &key]).exits(0);
    world.environment.remove("COSIGN_PASSWORD");
    let prefix = world.argument("none");
    let arguments = ["key", "generate", "--output-key-prefix", prefix.as_str()];
    world.run(&arguments).exits(2).says("COSIGN_PASSWORD is not set");
    assert!(!world.path("none.key").exists() && !world.path("none.pub").exists());
}

#[test]
fn a_place_that_cannot_be_written_is_a_usage_error() {
    let world = with_key(World::new(), "release");
    let prefix = world.argument("no/such/directory");
    world
        .run(&["key", "generate", "--output-key-prefix", &prefix])
        .exits(2)
        .says("cannot write key");
}
