//! Workloads with a SPIFFE identity: a JWT-SVID from the agent's socket.

use std::time::{Duration, Instant};

use helm_sigstore_kit::sigstore::{Fault, Service};

use crate::sign_support::{assert_hides, assert_nothing_public};
use crate::support::World;

/// A workload whose only token is that of the agent, and a chart.
fn workload() -> (World, String) {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    world.environment.remove("SIGSTORE_ID_TOKEN");
    let socket = world.path("agent.sock");
    world.sigstore.serve_workload_api(&socket).unwrap();
    let address = format!("unix://{}", socket.display());
    world.environment.insert("SPIFFE_ENDPOINT_SOCKET".into(), address);
    (world, reference)
}

#[test]
fn a_workload_signs_with_the_identity_that_its_agent_gives() {
    let (world, reference) = workload();
    let ended = world.run(&["sign", &reference]).exits(0);
    assert_hides(&ended, "eyJ");
    ended
        .says("(token from SPIFFE workload API (")
        .prints("Signed by: spiffe://acme.example/ns/ci/sa/release\n");
}

#[test]
fn a_workload_that_nobody_registered_is_told_so() {
    let (world, reference) = workload();
    world.sigstore.set_fault(Fault::Status(Service::Oidc, 403));
    world.run(&["sign", &reference]).exits(2).says("this workload has no SPIFFE identity");
    assert_nothing_public(&world);
}

#[test]
fn an_agent_that_is_not_there_or_does_not_serve_leaves_it_open() {
    let (mut world, reference) = workload();
    world.sigstore.set_fault(Fault::Garbage(Service::Oidc));
    world.run(&["sign", &reference]).exits(4).says("its answer holds no token");
    world.sigstore.set_fault(Fault::Hang(Service::Oidc));
    let started = Instant::now();
    world.run(&["sign", &reference]).exits(4).says("no answer in 10 s");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    for (address, code, words) in [
        (format!("unix://{}", world.argument("nothing.sock")), 4, "the socket cannot be opened"),
        ("tcp://127.0.0.1:8081".to_owned(), 2, "names no socket of this machine"),
        ("agent.sock".to_owned(), 2, "names no socket of this machine"),
    ] {
        world.environment.insert("SPIFFE_ENDPOINT_SOCKET".into(), address);
        world.run(&["sign", &reference]).exits(code).says(words);
    }
    assert_nothing_public(&world);
}
