//! `tree`: what is attached to a chart, in words or JSON. A listing: nothing in it is verified.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::TreeArgs;
use super::drive::drive;
use super::words::escape;
use super::{Context, Ended, setup};
use crate::chart::{Argument, shell_word};
use crate::error::{Class, Error, Result};
use crate::net::bounded_line;
use crate::run::{Attachment, Limits, Tool, Tree, TreePlace, TreeRun};

/// The schema of the JSON form; `docs/tree.schema.json` has it.
const SCHEMA: &str = "helm-sigstore.tree/v1";
/// Entries that are listed at most.
pub(super) const MAX_LISTED: usize = 100_000;
/// The longest claim that is printed in words, in characters.
pub(super) const MAX_VALUE: usize = 400;
/// How much of what is listed is read.
pub(super) const LIMITS: Limits =
    Limits { candidates: 1000, bytes: 16 << 20, time: std::time::Duration::from_secs(60) };

/// The JSON form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    schema: &'static str,
    tool: Tool,
    exit_code: u8,
    #[serde(flatten)]
    tree: Tree,
}

impl Document {
    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

#[inline(never)]
pub(super) fn run(arguments: TreeArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let argument = setup::object(&arguments.reference)?;
    let version = setup::version(&arguments.version, &argument);
    let Argument::Reference(reference) = argument else {
        return Err(Error::usage("tree is for references")
            .on(arguments.reference)
            .cause("nothing is attached to a file; a bundle lies beside it"));
    };
    let registry = setup::registry(&arguments.registry, context, MAX_LISTED)?;
    let signature_repository = setup::signature_repository(&arguments.registry, context)?;
    let world = context.world.clone();
    let run = TreeRun { world, registry, signature_repository, limits: LIMITS };
    let tree = drive(context, arguments.common.timeout, run.tree(&reference, version.as_deref()))??;
    let exit_code = if tree.is_complete() { 0 } else { Class::Undecided.exit_code() };
    let tool = context.tool.clone();
    Ok(Ended::Tree(Box::new(Document { schema: SCHEMA, tool, exit_code, tree })))
}

/// The listing for people. Everything that anybody else wrote is escaped.
pub(super) fn words(document: &Document, program: &str) -> String {
    let tree = &document.tree;
    let mut text = format!("{} ({})\n", escape(&tree.reference), tree.manifest_digest);
    if let Some(repository) = &tree.signature_repository {
        let _ = writeln!(text, "Signatures in: {}", escape(repository));
    }
    for (at, place) in tree.places.iter().enumerate() {
        let (branch, below) = if at + 1 == tree.places.len() {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        let _ = writeln!(text, "{branch}{}", headline(place));
        for (at, one) in place.attached.iter().enumerate() {
            let (branch, under) = if at + 1 == place.attached.len() {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            let _ = writeln!(text, "{below}{branch}{}  {}", escape(&one.digest), title(one));
            for (label, value) in details(one, place) {
                let value = escape(&bounded_line(&value, MAX_VALUE));
                let _ = writeln!(text, "{below}{under}{label}: {value}");
            }
        }
    }
    match tree.count() {
        0 if tree.is_complete() => text.push_str("nothing attached\n"),
        0 => {}
        _ => {
            let pinned = escape(&shell_word(&tree.pinned));
            let elsewhere = match &tree.signature_repository {
                Some(repository) => {
                    format!(" --signature-repository {}", escape(&shell_word(repository)))
                }
                None => String::new(),
            };
            let _ = writeln!(
                text,
                "nothing of this is verified; to verify it: {program} verify {pinned}{elsewhere}"
            );
        }
    }
    if !tree.is_complete() {
        text.push_str("not everything has been listed and read; retry\n");
    }
    text
}

fn headline(place: &TreePlace) -> String {
    format!("{} ({})", escape(&place.object), escape(&place.status))
}

pub(super) fn title(one: &Attachment) -> String {
    let mut words = one.kind.to_owned();
    if let Some(format) = one.format {
        let _ = write!(words, " ({format})");
    }
    if let Some(size) = one.size {
        let _ = write!(words, ", {size} bytes");
    }
    words
}

fn details(one: &Attachment, place: &TreePlace) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut line = |label, value: Option<String>| lines.extend(value.map(|value| (label, value)));
    line("Type", one.artifact_type.clone().or_else(|| one.media_type.clone()));
    // Only where the digest alone does not say which.
    let other = |other: &&Attachment| other.digest == one.digest && other.entry != one.entry;
    line("Entry", one.entry.clone().filter(|_| place.attached.iter().any(|one| other(&one))));
    line("Predicate", one.predicate_type.clone());
    if let Some(signer) = &one.claimed_signer {
        line("Signed by (claimed)", signer.identity.clone());
        line("Issued by (claimed)", signer.issuer.clone());
        line("Key (claimed)", signer.key_hint.clone());
    }
    line("Made at (claimed)", one.claimed_time.clone());
    line("Not read", one.message.clone());
    lines
}
