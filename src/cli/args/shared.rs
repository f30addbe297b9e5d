//! What several commands are told.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Chart")]
pub(in crate::cli) struct VersionOf {
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
pub(in crate::cli) struct ChartArgs {
    #[command(flatten)]
    pub version: VersionOf,

    /// What a renamed repository holds: `--chart web:1.4.2`
    #[arg(long, value_name = "NAME[:VERSION]", value_parser = NonEmptyStringValueParser::new())]
    pub chart: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct BundleOutArgs {
    /// Write the bundle that was made or accepted to a file, or as NAME-VERSION.tgz.sigstore.json into a directory:
    /// `--bundle-out web.sigstore.json`
    #[arg(long, value_name = "FILE|DIR", value_parser = NonEmptyStringValueParser::new())]
    pub bundle_out: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Trust")]
pub(in crate::cli) struct TrustArgs {
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
    pub(in crate::cli) fn is_named(&self) -> bool {
        self.trusted_root.is_some() || self.instance.is_some()
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(in crate::cli) struct RegistryArgs {
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
pub(in crate::cli) struct CommonArgs {
    /// Bound on the whole command: `--timeout 90s`
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    pub timeout: std::time::Duration,

    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Output {
    Json,
    Text,
}

/// Reads `90s`, `3m`, `1m30s`, `500ms`: positive, at most a day.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let words = || "expected a duration such as 90s, 3m or 1m30s, at most 24h".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| words())?;
    let duration = std::time::Duration::try_from(parsed).map_err(|_| words())?;
    if duration.is_zero() || duration > std::time::Duration::from_secs(86_400) {
        return Err(words());
    }
    Ok(duration)
}

/// The same without that bound: trust may be old.
pub(super) fn long_duration(text: &str) -> Result<std::time::Duration, String> {
    let words = || "expected a duration such as 12h or 720h".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| words())?;
    let duration = std::time::Duration::try_from(parsed).map_err(|_| words())?;
    if duration.is_zero() { Err(words()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
