//! Arguments and environment: Helm's flags, secrets, several objects, bad arguments.

use helm_sigstore_kit::chart::Chart;

use crate::cli_support::{Setting, verify_words};
use crate::support::World;

#[test]
fn the_flags_of_helm_are_tolerated_wherever_they_stand() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let signer = world.signer();
    for (front, back) in [
        (vec!["--qps", "5"], vec!["--debug"]),
        (vec!["--debug=true", "-n", "prod"], vec!["--burst-limit=7", "--kube-context", "c"]),
        (vec!["-v", "4"], vec!["--content-cache", "/c", "--kube-insecure-skip-tls-verify"]),
        (vec!["--registry-config", "/nosuch.json"], vec!["--color", "never"]),
        (vec![], vec!["--namespace=prod", "--kube-token", "secret", "--repository-cache", "/r"]),
    ] {
        let mut words = front.clone();
        words.extend(verify_words(&signer, &[&reference]));
        words.extend(&back);
        let ended = world.run(&words).exits(0);
        assert!(!format!("{ended:?}").contains("secret"));
    }
}

#[test]
fn a_literal_token_in_the_arguments_warns_and_a_file_or_a_variable_does_not() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    let token = world.environment.remove("SIGSTORE_ID_TOKEN").unwrap();
    let warning = "warning: a token in the arguments can be seen by others";
    let literal =
        world.run(&["sign", &reference, "--identity-token", &token]).exits(0).says(warning);
    assert!(!literal.stderr.contains(&token));
    std::fs::write(world.path("token"), &token).unwrap();
    let file = world.argument("token");
    let quiet = world.run(&["sign", &reference, "--identity-token", &file]).exits(0);
    assert!(!quiet.stderr.contains("warning"), "{quiet:?}");
    world.stdin = token.clone().into_bytes();
    let quiet = world.run(&["sign", &reference, "--identity-token", "-"]).exits(0);
    assert!(!quiet.stderr.contains("warning"), "{quiet:?}");
    world.environment.insert("HELM_SIGSTORE_IDENTITY_TOKEN".to_owned(), token);
    let quiet = world.run(&["sign", &reference]).exits(0);
    assert!(!quiet.stderr.contains("warning"), "{quiet:?}");
}

#[test]
fn a_literal_password_in_the_arguments_warns_and_a_variable_does_not() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    let warning = "warning: a password in the arguments can be seen by others";
    let given = [reference.as_str(), "--username", "jane", "--password", "hunter2"];
    let literal = world.verify(&given).exits(0).says(warning);
    assert!(!literal.stderr.contains("hunter2"));
    world.environment.insert("HELM_SIGSTORE_USERNAME".to_owned(), "jane".to_owned());
    world.environment.insert("HELM_SIGSTORE_PASSWORD".to_owned(), "hunter2".to_owned());
    assert_eq!(world.verify(&[&reference]).exits(0).stderr, "");
    // Also where both name one.
    world.verify(&given).exits(0).says(warning);
}

#[test]
fn two_readers_of_standard_input_are_an_error() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let words =
        ["sign", &reference, "--identity-token", "-", "--username", "jane", "--password-stdin"];
    world.run(&words).exits(2).says("standard input can be read only once");
}

#[test]
fn several_objects_have_results_in_their_order_and_every_message_names_its_object() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.push(&Chart::new("api", "0.1.0"));
    let unsigned = format!("{}:0.1.0", world.repository("api"));
    let absent = format!("{}:9.9.9", world.repository("web"));
    let objects = [unsigned.as_str(), "Not/A/Reference", &reference, &absent];
    let signer = world.signer();
    let ended = world.run(&verify_words(&signer, &objects)).exits(3);
    for object in [&unsigned, "Not/A/Reference", &absent] {
        assert!(ended.stderr.contains(&format!(": {object}")), "{object}: {}", ended.stderr);
    }
    ended.prints(&format!("Verified: {reference}\n"));
    let mut words = verify_words(&signer, &objects);
    words.extend(["-o", "json"]);
    let document = world.run(&words).exits(3).json();
    let results = document["results"].as_array().unwrap();
    let inputs: Vec<_> = results.iter().map(|r| r["input"].as_str().unwrap()).collect();
    assert_eq!(inputs, objects);
    let verdicts: Vec<_> = results.iter().map(|r| r["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["unsigned", "usage", "verified", "not-found"]);
}

#[test]
fn a_failure_of_the_whole_command_is_a_result_of_every_object() {
    let mut world = World::new();
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    let words = ["verify", "--offline", "-o", "json", "oci://127.0.0.1:1/a", "oci://127.0.0.1:1/b"];
    let document = world.run(&words).exits(4).json();
    for (result, input) in document["results"].as_array().unwrap().iter().zip(&words[4..]) {
        assert_eq!(result["input"], *input);
        assert_eq!(result["reason"], "trust-unusable");
        assert_eq!(result["hint"], "--trusted-root FILE");
    }
}

#[test]
fn bad_arguments_end_with_2_and_without_a_usage_dump() {
    let world = World::new();
    for words in [
        vec![],
        vec!["sgn"],
        vec!["verify"],
        vec!["verify", "--nonsense", "oci://a.b/c"],
        vec!["verify", "--timeout", "soon", "oci://a.b/c"],
        vec!["verify", "-o", "yaml", "oci://a.b/c"],
        vec!["sign", "--rekor-version", "3", "oci://a.b/c"],
        vec!["verify", "--registry-config=", "oci://a.b/c"],
        vec!["version", "extra"],
    ] {
        let ended = world.run(&words).exits(2);
        assert!(!ended.stderr.contains("Usage"), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.lines().count() <= 4, "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.matches("hint: ").count() <= 1, "{words:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn a_misspelt_flag_or_command_gets_the_right_one_as_its_hint() {
    let world = World::new();
    world.run(&["verfy"]).exits(2).says("hint: verify\n");
    world
        .run(&["verify", "--certificate-identiy", "x", "oci://a.b/c"])
        .exits(2)
        .says("hint: --certificate-identity\n");
}

#[test]
fn the_program_is_called_as_the_user_calls_it() {
    let mut world = World::new();
    let named = |world: &World, name: &str, other: &str| {
        for words in [vec!["--help"], vec!["sign", "--help"], vec!["help", "verify"]] {
            let ended = world.run(&words).exits(0);
            assert!(ended.stdout.contains(&format!("Usage: {name} ")), "{}", ended.stdout);
            assert!(ended.stdout.contains(&format!("$ {name} ")), "{}", ended.stdout);
            assert!(!ended.stdout.contains(&format!("$ {other} ")), "{}", ended.stdout);
            assert_eq!(ended.stderr, "");
        }
        world.run(&["verify"]).exits(2).says(&format!("hint: {name} verify --help\n"));
        let (reference, _) = world.signed_web();
        let hint = format!("hint: {name} verify oci://");
        world.run(&["verify", &reference]).exits(2).says(&hint);
    };
    named(&world, "helm-sigstore", "helm sigstore");
    world.environment.insert("HELM_PLUGIN_NAME".to_owned(), "sigstore".to_owned());
    named(&world, "helm sigstore", "helm-sigstore");
}

#[test]
fn the_version_is_told_in_every_form() {
    let world = World::new();
    let version = env!("CARGO_PKG_VERSION");
    for words in [vec!["version"], vec!["--version"], vec!["-V"]] {
        assert_eq!(world.run(&words).exits(0).stdout, format!("helm-sigstore {version}\n"));
    }
    assert_eq!(world.run(&["version", "--short"]).exits(0).stdout, format!("{version}\n"));
    for words in [vec!["version", "-o", "json"], vec!["version", "--short", "--output=json"]] {
        let document = Setting::pipes().run(&world, &words).exits(0).json();
        assert_eq!(document["tool"]["version"], version);
        assert_eq!(document["tool"]["executable"], "/plugins/sigstore/bin/helm-sigstore");
    }
}

#[test]
fn a_regular_expression_that_matches_only_a_part_gets_the_form_that_works_as_its_hint() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let partial =
        ["--certificate-identity-regexp", "acme/charts", "--certificate-oidc-issuer-regexp"];
    let mut words = vec!["verify", reference.as_str()];
    words.extend(partial);
    words.push("/github");
    let ended = world.run(&words).exits(5).says("it would match only a part");
    let hint = ended.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    let mut pasted = vec!["verify", reference.as_str()];
    pasted.extend(hint.split(' ').map(|word| word.trim_matches('\'')));
    world.run(&pasted).exits(0);
    // Another issuer altogether: no anchor would help.
    let mut words = vec!["verify", reference.as_str()];
    words.extend(partial);
    words.push("https://other.example");
    assert!(!world.run(&words).exits(5).stderr.contains("hint"));
}

#[test]
fn offline_a_file_is_verified_without_a_single_connection() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    let bundle = format!("{file}.sigstore.json");
    world.run(&["sign", &reference, "--bundle-out", &bundle]).exits(0);
    let connections = world.registry.connections();
    world.sigstore.reset_requests();
    // Nothing of a registry is looked at either.
    world.environment.insert("HELM_REGISTRY_CONFIG".to_owned(), "/nosuch/config.json".to_owned());
    world.verify(&[&file, "--offline"]).exits(0);
    world.verify(&[&file, "--offline", "--bundle", &bundle]).exits(0);
    assert_eq!(world.registry.connections(), connections);
    assert_eq!(world.sigstore.requests().len(), 0);
}

#[test]
fn offline_a_reference_asks_nobody_but_the_registry_that_is_named() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.verify(&[&reference, "--offline"]).exits(0);
    assert!(!world.registry.requests().is_empty());
    assert_eq!(world.sigstore.requests().len(), 0);
}

#[test]
fn what_is_no_chart_is_said_before_anybody_has_to_be_trusted() {
    let mut world = World::new();
    world.environment.insert("HELM_SIGSTORE_TRUSTED_ROOT".into(), "/nowhere/root.json".into());
    let directory = world.directory().display().to_string();
    for command in ["verify", "sign"] {
        world.run(&[command, &directory]).exits(2).says("not a packaged chart");
        world.run(&[command, "foo/bar"]).exits(2);
    }
}
