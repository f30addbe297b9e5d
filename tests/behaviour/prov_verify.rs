//! Helm's provenance file beside a signature of Sigstore: present, covered, verified, required.

use helm_sigstore_kit::chart::Chart;
use serde_json::json;

use crate::prov_support::Packager;
use crate::sign_support::{asked, assert_nothing_public, signature};
use crate::support::World;
use crate::verify_craft::{attach, bare, sign, statement};

const JANE: &str = "Jane <jane@example.com>";

/// A world with a signed chart whose provenance Jane signed; answers its reference and her ring.
fn signed() -> (World, Packager, String, String) {
    let world = World::new();
    let jane = Packager::new(JANE);
    world.push(&jane.packages(Chart::new("web", "1.4.2")));
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(0);
    let ring = ring_of(&world, &jane, "jane.asc");
    (world, jane, reference, ring)
}

fn ring_of(world: &World, packager: &Packager, name: &str) -> String {
    std::fs::write(world.path(name), packager.ring()).unwrap();
    world.argument(name)
}

#[test]
fn a_keyring_that_is_named_verifies_in_helms_own_words() {
    let (world, jane, reference, ring) = signed();
    let ended = world.verify(&[&reference, "--keyring", &ring]).exits(0);
    let digest = helm_sigstore_kit::registry::digest_of(&Chart::new("web", "1.4.2").tgz());
    let lines = format!(
        "Provenance: PGP signature verified\nSigned by: {JANE}\n\
         Using Key With Fingerprint: {}\nChart Hash Verified: {digest}\n",
        jane.fingerprint()
    );
    assert!(ended.stdout.ends_with(&lines), "{}", ended.stdout);
    let result = world.verdict(&[&reference, "--keyring", &ring]);
    assert_eq!(result["prov"], "signed");
    let provenance = &result["provenance"];
    assert_eq!(provenance["status"], "verified");
    assert_eq!(provenance["signedBy"], json!([JANE]));
    assert_eq!(provenance["fingerprint"], jane.fingerprint());
    assert_eq!(provenance["chartHash"], digest);
}

#[test]
fn the_variable_of_the_go_plugin_names_a_keyring_too() {
    let (mut world, _, reference, ring) = signed();
    world.environment.insert("KEYRING".to_owned(), ring);
    world.verify(&[&reference]).exits(0).prints("Provenance: PGP signature verified\n");
    world.environment.insert("KEYRING".to_owned(), world.argument("gone"));
    world.verify(&[&reference]).exits(2).says("cannot open keyring");
    world.verify(&[&reference, "--prov", "ignore"]).exits(0);
}

#[test]
fn a_provenance_layer_that_is_a_signed_subject_is_covered_without_being_read() {
    let (world, _, reference, _) = signed();
    world.registry.reset_requests();
    let result = world.verdict(&[&reference]);
    assert_eq!((&result["prov"], &result["provenance"]), (&json!("signed"), &json!(null)));
    let prov = result["provDigest"].as_str().unwrap().to_owned();
    let read = world.registry.requests().iter().any(|one| one.line().contains(&prov));
    assert!(!read);
}

#[test]
fn an_unknown_key_refuses_only_where_the_keyring_was_named() {
    let (mut world, _, reference, _) = signed();
    let bob = ring_of(&world, &Packager::new("Bob <bob@example.com>"), "bob.asc");
    world
        .verify(&[&reference, "--keyring", &bob])
        .exits(5)
        .says("provenance is signed by an unknown key");

    // Not signed as a subject, so the default keyring is asked, and only reports.
    let chart = Packager::new(JANE).packages(Chart::new("api", "1.0.0"));
    let plain = Chart::new("api", "1.0.0");
    world.push(&plain);
    let api = format!("{}:1.0.0", world.repository("api"));
    world.run(&["sign", &api]).exits(0);
    world.push(&chart);
    std::fs::create_dir_all(world.path("gnupg")).unwrap();
    std::fs::copy(&bob, world.path("gnupg/pubring.gpg")).unwrap();
    world.environment.insert("GNUPGHOME".to_owned(), world.argument("gnupg"));
    let bundle = world.argument("api.json");
    let signer = world.signer();
    let first = world.push(&plain);
    let by_digest = format!("{}@{}", world.repository("api"), first.manifest_digest);
    let mut words = vec!["verify", by_digest.as_str(), "--bundle-out", &bundle];
    words.extend(signer.iter().map(String::as_str));
    world.run(&words).exits(0);
    world.push(&chart);
    let ended = world.verify(&[&api, "--bundle", &bundle, "--match", "chart-layer"]);
    // The provenance was added later and nobody signed it: the layers are not exactly the signed ones.
    ended.exits(5);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn a_default_keyring_is_reported_and_never_fails_a_chart() {
    let (mut world, jane, _, _) = signed();
    let file = Chart::new("web", "1.4.2");
    let path = jane.packages(file.clone()).write_to(world.directory()).unwrap();
    let path = path.display().to_string();
    world.run(&["sign", &path]).exits(0);
    std::fs::create_dir_all(world.path("home/.gnupg")).unwrap();
    ring_of(&world, &jane, "home/.gnupg/pubring.gpg");
    world.verify(&[&path]).exits(0).prints("Provenance: PGP signature verified\n");
    ring_of(&world, &Packager::new("Bob <b@x>"), "home/.gnupg/pubring.gpg");
    let result = world.verdict(&[&path]);
    assert_eq!(
        (&result["verdict"], &result["provenance"]["status"]),
        (&json!("verified"), &json!("unknown-key"))
    );
    std::fs::write(world.path("home/.gnupg/pubring.gpg"), "no ring").unwrap();
    assert_eq!(world.verdict(&[&path])["verdict"], "verified");
    world.environment.insert("GNUPGHOME".to_owned(), world.argument("elsewhere"));
    assert_eq!(world.verdict(&[&path])["provenance"], json!(null));
}

#[test]
fn a_keybox_of_gnupg_is_a_keyring() {
    let (world, jane, reference, _) = signed();
    let bob = Packager::new("Bob <b@x>");
    let keyring = world.argument("pubring.kbx");
    // Several blobs, the right key in the last.
    std::fs::write(&keyring, [bob.keybox(), jane.keybox()].concat()).unwrap();
    world
        .verify(&[&reference, "--keyring", &keyring])
        .exits(0)
        .prints(&format!("Using Key With Fingerprint: {}\n", jane.fingerprint()));
    std::fs::write(&keyring, bob.keybox()).unwrap();
    world.verify(&[&reference, "--keyring", &keyring]).exits(5).says("signed by an unknown key");
    let mut damaged = jane.keybox();
    damaged.truncate(200);
    std::fs::write(&keyring, damaged).unwrap();
    world.verify(&[&reference, "--keyring", &keyring]).exits(2).says("the keybox is damaged");
}

#[test]
fn a_keyring_is_read_up_to_its_bound() {
    let (world, _, reference, _) = signed();
    // A hole: nothing lies on the disk.
    let file = std::fs::File::create(world.path("huge.gpg")).unwrap();
    file.set_len(1 << 40).unwrap();
    world
        .verify(&[&reference, "--keyring", &world.argument("huge.gpg")])
        .exits(2)
        .says("cannot read keyring")
        .says("larger than 67108864 bytes");
}

#[test]
fn a_default_keyring_reports_of_a_reference_and_never_fails_it() {
    let world = World::new();
    let (jane, bob) = (Packager::new(JANE), Packager::new("Bob <b@x>"));
    let pushed = world.push(&jane.packages(Chart::new("web", "1.4.2")));
    let reference = format!("{}:1.4.2", world.repository("web"));
    // As cosign signs: the manifest alone, so nobody has signed the file as a subject.
    let statement = statement(&[bare(&pushed.manifest_digest)]);
    attach(&world, &pushed, &sign(&world, &statement));
    std::fs::create_dir_all(world.path("home/.gnupg")).unwrap();
    let ring = |name: &str| world.path("home/.gnupg").join(name);
    let status = || {
        let result = world.verdict(&[&reference]);
        assert_eq!(result["verdict"], "verified");
        result["provenance"]["status"].clone()
    };
    assert_eq!(status(), json!(null));
    std::fs::write(ring("pubring.kbx"), jane.keybox()).unwrap();
    assert_eq!(status(), "verified");
    world.verify(&[&reference]).exits(0).prints("Provenance: PGP signature verified\n");
    // The older form is Helm's own, and goes first.
    std::fs::write(ring("pubring.gpg"), bob.ring()).unwrap();
    assert_eq!(status(), "unknown-key");
    std::fs::write(ring("pubring.gpg"), "no ring").unwrap();
    assert_ne!(status(), "verified");
    // Named, or required, the same ring decides.
    let named = ring("pubring.gpg").display().to_string();
    std::fs::write(&named, bob.ring()).unwrap();
    world.verify(&[&reference, "--keyring", &named]).exits(5);
    world.verify(&[&reference, "--prov", "require"]).exits(5);
}

#[test]
fn required_provenance_missing_is_refused() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let ring = ring_of(&world, &Packager::new(JANE), "jane.asc");
    let result = world.verdict(&[&reference, "--prov", "require", "--keyring", &ring]);
    assert_eq!(
        (&result["verdict"], &result["reason"]),
        (&json!("refused"), &json!("no-provenance"))
    );
    // Without keys nothing can be required.
    let (world, _, reference, _) = signed();
    world.verify(&[&reference, "--prov", "require"]).exits(2).says("there is no keyring");
    // A good signature of Sigstore makes up for nothing here.
    let (world, _, reference, ring) = signed();
    world.verify(&[&reference, "--prov", "require", "--keyring", &ring]).exits(0);
}

#[test]
fn a_chart_with_nothing_but_provenance_says_exactly_that() {
    let world = World::new();
    let jane = Packager::new(JANE);
    world.push(&jane.packages(Chart::new("web", "1.4.2")));
    let reference = format!("{}:1.4.2", world.repository("web"));
    let ring = ring_of(&world, &jane, "jane.asc");
    let ended = world.verify(&[&reference, "--keyring", &ring]).exits(3);
    assert!(
        ended.stderr.starts_with("error: provenance verified, unsigned in Sigstore: oci://"),
        "{}",
        ended.stderr
    );
    let ended = ended.says(JANE).says(&jane.fingerprint()).says("looked in");
    assert_eq!(ended.stdout, "");
    // Without identity too: nobody's signature is there to be named.
    world.run(&["verify", &reference, "--keyring", &ring]).exits(3).says("provenance verified");
    world.verify(&[&reference]).exits(3).says("error: unsigned");
    // A bad provenance file is a no.
    let bob = ring_of(&world, &Packager::new("Bob <b@x>"), "bob.asc");
    world.verify(&[&reference, "--keyring", &bob]).exits(5);
}

#[test]
fn prov_digest_and_name_must_match() {
    let world = World::new();
    let jane = Packager::new(JANE);
    let ring = ring_of(&world, &jane, "jane.asc");
    let (web, other) = (Chart::new("web", "1.4.2"), Chart::new("web", "1.4.2").file("x", "y"));
    let reference = format!("{}:1.4.2", world.repository("web"));
    for provenance in [
        jane.signs(&other),
        jane.signs(&Chart::new("web", "1.4.3")),
        jane.signs(&Chart::new("api", "1.4.2")),
        jane.signs_digest(&web, "sha256:00"),
        format!("{}x\n", jane.signs(&web)),
    ] {
        world.push(&web.clone().provenance(provenance.clone()));
        world.verify(&[&reference, "--keyring", &ring]).exits(5);
        // Nor is it signed, neither there nor as a file.
        world.run(&["sign", &reference]).exits(5);
        let path = web.clone().provenance(provenance).write_to(world.directory()).unwrap();
        world.run(&["sign", &path.display().to_string()]).exits(5);
    }
    assert_nothing_public(&world);
}

#[test]
fn a_pulled_file_is_verified_whatever_it_is_called() {
    let (world, jane, reference, ring) = signed();
    let bundle = world.argument("web.json");
    world.verify(&[&reference, "--bundle-out", &bundle]).exits(0);
    // As `helm pull` names what is pinned; Helm's own --verify fails here.
    let chart = jane.packages(Chart::new("web", "1.4.2"));
    let name = format!("web@sha256-{}.tgz", "0".repeat(64));
    std::fs::write(world.path(&name), chart.tgz()).unwrap();
    std::fs::write(world.path(&format!("{name}.prov")), chart.provenance_bytes().unwrap()).unwrap();
    let path = world.argument(&name);
    world
        .verify(&[&path, "--bundle", &bundle, "--keyring", &ring, "--prov", "require", "--offline"])
        .exits(0)
        .prints("Provenance: PGP signature verified\n");
    std::fs::remove_file(world.path(&format!("{name}.prov"))).unwrap();
    world.verify(&[&path, "--bundle", &bundle, "--keyring", &ring]).exits(0);
    world.verify(&[&path, "--bundle", &bundle, "--keyring", &ring, "--prov", "require"]).exits(5);
}

#[test]
fn a_provenance_file_beside_a_chart_becomes_a_subject() {
    let world = World::new();
    let chart = Packager::new(JANE).packages(Chart::new("web", "1.4.2"));
    let path = chart.write_to(world.directory()).unwrap().display().to_string();
    let result = world.run(&["sign", &path, "-o", "json"]).exits(0).json()["results"][0].clone();
    let digest = helm_sigstore_kit::registry::digest_of(chart.provenance_bytes().unwrap());
    assert_eq!(result["provDigest"], digest);
    let bundle = std::fs::read_to_string(world.path("web-1.4.2.tgz.sigstore.json")).unwrap();
    let bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    use base64::Engine as _;
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let digests: Vec<_> = statement["subject"].as_array().unwrap().iter().collect();
    assert_eq!(digests.len(), 2);
    assert_eq!(digests[1]["digest"]["sha256"], digest.trim_start_matches("sha256:"));
    world.verify(&[&path]).exits(0);

    // Pushed and signed in one step the layer is one.
    let target = world.target();
    world.run(&["push", &path, &target, "--sign"]).exits(0);
    let pushed = world.push(&chart);
    let statement = signature(&world, &pushed).statement;
    assert_eq!(statement["subject"].as_array().unwrap().len(), 3);
    assert_eq!(asked(&world).0, 2);
}
