//! Where the identity token comes from, and that nobody gets to see it.

use helm_sigstore_kit::sigstore::{Fault, Identity, IssuerKind, Service, Sigstore};
use serde_json::json;

use crate::sign_support::{
    asked, assert_hides, assert_nothing_logged, assert_nothing_public, sign_json,
};
use crate::support::{WORKFLOW, World};

/// A world without a token, `web` pushed into it, and a token that would do.
fn without_token() -> (World, String, String) {
    let mut world = World::new();
    let token = world.environment.remove("SIGSTORE_ID_TOKEN").unwrap();
    let (reference, _) = world.push_web();
    (world, reference, token)
}

/// Insists on exit 2 and `bad-token`, that the token is nowhere to be seen, and that Fulcio was not asked.
#[track_caller]
fn refused_unasked(world: &World, arguments: &[&str], token: &str, words: &str) {
    let mut sign = vec!["sign"];
    sign.extend(arguments);
    let ended = world.run(&sign).exits(2).says(words);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    sign.extend(["-o", "json"]);
    let json = world.run(&sign).exits(2);
    assert_eq!(json.json()["results"][0]["reason"], "bad-token", "{}", json.stdout);
    for part in token.split('.').filter(|part| part.len() > 8) {
        assert_hides(&ended, part);
        assert_hides(&json, part);
    }
    assert_nothing_public(world);
}

#[test]
fn a_token_is_read_from_a_file() {
    let (world, reference, token) = without_token();
    let file = world.argument("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let ended = world.run(&["sign", &reference, "--identity-token", &file]).exits(0);
    assert_hides(&ended, &token);
    ended.says(&format!("(token from {file})"));
}

#[test]
fn a_token_is_read_from_standard_input() {
    let (mut world, reference, token) = without_token();
    world.stdin = format!("{token}\n").into_bytes();
    world
        .run(&["sign", &reference, "--identity-token", "-"])
        .exits(0)
        .says("(token from standard input)")
        .prints(WORKFLOW);
}

#[test]
fn a_token_in_the_arguments_works_and_warns_without_showing_it() {
    let (world, reference, token) = without_token();
    let ended = world.run(&["sign", &reference, "--identity-token", &token]).exits(0);
    assert_hides(&ended, &token);
    ended.says("warning: a token in the arguments can be seen by others");
    let ended = world.run(&["sign", &reference, "--identity-token", &token, "-o", "json"]).exits(0);
    assert_hides(&ended, &token);
    assert_eq!(ended.json()["verdict"], "signed");
}

#[test]
fn the_argument_goes_before_the_environment() {
    let (mut world, reference, _) = without_token();
    let jane = world.sigstore.token(&Identity::email("jane@example.com"));
    let joe = world.sigstore.token(&Identity::email("joe@example.com"));
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), jane);
    world.environment.extend(world.sigstore.github_actions_env());
    world.run(&["sign", &reference]).exits(0).prints("Signed by: jane@example.com");
    let file = world.argument("token");
    std::fs::write(&file, joe).unwrap();
    world
        .run(&["sign", &reference, "--identity-token", &file])
        .exits(0)
        .prints("Signed by: joe@example.com");
    assert_eq!(world.sigstore.request_count(Service::Oidc), 0);
}

#[test]
fn a_github_actions_job_gets_its_token_from_the_platform() {
    let (mut world, reference, _) = without_token();
    world.environment.insert("GITHUB_ACTIONS".into(), "true".into());
    world.environment.extend(world.sigstore.github_actions_env());
    world
        .run(&["sign", &reference])
        .exits(0)
        .says("(token from GitHub Actions)")
        .prints(&format!("Signed by: https://github.com/{WORKFLOW}"));
    let requests = world.sigstore.requests();
    let asked: Vec<_> =
        requests.iter().filter(|request| request.service == Service::Oidc).collect();
    let [request] = asked.as_slice() else { panic!("{requests:#?}") };
    assert!(request.path.contains("audience=sigstore"), "{}", request.path);
}

#[test]
fn a_platform_that_refuses_a_token_and_one_that_fails_are_told_apart() {
    let (mut world, reference, _) = without_token();
    world.environment.extend(world.sigstore.github_actions_env());
    let secret = world.environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"].clone();
    world.sigstore.set_fault(Fault::Status(Service::Oidc, 403));
    let ended = world.run(&["sign", &reference]).exits(2).says("id-token: write");
    assert_hides(&ended, &secret);
    world.sigstore.set_fault(Fault::Status(Service::Oidc, 404));
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!((code, result["reason"].as_str()), (4, Some("service-unreachable")));
    world.sigstore.set_fault(Fault::Garbage(Service::Oidc));
    world.run(&["sign", &reference]).exits(4);
    assert_nothing_public(&world);
}

#[test]
fn without_a_token_the_message_says_where_one_could_be_given() {
    let (mut world, reference, _) = without_token();
    let none = "no identity token was given";
    refused_unasked(&world, &[&reference], "", none);
    world.run(&["sign", &reference]).exits(2).says("hint: --identity-token FILE");
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), String::new());
    refused_unasked(&world, &[&reference], "", none);
    world.environment.insert("GITHUB_ACTIONS".into(), "true".into());
    world.run(&["sign", &reference]).exits(2).says("hint: permissions: { id-token: write }");
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn tokens_that_cannot_serve_are_refused_before_anybody_sees_them() {
    let (mut world, reference, good) = without_token();
    let github = || Identity::github(WORKFLOW);
    let payload = good.split('.').nth(1).unwrap();
    let cases = [
        (world.sigstore.token(&github().expires_in(-5)), "has expired"),
        (world.sigstore.token(&github().with_audience("other")), "meant for somebody else"),
        (world.sigstore.token(&github().with_claim("iss", json!(""))), "names no issuer"),
        (
            world.sigstore.token(&github().with_claim("nbf", json!(4_000_000_000_u64))),
            "not valid yet",
        ),
        ("correct-horse-battery-staple".to_owned(), "not an identity token"),
        ("correct.horse-battery-staple.unsigned".to_owned(), "not an identity token"),
        (format!("{payload}.{payload}"), "not an identity token"),
        ("x".repeat(70_000), "longer than"),
    ];
    for (token, words) in cases {
        world.environment.insert("SIGSTORE_ID_TOKEN".into(), token.clone());
        refused_unasked(&world, &[&reference], &token, words);
        let file = world.argument("token");
        std::fs::write(&file, &token).unwrap();
        refused_unasked(&world, &[&reference, "--identity-token", &file], &token, words);
        world.stdin = token.clone().into_bytes();
        refused_unasked(&world, &[&reference, "--identity-token", "-"], &token, words);
    }
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn an_expired_token_in_the_arguments_is_not_repeated() {
    let (world, reference, _) = without_token();
    let token = world.sigstore.token(&Identity::github(WORKFLOW).expires_in(-5));
    refused_unasked(&world, &[&reference, "--identity-token", &token], &token, "has expired");
    let twice = format!("{token}.{token}");
    let ended = world.run(&["sign", &reference, "--identity-token", &twice]).exits(2);
    for part in token.split('.') {
        assert_hides(&ended, part);
    }
}

#[test]
fn a_token_file_that_is_empty_or_not_there_is_a_usage_error_that_names_it() {
    let (world, reference, _) = without_token();
    let file = world.argument("token");
    world.run(&["sign", &reference, "--identity-token", &file]).exits(2).says(&file);
    std::fs::write(&file, "\n").unwrap();
    refused_unasked(&world, &[&reference, "--identity-token", &file], "", "is empty");
}

#[test]
fn a_token_that_the_certificate_authority_refuses_is_not_repeated_and_nothing_is_logged() {
    let (mut world, reference, _) = without_token();
    // Well-formed and in time, but signed by somebody whom this Fulcio does not know.
    let stranger = Sigstore::start(helm_sigstore_kit::sigstore::Options::default());
    let token = stranger.token(&Identity::github(WORKFLOW));
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), token.clone());
    let ended = world
        .run(&["sign", &reference])
        .exits(2)
        .says("the certificate authority refused the identity token")
        .says("401");
    for part in token.split('.') {
        assert_hides(&ended, part);
    }
    let (code, result) = sign_json(&world, &[&reference]);
    assert_eq!((code, result["reason"].as_str()), (2, Some("bad-token")));
    assert_eq!(asked(&world), (2, 0, 0));
}

#[test]
fn two_readers_of_standard_input_are_an_error() {
    let (mut world, reference, token) = without_token();
    world.stdin = token.clone().into_bytes();
    let ended = world
        .run(&["sign", &reference, "--identity-token", "-", "--username", "u", "--password-stdin"])
        .exits(2)
        .says("standard input can be read only once");
    assert_hides(&ended, &token);
    assert_nothing_public(&world);
}

#[test]
fn people_and_pipelines_of_every_issuer_sign_under_their_own_names() {
    for (identity, kind) in [
        (Identity::email("jane@example.com"), IssuerKind::Email),
        (Identity::gitlab("acme/charts//.gitlab-ci.yml@refs/heads/main"), IssuerKind::GitLab),
        (Identity::github("acme/charts/.github/workflows/x.yml@refs/tags/v1"), IssuerKind::GitHub),
    ] {
        let mut world = World::new();
        let (reference, _) = world.push_web();
        let subject = identity.subject();
        world.environment.insert("SIGSTORE_ID_TOKEN".into(), world.sigstore.token(&identity));
        world
            .run(&["sign", &reference])
            .exits(0)
            .says("signing as ")
            .says(subject.trim_start_matches("https://github.com"))
            .prints(&format!("Signed by: {subject}\n"));
        let issuer = world.sigstore.issuer_url(kind);
        world
            .run(&[
                "verify",
                &reference,
                "--certificate-identity",
                &subject,
                "--certificate-oidc-issuer",
                &issuer,
            ])
            .exits(0);
        world.verify(&[&reference]).exits(5).says("wrong signer");
    }
}

#[test]
fn a_token_never_shows_when_services_fail_while_it_is_used() {
    let (mut world, reference, token) = without_token();
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), token.clone());
    for fault in [
        Fault::Status(Service::Fulcio, 400),
        Fault::Status(Service::Fulcio, 403),
        Fault::Garbage(Service::Fulcio),
        Fault::CertificateForAnotherSubject,
    ] {
        world.sigstore.set_fault(fault.clone());
        let text = world.run(&["sign", &reference]);
        let json = world.run(&["sign", &reference, "-o", "json"]);
        assert_ne!(text.code, 0, "{fault:?}");
        for part in token.split('.') {
            assert_hides(&text, part);
            assert_hides(&json, part);
        }
    }
    assert_nothing_logged(&world);
}
