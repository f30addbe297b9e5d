//! Nothing is public before it can be finished: what can be taken back comes first, the log last.

use std::time::Duration;

use helm_sigstore_kit::registry::{Action, Fault as RegistryFault, Options as RegistryOptions};
use helm_sigstore_kit::sigstore::{Fault, Options, RekorVersion, Service};

use crate::sign_support::{
    asked, assert_nothing_logged, assert_nothing_public, attached, listed_by_tag, sign_json,
};
use crate::support::World;

/// A Sigstore whose signing config names no timestamp authority.
fn without_timestamps() -> World {
    World::with(RegistryOptions::default(), Options { tsa: false, ..Options::default() })
}

/// A Sigstore that offers Rekor v2 alone.
fn with_rekor_v2() -> World {
    let sigstore = Options { rekor: vec![RekorVersion::V2], ..Options::default() };
    World::with(RegistryOptions::default(), sigstore)
}

/// Signs while a service misbehaves, and insists on how that ends and on nothing being attached.
#[track_caller]
fn fails(world: &World, fault: Fault, code: u8, reason: &str, words: &str) {
    let (reference, pushed) = world.push_web();
    world.sigstore.reset_requests();
    world.sigstore.set_fault(fault.clone());
    let (found, result) = sign_json(world, &[&reference]);
    let message = result["message"].as_str().unwrap_or_default();
    assert_eq!((found, result["reason"].as_str()), (code, Some(reason)), "{fault:?}: {message}");
    assert!(message.contains(words), "{fault:?}: no {words:?} in {message}");
    assert_eq!(result["retryable"], code == 4, "{fault:?}");
    assert_eq!(result["attached"].as_array().map(Vec::len), Some(0), "{fault:?}");
    assert_eq!(attached(world, &pushed).len(), 0, "{fault:?}");
    world.sigstore.clear_faults();
}

#[test]
fn a_registry_that_takes_no_write_is_found_out_before_a_certificate_is_asked_for() {
    for fallback in [false, true] {
        let statuses = if fallback { [401, 403] } else { [405, 413] };
        for status in statuses {
            let world = if fallback { World::with_fallback_registry() } else { World::new() };
            let (reference, pushed) = world.push_web();
            let fault = RegistryFault::new("/blobs/uploads/", Action::status(status));
            world.registry.fault(fault.method("POST"));
            let ended = world.run(&["sign", &reference]).exits(4);
            ended.says("/blobs/uploads/").says(&format!(": {status}"));
            assert_nothing_public(&world);
            assert_eq!(attached(&world, &pushed).len(), 0);
        }
    }
}

#[test]
fn a_registry_that_does_not_finish_an_upload_is_found_out_before_a_certificate_is_asked_for() {
    let world = World::with_fallback_registry();
    let (reference, _) = world.push_web();
    let fault = RegistryFault::new("/blobs/uploads/", Action::status(413)).method("PUT");
    world.registry.fault(fault);
    world.run(&["sign", &reference]).exits(4).says(": 413");
    assert_nothing_public(&world);
}

#[test]
fn a_certificate_authority_that_does_not_serve_leaves_nothing_in_the_log() {
    let world = World::new();
    let fulcio = Service::Fulcio;
    fails(&world, Fault::Status(fulcio, 500), 4, "service-unreachable", "500");
    fails(&world, Fault::Throttle(fulcio, 120), 4, "service-unreachable", "retry after 120 s");
    fails(&world, Fault::Garbage(fulcio), 4, "malformed", "signingCert");
    fails(&world, Fault::Status(fulcio, 404), 4, "service-unreachable", "404");
    fails(&world, Fault::Status(fulcio, 400), 2, "bad-token", "refused the identity token");
    assert_nothing_logged(&world);
}

#[test]
fn a_certificate_that_is_not_the_one_that_was_asked_for_signs_nothing() {
    for world in [World::new(), without_timestamps()] {
        let another = "not the one that was asked for";
        fails(&world, Fault::CertificateForAnotherKey, 5, "bad-signature", another);
        assert_eq!(asked(&world), (1, 0, 0));
        fails(&world, Fault::CertificateForAnotherSubject, 5, "wrong-signer", "mallory");
        assert_eq!(asked(&world), (1, 0, 0));
        fails(&world, Fault::CertificateWithSecondSubject, 5, "bad-signature", "bears 2 names");
        assert_eq!(asked(&world), (1, 0, 0));
    }
}

#[test]
fn a_certificate_without_a_timestamp_of_a_trusted_ct_log_is_refused_before_it_is_logged() {
    let world = World::new();
    for fault in [Fault::NoSct, Fault::SctByUnknownLog] {
        let (reference, pushed) = world.push_web();
        world.sigstore.set_fault(fault.clone());
        world.run(&["sign", &reference]).exits(5).says("certificate timestamp");
        assert_nothing_logged(&world);
        assert_eq!(attached(&world, &pushed).len(), 0);
    }
}

#[test]
fn a_timestamp_authority_that_does_not_serve_leaves_nothing_in_the_log() {
    let world = World::new();
    let tsa = Service::Tsa;
    fails(&world, Fault::Status(tsa, 500), 4, "service-unreachable", "cannot get a timestamp");
    fails(&world, Fault::Status(tsa, 400), 4, "service-unreachable", "400");
    fails(&world, Fault::Throttle(tsa, 90), 4, "service-unreachable", "retry after 90 s");
    fails(&world, Fault::Garbage(tsa), 4, "malformed", "cannot be read");
    assert_nothing_logged(&world);
}

#[test]
fn a_timestamp_that_is_not_for_our_signature_leaves_nothing_in_the_log() {
    let world = World::new();
    fails(&world, Fault::WrongNonce, 4, "malformed", "nonce");
    fails(&world, Fault::WrongImprint, 4, "malformed", "another signature");
    assert_nothing_logged(&world);
}

#[test]
fn a_timestamp_by_an_authority_that_nobody_trusts_is_refused_before_it_is_logged() {
    for world in [World::new(), with_rekor_v2()] {
        let (reference, pushed) = world.push_web();
        world.sigstore.set_fault(Fault::TimestampByUnknownAuthority);
        world.run(&["sign", &reference]).exits(5).says("timestamp");
        assert_eq!(asked(&world), (1, 1, 0));
        assert_eq!(attached(&world, &pushed).len(), 0);
    }
}

#[test]
fn a_timestamp_is_a_timestamp_whether_it_comes_with_200_or_201() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.sigstore.set_fault(Fault::TimestampWith200);
    world.run(&["sign", &reference]).exits(0);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_service_that_hangs_ends_with_the_time_out_of_the_command() {
    for service in [Service::Fulcio, Service::Tsa] {
        let world = World::new();
        let (reference, _) = world.push_web();
        world.sigstore.set_fault(Fault::Hang(service));
        let started = std::time::Instant::now();
        world
            .run(&["sign", &reference, "--timeout", "600ms"])
            .exits(4)
            .says("timed out after 0.6 s");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert_nothing_logged(&world);
    }
}

#[test]
fn a_log_that_does_not_serve_leaves_the_chart_without_a_signature() {
    for (world, log) in [(World::new(), Service::RekorV1), (with_rekor_v2(), Service::RekorV2)] {
        fails(&world, Fault::Status(log, 500), 4, "service-unreachable", "cannot log");
        fails(&world, Fault::Throttle(log, 120), 4, "service-unreachable", "retry after 120 s");
        fails(&world, Fault::Garbage(log), 4, "malformed", "no log entry");
        fails(&world, Fault::Status(log, 400), 4, "service-unreachable", "400");
    }
}

#[test]
fn an_entry_of_somebody_else_is_never_attached() {
    for (world, log) in [(World::new(), Service::RekorV1), (with_rekor_v2(), Service::RekorV2)] {
        fails(&world, Fault::EntryForAnother(log), 4, "malformed", "not ours");
    }
    let world = World::new();
    let duplicate = Fault::DuplicateOfAnother(Service::RekorV1);
    fails(&world, duplicate, 4, "malformed", "not ours");
}

#[test]
fn an_entry_whose_proofs_do_not_hold_is_never_attached() {
    let world = World::new();
    let v1 = Service::RekorV1;
    fails(&world, Fault::WrongSet, 5, "bad-signature", "");
    fails(&world, Fault::WrongCheckpoint(v1), 5, "bad-signature", "");
    fails(&world, Fault::WrongInclusionProof(v1), 5, "bad-signature", "");
    let world = with_rekor_v2();
    let v2 = Service::RekorV2;
    fails(&world, Fault::WrongCheckpoint(v2), 5, "bad-signature", "");
    fails(&world, Fault::WrongInclusionProof(v2), 5, "bad-signature", "");
}

#[test]
fn an_entry_that_the_log_has_already_is_taken_when_it_is_ours() {
    for world in [World::new(), World::with_fallback_registry()] {
        let (reference, pushed) = world.push_web();
        world.sigstore.set_fault(Fault::Duplicate(Service::RekorV1));
        world.run(&["sign", &reference]).exits(0);
        assert_eq!(attached(&world, &pushed).len(), 1);
        // The entry that exists is fetched, once.
        assert_eq!(asked(&world), (1, 1, 2));
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn a_service_that_fails_once_is_asked_again() {
    let world = World::new();
    for service in [Service::Fulcio, Service::Tsa, Service::RekorV1] {
        let (reference, _) = world.push_web();
        world.sigstore.set_fault_times(Fault::Status(service, 503), 1);
        world.sigstore.reset_requests();
        world.run(&["sign", &reference]).exits(0);
        assert_eq!(world.sigstore.request_count(service), 2, "{service:?}");
        world.sigstore.clear_faults();
    }
}

#[test]
fn a_log_that_fails_for_one_chart_does_not_unsign_the_next() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    world.sigstore.set_fault_times(Fault::Status(Service::RekorV1, 400), 1);
    let ended = world.run(&["sign", &reference, &reference]).exits(4);
    assert_eq!(ended.stdout.matches("Signed: ").count(), 1, "{}", ended.stdout);
    assert_eq!(attached(&world, &pushed).len(), 1);
    assert_eq!(listed_by_tag(&world, &pushed).len(), 0);
}

#[test]
fn the_words_say_how_far_a_run_has_come() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let upload = RegistryFault::new("/blobs/uploads/", Action::status(403)).method("POST");
    world.registry.fault(upload);
    world.run(&["sign", &reference]).exits(4).says("nothing was signed; retry");
    world.registry.clear_faults();
    world.sigstore.set_fault(Fault::Status(Service::RekorV1, 400));
    world.run(&["sign", &reference]).exits(4).says("nothing was attached; retry");
    world.sigstore.clear_faults();
    let manifest = RegistryFault::new("/manifests/sha256:", Action::status(403)).method("PUT");
    world.registry.fault(manifest);
    world.run(&["sign", &reference]).exits(4).says("signed and logged, but perhaps not attached");
}
