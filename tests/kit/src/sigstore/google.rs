//! Google Cloud, as far as a workload asks it for tokens: the metadata server, and the IAM credentials that
//! let one service account sign as another.
//!
//! Paths, headers and documents are those of Google's documentation, "View and query VM metadata" and "Method:
//! serviceAccounts.generateIdToken". The issuer of the tokens is the instance's own for e-mail addresses.

use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::http::{Call, Reply};
use super::identity::Identity;
use super::oidc::Provider;

/// The service account of the workload.
pub(crate) const ACCOUNT: &str = "builder@acme.iam.gserviceaccount.com";
/// The one that it may sign as.
pub(crate) const IMPERSONATED: &str = "release@acme.iam.gserviceaccount.com";

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const DEFAULT_ACCOUNT: &str = "computeMetadata/v1/instance/service-accounts/default/";

/// The answer, if the path is one of Google's.
pub(crate) fn answer(provider: &Provider, call: &Call) -> Option<Reply> {
    let path = call.path.trim_start_matches('/');
    if let Some(what) = path.strip_prefix(DEFAULT_ACCOUNT) {
        return Some(metadata(provider, call, what).with_header(FLAVOR, "Google"));
    }
    let account = path.strip_prefix("v1/projects/-/serviceAccounts/")?;
    Some(generate(provider, call, account.strip_suffix(":generateIdToken")?))
}

fn metadata(provider: &Provider, call: &Call, what: &str) -> Reply {
    if call.headers.get(FLAVOR).is_none_or(|flavor| flavor != "Google") {
        return Reply::text(403, "Missing Metadata-Flavor:Google header.");
    }
    match (call.method.as_str(), what, call.parameter("audience")) {
        ("GET", "identity", None) => Reply::text(400, "non-empty audience parameter required"),
        ("GET", "identity", Some(audience)) => {
            let mut identity = Identity::email(ACCOUNT).with_audience(audience);
            if call.parameter("format") != Some("full") {
                identity = identity.with_claim("email", Value::Null);
            }
            provider.token(&identity).map_or_else(
                |error| Reply::text(500, error.to_string()),
                |token| Reply::text(200, token),
            )
        }
        ("GET", "token", _) => Reply::json(
            200,
            &json!({"access_token": provider.access_token(), "expires_in": 3599, "token_type": "Bearer"}),
        ),
        _ => Reply::text(404, "not found"),
    }
}

fn generate(provider: &Provider, call: &Call, account: &str) -> Reply {
    let failure = |code: u16, status: &str| {
        let message = "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).";
        Reply::json(code, &json!({"error": {"code": code, "message": message, "status": status}}))
    };
    if call.bearer() != Some(provider.access_token()) {
        return failure(401, "UNAUTHENTICATED");
    }
    if account != IMPERSONATED {
        return failure(403, "PERMISSION_DENIED");
    }
    let Ok(Value::Object(asked)) = serde_json::from_slice(&call.body) else {
        return failure(400, "INVALID_ARGUMENT");
    };
    let Some(audience) = asked.get("audience").and_then(Value::as_str) else {
        return failure(400, "INVALID_ARGUMENT");
    };
    let mut identity = Identity::email(account).with_audience(audience);
    if asked.get("includeEmail") != Some(&Value::Bool(true)) {
        identity = identity.with_claim("email", Value::Null);
    }
    match provider.token(&identity) {
        Ok(token) => Reply::json(200, &json!({"token": token})),
        Err(error) => Reply::text(500, error.to_string()),
    }
}
