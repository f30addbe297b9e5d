//! What `trust` tells, held to its schema, and what `trust export` writes.

use serde_json::{Value, json};

use crate::cli_json::follows;
use crate::support::{Ended, World};
use crate::trust_support::{init, private, repository};
use crate::verify_craft::write;

const SCHEMA: &str = include_str!("../../docs/trust.schema.json");

/// The document of a run, which follows the schema.
#[track_caller]
fn document(ended: Ended) -> Value {
    let document = ended.exits(0).json();
    follows(SCHEMA, &document);
    document
}

#[test]
fn what_an_instance_shows_follows_the_schema_and_says_how_old_it_is() {
    let (mut world, _tuf) = private();
    world.clock = || jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let shown = document(world.run(&["trust", "show", "-o", "json"]));
    assert!(shown["age"].as_i64().unwrap() >= 3 * 3600, "{shown:#}");
    world.run(&["trust", "show"]).exits(0).prints("  (3 h ago)\n");
    assert_eq!((&shown["source"], &shown["signing"]), (&json!("instance kit"), &json!(true)));
    assert_eq!(shown["rootVersion"], 1);
    assert!(shown["tlogs"][0]["digest"].is_string(), "{shown:#}");
    let updated = document(world.run(&["trust", "update", "-o", "json"]));
    assert_eq!(updated["age"], 0);
    // A log is known by its key: the digest is that of `rekor-v1.pub`.
    let pem = std::fs::read_to_string(world.path("rekor-v1.pub")).unwrap();
    let key = pem::parse(pem).unwrap();
    let digest = helm_sigstore::chart::Digest::of(key.contents()).to_string();
    assert_eq!(updated["tlogs"][0]["digest"], digest);
}

#[test]
fn every_source_of_trust_shows_itself_by_the_schema() {
    let world = World::new();
    let shown = document(world.run(&["trust", "show", "-o", "json"]));
    assert_eq!((&shown["mirror"], &shown["age"]), (&Value::Null, &Value::Null));
    document(world.run(&["trust", "show", "--trusted-root", "embedded", "-o", "json"]));
    let tuf = repository(&world);
    init(&world, &tuf).exits(0);
    let root = world.argument("1.root.json");
    let words = ["trust", "init", "other", "--mirror", &tuf.url(), "--root", &root, "-o", "json"];
    let shown = document(world.run(&words));
    assert_eq!(shown["source"], "instance other");
    // Without logs and without windows.
    let mut bare: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    bare["tlogs"] = json!([]);
    bare["timestampAuthorities"][0].as_object_mut().unwrap().remove("validFor");
    bare["timestampAuthorities"][0].as_object_mut().unwrap().remove("uri");
    let bare = write(&world, "bare.json", bare.to_string().as_bytes());
    let shown = document(world.run(&["trust", "show", "--trusted-root", &bare, "-o", "json"]));
    assert_eq!(shown["timestampAuthorities"][0]["validFor"], Value::Null);
    world
        .run(&["trust", "show", "--trusted-root", &bare])
        .exits(0)
        .prints("Timestamp authority: \n");
}

#[test]
fn what_is_written_is_said_and_nothing_is_half_written() {
    let world = World::new();
    let out = world.argument("out.json");
    let document = document(world.run(&["trust", "export", &out, "-o", "json"]));
    assert_eq!(document["file"], out.as_str());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), world.sigstore.trusted_root_json());
    // Where nothing can be had, what was there stays.
    world.run(&["trust", "export", &out, "--trusted-root", "/no/such"]).exits(2);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), world.sigstore.trusted_root_json());
    let nowhere = world.argument("no/such/out.json");
    world.run(&["trust", "export", &nowhere]).exits(2).says("cannot write file");
    assert!(!world.path("no").exists());
    let directory = world.directory().display().to_string();
    world.run(&["trust", "export", &directory]).exits(2).says("cannot write file");
    let partial = std::fs::read_dir(world.directory()).unwrap();
    let partial = partial
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("partial"));
    assert_eq!(partial.count(), 0);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    use std::os::unix::fs::FileTypeExt;
    let world = World::new();
    let path = world.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    world.run(&["trust", "export", &world.argument("socket")]).exits(2).says("cannot write file");
    assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_socket());
}

#[test]
fn names_in_a_trusted_root_cannot_move_the_cursor() {
    let world = World::new();
    let mut root: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    root["tlogs"][0]["baseUrl"] = "https://x\u{1b}[2J\r\nTrusted: everything\u{202e}".into();
    let root = write(&world, "root.json", root.to_string().as_bytes());
    let shown = world.run(&["trust", "show", "--trusted-root", &root]).exits(0);
    let controls = |c: char| c.is_control() && c != '\n';
    assert!(!shown.stdout.contains(controls) && !shown.stdout.contains('\u{202e}'), "{shown:?}");
    assert_eq!(shown.stdout.matches("\nTrusted:").count(), 0, "{shown:?}");
}
