//! `doctor --repair`: the index under a fallback tag is mended, and nothing in it is lost.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{
    Action, Fault, Options as RegistryOptions, Pushed, digest_of, media_type,
};
use helm_sigstore_kit::sigstore::Options;
use serde_json::{Value, json};

use crate::doctor_consumers::{assert_only_read, doctor, opinions};
use crate::sign_support::listed_by_tag;
use crate::support::World;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

fn tag(pushed: &Pushed) -> String {
    pushed.manifest_digest.replacen(':', "-", 1)
}

fn index(world: &World, pushed: &Pushed) -> String {
    let (_, bytes) = world.registry.manifest(&pushed.repository, &tag(pushed)).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn put_index(world: &World, pushed: &Pushed, text: &str) {
    let repository = &pushed.repository;
    world.registry.put_manifest(repository, Some(&tag(pushed)), media_type::INDEX, text.to_owned());
}

/// An entry of another tool for a manifest that is there, written as nobody else would.
fn foreign(world: &World, pushed: &Pushed, name: &str) -> String {
    let bytes =
        json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "tool": name}).to_string();
    let repository = &pushed.repository;
    let stored = bytes.clone().into_bytes();
    let digest = world.registry.put_manifest(repository, None, media_type::MANIFEST, stored);
    format!("{{ \"size\" : {},\"x-{name}\":[1.50, 1e3],\t\"digest\":\"{digest}\" }}", bytes.len())
}

/// Signs, and writes the index anew as an old cosign would have: the type of the config, no annotations, and the
/// entry twice; beside something of another tool. Answers that entry.
fn spoilt(world: &World) -> (String, Pushed, String) {
    let (reference, pushed) = world.signed_web();
    let mut entry = listed_by_tag(world, &pushed)[0].clone();
    entry["artifactType"] = json!(EMPTY);
    entry.as_object_mut().unwrap().remove("annotations");
    let other = foreign(world, &pushed, "other");
    put_index(
        world,
        &pushed,
        &format!(
            "{{\"schemaVersion\":2,\"note\":{{ \"a\":1.0 }},\"manifests\":[{entry},{other},{entry}]}}"
        ),
    );
    world.registry.reset_requests();
    (reference, pushed, other)
}

#[test]
fn wrong_types_missing_annotations_and_duplicates_are_told_and_then_mended() {
    let world = World::with_fallback_registry();
    let (reference, pushed, other) = spoilt(&world);
    let document = doctor(&world, &[&reference, "--for", "kyverno-bundle"], 5);
    assert_only_read(&world);
    let refused = &opinions(&document)["kyverno-bundle"];
    assert!(refused["why"].as_str().unwrap().contains("type in the listing"), "{refused:#}");
    let mend = refused["mend"].as_str().unwrap();
    assert!(mend.contains(" --repair"), "{mend}");
    let words: Vec<_> = mend.strip_prefix("helm-sigstore ").unwrap().split(' ').collect();
    let ended = world.run(&words).exits(5);
    ended
        .says(&format!("mending tag {}: artifactType of sha256:", tag(&pushed)))
        .prints(&format!("{EMPTY} -> {BUNDLE}\n"))
        .prints("Mended: duplicate entry of sha256:");
    let after = index(&world, &pushed);
    assert!(after.contains(&other) && after.contains("\"note\":{ \"a\":1.0 }"), "{after}");
    let listed: Value = serde_json::from_str(&after).unwrap();
    assert_eq!(listed["mediaType"], media_type::INDEX);
    let entries = listed["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{after}");
    let digest = entries[0]["digest"].as_str().unwrap();
    let (_, manifest) = world.registry.manifest(&pushed.repository, digest).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(entries[0]["artifactType"], BUNDLE);
    assert_eq!(entries[0]["annotations"], manifest["annotations"]);
    doctor(&world, &[&reference, "--for", "kyverno-bundle,cosign-3"], 0);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn nothing_is_written_where_nothing_is_wrong() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.signed_web();
    let before = index(&world, &pushed);
    let document = doctor(&world, &[&reference, "--repair", "--for", "cosign-3"], 0);
    assert_only_read(&world);
    assert_eq!(document["mended"], json!({"faults": [], "attached": [], "there": []}));
    assert_eq!(index(&world, &pushed), before);
    let ended = world.run(&["doctor", &reference, "--repair", "--for", "cosign-3"]).exits(0);
    ended.prints("Mended: nothing, as nothing was wrong\n");
}

#[test]
fn an_entry_is_believed_nothing_that_its_manifest_does_not_say() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.signed_web();
    let mut lying = listed_by_tag(&world, &pushed)[0].clone();
    lying["artifactType"] = json!("application/vnd.cncf.notary.signature");
    lying["size"] = json!(7);
    lying["mediaType"] = json!("application/json");
    // Nor is one of another chart given anything.
    let other = world.push(&Chart::new("api", "1.0.0"));
    let api = format!("{}:1.0.0", world.repository("api"));
    world.run(&["sign", &api]).exits(0);
    let theirs = listed_by_tag(&world, &other)[0]["digest"].as_str().unwrap().to_owned();
    let (_, bytes) = world.registry.manifest(&other.repository, &theirs).unwrap();
    world.registry.put_manifest(&pushed.repository, None, media_type::MANIFEST, bytes.to_vec());
    let stranger = json!({"digest": theirs, "size": bytes.len(), "mediaType": media_type::MANIFEST, "artifactType": EMPTY});
    let text =
        json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [lying, stranger]});
    put_index(&world, &pushed, &text.to_string());
    let document = doctor(&world, &[&reference, "--repair", "--for", "cosign-3"], 0);
    let fields: Vec<_> = document["mended"]["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["field"].clone())
        .collect();
    assert_eq!(fields, [json!("mediaType"), json!("artifactType"), json!("size")]);
    let entries = listed_by_tag(&world, &pushed);
    assert_eq!((&entries[0]["artifactType"], &entries[1]), (&json!(BUNDLE), &stranger));
}

#[test]
fn a_registry_that_serves_another_manifest_mends_nothing_with_it() {
    let world = World::with_fallback_registry();
    let (reference, pushed, _) = spoilt(&world);
    let digest = listed_by_tag(&world, &pushed)[0]["digest"].as_str().unwrap().to_owned();
    let before = index(&world, &pushed);
    let other = Action::ReplaceBody(b"{\"artifactType\":\"evil\",\"layers\":[]}".to_vec());
    world.registry.fault(Fault::new(&format!("/manifests/{digest}"), other));
    let document = doctor(&world, &[&reference], 4);
    let faults = document["listings"][1]["faults"].to_string();
    assert!(!faults.contains("evil") && !faults.contains("artifactType"), "{faults}");
    assert_eq!(index(&world, &pushed), before);
}

#[test]
fn a_tag_that_is_no_index_is_not_touched() {
    let registry = RegistryOptions { digest_tags: true, ..RegistryOptions::fallback() };
    let world = World::with(registry, Options::default());
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference, "--signature-format", "legacy"]).exits(0);
    world.registry.reset_requests();
    doctor(&world, &[&reference, "--repair", "--for", "cosign-3"], 0);
    assert_only_read(&world);
    let world = World::with_fallback_registry();
    let (reference, pushed) = (world.push_web().0, pushed);
    for text in [
        "{\"schemaVersion\":2,\"layers\":[]}",
        "{\"manifests\":[],\"config\":{}}",
        "{\"manifests\":[]",
    ] {
        put_index(&world, &pushed, text);
        world.registry.reset_requests();
        let ended = world.run(&["doctor", &reference, "--repair"]);
        assert!(ended.code == 3 || ended.code == 4, "{ended:?}");
        assert_only_read(&world);
        assert_eq!(index(&world, &pushed), text);
    }
}

#[test]
fn a_repair_that_a_slower_writer_undoes_is_made_again_and_theirs_stays() {
    let world = World::with_fallback_registry();
    let (reference, pushed, _) = spoilt(&world);
    let stale = index(&world, &pushed);
    let late = foreign(&world, &pushed, "late");
    // What they read before we wrote, and one entry more.
    let theirs = stale.replace("\"manifests\":[", &format!("\"manifests\":[{late},"));
    let (repository, name) = (pushed.repository.clone(), tag(&pushed));
    let undo = Action::run(move |store| {
        store.put_manifest(&repository, Some(&name), media_type::INDEX, theirs.clone());
    });
    let path = format!("/manifests/{}", tag(&pushed));
    world.registry.fault(Fault::new(&path, undo).method("PUT").times(1));
    doctor(&world, &[&reference, "--repair", "--for", "kyverno-bundle"], 0);
    let after = index(&world, &pushed);
    assert!(after.contains(&late) && !after.contains(EMPTY), "{after}");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 3);
}

#[test]
fn signers_and_repairs_that_run_at_once_all_stand() {
    let world = World::with_fallback_registry();
    let (reference, pushed, other) = spoilt(&world);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (world, reference) = (&world, &reference);
            scope.spawn(move || match number % 2 {
                0 => world.run(&["sign", reference]).exits(0),
                _ => world.run(&["doctor", reference, "--repair", "--for", "cosign-3"]).exits(0),
            });
        }
    });
    let after = index(&world, &pushed);
    assert!(after.contains(&other) && !after.contains(EMPTY), "{after}");
    // The first signature, four more, and the other tool's.
    assert_eq!(listed_by_tag(&world, &pushed).len(), 6, "{after}");
}

#[test]
fn a_bundle_that_was_kept_is_attached_again_and_a_second_time_is_there() {
    for registry in [RegistryOptions::fallback(), RegistryOptions::default()] {
        let world = World::with(registry, Options::default());
        let (reference, pushed) = world.push_web();
        let kept = world.argument("web.sigstore.json");
        world.run(&["sign", &reference, "--bundle-out", &kept]).exits(0);
        // A clean-up took the signature, and the list with it.
        for one in crate::sign_support::attached(&world, &pushed) {
            world.registry.delete_manifest(&pushed.repository, one["digest"].as_str().unwrap());
        }
        world.registry.delete_tag(&pushed.repository, &tag(&pushed));
        world.verify(&[&reference]).exits(3);
        let words = [&reference, "--repair", "--bundle", &kept, "--for", "cosign-3"];
        let document = doctor(&world, &words, 0);
        assert_eq!(document["mended"]["attached"].as_array().unwrap().len(), 1, "{document:#}");
        world.verify(&[&reference]).exits(0);
        world.registry.reset_requests();
        let document = doctor(&world, &words, 0);
        assert_eq!(document["mended"]["there"], json!([kept]));
        assert_only_read(&world);
    }
}

/// Signs, keeps the bundle, and lets `spoil` change what the listed manifest says; or what is there of it.
fn kept_and_spoilt(
    registry: RegistryOptions,
    spoil: impl Fn(&World, &Pushed, &mut Value),
) -> (World, String, Pushed, String) {
    let world = World::with(registry, Options::default());
    let (reference, pushed) = world.push_web();
    let kept = world.argument("web.sigstore.json");
    world.run(&["sign", &reference, "--bundle-out", &kept]).exits(0);
    let repository = &pushed.repository;
    let mut entry = crate::sign_support::attached(&world, &pushed)[0].clone();
    let digest = entry["digest"].as_str().unwrap().to_owned();
    let (_, bytes) = world.registry.manifest(repository, &digest).unwrap();
    let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
    spoil(&world, &pushed, &mut manifest);
    let changed = manifest.to_string().into_bytes();
    if changed != bytes {
        world.registry.delete_manifest(repository, &digest);
        entry["size"] = json!(changed.len());
        entry["digest"] =
            json!(world.registry.put_manifest(repository, None, media_type::MANIFEST, changed));
        if !listed_by_tag(&world, &pushed).is_empty() {
            let text =
                json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [entry]});
            put_index(&world, &pushed, &text.to_string());
        }
    }
    world.registry.reset_requests();
    (world, reference, pushed, kept)
}

#[test]
fn a_listed_manifest_that_does_not_attach_the_bundle_does_not_stand_for_it() {
    let another = |_: &World, pushed: &Pushed, manifest: &mut Value| {
        manifest["subject"]["digest"] = json!(pushed.layer_digest);
    };
    let nothing = |_: &World, _: &Pushed, manifest: &mut Value| {
        manifest.as_object_mut().unwrap().remove("subject");
    };
    let two = |_: &World, _: &Pushed, manifest: &mut Value| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"].as_array_mut().unwrap().push(layer);
    };
    type Spoil<'a> = &'a dyn Fn(&World, &Pushed, &mut Value);
    let cases: [(RegistryOptions, Spoil<'_>); 4] = [
        (RegistryOptions::fallback(), &another),
        (RegistryOptions::fallback(), &nothing),
        (RegistryOptions::fallback(), &two),
        (RegistryOptions::default(), &two),
    ];
    for (registry, spoil) in cases {
        let (world, reference, _, kept) = kept_and_spoilt(registry, spoil);
        let words = [&reference, "--repair", "--bundle", &kept, "--for", "cosign-3"];
        let document = doctor(&world, &words, 0);
        assert_eq!(document["mended"]["attached"].as_array().unwrap().len(), 1, "{document:#}");
        world.verify(&[&reference]).exits(0);
        let document = doctor(&world, &words, 0);
        assert_eq!(document["mended"]["there"], json!([kept]));
    }
}

#[test]
fn a_bundle_that_is_listed_and_whose_bytes_are_gone_is_attached_again() {
    let bundle = |world: &World, pushed: &Pushed| {
        let entry = &crate::sign_support::attached(world, pushed)[0];
        let digest = entry["digest"].as_str().unwrap();
        let (_, bytes) = world.registry.manifest(&pushed.repository, digest).unwrap();
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
    };
    let gone = |world: &World, pushed: &Pushed| {
        world.registry.delete_blob(&pushed.repository, &bundle(world, pushed));
    };
    let other = |world: &World, pushed: &Pushed| {
        world.registry.put_blob_as(&pushed.repository, &bundle(world, pushed), "something else");
    };
    for spoil in [&gone as &dyn Fn(&World, &Pushed), &other] {
        let (world, reference, pushed, kept) =
            kept_and_spoilt(RegistryOptions::default(), |world, pushed, _| spoil(world, pushed));
        let words = [&reference, "--repair", "--bundle", &kept, "--for", "cosign-3"];
        let document = doctor(&world, &words, 0);
        assert_eq!(document["mended"]["attached"].as_array().unwrap().len(), 1, "{document:#}");
        let blob = world.registry.blob(&pushed.repository, &bundle(&world, &pushed)).unwrap();
        assert_eq!(blob, std::fs::read(&kept).unwrap());
    }
    // Who cannot be asked may have it.
    let (world, reference, _, kept) = kept_and_spoilt(RegistryOptions::default(), |_, _, _| {});
    world.registry.fault(Fault::new("/blobs/sha256:", Action::status(503)).method("GET"));
    world.run(&["doctor", &reference, "--repair", "--bundle", &kept]).exits(4).says("503");
    assert_only_read(&world);
}

#[test]
fn a_bundle_that_is_not_about_this_chart_is_refused_before_anything_is_written() {
    let world = World::with_fallback_registry();
    let (reference, pushed, _) = spoilt(&world);
    let before = index(&world, &pushed);
    world.push(&Chart::new("api", "1.0.0"));
    let api = format!("{}:1.0.0", world.repository("api"));
    let other = world.argument("api.sigstore.json");
    world.run(&["sign", &api, "--bundle-out", &other]).exits(0);
    let (junk, missing) = (world.argument("junk.json"), world.argument("missing.json"));
    std::fs::write(&junk, "{}").unwrap();
    let old = world.argument("old.json");
    let text = std::fs::read_to_string(&other).unwrap();
    std::fs::write(&old, text.replace("bundle.v0.3+json", "bundle+json;version=0.2")).unwrap();
    world.registry.reset_requests();
    for (file, code) in [(&other, 5), (&junk, 5), (&missing, 2), (&old, 5)] {
        let ended = world.run(&["doctor", &reference, "--repair", "--bundle", file]).exits(code);
        ended.says(file);
        assert_only_read(&world);
    }
    assert_eq!(index(&world, &pushed), before);
    // By somebody who is not trusted.
    let kept = world.argument("web.sigstore.json");
    world.run(&["sign", &reference, "--bundle-out", &kept]).exits(0);
    world.registry.reset_requests();
    world
        .run(&["doctor", &reference, "--repair", "--bundle", &kept, "--github", "mallory/charts"])
        .exits(5)
        .says("wrong signer");
    assert_only_read(&world);
}

#[test]
fn what_is_listed_and_gone_is_told_and_stays_listed() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.signed_web();
    let digest = listed_by_tag(&world, &pushed)[0]["digest"].as_str().unwrap().to_owned();
    world.registry.delete_manifest(&pushed.repository, &digest);
    let document = doctor(&world, &[&reference, "--repair"], 3);
    assert_eq!(document["listings"][1]["gone"], json!([digest]));
    assert_eq!(document["open"], false);
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
    world.run(&["doctor", &reference]).exits(3).prints("Clean-up: 1 listed manifests are gone");
}

#[test]
fn an_index_of_many_entries_is_looked_at_within_bounds() {
    let registry = RegistryOptions { check_references: false, ..RegistryOptions::fallback() };
    let world = World::with(registry, Options::default());
    let (reference, pushed, other) = spoilt(&world);
    let many = |count: usize| {
        let entries: Vec<_> = (0..count)
            .map(|number| {
                let digest = digest_of(number.to_string().as_bytes());
                format!("{{\"digest\":\"{digest}\",\"size\":1,\"artifactType\":\"x\"}}")
            })
            .collect();
        entries.join(",")
    };
    let spoilt = index(&world, &pushed);
    let filled = spoilt.replace("\"manifests\":[", &format!("\"manifests\":[{},", many(10_000)));
    put_index(&world, &pushed, &filled);
    world.registry.reset_requests();
    let began = std::time::Instant::now();
    // Those first that may be signatures: what is wrong is found, and mended, among 10,000.
    let document = doctor(&world, &[&reference, "--repair"], 4);
    assert!(began.elapsed() < std::time::Duration::from_secs(90), "{:?}", began.elapsed());
    assert!(document["mended"]["faults"].to_string().contains("artifactType"));
    assert!(document["listings"][1]["notRead"].as_u64().unwrap() > 8_000);
    let after = index(&world, &pushed);
    assert!(after.contains(&other) && !after.contains(EMPTY));
    assert_eq!(listed_by_tag(&world, &pushed).len(), 10_002);
    // 100,000 are more than is read of a manifest.
    let filled = spoilt.replace("\"manifests\":[", &format!("\"manifests\":[{},", many(100_000)));
    put_index(&world, &pushed, &filled);
    world.registry.reset_requests();
    let document = doctor(&world, &[&reference, "--repair"], 4);
    assert_only_read(&world);
    assert_eq!(document["listings"][1]["answered"], false);
    assert_eq!(index(&world, &pushed), filled);
}

#[test]
fn without_the_right_to_push_nothing_is_mended_and_it_says_so() {
    let world = World::with_fallback_registry();
    let (reference, pushed, _) = spoilt(&world);
    let before = index(&world, &pushed);
    world.registry.fault(Fault::new("/manifests/sha256-", Action::status(403)).method("PUT"));
    world.run(&["doctor", &reference, "--repair"]).exits(4).says("403");
    assert_eq!(index(&world, &pushed), before);
}
