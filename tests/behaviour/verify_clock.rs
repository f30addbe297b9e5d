//! Times: our clock behind the signature's, and signatures from long ago (DESIGN decision 10).

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use helm_sigstore_kit::registry::Options as RegistryOptions;
use helm_sigstore_kit::sigstore::{Options, RekorVersion};
use jiff::{SignedDuration, Timestamp};

use crate::support::World;
use crate::verify_craft::{attach, refuses, usual};
use crate::verify_hand::sign_by_hand;

const DAY: i64 = 24 * 60 * 60;

fn two_seconds_behind() -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(2)
}

fn fifty_seconds_behind() -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(50)
}

fn two_minutes_behind() -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(120)
}

fn a_day_behind() -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(DAY)
}

fn ten_years_ahead() -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(3652 * DAY)
}

fn with_log(version: RekorVersion) -> World {
    let options = Options { rekor: vec![version], ..Options::default() };
    World::with(RegistryOptions::default(), options)
}

#[test]
fn a_clock_that_is_a_little_behind_is_waited_for() {
    let waits = |version| {
        let mut world = with_log(version);
        // From before it was signed: on a busy machine a part of the two seconds is over when it is verified.
        let begun = Instant::now();
        let (reference, _) = world.signed_web();
        world.clock = two_seconds_behind;
        world.verify(&[&reference]).exits(0).prints("Pinned: ");
        let waited = begun.elapsed();
        let bounds = Duration::from_secs(1)..Duration::from_secs(20);
        assert!(bounds.contains(&waited), "{version:?}: {waited:?}");
        // The wait counts against the whole command's time.
        world.clock = fifty_seconds_behind;
        let limit = ["--timeout", "300ms"];
        refuses(
            &world,
            &[&reference, limit[0], limit[1]],
            4,
            "limit-reached",
            &["timed out after"],
        );
    };
    std::thread::scope(|scope| {
        scope.spawn(|| waits(RekorVersion::V1));
        waits(RekorVersion::V2);
    });
}

/// Stands still a second before whatever is signed when the test runs.
fn standing_still() -> Timestamp {
    static STOPPED: OnceLock<Timestamp> = OnceLock::new();
    *STOPPED.get_or_init(|| Timestamp::now() - SignedDuration::from_secs(2))
}

#[test]
fn a_run_waits_once_however_many_charts_it_verifies() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    world.clock = standing_still;
    let begun = Instant::now();
    let charts = [reference.as_str(); 4];
    world.verify(&charts).exits(4).says("s behind");
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
fn a_clock_that_is_far_behind_leaves_the_verdict_open_for_either_log() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let mut world = with_log(version);
        let (reference, _) = world.signed_web();
        for (clock, about) in [(two_minutes_behind as fn() -> Timestamp, "1"), (a_day_behind, "86")]
        {
            world.clock = clock;
            let words = [
                "error: undecided: ",
                &format!("cause  clock is {about}"),
                " s behind",
                "our clock says",
            ];
            refuses(&world, &[&reference], 4, "clock-behind", &words);
        }
        let result = world.verdict(&[&reference]);
        assert_eq!(result["signatures"][0]["status"], "undecided");
        assert_eq!(result["signatures"][0]["signer"], serde_json::Value::Null);
    }
}

#[test]
fn a_log_whose_clock_is_ahead_of_the_systems_is_waited_for_or_left_open() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let statement = usual(&pushed, "web", "1.4.2");
    world.sigstore.set_clock_offset(DAY);
    let early = attach(&world, &pushed, &sign_by_hand(&world, &statement));
    refuses(&world, &[&reference], 4, "clock-behind", &["clock is 86", "s behind"]);
    world.registry.delete_manifest("charts/web", &early);
    world.sigstore.set_clock_offset(2);
    attach(&world, &pushed, &sign_by_hand(&world, &statement));
    let begun = Instant::now();
    world.verify(&[&reference]).exits(0);
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[test]
fn a_signature_that_we_wait_for_does_not_keep_another_from_verifying_at_once() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let statement = usual(&pushed, "web", "1.4.2");
    attach(&world, &pushed, &sign_by_hand(&world, &statement));
    world.sigstore.set_clock_offset(DAY);
    attach(&world, &pushed, &sign_by_hand(&world, &statement));
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_old_signature_verifies_although_its_certificate_has_expired() {
    let mut world = World::new();
    let (reference, pushed) = world.push_web();
    world.sigstore.set_clock_offset(-30 * DAY);
    attach(&world, &pushed, &sign_by_hand(&world, &usual(&pushed, "web", "1.4.2")));
    world.verify(&[&reference]).exits(0);
    world.clock = ten_years_ahead;
    world.verify(&[&reference]).exits(0);
}

#[test]
fn advisory_cve_2026_24122_a_chain_that_was_not_valid_at_signing_time_is_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    // The authorities are valid from 400 days ago; leaf, promise and timestamp all say 500.
    world.sigstore.set_clock_offset(-500 * DAY);
    attach(&world, &pushed, &sign_by_hand(&world, &usual(&pushed, "web", "1.4.2")));
    let ended = world.verify(&[&reference]).exits(5);
    assert!(ended.stderr.contains("valid"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn an_entry_that_has_no_time_of_its_own_is_shown_with_the_timestamps() {
    let world = with_log(RekorVersion::V2);
    let (reference, _) = world.signed_web();
    let ended = world.verify(&[&reference]).exits(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("Logged in: localhost:")).unwrap();
    assert!(lines[at].ends_with(" index 3"), "{}", ended.stdout);
    assert!(lines[at + 1].starts_with("Timestamp: 20"), "{}", ended.stdout);
    let result = world.verdict(&[&reference]);
    let log = &result["signatures"][0]["log"];
    assert_eq!(log["url"], world.sigstore.rekor_v2_url());
    assert_eq!((log["index"].as_u64(), &log["time"]), (Some(3), &serde_json::Value::Null));
}
