//! The order of signing: what can be taken back first, what is public last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::lock::Mutex;
use jiff::{SignedDuration, Timestamp};
use sigstore_bundle::{BundleV03, VerificationMaterialV03};
use sigstore_crypto::{KeyPair, SigningScheme, verify_signature_prehashed};
use sigstore_types::bundle::{MessageDigest, MessageSignature};
use sigstore_types::{
    Bundle, DsseEnvelope, DsseSignature, HashAlgorithm, KeyId, PayloadBytes, Sha256Hash,
    SignatureBytes, SignatureContent,
};
use tokio::time::Instant;
use url::Url;

use super::fulcio::{self, Certificate};
use super::identity::TokenSource;
use super::rekor::{self, Record};
use super::service::Service;
use super::services::{KeyServices, RekorVersion, Services};
use super::signing_key::SigningKey;
use super::timestamp;
use super::token::{Token, bad};
use crate::chart::Digest;
use crate::error::{Error, Reason, Result};
use crate::net;
use crate::verify::{
    self, Artifact, LogCheck, PAYLOAD_TYPE, PublicKey, Stage, TrustedKey, Verified, Verifier,
};

/// A certificate with less of its ten minutes left than this is replaced before it signs again: log and
/// timestamp have to come while it is valid.
const RENEW_BEFORE_END: SignedDuration = SignedDuration::from_secs(60);
/// How long timestamp and log may take in all where no certificate sets an end.
const KEY_SERVICES_TIME: Duration = Duration::from_secs(600);
/// How long a run waits, in all, for a clock that is behind those of the services.
const MAX_WAIT: SignedDuration = SignedDuration::from_secs(60);

/// The question that only a verifier answers: is this bundle, which we made, a good one?
///
/// A trait, so that the order of signing can be tested with a judge that says no at one stage.
pub trait OwnBundleCheck {
    /// What it knows of a bundle that it accepted.
    type Verified;

    /// Judges `bundle` over `artifact` at `now`; before the log, a missing log entry is no fault.
    ///
    /// # Errors
    /// Whatever a verifier of this bundle would say.
    fn verify_own(
        &self,
        bundle: &Bundle,
        artifact: &Digest,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Self::Verified>;
}

impl OwnBundleCheck for Verifier {
    type Verified = Verified;

    fn verify_own(
        &self,
        bundle: &Bundle,
        artifact: &Digest,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified> {
        let bundle = verify::Bundle::from_inner(bundle.clone())?;
        self.verify_own(&bundle, Artifact::Digest(*artifact), stage, now)
    }
}

/// A verifier of what a key signed.
pub struct KeyCheck<'a> {
    /// The verifier.
    pub verifier: &'a Verifier,
    /// The public half of the key, and whether it is logged.
    pub key: &'a TrustedKey,
}

impl OwnBundleCheck for KeyCheck<'_> {
    type Verified = Verified;

    fn verify_own(
        &self,
        bundle: &Bundle,
        artifact: &Digest,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified> {
        let bundle = verify::Bundle::from_inner(bundle.clone())?;
        let artifact = Artifact::Digest(*artifact);
        self.verifier.verify_own_by_key(&bundle, artifact, self.key, stage, now)
    }
}

/// What to sign.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// An artifact's digest itself: a plain message signature.
    Message {
        /// The digest.
        artifact: Digest,
    },
    /// An in-toto statement, in a DSSE envelope.
    Statement {
        /// Its JSON, signed as it is.
        payload: &'a [u8],
        /// One of its subjects, for which our own bundle is verified.
        artifact: Digest,
    },
}

/// A finished, verified bundle.
#[derive(Clone, Debug)]
pub struct Signed<V = Verified> {
    /// The bundle (Sigstore bundle format v0.3).
    pub bundle: Bundle,
    /// Its JSON: the bytes to attach.
    pub json: Vec<u8>,
    /// The certificate in it; none where a key signed.
    pub certificate: Option<Certificate>,
    /// What the verifier says of it.
    pub verified: V,
}

/// Makes bundles with one identity, and, as long as it lives, with one key and certificate; or with a key
/// that somebody keeps.
pub struct Signer {
    net: net::Client,
    services: KeyServices,
    by: By,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    waited: Mutex<SignedDuration>,
}

/// Who signs.
enum By {
    Identity(Box<Keyless>),
    Key(Box<dyn SigningKey>),
}

/// What it takes to get certificates for an identity.
struct Keyless {
    fulcio: Url,
    source: TokenSource,
    audience: String,
    state: Mutex<State>,
    /// How often there was no certificate.
    failures: AtomicU64,
}

struct State {
    token: Token,
    issued: Option<Arc<Issued>>,
    /// Why there was no certificate the last time that there was none.
    failed: Option<Error>,
}

struct Issued {
    key: KeyPair,
    certificate: Certificate,
}

/// What a bundle says it was signed with.
enum With<'a> {
    Certificate(&'a Certificate),
    Key(&'a PublicKey),
}

impl With<'_> {
    fn logged(&self) -> rekor::SignedWith<'_> {
        match self {
            Self::Certificate(certificate) => rekor::SignedWith::Certificate(certificate.der()),
            Self::Key(key) => rekor::SignedWith::Key(key),
        }
    }

    fn certificate(&self) -> Option<Certificate> {
        match self {
            Self::Certificate(certificate) => Some((*certificate).clone()),
            Self::Key(_) => None,
        }
    }
}

/// What signs: the key of this run's certificate, or one that somebody keeps.
#[derive(Clone, Copy)]
enum Pen<'a> {
    Own(&'a KeyPair),
    Kept(&'a dyn SigningKey),
}

impl Pen<'_> {
    async fn sign_digest(self, digest: Digest) -> Result<SignatureBytes> {
        match self {
            Self::Own(pair) => pair
                .sign_digest(&Sha256Hash::new(digest.bytes()))
                .map_err(|error| own_fault(error.to_string())),
            Self::Kept(key) => {
                let signature = SignatureBytes::new(key.sign_digest(digest.bytes()).await?);
                // Whoever keeps it may have changed it; the log would remember that for ever.
                verify_signature_prehashed(
                    key.public().der(),
                    &digest.bytes(),
                    &signature,
                    SigningScheme::EcdsaP256Sha256,
                )
                .map_err(|_| {
                    Error::refused(Reason::BadSignature, "signature is not by the key")
                        .cause(format!("it does not verify with {}", key.public().id()))
                })?;
                Ok(signature)
            }
        }
    }
}

/// A signature and what it is over.
enum Made {
    Envelope(DsseEnvelope),
    Message { digest: Sha256Hash, signature: SignatureBytes },
}

impl Signer {
    /// A signer for the identity in `token`, which came from `source` and has to be meant for `audience`
    /// ([`AUDIENCE`](super::AUDIENCE), unless an instance of one's own has another). Nothing is asked yet.
    pub fn new(
        net: net::Client,
        services: Services,
        source: TokenSource,
        token: Token,
        audience: &str,
    ) -> Self {
        let Services { fulcio, log, timestamp } = services;
        let services = KeyServices { log: Some(log), timestamp };
        let state = Mutex::new(State { token, issued: None, failed: None });
        let failures = AtomicU64::new(0);
        let audience = audience.to_owned();
        let keyless = Keyless { fulcio, source, audience, state, failures };
        Self::by(net, services, By::Identity(Box::new(keyless)))
    }

    /// A signer with a key that somebody keeps; without a log in `services` nothing becomes public.
    pub fn with_key(
        net: net::Client,
        services: KeyServices,
        key: impl SigningKey + 'static,
    ) -> Self {
        Self::by(net, services, By::Key(Box::new(key)))
    }

    fn by(net: net::Client, services: KeyServices, by: By) -> Self {
        let waited = Mutex::new(SignedDuration::ZERO);
        Self { net, services, by, clock: Box::new(Timestamp::now), waited }
    }

    /// The key that signs, and whether what it signs is logged; none where an identity signs.
    pub fn key(&self) -> Option<TrustedKey> {
        let By::Key(key) = &self.by else { return None };
        let logged = self.services.log.is_some();
        let log = if logged { LogCheck::Required } else { LogCheck::Ignored };
        Some(TrustedKey { key: key.public().clone(), log })
    }

    /// Whether what it signs can be written as a legacy signature too: with the promise of a log, which only
    /// Rekor v1 gives, or by a key without any log.
    pub fn makes_legacy(&self) -> bool {
        self.services.log.as_ref().is_none_or(|log| log.version == RekorVersion::V1)
    }

    /// The certificate that signs now: the one of this run, or a new one where there is none or it nears
    /// its end. None where a key signs.
    ///
    /// # Errors
    /// Usage (`bad-token`), when the token does not serve or the authority refuses it; refused, when the
    /// certificate is not for our key and identity; undecided, when the authority does not serve or the
    /// clock is behind by more than can be waited for.
    pub async fn certificate(&self) -> Result<Option<Certificate>> {
        Ok(match &self.by {
            By::Identity(keyless) => Some(self.issued(keyless).await?.certificate.clone()),
            By::Key(_) => None,
        })
    }

    /// Signs, timestamps, logs and verifies.
    ///
    /// Nothing reaches the public log before `check` has accepted the timestamped bundle; without a
    /// timestamp authority, before the certificate was found to be the one that was asked for.
    ///
    /// # Errors
    /// As [`Signer::certificate`]; undecided, when a service does not serve while the certificate lasts;
    /// and what `check` says.
    pub async fn sign<C: OwnBundleCheck>(
        &self,
        content: Content<'_>,
        check: &C,
    ) -> Result<Signed<C::Verified>> {
        let issued;
        let (key, with, lasts) = match &self.by {
            By::Identity(keyless) => {
                issued = self.issued(keyless).await?;
                let left = issued.certificate.not_after().duration_since(self.now());
                let left = Duration::try_from(left).unwrap_or_default();
                (Pen::Own(&issued.key), With::Certificate(&issued.certificate), left)
            }
            By::Key(key) => (Pen::Kept(&**key), With::Key(key.public()), KEY_SERVICES_TIME),
        };
        let deadline = Instant::now() + lasts;

        let (made, artifact) = Made::sign(content, key).await?;
        let mut bundle = made.bundle(&with);
        if let Some(url) = &self.services.timestamp {
            let service = Service { net: &self.net, what: "cannot get a timestamp" };
            let stamp =
                timestamp::stamp(&service, url, made.signature().as_bytes(), deadline).await?;
            self.wait_until(stamp.time).await?;
            bundle = bundle.with_rfc3161_timestamp(stamp.token);
            let so_far = bundle.clone().into_bundle();
            check.verify_own(&so_far, &artifact, Stage::BeforeLog, self.now())?;
        }

        if let Some(log) = &self.services.log {
            let service = Service { net: &self.net, what: "cannot log the signature" };
            let record = Record { signer: with.logged(), signed: made.logged() };
            let entry = rekor::record(&service, log, &record, deadline).await?;
            if let Some(time) = entry.integrated_time {
                self.wait_until(time).await?;
            }
            bundle = bundle.with_tlog_entry(entry);
        }
        let bundle = bundle.into_bundle();
        let verified = check.verify_own(&bundle, &artifact, Stage::Complete, self.now())?;
        let json = bundle.to_json().map_err(|error| own_fault(error.to_string()))?.into_bytes();
        let certificate = with.certificate();
        Ok(Signed { bundle, json, certificate, verified })
    }

    async fn issued(&self, keyless: &Keyless) -> Result<Arc<Issued>> {
        let Keyless { state, failures, .. } = keyless;
        let failed_before = failures.load(Ordering::Relaxed);
        // Held while the authority is asked, so that statements signed side by side share one answer.
        let mut state = state.lock().await;
        if let Some(issued) = &state.issued
            && issued.certificate.not_after().duration_since(self.now()) > RENEW_BEFORE_END
        {
            return Ok(Arc::clone(issued));
        }
        // They share a no too: an authority that is down is not asked once for each of them.
        if failures.load(Ordering::Relaxed) != failed_before
            && let Some(error) = &state.failed
        {
            return Err(error.clone());
        }
        let issued = self.renew(keyless, &mut state).await;
        if let Err(error) = &issued {
            state.failed = Some(error.clone());
            failures.fetch_add(1, Ordering::Relaxed);
        }
        issued
    }

    async fn renew(&self, keyless: &Keyless, state: &mut State) -> Result<Arc<Issued>> {
        let Keyless { fulcio, source, audience, .. } = keyless;
        let stale = state.issued.is_some() || state.token.check(self.now(), audience).is_err();
        if stale && source.renews() {
            let token = source.resolve(&self.net, audience).await?;
            if !token.is_of_same_identity(&state.token) {
                return Err(bad("the identity changed during the run")
                    .on(source.label())
                    .expected_found(state.token.identity(), token.identity()));
            }
            state.token = token;
        }
        let issued = Arc::new(self.issue(fulcio, source, &state.token, audience).await?);
        state.issued = Some(Arc::clone(&issued));
        Ok(issued)
    }

    async fn issue(
        &self,
        url: &Url,
        source: &TokenSource,
        token: &Token,
        audience: &str,
    ) -> Result<Issued> {
        token.check(self.now(), audience).map_err(|error| error.on(source.label()))?;
        let key = KeyPair::generate_ecdsa_p256().map_err(|error| own_fault(error.to_string()))?;
        let public = key.public_key_der().map_err(|error| own_fault(error.to_string()))?;
        let service = Service { net: &self.net, what: "cannot get a certificate" };
        let certificate = fulcio::certify(&service, url, token, &key).await?;
        certificate.check(&public, &token.expected())?;
        self.wait_until(certificate.not_before()).await?;
        if certificate.not_after().duration_since(self.now()) <= SignedDuration::ZERO {
            return Err(service.malformed(
                url,
                format!("its certificate ended at {}, before our clock", certificate.not_after()),
            ));
        }
        Ok(Issued { key, certificate })
    }

    /// Waits for our clock to pass a time that a service says it is.
    async fn wait_until(&self, time: Timestamp) -> Result<()> {
        let mut waited = self.waited.lock().await;
        loop {
            let behind = time.duration_since(self.now());
            if behind <= SignedDuration::ZERO {
                return Ok(());
            }
            if *waited + behind > MAX_WAIT {
                return Err(Error::undecided(
                    Reason::ClockBehind,
                    format!("clock is {} s behind", behind.as_secs().max(1)),
                ));
            }
            *waited += behind;
            tokio::time::sleep(Duration::try_from(behind).unwrap_or_default()).await;
        }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("services", &self.services).finish_non_exhaustive()
    }
}

impl Made {
    async fn sign(content: Content<'_>, key: Pen<'_>) -> Result<(Self, Digest)> {
        match content {
            Content::Message { artifact } => {
                let signature = key.sign_digest(artifact).await?;
                let digest = Sha256Hash::new(artifact.bytes());
                Ok((Self::Message { digest, signature }, artifact))
            }
            Content::Statement { payload, artifact } => {
                let encoded = sigstore_types::dsse::pae(PAYLOAD_TYPE, payload);
                let signature = key.sign_digest(Digest::of(&encoded)).await?;
                let envelope = DsseEnvelope::new(
                    PAYLOAD_TYPE,
                    PayloadBytes::from_bytes(payload),
                    DsseSignature::new(signature, KeyId::default()),
                );
                Ok((Self::Envelope(envelope), artifact))
            }
        }
    }

    fn signature(&self) -> &SignatureBytes {
        match self {
            Self::Envelope(envelope) => &envelope.signature.sig,
            Self::Message { signature, .. } => signature,
        }
    }

    fn bundle(&self, with: &With<'_>) -> BundleV03 {
        let content = match self {
            Self::Envelope(envelope) => SignatureContent::DsseEnvelope(envelope.clone()),
            Self::Message { digest, signature } => {
                let digest = MessageDigest::new(HashAlgorithm::Sha2256, (*digest).into());
                let message = MessageSignature::new(signature.clone()).with_message_digest(digest);
                SignatureContent::MessageSignature(message)
            }
        };
        let material = match with {
            With::Certificate(certificate) => {
                VerificationMaterialV03::Certificate(certificate.der().clone())
            }
            With::Key(key) => VerificationMaterialV03::PublicKey { hint: key.hint() },
        };
        BundleV03::new(material, content)
    }

    fn logged(&self) -> rekor::Signed<'_> {
        match self {
            Self::Envelope(envelope) => rekor::Signed::Envelope(envelope),
            Self::Message { digest, signature } => {
                rekor::Signed::Message { digest: *digest, signature }
            }
        }
    }
}

/// What should not fail did: no randomness, or a bug of ours.
fn own_fault(cause: String) -> Error {
    Error::refused(Reason::BadSignature, "cannot sign").cause(cause)
}

#[cfg(test)]
mod tests;
