//! The transparency log of version 1: `dsse` and `hashedrekord` entries with signed entry timestamps.

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use der::{Decode, Encode};
use hyper::header::{ETAG, LOCATION};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_cert::Certificate;

use super::error::{Error, Result};
use super::fault::Fault;
use super::http::{Call, Reply, lock};
use super::keys::{KeyKind, PublicKey, SigningKey, random, sha256, to_pem};
use super::merkle::{Tree, leaf_hash};
use super::note::Noted;

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

/// An entry that was checked and may be logged.
struct Proposal {
    body: Vec<u8>,
    keys: Vec<String>,
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
            ("GET", path) => self.by_uuid(path.strip_prefix("/api/v1/log/entries/")),
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

    fn by_uuid(&self, uuid: Option<&str>) -> Result<Reply> {
        let state = lock(&self.state);
        match uuid.and_then(|uuid| state.find(uuid)) {
            Some(index) => {
                let entry = self.entry(&state, index, None)?;
                Ok(Reply::json(200, &json!({state.uuid(index)?: entry})))
            }
            None => Ok(failure(404, "entry not found")),
        }
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
            #[serde(default, rename = "entryUUIDs")]
            uuids: Vec<String>,
            #[serde(default, rename = "logIndexes")]
            indexes: Vec<usize>,
            #[serde(default)]
            entries: Vec<Value>,
        }
        let Ok(query) = serde_json::from_slice::<Query>(&call.body) else {
            return Ok(failure(400, "malformed search query"));
        };
        let state = lock(&self.state);
        let mut found: Vec<usize> =
            query.uuids.iter().filter_map(|uuid| state.find(uuid)).collect();
        found.extend(query.indexes.iter().filter_map(|index| index.checked_sub(EARLIER_ENTRIES)));
        for entry in &query.entries {
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
        let state = lock(&self.state);
        let mut uuids = Vec::new();
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

/// The text of one checkpoint with the signature of another.
pub(crate) fn with_signature_of(text: &str, other: &str) -> String {
    let body = text.split_once("\n\n").map_or(text, |(body, _)| body);
    let signature = other.split_once("\n\n").map_or("", |(_, signature)| signature);
    format!("{body}\n\n{signature}")
}

/// Checks a proposed entry and gives the canonical body that is logged for it.
fn propose(request: &[u8]) -> Result<Proposal> {
    #[derive(Deserialize)]
    struct Request {
        kind: String,
        #[serde(rename = "apiVersion")]
        api_version: String,
        spec: Value,
    }
    let request: Request = serde_json::from_slice(request)?;
    match (request.kind.as_str(), request.api_version.as_str()) {
        ("dsse", "0.0.1") => propose_dsse(request.spec),
        ("hashedrekord", "0.0.1") => propose_hashedrekord(request.spec),
        (kind, version) => Err(Error::new(format!("unsupported entry {kind} {version}"))),
    }
}

fn propose_dsse(spec: Value) -> Result<Proposal> {
    // Go clients send the fields that only the log may fill as well, as null.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Spec {
        proposed_content: Content,
        #[serde(default)]
        signatures: Option<Value>,
        #[serde(default)]
        envelope_hash: Option<Value>,
        #[serde(default)]
        payload_hash: Option<Value>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Content {
        envelope: String,
        verifiers: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        payload: String,
        payload_type: String,
        signatures: Vec<Signature>,
    }
    #[derive(Deserialize)]
    struct Signature {
        sig: String,
    }
    let spec: Spec = serde_json::from_value(spec)?;
    if spec.signatures.is_some() || spec.envelope_hash.is_some() || spec.payload_hash.is_some() {
        return Err(Error::new(
            "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both",
        ));
    }
    let content = spec.proposed_content;
    let envelope: Envelope = serde_json::from_str(&content.envelope)?;
    if envelope.signatures.is_empty() {
        return Err(Error::new("the envelope holds no signature"));
    }
    let payload = BASE64.decode(&envelope.payload)?;
    let signed = pre_authentication_encoding(&envelope.payload_type, &payload);
    let verifiers = content
        .verifiers
        .iter()
        .map(|text| Verifier::from_pem(&BASE64.decode(text)?))
        .collect::<Result<Vec<_>>>()?;
    let mut keys = Vec::new();
    let mut signatures = Vec::new();
    for Signature { sig } in &envelope.signatures {
        let signature = BASE64.decode(sig)?;
        let verifier = verifiers
            .iter()
            .find(|verifier| verifier.key.verify(&signed, &signature).is_ok())
            .ok_or_else(|| Error::new("could not verify envelope: no valid signature"))?;
        signatures.push((sig.clone(), verifier));
    }
    signatures.sort_by(|(one, _), (other, _)| one.cmp(other));
    let payload_hash = hex::encode(sha256(&payload));
    let envelope_hash = hex::encode(sha256(content.envelope.as_bytes()));
    keys.extend([format!("sha256:{payload_hash}"), format!("sha256:{envelope_hash}")]);
    keys.extend(subject_digests(&payload));
    keys.extend(signatures.iter().flat_map(|(_, verifier)| verifier.keys()));
    let signatures: Vec<_> = signatures
        .iter()
        .map(|(signature, verifier)| {
            json!({"signature": signature, "verifier": BASE64.encode(&verifier.pem)})
        })
        .collect();
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": envelope_hash},
            "payloadHash": {"algorithm": "sha256", "value": payload_hash},
            "signatures": signatures,
        },
    });
    Ok(Proposal { body: serde_json_canonicalizer::to_vec(&body)?, keys })
}

fn propose_hashedrekord(spec: Value) -> Result<Proposal> {
    #[derive(Deserialize)]
    struct Spec {
        data: Data,
        signature: Signature,
    }
    #[derive(Deserialize)]
    struct Data {
        hash: Hash,
    }
    #[derive(Deserialize)]
    struct Hash {
        algorithm: String,
        value: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Signature {
        content: String,
        public_key: Key,
    }
    #[derive(Deserialize)]
    struct Key {
        content: String,
    }
    let Spec { data: Data { hash }, signature } = serde_json::from_value(spec)?;
    let verifier = Verifier::from_pem(&BASE64.decode(&signature.public_key.content)?)?;
    verifier
        .key
        .verify_digest(&hex::decode(&hash.value)?, &BASE64.decode(&signature.content)?)
        .map_err(|_| Error::new("verifying signature: invalid signature"))?;
    let mut keys = vec![format!("{}:{}", hash.algorithm, hash.value)];
    keys.extend(verifier.keys());
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": hash.algorithm, "value": hash.value.to_lowercase()}},
            "signature": {
                "content": signature.content,
                "publicKey": {"content": BASE64.encode(&verifier.pem)},
            },
        },
    });
    Ok(Proposal { body: serde_json_canonicalizer::to_vec(&body)?, keys })
}

/// A valid entry of the same kind as the request's, by another key over other data.
fn foreign_proposal(request: &[u8]) -> Result<Proposal> {
    let request: Map<String, Value> = serde_json::from_slice(request)?;
    let key = SigningKey::generate(KeyKind::P256)?;
    let pem = BASE64.encode(key.public_pem());
    let artifact: [u8; 16] = random()?;
    let kind = request.get("kind").cloned().unwrap_or_default();
    let spec = if kind == "dsse" {
        let payload_type = "application/vnd.in-toto+json";
        let signature = key.sign(&pre_authentication_encoding(payload_type, &artifact))?;
        let envelope = json!({
            "payload": BASE64.encode(artifact),
            "payloadType": payload_type,
            "signatures": [{"sig": BASE64.encode(signature)}],
        });
        json!({"proposedContent": {"envelope": envelope.to_string(), "verifiers": [pem]}})
    } else {
        json!({
            "data": {"hash": {"algorithm": "sha256", "value": hex::encode(sha256(&artifact))}},
            "signature": {
                "content": BASE64.encode(key.sign(&artifact)?),
                "publicKey": {"content": pem},
            },
        })
    };
    let entry = json!({"kind": kind, "apiVersion": "0.0.1", "spec": spec});
    propose(entry.to_string().as_bytes())
}

/// A certificate or public key in the canonical form that entries hold.
struct Verifier {
    key: PublicKey,
    pem: String,
    email: Option<String>,
}

impl Verifier {
    fn from_pem(text: &[u8]) -> Result<Self> {
        let pem = pem::parse(text)?;
        let (spki, email) = match pem.tag() {
            "CERTIFICATE" => {
                let certificate = Certificate::from_der(pem.contents())?;
                (certificate.tbs_certificate.subject_public_key_info.to_der()?, email(&certificate))
            }
            "PUBLIC KEY" => (pem.contents().to_vec(), None),
            other => return Err(Error::new(format!("unsupported verifier {other}"))),
        };
        let key = PublicKey::from_spki(&spki)?;
        Ok(Self { key, pem: to_pem(pem.tag(), pem.contents()), email })
    }

    /// What the search index knows this verifier by.
    fn keys(&self) -> Vec<String> {
        let mut keys = vec![format!("sha256:{}", hex::encode(sha256(self.pem.as_bytes())))];
        keys.extend(self.email.clone());
        keys
    }
}

fn email(certificate: &Certificate) -> Option<String> {
    use x509_cert::ext::pkix::SubjectAltName;
    use x509_cert::ext::pkix::name::GeneralName;
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|name| match name {
        GeneralName::Rfc822Name(email) => Some(email.to_string()),
        _ => None,
    })
}

/// The digests of an in-toto statement's subjects.
fn subject_digests(payload: &[u8]) -> Vec<String> {
    let statement: Value = serde_json::from_slice(payload).unwrap_or_default();
    let subjects = statement.get("subject").and_then(Value::as_array);
    let digests = subjects.into_iter().flatten().filter_map(|subject| subject.get("digest"));
    digests
        .filter_map(Value::as_object)
        .flatten()
        .filter_map(|(algorithm, value)| Some(format!("{algorithm}:{}", value.as_str()?)))
        .collect()
}

/// What a DSSE signature covers.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoding =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoding.extend(payload);
    encoding
}

/// An error as Rekor writes it.
pub(crate) fn failure(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"code": status, "message": message}))
}
