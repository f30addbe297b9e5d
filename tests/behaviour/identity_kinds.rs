//! Every kind of identity that Fulcio issues: signed, and verified by its own name only.

use helm_sigstore_kit::sigstore::{Identity, IssuerKind};

use crate::support::World;

#[test]
fn every_kind_of_identity_signs_and_is_verified_by_its_name() {
    for (identity, kind, name) in [
        (Identity::email("jane@acme.example"), IssuerKind::Email, "jane@acme.example"),
        (
            Identity::spiffe("spiffe://acme.example/ns/ci/sa/release"),
            IssuerKind::Spiffe,
            "spiffe://acme.example/ns/ci/sa/release",
        ),
        (Identity::username("jane"), IssuerKind::Username, "jane!users.example.com"),
    ] {
        let mut world = World::new();
        let (reference, _) = world.push_web();
        world.environment.insert("SIGSTORE_ID_TOKEN".into(), world.sigstore.token(&identity));
        world.run(&["sign", &reference]).exits(0).prints(&format!("Signed by: {name}\n"));
        let issuer = world.sigstore.issuer_url(kind);
        let verify = |flag: &str, value: &str| {
            world.run(&["verify", &reference, flag, value, "--certificate-oidc-issuer", &issuer])
        };
        verify("--certificate-identity", name).exits(0).prints(&format!("Signed by: {name}\n"));
        verify("--certificate-identity-regexp", ".+").exits(0);
        verify("--certificate-identity", "jane").exits(5).says("wrong signer").says(name);
        // Without an identity the name is shown, with flags that work.
        world.run(&["verify", &reference]).exits(2).says(name);
    }
}

#[test]
fn a_federated_address_is_vouched_for_by_its_own_provider() {
    let google = "https://accounts.google.com";
    let mut world = World::new();
    let (reference, _) = world.push_web();
    let token = world.sigstore.token(&Identity::federated_email("jane@acme.example", google));
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), token);
    world.run(&["sign", &reference]).exits(0).prints(&format!("Issued by: {google}\n"));
    world
        .run(&["verify", &reference, "--google-account", "jane@acme.example"])
        .exits(0)
        .prints("Trusted as: --google-account jane@acme.example (jane@acme.example issuer ");
    for address in ["Jane@acme.example", "jane@acme.example.evil"] {
        world.run(&["verify", &reference, "--google-account", address]).exits(5);
    }
    let dex = world.sigstore.issuer_url(IssuerKind::Email);
    let email = ["--email", "jane@acme.example", "--issuer"];
    world.run(&[&["verify", &reference], &email[..], &[&dex]].concat()).exits(5);
    world.run(&[&["verify", &reference], &email[..], &[google]].concat()).exits(0);
}

#[test]
fn a_user_name_that_looks_like_an_address_is_none() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    let token = world.sigstore.token(&Identity::username("jane@acme.example"));
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), token);
    world.run(&["sign", &reference]).exits(0);
    let issuer = world.sigstore.issuer_url(IssuerKind::Username);
    let name = "jane@acme.example!users.example.com";
    let email = ["verify", &reference, "--email", name, "--issuer", &issuer];
    world.run(&email).exits(5).says("wrong signer");
    let exact = [
        "verify",
        &reference,
        "--certificate-identity",
        name,
        "--certificate-oidc-issuer",
        &issuer,
    ];
    world.run(&exact).exits(0);
}
