//! X.509: authorities, leaves, and the extensions that Sigstore uses (RFC 5280).

use std::str::FromStr;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
};
use der::asn1::{Any, BitString, GeneralizedTime, Ia5String, OctetString, UtcTime, Utf8StringRef};
use der::{Decode, Encode};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate, Version};

use super::clock::date;
use super::error::Result;
use super::identity::SubjectName;
use super::keys::{KeyKind, SigningKey, random, sha256, to_pem};

/// The type of Fulcio's user names (`oid-info.md`, number 7).
const FULCIO_USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// A private key with its certificate.
pub(crate) struct Authority {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
    pub(crate) der: Vec<u8>,
}

/// What a certificate says, apart from who issues it.
pub(crate) struct Profile<'a> {
    pub(crate) common_name: Option<&'a str>,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// In this order, after the two key identifiers.
    pub(crate) extensions: Vec<Extension>,
}

impl Authority {
    /// A self-signed root.
    pub(crate) fn root(kind: KeyKind, profile: Profile<'_>) -> Result<Self> {
        let key = SigningKey::generate(kind)?;
        let name = name(profile.common_name)?;
        let tbs = tbs(&name, key.spki(), &key, profile)?;
        let certificate = sign(tbs, &key)?;
        Ok(Self { der: certificate.to_der()?, key, certificate })
    }

    /// A new key with a certificate by this authority.
    pub(crate) fn subordinate(&self, kind: KeyKind, profile: Profile<'_>) -> Result<Self> {
        let key = SigningKey::generate(kind)?;
        let certificate = sign(self.tbs(key.spki(), profile)?, &self.key)?;
        Ok(Self { der: certificate.to_der()?, key, certificate })
    }

    /// What this authority would sign about somebody else's key.
    pub(crate) fn tbs(&self, spki: &[u8], profile: Profile<'_>) -> Result<TbsCertificate> {
        tbs(&self.certificate.tbs_certificate.subject, spki, &self.key, profile)
    }

    /// Signs a certificate.
    pub(crate) fn sign(&self, tbs: TbsCertificate) -> Result<Certificate> {
        sign(tbs, &self.key)
    }

    pub(crate) fn pem(&self) -> String {
        to_pem("CERTIFICATE", &self.der)
    }
}

/// The extensions of a certificate authority's certificate.
pub(crate) fn authority_extensions(
    path_length: u8,
    purpose: Option<ObjectIdentifier>,
) -> Result<Vec<Extension>> {
    let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    let constraints = BasicConstraints { ca: true, path_len_constraint: Some(path_length) };
    let mut extensions = vec![extension(ID_CE_KEY_USAGE, true, usage.to_der()?)?];
    if let Some(purpose) = purpose {
        extensions.push(extended_key_usage(purpose, false)?);
    }
    extensions.push(extension(ID_CE_BASIC_CONSTRAINTS, true, constraints.to_der()?)?);
    Ok(extensions)
}

/// The extensions of a leaf that signs for one purpose.
pub(crate) fn leaf_extensions(purpose: ObjectIdentifier, critical: bool) -> Result<Vec<Extension>> {
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    Ok(vec![
        extension(ID_CE_KEY_USAGE, true, usage.to_der()?)?,
        extended_key_usage(purpose, critical)?,
    ])
}

/// The subject alternative name; critical, since the subject of such a leaf is empty. Fulcio writes one name;
/// more than one is a fault.
pub(crate) fn subject_alternative_name(subjects: &[SubjectName]) -> Result<Extension> {
    let name = |subject: &SubjectName| -> Result<GeneralName> {
        Ok(match subject {
            SubjectName::Email(email) => GeneralName::Rfc822Name(Ia5String::new(email)?),
            SubjectName::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
            SubjectName::Username(name) => GeneralName::OtherName(OtherName {
                type_id: FULCIO_USERNAME,
                value: Any::encode_from(&Utf8StringRef::new(name)?)?,
            }),
        })
    };
    let names = subjects.iter().map(name).collect::<Result<Vec<_>>>()?;
    extension(ID_CE_SUBJECT_ALT_NAME, true, names.to_der()?)
}

/// The DER of a UTF-8 string, as Fulcio's newer extensions hold it.
pub(crate) fn utf8_string(text: &str) -> Result<Vec<u8>> {
    Ok(Utf8StringRef::new(text)?.to_der()?)
}

pub(crate) fn extension(id: ObjectIdentifier, critical: bool, der: Vec<u8>) -> Result<Extension> {
    Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(der)? })
}

fn extended_key_usage(purpose: ObjectIdentifier, critical: bool) -> Result<Extension> {
    extension(ID_CE_EXT_KEY_USAGE, critical, ExtendedKeyUsage(vec![purpose]).to_der()?)
}

fn name(common_name: Option<&str>) -> Result<Name> {
    match common_name {
        None => Ok(Name::default()),
        Some(common_name) => Ok(Name::from_str(&format!("CN={common_name},O=sigstore.test"))?),
    }
}

fn tbs(
    issuer: &Name,
    spki: &[u8],
    issuer_key: &SigningKey,
    profile: Profile<'_>,
) -> Result<TbsCertificate> {
    let subject_public_key_info = SubjectPublicKeyInfoOwned::from_der(spki)?;
    let key_identifier = |spki: &[u8]| -> Result<OctetString> {
        Ok(OctetString::new(sha256(spki).get(..20).unwrap_or_default())?)
    };
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(key_identifier(issuer_key.spki())?),
        ..Default::default()
    };
    let subject = SubjectKeyIdentifier(key_identifier(spki)?);
    let mut own = profile.extensions.into_iter();
    // Key usage and purpose first, then the key identifiers, then the rest, as Fulcio orders them.
    let mut extensions: Vec<_> = own.by_ref().take(2).collect();
    extensions.push(extension(ID_CE_SUBJECT_KEY_IDENTIFIER, false, subject.to_der()?)?);
    extensions.push(extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, authority.to_der()?)?);
    extensions.extend(own);
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: serial_number()?,
        signature: issuer_key.signature_algorithm(),
        issuer: issuer.clone(),
        validity: Validity {
            not_before: time(profile.not_before)?,
            not_after: time(profile.not_after)?,
        },
        subject: name(profile.common_name)?,
        subject_public_key_info,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    })
}

fn sign(tbs: TbsCertificate, key: &SigningKey) -> Result<Certificate> {
    let signature = key.sign(&tbs.to_der()?)?;
    Ok(Certificate {
        signature_algorithm: tbs.signature.clone(),
        tbs_certificate: tbs,
        signature: BitString::from_bytes(&signature)?,
    })
}

/// A positive serial number of twenty bytes at most (RFC 5280 section 4.1.2.2).
fn serial_number() -> Result<SerialNumber> {
    let mut bytes: [u8; 18] = random()?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::new(&bytes)?)
}

/// UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5).
fn time(seconds: u64) -> Result<Time> {
    let date = date(seconds)?;
    Ok(match UtcTime::from_date_time(date) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_date_time(date)),
    })
}
