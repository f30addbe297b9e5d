//! What the places held, candidate by candidate (DESIGN decision 7).

mod scope;
mod unlogged;
mod verdict;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use self::scope::{Formats, Limits, Scope};
pub use self::unlogged::LogSearch;

use super::World;
use super::report::{
    Format, LogReport, LookedIn, Place, SignatureReport, SignerReport, Status, SubjectReport,
    TrustedAs,
};
use super::resolve::Resolved;
use crate::chart::ChartManifest;
use crate::error::{Class, Error, Reason, Result};
use crate::store::{Candidate, Content, Discovered, ImageLayer, SignatureStore};
use crate::verify::{
    Bundle, COSIGN_SIGN_PREDICATE, Judgement, LegacyAttestation, LegacySignature, Match,
    NamedVersion, Policy, Signer, SubjectKind, Target, Verified, Verifier,
};

/// Candidates that are fetched side by side: the connections that a host gets.
const SIDE_BY_SIDE: usize = 8;

/// What is asked of every candidate.
#[derive(Debug)]
pub(super) enum Question<'a> {
    File(crate::verify::Question<'a>),
    Reference { resolved: &'a Resolved, matching: Match },
}

/// A signature that counts.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) verified: Box<Verified>,
    /// The bundle; none where an older format was turned into one.
    pub(super) bundle: Option<Vec<u8>>,
}

/// The state of one object's verification.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    verifier: &'a Verifier,
    policy: &'a Policy,
    world: &'a World,
    scope: Scope,
    /// The kind of statement that counts.
    predicate_type: &'a str,
    /// Where the log entry of a signature in files of its own is looked for, if anywhere.
    log_search: Option<LogSearch>,
    deadline: Instant,
    looked_at: usize,
    /// What was read of candidates, shared with those that are being fetched.
    bytes: Rc<Cell<u64>>,
    config: OnceCell<NamedVersion>,
    looked_in: Vec<LookedIn>,
    signatures: Vec<SignatureReport>,
    accepted: Vec<Accepted>,
    /// Which of the accepted ones meet the policy together, once they do.
    met: Option<Vec<usize>>,
    refused: Vec<(Error, Option<Box<Signer>>)>,
    undecided: Vec<Error>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(
        verifier: &'a Verifier,
        policy: &'a Policy,
        world: &'a World,
        scope: Scope,
        predicate_type: &'a str,
    ) -> Self {
        Self {
            verifier,
            policy,
            world,
            scope,
            predicate_type,
            log_search: None,
            deadline: Instant::now() + scope.limits.time,
            looked_at: 0,
            bytes: Rc::default(),
            config: OnceCell::new(),
            looked_in: Vec::new(),
            signatures: Vec::new(),
            accepted: Vec::new(),
            met: None,
            refused: Vec::new(),
            undecided: Vec::new(),
        }
    }

    /// Has the log entry of a signature in files of its own looked for, where it needs one.
    pub(super) fn searching(mut self, log: LogSearch) -> Self {
        self.log_search = Some(log);
        self
    }

    /// Whether something else than a signature is looked for, which no legacy signature is, but a legacy
    /// attestation may be.
    pub(super) fn asks_for_others(&self) -> bool {
        self.predicate_type != COSIGN_SIGN_PREDICATE
    }

    /// Whether nothing more has to be asked: the signatures meet the policy, and nobody wants to see the others.
    pub(super) fn done(&self) -> bool {
        self.met.is_some() && !self.scope.all
    }

    /// How many places, candidates and limits stayed open.
    pub(super) fn open(&self) -> usize {
        self.undecided.len()
    }

    /// Looks at what one place answered, until the signatures meet the policy.
    pub(super) async fn examine(
        &mut self,
        store: &impl SignatureStore,
        place: Place,
        discovered: Discovered,
        question: &Question<'_>,
    ) {
        self.looked_in.push(LookedIn {
            place,
            object: discovered.object,
            status: discovered.status,
        });
        self.undecided.extend(discovered.error);
        let mut candidates = discovered.candidates;
        // Claims order the candidates and exclude none; among equals the newest comes first.
        candidates.sort_by(|a, b| b.created.cmp(&a.created));
        let (likely, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|one: &Candidate| one.looks_like(self.predicate_type));
        // The likeliest comes alone: mostly it is the one, and nothing else has to be fetched then.
        let (first, likely) = likely.split_at(likely.len().min(1));
        for batch in [first, likely, &others] {
            self.examine_batch(store, place, batch, question).await;
        }
    }

    async fn examine_batch(
        &mut self,
        store: &impl SignatureStore,
        place: Place,
        batch: &[Candidate],
        question: &Question<'_>,
    ) {
        if self.done() || batch.is_empty() {
            return;
        }
        let read = Rc::clone(&self.bytes);
        let mut fetched = stream::iter(batch)
            .map(|candidate| {
                let read = &read;
                async move { (candidate, store.fetch(candidate, read).await) }
            })
            .buffered(SIDE_BY_SIDE);
        let total = batch.len();
        let mut seen = 0;
        while !self.done() && seen < total {
            if let Some(error) = self.limit_reached() {
                self.undecided.push(error.note(not_looked_at(total - seen)));
                return;
            }
            let Ok(next) = tokio::time::timeout_at(self.deadline, fetched.next()).await else {
                continue;
            };
            let Some((candidate, content)) = next else { return };
            seen += 1;
            self.consider(place, candidate, content, question).await;
        }
    }

    fn limit_reached(&self) -> Option<Error> {
        let Limits { candidates, bytes, time } = self.scope.limits;
        let cause = if self.looked_at >= candidates {
            format!("{candidates} candidates were looked at (--max-candidates)")
        } else if self.bytes.get() >= bytes {
            format!("{} bytes of candidates were read (--max-candidate-bytes)", self.bytes.get())
        } else if Instant::now() >= self.deadline {
            format!("{} s were spent on candidates (--max-candidate-time)", time.as_secs_f32())
        } else {
            return None;
        };
        Some(Error::undecided(Reason::LimitReached, cause))
    }

    async fn consider(
        &mut self,
        place: Place,
        candidate: &Candidate,
        content: Result<Content>,
        question: &Question<'_>,
    ) {
        let mut report = SignatureReport {
            status: Status::Undecided,
            reason: None,
            message: None,
            format: None,
            place,
            digest: Some(candidate.digest.to_string()),
            predicate_type: None,
            subject: None,
            signer: None,
            log: None,
            timestamp: None,
            sct: None,
            trusted_root: None,
            trusted_as: None,
            valid_signer: None,
        };
        let report = match content {
            Ok(Content::Legacy(layers)) => {
                let layer = |pieces| Layer::legacy(pieces, LegacySignature::to_bundle);
                return self.consider_layers(&report, layers, layer, question).await;
            }
            Ok(Content::Attestations(layers)) => {
                let layer = |pieces| Layer::legacy(pieces, LegacyAttestation::to_bundle);
                return self.consider_layers(&report, layers, layer, question).await;
            }
            Ok(Content::Image(layers)) => {
                let layer = |layer| match layer {
                    ImageLayer::Legacy(pieces) => Layer::legacy(pieces, LegacySignature::to_bundle),
                    ImageLayer::Bundle(bytes) => Layer::bundle(bytes),
                };
                return self.consider_layers(&report, layers, layer, question).await;
            }
            Ok(Content::Detached(pieces)) => {
                report.format = Some(Format::Legacy);
                self.weigh_detached(report, pieces, question).await
            }
            Ok(Content::Bundle(bytes)) => {
                report.format = Some(Format::Bundle);
                let bundle = Bundle::parse(&bytes);
                self.weigh(report, bundle, Some(bytes), question).await
            }
            Ok(Content::Other) => {
                report.status = Status::Other;
                report.predicate_type.clone_from(&candidate.predicate_type);
                report
            }
            Err(error) => self.fail(report, error),
        };
        self.looked_at += 1;
        self.signatures.push(report);
    }

    /// Looks at what one manifest holds a layer each of, each a candidate of its own.
    async fn consider_layers<T>(
        &mut self,
        blank: &SignatureReport,
        layers: Vec<T>,
        read: impl Fn(T) -> Layer,
        question: &Question<'_>,
    ) {
        let total = layers.len();
        for (seen, layer) in layers.into_iter().enumerate() {
            if self.done() {
                return;
            }
            if seen > 0
                && let Some(error) = self.limit_reached()
            {
                self.undecided.push(error.note(not_looked_at(total - seen)));
                return;
            }
            let Layer { format, content } = read(layer);
            let blank = SignatureReport { format: Some(format), ..blank.clone() };
            let report = match content {
                Ok((bundle, bytes)) => self.weigh(blank, bundle, bytes, question).await,
                Err(error) => self.fail(blank, error),
            };
            self.looked_at += 1;
            self.signatures.push(report);
        }
    }

    /// What could not be had is open, and what cannot be read is refused.
    fn fail(&mut self, report: SignatureReport, error: Error) -> SignatureReport {
        match error.class {
            Class::Refused => self.refuse(report, error, None),
            _ => self.leave_open(report, error),
        }
    }

    /// Judges one signature. `bytes` are those of the bundle, where it was one from the start.
    async fn weigh(
        &mut self,
        mut report: SignatureReport,
        bundle: Result<Bundle>,
        bytes: Option<Vec<u8>>,
        question: &Question<'_>,
    ) -> SignatureReport {
        let counts = match report.format {
            Some(Format::Legacy) => self.scope.accept.legacy,
            _ => self.scope.accept.bundle,
        };
        if !counts {
            report.status = Status::Other;
            report.reason = Some(Reason::UnsupportedFormat.as_str());
            report.message = Some("signatures of this format were not asked for (--accept)".into());
            return report;
        }
        let bundle = match bundle {
            Ok(bundle) => bundle,
            Err(error) => return self.refuse(report, error, None),
        };
        // A legacy signature has no statement of its own.
        if bundle.message().is_none() {
            report.predicate_type = bundle.statement().map(|s| s.predicate_type.clone());
        }
        match self.judge(&bundle, question).await {
            Ok(Judgement::Accepted(verified)) => {
                fill(&mut report, &verified, question);
                if self.predicate_type != COSIGN_SIGN_PREDICATE {
                    report.format = Some(Format::Attestation);
                }
                let identity = verified.identities().first();
                let identity = identity.and_then(|at| self.policy.identities().get(*at));
                report.trusted_as = identity.map(TrustedAs::from);
                self.accepted.push(Accepted { verified, bundle: bytes });
                // With --all the first that met the policy stay those that did.
                self.met = self.met.take().or_else(|| self.meeting());
                report
            }
            Ok(Judgement::Other { .. }) => {
                report.status = Status::Other;
                report.format = Some(Format::Attestation);
                report.reason = Some(Reason::WrongPredicate.as_str());
                report
            }
            Ok(Judgement::Refused { error, signer }) => self.refuse(report, error, signer),
            Ok(Judgement::Unlogged { error, .. }) => self.refuse(report, error, None),
            // The config blob that the signed manifest names is there, and is that of no chart.
            Err(error) if error.class == Class::Refused => self.refuse(report, error, None),
            Ok(Judgement::Undecided { error, .. }) | Err(error) => self.leave_open(report, error),
        }
    }

    /// Which accepted signatures meet the policy together. Those that do not agree on the chart's name and
    /// version are not counted together: which of them would be believed?
    fn meeting(&self) -> Option<Vec<usize>> {
        let last = self.accepted.last()?.verified.named();
        let places: Vec<usize> = (0..self.accepted.len())
            .filter(|at| self.accepted.get(*at).is_some_and(|one| one.verified.named() == last))
            .collect();
        let signatures: Vec<_> = places
            .iter()
            .filter_map(|at| self.accepted.get(*at))
            .map(|one| (one.verified.signer(), one.verified.identities()))
            .collect();
        let met = self.policy.met(&signatures)?;
        Some(met.into_iter().filter_map(|at| places.get(at).copied()).collect())
    }

    /// Judges a bundle; where only our clock stands against it, waits for the clock once a run.
    async fn judge(&mut self, bundle: &Bundle, question: &Question<'_>) -> Result<Judgement> {
        let judgement = self.judge_now(bundle, question).await?;
        let Judgement::Undecided { ahead_seconds, .. } = judgement else { return Ok(judgement) };
        let pause = Duration::from_secs(ahead_seconds.unsigned_abs());
        if !self.world.may_wait(pause) {
            return Ok(judgement);
        }
        self.world.enter(format!("waiting {ahead_seconds} s for our clock"));
        tokio::time::sleep(pause).await;
        // The wait is against --timeout, not against the time for candidates.
        self.deadline += pause;
        self.judge_now(bundle, question).await
    }

    async fn judge_now(&self, bundle: &Bundle, question: &Question<'_>) -> Result<Judgement> {
        let now = self.world.now();
        let (resolved, matching) = match question {
            Question::File(question) => {
                let question = crate::verify::Question {
                    predicate_type: self.predicate_type,
                    ..question.clone()
                };
                return Ok(self.verifier.verify(bundle, &question, self.policy, now));
            }
            Question::Reference { resolved, matching } => (resolved, *matching),
        };
        // With the layer alone neither annotations nor config are signed.
        let needs_config = matching == Match::Manifest
            && Verifier::needs_config(bundle, &resolved.manifest, self.predicate_type);
        let config = if needs_config {
            Some(self.config.get_or_try_init(|| resolved.config()).await?)
        } else {
            None
        };
        let target = Target::Reference { manifest: &resolved.manifest, matching, config };
        let question = crate::verify::Question {
            target,
            name: Some(&resolved.name),
            version: resolved.version.clone(),
            predicate_type: self.predicate_type,
        };
        Ok(self.verifier.verify(bundle, &question, self.policy, now))
    }

    fn refuse(
        &mut self,
        mut report: SignatureReport,
        error: Error,
        signer: Option<Box<Signer>>,
    ) -> SignatureReport {
        report.status = Status::Refused;
        report.reason = Some(error.reason.as_str());
        report.message = Some(error.to_string());
        report.signer = signer.as_deref().map(SignerReport::from);
        report.valid_signer = signer.as_deref().cloned();
        self.refused.push((error, signer));
        report
    }

    fn leave_open(&mut self, mut report: SignatureReport, error: Error) -> SignatureReport {
        report.status = Status::Undecided;
        report.reason = Some(error.reason.as_str());
        report.message = Some(error.to_string());
        self.undecided.push(error);
        report
    }
}

/// One of several candidates in one manifest: the bundle that it is or was turned into, and its bytes where it was
/// one from the start; or why it could not be had.
struct Layer {
    format: Format,
    content: Result<(Result<Bundle>, Option<Vec<u8>>)>,
}

impl Layer {
    fn legacy<T>(pieces: Result<T>, bundle: impl Fn(&T) -> Result<Bundle>) -> Self {
        let content = pieces.map(|pieces| (bundle(&pieces), None));
        Self { format: Format::Legacy, content }
    }

    fn bundle(bytes: Result<Vec<u8>>) -> Self {
        let content = bytes.map(|bytes| (Bundle::parse(&bytes), Some(bytes)));
        Self { format: Format::Bundle, content }
    }
}

fn not_looked_at(left: usize) -> String {
    let words = if left == 1 { "candidate was" } else { "candidates were" };
    format!("{left} {words} not looked at")
}

fn fill(report: &mut SignatureReport, verified: &Verified, question: &Question<'_>) {
    report.status = Status::Accepted;
    report.signer = Some(verified.signer().into());
    report.valid_signer = Some(verified.signer().clone());
    report.log = verified.log().map(LogReport::from);
    report.timestamp = verified.timestamp();
    report.sct = verified.sct();
    report.trusted_root = verified.root().cloned();
    let kind = verified.kind();
    let digest = match question {
        Question::File(question) => match &question.target {
            Target::File { digest, .. } => Some(*digest),
            Target::Reference { manifest, .. } => Some(manifest.digest),
        },
        Question::Reference { resolved, matching: Match::Manifest } => match &resolved.manifest {
            ChartManifest { index: Some(index), .. } if kind == Some(SubjectKind::Index) => {
                Some(index.digest)
            }
            manifest => Some(manifest.digest),
        },
        Question::Reference { resolved, matching: Match::ChartLayer } => {
            Some(resolved.manifest.chart.digest)
        }
    };
    report.subject = kind
        .zip(digest)
        .map(|(kind, digest)| SubjectReport { kind: kind.as_str(), digest: digest.to_string() });
}
