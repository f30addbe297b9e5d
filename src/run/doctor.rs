//! `doctor`: what is known of the signatures of a chart, as far as others decide by it; and what is wrong with
//! their listing.

use serde::Serialize;

use super::World;
use super::findings::{Limits, Question};
use super::repair::{Mended, Supplied};
use super::report::{Format, LookedIn, Outcome, Place, SignatureReport, Status, TrustReport};
use super::resolve::{Places, Resolved, resolve};
use super::verify::{VerifyRun, describe};
use crate::chart::{ChartReference, Digest};
use crate::consumer::{Form, Log, SignatureFacts, Spot, is_bundle};
use crate::error::{Class, Error, Reason, Result};
use crate::registry::{Access, IndexFault};
use crate::store::{
    Behind, CosignTag, Inspected, InspectionLimits, Listed, SignatureStore, Stated, Through,
    inspect_fallback_tag, inspect_referrers,
};
use crate::verify::{COSIGN_SIGN_PREDICATE, Claim, Match};

/// A run of `doctor`.
#[derive(Debug)]
pub struct DoctorRun {
    /// How signatures are verified: every one, and by whose policy.
    pub verify: VerifyRun,
    /// Checks that the user switched off.
    pub weakened: Vec<String>,
    /// What is mended first; nothing is written without it.
    pub repair: Option<Vec<Supplied>>,
}

/// What was found about one chart.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// The reference as the user typed it.
    pub input: String,
    /// The reference that was resolved, with its tag.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The digest that it was resolved to.
    pub manifest_digest: String,
    /// `HOST/PATH@DIGEST` of what the reference names.
    pub image: String,
    /// The repository of the signatures, where it is not the chart's own.
    pub signature_repository: Option<String>,
    /// Why no signature counts, where none does: a word from the closed list of reports.
    pub reason: Option<&'static str>,
    /// The same on one line.
    pub message: Option<String>,
    /// Whether something stayed open, so that asking again may say more.
    pub open: bool,
    /// What the cryptography relied on.
    pub trust: Option<TrustReport>,
    /// Checks that the user switched off.
    pub weakened: Vec<String>,
    /// Every candidate that was looked at.
    pub signatures: Vec<SignatureReport>,
    /// Where signatures were looked for, and what each place answered.
    pub looked_in: Vec<LookedIn>,
    /// What lists them.
    pub listings: Vec<ListingReport>,
    /// What was mended, where that was asked for.
    pub mended: Option<Mended>,
    /// The facts that others decide by.
    #[serde(skip)]
    pub known: Known,
    /// Why no signature counts.
    #[serde(skip)]
    pub error: Option<Error>,
}

/// What others decide by.
#[derive(Debug, Default)]
pub struct Known {
    /// The valid signatures.
    pub signatures: Vec<SignatureFacts>,
    /// What refers to what the reference names.
    pub listed: usize,
    /// Bundles among them that can be read.
    pub bundles: usize,
    /// Bundles among them that say something else.
    pub attestations: usize,
    /// Those that are no valid signature of anybody and no attestation, be it that they cannot be read.
    pub unsound: usize,
    /// What is listed with the type of a bundle, and is none that can be read, or gone.
    pub broken: usize,
    /// Signatures under the `.sig` tag, be they valid or not.
    pub tagged: usize,
    /// Whether the index under a fallback tag has faults.
    pub faults: bool,
}

/// A place that lists what refers to the chart.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListingReport {
    /// `referrers` or `fallback-tag`.
    pub place: Place,
    /// The API or the tag.
    pub object: String,
    /// The digest that things are attached to there.
    pub subject: String,
    /// What it answered.
    pub status: String,
    /// Whether it has said what it holds.
    pub answered: bool,
    /// How many different manifests it lists.
    pub entries: usize,
    /// How many of them were not looked at, or could not be read.
    pub not_read: usize,
    /// How many of them hold a bundle; no tag keeps these from a clean-up of what is untagged.
    pub bundles: usize,
    /// Those that are listed, and not there any more.
    pub gone: Vec<String>,
    /// What is wrong with the index, and what `--repair` writes in its place.
    pub faults: Vec<IndexFault>,
}

/// What hangs at one manifest.
pub(super) struct Hanging {
    pub(super) subject: Digest,
    pub(super) api: Inspected,
    pub(super) fallback: Inspected,
    /// The digest of the image under the `.sig` tag.
    image: Option<String>,
    open: bool,
}

impl Hanging {
    /// The list that others go by.
    pub(super) fn visible(&self) -> &Inspected {
        if self.api.lists { &self.api } else { &self.fallback }
    }

    fn lists(&self) -> [&Inspected; 2] {
        [&self.api, &self.fallback]
    }

    fn is_open(&self) -> bool {
        self.open || self.lists().iter().any(|one| one.error.is_some() || one.not_read() > 0)
    }

    /// Whether that is known to be gone.
    fn is_gone(&self, digest: &str) -> bool {
        let found = self.lists().into_iter().filter_map(|one| one.find(digest));
        found.into_iter().any(|one| one.behind == Behind::Gone)
    }
}

impl DoctorRun {
    fn world(&self) -> &World {
        &self.verify.world
    }

    /// Finds out what others decide by, and mends first what it is asked to mend.
    ///
    /// # Errors
    /// Of resolving and of trust; of mending. That no signature counts is no error but a diagnosis.
    pub async fn diagnose(
        &self,
        reference: &ChartReference,
        version: Option<&str>,
    ) -> Result<Diagnosis> {
        let mut outcome = self.verify.unfinished(&reference.typed, &self.weakened);
        let access = if self.repair.is_some() { Access::PullPush } else { Access::Pull };
        let signatures = self.verify.signature_repository.as_ref();
        let places = Places { registry: &self.verify.registry, access, signatures };
        let resolving = resolve(self.world(), places, reference, version, None);
        let (trusted, resolved) = self
            .verify
            .trust
            .beside(self.world(), resolving)
            .await
            .map_err(|error| error.on(reference.typed.clone()))?;
        outcome.trust = Some(trusted.report.clone());
        describe(&resolved, &mut outcome);
        let mut hanging = self.look(&resolved).await;
        let mended = match &self.repair {
            None => None,
            Some(supplied) => {
                let mended = self.mend(&trusted, &resolved, &hanging, supplied).await;
                let mended = mended.map_err(|error| {
                    error.on(reference.typed.clone()).at_digest(resolved.manifest.digest)
                })?;
                if mended.has_written() {
                    hanging = self.look(&resolved).await;
                }
                Some(mended)
            }
        };
        let question = Question::Reference { resolved: &resolved, matching: Match::Manifest };
        let policy = &self.verify.policy;
        let mut findings = self.verify.findings(&trusted, policy, COSIGN_SIGN_PREDICATE);
        self.verify.ask_registry(&resolved, None, &question, &mut findings).await;
        let open = findings.open();
        let decided = self.verify.conclude(findings, &mut outcome, &resolved.pinned());
        Ok(diagnosis(&resolved, outcome, &hanging, mended, open, decided.err()))
    }

    /// What hangs at the chart, and at the index that it is in.
    async fn look(&self, resolved: &Resolved) -> Vec<Hanging> {
        self.world().enter("looking at what lists the signatures");
        let Limits { candidates, bytes, time } = self.verify.scope.limits;
        let limits = InspectionLimits { manifests: candidates, bytes, time };
        let repository = &resolved.signatures;
        let mut hanging = Vec::new();
        for subject in resolved.subjects() {
            let tag = CosignTag::new(repository, &subject.digest);
            let (api, fallback, tagged) = futures_util::future::join3(
                inspect_referrers(repository, &subject.digest, limits),
                inspect_fallback_tag(repository, &subject.digest, limits),
                tag.discover(),
            )
            .await;
            hanging.push(Hanging {
                subject: subject.digest,
                api,
                fallback,
                image: tagged.candidates.first().map(|one| one.digest.to_string()),
                open: tagged.error.is_some(),
            });
        }
        hanging
    }
}

fn diagnosis(
    resolved: &Resolved,
    outcome: Outcome,
    hanging: &[Hanging],
    mended: Option<Mended>,
    open: usize,
    error: Option<Error>,
) -> Diagnosis {
    // What is gone stays gone: asking again does not bring it back.
    let gone = outcome.signatures.iter().filter(|one| {
        let digest = one.digest.as_deref().unwrap_or_default();
        one.status == Status::Undecided && hanging.iter().any(|at| at.is_gone(digest))
    });
    let open = open > gone.count() || hanging.iter().any(Hanging::is_open);
    let named = resolved.subjects().first().map_or(resolved.manifest.digest, |one| one.digest);
    Diagnosis {
        input: outcome.input,
        reference: resolved.words(),
        manifest_digest: resolved.manifest.digest.to_string(),
        image: format!("{}@{named}", resolved.repository.name()),
        signature_repository: outcome.signature_repository,
        reason: error.as_ref().map(|error| error.reason.as_str()),
        message: error.as_ref().map(ToString::to_string),
        open,
        trust: outcome.trust,
        weakened: outcome.weakened,
        known: known(&outcome.signatures, hanging),
        signatures: outcome.signatures,
        looked_in: outcome.looked_in,
        listings: hanging
            .iter()
            .flat_map(|at| at.lists().map(|list| listing(&at.subject, list)))
            .collect(),
        mended,
        error,
    }
}

impl Diagnosis {
    /// The class that the exit code is of, before anybody else is asked for an opinion: a failure where something
    /// stayed open or no signature counts.
    pub fn class(&self) -> Option<Class> {
        match &self.error {
            _ if self.open => Some(Class::Undecided),
            Some(error) if error.class == Class::Undecided => Some(Class::Unsigned),
            Some(error) => Some(error.class),
            None => None,
        }
    }
}

fn listing(subject: &Digest, list: &Inspected) -> ListingReport {
    let gone = list.listed.iter().filter(|one| one.behind == Behind::Gone);
    ListingReport {
        place: match list.through {
            Through::Api => Place::Referrers,
            Through::FallbackTag => Place::FallbackTag,
            Through::CosignTag => Place::CosignTag,
        },
        object: list.object.clone(),
        subject: subject.to_string(),
        status: list.status.clone(),
        answered: list.error.is_none(),
        entries: list.listed.len(),
        not_read: list.not_read(),
        bundles: list.listed.iter().filter(|one| holds_bundle(&one.behind)).count(),
        gone: gone.map(|one| one.digest.to_string()).collect(),
        faults: list.faults.clone(),
    }
}

fn holds_bundle(behind: &Behind) -> bool {
    matches!(behind, Behind::There(stated) if !stated.bundles.is_empty())
}

fn known(signatures: &[SignatureReport], hanging: &[Hanging]) -> Known {
    let mut known: Vec<(String, SignatureFacts)> = Vec::new();
    for one in signatures.iter().filter(|one| one.status == Status::Accepted) {
        let Some(digest) = one.digest.clone() else { continue };
        let facts = facts(one, &digest, hanging);
        // Both places may list it; the better one decides. A tag holds several under one digest.
        let before =
            known.iter_mut().find(|(other, there)| *other == digest && there.form != Form::Tag);
        match before {
            Some((_, there)) if there.spot != Spot::Found => *there = facts,
            Some(_) => {}
            None => known.push((digest, facts)),
        }
    }
    let Some(at) = hanging.first() else { return Known::default() };
    let visible = at.visible();
    let bundles: Vec<_> = visible.listed.iter().filter(|one| holds_bundle(&one.behind)).collect();
    // Somebody else's valid signature is sound too.
    let is_unsound =
        |one: &SignatureReport| one.status == Status::Refused && one.valid_signer.is_none();
    let is_malformed = |one: &SignatureReport| one.reason == Some(Reason::Malformed.as_str());
    let among = |digest: &Digest, is: &dyn Fn(&SignatureReport) -> bool| {
        let digest = digest.to_string();
        signatures.iter().any(|one| one.digest.as_deref() == Some(&*digest) && is(one))
    };
    let count = |is: &dyn Fn(&SignatureReport) -> bool| {
        bundles.iter().filter(|one| among(&one.digest, is)).count()
    };
    let is_broken = |one: &&Listed| {
        let breaks = match &one.behind {
            Behind::There(stated) => stated.bundles.is_empty() || among(&one.digest, &is_malformed),
            Behind::Gone => true,
            Behind::Unread(_) | Behind::NotLookedAt => false,
        };
        breaks && is_bundle(one.artifact_type.as_deref())
    };
    let is_tagged = |one: &&SignatureReport| {
        one.place == Place::CosignTag && (one.digest.is_none() || one.digest == at.image)
    };
    Known {
        signatures: known.into_iter().map(|(_, facts)| facts).collect(),
        listed: visible.listed.len(),
        bundles: bundles.len() - count(&is_malformed),
        attestations: count(&|one| one.status == Status::Other),
        unsound: count(&is_unsound),
        broken: visible.listed.iter().filter(is_broken).count(),
        tagged: signatures.iter().filter(is_tagged).count(),
        faults: hanging.iter().any(|at| !at.fallback.faults.is_empty()),
    }
}

/// What others see of a valid signature.
fn facts(one: &SignatureReport, digest: &str, hanging: &[Hanging]) -> SignatureFacts {
    let form = match (one.place, one.format) {
        (Place::CosignTag, Some(Format::Legacy)) => Form::Tag,
        (_, Some(Format::Legacy)) => Form::Referrer,
        _ => Form::Bundle,
    };
    let place_of = |at: &Hanging| match one.place {
        Place::CosignTag => at.image.as_deref() == Some(digest),
        Place::FallbackTag => at.fallback.find(digest).is_some(),
        _ => at.api.find(digest).is_some(),
    };
    let at = hanging.iter().position(place_of);
    let found = at.and_then(|at| hanging.get(at));
    let list = found.map(|at| match one.place {
        Place::FallbackTag => &at.fallback,
        _ => &at.api,
    });
    let overlooked =
        one.place == Place::FallbackTag && found.is_some_and(|hanging| hanging.api.lists);
    let listed = list.and_then(|list| list.find(digest));
    let stated = match listed.map(|listed| &listed.behind) {
        Some(Behind::There(stated)) => (**stated).clone(),
        _ => Stated::default(),
    };
    let signer = one.signer.as_ref();
    let claims = one.valid_signer.as_ref().map(|signer| &signer.claims);
    let claim = |claim| claims.and_then(|claims| claims.value(claim)).map(str::to_owned);
    SignatureFacts {
        form,
        spot: match at {
            _ if overlooked => Spot::Overlooked,
            _ if one.place == Place::CosignTag && form != Form::Tag => Spot::Misplaced,
            Some(0) | None => Spot::Found,
            Some(_) => Spot::Inside,
        },
        listed_type: listed.and_then(|listed| listed.artifact_type.clone()),
        stated_type: stated.artifact_type,
        predicate_annotation: stated.predicate_type,
        identity: signer
            .and_then(|signer| Some((signer.identity.clone()?, signer.issuer.clone()?))),
        source: claim(Claim::SourceRepository),
        workflow_repository: claim(Claim::WorkflowRepository),
        log: match &one.log {
            None => Log::None,
            Some(log) if log.time.is_some() => Log::Promise,
            Some(_) => Log::Proof,
        },
        sct: one.sct,
    }
}
