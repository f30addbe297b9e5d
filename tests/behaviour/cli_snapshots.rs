//! What people read, word for word: every help and the words of every verdict, as files in `snapshots/`.
//!
//! `HELM_SIGSTORE_UPDATE_SNAPSHOTS=1 cargo test --test behaviour snapshots` writes them anew; the change is
//! then reviewed like any other.

use std::fmt::Write as _;
use std::path::Path;

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Options as RegistryOptions};
use helm_sigstore_kit::sigstore::{
    Fault as SigstoreFault, Identity, LogLie, Options, RekorVersion,
};
use regex::{Captures, Regex};

use crate::cli_support::verify_words;
use crate::key_support::{generate, with_key};
use crate::support::{Ended, WORKFLOW, World};
use crate::verify_craft::{package, write};

/// The same world, entered through Helm.
fn plugin(mut world: World) -> World {
    world.environment.insert("HELM_PLUGIN_NAME".to_owned(), "sigstore".to_owned());
    world
}

/// Compares one run with its snapshot.
#[track_caller]
fn snapshot(world: &World, name: &str, arguments: &[&str]) {
    let ended = world.run(arguments);
    let text = stable(world, &transcript(arguments, &ended));
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/behaviour/snapshots")
        .join(format!("{name}.txt"));
    if std::env::var_os("HELM_SIGSTORE_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{} differs; with HELM_SIGSTORE_UPDATE_SNAPSHOTS=1 it is written anew\n--- expected\n{expected}\n--- found\n{text}",
        path.display()
    );
}

/// The command as typed and what it left: both streams, one after the other, and the exit code.
fn transcript(arguments: &[&str], ended: &Ended) -> String {
    let words: Vec<_> =
        arguments
            .iter()
            .map(|word| {
                if word.contains([' ', '*', '(']) {
                    format!("'{word}'")
                } else {
                    (*word).to_owned()
                }
            })
            .collect();
    let mut text = format!("$ {}\n", format!("helm sigstore {}", words.join(" ")).trim_end());
    for (stream, content) in [("standard output", &ended.stdout), ("standard error", &ended.stderr)]
    {
        if !content.is_empty() {
            let _ = write!(text, "[{stream}]\n{content}");
        }
    }
    let _ = writeln!(text, "[exit {}]", ended.code);
    text
}

/// The same in every run: digests, ports, times, log indices and the test's directory are numbered in the
/// order of their appearance, so that it still shows which of them are the same.
fn stable(world: &World, text: &str) -> String {
    let text = text.replace(&world.directory().display().to_string(), "DIR");
    let text = number(&text, r"[0-9a-f]{64}", "HEX");
    let text = number(&text, r"(127\.0\.0\.1|localhost):[0-9]+", "HOST");
    let text = number(&text, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z", "TIME");
    Regex::new(r"index [0-9]+").unwrap().replace_all(&text, "index N").into_owned()
}

fn number(text: &str, pattern: &str, word: &str) -> String {
    let mut seen: Vec<String> = Vec::new();
    let replaced = Regex::new(pattern).unwrap().replace_all(text, |found: &Captures<'_>| {
        let at = seen.iter().position(|one| *one == found[0]).unwrap_or_else(|| {
            seen.push(found[0].to_owned());
            seen.len() - 1
        });
        format!("{word}{}", at + 1)
    });
    replaced.into_owned()
}

#[test]
fn every_help() {
    let world = plugin(World::new());
    snapshot(&world, "help", &["--help"]);
    snapshot(&world, "help_attest", &["attest", "--help"]);
    snapshot(&world, "help_completion", &["completion", "--help"]);
    snapshot(&world, "help_key", &["key", "--help"]);
    snapshot(&world, "help_key_generate", &["key", "generate", "--help"]);
    snapshot(&world, "help_push", &["push", "--help"]);
    snapshot(&world, "help_policy", &["policy", "--help"]);
    for command in ["init", "test"] {
        snapshot(&world, &format!("help_policy_{command}"), &["policy", command, "--help"]);
    }
    snapshot(&world, "help_rekor", &["rekor", "--help"]);
    for command in ["search", "upload", "verify"] {
        snapshot(&world, &format!("help_rekor_{command}"), &["rekor", command, "--help"]);
    }
    snapshot(&world, "help_sign", &["sign", "--help"]);
    snapshot(&world, "help_doctor", &["doctor", "--help"]);
    snapshot(&world, "help_tree", &["tree", "--help"]);
    snapshot(&world, "help_detach", &["detach", "--help"]);
    snapshot(&world, "help_policy", &["policy", "--help"]);
    snapshot(&world, "help_policy_export", &["policy", "export", "--help"]);
    snapshot(&world, "help_trust", &["trust", "--help"]);
    for command in ["init", "update", "show", "export"] {
        snapshot(&world, &format!("help_trust_{command}"), &["trust", command, "--help"]);
    }
    snapshot(&world, "help_verify", &["verify", "--help"]);
    snapshot(&world, "help_version", &["version", "--help"]);
}

#[test]
fn the_words_of_success() {
    let world = plugin(World::new());
    let chart = Chart::new("web", "1.4.2");
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    let (reference, _) = world.push_web();
    let bundle = world.argument("web.sigstore.json");
    let (signer, repository, target) = (world.signer(), world.repository("web"), world.target());
    snapshot(&world, "signed", &["sign", &reference]);
    snapshot(
        &world,
        "signed_by_file",
        &["sign", &file, "--repository", &target, "--bundle-out", &bundle],
    );
    snapshot(&world, "verified", &verify_words(&signer, &[&reference]));
    snapshot(&world, "verified_newest", &verify_words(&signer, &[&repository, "--version", "^1"]));
    snapshot(
        &world,
        "verified_by_file",
        &verify_words(&signer, &[&file, "--bundle", &bundle, "--offline"]),
    );
    let again = world.registry.push_chart_with("charts/web", &chart, |manifest| {
        manifest["annotations"]["org.opencontainers.image.created"] = "2020-01-01T00:00:00Z".into();
    });
    let again = format!("{repository}@{}", again.manifest_digest);
    snapshot(
        &world,
        "verified_chart_layer",
        &verify_words(&signer, &[&again, "--match", "chart-layer", "--bundle", &bundle]),
    );
}

#[test]
fn the_words_of_keys() {
    let world = plugin(with_key(World::new(), "cosign"));
    let (private, public) = (world.argument("cosign.key"), world.argument("cosign.pub"));
    generate(&world, "other");
    let other = world.argument("other.pub");
    let (reference, _) = world.push_web();
    let prefix = world.argument("cosign");
    snapshot(&world, "key_exists", &["key", "generate", "--output-key-prefix", &prefix]);
    let new = world.argument("new");
    snapshot(&world, "key_generated", &["key", "generate", "--output-key-prefix", &new]);
    snapshot(&world, "signed_key", &["sign", &reference, "--key", &private]);
    snapshot(&world, "verified_key", &["verify", &reference, "--key", &public]);
    snapshot(&world, "wrong_key", &["verify", &reference, "--key", &other]);
    let signer = world.signer();
    snapshot(&world, "wrong_signer_key", &verify_words(&signer, &[&reference]));
    snapshot(&world, "no_identity_key", &["verify", &reference]);
    let again = ["verify", &reference, "--key", &public, "--insecure-ignore-tlog"];
    snapshot(&world, "verified_key_unlogged", &again);
}

#[test]
fn the_words_of_policies() {
    let world = plugin(World::new());
    let (reference, _) = world.signed_web();
    let file = world.argument("policy.yaml");
    snapshot(&world, "policy_init", &["policy", "init", "--from", &reference, &file]);
    snapshot(&world, "policy_test", &["policy", "test", &reference, "--policy", &file]);
    snapshot(&world, "verified_policy", &["verify", &reference, "--policy", &file]);
    let other = world.repository("other");
    snapshot(&world, "policy_no_rule", &["verify", &other, "--policy", &file]);
    snapshot(&world, "policy_test_no_rule", &["policy", "test", &other, "--policy", &file]);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("acme/charts", "acme/others")).unwrap();
    snapshot(&world, "policy_wrong_signer", &["verify", &reference, "--policy", &file]);
    std::fs::write(&file, text.replace("any-of", "anyof")).unwrap();
    snapshot(&world, "policy_bad", &["verify", &reference, "--policy", &file]);
}

#[test]
fn the_words_of_a_log_without_times() {
    let options = Options { rekor: vec![RekorVersion::V2], ..Options::default() };
    let world = plugin(World::with(RegistryOptions::fallback(), options));
    let (reference, _) = world.push_web();
    snapshot(&world, "signed_rekor_v2", &["sign", &reference]);
    let signer = world.signer();
    snapshot(&world, "verified_rekor_v2", &verify_words(&signer, &[&reference]));
}

#[test]
fn the_words_of_refusals() {
    let world = plugin(World::new());
    let (reference, _) = world.signed_web();
    let issuer = world.signer()[3].clone();
    let stranger =
        ["--certificate-identity", "jane@example.com", "--certificate-oidc-issuer", &issuer];
    let mut words = vec!["verify", &reference];
    words.extend(stranger);
    snapshot(&world, "wrong_signer", &words);
    let bundle = world.argument("web.sigstore.json");
    let signer = world.signer();
    world.run(&verify_words(&signer, &[&reference, "--bundle-out", &bundle])).exits(0);
    let other = Chart::new("web", "1.4.2").description("tampered");
    let file = other.write_to(world.directory()).unwrap().display().to_string();
    snapshot(&world, "wrong_file", &verify_words(&signer, &[&file, "--bundle", &bundle]));
    let repushed = world.push(&other);
    let pinned = format!("{}@{}", world.repository("web"), repushed.manifest_digest);
    snapshot(&world, "not_covered", &verify_words(&signer, &[&pinned, "--bundle", &bundle]));
    let target = world.target();
    world.push(&Chart::new("web", "1.4.2"));
    snapshot(&world, "sign_another_file", &["sign", &file, "--repository", &target]);
}

#[test]
fn the_words_of_no_signature() {
    let world = plugin(World::with_fallback_registry());
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let (reference, _) = world.push_web();
    let signer = world.signer();
    snapshot(&world, "unsigned", &verify_words(&signer, &[&reference]));
    let file = file.display().to_string();
    snapshot(&world, "unsigned_file", &verify_words(&signer, &[&file]));
    let absent = format!("{}:9.9.9", world.repository("web"));
    snapshot(&world, "not_found", &verify_words(&signer, &[&absent]));
    let repository = world.repository("web");
    snapshot(
        &world,
        "no_matching_version",
        &verify_words(&signer, &[&repository, "--version", "^7"]),
    );
}

#[test]
fn the_words_of_what_stays_undecided() {
    let mut world = plugin(World::new());
    let (reference, _) = world.signed_web();
    let signer = world.signer();
    let throttle =
        || Fault::once("/manifests/1.4.2", Action::status_with(429, "Retry-After", "31"));
    world.registry.fault(throttle());
    snapshot(&world, "undecided", &verify_words(&signer, &[&reference]));
    world.registry.fault(throttle());
    snapshot(&world, "undecided_sign", &["sign", &reference]);
    world.environment.remove("HELM_SIGSTORE_PLAIN_HTTP");
    snapshot(&world, "undecided_plain_http", &verify_words(&signer, &[&reference]));
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    let offline = verify_words(&signer, &[&reference, "--offline"]);
    snapshot(&world, "undecided_no_trusted_root", &offline);
}

#[test]
fn the_words_of_a_signature_that_came_without_its_log_entry() {
    let world = plugin(World::new());
    let signer = world.signer();
    let chart = Chart::new("web", "1.4.2");
    let file = package(&world, &chart);
    let identity = Identity::github(WORKFLOW);
    let made = world.sigstore.sign_legacy(&identity, &chart.tgz(), false);
    let signature = write(&world, "web.sig", &made.signature);
    let certificate = write(&world, "web.pem", made.certificate.unwrap().as_bytes());
    let pieces = [&file, "--signature", &signature, "--certificate", &certificate];
    let words = |more: &[&'static str]| verify_words(&signer, &[&pieces[..], more].concat());
    snapshot(&world, "verified_blob", &words(&[]));
    snapshot(&world, "unlogged_offline", &words(&["--offline"]));
    snapshot(&world, "unlogged_undecided", &words(&["--rekor-server", "http://127.0.0.1:1"]));
    world.sigstore.set_fault(SigstoreFault::LogLies(LogLie::IndexOfAnother));
    snapshot(&world, "unlogged", &words(&[]));
}

#[test]
fn the_words_of_an_unstated_identity() {
    let world = plugin(World::new());
    let (reference, _) = world.signed_web();
    let root = world.argument("trusted_root.json");
    snapshot(&world, "no_identity", &["verify", &reference, "--trusted-root", &root]);
}

#[test]
fn the_words_of_bad_arguments() {
    let mut world = plugin(World::new());
    let directory = world.directory().display().to_string();
    let missing = world.argument("nosuch-1.0.0.tgz");
    for (name, words) in [
        ("usage_no_command", vec![]),
        ("usage_no_chart", vec!["verify"]),
        ("usage_misspelt", vec!["verify", "--trusted-rot", "embedded", "oci://a.example/web"]),
        ("usage_value", vec!["verify", "--output", "yaml", "oci://a.example/web"]),
        ("usage_reference", vec!["verify", "oci://a.example/Charts/web:1.4.2"]),
        ("usage_directory", vec!["verify", &directory]),
        ("usage_no_file", vec!["verify", &missing]),
        (
            "usage_half_identity",
            vec!["verify", "oci://a.example/web", "--certificate-identity", "x"],
        ),
        (
            "usage_expression",
            vec![
                "verify",
                "oci://a.example/web",
                "--certificate-identity-regexp",
                "(",
                "--certificate-oidc-issuer",
                "https://i.example",
            ],
        ),
    ] {
        snapshot(&world, name, &words);
    }
    world.environment.remove("SIGSTORE_ID_TOKEN");
    snapshot(&world, "usage_no_token", &["sign", "oci://a.example/web:1.4.2"]);
}

#[test]
fn the_words_of_several_charts() {
    let world = plugin(World::new());
    let (reference, _) = world.signed_web();
    world.push(&Chart::new("api", "0.1.0"));
    let other = format!("{}:0.1.0", world.repository("api"));
    let signer = world.signer();
    snapshot(&world, "several", &verify_words(&signer, &[&reference, &other, &reference]));
}

#[test]
fn the_words_of_listings_files_and_charts_that_are_signed_already() {
    let world = plugin(World::new());
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    let (reference, _) = world.push_web();
    snapshot(&world, "tree_nothing", &["tree", &reference]);
    snapshot(&world, "signed_beside", &["sign", &file]);
    snapshot(&world, "sign_bundle_exists", &["sign", &file]);
    let signer = world.signer();
    let mut words = vec!["sign", &file, "--skip-if-signed"];
    words.extend(signer.iter().map(String::as_str));
    snapshot(&world, "already_signed", &words);
    snapshot(&world, "usage_skip_whose", &["sign", &file, "--skip-if-signed"]);
}
