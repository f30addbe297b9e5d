//! What is printed, as those read it whom it is for.

use super::*;
use crate::verify::Constraint;

fn exact(identity: &str, issuer: &str) -> Identity {
    let matcher = |text: &str| Matcher::exact("--x", text).unwrap();
    Identity::new(matcher(identity), matcher(issuer))
}

fn trusting(identity: Identity) -> Trusted {
    Trusted::Identities(vec![identity])
}

fn about<'a>(repository: &'a str, trusted: &'a Trusted) -> Export<'a> {
    Export {
        repository,
        tag: Some("1.4.2"),
        digest: Digest::of(b"manifest"),
        trusted,
        private: None,
        plain_http: false,
        legacy: false,
    }
}

/// The documents of a configuration.
fn documents(text: &str) -> Vec<serde_json::Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

const WORKFLOW: &str =
    "https://github.com/acme/charts/.github/workflows/release.yml@refs/tags/v1.4.2";
const ACTIONS: &str = "https://token.actions.githubusercontent.com";

#[test]
fn flux_is_told_the_identity_as_anchored_patterns() {
    let trusted = trusting(exact(WORKFLOW, ACTIONS));
    let text = export(Consumer::Flux, &about("ghcr.io/acme/charts/web", &trusted)).unwrap();
    assert!(text.contains("passes what was signed for another chart"), "{text}");
    let documents = documents(&text);
    let spec = &documents[0]["spec"];
    assert_eq!(spec["url"], "oci://ghcr.io/acme/charts/web");
    let identity = &spec["verify"]["matchOIDCIdentity"][0];
    assert_eq!(
        identity["subject"],
        r"^https://github\.com/acme/charts/\.github/workflows/release\.yml@refs/tags/v1\.4\.2$"
    );
    assert_eq!(identity["issuer"], r"^https://token\.actions\.githubusercontent\.com$");
    let pattern = regex::Regex::new(identity["subject"].as_str().unwrap()).unwrap();
    assert!(pattern.is_match(WORKFLOW));
    assert!(!pattern.is_match(&format!("{WORKFLOW}-evil")));
    assert!(!pattern.is_match(&WORKFLOW.replace("github.com", "githubXcom")));
}

/// What holds of a signer beside name and issuer.
fn claiming(mut identity: Identity, claims: &[(Claim, &str)]) -> Identity {
    let value = |text: &str| Matcher::exact("--x", text).unwrap();
    let claims =
        claims.iter().map(|(claim, text)| Constraint { claim: *claim, value: value(text) });
    identity.constraints.extend(claims);
    identity
}

const ALL: [Consumer; 4] =
    [Consumer::Flux, Consumer::Kyverno, Consumer::PolicyController, Consumer::GithubActions];

#[test]
fn nothing_that_is_foreign_ends_its_value() {
    let hostile =
        "x\"\n  evil: true # ${{ secrets.TOKEN }} '$(id)'\u{7f}\u{9b}\u{202e}\u{2028}  evil: true";
    let identity = claiming(exact(hostile, hostile), &[(Claim::SourceRef, hostile)]);
    let trusted = trusting(identity);
    for consumer in ALL {
        let text = export(consumer, &about("ghcr.io/acme/web", &trusted)).unwrap();
        assert!(text.lines().all(|line| !line.starts_with("  evil: true")), "{text}");
        assert!(text.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{text:?}");
        assert!(text.contains("so not checked: source ref: x"), "{text}");
        documents(&text);
    }
    let text = export(Consumer::GithubActions, &about("ghcr.io/acme/web", &trusted)).unwrap();
    let code = text.lines().filter(|line| !line.starts_with('#'));
    assert!(!code.collect::<String>().contains("# ${{ secrets"), "{text}");
    let workflow = &documents(&text)[0];
    let step = &workflow["jobs"]["verify"]["steps"][1];
    assert!(!step["run"].as_str().unwrap().contains("evil"));
    let said = step["env"]["IDENTITY_1"].as_str().unwrap().replace("${{ '${{' }}", "${{");
    assert!(regex::Regex::new(&said).unwrap().is_match(hostile));
}

const CALLED: &str = "https://github.com/acme-ci/sign/.github/workflows/sign.yml@refs/tags/v1";
const SOURCE: &str = "https://github.com/acme/charts";

#[test]
fn a_workflow_that_others_call_is_trusted_only_where_the_source_is_compared() {
    let source = [(Claim::SourceRepository, SOURCE), (Claim::SourceRef, "refs/heads/main")];
    let called = claiming(exact(CALLED, ACTIONS), &source);
    let trusted = trusting(called.clone());
    for consumer in ALL {
        let error = export(consumer, &about("ghcr.io/acme/web", &trusted)).unwrap_err();
        assert!(error.what.ends_with("cannot tell the signer from others"), "{error}");
        assert!(error.to_string().contains(SOURCE), "{error}");
    }
    let old = [(Claim::WorkflowRepository, "acme/charts"), (Claim::WorkflowRef, "refs/heads/main")];
    let trusted = trusting(claiming(called.clone(), &old));
    for consumer in &ALL[..3] {
        assert!(export(*consumer, &about("ghcr.io/acme/web", &trusted)).is_err());
    }
    let text = export(Consumer::GithubActions, &about("ghcr.io/acme/web", &trusted)).unwrap();
    assert!(!text.contains("not checked"), "{text}");
    let step = &documents(&text)[0]["jobs"]["verify"]["steps"][1];
    assert_eq!(step["env"]["WORKFLOW_REPOSITORY_1"], "acme/charts");
    assert_eq!(step["env"]["WORKFLOW_REF_1"], "refs/heads/main");
    let script = step["run"].as_str().unwrap();
    for flag in [
        " --certificate-github-workflow-repository \"$WORKFLOW_REPOSITORY_1\" ",
        " --certificate-github-workflow-ref \"$WORKFLOW_REF_1\" ",
    ] {
        assert!(script.contains(flag), "{script}");
    }
    // Another repository's name stands for this one nowhere.
    let other = trusting(claiming(called, &[(Claim::WorkflowRepository, "eve/charts")]));
    assert!(export(Consumer::GithubActions, &about("ghcr.io/acme/web", &other)).is_err());
}

#[test]
fn a_named_reusable_workflow_is_refused_where_its_caller_is_not_compared() {
    let forge = crate::verify::Forge { host: "github.com".to_owned(), issuer: ACTIONS.to_owned() };
    let workflow = Some("acme-ci/sign/.github/workflows/sign.yml");
    let trusted = trusting(Identity::github("acme/charts", workflow, &forge).unwrap());
    for consumer in ALL {
        assert!(export(consumer, &about("ghcr.io/acme/web", &trusted)).is_err());
    }
}

#[test]
fn names_that_yaml_would_read_as_something_else_are_quoted() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n".to_owned();
    let trusted = Trusted::Key(pem);
    for chart in ["on", "null", "1e3", "0x1f", "true"] {
        let repository = format!("r.example/{chart}");
        let text = export(Consumer::Flux, &about(&repository, &trusted)).unwrap();
        // By the rules of YAML 1.1 too, which Kubernetes reads.
        assert!(text.contains(&format!("metadata:\n  name: \"{chart}\"\n")), "{text}");
        assert_eq!(documents(&text)[0]["metadata"]["name"], chart);
        for line in text.lines().filter(|line| line.trim_start().starts_with("name: ")) {
            assert!(line.ends_with('"'), "{line}");
        }
    }
}

#[test]
fn kyverno_judges_what_flux_would_install_or_refuses_the_object() {
    let trusted = trusting(exact("a", "b"));
    let text = export(Consumer::Kyverno, &about("GHCR.io:443/acme/web", &trusted)).unwrap();
    let spec = &documents(&text)[0]["spec"];
    let condition = spec["matchConditions"][0]["expression"].as_str().unwrap();
    assert_eq!(
        condition,
        "object.spec.url.lowerAscii() in [\"oci://ghcr.io/acme/web\", \"oci://ghcr.io:443/acme/web\"]"
    );
    // A range goes before a tag in Flux: nothing is looked up for it, and the first thing that is asked refuses it.
    let range = "has(object.spec.ref) && has(object.spec.ref.semver)";
    let images = spec["images"][0]["expression"].as_str().unwrap();
    assert!(images.starts_with(&format!("{range} ? [] : [")), "{images}");
    assert_eq!(spec["validations"][0]["expression"], format!("!({range})"));
    assert!(spec["validations"][0]["message"].as_str().unwrap().contains("semver"));
    assert!(text.contains("What a tag names may change after that"), "{text}");
    let hub = export(Consumer::Kyverno, &about("index.docker.io/acme/web", &trusted)).unwrap();
    assert!(hub.contains("\"oci://docker.io/acme/web\""), "{hub}");
    let other = export(Consumer::Kyverno, &about("r.example:5000/acme/web", &trusted)).unwrap();
    assert!(other.contains("in [\"oci://r.example:5000/acme/web\"]\n"), "{other}");
}

#[test]
fn a_pattern_that_go_reads_otherwise_is_exported_to_nobody() {
    let pattern = Matcher::pattern("--x", "https://x/[a-z--m]+").unwrap();
    let trusted = trusting(Identity::new(pattern, Matcher::exact("--x", ACTIONS).unwrap()));
    for consumer in ALL {
        let error = export(consumer, &about("ghcr.io/acme/web", &trusted)).unwrap_err();
        assert_eq!(error.what, "the pattern means something else in Go");
    }
}

#[test]
fn what_a_consumer_cannot_check_is_said() {
    let forge = crate::verify::Forge { host: "github.com".to_owned(), issuer: ACTIONS.to_owned() };
    let identity = Identity::github("acme/charts@refs/tags/*", None, &forge).unwrap();
    let trusted = trusting(identity);
    let text = export(Consumer::Flux, &about("ghcr.io/acme/web", &trusted)).unwrap();
    assert!(text.contains("# Not expressed here, and so not checked: source ref"), "{text}");
    assert!(
        text.contains("not checked: source repository: https://github.com/acme/charts"),
        "{text}"
    );
    assert!(text.contains("Whoever may run the build of this name"), "{text}");
    assert!(text.contains(r"^https://github\\.com/acme/charts/.*$"), "{text}");
}

#[test]
fn names_are_labels() {
    let trusted = trusting(exact("a", "b"));
    for (repository, name) in [
        ("r.example/charts/web", "web"),
        ("r.example/charts/My_Chart.x", "my-chart-x"),
        ("r.example/___", "chart"),
    ] {
        assert_eq!(about(repository, &trusted).name(), name);
    }
    let long = format!("r.example/{}", "a".repeat(200));
    assert!(about(&long, &trusted).name().len() <= MAX_NAME);
}

#[test]
fn a_key_is_carried_whole() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
    let trusted = Trusted::Key(pem.to_owned());
    let bundle = about("ghcr.io/acme/web", &trusted);
    assert!(export(Consumer::PolicyController, &bundle).is_err());
    let what = Export { legacy: true, ..bundle };
    let flux = export(Consumer::Flux, &what).unwrap();
    assert_eq!(documents(&flux)[1]["stringData"]["cosign.pub"], pem);
    for (consumer, pointer) in [
        (Consumer::Kyverno, "/spec/attestors/0/cosign/key/data"),
        (Consumer::PolicyController, "/spec/authorities/0/key/data"),
    ] {
        let text = export(consumer, &what).unwrap();
        assert_eq!(documents(&text)[0].pointer(pointer).unwrap(), pem, "{text}");
    }
}
