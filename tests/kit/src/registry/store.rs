//! What the registry holds: repositories of manifests, tags and blobs, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::chart::Chart;

/// Media types that the kit writes or looks for.
pub mod media_type {
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// The config of a Helm chart.
    pub const CHART_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
    /// The packaged chart.
    pub const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    /// The packaged chart, as Helm before 3.7 wrote it.
    pub const CHART_LEGACY: &str = "application/tar+gzip";
    /// The provenance file.
    pub const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
}

/// A handle on the content of a registry. Clones share it, so two registries can serve one content
/// (a registry and its content network, say). Nothing is checked here: a test may store what no
/// registry would take.
#[derive(Clone, Debug, Default)]
pub struct Store {
    repositories: Arc<Mutex<BTreeMap<String, Repository>>>,
}

/// What [`Store::push_chart`] stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Repository, without host.
    pub repository: String,
    /// Tag, with `_` for `+`.
    pub tag: String,
    /// `sha256:…` of the manifest.
    pub manifest_digest: String,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// `sha256:…` of the config blob.
    pub config_digest: String,
    /// `sha256:…` of the chart archive.
    pub layer_digest: String,
    /// `sha256:…` of the provenance layer.
    pub provenance_digest: Option<String>,
}

#[derive(Debug, Default)]
struct Repository {
    manifests: BTreeMap<String, Manifest>,
    tags: BTreeMap<String, String>,
    blobs: BTreeMap<String, Bytes>,
    /// Digests in the order in which they came: referrers are listed in it.
    order: Vec<String>,
}

#[derive(Clone, Debug)]
struct Manifest {
    media_type: String,
    bytes: Bytes,
}

/// An OCI descriptor in Helm's field order.
#[derive(Serialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: usize,
}

/// A chart manifest in Helm's field order: no top-level media type, no artifact type.
#[derive(Serialize)]
struct ChartManifest {
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
}

/// `sha256:…` of `bytes`.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// An image index of `entries` made-up referrers of the size that real ones have, each with another
/// digest. None of them exists.
pub fn index_of(entries: usize) -> Vec<u8> {
    let manifests: Vec<Value> = (0..entries)
        .map(|number| {
            json!({
                "mediaType": media_type::MANIFEST,
                "digest": digest_of(format!("made-up referrer {number}").as_bytes()),
                "size": 1234,
                "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            })
        })
        .collect();
    index(&manifests)
}

/// An image index with these entries.
pub fn index(manifests: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": manifests })
        .to_string()
        .into_bytes()
}

impl Store {
    /// An empty store.
    pub fn new() -> Store {
        Store::default()
    }

    /// Stores a chart exactly as `helm push` does. `repository` ends in the chart's name, as in
    /// `charts/web`, unless the test wants a renamed one.
    pub fn push_chart(&self, repository: &str, chart: &Chart) -> Pushed {
        self.push_chart_with(repository, chart, |_| ())
    }

    /// As [`Store::push_chart`], with a last change to the manifest (a layer more, another media
    /// type, a wrong annotation) before it is stored.
    pub fn push_chart_with(
        &self,
        repository: &str,
        chart: &Chart,
        change: impl FnOnce(&mut Value),
    ) -> Pushed {
        let config = self.described(repository, media_type::CHART_CONFIG, chart.config_json());
        let archive = self.described(repository, media_type::CHART, chart.tgz());
        let provenance = chart
            .provenance_bytes()
            .map(|bytes| self.described(repository, media_type::PROVENANCE, bytes.to_vec()));
        let config_digest = config.digest.clone();
        let layer_digest = archive.digest.clone();
        let provenance_digest = provenance.as_ref().map(|layer| layer.digest.clone());

        let mut layers: Vec<_> = [Some(archive), provenance].into_iter().flatten().collect();
        layers.sort_by(|a, b| a.digest.cmp(&b.digest));
        let annotations = chart.manifest_annotations();
        let typed = ChartManifest { schema_version: 2, config, layers, annotations };
        let unchanged = serde_json::to_value(&typed).expect("a manifest is JSON");
        let mut changed = unchanged.clone();
        change(&mut changed);
        let manifest = if changed == unchanged {
            serde_json::to_vec(&typed).expect("a manifest is JSON")
        } else {
            changed.to_string().into_bytes()
        };
        let tag = chart.tag();
        let manifest_digest =
            self.put_manifest(repository, Some(&tag), media_type::MANIFEST, manifest.clone());
        Pushed {
            repository: repository.to_owned(),
            tag,
            manifest_digest,
            manifest,
            config_digest,
            layer_digest,
            provenance_digest,
        }
    }

    /// Stores a manifest, tags it when `tag` is given, and returns its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        self.put_manifest_as(repository, &digest, media_type, bytes);
        if let Some(tag) = tag {
            self.tag(repository, tag, &digest);
        }
        digest
    }

    /// Stores bytes under a digest that need not be theirs: a lying registry.
    pub fn put_manifest_as(
        &self,
        repository: &str,
        digest: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) {
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: bytes.into() };
        self.change(repository, |repository| {
            if repository.manifests.insert(digest.to_owned(), manifest).is_none() {
                repository.order.push(digest.to_owned());
            }
        });
    }

    /// Stores a blob and returns its digest.
    pub fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        self.put_blob_as(repository, &digest, bytes);
        digest
    }

    /// Stores bytes under a digest that need not be theirs: a lying registry.
    pub fn put_blob_as(&self, repository: &str, digest: &str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.change(repository, |repository| repository.blobs.insert(digest.to_owned(), bytes));
    }

    /// Points a tag at a digest, moving it if it exists. The digest need not exist.
    pub fn tag(&self, repository: &str, tag: &str, digest: &str) {
        self.change(repository, |repository| {
            repository.tags.insert(tag.to_owned(), digest.to_owned())
        });
    }

    /// Media type and bytes of the manifest of a tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Bytes)> {
        self.read(repository, |repository| {
            let digest = repository.digest(reference)?;
            let manifest = repository.manifests.get(&digest)?;
            Some((manifest.media_type.clone(), manifest.bytes.clone()))
        })
    }

    /// The digest under which the manifest of a tag or digest is stored.
    pub fn resolve(&self, repository: &str, reference: &str) -> Option<String> {
        self.read(repository, |repository| {
            repository.digest(reference).filter(|digest| repository.manifests.contains_key(digest))
        })
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Bytes> {
        self.read(repository, |repository| repository.blobs.get(digest).cloned())
    }

    /// All tags in lexical order.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.read(repository, |repository| Some(repository.tags.keys().cloned().collect()))
            .unwrap_or_default()
    }

    /// The digests of all manifests in the order in which they came.
    pub fn manifests(&self, repository: &str) -> Vec<String> {
        self.read(repository, |repository| Some(repository.order.clone())).unwrap_or_default()
    }

    /// The digests of all blobs.
    pub fn blobs(&self, repository: &str) -> Vec<String> {
        self.read(repository, |repository| Some(repository.blobs.keys().cloned().collect()))
            .unwrap_or_default()
    }

    /// Whether anything was ever stored in the repository.
    pub fn exists(&self, repository: &str) -> bool {
        self.lock().contains_key(repository)
    }

    /// The descriptors of all manifests whose `subject` is `digest`, in the order in which they
    /// came, as the referrers API lists them (distribution specification, "Listing Referrers").
    /// This looks at the content, whatever the registry answers over HTTP.
    pub fn referrers(&self, repository: &str, digest: &str) -> Vec<Value> {
        self.read(repository, |repository| {
            let manifests = repository.order.iter().filter_map(|own| {
                let manifest = repository.manifests.get(own)?;
                referrer(own, manifest, digest)
            });
            Some(manifests.collect())
        })
        .unwrap_or_default()
    }

    /// The entries of the fallback index at tag `sha256-HEX`; empty when there is none.
    pub fn fallback_referrers(&self, repository: &str, digest: &str) -> Vec<Value> {
        self.manifest(repository, &digest.replacen(':', "-", 1))
            .and_then(|(_, bytes)| serde_json::from_slice::<Value>(&bytes).ok())
            .and_then(|index| index.get("manifests").and_then(Value::as_array).cloned())
            .unwrap_or_default()
    }

    /// Deletes a tag and leaves its manifest. Says whether it was there.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> bool {
        self.change(repository, |repository| repository.tags.remove(tag).is_some())
    }

    /// Deletes a manifest by digest, and the tags on it. Says whether it was there.
    pub fn delete_manifest(&self, repository: &str, digest: &str) -> bool {
        self.change(repository, |repository| {
            repository.tags.retain(|_, target| target != digest);
            repository.order.retain(|known| known != digest);
            repository.manifests.remove(digest).is_some()
        })
    }

    /// Deletes a blob. Says whether it was there.
    pub fn delete_blob(&self, repository: &str, digest: &str) -> bool {
        self.change(repository, |repository| repository.blobs.remove(digest).is_some())
    }

    /// Copies a blob between repositories; `None` when the source lacks it.
    pub(super) fn mount(&self, from: &str, to: &str, digest: &str) -> Option<()> {
        let bytes = self.blob(from, digest)?;
        self.put_blob_as(to, digest, bytes);
        Some(())
    }

    fn described(&self, repository: &str, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let size = bytes.len();
        let digest = self.put_blob(repository, bytes);
        Descriptor { media_type: media_type.to_owned(), digest, size }
    }

    fn read<T>(&self, name: &str, look: impl FnOnce(&Repository) -> Option<T>) -> Option<T> {
        self.lock().get(name).and_then(look)
    }

    fn change<T>(&self, name: &str, change: impl FnOnce(&mut Repository) -> T) -> T {
        change(self.lock().entry(name.to_owned()).or_default())
    }

    // A panic of one test thread must not spoil what the others still want to read.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Repository>> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repository {
    fn digest(&self, reference: &str) -> Option<String> {
        if reference.contains(':') {
            return Some(reference.to_owned());
        }
        self.tags.get(reference).cloned()
    }
}

fn referrer(digest: &str, manifest: &Manifest, subject: &str) -> Option<Value> {
    let content: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    if content.get("subject")?.get("digest")?.as_str()? != subject {
        return None;
    }
    let mut descriptor = json!({
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": manifest.bytes.len(),
    });
    // An image manifest without artifact type is listed under its config's media type.
    let artifact_type = content
        .get("artifactType")
        .or_else(|| content.get("config").and_then(|config| config.get("mediaType")));
    if let Some(artifact_type) = artifact_type {
        descriptor["artifactType"] = artifact_type.clone();
    }
    if let Some(annotations) = content.get("annotations") {
        descriptor["annotations"] = annotations.clone();
    }
    Some(descriptor)
}
