//! `detach` from cosign's tags: one layer of an image that all who sign share.

use helm_sigstore_kit::registry::{Pushed, media_type};
use serde_json::{Value, json};

use crate::legacy_support::{legacy_as, legacy_tag, payload, refer_legacy, tag_legacy};
use crate::support::{Ended, WORKFLOW, World};

const OTHER: &str = "mallory/charts/.github/workflows/release.yml@refs/heads/main";

fn detach(world: &World, reference: &str, digest: &str) -> Ended {
    world.run(&["detach", reference, "--digest", digest, "--yes"])
}

fn layers(world: &World, pushed: &Pushed, tag: &str) -> Vec<Value> {
    let (_, bytes) = world.registry.manifest(&pushed.repository, tag).unwrap();
    let image: Value = serde_json::from_slice(&bytes).unwrap();
    image["layers"].as_array().unwrap().clone()
}

/// What `tree` lists at the place whose name ends so.
fn listed(world: &World, reference: &str, ending: &str) -> Vec<Value> {
    let document = world.run(&["tree", reference, "-o", "json"]).exits(0).json();
    let places = document["places"].as_array().unwrap();
    let place = places.iter().find(|one| one["object"].as_str().unwrap().ends_with(ending));
    place.unwrap()["attached"].as_array().unwrap().clone()
}

#[test]
fn of_two_signatures_over_the_same_payload_the_entry_says_which() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let payload = payload(&pushed);
    let both = [legacy_as(&world, WORKFLOW, &payload), legacy_as(&world, OTHER, &payload)];
    tag_legacy(&world, &pushed, &both);
    let listed = listed(&world, &reference, ".sig");
    assert_eq!(listed[0]["digest"], listed[1]["digest"]);
    let wrong = listed
        .iter()
        .find(|one| one["claimedSigner"]["identity"].as_str().unwrap().contains("mallory"));
    let entry = wrong.unwrap()["entry"].as_str().unwrap().to_owned();
    // `tree` shows it where the digest alone does not say which.
    world.run(&["tree", &reference]).exits(0).prints(&format!("Entry: {entry}\n"));
    world.registry.reset_requests();
    let ended = detach(&world, &reference, listed[0]["digest"].as_str().unwrap()).exits(2);
    assert!(ended.stderr.contains("the digest names several things"), "{ended:?}");
    assert!(ended.stderr.contains(&entry) && ended.stderr.contains("mallory"), "{ended:?}");
    let changed = world.registry.requests().iter().any(|one| one.method == "PUT");
    assert!(!changed);
    let before = layers(&world, &pushed, &legacy_tag(&pushed));
    detach(&world, &reference, &entry).exits(0).prints("    removed\n");
    let after = layers(&world, &pushed, &legacy_tag(&pushed));
    assert_eq!(after.len(), 1);
    assert!(before.contains(&after[0]));
    world.verify(&[&reference]).exits(0);
}

#[test]
fn the_last_signature_leaves_an_image_that_is_no_signature_and_takes_the_next_one() {
    let mut world = World::new();
    world.environment.insert("HELM_SIGSTORE_SIGNATURE_FORMAT".to_owned(), "legacy".to_owned());
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let one = &listed(&world, &reference, ".sig")[0];
    detach(&world, &reference, one["digest"].as_str().unwrap()).exits(0);
    assert_eq!(layers(&world, &pushed, &legacy_tag(&pushed)), Vec::<Value>::new());
    world.verify(&[&reference]).exits(3).says("unsigned");
    world.run(&["tree", &reference]).exits(0).prints("nothing attached\n");
    world.run(&["sign", &reference]).exits(0);
    world.verify(&[&reference]).exits(0);
    assert_eq!(layers(&world, &pushed, &legacy_tag(&pushed)).len(), 1);
}

#[test]
fn a_signature_that_hangs_in_the_image_and_as_a_referrer_goes_from_both() {
    let mut world = World::new();
    world.environment.insert("HELM_SIGSTORE_SIGNATURE_FORMAT".to_owned(), "all".to_owned());
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let one = &listed(&world, &reference, ".sig")[0];
    let words = ["detach", &reference, "--yes", "-o", "json", "--digest"];
    let words = [&words[..], &[one["digest"].as_str().unwrap()]].concat();
    let document = world.run(&words).exits(0).json();
    let places: Vec<_> = document["detached"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(one["state"], "removed");
            one["place"].as_str().unwrap()
        })
        .collect();
    assert_eq!(places, ["referrers", "cosign-tag"]);
    // The bundle is another signature.
    let left = world.registry.referrers(&pushed.repository, &pushed.manifest_digest);
    assert_eq!(left.len(), 1);
    world.verify(&[&reference, "--accept", "bundle"]).exits(0);
    world.verify(&[&reference, "--accept", "legacy"]).exits(3);
}

#[test]
fn an_image_of_several_signatures_is_not_taken_off_as_a_whole() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let payload = payload(&pushed);
    let both = [legacy_as(&world, WORKFLOW, &payload), legacy_as(&world, OTHER, &payload)];
    tag_legacy(&world, &pushed, &both);
    let image = world.registry.resolve(&pushed.repository, &legacy_tag(&pushed)).unwrap();
    detach(&world, &reference, &image).exits(2).says("holds 2 of them");
    // Nor is a part of a manifest that the registry lists: it is one thing there.
    let manifest = refer_legacy(&world, &pushed, &both);
    let entry = listed(&world, &reference, "referrers API")[0]["entry"].clone();
    world.registry.delete_tag(&pushed.repository, &legacy_tag(&pushed));
    let ended = detach(&world, &reference, entry.as_str().unwrap()).exits(2);
    assert!(ended.stderr.contains(&format!("--digest {manifest}")), "{ended:?}");
    detach(&world, &reference, &manifest).exits(0);
    assert!(world.registry.manifest(&pushed.repository, &manifest).is_none());
}

#[test]
fn an_attestation_goes_from_its_image_and_a_bill_of_materials_as_a_whole() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let repository = &pushed.repository;
    let put = |ending: &str, layers: &[Value]| {
        let config = world.registry.put_blob(repository, "{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
            "layers": layers,
        });
        let tag = format!("{}.{ending}", pushed.manifest_digest.replace(':', "-"));
        let bytes = manifest.to_string().into_bytes();
        world.registry.put_manifest(repository, Some(&tag), media_type::MANIFEST, bytes);
        tag
    };
    let layer = |text: &'static str, kind: &str| json!({"mediaType": kind, "size": text.len(), "digest": world.registry.put_blob(repository, text)});
    let dsse = "application/vnd.dsse.envelope.v1+json";
    let att = put("att", &[layer("one", dsse), layer("two", dsse)]);
    let sbom = put("sbom", &[layer("three", "text/spdx+json")]);
    let one = &listed(&world, &reference, ".att")[0];
    detach(&world, &reference, one["digest"].as_str().unwrap()).exits(0);
    assert_eq!(layers(&world, &pushed, &att), [layer("two", dsse)]);
    let one = &listed(&world, &reference, ".sbom")[0];
    assert_eq!(one["kind"], "sbom");
    detach(&world, &reference, one["digest"].as_str().unwrap()).exits(0);
    assert_eq!(layers(&world, &pushed, &sbom), Vec::<Value>::new());
    assert_eq!(layers(&world, &pushed, &att), [layer("two", dsse)]);
    assert_eq!(listed(&world, &reference, ".sbom"), Vec::<Value>::new());
}
