//! What is attached to a chart, wherever it hangs: a listing, in which nothing is verified.

use std::cell::Cell;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::World;
use super::findings::Limits;
use super::resolve::{Places, Resolved, resolve};
use crate::chart::{ChartReference, Digest, RepositoryPrefix};
use crate::error::{Error, Reason, Result};
use crate::registry::{
    Access, Descriptor, Index, RawManifest, ReferrerManifest, Registry, Repository, SignatureImage,
};
use crate::store::{Discovered, FallbackTag, Referrers, SignatureStore};
use crate::verify::{Bundle, COSIGN_SIGN_PREDICATE, ClaimedSigner, MAX_BUNDLE_BYTES};

/// Attachments that are fetched side by side.
const SIDE_BY_SIDE: usize = 8;
/// The tags that cosign 2 hangs things under: their endings.
pub(super) const COSIGN_TAGS: [&str; 3] = ["sig", "att", "sbom"];
/// What the media types of all bundle versions begin with.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The kinds of places.
pub(super) const REFERRERS: &str = "referrers";
pub(super) const FALLBACK_TAG: &str = "fallback-tag";
pub(super) const COSIGN_TAG: &str = "cosign-tag";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const NOTATION: &str = "application/vnd.cncf.notary.signature";
const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
const CREATED_ANNOTATION: &str = "org.opencontainers.image.created";
/// Parts of the names of the formats of bills of materials.
const SBOMS: [&str; 3] = ["spdx", "cyclonedx", "syft"];

/// A run of `tree`.
pub struct TreeRun {
    /// Clock, progress, warnings.
    pub world: World,
    /// The registries.
    pub registry: Registry,
    /// Where the signatures of charts are, if not beside them.
    pub signature_repository: Option<RepositoryPrefix>,
    /// How much is looked at.
    pub limits: Limits,
}

/// What is attached to one chart.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    /// The reference as the user typed it.
    pub input: String,
    /// The reference that was resolved, with its tag.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The digest that it was resolved to.
    pub manifest_digest: String,
    /// The reference by that digest, for a command that verifies. Not in JSON, where it would look like a result
    /// of one.
    #[serde(skip)]
    pub pinned: String,
    /// The repository that was asked, where it is not the chart's own.
    pub signature_repository: Option<String>,
    /// Every place that was asked.
    pub places: Vec<TreePlace>,
}

/// A place where things are attached.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreePlace {
    /// `referrers`, `fallback-tag` or `cosign-tag`.
    pub place: &'static str,
    /// The API, or the tag.
    pub object: String,
    /// The digest that things are attached to there.
    pub subject: String,
    /// What it answered.
    pub status: String,
    /// Whether it has said what it holds.
    pub answered: bool,
    /// What hangs there.
    pub attached: Vec<Attachment>,
    /// Why it has not answered, or not in full.
    #[serde(skip)]
    pub(super) error: Option<Error>,
}

/// Something that is attached to a chart. Whatever it says of itself is a claim.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The digest of its manifest, or of the layer where one manifest holds several.
    pub digest: String,
    /// The media type of that.
    pub media_type: Option<String>,
    /// The type of the artifact.
    pub artifact_type: Option<String>,
    /// Bytes of its layers, as claimed.
    pub size: Option<u64>,
    /// `signature`, `attestation`, `sbom`, `other` or, where it could not be read, `unknown`.
    pub kind: &'static str,
    /// `bundle`, `legacy`, `dsse`, `in-toto` or `notation`.
    pub format: Option<&'static str>,
    /// What the statement is about.
    pub predicate_type: Option<String>,
    /// Who signed, as claimed.
    pub claimed_signer: Option<Claimed>,
    /// When it was made, as claimed.
    pub claimed_time: Option<String>,
    /// Always false: a listing verifies nothing.
    pub verified: bool,
    /// Why not all of this is known.
    pub message: Option<String>,
    /// What tells a layer from others with the same content: the digest of its description, annotations included.
    pub entry: Option<String>,
    /// What holds it, where that could be read.
    #[serde(skip)]
    pub(super) held: Option<Held>,
}

/// What holds something that is attached.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The digest of the manifest.
    pub manifest: Digest,
    /// What that says it refers to.
    pub subject: Option<Digest>,
    /// The layer, where one manifest holds several things.
    pub layer: Option<Descriptor>,
    /// How many things the manifest holds.
    pub count: usize,
}

/// Who signed, as claimed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claimed {
    /// The name in the certificate.
    pub identity: Option<String>,
    /// The issuer in the certificate.
    pub issuer: Option<String>,
    /// The hint at a key.
    pub key_hint: Option<String>,
}

impl Claimed {
    fn of(claimed: ClaimedSigner) -> Option<Self> {
        let ClaimedSigner { identity, issuer, key_hint } = claimed;
        let any = identity.is_some() || issuer.is_some() || key_hint.is_some();
        any.then_some(Self { identity, issuer, key_hint })
    }
}

impl Tree {
    /// How many things are attached, at all places together.
    pub fn count(&self) -> usize {
        self.places.iter().map(|place| place.attached.len()).sum()
    }

    /// Whether everything was listed and read.
    pub fn is_complete(&self) -> bool {
        self.places
            .iter()
            .all(|place| place.answered && place.attached.iter().all(|one| one.kind != "unknown"))
    }
}

/// What is left of the limits.
struct Budget {
    attachments: Cell<usize>,
    bytes: Cell<u64>,
    deadline: Instant,
}

impl Budget {
    fn new(limits: Limits) -> Self {
        let Limits { candidates, bytes, time } = limits;
        let deadline = Instant::now() + time.min(Duration::from_secs(86_400));
        Self { attachments: Cell::new(candidates), bytes: Cell::new(bytes), deadline }
    }

    /// Takes one attachment from it; why there is none left.
    fn take(&self) -> Result<(), String> {
        if self.attachments.get() == 0 {
            return Err("not read: too many are attached".to_owned());
        }
        if self.bytes.get() == 0 {
            return Err("not read: the others are too large".to_owned());
        }
        if Instant::now() >= self.deadline {
            return Err("not read: the others took too long".to_owned());
        }
        self.attachments.set(self.attachments.get() - 1);
        Ok(())
    }

    fn spend(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes as u64));
    }
}

impl TreeRun {
    /// Lists what is attached to the chart behind `reference`. A place that does not answer is no error but
    /// one that has not answered.
    ///
    /// # Errors
    /// Of resolving: no such chart, or not reached.
    pub async fn tree(&self, reference: &ChartReference, version: Option<&str>) -> Result<Tree> {
        let signatures = self.signature_repository.as_ref();
        let places = Places { registry: &self.registry, access: Access::Pull, signatures };
        let resolved = resolve(&self.world, places, reference, version, None)
            .await
            .map_err(|error| error.on(reference.typed.clone()))?;
        Ok(self.of(&resolved).await)
    }

    /// The same of a chart that was found.
    pub(super) async fn of(&self, resolved: &Resolved) -> Tree {
        let budget = Budget::new(self.limits);
        self.world.enter("listing what is attached");
        let mut places = Vec::new();
        for subject in resolved.subjects() {
            places.extend(self.places(&resolved.signatures, subject.digest, &budget).await);
        }
        Tree {
            input: resolved.reference.typed.clone(),
            reference: resolved.words(),
            manifest_digest: resolved.manifest.digest.to_string(),
            pinned: resolved.pinned(),
            signature_repository: resolved.signature_repository(),
            places,
        }
    }

    /// The places where something may be attached to `subject`.
    async fn places(
        &self,
        repository: &Repository,
        subject: Digest,
        budget: &Budget,
    ) -> Vec<TreePlace> {
        let (api, fallback) =
            (Referrers::new(repository, subject), FallbackTag::new(repository, subject));
        let (by_api, by_tag, others) = futures_util::future::join3(
            api.discover(),
            fallback.discover(),
            futures_util::future::join_all(COSIGN_TAGS.map(|ending| {
                let tag = format!("sha256-{}.{ending}", subject.hex());
                async move {
                    let found = repository.manifest(&tag).await;
                    (tag, found)
                }
            })),
        )
        .await;
        let mut places = Vec::new();
        for (place, discovered) in [(REFERRERS, by_api), (FALLBACK_TAG, by_tag)] {
            places.push(self.listed(place, discovered, repository, &subject, budget).await);
        }
        for (tag, found) in others {
            places.push(tagged(tag, found, repository, &subject, budget).await);
        }
        places
    }

    async fn listed(
        &self,
        place: &'static str,
        discovered: Discovered,
        repository: &Repository,
        subject: &Digest,
        budget: &Budget,
    ) -> TreePlace {
        let attached = stream::iter(&discovered.candidates).map(|candidate| async move {
            let claims = Attachment {
                digest: candidate.digest.to_string(),
                artifact_type: candidate.artifact_type.clone(),
                predicate_type: candidate.predicate_type.clone(),
                claimed_time: candidate.created.clone(),
                kind: "unknown",
                ..Attachment::default()
            };
            if let Err(message) = budget.take() {
                return vec![Attachment { message: Some(message), ..claims }];
            }
            match repository.manifest(&candidate.digest.to_string()).await {
                Ok(Some(found)) => read(&found, claims, repository, budget).await,
                Ok(None) => {
                    let message = Some("listed, and not there".to_owned());
                    vec![Attachment { message, ..claims }]
                }
                Err(error) => vec![Attachment { message: Some(error.to_string()), ..claims }],
            }
        });
        let attached: Vec<_> = attached.buffered(SIDE_BY_SIDE).collect().await;
        TreePlace {
            place,
            object: discovered.object,
            subject: subject.to_string(),
            status: discovered.status,
            answered: discovered.error.is_none(),
            attached: attached.into_iter().flatten().collect(),
            error: discovered.error,
        }
    }
}

/// One of cosign's tags.
async fn tagged(
    tag: String,
    found: Result<Option<RawManifest>>,
    repository: &Repository,
    subject: &Digest,
    budget: &Budget,
) -> TreePlace {
    let mut place = TreePlace {
        place: COSIGN_TAG,
        object: format!("tag {tag}"),
        subject: subject.to_string(),
        status: "404".to_owned(),
        answered: true,
        attached: Vec::new(),
        error: None,
    };
    match found {
        Ok(None) => {}
        // GitLab answers a tag that spells a digest with what has that digest.
        Ok(Some(found)) if found.digest == *subject => place.status = "no tag".to_owned(),
        Ok(Some(found)) if is_empty(&found) => place.status = "none".to_owned(),
        Ok(Some(found)) => {
            let claims = Attachment {
                digest: found.digest.to_string(),
                kind: "unknown",
                ..Attachment::default()
            };
            place.attached = read(&found, claims, repository, budget).await;
            place.status = format!("{} found", place.attached.len());
        }
        Err(error) => {
            place.status = cause_of(&error);
            place.answered = false;
            place.error = Some(error);
        }
    }
    place
}

/// Whether an image has lost all its layers.
fn is_empty(found: &RawManifest) -> bool {
    let image = SignatureImage::parse(&found.bytes);
    matches!(image, Ok(Some(image)) if image.layers().len() == 0)
}

fn cause_of(error: &Error) -> String {
    let cause = error.lines.iter().find(|line| line.label == "cause");
    cause.map_or_else(|| error.what.clone(), |line| line.text.clone())
}

/// What a manifest turns out to be: one thing, or with cosign's tags one a layer.
async fn read(
    found: &RawManifest,
    claims: Attachment,
    repository: &Repository,
    budget: &Budget,
) -> Vec<Attachment> {
    budget.spend(found.bytes.len());
    let claims = Attachment { media_type: found.media_type.clone(), ..claims };
    if let Ok(Some(_)) = Index::parse(&found.bytes) {
        return vec![Attachment { kind: "other", ..claims }];
    }
    let manifest = match ReferrerManifest::parse(&found.bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            return vec![Attachment { kind: "other", message: Some(cause_of(&error)), ..claims }];
        }
    };
    let config = manifest.config.as_ref().map(|config| config.media_type.clone());
    let subject = manifest.subject.as_ref().map(|subject| subject.digest);
    let held = Held { manifest: found.digest, subject, layer: None, count: 1 };
    let claims = Attachment {
        held: Some(held),
        media_type: manifest.media_type.clone().or(claims.media_type),
        artifact_type: manifest.artifact_type.clone().or(claims.artifact_type).or(config),
        size: Some(manifest.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))),
        claimed_time: manifest.annotations.get(CREATED_ANNOTATION).cloned().or(claims.claimed_time),
        ..claims
    };
    let bundle = manifest.layers.iter().find(|layer| layer.media_type.starts_with(BUNDLE));
    if let Some(layer) = bundle {
        let read = read_bundle(layer, repository, budget).await;
        return vec![of_bundle(read, claims)];
    }
    let mut by_layer: Vec<_> =
        manifest.layers.iter().filter_map(|layer| of_layer(layer, &claims)).collect();
    if !by_layer.is_empty() {
        let count = by_layer.len();
        by_layer.iter_mut().filter_map(|one| one.held.as_mut()).for_each(|held| held.count = count);
        return by_layer;
    }
    let artifact_type = claims.artifact_type.as_deref().unwrap_or_default();
    let (kind, format) = match artifact_type {
        NOTATION => ("signature", Some("notation")),
        kind if is_sbom(kind) || manifest.layers.iter().any(|layer| is_sbom(&layer.media_type)) => {
            ("sbom", None)
        }
        _ => ("other", None),
    };
    vec![Attachment { kind, format, ..claims }]
}

fn is_sbom(media_type: &str) -> bool {
    SBOMS.iter().any(|name| media_type.contains(name))
}

async fn read_bundle(
    layer: &Descriptor,
    repository: &Repository,
    budget: &Budget,
) -> Result<Bundle> {
    let bytes = match layer.inlined()? {
        Some(bytes) => bytes,
        None => {
            let bound = usize::try_from(layer.size).unwrap_or(usize::MAX).min(MAX_BUNDLE_BYTES);
            let bytes = repository.blob(&layer.digest, bound).await?.ok_or_else(|| {
                Error::undecided(Reason::Unreachable, "the bundle is named, and not there")
            })?;
            budget.spend(bytes.len());
            bytes
        }
    };
    Bundle::parse(&bytes)
}

fn of_bundle(read: Result<Bundle>, claims: Attachment) -> Attachment {
    let claims = Attachment { format: Some("bundle"), ..claims };
    match read {
        Ok(bundle) => {
            let predicate = bundle.statement().map(|statement| statement.predicate_type.clone());
            let signs = predicate.as_deref().is_none_or(|kind| kind == COSIGN_SIGN_PREDICATE);
            Attachment {
                kind: if signs { "signature" } else { "attestation" },
                predicate_type: predicate.or(claims.predicate_type),
                claimed_signer: Claimed::of(ClaimedSigner::of_bundle(&bundle)),
                ..claims
            }
        }
        // What was read and is no bundle will be none the next time.
        Err(error) if error.class == crate::error::Class::Refused => {
            Attachment { kind: "other", message: Some(error.to_string()), ..claims }
        }
        Err(error) => Attachment { kind: "unknown", message: Some(cause_of(&error)), ..claims },
    }
}

/// One of the things that cosign's tags hold a layer each of.
fn of_layer(layer: &Descriptor, claims: &Attachment) -> Option<Attachment> {
    let (kind, format) = match layer.media_type.as_str() {
        SIMPLE_SIGNING => ("signature", "legacy"),
        DSSE => ("attestation", "dsse"),
        IN_TOTO => ("attestation", "in-toto"),
        _ => return None,
    };
    let annotation = |key: &str| layer.annotations.get(key);
    let predicate = annotation("predicateType").or_else(|| annotation("in-toto.io/predicate-type"));
    let certificate = annotation(CERTIFICATE_ANNOTATION);
    Some(Attachment {
        digest: layer.digest.to_string(),
        media_type: Some(layer.media_type.clone()),
        size: Some(layer.size),
        kind,
        format: Some(format),
        predicate_type: predicate.cloned().or_else(|| claims.predicate_type.clone()),
        claimed_signer: certificate.and_then(|pem| Claimed::of(ClaimedSigner::of_pem(pem))),
        entry: Some(layer.entry_digest().to_string()),
        held: claims.held.clone().map(|held| Held { layer: Some(layer.clone()), ..held }),
        ..claims.clone()
    })
}
