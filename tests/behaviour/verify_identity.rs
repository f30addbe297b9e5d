//! Who signed: exact names, patterns, wrong signers, and nobody named at all.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::IssuerKind;
use serde_json::Value;

use crate::support::{Ended, WORKFLOW, World};
use crate::verify_craft::{MALLORY, attach, attach_as, refuses, sign, sign_as, usual, write};

const WEB: &str = "https://github.com/acme/charts/.github/workflows/release.yml@refs/heads/main";

fn verify_as(world: &World, reference: &str, identity: [&str; 4]) -> Ended {
    let mut words = vec!["verify", reference];
    words.extend(identity);
    world.run(&words)
}

fn issuer(world: &World) -> String {
    world.sigstore.issuer_url(IssuerKind::GitHub)
}

#[test]
fn an_exact_identity_and_issuer_verify_and_the_report_says_all_of_it() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let host = world.registry.host();
    let pinned = format!("oci://{host}/charts/web@{}", pushed.manifest_digest);
    world
        .verify(&[&reference])
        .exits(0)
        .prints(&format!("Verified: {reference}\n"))
        .prints(&format!("Signed by: {WEB}\n"))
        .prints(&format!("Issued by: {}\n", issuer(&world)))
        .prints("Logged in: 127.0.0.1:")
        .prints(&format!(
            "Chart Hash Verified: {}   (signed: manifest and chart)\n",
            pushed.layer_digest
        ))
        .prints(&format!("Pinned: {pinned}\n"));
    let result = world.verdict(&[&reference]);
    assert_eq!(result["verdict"], "verified");
    assert_eq!(result["input"], reference);
    assert_eq!(result["ref"], reference);
    assert_eq!(result["digestRef"], pinned);
    assert_eq!(result["manifestDigest"], pushed.manifest_digest);
    assert_eq!(result["chartDigest"], pushed.layer_digest);
    assert_eq!(result["chart"], serde_json::json!({"name": "web", "version": "1.4.2"}));
    assert_eq!(result["policy"]["source"], "flags");
    assert_eq!(result["weakened"], serde_json::json!([]));
    assert_eq!(result["reason"], Value::Null);
    let signature = &result["signatures"][0];
    assert_eq!(signature["status"], "accepted");
    assert_eq!(signature["format"], "bundle");
    assert_eq!(signature["place"], "referrers");
    assert_eq!(signature["predicateType"], "https://sigstore.dev/cosign/sign/v1");
    assert_eq!(signature["subject"]["kind"], "manifest");
    assert_eq!(signature["subject"]["digest"], pushed.manifest_digest);
    assert_eq!(signature["signer"]["identity"], WEB);
    assert_eq!(signature["signer"]["issuer"], issuer(&world));
    assert_eq!(signature["signer"]["sourceRepository"], "https://github.com/acme/charts");
    assert_eq!(signature["signer"]["sourceRef"], "refs/heads/main");
    assert_eq!(signature["signer"]["workflow"], WEB);
    assert_eq!(signature["log"]["url"], world.sigstore.rekor_v1_url());
    assert!(signature["log"]["index"].is_u64() && signature["log"]["time"].is_string());
    assert!(signature["timestamp"].is_string());
}

#[test]
fn a_pattern_has_to_match_the_whole_identity_and_the_whole_issuer() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let issuer = issuer(&world);
    for identity in [
        [
            "--certificate-identity-regexp",
            "https://github\\.com/acme/.*",
            "--certificate-oidc-issuer",
            &issuer,
        ],
        [
            "--certificate-identity-regexp",
            "^https://github\\.com/acme/.*$",
            "--certificate-oidc-issuer",
            &issuer,
        ],
        [
            "--certificate-identity",
            WEB,
            "--certificate-oidc-issuer-regexp",
            "http://127\\.0\\.0\\.1:[0-9]+/github",
        ],
        ["--certificate-identity-regexp", ".*", "--certificate-oidc-issuer-regexp", ".*"],
    ] {
        verify_as(&world, &reference, identity).exits(0);
    }
    for identity in [
        [
            "--certificate-identity-regexp",
            "https://github\\.com/acme/",
            "--certificate-oidc-issuer",
            &issuer,
        ],
        ["--certificate-identity-regexp", "acme", "--certificate-oidc-issuer", &issuer],
        [
            "--certificate-identity-regexp",
            "x|https://github\\.com/ac",
            "--certificate-oidc-issuer",
            &issuer,
        ],
        ["--certificate-identity", WEB, "--certificate-oidc-issuer-regexp", "github"],
        ["--certificate-identity", "https://github.com/acme", "--certificate-oidc-issuer", &issuer],
        [
            "--certificate-identity",
            WEB,
            "--certificate-oidc-issuer",
            "https://token.actions.githubusercontent.com",
        ],
    ] {
        verify_as(&world, &reference, identity).exits(5).says("error: wrong signer: ");
    }
}

#[test]
fn a_pattern_that_matches_only_a_part_is_explained_with_a_form_that_works() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let issuer = issuer(&world);
    for pattern in ["github\\.com/acme/", "^https://github", "nobody|acme/charts", "main$"] {
        let ended = verify_as(
            &world,
            &reference,
            ["--certificate-identity-regexp", pattern, "--certificate-oidc-issuer", &issuer],
        )
        .exits(5)
        .says("the pattern has to match the whole text");
        let hint = ended.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
        let form = hint.strip_prefix("--certificate-identity-regexp '").unwrap();
        let form = form.strip_suffix('\'').unwrap();
        verify_as(
            &world,
            &reference,
            ["--certificate-identity-regexp", form, "--certificate-oidc-issuer", &issuer],
        )
        .exits(0);
    }
    // What would not match either way is not explained so.
    let ended = verify_as(
        &world,
        &reference,
        ["--certificate-identity-regexp", "nobody", "--certificate-oidc-issuer", &issuer],
    )
    .exits(5);
    assert!(!ended.stderr.contains("hint:"), "{}", ended.stderr);
}

#[test]
fn a_wrong_signer_is_shown_beside_the_expected_one() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach(&world, &pushed, &sign_as(&world, MALLORY, &usual(&pushed, "web", "1.4.2")));
    let padded = format!("{:1$}", format!("https://github.com/{MALLORY}"), WEB.len());
    let found = format!("  found     {padded}   issuer {}   (1 valid signature)\n", issuer(&world));
    let expected =
        format!("  expected  https://github.com/{WORKFLOW}   issuer {}\n", issuer(&world));
    let headline = format!("error: wrong signer: {reference} ({})\n", pushed.manifest_digest);
    refuses(&world, &[&reference], 5, "wrong-signer", &[&headline, &expected, &found]);
    let result = world.verdict(&[&reference]);
    assert_eq!(result["signatures"][0]["status"], "refused");
    assert_eq!(result["signatures"][0]["reason"], "wrong-signer");
    assert_eq!(
        result["signatures"][0]["signer"]["identity"],
        format!("https://github.com/{MALLORY}")
    );
}

#[test]
fn every_wrong_signer_is_named_and_counted() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let eve = "eve/charts/.github/workflows/x.yml@refs/heads/main";
    for workflow in [MALLORY, eve] {
        attach(&world, &pushed, &sign_as(&world, workflow, &usual(&pushed, "web", "1.4.2")));
    }
    refuses(
        &world,
        &[&reference],
        5,
        "wrong-signer",
        &["(2 valid signatures)", MALLORY, eve, "expected"],
    );
}

#[test]
fn one_trusted_signer_among_several_is_enough() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    for workflow in [MALLORY, WORKFLOW, "eve/x/.github/workflows/x.yml@refs/heads/main"] {
        attach(&world, &pushed, &sign_as(&world, workflow, &usual(&pushed, "web", "1.4.2")));
    }
    world.verify(&[&reference]).exits(0).prints(&format!("Signed by: {WEB}\n"));
}

/// The words of a hint, as a shell would split them.
fn words(hint: &str) -> Vec<String> {
    let unquoted = hint
        .split('\'')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { part.replace(' ', "\u{0}") } else { part.to_owned() });
    let line: String = unquoted.collect();
    line.split(' ').map(|word| word.replace('\u{0}', " ")).collect()
}

/// Runs the hint as it stands.
fn paste(world: &World, ended: &Ended) -> Ended {
    let hint = ended.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap();
    let words = words(hint.strip_prefix("helm-sigstore ").unwrap());
    world.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn without_an_identity_each_valid_signer_is_shown_with_the_command_that_would_trust_it() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let statement = usual(&pushed, "web", "1.4.2");
    attach_as(&world, &pushed, &sign_as(&world, MALLORY, &statement), |manifest| {
        manifest["annotations"]["org.opencontainers.image.created"] = "2020-01-01T00:00:00Z".into();
    });
    let ended = world
        .run(&["verify", &reference])
        .exits(2)
        .says(&format!(
            "error: no identity to trust was given: {reference} ({})\n",
            pushed.manifest_digest
        ))
        .says(&format!("  valid signature by  {WEB}   issuer {}\n", issuer(&world)))
        .says(&format!("  valid signature by  https://github.com/{MALLORY}  "));
    assert_eq!(ended.stdout, "");
    paste(&world, &ended).exits(0).prints(&format!("Signed by: {WEB}\n"));
    let ended = world.run(&["verify", "-o", "json", &reference]).exits(2);
    assert_eq!(ended.json()["results"][0]["reason"], "no-identity");
    assert_eq!(ended.json()["results"][0]["policy"]["source"], "none");
    assert_eq!(ended.json()["results"][0]["digestRef"], Value::Null);
}

#[test]
fn the_command_that_would_trust_a_signer_can_be_pasted_wherever_the_signature_was() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    let renamed = world.registry.push_chart("mirror/front end".replace(' ', "").as_str(), &chart);
    let bundle = sign(&world, &usual(&renamed, "web", "1.4.2"));
    attach(&world, &renamed, &bundle);
    world.push(&chart);
    let beside = write(&world, "a bundle.json", &bundle);
    let mirror = format!("oci://{}/mirror/frontend:1.4.2", world.registry.host());
    let repushed = world.registry.push_chart_with("charts/api", &chart, |manifest| {
        manifest["annotations"]["x"] = "y".into();
    });
    attach(&world, &repushed, &bundle);
    let api = world.repository("api");
    for arguments in [
        vec!["verify", file.as_str(), "--bundle", &beside],
        vec!["verify", &mirror, "--chart", "web"],
        vec!["verify", &mirror, "--chart", "web:1.4.2"],
        vec!["verify", &api, "--chart", "web", "--match", "chart-layer"],
    ] {
        let ended = world.run(&arguments).exits(2).says("valid signature by");
        paste(&world, &ended).exits(0);
    }
}

#[test]
fn without_an_identity_and_without_a_valid_signature_the_verdict_is_the_ordinary_one() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    world.run(&["verify", &reference]).exits(3).says("error: unsigned: ");
    attach(&world, &pushed, b"{}");
    world.run(&["verify", &reference]).exits(5).says("not a Sigstore bundle");
    let missing = format!("{}:9.9.9", world.repository("web"));
    world.run(&["verify", &missing]).exits(6).says("error: no such chart: ");
}

#[test]
fn half_an_identity_is_a_usage_error_and_nothing_is_asked() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let issuer = issuer(&world);
    for (arguments, message) in [
        (vec!["--certificate-identity", WEB], "an identity needs its issuer"),
        (vec!["--certificate-identity-regexp", ".*"], "an identity needs its issuer"),
        (vec!["--certificate-oidc-issuer", &issuer], "an issuer vouches for many identities"),
        (vec!["--certificate-oidc-issuer-regexp", ".*"], "an issuer vouches for many identities"),
        (
            vec![
                "--certificate-identity",
                WEB,
                "--certificate-identity-regexp",
                ".*",
                "--certificate-oidc-issuer",
                &issuer,
            ],
            "every identity needs its own issuer, in the same order",
        ),
        (
            vec![
                "--certificate-identity",
                WEB,
                "--certificate-oidc-issuer",
                &issuer,
                "--certificate-oidc-issuer-regexp",
                ".*",
            ],
            "every identity needs its own issuer, in the same order",
        ),
        (
            vec!["--certificate-identity-regexp", "(", "--certificate-oidc-issuer", &issuer],
            "not a regular expression",
        ),
        (
            vec!["--certificate-identity-regexp", "a)|(.*", "--certificate-oidc-issuer", &issuer],
            "not a regular expression",
        ),
    ] {
        let mut words = vec!["verify", reference.as_str()];
        words.extend(&arguments);
        let ended = world.run(&words).exits(2).says(message);
        assert_eq!(ended.stdout, "");
        words.extend(["-o", "json"]);
        let document = world.run(&words).exits(2).json();
        assert_eq!(document["verdict"], "usage", "{arguments:?}");
        assert_eq!(document["results"][0]["reason"], "usage");
    }
    assert_eq!(world.registry.requests(), []);
}

#[test]
fn an_empty_identity_is_a_usage_error_and_an_empty_variable_is_an_unset_one() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    let issuer = issuer(&world);
    for arguments in [
        ["--certificate-identity", "", "--certificate-oidc-issuer", &issuer],
        ["--certificate-identity", WEB, "--certificate-oidc-issuer", ""],
        ["--certificate-identity-regexp", "", "--certificate-oidc-issuer", &issuer],
        ["--certificate-identity", WEB, "--certificate-oidc-issuer-regexp", ""],
    ] {
        verify_as(&world, &reference, arguments).exits(2).says("a value is missing");
    }
    assert_eq!(world.registry.requests(), []);
    world.environment.insert("HELM_SIGSTORE_CERTIFICATE_IDENTITY".into(), WEB.into());
    world.environment.insert("HELM_SIGSTORE_CERTIFICATE_OIDC_ISSUER".into(), issuer);
    world.run(&["verify", &reference]).exits(0);
    world.environment.insert("HELM_SIGSTORE_CERTIFICATE_IDENTITY".into(), String::new());
    world.run(&["verify", &reference]).exits(2).says("an issuer vouches for many identities");
}
