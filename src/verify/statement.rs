//! The in-toto statement that is signed (in-toto attestation framework, Statement v1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chart::{CHART_LAYER, ChartManifest, Digest, MANIFEST, PROV_LAYER, check_distinct_keys};
use crate::error::{Error, Reason, Result};

/// The predicate type of a signature (cosign's); anything else is an attestation of another kind.
pub const COSIGN_SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The media type of the DSSE payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The annotation that names the chart.
pub const TITLE_ANNOTATION: &str = "org.opencontainers.image.title";
/// The annotation that holds the chart's version.
pub const VERSION_ANNOTATION: &str = "org.opencontainers.image.version";

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const STATEMENT_TYPE_V0: &str = "https://in-toto.io/Statement/v0.1";
/// As many subjects as sigstore-go reads (CVE-2024-45395).
const MAX_SUBJECTS: usize = 1024;
/// As many digests of one subject as sigstore-go reads.
const MAX_DIGESTS: usize = 32;

/// What a subject is, told by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// An image index.
    Index,
    /// The chart's manifest.
    Manifest,
    /// The chart content layer, the `.tgz`.
    Chart,
    /// The provenance layer.
    Prov,
}

impl SubjectKind {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::Chart => "chart",
            Self::Prov => "prov",
        }
    }
}

/// One subject of a statement (in-toto ResourceDescriptor).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementSubject {
    /// A name for people; never compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digests by algorithm; only `sha256` counts here.
    pub digest: BTreeMap<String, String>,
    /// What the digest is a digest of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Facts about the subject; the chart's name and version stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, Value>>,
}

impl StatementSubject {
    fn new(name: String, digest: &Digest, media_type: &str) -> Self {
        Self {
            name: Some(name),
            digest: BTreeMap::from([("sha256".to_owned(), digest.hex())]),
            media_type: Some(media_type.to_owned()),
            annotations: None,
        }
    }

    /// Whether this subject names `digest`. Only lower-case SHA-256 counts.
    pub fn names(&self, digest: &Digest) -> bool {
        self.digest.get("sha256").is_some_and(|hex| *hex == digest.hex())
    }

    fn has_media_type(&self, media_type: &str) -> bool {
        self.media_type.as_deref() == Some(media_type)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_str()
    }
}

/// An in-toto statement: subjects, and what is said of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    type_: String,
    /// What the statement is about, in the signer's order.
    pub subject: Vec<StatementSubject>,
    /// The kind of statement.
    pub predicate_type: String,
    #[serde(default = "empty_predicate")]
    predicate: Value,
}

fn empty_predicate() -> Value {
    Value::Object(serde_json::Map::new())
}

impl Statement {
    /// The statement that `sign` makes: the index where there is one and the manifest first (cosign prints
    /// the first subject), then the chart layer with the chart's name and version, then the provenance layer.
    ///
    /// `manifest` is absent for a chart that is in no registry. Names carry no host, so that they
    /// stay true on a mirror; nobody compares them.
    pub fn of_chart(
        name: &str,
        version: &str,
        manifest: Option<&ChartManifest>,
        chart: &Digest,
        prov: Option<&Digest>,
    ) -> Self {
        let file = format!("{name}-{version}.tgz");
        let mut subject = Vec::with_capacity(4);
        if let Some(manifest) = manifest {
            let named = |digest, media_type| {
                StatementSubject::new(format!("{name}:{version}"), digest, media_type)
            };
            if let Some(index) = &manifest.index {
                subject.push(named(&index.digest, &index.media_type));
            }
            subject.push(named(&manifest.digest, &manifest.media_type));
        }
        let mut layer = StatementSubject::new(file.clone(), chart, CHART_LAYER);
        layer.annotations = Some(BTreeMap::from([
            (TITLE_ANNOTATION.to_owned(), Value::from(name)),
            (VERSION_ANNOTATION.to_owned(), Value::from(version)),
        ]));
        subject.push(layer);
        if let Some(digest) = prov {
            subject.push(StatementSubject::new(format!("{file}.prov"), digest, PROV_LAYER));
        }
        Self {
            type_: STATEMENT_TYPE.to_owned(),
            subject,
            predicate_type: COSIGN_SIGN_PREDICATE.to_owned(),
            predicate: empty_predicate(),
        }
    }

    /// Adds what the user says of the chart (cosign's `-a`), where cosign looks for it: at the manifest, and at
    /// the index that it was found in; of a chart that is in no registry at the chart itself.
    pub fn annotate(&mut self, annotations: &BTreeMap<String, String>) {
        let is_layer = |subject: &StatementSubject| {
            subject.has_media_type(CHART_LAYER) || subject.has_media_type(PROV_LAYER)
        };
        let alone = self.subject.iter().all(is_layer);
        for subject in self.subject.iter_mut().filter(|one| alone || !is_layer(one)) {
            let said = annotations.iter().map(|(key, text)| (key.clone(), Value::from(&**text)));
            if !annotations.is_empty() {
                subject.annotations.get_or_insert_default().extend(said);
            }
        }
    }

    /// What a legacy signature of cosign says: that this manifest is signed, and nothing else.
    pub(super) fn of_manifest(manifest: &Digest) -> Self {
        Self::over_one(manifest, Some(MANIFEST))
    }

    /// What a signature over the bytes of a file says.
    pub(super) fn of_file(file: &Digest) -> Self {
        Self::over_one(file, None)
    }

    fn over_one(digest: &Digest, media_type: Option<&str>) -> Self {
        let subject = StatementSubject {
            digest: BTreeMap::from([("sha256".to_owned(), digest.hex())]),
            media_type: media_type.map(str::to_owned),
            ..StatementSubject::default()
        };
        Self {
            type_: STATEMENT_TYPE.to_owned(),
            subject: vec![subject],
            predicate_type: COSIGN_SIGN_PREDICATE.to_owned(),
            predicate: empty_predicate(),
        }
    }

    /// The bytes of a statement of another kind about the same subjects; `predicate` stands in it as it is
    /// written.
    ///
    /// # Errors
    /// Usage, when `predicate` is no JSON object with distinct keys.
    pub fn attesting(&self, predicate_type: &str, predicate: &[u8]) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Attestation<'a> {
            #[serde(rename = "_type")]
            type_: &'a str,
            subject: &'a [StatementSubject],
            predicate_type: &'a str,
            predicate: &'a RawValue,
        }
        let unusable = |cause: String| Error::usage("not a predicate").cause(cause);
        check_distinct_keys(predicate).map_err(|error| unusable(error.to_string()))?;
        let raw: &RawValue =
            serde_json::from_slice(predicate).map_err(|error| unusable(error.to_string()))?;
        if !raw.get().starts_with('{') {
            return Err(unusable("it is no JSON object".to_owned()));
        }
        let statement = Attestation {
            type_: &self.type_,
            subject: &self.subject,
            predicate_type,
            predicate: raw,
        };
        serde_json::to_vec(&statement).map_err(|error| unusable(error.to_string()))
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// None in practice: every value is a string or an object with string keys.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            Error::undecided(Reason::Malformed, format!("statement cannot be written: {error}"))
        })
    }

    /// Reads a statement from the payload of an envelope.
    ///
    /// # Errors
    /// Refused (`malformed`), when the payload is not one JSON document with distinct keys, is no
    /// in-toto statement, or has more subjects or digests than any signer needs. Fields that the
    /// in-toto specification does not know are ignored, as it asks of a consumer.
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let malformed = |cause: String| {
            Error::refused(Reason::Malformed, "not an in-toto statement").cause(cause)
        };
        check_distinct_keys(payload).map_err(|error| malformed(error.to_string()))?;
        let statement: Self =
            serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
        if ![STATEMENT_TYPE, STATEMENT_TYPE_V0].contains(&statement.type_.as_str()) {
            return Err(malformed(format!("its type is {:?}", statement.type_)));
        }
        if statement.subject.is_empty() {
            return Err(malformed("it has no subject".to_owned()));
        }
        if statement.subject.len() > MAX_SUBJECTS {
            return Err(malformed(format!("it has more than {MAX_SUBJECTS} subjects")));
        }
        for subject in &statement.subject {
            if subject.digest.is_empty() || subject.digest.len() > MAX_DIGESTS {
                return Err(malformed(format!(
                    "a subject has {} digests; 1 to {MAX_DIGESTS} are read",
                    subject.digest.len()
                )));
            }
        }
        Ok(statement)
    }

    /// Whether any subject, of whatever media type, names `digest`.
    pub fn names(&self, digest: &Digest) -> bool {
        self.subject.iter().any(|subject| subject.names(digest))
    }

    /// Whether any subject has this media type.
    pub fn speaks_of(&self, media_type: &str) -> bool {
        self.subject.iter().any(|subject| subject.has_media_type(media_type))
    }

    /// Whether a subject of this very media type names `digest`.
    pub fn covers(&self, digest: &Digest, media_type: &str) -> bool {
        self.subject.iter().any(|s| s.has_media_type(media_type) && s.names(digest))
    }

    /// Whether a subject of this media type, or of none, names `digest`.
    pub fn covers_loosely(&self, digest: &Digest, media_type: &str) -> bool {
        self.subject.iter().any(|subject| {
            (subject.media_type.is_none() || subject.has_media_type(media_type))
                && subject.names(digest)
        })
    }

    /// The chart's name and version, when the subject that names `chart` carries both.
    pub fn chart_annotations(&self, chart: &Digest) -> Option<(&str, &str)> {
        self.subject
            .iter()
            .filter(|subject| subject.has_media_type(CHART_LAYER) && subject.names(chart))
            .find_map(|subject| {
                subject.annotation(TITLE_ANNOTATION).zip(subject.annotation(VERSION_ANNOTATION))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_covers_manifest_chart_and_provenance_in_this_order() {
        let (found, chart, prov) = (manifest(), Digest::of(b"c"), Digest::of(b"p"));
        let statement = Statement::of_chart("web", "1.4.2", Some(&found), &chart, Some(&prov));
        let names: Vec<_> = statement.subject.iter().filter_map(|s| s.name.as_deref()).collect();
        assert_eq!(names, ["web:1.4.2", "web-1.4.2.tgz", "web-1.4.2.tgz.prov"]);
        assert!(statement.names(&found.digest));
        assert!(statement.names(&chart) && statement.names(&prov));
        assert_eq!(statement.chart_annotations(&chart), Some(("web", "1.4.2")));
        let bytes = statement.to_bytes().unwrap();
        assert_eq!(Statement::parse(&bytes).unwrap(), statement);
        assert!(String::from_utf8(bytes).unwrap().ends_with(r#""predicate":{}}"#));
    }

    #[test]
    fn the_index_that_a_chart_was_found_in_comes_before_it() {
        let mut found = manifest();
        let index = crate::chart::Descriptor {
            media_type: crate::chart::INDEX.to_owned(),
            digest: Digest::of(b"index"),
            size: 5,
            artifact_type: None,
            annotations: BTreeMap::new(),
        };
        found.index = Some(index);
        let chart = Digest::of(b"c");
        let statement = Statement::of_chart("web", "1.4.2", Some(&found), &chart, None);
        let kinds: Vec<_> = statement.subject.iter().map(|s| s.media_type.as_deref()).collect();
        let expected = [crate::chart::INDEX, crate::chart::MANIFEST, CHART_LAYER];
        assert_eq!(kinds, expected.map(Some));
        assert!(statement.subject[0].names(&Digest::of(b"index")));
    }

    fn manifest() -> ChartManifest {
        let layer = |kind: &str| serde_json::json!({"mediaType": kind, "digest": Digest::of(b"c").to_string(), "size": 1});
        let config = layer(crate::chart::CONFIG);
        let bytes = serde_json::json!({
            "schemaVersion": 2, "config": config, "layers": [layer(CHART_LAYER)],
        });
        ChartManifest::parse(bytes.to_string().as_bytes(), None).unwrap()
    }

    #[test]
    fn refuses_what_is_no_statement() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}"#,
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[null],"predicateType":"x"}"#,
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{}}],"predicateType":"x"}"#,
            r#"{"_type":"else","subject":[{"digest":{"sha256":"00"}}],"predicateType":"x"}"#,
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"00","sha256":"11"}}],"predicateType":"x"}"#,
        ] {
            let error = Statement::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.reason, Reason::Malformed, "{text}");
        }
    }

    #[test]
    fn reads_cosigns_own_statement_without_name_and_predicate() {
        let digest = Digest::of(b"m");
        let text = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{}"}}}}],"predicateType":"{COSIGN_SIGN_PREDICATE}"}}"#,
            digest.hex()
        );
        let statement = Statement::parse(text.as_bytes()).unwrap();
        assert!(statement.names(&digest));
        assert!(!statement.speaks_of(CHART_LAYER));
    }

    #[test]
    fn an_upper_case_or_other_digest_names_nothing() {
        let digest = Digest::of(b"m");
        let mut subject = StatementSubject::new("x".into(), &digest, CHART_LAYER);
        subject.digest = BTreeMap::from([("sha256".into(), digest.hex().to_uppercase())]);
        assert!(!subject.names(&digest));
        subject.digest = BTreeMap::from([("sha512".into(), digest.hex())]);
        assert!(!subject.names(&digest));
    }
}
