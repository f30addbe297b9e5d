//! Files that hold several trusted roots, as `gh attestation trusted-root` writes them: each counts by itself.

use helm_sigstore_kit::sigstore::{Options, Sigstore};
use serde_json::{Value, json};

use crate::support::World;
use crate::verify_craft::{refuses, write};

fn compact(json: &str) -> String {
    serde_json::from_str::<Value>(json).unwrap().to_string()
}

fn other_root() -> String {
    compact(&Sigstore::start(Options::default()).trusted_root_json())
}

fn lines(world: &World, roots: &[&str]) -> String {
    write(world, "trusted_root.jsonl", (roots.join("\n") + "\n").as_bytes())
}

#[test]
fn each_of_several_roots_is_tried_and_the_one_that_vouches_is_said() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let (ours, theirs) = (compact(&world.sigstore.trusted_root_json()), other_root());
    for (roots, number, of) in [
        (vec![&theirs, &ours], 2, 2),
        (vec![&ours, &theirs], 1, 2),
        // The first that verifies, so that the answer is the same each time.
        (vec![&theirs, &ours, &ours], 2, 3),
    ] {
        let roots: Vec<_> = roots.into_iter().map(String::as_str).collect();
        let file = lines(&world, &roots);
        let arguments = [reference.as_str(), "--trusted-root", &file];
        world
            .verify(&arguments)
            .exits(0)
            .prints(&format!("Trusted root: {number} of {of} ({})", world.sigstore.fulcio_url()));
        let result = world.verdict(&arguments);
        let root = &result["signatures"][0]["trustedRoot"];
        assert_eq!((&root["number"], &root["of"]), (&json!(number), &json!(of)));
        assert_eq!(result["trust"]["source"], file);
    }
    let alone = lines(&world, &[&ours]);
    let arguments = [reference.as_str(), "--trusted-root", &alone];
    let ended = world.verify(&arguments).exits(0);
    assert!(!ended.stdout.contains("Trusted root"), "{}", ended.stdout);
    assert_eq!(world.verdict(&arguments)["signatures"][0]["trustedRoot"], Value::Null);
}

#[test]
fn roots_are_never_merged() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let ours: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    let theirs: Value = serde_json::from_str(&other_root()).unwrap();
    // Together the two hold everything that the signature needs.
    for part in ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"] {
        let (mut one, mut two) = (ours.clone(), theirs.clone());
        one[part] = theirs[part].clone();
        two[part] = ours[part].clone();
        for roots in [[&one, &two], [&two, &one]] {
            let roots = roots.map(ToString::to_string);
            let file = lines(&world, &[&roots[0], &roots[1]]);
            let ended = world.verify(&[&reference, "--trusted-root", &file]).exits(5);
            assert_eq!(ended.stdout, "");
        }
    }
}

#[test]
fn what_no_root_knows_is_refused_as_such_and_what_one_knows_by_its_own_words() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let (theirs, others) = (other_root(), other_root());
    let file = lines(&world, &[&theirs, &others]);
    let words = ["not trusted", "none of the 2 trusted roots knows it"];
    refuses(&world, &[&reference, "--trusted-root", &file], 5, "untrusted-instance", &words);
    let mut broken: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    broken["ctlogs"] = serde_json::from_str::<Value>(&theirs).unwrap()["ctlogs"].clone();
    let broken = broken.to_string();
    for roots in [[&theirs, &broken], [&broken, &theirs]] {
        let file = lines(&world, &roots.map(String::as_str));
        refuses(&world, &[&reference, "--trusted-root", &file], 5, "bad-signature", &["SCT"]);
    }
}

#[test]
fn one_root_that_cannot_be_used_makes_the_file_unusable() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let ours = compact(&world.sigstore.trusted_root_json());
    let config = compact(&world.sigstore.signing_config_json());
    let many = vec![ours.as_str(); 17];
    for (roots, words) in [
        (vec![ours.as_str(), "{}"], "root 2 of 2"),
        (vec![&config, &ours], "root 1 of 2"),
        (vec![&ours, "nonsense"], "document 2"),
        (vec![&ours, &ours[..ours.len() - 1]], "document 2"),
        (many, "17 roots"),
    ] {
        let file = lines(&world, &roots);
        let arguments = [reference.as_str(), "--trusted-root", &file];
        refuses(&world, &arguments, 4, "trust-unusable", &[words]);
    }
}

#[test]
fn several_roots_sign_are_shown_and_are_carried_away() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let (ours, theirs) = (compact(&world.sigstore.trusted_root_json()), other_root());
    let file = lines(&world, &[&theirs, &ours]);
    world.run(&["sign", &reference, "--trusted-root", &file]).exits(0);
    let shown = world.run(&["trust", "show", "--trusted-root", &file, "-o", "json"]).exits(0);
    let roots = shown.json()["tlogs"].clone();
    let roots: Vec<_> = roots.as_array().unwrap().iter().map(|log| &log["root"]).collect();
    assert_eq!(roots, [&json!(1), &json!(1), &json!(2), &json!(2)]);
    world.run(&["trust", "show", "--trusted-root", &file]).exits(0).prints("(root 2)");
    let out = world.argument("out.jsonl");
    world.run(&["trust", "export", &out, "--trusted-root", &file]).exits(0);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), format!("{theirs}\n{ours}\n"));
    world.verify(&[&reference, "--trusted-root", &out]).exits(0);
    let json = world.run(&["trust", "export", "--trusted-root", &file, "-o", "json"]).exits(0);
    assert_eq!(json.json().as_array().unwrap().len(), 2);
}

#[test]
fn trust_configs_count_among_several_roots_too() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let config = compact(&world.sigstore.trust_config_json());
    let file = lines(&world, &[&other_root(), &config]);
    world.verify(&[&reference, "--trusted-root", &file]).exits(0).prints("2 of 2");
}

#[test]
fn the_roots_of_public_good_sigstore_and_of_github_are_read_side_by_side_as_gh_writes_them() {
    use sigstore_trust_root::{SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT};
    let world = World::new();
    let (reference, _) = world.signed_web();
    let roots = [SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_GITHUB_TRUSTED_ROOT].map(compact);
    let file = lines(&world, &roots.each_ref().map(String::as_str));
    let shown = world.run(&["trust", "show", "--trusted-root", &file]).exits(0);
    for line in shown.stdout.lines().filter(|line| line.contains("githubapp.com")) {
        assert!(line.ends_with("(root 2)"), "{line}");
    }
    assert!(shown.stdout.contains("Certificate authority: fulcio.githubapp.com"), "{shown:?}");
    assert!(shown.stdout.contains("Transparency log: https://rekor.sigstore.dev"), "{shown:?}");
    let words = ["none of the 2 trusted roots knows it"];
    refuses(&world, &[&reference, "--trusted-root", &file], 5, "untrusted-instance", &words);
}
