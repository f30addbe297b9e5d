//! `sign FILE` alone: the bundle beside a packaged chart, and no registry.

use base64::Engine as _;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::{Fault, Service};
use serde_json::Value;

use crate::key_support::{sign, verify, with_key};
use crate::sign_support::{asked, assert_nothing_public};
use crate::support::World;

/// Packs `web` 1.4.2; answers its file and the bundle that belongs beside it.
fn packed(world: &World) -> (String, String) {
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    (file.clone(), format!("{file}.sigstore.json"))
}

fn subjects(bundle: &str) -> Vec<Value> {
    let bundle: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    statement["subject"].as_array().unwrap().clone()
}

fn files(world: &World) -> usize {
    std::fs::read_dir(world.directory()).unwrap().count()
}

#[test]
fn a_file_by_itself_is_signed_beside_it_and_verified_with_that_without_any_registry() {
    let world = World::new();
    let (file, bundle) = packed(&world);
    let before = files(&world);
    world
        .run(&["sign", &file])
        .exits(0)
        .prints(&format!("Signed: {file}\nDigest: sha256:"))
        .prints(&format!("Bundle: {bundle}\n"));
    assert_eq!((asked(&world), files(&world)), ((1, 1, 1), before + 1));
    let subjects = subjects(&bundle);
    assert_eq!(subjects.len(), 1, "{subjects:#?}");
    assert_eq!(subjects[0]["name"], "web-1.4.2.tgz");
    world.verify(&[&file]).exits(0).prints("(signed: chart)");
    world.verify(&[&file, "--offline"]).exits(0);
    assert_eq!(world.registry.connections(), 0);
}

#[test]
fn the_report_names_the_bundle_and_the_chart() {
    let world = World::new();
    let (file, bundle) = packed(&world);
    let document = world.run(&["sign", &file, "-o", "json"]).exits(0).json();
    let result = &document["results"][0];
    assert_eq!(result["verdict"], "signed");
    assert_eq!(result["bundleFile"], bundle.as_str());
    assert_eq!(result["manifestDigest"], Value::Null);
    assert_eq!(result["attached"], serde_json::json!([]));
    let signature = &result["signatures"][0];
    assert_eq!(
        (&signature["place"], &signature["subject"]["kind"]),
        (&"file".into(), &"chart".into())
    );
    assert_eq!(signature["subject"]["digest"], result["chartDigest"]);
}

#[test]
fn a_bundle_that_exists_is_kept_and_nothing_is_made_public() {
    let world = World::new();
    let (file, bundle) = packed(&world);
    std::fs::write(&bundle, "somebody else's").unwrap();
    let before = files(&world);
    world
        .run(&["sign", &file])
        .exits(2)
        .says(&format!("error: bundle exists: {bundle}\n"))
        .says("--force");
    assert_nothing_public(&world);
    assert_eq!(std::fs::read_to_string(&bundle).unwrap(), "somebody else's");
    assert_eq!(files(&world), before);
    world.run(&["sign", &file, "--force"]).exits(0);
    world.verify(&[&file]).exits(0);
}

#[test]
fn bundle_out_names_another_place_and_several_files_have_one_each() {
    let world = World::new();
    let (file, bundle) = packed(&world);
    let elsewhere = world.argument("web.bundle");
    world.run(&["sign", &file, "--bundle-out", &elsewhere]).exits(0);
    assert!(!std::path::Path::new(&bundle).exists());
    world.verify(&[&file, "--bundle", &elsewhere]).exits(0);
    let other = Chart::new("api", "2.0.0").write_to(world.directory()).unwrap();
    let other = other.display().to_string();
    world.sigstore.reset_requests();
    world.run(&["sign", &file, &other]).exits(0);
    assert_eq!(asked(&world), (1, 2, 2));
    world.verify(&[&file, &other]).exits(0);
}

#[test]
fn where_no_bundle_can_be_written_nothing_is_made_public() {
    let world = World::new();
    let (file, bundle) = packed(&world);
    let gone = world.path("gone").join("web.json").display().to_string();
    world.run(&["sign", &file, "--bundle-out", &gone]).exits(2);
    std::fs::create_dir(&bundle).unwrap();
    world.run(&["sign", &file, "--force"]).exits(2).says("it is a directory");
    assert_nothing_public(&world);
}

#[test]
fn a_failure_leaves_no_file_behind() {
    let world = World::new();
    let (file, _) = packed(&world);
    let before = files(&world);
    world.sigstore.set_fault(Fault::Status(Service::Fulcio, 400));
    world.run(&["sign", &file]).exits(2);
    let not_a_chart = world.argument("x-1.0.0.tgz");
    std::fs::write(&not_a_chart, "no archive").unwrap();
    world.run(&["sign", &not_a_chart]).exits(5);
    world.run(&["sign", &file, "--version", "1.4.2"]).exits(2);
    assert_eq!(files(&world), before + 1);
}

#[test]
fn a_file_is_signed_with_a_key_and_without_any_service() {
    let mut world = with_key(World::new(), "release");
    for name in ["HELM_SIGSTORE_SIGNING_CONFIG", "HELM_SIGSTORE_TRUSTED_ROOT"] {
        world.environment.remove(name);
    }
    let (file, _) = packed(&world);
    sign(&world, &file, &["--tlog-upload=false"]).exits(0);
    verify(&world, &file, "release", &["--insecure-ignore-tlog"]).exits(0);
    assert_nothing_public(&world);
}
