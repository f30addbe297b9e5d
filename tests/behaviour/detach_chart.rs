//! `detach`: one signature goes, from wherever it hangs, and nothing of anybody else's with it.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{
    Action, Auth, Bearer, Fault, Options, Pushed, Referrers, media_type,
};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;
use serde_json::{Value, json};

use crate::cli_json::follows;
use crate::cli_support::Setting;
use crate::sign_support::{attached, listed_by_tag};
use crate::support::{Ended, World};

const SCHEMA: &str = include_str!("../../docs/detach.schema.json");

/// A chart that was signed `count` times, and the digests of what that attached, in order.
fn signed(world: &World, count: usize) -> (String, Pushed, Vec<String>) {
    let (reference, pushed) = world.push_web();
    let mut digests = Vec::new();
    for _ in 0..count {
        let ended = world.run(&["sign", &reference, "-o", "json"]).exits(0);
        let attached = ended.json()["results"][0]["attached"][0]["digest"].clone();
        digests.push(attached.as_str().unwrap().to_owned());
    }
    world.registry.reset_requests();
    (reference, pushed, digests)
}

fn digests(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// Requests that change something.
fn writes(world: &World) -> Vec<String> {
    let requests = world.registry.requests();
    let writes = requests.iter().filter(|one| !matches!(one.method.as_str(), "GET" | "HEAD"));
    writes.map(|request| request.line()).collect()
}

fn detach(world: &World, reference: &str, digest: &str) -> Ended {
    world.run(&["detach", reference, "--digest", digest, "--yes"])
}

/// The document of `detach -o json`, held to its schema.
#[track_caller]
fn document(world: &World, reference: &str, digest: &str, code: u8) -> Value {
    let words = ["detach", reference, "--digest", digest, "--yes", "-o", "json"];
    let document = world.run(&words).exits(code).json();
    follows(SCHEMA, &document);
    assert_eq!(document["exitCode"], code);
    document
}

#[test]
fn one_of_two_signatures_goes_and_the_other_still_verifies() {
    let world = World::new();
    let (reference, pushed, made) = signed(&world, 2);
    let ended = detach(&world, &reference, &made[0]).exits(0);
    assert!(ended.stdout.contains(&format!("Detached from: {reference} (")), "{ended:?}");
    assert!(ended.stdout.contains(&format!("{}  signature (bundle), ", made[0])), "{ended:?}");
    assert!(ended.stdout.contains("referrers API\n"), "{ended:?}");
    assert!(ended.stdout.contains("    Signed by (claimed): https://"), "{ended:?}");
    assert!(ended.stdout.ends_with("    removed\n"), "{ended:?}");
    assert_eq!(digests(&attached(&world, &pushed)), [made[1].clone()]);
    assert!(world.registry.manifest(&pushed.repository, &made[0]).is_none());
    world.verify(&[&reference]).exits(0);
    detach(&world, &reference, &made[1]).exits(0);
    world.verify(&[&reference]).exits(3);
    // The chart itself is untouched.
    assert!(world.registry.manifest(&pushed.repository, &pushed.manifest_digest).is_some());
}

#[test]
fn several_digests_are_all_found_before_anything_is_removed() {
    let world = World::new();
    let (reference, pushed, made) = signed(&world, 2);
    let unknown = format!("sha256:{}", "7".repeat(64));
    let words = ["detach", &reference, "--yes", "--digest", &made[0], "--digest", &unknown];
    world.run(&words).exits(2).says("no such attachment").says(&unknown);
    assert_eq!(writes(&world), Vec::<String>::new());
    let words = ["detach", &reference, "--yes", "--digest", &made[0], "--digest", &made[1]];
    world.run(&words).exits(0);
    assert_eq!(attached(&world, &pushed), Vec::<Value>::new());
}

#[test]
fn the_fallback_index_loses_the_entry_and_keeps_the_others_byte_for_byte() {
    // What another's entry names need not be there.
    let registry = Options { check_references: false, ..Options::fallback() };
    let world = World::with(registry, SigstoreOptions::default());
    let (reference, pushed, made) = signed(&world, 2);
    let tag = pushed.manifest_digest.replacen(':', "-", 1);
    let (_, bytes) = world.registry.manifest(&pushed.repository, &tag).unwrap();
    let before = String::from_utf8(bytes.to_vec()).unwrap();
    // Another's entry, spelt in a way of its own, and one that nobody can read.
    let odd = format!(r#"{{"x": 1.50 ,"size":2,"digest":"sha256:{}"}}"#, "4".repeat(64));
    let unread = r#"{"digest":"sha512:00", "size":1}"#;
    let edited =
        before.replacen("\"manifests\":[", &format!("\"manifests\":[ {odd} ,{unread},"), 1);
    let bytes = edited.clone().into_bytes();
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::INDEX, bytes);
    let removed = document(&world, &reference, &made[0], 0);
    assert_eq!(removed["detached"][0]["state"], "removed");
    assert_eq!(removed["detached"][0]["place"], "fallback-tag");
    assert_eq!(removed["detached"][0]["note"], Value::Null);
    let (_, bytes) = world.registry.manifest(&pushed.repository, &tag).unwrap();
    let after = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(after.contains(&odd) && after.contains(unread), "{after}");
    assert!(after.contains(&made[1]) && !after.contains(&made[0]), "{after}");
    // The manifest goes too: a registry that learns to list would show it again.
    assert!(world.registry.manifest(&pushed.repository, &made[0]).is_none());
    assert!(world.registry.manifest(&pushed.repository, &made[1]).is_some());
}

#[test]
fn where_nothing_can_be_deleted_the_index_is_enough_and_says_what_stays() {
    let world = World::with_fallback_registry();
    let (reference, pushed, made) = signed(&world, 1);
    world.registry.fault(Fault::new("/manifests/", Action::status(405)).method("DELETE"));
    let ended = detach(&world, &reference, &made[0]).exits(0);
    let stays = format!("its manifest {} stays, and nothing lists it: ", made[0]);
    assert!(ended.stdout.contains(&stays) && ended.stdout.contains("405"), "{ended:?}");
    assert_eq!(listed_by_tag(&world, &pushed), Vec::<Value>::new());
    world.verify(&[&reference]).exits(3);
    // What became empty is an index still, and the next signature is listed there.
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(listed_by_tag(&world, &pushed).len(), 1);
}

/// Some registries take no index that names something that is gone, so that nobody can sign there any more.
#[test]
fn an_entry_of_something_that_is_gone_can_be_taken_out_too() {
    let world = World::with_fallback_registry();
    let (reference, pushed, made) = signed(&world, 2);
    world.registry.delete_manifest(&pushed.repository, &made[0]);
    world.run(&["sign", &reference]).exits(4).says("names something that is gone");
    let gone = document(&world, &reference, &made[0], 0);
    assert_eq!(gone["detached"][0]["kind"], "unknown");
    assert_eq!(digests(&listed_by_tag(&world, &pushed)), [made[1].clone()]);
    world.run(&["sign", &reference]).exits(0);
}

#[test]
fn a_registry_that_lists_by_itself_and_deletes_nothing_keeps_it_and_says_so() {
    let world = World::new();
    let (reference, pushed, made) = signed(&world, 1);
    world.registry.fault(Fault::new("/manifests/", Action::status(405)).method("DELETE"));
    let ended = detach(&world, &reference, &made[0]).exits(4);
    assert!(ended.stderr.contains("error: not all of it was removed: oci://"), "{ended:?}");
    assert!(ended.stderr.contains("deletion is switched off there"), "{ended:?}");
    assert!(ended.stdout.contains("    still attached\n"), "{ended:?}");
    let kept = document(&world, &reference, &made[0], 4);
    assert_eq!(kept["detached"][0]["state"], "attached");
    let hint = kept["hint"].as_str().unwrap();
    assert!(hint.contains(" detach oci://") && hint.ends_with(&made[0]), "{hint}");
    assert_eq!(digests(&attached(&world, &pushed)), made);
    // Once it deletes, the same command completes it.
    world.registry.clear_faults();
    detach(&world, &reference, &made[0]).exits(0);
    assert_eq!(attached(&world, &pushed), Vec::<Value>::new());
}

#[test]
fn a_registry_with_the_api_and_an_index_of_old_writers_loses_it_in_both() {
    let world = World::new();
    let (reference, pushed, made) = signed(&world, 2);
    let tag = pushed.manifest_digest.replacen(':', "-", 1);
    let index = helm_sigstore_kit::registry::index(&attached(&world, &pushed));
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::INDEX, index);
    // Half done: the index is written and the manifest cannot be deleted.
    world.registry.fault(Fault::once("/manifests/", Action::status(403)).method("DELETE"));
    let half = document(&world, &reference, &made[0], 4);
    let states: Vec<_> = half["detached"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["place"].as_str().unwrap().to_owned(), one["state"].as_str().unwrap().to_owned())
        })
        .collect();
    let state = |place: &str, state: &str| (place.to_owned(), state.to_owned());
    assert_eq!(states, [state("referrers", "attached"), state("fallback-tag", "removed")]);
    assert_eq!(digests(&listed_by_tag(&world, &pushed)), [made[1].clone()]);
    assert_eq!(attached(&world, &pushed).len(), 2);
    detach(&world, &reference, &made[0]).exits(0);
    assert_eq!(digests(&attached(&world, &pushed)), [made[1].clone()]);
    assert_eq!(digests(&listed_by_tag(&world, &pushed)), [made[1].clone()]);
}

#[test]
fn what_is_attached_to_another_chart_is_refused_and_nothing_is_asked_of_it() {
    let world = World::new();
    let (reference, _, made) = signed(&world, 1);
    let other = world.push(&Chart::new("web", "2.0.0"));
    let second = format!("{}:2.0.0", world.repository("web"));
    let ended = detach(&world, &second, &made[0]).exits(5);
    assert!(ended.stderr.contains("error: not attached to this chart: oci://"), "{ended:?}");
    assert!(ended.stderr.contains("it is attached to sha256:"), "{ended:?}");
    // A chart, a layer of it and nothing at all are no attachments either.
    detach(&world, &second, &other.manifest_digest).exits(2).says("it is of the chart itself");
    detach(&world, &reference, &other.manifest_digest).exits(5).says("not attached");
    world.run(&["detach", &second, "--digest", "sha256:7e60", "--yes"]).exits(2).says("--digest");
    world.run(&["detach", &second, "--yes"]).exits(2);
    assert_eq!(writes(&world), Vec::<String>::new());
}

#[test]
fn a_place_that_does_not_answer_stops_it_before_anything_is_removed() {
    let world = World::new();
    let (reference, pushed, made) = signed(&world, 1);
    let tag = pushed.manifest_digest.replacen(':', "-", 1);
    for silent in [format!("/manifests/{tag}"), format!("{tag}.sig"), "/referrers/".to_owned()] {
        world.registry.fault(Fault::new(&silent, Action::status(500)));
        let ended = detach(&world, &reference, &made[0]).exits(4);
        assert!(ended.stderr.contains("asking "), "{ended:?}");
        world.registry.clear_faults();
    }
    assert_eq!(writes(&world), Vec::<String>::new());
}

#[test]
fn an_api_that_nobody_may_ask_does_not_keep_it_in_the_index() {
    let world = World::with(
        Options { referrers: Referrers::Status(403), ..Options::default() },
        SigstoreOptions::default(),
    );
    let (reference, pushed, made) = signed(&world, 1);
    let ended = detach(&world, &reference, &made[0]).exits(0);
    assert!(ended.stderr.contains("warning: referrers API was not read in full"), "{ended:?}");
    assert_eq!(listed_by_tag(&world, &pushed), Vec::<Value>::new());
}

#[test]
fn what_something_else_needs_is_not_deleted() {
    let world = World::new();
    let (reference, pushed, made) = signed(&world, 1);
    let repository = &pushed.repository;
    world.registry.tag(repository, "keep", &made[0]);
    let ended = detach(&world, &reference, &made[0]).exits(5);
    assert!(ended.stderr.contains("error: something else needs it: oci://"), "{ended:?}");
    assert!(ended.stderr.contains("tag keep leads to it"), "{ended:?}");
    world.registry.delete_tag(repository, "keep");
    // Somebody has signed the signature.
    let counter = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
            "digest": world.registry.put_blob(repository, "{}")},
        "layers": [], "subject": {"mediaType": media_type::MANIFEST, "digest": made[0], "size": 1},
    });
    let bytes = counter.to_string().into_bytes();
    let counter = world.registry.put_manifest(repository, None, media_type::MANIFEST, bytes);
    let ended = detach(&world, &reference, &made[0]).exits(5);
    assert!(ended.stderr.contains("are attached to it in turn"), "{ended:?}");
    world.registry.delete_manifest(repository, &counter);
    assert_eq!(writes(&world), Vec::<String>::new());
    detach(&world, &reference, &made[0]).exits(0);
}

#[test]
fn what_something_comes_to_need_while_a_person_thinks_is_not_deleted_either() {
    let world = World::new();
    let (reference, pushed, made) = signed(&world, 1);
    let (repository, digest) = (pushed.repository.clone(), made[0].clone());
    let keep = Action::run(move |store| store.tag(&repository, "keep", &digest));
    // After all tags were read, and before the deletion.
    world.registry.fault(Fault::once("/tags/list", keep).method("GET"));
    let refused = document(&world, &reference, &made[0], 5);
    assert_eq!(refused["reason"], "wrong-chart");
    assert!(refused["message"].as_str().unwrap().contains("tag keep leads to it"), "{refused:#}");
    assert_eq!(refused["detached"][0]["state"], "attached");
    assert_eq!(writes(&world), Vec::<String>::new());
    world.verify(&[&reference]).exits(0);
    // Of what only an index lists the entry goes, and its manifest stays.
    let world = World::with_fallback_registry();
    let (reference, pushed, made) = signed(&world, 1);
    let (repository, digest) = (pushed.repository.clone(), made[0].clone());
    let keep = Action::run(move |store| store.tag(&repository, "keep", &digest));
    world.registry.fault(Fault::once("/tags/list", keep).method("GET"));
    let removed = document(&world, &reference, &made[0], 0);
    let note = removed["detached"][0]["note"].as_str().unwrap();
    assert!(note.contains("tag keep leads to it"), "{note}");
    assert!(world.registry.manifest(&pushed.repository, &made[0]).is_some());
    assert_eq!(listed_by_tag(&world, &pushed), Vec::<Value>::new());
}

/// A newer chart that says it refers to the older one would go with its tag, or without.
#[test]
fn a_chart_that_refers_to_a_chart_is_no_attachment_to_delete() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let mut chart: Value = serde_json::from_slice(&pushed.manifest).unwrap();
    chart["subject"] = json!({"mediaType": media_type::MANIFEST, "size": pushed.manifest.len(),
        "digest": pushed.manifest_digest});
    let bytes = chart.to_string().into_bytes();
    let newer = world.registry.put_manifest(&pushed.repository, None, media_type::MANIFEST, bytes);
    detach(&world, &reference, &newer).exits(5).says("it is a chart itself");
    assert!(world.registry.manifest(&pushed.repository, &newer).is_some());
}

#[test]
fn a_person_is_asked_and_a_no_removes_nothing() {
    let mut world = World::new();
    let (reference, pushed, made) = signed(&world, 1);
    let words = ["detach", &reference, "--digest", &made[0]];
    for answer in ["n\n", "", "\n", "yes please\n"] {
        world.stdin = answer.as_bytes().to_vec();
        let ended = Setting::terminal().run(&world, &words).exits(2);
        assert_eq!(ended.stderr.matches("[y/N]").count(), 1, "{ended:?}");
        // What it is about is shown before the question, labelled as what it is.
        assert!(ended.stderr.contains(&made[0]), "{ended:?}");
        assert!(ended.stderr.contains("Signed by (claimed): https://"), "{ended:?}");
        assert!(ended.stderr.contains(": nothing was removed: oci://"), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(writes(&world), Vec::<String>::new());
    world.stdin = b"y\n".to_vec();
    Setting::terminal().run(&world, &words).exits(0);
    assert_eq!(attached(&world, &pushed), Vec::<Value>::new());
}

#[test]
fn without_a_terminal_it_takes_yes_and_asks_no_registry_without() {
    let world = World::new();
    let (reference, _, made) = signed(&world, 1);
    for setting in [
        Setting::pipes(),
        Setting { stdin_is_terminal: false, ..Setting::terminal() },
        Setting { stderr_is_terminal: false, ..Setting::terminal() },
    ] {
        let ended = setting.run(&world, &["detach", &reference, "--digest", &made[0]]).exits(2);
        assert!(ended.stderr.contains("nobody is here to be asked"), "{ended:?}");
        assert!(ended.stderr.contains("--yes"), "{ended:?}");
    }
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn the_right_to_delete_is_asked_for_only_where_something_is_deleted() {
    let bearer = Bearer::new("jane", "secret");
    let options = Options { auth: Auth::Bearer(bearer), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    for (name, value) in [("HELM_SIGSTORE_USERNAME", "jane"), ("HELM_SIGSTORE_PASSWORD", "secret")]
    {
        world.environment.insert(name.to_owned(), value.to_owned());
    }
    let (reference, pushed, made) = signed(&world, 1);
    detach(&world, &reference, &made[0]).exits(0);
    assert_eq!(attached(&world, &pushed), Vec::<Value>::new());
    let tokens: Vec<_> = world
        .registry
        .requests()
        .iter()
        .map(|request| request.line())
        .filter(|line| line.contains("/token"))
        .collect();
    assert!(tokens.iter().any(|line| line.contains("delete")), "{tokens:?}");
    assert!(tokens.iter().any(|line| !line.contains("delete")), "{tokens:?}");
}

#[test]
fn signatures_elsewhere_are_taken_off_there_and_the_chart_is_only_read() {
    let mut world = World::new();
    let (reference, pushed) = world.push_web();
    let elsewhere = format!("oci://{}/signatures", world.registry.host());
    world.environment.insert("HELM_SIGSTORE_SIGNATURE_REPOSITORY".to_owned(), elsewhere.clone());
    let ended = world.run(&["sign", &reference, "-o", "json"]).exits(0);
    let digest = ended.json()["results"][0]["attached"][0]["digest"].clone();
    world.registry.reset_requests();
    let document = document(&world, &reference, digest.as_str().unwrap(), 0);
    assert_eq!(document["signatureRepository"], elsewhere.as_str());
    assert!(
        writes(&world).iter().all(|line| line.contains("/v2/signatures/")),
        "{:?}",
        writes(&world)
    );
    assert_eq!(
        world.registry.referrers("signatures", &pushed.manifest_digest),
        Vec::<Value>::new()
    );
}

#[test]
fn a_deletion_that_the_registry_only_says_it_made_is_no_success() {
    let world = World::new();
    let (reference, _, made) = signed(&world, 1);
    world.registry.fault(Fault::new("/manifests/", Action::status(202)).method("DELETE"));
    let ended = detach(&world, &reference, &made[0]).exits(4);
    assert!(ended.stderr.contains("and still lists it"), "{ended:?}");
    assert!(ended.stdout.contains("    removed, and not seen to stay away\n"), "{ended:?}");
}

#[test]
fn a_time_out_says_what_was_removed_and_what_was_not() {
    let world = World::with_fallback_registry();
    let (reference, _, made) = signed(&world, 1);
    // The index is written at once; to see whether it stays takes a second.
    let words = ["detach", &reference, "--digest", &made[0], "--yes", "--timeout", "700ms"];
    let ended = world.run(&words).exits(4);
    assert!(ended.stderr.contains("timed out after 0.7 s"), "{ended:?}");
    assert!(ended.stdout.contains("    removed, and not seen to stay away\n"), "{ended:?}");
    assert!(ended.stderr.contains(&format!("--digest {}", made[0])), "{ended:?}");
}
