//! The flags that name services to sign with one by one.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::Context;
use crate::error::{Error, Result};
use crate::sign::ExplicitServices;

#[derive(Debug, Args)]
#[command(next_help_heading = "Services")]
pub(super) struct ServiceArgs {
    /// Services to sign with: a signing config, or `embedded` for public-good Sigstore: `--signing-config
    /// signing_config.json`
    #[arg(long, value_name = "FILE|embedded", conflicts_with = "instance", value_parser = NonEmptyStringValueParser::new())]
    pub signing_config: Option<String>,

    /// Certificate authority, in place of that of the signing config or the instance: `--fulcio-url
    /// https://fulcio.acme.example`
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub fulcio_url: Option<String>,

    /// Transparency log, in place of those of the signing config or the instance: `--rekor-url
    /// https://rekor.acme.example`
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub rekor_url: Option<String>,

    /// Timestamp authority (the whole URL, as in https://tsa.example/api/v1/timestamp), in place of that of the signing
    /// config or the instance: `--tsa-url https://tsa.acme.example/api/v1/timestamp`
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub tsa_url: Option<String>,

    /// Generation of --rekor-url, or of the log to use where the signing config offers both; default: 1
    /// (`--rekor-version 2`)
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u32).range(1..=2))]
    pub rekor_version: Option<u32>,
}

impl ServiceArgs {
    /// The services that are named by their URLs, for a signature by a certificate, or by a key that is
    /// `logged` or not.
    ///
    /// # Errors
    /// Usage: no URL of a service, or one that such a signature has no use for.
    pub(super) fn explicit(
        &self,
        by_key: bool,
        logged: bool,
        context: &Context<'_, '_>,
    ) -> Result<ExplicitServices> {
        let useless = |flag: &str, id: &str, cause: &str| match context.given.has(id) {
            true => Err(Error::usage("service is not used").on(flag).cause(cause)),
            // From the environment it is for other runs.
            false => Ok(None),
        };
        let url = |flag: &str, text: &Option<String>| {
            text.as_deref().map(|text| ExplicitServices::parse_url(flag, text)).transpose()
        };
        let fulcio = match (&self.fulcio_url, by_key) {
            (Some(_), true) => {
                useless("--fulcio-url", "fulcio_url", "a signature by a key has no certificate")?
            }
            (text, _) => url("--fulcio-url", text)?,
        };
        let rekor = match (&self.rekor_url, logged) {
            (Some(_), false) => {
                useless("--rekor-url", "rekor_url", "with --tlog-upload=false nothing is logged")?
            }
            (text, _) => url("--rekor-url", text)?,
        };
        Ok(ExplicitServices {
            fulcio,
            rekor: rekor.map(|url| (url, self.rekor_version.unwrap_or(1))),
            timestamp: url("--tsa-url", &self.tsa_url)?,
        })
    }
}
