//! Instances that have no transparency log, or no certificate log: what has to be proved is read from the trusted
//! root, and never from the bundle.

use helm_sigstore_kit::registry::{Options as RegistryOptions, Pushed};
use helm_sigstore_kit::sigstore::{Fault, Identity, Options, RekorVersion, Sigstore};
use serde_json::{Value, json};

use crate::support::{WORKFLOW, World};
use crate::verify_craft::{MALLORY, refuses, sign, sign_by, usual, write};

/// How a chart was built, as GitHub attests it.
const SLSA: &str = "https://slsa.dev/provenance/v1";
const ENTRIES: &str = "/verificationMaterial/tlogEntries";
const TIMESTAMPS: &str = "/verificationMaterial/timestampVerificationData";

/// A signature as GitHub's own instance makes it: a certificate without certificate timestamp, no log
/// entry, an RFC 3161 timestamp.
fn bare(world: &World, pushed: &Pushed) -> Value {
    world.sigstore.set_fault(Fault::NoSct);
    let bundle = without_log(&sign(world, &usual(pushed, "web", "1.4.2")));
    world.sigstore.clear_faults();
    bundle
}

fn without_log(bundle: &[u8]) -> Value {
    let mut bundle: Value = serde_json::from_slice(bundle).unwrap();
    bundle.pointer_mut(ENTRIES).unwrap().as_array_mut().unwrap().clear();
    bundle
}

/// The world's trusted root without these parts.
fn root_without(world: &World, parts: &[&str]) -> String {
    let mut root: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    for part in parts {
        root.as_object_mut().unwrap().remove(*part);
    }
    let name = format!("root-without-{}.json", parts.join("-"));
    write(world, &name, root.to_string().as_bytes())
}

fn file(world: &World, bundle: &Value) -> String {
    write(world, "b.json", bundle.to_string().as_bytes())
}

/// Insists that a bundle is refused under a root.
#[track_caller]
fn is_refused(world: &World, bundle: &Value, root: &str, reason: &str, words: &str) {
    let reference = format!("{}:1.4.2", world.repository("web"));
    let bundle = file(world, bundle);
    let arguments = [reference.as_str(), "--bundle", &bundle, "--trusted-root", root];
    refuses(world, &arguments, 5, reason, &[words]);
}

#[test]
fn a_signature_without_log_counts_where_the_root_has_none_and_the_report_says_so() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = file(&world, &bare(&world, &pushed));
    let root = root_without(&world, &["tlogs", "ctlogs"]);
    let arguments = [reference.as_str(), "--bundle", &bundle, "--trusted-root", &root];
    let ended = world
        .verify(&arguments)
        .exits(0)
        .prints("Logged in: no log (the trusted root has none)\nTimestamp: ")
        .prints("Certificate log: none (the trusted root has none)");
    assert!(ended.stdout.contains("Pinned: "), "{}", ended.stdout);
    let result = world.verdict(&arguments);
    let signature = &result["signatures"][0];
    assert_eq!((&signature["log"], &signature["sct"]), (&Value::Null, &json!(false)));
    assert!(signature["timestamp"].is_string(), "{signature:#}");
    // Everything else is asked as ever.
    let mallory = sign_by(&world, &Identity::github(MALLORY), &usual(&pushed, "web", "1.4.2"));
    is_refused(&world, &without_log(&mallory), &root, "wrong-signer", "wrong signer");
}

#[test]
fn a_root_that_has_logs_is_never_talked_out_of_them_by_a_bundle() {
    let world = World::new();
    let (_, pushed) = world.push_web();
    let bundle = bare(&world, &pushed);
    for parts in [&[][..], &["ctlogs"]] {
        let root = root_without(&world, parts);
        is_refused(&world, &bundle, &root, "malformed", "bundle cannot be used");
        let mut absent = bundle.clone();
        absent["verificationMaterial"].as_object_mut().unwrap().remove("tlogEntries");
        is_refused(&world, &absent, &root, "malformed", "bundle cannot be used");
    }
}

#[test]
fn certificate_timestamps_are_asked_for_exactly_where_the_root_has_their_log() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let statement = usual(&pushed, "web", "1.4.2");
    let with_sct = sign(&world, &statement);
    world.sigstore.set_fault(Fault::NoSct);
    let logged = sign(&world, &statement);
    world.sigstore.clear_faults();
    let no_logs = root_without(&world, &["tlogs"]);
    is_refused(&world, &without_log(&logged), &no_logs, "bad-signature", "SCT");
    is_refused(
        &world,
        &serde_json::from_slice(&logged).unwrap(),
        &root_without(&world, &[]),
        "bad-signature",
        "SCT",
    );
    let no_ct = root_without(&world, &["ctlogs"]);
    for (bundle, root, sct) in [
        (without_log(&with_sct), &no_logs, true),
        (serde_json::from_slice(&logged).unwrap(), &no_ct, false),
        // A certificate timestamp that nobody asks for is not looked at.
        (serde_json::from_slice(&with_sct).unwrap(), &no_ct, false),
    ] {
        let bundle = file(&world, &bundle);
        let arguments = [reference.as_str(), "--bundle", &bundle, "--trusted-root", root];
        world.verify(&arguments).exits(0);
        assert_eq!(world.verdict(&arguments)["signatures"][0]["sct"], sct);
    }
}

#[test]
fn without_a_log_a_timestamp_by_an_authority_of_the_root_is_required() {
    let world = World::new();
    let (_, pushed) = world.push_web();
    let bundle = bare(&world, &pushed);
    let root = root_without(&world, &["tlogs", "ctlogs"]);
    let mut unstamped = bundle.clone();
    *unstamped.pointer_mut(TIMESTAMPS).unwrap() = json!({});
    is_refused(&world, &unstamped, &root, "bad-signature", "a timestamp has to say when");
    let mut of_another = bundle.clone();
    *of_another.pointer_mut(TIMESTAMPS).unwrap() =
        bare(&world, &pushed).pointer(TIMESTAMPS).unwrap().clone();
    is_refused(&world, &of_another, &root, "bad-signature", "timestamp");
    let alone = root_without(&world, &["tlogs", "ctlogs", "timestampAuthorities"]);
    is_refused(&world, &bundle, &alone, "bad-signature", "timestamp");
    for part in ["timestampAuthorities", "certificateAuthorities"] {
        let mut over: Value = serde_json::from_slice(&std::fs::read(&root).unwrap()).unwrap();
        over[part][0]["validFor"] =
            json!({"start": "2020-01-01T00:00:00Z", "end": "2020-06-01T00:00:00Z"});
        let over = write(&world, "over.json", over.to_string().as_bytes());
        is_refused(&world, &bundle, &over, "bad-signature", "does not verify");
        let mut foreign: Value = serde_json::from_slice(&std::fs::read(&root).unwrap()).unwrap();
        let other: Value =
            serde_json::from_str(&Sigstore::start(Options::default()).trusted_root_json()).unwrap();
        foreign[part] = other[part].clone();
        let foreign = write(&world, "foreign.json", foreign.to_string().as_bytes());
        is_refused(&world, &bundle, &foreign, "bad-signature", "does not verify");
    }
}

#[test]
fn a_log_entry_that_no_log_of_the_root_vouches_for_is_a_contradiction() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let options = Options { rekor: vec![version], ..Options::default() };
        let world = World::with(RegistryOptions::default(), options);
        let (_, pushed) = world.push_web();
        let logged: Value =
            serde_json::from_slice(&sign(&world, &usual(&pushed, "web", "1.4.2"))).unwrap();
        let root = root_without(&world, &["tlogs", "ctlogs"]);
        is_refused(&world, &logged, &root, "untrusted-instance", "does not know the log");
        // Nor does an entry help that promises nothing and proves nothing.
        let mut hollow = logged;
        let entry = &mut hollow.pointer_mut(ENTRIES).unwrap()[0];
        entry.as_object_mut().unwrap().remove("inclusionPromise");
        entry.as_object_mut().unwrap().remove("inclusionProof");
        is_refused(&world, &hollow, &root, "untrusted-instance", "log");
    }
}

#[test]
fn without_a_log_signature_payload_and_certificate_still_belong_together() {
    let world = World::new();
    let (_, pushed) = world.push_web();
    let root = root_without(&world, &["tlogs", "ctlogs"]);
    let (bundle, other) = (bare(&world, &pushed), bare(&world, &pushed));
    for pointer in ["/dsseEnvelope/signatures", "/verificationMaterial/certificate"] {
        let mut spliced = bundle.clone();
        *spliced.pointer_mut(pointer).unwrap() = other.pointer(pointer).unwrap().clone();
        is_refused(&world, &spliced, &root, "bad-signature", "does not verify");
    }
    let mut elsewhere = usual(&pushed, "web", "1.4.2");
    elsewhere["subject"][0]["digest"]["sha256"] = "0".repeat(64).into();
    elsewhere["subject"][1]["digest"]["sha256"] = "0".repeat(64).into();
    let moved = without_log(&sign(&world, &elsewhere));
    is_refused(&world, &moved, &root, "not-covered", "not");
}

#[test]
fn without_a_log_a_time_in_our_future_stays_open() {
    let mut world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = file(&world, &bare(&world, &pushed));
    world.clock = || jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let root = root_without(&world, &["tlogs", "ctlogs"]);
    let arguments = [reference.as_str(), "--bundle", &bundle, "--trusted-root", &root];
    refuses(&world, &arguments, 4, "clock-behind", &["s behind"]);
}

#[test]
fn a_member_that_is_misspelt_does_not_make_a_root_ask_for_less() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = file(&world, &bare(&world, &pushed));
    let whole: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    for (part, name) in [("tlogs", "tLogs"), ("ctlogs", "ctLogs"), ("tlogs", "transparencyLogs")] {
        let mut root = whole.clone();
        let members = root.as_object_mut().unwrap();
        let logs = members.remove(part).unwrap();
        members.insert(name.to_owned(), logs);
        let root = write(&world, "root.json", root.to_string().as_bytes());
        let arguments = [reference.as_str(), "--bundle", &bundle, "--trusted-root", &root];
        refuses(&world, &arguments, 4, "trust-unusable", &[name]);
    }
    let mut twice = whole.to_string();
    twice.truncate(twice.len() - 1);
    twice.push_str(r#","tlogs":[]}"#);
    for (content, words) in [
        (twice, "duplicate field"),
        (world.sigstore.signing_config_json(), "signingconfig"),
        (whole.to_string().replace("trustedroot+json", "else+json"), "else+json"),
    ] {
        let root = write(&world, "root.json", content.as_bytes());
        let arguments = [reference.as_str(), "--bundle", &bundle, "--trusted-root", &root];
        refuses(&world, &arguments, 4, "trust-unusable", &[words]);
    }
}

#[test]
fn nothing_is_signed_into_a_log_that_the_root_does_not_know() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let root = root_without(&world, &["tlogs"]);
    let config = world.argument("signing_config.json");
    world
        .run(&["sign", &reference, "--trusted-root", &root, "--signing-config", &config])
        .exits(2)
        .says("trusted root has no transparency log");
    assert_eq!(world.sigstore.requests(), []);
}

#[test]
fn githubs_own_instance_is_for_verifying_only() {
    let mut world = World::new();
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    let (reference, _) = world.push_web();
    let ended = world.run(&["sign", &reference, "--instance", "github"]).exits(2);
    assert!(
        ended.stderr.starts_with("error: instance names no services to sign with: instance github"),
        "{}",
        ended.stderr
    );
    assert_eq!(world.registry.requests(), []);
    // Its root is in this program, so that nobody has to set it up.
    let ended = world.verify(&[&reference, "--instance", "github", "--offline"]).exits(4);
    assert!(ended.stderr.contains("nothing to trust offline: instance github"), "{}", ended.stderr);
    let root = world.argument("any.json");
    world
        .run(&["trust", "init", "github", "--mirror", "https://tuf.example", "--root", &root])
        .exits(2)
        .says("name of an instance is taken: github");
}

#[test]
fn an_instance_without_logs_comes_by_tuf_as_any_other() {
    let mut world = World::new();
    let root = std::fs::read_to_string(root_without(&world, &["tlogs", "ctlogs"])).unwrap();
    let tuf = helm_sigstore_kit::tuf::Tuf::start(&[("trusted_root.json", root)]);
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    crate::trust_support::init(&world, &tuf).exits(0);
    let (reference, pushed) = world.push_web();
    crate::verify_craft::attach(&world, &pushed, bare(&world, &pushed).to_string().as_bytes());
    world.verify(&[&reference, "--instance", "kit"]).exits(0).prints("Logged in: no log");
    let logged = sign_by(&world, &Identity::github(WORKFLOW), &usual(&pushed, "web", "1.4.2"));
    let logged = write(&world, "logged.json", &logged);
    let arguments = [reference.as_str(), "--instance", "kit", "--bundle", &logged];
    refuses(&world, &arguments, 5, "untrusted-instance", &["log"]);
}

#[test]
fn an_attestation_of_a_private_repository_verifies_by_reference_and_by_bundle() {
    let mut world = World::new();
    let root = std::fs::read_to_string(root_without(&world, &["tlogs", "ctlogs"])).unwrap();
    let tuf = helm_sigstore_kit::tuf::Tuf::start(&[("trusted_root.json", root)]);
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    crate::trust_support::init(&world, &tuf).exits(0);
    world
        .environment
        .insert("HELM_SIGSTORE_SIGNING_CONFIG".to_owned(), world.argument("signing_config.json"));
    let (reference, pushed) = world.push_web();
    // What `actions/attest-build-provenance` states: SLSA's predicate over the manifest alone.
    let attested = |workflow: &str, digest: &str| {
        let mut subject = crate::verify_craft::bare(digest);
        subject["name"] = json!(format!("{}/charts/web", world.registry.host()));
        let mut statement = crate::verify_craft::statement(&[subject]);
        statement["predicateType"] = json!(SLSA);
        statement["predicate"] = json!({
            "buildDefinition": {"buildType": "https://actions.github.io/buildtypes/workflow/v1"},
            "runDetails": {"builder": {"id": format!("https://github.com/{WORKFLOW}")}},
        });
        world.sigstore.set_fault(Fault::NoSct);
        let bundle = without_log(&sign_by(&world, &Identity::github(workflow), &statement));
        world.sigstore.clear_faults();
        bundle
    };
    let bundle = attested(WORKFLOW, &pushed.manifest_digest);
    crate::verify_craft::attach_as(&world, &pushed, bundle.to_string().as_bytes(), |manifest| {
        manifest["annotations"]["dev.sigstore.bundle.predicateType"] = json!(SLSA);
    });
    let path = file(&world, &bundle);
    let asked = ["--instance", "kit", "--predicate-type", "slsaprovenance1"];
    let by_reference = [&[reference.as_str()][..], &asked].concat();
    let by_bundle = [&by_reference[..], &["--bundle", &path]].concat();
    for (words, place) in [(&by_reference, "referrers"), (&by_bundle, "file")] {
        let result = world.verdict(words);
        assert_eq!(result["verdict"], "verified", "{result:#}");
        let signature = &result["signatures"][0];
        assert_eq!((&signature["place"], &signature["log"]), (&json!(place), &Value::Null));
        assert_eq!(
            (&signature["format"], &signature["predicateType"]),
            (&json!("attestation"), &json!(SLSA))
        );
        assert!(signature["timestamp"].is_string(), "{signature:#}");
        let source = &signature["signer"]["sourceRepository"];
        assert_eq!(*source, json!("https://github.com/acme/charts"));
        world.verify(words).exits(0).prints("Logged in: no log").prints("Pinned: oci://");
    }
    // By the source of the build, as people ask of GitHub's attestations.
    let github = world.sigstore.issuer_url(helm_sigstore_kit::sigstore::IssuerKind::GitHub);
    let by_source = ["--github", "acme/charts", "--github-issuer", &github];
    world.run(&[&["verify"], &by_reference[..], &by_source].concat()).exits(0);
    let by_another = ["--github", "acme/other", "--github-issuer", &github];
    world
        .run(&[&["verify"], &by_reference[..], &by_another].concat())
        .exits(5)
        .says("wrong signer");
    // Nobody asked for it, it is by somebody else, or about another chart.
    refuses(&world, &[&reference, "--instance", "kit"], 3, "unsigned", &[]);
    let mallory = file(&world, &attested(MALLORY, &pushed.manifest_digest));
    let words = [&[reference.as_str()][..], &asked, &["--bundle", &mallory]].concat();
    refuses(&world, &words, 5, "wrong-signer", &["wrong signer"]);
    let elsewhere = format!("sha256:{}", "0".repeat(64));
    let moved = file(&world, &attested(WORKFLOW, &elsewhere));
    let words = [&[reference.as_str()][..], &asked, &["--bundle", &moved]].concat();
    refuses(&world, &words, 5, "not-covered", &[]);
}
