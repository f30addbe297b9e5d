//! From words to [`Cli`]: the arguments, then the flags that the environment sets, and what the parser
//! has to say in our words.

use std::collections::HashSet;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::args::{Cli, Command, PolicyAction};
use super::environment::Environment;
use crate::error::{Error, Result};

/// Columns of help that goes to no terminal.
const WIDTH: usize = 100;

/// What the help begins with: something that works, ready to be pasted. It is not wrapped, because a
/// broken line would not work any more.
const ROOT_EXAMPLE: &str = "PROGRAM verify oci://ghcr.io/acme/charts/web:1.4.2 \\
      --certificate-identity https://github.com/acme/charts/.github/workflows/release.yml@refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com";

/// The same of each command.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "attest",
        "PROGRAM attest oci://ghcr.io/acme/charts/web:1.4.2 --predicate sbom.spdx.json --predicate-type spdx
  $ PROGRAM attest web-1.4.2.tgz --repository oci://ghcr.io/acme/charts \\
      --predicate provenance.json --predicate-type https://slsa.dev/provenance/v1",
    ),
    ("completion", "PROGRAM completion bash"),
    (
        "detach",
        "PROGRAM tree oci://ghcr.io/acme/charts/web:1.4.2
  $ PROGRAM detach oci://ghcr.io/acme/charts/web:1.4.2 --digest sha256:7e60…",
    ),
    (
        "key",
        "PROGRAM key generate --output-key-prefix release
  $ PROGRAM sign oci://ghcr.io/acme/charts/web:1.4.2 --key release.key --tlog-upload=false
  $ PROGRAM verify oci://ghcr.io/acme/charts/web:1.4.2 --key release.pub --insecure-ignore-tlog",
    ),
    (
        "policy",
        "PROGRAM policy init --from oci://ghcr.io/acme/charts/web:1.4.2 policy.yaml
  $ PROGRAM policy test oci://ghcr.io/acme/charts/web --policy policy.yaml
  $ PROGRAM verify oci://ghcr.io/acme/charts/web:1.4.2 --policy policy.yaml
  $ PROGRAM policy export flux oci://ghcr.io/acme/charts/web:1.4.2
  $ PROGRAM policy export kyverno oci://ghcr.io/acme/charts/web:1.4.2 --github 'acme/charts@refs/tags/*'",
    ),
    (
        "push",
        "PROGRAM push web-1.4.2.tgz oci://ghcr.io/acme/charts --sign
  $ PROGRAM push dist/*.tgz oci://ghcr.io/acme/charts --sign --github-output",
    ),
    (
        "rekor",
        "PROGRAM rekor upload web-1.4.2.tgz --keyring acme.gpg
  $ PROGRAM rekor search oci://ghcr.io/acme/charts/web:1.4.2
  $ PROGRAM rekor verify web-1.4.2.tgz --keyring acme.gpg
  $ PROGRAM verify web-1.4.2.tgz --github 'acme/charts@refs/tags/*' --rekor-helm --keyring acme.gpg",
    ),
    ("search", "PROGRAM search web-1.4.2.tgz"),
    (
        "sign",
        "helm push web-1.4.2.tgz oci://ghcr.io/acme/charts
  $ PROGRAM sign web-1.4.2.tgz --repository oci://ghcr.io/acme/charts
  $ helm push web-1.4.2.tgz oci://ghcr.io/acme/charts 2>&1 | PROGRAM sign -
  $ PROGRAM sign oci://ghcr.io/acme/charts/web:1.4.2 --key cosign.key
  $ PROGRAM sign oci://ghcr.io/acme/charts/web:1.4.2 --device --oidc-issuer https://issuer.acme.example
  $ PROGRAM sign web-1.4.2.tgz --force
  $ PROGRAM sign @charts.txt --skip-if-signed --github 'acme/charts@refs/tags/*'
  $ PROGRAM sign oci://ghcr.io/others/charts/web:1.4.2 --signature-repository oci://ghcr.io/acme/signatures
  $ PROGRAM sign oci://ghcr.io/acme/charts/web:1.4.2 --trusted-root trusted_root.json \\
      --fulcio-url https://fulcio.acme.example --rekor-url https://rekor.acme.example --rekor-version 2 \\
      --tsa-url https://tsa.acme.example/api/v1/timestamp",
    ),
    (
        "doctor",
        "PROGRAM doctor oci://ghcr.io/acme/charts/web:1.4.2
  $ PROGRAM doctor oci://ghcr.io/acme/charts/web:1.4.2 --for flux,cosign-3 --github acme/charts
  $ PROGRAM doctor oci://ghcr.io/acme/charts/web:1.4.2 --repair --bundle web.sigstore.json",
    ),
    ("tree", "PROGRAM tree oci://ghcr.io/acme/charts/web:1.4.2"),
    (
        "trust",
        "PROGRAM trust show
  $ PROGRAM trust init acme --mirror https://tuf.acme.example --root root.json
  $ PROGRAM trust export trusted_root.json",
    ),
    ("upload", "PROGRAM upload web-1.4.2.tgz --keyring acme.gpg"),
    (
        "verify",
        "PROGRAM verify oci://ghcr.io/acme/charts/web --version ^1 \\
      --certificate-identity https://github.com/acme/charts/.github/workflows/release.yml@refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  $ PROGRAM verify oci://ghcr.io/acme/charts/web:1.4.2 \\
      --github 'acme/charts@refs/tags/*'
  $ PROGRAM verify web-1.4.2.tgz --bundle web.sigstore.json --offline \\
      --certificate-identity-regexp 'https://github\\.com/acme/charts/.*' \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  $ PROGRAM verify oci://ghcr.io/acme/charts/web:1.4.2 --key cosign.pub
  $ PROGRAM verify web-1.4.2.tgz --github 'acme/charts@refs/tags/*' --prov require --keyring acme.gpg
  $ PROGRAM verify oci://ghcr.io/acme/charts/web:1.4.2 --policy policy.yaml
  $ PROGRAM verify web-1.4.2.tgz --policy policy.yaml --as oci://ghcr.io/acme/charts/web:1.4.2
  $ PROGRAM verify oci://ghcr.io/others/charts/web:1.4.2 --key cosign.pub \\
      --signature-repository oci://ghcr.io/acme/signatures",
    ),
    ("version", "PROGRAM version -o json"),
];

/// The same of each command of `trust`.
const TRUST_EXAMPLES: &[(&str, &str)] = &[
    ("init", "PROGRAM trust init acme --mirror https://tuf.acme.example --root root.json"),
    ("update", "PROGRAM trust update --instance staging"),
    ("show", "PROGRAM trust show -o json"),
    ("export", "PROGRAM trust export trusted_root.json"),
];

/// The same of each command of `policy`.
const POLICY_EXAMPLES: &[(&str, &str)] = &[
    (
        "init",
        "PROGRAM policy init --from oci://ghcr.io/acme/charts/web:1.4.2 policy.yaml
  $ PROGRAM policy init --from oci://ghcr.io/acme/charts/web:1.4.2 --key release.pub",
    ),
    (
        "export",
        "PROGRAM policy export flux oci://ghcr.io/acme/charts/web:1.4.2
  $ PROGRAM policy export kyverno oci://ghcr.io/acme/charts/web:1.4.2 --github 'acme/charts@refs/tags/*'",
    ),
    ("test", "PROGRAM policy test oci://ghcr.io/acme/charts/web --policy policy.yaml"),
];

/// The same of each command of `rekor`.
const REKOR_EXAMPLES: &[(&str, &str)] = &[
    (
        "upload",
        "PROGRAM rekor upload web-1.4.2.tgz --keyring acme.gpg
  $ PROGRAM rekor upload oci://ghcr.io/acme/charts/web:1.4.2 --public-key acme.asc",
    ),
    (
        "search",
        "PROGRAM rekor search web-1.4.2.tgz
  $ PROGRAM rekor search oci://ghcr.io/acme/charts/web:1.4.2
  $ PROGRAM rekor search --email jane@example.com",
    ),
    ("verify", "PROGRAM rekor verify web-1.4.2.tgz --public-key acme.asc"),
];

/// The flags of `verify` that a command in a hint repeats, so that it finds what this one found. Never a
/// secret, and nothing that says who is trusted or which version is meant.
const REPEATED: &[&str] = &[
    "accept",
    "bundle",
    "ca_file",
    "cert_file",
    "certificate",
    "chart",
    "insecure_no_policy",
    "insecure_skip_tls_verify",
    "instance",
    "key_file",
    "keyring",
    "matching",
    "offline",
    "plain_http",
    "predicate_type",
    "prov",
    "rekor_helm",
    "rekor_server",
    "repository",
    "rfc3161_timestamp",
    "signature",
    "signature_repository",
    "sigstore_ca_file",
    "taken_as",
    "trusted_root",
];

/// What is said where a word is missing that has to be there.
pub(super) const MISSING: &str = "an argument is missing";

/// A parsed command line.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The command with its flags.
    pub cli: Cli,
    /// What stood in the arguments themselves.
    pub given: Given,
    /// The bound on the command, if it has one.
    pub timeout: Option<Duration>,
}

/// The flags that stood in the arguments, not in the environment.
#[derive(Debug, Default)]
pub(super) struct Given {
    ids: HashSet<String>,
    /// Those that a command in a hint repeats, with their values.
    pub repeated: Vec<(String, Option<String>)>,
}

impl Given {
    /// Whether the field `id` was set in the arguments.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(super) enum Unparsed {
    /// Help was asked for: its text.
    Help(String),
    /// `--version`.
    Version,
    /// Bad arguments.
    Wrong(Error),
}

/// What the user calls this program.
pub(super) fn program(environment: &Environment) -> &'static str {
    if environment.value("HELM_PLUGIN_NAME").is_some() { "helm sigstore" } else { "helm-sigstore" }
}

/// Reads the arguments, then once more with the flags that the environment sets. Help is wrapped for the
/// terminal where there is one.
pub(super) fn parse(
    arguments: &[String],
    environment: &Environment,
    terminal: bool,
) -> Result<Parsed, Unparsed> {
    match plain(arguments, environment) {
        Some(parsed) => Ok(parsed),
        None => whole(arguments, environment, terminal),
    }
}

/// The same with the whole grammar.
fn whole(
    arguments: &[String],
    environment: &Environment,
    terminal: bool,
) -> Result<Parsed, Unparsed> {
    let program = program(environment);
    let words = |more: &[String]| {
        let mut words = vec![program.to_owned()];
        words.extend(arguments.iter().cloned());
        // In front of a `--`, after which nothing is a flag.
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.splice(end..end, more.iter().cloned());
        words
    };
    let wrong = |error: &clap::Error, set: &[String]| unparsed(error, program, arguments, set);
    let definition = definition(program, terminal);
    // What is parsed is built by that, and nothing else of the tree is.
    let mut lenient = definition.clone().ignore_errors(true);
    let matches =
        lenient.try_get_matches_from_mut(words(&[])).map_err(|error| wrong(&error, &[]))?;
    // `trust show` is a command inside a command, and the flags are those of the innermost.
    let (mut command, mut of) = (&lenient, &matches);
    while let Some((name, inner)) = of.subcommand() {
        let Some(found) = command.find_subcommand(name) else { break };
        (command, of) = (found, inner);
    }
    let (given, flags) = match std::ptr::eq(of, &matches) {
        true => Default::default(),
        false => (given(command, of), environment.flags(command, of).map_err(Unparsed::Wrong)?),
    };
    definition
        .try_get_matches_from(words(&flags))
        .and_then(|matches| in_order(&matches))
        .map(|(cli, timeout)| Parsed { cli, given, timeout })
        .map_err(|error| wrong(&error, &flags))
}

/// The same where nothing is special, which is nearly always: the first word is a command, no flag is set by
/// the environment, and the arguments are right. Then one definition is made, not all of them, and it is read
/// once. Of what is not right nothing is said here: the whole grammar says it.
fn plain(arguments: &[String], environment: &Environment) -> Option<Parsed> {
    if environment.sets_flags() {
        return None;
    }
    let name = arguments.first()?;
    let mut root = clap::Command::new("helm-sigstore")
        .subcommand_required(true)
        .subcommand(Command::definition_of(name)?);
    let words = std::iter::once("helm-sigstore").chain(arguments.iter().map(String::as_str));
    let matches = root.try_get_matches_from_mut(words).ok()?;
    let (mut command, mut of) = (&root, &matches);
    while let Some((name, inner)) = of.subcommand() {
        (command, of) = (command.find_subcommand(name)?, inner);
    }
    let (cli, timeout) = in_order(&matches).ok()?;
    let given = given(command, of);
    // To take a grammar apart again takes a fifth of the time to make it.
    std::mem::forget((root, matches));
    Some(Parsed { given, cli, timeout })
}

/// The command of these matches, with the identities as they stand in the arguments, and its bound.
fn in_order(matches: &ArgMatches) -> Result<(Cli, Option<Duration>), clap::Error> {
    let mut cli = Cli::from_arg_matches(matches)?;
    match (&mut cli.command, matches.subcommand()) {
        (Command::Verify(verify), Some((_, of))) => verify.identity.keep_order(of),
        (Command::Sign(sign), Some((_, of))) => sign.signature.identity.keep_order(of),
        (Command::Push(push), Some((_, of))) => push.signature.identity.keep_order(of),
        (Command::Doctor(doctor), Some((_, of))) => doctor.identity.keep_order(of),
        (Command::Policy(policy), Some((_, of))) => {
            if let (PolicyAction::Export(export), Some((_, of))) =
                (&mut policy.action, of.subcommand())
            {
                export.identity.keep_order(of);
            }
        }
        _ => {}
    }
    let mut of = matches;
    while let Some((_, inner)) = of.subcommand() {
        of = inner;
    }
    let timeout = of.try_get_one::<Duration>("timeout").ok().flatten().copied();
    Ok((cli, timeout))
}

/// The grammar, with examples for `program`.
pub(super) fn definition(program: &str, terminal: bool) -> clap::Command {
    let template = |example: &str| {
        let example = example.replace("PROGRAM", program);
        format!(
            "Example:\n  $ {example}\n\n{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{{all-args}}{{after-help}}"
        )
    };
    let mut command = Cli::command()
        .name("helm-sigstore")
        .bin_name(program)
        .help_template(template(ROOT_EXAMPLE));
    for (name, example) in EXAMPLES {
        command = command.mut_subcommand(name, |sub| {
            let below: Vec<_> =
                sub.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
            let sub = sub.help_template(template(example));
            below.iter().fold(sub, |sub, name| {
                sub.mut_subcommand(name, |below| below.help_template(template(example)))
            })
        });
    }
    let groups =
        [("policy", POLICY_EXAMPLES), ("rekor", REKOR_EXAMPLES), ("trust", TRUST_EXAMPLES)];
    for (group, examples) in groups {
        command = command.mut_subcommand(group, |mut group| {
            for (name, example) in examples {
                group = group.mut_subcommand(name, |sub| sub.help_template(template(example)));
            }
            group
        });
    }
    if terminal { command } else { command.term_width(WIDTH) }
}

fn given(command: &clap::Command, matches: &ArgMatches) -> Given {
    let mut found = Given::default();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        found.ids.insert(id.to_owned());
        let Some(long) = argument.get_long().filter(|_| REPEATED.contains(&id)) else { continue };
        let value = matches.get_raw(id).and_then(|mut values| values.next());
        let value = value.filter(|_| argument.get_action().takes_values());
        let value = value.map(|value| value.to_string_lossy().into_owned());
        found.repeated.push((format!("--{long}"), value));
    }
    found
}

/// The parser's error as one of ours: what, on which argument, and at most one hint; no usage dump.
fn unparsed(error: &clap::Error, program: &str, arguments: &[String], set: &[String]) -> Unparsed {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    // `--output <FORMAT>` is the flag with the name of its value.
    let flag = |kind| text(kind).map(|text| text.split(" <").next().unwrap_or_default().to_owned());
    let invalid = flag(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let wrong = match error.kind() {
        ErrorKind::DisplayHelp => return Unparsed::Help(error.render().to_string()),
        ErrorKind::DisplayVersion => return Unparsed::Version,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Error::usage("no command was given")
        }
        ErrorKind::InvalidSubcommand => Error::usage("no such command")
            .on(text(ContextKind::InvalidSubcommand).unwrap_or_default()),
        ErrorKind::UnknownArgument => Error::usage("no such flag").on(invalid.clone()),
        ErrorKind::InvalidValue if value.is_empty() => {
            Error::usage("a value is missing").on(invalid.clone())
        }
        ErrorKind::InvalidValue => {
            let wrong = Error::usage("invalid value").on(format!("{invalid} {value}"));
            match text(ContextKind::ValidValue) {
                Some(values) => wrong.line("expected", values.replace(", ", " or ")),
                None => wrong,
            }
        }
        ErrorKind::ValueValidation => {
            let wrong = Error::usage("invalid value").on(format!("{invalid} {value}"));
            match std::error::Error::source(error) {
                Some(cause) => wrong.cause(cause.to_string()),
                None => wrong,
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = text(ContextKind::InvalidArg).unwrap_or_default();
            Error::usage(MISSING).on(missing.replace("...", ""))
        }
        ErrorKind::ArgumentConflict => match flag(ContextKind::PriorArg) {
            Some(prior) if prior == invalid => Error::usage("given twice").on(invalid.clone()),
            Some(prior) => {
                Error::usage("cannot be used together").on(format!("{prior} and {invalid}"))
            }
            None => Error::usage("cannot be used with the others").on(invalid.clone()),
        },
        ErrorKind::TooManyValues => Error::usage("takes no value").on(invalid.clone()),
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            Error::usage(first.strip_prefix("error: ").unwrap_or(first))
        }
    };
    let by_environment = set.iter().any(|word| {
        word.strip_prefix(invalid.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let wrong = match by_environment && invalid.starts_with("--") {
        true => wrong.cause(format!("it is set by {}", super::environment::variable(&invalid))),
        false => wrong,
    };
    let suggested =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
            .into_iter()
            .find_map(|kind| match error.get(kind) {
                Some(ContextValue::Strings(texts)) => texts.first().cloned(),
                _ => text(kind),
            });
    let command = match arguments.iter().find(|word| !word.starts_with('-')) {
        Some(word) if EXAMPLES.iter().any(|(name, _)| name == word) => format!(" {word}"),
        _ => String::new(),
    };
    Unparsed::Wrong(wrong.hint(suggested.unwrap_or_else(|| format!("{program}{command} --help"))))
}

/// Finds `-o json` before anything is parsed, so that a usage error is a document too.
pub(super) fn wants_json(arguments: &[String], environment: &Environment) -> bool {
    let mut format = environment.value("HELM_SIGSTORE_OUTPUT");
    let mut words = arguments.iter().map(String::as_str).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "--output" {
            format = words.next();
        } else if let Some(value) = word.strip_prefix("--output=") {
            format = Some(value);
        } else if let Some(value) = short_output(word) {
            format = if value.is_empty() { words.next() } else { Some(value) };
        }
    }
    format == Some("json")
}

/// The value of `-o` in `-o`, `-ojson`, `-o=json` and after other short flags (`-yo`).
fn short_output(word: &str) -> Option<&str> {
    let shorts = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
    let value = shorts.trim_start_matches(['y', 'h', 'V']).strip_prefix('o')?;
    Some(value.strip_prefix('=').unwrap_or(value))
}

#[cfg(test)]
mod tests;
