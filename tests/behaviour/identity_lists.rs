//! Several identities on one command line: pairing, order, and what makes no sense.

use helm_sigstore_kit::sigstore::{Identity, IssuerKind};

use crate::support::World;
use crate::verify_craft::{attach, sign_by, usual};

const WEB: &str = "https://github.com/acme/charts/.github/workflows/release.yml@refs/heads/main";
const NAME: &str = "--certificate-identity";
const NAMES: &str = "--certificate-identity-regexp";
const ISSUER: &str = "--certificate-oidc-issuer";
const ISSUERS: &str = "--certificate-oidc-issuer-regexp";

#[test]
fn identities_and_issuers_are_paired_in_the_order_of_the_command_line() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let github = world.sigstore.issuer_url(IssuerKind::GitHub);
    let other = "https://issuer.example";
    for (flags, code) in [
        // The second pair is the signer.
        ([NAME, "jane@acme.example", ISSUER, other, NAME, WEB, ISSUER, &github], 0),
        // All names first, all issuers after: still first with first.
        ([NAME, "jane@acme.example", NAME, WEB, ISSUER, other, ISSUER, &github], 0),
        ([NAME, "jane@acme.example", NAME, WEB, ISSUER, &github, ISSUER, other], 5),
        // Exact ones and patterns stand in one list.
        ([NAMES, "https://.*main", NAME, "jane", ISSUERS, "http://.*/github", ISSUER, other], 0),
        ([NAME, "jane", NAMES, "https://.*main", ISSUERS, "http://.*/github", ISSUER, other], 5),
        ([NAME, "jane", NAMES, "https://.*main", ISSUER, other, ISSUERS, "http://.*/github"], 0),
        ([ISSUER, other, ISSUERS, "http://.*/github", NAME, "jane", NAME, WEB], 0),
    ] {
        let words = [&["verify", reference.as_str()], &flags[..]].concat();
        world.run(&words).exits(code);
    }
}

#[test]
fn a_name_is_never_trusted_by_the_issuer_of_another() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let jane = Identity::email("jane@acme.example");
    attach(&world, &pushed, &sign_by(&world, &jane, &usual(&pushed, "web", "1.4.2")));
    let email = world.sigstore.issuer_url(IssuerKind::Email);
    let other = "https://issuer.example";
    let people = |first: &str, second: &str| {
        let addresses = ["--email", "jane@acme.example", "--email", "joe@acme.example"];
        let issuers = ["--issuer", first, "--issuer", second];
        world.run(&[&["verify", &reference], &addresses[..], &issuers[..]].concat())
    };
    people(&email, other).exits(0);
    people(other, &email).exits(5).says("jane@acme.example").says("joe@acme.example");
}

#[test]
fn lists_that_make_no_sense_are_usage_errors_and_nothing_is_asked() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let issuer = world.sigstore.issuer_url(IssuerKind::GitHub);
    for (flags, message) in [
        (vec![NAME, WEB, NAME, "x", ISSUER, &issuer], "every identity needs its own issuer"),
        (vec![NAME, WEB, ISSUER, &issuer, ISSUERS, "x"], "every identity needs its own issuer"),
        (vec![NAME, WEB, "--github", "acme/charts"], "an identity needs its issuer"),
        (vec![ISSUER, &issuer, "--github", "acme/charts"], "an issuer vouches for many"),
        (vec!["--email", "jane@acme.example"], "every --email needs its own --issuer"),
        (vec!["--issuer", "https://i.example"], "every --email needs its own --issuer"),
        (vec!["--email", "jane", "--issuer", "https://i.example"], "not an e-mail address"),
        (vec!["--google-account", "jane"], "not an e-mail address"),
        (vec!["--github", "acme"], "not a repository"),
        (vec!["--github", "acme/*"], "not a repository"),
        (vec!["--github", "acme/charts@main"], "not a full ref"),
        (vec!["--gitlab", "charts"], "not a repository"),
        (vec!["--github", "acme/charts", "--github-host", "https://x"], "not a host"),
        (vec!["--github", "a/b", "--signer-workflow", "a/b"], "not a workflow"),
        (vec!["--signer-workflow", "a/b/c"], "--signer-workflow belongs to --github"),
        (vec!["--github-host", "x"], "--github-host belongs to --github"),
        (vec!["--gitlab-issuer", "x"], "--gitlab-issuer belongs to --gitlab"),
        (vec!["--source-ref", "refs/heads/main"], "a constraint narrows an identity"),
        (vec!["--min-signatures", "2"], "more signatures than identities"),
        (vec!["--github", "a/b", "--min-signatures", "2"], "more signatures than identities"),
        (vec!["--github", "a/b", "--min-signatures", "0"], "invalid value"),
    ] {
        let words = [&["verify", reference.as_str()], &flags[..]].concat();
        let ended = world.run(&words).exits(2).says(message);
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(world.registry.requests(), []);
}

#[test]
fn whom_the_command_line_names_nobody_of_the_environment_joins() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    let github = world.sigstore.issuer_url(IssuerKind::GitHub);
    world.environment.insert("HELM_SIGSTORE_CERTIFICATE_IDENTITY".into(), WEB.into());
    world.environment.insert("HELM_SIGSTORE_CERTIFICATE_OIDC_ISSUER".into(), github.clone());
    world.run(&["verify", &reference]).exits(0);
    world.run(&["verify", &reference, "--google-account", "jane@acme.example"]).exits(5);
    let flags = ["--github", "acme/other", "--github-issuer", &github];
    world.run(&[&["verify", &reference], &flags[..]].concat()).exits(5).says("acme/other");
    // An identity of the command line still has the issuer of the environment.
    world.run(&["verify", &reference, NAME, "jane@acme.example"]).exits(5).says(&github);
}
