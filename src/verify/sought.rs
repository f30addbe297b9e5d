//! The log entry of a signature that came without one: what it holds, and by which name a log has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigstore_merkle::hash_leaf;
use sigstore_rekor::RekorEntryBody;
use sigstore_types::{
    DerCertificate, HashAlgorithm, KindVersion, SignatureBytes, SignatureContent,
};

use super::bundle::Bundle;
use super::logged::UnverifiedEntry;
use super::public_key::PublicKey;
use crate::chart::Digest;

/// The entry in which a log of version 1 has a signature over bytes (`hashedrekord` 0.0.1; Rekor,
/// `pkg/types/hashedrekord/v0.0.1`). Finding one proves nothing: it is judged beside the signature by
/// [`super::Verifier`], as one that lay there from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoughtEntry {
    digest: Digest,
    signature: SignatureBytes,
    by: By,
}

/// What the signature verifies with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    Certificate(DerCertificate),
    Key(PublicKey),
}

impl SoughtEntry {
    /// That of a bundle with a certificate over plain bytes; nothing of another.
    pub(super) fn by_certificate(bundle: &Bundle) -> Option<Self> {
        let leaf = bundle.inner().signing_certificate()?.clone();
        Self::of(bundle, By::Certificate(leaf))
    }

    /// The same where `key` signed.
    pub(super) fn by_key(bundle: &Bundle, key: &PublicKey) -> Option<Self> {
        Self::of(bundle, By::Key(key.clone()))
    }

    fn of(bundle: &Bundle, by: By) -> Option<Self> {
        let digest = Digest::of(bundle.message()?);
        match &bundle.inner().content {
            SignatureContent::MessageSignature(message) => {
                Some(Self { digest, signature: message.signature.clone(), by })
            }
            _ => None,
        }
    }

    /// The digest of what is signed, which the index of a log leads from.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether a key signed, and no identity.
    pub fn is_by_key(&self) -> bool {
        matches!(self.by, By::Key(_))
    }

    /// The identifier by which a log has it in whichever of its trees: the hash of the content, which follows
    /// from the signature (RFC 9162, section 2.1.1).
    pub fn uuid(&self) -> String {
        let pem = match &self.by {
            By::Certificate(leaf) => {
                let block = pem::Pem::new("CERTIFICATE", leaf.as_bytes());
                let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
                pem::encode_config(&block, lines)
            }
            By::Key(key) => key.to_pem(),
        };
        let (hash, content) = (self.digest.hex(), BASE64.encode(self.signature.as_bytes()));
        let key = BASE64.encode(pem);
        // Canonical JSON (RFC 8785): the members are in their order, and none holds anything that is escaped.
        let body = format!(
            r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{hash}"}}}},"signature":{{"content":"{content}","publicKey":{{"content":"{key}"}}}}}}}}"#
        );
        hash_leaf(body.as_bytes()).to_hex()
    }

    /// Whether `entry` is about these bytes, this signature and this certificate or key, compared by what they are
    /// and not by how their PEM is written.
    pub fn is(&self, entry: &UnverifiedEntry) -> bool {
        let kind = KindVersion::HashedRekordV001;
        let Ok(RekorEntryBody::HashedRekordV001(body)) =
            RekorEntryBody::parse(entry.content(), kind)
        else {
            return false;
        };
        let (hash, logged) = (&body.spec.data.hash, &body.spec.signature);
        let pem = logged.public_key.content.as_bytes();
        let same_signer = match &self.by {
            By::Certificate(ours) => std::str::from_utf8(pem)
                .is_ok_and(|pem| DerCertificate::from_pem(pem).is_ok_and(|theirs| theirs == *ours)),
            By::Key(ours) => PublicKey::from_pem(pem).is_ok_and(|theirs| theirs == *ours),
        };
        entry.is_of_kind(kind)
            && hash.algorithm == HashAlgorithm::Sha2256
            && hash.value.as_str() == self.digest.hex()
            && logged.content == self.signature
            && same_signer
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::legacy::LegacySignature;
    use super::*;

    fn pem(der: &[u8], ending: pem::LineEnding) -> String {
        let block = pem::Pem::new("CERTIFICATE", der);
        pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(ending))
    }

    fn sought() -> SoughtEntry {
        let pieces = LegacySignature {
            payload: b"chart".to_vec(),
            signature: BASE64.encode([7; 70]),
            certificate: Some(pem(&[1; 99], pem::LineEnding::CRLF)),
            log: None,
            timestamp: None,
        };
        SoughtEntry::by_certificate(&pieces.to_bundle_over_file().unwrap()).unwrap()
    }

    /// The content of an entry of it, with its PEM in lines that end so.
    fn body(ending: pem::LineEnding) -> Value {
        json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": Digest::of(b"chart").hex()}},
                "signature": {
                    "content": BASE64.encode([7; 70]),
                    "publicKey": {"content": BASE64.encode(pem(&[1; 99], ending))},
                },
            },
        })
    }

    fn entry(body: &Value) -> UnverifiedEntry {
        let text = body.to_string();
        let uuid = hash_leaf(text.as_bytes()).to_hex();
        let entry = json!({
            "body": BASE64.encode(text), "integratedTime": 1, "logID": "00", "logIndex": 1,
        });
        UnverifiedEntry::parse(json!({ uuid: entry }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn its_name_is_that_of_the_entry_that_a_log_makes_of_it() {
        let made = entry(&body(pem::LineEnding::LF));
        assert_eq!(sought().uuid(), made.uuid());
        assert!(sought().is(&made));
    }

    #[test]
    fn it_is_known_by_hash_signature_and_certificate_however_the_pem_is_written() {
        let other = entry(&body(pem::LineEnding::CRLF));
        assert_ne!(sought().uuid(), other.uuid());
        assert!(sought().is(&other));
        let changed = |pointer: &str, value: String| {
            let mut body = body(pem::LineEnding::LF);
            *body.pointer_mut(pointer).unwrap() = json!(value);
            entry(&body)
        };
        let of_another = BASE64.encode(pem(&[2; 99], pem::LineEnding::LF));
        for (pointer, value) in [
            ("/kind", "dsse".to_owned()),
            ("/apiVersion", "0.0.2".to_owned()),
            ("/spec/data/hash/value", Digest::of(b"else").hex()),
            ("/spec/data/hash/algorithm", "sha512".to_owned()),
            ("/spec/signature/content", BASE64.encode([8; 70])),
            ("/spec/signature/publicKey/content", of_another),
            ("/spec/signature/publicKey/content", BASE64.encode("no PEM")),
        ] {
            assert!(!sought().is(&changed(pointer, value)), "{pointer}");
        }
    }
}
