//! The publisher signs, the operator verifies.

use helm_sigstore_kit::chart::Chart;

use crate::support::World;

#[test]
fn signs_what_was_pushed_and_verifies_it_by_reference_and_as_a_file() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    world.push(&chart);
    world.run(&["sign", &file, "--repository", &world.target()]).exits(0).prints("Signed: ");
    let bundle = world.argument("web.sigstore.json");
    world
        .verify(&[&world.repository("web"), "--version", "^1", "--bundle-out", &bundle])
        .exits(0)
        .prints("(signed: manifest and chart)")
        .prints("Pinned: oci://");
    world.verify(&[&file, "--bundle", &bundle, "--offline"]).exits(0).prints("(signed: chart)");
}

#[test]
fn a_verification_by_tag_takes_three_requests_with_the_referrers_api() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.verify(&[&reference]).exits(0);
    let requests = world.registry.requests();
    assert_eq!(requests.len(), 3, "{requests:#?}");
}

#[test]
fn a_verification_by_tag_takes_five_requests_on_a_fallback_registry() {
    let world = World::with_fallback_registry();
    let (reference, _) = world.signed_web();
    world.verify(&[&reference]).exits(0);
    let requests = world.registry.requests();
    assert_eq!(requests.len(), 5, "{requests:#?}");
}
