//! Streams, colours, progress, time-outs and faults of our own.

use std::io::{Error, ErrorKind, Write};
use std::time::{Duration, Instant};

use helm_sigstore_kit::registry::{Action, Fault};
use helm_sigstore_kit::sigstore::{Fault as ServiceFault, Service};

use crate::cli_support::{Setting, verify_words};
use crate::support::World;

#[test]
fn results_go_to_standard_output_and_everything_else_to_standard_error() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let refused = world.verify(&[&reference]).exits(3);
    assert_eq!(refused.stdout, "");
    let signed = world.run(&["sign", &reference]).exits(0).says("signing as ");
    assert!(signed.stdout.starts_with("Signed: "), "{}", signed.stdout);
    let verified = world.verify(&[&reference]).exits(0);
    assert_eq!(verified.stderr, "");
}

#[test]
fn a_terminal_gets_colour_and_a_pipe_gets_none() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let signer = world.signer();
    let words = verify_words(&signer, &[&reference]);
    let at_terminal = Setting::terminal().run(&world, &words).exits(0);
    assert!(at_terminal.stdout.starts_with("\u{1b}[32mVerified\u{1b}[0m: "), "{at_terminal:?}");
    let piped = Setting::pipes().run(&world, &words).exits(0);
    assert!(!piped.stdout.contains('\u{1b}'), "{piped:?}");
    let errors = Setting { stdout_is_terminal: false, ..Setting::terminal() };
    let failed = errors.run(&world, &["verify"]).exits(2);
    assert!(failed.stderr.starts_with("\u{1b}[31merror\u{1b}[0m: "), "{failed:?}");
}

#[test]
fn no_color_holds_and_the_flag_of_helm_wins() {
    let mut world = World::new();
    for (variables, flags, colour) in [
        (vec![("NO_COLOR", "1")], vec![], false),
        (vec![("NO_COLOR", "")], vec![], true),
        (vec![("TERM", "dumb")], vec![], false),
        (vec![("HELM_COLOR", "never")], vec![], false),
        (vec![("NO_COLOR", "1"), ("HELM_COLOR", "always")], vec![], false),
        (vec![("NO_COLOR", "1")], vec!["--color", "always"], true),
        (vec![], vec!["--colour=never"], false),
    ] {
        for name in ["NO_COLOR", "TERM", "HELM_COLOR"] {
            world.environment.remove(name);
        }
        world.environment.extend(variables.iter().map(|(n, v)| ((*n).into(), (*v).into())));
        let mut words = flags.clone();
        words.push("verify");
        let ended = Setting::terminal().run(&world, &words).exits(2);
        assert_eq!(ended.stderr.contains('\u{1b}'), colour, "{variables:?} {flags:?}");
    }
    let forced = Setting::pipes().run(&world, &["verify", "--color=always"]).exits(2);
    assert!(forced.stderr.contains('\u{1b}'));
}

#[test]
fn a_terminal_is_told_what_takes_longer_than_half_a_second_and_a_pipe_is_not() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.registry.fault(Fault::new("/manifests/1.4.2", Action::Delay(1200)));
    let signer = world.signer();
    let words = verify_words(&signer, &[&reference]);
    let told = Setting::terminal().run(&world, &words).exits(0);
    let line = format!("\r\u{1b}[2Kresolving {reference} …");
    assert!(told.stderr.contains(&line), "{told:?}");
    assert!(told.stderr.ends_with("\r\u{1b}[2K"), "the line is wiped: {told:?}");
    assert_eq!(Setting::pipes().run(&world, &words).exits(0).stderr, "");
    let mut json = words.clone();
    json.extend(["-o", "json"]);
    assert_eq!(Setting::terminal().run(&world, &json).exits(0).stderr, "");
}

#[test]
fn what_is_quick_is_not_told() {
    let world = World::new();
    let ended = Setting::terminal().run(&world, &["version"]).exits(0);
    assert_eq!((ended.stdout.contains('\u{1b}'), ended.stderr.as_str()), (false, ""));
}

/// A reader that has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(Error::from(ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_result_that_nobody_can_read_is_no_success() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let signer = world.signer();
    for more in [vec![], vec!["-o", "json"]] {
        let mut words = verify_words(&signer, &[&reference]);
        words.extend(more);
        Setting::pipes()
            .run_into(&world, &mut Closed, &words)
            .exits(4)
            .says("error: standard output is closed\n");
    }
    Setting::pipes().run_into(&world, &mut Closed, &["version"]).exits(4);
    // A failure keeps its own code.
    Setting::pipes().run_into(&world, &mut Closed, &["verify", "-o", "json"]).exits(2);
}

#[test]
fn a_panic_is_undecided_and_still_one_document() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    let signer = world.signer();
    let broken = Setting { clock: || panic!("no time"), ..Setting::pipes() };
    let words = verify_words(&signer, &[&reference]);
    let ended = broken.run(&world, &words).exits(4).says("error: internal error: oci://");
    assert!(ended.stderr.ends_with("  nothing was verified; retry\n"), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let mut words = words.clone();
    words.extend(["-o", "json"]);
    let document = broken.run(&world, &words).exits(4).json();
    assert_eq!(document["verdict"], "undecided");
    assert_eq!(document["results"][0]["input"], reference.as_str());
    assert_eq!(document["results"][0]["retryable"], true);
}

#[test]
fn a_time_out_leaves_every_object_that_has_not_ended_undecided() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    world.registry.fault(Fault::new("/manifests/9.9.9", Action::Hang));
    let slow = format!("{}:9.9.9", world.repository("web"));
    let signer = world.signer();
    let words =
        verify_words(&signer, &[&reference, &slow, &reference, "-o", "json", "--timeout", "700ms"]);
    let document = Setting::pipes().run(&world, &words).exits(4).json();
    let of = |field: &str| -> Vec<_> {
        document["results"].as_array().unwrap().iter().map(|r| r[field].clone()).collect()
    };
    // The one that hangs holds up nobody else.
    assert_eq!(of("verdict"), ["verified", "undecided", "verified"]);
    assert_eq!(of("input"), [&reference, &slow, &reference].map(String::as_str));
    assert_eq!(of("reason")[1], "limit-reached");
    assert!(of("message")[1].as_str().unwrap().contains(&format!("resolving {slow}")));
    assert!(document["results"][1]["trust"]["source"].is_string(), "{document:#}");
}

#[test]
fn one_time_out_bounds_the_whole_command_with_the_identity_token() {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    world.environment.remove("SIGSTORE_ID_TOKEN");
    world.environment.extend(world.sigstore.github_actions_env());
    world.sigstore.set_fault(ServiceFault::Delay(Service::Oidc, Duration::from_millis(800)));
    world.registry.fault(Fault::new("/manifests/", Action::Hang));
    let started = Instant::now();
    let ended = world.run(&["sign", &reference, "--timeout", "1200ms"]).exits(4);
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_millis(1900), "{elapsed:?}: {ended:?}");
    assert!(ended.stderr.contains("timed out after 1.2 s while resolving"), "{ended:?}");
    assert!(ended.stderr.ends_with("  nothing was signed; retry\n"), "{ended:?}");
}
