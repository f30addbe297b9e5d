//! Packaged charts and tokens that attack their reader, by the names that the threats have elsewhere.

use helm_sigstore_kit::chart::Chart;

use crate::sign_support::assert_nothing_public;
use crate::support::World;

/// A gzipped tar archive of these entries: name, type, and content or target.
fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // As they are: the safe way to set a name refuses what is tested here.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        let content = match kind {
            tar::EntryType::Regular => text.as_bytes(),
            _ => {
                header.set_link_name(text).unwrap();
                &[]
            }
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

const CHART_YAML: (&str, tar::EntryType, &str) =
    ("web/Chart.yaml", tar::EntryType::Regular, "apiVersion: v2\nname: web\nversion: 1.4.2\n");

/// Neither signed nor verified: refused as no chart, and nothing is left behind.
#[track_caller]
fn is_refused(bytes: &[u8], why: &str) {
    let world = World::new();
    let file = world.argument("chart.tgz");
    std::fs::write(&file, bytes).unwrap();
    for command in ["sign", "verify"] {
        world.run(&[command, &file]).exits(5).says(why);
    }
    assert!(!world.path("chart.tgz.sigstore.json").exists());
    assert_eq!(world.sigstore.request_count(helm_sigstore_kit::sigstore::Service::Fulcio), 0);
}

/// The same of a chart with this `Chart.yaml`.
#[track_caller]
fn is_refused_as(chart_yaml: &str, why: &str) {
    let (name, kind, _) = CHART_YAML;
    is_refused(&archive(&[(name, kind, chart_yaml)]), why);
}

#[test]
fn refuses_dot_names() {
    for name in [".", "..", "'../web'", "a/b"] {
        is_refused_as(&format!("apiVersion: v2\nname: {name}\nversion: 1.4.2\n"), "Chart.yaml");
    }
}

#[test]
fn refuses_absolute_backslash_drive_paths() {
    for (name, why) in [
        ("/web/x", "absolute"),
        ("web\\x", "backslash"),
        ("C:/web/x", "drive"),
        ("web/../../x", "leads out"),
    ] {
        is_refused(&archive(&[CHART_YAML, (name, tar::EntryType::Regular, "x")]), why);
    }
}

#[test]
fn refuses_links_in_archive() {
    for (kind, why) in
        [(tar::EntryType::Symlink, "symbolic link"), (tar::EntryType::Link, "hard link")]
    {
        is_refused(&archive(&[CHART_YAML, ("web/values.yaml", kind, "/etc/passwd")]), why);
    }
}

#[test]
fn refuses_symlinked_lock() {
    let lock = ("web/Chart.lock", tar::EntryType::Symlink, "../../.bashrc");
    is_refused(&archive(&[CHART_YAML, lock]), "symbolic link");
}

#[test]
fn refuses_duplicate_keys() {
    is_refused_as("apiVersion: v2\nname: web\nname: other\nversion: 1.4.2\n", "name");
}

#[test]
fn empty_yaml_is_an_error_not_a_panic() {
    for text in ["", "---\n", "null\n", "[]\n", "- x\n", "\0"] {
        is_refused_as(text, "Chart.yaml");
    }
}

#[test]
fn refuses_bad_alias() {
    let declares = |dependencies: &str| {
        format!("apiVersion: v2\nname: web\nversion: 1.4.2\ndependencies: {dependencies}\n")
    };
    let bad = declares("[{name: x, version: 1.0.0, alias: '../../x'}]");
    for (chart_yaml, why) in [
        (bad.clone(), "alias"),
        (declares("[{name: x, alias: a.b}]"), "alias"),
        (declares("[{name: x}, {name: y, alias: x}]"), "more than one dependency"),
        (declares("[{name: x}, null]"), "empty entry"),
    ] {
        is_refused_as(&chart_yaml, why);
    }
    let old = "name: web\nversion: 1.4.2\n";
    let (_, kind, _) = CHART_YAML;
    let requirements = "dependencies: [{name: x, alias: '../../x'}]\n";
    let entries = [("web/Chart.yaml", kind, old), ("web/requirements.yaml", kind, requirements)];
    is_refused(&archive(&entries), "requirements.yaml: alias");

    let world = World::new();
    let chart = Chart::new("web", "1.4.2").chart_yaml(&bad);
    world.push(&chart);
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(5).says("alias");
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    world.registry.reset_requests();
    world.run(&["push", &file, &world.target()]).exits(5).says("alias");
    assert!(world.registry.requests().is_empty());
    assert_nothing_public(&world);

    // What Helm loads is none: one chart under two names, and a name of its own beside.
    let good = declares("[{name: x, alias: one_1}, {name: x, alias: two-2}, {name: x}]");
    world.push(&Chart::new("web", "1.4.2").chart_yaml(&good));
    world.run(&["sign", &reference]).exits(0);
    world.verify(&[&reference]).exits(0);
}

#[test]
fn refuses_jwt_with_many_dots() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    for token in [".".repeat(60_000), "a.".repeat(30_000), format!("{}e30", ".".repeat(50_000))] {
        world.environment.insert("SIGSTORE_ID_TOKEN".to_owned(), token);
        let started = std::time::Instant::now();
        world.run(&["sign", &reference]).exits(2).says("token");
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
    assert_eq!(world.sigstore.request_count(helm_sigstore_kit::sigstore::Service::Fulcio), 0);
}
