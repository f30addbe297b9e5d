//! What the tests of policies share.

use helm_sigstore_kit::sigstore::{Identity, IssuerKind};
use serde_json::Value;

use crate::support::{Ended, World};
use crate::verify_craft::{attach, sign_by, usual, write};

pub(crate) const PEOPLE: [&str; 2] = ["alice@acme.example", "bob@acme.example"];

/// An entry of a list: a person by e-mail address.
pub(crate) fn person(world: &World, address: &str) -> String {
    let issuer = world.sigstore.issuer_url(IssuerKind::Email);
    format!("      - email: {address}\n        issuer: {issuer}\n")
}

/// A rule over `pattern` (behind the registry's host) that asks for any of these people, and `more`.
pub(crate) fn rule(world: &World, pattern: &str, people: &[&str], more: &str) -> String {
    let people: String = people.iter().map(|one| person(world, one)).collect();
    let host = world.registry.host();
    format!("  - repositories: [\"oci://{host}/{pattern}\"]\n    any-of:\n{people}{more}")
}

/// A policy of these rules.
pub(crate) fn policy(rules: &[String]) -> String {
    format!("schema: helm-sigstore.policy/v1\nrules:\n{}", rules.concat())
}

/// Writes it, and answers its path.
pub(crate) fn named(world: &World, rules: &[String]) -> String {
    write(world, "policy.yaml", policy(rules).as_bytes())
}

/// Writes it to where it is found by default.
pub(crate) fn by_default(world: &mut World, rules: &[String]) {
    let home = world.path("config");
    std::fs::create_dir_all(home.join("sigstore")).unwrap();
    std::fs::write(home.join("sigstore/policy.yaml"), policy(rules)).unwrap();
    world.environment.insert("HELM_CONFIG_HOME".to_owned(), home.display().to_string());
}

/// `web` 1.4.2, signed by these people.
pub(crate) fn signed_by(people: &[&str]) -> (World, String, helm_sigstore_kit::registry::Pushed) {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    for address in people {
        let statement = usual(&pushed, "web", "1.4.2");
        attach(&world, &pushed, &sign_by(&world, &Identity::email(address), &statement));
    }
    (world, reference, pushed)
}

/// The first result.
pub(crate) fn result(ended: &Ended) -> Value {
    ended.json()["results"][0].clone()
}
