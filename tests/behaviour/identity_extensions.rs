//! Fulcio writes what old readers and new readers want to know into extensions of their own.

use helm_sigstore_kit::sigstore::{Fault, Service};

use crate::support::World;
use crate::verify_craft::{attach, refuses, sign, usual};

#[test]
fn a_certificate_with_the_deprecated_extensions_alone_is_read_as_cosign_reads_it() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    world.sigstore.set_fault(Fault::OnlyDeprecatedExtensions);
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    world.verify(&[&reference]).exits(0);
    let issuer = &world.verdict(&[&reference])["signatures"][0]["signer"]["issuer"];
    assert_eq!(*issuer, world.signer()[3]);
    let workflow = ["--certificate-github-workflow-repository", "acme/charts"];
    world.verify(&[&reference, workflow[0], workflow[1]]).exits(0);
    world.verify(&[&reference, workflow[0], "acme/other"]).exits(5).says("workflow repository");
    let mut other = vec!["verify", reference.as_str()];
    let signer = world.signer();
    other.extend(signer[..3].iter().map(String::as_str));
    other.push("https://issuer.example");
    world.run(&other).exits(5).says("wrong signer");
}

#[test]
fn a_claim_that_is_made_twice_and_differently_is_refused() {
    for (number, words) in [
        (1, "issuer"),
        (2, "build trigger"),
        (3, "source digest"),
        (5, "source repository"),
        (6, "source ref"),
    ] {
        let world = World::new();
        let (reference, pushed) = world.push_web();
        world.sigstore.set_fault(Fault::ContradictoryExtension(number));
        attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
        let cause = format!("it makes two claims of its {words}");
        refuses(&world, &[&reference], 5, "bad-signature", &[&cause]);
    }
}

#[test]
fn nothing_is_logged_with_a_certificate_that_contradicts_itself() {
    let world = World::new();
    let (reference, _) = world.push_web();
    world.sigstore.set_fault(Fault::ContradictoryExtension(1));
    world.run(&["sign", &reference]).exits(5).says("two claims of its issuer");
    assert_eq!(world.sigstore.request_count(Service::RekorV1), 0);
}
