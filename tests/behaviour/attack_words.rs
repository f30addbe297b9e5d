//! Text that strangers chose: file names, certificates, registries.

use helm_sigstore_kit::chart::Chart;

use crate::support::World;

#[test]
fn a_hint_quotes_the_name_of_a_file() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.push(&chart);
    let bundle = world.argument("b.json");
    world.run(&["sign", &reference, "--bundle-out", &bundle]).exits(0);
    let name = "x;touch pwned;.tgz";
    std::fs::write(world.path(name), chart.tgz()).unwrap();
    let file = world.argument(name);
    let ended = world.run(&["verify", &file, "--bundle", &bundle]).exits(2);
    assert!(ended.stderr.contains(&format!("helm-sigstore verify '{file}' ")), "{}", ended.stderr);
}

#[test]
fn a_hint_to_push_quotes_the_name_of_a_file() {
    let world = World::new();
    let name = "x;touch pwned;.tgz";
    std::fs::write(world.path(name), Chart::new("web", "1.4.2").tgz()).unwrap();
    let file = world.argument(name);
    let ended = world.run(&["sign", &file, "--repository", &world.target()]).exits(6);
    assert!(ended.stderr.contains(&format!("helm push '{file}' ")), "{}", ended.stderr);
}

#[test]
fn json_on_a_terminal_moves_no_cursor_and_reorders_no_text() {
    let world = World::new();
    let (_, pushed) = world.push_web();
    let odd = "https://x.example/\u{9b}2J\u{202e}\u{7f}\u{61c}\u{e0041}";
    let referrer = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "x/y",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
        "layers": [],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": pushed.manifest_digest, "size": pushed.manifest.len()},
        "annotations": {"dev.sigstore.bundle.predicateType": odd},
    });
    world.registry.store().put_manifest(
        "charts/web",
        None,
        "application/vnd.oci.image.manifest.v1+json",
        referrer.to_string(),
    );
    let reference = format!("{}:1.4.2", world.repository("web"));
    let ended = world.verify(&["-o", "json", &reference]);
    let document = ended.json();
    let found = document["results"][0]["signatures"][0]["predicateType"].as_str();
    assert_eq!(found, Some(odd), "{}", ended.stdout);
    let raw: Vec<_> =
        ended.stdout.trim_end().chars().filter(|c| !(' '..='~').contains(c)).collect();
    assert!(raw.is_empty(), "{raw:?}");
}

#[test]
fn a_secret_in_place_of_a_token_file_is_not_repeated() {
    let world = World::new();
    let (reference, _) = world.push_web();
    for secret in [
        "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJzaWdzdG9yZSJ9.c2VjcmV0",
        "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
    ] {
        for output in ["text", "json"] {
            let ended =
                world.run(&["sign", &reference, "-o", output, "--identity-token", secret]).exits(2);
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[test]
fn a_fallback_tag_that_is_no_index_is_not_called_missing() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let tag = pushed.manifest_digest.replace(':', "-");
    world.registry.store().put_manifest(
        "charts/web",
        Some(&tag),
        "application/vnd.oci.image.manifest.v1+json",
        r#"{"schemaVersion":2,"layers":[]}"#,
    );
    let result = world.verdict(&[&reference]);
    let place = result["lookedIn"]
        .as_array()
        .unwrap()
        .iter()
        .find(|place| place["place"] == "fallback-tag")
        .unwrap()
        .clone();
    assert_ne!(place["status"], "404", "{result:#}");
}
