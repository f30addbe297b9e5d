//! Packaged charts as files: their bundle beside them, named, or in a registry.

use helm_sigstore_kit::chart::{Chart, gzip, tar};
use helm_sigstore_kit::registry::digest_of;
use serde_json::{Value, json};

use crate::support::World;
use crate::verify_craft::{
    attach, chart_subject, package, refuses, sign, statement, told, usual, write,
};

fn web() -> Chart {
    Chart::new("web", "1.4.2")
}

/// A bundle over this very archive.
fn bundle_for(world: &World, chart: &Chart) -> Vec<u8> {
    let digest = digest_of(&chart.tgz());
    sign(world, &statement(&[chart_subject(&digest, chart.name(), chart.version())]))
}

#[test]
fn the_bundle_beside_a_file_is_found_by_either_extension_in_order() {
    let world = World::new();
    let file = package(&world, &web());
    let looked = format!("looked in  {file}.sigstore.json, {file}.sigstore (not found)");
    refuses(&world, &[&file], 3, "unsigned", &["error: unsigned: ", &looked]);
    let bundle = bundle_for(&world, &web());
    write(&world, "web-1.4.2.tgz.sigstore", &bundle);
    world
        .verify(&[&file])
        .exits(0)
        .prints(&format!("Verified: {file}\n"))
        .prints("(signed: chart)\n");
    let result = world.verdict(&[&file]);
    assert_eq!(result["lookedIn"][0]["place"], "file");
    assert_eq!(result["lookedIn"][0]["object"], format!("{file}.sigstore"));
    // The first one counts, even if only the second is good.
    write(&world, "web-1.4.2.tgz.sigstore.json", b"{}");
    refuses(&world, &[&file], 5, "malformed", &["not a Sigstore bundle"]);
    write(&world, "web-1.4.2.tgz.sigstore.json", &bundle);
    write(&world, "web-1.4.2.tgz.sigstore", b"{}");
    world.verify(&[&file]).exits(0);
    // The signature of a .prov is no bundle, and no reason to say yes.
    std::fs::remove_file(world.path("web-1.4.2.tgz.sigstore.json")).unwrap();
    std::fs::remove_file(world.path("web-1.4.2.tgz.sigstore")).unwrap();
    write(&world, "web-1.4.2.tgz.prov", b"x");
    refuses(&world, &[&file], 3, "unsigned", &[]);
}

#[test]
fn the_sidecar_of_another_file_is_refused_with_both_digests() {
    let world = World::new();
    let file = package(&world, &web());
    let other = Chart::new("web", "1.4.2").file("values.yaml", "replicas: 9\n");
    write(&world, "web-1.4.2.tgz.sigstore.json", &bundle_for(&world, &other));
    let words = [
        "error: signature does not match this chart: ",
        &format!("expected  {}", digest_of(&other.tgz())),
        &format!("found     {}", digest_of(&web().tgz())),
    ];
    refuses(&world, &[&file], 5, "not-covered", &words);
}

#[test]
fn a_file_is_verified_offline_without_a_single_socket() {
    let world = World::new();
    let file = package(&world, &web());
    let bundle = write(&world, "b.json", &bundle_for(&world, &web()));
    world.registry.reset_requests();
    world.sigstore.reset_requests();
    world.verify(&[&file, "--bundle", &bundle, "--offline"]).exits(0);
    write(&world, "web-1.4.2.tgz.sigstore.json", &bundle_for(&world, &web()));
    world.registry.reset_requests();
    world.sigstore.reset_requests();
    world.verify(&[&file, "--offline"]).exits(0);
    world.verify(&[&file]).exits(0);
    write(&world, "web-1.4.2.tgz.sigstore.json", b"{}");
    world.verify(&[&file, "--offline"]).exits(5);
    assert_eq!(world.registry.connections(), 0);
    assert_eq!(world.sigstore.requests().len(), 0);
}

#[test]
fn the_signatures_of_a_file_are_found_where_it_was_pushed() {
    let world = World::new();
    let chart = Chart::new("web", "1.3.0+build.5");
    let file = package(&world, &chart);
    let target = world.target();
    let here = [file.as_str(), "--repository", &target];
    refuses(&world, &here, 6, "not-found", &["error: no such chart: "]);
    let pushed = world.push(&chart);
    refuses(&world, &here, 3, "unsigned", &["looked in  referrers API (none)"]);
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.3.0+build.5")));
    world.registry.reset_requests();
    world.verify(&here).exits(0).prints(&format!("Verified: {file}\n")).prints("(signed: chart)\n");
    let requests = world.registry.requests();
    assert_eq!(requests.len(), 4, "{requests:#?}");
    assert!(requests.iter().all(|request| !request.path().contains(&pushed.layer_digest)));
    // Another archive of that name is not what was signed, whatever the registry holds.
    let altered = Chart::new("web", "1.3.0+build.5").file("templates/x.yaml", "kind: Pod\n");
    let file = package(&world, &altered);
    refuses(&world, &[&file, "--repository", &target], 5, "not-covered", &["does not match"]);
}

#[test]
fn a_file_name_that_disagrees_with_the_chart_inside_is_refused() {
    let world = World::new();
    let bundle = write(&world, "b.json", &bundle_for(&world, &web()));
    for (name, reason) in [
        ("web-1.4.3.tgz", "wrong-version"),
        ("api-1.4.2.tgz", "wrong-chart"),
        ("web-v1.4.3.tgz", "wrong-version"),
    ] {
        let file = write(&world, name, &web().tgz());
        let words = ["the file name and the Chart.yaml inside disagree", "web-1.4.2.tgz"];
        refuses(&world, &[&file, "--bundle", &bundle], 5, reason, &words);
    }
    let digest = "0".repeat(64);
    for name in ["web-1.4.2.tgz", "x.tgz", "web.tgz", "chart", &format!("web@sha256-{digest}.tgz")]
    {
        let file = write(&world, name, &web().tgz());
        world.verify(&[&file, "--bundle", &bundle]).exits(0);
    }
    let build = Chart::new("web", "1.3.0+build.5");
    let bundle = write(&world, "b.json", &bundle_for(&world, &build));
    for name in ["web-1.3.0+build.5.tgz", "web-1.3.0_build.5.tgz"] {
        let file = write(&world, name, &build.tgz());
        world.verify(&[&file, "--bundle", &bundle]).exits(0);
    }
}

#[test]
fn what_is_no_chart_is_refused_whatever_is_signed() {
    let world = World::new();
    let entry = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let archive = |entries: &[(String, Vec<u8>)]| {
        let entries: Vec<_> =
            entries.iter().map(|(path, bytes)| (path.clone(), bytes.as_slice())).collect();
        gzip(&tar(&entries).unwrap())
    };
    let yaml = "apiVersion: v2\nname: web\nversion: 1.4.2\n";
    for (bytes, words) in [
        (b"kind: Pod\n".to_vec(), "not compressed with gzip"),
        (Vec::new(), "not compressed with gzip"),
        (gzip(b"no tar"), "damaged"),
        (web().tgz()[..100].to_vec(), "damaged"),
        (archive(&[entry("web/values.yaml", "a: 1\n")]), "no NAME/Chart.yaml"),
        (archive(&[entry("Chart.yaml", yaml)]), "outside the chart's directory"),
        (archive(&[entry("api/Chart.yaml", yaml)]), "does not have the chart's name"),
        (archive(&[entry("web/Chart.yaml", yaml), entry("web/Chart.yaml", yaml)]), "twice"),
        (archive(&[entry("web/Chart.yaml", yaml), entry("web/../x", "y")]), "dangerous"),
        (archive(&[entry("web/Chart.yaml", "name: web\n")]), "version"),
        (archive(&[entry("web/Chart.yaml", &format!("{yaml}name: api\n"))]), "name"),
    ] {
        let bundle = statement(&[chart_subject(&digest_of(&bytes), "web", "1.4.2")]);
        let bundle = write(&world, "b.json", &sign(&world, &bundle));
        let file = write(&world, "x.tgz", &bytes);
        let ended = told(&world, &[&file, "--bundle", &bundle]).exits(5);
        assert!(ended.stderr.contains(words), "no {words:?} in {}", ended.stderr);
        assert_eq!(world.verdict(&[&file, "--bundle", &bundle])["reason"], "not-a-chart");
    }
}

#[test]
fn a_directory_and_a_missing_file_are_usage_errors() {
    let world = World::new();
    let directory = web().write_unpacked(world.directory()).unwrap().display().to_string();
    let hint = format!("hint: helm package {directory}");
    refuses(&world, &[&directory], 2, "usage", &["this is a directory", &hint]);
    let missing = world.argument("web-9.9.9.tgz");
    refuses(&world, &[&missing], 2, "usage", &["error: cannot open chart: ", &missing]);
    let file = package(&world, &web());
    let bundle = world.argument("nothing.json");
    let words = ["error: cannot open bundle: ", &bundle];
    refuses(&world, &[&file, "--bundle", &bundle], 2, "usage", &words);
    refuses(&world, &[&file, "--bundle", &directory], 2, "usage", &["error: cannot open bundle: "]);
}

#[test]
fn flags_that_do_not_fit_a_file_are_usage_errors() {
    let world = World::new();
    let file = package(&world, &web());
    let target = world.target();
    let bundle = write(&world, "b.json", &bundle_for(&world, &web()));
    let (reference, _) = world.push_web();
    for (arguments, words) in [
        (vec![file.as_str(), "--version", "1.4.2"], "--version is for references"),
        (vec![&file, "--match", "chart-layer"], "--match is for references"),
        (vec![&file, "--bundle", &bundle, "--repository", &target], "cannot be used together"),
        (vec![&reference, "--repository", &target], "--repository is for files"),
        (vec![&file, "--bundle", ""], "a value is missing"),
        (vec![&file, &reference, "--bundle", &bundle], "--bundle is for one chart"),
        (vec![&file, "--repository", "oci://127.0.0.1:1/x:1"], "has no tag and no digest"),
    ] {
        let ended = world.verify(&arguments).exits(2).says(words);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn a_bundle_file_that_cannot_be_parsed_is_refused_and_not_a_usage_error() {
    let world = World::new();
    let file = package(&world, &web());
    let good = bundle_for(&world, &web());
    for (bytes, words) in [
        (b"nonsense".to_vec(), "not a Sigstore bundle"),
        (Vec::new(), "not a Sigstore bundle"),
        (good[..good.len() - 1].to_vec(), "not a Sigstore bundle"),
        ([good.as_slice(), b"\n{}"].concat(), "trailing characters"),
        (vec![b' '; 3 << 20], "larger than 1048576 bytes"),
        (vec![0xff; 10], "not a Sigstore bundle"),
    ] {
        let bundle = write(&world, "b.json", &bytes);
        refuses(&world, &[&file, "--bundle", &bundle], 5, "malformed", &[words]);
    }
    // Blanks and line ends around the document are JSON.
    let bundle = write(&world, "b.json", &[b"\r\n ", good.as_slice(), b"\n"].concat());
    world.verify(&[&file, "--bundle", &bundle]).exits(0);
}

#[test]
fn the_accepted_bundle_is_written_byte_for_byte_and_verifies_the_file() {
    let world = World::new();
    let pushed = world.push(&web());
    let reference = format!("{}:1.4.2", world.repository("web"));
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    attach(&world, &pushed, b"{}");
    attach(&world, &pushed, &bundle);
    let (file, out) = (package(&world, &web()), world.argument("kept.json"));
    world.verify(&[&reference, "--bundle-out", &out]).exits(0).prints(&format!("Bundle: {out}\n"));
    assert_eq!(std::fs::read(&out).unwrap(), bundle);
    world.verify(&[&file, "--bundle", &out, "--offline"]).exits(0);
    // Into a directory, under the name that `verify FILE` looks for.
    let directory = world.directory().display().to_string();
    let result = world.verdict(&[&reference, "--bundle-out", &directory]);
    assert_eq!(result["bundleFile"], format!("{file}.sigstore.json"));
    world.verify(&[&file, "--offline"]).exits(0);
    // A file that was there is replaced only by a bundle that was accepted.
    write(&world, "kept.json", b"mine");
    let missing = format!("{}:9.9.9", world.repository("web"));
    world.verify(&[&missing, "--bundle-out", &out]).exits(6);
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    world.verify(&[&reference, "--bundle-out", &out]).exits(0);
    assert_eq!(std::fs::read(&out).unwrap(), bundle);
}

#[test]
fn a_place_for_the_bundle_that_is_not_there_is_found_out_before_anything_is_asked() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let nowhere = world.argument("no/such/directory.json");
    world.verify(&[&reference, "--bundle-out", &nowhere]).exits(2).says("no such directory");
    let file = package(&world, &web());
    let one = world.argument("one.json");
    world
        .verify(&[&reference, &file, "--bundle-out", &one])
        .exits(2)
        .says("several bundles need a directory");
    assert_eq!(world.registry.requests(), []);
}

#[test]
fn several_charts_end_with_the_worst_of_their_verdicts_in_the_order_of_the_arguments() {
    let world = World::new();
    let (good, _) = world.signed_web();
    let unsigned = format!("{}:2.0.0", world.repository("api"));
    world.push(&Chart::new("api", "2.0.0"));
    let missing = format!("{}:9.9.9", world.repository("web"));
    let wrong = format!("{}:1.5.0", world.repository("web"));
    let digest = world.registry.resolve("charts/web", "1.4.2").unwrap();
    world.registry.tag("charts/web", "1.5.0", &digest);
    let nonsense = "nonsense".to_owned();
    for (charts, code) in [
        (vec![&good, &good], 0),
        (vec![&good, &nonsense], 2),
        (vec![&nonsense, &missing, &good], 6),
        (vec![&missing, &unsigned], 3),
        (vec![&unsigned, &wrong, &good], 5),
    ] {
        let arguments: Vec<&str> = charts.iter().map(|chart| chart.as_str()).collect();
        let ended = world.verify(&arguments).exits(code);
        let mut words = vec!["-o", "json"];
        words.extend(&arguments);
        let document = world.verify(&words).exits(code).json();
        let inputs: Vec<&Value> =
            document["results"].as_array().unwrap().iter().map(|result| &result["input"]).collect();
        assert_eq!(json!(inputs), json!(arguments));
        // Every message names its object.
        for chart in charts {
            let told =
                ended.stdout.contains(chart.as_str()) || ended.stderr.contains(chart.as_str());
            assert!(told, "{chart} in {} {}", ended.stdout, ended.stderr);
        }
    }
}
