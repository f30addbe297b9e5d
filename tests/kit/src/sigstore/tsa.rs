//! The timestamp authority (RFC 3161, with ESSCertIDv2 of RFC 5816).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_KP_TIME_STAMPING;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME};
use const_oid::db::rfc5912::ID_SHA_384;
use const_oid::db::rfc5912::{ID_SHA_256, ID_SHA_512};
use der::asn1::{GeneralizedTime, Int, OctetString, SetOfVec, UtcTime};
use der::{Any, Decode, Encode, Tag};
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;
use sha2::{Digest, Sha384};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;
use x509_tsp::{Accuracy, MessageImprint, TimeStampReq, TspVersion, TstInfo};

use super::certificate::{Authority, Profile, authority_extensions, leaf_extensions};
use super::clock::date;
use super::error::{Error, Result};
use super::fault::Fault;
use super::http::{Call, Reply};
use super::keys::{KeyKind, random, sha256};

/// The content type of a token's content.
const ID_CT_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// The signed attribute that names the signing certificate by SHA-256.
const ID_AA_SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// The policy of Sigstore's timestamp authorities.
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");

/// Where timestamps are asked for.
pub(crate) const PATH: &str = "/api/v1/timestamp";

/// What Sigstore's timestamp authority takes in place of DER, and sigstore-js sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest {
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
}

fn request_in_json(body: &[u8]) -> Result<TimeStampReq> {
    let request: JsonRequest = serde_json::from_slice(body)?;
    let oid = match request.hash_algorithm.as_str() {
        "sha256" => ID_SHA_256,
        "sha384" => ID_SHA_384,
        "sha512" => ID_SHA_512,
        other => return Err(Error::new(format!("the hash algorithm is {other}"))),
    };
    Ok(TimeStampReq {
        version: TspVersion::V1,
        message_imprint: MessageImprint {
            hash_algorithm: AlgorithmIdentifierOwned { oid, parameters: None },
            hashed_message: OctetString::new(BASE64.decode(request.artifact_hash)?)?,
        },
        req_policy: None,
        nonce: None,
        cert_req: request.certificates,
        extensions: None,
    })
}

/// Root and signing certificate; both P-384 with SHA-384, as in production.
pub(crate) struct Tsa {
    pub(crate) root: Authority,
    pub(crate) leaf: Authority,
}

impl Tsa {
    /// A fresh hierarchy, valid between these times in seconds since 1970.
    pub(crate) fn new(not_before: u64, not_after: u64) -> Result<Self> {
        let root = Authority::root(
            KeyKind::P384,
            Profile {
                common_name: Some("kit-tsa-root"),
                not_before,
                not_after,
                extensions: authority_extensions(0, None)?,
            },
        )?;
        let leaf = root.subordinate(
            KeyKind::P384,
            Profile {
                common_name: Some("kit-tsa"),
                not_before,
                not_after,
                extensions: leaf_extensions(ID_KP_TIME_STAMPING, true)?,
            },
        )?;
        Ok(Self { root, leaf })
    }

    pub(crate) fn answer(&self, call: &Call, now: u64) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/ping") => Reply::text(200, "pong"),
            ("GET", "/api/v1/timestamp/certchain") => {
                let chain = format!("{}{}", self.leaf.pem(), self.root.pem());
                Reply::new(200, "application/pem-certificate-chain", chain)
            }
            ("POST", PATH) => self.timestamp(call, now),
            _ => Reply::text(404, "path not found"),
        }
    }

    fn timestamp(&self, call: &Call, now: u64) -> Reply {
        let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let request = match content_type {
            Some("application/timestamp-query") => {
                TimeStampReq::from_der(&call.body).map_err(Error::from)
            }
            Some("application/json") => request_in_json(&call.body),
            _ => {
                return Reply::text(415, "the content type is application/timestamp-query or json");
            }
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return Reply::text(400, format!("invalid timestamp request: {error}")),
        };
        let expected = match request.message_imprint.hash_algorithm.oid {
            ID_SHA_256 => 32,
            ID_SHA_384 => 48,
            ID_SHA_512 => 64,
            _ => return Reply::text(400, "unsupported hash algorithm"),
        };
        if request.message_imprint.hashed_message.as_bytes().len() != expected {
            return Reply::text(400, "the digest's length is not its algorithm's");
        }
        let unknown;
        let signer = if call.fault == Some(Fault::TimestampByUnknownAuthority) {
            let tbs = &self.leaf.certificate.tbs_certificate.validity;
            let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
            unknown = Self::new(seconds(&tbs.not_before), seconds(&tbs.not_after));
            match &unknown {
                Ok(other) => other,
                Err(error) => return Reply::text(500, error.to_string()),
            }
        } else {
            self
        };
        let status = if call.fault == Some(Fault::TimestampWith200) { 200 } else { 201 };
        match signer.response(&request, now, call.fault.as_ref()) {
            Ok(response) => Reply::new(status, "application/timestamp-reply", response),
            Err(error) => Reply::text(500, error.to_string()),
        }
    }

    /// The DER of a granted response.
    fn response(&self, request: &TimeStampReq, now: u64, fault: Option<&Fault>) -> Result<Vec<u8>> {
        let mut imprint: MessageImprint = request.message_imprint.clone();
        let mut nonce = request.nonce.clone();
        if fault == Some(&Fault::WrongImprint) {
            let mut digest = imprint.hashed_message.as_bytes().to_vec();
            digest.iter_mut().for_each(|byte| *byte = !*byte);
            imprint.hashed_message = OctetString::new(digest)?;
        }
        if fault == Some(&Fault::WrongNonce) {
            nonce = Some(Int::new(&[0x2a, 0x17])?);
        }
        let mut serial: [u8; 16] = random()?;
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        let info = TstInfo {
            version: TspVersion::V1,
            policy: POLICY,
            message_imprint: imprint,
            serial_number: Int::new(&serial)?,
            // Whole seconds: some verifiers read no fraction.
            gen_time: GeneralizedTime::from_date_time(date(now)?),
            accuracy: Some(Accuracy { seconds: Some(1), millis: None, micros: None }),
            ordering: false,
            nonce,
            tsa: None,
            extensions: None,
        };
        let token = self.token(&info.to_der()?, now, request.cert_req)?;
        let status = sequence(&[&0_u8.to_der()?])?;
        sequence(&[&status, &token.to_der()?])
    }

    /// The signed token around a TSTInfo (RFC 5652 section 5).
    fn token(&self, info: &[u8], now: u64, with_certificate: bool) -> Result<ContentInfo> {
        let sha384 = AlgorithmIdentifierOwned { oid: ID_SHA_384, parameters: None };
        // SigningCertificateV2 { certs { ESSCertIDv2 { certHash } } }; SHA-256 is the default and left out.
        let hash = OctetString::new(sha256(&self.leaf.der))?.to_der()?;
        let signing_certificate = sequence(&[&sequence(&[&sequence(&[&hash])?])?])?;
        let digest = OctetString::new(Sha384::digest(info).to_vec())?;
        let attributes = SetOfVec::try_from(vec![
            attribute(ID_CONTENT_TYPE, Any::encode_from(&ID_CT_TST_INFO)?)?,
            attribute(ID_SIGNING_TIME, Any::encode_from(&UtcTime::from_date_time(date(now)?)?)?)?,
            attribute(ID_MESSAGE_DIGEST, Any::encode_from(&digest)?)?,
            attribute(ID_AA_SIGNING_CERTIFICATE_V2, Any::from_der(&signing_certificate)?)?,
        ])?;
        let signature = self.leaf.key.sign(&attributes.to_der()?)?;
        let own = &self.leaf.certificate.tbs_certificate;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: own.issuer.clone(),
                serial_number: own.serial_number.clone(),
            }),
            digest_alg: sha384.clone(),
            signed_attrs: Some(attributes),
            signature_algorithm: self.leaf.key.signature_algorithm(),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let certificates = with_certificate
            .then(|| {
                let leaf = CertificateChoices::Certificate(self.leaf.certificate.clone());
                SetOfVec::try_from(vec![leaf]).map(CertificateSet)
            })
            .transpose()?;
        let data = SignedData {
            version: CmsVersion::V3,
            digest_algorithms: SetOfVec::try_from(vec![sha384])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: ID_CT_TST_INFO,
                econtent: Some(Any::new(Tag::OctetString, info)?),
            },
            certificates,
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        };
        Ok(ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data)? })
    }
}

fn attribute(oid: ObjectIdentifier, value: Any) -> Result<Attribute> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

/// The DER of a SEQUENCE of parts that are DER already.
fn sequence(parts: &[&[u8]]) -> Result<Vec<u8>> {
    Any::new(Tag::Sequence, parts.concat())?.to_der().map_err(Error::from)
}
