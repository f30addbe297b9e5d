//! `push`.

use std::path::PathBuf;

use super::args::{BundleOutArgs, ChartArgs, PushArgs, SignArgs, SigningArgs, VersionOf};
use super::drive::{Object, each};
use super::github_output::Outputs;
use super::identities::IdentityArgs;
use super::policy::PolicyArgs;
use super::{Context, Ended, setup, sign};
use crate::chart::RepositoryPrefix;
use crate::error::{Error, Result};
use crate::run::{PushObject, PushRun, Report};

/// Referrers that are read back at most after a signature was attached.
const MAX_REFERRERS: usize = 100_000;
/// Where GitHub Actions reads a step's outputs.
const GITHUB_OUTPUT: &str = "GITHUB_OUTPUT";

#[inline(never)]
pub(super) fn run(arguments: PushArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let Some((target, files)) = arguments.charts.split_last() else {
        return Err(Error::usage(super::parse::MISSING).on("oci://TARGET"));
    };
    context.subject.inputs = files.to_vec();
    context.subject.signing = arguments.sign;
    if !target.starts_with("oci://") {
        return Err(
            Error::usage("the target comes last, and begins with oci://").on(target.clone())
        );
    }
    let target = RepositoryPrefix::parse(target).map_err(|error| error.on(target.clone()))?;
    let output = match (arguments.github_output, context.environment.value(GITHUB_OUTPUT)) {
        (false, _) => None,
        (true, Some(path)) => Some(PathBuf::from(path)),
        (true, None) => {
            return Err(Error::usage("there is no file for outputs")
                .on("--github-output")
                .cause("GITHUB_OUTPUT is not set: this is no step of GitHub Actions"));
        }
    };
    let PushArgs { sign, force, registry, common, .. } = &arguments;
    let (sign, force, timeout) = (*sign, *force, common.timeout);
    if !sign && registry.signature_repository.is_some() {
        return Err(Error::usage("nothing is signed").on("--signature-repository").hint("--sign"));
    }
    let signatures = match sign {
        true => setup::signature_repository(registry, context)?,
        false => None,
    };
    let weakened = setup::weakened_at(registry, Some(&target.host), signatures.as_ref());
    let objects: Vec<Object<PushObject>> = files
        .iter()
        .map(|typed| {
            let object = match std::path::Path::new(typed).is_dir() {
                true => Err(Error::usage("not a packaged chart")
                    .on(typed.clone())
                    .cause("this is a directory")
                    .hint("helm package")),
                false => Ok(PushObject {
                    path: PathBuf::from(typed),
                    typed: typed.clone(),
                    target: target.clone(),
                    force,
                    weakened: weakened.clone(),
                }),
            };
            (typed.clone(), object)
        })
        .collect();
    let run = match sign {
        true => {
            let arguments = signing(arguments);
            sign::check(&arguments)?;
            // Token, key and services are there before anything is pushed.
            let sign = sign::prepare(&arguments, signatures, context)?;
            PushRun {
                world: context.world.clone(),
                registry: sign.registry.clone(),
                sign: Some(sign),
            }
        }
        false => PushRun {
            world: context.world.clone(),
            registry: setup::registry(registry, context, MAX_REFERRERS)?,
            sign: None,
        },
    };
    let outputs = output.as_deref().map(Outputs::open).transpose()?;
    let blank = |typed: &str, object: Option<&PushObject>| {
        run.unfinished(typed, object.map_or(&[], |object| object.weakened.as_slice()))
    };
    let work = async |object: &PushObject| {
        let outcome = run.push(object).await;
        outputs.iter().for_each(|outputs| outputs.add(&outcome));
        outcome
    };
    let outcomes = each(context, timeout, &objects, blank, work);
    let outcomes = match outputs {
        Some(outputs) => outputs.finish(outcomes),
        None => outcomes,
    };
    Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)))
}

/// The same flags, as `sign` has them.
fn signing(arguments: PushArgs) -> SignArgs {
    SignArgs {
        charts: Vec::new(),
        repository: None,
        force: false,
        skip_if_signed: false,
        signature_format: None,
        annotations: Vec::new(),
        signing: SigningArgs {
            identity_token: arguments.identity_token,
            key: arguments.key,
            tlog_upload: arguments.tlog_upload,
            yes: arguments.yes,
            oidc: arguments.oidc,
        },
        identity: IdentityArgs::default(),
        policy: PolicyArgs { policy: None, insecure_no_policy: false },
        chart: ChartArgs { version: VersionOf { version: None, devel: false }, chart: None },
        trust: arguments.trust,
        services: arguments.services,
        registry: arguments.registry,
        bundle_out: BundleOutArgs { bundle_out: None },
        common: arguments.common,
    }
}
