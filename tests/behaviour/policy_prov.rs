//! What a rule of a policy says of Helm's provenance file, and of statements beside the signature.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Pushed};
use helm_sigstore_kit::sigstore::Identity;
use serde_json::json;

use crate::cli_json::{SCHEMA, follows};
use crate::policy_support::{by_default, named, result, rule, signed_by};
use crate::prov_support::Packager;
use crate::support::World;
use crate::verify_craft::{attach, attach_as, bare, sign_by, statement, usual, write};

const JANE: &str = "Jane <jane@example.com>";
const ALICE: &[&str] = &["alice@acme.example"];
const SPDX: &str = "https://spdx.dev/Document";

/// A world with a chart that Jane packaged and nobody signed in Sigstore, and her ring beside the policy.
fn packaged() -> (World, Packager, String, Pushed) {
    let world = World::new();
    let jane = Packager::new(JANE);
    let pushed = world.push(&jane.packages(Chart::new("web", "1.4.2")));
    std::fs::write(world.path("jane.asc"), jane.ring()).unwrap();
    std::fs::write(world.path("bob.asc"), Packager::new("Bob <bob@example.com>").ring()).unwrap();
    let reference = format!("{}:1.4.2", world.repository("web"));
    (world, jane, reference, pushed)
}

/// A policy that trusts Alice, and says this.
fn saying(world: &World, more: &str) -> String {
    named(world, &[rule(world, "charts/*", ALICE, more)])
}

const ACCEPT: &str = "    prov: accept\n    keyring: jane.asc\n";

#[test]
fn a_policy_that_accepts_provenance_says_that_nothing_else_speaks_for_the_chart() {
    let (world, jane, reference, _) = packaged();
    let file = saying(&world, ACCEPT);
    let ended = world.run(&["verify", &reference, "--policy", &file]).exits(0);
    let digest = helm_sigstore_kit::registry::digest_of(&Chart::new("web", "1.4.2").tgz());
    let expected = format!(
        "Verified: {reference}\nAccepted by: provenance alone; unsigned in Sigstore\n\
         Chart Hash Verified: {digest}   (provenance only, unsigned in Sigstore)\n\
         manifest: not signed\nProvenance: PGP signature verified\nSigned by: {JANE}\n\
         Using Key With Fingerprint: {}\nChart Hash Verified: {digest}\n",
        jane.fingerprint()
    );
    assert!(ended.stdout.starts_with(&expected), "{}", ended.stdout);
    // Nobody whom Sigstore knows is named, and nothing is pinned: the manifest is not signed.
    for words in ["Issued by", "Logged in", "Pinned", "alice"] {
        assert!(!ended.stdout.contains(words), "{}", ended.stdout);
    }
    let ended = world.run(&["verify", &reference, "--policy", &file, "-o", "json"]).exits(0);
    follows(SCHEMA, &ended.json());
    let found = result(&ended);
    assert_eq!(
        (&found["verdict"], &found["reason"]),
        (&json!("verified"), &json!("provenance-only"))
    );
    assert_eq!(found["message"], "provenance verified, unsigned in Sigstore");
    assert_eq!((&found["signatures"], &found["digestRef"]), (&json!([]), &json!(null)));
    assert_eq!((&found["prov"], &found["chart"]["name"]), (&json!("not signed"), &json!("web")));
    assert_eq!(found["provenance"]["status"], "verified");
    assert_eq!(
        (&found["policy"]["prov"], &found["policy"]["keyring"]),
        (&json!("accept"), &json!("jane.asc"))
    );
}

#[test]
fn provenance_suffices_only_where_a_rule_says_so() {
    let (mut world, _, reference, _) = packaged();
    let verify = |world: &World, file: &str, more: &[&str]| {
        world.run(&[&["verify", &reference, "--policy", file], more].concat())
    };
    for more in ["", "    keyring: jane.asc\n", "    prov: require\n    keyring: jane.asc\n"] {
        let ended = verify(&world, &saying(&world, more), &[]).exits(3);
        let says = if more.is_empty() { "error: unsigned" } else { "unsigned in Sigstore" };
        ended.says(says);
    }
    // Flags do not make a policy more lenient, whatever keyring they name.
    let ring = world.argument("jane.asc");
    verify(&world, &saying(&world, ""), &["--keyring", &ring]).exits(3);
    let bobs = "    prov: accept\n    keyring: bob.asc\n";
    verify(&world, &saying(&world, bobs), &[]).exits(5).says("unknown key");
    verify(&world, &saying(&world, bobs), &["--keyring", &ring]).exits(5);
    // A keyring beside the rule's has to hold the key too; the variable of the Go plugin gives way.
    let accept = saying(&world, ACCEPT);
    verify(&world, &accept, &["--keyring", &ring]).exits(0);
    verify(&world, &accept, &["--keyring", &world.argument("bob.asc")]).exits(5);
    world.environment.insert("KEYRING".to_owned(), world.argument("bob.asc"));
    verify(&world, &accept, &[]).exits(0);
    // The flags in place of a policy that is only found do not accept it either.
    by_default(&mut world, &[]);
    let words = world.signer();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    world.environment.remove("KEYRING");
    world.run(&[&["verify", &reference, "--keyring", &ring], &words[..]].concat()).exits(3);
}

#[test]
fn provenance_makes_up_for_no_signature_that_is_there_and_for_no_place_that_is_silent() {
    let (world, _, reference, pushed) = packaged();
    let file = saying(&world, ACCEPT);
    let verify = || world.run(&["verify", &reference, "--policy", &file, "-o", "json"]);
    world.registry.fault(Fault::new("/referrers/", Action::status(503)));
    assert_eq!(result(&verify().exits(4))["verdict"], "undecided");
    world.registry.clear_faults();
    assert_eq!(result(&verify().exits(0))["reason"], "provenance-only");
    // Somebody else's signature is a no.
    let mallory = Identity::email("mallory@evil.example");
    attach(&world, &pushed, &sign_by(&world, &mallory, &usual(&pushed, "web", "1.4.2")));
    assert_eq!(result(&verify().exits(5))["reason"], "wrong-signer");
}

#[test]
fn a_chart_that_is_signed_stays_signed_under_such_a_policy() {
    let (world, reference, _) = signed_by(ALICE);
    std::fs::write(world.path("jane.asc"), Packager::new(JANE).ring()).unwrap();
    let file = saying(&world, ACCEPT);
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(0)
        .prints("Signed by: alice@acme.example\n")
        .prints("Pinned: ");
    let file = saying(&world, "    prov: require\n    keyring: jane.asc\n");
    let ended = world.run(&["verify", &reference, "--policy", &file, "-o", "json"]).exits(5);
    assert_eq!(result(&ended)["reason"], "no-provenance");
    assert_eq!(result(&ended)["policy"]["prov"], "require");
    // Unsigned and without provenance is unsigned.
    let (world, reference, _) = signed_by(&[]);
    std::fs::write(world.path("jane.asc"), Packager::new(JANE).ring()).unwrap();
    let file = saying(&world, ACCEPT);
    world.run(&["verify", &reference, "--policy", &file]).exits(3).says("error: unsigned");
    let words = ["verify", &reference, "--policy", &file, "--prov", "require"];
    world.run(&words).exits(5).says("provenance is missing").says("--prov require asks for it");
}

#[test]
fn flags_make_what_a_rule_says_of_provenance_only_stricter() {
    let (mut world, _, reference, _) = packaged();
    let file = saying(&world, "    prov: require\n    keyring: jane.asc\n");
    let words = ["verify", &reference, "--policy", &file, "--prov", "ignore"];
    world.run(&words).exits(2).says("flags only narrow a policy").says("says prov: require");
    world.environment.insert("HELM_SIGSTORE_PROV".to_owned(), "ignore".to_owned());
    let bobs = saying(&world, "    prov: require\n    keyring: bob.asc\n");
    world.run(&["verify", &reference, "--policy", &bobs]).exits(5).says("unknown key");
    world.environment.remove("HELM_SIGSTORE_PROV");
    // A rule that does not look is narrowed by a flag that does.
    let file = saying(&world, "    prov: ignore\n");
    let ring = world.argument("bob.asc");
    world.run(&["verify", &reference, "--policy", &file]).exits(3).says("error: unsigned");
    let words = ["verify", &reference, "--policy", &file, "--prov", "require", "--keyring", &ring];
    world.run(&words).exits(5).says("unknown key");
}

#[test]
fn the_keyring_of_a_rule_lies_beside_the_policy_and_is_a_file() {
    let (world, _, reference, _) = packaged();
    for (more, says) in [
        ("    keyring: gone.asc\n", "cannot open keyring"),
        ("    keyring: .\n", "it is no regular file"),
        ("    keyring: policy.yaml\n", "no OpenPGP key"),
    ] {
        let file = saying(&world, more);
        let ended = world.run(&["verify", &reference, "--policy", &file]).exits(2);
        ended.says(says).says("policy.yaml, line 3");
    }
    let elsewhere = world.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::copy(world.path("jane.asc"), elsewhere.join("jane.asc")).unwrap();
    std::fs::copy(saying(&world, ACCEPT), elsewhere.join("policy.yaml")).unwrap();
    std::fs::remove_file(world.path("jane.asc")).unwrap();
    let file = elsewhere.join("policy.yaml").display().to_string();
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
}

#[test]
fn a_file_and_its_provenance_are_judged_by_the_rule_that_they_are_taken_for() {
    let (world, jane, reference, _) = packaged();
    let file = saying(&world, ACCEPT);
    let chart = jane.packages(Chart::new("web", "1.4.2"));
    let path = chart.write_to(world.directory()).unwrap().display().to_string();
    let words = ["verify", &path, "--policy", &file, "--as", &reference];
    world.run(&words).exits(0).prints("Accepted by: provenance alone; unsigned in Sigstore\n");
    std::fs::write(format!("{path}.prov"), jane.signs(&Chart::new("web", "1.4.3"))).unwrap();
    world.run(&words).exits(5).says("provenance does not match");
    std::fs::remove_file(format!("{path}.prov")).unwrap();
    world.run(&words).exits(3).says("error: unsigned");
}

#[test]
fn one_file_name_is_not_taken_for_another_chart() {
    // `web-1.0.0-2.0.0.tgz` is version 2.0.0 of `web-1.0.0`, and version 1.0.0-2.0.0 of `web`.
    let world = World::new();
    let jane = Packager::new(JANE);
    std::fs::write(world.path("jane.asc"), jane.ring()).unwrap();
    let (real, asked) = (Chart::new("web-1.0.0", "2.0.0"), Chart::new("web", "1.0.0-2.0.0"));
    let signed = jane.signs_digest(&real, &helm_sigstore_kit::registry::digest_of(&asked.tgz()));
    world.push(&asked.provenance(signed));
    let reference = format!("{}:1.0.0-2.0.0", world.repository("web"));
    let file = saying(&world, ACCEPT);
    let ended = world.run(&["verify", &reference, "--policy", &file]).exits(5);
    ended.says("it is of another chart").says("web-1.0.0 2.0.0  (provenance)");
}

#[test]
fn charts_with_nothing_but_provenance_are_signed_and_not_left_alone() {
    let (world, _, reference, _) = packaged();
    let file = saying(&world, ACCEPT);
    let words = ["sign", &reference, "--skip-if-signed", "--policy", &file, "-o", "json"];
    assert_eq!(result(&world.run(&words).exits(0))["alreadySigned"], false);
}

/// Attests something of a chart by this person.
fn attest(world: &World, pushed: &Pushed, person: &str, kind: &str) {
    let mut made = statement(&[bare(&pushed.manifest_digest)]);
    made["predicateType"] = kind.into();
    let bundle = sign_by(world, &Identity::email(person), &made);
    attach_as(world, pushed, &bundle, |manifest| {
        manifest["annotations"]["dev.sigstore.bundle.predicateType"] = kind.into();
    });
}

#[test]
fn a_rule_asks_for_statements_beside_the_signature_and_flags_for_more() {
    let (world, reference, pushed) = signed_by(ALICE);
    let file = saying(&world, "    require-predicate:\n      - spdx\n");
    let verify = |more: &[&str]| {
        world.run(&[&["verify", &reference, "--policy", &file, "-o", "json"], more].concat())
    };
    assert_eq!(result(&verify(&[]).exits(5))["reason"], "wrong-predicate");
    attest(&world, &pushed, "mallory@evil.example", SPDX);
    assert_eq!(result(&verify(&[]).exits(5))["reason"], "wrong-signer");
    attest(&world, &pushed, ALICE[0], SPDX);
    let ended = verify(&[]).exits(0);
    follows(SCHEMA, &ended.json());
    assert_eq!(result(&ended)["policy"]["requirePredicate"], json!([SPDX]));
    let ended = verify(&["--require-predicate", "vuln"]).exits(5);
    assert_eq!(result(&ended)["policy"]["requirePredicate"].as_array().unwrap().len(), 2);
    // Said twice it is asked once.
    let ended = verify(&["--require-predicate", "spdx"]).exits(0);
    assert_eq!(result(&ended)["policy"]["requirePredicate"], json!([SPDX]));
}

#[test]
fn a_file_by_itself_never_passes_a_rule_that_asks_for_statements() {
    let (world, reference, pushed) = signed_by(ALICE);
    let chart = crate::verify_craft::package(&world, &Chart::new("web", "1.4.2"));
    let signed = sign_by(&world, &Identity::email(ALICE[0]), &usual(&pushed, "web", "1.4.2"));
    let bundle = write(&world, "web.json", &signed);
    let file = saying(&world, "    require-predicate: [spdx]\n");
    let words = ["verify", &chart, "--policy", &file, "--as", &reference, "--bundle", &bundle];
    world.run(&words).exits(2).says("is required too").says("hint: --repository");
    let words = ["verify", &chart, "--policy", &file, "--repository", &world.target()];
    world.run(&words).exits(5).says("required attestation is missing");
    // With the bundle of a reference the registry is asked for them.
    let words = ["verify", &reference, "--policy", &file, "--bundle", &bundle];
    world.run(&words).exits(5).says("required attestation is missing");
    attest(&world, &pushed, ALICE[0], SPDX);
    world.run(&words).exits(0);
}

#[test]
fn a_manifest_that_is_denied_is_denied_to_its_file_too() {
    let (world, _, pushed) = signed_by(ALICE);
    let chart = crate::verify_craft::package(&world, &Chart::new("web", "1.4.2"));
    let words = |file: &str| {
        let words = ["verify", &chart, "--policy", file, "--repository", &world.target()];
        world.run(&words)
    };
    words(&saying(&world, "")).exits(0);
    let denied = format!("    deny:\n      - digest: {}\n", pushed.manifest_digest);
    words(&saying(&world, &denied)).exits(5).says("denied by the policy");
}

#[test]
fn policy_test_says_what_a_rule_asks_for_beside_signatures() {
    let world = World::new();
    let reference = format!("{}:1.4.2", world.repository("web"));
    let more = format!("{ACCEPT}    require-predicate: [spdx]\n");
    let file = saying(&world, &more);
    world
        .run(&["policy", "test", &reference, "--policy", &file])
        .exits(0)
        .prints(&format!("Required too: {SPDX}\n"))
        .prints(
            "Provenance: suffices where there is no signature of Sigstore (keyring jane.asc)\n",
        );
    let ended = world.run(&["policy", "test", &reference, "--policy", &file, "-o", "json"]);
    let found = ended.exits(0).json();
    assert_eq!((&found["prov"], &found["keyring"]), (&json!("accept"), &json!("jane.asc")));
    assert_eq!(found["requirePredicate"], json!([SPDX]));
}
