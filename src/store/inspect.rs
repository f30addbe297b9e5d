//! What a place lists, held against what the manifests behind it say of themselves; and the index under a
//! fallback tag without what is wrong with it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::attach::Through;
use super::fallback_tag::{FallbackTag, Under};
use super::shared_tag::{Edited, Pace, SharedEdit, Unsettled};
use super::{BUNDLE_MEDIA_TYPE_PREFIX, CREATED_ANNOTATION, Discovered, PREDICATE_ANNOTATION};
use crate::chart::{Digest, INDEX};
use crate::error::{Error, Reason, Result};
use crate::registry::{
    Correction, Descriptor, EMPTY_CONFIG, Entry, Index, IndexFault, RawManifest, ReferrerManifest,
    Referrers, RepairedIndex, Repository,
};
use crate::verify::SIMPLE_SIGNING;

/// Manifests that are fetched side by side: the connections that a host gets.
const SIDE_BY_SIDE: usize = 8;
/// The annotation that tells what a bundle holds.
const CONTENT_ANNOTATION: &str = "dev.sigstore.bundle.content";
/// The annotations that others decide by.
const DECISIVE: [&str; 3] = [CONTENT_ANNOTATION, PREDICATE_ANNOTATION, CREATED_ANNOTATION];

/// How many manifests are looked at, how much of them, and how long.
#[derive(Clone, Copy, Debug)]
pub struct InspectionLimits {
    /// Manifests.
    pub manifests: usize,
    /// Bytes of manifests.
    pub bytes: u64,
    /// Time.
    pub time: Duration,
}

/// What the manifest behind an entry turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// It is there, and this is what it says of itself.
    There(Box<Stated>),
    /// It is listed, and not there.
    Gone,
    /// It could not be read: why.
    Unread(String),
    /// A limit came first.
    NotLookedAt,
}

/// What a manifest says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Its artifact type, else the type of its config.
    pub artifact_type: Option<String>,
    /// The kind of statement, by its annotation.
    pub predicate_type: Option<String>,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// The bundles among its layers.
    pub bundles: Vec<Digest>,
    /// Whether a layer of it is a signature as cosign made them before bundles.
    pub legacy: bool,
}

/// One of those that a place lists.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The artifact type that the listing claims.
    pub artifact_type: Option<String>,
    /// What is behind.
    pub behind: Behind,
}

/// What a place lists.
#[derive(Debug)]
pub struct Inspected {
    /// The referrers API or the fallback tag.
    pub through: Through,
    /// The API or the tag.
    pub object: String,
    /// What it answered.
    pub status: String,
    /// Whether it is a list at all, so that others go by it.
    pub lists: bool,
    /// What it lists, each digest once.
    pub listed: Vec<Listed>,
    /// What is wrong with the index, as far as it was looked at.
    pub faults: Vec<IndexFault>,
    /// Why the place stayed open.
    pub error: Option<Error>,
    corrections: BTreeMap<Digest, Correction>,
}

impl Inspected {
    fn nothing(through: Through, object: String, status: impl Into<String>) -> Self {
        Self {
            through,
            object,
            status: status.into(),
            lists: false,
            listed: Vec::new(),
            faults: Vec::new(),
            error: None,
            corrections: BTreeMap::new(),
        }
    }

    fn open(through: Through, object: String, error: Error) -> Self {
        let Discovered { object, status, error, .. } = Discovered::open(object, error);
        Self { error, ..Self::nothing(through, object, status) }
    }

    /// How many of those that are listed were not looked at, or could not be read.
    pub fn not_read(&self) -> usize {
        let not_read =
            |one: &&Listed| matches!(one.behind, Behind::NotLookedAt | Behind::Unread(_));
        self.listed.iter().filter(not_read).count()
    }

    /// What is listed under that digest.
    pub fn find(&self, digest: &str) -> Option<&Listed> {
        let digest = Digest::parse(digest).ok()?;
        self.listed.iter().find(|one| one.digest == digest)
    }

    /// Whether the place lists a manifest that says it attaches this bundle, and no other, to `subject`. Whether the
    /// bundle is there is another question.
    pub fn lists_bundle(&self, bundle: &Digest, subject: &Digest) -> bool {
        let attaches = |stated: &Stated| {
            stated.bundles == [*bundle] && stated.subject.as_ref() == Some(subject)
        };
        let there = |one: &Listed| matches!(&one.behind, Behind::There(stated) if attaches(stated));
        self.listed.iter().any(there)
    }
}

/// Looks at what the referrers API lists for `subject`.
pub async fn inspect_referrers(
    repository: &Repository,
    subject: &Digest,
    limits: InspectionLimits,
) -> Inspected {
    let object = "referrers API".to_owned();
    match repository.referrers(subject).await {
        Err(error) => Inspected::open(Through::Api, object, error),
        Ok(Referrers::Absent { why }) => Inspected::nothing(Through::Api, object, why),
        Ok(Referrers::Listed(entries)) => {
            let unreadable = entries.iter().filter(|entry| entry.is_err()).count();
            let (listed, _) = look(repository, subject, entries.iter().collect(), limits).await;
            let error = (unreadable > 0).then(|| unreadable_entries(unreadable));
            Inspected {
                status: counted(listed.len()),
                lists: true,
                listed,
                error,
                ..Inspected::nothing(Through::Api, object, "")
            }
        }
    }
}

/// Looks at the index under the fallback tag of `subject`, and finds what is wrong with it.
pub async fn inspect_fallback_tag(
    repository: &Repository,
    subject: &Digest,
    limits: InspectionLimits,
) -> Inspected {
    let through = Through::FallbackTag;
    let tag = FallbackTag::new(repository, *subject);
    let object = format!("tag {}", tag.name());
    let index = match tag.look().await {
        Err(error) => return Inspected::open(through, object, error),
        Ok(Under::Nothing) => return Inspected::nothing(through, object, "404"),
        Ok(Under::NoIndex) => return Inspected::nothing(through, object, "no index"),
        Ok(Under::Index(index)) => index,
    };
    let entries: Vec<_> = index.entries().iter().map(|entry| &entry.descriptor).collect();
    let unreadable = entries.iter().filter(|entry| entry.is_err()).count();
    let (listed, corrections) = look(repository, subject, entries, limits).await;
    let mut error = (unreadable > 0).then(|| unreadable_entries(unreadable));
    let faults = match index.repaired(&corrections) {
        Ok(repaired) => repaired.map(|repaired| repaired.faults).unwrap_or_default(),
        Err(too_large) => {
            error = Some(too_large);
            Vec::new()
        }
    };
    Inspected {
        status: counted(listed.len()),
        lists: true,
        listed,
        faults,
        error,
        corrections,
        ..Inspected::nothing(through, object, "")
    }
}

/// Mends what `inspected` has found in the index under the fallback tag of `subject`, and sees to it that this
/// holds. Entries that others add meanwhile stay, and so does whatever is not wrong.
///
/// # Errors
/// Undecided: the registry does not take it, others keep undoing it, or the tag is no index any more.
pub async fn repair_fallback_tag(
    repository: &Repository,
    subject: Digest,
    inspected: &Inspected,
) -> Result<()> {
    let edit = IndexRepair { subject, corrections: inspected.corrections.clone() };
    Unsettled::make(repository, edit, Pace::default()).await?.settle().await
}

/// What stands in the way of reading a list whole.
fn unreadable_entries(count: usize) -> Error {
    let cause = format!("{count} entries of the listing cannot be read");
    Error::undecided(Reason::Malformed, cause)
}

fn counted(count: usize) -> String {
    if count == 0 { "none".to_owned() } else { format!("{count} found") }
}

/// Fetches the manifests behind entries, those first that may be signatures.
async fn look(
    repository: &Repository,
    subject: &Digest,
    entries: Vec<&Entry>,
    limits: InspectionLimits,
) -> (Vec<Listed>, BTreeMap<Digest, Correction>) {
    let mut listed: Vec<Listed> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for entry in entries.into_iter().flatten() {
        if known.insert(entry.digest) {
            let artifact_type = entry.artifact_type.clone();
            listed.push(Listed {
                digest: entry.digest,
                artifact_type,
                behind: Behind::NotLookedAt,
            });
        }
    }
    listed.sort_by_key(|one| !may_sign(one.artifact_type.as_deref()));
    let deadline = Instant::now() + limits.time;
    let mut corrections = BTreeMap::new();
    let mut bytes = 0_u64;
    let wanted: Vec<_> = listed.iter().take(limits.manifests).map(|one| one.digest).collect();
    let mut fetched = stream::iter(wanted)
        .map(|digest| async move { repository.manifest(&digest.to_string()).await })
        .buffered(SIDE_BY_SIDE);
    for one in listed.iter_mut().take(limits.manifests) {
        if bytes >= limits.bytes {
            break;
        }
        let Ok(Some(found)) = tokio::time::timeout_at(deadline, fetched.next()).await else {
            break;
        };
        one.behind = match found {
            Ok(None) => Behind::Gone,
            Err(error) => Behind::Unread(error.to_string()),
            Ok(Some(raw)) => {
                bytes = bytes.saturating_add(raw.bytes.len() as u64);
                match ReferrerManifest::parse(&raw.bytes) {
                    // What is no manifest of this kind is somebody else's affair.
                    Err(_) => Behind::There(Box::default()),
                    Ok(manifest) => {
                        let stated = stated(&manifest);
                        if let Some(correction) = correction(&manifest, &stated, &raw, subject) {
                            corrections.insert(one.digest, correction);
                        }
                        Behind::There(Box::new(stated))
                    }
                }
            }
        };
    }
    drop(fetched);
    (listed, corrections)
}

/// Whether an entry of that type may be a signature: writers that know no better leave the type out, or take that
/// of the empty config.
fn may_sign(artifact_type: Option<&str>) -> bool {
    artifact_type.is_none_or(|kind| {
        kind.is_empty() || kind == EMPTY_CONFIG || kind.starts_with(BUNDLE_MEDIA_TYPE_PREFIX)
    })
}

fn stated(manifest: &ReferrerManifest) -> Stated {
    let config = manifest.config.as_ref().map(|config| config.media_type.clone());
    let holds_bundle = |layer: &&Descriptor| layer.media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX);
    Stated {
        artifact_type: manifest.artifact_type.clone().or(config),
        predicate_type: manifest.annotations.get(PREDICATE_ANNOTATION).cloned(),
        subject: manifest.subject.as_ref().map(|subject| subject.digest),
        bundles: manifest.layers.iter().filter(holds_bundle).map(|layer| layer.digest).collect(),
        legacy: manifest.layers.iter().any(|layer| layer.media_type == SIMPLE_SIGNING),
    }
}

/// What the entry of a signature has to say; nothing where the manifest is none, or refers to something else.
fn correction(
    manifest: &ReferrerManifest,
    stated: &Stated,
    raw: &RawManifest,
    subject: &Digest,
) -> Option<Correction> {
    let signs = stated.bundles.len() == 1 || stated.legacy;
    let refers = manifest.subject.as_ref().is_none_or(|named| named.digest == *subject);
    let decisive = DECISIVE.iter().filter_map(|name| {
        manifest.annotations.get(*name).map(|value| ((*name).to_owned(), value.clone()))
    });
    (signs && refers).then(|| Correction {
        media_type: manifest.media_type.clone().filter(|kind| !kind.is_empty()),
        artifact_type: manifest.artifact_type.clone().filter(|kind| !kind.is_empty()),
        size: raw.bytes.len() as u64,
        annotations: decisive.collect(),
    })
}

/// The index under a fallback tag without what is wrong with it.
#[derive(Debug)]
struct IndexRepair {
    subject: Digest,
    corrections: BTreeMap<Digest, Correction>,
}

impl SharedEdit for IndexRepair {
    type Read = Index;

    const STEPS: u32 = 0;

    fn tag(&self) -> String {
        format!("sha256-{}", self.subject.hex())
    }

    async fn read(&self, repository: &Repository) -> Result<(Option<Digest>, Index)> {
        FallbackTag::new(repository, self.subject).for_writing().await
    }

    fn holds(&self, read: &Index) -> bool {
        matches!(read.repaired(&self.corrections), Ok(None))
    }

    fn edited(&self, read: &Index) -> Result<Edited> {
        match read.repaired(&self.corrections)? {
            Some(RepairedIndex { bytes, .. }) => {
                Ok(Edited { media_type: INDEX, document: bytes, blob: None })
            }
            None => Err(Error::undecided(Reason::Malformed, "there is nothing to mend any more")),
        }
    }
}
