//! What an entry of a log of version 1 says: of which artifact it is, and who signed. Rekor's type `helm` (0.0.1) holds
//! the signature of a provenance file and the key that it verifies with, but not the file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sigstore_rekor::RekorEntryBody;
use sigstore_types::{HashAlgorithm, KindVersion};

use super::claimed::ClaimedSigner;
use super::logged::UnverifiedEntry;
use super::provenance::{Keyring, VerifiedProvenance, signature_packets};
use super::public_key::PublicKey;
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};

/// What an entry says. The log has seen that the signature in it fits the key in it; that this is anybody's key is its
/// maker's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryContent {
    /// The type (`helm`, `dsse`, …).
    pub kind: String,
    /// The version of the type.
    pub version: String,
    /// The artifact, where the entry names it: a `dsse` entry names only its envelope.
    pub artifact: Option<Digest>,
    /// Who signed.
    pub signers: Vec<EntrySigner>,
}

/// Whose signature is in an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntrySigner {
    /// The name in the certificate, or a user id of the key.
    pub identity: Option<String>,
    /// The OIDC issuer in the certificate.
    pub issuer: Option<String>,
    /// The fingerprint of an OpenPGP key, or the digest of another.
    pub key: Option<String>,
}

/// An entry of the type `helm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmEntry {
    chart: Digest,
    signature: Vec<u8>,
    keys: Vec<(String, Vec<String>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    #[serde(rename = "apiVersion")]
    _version: String,
    #[serde(rename = "kind")]
    _kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    chart: Chart,
    public_key: Content,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chart {
    hash: Hash,
    provenance: Provenance,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provenance {
    signature: Content,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    kind: String,
    api_version: String,
}

impl HelmEntry {
    /// Reads the content of an entry of this type; nothing for one of another.
    ///
    /// # Errors
    /// Refused (`malformed`), when it is of this type and cannot be read.
    pub fn read(entry: &UnverifiedEntry) -> Result<Option<Self>> {
        let body = entry.content().as_bytes();
        match serde_json::from_slice::<Kind>(body) {
            Ok(named) if (named.kind.as_str(), named.api_version.as_str()) == ("helm", "0.0.1") => {
                Self::parse(body).map(Some)
            }
            Ok(_) => Ok(None),
            Err(_) => Err(unreadable()),
        }
    }

    fn parse(body: &[u8]) -> Result<Self> {
        let Body { spec: Spec { chart, public_key }, .. } =
            serde_json::from_slice(body).map_err(|_| unreadable())?;
        let decoded = |text: &str| BASE64.decode(text).map_err(|_| unreadable());
        let signature = decoded(&chart.provenance.signature.content)?;
        let signature = signature_packets(&signature).ok_or_else(unreadable)?;
        let keys = Keyring::parse(&decoded(&public_key.content)?).map_err(|_| unreadable())?;
        let chart = Digest::parse(&format!("{}:{}", chart.hash.algorithm, chart.hash.value))
            .map_err(|_| unreadable())?;
        Ok(Self { chart, signature, keys: keys.names() })
    }

    /// Whether it is about this very provenance: of the same chart, with its signature, and with the key that was found
    /// to have made it. The text of the provenance is in no entry, so that this says no less than the entry can.
    ///
    /// # Errors
    /// Refused: `wrong-chart` for another chart, `bad-signature` for another signature or key.
    pub fn check_is_of(&self, provenance: &VerifiedProvenance) -> Result<()> {
        if self.chart != provenance.digest {
            return Err(Error::refused(Reason::WrongChart, "log entry is of another chart")
                .expected_found(provenance.digest.to_string(), self.chart.to_string()));
        }
        if self.signature != provenance.signature {
            return Err(Error::refused(
                Reason::BadSignature,
                "log entry is of another provenance of this chart",
            ));
        }
        match self.keys.iter().any(|(fingerprint, _)| *fingerprint == provenance.fingerprint) {
            true => Ok(()),
            false => Err(Error::refused(Reason::BadSignature, "log entry is by another key")
                .expected_found(
                    provenance.fingerprint.clone(),
                    self.keys.first().map_or("no key", |(fingerprint, _)| fingerprint.as_str()),
                )),
        }
    }
}

impl EntryContent {
    /// Reads what an entry says; of types that are not known here nothing but their name.
    ///
    /// # Errors
    /// Refused (`malformed`), when it is no entry.
    pub fn read(entry: &UnverifiedEntry) -> Result<Self> {
        let body = entry.content();
        let Kind { kind, api_version } =
            serde_json::from_slice(body.as_bytes()).map_err(|_| unreadable())?;
        let known = |kind: KindVersion| RekorEntryBody::parse(body, kind).map_err(|_| unreadable());
        let (artifact, signers): (_, Vec<EntrySigner>) = match (kind.as_str(), api_version.as_str())
        {
            ("helm", "0.0.1") => {
                let HelmEntry { chart, keys, .. } = HelmEntry::parse(body.as_bytes())?;
                let signer = |(fingerprint, users): (String, Vec<String>)| {
                    let of = move |identity| EntrySigner {
                        identity,
                        issuer: None,
                        key: Some(fingerprint.clone()),
                    };
                    match users.is_empty() {
                        true => vec![of(None)],
                        false => users.into_iter().map(|user| of(Some(user))).collect(),
                    }
                };
                (Some(chart), keys.into_iter().flat_map(signer).collect())
            }
            ("hashedrekord", "0.0.1") => match known(KindVersion::HashedRekordV001)? {
                RekorEntryBody::HashedRekordV001(body) => {
                    let hash = &body.spec.data.hash;
                    let artifact = match hash.algorithm {
                        HashAlgorithm::Sha2256 => {
                            Digest::parse(&format!("sha256:{}", hash.value.as_str())).ok()
                        }
                        _ => None,
                    };
                    let key = &body.spec.signature.public_key.content;
                    (artifact, vec![EntrySigner::of_pem(key.as_bytes())])
                }
                _ => return Err(unreadable()),
            },
            ("dsse", "0.0.1") => match known(KindVersion::DsseV001)? {
                RekorEntryBody::DsseV001(body) => {
                    let signatures = body.spec.signatures.iter();
                    let signers =
                        signatures.map(|one| EntrySigner::of_pem(one.verifier.as_bytes()));
                    (None, signers.collect())
                }
                _ => return Err(unreadable()),
            },
            _ => (None, Vec::new()),
        };
        let short = |text: String| text.chars().take(64).collect();
        Ok(Self { kind: short(kind), version: short(api_version), artifact, signers })
    }

    /// Whether somebody with this e-mail address signed, as far as the entry tells.
    pub fn is_by(&self, email: &str) -> Option<bool> {
        let mut names = self.signers.iter().filter_map(|one| one.identity.as_deref()).peekable();
        names.peek()?;
        Some(names.any(|name| address_of(name).eq_ignore_ascii_case(email)))
    }
}

/// The address in `Jane <jane@example.com>`, or all of it.
fn address_of(name: &str) -> &str {
    let address = name.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>'));
    address.unwrap_or(name)
}

impl EntrySigner {
    /// The certificate or the key in PEM.
    fn of_pem(pem: &[u8]) -> Self {
        let text = String::from_utf8_lossy(pem);
        let ClaimedSigner { identity, issuer, .. } = ClaimedSigner::of_pem(&text);
        let key = PublicKey::from_pem(pem).ok().map(|key| key.id().to_string());
        Self { identity, issuer, key }
    }
}

fn unreadable() -> Error {
    Error::refused(Reason::Malformed, "log entry cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_stands_in_the_brackets() {
        assert_eq!(address_of("Jane (x) <jane@example.com>"), "jane@example.com");
        assert_eq!(address_of("jane@example.com"), "jane@example.com");
        assert_eq!(address_of("<a> b"), "<a> b");
    }

    #[test]
    fn what_is_no_entry_of_the_type_is_not_read_as_one() {
        let hash = "0".repeat(64);
        for body in [
            String::new(),
            "{}".to_owned(),
            r#"{"kind":"helm","apiVersion":"0.0.1","spec":{}}"#.to_owned(),
            // A provenance in place of its signature: a proposal, and no entry.
            format!(
                r#"{{"kind":"helm","apiVersion":"0.0.1","spec":{{"publicKey":{{"content":""}},"chart":{{"hash":{{"algorithm":"sha256","value":"{hash}"}},"provenance":{{"content":""}}}}}}}}"#
            ),
            format!(
                r#"{{"kind":"helm","apiVersion":"0.0.1","spec":{{"publicKey":{{"content":"!"}},"chart":{{"hash":{{"algorithm":"sha1","value":"{hash}"}},"provenance":{{"signature":{{"content":"!"}}}}}}}}}}"#
            ),
        ] {
            assert!(HelmEntry::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
