//! Trust by TUF: fresh, stale, offline, and how it is set up, shown and carried away.

use helm_sigstore_kit::tuf::{Fault, Role};

use crate::support::World;
use crate::trust_support::{NAME, cache, init, much_later, private, repository, tomorrow};

#[test]
fn an_instance_of_ones_own_signs_and_verifies_end_to_end_and_warm_asks_nobody() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    world.verify(&[&reference]).exits(0);
    assert_eq!(tuf.take_requests(), Vec::<String>::new());
    let result = world.verdict(&[&reference]);
    assert_eq!(result["trust"]["source"], "instance kit");
    assert!(
        result["trust"]["age"].is_i64() && result["trust"]["expires"].is_string(),
        "{result:#}"
    );
}

#[test]
fn after_a_day_it_is_refreshed_with_two_requests() {
    let (mut world, tuf) = private();
    let (reference, _) = world.signed_web();
    world.clock = tomorrow;
    world.verify(&[&reference]).exits(0);
    assert_eq!(tuf.take_requests(), ["/2.root.json", "/timestamp.json"]);
    world.verify(&[&reference]).exits(0);
    assert_eq!(tuf.take_requests(), Vec::<String>::new());
}

#[test]
fn a_mirror_that_does_not_answer_is_lived_with_and_said_until_something_expires() {
    let (mut world, tuf) = private();
    let (reference, _) = world.signed_web();
    tuf.fault("/", Fault::Status);
    world.clock = tomorrow;
    world.verify(&[&reference]).exits(0).says("could not be refreshed");
    world.run(&["trust", "update"]).exits(4).says("503");
    world.clock = much_later;
    let ended = world.verify(&[&reference]).exits(4).says("expired").says("--trusted-root FILE");
    assert_eq!(ended.stdout, "");
    assert_eq!(world.verdict(&[&reference])["reason"], "trust-expired");
}

#[test]
fn a_first_run_without_a_mirror_is_undecided() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    std::fs::remove_file(cache(&world)).unwrap();
    tuf.fault("/", Fault::Status);
    let result = world.verdict(&[&reference]);
    assert_eq!(
        (&result["verdict"], &result["reason"]),
        (&"undecided".into(), &"trust-unusable".into())
    );
    assert_eq!(result["hint"], "--trusted-root FILE");
}

#[test]
fn offline_the_cache_counts_as_of_its_last_refresh_unless_that_is_too_old() {
    let (mut world, tuf) = private();
    let (reference, _) = world.signed_web();
    world.clock = much_later;
    let result = world.verdict(&[&reference, "--offline"]);
    assert_eq!(result["verdict"], "verified", "{result:#}");
    assert!(result["trust"]["age"].as_i64().unwrap() > 59 * 86_400);
    world.verify(&[&reference, "--offline"]).exits(0).says("trust of instance kit is 60 d old");
    let result = world.verdict(&[&reference, "--offline", "--max-trust-age", "720h"]);
    assert_eq!(result["reason"], "trust-expired");
    assert_eq!(tuf.take_requests(), Vec::<String>::new());
    std::fs::remove_file(cache(&world)).unwrap();
    assert_eq!(world.verdict(&[&reference, "--offline"])["reason"], "trust-unusable");
    assert_eq!(tuf.take_requests(), Vec::<String>::new());
}

#[test]
fn a_last_refresh_in_the_future_is_stale() {
    let (mut world, tuf) = private();
    let (reference, _) = world.signed_web();
    world.clock = tomorrow;
    world.run(&["trust", "update"]).exits(0);
    tuf.take_requests();
    world.clock = jiff::Timestamp::now;
    assert_eq!(world.verdict(&[&reference, "--offline"])["reason"], "trust-unusable");
    world.verify(&[&reference]).exits(0);
    assert_eq!(tuf.take_requests().len(), 2);
}

#[test]
fn an_age_limit_refreshes_what_could_else_be_used() {
    let (mut world, tuf) = private();
    let (reference, _) = world.signed_web();
    world.clock = || jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    world.verify(&[&reference, "--max-trust-age", "1h"]).exits(0);
    assert_eq!(tuf.take_requests().len(), 2);
    tuf.fault("/", Fault::Status);
    world.clock = || jiff::Timestamp::now() + jiff::SignedDuration::from_hours(5);
    assert_eq!(world.verdict(&[&reference, "--max-trust-age", "1h"])["verdict"], "undecided");
}

#[test]
fn a_rotated_root_is_followed_and_remembered() {
    let (mut world, mut tuf) = private();
    let (reference, _) = world.signed_web();
    tuf.next_root(true);
    tuf.next_root(false);
    tuf.next_root(true);
    world.clock = tomorrow;
    world.verify(&[&reference]).exits(0);
    assert!(tuf.take_requests().contains(&"/5.root.json".to_owned()));
    let shown = world.run(&["trust", "show", "-o", "json"]).exits(0).json();
    assert_eq!(shown["rootVersion"], 4);
    assert_eq!(tuf.take_requests(), Vec::<String>::new());
}

#[test]
fn a_new_trusted_root_replaces_the_old_one() {
    let (mut world, mut tuf) = private();
    let (reference, _) = world.signed_web();
    tuf.publish("trusted_root.json", &World::new().sigstore.trusted_root_json());
    world.verify(&[&reference]).exits(0);
    world.run(&["trust", "update"]).exits(0);
    assert_eq!(world.verdict(&[&reference])["reason"], "untrusted-instance");
    world.clock = tomorrow;
    tuf.publish("trusted_root.json", "nonsense");
    assert_eq!(world.verdict(&[&reference])["reason"], "trust-unusable");
}

#[test]
fn a_home_that_cannot_be_written_or_is_not_there_still_verifies() {
    let (mut world, tuf) = private();
    let (reference, _) = world.signed_web();
    let blocked = world.path("blocked");
    std::fs::write(&blocked, "no directory").unwrap();
    world.environment.insert("HELM_CACHE_HOME".to_owned(), blocked.display().to_string());
    world.verify(&[&reference]).exits(0).says("trust cache ");
    assert!(tuf.take_requests().len() >= 5);
    world.environment.insert("HELM_CONFIG_HOME".to_owned(), world.argument("home/.config/helm"));
    for name in ["HELM_CACHE_HOME", "HOME"] {
        world.environment.remove(name);
    }
    world.verify(&[&reference]).exits(0);
    assert!(tuf.take_requests().len() >= 5);
}

#[cfg(unix)]
#[test]
fn a_cache_that_is_a_link_is_not_followed() {
    let (world, _tuf) = private();
    let (reference, _) = world.signed_web();
    let trust = cache(&world).parent().unwrap().to_owned();
    let elsewhere = world.path("elsewhere");
    std::fs::rename(&trust, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &trust).unwrap();
    let before = std::fs::read(elsewhere.join("kit.json")).unwrap();
    world.verify(&[&reference]).exits(0).says("symbolic link");
    assert_eq!(std::fs::read(elsewhere.join("kit.json")).unwrap(), before);
    world.verify(&[&reference, "--offline"]).exits(4).says("symbolic link");
}

#[cfg(unix)]
#[test]
fn a_cache_that_is_a_pipe_is_not_waited_for() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    std::fs::remove_file(cache(&world)).unwrap();
    let made = std::process::Command::new("mkfifo").arg(cache(&world)).status().unwrap();
    assert!(made.success());
    world.verify(&[&reference, "--timeout", "20s"]).exits(0).says("it is no file");
    assert!(tuf.take_requests().len() >= 5);
    world.verify(&[&reference, "--offline", "--timeout", "20s"]).exits(4).says("it is no file");
}

#[test]
fn a_broken_cache_is_fetched_again() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    let whole = std::fs::read(cache(&world)).unwrap();
    for broken in [&b""[..], b"{}", b"\xff", &whole[..whole.len() / 2]] {
        std::fs::write(cache(&world), broken).unwrap();
        assert_eq!(world.verdict(&[&reference, "--offline"])["reason"], "trust-unusable");
        world.verify(&[&reference]).exits(0);
        assert!(tuf.take_requests().len() >= 5);
        world.verify(&[&reference, "--offline"]).exits(0);
    }
}

#[test]
fn processes_share_a_cache_without_breaking_it() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    let signer = world.signer();
    let mut words = vec!["verify".to_owned(), reference];
    words.extend(signer);
    let environment = &world.environment;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let code = helm_sigstore::cli::run(helm_sigstore::cli::Process {
                        arguments: vec!["trust".into(), "update".into()],
                        environment: helm_sigstore::cli::Environment::new(environment.clone()),
                        executable: String::new,
                        stdin: &mut std::io::empty(),
                        stdout: &mut std::io::sink(),
                        stderr: &mut std::io::sink(),
                        stdin_is_terminal: false,
                        stdout_is_terminal: false,
                        stderr_is_terminal: false,
                        clock: jiff::Timestamp::now,
                    });
                    assert_eq!(code, 0);
                }
            });
        }
    });
    tuf.take_requests();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    world.run(&words).exits(0);
    assert_eq!(tuf.take_requests(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(cache(&world).parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn what_is_exported_verifies_where_there_is_no_network() {
    let (world, tuf) = private();
    let (reference, _) = world.signed_web();
    let file = world.argument("exported.json");
    world.run(&["trust", "export", &file]).exits(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), world.sigstore.trusted_root_json());
    tuf.fault("/", Fault::Status);
    world.verify(&[&reference, "--trusted-root", &file]).exits(0);
    let printed = world.run(&["trust", "export", "--offline"]).exits(0);
    assert_eq!(printed.stdout, world.sigstore.trusted_root_json());
}

#[test]
fn show_says_what_is_trusted_from_where_and_until_when() {
    let (world, tuf) = private();
    let ended = world.run(&["trust", "show"]).exits(0);
    for words in
        ["Trusted: instance kit", "Mirror: ", "TUF root: 1", "Expires: ", "Transparency log: "]
    {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    let shown = world.run(&["trust", "show", "-o", "json"]).exits(0).json();
    assert_eq!(shown["mirror"], format!("{}/", tuf.url()));
    assert_eq!(shown["tlogs"].as_array().unwrap().len(), 2);
    let root = world.argument("trusted_root.json");
    world.run(&["trust", "show", "--trusted-root", &root]).exits(0).prints("Certificate log: ");
}

#[test]
fn an_instance_is_set_up_once_and_only_when_it_holds() {
    let (world, tuf) = private();
    init(&world, &tuf).exits(2).says("--force");
    let other = repository(&world);
    let root = world.argument("1.root.json");
    std::fs::write(&root, other.root()).unwrap();
    let words = ["trust", "init", NAME, "--mirror", &other.url(), "--root", &root, "--force"];
    world.run(&words).exits(0);
    // Its chain is the new one, and nothing of the old is left.
    assert_eq!(
        world.run(&["trust", "show", "-o", "json"]).json()["mirror"],
        format!("{}/", other.url())
    );
    // A root of somebody else does not start this mirror's chain.
    std::fs::write(&root, tuf.root()).unwrap();
    let words = ["trust", "init", "third", "--mirror", &other.url(), "--root", &root];
    world.run(&words).exits(4);
    world.run(&["trust", "show", "--instance", "third"]).exits(2).says("no such instance");
    std::fs::write(&root, "{}").unwrap();
    world.run(&words).exits(2).says("not a TUF root");
    for name in ["production", "../x", "a/b", "X"] {
        world.run(&["trust", "init", name, "--mirror", &other.url(), "--root", &root]).exits(2);
    }
}

#[test]
fn an_instance_without_a_signing_config_verifies_and_does_not_sign() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    let root = world.sigstore.trusted_root_json();
    let tuf = helm_sigstore_kit::tuf::Tuf::start(&[("trusted_root.json", root)]);
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    init(&world, &tuf).exits(0);
    world.verify(&[&reference, "--instance", NAME]).exits(0);
    world.run(&["sign", &reference, "--instance", NAME]).exits(2).says("no services to sign with");
}

#[test]
fn a_combined_trust_config_serves_as_both() {
    let mut world = World::new();
    let both = world.argument("trust_config.json");
    for name in ["HELM_SIGSTORE_TRUSTED_ROOT", "HELM_SIGSTORE_SIGNING_CONFIG"] {
        world.environment.insert(name.to_owned(), both.clone());
    }
    let (reference, _) = world.signed_web();
    world.verify(&[&reference]).exits(0);
}

#[test]
fn an_instance_in_the_arguments_is_used_in_place_of_files_in_the_environment() {
    let (mut world, tuf) = private();
    let (reference, _) = world.signed_web();
    world.environment.remove("HELM_SIGSTORE_INSTANCE");
    let nowhere = world.argument("absent.json");
    world.environment.insert("HELM_SIGSTORE_TRUSTED_ROOT".to_owned(), nowhere.clone());
    world.environment.insert("HELM_SIGSTORE_SIGNING_CONFIG".to_owned(), nowhere);
    world.verify(&[&reference]).exits(2);
    world.verify(&[&reference, "--instance", NAME]).exits(0);
    world.run(&["sign", &reference, "--instance", NAME]).exits(0);
    world.verify(&[&reference, "--instance", "absent"]).exits(2).says("no such instance");
    world
        .verify(&[&reference, "--instance", "github", "--offline"])
        .exits(4)
        .says("instance github");
    drop(tuf);
}

#[test]
fn a_role_that_has_expired_is_refused_whichever_it_is() {
    for role in [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp] {
        let (mut world, mut tuf) = private();
        let (reference, _) = world.signed_web();
        tuf.expire_in_days(role, -1);
        tuf.next_root(false);
        world.clock = tomorrow;
        let result = world.verdict(&[&reference]);
        assert_eq!(result["reason"], "trust-expired", "{role:?} {result:#}");
    }
}
