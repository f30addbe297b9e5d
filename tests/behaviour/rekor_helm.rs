//! Helm's provenance files in Rekor v1: uploaded, searched, and asked for by `verify`.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::digest_of;
use helm_sigstore_kit::sigstore::{Fault, LogLie, Options, RekorVersion, Service};
use serde_json::{Value, json};

use crate::cli_json::follows;
use crate::policy_support::{named, rule};
use crate::prov_support::Packager;
use crate::support::World;

const SCHEMA: &str = include_str!("../../docs/rekor.schema.json");
const JANE: &str = "Jane <jane@example.com>";

/// A world with a packaged chart whose provenance Jane signed: the world, she, the file, her ring.
fn packaged() -> (World, Packager, String, String) {
    packaged_in(World::new())
}

fn packaged_in(world: World) -> (World, Packager, String, String) {
    let jane = Packager::new(JANE);
    let path = jane.packages(Chart::new("web", "1.4.2")).write_to(world.directory()).unwrap();
    std::fs::write(world.path("jane.asc"), jane.ring()).unwrap();
    let ring = world.argument("jane.asc");
    let path = path.display().to_string();
    (world, jane, path, ring)
}

fn digest() -> String {
    digest_of(&Chart::new("web", "1.4.2").tgz())
}

/// How many entries were proposed.
fn proposed(world: &World) -> usize {
    let requests = world.sigstore.requests();
    let of_log = requests.iter().filter(|one| one.service == Service::RekorV1);
    of_log.filter(|one| one.path == "/api/v1/log/entries" && one.method == "POST").count()
}

/// `rekor upload -o json` of the file; what it answers.
fn uploaded(world: &World, path: &str, ring: &str) -> Value {
    let document =
        world.run(&["rekor", "upload", path, "--keyring", ring, "-o", "json"]).exits(0).json();
    follows(SCHEMA, &document);
    document
}

#[test]
fn an_upload_is_verified_before_and_after_and_says_what_the_go_plugin_said() {
    let (world, jane, path, ring) = packaged();
    let server = world.sigstore.rekor_v1_url();
    let ended = world.run(&["rekor", "upload", &path, "--keyring", &ring]).exits(0);
    let last = ended.stdout.lines().last().unwrap().to_owned();
    assert!(
        last.starts_with("Created Helm entry at index ")
            && last.contains(&format!(", available at: {server}/api/v1/log/entries/")),
        "{last}"
    );
    ended
        .prints(&format!("Signed by: {JANE}\n"))
        .prints(&format!("Using Key With Fingerprint: {}\n", jane.fingerprint()))
        .prints(&format!("Chart Hash Verified: {}\n", digest()))
        .prints("Provenance logged in: 127.0.0.1:")
        .says("the key becomes part of the log");

    // A second one finds it there.
    let again = world.run(&["rekor", "upload", &path, "--keyring", &ring]).exits(0);
    let uuid = last.rsplit_once('/').unwrap().1.to_owned();
    assert!(
        again
            .stdout
            .ends_with(&format!("Entry already exists: {server}/api/v1/log/entries/{uuid}\n")),
        "{}",
        again.stdout
    );
    let document = uploaded(&world, &path, &ring);
    assert_eq!(document["schema"], "helm-sigstore.rekor-upload/v1");
    assert_eq!((&document["existed"], &document["uuid"]), (&json!(true), &json!(uuid)));
    assert_eq!(document["log"]["url"], server);
    assert_eq!(document["provenance"]["fingerprint"], jane.fingerprint());
    assert_eq!(document["provenance"]["chartHash"], digest());
}

#[test]
fn the_names_flags_and_variables_of_the_go_plugin_mean_the_same() {
    let (mut world, _, path, ring) = packaged();
    world.run(&["upload", &path, "--public-key", &ring]).exits(0).prints("Created Helm entry at");
    let server = world.sigstore.rekor_v1_url();
    let lines = format!("The Following Records were Found\n\nRekor Server: {server}\nRekor UUID: ");
    world.run(&["search", &path]).exits(0).prints(&lines);
    world.run(&["search", &path, "--rekor-server", &server]).exits(0).prints(&lines);
    world.environment.insert("KEYRING".to_owned(), ring);
    world.environment.insert("REKOR_SERVER".to_owned(), server);
    world.run(&["upload", &path]).exits(0).prints("Entry already exists: ");
    world.environment.insert("REKOR_SERVER".to_owned(), "http://127.0.0.1:1".to_owned());
    world.run(&["upload", &path]).exits(4).says("nothing was uploaded; retry");
    world.run(&["search", &path]).exits(4);
    world.environment.insert("REKOR_SERVER".to_owned(), "http://rekor.example".to_owned());
    world.run(&["search", &path]).exits(2).says("is not https");
    world
        .environment
        .insert("REKOR_SERVER".to_owned(), "https://u:secret@rekor.example".to_owned());
    let ended = world.run(&["search", &path]).exits(2);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[test]
fn a_chart_in_a_registry_is_uploaded_and_found_by_its_layer_without_downloading_it() {
    let (world, jane, path, ring) = packaged();
    let pushed = world.push(&jane.packages(Chart::new("web", "1.4.2")));
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["rekor", "upload", &reference, "--keyring", &ring]).exits(0);
    world.registry.reset_requests();
    let found = world.run(&["rekor", "search", &reference, "-o", "json"]).exits(0).json();
    assert_eq!((&found["ref"], &found["chartDigest"]), (&json!(reference), &json!(digest())));
    let blobs =
        world.registry.requests().iter().filter(|one| one.line().contains("/blobs/")).count();
    assert_eq!(blobs, 0, "{}", pushed.manifest_digest);
    // It is the same entry as of the file.
    assert_eq!(uploaded(&world, &path, &ring)["existed"], true);
    // What the repository holds is not what was asked for.
    let renamed = jane.packages(Chart::new("web", "1.4.2"));
    world.registry.push_chart("charts/api", &renamed);
    let reference = format!("{}:1.4.2", world.repository("api"));
    world.run(&["rekor", "upload", &reference, "--keyring", &ring]).exits(5).says("wrong chart");
}

#[test]
fn what_does_not_hold_is_not_logged() {
    let (world, jane, path, ring) = packaged();
    let upload = |ring: &str| world.run(&["rekor", "upload", &path, "--keyring", ring]);
    std::fs::write(world.path("bob.asc"), Packager::new("Bob <b@x>").ring()).unwrap();
    upload(&world.argument("bob.asc")).exits(5).says("signed by an unknown key");
    let prov = format!("{path}.prov");
    let good = std::fs::read_to_string(&prov).unwrap();
    for bad in [
        jane.signs(&Chart::new("web", "1.4.3")),
        jane.signs_digest(&Chart::new("web", "1.4.2"), "sha256:00"),
        good.replace("name: web", "name: wob"),
    ] {
        std::fs::write(&prov, bad).unwrap();
        upload(&ring).exits(5).says("error: ");
    }
    std::fs::remove_file(&prov).unwrap();
    upload(&ring).exits(5).says("provenance is missing");
    upload(&world.argument("gone")).exits(2);
    world.run(&["rekor", "upload", &path]).exits(2).says("there is no keyring");
    assert_eq!(proposed(&world), 0);
}

#[test]
fn a_person_is_not_asked_where_the_log_is_no_public_one() {
    let (world, _, path, ring) = packaged();
    world
        .run(&["rekor", "upload", &path, "--keyring", &ring])
        .exits(0)
        .says(&format!("uploading the provenance by {JANE} (key "));
}

#[test]
fn an_answer_that_is_not_about_this_provenance_is_not_believed() {
    for (fault, code, words) in [
        (Fault::WrongSet, 5, "its promise (SET) is not by the log"),
        (Fault::WrongInclusionProof(Service::RekorV1), 5, "its proof does not lead to the root"),
        (Fault::WrongCheckpoint(Service::RekorV1), 5, "its checkpoint is not signed by the log"),
        (Fault::DuplicateOfAnother(Service::RekorV1), 4, "is not ours"),
        (Fault::EntryForAnother(Service::RekorV1), 4, "is not ours"),
        (Fault::Garbage(Service::RekorV1), 4, "perhaps uploaded; retry"),
        (Fault::Status(Service::RekorV1, 500), 4, "500"),
        (Fault::Status(Service::RekorV1, 400), 5, "log does not take the provenance"),
    ] {
        let (world, _, path, ring) = packaged();
        world.sigstore.set_fault(fault.clone());
        let ended = world.run(&["rekor", "upload", &path, "--keyring", &ring]);
        assert_eq!(ended.code, code, "{fault:?}: {}", ended.stderr);
        ended.says(words);
    }
}

#[test]
fn nothing_is_uploaded_to_a_log_that_could_not_be_believed_afterwards() {
    let (world, _, path, ring) = packaged();
    let other = World::new();
    let server = other.sigstore.rekor_v1_url();
    world
        .run(&["rekor", "upload", &path, "--keyring", &ring, "--rekor-server", &server])
        .exits(5)
        .says("error: log is not trusted: ")
        .says("the trusted root does not know the log");
    assert_eq!(proposed(&other), 0);
    // One that it knows by another URL is asked for its key once.
    let server = world.sigstore.rekor_v1_url().replace("127.0.0.1", "localhost");
    world.run(&["rekor", "upload", &path, "--keyring", &ring, "--rekor-server", &server]).exits(0);
    let requests = world.sigstore.requests();
    assert_eq!(requests.iter().filter(|one| one.path == "/api/v1/log/publicKey").count(), 1);
    other.sigstore.set_fault(Fault::Garbage(Service::RekorV1));
    let server = other.sigstore.rekor_v1_url();
    world
        .run(&["rekor", "upload", &path, "--keyring", &ring, "--rekor-server", &server])
        .exits(4)
        .says("nothing was uploaded; retry");
}

#[test]
fn a_log_without_such_entries_gets_a_clear_answer() {
    let (world, _, path, ring) = packaged();
    let v2 = world.sigstore.rekor_v2_url();
    for words in [
        vec!["rekor", "upload", &path, "--keyring", &ring, "--rekor-server", &v2],
        vec!["rekor", "search", &path, "--rekor-server", &v2],
    ] {
        world
            .run(&words)
            .exits(2)
            .says("error: log keeps no provenance files: ")
            .says("only Rekor v1 has entries of the type helm");
    }
    // Nor is there a default where the trusted root has no log of that version.
    let (world, _, path, _) = packaged_in(World::new());
    let root: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    let mut without = root.clone();
    without["tlogs"].as_array_mut().unwrap().remove(0);
    std::fs::write(world.path("v2.json"), without.to_string()).unwrap();
    let v2 = world.argument("v2.json");
    world
        .run(&["rekor", "search", &path, "--trusted-root", &v2])
        .exits(2)
        .says("trusted root has no log of version 1");
    let server = world.sigstore.rekor_v1_url();
    world
        .run(&["rekor", "search", &path, "--trusted-root", &v2, "--rekor-server", &server])
        .exits(6);
}

#[test]
fn a_search_finds_provenance_and_our_bundles_by_the_digest_of_the_chart() {
    let (world, jane, path, ring) = packaged();
    let nothing = world.run(&["rekor", "search", &path]).exits(6);
    nothing.says("error: no entry in the log: ").says(&digest());
    uploaded(&world, &path, &ring);
    world.run(&["sign", &path]).exits(0);
    let hex = digest().trim_start_matches("sha256:").to_owned();
    for words in [
        vec!["rekor", "search", &path],
        vec!["rekor", "search", "--sha", &hex],
        vec!["rekor", "search", "--sha", &digest().to_uppercase().replace("SHA256", "sha256")],
    ] {
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        words.extend(["-o".to_owned(), "json".to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let found = world.run(&words).exits(0).json();
        follows(SCHEMA, &found);
        assert_eq!(found["schema"], "helm-sigstore.rekor-search/v1");
        let [helm, dsse] = found["entries"].as_array().unwrap().as_slice() else {
            panic!("{found}");
        };
        assert_eq!((&helm["kind"], &helm["namedBy"]), (&json!("helm"), &json!("entry")));
        assert_eq!(helm["signers"][0]["identity"], JANE);
        assert_eq!(helm["signers"][0]["key"], jane.fingerprint());
        assert_eq!((&dsse["kind"], &dsse["namedBy"]), (&json!("dsse"), &json!("index")));
        let workflow = dsse["signers"][0]["identity"].as_str().unwrap();
        assert!(workflow.starts_with("https://github.com/acme/charts/"), "{workflow}");
        for one in [helm, dsse] {
            assert_eq!(one["status"], "accepted");
            assert!(one["log"]["index"].is_u64() && one["log"]["time"].is_string(), "{one}");
        }
    }
    let by_mail = world.run(&["rekor", "search", "--email", "Jane@Example.com", "-o", "json"]);
    let by_mail = by_mail.exits(0).json();
    assert_eq!(by_mail["email"], "Jane@Example.com");
    assert_eq!(by_mail["entries"][0]["namedBy"], "entry");
    world.run(&["rekor", "search", "--email", "bob@example.com"]).exits(6);
    world
        .run(&["rekor", "search", &path])
        .exits(0)
        .prints("  Type: helm 0.0.1\n")
        .prints("  Found by: the index of the log alone; the entry holds no digest of a chart\n");
}

#[test]
fn one_thing_is_searched_for_and_said_rightly() {
    let (world, _, path, _) = packaged();
    for words in [
        vec!["rekor", "search"],
        vec!["rekor", "search", &path, "--email", "a@b"],
        vec!["rekor", "search", "--sha", "abc"],
        vec!["rekor", "search", "--email", "jane"],
        vec!["rekor", "search", "--sha", &"0".repeat(64), "--version", "1"],
        vec!["rekor", "search", &path, "--signature-repository", "oci://a.b/c"],
        vec!["rekor"],
        vec!["verify", &path, "--rekor-helm", "--offline"],
        vec!["verify", &path, "--rekor-helm", "--prov", "ignore"],
        vec!["verify", &path, "--rekor-server", "https://rekor.example"],
    ] {
        world.run(&words).exits(2).says("error: ");
    }
}

/// What `verify --rekor-helm` says of a signed chart.
fn verdict(world: &World, path: &str, ring: &str) -> Value {
    world.verdict(&[path, "--rekor-helm", "--keyring", ring])
}

#[test]
fn verify_asks_for_an_entry_about_this_very_provenance() {
    let (world, jane, path, ring) = packaged();
    world.run(&["sign", &path]).exits(0);
    // Our own bundle is in the log, which is not what is asked for.
    let result = verdict(&world, &path, &ring);
    assert_eq!((&result["verdict"], &result["reason"]), (&json!("refused"), &json!("not-logged")));
    // Nor is an entry by somebody else about the same chart.
    let bob = Packager::new("Bob <b@x>");
    let prov = format!("{path}.prov");
    let good = std::fs::read_to_string(&prov).unwrap();
    std::fs::write(&prov, bob.signs(&Chart::new("web", "1.4.2"))).unwrap();
    std::fs::write(world.path("bob.asc"), bob.ring()).unwrap();
    uploaded(&world, &path, &world.argument("bob.asc"));
    std::fs::write(&prov, &good).unwrap();
    let ended = world.verify(&[&path, "--rekor-helm", "--keyring", &ring]).exits(5);
    ended.says("error: provenance is not in the log").says("1 of other provenance or keys");

    let entry = uploaded(&world, &path, &ring);
    let ended = world.verify(&[&path, "--rekor-helm", "--keyring", &ring]).exits(0);
    ended
        .prints("Provenance: PGP signature verified\n")
        .prints("Provenance logged in: 127.0.0.1:")
        .prints(&format!("Rekor UUID: {}\n", entry["uuid"].as_str().unwrap()));
    // A second signature by the same key, of a second later, is another provenance.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::write(&prov, jane.signs(&Chart::new("web", "1.4.2"))).unwrap();
    let ended = world.run(&["rekor", "verify", &path, "--keyring", &ring]).exits(5);
    ended.says("2 of other provenance or keys");
    std::fs::write(&prov, &good).unwrap();
    let result = verdict(&world, &path, &ring);
    assert_eq!(result["helmEntry"]["uuid"], entry["uuid"]);
    assert_eq!(result["helmEntry"]["log"], entry["log"]);
    // By reference too.
    world.push(&jane.packages(Chart::new("web", "1.4.2")).provenance(good));
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(verdict(&world, &reference, &ring)["helmEntry"]["uuid"], entry["uuid"]);
    // Without it nobody is asked. Of several entries those that are no longer needed are given up, and what was asked for
    // them may arrive when the command has ended.
    std::thread::sleep(std::time::Duration::from_millis(500));
    world.sigstore.reset_requests();
    world.verify(&[&path, "--keyring", &ring]).exits(0);
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 0);
}

#[test]
fn what_the_go_plugin_verified_is_verified_by_itself_too() {
    let (world, _, path, ring) = packaged();
    let verify = |path: &str| world.run(&["rekor", "verify", path, "--public-key", &ring]);
    verify(&path).exits(5).says("error: provenance is not in the log");
    let entry = uploaded(&world, &path, &ring);
    let server = world.sigstore.rekor_v1_url();
    let lines = format!(
        "Chart Verified Successfully From Helm entry:\n\nRekor Server: {server}\nRekor Index: {}\nRekor UUID: {}\nSigned by: {JANE}\n",
        entry["log"]["index"],
        entry["uuid"].as_str().unwrap()
    );
    verify(&path).exits(0).prints(&lines).prints("signatures of Sigstore: not looked at\n");
    let bob = Packager::new("Bob <b@x>");
    std::fs::write(world.path("bob.asc"), bob.ring()).unwrap();
    let bobs = world.argument("bob.asc");
    world.push(&bob.packages(Chart::new("web", "1.4.2")));
    let reference = format!("{}:1.4.2", world.repository("web"));
    // What somebody else signed is not logged by that.
    world
        .run(&["rekor", "verify", &reference, "--keyring", &bobs])
        .exits(5)
        .says("1 of other provenance or keys");
    let prov = std::fs::read_to_string(format!("{path}.prov")).unwrap();
    world.push(&Chart::new("web", "1.4.2").provenance(prov));
    verify(&reference).exits(0);
    let document = world.run(&["rekor", "verify", &path, "--keyring", &ring, "-o", "json"]);
    let document = document.exits(0).json();
    follows(SCHEMA, &document);
    assert_eq!(document["schema"], "helm-sigstore.rekor-verify/v1");
    assert_eq!((&document["uuid"], &document["log"]), (&entry["uuid"], &entry["log"]));

    world.run(&["rekor", "verify", &path, "--keyring", &bobs]).exits(5).says("unknown key");
    world.run(&["rekor", "verify", &path]).exits(2).says("there is no keyring");
    for (lie, code) in [(LogLie::WrongPromise, 5), (LogLie::AnotherLog, 5), (LogLie::ManyOthers, 4)]
    {
        world.sigstore.set_fault(Fault::LogLies(lie));
        verify(&path).exits(code);
    }
    std::fs::remove_file(format!("{path}.prov")).unwrap();
    verify(&path).exits(5).says("provenance is missing");
}

#[test]
fn the_log_that_is_verified_against_is_the_one_that_is_named() {
    let (mut world, _, path, ring) = packaged();
    world.run(&["sign", &path]).exits(0);
    uploaded(&world, &path, &ring);
    let server = world.sigstore.rekor_v1_url();
    let nowhere = "http://127.0.0.1:1";
    let commands = |world: &World, more: &[&str]| {
        let mut alone = vec!["rekor", "verify", &path, "--keyring", &ring];
        alone.extend(more);
        let mut beside = vec![path.as_str(), "--rekor-helm", "--keyring", &ring];
        beside.extend(more);
        [world.run(&alone), world.verify(&beside)]
    };
    for ended in commands(&world, &["--rekor-server", &server]) {
        ended.exits(0).prints("Rekor UUID: ");
    }
    for ended in commands(&world, &["--rekor-server", nowhere]) {
        ended.exits(4).says("127.0.0.1:1");
    }
    for ended in commands(&world, &["--rekor-server", "http://rekor.example"]) {
        ended.exits(2).says("is not https");
    }
    world.environment.insert("REKOR_SERVER".to_owned(), nowhere.to_owned());
    for ended in commands(&world, &[]) {
        ended.exits(4).says("127.0.0.1:1");
    }
    // The flag goes before the variable, which means nothing where no log is asked.
    for ended in commands(&world, &["--rekor-server", &server]) {
        ended.exits(0).prints("Rekor UUID: ");
    }
    world.verify(&[&path, "--keyring", &ring]).exits(0);
    world
        .verify(&[&path, "--keyring", &ring, "--rekor-server", &server])
        .exits(2)
        .says("--rekor-helm");
}

#[test]
fn an_entry_makes_no_chart_signed_and_a_keyring_is_needed() {
    let (world, _, path, ring) = packaged();
    uploaded(&world, &path, &ring);
    let ended = world.verify(&[&path, "--rekor-helm", "--keyring", &ring]).exits(3);
    ended
        .says("error: provenance verified, unsigned in Sigstore")
        .says("Provenance logged in")
        .says("Rekor UUID");
    world.run(&["sign", &path]).exits(0);
    world.verify(&[&path, "--rekor-helm"]).exits(2).says("there is no keyring");
    std::fs::remove_file(format!("{path}.prov")).unwrap();
    world
        .verify(&[&path, "--rekor-helm", "--keyring", &ring])
        .exits(5)
        .says("provenance is missing");
}

#[test]
fn a_policy_that_accepts_provenance_may_be_asked_for_its_entry_too() {
    let (world, jane, path, ring) = packaged();
    world.push(&jane.packages(Chart::new("web", "1.4.2")));
    let prov = std::fs::read_to_string(format!("{path}.prov")).unwrap();
    world.push(&Chart::new("web", "1.4.2").provenance(prov));
    let more = "    prov: accept\n    keyring: jane.asc\n";
    let policy = named(&world, &[rule(&world, "charts/*", &["alice@acme.example"], more)]);
    let reference = format!("{}:1.4.2", world.repository("web"));
    let verify =
        |more: &[&str]| world.run(&[&["verify", &reference, "--policy", &policy], more].concat());
    verify(&[]).exits(0);
    verify(&["--rekor-helm"]).exits(5).says("error: provenance is not in the log");
    uploaded(&world, &path, &ring);
    verify(&["--rekor-helm"])
        .exits(0)
        .prints("Accepted by: provenance alone; unsigned in Sigstore\n")
        .prints("Provenance logged in: 127.0.0.1:")
        .prints("Rekor UUID: ");
}

#[test]
fn whatever_a_log_answers_that_it_cannot_prove_is_no_entry() {
    let (world, _, path, ring) = packaged();
    world.run(&["sign", &path]).exits(0);
    uploaded(&world, &path, &ring);
    for (lie, code, reason) in [
        (LogLie::AnotherEntry, 4, "malformed"),
        (LogLie::WrongIdentifier, 4, "malformed"),
        (LogLie::NoPromise, 5, "bad-signature"),
        (LogLie::NoProof, 5, "bad-signature"),
        (LogLie::WrongPromise, 5, "bad-signature"),
        (LogLie::WrongProof, 5, "bad-signature"),
        (LogLie::WrongCheckpoint, 5, "bad-signature"),
        (LogLie::AnotherLog, 5, "untrusted-instance"),
        (LogLie::ManyOthers, 4, "limit-reached"),
        (LogLie::IndexOfAnother, 5, "not-logged"),
        (LogLie::EndlessIndex, 4, ""),
        (LogLie::IndexOfPaths, 4, "malformed"),
    ] {
        world.sigstore.set_fault(Fault::LogLies(lie));
        let ended = world.verify(&[&path, "--rekor-helm", "--keyring", &ring, "-o", "json"]);
        let result = ended.json()["results"][0].clone();
        assert_eq!(ended.code, code, "{lie:?}: {result}");
        assert!(reason.is_empty() || result["reason"] == reason, "{lie:?}: {result}");
    }
    world.sigstore.clear_faults();
    world.verify(&[&path, "--rekor-helm", "--keyring", &ring]).exits(0);
}

#[test]
fn a_search_reports_what_it_could_not_believe() {
    let (world, _, path, ring) = packaged();
    uploaded(&world, &path, &ring);
    for (lie, code, status) in [
        (LogLie::AnotherEntry, 4, "undecided"),
        (LogLie::WrongIdentifier, 4, "undecided"),
        (LogLie::NoPromise, 5, "refused"),
        (LogLie::NoProof, 5, "refused"),
        (LogLie::WrongPromise, 5, "refused"),
        (LogLie::WrongProof, 5, "refused"),
        (LogLie::WrongCheckpoint, 5, "refused"),
        (LogLie::AnotherLog, 5, "refused"),
        (LogLie::IndexOfAnother, 5, "refused"),
    ] {
        world.sigstore.set_fault(Fault::LogLies(lie));
        let ended = world.run(&["rekor", "search", &path, "-o", "json"]);
        assert_eq!(ended.code, code, "{lie:?}: {}", ended.stdout);
        let document = ended.json();
        follows(SCHEMA, &document);
        assert_eq!(document["entries"][0]["status"], status, "{lie:?}: {document}");
        assert_eq!(document["exitCode"], code);
    }
    world.sigstore.set_fault(Fault::LogLies(LogLie::ManyOthers));
    let ended = world.run(&["rekor", "search", &path]).exits(5);
    ended.says("the log names 50 more entries, which were not read");
    for lie in [LogLie::EndlessIndex, LogLie::IndexOfPaths] {
        world.sigstore.set_fault(Fault::LogLies(lie));
        world.run(&["rekor", "search", &path]).exits(4);
    }
}

#[test]
fn an_entry_of_our_future_is_waited_for_or_left_open() {
    let (world, _, path, ring) = packaged();
    world.sigstore.set_clock_offset(2);
    assert_eq!(uploaded(&world, &path, &ring)["existed"], false);
    let (world, _, path, ring) = packaged();
    world.sigstore.set_clock_offset(600);
    world.run(&["rekor", "upload", &path, "--keyring", &ring]).exits(4).says("clock is ");
}

#[test]
fn a_log_of_version_2_beside_it_is_not_taken_for_one_of_version_1() {
    let options = Options { rekor: vec![RekorVersion::V2], ..Options::default() };
    let world = World::with(helm_sigstore_kit::registry::Options::default(), options);
    let (world, _, path, ring) = packaged_in(world);
    let document = uploaded(&world, &path, &ring);
    assert_eq!(document["rekorServer"], world.sigstore.rekor_v1_url());
    assert_eq!(world.sigstore.request_count(Service::RekorV2), 0);
}
