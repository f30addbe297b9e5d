//! `policy init` and `policy test`.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::Identity;
use serde_json::json;

use crate::identity_forges::signed_by as signed_as;
use crate::key_support;
use crate::policy_support::{by_default, named, rule, signed_by};
use crate::support::World;
use crate::verify_craft::{attach, sign_by, usual};

const ALICE: &[&str] = &["alice@acme.example"];

#[test]
fn a_policy_is_written_from_what_is_on_a_chart_and_verifies_it_from_then_on() {
    for world in [World::new(), World::with_fallback_registry()] {
        let (reference, _) = world.signed_web();
        let file = world.argument("policy.yaml");
        world
            .run(&["policy", "init", "--from", &reference, &file])
            .exits(0)
            .prints(&format!("Written: {file}"))
            .says("trust on first use");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("trust on first use") && text.contains("acme/charts"), "{text}");
        world.run(&["verify", &reference, "--policy", &file]).exits(0);
        world.run(&["policy", "init", "--from", &reference, &file]).exits(2).says("file exists");
        world.run(&["policy", "init", "--from", &reference, &file, "--force"]).exits(0);
        // To standard output what else stands in the file.
        let ended = world.run(&["policy", "init", "--from", &reference]).exits(0);
        assert_eq!(ended.stdout, std::fs::read_to_string(&file).unwrap());
        let ended = world.run(&["policy", "init", "--from", &reference, "-o", "json"]).exits(0);
        assert_eq!(ended.json()["firstUse"], true);
        assert_eq!(ended.json()["policy"], text);
    }
}

#[test]
fn every_signer_of_the_chart_is_written_and_a_chart_without_any_is_not_trusted() {
    let (world, reference, _) = signed_by(&["alice@acme.example", "bob@acme.example"]);
    let ended = world.run(&["policy", "init", "--from", &reference]).exits(0);
    assert!(ended.stdout.contains("alice@") && ended.stdout.contains("bob@"), "{}", ended.stdout);
    let (world, reference, _) = signed_by(&[]);
    let file = world.argument("policy.yaml");
    world.run(&["policy", "init", "--from", &reference, &file]).exits(3).says("unsigned");
    assert!(!world.path("policy.yaml").exists());
    let missing = format!("{}:9.9.9", world.repository("web"));
    world.run(&["policy", "init", "--from", &missing, &file]).exits(6);
    world.run(&["policy", "init", "--from", &file]).exits(2);
}

#[test]
fn a_build_that_others_run_too_is_trusted_for_its_source_alone() {
    let shared = Identity::gitlab("acme/ci//sign.yml@refs/heads/main");
    let (world, reference) =
        signed_as(&shared.clone().with_claim("project_path", json!("acme/charts")));
    let file = world.argument("policy.yaml");
    world.run(&["policy", "init", "--from", &reference, &file]).exits(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("source-repository: \"https://gitlab.com/acme/charts\"\n"), "{text}");
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
    let pushed = world.push(&Chart::new("web", "1.4.3"));
    let stranger = shared.with_claim("project_path", json!("eve/charts"));
    attach(&world, &pushed, &sign_by(&world, &stranger, &usual(&pushed, "web", "1.4.3")));
    let other = format!("{}:1.4.3", world.repository("web"));
    world.run(&["verify", &other, "--policy", &file]).exits(5).says("wrong signer");
}

#[test]
fn the_key_of_a_chart_becomes_part_of_the_policy() {
    let world = key_support::with_key(World::new(), "release");
    let (reference, _) = key_support::signed(&world, &[]);
    let (file, key) = (world.argument("policy.yaml"), world.argument("release.pub"));
    world.run(&["policy", "init", "--from", &reference]).exits(2).says("hint: ");
    world.run(&["policy", "init", "--from", &reference, &file, "--key", &key]).exits(0);
    std::fs::remove_file(&key).unwrap();
    world.run(&["verify", &reference, "--policy", &file]).exits(0).prints("Signed by: key sha256:");
}

#[test]
fn what_decides_is_explained_without_asking_anybody() {
    let (mut world, reference, _) = signed_by(ALICE);
    let more = "    name: ours\n    signed-after: 2026-01-01\n";
    let rules = [rule(&world, "**", ALICE, ""), rule(&world, "charts/w*", ALICE, more)];
    let file = named(&world, &rules);
    world.registry.reset_requests();
    world
        .run(&["policy", "test", &reference, "--policy", &file])
        .exits(0)
        .prints("Rule: ours (line ")
        .prints("longest text before its first star")
        .prints("Passed over: ")
        .prints("Needs: a signature of any of\n")
        .prints("  Trusted: --email alice@acme.example (alice@acme.example   issuer ")
        .prints("Signed after: 2026-01-01T00:00:00Z\n");
    let ended =
        world.run(&["policy", "test", &reference, "--policy", &file, "-o", "json"]).exits(0);
    assert_eq!(ended.json()["rule"], "ours");
    assert_eq!(ended.json()["alsoMatching"].as_array().unwrap().len(), 1);
    world
        .run(&["policy", "test", "evil.example/charts/web", "--policy", &file])
        .exits(5)
        .says("no rule of the policy covers it")
        .says("rule");
    assert!(world.registry.requests().is_empty());
    world.run(&["policy", "test", &reference]).exits(2).says("there is no policy");
    by_default(&mut world, &rules);
    world.run(&["policy", "test", &reference]).exits(0).prints("found in Helm's configuration");
}

#[test]
fn hosts_are_compared_in_one_spelling() {
    let world = World::new();
    let host = |host: &str| {
        let text = format!(
            "schema: helm-sigstore.policy/v1\nrules:\n  - repositories: [\"{host}/acme/*\"]\n    any-of:\n      - github: acme/charts\n"
        );
        let path = world.argument("policy.yaml");
        std::fs::write(&path, text).unwrap();
        path
    };
    for (pattern, reference, code) in [
        ("ghcr.io", "oci://GHCR.io/acme/web", 0),
        ("GHCR.IO", "ghcr.io:443/acme/web:1", 0),
        ("oci://ghcr.io:443", "OCI://ghcr.io/acme/web", 0),
        ("docker.io", "oci://index.docker.io/acme/web", 0),
        ("registry-1.docker.io", "docker.io/acme/web", 0),
        ("ghcr.io", "ghcr.io.evil.example/acme/web", 5),
        ("ghcr.io", "oci://ghcr.io:8443/acme/web", 5),
        ("ghcr.io", "evil.example/ghcr.io/acme/web", 5),
        ("ghcr.io", "oci://ghcr.io/acme/charts/web", 5),
        ("ghcr.io", "oci://ghcr.io/acme-evil/web", 5),
        ("ghcr.io", "oci://ghcr.io/acme%2fweb", 0),
        ("ghcr.io", "oci://ghcr.io/acme%2fcharts%2fweb", 5),
        ("ghcr.io", "oci://ghcr.io%2facme/web", 2),
        ("ghcr.io", "oci://ghcr.io/acme/../x", 2),
    ] {
        let file = host(pattern);
        world.run(&["policy", "test", reference, "--policy", &file]).exits(code);
    }
}

#[test]
fn a_policy_from_a_chart_of_another_instance_names_the_instance() {
    let (mut world, _tuf) = crate::trust_support::private();
    let (reference, _) = world.signed_web();
    let file = world.argument("policy.yaml");
    world.run(&["policy", "init", "--from", &reference, &file]).exits(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("    instance: kit\n"), "{text}");
    world.environment.remove("HELM_SIGSTORE_INSTANCE");
    world.run(&["verify", &reference, "--policy", &file]).exits(0).prints("Verified:");
}
