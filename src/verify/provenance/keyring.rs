//! Keyrings: binary, armored, or GnuPG's keybox.

use std::io::Cursor;

use jiff::Timestamp;
use pgp::composed::{PublicOrSecret, SignedPublicKey};
use pgp::packet::Signature;
use pgp::types::KeyDetails as _;

use super::keys::{Judged, judge};
use super::{bad, keybox, packets};
use crate::error::{Error, Reason, Result};

/// The largest keyring that is read, in bytes.
pub const MAX_KEYRING_BYTES: usize = 64 << 20;
/// Keys that are read of a ring, at most.
const MAX_KEYS: usize = 100_000;
const ARMOR: &str = "-----BEGIN PGP ";

/// Public keys that may have signed.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

impl Keyring {
    /// Reads a ring of whatever form. Keys that are not understood (of old versions, of other algorithms) are passed
    /// over, as there are some in many rings.
    ///
    /// # Errors
    /// Usage: too large, damaged, or without any key.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let cannot = |cause: String| Error::usage("cannot read keyring").cause(cause);
        if bytes.len() > MAX_KEYRING_BYTES {
            return Err(cannot(format!("it is larger than {MAX_KEYRING_BYTES} bytes")));
        }
        let mut keys = Vec::new();
        if keybox::is_keybox(bytes) {
            for key in keybox::keys(bytes).map_err(cannot)? {
                binary(key, &mut keys);
            }
        } else if let Some(text) = armored(bytes) {
            for block in text.split(ARMOR).skip(1) {
                let block = format!("{ARMOR}{block}");
                if let Ok((found, _)) = PublicOrSecret::from_armor_many(Cursor::new(block)) {
                    keep(found, &mut keys);
                }
            }
        } else {
            binary(bytes, &mut keys);
        }
        match keys.len() {
            0 => Err(cannot("there is no OpenPGP key in it".to_owned())),
            found if found > MAX_KEYS => Err(cannot(format!("it holds more than {MAX_KEYS} keys"))),
            _ => Ok(Self { keys }),
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The fingerprints of the keys, in upper-case hex, with the user ids that they claim.
    pub(in crate::verify) fn names(&self) -> Vec<(String, Vec<String>)> {
        let users = |key: &SignedPublicKey| {
            key.details
                .users
                .iter()
                .filter_map(|user| user.id.as_str().map(str::to_owned))
                .collect()
        };
        let fingerprint = |key: &SignedPublicKey| format!("{:X}", key.primary_key.fingerprint());
        self.keys.iter().map(|key| (fingerprint(key), users(key))).collect()
    }

    /// The key that made `signature` over `text`, if it could sign at that time.
    pub(super) fn signer_of(
        &self,
        signature: &Signature,
        text: &[u8],
        signed_at: Timestamp,
    ) -> Result<(Judged, &SignedPublicKey)> {
        let mut refusal = None;
        for key in &self.keys {
            match judge(key, signature, text, signed_at) {
                None => {}
                Some(Ok(judged)) => return Ok((judged, key)),
                Some(Err(cause)) => refusal = Some(cause),
            }
        }
        match refusal {
            Some(cause) => Err(bad(cause)),
            None => {
                Err(Error::refused(Reason::WrongSigner, "provenance is signed by an unknown key")
                    .expected_found(
                        match self.keys.len() {
                            1 => "the key of the keyring".to_owned(),
                            count => format!("one of the {count} keys of the keyring"),
                        },
                        super::keys::issuer(signature),
                    ))
            }
        }
    }
}

fn armored(bytes: &[u8]) -> Option<String> {
    let start = bytes.trim_ascii_start();
    // A ring in armor is text; what comes before the first block is a comment.
    let head = start.get(..start.len().min(4096)).unwrap_or_default();
    let found = head.windows(ARMOR.len()).any(|part| part == ARMOR.as_bytes());
    let is_text = start.first().is_some_and(|byte| *byte < 0x80);
    (found && is_text).then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn binary(bytes: &[u8], keys: &mut Vec<SignedPublicKey>) {
    if let Ok(found) = PublicOrSecret::from_bytes_many(packets::without_trust(bytes).as_slice()) {
        keep(found, keys);
    }
}

fn keep(
    found: impl Iterator<Item = pgp::errors::Result<PublicOrSecret>>,
    keys: &mut Vec<SignedPublicKey>,
) {
    // One more than may be, so that it can be told. What cannot be parsed is passed over, and is an end of the
    // iterator at last.
    for key in found.take(MAX_KEYS + 1).flatten() {
        keys.push(match key {
            PublicOrSecret::Public(key) => key,
            PublicOrSecret::Secret(key) => key.to_public_key(),
        });
    }
}
