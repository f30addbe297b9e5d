//! `push`.

use std::path::PathBuf;

use clap::Args as _;

use super::args::{PushArgs, SignatureArgs};
use super::drive::{Object, each};
use super::github_output::Outputs;
use super::{Context, Ended, setup, sign};
use crate::chart::RepositoryPrefix;
use crate::error::{Error, Result};
use crate::run::{PushObject, PushRun, Report};

/// Referrers that are read back at most after a signature was attached.
const MAX_REFERRERS: usize = 100_000;
/// Where GitHub Actions reads a step's outputs.
const GITHUB_OUTPUT: &str = "GITHUB_OUTPUT";
/// Field and flag that says where signatures are put, which is told beside how to speak to registries.
const SIGNATURE_REPOSITORY: (&str, &str) = ("signature_repository", "signature-repository");

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
    let PushArgs { sign, force, signature, registry, common, .. } = &arguments;
    let (sign, force, timeout) = (*sign, *force, common.timeout);
    let (signatures, bundle_out, weakened) = match sign {
        true => {
            let repository = setup::signature_repository(registry, context)?;
            let out = setup::bundle_out(signature.bundle_out.bundle_out.as_deref(), files.len())?;
            let weakened =
                sign::weakened(signature, registry, Some(&target.host), repository.as_ref());
            (repository, out, weakened)
        }
        false => {
            check_unsigned(context)?;
            (None, None, setup::weakened_at(registry, Some(&target.host), None))
        }
    };
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
                    bundle_out: bundle_out.clone(),
                    weakened: weakened.clone(),
                }),
            };
            (typed.clone(), object)
        })
        .collect();
    let run = match sign {
        true => {
            sign::check(signature, registry)?;
            // Token, key and services are there before anything is pushed.
            let sign = sign::prepare(signature, registry, timeout, signatures, context)?;
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

/// A flag of signing where nothing is signed would be a wish that nobody hears. What the environment sets is meant
/// for whoever signs.
fn check_unsigned(context: &Context<'_, '_>) -> Result<()> {
    let signing = SignatureArgs::augment_args(clap::Command::new(""));
    let longs = signing
        .get_arguments()
        .filter_map(|argument| Some((argument.get_id().as_str(), argument.get_long()?)));
    match longs.chain([SIGNATURE_REPOSITORY]).find(|(id, _)| context.given.has(id)) {
        Some((_, long)) => {
            Err(Error::usage("nothing is signed").on(format!("--{long}")).hint("--sign"))
        }
        None => Ok(()),
    }
}
