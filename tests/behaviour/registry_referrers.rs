//! "Have you the referrers API?": everything that registries answer, to `sign` and to `verify`.

use helm_sigstore_kit::registry::{
    Action, Fault, Options as RegistryOptions, Pushed, Referrers, index_of, media_type,
};
use helm_sigstore_kit::sigstore::Options;
use serde_json::json;

use crate::sign_support::{assert_nothing_public, attached, lines, listed_by_tag, sign_json};
use crate::support::World;

fn with(referrers: Referrers) -> World {
    World::with(RegistryOptions { referrers, ..RegistryOptions::fallback() }, Options::default())
}

fn asked_the_tag(world: &World, pushed: &Pushed) -> bool {
    let tag = format!("/manifests/{}", pushed.manifest_digest.replacen(':', "-", 1));
    lines(world).iter().any(|line| line.contains(&tag))
}

/// A registry without the API: unsigned charts are unsigned, and signatures are listed in the tag.
#[track_caller]
fn means_no_api(referrers: Referrers, status: &str) {
    let world = with(referrers);
    let (reference, pushed) = world.push_web();
    world.verify(&[&reference]).exits(3).says(&format!("referrers API ({status})"));
    assert!(asked_the_tag(&world, &pushed));
    world.run(&["sign", &reference]).exits(0).prints("(fallback tag)");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
}

/// A registry that does not say: what is in the tag counts, and nothing is ever unsigned.
#[track_caller]
fn leaves_it_open(status: u16) {
    let world = with(Referrers::Status(status));
    let (reference, pushed) = world.push_web();
    let ended = world.verify(&[&reference]).exits(4);
    ended.says("/referrers/").says(&format!(": {status}"));
    assert!(asked_the_tag(&world, &pushed));
    let ended = world.run(&["sign", &reference]).exits(0).prints("(fallback tag)");
    ended.says(&format!(": {status}")).says("listed under the fallback tag too");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
    // Where the tag does not answer either, nothing is known and nothing made public.
    let tag = format!("/manifests/{}", pushed.manifest_digest.replacen(':', "-", 1));
    world.registry.fault(Fault::new(&tag, Action::status(status)));
    world.sigstore.reset_requests();
    world.run(&["sign", &reference]).exits(4).says(&format!(": {status}"));
    assert_nothing_public(&world);
}

#[test]
fn a_404_in_plain_text_means_no_referrers_api() {
    means_no_api(Referrers::NotFound, "404");
}

#[test]
fn a_404_in_json_means_no_referrers_api() {
    means_no_api(Referrers::NotFoundJson, "404");
}

#[test]
fn a_400_means_no_referrers_api() {
    means_no_api(Referrers::Status(400), "400");
}

#[test]
fn a_401_leaves_the_referrers_api_undecided_and_the_tag_is_asked() {
    leaves_it_open(401);
}

#[test]
fn a_403_leaves_the_referrers_api_undecided_and_the_tag_is_asked() {
    leaves_it_open(403);
}

#[test]
fn a_405_means_no_referrers_api() {
    means_no_api(Referrers::Status(405), "405");
}

#[test]
fn a_406_means_no_referrers_api() {
    means_no_api(Referrers::Status(406), "406");
}

#[test]
fn a_501_means_no_referrers_api() {
    means_no_api(Referrers::Status(501), "501");
}

#[test]
fn a_303_to_a_web_site_means_no_referrers_api_and_is_not_followed() {
    let elsewhere = World::new();
    let target = format!("{}{{path}}", elsewhere.registry.origin());
    means_no_api(Referrers::RedirectTo(target), "303 to another site");
    assert_eq!(elsewhere.registry.requests().len(), 0);
}

#[test]
fn a_200_that_is_no_index_means_no_referrers_api() {
    means_no_api(Referrers::FalseOk, "200 application/json");
    let world = World::new();
    let (reference, _) = world.push_web();
    let page = Action::ReplaceBody(b"{\"message\":\"hello\"}".to_vec());
    world.registry.fault(Fault::new("/referrers/", page));
    world.verify(&[&reference]).exits(3).says("200 with something else than an index");
}

#[test]
fn a_404_for_a_manifest_that_is_not_there_does_not_hide_the_api() {
    let referrers = Referrers::ApiForKnown;
    let world = World::with(
        RegistryOptions { referrers, ..RegistryOptions::default() },
        Options::default(),
    );
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0).prints("(referrers API)");
    assert_eq!((attached(&world, &pushed).len(), listed_by_tag(&world, &pushed).len()), (1, 0));
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_promise_in_oci_subject_without_an_api_is_found_out() {
    let options = RegistryOptions { oci_subject: Some(true), ..RegistryOptions::fallback() };
    let world = World::with(options, Options::default());
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0).prints("(fallback tag)");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_api_that_appears_with_the_first_referrer_is_used() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    // The first question meets a 404, as in a repository that is not there yet.
    world.registry.fault(Fault::once("/referrers/", Action::status(404)));
    world.run(&["sign", &reference]).exits(0).prints("(referrers API)");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 0);
}

#[test]
fn a_registry_that_could_not_be_asked_is_no_registry_without_the_api() {
    for status in [429, 500, 502, 503, 504] {
        let world = World::with_fallback_registry();
        let (reference, pushed) = world.push_web();
        let action = Action::status_with(status, "Retry-After", "31");
        world.registry.fault(Fault::new("/referrers/", action));
        world.verify(&[&reference]).exits(4).says(&format!(": {status}"));
        assert!(asked_the_tag(&world, &pushed));
        world.run(&["sign", &reference]).exits(4).says(&format!(": {status}"));
        assert_nothing_public(&world);
    }
}

#[test]
fn filters_are_never_asked_for_and_their_claim_is_not_believed() {
    let world = World::with(
        RegistryOptions { filters: false, ..RegistryOptions::default() },
        Options::default(),
    );
    let (reference, pushed) = world.push_web();
    for number in 0..3 {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "artifactType": "application/spdx+json",
            "number": number,
            "subject": {"digest": pushed.manifest_digest, "size": 1, "mediaType": media_type::MANIFEST},
        });
        let bytes = manifest.to_string().into_bytes();
        world.registry.put_manifest(&pushed.repository, None, media_type::MANIFEST, bytes);
    }
    let claim = Action::SetHeader("OCI-Filters-Applied".into(), "artifactType".into());
    world.registry.fault(Fault::new("/referrers/", claim));
    world.run(&["sign", &reference]).exits(0).prints("(referrers API)");
    world.verify(&[&reference]).exits(0);
    assert!(
        lines(&world).iter().all(|line| !line.contains("artifactType")),
        "{:#?}",
        lines(&world)
    );
}

#[test]
fn pages_that_form_a_loop_or_lead_away_are_undecided() {
    let elsewhere = World::new();
    let away = format!("<{}/v2/charts/web/referrers/x>; rel=next", elsewhere.registry.origin());
    for (link, words) in [("<?after=0>; rel=next", "a loop"), (away.as_str(), "another site")] {
        let world = World::new();
        let (reference, _) = world.signed_web();
        // What is listed could be read; it is a stranger's and no signature.
        world.registry.fault(Fault::new("/referrers/", Action::ReplaceBody(index_of(1))));
        let next = Action::SetHeader("Link".into(), link.to_owned());
        world.registry.fault(Fault::new("/referrers/", next));
        world.verify(&[&reference]).exits(4).says(words);
        let (code, result) = sign_json(&world, &[&reference]);
        assert_eq!(code, 4, "{result:#}");
        assert_nothing_public(&world);
    }
    assert_eq!(elsewhere.registry.requests().len(), 0);
}
