//! The one verifier. Every bundle, of whatever origin, is judged here and nowhere else.

use jiff::Timestamp;
use sigstore_types::{KindVersion, TransparencyLogEntry};
use sigstore_verify::{
    Error as CrateError, TransparencyLogError, VerificationPolicy, VerificationResult,
};

use super::bundle::Bundle;
use super::certificate::{Claims, holder};
use super::coverage::{
    Coverage, Covered, NamedVersion, Question, VersionCheck, cover, meaning, needs_config,
};
use super::policy::Policy;
use super::public_key::{is_by_key, other_kind};
use super::refusal::{Failure, explain};
use super::signer::Signer;
use super::statement::{COSIGN_SIGN_PREDICATE, SubjectKind};
use super::trust_root::TrustRoot;
use crate::chart::{ChartManifest, Digest};
use crate::error::{Error, Reason, Result};

/// Where a signature is logged, as far as the log's own signature proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The trusted log whose key verified promise or checkpoint; never read from the entry.
    pub url: String,
    /// The index, when a promise (v1) or the inclusion proof (v2) proves it.
    pub index: Option<u64>,
    /// The time of integration, when a promise proves it.
    pub time: Option<Timestamp>,
}

/// Proof that one bundle was verified: only [`Verifier`] can build one.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) signer: Signer,
    log: Option<LogRecord>,
    timestamp: Option<Timestamp>,
    kind: Option<SubjectKind>,
    covered: Covered,
    named: Option<NamedVersion>,
    version: VersionCheck,
    identities: Vec<usize>,
}

impl Verified {
    /// A signature by `signer` of which nothing else was proved.
    pub(super) fn by(signer: Signer) -> Self {
        Self {
            signer,
            log: None,
            timestamp: None,
            kind: None,
            covered: Covered::default(),
            named: None,
            version: VersionCheck::NotChecked,
            identities: Vec::new(),
        }
    }

    /// Who signed.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Where it is logged.
    pub fn log(&self) -> Option<&LogRecord> {
        self.log.as_ref()
    }

    /// The earliest verified time of a timestamp authority.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// What was matched; nothing for an artifact that is no chart.
    pub fn kind(&self) -> Option<SubjectKind> {
        self.kind
    }

    /// Which parts of the chart are signed.
    pub fn covered(&self) -> Covered {
        self.covered
    }

    /// The signed name and version.
    pub fn named(&self) -> Option<&NamedVersion> {
        self.named.as_ref()
    }

    /// Whether the version that was asked for was compared.
    pub fn version(&self) -> VersionCheck {
        self.version
    }

    /// The identities of the policy that the signer is, by their places in its list.
    pub fn identities(&self) -> &[usize] {
        &self.identities
    }
}

/// The verdict on one candidate (DESIGN decision 7).
#[derive(Debug)]
pub enum Judgement {
    /// It meets the policy.
    Accepted(Box<Verified>),
    /// No signature on the chart but a statement of another kind; decided before any cryptography.
    Other {
        /// What it is.
        predicate_type: String,
    },
    /// A no.
    Refused {
        /// Why.
        error: Error,
        /// Who signed, when everything but the policy holds.
        signer: Option<Box<Signer>>,
    },
    /// Open: a time in our future.
    Undecided {
        /// Why.
        error: Error,
        /// How far ahead of our clock the verified time lies, in seconds.
        ahead_seconds: i64,
    },
}

/// Bytes, or their digest, for [`Verifier::verify_artifact`].
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// Their SHA-256.
    Digest(Digest),
}

/// How far a bundle of our own is when it is judged (DESIGN decision 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Timestamped and not logged yet: everything but the log is checked.
    BeforeLog,
    /// Finished.
    Complete,
}

/// Judges bundles against one trusted root.
#[derive(Debug)]
pub struct Verifier {
    pub(super) trust: Option<TrustRoot>,
}

impl Verifier {
    /// A verifier that relies on `trust`.
    pub fn new(trust: TrustRoot) -> Self {
        Self { trust: Some(trust) }
    }

    /// A verifier without a trusted root: good for signatures by a key whose log nobody asks for, and
    /// for nothing else.
    pub fn without_trust() -> Self {
        Self { trust: None }
    }

    /// Whether the chart's config blob has to be known before `bundle` can be judged.
    pub fn needs_config(bundle: &Bundle, manifest: &ChartManifest) -> bool {
        needs_config(bundle, manifest)
    }

    /// Judges one bundle: is it a signature on this chart, by somebody who is trusted?
    ///
    /// Coverage and meaning come from the statement, the cryptography (times first, then chain, SCT,
    /// log, signature; Sigstore client specification section 4) from the Sigstore crate, and the
    /// policy is asked last, so that a refusal for its sake speaks of a valid signature.
    pub fn verify(
        &self,
        bundle: &Bundle,
        question: &Question<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Judgement {
        let refused = |error| Judgement::Refused { error, signer: None };
        let Some(statement) = bundle.statement() else {
            return refused(
                Error::refused(Reason::NotCovered, "signature is over plain bytes")
                    .cause("the bundle holds no in-toto statement that names the chart"),
            );
        };
        if statement.predicate_type != COSIGN_SIGN_PREDICATE {
            return Judgement::Other { predicate_type: statement.predicate_type.clone() };
        }
        let Coverage { digest, kind, covered } = match cover(statement, &question.target) {
            Ok(coverage) => coverage,
            Err(error) => return refused(error),
        };
        // What a legacy signature is over stands for the digest; both were read from the same bytes.
        let artifact = bundle.message().map_or(Artifact::Digest(digest), Artifact::Bytes);
        let checked = match self.authenticate(bundle, artifact, policy, now) {
            Ok(checked) => checked,
            Err(Failure::Future { error, ahead_seconds }) => {
                return Judgement::Undecided { error, ahead_seconds };
            }
            // The digest is one of the statement's, so that only the entry can be over something else.
            Err(Failure::No(error)) if error.reason == Reason::NotCovered => {
                let what = "log entry belongs to another signature".to_owned();
                return refused(Error { reason: Reason::BadSignature, what, ..error });
            }
            Err(Failure::No(error)) => return refused(error),
        };
        let (named, version) = match meaning(statement, question) {
            Ok(meaning) => meaning,
            Err(error) => return refused(error),
        };
        let signer = checked.signer.clone();
        let identities = match policy.admit(&signer) {
            Ok(identities) => identities,
            Err(error) => {
                return Judgement::Refused { error, signer: Some(Box::new(signer)) };
            }
        };
        Judgement::Accepted(Box::new(Verified {
            kind: Some(kind),
            covered,
            named: Some(named),
            version,
            identities,
            ..checked
        }))
    }

    /// Judges a bundle over any artifact, statement or plain signature, without asking what it means.
    ///
    /// # Errors
    /// Refused or undecided, as the cryptography or the policy says.
    pub fn verify_artifact(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Verified> {
        let checked = self.authenticate(bundle, artifact, policy, now).map_err(Error::from)?;
        let identities = policy.admit(&checked.signer)?;
        Ok(Verified { identities, ..checked })
    }

    /// Judges a bundle that we have just made, before it is logged or before it is attached.
    ///
    /// # Errors
    /// Refused or undecided, as [`Verifier::verify_artifact`].
    pub fn verify_own(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified> {
        self.check(bundle, artifact, stage, now).map_err(Error::from)
    }

    /// The cryptography, by the kind of the bundle and, where a key is trusted, with that key.
    fn authenticate(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        match (policy, is_by_key(bundle)) {
            (Policy::Key(trusted), true) => self.check_by_key(bundle, artifact, Some(trusted), now),
            (_, true) => self.check_by_key(bundle, artifact, None, now),
            (Policy::Key(_), false) if self.trust.is_none() => Err(Failure::No(other_kind(false))),
            (_, false) => self.check(bundle, artifact, Stage::Complete, now),
        }
    }

    fn check(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let unlogged = bundle.inner().verification_material.tlog_entries.is_empty();
        if unlogged && bundle.message().is_some() && stage == Stage::Complete {
            return Err(Failure::No(
                Error::refused(Reason::BadSignature, "signature is in no transparency log")
                    .cause("nothing proves that the certificate was valid when it signed"),
            ));
        }
        let policy = VerificationPolicy::any_identity();
        let policy = match stage {
            Stage::BeforeLog => policy.skip_tlog_unsafe(),
            Stage::Complete => policy,
        };
        let checked = self.crate_verify(bundle, artifact, &policy, true, now)?;
        // The crate proves each of these under this policy; asked again, so that a change of its
        // defaults can never become a change of ours.
        let proved = checked.certificate_verified()
            && checked.sct_verified()
            && (stage == Stage::BeforeLog || checked.tlog_verified());
        if !proved {
            return Err(Failure::No(Error::refused(
                Reason::BadSignature,
                "certificate or log was not checked",
            )));
        }
        let mut verified = self.record(bundle, &checked, stage == Stage::Complete);
        // The crate reads the first e-mail address or URI, and overlooks what stands beside it.
        if let Some(leaf) = bundle.inner().signing_certificate() {
            let (kind, identity) = holder(leaf).map_err(Failure::No)?.unzip();
            verified.signer.kind = kind;
            verified.signer.identity = identity.unwrap_or_default();
        }
        Ok(verified)
    }

    /// Asks the crate; `logged` says whether log entries were proved by what it checked.
    pub(super) fn crate_verify(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        policy: &dyn sigstore_verify::Policy,
        logged: bool,
        now: Timestamp,
    ) -> Result<VerificationResult, Failure> {
        let inner = bundle.inner();
        let Some(trust) = &self.trust else {
            return Err(Failure::No(Error::undecided(
                Reason::TrustUnusable,
                "log and timestamps need a trusted root",
            )));
        };
        let verifier = &trust.verifier;
        let result = match artifact {
            Artifact::Bytes(bytes) => verifier.verify(bytes, inner, policy),
            Artifact::Digest(digest) => {
                let hash = sigstore_types::Sha256Hash::new(digest.bytes());
                verifier.verify(hash, inner, policy)
            }
        };
        let entry_times = || {
            let entries = &inner.verification_material.tlog_entries;
            // Without a promise nobody signed the time, and a stranger could turn a no into a wait.
            let promised = |entry: &&TransparencyLogEntry| {
                entry.inclusion_promise.is_some()
                    && entry.kind_version != KindVersion::HashedRekordV002
            };
            entries.iter().filter(promised).filter_map(|entry| entry.integrated_time)
        };
        match result {
            Ok(result) => {
                let times = result.verified_timestamps();
                if logged {
                    // A signature by a key may have no time at all: then the log has to be in use now.
                    let present = [now];
                    let times = if times.is_empty() { &present[..] } else { times };
                    check_log_windows(trust, inner, times).map_err(Failure::No)?;
                }
                match times.iter().max() {
                    Some(latest) if *latest > now => Err(Failure::future(*latest, now)),
                    _ => Ok(result),
                }
            }
            // The crate compares with the system's clock; what it refuses as future stays open here.
            Err(CrateError::TransparencyLog(TransparencyLogError::IntegratedTime(words))) => {
                match entry_times().max() {
                    Some(latest) if latest > now => Err(Failure::future(latest, now)),
                    _ => Err(Failure::No(
                        Error::refused(Reason::BadSignature, "log entry has a wrong time")
                            .cause(words),
                    )),
                }
            }
            Err(error) => Err(Failure::No(explain(&error, trust.stranger(inner)))),
        }
    }

    /// What was proved, of log and log entries only where `logged`.
    pub(super) fn record(
        &self,
        bundle: &Bundle,
        checked: &VerificationResult,
        logged: bool,
    ) -> Verified {
        let claims = checked.certificate().map(|certificate| &certificate.ci_claims);
        let claim =
            |pick: fn(&sigstore_verify::crypto::x509::FulcioCiClaims) -> &Option<String>| {
                claims.and_then(|claims| pick(claims).clone())
            };
        let signer = Signer {
            identity: checked.identity().map(ToString::to_string).unwrap_or_default(),
            kind: None,
            issuer: checked.issuer().unwrap_or_default().to_owned(),
            key_id: None,
            source_repository: claim(|claims| &claims.source_repository_uri),
            source_ref: claim(|claims| &claims.source_repository_ref),
            source_digest: claim(|claims| &claims.source_repository_digest),
            workflow: claim(|claims| &claims.build_config_uri),
            run_uri: claim(|claims| &claims.run_invocation_uri),
            claims: claims.map(Claims::read).unwrap_or_default(),
        };
        let material = &bundle.inner().verification_material;
        let log = match logged {
            false => None,
            true => material.tlog_entries.iter().find_map(|e| self.log_record(e)),
        };
        // In the crate's list timestamps, one a token, come first, and last for a key.
        let tokens = material.timestamp_verification_data.rfc3161_timestamps.len();
        let times = checked.verified_timestamps();
        let skipped = if is_by_key(bundle) { times.len().saturating_sub(tokens) } else { 0 };
        let timestamp = times.iter().skip(skipped).take(tokens).min().copied();
        Verified { log, timestamp, ..Verified::by(signer) }
    }

    /// What a verified entry proves about its place in a log. An index stands only under a promise
    /// (v1, whose signature covers it) or in a v2 proof; the log is the one whose key signed.
    fn log_record(&self, entry: &TransparencyLogEntry) -> Option<LogRecord> {
        let log = self.trust.as_ref()?.log_of(entry)?;
        let v2 = entry.kind_version == KindVersion::HashedRekordV002;
        let promised = !v2 && entry.inclusion_promise.is_some();
        Some(LogRecord {
            url: log.base_url.clone(),
            index: (v2 || promised).then(|| entry.log_index.get()),
            time: entry.integrated_time.filter(|_| promised),
        })
    }
}

/// A log's key vouches for what was signed while it was in use. The crate holds a promise's own time
/// against the key's window; an entry without promise has none, so every verified time counts here.
fn check_log_windows(
    trust: &TrustRoot,
    bundle: &sigstore_types::Bundle,
    times: &[Timestamp],
) -> Result<()> {
    for entry in &bundle.verification_material.tlog_entries {
        let window = trust.log_of(entry).map(|log| log.public_key.valid_for);
        let covered = window.is_some_and(|window| {
            window.is_none_or(|window| times.iter().all(|time| window.contains(*time)))
        });
        if !covered {
            return Err(Error::refused(Reason::BadSignature, "log entry does not verify")
                .cause("the key of its log was not in use when this was signed"));
        }
    }
    Ok(())
}
