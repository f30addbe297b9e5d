//! A chart's manifest as Helm pushes it (OCI image specification, manifest; Helm: "OCI artifacts").
//!
//! Layers are found by media type and never by place: Helm sorts them by digest. Exactly one is the chart.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::digest::Digest;
use super::index::ManifestIndex;
use super::strict::{self, Depth, StrictKeys};
use crate::error::{Error, Reason, Result};

/// The media type of an OCI image manifest, also where the document does not say.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of a chart's config blob: its `Chart.yaml` as JSON.
pub const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// The media type of the layer that is the packaged chart.
pub const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// What Helm wrote before 3.7 for the same layer, and still reads with a warning.
pub const CHART_LAYER_LEGACY: &str = "application/tar+gzip";
/// The media type of the layer that is the `.prov` file.
pub const PROV_LAYER: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// The bound that Helm's registry client puts on a manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

const KEYS: StrictKeys = StrictKeys {
    known: &[
        "annotations",
        "artifactType",
        "config",
        "data",
        "digest",
        "layers",
        "manifests",
        "mediaType",
        "platform",
        "schemaVersion",
        "size",
        "subject",
        "urls",
    ],
    depth: Depth::Whole,
    merge: true,
};

/// A pointer to a blob or manifest (OCI image specification, descriptor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type of what it points to.
    pub media_type: String,
    /// The digest of what it points to.
    pub digest: Digest,
    /// Its length in bytes, as claimed.
    pub size: u64,
    /// What the document says of an artifact's type (only useful within an index).
    pub artifact_type: Option<String>,
    /// Free text about it.
    pub annotations: BTreeMap<String, String>,
}

/// The manifest of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartManifest {
    /// The digest of the bytes that were parsed.
    pub digest: Digest,
    /// Their length in bytes.
    pub size: u64,
    /// The media type of the manifest itself.
    pub media_type: String,
    /// The config blob.
    pub config: Descriptor,
    /// The one layer that is the packaged chart.
    pub chart: Descriptor,
    /// Whether that layer has the media type of old Helm versions, which deserves a warning.
    pub legacy_layer: bool,
    /// The layer that is the `.prov` file.
    pub prov: Option<Descriptor>,
    /// How many layers there are, of whatever type.
    pub layer_count: usize,
    /// Helm copies description, version and other fields of `Chart.yaml` here.
    pub annotations: BTreeMap<String, String>,
    /// The index through which it was found: that names it by digest, and no other chart.
    pub index: Option<Descriptor>,
}

/// What a tag or digest can lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// A chart.
    Chart(Box<ChartManifest>),
    /// An index of other manifests, one of which may be a chart.
    Index(Box<ManifestIndex>),
}

impl Manifest {
    /// Parses a manifest or index; `media_type` is the `Content-Type` it came with, if any.
    ///
    /// # Errors
    /// Undecided (`malformed`) for what no registry should answer, refused (`not-a-chart`) for a
    /// well-formed document that is no chart.
    pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(malformed(format!(
                "the manifest is {} bytes long, more than {MAX_MANIFEST_BYTES}",
                bytes.len()
            )));
        }
        let json = |e: serde_json::Error| malformed(format!("the manifest is not valid: {e}"));
        strict::check_json(bytes, KEYS).map_err(json)?;
        let document: Document = serde_json::from_slice(bytes).map_err(json)?;
        if document.schema_version != Some(2) {
            return Err(malformed("the manifest's schemaVersion is not 2"));
        }
        if document.manifests.is_some() && (document.layers.is_some() || document.config.is_some())
        {
            // CVE-2021-41190: one digest, two readings.
            return Err(not_a_chart("the document is a manifest and an index at the same time"));
        }
        let media_type = document.media_type(media_type)?;
        match document.manifests {
            Some(manifests) => {
                let entries: Result<Vec<_>> =
                    manifests.into_iter().map(Descriptor::parse).collect();
                let descriptor = Descriptor {
                    media_type,
                    digest: Digest::of(bytes),
                    size: bytes.len() as u64,
                    artifact_type: None,
                    annotations: BTreeMap::new(),
                };
                Ok(Self::Index(Box::new(ManifestIndex { descriptor, entries: entries? })))
            }
            None => {
                document.into_chart(bytes, media_type).map(|chart| Self::Chart(Box::new(chart)))
            }
        }
    }
}

impl ChartManifest {
    /// Parses the manifest of one chart; `media_type` is the `Content-Type` it came with, if any.
    ///
    /// # Errors
    /// As [`Manifest::parse`], and refused (`not-a-chart`) for an index.
    pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self> {
        match Manifest::parse(bytes, media_type)? {
            Manifest::Chart(chart) => Ok(*chart),
            Manifest::Index(index) => Err(not_a_chart(format!(
                "the reference leads to an index of {} manifests, not to one chart",
                index.entries.len()
            ))
            .note("name the manifest of the chart by its digest")),
        }
    }
}

impl Descriptor {
    fn parse(wire: WireDescriptor) -> Result<Self> {
        let digest = Digest::parse(&wire.digest).map_err(|error| {
            let cause = error.lines.first().map_or(error.what.as_str(), |line| line.text.as_str());
            malformed(format!("the manifest holds a bad digest: {cause}"))
        })?;
        Ok(Self {
            media_type: wire.media_type,
            digest,
            size: wire.size,
            artifact_type: wire.artifact_type,
            annotations: wire.annotations.unwrap_or_default(),
        })
    }
}

/// What a manifest or an index may hold; which of the two it is shows in the fields that are there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<WireDescriptor>,
    layers: Option<Vec<WireDescriptor>>,
    manifests: Option<Vec<WireDescriptor>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDescriptor {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    size: u64,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Document {
    /// The media type on which the document, its shape and its `Content-Type` agree.
    fn media_type(&self, content_type: Option<&str>) -> Result<String> {
        let is_index = self.manifests.is_some();
        let content_type = content_type.map(essence).filter(|essence| !essence.is_empty());
        if let (Some(outer), Some(inner)) = (&content_type, &self.media_type)
            && outer != inner
        {
            return Err(malformed("the manifest's mediaType is not its content type")
                .expected_found(inner.clone(), outer.clone()));
        }
        let default = if is_index { INDEX } else { MANIFEST };
        let media_type =
            content_type.or_else(|| self.media_type.clone()).unwrap_or_else(|| default.to_owned());
        match media_type.as_str() {
            MANIFEST if !is_index => Ok(media_type),
            INDEX | DOCKER_LIST if is_index => Ok(media_type),
            MANIFEST | INDEX | DOCKER_LIST => {
                // Clients that go by the type and clients that go by the shape read different things.
                Err(not_a_chart(format!("the document does not have the shape of {media_type}")))
            }
            DOCKER_MANIFEST => Err(not_a_chart("this is a Docker image")),
            _ => Err(malformed("the answer is no manifest").expected_found(MANIFEST, media_type)),
        }
    }

    fn into_chart(self, bytes: &[u8], media_type: String) -> Result<ChartManifest> {
        let Some(config) = self.config else {
            return Err(malformed("the manifest has no config"));
        };
        let Some(layers) = self.layers else {
            return Err(malformed("the manifest has no layers"));
        };
        if config.media_type != CONFIG {
            return Err(not_a_chart("the config is not that of a chart")
                .expected_found(CONFIG, config.media_type));
        }
        let layer_count = layers.len();
        let (mut charts, mut provs) = (Vec::new(), Vec::new());
        for layer in layers {
            match layer.media_type.as_str() {
                CHART_LAYER | CHART_LAYER_LEGACY => charts.push(layer),
                PROV_LAYER => provs.push(layer),
                // Helm and we leave everything else alone.
                _ => {}
            }
        }
        let found = charts.len();
        let (Some(chart), 1) = (charts.pop(), found) else {
            // Helm would take whichever arrives last.
            return Err(not_a_chart(match found {
                0 => "the manifest has no chart layer".to_owned(),
                _ => format!("the manifest has {found} chart layers"),
            })
            .expected_found("one layer of type ".to_owned() + CHART_LAYER, found.to_string()));
        };
        if provs.len() > 1 {
            return Err(not_a_chart(format!("the manifest has {} provenance layers", provs.len())));
        }
        Ok(ChartManifest {
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            media_type,
            config: Descriptor::parse(config)?,
            legacy_layer: chart.media_type == CHART_LAYER_LEGACY,
            chart: Descriptor::parse(chart)?,
            prov: provs.pop().map(Descriptor::parse).transpose()?,
            layer_count,
            annotations: self.annotations.unwrap_or_default(),
            index: None,
        })
    }
}

/// Whether a document that was refused as a chart claims to be one all the same: then it is not
/// simply something else, and other readers may take it for a chart.
pub(super) fn claims_to_be_a_chart(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Document>(bytes).map_or(true, |document| {
        document.manifests.is_some() || document.config.is_some_and(|it| it.media_type == CONFIG)
    })
}

/// A content type without its parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(super) fn malformed(cause: impl Into<String>) -> Error {
    Error::undecided(Reason::Malformed, cause)
}

pub(super) fn not_a_chart(cause: impl Into<String>) -> Error {
    Error::refused(Reason::NotAChart, "not a chart").cause(cause)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Class;

    fn digest(seed: &str) -> String {
        Digest::of(seed.as_bytes()).to_string()
    }

    fn layer(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": digest(media_type), "size": 7})
    }

    fn chart() -> Value {
        json!({
            "schemaVersion": 2,
            "config": layer(CONFIG),
            "layers": [layer(CHART_LAYER)],
            "annotations": {"org.opencontainers.image.version": "1.4.2"},
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut value = chart();
        change(&mut value);
        value.to_string().into_bytes()
    }

    #[test]
    fn reads_what_helm_pushes() {
        let bytes = with(|_| {});
        let manifest = ChartManifest::parse(&bytes, Some(MANIFEST)).unwrap();
        assert_eq!(manifest.digest, Digest::of(&bytes));
        assert_eq!(manifest.size, bytes.len() as u64);
        assert_eq!(manifest.media_type, MANIFEST);
        assert_eq!(manifest.config.media_type, CONFIG);
        assert_eq!(manifest.chart.digest.to_string(), digest(CHART_LAYER));
        assert_eq!(manifest.chart.size, 7);
        assert!(!manifest.legacy_layer);
        assert_eq!(manifest.prov, None);
        assert_eq!(manifest.annotations["org.opencontainers.image.version"], "1.4.2");
        assert_eq!(ChartManifest::parse(&bytes, None).unwrap(), manifest);
        let parameters = format!("{}; charset=utf-8", MANIFEST.to_uppercase());
        assert_eq!(ChartManifest::parse(&bytes, Some(&parameters)).unwrap(), manifest);
    }

    #[test]
    fn finds_layers_by_type_wherever_they_are() {
        let bytes = with(|v| {
            v["mediaType"] = json!(MANIFEST);
            v["artifactType"] = json!(CONFIG);
            v["layers"] = json!([
                layer(PROV_LAYER),
                {"mediaType": "application/x-other", "digest": "sha512:00", "size": 1},
                layer(CHART_LAYER_LEGACY),
            ]);
        });
        let manifest = ChartManifest::parse(&bytes, None).unwrap();
        assert!(manifest.legacy_layer);
        assert_eq!(manifest.prov.unwrap().digest.to_string(), digest(PROV_LAYER));
    }

    #[test]
    fn refuses_what_is_no_chart() {
        let image = "application/vnd.oci.image.config.v1+json";
        for (name, bytes, content_type, why) in [
            ("no chart layer", with(|v| v["layers"] = json!([])), None, "no chart layer"),
            (
                "two chart layers",
                with(|v| v["layers"] = json!([layer(CHART_LAYER), layer(CHART_LAYER)])),
                None,
                "2 chart layers",
            ),
            (
                "one of each",
                with(|v| v["layers"] = json!([layer(CHART_LAYER), layer(CHART_LAYER_LEGACY)])),
                None,
                "2 chart layers",
            ),
            (
                "two prov layers",
                with(|v| {
                    v["layers"] = json!([layer(PROV_LAYER), layer(CHART_LAYER), layer(PROV_LAYER)])
                }),
                None,
                "2 provenance layers",
            ),
            ("an image", with(|v| v["config"] = layer(image)), None, "not that of a chart"),
            (
                "both shapes",
                with(|v| v["manifests"] = json!([])),
                Some(MANIFEST),
                "at the same time",
            ),
            (
                "both shapes as index",
                with(|v| v["manifests"] = json!([])),
                Some(INDEX),
                "at the same time",
            ),
            ("a manifest called index", with(|_| {}), Some(INDEX), "does not have the shape"),
            (
                "a Docker image",
                with(|v| v["mediaType"] = json!(DOCKER_MANIFEST)),
                None,
                "Docker image",
            ),
            (
                "an index",
                json!({"schemaVersion": 2, "manifests": [layer(MANIFEST)]})
                    .to_string()
                    .into_bytes(),
                Some(INDEX),
                "index of 1 manifests",
            ),
            (
                "an index called manifest",
                json!({"schemaVersion": 2, "manifests": [layer(MANIFEST)]})
                    .to_string()
                    .into_bytes(),
                Some(MANIFEST),
                "does not have the shape",
            ),
        ] {
            let error = ChartManifest::parse(&bytes, content_type).unwrap_err();
            assert_eq!((error.class, error.reason), (Class::Refused, Reason::NotAChart), "{name}");
            assert!(error.to_string().contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn reads_an_index_as_an_index() {
        let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [layer(MANIFEST)]})
            .to_string();
        let manifest = Manifest::parse(bytes.as_bytes(), Some(INDEX)).unwrap();
        let Manifest::Index(index) = manifest else { panic!("{manifest:?}") };
        assert_eq!((index.entries.len(), index.descriptor.size), (1, bytes.len() as u64));
        assert_eq!(index.descriptor.digest, Digest::of(bytes.as_bytes()));
    }

    #[test]
    fn leaves_malformed_answers_undecided() {
        let plain = String::from_utf8(with(|_| {})).unwrap();
        let mut bomb = r#"{"schemaVersion":2,"x":"#.to_owned();
        bomb.push_str(&"[".repeat(200_000));
        for (name, bytes, content_type, why) in [
            ("nothing", Vec::new(), None, "not valid"),
            ("no JSON", b"<html>".to_vec(), None, "not valid"),
            ("not UTF-8", b"\xff\xfe".to_vec(), None, "not valid"),
            ("another JSON", b"[]".to_vec(), None, "not valid"),
            ("trailing bytes", format!("{plain} {{}}").into_bytes(), None, "not valid"),
            ("deep", bomb.into_bytes(), None, "not valid"),
            ("schema 1", with(|v| v["schemaVersion"] = json!(1)), None, "schemaVersion"),
            (
                "no schema",
                with(|v| {
                    v.as_object_mut().unwrap().remove("schemaVersion");
                }),
                None,
                "schemaVersion",
            ),
            ("no config", with(|v| v["config"] = json!(null)), None, "no config"),
            ("no layers", with(|v| v["layers"] = json!(null)), None, "no layers"),
            ("a list", with(|v| v["layers"] = json!({})), None, "not valid"),
            ("negative size", with(|v| v["layers"][0]["size"] = json!(-1)), None, "not valid"),
            ("endless size", with(|v| v["layers"][0]["size"] = json!(1e300)), None, "not valid"),
            (
                "bad digest",
                with(|v| v["layers"][0]["digest"] = json!("sha256:../../x")),
                None,
                "bad digest",
            ),
            ("no digest", with(|v| v["layers"][0]["digest"] = json!("")), None, "bad digest"),
            ("sha512", with(|v| v["config"]["digest"] = json!("sha512:00")), None, "not sha256"),
            ("annotation number", with(|v| v["annotations"]["a"] = json!(1)), None, "not valid"),
            (
                "two types",
                with(|v| v["mediaType"] = json!(MANIFEST)),
                Some(INDEX),
                "not its content type",
            ),
            ("web page", with(|_| {}), Some("text/html"), "no manifest"),
            (
                "twice the same key",
                plain.replace("\"layers\"", "\"layers\":[],\"layers\"").into_bytes(),
                None,
                "appears twice",
            ),
            (
                "twice the same annotation",
                plain
                    .replace("\"annotations\":{", "\"annotations\":{\"a\":\"1\",\"a\":\"2\",")
                    .into_bytes(),
                None,
                "appears twice",
            ),
            (
                "a key that only Go reads",
                plain.replace("\"layers\"", "\"Layers\":[],\"layers\"").into_bytes(),
                None,
                "not by others",
            ),
            (
                "a media type that only Go reads",
                plain
                    .replace(
                        "\"mediaType\":\"application/vnd.cncf.helm.chart",
                        "\"MediaType\":\"application/vnd.cncf.helm.chart",
                    )
                    .into_bytes(),
                None,
                "not by others",
            ),
            ("too long", vec![b' '; MAX_MANIFEST_BYTES + 1], None, "bytes long"),
        ] {
            let error = ChartManifest::parse(&bytes, content_type).unwrap_err();
            assert_eq!(
                (error.class, error.reason),
                (Class::Undecided, Reason::Malformed),
                "{name}"
            );
            assert!(error.to_string().contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn survives_mutated_manifests() {
        let seed = with(|v| v["layers"] = json!([layer(PROV_LAYER), layer(CHART_LAYER)]));
        let mut random = crate::chart::tests::Random::new(2);
        for _ in 0..20_000 {
            let bytes = random.mutate(&seed);
            if let Ok(manifest) = ChartManifest::parse(&bytes, None) {
                assert_eq!(manifest.digest, Digest::of(&bytes));
            }
        }
    }
}
