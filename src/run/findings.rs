//! What the places held, candidate by candidate, and the verdict over it (DESIGN decision 7).

mod unlogged;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use self::unlogged::LogSearch;

use super::World;
use super::report::{
    Format, LogReport, LookedIn, Place, SignatureReport, SignerReport, Status, SubjectReport,
    TrustedAs,
};
use super::resolve::Resolved;
use crate::chart::{ChartManifest, shell_word};
use crate::error::{Class, Error, Reason, Result};
use crate::store::{Candidate, Content, Discovered, ImageLayer, SignatureStore};
use crate::verify::{
    Bundle, COSIGN_SIGN_PREDICATE, Judgement, LegacyAttestation, LegacySignature, Match,
    NamedVersion, Policy, Signer, SubjectKind, Target, Verified, Verifier, trusting,
};

/// Candidates that are fetched side by side: the connections that a host gets.
const SIDE_BY_SIDE: usize = 8;
/// Signers that are named in one message.
const MAX_NAMED: usize = 5;

/// How much is looked at before a verdict stays open (DESIGN decision 7).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Candidates.
    pub candidates: usize,
    /// Bytes of candidates.
    pub bytes: u64,
    /// Time spent on candidates.
    pub time: Duration,
}

impl Default for Limits {
    /// Those of DESIGN decision 7.
    fn default() -> Self {
        Self { candidates: 1000, bytes: 16 << 20, time: Duration::from_secs(30) }
    }
}

/// Which formats of signatures count (`--accept`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Sigstore bundles.
    pub bundle: bool,
    /// cosign's older signatures.
    pub legacy: bool,
}

impl Formats {
    /// Every format that is known.
    pub const ALL: Self = Self { bundle: true, legacy: true };
}

/// What a run looks at, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// How much.
    pub limits: Limits,
    /// Which formats count.
    pub accept: Formats,
    /// Whether every signature is judged, also once enough of them were accepted (`--all`).
    pub all: bool,
}

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

    /// The verdict: the signatures that meet the policy, at least one. `again` is the command that finds these signatures once more, ready to be pasted.
    ///
    /// # Errors
    /// Undecided, refused, unsigned, or (no identity given) usage, in this precedence; but a valid
    /// signature without a policy is a usage error first.
    pub(super) fn decide(
        self,
        looked_in: &mut Vec<LookedIn>,
        signatures: &mut Vec<SignatureReport>,
        again: &str,
    ) -> Result<Vec<Accepted>> {
        let places: Vec<_> = self
            .looked_in
            .iter()
            .map(|place| {
                let object = match place.place {
                    Place::Referrers => "referrers API",
                    _ => place.object.as_str(),
                };
                format!("{object} ({})", place.status)
            })
            .collect();
        *looked_in = self.looked_in;
        *signatures = self.signatures;
        if let Some(met) = self.met {
            let accepted = self.accepted.into_iter().enumerate();
            return Ok(accepted.filter(|(at, _)| met.contains(at)).map(|(_, one)| one).collect());
        }
        let valid: Vec<&Signer> =
            self.refused.iter().filter_map(|(_, signer)| signer.as_deref()).collect();
        if matches!(self.policy, Policy::Unstated)
            && let Some(first) = valid.first()
        {
            return Err(no_identity(&valid, first, again));
        }
        let open = self.undecided.len();
        if let Some(error) = self.undecided.into_iter().next() {
            return Err(match open {
                1 => error,
                more => {
                    error.note(format!("and {} more places or candidates stayed open", more - 1))
                }
            });
        }
        if !self.accepted.is_empty() {
            return Err(too_few(self.policy, &self.accepted, &self.refused));
        }
        let count = valid.len();
        let others = valid.iter().skip(1).take(MAX_NAMED - 1).map(|signer| signer.words());
        let others: Vec<_> = others.collect();
        let candidates = self.refused.len();
        // The first of equals, as the lines for the other signers leave out the first.
        let best = self
            .refused
            .into_iter()
            .rev()
            .max_by_key(|(error, signer)| usefulness(error, signer.is_some()));
        if let Some((mut error, _)) = best {
            if error.reason == Reason::WrongSigner {
                if let Some(line) = error.lines.iter_mut().find(|line| line.label == "found") {
                    let plural = if count == 1 { "signature" } else { "signatures" };
                    line.text.push_str(&format!("   ({count} valid {plural})"));
                }
                for other in others {
                    error = error.line("found", other);
                }
            } else if candidates > 1 {
                error = error.note(format!("{candidates} candidates were refused"));
            }
            return Err(error);
        }
        Err(Error::new(Class::Unsigned, Reason::Unsigned, "unsigned")
            .line("looked in", places.join(", ")))
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

/// Which refusal helps most: somebody wrong signed for sure, the right chart is another one, and so on down to
/// what cannot even be read.
fn usefulness(error: &Error, valid: bool) -> u8 {
    match error.reason {
        Reason::WrongSigner if valid => 7,
        Reason::Denied | Reason::WrongTime => 6,
        Reason::WrongVersion | Reason::WrongChart => 5,
        Reason::BadSignature => 4,
        Reason::NotCovered | Reason::WrongSigner => 3,
        Reason::UntrustedInstance => 2,
        _ => 1,
    }
}

/// Some of the signers that are needed have signed, and too few of them.
fn too_few(
    policy: &Policy,
    accepted: &[Accepted],
    refused: &[(Error, Option<Box<Signer>>)],
) -> Error {
    let mut people: Vec<&Signer> = Vec::new();
    for signer in accepted.iter().map(|one| one.verified.signer()) {
        if !people.iter().any(|other| other.is_same_person(signer)) {
            people.push(signer);
        }
    }
    let mut error = Error::refused(Reason::TooFewSignatures, "too few signatures")
        .line("expected", format!("{} different trusted signers", policy.min_signatures()));
    for signer in people.iter().take(MAX_NAMED) {
        error = error.line("found", signer.words());
    }
    if people.len() > MAX_NAMED {
        error = error.note(format!("and {} more", people.len() - MAX_NAMED));
    }
    let signed = |at: &usize| accepted.iter().any(|one| one.verified.identities().contains(at));
    let members = policy.members().into_iter().enumerate();
    for (_, missing) in members.filter(|(at, _)| !signed(at)).take(MAX_NAMED) {
        error = error.line("missing", missing);
    }
    match refused.len() {
        0 => error,
        1 => error.note("1 candidate was refused"),
        more => error.note(format!("{more} candidates were refused")),
    }
}

fn no_identity(valid: &[&Signer], first: &Signer, again: &str) -> Error {
    let mut error = Error::new(Class::Usage, Reason::NoIdentity, "no identity to trust was given");
    for signer in valid.iter().take(MAX_NAMED) {
        error = error.line("valid signature by", signer.words());
    }
    if valid.len() > MAX_NAMED {
        error = error.note(format!("and by {} more", valid.len() - MAX_NAMED));
    }
    if first.key_id.is_some() {
        return error.hint(format!("{again} --key cosign.pub"));
    }
    let flags = trusting(first).into_iter();
    let flags = flags.map(|(flag, value)| format!(" --{flag} {}", shell_word(&value)));
    error.hint(format!("{again}{}", flags.collect::<String>()))
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
