//! Several objects in one run: side by side, each with an outcome of its own, in the order of the arguments.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Auth, Bearer, Fault, Options};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;
use serde_json::Value;

use crate::cli_support::Setting;
use crate::sign_support::{asked, lines};
use crate::support::World;

/// Pushes `web` in `count` versions and answers their references.
fn push_versions(world: &World, count: usize) -> Vec<String> {
    (0..count)
        .map(|patch| {
            let version = format!("1.0.{patch}");
            world.push(&Chart::new("web", &version));
            format!("{}:{version}", world.repository("web"))
        })
        .collect()
}

fn with_command<'a>(command: &[&'a str], references: &'a [String]) -> Vec<&'a str> {
    command.iter().copied().chain(references.iter().map(String::as_str)).collect()
}

fn of(document: &Value, field: &str) -> Vec<String> {
    let results = document["results"].as_array().unwrap();
    results.iter().map(|result| result[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// A registry that hands out tokens to anybody.
fn with_tokens() -> World {
    let options =
        Options { auth: Auth::Bearer(Bearer::new("jane", "tr0ub4dor-3")), ..Options::default() };
    let mut world = World::with(options, SigstoreOptions::default());
    world.stdin = b"tr0ub4dor-3\n".to_vec();
    world
}

const LOGIN: [&str; 3] = ["--username", "jane", "--password-stdin"];

#[test]
fn many_charts_take_one_token_one_certificate_and_the_requests_of_each() {
    let requests_for = |count: usize| {
        let world = with_tokens();
        let references = push_versions(&world, count);
        let mut sign = with_command(&["sign"], &references);
        sign.extend(LOGIN);
        world.run(&sign).exits(0);
        assert_eq!(asked(&world), (1, count, count));
        let of_sign = world.registry.requests();
        world.registry.reset_requests();
        let mut verify = references.iter().map(String::as_str).collect::<Vec<_>>();
        verify.extend(LOGIN);
        world.verify(&verify).exits(0);
        let of_verify = world.registry.requests();
        for requests in [&of_sign, &of_verify] {
            let tokens = requests.iter().filter(|request| request.is_token()).count();
            assert_eq!(tokens, 1, "{:#?}", lines(&world));
        }
        (of_sign.len(), of_verify.len())
    };
    let (one, twelve) = (requests_for(1), requests_for(12));
    // The challenge and the token come once; everything else is what each chart needs.
    let once = 2;
    assert_eq!(twelve.0 - once, 12 * (one.0 - once));
    assert_eq!(twelve.1 - once, 12 * (one.1 - once));
}

#[test]
fn charts_are_worked_on_side_by_side_and_no_more_than_eight() {
    let world = World::new();
    let references = push_versions(&world, 20);
    world.run(&with_command(&["sign"], &references)).exits(0);
    world.registry.reset_requests();
    world.registry.delay_per_response(50);
    let words: Vec<_> = references.iter().map(String::as_str).collect();
    world.verify(&words).exits(0);
    let most = world.registry.most_concurrent();
    assert!((4..=8).contains(&most), "{most} at a time");
    // And over no more connections than that, which are used again.
    let connections = world.registry.connections();
    assert!(connections <= 8, "{connections} connections");
}

#[test]
fn results_keep_the_order_of_the_arguments_and_a_failure_is_nobody_elses() {
    let world = World::new();
    let references = push_versions(&world, 6);
    let signed = [references[0].clone(), references[2].clone(), references[4].clone()];
    world.run(&with_command(&["sign"], &signed)).exits(0);
    // The first is the last to end.
    world.registry.fault(Fault::new("/manifests/1.0.0", Action::Delay(300)));
    world.registry.fault(Fault::new("/manifests/1.0.2", Action::status(403)));
    let missing = format!("{}:9.9.9", world.repository("web"));
    let inputs = [
        references[0].as_str(),
        references[1].as_str(),
        references[2].as_str(),
        "gone.tgz",
        &missing,
        references[4].as_str(),
    ];
    let mut words = inputs.to_vec();
    words.extend(["-o", "json"]);
    let document = world.verify(&words).exits(3).json();
    assert_eq!(of(&document, "input"), inputs);
    assert_eq!(
        of(&document, "verdict"),
        ["verified", "unsigned", "undecided", "usage", "not-found", "verified"]
    );
    assert_eq!(document["verdict"], "unsigned");
}

#[test]
fn a_time_out_says_of_each_chart_what_was_being_done_with_it() {
    let world = World::new();
    let references = push_versions(&world, 12);
    world.registry.fault(Fault::new("/blobs/uploads/", Action::Hang));
    let command = ["sign", "-o", "json", "--timeout", "1500ms"];
    let document = world.run(&with_command(&command, &references)).exits(4).json();
    assert_eq!(of(&document, "verdict"), ["undecided"; 12]);
    let messages = of(&document, "message");
    let while_writing =
        messages.iter().filter(|m| m.contains("while checking write access")).count();
    assert_eq!(while_writing, 8, "{messages:#?}");
    // The others had not had their turn.
    let untouched = messages.iter().filter(|m| m.contains("after 1.5 s (--timeout)")).count();
    assert_eq!(untouched, 4, "{messages:#?}");
}

#[test]
fn references_are_read_from_a_list_in_a_file_or_on_standard_input() {
    let mut world = World::new();
    let references = push_versions(&world, 4);
    let list = world.path("charts.txt");
    let text = format!("# all of them\n\n  {}  \r\n{}\n", references[1], references[2]);
    std::fs::write(&list, &text).unwrap();
    let at = format!("@{}", list.display());
    let document =
        world.run(&["sign", &references[0], &at, &references[3], "-o", "json"]).exits(0).json();
    assert_eq!(of(&document, "input"), references);
    world.stdin = text.into_bytes();
    let document = world.verify(&["-o", "json", &references[3], "-", &at]).exits(0).json();
    let expected = [3, 1, 2, 1, 2].map(|at: usize| references[at].clone());
    assert_eq!(of(&document, "input"), expected);
}

#[test]
fn a_list_says_which_of_its_lines_is_wrong_and_the_others_are_verified() {
    let mut world = World::new();
    let (reference, _) = world.signed_web();
    world.stdin = format!("# first\n{reference}\n\nnot a chart\n").into_bytes();
    world
        .verify(&["-"])
        .exits(2)
        .prints(&format!("Verified: {reference}"))
        .says("error: invalid reference: not a chart\n")
        .says("  in     standard input:4\n");
}

#[test]
fn standard_input_has_one_reader_and_a_list_that_cannot_be_read_is_a_usage_error() {
    let mut world = World::new();
    world.stdin = b"oci://r.io/web:1".to_vec();
    let twice = "error: standard input can be read only once";
    world.verify(&["-", "-"]).exits(2).says(twice);
    world.verify(&["-", "--username", "jane", "--password-stdin"]).exits(2).says(twice);
    for command in ["sign", "verify"] {
        world.run(&[command, "@gone.txt"]).exits(2).says("error: cannot read list: @gone.txt\n");
    }
    world.stdin = b"# nothing yet\n".to_vec();
    world.verify(&["-"]).exits(2).says("error: the list names no chart: -\n");
    assert_eq!(world.registry.requests().len(), 0);
}

#[test]
fn a_terminal_is_told_how_many_are_done() {
    let world = World::new();
    let references = push_versions(&world, 3);
    // Long enough for the other two on a machine that is busy.
    world.registry.fault(Fault::new("/manifests/1.0.2", Action::Delay(3000)));
    let words = with_command(&["sign", "--yes"], &references);
    let told = Setting::terminal().run(&world, &words).exits(0);
    assert!(told.stderr.contains("\r\u{1b}[2K2 of 3 done: "), "{told:?}");
}
