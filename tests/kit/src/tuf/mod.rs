//! A TUF repository on loopback: consistent snapshots, thresholds, rotation of the root, expiry, and what an
//! attacker in its place would serve. Its keys are made at each start.

mod metadata;
mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::sigstore::Result;
pub use metadata::Role;
use metadata::{Keys, hashed, signed};
use server::Server;

/// What the mirror does instead of serving a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503.
    Status,
    /// Bytes without end.
    Endless,
    /// The connection ends in the middle of the body.
    Cut,
    /// Nothing at all, for as long as the repository runs.
    Hang,
}

/// Files by path, faults by the part of a path, and what was asked.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) faults: Vec<(String, Fault)>,
    pub(crate) requests: Vec<String>,
}

/// A running repository; it ends when it is dropped.
pub struct Tuf {
    served: Arc<Mutex<Served>>,
    server: Server,
    keys: Keys,
    targets: BTreeMap<String, Vec<u8>>,
    versions: BTreeMap<Role, u64>,
    /// Days from now at which a role expires.
    days: BTreeMap<Role, i64>,
}

impl Tuf {
    /// Starts a repository with these targets: root 1 with a threshold of two, everything else at version 1.
    ///
    /// # Panics
    /// If there is no port or no randomness to be had.
    pub fn start(targets: &[(&str, String)]) -> Self {
        let started = || -> Result<Self> {
            let served = Arc::<Mutex<Served>>::default();
            let mut tuf = Self {
                server: Server::start(Arc::clone(&served))?,
                served,
                keys: Keys::generate()?,
                targets: BTreeMap::new(),
                versions: Role::ALL.map(|role| (role, 0)).into(),
                days: Role::ALL.map(|role| (role, 30)).into(),
            };
            for (name, text) in targets {
                tuf.targets.insert((*name).to_owned(), text.clone().into_bytes());
            }
            tuf.write(Role::Root)?;
            tuf.write_targets()?;
            Ok(tuf)
        };
        done(started())
    }

    /// The base URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The first root, which a client is given by another way.
    pub fn root(&self) -> Vec<u8> {
        self.file("/1.root.json")
    }

    /// A file as it is served.
    pub fn file(&self, path: &str) -> Vec<u8> {
        self.served().files.get(path).cloned().unwrap_or_default()
    }

    /// Serves other bytes in the place of a file: what an attacker without keys can do.
    pub fn replace(&self, path: &str, bytes: Vec<u8>) {
        self.served().files.insert(path.to_owned(), bytes);
    }

    /// Everything that is served, to be put back with [`restore`](Self::restore) by whoever replays it.
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        self.served().files.clone()
    }

    /// Serves an earlier state.
    pub fn restore(&self, files: BTreeMap<String, Vec<u8>>) {
        self.served().files = files;
    }

    /// Publishes a target in new versions of targets, snapshot and timestamp.
    pub fn publish(&mut self, name: &str, text: &str) {
        self.targets.insert(name.to_owned(), text.as_bytes().to_vec());
        done(self.write_targets());
    }

    /// Publishes new versions of snapshot and timestamp alone.
    pub fn republish(&mut self) {
        done(self.write(Role::Snapshot).and_then(|()| self.write(Role::Timestamp)));
    }

    /// From the next version on, a role expires in so many days; fewer than none have passed already.
    pub fn expire_in_days(&mut self, role: Role, days: i64) {
        self.days.insert(role, days);
    }

    /// Publishes the next root. With `rotate` all its keys are new ones, and it is signed by old and new.
    pub fn next_root(&mut self, rotate: bool) {
        self.keys.former_root.clear();
        if rotate {
            let mut keys = done(Keys::generate());
            keys.former_root = std::mem::take(&mut self.keys.root);
            self.keys = keys;
        }
        done(self.write(Role::Root).and_then(|()| self.write_targets()));
    }

    /// Metadata of the attacker's making, signed with the repository's own keys of that role.
    pub fn forge(&self, role: Role, payload: &Value) -> Vec<u8> {
        done(signed(payload, &self.keys.of(role)))
    }

    /// The signed part of a file as it is served.
    pub fn payload(&self, path: &str) -> Value {
        let document: Value = serde_json::from_slice(&self.file(path)).unwrap_or_default();
        document.get("signed").cloned().unwrap_or_default()
    }

    /// Lets requests whose path holds `part` fail, until [`heal`](Self::heal).
    pub fn fault(&self, part: &str, fault: Fault) {
        self.served().faults.push((part.to_owned(), fault));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.served().faults.clear();
    }

    /// The paths that were asked for since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.served().requests)
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_targets(&mut self) -> Result<()> {
        for (name, bytes) in self.targets.clone() {
            let (folder, base) = name.rsplit_once('/').map_or(("", name.as_str()), |both| both);
            let slash = if folder.is_empty() { "" } else { "/" };
            let digest = hex::encode(crate::sigstore::sha256(&bytes));
            self.replace(&format!("/targets/{folder}{slash}{digest}.{base}"), bytes);
        }
        self.write(Role::Targets)?;
        self.write(Role::Snapshot)?;
        self.write(Role::Timestamp)
    }

    fn write(&mut self, role: Role) -> Result<()> {
        let version = self.versions.get(&role).copied().unwrap_or_default() + 1;
        self.versions.insert(role, version);
        let expires = metadata::in_days(self.days.get(&role).copied().unwrap_or(30))?;
        let mut payload = json!({
            "_type": role.name(), "spec_version": "1.0.31", "version": version, "expires": expires,
        });
        let of = |other: Role| self.versions.get(&other).copied().unwrap_or_default();
        match role {
            Role::Root => self.keys.describe(&mut payload),
            Role::Targets => {
                let targets: serde_json::Map<_, _> = self
                    .targets
                    .iter()
                    .map(|(name, bytes)| (name.clone(), hashed(bytes)))
                    .collect();
                payload["targets"] = Value::Object(targets);
            }
            Role::Snapshot => {
                payload["meta"] = json!({ "targets.json": { "version": of(Role::Targets) } });
            }
            Role::Timestamp => {
                let number = of(Role::Snapshot);
                let mut pin = hashed(&self.file(&format!("/{number}.snapshot.json")));
                pin["version"] = number.into();
                payload["meta"] = json!({ "snapshot.json": pin });
            }
        }
        let bytes = signed(&payload, &self.keys.of(role))?;
        let path = match role {
            Role::Timestamp => "/timestamp.json".to_owned(),
            _ => format!("/{version}.{}.json", role.name()),
        };
        self.replace(&path, bytes);
        Ok(())
    }
}

fn done<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the test repository fails: {error}"),
    }
}
