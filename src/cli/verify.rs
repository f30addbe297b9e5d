//! `verify`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{FormatArg, MatchArg, ProvArg, VerifyArgs};
use super::drive::{Object, each, none_usable};
use super::lists::Named;
use super::{Context, Ended, key, lists, setup, trust};
use crate::chart::{Argument, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::run::{
    Formats, Limits, Outcome, ProvCheck, ProvKeys, ProvMode, Report, Scope, Trust, TrustReport,
    Trusted, VerifyObject, VerifyRun, VerifySource, read_keyring,
};
use crate::verify::{
    COSIGN_SIGN_PREDICATE, LogCheck, Match, Policy, TrustedKey, Verifier, predicate_type,
};

/// Referrers that are listed at most (and 16 MiB of them). More than are looked at: a list has to be
/// known to its end before its newest entries are.
const MAX_REFERRERS: usize = 100_000;

/// How much is looked at unless flags say otherwise; the flags have the same as their defaults.
pub(super) const LIMITS: Limits =
    Limits { candidates: 1000, bytes: 16 << 20, time: std::time::Duration::from_secs(30) };

pub(super) fn run(arguments: VerifyArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    // Not the parser's question: it forgives a missing `--key` beside what excludes it.
    if arguments.insecure_ignore_tlog && arguments.key.is_none() {
        return Err(Error::usage("only a signature by a key can do without the log")
            .on("--insecure-ignore-tlog")
            .cause("a certificate lasts for minutes, and the log proves when it signed")
            .hint("--key cosign.pub"));
    }
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
    if arguments.registry.password_stdin && arguments.charts.iter().any(|chart| chart == "-") {
        return Err(Error::usage("standard input can be read only once")
            .cause("--password-stdin and the list - both want it"));
    }
    let named = lists::expand(&arguments.charts, Some(&mut context.stdin))?;
    context.subject.inputs = named.iter().map(|named| named.text.clone()).collect();
    let signatures = setup::signature_repository(&arguments.registry, context)?;
    let objects = objects(&arguments, &named, signatures.as_ref(), context)?;
    if let Some(outcomes) = none_usable(&objects, Outcome::new) {
        return Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)));
    }
    let max_candidates = usize::try_from(arguments.max_candidates).unwrap_or(usize::MAX);
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS)?;
    let timeout = arguments.common.timeout;
    let trust = match &policy {
        // Without log there is nothing that a root would say.
        Policy::Key(trusted) if trusted.log == LogCheck::Ignored && !arguments.trust.is_named() => {
            Trust::known(Trusted {
                verifier: Arc::new(Verifier::without_trust()),
                report: TrustReport::none(),
            })
        }
        _ => trust::trust(&arguments.trust, arguments.offline, context)?,
    };
    let prov = provenance(&arguments, context)?;
    let run = VerifyRun {
        world: context.world.clone(),
        registry,
        signature_repository: signatures,
        trust,
        policy,
        matching: match arguments.matching {
            MatchArg::Manifest => Match::Manifest,
            MatchArg::ChartLayer => Match::ChartLayer,
        },
        prov,
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
        required: arguments
            .require_predicate
            .iter()
            .map(|named| predicate_type(named))
            .collect::<Result<_>>()?,
        repeated_flags: std::mem::take(&mut context.given.repeated),
    };
    let blank = |typed: &str, object: Option<&VerifyObject>| {
        run.unfinished(typed, object.map_or(&[], |object| object.weakened.as_slice()))
    };
    let work = async |object: &VerifyObject| run.verify(object).await;
    let outcomes = each(context, timeout, &objects, blank, work);
    Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)))
}

/// `--accept`.
fn formats(named: &[FormatArg]) -> Formats {
    Formats {
        bundle: named.contains(&FormatArg::Bundle),
        legacy: named.contains(&FormatArg::Legacy),
    }
}

/// The keyring that was named, by the flag or as the Go plugin was told, else where Helm and GnuPG keep theirs.
fn provenance(arguments: &VerifyArgs, context: &Context<'_, '_>) -> Result<ProvCheck> {
    let mode = match arguments.prov {
        ProvArg::Ignore => ProvMode::Ignore,
        ProvArg::IfPresent => ProvMode::IfPresent,
        ProvArg::Require => ProvMode::Require,
    };
    let named = arguments.keyring.as_deref().or_else(|| context.environment.value("KEYRING"));
    let keys = match named {
        Some(path) if mode != ProvMode::Ignore => {
            ProvKeys::Named(Box::new(read_keyring(Path::new(path))?))
        }
        Some(_) => ProvKeys::Default(Vec::new()),
        None => ProvKeys::Default(context.environment.keyrings()),
    };
    Ok(ProvCheck { mode, keys })
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
    let prefix = arguments.repository.as_deref().map(RepositoryPrefix::parse).transpose()?;
    let object = |argument: Argument| -> Result<VerifyObject> {
        setup::check_has_manifest(&argument, prefix.as_ref(), context)?;
        let source = match (&arguments.bundle, &prefix, &argument) {
            (Some(path), _, _) => VerifySource::Bundle(PathBuf::from(path)),
            (None, Some(prefix), Argument::File(_)) => VerifySource::Repository(prefix.clone()),
            (None, Some(_), Argument::Reference(_)) => {
                return Err(Error::usage("--repository is for files"));
            }
            (None, None, _) => VerifySource::Beside,
        };
        let alone = matches!(
            (&argument, &source),
            (_, VerifySource::Bundle(_)) | (Argument::File(_), VerifySource::Beside)
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
        Ok(VerifyObject {
            weakened,
            version: setup::version(&arguments.chart.version, &argument),
            argument,
            chart: chart.clone(),
            source,
            bundle_out: bundle_out.clone(),
        })
    };
    Ok(lists::objects(named, object))
}
