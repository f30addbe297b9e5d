//! Where signatures live. Every place finds candidates and fetches them; none of them judges.

mod attach;
mod attestation_tag;
mod cosign_tag;
mod detach;
mod detached;
mod fallback_tag;
mod file;
mod inspect;
mod legacy;
mod listing;
mod referrers;
mod shared_tag;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::verify::{LegacyAttestation, LegacySignature};

pub use attach::{
    Attached, Listing, Signature, Through, attach, attach_signature, prove_write_access,
    refer_signature, survey, survey_signatures,
};
pub use attestation_tag::AttestationTag;
pub use cosign_tag::CosignTag;
pub use detach::{Removed, check_unlisted, remove_entries, remove_layers};
pub use detached::DetachedSignature;
pub use fallback_tag::FallbackTag;
pub use file::{BundleFile, BundlePlace, bundle_path, sidecar, sidecars, write_bundle};
pub use inspect::{
    Behind, Inspected, InspectionLimits, Listed, Stated, inspect_fallback_tag, inspect_referrers,
    repair_fallback_tag,
};
pub use referrers::Referrers;

/// What the media types of all bundle versions begin with.
const BUNDLE_MEDIA_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
/// The annotation of a referrer that tells the kind of statement; a hint, never an authority.
const PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";
/// The annotation that tells when a manifest was made.
const CREATED_ANNOTATION: &str = "org.opencontainers.image.created";

/// Something that may be a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The digest of its manifest, or of the file.
    pub digest: Digest,
    /// The artifact type that the listing claims.
    pub artifact_type: Option<String>,
    /// The kind of statement that the listing claims.
    pub predicate_type: Option<String>,
    /// When it was made, as the listing claims.
    pub created: Option<String>,
}

impl Candidate {
    /// Whether nothing that the listing claims speaks against a bundle of this kind. Only an order of fetching
    /// follows from it: claims are unsigned, and old writers type their entries wrongly.
    pub fn looks_like(&self, predicate_type: &str) -> bool {
        let bundle = match self.artifact_type.as_deref() {
            Some(kind) => kind.starts_with(BUNDLE_MEDIA_TYPE_PREFIX),
            None => false,
        };
        match self.predicate_type.as_deref() {
            Some(kind) => kind == predicate_type,
            None => bundle,
        }
    }
}

/// What a candidate turned out to be.
#[derive(Clone, Debug)]
pub enum Content {
    /// A Sigstore bundle; its bytes, digest checked.
    Bundle(Vec<u8>),
    /// Legacy cosign signatures: one a layer, each as it could be read.
    Legacy(Vec<Result<LegacySignature>>),
    /// An image under a `.sig` tag that holds bundles too: each layer, as it could be read.
    Image(Vec<ImageLayer>),
    /// Legacy cosign attestations: one a layer, each as it could be read.
    Attestations(Vec<Result<LegacyAttestation>>),
    /// A signature over the file itself, in files of its own.
    Detached(LegacySignature),
    /// Something else: no bundle and no cosign signature among its layers.
    Other,
}

/// One of the layers of an image under a `.sig` tag.
#[derive(Clone, Debug)]
pub enum ImageLayer {
    /// A legacy signature, as cosign puts it there.
    Legacy(Result<LegacySignature>),
    /// A bundle, which nobody expects there.
    Bundle(Result<Vec<u8>>),
}

/// What a place answered.
#[derive(Debug)]
pub struct Discovered {
    /// The tag, file or API that was asked.
    pub object: String,
    /// What it said, for the report: an HTTP status, `found`, `not found`, or why it did not answer.
    pub status: String,
    /// The candidates, in the order of the listing.
    pub candidates: Vec<Candidate>,
    /// Why the place stayed open.
    pub error: Option<Error>,
}

impl Discovered {
    fn found(object: String, candidates: Vec<Candidate>) -> Self {
        let status = match candidates.len() {
            0 => "none".to_owned(),
            1 => "1 found".to_owned(),
            count => format!("{count} found"),
        };
        Self { object, status, candidates, error: None }
    }

    fn nothing(object: String, status: impl Into<String>) -> Self {
        Self { object, status: status.into(), candidates: Vec::new(), error: None }
    }

    fn open(object: String, error: Error) -> Self {
        let status = error
            .lines
            .iter()
            .find(|line| line.label == "cause")
            .map_or_else(|| error.what.clone(), |line| line.text.clone());
        Self { object, status, candidates: Vec::new(), error: Some(error) }
    }
}

/// A place where signatures live.
pub trait SignatureStore {
    /// Asks the place for candidates. A place that does not answer is no error here but an open place.
    fn discover(&self) -> impl Future<Output = Discovered>;

    /// Fetches one candidate, and adds to `read` the bytes that this took, used or not.
    ///
    /// # Errors
    /// Undecided, when it cannot be fetched or its digest differs; refused (`malformed`), when its
    /// manifest holds a bundle layer and is nevertheless no signature manifest.
    fn fetch(
        &self,
        candidate: &Candidate,
        read: &Cell<u64>,
    ) -> impl Future<Output = Result<Content>>;
}
