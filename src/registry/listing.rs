//! Reading an index as a list of referrers: what it says of each, and not a byte more than that is kept.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::manifest::Descriptor;

/// An entry of a list: its descriptor, or why it is none. One bad entry hides none of the others.
pub type Entry = std::result::Result<Descriptor, String>;

/// What a document turned out to be.
#[derive(Debug)]
pub(super) enum List {
    Entries(Vec<Entry>),
    /// It lists more than that.
    TooMany,
    /// It is JSON, and no index.
    NoIndex,
}

/// Reads an index; nothing behind the entry after the last that fits is looked at.
///
/// # Errors
///
/// A phrase, as of [`super::Index::parse`].
pub(super) fn read(bytes: &[u8], max: usize) -> std::result::Result<List, String> {
    let Fields(fields) = serde_json::from_slice(bytes)
        .map_err(|error| format!("the index is not valid JSON at column {}", error.column()))?;
    let Some((_, raw)) = fields.iter().find(|(name, _)| name == "manifests") else {
        return Ok(List::NoIndex);
    };
    if fields.iter().any(|(name, _)| matches!(name.as_ref(), "config" | "layers")) {
        return Err("the document is an index and a manifest at once".into());
    }
    let mut parser = serde_json::Deserializer::from_str(raw.get());
    match parser.deserialize_option(Entries { max }) {
        Ok(Some(entries)) => Ok(List::Entries(entries)),
        Ok(None) => Ok(List::TooMany),
        Err(_) => Ok(List::NoIndex),
    }
}

/// The fields of an object, each once; the values as they stand in the document.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    // Few, or the search below would take long.
                    if fields.len() == 64 || fields.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom("too many keys, or one twice"));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The entries, or nothing if there are more than `max`. `null` is what some writers put where none are.
struct Entries {
    max: usize,
}

impl<'de> Visitor<'de> for Entries {
    type Value = Option<Vec<Entry>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Some(Vec::new()))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(raw) = list.next_element::<&'de RawValue>()? {
            if entries.len() == self.max {
                // The rest is passed over, as the parser wants it, and nothing of it kept.
                while list.next_element::<de::IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            entries.push(serde_json::from_str(raw.get()).map_err(|error: serde_json::Error| {
                crate::net::bounded_line(&error.to_string(), 200)
            }));
        }
        Ok(Some(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Index;
    use super::*;

    #[test]
    fn reads_the_same_as_who_writes_an_index() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let good = format!("{{\"digest\":\"{digest}\",\"size\":1,\"annotations\":null}}");
        for text in [
            format!("{{\"manifests\":[{good},{{}},7,{good}]}}"),
            format!("{{\"schemaVersion\":2,\"manifests\":[{good}],\"x\":{{\"manifests\":1}}}}"),
            "{\"manifests\":null}".to_owned(),
            "{\"manifests\":[]}".to_owned(),
            "{\"manifests\":7}".to_owned(),
            "{\"layers\":[]}".to_owned(),
            "{\"manifests\":[],\"layers\":[]}".to_owned(),
            "{\"manifests\":[],\"manifests\":[]}".to_owned(),
            "{\"manifests\":[".to_owned(),
            "[]".to_owned(),
        ] {
            let written = Index::parse(text.as_bytes()).map(|index| {
                index.map(|index| {
                    let entries = index.entries().iter().map(|entry| entry.descriptor.clone());
                    entries.collect::<Vec<_>>()
                })
            });
            let listed = read(text.as_bytes(), 10).map(|list| match list {
                List::Entries(entries) => Some(entries),
                List::TooMany => panic!("{text}"),
                List::NoIndex => None,
            });
            assert_eq!(written, listed, "{text}");
        }
        let text = format!("{{\"manifests\":[{good},{good},{good}]}}");
        assert!(matches!(read(text.as_bytes(), 3), Ok(List::Entries(all)) if all.len() == 3));
        assert!(matches!(read(text.as_bytes(), 2), Ok(List::TooMany)));
    }
}
