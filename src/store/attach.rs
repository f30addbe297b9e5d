//! Attaching a bundle to a chart as a referrer: listed by the registry where it has the API, else by us in
//! the fallback tag.

use std::time::Duration;

use super::fallback_tag::FallbackTag;
use crate::chart::{ChartManifest, Digest, MANIFEST};
use crate::error::{Error, Reason, Result};
use crate::registry::{Descriptor, EMPTY_BLOB, Entry, Referrer, Referrers as Answer, Repository};
use crate::verify::COSIGN_SIGN_PREDICATE;

/// Bundles up to this size also stand in their manifest as `data` (OCI image specification,
/// descriptor), which saves every reader that knows the field a request.
const MAX_INLINED_BYTES: usize = 32 << 10;

/// When a registry is asked whether it lists what it took: at once, then twice more.
const READ_BACK_PAUSES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1000)];

/// Uploads the empty config that every signature manifest needs: a harmless write, which shows that we
/// may write before anything is made public.
///
/// # Errors
/// Undecided, when the registry does not take it.
pub async fn prove_write_access(repository: &Repository) -> Result<()> {
    repository.push_blob(EMPTY_BLOB.into()).await.map(drop)
}

/// How a bundle was attached.
#[derive(Debug, PartialEq, Eq)]
pub enum Through {
    /// The registry lists it by itself.
    Api,
    /// We listed it in the fallback tag.
    FallbackTag,
}

/// Attaches `bundle` to `subject` as a referrer, and reads back that it is listed. The empty config has
/// been pushed before ([`prove_write_access`]).
///
/// A failure leaves at most blobs and a manifest that nothing lists.
///
/// # Errors
/// Undecided, when the registry does not take a part of it, or does not list it afterwards.
pub async fn attach(
    repository: &Repository,
    subject: &ChartManifest,
    bundle: &[u8],
    created: jiff::Timestamp,
) -> Result<(Through, Digest)> {
    repository.push_blob(bundle.to_vec().into()).await?;
    let subject = Descriptor {
        digest: subject.digest,
        size: subject.size,
        ..Descriptor::of(&subject.media_type, &[])
    };
    let inline = bundle.len() <= MAX_INLINED_BYTES;
    let referrer = Referrer::new(&subject, bundle, COSIGN_SIGN_PREDICATE, created, inline);
    let digest = referrer.entry.digest;
    repository.push_manifest(&digest.to_string(), MANIFEST, referrer.bytes).await?;
    // `OCI-Subject` in the answer promises a listing, and some registries promise it falsely: the listing
    // itself decides.
    for pause in READ_BACK_PAUSES {
        tokio::time::sleep(pause).await;
        match repository.referrers(&subject.digest).await? {
            Answer::Absent { .. } => {
                FallbackTag::new(repository, subject.digest).add(&referrer.entry).await?;
                return Ok((Through::FallbackTag, digest));
            }
            Answer::Listed(entries) => {
                let ours = |entry: &Entry| {
                    entry.descriptor.as_ref().is_ok_and(|entry| entry.digest == digest)
                };
                if entries.iter().any(ours) {
                    return Ok((Through::Api, digest));
                }
            }
        }
    }
    Err(Error::undecided(
        Reason::Unreachable,
        "the registry took the signature and does not list it",
    )
    .note("sign again: what was left behind is not listed anywhere"))
}
