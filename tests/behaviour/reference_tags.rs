//! Long lists of tags, and the tags in them that are no versions.

use helm_sigstore_kit::registry::Options;
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;

use crate::support::World;

/// `charts/web` 1.4.2, signed, and 10,000 tags beside it that are what signatures and people leave.
fn crowded(page_size: usize) -> World {
    let world =
        World::with(Options { page_size, ..Options::default() }, SigstoreOptions::default());
    let (_, pushed) = world.signed_web();
    let digest = pushed.manifest_digest;
    for at in 0..10_000 {
        let tag = match at % 5 {
            0 => format!("sha256-{at:064x}"),
            1 => format!("sha256-{at:064x}.sig"),
            2 => format!("1.3.{at}"),
            3 => format!("v9.9.{at}"),
            _ => format!("pr-{at}"),
        };
        world.registry.tag("charts/web", &tag, &digest);
    }
    world
}

#[test]
fn ten_thousand_tags_are_read_in_pages_and_no_signature_is_taken_for_a_version() {
    let world = crowded(1_000);
    let web = world.repository("web");
    let before = world.registry.requests().len();
    world.verify(&[&web]).exits(0).prints(&format!("Verified: {web}:1.4.2\n"));
    let requests = world.registry.requests();
    let lists: Vec<_> =
        requests[before..].iter().filter(|r| r.path().ends_with("/tags/list")).collect();
    assert_eq!(lists.len(), 11, "10,001 tags at 1,000 a page");
    // None of them is taken for one with a constraint that would admit anything either.
    world.verify(&[&web, "--version", ">0.0.0-0"]).exits(0).prints(&format!("{web}:1.4.2\n"));
    world.verify(&[&web, "--version", ">=5"]).exits(6).says("no tag satisfies \">=5\"");
    world.verify(&[&web, "--version", "1.3.x"]).exits(5).says("wrong version");
}
