//! Registries that throttle, fail, hang or lie: undecided, in time, with words that say what it was.

use std::time::{Duration, Instant};

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault};

use crate::sign_support::{assert_nothing_public, attached, lines, sign_json};
use crate::support::World;

/// Insists that signing ends with this code, reason and words, within ten seconds, and published nothing.
#[track_caller]
fn ends(world: &World, reference: &str, code: u8, reason: &str, words: &str) {
    let started = Instant::now();
    let (found, result) = sign_json(world, &[reference]);
    let message = result["message"].as_str().unwrap_or_default();
    assert_eq!((found, result["reason"].as_str()), (code, Some(reason)), "{message}");
    assert!(message.contains(words), "no {words:?} in {message}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_nothing_public(world);
}

#[test]
fn a_short_throttle_is_waited_for() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let throttle = Action::status_with(429, "Retry-After", "1");
    world.registry.fault(Fault::once("/manifests/", throttle));
    let started = Instant::now();
    world.run(&["sign", &reference]).exits(0);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn a_long_throttle_is_told_at_once_with_its_length() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let throttle = Action::status_with(429, "Retry-After", "120");
    world.registry.fault(Fault::new("/manifests/", throttle));
    let started = Instant::now();
    world.run(&["sign", &reference]).exits(4).says("429, retry after 120 s");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(world.registry.requests().len(), 1);
    ends(&world, &reference, 4, "throttled", "429, retry after 120 s");
}

#[test]
fn a_throttle_without_a_length_is_tried_a_few_times() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.registry.fault(Fault::new("/manifests/", Action::status(429)));
    ends(&world, &reference, 4, "throttled", ": 429");
    assert!((2..=4).contains(&world.registry.requests().len()), "{:#?}", lines(&world));
}

#[test]
fn a_server_that_fails_once_is_asked_again_and_one_that_keeps_failing_is_undecided() {
    for status in [500, 502, 503, 504] {
        let world = World::new();
        let (reference, _) = world.push_web();
        world.registry.fault(Fault::once("/manifests/", Action::status(status)));
        world.run(&["sign", &reference]).exits(0);
    }
    for status in [500, 501] {
        let world = World::new();
        let (reference, _) = world.push_web();
        world.registry.fault(Fault::new("/manifests/", Action::status(status)));
        ends(&world, &reference, 4, "unreachable", &format!(": {status}"));
    }
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again() {
    for action in [Action::Reset, Action::Truncate(20), Action::LoseAnswer] {
        let world = World::new();
        let (reference, _) = world.push_web();
        world.registry.fault(Fault::once("/manifests/", action.clone()));
        let ended = world.run(&["sign", &reference]);
        assert_eq!(ended.code, 0, "{action:?}: {}", ended.stderr);
    }
    let world = World::new();
    let (reference, _) = world.push_web();
    world.registry.fault(Fault::new("/manifests/", Action::Truncate(20)));
    ends(&world, &reference, 4, "unreachable", "the body ended early");
}

#[test]
fn a_registry_that_hangs_ends_with_the_time_out_of_the_command() {
    for action in [Action::Hang, Action::HangAfter(10), Action::Drip { bytes: 1, every_ms: 100 }] {
        let world = World::new();
        let (reference, _) = world.push_web();
        world.registry.fault(Fault::new("/manifests/", action.clone()));
        let started = Instant::now();
        let ended = world.run(&["sign", &reference, "--timeout", "400ms"]).exits(4);
        ended.says("timed out after 0.4 s");
        assert!(started.elapsed() < Duration::from_secs(5), "{action:?} {:?}", started.elapsed());
        assert_nothing_public(&world);
    }
}

#[test]
fn a_time_out_leaves_no_object_without_a_result() {
    let world = World::new();
    let (first, _) = world.push_web();
    world.push(&Chart::new("api", "1.0.0"));
    let second = format!("{}:1.0.0", world.repository("api"));
    world.registry.fault(Fault::new("/charts/api/", Action::Hang));
    let ended =
        world.run(&["sign", &first, &second, &second, "--timeout", "1s", "-o", "json"]).exits(4);
    let document = ended.json();
    let verdicts: Vec<_> =
        document["results"].as_array().unwrap().iter().map(|r| r["verdict"].clone()).collect();
    assert_eq!(verdicts, ["signed", "undecided", "undecided"]);
}

#[test]
fn a_manifest_without_end_is_read_up_to_its_bound() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.registry.fault(Fault::new("/manifests/", Action::Endless));
    ends(&world, &reference, 4, "limit-reached", "bound");
    let sent: u64 = world.registry.requests().iter().map(|request| request.sent_bytes).sum();
    assert!(sent < 32 << 20, "{sent} bytes were taken");
}

#[test]
fn a_manifest_of_other_bytes_than_its_digest_is_undecided() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.2"));
    let pinned = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    world.registry.fault(Fault::new("/manifests/", Action::FlipBit));
    ends(&world, &pinned, 4, "malformed", "the digest differs");
}

#[test]
fn a_digest_header_that_lies_changes_nothing() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let lie = format!("sha256:{}", "0".repeat(64));
    let header = Action::SetHeader("docker-content-digest".to_owned(), lie);
    world.registry.fault(Fault::new("/manifests/", header));
    world.run(&["sign", &reference]).exits(0).prints(&pushed.manifest_digest);
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn a_compressed_answer_is_not_unpacked() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.registry.fault(Fault::new("/manifests/", Action::Gzip));
    let ended = world.run(&["sign", &reference]);
    assert!([4, 5].contains(&ended.code), "{} {}", ended.code, ended.stderr);
    assert_nothing_public(&world);
    assert!(world.registry.requests().iter().all(|r| r.header("accept-encoding").is_none()));
}

#[test]
fn redirects_that_never_end_are_given_up_on() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let around = Action::Redirect { to: "{path}".to_owned(), status: 307 };
    world.registry.fault(Fault::new("/manifests/", around));
    ends(&world, &reference, 4, "unreachable", "redirects");
    assert!(world.registry.requests().len() <= 8, "{:#?}", lines(&world));
}

#[test]
fn nobody_who_listens_and_no_such_host_are_told_apart() {
    let world = World::new();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    ends(&world, &format!("oci://{closed}/charts/web:1"), 4, "unreachable", "connection refused");
    let nowhere = "oci://registry.invalid/charts/web:1";
    ends(&world, nowhere, 4, "unreachable", "cannot resolve the host's name");
}

#[test]
fn a_list_of_tags_in_pages_is_read_whole_and_one_in_a_circle_is_undecided() {
    use helm_sigstore_kit::registry::Options;
    use helm_sigstore_kit::sigstore::Options as SigstoreOptions;
    let options = Options { page_size: 2, ..Options::default() };
    let world = World::with(options, SigstoreOptions::default());
    for version in ["1.0.0", "1.1.0", "1.2.0", "1.10.0", "1.9.0"] {
        world.push(&Chart::new("web", version));
    }
    let repository = world.repository("web");
    world.run(&["sign", &repository, "--version", "^1"]).exits(0).prints(":1.10.0\n");
    let circle = "</v2/charts/web/tags/list?n=1000>; rel=\"next\"".to_owned();
    let link = Action::SetHeader("link".to_owned(), circle);
    world.registry.fault(Fault::new("/tags/list", link));
    world.sigstore.reset_requests();
    ends(&world, &repository, 4, "malformed", "loop");
}

#[test]
fn what_a_registry_says_cannot_break_out_of_its_line() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let body = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"\\u001b[31mno\\nerror: fake\"}]}";
    let status =
        Action::Status { status: 403, headers: Vec::new(), body: body.as_bytes().to_vec() };
    world.registry.fault(Fault::new("/manifests/", status));
    let ended = world.run(&["sign", &reference]).exits(4).says("DENIED");
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{}", ended.stderr);
}
