//! Tokens of the platform: its own command, the files that it projects, and what is said where it has none.

use std::path::Path;

use helm_sigstore_kit::sigstore::Identity;

use crate::support::{Ended, WORKFLOW, World};
use crate::verify_craft::write;

fn token(world: &World) -> String {
    world.sigstore.token(&Identity::github(WORKFLOW))
}

/// A world without a token, and a chart in it.
fn bare() -> (World, String) {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    world.environment.remove("SIGSTORE_ID_TOKEN");
    (world, reference)
}

fn set(world: &mut World, name: &str, value: &str) {
    world.environment.insert(name.to_owned(), value.to_owned());
}

#[track_caller]
fn hides(ended: &Ended, token: &str) {
    for part in token.split('.') {
        assert!(!ended.stdout.contains(part) && !ended.stderr.contains(part), "{ended:?}");
    }
}

/// Puts a command into the test's `PATH`.
#[cfg(unix)]
fn install(world: &mut World, name: &str, script: &str) {
    let directory = world.path("bin");
    std::fs::create_dir_all(&directory).unwrap();
    helm_sigstore_kit::program::write(&directory.join(name), script);
    let directory = directory.display().to_string();
    set(world, "PATH", &format!("relative:{directory}"));
}

#[cfg(unix)]
#[test]
fn a_job_signs_with_the_token_of_its_platforms_command() {
    for (variable, program, arguments, name) in [
        ("BUILDKITE", "buildkite-agent", "oidc request-token --audience sigstore", "Buildkite"),
        (
            "CIRCLECI",
            "circleci",
            "run oidc get --root-issuer --claims {\"aud\":\"sigstore\"}",
            "CircleCI",
        ),
    ] {
        let (mut world, reference) = bare();
        let token = token(&world);
        let script = format!("[ \"$*\" = '{arguments}' ] && echo {token}");
        install(&mut world, program, &script);
        set(&mut world, variable, "true");
        // What CircleCI puts into the environment is meant for the organisation.
        set(&mut world, "CIRCLE_OIDC_TOKEN_V2", "not.for.us");
        let ended = world.run(&["sign", &reference]).exits(0);
        hides(&ended, &token);
        ended.says(&format!("(token from {name})"));
    }
}

#[cfg(unix)]
#[test]
fn a_command_that_gives_no_token_signs_nothing() {
    let (mut world, reference) = bare();
    set(&mut world, "BUILDKITE", "true");
    world.run(&["sign", &reference]).exits(2).says("buildkite-agent is not in PATH");
    install(&mut world, "buildkite-agent", "echo s3cret; exit 1");
    let ended = world.run(&["sign", &reference]).exits(2).says("exit status: 1");
    hides(&ended, "s3cret");
    let wrong = world.sigstore.token(&Identity::github(WORKFLOW).with_audience("aws"));
    install(&mut world, "buildkite-agent", &format!("echo {wrong}"));
    let ended = world.run(&["sign", &reference]).exits(2).says("meant for somebody else");
    hides(&ended, &wrong);
    let old = world.sigstore.token(&Identity::github(WORKFLOW).expires_in(-5));
    install(&mut world, "buildkite-agent", &format!("echo {old}"));
    hides(&world.run(&["sign", &reference]).exits(2).says("has expired"), &old);
    assert_eq!(world.sigstore.request_count(helm_sigstore_kit::sigstore::Service::Fulcio), 0);
}

#[test]
fn a_workload_signs_with_the_projected_token_that_is_meant_for_sigstore() {
    let (mut world, reference) = bare();
    let other =
        world.sigstore.token(&Identity::github(WORKFLOW).with_audience("sts.amazonaws.com"));
    let ours = token(&world);
    let azure = write(&world, "azure", ours.as_bytes());
    let aws = write(&world, "aws", other.as_bytes());
    set(&mut world, "AWS_WEB_IDENTITY_TOKEN_FILE", &aws);
    let ended = world
        .run(&["sign", &reference])
        .exits(2)
        .says("no identity token for Sigstore is projected")
        .says("a token for the audience sts.amazonaws.com");
    hides(&ended, &other);
    set(&mut world, "AZURE_FEDERATED_TOKEN_FILE", &azure);
    let ended = world.run(&["sign", &reference]).exits(0);
    hides(&ended, &ours);
    ended.says(&format!("(token from {azure} (AZURE_FEDERATED_TOKEN_FILE))"));
}

#[test]
fn what_is_given_goes_before_what_the_platform_has() {
    let (mut world, reference) = bare();
    let ours = token(&world);
    let azure = write(&world, "azure", ours.as_bytes());
    set(&mut world, "AZURE_FEDERATED_TOKEN_FILE", &azure);
    set(&mut world, "BUILDKITE", "true");
    let jane = world.sigstore.token(&Identity::email("jane@acme.example"));
    set(&mut world, "SIGSTORE_ID_TOKEN", &jane);
    world.run(&["sign", &reference]).exits(0).says("(token from SIGSTORE_ID_TOKEN)");
}

#[test]
fn a_gitlab_job_without_a_token_is_told_how_to_ask_for_one() {
    let (mut world, reference) = bare();
    set(&mut world, "GITLAB_CI", "true");
    world
        .run(&["sign", &reference])
        .exits(2)
        .says("hint: id_tokens: { SIGSTORE_ID_TOKEN: { aud: sigstore } }");
    assert!(!Path::new("/var/run/sigstore/cosign/oidc-token").exists());
}
