//! Limits on candidates, bytes and time: reached, they leave the verdict open, with the counts.

use std::time::{Duration, Instant};

use helm_sigstore_kit::registry::{Action, Fault, Pushed, index_of, media_type};

use crate::support::World;
use crate::verify_craft::{CREATED, attach, attach_as, fallback_tag, refuses, sign, usual};

/// Attaches so many bundles that nobody can parse.
fn attach_broken(world: &World, pushed: &Pushed, count: usize) {
    for number in 0..count {
        attach(world, pushed, format!("{{\"n\":{number}}}").as_bytes());
    }
}

/// Attaches a good signature as the newest or the oldest of all.
fn attach_good(world: &World, pushed: &Pushed, created: &str) {
    let bundle = sign(world, &usual(pushed, "web", "1.4.2"));
    attach_as(world, pushed, &bundle, |manifest| {
        manifest["annotations"][CREATED] = created.into();
    });
}

const NEWEST: &str = "2040-01-01T00:00:00Z";
const OLDEST: &str = "2001-01-01T00:00:00Z";

#[test]
fn the_limit_on_candidates_leaves_the_verdict_open_and_counts() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_broken(&world, &pushed, 4);
    attach_good(&world, &pushed, OLDEST);
    let words =
        ["2 candidates were looked at (--max-candidates)", "3 candidates were not looked at"];
    refuses(&world, &[&reference, "--max-candidates", "2"], 4, "limit-reached", &words);
    let words = ["4 candidates were looked at", "1 candidate was not looked at"];
    refuses(&world, &[&reference, "--max-candidates", "4"], 4, "limit-reached", &words);
    world.verify(&[&reference, "--max-candidates", "5"]).exits(0);
}

#[test]
fn a_listing_longer_than_the_limit_does_not_hide_the_newest_signature() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_broken(&world, &pushed, 3);
    attach_good(&world, &pushed, NEWEST);
    world.verify(&[&reference, "--max-candidates", "1"]).exits(0).prints("Pinned: ");
}

#[test]
fn the_limit_on_bytes_leaves_the_verdict_open_and_counts() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_broken(&world, &pushed, 3);
    attach_good(&world, &pushed, OLDEST);
    let words = [" bytes of candidates were read (--max-candidate-bytes)", "3 candidates were not"];
    refuses(&world, &[&reference, "--max-candidate-bytes", "5"], 4, "limit-reached", &words);
    world.verify(&[&reference, "--max-candidate-bytes", "100000"]).exits(0);
}

#[test]
fn the_limit_on_time_leaves_the_verdict_open_and_counts() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_good(&world, &pushed, OLDEST);
    world.registry.fault(Fault::new("/blobs/", Action::Hang));
    let begun = Instant::now();
    let words =
        ["were spent on candidates (--max-candidate-time)", "1 candidate was not looked at"];
    refuses(&world, &[&reference, "--max-candidate-time", "200ms"], 4, "limit-reached", &words);
    let words = ["timed out after 0.3 s while looking for signatures"];
    refuses(&world, &[&reference, "--timeout", "300ms"], 4, "limit-reached", &words);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn advisory_cve_2023_46737_endless_signatures_are_bounded() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    // None of them is there; each is asked for once at most, and the default limit ends it.
    let tag = fallback_tag(&pushed);
    let entries = index_of(1200);
    world.registry.put_manifest("charts/web", Some(&tag), media_type::INDEX, entries);
    let ended = world.verify(&[&reference]).exits(4);
    assert!(ended.stderr.contains("listed and not there"), "{}", ended.stderr);
    let asked = world.registry.requests().len();
    assert!((1000..1020).contains(&asked), "{asked}");
}

#[test]
fn advisory_cve_2024_29902_a_huge_listing_is_not_read_to_its_end() {
    let world = World::new();
    let (reference, _) = world.push_web();
    for path in ["/referrers/", "/manifests/sha256-"] {
        world.registry.fault(Fault::new(path, Action::Endless));
    }
    refuses(&world, &[&reference], 4, "limit-reached", &["/referrers/sha256:"]);
    // A chunk more than the bounds (16 MiB, 4 MiB twice), plus what lies in buffers.
    let sent: u64 = world.registry.requests().iter().map(|request| request.sent_bytes).sum();
    assert!(sent < 2 * (64 << 20), "{sent}");
}

#[test]
fn advisory_cve_2024_29903_a_bundle_larger_than_its_bound_is_not_fetched() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let huge = vec![b' '; (1 << 20) + 1];
    attach(&world, &pushed, &huge);
    refuses(&world, &[&reference], 4, "limit-reached", &["1048577 bytes; 1048576 are read"]);
    let asked = world.registry.requests();
    assert!(asked.iter().all(|request| !request.path().contains("/blobs/")), "{asked:#?}");
}

#[test]
fn advisory_cve_2023_30551_a_compressed_answer_is_never_decompressed() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_good(&world, &pushed, NEWEST);
    world.registry.fault(Fault::new("/blobs/", Action::Gzip));
    let ended = world.verify(&[&reference]).exits(4);
    // Nothing asked for it, and what came is not what the digest names.
    assert!(
        ended.stderr.contains("digest differs") || ended.stderr.contains("bytes"),
        "{}",
        ended.stderr
    );
    let asked = world.registry.requests();
    assert!(asked.iter().all(|request| request.header("accept-encoding").is_none()));
}
