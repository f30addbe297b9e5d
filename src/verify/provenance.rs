//! Helm's own provenance: a clear-signed file (RFC 9580, section 7) whose `files:` names the chart's digest.
//!
//! The `pgp` crate parses and does the arithmetic; on its own it accepts revoked and expired keys, weak hashes and
//! keys of nobody. What counts is decided here and in `keys`: one clear-signed block, one signature, nothing around
//! them; only the text that was verified is parsed.
//!
//! This is no second path to a [`super::Verified`]: a provenance file says nothing of Sigstore, and never makes a
//! chart that is unsigned there signed.

mod keybox;
mod keyring;
mod keys;
mod mode;
mod packets;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use jiff::Timestamp;
use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{ArmorOptions, CleartextSignedMessage, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion, SubpacketData};
use serde_json::Value;

pub use self::keyring::{Keyring, MAX_KEYRING_BYTES};
pub use self::mode::ProvMode;
use super::coverage::NamedVersion;
use crate::chart::{ChartMetadata, Digest};
use crate::error::{Error, Reason, Result};

/// The largest provenance file that is read, in bytes; it holds Chart.yaml and a signature.
pub const MAX_PROVENANCE_BYTES: usize = 2 << 20;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";
/// What Helm puts between Chart.yaml and the digests.
const SEPARATOR: &str = "\n...\n";

/// A provenance file whose signature holds, of the chart that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedProvenance {
    /// The user ids of the key, valid when it signed.
    pub signed_by: Vec<String>,
    /// The fingerprint of the primary key, in upper-case hex.
    pub fingerprint: String,
    /// The chart's digest.
    pub digest: Digest,
    /// When it says that it was signed.
    pub signed_at: Timestamp,
    /// The signature without its armor.
    pub(super) signature: Vec<u8>,
    key: Box<SignedPublicKey>,
}

impl VerifiedProvenance {
    /// The key that signed, in armor: it alone, whatever else is in the ring.
    ///
    /// # Errors
    /// Usage, when it cannot be written.
    pub fn armored_key(&self) -> Result<String> {
        self.key.to_armored_string(ArmorOptions::default()).map_err(|error| {
            Error::usage("cannot write the key").cause(one_line(&error.to_string()))
        })
    }
}

/// The text of a provenance file whose signature nobody has looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedProvenance(String);

impl UnverifiedProvenance {
    /// Takes the text out of a clear-signed block.
    ///
    /// # Errors
    /// Refused (`bad-signature`): not one block, or something around it.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let text = framed(bytes)?;
        let (_, body) = text
            .split_once("\n\n")
            .ok_or_else(|| bad("the clear-signed block has no empty line behind its headers"))?;
        let (body, _) = body
            .split_once(&format!("\n{SIGNATURE}"))
            .ok_or_else(|| bad("the clear-signed block is not signed"))?;
        let lines = body.lines().map(|line| line.strip_prefix("- ").unwrap_or(line).trim_end());
        Ok(Self(lines.collect::<Vec<_>>().join("\n") + "\n"))
    }

    /// Checks that it names `digest` for the file `file_name`.
    ///
    /// # Errors
    /// Refused (`wrong-chart`).
    pub fn names(&self, file_name: &str, digest: &Digest) -> Result<()> {
        names(&self.0, file_name, digest)
    }
}

/// Verifies the signature over a provenance file, that it is of the chart `named`, and that it names `digest` for
/// `NAME-VERSION.tgz`, whatever the file is called now. A file name alone would not do: `a-1.0.0-2.0.0.tgz` is of two
/// charts.
///
/// # Errors
/// Refused: `bad-signature` for whatever is wrong with the signature or its key, `wrong-signer` for a key that is not
/// in the ring, `wrong-chart` for another digest or file. Undecided (`clock-behind`) for a signature of the future.
pub fn verify_provenance(
    bytes: &[u8],
    keyring: &Keyring,
    named: &NamedVersion,
    digest: &Digest,
    now: Timestamp,
) -> Result<VerifiedProvenance> {
    let text = framed(bytes)?;
    let (message, _) = CleartextSignedMessage::from_string(&text)
        .map_err(|error| bad(one_line(&error.to_string())))?;
    let [signature] = message.signatures() else {
        return Err(bad(format!("it holds {} signatures, not one", message.signatures().len())));
    };
    let signed_at = check_signature(signature, now)?;
    let signed = message.signed_text();
    let (judged, key) = keyring.signer_of(signature, signed.as_bytes(), signed_at)?;
    // Only now, and only this text.
    let signed = signed.replace("\r\n", "\n");
    names(&signed, &format!("{}-{}.tgz", named.name, named.version), digest)?;
    is_of(&signed, named)?;
    Ok(VerifiedProvenance {
        signed_by: judged.user_ids,
        fingerprint: judged.fingerprint,
        digest: *digest,
        signed_at,
        signature: text
            .split_once(SIGNATURE)
            .and_then(|(_, rest)| signature_packets(format!("{SIGNATURE}{rest}").as_bytes()))
            .ok_or_else(|| bad("the signature cannot be read"))?,
        key: Box::new(key.clone()),
    })
}

/// What has to be true of the signature itself, whoever made it. Answers when it was made.
fn check_signature(signature: &Signature, now: Timestamp) -> Result<Timestamp> {
    if !matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return Err(bad("the signature has an old version"));
    }
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err(bad("the signature is not one over a document"));
    }
    let hash = signature.hash_alg().unwrap_or(HashAlgorithm::None);
    if !is_strong(hash) {
        return Err(bad(format!("the signature relies on {hash}, which is weak")));
    }
    if has_unknown_critical(signature) {
        return Err(bad("the signature holds something critical that is not known here"));
    }
    let Some(created) = signature.created() else {
        return Err(bad("the signature does not say when it was made"));
    };
    let signed_at = keys::time(created);
    if signed_at > now {
        return Err(Error::undecided(Reason::ClockBehind, "the PGP signature is of the future")
            .expected_found(format!("{now}  (our clock)"), format!("{signed_at}  (signed)")));
    }
    if let Some(lasts) = signature.signature_expiration_time().filter(|it| it.as_secs() > 0) {
        let ends = signed_at.as_second().saturating_add(i64::from(lasts.as_secs()));
        if ends <= now.as_second() {
            return Err(bad("the signature has expired"));
        }
    }
    Ok(signed_at)
}

/// Hashes for which nobody can make two documents with one signature.
fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// RFC 9580, section 5.2.3.7: what is critical and not understood is an error. No notation is understood here.
fn has_unknown_critical(signature: &Signature) -> bool {
    signature.config().is_none_or(|config| {
        config.hashed_subpackets().any(|one| {
            one.is_critical
                && matches!(
                    one.data,
                    SubpacketData::Other(..)
                        | SubpacketData::Experimental(..)
                        | SubpacketData::Notation(_)
                )
        })
    })
}

/// The file as text: one clear-signed block from its first byte to its last.
fn framed(bytes: &[u8]) -> Result<String> {
    if bytes.len() > MAX_PROVENANCE_BYTES {
        return Err(bad(format!("it is longer than {MAX_PROVENANCE_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is no text"))?;
    let text = text.replace("\r\n", "\n");
    let count = |line: &str| text.lines().filter(|one| one.trim_end() == line).count();
    if text.lines().next().map(str::trim_end) != Some(BEGIN) {
        return Err(bad("it does not begin with a clear-signed block"));
    }
    // Text in place of a header would stand in the block, and be signed by nobody (Go CVE-2019-11841).
    let mut headers = text.lines().skip(1).take_while(|line| !line.is_empty());
    if !headers.all(|line| line.starts_with("Hash: ")) {
        return Err(bad("the clear-signed block has something else than Hash in its headers"));
    }
    if count(BEGIN) != 1 || count(SIGNATURE) != 1 || count(END) != 1 {
        return Err(bad("it is not one clear-signed block with one signature"));
    }
    if text.trim_end().lines().next_back().map(str::trim_end) != Some(END) {
        return Err(bad("there is something behind the signature"));
    }
    Ok(text)
}

/// A signature without its armor.
pub(super) fn signature_packets(armored: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Dearmor::new(Cursor::new(armored));
    let mut packets = Vec::new();
    reader.read_to_end(&mut packets).ok()?;
    (reader.typ == Some(BlockType::Signature) && !packets.is_empty()).then_some(packets)
}

/// Whether the text of a provenance file names `digest` for `file_name`.
fn names(text: &str, file_name: &str, digest: &Digest) -> Result<()> {
    let mut parts = text.split(SEPARATOR);
    let (Some(_), Some(digests), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong("it does not have two parts, Chart.yaml and the digests"));
    };
    // The reader refuses repeated keys; Go's, which Helm uses, would take `Files` for `files`.
    let document: BTreeMap<String, Value> = serde_saphyr::from_str(digests).map_err(|error| {
        wrong(format!("its digests cannot be read: {}", one_line(&error.to_string())))
    })?;
    if let Some(other) = document.keys().find(|key| !["files", "images"].contains(&key.as_str())) {
        return Err(wrong(format!("it holds {other:?} beside its files")));
    }
    let Some(Value::Object(files)) = document.get("files") else {
        return Err(wrong("it names no files"));
    };
    match files.get(file_name) {
        Some(Value::String(found)) if *found == digest.to_string() => Ok(()),
        Some(found) => {
            let found = found.as_str().unwrap_or("something that is no digest");
            Err(Error::refused(Reason::WrongChart, "provenance does not match")
                .cause("it is of another chart with this name and version")
                .expected_found(
                    format!("{digest}  (this chart)"),
                    format!("{found}  (provenance)"),
                ))
        }
        None => Err(Error::refused(Reason::WrongChart, "provenance does not match")
            .cause("it is of another file")
            .expected_found(
                file_name,
                files.keys().take(3).cloned().collect::<Vec<_>>().join(", "),
            )),
    }
}

/// Whether the first part of the text, which is Chart.yaml, is that of the chart.
fn is_of(text: &str, named: &NamedVersion) -> Result<()> {
    let metadata = text.split(SEPARATOR).next().unwrap_or_default();
    let found = ChartMetadata::from_yaml(metadata.as_bytes()).map_err(|error| {
        let cause = error.lines.first().map(|line| line.text.clone());
        wrong(cause.unwrap_or_else(|| "its Chart.yaml cannot be read".to_owned()))
    })?;
    if found.name == named.name && found.version == named.version {
        return Ok(());
    }
    Err(wrong("it is of another chart").expected_found(
        format!("{} {}  (this chart)", named.name, named.version),
        format!("{} {}  (provenance)", found.name, found.version),
    ))
}

fn wrong(cause: impl Into<String>) -> Error {
    Error::refused(Reason::WrongChart, "provenance does not match").cause(cause)
}

fn bad(cause: impl Into<String>) -> Error {
    Error::refused(Reason::BadSignature, "provenance is not valid").cause(cause)
}

/// The first line of a foreign message, bounded.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
