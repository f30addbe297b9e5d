//! What a mirror, or whoever stands before it, may try. After each attack nothing is verified although the
//! cache has not expired: what does not hold is never lived with.

use helm_sigstore_kit::tuf::{Fault, Role, Tuf};
use serde_json::{Value, json};

use crate::support::World;
use crate::trust_support::{cache, private, tomorrow};

/// Attacks a repository of which version 1 is cached and version 2 published, and insists that nothing is
/// verified for `words`, that the cache is as it was, and that an honest mirror is believed again.
#[track_caller]
fn attack(words: &str, set: impl FnOnce(&World, &mut Tuf)) {
    let (mut world, mut tuf) = private();
    let (reference, _) = world.signed_web();
    tuf.republish();
    world.run(&["trust", "update"]).exits(0);
    let honest = tuf.snapshot();
    set(&world, &mut tuf);
    let before = std::fs::read(cache(&world)).unwrap();
    world.clock = tomorrow;
    let ended = world.verify(&[&reference]).exits(4).says(words);
    assert_eq!(ended.stdout, "");
    assert_eq!(world.verdict(&[&reference])["verdict"], "undecided");
    assert_eq!(std::fs::read(cache(&world)).unwrap(), before);
    tuf.heal();
    tuf.restore(honest);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn rollback_of_the_timestamp_is_refused() {
    attack("rollback", |_, tuf| {
        let mut old = tuf.payload("/timestamp.json");
        old["version"] = 1.into();
        tuf.replace("/timestamp.json", tuf.forge(Role::Timestamp, &old));
    });
}

#[test]
fn rollback_of_the_snapshot_is_refused() {
    attack("rollback", |_, tuf| {
        let mut old = tuf.payload("/timestamp.json");
        old["version"] = 9.into();
        old["meta"]["snapshot.json"]["version"] = 1.into();
        tuf.replace("/timestamp.json", tuf.forge(Role::Timestamp, &old));
    });
}

#[test]
fn rollback_of_the_targets_is_refused_even_by_who_holds_the_keys_of_snapshot_and_timestamp() {
    let (mut world, mut tuf) = private();
    let (reference, _) = world.signed_web();
    let old = tuf.file("/1.targets.json");
    tuf.publish("more", "more");
    world.run(&["trust", "update"]).exits(0);
    let before = std::fs::read(cache(&world)).unwrap();
    let mut snapshot = tuf.payload("/2.snapshot.json");
    snapshot["version"] = 3.into();
    snapshot["meta"]["targets.json"]["version"] = 1.into();
    tuf.replace("/3.snapshot.json", tuf.forge(Role::Snapshot, &snapshot));
    tuf.replace("/1.targets.json", old);
    let mut timestamp = tuf.payload("/timestamp.json");
    timestamp["version"] = 9.into();
    timestamp["meta"]["snapshot.json"] = json!({ "version": 3 });
    tuf.replace("/timestamp.json", tuf.forge(Role::Timestamp, &timestamp));
    world.clock = tomorrow;
    world.verify(&[&reference]).exits(4).says("rollback");
    assert_eq!(std::fs::read(cache(&world)).unwrap(), before);
}

#[test]
fn a_frozen_repository_expires() {
    // tough CVE-2025-2886
    let (mut world, _tuf) = private();
    let (reference, _) = world.signed_web();
    world.clock = crate::trust_support::much_later;
    assert_eq!(world.verdict(&[&reference])["reason"], "trust-expired");
}

#[test]
fn files_of_different_times_are_not_mixed() {
    attack("integrity", |_, tuf| {
        tuf.publish("more", "more");
        let snapshot = tuf.payload("/timestamp.json")["meta"]["snapshot.json"]["version"].clone();
        let old = tuf.file("/2.snapshot.json");
        tuf.replace(&format!("/{snapshot}.snapshot.json"), old);
    });
}

#[test]
fn advisory_cve_2026_6966_a_key_that_signs_twice_counts_once() {
    attack("nothing to trust", |_, tuf| {
        tuf.next_root(false);
        let mut root: Value = serde_json::from_slice(&tuf.file("/2.root.json")).unwrap();
        root["signatures"][1] = root["signatures"][0].clone();
        tuf.replace("/2.root.json", serde_json::to_vec(&root).unwrap());
    });
}

#[test]
fn one_key_under_two_names_is_one_key() {
    attack("different keys", |_, tuf| {
        tuf.next_root(false);
        let mut root = tuf.payload("/2.root.json");
        let id = root["roles"]["timestamp"]["keyids"][0].as_str().unwrap().to_owned();
        root["keys"]["again"] = root["keys"][&id].clone();
        root["roles"]["timestamp"] = json!({ "keyids": [id, "again"], "threshold": 2 });
        tuf.replace("/2.root.json", tuf.forge(Role::Root, &root));
        let timestamp = tuf.payload("/timestamp.json");
        let mut forged: Value =
            serde_json::from_slice(&tuf.forge(Role::Timestamp, &timestamp)).unwrap();
        let mut second = forged["signatures"][0].clone();
        second["keyid"] = "again".into();
        forged["signatures"].as_array_mut().unwrap().push(second);
        tuf.replace("/timestamp.json", serde_json::to_vec(&forged).unwrap());
    });
}

#[test]
fn advisory_cve_2026_23992_a_threshold_of_none_is_refused() {
    attack("threshold", |_, tuf| {
        tuf.next_root(false);
        let mut root = tuf.payload("/2.root.json");
        root["roles"]["timestamp"]["threshold"] = 0.into();
        tuf.replace("/2.root.json", tuf.forge(Role::Root, &root));
    });
}

#[test]
fn advisory_cve_2025_2885_root_versions_are_sequential() {
    attack("root version", |_, tuf| {
        tuf.next_root(false);
        tuf.next_root(false);
        tuf.replace("/2.root.json", tuf.file("/3.root.json"));
    });
}

#[test]
fn a_root_that_the_former_root_has_not_signed_is_refused() {
    attack("threshold", |world, tuf| {
        let stranger = crate::trust_support::repository(world);
        let mut root = stranger.payload("/1.root.json");
        root["version"] = 2.into();
        tuf.replace("/2.root.json", stranger.forge(Role::Root, &root));
    });
}

#[test]
fn malformed_roots_are_errors() {
    // go-tuf CVE-2026-23991
    for bytes in [&b""[..], b"{}", b"[]", b"{\"signed\":{},\"signatures\":[]}", b"<html>"] {
        attack("does not hold", |_, tuf| tuf.replace("/2.root.json", bytes.to_vec()));
    }
}

#[test]
fn endless_data_ends() {
    for part in ["/2.root.json", "/timestamp.json", ".snapshot.json", ".targets.json", "/targets/"]
    {
        attack("does not hold", |_, tuf| {
            tuf.publish("trusted_root.json", "{ }");
            tuf.fault(part, Fault::Endless);
        });
    }
}

#[test]
fn a_target_that_differs_from_its_digest_is_refused() {
    attack("integrity", |_, tuf| {
        tuf.publish("trusted_root.json", "{ }");
        for (path, _) in tuf.snapshot() {
            if path.starts_with("/targets/") && path.ends_with("trusted_root.json") {
                tuf.replace(&path, b"{x}".to_vec());
            }
        }
    });
}

#[test]
fn names_of_targets_never_become_paths() {
    // tough CVE-2021-41149, sigstore CVE-2026-24137
    let (world, mut tuf) = private();
    let (reference, _) = world.signed_web();
    for name in
        ["../../../escaped.json", "/escaped.json", "a/../../escaped.json", "..\\escaped.json"]
    {
        tuf.publish(name, "escaped");
    }
    world.run(&["trust", "update"]).exits(0);
    world.verify(&[&reference]).exits(0);
    let mut folders = vec![world.directory().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(!path.display().to_string().contains("escaped"), "{}", path.display());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}

#[test]
fn a_refresh_that_was_cut_leaves_the_cache_as_it_was() {
    // tough CVE-2025-2888: a timestamp is kept only together with what it names.
    for part in [".snapshot.json", ".targets.json", "/targets/"] {
        let (mut world, mut tuf) = private();
        let (reference, _) = world.signed_web();
        let before = std::fs::read(cache(&world)).unwrap();
        tuf.publish("trusted_root.json", &World::new().sigstore.trusted_root_json());
        tuf.fault(part, Fault::Cut);
        world.clock = tomorrow;
        world.verify(&[&reference]).exits(0).says("could not be refreshed");
        assert_eq!(std::fs::read(cache(&world)).unwrap(), before, "{part}");
        world.verify(&[&reference, "--offline"]).exits(0);
        tuf.heal();
        assert_eq!(world.verdict(&[&reference])["reason"], "untrusted-instance", "{part}");
    }
}
