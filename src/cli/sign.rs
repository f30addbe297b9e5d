//! `sign`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::args::{RegistryArgs, SignArgs, SignatureArgs, SignatureFormat};
use super::drive::{Object, each, none_usable};
use super::lists::Named;
use super::policy::{self, Beside, Found, INSECURE_NO_POLICY};
use super::pushed::{self, Scraped};
use super::{Context, Ended, lists, setup, signer};
use crate::chart::{Argument, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::run::{
    Making, Outcome, PolicySource, Report, SignObject, SignRun, SkipIfSigned, Trust, Trusted,
    VerifyRun,
};
use crate::sign::Signer;
use crate::verify::{Policy, TITLE_ANNOTATION, VERSION_ANNOTATION};

/// Referrers that are read back at most after a signature was attached.
pub(super) const MAX_REFERRERS: usize = 100_000;

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

#[inline(never)]
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
            let named = lists::expand(&arguments.charts, None, &context.driver)?;
            context.subject.inputs = named.iter().map(|named| named.text.clone()).collect();
            objects(&arguments, &named, signatures.as_ref())?
        }
    };
    check(&arguments.signature, &arguments.registry)?;
    if let Some(outcomes) = none_usable(&objects, Outcome::of_sign) {
        return Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)));
    }
    check_files(&arguments, &objects, context)?;
    let SignArgs { signature, registry, common, .. } = &arguments;
    let run = prepare(signature, registry, common.timeout, signatures, context)?;
    let blank = |typed: &str, object: Option<&SignObject>| {
        run.unfinished(typed, object.map_or(&[], |object| object.weakened.as_slice()))
    };
    let work = async |object: &SignObject| run.sign(object).await;
    let outcomes = each(context, arguments.common.timeout, &objects, blank, work);
    Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)))
}

/// What cannot be meant, of arguments that each may be.
pub(super) fn check(arguments: &SignatureArgs, registry: &RegistryArgs) -> Result<()> {
    signer::check(&arguments.signing, registry.password_stdin)
}

/// A file by itself has no name that a rule could be for.
fn check_files(
    arguments: &SignArgs,
    objects: &[Object<SignObject>],
    context: &Context<'_, '_>,
) -> Result<()> {
    if !matches!(suffices(&arguments.signature, context)?, Some(Suffices::Rules(..))) {
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
    arguments: &SignatureArgs,
    registry: &RegistryArgs,
    timeout: Duration,
    signatures: Option<RepositoryPrefix>,
    context: &mut Context<'_, '_>,
) -> Result<SignRun> {
    let suffices = suffices(arguments, context)?;
    let registry = setup::registry(registry, context, MAX_REFERRERS)?;
    let (signer, verifier, trust) = signer::signer(
        &arguments.signing,
        &arguments.trust,
        &arguments.services,
        timeout,
        context,
    )?;

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
            let flags = Beside {
                named,
                narrowed: narrowed.as_ref(),
                trust: &arguments.trust,
                offline: false,
                of_the_run: Some(&of_the_run),
                asked: None,
            };
            let rules = policy::rules(&path, flags, context)?;
            Some((Policy::Unstated, PolicySource::Rules(Box::new(rules))))
        }
    };
    let skip = asked.map(|(policy, policy_file)| SkipIfSigned {
        run: VerifyRun {
            signature_repository: signatures.clone(),
            policy_file,
            ..VerifyRun::new(context.world.clone(), registry.clone(), of_the_run, policy)
        },
    });
    let making = making(arguments.signature_format, &signer, context)?;
    Ok(SignRun {
        world: context.world.clone(),
        registry,
        signature_repository: signatures,
        signer,
        verifier,
        trust,
        making,
        annotations: annotations(arguments)?,
        attestation: None,
        skip,
    })
}

/// The checks that are switched off for a chart at `host`.
pub(super) fn weakened(
    arguments: &SignatureArgs,
    registry: &RegistryArgs,
    host: Option<&str>,
    signatures: Option<&RepositoryPrefix>,
) -> Vec<String> {
    let mut weakened = setup::weakened_at(registry, host, signatures);
    if arguments.policy.insecure_no_policy {
        weakened.push(INSECURE_NO_POLICY.to_owned());
    }
    weakened
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
    let bundle_out =
        setup::bundle_out(arguments.signature.bundle_out.bundle_out.as_deref(), pushed.len())?;
    let objects = pushed.into_iter().map(|one| {
        let host = Some(one.reference.host.as_str());
        let object = SignObject {
            weakened: weakened(&arguments.signature, &arguments.registry, host, signatures),
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
    if arguments.signature.signing.identity_token.as_deref() == Some("-") {
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
fn annotations(arguments: &SignatureArgs) -> Result<BTreeMap<String, String>> {
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

/// Whose signatures suffice.
enum Suffices {
    /// Those of whom the flags name; of the key that signs, where they name nobody.
    Flags(Policy),
    /// Those of whom the policy at this path trusts, whether it was named, and what the flags ask for beside.
    Rules(PathBuf, bool, Option<Policy>),
}

/// Whose signatures suffice, if charts that are signed already are left alone.
fn suffices(arguments: &SignatureArgs, context: &Context<'_, '_>) -> Result<Option<Suffices>> {
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
        Found::ByDefault(path) if unstated && arguments.signing.key.is_none() => {
            Suffices::Rules(path, false, None)
        }
        _ if unstated && arguments.signing.key.is_none() => {
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
    let bundle_out =
        setup::bundle_out(arguments.signature.bundle_out.bundle_out.as_deref(), named.len())?;
    let repository = arguments.repository.as_deref().map(RepositoryPrefix::parse).transpose()?;
    let object = |argument: Argument| -> Result<SignObject> {
        setup::check_named_exactly(&argument)?;
        let host = match (&argument, &repository) {
            (Argument::Reference(_), Some(_)) => {
                return Err(Error::usage("--repository is for files"));
            }
            (Argument::Reference(reference), None) => Some(reference.host.as_str()),
            (Argument::File(_), prefix) => prefix.as_ref().map(|prefix| prefix.host.as_str()),
        };
        Ok(SignObject {
            weakened: weakened(&arguments.signature, &arguments.registry, host, signatures),
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
