//! Verifying: resolve, discover, judge each candidate, decide.

use std::path::{Path, PathBuf};

use super::findings::{Accepted, Findings, Formats, Limits, Question, Scope};
use super::provenance::{ProvCheck, ProvSubject, only_provenance};
use super::push::{prov_path, read_prov};
use super::rekor::RekorAccess;
use super::report::{Chart, Outcome, Place, PolicyReport, Status, Verdict};
use super::resolve::{ChartName, Places, Resolved, resolve};
use super::rules::PolicySource;
use super::trust::{Trust, Trusted};
use super::{World, off_thread, reading};
use crate::chart::version::TagMeaning;
use crate::chart::{Archive, Argument, ChartReference, Digest, RepositoryPrefix, shell_word};
use crate::error::{Class, Error, Reason, Result};
use crate::registry::{Access, Registry, Repository};
use crate::store::{
    BundleFile, CosignTag, DetachedSignature, FallbackTag, Referrers, SignatureStore, bundle_path,
    sidecars, write_bundle,
};
use crate::verify::{
    COSIGN_SIGN_PREDICATE, Covered, Match, NamedVersion, Policy, Target, VerifiedProvenance,
    VersionCheck,
};

/// The largest packed chart that is read.
pub(super) const MAX_CHART_BYTES: u64 = 100 << 20;

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
        let verified = match &object.argument {
            Argument::Reference(reference) => self.reference(object, reference, &mut outcome).await,
            Argument::File(path) => self.file(object, Path::new(path), &mut outcome).await,
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
                if let PolicySource::Replaced(path) = other {
                    report.replaces = Some(path.clone());
                }
                report
            }
        });
        outcome
    }

    /// By whom and with what trust `reference` is judged; `outcome` is told.
    fn grounds(
        &self,
        reference: &ChartReference,
        outcome: &mut Outcome,
    ) -> Result<(&Policy, &Trust)> {
        let PolicySource::Rules(rules) = &self.policy_file else {
            return Ok((&self.policy, &self.trust));
        };
        let grounds = rules.grounds(reference)?;
        outcome.policy = Some(grounds.report.clone());
        outcome.trust = grounds.trust.report();
        let known = outcome.weakened.clone();
        outcome
            .weakened
            .extend(grounds.weakened.iter().filter(|one| !known.contains(one)).cloned());
        Ok((&grounds.policy, &grounds.trust))
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
        let (policy, trust) = self.grounds(reference, outcome)?;
        let resolving = resolve(&self.world, self.places(), reference, version, chart);
        let (trusted, resolved) = trust.beside(&self.world, resolving).await?;
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
            _ => self.ask_registry(&resolved, &question, &mut findings).await,
        }
        // As typed, with the tag that was found where none was named.
        let object_words = match (&reference.tag, &reference.digest) {
            (None, None) => resolved.words(),
            _ => reference.typed.clone(),
        };
        let concluded = self.conclude(findings, outcome, &resolved.pinned());
        let looked_at = match asks_for_provenance(&concluded) {
            false => Ok(None),
            true => self.provenance_of(&resolved, &concluded, outcome).await,
        };
        let looked_at = self.in_the_log(&trusted, looked_at, outcome).await;
        let accepted = with_provenance(concluded, looked_at, outcome)
            .map_err(|error| error.on(&object_words).at_digest(resolved.manifest.digest))?;
        self.require(&trusted, policy, &resolved, &question, outcome)
            .await
            .map_err(|error| error.on(object_words).at_digest(resolved.manifest.digest))?;
        if note(&accepted, resolved.manifest.index.is_some(), outcome) {
            outcome.digest_ref = Some(resolved.pinned());
        }
        self.keep(object, &accepted, outcome)
    }

    async fn file(&self, object: &VerifyObject, path: &Path, outcome: &mut Outcome) -> Result<()> {
        if object.version.is_some() {
            return Err(Error::usage("--version is for references; a file has one version"));
        }
        if self.matching == Match::ChartLayer {
            return Err(Error::usage("--match is for references; of a file only the chart counts"));
        }
        let opened = path.to_owned();
        let files = [path];
        let archive = reading(&files, move || read_chart(&opened));
        let (policy, trust, archive) = match (&self.policy_file, &object.taken_as, &object.source) {
            // Where it was pushed follows from its name, which has to be read first.
            (PolicySource::Rules(_), None, VerifySource::Repository(prefix)) => {
                let archive = archive.await?;
                let pushed = prefix.chart(archive.name(), archive.version())?;
                let (policy, trust) = self.grounds(&pushed, outcome)?;
                (policy, trust.wait(&self.world).await?, archive)
            }
            (PolicySource::Rules(_), None, _) => {
                return Err(Error::usage(
                    "the policy has rules for references, and this is a file",
                )
                .cause("nothing says which chart it is taken for")
                .hint("--as oci://HOST/PATH"));
            }
            (PolicySource::Rules(_), Some(reference), _) => {
                let (policy, trust) = self.grounds(reference, outcome)?;
                let (trusted, archive) = trust.beside(&self.world, archive).await?;
                (policy, trusted, archive)
            }
            _ => {
                let (trusted, archive) = self.trust.beside(&self.world, archive).await?;
                (&self.policy, trusted, archive)
            }
        };
        let trusted = trust;
        outcome.trust = Some(trusted.report.clone());
        let digest = archive.digest;
        if let Some(rule) = policy.rule() {
            rule.check_digest(&digest, "chart").map_err(|error| error.at_digest(digest))?;
        }
        let named = NamedVersion {
            name: archive.metadata.name.clone(),
            version: archive.metadata.version.clone(),
        };
        outcome.chart = Some(Chart { name: named.name.clone(), version: named.version.clone() });
        outcome.chart_digest = Some(digest.to_string());
        let (name, version) = match &object.chart {
            Some(chart) => (
                Some(chart.name.as_str()),
                chart.version.as_deref().map_or(TagMeaning::NotChecked, TagMeaning::of),
            ),
            None => match &object.taken_as {
                Some(reference) => (
                    Some(reference.name()),
                    reference
                        .tag_version()
                        .as_deref()
                        .map_or(TagMeaning::NotChecked, TagMeaning::of),
                ),
                None => (None, TagMeaning::NotChecked),
            },
        };
        let mut beside = None;
        let target = Target::File { digest, named: &named };
        let question = Question::File(crate::verify::Question {
            target,
            name,
            version,
            predicate_type: &self.predicate_type,
        });
        let mut findings = self.findings(&trusted, policy, &self.predicate_type);
        match &object.source {
            VerifySource::Bundle(bundle) => {
                let (chart, named) = (path.to_owned(), bundle.clone());
                let old = move || DetachedSignature::in_old_bundle(&chart, &named);
                // A chart that has been read is read again only where the signature is over its bytes.
                if let Some(store) = reading(&[path, bundle], old).await? {
                    self.ask(&store, Place::File, &question, &mut findings).await;
                } else {
                    let named = bundle.clone();
                    let store = reading(&[bundle], move || BundleFile::named(&named)).await?;
                    self.ask(&store, Place::File, &question, &mut findings).await;
                }
            }
            VerifySource::Detached { signature, certificate, timestamp } => {
                let (chart, signature) = (path.to_owned(), signature.clone());
                let (certificate, timestamp) = (certificate.clone(), timestamp.clone());
                let store = off_thread(move || {
                    let (certificate, timestamp) = (certificate.as_deref(), timestamp.as_deref());
                    DetachedSignature::named(&chart, &signature, certificate, timestamp)
                });
                let store = store.await?;
                self.ask(&store, Place::File, &question, &mut findings).await;
            }
            VerifySource::Beside => {
                let chart = path.to_owned();
                let [first, second] = sidecars(path);
                let beside = move || BundleFile::beside(&chart);
                let store = reading(&[&first, &second], beside).await?;
                self.ask(&store, Place::File, &question, &mut findings).await;
            }
            VerifySource::Repository(prefix) => {
                let reference = prefix.chart(&named.name, &named.version)?;
                let resolved = resolve(&self.world, self.places(), &reference, None, None).await?;
                outcome.signature_repository = resolved.signature_repository();
                self.ask_registry(&resolved, &question, &mut findings).await;
                beside = Some(resolved);
            }
        }
        let retry = path.display().to_string();
        let concluded = self.conclude(findings, outcome, &retry);
        let looked_at = match asks_for_provenance(&concluded) {
            false => Ok(None),
            true => {
                let file_name = archive.metadata.file_name();
                self.provenance_beside(path, digest, file_name, outcome).await
            }
        };
        let looked_at = self.in_the_log(&trusted, looked_at, outcome).await;
        let accepted = with_provenance(concluded, looked_at, outcome)
            .map_err(|error| error.at_digest(digest))?;
        if let Some(resolved) = &beside {
            self.require(&trusted, policy, resolved, &question, outcome)
                .await
                .map_err(|error| error.at_digest(digest))?;
        }
        note(&accepted, false, outcome);
        self.keep(object, &accepted, outcome)
    }

    /// Looks for the statements that have to be there too, by those who are trusted for the signature.
    ///
    /// # Errors
    /// Refused (`wrong-predicate`), when everybody was asked and there is none; else as of the signature.
    async fn require(
        &self,
        trusted: &Trusted,
        policy: &Policy,
        resolved: &Resolved,
        question: &Question<'_>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        for predicate_type in &self.required {
            let mut findings = self.findings(trusted, policy, predicate_type);
            self.ask_registry(resolved, question, &mut findings).await;
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

    fn findings<'a>(
        &'a self,
        trusted: &'a Trusted,
        policy: &'a Policy,
        predicate_type: &'a str,
    ) -> Findings<'a> {
        Findings::new(&trusted.verifier, policy, &self.world, self.scope, predicate_type)
    }

    /// The places of a registry in turn: the API, and only where that met no policy the two tags.
    async fn ask_registry(
        &self,
        resolved: &Resolved,
        question: &Question<'_>,
        findings: &mut Findings<'_>,
    ) {
        for subject in resolved.subjects() {
            if findings.done() {
                return;
            }
            self.ask_about(&resolved.signatures, &subject.digest, question, findings).await;
        }
    }

    async fn ask_about(
        &self,
        repository: &Repository,
        subject: &Digest,
        question: &Question<'_>,
        findings: &mut Findings<'_>,
    ) {
        let referrers = Referrers::new(repository, *subject);
        self.ask(&referrers, Place::Referrers, question, findings).await;
        if findings.done() {
            return;
        }
        let fallback = FallbackTag::new(repository, *subject);
        // Under the other tag there is nothing but the older format.
        if !self.scope.accept.legacy || findings.asks_for_others() {
            self.ask(&fallback, Place::FallbackTag, question, findings).await;
            return;
        }
        let cosign = CosignTag::new(repository, subject);
        let (by_tag, legacy) =
            futures_util::future::join(fallback.discover(), cosign.discover()).await;
        findings.examine(&fallback, Place::FallbackTag, by_tag, question).await;
        findings.examine(&cosign, Place::CosignTag, legacy, question).await;
    }

    async fn ask(
        &self,
        store: &impl SignatureStore,
        place: Place,
        question: &Question<'_>,
        findings: &mut Findings<'_>,
    ) {
        self.world.enter(format!("looking for signatures in the {}", place.words()));
        let discovered = store.discover().await;
        findings.examine(store, place, discovered, question).await;
    }

    fn conclude(
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

    /// Where provenance has to be in the log, looks for it there.
    ///
    /// # Errors
    /// Refused (`not-logged`), when it is not there; undecided, when that stayed open.
    async fn in_the_log(
        &self,
        trusted: &Trusted,
        looked_at: Result<Option<VerifiedProvenance>>,
        outcome: &mut Outcome,
    ) -> Result<Option<VerifiedProvenance>> {
        let provenance = looked_at?;
        if let (Some(access), Some(provenance)) = (&self.rekor_helm, &provenance) {
            let found = access.prove(&self.world, &trusted.verifier, provenance).await?;
            outcome.helm_entry = Some(found);
        }
        Ok(provenance)
    }

    /// Looks at the provenance layer of a chart. Answers what its PGP signature proves, if it holds.
    async fn provenance_of(
        &self,
        resolved: &Resolved,
        concluded: &Result<Vec<Accepted>>,
        outcome: &mut Outcome,
    ) -> Result<Option<VerifiedProvenance>> {
        let covered = concluded.as_ref().is_ok_and(|accepted| {
            !accepted.is_empty() && accepted.iter().all(|one| one.verified.covered().prov)
        });
        if !self.prov.reads(resolved.manifest.prov.is_some(), covered)? {
            return Ok(None);
        }
        self.world.enter("reading the provenance");
        let signed =
            concluded.as_ref().ok().and_then(|accepted| accepted.first()?.verified.named());
        let (file_name, prov) = match resolved.named_prov(signed).await {
            Ok(found) => {
                let (file_name, prov) = found.unwrap_or_default();
                (file_name, Ok(prov))
            }
            Err(error) => (String::new(), Err(error)),
        };
        let digest = &resolved.manifest.chart.digest;
        let subject = ProvSubject { digest, file_name, now: self.world.now() };
        self.prov.judge(prov, subject, outcome).await
    }

    /// The same of `FILE.prov`.
    async fn provenance_beside(
        &self,
        path: &Path,
        digest: Digest,
        file_name: String,
        outcome: &mut Outcome,
    ) -> Result<Option<VerifiedProvenance>> {
        let chart = path.to_owned();
        let prov = reading(&[&prov_path(path)], move || read_prov(&chart)).await;
        let present = !matches!(prov, Ok(None));
        if !self.prov.reads(present, false)? {
            return Ok(None);
        }
        let subject = ProvSubject { digest: &digest, file_name, now: self.world.now() };
        self.prov.judge(prov.map(Option::unwrap_or_default), subject, outcome).await
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

/// Whether provenance could still say anything: not beside a no, or what is open.
fn asks_for_provenance(concluded: &Result<Vec<Accepted>>) -> bool {
    concluded.as_ref().map_or_else(|error| error.class == Class::Unsigned, |_| true)
}

/// The verdict of Sigstore, and what provenance adds to it: a no, where it decides; never a yes.
fn with_provenance(
    concluded: Result<Vec<Accepted>>,
    looked_at: Result<Option<VerifiedProvenance>>,
    outcome: &Outcome,
) -> Result<Vec<Accepted>> {
    match (concluded, looked_at) {
        (Ok(accepted), Ok(_)) => Ok(accepted),
        (_, Err(error)) => Err(error),
        (Err(unsigned), Ok(Some(_))) if unsigned.class == Class::Unsigned => {
            Err(only_provenance(unsigned, outcome))
        }
        (Err(error), Ok(_)) => Err(error),
    }
}

/// What is known of a chart in a registry before anything is verified.
pub(super) fn describe(resolved: &Resolved, outcome: &mut Outcome) {
    outcome.reference = Some(resolved.words());
    outcome.manifest_digest = Some(resolved.manifest.digest.to_string());
    outcome.chart_digest = Some(resolved.manifest.chart.digest.to_string());
    outcome.prov_digest = resolved.manifest.prov.as_ref().map(|prov| prov.digest.to_string());
    outcome.signature_repository = resolved.signature_repository();
}

/// Puts into words what the signatures bind, and what was not compared. Of several signatures only what all
/// of them cover is signed by as many as were asked for. Answers whether all bind the manifest.
fn note(accepted: &[Accepted], in_index: bool, outcome: &mut Outcome) -> bool {
    let all = |part: fn(Covered) -> bool| {
        !accepted.is_empty() && accepted.iter().all(|one| part(one.verified.covered()))
    };
    let named = accepted.first().and_then(|one| one.verified.named());
    if let Some(named) = named {
        outcome.chart = Some(Chart { name: named.name.clone(), version: named.version.clone() });
    }
    let covered = Covered {
        index: all(|covered| covered.index),
        manifest: all(|covered| covered.manifest),
        chart: all(|covered| covered.chart),
        prov: all(|covered| covered.prov),
    };
    let Covered { index, manifest, chart, prov } = covered;
    let parts = [(index, "index"), (manifest, "manifest"), (chart, "chart"), (prov, "provenance")];
    let parts: Vec<_> =
        parts.into_iter().filter_map(|(covered, word)| covered.then_some(word)).collect();
    let listed = match parts.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    };
    outcome.notes = vec![format!("signed: {listed}")];
    outcome.whole = chart
        && (index || !in_index)
        && (manifest || outcome.manifest_digest.is_none())
        && (prov || outcome.prov_digest.is_none());
    if outcome.manifest_digest.is_some() {
        if !all(Covered::binds_manifest) {
            outcome.notes.push("manifest: not signed".to_owned());
        }
        if accepted.iter().any(|one| one.verified.version() == VersionCheck::NotChecked) {
            outcome.notes.push("version: not checked".to_owned());
        }
    }
    if outcome.prov_digest.is_some() {
        outcome.prov = Some(if prov { "signed" } else { "not signed" }.to_owned());
    }
    all(Covered::binds_manifest)
}

/// Reads a packaged chart, within bounds.
pub(super) fn read_chart(path: &Path) -> Result<Archive> {
    use std::io::Read;
    let cannot = |error: std::io::Error| {
        Error::usage("cannot open chart").on(path.display().to_string()).cause(error.to_string())
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    check_size(file.metadata().map_err(cannot)?.len())?;
    // One byte more than may be, of what grows or has no size.
    let read = Archive::read_from(file.take(MAX_CHART_BYTES + 1)).map_err(cannot)?;
    check_size(read.as_ref().map_or(0, |archive| archive.size))?;
    named(path, read?)
}

/// Reads a packaged chart whose bytes, at most one more than may be, came from the file at `path`.
pub(super) fn check_named(path: &Path, bytes: &[u8]) -> Result<Archive> {
    check_size(bytes.len() as u64)?;
    named(path, Archive::read(bytes)?)
}

fn check_size(size: u64) -> Result<()> {
    if size > MAX_CHART_BYTES {
        return Err(Error::refused(Reason::NotAChart, "not a chart")
            .cause(format!("it is larger than {MAX_CHART_BYTES} bytes")));
    }
    Ok(())
}

fn named(path: &Path, archive: Archive) -> Result<Archive> {
    if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
        archive.check_file_name(name)?;
    }
    Ok(archive)
}
