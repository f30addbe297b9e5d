//! `sign`.

use std::path::PathBuf;
use std::sync::Arc;

use super::args::SignArgs;
use super::drive::{Object, each, none_usable};
use super::lists::Named;
use super::policy::{self, Found, INSECURE_NO_POLICY};
use super::pushed::{self, Scraped};
use super::words::host_of;
use super::{Context, Ended, confirm, key, lists, setup, token, trust};
use crate::chart::{Argument, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::run::{
    Outcome, PolicySource, ProvCheck, Report, SignObject, SignRun, SkipIfSigned, Trust,
    TrustReport, Trusted, VerifyRun,
};
use crate::sign::{KeyServices, PrivateKey, Services, Signer, Token, TokenSource};
use crate::verify::{Match, Policy, TrustRoot, Verifier};

/// Referrers that are read back at most after a signature was attached.
const MAX_REFERRERS: usize = 100_000;

/// The flags that name identities.
const IDENTITY_FLAGS: [&str; 9] = [
    "certificate_identity",
    "certificate_identity_regexp",
    "email",
    "github",
    "gitlab",
    "google_account",
    "insecure_no_policy",
    "min_signatures",
    "policy",
];

pub(super) fn run(arguments: SignArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let from_push = arguments.charts.iter().any(|chart| chart == "-");
    if from_push {
        context.subject.inputs = Vec::new();
        check_stdin(&arguments)?;
    }
    let signatures = setup::signature_repository(&arguments.registry, context)?;
    let objects = match from_push {
        true => pushed_objects(&arguments, signatures.as_ref(), context)?,
        false => {
            let named = lists::expand(&arguments.charts, None)?;
            context.subject.inputs = named.iter().map(|named| named.text.clone()).collect();
            objects(&arguments, &named, signatures.as_ref())?
        }
    };
    check(&arguments)?;
    if let Some(outcomes) = none_usable(&objects, Outcome::of_sign) {
        return Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)));
    }
    check_files(&arguments, &objects, context)?;
    let run = prepare(&arguments, signatures, context)?;
    let blank = |typed: &str, object: Option<&SignObject>| {
        run.unfinished(typed, object.map_or(&[], |object| object.weakened.as_slice()))
    };
    let work = async |object: &SignObject| run.sign(object).await;
    let outcomes = each(context, arguments.common.timeout, &objects, blank, work);
    Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)))
}

/// What cannot be meant, of arguments that each may be.
pub(super) fn check(arguments: &SignArgs) -> Result<()> {
    if arguments.registry.password_stdin && arguments.identity_token.as_deref() == Some("-") {
        return Err(Error::usage("standard input can be read only once")
            .cause("--password-stdin and --identity-token - both want it"));
    }
    if !arguments.tlog_upload && arguments.key.is_none() {
        return Err(Error::usage("an identity is signed for in the log")
            .on("--tlog-upload=false")
            .cause("its certificate lasts for minutes, and the log proves when it signed"));
    }
    Ok(())
}

/// A file by itself has no name that a rule could be for.
fn check_files(
    arguments: &SignArgs,
    objects: &[Object<SignObject>],
    context: &Context<'_, '_>,
) -> Result<()> {
    if !matches!(suffices(arguments, context)?, Some(Suffices::Rules(..))) {
        return Ok(());
    }
    let alone = |object: &SignObject| {
        matches!(object.argument, Argument::File(_)) && object.repository.is_none()
    };
    match objects.iter().find(|(_, object)| object.as_ref().is_ok_and(alone)) {
        Some((typed, _)) => {
            Err(Error::usage("the policy has rules for references, and this is a file")
                .on(typed.as_str())
                .cause("nothing says which chart it is taken for, so whose signature suffices"))
        }
        None => Ok(()),
    }
}

/// Gets ready to sign: key or token, services, trust. Nothing is public after it.
pub(super) fn prepare(
    arguments: &SignArgs,
    signatures: Option<RepositoryPrefix>,
    context: &mut Context<'_, '_>,
) -> Result<SignRun> {
    let suffices = suffices(arguments, context)?;
    let timeout = arguments.common.timeout;
    let key = match &arguments.key {
        Some(named) => Some(key::private(named, context)?),
        None => None,
    };
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS)?;
    let client = trust::client(&arguments.trust, context)?;
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
            let issuer = Services::issuer(&config, now);
            let source = token::source(arguments, issuer, context)?;
            let audience = arguments.oidc.audience();
            let token = token::resolve(&source, &client, audience, timeout, context)?;
            token.check(context.world.now(), audience).map_err(|error| error.on(source.label()))?;
            announce(&services, &source, &token, arguments.yes, context)?;
            let signer = Signer::new(client, services, source, token, audience);
            (signer, Verifier::new(root), trust)
        }
    };

    let verifier = Arc::new(verifier);
    let of_the_run =
        Trust::known(Trusted { verifier: Arc::clone(&verifier), report: trust.clone() });
    let asked = match suffices {
        None => None,
        Some(Suffices::Flags(policy)) => Some((
            match (policy, signer.key()) {
                (Policy::Unstated, Some(key)) => Policy::Key(Box::new(key)),
                (policy, _) => policy,
            },
            PolicySource::Flags,
        )),
        Some(Suffices::Rules(path, named, narrowed)) => {
            let (trust, of) = (&arguments.trust, Some(&of_the_run));
            let rules = policy::rules(&path, named, narrowed.as_ref(), trust, false, of, context)?;
            Some((Policy::Unstated, PolicySource::Rules(Box::new(rules))))
        }
    };
    let skip = asked.map(|(policy, policy_file)| SkipIfSigned {
        run: VerifyRun {
            world: context.world.clone(),
            registry: registry.clone(),
            signature_repository: signatures.clone(),
            trust: of_the_run,
            policy,
            policy_file,
            matching: Match::Manifest,
            prov: ProvCheck::ignored(),
            limits: super::verify::LIMITS,
            repeated_flags: Vec::new(),
        },
    });
    Ok(SignRun {
        world: context.world.clone(),
        registry,
        signature_repository: signatures,
        signer,
        verifier,
        trust,
        skip,
    })
}

/// The charts that `helm push` says it has pushed.
fn pushed_objects(
    arguments: &SignArgs,
    signatures: Option<&RepositoryPrefix>,
    context: &mut Context<'_, '_>,
) -> Result<Vec<Object<SignObject>>> {
    let bytes = setup::read_stdin(context, "standard input")?;
    let Scraped { pushed, rest } = pushed::scrape(&String::from_utf8_lossy(&bytes));
    for line in rest {
        context.printer.note(&line);
    }
    let pushed = pushed?;
    context.subject.inputs = pushed.iter().map(|one| one.typed.clone()).collect();
    let bundle_out = setup::bundle_out(arguments.bundle_out.bundle_out.as_deref(), pushed.len())?;
    let objects = pushed.into_iter().map(|one| {
        let host = Some(one.reference.host.as_str());
        let object = SignObject {
            weakened: setup::weakened_at(&arguments.registry, host, signatures),
            version: None,
            chart: Some(one.chart),
            argument: Argument::Reference(one.reference),
            repository: None,
            bundle_out: bundle_out.clone(),
            force: false,
        };
        (one.typed, Ok(object))
    });
    Ok(objects.collect())
}

/// With `-` everything that says which charts are meant comes from standard input.
fn check_stdin(arguments: &SignArgs) -> Result<()> {
    let stdin = |other: &str| {
        Err(Error::usage("standard input can be read only once")
            .cause(format!("{other} and - both want it")))
    };
    if arguments.registry.password_stdin {
        return stdin("--password-stdin");
    }
    if arguments.identity_token.as_deref() == Some("-") {
        return stdin("--identity-token -");
    }
    let others = [
        (arguments.charts.len() > 1, "other charts"),
        (arguments.repository.is_some(), "--repository"),
        (arguments.chart.version.version.is_some() || arguments.chart.version.devel, "--version"),
        (arguments.chart.chart.is_some(), "--chart"),
    ];
    match others.iter().find(|(given, _)| *given) {
        Some((_, other)) => {
            Err(Error::usage("cannot be used together").on(format!("- and {other}")))
        }
        None => Ok(()),
    }
}

/// Whose signatures suffice.
enum Suffices {
    /// Those of whom the flags name; of the key that signs, where they name nobody.
    Flags(Policy),
    /// Those of whom the policy at this path trusts, whether it was named, and what the flags ask for beside.
    Rules(PathBuf, bool, Option<Policy>),
}

/// Whose signatures suffice, if charts that are signed already are left alone.
fn suffices(arguments: &SignArgs, context: &Context<'_, '_>) -> Result<Option<Suffices>> {
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
    let unstated = matches!(policy, Policy::Unstated);
    Ok(Some(match policy::find(&arguments.policy, context)? {
        Found::Named(path) => Suffices::Rules(path, true, (!unstated).then_some(policy)),
        Found::ByDefault(path) if unstated && arguments.key.is_none() => {
            Suffices::Rules(path, false, None)
        }
        _ if unstated && arguments.key.is_none() => {
            return Err(Error::usage("nothing says whose signature suffices")
                .on("--skip-if-signed")
                .hint("--certificate-identity IDENTITY --certificate-oidc-issuer URL"));
        }
        _ => Suffices::Flags(policy),
    }))
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
        let mut weakened = setup::weakened_at(&arguments.registry, host, signatures);
        if arguments.policy.insecure_no_policy {
            weakened.push(INSECURE_NO_POLICY.to_owned());
        }
        Ok(SignObject {
            weakened,
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
