//! `sign --skip-if-signed`: what is signed as a whole by those who are named is left alone, and nothing else.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault};
use helm_sigstore_kit::sigstore::Identity;

use crate::key_support::{sign, with_key};
use crate::sign_support::{asked, attached};
use crate::support::{Ended, World};
use crate::verify_craft::{attach, bare, statement};

/// Signs again, unless the usual signer has signed.
fn again(world: &World, arguments: &[&str]) -> Ended {
    let signer = world.signer();
    let mut words = vec!["sign", "--skip-if-signed"];
    words.extend(arguments);
    words.extend(signer.iter().map(String::as_str));
    world.run(&words)
}

#[test]
fn a_chart_that_is_signed_is_left_alone_and_told() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let ended =
        again(&world, &[&reference]).exits(0).prints(&format!("Already signed: {reference}"));
    assert!(!ended.stdout.contains("Attached"), "{}", ended.stdout);
    let document = again(&world, &[&reference, "-o", "json"]).exits(0).json();
    let result = &document["results"][0];
    assert_eq!(result["verdict"], "signed");
    assert_eq!(result["alreadySigned"], true);
    assert_eq!(result["attached"], serde_json::json!([]));
    assert_eq!(result["signatures"][0]["status"], "accepted");
    assert_eq!((asked(&world), attached(&world, &pushed).len()), ((0, 0, 0), 1));
    assert!(world.registry.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn of_several_only_those_are_signed_that_are_not() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let other = world.push(&Chart::new("api", "2.0.0"));
    let api = format!("{}:2.0.0", world.repository("api"));
    let document = again(&world, &[&reference, &api, "-o", "json"]).exits(0).json();
    let already: Vec<_> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["alreadySigned"].as_bool().unwrap())
        .collect();
    assert_eq!(already, [true, false]);
    assert_eq!((asked(&world), attached(&world, &other).len()), ((1, 1, 1), 1));
}

#[test]
fn a_signature_by_somebody_else_suffices_for_nobody() {
    let mut world = World::new();
    let (reference, pushed) = world.push_web();
    let usual = world.environment["SIGSTORE_ID_TOKEN"].clone();
    let mallory = world.sigstore.token(&Identity::email("mallory@example.com"));
    world.environment.insert("SIGSTORE_ID_TOKEN".to_owned(), mallory);
    world.run(&["sign", &reference]).exits(0);
    world.environment.insert("SIGSTORE_ID_TOKEN".to_owned(), usual);
    again(&world, &[&reference]).exits(0).prints("Signed: ");
    assert_eq!(attached(&world, &pushed).len(), 2);
    again(&world, &[&reference]).exits(0).prints("Already signed: ");
}

#[test]
fn a_signature_on_the_manifest_alone_is_no_reason_to_leave_it() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    // As cosign signs: it holds for the reference and not for the file.
    let statement = statement(&[bare(&pushed.manifest_digest)]);
    attach(&world, &pushed, &crate::verify_craft::sign(&world, &statement));
    world.verify(&[&reference]).exits(0).prints("(signed: manifest)");
    again(&world, &[&reference]).exits(0).prints("\nAttached: ");
    assert_eq!(attached(&world, &pushed).len(), 2);
}

#[test]
fn a_place_that_does_not_answer_is_no_reason_to_leave_it() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.registry.fault(Fault::new("/referrers/", Action::status(403)).times(1));
    again(&world, &[&reference]).exits(0).prints("Signed: ");
}

#[test]
fn a_file_is_left_alone_beside_its_bundle() {
    let world = World::new();
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    again(&world, &[&file]).exits(0).prints("Signed: ");
    assert_eq!(asked(&world), (1, 1, 1));
    again(&world, &[&file]).exits(0).prints("Already signed: ");
    assert_eq!(asked(&world), (1, 1, 1));
    std::fs::write(format!("{file}.sigstore.json"), "{}").unwrap();
    again(&world, &[&file]).exits(2).says("bundle exists");
}

#[test]
fn a_key_suffices_for_itself() {
    let world = with_key(World::new(), "release");
    let (reference, pushed) = world.push_web();
    let flags = ["--skip-if-signed", "--tlog-upload=false"];
    sign(&world, &reference, &flags).exits(0).prints("Signed: ");
    sign(&world, &reference, &flags).exits(0).prints("Already signed: ");
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn somebody_has_to_be_named_and_only_for_this() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    world
        .run(&["sign", &reference, "--skip-if-signed"])
        .exits(2)
        .says("error: nothing says whose signature suffices");
    world
        .run(&["sign", &reference, "--github", "acme/charts"])
        .exits(2)
        .says("error: nobody is trusted by signing: --github");
    // What is set for `verify` is no mistake.
    world.environment.insert("HELM_SIGSTORE_GITHUB".to_owned(), "acme/charts".to_owned());
    world.run(&["sign", &reference]).exits(0);
}
