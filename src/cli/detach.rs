//! `detach`: takes what is attached to a chart off again, after a question; in words or JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::DetachArgs;
use super::drive::drive;
use super::tree::{LIMITS, MAX_LISTED, MAX_VALUE, title};
use super::words::escape;
use super::{Context, Ended, confirm, setup};
use crate::chart::{Argument, Digest, shell_word};
use crate::error::{Error, Result};
use crate::net::bounded_line;
use crate::run::{DetachRun, Detachment, State, Target, Tool, TreeRun};

/// The schema of the JSON form; `docs/detach.schema.json` has it.
const SCHEMA: &str = "helm-sigstore.detach/v1";

/// The JSON form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    schema: &'static str,
    tool: Tool,
    exit_code: u8,
    input: String,
    #[serde(rename = "ref")]
    reference: String,
    manifest_digest: String,
    signature_repository: Option<String>,
    detached: Vec<Target>,
    reason: Option<String>,
    message: Option<String>,
    hint: Option<String>,
    #[serde(skip)]
    error: Option<Error>,
}

impl Document {
    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

#[inline(never)]
pub(super) fn run(arguments: DetachArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let argument = setup::object(&arguments.reference)?;
    let version = setup::version(&arguments.version, &argument);
    let Argument::Reference(reference) = argument else {
        return Err(Error::usage("detach is for references")
            .on(arguments.reference)
            .cause("nothing is attached to a file; a bundle lies beside it"));
    };
    let digests = arguments.digest.iter().map(|text| Digest::parse(text));
    let digests = digests.collect::<Result<Vec<_>>>().map_err(|error| error.on("--digest"))?;
    if !arguments.yes && !context.interactive {
        return Err(Error::usage("nobody is here to be asked")
            .on(arguments.reference)
            .cause("standard input or error is no terminal; nothing was removed")
            .hint("--yes"));
    }
    let registry = setup::registry(&arguments.registry, context, MAX_LISTED)?;
    let signature_repository = setup::signature_repository(&arguments.registry, context)?;
    let world = context.world.clone();
    let tree = TreeRun { world: world.clone(), registry, signature_repository, limits: LIMITS };
    let run = DetachRun { tree };
    let timeout = arguments.common.timeout;
    let found = drive(context, timeout, run.find(&reference, version.as_deref(), &digests))??;
    if !arguments.yes {
        ask(&found, context)?;
    }
    let removed = drive(context, timeout, found.remove(&world)).and_then(|removed| removed);
    let program = super::parse::program(context.environment);
    let error = removed.err().map(|error| {
        let error = Error { what: "not all of it was removed".to_owned(), ..error };
        error.on(reference.typed.clone()).hint(again(&found, program))
    });
    let Detachment { reference: resolved, manifest_digest, signature_repository, .. } = &found;
    Ok(Ended::Detached(Box::new(Document {
        schema: SCHEMA,
        tool: context.tool.clone(),
        exit_code: error.as_ref().map_or(0, |error| error.class.exit_code()),
        input: reference.typed.clone(),
        reference: resolved.clone(),
        manifest_digest: manifest_digest.clone(),
        signature_repository: signature_repository.clone(),
        detached: found.targets,
        reason: error.as_ref().map(|error| error.reason.as_str().to_owned()),
        message: error.as_ref().map(ToString::to_string),
        hint: error.as_ref().and_then(|error| error.hint.clone()),
        error,
    })))
}

/// Shows what is to be taken off, and asks.
fn ask(found: &Detachment, context: &mut Context<'_, '_>) -> Result<()> {
    context.printer.note(&format!("{} ({})", found.reference, found.manifest_digest));
    if let Some(repository) = &found.signature_repository {
        context.printer.note(&format!("Signatures in: {repository}"));
    }
    for target in &found.targets {
        for line in lines(target) {
            context.printer.note(&line);
        }
    }
    let count = match found.targets.len() {
        1 => "this".to_owned(),
        count => format!("these {count}"),
    };
    let question = format!("Nothing of it is verified. Take {count} off, for ever? [y/N] ");
    match confirm(context, &question) {
        true => Ok(()),
        false => Err(Error::usage("nothing was removed")
            .on(found.reference.clone())
            .cause("the question was not answered with yes")),
    }
}

/// The command that takes off what is left.
fn again(found: &Detachment, program: &str) -> String {
    let mut command = format!("{program} detach {}", shell_word(&found.pinned));
    if let Some(repository) = &found.signature_repository {
        let _ = write!(command, " --signature-repository {}", shell_word(repository));
    }
    for digest in found.left() {
        let _ = write!(command, " --digest {digest}");
    }
    command
}

/// What became of it, for people. Everything that anybody else wrote is escaped.
pub(super) fn words(document: &Document) -> String {
    let object = escape(&document.reference);
    let mut text = format!("Detached from: {object} ({})\n", document.manifest_digest);
    if document.error.is_some() {
        text = format!("Attached to: {object} ({})\n", document.manifest_digest);
    }
    if let Some(repository) = &document.signature_repository {
        let _ = writeln!(text, "Signatures in: {}", escape(repository));
    }
    for target in &document.detached {
        for line in lines(target) {
            let _ = writeln!(text, "{}", escape(&line));
        }
        let state = match target.state.get() {
            State::Attached => "still attached",
            State::Unsettled => "removed, and not seen to stay away",
            State::Removed => "removed",
        };
        let _ = writeln!(text, "    {state}");
        if let Some(note) = target.note.borrow().as_deref() {
            let _ = writeln!(text, "    {}", escape(&bounded_line(note, MAX_VALUE)));
        }
    }
    text
}

/// What one target is, and what it says of itself; not escaped yet.
fn lines(target: &Target) -> Vec<String> {
    let Target { object, attachment, .. } = target;
    let mut lines = vec![format!("{}  {}, {object}", attachment.digest, title(attachment))];
    let mut line = |label: &str, value: &Option<String>| {
        if let Some(value) = value {
            lines.push(format!("    {label}: {}", bounded_line(value, MAX_VALUE)));
        }
    };
    line("Predicate", &attachment.predicate_type);
    if let Some(signer) = &attachment.claimed_signer {
        line("Signed by (claimed)", &signer.identity);
        line("Issued by (claimed)", &signer.issuer);
        line("Key (claimed)", &signer.key_hint);
    }
    line("Made at (claimed)", &attachment.claimed_time);
    line("Not read", &attachment.message);
    lines
}
