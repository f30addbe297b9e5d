//! The command line: arguments and environment in, words or JSON out, one exit code.

mod args;
mod environment;
mod forwarded;
mod print;
mod setup;
mod sign;
mod verify;
mod version;

use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use jiff::Timestamp;

pub use environment::Environment;

use crate::error::{Error, Reason, Result};
use crate::run::{Outcome, Report, Tool, World};
use args::{Cli, Command};
use print::Printer;

/// How long something may take before a terminal is told what is going on.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

/// The world outside, read once by `main`.
pub struct Process<'a> {
    /// The arguments after the program's name.
    pub arguments: Vec<String>,
    /// The environment.
    pub environment: Environment,
    /// The file that runs.
    pub executable: String,
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
}

/// Runs one command and answers the exit code: the only place that decides it.
pub fn run(process: Process<'_>) -> u8 {
    let Process { environment, executable, stdin, stdout, stderr, clock, .. } = process;
    let forwarded = forwarded::separate(process.arguments);
    let json = wants_json(&forwarded.arguments, &environment);
    let no_color = environment.value("NO_COLOR").is_some();
    let color = |terminal: bool| match forwarded.color.as_deref() {
        Some("always") => true,
        Some("never") => false,
        _ => terminal && !no_color && environment.value("TERM") != Some("dumb"),
    };
    let (color_stdout, color_stderr) =
        (color(process.stdout_is_terminal), color(process.stderr_is_terminal));
    let mut printer = Printer::new(stdout, stderr, color_stdout, color_stderr);
    let tool = Tool { name: "helm-sigstore", version: env!("CARGO_PKG_VERSION"), executable };
    let world = World::new(clock);
    let mut context = Context {
        environment: &environment,
        registry_config: forwarded.registry_config,
        tool: tool.clone(),
        stdin,
        interactive: process.stdin_is_terminal && process.stderr_is_terminal,
        progress: process.stderr_is_terminal && !json,
        world: world.clone(),
        printer: &mut printer,
    };
    // A panic is a fault of ours: whatever was asked, nothing was verified (gitsign CVE-2026-44310).
    let ended =
        std::panic::catch_unwind(AssertUnwindSafe(|| dispatch(&forwarded.arguments, &mut context)))
            .unwrap_or_else(|_| {
                Err(Error::undecided(Reason::Malformed, "internal error")
                    .note("this is a bug: report it"))
            });
    for warning in world.take_warnings() {
        printer.warning(&warning);
    }
    let code = finish(ended, json, tool, &mut printer);
    if code == 0 && printer.stdout_broken() {
        return 4;
    }
    code
}

fn finish(ended: Result<Ended>, json: bool, tool: Tool, printer: &mut Printer<'_>) -> u8 {
    let report = match ended {
        Ok(Ended::Text(text)) => {
            printer.text(&text);
            return 0;
        }
        Ok(Ended::Document(document)) => {
            printer.json(&document);
            return 0;
        }
        Ok(Ended::Report(report)) => report,
        Err(error) => {
            let input = error.object.clone();
            let mut outcome = Outcome::new(&input).failed(error.clone());
            outcome.error = Some(error);
            Report::new(tool, vec![outcome])
        }
    };
    if json {
        printer.json(&report)
    } else {
        printer.report(&report)
    }
    report.exit_code()
}

/// What a command needs of the world.
struct Context<'a, 'p> {
    environment: &'a Environment,
    registry_config: Option<String>,
    tool: Tool,
    stdin: &'a mut dyn Read,
    interactive: bool,
    progress: bool,
    world: World,
    printer: &'a mut Printer<'p>,
}

fn dispatch(arguments: &[String], context: &mut Context<'_, '_>) -> Result<Ended> {
    let cli = match parse(arguments, context.environment) {
        Ok(cli) => cli,
        Err(Unparsed::Help(text)) => return Ok(Ended::Text(text)),
        Err(Unparsed::Wrong(error)) => return Err(error),
    };
    match cli.command {
        Command::Sign(arguments) => sign::run(*arguments, context),
        Command::Verify(arguments) => verify::run(*arguments, context),
        Command::Version(arguments) => Ok(version::run(&arguments, &context.tool)),
    }
}

enum Unparsed {
    Help(String),
    Wrong(Error),
}

/// Reads the arguments, then once more with the flags that the environment sets.
fn parse(arguments: &[String], environment: &Environment) -> Result<Cli, Unparsed> {
    let name = if environment.value("HELM_PLUGIN_NAME").is_some() {
        "helm sigstore"
    } else {
        "helm-sigstore"
    };
    let command = || Cli::command().name("helm-sigstore").bin_name(name);
    let words = |more: &[String]| {
        let mut words = vec![name.to_owned()];
        words.extend(arguments.iter().cloned());
        // In front of a `--`, after which nothing is a flag.
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.splice(end..end, more.iter().cloned());
        words
    };
    let matches =
        command().ignore_errors(true).try_get_matches_from(words(&[])).map_err(unparsed)?;
    let mut flags = Vec::new();
    if let Some((subcommand, of)) = matches.subcommand() {
        let mut full = command();
        full.build();
        if let Some(definition) = full.find_subcommand(subcommand) {
            flags = environment.flags(definition, of).map_err(Unparsed::Wrong)?;
        }
    }
    let matches = command().try_get_matches_from(words(&flags)).map_err(unparsed)?;
    Cli::from_arg_matches(&matches).map_err(unparsed)
}

/// Help is a result; everything else of the parser becomes an error of ours.
fn unparsed(error: clap::Error) -> Unparsed {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Unparsed::Help(error.render().to_string())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Unparsed::Wrong(Error::usage("no command was given").hint("helm sigstore --help"))
        }
        _ => {
            let text = error.render().to_string();
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let first = lines.next().unwrap_or_default();
            let mut wrong = Error::usage(first.strip_prefix("error: ").unwrap_or(first));
            for line in lines.take_while(|line| !line.starts_with("For more information")) {
                match line.strip_prefix("tip: ") {
                    Some(tip) => wrong = wrong.note(tip),
                    None => wrong = wrong.note(line),
                }
            }
            Unparsed::Wrong(wrong)
        }
    }
}

/// Finds `-o json` before anything is parsed, so that a usage error is a document too.
fn wants_json(arguments: &[String], environment: &Environment) -> bool {
    let mut format = environment.value("HELM_SIGSTORE_OUTPUT");
    let mut words = arguments.iter().map(String::as_str).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "-o" || word == "--output" {
            format = words.next();
        } else if let Some(value) = word.strip_prefix("--output=") {
            format = Some(value);
        } else if let Some(value) = word.strip_prefix("-o") {
            format = Some(value.strip_prefix('=').unwrap_or(value));
        }
    }
    format == Some("json")
}

/// Drives `work` to its end or to its time-out, and tells a terminal what takes long.
fn drive<T>(
    context: &mut Context<'_, '_>,
    timeout: Duration,
    work: impl Future<Output = T>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::undecided(Reason::Unreachable, error.to_string()))?;
    let world = context.world.clone();
    let progress = context.progress;
    let printer = &mut *context.printer;
    runtime.block_on(async move {
        let mut work = std::pin::pin!(work);
        let deadline = tokio::time::Instant::now() + timeout;
        let mut next = tokio::time::Instant::now() + PROGRESS_AFTER;
        let mut shown = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut work => break Ok(ended),
                () = tokio::time::sleep_until(deadline) => {
                    let step = world.step();
                    break Err(Error::undecided(
                        Reason::LimitReached,
                        format!("timed out after {} s while {step}", timeout.as_secs_f32()),
                    ));
                }
                () = tokio::time::sleep_until(next), if progress => {
                    printer.progress(&world.step());
                    shown = true;
                    next += PROGRESS_AFTER;
                }
            }
        };
        if shown {
            printer.progress("");
        }
        ended
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn json_is_found_before_the_arguments_are_parsed() {
        let none = Environment::default();
        for text in
            ["verify -o json --nonsense", "verify -ojson", "x --output=json", "-o text -o json"]
        {
            assert!(wants_json(&words(text), &none), "{text}");
        }
        for text in ["verify", "verify -o text", "verify -- -o json", "verify -o"] {
            assert!(!wants_json(&words(text), &none), "{text}");
        }
        let set = Environment::new([("HELM_SIGSTORE_OUTPUT".to_owned(), "json".to_owned())]);
        assert!(wants_json(&words("verify"), &set));
        assert!(!wants_json(&words("verify -o text"), &set));
    }

    #[test]
    fn the_environment_sets_flags_and_the_command_line_wins() {
        let environment = Environment::new(
            [
                ("HELM_SIGSTORE_TRUSTED_ROOT", "embedded"),
                ("HELM_SIGSTORE_PLAIN_HTTP", "true"),
                ("HELM_SIGSTORE_CERTIFICATE_IDENTITY_REGEXP", ".*"),
                ("HELM_SIGSTORE_TIMEOUT", ""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let cli = parse(&words("verify --certificate-identity a oci://r/web"), &environment);
        let Ok(Cli { command: Command::Verify(arguments) }) = cli else { panic!("no verify") };
        assert_eq!(arguments.trust.trusted_root.as_deref(), Some("embedded"));
        assert!(arguments.registry.plain_http);
        assert_eq!(arguments.certificate_identity.as_deref(), Some("a"));
        assert_eq!(arguments.certificate_identity_regexp, None);
    }

    #[test]
    fn an_empty_value_on_the_command_line_is_an_error() {
        let environment = Environment::default();
        let empty = ["verify", "--trusted-root", "", "oci://r/web"].map(str::to_owned);
        assert!(matches!(parse(&empty, &environment), Err(Unparsed::Wrong(_))));
    }
}
