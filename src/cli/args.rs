//! The command line, as data. Parsing looks at nothing but the arguments.

use clap::builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::identities::IdentityArgs;
use super::rekor::{RekorArgs, SearchArgs, UploadArgs};
use crate::consumer::{Bystander, Reader};

mod shared;
mod signing;
mod trust;
mod verifying;

pub(super) use shared::{ChartArgs, CommonArgs, Output, RegistryArgs, TrustArgs, VersionOf};
pub(super) use signing::{
    AttestArgs, PushArgs, SignArgs, SignatureArgs, SignatureFormat, SigningArgs,
};
pub(super) use trust::{TrustAction, TrustCommand, TrustExportArgs, TrustInitArgs, TrustShowArgs};
pub(super) use verifying::{
    ExportArgs, FormatArg, MatchArg, PolicyAction, PolicyCommand, PolicyInitArgs, PolicyTestArgs,
    ProvArg, VerifyArgs,
};

/// Sign and verify Helm charts in OCI registries with Sigstore.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes:
  0 done or verified   2 usage   3 unsigned   4 undecided, retry   5 refused   6 no such chart
Every flag can be set as HELM_SIGSTORE_<FLAG>, for example HELM_SIGSTORE_INSTANCE=staging.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Attest(Box<AttestArgs>),
    Completion(CompletionArgs),
    Detach(Box<DetachArgs>),
    Doctor(Box<DoctorArgs>),
    Key(KeyArgs),
    Policy(PolicyCommand),
    Push(Box<PushArgs>),
    Rekor(RekorArgs),
    /// The name that `rekor search` has in the older plugin.
    #[command(hide = true)]
    Search(Box<SearchArgs>),
    Sign(Box<SignArgs>),
    Tree(Box<TreeArgs>),
    Trust(Box<TrustCommand>),
    /// The name that `rekor upload` has in the older plugin.
    #[command(hide = true)]
    Upload(Box<UploadArgs>),
    Verify(Box<VerifyArgs>),
    Version(VersionArgs),
}

impl Command {
    /// The definition of the command `name` by itself.
    pub(super) fn definition_of(name: &str) -> Option<clap::Command> {
        type Define = fn(clap::Command) -> clap::Command;
        let all: &[(&'static str, Define)] = &[
            ("attest", AttestArgs::augment_args),
            ("completion", CompletionArgs::augment_args),
            ("detach", DetachArgs::augment_args),
            ("doctor", DoctorArgs::augment_args),
            ("key", KeyArgs::augment_args),
            ("policy", PolicyCommand::augment_args),
            ("push", PushArgs::augment_args),
            ("rekor", RekorArgs::augment_args),
            ("search", SearchArgs::augment_args),
            ("sign", SignArgs::augment_args),
            ("tree", TreeArgs::augment_args),
            ("trust", TrustCommand::augment_args),
            ("upload", UploadArgs::augment_args),
            ("verify", VerifyArgs::augment_args),
            ("version", VersionArgs::augment_args),
        ];
        let (name, define) = all.iter().find(|(known, _)| *known == name)?;
        Some(define(clap::Command::new(name)))
    }

    /// How the command speaks to registries, if it does.
    pub(super) fn registry(&self) -> Option<&RegistryArgs> {
        match self {
            Self::Attest(arguments) => Some(&arguments.registry),
            Self::Detach(arguments) => Some(&arguments.registry),
            Self::Doctor(arguments) => Some(&arguments.registry),
            Self::Push(arguments) => Some(&arguments.registry),
            Self::Rekor(arguments) => Some(arguments.registry()),
            Self::Search(arguments) => Some(&arguments.registry),
            Self::Sign(arguments) => Some(&arguments.registry),
            Self::Tree(arguments) => Some(&arguments.registry),
            Self::Upload(arguments) => Some(&arguments.registry),
            Self::Verify(arguments) => Some(&arguments.registry),
            Self::Policy(command) => command.registry(),
            Self::Completion(_) | Self::Key(_) | Self::Trust(_) | Self::Version(_) => None,
        }
    }
}

/// Print a shell script that completes commands, flags and tags of this program by itself.
#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// Shell that the script is for
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Fish,
    Powershell,
    Zsh,
}

/// Make keys to sign with instead of an identity.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    pub command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    Generate(GenerateArgs),
}

/// Make a P-256 key: NAME.pub and NAME.key, encrypted as cosign does it (password: COSIGN_PASSWORD, or asked).
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Name of both files, without its ending: `--output-key-prefix release`
    #[arg(long, value_name = "NAME", default_value = "cosign", value_parser = NonEmptyStringValueParser::new())]
    pub output_key_prefix: String,

    /// Replace a key that exists
    #[arg(long)]
    pub force: bool,
}

/// List what is attached to a chart, wherever it hangs, and what it claims; nothing of it is verified.
#[derive(Debug, Args)]
pub(super) struct TreeArgs {
    /// Chart whose attachments are listed
    #[arg(value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub reference: String,

    #[command(flatten)]
    pub version: VersionOf,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Take a signature off a chart, or what else is attached to it, and nothing of anybody else's.
#[derive(Debug, Args)]
pub(super) struct DetachArgs {
    /// Chart that it is attached to
    #[arg(value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub reference: String,

    /// What is taken off, as `tree` shows it; may be given several times: `--digest sha256:7e60…`
    #[arg(long, value_name = "DIGEST", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub digest: Vec<String>,

    /// Do not ask before it is taken off
    #[arg(long, short)]
    pub yes: bool,

    #[command(flatten)]
    pub version: VersionOf,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Say who accepts a chart besides us (cosign, Flux, Kyverno and others), why not, and what mends it.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Chart that is looked at
    #[arg(value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub reference: String,

    /// Consumers that have to accept it, in place of all; of those who look at no signature what has to run before them:
    /// `--for flux,cosign-3`
    #[arg(
        long = "for",
        value_name = "CONSUMER,…",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(consumers())
    )]
    pub consumers: Vec<String>,

    /// Mend the index under the fallback tag: wrong types, missing annotations, entries that are there twice; no entry
    /// is lost
    #[arg(long)]
    pub repair: bool,

    /// Bundle that was kept, to be attached again if it is not listed; it is verified first; may be given several times:
    /// `--repair --bundle web.sigstore.json`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub bundle: Vec<String>,

    /// Public key whose signatures count, instead of an identity: `--key cosign.pub`
    #[arg(long, value_name = "FILE|env://NAME", value_parser = NonEmptyStringValueParser::new())]
    pub key: Option<String>,

    #[command(flatten)]
    pub version: VersionOf,
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Those whom `doctor --for` knows.
fn consumers() -> Vec<PossibleValue> {
    let readers = Reader::ALL.into_iter().map(|reader| PossibleValue::new(reader.name()));
    let bystanders = Bystander::ALL
        .into_iter()
        .map(|bystander| PossibleValue::new(bystander.name).aliases(bystander.aliases));
    readers.chain(bystanders).collect()
}

/// Print the version, and with -o json the file that runs.
#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Print only the version number
    #[arg(long)]
    pub short: bool,

    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
