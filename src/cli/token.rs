//! Where `sign` may get its identity token from: what arguments, environment and machine offer.

use std::io::Read;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::args::SigningArgs;
use super::{Context, Environment, setup};
use crate::error::Result;
use crate::sign::{Google, Offered, Platform, Projected, TokenSource};

/// Where Kubernetes workloads project a token for cosign, by convention.
const PROJECTED_TOKEN: &str = "/var/run/sigstore/cosign/oidc-token";

/// Where the firmware of a Linux machine says what it is, and what it says on a machine of Google's.
const PRODUCT_NAME: &str = "/sys/class/dmi/id/product_name";
const GOOGLE_PRODUCTS: [&str; 2] = ["Google", "Google Compute Engine"];

/// The place that the token comes from.
pub(super) fn source(
    arguments: &SigningArgs,
    context: &mut Context<'_, '_>,
) -> Result<TokenSource> {
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
        in_gitlab_ci: environment.is_true("GITLAB_CI"),
        platform: platform(environment),
        projected: projected(environment),
        google: google(environment)?,
        audience: None,
    })?;
    if source.is_literal() && context.given.has("identity_token") {
        context.printer.warning(
            "a token in the arguments can be seen by others: use a file, `-` or SIGSTORE_ID_TOKEN",
        );
    }
    Ok(source)
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
    let directories = environment.programs().into_iter();
    let program = directories.map(|directory| directory.join(&file)).find(|path| path.is_file());
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
fn google(environment: &Environment) -> Result<Option<Google>> {
    let host = environment.value("GCE_METADATA_HOST");
    let account = environment.value("GOOGLE_SERVICE_ACCOUNT_NAME");
    if host.is_none()
        && account.is_none()
        && (environment.is_true("NO_GCE_CHECK") || !is_a_machine_of_google())
    {
        return Ok(None);
    }
    let iam = environment.value("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS");
    Google::new(host, account, iam).map(Some)
}

fn is_a_machine_of_google() -> bool {
    let mut name = String::new();
    let read = std::fs::File::open(PRODUCT_NAME)
        .and_then(|file| file.take(64).read_to_string(&mut name))
        .is_ok();
    read && GOOGLE_PRODUCTS.contains(&name.trim())
}
