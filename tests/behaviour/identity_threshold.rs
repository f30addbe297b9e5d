//! `--min-signatures`: how many different people have to have signed.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::Pushed;
use helm_sigstore_kit::sigstore::{Identity, IssuerKind};
use serde_json::Value;

use crate::support::{Ended, World};
use crate::verify_craft::{attach, sign_by, usual, write};

const PEOPLE: [&str; 3] = ["alice@acme.example", "bob@acme.example", "carol@acme.example"];

/// `web` 1.4.2, signed by these people.
fn signed_by(people: &[&str]) -> (World, String, Pushed) {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    for address in people {
        let statement = usual(&pushed, "web", "1.4.2");
        attach(&world, &pushed, &sign_by(&world, &Identity::email(address), &statement));
    }
    (world, reference, pushed)
}

fn verify(world: &World, reference: &str, trusted: &[&str], more: &[&str]) -> Ended {
    let issuer = world.sigstore.issuer_url(IssuerKind::Email);
    let mut words = vec!["verify", reference];
    for address in trusted {
        words.extend(["--email", *address, "--issuer", &issuer]);
    }
    words.extend(more);
    world.run(&words)
}

fn result(ended: &Ended) -> Value {
    ended.json()["results"][0].clone()
}

const TWO: [&str; 2] = ["--min-signatures", "2"];

#[test]
fn two_of_three_are_enough_and_both_are_reported() {
    let (world, reference, _) = signed_by(&["carol@acme.example", "alice@acme.example"]);
    verify(&world, &reference, &PEOPLE, &TWO)
        .exits(0)
        .prints("Signed by: alice@acme.example\n")
        .prints("Signed by: carol@acme.example\n")
        .prints("Pinned: ");
    let ended = verify(&world, &reference, &PEOPLE, &[&TWO[..], &["-o", "json"]].concat()).exits(0);
    let result = result(&ended);
    let signatures = result["signatures"].as_array().unwrap();
    assert_eq!(signatures.iter().filter(|one| one["status"] == "accepted").count(), 2);
    assert_eq!(result["policy"]["minSignatures"], 2);
    assert_eq!(result["policy"]["identities"].as_array().unwrap().len(), 3);
    assert!(signatures.iter().all(|one| one["trustedAs"]["identity"].is_string()));
}

#[test]
fn too_few_are_refused_with_who_is_missing() {
    let (world, reference, _) = signed_by(&["alice@acme.example"]);
    verify(&world, &reference, &PEOPLE[..2], &TWO)
        .exits(5)
        .says("error: too few signatures: ")
        .says("expected  2 different trusted signers\n")
        .says("found     alice@acme.example ")
        .says("missing   bob@acme.example ");
    let more = [&TWO[..], &["-o", "json"]].concat();
    let result = result(&verify(&world, &reference, &PEOPLE[..2], &more).exits(5));
    assert_eq!(result["reason"], "too-few-signatures");
    assert_eq!(result["verdict"], "refused");
    assert_eq!(result["signatures"][0]["status"], "accepted");
}

#[test]
fn one_signer_counts_once_however_often_and_under_however_many_patterns() {
    let (world, reference, pushed) = signed_by(&["alice@acme.example", "alice@acme.example"]);
    verify(&world, &reference, &PEOPLE[..2], &TWO).exits(5).says("too few signatures");
    // The very same bundle once more.
    let statement = usual(&pushed, "web", "1.4.2");
    let bundle = sign_by(&world, &Identity::email("alice@acme.example"), &statement);
    attach(&world, &pushed, &bundle);
    attach(&world, &pushed, &bundle);
    let overlapping = [
        "--certificate-identity-regexp",
        ".*@acme\\.example",
        "--certificate-oidc-issuer-regexp",
        ".*",
        "--certificate-identity-regexp",
        "alice@.*",
        "--certificate-oidc-issuer-regexp",
        ".*",
    ];
    let both = [&TWO[..], &overlapping[..]].concat();
    verify(&world, &reference, &[], &both).exits(5).says("too few signatures");
    let bob = sign_by(&world, &Identity::email("bob@acme.example"), &statement);
    attach(&world, &pushed, &bob);
    verify(&world, &reference, &[], &both).exits(0);
}

#[test]
fn strangers_do_not_count() {
    let (world, reference, _) = signed_by(&["alice@acme.example", "mallory@evil.example"]);
    verify(&world, &reference, &PEOPLE, &TWO)
        .exits(5)
        .says("too few signatures")
        .says("1 candidate was refused");
}

#[test]
fn signatures_of_another_chart_do_not_count() {
    let (world, reference, pushed) = signed_by(&["alice@acme.example"]);
    let other = world.push(&Chart::new("web", "1.4.3"));
    let statement = usual(&other, "web", "1.4.3");
    let bob = Identity::email("bob@acme.example");
    attach(&world, &pushed, &sign_by(&world, &bob, &statement));
    verify(&world, &reference, &PEOPLE, &TWO).exits(5).says("too few signatures");
}

#[test]
fn signatures_are_counted_over_every_place() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    for address in &PEOPLE[..2] {
        let token = world.sigstore.token(&Identity::email(address));
        let file = write(&world, "token", token.as_bytes());
        world.run(&["sign", &reference, "--identity-token", &file]).exits(0);
    }
    verify(&world, &reference, &PEOPLE, &TWO).exits(0);
    drop(pushed);
}

#[test]
fn an_open_candidate_leaves_the_count_open() {
    let (world, reference, _) = signed_by(&["alice@acme.example", "bob@acme.example"]);
    let more = [&TWO[..], &["--max-candidates", "1"]].concat();
    verify(&world, &reference, &PEOPLE, &more).exits(4).says("candidate was not looked at");
    verify(&world, &reference, &PEOPLE, &["--max-candidates", "1"]).exits(0);
}
