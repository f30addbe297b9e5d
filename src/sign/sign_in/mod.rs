//! A person signs in at the issuer: in a browser (authorization code with PKCE, RFC 6749, 7636 and 8252), or
//! on another device (RFC 8628).
//!
//! Nobody is sent anywhere before the issuer has said where: its discovery document has to name the very
//! issuer that was asked. The token comes from the issuer itself, over the connection that discovery led
//! to; its issuer and nonce are compared here, audience and expiry where every token's are.

mod browser;
mod callback;
mod device;
mod discovery;
mod page;

use std::cell::Cell;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::{OsRng, RngCore as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;
use url::form_urlencoded;
use zeroize::Zeroizing;

pub use self::browser::Opener;
pub use self::callback::Redirect;
use super::service::{Call, Service};
use super::token::{MAX_TOKEN_BYTES, Token, bad};
use crate::error::{Class, Error, Reason, Result};
use crate::net;

/// The client that Sigstore's issuers know.
pub const CLIENT_ID: &str = "sigstore";
/// How long a person may take to sign in.
pub const SIGN_IN_TIME: Duration = Duration::from_secs(300);
/// What is asked for: who it is, and the address that the certificate will name.
const SCOPES: &str = "openid email";
/// The headline of every error.
const WHAT: &str = "cannot sign in";

/// How a person is sent to the issuer.
#[derive(Debug)]
pub enum Way {
    /// In the browser that this program opens.
    Browser(Opener),
    /// With a code, on any device.
    Device,
    /// There is no browser here: with a code, or where the issuer gives none, at an address that is shown.
    NoBrowser,
}

/// A person to sign in, and where.
pub struct SignIn {
    issuer: Url,
    /// As it was given: it is compared byte for byte.
    issuer_text: String,
    client_id: String,
    redirect: Redirect,
    way: Way,
    patience: Duration,
    tell: Box<dyn Fn(&str)>,
    before: Cell<bool>,
}

impl SignIn {
    /// Somebody who signs in at `issuer` as a user of the client `client_id`; `tell` shows the person what
    /// to do, a sentence a call. Nobody is asked yet.
    ///
    /// # Errors
    /// Usage: the issuer is no https URL (http on loopback), or has a query.
    pub fn new(
        issuer: &str,
        client_id: &str,
        redirect: Redirect,
        way: Way,
        tell: impl Fn(&str) + 'static,
    ) -> Result<Self> {
        let url = super::service::parse_url(issuer)
            .map_err(|why| Error::usage("not an issuer").on(issuer).cause(why))?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(Error::usage("not an issuer")
                .on(issuer)
                .cause("an issuer has neither query nor user name"));
        }
        Ok(Self {
            issuer: url,
            issuer_text: issuer.to_owned(),
            client_id: client_id.to_owned(),
            redirect,
            way,
            patience: SIGN_IN_TIME,
            tell: Box::new(tell),
            before: Cell::new(false),
        })
    }

    /// Where the person signs in, for messages.
    pub(super) fn label(&self) -> String {
        format!("sign-in at {}", self.issuer_text)
    }

    /// Lets the person sign in.
    ///
    /// # Errors
    /// Usage (`bad-token`): the person or the issuer said no, or what came is not for this sign-in;
    /// undecided: the issuer does not serve, or nobody signed in in time.
    pub(super) async fn ask(&self, net: &net::Client) -> Result<Token> {
        if self.before.replace(true) {
            (self.tell)(
                "The token of the earlier sign-in has run out, and the run is not done: sign in once more.",
            );
        }
        let service = Service { net, what: WHAT };
        let provider = discovery::discover(&service, &self.issuer, &self.issuer_text).await?;
        let signing_in = async {
            match (&self.way, &provider.device) {
                (Way::Device, None) => Err(Error::usage("this issuer gives no codes for devices")
                    .on("--device")
                    .hint("--identity-token FILE")),
                (Way::Device | Way::NoBrowser, Some(endpoint)) => {
                    device::sign_in(self, &service, endpoint, &provider).await
                }
                (Way::Browser(opener), _) => {
                    browser::sign_in(self, &service, &provider, Some(opener)).await
                }
                (Way::NoBrowser, None) => browser::sign_in(self, &service, &provider, None).await,
            }
        };
        match tokio::time::timeout(self.patience, signing_in).await {
            Ok(signed_in) => signed_in,
            Err(_) => Err(Error::new(Class::Undecided, Reason::LimitReached, WHAT)
                .cause(format!("nobody signed in within {} s", self.patience.as_secs()))),
        }
    }

    /// The token in an answer of the token endpoint, if it is this issuer's and for this very sign-in.
    fn token(
        &self,
        service: &Service<'_>,
        at: &Url,
        body: &[u8],
        nonce: Option<&str>,
    ) -> Result<Token> {
        let granted: Granted = serde_json::from_slice(body)
            .map_err(|_| service.malformed(at, "its answer holds no identity token"))?;
        let token = Token::parse(&Zeroizing::new(granted.id_token))?;
        if token.issuer() != self.issuer_text {
            return Err(bad("the identity token is another issuer's")
                .expected_found(self.issuer_text.as_str(), token.issuer()));
        }
        if let Some(nonce) = nonce
            && token.nonce() != Some(nonce)
        {
            return Err(bad("the identity token is of another sign-in")
                .cause("it does not hold the nonce that was asked for"));
        }
        Ok(token)
    }
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").field("issuer", &self.issuer_text).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Granted {
    id_token: String,
}

/// A refusal of the token endpoint (RFC 6749 section 5.2).
#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Denied {
    fn words(&self) -> String {
        refusal(&self.error, &self.error_description)
    }
}

/// What an issuer says of its no, on one bounded line.
fn refusal(error: &str, description: &str) -> String {
    let text = match description.is_empty() {
        true => error.to_owned(),
        false => format!("{error}: {description}"),
    };
    super::service::said(text.as_bytes())
}

/// A value that nobody guesses, in base64url: state, nonce, or a PKCE verifier (43 characters).
fn unguessable() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    OsRng
        .try_fill_bytes(bytes.as_mut())
        .map_err(|_| Error::undecided(Reason::LimitReached, "no randomness"))?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

/// The challenge of a verifier (RFC 7636 section 4.2, S256).
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// A form for the token endpoint. What is in it counts once, so it is not repeated.
fn form<'a>(url: &'a Url, pairs: &[(&str, &str)]) -> Call<'a> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Call {
        body: Some((body.into_bytes(), "application/x-www-form-urlencoded")),
        once: true,
        // The token within its bound, and what stands beside it.
        ..Call::new(url, 4 * MAX_TOKEN_BYTES)
    }
}

#[cfg(test)]
mod tests;
