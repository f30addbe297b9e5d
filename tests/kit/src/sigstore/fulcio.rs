//! The certificate authority: identity token and proof of possession in, short-lived certificate out (Fulcio's API v2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_KP_CODE_SIGNING;
use const_oid::db::rfc6962::CT_PRECERT_POISON;
use der::{Decode, Encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_cert::Certificate;
use x509_cert::request::CertReq;

use super::certificate::{
    Authority, Profile, authority_extensions, extension, leaf_extensions, subject_alternative_name,
    utf8_string,
};
use super::clock::Clock;
use super::ct::{self, CtLog};
use super::error::{Error, Result};
use super::fault::Fault;
use super::http::{Call, Reply};
use super::identity::{self, IssuerKind, SubjectName};
use super::keys::{KeyKind, PublicKey, SigningKey, to_pem};
use super::oidc::Provider;

/// How long a certificate lives.
const LIFETIME_SECONDS: u64 = 600;

/// Root and intermediate.
pub(crate) struct Fulcio {
    pub(crate) root: Authority,
    pub(crate) intermediate: Authority,
}

/// A request as the API defines it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigningRequest {
    #[serde(default)]
    credentials: Option<Credentials>,
    #[serde(default)]
    certificate_signing_request: Option<String>,
    #[serde(default)]
    public_key_request: Option<PublicKeyRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    oidc_identity_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    public_key: RequestedKey,
    proof_of_possession: String,
}

#[derive(Deserialize)]
struct RequestedKey {
    content: String,
}

/// What the certificate is to say.
struct Order<'a> {
    spki: &'a [u8],
    subjects: Vec<SubjectName>,
    issuer: &'a str,
    kind: IssuerKind,
    claims: &'a Map<String, Value>,
}

impl Fulcio {
    /// A fresh hierarchy, valid between these times in seconds since 1970.
    pub(crate) fn new(not_before: u64, not_after: u64) -> Result<Self> {
        let root = Authority::root(
            KeyKind::P384,
            Profile {
                common_name: Some("kit-fulcio-root"),
                not_before,
                not_after,
                extensions: authority_extensions(1, None)?,
            },
        )?;
        let intermediate = root.subordinate(
            KeyKind::P384,
            Profile {
                common_name: Some("kit-fulcio-intermediate"),
                not_before,
                not_after,
                extensions: authority_extensions(0, Some(ID_KP_CODE_SIGNING))?,
            },
        )?;
        Ok(Self { root, intermediate })
    }

    pub(crate) fn answer(&self, call: &Call, oidc: &Provider, ct: &CtLog, clock: &Clock) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/healthz") => Reply::json(200, &json!({"status": "SERVING"})),
            ("GET", "/api/v2/trustBundle") => {
                let chain = [self.intermediate.pem(), self.root.pem()];
                Reply::json(200, &json!({"chains": [{"certificates": chain}]}))
            }
            ("POST", "/api/v2/signingCert") => {
                self.signing_certificate(call, oidc, ct, clock).unwrap_or_else(|refused| refused)
            }
            ("POST", "/api/v1/signingCert") => {
                let issued = old_request(&call.body)
                    .and_then(|request| self.chain(request, call, oidc, ct, clock));
                match issued {
                    Ok(chain) => {
                        Reply::new(201, "application/pem-certificate-chain", chain.concat())
                    }
                    Err(refused) => refused,
                }
            }
            _ => failure(404, "Not Found"),
        }
    }

    fn signing_certificate(
        &self,
        call: &Call,
        oidc: &Provider,
        ct: &CtLog,
        clock: &Clock,
    ) -> std::result::Result<Reply, Reply> {
        let request: SigningRequest = serde_json::from_slice(&call.body)
            .map_err(|error| failure(400, &format!("invalid request: {error}")))?;
        let chain = self.chain(request, call, oidc, ct, clock)?;
        Ok(Reply::json(
            200,
            &json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}),
        ))
    }

    /// Leaf, intermediate and root.
    fn chain(
        &self,
        request: SigningRequest,
        call: &Call,
        oidc: &Provider,
        ct: &CtLog,
        clock: &Clock,
    ) -> std::result::Result<[String; 3], Reply> {
        let in_body = request.credentials.as_ref().map(|one| one.oidc_identity_token.as_str());
        let token = in_body.or_else(|| call.bearer()).unwrap_or_default();
        let (kind, claims) = oidc
            .verify(token)
            .map_err(|_| failure(401, "There was an error processing the identity token"))?;
        let key = possessed_key(&request, &claims)?;

        let other = SigningKey::generate(KeyKind::P256).map_err(internal)?;
        let spki = match call.fault {
            Some(Fault::CertificateForAnotherKey) => other.spki(),
            _ => key.spki(),
        };
        let mallory = SubjectName::Uri(
            "https://github.com/mallory/charts/.github/workflows/x.yml@refs/heads/main".into(),
        );
        let own = identity::subject(kind, &claims);
        let subjects = match call.fault {
            Some(Fault::CertificateForAnotherSubject) => vec![mallory],
            Some(Fault::CertificateWithSecondSubject) => vec![own, mallory],
            _ => vec![own],
        };
        let issuer = identity::upstream_issuer(kind, &claims).unwrap_or_else(|| oidc.issuer(kind));
        let order = Order { spki, subjects, issuer: &issuer, kind, claims: &claims };
        let certificate = self.issue(&order, ct, clock, call.fault.as_ref()).map_err(internal)?;
        let leaf =
            to_pem("CERTIFICATE", &certificate.to_der().map_err(|error| internal(error.into()))?);
        Ok([leaf, self.intermediate.pem(), self.root.pem()])
    }

    /// Precertificate, timestamp, certificate.
    fn issue(
        &self,
        order: &Order<'_>,
        ct: &CtLog,
        clock: &Clock,
        fault: Option<&Fault>,
    ) -> Result<Certificate> {
        let milliseconds = clock.milliseconds();
        let not_before = milliseconds / 1000;
        let mut extensions = leaf_extensions(ID_KP_CODE_SIGNING, false)?;
        extensions.push(subject_alternative_name(&order.subjects)?);
        let mut table = identity::extensions(order.kind, order.claims);
        table.push((1, order.issuer.into()));
        table.push((8, order.issuer.into()));
        table.sort_unstable();
        for (number, mut text) in table {
            match fault {
                Some(Fault::OnlyDeprecatedExtensions) if number > 7 => continue,
                Some(Fault::ContradictoryExtension(of)) if *of == number => text.push_str("-other"),
                _ => {}
            }
            // The first six are bare text, the later ones proper DER.
            let value = if number < 8 { text.into_bytes() } else { utf8_string(&text)? };
            extensions.push(extension(arc(number)?, false, value)?);
        }
        extensions.push(ct::poison()?);
        let profile = Profile {
            common_name: None,
            not_before,
            not_after: not_before + LIFETIME_SECONDS,
            extensions,
        };
        let precertificate = self.intermediate.tbs(order.spki, profile)?;
        let mut tbs = ct::without(&precertificate, CT_PRECERT_POISON);
        if fault != Some(&Fault::NoSct) {
            let unknown;
            let log = if fault == Some(&Fault::SctByUnknownLog) {
                unknown = CtLog::new()?;
                &unknown
            } else {
                ct
            };
            let sct = log.sign(&tbs, self.intermediate.key.spki(), milliseconds)?;
            // The timestamps take the poison's place, the last one.
            tbs.extensions.get_or_insert_default().push(sct.extension()?);
        }
        self.intermediate.sign(tbs)
    }
}

/// A request of the API v1, which cosign 2 uses, in the terms of v2.
fn old_request(body: &[u8]) -> std::result::Result<SigningRequest, Reply> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Old {
        public_key: RequestedKey,
        signed_email_address: String,
    }
    let invalid = |error: Error| failure(400, &format!("invalid request: {error}"));
    let Old { public_key, signed_email_address } =
        serde_json::from_slice(body).map_err(|error| invalid(error.into()))?;
    let pem = BASE64.decode(&public_key.content).map_err(|error| invalid(error.into()))?;
    let content = String::from_utf8_lossy(&pem).into_owned();
    Ok(SigningRequest {
        credentials: None,
        certificate_signing_request: None,
        public_key_request: Some(PublicKeyRequest {
            public_key: RequestedKey { content },
            proof_of_possession: signed_email_address,
        }),
    })
}

/// The requested key, if the client proved that it holds it.
fn possessed_key(
    request: &SigningRequest,
    claims: &Map<String, Value>,
) -> std::result::Result<PublicKey, Reply> {
    let unproved =
        |_: Error| failure(400, "The signature supplied in the request could not be verified");
    if let Some(request) = &request.certificate_signing_request {
        let unreadable =
            |_: Error| failure(400, "The certificate signing request supplied could not be parsed");
        let request = parse_request(request).map_err(unreadable)?;
        let info = request.info.to_der().map_err(|error| unreadable(error.into()))?;
        let spki = request.info.public_key.to_der().map_err(|error| unreadable(error.into()))?;
        let key = PublicKey::from_spki(&spki).map_err(unreadable)?;
        key.verify(&info, request.signature.raw_bytes()).map_err(unproved)?;
        return Ok(key);
    }
    let Some(request) = &request.public_key_request else {
        return Err(failure(400, "The request holds neither a key nor a certificate request"));
    };
    let unreadable =
        |_: Error| failure(400, "The public key supplied in the request could not be parsed");
    let pem = pem::parse(&request.public_key.content).map_err(|error| unreadable(error.into()))?;
    let key = PublicKey::from_spki(pem.contents()).map_err(unreadable)?;
    let proof =
        BASE64.decode(&request.proof_of_possession).map_err(|error| unproved(error.into()))?;
    key.verify(identity::challenge(claims).as_bytes(), &proof).map_err(unproved)?;
    Ok(key)
}

fn parse_request(text: &str) -> Result<CertReq> {
    let pem = pem::parse(BASE64.decode(text)?)?;
    Ok(CertReq::from_der(pem.contents())?)
}

/// An identifier below Fulcio's own arc.
fn arc(number: u32) -> Result<ObjectIdentifier> {
    ObjectIdentifier::new(&format!("1.3.6.1.4.1.57264.1.{number}"))
        .map_err(|error| Error::new(error.to_string()))
}

fn internal(error: Error) -> Reply {
    failure(500, &error.to_string())
}

/// An error as a gRPC gateway writes it.
pub(crate) fn failure(status: u16, message: &str) -> Reply {
    let code = match status {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 6,
        429 => 8,
        503 => 14,
        _ => 13,
    };
    Reply::json(status, &json!({"code": code, "message": message, "details": []}))
}
