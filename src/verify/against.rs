//! One bundle against one trusted root: the cryptography, by the Sigstore crate, and what it leaves to ask.

use der::{Decode, Encode};
use jiff::Timestamp;
use sigstore_types::{DerCertificate, KindVersion, TransparencyLogEntry};
use sigstore_verify::{
    Error as CrateError, TransparencyLogError, VerificationPolicy, VerificationResult,
};
use x509_cert::Certificate;

use super::bundle::Bundle;
use super::certificate::{self, Claims, holder_of};
use super::deprecated::check_pairs;
use super::key::verify_message;
use super::public_key::{PublicKey, is_by_key};
use super::refusal::{self, Failure, explain};
use super::signer::Signer;
use super::sought::SoughtEntry;
use super::trust_root::Root;
use super::verifier::{Artifact, LogRecord, Stage, Verified, Verifier};
use crate::error::{Error, Reason, Result};

/// What a signature by a certificate has to prove beside the certificate. It is read from the root, and
/// never from the bundle: what an instance has, all of its signatures have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demands {
    /// An entry in a transparency log. Where the instance has no log, a timestamp by one of its authorities.
    pub(super) log: bool,
    /// A certificate timestamp (SCT) by a certificate log.
    pub(super) sct: bool,
}

/// The key in a certificate, where it is of a kind that is verified here; else the certificate is judged later.
fn key_of(leaf: &DerCertificate) -> Option<PublicKey> {
    let leaf = Certificate::from_der(leaf.as_bytes()).ok()?;
    PublicKey::from_spki(leaf.tbs_certificate.subject_public_key_info.to_der().ok()?).ok()
}

impl Verifier {
    /// Judges a bundle with a certificate.
    pub(super) fn check_by_certificate(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        self.with_a_root(|root| root.check_by_certificate(bundle, artifact, stage, now))
    }

    /// Asks root by root; without any, nothing is proved.
    pub(super) fn with_a_root(
        &self,
        judge: impl Fn(&Root) -> Result<Verified, Failure>,
    ) -> Result<Verified, Failure> {
        let Some(trust) = &self.trust else {
            return Err(Failure::No(Error::undecided(
                Reason::TrustUnusable,
                "log and timestamps need a trusted root",
            )));
        };
        trust.first_to_verify(judge)
    }
}

impl Root {
    fn check_by_certificate(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let Demands { log, sct } = self.demands();
        let logged = log && stage == Stage::Complete;
        // An instance that has no log may be the wrong one, which explains more than the log that is missing.
        if bundle.inner().verification_material.tlog_entries.is_empty()
            && let Some(why) = self.stranger(bundle.inner())
        {
            return Err(Failure::No(refusal::stranger(why)));
        }
        let unlogged = bundle.inner().verification_material.tlog_entries.is_empty();
        if let Some(message) = bundle.message()
            && logged
            && unlogged
        {
            // Whether it is a signature over this comes first: a log entry would not make it one.
            if let Some(key) = bundle.inner().signing_certificate().and_then(key_of) {
                verify_message(bundle, message, &key).map_err(Failure::No)?;
            }
            let error = Error::refused(Reason::BadSignature, "signature is in no transparency log")
                .cause("no log entry lies beside it, and the trusted root has a log");
            return Err(Failure::unlogged(error, SoughtEntry::by_certificate(bundle)));
        }
        let checked = match log {
            true => {
                let policy = VerificationPolicy::any_identity();
                let policy = if logged { policy } else { policy.skip_tlog_unsafe() };
                let policy = if sct { policy } else { policy.skip_sct() };
                self.crate_verify(bundle, artifact, &policy, logged, now)?
            }
            false => self.verify_without_log(bundle, artifact, sct, now)?,
        };
        // The crate proves each of these under this policy; asked again, so that a change of its
        // defaults can never become a change of ours.
        let proved = checked.certificate_verified()
            && checked.sct_verified() == sct
            && checked.tlog_verified() == logged
            && !checked.verified_timestamps().is_empty();
        if !proved {
            return Err(Failure::No(Error::refused(
                Reason::BadSignature,
                "certificate or log was not checked",
            )));
        }
        let mut verified = self.record(bundle, &checked, logged);
        // The crate reads the first e-mail address or URI, and overlooks what stands beside it.
        if let Some(leaf) = bundle.inner().signing_certificate() {
            let leaf = certificate::parse(leaf).map_err(Failure::No)?;
            let (kind, identity) = holder_of(&leaf).map_err(Failure::No)?.unzip();
            verified.signer.kind = kind;
            verified.signer.identity = identity.unwrap_or_default();
            check_pairs(&leaf).map_err(Failure::No)?;
        }
        Ok(verified)
    }

    /// The path of an instance without transparency log, such as GitHub's own: everything that is checked of
    /// any other bundle, but for the log. In its place a timestamp authority of the root has to vouch for the
    /// time, and an entry in a log that the root does not know is a contradiction, not an ornament.
    fn verify_without_log(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        sct: bool,
        now: Timestamp,
    ) -> Result<VerificationResult, Failure> {
        let material = &bundle.inner().verification_material;
        if !material.tlog_entries.is_empty() {
            let why = self.stranger(bundle.inner()).unwrap_or_else(|| {
                "it is in a transparency log, and the trusted root has none".to_owned()
            });
            return Err(Failure::No(refusal::stranger(why)));
        }
        if material.timestamp_verification_data.rfc3161_timestamps.is_empty() {
            return Err(Failure::No(
                Error::refused(Reason::BadSignature, "signature has no verified time").cause(
                    "the trusted root has no transparency log, so a timestamp has to say when it was signed",
                ),
            ));
        }
        let policy = VerificationPolicy::any_identity().skip_tlog_unsafe();
        let policy = if sct { policy } else { policy.skip_sct() };
        self.crate_verify(bundle, artifact, &policy, false, now)
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
        let result = match artifact {
            Artifact::Bytes(bytes) => self.verifier.verify(bytes, inner, policy),
            Artifact::Digest(digest) => {
                let hash = sigstore_types::Sha256Hash::new(digest.bytes());
                self.verifier.verify(hash, inner, policy)
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
                    self.check_log_windows(inner, times).map_err(Failure::No)?;
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
            Err(error) => Err(Failure::No(explain(&error, self.stranger(inner)))),
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
            true => material.tlog_entries.iter().find_map(|entry| self.log_record(entry)),
        };
        // In the crate's list timestamps, one a token, come first, and last for a key.
        let tokens = material.timestamp_verification_data.rfc3161_timestamps.len();
        let times = checked.verified_timestamps();
        let skipped = if is_by_key(bundle) { times.len().saturating_sub(tokens) } else { 0 };
        let timestamp = times.iter().skip(skipped).take(tokens).min().copied();
        let mut verified = Verified::by(signer);
        verified.log = log;
        verified.timestamp = timestamp;
        verified.sct = checked.certificate().map(|_| checked.sct_verified());
        verified.root.clone_from(&self.name);
        verified
    }

    /// What a verified entry proves about its place in a log. An index stands only under a promise
    /// (v1, whose signature covers it) or in a v2 proof; the log is the one whose key signed.
    fn log_record(&self, entry: &TransparencyLogEntry) -> Option<LogRecord> {
        let log = self.log_of(entry)?;
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
            let window = self.log_of(entry).map(|log| log.public_key.valid_for);
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
