//! Tokens of Google Cloud: from the metadata server of the machine, or, through it, for a service account
//! that this one may impersonate.
//!
//! The metadata server has one address on every network, so it is asked only where something says that
//! this is Google Cloud: on another network that address would be somebody else's.

use std::time::Duration;

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::service::{self, Call, Service};
use super::token::{MAX_TOKEN_BYTES, Token, bad};
use crate::error::{Class, Error, Reason, Result};
use crate::net::header::{HeaderName, HeaderValue};
use crate::net::{self, PlainHttp, Redirects, Request, Response};

/// Where the metadata server is, on every network of Google's: an address, so that no name server is asked.
const METADATA_HOST: &str = "169.254.169.254";
/// Where the IAM credentials are.
const IAM_CREDENTIALS: &str = "https://iamcredentials.googleapis.com/";
/// The account that this workload runs as.
const DEFAULT_ACCOUNT: &str = "/computeMetadata/v1/instance/service-accounts/default/";
/// What an access token has to be good for to impersonate.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long the metadata server may take in all: it is a hop away.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// What the server demands of clients, and says of itself.
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: &str = "Google";
/// What every error here is about.
const WHAT: &str = "cannot get an identity token";
/// The role that impersonation takes.
const IMPERSONATION_ROLE: &str = "roles/iam.serviceAccountOpenIdTokenCreator";

/// A workload of Google Cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Google {
    metadata: Url,
    iam: Url,
    impersonate: Option<String>,
}

impl Google {
    /// `metadata_host` is `GCE_METADATA_HOST` (host and perhaps port), `impersonate` is
    /// `GOOGLE_SERVICE_ACCOUNT_NAME`, and `iam` the endpoint of the IAM credentials in place of Google's.
    ///
    /// # Errors
    /// Usage (`bad-token`): one of them is not what it has to be.
    pub fn new(
        metadata_host: Option<&str>,
        impersonate: Option<&str>,
        iam: Option<&str>,
    ) -> Result<Self> {
        let host = metadata_host.unwrap_or(METADATA_HOST);
        let metadata = Url::parse(&format!("http://{host}/"))
            .ok()
            .filter(|url| url.path() == "/" && url.username().is_empty() && url.query().is_none())
            .ok_or_else(|| bad("GCE_METADATA_HOST is no host").on(host))?;
        let iam = service::parse_url(iam.unwrap_or(IAM_CREDENTIALS)).map_err(|why| {
            bad("the endpoint of Google's IAM credentials cannot be used").cause(why)
        })?;
        let account = impersonate.unwrap_or_default();
        // It becomes a segment of a path.
        if !account.chars().all(|c| c.is_ascii_alphanumeric() || "@.-_:".contains(c)) {
            return Err(bad("GOOGLE_SERVICE_ACCOUNT_NAME names no service account").on(account));
        }
        Ok(Self { metadata, iam, impersonate: impersonate.map(str::to_owned) })
    }

    /// The name for messages.
    pub(super) fn label(&self) -> String {
        match &self.impersonate {
            Some(account) => format!("Google Cloud as {account}"),
            None => "Google Cloud".to_owned(),
        }
    }

    /// Asks for a token for `audience`.
    pub(super) async fn ask(&self, net: &net::Client, audience: &str) -> Result<Token> {
        let Some(account) = &self.impersonate else {
            let mut url = self.of_account("identity")?;
            url.query_pairs_mut().append_pair("audience", audience).append_pair("format", "full");
            let text = self.metadata(net, url).await?;
            let text = Zeroizing::new(String::from_utf8_lossy(&text.body).into_owned());
            return Token::parse(&text);
        };
        let mut url = self.of_account("token")?;
        url.query_pairs_mut().append_pair("scopes", SCOPE);
        let answer = self.metadata(net, url.clone()).await?;
        let granted: AccessToken = serde_json::from_slice(&answer.body).map_err(|_| {
            Service { net, what: WHAT }.malformed(&url, "its answer holds no access token")
        })?;
        self.impersonated(net, account, &Zeroizing::new(granted.access_token), audience).await
    }

    fn of_account(&self, what: &str) -> Result<Url> {
        self.metadata
            .join(&format!("{DEFAULT_ACCOUNT}{what}"))
            .map_err(|_| bad("GCE_METADATA_HOST is no host"))
    }

    async fn metadata(&self, net: &net::Client, url: Url) -> Result<Response> {
        let place = service::place(&url);
        let request = Request::get(url, 2 * MAX_TOKEN_BYTES)
            .service()
            // It speaks nothing else, and is as near as the machine itself; a proxy would be farther away.
            .plain_http(PlainHttp::Allowed)
            .direct()
            .redirects(Redirects::Never)
            .header(FLAVOR, HeaderValue::from_static(GOOGLE));
        let open = |cause: String| {
            Error::new(Class::Undecided, Reason::ServiceUnreachable, WHAT).cause(cause)
        };
        let seconds = METADATA_TIMEOUT.as_secs();
        let response = tokio::time::timeout(METADATA_TIMEOUT, net.send(request))
            .await
            .map_err(|_| open(format!("GET {place}: no answer in {seconds} s")))?
            .map_err(|error| Error { what: WHAT.to_owned(), ..error })?;
        if response.header(FLAVOR) != Some(GOOGLE) {
            return Err(open(format!("GET {place}: what answers there is not Google's")));
        }
        match response.status.as_u16() {
            200 => Ok(response),
            400..=404 => Err(bad("Google Cloud gave no identity token")
                .cause(format!("GET {place}: {}", response.status.as_u16()))
                .hint("gcloud compute instances set-service-account")),
            status => Err(open(format!("GET {place}: {status}"))),
        }
    }

    async fn impersonated(
        &self,
        net: &net::Client,
        account: &str,
        access_token: &str,
        audience: &str,
    ) -> Result<Token> {
        let path = format!("v1/projects/-/serviceAccounts/{account}:generateIdToken");
        let url = service::join(&self.iam, &path);
        let body = serde_json::json!({"audience": audience, "includeEmail": true});
        let service = Service { net, what: WHAT };
        let answer = service
            .send(Call {
                body: Some((body.to_string().into_bytes(), "application/json")),
                bearer: Some(access_token),
                ..Call::new(&url, 2 * MAX_TOKEN_BYTES)
            })
            .await?;
        match answer.status {
            200 => {}
            400..=404 => {
                return Err(bad(format!("this workload may not sign as {account}"))
                    .cause(format!("POST {}: {}", service::place(&url), answer.status))
                    .hint(format!("gcloud iam service-accounts add-iam-policy-binding {account} --role={IMPERSONATION_ROLE} --member=MEMBER")));
            }
            _ => return Err(service.refused(&answer)),
        }
        let issued: IdToken = serde_json::from_slice(&answer.body)
            .map_err(|_| service.malformed(&url, "its answer holds no token"))?;
        Token::parse(&Zeroizing::new(issued.token))
    }
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
}

#[derive(Deserialize)]
struct IdToken {
    token: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::{Server, client, reply};

    #[tokio::test]
    async fn a_workload_without_a_service_account_is_told_so() {
        let server = Server::start(|_, _| reply(404, &[("metadata-flavor", "Google")], "")).await;
        let url = server.url("/");
        let host = format!("127.0.0.1:{}", url.port().unwrap());
        let google = Google::new(Some(&host), None, None).unwrap();
        let error = google.ask(&client(), "sigstore").await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Usage, Reason::BadToken));
        assert!(error.to_string().contains("404"), "{error}");
        let [seen] = server.seen().try_into().unwrap();
        assert_eq!(seen.header("metadata-flavor"), Some("Google"));
    }

    #[test]
    fn the_metadata_server_is_an_address_unless_the_environment_names_one() {
        let google = Google::new(None, None, None).unwrap();
        assert_eq!(google.metadata.as_str(), "http://169.254.169.254/");
        assert_eq!(google.iam.as_str(), IAM_CREDENTIALS);
        let google = Google::new(Some("metadata.google.internal:80"), None, None).unwrap();
        assert_eq!(google.metadata.host_str(), Some("metadata.google.internal"));
    }
}
