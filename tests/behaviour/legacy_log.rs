//! Signatures over packaged charts in files of their own that came without their log entry: the log is searched for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::{
    Fault, Identity, LegacySignature, LogLie, Options, Service, Sigstore,
};
use serde_json::{Value, json};

use crate::cli_json::{SCHEMA, follows};
use crate::policy_support::named;
use crate::support::{WORKFLOW, World};
use crate::verify_craft::{MALLORY, package, refuses, write};

/// A packaged chart with a signature and a certificate beside it, and the world that they are in.
struct Signed {
    world: World,
    file: String,
    made: LegacySignature,
    signature: String,
    certificate: String,
}

impl Signed {
    fn new() -> Self {
        Self::by(WORKFLOW)
    }

    fn by(workflow: &str) -> Self {
        let world = World::new();
        let file = package(&world, &chart());
        let made = sign(&world, workflow);
        let signature = write(&world, "web.sig", BASE64.encode(&made.signature).as_bytes());
        let pem = made.certificate.clone().unwrap();
        // As cosign writes it.
        let certificate = write(&world, "web.pem", BASE64.encode(pem).as_bytes());
        world.sigstore.reset_requests();
        Self { world, file, made, signature, certificate }
    }

    /// What is typed to verify it.
    fn words<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let words =
            [&self.file, "--signature", &self.signature, "--certificate", &self.certificate];
        [&words[..], more].concat()
    }

    fn verdict(&self, more: &[&str]) -> Value {
        self.world.verdict(&self.words(more))
    }

    #[track_caller]
    fn refuses(&self, more: &[&str], code: u8, reason: &str, words: &[&str]) {
        refuses(&self.world, &self.words(more), code, reason, words);
    }

    /// The trusted root, changed.
    fn root(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut root = serde_json::from_str(&self.world.sigstore.trusted_root_json()).unwrap();
        change(&mut root);
        write(&self.world, "changed_root.json", root.to_string().as_bytes())
    }

    fn asked(&self) -> usize {
        self.world.sigstore.request_count(Service::RekorV1)
    }
}

fn chart() -> Chart {
    Chart::new("web", "1.4.2")
}

fn sign(world: &World, workflow: &str) -> LegacySignature {
    world.sigstore.sign_legacy(&Identity::github(workflow), &chart().tgz(), false)
}

#[test]
fn a_signature_and_a_certificate_verify_by_the_entry_that_the_log_has_of_them() {
    let signed = Signed::new();
    let log = signed.world.sigstore.rekor_v1_url();
    let ended = signed.world.verify(&[&signed.words(&["-o", "json"])[..]].concat()).exits(0);
    follows(SCHEMA, &ended.json());
    let result = ended.json()["results"][0].clone();
    assert_eq!(result["verdict"], "verified", "{result:#}");
    let signature = &result["signatures"][0];
    assert_eq!((&signature["format"], &signature["place"]), (&json!("legacy"), &json!("file")));
    let payload = &signed.made.log.as_ref().unwrap()["Payload"];
    assert_eq!(signature["log"]["url"], json!(log));
    assert_eq!(signature["log"]["index"], payload["logIndex"]);
    let time: jiff::Timestamp = signature["log"]["time"].as_str().unwrap().parse().unwrap();
    assert_eq!(time.as_second(), payload["integratedTime"].as_i64().unwrap());
    let places = result["lookedIn"].as_array().unwrap();
    assert_eq!(places[1], json!({"place": "log", "object": log, "status": "1 found"}));
    // One request: the name of the entry follows from the signature.
    assert_eq!(signed.asked(), 1);
    let ended = signed.world.verify(&signed.words(&[])).exits(0);
    ended.prints("Logged in: 127.0.0.1:").prints("(signed: chart)");
    assert_eq!(signed.world.registry.requests(), []);
}

#[test]
fn a_signature_by_a_key_verifies_by_the_entry_that_the_log_has_of_it() {
    let world = World::new();
    let file = package(&world, &chart());
    let (made, public) = world.sigstore.sign_legacy_by_key(&chart().tgz());
    let key = write(&world, "cosign.pub", public.as_bytes());
    let signature = write(&world, "web.sig", &made.signature);
    let words = ["verify", &file, "--signature", &signature, "--key", &key];
    world.sigstore.reset_requests();
    world.run(&words).exits(0).prints("Signed by: key sha256:").prints("Logged in: 127.0.0.1:");
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 1);
    // Where the user does not ask for it nobody does.
    world.sigstore.reset_requests();
    world.run(&[&words[..], &["--insecure-ignore-tlog"]].concat()).exits(0);
    // Nor for another key: no entry would make it right.
    let (_, other) = world.sigstore.sign_legacy_by_key(b"else");
    let other = write(&world, "other.pub", other.as_bytes());
    world.sigstore.reset_requests();
    world
        .run(&["verify", &file, "--signature", &signature, "--key", &other])
        .exits(5)
        .says("signature does not verify");
    assert_eq!(world.sigstore.requests(), []);
    // One that was signed without a log.
    let (file, chart) = (package(&world, &Chart::new("web", "1.4.3")), Chart::new("web", "1.4.3"));
    let elsewhere = Sigstore::start(Options::default());
    let (made, public) = elsewhere.sign_legacy_by_key(&chart.tgz());
    let signature = write(&world, "other.sig", &made.signature);
    let key = write(&world, "elsewhere.pub", public.as_bytes());
    let words = ["verify", &file, "--signature", &signature, "--key", &key];
    world
        .run(&words)
        .exits(5)
        .says("error: signature is in no transparency log")
        .says("hint: if it was signed without a log, add --insecure-ignore-tlog");
    world.run(&[&words[..], &["--insecure-ignore-tlog"]].concat()).exits(0);
}

#[test]
fn of_the_keys_of_a_policy_the_one_that_signed_is_looked_for() {
    let world = World::new();
    let file = package(&world, &chart());
    let (made, public) = world.sigstore.sign_legacy_by_key(&chart().tgz());
    let (_, other) = world.sigstore.sign_legacy_by_key(b"else");
    write(&world, "ours.pub", public.as_bytes());
    write(&world, "other.pub", other.as_bytes());
    let signature = write(&world, "web.sig", &made.signature);
    let reference = world.repository("web");
    let verify = |keys: &[&str]| {
        let keys: String = keys.iter().map(|key| format!("      - key: {key}\n")).collect();
        let rule = format!("  - repositories: [\"{reference}\"]\n    any-of:\n{keys}");
        let policy = named(&world, &[rule]);
        world.sigstore.reset_requests();
        world.run(&[
            "verify",
            &file,
            "--as",
            &reference,
            "--policy",
            &policy,
            "--signature",
            &signature,
        ])
    };
    for keys in [["other.pub", "ours.pub"], ["ours.pub", "other.pub"]] {
        verify(&keys).exits(0).prints("Signed by: key sha256:").prints("Logged in: 127.0.0.1:");
        assert_eq!(world.sigstore.request_count(Service::RekorV1), 1);
    }
    verify(&["other.pub"]).exits(5).says("signature does not verify");
    assert_eq!(world.sigstore.requests(), []);
}

#[test]
fn what_does_not_hold_anyway_is_nothing_that_a_log_is_told_of() {
    let signed = Signed::new();
    let again = sign(&signed.world, WORKFLOW);
    let other = write(&signed.world, "again.pem", again.certificate.unwrap().as_bytes());
    let chart = package(&signed.world, &Chart::new("web", "1.4.3"));
    signed.world.sigstore.reset_requests();
    for (file, certificate) in [(&signed.file, &other), (&chart, &signed.certificate)] {
        let arguments = [file, "--signature", &signed.signature, "--certificate", certificate];
        refuses(&signed.world, &arguments, 5, "bad-signature", &["signature does not verify"]);
    }
    // Nor is it where the format was not asked for, or offline.
    assert_eq!(signed.verdict(&["--accept", "bundle"])["reason"], "unsigned");
    signed.refuses(
        &["--offline"],
        5,
        "bad-signature",
        &[
            "signature is in no transparency log",
            "with --offline no log is searched",
            "hint: a bundle has its log entry in it, if whoever signed kept one: --bundle FILE",
        ],
    );
    assert_eq!(signed.world.sigstore.requests(), []);
}

#[test]
fn a_wrong_signer_is_named_once_the_log_has_vouched_for_the_time() {
    let signed = Signed::by(MALLORY);
    let words = ["wrong signer", MALLORY, "(1 valid signature)"];
    signed.refuses(&[], 5, "wrong-signer", &words);
    let ended = signed.world.run(&[&["verify"], &signed.words(&[])[..]].concat()).exits(2);
    ended.says("no identity to trust was given").says(MALLORY);
}

#[test]
fn an_entry_of_a_signature_by_a_stranger_s_certificate_helps_it_nothing() {
    let signed = Signed::new();
    let elsewhere = Sigstore::start(Options::default());
    let identity = Identity::github(WORKFLOW);
    let foreign = elsewhere.sign_legacy(&identity, &chart().tgz(), false);
    // A log takes whatever certificate it is given.
    signed.world.sigstore.log_legacy_again(&foreign);
    let signature = write(&signed.world, "foreign.sig", &foreign.signature);
    let pem = foreign.certificate.unwrap();
    let certificate = write(&signed.world, "foreign.pem", pem.as_bytes());
    let words = [&signed.file, "--signature", &signature, "--certificate", &certificate];
    let result = signed.world.verdict(&words);
    assert_eq!(result["verdict"], "refused", "{result:#}");
    assert_eq!(result["lookedIn"][1]["status"], "1 found");
    assert_eq!(result["reason"], "bad-signature", "{result:#}");
}

#[test]
fn a_log_that_has_no_entry_of_it_says_so_and_what_it_has() {
    let signed = Signed::new();
    // The same chart, signed by the same workflow in an instance of its own: in that log, and not in this one.
    let twin = Signed::new();
    let root = twin.root(|root| {
        let here: Value = serde_json::from_str(&signed.world.sigstore.trusted_root_json()).unwrap();
        root["tlogs"] = here["tlogs"].clone();
    });
    let log = signed.world.sigstore.rekor_v1_url();
    let words = [
        "signature is in no transparency log",
        "looked in",
        &log,
        "1 entry, but of another signature",
    ];
    twin.refuses(&["--trusted-root", &root], 5, "not-logged", &words);
    let result = twin.verdict(&["--trusted-root", &root]);
    let looked_in = &result["lookedIn"][1];
    assert_eq!(*looked_in, json!({"place": "log", "object": log, "status": "none"}));
    assert_eq!(result["signatures"][0]["status"], "refused");
    assert_eq!(result["retryable"], false);
    sign(&signed.world, MALLORY);
    let words = ["2 entries, but of other signatures"];
    twin.refuses(&["--trusted-root", &root], 5, "not-logged", &words);
}

#[test]
fn among_the_entries_that_an_index_names_its_own_is_found() {
    let signed = Signed::new();
    for workflow in [WORKFLOW, MALLORY, MALLORY] {
        sign(&signed.world, workflow);
    }
    signed.world.sigstore.sign_legacy_by_key(&chart().tgz());
    for lie in [LogLie::WholeIdentifiers, LogLie::IndexOfMissing] {
        signed.world.sigstore.set_fault(Fault::LogLies(lie));
        signed.world.sigstore.reset_requests();
        let result = signed.verdict(&[]);
        assert_eq!(result["verdict"], "verified", "{lie:?}: {result:#}");
        assert_eq!(
            result["signatures"][0]["log"]["index"],
            signed.made.log.as_ref().unwrap()["Payload"]["logIndex"]
        );
        assert!(signed.asked() >= 5, "{}", signed.asked());
    }
}

#[test]
fn no_number_of_entries_of_others_about_the_same_chart_hides_its_own() {
    let signed = Signed::new();
    for _ in 0..120 {
        signed.world.sigstore.sign_legacy_by_key(&chart().tgz());
    }
    assert_eq!(signed.verdict(&[])["verdict"], "verified");
    assert_eq!(signed.asked(), 1);
    // Where only the index leads to it, that stays open.
    signed.world.sigstore.set_fault(Fault::LogLies(LogLie::ManyOthers));
    signed.refuses(&[], 4, "limit-reached", &["150 entries about this chart; 100 were read"]);
}

#[test]
fn whatever_a_log_answers_that_it_cannot_prove_makes_nothing_signed() {
    let signed = Signed::new();
    let lies = |lie| Fault::LogLies(lie);
    for (fault, code, reason, words) in [
        (lies(LogLie::WrongPromise), 5, "bad-signature", "log entry does not verify"),
        (lies(LogLie::NoPromise), 5, "bad-signature", "it has no promise"),
        (lies(LogLie::AnotherLog), 5, "untrusted-instance", "log"),
        (lies(LogLie::AnotherEntry), 4, "malformed", "its answer is another entry"),
        (lies(LogLie::WrongIdentifier), 4, "malformed", "another identifier than its content"),
        (lies(LogLie::IndexOfAnother), 5, "not-logged", "1 entry, but of another signature"),
        (lies(LogLie::IndexOfPaths), 4, "malformed", "names something that is no entry"),
        (lies(LogLie::EndlessIndex), 4, "limit-reached", "api/v1/index/retrieve"),
        (Fault::Garbage(Service::RekorV1), 4, "malformed", "its answer is no log entry"),
        (Fault::Status(Service::RekorV1, 500), 4, "service-unreachable", "500"),
        (Fault::Status(Service::RekorV1, 403), 4, "service-unreachable", "403"),
        (Fault::Throttle(Service::RekorV1, 9999), 4, "service-unreachable", "429"),
    ] {
        signed.world.sigstore.set_fault(fault.clone());
        let ended = signed.world.verify(&signed.words(&["-o", "json"]));
        let result = ended.json()["results"][0].clone();
        assert_eq!(
            (ended.code, &result["reason"]),
            (code, &json!(reason)),
            "{fault:?}: {result:#}"
        );
        let message = result["message"].as_str().unwrap();
        assert!(message.contains(words), "{fault:?}: {message}");
        assert_eq!(result["signatures"][0]["log"], Value::Null);
        follows(SCHEMA, &ended.json());
    }
    signed.world.sigstore.clear_faults();
    assert_eq!(signed.verdict(&[])["verdict"], "verified");
}

#[test]
fn an_index_that_names_what_is_not_there_leaves_it_open() {
    let signed = Signed::new();
    let twin = Signed::new();
    let root = twin.root(|root| {
        let here: Value = serde_json::from_str(&signed.world.sigstore.trusted_root_json()).unwrap();
        root["tlogs"] = here["tlogs"].clone();
    });
    signed.world.sigstore.set_fault(Fault::LogLies(LogLie::IndexOfMissing));
    let words = ["is in the index and not there"];
    twin.refuses(&["--trusted-root", &root], 4, "service-unreachable", &words);
}

#[test]
fn a_log_that_does_not_answer_costs_no_more_time_than_was_given() {
    let signed = Signed::new();
    signed.world.sigstore.set_fault(Fault::Hang(Service::RekorV1));
    let started = std::time::Instant::now();
    signed.refuses(
        &["--max-candidate-time", "300ms"],
        4,
        "limit-reached",
        &["0.3 s were spent on candidates"],
    );
    let ended = signed.world.verify(&signed.words(&["--timeout", "500ms"])).exits(4);
    ended.says("searching http://127.0.0.1:");
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    // Nobody listens at all.
    let words = signed.words(&["--rekor-server", "http://127.0.0.1:1", "-o", "json"]);
    let result = signed.world.verify(&words).exits(4).json()["results"][0].clone();
    assert_eq!(result["lookedIn"][1]["object"], "http://127.0.0.1:1");
    assert_eq!(result["retryable"], true);
}

#[test]
fn the_log_that_is_named_is_asked_and_believed_by_the_keys_of_the_trusted_root() {
    let mut signed = Signed::new();
    // The root's own log is elsewhere by now.
    let moved = signed.root(|root| root["tlogs"][0]["baseUrl"] = json!("http://127.0.0.1:1"));
    let server = signed.world.sigstore.rekor_v1_url();
    let moved = ["--trusted-root", moved.as_str()];
    assert_eq!(signed.verdict(&moved)["verdict"], "undecided");
    let named = ["--rekor-server", server.as_str()];
    assert_eq!(signed.verdict(&[moved, named].concat())["verdict"], "verified");
    signed.world.environment.insert("REKOR_SERVER".to_owned(), server.clone());
    assert_eq!(signed.verdict(&moved)["verdict"], "verified");
    signed.world.environment.remove("REKOR_SERVER");
    // Another log has an entry of this very signature, and nobody here trusts its key.
    let other = Signed::new();
    other.world.sigstore.log_legacy_again(&signed.made);
    let server = other.world.sigstore.rekor_v1_url();
    signed.refuses(&["--rekor-server", &server], 5, "untrusted-instance", &["log"]);
    for (url, words) in [
        ("http://rekor.example", "is not https"),
        ("https://u:secret@rekor.example", "its URL holds credentials"),
    ] {
        let ended = signed.world.verify(&signed.words(&["--rekor-server", url])).exits(2);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        ended.says(words);
    }
}

#[test]
fn every_log_of_version_1_in_the_root_is_asked_those_that_are_in_use_first() {
    let signed = Signed::new();
    let other = Sigstore::start(Options::default());
    let log = signed.world.sigstore.rekor_v1_url();
    let others: Value = serde_json::from_str(&other.trusted_root_json()).unwrap();
    // It was used until now, and another one is since.
    let ended = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let root = signed.root(|root| {
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = json!(ended.to_string());
        let mut newer = others["tlogs"][0].clone();
        newer["publicKey"]["validFor"] = json!({"start": "2020-01-01T00:00:00Z"});
        root["tlogs"].as_array_mut().unwrap().push(newer);
    });
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let result = signed.verdict(&["--trusted-root", &root]);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    let looked_in: Vec<_> = result["lookedIn"].as_array().unwrap()[1..]
        .iter()
        .map(|one| (one["object"].as_str().unwrap(), one["status"].as_str().unwrap()))
        .collect();
    assert_eq!(looked_in, [(other.rekor_v1_url().as_str(), "none"), (log.as_str(), "1 found")]);
    // A newer one that is down leaves nothing open where the elder has it.
    other.set_fault(Fault::Status(Service::RekorV1, 500));
    assert_eq!(signed.verdict(&["--trusted-root", &root])["verdict"], "verified");
    // Nor does one that lies hide it.
    let lying = Signed::new();
    lying.world.sigstore.set_fault(Fault::LogLies(LogLie::WrongPromise));
    lying.world.sigstore.log_legacy_again(&signed.made);
    let theirs: Value = serde_json::from_str(&lying.world.sigstore.trusted_root_json()).unwrap();
    let root = signed.root(|root| {
        let logs = root["tlogs"].as_array_mut().unwrap();
        logs.insert(0, theirs["tlogs"][0].clone());
    });
    assert_eq!(signed.verdict(&["--trusted-root", &root])["verdict"], "verified");
    assert!(lying.asked() > 0);
}

#[test]
fn a_root_without_a_log_of_version_1_leaves_nothing_to_search_and_says_what_would_verify() {
    let signed = Signed::new();
    let root = signed.root(|root| {
        root["tlogs"].as_array_mut().unwrap().remove(0);
    });
    signed.refuses(
        &["--trusted-root", &root],
        5,
        "bad-signature",
        &[
            "the trusted root has no log of version 1, and logs of version 2 have no index to search",
            "hint: a bundle has its log entry in it, if whoever signed kept one: --bundle FILE",
        ],
    );
    assert_eq!(signed.asked(), 0);
    // A log of version 2 that is named has no index either.
    let server = signed.world.sigstore.rekor_v2_url();
    let ended = signed.world.verify(&signed.words(&["--rekor-server", &server])).exits(2);
    ended
        .says("error: log cannot be searched: ")
        .says("only Rekor v1 has an index; a log of version 2 has none");
}

#[test]
fn a_timestamp_beside_the_signature_is_verified_and_reported() {
    let signed = Signed::new();
    let identity = Identity::github(WORKFLOW);
    let made = signed.world.sigstore.sign_legacy(&identity, &chart().tgz(), true);
    let signature = write(&signed.world, "stamped.sig", &made.signature);
    let pem = made.certificate.unwrap();
    let certificate = write(&signed.world, "stamped.pem", pem.as_bytes());
    let stamp = made.timestamp.unwrap();
    let wrapped = json!({"SignedRFC3161Timestamp": BASE64.encode(&stamp)}).to_string();
    let words = [&signed.file, "--signature", &signature, "--certificate", &certificate];
    let no_logs = signed.root(|root| {
        root.as_object_mut().unwrap().remove("tlogs");
    });
    for content in [stamp, wrapped.into_bytes()] {
        let stamp = write(&signed.world, "web.tsr", &content);
        let stamped = [&words[..], &["--rfc3161-timestamp", &stamp]].concat();
        let result = signed.world.verdict(&stamped);
        assert_eq!(result["verdict"], "verified", "{result:#}");
        let one = &result["signatures"][0];
        assert!(one["timestamp"].is_string() && one["log"]["time"].is_string(), "{one:#}");
        // Where the instance has no log it is the time, and no log is asked.
        signed.world.sigstore.reset_requests();
        let result = signed.world.verdict(&[&stamped[..], &["--trusted-root", &no_logs]].concat());
        assert_eq!(result["verdict"], "verified", "{result:#}");
        assert_eq!(result["signatures"][0]["log"], Value::Null);
        assert_eq!(signed.asked(), 0);
    }
    let unstamped = [&words[..], &["--trusted-root", &no_logs]].concat();
    refuses(&signed.world, &unstamped, 5, "bad-signature", &["a timestamp has to say when"]);
    // That of another signature does not do, whatever the log has.
    let other = signed.world.sigstore.sign_legacy(&identity, &chart().tgz(), true);
    let stamp = write(&signed.world, "other.tsr", &other.timestamp.unwrap());
    let stamped = [&words[..], &["--rfc3161-timestamp", &stamp]].concat();
    refuses(&signed.world, &stamped, 5, "bad-signature", &["timestamp does not verify"]);
}

#[test]
fn a_log_is_named_only_where_it_is_asked() {
    let signed = Signed::new();
    let server = signed.world.sigstore.rekor_v1_url();
    let (_, public) = signed.world.sigstore.sign_legacy_by_key(b"else");
    let key = write(&signed.world, "cosign.pub", public.as_bytes());
    for (other, more) in [
        ("--offline", &["--offline"][..]),
        ("--insecure-ignore-tlog", &["--key", &key, "--insecure-ignore-tlog"]),
    ] {
        let words = ["verify", &signed.file, "--signature", &signed.signature];
        let words = [&words[..], &["--rekor-server", &server], more].concat();
        let words_of_it = format!("cannot be used together: --rekor-server and {other}");
        signed.world.run(&words).exits(2).says(&words_of_it);
    }
    signed
        .world
        .verify(&[&signed.file, "--rekor-server", &server])
        .exits(2)
        .says("error: no log is asked: --rekor-server");
    assert_eq!(signed.world.sigstore.requests(), []);
}

#[test]
fn nothing_is_told_to_a_log_but_the_name_of_the_entry() {
    let mut signed = Signed::new();
    signed.world.environment.insert("COSIGN_PASSWORD".to_owned(), "s3cret".to_owned());
    let words =
        signed.words(&["--username", "jane", "--password", "s3cret", "--max-candidates", "5"]);
    signed.world.verify(&words).exits(0);
    let requests = signed.world.sigstore.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.len()), ("GET", 20 + 64), "{request:?}");
    assert!(!format!("{request:?}").contains("s3cret"));
}
