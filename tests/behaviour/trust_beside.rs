//! Trust is refreshed beside the registry, once for all charts of a run, and without it there is no verdict.

use std::time::Duration;

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault};
use helm_sigstore_kit::tuf::Fault as MirrorFault;

use crate::support::World;
use crate::trust_support::{cache, private};

/// What a first refresh asks a mirror for.
const COLD: [&str; 4] = ["/2.root.json", "/timestamp.json", "/1.snapshot.json", "/1.targets.json"];

fn manifests(world: &World) -> usize {
    world
        .registry
        .requests()
        .iter()
        .filter(|request| request.path().contains("/manifests/"))
        .count()
}

#[test]
fn the_registry_is_asked_while_a_mirror_lets_us_wait() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    std::fs::remove_file(cache(&world)).unwrap();
    tuf.fault("/", MirrorFault::Hang);
    let ended = world.verify(&[&reference, "--timeout", "1s"]).exits(4);
    // What is waited for is said, and it is not the registry.
    assert!(
        ended.stderr.contains("while refreshing the trust of instance kit"),
        "{}",
        ended.stderr
    );
    assert!(manifests(&world) > 0);
}

#[test]
fn the_mirror_is_asked_while_a_registry_lets_us_wait() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    std::fs::remove_file(cache(&world)).unwrap();
    world.registry.fault(Fault::new("/manifests/", Action::Hang));
    world.verify(&[&reference, "--timeout", "1s"]).exits(4).says("resolving");
    assert_eq!(tuf.take_requests()[..4], COLD);
}

#[test]
fn a_run_refreshes_once_whatever_the_number_of_its_charts() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    let mut words = vec![reference];
    for name in ["api", "db", "cache"] {
        world.push(&Chart::new(name, "1.0.0"));
        let reference = format!("{}:1.0.0", world.repository(name));
        world.run(&["sign", &reference]).exits(0);
        words.push(reference);
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    tuf.take_requests();
    world.registry.reset_requests();
    world.verify(&words).exits(0);
    let warm = world.registry.requests().len();
    std::fs::remove_file(cache(&world)).unwrap();
    world.registry.reset_requests();
    world.verify(&words).exits(0);
    assert_eq!(world.registry.requests().len(), warm);
    let asked = tuf.take_requests();
    assert_eq!(asked[..4], COLD);
    assert_eq!(asked.len(), COLD.len() + 2, "{asked:?}");
    assert!(asked[4..].iter().all(|path| path.starts_with("/targets/")), "{asked:?}");
}

#[test]
fn the_registry_is_asked_before_a_cached_trust_is_verified() {
    let (world, _tuf) = private();
    let (reference, _) = world.signed_web();
    // Whether it holds has to be worked out: it is the cache of somebody else, whole and of the same name.
    let (other, _other_tuf) = private();
    other.signed_web();
    std::fs::copy(cache(&other), cache(&world)).unwrap();
    world.registry.reset_requests();
    // The question is on its way when the program ends; on a busy machine the connection may not stand yet.
    let asked = (0..20).any(|_| {
        world.verify(&[&reference, "--offline"]).exits(4).says("the cache does not hold");
        std::thread::sleep(Duration::from_millis(200));
        manifests(&world) > 0
    });
    assert!(asked);
}

#[test]
fn without_trust_every_chart_is_undecided_for_the_same_reason_whatever_the_registry_says() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    let missing = format!("{}:9.9.9", world.repository("web"));
    std::fs::remove_file(cache(&world)).unwrap();
    // What is known without waiting is known before anybody is asked.
    world.registry.reset_requests();
    world.verify(&[&reference, "--offline"]).exits(4);
    assert_eq!(world.registry.requests(), []);
    // Else the registry has been asked meanwhile, and its answers count for nothing.
    tuf.fault("/", MirrorFault::Endless);
    let signer = world.signer();
    let mut words = vec!["verify", "-o", "json", &reference, &missing];
    words.extend(signer.iter().map(String::as_str));
    let document = world.run(&words).exits(4).json();
    for result in document["results"].as_array().unwrap() {
        assert_eq!(result["reason"], "trust-unusable", "{result:#}");
        assert_eq!(result["trust"], serde_json::Value::Null);
        assert_eq!(result["hint"], "--trusted-root FILE");
    }
}
