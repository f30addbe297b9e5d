//! `rekor upload`, `rekor search` and `rekor verify`: what the older plugin has as `upload`, `search` and `verify`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::args::{CommonArgs, Output, RegistryArgs, TrustArgs, VersionOf};
use super::drive::drive;
use super::provenance::KEYRING;
use super::words::{escape, host_of};
use super::{Context, Ended, confirm, setup, trust};
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::run::{
    Found, FoundEntry, LoggedProvenance, Outcome, RekorAccess, RekorRun, Report, Sought, Status,
    Tool, Uploaded, load_keyring,
};
use crate::sign::RekorV1;
use crate::verify::Keyring;

/// The schemas of the JSON forms; `docs/rekor.schema.json` has them.
const UPLOAD_SCHEMA: &str = "helm-sigstore.rekor-upload/v1";
const VERIFY_SCHEMA: &str = "helm-sigstore.rekor-verify/v1";
const SEARCH_SCHEMA: &str = "helm-sigstore.rekor-search/v1";
/// The log that everybody can read, which a person is asked about.
const PUBLIC_GOOD: &str = "rekor.sigstore.dev";

/// Put Helm's provenance files into Rekor v1 and find what is there, as the older plugin of this name does.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct RekorArgs {
    #[command(subcommand)]
    pub command: RekorCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RekorCommand {
    Search(Box<SearchArgs>),
    Upload(Box<UploadArgs>),
    Verify(Box<VerifyLogArgs>),
}

impl RekorArgs {
    pub(super) fn registry(&self) -> &RegistryArgs {
        match &self.command {
            RekorCommand::Search(arguments) => &arguments.registry,
            RekorCommand::Upload(arguments) => &arguments.registry,
            RekorCommand::Verify(arguments) => &arguments.registry,
        }
    }
}

/// Log the provenance of a chart: its PGP signature is verified before, and what the log proves afterwards.
#[derive(Debug, Args)]
pub(super) struct UploadArgs {
    /// Chart whose provenance is logged: a packaged chart with FILE.prov beside it, or a reference
    #[arg(value_name = "REF|FILE", value_parser = NonEmptyStringValueParser::new())]
    pub chart: String,

    /// Keyring whose keys may have signed the provenance, or one public key in armor; default: KEYRING, then that in
    /// GNUPGHOME or ~/.gnupg (`--keyring acme.gpg`)
    #[arg(long, visible_alias = "public-key", value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub keyring: Option<String>,

    /// Do not ask before the key is published in the public log
    #[arg(long, short)]
    pub yes: bool,

    #[command(flatten)]
    pub version: VersionOf,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub server: RekorServerArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Verify the provenance of a chart and that it is in the log, and nothing of Sigstore: `verify --rekor-helm` asks for
/// both.
#[derive(Debug, Args)]
pub(super) struct VerifyLogArgs {
    /// Chart whose provenance is verified: a packaged chart with FILE.prov beside it, or a reference
    #[arg(value_name = "REF|FILE", value_parser = NonEmptyStringValueParser::new())]
    pub chart: String,

    /// Keyring whose keys may have signed the provenance, or one public key in armor; default: KEYRING, then that in
    /// GNUPGHOME or ~/.gnupg (`--keyring acme.gpg`)
    #[arg(long, visible_alias = "public-key", value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub keyring: Option<String>,

    #[command(flatten)]
    pub version: VersionOf,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub server: RekorServerArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Find what is logged about a chart, provenance and our own bundles alike, and verify that it is in the log.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("sought").required(true).args(["chart", "sha", "email"])))]
pub(super) struct SearchArgs {
    /// Chart to look for: a packaged chart, or a reference, of which no chart is downloaded
    #[arg(value_name = "REF|FILE", value_parser = NonEmptyStringValueParser::new())]
    pub chart: Option<String>,

    /// SHA-256 of a packaged chart to look for, 64 digits in hex: `--sha 2ba26c…`
    #[arg(long, value_name = "HEX", value_parser = NonEmptyStringValueParser::new())]
    pub sha: Option<String>,

    /// E-mail address in the key or certificate to look for: `--email jane@example.com`
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    pub email: Option<String>,

    #[command(flatten)]
    pub version: VersionOf,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub server: RekorServerArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub(super) struct RekorServerArgs {
    /// Rekor v1 to ask; it is believed by the keys of the trusted root only. Default: REKOR_SERVER, then the log of the
    /// trusted root (`--rekor-server https://rekor.acme.example`)
    #[arg(long, help_heading = "Trust", value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub rekor_server: Option<String>,
}

/// The JSON form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    schema: &'static str,
    tool: Tool,
    exit_code: u8,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Uploaded(Uploaded),
    Logged(LoggedProvenance),
    Found(Found),
}

impl Document {
    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

#[inline(never)]
pub(super) fn run(command: RekorCommand, context: &mut Context<'_, '_>) -> Result<Ended> {
    match command {
        RekorCommand::Search(arguments) => search(&arguments, context),
        RekorCommand::Upload(arguments) => upload(&arguments, context),
        RekorCommand::Verify(arguments) => verify(&arguments, context),
    }
}

/// How the log is reached that is named, by the flag or as the Go plugin was told, or that of the trusted root.
pub(super) fn access(
    named: &RekorServerArgs,
    trust: &TrustArgs,
    context: &Context<'_, '_>,
) -> Result<RekorAccess> {
    let named = named.rekor_server.as_deref();
    let named = named.or_else(|| context.environment.value("REKOR_SERVER"));
    let server = named.map(RekorV1::parse_url).transpose()?;
    Ok(RekorAccess { client: trust::client(trust, context)?, server })
}

fn prepare(
    server: &RekorServerArgs,
    trust: &TrustArgs,
    registry: &RegistryArgs,
    context: &mut Context<'_, '_>,
) -> Result<RekorRun> {
    if context.given.has("signature_repository") {
        return Err(Error::usage("a log knows no repository")
            .on("--signature-repository")
            .cause("entries are found by the digest of the chart"));
    }
    Ok(RekorRun {
        world: context.world.clone(),
        registry: setup::registry(registry, context, 1)?,
        access: access(server, trust, context)?,
        trust: trust::trust(trust, false, context)?,
    })
}

fn upload(arguments: &UploadArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    context.subject.inputs = vec![arguments.chart.clone()];
    let argument = setup::object(&arguments.chart)?;
    let version = setup::version(&arguments.version, &argument);
    let keyring = keyring(arguments.keyring.as_deref(), arguments.common.timeout, context)?;
    let run = prepare(&arguments.server, &arguments.trust, &arguments.registry, context)?;
    let timeout = arguments.common.timeout;
    let failed = |error: Error, aftermath, context: &Context<'_, '_>| {
        let mut outcome = Outcome::new(&arguments.chart);
        outcome.aftermath = aftermath;
        let outcome = outcome.failed(error);
        Ok(Ended::Report(Report::new(context.tool.clone(), vec![outcome])))
    };
    let ready = run.ready_to_upload(&argument, version.as_deref(), keyring);
    let ready = match drive(context, timeout, ready).and_then(|ready| ready) {
        Ok(ready) => ready,
        Err(error) => return failed(error, "nothing was uploaded", context),
    };
    let host = host_of(ready.server()).to_owned();
    let signer = ready.signer();
    if arguments.yes || !context.interactive || host != PUBLIC_GOOD {
        context.printer.note(&format!(
            "uploading the provenance by {signer}; the key becomes part of the log {host}"
        ));
    } else {
        let question = format!(
            "Uploading the provenance by {signer} publishes the key with its names in a public log, for ever. Go on? [y/N] "
        );
        if !confirm(context, &question) {
            return Err(
                Error::usage("not uploaded").cause("the question was not answered with yes")
            );
        }
    }
    let uploaded = match drive(context, timeout, run.upload(&ready)).and_then(|done| done) {
        Ok(uploaded) => uploaded,
        Err(error) => return failed(error, "perhaps uploaded", context),
    };
    let answer = Answer::Uploaded(uploaded);
    let tool = context.tool.clone();
    Ok(Ended::Rekor(Box::new(Document { schema: UPLOAD_SCHEMA, tool, exit_code: 0, answer })))
}

fn verify(arguments: &VerifyLogArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    context.subject.inputs = vec![arguments.chart.clone()];
    let argument = setup::object(&arguments.chart)?;
    let version = setup::version(&arguments.version, &argument);
    let keyring = keyring(arguments.keyring.as_deref(), arguments.common.timeout, context)?;
    let run = prepare(&arguments.server, &arguments.trust, &arguments.registry, context)?;
    let work = async {
        let ready = run.ready(&argument, version.as_deref(), keyring).await?;
        run.verify(&ready).await
    };
    let answer = Answer::Logged(drive(context, arguments.common.timeout, work)??);
    let tool = context.tool.clone();
    Ok(Ended::Rekor(Box::new(Document { schema: VERIFY_SCHEMA, tool, exit_code: 0, answer })))
}

/// The keyring that was named, else where Helm and GnuPG keep theirs.
fn keyring(
    named: Option<&str>,
    timeout: std::time::Duration,
    context: &mut Context<'_, '_>,
) -> Result<Arc<Keyring>> {
    let named = named.or_else(|| context.environment.value(KEYRING)).map(PathBuf::from);
    let usual = || context.environment.keyrings().into_iter().find(|path| path.is_file());
    let Some(path) = named.or_else(usual) else {
        return Err(Error::usage("there is no keyring")
            .cause("provenance is verified with the key that signed it")
            .hint("--keyring FILE"));
    };
    context.world.enter(format!("reading the keyring {}", path.display()));
    drive(context, timeout, load_keyring(path))?
}

fn search(arguments: &SearchArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let sought = match (&arguments.chart, &arguments.sha, &arguments.email) {
        (Some(chart), _, _) => {
            context.subject.inputs = vec![chart.clone()];
            let argument = setup::object(chart)?;
            let version = setup::version(&arguments.version, &argument);
            Sought::Chart(argument, version)
        }
        (None, Some(hex), _) => {
            context.subject.inputs = vec![hex.clone()];
            let text = hex.strip_prefix("sha256:").unwrap_or(hex).to_ascii_lowercase();
            Sought::Digest(Digest::parse(&format!("sha256:{text}")).map_err(|_| {
                Error::usage("not a SHA-256")
                    .on(format!("--sha {hex}"))
                    .cause("it has 64 hex digits")
            })?)
        }
        (None, None, Some(address)) => {
            context.subject.inputs = vec![address.clone()];
            let parts = address.split_once('@');
            if !parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()) {
                return Err(Error::usage("not an e-mail address").on(format!("--email {address}")));
            }
            Sought::Email(address.clone())
        }
        (None, None, None) => return Err(Error::usage("nothing to search for")),
    };
    let by_reference = matches!(&sought, Sought::Chart(..));
    if !by_reference && arguments.version.version.is_some() {
        return Err(Error::usage("--version is for references"));
    }
    let run = prepare(&arguments.server, &arguments.trust, &arguments.registry, context)?;
    let found = drive(context, arguments.common.timeout, run.search(&sought))??;
    let exit_code = found.exit_code();
    if found.more > 0 && arguments.common.output == Output::Text {
        let more = found.more;
        context.world.warn(format!("the log names {more} more entries, which were not read"));
    }
    let (tool, answer) = (context.tool.clone(), Answer::Found(found));
    Ok(Ended::Rekor(Box::new(Document { schema: SEARCH_SCHEMA, tool, exit_code, answer })))
}

/// The words for people; the lines of the Go plugin's are as they are there.
pub(super) fn words(document: &Document) -> String {
    match &document.answer {
        Answer::Uploaded(uploaded) => of_upload(uploaded),
        Answer::Logged(logged) => of_verify(logged),
        Answer::Found(found) => of_search(found),
    }
}

fn of_upload(uploaded: &Uploaded) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{label}: {}", escape(value));
    };
    let LoggedProvenance { entry, provenance, .. } = &uploaded.logged;
    for (label, value) in provenance.lines().into_iter().chain(entry.lines()) {
        line(label, &value);
    }
    let url = escape(&entry.url);
    let index = entry.log.index.unwrap_or_default();
    let _ = match uploaded.existed {
        true => writeln!(text, "\nEntry already exists: {url}"),
        false => writeln!(text, "\nCreated Helm entry at index {index}, available at: {url}"),
    };
    text
}

fn of_verify(logged: &LoggedProvenance) -> String {
    let LoggedProvenance { rekor_server, entry, provenance } = logged;
    let mut text = "Chart Verified Successfully From Helm entry:\n\n".to_owned();
    let index = entry.log.index.unwrap_or_default().to_string();
    let theirs =
        [("Rekor Server", rekor_server), ("Rekor Index", &index), ("Rekor UUID", &entry.uuid)];
    for (label, value) in theirs {
        let _ = writeln!(text, "{label}: {}", escape(value));
    }
    for (label, value) in provenance.lines() {
        let _ = writeln!(text, "{label}: {}", escape(&value));
    }
    let _ = writeln!(text, "Provenance logged in: {}", escape(&entry.log.words()));
    text.push_str("signatures of Sigstore: not looked at\n");
    text
}

fn of_search(found: &Found) -> String {
    let mut text = "The Following Records were Found\n".to_owned();
    let _ = writeln!(text, "\nRekor Server: {}", escape(&found.rekor_server));
    for one in &found.entries {
        let _ = writeln!(text, "Rekor UUID: {}", escape(&one.uuid));
        for (label, value) in details(one) {
            let _ = writeln!(text, "  {label}: {}", escape(&value));
        }
    }
    text
}

fn details(one: &FoundEntry) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let (Some(kind), Some(version)) = (&one.kind, &one.version) {
        lines.push(("Type", format!("{kind} {version}")));
    }
    if let Some(log) = &one.log {
        lines.push(("Logged in", log.words()));
    }
    for signer in &one.signers {
        let mut words = match (&signer.identity, &signer.key) {
            (Some(identity), _) => identity.clone(),
            (None, Some(key)) => format!("key {key}"),
            (None, None) => "an unknown key".to_owned(),
        };
        if let Some(issuer) = &signer.issuer {
            let _ = write!(words, "   issuer {issuer}");
        }
        lines.push(("Signed by (claimed)", words));
        if let (Some(_), Some(key)) = (&signer.identity, &signer.key) {
            lines.push(("Key (claimed)", key.clone()));
        }
    }
    match (one.status, one.named_by) {
        (Status::Accepted, Some("entry")) => {}
        (Status::Accepted, _) => lines.push((
            "Found by",
            "the index of the log alone; the entry holds no digest of a chart".to_owned(),
        )),
        (_, _) => lines.push((
            if one.status == Status::Refused { "Refused" } else { "Undecided" },
            one.message.clone().unwrap_or_default(),
        )),
    }
    lines
}
