//! `sign`.

use zeroize::Zeroizing;

use super::args::SignArgs;
use super::verify::time_out;
use super::{Context, Ended, drive, setup};
use crate::chart::{Argument, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::net;
use crate::run::{Outcome, Report, SignObject, SignRun, TrustReport};
use crate::sign::{Offered, Services, Signer, Token, TokenSource};
use crate::trust;
use crate::verify::Verifier;

/// Referrers that are read back at most after a signature was attached.
const MAX_REFERRERS: usize = 100_000;

pub(super) fn run(arguments: SignArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let objects = objects(&arguments)?;
    if arguments.registry.password_stdin && arguments.identity_token.as_deref() == Some("-") {
        return Err(Error::usage("standard input can be read only once")
            .cause("--password-stdin and --identity-token - both want it"));
    }
    let root = arguments.trust.trusted_root.as_deref().map(trust::Source::parse);
    let config = arguments.signing_config.as_deref().map(trust::Source::parse);
    if root.is_some() != config.is_some() {
        return Err(Error::usage("--trusted-root and --signing-config belong together").cause(
            "a signature is verified before it is attached, with the root of its instance",
        ));
    }
    let config = trust::signing_config(config.as_ref())?;
    let verifier = Verifier::new(trust::trusted_root(root.as_ref())?);
    let services = Services::select(&config, arguments.rekor_version, context.world.now())?;
    let source = token_source(&arguments, context)?;
    let mut weakened = Vec::new();
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS, &mut weakened)?;
    let client = net::Client::new(net::Options::default())?;

    let timeout = arguments.common.timeout;
    let token = drive(context, timeout, source.resolve(&client))??;
    token.check(context.world.now(), crate::sign::AUDIENCE)?;
    announce(&services, &source, &token, arguments.yes, context)?;

    let run = SignRun {
        world: context.world.clone(),
        registry,
        signer: Signer::new(client, services, source, token),
        verifier,
        trust: TrustReport {
            source: root.map(|source| source.words()).unwrap_or_default(),
            age: None,
            expires: None,
        },
        weakened,
    };
    let mut results = Vec::with_capacity(objects.len());
    let done = drive(context, timeout, async {
        for object in &objects {
            results.push(match object {
                Ok(object) => run.sign(object).await,
                Err((typed, error)) => Outcome::new(typed).failed(error.clone()),
            });
        }
    });
    time_out(done, &objects, |object| object.argument.typed(), &mut results);
    Ok(Ended::Report(Report::new(context.tool.clone(), results)))
}

fn objects(arguments: &SignArgs) -> Result<Vec<Result<SignObject, (String, Error)>>> {
    let chart = setup::chart_name(&arguments.chart)?;
    let bundle_out =
        setup::bundle_out(arguments.bundle.bundle_out.as_deref(), arguments.charts.len())?;
    let repository = arguments.repository.as_deref().map(RepositoryPrefix::parse).transpose()?;
    arguments
        .charts
        .iter()
        .map(|text| {
            let argument = match setup::object(text) {
                Ok(argument) => argument,
                Err(error) => return Ok(Err((text.clone(), error))),
            };
            if repository.is_some() && matches!(argument, Argument::Reference(_)) {
                return Err(Error::usage("--repository is for files").on(text.clone()));
            }
            Ok(Ok(SignObject {
                argument,
                version: arguments.chart.version.clone(),
                chart: chart.clone(),
                repository: repository.clone(),
                bundle_out: bundle_out.clone(),
            }))
        })
        .collect()
}

fn token_source(arguments: &SignArgs, context: &mut Context<'_, '_>) -> Result<TokenSource> {
    let argument = arguments.identity_token.clone().map(Zeroizing::new);
    let stdin = match argument.as_ref().map(|text| text.as_str()) {
        Some("-") => Some(setup::read_stdin(context, "identity token")?),
        _ => None,
    };
    let environment = context.environment;
    let secret = |name: &str| environment.value(name).map(|text| Zeroizing::new(text.to_owned()));
    let source = TokenSource::choose(Offered {
        argument,
        stdin,
        environment: secret("SIGSTORE_ID_TOKEN"),
        in_github_actions: environment.is_true("GITHUB_ACTIONS"),
        request_url: environment.value("ACTIONS_ID_TOKEN_REQUEST_URL").map(str::to_owned),
        request_token: secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
    })?;
    if source.is_literal() && environment.value("HELM_SIGSTORE_IDENTITY_TOKEN").is_none() {
        context.printer.warning(
            "a token in the arguments can be seen by others: use a file, `-` or SIGSTORE_ID_TOKEN",
        );
    }
    Ok(source)
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
            services.log.url.host_str().unwrap_or_default(),
        ));
        return Ok(());
    }
    context.printer.prompt(&format!(
        "Signing as {identity} (token from {}) publishes this identity in a public log, for ever. Go on? [y/N] ",
        source.label()
    ));
    let mut answer = Vec::new();
    let mut byte = [0_u8; 1];
    while answer.len() < 16 {
        match context.stdin.read(&mut byte) {
            Ok(1) if byte != *b"\n" => answer.extend_from_slice(&byte),
            _ => break,
        }
    }
    match answer.trim_ascii() {
        b"y" | b"Y" | b"yes" | b"Yes" => Ok(()),
        _ => Err(Error::usage("not signed").cause("the question was not answered with yes")),
    }
}
