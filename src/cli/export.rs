//! `policy export`: the configuration with which others verify a chart.

use clap::ValueEnum;

use super::args::ExportArgs;
use super::drive::drive;
use super::{Context, Ended, key, setup, trust};
use crate::chart::{Argument, ChartReference, Digest};
use crate::consumer::{self, Consumer, Export, PrivateTrust, Trusted};
use crate::error::{Class, Error, Reason, Result};
use crate::run::{Format, Outcome, SignatureReport, Status, VerifyObject, VerifyRun};
use crate::verify::{Identity, LogCheck, Policy, Signer, TrustedKey};

/// Referrers that are listed at most.
const MAX_REFERRERS: usize = 100_000;

/// Who is to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ConsumerArg {
    Flux,
    Kyverno,
    PolicyController,
    GithubActions,
}

impl From<ConsumerArg> for Consumer {
    fn from(argument: ConsumerArg) -> Self {
        match argument {
            ConsumerArg::Flux => Self::Flux,
            ConsumerArg::Kyverno => Self::Kyverno,
            ConsumerArg::PolicyController => Self::PolicyController,
            ConsumerArg::GithubActions => Self::GithubActions,
        }
    }
}

/// Verifies the chart first: a configuration that its own chart would not pass helps nobody.
#[inline(never)]
pub(super) fn run(arguments: ExportArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let argument = setup::object(&arguments.reference)?;
    let Argument::Reference(reference) = &argument else {
        return Err(Error::usage("an export is for references").on(arguments.reference));
    };
    let reference = reference.clone();
    let public_key =
        arguments.key.as_deref().map(|named| key::public(named, context)).transpose()?;
    let policy = match (arguments.identity.policy()?, &public_key) {
        (policy, None) => policy,
        (Policy::Unstated, Some(key)) => {
            Policy::Key(Box::new(TrustedKey { key: key.clone(), log: LogCheck::Required }))
        }
        (_, Some(_)) => return Err(Error::usage("a key and an identity were given").on("--key")),
    };
    if policy.min_signatures() > 1 {
        return Err(Error::usage("no consumer asks for several signatures").on("--min-signatures"));
    }
    let timeout = arguments.common.timeout;
    let private = match arguments.trust.is_named() {
        true => trust::private(&arguments.trust, timeout, context)?,
        false => None,
    };
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS)?;
    let trust = trust::trust(&arguments.trust, false, context)?;
    let mut run = VerifyRun {
        signature_repository: setup::signature_repository(&arguments.registry, context)?,
        ..VerifyRun::new(context.world.clone(), registry, trust, policy.clone())
    };
    // It depends on the formats that there are, also behind the first signature that will do.
    run.scope.all = arguments.consumer == ConsumerArg::PolicyController;
    let version = setup::version(&arguments.version, &argument);
    let object = VerifyObject::new(argument, version);
    let outcome = drive(context, timeout, run.verify(&object))?;
    let first_use = matches!(policy, Policy::Unstated);
    let mut trusted = trusted(&policy, public_key.as_ref().map(|key| key.to_pem()), &outcome)?;
    if arguments.consumer == ConsumerArg::GithubActions {
        in_githubs_words(&mut trusted, &outcome);
    }
    let (repository, tag) = resolved(&reference, &outcome);
    let digest = outcome.manifest_digest.as_deref().map(Digest::parse).transpose()?;
    let what = Export {
        repository: &repository,
        tag: tag.as_deref(),
        digest: digest.ok_or_else(|| Error::usage("nothing was resolved"))?,
        trusted: &trusted,
        private: private.as_ref(),
        plain_http: arguments.registry.plain_http,
        legacy: in_older_format(&outcome, &trusted, private.as_ref()),
    };
    let text = consumer::export(arguments.consumer.into(), &what)
        .map_err(|error| error.on(reference.typed.clone()))?;
    if first_use {
        context.printer.note(
            "trust on first use: it trusts whoever has signed this chart; check that this is the right signer",
        );
    }
    Ok(Ended::Text(text))
}

/// Adds what the signers' certificates say of the source in the extensions that GitHub had first, where they say the
/// same: cosign compares no others.
fn in_githubs_words(trusted: &mut Trusted, outcome: &Outcome) {
    let Trusted::Identities(identities) = trusted else { return };
    for identity in identities {
        let signers = outcome.signatures.iter().filter_map(|one| one.valid_signer.as_ref());
        let Some(signer) = signers.into_iter().find(|signer| identity.matches(signer)) else {
            continue;
        };
        identity.constraints.extend(identity.in_githubs_words(signer));
    }
}

/// Whom to trust: those whom the flags name, if they have signed; else the one who has.
fn trusted(policy: &Policy, key: Option<String>, outcome: &Outcome) -> Result<Trusted> {
    let failed = || match &outcome.error {
        Some(error) => error.clone(),
        None => Error::usage("no signature was found"),
    };
    match (policy, key) {
        (Policy::Unstated, _) => {}
        (_, _) if outcome.error.is_some() => return Err(failed()),
        (_, Some(pem)) => return Ok(Trusted::Key(pem)),
        (policy, None) => return Ok(Trusted::Identities(policy.identities().to_vec())),
    }
    let mut signers: Vec<&Signer> = Vec::new();
    for one in &outcome.signatures {
        let unnamed = one.reason == Some(Reason::NoIdentity.as_str());
        let signer = one.valid_signer.as_ref().filter(|one| unnamed && one.key_id.is_none());
        let Some(signer) = signer else { continue };
        if !signers.iter().any(|other| other.is_same_person(signer)) {
            signers.push(signer);
        }
    }
    match signers.as_slice() {
        [] if outcome.error.as_ref().is_some_and(|error| error.class == Class::Usage) => {
            Err(Error::usage("the chart is signed by a key, which a signature does not hold")
                .hint("--key cosign.pub"))
        }
        [] => Err(failed()),
        [signer] => Ok(Trusted::Identities(vec![Identity::of_signer(signer)?])),
        several => {
            let error = Error::usage("several have signed: say who is to be trusted");
            let error = several.iter().take(5).fold(error, |error, signer| {
                let source = signer.source_repository.as_ref();
                let source = source.map(|source| format!("   source {source}")).unwrap_or_default();
                error.line("valid signature by", format!("{}{source}", signer.words()))
            });
            Err(error.hint("--certificate-identity … --certificate-oidc-issuer …"))
        }
    }
}

/// Whether policy-controller is to look at the older format. It takes bundles with a root from TUF alone, and then no
/// signatures in the older format; with keys given one by one it is the other way round.
fn in_older_format(outcome: &Outcome, trusted: &Trusted, private: Option<&PrivateTrust>) -> bool {
    let good = |format: Format| {
        outcome.signatures.iter().any(|one| is_good(one) && one.format == Some(format))
    };
    let by_tuf = private.is_some_and(|private| private.tuf.is_some());
    let keyless = matches!(trusted, Trusted::Identities(_));
    good(Format::Legacy) && !(by_tuf && keyless && good(Format::Bundle))
}

/// Whether it is by those who are to be trusted: anybody may have put another one there.
fn is_good(signature: &SignatureReport) -> bool {
    signature.status == Status::Accepted || signature.reason == Some(Reason::NoIdentity.as_str())
}

/// The repository without scheme, and the tag that was named or found.
fn resolved(reference: &ChartReference, outcome: &Outcome) -> (String, Option<String>) {
    let repository = format!("{}/{}", reference.host, reference.repository);
    let found = outcome.reference.as_deref().and_then(|text| ChartReference::parse(text).ok());
    let tag = match reference.digest {
        Some(_) => None,
        None => found.and_then(|found| found.tag).or_else(|| reference.tag.clone()),
    };
    (repository, tag)
}
