//! `doctor`: who accepts a chart besides us, why not, and what mends it.

use std::collections::BTreeMap;

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Options as RegistryOptions, media_type};
use helm_sigstore_kit::sigstore::{Options, RekorVersion};
use serde_json::{Value, json};

use crate::cli_json::follows;
use crate::key_support;
use crate::legacy_support::{legacy_image, legacy_tag};
use crate::support::World;
use crate::verify_craft::{BUNDLE, put, referrer, sign, usual};

const SCHEMA: &str = include_str!("../../docs/doctor.schema.json");

/// The document of `doctor -o json`, held to its schema.
#[track_caller]
pub(crate) fn doctor(world: &World, arguments: &[&str], code: u8) -> Value {
    let mut words = vec!["doctor", "-o", "json"];
    words.extend(arguments);
    let document = world.run(&words).exits(code).json();
    follows(SCHEMA, &document);
    assert_eq!(document["exitCode"], code);
    document
}

/// What is said of each consumer, by name.
pub(crate) fn opinions(document: &Value) -> BTreeMap<String, Value> {
    let consumers = document["consumers"].as_array().unwrap();
    consumers.iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone())).collect()
}

/// The consumers of that opinion.
fn those(document: &Value, acceptance: &str) -> Vec<String> {
    let consumers = document["consumers"].as_array().unwrap();
    consumers
        .iter()
        .filter(|one| one["acceptance"] == acceptance)
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Runs a command that was printed.
#[track_caller]
fn paste(world: &World, command: &Value) {
    let command = command.as_str().unwrap();
    let words: Vec<_> = command.strip_prefix("helm-sigstore ").unwrap().split(' ').collect();
    world.run(&words).exits(0);
}

#[test]
fn a_bundle_in_the_image_of_the_older_format_is_found_by_nobody_else() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    let mut image = legacy_image(&world, &pushed, &[]);
    let digest = world.registry.put_blob(&pushed.repository, bundle.clone());
    image["layers"] = json!([{"mediaType": BUNDLE, "size": bundle.len(), "digest": digest}]);
    let (tag, bytes) = (legacy_tag(&pushed), image.to_string().into_bytes());
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::MANIFEST, bytes);
    world.verify(&[&reference]).exits(0);
    let document = doctor(&world, &[&reference], 5);
    assert_eq!(those(&document, "accepts"), Vec::<String>::new());
    let kyverno = &opinions(&document)["kyverno-cosign"];
    assert!(kyverno["why"].as_str().unwrap().contains("where nobody looks"), "{kyverno:#}");
    paste(&world, &kyverno["mend"]);
}

/// Nothing was written to the registry.
#[track_caller]
pub(crate) fn assert_only_read(world: &World) {
    let written: Vec<_> = world
        .registry
        .requests()
        .iter()
        .filter(|request| !request.is_token() && request.method != "GET")
        .map(|request| request.line())
        .collect();
    assert!(written.is_empty(), "{written:#?}");
}

#[test]
fn a_chart_with_both_formats_is_accepted_by_all_who_can_accept_it() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--signature-format", "both"]).exits(0);
    world.registry.reset_requests();
    let document = doctor(&world, &[&reference], 0);
    assert_only_read(&world);
    assert_eq!(document["signers"], "any");
    // The tag has to be allowed there, and the kit's workflow is none of GitHub's.
    assert_eq!(those(&document, "depends"), ["ratify", "hauler"]);
    assert_eq!(those(&document, "refuses"), ["gh"]);
    let cosign = opinions(&document)["cosign-3"].clone();
    let command = cosign["command"].as_str().unwrap();
    assert!(
        command.starts_with("cosign verify --certificate-identity https://github.com/"),
        "{command}"
    );
    let source = " --certificate-github-workflow-repository acme/charts ";
    assert!(command.contains(source), "{command}");
    assert!(command.ends_with(document["image"].as_str().unwrap()), "{command}");
}

#[test]
fn the_command_that_is_named_mends_what_a_consumer_refuses() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let document = doctor(&world, &[&reference], 5);
    let refused = ["flux-older", "sveltos", "kyverno-cosign", "ratify", "connaisseur", "gh"];
    assert_eq!(those(&document, "refuses"), refused);
    let opinions = opinions(&document);
    assert_eq!(opinions["policy-controller"]["acceptance"], "depends");
    paste(&world, &opinions["ratify"]["mend"]);
    let document = doctor(&world, &[&reference], 0);
    assert_eq!(those(&document, "refuses"), ["gh"]);
    // It takes no chart but among images.
    assert_eq!(those(&document, "depends"), ["hauler"]);
}

#[test]
fn only_the_consumers_that_are_named_decide() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let document = doctor(&world, &[&reference, "--for", "flux,cosign-2.6"], 0);
    assert_eq!(document["consumers"].as_array().unwrap().len(), 2);
    doctor(&world, &[&reference, "--for", "connaisseur"], 5);
    // What nothing mends is a no where it was asked for.
    doctor(&world, &[&reference, "--for", "gh"], 5);
    world.run(&["doctor", &reference, "--for", "argonaut"]).exits(2).says("argonaut");
}

#[test]
fn of_those_who_look_at_nothing_it_says_so_and_what_has_to_run_before_them() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let document = doctor(&world, &[&reference, "--for", "argo,zarf"], 0);
    assert_eq!(document["consumers"], json!([]));
    let ignored: Vec<_> = document["ignoredBy"].as_array().unwrap().iter().collect();
    assert_eq!((&ignored[0]["name"], &ignored[1]["name"]), (&json!("argo-cd"), &json!("zarf")));
    assert_eq!(ignored.len(), 2);
    paste(&world, &ignored[0]["command"]);
    world
        .run(&["doctor", &reference, "--for", "argo-cd"])
        .exits(0)
        .prints("ignores   Argo CD: it looks at no Sigstore signature of a chart, only at GnuPG signatures of git commits (read in Argo CD of 2026-08)\n          before: helm-sigstore verify oci://")
        .prints("\na signature counts, and nobody of these looks\n");
    // Those who look decide, as without them.
    doctor(&world, &[&reference, "--for", "argo-cd,connaisseur"], 5);
    let document = doctor(&world, &[&reference, "--for", "flux"], 0);
    assert_eq!(document["ignoredBy"], json!([]));
}

#[test]
fn a_chart_without_a_signature_is_unsigned_for_those_who_do_not_look_either() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let document = doctor(&world, &[&reference, "--for", "argo-cd"], 3);
    assert_eq!(document["ignoredBy"][0]["command"], json!(null));
}

#[test]
fn without_a_signature_everybody_refuses_and_the_exit_code_says_unsigned() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let document = doctor(&world, &[&reference], 3);
    assert_eq!(those(&document, "refuses").len(), 17);
    assert_eq!(document["reason"], "unsigned");
    paste(&world, &opinions(&document)["cosign-3"]["mend"]);
    doctor(&world, &[&reference], 0);
}

#[test]
fn no_such_chart_and_a_file_are_what_they_are_everywhere() {
    let world = World::new();
    let missing = format!("{}:9.9.9", world.repository("web"));
    world.run(&["doctor", &missing]).exits(6).says("error: no such chart");
    world.run(&["doctor", "web-1.4.2.tgz"]).exits(2).says("doctor is for references");
    let (reference, _) = world.push_web();
    world
        .run(&["doctor", &reference, "--bundle", "x"])
        .exits(2)
        .says("hint: --repair --bundle FILE");
    world
        .run(&["doctor", &reference, "--min-signatures", "2", "--github", "a/b", "--github", "c/d"])
        .exits(2);
}

#[test]
fn somebody_elses_signature_counts_for_nobody() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let document = doctor(&world, &[&reference, "--github", "mallory/charts"], 5);
    assert_eq!(
        (&document["signers"], &document["reason"]),
        (&json!("identity"), &json!("wrong-signer"))
    );
    assert_eq!(opinions(&document)["cosign-3"]["acceptance"], "refuses");
    let signer = world.signer();
    let mut words = vec![reference.as_str(), "--for", "cosign-3"];
    words.extend(signer.iter().map(String::as_str));
    doctor(&world, &words, 0);
}

#[test]
fn a_place_that_does_not_answer_is_no_refusal() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.registry.fault(Fault::new(".sig", Action::status(403)));
    let document = doctor(&world, &[&reference], 4);
    assert_eq!(document["open"], true);
    assert_eq!(those(&document, "refuses"), Vec::<String>::new());
    assert_eq!(opinions(&document)["connaisseur"]["acceptance"], "unknown");
    // What was found stands.
    assert_eq!(opinions(&document)["cosign-3"]["acceptance"], "accepts");
    world.run(&["doctor", &reference]).exits(4).prints("\nnot everything was answered; retry\n");
}

#[test]
fn a_signature_in_rekor_v2_alone_depends_on_what_a_consumer_is_told() {
    let options = Options { rekor: vec![RekorVersion::V2], ..Options::default() };
    let world = World::with(RegistryOptions::default(), options);
    let (reference, _) = world.signed_web();
    let document = doctor(&world, &[&reference], 5);
    let opinions = opinions(&document);
    assert_eq!(opinions["cosign-3"]["acceptance"], "accepts");
    let older = &opinions["cosign-2.6"];
    assert_eq!(older["acceptance"], "depends");
    assert!(older["command"].as_str().unwrap().contains(" --use-signed-timestamps "), "{older:#}");
    assert_eq!(opinions["flux"]["acceptance"], "accepts");
    assert_eq!(opinions["kyverno-bundle"]["acceptance"], "accepts");
    assert!(opinions["connaisseur"]["mend"].as_str().unwrap().contains("--rekor-version 1"));
}

#[test]
fn a_signature_by_a_key_is_judged_with_the_key() {
    let world = key_support::with_key(World::new(), "release");
    let (reference, _) = key_support::signed(&world, &[]);
    doctor(&world, &[&reference, "--for", "cosign-3"], 5);
    let key = world.argument("release.pub");
    let document =
        doctor(&world, &[&reference, "--for", "cosign-3,policy-controller", "--key", &key], 5);
    assert_eq!(document["signers"], "key");
    let opinions = opinions(&document);
    assert_eq!(opinions["cosign-3"]["acceptance"], "accepts");
    assert!(opinions["cosign-3"]["command"].as_str().unwrap().contains(" --key cosign.pub "));
    // It takes no bundle by a key.
    assert_eq!(opinions["policy-controller"]["acceptance"], "refuses");
}

#[test]
fn a_bundle_whose_manifest_lacks_its_kind_is_no_signature_for_artifact_hub() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle =
        crate::verify_craft::sign(&world, &crate::verify_craft::usual(&pushed, "web", "1.4.2"));
    let mut manifest = referrer(&pushed, &bundle);
    world.registry.put_blob(&pushed.repository, bundle);
    manifest["annotations"] = json!({});
    put(&world, &pushed, &manifest);
    let document = doctor(&world, &[&reference, "--for", "artifact-hub,cosign-3"], 5);
    let opinions = opinions(&document);
    assert_eq!(opinions["cosign-3"]["acceptance"], "accepts");
    assert_eq!(opinions["artifact-hub"]["acceptance"], "refuses");
    paste(&world, &opinions["artifact-hub"]["mend"]);
    doctor(&world, &[&reference, "--for", "artifact-hub,cosign-3"], 0);
}

#[test]
fn one_bundle_that_cannot_be_read_fails_those_who_read_all_of_them() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let junk = b"{}".to_vec();
    let manifest = referrer(&pushed, &junk);
    world.registry.put_blob(&pushed.repository, junk);
    put(&world, &pushed, &manifest);
    let document = doctor(&world, &[&reference, "--for", "kyverno-bundle,cosign-3,flux"], 5);
    let opinions = opinions(&document);
    assert_eq!(opinions["kyverno-bundle"]["acceptance"], "refuses");
    assert_eq!(opinions["cosign-3"]["acceptance"], "accepts");
}

#[test]
fn a_bundle_of_another_chart_among_good_ones_is_passed_over() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let other = world.push(&Chart::new("api", "1.0.0"));
    let foreign =
        crate::verify_craft::sign(&world, &crate::verify_craft::usual(&other, "api", "1.0.0"));
    let manifest = referrer(&pushed, &foreign);
    world.registry.put_blob(&pushed.repository, foreign);
    put(&world, &pushed, &manifest);
    let document = doctor(&world, &[&reference, "--for", "kyverno-bundle,cosign-3"], 0);
    let opinions = opinions(&document);
    assert_eq!(opinions["kyverno-bundle"]["acceptance"], "accepts");
}

#[test]
fn where_the_sig_tag_holds_no_signature_by_a_trusted_signer_hauler_looks_at_no_bundle() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let document = doctor(&world, &[&reference, "--for", "hauler"], 0);
    assert_eq!(opinions(&document)["hauler"]["acceptance"], "depends");
    let world = key_support::with_key(world, "release");
    key_support::sign(&world, &reference, &["--signature-format", "legacy"]).exits(0);
    let document = doctor(&world, &[&reference, "--for", "hauler,cosign-3"], 5);
    assert_eq!(opinions(&document)["hauler"]["acceptance"], "refuses");
    assert_eq!(opinions(&document)["cosign-3"]["acceptance"], "accepts");
}

#[test]
fn a_signature_that_nobody_looks_for_under_the_tag_is_refused_by_those_who_ask_the_api() {
    // It was signed when the registry had no referrers API.
    let before = World::with_fallback_registry();
    let (_, signed) = before.signed_web();
    let mut world = World::new();
    world.environment.clone_from(&before.environment);
    let (reference, pushed) = world.push_web();
    assert_eq!(signed.manifest_digest, pushed.manifest_digest);
    let tag = pushed.manifest_digest.replacen(':', "-", 1);
    for digest in before.registry.manifests(&signed.repository) {
        let (kind, bytes) = before.registry.manifest(&signed.repository, &digest).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        // Without its subject the registry does not list it.
        let tag = (kind == media_type::INDEX).then_some(tag.as_str());
        if tag.is_none() && text.contains("\"subject\"") {
            let mut manifest: Value = serde_json::from_str(&text).unwrap();
            manifest.as_object_mut().unwrap().remove("subject");
            let bytes = manifest.to_string().into_bytes();
            let (size, kept) = (bytes.len(), helm_sigstore_kit::registry::digest_of(&bytes));
            world.registry.put_manifest(&pushed.repository, None, media_type::MANIFEST, bytes);
            let entry = json!({"mediaType": media_type::MANIFEST, "digest": kept, "size": size,
                "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json"});
            let index = helm_sigstore_kit::registry::index(&[entry]);
            let name = pushed.manifest_digest.replacen(':', "-", 1);
            world.registry.put_manifest(&pushed.repository, Some(&name), media_type::INDEX, index);
        }
    }
    let document = doctor(&world, &[&reference, "--for", "cosign-3"], 5);
    let why = opinions(&document)["cosign-3"]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("it asks the referrers API"), "{why}");
}

#[test]
fn what_strangers_wrote_is_escaped_in_words() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.signed_web();
    let tag = pushed.manifest_digest.replacen(':', "-", 1);
    let (_, bytes) = world.registry.manifest(&pushed.repository, &tag).unwrap();
    let mut index: Value = serde_json::from_slice(&bytes).unwrap();
    index["manifests"][0]["artifactType"] = json!("x\u{1b}[2K\u{202e}\naccepts   everybody");
    let bytes = index.to_string();
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::INDEX, bytes);
    let ended = world.run(&["doctor", &reference]).exits(5);
    assert!(!ended.stdout.contains(['\u{1b}', '\u{202e}']), "{:?}", ended.stdout);
    assert!(!ended.stdout.contains("\naccepts   everybody"), "{:?}", ended.stdout);
    ended.prints("  to mend: artifactType of sha256:");
}

#[test]
fn the_words_say_who_signed_what_lists_it_and_what_a_clean_up_would_delete() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let ended = world.run(&["doctor", &reference]).exits(5);
    let ended = ended
        .prints(&format!("{reference} ({})\n", pushed.manifest_digest))
        .prints("Signers: nobody was named, so any valid signature counts\n")
        .prints("Signature: bundle (referrers API), Rekor v1 at ")
        .prints("Listing: referrers API (1 found)\n")
        .prints("Clean-up: bundles have no tag of their own; exempt what refers to a chart")
        .prints("accepts   cosign 3: a bundle (measured with 3.1.3)\n")
        .prints("refuses   Connaisseur: it reads the .sig tag alone")
        .prints("          mend: helm-sigstore sign oci://");
    ended
        .prints("ignores   Helm, Argo CD, Fleet, ")
        .prints(": they look at no Sigstore signature of a chart\n          before: helm-sigstore verify ")
        .prints("\n5 consumers refuse it\n");
}
