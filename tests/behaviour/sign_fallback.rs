//! Registries without the referrers API: an index under a tag, which several writers share.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{
    Action, Fault, Options as RegistryOptions, Pushed, Referrers, digest_of, media_type,
};
use helm_sigstore_kit::sigstore::Options;
use serde_json::{Value, json};

use crate::sign_support::{
    assert_nothing_public, attached, listed_by_tag, read_signature, sign_json,
};
use crate::support::World;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn with(registry: RegistryOptions) -> World {
    World::with(registry, Options::default())
}

fn tag(pushed: &Pushed) -> String {
    pushed.manifest_digest.replacen(':', "-", 1)
}

/// Stores something of another tool that refers to the chart; answers its entry as that tool wrote it.
fn foreign(world: &World, pushed: &Pushed, name: &str) -> String {
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "tool": name});
    let bytes = manifest.to_string();
    let digest = world.registry.put_manifest(
        &pushed.repository,
        None,
        media_type::MANIFEST,
        bytes.clone().into_bytes(),
    );
    // No tool of ours writes keys in this order, spaces like these, or numbers like that.
    format!(
        "{{ \"size\" : {},\"x-{name}\":[1.50, 1e3],\t\"digest\":\"{digest}\", \"mediaType\":\"{}\" }}",
        bytes.len(),
        media_type::MANIFEST
    )
}

fn put_index(world: &World, pushed: &Pushed, text: &str) {
    let repository = &pushed.repository;
    world.registry.put_manifest(repository, Some(&tag(pushed)), media_type::INDEX, text.to_owned());
}

fn index(world: &World, pushed: &Pushed) -> String {
    let (_, bytes) = world.registry.manifest(&pushed.repository, &tag(pushed)).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_entry_carries_what_others_decide_by() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!(code, 0);
    let entries = listed_by_tag(&world, &pushed);
    let [entry] = entries.as_slice() else { panic!("{entries:#?}") };
    let digest = entry["digest"].as_str().unwrap();
    let (_, manifest) = world.registry.manifest(&pushed.repository, digest).unwrap();
    let annotations = read_signature(&world, &pushed, digest).manifest["annotations"].clone();
    let expected = json!({
        "mediaType": media_type::MANIFEST,
        "artifactType": BUNDLE,
        "digest": digest_of(&manifest),
        "size": manifest.len(),
        "annotations": annotations,
    });
    assert_eq!(*entry, expected);
    assert_eq!(result["attached"], json!([{"place": "fallback-tag", "digest": digest}]));
    let (kind, bytes) = world.registry.manifest(&pushed.repository, &tag(&pushed)).unwrap();
    assert_eq!(kind, media_type::INDEX);
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (&index["schemaVersion"], &index["mediaType"]),
        (&json!(2), &json!(media_type::INDEX))
    );
}

#[test]
fn the_words_say_that_it_was_the_fallback_tag() {
    let world = World::with_fallback_registry();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference]).exits(0).prints(" (fallback tag)\n");
}

#[test]
fn what_others_wrote_into_the_index_stays_byte_for_byte() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let other = foreign(&world, &pushed, "other");
    let text = format!(
        "{{\"annotations\": {{\"b\":\"1\",  \"a\":\"2\"}},\n \"mediaType\":\"{}\",\"manifests\":[{other}],\"schemaVersion\":2}}",
        media_type::INDEX
    );
    put_index(&world, &pushed, &text);
    world.run(&["sign", &reference]).exits(0);
    let after = index(&world, &pushed);
    assert!(after.contains(&other), "{after}");
    assert!(after.contains("{\"b\":\"1\",  \"a\":\"2\"}"), "{after}");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 2);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_index_that_another_writer_replaced_after_our_write_is_merged() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let other = foreign(&world, &pushed, "other");
    let theirs = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{other}]}}",
        media_type::INDEX
    );
    let (repository, name) = (pushed.repository.clone(), tag(&pushed));
    let bytes = theirs.clone();
    // Twice in a row: the answer to our PUT comes when ours is already gone again.
    let replace = Action::run(move |store| {
        store.put_manifest(&repository, Some(&name), media_type::INDEX, bytes.clone());
    });
    let path = format!("/manifests/{}", tag(&pushed));
    world.registry.fault(Fault::new(&path, replace).method("PUT").times(2));
    world.run(&["sign", &reference]).exits(0);
    let after = index(&world, &pushed);
    assert!(after.contains(&other), "{after}");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 2);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_time_out_while_we_wait_for_others_says_that_it_may_not_be_attached() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let empty =
        format!("{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[]}}", media_type::INDEX);
    let (repository, name) = (pushed.repository.clone(), tag(&pushed));
    let erase = Action::run(move |store| {
        store.put_manifest(&repository, Some(&name), media_type::INDEX, empty.clone());
    });
    let path = format!("/manifests/{}", tag(&pushed));
    world.registry.fault(Fault::new(&path, erase).method("PUT"));
    world
        .run(&["sign", &reference, "--timeout", "3s"])
        .exits(4)
        .says("timed out after 3 s while waiting for the signature to stay listed")
        .says("perhaps not attached");
    world.registry.clear_faults();
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
}

#[test]
fn an_immutable_fallback_tag_takes_one_signature_and_says_what_to_ask_for_the_next() {
    let world = with(RegistryOptions { immutable_tags: true, ..RegistryOptions::fallback() });
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let ended = world.run(&["sign", &reference]).exits(4).says(": 412");
    ended.says("tags are immutable here").says("exempt the tags sha256-*").says("not attached");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
}

/// GitLab: no referrers API, and a tag that spells a digest is that digest.
#[test]
fn a_tag_that_answers_with_the_chart_itself_is_found_out_before_anything_is_public() {
    let world = with(RegistryOptions { digest_tags: true, ..RegistryOptions::fallback() });
    let (reference, pushed) = world.push_web();
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!((code, &result["reason"]), (4, &json!("unsupported-format")), "{result:#}");
    world.run(&["sign", &reference]).exits(4).says(&tag(&pushed)).says("no index");
    assert_nothing_public(&world);
    // Nor is it read as one: of a chart that is not signed every place says that there is nothing.
    world.verify(&[&reference]).exits(3).says(&format!("tag {} (no index)", tag(&pushed)));
    assert_eq!(world.registry.tags(&pushed.repository), ["1.4.2"]);
    let (_, manifest) = world.registry.manifest(&pushed.repository, "1.4.2").unwrap();
    assert_eq!(manifest.as_ref(), pushed.manifest.as_slice());
}

#[test]
fn a_tag_that_holds_something_else_is_not_overwritten() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    for document in [
        "{\"schemaVersion\":2,\"layers\":[]}",
        "{\"schemaVersion\":2,\"manifests\":[],\"manifests\":[]}",
        "{\"schemaVersion\":2,\"manifests\":[],\"config\":{}}",
    ] {
        put_index(&world, &pushed, document);
        world.run(&["sign", &reference]).exits(4).says(&tag(&pushed));
        assert_eq!(index(&world, &pushed), document);
    }
    assert_nothing_public(&world);
}

#[test]
fn a_registry_that_refuses_the_artifact_type_is_undecided_and_lists_nothing() {
    let types = [media_type::CHART_CONFIG, "application/vnd.oci.empty.v1+json"];
    let world = with(RegistryOptions {
        allowed_types: Some(types.map(str::to_owned).to_vec()),
        ..RegistryOptions::fallback()
    });
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(4).says("unknown media type").says("400");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 0);
    assert_eq!(attached(&world, &pushed).len(), 0);
}

#[test]
fn a_promise_to_list_that_is_not_kept_leads_to_the_tag() {
    let world = with(RegistryOptions { oci_subject: Some(true), ..RegistryOptions::fallback() });
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0).prints("(fallback tag)");
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_listing_that_never_shows_ours_is_no_success() {
    let world = with(RegistryOptions { referrers: Referrers::Empty, ..RegistryOptions::default() });
    let (reference, pushed) = world.push_web();
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!((code, result["verdict"].as_str()), (4, Some("undecided")));
    assert!(result["message"].as_str().unwrap().contains("does not list it"), "{result:#}");
    assert_eq!(result["attached"], json!([]));
    assert_eq!(listed_by_tag(&world, &pushed).len(), 0);
}

#[test]
fn a_listing_that_shows_ours_a_little_later_is_waited_for() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let nothing = helm_sigstore_kit::registry::index(&[]);
    let late = Fault::new("/referrers/", Action::ReplaceBody(nothing)).times(2);
    world.registry.fault(late);
    world.run(&["sign", &reference]).exits(0).prints("(referrers API)");
    assert_eq!(attached(&world, &pushed).len(), 1);
    assert_eq!(world.registry.tags(&pushed.repository), ["1.4.2"]);
}

#[test]
fn ours_is_found_on_a_later_page_of_the_listing() {
    let world = with(RegistryOptions { page_size: 2, ..RegistryOptions::default() });
    let (reference, pushed) = world.push_web();
    for number in 0..5 {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "number": number,
            "subject": {"digest": pushed.manifest_digest, "size": 1, "mediaType": media_type::MANIFEST},
        });
        let bytes = manifest.to_string().into_bytes();
        world.registry.put_manifest(&pushed.repository, None, media_type::MANIFEST, bytes);
    }
    world.run(&["sign", &reference]).exits(0).prints("(referrers API)");
    assert_eq!(attached(&world, &pushed).len(), 6);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_entry_that_a_slower_writer_takes_away_while_we_wait_is_put_back() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let other = foreign(&world, &pushed, "other");
    let theirs = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{other}]}}",
        media_type::INDEX
    );
    let (store, subject, name) =
        (world.registry.store(), pushed.manifest_digest.clone(), tag(&pushed));
    let repository = pushed.repository.clone();
    let slower = std::thread::spawn(move || {
        while store.fallback_referrers(&repository, &subject).is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        // It read before we wrote; a look right after our write would have shown ours.
        std::thread::sleep(std::time::Duration::from_millis(400));
        store.put_manifest(&repository, Some(&name), media_type::INDEX, theirs);
    });
    world.run(&["sign", &reference]).exits(0);
    slower.join().unwrap();
    assert!(index(&world, &pushed).contains(&other));
    assert_eq!(listed_by_tag(&world, &pushed).len(), 2);
}

#[test]
fn who_sees_others_write_looks_again_until_it_is_quiet() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let (store, subject, name) =
        (world.registry.store(), pushed.manifest_digest.clone(), tag(&pushed));
    let repository = pushed.repository.clone();
    let others = ["quick", "slow"].map(|other| foreign(&world, &pushed, other));
    let alone = |entry: &str| {
        let kind = media_type::INDEX;
        format!("{{\"schemaVersion\":2,\"mediaType\":\"{kind}\",\"manifests\":[{entry}]}}")
    };
    let (quick, slow) = (others[0].clone(), alone(&others[1]));
    let writers = std::thread::spawn(move || {
        let pause = |millis| std::thread::sleep(std::time::Duration::from_millis(millis));
        while store.fallback_referrers(&repository, &subject).is_empty() {
            pause(10);
        }
        // One adds its entry to ours.
        pause(300);
        let (_, ours) = store.manifest(&repository, &name).unwrap();
        let ours = String::from_utf8(ours.to_vec()).unwrap();
        let added = ours.replacen("\"manifests\":[", &format!("\"manifests\":[{quick},"), 1);
        store.put_manifest(&repository, Some(&name), media_type::INDEX, added);
        // Another read before us all, and takes longer than our first look.
        pause(1350);
        store.put_manifest(&repository, Some(&name), media_type::INDEX, slow);
    });
    world.run(&["sign", &reference]).exits(0);
    writers.join().unwrap();
    assert!(index(&world, &pushed).contains(&others[1]));
    assert_eq!(listed_by_tag(&world, &pushed).len(), 2, "ours was put back beside the slow one");
}

#[test]
fn several_charts_in_one_run_share_the_wait() {
    let world = World::with_fallback_registry();
    let names = ["a", "b", "c", "d", "e", "f"];
    let pushed = names.map(|name| world.push(&Chart::new(name, "1.0.0")));
    let references = names.map(|name| format!("{}:1.0.0", world.repository(name)));
    let mut words = vec!["sign"];
    words.extend(references.iter().map(String::as_str));
    let began = std::time::Instant::now();
    world.run(&words).exits(0);
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(6), "six waits of a second took {took:?}");
    for pushed in &pushed {
        assert_eq!(listed_by_tag(&world, pushed).len(), 1);
    }
}

#[test]
fn signers_that_run_at_once_are_all_listed() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| world.run(&["sign", &reference]).exits(0));
        }
    });
    assert_eq!(listed_by_tag(&world, &pushed).len(), 8);
}
