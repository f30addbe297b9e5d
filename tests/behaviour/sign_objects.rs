//! What can be signed, and what a run says and leaves behind.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::sigstore::IssuerKind;
use serde_json::json;

use crate::sign_support::{asked, assert_nothing_public, attached, sign_json, signature};
use crate::support::{WORKFLOW, World};

#[test]
fn a_signature_is_told_in_the_words_of_the_interface() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let ended = world.run(&["sign", &reference]).exits(0);
    let made = signature(&world, &pushed);
    let entry = &made.bundle["verificationMaterial"]["tlogEntries"][0];
    let log = world.sigstore.rekor_v1_url().replace("http://", "");
    let integrated: i64 = entry["integratedTime"].as_str().unwrap().parse().unwrap();
    let expected = [
        format!("Signed: {reference}"),
        format!("Digest: {}", pushed.manifest_digest),
        format!("Signed by: https://github.com/{WORKFLOW}"),
        format!("Issued by: {}", world.sigstore.issuer_url(IssuerKind::GitHub)),
        format!(
            "Logged in: {log} index {} at {}",
            entry["logIndex"].as_str().unwrap(),
            jiff::Timestamp::from_second(integrated).unwrap()
        ),
        format!("Attached: {} (referrers API)", made.digest),
    ];
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected);
    assert_eq!(asked(&world), (1, 1, 1));
}

#[test]
fn a_signature_is_told_in_json_with_what_was_attached() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let (code, result) = sign_json(&world, &[&reference]);
    let made = signature(&world, &pushed);
    assert_eq!(code, 0);
    let expected = json!({
        "input": reference,
        "verdict": "signed",
        "reason": null,
        "retryable": false,
        "chart": {"name": "web", "version": "1.4.2"},
        "ref": reference,
        "digestRef": format!("{}@{}", world.repository("web"), pushed.manifest_digest),
        "manifestDigest": pushed.manifest_digest,
        "chartDigest": pushed.layer_digest,
        "provDigest": null,
        "attached": [{"place": "referrers", "digest": made.digest}],
        "bundleFile": null,
        "alreadySigned": false,
        "weakened": [],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&result[field], value, "{field} in {result:#}");
    }
    let signature = &result["signatures"][0];
    assert_eq!(signature["status"], "accepted");
    assert_eq!(signature["format"], "bundle");
    assert_eq!(signature["subject"]["kind"], "manifest");
    assert_eq!(signature["signer"]["identity"], format!("https://github.com/{WORKFLOW}"));
    assert_eq!(signature["signer"]["sourceRepository"], "https://github.com/acme/charts");
    assert_eq!(signature["log"]["url"], world.sigstore.rekor_v1_url());
    assert!(signature["log"]["index"].is_u64() && signature["timestamp"].is_string());
}

#[test]
fn several_files_take_one_certificate_and_keep_their_order() {
    let world = World::new();
    let charts = ["web", "api", "db"].map(|name| Chart::new(name, "1.0.0"));
    let files = charts.clone().map(|chart| {
        world.push(&chart);
        chart.write_to(world.directory()).unwrap().display().to_string()
    });
    let target = world.target();
    let ended = world
        .run(&["sign", &files[0], &files[1], &files[2], "--repository", &target, "-o", "json"])
        .exits(0);
    let document = ended.json();
    let results = document["results"].as_array().unwrap();
    let inputs: Vec<_> = results.iter().map(|result| result["input"].as_str().unwrap()).collect();
    assert_eq!(inputs, files);
    assert_eq!(asked(&world), (1, 3, 3));
    for chart in &charts {
        let reference = format!("{}:1.0.0", world.repository(chart.name()));
        world.verify(&[&reference]).exits(0);
    }
}

#[test]
fn one_chart_that_fails_does_not_keep_the_others_from_being_signed() {
    let world = World::new();
    let write = |chart: &Chart| chart.write_to(world.directory()).unwrap().display().to_string();
    let web = Chart::new("web", "1.0.0");
    let db = Chart::new("db", "1.0.0");
    world.push(&web);
    world.push(&db);
    let files = [write(&web), write(&Chart::new("api", "1.0.0")), write(&db)];
    let target = world.target();
    let ended = world
        .run(&["sign", &files[0], &files[1], &files[2], "--repository", &target, "-o", "json"])
        .exits(6);
    let document = ended.json();
    let verdicts: Vec<_> =
        document["results"].as_array().unwrap().iter().map(|r| r["verdict"].clone()).collect();
    assert_eq!(verdicts, ["signed", "not-found", "signed"]);
    assert_eq!(document["verdict"], "not-found");
    assert_eq!(asked(&world), (1, 2, 2));
    world.verify(&[&format!("{}:1.0.0", world.repository("db"))]).exits(0);
}

#[test]
fn the_worst_of_several_decides_the_exit_code() {
    let world = World::new();
    let write = |chart: &Chart| chart.write_to(world.directory()).unwrap().display().to_string();
    let good = Chart::new("web", "1.0.0");
    world.push(&good);
    world.push(&Chart::new("db", "1.0.0").description("pushed"));
    let other = write(&Chart::new("db", "1.0.0").description("built again"));
    let missing = write(&Chart::new("api", "1.0.0"));
    let good = write(&good);
    let broken = world.argument("broken.tgz");
    let target = world.target();
    let run = |files: &[&str]| {
        let mut words = vec!["sign", "--repository", &target];
        words.extend(files);
        world.run(&words)
    };
    run(&[&good, &broken]).exits(2);
    run(&[&good, &missing, &broken]).exits(6);
    run(&[&missing, &other, &good]).exits(5).says("registry holds another chart").says("no such");
}

#[test]
fn a_constraint_signs_the_newest_version_that_fits() {
    let world = World::new();
    let pushed = ["1.4.2", "1.5.0", "2.0.0", "2.1.0-rc.1"]
        .map(|version| world.push(&Chart::new("web", version)));
    let repository = world.repository("web");
    world
        .run(&["sign", &repository, "--version", "^1"])
        .exits(0)
        .prints(&format!("Signed: {repository}:1.5.0"));
    assert_eq!(attached(&world, &pushed[1]).len(), 1);
    world.run(&["sign", &repository]).exits(0).prints(&format!("Signed: {repository}:2.0.0"));
    world.run(&["sign", &repository, "--version", "^7"]).exits(6);
    assert_eq!(pushed.map(|pushed| attached(&world, &pushed).len()), [0, 1, 1, 0]);
}

#[test]
fn a_renamed_repository_needs_to_be_told_what_it_holds() {
    let world = World::new();
    let pushed = world.registry.push_chart("charts/website", &Chart::new("web", "1.4.2"));
    let reference = format!("{}:1.4.2", world.repository("website"));
    world.run(&["sign", &reference]).exits(5).says("name does not match").says("Chart.yaml");
    world.run(&["sign", &reference, "--chart", "site"]).exits(5);
    world.run(&["sign", &reference, "--chart", "web:1.4.3"]).exits(5).says("version does not");
    assert_nothing_public(&world);
    world.run(&["sign", &reference, "--chart", "web"]).exits(0);
    world.verify(&[&reference, "--chart", "web:1.4.2"]).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn the_bundle_is_written_where_it_was_asked_for_and_is_the_attached_one() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let file = world.argument("web.sigstore.json");
    let (code, result) = sign_json(&world, &[&reference, "--bundle-out", &file]);
    assert_eq!((code, result["bundleFile"].as_str()), (0, Some(file.as_str())));
    assert_eq!(std::fs::read(&file).unwrap(), signature(&world, &pushed).bundle_bytes);

    let api = Chart::new("api", "2.0.0");
    let pushed = world.push(&api);
    let directory = world.path("bundles");
    std::fs::create_dir(&directory).unwrap();
    let reference = format!("{}:2.0.0", world.repository("api"));
    let inside = directory.join("api-2.0.0.tgz.sigstore.json");
    world
        .run(&["sign", &reference, "--bundle-out", &directory.display().to_string()])
        .exits(0)
        .prints(&format!("Bundle: {}", inside.display()));
    assert_eq!(std::fs::read(&inside).unwrap(), signature(&world, &pushed).bundle_bytes);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn a_bundle_that_could_not_be_written_is_found_out_before_anything_is_public() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let nowhere = world.argument("no/such/directory/web.json");
    world.run(&["sign", &reference, "--bundle-out", &nowhere]).exits(2).says("no such directory");
    let one = world.argument("one.json");
    world.run(&["sign", &reference, &reference, "--bundle-out", &one]).exits(2).says("directory");
    assert_nothing_public(&world);
}

#[test]
fn what_only_files_or_only_references_have_is_a_usage_error_for_the_others() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    world.push(&chart);
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference, "--repository", &world.target()]).exits(2).says("for files");
    world
        .run(&["sign", &file, "--repository", &world.target(), "--version", "1.4.2"])
        .exits(2)
        .says("--version");
    assert_nothing_public(&world);
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn a_file_that_is_not_the_one_in_the_registry_is_refused_before_anything_is_public() {
    let world = World::new();
    let pushed = world.push(&Chart::new("web", "1.4.2").description("pushed"));
    let mine = Chart::new("web", "1.4.2").description("built again");
    let file = mine.write_to(world.directory()).unwrap().display().to_string();
    let target = world.target();
    let ended = world.run(&["sign", &file, "--repository", &target]).exits(5);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    let digest = helm_sigstore_kit::registry::digest_of(&mine.tgz());
    ended
        .says(&format!("registry holds another chart: {file}"))
        .says(&format!("expected  {digest}"))
        .says(&format!("found     {}", pushed.layer_digest));
    let (_, result) = sign_json(&world, &[&file, "--repository", &target]);
    assert_eq!(result["reason"], "wrong-chart");
    assert_eq!(result["retryable"], false);
    assert_nothing_public(&world);
    assert_eq!(attached(&world, &pushed).len(), 0);
    assert!(world.registry.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn a_chart_that_was_not_pushed_yet_is_not_found_and_the_push_is_shown() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    let target = world.target();
    world
        .run(&["sign", &file, "--repository", &target])
        .exits(6)
        .says(&format!("hint: helm push {file} {target}\n"));
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(6).says(&format!("no such chart: {reference}\n"));
    let (_, result) = sign_json(&world, &[&reference]);
    assert_eq!((&result["verdict"], &result["reason"]), (&json!("not-found"), &json!("not-found")));
    assert_nothing_public(&world);
}

#[test]
fn a_registry_that_fails_is_not_taken_for_a_chart_that_was_not_pushed() {
    use helm_sigstore_kit::registry::{Action, Fault};
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    world.push(&chart);
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    world.registry.fault(Fault::new("/manifests/", Action::status(403)));
    let ended = world.run(&["sign", &file, "--repository", &world.target()]).exits(4);
    assert!(!ended.stderr.contains("helm push"), "{}", ended.stderr);
}

#[test]
fn a_file_whose_name_disagrees_with_its_chart_is_refused() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    world.push(&chart);
    let renamed = world.argument("web-2.0.0.tgz");
    std::fs::write(&renamed, chart.tgz()).unwrap();
    world.run(&["sign", &renamed, "--repository", &world.target()]).exits(5).says("2.0.0");
    let pinned = world.argument("anything.tgz");
    std::fs::write(&pinned, chart.tgz()).unwrap();
    assert_nothing_public(&world);
}

#[test]
fn a_directory_is_a_usage_error_that_shows_how_to_package_it() {
    let world = World::new();
    let directory = Chart::new("web", "1.4.2").write_unpacked(world.directory()).unwrap();
    let directory = directory.display().to_string();
    world.run(&["sign", &directory]).exits(2).says("hint: helm package");
    assert_nothing_public(&world);
}

#[test]
fn a_chart_that_is_signed_can_be_signed_again_by_somebody_else_and_both_stand() {
    use helm_sigstore_kit::sigstore::Identity;
    for mut world in [World::new(), World::with_fallback_registry()] {
        let (reference, pushed) = world.signed_web();
        let jane = Identity::email("jane@example.com");
        world.environment.insert("SIGSTORE_ID_TOKEN".into(), world.sigstore.token(&jane));
        world.run(&["sign", &reference]).exits(0).prints("Signed by: jane@example.com");
        assert_eq!(attached(&world, &pushed).len(), 2);
        world.verify(&[&reference]).exits(0).prints(WORKFLOW);
        let issuer = world.sigstore.issuer_url(IssuerKind::Email);
        world
            .run(&[
                "verify",
                &reference,
                "--certificate-identity",
                "jane@example.com",
                "--certificate-oidc-issuer",
                &issuer,
            ])
            .exits(0)
            .prints("Signed by: jane@example.com");
    }
}

#[test]
fn two_charts_of_one_name_and_version_do_not_overwrite_each_others_bundle() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let chart = Chart::new("web", "1.4.2");
    world.registry.push_chart("staging/web", &chart);
    let other = format!("oci://{}/staging/web:1.4.2", world.registry.host());
    let bundles = world.argument("bundles");
    std::fs::create_dir(&bundles).unwrap();
    let words = ["sign", "-o", "json", &reference, &other, "--bundle-out", &bundles];
    let ended = world.run(&words).exits(2);
    let document = ended.json();
    let verdicts: Vec<_> = (0..2).map(|at| document["results"][at]["verdict"].clone()).collect();
    assert!(
        verdicts.contains(&"signed".into()) && verdicts.contains(&"usage".into()),
        "{document:#}"
    );
    // Whoever came second was refused before it was signed.
    assert_eq!(crate::sign_support::asked(&world).2, 1);
    let message = ended.stdout;
    assert!(message.contains("web-1.4.2.tgz.sigstore.json is already that of oci://"), "{message}");

    world.run(&["sign", &reference, &other]).exits(0);
    let ended = world.verify(&[&reference, &other, "--bundle-out", &bundles]).exits(2);
    ended.says("two bundles of one name").says("--bundle-out FILE");
    assert_eq!(std::fs::read_dir(&bundles).unwrap().count(), 1);
}
