//! A good bundle with one thing changed.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::Options as RegistryOptions;
use helm_sigstore_kit::sigstore::{Options as SigstoreOptions, RekorVersion};
use serde_json::{Value, json};

use crate::support::World;

/// A world, a chart file and the bundle that was made for it.
fn signed(rekor: RekorVersion) -> (World, String, Value) {
    let world = World::with(
        RegistryOptions::default(),
        SigstoreOptions { rekor: vec![rekor], ..SigstoreOptions::default() },
    );
    let chart = Chart::new("web", "1.4.2");
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    world.push(&chart);
    let bundle = world.argument("good.json");
    world.run(&["sign", &file, "--repository", &world.target(), "--bundle-out", &bundle]).exits(0);
    let value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    (world, file, value)
}

fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    if !at.is_empty() {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                paths(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                paths(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn remove(root: &mut Value, path: &str) {
    let (parent, key) = path.rsplit_once('/').unwrap();
    match root.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.remove(key)),
        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
        _ => unreachable!(),
    }
}

/// What changes a string: a character at several places, the whole of it.
fn changed(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => {
            let mut changes = vec![json!(""), json!(format!("{text}A")), json!(0)];
            for at in [
                0,
                1,
                text.len() / 4,
                text.len() / 2,
                text.len() * 3 / 4,
                text.len().saturating_sub(6),
                text.len().saturating_sub(1),
            ] {
                let mut bytes = text.clone().into_bytes();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = match *byte {
                        b'0'..=b'8' | b'A'..=b'Y' | b'a'..=b'y' => *byte + 1,
                        b'9' => b'0',
                        _ => b'A',
                    };
                }
                if let Ok(text) = String::from_utf8(bytes) {
                    changes.push(json!(text));
                }
            }
            changes
        }
        Value::Number(_) => vec![json!(1), json!(-1), json!("1")],
        Value::Array(items) => {
            let mut twice = items.clone();
            twice.extend(items.clone());
            vec![json!([]), json!(twice), json!({})]
        }
        Value::Object(_) => vec![json!({}), json!([])],
        _ => vec![json!(0)],
    }
}

/// Changes every part of a bundle in turn and answers what was accepted or not simply refused, but for the
/// parts in `unsigned`, which nobody signs and nothing is believed of.
fn survivors(rekor: RekorVersion, unsigned: &[&str]) -> Vec<String> {
    let (world, file, good) = signed(rekor);
    let path = world.path("changed.json");
    let log_of = |value: &Value| {
        std::fs::write(&path, value.to_string()).unwrap();
        let ended = world.verify(&["-o", "json", &file, "--bundle", path.to_str().unwrap()]);
        let report = ended.json();
        (ended.code, report["results"][0]["signatures"][0]["log"].clone())
    };
    let (code, truth) = log_of(&good);
    assert_eq!(code, 0);
    let mut survived = Vec::new();
    let mut look = |at: &str, what: &str, value: &Value| {
        if *value == good {
            return;
        }
        let (code, log) = log_of(value);
        // What is said of the log stays true whatever the bundle claims.
        let honest = ["url", "index", "time"]
            .iter()
            .all(|field| log[field].is_null() || log[field] == truth[field]);
        let expected = code == 5 || (code == 0 && unsigned.contains(&at) && honest);
        if !expected {
            survived.push(format!("{at} {what}: exit {code}, log {log}"));
        }
    };
    let mut all = Vec::new();
    paths(&good, "", &mut all);
    for at in &all {
        let mut value = good.clone();
        remove(&mut value, at);
        look(at, "removed", &value);
        let mut value = good.clone();
        *value.pointer_mut(at).unwrap() = Value::Null;
        look(at, "null", &value);
        for change in changed(good.pointer(at).unwrap()) {
            let mut value = good.clone();
            let words: String = change.to_string().chars().take(60).collect();
            *value.pointer_mut(at).unwrap() = change;
            look(at, &words, &value);
        }
    }
    survived
}

const STAMPS: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
/// Its status is not signed; what it says is.
const STAMP: &str =
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
const ENTRIES: &str = "/verificationMaterial/tlogEntries";

#[test]
fn refuses_a_bundle_with_any_signed_part_changed_rekor_v1() {
    let survived = survivors(
        RekorVersion::V1,
        &[
            "/mediaType",
            "/verificationMaterial/timestampVerificationData",
            STAMPS,
            &format!("{STAMPS}/0"),
            STAMP,
            ENTRIES,
            &format!("{ENTRIES}/0/inclusionPromise"),
            // More signatures than the log's may follow.
            &format!("{ENTRIES}/0/inclusionProof/checkpoint/envelope"),
        ],
    );
    assert!(survived.is_empty(), "{survived:#?}");
}

#[test]
fn refuses_a_bundle_with_any_signed_part_changed_rekor_v2() {
    let survived = survivors(
        RekorVersion::V2,
        &[
            STAMPS,
            STAMP,
            ENTRIES,
            &format!("{ENTRIES}/0/inclusionProof/logIndex"),
            &format!("{ENTRIES}/0/inclusionProof/rootHash"),
            &format!("{ENTRIES}/0/inclusionProof/treeSize"),
            &format!("{ENTRIES}/0/inclusionProof/checkpoint/envelope"),
            &format!("{ENTRIES}/0/logId/keyId"),
        ],
    );
    assert!(survived.is_empty(), "{survived:#?}");
}
