//! `detach`: takes what is attached to a chart off again. All of it is found, and everything that speaks against it
//! looked for, before anything is removed; what was removed is known at every moment.

mod needed;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;

use super::resolve::{Places, Resolved, resolve};
use super::tree::{Attachment, COSIGN_TAG, FALLBACK_TAG, REFERRERS, Tree, TreePlace, TreeRun};
use super::world::World;
use crate::chart::{ChartReference, Digest};
use crate::error::{Error, Reason, Result};
use crate::registry::{Access, Descriptor, ReferrerManifest, Repository};
use crate::store::{Removed, check_unlisted, remove_entries, remove_layers};
use needed::{deletions, may_go, tag_targets};

/// A run of `detach`.
pub struct DetachRun {
    /// What is attached, and where.
    pub tree: TreeRun,
}

/// What is to be taken off one chart, and how far that is.
#[derive(Debug)]
pub struct Detachment {
    /// The reference that was resolved, with its tag.
    pub reference: String,
    /// The digest that it was resolved to.
    pub manifest_digest: String,
    /// The reference by that digest.
    pub pinned: String,
    /// The repository of the signatures, where it is not the chart's own.
    pub signature_repository: Option<String>,
    /// All of it, at every place that holds it.
    pub targets: Vec<Target>,
    repository: Repository,
    /// The manifests that are deleted where that can be done.
    manifests: BTreeMap<Digest, Deletion>,
}

/// Something that is to be taken off, at one place.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The digest that the user named it by.
    pub named: String,
    /// `referrers`, `fallback-tag` or `cosign-tag`.
    pub place: &'static str,
    /// The API, or the tag.
    pub object: String,
    /// What it is attached to.
    pub subject: String,
    /// What it is, as far as it says.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// How far it is.
    pub state: Cell<State>,
    /// What became of its manifest, where that is another matter.
    pub note: RefCell<Option<String>>,
    #[serde(skip)]
    subject_digest: Digest,
    #[serde(skip)]
    manifest: Option<Digest>,
}

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing was done about it.
    Attached,
    /// It was taken out; whether it stays away has not been seen.
    Unsettled,
    /// It is gone.
    Removed,
}

/// Whether a manifest has to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deletion {
    /// The registry lists it for as long as it is there.
    Must,
    /// Nothing lists it any more.
    May,
    /// It is not, and why.
    Never(String),
}

impl Detachment {
    /// Whether all of it is gone.
    pub fn is_done(&self) -> bool {
        self.targets.iter().all(|target| target.state.get() == State::Removed)
    }

    /// What is left of what the user named, each once.
    pub fn left(&self) -> Vec<&str> {
        let mut left: Vec<&str> = Vec::new();
        for target in self.targets.iter().filter(|one| one.state.get() != State::Removed) {
            if !left.contains(&target.named.as_str()) {
                left.push(&target.named);
            }
        }
        left
    }

    /// Takes it off: out of the fallback index and cosign's images first, so that nothing lists a manifest that is
    /// gone, then the manifests.
    ///
    /// # Errors
    /// Undecided, when the registry does not let us, or others keep putting it back. Refused (`wrong-chart`), when
    /// something else has come to need a manifest since it was found. The targets tell what is done.
    pub async fn remove(&self, world: &World) -> Result<()> {
        world.enter("taking it out of the lists");
        let mut failure = None;
        let mut taken = Vec::new();
        for (removal, targets) in self.removals() {
            match removal.make(&self.repository).await {
                Ok(removed) => {
                    targets.iter().for_each(|target| target.state.set(State::Unsettled));
                    taken.push((removed, targets));
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        world.enter("looking whether it stays away");
        let settled = taken.into_iter().map(|(removed, targets)| async move {
            let settled = removed.settle().await;
            if settled.is_ok() {
                targets.iter().for_each(|target| target.state.set(State::Removed));
            }
            settled
        });
        for settled in join_all(settled).await {
            failure = failure.or(settled.err());
        }
        if let Some(error) = failure {
            return Err(error);
        }
        self.delete(world).await?;
        if self.is_done() {
            return Ok(());
        }
        Err(Error::undecided(Reason::UnsupportedFormat, "nothing could be done about some of it"))
    }

    /// What is to be taken out of each list.
    fn removals(&self) -> Vec<(Removal, Vec<&Target>)> {
        let mut removals: Vec<(Removal, Vec<&Target>)> = Vec::new();
        for target in &self.targets {
            let removal = match target.place {
                FALLBACK_TAG => Removal::Entries {
                    subject: target.subject_digest,
                    digests: target.manifest.into_iter().collect(),
                },
                COSIGN_TAG if !target.layers().is_empty() => Removal::Layers {
                    tag: target.object.trim_start_matches("tag ").to_owned(),
                    layers: target.layers().to_vec(),
                },
                _ => continue,
            };
            match removals.iter_mut().find(|(known, _)| known.is_of(&removal)) {
                Some((known, targets)) => {
                    known.join(removal);
                    targets.push(target);
                }
                None => removals.push((removal, vec![target])),
            }
        }
        removals
    }

    async fn delete(&self, world: &World) -> Result<()> {
        let stay = |deletion: &Deletion| matches!(deletion, Deletion::Never(_));
        // A person may have thought about it for an hour since the tags were looked at.
        let tagged = if self.manifests.values().all(stay) {
            Ok(BTreeMap::new())
        } else {
            world.enter("looking once more whether anything else needs it");
            tag_targets(&self.repository).await
        };
        world.enter("deleting what nothing lists any more");
        let repository = self.repository.clone().for_delete();
        for (digest, deletion) in &self.manifests {
            let targets: Vec<&Target> =
                self.targets.iter().filter(|target| target.manifest == Some(*digest)).collect();
            let by_registry = targets.iter().find(|target| target.place == REFERRERS);
            let still_may = async || match by_registry.or(targets.first()) {
                Some(target) => may_go(&self.repository, &tagged, digest, target).await,
                None => Ok(()),
            };
            let stays = |why: &str| {
                let note = format!("its manifest {digest} stays, and nothing lists it: {why}");
                targets.iter().for_each(|target| *target.note.borrow_mut() = Some(note.clone()));
            };
            match deletion {
                Deletion::Never(why) => stays(why),
                Deletion::May => {
                    let deleted = match still_may().await {
                        Ok(()) => repository.delete_manifest(digest).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = deleted {
                        stays(&error.to_string());
                    }
                }
                Deletion::Must => {
                    still_may().await?;
                    repository.delete_manifest(digest).await?;
                    for target in targets.iter().filter(|target| target.place == REFERRERS) {
                        target.state.set(State::Unsettled);
                        check_unlisted(&self.repository, &target.subject_digest, digest).await?;
                        target.state.set(State::Removed);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is to be taken out of one list.
#[derive(Debug)]
enum Removal {
    Entries { subject: Digest, digests: Vec<Digest> },
    Layers { tag: String, layers: Vec<Descriptor> },
}

impl Removal {
    /// Whether it is about the same list.
    fn is_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Entries { subject: one, .. }, Self::Entries { subject: other, .. }) => {
                one == other
            }
            (Self::Layers { tag: one, .. }, Self::Layers { tag: other, .. }) => one == other,
            _ => false,
        }
    }

    fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::Entries { digests, .. }, Self::Entries { digests: more, .. }) => {
                digests.extend(more);
            }
            (Self::Layers { layers, .. }, Self::Layers { layers: more, .. }) => {
                layers.extend(more);
            }
            _ => {}
        }
    }

    async fn make(self, repository: &Repository) -> Result<Removed> {
        match self {
            Self::Entries { subject, digests } => {
                remove_entries(repository, subject, digests).await
            }
            Self::Layers { tag, layers } => remove_layers(repository, tag, layers).await,
        }
    }
}

impl DetachRun {
    /// Finds everything that `digests` name among what is attached to the chart behind `reference`, and that nothing
    /// speaks against its removal. Nothing is changed.
    ///
    /// # Errors
    /// Of resolving. Undecided: a place has not answered, or one of cosign's tags leads to what no layer can be taken
    /// out of (`unsupported-format`). Usage: a digest that names nothing that is attached, or
    /// several things. Refused (`wrong-chart`): what is somebody else's too.
    pub async fn find(
        &self,
        reference: &ChartReference,
        version: Option<&str>,
        digests: &[Digest],
    ) -> Result<Detachment> {
        self.find_all(reference, version, digests)
            .await
            .map_err(|error| error.on(reference.typed.clone()))
    }

    async fn find_all(
        &self,
        reference: &ChartReference,
        version: Option<&str>,
        digests: &[Digest],
    ) -> Result<Detachment> {
        let TreeRun { world, registry, signature_repository, .. } = &self.tree;
        let signatures = signature_repository.as_ref();
        let places = Places { registry, access: Access::PullPush, signatures };
        let resolved = resolve(world, places, reference, version, None).await?;
        let tree = self.tree.of(&resolved).await;
        for place in &tree.places {
            if let Some(error) = stays_open(place) {
                return Err(error.clone().note(format!("asking {}", place.object)));
            }
            if let Some(error) = &place.error {
                world.warn(format!("{} was not read in full: {error}", place.object));
            }
        }
        let mut targets: Vec<Target> = Vec::new();
        for digest in digests {
            let found = named(&tree, digest)?;
            if found.is_empty() {
                return Err(not_attached(&resolved, &tree, digest).await);
            }
            for target in found {
                if !targets.iter().any(|known| known.is_of(&target)) {
                    targets.push(target);
                }
            }
        }
        world.enter("looking whether anything else needs it");
        let manifests = deletions(&resolved.signatures, &targets).await?;
        let Tree { reference, manifest_digest, pinned, signature_repository, .. } = tree;
        let repository = resolved.signatures;
        Ok(Detachment {
            reference,
            manifest_digest,
            pinned,
            signature_repository,
            targets,
            repository,
            manifests,
        })
    }
}

/// Why a place has to be asked again before anything is removed. An API that does not let us ask lists what we list
/// ourselves, as for `sign`; what is listed beside an entry that cannot be read is listed all the same.
fn stays_open(place: &TreePlace) -> Option<&Error> {
    let error = place.error.as_ref()?;
    let shut = place.place == REFERRERS && error.reason == Reason::Unauthorized;
    (!shut && place.attached.is_empty()).then_some(error)
}

impl Target {
    fn new(named: &Digest, place: &TreePlace, attachment: &Attachment) -> Result<Self> {
        let manifest = match &attachment.held {
            Some(held) => Some(held.manifest),
            None => Some(Digest::parse(&attachment.digest)?),
        };
        Ok(Self {
            named: named.to_string(),
            place: place.place,
            object: place.object.clone(),
            subject: place.subject.clone(),
            attachment: attachment.clone(),
            state: Cell::new(State::Attached),
            note: RefCell::default(),
            subject_digest: Digest::parse(&place.subject)?,
            manifest: manifest.filter(|_| place.place != COSIGN_TAG),
        })
    }

    /// The layers that it consists of, where a tag leads to an image that layers can be taken out of.
    fn layers(&self) -> &[Descriptor] {
        self.attachment.held.as_ref().map_or(&[], |held| &held.layers)
    }

    /// Whether it is the same thing at the same place.
    fn is_of(&self, other: &Self) -> bool {
        let of = |target: &Self| {
            let Target { place, object, subject, attachment, .. } = target;
            (
                *place,
                object.clone(),
                subject.clone(),
                attachment.digest.clone(),
                attachment.entry.clone(),
            )
        };
        of(self) == of(other)
    }
}

/// What `digest` names among what is attached.
fn named(tree: &Tree, digest: &Digest) -> Result<Vec<Target>> {
    let text = digest.to_string();
    let mut targets = Vec::new();
    let mut entries: BTreeMap<&str, &Attachment> = BTreeMap::new();
    for place in &tree.places {
        for one in &place.attached {
            let whole = one.held.as_ref().is_some_and(|held| held.manifest == *digest);
            let itself = one.digest == text;
            if !(whole || itself || one.entry.as_ref() == Some(&text)) {
                continue;
            }
            let target = Target::new(digest, place, one)?;
            if place.place == COSIGN_TAG && target.layers().is_empty() {
                return Err(no_image(&target));
            }
            let shares = one.held.as_ref().filter(|held| held.count > 1);
            match (shares, place.place, whole) {
                // An image that several may have signed is not taken off as a whole.
                (Some(held), COSIGN_TAG, true) => {
                    return Err(Error::usage("the digest names several things")
                        .line("digest", &text)
                        .cause(format!(
                            "{} holds {} of them; name each by its own digest",
                            place.object, held.count
                        )));
                }
                // And of one manifest that a registry lists no part can be taken off.
                (Some(held), REFERRERS | FALLBACK_TAG, false) => {
                    return Err(Error::usage("the digest names a part of something")
                        .line("digest", &text)
                        .cause(format!(
                            "{} holds {} signatures, which can be taken off together only",
                            held.manifest, held.count
                        ))
                        .hint(format!("--digest {}", held.manifest)));
                }
                _ => {}
            }
            if let (Some(entry), true, false) = (&one.entry, itself, whole) {
                entries.insert(entry, one);
            }
            targets.push(target);
        }
    }
    if entries.len() > 1 {
        let mut error = Error::usage("the digest names several things").line("digest", &text).cause(
            "they are over the same content; name one of them by the digest of its entry instead",
        );
        for (entry, one) in entries {
            let signer =
                one.claimed_signer.as_ref().and_then(|claimed| claimed.identity.as_deref());
            error = error.line("entry", format!("{entry}  {}", signer.unwrap_or("no certificate")));
        }
        return Err(error);
    }
    Ok(targets)
}

/// What is under one of cosign's tags, and is no image that a layer could be taken out of: it is not ours to change.
fn no_image(target: &Target) -> Error {
    let cause = format!("{} holds something that is no image of layers", target.object);
    let error = Error::undecided(Reason::UnsupportedFormat, cause).line("digest", &target.named);
    match &target.attachment.message {
        Some(message) => error.note(message),
        None => error,
    }
}

/// Why `digest` is not among what is attached.
async fn not_attached(resolved: &Resolved, tree: &Tree, digest: &Digest) -> Error {
    let usage = || {
        Error::usage("no such attachment")
            .line("digest", digest.to_string())
            .hint(format!("helm sigstore tree {}", tree.pinned))
    };
    let manifest = &resolved.manifest;
    let own = [manifest.digest, manifest.chart.digest];
    let own = own.iter().chain(manifest.index.iter().map(|index| &index.digest));
    if own.chain(manifest.prov.iter().map(|prov| &prov.digest)).any(|own| own == digest) {
        return usage().cause("it is of the chart itself");
    }
    if !tree.is_complete() {
        let cause = format!("{digest} was not found, and not everything could be read");
        return Error::undecided(Reason::Unreachable, cause);
    }
    match resolved.signatures.manifest(&digest.to_string()).await {
        Ok(None) => usage(),
        Ok(Some(found)) => {
            let other = ReferrerManifest::parse(&found.bytes).ok().and_then(|read| read.subject);
            let error = Error::refused(Reason::WrongChart, "not attached to this chart")
                .line("digest", digest.to_string());
            match other {
                Some(subject) => error.cause(format!("it is attached to {}", subject.digest)),
                None => error.cause("it is attached to nothing that says so"),
            }
        }
        Err(error) => error,
    }
}
