//! Registries that attack, by the names that the facts give to each: every one ends undecided or refused, with
//! nothing written, nobody else asked for anything with our credentials, and a bound on what was read and asked.

use std::time::{Duration, Instant};

use helm_sigstore_kit::chart::{Chart, gzip};
use helm_sigstore_kit::registry::{
    Action, Auth, Bearer, Fault, Location, Options, Pushed, Registry, Tls, digest_of, index,
    index_of, media_type,
};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;
use serde_json::{Value, json};

use crate::sign_support::{assert_nothing_public, lines, listed_by_tag};
use crate::support::World;
use crate::verify_craft::{attach, attach_as, entry, list, put, referrer, refuses, sign, usual};

/// Insists on an end: code, reason, words, nothing written; within a time that says "at once" even on a busy
/// machine; and on a bound of requests and of megabytes that the registry got rid of.
#[track_caller]
fn ends(
    world: &World,
    reference: &str,
    (code, reason): (u8, &str),
    words: &str,
    (requests, megabytes): (usize, u64),
) {
    world.registry.reset_requests();
    let started = Instant::now();
    refuses(world, &[reference], code, reason, &[words]);
    let asked = world.registry.requests();
    // It was asked twice: once for people and once for scripts.
    assert!(asked.len() <= 2 * requests, "{} requests: {:#?}", asked.len(), lines(world));
    let sent: u64 = asked.iter().map(|request| request.sent_bytes).sum();
    assert!(sent <= (2 * megabytes) << 20, "{sent} bytes");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

fn fallback() -> (World, String, Pushed) {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    (world, reference, pushed)
}

/// An index of so many entries that lead nowhere.
fn entries(count: usize) -> Vec<Value> {
    serde_json::from_slice::<Value>(&index_of(count)).unwrap()["manifests"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn caps_candidates() {
    // Row 16: cosign reads every referrer in turn, without end.
    let (world, reference, pushed) = fallback();
    list(&world, &pushed, &entries(60_000));
    ends(&world, &reference, (4, "limit-reached"), "over its bound of 4194304", (8, 16));
    let world = World::new();
    let (reference, _) = world.push_web();
    world.registry.fault(Fault::new("/referrers/", Action::ReplaceBody(index_of(100_000))));
    ends(&world, &reference, (4, "limit-reached"), "", (8, 20));
}

#[test]
fn caps_bundle_bytes() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let huge = vec![b' '; 9 << 20];
    attach(&world, &pushed, &huge);
    ends(&world, &reference, (4, "limit-reached"), "bundle has 9437184 bytes", (8, 1));
    // A size that lies about what comes.
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach_as(&world, &pushed, &huge, |manifest| manifest["layers"][0]["size"] = json!(100));
    ends(&world, &reference, (4, "limit-reached"), "over its bound of 100", (8, 4));
}

#[test]
fn caps_index_bytes() {
    let (world, reference, pushed) = fallback();
    let mut entry = entries(1)[0].clone();
    entry["annotations"] = json!({"padding": "x".repeat(17 << 20)});
    list(&world, &pushed, &[entry]);
    ends(&world, &reference, (4, "limit-reached"), "over its bound", (8, 12));
}

#[test]
fn refuses_endless_body() {
    for place in ["/manifests/1.4.2", "/referrers/", "/manifests/sha256:", "/blobs/"] {
        let world = World::new();
        let (reference, pushed) = world.push_web();
        let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
        attach(&world, &pushed, &bundle);
        world.registry.fault(Fault::new(place, Action::Endless));
        ends(&world, &reference, (4, "limit-reached"), "over its bound", (8, 30));
    }
}

#[test]
fn refuses_deep_json() {
    let deep = |open: &str| open.repeat(1 << 16).into_bytes();
    for open in ["[", "{\"a\":", "{\"manifests\":[", "{\"layers\":["] {
        for place in ["/manifests/1.4.2", "/referrers/"] {
            let world = World::new();
            let (reference, _) = world.signed_web();
            world.registry.fault(Fault::new(place, Action::ReplaceBody(deep(open))));
            ends(&world, &reference, (4, "malformed"), "", (8, 8));
        }
        // As a bundle and as a signature's manifest it is what its digest says, and no signature.
        let world = World::new();
        let (reference, pushed) = world.push_web();
        attach(&world, &pushed, &deep(open));
        ends(&world, &reference, (5, "malformed"), "", (8, 4));
    }
}

#[test]
fn bundle_layer_is_never_decompressed() {
    // Row 18: what is compressed is no bundle, whatever it would become.
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    attach(&world, &pushed, &gzip(&bundle));
    ends(&world, &reference, (5, "malformed"), "", (8, 1));
    let bomb = gzip(&vec![b' '; 16 << 20]);
    assert!(bomb.len() < 1 << 20);
    attach(&world, &pushed, &bomb);
    ends(&world, &reference, (5, "malformed"), "", (8, 1));
    // Nor is an answer that says it is compressed on the way.
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.registry.fault(Fault::new("/manifests/sha256:", Action::Gzip));
    ends(&world, &reference, (4, "malformed"), "digest differs", (8, 1));
}

#[test]
fn gzip_bomb_chart_refused() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2").file("templates/bomb", vec![b'0'; 16 << 20]);
    world.push(&chart);
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(5);
    assert_nothing_public(&world);
}

#[test]
fn download_uses_verified_digest() {
    // Row 19: the tag moves as soon as it was read.
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let other = Chart::new("web", "1.4.2").description("another");
    let repository = pushed.repository.clone();
    let moves = Action::run(move |store| drop(store.push_chart(&repository, &other)));
    world.registry.fault(Fault::once("/manifests/1.4.2", moves));
    let pinned = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    world.verify(&[&reference]).exits(0).prints(&format!("Pinned: {pinned}\n"));
    let by_tag = world.registry.requests();
    assert_eq!(by_tag.iter().filter(|r| r.path().ends_with("/manifests/1.4.2")).count(), 1);
}

#[test]
fn refuses_manifest_not_matching_digest() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let pinned = format!("{reference}@{}", pushed.manifest_digest);
    let path = format!("/manifests/{}", pushed.manifest_digest);
    world.registry.fault(Fault::new(&path, Action::FlipBit));
    let pinned_only = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    // The manifest, and beside it what is listed for the digest.
    ends(&world, &pinned_only, (4, "malformed"), "the digest differs", (2, 1));
    // A tag that leads elsewhere than the digest beside it.
    let other = world.push(&Chart::new("web", "1.4.2").description("another"));
    assert_ne!(other.manifest_digest, pushed.manifest_digest);
    let ended = world.verify(&[&pinned]);
    assert!([4, 5].contains(&ended.code), "{}", ended.stderr);
}

#[test]
fn ignores_docker_content_digest() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let lie = format!("sha256:{}", "0".repeat(64));
    let lie = Action::SetHeader("docker-content-digest".into(), lie);
    world.registry.fault(Fault::new("/", lie));
    world.verify(&[&reference]).exits(0).prints(&format!("@{}\n", pushed.manifest_digest));
}

#[test]
fn refuses_document_with_manifests_and_layers() {
    // Row 21: a manifest to one reader, an index to another.
    let world = World::new();
    let (_, pushed) = world.signed_web();
    let mut both: Value = serde_json::from_slice(&pushed.manifest).unwrap();
    both["manifests"] = json!(entries(1));
    for media_type in [media_type::MANIFEST, media_type::INDEX] {
        let bytes = both.to_string().into_bytes();
        world.registry.put_manifest(&pushed.repository, Some("2.0.0"), media_type, bytes);
        let reference = format!("{}:2.0.0", world.repository("web"));
        let ended = world.verify(&[&reference]);
        assert!([4, 5].contains(&ended.code), "{} {}", ended.code, ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    let (world, reference, pushed) = fallback();
    let mut both: Value = serde_json::from_slice(&index(&entries(1))).unwrap();
    both["layers"] = json!([]);
    world.registry.fault(Fault::new(
        &pushed.manifest_digest.replacen(':', "-", 1),
        Action::ReplaceBody(both.to_string().into_bytes()),
    ));
    let tag = pushed.manifest_digest.replacen(':', "-", 1);
    let bytes = index(&[]);
    world.registry.put_manifest(&pushed.repository, Some(&tag), media_type::INDEX, bytes);
    ends(&world, &reference, (4, "malformed"), "an index and a manifest at once", (8, 1));
}

#[test]
fn refuses_cross_host_link_and_refuses_link_loop() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let other = Registry::start(Options::default());
    for (target, words) in [
        (format!("{}{{path}}", other.origin()), "another site"),
        ("http://169.254.169.254/x".to_owned(), "another site"),
        ("{path}".to_owned(), "loop"),
    ] {
        let link = Action::SetHeader("link".into(), format!("<{target}>; rel=\"next\""));
        world.registry.fault(Fault::new("/referrers/", link));
        ends(&world, &reference, (4, "malformed"), words, (8, 1));
        world.registry.clear_faults();
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn two_writers_one_fallback_tag_both_survive() {
    let (world, reference, pushed) = fallback();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| world.run(&["sign", &reference]).exits(0));
        }
    });
    assert_eq!(listed_by_tag(&world, &pushed).len(), 2);
}

#[test]
fn finds_bundle_behind_empty_artifact_type() {
    // Row 24: writers that leave the type out, or put the config's there.
    for artifact_type in [Value::Null, json!(""), json!("application/vnd.oci.empty.v1+json")] {
        let (world, reference, pushed) = fallback();
        let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
        world.registry.put_blob(&pushed.repository, bundle.clone());
        let digest = put(&world, &pushed, &referrer(&pushed, &bundle));
        let mut found = entry(&world, &pushed, &digest);
        if artifact_type != Value::Null {
            found["artifactType"] = artifact_type;
        }
        list(&world, &pushed, &[found]);
        world.verify(&[&reference]).exits(0);
    }
}

const PASSWORD: &str = "tr0ub4dor-3";

/// Somebody with credentials at a registry over TLS that sends them to `realm`.
fn with_realm(realm: &str) -> (World, Vec<String>) {
    let bearer = Bearer { realm: Some(realm.to_owned()), ..Bearer::new("jane", PASSWORD) };
    let tls = Some(Tls::default());
    let options = Options { auth: Auth::Bearer(bearer), tls, ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    world.stdin = PASSWORD.as_bytes().to_vec();
    std::fs::write(world.path("ca.pem"), world.registry.ca_pem().unwrap()).unwrap();
    let flags = ["--username", "jane", "--password-stdin", "--ca-file", &world.argument("ca.pem")]
        .map(str::to_owned);
    (world, flags.to_vec())
}

#[test]
fn refuses_http_realm_and_refuses_private_realm() {
    let other = Registry::start(Options::default());
    let origin = other.origin();
    for realm in [
        format!("{origin}/token"),
        format!("{}/token", origin.replace("127.0.0.1", "localhost")),
        "https://169.254.169.254/token".to_owned(),
        "https://[fe80::1]/token".to_owned(),
        "https://0.0.0.0/token".to_owned(),
        "ftp://127.0.0.1/token".to_owned(),
    ] {
        let (world, flags) = with_realm(&realm);
        let (reference, _) = world.push_web();
        let mut words = vec!["verify", &reference, "--certificate-identity", "x"];
        words.extend(["--certificate-oidc-issuer", "x"]);
        words.extend(flags.iter().map(String::as_str));
        world.run(&words).exits(4).says("token realm").says("is not asked");
        assert_eq!(world.registry.requests().len(), 1, "{realm}");
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn no_credentials_across_hosts() {
    // Row 26: redirect, Location, Link and blob URL all lead to a host of another name.
    let basic = || Auth::Basic { user: "jane".to_owned(), password: PASSWORD.to_owned() };
    let other = Registry::start(Options::default());
    let origin = other.origin().replace("127.0.0.1", "localhost");
    let redirect = |status| Action::Redirect { to: format!("{origin}{{path}}"), status };
    let link = Action::SetHeader("link".into(), format!("<{origin}{{path}}&x>; rel=\"next\""));
    for (place, method, action) in [
        ("/manifests/", "GET", redirect(302)),
        ("/manifests/", "GET", redirect(307)),
        ("/manifests/", "GET", redirect(308)),
        ("/referrers/", "GET", redirect(303)),
        ("/referrers/", "GET", link),
        ("/blobs/sha256:", "GET", redirect(307)),
        ("/blobs/uploads/", "POST", redirect(307)),
    ] {
        let options = Options { auth: basic(), ..Options::default() };
        let mut world = World::with(options, SigstoreOptions::default());
        world.stdin = PASSWORD.as_bytes().to_vec();
        let (reference, _) = world.push_web();
        world.registry.fault(Fault::new(place, action).method(method));
        world.run(&["sign", &reference, "--username", "jane", "--password-stdin"]);
    }
    let location = Location::Foreign(origin);
    let options =
        Options { auth: basic(), location, single_post_upload: false, ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.stdin = PASSWORD.as_bytes().to_vec();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--username", "jane", "--password-stdin"]).exits(4);
    let requests = other.requests();
    assert!(requests.len() >= 4, "{requests:#?}");
    for request in requests {
        assert!(!request.authorization, "{}", request.line());
        assert!(!format!("{:?}", request.headers).contains("jane"));
    }
}

#[test]
fn refuses_redirect_to_link_local_and_refuses_https_to_http() {
    let plain = Registry::start(Options::default());
    for (to, words) in [
        ("http://169.254.169.254/latest".to_owned(), "link-local"),
        ("https://[fe80::1]/".to_owned(), "link-local"),
        ("file:///etc/passwd".to_owned(), "neither https nor http"),
    ] {
        let world = World::new();
        let (reference, _) = world.signed_web();
        world.registry.fault(Fault::new("/manifests/", Action::Redirect { to, status: 302 }));
        ends(&world, &reference, (4, "unreachable"), words, (1, 1));
    }
    let options = Options { tls: Some(Tls::default()), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    std::fs::write(world.path("ca.pem"), world.registry.ca_pem().unwrap()).unwrap();
    let (reference, _) = world.push_web();
    let to = format!("{}{{path}}", plain.origin());
    world.registry.fault(Fault::new("/manifests/", Action::Redirect { to, status: 302 }));
    let ca = world.argument("ca.pem");
    world.verify(&[&reference, "--ca-file", &ca]).exits(4).says("from https to plain http");
    assert_eq!(plain.connections(), 0);
}

#[test]
fn a_blob_that_is_listed_and_gone_is_undecided() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    attach(&world, &pushed, &bundle);
    assert!(world.registry.delete_blob(&pushed.repository, &digest_of(&bundle)));
    ends(&world, &reference, (4, "unreachable"), "is listed and not there", (8, 1));
}
