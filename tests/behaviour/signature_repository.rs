//! Signatures that are kept in another repository than the chart: of somebody who may not write there.

use helm_sigstore_kit::registry::{
    Auth, Bearer, Options as RegistryOptions, Pushed, Referrers, Registry,
};
use helm_sigstore_kit::sigstore::Options;
use serde_json::Value;

use crate::sign_support::{lines, sign_json};
use crate::support::World;

const ELSEWHERE: &str = "acme/signatures";

fn elsewhere(registry: &Registry) -> String {
    registry.oci(ELSEWHERE)
}

fn listed(registry: &Registry, pushed: &Pushed) -> Vec<Value> {
    registry.referrers(ELSEWHERE, &pushed.manifest_digest)
}

#[test]
fn a_signature_is_put_into_the_other_repository_and_found_there() {
    for options in [RegistryOptions::default(), RegistryOptions::fallback()] {
        let world = World::with(options.clone(), Options::default());
        let other = Registry::start(options);
        let (reference, pushed) = world.push_web();
        let there = elsewhere(&other);
        let flag = ["--signature-repository", there.as_str()];
        world
            .run(&["sign", &reference, flag[0], flag[1]])
            .exits(0)
            .prints(&format!("Signatures in: {there}\n"));
        assert_eq!(listed(&other, &pushed).len(), 1);
        assert_eq!(world.registry.referrers(&pushed.repository, &pushed.manifest_digest).len(), 0);
        assert!(world.registry.requests().iter().all(|request| request.method == "GET"));
        assert_eq!(world.registry.tags(&pushed.repository), ["1.4.2"]);

        world.verify(&[&reference]).exits(3).says("unsigned");
        let ended = world.verify(&[&reference, flag[0], flag[1]]).exits(0);
        ended.prints(&format!("Signatures in: {there}\n")).prints("Pinned: ");
        let result = world.verdict(&[&reference, flag[0], flag[1]]);
        assert_eq!(result["signatureRepository"], there);
    }
}

#[test]
fn a_file_is_found_by_its_manifest_in_the_other_repository() {
    use helm_sigstore_kit::chart::Chart;
    let world = World::new();
    let other = Registry::start(RegistryOptions::default());
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.push(&chart);
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    let (there, target) = (elsewhere(&other), world.target());
    let words = [file.as_str(), "--repository", &target, "--signature-repository", &there];
    world.run(&[&["sign"], words.as_slice()].concat()).exits(0);
    assert_eq!(listed(&other, &pushed).len(), 1);
    world.verify(&words).exits(0).prints("Signatures in: ");
    // Without the manifest nothing leads there.
    let alone = world.verify(&[&file, "--signature-repository", &there]).exits(2);
    alone.says("nothing says where this file was pushed").says("--repository");
}

#[test]
fn cosigns_variable_means_the_same_and_the_flag_wins() {
    let mut world = World::new();
    let (other, third) =
        (Registry::start(RegistryOptions::default()), Registry::start(RegistryOptions::default()));
    let (reference, pushed) = world.push_web();
    let name = format!("{}/{ELSEWHERE}", other.host());
    world.environment.insert("COSIGN_REPOSITORY".into(), name);
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(listed(&other, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
    let there = elsewhere(&third);
    world.verify(&[&reference, "--signature-repository", &there]).exits(3);
    world.environment.insert("HELM_SIGSTORE_SIGNATURE_REPOSITORY".into(), there.clone());
    let ended = world.verify(&[&reference]).exits(3);
    ended.says(&format!("signatures in  {there}"));
    // A file without a registry has nothing to do with it.
    let file = helm_sigstore_kit::chart::Chart::new("web", "1.4.2").write_to(world.directory());
    world.verify(&[&file.unwrap().display().to_string()]).exits(3);
}

#[test]
fn the_repository_of_the_chart_is_only_read_and_needs_no_right_to_push() {
    let reader = Bearer { anonymous_pull: true, ..Bearer::new("nobody", "x") };
    let options = RegistryOptions { auth: Auth::Bearer(reader), ..RegistryOptions::default() };
    let mut world = World::with(options, Options::default());
    let writer = Auth::Bearer(Bearer::new("jane", "secret"));
    let other = Registry::start(RegistryOptions { auth: writer, ..RegistryOptions::default() });
    let (reference, pushed) = world.push_web();
    let there = elsewhere(&other);
    // Credentials for the other host alone.
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"amFuZTpzZWNyZXQ="}}}}}}"#, other.host());
    let file = world.path("config.json");
    std::fs::write(&file, config).unwrap();
    world.environment.insert("HELM_REGISTRY_CONFIG".into(), file.display().to_string());
    world.run(&["sign", &reference]).exits(4);
    world.registry.reset_requests();
    world.run(&["sign", &reference, "--signature-repository", &there]).exits(0);
    assert_eq!(listed(&other, &pushed).len(), 1);
    let asked = lines(&world);
    assert!(asked.iter().all(|line| !line.contains("push")), "{asked:#?}");
    world.verify(&[&reference, "--signature-repository", &there]).exits(0);
}

#[test]
fn another_repository_of_the_same_registry_serves_too() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let there = elsewhere(&world.registry);
    let words = ["sign", &reference, "--signature-repository", &there];
    let (code, result) = sign_json(&world, &words[1..]);
    assert_eq!((code, result["signatureRepository"].as_str()), (0, Some(there.as_str())));
    assert_eq!(listed(&world.registry, &pushed).len(), 1);
    // The chart's own repository is no other one.
    let own = world.repository("web");
    let (_, result) = sign_json(&world, &[&reference, "--signature-repository", &own]);
    assert_eq!(result["signatureRepository"], Value::Null);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_repository_that_is_not_there_yet_is_no_registry_without_the_api() {
    let options =
        RegistryOptions { referrers: Referrers::ApiForKnown, ..RegistryOptions::default() };
    let other = Registry::start(options);
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let there = elsewhere(&other);
    // It answers 404 for the referrers of a manifest that it does not hold, before and after.
    world.run(&["sign", &reference, "--signature-repository", &there]).exits(0);
    assert_eq!(listed(&other, &pushed).len(), 1);
    world.verify(&[&reference, "--signature-repository", &there]).exits(0);
}

#[test]
fn what_is_no_repository_is_refused_before_anybody_is_asked() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    for wrong in ["oci://ghcr.io", "oci://ghcr.io/a:1", "a", "oci://u:p@ghcr.io/a", "https://x/y"] {
        let ended = world.verify(&[&reference, "--signature-repository", wrong]).exits(2);
        let ended = ended.says("not a repository: --signature-repository");
        assert!(!ended.stderr.contains("u:p"), "{}", ended.stderr);
    }
    world.environment.insert("COSIGN_REPOSITORY".into(), "user/signatures".into());
    world.run(&["sign", &reference]).exits(2).says("COSIGN_REPOSITORY=oci://HOST/PATH");
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn a_tree_shows_what_the_other_repository_holds() {
    let world = World::new();
    let other = Registry::start(RegistryOptions::default());
    let (reference, _) = world.push_web();
    let there = elsewhere(&other);
    world.run(&["sign", &reference, "--signature-repository", &there]).exits(0);
    world.run(&["tree", &reference]).exits(0).prints("nothing attached");
    let ended = world.run(&["tree", &reference, "--signature-repository", &there]).exits(0);
    let ended = ended.prints(&format!("Signatures in: {there}\n")).prints("signature (bundle)");
    ended.prints(&format!(" --signature-repository {there}\n"));
}

#[test]
fn a_chart_that_is_signed_elsewhere_is_left_alone_there() {
    let world = World::new();
    let other = Registry::start(RegistryOptions::default());
    let (reference, pushed) = world.push_web();
    let (there, signer) = (elsewhere(&other), world.signer());
    let mut words =
        vec!["sign", reference.as_str(), "--skip-if-signed", "--signature-repository", &there];
    words.extend(signer.iter().map(String::as_str));
    world.run(&words).exits(0);
    world.run(&words).exits(0);
    assert_eq!(listed(&other, &pushed).len(), 1);
}

#[test]
fn a_hint_repeats_where_the_signatures_are() {
    let world = World::new();
    let other = Registry::start(RegistryOptions::default());
    let (reference, _) = world.push_web();
    let there = elsewhere(&other);
    world.run(&["sign", &reference, "--signature-repository", &there]).exits(0);
    let ended = world.run(&["verify", &reference, "--signature-repository", &there]).exits(2);
    ended.says(&format!("--signature-repository {there}"));
}
