//! RFC 3161 timestamps: proof that a signature existed at a time.
//!
//! Only what is needed to know that the answer is to our question is checked here: status, imprint and
//! nonce (RFC 3161 section 2.4.2). Whether the authority may be trusted is the verifier's question.

use cms::signed_data::SignedData;
use const_oid::db::rfc5911::ID_SIGNED_DATA;
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::{Int, OctetString, Uint};
use der::{Decode, Encode};
use jiff::Timestamp;
use rand_core::{OsRng, RngCore};
use sha2::{Digest as _, Sha256};
use sigstore_types::TimestampToken;
use tokio::time::Instant;
use url::Url;
use x509_cert::spki::AlgorithmIdentifier;
use x509_tsp::{MessageImprint, TimeStampReq, TimeStampResp, TspVersion, TstInfo};

use super::service::{Call, Service};
use crate::error::Result;

/// The longest answer that is read, in bytes; real ones take 1 to 6 KiB.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// id-ct-TSTInfo (RFC 3161 section 2.4.2).
const TST_INFO: const_oid::ObjectIdentifier =
    const_oid::ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// A timestamp over a signature.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    /// The whole answer (`TimeStampResp`), as bundles carry it.
    pub(super) token: TimestampToken,
    /// The time that it says, unverified.
    pub(super) time: Timestamp,
}

/// Asks the authority at `url` (the full URL of its endpoint) to timestamp `signature`.
///
/// # Errors
/// Undecided: not reached, not granted, or an answer to another question.
pub(super) async fn stamp(
    service: &Service<'_>,
    url: &Url,
    signature: &[u8],
    deadline: Instant,
) -> Result<Stamp> {
    let query = Query::new(signature).map_err(|why| service.malformed(url, why))?;
    let answer = service
        .send(Call {
            body: Some((query.der.clone(), "application/timestamp-query")),
            accept: "application/timestamp-reply",
            deadline: Some(deadline),
            ..Call::new(url, MAX_ANSWER_BYTES)
        })
        .await?;
    // RFC 3161 over HTTP says 200; the authority of the Sigstore project says 201.
    if !matches!(answer.status, 200 | 201) {
        return Err(service.refused(&answer));
    }
    query.accept(&answer.body).map_err(|why| service.malformed(url, why))
}

/// What was asked, kept to compare the answer with.
struct Query {
    imprint: MessageImprint,
    nonce: Int,
    der: Vec<u8>,
}

impl Query {
    fn new(signature: &[u8]) -> Result<Self, String> {
        let mut nonce = [0; 8];
        OsRng.try_fill_bytes(&mut nonce).map_err(|_| "no randomness for a nonce".to_owned())?;
        Self::with_nonce(signature, u64::from_be_bytes(nonce))
    }

    fn with_nonce(signature: &[u8], nonce: u64) -> Result<Self, String> {
        let encode = || -> der::Result<Self> {
            let imprint = MessageImprint {
                hash_algorithm: AlgorithmIdentifier {
                    oid: ID_SHA_256,
                    parameters: Some(der::Any::null()),
                },
                hashed_message: OctetString::new(Sha256::digest(signature).to_vec())?,
            };
            let nonce = Int::from(Uint::new(&nonce.to_be_bytes())?);
            let request = TimeStampReq {
                version: TspVersion::V1,
                message_imprint: imprint.clone(),
                req_policy: None,
                nonce: Some(nonce.clone()),
                cert_req: true,
                extensions: None,
            };
            Ok(Self { imprint, nonce, der: request.to_der()? })
        };
        encode().map_err(|error| error.to_string())
    }

    fn accept(&self, answer: &[u8]) -> Result<Stamp, String> {
        let unreadable = |error: der::Error| format!("its answer cannot be read: {error}");
        let response = TimeStampResp::from_der(answer).map_err(unreadable)?;
        // accepted and grantedWithMods
        if response.status.status as u8 > 1 {
            let words: Vec<&str> =
                response.status.status_string.iter().flatten().map(|text| text.as_str()).collect();
            return Err(format!("it did not grant the timestamp: {}", words.join(", ")));
        }
        let token = response.time_stamp_token.ok_or("its answer holds no timestamp")?;
        if token.content_type != ID_SIGNED_DATA {
            return Err("its timestamp is not signed data".to_owned());
        }
        let signed: SignedData = token.content.decode_as().map_err(unreadable)?;
        if signed.encap_content_info.econtent_type != TST_INFO {
            return Err("its answer signs something else than a timestamp".to_owned());
        }
        let content = signed.encap_content_info.econtent.ok_or("its timestamp is empty")?;
        let info: TstInfo = content
            .decode_as::<OctetString>()
            .and_then(|content| TstInfo::from_der(content.as_bytes()))
            .map_err(unreadable)?;
        if info.message_imprint.hash_algorithm.oid != self.imprint.hash_algorithm.oid
            || info.message_imprint.hashed_message != self.imprint.hashed_message
        {
            return Err("its timestamp is for another signature".to_owned());
        }
        if info.nonce.as_ref() != Some(&self.nonce) {
            return Err("its timestamp answers another request (the nonce differs)".to_owned());
        }
        let time = Timestamp::try_from(info.gen_time.to_system_time())
            .map_err(|error| format!("its time cannot be read: {error}"))?;
        Ok(Stamp { token: TimestampToken::new(answer.to_vec()), time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::testing::Answers;

    #[test]
    fn a_nonce_is_positive_whatever_its_bits() {
        for nonce in [0, 1, 0x80, u64::MAX, 1 << 63, 0x00ff_0000_0000_0000] {
            let query = Query::with_nonce(b"signature", nonce).unwrap();
            let request = TimeStampReq::from_der(&query.der).unwrap();
            let bytes = request.nonce.unwrap();
            assert!(bytes.as_bytes().first().is_some_and(|first| *first < 0x80));
            query.accept(&Answers::default().stamp(&query.der)).unwrap();
        }
    }

    #[test]
    fn every_query_has_a_nonce_of_its_own() {
        assert_ne!(Query::new(b"s").unwrap().nonce, Query::new(b"s").unwrap().nonce);
    }

    #[test]
    fn broken_answers_are_errors() {
        let query = Query::new(b"signature").unwrap();
        let answer = Answers::default().stamp(&query.der);
        for end in 0..answer.len() {
            assert!(query.accept(&answer[..end]).is_err());
        }
        let mut longer = answer.clone();
        longer.push(0);
        assert!(query.accept(&longer).is_err());
        // Whatever a changed byte makes of it, it is an answer or an error.
        for at in 0..answer.len() {
            for mask in [1, 0x80, 0xff] {
                let mut changed = answer.clone();
                changed[at] ^= mask;
                let _ = query.accept(&changed);
            }
        }
    }
}
