//! Who may do what: basic and bearer authentication and the token endpoint.
//!
//! Follows the distribution project's "Token Authentication Specification": a request without a
//! fitting token is challenged with the scope that it needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};
use rand_core::{OsRng, RngCore as _};
use serde_json::{Map, json};

use super::answer::Answer;

/// How the registry authenticates.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// User and password with each request.
    Basic {
        /// The one user.
        user: String,
        /// The user's password.
        password: String,
    },
    /// Opaque tokens from a token endpoint, `/token` on the same listener unless told otherwise.
    Bearer(Bearer),
    /// Everybody may do everything.
    #[default]
    None,
}

/// Bearer authentication. Clones share the tokens that were handed out, so that one registry can be
/// the realm of another.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The one user.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// Whether a token for pulling is given to anybody.
    pub anonymous_pull: bool,
    /// `expires_in` of the reply, in seconds; left out when `None`.
    pub expires_in: Option<u64>,
    /// How long a token is accepted in fact.
    pub lifetime: Duration,
    /// For how many requests a token is accepted; `Some(0)` makes every one useless, so that a
    /// client that asks again without end is found out.
    pub uses: Option<usize>,
    /// Grants pulling only, whatever is asked: a scope narrower than asked.
    pub read_only: bool,
    /// The field of the reply that holds the token.
    pub field: TokenField,
    /// Refresh token that is accepted by `POST` (`identitytoken` in Docker's configuration).
    pub refresh_token: Option<String>,
    /// Realm of the challenge in place of the registry's own `/token`.
    pub realm: Option<String>,
    /// The tokens handed out so far.
    pub tokens: Tokens,
}

/// Tokens that were handed out, and what they open. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<Mutex<HashMap<String, Grant>>>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the reply of the token endpoint holds the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenField {
    /// `access_token`, as OAuth 2 has it.
    AccessToken,
    /// Both, with the same value.
    Both,
    /// `token`, as Docker has it.
    Token,
}

#[derive(Clone, Debug)]
struct Grant {
    scopes: BTreeMap<String, BTreeSet<String>>,
    until: Instant,
    uses: Option<usize>,
}

/// What a request needs.
#[derive(Debug)]
pub(super) struct Need<'a> {
    /// `None` for the version check, which any token passes.
    pub(super) repository: Option<&'a str>,
    pub(super) actions: &'static [&'static str],
}

impl<'a> Need<'a> {
    pub(super) fn of(method: &Method, repository: Option<&'a str>) -> Need<'a> {
        let actions: &[&str] = match *method {
            Method::GET | Method::HEAD => &["pull"],
            Method::DELETE => &["delete"],
            _ => &["pull", "push"],
        };
        Need { repository, actions }
    }
}

impl Bearer {
    /// One user, no anonymous access, tokens of five minutes in the field `token`.
    pub fn new(user: &str, password: &str) -> Bearer {
        Bearer {
            user: user.to_owned(),
            password: password.to_owned(),
            anonymous_pull: false,
            expires_in: Some(300),
            lifetime: Duration::from_secs(300),
            uses: None,
            read_only: false,
            field: TokenField::Token,
            refresh_token: None,
            realm: None,
            tokens: Tokens::default(),
        }
    }

    /// Forgets all tokens handed out so far: they expire now.
    pub fn revoke_all(&self) {
        self.tokens.lock().clear();
    }

    /// Answers a request to the token endpoint.
    pub(super) fn token(&self, parts: &Parts, body: &Bytes) -> Answer {
        let query = parts.uri.query().unwrap_or_default();
        let mut fields: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut user = basic(&parts.headers);
        let mut refreshed = false;
        if parts.method == Method::POST {
            fields.extend(form_urlencoded::parse(body).into_owned());
            let field = |name: &str| {
                fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            };
            match field("grant_type").as_deref() {
                Some("password") => {
                    user = field("username").zip(field("password"));
                }
                Some("refresh_token") => {
                    refreshed = self.refresh_token.is_some()
                        && field("refresh_token") == self.refresh_token;
                    if !refreshed {
                        return unauthorized("refresh token not known");
                    }
                }
                _ => return Answer::error_of(StatusCode::BAD_REQUEST),
            }
        } else if parts.method != Method::GET {
            return Answer::error_of(StatusCode::METHOD_NOT_ALLOWED);
        }
        let known = match user {
            Some((user, password)) if user == self.user && password == self.password => true,
            Some(_) => return unauthorized("wrong user or password"),
            None => refreshed,
        };
        let scopes = fields.iter().filter(|(key, _)| key == "scope");
        let scopes = scopes.flat_map(|(_, value)| value.split(' ')).filter_map(parse_scope);
        let mut granted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (repository, actions) in scopes {
            let allowed = actions.into_iter().filter(|action| match action.as_str() {
                "pull" => known || self.anonymous_pull,
                _ => known && !self.read_only,
            });
            granted.entry(repository).or_default().extend(allowed);
        }
        self.issue(granted)
    }

    fn issue(&self, scopes: BTreeMap<String, BTreeSet<String>>) -> Answer {
        let mut random = [0; 24];
        OsRng.fill_bytes(&mut random);
        let token = hex::encode(random);
        let grant = Grant { scopes, until: Instant::now() + self.lifetime, uses: self.uses };
        self.tokens.lock().insert(token.clone(), grant);
        let mut reply = Map::new();
        if self.field != TokenField::AccessToken {
            reply.insert("token".to_owned(), json!(token));
        }
        if self.field != TokenField::Token {
            reply.insert("access_token".to_owned(), json!(token));
        }
        if let Some(seconds) = self.expires_in {
            reply.insert("expires_in".to_owned(), json!(seconds));
        }
        let body = serde_json::Value::Object(reply).to_string();
        Answer::new(StatusCode::OK, "application/json", body)
    }

    /// `Ok` when the token of the request covers `need`, else the `error` of the challenge.
    fn check(&self, headers: &HeaderMap, need: &Need<'_>) -> Result<(), Option<&'static str>> {
        let Some(token) = credentials(headers, "bearer") else {
            return Err(None);
        };
        let mut tokens = self.tokens.lock();
        let grant = tokens.get_mut(&token).ok_or(Some("invalid_token"))?;
        if Instant::now() >= grant.until || grant.uses == Some(0) {
            return Err(Some("invalid_token"));
        }
        let Some(repository) = need.repository else {
            return Ok(());
        };
        let granted = grant.scopes.get(repository);
        if !need.actions.iter().all(|action| granted.is_some_and(|set| set.contains(*action))) {
            return Err(Some("insufficient_scope"));
        }
        grant.uses = grant.uses.map(|left| left.saturating_sub(1));
        Ok(())
    }
}

impl Auth {
    /// The answer that challenges a request; `None` lets it pass.
    pub(super) fn challenge(
        &self,
        headers: &HeaderMap,
        need: &Need<'_>,
        own_realm: &str,
    ) -> Option<Answer> {
        let challenge = match self {
            Auth::None => return None,
            Auth::Basic { user, password } => {
                let right = |(given_user, given)| given_user == *user && given == *password;
                if basic(headers).is_some_and(right) {
                    return None;
                }
                "Basic realm=\"kit\"".to_owned()
            }
            Auth::Bearer(bearer) => {
                let error = bearer.check(headers, need).err()?;
                let realm = bearer.realm.as_deref().unwrap_or(own_realm);
                let mut challenge = format!("Bearer realm=\"{realm}\",service=\"kit\"");
                if let Some(repository) = need.repository {
                    let actions = need.actions.join(",");
                    challenge += &format!(",scope=\"repository:{repository}:{actions}\"");
                }
                if let Some(error) = error {
                    challenge += &format!(",error=\"{error}\"");
                }
                challenge
            }
        };
        Some(unauthorized("authentication required").with("www-authenticate", &challenge))
    }
}

fn unauthorized(message: &str) -> Answer {
    Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
}

/// The credentials of the `Authorization` header if it has this scheme (lower case).
fn credentials(headers: &HeaderMap, scheme: &str) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (found, rest) = value.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let bytes = STANDARD.decode(credentials(headers, "basic")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// `repository:NAME:ACTION,ACTION`.
fn parse_scope(scope: &str) -> Option<(String, Vec<String>)> {
    let (repository, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
    Some((repository.to_owned(), actions.split(',').map(str::to_owned).collect()))
}
