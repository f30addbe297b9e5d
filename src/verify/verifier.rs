//! The one verifier. Every bundle, of whatever origin, is judged here and nowhere else.

use jiff::Timestamp;

use super::bundle::Bundle;
use super::coverage::{
    Coverage, Covered, NamedVersion, Question, VersionCheck, cover, meaning, needs_config,
};
use super::key::claimed_id;
use super::policy::Policy;
use super::public_key::{TrustedKey, is_by_key, other_kind};
use super::refusal::Failure;
use super::signer::Signer;
use super::sought::SoughtEntry;
use super::statement::SubjectKind;
use super::trust_root::{RootName, TrustRoot};
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
    pub(super) log: Option<LogRecord>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) sct: Option<bool>,
    pub(super) root: Option<RootName>,
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
            sct: None,
            root: None,
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

    /// When the signature was there: the earliest time that a log or a timestamp authority proves.
    pub fn proved_time(&self) -> Option<Timestamp> {
        let logged = self.log.as_ref().and_then(|log| log.time);
        logged.into_iter().chain(self.timestamp).min()
    }

    /// Whether a certificate log vouches for the certificate; it does not only where the trusted root has no
    /// such log. Nothing for a key.
    pub fn sct(&self) -> Option<bool> {
        self.sct
    }

    /// Which root it was verified with, where there are several.
    pub fn root(&self) -> Option<&RootName> {
        self.root.as_ref()
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
    /// A no for want of a log entry alone, as far as can be told without one: signature and certificate or key
    /// belong together, and a log may have the entry.
    Unlogged {
        /// Why.
        error: Error,
        /// What the entry would be.
        sought: Box<SoughtEntry>,
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

/// Judges bundles against a trusted root, or several.
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
    pub fn needs_config(bundle: &Bundle, manifest: &ChartManifest, predicate_type: &str) -> bool {
        needs_config(bundle, manifest, predicate_type)
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
        if statement.predicate_type != question.predicate_type {
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
            Err(Failure::Unlogged { error, sought }) => {
                return Judgement::Unlogged { error, sought };
            }
        };
        let (named, version) = match meaning(statement, question) {
            Ok(meaning) => meaning,
            Err(error) => return refused(error),
        };
        let signer = checked.signer.clone();
        let admitted = policy.admit(&signer);
        let admitted =
            admitted.and_then(|places| policy.check_time(checked.proved_time()).map(|()| places));
        let identities = match admitted {
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
        policy.check_time(checked.proved_time())?;
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
        self.check_by_certificate(bundle, artifact, stage, now).map_err(Error::from)
    }

    /// The cryptography, by the kind of the bundle and, where a key is trusted, with that key.
    fn authenticate(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        match (policy.keys(), is_by_key(bundle)) {
            ([], true) => self.check_by_key(bundle, artifact, None, now),
            (keys, true) => self.check_by_keys(bundle, artifact, keys, now),
            ([_, ..], false) if self.trust.is_none() => Err(Failure::No(other_kind(false))),
            (_, false) => self.check_by_certificate(bundle, artifact, Stage::Complete, now),
        }
    }

    /// The same with several keys: the answer of the one that it is by, else that of the one that it claims
    /// to be by, else that of the first.
    fn check_by_keys(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        keys: &[TrustedKey],
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let id = |key: &TrustedKey| key.key.id().to_string();
        let claimed = claimed_id(bundle);
        let (likely, others): (Vec<_>, Vec<_>) =
            keys.iter().partition(|key| claimed == Some(key.key.id()));
        let (mut first, mut unlogged) = (None, None);
        for trusted in likely.into_iter().chain(others) {
            match self.check_by_key(bundle, artifact, Some(trusted), now) {
                Ok(checked) if checked.signer.key_id.as_ref() == Some(&id(trusted)) => {
                    return Ok(checked);
                }
                // Found by what the log says, with what this key may do without: the other key of the list
                // is asked by itself, with its own terms.
                Ok(checked) if keys.iter().any(|one| checked.signer.key_id == Some(id(one))) => {}
                Err(failure @ Failure::Future { .. }) => return Err(failure),
                // The right key; only one that needs no log could say more.
                answer @ Err(Failure::Unlogged { .. }) => unlogged = unlogged.or(Some(answer)),
                answer => first = first.or(Some(answer)),
            }
        }
        unlogged.or(first).unwrap_or_else(|| Err(Failure::No(other_kind(true))))
    }
}
