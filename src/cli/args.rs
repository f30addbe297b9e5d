//! The command line, as data. Parsing looks at nothing but the arguments.

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::export::ConsumerArg;
use super::identities::IdentityArgs;
use super::policy::PolicyArgs;
use super::rekor::{RekorArgs, RekorServerArgs, SearchArgs, UploadArgs};
use super::services::ServiceArgs;
use super::sign_in::OidcArgs;
use crate::consumer::Reader;

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

/// Say whom a chart is trusted by, for yourself and for others.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct PolicyCommand {
    #[command(subcommand)]
    pub action: PolicyAction,
}

impl PolicyCommand {
    fn registry(&self) -> Option<&RegistryArgs> {
        match &self.action {
            PolicyAction::Export(arguments) => Some(&arguments.registry),
            PolicyAction::Init(arguments) => Some(&arguments.registry),
            PolicyAction::Test(_) => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyAction {
    /// Print the configuration with which Flux, Kyverno, policy-controller or GitHub Actions verify a chart
    Export(Box<ExportArgs>),
    /// Write a policy that trusts whoever has signed a chart: trust on first use
    Init(Box<PolicyInitArgs>),
    /// Explain which rule of the policy decides about a reference, and what it asks for; asks nobody
    Test(Box<PolicyTestArgs>),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
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

/// Push packaged charts as `helm push` does, to the byte, and sign what was pushed.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// Packaged charts, and last the target as for `helm push`; FILE.prov is pushed with its FILE
    #[arg(value_name = "FILE… oci://TARGET", required = true, num_args = 2.., value_parser = NonEmptyStringValueParser::new())]
    pub charts: Vec<String>,

    /// Sign what was pushed, by its digest
    #[arg(long)]
    pub sign: bool,

    /// Move a tag that holds something else
    #[arg(long)]
    pub force: bool,

    /// Write `digest`, `ref` and `digest-ref` to the file that GITHUB_OUTPUT names, of several charts one a line
    #[arg(long)]
    pub github_output: bool,

    /// OIDC token to sign with: a file, or `-` for standard input; default: SIGSTORE_ID_TOKEN, then that of the CI job
    /// or workload (`--identity-token token.jwt`)
    #[arg(long, value_name = "FILE|-", requires = "sign", value_parser = NonEmptyStringValueParser::new())]
    pub identity_token: Option<String>,

    /// Private key to sign with instead of an identity: cosign's, PKCS#8 or SEC1, P-256 (password: COSIGN_PASSWORD):
    /// `--key cosign.key`
    #[arg(long, value_name = "FILE|env://NAME", conflicts_with = "identity_token", requires = "sign", value_parser = NonEmptyStringValueParser::new())]
    pub key: Option<String>,

    /// Whether a signature by --key is written to the transparency log
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub tlog_upload: bool,

    /// Do not ask before an identity is published in the public log
    #[arg(long, short)]
    pub yes: bool,

    #[command(flatten)]
    pub oidc: OidcArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub services: ServiceArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Sign charts: one signature covers the manifest, the chart layer and the provenance layer.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// Charts to sign: references (oci://HOST/PATH:VERSION), or packaged charts: with --repository in the registry, by
    /// themselves into FILE.sigstore.json; @LIST names a file with one of them a line, and `-` reads what `helm push`
    /// printed
    #[arg(value_name = "REF|FILE|@LIST|-", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub charts: Vec<String>,

    /// Where the FILEs were pushed: the target that was given to `helm push`: `--repository oci://ghcr.io/acme/charts`
    #[arg(long, value_name = "oci://…", value_parser = NonEmptyStringValueParser::new())]
    pub repository: Option<String>,

    /// Replace a FILE.sigstore.json that exists
    #[arg(long)]
    pub force: bool,

    /// Leave charts alone that are signed already, as a whole, by those whom the flags below name (or --key)
    #[arg(long)]
    pub skip_if_signed: bool,

    /// Formats to sign in: a Sigstore bundle, the `.sig` of cosign before bundles, both, or all (also the `.sig`
    /// as a referrer, which Ratify reads); default: both, where the log can promise what the older one needs
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub signature_format: Option<SignatureFormat>,

    /// What to say of the chart, in the signature; may be given several times: `--annotations build=42`
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = annotation)]
    pub annotations: Vec<(String, String)>,

    #[command(flatten)]
    pub signing: SigningArgs,
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub chart: ChartArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub services: ServiceArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub bundle_out: BundleOutArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Verify charts: by reference in the registry, or as packaged files.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Charts to verify: references (oci://HOST/PATH:VERSION) or packaged charts; @LIST names a file with one of them
    /// a line, and `-` reads such a list from standard input
    #[arg(value_name = "REF|FILE|@LIST|-", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub charts: Vec<String>,

    /// Public key that must have signed, instead of an identity (PEM: P-256, P-384, Ed25519 or RSA):
    /// `--key cosign.pub`
    #[arg(
        long,
        value_name = "FILE|env://NAME",
        conflicts_with_all = [super::identities::SIGNERS, super::identities::ISSUERS],
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

    /// Signature over a FILE, as `cosign sign-blob` wrote it before bundles; with --certificate or --key: `--signature
    /// web.sig --certificate web.pem`
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

    /// Consumers that have to accept it, in place of all: `--for flux,cosign-3`
    #[arg(
        long = "for",
        value_name = "CONSUMER,…",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Reader::ALL.map(Reader::name))
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

/// Who signs.
#[derive(Debug, Args)]
pub(super) struct SigningArgs {
    /// OIDC token to sign with: a file, or `-` for standard input; default: SIGSTORE_ID_TOKEN, then that of the CI job
    /// or workload, then a person signs in (`--identity-token token.jwt`)
    #[arg(long, value_name = "FILE|-", value_parser = NonEmptyStringValueParser::new())]
    pub identity_token: Option<String>,

    /// Private key to sign with instead of an identity: cosign's, PKCS#8 or SEC1, P-256 (password: COSIGN_PASSWORD):
    /// `--key cosign.key`
    #[arg(long, value_name = "FILE|env://NAME", conflicts_with = "identity_token", value_parser = NonEmptyStringValueParser::new())]
    pub key: Option<String>,

    /// Whether a signature by --key is written to the transparency log
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub tlog_upload: bool,

    /// Do not ask before an identity is published in the public log
    #[arg(long, short)]
    pub yes: bool,

    #[command(flatten)]
    pub oidc: OidcArgs,
}

/// Attest something about charts: an SBOM, how it was built, or what you say, in a statement of that kind.
#[derive(Debug, Args)]
pub(super) struct AttestArgs {
    /// Charts that it is about: references (oci://HOST/PATH:VERSION), or packaged charts with --repository
    #[arg(value_name = "REF|FILE|@LIST", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub charts: Vec<String>,

    /// What is said: a JSON object, as Syft, Trivy or a builder writes it: `--predicate sbom.spdx.json`
    #[arg(long, value_name = "FILE", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub predicate: String,

    /// What kind of statement it is: spdx, cyclonedx, slsaprovenance1, vuln, another of cosign's names, or a URI:
    /// `--predicate-type spdx`
    #[arg(long, alias = "type", value_name = "TYPE", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub predicate_type: String,

    /// Where the FILEs were pushed: the target that was given to `helm push`: `--repository oci://ghcr.io/acme/charts`
    #[arg(long, value_name = "oci://…", value_parser = NonEmptyStringValueParser::new())]
    pub repository: Option<String>,

    #[command(flatten)]
    pub signing: SigningArgs,
    #[command(flatten)]
    pub chart: ChartArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub services: ServiceArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub bundle_out: BundleOutArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// The formats that `sign` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SignatureFormat {
    All,
    Both,
    Bundle,
    Legacy,
}

/// A format of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    Bundle,
    Legacy,
}

/// What has to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MatchArg {
    ChartLayer,
    Manifest,
}

/// When provenance is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProvArg {
    IfPresent,
    Ignore,
    Require,
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

#[derive(Debug, Args)]
#[command(next_help_heading = "Chart")]
pub(super) struct VersionOf {
    /// Version, or a constraint over the versions in the repository (Helm's rules); default: newest stable (`--version
    /// ^1`)
    #[arg(long, value_name = "VERSION", value_parser = NonEmptyStringValueParser::new())]
    pub version: Option<String>,

    /// Let pre-releases take part where nothing says which version, as `--version '>0.0.0-0'`
    #[arg(long)]
    pub devel: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Chart")]
pub(super) struct ChartArgs {
    #[command(flatten)]
    pub version: VersionOf,

    /// What a renamed repository holds: `--chart web:1.4.2`
    #[arg(long, value_name = "NAME[:VERSION]", value_parser = NonEmptyStringValueParser::new())]
    pub chart: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct BundleOutArgs {
    /// Write the bundle that was made or accepted to a file, or as NAME-VERSION.tgz.sigstore.json into a directory:
    /// `--bundle-out web.sigstore.json`
    #[arg(long, value_name = "FILE|DIR", value_parser = NonEmptyStringValueParser::new())]
    pub bundle_out: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Trust")]
pub(super) struct TrustArgs {
    /// Whom to trust, in place of an instance: a trusted root or trust config (of several roots each counts by itself),
    /// or `embedded` for public-good Sigstore as it was when this program was built: `--trusted-root trusted_root.json`
    #[arg(long, value_name = "FILE|embedded", conflicts_with = "instance", value_parser = NonEmptyStringValueParser::new())]
    pub trusted_root: Option<String>,

    /// Sigstore instance: production, staging, github (attestations of private repositories; verifies only), or one
    /// that `trust init` has set up; default: production (`--instance staging`)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub instance: Option<String>,

    /// Certificate authority for the HTTPS of Sigstore's services and mirrors (PEM), beside the system's:
    /// `--sigstore-ca-file ca.pem`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub sigstore_ca_file: Option<String>,

    /// Refuse trust that was last refreshed longer ago than this, as in 72h: `--max-trust-age 72h`
    #[arg(long, value_name = "DURATION", value_parser = long_duration)]
    pub max_trust_age: Option<std::time::Duration>,
}

impl TrustArgs {
    /// Whether any trust is named: else it is the public-good instance's.
    pub(super) fn is_named(&self) -> bool {
        self.trusted_root.is_some() || self.instance.is_some()
    }
}

#[derive(Debug, Args)]
pub(super) struct PolicyInitArgs {
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
pub(super) struct PolicyTestArgs {
    /// Chart that a rule is looked for
    #[arg(value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub reference: String,

    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// See what is trusted, bring it up to date, and set up instances of your own.
#[derive(Debug, Args)]
pub(super) struct TrustCommand {
    #[command(subcommand)]
    pub action: TrustAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum TrustAction {
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
pub(super) struct TrustInitArgs {
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
pub(super) struct TrustUpdateArgs {
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub(super) struct TrustShowArgs {
    /// Ask nobody: what is cached counts as of its last refresh
    #[arg(long)]
    pub offline: bool,

    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub(super) struct TrustExportArgs {
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

#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(super) struct RegistryArgs {
    /// User name for the registry; default: Helm's, then Docker's stored credentials (`--username jane`)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub username: Option<String>,

    /// Password for the registry; better --password-stdin (`--password "$TOKEN"`)
    #[arg(long, value_name = "PASSWORD", requires = "username", value_parser = NonEmptyStringValueParser::new())]
    pub password: Option<String>,

    /// Read the password from standard input
    #[arg(long, requires = "username", conflicts_with = "password")]
    pub password_stdin: bool,

    /// Certificate authority of the registry (PEM), beside the system's: `--ca-file ca.pem`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub ca_file: Option<String>,

    /// Client certificate for the registry (PEM): `--cert-file client.pem --key-file client.key`
    #[arg(long, value_name = "FILE", requires = "key_file", value_parser = NonEmptyStringValueParser::new())]
    pub cert_file: Option<String>,

    /// Key of the client certificate (PEM): `--cert-file client.pem --key-file client.key`
    #[arg(long, value_name = "FILE", requires = "cert_file", value_parser = NonEmptyStringValueParser::new())]
    pub key_file: Option<String>,

    /// Accept any TLS certificate of the registry; shown in the report
    #[arg(long)]
    pub insecure_skip_tls_verify: bool,

    /// Speak plain http to the registry
    #[arg(long)]
    pub plain_http: bool,

    /// Repository that holds the signatures, if not the chart's own; default: COSIGN_REPOSITORY
    /// (`--signature-repository oci://ghcr.io/acme/signatures`)
    #[arg(long, value_name = "oci://…", value_parser = NonEmptyStringValueParser::new())]
    pub signature_repository: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct CommonArgs {
    /// Bound on the whole command: `--timeout 90s`
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    pub timeout: std::time::Duration,

    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Json,
    Text,
}

/// Reads `KEY=VALUE`.
fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Reads `90s`, `3m`, `1m30s`, `500ms`: positive, at most a day.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let words = || "expected a duration such as 90s, 3m or 1m30s, at most 24h".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| words())?;
    let duration = std::time::Duration::try_from(parsed).map_err(|_| words())?;
    if duration.is_zero() || duration > std::time::Duration::from_secs(86_400) {
        return Err(words());
    }
    Ok(duration)
}

/// The same without that bound: trust may be old.
fn long_duration(text: &str) -> Result<std::time::Duration, String> {
    let words = || "expected a duration such as 12h or 720h".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| words())?;
    let duration = std::time::Duration::try_from(parsed).map_err(|_| words())?;
    if duration.is_zero() { Err(words()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_helm_users_write_them() {
        assert_eq!(duration("3m"), Ok(std::time::Duration::from_secs(180)));
        assert_eq!(duration("1m30s"), Ok(std::time::Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(std::time::Duration::from_millis(500)));
        for text in ["", "0s", "-1s", "3", "25h", "x"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
