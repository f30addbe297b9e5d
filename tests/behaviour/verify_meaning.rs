//! Whether the signed chart is the one that was asked for (DESIGN decision 3).

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Pushed, media_type};
use serde_json::{Value, json};

use crate::support::World;
use crate::verify_craft::{
    SBOM_PREDICATE, TITLE, VERSION, attach, bare, chart_subject, package, refuses, sign, statement,
    typed, usual, write,
};

/// Pushes `web` 1.4.2 with these manifest annotations, and signs its manifest as cosign does.
fn signed_as_cosign_does(world: &World, chart: &Chart, annotations: &Value) -> (String, Pushed) {
    let pushed = world.registry.push_chart_with("charts/web", chart, |manifest| {
        manifest["annotations"] = annotations.clone();
    });
    attach(world, &pushed, &sign(world, &statement(&[bare(&pushed.manifest_digest)])));
    world.registry.reset_requests();
    (format!("{}:1.4.2", world.repository("web")), pushed)
}

fn blobs_asked(world: &World) -> usize {
    world.registry.requests().iter().filter(|request| request.path().contains("/blobs/")).count()
}

#[test]
fn a_chart_renamed_under_a_signed_digest_is_refused() {
    let world = World::new();
    let signed = world.push(&Chart::new("web", "1.4.2"));
    // The very bytes of web, offered as another chart.
    let stolen = world.registry.push_chart("charts/api", &Chart::new("web", "1.4.2"));
    assert_eq!(stolen.manifest_digest, signed.manifest_digest);
    attach(&world, &stolen, &sign(&world, &usual(&signed, "web", "1.4.2")));
    let reference = format!("{}:1.4.2", world.repository("api"));
    refuses(
        &world,
        &[&reference],
        5,
        "wrong-chart",
        &["error: wrong chart: ", "expected  api", "found     web  (signed)"],
    );
}

#[test]
fn an_old_version_under_a_new_tag_is_refused() {
    let world = World::new();
    let (_, pushed) = world.signed_web();
    world.registry.tag("charts/web", "1.5.0", &pushed.manifest_digest);
    let web = world.repository("web");
    let reference = format!("{web}:1.5.0");
    let words = ["error: wrong version: ", "expected  1.5.0", "found     1.4.2  (signed)"];
    refuses(&world, &[&reference], 5, "wrong-version", &words);
    // Also where a constraint led to the tag.
    refuses(&world, &[&web, "--version", "^1"], 5, "wrong-version", &words);
    refuses(&world, &[&web], 5, "wrong-version", &words);
}

#[test]
fn what_the_chart_subject_says_counts_and_not_what_the_manifest_says() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    // The right signer signed this manifest, but as another chart.
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "api", "1.4.2")));
    refuses(&world, &[&reference], 5, "wrong-chart", &["expected  web", "found     api  (signed)"]);
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.1")));
    let result = world.verdict(&[&reference]);
    let reasons: Vec<_> =
        result["signatures"].as_array().unwrap().iter().map(|s| &s["reason"]).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons.contains(&&json!("wrong-version")) && reasons.contains(&&json!("wrong-chart")));
}

#[test]
fn name_and_version_come_from_the_annotations_of_a_signed_manifest() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let annotations = json!({TITLE: "web", VERSION: "1.4.2"});
    let (reference, _) = signed_as_cosign_does(&world, &chart, &annotations);
    world.verify(&[&reference]).exits(0);
    // The bundle alone: nothing else had to be fetched.
    assert_eq!(blobs_asked(&world), 1);
    for (annotations, reason) in [
        (json!({TITLE: "api", VERSION: "1.4.2"}), "wrong-chart"),
        (json!({TITLE: "web", VERSION: "1.4.1"}), "wrong-version"),
    ] {
        let (reference, _) = signed_as_cosign_does(&world, &chart, &annotations);
        refuses(&world, &[&reference], 5, reason, &["(signed)"]);
    }
}

#[test]
fn name_and_version_come_from_the_config_blob_where_nothing_else_tells_for_one_request_more() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    for annotations in [json!({}), Value::Null, json!({TITLE: "web"}), json!({VERSION: "9.9.9"})] {
        let (reference, pushed) = signed_as_cosign_does(&world, &chart, &annotations);
        world.verify(&[&reference]).exits(0).prints("(signed: manifest)");
        // Tag, referrers, referrer, bundle (not inlined), config.
        let requests = world.registry.requests();
        assert_eq!(requests.len(), 5, "{requests:#?}");
        let config = format!("/v2/charts/web/blobs/{}", pushed.config_digest);
        assert!(requests.iter().any(|request| request.path() == config));
    }
    for (config, code, reason) in [
        (r#"{"name":"api","version":"1.4.2","apiVersion":"v2"}"#, 5, "wrong-chart"),
        (r#"{"name":"web","version":"1.4.1","apiVersion":"v2"}"#, 5, "wrong-version"),
        (r#"{"name":"web","apiVersion":"v2"}"#, 5, "not-a-chart"),
        (r#"{"name":"web","name":"api","version":"1.4.2","apiVersion":"v2"}"#, 5, "not-a-chart"),
        ("nonsense", 5, "not-a-chart"),
    ] {
        let chart = chart.clone().config(config);
        let (reference, _) = signed_as_cosign_does(&world, &chart, &json!({}));
        refuses(&world, &[&reference], code, reason, &[]);
        let result = world.verdict(&[&reference]);
        assert_eq!(result["signatures"][0]["status"], "refused", "{config}");
    }
}

#[test]
fn the_config_blob_is_asked_for_once_however_many_candidates_need_it() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let (reference, pushed) = signed_as_cosign_does(&world, &chart, &json!({}));
    let names = |name: &str| {
        let mut subject = bare(&pushed.manifest_digest);
        subject["name"] = name.into();
        statement(&[subject])
    };
    for name in ["a", "b", "c"] {
        let mallory = crate::verify_craft::MALLORY;
        attach(&world, &pushed, &crate::verify_craft::sign_as(&world, mallory, &names(name)));
    }
    let refused = ["--certificate-identity", "x", "--certificate-oidc-issuer", "y"];
    let mut words = vec!["verify", reference.as_str()];
    words.extend(refused);
    world.run(&words).exits(5).says("(4 valid signatures)");
    let config = format!("/blobs/{}", pushed.config_digest);
    let asked = world.registry.requests();
    assert_eq!(asked.iter().filter(|request| request.path().ends_with(&config)).count(), 1);
}

#[test]
fn a_config_blob_that_cannot_be_had_leaves_the_signature_open() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let (reference, pushed) = signed_as_cosign_does(&world, &chart, &json!({}));
    world.registry.delete_blob("charts/web", &pushed.config_digest);
    refuses(&world, &[&reference], 4, "malformed", &["config blob", "is missing"]);
    // An attestation of another kind does not need it, and stays what it is.
    let mut sbom = statement(&[bare(&pushed.manifest_digest)]);
    sbom["predicateType"] = SBOM_PREDICATE.into();
    let (reference, pushed) = signed_as_cosign_does(&world, &chart, &json!({"x": "y"}));
    for referrer in world.registry.referrers("charts/web", &pushed.manifest_digest) {
        world.registry.delete_manifest("charts/web", referrer["digest"].as_str().unwrap());
    }
    sbom["subject"] = json!([bare(&pushed.manifest_digest)]);
    attach(&world, &pushed, &sign(&world, &sbom));
    world.registry.delete_blob("charts/web", &pushed.config_digest);
    refuses(&world, &[&reference], 3, "unsigned", &["error: unsigned"]);
}

#[test]
fn with_the_layer_alone_only_the_statement_can_name_the_chart() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    // Neither annotations nor config are signed then, so neither is believed.
    let subjects = [typed(media_type::CHART, &pushed.layer_digest)];
    attach(&world, &pushed, &sign(&world, &statement(&subjects)));
    let words = ["signature does not name the chart"];
    refuses(&world, &[&reference, "--match", "chart-layer"], 5, "wrong-chart", &words);
    let subjects = [chart_subject(&pushed.layer_digest, "web", "1.4.2")];
    attach(&world, &pushed, &sign(&world, &statement(&subjects)));
    world.verify(&[&reference, "--match", "chart-layer"]).exits(0).prints("manifest: not signed\n");
    // And names of another chart do not pass either.
    let api = world.registry.push_chart("charts/api", &Chart::new("web", "1.4.2"));
    attach(&world, &api, &sign(&world, &statement(&subjects)));
    let reference = format!("{}:1.4.2", world.repository("api"));
    refuses(&world, &[&reference, "--match", "chart-layer"], 5, "wrong-chart", &["expected  api"]);
}

#[test]
fn a_file_whose_statement_names_another_chart_is_refused() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let (file, digest) =
        (package(&world, &chart), helm_sigstore_kit::registry::digest_of(&chart.tgz()));
    for (name, version, reason) in
        [("api", "1.4.2", "wrong-chart"), ("web", "1.4.1", "wrong-version")]
    {
        let statement = statement(&[chart_subject(&digest, name, version)]);
        let bundle = write(&world, "b.json", &sign(&world, &statement));
        refuses(&world, &[&file, "--bundle", &bundle], 5, reason, &["(signed)"]);
    }
    let statement = statement(&[chart_subject(&digest, "web", "1.4.2")]);
    let bundle = write(&world, "b.json", &sign(&world, &statement));
    world.verify(&[&file, "--bundle", &bundle, "--chart", "web:1.4.2"]).exits(0);
    let stated = [&file, "--bundle", &bundle, "--chart", "api"];
    refuses(&world, &stated.map(|word| word as &str), 5, "wrong-chart", &["expected  api"]);
    let stated = [&file, "--bundle", &bundle, "--chart", "web:1.5.0"];
    refuses(&world, &stated.map(|word| word as &str), 5, "wrong-version", &["expected  1.5.0"]);
}
