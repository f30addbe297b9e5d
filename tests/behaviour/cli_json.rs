//! `-o json`: one document at every exit code, in the shape of the shipped schema.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Action, Fault};
use regex::Regex;
use serde_json::Value;

use crate::cli_support::{Setting, verify_words};
use crate::support::{Ended, World};

pub(crate) const SCHEMA: &str = include_str!("../../docs/report.schema.json");
const VERSION_SCHEMA: &str = include_str!("../../docs/version.schema.json");

/// The words of the schema language that our schemas use, and no others.
const KNOWN: &[&str] = &[
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "const",
    "description",
    "enum",
    "format",
    "items",
    "minItems",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// What is wrong with `value` by `schema`, a part of `root`: enough of JSON Schema 2020-12 for our files.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = schema.as_object().unwrap();
    for word in schema.keys() {
        assert!(KNOWN.contains(&word.as_str()), "{at}: this validator does not know {word}");
    }
    if let Some(reference) = schema.get("$ref") {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        faults(root, root.pointer(pointer).unwrap(), value, at, found);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => true,
    };
    if !allowed {
        found.push(format!("{at}: a {kind}"));
    }
    if schema.get("const").is_some_and(|expected| expected != value)
        || schema.get("enum").is_some_and(|list| !list.as_array().unwrap().contains(value))
    {
        found.push(format!("{at}: {value}"));
    }
    if let (Some(pattern), Some(text)) = (schema.get("pattern"), value.as_str())
        && !Regex::new(pattern.as_str().unwrap()).unwrap().is_match(text)
    {
        found.push(format!("{at}: {text} is not {pattern}"));
    }
    if let (Some(format), Some(text)) = (schema.get("format"), value.as_str()) {
        assert_eq!(format, "date-time");
        if text.parse::<jiff::Timestamp>().is_err() || !text.ends_with('Z') {
            found.push(format!("{at}: {text} is no time"));
        }
    }
    if let Value::Object(fields) = value {
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !fields.contains_key(required.as_str().unwrap()) {
                found.push(format!("{at}: no {required}"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, value) in fields {
            let at = format!("{at}.{name}");
            match properties.map(|known| known.get(name)) {
                Some(Some(schema)) => faults(root, schema, value, &at, found),
                // Readers ignore what they do not know; what we write is in the schema.
                Some(None) => found.push(format!("{at} is not in the schema")),
                None => {}
            }
        }
    }
    if let Value::Array(items) = value {
        if (items.len() as u64) < schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) {
            found.push(format!("{at}: too few"));
        }
        for (number, item) in items.iter().enumerate() {
            if let Some(schema) = schema.get("items") {
                faults(root, schema, item, &format!("{at}[{number}]"), found);
            }
        }
    }
}

#[track_caller]
pub(crate) fn follows(schema: &str, document: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut found = Vec::new();
    faults(&schema, &schema, document, "$", &mut found);
    assert!(found.is_empty(), "{}\n{document:#}", found.join("\n"));
}

/// The one document of a run, which follows the schema and repeats the exit code.
#[track_caller]
fn report(ended: Ended) -> Value {
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    assert!(ended.stdout.ends_with('\n'), "{ended:?}");
    let document = ended.json();
    follows(SCHEMA, &document);
    assert_eq!(document["exitCode"], ended.code, "{document:#}");
    document
}

#[track_caller]
fn verdict(ended: Ended, expected: &str) -> Value {
    let document = report(ended);
    assert_eq!(document["verdict"], expected, "{document:#}");
    let result = document["results"][0].clone();
    let success = ["verified", "signed"].contains(&expected);
    for field in ["reason", "message"] {
        assert_eq!(result[field].is_null(), success, "{field}: {document:#}");
    }
    assert_eq!(result["retryable"], expected == "undecided");
    result
}

#[test]
fn every_verdict_of_verify_is_one_document_in_the_shape_of_the_schema() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let file = Chart::new("web", "1.4.2").write_to(world.directory()).unwrap();
    let file = file.display().to_string();
    let signer = world.signer();
    let run = |arguments: &[&str]| {
        let mut words = verify_words(&signer, arguments);
        words.extend(["-o", "json"]);
        world.run(&words)
    };
    let unsigned = verdict(run(&[&reference]), "unsigned");
    assert_eq!(unsigned["lookedIn"].as_array().unwrap().len(), 3, "{unsigned:#}");
    verdict(run(&[&file]), "unsigned");

    let bundle = world.argument("web.json");
    world.run(&["sign", &reference, "--bundle-out", &bundle]).exits(0);
    let verified = verdict(run(&[&reference]), "verified");
    assert_eq!(verified["manifestDigest"], pushed.manifest_digest.as_str());
    assert_eq!(
        verified["digestRef"],
        format!("{}@{}", world.repository("web"), pushed.manifest_digest)
    );
    let by_file = verdict(run(&[&file, "--bundle", &bundle]), "verified");
    assert_eq!(by_file["digestRef"], Value::Null);
    assert_eq!(by_file["signatures"][0]["subject"]["kind"], "chart");

    let stranger =
        ["--certificate-identity", "x@example.com", "--certificate-oidc-issuer", "https://x"];
    let mut words = vec!["verify", &reference, "-o", "json"];
    words.extend(stranger);
    let refused = verdict(world.run(&words), "refused");
    assert_eq!(refused["reason"], "wrong-signer");
    assert_eq!(refused["digestRef"], Value::Null);

    let nobody = verdict(world.run(&["verify", &reference, "-o", "json"]), "usage");
    assert_eq!(nobody["reason"], "no-identity");
    verdict(run(&[&format!("{}:9.9.9", world.repository("web"))]), "not-found");
    world.registry.fault(Fault::new("/referrers/", Action::status(403)));
    let open = verdict(run(&[&reference]), "undecided");
    assert_eq!(open["reason"], "unauthorized");
}

#[test]
fn every_verdict_of_sign_is_one_document_in_the_shape_of_the_schema() {
    let world = World::new();
    let (reference, _) = world.push_web();
    let signed = verdict(world.run(&["sign", &reference, "-o", "json"]), "signed");
    assert_eq!(signed["attached"].as_array().unwrap().len(), 1);
    assert_eq!(signed["alreadySigned"], false);
    let absent = format!("{}:9.9.9", world.repository("web"));
    let other = Chart::new("web", "1.4.2").description("another");
    let file = other.write_to(world.directory()).unwrap().display().to_string();
    let target = world.target();
    for (words, expected) in [
        (vec!["sign", &absent], "not-found"),
        (vec!["sign", &file, "--repository", &target], "refused"),
        (vec!["sign", "Not/A/Reference"], "usage"),
        (vec!["sign", &reference, "--rekor-version", "7"], "usage"),
        (vec!["sign", &reference, "--timeout", "1ms"], "undecided"),
    ] {
        let mut words = words;
        words.extend(["-o", "json"]);
        let result = verdict(world.run(&words), expected);
        assert_eq!(result["attached"], serde_json::json!([]), "{words:?}");
        assert_eq!(result["alreadySigned"], false, "{words:?}");
    }
}

#[test]
fn a_usage_error_is_a_document_too_with_every_field() {
    let world = World::new();
    for words in [
        vec!["-o", "json"],
        vec!["-o", "json", "verify"],
        vec!["verify", "-ojson", "--nonsense"],
        vec!["verify", "--output=json", "--timeout", "soon", "oci://a.b/c"],
        vec!["verify", "-o", "json", "--registry-config", ""],
        vec!["sgn", "-o", "json"],
        vec!["version", "--nonsense", "-o", "json"],
    ] {
        let result = verdict(world.run(&words), "usage");
        assert_eq!(
            (&result["input"], &result["reason"]),
            (&"".into(), &"usage".into()),
            "{words:?}"
        );
    }
    // An object that cannot be one is named whole, as it was typed.
    let typed = "oci://Ex ample/\u{1b}[31m:1";
    let result = verdict(world.run(&["verify", typed, "-o", "json"]), "usage");
    assert_eq!(result["input"], typed);
    let result = verdict(
        world.run(&["verify", "a.b/c", "--certificate-identity", "x", "-o", "json"]),
        "usage",
    );
    assert_eq!(result["input"], "a.b/c");
}

#[test]
fn the_variable_asks_for_json_as_the_flag_does() {
    let mut world = World::new();
    world.environment.insert("HELM_SIGSTORE_OUTPUT".to_owned(), "json".to_owned());
    report(world.run(&["verify"]));
    follows(VERSION_SCHEMA, &world.run(&["version"]).exits(0).json());
}

#[test]
fn no_control_character_reaches_the_document_raw() {
    let world = World::new();
    let typed = "a\u{1b}b\u{9b}c\u{202e}d.tgz";
    let ended = world.run(&["verify", typed, "-o", "json"]);
    let raw: Vec<_> =
        ended.stdout.trim_end().chars().filter(|c| !c.is_ascii() || c.is_control()).collect();
    assert!(raw.is_empty(), "{raw:?}");
    assert_eq!(report(ended)["results"][0]["input"], typed);
}

#[test]
fn the_version_document_follows_its_schema_and_names_the_executable() {
    let world = World::new();
    let document = Setting::pipes().run(&world, &["version", "-o", "json"]).exits(0).json();
    follows(VERSION_SCHEMA, &document);
    assert_eq!(document["tool"]["executable"], "/plugins/sigstore/bin/helm-sigstore");
}

#[test]
fn the_closed_lists_are_those_of_the_interface() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let list = |pointer: &str| -> Vec<String> {
        let list = schema.pointer(pointer).unwrap().as_array().unwrap();
        let mut words: Vec<_> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        words.sort();
        words
    };
    let sorted = |text: &str| -> Vec<String> {
        let mut words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    };
    for (pointer, words) in [
        (
            "/$defs/reason/enum",
            "wrong-signer bad-signature wrong-chart wrong-version wrong-predicate not-covered unsigned
             not-found unauthorized throttled unreachable trust-expired not-a-chart malformed
             untrusted-instance unsupported-format clock-behind limit-reached trust-unusable no-identity
             bad-token service-unreachable usage too-few-signatures no-provenance provenance-only denied \
             no-rule not-logged wrong-time",
        ),
        ("/$defs/verdict/enum", "verified signed pushed unsigned refused undecided not-found usage"),
        ("/$defs/signature/properties/status/enum", "accepted other refused undecided"),
        ("/$defs/signature/properties/format/enum", "bundle legacy attestation"),
        ("/$defs/place/enum", "referrers fallback-tag cosign-tag file"),
        (
            "/$defs/result/properties/lookedIn/items/properties/place/enum",
            "referrers fallback-tag cosign-tag file log",
        ),
        (
            "/$defs/signature/properties/subject/properties/kind/enum",
            "index manifest chart prov",
        ),
    ] {
        assert_eq!(list(pointer), sorted(words), "{pointer}");
    }
}
