//! What is attached to a chart, wherever it hangs: a listing, in which nothing is verified.

mod contents;

use std::cell::Cell;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::World;
use super::findings::Limits;
use super::resolve::{Places, Resolved, resolve};
use crate::chart::{ChartReference, Digest, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::registry::{Access, Descriptor, RawManifest, Registry, Repository, SignatureImage};
use crate::store::{Discovered, FallbackTag, Referrers, SignatureStore};
use crate::verify::ClaimedSigner;

/// Attachments that are fetched side by side.
const SIDE_BY_SIDE: usize = 8;
/// The tags that cosign 2 hangs things under: their endings.
pub(super) const COSIGN_TAGS: [&str; 3] = ["sig", "att", "sbom"];
/// The kinds of places.
pub(super) const REFERRERS: &str = "referrers";
pub(super) const FALLBACK_TAG: &str = "fallback-tag";
pub(super) const COSIGN_TAG: &str = "cosign-tag";

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
    /// The layers that it consists of; none where no layer can be taken out.
    pub layers: Vec<Descriptor>,
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
                Ok(Some(found)) => contents::of_referrer(&found, claims, repository, budget).await,
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
        Ok(Some(found)) => {
            let image = SignatureImage::parse(&found.bytes).ok().flatten();
            // One that has lost all its layers holds nothing.
            if image.as_ref().is_some_and(|image| image.layers().len() == 0) {
                place.status = "none".to_owned();
                return place;
            }
            let claims = Attachment {
                digest: found.digest.to_string(),
                kind: "unknown",
                ..Attachment::default()
            };
            place.attached = contents::of_image(&found, claims, repository, budget).await;
            if image.is_none() {
                let held = place.attached.iter_mut().filter_map(|one| one.held.as_mut());
                held.for_each(|held| held.layers.clear());
            }
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

fn cause_of(error: &Error) -> String {
    let cause = error.lines.iter().find(|line| line.label == "cause");
    cause.map_or_else(|| error.what.clone(), |line| line.text.clone())
}
