//! Repositories on GitHub and projects on GitLab as signers, and the claims that narrow an identity.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::{Identity, IssuerKind};
use serde_json::json;

use crate::support::{Ended, WORKFLOW, World};
use crate::verify_craft::{attach, sign_by, usual};

const REUSABLE: &str = "acme/ci/.github/workflows/sign.yml@refs/tags/v1";
const REPOSITORY: &str = "https://github.com/acme/charts";

/// `web` 1.4.2, signed by `identity`.
pub(crate) fn signed_by(identity: &Identity) -> (World, String) {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach(&world, &pushed, &sign_by(&world, identity, &usual(&pushed, "web", "1.4.2")));
    (world, reference)
}

/// A job of acme/charts that calls the reusable workflow of acme/ci.
pub(crate) fn reusing() -> Identity {
    Identity::github(REUSABLE)
        .with_claim("workflow_ref", json!(WORKFLOW))
        .with_claim("repository", json!("acme/charts"))
        .with_claim("ref", json!("refs/heads/main"))
}

fn verify(world: &World, reference: &str, arguments: &[&str]) -> Ended {
    let issuer = world.sigstore.issuer_url(IssuerKind::GitHub);
    let mut words = vec!["verify", reference, "--github-issuer", &issuer];
    words.extend(arguments);
    world.run(&words)
}

#[test]
fn a_github_repository_is_its_source_and_a_workflow_in_it() {
    let (world, reference) = signed_by(&Identity::github(WORKFLOW));
    let issuer = world.sigstore.issuer_url(IssuerKind::GitHub);
    for text in ["acme/charts", "acme/charts@refs/heads/main", "acme/charts@refs/heads/*"] {
        verify(&world, &reference, &["--github", text])
            .exits(0)
            .prints(&format!("Trusted as: --github {text} ({REPOSITORY}/* issuer {issuer}, "))
            .prints(&format!("source repository: {REPOSITORY}"));
    }
    for text in ["acme/chart", "acme/charts2", "Acme/charts", "acme/charts@refs/tags/*"] {
        verify(&world, &reference, &["--github", text]).exits(5).says("error: wrong signer: ");
    }
}

#[test]
fn a_short_form_is_shown_in_the_terms_of_a_certificate_when_it_fails_and_in_the_report() {
    let (world, reference) = signed_by(&Identity::github(WORKFLOW));
    verify(&world, &reference, &["--github", "acme/charts@refs/tags/*"])
        .exits(5)
        .says("trusted   --github acme/charts@refs/tags/*\n")
        .says(&format!("expected  {REPOSITORY}/*"))
        .says(&format!("expected  source repository: {REPOSITORY}\n"))
        .says("expected  source ref: refs/tags/*\n")
        .says("found     source ref: refs/heads/main\n");
    let ended = verify(&world, &reference, &["--github", "acme/charts", "-o", "json"]).exits(0);
    let document = ended.json();
    let result = &document["results"][0];
    let issuer = world.sigstore.issuer_url(IssuerKind::GitHub);
    let expanded = json!({
        "short": "--github acme/charts",
        "identity": format!("{REPOSITORY}/*"),
        "issuer": issuer,
        "constraints": [format!("source repository: {REPOSITORY}")],
    });
    assert_eq!(result["policy"]["identities"], json!([expanded]));
    assert_eq!(result["policy"]["minSignatures"], 1);
    assert_eq!(result["signatures"][0]["trustedAs"], expanded);
    assert_eq!(result["signatures"][0]["signer"]["buildTrigger"], "push");
}

#[test]
fn a_reusable_workflow_of_another_repository_has_to_be_named() {
    let (world, reference) = signed_by(&reusing());
    let path = "acme/ci/.github/workflows/sign.yml";
    verify(&world, &reference, &["--github", "acme/charts"]).exits(5).says("wrong signer");
    verify(&world, &reference, &["--github", "acme/ci"]).exits(5).says("wrong signer");
    for workflow in [path, REUSABLE, &format!("{path}@refs/tags/*")] {
        let flags = ["--github", "acme/charts", "--signer-workflow", workflow];
        verify(&world, &reference, &flags).exits(0).prints("Trusted as: --github acme/charts ");
    }
    for (repository, workflow) in [
        ("acme/charts", "acme/ci/.github/workflows/other.yml"),
        ("acme/charts", "acme/ci/.github/workflows/sign.yml@refs/heads/main"),
        ("eve/charts", path),
    ] {
        let flags = ["--github", repository, "--signer-workflow", workflow];
        verify(&world, &reference, &flags).exits(5).says("wrong signer");
    }
}

#[test]
fn the_command_that_would_trust_a_signer_trusts_nobody_else_who_signs_by_the_same_name() {
    let stranger =
        |identity: Identity, claim: &str| identity.with_claim(claim, json!("eve/charts"));
    let shared = Identity::gitlab("acme/ci//sign.yml@refs/heads/main");
    for (identity, claim, expected) in [
        (reusing(), "repository", format!("--signer-workflow {REUSABLE} --github-issuer ")),
        (
            shared.with_claim("project_path", json!("acme/charts")),
            "project_path",
            "--source-repository https://gitlab.com/acme/charts ".to_owned(),
        ),
    ] {
        let (world, reference) = signed_by(&identity);
        let ended = world.run(&["verify", &reference]).exits(2).says(&expected);
        let hint = ended.stderr.lines().find_map(|line| line.strip_prefix("hint: helm-sigstore "));
        let words: Vec<_> = hint.unwrap().split(' ').map(|word| word.trim_matches('\'')).collect();
        world.run(&words).exits(0).prints("Verified: ");
        // The same build, run for somebody else.
        let pushed = world.push(&Chart::new("api", "1.4.2"));
        let statement = usual(&pushed, "api", "1.4.2");
        attach(&world, &pushed, &sign_by(&world, &stranger(identity, claim), &statement));
        let other = format!("{}:1.4.2", world.repository("api"));
        let place = words.iter().position(|word| word.starts_with("oci://")).unwrap();
        let mut words = words;
        words[place] = &other;
        world.run(&words).exits(5).says("wrong signer");
    }
}

#[test]
fn the_source_of_somebody_else_is_not_trusted_for_its_workflow() {
    // A workflow of acme/charts that a stranger's repository calls.
    let stranger = Identity::github(WORKFLOW).with_claim("repository", json!("eve/charts"));
    let (world, reference) = signed_by(&stranger);
    verify(&world, &reference, &["--github", "acme/charts"])
        .exits(5)
        .says("found     source repository: https://github.com/eve/charts");
}

#[test]
fn a_gitlab_project_is_its_source_and_a_pipeline_in_it() {
    let (world, reference) =
        signed_by(&Identity::gitlab("acme/sub/charts//.gitlab-ci.yml@refs/tags/v1"));
    let issuer = world.sigstore.issuer_url(IssuerKind::GitLab);
    let verify = |text: &str| {
        world.run(&["verify", &reference, "--gitlab-issuer", &issuer, "--gitlab", text])
    };
    for text in ["acme/sub/charts", "acme/sub/charts@refs/tags/v*"] {
        verify(text).exits(0).prints("Trusted as: --gitlab acme/sub/charts");
    }
    for text in ["acme/sub", "acme/charts", "acme/sub/charts@refs/heads/main"] {
        verify(text).exits(5).says("wrong signer");
    }
}

#[test]
fn another_host_has_its_own_issuer() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    for (flags, expected) in [
        (
            vec!["--github", "acme/charts"],
            "https://github.com/acme/charts/*   issuer https://token.actions.githubusercontent.com",
        ),
        (
            vec!["--github", "acme/charts", "--github-host", "acme.ghe.com"],
            "https://acme.ghe.com/acme/charts/*   issuer https://token.actions.acme.ghe.com",
        ),
        (
            vec!["--github", "acme/charts", "--github-host", "git.acme.example"],
            "https://git.acme.example/acme/charts/*   issuer https://git.acme.example/_services/token",
        ),
        (
            vec!["--gitlab", "acme/charts", "--gitlab-host", "gitlab.acme.example"],
            "https://gitlab.acme.example/acme/charts//*   issuer https://gitlab.acme.example",
        ),
        (
            vec!["--google-account", "jane@acme.example"],
            "jane@acme.example   issuer https://accounts.google.com",
        ),
    ] {
        let mut words = vec!["verify", reference.as_str()];
        words.extend(&flags);
        let ended = world.run(&words).exits(5);
        // The columns are aligned; what they hold counts.
        let squeezed = ended.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(&expected), "{squeezed}");
    }
}

#[test]
fn claims_narrow_every_identity() {
    let (world, reference) = signed_by(&Identity::github(WORKFLOW));
    let document = world.verdict(&[&reference]);
    let commit = document["signatures"][0]["signer"]["sourceDigest"].as_str().unwrap().to_owned();
    let uri = format!("https://github.com/{WORKFLOW}");
    for (flag, right, wrong) in [
        ("--source-repository", REPOSITORY, "https://github.com/acme/chart"),
        ("--source-ref", "refs/heads/main", "refs/heads/mai"),
        ("--source-ref", "refs/heads/*", "refs/tags/*"),
        ("--source-digest", &commit, "0000"),
        ("--build-trigger", "push", "pull_request_target"),
        ("--runner-environment", "github-hosted", "self-hosted"),
        ("--build-signer", &uri, "https://github.com/acme/charts"),
        ("--build-signer", "https://github.com/acme/*", "https://github.com/eve/*"),
        ("--certificate-github-workflow-trigger", "push", "release"),
        ("--certificate-github-workflow-sha", &commit, "0000"),
        ("--certificate-github-workflow-name", "release", "ci"),
        ("--certificate-github-workflow-repository", "acme/charts", "acme/chart"),
        ("--certificate-github-workflow-ref", "refs/heads/main", "main"),
    ] {
        world.verify(&[&reference, flag, right]).exits(0);
        world.verify(&[&reference, flag, wrong]).exits(5).says(&format!(": {wrong}\n"));
    }
}

#[test]
fn a_certificate_without_the_claim_does_not_match() {
    let (world, reference) = signed_by(&Identity::email("jane@acme.example"));
    let issuer = world.sigstore.issuer_url(IssuerKind::Email);
    let jane = ["verify", &reference, "--email", "jane@acme.example", "--issuer", &issuer];
    world.run(&jane).exits(0).prints("Trusted as: --email jane@acme.example (");
    let mut words = jane.to_vec();
    words.extend(["--source-ref", "*"]);
    world.run(&words).exits(5).says("found     source ref: none\n");
}
