//! References that lead to an image index: the one chart in it is meant, or none.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{
    Options as RegistryOptions, Pushed, digest_of, index, media_type,
};
use helm_sigstore_kit::sigstore::Options;
use serde_json::{Value, json};

use crate::sign_support::{
    assert_nothing_public, attached, lines, listed_by_tag, read_signature, sign_json,
};
use crate::support::World;
use crate::verify_craft::{attach, bare, refuses, sign, statement};

const REPOSITORY: &str = "charts/web";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len()})
}

/// Stores a manifest that is none of a chart; answers its entry.
fn image(world: &World, number: usize) -> Value {
    let config = json!({"mediaType": IMAGE_CONFIG, "digest": digest_of(b"{}"), "size": 2});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [],
        "annotations": {"number": number.to_string()},
    });
    let bytes = manifest.to_string().into_bytes();
    world.registry.put_manifest(REPOSITORY, None, media_type::MANIFEST, bytes.clone());
    described(media_type::MANIFEST, &bytes)
}

/// Tags an index as web 1.4.2; answers its digest.
fn put(world: &World, entries: &[Value]) -> String {
    world.registry.put_manifest(REPOSITORY, Some("1.4.2"), media_type::INDEX, index(entries))
}

fn by_tag(world: &World) -> String {
    format!("{}:1.4.2", world.repository("web"))
}

fn by_digest(world: &World, digest: &str) -> String {
    format!("{}@{digest}", world.repository("web"))
}

/// A chart in an index, beside an image and something of a type that nobody knows.
fn indexed(world: &World) -> (Pushed, Pushed) {
    let child = world.push(&Chart::new("web", "1.4.2"));
    let other = json!({"mediaType": "application/x-y", "digest": digest_of(b"gone"), "size": 4});
    let entries = [image(world, 1), other, described(media_type::MANIFEST, &child.manifest)];
    let digest = put(world, &entries);
    let parent = Pushed { manifest_digest: digest, manifest: index(&entries), ..child.clone() };
    (parent, child)
}

#[test]
fn a_signature_by_the_tag_of_an_index_covers_and_is_attached_to_index_and_chart() {
    for (world, list) in [
        (World::new(), attached as fn(&World, &Pushed) -> Vec<Value>),
        (World::with_fallback_registry(), listed_by_tag),
    ] {
        let (parent, child) = indexed(&world);
        let (code, result) = sign_json(&world, &[&by_tag(&world)]);
        assert_eq!(code, 0, "{result:#}");
        assert_eq!(result["attached"].as_array().unwrap().len(), 2);
        assert_eq!(result["manifestDigest"], child.manifest_digest);
        let subject = json!({"kind": "index", "digest": parent.manifest_digest});
        assert_eq!(result["signatures"][0]["subject"], subject);
        assert_eq!((list(&world, &parent).len(), list(&world, &child).len()), (1, 1));
        let digest = result["attached"][0]["digest"].as_str().unwrap();
        let signature = read_signature(&world, &parent, digest);
        assert_eq!(signature.manifest["subject"]["mediaType"], media_type::INDEX);
        let subjects = signature.statement["subject"].as_array().unwrap();
        let signed: Vec<_> = subjects.iter().map(|one| one["digest"]["sha256"].clone()).collect();
        let hex = |digest: &str| json!(digest.trim_start_matches("sha256:"));
        let expected = [&parent.manifest_digest, &child.manifest_digest, &child.layer_digest];
        assert_eq!(signed, expected.map(|digest| hex(digest)));

        let index_digest = by_digest(&world, &parent.manifest_digest);
        for reference in [by_tag(&world), index_digest] {
            let ended = world.verify(&[&reference]).exits(0);
            let pinned = format!("Pinned: {}", by_digest(&world, &child.manifest_digest));
            ended.prints("(signed: index, manifest and chart)").prints(&pinned);
        }
        let alone = world.verify(&[&by_digest(&world, &child.manifest_digest)]).exits(0);
        assert!(alone.stdout.contains("(signed: manifest and chart)"), "{}", alone.stdout);
    }
}

#[test]
fn a_file_is_signed_where_the_registry_holds_it_in_an_index() {
    let world = World::new();
    let (parent, child) = indexed(&world);
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    world.run(&["sign", &file, "--repository", &world.target()]).exits(0);
    assert_eq!((attached(&world, &parent).len(), attached(&world, &child).len()), (1, 1));
    world.verify(&[&file, "--repository", &world.target()]).exits(0);
}

#[test]
fn a_signature_on_the_chart_alone_counts_through_an_index() {
    let world = World::new();
    let (_, child) = world.signed_web();
    put(&world, &[image(&world, 1), described(media_type::MANIFEST, &child.manifest)]);
    let result = world.verdict(&[&by_tag(&world)]);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    let accepted = &result["signatures"][0];
    assert_eq!(accepted["subject"]["kind"], "manifest");
    assert_eq!(accepted["subject"]["digest"], child.manifest_digest);
}

#[test]
fn a_signature_on_the_index_alone_counts_for_the_chart_that_it_names() {
    let world = World::new();
    let (parent, child) = indexed(&world);
    // As cosign signs an index.
    attach(&world, &parent, &sign(&world, &statement(&[bare(&parent.manifest_digest)])));
    let ended = world.verify(&[&by_tag(&world)]).exits(0).prints("(signed: index)");
    assert!(!ended.stdout.contains("not signed"), "{}", ended.stdout);
    let result = world.verdict(&[&by_tag(&world)]);
    assert_eq!(result["signatures"][0]["subject"]["kind"], "index");
    assert_eq!(result["digestRef"], by_digest(&world, &child.manifest_digest));
    // By itself the chart is not signed: nothing there leads to the index.
    world.verify(&[&by_digest(&world, &child.manifest_digest)]).exits(3);
}

#[test]
fn a_signature_on_another_index_of_the_same_chart_does_not_cover_this_one() {
    let world = World::new();
    let (parent, child) = indexed(&world);
    let bundle = sign(&world, &statement(&[bare(&parent.manifest_digest)]));
    let entries = [image(&world, 2), described(media_type::MANIFEST, &child.manifest)];
    let other = Pushed { manifest_digest: put(&world, &entries), ..child };
    attach(&world, &other, &bundle);
    refuses(&world, &[&by_tag(&world)], 5, "not-covered", &["manifest not signed"]);
}

#[test]
fn a_chart_that_is_signed_alone_is_signed_again_in_its_index_and_then_left_alone() {
    let world = World::new();
    let (_, child) = world.signed_web();
    put(&world, &[image(&world, 1), described(media_type::MANIFEST, &child.manifest)]);
    let (reference, signer) = (by_tag(&world), world.signer());
    let mut words = vec![reference.as_str(), "--skip-if-signed"];
    words.extend(signer.iter().map(String::as_str));
    let (code, result) = sign_json(&world, &words);
    assert_eq!((code, &result["alreadySigned"]), (0, &json!(false)), "{result:#}");
    let (code, result) = sign_json(&world, &words);
    assert_eq!((code, &result["alreadySigned"]), (0, &json!(true)), "{result:#}");
}

#[test]
fn an_index_without_a_chart_or_with_two_is_refused() {
    let world = World::new();
    let (_, child) = world.signed_web();
    let one = described(media_type::MANIFEST, &child.manifest);
    let other = world.push(&Chart::new("web", "1.5.0"));
    let other = described(media_type::MANIFEST, &other.manifest);
    for (entries, words) in [
        (vec![image(&world, 1)], "the index holds no chart"),
        (vec![], "the index holds no chart"),
        (vec![one.clone(), other], "the index holds 2 charts"),
    ] {
        put(&world, &entries);
        refuses(&world, &[&by_tag(&world)], 5, "not-a-chart", &[words]);
        world.sigstore.reset_requests();
        world.run(&["sign", &by_tag(&world)]).exits(5).says(words);
        assert_nothing_public(&world);
    }
    // The same chart named twice is one chart.
    put(&world, &[one.clone(), one]);
    world.verify(&[&by_tag(&world)]).exits(0);
}

#[test]
fn an_index_in_an_index_is_refused() {
    let world = World::new();
    let (_, child) = world.signed_web();
    let chart = described(media_type::MANIFEST, &child.manifest);
    let inner = index(std::slice::from_ref(&chart));
    world.registry.put_manifest(REPOSITORY, None, media_type::INDEX, inner.clone());
    // Also where it is called a manifest.
    for called in [media_type::INDEX, media_type::MANIFEST] {
        put(&world, &[chart.clone(), described(called, &inner)]);
        refuses(&world, &[&by_tag(&world)], 5, "not-a-chart", &["holds another index"]);
    }
}

#[test]
fn a_child_that_is_not_what_the_index_says_is_undecided() {
    let world = World::new();
    let (_, child) = world.signed_web();
    let honest = described(media_type::MANIFEST, &child.manifest);
    for size in [child.manifest.len() - 1, child.manifest.len() + 1, 0] {
        let mut entry = honest.clone();
        entry["size"] = json!(size);
        put(&world, &[entry]);
        refuses(&world, &[&by_tag(&world)], 4, "malformed", &["wrong about the size"]);
    }
    let mut gone = honest.clone();
    gone["digest"] = json!(digest_of(b"gone"));
    put(&world, &[honest.clone(), gone.clone()]);
    refuses(&world, &[&by_tag(&world)], 4, "malformed", &["is in the index and not there"]);
    // Other bytes under that digest, a chart's even.
    let digest = digest_of(b"gone");
    let bytes = child.manifest.clone();
    world.registry.put_manifest_as(REPOSITORY, &digest, media_type::MANIFEST, bytes);
    put(&world, &[gone]);
    refuses(&world, &[&by_tag(&world)], 4, "malformed", &["the digest differs"]);
}

#[test]
fn how_much_of_an_index_is_read_has_a_bound() {
    let world = World::new();
    let (_, child) = world.signed_web();
    let chart = described(media_type::MANIFEST, &child.manifest);
    let mut entries: Vec<Value> = (0..31).map(|number| image(&world, number)).collect();
    entries.push(chart.clone());
    put(&world, &entries);
    world.verify(&[&by_tag(&world)]).exits(0);
    entries.push(image(&world, 31));
    put(&world, &entries);
    world.registry.reset_requests();
    refuses(&world, &[&by_tag(&world)], 4, "limit-reached", &["33 manifests; 32 are read"]);
    assert_eq!(lines(&world).len(), 2, "{:#?}", lines(&world));

    let mut long = chart.clone();
    long["size"] = json!(5 << 20);
    put(&world, &[long]);
    refuses(&world, &[&by_tag(&world)], 5, "not-a-chart", &["more than 4194304"]);

    let mut padded = chart;
    padded["annotations"] = json!({"padding": "x".repeat(4 << 20)});
    put(&world, &[padded]);
    refuses(&world, &[&by_tag(&world)], 4, "limit-reached", &["over its bound of 4194304"]);
}

#[test]
fn a_tag_and_the_digest_of_an_index_belong_together() {
    let world = World::new();
    let (parent, _) = indexed(&world);
    world.run(&["sign", &by_tag(&world)]).exits(0);
    let both = format!("{}@{}", by_tag(&world), parent.manifest_digest);
    world.verify(&[&both]).exits(0);
    let wrong = format!("{}@{}", by_tag(&world), digest_of(b"other"));
    world.verify(&[&wrong]).exits(5).says("tag and digest differ");
}

/// GitLab answers the fallback tag with the subject: here that is an index, and still no list of referrers.
#[test]
fn an_index_that_answers_for_its_own_fallback_tag_is_not_read_as_a_list_of_referrers() {
    let options = RegistryOptions { digest_tags: true, ..RegistryOptions::fallback() };
    let world = World::with(options, Options::default());
    let (parent, _) = indexed(&world);
    let result = world.verdict(&[&by_tag(&world)]);
    assert_eq!(result["verdict"], "unsigned", "{result:#}");
    assert_eq!(result["signatures"], json!([]));
    world.run(&["sign", &by_tag(&world)]).exits(4).says("no index");
    assert_nothing_public(&world);
    let tag = parent.manifest_digest.replacen(':', "-", 1);
    assert!(!world.registry.tags(REPOSITORY).contains(&tag));
}
