//! Signing in on another device, with a code (RFC 8628).

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::discovery::Provider;
use super::{Denied, SCOPES, SignIn, challenge, form, unguessable};
use crate::error::{Class, Error, Reason, Result};
use crate::sign::service::Service;
use crate::sign::token::{Token, bad};

/// How long to wait between two questions where the issuer does not say (RFC 8628 section 3.2).
const USUAL_INTERVAL: Duration = Duration::from_secs(5);
/// By how much `slow_down` lengthens the wait (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// The shortest wait and the longest that are believed.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// The longest code and address that are shown, in characters.
const MAX_SHOWN: usize = 2000;
/// The grant of this flow.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[derive(Deserialize)]
struct Codes {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// What an answer to a question means.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Ask again after this pause.
    Wait(Duration),
    /// It is over, for this reason.
    Over(String),
    /// Nobody signed in in time.
    Expired,
}

/// Shows the code, and asks until somebody has entered it.
pub(super) async fn sign_in(
    person: &SignIn,
    service: &Service<'_>,
    endpoint: &Url,
    provider: &Provider,
) -> Result<Token> {
    let verifier = unguessable()?;
    let asked = [
        ("client_id", person.client_id.as_str()),
        ("scope", SCOPES),
        ("code_challenge", &challenge(&verifier)),
        ("code_challenge_method", "S256"),
    ];
    let answer = service.send(form(endpoint, &asked)).await?;
    if answer.status != 200 {
        return Err(service.refused(&answer));
    }
    let codes: Codes = serde_json::from_slice(&answer.body)
        .map_err(|_| service.malformed(endpoint, "its answer holds no code"))?;
    let device_code = Zeroizing::new(codes.device_code);
    let address = shown(&codes.verification_uri);
    let (Some(address), true) = (address, codes.user_code.chars().count() <= MAX_SHOWN) else {
        return Err(service.malformed(endpoint, "it names no address to enter the code at"));
    };
    (person.tell)(&format!(
        "To sign in, open {address} on any device and enter the code {}",
        codes.user_code
    ));
    if let Some(whole) = codes.verification_uri_complete.as_deref().and_then(shown) {
        (person.tell)(&format!("or open {whole} and compare the code"));
    }
    let expires = Instant::now() + Duration::from_secs(codes.expires_in).min(super::SIGN_IN_TIME);
    let mut pause = codes.interval.map_or(USUAL_INTERVAL, Duration::from_secs);
    pause = pause.clamp(MIN_INTERVAL, MAX_INTERVAL);
    loop {
        tokio::time::sleep_until((Instant::now() + pause).min(expires)).await;
        if Instant::now() >= expires {
            return Err(expired());
        }
        let grant = [
            ("grant_type", GRANT),
            ("device_code", device_code.as_str()),
            ("client_id", person.client_id.as_str()),
            ("code_verifier", &verifier),
        ];
        match service.send(form(&provider.token, &grant)).await {
            Ok(answer) if answer.status == 200 => {
                return person.token(service, &provider.token, &answer.body, None);
            }
            Ok(answer) => match next(answer.status, &answer.body, pause) {
                Some(Next::Wait(longer)) => pause = longer,
                Some(Next::Over(words)) => {
                    return Err(bad("the issuer did not let you sign in").cause(words));
                }
                Some(Next::Expired) => return Err(expired()),
                None => return Err(service.refused(&answer)),
            },
            // RFC 8628 section 3.5: after a connection that failed, half as often.
            Err(_) => pause = (pause * 2).min(MAX_INTERVAL),
        }
    }
}

/// What an answer other than a token means; nothing, if it means nothing.
fn next(status: u16, body: &[u8], pause: Duration) -> Option<Next> {
    if status == 429 || status >= 500 {
        return Some(Next::Wait((pause + SLOWER).min(MAX_INTERVAL)));
    }
    let denied: Denied = serde_json::from_slice(body).ok()?;
    Some(match denied.error.as_str() {
        "authorization_pending" => Next::Wait(pause),
        "slow_down" => Next::Wait((pause + SLOWER).min(MAX_INTERVAL)),
        "expired_token" => Next::Expired,
        _ => Next::Over(denied.words()),
    })
}

fn expired() -> Error {
    Error::new(Class::Undecided, Reason::LimitReached, super::WHAT)
        .cause("the code expired before anybody had signed in with it")
}

/// An address that a person may be sent to: a web page, of a length that can be read.
fn shown(text: &str) -> Option<&str> {
    let url = Url::parse(text).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && text.chars().count() <= MAX_SHOWN;
    web.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_nobody_has_entered_is_asked_for_again_and_slower_when_told() {
        let five = Duration::from_secs(5);
        let said = |status, error: &str| {
            next(status, format!("{{\"error\":\"{error}\"}}").as_bytes(), five)
        };
        assert_eq!(said(400, "authorization_pending"), Some(Next::Wait(five)));
        assert_eq!(said(401, "authorization_pending"), Some(Next::Wait(five)));
        assert_eq!(said(400, "slow_down"), Some(Next::Wait(five * 2)));
        assert_eq!(
            next(400, b"{\"error\":\"slow_down\"}", MAX_INTERVAL),
            Some(Next::Wait(MAX_INTERVAL))
        );
        assert_eq!(said(503, ""), Some(Next::Wait(five * 2)));
        assert_eq!(said(400, "expired_token"), Some(Next::Expired));
        assert_eq!(said(400, "access_denied"), Some(Next::Over("access_denied".to_owned())));
        assert_eq!(next(404, b"<html>", five), None);
    }

    #[test]
    fn people_are_sent_to_web_pages_only() {
        assert!(shown("https://issuer.example/device").is_some());
        for text in ["file:///etc/passwd", "javascript:alert(1)", "issuer.example", ""] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert_eq!(shown(&format!("https://a.example/{}", "x".repeat(MAX_SHOWN))), None);
    }
}
