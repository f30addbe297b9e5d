//! The one verifier. Every bundle, of whatever origin, is judged here and nowhere else.

use jiff::Timestamp;
use sigstore_types::{KindVersion, TransparencyLogEntry};
use sigstore_verify::{
    Error as CrateError, TransparencyLogError, VerificationPolicy, VerificationResult,
};

use super::bundle::Bundle;
use super::certificate::{Claims, NameKind, holder};
use super::coverage::{
    Coverage, Covered, NamedVersion, Question, VersionCheck, cover, meaning, needs_config,
};
use super::policy::Policy;
use super::refusal::{Failure, explain};
use super::statement::{COSIGN_SIGN_PREDICATE, SubjectKind};
use super::trust_root::TrustRoot;
use crate::chart::{ChartManifest, Digest};
use crate::error::{Error, Reason, Result};

/// Who signed, as a certificate says; worth something only beside a successful verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signer {
    /// The subject alternative name: an e-mail address, a URI or a user name.
    pub identity: String,
    /// What kind of name that is.
    pub kind: Option<NameKind>,
    /// The OIDC issuer (Fulcio extension 1.3.6.1.4.1.57264.1.8).
    pub issuer: String,
    /// SHA-256 of the public key, for signatures made with a key.
    pub key_id: Option<String>,
    /// Source repository URI (extension .12).
    pub source_repository: Option<String>,
    /// Source repository ref (extension .14).
    pub source_ref: Option<String>,
    /// Source repository digest (extension .13).
    pub source_digest: Option<String>,
    /// Build config URI: the workflow (extension .18).
    pub workflow: Option<String>,
    /// Run invocation URI (extension .21).
    pub run_uri: Option<String>,
    /// The claims that a policy can ask for.
    pub claims: Claims,
}

impl Signer {
    /// Whether both are one and the same: the same name by the same issuer, of the same source (a reusable
    /// workflow signs for many), or the same key.
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.issuer == other.issuer
            && self.source_repository == other.source_repository
            && self.key_id == other.key_id
    }
}

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
    signer: Signer,
    log: Option<LogRecord>,
    timestamp: Option<Timestamp>,
    kind: Option<SubjectKind>,
    covered: Covered,
    named: Option<NamedVersion>,
    version: VersionCheck,
    identities: Vec<usize>,
}

impl Verified {
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
    trust: TrustRoot,
}

impl Verifier {
    /// A verifier that relies on `trust`.
    pub fn new(trust: TrustRoot) -> Self {
        Self { trust }
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
        let checked = match self.check(bundle, Artifact::Digest(digest), Stage::Complete, now) {
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
        let checked = self.check(bundle, artifact, Stage::Complete, now).map_err(Error::from)?;
        let identities = policy.admit(&checked.signer)?;
        Ok(Verified { identities, ..checked })
    }

    /// Judges a bundle over any artifact that was signed with a key instead of a certificate.
    ///
    /// # Errors
    /// Refused or undecided, as [`Verifier::verify_artifact`].
    pub fn verify_artifact_with_key(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        key: &sigstore_types::DerPublicKey,
        now: Timestamp,
    ) -> Result<Verified> {
        let policy = sigstore_verify::PublicKeyVerificationPolicy::new(key.clone());
        let checked = self.crate_verify(bundle, artifact, &policy, now).map_err(Error::from)?;
        Ok(self.record(bundle, &checked, Stage::Complete))
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

    fn check(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let policy = VerificationPolicy::any_identity();
        let policy = match stage {
            Stage::BeforeLog => policy.skip_tlog_unsafe(),
            Stage::Complete => policy,
        };
        let checked = self.crate_verify(bundle, artifact, &policy, now)?;
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
        let mut verified = self.record(bundle, &checked, stage);
        // The crate reads the first e-mail address or URI, and overlooks what stands beside it.
        if let Some(leaf) = bundle.inner().signing_certificate() {
            let (kind, identity) = holder(leaf).map_err(Failure::No)?.unzip();
            verified.signer.kind = kind;
            verified.signer.identity = identity.unwrap_or_default();
        }
        Ok(verified)
    }

    fn crate_verify(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        policy: &dyn sigstore_verify::Policy,
        now: Timestamp,
    ) -> Result<VerificationResult, Failure> {
        let inner = bundle.inner();
        let verifier = &self.trust.verifier;
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
                self.check_log_windows(inner, times).map_err(Failure::No)?;
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
            Err(error) => Err(Failure::No(explain(&error, self.trust.stranger(inner)))),
        }
    }

    fn record(&self, bundle: &Bundle, checked: &VerificationResult, stage: Stage) -> Verified {
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
        let log = match stage {
            Stage::BeforeLog => None,
            Stage::Complete => material.tlog_entries.iter().find_map(|e| self.log_record(e)),
        };
        let stamped = !material.timestamp_verification_data.rfc3161_timestamps.is_empty();
        // Timestamps come first in the crate's list, one a token.
        let tokens = material.timestamp_verification_data.rfc3161_timestamps.len();
        let timestamp = checked.verified_timestamps().iter().take(tokens).min().copied();
        Verified {
            signer,
            log,
            timestamp: timestamp.filter(|_| stamped),
            kind: None,
            covered: Covered::default(),
            named: None,
            version: VersionCheck::NotChecked,
            identities: Vec::new(),
        }
    }

    /// What a verified entry proves about its place in a log. An index stands only under a promise
    /// (v1, whose signature covers it) or in a v2 proof; the log is the one whose key signed.
    fn log_record(&self, entry: &TransparencyLogEntry) -> Option<LogRecord> {
        let log = self.trust.log_of(entry)?;
        let v2 = entry.kind_version == KindVersion::HashedRekordV002;
        let promised = !v2 && entry.inclusion_promise.is_some();
        Some(LogRecord {
            url: log.base_url.clone(),
            index: (v2 || promised).then(|| entry.log_index.get()),
            time: entry.integrated_time.filter(|_| promised),
        })
    }

    /// A log's key vouches for what was signed while it was in use. The crate holds a promise's own time
    /// against the key's window; an entry without promise has none, so every verified time counts here.
    fn check_log_windows(
        &self,
        bundle: &sigstore_types::Bundle,
        times: &[Timestamp],
    ) -> Result<()> {
        for entry in &bundle.verification_material.tlog_entries {
            let window = self.trust.log_of(entry).map(|log| log.public_key.valid_for);
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
}
