//! An OIDC identity token: what it says, before anybody has checked that it is true.
//!
//! Fulcio verifies the token; we read its claims only to refuse early what cannot work, and to know
//! which certificate to expect. The token itself leaves this module in one place, [`Token::expose`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{Class, Error, Reason, Result};

/// The audience that Sigstore's certificate authorities ask for.
pub const AUDIENCE: &str = "sigstore";
/// The longest token that is read, in bytes; real ones take 1 to 4 KiB.
pub(super) const MAX_TOKEN_BYTES: usize = 64 << 10;
/// How far a token may begin after our clock. Fulcio's clock judges the token, not ours.
const NOT_BEFORE_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);
/// The issuer of GitHub's own Actions tokens; an enterprise appends a path.
const GITHUB_ACTIONS: &str = "https://token.actions.githubusercontent.com";

/// An OIDC identity token (a JWT, RFC 7519), unverified.
///
/// Its memory is zeroed when it goes, and neither `Debug` nor any error shows it.
pub struct Token {
    raw: Zeroizing<String>,
    claims: Claims,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: Option<serde_json::Number>,
    nbf: Option<serde_json::Number>,
    nonce: Option<String>,
    email: Option<String>,
    federated_claims: Option<FederatedClaims>,
    job_workflow_ref: Option<String>,
    ci_config_ref_uri: Option<String>,
}

/// RFC 7519 section 4.1.3: one string, or an array of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audience {
    fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::One(one) => one.clone(),
            Self::Several(several) if several.is_empty() => "none".to_owned(),
            Self::Several(several) => several.join(", "),
        }
    }
}

/// What dex adds for a user who signed in somewhere else.
#[derive(Deserialize)]
struct FederatedClaims {
    connector_id: Option<String>,
}

/// What a certificate for a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedIdentity {
    /// The issuers that the certificate may name; one of them it must.
    pub issuers: Vec<String>,
    /// The names that it may carry as its subject alternative name; empty where they cannot be told
    /// from the token.
    pub names: Vec<ExpectedName>,
}

/// One name that a certificate may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedName {
    /// An https URL with this path: a forge whose address the token does not tell.
    Ending(String),
    /// Exactly this name.
    Exact(String),
}

impl ExpectedName {
    /// Whether `name` is it.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Ending(path) => name
                .strip_suffix(path.as_str())
                .and_then(|site| site.strip_suffix('/'))
                .and_then(|site| site.strip_prefix("https://"))
                .is_some_and(|host| !host.is_empty() && !host.contains('/')),
            Self::Exact(exact) => name == exact,
        }
    }
}

impl fmt::Display for ExpectedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ending(path) => write!(f, "https://…/{path}"),
            Self::Exact(exact) => f.write_str(exact),
        }
    }
}

impl fmt::Display for ExpectedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { " or " })?;
        }
        if self.names.is_empty() {
            f.write_str("any name")?;
        }
        write!(f, "   issuer {}", self.issuers.join(" or "))
    }
}

impl Token {
    /// Reads a token; white space around it is ignored.
    ///
    /// # Errors
    /// Usage (`bad-token`), when it is empty, longer than `MAX_TOKEN_BYTES`, or no JWT with an
    /// issuer.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(bad("the identity token is empty"));
        }
        if text.len() > MAX_TOKEN_BYTES {
            return Err(bad(format!("the identity token is longer than {MAX_TOKEN_BYTES} bytes")));
        }
        let not_a_token = |why: &str| bad("not an identity token").cause(why.to_owned());
        let mut parts = text.split('.');
        let (Some(_), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(not_a_token("a JWT has three parts, separated by dots"));
        };
        // The decoder's and the parser's own errors would show bytes of the token.
        let claims = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(claims)
                .map_err(|_| not_a_token("its second part is not base64url"))?,
        );
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| {
            not_a_token("its second part is no JSON object with the claims of a JWT")
        })?;
        if claims.iss.is_empty() {
            return Err(not_a_token("it names no issuer"));
        }
        Ok(Self { raw: Zeroizing::new(text.to_owned()), claims })
    }

    /// Whether the token is meant for `audience`.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        self.claims.aud.contains(audience)
    }

    /// Whom the token is meant for, in words.
    pub(super) fn audience(&self) -> String {
        self.claims.aud.words()
    }

    /// Refuses a token that cannot serve now, or not for `audience`.
    ///
    /// # Errors
    /// Usage (`bad-token`): expired, not yet valid (by more than a minute), without an end, or meant
    /// for somebody else.
    pub fn check(&self, now: Timestamp, audience: &str) -> Result<()> {
        if !self.claims.aud.contains(audience) {
            return Err(bad("the identity token is meant for somebody else").expected_found(
                format!("audience {audience}"),
                format!("audience {}", self.claims.aud.words()),
            ));
        }
        let Some(expires) = self.expires() else {
            return Err(bad("the identity token does not say when it expires"));
        };
        if expires <= now {
            return Err(bad("the identity token has expired").cause(format!(
                "it was valid until {expires}, {} s ago",
                now.duration_since(expires).as_secs()
            )));
        }
        if let Some(begins) = self.claims.nbf.as_ref().and_then(time)
            && begins.duration_since(now) > NOT_BEFORE_TOLERANCE
        {
            return Err(bad("the identity token is not valid yet")
                .cause(format!("it is valid from {begins}, our clock says {now:.0}")));
        }
        Ok(())
    }

    /// When the token expires, if it says so in a way that can be read.
    pub fn expires(&self) -> Option<Timestamp> {
        self.claims.exp.as_ref().and_then(time)
    }

    /// Who issued the token, as the token itself says.
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// The nonce of the sign-in that it came from (OpenID Connect Core 1.0 section 2).
    pub(super) fn nonce(&self) -> Option<&str> {
        self.claims.nonce.as_deref()
    }

    /// Who it is about, for a person to read before it is published: the name that the certificate
    /// will carry where that is known, else the token's subject.
    pub fn identity(&self) -> String {
        match self.expected().names.as_slice() {
            [first, ..] => first.to_string(),
            [] => self.claims.sub.clone(),
        }
    }

    /// What a certificate for this token must say.
    ///
    /// Fulcio makes the name from the claims by the kind of the issuer, which only its configuration
    /// tells. So a name is expected only where the token leaves no doubt, and all that it allows are
    /// listed.
    pub fn expected(&self) -> ExpectedIdentity {
        let claims = &self.claims;
        let mut issuers = vec![claims.iss.clone()];
        if let Some(upstream) =
            claims.federated_claims.as_ref().and_then(|federated| federated.connector_id.clone())
        {
            issuers.insert(0, upstream);
        }
        let github = claims.iss == GITHUB_ACTIONS
            || claims.iss.strip_prefix(GITHUB_ACTIONS).is_some_and(|rest| rest.starts_with('/'));
        let mut names = Vec::new();
        if let Some(workflow) = &claims.job_workflow_ref {
            names.push(if github {
                ExpectedName::Exact(format!("https://github.com/{workflow}"))
            } else {
                ExpectedName::Ending(workflow.clone())
            });
        } else if let Some(pipeline) = &claims.ci_config_ref_uri {
            names.push(ExpectedName::Exact(format!("https://{pipeline}")));
        } else {
            if let Some(email) = &claims.email {
                names.push(ExpectedName::Exact(email.clone()));
            }
            // A URI is the name for issuers of the kinds `uri` and `spiffe`; others, whose subject
            // happens to be one, have an e-mail address or a template that we do not know.
            if claims.sub.starts_with("spiffe://")
                || (claims.sub.contains("://") && !names.is_empty())
            {
                names.push(ExpectedName::Exact(claims.sub.clone()));
            }
        }
        ExpectedIdentity { issuers, names }
    }

    /// Whether `other` is about the same subject of the same issuer, and leads to the same certificate.
    pub(super) fn is_of_same_identity(&self, other: &Self) -> bool {
        self.claims.sub == other.claims.sub && self.expected() == other.expected()
    }

    /// The token, for the one service that it is meant for.
    pub(super) fn expose(&self) -> &str {
        &self.raw
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("issuer", &self.claims.iss).finish_non_exhaustive()
    }
}

/// A NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction.
fn time(number: &serde_json::Number) -> Option<Timestamp> {
    let seconds = number.as_i64().or_else(|| {
        // A float's cast saturates, and the range check below refuses what that makes.
        #[allow(clippy::cast_possible_truncation)]
        number.as_f64().map(|seconds| seconds.floor() as i64)
    })?;
    Timestamp::from_second(seconds).ok()
}

/// Something is wrong with the token (exit 2).
pub(super) fn bad(what: impl Into<String>) -> Error {
    Error::new(Class::Usage, Reason::BadToken, what)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    /// A token with these claims and a signature that nobody checks.
    pub(in crate::sign) fn jwt(claims: &Value) -> String {
        let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
        format!(
            "{}.{}.{}",
            part("{\"alg\":\"none\"}"),
            part(&claims.to_string()),
            part("SIGNATURE")
        )
    }

    fn token(claims: &Value) -> Token {
        Token::parse(&jwt(claims)).unwrap()
    }

    #[test]
    fn accepts_one_audience_and_several() {
        for aud in [json!("sigstore"), json!(["other", "sigstore"])] {
            let token = token(&json!({"iss": "https://i", "aud": aud, "exp": NOW + 1}));
            token.check(now(), AUDIENCE).unwrap();
        }
    }

    #[test]
    fn refuses_tokens_that_cannot_serve() {
        for (claims, words) in [
            (json!({"iss":"i","aud":"sigstore","exp":NOW}), "has expired"),
            (json!({"iss":"i","aud":"sigstore","exp":NOW as f64 - 0.5}), "has expired"),
            (json!({"iss":"i","aud":"sigstore","exp":NOW - 90}), "90 s ago"),
            (json!({"iss":"i","aud":"sigstore"}), "does not say when"),
            (json!({"iss":"i","aud":"sigstore","exp":u64::MAX}), "does not say when"),
            (json!({"iss":"i","aud":"https://example.com","exp":NOW + 60}), "somebody else"),
            (json!({"iss":"i","aud":[],"exp":NOW + 60}), "audience none"),
            (json!({"iss":"i","exp":NOW + 60}), "audience none"),
            (json!({"iss":"i","aud":"sigstore","exp":NOW + 900,"nbf":NOW + 61}), "not valid yet"),
        ] {
            let error = token(&claims).check(now(), AUDIENCE).unwrap_err();
            assert!(error.to_string().contains(words), "{error} lacks {words:?}");
            assert_eq!((error.class, error.reason), (Class::Usage, Reason::BadToken));
        }
        let soon = json!({"iss":"i","aud":"sigstore","exp":NOW + 900,"nbf":NOW + 60});
        token(&soon).check(now(), AUDIENCE).unwrap();
    }

    #[test]
    fn refuses_what_is_no_token_without_showing_it() {
        let secret = "c2VjcmV0";
        for text in [
            String::new(),
            " \n".to_owned(),
            secret.to_owned(),
            format!("a.{secret}"),
            format!("a.{secret}.c"),
            format!("a.{secret}.c.d"),
            format!("a.!{secret}.c"),
            jwt(&json!([secret])),
            jwt(&json!({"sub": secret})),
            jwt(&json!({"iss": [secret]})),
            jwt(&json!({"iss": "i", "exp": secret})),
            secret.repeat(MAX_TOKEN_BYTES),
        ] {
            let error = Token::parse(&text).unwrap_err();
            assert_eq!((error.class, error.reason), (Class::Usage, Reason::BadToken));
            assert!(!format!("{error:?}").contains(secret));
        }
    }

    #[test]
    fn never_shows_the_token() {
        let text = jwt(&json!({"iss": "https://i", "sub": "s"}));
        let token = Token::parse(&format!("  {text}\r\n")).unwrap();
        assert_eq!(token.expose(), text);
        assert_eq!(format!("{token:?}"), r#"Token { issuer: "https://i", .. }"#);
    }

    #[test]
    fn predicts_the_certificate_where_the_token_tells() {
        let github = "acme/charts/.github/workflows/r.yml@refs/heads/main";
        for (claims, names, issuers) in [
            (
                json!({"iss": GITHUB_ACTIONS, "sub": "repo:acme/charts", "job_workflow_ref": github}),
                vec![ExpectedName::Exact(format!("https://github.com/{github}"))],
                vec![GITHUB_ACTIONS],
            ),
            (
                json!({"iss": "http://127.0.0.1:1/github", "job_workflow_ref": github}),
                vec![ExpectedName::Ending(github.to_owned())],
                vec!["http://127.0.0.1:1/github"],
            ),
            (
                json!({"iss": "https://gitlab.com", "ci_config_ref_uri": "gitlab.com/a/b//.gitlab-ci.yml@refs/heads/main"}),
                vec![ExpectedName::Exact(
                    "https://gitlab.com/a/b//.gitlab-ci.yml@refs/heads/main".to_owned(),
                )],
                vec!["https://gitlab.com"],
            ),
            (
                json!({"iss": "https://oauth2.sigstore.dev/auth", "sub": "Cg", "email": "j@acme.example",
                    "federated_claims": {"connector_id": "https://accounts.google.com", "user_id": "1"}}),
                vec![ExpectedName::Exact("j@acme.example".to_owned())],
                vec!["https://accounts.google.com", "https://oauth2.sigstore.dev/auth"],
            ),
            (
                json!({"iss": "https://i", "sub": "spiffe://acme.example/ci"}),
                vec![ExpectedName::Exact("spiffe://acme.example/ci".to_owned())],
                vec!["https://i"],
            ),
            (json!({"iss": "https://i", "sub": "https://i/subject"}), vec![], vec!["https://i"]),
        ] {
            let expected = token(&claims).expected();
            assert_eq!(expected.names, names);
            assert_eq!(expected.issuers, issuers);
        }
    }

    #[test]
    fn matches_a_forge_by_its_whole_path() {
        let name = ExpectedName::Ending("acme/charts/w.yml@r".to_owned());
        assert!(name.matches("https://ghe.acme.example/acme/charts/w.yml@r"));
        for other in [
            "https://ghe.acme.example/notacme/charts/w.yml@r",
            "https://ghe.acme.example/evil/acme/charts/w.yml@r",
            "https:///acme/charts/w.yml@r",
            "acme/charts/w.yml@r",
        ] {
            assert!(!name.matches(other), "{other}");
        }
    }
}
