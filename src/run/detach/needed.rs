//! Whether anything else needs a manifest that is to be deleted.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Deletion, Target};
use crate::chart::{CONFIG as HELM_CONFIG, Digest};
use crate::error::{Error, Reason, Result};
use crate::registry::{Referrers as Answer, Repository, SignatureImage};
use crate::run::tree::{COSIGN_TAGS, REFERRERS};
use crate::store::{FallbackTag, SignatureStore};

/// Tags that are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// The manifests of what is to be taken off, and whether each may be deleted.
pub(super) async fn deletions(
    repository: &Repository,
    targets: &[Target],
) -> Result<BTreeMap<Digest, Deletion>> {
    let mut listed: BTreeMap<Digest, (&Target, bool)> = BTreeMap::new();
    for target in targets {
        let Some(manifest) = target.manifest else { continue };
        let must = target.place == REFERRERS;
        let (known, by_registry) = listed.entry(manifest).or_insert((target, must));
        if must {
            (*known, *by_registry) = (target, true);
        }
    }
    if listed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let tagged = tag_targets(repository).await;
    let mut deletions = BTreeMap::new();
    for (manifest, (target, must)) in listed {
        // What an index names and is not there need not be deleted.
        if !must && target.attachment.held.is_none() && target.attachment.kind == "unknown" {
            continue;
        }
        let deletion = match (may_go(repository, &tagged, &manifest, target).await, must) {
            (Ok(()), true) => Deletion::Must,
            (Ok(()), false) => Deletion::May,
            (Err(error), true) => return Err(error),
            (Err(error), false) => Deletion::Never(error.to_string()),
        };
        deletions.insert(manifest, deletion);
    }
    Ok(deletions)
}

/// What every tag of the repository leads to.
pub(super) async fn tag_targets(repository: &Repository) -> Result<BTreeMap<Digest, String>> {
    let tags = repository.tags().await?.unwrap_or_default();
    let targets = stream::iter(tags).map(|tag| async move {
        let target = repository.tag_target(&tag).await?;
        Ok::<_, Error>(target.map(|target| (target, tag)))
    });
    let targets: Vec<_> = targets.buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
    Ok(targets.into_iter().flatten().collect())
}

/// Whether a manifest can be deleted without taking anything else away, as far as one can see.
///
/// # Errors
/// Refused (`wrong-chart`): it cannot. Undecided: what could not be looked at.
pub(super) async fn may_go(
    repository: &Repository,
    tagged: &Result<BTreeMap<Digest, String>>,
    manifest: &Digest,
    target: &Target,
) -> Result<()> {
    let no = |why: String| {
        Error::refused(Reason::WrongChart, "something else needs it")
            .line("digest", manifest.to_string())
            .cause(why)
    };
    let Some(held) = &target.attachment.held else {
        let why = target.attachment.message.as_deref().unwrap_or("it is no manifest of one thing");
        return Err(Error::undecided(Reason::UnsupportedFormat, format!("{manifest}: {why}")));
    };
    match held.subject {
        Some(subject) if subject == target.subject_digest => {}
        Some(subject) => return Err(no(format!("it says that it is attached to {subject}"))),
        None => return Err(no("it does not say what it is attached to".to_owned())),
    }
    if target.attachment.artifact_type.as_deref() == Some(HELM_CONFIG) {
        return Err(no("it is a chart itself".to_owned()));
    }
    if let Some(tag) = tagged.as_ref().map_err(Clone::clone)?.get(manifest) {
        return Err(no(format!("tag {tag} leads to it")));
    }
    let attached = match repository.referrers(manifest).await {
        Ok(Answer::Listed(entries)) => entries.len(),
        Ok(Answer::Absent { .. }) => 0,
        Err(error) if error.reason == Reason::Unauthorized => 0,
        Err(error) => return Err(error),
    };
    if attached > 0 {
        return Err(no(format!(
            "{attached} of what is in the registry are attached to it in turn"
        )));
    }
    let fallback = FallbackTag::new(repository, *manifest).discover().await;
    if let Some(error) = fallback.error {
        return Err(error);
    }
    if !fallback.candidates.is_empty() {
        return Err(no(format!("{} lists what is attached to it in turn", fallback.object)));
    }
    for ending in COSIGN_TAGS {
        let tag = format!("sha256-{}.{ending}", manifest.hex());
        let found = repository.manifest(&tag).await?.filter(|found| found.digest != *manifest);
        let empty = |bytes: &[u8]| matches!(SignatureImage::parse(bytes), Ok(Some(image)) if image.layers().len() == 0);
        if found.is_some_and(|found| !empty(&found.bytes)) {
            return Err(no(format!("tag {tag} holds what is attached to it in turn")));
        }
    }
    Ok(())
}
