//! `--devel`: pre-releases take part where nothing says which version.

use helm_sigstore_kit::chart::Chart;

use crate::support::World;

#[test]
fn devel_lets_pre_releases_take_part_where_no_version_is_named() {
    let world = World::new();
    for version in ["1.4.2", "2.0.0-rc.1"] {
        world.push(&Chart::new("web", version));
    }
    let repository = world.repository("web");
    let chosen = |arguments: &[&str]| {
        let mut words = vec!["sign", "-o", "json"];
        words.extend(arguments);
        let document = world.run(&words).exits(0).json();
        document["results"][0]["chart"]["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(chosen(&[&repository]), "1.4.2");
    assert_eq!(chosen(&[&repository, "--devel"]), "2.0.0-rc.1");
    // What is named is taken, as Helm does.
    assert_eq!(chosen(&[&repository, "--devel", "--version", "^1"]), "1.4.2");
    assert_eq!(chosen(&[&format!("{repository}:1.4.2"), "--devel"]), "1.4.2");
    world.verify(&[&repository, "--devel"]).exits(0).prints("web:2.0.0-rc.1");
}

#[test]
fn devel_changes_nothing_for_a_file() {
    let world = World::new();
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    world.verify(&[&file.display().to_string(), "--devel"]).exits(3);
}
