//! Who we are to a registry, and to whom we never say it.

use std::time::Duration;

use helm_sigstore_kit::registry::{
    Action, Auth, Bearer, Fault, Location, Options, Registry, TokenField,
};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;

use crate::sign_support::{assert_hides, assert_nothing_public, attached, lines, sign_json};
use crate::support::{Ended, World};

const PASSWORD: &str = "tr0ub4dor-3";

fn with(auth: Auth) -> World {
    let options = Options { auth, ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.stdin = format!("{PASSWORD}\n").into_bytes();
    world
}

fn basic() -> World {
    with(Auth::Basic { user: "jane".to_owned(), password: PASSWORD.to_owned() })
}

fn bearer(change: impl FnOnce(&mut Bearer)) -> World {
    let mut bearer = Bearer::new("jane", PASSWORD);
    change(&mut bearer);
    with(Auth::Bearer(bearer))
}

/// Signs as `jane`, with the password on standard input.
fn sign(world: &World, reference: &str) -> Ended {
    let ended = world.run(&["sign", reference, "--username", "jane", "--password-stdin"]);
    assert_hides(&ended, PASSWORD);
    ended
}

/// A second registry with the content of the first, on a host of its own.
fn elsewhere(world: &World) -> (Registry, String) {
    let store = Some(world.registry.store());
    let other = Registry::start(Options { store, check_references: false, ..Options::default() });
    // Another name for the same loopback: another host to everybody who compares hosts.
    let origin = other.origin().replace("127.0.0.1", "localhost");
    (other, origin)
}

#[test]
fn a_registry_with_passwords_is_signed_in_and_verified() {
    let world = basic();
    let (reference, pushed) = world.push_web();
    sign(&world, &reference).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
    let requests = world.registry.requests();
    assert!(!requests[0].authorization, "credentials were sent before they were asked for");
    let rest = &requests[1..];
    assert!(rest.iter().all(|r| r.authorization_scheme.as_deref() == Some("Basic")));
    world.verify(&[&reference, "--username", "jane", "--password-stdin"]).exits(0);
}

#[test]
fn a_registry_with_tokens_is_signed_in_with_one_token() {
    let world = bearer(|_| {});
    let (reference, pushed) = world.push_web();
    sign(&world, &reference).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
    let requests = world.registry.requests();
    let tokens: Vec<_> = requests.iter().filter(|request| request.is_token()).collect();
    assert_eq!(tokens.len(), 1, "{:#?}", lines(&world));
    assert_eq!(tokens[0].authorization_scheme.as_deref(), Some("Basic"));
    let scope = "scope=repository%3Acharts%2Fweb%3Apull%2Cpush";
    assert!(tokens[0].path_and_query.contains(scope), "{}", tokens[0].path_and_query);
    for request in requests.iter().filter(|request| !request.is_token()).skip(1) {
        assert_eq!(request.authorization_scheme.as_deref(), Some("Bearer"), "{}", request.line());
    }
    // A cold token is the first request again and the token itself.
    assert!(requests.len() <= 12, "{:#?}", lines(&world));
}

#[test]
fn verifying_asks_for_a_token_to_read_and_takes_two_requests_more() {
    let world = bearer(|_| {});
    let (reference, _) = world.push_web();
    sign(&world, &reference).exits(0);
    world.registry.reset_requests();
    world.verify(&[&reference, "--username", "jane", "--password-stdin"]).exits(0);
    let requests = world.registry.requests();
    assert_eq!(requests.len(), 5, "{:#?}", lines(&world));
    let token = requests.iter().find(|request| request.is_token()).unwrap();
    assert!(token.path_and_query.contains("web%3Apull"), "{}", token.path_and_query);
    assert!(!token.path_and_query.contains("push"), "{}", token.path_and_query);
}

#[test]
fn the_token_is_found_under_either_name_and_with_or_without_its_lifetime() {
    for field in [TokenField::AccessToken, TokenField::Both, TokenField::Token] {
        for expires_in in [None, Some(0), Some(3600)] {
            let world = bearer(|bearer| {
                bearer.field = field;
                bearer.expires_in = expires_in;
            });
            let (reference, pushed) = world.push_web();
            sign(&world, &reference).exits(0);
            assert_eq!(attached(&world, &pushed).len(), 1, "{field:?} {expires_in:?}");
        }
    }
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_run_is_replaced() {
    let world = bearer(|bearer| bearer.uses = Some(3));
    let (reference, pushed) = world.push_web();
    sign(&world, &reference).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
    let tokens = world.registry.requests().iter().filter(|request| request.is_token()).count();
    assert!((2..=4).contains(&tokens), "{:#?}", lines(&world));
}

#[test]
fn a_registry_that_refuses_every_token_is_not_asked_for_ever() {
    let world = bearer(|bearer| bearer.uses = Some(0));
    let (reference, _) = world.push_web();
    let ended = sign(&world, &reference).exits(4);
    assert!(world.registry.requests().len() <= 4, "{:#?}", lines(&world));
    ended.says(": 401").says("with the credentials of --username");
    assert_nothing_public(&world);
}

#[test]
fn a_token_that_may_only_read_is_found_out_before_a_certificate_is_asked_for() {
    let world = bearer(|bearer| bearer.read_only = true);
    let (reference, _) = world.push_web();
    sign(&world, &reference).exits(4).says("/blobs/uploads/").says(": 401");
    assert_nothing_public(&world);
    let requests = world.registry.requests();
    let uploads = requests.iter().filter(|request| request.method == "POST").count();
    assert!(uploads <= 2, "{:#?}", lines(&world));
}

#[test]
fn a_token_that_allows_too_little_is_told_from_one_that_is_wrong() {
    let world = bearer(|bearer| bearer.read_only = true);
    let (reference, _) = world.push_web();
    sign(&world, &reference).exits(4).says("the token does not allow this (insufficient_scope)");
    assert_nothing_public(&world);
}

#[test]
fn a_403_that_asks_for_more_is_answered_with_a_token_for_more() {
    let world = bearer(|_| {});
    let (reference, pushed) = world.push_web();
    let realm = format!("{}/token", world.registry.origin());
    let scope = "repository:charts/web:pull,push";
    let challenge = format!(
        "Bearer realm=\"{realm}\",service=\"kit\",scope=\"{scope}\",error=\"insufficient_scope\""
    );
    let action = Action::Status {
        status: 403,
        headers: vec![("www-authenticate".to_owned(), challenge)],
        body: Vec::new(),
    };
    world.registry.fault(Fault::new("/blobs/uploads/", action).times(1));
    sign(&world, &reference).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn the_path_itself_is_asked_so_that_an_open_root_misleads_nobody() {
    let world = bearer(|_| {});
    let (reference, pushed) = world.push_web();
    sign(&world, &reference).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
    world.verify(&[&reference, "--username", "jane", "--password-stdin"]).exits(0);
    let requests = world.registry.requests();
    assert!(requests.iter().all(|request| request.path() != "/v2/"), "{:#?}", lines(&world));
}

#[test]
fn somebody_without_credentials_may_read_and_is_told_how_to_log_in_to_write() {
    let world = bearer(|bearer| bearer.anonymous_pull = true);
    let (reference, pushed) = world.push_web();
    let host = world.registry.host();
    let ended = world.run(&["sign", &reference]).exits(4);
    ended
        .says(&format!("no credentials for {host}"))
        .says(&format!("hint: helm registry login {host}\n"));
    assert_nothing_public(&world);
    sign(&world, &reference).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn nobody_may_read_without_credentials_and_that_is_not_an_absence() {
    for world in [basic(), bearer(|_| {})] {
        let (reference, _) = world.push_web();
        let (code, result) = sign_json(&world, &[&reference]);
        assert_eq!((code, result["reason"].as_str()), (4, Some("unauthorized")));
        let hint = result["hint"].as_str().unwrap();
        assert!(hint.starts_with("helm registry login "), "{hint}");
        world.verify(&[&reference]).exits(4).says("no credentials for");
    }
}

#[test]
fn a_wrong_password_says_where_it_came_from_and_is_not_shown() {
    for mut world in [basic(), bearer(|_| {})] {
        let (reference, _) = world.push_web();
        world.stdin = b"wrong-horse\n".to_vec();
        let words = ["sign", &reference, "--username", "jane", "--password-stdin"];
        let ended = world.run(&words).exits(4);
        assert_hides(&ended, "wrong-horse");
        ended.says("401").says("with the credentials of --username");
        assert!(world.registry.requests().len() <= 3, "{:#?}", lines(&world));
        assert_nothing_public(&world);
    }
}

#[test]
fn a_password_in_the_arguments_works_and_warns_without_showing_it() {
    let world = basic();
    let (reference, _) = world.push_web();
    let words = ["sign", &reference, "--username", "jane", "--password", PASSWORD];
    let ended = world.run(&words).exits(0);
    assert_hides(&ended, PASSWORD);
    ended.says("warning: a password in the arguments can be seen by others");
    let mut world = basic();
    let (reference, _) = world.push_web();
    world.environment.insert("HELM_SIGSTORE_USERNAME".into(), "jane".into());
    world.environment.insert("HELM_SIGSTORE_PASSWORD".into(), PASSWORD.into());
    let ended = world.run(&["sign", &reference]).exits(0);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn half_a_login_is_a_usage_error() {
    let mut world = basic();
    let (reference, _) = world.push_web();
    world.run(&["sign", &reference, "--username", "jane"]).exits(2).says("--password-stdin");
    world.run(&["sign", &reference, "--password-stdin"]).exits(2).says("--username");
    let both = ["--username", "jane", "--password", PASSWORD, "--password-stdin"];
    let mut words = vec!["sign", &reference];
    words.extend(both);
    let ended = world.run(&words).exits(2);
    assert_hides(&ended, PASSWORD);
    world.stdin.clear();
    let words = ["sign", &reference, "--username", "jane", "--password-stdin"];
    world.run(&words).exits(2).says("empty");
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn a_realm_on_another_host_does_not_get_the_credentials() {
    let other = Registry::start(Options {
        auth: Auth::Bearer(Bearer::new("jane", PASSWORD)),
        ..Options::default()
    });
    for realm in [
        other.origin().replace("127.0.0.1", "localhost") + "/token",
        "http://169.254.169.254/token".to_owned(),
        "file:///etc/passwd".to_owned(),
        "not a URL".to_owned(),
    ] {
        let world = bearer(|bearer| bearer.realm = Some(realm.clone()));
        let (reference, _) = world.push_web();
        sign(&world, &reference).exits(4).says("token realm");
        assert_nothing_public(&world);
        assert_eq!(other.requests().len(), 0, "{realm}");
    }
}

#[test]
fn a_realm_on_another_host_that_a_connection_without_proof_named_does_not_get_the_credentials() {
    use helm_sigstore_kit::registry::Tls;
    let tokens = Bearer::new("jane", PASSWORD);
    let auth = Auth::Bearer(tokens.clone());
    let other = Registry::start(Options { auth, tls: Some(Tls::default()), ..Options::default() });
    let realm = Some(other.origin().replace("127.0.0.1", "localhost") + "/token");
    let auth = Auth::Bearer(Bearer { realm, ..tokens });
    // Its certificate would do; it is the plain http before it that proves nothing.
    let world = with(auth.clone());
    let (reference, _) = world.push_web();
    let ca = world.argument("ca.pem");
    std::fs::write(&ca, other.ca_pem().unwrap()).unwrap();
    let login = ["--username", "jane", "--password-stdin"];
    let mut words = vec!["sign", &reference, "--ca-file", &ca];
    words.extend(login);
    world.run(&words).exits(4).says("token realm").says("proves nothing");
    // Nor does TLS that nobody checked.
    let options = Options { auth, tls: Some(Tls::default()), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    world.stdin = PASSWORD.as_bytes().to_vec();
    let (reference, _) = world.push_web();
    let mut words = vec!["sign", &reference, "--insecure-skip-tls-verify"];
    words.extend(login);
    world.run(&words).exits(4).says("token realm");
    assert_eq!(other.connections(), 0);
    assert_nothing_public(&world);
}

#[test]
fn a_realm_on_another_host_that_verified_tls_named_is_asked() {
    use helm_sigstore_kit::registry::Tls;
    let tokens = Bearer::new("jane", PASSWORD);
    let auth = Auth::Bearer(tokens.clone());
    let other = Registry::start(Options { auth, tls: Some(Tls::default()), ..Options::default() });
    let realm = Some(other.origin().replace("127.0.0.1", "localhost") + "/token");
    let auth = Auth::Bearer(Bearer { realm, ..tokens });
    let options = Options { auth, tls: Some(Tls::default()), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    world.stdin = PASSWORD.as_bytes().to_vec();
    let (reference, pushed) = world.push_web();
    let ca = world.argument("ca.pem");
    let both = world.registry.ca_pem().unwrap() + &other.ca_pem().unwrap();
    std::fs::write(&ca, both).unwrap();
    let login = ["--username", "jane", "--password-stdin"];
    let mut words = vec!["sign", &reference, "--ca-file", &ca];
    words.extend(login);
    world.run(&words).exits(0);
    assert_eq!(other.requests().len(), 1);
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn a_realm_on_another_port_of_the_same_host_is_its_own() {
    let tokens = Bearer::new("jane", PASSWORD);
    let realm =
        Registry::start(Options { auth: Auth::Bearer(tokens.clone()), ..Options::default() });
    let world = with(Auth::Bearer(Bearer { realm: Some(realm.origin() + "/token"), ..tokens }));
    let (reference, pushed) = world.push_web();
    sign(&world, &reference).exits(0);
    assert_eq!(realm.requests().len(), 1);
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn a_token_server_that_fails_or_talks_nonsense_is_undecided() {
    for (action, words) in [
        (Action::status(500), ": 500"),
        (Action::status(403), ": 403"),
        (Action::ReplaceBody(b"<html>".to_vec()), "no token answer"),
        (Action::ReplaceBody(b"{}".to_vec()), "holds no token"),
        (Action::ReplaceBody(b"{\"token\":\"a\\nb\"}".to_vec()), "no header text"),
        (Action::status_with(429, "Retry-After", "60"), "429, retry after 60 s"),
    ] {
        let world = bearer(|_| {});
        let (reference, _) = world.push_web();
        world.registry.fault(Fault::new("/token", action));
        sign(&world, &reference).exits(4).says(words);
        assert_nothing_public(&world);
    }
}

#[test]
fn a_blob_that_lies_elsewhere_is_fetched_there_without_credentials() {
    for world in [basic(), bearer(|_| {})] {
        let (reference, pushed) = world.push_web();
        let (other, origin) = elsewhere(&world);
        let redirect = Action::Redirect { to: format!("{origin}{{path}}"), status: 307 };
        world.registry.fault(Fault::new("/blobs/sha256:", redirect).method("GET"));
        sign(&world, &reference).exits(0);
        let requests = other.requests();
        assert_eq!(requests.len(), 2, "{requests:#?}");
        assert!(requests.iter().all(|request| !request.authorization), "{requests:#?}");
        assert_eq!(attached(&world, &pushed).len(), 1);
    }
}

#[test]
fn a_challenge_from_where_a_redirect_led_is_not_answered() {
    let world = basic();
    let (reference, _) = world.push_web();
    let other = Registry::start(Options {
        auth: Auth::Basic { user: "jane".to_owned(), password: PASSWORD.to_owned() },
        store: Some(world.registry.store()),
        ..Options::default()
    });
    let origin = other.origin().replace("127.0.0.1", "localhost");
    let redirect = Action::Redirect { to: format!("{origin}{{path}}"), status: 307 };
    world.registry.fault(Fault::new("/blobs/sha256:", redirect).method("GET"));
    sign(&world, &reference).exits(4).says("401");
    assert!(other.requests().iter().all(|request| !request.authorization));
}

#[test]
fn an_upload_that_continues_elsewhere_gets_no_credentials_there() {
    let world = {
        let (user, password) = ("jane".to_owned(), PASSWORD.to_owned());
        let other = Registry::start(Options::default());
        let origin = other.origin().replace("127.0.0.1", "localhost");
        other.fault(Fault::new("/blobs/uploads/", Action::status(201)).method("PUT"));
        let mut world = World::with(
            Options {
                auth: Auth::Basic { user, password },
                location: Location::Foreign(origin),
                check_references: false,
                single_post_upload: false,
                ..Options::default()
            },
            SigstoreOptions::default(),
        );
        world.stdin = PASSWORD.as_bytes().to_vec();
        let (reference, pushed) = world.push_web();
        sign(&world, &reference).exits(0);
        let requests = other.requests();
        assert_eq!(requests.len(), 2, "{requests:#?}");
        assert!(requests.iter().all(|r| r.method == "PUT" && !r.authorization), "{requests:#?}");
        assert_eq!(attached(&world, &pushed).len(), 1);
        world
    };
    assert!(world.registry.requests().iter().skip(1).all(|request| request.authorization));
}

#[test]
fn a_next_page_on_another_site_is_not_asked() {
    let world = basic();
    let (_, _) = world.push_web();
    let (other, origin) = elsewhere(&world);
    let link = Action::SetHeader("link".to_owned(), format!("<{origin}{{path}}&x>; rel=\"next\""));
    world.registry.fault(Fault::new("/tags/list", link));
    let repository = world.repository("web");
    sign(&world, &repository).exits(4).says("another site");
    assert_eq!(other.requests().len(), 0);
    assert_nothing_public(&world);
}

#[test]
fn tokens_that_live_shorter_than_a_run_do_not_stop_it() {
    let world = bearer(|bearer| {
        bearer.expires_in = Some(1);
        bearer.lifetime = Duration::from_millis(400);
    });
    let (reference, pushed) = world.push_web();
    world.registry.delay_per_response(60);
    sign(&world, &reference).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
}
