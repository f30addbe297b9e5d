//! What only a process of its own shows: the roots and the proxies that the environment names, and IPv6.

use std::process::Command;

use helm_sigstore_kit::registry::{Options, Tls};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;
use helm_sigstore_kit::tunnel::Proxy;

use crate::support::World;

/// Runs `verify` with the usual signer in a process with this environment; answers its code and what it said.
fn verify(world: &World, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_helm-sigstore"))
        .arg("verify")
        .args(arguments)
        .args(world.signer())
        .env_clear()
        .envs(&world.environment)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (ended.status.code().unwrap(), said.concat())
}

/// A signed chart in a registry with TLS whose authority nobody knows yet.
fn with_tls(names: &[&str]) -> (World, String) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let options = Options { tls: Some(Tls { names, ..Tls::default() }), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    let ca = world.argument("ca.pem");
    std::fs::write(&ca, world.registry.ca_pem().unwrap()).unwrap();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--ca-file", &ca]).exits(0);
    (world, reference)
}

#[test]
fn the_authorities_of_ssl_cert_file_are_trusted() {
    let (world, reference) = with_tls(&[]);
    let ca = world.argument("ca.pem");
    let (code, said) = verify(&world, &[&reference], &[("SSL_CERT_FILE", &ca)]);
    assert_eq!(code, 0, "{said}");
    let nobody = world.argument("trusted_root.json");
    let (code, said) = verify(&world, &[&reference], &[("SSL_CERT_FILE", &nobody)]);
    assert_eq!(code, 4, "{said}");
    // A file that is named in the arguments is trusted beside it.
    let words = [&reference, "--ca-file", &ca];
    let (code, said) = verify(&world, &words, &[("SSL_CERT_FILE", &ca)]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_proxy_of_the_environment_is_used_but_not_for_those_whom_no_proxy_names() {
    let world = World::new();
    let (_, _) = world.signed_web();
    // A plain-http proxy is asked for the whole URL; this one has what is asked for.
    let reference = "oci://registry.invalid/charts/web:1.4.2";
    let proxy = world.registry.origin();
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let (code, said) = verify(&world, &[reference], &[(variable, &proxy)]);
        assert_eq!(code, 0, "{variable} {said}");
        for exempt in ["registry.invalid", ".invalid", "*"] {
            let environment = [(variable, proxy.as_str()), ("NO_PROXY", exempt)];
            let (code, said) = verify(&world, &[reference], &environment);
            assert_eq!(code, 4, "{variable} {exempt} {said}");
            assert!(said.contains("cannot resolve the host's name"), "{said}");
        }
    }
    // Nobody asks a proxy for this very machine.
    let proxy = Proxy::start(&world.registry.host());
    let (code, said) = verify(
        &world,
        &[&format!("{}:1.4.2", world.repository("web"))],
        &[("HTTP_PROXY", &proxy.url())],
    );
    assert_eq!((code, proxy.asked().len()), (0, 0), "{said}");
}

#[test]
fn a_tunnel_through_a_proxy_leads_to_a_registry_with_tls() {
    let (world, _) = with_tls(&["registry.invalid"]);
    let ca = world.argument("ca.pem");
    let reference = "oci://registry.invalid/charts/web:1.4.2";
    let words = [reference, "--ca-file", &ca];
    let proxy = Proxy::start(&world.registry.host());
    let (code, said) = verify(&world, &words, &[("HTTPS_PROXY", &proxy.url())]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(proxy.asked()[0], "CONNECT registry.invalid:443");
    assert_eq!(proxy.asked().len(), 1, "one connection carries it all");

    // One that wants to know who asks; its password is nobody's business.
    let proxy = Proxy::start_with_password(&world.registry.host(), "jane", "tr0ub4dor-3");
    let with = |password: &str| proxy.url().replace("://", &format!("://jane:{password}@"));
    let (code, said) = verify(&world, &words, &[("HTTPS_PROXY", &with("tr0ub4dor-3"))]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = verify(&world, &words, &[("HTTPS_PROXY", &with("wrong-horse"))]);
    assert_eq!(code, 4, "{said}");
    assert!(!said.contains("wrong-horse") && !said.contains("tr0ub4dor-3"), "{said}");
}

#[test]
fn a_registry_may_have_an_ipv6_address() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("not measured: this machine has no IPv6");
        return;
    }
    let world =
        World::with(Options { ipv6: true, ..Options::default() }, SigstoreOptions::default());
    let (reference, pushed) = world.push_web();
    assert!(reference.starts_with("oci://[::1]:"), "{reference}");
    world.run(&["sign", &reference]).exits(0);
    let pinned = format!("Pinned: {}@{}", world.repository("web"), pushed.manifest_digest);
    world.verify(&[&reference]).exits(0).prints(&pinned);
    world.verify(&[&world.repository("web"), "--version", "^1"]).exits(0).prints(&pinned);
}
