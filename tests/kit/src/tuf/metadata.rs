//! Roles, keys and signatures (TUF specification section 4).

use serde_json::{Value, json};

use crate::sigstore::{Error, KeyKind, Result, SigningKey, date, sha256, wall_seconds};

/// The top-level roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Names the keys of all roles.
    Root,
    /// Names the targets.
    Targets,
    /// Names the versions of targets.
    Snapshot,
    /// Names the version of snapshot.
    Timestamp,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// The name in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

/// The keys of all roles: two for root, of which both have to sign, and one for each other role.
pub(crate) struct Keys {
    pub(crate) root: Vec<SigningKey>,
    pub(crate) former_root: Vec<SigningKey>,
    others: Vec<(Role, SigningKey)>,
}

impl Keys {
    pub(crate) fn generate() -> Result<Self> {
        let key = || SigningKey::generate(KeyKind::Ed25519);
        let others = [Role::Targets, Role::Snapshot, Role::Timestamp];
        Ok(Self {
            root: vec![key()?, key()?],
            former_root: Vec::new(),
            others: others.into_iter().map(|role| Ok((role, key()?))).collect::<Result<_>>()?,
        })
    }

    /// The keys that sign for a role.
    pub(crate) fn of(&self, role: Role) -> Vec<&SigningKey> {
        match role {
            Role::Root => self.root.iter().chain(&self.former_root).collect(),
            _ => self.others.iter().filter(|(of, _)| *of == role).map(|(_, key)| key).collect(),
        }
    }

    /// Writes keys and thresholds into a root.
    pub(crate) fn describe(&self, payload: &mut Value) {
        let (mut keys, mut roles) = (json!({}), json!({}));
        for role in Role::ALL {
            let of: Vec<_> = match role {
                Role::Root => self.root.iter().collect(),
                _ => self.of(role),
            };
            for key in &of {
                keys[key_id(key)] = json!({
                    "keytype": "ed25519",
                    "scheme": "ed25519",
                    "keyval": { "public": hex::encode(key.public_bits()) },
                });
            }
            let ids: Vec<_> = of.iter().map(|key| key_id(key)).collect();
            roles[role.name()] = json!({ "keyids": ids, "threshold": of.len() });
        }
        payload["consistent_snapshot"] = true.into();
        payload["keys"] = keys;
        payload["roles"] = roles;
    }
}

fn key_id(key: &SigningKey) -> String {
    hex::encode(key.key_id())
}

/// Metadata with a signature by each of `keys`.
pub(crate) fn signed(payload: &Value, keys: &[&SigningKey]) -> Result<Vec<u8>> {
    let mut canonical = String::new();
    write_canonical(payload, &mut canonical);
    let mut signatures = Vec::new();
    for key in keys {
        let signature = hex::encode(key.sign(canonical.as_bytes())?);
        signatures.push(json!({ "keyid": key_id(key), "sig": signature }));
    }
    Ok(serde_json::to_vec(&json!({ "signed": payload, "signatures": signatures }))?)
}

/// Length and digest of a file.
pub(crate) fn hashed(bytes: &[u8]) -> Value {
    json!({ "length": bytes.len(), "hashes": { "sha256": hex::encode(sha256(bytes)) } })
}

/// A time so many days from now.
pub(crate) fn in_days(days: i64) -> Result<String> {
    let seconds = wall_seconds()
        .checked_add_signed(days.saturating_mul(86_400))
        .ok_or_else(|| Error::new("a time before 1970"))?;
    Ok(date(seconds)?.to_string())
}

/// Canonical JSON as TUF signs it: members in order, no space, and only `"` and `\` escaped.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write_canonical(&Value::String(name.clone()), out);
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::String(text) => {
            out.push('"');
            out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
            out.push('"');
        }
        other => out.push_str(&other.to_string()),
    }
}
