//! One valid bundle, one change at a time: whatever a byte in it says, somebody has signed it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Options as RegistryOptions, digest_of};
use helm_sigstore_kit::sigstore::{Options, RekorVersion};
use serde_json::{Map, Value, json};

use crate::support::World;
use crate::verify_craft::{chart_subject, package, sign, statement, write};

/// What nobody has signed: the log's version, the pointer, the change, and why it does no harm. None of it
/// is told to anybody, but for evidence that is left out, which is then not told either.
const UNAUTHENTICATED: &[(&str, &str, &str, &str)] = &[
    ("V1", "", "without mediaType", "a form of bundles older than their media type"),
    ("V1", "/verificationMaterial", "without timestampVerificationData", PROMISE_HAS_TIME),
    ("V1", "/verificationMaterial/timestampVerificationData", "null", PROMISE_HAS_TIME),
    ("V1", "/verificationMaterial/timestampVerificationData", "an object", PROMISE_HAS_TIME),
    ("V1", "/verificationMaterial/timestampVerificationData", "a list", PROMISE_HAS_TIME),
    ("V1", "/verificationMaterial/timestampVerificationData", "without rfc3161", PROMISE_HAS_TIME),
    ("V1", STAMPS, "a list", PROMISE_HAS_TIME),
    ("V1", STAMPS, "without the last", PROMISE_HAS_TIME),
    ("V", STAMPS, "the first twice", "nothing counts timestamps"),
    (
        "V",
        STAMP,
        "bit of byte",
        "the token carries a certificate; ours is that of the trusted root",
    ),
    ("V", "/verificationMaterial/tlogEntries", "the first twice", "nothing counts entries"),
    ("V1", ENTRY, "without inclusionPromise", "the timestamp is the time; the index is not told"),
    ("V1", "/verificationMaterial/tlogEntries/0/inclusionPromise", "null", "the same"),
    ("V2", "/verificationMaterial/tlogEntries/0/inclusionProof", "without logIndex", COPY),
    ("V2", "/verificationMaterial/tlogEntries/0/inclusionProof/logIndex", "", COPY),
    ("V2", "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash", "", COPY),
    ("V2", "/verificationMaterial/tlogEntries/0/inclusionProof/treeSize", "", COPY),
    (
        "V2",
        "/verificationMaterial/tlogEntries/0/logId/keyId",
        "",
        "the checkpoint's key is the log",
    ),
];
const STAMPS: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
const STAMP: &str =
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
const ENTRY: &str = "/verificationMaterial/tlogEntries/0";
const PROMISE_HAS_TIME: &str = "the log's promise says when it was signed";
const COPY: &str = "the signed checkpoint and the entry's own index are what is checked";

/// A value with the pointer to it.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                leaves(inner, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                leaves(inner, &format!("{pointer}/{at}"), found);
            }
        }
        _ => {}
    }
}

/// Every way to change one value, each with its name.
fn changes(value: &Value) -> Vec<(String, Value)> {
    let mut changed: Vec<(String, Value)> = vec![
        ("null".into(), Value::Null),
        ("an object".into(), json!({})),
        ("a list".into(), json!([])),
    ];
    match value {
        Value::String(text) => {
            if let Ok(number) = text.parse::<i64>() {
                for other in [number + 1, number - 1, 0, -1, i64::MAX] {
                    changed.push((format!("number {other}"), json!(other.to_string())));
                }
            } else if let (true, Ok(bytes)) = (text.len() > 8, STANDARD.decode(text)) {
                for at in [0, 1, bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4] {
                    let mut other = bytes.clone();
                    other[at] ^= 1;
                    changed.push((format!("bit of byte {at}"), json!(STANDARD.encode(other))));
                }
                let mut other = bytes.clone();
                *other.last_mut().unwrap() ^= 1;
                changed.push(("last bit".into(), json!(STANDARD.encode(other))));
                let longer = [bytes.as_slice(), b"\0"].concat();
                changed.push(("a byte more".into(), json!(STANDARD.encode(longer))));
                let shorter = &bytes[..bytes.len() - 1];
                changed.push(("a byte less".into(), json!(STANDARD.encode(shorter))));
                changed.push(("blank".into(), json!(format!("{text} "))));
            } else {
                changed.push(("x more".into(), json!(format!("{text}x"))));
                changed.push(("upper case".into(), json!(text.to_uppercase())));
                for at in [0, text.len() / 3, text.len() / 2, text.len().saturating_sub(3)] {
                    let mut other: Vec<char> = text.chars().collect();
                    if let Some(c) = other.get_mut(at) {
                        *c = if *c == 'x' { 'y' } else { 'x' };
                    }
                    changed.push((format!("x at {at}"), json!(String::from_iter(other))));
                }
            }
        }
        Value::Array(items) => {
            if let Some(first) = items.first() {
                let twice = [items.as_slice(), std::slice::from_ref(first)].concat();
                changed.push(("the first twice".into(), json!(twice)));
                changed.push(("without the last".into(), json!(items[..items.len() - 1])));
                changed.push(("reversed".into(), json!(items.iter().rev().collect::<Vec<_>>())));
            }
        }
        Value::Object(fields) => {
            for key in fields.keys() {
                let mut other: Map<String, Value> = fields.clone();
                other.remove(key);
                changed.push((format!("without {key}"), Value::Object(other)));
            }
        }
        _ => {}
    }
    changed.retain(|(_, other)| other != value);
    changed
}

#[test]
fn no_value_of_a_bundle_can_be_changed_unnoticed() {
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let options = Options { rekor: vec![version], ..Options::default() };
        let world = World::with(RegistryOptions::default(), options);
        let chart = Chart::new("web", "1.4.2");
        let file = package(&world, &chart);
        let digest = digest_of(&chart.tgz());
        let bundle = sign(&world, &statement(&[chart_subject(&digest, "web", "1.4.2")]));
        let path = write(&world, "b.json", &bundle);
        world.verify(&[&file, "--bundle", &path]).exits(0);
        let bundle: Value = serde_json::from_slice(&bundle).unwrap();
        let mut pointers = Vec::new();
        leaves(&bundle, "", &mut pointers);
        let told = world.verdict(&[&file, "--bundle", &path]);
        let mut unused: Vec<_> = UNAUTHENTICATED.iter().collect();
        unused.retain(|row| format!("{version:?}").starts_with(row.0));
        for pointer in &pointers {
            for (what, change) in changes(bundle.pointer(pointer).unwrap()) {
                let mut altered = bundle.clone();
                *altered.pointer_mut(pointer).unwrap() = change;
                write(&world, "b.json", altered.to_string().as_bytes());
                let result = world.verdict(&[&file, "--bundle", &path]);
                let about = format!("{version:?} {pointer}: {what}: {result:#}");
                match result["verdict"].as_str().unwrap() {
                    "refused" => {}
                    // A statement of another kind is set aside before anything is verified.
                    "unsigned" => {
                        assert_eq!(pointer, "/dsseEnvelope/payload", "{about}");
                        assert_eq!(result["signatures"][0]["reason"], "wrong-predicate", "{about}");
                    }
                    "verified" => {
                        let row = UNAUTHENTICATED.iter().find(|(log, place, change, _)| {
                            format!("{version:?}").starts_with(log)
                                && pointer == place
                                && what.starts_with(change)
                        });
                        assert!(row.is_some(), "{about}");
                        unused.retain(|unused| Some(*unused) != row);
                        says_no_more_than(&result, &told, &about);
                    }
                    _ => panic!("{about}"),
                }
            }
        }
        // A row that nothing needs is a hole that nobody sees.
        assert!(unused.is_empty(), "{version:?}: {unused:#?}");
    }
}

/// Insists that a report tells what another one tells, or nothing in its place.
fn says_no_more_than(found: &Value, told: &Value, about: &str) {
    assert_eq!(found["chart"], told["chart"], "{about}");
    let (found, told) = (&found["signatures"][0], &told["signatures"][0]);
    for key in ["signer", "subject", "predicateType"] {
        assert_eq!(found[key], told[key], "{about}");
    }
    assert_eq!(found["log"]["url"], told["log"]["url"], "{about}");
    for pointer in ["/log/index", "/log/time", "/timestamp"] {
        let said = found.pointer(pointer).unwrap();
        assert!(said.is_null() || told.pointer(pointer) == Some(said), "{pointer} {about}");
    }
}
