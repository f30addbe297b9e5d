//! `attest`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::args::AttestArgs;
use super::drive::{Object, each, none_usable};
use super::lists::Named;
use super::sign::MAX_REFERRERS;
use super::{Context, Ended, lists, setup, signer};
use crate::chart::{Argument, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::run::{Attestation, Making, Outcome, Report, SignObject, SignRun};
use crate::verify::{
    COSIGN_CUSTOM_PREDICATE, COSIGN_SIGN_PREDICATE, MAX_PREDICATE_BYTES, predicate_type,
};

#[inline(never)]
pub(super) fn run(arguments: AttestArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let attestation = attestation(&arguments, context)?;
    let named = lists::expand(&arguments.charts, None, &context.driver)?;
    context.subject.inputs = named.iter().map(|named| named.text.clone()).collect();
    let signatures = setup::signature_repository(&arguments.registry, context)?;
    let objects = objects(&arguments, &named, signatures.as_ref())?;
    signer::check(&arguments.signing, arguments.registry.password_stdin)?;
    if let Some(outcomes) = none_usable(&objects, Outcome::of_sign) {
        return Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)));
    }
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS)?;
    let timeout = arguments.common.timeout;
    let (signer, verifier, trust) = signer::signer(
        &arguments.signing,
        &arguments.trust,
        &arguments.services,
        timeout,
        context,
    )?;
    let run = SignRun {
        world: context.world.clone(),
        registry,
        signature_repository: signatures,
        signer,
        verifier: Arc::new(verifier),
        trust,
        making: Making::BUNDLE,
        annotations: BTreeMap::new(),
        attestation: Some(attestation),
        skip: None,
    };
    let blank = |typed: &str, object: Option<&SignObject>| {
        run.unfinished(typed, object.map_or(&[], |object| object.weakened.as_slice()))
    };
    let work = async |object: &SignObject| run.sign(object).await;
    let outcomes = each(context, timeout, &objects, blank, work);
    Ok(Ended::Report(Report::new(context.tool.clone(), outcomes)))
}

/// What is said, read within bounds and found to be a predicate, before anybody is asked for a certificate.
fn attestation(arguments: &AttestArgs, context: &Context<'_, '_>) -> Result<Attestation> {
    let kind = predicate_type(&arguments.predicate_type)?;
    if kind == COSIGN_SIGN_PREDICATE {
        return Err(Error::usage("that is a signature, and no attestation")
            .on(format!("--predicate-type {kind}"))
            .hint("helm sigstore sign"));
    }
    let path = &arguments.predicate;
    let cannot = |cause: String| Error::usage("cannot read the predicate").on(path).cause(cause);
    let file = path.clone();
    let read = move || Ok(std::fs::File::open(file).and_then(read));
    let read = context.driver.reading(Path::new(path), read)?;
    let mut predicate = read.map_err(|error| cannot(error.to_string()))?;
    if predicate.len() > MAX_PREDICATE_BYTES {
        return Err(cannot(format!(
            "it is larger than {MAX_PREDICATE_BYTES} bytes, with which others could not read the bundle"
        )));
    }
    if kind == COSIGN_CUSTOM_PREDICATE {
        let text = String::from_utf8(predicate).map_err(|_| cannot("it is no text".to_owned()))?;
        let said =
            serde_json::json!({"Data": text, "Timestamp": format!("{:.0}", context.world.now())});
        predicate = said.to_string().into_bytes();
    }
    let attestation = Attestation { predicate_type: kind, predicate };
    attestation.check().map_err(|error| error.on(path))?;
    Ok(attestation)
}

/// Reads one byte more than a predicate may have, so that its length can be judged.
fn read(from: std::fs::File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_PREDICATE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn objects(
    arguments: &AttestArgs,
    named: &[Named],
    signatures: Option<&RepositoryPrefix>,
) -> Result<Vec<Object<SignObject>>> {
    let chart = setup::chart_name(&arguments.chart)?;
    let bundle_out = setup::bundle_out(arguments.bundle_out.bundle_out.as_deref(), named.len())?;
    let repository = arguments.repository.as_deref().map(RepositoryPrefix::parse).transpose()?;
    let object = |argument: Argument| -> Result<SignObject> {
        setup::check_named_exactly(&argument)?;
        let host = match (&argument, &repository) {
            (Argument::Reference(_), Some(_)) => {
                return Err(Error::usage("--repository is for files"));
            }
            (Argument::Reference(reference), None) => reference.host.as_str(),
            (Argument::File(_), Some(prefix)) => prefix.host.as_str(),
            (Argument::File(_), None) => {
                return Err(Error::usage("nothing says where this file was pushed")
                    .cause("an attestation is attached to the chart in a registry")
                    .hint("--repository oci://HOST/PATH"));
            }
        };
        Ok(SignObject {
            weakened: setup::weakened_at(&arguments.registry, Some(host), signatures),
            version: setup::version(&arguments.chart.version, &argument),
            argument,
            chart: chart.clone(),
            repository: repository.clone(),
            bundle_out: bundle_out.clone(),
            force: false,
        })
    };
    Ok(lists::objects(named, object))
}
