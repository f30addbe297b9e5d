//! The identity provider: issuers with discovery and keys, tokens, and GitHub's token endpoint for jobs.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value, json};

use super::clock::wall_seconds;
use super::error::{Error, Result};
use super::fault::Fault;
use super::google;
use super::http::{Call, Reply};
use super::identity::{Identity, IssuerKind};
use super::keys::{random, sha256};
use super::sign_in::{self, Codes};

/// How far a token's start may lie ahead of the clock.
const LEEWAY_SECONDS: u64 = 60;

/// The audience that Fulcio asks for.
const AUDIENCE: &str = "sigstore";

/// The workflow that GitHub's token endpoint speaks for.
pub(crate) const DEFAULT_WORKFLOW: &str =
    "acme/charts/.github/workflows/release.yml@refs/heads/main";

/// All issuers; they share one key.
pub(crate) struct Provider {
    base_url: String,
    request_token: String,
    pub(crate) codes: Codes,
}

/// Made when first needed, and once a process: an RSA key takes longer than everything else that an instance makes at
/// its start. The issuers of instances differ in their URLs, so a token of one is none to another all the same.
static KEY: OnceLock<Option<TokenKey>> = OnceLock::new();

/// RS256, as the real providers sign: cosign takes a token on its command line for one only if it is signed so.
struct TokenKey {
    pair: RsaKeyPair,
    id: String,
}

/// Why a token is not accepted; logged nowhere, since the real service does not tell either.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed,
    UnknownIssuer,
    WrongSignature,
    WrongAudience,
    Expired,
}

impl Provider {
    pub(crate) fn new(base_url: String) -> Result<Self> {
        let request_token = hex::encode(random::<16>()?);
        Ok(Self { base_url, request_token, codes: Codes::default() })
    }

    fn key() -> Result<&'static TokenKey> {
        let make = || {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
            let digest = sha256(pair.public_key().as_ref());
            let id = hex::encode(digest.get(..8).unwrap_or_default());
            Some(TokenKey { pair, id })
        };
        KEY.get_or_init(make).as_ref().ok_or_else(|| Error::new("no RSA key could be made"))
    }

    pub(crate) fn issuer(&self, kind: IssuerKind) -> String {
        format!("{}/{}", self.base_url, kind.name())
    }

    /// The environment of a GitHub Actions job that may ask for tokens.
    pub(crate) fn actions_environment(&self) -> Vec<(String, String)> {
        // The real URL has a query already, and clients append `&audience=` to it.
        let url = format!("{}/actions/token?api-version=2.0", self.base_url);
        vec![
            ("ACTIONS_ID_TOKEN_REQUEST_URL".into(), url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN".into(), self.request_token.clone()),
        ]
    }

    /// What a workload of Google Cloud gets from its metadata server to impersonate with.
    pub(crate) fn access_token(&self) -> &str {
        &self.request_token
    }

    /// The environment of a workload of Google Cloud.
    pub(crate) fn google_environment(&self) -> Vec<(String, String)> {
        let host = self.base_url.trim_start_matches("http://");
        vec![
            ("GCE_METADATA_HOST".into(), host.to_owned()),
            (
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS".into(),
                format!("{}/", self.base_url),
            ),
        ]
    }

    /// A signed token for an identity.
    pub(crate) fn token(&self, identity: &Identity) -> Result<String> {
        let now = wall_seconds();
        let expires = now.saturating_add_signed(identity.expires_in_seconds);
        let issued = now.min(expires.saturating_sub(600));
        let mut claims = identity.claims.clone();
        let own = [
            ("aud", json!(identity.audience)),
            ("exp", json!(expires)),
            ("iat", json!(issued)),
            ("iss", json!(self.issuer(identity.kind))),
            ("jti", json!(hex::encode(random::<16>()?))),
            ("nbf", json!(issued)),
        ];
        for (name, value) in own {
            claims.entry(name).or_insert(value);
        }
        let key = Self::key()?;
        let header = json!({"alg": "RS256", "kid": key.id, "typ": "JWT"});
        let content = format!(
            "{}.{}",
            BASE64URL.encode(serde_json::to_vec(&header)?),
            BASE64URL.encode(serde_json::to_vec(&claims)?)
        );
        let mut signature = vec![0; key.pair.public_modulus_len()];
        key.pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            content.as_bytes(),
            &mut signature,
        )?;
        Ok(format!("{content}.{}", BASE64URL.encode(signature)))
    }

    /// The claims of a token that Fulcio may rely on.
    pub(crate) fn verify(
        &self,
        token: &str,
    ) -> std::result::Result<(IssuerKind, Map<String, Value>), Refused> {
        let (content, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (_, payload) = content.split_once('.').ok_or(Refused::Malformed)?;
        let signature = BASE64URL.decode(signature).map_err(|_| Refused::Malformed)?;
        let payload = BASE64URL.decode(payload).map_err(|_| Refused::Malformed)?;
        let claims: Map<String, Value> =
            serde_json::from_slice(&payload).map_err(|_| Refused::Malformed)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = IssuerKind::ALL
            .into_iter()
            .find(|kind| self.issuer(*kind) == text("iss"))
            .ok_or(Refused::UnknownIssuer)?;
        let key = Self::key().map_err(|_| Refused::WrongSignature)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.pair.public_key())
            .verify(content.as_bytes(), &signature)
            .map_err(|_| Refused::WrongSignature)?;
        let audience = match claims.get("aud") {
            Some(Value::String(one)) => one == AUDIENCE,
            Some(Value::Array(several)) => several.iter().any(|one| one == AUDIENCE),
            _ => false,
        };
        if !audience {
            return Err(Refused::WrongAudience);
        }
        let number = |name: &str| claims.get(name).and_then(Value::as_u64).unwrap_or_default();
        let now = wall_seconds();
        if number("exp") <= now || number("nbf") > now + LEEWAY_SECONDS {
            return Err(Refused::Expired);
        }
        Ok((kind, claims))
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        let path = call.path.trim_start_matches('/');
        match (call.method.as_str(), path) {
            ("GET", "healthz") => return Reply::text(200, "ok"),
            ("GET", "token") => return self.mint(call),
            ("GET", "actions/token") => return self.actions_token(call),
            _ => {}
        }
        if let Some(reply) = google::answer(self, call) {
            return reply;
        }
        let (issuer, rest) = path.split_once('/').unwrap_or((path, ""));
        let kind = IssuerKind::from_name(issuer);
        if let Some(reply) = kind.and_then(|kind| sign_in::answer(self, kind, call, rest)) {
            return reply;
        }
        match (kind, rest) {
            (Some(kind), ".well-known/openid-configuration") => self.discovery(kind, call),
            (Some(_), "jwks") => self.keys(),
            _ => Reply::text(404, "no such page"),
        }
    }

    fn discovery(&self, kind: IssuerKind, call: &Call) -> Reply {
        let issuer = self.issuer(kind);
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "device_authorization_endpoint": format!("{issuer}/device/code"),
            "authorization_response_iss_parameter_supported": true,
            "jwks_uri": format!("{issuer}/jwks"),
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email"],
        });
        match call.fault {
            Some(Fault::AnotherIssuer) => document["issuer"] = json!(format!("{issuer}/")),
            Some(Fault::NoDevices) => document["device_authorization_endpoint"] = Value::Null,
            Some(Fault::NoPkce) => document["code_challenge_methods_supported"] = json!(["plain"]),
            Some(Fault::EndpointElsewhere) => {
                document["token_endpoint"] = json!("http://169.254.169.254/token");
            }
            _ => {}
        }
        Reply::json(200, &document)
    }

    fn keys(&self) -> Reply {
        let key = match Self::key() {
            Ok(key) => key,
            Err(error) => return Reply::text(500, error.to_string()),
        };
        let public = key.pair.public_key();
        let document = json!({"keys": [{
            "alg": "RS256",
            "e": BASE64URL.encode(public.exponent().big_endian_without_leading_zero()),
            "kid": key.id,
            "kty": "RSA",
            "n": BASE64URL.encode(public.modulus().big_endian_without_leading_zero()),
            "use": "sig",
        }]});
        Reply::json(200, &document)
    }

    /// `GET /token?kind=github|gitlab|email|…[&identity=…][&audience=…][&expires_in=…]`: a token for scripts.
    fn mint(&self, call: &Call) -> Reply {
        let name = call.parameter("kind").unwrap_or("github");
        let Some(kind) = IssuerKind::from_name(name) else {
            let kinds = IssuerKind::ALL.map(IssuerKind::name).join(", ");
            return Reply::text(400, format!("kind is one of {kinds}"));
        };
        let identity = Identity::of_kind(kind, call.parameter("identity"), &self.issuer(kind));
        let expires_in = call.parameter("expires_in").map_or(Ok(600), str::parse);
        let Ok(expires_in) = expires_in else {
            return Reply::text(400, "expires_in is a number of seconds");
        };
        let audience = call.parameter("audience").unwrap_or(AUDIENCE);
        match self.token(&identity.with_audience(audience).expires_in(expires_in)) {
            Ok(token) => Reply::text(200, token),
            Err(error) => Reply::text(500, error.to_string()),
        }
    }

    /// What a GitHub Actions job asks for its token.
    fn actions_token(&self, call: &Call) -> Reply {
        if call.bearer() != Some(&self.request_token) {
            return Reply::json(401, &json!({"message": "unauthorized"}));
        }
        let audience = call.parameter("audience").unwrap_or("https://github.com/acme");
        match self.token(&Identity::github(DEFAULT_WORKFLOW).with_audience(audience)) {
            Ok(token) => Reply::json(200, &json!({"count": token.len(), "value": token})),
            Err(error) => Reply::text(500, error.to_string()),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::new(format!("the token is refused: {refused:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        Provider::new("http://127.0.0.1:1".into()).unwrap()
    }

    fn identity() -> Identity {
        Identity::github(DEFAULT_WORKFLOW)
    }

    #[test]
    fn its_own_tokens_are_accepted() {
        let provider = provider();
        let token = provider.token(&identity()).unwrap();
        let (kind, claims) = provider.verify(&token).unwrap();
        assert_eq!(kind, IssuerKind::GitHub);
        assert_eq!(claims["job_workflow_ref"], DEFAULT_WORKFLOW);
    }

    #[test]
    fn refuses_what_is_not_a_token_for_sigstore_now() {
        let provider = provider();
        let token = |identity: Identity| provider.token(&identity).unwrap();
        let other = Provider::new("http://127.0.0.1:2".into()).unwrap();
        // The claims of one token under the signature of another.
        let spliced = {
            let (one, two) = (token(identity()), token(identity().with_claim("sub", json!("x"))));
            let (content, _) = one.rsplit_once('.').unwrap();
            let (_, signature) = two.rsplit_once('.').unwrap();
            format!("{content}.{signature}")
        };
        let cases = [
            ("audience", token(identity().with_audience("other")), Refused::WrongAudience),
            ("expired", token(identity().expires_in(-1)), Refused::Expired),
            ("issuer", token(identity().with_claim("iss", json!("x"))), Refused::UnknownIssuer),
            ("instance", other.token(&identity()).unwrap(), Refused::UnknownIssuer),
            ("signature", spliced, Refused::WrongSignature),
            ("text", "not.a.token".into(), Refused::Malformed),
        ];
        for (what, token, expected) in cases {
            assert_eq!(provider.verify(&token).unwrap_err(), expected, "{what}");
        }
    }
}
