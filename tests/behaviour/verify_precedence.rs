//! The verdict over several candidates (DESIGN decision 7).

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Pushed, digest_of, index, media_type};
use serde_json::{Value, json};

use crate::support::World;
use crate::verify_craft::{
    BUNDLE, CREATED, MALLORY, SBOM_PREDICATE, attach, attach_as, bare, entry, list, put, referrer,
    refuses, sign, sign_as, statement, typed, usual,
};

/// An SBOM about the chart by the right signer.
fn sbom(world: &World, pushed: &Pushed) -> Vec<u8> {
    let mut statement = usual(pushed, "web", "1.4.2");
    statement["predicateType"] = SBOM_PREDICATE.into();
    statement["predicate"] = json!({"spdxVersion": "SPDX-2.3"});
    sign(world, &statement)
}

/// Attaches what cannot be fetched: its bundle is not there.
fn attach_missing(world: &World, pushed: &Pushed) -> String {
    put(world, pushed, &referrer(pushed, b"a bundle that was deleted"))
}

fn attach_mallory(world: &World, pushed: &Pushed) -> String {
    attach(world, pushed, &sign_as(world, MALLORY, &usual(pushed, "web", "1.4.2")))
}

fn statuses(result: &Value) -> Vec<&str> {
    let signatures = result["signatures"].as_array().unwrap();
    let mut statuses: Vec<_> =
        signatures.iter().map(|signature| signature["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    statuses
}

#[test]
fn one_accepted_signature_wins_over_everything_else() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_missing(&world, &pushed);
    attach_mallory(&world, &pushed);
    attach(&world, &pushed, b"{}");
    attach(&world, &pushed, &sbom(&world, &pushed));
    // The oldest, so that every other is looked at first.
    let good = sign(&world, &usual(&pushed, "web", "1.4.2"));
    attach_as(&world, &pushed, &good, |manifest| {
        manifest["annotations"][CREATED] = "2001-01-01T00:00:00Z".into();
    });
    world.verify(&[&reference]).exits(0).prints("Pinned: ");
    let result = world.verdict(&[&reference]);
    assert_eq!(result["verdict"], "verified");
    let statuses = statuses(&result);
    assert!(statuses.contains(&"accepted") && statuses.contains(&"undecided"), "{statuses:?}");
}

#[test]
fn undecided_wins_over_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_mallory(&world, &pushed);
    refuses(&world, &[&reference], 5, "wrong-signer", &[]);
    attach_missing(&world, &pushed);
    refuses(
        &world,
        &[&reference],
        4,
        "unreachable",
        &["error: undecided: ", "is listed and not there", "nothing was verified; retry"],
    );
    assert_eq!(statuses(&world.verdict(&[&reference])), ["refused", "undecided"]);
    attach_missing(&world, &pushed);
    put(&world, &pushed, &referrer(&pushed, b"another that was deleted"));
    refuses(&world, &[&reference], 4, "unreachable", &["and 1 more"]);
}

#[test]
fn refused_wins_over_other() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach(&world, &pushed, &sbom(&world, &pushed));
    attach(&world, &pushed, b"{}");
    refuses(&world, &[&reference], 5, "malformed", &["not a Sigstore bundle"]);
    assert_eq!(statuses(&world.verdict(&[&reference])), ["other", "refused"]);
}

#[test]
fn an_attestation_of_another_kind_is_no_signature_and_decides_nothing() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let sbom = sbom(&world, &pushed);
    attach(&world, &pushed, &sbom);
    // Nor does one that does not even verify: it is set aside before any cryptography.
    let mut broken: Value = serde_json::from_slice(&sbom).unwrap();
    broken["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA".into();
    attach(&world, &pushed, broken.to_string().as_bytes());
    let words = [
        &format!("error: unsigned: {reference} ({})\n", pushed.manifest_digest),
        "  looked in  referrers API (2 found), tag sha256-",
        "(404), tag sha256-",
        ".sig (404)\n",
    ];
    refuses(&world, &[&reference], 3, "unsigned", &words);
    let result = world.verdict(&[&reference]);
    assert_eq!(statuses(&result), ["other", "other"]);
    assert_eq!(result["signatures"][0]["reason"], "wrong-predicate");
    assert_eq!(result["signatures"][0]["format"], "attestation");
    assert_eq!(result["signatures"][0]["predicateType"], SBOM_PREDICATE);
    assert_eq!(result["signatures"][0]["signer"], Value::Null);
}

#[test]
fn what_holds_no_bundle_is_no_signature() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let plain = |change: fn(&mut Value)| {
        let mut manifest = referrer(&pushed, b"x");
        manifest["layers"][0]["mediaType"] = "application/spdx+json".into();
        manifest["artifactType"] = "application/spdx+json".into();
        change(&mut manifest);
        put(&world, &pushed, &manifest);
    };
    plain(|_| ());
    plain(|manifest| manifest["layers"] = json!([]));
    plain(|manifest| manifest["layers"] = Value::Null);
    // Somebody else's digests are not ours to read.
    plain(|manifest| {
        manifest["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into();
    });
    // The listing calls it a bundle; the manifest is what counts.
    plain(|manifest| manifest["artifactType"] = BUNDLE.into());
    let nested = index(&[json!({
        "mediaType": media_type::MANIFEST, "digest": digest_of(b"x"), "size": 1,
    })]);
    let mut nested: Value = serde_json::from_slice(&nested).unwrap();
    nested["subject"] = referrer(&pushed, b"")["subject"].clone();
    let nested = nested.to_string().into_bytes();
    world.registry.put_manifest("charts/web", None, media_type::INDEX, nested);
    refuses(&world, &[&reference], 3, "unsigned", &["referrers API (6 found)"]);
    assert_eq!(statuses(&world.verdict(&[&reference])), ["other"; 6]);
}

#[test]
fn a_candidate_with_the_right_digest_and_no_bundle_in_it_is_refused() {
    let signed = {
        let world = World::new();
        let (_, pushed) = world.push_web();
        String::from_utf8(sign(&world, &usual(&pushed, "web", "1.4.2"))).unwrap()
    };
    for (bundle, words) in [
        (String::new(), "EOF"),
        ("nonsense".to_owned(), "expected"),
        ("{}".to_owned(), "missing field"),
        ("[]".to_owned(), "not a Sigstore bundle"),
        ("null".to_owned(), "not a Sigstore bundle"),
        (format!("{signed} "), "wrong signer or bytes"),
        (format!("{signed}x"), "trailing characters"),
        (format!("{signed}{signed}"), "trailing characters"),
        (signed.replacen("{", r#"{"mediaType":"x","#, 1), "appears twice"),
        (signed.replace("v0.3+json", "v0.9+json"), "v0.9"),
        (signed.replace("verificationMaterial", "verificationmaterial"), "missing field"),
        ("[".repeat(100_000), "recursion limit exceeded"),
    ] {
        let world = World::new();
        let (reference, pushed) = world.push_web();
        attach(&world, &pushed, bundle.as_bytes());
        let ended = world.verify(&[&reference]);
        match words {
            // Blanks behind the document are JSON; the bundle is another world's.
            "wrong signer or bytes" => drop(ended.exits(5).says("instance that is not trusted")),
            words => drop(ended.exits(5).says("not a Sigstore bundle").says(words)),
        }
    }
}

#[test]
fn a_signature_manifest_that_cannot_be_understood_is_refused() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    for (change, words) in [
        (
            (|manifest: &mut Value| {
                let layer = manifest["layers"][0].clone();
                manifest["layers"].as_array_mut().unwrap().push(layer);
            }) as fn(&mut Value),
            "it holds 2 bundles",
        ),
        (|manifest| manifest["layers"][0]["digest"] = "sha256:00".into(), "is not valid"),
        (|manifest| manifest["layers"][0]["size"] = "7".into(), "is not valid"),
    ] {
        let digest = attach_as(&world, &pushed, &bundle, change);
        let words = ["error: not a signature manifest: ", words];
        refuses(&world, &[&reference], 5, "malformed", &words);
        world.registry.delete_manifest("charts/web", &digest);
    }
}

#[test]
fn bytes_that_differ_from_their_digest_leave_a_candidate_open() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    let listed = attach(&world, &pushed, &bundle);
    let mut altered = bundle.clone();
    altered[20] ^= 1;
    world.registry.put_blob_as("charts/web", &digest_of(&bundle), altered);
    refuses(&world, &[&reference], 4, "malformed", &["the digest differs"]);
    // More than was announced is not read at all.
    world.registry.put_blob_as("charts/web", &digest_of(&bundle), vec![b' '; bundle.len() + 1]);
    refuses(&world, &[&reference], 4, "limit-reached", &["/blobs/sha256:"]);
    world.registry.put_blob("charts/web", bundle.clone());
    world.verify(&[&reference]).exits(0);
    let (_, manifest) = world.registry.manifest("charts/web", &listed).unwrap();
    let mut altered = manifest.to_vec();
    altered.push(b' ');
    world.registry.put_manifest_as("charts/web", &listed, media_type::MANIFEST, altered);
    refuses(&world, &[&reference], 4, "malformed", &["the digest differs", &listed]);
    world.registry.delete_manifest("charts/web", &listed);
    // What is inlined is held to the same digest.
    attach_as(&world, &pushed, &bundle, |manifest| {
        manifest["layers"][0]["data"] = "e30=".into();
    });
    refuses(&world, &[&reference], 4, "malformed", &["data inlined for sha256:", "size differs"]);
}

#[test]
fn hints_order_the_candidates_and_exclude_none() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    let digest = attach(&world, &pushed, &bundle);
    let plain = entry(&world, &pushed, &digest);
    for change in [
        json!({}),
        json!({"artifactType": ""}),
        json!({"artifactType": "application/spdx+json"}),
        json!({"artifactType": BUNDLE}),
        json!({"annotations": null}),
        json!({"artifactType": BUNDLE, "annotations": {"dev.sigstore.bundle.predicateType": SBOM_PREDICATE}}),
        json!({"annotations": {CREATED: "not a time"}}),
        json!({"mediaType": "application/octet-stream"}),
        json!({"size": 0}),
    ] {
        let mut listed = plain.clone();
        for (key, value) in change.as_object().unwrap() {
            listed[key] = value.clone();
        }
        list(&world, &pushed, &[listed]);
        world.verify(&[&reference]).exits(0).prints("Pinned: ");
    }
    // Behind nine that look better and are not.
    let mut entries: Vec<_> = (0..9)
        .map(|number| {
            let digest = attach(&world, &pushed, format!("{{\"n\":{number}}}").as_bytes());
            let mut entry = entry(&world, &pushed, &digest);
            entry["artifactType"] = BUNDLE.into();
            entry["annotations"] = json!({CREATED: "2030-01-01T00:00:00Z"});
            entry
        })
        .collect();
    entries.push(plain);
    list(&world, &pushed, &entries);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn entries_that_cannot_be_read_hide_none_of_the_others_and_are_not_passed_over() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let digest = attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    let broken = [
        json!({"mediaType": media_type::MANIFEST, "digest": "sha256:00", "size": 1}),
        json!({"mediaType": media_type::MANIFEST, "size": 1}),
        json!(7),
        Value::Null,
    ];
    list(&world, &pushed, &broken);
    let words = ["4 entries of the listing cannot be read"];
    refuses(&world, &[&reference], 4, "malformed", &words);
    let mut entries = broken.to_vec();
    entries.insert(2, entry(&world, &pushed, &digest));
    list(&world, &pushed, &entries);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_referrer_that_names_another_subject_counts_by_what_its_bundle_says() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    let digest = attach_as(&world, &pushed, &bundle, |manifest| {
        manifest["subject"]["digest"] = digest_of(b"another").into();
    });
    list(&world, &pushed, &[entry(&world, &pushed, &digest)]);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_signature_of_another_chart_is_not_covered() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let api = world.push(&Chart::new("api", "1.4.2"));
    attach(&world, &pushed, &sign(&world, &usual(&api, "api", "1.4.2")));
    let words = ["manifest not signed", &api.manifest_digest, &pushed.manifest_digest];
    refuses(&world, &[&reference], 5, "not-covered", &words);
    let other = statement(&[typed(media_type::MANIFEST, &digest_of(b"x")), bare(&digest_of(b"y"))]);
    attach(&world, &pushed, &sign(&world, &other));
    refuses(&world, &[&reference], 5, "not-covered", &["2 candidates were refused"]);
}
