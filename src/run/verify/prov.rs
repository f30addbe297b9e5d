//! Helm's provenance file in a run of `verify`: which one it is, and what it adds to the verdict of Sigstore.

use std::path::Path;

use super::super::findings::Accepted;
use super::super::provenance::{ProvCheck, ProvSubject, only_provenance};
use super::super::push::{prov_path, read_prov};
use super::super::reading;
use super::super::report::{Chart, Outcome};
use super::super::resolve::Resolved;
use super::VerifyRun;
use crate::chart::Digest;
use crate::error::{Class, Error, Reason, Result};
use crate::verify::NamedVersion;

impl VerifyRun {
    /// Looks at the provenance layer of a chart. Answers whether its PGP signature holds.
    pub(super) async fn provenance_of(
        &self,
        check: &ProvCheck,
        resolved: &Resolved,
        concluded: &Result<Vec<Accepted>>,
        outcome: &mut Outcome,
    ) -> Result<bool> {
        let covered = concluded.as_ref().is_ok_and(|accepted| {
            !accepted.is_empty() && accepted.iter().all(|one| one.verified.covered().prov)
        });
        if !check.reads(resolved.manifest.prov.is_some(), covered)? {
            return Ok(false);
        }
        self.world.enter("reading the provenance");
        let signed =
            concluded.as_ref().ok().and_then(|accepted| accepted.first()?.verified.named());
        // What is asked for, in the words of the chart itself.
        let named = match signed {
            Some(named) => Ok(named.clone()),
            None => resolved.config().await,
        };
        let read = async {
            let named = named?;
            if named.name != resolved.name || !resolved.version.admits(&named.version) {
                return Err(Error::refused(Reason::WrongChart, "wrong chart").expected_found(
                    format!("{} {}", resolved.name, resolved.version),
                    format!("{} {}  (config)", named.name, named.version),
                ));
            }
            let prov = resolved.prov().await?.map(|bytes| bytes.to_vec()).unwrap_or_default();
            Ok((named, prov))
        };
        let (named, prov) = match read.await {
            Ok((named, prov)) => (Ok(named), Ok(prov)),
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
        outcome.chart = outcome.chart.take().or(chart.filter(|_| verified));
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
    ) -> Result<bool> {
        let chart = path.to_owned();
        let prov = reading(&[&prov_path(path)], move || read_prov(&chart)).await;
        let present = !matches!(prov, Ok(None));
        if !check.reads(present, false)? {
            return Ok(false);
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
    looked_at: Result<bool>,
    outcome: &mut Outcome,
) -> Result<Vec<Accepted>> {
    match (concluded, looked_at) {
        (Ok(accepted), Ok(_)) => Ok(accepted),
        (_, Err(error)) => Err(error),
        (Err(unsigned), Ok(true)) if unsigned.class == Class::Unsigned => {
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
