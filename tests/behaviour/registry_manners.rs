//! How much is asked of a registry at a time, and what of its answers is passed on.

use std::time::{Duration, Instant};

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Auth, Bearer, Fault, Options, Tls};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;

use crate::sign_support::{assert_hides, attached, sign_json};
use crate::support::World;
use crate::verify_craft::attach;

const PASSWORD: &str = "tr0ub4dor-3";

/// Signs charts in as many repositories, each beside a number of bundles that nobody can parse; answers their
/// references.
fn crowded(world: &World, charts: usize, candidates: usize) -> Vec<String> {
    let mut references = Vec::new();
    let mut sign = vec!["sign".to_owned()];
    for at in 0..charts {
        let name = format!("web-{at}");
        let pushed = world.push(&Chart::new(&name, "1.4.2"));
        for number in 0..candidates {
            attach(world, &pushed, format!("{{\"n\":{number},\"at\":{at}}}").as_bytes());
        }
        references.push(format!("{}:1.4.2", world.repository(&name)));
    }
    sign.extend(references.iter().cloned());
    if !world.environment.contains_key("HELM_SIGSTORE_PLAIN_HTTP") {
        sign.extend(["--ca-file".to_owned(), world.argument("ca.pem")]);
    }
    world.run(&sign.iter().map(String::as_str).collect::<Vec<_>>()).exits(0);
    world.registry.reset_requests();
    references
}

/// Verifies for somebody whom no signature is by, so that every candidate is looked at.
fn look_at_all(world: &World, references: &[String]) {
    let issuer = world.signer()[3].clone();
    let mut words = vec!["verify", "--certificate-identity", "nobody"];
    words.extend(["--certificate-oidc-issuer", &issuer]);
    words.extend(references.iter().map(String::as_str));
    let ca = world.argument("ca.pem");
    if !world.environment.contains_key("HELM_SIGSTORE_PLAIN_HTTP") {
        words.extend(["--ca-file", &ca]);
    }
    world.run(&words).exits(5);
}

fn with_tls(http1_only: bool) -> World {
    let tls = Some(Tls { http1_only, ..Tls::default() });
    let options = Options { tls, ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    std::fs::write(world.path("ca.pem"), world.registry.ca_pem().unwrap()).unwrap();
    world
}

#[test]
fn eight_charts_with_many_candidates_take_no_more_than_eight_connections() {
    for world in [World::new(), with_tls(true)] {
        let references = crowded(&world, 8, 8);
        world.registry.delay_per_response(5);
        look_at_all(&world, &references);
        assert!(world.registry.requests().len() > 100);
        let (connections, most) = (world.registry.connections(), world.registry.most_concurrent());
        // The client dials while it waits for a connection that is busy: what loses that race is one more, now and then.
        assert!(connections <= 10, "{connections} connections");
        assert!((2..=8).contains(&most), "{most} requests at a time");
    }
}

#[test]
fn a_registry_with_http_2_gets_one_connection() {
    let world = with_tls(false);
    let references = crowded(&world, 8, 8);
    world.registry.delay_per_response(5);
    look_at_all(&world, &references);
    assert_eq!(world.registry.connections(), 1);
    assert!(world.registry.most_concurrent() > 8);
}

#[test]
fn a_throttle_until_a_date_is_waited_for_or_told() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let in_seconds = |seconds: i64| {
        let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let throttle = Action::status_with(429, "Retry-After", &in_seconds(2));
    world.registry.fault(Fault::once("/manifests/", throttle));
    let started = Instant::now();
    world.run(&["sign", &reference]).exits(0);
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!(attached(&world, &pushed).len(), 1);
    let throttle = Action::status_with(429, "Retry-After", &in_seconds(3600));
    world.registry.fault(Fault::new("/manifests/", throttle));
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!((code, result["reason"].as_str()), (4, Some("throttled")));
    let message = result["message"].as_str().unwrap();
    assert!(message.contains("429, retry after 3"), "{message}");
}

/// A registry that has given away what it gives away, as Docker Hub says it.
fn used_up(world: &World) {
    let headers = [
        ("Retry-After", "3600"),
        ("RateLimit-Limit", "100;w=21600"),
        ("RateLimit-Remaining", "0;w=21600"),
        ("Docker-RateLimit-Source", "192.0.2.1"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    let action = Action::Status { status: 429, headers, body: body.to_vec() };
    world.registry.fault(Fault::new("/manifests/", action));
}

#[test]
fn a_rate_limit_is_told_with_what_is_left_of_it_and_for_whom_it_counts() {
    let world = World::new();
    let (reference, _) = world.push_web();
    used_up(&world);
    let ended = world.verify(&[&reference]).exits(4);
    ended
        .says(": 429, retry after 3600 s, 0 of 100 requests left in 6 h (counted for 192.0.2.1)")
        .says("TOOMANYREQUESTS: You have reached your pull rate limit.");
}

#[test]
fn whoever_is_throttled_without_having_logged_in_is_told_that_it_may_help() {
    let bearer = Bearer { anonymous_pull: true, ..Bearer::new("jane", PASSWORD) };
    let options = Options { auth: Auth::Bearer(bearer), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    let (reference, _) = world.push_web();
    let host = world.registry.host();
    // The challenge comes first, as with Docker Hub.
    let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"kit\"");
    let challenge = Action::status_with(401, "WWW-Authenticate", &challenge);
    used_up(&world);
    world.registry.fault(Fault::once("/manifests/", challenge));
    let hint = format!("hint: helm registry login {host}\n");
    world.verify(&[&reference]).exits(4).says("0 of 100").says(&hint);
    // Who has logged in is not told to.
    world.registry.clear_faults();
    used_up(&world);
    let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"kit\"");
    let challenge = Action::status_with(401, "WWW-Authenticate", &challenge);
    world.registry.fault(Fault::once("/manifests/", challenge));
    world.stdin = PASSWORD.as_bytes().to_vec();
    let words = [&reference, "--username", "jane", "--password-stdin"];
    let ended = world.verify(&words).exits(4).says("0 of 100");
    assert!(!ended.stderr.contains("hint:"), "{}", ended.stderr);
}

#[test]
fn a_warning_of_the_registry_is_passed_on_once_and_cannot_break_out_of_its_line() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let text = "299 - \"This repository goes \\\"away\\\" in \\January\"";
    let warning = Action::SetHeader("Warning".into(), text.into());
    world.registry.fault(Fault::new("/v2/", warning));
    for words in [vec![reference.as_str()], vec![&reference, &reference, "-o", "json"]] {
        let ended = world.verify(&words).exits(0);
        let told = "warning: 127.0.0.1 warns: This repository goes \"away\" in January\n";
        assert_eq!(ended.stderr.matches(told).count(), 1, "{}", ended.stderr);
    }
    // What is about caches is nobody's business.
    world.registry.clear_faults();
    let warning = Action::SetHeader("Warning".into(), "110 - \"Response is Stale\"".into());
    world.registry.fault(Fault::new("/v2/", warning));
    assert_eq!(world.verify(&[&reference]).exits(0).stderr, "");
}

#[test]
fn every_request_says_who_asks_and_passes_a_policy_that_lets_only_signers_read() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.verify(&[&reference]).exits(0);
    world.run(&["sign", &reference]).exits(0);
    let requests = world.registry.requests();
    assert!(requests.len() > 10);
    for request in requests {
        let agent = request.header("user-agent").unwrap_or_default();
        assert!(agent.starts_with("helm-sigstore/"), "{agent}");
        // Harbor looks for either name (src/server/middleware/util/util.go).
        assert!(agent.contains("cosign") || agent.contains("notation"), "{agent}");
    }
}

#[test]
fn what_goes_over_the_network_is_shown_to_those_who_debug_and_nothing_secret_is_in_it() {
    let bearer = Bearer::new("jane", PASSWORD);
    let options = Options { auth: Auth::Bearer(bearer), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.stdin = PASSWORD.as_bytes().to_vec();
    let (reference, _) = world.push_web();
    let login = ["--username", "jane", "--password-stdin"];
    let mut sign = vec!["sign", &reference];
    sign.extend(login);
    let quiet = world.run(&sign).exits(0);
    assert!(!quiet.stderr.contains("debug:"), "{}", quiet.stderr);
    let by_flag = world.run(&[&["--debug"], &sign[..]].concat()).exits(0);
    world.environment.insert("HELM_DEBUG".into(), "true".into());
    let by_variable = world.run(&sign).exits(0);
    sign.extend(["-o", "json"]);
    let in_json = world.run(&sign).exits(0);
    in_json.json();
    let origin = world.registry.origin();
    let token = world.environment["SIGSTORE_ID_TOKEN"].clone();
    for ended in [by_flag, by_variable, in_json] {
        for line in [
            format!("debug: GET {origin}/v2/charts/web/manifests/1.4.2: 401, "),
            format!("debug: GET {origin}/token: 200, "),
            format!("debug: POST {origin}/v2/charts/web/blobs/uploads/: 201, "),
            "/api/v2/signingCert: 20".to_owned(),
        ] {
            assert!(ended.stderr.contains(&line), "no {line:?} in {}", ended.stderr);
        }
        for secret in [PASSWORD, &token, "scope=", "Bearer ", "Basic "] {
            assert_hides(&ended, secret);
        }
    }
    // Helm sets it to this for everybody else.
    world.environment.insert("HELM_DEBUG".into(), "false".into());
    let ended = world.run(&sign).exits(0);
    assert!(!ended.stderr.contains("debug:"), "{}", ended.stderr);
}
