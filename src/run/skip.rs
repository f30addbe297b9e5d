//! `sign --skip-if-signed`: leaves a chart alone that is signed already, as those who are named would sign it.

use std::path::{Path, PathBuf};

use super::report::{Outcome, Verdict};
use super::resolve::{ChartName, Resolved};
use super::verify::{VerifyObject, VerifyRun, VerifySource};
use crate::chart::{Archive, Argument, ChartReference};
use crate::error::Result;

/// Who signs charts so that they need no other signature.
#[derive(Debug)]
pub struct SkipIfSigned {
    /// How that is verified.
    pub run: VerifyRun,
}

impl SkipIfSigned {
    /// The outcome of verifying the chart behind `resolved`, if it is signed as a whole. By its digest: the
    /// tag was resolved once. Any other answer, a place that does not answer included, is none: then it is
    /// signed, and a second signature does no harm.
    pub(super) async fn in_registry(
        &self,
        resolved: &Resolved,
        archive: &Archive,
    ) -> Result<Option<Outcome>> {
        let subjects = resolved.subjects();
        let outermost = subjects.first().map_or(resolved.manifest.digest, |first| first.digest);
        let reference = ChartReference::parse(&resolved.reference.with_digest(&outermost))?;
        let chart = ChartName {
            name: archive.name().to_owned(),
            version: Some(archive.version().to_owned()),
        };
        Ok(self
            .whole(VerifyObject {
                argument: Argument::Reference(reference),
                version: None,
                taken_as: None,
                chart: Some(chart),
                source: VerifySource::Beside,
                bundle_out: None,
                weakened: Vec::new(),
            })
            .await)
    }

    /// The same of the file at `path` with the bundle at `bundle`.
    pub(super) async fn in_file(&self, path: &Path, bundle: PathBuf) -> Option<Outcome> {
        self.whole(VerifyObject {
            argument: Argument::File(path.display().to_string()),
            version: None,
            taken_as: None,
            chart: None,
            source: VerifySource::Bundle(bundle),
            bundle_out: None,
            weakened: Vec::new(),
        })
        .await
    }

    async fn whole(&self, object: VerifyObject) -> Option<Outcome> {
        let outcome = self.run.verify(&object).await;
        (outcome.verdict == Verdict::Verified && outcome.whole).then_some(outcome)
    }
}

/// Tells in `outcome`, which is one of `sign`, what was found instead of signing.
pub(super) fn leave_alone(found: Outcome, outcome: &mut Outcome) {
    outcome.already_signed = Some(true);
    outcome.signatures = found.signatures;
    outcome.looked_in = found.looked_in;
    outcome.policy = found.policy;
    outcome.prov = found.prov;
    outcome.digest_ref = found.digest_ref;
}
