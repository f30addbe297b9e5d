//! What a statement must say of a chart before its signature counts (the first two of three questions:
//! is it about these bytes, and does it mean this chart; the third, who signed, is the policy's).

use super::bundle::Bundle;
use super::statement::{Statement, SubjectKind, TITLE_ANNOTATION, VERSION_ANNOTATION};
use crate::chart::version::TagMeaning;
use crate::chart::{CHART_LAYER, ChartManifest, Digest, PROV_LAYER};
use crate::error::{Error, Reason, Result};

/// Which digest has to be among the subjects when a reference is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// Only the chart layer (and the provenance, if signed): config and annotations prove nothing then.
    ChartLayer,
    /// The manifest, and every layer of a kind that the statement names.
    #[default]
    Manifest,
}

/// The name and version that a chart claims in its config blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVersion {
    /// `name` of Chart.yaml.
    pub name: String,
    /// `version` of Chart.yaml.
    pub version: String,
}

/// What the chart is expected to be.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The bytes in question.
    pub target: Target<'a>,
    /// The name that was asked for: the repository's last segment, or `--chart`. Files name themselves.
    pub name: Option<&'a str>,
    /// The version that was asked for.
    pub version: TagMeaning,
    /// The kind of statement that counts ([`super::COSIGN_SIGN_PREDICATE`] for a signature).
    pub predicate_type: &'a str,
}

/// What is being verified.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// A packaged chart, by its bytes.
    File {
        /// SHA-256 of the file.
        digest: Digest,
        /// What its Chart.yaml says.
        named: &'a NamedVersion,
    },
    /// A chart in a registry, by its manifest.
    Reference {
        /// The manifest, its digest already checked against its bytes.
        manifest: &'a ChartManifest,
        /// Which digest has to be signed.
        matching: Match,
        /// What the config blob says, where it was needed and fetched.
        config: Option<&'a NamedVersion>,
    },
}

/// Which parts of the chart the signature names by digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// The index through which the manifest was found; it binds the manifest by digest.
    pub index: bool,
    /// The manifest.
    pub manifest: bool,
    /// The chart content layer.
    pub chart: bool,
    /// The provenance layer.
    pub prov: bool,
}

impl Covered {
    /// Whether the manifest is bound: named itself, or by the index that is named.
    pub fn binds_manifest(self) -> bool {
        self.index || self.manifest
    }
}

/// How far the version that was asked for was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionCheck {
    /// Equal, or equal in the components that were given.
    Checked,
    /// Nothing was asked for, or a tag that is no version (`latest`).
    NotChecked,
}

/// What [`cover`] found.
#[derive(Debug)]
pub(super) struct Coverage {
    /// The digest that the cryptography has to bind.
    pub digest: Digest,
    pub kind: SubjectKind,
    pub covered: Covered,
}

/// Whether the config blob has to be read before `bundle` can be judged: only where neither the
/// statement nor, under a signed manifest, the manifest's annotations name the chart. An attestation of
/// another kind is none of our business whatever the chart is called.
pub(super) fn needs_config(
    bundle: &Bundle,
    manifest: &ChartManifest,
    predicate_type: &str,
) -> bool {
    let Some(statement) = bundle.statement() else { return false };
    statement.predicate_type == predicate_type
        && binds(statement, manifest)
        && statement.chart_annotations(&manifest.chart.digest).is_none()
        && annotated(manifest).is_none()
}

/// Whether the statement names the manifest, or the index that names this manifest and no other chart.
fn binds(statement: &Statement, manifest: &ChartManifest) -> bool {
    statement.names(&manifest.digest) || signed_index(statement, manifest).is_some()
}

fn signed_index(statement: &Statement, manifest: &ChartManifest) -> Option<Digest> {
    manifest.index.as_ref().map(|index| index.digest).filter(|digest| statement.names(digest))
}

fn annotated(manifest: &ChartManifest) -> Option<(&str, &str)> {
    let annotation = |key: &str| manifest.annotations.get(key).map(String::as_str);
    annotation(TITLE_ANNOTATION).zip(annotation(VERSION_ANNOTATION))
}

/// Whether `statement` is about the bytes of `target` (DESIGN decision 2).
pub(super) fn cover(statement: &Statement, target: &Target<'_>) -> Result<Coverage> {
    match target {
        Target::File { digest, .. } => {
            if !statement.covers_loosely(digest, CHART_LAYER) {
                return Err(Error::refused(
                    Reason::NotCovered,
                    "signature does not match this chart",
                )
                .expected_found(
                    signed_digests(statement, Some(CHART_LAYER)),
                    format!("{digest}  (this file)"),
                ));
            }
            let covered = Covered { chart: true, ..Covered::default() };
            Ok(Coverage { digest: *digest, kind: SubjectKind::Chart, covered })
        }
        Target::Reference { manifest, matching: Match::Manifest, .. } => {
            by_manifest(statement, manifest)
        }
        Target::Reference { manifest, matching: Match::ChartLayer, .. } => {
            by_layer(statement, manifest)
        }
    }
}

fn by_manifest(statement: &Statement, manifest: &ChartManifest) -> Result<Coverage> {
    let chart_layer = statement.covers(&manifest.chart.digest, CHART_LAYER);
    if !binds(statement, manifest) {
        let error = Error::refused(Reason::NotCovered, "manifest not signed").expected_found(
            signed_digests(statement, None),
            format!("{}  (this manifest)", manifest.digest),
        );
        return Err(if chart_layer {
            error
                .note(
                    "its chart layer is signed: the chart was pushed again, or wrapped by somebody",
                )
                .hint("to accept the layer alone, add `--match chart-layer`")
        } else {
            error
        });
    }
    let prov = named_layers(statement, manifest)?;
    let (index, named) = (signed_index(statement, manifest), statement.names(&manifest.digest));
    let covered = Covered { index: index.is_some(), manifest: named, chart: chart_layer, prov };
    let (digest, kind) = match index {
        Some(index) => (index, SubjectKind::Index),
        None => (manifest.digest, SubjectKind::Manifest),
    };
    Ok(Coverage { digest, kind, covered })
}

/// For each kind of layer that the statement names, this chart's layer of that kind must be among
/// its subjects. Answers whether the provenance is.
fn named_layers(statement: &Statement, manifest: &ChartManifest) -> Result<bool> {
    if statement.speaks_of(CHART_LAYER) && !statement.covers(&manifest.chart.digest, CHART_LAYER) {
        return Err(Error::refused(Reason::NotCovered, "chart layer not signed").expected_found(
            signed_digests(statement, Some(CHART_LAYER)),
            format!("{}  (this layer)", manifest.chart.digest),
        ));
    }
    if !statement.speaks_of(PROV_LAYER) {
        return Ok(false);
    }
    let signed = signed_digests(statement, Some(PROV_LAYER));
    match &manifest.prov {
        Some(prov) if statement.covers(&prov.digest, PROV_LAYER) => Ok(true),
        Some(prov) => Err(Error::refused(Reason::NotCovered, "provenance layer not signed")
            .expected_found(signed, format!("{}  (this layer)", prov.digest))),
        None => Err(Error::refused(Reason::NotCovered, "signed provenance layer is missing")
            .expected_found(signed, "no provenance layer")),
    }
}

fn by_layer(statement: &Statement, manifest: &ChartManifest) -> Result<Coverage> {
    if !statement.covers(&manifest.chart.digest, CHART_LAYER) {
        return Err(Error::refused(Reason::NotCovered, "chart layer not signed").expected_found(
            signed_digests(statement, Some(CHART_LAYER)),
            format!("{}  (this layer)", manifest.chart.digest),
        ));
    }
    let prov = named_layers(statement, manifest)?;
    let signed_layers = 1 + usize::from(prov);
    if manifest.layer_count != signed_layers {
        return Err(Error::refused(
            Reason::NotCovered,
            "manifest holds layers that are not signed",
        )
        .expected_found(
            format!("{signed_layers} signed"),
            format!("{} in the manifest", manifest.layer_count),
        ));
    }
    let covered = Covered { chart: true, prov, ..Covered::default() };
    Ok(Coverage { digest: manifest.chart.digest, kind: SubjectKind::Chart, covered })
}

/// The signed digests, for the eyes of somebody who compares them.
fn signed_digests(statement: &Statement, media_type: Option<&str>) -> String {
    let mut digests: Vec<_> = statement
        .subject
        .iter()
        .filter(|s| media_type.is_none() || s.media_type.as_deref() == media_type)
        .filter_map(|s| s.digest.get("sha256").map(|hex| format!("sha256:{hex}")))
        .collect();
    if digests.is_empty() {
        return "no digest of this kind".to_owned();
    }
    let more = digests.len().saturating_sub(3);
    digests.truncate(3);
    let mut text = digests.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    format!("{text}  (signed)")
}

/// Whether the signed chart is the one that was asked for (DESIGN decision 3).
pub(super) fn meaning(
    statement: &Statement,
    question: &Question<'_>,
) -> Result<(NamedVersion, VersionCheck)> {
    let named = match &question.target {
        Target::File { digest, named } => {
            if let Some((name, version)) = statement.chart_annotations(digest) {
                same_chart(&named.name, name)?;
                if named.version != version {
                    return Err(wrong_version(&named.version, version));
                }
            }
            (*named).clone()
        }
        Target::Reference { manifest, matching, config } => {
            named_in_registry(statement, manifest, *matching, *config)?
        }
    };
    if let Some(expected) = question.name {
        same_chart(expected, &named.name)?;
    }
    if !question.version.admits(&named.version) {
        return Err(wrong_version(&question.version.to_string(), &named.version));
    }
    let check = match question.version {
        TagMeaning::NotChecked => VersionCheck::NotChecked,
        _ => VersionCheck::Checked,
    };
    Ok((named, check))
}

/// From the chart subject; else, and only because the manifest itself (or the index that binds it) is signed,
/// from the manifest's annotations or its config blob.
fn named_in_registry(
    statement: &Statement,
    manifest: &ChartManifest,
    matching: Match,
    config: Option<&NamedVersion>,
) -> Result<NamedVersion> {
    let named = |(name, version): (&str, &str)| NamedVersion {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    if let Some(pair) = statement.chart_annotations(&manifest.chart.digest) {
        return Ok(named(pair));
    }
    if matching == Match::Manifest && binds(statement, manifest) {
        if let Some(pair) = annotated(manifest) {
            return Ok(named(pair));
        }
        if let Some(config) = config {
            return Ok(config.clone());
        }
    }
    Err(Error::refused(Reason::WrongChart, "signature does not name the chart")
        .cause("neither its subjects nor a signed manifest hold name and version"))
}

fn same_chart(expected: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::refused(Reason::WrongChart, "wrong chart")
        .expected_found(expected, format!("{found}  (signed)")))
}

fn wrong_version(expected: &str, found: &str) -> Error {
    Error::refused(Reason::WrongVersion, "wrong version")
        .expected_found(expected, format!("{found}  (signed)"))
}
