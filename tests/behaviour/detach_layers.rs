//! `detach` from cosign's tags: one layer of an image that all who sign share.

use helm_sigstore_kit::registry::{Action, Fault, Pushed, index_of, media_type};
use serde_json::{Value, json};

use crate::cli_support::Setting;
use crate::legacy_support::{
    legacy, legacy_as, legacy_image, legacy_tag, payload, refer_legacy, tag_legacy,
};
use crate::support::{Ended, WORKFLOW, World};
use crate::verify_craft::{sign, usual};

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

/// One of cosign's tags for a chart.
fn tag(pushed: &Pushed, ending: &str) -> String {
    format!("{}.{ending}", pushed.manifest_digest.replacen(':', "-", 1))
}

/// Puts a document under one of cosign's tags; answers its digest.
fn put(world: &World, pushed: &Pushed, ending: &str, kind: &str, document: &Value) -> String {
    let (repository, tag) = (&pushed.repository, tag(pushed, ending));
    let bytes = document.to_string().into_bytes();
    world.registry.put_manifest(repository, Some(&tag), kind, bytes)
}

/// A layer whose blob is in the repository of the chart.
fn stored(world: &World, pushed: &Pushed, kind: &str, content: &[u8]) -> Value {
    let digest = world.registry.put_blob(&pushed.repository, content.to_vec());
    json!({"mediaType": kind, "size": content.len(), "digest": digest})
}

/// An image of these layers.
fn image(world: &World, pushed: &Pushed, layers: &[Value]) -> Value {
    let config = stored(world, pushed, "application/vnd.oci.image.config.v1+json", b"{}");
    json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers})
}

#[test]
fn what_is_no_image_of_layers_is_left_alone_and_nobody_is_asked_about_it() {
    let mut world = World::new();
    let (reference, pushed) = world.signed_web();
    let signed = listed(&world, &reference, "referrers API")[0]["digest"].clone();
    let index: Value = serde_json::from_slice(&index_of(0)).unwrap();
    let layer = stored(&world, &pushed, "text/spdx+json", b"three");
    let mut unread = image(&world, &pushed, std::slice::from_ref(&layer));
    unread["layers"] = json!([{"mediaType": "x", "size": 1, "digest": "sha512:00"}]);
    let mut referring = image(&world, &pushed, &[layer]);
    referring["subject"] = json!({"mediaType": media_type::MANIFEST, "size": pushed.manifest.len(),
        "digest": pushed.manifest_digest});
    let mut bare = image(&world, &pushed, &[]);
    bare.as_object_mut().unwrap().remove("layers");
    for (kind, document) in [
        (media_type::INDEX, index),
        (media_type::MANIFEST, unread),
        (media_type::MANIFEST, referring),
        (media_type::MANIFEST, bare),
    ] {
        let digest = put(&world, &pushed, "att", kind, &document);
        world.registry.reset_requests();
        // Not even what could be removed beside it.
        let words = ["detach", &reference, "--digest", &digest, "--digest"];
        let words = [&words[..], &[signed.as_str().unwrap()]].concat();
        world.stdin = b"y\n".to_vec();
        let ended = Setting::terminal().run(&world, &words).exits(4);
        assert!(!ended.stderr.contains("[y/N]") && ended.stdout.is_empty(), "{ended:?}");
        assert!(ended.stderr.contains("holds something that is no image of layers"), "{ended:?}");
        let words = [&words[..], &["--yes", "-o", "json"]].concat();
        let document = world.run(&words).exits(4).json();
        assert_eq!(document["results"][0]["reason"], "unsupported-format", "{document:#}");
        assert_eq!(world.registry.resolve(&pushed.repository, &tag(&pushed, "att")), Some(digest));
        assert!(world.registry.requests().iter().all(|one| one.method != "PUT"));
        assert!(world.registry.requests().iter().all(|one| one.method != "DELETE"));
    }
    world.verify(&[&reference]).exits(0);
}

#[test]
fn what_is_appended_while_an_image_is_taken_off_stays_and_all_else_goes() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let layer = |content: &str| stored(&world, &pushed, "text/spdx+json", content.as_bytes());
    let (one, two, new) = (layer("one"), layer("two"), layer("new"));
    let whole = put(
        &world,
        &pushed,
        "sbom",
        media_type::MANIFEST,
        &image(&world, &pushed, &[one.clone(), two.clone()]),
    );
    // Somebody appends after it was looked at and before anything is written.
    let theirs = image(&world, &pushed, &[one, two, new.clone()]).to_string();
    let (repository, name) = (pushed.repository.clone(), tag(&pushed, "sbom"));
    let append = Action::run(move |store| {
        store.put_manifest(&repository, Some(&name), media_type::MANIFEST, theirs.clone());
    });
    world.registry.fault(Fault::once(&tag(&pushed, "sbom"), append).method("GET"));
    detach(&world, &reference, &whole).exits(0).prints("    removed\n");
    assert_eq!(layers(&world, &pushed, &tag(&pushed, "sbom")), [new]);
}

#[test]
fn a_bundle_among_the_layers_hides_none_of_the_signatures_beside_it() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let signatures = [legacy(&world, &pushed), legacy_as(&world, OTHER, &payload(&pushed))];
    let mut document = legacy_image(&world, &pushed, &signatures);
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let bundle = stored(&world, &pushed, kind, &bundle);
    let junk = stored(&world, &pushed, "text/plain", b"junk");
    let image_layers = document["layers"].as_array_mut().unwrap();
    image_layers.insert(1, bundle.clone());
    image_layers.push(junk.clone());
    let all = image_layers.clone();
    let whole = put(&world, &pushed, "sig", media_type::MANIFEST, &document);
    let found = listed(&world, &reference, ".sig");
    let kinds: Vec<_> = found.iter().map(|one| (&one["kind"], &one["format"])).collect();
    let (signature, legacy) = (json!("signature"), json!("legacy"));
    let expected = [
        (&signature, &legacy),
        (&signature, &json!("bundle")),
        (&signature, &legacy),
        (&json!("other"), &Value::Null),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(found[1]["digest"], bundle["digest"]);
    let signer = found[1]["claimedSigner"]["identity"].as_str().unwrap();
    assert!(signer.ends_with(WORKFLOW), "{signer}");
    // The image is everybody's.
    detach(&world, &reference, &whole).exits(2).says("holds 4 of them");
    assert_eq!(layers(&world, &pushed, &legacy_tag(&pushed)), all);
    for (gone, left) in [(&bundle, 3), (&junk, 2)] {
        detach(&world, &reference, gone["digest"].as_str().unwrap()).exits(0);
        let layers = layers(&world, &pushed, &legacy_tag(&pushed));
        assert!(layers.len() == left && !layers.contains(gone), "{layers:?}");
    }
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_attestation_goes_from_its_image_and_a_bill_of_materials_as_a_whole() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let put = |ending: &str, layers: &[Value]| {
        let image = image(&world, &pushed, layers);
        put(&world, &pushed, ending, media_type::MANIFEST, &image);
        tag(&pushed, ending)
    };
    let layer = |text: &str, kind: &str| stored(&world, &pushed, kind, text.as_bytes());
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
