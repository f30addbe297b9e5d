//! A policy file decides who has to have signed.

use helm_sigstore_kit::chart::Chart;

use crate::key_support;
use crate::policy_support::{PEOPLE, by_default, named, person, policy, result, rule, signed_by};
use crate::support::World;
use crate::verify_craft::{package, write};

const ALICE: &[&str] = &["alice@acme.example"];
const BOB: &[&str] = &["bob@acme.example"];

#[test]
fn a_policy_accepts_whom_its_rule_names_and_refuses_everybody_else() {
    let (world, reference, _) = signed_by(ALICE);
    let file = named(&world, &[rule(&world, "charts/*", ALICE, "    name: our charts\n")]);
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(0)
        .prints("Signed by: alice@acme.example\n")
        .prints(&format!("Policy: {file} (rule our charts)\n"));
    let ended = world.run(&["verify", &reference, "--policy", &file, "-o", "json"]).exits(0);
    let policy = &result(&ended)["policy"];
    assert_eq!(
        (policy["source"].as_str(), policy["file"].as_str()),
        (Some("file"), Some(file.as_str()))
    );
    assert_eq!(policy["rule"], "our charts");
    let file = named(&world, &[rule(&world, "charts/*", BOB, "    name: our charts\n")]);
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(5)
        .says("error: wrong signer: ")
        .says("found     alice@acme.example")
        .says(&format!("rule      our charts of {file}"));
}

#[test]
fn a_reference_that_no_rule_covers_is_refused_before_anybody_is_asked() {
    let (world, reference, _) = signed_by(ALICE);
    for pattern in ["other/*", "charts/we", "charts/web/*", "charts/*/web", "chart*", "*"] {
        let file = named(&world, &[rule(&world, pattern, ALICE, "")]);
        world.registry.reset_requests();
        let ended = world.run(&["verify", &reference, "--policy", &file, "-o", "json"]).exits(5);
        assert_eq!(result(&ended)["reason"], "no-rule", "{pattern}");
        assert_eq!(result(&ended)["verdict"], "refused");
        assert!(world.registry.requests().is_empty(), "{pattern}");
    }
}

#[test]
fn the_more_specific_rule_decides_alone() {
    let (world, reference, _) = signed_by(ALICE);
    let wide = rule(&world, "charts/**", ALICE, "");
    let narrow = rule(&world, "charts/web", BOB, "");
    let file = named(&world, &[wide.clone(), narrow]);
    world.run(&["verify", &reference, "--policy", &file]).exits(5).says("wrong signer");
    let file =
        named(&world, &[rule(&world, "charts/**", BOB, ""), rule(&world, "charts/w*", ALICE, "")]);
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
    let file = named(&world, &[wide, rule(&world, "charts/*", BOB, "")]);
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(2)
        .says("neither is more specific")
        .says("line ");
}

#[test]
fn several_references_have_a_rule_each() {
    let (world, web, _) = signed_by(ALICE);
    let pushed = world.push(&Chart::new("api", "2.0.0"));
    let statement = crate::verify_craft::usual(&pushed, "api", "2.0.0");
    let bob = helm_sigstore_kit::sigstore::Identity::email("bob@acme.example");
    crate::verify_craft::attach(
        &world,
        &pushed,
        &crate::verify_craft::sign_by(&world, &bob, &statement),
    );
    let api = format!("{}:2.0.0", world.repository("api"));
    let rules = [
        rule(&world, "charts/web", ALICE, "    name: w\n"),
        rule(&world, "charts/api", BOB, "    name: a\n"),
    ];
    let file = named(&world, &rules);
    let other = format!("{}:1.0.0", world.repository("other"));
    let list = write(&world, "list", format!("{web}\n{api}\n{other}\n").as_bytes());
    let words = ["verify", &format!("@{list}"), "--policy", &file, "-o", "json"];
    let report = world.run(&words).exits(5).json();
    let found: Vec<_> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["verdict"].as_str().unwrap(), one["policy"]["rule"].as_str()))
        .collect();
    assert_eq!(found, [("verified", Some("w")), ("verified", Some("a")), ("refused", None)]);
}

#[test]
fn each_rule_has_a_trusted_root_of_its_own() {
    let (mut world, reference, _) = signed_by(ALICE);
    let other = World::new();
    let foreign = other.argument("trusted_root.json");
    let more = |root: &str| format!("    trusted-root: {root}\n");
    let with = |root: &str| [rule(&world, "charts/*", ALICE, &more(root))];
    // Relative to the policy, not to where we are.
    let file = named(&world, &with("trusted_root.json"));
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
    let file = named(&world, &with(&foreign));
    world.run(&["verify", &reference, "--policy", &file]).exits(5);
    let file = named(&world, &with("missing.json"));
    world.run(&["verify", &reference, "--policy", &file]).exits(2).says("missing.json");
    let file = named(&world, &[rule(&world, "charts/*", ALICE, "    instance: nowhere\n")]);
    world.run(&["verify", &reference, "--policy", &file]).exits(2).says("nowhere");
    // What is set for every run gives way; what is typed for this one does not.
    let file = named(&world, &with("trusted_root.json"));
    let root = world.argument("trusted_root.json");
    world
        .run(&["verify", &reference, "--policy", &file, "--trusted-root", &root])
        .exits(2)
        .says("names its own trust");
    world.environment.insert("HELM_SIGSTORE_TRUSTED_ROOT".to_owned(), foreign);
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
}

#[test]
fn any_of_all_of_and_a_number_are_counted_over_identities_and_keys() {
    let (world, reference, _) = signed_by(ALICE);
    let world = key_support::with_key(world, "release");
    let host = world.registry.host().to_string();
    let all = format!(
        "  - repositories: [\"oci://{host}/charts/*\"]\n    all-of:\n{}      - key: release.pub\n",
        person(&world, "alice@acme.example")
    );
    let file = named(&world, std::slice::from_ref(&all));
    let ended = world.run(&["verify", &reference, "--policy", &file]).exits(5);
    ended.says("too few signatures").says("missing   key sha256:");
    key_support::sign(&world, &reference, &[]).exits(0);
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(0)
        .prints("Signed by: alice@acme.example\n")
        .prints("Signed by: key sha256:");
    let any = all.replace("all-of", "any-of");
    let file = named(&world, &[any.clone()]);
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
    let file = named(&world, &[any + "    min-signatures: 2\n"]);
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
    let file = named(&world, &[rule(&world, "charts/*", &PEOPLE, "    min-signatures: 2\n")]);
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(5)
        .says("missing   bob@acme.example");
}

#[test]
fn a_key_of_a_rule_needs_its_log_unless_the_rule_says_otherwise() {
    let mut world = key_support::with_key(World::new(), "release");
    key_support::generate(&world, "other");
    let (reference, _) = key_support::signed(&world, &["--tlog-upload=false"]);
    let host = world.registry.host().to_string();
    let keys = |entries: &str| {
        [format!("  - repositories: [\"oci://{host}/charts/*\"]\n    any-of:\n{entries}")]
    };
    let file = named(&world, &keys("      - key: release.pub\n"));
    world.run(&["verify", &reference, "--policy", &file]).exits(5).says("no transparency log");
    // Another key's leniency is not this one's.
    let lenient =
        "      - key: other.pub\n        insecure-ignore-tlog: true\n      - key: release.pub\n";
    let file = named(&world, &keys(lenient));
    world.run(&["verify", &reference, "--policy", &file]).exits(5);
    let strict = named(&world, &keys("      - key: release.pub\n"));
    world
        .run(&[
            "verify",
            &reference,
            "--policy",
            &strict,
            "--key",
            &world.argument("release.pub"),
            "--insecure-ignore-tlog",
        ])
        .exits(2)
        .says("flags only narrow a policy");
    let file =
        named(&world, &keys("      - key: release.pub\n        insecure-ignore-tlog: true\n"));
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(0)
        .prints("Weakened by: --insecure-ignore-tlog");
    // The key stands in the policy itself.
    let pem = std::fs::read_to_string(world.path("release.pub")).unwrap();
    let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
    let entry = format!("      - key: |\n{pem}        insecure-ignore-tlog: true\n");
    let file = named(&world, &keys(&entry));
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
}

#[test]
fn a_denied_signer_or_digest_is_refused_by_its_own_reason() {
    let (world, reference, pushed) = signed_by(ALICE);
    let deny = |entry: &str| {
        named(&world, &[rule(&world, "charts/*", &PEOPLE, &format!("    deny:\n{entry}"))])
    };
    let reason = |file: &str, object: &[&str]| {
        let words = [&["verify"], object, &["--policy", file, "-o", "json"]].concat();
        result(&world.run(&words).exits(5))["reason"].clone()
    };
    let object = [reference.as_str()];
    assert_eq!(reason(&deny(&person(&world, "alice@acme.example")), &object), "denied");
    for digest in [&pushed.manifest_digest, &pushed.layer_digest] {
        let file = deny(&format!("      - digest: {digest}\n"));
        assert_eq!(reason(&file, &object), "denied");
    }
    let file = deny(&person(&world, "joe@acme.example"));
    world.run(&["verify", &reference, "--policy", &file]).exits(0);
    // A denied signer does not stand in the way of another one.
    let (world, reference, _) = signed_by(&PEOPLE);
    let entry = format!("    deny:\n{}", person(&world, "alice@acme.example"));
    let file = named(&world, &[rule(&world, "charts/*", &PEOPLE, &entry)]);
    world
        .run(&["verify", &reference, "--policy", &file])
        .exits(0)
        .prints("Signed by: bob@acme.example\n");
}

#[test]
fn a_signature_of_another_time_does_not_count() {
    let (world, reference, _) = signed_by(ALICE);
    for (line, code) in [
        ("signed-after: 2020-01-01", 0),
        ("signed-before: 2020-01-01", 5),
        ("signed-after: 2100-01-01", 5),
        ("signed-before: 2100-01-01T00:00:00Z", 0),
    ] {
        let file = named(&world, &[rule(&world, "charts/*", ALICE, &format!("    {line}\n"))]);
        let ended = world.run(&["verify", &reference, "--policy", &file, "-o", "json"]).exits(code);
        let expected = if code == 0 { None } else { Some("wrong-time") };
        assert_eq!(result(&ended)["reason"].as_str(), expected, "{line}");
    }
    // Without log and timestamp nothing proves a time.
    let mut world = key_support::with_key(World::new(), "release");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    let (reference, _) = key_support::signed(&world, &["--tlog-upload=false"]);
    let host = world.registry.host();
    let text = format!(
        "  - repositories: [\"oci://{host}/charts/*\"]\n    any-of:\n      - key: release.pub\n        insecure-ignore-tlog: true\n    signed-after: 2020-01-01\n"
    );
    let file = named(&world, &[text]);
    world.run(&["verify", &reference, "--policy", &file]).exits(5).says("no time that a log");
}

#[test]
fn flags_narrow_a_policy_that_is_named() {
    let (mut world, reference, _) = signed_by(&PEOPLE);
    let issuer = world.sigstore.issuer_url(helm_sigstore_kit::sigstore::IssuerKind::Email);
    let file = named(&world, &[rule(&world, "charts/*", &PEOPLE, "")]);
    let by = |address: &'static str| ["--email", address, "--issuer", &issuer].map(str::to_owned);
    let run = |world: &World, more: &[String]| {
        let mut words = vec!["verify", &reference, "--policy", &file];
        words.extend(more.iter().map(String::as_str));
        world.run(&words)
    };
    run(&world, &by("bob@acme.example")).exits(0).prints("Signed by: bob@acme.example\n");
    // Whom the flags name, and the policy does not, is not trusted.
    run(&world, &by("joe@acme.example")).exits(5);
    let mut both = by("alice@acme.example").to_vec();
    both.extend(by("bob@acme.example"));
    both.extend(["--min-signatures", "2", "-o", "json"].map(str::to_owned));
    let found = result(&run(&world, &both).exits(0));
    assert_eq!(found["policy"]["narrowed"], true);
    assert_eq!(found["signatures"].as_array().unwrap().len(), 2);
    let alice = named(&world, &[rule(&world, "charts/*", ALICE, "")]);
    let words = [
        &["verify", reference.as_str(), "--policy", &alice][..],
        &both.iter().map(String::as_str).collect::<Vec<_>>(),
    ]
    .concat();
    world.run(&words).exits(5);
    // The variable is the flag.
    world.environment.insert("HELM_SIGSTORE_POLICY".to_owned(), alice);
    let bob = by("bob@acme.example");
    let words = [&["verify", reference.as_str()][..], &bob.each_ref().map(String::as_str)].concat();
    world.run(&words).exits(5).says("wrong signer");
    world.run(&["verify", &reference]).exits(0);
}

#[test]
fn flags_replace_a_policy_that_is_only_found_and_that_is_said() {
    let (mut world, reference, _) = signed_by(ALICE);
    let rules = [rule(&world, "charts/*", BOB, "")];
    by_default(&mut world, &rules);
    let path = world.path("config/sigstore/policy.yaml").display().to_string();
    let ended = world.run(&["verify", &reference, "-o", "json"]).exits(5);
    assert_eq!(result(&ended)["policy"]["source"], "default-file");
    let issuer = world.sigstore.issuer_url(helm_sigstore_kit::sigstore::IssuerKind::Email);
    let flags = ["--email", "alice@acme.example", "--issuer", &issuer];
    let words = [&["verify", reference.as_str()][..], &flags].concat();
    world.run(&words).exits(0).prints(&format!("Policy: the flags, in place of {path}\n"));
    let found = result(&world.run(&[&words[..], &["-o", "json"]].concat()).exits(0));
    assert_eq!(found["policy"]["source"], "flags");
    assert_eq!(found["policy"]["replaces"], path);
    // A constraint or a count alone trusts nobody, and replaces nothing.
    world.run(&["verify", &reference, "--source-ref", "refs/heads/main"]).exits(2);
    // The usual place of Helm's configuration.
    world.environment.remove("HELM_CONFIG_HOME");
    let xdg = world.path("xdg");
    std::fs::create_dir_all(xdg.join("helm/sigstore")).unwrap();
    std::fs::copy(&path, xdg.join("helm/sigstore/policy.yaml")).unwrap();
    world.environment.insert("XDG_CONFIG_HOME".to_owned(), xdg.display().to_string());
    world.run(&["verify", &reference]).exits(5).says("wrong signer");
}

#[test]
fn a_policy_is_switched_off_only_by_a_flag_that_is_shown() {
    let (mut world, reference, _) = signed_by(ALICE);
    let rules = [rule(&world, "other/*", BOB, "")];
    by_default(&mut world, &rules);
    world.run(&["verify", &reference]).exits(5).says("no rule of the policy covers it");
    let words = ["verify", &reference, "--insecure-no-policy", "-o", "json"];
    let found = result(&world.run(&words).exits(2));
    assert_eq!(found["reason"], "no-identity");
    assert_eq!(found["weakened"], serde_json::json!(["--insecure-no-policy"]));
    assert!(found["hint"].as_str().unwrap().contains("--insecure-no-policy"), "{found}");
    world
        .run(&["verify", &reference, "--insecure-no-policy", "--policy", "x"])
        .exits(2)
        .says("cannot be used together");
    world.environment.insert("HELM_SIGSTORE_INSECURE_NO_POLICY".to_owned(), "true".to_owned());
    world.run(&["verify", &reference]).exits(2).says("no identity to trust");
}

#[test]
fn a_file_is_judged_as_the_reference_that_it_is_taken_for() {
    let (world, reference, pushed) = signed_by(ALICE);
    let chart = package(&world, &Chart::new("web", "1.4.2"));
    let statement = crate::verify_craft::usual(&pushed, "web", "1.4.2");
    let alice = helm_sigstore_kit::sigstore::Identity::email("alice@acme.example");
    let bundle = crate::verify_craft::sign_by(&world, &alice, &statement);
    let bundle = write(&world, "web.sigstore.json", bundle.as_slice());
    let file =
        named(&world, &[rule(&world, "charts/*", ALICE, ""), rule(&world, "charts/web2", BOB, "")]);
    let run = |more: &[&str]| {
        world.run(&[&["verify", &chart, "--policy", &file, "--bundle", &bundle], more].concat())
    };
    run(&[]).exits(2).says("hint: --as oci://");
    run(&["--as", &reference]).exits(0);
    run(&["--as", &world.repository("web"), "--offline"]).exits(0);
    // The rule of another chart is no way around one's own.
    run(&["--as", &world.repository("api")]).exits(5).says("wrong chart");
    run(&["--as", &world.repository("web2")]).exits(5);
    run(&["--as", &format!("{}:1.4.3", world.repository("web"))]).exits(5).says("wrong version");
    run(&["--as", &format!("{reference}@{}", pushed.manifest_digest)]).exits(2).says("no manifest");
    run(&["--as", "x"]).exits(2);
    world
        .run(&["verify", &reference, "--as", &reference, "--policy", &file])
        .exits(2)
        .says("--as is for files");
    // By the target of a push it has a place.
    let words = ["verify", &chart, "--policy", &file, "--repository", &world.target()];
    world.run(&words).exits(0);
    let elsewhere = format!("oci://{}/elsewhere", world.registry.host());
    world
        .run(&["verify", &chart, "--policy", &file, "--repository", &elsewhere])
        .exits(5)
        .says("no rule");
    let denied = format!("    deny:\n      - digest: {}\n", pushed.layer_digest);
    let file = named(&world, &[rule(&world, "charts/*", ALICE, &denied)]);
    world
        .run(&["verify", &chart, "--policy", &file, "--bundle", &bundle, "--as", &reference])
        .exits(5)
        .says("denied by the policy");
}

#[test]
fn charts_are_left_alone_that_are_signed_as_the_policy_asks() {
    let (mut world, reference, _) = signed_by(ALICE);
    let file = named(&world, &[rule(&world, "charts/*", ALICE, "")]);
    let skip =
        |file: &str| ["sign", &reference, "--skip-if-signed", "--policy", file].map(str::to_owned);
    let sign = |world: &World, file: &str| {
        let words = skip(file);
        let words = [&words.each_ref().map(String::as_str)[..], &["-o", "json"]].concat();
        result(&world.run(&words).exits(0))
    };
    let found = sign(&world, &file);
    assert_eq!(
        (&found["alreadySigned"], &found["policy"]["file"]),
        (&true.into(), &file.as_str().into())
    );
    let bob = named(&world, &[rule(&world, "charts/*", BOB, "")]);
    assert_eq!(sign(&world, &bob)["alreadySigned"], false);
    let rules = [rule(&world, "charts/*", ALICE, "")];
    by_default(&mut world, &rules);
    let words = ["sign", &reference, "--skip-if-signed", "-o", "json"];
    assert_eq!(result(&world.run(&words).exits(0))["alreadySigned"], true);
    world.run(&["sign", &reference, "--policy", &file]).exits(2).says("--skip-if-signed");
    let chart = package(&world, &Chart::new("web", "1.4.2"));
    world.run(&["sign", &chart, "--skip-if-signed"]).exits(2).says("this is a file");
}

#[test]
fn a_policy_that_cannot_be_used_is_an_error_and_never_no_policy() {
    let (mut world, reference, _) = signed_by(ALICE);
    let bad =
        write(&world, "bad.yaml", b"schema: helm-sigstore.policy/v1\nrules:\n  - colour: red\n");
    let big = write(&world, "big.yaml", &vec![b'#'; (1 << 20) + 1]);
    let directory = world.directory().display().to_string();
    for (file, words) in [
        (bad.as_str(), "line 3, column 5"),
        (&big, "larger than"),
        (&directory, "no regular file"),
        ("/nowhere/policy.yaml", "cannot read policy"),
    ] {
        let ended = world.run(&["verify", &reference, "--policy", file]).exits(2);
        ended.says(words).says(file);
    }
    let rules = [rule(&world, "charts/*", ALICE, "")];
    by_default(&mut world, &rules);
    let path = world.path("config/sigstore/policy.yaml");
    let issuer = world.sigstore.issuer_url(helm_sigstore_kit::sigstore::IssuerKind::Email);
    #[cfg(unix)]
    {
        let target = world.path("target.yaml");
        std::fs::rename(&path, &target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        world.run(&["verify", &reference]).exits(0);
        std::fs::remove_file(&target).unwrap();
        world.run(&["verify", &reference]).exits(2).says("cannot read policy");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        world.run(&["verify", &reference]).exits(2).says("cannot read policy");
        std::fs::remove_file(&path).unwrap();
    }
    std::fs::write(&path, policy(&[])).unwrap();
    world.run(&["verify", &reference]).exits(2).says("bad policy file");
    // Flags replace it for this run, whatever is in it.
    world.run(&["verify", &reference, "--email", ALICE[0], "--issuer", &issuer]).exits(0);
}
