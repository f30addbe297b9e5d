//! Which manifest a reference leads to, and what its tag promises.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault, Options};
use serde_json::Value;

use crate::support::World;
use crate::verify_craft::{attach, refuses, sign, usual};

/// `charts/web` with these versions, each signed.
fn with_versions(world: &World, versions: &[&str]) {
    for version in versions {
        let pushed = world.push(&Chart::new("web", version));
        attach(world, &pushed, &sign(world, &usual(&pushed, "web", version)));
    }
}

fn paths(world: &World) -> Vec<String> {
    world.registry.requests().iter().map(|request| request.path().to_owned()).collect()
}

#[test]
fn no_version_means_the_newest_stable_one() {
    let world = World::new();
    with_versions(&world, &["1.4.2", "1.10.0", "2.0.0-rc.1"]);
    world.registry.tag("charts/web", "v9.0.0", "sha256:00");
    let web = world.repository("web");
    world.verify(&[&web]).exits(0).prints(&format!("Verified: {web}:1.10.0\n"));
}

#[test]
fn a_constraint_chooses_among_the_tags_of_all_pages() {
    let options = Options { page_size: 2, ..Options::default() };
    let world = World::with(options, helm_sigstore_kit::sigstore::Options::default());
    with_versions(&world, &["1.2.0", "1.3.0+build.5", "1.4.0", "1.4.2", "2.0.0", "2.1.0-rc.1"]);
    let web = world.repository("web");
    world.verify(&[&web, "--version", "^1"]).exits(0).prints(&format!("Verified: {web}:1.4.2\n"));
    let lists = paths(&world).iter().filter(|path| path.ends_with("/tags/list")).count();
    // Six versions, and no tags for signatures: three pages.
    assert_eq!(lists, 3, "{:?}", paths(&world));
    world.verify(&[&web, "--version", "~1.3"]).exits(0).prints(":1.3.0_build.5\n");
    world.verify(&[&web, "--version", ">=2.0.0-0"]).exits(0).prints(":2.1.0-rc.1\n");
    refuses(&world, &[&web, "--version", "^3"], 6, "not-found", &["no matching version", "^3"]);
}

#[test]
fn an_exact_version_is_a_tag_and_needs_no_list() {
    let world = World::new();
    with_versions(&world, &["1.4.2", "1.3.0+build.5"]);
    let web = world.repository("web");
    for (version, tag) in
        [("1.4.2", "1.4.2"), ("1.3.0+build.5", "1.3.0_build.5"), ("1.3.0_build.5", "1.3.0_build.5")]
    {
        world
            .verify(&[&web, "--version", version])
            .exits(0)
            .prints(&format!("Verified: {web}:{tag}\n"));
    }
    assert!(paths(&world).iter().all(|path| !path.ends_with("/tags/list")));
}

#[test]
fn every_way_to_write_build_metadata_leads_to_the_same_chart() {
    let world = World::new();
    with_versions(&world, &["1.3.0+build.5"]);
    let web = world.repository("web");
    for tag in ["1.3.0+build.5", "1.3.0_build.5"] {
        let result = world.verdict(&[&format!("{web}:{tag}")]);
        assert_eq!(result["verdict"], "verified", "{result:#}");
        assert_eq!(result["chart"]["version"], "1.3.0+build.5");
    }
    // And without the scheme, as people paste it.
    world.verify(&[web.trim_start_matches("oci://")]).exits(0);
}

#[test]
fn a_short_tag_must_equal_the_leading_components() {
    let world = World::new();
    let (_, pushed) = world.signed_web();
    let web = world.repository("web");
    for tag in ["1", "1.4", "v1", "v1.4.2"] {
        world.registry.tag("charts/web", tag, &pushed.manifest_digest);
        let ended = world.verify(&[&format!("{web}:{tag}")]).exits(0);
        assert!(!ended.stdout.contains("not checked"), "{tag}: {}", ended.stdout);
    }
    for tag in ["2", "1.5", "1.40", "14", "v2", "1.4.20"] {
        world.registry.tag("charts/web", tag, &pushed.manifest_digest);
        let reference = format!("{web}:{tag}");
        refuses(&world, &[&reference], 5, "wrong-version", &["wrong version", "1.4.2  (signed)"]);
    }
}

#[test]
fn a_tag_that_is_no_version_is_reported_as_not_checked() {
    let world = World::new();
    let (_, pushed) = world.signed_web();
    let web = world.repository("web");
    world.registry.tag("charts/web", "latest", &pushed.manifest_digest);
    world
        .verify(&[&format!("{web}:latest")])
        .exits(0)
        .prints("\nversion: not checked\n")
        .prints("\nPinned: ");
    // What is not promised can be stated.
    let latest = format!("{web}:latest");
    let ended = world.verify(&[&latest, "--chart", "web:1.4.2"]).exits(0);
    assert!(!ended.stdout.contains("not checked"));
    refuses(&world, &[&latest, "--chart", "web:1.4.3"], 5, "wrong-version", &["1.4.3", "1.4.2"]);
}

#[test]
fn a_chart_whose_version_has_a_leading_v_matches_its_tag_with_and_without() {
    let world = World::new();
    with_versions(&world, &["v1.4.2"]);
    let web = world.repository("web");
    let digest = world.registry.resolve("charts/web", "v1.4.2").unwrap();
    world.registry.tag("charts/web", "1.4.2", &digest);
    for tag in ["v1.4.2", "1.4.2"] {
        let ended = world.verify(&[&format!("{web}:{tag}")]).exits(0);
        assert!(!ended.stdout.contains("not checked"));
    }
}

#[test]
fn a_digest_alone_is_enough_and_the_version_is_not_checked() {
    let world = World::new();
    let (_, pushed) = world.signed_web();
    let reference = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    world
        .verify(&[&reference])
        .exits(0)
        .prints(&format!("Verified: {reference}\n"))
        .prints("version: not checked\n")
        .prints(&format!("Pinned: {reference}\n"));
    world.verify(&[&reference, "--version", "1.4.2"]).exits(0);
}

#[test]
fn a_constraint_beside_a_digest_has_to_admit_the_version_of_the_chart() {
    let world = World::new();
    let (_, pushed) = world.signed_web();
    let reference = format!("{}@{}", world.repository("web"), pushed.manifest_digest);
    for constraint in ["^1", "1.4.x", ">=1.4.2-0"] {
        let ended = world.verify(&[&reference, "--version", constraint]).exits(0);
        assert!(!ended.stdout.contains("not checked"), "{}", ended.stdout);
    }
    // Helm ignores it: the digest alone would do there.
    let words = ["expected  ^2", "found     1.4.2  (signed)"];
    refuses(&world, &[&reference, "--version", "^2"], 5, "wrong-version", &words);
    world.run(&["sign", &reference, "--version", "^2"]).exits(5).says("version does not match");
    let stated = ["--version", "^2", "--chart", "web:1.4.2"];
    let words = [&reference[..], stated[0], stated[1], stated[2], stated[3]];
    refuses(&world, &words, 2, "usage", &["--chart and --version mismatch"]);
    assert!(paths(&world).iter().all(|path| !path.ends_with("/tags/list")));
}

#[test]
fn a_tag_beside_a_digest_must_lead_to_it() {
    let world = World::new();
    let (tagged, pushed) = world.signed_web();
    let other = world.push(&Chart::new("web", "1.5.0"));
    let both = format!("{tagged}@{}", pushed.manifest_digest);
    let ended = world.verify(&[&both]).exits(0);
    assert!(!ended.stdout.contains("not checked"));
    let differs = format!("{}:1.5.0@{}", world.repository("web"), pushed.manifest_digest);
    refuses(
        &world,
        &[&differs],
        5,
        "wrong-version",
        &["tag and digest differ", &pushed.manifest_digest, &other.manifest_digest],
    );
    // As in Helm, a tag that is gone does not stand against the digest; its promise is still kept.
    world.registry.delete_tag("charts/web", "1.4.2");
    world.verify(&[&both]).exits(0).says("no such tag");
    let renamed = format!("{}:9.9.9@{}", world.repository("web"), pushed.manifest_digest);
    refuses(&world, &[&renamed], 5, "wrong-version", &["9.9.9", "1.4.2  (signed)"]);
}

#[test]
fn the_tag_is_resolved_once_and_nothing_after_that_sees_it() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    // Whoever moves the tag while we verify changes nothing.
    let evil = world.registry.push_chart("charts/evil", &Chart::new("web", "1.4.2").file("x", "y"));
    let moved = evil.manifest_digest.clone();
    let bytes = evil.manifest.clone();
    world.registry.fault(helm_sigstore_kit::registry::Fault::once(
        "/manifests/1.4.2",
        helm_sigstore_kit::registry::Action::run(move |store| {
            let manifest = "application/vnd.oci.image.manifest.v1+json";
            store.put_manifest("charts/web", Some("1.4.2"), manifest, bytes.clone());
        }),
    ));
    world.verify(&[&reference]).exits(0).prints(&format!(
        "Pinned: {}@{}\n",
        world.repository("web"),
        pushed.manifest_digest
    ));
    let asked = paths(&world).iter().filter(|path| path.ends_with("/manifests/1.4.2")).count();
    assert_eq!(asked, 1);
    assert_eq!(world.registry.resolve("charts/web", "1.4.2"), Some(moved));
    refuses(&world, &[&reference], 3, "unsigned", &[]);
}

#[test]
fn a_renamed_repository_needs_to_be_told_what_it_holds() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let pushed = world.registry.push_chart("mirror/frontend", &chart);
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    let reference = format!("oci://{}/mirror/frontend:1.4.2", world.registry.host());
    refuses(&world, &[&reference], 5, "wrong-chart", &["expected  frontend", "found     web"]);
    for chart in ["web", "web:1.4.2"] {
        let result = world.verdict(&[&reference, "--chart", chart]);
        assert_eq!(result["verdict"], "verified");
        assert_eq!(result["chart"]["name"], "web");
    }
    refuses(&world, &[&reference, "--chart", "api"], 5, "wrong-chart", &["expected  api"]);
    let stated = ["--chart", "web:1.4.3"];
    refuses(&world, &[&reference, stated[0], stated[1]], 5, "wrong-version", &["1.4.3"]);
    refuses(
        &world,
        &[&reference, "--chart", "web:"],
        2,
        "usage",
        &["expected NAME or NAME:VERSION"],
    );
}

#[test]
fn what_is_not_there_is_told_apart_from_what_is_not_signed() {
    let world = World::new();
    world.push_web();
    let (web, host) = (world.repository("web"), world.registry.host());
    let missing = format!("{web}@sha256:{}", "0".repeat(64));
    for (reference, words) in [
        (format!("{web}:1.4.3"), "error: no such chart: "),
        (format!("oci://{host}/charts/nothing:1.0.0"), "error: no such chart: "),
        (format!("oci://{host}/charts/nothing"), "error: no such repository: "),
        (missing, "error: no such chart: "),
    ] {
        let words = format!("{words}{reference}\n");
        refuses(&world, &[&reference], 6, "not-found", &[&words]);
    }
    world.registry.delete_tag("charts/web", "1.4.2");
    refuses(&world, &[&web], 6, "not-found", &["no versions", "no tag is of the form X.Y.Z"]);
}

#[test]
fn a_reference_and_a_version_that_differ_are_a_usage_error() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    refuses(&world, &[&reference, "--version", "1.4.3"], 2, "usage", &["mismatch", "1.4.3"]);
    refuses(&world, &[&reference, "--version", "^1"], 2, "usage", &["mismatch"]);
    let web = world.repository("web");
    refuses(&world, &[&web, "--version", "one"], 2, "usage", &["improper constraint"]);
    world.verify(&[&reference, "--version", "1.4.2"]).exits(0);
}

#[test]
fn a_malformed_reference_is_a_usage_error_that_says_which_part() {
    let world = World::new();
    let host = world.registry.host();
    for (reference, words) in [
        (format!("oci://{host}"), "no repository"),
        (format!("oci://{host}/Charts/web:1.4.2"), "hint: oci://"),
        (format!("oci://{host}/charts/web:1.4.2@sha256:12"), "64 lower-case hexadecimal digits"),
        (format!("oci://{host}/charts/web@sha512:{}", "0".repeat(128)), "sha256"),
        (format!("oci://{host}/charts/web:1~2"), "tag"),
        (format!("oci://{host}/charts/web:a b"), "holds ' '"),
        (format!("oci://{host}/charts/../web:1.4.2"), "invalid reference"),
        (format!("https://{host}/charts/web:1.4.2"), "hint: oci://"),
        (format!("oci://u:secret@{host}/charts/web:1.4.2"), "credentials do not belong"),
        ("charts/web:1.4.2".to_owned(), "no registry"),
        ("nonsense".to_owned(), "no registry"),
    ] {
        let ended = world.verify(&[&reference]).exits(2).says(words);
        assert!(ended.stderr.contains("invalid reference"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        assert_eq!(world.verdict(&[&reference])["verdict"], Value::from("usage"));
    }
    assert_eq!(world.registry.requests(), []);
}

/// The most requests that were open at a time while `reference` was verified, and how many there were.
fn at_a_time(world: &World, arguments: &[&str]) -> (usize, usize) {
    world.registry.reset_requests();
    world.verify(arguments).exits(0);
    (world.registry.most_concurrent(), world.registry.requests().len())
}

#[test]
fn for_a_stated_digest_signatures_are_asked_for_beside_the_manifest() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.2"));
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    let web = world.repository("web");
    world.registry.delay_per_response(300);
    // What a tag means has to be known first.
    assert_eq!(at_a_time(&world, &[&format!("{web}:1.4.2")]), (1, 4));
    for tag in ["", ":1.4.2"] {
        let reference = format!("{web}{tag}@{}", pushed.manifest_digest);
        assert_eq!(at_a_time(&world, &[&reference]), (2, 4), "{reference}");
    }
    // Which of the two is waited for is said.
    for (path, step) in
        [("/referrers/", "looking for signatures in the"), ("/manifests/", "resolving")]
    {
        world.registry.fault(Fault::once(path, Action::Hang));
        let reference = format!("{web}@{}", pushed.manifest_digest);
        world.verify(&[&reference, "--timeout", "1500ms"]).exits(4).says(step);
        world.registry.clear_faults();
    }
    // Nobody is asked for signatures that are said to be elsewhere.
    let bundle = world.argument("kept.json");
    let reference = format!("{web}@{}", pushed.manifest_digest);
    world.verify(&[&reference, "--bundle-out", &bundle]).exits(0);
    assert_eq!(at_a_time(&world, &[&reference, "--bundle", &bundle]), (1, 1));
}

#[test]
fn a_digest_that_is_not_there_is_not_found_however_slow_the_rest_is() {
    let world = World::new();
    with_versions(&world, &["1.4.2"]);
    world.registry.fault(Fault::new("/referrers/", Action::Hang));
    let missing = format!("{}@sha256:{}", world.repository("web"), "0".repeat(64));
    refuses(&world, &[&missing, "--timeout", "20s"], 6, "not-found", &["no such chart"]);
}
