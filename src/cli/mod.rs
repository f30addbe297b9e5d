//! The command line: arguments and environment in, words or JSON out, one exit code.

mod args;
mod attest;
mod completion;
mod detach;
mod doctor;
mod drive;
mod environment;
mod export;
mod forwarded;
mod github_output;
mod identities;
mod key;
mod lists;
mod parse;
mod policy;
mod policy_command;
mod print;
mod provenance;
mod push;
mod pushed;
mod rekor;
mod services;
mod setup;
mod sign;
mod sign_in;
mod signer;
mod token;
mod tree;
mod trust;
mod verify;
mod version;
mod words;

use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;

use jiff::Timestamp;

pub use completion::completion_yaml;
pub use environment::Environment;

use crate::error::{Class, Error, Reason, Result};
use crate::net::Journal;
use crate::run::{Outcome, Report, Tool, World};
use args::{Command, PolicyAction};
use drive::Driver;
use parse::{Given, Parsed, Unparsed};
use print::Printer;
use rekor::RekorCommand;

/// The world outside, read once by `main`.
pub struct Process<'a> {
    /// The arguments after the program's name.
    pub arguments: Vec<String>,
    /// The environment.
    pub environment: Environment,
    /// Says which file runs.
    pub executable: fn() -> String,
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// Standard output.
    pub stdout: &'a mut dyn Write,
    /// Standard error.
    pub stderr: &'a mut dyn Write,
    /// Whether standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// What a command ended with.
enum Ended {
    /// Text for standard output, as it is.
    Text(String),
    /// A JSON document of another kind than a report.
    Document(serde_json::Value),
    /// Results.
    Report(Report),
    /// Who accepts a chart.
    Diagnosis(Box<doctor::Document>),
    /// What is logged.
    Rekor(Box<rekor::Document>),
    /// What is attached to a chart.
    Tree(Box<tree::Document>),
    /// What was taken off a chart.
    Detached(Box<detach::Document>),
}

/// What a command needs of the world.
struct Context<'a, 'p> {
    environment: &'a Environment,
    /// The flags that stood in the arguments.
    given: Given,
    registry_config: Option<String>,
    /// What goes over the network.
    journal: Journal,
    tool: Tool,
    stdin: &'a mut dyn Read,
    interactive: bool,
    wide: bool,
    world: World,
    driver: Driver,
    printer: &'a mut Printer<'p>,
    subject: Subject,
}

/// What a failure of the whole command is a failure of.
#[derive(Default)]
struct Subject {
    /// The objects as the user typed them.
    inputs: Vec<String>,
    /// Whether they were to be signed.
    signing: bool,
}

/// Runs one command and answers the exit code: the only place that decides it.
pub fn run(process: Process<'_>) -> u8 {
    let Process { environment, executable, stdin, stdout, stderr, clock, .. } = process;
    // Neither for people nor for scripts: the words are those of an unfinished command line.
    let completed = process.arguments.split_first().filter(|(verb, _)| *verb == completion::VERB);
    let completed = completed.map(|(_, words)| words.to_vec());
    let forwarded = match &completed {
        Some(_) => forwarded::Forwarded::default(),
        None => forwarded::separate(process.arguments),
    };
    let json = parse::wants_json(&forwarded.arguments, &environment);
    let dumb = environment.value("TERM") == Some("dumb");
    let color = |terminal: bool| match forwarded.color_mode(&environment) {
        "always" => true,
        "never" => false,
        _ => terminal && !dumb,
    };
    let (color_stdout, color_stderr) =
        (color(process.stdout_is_terminal), color(process.stderr_is_terminal));
    let mut printer = Printer::new(stdout, stderr, color_stdout, color_stderr);
    let tool = Tool { name: "helm-sigstore", version: env!("CARGO_PKG_VERSION"), executable };
    let world = World::new(clock);
    // What Helm was told about itself is meant for its plugins too.
    let debug = forwarded.debug || environment.is_true("HELM_DEBUG");
    let journal = Journal::new(debug && completed.is_none());
    let mut context = Context {
        environment: &environment,
        given: Given::default(),
        registry_config: forwarded.registry_config.clone(),
        journal: journal.clone(),
        tool: tool.clone(),
        stdin,
        interactive: process.stdin_is_terminal && process.stderr_is_terminal,
        wide: process.stdout_is_terminal,
        world: world.clone(),
        driver: Driver::new(process.stderr_is_terminal && !dumb && !json && !debug),
        printer: &mut printer,
        subject: Subject {
            inputs: Vec::new(),
            // As far as one can tell before the arguments are parsed.
            signing: forwarded
                .arguments
                .iter()
                .find(|word| !word.starts_with('-'))
                .is_some_and(|word| word == "sign" || word == "attest"),
        },
    };
    // A panic is a fault of ours: whatever was asked, nothing was verified (gitsign CVE-2026-44310).
    let ended =
        std::panic::catch_unwind(AssertUnwindSafe(|| match (&completed, &forwarded.error) {
            (Some(words), _) => Ok(completion::answer(words, &mut context)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => dispatch(&forwarded.arguments, json, &mut context),
        }))
        .unwrap_or_else(|_| {
            Err(Error::new(Class::Undecided, Reason::Malformed, "internal error")
                .note("this is a bug of helm-sigstore: please report it"))
        });
    let subject = std::mem::take(&mut context.subject);
    let program = parse::program(&environment);
    for warning in world.take_warnings().into_iter().chain(journal.take_warnings()) {
        // Helm would take it for a candidate.
        if completed.is_none() {
            printer.warning(&warning);
        }
    }
    let code = finish(ended, json, &subject, program, tool, &mut printer);
    if code == 0 && printer.stdout_broken() {
        let error = Error::new(Class::Undecided, Reason::Malformed, "standard output is closed");
        printer.error(&error, "the result was not written");
        return error.class.exit_code();
    }
    code
}

/// Prints what a command ended with and answers its exit code.
fn finish(
    ended: Result<Ended>,
    json: bool,
    subject: &Subject,
    program: &str,
    tool: Tool,
    printer: &mut Printer<'_>,
) -> u8 {
    let mut report = match ended {
        Ok(Ended::Text(text)) => {
            printer.text(&text);
            return 0;
        }
        Ok(Ended::Document(document)) => {
            printer.json(&document);
            return 0;
        }
        Ok(Ended::Diagnosis(document)) => {
            let document = document.called(program);
            match json {
                true => printer.json(&document),
                false => printer.text(&doctor::words(&document)),
            }
            return document.exit_code();
        }
        Ok(Ended::Rekor(document)) => {
            match json {
                true => printer.json(&document),
                false => printer.text(&rekor::words(&document)),
            }
            return document.exit_code();
        }
        Ok(Ended::Tree(tree)) => {
            match json {
                true => printer.json(&tree),
                false => printer.text(&tree::words(&tree, program)),
            }
            return tree.exit_code();
        }
        Ok(Ended::Detached(detached)) => {
            match json {
                true => printer.json(&detached),
                false => printer.text(&detach::words(&detached)),
            }
            if let Some(error) = detached.error().filter(|_| !json) {
                printer.error(error, "what was removed is said above; run it again for the rest");
            }
            return detached.exit_code();
        }
        Ok(Ended::Report(report)) => report,
        Err(error) => failed(error, subject, tool),
    };
    // Hints are written for the plugin; by itself the program has another name.
    for outcome in &mut report.results {
        if let Some(rest) =
            outcome.hint.as_ref().and_then(|hint| hint.strip_prefix("helm sigstore "))
        {
            let hint = format!("{program} {rest}");
            if let Some(error) = &mut outcome.error {
                error.hint = Some(hint.clone());
            }
            outcome.hint = Some(hint);
        }
    }
    if json {
        printer.json(&report);
    } else {
        printer.report(&report);
    }
    report.exit_code()
}

/// The failure of a whole command: every object has it.
fn failed(error: Error, subject: &Subject, tool: Tool) -> Report {
    let outcome = |input: &str| {
        let outcome = if subject.signing { Outcome::of_sign(input) } else { Outcome::new(input) };
        outcome.failed(error.clone())
    };
    let results = match subject.inputs.as_slice() {
        [] => vec![outcome("")],
        inputs => inputs.iter().map(|input| outcome(input)).collect(),
    };
    Report::new(tool, results)
}

/// Parses the arguments and runs the command.
///
/// No command's `run` is inlined here: each has a frame of its own, else every command pays for the stack of all.
fn dispatch(arguments: &[String], json: bool, context: &mut Context<'_, '_>) -> Result<Ended> {
    let Parsed { cli, given, timeout } = match parse::parse(
        arguments,
        context.environment,
        context.wide,
    ) {
        Ok(parsed) => parsed,
        Err(Unparsed::Help(text)) => return Ok(Ended::Text(text)),
        Err(Unparsed::Version) => return Ok(version::answer(json, false, &context.tool)),
        Err(Unparsed::Wrong(error)) => {
            let missing = error.what == parse::MISSING;
            return Err(match missing && forwarded::may_have_swallowed(context.environment) {
                true => error.note(
                    "helm takes the word behind --kube-insecure-skip-tls-verify away; put it last, or leave it out",
                ),
                false => error,
            });
        }
    };
    context.given = given;
    if let Some(timeout) = timeout {
        context.driver.end_after(timeout);
    }
    match cli.command {
        Command::Completion(arguments) => {
            Ok(Ended::Text(completion::script(arguments.shell).to_owned()))
        }
        Command::Doctor(arguments) => {
            context.subject.inputs = vec![arguments.reference.clone()];
            doctor::run(*arguments, context)
        }
        Command::Key(arguments) => key::run(arguments.command, context),
        Command::Attest(arguments) => {
            context.subject = Subject { inputs: arguments.charts.clone(), signing: true };
            attest::run(*arguments, context)
        }
        Command::Policy(command) => match command.action {
            PolicyAction::Export(arguments) => {
                context.subject.inputs = vec![arguments.reference.clone()];
                export::run(*arguments, context)
            }
            PolicyAction::Init(arguments) => policy_command::init(&arguments, context),
            PolicyAction::Test(arguments) => policy_command::test(&arguments, context),
        },
        Command::Push(arguments) => push::run(*arguments, context),
        Command::Rekor(arguments) => rekor::run(arguments.command, context),
        Command::Search(arguments) => rekor::run(RekorCommand::Search(arguments), context),
        Command::Sign(arguments) => {
            context.subject = Subject { inputs: arguments.charts.clone(), signing: true };
            sign::run(*arguments, context)
        }
        Command::Verify(arguments) => {
            context.subject = Subject { inputs: arguments.charts.clone(), signing: false };
            verify::run(*arguments, context)
        }
        Command::Detach(arguments) => {
            context.subject.inputs = vec![arguments.reference.clone()];
            detach::run(*arguments, context)
        }
        Command::Tree(arguments) => {
            context.subject.inputs = vec![arguments.reference.clone()];
            tree::run(*arguments, context)
        }
        Command::Trust(command) => trust::run(*command, context),
        Command::Upload(arguments) => rekor::run(RekorCommand::Upload(arguments), context),
        Command::Version(arguments) => Ok(version::answer(json, arguments.short, &context.tool)),
    }
}

/// The longest answer to a question that is read.
const MAX_ANSWER_BYTES: usize = 16;

/// Asks a person and answers whether they said yes; the time they take is not counted.
fn confirm(context: &mut Context<'_, '_>, question: &str) -> bool {
    context.printer.prompt(question);
    let asked = std::time::Instant::now();
    let mut answer = Vec::new();
    let mut byte = [0_u8; 1];
    let ended = loop {
        match context.stdin.read(&mut byte) {
            Ok(1) if byte == *b"\n" => break true,
            Ok(1) if answer.len() < MAX_ANSWER_BYTES => answer.extend_from_slice(&byte),
            _ => break false,
        }
    };
    if !ended {
        // Nobody has ended the line of the question.
        context.printer.note("");
    }
    context.driver.forgive(asked.elapsed());
    matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes" | b"Yes")
}
