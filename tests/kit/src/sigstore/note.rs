//! Checkpoints as signed notes (C2SP signed-note and tlog-checkpoint).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::Result;
use super::keys::{KeyKind, SigningKey, sha256};
use super::merkle::Hash;

/// The identity under which a log signs its checkpoints.
pub(crate) struct Noted {
    /// The name on the signature line, and in Ed25519 key identifiers.
    pub(crate) name: String,
    pub(crate) key: SigningKey,
}

impl Noted {
    /// The full key identifier; its first four bytes are the hint on the signature line.
    ///
    /// Ed25519 keys follow the note specification, which hashes name, algorithm and key. ECDSA keys are older
    /// than it in Sigstore and are named by the hash of their SubjectPublicKeyInfo.
    pub(crate) fn key_id(&self) -> [u8; 32] {
        if self.key.kind() == KeyKind::Ed25519 {
            let mut content = self.name.clone().into_bytes();
            content.extend_from_slice(&[b'\n', 1]);
            content.extend_from_slice(self.key.public_bits());
            sha256(&content)
        } else {
            self.key.key_id()
        }
    }

    /// The signed checkpoint of a tree.
    pub(crate) fn checkpoint(&self, origin: &str, size: usize, root: &Hash) -> Result<String> {
        let text = format!("{origin}\n{size}\n{}\n", BASE64.encode(root));
        let [a, b, c, d, ..] = self.key_id();
        let mut signature = vec![a, b, c, d];
        signature.extend(self.key.sign(text.as_bytes())?);
        Ok(format!("{text}\n\u{2014} {} {}\n", self.name, BASE64.encode(signature)))
    }
}

/// The text of one checkpoint with the signature of another.
pub(crate) fn with_signature_of(text: &str, other: &str) -> String {
    let body = text.split_once("\n\n").map_or(text, |(body, _)| body);
    let signature = other.split_once("\n\n").map_or("", |(_, signature)| signature);
    format!("{body}\n\n{signature}")
}

#[cfg(test)]
mod tests {
    use sigstore_crypto::Checkpoint;

    use super::*;
    use crate::sigstore::keys::PublicKey;

    #[test]
    fn a_checkpoint_parses_and_its_signature_covers_the_text() {
        for kind in [KeyKind::P256, KeyKind::Ed25519] {
            let log = Noted { name: "localhost".into(), key: SigningKey::generate(kind).unwrap() };
            let text = log.checkpoint("localhost", 7, &[9; 32]).unwrap();
            let checkpoint = Checkpoint::from_text(&text).unwrap();
            assert_eq!(checkpoint.tree_size(), 7);
            assert_eq!(checkpoint.root_hash().as_bytes(), &[9; 32]);
            let signature = &checkpoint.signatures()[0];
            assert_eq!(signature.key_id.as_bytes(), &log.key_id()[..4]);
            PublicKey::from_spki(log.key.spki())
                .unwrap()
                .verify(checkpoint.signed_data().as_ref(), signature.signature.as_bytes())
                .unwrap();
        }
    }
}
