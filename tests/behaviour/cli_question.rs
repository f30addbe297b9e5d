//! Before an identity goes into a public log for ever: asked once, and only where somebody can answer.

use crate::cli_support::Setting;
use crate::support::{Ended, World};

/// A world whose signer would use the public-good instance. No test lets it come so far: the chart of
/// `reference` does not exist.
fn public() -> (World, String) {
    let mut world = World::new();
    for name in ["HELM_SIGSTORE_TRUSTED_ROOT", "HELM_SIGSTORE_SIGNING_CONFIG"] {
        world.environment.insert(name.to_owned(), "embedded".to_owned());
    }
    let reference = format!("{}:9.9.9", world.repository("nosuch"));
    (world, reference)
}

fn asks(ended: &Ended) -> bool {
    ended.stderr.contains("[y/N]")
}

#[test]
fn the_public_good_instance_asks_once_on_a_terminal() {
    let (mut world, reference) = public();
    for (answer, code) in
        [("n\n", 2), ("", 2), ("\n", 2), ("yes please\n", 2), ("y\n", 6), ("yes\n", 6)]
    {
        world.stdin = answer.as_bytes().to_vec();
        let ended = Setting::terminal().run(&world, &["sign", &reference, &reference]).exits(code);
        assert_eq!(ended.stderr.matches("[y/N]").count(), 1, "{answer:?}: {ended:?}");
        assert!(ended.stderr.contains("in a public log, for ever"), "{ended:?}");
    }
    world.stdin = b"n\n".to_vec();
    let refused = Setting::terminal().run(&world, &["sign", &reference]).exits(2);
    assert!(refused.stderr.contains(": not signed: oci://"), "{refused:?}");
    assert_eq!(world.registry.requests().iter().filter(|r| r.method != "GET").count(), 0);
}

#[test]
fn nobody_is_asked_in_a_pipeline_or_with_yes() {
    let (world, reference) = public();
    let one_line = "signing as ";
    for setting in [
        Setting::pipes(),
        Setting { stdin_is_terminal: false, ..Setting::terminal() },
        Setting { stderr_is_terminal: false, ..Setting::terminal() },
    ] {
        let ended = setting.run(&world, &["sign", &reference]).exits(6).says(one_line);
        assert!(!asks(&ended), "{ended:?}");
    }
    for yes in ["--yes", "-y"] {
        let ended =
            Setting::terminal().run(&world, &["sign", &reference, yes]).exits(6).says(one_line);
        assert!(!asks(&ended), "{ended:?}");
    }
}

#[test]
fn a_private_instance_does_not_ask() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let ended = Setting::terminal().run(&world, &["sign", &reference]).exits(0);
    assert!(!asks(&ended), "{ended:?}");
}
