//! Signing: resolve, check that the chart is what it says, prove that we may write, sign, attach.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{join, try_join};

use super::World;
use super::formats::Making;
use super::packaged::read_chart;
use super::report::{Chart, Outcome, TrustReport, Verdict};
use super::resolve::{ChartName, Places, Resolved, resolve};
use super::skip::{SkipIfSigned, leave_alone};
use super::verify::describe;
use crate::chart::version::TagMeaning;
use crate::chart::{Archive, Argument, ChartReference, Digest, RepositoryPrefix, shell_word};
use crate::error::{Class, Error, Reason, Result};
use crate::files::reading;
use crate::registry::{Access, Registry};
use crate::sign::Signer;
use crate::store::{bundle_path, write_bundle};
use crate::verify::{
    NamedVersion, Statement, TITLE_ANNOTATION, UnverifiedProvenance, VERSION_ANNOTATION, Verifier,
};

/// One object to sign.
#[derive(Clone, Debug)]
pub struct SignObject {
    /// What the user named.
    pub argument: Argument,
    /// `--version`.
    pub version: Option<String>,
    /// `--chart`.
    pub chart: Option<ChartName>,
    /// Where a file was pushed.
    pub repository: Option<RepositoryPrefix>,
    /// Where the bundle is written: a file or a directory.
    pub bundle_out: Option<PathBuf>,
    /// Whether the bundle beside a file may be replaced.
    pub force: bool,
    /// Checks that the user switched off.
    pub weakened: Vec<String>,
}

/// A run of `sign`: one key and certificate for all its objects.
pub struct SignRun {
    /// Clock, progress, warnings.
    pub world: World,
    /// The registries.
    pub registry: Registry,
    /// Where the signatures of charts are put, if not beside them.
    pub signature_repository: Option<RepositoryPrefix>,
    /// The signer with its token and services.
    pub signer: Signer,
    /// The verifier that judges what we made.
    pub verifier: Arc<Verifier>,
    /// What the report says of the trusted root.
    pub trust: TrustReport,
    /// The formats that are made.
    pub making: Making,
    /// What the user says of the chart, as cosign's `-a` does.
    pub annotations: BTreeMap<String, String>,
    /// What is said instead of that the chart is signed.
    pub attestation: Option<Attestation>,
    /// Whose signatures suffice.
    pub skip: Option<SkipIfSigned>,
}

/// A statement of another kind about charts.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The kind.
    pub predicate_type: String,
    /// The predicate, a JSON object.
    pub predicate: Vec<u8>,
}

impl Attestation {
    /// Whether a statement can be made of it.
    ///
    /// # Errors
    /// Usage, when the predicate is no JSON object with distinct keys.
    pub fn check(&self) -> Result<()> {
        let any = Statement::of_chart("", "", None, &Digest::of(b""), None);
        any.attesting(&self.predicate_type, &self.predicate).map(drop)
    }
}

/// How far a chart has come: what can be said of it if the run ends undecided, or is cut off.
struct Aftermath;

impl Aftermath {
    const BEFORE: &'static str = "nothing was signed";
    const SIGNING: &'static str = "nothing was attached";
    const ATTACHING: &'static str = "signed and logged, but perhaps not attached";
    const ATTACHING_UNLOGGED: &'static str = "signed, but perhaps not attached";
}

impl SignRun {
    /// Signs one object. Every failure is an outcome.
    pub async fn sign(&self, object: &SignObject) -> Outcome {
        self.world.leaves(Aftermath::BEFORE);
        let mut outcome = self.unfinished(object.argument.typed(), &object.weakened);
        match self.try_sign(object, &mut outcome).await {
            Ok(()) => {
                outcome.verdict = Verdict::Signed;
                outcome
            }
            Err(error) => {
                outcome.aftermath = self.world.aftermath().unwrap_or(Aftermath::BEFORE);
                outcome.failed(error)
            }
        }
    }

    /// An outcome that knows nothing of the object yet, only what the run relies on.
    pub fn unfinished(&self, typed: &str, weakened: &[String]) -> Outcome {
        let mut outcome = Outcome::of_sign(typed);
        outcome.aftermath = self.world.aftermath().unwrap_or(Aftermath::BEFORE);
        outcome.trust = Some(self.trust.clone());
        outcome.weakened = weakened.to_vec();
        outcome
    }

    async fn try_sign(&self, object: &SignObject, outcome: &mut Outcome) -> Result<()> {
        let (resolved, archive, beside) = match (&object.argument, &object.repository) {
            (Argument::Reference(reference), _) => self.by_reference(object, reference).await?,
            (Argument::File(path), Some(prefix)) => {
                self.by_file(object, Path::new(path), prefix).await?
            }
            (Argument::File(path), None) => {
                return self.sign_file(object, Path::new(path), outcome).await;
            }
        };
        describe(&resolved, outcome);
        outcome.chart = Some(Chart {
            name: archive.metadata.name.clone(),
            version: archive.metadata.version.clone(),
        });
        check_chart(&resolved, &archive)
            .and_then(|()| check_config(beside.config?, &archive))
            .and_then(|()| check_prov(beside.prov?, &resolved, &archive))
            .map_err(|error| error.at_digest(resolved.manifest.digest))?;

        if let Some(skip) = &self.skip
            && let Some(found) = skip.in_registry(&resolved, &archive).await?
        {
            leave_alone(found, outcome);
            return Ok(());
        }
        let file_name = format!("{}-{}.tgz", archive.name(), archive.version());
        if let Some(target) = &object.bundle_out {
            let path = bundle_path(target, &file_name)?;
            self.world.claim(&path, object.argument.typed())?;
        }
        self.world.enter("checking write access");
        let plan = self.plan(&resolved).await?;

        let mut statement = Statement::of_chart(
            archive.name(),
            archive.version(),
            Some(&resolved.manifest),
            &resolved.manifest.chart.digest,
            resolved.manifest.prov.as_ref().map(|prov| &prov.digest),
        );
        statement.annotate(&self.annotations);
        self.world.enter("signing");
        self.world.leaves(Aftermath::SIGNING);
        let made = self.make_all(&plan, &resolved, &statement).await?;

        // Written before it is attached: what is public cannot be made again, only attached again.
        match (&object.bundle_out, &made.bundle) {
            (Some(target), Some(signed)) => {
                let path = write_bundle(target, &file_name, &signed.json)?;
                outcome.bundle_file = Some(path.display().to_string());
            }
            (Some(_), None) => self.world.warn("a legacy signature is no bundle: none is written"),
            (None, _) => {}
        }
        self.world.leaves(match made.is_logged() {
            true => Aftermath::ATTACHING,
            false => Aftermath::ATTACHING_UNLOGGED,
        });
        self.world.enter("attaching the signature");
        self.attach_all(&plan, made, &resolved, outcome).await?;
        outcome.digest_ref = Some(resolved.pinned());
        Ok(())
    }

    async fn by_reference(
        &self,
        object: &SignObject,
        reference: &ChartReference,
    ) -> Result<(Resolved, Archive, Beside)> {
        let version = object.version.as_deref();
        let resolved = self.resolve(reference, version, object.chart.as_ref()).await?;
        self.world.enter("reading the chart");
        let (archive, beside) = try_join(resolved.archive(), Beside::read(&resolved).map(Ok))
            .await
            .map_err(|error| error.at_digest(resolved.manifest.digest))?;
        Ok((resolved, archive, beside))
    }

    async fn by_file(
        &self,
        object: &SignObject,
        path: &Path,
        prefix: &RepositoryPrefix,
    ) -> Result<(Resolved, Archive, Beside)> {
        if object.version.is_some() || object.chart.is_some() {
            return Err(Error::usage("--version and --chart are for references")
                .cause("name and version of a file come from its Chart.yaml"));
        }
        let opened = path.to_owned();
        let archive = reading(&[path], move || read_chart(&opened)).await?;
        let reference = prefix.chart(archive.name(), archive.version())?;
        let resolved = self.resolve(&reference, None, None).await.map_err(|error| {
            // A registry that fails has not said that the chart is not there.
            match error.class {
                Class::NotFound => {
                    let file = shell_word(&path.display().to_string());
                    error.hint(format!("helm push {file} {}", prefix.typed))
                }
                _ => error,
            }
        })?;
        if resolved.manifest.chart.digest != archive.digest {
            return Err(Error::refused(Reason::WrongChart, "registry holds another chart")
                .expected_found(
                    format!("{}  (this file)", archive.digest),
                    format!("{}  ({})", resolved.manifest.chart.digest, resolved.words()),
                ));
        }
        let beside = Beside::read(&resolved).await;
        Ok((resolved, archive, beside))
    }

    async fn resolve(
        &self,
        reference: &ChartReference,
        version: Option<&str>,
        chart: Option<&ChartName>,
    ) -> Result<Resolved> {
        let signatures = self.signature_repository.as_ref();
        let places = Places { registry: &self.registry, access: Access::PullPush, signatures };
        resolve(&self.world, places, reference, version, chart).await
    }
}

/// What lies beside the chart in the registry and has to agree with it, as far as it could be read.
struct Beside {
    config: Result<NamedVersion>,
    prov: Result<Option<Bytes>>,
}

impl Beside {
    /// Asks for both at once.
    async fn read(resolved: &Resolved) -> Self {
        let (config, prov) = join(resolved.config(), resolved.prov()).await;
        Self { config, prov }
    }
}

/// Whether Chart.yaml says what was asked for, and what the manifest's annotations say.
fn check_chart(resolved: &Resolved, archive: &Archive) -> Result<()> {
    same("name", Reason::WrongChart, &resolved.name, "asked for", archive.name())?;
    if !resolved.version.admits(archive.version()) {
        let expected = format!("{}  (asked for)", resolved.version);
        return Err(Error::refused(Reason::WrongVersion, "version does not match")
            .expected_found(expected, format!("{}  (Chart.yaml)", archive.version())));
    }
    debug_assert!(TagMeaning::NotChecked.admits("anything"));
    let annotations = &resolved.manifest.annotations;
    if let Some(title) = annotations.get(TITLE_ANNOTATION) {
        same("name", Reason::WrongChart, title, "annotation", archive.name())?;
    }
    if let Some(version) = annotations.get(VERSION_ANNOTATION) {
        same("version", Reason::WrongVersion, version, "annotation", archive.version())?;
    }
    Ok(())
}

/// Whether the config blob, which Helm shows without reading the chart, says the same.
fn check_config(config: NamedVersion, archive: &Archive) -> Result<()> {
    same("name", Reason::WrongChart, &config.name, "config", archive.name())?;
    same("version", Reason::WrongVersion, &config.version, "config", archive.version())
}

/// Whether the provenance layer is one of this chart. Its digest becomes a subject, and there are verifiers
/// that accept any subject: a foreign manifest in its place would be signed too.
fn check_prov(prov: Option<Bytes>, resolved: &Resolved, archive: &Archive) -> Result<()> {
    let Some(prov) = prov else { return Ok(()) };
    let provenance = UnverifiedProvenance::read(&prov)?;
    provenance.names(&archive.metadata.file_name(), &resolved.manifest.chart.digest)
}

fn same(what: &str, reason: Reason, expected: &str, source: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::refused(reason, format!("{what} does not match"))
        .expected_found(format!("{expected}  ({source})"), format!("{found}  (Chart.yaml)")))
}
