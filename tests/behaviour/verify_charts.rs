//! References that lead to something else than one chart.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, digest_of, media_type};
use serde_json::{Value, json};

use crate::support::World;
use crate::verify_craft::{attach, refuses, sign, usual};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[test]
fn what_is_no_chart_is_refused_although_it_is_signed() {
    for (change, words) in [
        (
            (|manifest: &mut Value| {
                manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
            }) as fn(&mut Value),
            "the config is not that of a chart",
        ),
        (|manifest| manifest["layers"] = json!([]), "the manifest has no chart layer"),
        (
            |manifest| manifest["layers"][0]["mediaType"] = "application/octet-stream".into(),
            "the manifest has no chart layer",
        ),
        (
            |manifest| {
                let mut layer = manifest["layers"][0].clone();
                layer["mediaType"] = media_type::CHART_LEGACY.into();
                manifest["layers"].as_array_mut().unwrap().push(layer);
            },
            "the manifest has 2 chart layers",
        ),
        (
            |manifest| {
                let layer = json!({
                    "mediaType": media_type::PROVENANCE, "digest": digest_of(b"x"), "size": 1,
                });
                let layers = manifest["layers"].as_array_mut().unwrap();
                layers.extend([layer.clone(), layer]);
            },
            "the manifest has 2 provenance layers",
        ),
        // CVE-2021-41190: one digest, two readings.
        (|manifest| manifest["manifests"] = json!([]), "a manifest and an index at the same time"),
    ] {
        let world = World::new();
        let pushed =
            world.registry.push_chart_with("charts/web", &Chart::new("web", "1.4.2"), change);
        attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
        let reference = format!("{}:1.4.2", world.repository("web"));
        let words = ["error: not a chart: ", words, &pushed.manifest_digest];
        refuses(&world, &[&reference], 5, "not-a-chart", &words);
    }
}

#[test]
fn a_docker_image_is_called_one() {
    let world = World::new();
    let (_, pushed) = world.push_web();
    world.registry.put_manifest("charts/web", Some("1.5.0"), DOCKER, pushed.manifest.clone());
    let reference = format!("{}:1.5.0", world.repository("web"));
    refuses(&world, &[&reference], 5, "not-a-chart", &["this is a Docker image"]);
}

#[test]
fn an_answer_that_is_no_manifest_leaves_the_verdict_open() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let manifest = pushed.manifest.clone();
    let body = |text: &str| Action::ReplaceBody(text.as_bytes().to_vec());
    let doubled = String::from_utf8(manifest).unwrap().replacen(
        "\"layers\":",
        "\"layers\":[],\"layers\":",
        1,
    );
    for (action, words) in [
        (Action::ReplaceContentType("text/html".into()), "the answer is no manifest"),
        (Action::ReplaceContentType(media_type::INDEX.into()), "does not have the shape of"),
        (body("<html>maintenance</html>"), "the manifest is not valid"),
        (body(""), "the manifest is not valid"),
        (body("{}"), "schemaVersion is not 2"),
        (body(r#"{"schemaVersion":2}"#), "the manifest has no config"),
        (body(&doubled), "the manifest is not valid"),
    ] {
        world.registry.clear_faults();
        world.registry.fault(Fault::new("/manifests/1.4.2", action));
        let ended = world.verify(&[&reference]);
        let code = if words.contains("shape") { 5 } else { 4 };
        assert!(ended.code == code && ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[test]
fn a_manifest_larger_than_helm_reads_leaves_the_verdict_open() {
    let world = World::new();
    let pushed =
        world.registry.push_chart_with("charts/web", &Chart::new("web", "1.4.2"), |manifest| {
            manifest["annotations"]["x"] = "y".repeat(4 << 20).into();
        });
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    let reference = format!("{}:1.4.2", world.repository("web"));
    refuses(&world, &[&reference], 4, "limit-reached", &["/manifests/1.4.2", "4194304"]);
}

#[test]
fn other_bytes_than_the_digest_that_was_asked_for_are_not_looked_at() {
    let world = World::new();
    let (_, pushed) = world.signed_web();
    let evil = world.registry.push_chart("charts/evil", &Chart::new("web", "1.4.2").file("x", "y"));
    let digest = &pushed.manifest_digest;
    world.registry.put_manifest_as(
        "charts/web",
        digest,
        media_type::MANIFEST,
        evil.manifest.clone(),
    );
    let reference = format!("{}@{digest}", world.repository("web"));
    let words = ["the digest differs", digest.as_str(), &evil.manifest_digest];
    refuses(&world, &[&reference], 4, "malformed", &words);
    // By tag the bytes decide what the digest is, and that one nobody has signed.
    let tagged = format!("{}:1.4.2", world.repository("web"));
    let ended = world.verify(&[&tagged]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains(&evil.manifest_digest), "{}", ended.stderr);
}
