//! The certificate transparency log (RFC 6962): signed timestamps over precertificates.
//!
//! Fulcio of this instance asks it directly; a real Fulcio posts to `/ct/v1/add-pre-chain`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc6962::{CT_PRECERT_POISON, CT_PRECERT_SCTS};
use der::asn1::{Null, OctetString};
use der::{Decode, Encode};
use serde::Deserialize;
use serde_json::json;
use x509_cert::ext::Extension;
use x509_cert::{Certificate, TbsCertificate};

use super::certificate::extension;
use super::error::{Error, Result};
use super::http::{Call, Reply};
use super::keys::{KeyKind, PublicKey, SigningKey, sha256};

/// A log with its key.
pub(crate) struct CtLog {
    pub(crate) key: SigningKey,
}

/// One signed certificate timestamp.
pub(crate) struct Sct {
    log_id: [u8; 32],
    milliseconds: u64,
    signature: Vec<u8>,
}

impl CtLog {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { key: SigningKey::generate(KeyKind::P256)? })
    }

    /// Signs a timestamp over a precertificate, given without poison, and the key that will sign the certificate
    /// (RFC 6962 section 3.2).
    pub(crate) fn sign(
        &self,
        tbs: &TbsCertificate,
        issuer_spki: &[u8],
        milliseconds: u64,
    ) -> Result<Sct> {
        let tbs = tbs.to_der()?;
        let mut content = vec![0, 0]; // version 1, certificate timestamp
        content.extend(milliseconds.to_be_bytes());
        content.extend([0, 1]); // an entry that is a precertificate
        content.extend(sha256(issuer_spki));
        content.extend(length::<3>(&tbs)?);
        content.extend(&tbs);
        content.extend([0, 0]); // no extensions
        let signature = self.key.sign(&content)?;
        Ok(Sct { log_id: self.key.key_id(), milliseconds, signature })
    }

    pub(crate) fn answer(&self, call: &Call, milliseconds: u64) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/healthz") => Reply::text(200, "ok"),
            ("POST", "/ct/v1/add-pre-chain") => match self.add(call, milliseconds) {
                Ok(reply) => reply,
                Err(error) => Reply::text(400, error.to_string()),
            },
            _ => Reply::text(404, "no such page"),
        }
    }

    fn add(&self, call: &Call, milliseconds: u64) -> Result<Reply> {
        #[derive(Deserialize)]
        struct Chain {
            chain: Vec<String>,
        }
        let chain: Chain = serde_json::from_slice(&call.body)?;
        let [precertificate, issuer, ..] = chain.chain.as_slice() else {
            return Err(Error::new("the chain is a precertificate and its issuer at least"));
        };
        let precertificate = Certificate::from_der(&BASE64.decode(precertificate)?)?;
        let issuer = Certificate::from_der(&BASE64.decode(issuer)?)?;
        let issuer_spki = issuer.tbs_certificate.subject_public_key_info.to_der()?;
        let tbs = precertificate.tbs_certificate;
        PublicKey::from_spki(&issuer_spki)?
            .verify(&tbs.to_der()?, precertificate.signature.raw_bytes())?;
        let clean = without(&tbs, CT_PRECERT_POISON);
        if clean == tbs {
            return Err(Error::new("the certificate is not a precertificate"));
        }
        let sct = self.sign(&clean, &issuer_spki, milliseconds)?;
        Ok(Reply::json(
            200,
            &json!({
                "sct_version": 0,
                "id": BASE64.encode(sct.log_id),
                "timestamp": sct.milliseconds,
                "extensions": "",
                "signature": BASE64.encode(sct.digitally_signed()?),
            }),
        ))
    }
}

impl Sct {
    /// The certificate extension that embeds this timestamp alone (RFC 6962 section 3.3).
    pub(crate) fn extension(&self) -> Result<Extension> {
        let mut sct = vec![0]; // version 1
        sct.extend(self.log_id);
        sct.extend(self.milliseconds.to_be_bytes());
        sct.extend([0, 0]); // no extensions
        sct.extend(self.digitally_signed()?);
        let mut item = length::<2>(&sct)?.to_vec();
        item.extend(sct);
        let mut list = length::<2>(&item)?.to_vec();
        list.extend(item);
        extension(CT_PRECERT_SCTS, false, OctetString::new(list)?.to_der()?)
    }

    /// ECDSA with SHA-256 as TLS 1.2 writes it (RFC 5246 section 4.7).
    fn digitally_signed(&self) -> Result<Vec<u8>> {
        let mut signed = vec![4, 3];
        signed.extend(length::<2>(&self.signature)?);
        signed.extend(&self.signature);
        Ok(signed)
    }
}

/// The critical extension that keeps a precertificate from being used.
pub(crate) fn poison() -> Result<Extension> {
    extension(CT_PRECERT_POISON, true, Null.to_der()?)
}

/// The same content without one extension; the order of the others stays.
pub(crate) fn without(tbs: &TbsCertificate, id: ObjectIdentifier) -> TbsCertificate {
    let mut tbs = tbs.clone();
    if let Some(extensions) = &mut tbs.extensions {
        extensions.retain(|extension| extension.extn_id != id);
    }
    tbs
}

/// The length of `bytes` in so many bytes, highest first.
fn length<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    let length = (bytes.len() as u64).to_be_bytes();
    length
        .last_chunk()
        .copied()
        .filter(|_| bytes.len() < 1 << (8 * N))
        .ok_or_else(|| Error::new("too long for its length field"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_fields_refuse_what_does_not_fit() {
        assert_eq!(length::<2>(&[0; 300]).unwrap(), [1, 44]);
        assert!(length::<2>(&[0; 65_536]).is_err());
    }
}
