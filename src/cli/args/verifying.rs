//! What `verify` and `policy` are told.

use super::shared::{
    BundleOutArgs, ChartArgs, CommonArgs, RegistryArgs, TrustArgs, VersionOf, duration,
};
use crate::cli::export::ConsumerArg;
use crate::cli::identities::IdentityArgs;
use crate::cli::policy::PolicyArgs;
use crate::cli::rekor::RekorServerArgs;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};

/// Say whom a chart is trusted by, for yourself and for others.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(in crate::cli) struct PolicyCommand {
    #[command(subcommand)]
    pub action: PolicyAction,
}

impl PolicyCommand {
    pub(super) fn registry(&self) -> Option<&RegistryArgs> {
        match &self.action {
            PolicyAction::Export(arguments) => Some(&arguments.registry),
            PolicyAction::Init(arguments) => Some(&arguments.registry),
            PolicyAction::Test(_) => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PolicyAction {
    /// Print the configuration with which Flux, Kyverno, policy-controller or GitHub Actions verify a chart
    Export(Box<ExportArgs>),
    /// Write a policy that trusts whoever has signed a chart: trust on first use
    Init(Box<PolicyInitArgs>),
    /// Explain which rule of the policy decides about a reference, and what it asks for; asks nobody
    Test(Box<PolicyTestArgs>),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// Who is to verify
    #[arg(value_enum, value_name = "CONSUMER")]
    pub consumer: ConsumerArg,

    /// Chart whose signer is to be trusted; it is verified first
    #[arg(value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub reference: String,

    /// Public key to trust instead of an identity: the key that signed the chart: `--key cosign.pub`
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

/// Verify charts: by reference in the registry, or as packaged files.
#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// Charts to verify: references (oci://HOST/PATH:VERSION) or packaged charts; @LIST names a file with one of them
    /// a line, and `-` reads such a list from standard input
    #[arg(value_name = "REF|FILE|@LIST|-", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub charts: Vec<String>,

    /// Public key that must have signed, instead of an identity (PEM: P-256, P-384, Ed25519 or RSA):
    /// `--key cosign.pub`
    #[arg(
        long,
        value_name = "FILE|env://NAME",
        conflicts_with_all = [crate::cli::identities::SIGNERS, crate::cli::identities::ISSUERS],
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub key: Option<String>,

    /// Accept a signature by --key without looking for its log entry; shown in the report
    #[arg(long)]
    pub insecure_ignore_tlog: bool,

    /// Bundle to verify with, instead of what the registry holds or what lies beside the file: `--bundle
    /// web.sigstore.json`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub bundle: Option<String>,

    /// Signature over a FILE, as `cosign sign-blob` wrote it before bundles; with --certificate or --key. Its log entry is
    /// searched in Rekor v1, unless --offline: `--signature web.sig --certificate web.pem`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "repository"], value_parser = NonEmptyStringValueParser::new())]
    pub signature: Option<String>,

    /// Certificate of who made the --signature: `--signature web.sig --certificate web.pem`
    #[arg(long, value_name = "FILE", requires = "signature", value_parser = NonEmptyStringValueParser::new())]
    pub certificate: Option<String>,

    /// Timestamp of the --signature: `--rfc3161-timestamp web.tsr`
    #[arg(long, value_name = "FILE", requires = "signature", value_parser = NonEmptyStringValueParser::new())]
    pub rfc3161_timestamp: Option<String>,

    /// Where to find the signatures of a FILE: the target that was given to `helm push`: `--repository
    /// oci://ghcr.io/acme/charts`
    #[arg(long, value_name = "oci://…", conflicts_with = "bundle", value_parser = NonEmptyStringValueParser::new())]
    pub repository: Option<String>,

    /// Reference that a FILE is taken for: its rule of the policy decides, and name and version have to match: `--as
    /// oci://ghcr.io/acme/charts/web:1.4.2`
    #[arg(long = "as", value_name = "REF", conflicts_with = "repository", value_parser = NonEmptyStringValueParser::new())]
    pub taken_as: Option<String>,

    /// What has to be signed: the manifest, or only the chart layer (after a push of the same chart)
    #[arg(long = "match", value_enum, value_name = "WHAT", default_value_t = MatchArg::Manifest)]
    pub matching: MatchArg,

    /// Formats of signatures that count: Sigstore bundles, and those that cosign made before them
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT,…",
        value_delimiter = ',',
        default_value = "bundle,legacy"
    )]
    pub accept: Vec<FormatArg>,

    /// Judge and report every signature, also once one was accepted
    #[arg(long)]
    pub all: bool,

    /// Kind of statement that counts as the signature, as for GitHub's artifact attestations
    /// (https://slsa.dev/provenance/v1, or slsaprovenance1); default: cosign's signatures (`--predicate-type
    /// slsaprovenance1`)
    #[arg(long, alias = "type", value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    pub predicate_type: Option<String>,

    /// Kind of statement that has to be attached too, by the same signers: spdx, cyclonedx, slsaprovenance1, vuln,
    /// another of cosign's names, or a URI; may be given several times: `--require-predicate spdx`
    #[arg(long, value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    pub require_predicate: Vec<String>,

    /// Whether Helm's provenance file is looked at: not at all, where there is one, or always (it must be there, and its
    /// PGP signature must hold)
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ProvArg::IfPresent)]
    pub prov: ProvArg,

    /// Keyring whose keys may have signed the provenance file (binary, armored or GnuPG's pubring.kbx): then its PGP
    /// signature decides too; default: KEYRING. A keyring in GNUPGHOME or ~/.gnupg is used to report (`--keyring
    /// acme.gpg`)
    #[arg(long, visible_alias = "public-key", value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub keyring: Option<String>,

    /// Ask for more: the provenance has to be in Rekor v1 too, as `rekor upload` puts it there
    #[arg(long)]
    pub rekor_helm: bool,

    /// Open no socket but to the registries that are named; with a FILE none at all
    #[arg(long)]
    pub offline: bool,

    /// Signature candidates that are looked at before giving up undecided: `--max-candidates 50`
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_candidates: u32,

    /// Bytes of signature candidates that are read before giving up undecided: `--max-candidate-bytes 1048576`
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub max_candidate_bytes: u64,

    /// Time that is spent on signature candidates before giving up undecided: `--max-candidate-time 10s`
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub max_candidate_time: std::time::Duration,

    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub chart: ChartArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub rekor_server: RekorServerArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub bundle_out: BundleOutArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// A format of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum FormatArg {
    Bundle,
    Legacy,
}

/// What has to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum MatchArg {
    ChartLayer,
    Manifest,
}

/// When provenance is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ProvArg {
    IfPresent,
    Ignore,
    Require,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyInitArgs {
    /// Chart whose signers are trusted from then on: `--from oci://ghcr.io/acme/charts/web:1.4.2`
    #[arg(long, value_name = "REF", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub from: String,

    /// File to write; default: standard output
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub file: Option<String>,

    /// Replace a FILE that exists
    #[arg(long)]
    pub force: bool,

    /// Public key that has signed the chart, in place of identities: it becomes part of the policy: `--key cosign.pub`
    #[arg(long, value_name = "FILE|env://NAME", value_parser = NonEmptyStringValueParser::new())]
    pub key: Option<String>,

    /// Let the policy accept signatures by --key without a log entry
    #[arg(long)]
    pub insecure_ignore_tlog: bool,

    #[command(flatten)]
    pub version: VersionOf,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyTestArgs {
    /// Chart that a rule is looked for
    #[arg(value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub reference: String,

    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}
