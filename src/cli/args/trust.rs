//! What `trust` is told.

use super::shared::{CommonArgs, TrustArgs};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// See what is trusted, bring it up to date, and set up instances of your own.
#[derive(Debug, Args)]
pub(in crate::cli) struct TrustCommand {
    #[command(subcommand)]
    pub action: TrustAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TrustAction {
    /// Set up a Sigstore instance of your own, from its TUF repository and a root that you trust
    Init(TrustInitArgs),
    /// Fetch what is new from the instance, whatever the age of the cache
    Update(TrustUpdateArgs),
    /// Show what is trusted, from where, how old it is and until when it counts
    Show(TrustShowArgs),
    /// Write the trusted root for a machine without network: there, --trusted-root FILE
    Export(TrustExportArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TrustInitArgs {
    /// Name of the instance
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,

    /// URL of its TUF repository: `--mirror https://tuf.acme.example`
    #[arg(long, value_name = "URL", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub mirror: String,

    /// TUF root to start from, got by a way that you trust: `--root root.json`
    #[arg(long, value_name = "FILE", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub root: String,

    /// Replace an instance of this name
    #[arg(long)]
    pub force: bool,

    /// Certificate authority for the HTTPS of the mirror (PEM), beside the system's: `--sigstore-ca-file ca.pem`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub sigstore_ca_file: Option<String>,

    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TrustUpdateArgs {
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TrustShowArgs {
    /// Ask nobody: what is cached counts as of its last refresh
    #[arg(long)]
    pub offline: bool,

    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TrustExportArgs {
    /// File to write; default: standard output
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub file: Option<String>,

    /// Ask nobody: what is cached counts as of its last refresh
    #[arg(long)]
    pub offline: bool,

    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}
