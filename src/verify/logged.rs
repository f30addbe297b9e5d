//! Entries of a log of version 1 by themselves, outside of any bundle: whether the log vouches for one, by the keys of
//! the trusted root (Rekor v1 OpenAPI, `LogEntry`; RFC 9162, section 2.1.3; C2SP signed notes).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_crypto::{Checkpoint, VerificationKey};
use sigstore_merkle::{hash_leaf, verify_inclusion_proof};
use sigstore_rekor::LogEntry;
use sigstore_trust_root::TransparencyLog;
use sigstore_types::{KindVersion, SignatureBytes};

use super::public_key::PublicKey;
use super::refusal::Failure;
use super::verifier::{LogRecord, Verifier};
use crate::error::{Error, Reason, Result};

/// An entry as a log answers it. Nothing of it is verified but that it is the content that its identifier names.
#[derive(Clone, Debug)]
pub struct UnverifiedEntry {
    uuid: String,
    entry: LogEntry,
}

/// Whether `text` can be the identifier of an entry: the hash of its content in hex, with or without the tree in front.
pub fn is_entry_id(text: &str) -> bool {
    [64, 80].contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The part of an identifier that is the hash of the content.
fn leaf_of(uuid: &str) -> &str {
    uuid.get(uuid.len().saturating_sub(64)..).unwrap_or(uuid)
}

impl UnverifiedEntry {
    /// Reads an answer: a map from an identifier, with one entry.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase.
    pub fn parse(answer: &[u8]) -> Result<Self, String> {
        let entries: BTreeMap<String, LogEntry> =
            serde_json::from_slice(answer).map_err(|_| "its answer is no log entry".to_owned())?;
        let mut entries = entries.into_iter();
        let (Some((uuid, entry)), None) = (entries.next(), entries.next()) else {
            return Err("its answer is not one log entry".to_owned());
        };
        let leaf = hash_leaf(entry.body.as_bytes()).to_hex();
        if !is_entry_id(&uuid) || leaf_of(&uuid) != leaf {
            return Err("its entry has another identifier than its content".to_owned());
        }
        Ok(Self { uuid, entry })
    }

    /// Its identifier.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Whether it is what `uuid` names.
    pub fn is(&self, uuid: &str) -> bool {
        leaf_of(&self.uuid) == leaf_of(uuid)
    }

    /// Its canonical content.
    pub(super) fn content(&self) -> &sigstore_types::CanonicalizedBody {
        &self.entry.body
    }

    /// Whether it says that it is of this kind.
    pub(super) fn is_of_kind(&self, kind: KindVersion) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            kind: String,
            api_version: String,
        }
        serde_json::from_slice::<Kind>(self.entry.body.as_bytes())
            .is_ok_and(|said| (&*said.kind, &*said.api_version) == (kind.kind(), kind.version()))
    }

    /// The entry with its promise as cosign keeps it beside a signature ([`super::LegacySignature::log`]).
    ///
    /// # Errors
    /// Refused (`bad-signature`), when it promises nothing.
    pub fn beside_a_signature(&self) -> Result<String> {
        let LogEntry { log_id, log_index, integrated_time, body, verification, .. } = &self.entry;
        let promise = verification.as_ref().and_then(|one| one.signed_entry_timestamp.as_ref());
        let (Some(time), Some(promise)) = (*integrated_time, promise) else {
            return Err(bad("it has no promise"));
        };
        let beside = serde_json::json!({
            "SignedEntryTimestamp": BASE64.encode(promise.as_bytes()),
            "Payload": {
                "body": body.to_base64(),
                "integratedTime": time.as_second(),
                "logIndex": log_index.get(),
                "logID": log_id.as_str(),
            },
        });
        Ok(beside.to_string())
    }

    /// The seconds until our clock has reached the time that it claims, if that lies ahead.
    pub fn ahead(&self, now: Timestamp) -> Option<u64> {
        let ahead = self.entry.integrated_time?.duration_since(now);
        ahead.is_positive().then(|| ahead.as_secs().unsigned_abs() + 1)
    }
}

/// What a signed entry timestamp is over: canonical JSON (RFC 8785), for which these members are in their order and
/// hold nothing that is escaped.
#[derive(Serialize)]
struct Promised<'a> {
    body: String,
    #[serde(rename = "integratedTime")]
    time: i64,
    #[serde(rename = "logID")]
    log: &'a str,
    #[serde(rename = "logIndex")]
    index: u64,
}

impl Verifier {
    /// Judges whether a log of the trusted root vouches for an entry: its promise, its proof of inclusion, and the
    /// signature over the checkpoint that this leads to, all by the key of one log, which was in use at that time.
    ///
    /// # Errors
    /// Refused: `untrusted-instance` for a log that the trusted root does not know, `bad-signature` for whatever does not
    /// hold. Undecided: `clock-behind` for a time in our future, `trust-unusable` without a trusted root.
    pub fn verify_entry(&self, entry: &UnverifiedEntry, now: Timestamp) -> Result<LogRecord> {
        let Some(trust) = &self.trust else {
            return Err(Error::undecided(
                Reason::TrustUnusable,
                "a log entry needs a trusted root",
            ));
        };
        let LogEntry { log_id, log_index, integrated_time, body, verification, .. } = &entry.entry;
        let named = log_id.decode().unwrap_or_default();
        let mut logs = trust.logs().filter(|log| log.log_id.key_id.as_bytes() == named);
        let Some(log) = logs.next() else {
            let what = "log entry is of another log".to_owned();
            return Err(Error { what, ..stranger(log_id.as_str()) });
        };
        let (Some(time), Some(verification)) = (*integrated_time, verification) else {
            return Err(bad("it has no promise"));
        };
        let Some(promise) = &verification.signed_entry_timestamp else {
            return Err(bad("it has no promise"));
        };
        let Some(proof) = &verification.inclusion_proof else {
            return Err(bad("it has no proof of inclusion"));
        };
        let key = key_of(log)?;
        let promised = Promised {
            body: body.to_base64(),
            time: time.as_second(),
            log: log_id.as_str(),
            index: log_index.get(),
        };
        let promised = serde_json::to_vec(&promised).map_err(|error| bad(&error.to_string()))?;
        key.verify(&promised, &SignatureBytes::new(promise.as_bytes().to_vec()))
            .map_err(|_| bad("its promise (SET) is not by the log"))?;

        let leaf = hash_leaf(body.as_bytes());
        let (at, size) = (proof.log_index.get(), proof.tree_size);
        verify_inclusion_proof(&leaf, at, size, &proof.hashes, &proof.root_hash)
            .map_err(|_| bad("its proof does not lead to the root of the log"))?;
        let checkpoint = Checkpoint::from_text(&proof.checkpoint)
            .map_err(|_| bad("its checkpoint cannot be read"))?;
        if *checkpoint.root_hash() != proof.root_hash || checkpoint.tree_size() != size {
            return Err(bad("its checkpoint is of another tree than its proof"));
        }
        let hint = named.get(..4);
        let signed = checkpoint
            .signatures()
            .iter()
            .filter(|one| hint == Some(one.key_id.as_bytes().as_slice()))
            .any(|one| key.verify(checkpoint.signed_data(), &one.signature).is_ok());
        if !signed {
            return Err(bad("its checkpoint is not signed by the log"));
        }
        if log.public_key.valid_for.is_some_and(|window| !window.contains(time)) {
            return Err(bad("the key of its log was not in use at that time"));
        }
        // Only now is the time somebody's word.
        if time > now {
            return Err(Failure::future(time, now).into());
        }
        Ok(LogRecord { url: log.base_url.clone(), index: Some(log_index.get()), time: Some(time) })
    }

    /// The URL of the log of version 1 that the trusted root has now, if it has one.
    pub fn rekor_v1(&self, now: Timestamp) -> Option<&str> {
        self.logs_v1().find(|log| is_current(log, now)).map(|log| log.base_url.as_str())
    }

    /// The URLs of all logs of version 1 that the trusted root has, each once: those that are in use now first, and
    /// those that were before, which have what was signed then.
    pub fn all_rekor_v1(&self, now: Timestamp) -> Vec<&str> {
        let (current, former): (Vec<_>, Vec<_>) =
            self.logs_v1().partition(|log| is_current(log, now));
        let mut urls = Vec::new();
        for url in current.into_iter().chain(former).map(|log| log.base_url.as_str()) {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }

    fn logs_v1(&self) -> impl Iterator<Item = &TransparencyLog> {
        self.trust.iter().flat_map(|trust| trust.logs()).filter(|log| is_v1(log))
    }
}

impl Verifier {
    /// Whether the trusted root has a log at this URL.
    pub fn names_log(&self, url: &str) -> bool {
        self.logs_v1().any(|log| log.base_url.trim_end_matches('/') == url)
    }

    /// Checks that `key` is that of a log of the trusted root.
    ///
    /// # Errors
    /// Refused (`untrusted-instance`).
    pub fn check_log_key(&self, key: &PublicKey) -> Result<()> {
        let id = key.id();
        let mut logs = self.trust.iter().flat_map(|trust| trust.logs());
        match logs.any(|log| log.log_id.key_id.as_bytes() == id.bytes()) {
            true => Ok(()),
            false => Err(stranger(&id.hex())),
        }
    }
}

fn stranger(id: &str) -> Error {
    let name: String = id.chars().take(16).collect();
    Error::refused(Reason::UntrustedInstance, "log is not trusted")
        .cause(format!("the trusted root does not know the log {name:?}"))
}

/// A log of version 1 is known by the hash of its key, one of version 2 by that of its name and its key.
fn is_v1(log: &TransparencyLog) -> bool {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(log.public_key.raw_bytes.as_bytes());
    log.log_id.key_id.as_bytes() == hash.as_slice()
}

fn is_current(log: &TransparencyLog, now: Timestamp) -> bool {
    log.public_key.valid_for.is_none_or(|window| window.contains(now))
}

fn key_of(log: &TransparencyLog) -> Result<VerificationKey> {
    VerificationKey::from_spki(&log.public_key.raw_bytes)
        .map_err(|error| Error::undecided(Reason::TrustUnusable, error.to_string()))
}

fn bad(cause: &str) -> Error {
    Error::refused(Reason::BadSignature, "log entry does not verify").cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_hash_and_nothing_that_could_be_a_path() {
        assert!(is_entry_id(&"a".repeat(64)) && is_entry_id(&"0".repeat(80)));
        for text in
            [String::new(), "A".repeat(64), "a".repeat(63), format!("../{}", "a".repeat(61))]
        {
            assert!(!is_entry_id(&text), "{text}");
        }
    }

    #[test]
    fn an_answer_is_one_entry_under_the_identifier_of_its_content() {
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, b"{}");
        let leaf = hash_leaf(b"{}").to_hex();
        let entry = format!(r#"{{"body":"{body}","integratedTime":1,"logID":"00","logIndex":1}}"#);
        let answer =
            |uuid: &str| UnverifiedEntry::parse(format!(r#"{{"{uuid}":{entry}}}"#).as_bytes());
        assert!(answer(&leaf).unwrap().is(&format!("{}{leaf}", "0".repeat(16))));
        assert!(answer(&format!("{}{leaf}", "0".repeat(16))).is_ok());
        for (uuid, words) in
            [("0".repeat(64), "another identifier"), (leaf.to_uppercase(), "another identifier")]
        {
            assert!(answer(&uuid).unwrap_err().contains(words), "{uuid}");
        }
        for text in ["", "[]", "{}", r#"{"a":{}}"#] {
            assert!(UnverifiedEntry::parse(text.as_bytes()).is_err(), "{text}");
        }
        let two = format!(r#"{{"{leaf}":{entry},"{}":{entry}}}"#, "0".repeat(64));
        assert!(UnverifiedEntry::parse(two.as_bytes()).unwrap_err().contains("not one"));
    }
}
