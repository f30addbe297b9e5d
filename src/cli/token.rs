//! Where `sign` may get its identity token from: what arguments, environment and machine offer.

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::args::SigningArgs;
use super::drive::drive;
use super::{Context, Environment, setup, sign_in};
use crate::error::Result;
use crate::net;
use crate::sign::{
    Google, Offered, Platform, Projected, SIGN_IN_TIME, Token, TokenSource, WorkloadApi,
};

/// Where Kubernetes workloads project a token for cosign, by convention.
const PROJECTED_TOKEN: &str = "/var/run/sigstore/cosign/oidc-token";

/// Where the firmware of a Linux machine says what it is, and what it says on a machine of Google's.
const PRODUCT_NAME: &str = "/sys/class/dmi/id/product_name";
const GOOGLE_PRODUCTS: [&str; 2] = ["Google", "Google Compute Engine"];

/// The place that the token comes from; `issuer` is where people of the instance sign in.
pub(super) fn source(
    arguments: &SigningArgs,
    issuer: Option<String>,
    context: &mut Context<'_, '_>,
) -> Result<TokenSource> {
    let argument = arguments.identity_token.clone().map(Zeroizing::new);
    let stdin = match argument.as_ref().map(|text| text.as_str()) {
        Some("-") => Some(setup::read_stdin(context, "identity token")?),
        _ => None,
    };
    let oidc = &arguments.oidc;
    let person = match argument {
        None => oidc.person(issuer, context)?,
        Some(_) => None,
    };
    let audience = Some(oidc.audience().to_owned());
    let nobody = sign_in::nobody(context);
    let ambient = !oidc.oidc_disable_ambient_providers && !oidc.device;
    let given = Offered {
        argument,
        stdin,
        person,
        nobody,
        without_ambient: !ambient,
        audience,
        ..Offered::default()
    };
    let offered = if ambient { with_ambient(given, context.environment) } else { given };
    let source = TokenSource::choose(offered)?;
    if source.is_literal() && context.given.has("identity_token") {
        context.printer.warning(
            "a token in the arguments can be seen by others: use a file, `-` or SIGSTORE_ID_TOKEN",
        );
    }
    Ok(source)
}

/// Gets the token. The time in which a person signs in is not counted against `timeout`; it has a bound of
/// its own.
pub(super) fn resolve(
    source: &TokenSource,
    client: &net::Client,
    audience: &str,
    timeout: Duration,
    context: &mut Context<'_, '_>,
) -> Result<Token> {
    context.world.enter(format!("getting an identity token from {}", source.label()));
    let more = if source.asks_a_person() { SIGN_IN_TIME } else { Duration::ZERO };
    let started = Instant::now();
    let token = drive(context, timeout.saturating_add(more), source.resolve(client, audience))?;
    if source.asks_a_person() {
        context.driver.forgive(started.elapsed());
    }
    token
}

/// What the environment and the machine offer beside what was given.
fn with_ambient(given: Offered, environment: &Environment) -> Offered {
    let secret = |name: &str| environment.value(name).map(|text| Zeroizing::new(text.to_owned()));
    Offered {
        environment: secret("SIGSTORE_ID_TOKEN"),
        in_github_actions: environment.is_true("GITHUB_ACTIONS"),
        request_url: environment.value("ACTIONS_ID_TOKEN_REQUEST_URL").map(str::to_owned),
        request_token: secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        in_gitlab_ci: environment.is_true("GITLAB_CI"),
        platform: platform(environment),
        projected: projected(environment),
        spiffe: environment.value("SPIFFE_ENDPOINT_SOCKET").map(WorkloadApi::parse),
        google: google(environment),
        ..given
    }
}

/// The platform whose job this is, and its command, where it lies in `PATH`.
fn platform(environment: &Environment) -> Option<(Platform, Option<PathBuf>)> {
    let platform = if environment.is_true("BUILDKITE") {
        Platform::Buildkite
    } else if environment.is_true("CIRCLECI") {
        Platform::CircleCi
    } else {
        return None;
    };
    let file = format!("{}{}", platform.program(), std::env::consts::EXE_SUFFIX);
    let program = sign_in::found(environment, &file);
    Some((platform, program))
}

/// The files of platforms that are there: the path that cosign looks at too, then those that clouds name.
fn projected(environment: &Environment) -> Vec<Projected> {
    let named = |by: &'static str| {
        environment.value(by).map(|path| Projected { by, path: PathBuf::from(path) })
    };
    let usual = Projected { by: "projected volume", path: PathBuf::from(PROJECTED_TOKEN) };
    let files =
        [Some(usual), named("AZURE_FEDERATED_TOKEN_FILE"), named("AWS_WEB_IDENTITY_TOKEN_FILE")];
    files.into_iter().flatten().filter(|file| file.path.is_file()).collect()
}

/// Google Cloud, if the machine or the environment says that this is a workload of it: the address of its
/// metadata server is somebody else's on other networks. cosign decides by the same
/// file and variable; Google's libraries know `GCE_METADATA_HOST` and `NO_GCE_CHECK`.
fn google(environment: &Environment) -> Option<Result<Google>> {
    let host = environment.value("GCE_METADATA_HOST");
    let account = environment.value("GOOGLE_SERVICE_ACCOUNT_NAME");
    if host.is_none()
        && account.is_none()
        && (environment.is_true("NO_GCE_CHECK") || !is_a_machine_of_google())
    {
        return None;
    }
    let iam = environment.value("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS");
    Some(Google::new(host, account, iam))
}

fn is_a_machine_of_google() -> bool {
    let mut name = String::new();
    let read = std::fs::File::open(PRODUCT_NAME)
        .and_then(|file| file.take(64).read_to_string(&mut name))
        .is_ok();
    read && GOOGLE_PRODUCTS.contains(&name.trim())
}
