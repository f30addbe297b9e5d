//! Where an issuer wants people to go (OpenID Connect Discovery 1.0).

use serde::Deserialize;
use url::Url;

use crate::error::Result;
use crate::net::{self, PlainHttp};
use crate::sign::service::{self, Call, Service};

/// The largest discovery document that is read, in bytes; real ones take 1 to 4 KiB.
const MAX_DOCUMENT_BYTES: usize = 64 << 10;

/// The endpoints of an issuer.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) authorization: Url,
    pub(super) token: Url,
    /// Where codes for devices come from (RFC 8628 section 4), if it gives any.
    pub(super) device: Option<Url>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
}

/// Asks `issuer` for its endpoints; the document has to name `text` as the issuer, byte for byte.
pub(super) async fn discover(service: &Service<'_>, issuer: &Url, text: &str) -> Result<Provider> {
    let url = service::join(issuer, ".well-known/openid-configuration");
    let answer = service.send(Call::new(&url, MAX_DOCUMENT_BYTES)).await?;
    if answer.status != 200 {
        return Err(service.refused(&answer));
    }
    let document: Document = serde_json::from_slice(&answer.body)
        .map_err(|_| service.malformed(&url, "its answer is no discovery document"))?;
    if document.issuer != text {
        let words = service::said(document.issuer.as_bytes());
        return Err(service
            .malformed(&url, "it speaks for another issuer")
            .expected_found(text, words));
    }
    // A client that is known to all has nothing but PKCE between its code and a thief.
    if document
        .code_challenge_methods_supported
        .is_some_and(|methods| !methods.iter().any(|method| method == "S256"))
    {
        return Err(service.malformed(&url, "it does not know PKCE with S256"));
    }
    let endpoint = |text: &str| -> Result<Url> {
        let endpoint = service::parse_url(text).map_err(|why| service.malformed(&url, why))?;
        net::check_hop(issuer, &endpoint, PlainHttp::Loopback)
            .map_err(|why| service.malformed(&url, format!("it leads {why}")))?;
        Ok(endpoint)
    };
    Ok(Provider {
        authorization: endpoint(&document.authorization_endpoint)?,
        token: endpoint(&document.token_endpoint)?,
        device: document.device_authorization_endpoint.as_deref().map(endpoint).transpose()?,
    })
}
