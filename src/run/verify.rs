//! Verifying: resolve, discover, judge each candidate, decide.

mod file;
mod notes;
mod prov;

use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::try_join;

use super::World;
use super::findings::{Accepted, Findings, Formats, Limits, LogSearch, Question, Scope};
use super::provenance::ProvCheck;
use super::rekor::RekorAccess;
use super::report::{Outcome, Place, PolicyReport, Status, Verdict};
use super::resolve::{ChartName, Places, Resolved, resolve};
use super::rules::{Judges, PolicySource};
use super::trust::{Trust, Trusted};
use notes::note;
use prov::{asks_for_provenance, with_provenance};

pub(super) use notes::describe;

use crate::chart::{Argument, ChartReference, Digest, RepositoryPrefix, shell_word};
use crate::error::{Class, Error, Reason, Result};
use crate::files::reading;
use crate::registry::{Access, Registry, Repository};
use crate::store::{
    AttestationTag, BundleFile, CosignTag, Discovered, FallbackTag, Referrers, SignatureStore,
    bundle_path, write_bundle,
};
use crate::verify::{COSIGN_SIGN_PREDICATE, Match, Policy};

/// Where the signatures of one object are.
#[derive(Clone, Debug)]
pub enum VerifySource {
    /// In the registry for a reference, beside the file for a file.
    Beside,
    /// In this file.
    Bundle(PathBuf),
    /// For a file: a signature over it in files of its own.
    Detached {
        /// The signature.
        signature: PathBuf,
        /// The certificate; none for a key.
        certificate: Option<PathBuf>,
        /// A timestamp.
        timestamp: Option<PathBuf>,
        /// Where its log entry is looked for.
        log: LogSearch,
    },
    /// For a file: with the chart of its name and version in this repository.
    Repository(RepositoryPrefix),
}

/// One object to verify.
#[derive(Clone, Debug)]
pub struct VerifyObject {
    /// What the user named.
    pub argument: Argument,
    /// `--version`.
    pub version: Option<String>,
    /// `--chart`.
    pub chart: Option<ChartName>,
    /// `--as`: the chart in a registry that a file is taken for.
    pub taken_as: Option<ChartReference>,
    /// Where its signatures are.
    pub source: VerifySource,
    /// Where the accepted bundle is written: a file or a directory.
    pub bundle_out: Option<PathBuf>,
    /// Checks that the user switched off.
    pub weakened: Vec<String>,
}

/// A run of `verify`.
#[derive(Debug)]
pub struct VerifyRun {
    /// Clock, progress, warnings.
    pub world: World,
    /// The registries; opens no socket until one is asked.
    pub registry: Registry,
    /// Where the signatures of charts are, if not beside them.
    pub signature_repository: Option<RepositoryPrefix>,
    /// The verifier with its trusted root.
    pub trust: Trust,
    /// Who is trusted, where no policy file decides it.
    pub policy: Policy,
    /// The policy file.
    pub policy_file: PolicySource,
    /// What has to be signed.
    pub matching: Match,
    /// How Helm's provenance file is looked at.
    pub prov: ProvCheck,
    /// Where the provenance has to be logged too (`--rekor-helm`).
    pub rekor_helm: Option<RekorAccess>,
    /// What is looked at, and until when.
    pub scope: Scope,
    /// The kind of statement that counts (`--predicate-type`).
    pub predicate_type: String,
    /// Kinds of statements that have to be there too (`--require-predicate`).
    pub required: Vec<String>,
    /// Flags that a command in a hint repeats, with their values.
    pub repeated_flags: Vec<(String, Option<String>)>,
}

impl VerifyObject {
    /// An object whose signatures are where they are kept by default.
    pub fn new(argument: Argument, version: Option<String>) -> Self {
        Self {
            argument,
            version,
            chart: None,
            taken_as: None,
            source: VerifySource::Beside,
            bundle_out: None,
            weakened: Vec::new(),
        }
    }
}

impl VerifyRun {
    /// A run that asks for a signature on the whole chart and looks at whatever is attached to it; what else is
    /// asked of a chart, the caller adds.
    pub fn new(world: World, registry: Registry, trust: Trust, policy: Policy) -> Self {
        Self {
            world,
            registry,
            signature_repository: None,
            trust,
            policy,
            policy_file: PolicySource::Flags,
            matching: Match::Manifest,
            prov: ProvCheck::ignored(),
            rekor_helm: None,
            scope: Scope { limits: Limits::default(), accept: Formats::ALL, all: false },
            predicate_type: COSIGN_SIGN_PREDICATE.to_owned(),
            required: Vec::new(),
            repeated_flags: Vec::new(),
        }
    }

    /// Verifies one object. Every failure is an outcome.
    pub async fn verify(&self, object: &VerifyObject) -> Outcome {
        let mut outcome = self.unfinished(object.argument.typed(), &object.weakened);
        // Of their own on the heap: else every object takes the memory of the larger, several times over.
        let verified = match &object.argument {
            Argument::Reference(reference) => {
                Box::pin(self.reference(object, reference, &mut outcome)).await
            }
            Argument::File(path) => {
                Box::pin(self.file(object, Path::new(path), &mut outcome)).await
            }
        };
        match verified {
            Ok(()) => {
                outcome.verdict = Verdict::Verified;
                outcome
            }
            Err(error) => {
                let rule = outcome.policy.as_ref().and_then(|policy| {
                    Some(format!("{} of {}", policy.rule.as_ref()?, policy.file.as_ref()?))
                });
                let refused = error.class == Class::Refused;
                let error = match rule.filter(|_| refused) {
                    Some(rule) => error.line("rule", rule),
                    None => error,
                };
                outcome.failed(error)
            }
        }
    }

    /// An outcome that knows nothing of the object yet, only what the run relies on.
    pub fn unfinished(&self, typed: &str, weakened: &[String]) -> Outcome {
        let mut outcome = Outcome::new(typed);
        outcome.all = self.scope.all;
        outcome.weakened = weakened.to_vec();
        outcome.policy = Some(match &self.policy_file {
            PolicySource::Rules(rules) => rules.report(),
            other => {
                outcome.trust = self.trust.report();
                let unstated = matches!(self.policy, Policy::Unstated);
                let source = if unstated { "none" } else { "flags" };
                let mut report = PolicyReport::new(source, &self.policy);
                report.asks(&self.prov, &self.required);
                if let PolicySource::Replaced(path) = other {
                    report.replaces = Some(path.clone());
                }
                report
            }
        });
        outcome
    }

    /// By whom, with what trust and how else `reference` is judged; `outcome` is told.
    fn grounds(&self, reference: &ChartReference, outcome: &mut Outcome) -> Result<Judges<'_>> {
        let PolicySource::Rules(rules) = &self.policy_file else { return Ok(self.judges()) };
        let grounds = rules.grounds(reference)?;
        outcome.policy = Some(grounds.report.clone());
        outcome.trust = grounds.means.trust.report();
        let known = outcome.weakened.clone();
        outcome
            .weakened
            .extend(grounds.weakened.iter().filter(|one| !known.contains(one)).cloned());
        grounds.judges()
    }

    /// What the flags say.
    fn judges(&self) -> Judges<'_> {
        let Self { policy, trust, prov, required, .. } = self;
        Judges { policy, trust, prov, required }
    }

    async fn reference(
        &self,
        object: &VerifyObject,
        reference: &ChartReference,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let (version, chart) = (object.version.as_deref(), object.chart.as_ref());
        if object.taken_as.is_some() {
            return Err(Error::usage("--as is for files; a reference says itself what it is"));
        }
        let judges = self.grounds(reference, outcome)?;
        let policy = judges.policy;
        let resolving = async {
            let resolved = resolve(&self.world, self.places(), reference, version, chart).await?;
            // If anything is still waited for, it is the listing, or the bundle that was named instead.
            self.look_in(match &object.source {
                VerifySource::Bundle(_) => Place::File,
                _ => Place::Referrers,
            });
            Ok(resolved)
        };
        let looking = self.look_ahead(object, reference).map(Ok);
        let both = try_join(resolving, looking);
        let (trusted, (resolved, ahead)) = judges.trust.beside(&self.world, both).await?;
        outcome.trust = Some(trusted.report.clone());
        describe(&resolved, outcome);
        if let Some(rule) = policy.rule() {
            rule.check_manifest(&resolved.manifest)
                .map_err(|error| error.at_digest(resolved.manifest.digest))?;
        }
        let question = Question::Reference { resolved: &resolved, matching: self.matching };
        let mut findings = self.findings(&trusted, policy, &self.predicate_type);
        match &object.source {
            VerifySource::Bundle(path) => {
                let named = path.clone();
                let store = reading(&[path], move || BundleFile::named(&named)).await?;
                outcome.signature_repository = None;
                self.ask(&store, Place::File, &question, &mut findings).await;
            }
            _ => self.ask_registry(&resolved, ahead, &question, &mut findings).await,
        }
        // As typed, with the tag that was found where none was named.
        let object_words = match (&reference.tag, &reference.digest) {
            (None, None) => resolved.words(),
            _ => reference.typed.clone(),
        };
        let concluded = self.conclude(findings, outcome, &resolved.pinned());
        let looked_at = match asks_for_provenance(&concluded) {
            false => Ok(None),
            true => self.provenance_of(judges.prov, &resolved, &concluded, outcome).await,
        };
        let looked_at = self.in_the_log(&trusted, looked_at, outcome).await;
        let accepted = with_provenance(judges.prov, concluded, looked_at, outcome)
            .map_err(|error| error.on(&object_words).at_digest(resolved.manifest.digest))?;
        self.require(&trusted, &judges, &resolved, &question, outcome)
            .await
            .map_err(|error| error.on(object_words).at_digest(resolved.manifest.digest))?;
        if note(&accepted, resolved.manifest.index.is_some(), outcome) {
            outcome.digest_ref = Some(resolved.pinned());
        }
        self.keep(object, &accepted, outcome)
    }

    /// Looks for the statements that have to be there too, by those who are trusted for the signature.
    ///
    /// # Errors
    /// Refused (`wrong-predicate`), when everybody was asked and there is none; else as of the signature.
    async fn require(
        &self,
        trusted: &Trusted,
        judges: &Judges<'_>,
        resolved: &Resolved,
        question: &Question<'_>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        for predicate_type in judges.required {
            let mut findings = self.findings(trusted, judges.policy, predicate_type);
            self.ask_registry(resolved, None, question, &mut findings).await;
            let (mut looked_in, mut found) = (Vec::new(), Vec::new());
            let decided = findings.decide(&mut looked_in, &mut found, "");
            found.retain(|one| one.status != Status::Other);
            outcome.signatures.extend(found);
            decided.map_err(|error| match error.class {
                Class::Unsigned => Error {
                    class: Class::Refused,
                    reason: Reason::WrongPredicate,
                    what: "required attestation is missing".to_owned(),
                    ..error
                }
                .line("expected", predicate_type.clone()),
                _ => error.line("required", predicate_type.clone()),
            })?;
        }
        Ok(())
    }

    fn places(&self) -> Places<'_> {
        let signatures = self.signature_repository.as_ref();
        Places { registry: &self.registry, access: Access::Pull, signatures }
    }

    pub(super) fn findings<'a>(
        &'a self,
        trusted: &'a Trusted,
        policy: &'a Policy,
        predicate_type: &'a str,
    ) -> Findings<'a> {
        Findings::new(&trusted.verifier, policy, &self.world, self.scope, predicate_type)
    }

    /// What the referrers API lists for a digest that the user stated, which is asked for beside the manifest.
    async fn look_ahead(
        &self,
        object: &VerifyObject,
        reference: &ChartReference,
    ) -> Option<(Digest, Discovered)> {
        if !matches!(object.source, VerifySource::Beside) {
            return None;
        }
        let (repository, subject) = self.places().known_ahead(reference)?;
        Some((subject, Referrers::new(&repository, subject).discover().await))
    }

    /// The places of a registry in turn: the API, and only where that met no policy the two tags. `ahead` is what the
    /// API said about one of the subjects, where it was asked already.
    pub(super) async fn ask_registry(
        &self,
        resolved: &Resolved,
        mut ahead: Option<(Digest, Discovered)>,
        question: &Question<'_>,
        findings: &mut Findings<'_>,
    ) {
        for subject in resolved.subjects() {
            if findings.done() {
                return;
            }
            let ahead = ahead.take_if(|(of, _)| *of == subject.digest).map(|(_, listed)| listed);
            self.ask_about(&resolved.signatures, &subject.digest, ahead, question, findings).await;
        }
    }

    async fn ask_about(
        &self,
        repository: &Repository,
        subject: &Digest,
        ahead: Option<Discovered>,
        question: &Question<'_>,
        findings: &mut Findings<'_>,
    ) {
        let referrers = Referrers::new(repository, *subject);
        match ahead {
            Some(listed) => findings.examine(&referrers, Place::Referrers, listed, question).await,
            None => self.ask(&referrers, Place::Referrers, question, findings).await,
        }
        if findings.done() {
            return;
        }
        let fallback = FallbackTag::new(repository, *subject);
        // Under the other tags there is nothing but the older formats: signatures, or statements of other kinds.
        if !self.scope.accept.legacy {
            self.ask(&fallback, Place::FallbackTag, question, findings).await;
        } else if findings.asks_for_others() {
            let cosign = AttestationTag::new(repository, subject);
            both(&fallback, &cosign, question, findings).await;
        } else {
            let cosign = CosignTag::new(repository, subject);
            both(&fallback, &cosign, question, findings).await;
        }
    }

    /// Says which place is waited for.
    fn look_in(&self, place: Place) {
        self.world.enter(format!("looking for signatures in the {}", place.words()));
    }

    pub(super) async fn ask(
        &self,
        store: &impl SignatureStore,
        place: Place,
        question: &Question<'_>,
        findings: &mut Findings<'_>,
    ) {
        self.look_in(place);
        let discovered = store.discover().await;
        findings.examine(store, place, discovered, question).await;
    }

    pub(super) fn conclude(
        &self,
        findings: Findings<'_>,
        outcome: &mut Outcome,
        pasteable: &str,
    ) -> Result<Vec<Accepted>> {
        let mut again = format!("helm sigstore verify {}", shell_word(pasteable));
        for (flag, value) in &self.repeated_flags {
            again.push_str(&format!(" {flag}"));
            if let Some(value) = value {
                again.push_str(&format!(" {}", shell_word(value)));
            }
        }
        let decided = findings.decide(&mut outcome.looked_in, &mut outcome.signatures, &again);
        decided.map_err(|error| match &outcome.signature_repository {
            Some(repository) => error.line("signatures in", repository.clone()),
            None => error,
        })
    }

    /// Writes the bundle that was accepted; of several the first.
    fn keep(
        &self,
        object: &VerifyObject,
        accepted: &[Accepted],
        outcome: &mut Outcome,
    ) -> Result<()> {
        let Some(target) = &object.bundle_out else { return Ok(()) };
        if accepted.is_empty() {
            return Ok(());
        }
        let Some(bundle) = accepted.iter().find_map(|one| one.bundle.as_ref()) else {
            self.world
                .warn("what was accepted is a legacy signature, and no bundle: none is written");
            return Ok(());
        };
        let name = outcome.chart.as_ref().map_or_else(
            || "chart".to_owned(),
            |chart| format!("{}-{}", chart.name, chart.version),
        );
        let file_name = format!("{name}.tgz");
        self.world.claim(&bundle_path(target, &file_name)?, object.argument.typed())?;
        let path = write_bundle(target, &file_name, bundle)?;
        outcome.bundle_file = Some(path.display().to_string());
        Ok(())
    }
}

/// The fallback tag and one of cosign's, which are asked together.
async fn both(
    fallback: &FallbackTag<'_>,
    cosign: &impl SignatureStore,
    question: &Question<'_>,
    findings: &mut Findings<'_>,
) {
    let (by_tag, legacy) = futures_util::future::join(fallback.discover(), cosign.discover()).await;
    findings.examine(fallback, Place::FallbackTag, by_tag, question).await;
    findings.examine(cosign, Place::CosignTag, legacy, question).await;
}
