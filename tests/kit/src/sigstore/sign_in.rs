//! People who sign in: the authorization endpoint, codes for devices, and the token endpoint.
//!
//! Everybody who comes to the authorization endpoint has signed in already and agrees, as `jane@example.com` or
//! whatever the kind of issuer has in her place. PKCE with S256 is demanded, as are state and nonce, and a code counts
//! once (RFC 6749, 7636, 8628, 9207).

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hyper::header::LOCATION;
use serde_json::{Value, json};

use super::fault::Fault;
use super::http::{Call, Reply, form, lock};
use super::identity::{Identity, IssuerKind};
use super::keys::{random, sha256};
use super::oidc::Provider;

/// How long a code counts.
const CODE_LIFE: Duration = Duration::from_secs(60);
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Codes that were given out and not used yet.
#[derive(Default)]
pub(crate) struct Codes {
    codes: Mutex<HashMap<String, Code>>,
    devices: Mutex<HashMap<String, Device>>,
}

struct Code {
    client: String,
    redirect: String,
    challenge: String,
    nonce: String,
    until: Instant,
}

struct Device {
    user_code: String,
    client: String,
    challenge: String,
    allowed: Option<bool>,
    until: Instant,
    asked: Option<Instant>,
}

fn secret() -> String {
    random::<16>().map(hex::encode).unwrap_or_default()
}

fn refused(status: u16, error: &str) -> Reply {
    let description = format!("the request is refused: {error}");
    Reply::json(status, &json!({"error": error, "error_description": description}))
}

/// The answer of an issuer to a path below it, if it is one of these.
pub(crate) fn answer(
    provider: &Provider,
    kind: IssuerKind,
    call: &Call,
    rest: &str,
) -> Option<Reply> {
    Some(match (call.method.as_str(), rest) {
        ("GET", "auth") => authorize(provider, kind, call),
        ("POST", "token") => token(provider, kind, call),
        ("POST", "device/code") => device_code(provider, kind, call),
        ("GET", "device") => device(provider, call),
        _ => return None,
    })
}

/// `GET …/auth`: sends the browser back with a code.
fn authorize(provider: &Provider, kind: IssuerKind, call: &Call) -> Reply {
    let given = |name| call.parameter(name).unwrap_or_default();
    let redirect = given("redirect_uri");
    let local = ["http://localhost:", "http://127.0.0.1:", "http://[::1]:"];
    if !local.iter().any(|start| redirect.starts_with(start)) || given("client_id").is_empty() {
        return Reply::text(400, "no such client, or not a redirect URI of it");
    }
    let usable = given("response_type") == "code"
        && given("code_challenge_method") == "S256"
        && given("code_challenge").len() == 43
        && given("scope").split(' ').any(|scope| scope == "openid")
        && !given("nonce").is_empty()
        && !given("state").is_empty();
    let state = match call.fault {
        Some(Fault::WrongState) => "another".to_owned(),
        _ => given("state").to_owned(),
    };
    let issuer = match call.fault {
        Some(Fault::MixedUpIssuer) => "https://issuer.example".to_owned(),
        _ => provider.issuer(kind),
    };
    let mut back = vec![("state", state), ("iss", issuer)];
    match call.fault {
        _ if !usable => back.push(("error", "invalid_request".to_owned())),
        Some(Fault::AccessDenied) => {
            back.push(("error", "access_denied".to_owned()));
            back.push(("error_description", "the user said <b>no</b>".to_owned()));
        }
        _ => {
            let code = secret();
            let nonce = match call.fault {
                Some(Fault::WrongTokenNonce) => "another",
                _ => given("nonce"),
            };
            let kept = Code {
                client: given("client_id").to_owned(),
                redirect: redirect.to_owned(),
                challenge: given("code_challenge").to_owned(),
                nonce: nonce.to_owned(),
                until: Instant::now() + CODE_LIFE,
            };
            lock(&provider.codes.codes).insert(code.clone(), kept);
            back.push(("code", code));
        }
    }
    let query: Vec<String> =
        back.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    Reply::text(303, "").with_header(LOCATION, format!("{redirect}?{}", query.join("&")))
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// `POST …/device/code`: a code for a person, and one for the client.
fn device_code(provider: &Provider, kind: IssuerKind, call: &Call) -> Reply {
    let pairs = form(&String::from_utf8_lossy(&call.body));
    let given =
        |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    if given("client_id").is_empty() || !given("scope").split(' ').any(|scope| scope == "openid") {
        return refused(400, "invalid_request");
    }
    let (device, user_code) =
        (secret(), secret().to_uppercase().chars().take(8).collect::<String>());
    let life = if call.fault == Some(Fault::ShortLife) { 1 } else { 300 };
    let kept = Device {
        user_code: user_code.clone(),
        client: given("client_id").to_owned(),
        challenge: given("code_challenge").to_owned(),
        allowed: None,
        until: Instant::now() + Duration::from_secs(life),
        asked: None,
    };
    lock(&provider.codes.devices).insert(device.clone(), kept);
    let page = format!("{}/device", provider.issuer(kind));
    Reply::json(
        200,
        &json!({
            "device_code": device,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": life,
            "interval": 1,
        }),
    )
}

/// `GET …/device?user_code=…[&allow=no]`: the person enters the code.
fn device(provider: &Provider, call: &Call) -> Reply {
    let code = call.parameter("user_code").unwrap_or_default();
    let allowed = call.parameter("allow") != Some("no");
    match lock(&provider.codes.devices).values_mut().find(|device| device.user_code == code) {
        Some(device) => {
            device.allowed = Some(allowed);
            Reply::text(200, "the device may go on")
        }
        None => Reply::text(404, "no such code"),
    }
}

/// `POST …/token`.
fn token(provider: &Provider, kind: IssuerKind, call: &Call) -> Reply {
    let pairs = form(&String::from_utf8_lossy(&call.body));
    let given =
        |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    let proves =
        |challenge: &str| BASE64URL.encode(sha256(given("code_verifier").as_bytes())) == challenge;
    match given("grant_type") {
        "authorization_code" => {
            let Some(code) = lock(&provider.codes.codes).remove(given("code")) else {
                return refused(400, "invalid_grant");
            };
            let fits = code.client == given("client_id")
                && code.redirect == given("redirect_uri")
                && code.until > Instant::now()
                && proves(&code.challenge);
            if !fits {
                return refused(400, "invalid_grant");
            }
            grant(provider, kind, call, &code.client, Some(&code.nonce))
        }
        DEVICE_GRANT => {
            let mut devices = lock(&provider.codes.devices);
            let Some(device) = devices.get_mut(given("device_code")) else {
                return refused(400, "invalid_grant");
            };
            if device.client != given("client_id")
                || !(device.challenge.is_empty() || proves(&device.challenge))
            {
                return refused(400, "invalid_grant");
            }
            let now = Instant::now();
            let hasty = device.asked.is_some_and(|asked| now - asked < Duration::from_millis(900));
            device.asked = Some(now);
            if device.until <= now {
                return refused(400, "expired_token");
            }
            if hasty || call.fault == Some(Fault::SlowDown) {
                return refused(400, "slow_down");
            }
            match device.allowed {
                // dex answers so with 401.
                None => refused(401, "authorization_pending"),
                Some(false) => refused(400, "access_denied"),
                Some(true) => {
                    let client = device.client.clone();
                    devices.remove(given("device_code"));
                    grant(provider, kind, call, &client, None)
                }
            }
        }
        _ => refused(400, "unsupported_grant_type"),
    }
}

fn grant(
    provider: &Provider,
    kind: IssuerKind,
    call: &Call,
    client: &str,
    nonce: Option<&str>,
) -> Reply {
    let mut identity = Identity::of_kind(kind, None, &provider.issuer(kind)).with_audience(client);
    if let Some(nonce) = nonce {
        identity = identity.with_claim("nonce", Value::from(nonce));
    }
    if call.fault == Some(Fault::WrongTokenIssuer) {
        identity = identity.with_claim("iss", Value::from("https://issuer.example"));
    }
    if call.fault == Some(Fault::ShortLife) {
        identity = identity.expires_in(2);
    }
    match provider.token(&identity) {
        Ok(token) => Reply::json(
            200,
            &json!({
                "access_token": secret(),
                "expires_in": 600,
                "id_token": token,
                "token_type": "Bearer",
            }),
        ),
        Err(error) => Reply::text(500, error.to_string()),
    }
}
