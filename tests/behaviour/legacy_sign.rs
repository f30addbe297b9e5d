//! Signing for those who read only what cosign made before bundles.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Options, Pushed, digest_of, media_type};
use helm_sigstore_kit::sigstore::{Options as SigstoreOptions, RekorVersion, SIMPLE_SIGNING};
use serde_json::{Value, json};

use crate::legacy_support::{legacy_as, legacy_tag, payload, tag_legacy};
use crate::sign_support::{asked, assert_nothing_public, attached, sign_json};
use crate::support::World;
use crate::verify_craft::MALLORY;

/// A user who says nothing of formats.
fn world_with(registry: Options, sigstore: SigstoreOptions) -> World {
    let mut world = World::with(registry, sigstore);
    world.environment.remove("HELM_SIGSTORE_SIGNATURE_FORMAT");
    world
}

fn world() -> World {
    world_with(Options::default(), SigstoreOptions::default())
}

/// The image under the `.sig` tag of a chart.
fn image(world: &World, pushed: &Pushed) -> Value {
    let (_, bytes) = world.registry.manifest(&pushed.repository, &legacy_tag(pushed)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn has_tag(world: &World, pushed: &Pushed) -> bool {
    world.registry.resolve(&pushed.repository, &legacy_tag(pushed)).is_some()
}

fn blob(world: &World, pushed: &Pushed, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = world.registry.blob(&pushed.repository, digest).unwrap().to_vec();
    assert_eq!(digest_of(&bytes), digest);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

#[test]
fn a_chart_gets_both_formats_with_one_certificate_unless_the_user_says_otherwise() {
    for registry in [Options::default(), Options::fallback()] {
        let world = world_with(registry, SigstoreOptions::default());
        let (reference, pushed) = world.push_web();
        let (code, result) = sign_json(&world, &[&reference]);
        assert_eq!(code, 0, "{result:#}");
        assert_eq!(asked(&world), (1, 2, 2), "one certificate for both");
        let formats: Vec<_> =
            result["signatures"].as_array().unwrap().iter().map(|s| &s["format"]).collect();
        assert_eq!(formats, ["bundle", "legacy"]);
        let places: Vec<_> =
            result["attached"].as_array().unwrap().iter().map(|one| &one["place"]).collect();
        assert_eq!(places[1], "cosign-tag");
        assert_eq!(attached(&world, &pushed).len(), 1);
        for accept in ["bundle", "legacy"] {
            let result = world.verdict(&["--accept", accept, &reference]);
            assert_eq!(result["verdict"], "verified", "{accept}: {result:#}");
        }
        let result = world.verdict(&["--all", &reference]);
        let signers: Vec<_> =
            result["signatures"].as_array().unwrap().iter().map(|s| &s["signer"]).collect();
        assert_eq!(signers.len(), 2);
        assert_eq!(signers[0], signers[1]);
    }
}

#[test]
fn the_image_is_what_cosign_writes() {
    let world = world();
    let (reference, pushed) = world.push_web();
    let ended = world.run(&["sign", &reference]).exits(0);
    assert_eq!(ended.stdout.matches("Signed by: ").count(), 1, "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("Logged in: ").count(), 2, "{}", ended.stdout);
    ended.prints(" (referrers API)\n").prints(" (cosign tag)\n");
    let image = image(&world, &pushed);
    assert_eq!(image["schemaVersion"], 2);
    assert_eq!(image["mediaType"], media_type::MANIFEST);
    for absent in ["artifactType", "subject", "annotations"] {
        assert_eq!(image[absent], Value::Null, "{absent}");
    }
    assert_eq!(image["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let [layer] = image["layers"].as_array().unwrap().as_slice() else { panic!("{image:#}") };
    assert_eq!(layer["mediaType"], SIMPLE_SIGNING);
    let payload = String::from_utf8(blob(&world, &pushed, layer)).unwrap();
    assert_eq!(
        payload,
        format!(
            "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"{}/charts/web\"}},\
             \"image\":{{\"docker-manifest-digest\":\"{}\"}},\
             \"type\":\"cosign container image signature\"}},\"optional\":null}}",
            world.registry.host(),
            pushed.manifest_digest
        )
    );
    let config: Value = serde_json::from_slice(&blob(&world, &pushed, &image["config"])).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([layer["digest"]]));
    let annotation = |name: &str| layer["annotations"][name].as_str().unwrap().to_owned();
    assert!(!annotation("dev.cosignproject.cosign/signature").is_empty());
    let certificate = annotation("dev.sigstore.cosign/certificate");
    assert!(
        certificate.starts_with("-----BEGIN CERTIFICATE-----\n") && !certificate.contains('\r')
    );
    let chain = annotation("dev.sigstore.cosign/chain");
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2, "intermediate and root");
    let log: Value = serde_json::from_str(&annotation("dev.sigstore.cosign/bundle")).unwrap();
    assert!(log["SignedEntryTimestamp"].is_string());
    // The index in the whole log, which is the one that is promised.
    assert!(log["Payload"]["logIndex"].as_u64().unwrap() > 20_000);
    assert_eq!(log["Payload"]["logID"].as_str().unwrap().len(), 64);
    let stamp = annotation("dev.sigstore.cosign/rfc3161timestamp");
    assert!(stamp.starts_with("{\"SignedRFC3161Timestamp\":\""), "{stamp}");
}

#[test]
fn each_word_of_signature_format_writes_what_it_says() {
    for (word, bundles, referrers, tag) in
        [("bundle", 1, 1, false), ("legacy", 0, 0, true), ("both", 1, 1, true), ("all", 1, 2, true)]
    {
        let world = world();
        let (reference, pushed) = world.push_web();
        let (code, result) = sign_json(&world, &["--signature-format", word, &reference]);
        assert_eq!(code, 0, "{word}: {result:#}");
        assert_eq!(has_tag(&world, &pushed), tag, "{word}");
        let found = attached(&world, &pushed);
        assert_eq!(found.len(), referrers, "{word}: {found:#?}");
        let kinds: Vec<_> = found.iter().filter_map(|one| one["artifactType"].as_str()).collect();
        let made = kinds.iter().filter(|kind| kind.contains("bundle")).count();
        assert_eq!(made, bundles, "{word}");
        world.verify(&[&reference]).exits(0);
        // Of all of them none is a bad one.
        let result = world.verdict(&["--all", &reference]);
        let statuses = result["signatures"].as_array().unwrap();
        assert!(statuses.iter().all(|one| one["status"] == "accepted"), "{word}: {result:#}");
    }
    let world = world();
    let (reference, _) = world.push_web();
    world.run(&["sign", "--signature-format", "pgp", &reference]).exits(2);
}

#[test]
fn the_signature_that_refers_to_the_chart_is_the_one_that_ratify_reads() {
    let world = world();
    let (reference, pushed) = world.push_web();
    world.run(&["sign", "--signature-format", "all", &reference]).exits(0);
    let kind = "application/vnd.dev.cosign.artifact.sig.v1+json";
    let found = attached(&world, &pushed);
    let found = found.iter().find(|one| one["artifactType"] == kind).unwrap();
    let digest = found["digest"].as_str().unwrap();
    let (_, bytes) = world.registry.manifest(&pushed.repository, digest).unwrap();
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(manifest["config"]["mediaType"], kind);
    assert_eq!(manifest["subject"]["digest"], pushed.manifest_digest);
    blob(&world, &pushed, &manifest["config"]);
    // The very signature under the tag.
    assert_eq!(manifest["layers"], image(&world, &pushed)["layers"]);
}

#[test]
fn signatures_of_others_under_the_tag_are_kept_byte_for_byte() {
    let world = world();
    let (reference, pushed) = world.push_web();
    let theirs = legacy_as(&world, MALLORY, &payload(&pushed));
    tag_legacy(&world, &pushed, &[theirs]);
    let (_, before) = world.registry.manifest(&pushed.repository, &legacy_tag(&pushed)).unwrap();
    let before = String::from_utf8(before.to_vec()).unwrap();
    let layer = &before[before.find("\"layers\":[").unwrap() + 10..before.rfind(']').unwrap()];
    world.run(&["sign", &reference]).exits(0);
    world.run(&["sign", &reference]).exits(0);
    let (_, after) = world.registry.manifest(&pushed.repository, &legacy_tag(&pushed)).unwrap();
    assert!(String::from_utf8(after.to_vec()).unwrap().contains(layer));
    let image = image(&world, &pushed);
    assert_eq!(image["layers"].as_array().unwrap().len(), 3);
    let config: Value = serde_json::from_slice(&blob(&world, &pushed, &image["config"])).unwrap();
    let layers = image["layers"].as_array().unwrap();
    let digests: Vec<_> = layers.iter().map(|layer| layer["digest"].clone()).collect();
    assert_eq!(config["rootfs"]["diff_ids"], json!(digests), "who appends reads this");
    let result = world.verdict(&["--accept", "legacy", "--all", &reference]);
    let statuses: Vec<_> = result["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["format"] == "legacy")
        .map(|one| &one["status"])
        .collect();
    assert_eq!(statuses, ["accepted", "accepted", "refused"]);
}

#[test]
fn rekor_v2_gives_a_bundle_alone_and_a_word_about_it() {
    let options = SigstoreOptions { rekor: vec![RekorVersion::V2], ..SigstoreOptions::default() };
    let world = world_with(Options::default(), options);
    let (reference, pushed) = world.push_web();
    world
        .run(&["sign", &reference])
        .exits(0)
        .says("no legacy signature beside the bundle: Rekor v2");
    assert!(!has_tag(&world, &pushed));
    world.verify(&[&reference]).exits(0);
    world.sigstore.reset_requests();
    for word in ["legacy", "both", "all"] {
        let ended = world.run(&["sign", "--signature-format", word, &reference]).exits(2);
        ended.says("the log cannot promise").says("hint: --signature-format bundle");
        assert_nothing_public(&world);
    }
    // Who asked for a bundle knows.
    let ended = world.run(&["sign", "--signature-format", "bundle", &reference]).exits(0);
    assert!(!ended.stderr.contains("legacy"), "{}", ended.stderr);
}

#[test]
fn a_registry_that_can_list_no_bundle_gets_the_tag_and_that_is_said() {
    let gitlab = || Options { digest_tags: true, ..Options::fallback() };
    let world = world_with(gitlab(), SigstoreOptions::default());
    let (reference, pushed) = world.push_web();
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!(code, 0, "{result:#}");
    assert_eq!(result["attached"].as_array().unwrap().len(), 1);
    assert_eq!(result["attached"][0]["place"], "cosign-tag");
    assert!(has_tag(&world, &pushed));
    world.verify(&[&reference]).exits(0);
    let ended = world.run(&["sign", &reference]).exits(0);
    ended.says("holds the manifest itself").says("in the legacy format alone");
    // Who insists on a bundle is told before anything is public.
    world.sigstore.reset_requests();
    for word in ["bundle", "both", "all"] {
        world.run(&["sign", "--signature-format", word, &reference]).exits(4);
        assert_nothing_public(&world);
    }
    let world = world_with(gitlab(), SigstoreOptions::default());
    let (reference, _) = world.push_web();
    world.run(&["sign", "--signature-format", "legacy", &reference]).exits(0);
}

#[test]
fn a_tag_that_cannot_be_written_costs_the_bundle_nothing_unless_it_was_asked_for() {
    let refused = |world: &World| {
        let immutable = Action::status(409);
        world.registry.fault(Fault::new(".sig", immutable).method("PUT"));
    };
    let world = world();
    let (reference, pushed) = world.push_web();
    refused(&world);
    let ended = world.run(&["sign", &reference]).exits(0);
    ended.says("tags are immutable here").says("the bundle is attached, and no legacy signature");
    assert!(!has_tag(&world, &pushed) && attached(&world, &pushed).len() == 1);
    let (code, result) = sign_json(&world, &["--signature-format", "both", &reference]);
    assert_eq!((code, &result["verdict"]), (4, &json!("undecided")), "{result:#}");
    assert_eq!(result["attached"].as_array().unwrap().len(), 1, "what there is, is told");
    assert_eq!(attached(&world, &pushed).len(), 2);
}

#[test]
fn something_else_under_the_tag_is_never_overwritten() {
    let world = world();
    let (reference, pushed) = world.push_web();
    let tag = legacy_tag(&pushed);
    let other = br#"{"schemaVersion":2,"manifests":[]}"#;
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::INDEX, other.to_vec());
    let ended = world.run(&["sign", &reference]).exits(0);
    ended.says("holds something that is no signature").says("no legacy signature is written");
    let (_, bytes) = world.registry.manifest(&pushed.repository, &tag).unwrap();
    assert_eq!(bytes.as_ref(), other);
    world.sigstore.reset_requests();
    world.run(&["sign", "--signature-format", "legacy", &reference]).exits(4);
    assert_nothing_public(&world);
}

#[test]
fn what_the_user_says_of_the_chart_stands_where_cosign_reads_it() {
    let world = world();
    let (reference, pushed) = world.push_web();
    let words = ["sign", "-a", "build=42", "--annotations", "team=a=b", &reference];
    world.run(&words).exits(0);
    let image = image(&world, &pushed);
    let payload: Value =
        serde_json::from_slice(&blob(&world, &pushed, &image["layers"][0])).unwrap();
    assert_eq!(payload["optional"], json!({"build": "42", "team": "a=b"}));
    let statement = crate::sign_support::signature(&world, &pushed).statement;
    let said = json!({"build": "42", "team": "a=b"});
    assert_eq!(statement["subject"][0]["annotations"], said);
    // The chart's own stay as they are.
    assert_eq!(statement["subject"][1]["annotations"]["org.opencontainers.image.version"], "1.4.2");
    assert_eq!(statement["subject"][1]["annotations"]["build"], Value::Null);
    world.verify(&["--all", &reference]).exits(0);
    for wrong in ["build", "=42", "org.opencontainers.image.version=9"] {
        world.run(&["sign", "-a", wrong, &reference]).exits(2);
    }
    world.run(&["sign", "-a", "x=1", "-a", "x=2", &reference]).exits(2).says("it is said twice");
}

#[test]
fn a_key_signs_in_both_formats_with_and_without_a_log() {
    let mut world = world();
    world.environment.insert("COSIGN_PASSWORD".into(), "x".into());
    let prefix = world.argument("k");
    world.run(&["key", "generate", "--output-key-prefix", &prefix]).exits(0);
    let (private, public) = (world.argument("k.key"), world.argument("k.pub"));
    for (name, more) in [("web", &[][..]), ("api", &["--tlog-upload=false"])] {
        let pushed = world.push(&Chart::new(name, "1.4.2"));
        let reference = format!("{}:1.4.2", world.repository(name));
        let mut words = vec!["sign", "--key", &private, &reference];
        words.extend(more);
        world.run(&words).exits(0);
        let layer = &image(&world, &pushed)["layers"][0];
        assert_eq!(layer["annotations"]["dev.sigstore.cosign/certificate"], Value::Null);
        let logged = layer["annotations"]["dev.sigstore.cosign/bundle"].is_string();
        assert_eq!(logged, more.is_empty());
        let mut words = vec!["verify", "--accept", "legacy", "--key", &public, &reference];
        if !logged {
            words.push("--insecure-ignore-tlog");
        }
        world.run(&words).exits(0);
    }
}

#[test]
fn a_chart_in_an_index_gets_a_legacy_signature_at_both() {
    let world = world();
    let pushed = world.push(&Chart::new("web", "1.4.2"));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type::INDEX,
        "manifests": [{
            "mediaType": media_type::MANIFEST,
            "digest": pushed.manifest_digest,
            "size": pushed.manifest.len(),
        }],
    });
    let bytes = index.to_string().into_bytes();
    let digest = world.registry.put_manifest("charts/web", Some("1.4.2"), media_type::INDEX, bytes);
    let reference = format!("{}:1.4.2", world.repository("web"));
    let (code, result) = sign_json(&world, &["--signature-format", "legacy", &reference]);
    assert_eq!(code, 0, "{result:#}");
    assert_eq!(result["attached"].as_array().unwrap().len(), 2);
    for by in [reference, format!("{}@{digest}", world.repository("web"))] {
        world.verify(&[&by]).exits(0);
    }
    world.verify(&[&format!("{}@{}", world.repository("web"), pushed.manifest_digest)]).exits(0);
}

#[test]
fn a_file_alone_has_no_legacy_signature() {
    let world = world();
    let file = crate::verify_craft::package(&world, &Chart::new("web", "1.4.2"));
    for word in ["legacy", "both", "all"] {
        let ended = world.run(&["sign", "--signature-format", word, &file]).exits(2);
        ended.says("a legacy signature is for a chart in a registry");
    }
    assert_nothing_public(&world);
    world.run(&["sign", &file]).exits(0);
    assert_eq!(asked(&world), (1, 1, 1));
}

#[test]
fn signatures_kept_elsewhere_are_kept_there_in_both_formats() {
    let world = world();
    let (reference, pushed) = world.push_web();
    let elsewhere = world.repository("signatures");
    let at = ["--signature-repository", &elsewhere];
    world.run(&["sign", &reference, at[0], at[1]]).exits(0);
    assert!(!has_tag(&world, &pushed));
    assert!(world.registry.resolve("charts/signatures", &legacy_tag(&pushed)).is_some());
    world.verify(&["--accept", "legacy", at[0], at[1], &reference]).exits(0);
}

#[test]
fn both_formats_take_one_certificate_and_at_most_sixteen_requests_or_twenty_one() {
    for (mut world, most) in [(World::new(), 16), (World::with_fallback_registry(), 21)] {
        world.environment.remove("HELM_SIGSTORE_SIGNATURE_FORMAT");
        let (reference, _) = world.push_web();
        world.run(&["sign", &reference]).exits(0);
        let requests = world.registry.requests();
        assert!(
            requests.len() <= most,
            "{}: {:#?}",
            requests.len(),
            crate::sign_support::lines(&world)
        );
        assert_eq!(crate::sign_support::asked(&world), (1, 2, 2));
    }
}
