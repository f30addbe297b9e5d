//! `sign`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::args::{SignArgs, SignatureFormat};
use super::drive::{Object, drive, each, none_usable};
use super::lists::Named;
use super::words::host_of;
use super::{Context, Ended, confirm, key, lists, setup, token, trust};
use crate::chart::{Argument, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::run::{
    Formats, Making, Outcome, Report, Scope, SignObject, SignRun, SkipIfSigned, Trust, TrustReport,
    Trusted, VerifyRun,
};
use crate::sign::{KeyServices, PrivateKey, Services, Signer, Token, TokenSource};
use crate::verify::{Match, Policy, TITLE_ANNOTATION, TrustRoot, VERSION_ANNOTATION, Verifier};

/// Referrers that are read back at most after a signature was attached.
const MAX_REFERRERS: usize = 100_000;

/// The flags that name identities.
const IDENTITY_FLAGS: [&str; 7] = [
    "certificate_identity",
    "certificate_identity_regexp",
    "email",
    "github",
    "gitlab",
    "google_account",
    "min_signatures",
];

pub(super) fn run(arguments: SignArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let named = lists::expand(&arguments.charts, None)?;
    context.subject.inputs = named.iter().map(|named| named.text.clone()).collect();
    let signatures = setup::signature_repository(&arguments.registry, context)?;
    let objects = objects(&arguments, &named, signatures.as_ref())?;
    if arguments.registry.password_stdin && arguments.identity_token.as_deref() == Some("-") {
        return Err(Error::usage("standard input can be read only once")
            .cause("--password-stdin and --identity-token - both want it"));
    }
    if !arguments.tlog_upload && arguments.key.is_none() {
        return Err(Error::usage("an identity is signed for in the log")
            .on("--tlog-upload=false")
            .cause("its certificate lasts for minutes, and the log proves when it signed"));
    }
    if let Some(outcomes) = none_usable(&objects, Outcome::of_sign) {
        return Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)));
    }
    let suffices = suffices(&arguments, context)?;
    let timeout = arguments.common.timeout;
    let key = match &arguments.key {
        Some(named) => Some(key::private(named, context)?),
        None => None,
    };
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS)?;
    let client = trust::client(&arguments.trust)?;
    let services = &arguments.services;
    let explicit = services.explicit(key.is_some(), arguments.tlog_upload, context)?;
    let config = services.signing_config.as_deref();
    let version = services.rekor_version;
    // A key that logs nothing needs no Sigstore, unless one is named for its timestamps.
    let alone = !arguments.tlog_upload
        && config.is_none()
        && !explicit.any()
        && !arguments.trust.is_named();
    let (signer, verifier, trust) = match key {
        Some(key) if alone => {
            let services = KeyServices::default();
            announce_key(&services, &key, context);
            let signer = Signer::with_key(client, services, key);
            (signer, Verifier::without_trust(), TrustReport::none())
        }
        Some(key) => {
            let (config, root, trust) =
                trust::root_and_services(&arguments.trust, config, &explicit, timeout, context)?;
            let logged = arguments.tlog_upload;
            let services = KeyServices::select(&config, version, logged, context.world.now())?;
            if logged {
                check_log(&root, &trust)?;
            }
            announce_key(&services, &key, context);
            (Signer::with_key(client, services, key), Verifier::new(root), trust)
        }
        None => {
            let (config, root, trust) =
                trust::root_and_services(&arguments.trust, config, &explicit, timeout, context)?;
            let now = context.world.now();
            let services = Services::select(&config, version, now)?;
            check_log(&root, &trust)?;
            let source = token::source(&arguments, context)?;
            let audience = crate::sign::AUDIENCE;
            let label = source.label();
            context.world.enter(format!("getting an identity token from {label}"));
            let token = drive(context, timeout, source.resolve(&client, audience))??;
            token.check(context.world.now(), audience).map_err(|error| error.on(source.label()))?;
            announce(&services, &source, &token, arguments.yes, context)?;
            let signer = Signer::new(client, services, source, token, audience);
            (signer, Verifier::new(root), trust)
        }
    };

    let verifier = Arc::new(verifier);
    // Without --key here, no identity was named either, which was an error above.
    let policy = suffices.map(|policy| match (policy, signer.key()) {
        (Policy::Unstated, Some(key)) => Policy::Key(Box::new(key)),
        (policy, _) => policy,
    });
    let skip = policy.map(|policy| SkipIfSigned {
        run: VerifyRun {
            world: context.world.clone(),
            registry: registry.clone(),
            signature_repository: signatures.clone(),
            trust: Trust::known(Trusted { verifier: Arc::clone(&verifier), report: trust.clone() }),
            policy,
            matching: Match::Manifest,
            scope: Scope { limits: super::verify::LIMITS, accept: Formats::ALL, all: false },
            repeated_flags: Vec::new(),
        },
    });
    let making = making(arguments.signature_format, &signer, context)?;
    let run = SignRun {
        world: context.world.clone(),
        registry,
        signature_repository: signatures,
        signer,
        verifier,
        trust,
        making,
        annotations: annotations(&arguments)?,
        skip,
    };
    let blank = |typed: &str, object: Option<&SignObject>| {
        run.unfinished(typed, object.map_or(&[], |object| object.weakened.as_slice()))
    };
    let work = async |object: &SignObject| run.sign(object).await;
    let outcomes = each(context, timeout, &objects, blank, work);
    Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)))
}

/// The formats to make. Without a word of the user's both, where that is possible: the older one is all that some
/// read, and the other all that most will.
fn making(
    asked: Option<SignatureFormat>,
    signer: &Signer,
    context: &mut Context<'_, '_>,
) -> Result<Making> {
    let can = signer.makes_legacy();
    let (bundle, legacy, referrer) = match asked {
        None => (true, can, false),
        Some(SignatureFormat::Bundle) => (true, false, false),
        Some(SignatureFormat::Legacy) => (false, true, false),
        Some(SignatureFormat::Both) => (true, true, false),
        Some(SignatureFormat::All) => (true, true, true),
    };
    if legacy && !can {
        return Err(Error::usage("the log cannot promise what a legacy signature needs")
            .cause("Rekor v2 has no signed entry timestamps; a bundle does without")
            .hint("--signature-format bundle, or --rekor-version 1 where that is offered"));
    }
    if !can && asked.is_none() {
        context.printer.note(
            "no legacy signature beside the bundle: Rekor v2 does not promise what one needs, and clients that read nothing else will call the chart unsigned",
        );
    }
    Ok(Making { bundle, legacy, referrer, asked: asked.is_some() })
}

/// `--annotations`, but for what the signature says itself.
fn annotations(arguments: &SignArgs) -> Result<BTreeMap<String, String>> {
    let mut said = BTreeMap::new();
    for (key, value) in &arguments.annotations {
        let problem = match key.as_str() {
            TITLE_ANNOTATION | VERSION_ANNOTATION => "name and version come from Chart.yaml",
            _ if said.insert(key.clone(), value.clone()).is_some() => "it is said twice",
            _ => continue,
        };
        let flag = format!("--annotations {key}");
        return Err(Error::usage("cannot say this of the chart").on(flag).cause(problem));
    }
    Ok(said)
}

/// Whose signatures suffice, if charts that are signed already are left alone.
fn suffices(arguments: &SignArgs, context: &Context<'_, '_>) -> Result<Option<Policy>> {
    let named = IDENTITY_FLAGS.iter().find(|id| context.given.has(id));
    if !arguments.skip_if_signed {
        // Set for `verify` by the environment, they mean nothing here.
        return match named {
            Some(id) => Err(Error::usage("nobody is trusted by signing")
                .on(format!("--{}", id.replace('_', "-")))
                .cause("it says whose signature suffices for --skip-if-signed")
                .hint("--skip-if-signed")),
            None => Ok(None),
        };
    }
    let policy = arguments.identity.policy()?;
    if matches!(policy, Policy::Unstated) && arguments.key.is_none() {
        return Err(Error::usage("nothing says whose signature suffices")
            .on("--skip-if-signed")
            .hint("--certificate-identity IDENTITY --certificate-oidc-issuer URL"));
    }
    Ok(Some(policy))
}

fn objects(
    arguments: &SignArgs,
    named: &[Named],
    signatures: Option<&RepositoryPrefix>,
) -> Result<Vec<Object<SignObject>>> {
    let chart = setup::chart_name(&arguments.chart)?;
    let bundle_out = setup::bundle_out(arguments.bundle_out.bundle_out.as_deref(), named.len())?;
    let repository = arguments.repository.as_deref().map(RepositoryPrefix::parse).transpose()?;
    let object = |argument: Argument| -> Result<SignObject> {
        let host = match (&argument, &repository) {
            (Argument::Reference(_), Some(_)) => {
                return Err(Error::usage("--repository is for files"));
            }
            (Argument::Reference(reference), None) => Some(reference.host.as_str()),
            (Argument::File(_), prefix) => prefix.as_ref().map(|prefix| prefix.host.as_str()),
        };
        Ok(SignObject {
            weakened: setup::weakened_at(&arguments.registry, host, signatures),
            version: setup::version(&arguments.chart.version, &argument),
            argument,
            chart: chart.clone(),
            repository: repository.clone(),
            bundle_out: bundle_out.clone(),
            force: arguments.force,
        })
    };
    Ok(lists::objects(named, object))
}

/// An entry that nobody could verify is not written: it would be public before that is found out.
fn check_log(root: &TrustRoot, trust: &TrustReport) -> Result<()> {
    match root.knows_a_log() {
        true => Ok(()),
        false => Err(Error::usage("trusted root has no transparency log")
            .on(trust.source.as_str())
            .cause("a signature is verified before it is attached, its log entry included")),
    }
}

/// A key has no name, so nobody is asked; what becomes public is said.
fn announce_key(services: &KeyServices, key: &PrivateKey, context: &mut Context<'_, '_>) {
    let id = key.public().id();
    context.printer.note(&match &services.log {
        Some(log) => {
            let log = host_of(log.url.as_str());
            format!("signing with key {id}; the public key becomes part of the log {log}")
        }
        None => format!("signing with key {id}; nothing is logged"),
    });
}

/// The identity goes into a public log for ever: a person is asked once, a pipeline gets one line.
fn announce(
    services: &Services,
    source: &TokenSource,
    token: &Token,
    yes: bool,
    context: &mut Context<'_, '_>,
) -> Result<()> {
    let identity = token.identity();
    if !services.is_public_good() || yes || !context.interactive {
        context.printer.note(&format!(
            "signing as {identity} (token from {}); the identity becomes part of the log {}",
            source.label(),
            host_of(services.log.url.as_str()),
        ));
        return Ok(());
    }
    let question = format!(
        "Signing as {identity} (token from {}) publishes this identity in a public log, for ever. Go on? [y/N] ",
        source.label()
    );
    match confirm(context, &question) {
        true => Ok(()),
        false => Err(Error::usage("not signed").cause("the question was not answered with yes")),
    }
}
