//! Helm's provenance file in a run of `verify`: which one it is, and what it adds to the verdict of Sigstore.

use std::path::Path;

use super::super::findings::Accepted;
use super::super::provenance::{ProvCheck, ProvSubject, only_provenance};
use super::super::push::{prov_path, read_prov};
use super::super::report::{Chart, Outcome};
use super::super::resolve::Resolved;
use super::super::trust::Trusted;
use super::VerifyRun;
use crate::chart::Digest;
use crate::error::{Class, Reason, Result};
use crate::files::reading;
use crate::verify::{NamedVersion, VerifiedProvenance};

impl VerifyRun {
    /// Where provenance has to be in the log too, looks for it there.
    ///
    /// # Errors
    /// Refused (`not-logged`), when it is not there; undecided, when that stayed open.
    pub(super) async fn in_the_log(
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
    pub(super) async fn provenance_of(
        &self,
        check: &ProvCheck,
        resolved: &Resolved,
        concluded: &Result<Vec<Accepted>>,
        outcome: &mut Outcome,
    ) -> Result<Option<VerifiedProvenance>> {
        let covered = concluded.as_ref().is_ok_and(|accepted| {
            !accepted.is_empty() && accepted.iter().all(|one| one.verified.covered().prov)
        });
        if !check.reads(resolved.manifest.prov.is_some(), covered)? {
            return Ok(None);
        }
        self.world.enter("reading the provenance");
        let signed =
            concluded.as_ref().ok().and_then(|accepted| accepted.first()?.verified.named());
        let (named, prov) = match resolved.named_prov(signed).await {
            Ok(Some((named, prov))) => (Ok(named), Ok(prov)),
            Ok(None) => return Ok(None),
            Err(error) => (Err(error.clone()), Err(error)),
        };
        let digest = &resolved.manifest.chart.digest;
        let chart = named
            .as_ref()
            .ok()
            .map(|named| Chart { name: named.name.clone(), version: named.version.clone() });
        let subject = ProvSubject { digest, named, now: self.world.now() };
        let verified = check.judge(prov, subject, outcome).await?;
        // The provenance names them too, and was signed.
        outcome.chart = outcome.chart.take().or(chart.filter(|_| verified.is_some()));
        Ok(verified)
    }

    /// The same of `FILE.prov`.
    pub(super) async fn provenance_beside(
        &self,
        check: &ProvCheck,
        path: &Path,
        digest: Digest,
        named: &NamedVersion,
        outcome: &mut Outcome,
    ) -> Result<Option<VerifiedProvenance>> {
        let chart = path.to_owned();
        let prov = reading(&[&prov_path(path)], move || read_prov(&chart)).await;
        let present = !matches!(prov, Ok(None));
        if !check.reads(present, false)? {
            return Ok(None);
        }
        let named = Ok(named.clone());
        let subject = ProvSubject { digest: &digest, named, now: self.world.now() };
        check.judge(prov.map(Option::unwrap_or_default), subject, outcome).await
    }
}

/// Whether provenance could still say anything: not beside a no, or what is open.
pub(super) fn asks_for_provenance(concluded: &Result<Vec<Accepted>>) -> bool {
    concluded.as_ref().map_or_else(|error| error.class == Class::Unsigned, |_| true)
}

/// The verdict of Sigstore, and what provenance adds to it: a no, where it decides; a yes only where there is no
/// signature at all, and a policy is content with provenance.
pub(super) fn with_provenance(
    check: &ProvCheck,
    concluded: Result<Vec<Accepted>>,
    looked_at: Result<Option<VerifiedProvenance>>,
    outcome: &mut Outcome,
) -> Result<Vec<Accepted>> {
    match (concluded, looked_at) {
        (Ok(accepted), Ok(_)) => Ok(accepted),
        (_, Err(error)) => Err(error),
        (Err(unsigned), Ok(Some(_))) if unsigned.class == Class::Unsigned => {
            let error = only_provenance(unsigned, outcome);
            if !check.accept {
                return Err(error);
            }
            outcome.reason = Some(Reason::ProvenanceOnly.as_str());
            outcome.message = Some(error.what);
            Ok(Vec::new())
        }
        (Err(error), Ok(_)) => Err(error),
    }
}
