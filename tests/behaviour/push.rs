//! `push`: what `helm push` stores, byte for byte, and one step to sign it.

use std::sync::{Arc, Mutex};

use helm_sigstore_kit::chart::{CREATED, Chart, MODIFIED};
use helm_sigstore_kit::registry::{Action, Fault, digest_of};
use serde_json::Value;

use crate::sign_support::{asked, assert_nothing_public, lines, provenance, signature};
use crate::support::{Ended, World};

/// What the registry holds under a tag.
#[track_caller]
fn manifest(world: &World, name: &str, tag: &str) -> (String, String) {
    let (_, bytes) = world.registry.manifest(&format!("charts/{name}"), tag).unwrap();
    (String::from_utf8(bytes.to_vec()).unwrap(), digest_of(&bytes))
}

/// The time stands in the manifest as local time, as Helm writes it.
fn in_utc(manifest: &str) -> String {
    let value: Value = serde_json::from_str(manifest).unwrap();
    let created = value["annotations"]["org.opencontainers.image.created"].as_str().unwrap();
    let time: jiff::Timestamp = created.parse().unwrap();
    assert_eq!(time.as_second(), i64::try_from(MODIFIED).unwrap());
    manifest.replace(created, CREATED)
}

fn write(world: &World, chart: &Chart) -> String {
    chart.write_to(world.directory()).unwrap().display().to_string()
}

#[track_caller]
fn push(world: &World, file: &str, more: &[&str]) -> Ended {
    let target = world.target();
    let mut words = vec!["push", file, &target];
    words.extend(more);
    world.run(&words)
}

#[test]
fn push_stores_what_helm_push_stores_and_prints_its_two_lines() {
    let world = World::new();
    let plain = Chart::new("web", "1.4.2").description("a web server").annotation("a", "b");
    let chart = plain.clone().provenance(provenance(&plain, "x"));
    let file = write(&world, &chart);
    let ended = push(&world, &file, &[]).exits(0);
    let (text, digest) = manifest(&world, "web", "1.4.2");
    let expected =
        format!("Pushed: {}/charts/web:1.4.2\nDigest: {digest}\n", world.registry.host());
    assert_eq!((ended.stdout, ended.stderr), (expected, String::new()));

    // The kit's registry stores charts as Helm does.
    let other = World::new();
    other.push(&chart);
    assert_eq!(in_utc(&text), manifest(&other, "web", "1.4.2").0);
}

#[test]
fn the_whole_of_chart_yaml_goes_into_config_and_annotations_as_helm_writes_it() {
    let world = World::new();
    let yaml = "apiVersion: v2\nname: web\nversion: 1.4.2+b.5\nappVersion: 1.10\ntype: library\n\
        home: https://acme.example/?a=b&c\nicon: ''\nkubeVersion: \">=1.22.0-0\"\ndeprecated: true\n\
        description: >-\n  two\n  lines\nsources: [https://a.example, https://b.example]\n\
        keywords:\n- one\n- 2\n- no\n\
        annotations:\n  org.opencontainers.image.title: mine\n  org.opencontainers.image.url: u\n  \
        multi: |\n    - a\n    - b\n  num: 7\n  none:\n\
        maintainers:\n- name: Zoë\n  email: z@x\n- name: Bo\n  url: https://bo\n- email: e@x\n\
        dependencies:\n- name: db\n  version: ^1\n  repository: oci://r/x\n  condition: db.enabled\n  \
        tags: [back]\n  import-values:\n  - data\n  - parent: p\n    child: c\n  alias: d\n";
    let file = write(&world, &Chart::new("web", "1.4.2+b.5").chart_yaml(yaml));
    push(&world, &file, &[]).exits(0).prints(":1.4.2_b.5\n");
    let (text, _) = manifest(&world, "web", "1.4.2_b.5");
    let value: Value = serde_json::from_str(&text).unwrap();
    let config = value["config"]["digest"].as_str().unwrap();
    let config = world.registry.blob("charts/web", config).unwrap();
    assert_eq!(
        String::from_utf8(config.to_vec()).unwrap(),
        "{\"name\":\"web\",\"home\":\"https://acme.example/?a=b\\u0026c\",\
         \"sources\":[\"https://a.example\",\"https://b.example\"],\"version\":\"1.4.2+b.5\",\
         \"description\":\"two lines\",\"keywords\":[\"one\",\"2\",\"false\"],\
         \"maintainers\":[{\"name\":\"Zoë\",\"email\":\"z@x\"},{\"name\":\"Bo\",\"url\":\"https://bo\"},{\"email\":\"e@x\"}],\
         \"apiVersion\":\"v2\",\"appVersion\":\"1.1\",\"deprecated\":true,\
         \"annotations\":{\"multi\":\"- a\\n- b\\n\",\"none\":\"\",\"num\":\"7\",\
         \"org.opencontainers.image.title\":\"mine\",\"org.opencontainers.image.url\":\"u\"},\
         \"kubeVersion\":\"\\u003e=1.22.0-0\",\
         \"dependencies\":[{\"name\":\"db\",\"version\":\"^1\",\"repository\":\"oci://r/x\",\
         \"condition\":\"db.enabled\",\"tags\":[\"back\"],\
         \"import-values\":[\"data\",{\"child\":\"c\",\"parent\":\"p\"}],\"alias\":\"d\"}],\"type\":\"library\"}"
    );
    let annotations = &value["annotations"];
    assert_eq!(annotations["org.opencontainers.image.title"], "web");
    assert_eq!(annotations["org.opencontainers.image.url"], "u");
    assert_eq!(annotations["org.opencontainers.image.authors"], "Zoë (z@x), Bo,  (e@x)");
    assert_eq!(annotations["org.opencontainers.image.source"], "https://a.example");
    assert!(text.starts_with("{\"schemaVersion\":2,\"config\":{\"mediaType\":"), "{text}");
}

#[test]
fn what_helm_would_read_in_another_way_is_refused_before_anything_is_stored() {
    let world = World::new();
    for line in ["keywords: ['0777']", "appVersion: 1__0", "Home: x", "deprecated: 'yes'"] {
        let yaml = format!("apiVersion: v2\nname: web\nversion: 1.4.2\n{line}\n");
        let file = write(&world, &Chart::new("web", "1.4.2").chart_yaml(&yaml));
        push(&world, &file, &[]).exits(5).says("chart cannot be pushed as helm does");
    }
    assert!(lines(&world).iter().all(|line| line.starts_with("GET")), "{:?}", lines(&world));
}

#[test]
fn push_and_sign_is_one_step_and_signs_the_digest_that_was_pushed() {
    let world = World::new();
    let file = write(&world, &Chart::new("web", "1.4.2"));
    let ended = push(&world, &file, &["--sign"]).exits(0);
    let (_, digest) = manifest(&world, "web", "1.4.2");
    let host = world.registry.host();
    let reference = format!("oci://{host}/charts/web:1.4.2");
    let words: Vec<_> = ended.stdout.lines().take(3).collect();
    assert_eq!(
        words,
        [
            format!("Pushed: {host}/charts/web:1.4.2"),
            format!("Digest: {digest}"),
            format!("Signed: {reference}")
        ]
    );
    let verified = world.verdict(&[&reference]);
    assert_eq!(
        (&verified["verdict"], &verified["manifestDigest"]),
        (&"verified".into(), &digest.into())
    );
    // The world asks for bundles alone, by the variable.
    assert_eq!(asked(&world), (1, 1, 1));
}

#[test]
fn a_push_signs_in_the_formats_that_sign_would_make() {
    let mut world = World::new();
    let file = write(&world, &Chart::new("web", "1.4.2"));
    world.environment.remove("HELM_SIGSTORE_SIGNATURE_FORMAT");
    push(&world, &file, &["--sign"]).exits(0);
    // Without a word both: one certificate, and each is timestamped and logged.
    assert_eq!(asked(&world), (1, 2, 2));
    let formats = |more: &[&str]| {
        let mut words = vec!["--sign", "-o", "json"];
        words.extend(more);
        let result = push(&world, &file, &words).exits(0).json()["results"][0].clone();
        let made = result["signatures"].as_array().unwrap().iter();
        made.map(|one| one["format"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(formats(&[]), ["bundle", "legacy"]);
    assert_eq!(formats(&["--signature-format", "legacy"]), ["legacy"]);
    assert_eq!(formats(&["--signature-format", "bundle"]), ["bundle"]);
}

#[test]
fn a_push_says_of_the_chart_what_sign_would_and_keeps_the_bundle() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.push(&chart);
    let file = write(&world, &chart);
    let out = world.argument("out.json");
    push(&world, &file, &["--sign", "-a", "build=42", "--bundle-out", &out]).exits(0);
    let signature = signature(&world, &pushed);
    assert_eq!(signature.statement["subject"][0]["annotations"]["build"], "42");
    assert_eq!(std::fs::read(world.path("out.json")).unwrap(), signature.bundle_bytes);
    // Of several one file cannot hold all, which is known before any is pushed.
    let other = write(&world, &Chart::new("api", "2.0.0"));
    let target = world.target();
    world
        .run(&["push", &file, &other, &target, "--sign", "--bundle-out", &out])
        .exits(2)
        .says("several bundles need a directory");
    assert!(world.registry.manifest("charts/api", "2.0.0").is_none());
}

#[test]
fn a_push_of_what_is_signed_already_is_left_alone_on_request() {
    let world = World::new();
    let file = write(&world, &Chart::new("web", "1.4.2"));
    let signer = world.signer();
    let mut words = vec!["--sign", "--skip-if-signed"];
    words.extend(signer.iter().map(String::as_str));
    push(&world, &file, &words).exits(0).prints("\nSigned: ");
    push(&world, &file, &words).exits(0).prints("Already pushed: ").prints("\nAlready signed: ");
    assert_eq!(asked(&world), (1, 1, 1));
    push(&world, &file, &["--sign", "--skip-if-signed"])
        .exits(2)
        .says("nothing says whose signature suffices");
}

#[test]
fn a_flag_of_signing_means_nothing_where_nothing_is_signed() {
    let mut world = World::new();
    let file = write(&world, &Chart::new("web", "1.4.2"));
    for flags in [
        ["--signature-format", "bundle"].as_slice(),
        &["-a", "build=42"],
        &["--bundle-out", "out.json"],
        &["--skip-if-signed"],
        &["--email", "jane@acme.example"],
        &["--identity-token", "token.jwt"],
        &["--trusted-root", "embedded"],
        &["--signature-repository", "oci://r.example/signatures"],
        &["--yes"],
    ] {
        let ended = push(&world, &file, flags).exits(2).says("nothing is signed").says("--sign");
        assert!(ended.stdout.is_empty(), "{flags:?}");
    }
    assert!(world.registry.requests().is_empty());
    // What the environment sets is for whoever signs.
    world.environment.insert("HELM_SIGSTORE_KEY".to_owned(), world.argument("gone.key"));
    push(&world, &file, &[]).exits(0);
}

/// Provenance files that signing refuses, of the chart `web` 1.4.2.
fn wrong_provenance(chart: &Chart) -> [(String, &'static str); 3] {
    let right = provenance(chart, "x");
    let digest = digest_of(&chart.tgz());
    [
        (right.replace(&digest, &digest_of(b"other")), "it is of another chart"),
        (right.replace("web-1.4.2.tgz", "web-1.4.3.tgz"), "it is of another file"),
        ("not clear-signed".to_owned(), "provenance"),
    ]
}

#[test]
fn a_chart_is_not_pushed_to_be_signed_with_a_provenance_that_is_not_its_own() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let file = write(&world, &chart);
    for (prov, why) in wrong_provenance(&chart) {
        std::fs::write(format!("{file}.prov"), prov).unwrap();
        for more in [["--sign"].as_slice(), &["--sign", "--force"]] {
            let ended = push(&world, &file, more).exits(5).says(why).says("web-1.4.2.tgz.prov");
            assert!(!ended.stderr.contains("hint"), "{}", ended.stderr);
        }
    }
    assert!(world.registry.requests().is_empty(), "{:?}", lines(&world));
    assert_nothing_public(&world);
    // `helm push` looks at nothing.
    push(&world, &file, &[]).exits(0);
    assert_nothing_public(&world);
}

#[test]
fn a_provenance_file_that_somebody_else_put_beside_the_chart_is_not_signed_along() {
    let world = World::new();
    let plain = Chart::new("web", "1.4.2");
    let file = write(&world, &plain);
    let theirs = provenance(&plain, "theirs");
    let pushed = world.push(&plain.clone().provenance(theirs.clone()));
    let ours = provenance(&plain, "ours");
    for local in [None, Some(&ours)] {
        if let Some(prov) = local {
            std::fs::write(format!("{file}.prov"), prov).unwrap();
        }
        push(&world, &file, &["--sign"])
            .exits(5)
            .says("tag is taken")
            .says("another provenance file")
            .says(&digest_of(theirs.as_bytes()));
        assert_nothing_public(&world);
        assert_eq!(manifest(&world, "web", "1.4.2").1, pushed.manifest_digest);
    }
    push(&world, &file, &["--sign", "--force"]).exits(0);
    assert_ne!(manifest(&world, "web", "1.4.2").1, pushed.manifest_digest);
    // Now they are the same, and the chart is only signed.
    push(&world, &file, &["--sign"]).exits(0).prints("Already pushed: ");
}

#[test]
fn of_a_tag_that_is_kept_the_provenance_is_that_of_the_registry() {
    let world = World::new();
    let plain = Chart::new("web", "1.4.2");
    let theirs = provenance(&plain, "theirs");
    let file = write(&world, &plain);
    let kept = |warned: bool| {
        let ended = push(&world, &file, &["-o", "json"]).exits(0);
        let warning = ".prov is not what the registry holds of this chart: --force pushes it";
        assert_eq!(ended.stderr.contains(warning), warned, "{}", ended.stderr);
        let result = ended.json()["results"][0].clone();
        assert_eq!(result["pushed"], false);
        result["provDigest"].clone()
    };
    let local = |prov: &str| std::fs::write(format!("{file}.prov"), prov).unwrap();

    world.push(&plain);
    assert_eq!(kept(false), Value::Null);
    local(&theirs);
    assert_eq!(kept(true), Value::Null);
    world.push(&plain.clone().provenance(theirs.clone()));
    assert_eq!(kept(false), digest_of(theirs.as_bytes()));
    local(&provenance(&plain, "ours"));
    assert_eq!(kept(true), digest_of(theirs.as_bytes()));
    std::fs::remove_file(format!("{file}.prov")).unwrap();
    assert_eq!(kept(false), digest_of(theirs.as_bytes()));

    let ours = provenance(&plain, "ours");
    local(&ours);
    let document = push(&world, &file, &["-o", "json", "--force"]).exits(0).json();
    assert_eq!(document["results"][0]["provDigest"], digest_of(ours.as_bytes()));
}

#[test]
fn a_tag_that_holds_the_same_chart_is_only_signed() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.push(&chart);
    let file = write(&world, &chart);
    // Another time of the file makes another manifest, of the same chart.
    let opened = std::fs::File::options().append(true).open(&file).unwrap();
    opened.set_modified(std::time::SystemTime::now()).unwrap();
    let ended = push(&world, &file, &["--sign", "-o", "json"]).exits(0);
    let result = ended.json()["results"][0].clone();
    assert_eq!(result["pushed"], false);
    assert_eq!(result["verdict"], "signed");
    assert_eq!(result["manifestDigest"], pushed.manifest_digest.as_str());
    assert_eq!(manifest(&world, "web", "1.4.2").1, pushed.manifest_digest);
    world.verify(&[&format!("{}:1.4.2", world.repository("web"))]).exits(0);
    push(&world, &file, &[]).exits(0).prints("Already pushed: ");
}

#[test]
fn a_tag_that_holds_something_else_is_moved_only_by_force() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.2"));
    let file = write(&world, &Chart::new("web", "1.4.2").file("NOTES.txt", "other"));
    push(&world, &file, &["--sign"]).exits(5).says("error: tag is taken").says("--force");
    assert_eq!(manifest(&world, "web", "1.4.2").1, pushed.manifest_digest);
    assert_nothing_public(&world);
    push(&world, &file, &["--sign", "--force"]).exits(0).prints("Pushed: ");
    assert_ne!(manifest(&world, "web", "1.4.2").1, pushed.manifest_digest);
    world.verify(&[&format!("{}:1.4.2", world.repository("web"))]).exits(0);
}

#[test]
fn what_cannot_be_signed_is_not_pushed() {
    let mut world = World::new();
    world.environment.remove("SIGSTORE_ID_TOKEN");
    let file = write(&world, &Chart::new("web", "1.4.2"));
    push(&world, &file, &["--sign"]).exits(2);
    assert!(world.registry.manifest("charts/web", "1.4.2").is_none());
}

#[test]
fn several_charts_go_to_one_target_and_one_that_fails_keeps_none_of_the_others_away() {
    let world = World::new();
    let [web, api] = ["web", "api"].map(|name| write(&world, &Chart::new(name, "1.0.0")));
    let gone = world.argument("gone-1.0.0.tgz");
    let target = world.target();
    let ended = world.run(&["push", &web, &gone, &api, &target, "--sign"]).exits(2);
    assert_eq!(ended.stdout.matches("Pushed: ").count(), 2);
    assert_eq!(asked(&world).0, 1);
    world.verify(&[&format!("{}:1.0.0", world.repository("api"))]).exits(0);
}

#[test]
fn the_outputs_of_github_actions_name_what_was_pushed() {
    let mut world = World::new();
    let files = ["web", "api"].map(|name| write(&world, &Chart::new(name, "1.0.0")));
    push(&world, &files[0], &["--github-output"]).exits(2).says("GITHUB_OUTPUT is not set");
    assert!(world.registry.manifest("charts/web", "1.0.0").is_none());

    world.environment.insert("GITHUB_OUTPUT".to_owned(), world.argument("outputs"));
    std::fs::write(world.path("outputs"), "before=1\n").unwrap();
    push(&world, &files[0], &["--github-output"]).exits(0);
    let (_, digest) = manifest(&world, "web", "1.0.0");
    let repository = world.repository("web");
    assert_eq!(
        std::fs::read_to_string(world.path("outputs")).unwrap(),
        format!(
            "before=1\ndigest={digest}\nref={repository}:1.0.0\ndigest-ref={repository}@{digest}\n"
        )
    );

    std::fs::remove_file(world.path("outputs")).unwrap();
    let target = world.target();
    world.run(&["push", &files[0], &files[1], &target, "--github-output"]).exits(0);
    let (_, other) = manifest(&world, "api", "1.0.0");
    let text = std::fs::read_to_string(world.path("outputs")).unwrap();
    // Each chart is told of when it ends, and all of them in order at last: of two outputs of one name the later counts.
    let all = format!("digest<<END_OF_digest\n{digest}\n{other}\nEND_OF_digest\n");
    assert!(text.contains(&all) && text.rfind("digest<<") == text.rfind(&all), "{text}");
    assert!(text.starts_with("digest="), "{text}");
}

#[test]
fn nothing_is_pushed_that_could_not_be_told_of() {
    let mut world = World::new();
    let file = write(&world, &Chart::new("web", "1.0.0"));
    // A directory cannot be written, whoever asks.
    world.environment.insert("GITHUB_OUTPUT".to_owned(), world.argument("."));
    push(&world, &file, &["--github-output"]).exits(2).says("cannot write outputs");
    assert!(world.registry.requests().is_empty());
    push(&world, &file, &["--github-output", "--sign"]).exits(2).says("cannot write outputs");
    assert!(world.registry.requests().is_empty());
    assert_nothing_public(&world);
}

#[test]
fn a_chart_is_told_of_when_it_ends_and_not_when_all_have_ended() {
    let mut world = World::new();
    let files = ["web", "api"].map(|name| write(&world, &Chart::new(name, "1.0.0")));
    world.environment.insert("GITHUB_OUTPUT".to_owned(), world.argument("outputs"));
    let (seen, outputs) = (Arc::new(Mutex::new(String::new())), world.path("outputs"));
    let last = Arc::clone(&seen);
    world.registry.fault(Fault::new("/charts/api/", Action::Delay(300)));
    let reads = Action::run(move |_| {
        *last.lock().unwrap() = std::fs::read_to_string(&outputs).unwrap_or_default();
    });
    world.registry.fault(Fault::new("/charts/api/manifests/", reads).method("PUT"));
    let target = world.target();
    world.run(&["push", &files[0], &files[1], &target, "--github-output"]).exits(0);
    let seen = seen.lock().unwrap();
    assert!(seen.contains(&format!("ref={}:1.0.0\n", world.repository("web"))), "{seen}");
}

#[test]
fn a_target_is_needed_and_comes_last() {
    let world = World::new();
    let file = write(&world, &Chart::new("web", "1.4.2"));
    world.run(&["push", &file]).exits(2);
    world.run(&["push", &file, "r.io/charts"]).exits(2).says("the target comes last");
    world.run(&["push", &file, "oci://r.io/charts:1"]).exits(2);
    push(&world, &file, &["--key", "cosign.key"]).exits(2).says("--sign");
    push(&world, &world.directory().display().to_string(), &[])
        .exits(2)
        .says("this is a directory");
}

#[test]
fn what_helm_push_printed_is_signed_from_standard_input() {
    let mut world = World::new();
    let web = world.push(&Chart::new("web", "1.4.2+b"));
    let api = world.push(&Chart::new("api", "2.0.0"));
    let host = world.registry.host();
    world.stdin = format!(
        "level=WARN msg=\"old\u{1b}[2J\"\nPushed: {host}/charts/web:1.4.2_b\nDigest: {}\n\
         Pushed: {host}/charts/api:2.0.0\nDigest: {}\n",
        web.manifest_digest, api.manifest_digest
    )
    .into_bytes();
    let ended = world.run(&["sign", "-"]).exits(0).says("level=WARN msg=\"old\\u{1b}[2J\"\n");
    assert_eq!(ended.stdout.matches("Signed: ").count(), 2);
    world.verify(&[&format!("{}:2.0.0", world.repository("api"))]).exits(0);
    world.verify(&[&format!("{}:1.4.2_b", world.repository("web"))]).exits(0);
}

#[test]
fn the_digest_is_signed_that_was_printed_although_the_tag_moved() {
    let mut world = World::new();
    let first = world.push(&Chart::new("web", "1.4.2"));
    let second = world.push(&Chart::new("web", "1.4.2").file("NOTES.txt", "other"));
    let host = world.registry.host();
    world.stdin = format!("Pushed: {host}/charts/web:1.4.2\nDigest: {}\n", first.manifest_digest)
        .into_bytes();
    world.run(&["sign", "-"]).exits(0);
    let repository = world.repository("web");
    world.verify(&[&format!("{repository}@{}", first.manifest_digest)]).exits(0);
    world.verify(&[&format!("{repository}@{}", second.manifest_digest)]).exits(3);
}

#[test]
fn nothing_or_half_of_a_pair_on_standard_input_signs_nothing() {
    let mut world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.2"));
    let host = world.registry.host();
    let pair = format!("Pushed: {host}/charts/web:1.4.2\nDigest: {}\n", pushed.manifest_digest);
    for text in [
        String::new(),
        "Error: unauthorized\n".to_owned(),
        format!("{pair}Pushed: {host}/charts/api:1\n"),
        format!("{pair}Digest: {}\n", pushed.manifest_digest),
    ] {
        world.stdin = text.into_bytes();
        world.run(&["sign", "-"]).exits(2);
    }
    world.stdin = pair.into_bytes();
    world.run(&["sign", "-", "--repository", "oci://r.io/x"]).exits(2);
    world.run(&["sign", "-", "--identity-token", "-"]).exits(2).says("only once");
    assert_nothing_public(&world);
}
