//! `doctor --repair`: the index under a fallback tag without what is wrong with it, and bundles that somebody has
//! kept back in their place. No entry is lost.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::doctor::{DoctorRun, Hanging};
use super::findings::Question;
use super::report::{Attached, Place};
use super::resolve::Resolved;
use super::trust::Trusted;
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};
use crate::files::off_thread;
use crate::registry::{BUNDLE_V03, IndexFault, Repository};
use crate::store::{
    BundleFile, Content, SignatureStore, Through, attach, prove_write_access, repair_fallback_tag,
    survey,
};
use crate::verify::{Bundle, COSIGN_SIGN_PREDICATE, Match};

/// Faults that are told one by one before they are mended.
const MAX_TOLD: usize = 20;

/// A bundle that somebody has kept: the file.
pub type Supplied = PathBuf;

/// What was mended.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mended {
    /// What was wrong with the indices, and is not any more.
    pub faults: Vec<IndexFault>,
    /// The bundles that were attached.
    pub attached: Vec<Attached>,
    /// The files whose bundles were there already.
    pub there: Vec<String>,
}

impl Mended {
    /// Whether anything was written.
    pub fn has_written(&self) -> bool {
        !self.faults.is_empty() || !self.attached.is_empty()
    }
}

/// A bundle that is one about the chart.
struct Kept {
    file: String,
    bytes: Vec<u8>,
    predicate_type: String,
}

impl DoctorRun {
    /// Mends what is wrong with the indices, and attaches what is supplied. All of that is verified first: of
    /// what is refused nothing is attached, and nothing is mended.
    ///
    /// # Errors
    /// Of the bundles that are supplied: usage, refused or undecided. Of writing: undecided.
    pub(super) async fn mend(
        &self,
        trusted: &Trusted,
        resolved: &Resolved,
        hanging: &[Hanging],
        supplied: &[Supplied],
    ) -> Result<Mended> {
        let mut kept = Vec::new();
        for path in supplied {
            let bundle = self.kept(trusted, resolved, path).await;
            kept.push(bundle.map_err(|error| error.on(path.display().to_string()))?);
        }
        let mut mended = Mended::default();
        let world = &self.verify.world;
        for at in hanging.iter().filter(|at| !at.fallback.faults.is_empty()) {
            let faults = &at.fallback.faults;
            for fault in faults.iter().take(MAX_TOLD) {
                world.say(format!("mending {}: {}", at.fallback.object, words(fault)));
            }
            if faults.len() > MAX_TOLD {
                world.say(format!("mending {} more", faults.len() - MAX_TOLD));
            }
            world.enter(format!("mending {}", at.fallback.object));
            repair_fallback_tag(&resolved.signatures, at.subject, &at.fallback).await?;
            mended.faults.extend(faults.iter().cloned());
        }
        for bundle in kept {
            if let Err(error) = self.put_back(resolved, hanging, &bundle, &mut mended).await {
                let error = error.on(bundle.file);
                return Err(match mended.has_written() {
                    true => error.note("what came before it was mended"),
                    false => error,
                });
            }
        }
        Ok(mended)
    }

    /// Reads and verifies a bundle that is to be attached.
    async fn kept(&self, trusted: &Trusted, resolved: &Resolved, path: &Path) -> Result<Kept> {
        let opened = path.to_owned();
        let store = off_thread(move || BundleFile::named(&opened)).await?;
        let discovered = store.discover().await;
        let Some(candidate) = discovered.candidates.first() else {
            return Err(Error::usage("cannot open bundle"));
        };
        let Content::Bundle(bytes) = store.fetch(candidate, &Cell::new(0)).await? else {
            return Err(Error::usage("not a bundle"));
        };
        let bundle = Bundle::parse(&bytes)?;
        check_version(&bytes)?;
        let predicate_type =
            bundle.statement().map_or(COSIGN_SIGN_PREDICATE, |said| said.predicate_type.as_str());
        let policy = &self.verify.policy;
        let question = Question::Reference { resolved, matching: Match::Manifest };
        let mut findings = self.verify.findings(trusted, policy, predicate_type);
        findings.examine(&store, Place::File, discovered, &question).await;
        findings.decide(&mut Vec::new(), &mut Vec::new(), "helm sigstore verify")?;
        Ok(Kept {
            file: path.display().to_string(),
            predicate_type: predicate_type.to_owned(),
            bytes,
        })
    }

    /// Attaches a bundle where it is not listed.
    async fn put_back(
        &self,
        resolved: &Resolved,
        hanging: &[Hanging],
        bundle: &Kept,
        mended: &mut Mended,
    ) -> Result<()> {
        let repository = &resolved.signatures;
        let digest = Digest::of(&bundle.bytes);
        let mut missing = Vec::new();
        let is_listed = |subject: &Digest| {
            let at = hanging.iter().find(|at| at.subject == *subject);
            at.is_some_and(|at| at.visible().lists_bundle(&digest, subject))
        };
        // A manifest outlives the blob that it names where a clean-up went wrong.
        let any = resolved.subjects().iter().any(|subject| is_listed(&subject.digest));
        let is_there = any && holds(repository, &digest, bundle.bytes.len()).await?;
        for subject in resolved.subjects() {
            if is_there && is_listed(&subject.digest) {
                continue;
            }
            let listing = survey(repository, &subject.digest).await?;
            missing.push((subject, listing));
        }
        if missing.is_empty() {
            mended.there.push(bundle.file.clone());
            return Ok(());
        }
        let world = &self.verify.world;
        world.say(format!("attaching {}", bundle.file));
        world.enter(format!("attaching {}", bundle.file));
        prove_write_access(repository).await?;
        let now = world.now();
        let mut attached =
            attach(repository, &missing, &bundle.bytes, &bundle.predicate_type, now).await?;
        for one in &attached {
            let place = match one.through {
                Through::Api => Place::Referrers,
                Through::FallbackTag => Place::FallbackTag,
                Through::CosignTag => Place::CosignTag,
            };
            mended.attached.push(Attached { place, digest: one.digest.to_string() });
        }
        let settled = attached.iter_mut().map(|one| one.settle());
        futures_util::future::join_all(settled).await.into_iter().collect()
    }
}

/// Whether the repository serves this blob. What it serves in its place is as good as nothing, and is stored anew.
async fn holds(repository: &Repository, digest: &Digest, bytes: usize) -> Result<bool> {
    match repository.blob(digest, bytes).await {
        Ok(found) => Ok(found.is_some()),
        Err(error) if matches!(error.reason, Reason::Malformed | Reason::LimitReached) => Ok(false),
        Err(error) => Err(error),
    }
}

/// One fault on one line.
pub fn words(fault: &IndexFault) -> String {
    let of = fault.digest.as_ref().map(|digest| format!(" of {digest}")).unwrap_or_default();
    let field = match &fault.annotation {
        Some(name) => format!("annotation {name}"),
        None => fault.field.to_owned(),
    };
    match (&fault.found, &fault.expected) {
        (_, None) => format!("{field} entry{of}"),
        (None, Some(expected)) => format!("{field}{of}: none -> {expected}"),
        (Some(found), Some(expected)) => format!("{field}{of}: {found} -> {expected}"),
    }
}

/// The manifest that holds it says which version it is, and is written for this one.
fn check_version(bytes: &[u8]) -> Result<()> {
    let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let found = document.get("mediaType").and_then(serde_json::Value::as_str).unwrap_or_default();
    if found == BUNDLE_V03 {
        return Ok(());
    }
    Err(Error::refused(Reason::UnsupportedFormat, "only bundles of version 0.3 are attached")
        .expected_found(BUNDLE_V03, crate::net::bounded_line(found, 100))
        .hint("cosign bundle upgrade"))
}
