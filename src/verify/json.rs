//! One strict look at JSON before it is parsed into a type.
//!
//! Two readers that resolve a repeated key differently see two documents in the same signed bytes
//! (gitsign CVE-2026-44309), so a repeated key is an error here, at any depth, and so is nesting that
//! no bundle or statement needs.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// The deepest nesting that is read; bundles and statements need about ten levels.
const MAX_DEPTH: usize = 64;

/// Checks that `bytes` are exactly one JSON document without repeated keys.
///
/// # Errors
/// The parser's words for what is wrong and where.
pub(super) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    Node { depth: 0 }.deserialize(&mut parser)?;
    parser.end()
}

struct Node {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl Node {
    fn child<E: de::Error>(&self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        loop {
            let child = self.child()?;
            if items.next_element_seed(child)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            let child = self.child()?;
            if seen.contains(&key) {
                return Err(de::Error::custom(format!("the key {key:?} is repeated")));
            }
            seen.insert(key);
            entries.next_value_seed(child)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_plain_documents() {
        assert!(check(br#"{"a":[1,-2,3.5,"x",null,true],"b":{"a":{}}}"#).is_ok());
    }

    #[test]
    fn refuses_a_repeated_key_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#]
        {
            let error = check(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("repeated"), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_a_second_document_and_trailing_bytes() {
        assert!(check(b"{} {}").is_err());
        assert!(check(b"{}x").is_err());
        assert!(check(b"").is_err());
    }

    #[test]
    fn refuses_deep_nesting_without_overflowing_the_stack() {
        let deep = "[".repeat(100_000);
        assert!(check(deep.as_bytes()).is_err());
    }
}
