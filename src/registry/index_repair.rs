//! What is wrong with an index of referrers, and the same index without it. Nothing that anybody lists is lost:
//! an entry that is not wrong stays as it is, byte for byte, and only what is there twice goes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::manifest::{Descriptor, Fields, Index, MAX_INDEX_BYTES, json};
use crate::chart::{Digest, INDEX};
use crate::error::{Error, Reason, Result};

/// The fields of an entry that a [`Descriptor`] has; with others, two entries are the same only by the byte.
const KNOWN: [&str; 6] = ["mediaType", "artifactType", "digest", "size", "data", "annotations"];

/// What the manifest behind an entry says of itself, and the entry should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// The manifest's own media type, if it says.
    pub media_type: Option<String>,
    /// Its artifact type, if it says.
    pub artifact_type: Option<String>,
    /// Its length.
    pub size: u64,
    /// Those of its annotations that others decide by.
    pub annotations: BTreeMap<String, String>,
}

/// One thing that is wrong with an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexFault {
    /// The digest that the entry is of; none for the index itself.
    pub digest: Option<String>,
    /// `schemaVersion`, `mediaType`, `artifactType`, `size`, `annotation` or `duplicate`.
    pub field: &'static str,
    /// Which annotation.
    pub annotation: Option<String>,
    /// What stands there, if anything; of a duplicate nothing.
    pub found: Option<String>,
    /// What should; of a duplicate nothing.
    pub expected: Option<String>,
}

impl IndexFault {
    fn new(digest: Option<&Digest>, field: &'static str) -> Self {
        let digest = digest.map(ToString::to_string);
        Self { digest, field, annotation: None, found: None, expected: None }
    }

    fn between(mut self, found: Option<String>, expected: impl Into<String>) -> Self {
        self.found = found;
        self.expected = Some(expected.into());
        self
    }
}

/// An index without its faults.
#[derive(Clone, Debug)]
pub struct RepairedIndex {
    /// The document.
    pub bytes: Bytes,
    /// What was wrong.
    pub faults: Vec<IndexFault>,
}

impl Index {
    /// The index with its entries as `corrections` (by digest) have them, its own type right, and no entry twice;
    /// nothing where nothing is wrong, as with an index that is not there.
    ///
    /// # Errors
    ///
    /// Undecided, if the result would be over the bound of an index.
    pub fn repaired(
        &self,
        corrections: &BTreeMap<Digest, Correction>,
    ) -> Result<Option<RepairedIndex>> {
        if self.fields.is_empty() && self.entries.is_empty() {
            return Ok(None);
        }
        let mut faults = Vec::new();
        let mut fields: Vec<String> = Vec::new();
        for (name, value) in [("schemaVersion", "2".to_owned()), ("mediaType", json(INDEX))] {
            let found = self.fields.iter().find(|(known, _)| known == name);
            if found.is_none_or(|(_, raw)| !same(raw, &value)) {
                let found = found.map(|(_, raw)| shown(raw.get()));
                faults.push(IndexFault::new(None, name).between(found, shown(&value)));
            }
            fields.push(format!("{}:{value}", json(name)));
        }
        let own = |name: &str| !matches!(name, "schemaVersion" | "mediaType");
        let others = self.fields.iter().filter(|(name, _)| own(name));
        fields.extend(others.map(|(name, value)| format!("{}:{}", json(name), value.get())));
        let mut counts: BTreeMap<&Digest, usize> = BTreeMap::new();
        for descriptor in self.entries.iter().flat_map(|entry| &entry.descriptor) {
            *counts.entry(&descriptor.digest).or_default() += 1;
        }
        let mut seen = BTreeSet::new();
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let raw = entry.raw.get();
            let Ok(descriptor) = &entry.descriptor else {
                entries.push(raw.to_owned());
                continue;
            };
            let digest = &descriptor.digest;
            let text = match corrections.get(digest) {
                Some(correction) => corrected(raw, descriptor, correction, &mut faults),
                None => raw.to_owned(),
            };
            // What is there once is not there twice, and comparing takes time.
            let alone = counts.get(digest).is_none_or(|count| *count < 2);
            if alone || seen.insert(identity(&text)) {
                entries.push(text);
            } else {
                faults.push(IndexFault::new(Some(digest), "duplicate"));
            }
        }
        if faults.is_empty() {
            return Ok(None);
        }
        fields.push(format!("\"manifests\":[{}]", entries.join(",")));
        let text = format!("{{{}}}", fields.join(","));
        if text.len() > MAX_INDEX_BYTES {
            let cause = format!("the index would be over its bound of {MAX_INDEX_BYTES} bytes");
            return Err(Error::undecided(Reason::LimitReached, cause));
        }
        Ok(Some(RepairedIndex { bytes: text.into(), faults }))
    }
}

/// Whether a value is that one, however it is written.
fn same(raw: &RawValue, value: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    read(raw.get()) == read(value)
}

/// A value for people: of a string its text.
fn shown(raw: &str) -> String {
    let text = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    crate::net::bounded_line(&text, 200)
}

/// What two entries have in common that are one.
fn identity(raw: &str) -> String {
    let Ok(Fields(fields)) = serde_json::from_str::<Fields>(raw) else { return raw.to_owned() };
    let known = fields.iter().all(|(name, _)| KNOWN.contains(&name.as_str()));
    match serde_json::from_str::<Descriptor>(raw) {
        Ok(descriptor) if known => json(&descriptor),
        _ => raw.to_owned(),
    }
}

/// The entry as the manifest has it; the rest of it as it is.
fn corrected(
    raw: &str,
    found: &Descriptor,
    correction: &Correction,
    faults: &mut Vec<IndexFault>,
) -> String {
    let fault = |field| IndexFault::new(Some(&found.digest), field);
    let Ok(Fields(mut fields)) = serde_json::from_str::<Fields>(raw) else { return raw.to_owned() };
    let mut changed = false;
    let mut set = |name: &str, value: String| {
        changed = true;
        let Ok(value) = RawValue::from_string(value) else { return };
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => fields.push((name.to_owned(), value)),
        }
    };
    if let Some(expected) = correction.media_type.as_ref().filter(|one| **one != found.media_type) {
        let there = Some(found.media_type.clone()).filter(|there| !there.is_empty());
        faults.push(fault("mediaType").between(there, expected));
        set("mediaType", json(expected));
    }
    let artifact_type = correction.artifact_type.as_ref();
    if let Some(expected) = artifact_type.filter(|one| found.artifact_type.as_ref() != Some(one)) {
        faults.push(fault("artifactType").between(found.artifact_type.clone(), expected));
        set("artifactType", json(expected));
    }
    if found.size != correction.size {
        let expected = correction.size.to_string();
        faults.push(fault("size").between(Some(found.size.to_string()), expected.clone()));
        set("size", expected);
    }
    let mut annotations = found.annotations.clone();
    for (name, expected) in &correction.annotations {
        let there = annotations.insert(name.clone(), expected.clone());
        if there.as_ref() != Some(expected) {
            let annotation = Some(name.clone());
            faults.push(IndexFault { annotation, ..fault("annotation") }.between(there, expected));
        }
    }
    if annotations != found.annotations {
        set("annotations", json(&annotations));
    }
    if !changed {
        return raw.to_owned();
    }
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}:{}", json(name), value.get())).collect();
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn index(entries: &str) -> Index {
        let text = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"x\" : [1.50],\"manifests\":[{entries}]}}"
        );
        Index::parse(text.as_bytes()).unwrap().unwrap()
    }

    fn correction() -> Correction {
        Correction {
            media_type: Some(MANIFEST.into()),
            artifact_type: Some(BUNDLE.into()),
            size: 7,
            annotations: [("p".to_owned(), "sign".to_owned())].into(),
        }
    }

    fn corrections(names: &[&str]) -> BTreeMap<Digest, Correction> {
        names.iter().map(|name| (digest(name), correction())).collect()
    }

    #[test]
    fn an_entry_is_given_what_its_manifest_says_and_keeps_what_is_its_own() {
        let wrong = format!(
            "{{ \"digest\":\"{}\", \"size\":7, \"mediaType\":\"{MANIFEST}\", \"artifactType\":\"application/vnd.oci.empty.v1+json\", \"y\":1e3, \"annotations\":{{\"q\":\"kept\"}} }}",
            digest("a")
        );
        let other = format!("{{\"digest\":\"{}\" , \"size\":1, \"z\":[1.0]}}", digest("b"));
        let index = index(&format!("{wrong},{other}"));
        let repaired = index.repaired(&corrections(&["a"])).unwrap().unwrap();
        let text = std::str::from_utf8(&repaired.bytes).unwrap();
        assert!(
            text.contains(&other) && text.contains("\"x\":[1.50]") && text.contains("\"y\":1e3"),
            "{text}"
        );
        let value: Value = serde_json::from_str(text).unwrap();
        let entry = &value["manifests"][0];
        assert_eq!(entry["artifactType"], BUNDLE);
        assert_eq!(
            (&entry["annotations"]["q"], &entry["annotations"]["p"]),
            (&"kept".into(), &"sign".into())
        );
        let fields: Vec<_> = repaired.faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["artifactType", "annotation"]);
        assert_eq!(repaired.faults[0].found.as_deref(), Some("application/vnd.oci.empty.v1+json"));
        // What was repaired has nothing wrong any more.
        let again = Index::parse(&repaired.bytes).unwrap().unwrap();
        assert!(again.repaired(&corrections(&["a"])).unwrap().is_none());
    }

    #[test]
    fn only_what_is_there_twice_goes() {
        let plain = format!("{{\"digest\":\"{}\",\"size\":1,\"mediaType\":\"m\"}}", digest("a"));
        let spaced =
            format!("{{ \"size\": 1, \"mediaType\":\"m\",\"digest\":\"{}\"}}", digest("a"));
        let annotated = format!(
            "{{\"digest\":\"{}\",\"size\":1,\"mediaType\":\"m\",\"annotations\":{{\"k\":\"v\"}}}}",
            digest("a")
        );
        let platform = format!(
            "{{\"digest\":\"{}\",\"size\":1,\"mediaType\":\"m\",\"platform\":{{}}}}",
            digest("a")
        );
        let unreadable = "{\"digest\":\"sha512:00\"}";
        let all = [&plain, &spaced, &annotated, &platform, &platform, unreadable, unreadable];
        let index = index(&all.join(","));
        let repaired = index.repaired(&BTreeMap::new()).unwrap().unwrap();
        let fields: Vec<_> = repaired.faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["duplicate", "duplicate"]);
        let left = Index::parse(&repaired.bytes).unwrap().unwrap();
        let left: Vec<_> = left.entries().iter().map(|entry| entry.raw.get()).collect();
        assert_eq!(left, [&plain, &annotated, &platform, unreadable, unreadable]);
    }

    #[test]
    fn the_type_of_the_index_is_mended_and_an_index_that_is_not_there_is_not_made() {
        assert!(Index::default().repaired(&corrections(&["a"])).unwrap().is_none());
        assert!(index("").repaired(&corrections(&["a"])).unwrap().is_none());
        let text = "{\"mediaType\":\"application/json\",\"manifests\":[]}";
        let index = Index::parse(text.as_bytes()).unwrap().unwrap();
        let repaired = index.repaired(&BTreeMap::new()).unwrap().unwrap();
        let value: Value = serde_json::from_slice(&repaired.bytes).unwrap();
        assert_eq!((&value["schemaVersion"], &value["mediaType"]), (&2.into(), &INDEX.into()));
        assert_eq!(repaired.faults.len(), 2);
    }
}
