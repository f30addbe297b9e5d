//! A look at the keys of a JSON or YAML document before it is believed.
//!
//! Go's `encoding/json`, which reads every chart in Helm, matches field names without regard to case and
//! lets a later key win. A document that holds `layers` twice, or `layers` and `Layers`, therefore
//! says different things to Helm and to us; it is refused.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How far down a document keys are checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Every object, but not the contents of `annotations`, which are free text for Go too.
    Whole,
    /// Only the outermost object.
    Top,
}

/// Walks a document and keeps nothing: fails on a repeated key, and on a key that Go would take for
/// one of `known` although it is spelled otherwise.
#[derive(Clone, Copy)]
pub(super) struct StrictKeys {
    pub(super) known: &'static [&'static str],
    pub(super) depth: Depth,
    /// Whether the outermost object may hold the merge key of YAML, `<<`, as a key like any other.
    pub(super) merge: bool,
}

impl StrictKeys {
    pub(super) fn confusable(&self, key: &str) -> Option<&'static str> {
        if key.is_ascii() {
            // No allocation: a manifest has room for hundreds of thousands of keys.
            let known = self.known.iter().copied();
            return known.filter(|known| known.eq_ignore_ascii_case(key)).find(|k| *k != key);
        }
        let folded = folded(key);
        self.known.iter().copied().find(|known| folded == self::folded(known))
    }
}

/// Go's case folding for field names: simple folding, which also maps the long s and the Kelvin sign.
fn folded(key: &str) -> String {
    key.chars().flat_map(char::to_lowercase).map(|c| if c == 'ſ' { 's' } else { c }).collect()
}

impl<'de> DeserializeSeed<'de> for StrictKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if let Some(known) = self.confusable(&key) {
                return Err(de::Error::custom(format!(
                    "key {key:?} would be read as {known:?} by some and not by others"
                )));
            }
            if !self.merge && key == "<<" {
                return Err(de::Error::custom("a merge key is read in two ways"));
            }
            match (self.depth, key.as_str()) {
                (Depth::Top, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
                (Depth::Whole, "annotations") => {
                    map.next_value_seed(Self { known: &[], ..self })?;
                }
                (Depth::Whole, _) => map.next_value_seed(self)?,
            }
            if let Some(twice) = seen.replace(key) {
                return Err(de::Error::custom(format!("key {twice:?} appears twice")));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        match self.depth {
            Depth::Top => while seq.next_element::<IgnoredAny>()?.is_some() {},
            Depth::Whole => while seq.next_element_seed(self)?.is_some() {},
        }
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Checks the keys of a JSON document.
pub(super) fn check_json(bytes: &[u8], keys: StrictKeys) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    keys.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Checks that `bytes` are exactly one JSON document without repeated keys, at any depth; nesting is bounded
/// by the parser. Two readers that resolve a repeated key differently see two documents in the same signed
/// bytes (gitsign CVE-2026-44309).
///
/// # Errors
/// The parser's words for what is wrong and where.
pub(crate) fn check_distinct_keys(bytes: &[u8]) -> Result<(), serde_json::Error> {
    check_json(bytes, StrictKeys { known: &[], depth: Depth::Whole, merge: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: StrictKeys =
        StrictKeys { known: &["layers", "size", "key"], depth: Depth::Whole, merge: true };

    #[test]
    fn one_document_with_distinct_keys_is_read_and_nothing_else() {
        assert!(check_distinct_keys(br#"{"a":[1,{"a":2}],"b":{"a":3}}"#).is_ok());
        for text in [r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#, "{} {}", "{}x", ""]
        {
            assert!(check_distinct_keys(text.as_bytes()).is_err(), "{text}");
        }
        assert!(check_distinct_keys("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn refuses_repeated_and_confusable_keys_at_any_depth() {
        for (json, good) in [
            (r#"{"layers":[],"config":{"size":1,"note":null,"f":1.5,"t":true,"i":-1}}"#, true),
            (r#"{"layers":[],"layers":[]}"#, false),
            (r#"{"other":1,"other":1}"#, false),
            (r#"{"a":[{"b":1,"b":2}]}"#, false),
            (r#"{"Layers":[]}"#, false),
            (r#"{"a":[{"LAYERS":[]}]}"#, false),
            (r#"{"\u017fize":1}"#, false),
            (r#"{"\u212aey":1}"#, false),
            (r#"{"annotations":{"Size":"free","size":"free"}}"#, true),
            (r#"{"annotations":{"a":"1","a":"2"}}"#, false),
            (r#"{"a":1} x"#, false),
        ] {
            assert_eq!(check_json(json.as_bytes(), WHOLE).is_ok(), good, "{json}");
        }
    }

    #[test]
    fn refuses_documents_that_are_too_deep() {
        let deep = "[".repeat(100_000);
        assert!(check_json(deep.as_bytes(), WHOLE).is_err());
    }
}
