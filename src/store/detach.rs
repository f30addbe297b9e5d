//! Taking what is attached to a manifest out of the lists that clients keep: entries of the index under the fallback
//! tag, layers of the image under one of cosign's tags. Everything else in them stays byte for byte, and what others
//! write meanwhile stays too.
//!
//! What becomes empty stays as an empty document: to delete it could take away what somebody adds at that moment.

use std::time::Duration;

use super::cosign_tag::image_under;
use super::fallback_tag::FallbackTag;
use super::shared_tag::{Edited, Pace, SharedEdit, Unsettled};
use crate::chart::{Digest, INDEX, MANIFEST};
use crate::error::{Error, Reason, Result};
use crate::registry::{Descriptor, Entry, Index, Referrers as Answer, Repository, SignatureImage};

/// When a registry is asked whether it still lists what it deleted: at once, then twice more.
const LOOK_PAUSES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1000)];

/// Something that was taken out of a list, and that a writer with an old copy may put back.
#[derive(Debug)]
pub struct Removed(Waiting);

#[derive(Debug)]
enum Waiting {
    Index(Unsettled<EntriesGone>),
    Image(Unsettled<LayersGone>),
}

impl Removed {
    /// Makes sure that it stays away. This takes a second or more, nearly all of it waiting: several are better
    /// waited for together.
    ///
    /// # Errors
    /// Undecided, when other writers keep putting it back, or the registry fails.
    pub async fn settle(self) -> Result<()> {
        match self.0 {
            Waiting::Index(entries) => entries.settle().await,
            Waiting::Image(layers) => layers.settle().await,
        }
    }
}

/// Takes the entries of these manifests out of the index under the fallback tag of `subject`. What is answered is
/// still to be settled.
///
/// # Errors
/// Undecided, when the registry does not take the index, or the tag holds something else.
pub async fn remove_entries(
    repository: &Repository,
    subject: Digest,
    digests: Vec<Digest>,
) -> Result<Removed> {
    let edit = EntriesGone { subject, digests };
    let unsettled = Unsettled::make(repository, edit, Pace::default()).await?;
    Ok(Removed(Waiting::Index(unsettled)))
}

/// Takes these very layers, annotations included, out of the image under `tag`. What is answered is still to be
/// settled.
///
/// # Errors
/// Undecided, when the registry does not take the image, or the tag holds something else.
pub async fn remove_layers(
    repository: &Repository,
    tag: String,
    layers: Vec<Descriptor>,
) -> Result<Removed> {
    let edit = LayersGone { tag, layers };
    let unsettled = Unsettled::make(repository, edit, Pace::default()).await?;
    Ok(Removed(Waiting::Image(unsettled)))
}

/// Makes sure that the registry no longer lists a manifest that was deleted among what refers to `subject`.
///
/// # Errors
/// Undecided, when it still does, or cannot be asked.
pub async fn check_unlisted(
    repository: &Repository,
    subject: &Digest,
    digest: &Digest,
) -> Result<()> {
    for pause in LOOK_PAUSES {
        tokio::time::sleep(pause).await;
        let Answer::Listed(entries) = repository.referrers(subject).await? else { return Ok(()) };
        let ours = |entry: &Entry| entry.as_ref().is_ok_and(|entry| entry.digest == *digest);
        if !entries.iter().any(ours) {
            return Ok(());
        }
    }
    Err(Error::undecided(
        Reason::Unreachable,
        format!("the registry took the deletion of {digest} and still lists it"),
    ))
}

/// That an index lists none of these manifests.
#[derive(Debug)]
pub(super) struct EntriesGone {
    /// What they refer to.
    pub(super) subject: Digest,
    /// The manifests.
    pub(super) digests: Vec<Digest>,
}

impl SharedEdit for EntriesGone {
    type Read = Index;

    const STEPS: u32 = 0;

    fn tag(&self) -> String {
        format!("sha256-{}", self.subject.hex())
    }

    async fn read(&self, repository: &Repository) -> Result<(Option<Digest>, Index)> {
        FallbackTag::new(repository, self.subject).for_writing().await
    }

    fn holds(&self, read: &Index) -> bool {
        !self.digests.iter().any(|digest| read.contains(digest))
    }

    fn edited(&self, read: &Index) -> Result<Edited> {
        Ok(Edited { media_type: INDEX, document: read.without(&self.digests), blob: None })
    }
}

/// That an image holds none of these layers.
#[derive(Debug)]
pub(super) struct LayersGone {
    /// The tag.
    pub(super) tag: String,
    /// The layers.
    pub(super) layers: Vec<Descriptor>,
}

impl SharedEdit for LayersGone {
    type Read = Option<SignatureImage>;

    // A config is stored before a write, in two requests where the registry wants it so.
    const STEPS: u32 = 2;

    fn tag(&self) -> String {
        self.tag.clone()
    }

    async fn read(&self, repository: &Repository) -> Result<(Option<Digest>, Self::Read)> {
        let found = image_under(repository, &self.tag).await?;
        Ok(found.map_or((None, None), |(digest, image)| (Some(digest), Some(image))))
    }

    fn holds(&self, read: &Self::Read) -> bool {
        read.as_ref().is_none_or(|image| !self.layers.iter().any(|layer| image.contains(layer)))
    }

    fn edited(&self, read: &Self::Read) -> Result<Edited> {
        let empty = SignatureImage::default();
        let parts = read.as_ref().unwrap_or(&empty).without(&self.layers);
        Ok(Edited { media_type: MANIFEST, document: parts.manifest, blob: Some(parts.config) })
    }
}
