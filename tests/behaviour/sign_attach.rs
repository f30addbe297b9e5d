//! Attaching fails at one of its steps: what is left is unlisted, and a re-run completes it.

use helm_sigstore_kit::registry::{Action, Fault, Pushed};

use crate::sign_support::{asked, attached, listed_by_tag, sign_json};
use crate::support::World;

/// Signs while `fault` is in force, and insists that nothing is listed and that a re-run succeeds.
#[track_caller]
fn fails_and_is_completed_later((world, listed): &(World, Listing), fault: Fault, status: u16) {
    let (reference, pushed) = world.push_web();
    world.sigstore.reset_requests();
    world.registry.fault(fault.clone());
    let (code, result) = sign_json(world, &[&reference]);
    let message = result["message"].as_str().unwrap_or_default();
    assert_eq!((code, &result["verdict"]), (4, &"undecided".into()), "{fault:?}: {message}");
    assert!(message.contains(&format!(": {status}")), "{fault:?}: {message}");
    assert_eq!(result["retryable"], true);
    assert_eq!(result["attached"].as_array().map(Vec::len), Some(0), "{fault:?}");
    assert_eq!(listed(world, &pushed).len(), 0, "{fault:?}");
    // It is after the log that attaching begins.
    assert_eq!(asked(world), (1, 1, 1), "{fault:?}");
    world.verify(&[&reference]).exits(3).says("unsigned");

    world.registry.clear_faults();
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(listed(world, &pushed).len(), 1, "{fault:?}");
    world.verify(&[&reference]).exits(0);
}

/// A registry with the referrers API, and what it lists.
fn with_api() -> (World, Listing) {
    (World::new(), attached)
}

/// A registry without: there a manifest alone is listed nowhere.
fn without_api() -> (World, Listing) {
    (World::with_fallback_registry(), listed_by_tag)
}

type Listing = fn(&World, &Pushed) -> Vec<serde_json::Value>;

#[test]
fn the_bundle_that_a_registry_with_the_api_does_not_take() {
    for status in [403, 413, 500] {
        // The first upload is the empty config.
        let fault = Fault::new("/blobs/uploads/", Action::status(status)).method("POST").skip(1);
        fails_and_is_completed_later(&with_api(), fault, status);
    }
}

#[test]
fn the_bundle_that_a_fallback_registry_does_not_take() {
    for method in ["POST", "PUT"] {
        let fault = Fault::new("/blobs/uploads/", Action::status(403)).method(method).skip(1);
        fails_and_is_completed_later(&without_api(), fault, 403);
    }
}

#[test]
fn the_manifest_that_a_registry_does_not_take() {
    for status in [400, 403, 500] {
        let fault = || Fault::new("/manifests/sha256:", Action::status(status)).method("PUT");
        fails_and_is_completed_later(&with_api(), fault(), status);
        fails_and_is_completed_later(&without_api(), fault(), status);
    }
}

#[test]
fn the_index_that_cannot_be_read() {
    let fault = Fault::new("/manifests/sha256-", Action::status(403)).method("GET");
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    world.registry.fault(fault);
    world.run(&["sign", &reference]).exits(4).says(": 403");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 0);
    let wrote = |tag: &str| {
        world.registry.requests().iter().any(|r| r.method == "PUT" && r.path().contains(tag))
    };
    assert!(!wrote("/manifests/sha256-"), "an index that could not be read was overwritten");
    world.registry.clear_faults();
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
}

#[test]
fn the_index_that_a_registry_does_not_take() {
    for status in [403, 412, 500] {
        let fault = Fault::new("/manifests/sha256-", Action::status(status)).method("PUT");
        fails_and_is_completed_later(&without_api(), fault, status);
    }
}

#[test]
fn a_listing_that_cannot_be_read_back_is_no_success() {
    for world in [World::new(), World::with_fallback_registry()] {
        let (reference, _) = world.push_web();
        world.registry.fault(Fault::new("/referrers/", Action::status(500)));
        world.run(&["sign", &reference]).exits(4).says("/referrers/").says(": 500");
        world.registry.clear_faults();
        world.run(&["sign", &reference]).exits(0);
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn an_answer_that_is_lost_after_a_write_leaves_one_signature() {
    for ((world, listed), path) in [
        (with_api(), "/manifests/sha256:"),
        (without_api(), "/manifests/sha256:"),
        (without_api(), "/manifests/sha256-"),
    ] {
        let (reference, pushed) = world.push_web();
        world.registry.fault(Fault::once(path, Action::LoseAnswer).method("PUT"));
        world.run(&["sign", &reference]).exits(0);
        assert_eq!(listed(&world, &pushed).len(), 1, "{path}");
        world.verify(&[&reference]).exits(0);
    }
}

/// CNCF distribution, while another signer uploads the same empty config.
#[test]
fn a_manifest_whose_blobs_are_out_of_sight_for_a_moment_is_pushed_again() {
    for code in ["DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"] {
        let (world, listed) = without_api();
        let (reference, pushed) = world.push_web();
        let body = format!("{{\"errors\":[{{\"code\":\"{code}\"}}]}}").into_bytes();
        let action = Action::Status { status: 400, headers: Vec::new(), body };
        world.registry.fault(Fault::new("/manifests/sha256:", action).method("PUT").times(2));
        world.run(&["sign", &reference]).exits(0);
        assert_eq!(listed(&world, &pushed).len(), 1, "{code}");
    }
}

#[test]
fn a_write_that_is_throttled_is_done_after_it() {
    for path in ["/blobs/uploads/", "/manifests/sha256:", "/referrers/"] {
        let world = World::new();
        let (reference, pushed) = world.push_web();
        world.registry.fault(Fault::once(path, Action::status_with(429, "Retry-After", "0")));
        world.run(&["sign", &reference]).exits(0);
        assert_eq!(attached(&world, &pushed).len(), 1, "{path}");
    }
}

#[test]
fn the_bundle_file_is_there_even_if_attaching_fails() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let fault = Fault::new("/manifests/sha256:", Action::status(403)).method("PUT");
    world.registry.fault(fault);
    let file = world.argument("web.sigstore.json");
    world.run(&["sign", &reference, "--bundle-out", &file]).exits(4);
    world.registry.clear_faults();
    world.verify(&[&reference]).exits(3);
    world.verify(&[&reference, "--bundle", &file]).exits(0);
}

#[test]
fn nothing_is_written_where_nothing_was_signed() {
    use helm_sigstore_kit::sigstore::{Fault as ServiceFault, Service};
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let blobs = world.registry.blobs(&pushed.repository).len();
    let file = world.argument("web.sigstore.json");
    for fault in [ServiceFault::Status(Service::RekorV1, 400), ServiceFault::WrongSet] {
        world.sigstore.set_fault(fault);
        world.run(&["sign", &reference, "--bundle-out", &file]);
        assert!(!std::path::Path::new(&file).exists());
        // The empty config, with which write access was proved, is all.
        assert_eq!(world.registry.blobs(&pushed.repository).len(), blobs + 1);
    }
    assert_eq!(world.registry.manifests(&pushed.repository).len(), 1);
}
