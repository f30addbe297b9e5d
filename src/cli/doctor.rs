//! `doctor`: who accepts a chart, why not, and what mends it; in words or JSON.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::args::{DoctorArgs, RegistryArgs, TrustArgs};
use super::drive::drive;
use super::words::{escape, host_of};
use super::{Context, Ended, key, setup, trust};
use crate::chart::{Argument, shell_word};
use crate::consumer::{Acceptance, Bystander, Facts, Opinion, Reader, diagnose};
use crate::error::{Class, Error, Result};
use crate::net::bounded_line;
use crate::run::{
    Diagnosis, DoctorRun, Formats, Limits, ListingReport, Place, Scope, SignatureReport, Status,
    Tool, VerifyRun, fault_words,
};
use crate::trust::PRODUCTION;
use crate::verify::{Identity, LogCheck, Matcher, Policy, TrustedKey};

/// The schema of the JSON form; `docs/doctor.schema.json` has it.
const SCHEMA: &str = "helm-sigstore.doctor/v1";
/// Referrers that are listed at most.
const MAX_REFERRERS: usize = 100_000;
/// The longest foreign text that is printed in words, in characters.
const MAX_VALUE: usize = 600;
/// Faults, and things that are gone, that are told one by one.
const MAX_TOLD: usize = 10;

/// The JSON form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    schema: &'static str,
    tool: Tool,
    exit_code: u8,
    /// `any`, `identity` or `key`: whose signatures count.
    signers: &'static str,
    #[serde(flatten)]
    diagnosis: Diagnosis,
    consumers: Vec<Consumer>,
    /// Those whom no signature would stop.
    ignored_by: Vec<IgnoredBy>,
    /// Whether these were named one by one.
    #[serde(skip)]
    named: bool,
    /// What the chart is diagnosed as, in one line.
    #[serde(skip)]
    summary: String,
}

/// What is said of one consumer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Consumer {
    name: &'static str,
    title: &'static str,
    acceptance: &'static str,
    why: String,
    needs: Vec<String>,
    command: Option<String>,
    mend: Option<String>,
    evidence: &'static str,
}

/// What is said of one who looks at no signature.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IgnoredBy {
    name: &'static str,
    title: &'static str,
    checks: Option<&'static str>,
    command: Option<String>,
    evidence: &'static str,
}

impl IgnoredBy {
    /// `verify` is the command that is to be run before it.
    fn new(bystander: &Bystander, verify: Option<&String>) -> Self {
        let Bystander { name, title, checks, evidence, .. } = *bystander;
        Self { name, title, checks, command: verify.cloned(), evidence }
    }
}

impl From<Opinion> for Consumer {
    fn from(opinion: Opinion) -> Self {
        let Opinion { reader, acceptance, why, needs, command, mend } = opinion;
        Self {
            name: reader.name(),
            title: reader.title(),
            acceptance: acceptance.as_str(),
            why,
            needs,
            command,
            mend,
            evidence: reader.evidence(),
        }
    }
}

impl Document {
    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Commands are written for the plugin; by itself the program has another name.
    pub(super) fn called(mut self, program: &str) -> Self {
        let consumers = self.consumers.iter_mut().flat_map(|one| [&mut one.command, &mut one.mend]);
        let before = self.ignored_by.iter_mut().map(|one| &mut one.command);
        for command in consumers.chain(before).flatten() {
            if let Some(rest) = command.strip_prefix("helm sigstore ") {
                *command = format!("{program} {rest}");
            }
        }
        self
    }
}

#[inline(never)]
pub(super) fn run(arguments: DoctorArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let argument = setup::object(&arguments.reference)?;
    let version = setup::version(&arguments.version, &argument);
    let Argument::Reference(reference) = argument else {
        return Err(Error::usage("doctor is for references")
            .on(arguments.reference)
            .cause("others find a chart and its signatures in a registry"));
    };
    // One that the environment names is meant for other commands too.
    if context.given.has("bundle") && !arguments.repair {
        return Err(Error::usage("a bundle is attached only where that is asked for")
            .on("--bundle")
            .hint("--repair --bundle FILE"));
    }
    let key = arguments.key.as_deref().map(|named| key::public(named, context)).transpose()?;
    let (signers, policy) = match (arguments.identity.policy()?, key) {
        (Policy::Unstated, None) => ("any", Policy::AnyOf(vec![anybody()?])),
        (Policy::Unstated, Some(key)) => {
            ("key", Policy::Key(Box::new(TrustedKey { key, log: LogCheck::Required })))
        }
        (_, Some(_)) => return Err(Error::usage("a key and an identity were given").on("--key")),
        (policy, None) => ("identity", policy),
    };
    if policy.min_signatures() > 1 {
        return Err(Error::usage("no consumer asks for several signatures").on("--min-signatures"));
    }
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS)?;
    let signatures = setup::signature_repository(&arguments.registry, context)?;
    let host = Some(reference.host.as_str());
    let weakened = setup::weakened_at(&arguments.registry, host, signatures.as_ref());
    let elsewhere = signatures.as_ref().map(|prefix| format!("{}/{}", prefix.host, prefix.path));
    let trust = trust::trust(&arguments.trust, false, context)?;
    let verify = VerifyRun {
        signature_repository: signatures,
        scope: Scope { limits: Limits::default(), accept: Formats::ALL, all: true },
        ..VerifyRun::new(context.world.clone(), registry, trust, policy)
    };
    let run = DoctorRun {
        verify,
        weakened,
        repair: arguments.repair.then(|| arguments.bundle.iter().map(PathBuf::from).collect()),
    };
    let timeout = arguments.common.timeout;
    let diagnosis = drive(context, timeout, run.diagnose(&reference, version.as_deref()))??;
    let flags = flags(&arguments.registry, &arguments.trust, elsewhere.as_deref());
    let typed = shell_word(&diagnosis.reference);
    let facts = Facts {
        reference: &typed,
        flags: &flags,
        image: &diagnosis.image,
        signatures: &diagnosis.known.signatures,
        listed: diagnosis.known.listed,
        bundles: diagnosis.known.bundles,
        attestations: diagnosis.known.attestations,
        unsound: diagnosis.known.unsound,
        broken: diagnosis.known.broken,
        tagged: diagnosis.known.tagged,
        faults: diagnosis.known.faults,
        private: !is_public(&arguments.trust),
        trusted_root: arguments.trust.trusted_root.as_deref(),
        elsewhere: elsewhere.as_deref(),
        open: diagnosis.open,
    };
    let named = !arguments.consumers.is_empty();
    let chosen =
        |is: &dyn Fn(&str) -> bool| !named || arguments.consumers.iter().any(|one| is(one));
    let opinions: Vec<_> = Reader::ALL
        .into_iter()
        .filter(|reader| chosen(&|name| name == reader.name()))
        .map(|reader| diagnose(reader, &facts))
        .collect();
    let verify = facts.verify();
    let ignored_by: Vec<_> = Bystander::ALL
        .iter()
        .filter(|bystander| chosen(&|name| bystander.is_called(name)))
        .map(|bystander| IgnoredBy::new(bystander, verify.as_ref()))
        .collect();
    // Nobody is to be warned of what nothing mends, unless it was asked for.
    let refuses =
        |one: &&Opinion| one.acceptance == Acceptance::Refuses && (one.mend.is_some() || named);
    let refusing = opinions.iter().filter(refuses).count();
    let class = diagnosis.class().or((refusing > 0).then_some(Class::Refused));
    let summary = match (class, refusing) {
        (None, _) if opinions.is_empty() => {
            "a signature counts, and nobody of these looks".to_owned()
        }
        (None, _) => "accepted by everybody who can accept it".to_owned(),
        (Some(Class::Undecided), _) => "not everything was answered; retry".to_owned(),
        (Some(_), _) if diagnosis.error.is_some() => "no signature counts".to_owned(),
        (Some(_), 1) => "1 consumer refuses it".to_owned(),
        (Some(_), count) => format!("{count} consumers refuse it"),
    };
    Ok(Ended::Diagnosis(Box::new(Document {
        schema: SCHEMA,
        tool: context.tool.clone(),
        exit_code: class.map_or(0, Class::exit_code),
        signers,
        consumers: opinions.into_iter().map(Consumer::from).collect(),
        ignored_by,
        named,
        diagnosis,
        summary,
    })))
}

/// Where nobody is named, everybody's signature counts: a diagnosis trusts nobody.
fn anybody() -> Result<Identity> {
    let any = |flag| Matcher::glob(flag, "*");
    Ok(Identity::new(any("--certificate-identity")?, any("--certificate-oidc-issuer")?))
}

fn is_public(trust: &TrustArgs) -> bool {
    match (&trust.trusted_root, &trust.instance) {
        (Some(root), _) => root == "embedded",
        (None, Some(instance)) => instance == PRODUCTION,
        (None, None) => true,
    }
}

/// What our own commands need beside the reference.
fn flags(registry: &RegistryArgs, trust: &TrustArgs, elsewhere: Option<&str>) -> String {
    let mut flags = String::new();
    if registry.plain_http {
        flags.push_str(" --plain-http");
    }
    let values = [
        ("--ca-file", registry.ca_file.clone()),
        ("--instance", trust.instance.clone()),
        ("--signature-repository", elsewhere.map(|path| format!("oci://{path}"))),
    ];
    for (flag, value) in values {
        if let Some(value) = value {
            let _ = write!(flags, " {flag} {}", shell_word(&value));
        }
    }
    flags
}

/// The diagnosis for people. Everything that anybody else wrote is escaped.
pub(super) fn words(document: &Document) -> String {
    let diagnosis = &document.diagnosis;
    let mut text = format!("{} ({})\n", escape(&diagnosis.reference), diagnosis.manifest_digest);
    if let Some(repository) = &diagnosis.signature_repository {
        let _ = writeln!(text, "Signatures in: {}", escape(repository));
    }
    signatures(document, &mut text);
    for listing in &diagnosis.listings {
        say_listing(listing, &mut text);
    }
    clean_up(&diagnosis.listings, &mut text);
    if let Some(mended) = &diagnosis.mended {
        for fault in mended.faults.iter().take(MAX_TOLD) {
            let _ = writeln!(text, "Mended: {}", foreign(&fault_words(fault)));
        }
        more(mended.faults.len(), "Mended", &mut text);
        for attached in &mended.attached {
            let _ = writeln!(text, "Attached: {} ({})", attached.digest, attached.place.words());
        }
        for file in &mended.there {
            let _ = writeln!(text, "Attached already: {}", foreign(file));
        }
        if !mended.has_written() {
            text.push_str("Mended: nothing, as nothing was wrong\n");
        }
    }
    text.push('\n');
    for consumer in &document.consumers {
        say_consumer(consumer, &mut text);
    }
    say_ignoring(document, &mut text);
    if !diagnosis.weakened.is_empty() {
        let _ = writeln!(text, "\nweakened by {}", diagnosis.weakened.join(", "));
    }
    let _ = writeln!(text, "\n{}", document.summary);
    text
}

fn foreign(value: &str) -> String {
    escape(&bounded_line(value, MAX_VALUE))
}

fn more(count: usize, label: &str, text: &mut String) {
    if count > MAX_TOLD {
        let _ = writeln!(text, "{label}: {} more", count - MAX_TOLD);
    }
}

fn signatures(document: &Document, text: &mut String) {
    let diagnosis = &document.diagnosis;
    if document.signers == "any" {
        text.push_str("Signers: nobody was named, so any valid signature counts\n");
    }
    let accepted = |one: &&SignatureReport| one.status == Status::Accepted;
    for one in diagnosis.signatures.iter().filter(accepted) {
        let format = one.format.map_or("signature", |format| format.as_str());
        let mut line = format!("Signature: {format} ({})", one.place.words());
        match &one.log {
            Some(log) if log.time.is_some() => {
                let _ = write!(line, ", Rekor v1 at {}", foreign(host_of(&log.url)));
            }
            Some(log) => {
                let _ = write!(line, ", Rekor v2 at {}", foreign(host_of(&log.url)));
            }
            None => line.push_str(", in no log"),
        }
        let _ = writeln!(text, "{line}");
        let Some(signer) = &one.signer else { continue };
        match (&signer.key_id, &signer.identity, &signer.issuer) {
            (Some(id), _, _) => {
                let _ = writeln!(text, "  by key {}", foreign(id));
            }
            (None, Some(identity), Some(issuer)) => {
                let _ = writeln!(text, "  by {}   issuer {}", foreign(identity), foreign(issuer));
            }
            _ => {}
        }
    }
    let not = |status| diagnosis.signatures.iter().filter(|one| one.status == status).count();
    let others = [
        (Status::Refused, "refused"),
        (Status::Undecided, "undecided"),
        (Status::Other, "no signatures"),
    ];
    for (status, word) in others {
        if not(status) > 0 {
            let _ = writeln!(text, "Others: {} {word}", not(status));
        }
    }
    if let Some(message) = &diagnosis.message {
        let _ = writeln!(text, "No signature counts: {}", foreign(message));
    }
}

fn say_listing(listing: &ListingReport, text: &mut String) {
    let ListingReport { object, status, faults, not_read, gone, .. } = listing;
    let mut line = format!("Listing: {} ({})", escape(object), foreign(status));
    if *not_read > 0 {
        let _ = write!(line, ", {not_read} not read");
    }
    if !gone.is_empty() {
        let _ = write!(line, ", {} listed and gone", gone.len());
    }
    let _ = writeln!(text, "{line}");
    for fault in faults.iter().take(MAX_TOLD) {
        let _ = writeln!(text, "  to mend: {}", foreign(&fault_words(fault)));
    }
    more(faults.len(), "  to mend", text);
}

/// What a registry shows of clean-up rules is what they have done.
fn clean_up(listings: &[ListingReport], text: &mut String) {
    let gone: usize = listings.iter().map(|one| one.gone.len()).sum();
    if gone > 0 {
        let _ = writeln!(
            text,
            "Clean-up: {gone} listed manifests are gone, as after a rule that deletes what has no tag; a kept bundle comes back with --repair --bundle FILE, a lost one by signing again"
        );
    }
    let untagged: usize = listings.iter().map(|one| one.bundles).sum();
    if untagged > 0 {
        let by_api = listings.iter().any(|one| one.bundles > 0 && one.place == Place::Referrers);
        let kept = match by_api {
            true => "what refers to a chart",
            false => "what an index under a tag sha256-… lists",
        };
        let _ = writeln!(
            text,
            "Clean-up: bundles have no tag of their own; exempt {kept} from rules that delete untagged manifests, which no registry shows here"
        );
    }
}

fn say_consumer(consumer: &Consumer, text: &mut String) {
    let Consumer { title, acceptance, why, needs, command, mend, evidence, .. } = consumer;
    let _ = writeln!(text, "{acceptance:<8}  {title}: {} ({evidence})", foreign(why));
    for need in needs {
        let _ = writeln!(text, "          needs {}", foreign(need));
    }
    // What is pasted is not cut.
    if let Some(command) = command {
        let _ = writeln!(text, "          {}", escape(command));
    }
    if let Some(mend) = mend {
        let _ = writeln!(text, "          mend: {}", escape(mend));
    }
}

/// Those who look at nothing: one by one where they were asked about, else all in one.
fn say_ignoring(document: &Document, text: &mut String) {
    let Some(first) = document.ignored_by.first() else { return };
    if document.named {
        for IgnoredBy { title, checks, evidence, .. } in &document.ignored_by {
            let checks = checks.map(|checks| format!(", only at {checks}")).unwrap_or_default();
            let _ = writeln!(
                text,
                "ignores   {title}: it looks at no Sigstore signature of a chart{checks} ({evidence})"
            );
        }
    } else {
        let titles: Vec<_> = document.ignored_by.iter().map(|one| one.title).collect();
        let _ = writeln!(
            text,
            "ignores   {}: they look at no Sigstore signature of a chart",
            titles.join(", ")
        );
    }
    if let Some(command) = &first.command {
        let _ = writeln!(text, "          before: {}", escape(command));
    }
}
