//! `verify`.

use std::path::PathBuf;

use super::args::{FormatArg, MatchArg, ProvArg, VerifyArgs};
use super::drive::{Object, each, none_usable};
use super::lists::Named;
use super::policy::{self, Beside, Found, INSECURE_NO_POLICY};
use super::provenance::Asked;
use super::{Context, Ended, key, lists, rekor, setup, trust};
use crate::chart::{Argument, ChartReference, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::run::{
    Formats, Limits, LogSearch, Outcome, PolicySource, Report, Scope, VerifyObject, VerifyRun,
    VerifySource,
};
use crate::verify::{COSIGN_SIGN_PREDICATE, LogCheck, Match, Policy, TrustedKey, predicate_type};

/// Referrers that are listed at most (and 16 MiB of them). More than are looked at: a list has to be
/// known to its end before its newest entries are.
const MAX_REFERRERS: usize = 10_000;

#[inline(never)]
pub(super) fn run(arguments: VerifyArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    // Not the parser's question: it forgives a missing `--key` beside what excludes it.
    if arguments.insecure_ignore_tlog && arguments.key.is_none() {
        return Err(Error::usage("only a signature by a key can do without the log")
            .on("--insecure-ignore-tlog")
            .cause("a certificate lasts for minutes, and the log proves when it signed")
            .hint("--key cosign.pub"));
    }
    check_log(&arguments, context)?;
    let policy = match (arguments.identity.policy()?, &arguments.key) {
        (policy, None) => policy,
        (Policy::Unstated, Some(named)) => {
            let log = match arguments.insecure_ignore_tlog {
                true => LogCheck::Ignored,
                false => LogCheck::Required,
            };
            Policy::Key(Box::new(TrustedKey { key: key::public(named, context)?, log }))
        }
        (_, Some(_)) => return Err(Error::usage("a key and an identity were given").on("--key")),
    };
    let found = policy::find(&arguments.policy, context)?;
    if arguments.insecure_ignore_tlog && matches!(found, Found::Named(_)) {
        return Err(Error::usage("flags only narrow a policy")
            .on("--insecure-ignore-tlog")
            .cause("a key that needs no log says so in the policy: insecure-ignore-tlog: true"));
    }
    if arguments.registry.password_stdin && arguments.charts.iter().any(|chart| chart == "-") {
        return Err(Error::usage("standard input can be read only once")
            .cause("--password-stdin and the list - both want it"));
    }
    let named = lists::expand(&arguments.charts, Some(&mut context.stdin), &context.driver)?;
    context.subject.inputs = named.iter().map(|named| named.text.clone()).collect();
    let signatures = setup::signature_repository(&arguments.registry, context)?;
    let objects = objects(&arguments, &named, signatures.as_ref(), context)?;
    if let Some(outcomes) = none_usable(&objects, Outcome::new) {
        return Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)));
    }
    let max_candidates = usize::try_from(arguments.max_candidates).unwrap_or(usize::MAX);
    let most = MAX_REFERRERS.max(arguments.max_candidates as usize);
    let registry = setup::registry(&arguments.registry, context, most)?;
    let timeout = arguments.common.timeout;
    let offline = arguments.offline;
    let unstated = matches!(policy, Policy::Unstated);
    let of_rules = match &found {
        Found::Named(path) => Some((path, true)),
        Found::ByDefault(path) if unstated => Some((path, false)),
        Found::ByDefault(_) | Found::Nothing => None,
    };
    let asked = Asked::of(&arguments, of_rules.is_some(), context)?;
    let required: Vec<String> = arguments
        .require_predicate
        .iter()
        .map(|kind| predicate_type(kind))
        .collect::<Result<_>>()?;
    let policy_file = match (of_rules, &found) {
        (Some((path, named)), _) => {
            let flags = Beside {
                named,
                narrowed: Some(&policy).filter(|_| !unstated),
                trust: &arguments.trust,
                offline,
                of_the_run: None,
                asked: Some((&asked, &required)),
            };
            PolicySource::Rules(Box::new(policy::rules(path, flags, context)?))
        }
        (None, Found::ByDefault(path)) => PolicySource::Replaced(path.display().to_string()),
        (None, _) => PolicySource::Flags,
    };
    if arguments.predicate_type.is_some() && matches!(policy_file, PolicySource::Rules(_)) {
        return Err(Error::usage("flags only narrow a policy")
            .on("--predicate-type")
            .cause("a rule asks for a signature, and a statement of another kind is none")
            .hint(INSECURE_NO_POLICY));
    }
    let trust = match (&policy, &policy_file) {
        // Every rule has its own.
        (_, PolicySource::Rules(_)) => policy::without_trust(),
        // Without log there is nothing that a root would say.
        (Policy::Key(trusted), _)
            if trusted.log == LogCheck::Ignored
                && !arguments.trust.is_named()
                && !arguments.rekor_helm =>
        {
            policy::without_trust()
        }
        _ => trust::trust(&arguments.trust, offline, context)?,
    };
    let rekor_helm = match arguments.rekor_helm {
        true => Some(rekor::access(&arguments.rekor_server, &arguments.trust, context)?),
        false => None,
    };
    let run = VerifyRun {
        signature_repository: signatures,
        policy_file,
        matching: match arguments.matching {
            MatchArg::Manifest => Match::Manifest,
            MatchArg::ChartLayer => Match::ChartLayer,
        },
        prov: asked.of_the_run(),
        rekor_helm,
        scope: Scope {
            limits: Limits {
                candidates: max_candidates,
                bytes: arguments.max_candidate_bytes,
                time: arguments.max_candidate_time,
            },
            accept: formats(&arguments.accept),
            all: arguments.all,
        },
        predicate_type: match &arguments.predicate_type {
            Some(named) => predicate_type(named)?,
            None => COSIGN_SIGN_PREDICATE.to_owned(),
        },
        required,
        repeated_flags: std::mem::take(&mut context.given.repeated),
        ..VerifyRun::new(context.world.clone(), registry, trust, policy)
    };
    let blank = |typed: &str, object: Option<&VerifyObject>| {
        run.unfinished(typed, object.map_or(&[], |object| object.weakened.as_slice()))
    };
    let local = |object: &VerifyObject| {
        matches!(object.argument, Argument::File(_))
            && !matches!(object.source, VerifySource::Repository(_))
    };
    if offline && objects.iter().all(|(_, object)| object.as_ref().map_or(true, local)) {
        context.driver.stay_local();
    }
    let work = async |object: &VerifyObject| run.verify(object).await;
    let outcomes = each(context, timeout, &objects, blank, work);
    Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)))
}

/// What cannot be meant of the log: it is asked about the provenance, or for the entry of a signature that came without.
fn check_log(arguments: &VerifyArgs, context: &Context<'_, '_>) -> Result<()> {
    let together = |one: &str, other: &str, why: &str| {
        Err(Error::usage("cannot be used together").on(format!("{one} and {other}")).cause(why))
    };
    // Set for `rekor` by the environment, it means nothing where no log is asked.
    let named = context.given.has("rekor_server");
    match (arguments.rekor_helm, arguments.offline) {
        (true, true) => {
            together("--rekor-helm", "--offline", "the log is asked about the provenance")
        }
        (true, false) if arguments.prov == ProvArg::Ignore => {
            together("--rekor-helm", "--prov ignore", "the log is asked about the provenance")
        }
        (false, true) if named => together("--rekor-server", "--offline", "the log would be asked"),
        (false, false) if named && arguments.insecure_ignore_tlog => {
            together("--rekor-server", "--insecure-ignore-tlog", "no log is asked")
        }
        (false, false) if named && arguments.signature.is_none() => {
            Err(Error::usage("no log is asked")
                .on("--rekor-server")
                .cause("what lies beside a signature proves that it is logged")
                .hint("--rekor-helm"))
        }
        _ => Ok(()),
    }
}

/// Where the log entry of `--signature` is looked for.
fn log_search(arguments: &VerifyArgs, context: &Context<'_, '_>) -> Result<LogSearch> {
    match arguments.offline {
        true => Ok(LogSearch::Offline),
        false => {
            rekor::access(&arguments.rekor_server, &arguments.trust, context).map(LogSearch::In)
        }
    }
}

/// `--accept`.
fn formats(named: &[FormatArg]) -> Formats {
    Formats {
        bundle: named.contains(&FormatArg::Bundle),
        legacy: named.contains(&FormatArg::Legacy),
    }
}

fn objects(
    arguments: &VerifyArgs,
    named: &[Named],
    signatures: Option<&RepositoryPrefix>,
    context: &Context<'_, '_>,
) -> Result<Vec<Object<VerifyObject>>> {
    let count = named.len();
    let chart = setup::chart_name(&arguments.chart)?;
    let bundle_out = setup::bundle_out(arguments.bundle_out.bundle_out.as_deref(), count)?;
    if count > 1 && arguments.bundle.is_some() {
        return Err(Error::usage("--bundle is for one chart"));
    }
    if count > 1 && arguments.signature.is_some() {
        return Err(Error::usage("--signature is for one chart"));
    }
    let prefix = arguments.repository.as_deref().map(RepositoryPrefix::parse).transpose()?;
    let taken_as = arguments.taken_as.as_deref().map(taken_as).transpose()?;
    if taken_as.is_some() && count > 1 {
        return Err(Error::usage("--as is for one file"));
    }
    let log = arguments.signature.as_ref().map(|_| log_search(arguments, context)).transpose()?;
    let object = |argument: Argument| -> Result<VerifyObject> {
        setup::check_has_manifest(&argument, prefix.as_ref(), context)?;
        let detached = arguments.signature.as_ref().zip(log.clone());
        let detached = detached.map(|(signature, log)| VerifySource::Detached {
            signature: PathBuf::from(signature),
            certificate: arguments.certificate.as_ref().map(PathBuf::from),
            timestamp: arguments.rfc3161_timestamp.as_ref().map(PathBuf::from),
            log,
        });
        let source = match (&arguments.bundle, &prefix, &argument) {
            (None, None, Argument::File(_)) if detached.is_some() => {
                detached.unwrap_or(VerifySource::Beside)
            }
            (None, None, Argument::Reference(_)) if detached.is_some() => {
                return Err(Error::usage("--signature is for files"));
            }
            (Some(path), _, _) => VerifySource::Bundle(PathBuf::from(path)),
            (None, Some(prefix), Argument::File(_)) => VerifySource::Repository(prefix.clone()),
            (None, Some(_), Argument::Reference(_)) => {
                return Err(Error::usage("--repository is for files"));
            }
            (None, None, _) => VerifySource::Beside,
        };
        let alone = matches!(
            (&argument, &source),
            (_, VerifySource::Bundle(_) | VerifySource::Detached { .. })
                | (Argument::File(_), VerifySource::Beside)
        );
        if alone && context.given.has("require_predicate") {
            return Err(Error::usage("one bundle holds one statement")
                .on("--require-predicate")
                .cause("it is looked for in the registry, beside the signature"));
        }
        let host = match (&argument, &source) {
            (Argument::Reference(reference), _) => Some(reference.host.as_str()),
            (_, VerifySource::Repository(prefix)) => Some(prefix.host.as_str()),
            _ => None,
        };
        let mut weakened = setup::weakened_at(&arguments.registry, host, signatures);
        if arguments.insecure_ignore_tlog {
            weakened.push("--insecure-ignore-tlog".to_owned());
        }
        if arguments.policy.insecure_no_policy {
            weakened.push(INSECURE_NO_POLICY.to_owned());
        }
        Ok(VerifyObject {
            weakened,
            version: setup::version(&arguments.chart.version, &argument),
            argument,
            chart: chart.clone(),
            taken_as: taken_as.clone(),
            source,
            bundle_out: bundle_out.clone(),
        })
    };
    Ok(lists::objects(named, object))
}

/// `--as`: a chart's repository, perhaps with its version.
fn taken_as(text: &str) -> Result<ChartReference> {
    let reference =
        ChartReference::parse(text).map_err(|error| error.on(format!("--as {text}")))?;
    match reference.digest {
        None => Ok(reference),
        Some(_) => Err(Error::usage("a file has no manifest")
            .on(format!("--as {text}"))
            .cause("the digest in a reference is that of the manifest")),
    }
}
