//! From what the user typed to one manifest, exactly once: nothing after this sees the tag.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::World;
use crate::chart::version::{Constraint, Lookup, TagMeaning, lookup};
use crate::chart::{
    Archive, ChartManifest, ChartMetadata, ChartReference, Descriptor, Digest, Manifest,
    RepositoryPrefix, parse_indexed,
};
use crate::error::{Class, Error, Reason, Result};
use crate::registry::{Access, RawManifest, Registry, Repository};
use crate::verify::{MAX_PROVENANCE_BYTES, NamedVersion};

/// The largest config blob that is read; Helm writes Chart.yaml into it.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// The largest packed chart that is read; Helm unpacks at most 100 MiB.
const MAX_CHART_BYTES: usize = 100 << 20;

/// Manifests of an index that are read at once, of at most 4 MiB each.
const SIDE_BY_SIDE: usize = 4;

/// `--chart NAME[:VERSION]`: what a renamed repository holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartName {
    /// The chart's name.
    pub name: String,
    /// Its version, if that is stated too.
    pub version: Option<String>,
}

impl ChartName {
    /// Reads `NAME` or `NAME:VERSION`.
    ///
    /// # Errors
    /// Usage, when either part is empty.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, version) = match text.split_once(':') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        if name.is_empty() || version == Some("") {
            return Err(Error::usage("expected NAME or NAME:VERSION").on(format!("--chart {text}")));
        }
        Ok(Self { name: name.to_owned(), version: version.map(str::to_owned) })
    }
}

/// A chart that was found in a registry.
#[derive(Debug)]
pub(super) struct Resolved {
    pub reference: ChartReference,
    pub repository: Repository,
    /// Where its signatures are: there too, unless the user says otherwise.
    pub signatures: Repository,
    pub manifest: ChartManifest,
    /// The name that is expected.
    pub name: String,
    /// The version that is expected.
    pub version: TagMeaning,
}

impl Resolved {
    /// The reference with the tag that was found, for people.
    pub(super) fn words(&self) -> String {
        match &self.reference.tag {
            Some(tag) => format!("{}:{tag}", self.reference.repository_ref()),
            None => self.pinned(),
        }
    }

    /// The reference by digest.
    pub(super) fn pinned(&self) -> String {
        self.reference.with_digest(&self.manifest.digest)
    }

    /// What a signature may be attached to: the index through which the manifest was found, and the manifest.
    pub(super) fn subjects(&self) -> Vec<Descriptor> {
        let manifest = Descriptor {
            media_type: self.manifest.media_type.clone(),
            digest: self.manifest.digest,
            size: self.manifest.size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        };
        self.manifest.index.iter().cloned().chain([manifest]).collect()
    }

    /// The repository of the signatures, where it is not the chart's own.
    pub(super) fn signature_repository(&self) -> Option<String> {
        let (own, other) = (self.repository.name(), self.signatures.name());
        (own != other).then(|| format!("oci://{other}"))
    }

    /// Name and version as the config blob has them.
    pub(super) async fn config(&self) -> Result<NamedVersion> {
        let bytes = self
            .repository
            .blob(&self.manifest.config.digest, MAX_CONFIG_BYTES)
            .await?
            .ok_or_else(|| {
                Error::undecided(
                    Reason::Malformed,
                    format!("config blob {} is missing", self.manifest.config.digest),
                )
            })?;
        let metadata = ChartMetadata::from_json(&bytes)?;
        Ok(NamedVersion { name: metadata.name, version: metadata.version })
    }

    /// The provenance layer, where there is one.
    pub(super) async fn prov(&self) -> Result<Option<Bytes>> {
        let Some(layer) = &self.manifest.prov else { return Ok(None) };
        let bytes = self.repository.blob(&layer.digest, MAX_PROVENANCE_BYTES).await?;
        bytes.map(Some).ok_or_else(|| {
            Error::undecided(
                Reason::Malformed,
                format!("provenance layer {} is missing", layer.digest),
            )
        })
    }

    /// The provenance layer and what the chart is called that it is of, once that is what was asked for; nothing where there
    /// is no such layer. `signed` is what a signature says the chart is called, where one does.
    pub(super) async fn named_prov(
        &self,
        signed: Option<&NamedVersion>,
    ) -> Result<Option<(NamedVersion, Vec<u8>)>> {
        if self.manifest.prov.is_none() {
            return Ok(None);
        }
        // What is asked for, in the words of the chart itself.
        let named = match signed {
            Some(named) => named.clone(),
            None => self.config().await?,
        };
        if named.name != self.name || !self.version.admits(&named.version) {
            return Err(Error::refused(Reason::WrongChart, "wrong chart").expected_found(
                format!("{} {}", self.name, self.version),
                format!("{} {}  (config)", named.name, named.version),
            ));
        }
        let prov = self.prov().await?.map(|bytes| bytes.to_vec());
        Ok(prov.map(|prov| (named, prov)))
    }

    /// The chart layer, read within Helm's limits.
    pub(super) async fn archive(&self) -> Result<Archive> {
        let layer = &self.manifest.chart;
        let bound = usize::try_from(layer.size).unwrap_or(usize::MAX);
        if bound > MAX_CHART_BYTES {
            return Err(Error::undecided(
                Reason::LimitReached,
                format!("chart layer has {} bytes; {MAX_CHART_BYTES} are read", layer.size),
            ));
        }
        let bytes = self.repository.blob(&layer.digest, bound).await?.ok_or_else(|| {
            Error::undecided(Reason::Malformed, format!("chart layer {} is missing", layer.digest))
        })?;
        Archive::read(&bytes)
    }
}

/// Where to look, and what for: `access` is to the repository of the signatures, of the chart is only read.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub registry: &'a Registry,
    pub access: Access,
    /// `--signature-repository`.
    pub signatures: Option<&'a RepositoryPrefix>,
}

impl Places<'_> {
    /// Where the chart of `reference` is, and its signatures.
    fn repositories(&self, reference: &ChartReference) -> Result<(Repository, Repository)> {
        let Self { registry, access, signatures } = *self;
        let repository =
            |access| registry.repository(&reference.host, &reference.repository, access);
        match signatures {
            None => repository(access).map(|own| (own.clone(), own)),
            Some(other) => Ok((
                repository(Access::Pull)?,
                registry.repository(&other.host, &other.path, access)?,
            )),
        }
    }

    /// Where the signatures of `reference` are looked for beside finding its manifest, and for which digest: the one that
    /// it states, as there is no other that it may turn out to mean.
    pub(super) fn known_ahead(&self, reference: &ChartReference) -> Option<(Repository, Digest)> {
        let (_, signatures) = self.repositories(reference).ok()?;
        Some((signatures.beside_the_first(), reference.digest?))
    }
}

/// Finds the manifest that `reference`, with `--version` and `--chart` where given, stands for.
pub(super) async fn resolve(
    world: &World,
    places: Places<'_>,
    reference: &ChartReference,
    version: Option<&str>,
    chart: Option<&ChartName>,
) -> Result<Resolved> {
    world.enter(format!("resolving {reference}"));
    let (repository, signatures) = places.repositories(reference)?;
    let (reference, constraint) = choose_tag(reference, version, &repository).await?;
    let wanted = match (&reference.tag, &reference.digest) {
        (Some(tag), _) => tag.clone(),
        (None, Some(digest)) => digest.to_string(),
        (None, None) => return Err(Error::usage("neither tag nor digest")),
    };
    let found = match (repository.manifest(&wanted).await?, &reference.digest) {
        (Some(found), None) => found,
        (Some(found), Some(digest)) if found.digest == *digest => found,
        (Some(found), Some(digest)) => return Err(moved(&reference, digest, &found.digest)),
        (None, Some(digest)) if reference.tag.is_some() => {
            world.warn(format!("{reference}: no such tag; going on with the digest"));
            let by_digest = repository.manifest(&digest.to_string()).await?;
            by_digest.ok_or_else(|| Error::not_found("no such chart"))?
        }
        (None, _) => return Err(Error::not_found("no such chart")),
    };
    let manifest =
        chart_in(&repository, &found).await.map_err(|error| error.at_digest(found.digest))?;
    if manifest.legacy_layer {
        world.warn(format!("{reference}: chart media type application/tar+gzip is deprecated"));
    }
    let name = chart.map_or_else(|| reference.name().to_owned(), |chart| chart.name.clone());
    let stated = chart.and_then(|chart| chart.version.as_deref());
    let version = match (stated, &reference.tag, constraint) {
        (Some(version), _, Some(constraint))
            if !TagMeaning::Within(constraint.clone()).admits(version) =>
        {
            return Err(Error::usage("--chart and --version mismatch")
                .line("--chart", version)
                .line("--version", constraint.text()));
        }
        (Some(version), _, _) => TagMeaning::of(version),
        (None, Some(tag), _) => TagMeaning::of(tag),
        (None, None, Some(constraint)) => TagMeaning::Within(constraint),
        (None, None, None) => TagMeaning::NotChecked,
    };
    Ok(Resolved { reference, repository, signatures, manifest, name, version })
}

/// The chart that a manifest is, or that an index holds.
async fn chart_in(repository: &Repository, found: &RawManifest) -> Result<ChartManifest> {
    let index = match Manifest::parse(&found.bytes, found.media_type.as_deref())? {
        Manifest::Chart(chart) => return Ok(*chart),
        Manifest::Index(index) => index,
    };
    let read = index.candidates()?.into_iter().map(|entry| indexed(repository, entry));
    let read: Vec<_> = stream::iter(read).buffered(SIDE_BY_SIDE).try_collect().await?;
    index.only_chart(read.into_iter().flatten().collect())
}

async fn indexed(repository: &Repository, entry: &Descriptor) -> Result<Option<ChartManifest>> {
    let found = repository.manifest(&entry.digest.to_string()).await?.ok_or_else(|| {
        let cause = format!("manifest {} is in the index and not there", entry.digest);
        Error::undecided(Reason::Malformed, cause)
    })?;
    parse_indexed(entry, &found.bytes, found.media_type.as_deref())
}

/// The reference with the tag that Helm's rules lead to: a tag or an exact version is taken as it is,
/// anything else is a constraint over the tags. Beside a digest a constraint chooses nothing, and is answered to
/// be held against the version of the chart.
async fn choose_tag(
    reference: &ChartReference,
    version: Option<&str>,
    repository: &Repository,
) -> Result<(ChartReference, Option<Constraint>)> {
    Ok(match lookup(reference, version, false)? {
        Lookup::Digest { tag: Some(tag), .. } | Lookup::Tag(tag) => {
            (reference.with_tag(&tag)?, None)
        }
        Lookup::Digest { tag: None, constraint, .. } => (reference.clone(), constraint),
        Lookup::Newest(constraint) => {
            let tags = repository.tags().await?;
            let tags = tags.ok_or_else(|| Error::not_found("no such repository"))?;
            (reference.with_tag(&constraint.select(&tags)?.tag)?, None)
        }
    })
}

fn moved(reference: &ChartReference, expected: &Digest, found: &Digest) -> Error {
    let tag = reference.tag.as_deref().unwrap_or_default();
    Error::new(Class::Refused, Reason::WrongVersion, "tag and digest differ")
        .expected_found(expected.to_string(), format!("{found}  (tag {tag})"))
}
