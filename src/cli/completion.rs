//! Completion: `completion SHELL` prints a script, and every script asks the hidden `__complete`, as Helm's
//! `plugin.complete` does, in the protocol of Helm's own completion (cobra): the words so far and the one to
//! be completed as arguments; one candidate a line, with a tab and a description behind it; and a last line
//! `:N` that says what the shell adds.
//!
//! What there is to complete comes from the definition of the command line itself.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Arg, Command};

use super::args::Shell;
use super::forwarded::separate;
use super::parse;
use super::{Context, Ended};
use crate::chart::ChartReference;
use crate::registry::Access;

/// The hidden verb.
pub(super) const VERB: &str = "__complete";
/// The shell completes files itself.
const FILES: u8 = 0;
/// The shell completes no files.
const NO_FILES: u8 = 4;
/// How long a registry may take to list its tags: a person waits with a finger on the key.
const TAGS_TIME: Duration = Duration::from_secs(2);
/// Tags that are offered at most, newest first.
const MAX_TAGS: usize = 500;
/// The name of a value that is a file.
const FILE_NAMES: [&str; 2] = ["FILE", "DIR"];

/// The script for `shell`: it has to be sourced, or to lie where the shell looks for such scripts.
pub(super) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("completion/bash.sh"),
        Shell::Fish => include_str!("completion/fish.fish"),
        Shell::Powershell => include_str!("completion/powershell.ps1"),
        Shell::Zsh => include_str!("completion/zsh.zsh"),
    }
}

/// What can be completed, known without asking anybody; in the form of Helm's `completion.yaml`: commands
/// with their flags and their commands.
pub fn completion_yaml() -> String {
    let mut text = "# What Helm completes by itself; made from the command line's definition.\n\
                    name: sigstore\n"
        .to_owned();
    let mut definition = parse::definition("helm sigstore", false);
    definition.build();
    yaml(&definition, "", &mut text);
    text
}

fn yaml(command: &Command, indent: &str, text: &mut String) {
    let flags = || command.get_arguments().filter(|argument| !argument.is_hide_set());
    let long = |with_short: bool| {
        flags()
            .filter(move |argument| argument.get_short().is_some() == with_short)
            .filter_map(|argument| argument.get_long().map(str::to_owned))
    };
    // Helm pairs short flags with long ones by their place.
    let short = flags().filter_map(|argument| argument.get_short().map(String::from));
    let names: Vec<String> = long(true).chain(long(false)).chain(short).collect();
    if !names.is_empty() {
        let _ = writeln!(text, "{indent}flags:");
        for name in names {
            // Helm's YAML has `yes` and `y` for true, and two flags of one name end Helm with a panic.
            let _ = writeln!(text, "{indent}  - \"{name}\"");
        }
    }
    let below: Vec<_> = subcommands(command).collect();
    if !below.is_empty() {
        let _ = writeln!(text, "{indent}commands:");
        for command in below {
            let _ = writeln!(text, "{indent}  - name: {}", command.get_name());
            yaml(command, &format!("{indent}    "), text);
        }
    }
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// What is offered for the word at hand.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer {
    candidates: Vec<(String, String)>,
    directive: u8,
}

impl Offer {
    fn files() -> Self {
        Self { candidates: Vec::new(), directive: FILES }
    }

    fn nothing() -> Self {
        Self { candidates: Vec::new(), directive: NO_FILES }
    }

    fn of(candidates: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { candidates: candidates.into_iter().collect(), directive: NO_FILES }
    }
}

/// What the words so far ask for.
#[derive(Debug)]
enum Wanted {
    /// This, known without asking anybody.
    Offer(Offer),
    /// These names of flags.
    Flags(Offer),
    /// The tags behind a reference; the text is what stands in front of the tag.
    TagsOf(String),
    /// The versions in the repository of a reference, for `--version`.
    VersionsOf(String),
}

/// Answers `__complete`: `words` are those so far and, last, the one to be completed. Never fails and never
/// says anything else: nobody would read it.
pub(super) fn answer(words: &[String], context: &mut Context<'_, '_>) -> Ended {
    let (word, before) = match words.split_last() {
        Some((word, before)) => (word.as_str(), separate(before.to_vec()).arguments),
        None => ("", Vec::new()),
    };
    let mut definition = parse::definition("helm-sigstore", false);
    definition.build();
    let offer = match wanted(&definition, &before, word) {
        // Helm has the names of flags from completion.yaml already, and would show them twice.
        Wanted::Flags(_) if context.environment.value("HELM_PLUGIN_NAME").is_some() => {
            Offer::nothing()
        }
        Wanted::Flags(offer) | Wanted::Offer(offer) => offer,
        Wanted::TagsOf(front) => Offer::of(
            tags(&front, &before, context)
                .into_iter()
                .map(|tag| (format!("{front}:{tag}"), String::new())),
        ),
        Wanted::VersionsOf(reference) => Offer::of(
            tags(&reference, &before, context)
                .into_iter()
                .map(|tag| (tag.replace('_', "+"), String::new())),
        ),
    };
    let mut text = String::new();
    for (value, description) in offer.candidates.iter().filter(|(value, _)| value.starts_with(word))
    {
        let _ = match description.as_str() {
            "" => writeln!(text, "{value}"),
            description => writeln!(text, "{value}\t{description}"),
        };
    }
    let _ = writeln!(text, ":{}", offer.directive);
    Ended::Text(text)
}

/// Reads the words so far as the parser would, but forgives everything.
fn wanted(definition: &Command, before: &[String], word: &str) -> Wanted {
    let mut command = definition;
    let mut value_of: Option<&Arg> = None;
    let mut objects: Vec<&str> = Vec::new();
    let mut only_objects = false;
    for text in before {
        if value_of.take().is_some() {
            continue;
        }
        match text.as_str() {
            text if only_objects => objects.push(text),
            "--" => only_objects = true,
            text if text.starts_with('-') && text.len() > 1 => {
                value_of = flag(command, text).filter(|flag| {
                    flag.get_action().takes_values() && !text.contains('=') && is_bare(text)
                });
            }
            text => match command.find_subcommand(text) {
                Some(below) => command = below,
                None if command.has_subcommands() => return Wanted::Offer(Offer::nothing()),
                None => objects.push(text),
            },
        }
    }
    if let Some(flag) = value_of {
        return value(flag, "", word, &objects);
    }
    if word.starts_with('-') && !only_objects {
        return match word.split_once('=') {
            Some((name, rest)) => match flag(command, name) {
                Some(flag) => value(flag, &format!("{name}="), rest, &objects),
                None => Wanted::Offer(Offer::nothing()),
            },
            None => Wanted::Flags(Offer::of(flags(command, before))),
        };
    }
    if command.has_subcommands() {
        let names = subcommands(command).map(|sub| (sub.get_name().to_owned(), about(sub)));
        return Wanted::Offer(Offer::of(names));
    }
    match command.get_positionals().next() {
        Some(object) => of_object(object, word),
        None => Wanted::Offer(Offer::nothing()),
    }
}

/// A reference is completed by its tags, once its repository is named; anything else may be a file.
fn of_object(object: &Arg, word: &str) -> Wanted {
    let values = possible(object, "");
    if !values.is_empty() {
        return Wanted::Offer(Offer::of(values));
    }
    let takes = |name: &str| {
        object.get_value_names().unwrap_or_default().iter().any(|n| n.as_str().contains(name))
    };
    // The last colon behind the last slash stands in front of a tag; a digest has no completion.
    let tag_at = word.rfind(':').filter(|at| word.rfind('/').is_some_and(|slash| slash < *at));
    match tag_at.and_then(|at| word.get(..at)) {
        Some(front) if takes("REF") && ChartReference::parse(front).is_ok() => {
            Wanted::TagsOf(front.to_owned())
        }
        _ if takes("FILE") => Wanted::Offer(Offer::files()),
        _ => Wanted::Offer(Offer::nothing()),
    }
}

/// The values of `flag`; `front` stands in front of them in the same word.
fn value(flag: &Arg, front: &str, word: &str, objects: &[&str]) -> Wanted {
    let values = possible(flag, front);
    if !values.is_empty() {
        return Wanted::Offer(Offer::of(values));
    }
    if flag.get_id() == "version" && front.is_empty() && !word.starts_with('-') {
        let reference = objects.iter().find_map(|text| ChartReference::parse(text).ok());
        return match reference {
            Some(reference) => Wanted::VersionsOf(reference.repository_ref()),
            None => Wanted::Offer(Offer::nothing()),
        };
    }
    let names = flag.get_value_names().unwrap_or_default();
    let is_file = names.iter().any(|name| FILE_NAMES.iter().any(|file| name.contains(file)));
    Wanted::Offer(if is_file { Offer::files() } else { Offer::nothing() })
}

fn possible(argument: &Arg, front: &str) -> Vec<(String, String)> {
    let values = argument.get_possible_values();
    if !values.is_empty() {
        let named = values
            .iter()
            .map(|value| (format!("{front}{}", value.get_name()), first_line(value.get_help())));
        return named.collect();
    }
    if argument.get_id() == "instance" {
        return ["production", "staging"]
            .map(|name| (format!("{front}{name}"), String::new()))
            .into();
    }
    Vec::new()
}

/// The flags of a command, without those that were given and can be given only once.
fn flags(command: &Command, before: &[String]) -> Vec<(String, String)> {
    let given = |long: &str| {
        before.iter().any(|word| {
            word.strip_prefix("--")
                .is_some_and(|word| word.split('=').next().unwrap_or_default() == long)
        })
    };
    let offered = command.get_arguments().filter(|argument| !argument.is_hide_set());
    offered
        .filter_map(|argument| {
            let long = argument.get_long()?;
            let again = matches!(argument.get_action(), clap::ArgAction::Append);
            (again || !given(long)).then(|| (format!("--{long}"), first_line(argument.get_help())))
        })
        .collect()
}

fn flag<'a>(command: &'a Command, text: &str) -> Option<&'a Arg> {
    let name = text.split('=').next().unwrap_or_default();
    match name.strip_prefix("--") {
        Some(long) => command.get_arguments().find(|argument| argument.get_long() == Some(long)),
        None => {
            let short = name.chars().nth(1)?;
            command.get_arguments().find(|argument| argument.get_short() == Some(short))
        }
    }
}

/// Whether the value of a flag is a word of its own: `-o json`, not `-ojson`.
fn is_bare(text: &str) -> bool {
    text.starts_with("--") || text.chars().count() == 2
}

fn about(command: &Command) -> String {
    first_line(command.get_about())
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace('\t', " ")
}

/// The tags of a repository, newest version first; none if it cannot be asked at once.
fn tags(reference: &str, before: &[String], context: &mut Context<'_, '_>) -> Vec<String> {
    let Ok(reference) = ChartReference::parse(reference) else { return Vec::new() };
    // The words so far, with something in place of the one that is being typed.
    let mut words = before.to_vec();
    if words.last().is_some_and(|last| last == "--version") {
        words.pop();
    }
    words.push(reference.repository_ref());
    let Ok(parsed) = parse::parse(&words, context.environment, false) else { return Vec::new() };
    let Some(arguments) = parsed.cli.command.registry() else { return Vec::new() };
    // Standard input is the shell's.
    if arguments.password_stdin {
        return Vec::new();
    }
    let tags = super::setup::registry(arguments, context, 1).and_then(|registry| {
        let repository =
            registry.repository(&reference.host, &reference.repository, Access::Pull)?;
        super::drive::drive(context, TAGS_TIME, async { repository.tags().await })?
    });
    crate::chart::version::newest_first(&tags.ok().flatten().unwrap_or_default(), MAX_TAGS)
}

#[cfg(test)]
mod tests;
