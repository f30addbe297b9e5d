//! The certificate: a P-256 key, a request for it with the identity token, and the checks of what came
//! back before anything is signed with it (Fulcio API v2, RFC 2986, RFC 5280).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::db::rfc5280::ID_KP_CODE_SIGNING;
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::asn1::BitString;
use der::{Decode, Encode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use sigstore_crypto::{CertificateInfo, KeyPair, parse_certificate_info};
use sigstore_types::{DerCertificate, DerPublicKey};
use url::Url;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::service::{self, Call, Service};
use super::token::{ExpectedIdentity, Token, bad};
use crate::error::{Error, Reason, Result};
use crate::verify::holder;

/// The longest answer that is read, in bytes; real ones take 4 KiB.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// The longest chain that is read: leaf, intermediates and root.
const MAX_CHAIN: usize = 8;

/// A signing certificate as the authority issued it. Its chain is not verified here.
#[derive(Clone)]
pub struct Certificate {
    der: DerCertificate,
    chain: Vec<DerCertificate>,
    info: CertificateInfo,
    name: Option<String>,
}

impl Certificate {
    /// The leaf.
    pub fn der(&self) -> &DerCertificate {
        &self.der
    }

    /// What the authority sent after the leaf: intermediates and perhaps the root.
    pub fn chain(&self) -> &[DerCertificate] {
        &self.chain
    }

    /// The e-mail address, URI or user name in the subject alternative name.
    pub fn identity(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Who vouched for the identity: Fulcio's issuer extension.
    pub fn issuer(&self) -> Option<&str> {
        self.info.issuer.as_deref()
    }

    /// The start of its validity.
    pub fn not_before(&self) -> Timestamp {
        self.info.not_before
    }

    /// The end of its validity.
    pub fn not_after(&self) -> Timestamp {
        self.info.not_after
    }

    fn from_chain(chain: &[String]) -> Result<Self, String> {
        if chain.len() > MAX_CHAIN {
            return Err(format!("its chain is longer than {MAX_CHAIN} certificates"));
        }
        let mut chain = chain
            .iter()
            .map(|pem| DerCertificate::from_pem(pem).map_err(|error| error.to_string()))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let der = chain.next().ok_or("its answer holds no certificate")?;
        let info = parse_certificate_info(&der).map_err(|error| error.to_string())?;
        // What cannot be read so is refused when the certificate is checked.
        let name = holder(&der).ok().flatten().map(|(_, name)| name);
        Ok(Self { der, chain: chain.collect(), info, name })
    }

    /// Refuses a certificate that is not for our key, our identity and the signing of code.
    ///
    /// # Errors
    /// Refused: `bad-signature` for another key or use, whose signatures nobody would accept;
    /// `wrong-signer` for another identity or issuer.
    pub(super) fn check(&self, key: &DerPublicKey, expected: &ExpectedIdentity) -> Result<()> {
        const WHAT: &str = "the certificate is not the one that was asked for";
        if self.info.public_key != *key {
            return Err(Error::refused(Reason::BadSignature, WHAT).cause("it is for another key"));
        }
        holder(&self.der)?;
        let names = &expected.names;
        let name_fits = names.is_empty()
            || self.identity().is_some_and(|found| names.iter().any(|name| name.matches(found)));
        let issuer_fits = self
            .issuer()
            .is_some_and(|found| expected.issuers.iter().any(|issuer| issuer == found));
        if !name_fits || !issuer_fits {
            return Err(Error::refused(Reason::WrongSigner, WHAT)
                .expected_found(expected.to_string(), self.to_string()));
        }
        let signs_code = x509_cert::Certificate::from_der(self.der.as_bytes())
            .and_then(|leaf| leaf.tbs_certificate.get::<ExtendedKeyUsage>())
            .ok()
            .flatten()
            .is_some_and(|(_, usage)| usage.0.contains(&ID_KP_CODE_SIGNING));
        if !signs_code {
            return Err(
                Error::refused(Reason::BadSignature, WHAT).cause("it is not for signing code")
            );
        }
        Ok(())
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}   issuer {}",
            self.identity().unwrap_or("no name"),
            self.issuer().unwrap_or("none")
        )
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("identity", &self.identity())
            .field("issuer", &self.issuer())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

/// Fulcio's answer (`SigningCertificate` of its v2 API); one of the two is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    signed_certificate_embedded_sct: Option<WithChain>,
    signed_certificate_detached_sct: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct WithChain {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    #[serde(default)]
    certificates: Vec<String>,
}

/// Asks the authority at `base` for a certificate over `key`, for the identity in `token`.
///
/// # Errors
/// Usage (`bad-token`), when it refuses the token, with its words; undecided, when it is not reached,
/// fails, or answers something else than a certificate with an embedded SCT.
pub(super) async fn certify(
    service: &Service<'_>,
    base: &Url,
    token: &Token,
    key: &KeyPair,
) -> Result<Certificate> {
    let url = service::join(base, "api/v2/signingCert");
    let request = request(key).map_err(|why| service.malformed(&url, why))?;
    let body = json!({
        "credentials": {"oidcIdentityToken": token.expose()},
        "certificateSigningRequest": STANDARD.encode(request),
    });
    let answer = service
        .send(Call {
            body: Some((body.to_string().into_bytes(), "application/json")),
            ..Call::new(&url, MAX_ANSWER_BYTES)
        })
        .await?;
    match answer.status {
        200 | 201 => {}
        400 | 401 | 403 => {
            let words = service::said(&answer.body);
            // A service that repeats what it was sent must not make us print it.
            let repeats =
                token.expose().split('.').any(|part| part.len() > 16 && words.contains(part));
            return Err(bad("the certificate authority refused the identity token").cause(
                if repeats {
                    format!("{}: {}", service::place(&url), answer.status)
                } else {
                    format!("{}: {} {words}", service::place(&url), answer.status)
                },
            ));
        }
        _ => return Err(service.refused(&answer)),
    }
    let issued: Issued = serde_json::from_slice(&answer.body)
        .map_err(|_| service.malformed(&url, "its answer is no certificate chain"))?;
    match issued {
        Issued { signed_certificate_embedded_sct: Some(WithChain { chain }), .. } => {
            Certificate::from_chain(&chain.certificates).map_err(|why| service.malformed(&url, why))
        }
        Issued { signed_certificate_detached_sct: Some(_), .. } => Err(service
            .malformed(&url, "its certificate has a detached SCT, which a bundle cannot carry")),
        _ => Err(service.malformed(&url, "its answer holds no certificate")),
    }
}

/// A certificate request in PEM: no subject (the token says who), the key, and the proof that we
/// hold it.
fn request(key: &KeyPair) -> Result<String, String> {
    let public = key.public_key_der().map_err(|error| error.to_string())?;
    let build = || -> der::Result<_> {
        let info = CertReqInfo {
            version: Version::V1,
            subject: Name::default(),
            public_key: SubjectPublicKeyInfoOwned::from_der(public.as_bytes())?,
            attributes: der::asn1::SetOfVec::default(),
        };
        let to_sign = info.to_der()?;
        Ok((info, to_sign))
    };
    let (info, to_sign) = build().map_err(|error| error.to_string())?;
    let signature = key.sign(&to_sign).map_err(|error| error.to_string())?;
    let request = BitString::from_bytes(signature.as_bytes())
        .and_then(|signature| {
            let algorithm = AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA_256, parameters: None };
            CertReq { info, algorithm, signature }.to_der()
        })
        .map_err(|error| error.to_string())?;
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", request), config))
}

#[cfg(test)]
mod tests {
    use sigstore_crypto::{SigningScheme, verify_signature};
    use sigstore_types::SignatureBytes;

    use super::*;
    use crate::sign::testing::{Answers, IDENTITY, ISSUER};

    fn leaf(answers: &Answers) -> String {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        answers.leaf(&STANDARD.encode(request(&key).unwrap()))
    }

    #[test]
    fn the_request_proves_that_we_hold_the_key() {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        let text = request(&key).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n") && !text.contains('\r'));
        let request = CertReq::from_der(pem::parse(&text).unwrap().contents()).unwrap();
        let public = DerPublicKey::new(request.info.public_key.to_der().unwrap());
        assert_eq!(public, key.public_key_der().unwrap());
        let signature = SignatureBytes::from_bytes(request.signature.raw_bytes());
        let signed = request.info.to_der().unwrap();
        verify_signature(&public, &signed, &signature, SigningScheme::EcdsaP256Sha256).unwrap();
    }

    #[test]
    fn reads_what_the_leaf_says() {
        let certificate = Certificate::from_chain(&[leaf(&Answers::default())]).unwrap();
        assert_eq!(certificate.to_string(), format!("{IDENTITY}   issuer {ISSUER}"));
        assert_eq!(certificate.not_after().duration_since(certificate.not_before()).as_secs(), 600);
    }

    #[test]
    fn refuses_chains_that_are_none() {
        let leaf = leaf(&Answers::default());
        for (chain, words) in [
            (vec![], "no certificate"),
            (vec![String::new()], "PEM"),
            (vec![leaf.replace("CERTIFICATE", "PUBLIC KEY")], "PUBLIC KEY"),
            (vec![leaf.replace("MII", "MIJ")], "certificate"),
            (vec![leaf; MAX_CHAIN + 1], "longer than 8"),
        ] {
            let error = Certificate::from_chain(&chain).unwrap_err();
            assert!(error.contains(words), "{error} lacks {words:?}");
        }
    }
}
