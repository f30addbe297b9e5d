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
mod tests;
