//! A packaged chart in a file, with its signature in a file beside it or in a registry.

use std::path::Path;

use super::notes::note;
use super::prov::{asks_for_provenance, with_provenance};
use super::{VerifyObject, VerifyRun, VerifySource};
use crate::chart::version::TagMeaning;
use crate::error::{Error, Result};
use crate::files::{off_thread, reading};
use crate::run::findings::Question;
use crate::run::packaged::read_chart;
use crate::run::report::{Chart, Outcome, Place};
use crate::run::resolve::resolve;
use crate::run::rules::{Judges, PolicySource};
use crate::store::{BundleFile, DetachedSignature, sidecars};
use crate::verify::{Match, NamedVersion, Target};

impl VerifyRun {
    pub(super) async fn file(
        &self,
        object: &VerifyObject,
        path: &Path,
        outcome: &mut Outcome,
    ) -> Result<()> {
        if object.version.is_some() {
            return Err(Error::usage("--version is for references; a file has one version"));
        }
        if self.matching == Match::ChartLayer {
            return Err(Error::usage("--match is for references; of a file only the chart counts"));
        }
        let opened = path.to_owned();
        let files = [path];
        let archive = reading(&files, move || read_chart(&opened));
        let (judges, trusted, archive) = match (&self.policy_file, &object.taken_as, &object.source)
        {
            // Where it was pushed follows from its name, which has to be read first.
            (PolicySource::Rules(_), None, VerifySource::Repository(prefix)) => {
                let archive = archive.await?;
                let pushed = prefix.chart(archive.name(), archive.version())?;
                let judges = self.grounds(&pushed, outcome)?;
                (judges, judges.trust.wait(&self.world).await?, archive)
            }
            (PolicySource::Rules(_), None, _) => {
                return Err(Error::usage(
                    "the policy has rules for references, and this is a file",
                )
                .cause("nothing says which chart it is taken for")
                .hint("--as oci://HOST/PATH"));
            }
            (PolicySource::Rules(_), Some(reference), _) => {
                let judges = self.grounds(reference, outcome)?;
                let (trusted, archive) = judges.trust.beside(&self.world, archive).await?;
                (judges, trusted, archive)
            }
            _ => {
                let (trusted, archive) = self.trust.beside(&self.world, archive).await?;
                (self.judges(), trusted, archive)
            }
        };
        let policy = judges.policy;
        check_there_is_a_registry(&judges, &object.source)?;
        outcome.trust = Some(trusted.report.clone());
        let digest = archive.digest;
        if let Some(rule) = policy.rule() {
            rule.check_digest(&digest, "chart").map_err(|error| error.at_digest(digest))?;
        }
        let named = NamedVersion {
            name: archive.metadata.name.clone(),
            version: archive.metadata.version.clone(),
        };
        outcome.chart = Some(Chart { name: named.name.clone(), version: named.version.clone() });
        outcome.chart_digest = Some(digest.to_string());
        let (name, version) = match &object.chart {
            Some(chart) => (
                Some(chart.name.as_str()),
                chart.version.as_deref().map_or(TagMeaning::NotChecked, TagMeaning::of),
            ),
            None => match &object.taken_as {
                Some(reference) => (
                    Some(reference.name()),
                    reference
                        .tag_version()
                        .as_deref()
                        .map_or(TagMeaning::NotChecked, TagMeaning::of),
                ),
                None => (None, TagMeaning::NotChecked),
            },
        };
        let mut beside = None;
        let target = Target::File { digest, named: &named };
        let question = Question::File(crate::verify::Question {
            target,
            name,
            version,
            predicate_type: &self.predicate_type,
        });
        let mut findings = self.findings(&trusted, policy, &self.predicate_type);
        match &object.source {
            VerifySource::Bundle(bundle) => {
                let (chart, named) = (path.to_owned(), bundle.clone());
                // A chart that has been read is read again only where the signature is over its bytes.
                let files = [path, bundle];
                let stores = reading(&files, move || {
                    let store = BundleFile::named(&named)?;
                    Ok((DetachedSignature::in_old_bundle(&chart, &store)?, store))
                });
                match stores.await? {
                    (Some(old), _) => {
                        self.ask(&old, Place::File, &question, &mut findings).await;
                    }
                    (None, store) => {
                        self.ask(&store, Place::File, &question, &mut findings).await;
                    }
                }
            }
            VerifySource::Detached { signature, certificate, timestamp, log } => {
                let (chart, signature) = (path.to_owned(), signature.clone());
                let (certificate, timestamp) = (certificate.clone(), timestamp.clone());
                let store = off_thread(move || {
                    let (certificate, timestamp) = (certificate.as_deref(), timestamp.as_deref());
                    DetachedSignature::named(&chart, &signature, certificate, timestamp)
                });
                let store = store.await?;
                findings = findings.searching(log.clone());
                self.ask(&store, Place::File, &question, &mut findings).await;
            }
            VerifySource::Beside => {
                let chart = path.to_owned();
                let [first, second] = sidecars(path);
                let beside = move || BundleFile::beside(&chart);
                let store = reading(&[&first, &second], beside).await?;
                self.ask(&store, Place::File, &question, &mut findings).await;
            }
            VerifySource::Repository(prefix) => {
                let reference = prefix.chart(&named.name, &named.version)?;
                let resolved = resolve(&self.world, self.places(), &reference, None, None).await?;
                outcome.signature_repository = resolved.signature_repository();
                if let Some(rule) = policy.rule() {
                    rule.check_manifest(&resolved.manifest)
                        .map_err(|error| error.at_digest(resolved.manifest.digest))?;
                }
                self.ask_registry(&resolved, None, &question, &mut findings).await;
                beside = Some(resolved);
            }
        }
        let retry = path.display().to_string();
        let concluded = self.conclude(findings, outcome, &retry);
        let looked_at = match asks_for_provenance(&concluded) {
            false => Ok(None),
            true => self.provenance_beside(judges.prov, path, digest, &named, outcome).await,
        };
        let looked_at = self.in_the_log(&trusted, looked_at, outcome).await;
        let accepted = with_provenance(judges.prov, concluded, looked_at, outcome)
            .map_err(|error| error.at_digest(digest))?;
        if let Some(resolved) = &beside {
            self.require(&trusted, &judges, resolved, &question, outcome)
                .await
                .map_err(|error| error.at_digest(digest))?;
        }
        note(&accepted, false, outcome);
        self.keep(object, &accepted, outcome)
    }
}

/// Statements that have to be there too are looked for in a registry, and a file by itself has none.
fn check_there_is_a_registry(judges: &Judges<'_>, source: &VerifySource) -> Result<()> {
    match (judges.required, source) {
        ([], _) | (_, VerifySource::Repository(_)) => Ok(()),
        ([first, ..], _) => Err(Error::usage("one bundle holds one statement")
            .cause(format!("{first} is required too, and is looked for in the registry"))
            .hint("--repository oci://HOST/PATH")),
    }
}
