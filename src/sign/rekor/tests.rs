use std::sync::Mutex;

use serde_json::{Value, json};

use crate::error::{Class, Reason};
use crate::net::testing::{Server, reply};
use crate::sign::services::RekorVersion;
use crate::sign::testing::instance::{Instance, assert_error};
use crate::sign::testing::{Answers, body_v1, body_v2, entry_v2};

#[tokio::test]
async fn an_entry_that_the_log_has_already_counts_if_it_is_ours() {
    let instance = Instance::start(Answers::default(), |seen, _| {
        static BODY: Mutex<Option<Value>> = Mutex::new(None);
        match (seen.method.as_str(), seen.path()) {
            ("POST", "/api/v1/log/entries") => {
                let request: Value = serde_json::from_slice(&seen.body).unwrap();
                *BODY.lock().unwrap() = Some(body_v1(&request));
                Some(reply(409, &[("Location", "/api/v1/log/entries/24296fb2")], ""))
            }
            ("GET", "/api/v1/log/entries/24296fb2") => {
                let body = BODY.lock().unwrap().take().unwrap();
                Some(reply(200, &[], Answers::default().entry_v1(&body).to_string()))
            }
            _ => None,
        }
    })
    .await;
    let signed = instance.sign().await.unwrap();
    assert_eq!(signed.bundle.verification_material.tlog_entries.len(), 1);
    assert_eq!(instance.paths().len(), 4);
}

#[tokio::test]
async fn an_existing_entry_of_somebody_else_does_not_count() {
    let elsewhere = Server::start(|_, _| reply(200, &[], "{}")).await;
    let there = elsewhere.url("/api/v1/log/entries/1").to_string();
    // Whose entry: that of a whole other run.
    let theirs = Instance::honest().await;
    theirs.sign().await.unwrap();
    let request: Value = serde_json::from_slice(&theirs.server.seen()[2].body).unwrap();
    let theirs = Answers::default().entry_v1(&body_v1(&request)).to_string();
    for (location, words) in [
        (Some("/api/v1/log/entries/1"), "entry is not ours"),
        (Some(there.as_str()), "does not say where"),
        (Some("http://"), "does not say where"),
        (None, "does not say where"),
    ] {
        let (location, theirs) = (location.map(str::to_owned), theirs.clone());
        let instance = Instance::start(Answers::default(), move |seen, _| {
            if seen.method == "GET" {
                return Some(reply(200, &[], &theirs));
            }
            seen.path().ends_with("entries").then(|| match &location {
                Some(location) => reply(409, &[("Location", location)], ""),
                None => reply(409, &[], ""),
            })
        })
        .await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::Malformed, words);
    }
    assert!(elsewhere.seen().is_empty());
}

/// Changes the value at a JSON pointer.
fn bend(value: &mut Value, pointer: &str, to: Value) {
    *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = to;
}

#[tokio::test]
async fn refuses_entries_of_the_first_generation_that_are_not_about_our_signature() {
    for (pointer, to) in [
        ("/kind", json!("hashedrekord")),
        ("/apiVersion", json!("0.0.2")),
        ("/spec/payloadHash/value", json!("00".repeat(32))),
        ("/spec/payloadHash/algorithm", json!("sha512")),
        ("/spec/signatures", json!([])),
        ("/spec/signatures/0/signature", json!("AAAA")),
        ("/spec/signatures/0/verifier", json!("AAAA")),
    ] {
        let instance = Instance::start(Answers::default(), move |seen, _| {
            seen.path().ends_with("entries").then(|| {
                let mut body = body_v1(&serde_json::from_slice(&seen.body).unwrap());
                bend(&mut body, pointer, to.clone());
                reply(201, &[], Answers::default().entry_v1(&body).to_string())
            })
        })
        .await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::Malformed, "cannot log the signature");
    }
}

#[tokio::test]
async fn refuses_entries_of_the_second_generation_that_are_not_about_our_signature() {
    let data = "/spec/hashedRekordV002/data";
    let signature = "/spec/hashedRekordV002/signature";
    for (pointer, to) in [
        ("/kind".to_owned(), json!("dsse")),
        ("/apiVersion".to_owned(), json!("0.0.1")),
        (format!("{data}/digest"), json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        (format!("{data}/algorithm"), json!("SHA2_512")),
        (format!("{signature}/content"), json!("AAAA")),
        (format!("{signature}/verifier/x509Certificate/rawBytes"), json!("AAAA")),
    ] {
        let mut instance = Instance::start(Answers::default(), move |seen, _| {
            seen.path().ends_with("entries").then(|| {
                let mut body = body_v2(&serde_json::from_slice(&seen.body).unwrap());
                bend(&mut body, &pointer, to.clone());
                reply(201, &[], entry_v2(&body).to_string())
            })
        })
        .await;
        instance.version = RekorVersion::V2;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::Malformed, "cannot log the signature");
    }
}

#[tokio::test]
async fn refuses_an_entry_without_what_its_generation_owes() {
    let verification = "/24296fb24b8ad77a/verification";
    for (pointer, to, words) in [
        (format!("{verification}/signedEntryTimestamp"), Value::Null, "no signed time"),
        ("/24296fb24b8ad77a/integratedTime".to_owned(), Value::Null, "no signed time"),
        (format!("{verification}/inclusionProof"), Value::Null, "no proof"),
        (verification.to_owned(), Value::Null, "no signed time"),
        (format!("{verification}/inclusionProof/checkpoint"), json!("log"), "cannot be read"),
    ] {
        let instance = Instance::start(Answers::default(), move |seen, _| {
            seen.path().ends_with("entries").then(|| {
                let body = body_v1(&serde_json::from_slice(&seen.body).unwrap());
                let mut entry = Answers::default().entry_v1(&body);
                bend(&mut entry, &pointer, to.clone());
                reply(201, &[], entry.to_string())
            })
        })
        .await;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::Malformed, words);
    }
    for (field, to, words) in [
        ("integratedTime", json!("1800000000"), "a time that nobody signed"),
        ("inclusionPromise", json!({"signedEntryTimestamp": "AAAA"}), "a time that nobody signed"),
        ("inclusionProof", Value::Null, "no proof"),
    ] {
        let mut instance = Instance::start(Answers::default(), move |seen, _| {
            seen.path().ends_with("entries").then(|| {
                let mut entry = entry_v2(&body_v2(&serde_json::from_slice(&seen.body).unwrap()));
                entry[field] = to.clone();
                reply(201, &[], entry.to_string())
            })
        })
        .await;
        instance.version = RekorVersion::V2;
        let error = instance.sign().await.unwrap_err();
        assert_error(&error, Class::Undecided, Reason::Malformed, words);
    }
}

#[tokio::test]
async fn a_lost_answer_of_the_second_generation_says_what_to_do() {
    let mut instance = Instance::start(Answers::default(), |seen, _| {
        seen.path()
            .ends_with("entries")
            .then(|| reply(409, &[("x-log-index", "7")], r#"{"message":"exists at index 7"}"#))
    })
    .await;
    instance.version = RekorVersion::V2;
    let error = instance.sign().await.unwrap_err();
    assert_error(&error, Class::Undecided, Reason::ServiceUnreachable, "exists at index 7");
    assert!(error.to_string().contains("sign again"));
}
