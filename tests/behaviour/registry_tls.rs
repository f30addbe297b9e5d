//! TLS to registries: whom we trust, whom we do not, and what is said about it.

use helm_sigstore_kit::registry::{
    Action, Auth, Bearer, Certificate, Fault, Options, Registry, Tls,
};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;

use crate::sign_support::{assert_nothing_public, attached, sign_json};
use crate::support::World;

fn with(tls: Tls, auth: Auth) -> World {
    let options = Options { tls: Some(tls), auth, ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    std::fs::write(world.path("ca.pem"), world.registry.ca_pem().unwrap()).unwrap();
    let (certificate, key) = world.registry.client_pem().unwrap();
    std::fs::write(world.path("client.pem"), certificate).unwrap();
    std::fs::write(world.path("client.key"), key).unwrap();
    world
}

fn certificate(certificate: Certificate) -> World {
    with(Tls { certificate, ..Tls::default() }, Auth::None)
}

/// Insists that signing ends undecided with these words, and that nothing was asked of anybody.
#[track_caller]
fn refused(world: &World, arguments: &[&str], words: &str) {
    let (reference, _) = world.push_web();
    let mut sign = vec!["sign", &reference];
    sign.extend(arguments);
    let ended = world.run(&sign).exits(4).says(words);
    assert!(!ended.stderr.contains("weakened"), "{}", ended.stderr);
    assert_nothing_public(world);
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    for http1_only in [false, true] {
        let world = with(Tls { http1_only, ..Tls::default() }, Auth::None);
        let (reference, pushed) = world.push_web();
        let ca = world.argument("ca.pem");
        world.run(&["sign", &reference, "--ca-file", &ca]).exits(0);
        world.verify(&[&reference, "--ca-file", &ca]).exits(0);
        assert_eq!(attached(&world, &pushed).len(), 1);
        // Over HTTP/2 one connection a run carries everything.
        let connections = if http1_only { 8 } else { 2 };
        assert!(world.registry.connections() <= connections, "{}", world.registry.connections());
    }
}

#[test]
fn an_authority_that_nobody_named_is_not_trusted() {
    let unknown = "signed by an unknown CA";
    refused(&certificate(Certificate::Valid), &[], unknown);
    let other = certificate(Certificate::Valid);
    let ca = other.argument("ca.pem");
    // Of the same name as the right one, as it happens.
    refused(&certificate(Certificate::Valid), &["--ca-file", &ca], "not signed by the CA");
    let world = certificate(Certificate::SelfSigned);
    let (reference, _) = world.push_web();
    let ca = world.argument("ca.pem");
    world.run(&["sign", &reference, "--ca-file", &ca]).exits(4).says("certificate");
}

#[test]
fn a_certificate_for_another_host_or_another_time_is_refused() {
    for (kind, words) in
        [(Certificate::WrongHost, "for another host"), (Certificate::Expired, "has expired")]
    {
        let world = certificate(kind);
        let ca = world.argument("ca.pem");
        refused(&world, &["--ca-file", &ca], words);
    }
}

#[test]
fn a_registry_that_wants_to_know_its_clients_gets_the_certificate_that_is_named() {
    let tls = Tls { require_client_certificate: true, http1_only: true, ..Tls::default() };
    let world = with(tls, Auth::None);
    let ca = world.argument("ca.pem");
    let (certificate, key) = (world.argument("client.pem"), world.argument("client.key"));
    refused(&world, &["--ca-file", &ca], "wants a client certificate");
    let (reference, pushed) = world.push_web();
    let named = ["--ca-file", &ca, "--cert-file", &certificate, "--key-file", &key];
    let mut sign = vec!["sign", &reference];
    sign.extend(named);
    world.run(&sign).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
    let mut verify = vec![reference.as_str()];
    verify.extend(named);
    world.verify(&verify).exits(0);
}

#[test]
fn a_client_certificate_is_shown_over_http_2_too() {
    let tls = Tls { require_client_certificate: true, ..Tls::default() };
    let world = with(tls, Auth::None);
    let ca = world.argument("ca.pem");
    // The library loses the server's reason on the way; that it is undecided stays.
    refused(&world, &["--ca-file", &ca], "undecided");
    let (reference, _) = world.push_web();
    let (certificate, key) = (world.argument("client.pem"), world.argument("client.key"));
    let named = ["--ca-file", &ca, "--cert-file", &certificate, "--key-file", &key];
    let mut sign = vec!["sign", &reference];
    sign.extend(named);
    world.run(&sign).exits(0);
    assert!(world.registry.requests().iter().all(|request| request.protocol == "HTTP/2.0"));
}

#[test]
fn certificates_and_keys_that_are_none_are_usage_errors() {
    let world = certificate(Certificate::Valid);
    let (reference, _) = world.push_web();
    let (pem, key) = (world.argument("client.pem"), world.argument("client.key"));
    let (garbage, absent) = (world.argument("garbage"), world.argument("absent"));
    std::fs::write(&garbage, "no PEM").unwrap();
    for arguments in [
        vec!["--ca-file", &absent],
        vec!["--ca-file", &garbage],
        vec!["--cert-file", &pem],
        vec!["--key-file", &key],
        vec!["--cert-file", &pem, "--key-file", &garbage],
        vec!["--cert-file", &absent, "--key-file", &key],
    ] {
        let mut sign = vec!["sign", &reference];
        sign.extend(&arguments);
        let ended = world.run(&sign);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.stderr);
    }
    assert_nothing_public(&world);
}

#[test]
fn skipping_the_check_is_shown_in_words_and_in_the_report() {
    for kind in [Certificate::SelfSigned, Certificate::Expired, Certificate::WrongHost] {
        let world = certificate(kind);
        let (reference, _) = world.push_web();
        let skip = "--insecure-skip-tls-verify";
        let weakened = "Weakened by: --insecure-skip-tls-verify\n";
        world.run(&["sign", &reference, skip]).exits(0).prints(weakened);
        let (code, result) = sign_json(&world, &[&reference, skip]);
        assert_eq!(code, 0);
        assert_eq!(result["weakened"], serde_json::json!([skip]));
        world.verify(&[&reference, skip]).exits(0).prints(weakened);
        let absent = format!("{}:9.9.9", world.repository("web"));
        world.run(&["sign", &absent, skip]).exits(6).says("weakened by --insecure-skip-tls");
    }
}

#[test]
fn a_registry_on_loopback_that_speaks_plain_http_is_answered_with_the_flag() {
    let mut world = World::new();
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    let (reference, _) = world.push_web();
    world
        .run(&["sign", &reference])
        .exits(4)
        .says("does not speak https")
        .says("hint: --plain-http\n");
    assert_nothing_public(&world);
    world.run(&["sign", &reference, "--plain-http"]).exits(0);
}

#[test]
fn a_registry_that_speaks_tls_is_not_spoken_to_in_plain_http_by_chance() {
    let world = certificate(Certificate::Valid);
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--plain-http"]).exits(4);
    assert_nothing_public(&world);
}

#[test]
fn https_is_never_followed_to_plain_http() {
    let world = certificate(Certificate::Valid);
    let (reference, _) = world.push_web();
    let ca = world.argument("ca.pem");
    let plain =
        Registry::start(Options { store: Some(world.registry.store()), ..Options::default() });
    let redirect = Action::Redirect { to: format!("{}{{path}}", plain.origin()), status: 307 };
    world.registry.fault(Fault::new("/blobs/sha256:", redirect).method("GET"));
    world.run(&["sign", &reference, "--ca-file", &ca]).exits(4).says("plain http");
    assert_eq!(plain.requests().len(), 0);
    assert_nothing_public(&world);
}

#[test]
fn a_token_realm_in_plain_http_is_not_asked_by_a_registry_with_tls() {
    let bearer = Bearer::new("jane", "tr0ub4dor-3");
    let plain =
        Registry::start(Options { auth: Auth::Bearer(bearer.clone()), ..Options::default() });
    let realm = Some(plain.origin() + "/token");
    let mut world = with(Tls::default(), Auth::Bearer(Bearer { realm, ..bearer }));
    world.stdin = b"tr0ub4dor-3\n".to_vec();
    let (reference, _) = world.push_web();
    let ca = world.argument("ca.pem");
    let login = ["--username", "jane", "--password-stdin"];
    let mut sign = vec!["sign", &reference, "--ca-file", &ca];
    sign.extend(login);
    world.run(&sign).exits(4).says("token realm").says("plain http");
    assert_eq!(plain.requests().len(), 0);
    assert_nothing_public(&world);
}

#[test]
fn a_token_realm_on_another_port_over_tls_is_asked() {
    let mut world = with(Tls::default(), Auth::Bearer(Bearer::new("jane", "tr0ub4dor-3")));
    world.stdin = b"tr0ub4dor-3\n".to_vec();
    let (reference, pushed) = world.push_web();
    let ca = world.argument("ca.pem");
    let login = ["--username", "jane", "--password-stdin"];
    let mut sign = vec!["sign", &reference, "--ca-file", &ca];
    sign.extend(login);
    world.run(&sign).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn what_was_granted_is_used_for_all_that_waits_for_it() {
    let world = with(Tls::default(), Auth::Bearer(Bearer::new("jane", "tr0ub4dor-3")));
    let (reference, pushed) = world.push_web();
    let ca = world.argument("ca.pem");
    let named = ["--ca-file", &ca, "--username", "jane", "--password", "tr0ub4dor-3"];
    let mut words = vec!["sign", &reference];
    words.extend(named);
    world.run(&words).exits(0);
    world.registry.reset_requests();
    world.registry.delay_per_response(300);
    let pinned = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    let mut words = vec![pinned.as_str()];
    words.extend(named);
    world.verify(&words).exits(0);
    // One is sent away, one fetches the token; then manifest and listing beside each other, and the signature.
    let lines: Vec<_> = world.registry.requests().iter().map(|one| one.line()).collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.ends_with(" 401")).count(), 1, "{lines:#?}");
    assert_eq!(world.registry.most_concurrent(), 2, "{lines:#?}");
    assert_eq!(world.registry.connections(), 1);
}
