//! Who we are to a registry: Basic, or a Bearer token from the realm that it names.
//!
//! Nothing is sent before the registry asked. Then credentials go to the host that the user named, and to a
//! realm only if that host itself named it, over verified TLS, and it is https; a plain-http registry may
//! name an http realm on its own host. Every other realm is refused, or asked without credentials where
//! there are none to lose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::challenge::{self, Challenge};
use super::credentials::{Credential, Credentials, Found, Secret};
use crate::error::{Error, Reason, Result};
use crate::net::header::HeaderValue;
use crate::net::{
    Client, Method, Origin, PlainHttp, Redirects, Request, Response, Url, bounded_line, check_hop,
};

/// Bytes of a token server's answer, at most.
const MAX_TOKEN_ANSWER: usize = 1024 * 1024;
/// Scopes that a registry may ask for at once.
const MAX_SCOPES: usize = 8;
/// How long a token lasts whose answer does not say (distribution: token authentication).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// How long others wait for the first who asks a place: one that hangs is no trouble of the others.
const FIRST_TURN: Duration = Duration::from_secs(2);
/// A token that would end within this time is not used for another request.
const MARGIN: Duration = Duration::from_secs(5);

/// What we are going to do in a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read only.
    #[default]
    Pull,
    /// Read and write; asked for at once, so that one token serves the whole run.
    PullPush,
    /// Delete too; asked for only where something is to be deleted, as few are allowed to.
    Delete,
}

/// The repository that a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// `scheme://host[:port]/` of the registry.
    pub(super) base: Url,
    /// The host as the user typed it: what credentials are filed under.
    pub(super) host: String,
    /// The repository's path.
    pub(super) path: String,
    /// What for.
    pub(super) access: Access,
}

/// Answers challenges, and remembers the answers for as long as they hold.
#[derive(Debug)]
pub(super) struct Authenticator {
    client: Client,
    credentials: Credentials,
    granted: Mutex<HashMap<Place, Granted>>,
    /// Held while a token is fetched, so that requests that started together fetch one.
    fetching: futures_util::lock::Mutex<()>,
    /// Whether a place has answered yet, or granted a token: until it has, it is asked one thing at a time, so that
    /// requests that started together are not all sent away to fetch one.
    answered: Mutex<HashMap<Place, Arc<futures_util::lock::Mutex<bool>>>>,
}

/// A turn as the first to ask a place; the others wait until it is dropped.
pub(super) type FirstTurn = futures_util::lock::OwnedMutexGuard<bool>;

#[derive(Clone, Debug)]
struct Granted {
    header: HeaderValue,
    until: Option<Instant>,
}

impl Authenticator {
    pub(super) fn new(client: Client, credentials: Credentials) -> Self {
        Self {
            client,
            credentials,
            granted: Mutex::default(),
            fetching: futures_util::lock::Mutex::new(()),
            answered: Mutex::default(),
        }
    }

    /// Waits, not for long, for whoever asks this place first. Answers a turn if nobody has had an answer
    /// yet: whoever gets one sets it to true.
    pub(super) async fn first_turn(&self, place: &Place) -> Option<FirstTurn> {
        let answered = {
            let mut places = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(place.clone()).or_default())
        };
        let turn = tokio::time::timeout(FIRST_TURN, answered.lock_owned()).await.ok()?;
        (!*turn).then_some(turn)
    }

    /// What was granted for this place and still holds.
    pub(super) fn current(&self, place: &Place) -> Option<HeaderValue> {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = granted.get(place)?;
        granted.until.is_none_or(|until| Instant::now() < until).then(|| granted.header.clone())
    }

    /// Answers the challenge of a 401 to a request that carried `used`; nothing if there is no answer.
    ///
    /// # Errors
    ///
    /// Undecided: credentials that cannot be read, a realm that is not trusted with them, a token server
    /// that cannot be reached, refuses or makes no sense.
    pub(super) async fn answer(
        &self,
        place: &Place,
        challenges: &[Challenge],
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(current) = self.current(place)
            && Some(&current) != used
        {
            return Ok(Some(current));
        }
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let granted = if let Some(bearer) = of("bearer") {
            let found = self.credentials.find(&place.host, &place.path).await?;
            self.token(place, bearer, &found).await?
        } else if of("basic").is_some() {
            match self.credentials.find(&place.host, &place.path).await?.credential {
                Credential::Basic { username, password } => {
                    Granted { header: basic(&username, &password)?, until: None }
                }
                _ => return Ok(None),
            }
        } else {
            return Ok(None);
        };
        if Some(&granted.header) == used {
            // The very same answer was refused.
            return Ok(None);
        }
        let mut memory = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        memory.insert(place.clone(), granted.clone());
        Ok(Some(granted.header))
    }

    /// Says on an error whose credentials were refused, or that there are none.
    pub(super) fn explain(&self, place: &Place, error: Error) -> Error {
        let host = &place.host;
        match self.credentials.known(host, &place.path) {
            Some(Found { credential: Credential::Anonymous, .. }) => error
                .note(format!("no credentials for {host}"))
                .hint(format!("helm registry login {host}")),
            None => error.note("it asked for no credentials"),
            Some(found) => error.note(format!("with the credentials of {}", found.source)),
        }
    }

    /// Says on an error about a limit that those who have a name may have more.
    pub(super) fn suggest_login(&self, place: &Place, error: Error) -> Error {
        match self.credentials.known(&place.host, &place.path) {
            Some(Found { credential: Credential::Anonymous, .. }) => error
                .note(format!("asked without credentials for {}", place.host))
                .hint(format!("helm registry login {}", place.host)),
            _ => error,
        }
    }

    /// Fetches a token (distribution: token authentication; OAuth 2 for identity tokens).
    async fn token(&self, place: &Place, challenge: &Challenge, found: &Found) -> Result<Granted> {
        if let Credential::RegistryToken(token) = &found.credential {
            return Ok(Granted { header: bearer(token)?, until: None });
        }
        let realm = challenge.parameter("realm").and_then(|realm| Url::parse(realm).ok());
        let Some(realm) = realm else {
            let cause = format!("{} names no token realm that is a URL", place.base);
            return Err(Error::undecided(Reason::Malformed, cause));
        };
        let plain = self.trusted_realm(place, &realm, found)?;
        let scopes = scopes(challenge.parameter("scope"), &place.path, place.access);
        let service = challenge.parameter("service");
        let request = match &found.credential {
            Credential::IdentityToken(token) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("client_id", "helm-sigstore");
                form.append_pair("service", service.unwrap_or_default());
                form.append_pair("scope", &scopes.join(" "));
                form.append_pair("refresh_token", token.expose());
                Request::new(Method::POST, realm, MAX_TOKEN_ANSWER)
                    .repeatable()
                    .redirects(Redirects::Never)
                    .body(
                        HeaderValue::from_static("application/x-www-form-urlencoded"),
                        form.finish().into(),
                    )
            }
            credential => {
                let mut realm = realm;
                {
                    let mut query = realm.query_pairs_mut();
                    if let Some(service) = service {
                        query.append_pair("service", service);
                    }
                    for scope in &scopes {
                        query.append_pair("scope", scope);
                    }
                }
                let request =
                    Request::get(realm, MAX_TOKEN_ANSWER).redirects(Redirects::SameOrigin);
                match credential {
                    Credential::Basic { username, password } => {
                        request.authorization(basic(username, password)?)
                    }
                    _ => request,
                }
            }
        };
        let asked = Instant::now();
        let response = self.client.send(request.plain_http(plain)).await?;
        if !response.status.is_success() {
            let error = response.failure(&super::explanation(&response));
            return Err(match error.reason {
                Reason::Unauthorized => self.explain(place, error),
                _ => error,
            });
        }
        read_token(&response, asked)
    }

    /// Whether the realm may be asked, with these credentials; and how plain http is treated there.
    fn trusted_realm(&self, place: &Place, realm: &Url, found: &Found) -> Result<PlainHttp> {
        let plain_registry = place.base.scheme() == "http";
        let same_host = Origin::same_host(&place.base, realm);
        let plain = if plain_registry && same_host { PlainHttp::Allowed } else { PlainHttp::Never };
        let refused = |why: &str| {
            let host = realm.host_str().unwrap_or_default();
            let realm = bounded_line(&format!("{}://{host}", realm.scheme()), 200);
            let cause = format!("the token realm {realm} of {} is not asked: {why}", place.host);
            Error::undecided(Reason::Unauthorized, cause)
        };
        check_hop(&place.base, realm, plain).map_err(|why| refused(&format!("it leads {why}")))?;
        let verified = place.base.scheme() == "https" && self.client.verifies_tls();
        if found.credential != Credential::Anonymous && !same_host && !verified {
            return Err(refused(
                "it is another host, named over a connection that proves nothing, and would get the \
                 credentials",
            ));
        }
        Ok(plain)
    }
}

/// The scopes to ask for: what we need here, and whatever else the registry says it takes.
fn scopes(asked: Option<&str>, path: &str, access: Access) -> Vec<String> {
    let resource = format!("repository:{path}:");
    let mut actions: Vec<&str> = match access {
        Access::Pull => vec!["pull"],
        Access::PullPush => vec!["pull", "push"],
        Access::Delete => vec!["pull", "push", "delete"],
    };
    let mut others = Vec::new();
    for scope in asked.unwrap_or_default().split_whitespace().take(MAX_SCOPES) {
        match scope.strip_prefix(&resource) {
            // Some need a name of their own for tag lists, for example.
            Some(more) => {
                for action in more.split(',').take(MAX_SCOPES) {
                    let push = matches!(action, "push" | "delete" | "*");
                    if !action.is_empty() && !push && !actions.contains(&action) {
                        actions.push(action);
                    }
                }
            }
            // Whoever only reads here writes nowhere else either.
            None if access == Access::Pull && writes(scope) => {}
            None => others.push(scope.to_owned()),
        }
    }
    let mut scopes = vec![format!("{resource}{}", actions.join(","))];
    scopes.append(&mut others);
    scopes
}

/// Whether a scope, `TYPE:NAME:ACTION,…`, asks for more than reading.
fn writes(scope: &str) -> bool {
    let actions = scope.rsplit(':').next().unwrap_or_default();
    actions.split(',').any(|action| matches!(action, "push" | "delete" | "*"))
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<f64>,
}

fn read_token(response: &Response, asked: Instant) -> Result<Granted> {
    let malformed =
        |what: &str| Error::undecided(Reason::Malformed, format!("{}: {what}", response.label()));
    // The parser's words are not repeated: they may quote a token.
    let answer: TokenAnswer = serde_json::from_slice(&response.body)
        .map_err(|_| malformed("the answer is no token answer"))?;
    let given = |token: Option<Secret>| token.filter(|token| !token.expose().is_empty());
    let token = given(answer.token)
        .or(given(answer.access_token))
        .ok_or_else(|| malformed("the answer holds no token"))?;
    let lifetime = match answer.expires_in {
        Some(seconds) if seconds.is_finite() && seconds > 0.0 => {
            Duration::from_secs_f64(seconds.min(86_400.0))
        }
        _ => DEFAULT_LIFETIME,
    };
    let until = asked + lifetime.saturating_sub(MARGIN.min(lifetime / 2));
    let header = bearer(&token).map_err(|_| malformed("the token is no header text"))?;
    Ok(Granted { header, until: Some(until) })
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    secret_header(&Zeroizing::new(format!("Bearer {}", token.expose())))
}

fn basic(username: &str, password: &Secret) -> Result<HeaderValue> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
    secret_header(&Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))))
}

fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut header = HeaderValue::from_str(text)
        .map_err(|_| Error::usage("the registry token holds characters that no token has"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The challenges of an answer.
pub(super) fn challenges(response: &Response) -> Vec<Challenge> {
    challenge::challenges(&response.headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::client_with;
    use crate::registry::credentials::Sources;

    #[test]
    fn asks_for_what_we_need_and_what_the_registry_wants() {
        let of = |asked, access| scopes(asked, "a/b", access).join(" ");
        assert_eq!(of(None, Access::Pull), "repository:a/b:pull");
        assert_eq!(of(None, Access::PullPush), "repository:a/b:pull,push");
        assert_eq!(of(None, Access::Delete), "repository:a/b:pull,push,delete");
        assert_eq!(
            of(Some("repository:a/b:delete"), Access::PullPush),
            "repository:a/b:pull,push",
            "who signs never asks to delete"
        );
        assert_eq!(of(Some("repository:a/b:pull"), Access::PullPush), "repository:a/b:pull,push");
        assert_eq!(
            of(Some("repository:a/b:metadata_read aud repository:c:pull"), Access::Pull),
            "repository:a/b:pull,metadata_read aud repository:c:pull"
        );
        // A registry cannot make a reader ask for more than reading.
        assert_eq!(
            of(Some("repository:a/b:pull,push,delete,*"), Access::Pull),
            "repository:a/b:pull"
        );
        assert_eq!(
            of(Some("repository:c:pull,push registry:catalog:*"), Access::Pull),
            "repository:a/b:pull"
        );
        assert_eq!(scopes(Some(&"x ".repeat(100)), "a", Access::Pull).len(), MAX_SCOPES + 1);
    }

    #[test]
    fn credentials_need_trusted_realm() {
        let secret = Found {
            credential: Credential::Basic { username: "u".into(), password: Secret::new("p") },
            source: "test".into(),
        };
        let nobody = Found { credential: Credential::Anonymous, source: String::new() };
        for (base, realm, insecure, with, without) in [
            ("https://r.example/", "https://r.example/token", false, true, true),
            ("https://r.example/", "https://auth.example/token", false, true, true),
            ("https://r.example/", "http://r.example/token", false, false, false),
            ("https://r.example/", "http://auth.example/token", false, false, false),
            ("https://r.example/", "https://127.0.0.1/token", false, false, false),
            ("https://r.example/", "https://10.0.0.1/token", false, false, false),
            ("https://r.example/", "https://169.254.169.254/token", false, false, false),
            ("https://r.example/", "https://localhost/token", false, false, false),
            ("https://r.example/", "file:///etc/passwd", false, false, false),
            // Unverified TLS: the same host only, as it gets the credentials anyway.
            ("https://r.example/", "https://r.example/token", true, true, true),
            ("https://r.example/", "https://auth.example/token", true, false, true),
            // Plain http: the same host, any port and scheme.
            ("http://r.example/", "http://r.example:5001/token", false, true, true),
            ("http://r.example/", "https://r.example/token", false, true, true),
            ("http://r.example/", "http://auth.example/token", false, false, false),
            ("http://r.example/", "https://auth.example/token", false, false, true),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", false, true, true),
            ("http://127.0.0.1:5000/", "http://localhost:5001/token", false, false, false),
        ] {
            let client = client_with(|options| options.insecure_skip_tls_verify = insecure);
            let auth = Authenticator::new(client, Credentials::new(Sources::default()));
            let place = Place {
                base: Url::parse(base).unwrap(),
                host: "r.example".into(),
                path: "a".into(),
                access: Access::Pull,
            };
            let realm = Url::parse(realm).unwrap();
            let ask = |found| auth.trusted_realm(&place, &realm, found).is_ok();
            assert_eq!((ask(&secret), ask(&nobody)), (with, without), "{base} {realm} {insecure}");
        }
    }
}
