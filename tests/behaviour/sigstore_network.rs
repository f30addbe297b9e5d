//! How mirrors and Sigstore's services are reached: their own authority, proxies, time-outs and retries.

use std::collections::BTreeMap;
use std::time::Duration;

use helm_sigstore_kit::registry::{Options as RegistryOptions, Tls};
use helm_sigstore_kit::sigstore::{Fault, Options, RekorVersion, Service};

use crate::sign_support::assert_nothing_public;
use crate::support::{Ended, World};
use crate::tls_front::{Authority, Front, Proxy};
use crate::trust_support::{cache, repository};

/// A host that only a proxy knows (RFC 6761 section 6.4).
const HOST: &str = "tuf.sigstore.invalid";

/// A world without trust, a repository for it, and the root of that in a file.
fn untrusting() -> (World, helm_sigstore_kit::tuf::Tuf, String) {
    let mut world = World::new();
    let tuf = repository(&world);
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    let root = world.argument("1.root.json");
    std::fs::write(&root, tuf.root()).unwrap();
    (world, tuf, root)
}

fn write(world: &World, name: &str, text: &str) -> String {
    std::fs::write(world.path(name), text).unwrap();
    world.argument(name)
}

#[test]
fn a_mirror_with_a_certificate_of_ones_own_is_trusted_by_the_flag_for_it_alone() {
    let (world, tuf, root) = untrusting();
    let authority = Authority::new();
    let front = Front::start(&authority, &["127.0.0.1"], &tuf.url());
    let ca = write(&world, "ca.pem", &authority.pem);
    let url = front.url();
    let init = ["trust", "init", "kit", "--mirror", &url, "--root", &root];
    world.run(&init).exits(4).says("signed by an unknown CA");
    assert!(!world.path("home/.config/helm/sigstore/instances/kit.json").exists());
    world.run(&[&init[..], &["--sigstore-ca-file", &ca]].concat()).exits(0);
    let (reference, _) = world.push_web();
    let kit = ["--instance", "kit"];
    world.run(&[&["sign", &reference], &kit[..]].concat()).exits(0);
    // Warm, nobody is asked; cold, the authority is needed again, and the registry's does not do.
    std::fs::remove_file(cache(&world)).unwrap();
    let verify = [&[reference.as_str()], &kit[..]].concat();
    world.verify(&verify).exits(4).says("signed by an unknown CA");
    world.verify(&[&verify[..], &["--ca-file", &ca]].concat()).exits(4).says("unknown CA");
    world.verify(&[&verify[..], &["--sigstore-ca-file", &ca]].concat()).exits(0);
    let other = write(&world, "other.pem", &Authority::new().pem);
    std::fs::remove_file(cache(&world)).unwrap();
    world.verify(&[&verify[..], &["--sigstore-ca-file", &other]].concat()).exits(4);
}

#[test]
fn the_authority_of_sigstores_services_is_none_of_the_registrys() {
    let options = RegistryOptions { tls: Some(Tls::default()), ..RegistryOptions::default() };
    let mut world = World::with(options, Options::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    let ca = write(&world, "registry.pem", &world.registry.ca_pem().unwrap());
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--sigstore-ca-file", &ca]).exits(4).says("unknown CA");
    world.run(&["sign", &reference, "--ca-file", &ca]).exits(0);
}

#[test]
fn services_over_tls_sign_with_their_own_authority() {
    let mut world = World::new();
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    let authority = Authority::new();
    let names = ["127.0.0.1"];
    let front = |url: &str| Front::start(&authority, &names, url);
    let fulcio = front(&world.sigstore.fulcio_url());
    let rekor = front(&world.sigstore.rekor_v1_url());
    let tsa = front(&world.sigstore.url(Service::Tsa));
    let ca = write(&world, "ca.pem", &authority.pem);
    let (reference, _) = world.push_web();
    let (fulcio, rekor) = (fulcio.url(), rekor.url());
    let stamp = format!("{}/api/v1/timestamp", tsa.url());
    let sign =
        ["sign", &reference, "--fulcio-url", &fulcio, "--rekor-url", &rekor, "--tsa-url", &stamp];
    world.run(&sign).exits(4).says("signed by an unknown CA");
    assert_nothing_public(&world);
    world.run(&[&sign[..], &["--sigstore-ca-file", &ca]].concat()).exits(0);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_authority_that_is_none_is_a_usage_error() {
    let (world, tuf, root) = untrusting();
    let url = tuf.url();
    let nonsense = write(&world, "ca.pem", "nonsense");
    let missing = world.argument("missing.pem");
    for file in [&nonsense, &missing] {
        let words =
            ["trust", "init", "kit", "--mirror", &url, "--root", &root, "--sigstore-ca-file", file];
        world.run(&words).exits(2);
    }
    assert_eq!(tuf.take_requests(), Vec::<String>::new());
}

/// Runs the program itself, in an environment of its own: only a process has proxies.
fn program(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut environment: BTreeMap<String, String> = world.environment.clone();
    for (name, value) in variables {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_helm-sigstore"))
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = u8::try_from(output.status.code().unwrap()).unwrap();
    Ended { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn mirrors_are_reached_through_the_proxy_of_the_environment_unless_they_are_excepted() {
    let (world, tuf, root) = untrusting();
    let authority = Authority::new();
    let front = Front::start(&authority, &[HOST], &tuf.url());
    let proxy = Proxy::start(front.port, false);
    let ca = write(&world, "ca.pem", &authority.pem);
    let mirror = format!("https://{HOST}");
    let words = [
        "trust",
        "init",
        "kit",
        "--mirror",
        &mirror,
        "--root",
        &root,
        "--sigstore-ca-file",
        &ca,
        "--force",
    ];
    let through = format!("http://user:secret@127.0.0.1:{}", proxy.port);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let before = proxy.asked().len();
        program(&world, &words, &[(name, &through)]).exits(0).prints("Trusted: instance kit");
        let asked = proxy.asked();
        assert!(asked.len() > before, "{name}");
        let head = asked.last().unwrap();
        assert!(head.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\n")), "{head}");
        assert!(head.to_lowercase().contains("\nproxy-authorization: basic "), "{head}");
    }
    let before = proxy.asked().len();
    let excepted = [("HTTPS_PROXY", through.as_str()), ("NO_PROXY", ".sigstore.invalid")];
    program(&world, &words, &excepted).exits(4).says("cannot resolve");
    assert_eq!(proxy.asked().len(), before);
    // What is on this machine is never asked through a proxy.
    let local = tuf.url();
    let words = ["trust", "init", "local", "--mirror", &local, "--root", &root];
    let all =
        [("HTTPS_PROXY", through.as_str()), ("HTTP_PROXY", &through), ("ALL_PROXY", &through)];
    program(&world, &words, &all).exits(0);
    assert_eq!(proxy.asked().len(), before);
}

#[test]
fn a_proxy_that_refuses_is_undecided_and_its_password_stays_unsaid() {
    let (world, _tuf, root) = untrusting();
    let proxy = Proxy::start(1, true);
    let mirror = format!("https://{HOST}");
    let words = ["trust", "init", "kit", "--mirror", &mirror, "--root", &root];
    let through = format!("http://user:secret@127.0.0.1:{}", proxy.port);
    let ended = program(&world, &words, &[("HTTPS_PROXY", &through)]).exits(4);
    assert!(!ended.stderr.contains("secret") && !ended.stdout.contains("secret"), "{ended:?}");
    assert!(!proxy.asked().is_empty());
}

#[test]
fn a_service_that_never_answers_ends_with_the_time_out_and_nothing_is_attached() {
    for (version, service) in [
        (RekorVersion::V1, Service::Fulcio),
        (RekorVersion::V1, Service::Tsa),
        (RekorVersion::V1, Service::RekorV1),
        (RekorVersion::V2, Service::RekorV2),
    ] {
        let options = Options { rekor: vec![version], ..Options::default() };
        let world = World::with(RegistryOptions::default(), options);
        let (reference, _) = world.push_web();
        world.sigstore.set_fault(Fault::Hang(service));
        let started = std::time::Instant::now();
        let ended = world.run(&["sign", &reference, "--timeout", "2s"]).exits(4);
        assert!(ended.stderr.contains("timed out after 2 s"), "{service:?}: {}", ended.stderr);
        assert!(started.elapsed() < Duration::from_secs(20), "{service:?}");
        world.sigstore.clear_faults();
        world.verify(&[&reference]).exits(3);
    }
}

#[test]
fn a_service_that_stumbles_is_asked_again_and_one_that_says_no_is_not() {
    let asked = |service, fault: Fault, times, code| {
        let world = World::new();
        let (reference, _) = world.push_web();
        world.sigstore.set_fault_times(fault, times);
        world.run(&["sign", &reference]).exits(code);
        world.sigstore.request_count(service)
    };
    for service in [Service::Fulcio, Service::Tsa, Service::RekorV1] {
        assert_eq!(asked(service, Fault::Status(service, 503), 1, 0), 2, "{service:?}");
        assert_eq!(asked(service, Fault::Throttle(service, 1), 1, 0), 2, "{service:?}");
        // Not for ever.
        assert_eq!(asked(service, Fault::Status(service, 503), u32::MAX, 4), 4, "{service:?}");
        assert_eq!(asked(service, Fault::Throttle(service, 86_400), u32::MAX, 4), 1, "{service:?}");
    }
}
