//! In which formats a chart is signed, and where each of them goes.

use futures_util::future;
use jiff::Timestamp;

use super::report::{Attached as Reported, Format, Outcome, Place, SignatureReport, SubjectReport};
use super::resolve::Resolved;
use super::sign::SignRun;
use crate::chart::{Descriptor, Digest};
use crate::error::{Error, Reason, Result};
use crate::sign::{Content, KeyCheck, LegacyLayer, OwnBundleCheck, Signed, simple_signing};
use crate::store::{
    Attached, Listing, Signature, Through, attach, attach_signature, prove_write_access,
    refer_signature, survey, survey_signatures,
};
use crate::verify::{
    Artifact, Bundle, COSIGN_SIGN_PREDICATE, Stage, Statement, SubjectKind, TrustedKey, Verified,
    Verifier,
};

/// The formats that are made (`--signature-format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Making {
    /// A bundle, as a referrer.
    pub bundle: bool,
    /// A legacy signature, under the `.sig` tag.
    pub legacy: bool,
    /// The same as a referrer.
    pub referrer: bool,
    /// Whether the user asked for just these: then none may be missing.
    pub asked: bool,
}

impl Making {
    /// Bundles alone.
    pub const BUNDLE: Self = Self { bundle: true, legacy: false, referrer: false, asked: true };
}

/// What goes where: known before anything is public.
pub(super) struct Plan {
    bundles: Vec<(Descriptor, Listing)>,
    legacy: Vec<Descriptor>,
    referrers: Vec<(Descriptor, Listing)>,
}

/// What was signed.
pub(super) struct Made {
    pub(super) bundle: Option<Signed>,
    legacy: Vec<(Descriptor, LegacyLayer, Verified)>,
}

impl Made {
    /// Whether anything of it is in a log.
    pub(super) fn is_logged(&self) -> bool {
        let bundles = self.bundle.iter().map(|signed| &signed.verified);
        let mut all = bundles.chain(self.legacy.iter().map(|(_, _, verified)| verified));
        all.any(|verified| verified.log().is_some())
    }
}

impl SignRun {
    /// What is signed and attached, and who will list it: what stands against it is found out before anything
    /// is made public.
    ///
    /// # Errors
    /// Undecided: we may not write, or what was asked for cannot be kept there.
    pub(super) async fn plan(&self, resolved: &Resolved) -> Result<Plan> {
        let repository = &resolved.signatures;
        let subjects = resolved.subjects();
        let Making { bundle, legacy, referrer, asked } = self.making;
        let listed = async {
            let surveys = subjects.iter().map(|subject| survey(repository, &subject.digest));
            match bundle || referrer {
                true => future::try_join_all(surveys).await.map(Some),
                false => Ok(None),
            }
        };
        let kept = async {
            let surveys = subjects.iter();
            let surveys = surveys.map(|subject| survey_signatures(repository, &subject.digest));
            match legacy {
                true => future::try_join_all(surveys).await.map(|_| true),
                false => Ok(false),
            }
        };
        let (access, listed, kept) =
            future::join3(prove_write_access(repository), listed, kept).await;
        access?;
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) if asked || !bundle => return Err(error),
            Err(error) => {
                self.world
                    .warn(format!("{error}: no legacy signature is written beside the bundle"));
                false
            }
        };
        let listings = match listed {
            Ok(listings) => listings,
            // GitLab, for one, can list nothing. A tag of its own it takes.
            Err(error) if !asked && kept && error.reason == Reason::UnsupportedFormat => {
                self.world.warn(format!(
                    "{error}: the signature is written in the legacy format alone, which such a registry takes"
                ));
                None
            }
            Err(error) => return Err(error),
        };
        for listing in listings.iter().flatten() {
            if let Listing::Unknown(error) = listing {
                self.world
                    .warn(format!("{error}: the signature is listed under the fallback tag too"));
            }
        }
        let listed: Vec<_> = subjects.iter().cloned().zip(listings.into_iter().flatten()).collect();
        Ok(Plan {
            referrers: if referrer { listed.clone() } else { Vec::new() },
            bundles: if bundle { listed } else { Vec::new() },
            legacy: if kept { subjects } else { Vec::new() },
        })
    }

    /// Signs what `plan` says, with one certificate.
    pub(super) async fn make_all(
        &self,
        plan: &Plan,
        resolved: &Resolved,
        statement: &Statement,
    ) -> Result<Made> {
        let bundle = async {
            match plan.bundles.is_empty() {
                true => Ok(None),
                false => self.make(statement, resolved.manifest.digest).await.map(Some),
            }
        };
        let reference = resolved.repository.name();
        let legacy = plan.legacy.iter().map(|subject| async {
            let (layer, verified) = self.make_legacy(&reference, &subject.digest).await?;
            Ok((subject.clone(), layer, verified))
        });
        let (bundle, legacy) = future::try_join(bundle, future::try_join_all(legacy)).await?;
        Ok(Made { bundle, legacy })
    }

    /// Makes a bundle over `statement`, judged for `artifact`, one of its subjects.
    pub(super) async fn make(&self, statement: &Statement, artifact: Digest) -> Result<Signed> {
        let payload = match &self.attestation {
            Some(said) => statement.attesting(&said.predicate_type, &said.predicate)?,
            None => statement.to_bytes()?,
        };
        let content = Content::Statement { payload: &payload, artifact };
        match &self.signer.key() {
            Some(key) => {
                let check = KeyCheck { verifier: &self.verifier, key };
                self.signer.sign(content, &check).await
            }
            None => self.signer.sign(content, &*self.verifier).await,
        }
    }

    /// Makes a legacy signature of `manifest`, and judges it as those will read it for whom it is.
    async fn make_legacy(
        &self,
        reference: &str,
        manifest: &Digest,
    ) -> Result<(LegacyLayer, Verified)> {
        let payload = simple_signing(reference, manifest, &self.annotations);
        let content = Content::Message { artifact: Digest::of(&payload) };
        let key = self.signer.key();
        let check = OverPayload { payload: &payload, verifier: &self.verifier, key: key.as_ref() };
        let signed = self.signer.sign(content, &check).await?;
        let layer = LegacyLayer::of(payload.clone(), &signed)?;
        let read = layer.as_read().to_bundle()?;
        let verified = check.judge(&read, Stage::Complete, self.world.now())?;
        Ok((layer, verified))
    }

    /// Attaches what was made, as `plan` says, and sees to it that it stays. What has been attached stands in
    /// `outcome` in any case.
    pub(super) async fn attach_all(
        &self,
        plan: &Plan,
        made: Made,
        resolved: &Resolved,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let repository = &resolved.signatures;
        let mut attached: Vec<Attached> = Vec::new();
        let mut failed = None;
        if let Some(signed) = &made.bundle {
            let now = self.world.now();
            let kind = self.attestation.as_ref().map(|said| said.predicate_type.as_str());
            let kind = kind.unwrap_or(COSIGN_SIGN_PREDICATE);
            attached.extend(attach(repository, &plan.bundles, &signed.json, kind, now).await?);
            let first = attached.first().map(|one| (place_of(one.through), one.digest));
            let reported = first.map(|(place, digest)| {
                let (kind, subject) = match &resolved.manifest.index {
                    Some(index) => (SubjectKind::Index, index.digest),
                    None => (SubjectKind::Manifest, resolved.manifest.digest),
                };
                let mut made =
                    report(Format::Bundle, place, &digest, (kind, &subject), &signed.verified);
                if let Some(said) = &self.attestation {
                    made.format = Some(Format::Attestation);
                    made.predicate_type = Some(said.predicate_type.clone());
                }
                made
            });
            outcome.signatures.extend(reported);
        }
        // Whoever asked for nothing has a bundle, which most read.
        let lenient = made.bundle.is_some() && !self.making.asked;
        for (subject, layer, verified) in made.legacy {
            let LegacyLayer { payload, annotations } = layer;
            let signature = Signature { payload, annotations };
            let refers = plan.referrers.iter().find(|(one, _)| one.digest == subject.digest);
            match attach_signature(repository, subject.digest, signature.clone()).await {
                Ok(one) => {
                    let kind = match subject.digest == resolved.manifest.digest {
                        true => SubjectKind::Manifest,
                        false => SubjectKind::Index,
                    };
                    let subject = (kind, &subject.digest);
                    let place = Place::CosignTag;
                    let made = report(Format::Legacy, place, &one.digest, subject, &verified);
                    outcome.signatures.push(made);
                    attached.push(one);
                }
                Err(error) if lenient => self.no_legacy(&error),
                Err(error) => failed = failed.or(Some(error)),
            }
            if let Some((subject, listing)) = refers {
                match refer_signature(repository, subject, listing, signature).await {
                    Ok(one) => attached.push(one),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        outcome.attached = Some(attached.iter().map(reported).collect());
        if attached.iter().any(|one| !one.is_settled()) {
            self.world.enter("waiting for the signature to stay listed");
            self.world.settle();
            let places: Vec<_> = attached.iter().map(|one| one.through).collect();
            let settled = future::join_all(attached.iter_mut().map(|one| one.settle())).await;
            for (through, settled) in places.into_iter().zip(settled) {
                match settled {
                    Ok(()) => {}
                    Err(error) if lenient && through == Through::CosignTag => {
                        self.no_legacy(&error);
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn no_legacy(&self, error: &Error) {
        self.world.warn(format!("{error}: the bundle is attached, and no legacy signature"));
    }
}

/// Judges a bundle of ours over a payload.
struct OverPayload<'a> {
    payload: &'a [u8],
    verifier: &'a Verifier,
    key: Option<&'a TrustedKey>,
}

impl OverPayload<'_> {
    fn judge(&self, bundle: &Bundle, stage: Stage, now: Timestamp) -> Result<Verified> {
        let artifact = Artifact::Bytes(self.payload);
        match self.key {
            Some(key) => self.verifier.verify_own_by_key(bundle, artifact, key, stage, now),
            None => self.verifier.verify_own(bundle, artifact, stage, now),
        }
    }
}

impl OwnBundleCheck for OverPayload<'_> {
    type Verified = Verified;

    fn verify_own(
        &self,
        bundle: &sigstore_types::Bundle,
        _: &Digest,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Verified> {
        let bundle = Bundle::of_message(bundle.clone(), self.payload.to_vec())?;
        self.judge(&bundle, stage, now)
    }
}

fn place_of(through: Through) -> Place {
    match through {
        Through::Api => Place::Referrers,
        Through::CosignTag => Place::CosignTag,
        Through::FallbackTag => Place::FallbackTag,
    }
}

fn reported(one: &Attached) -> Reported {
    Reported { place: place_of(one.through), digest: one.digest.to_string() }
}

fn report(
    format: Format,
    place: Place,
    digest: &Digest,
    (kind, subject): (SubjectKind, &Digest),
    verified: &Verified,
) -> SignatureReport {
    let subject = SubjectReport { kind: kind.as_str(), digest: subject.to_string() };
    SignatureReport::of_made(format, place, digest, subject, verified)
}
