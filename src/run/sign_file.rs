//! Signing a packaged chart by itself: no registry is asked, and the bundle lies beside the file.

use std::path::Path;

use super::packaged::read_chart;
use super::push::{prov_path, read_prov};
use super::report::{Chart, Format, Outcome, Place, SignatureReport, SubjectReport};
use super::sign::{SignObject, SignRun};
use super::skip::leave_alone;
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::files::reading;
use crate::store::{BundlePlace, bundle_path, sidecar};
use crate::verify::{Statement, SubjectKind, UnverifiedProvenance};

/// What an undecided end means from when the chart is being signed.
const SIGNING: &str = "no bundle was written";

impl SignRun {
    /// Signs the chart in the file at `path`. The statement names the chart, and `FILE.prov` where it lies beside it: no manifest is known.
    pub(super) async fn sign_file(
        &self,
        object: &SignObject,
        path: &Path,
        outcome: &mut Outcome,
    ) -> Result<()> {
        if object.version.is_some() || object.chart.is_some() {
            return Err(Error::usage("--version and --chart are for references")
                .cause("name and version of a file come from its Chart.yaml"));
        }
        if self.making.asked && self.making.legacy {
            return Err(Error::usage("a legacy signature is for a chart in a registry")
                .hint("--repository oci://HOST/PATH"));
        }
        self.world.enter("reading the chart");
        let opened = path.to_owned();
        let archive = reading(&[path], move || read_chart(&opened)).await?;
        let (name, version, digest) = (archive.name(), archive.version(), archive.digest);
        outcome.chart = Some(Chart { name: name.to_owned(), version: version.to_owned() });
        outcome.chart_digest = Some(digest.to_string());
        let beside_it = path.to_owned();
        let prov = reading(&[&prov_path(path)], move || read_prov(&beside_it)).await?;
        if let Some(prov) = &prov {
            UnverifiedProvenance::read(prov)?.names(&archive.metadata.file_name(), &digest)?;
        }
        let prov = prov.as_deref().map(Digest::of);
        outcome.prov_digest = prov.map(|prov| prov.to_string());

        let beside = sidecar(path);
        let bundle =
            object.bundle_out.as_ref().filter(|target| target.is_file()).unwrap_or(&beside);
        if let Some(skip) = &self.skip
            && let Some(found) = skip.in_file(path, bundle.clone()).await
        {
            leave_alone(found, outcome);
            return Ok(());
        }

        // That the bundle can be kept is known before anything is public.
        if object.bundle_out.is_none() && beside.is_dir() {
            return Err(Error::usage("cannot write bundle")
                .on(beside.display().to_string())
                .cause("it is a directory"));
        }
        let target = object.bundle_out.as_deref().unwrap_or(&beside);
        let file_name = format!("{name}-{version}.tgz");
        self.world.claim(&bundle_path(target, &file_name)?, object.argument.typed())?;
        let place = BundlePlace::take(target, &file_name)?;
        let may_replace = object.force || object.bundle_out.is_some();
        if place.is_taken() && !may_replace {
            return Err(exists(&place));
        }

        self.world.enter("signing");
        self.world.leaves(SIGNING);
        let mut statement = Statement::of_chart(name, version, None, &digest, prov.as_ref());
        statement.annotate(&self.annotations);
        let signed = self.make(&statement, digest).await?;
        // Somebody else's, who was faster.
        if place.is_taken() && !may_replace {
            return Err(exists(&place));
        }
        let written = place.write(&signed.json)?;
        let subject =
            SubjectReport { kind: SubjectKind::Chart.as_str(), digest: digest.to_string() };
        let digest = Digest::of(&signed.json);
        outcome.bundle_file = Some(written.display().to_string());
        outcome.signatures = vec![SignatureReport::of_made(
            Format::Bundle,
            Place::File,
            &digest,
            subject,
            &signed.verified,
        )];
        Ok(())
    }
}

fn exists(place: &BundlePlace) -> Error {
    Error::usage("bundle exists")
        .on(place.path().display().to_string())
        .cause("what it says would be lost")
        .hint("to replace it: --force; to keep it, another place: --bundle-out FILE")
}
