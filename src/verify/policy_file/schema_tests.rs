//! `docs/policy.schema.json` and the examples in `docs/policy.md`, held to the parser.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::{Map, Value, json};

use super::document::{Wire, WireRule};
use super::signer::WireSigner;
use super::*;

const SCHEMA_FILE: &str = include_str!("../../../docs/policy.schema.json");
const PAGE: &str = include_str!("../../../docs/policy.md");
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";

/// What a structure asks a reader for: the names of its fields.
#[derive(Debug)]
struct Fields(Vec<&'static str>);

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Fields {}

impl de::Error for Fields {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Vec::new())
    }
}

struct Asked;

impl<'de> Deserializer<'de> for Asked {
    type Error = Fields;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
        Err(Fields(Vec::new()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields.to_vec()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn keys_of<T: DeserializeOwned>() -> BTreeSet<String> {
    match T::deserialize(Asked) {
        Err(Fields(names)) => names.into_iter().map(str::to_owned).collect(),
        Ok(_) => BTreeSet::new(),
    }
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA_FILE).unwrap()
}

fn properties(of: &Value) -> BTreeSet<String> {
    assert_eq!(of["additionalProperties"], false, "{of}");
    of["properties"].as_object().unwrap().keys().cloned().collect()
}

/// The kinds of entries in a list, each by the key that makes it one.
fn entries(schema: &Value) -> Vec<(String, Value)> {
    let mut entries: Vec<Value> = schema["$defs"]["identity"]["oneOf"].as_array().unwrap().clone();
    entries.extend(["key", "digest"].map(|one| schema["$defs"][one].clone()));
    let named = |one: Value| (one["required"][0].as_str().unwrap().to_owned(), one);
    entries.into_iter().map(named).collect()
}

fn parse(text: &str) -> Result<PolicyFile> {
    PolicyFile::parse(text.as_bytes(), &|_| PublicKey::from_pem(PEM.as_bytes()))
}

/// A policy of one rule, which is also JSON.
fn of_rule(rule: Value) -> String {
    json!({ "schema": SCHEMA, "rules": [rule] }).to_string()
}

#[test]
fn the_schema_has_every_key_of_the_parser_and_no_other() {
    let schema = schema();
    assert_eq!(properties(&schema), keys_of::<Wire>());
    assert_eq!(properties(&schema["$defs"]["rule"]), keys_of::<WireRule>());
    let known: BTreeSet<String> =
        entries(&schema).iter().flat_map(|(_, entry)| properties(entry)).collect();
    assert_eq!(known, keys_of::<WireSigner>());
}

#[test]
fn the_schema_gives_every_kind_of_signer_the_keys_that_the_parser_gives_it() {
    let schema = schema();
    let entries = entries(&schema);
    let kinds: Vec<&str> = entries.iter().map(|(kind, _)| kind.as_str()).collect();
    for (kind, entry) in &entries {
        let allowed = properties(entry);
        for key in keys_of::<WireSigner>().iter().filter(|key| *key != kind) {
            let value = |key: &str| match key {
                "insecure-ignore-tlog" => json!(true),
                _ => json!("x"),
            };
            let mut signer = Map::new();
            signer.insert(kind.clone(), value(kind));
            signer.insert(key.clone(), value(key));
            let rule =
                json!({ "repositories": ["r.io/a"], "deny": [signer], "any-of": [{"key": "k"}] });
            let cause =
                parse(&of_rule(rule)).map_or_else(|error| error.to_string(), |_| String::new());
            let out_of_place =
                cause.contains("does not belong to") || cause.contains("are two signers");
            assert_eq!(allowed.contains(key), !out_of_place, "{kind} with {key}: {cause}");
            assert!(!kinds.contains(&key.as_str()) || out_of_place, "{kind} with {key}");
        }
    }
}

#[test]
fn the_schema_has_the_words_and_bounds_of_the_parser() {
    let schema = schema();
    let rule = &schema["$defs"]["rule"]["properties"];
    let with = |key: &str, value: Value| {
        let mut rule = json!({ "repositories": ["r.io/a"], "any-of": [{"key": "k"}] });
        if key == "prov" && value != "ignore" {
            rule["keyring"] = json!("k.gpg");
        }
        rule[key] = value;
        parse(&of_rule(rule))
    };
    let words = rule["prov"]["enum"].as_array().unwrap();
    assert_eq!(words.len(), 4);
    for word in words {
        with("prov", word.clone()).unwrap();
    }
    assert!(with("prov", json!("signed")).is_err());
    assert_eq!(schema["properties"]["schema"]["const"], SCHEMA);
    let most = rule["require-predicate"]["maxItems"].as_u64().unwrap();
    let kinds = |count: u64| (0..count).map(|at| json!(format!("urn:x:{at}"))).collect::<Value>();
    with("require-predicate", kinds(most)).unwrap();
    assert!(with("require-predicate", kinds(most + 1)).is_err());
    assert!(with("require-predicate", kinds(0)).is_err());
    let digest = |at: u64| json!({ "digest": format!("sha256:{at:064x}") });
    let most = rule["deny"]["maxItems"].as_u64().unwrap();
    with("deny", (0..most).map(digest).collect()).unwrap();
    assert!(with("deny", (0..=most).map(digest).collect()).is_err());
    let most = schema["$defs"]["signers"]["maxItems"].as_u64().unwrap();
    let person = |at: u64| json!({ "email": format!("p{at}@acme.example"), "issuer": "i" });
    with("any-of", (0..most).map(person).collect()).unwrap();
    assert!(with("any-of", (0..=most).map(person).collect()).is_err());
}

#[test]
fn the_examples_of_the_page_are_policies() {
    let examples: Vec<&str> =
        PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        parse(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

#[test]
fn the_page_has_every_key_of_the_parser() {
    let keys = keys_of::<WireRule>().into_iter().chain(keys_of::<WireSigner>());
    let github = "certificate-github-workflow";
    for key in keys {
        let tail = key.strip_prefix(github).filter(|tail| !tail.is_empty());
        let there = PAGE.contains(&format!("`{key}`"))
            || PAGE.contains(&format!("`{key}: "))
            || tail.is_some_and(|tail| PAGE.contains(&format!("`{tail}`")));
        assert!(there, "docs/policy.md does not speak of {key}");
    }
}
