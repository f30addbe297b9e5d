//! The transparency log of version 1: `dsse`, `hashedrekord` and `helm` entries with signed entry timestamps.

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{ETAG, LOCATION};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Error, Result};
use super::fault::{Fault, LogLie, Service};
use super::http::{Call, Reply, lock};
use super::keys::{KeyKind, SigningKey};
use super::merkle::{Tree, leaf_hash};
use super::note::{Noted, with_signature_of};
use super::rekor_entry::{Proposal, foreign_proposal, propose};

/// How many entries the log's earlier shards hold: an entry's index in the log is not its index in the tree.
const EARLIER_ENTRIES: usize = 25_579;

/// The identifier of the tree, in entry identifiers and the checkpoint's origin.
const TREE_ID: u64 = 0x10d9_7a1c_5f20_83e1;

/// The log.
pub(crate) struct RekorV1 {
    pub(crate) noted: Noted,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tree: Tree,
    entries: Vec<Entry>,
    /// Which entries an artifact's digest or a signer's e-mail address leads to.
    search: HashMap<String, Vec<usize>>,
}

struct Entry {
    body: Vec<u8>,
    integrated_time: u64,
}

impl RekorV1 {
    /// A log with so many entries of others in it.
    pub(crate) fn new(earlier: usize, now: u64) -> Result<Self> {
        let noted =
            Noted { name: "rekor.localhost".into(), key: SigningKey::generate(KeyKind::P256)? };
        let mut state = State::default();
        for _ in 0..earlier {
            state.append(foreign_proposal(br#"{"kind": "hashedrekord"}"#)?, now);
        }
        Ok(Self { noted, state: Mutex::new(state) })
    }

    pub(crate) fn answer(&self, call: &Call, now: u64) -> Reply {
        let result = match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/ping") => Ok(Reply::text(200, "ok")),
            ("POST", "/api/v1/log/entries") => self.create(call, now),
            ("GET", "/api/v1/log/entries") => self.by_index(call),
            ("POST", "/api/v1/log/entries/retrieve") => self.retrieve(call),
            ("POST", "/api/v1/index/retrieve") => self.search(call),
            ("GET", "/api/v1/log/publicKey") => {
                Ok(Reply::new(200, "application/x-pem-file", self.noted.key.public_pem()))
            }
            ("GET", "/api/v1/log") => self.info(),
            ("GET", path) => {
                self.by_uuid(path.strip_prefix("/api/v1/log/entries/"), call.fault.as_ref())
            }
            _ => Ok(failure(404, "path not found")),
        };
        result.unwrap_or_else(|error| failure(500, &error.to_string()))
    }

    fn create(&self, call: &Call, now: u64) -> Result<Reply> {
        let proposal = match propose(&call.body) {
            Ok(proposal) => proposal,
            Err(error) => {
                return Ok(failure(400, &format!("error processing entry: {error}")));
            }
        };
        let fault = call.fault.as_ref();
        let mut state = lock(&self.state);
        let known = state.tree.position(&leaf_hash(&proposal.body));
        let other = matches!(fault, Some(Fault::DuplicateOfAnother(_) | Fault::EntryForAnother(_)));
        let index = if other {
            let foreign = foreign_proposal(&call.body)?;
            state.append(foreign, now)
        } else {
            match known {
                Some(index) => index,
                None => state.append(proposal, now),
            }
        };
        let uuid = state.uuid(index)?;
        let location = format!("/api/v1/log/entries/{uuid}");
        let pretended = matches!(fault, Some(Fault::Duplicate(_) | Fault::DuplicateOfAnother(_)));
        if pretended || (known.is_some() && !other) {
            let message = format!(
                "an equivalent entry already exists in the transparency log with UUID {uuid}"
            );
            return Ok(failure(409, &message).with_header(LOCATION, location));
        }
        let entry = self.entry(&state, index, fault)?;
        Ok(Reply::json(201, &json!({uuid.clone(): entry}))
            .with_header(LOCATION, location)
            .with_header(ETAG, uuid))
    }

    /// An entry with its proofs against the tree as it is now.
    fn entry(&self, state: &State, index: usize, fault: Option<&Fault>) -> Result<Value> {
        let entry = state.entries.get(index).ok_or_else(|| Error::new("no such entry"))?;
        let signed = json!({
            "body": BASE64.encode(&entry.body),
            "integratedTime": entry.integrated_time,
            "logID": hex::encode(self.noted.key.key_id()),
            "logIndex": EARLIER_ENTRIES + index,
        });
        let mut promised = serde_json_canonicalizer::to_vec(&signed)?;
        if fault == Some(&Fault::WrongSet) {
            promised.push(b' ');
        }
        let mut proof = state.tree.inclusion_proof(index);
        if matches!(fault, Some(Fault::WrongInclusionProof(_))) {
            proof.push([7; 32]);
        }
        let hashes: Vec<_> = proof.iter().map(hex::encode).collect();
        let mut document = signed;
        if let Value::Object(fields) = &mut document {
            let verification = json!({
                "inclusionProof": {
                    "checkpoint": self.checkpoint(&state.tree, fault)?,
                    "hashes": hashes,
                    "logIndex": index,
                    "rootHash": hex::encode(state.tree.root()),
                    "treeSize": state.tree.size(),
                },
                "signedEntryTimestamp": BASE64.encode(self.noted.key.sign(&promised)?),
            });
            fields.insert("verification".into(), verification);
        }
        Ok(document)
    }

    fn checkpoint(&self, tree: &Tree, fault: Option<&Fault>) -> Result<String> {
        let origin = format!("{} - {TREE_ID}", self.noted.name);
        let text = self.noted.checkpoint(&origin, tree.size(), &tree.root())?;
        if matches!(fault, Some(Fault::WrongCheckpoint(_))) {
            let other = self.noted.checkpoint(&origin, tree.size() + 1, &tree.root())?;
            return Ok(with_signature_of(&text, &other));
        }
        Ok(text)
    }

    fn by_uuid(&self, uuid: Option<&str>, fault: Option<&Fault>) -> Result<Reply> {
        let state = lock(&self.state);
        let lie = match fault {
            Some(Fault::LogLies(lie)) => Some(*lie),
            _ => None,
        };
        let by_hash = lie.is_none_or(LogLie::finds_by_hash);
        let uuid = uuid.filter(|uuid| by_hash || uuid.len() != 64);
        let Some(index) = uuid.and_then(|uuid| state.find(uuid)) else {
            return Ok(failure(404, "entry not found"));
        };
        let told = match lie {
            Some(LogLie::AnotherEntry | LogLie::WrongIdentifier) => 0,
            _ => index,
        };
        let named = if lie == Some(LogLie::WrongIdentifier) { index } else { told };
        let fault = match lie {
            Some(LogLie::WrongPromise) => Some(Fault::WrongSet),
            Some(LogLie::WrongProof) => Some(Fault::WrongInclusionProof(Service::RekorV1)),
            Some(LogLie::WrongCheckpoint) => Some(Fault::WrongCheckpoint(Service::RekorV1)),
            _ => None,
        };
        let mut entry = match lie {
            Some(LogLie::AnotherLog) => {
                let other = Self::new(0, 0)?;
                other.entry(&state, told, None)?
            }
            _ => self.entry(&state, told, fault.as_ref())?,
        };
        let gone = match lie {
            Some(LogLie::NoPromise) => Some("signedEntryTimestamp"),
            Some(LogLie::NoProof) => Some("inclusionProof"),
            _ => None,
        };
        if let (Some(gone), Some(Value::Object(fields))) = (gone, entry.get_mut("verification")) {
            fields.remove(gone);
        }
        Ok(Reply::json(200, &json!({state.uuid(named)?: entry})))
    }

    fn by_index(&self, call: &Call) -> Result<Reply> {
        let state = lock(&self.state);
        let index = call.parameter("logIndex").and_then(|text| text.parse::<usize>().ok());
        match index.and_then(|index| index.checked_sub(EARLIER_ENTRIES)) {
            Some(index) if index < state.entries.len() => {
                let entry = self.entry(&state, index, None)?;
                Ok(Reply::json(200, &json!({state.uuid(index)?: entry})))
            }
            _ => Ok(failure(404, "entry not found")),
        }
    }

    /// Entries by identifier, index or proposed content; what is not there is left out.
    fn retrieve(&self, call: &Call) -> Result<Reply> {
        #[derive(Deserialize)]
        struct Query {
            // Go clients send null for what they do not ask for.
            #[serde(default, rename = "entryUUIDs")]
            uuids: Option<Vec<String>>,
            #[serde(default, rename = "logIndexes")]
            indexes: Option<Vec<usize>>,
            #[serde(default)]
            entries: Option<Vec<Value>>,
        }
        let Ok(query) = serde_json::from_slice::<Query>(&call.body) else {
            return Ok(failure(400, "malformed search query"));
        };
        let state = lock(&self.state);
        let mut found: Vec<usize> =
            query.uuids.iter().flatten().filter_map(|uuid| state.find(uuid)).collect();
        let indexes = query.indexes.iter().flatten();
        found.extend(indexes.filter_map(|index| index.checked_sub(EARLIER_ENTRIES)));
        for entry in query.entries.iter().flatten() {
            if let Ok(proposal) = propose(entry.to_string().as_bytes()) {
                found.extend(state.tree.position(&leaf_hash(&proposal.body)));
            }
        }
        let mut documents = Vec::new();
        for index in found.into_iter().filter(|index| *index < state.entries.len()) {
            documents.push(json!({state.uuid(index)?: self.entry(&state, index, None)?}));
        }
        Ok(Reply::json(200, &documents))
    }

    /// Identifiers of the entries about a digest or by an e-mail address.
    fn search(&self, call: &Call) -> Result<Reply> {
        #[derive(Deserialize)]
        struct Query {
            #[serde(default)]
            hash: Option<String>,
            #[serde(default)]
            email: Option<String>,
        }
        let Ok(query) = serde_json::from_slice::<Query>(&call.body) else {
            return Ok(failure(400, "malformed search query"));
        };
        let mut state = lock(&self.state);
        let mut uuids = Vec::new();
        match call.fault {
            Some(Fault::LogLies(LogLie::ManyOthers)) => {
                for _ in 0..150 {
                    let other = foreign_proposal(br#"{"kind": "hashedrekord"}"#)?;
                    let index = state.append(other, 0);
                    uuids.push(state.uuid(index)?);
                }
                return Ok(Reply::json(200, &uuids));
            }
            Some(Fault::LogLies(LogLie::IndexOfAnother)) => {
                return Ok(Reply::json(200, &[state.uuid(0)?]));
            }
            Some(Fault::LogLies(LogLie::EndlessIndex)) => {
                let endless: Vec<_> = (0..80_000).map(|number| format!("{number:064x}")).collect();
                return Ok(Reply::json(200, &endless));
            }
            Some(Fault::LogLies(LogLie::IndexOfMissing)) => uuids.push("0".repeat(80)),
            Some(Fault::LogLies(LogLie::IndexOfPaths)) => {
                return Ok(Reply::json(200, &["../../../publicKey"]));
            }
            _ => {}
        }
        for key in query.hash.into_iter().chain(query.email) {
            let key = if key.len() == 64 { format!("sha256:{key}") } else { key };
            for index in state.search.get(&key.to_lowercase()).into_iter().flatten() {
                uuids.push(state.uuid(*index)?);
            }
        }
        Ok(Reply::json(200, &uuids))
    }

    fn info(&self) -> Result<Reply> {
        let state = lock(&self.state);
        Ok(Reply::json(
            200,
            &json!({
                "inactiveShards": [],
                "rootHash": hex::encode(state.tree.root()),
                "signedTreeHead": self.checkpoint(&state.tree, None)?,
                "treeID": TREE_ID.to_string(),
                "treeSize": state.tree.size(),
            }),
        ))
    }
}

impl State {
    fn append(&mut self, proposal: Proposal, integrated_time: u64) -> usize {
        let index = self.tree.append(leaf_hash(&proposal.body));
        self.entries.push(Entry { body: proposal.body, integrated_time });
        for key in proposal.keys {
            self.search.entry(key.to_lowercase()).or_default().push(index);
        }
        index
    }

    /// Tree identifier and leaf hash, as Rekor names entries.
    fn uuid(&self, index: usize) -> Result<String> {
        let leaf = self.tree.leaf(index).ok_or_else(|| Error::new("no such entry"))?;
        Ok(format!("{TREE_ID:016x}{}", hex::encode(leaf)))
    }

    /// An entry by its identifier, with or without the tree's.
    fn find(&self, uuid: &str) -> Option<usize> {
        let leaf = uuid.strip_prefix(&format!("{TREE_ID:016x}")).unwrap_or(uuid);
        let mut hash = [0; 32];
        hex::decode_to_slice(leaf, &mut hash).ok()?;
        self.tree.position(&hash)
    }
}

/// An error as Rekor writes it.
pub(crate) fn failure(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"code": status, "message": message}))
}
