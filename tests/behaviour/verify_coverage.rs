//! What must be signed for a signature to be about this chart (DESIGN decision 2).

use helm_sigstore::chart::Digest;
use helm_sigstore::sign::Content;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Pushed, digest_of, media_type};
use serde_json::{Value, json};

use crate::support::{WORKFLOW, World};
use crate::verify_craft::{
    attach, bare, bundle_of, chart_subject, package, refuses, sign, statement, typed, usual, write,
};

/// `web` 1.4.2 pushed again with another annotation: the same layer under another manifest.
fn push_again(world: &World) -> Pushed {
    let chart = Chart::new("web", "1.4.2");
    world.registry.push_chart_with("charts/web", &chart, |manifest| {
        manifest["annotations"]["org.opencontainers.image.created"] = "2026-02-02T00:00:00Z".into();
    })
}

#[test]
fn a_chart_that_was_pushed_again_is_refused_with_the_way_to_accept_its_layer() {
    let world = World::new();
    let (reference, first) = world.push_web();
    let bundle = sign(&world, &usual(&first, "web", "1.4.2"));
    let again = push_again(&world);
    assert_eq!(again.layer_digest, first.layer_digest);
    attach(&world, &again, &bundle);
    refuses(
        &world,
        &[&reference],
        5,
        "not-covered",
        &[
            "error: manifest not signed: ",
            &format!("expected  {}", first.manifest_digest),
            &format!("found     {}  (this manifest)", again.manifest_digest),
            "its chart layer is signed",
            "hint: to accept the layer alone, add `--match chart-layer`",
        ],
    );
    let ended = world
        .verify(&[&reference, "--match", "chart-layer"])
        .exits(0)
        .prints("(signed: chart)")
        .prints("\nmanifest: not signed\n");
    assert!(!ended.stdout.contains("Pinned:"), "{}", ended.stdout);
    let result = world.verdict(&[&reference, "--match", "chart-layer"]);
    assert_eq!(result["digestRef"], Value::Null);
    assert_eq!(result["signatures"][0]["subject"]["kind"], "chart");
    assert_eq!(result["signatures"][0]["subject"]["digest"], again.layer_digest);
}

#[test]
fn the_bundle_of_the_first_push_from_a_file_is_judged_the_same_way() {
    let world = World::new();
    let (reference, first) = world.push_web();
    let bundle = write(&world, "b.json", &sign(&world, &usual(&first, "web", "1.4.2")));
    world.verify(&[&reference, "--bundle", &bundle]).exits(0).prints("Pinned: ");
    push_again(&world);
    refuses(&world, &[&reference, "--bundle", &bundle], 5, "not-covered", &["--match chart-layer"]);
    world.verify(&[&reference, "--bundle", &bundle, "--match", "chart-layer"]).exits(0);
}

#[test]
fn a_wrapper_manifest_around_a_signed_layer_is_refused_either_way() {
    let world = World::new();
    let (reference, signed) = world.push_web();
    let bundle = sign(&world, &usual(&signed, "web", "1.4.2"));
    let honest = Chart::new("web", "1.4.2");
    let layer = json!({
        "mediaType": "application/octet-stream",
        "digest": signed.layer_digest,
        "size": honest.tgz().len(),
    });
    // The evil chart is what Helm would install; the signed layer only lies beside it.
    let evil = Chart::new("web", "1.4.2").file("templates/evil.yaml", "kind: Pod\n");
    let wrapper = world.registry.push_chart_with("charts/web", &evil, |manifest| {
        manifest["layers"].as_array_mut().unwrap().push(layer);
    });
    attach(&world, &wrapper, &bundle);
    refuses(&world, &[&reference], 5, "not-covered", &["manifest not signed"]);
    let layers = ["--match", "chart-layer"];
    let words = ["chart layer not signed", &wrapper.layer_digest];
    refuses(&world, &[&reference, layers[0], layers[1]], 5, "not-covered", &words);

    // The signed chart with something else beside it, which some other tool may unpack.
    let padded = world.registry.push_chart_with("charts/web", &honest, |manifest| {
        let digest = digest_of(b"other");
        let other = json!({"mediaType": "application/octet-stream", "digest": digest, "size": 5});
        manifest["layers"].as_array_mut().unwrap().push(other);
    });
    attach(&world, &padded, &bundle);
    refuses(&world, &[&reference], 5, "not-covered", &["manifest not signed"]);
    let words = ["manifest holds layers that are not signed", "1 signed", "2 in the manifest"];
    refuses(&world, &[&reference, layers[0], layers[1]], 5, "not-covered", &words);

    // Two chart layers are no chart at all: Helm would take either.
    let doubled = world.registry.push_chart_with("charts/web", &evil, |manifest| {
        let size = honest.tgz().len();
        let layer =
            json!({"mediaType": media_type::CHART, "digest": signed.layer_digest, "size": size});
        manifest["layers"].as_array_mut().unwrap().push(layer);
    });
    attach(&world, &doubled, &bundle);
    for arguments in [&[reference.as_str()][..], &[&reference, layers[0], layers[1]]] {
        refuses(&world, arguments, 5, "not-a-chart", &["the manifest has 2 chart layers"]);
    }
}

#[test]
fn a_statement_that_speaks_of_chart_layers_must_name_this_one() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let other = digest_of(b"another chart");
    let subjects = [
        typed(media_type::MANIFEST, &pushed.manifest_digest),
        chart_subject(&other, "web", "1.4.2"),
    ];
    attach(&world, &pushed, &sign(&world, &statement(&subjects)));
    let words = ["chart layer not signed", &other, &pushed.layer_digest];
    refuses(&world, &[&reference], 5, "not-covered", &words);
    // The layer's digest under another media type does not make up for it.
    let subjects = [
        typed(media_type::MANIFEST, &pushed.manifest_digest),
        chart_subject(&other, "web", "1.4.2"),
        typed("application/octet-stream", &pushed.layer_digest),
        bare(&pushed.layer_digest),
    ];
    attach(&world, &pushed, &sign(&world, &statement(&subjects)));
    refuses(&world, &[&reference], 5, "not-covered", &["chart layer not signed"]);
}

#[test]
fn provenance_is_covered_when_the_statement_names_it() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.2").provenance("a prov file"));
    let reference = format!("{}:1.4.2", world.repository("web"));
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    world.verify(&[&reference]).exits(0).prints("(signed: manifest, chart and provenance)");
    let result = world.verdict(&[&reference]);
    assert_eq!(result["prov"], "signed");
    assert_eq!(result["provDigest"], pushed.provenance_digest.clone().unwrap());
    world
        .verify(&[&reference, "--match", "chart-layer"])
        .exits(0)
        .prints("(signed: chart and provenance)");
}

#[test]
fn an_unsigned_provenance_is_reported_by_reference_and_refused_with_the_layer_alone() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.2").provenance("a prov file"));
    let reference = format!("{}:1.4.2", world.repository("web"));
    let subjects = [
        typed(media_type::MANIFEST, &pushed.manifest_digest),
        chart_subject(&pushed.layer_digest, "web", "1.4.2"),
    ];
    attach(&world, &pushed, &sign(&world, &statement(&subjects)));
    // The manifest binds it; no subject of its own does.
    world.verify(&[&reference]).exits(0).prints("(signed: manifest and chart)");
    assert_eq!(world.verdict(&[&reference])["prov"], "not signed");
    let words = ["manifest holds layers that are not signed"];
    refuses(&world, &[&reference, "--match", "chart-layer"], 5, "not-covered", &words);
}

#[test]
fn a_signed_provenance_that_is_missing_or_another_is_refused() {
    for (provenance, words) in [
        (None, "signed provenance layer is missing"),
        (Some("other"), "provenance layer not signed"),
    ] {
        let world = World::new();
        let mut chart = Chart::new("web", "1.4.2");
        if let Some(text) = provenance {
            chart = chart.provenance(text);
        }
        let pushed = world.push(&chart);
        let reference = format!("{}:1.4.2", world.repository("web"));
        let signed = digest_of(b"the signed prov file");
        let subjects = [
            typed(media_type::MANIFEST, &pushed.manifest_digest),
            chart_subject(&pushed.layer_digest, "web", "1.4.2"),
            typed(media_type::PROVENANCE, &signed),
        ];
        attach(&world, &pushed, &sign(&world, &statement(&subjects)));
        refuses(&world, &[&reference], 5, "not-covered", &[words, &signed]);
        let layers = [reference.as_str(), "--match", "chart-layer"];
        refuses(&world, &layers, 5, "not-covered", &[words, &signed]);
    }
}

#[test]
fn cosigns_own_statement_covers_the_manifest_and_no_file() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.push(&chart);
    let reference = format!("{}:1.4.2", world.repository("web"));
    // As cosign 3 writes it: one subject without name and media type, no predicate.
    let mut cosign = statement(&[bare(&pushed.manifest_digest)]);
    cosign.as_object_mut().unwrap().remove("predicate");
    let bundle = sign(&world, &cosign);
    attach(&world, &pushed, &bundle);
    world
        .verify(&[&reference])
        .exits(0)
        .prints("(signed: manifest)\n")
        .prints(&format!("@{}\n", pushed.manifest_digest));
    let result = world.verdict(&[&reference]);
    assert_eq!(result["chart"], json!({"name": "web", "version": "1.4.2"}));
    let words = ["chart layer not signed", "no digest of this kind"];
    refuses(&world, &[&reference, "--match", "chart-layer"], 5, "not-covered", &words);
    let (file, bundle) = (package(&world, &chart), write(&world, "b.json", &bundle));
    let words = ["signature does not match this chart", &pushed.layer_digest];
    refuses(&world, &[&file, "--bundle", &bundle], 5, "not-covered", &words);
}

#[test]
fn a_file_is_covered_by_a_subject_without_media_type_or_with_the_charts() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let (file, digest) = (package(&world, &chart), digest_of(&chart.tgz()));
    for subject in [bare(&digest), typed(media_type::CHART, &digest)] {
        let bundle = write(&world, "b.json", &sign(&world, &statement(&[subject])));
        world.verify(&[&file, "--bundle", &bundle]).exits(0).prints("(signed: chart)");
        let result = world.verdict(&[&file, "--bundle", &bundle]);
        assert_eq!(result["chart"], json!({"name": "web", "version": "1.4.2"}));
        assert_eq!(result["chartDigest"], digest);
        assert_eq!(result["digestRef"], Value::Null);
        assert_eq!(result["signatures"][0]["subject"]["kind"], "chart");
        assert_eq!(result["signatures"][0]["place"], "file");
    }
    let other = digest_of(b"other");
    for subject in [
        typed(media_type::MANIFEST, &digest),
        typed(media_type::PROVENANCE, &digest),
        typed(media_type::CHART_LEGACY, &digest),
        typed("", &digest),
        typed(media_type::CHART, &other),
        json!({"digest": {"sha512": digest.trim_start_matches("sha256:")}}),
        json!({"digest": {"sha256": digest.trim_start_matches("sha256:").to_uppercase()}}),
        json!({"name": "web-1.4.2.tgz", "digest": {"sha256": ""}}),
    ] {
        let bundle = write(&world, "b.json", &sign(&world, &statement(&[subject])));
        let words = ["signature does not match this chart", "(this file)"];
        refuses(&world, &[&file, "--bundle", &bundle], 5, "not-covered", &words);
    }
}

#[test]
fn a_signature_over_plain_bytes_is_no_statement_about_the_chart() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.push(&chart);
    let reference = format!("{}:1.4.2", world.repository("web"));
    let file = package(&world, &chart);
    for artifact in [&pushed.layer_digest, &pushed.manifest_digest] {
        let artifact = Digest::parse(artifact).unwrap();
        let bundle = bundle_of(&world, WORKFLOW, Content::Message { artifact });
        attach(&world, &pushed, &bundle);
        let bundle = write(&world, "b.json", &bundle);
        let words = ["signature is over plain bytes"];
        refuses(&world, &[&file, "--bundle", &bundle], 5, "not-covered", &words);
        refuses(&world, &[&reference], 5, "not-covered", &words);
    }
}

#[test]
fn the_chart_layer_media_type_of_old_helm_verifies_with_a_warning() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.registry.push_chart_with("charts/web", &chart, |manifest| {
        manifest["layers"][0]["mediaType"] = media_type::CHART_LEGACY.into();
    });
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(0);
    world
        .verify(&[&reference])
        .exits(0)
        .says("warning: ")
        .says("application/tar+gzip")
        .prints(&format!("@{}\n", pushed.manifest_digest));
}
