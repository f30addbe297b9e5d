//! What `trust show` prints: what is trusted, from where, how old it is and until when it counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::super::args::Output;
use super::super::words::escape;
use super::super::{Context, Ended};
use super::{Trust, documents, parsed};
use crate::chart::Digest;
use crate::error::Result;
use crate::trust;

/// The schema of the JSON form.
const SCHEMA: &str = "helm-sigstore.trust/v1";

/// A part of a trusted root: its name, what people call one entry of it, and where an entry says what.
struct Part {
    name: &'static str,
    label: &'static str,
    url: &'static str,
    window: &'static str,
    /// What the entry is known by: a log's key, or the last certificate of an authority's chain.
    anchor: fn(&Value) -> Option<&Value>,
}

const PARTS: [Part; 4] = [
    Part {
        name: "certificateAuthorities",
        label: "Certificate authority",
        url: "/uri",
        window: "/validFor",
        anchor: last_certificate,
    },
    Part {
        name: "ctlogs",
        label: "Certificate log",
        url: "/baseUrl",
        window: "/publicKey/validFor",
        anchor: public_key,
    },
    Part {
        name: "tlogs",
        label: "Transparency log",
        url: "/baseUrl",
        window: "/publicKey/validFor",
        anchor: public_key,
    },
    Part {
        name: "timestampAuthorities",
        label: "Timestamp authority",
        url: "/uri",
        window: "/validFor",
        anchor: last_certificate,
    },
];

fn public_key(entry: &Value) -> Option<&Value> {
    entry.pointer("/publicKey/rawBytes")
}

fn last_certificate(entry: &Value) -> Option<&Value> {
    entry.pointer("/certChain/certificates")?.as_array()?.last()?.get("rawBytes")
}

/// Answers `trust show`, and what `trust init` and `trust update` say in the end.
pub(super) fn answer(found: &Trust, output: Output, context: &Context<'_, '_>) -> Result<Ended> {
    let document = document(found, context)?;
    Ok(match output {
        Output::Json => Ended::Document(document),
        Output::Text => Ended::Text(words(&document)),
    })
}

/// What is trusted, as JSON (`docs/trust.schema.json`).
pub(super) fn document(found: &Trust, context: &Context<'_, '_>) -> Result<Value> {
    let mut document = json!({
        "schema": SCHEMA,
        "source": null,
        "mirror": null,
        "rootVersion": null,
        "refreshed": null,
        "age": null,
        "expires": null,
        "signing": null,
        "file": null,
    });
    match found {
        Trust::Named(source) => document["source"] = source.words().into(),
        Trust::Instance(of) => {
            document["source"] = of.words().into();
            document["mirror"] = of.instance.mirror.as_str().into();
            document["rootVersion"] = of.root_version.into();
            document["refreshed"] = of.refreshed.to_string().into();
            document["age"] = of.age(context.world.now()).into();
            document["expires"] = of.expires.to_string().into();
            document["signing"] = of.can_sign().into();
        }
    }
    let roots: Vec<_> =
        documents(found, context)?.iter().map(|root| parsed(root)).collect::<Result<_>>()?;
    for part in PARTS {
        let mut all = Vec::new();
        for (at, root) in roots.iter().enumerate() {
            for entry in root.get(part.name).and_then(Value::as_array).into_iter().flatten() {
                let anchor = (part.anchor)(entry).and_then(Value::as_str);
                let anchor = anchor.and_then(|text| BASE64.decode(text).ok());
                all.push(json!({
                    "url": entry.pointer(part.url),
                    "validFor": entry.pointer(part.window),
                    "digest": anchor.map(|bytes| Digest::of(&bytes).to_string()),
                    "root": (roots.len() > 1).then_some(at + 1),
                }));
            }
        }
        document[part.name] = all.into();
    }
    Ok(document)
}

/// The document for people; what is foreign in it is escaped.
fn words(document: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(escape(text)),
        other => Some(other.to_string()),
    };
    let mut words = String::new();
    for (field, label) in [
        ("source", "Trusted"),
        ("mirror", "Mirror"),
        ("rootVersion", "TUF root"),
        ("refreshed", "Refreshed"),
        ("expires", "Expires"),
    ] {
        let Some(value) = document.get(field).and_then(text) else { continue };
        let age = document.get("age").and_then(Value::as_i64).filter(|_| field == "refreshed");
        let age = age.map(|age| format!("  ({} ago)", trust::age_words(age))).unwrap_or_default();
        words.push_str(&format!("{label}: {value}{age}\n"));
    }
    for part in PARTS {
        for entry in document.get(part.name).and_then(Value::as_array).into_iter().flatten() {
            let at = |pointer| entry.pointer(pointer).and_then(text);
            let url = at("/url").unwrap_or_default();
            words.push_str(&format!("{}: {url}", part.label));
            if let Some(start) = at("/validFor/start") {
                words.push_str(&format!("  from {start}"));
            }
            if let Some(end) = at("/validFor/end") {
                words.push_str(&format!(" until {end}"));
            }
            if let Some(number) = at("/root") {
                words.push_str(&format!("  (root {number})"));
            }
            words.push('\n');
        }
    }
    words
}
