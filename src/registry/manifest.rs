//! The documents of a signature in a registry: descriptors, the index of referrers, the referrer itself
//! (OCI image specification 1.1).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::chart::{Digest, INDEX, MANIFEST};
use crate::error::{Error, Reason, Result};

/// The media type and artifact type of a Sigstore bundle, version 0.3.
pub const BUNDLE_V03: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The media type of the config that says nothing.
pub const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
/// The bytes of that config.
pub const EMPTY_BLOB: &[u8] = b"{}";
/// Bytes of an index of referrers, all pages together, at most.
pub const MAX_INDEX_BYTES: usize = 16 * 1024 * 1024;

/// A pointer to a blob or manifest, which may carry what it points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of what it points to.
    #[serde(default)]
    pub media_type: String,
    /// The type of the artifact, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The digest of what it points to.
    pub digest: Digest,
    /// Its length in bytes, as claimed.
    pub size: u64,
    /// What it points to, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Unsigned text about it.
    #[serde(default, deserialize_with = "or_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor of these bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            artifact_type: None,
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            data: None,
            annotations: BTreeMap::new(),
        }
    }

    /// What tells it from others, annotations included, however it is spelt in its document.
    pub fn entry_digest(&self) -> Digest {
        Digest::of(json(self).as_bytes())
    }

    /// What the descriptor carries, if anything, checked against its digest and size.
    ///
    /// # Errors
    ///
    /// Undecided (`malformed`): no base64, or other bytes than the descriptor describes. The blob may still
    /// be what it should be.
    pub fn inlined(&self) -> Result<Option<Bytes>> {
        let malformed = |what: &str| {
            Error::undecided(Reason::Malformed, format!("data inlined for {}: {what}", self.digest))
        };
        let Some(data) = &self.data else { return Ok(None) };
        let bytes = STANDARD.decode(data).map_err(|_| malformed("no base64"))?;
        if bytes.len() as u64 != self.size {
            return Err(malformed("the size differs")
                .expected_found(self.size.to_string(), bytes.len().to_string()));
        }
        let found = Digest::of(&bytes);
        if found != self.digest {
            return Err(malformed("the digest differs")
                .expected_found(self.digest.to_string(), found.to_string()));
        }
        Ok(Some(bytes.into()))
    }
}

/// One entry of an index: as somebody wrote it, and what we make of it.
#[derive(Clone, Debug)]
pub struct IndexEntry {
    pub(super) raw: Box<RawValue>,
    /// The descriptor, or why it is none. One bad entry hides none of the others.
    pub descriptor: std::result::Result<Descriptor, String>,
}

impl IndexEntry {
    fn new(raw: Box<RawValue>) -> Self {
        let descriptor = serde_json::from_str(raw.get())
            .map_err(|error: serde_json::Error| crate::net::bounded_line(&error.to_string(), 200));
        Self { raw, descriptor }
    }
}

/// An index of manifests whose foreign entries stay as they are, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Everything but the entries, in order.
    pub(super) fields: Vec<(String, Box<RawValue>)>,
    pub(super) entries: Vec<IndexEntry>,
}

impl Index {
    /// Reads an index; nothing if the document is JSON but no index.
    ///
    /// # Errors
    ///
    /// A phrase, if it is no JSON object, holds a key twice, or is a manifest at the same time
    /// (CVE-2021-41190).
    pub fn parse(bytes: &[u8]) -> std::result::Result<Option<Self>, String> {
        if bytes.len() > MAX_INDEX_BYTES {
            return Err(format!("the index is over its bound of {MAX_INDEX_BYTES} bytes"));
        }
        let Fields(mut fields) = serde_json::from_slice(bytes)
            .map_err(|error| format!("the index is not valid JSON at column {}", error.column()))?;
        let Some(at) = fields.iter().position(|(name, _)| name == "manifests") else {
            return Ok(None);
        };
        if fields.iter().any(|(name, _)| matches!(name.as_str(), "config" | "layers")) {
            return Err("the document is an index and a manifest at once".into());
        }
        let (_, raw) = fields.remove(at);
        let Ok(entries) = serde_json::from_str::<Option<Vec<Box<RawValue>>>>(raw.get()) else {
            return Ok(None);
        };
        let entries = entries.into_iter().flatten().map(IndexEntry::new).collect();
        Ok(Some(Self { fields, entries }))
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Whether a manifest of that digest is listed.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.entries.iter().any(|e| e.descriptor.as_ref().is_ok_and(|d| d.digest == *digest))
    }

    /// The index with `entry` at its end, unless it lists that digest already. Nothing else changes.
    ///
    /// # Errors
    ///
    /// Undecided, if the result would be over the bound of an index.
    pub fn with(&self, entry: &Descriptor) -> Result<Bytes> {
        let mut entries: Vec<String> =
            self.entries.iter().map(|e| e.raw.get().to_owned()).collect();
        if !self.contains(&entry.digest) {
            entries.push(json(entry));
        }
        let text = self.document(&entries);
        if text.len() > MAX_INDEX_BYTES {
            let cause = format!("the index would be over its bound of {MAX_INDEX_BYTES} bytes");
            return Err(Error::undecided(Reason::LimitReached, cause));
        }
        Ok(text.into())
    }

    /// The index without the entries of these digests. Nothing else changes; what cannot be read stays.
    pub fn without(&self, digests: &[Digest]) -> Bytes {
        let named = |entry: &&IndexEntry| match &entry.descriptor {
            Ok(descriptor) => !digests.contains(&descriptor.digest),
            Err(_) => true,
        };
        let left = self.entries.iter().filter(named).map(|entry| entry.raw.get().to_owned());
        self.document(&left.collect::<Vec<_>>()).into()
    }

    fn document(&self, entries: &[String]) -> String {
        document(&self.fields, INDEX, &[], "manifests", entries)
    }
}

/// A document of these fields, with what has to be in each, `more`, and the list at its end.
pub(super) fn document(
    fields: &[(String, Box<RawValue>)],
    media_type: &str,
    more: &[String],
    list: &str,
    entries: &[String],
) -> String {
    let mut texts: Vec<String> = Vec::new();
    for (name, value) in [("schemaVersion", "2".to_owned()), ("mediaType", json(media_type))] {
        if !fields.iter().any(|(n, _)| n == name) {
            texts.push(format!("{}:{value}", json(name)));
        }
    }
    texts.extend(fields.iter().map(|(n, value)| format!("{}:{}", json(n), value.get())));
    texts.extend_from_slice(more);
    texts.push(format!("{}:[{}]", json(list), entries.join(",")));
    format!("{{{}}}", texts.join(","))
}

/// The fields of an object, in order, each once.
pub(super) struct Fields(pub(super) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Few, or the search below would take long.
                    if fields.len() == 64 || fields.iter().any(|(n, _)| *n == name) {
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

/// The manifest of something that refers to a chart: a bundle, an old signature, anything else.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerManifest {
    /// The manifest's own media type, if it says.
    pub media_type: Option<String>,
    /// The type of the artifact, if it says.
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Option<Descriptor>,
    /// The layers, in order; the bundle is one of them.
    #[serde(default, deserialize_with = "or_empty")]
    pub layers: Vec<Descriptor>,
    /// What it refers to, if it says.
    pub subject: Option<Descriptor>,
    /// Unsigned text about it.
    #[serde(default, deserialize_with = "or_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    manifests: Option<de::IgnoredAny>,
}

impl ReferrerManifest {
    /// Reads a manifest, of which at most 4 MiB come from a registry.
    ///
    /// # Errors
    ///
    /// Undecided (`malformed`): no JSON, a field twice, or an index at the same time (CVE-2021-41190).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed = |what: String| Error::undecided(Reason::Malformed, what);
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            let error = crate::net::bounded_line(&error.to_string(), 200);
            malformed(format!("the referrer's manifest is not valid: {error}"))
        })?;
        if manifest.manifests.is_some() {
            return Err(malformed("the referrer's manifest is not a manifest alone".into()));
        }
        Ok(manifest)
    }
}

/// A manifest that attaches a bundle to a chart, ready to be stored (cosign: BUNDLE_SPEC).
#[derive(Clone, Debug)]
pub struct Referrer {
    /// The manifest.
    pub bytes: Bytes,
    /// Its entry for the index under the fallback tag.
    pub entry: Descriptor,
}

impl Referrer {
    /// Attaches `bundle` to `subject` (media type, digest and size of the chart's manifest).
    ///
    /// `predicate_type` is that of the statement in the bundle; `inline` carries the bundle in the manifest
    /// too, which saves readers a request.
    pub fn new(
        subject: &Descriptor,
        bundle: &[u8],
        predicate_type: &str,
        created: Timestamp,
        inline: bool,
    ) -> Self {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Document<'a> {
            schema_version: u8,
            media_type: &'a str,
            artifact_type: &'a str,
            config: Descriptor,
            layers: [Descriptor; 1],
            subject: Descriptor,
            annotations: &'a BTreeMap<String, String>,
        }
        let annotations: BTreeMap<String, String> = [
            (
                "org.opencontainers.image.created",
                created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            ),
            ("dev.sigstore.bundle.content", "dsse-envelope".to_owned()),
            ("dev.sigstore.bundle.predicateType", predicate_type.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let mut layer = Descriptor::of(BUNDLE_V03, bundle);
        if inline {
            layer.data = Some(STANDARD.encode(bundle));
        }
        let document = json(&Document {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type: BUNDLE_V03,
            config: Descriptor::of(EMPTY_CONFIG, EMPTY_BLOB),
            layers: [layer],
            subject: Descriptor {
                artifact_type: None,
                data: None,
                annotations: BTreeMap::new(),
                ..subject.clone()
            },
            annotations: &annotations,
        });
        let mut entry = Descriptor::of(MANIFEST, document.as_bytes());
        entry.artifact_type = Some(BUNDLE_V03.into());
        entry.annotations = annotations;
        Self { bytes: document.into(), entry }
    }
}

/// A value as JSON text. Strings, numbers and maps of strings always have one.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// `null` is what some writers put where nothing is.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str = r#"{"mediaType":"m", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"x":[1, 2.50],"annotations":null}"#;

    #[test]
    fn adds_an_entry_and_leaves_the_others_byte_for_byte() {
        let odd = r#"{"digest":"sha512:00", "size":1}"#;
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[ {OTHER} ,{odd}],"annotations":{{ "a" : "b" }}}}"#
        );
        let index = Index::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(index.entries().len(), 2);
        let known = index.entries()[0].descriptor.clone().unwrap();
        assert!(known.annotations.is_empty());
        assert!(index.entries()[1].descriptor.as_ref().unwrap_err().contains("digest"));

        let new = Descriptor::of(MANIFEST, b"new");
        let bytes = index.with(&new).unwrap();
        let written = std::str::from_utf8(&bytes).unwrap();
        assert!(written.contains(OTHER) && written.contains(odd));
        assert!(written.contains(r#""annotations":{ "a" : "b" }"#));
        let again = Index::parse(&bytes).unwrap().unwrap();
        assert_eq!(again.entries().len(), 3);
        assert!(again.contains(&new.digest));
        assert_eq!(again.entries()[2].descriptor.as_ref().unwrap(), &new);
        // A second time changes nothing, and neither does what is listed already.
        assert_eq!(again.with(&new).unwrap(), bytes);
        let index = Index::parse(&index.with(&known).unwrap()).unwrap().unwrap();
        assert_eq!(index.entries().len(), 2);
    }

    #[test]
    fn takes_entries_out_and_leaves_the_others_byte_for_byte() {
        let odd = r#"{"digest":"sha512:00", "size":1}"#;
        let gone = json(&Descriptor::of(MANIFEST, b"gone"));
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{gone},{OTHER} ,{odd}, {gone}],"annotations":{{ "a" : "b" }}}}"#
        );
        let index = Index::parse(text.as_bytes()).unwrap().unwrap();
        let bytes = index.without(&[Digest::of(b"gone"), Digest::of(b"never there")]);
        let written = std::str::from_utf8(&bytes).unwrap();
        assert!(written.ends_with(&format!(r#""manifests":[{OTHER},{odd}]}}"#)), "{written}");
        assert!(written.contains(r#""annotations":{ "a" : "b" }"#));
        let empty = Index::parse(format!(r#"{{"manifests":[{gone}]}}"#).as_bytes()).unwrap();
        let empty = empty.unwrap().without(&[Digest::of(b"gone")]);
        assert!(Index::parse(&empty).unwrap().unwrap().entries().is_empty());
    }

    #[test]
    fn starts_an_index_that_others_can_read() {
        let bytes = Index::default().with(&Descriptor::of(MANIFEST, b"x")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["schemaVersion"], 2);
        assert_eq!(value["mediaType"], INDEX);
        assert_eq!(value["manifests"][0]["size"], 1);
        assert!(Index::parse(&bytes).unwrap().is_some());
    }

    #[test]
    fn tells_no_index_from_nonsense() {
        for text in ["{}", r#"{"tags":[]}"#, r#"{"manifests":3}"#, r#"{"layers":[]}"#] {
            assert!(Index::parse(text.as_bytes()).unwrap().is_none(), "{text}");
        }
        for text in [
            "",
            "[]",
            "null",
            r#"{"manifests":[]"#,
            r#"{"manifests":[],"manifests":[]}"#,
            r#"{"manifests":[],"layers":[]}"#,
            r#"{"manifests":[]} x"#,
        ] {
            assert!(Index::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!(r#"{{"manifests":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let deep = Index::parse(deep.as_bytes()).unwrap().unwrap();
        assert!(deep.entries()[0].descriptor.is_err());
        assert!(Index::parse(br#"{"manifests":null}"#).unwrap().unwrap().entries().is_empty());
    }

    #[test]
    fn checks_what_a_descriptor_carries() {
        let mut descriptor = Descriptor::of("m", b"bundle");
        assert_eq!(descriptor.inlined().unwrap(), None);
        descriptor.data = Some("YnVuZGxl".into());
        assert_eq!(descriptor.inlined().unwrap().unwrap(), "bundle");
        for (data, why) in
            [("YnVuZGxs", "digest differs"), ("YnVuZGw=", "size differs"), ("?", "no base64")]
        {
            descriptor.data = Some(data.into());
            let error = descriptor.inlined().unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.reason, Reason::Malformed);
        }
    }

    #[test]
    fn builds_the_referrer_that_cosign_reads() {
        let subject =
            Descriptor { data: Some("eA==".into()), ..Descriptor::of(MANIFEST, b"chart") };
        let created = Timestamp::from_millisecond(1_796_126_400_123).unwrap();
        let made = Referrer::new(&subject, b"{\"b\":1}", "https://p", created, true);
        let text = std::str::from_utf8(&made.bytes).unwrap();
        let digest = Digest::of(b"{\"b\":1}");
        let chart = Digest::of(b"chart");
        assert_eq!(
            text,
            format!(
                "{{\"schemaVersion\":2,\
                 \"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                 \"artifactType\":\"{BUNDLE_V03}\",\
                 \"config\":{{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\
                 \"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\
                 \"size\":2}},\
                 \"layers\":[{{\"mediaType\":\"{BUNDLE_V03}\",\"digest\":\"{digest}\",\"size\":7,\
                 \"data\":\"eyJiIjoxfQ==\"}}],\
                 \"subject\":{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                 \"digest\":\"{chart}\",\"size\":5}},\
                 \"annotations\":{{\"dev.sigstore.bundle.content\":\"dsse-envelope\",\
                 \"dev.sigstore.bundle.predicateType\":\"https://p\",\
                 \"org.opencontainers.image.created\":\"2026-12-01T12:00:00Z\"}}}}"
            )
        );
        assert_eq!(made.entry.digest, Digest::of(&made.bytes));
        assert_eq!(made.entry.size, made.bytes.len() as u64);
        assert_eq!(made.entry.artifact_type.as_deref(), Some(BUNDLE_V03));
        assert_eq!(made.entry.annotations.len(), 3);
        let read = ReferrerManifest::parse(&made.bytes).unwrap();
        assert_eq!(read.layers[0].inlined().unwrap().unwrap(), "{\"b\":1}");
        assert_eq!(read.subject.unwrap().digest, chart);
        let made = Referrer::new(&subject, b"{}", "https://p", created, false);
        assert_eq!(ReferrerManifest::parse(&made.bytes).unwrap().layers[0].data, None);
    }

    #[test]
    fn reads_other_manifests_and_refuses_two_in_one() {
        let read = ReferrerManifest::parse(br#"{"layers":null,"annotations":null}"#).unwrap();
        assert!(read.layers.is_empty() && read.subject.is_none());
        for text in [
            "",
            "[]",
            r#"{"layers":[],"manifests":[]}"#,
            r#"{"layers":[],"layers":[]}"#,
            r#"{"layers":[{"digest":"sha512:00","size":1}]}"#,
        ] {
            assert!(ReferrerManifest::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
