//! What a chart says of itself has to agree everywhere before it is signed.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Pushed, media_type};
use serde_json::{Value, json};

use crate::sign_support::{assert_nothing_public, attached, provenance, sign_json, signature};
use crate::support::World;

fn web() -> Chart {
    Chart::new("web", "1.4.2")
}

fn yaml(name: &str, version: &str) -> String {
    format!("apiVersion: v2\nname: {name}\nversion: {version}\n")
}

fn push_with(world: &World, chart: &Chart, change: impl FnOnce(&mut Value)) -> Pushed {
    world.registry.push_chart_with("charts/web", chart, change)
}

/// Insists that what was pushed as `web` 1.4.2 is refused, with these words, and nothing was published.
#[track_caller]
fn refused(world: &World, pushed: &Pushed, reason: &str, words: &[&str]) {
    let reference = format!("{}:1.4.2", world.repository("web"));
    let ended = world.run(&["sign", &reference]).exits(5);
    assert!(ended.stderr.contains(&pushed.manifest_digest), "{}", ended.stderr);
    for words in words {
        assert!(ended.stderr.contains(words), "no {words:?} in {}", ended.stderr);
    }
    let (_, result) = sign_json(world, &[&reference]);
    assert_eq!(
        (result["verdict"].as_str(), result["reason"].as_str()),
        (Some("refused"), Some(reason))
    );
    assert_nothing_public(world);
    assert_eq!(attached(world, pushed).len(), 0);
    assert!(world.registry.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn another_name_in_chart_yaml_is_refused() {
    let world = World::new();
    let pushed = world.push(&web().archive(Chart::new("blog", "1.4.2").tgz()));
    let words = ["name does not match", "web  (asked for)", "blog  (Chart.yaml)"];
    refused(&world, &pushed, "wrong-chart", &words);
}

#[test]
fn a_folder_that_has_not_the_charts_name_is_refused() {
    let world = World::new();
    let pushed = world.push(&web().chart_yaml(&yaml("blog", "1.4.2")));
    refused(&world, &pushed, "not-a-chart", &["expected  blog", "found     web"]);
}

#[test]
fn another_version_in_chart_yaml_is_refused() {
    let world = World::new();
    let pushed = world.push(&web().chart_yaml(&yaml("web", "1.4.3")));
    let words = ["version does not match", "1.4.2  (asked for)", "1.4.3  (Chart.yaml)"];
    refused(&world, &pushed, "wrong-version", &words);
}

#[test]
fn another_name_in_the_config_is_refused() {
    let world = World::new();
    let config = json!({"apiVersion": "v2", "name": "blog", "version": "1.4.2"});
    let pushed = world.push(&web().config(config.to_string()));
    refused(&world, &pushed, "wrong-chart", &["name does not match", "blog  (config)"]);
}

#[test]
fn another_version_in_the_config_is_refused() {
    let world = World::new();
    let config = json!({"apiVersion": "v2", "name": "web", "version": "1.4.1"});
    let pushed = world.push(&web().config(config.to_string()));
    refused(&world, &pushed, "wrong-version", &["version does not match", "1.4.1  (config)"]);
}

#[test]
fn another_name_in_the_annotations_is_refused() {
    let world = World::new();
    let pushed = push_with(&world, &web(), |manifest| {
        manifest["annotations"]["org.opencontainers.image.title"] = json!("blog");
    });
    refused(&world, &pushed, "wrong-chart", &["name does not match", "blog  (annotation)"]);
}

#[test]
fn another_version_in_the_annotations_is_refused() {
    let world = World::new();
    let pushed = push_with(&world, &web(), |manifest| {
        manifest["annotations"]["org.opencontainers.image.version"] = json!("1.4.20");
    });
    refused(&world, &pushed, "wrong-version", &["version does not match", "1.4.20  (annotation)"]);
}

#[test]
fn an_old_chart_under_a_new_tag_is_refused() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.1"));
    world.registry.tag("charts/web", "1.4.2", &pushed.manifest_digest);
    refused(&world, &pushed, "wrong-version", &["1.4.2  (asked for)", "1.4.1  (Chart.yaml)"]);
}

#[test]
fn tags_that_state_less_than_a_version_are_held_to_what_they_state() {
    let world = World::new();
    let pushed = world.push(&web());
    for (tag, code) in
        [("1.4", 0), ("1", 0), ("v1.4.2", 0), ("latest", 0), ("1.5", 5), ("2", 5), ("1.4.20", 5)]
    {
        world.registry.tag("charts/web", tag, &pushed.manifest_digest);
        world.run(&["sign", &format!("{}:{tag}", world.repository("web"))]).exits(code);
    }
    assert_eq!(attached(&world, &pushed).len(), 4);
}

#[test]
fn a_version_with_build_metadata_is_signed_under_the_tag_that_helm_gives_it() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.3.0+build.5"));
    for tag in ["1.3.0_build.5", "1.3.0+build.5"] {
        world.run(&["sign", &format!("{}:{tag}", world.repository("web"))]).exits(0);
    }
    let by_version = ["sign", &world.repository("web"), "--version", "1.3.0+build.5"];
    world.run(&by_version).exits(0).prints(":1.3.0_build.5\n");
    assert_eq!(attached(&world, &pushed).len(), 3);
}

#[test]
fn a_reference_by_digest_is_signed_whatever_its_tags_say() {
    let world = World::new();
    let pushed = world.push(&web());
    let pinned = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    world.run(&["sign", &pinned]).exits(0).prints(&format!("Signed: {pinned}\n"));
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn a_tag_that_moved_away_from_the_digest_beside_it_is_refused() {
    let world = World::new();
    let pushed = world.push(&web());
    let moved = world.push(&web().description("pushed again"));
    let both = format!("{}:1.4.2@{}", world.repository("web"), pushed.manifest_digest);
    world
        .run(&["sign", &both])
        .exits(5)
        .says("tag and digest differ")
        .says(&pushed.manifest_digest)
        .says(&moved.manifest_digest);
    assert_nothing_public(&world);
}

#[test]
fn a_manifest_without_annotations_is_signed_by_what_chart_and_config_say() {
    let world = World::new();
    let pushed = push_with(&world, &web(), |manifest| {
        manifest.as_object_mut().unwrap().remove("annotations");
    });
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn what_is_no_chart_is_refused_as_such() {
    let world = World::new();
    let pushed = push_with(&world, &web(), |manifest| {
        manifest["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    });
    refused(
        &world,
        &pushed,
        "not-a-chart",
        &["not a chart", "application/vnd.oci.image.config.v1+json"],
    );
}

#[test]
fn two_chart_layers_are_refused_because_nobody_knows_which_one_helm_takes() {
    let world = World::new();
    let pushed = push_with(&world, &web(), |manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"].as_array_mut().unwrap().push(layer);
    });
    refused(&world, &pushed, "not-a-chart", &["2 chart layers"]);
}

#[test]
fn a_layer_that_is_no_archive_is_refused() {
    let world = World::new();
    let pushed = world.push(&web().archive("this is no archive"));
    refused(&world, &pushed, "not-a-chart", &[]);
}

#[test]
fn a_layer_whose_bytes_are_not_those_of_its_digest_is_undecided() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let blob = format!("/blobs/{}", pushed.layer_digest);
    world.registry.fault(Fault::new(&blob, Action::FlipBit));
    world.run(&["sign", &reference]).exits(4).says("the digest differs");
    world.registry.clear_faults();
    let blob = format!("/blobs/{}", pushed.config_digest);
    world.registry.fault(Fault::new(&blob, Action::FlipBit));
    world.run(&["sign", &reference]).exits(4).says("the digest differs");
    assert_nothing_public(&world);
}

#[test]
fn a_layer_without_end_is_read_up_to_its_announced_size() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let blob = format!("/blobs/{}", pushed.layer_digest);
    world.registry.fault(Fault::new(&blob, Action::Endless));
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!((code, result["reason"].as_str()), (4, Some("limit-reached")));
    let sent: u64 = world.registry.requests().iter().map(|request| request.sent_bytes).sum();
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    assert_nothing_public(&world);
}

#[test]
fn a_layer_of_the_old_media_type_is_signed_with_a_warning() {
    let world = World::new();
    let pushed = push_with(&world, &web(), |manifest| {
        manifest["layers"][0]["mediaType"] = json!(media_type::CHART_LEGACY);
    });
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(0).says("warning: ").says("application/tar+gzip");
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn a_provenance_layer_is_signed_too_wherever_it_stands() {
    // Helm sorts layers by digest, so which comes first depends on the bytes.
    let mut first = 0;
    for comment in "abcdefghijklmnop".split("").filter(|one| !one.is_empty()) {
        let world = World::new();
        let pushed = world.push(&web().provenance(provenance(&web(), comment)));
        first += usize::from(pushed.provenance_digest.as_ref() < Some(&pushed.layer_digest));
        let reference = format!("{}:1.4.2", world.repository("web"));
        let (code, result) = sign_json(&world, &[&reference]);
        assert_eq!((code, result["provDigest"].as_str()), (0, pushed.provenance_digest.as_deref()));
        assert_eq!(result["chartDigest"], pushed.layer_digest);
        let subjects = signature(&world, &pushed).statement["subject"].clone();
        assert_eq!(subjects.as_array().unwrap().len(), 3, "{subjects:#}");
    }
    assert!((1..16).contains(&first), "the comments did not put it on both sides: {first}");
}

#[test]
fn the_chart_and_what_has_to_agree_with_it_are_asked_for_at_once() {
    let world = World::new();
    let pushed = world.push(&web().provenance(provenance(&web(), "one")));
    let path = |digest: &str| format!("/blobs/{digest}");
    world.registry.fault(Fault::new(&path(&pushed.layer_digest), Action::Hang));
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference, "--timeout", "2s"]).exits(4).says("reading the chart");
    for digest in [&pushed.config_digest, pushed.provenance_digest.as_ref().unwrap()] {
        let asked = world.registry.requests().iter().any(|one| one.path().ends_with(&path(digest)));
        assert!(asked, "{digest}");
    }
    assert_nothing_public(&world);
}
