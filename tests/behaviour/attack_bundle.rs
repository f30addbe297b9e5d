//! A good bundle with one thing changed.

use base64::Engine as _;
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

/// A DER value: tag, length, content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [[tag, 0x84].as_slice(), &length, content].concat()
}

#[test]
fn caps_oid_length() {
    let (world, file, good) = signed(RekorVersion::V2);
    let path = world.path("changed.json");
    // 1 MB of arcs, and one arc of 1 MB.
    let many = der(0x06, &vec![0x2b; 1 << 20]);
    let one = der(0x06, &[vec![0xff; 1 << 20], vec![0x01]].concat());
    for oid in [many, one] {
        let mut arcs = vec![1, 3, 6];
        arcs.resize(200_000, 1);
        let extension = rcgen::CustomExtension::from_oid_content(&arcs, b"x".to_vec());
        let mut params = rcgen::CertificateParams::default();
        params.custom_extensions.push(extension);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        // A name of a type that nobody has heard of, as far as a parser of certificates gets to it.
        let name = der(0x30, &[oid.clone(), der(0xa0, b"")].concat());
        let status = der(0x30, &der(0x02, &[0]));
        let token = der(0x30, &[oid, der(0xa0, b"")].concat());
        let timestamp = der(0x30, &[status, token].concat());
        for (place, bytes) in [
            ("/verificationMaterial/certificate/rawBytes", certificate.der().to_vec()),
            ("/verificationMaterial/certificate/rawBytes", name),
            (
                "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
                timestamp,
            ),
        ] {
            let mut changed = good.clone();
            let value = changed.pointer_mut(place).unwrap();
            *value = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
            std::fs::write(&path, changed.to_string()).unwrap();
            let argument = path.to_str().unwrap();
            let ended = world.verify(&[&file, "--bundle", argument]).exits(5);
            // Nothing of it is repeated.
            assert!(ended.stderr.len() < 2000, "{} bytes", ended.stderr.len());
        }
    }
}
