//! Workloads of Google Cloud: the metadata server, impersonation, and that nobody else is asked.

use std::time::{Duration, Instant};

use helm_sigstore_kit::sigstore::{Fault, Service};

use crate::sign_support::{assert_hides, assert_nothing_public, sign_json};
use crate::support::{Ended, World};

const ACCOUNT: &str = "builder@acme.iam.gserviceaccount.com";
const RELEASE: &str = "release@acme.iam.gserviceaccount.com";

/// A workload of Google Cloud without any other token, and a chart.
fn workload() -> (World, String) {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    world.environment.remove("SIGSTORE_ID_TOKEN");
    world.environment.extend(world.sigstore.google_env());
    (world, reference)
}

fn asked(world: &World) -> Vec<String> {
    let requests = world.sigstore.requests();
    let of_google = requests.iter().filter(|request| request.service == Service::Oidc);
    of_google.map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[track_caller]
fn hides_tokens(ended: &Ended) {
    assert_hides(ended, "eyJ");
}

#[test]
fn a_workload_signs_as_its_service_account() {
    let (world, reference) = workload();
    let ended = world.run(&["sign", &reference]).exits(0);
    hides_tokens(&ended);
    ended
        .says(&format!("signing as {ACCOUNT} (token from Google Cloud)"))
        .prints(&format!("Signed by: {ACCOUNT}\n"));
    let identity = "/computeMetadata/v1/instance/service-accounts/default/identity";
    assert_eq!(asked(&world), [format!("GET {identity}?audience=sigstore&format=full")]);
}

#[test]
fn a_workload_signs_as_the_service_account_that_it_may_impersonate() {
    let (mut world, reference) = workload();
    world.environment.insert("GOOGLE_SERVICE_ACCOUNT_NAME".into(), RELEASE.into());
    let ended = world.run(&["sign", &reference]).exits(0);
    hides_tokens(&ended);
    ended
        .says(&format!("(token from Google Cloud as {RELEASE})"))
        .prints(&format!("Signed by: {RELEASE}\n"));
    let asked = asked(&world);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        asked[1].ends_with(&format!("/serviceAccounts/{RELEASE}:generateIdToken")),
        "{asked:?}"
    );
}

#[test]
fn a_service_account_that_may_not_be_impersonated_is_told_with_the_role_that_it_takes() {
    let (mut world, reference) = workload();
    let stranger = "other@acme.iam.gserviceaccount.com";
    world.environment.insert("GOOGLE_SERVICE_ACCOUNT_NAME".into(), stranger.into());
    let ended = world.run(&["sign", &reference]).exits(2);
    hides_tokens(&ended);
    ended
        .says(&format!("this workload may not sign as {stranger}"))
        .says("roles/iam.serviceAccountOpenIdTokenCreator");
    for name in ["a/b@c", "a?b", "../x", "a b"] {
        world.environment.insert("GOOGLE_SERVICE_ACCOUNT_NAME".into(), name.into());
        world.run(&["sign", &reference]).exits(2).says("names no service account");
    }
    assert_nothing_public(&world);
}

#[test]
fn a_workload_without_a_service_account_has_no_token() {
    let (world, reference) = workload();
    world.sigstore.set_fault(Fault::Status(Service::Oidc, 404));
    // As it comes without the header of Google's, whoever says so is not believed.
    world.run(&["sign", &reference]).exits(4).says("what answers there is not Google's");
    assert_nothing_public(&world);
}

#[test]
fn whatever_else_answers_at_the_metadata_address_gets_no_further() {
    let (world, reference) = workload();
    world.sigstore.set_fault(Fault::Garbage(Service::Oidc));
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!((code, result["reason"].as_str()), (4, Some("service-unreachable")));
    assert_nothing_public(&world);
}

#[test]
fn a_metadata_server_that_does_not_answer_is_waited_for_only_shortly() {
    let (world, reference) = workload();
    world.sigstore.set_fault(Fault::Hang(Service::Oidc));
    let started = Instant::now();
    world.run(&["sign", &reference]).exits(4).says("no answer in 5 s");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_nothing_public(&world);
}

#[test]
fn what_names_no_metadata_server_is_refused() {
    let (mut world, reference) = workload();
    for host in ["a/b", "user@host", "h?x", "a b"] {
        world.environment.insert("GCE_METADATA_HOST".into(), host.into());
        world.run(&["sign", &reference]).exits(2).says("GCE_METADATA_HOST is no host");
    }
    let iam = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";
    world.environment.extend(world.sigstore.google_env());
    world.environment.insert(iam.into(), "http://iam.example/".into());
    world.run(&["sign", &reference]).exits(2).says("is not https");
}

#[test]
fn elsewhere_no_metadata_server_is_asked() {
    let (mut world, reference) = workload();
    for (name, _) in world.sigstore.google_env() {
        world.environment.remove(&name);
    }
    let started = Instant::now();
    world.run(&["sign", &reference]).exits(2).says("no identity token was given");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
