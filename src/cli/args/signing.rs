//! What `sign`, `attest` and `push` are told.

use super::shared::{BundleOutArgs, ChartArgs, CommonArgs, RegistryArgs, TrustArgs};
use crate::cli::identities::IdentityArgs;
use crate::cli::policy::PolicyArgs;
use crate::cli::services::ServiceArgs;
use crate::cli::sign_in::OidcArgs;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, ValueEnum};

/// Push packaged charts as `helm push` does, to the byte, and sign what was pushed.
#[derive(Debug, Args)]
pub(in crate::cli) struct PushArgs {
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

    #[command(flatten)]
    pub signature: SignatureArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Sign charts: one signature covers the manifest, the chart layer and the provenance layer.
#[derive(Debug, Args)]
pub(in crate::cli) struct SignArgs {
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

    #[command(flatten)]
    pub chart: ChartArgs,
    #[command(flatten)]
    pub signature: SignatureArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// How charts are signed, and which are: one set of flags, so that `sign` and `push --sign` cannot differ.
#[derive(Debug, Args)]
pub(in crate::cli) struct SignatureArgs {
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
    pub trust: TrustArgs,
    #[command(flatten)]
    pub services: ServiceArgs,
    #[command(flatten)]
    pub bundle_out: BundleOutArgs,
}

/// Who signs.
#[derive(Debug, Args)]
pub(in crate::cli) struct SigningArgs {
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
pub(in crate::cli) struct AttestArgs {
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
pub(in crate::cli) enum SignatureFormat {
    All,
    Both,
    Bundle,
    Legacy,
}

/// Reads `KEY=VALUE`.
pub(super) fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
