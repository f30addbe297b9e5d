//! Credentials that others stored: Helm's registry config, Docker's config, their helpers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helm_sigstore_kit::registry::{Auth, Bearer, Options};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;
use serde_json::{Value, json};

use crate::sign_support::{assert_hides, assert_nothing_public, lines};
use crate::support::World;

const PASSWORD: &str = "tr0ub4dor-3";

fn world(auth: Auth) -> (World, String) {
    let options = Options { auth, ..Options::default() };
    let world = World::with(options, SigstoreOptions::default());
    let (reference, _) = world.push_web();
    (world, reference)
}

fn basic() -> (World, String) {
    world(Auth::Basic { user: "jane".to_owned(), password: PASSWORD.to_owned() })
}

fn login(user: &str, password: &str) -> Value {
    json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
}

/// Writes a credentials file of the test's world; answers its path.
fn write(world: &World, name: &str, content: &Value) -> String {
    let path = world.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content.to_string()).unwrap();
    path.display().to_string()
}

fn auths(host: &str, login: &Value) -> Value {
    let mut auths = serde_json::Map::new();
    auths.insert(host.to_owned(), login.clone());
    json!({ "auths": auths })
}

#[test]
fn helms_registry_config_is_read_from_every_place_helm_looks() {
    let (mut world, reference) = basic();
    let config = auths(&world.registry.host(), &login("jane", PASSWORD));
    let by_flag = write(&world, "flag.json", &config);
    world.run(&["sign", &reference]).exits(4).says("no credentials");
    world.run(&["sign", &reference, "--registry-config", &by_flag]).exits(0);
    world.run(&["--registry-config", &by_flag, "sign", &reference]).exits(0);
    for (variable, name, value) in [
        ("HELM_REGISTRY_CONFIG", "variable.json", "variable.json"),
        ("HELM_CONFIG_HOME", "helmhome/registry/config.json", "helmhome"),
        ("XDG_CONFIG_HOME", "xdg/helm/registry/config.json", "xdg"),
    ] {
        write(&world, name, &config);
        let value = world.argument(value);
        world.environment.insert(variable.to_owned(), value);
        world.run(&["sign", &reference]).exits(0);
        world.environment.remove(variable);
    }
}

#[test]
fn dockers_config_is_read_where_docker_keeps_it() {
    let (mut world, reference) = basic();
    let config = auths(&world.registry.host(), &login("jane", PASSWORD));
    write(&world, "home/.docker/config.json", &config);
    world.run(&["sign", &reference]).exits(0);
    write(&world, "docker/config.json", &json!({}));
    world.environment.insert("DOCKER_CONFIG".into(), world.argument("docker"));
    world.run(&["sign", &reference]).exits(4).says("no credentials");
    write(&world, "docker/config.json", &config);
    world.run(&["sign", &reference]).exits(0);
}

#[test]
fn the_flags_go_before_helms_store_before_dockers() {
    let (mut world, reference) = basic();
    let host = world.registry.host();
    let good = auths(&host, &login("jane", PASSWORD));
    let bad = auths(&host, &login("jane", "wrong-horse"));
    let helm = write(&world, "helm.json", &bad);
    world.environment.insert("HELM_REGISTRY_CONFIG".into(), helm.clone());
    write(&world, "home/.docker/config.json", &good);
    // Helm's is wrong, and nobody goes on to Docker's with another identity.
    let ended = world.run(&["sign", &reference]).exits(4);
    assert_hides(&ended, "wrong-horse");
    ended.says(&format!("with the credentials of {helm}"));
    world.stdin = PASSWORD.as_bytes().to_vec();
    world.run(&["sign", &reference, "--username", "jane", "--password-stdin"]).exits(0);
    // Helm's says nothing of this host: then Docker's.
    write(&world, "helm.json", &auths("other.example", &login("joe", "x")));
    world.run(&["sign", &reference]).exits(0);
}

#[test]
fn wrong_stored_credentials_say_which_store_they_are_from() {
    let (world, reference) = world(Auth::Bearer(Bearer::new("jane", PASSWORD)));
    let bad = auths(&world.registry.host(), &login("jane", "wrong-horse"));
    let path = write(&world, "home/.docker/config.json", &bad);
    let ended = world.run(&["sign", &reference]).exits(4);
    assert_hides(&ended, "wrong-horse");
    ended.says("401").says(&format!("with the credentials of {path}"));
    assert_nothing_public(&world);
}

#[test]
fn credentials_of_another_host_or_port_are_not_sent() {
    let (world, reference) = basic();
    let port = world.registry.host().replace("127.0.0.1", "");
    let mut all = serde_json::Map::new();
    for other in ["127.0.0.1", &format!("localhost{port}"), "127.0.0.1:1", "docker.io"] {
        all.insert((*other).to_owned(), login("jane", PASSWORD));
    }
    write(&world, "home/.docker/config.json", &json!({ "auths": all }));
    world.run(&["sign", &reference]).exits(4).says("no credentials");
    assert!(world.registry.requests().iter().all(|request| !request.authorization));
}

#[test]
fn an_identity_token_is_exchanged_for_one_of_the_registry() {
    let refresh = "refresh-tr0ub4dor";
    let bearer = Bearer {
        refresh_token: Some(refresh.to_owned()),
        field: helm_sigstore_kit::registry::TokenField::AccessToken,
        ..Bearer::new("jane", PASSWORD)
    };
    let tokens = bearer.clone();
    let (world, reference) = world(Auth::Bearer(bearer));
    let host = world.registry.host();
    write(&world, "home/.docker/config.json", &auths(&host, &json!({"identitytoken": refresh})));
    let ended = world.run(&["sign", &reference]);
    assert_hides(&ended, refresh);
    let requests = world.registry.requests();
    let token: Vec<_> = requests.iter().filter(|request| request.is_token()).collect();
    let [token] = token.as_slice() else { panic!("{:#?}", lines(&world)) };
    assert_eq!((token.method.as_str(), token.path_and_query.as_str()), ("POST", "/token"));
    assert!(!token.authorization);
    // This registry gives a refreshed token what its user may do.
    ended.exits(0);
    drop(tokens);
}

#[test]
fn a_credentials_file_that_cannot_be_understood_is_named_and_not_quoted() {
    let (world, reference) = basic();
    let path = world.path("home/.docker/config.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for content in [
        "{\"auths\":{\"x\":{\"auth\":\"tr0ub4dor-3\"",
        "{\"auths\":\"tr0ub4dor-3\"}",
        "tr0ub4dor-3",
    ] {
        std::fs::write(&path, content).unwrap();
        let ended = world.run(&["sign", &reference]).exits(2);
        assert_hides(&ended, PASSWORD);
        ended.says("malformed credentials file").says(&path.display().to_string());
    }
    let host = world.registry.host();
    write(&world, "home/.docker/config.json", &auths(&host, &json!({"auth": "tr0ub4dor-3"})));
    let ended = world.run(&["sign", &reference]).exits(2);
    assert_hides(&ended, PASSWORD);
    ended.says("not base64 of USER:PASSWORD");
    assert_nothing_public(&world);
}

#[test]
fn a_credential_helper_that_is_not_installed_is_named() {
    let (world, reference) = basic();
    write(&world, "home/.docker/config.json", &json!({"credsStore": "kit-nowhere"}));
    let ended = world.run(&["sign", &reference]).exits(4);
    ended.says("docker-credential-kit-nowhere").says("is not in PATH");
    write(&world, "home/.docker/config.json", &json!({"credsStore": "../../bin/sh"}));
    world.run(&["sign", &reference]).exits(2).says("no name of a credential helper");
    assert_nothing_public(&world);
}

#[test]
fn nobody_reads_credentials_for_a_registry_that_wants_none() {
    let (world, reference) = world(Auth::None);
    let path = world.path("home/.docker/config.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "not even JSON").unwrap();
    world.run(&["sign", &reference]).exits(0);
}

/// Puts a credential helper into the test's `PATH`.
#[cfg(unix)]
fn install(world: &mut World, name: &str, script: &str) {
    let directory = world.path("bin");
    std::fs::create_dir_all(&directory).unwrap();
    let program = directory.join(format!("docker-credential-{name}"));
    helm_sigstore_kit::program::write(&program, script);
    world.environment.insert("PATH".into(), format!("relative:{}", directory.display()));
}

/// A helper that notes what it is asked for and knows `key`.
#[cfg(unix)]
fn knowing(world: &World, key: &str, password: &str) -> String {
    let asked = world.path("asked");
    format!(
        r#"read -r key; echo "$1 $key" >>{}
if [ "$key" = {key} ]; then echo '{{"ServerURL":"","Username":"jane","Secret":"{password}"}}'
else echo 'credentials not found in native keychain'; exit 1; fi"#,
        asked.display()
    )
}

#[cfg(unix)]
#[test]
fn a_credential_helper_is_asked_once_for_the_host_and_its_answer_is_used() {
    for field in ["credHelpers", "credsStore"] {
        let (mut world, reference) = basic();
        let host = world.registry.host();
        let script = knowing(&world, &host, PASSWORD);
        install(&mut world, "kit-1", &script);
        let config = match field {
            "credHelpers" => json!({field: {&host: "kit-1"}, "credsStore": "kit-nowhere"}),
            _ => json!({field: "kit-1"}),
        };
        write(&world, "home/.docker/config.json", &config);
        let other = world.push(&helm_sigstore_kit::chart::Chart::new("api", "1.4.2"));
        let other = format!("oci://{host}/{}:1.4.2", other.repository);
        let ended = world.run(&["sign", &reference, &other]).exits(0);
        assert_hides(&ended, PASSWORD);
        let asked = std::fs::read_to_string(world.path("asked")).unwrap();
        assert_eq!(asked, format!("get {host}\n"), "{field}");
    }
}

#[cfg(unix)]
#[test]
fn a_credential_helper_that_knows_nothing_leaves_it_to_the_next_store() {
    let (mut world, reference) = basic();
    let host = world.registry.host();
    let script = knowing(&world, "nobody", PASSWORD);
    install(&mut world, "kit", &script);
    write(&world, "home/.config/helm/registry/config.json", &json!({"credsStore": "kit"}));
    write(&world, "home/.docker/config.json", &auths(&host, &login("jane", PASSWORD)));
    world.run(&["sign", &reference]).exits(0);
}

#[cfg(unix)]
#[test]
fn a_credential_helper_that_fails_is_undecided_in_its_own_words_and_hides_what_it_printed() {
    for (script, words) in [
        (
            "echo $((1+1)); echo '{\"Secret\":\"tr0ub4dor-3\"}'; echo 'the keychain is locked' >&2; exit 1",
            "docker-credential-kit: failed: the keychain is locked",
        ),
        ("echo tr0ub4dor-3; exit 3", "docker-credential-kit: failed\n"),
        ("echo tr0ub4dor-3", "docker-credential-kit: answered something else than credentials"),
        ("printf '\\033[31mred\\n\\001' >&2; exit 1", "docker-credential-kit: failed: "),
        ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "wrote more than 65536 bytes"),
    ] {
        let (mut world, reference) = basic();
        install(&mut world, "kit", script);
        write(&world, "home/.docker/config.json", &json!({"credsStore": "kit"}));
        let ended = world.run(&["sign", &reference]).exits(4).says(words).says("config.json");
        assert_hides(&ended, PASSWORD);
        assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
        assert_nothing_public(&world);
    }
}

#[cfg(unix)]
#[test]
fn a_credential_helper_that_hangs_is_given_up_on() {
    let (mut world, reference) = basic();
    install(&mut world, "kit", "exec sleep 300");
    write(&world, "home/.docker/config.json", &json!({"credsStore": "kit"}));
    let started = std::time::Instant::now();
    world.run(&["sign", &reference]).exits(4).says("docker-credential-kit: no answer within 10 s");
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}

#[cfg(unix)]
#[test]
fn a_credential_helper_may_answer_with_an_identity_token() {
    let tokens =
        Bearer { refresh_token: Some("refresh-me".to_owned()), ..Bearer::new("jane", PASSWORD) };
    let (mut world, reference) = world(Auth::Bearer(tokens));
    let answer = r#"echo '{"ServerURL":"","Username":"<token>","Secret":"refresh-me"}'"#;
    install(&mut world, "kit", answer);
    write(&world, "home/.docker/config.json", &json!({"credsStore": "kit"}));
    let ended = world.run(&["verify", &reference]);
    assert_hides(&ended, "refresh-me");
    let requests = world.registry.requests();
    assert!(requests.iter().any(|r| r.method == "POST" && r.is_token()), "{:#?}", lines(&world));
}

#[test]
fn credentials_that_are_filed_under_a_path_are_for_what_lies_below_it() {
    for (keys, right) in [
        // The longest path that fits, then the host, then any other path, as Helm does.
        (&["{host}/charts", "{host}"][..], Some(0)),
        (&["{host}/charts/web", "{host}/charts"], Some(0)),
        (&["{host}", "{host}/other"], Some(0)),
        (&["https://{host}/v2/", "{host}/chart"], Some(0)),
        (&["{host}/other"], Some(0)),
        (&["localhost/{host}/charts"], None),
    ] {
        let (mut world, reference) = basic();
        let host = world.registry.host();
        let mut filed = serde_json::Map::new();
        for (at, key) in keys.iter().enumerate() {
            let password = if right == Some(at) { PASSWORD } else { "wrong" };
            filed.insert(key.replace("{host}", &host), login("jane", password));
        }
        let docker = write(&world, "home/.docker/config.json", &json!({ "auths": filed }));
        let code = if right.is_some() { 0 } else { 4 };
        world.run(&["sign", &reference]).exits(code);
        // Helm's own store has them too.
        std::fs::rename(&docker, world.path("helm.json")).unwrap();
        world.run(&["sign", &reference]).exits(4).says("no credentials");
        world.environment.insert("HELM_REGISTRY_CONFIG".into(), world.argument("helm.json"));
        world.run(&["sign", &reference]).exits(code);
    }
}
