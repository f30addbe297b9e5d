//! `policy export`: what others are told so that they verify a chart as we do.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::{Identity, IssuerKind};
use regex::Regex;
use serde_json::Value;

use crate::identity_forges::{reusing, signed_by};
use crate::key_support;
use crate::legacy_support;
use crate::support::{Ended, WORKFLOW, World};
use crate::trust_support;

/// The documents of what was printed.
#[track_caller]
fn documents(ended: &Ended) -> Vec<Value> {
    let documents = ended.stdout.split("\n---\n");
    documents.map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

#[test]
fn flux_is_given_the_signer_of_the_chart_and_nobody_who_looks_like_him() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let ended = world.run(&["policy", "export", "flux", &reference]).exits(0);
    let [source, secret] = &documents(&ended)[..] else { panic!("{}", ended.stdout) };
    assert_eq!(source["kind"], "OCIRepository");
    assert_eq!(source["spec"]["url"], world.repository("web"));
    assert_eq!(source["spec"]["ref"]["tag"], "1.4.2");
    let identity = &source["spec"]["verify"]["matchOIDCIdentity"][0];
    let subject = Regex::new(identity["subject"].as_str().unwrap()).unwrap();
    let signer = format!("https://github.com/{WORKFLOW}");
    assert!(subject.is_match(&signer));
    for alike in [
        format!("{signer}-evil"),
        format!("https://evil.example/?{signer}"),
        signer.replace("github.com", "github-com"),
    ] {
        assert!(!subject.is_match(&alike), "{alike}");
    }
    // The Sigstore is a private one: its root goes with it.
    assert_eq!(
        source["spec"]["verify"]["trustedRootSecretRef"]["name"],
        secret["metadata"]["name"]
    );
    let root: Value =
        serde_json::from_str(secret["stringData"]["trusted_root.json"].as_str().unwrap()).unwrap();
    let expected: Value = serde_json::from_str(&world.sigstore.trusted_root_json()).unwrap();
    assert_eq!(root, expected);
}

#[test]
fn the_flags_of_verify_say_whom_a_consumer_shall_trust() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let issuer = world.signer()[3].clone();
    let ended = world
        .run(&[
            "policy",
            "export",
            "kyverno",
            &reference,
            "--certificate-identity-regexp",
            "https://github\\.com/acme/charts/.*",
            "--certificate-oidc-issuer",
            &issuer,
        ])
        .exits(0);
    let policy = &documents(&ended)[0];
    let identity = &policy["spec"]["attestors"][0]["cosign"]["keyless"]["identities"][0];
    assert_eq!(identity["subjectRegExp"], "^(?:https://github\\.com/acme/charts/.*)$");
    assert_eq!(identity["issuer"], issuer);
}

#[test]
fn nothing_is_exported_that_the_chart_itself_would_not_pass() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let ended = world.run(&["policy", "export", "flux", &reference]).exits(3);
    assert_eq!(ended.stdout, "");
    world.run(&["sign", &reference]).exits(0);
    let issuer = world.signer()[3].clone();
    let ended = world
        .run(&[
            "policy",
            "export",
            "github-actions",
            &reference,
            "--certificate-identity",
            "mallory@example.com",
            "--certificate-oidc-issuer",
            &issuer,
        ])
        .exits(5)
        .says("wrong signer");
    assert_eq!(ended.stdout, "");
}

#[test]
fn where_several_have_signed_one_has_to_be_named() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    let token = world.sigstore.token(&Identity::email("jane@example.com"));
    world.environment.insert("SIGSTORE_ID_TOKEN".to_owned(), token);
    world.run(&["sign", &reference]).exits(0);
    world
        .run(&["policy", "export", "flux", &reference])
        .exits(2)
        .says("several have signed")
        .says("jane@example.com");
    let signer = world.signer();
    let mut words = vec!["policy", "export", "flux", &reference];
    words.extend(signer.iter().map(String::as_str));
    let ended = world.run(&words).exits(0);
    assert!(!ended.stdout.contains("jane"), "{}", ended.stdout);
}

#[test]
fn a_workflow_that_others_call_is_exported_to_those_alone_who_compare_the_source() {
    let (world, reference) = signed_by(&reusing());
    let issuer = world.sigstore.issuer_url(IssuerKind::GitHub);
    let workflow = "acme/ci/.github/workflows/sign.yml";
    let named =
        ["--github", "acme/charts", "--signer-workflow", workflow, "--github-issuer", &issuer];
    for consumer in ["flux", "kyverno", "policy-controller"] {
        for flags in [&[][..], &named] {
            let words = [&["policy", "export", consumer, &reference][..], flags].concat();
            let ended = world
                .run(&words)
                .exits(2)
                .says("cannot tell the signer from others")
                .says("https://github.com/acme/charts");
            assert_eq!(ended.stdout, "");
        }
    }
    for (flags, exact) in [(&[][..], true), (&named, false)] {
        let words = [&["policy", "export", "github-actions", &reference][..], flags].concat();
        let step = verify_step(&world.run(&words).exits(0));
        assert_eq!(step["env"]["WORKFLOW_REPOSITORY_1"], "acme/charts");
        assert_eq!(step["env"]["WORKFLOW_REF_1"] == "refs/heads/main", exact, "{step:#}");
    }
}

#[test]
fn whom_nobody_named_is_trusted_on_first_use_and_that_is_said() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let words = ["policy", "export", "flux", &reference];
    world.run(&words).exits(0).says("trust on first use");
    let signer = world.signer();
    let words: Vec<_> = words.into_iter().chain(signer.iter().map(String::as_str)).collect();
    let ended = world.run(&words).exits(0);
    assert_eq!(ended.stderr, "");
}

/// The step of an exported workflow that verifies.
fn verify_step(ended: &Ended) -> Value {
    documents(ended)[0]["jobs"]["verify"]["steps"][1].clone()
}

/// What `step` answers where cosign resolves the tag to `resolved`, and with what it was told to verify.
#[cfg(unix)]
fn stepped(world: &World, step: &Value, resolved: &str) -> (bool, String, String) {
    use std::os::unix::fs::PermissionsExt as _;
    let cosign = world.path("cosign");
    // What it prints of a signature names the statement's first subject, which need not be the chart.
    let program = "#!/usr/bin/env bash\n\
         case $1 in\n\
         triangulate) echo \"$RESOLVED\" ;;\n\
         verify) echo \"${@: -1}\" >> \"$ASKED\"\n\
           echo '[{\"critical\":{\"image\":{\"docker-manifest-digest\":\"sha256:0f\"}}}]' ;;\n\
         esac\n";
    std::fs::write(&cosign, program).unwrap();
    std::fs::set_permissions(&cosign, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (output, asked) = (world.path("output"), world.path("asked"));
    for file in [&output, &asked] {
        std::fs::write(file, "").unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let mut bash = std::process::Command::new("bash");
    bash.args(["-eo", "pipefail", "-c", step["run"].as_str().unwrap()])
        .env("PATH", format!("{}:{path}", world.directory().display()))
        .env("RUNNER_TEMP", world.directory())
        .env("GITHUB_OUTPUT", &output)
        .env("ASKED", &asked)
        .env("RESOLVED", resolved);
    for (name, value) in step["env"].as_object().unwrap() {
        bash.env(name, value.as_str().unwrap());
    }
    let passed = bash.output().unwrap().status.success();
    let read = |file| std::fs::read_to_string(file).unwrap();
    (passed, read(&output), read(&asked))
}

#[cfg(unix)]
#[test]
fn the_workflow_answers_the_very_digest_that_cosign_verified() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let by_digest = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    for reference in [reference, by_digest] {
        let step =
            verify_step(&world.run(&["policy", "export", "github-actions", &reference]).exits(0));
        let image = format!("{}/charts/web@{}", world.registry.host(), pushed.manifest_digest);
        let (passed, output, asked) = stepped(&world, &step, &image);
        assert!(passed);
        assert_eq!(output, format!("digest-ref=oci://{image}\n"));
        assert_eq!(asked, format!("{image}\n"));
        for resolved in
            ["", "r.example/web@sha256:0f", &format!("{image}\nx=y"), &image.to_uppercase()]
        {
            let (passed, output, asked) = stepped(&world, &step, resolved);
            assert!(!passed && output.is_empty() && asked.is_empty(), "{resolved}: {output}");
        }
    }
}

#[test]
fn a_key_is_named_because_a_signature_does_not_hold_it() {
    let world = key_support::with_key(World::new(), "release");
    let (reference, _) = key_support::signed(&world, &[]);
    world.run(&["policy", "export", "flux", &reference]).exits(2).says("--key");
    let key = world.argument("release.pub");
    let ended = world.run(&["policy", "export", "policy-controller", &reference, "--key", &key]);
    // Bundles by keys or of private instances without TUF are not for it.
    let ended = ended.exits(2).says("policy-controller");
    assert_eq!(ended.stdout, "");
    let ended = world.run(&["policy", "export", "kyverno", &reference, "--key", &key]).exits(0);
    let pem = std::fs::read_to_string(&key).unwrap();
    assert_eq!(documents(&ended)[0]["spec"]["attestors"][0]["cosign"]["key"]["data"], pem);
}

#[test]
fn policy_controller_is_given_the_older_format_where_a_good_signature_has_it_also_behind_a_bundle()
{
    let world = key_support::with_key(World::new(), "release");
    let key = world.argument("release.pub");
    let (reference, pushed) = key_support::signed(&world, &["--signature-format", "bundle"]);
    let words = ["policy", "export", "policy-controller", &reference, "--key", &key];
    // Somebody else's signature in the older format changes nothing.
    let mallory = legacy_support::legacy_as(
        &world,
        "mallory/charts/.github/workflows/x.yml@refs/heads/main",
        &legacy_support::payload(&pushed),
    );
    legacy_support::tag_legacy(&world, &pushed, &[mallory]);
    world.run(&words).exits(2).says("no bundles by a key");
    key_support::sign(&world, &reference, &["--signature-format", "both", "--force"]).exits(0);
    let ended = world.run(&words).exits(0);
    let [_, policy] = &documents(&ended)[..] else { panic!("{}", ended.stdout) };
    assert_eq!(policy["spec"]["authorities"][0]["signatureFormat"], Value::Null);
}

#[test]
fn an_instance_is_passed_on_with_its_tuf_repository() {
    let (world, tuf) = trust_support::private();
    let (reference, _) = world.signed_web();
    let ended = world.run(&["policy", "export", "kyverno", &reference]).exits(0);
    let cosign = &documents(&ended)[0]["spec"]["attestors"][0]["cosign"];
    assert_eq!(cosign["tuf"]["mirror"], tuf.url().trim_end_matches('/'));
    let ended = world.run(&["policy", "export", "policy-controller", &reference]).exits(0);
    let [root, policy] = &documents(&ended)[..] else { panic!("{}", ended.stdout) };
    assert_eq!(root["kind"], "TrustRoot");
    assert_eq!(root["spec"]["remote"]["mirror"], tuf.url().trim_end_matches('/'));
    let authority = &policy["spec"]["authorities"][0];
    assert_eq!(authority["keyless"]["trustRootRef"], root["metadata"]["name"]);
    assert_eq!(authority["signatureFormat"], "bundle");
    // With a root from TUF it takes no signature in the older format: where there is no other, keys one by one.
    world.push(&Chart::new("api", "1.4.2"));
    let reference = format!("{}:1.4.2", world.repository("api"));
    world.run(&["sign", &reference, "--signature-format", "legacy"]).exits(0);
    let ended = world.run(&["policy", "export", "policy-controller", &reference]).exits(0);
    let [root, policy] = &documents(&ended)[..] else { panic!("{}", ended.stdout) };
    assert!(root["spec"]["sigstoreKeys"]["tLogs"][0]["publicKey"].is_string(), "{root:#}");
    assert_eq!(root["spec"]["remote"], Value::Null);
    assert_eq!(policy["spec"]["authorities"][0]["signatureFormat"], Value::Null);
}

#[test]
fn a_renamed_reference_or_a_file_is_no_subject_of_a_policy() {
    let world = World::new();
    let file = world.argument("web-1.4.2.tgz");
    std::fs::write(&file, "no chart").unwrap();
    world.run(&["policy", "export", "flux", &file]).exits(2).says("for references");
    world.run(&["policy", "export", "argo", "oci://r.example/web:1"]).exits(2).says("flux");
}
