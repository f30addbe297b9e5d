//! Whether those who verify charts besides us accept one, why not, and what mends it: rules over facts.
//!
//! What is not known of somebody is not claimed: then it depends.

use super::facts::{BUNDLE, Facts, First, Form, Log, SignatureFacts, Spot};
use super::reader::Reader;
use crate::chart::shell_word;
use crate::verify::{COSIGN_SIGN_PREDICATE, GITHUB};

/// What refers to a chart, at most, for Kyverno's `SigstoreBundle`.
const KYVERNO_MOST: usize = 50;
const BUNDLES_ONLY_WORDS: &str = "it looks at the bundles alone where there are any";

/// Whether somebody accepts a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It does, told whom to trust.
    Accepts,
    /// Only if it is configured so, or nobody has measured it.
    Depends,
    /// It does not.
    Refuses,
    /// A place stayed open.
    Unknown,
}

impl Acceptance {
    /// The word in JSON, and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepts => "accepts",
            Self::Depends => "depends",
            Self::Refuses => "refuses",
            Self::Unknown => "unknown",
        }
    }
}

/// What is to be said of one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Who.
    pub reader: Reader,
    /// Whether it accepts the chart.
    pub acceptance: Acceptance,
    /// Why, on one line.
    pub why: String,
    /// What it has to be told beside whom to trust.
    pub needs: Vec<String>,
    /// The command with which it verifies, or that prints its configuration.
    pub command: Option<String>,
    /// The command after which it accepts the chart.
    pub mend: Option<String>,
}

impl Opinion {
    fn new(reader: Reader, acceptance: Acceptance, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { reader, acceptance, why, needs: Vec::new(), command: None, mend: None }
    }

    fn accepts(reader: Reader, why: impl Into<String>) -> Self {
        Self::new(reader, Acceptance::Accepts, why)
    }

    fn depends(reader: Reader, why: impl Into<String>) -> Self {
        Self::new(reader, Acceptance::Depends, why)
    }

    fn refuses(reader: Reader, why: impl Into<String>) -> Self {
        Self::new(reader, Acceptance::Refuses, why)
    }

    fn needing(mut self, what: impl Into<String>) -> Self {
        self.needs.push(what.into());
        self
    }

    fn running(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    fn mended(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }
}

/// Whether `reader` accepts the chart.
pub fn diagnose(reader: Reader, facts: &Facts<'_>) -> Opinion {
    let opinion = match reader {
        Reader::Cosign2 | Reader::Cosign3 => cosign(reader, facts),
        Reader::Flux => flux(facts),
        Reader::OlderFlux | Reader::Connaisseur | Reader::KyvernoCosign => legacy(reader, facts),
        Reader::KyvernoBundle => kyverno_bundle(facts),
        Reader::KyvernoImage => kyverno_image(facts),
        Reader::PolicyController => policy_controller(facts),
        Reader::Ratify => ratify(facts),
        Reader::Harbor | Reader::Zot => shown(reader, facts),
        Reader::ArtifactHub => artifact_hub(facts),
        Reader::Gh => gh(facts),
    };
    let opinion = told_apart(opinion, facts);
    let cosign = matches!(reader, Reader::Cosign2 | Reader::Cosign3);
    let takes = matches!(opinion.acceptance, Acceptance::Accepts | Acceptance::Depends);
    match facts.elsewhere {
        Some(_) if takes && !cosign => Opinion::depends(
            reader,
            "the signatures are in another repository, and whether it looks there is not known",
        ),
        _ if facts.open && opinion.acceptance == Acceptance::Refuses => Opinion {
            acceptance: Acceptance::Unknown,
            why: "not everything was answered; asked again it may find what it reads".into(),
            mend: None,
            ..opinion
        },
        _ => opinion,
    }
}

/// Those who compare name and issuer alone take others for the signer where these sign by the same name.
fn told_apart(opinion: Opinion, facts: &Facts<'_>) -> Opinion {
    // They are told more, or verify nothing.
    let exempt = matches!(
        opinion.reader,
        Reader::Cosign2
            | Reader::Cosign3
            | Reader::Gh
            | Reader::Harbor
            | Reader::Zot
            | Reader::ArtifactHub
    );
    let takes = matches!(opinion.acceptance, Acceptance::Accepts | Acceptance::Depends);
    let named: Vec<_> = facts.signatures.iter().filter(|one| !one.by_key()).collect();
    if exempt || !takes || named.is_empty() || !named.iter().all(|one| one.is_shared()) {
        return opinion;
    }
    let named_in_full = named.iter().all(|one| one.workflow_repository.is_some());
    if opinion.reader == Reader::KyvernoCosign && named_in_full {
        return opinion.needing(
            "additionalExtensions with githubWorkflowRepository, as others that run the same build sign by this name",
        );
    }
    let why = format!(
        "{}; it compares name and issuer alone, and others that run the same build sign by this name",
        opinion.why
    );
    Opinion { acceptance: Acceptance::Depends, why, command: None, ..opinion }
}

/// What to say where nothing is attached to what the reference names.
fn nothing(reader: Reader, facts: &Facts<'_>, format: &str, why: &str) -> Opinion {
    let any = |spot| facts.signatures.iter().any(|one| one.spot == spot);
    let why = if any(Spot::Found) {
        why
    } else if any(Spot::Inside) {
        "the signatures are on the chart in the index, and none is on the index itself"
    } else if any(Spot::Overlooked) {
        "the signatures are under the fallback tag, and it asks the referrers API, which does not list them"
    } else if any(Spot::Misplaced) {
        "the signature is a bundle in the image under the .sig tag, where nobody looks for one"
    } else {
        why
    };
    Opinion::refuses(reader, why).mended(facts.sign(format))
}

/// Those whose rules go on: what they say where only bundles are in the way.
fn in_the_way(reader: Reader, facts: &Facts<'_>, unsound: bool) -> Opinion {
    match unsound {
        true => Opinion::refuses(
            reader,
            format!("{BUNDLES_ONLY_WORDS}, and none of these is a valid signature by a trusted signer"),
        )
        .mended(facts.sign("bundle")),
        false => Opinion::depends(
            reader,
            format!("{BUNDLES_ONLY_WORDS}, and some of these say something else: it takes one by a trusted signer for a signature"),
        )
        .mended(facts.sign("bundle")),
    }
}

fn cosign(reader: Reader, facts: &Facts<'_>) -> Opinion {
    let (one, why) = match facts.first() {
        First::Bundle(one) => (one, "a bundle"),
        First::Legacy(one) => (one, "a legacy signature, and no bundle that it would prefer"),
        First::Unsound => return in_the_way(reader, facts, true),
        First::Attestations => return in_the_way(reader, facts, false),
        First::Nothing => {
            return nothing(reader, facts, "both", "there is no signature that it reads");
        }
    };
    let mut flags = match &one.identity {
        Some((identity, issuer)) => format!(
            "--certificate-identity {} --certificate-oidc-issuer {}",
            shell_word(identity),
            shell_word(issuer)
        ),
        None => "--key cosign.pub".to_owned(),
    };
    let mut needs = Vec::new();
    // A workflow that others call signs for them by the same name.
    match &one.workflow_repository {
        Some(path) if !one.by_key() => {
            flags.push_str(" --certificate-github-workflow-repository ");
            flags.push_str(&shell_word(path));
        }
        _ if one.is_shared() => needs.push(
            "that nobody else runs the build of this name: it compares no source but GitHub's"
                .to_owned(),
        ),
        _ => {}
    }
    let by_root = one.form == Form::Bundle || reader == Reader::Cosign3;
    match (facts.private, by_root) {
        (true, true) => {
            flags.push_str(" --trusted-root trusted_root.json");
            needs.push("the trusted root of that Sigstore (helm sigstore trust export)".to_owned());
        }
        (true, false) => needs.push(
            "the keys of that Sigstore (SIGSTORE_ROOT_FILE, SIGSTORE_REKOR_PUBLIC_KEY, SIGSTORE_CT_LOG_PUBLIC_KEY_FILE)"
                .to_owned(),
        ),
        (false, _) => {}
    }
    let mut acceptance = Acceptance::Accepts;
    let mut told = |flag: &str, need: &str| {
        flags.push_str(flag);
        needs.push(need.to_owned());
        acceptance = Acceptance::Depends;
    };
    if one.log == Log::Proof && reader == Reader::Cosign2 {
        told(" --use-signed-timestamps", "--use-signed-timestamps, as Rekor v2 proves no time");
    }
    if one.log == Log::None {
        told(" --insecure-ignore-tlog", "--insecure-ignore-tlog, as it is in no log");
        if !one.by_key() {
            told(
                " --use-signed-timestamps",
                "--use-signed-timestamps, as nothing else proves its time",
            );
        }
    }
    if one.sct == Some(false) {
        told(
            " --insecure-ignore-sct",
            "--insecure-ignore-sct, as no certificate log vouches for it",
        );
    }
    let place = match facts.elsewhere {
        Some(repository) => {
            needs.push("COSIGN_REPOSITORY, as the signatures are in another repository".to_owned());
            format!("COSIGN_REPOSITORY={} ", shell_word(repository))
        }
        None => String::new(),
    };
    Opinion {
        needs,
        command: Some(format!("{place}cosign verify {flags} {}", shell_word(facts.image))),
        ..Opinion::new(reader, acceptance, why)
    }
}

/// For those who build on cosign's library, and whom nobody has seen with anything but Rekor v1.
fn unmeasured(opinion: Opinion, one: &SignatureFacts) -> Opinion {
    match one.log {
        Log::Promise => opinion,
        Log::Proof => Opinion {
            acceptance: Acceptance::Depends,
            why: format!(
                "{}, logged in Rekor v2 alone, with which it was not measured",
                opinion.why
            ),
            ..opinion
        },
        Log::None => Opinion {
            acceptance: Acceptance::Depends,
            why: format!("{}, in no log, with which it was not measured", opinion.why),
            ..opinion
        },
    }
}

/// The same of those who have been seen with Rekor v2.
fn unlogged(opinion: Opinion, one: &SignatureFacts) -> Opinion {
    if one.log == Log::None { unmeasured(opinion, one) } else { opinion }
}

fn flux(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::Flux;
    let (one, opinion) = match facts.first() {
        First::Bundle(one) => (one, Opinion::accepts(reader, "a bundle")),
        First::Legacy(one) => (
            one,
            Opinion::accepts(
                reader,
                "a legacy signature; it does not compare what that is over with the chart",
            ),
        ),
        First::Unsound => return in_the_way(reader, facts, true),
        First::Attestations => return in_the_way(reader, facts, false),
        First::Nothing => {
            return nothing(reader, facts, "both", "there is no signature that it reads");
        }
    };
    let opinion = unlogged(opinion, one).running(facts.export("flux", one.by_key()));
    match facts.private {
        true => {
            opinion.needing("an OCIRepository with trustedRootSecretRef; a HelmChart takes none")
        }
        false => opinion,
    }
}

/// Those who read nothing but the `.sig` tag.
fn legacy(reader: Reader, facts: &Facts<'_>) -> Opinion {
    match facts.best(Form::Tag) {
        Some(one) => {
            let opinion = unmeasured(Opinion::accepts(reader, "a legacy signature"), one);
            match facts.private {
                true => opinion.needing("the keys of that Sigstore"),
                false => opinion,
            }
        }
        None => nothing(
            reader,
            facts,
            "both",
            "it reads the .sig tag alone, and there is no valid signature",
        ),
    }
}

fn kyverno_bundle(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::KyvernoBundle;
    if facts.listed > KYVERNO_MOST {
        return Opinion::refuses(
            reader,
            format!("it takes {KYVERNO_MOST} referrers at most, and there are {}", facts.listed),
        );
    }
    if facts.unsound > 0 {
        return Opinion::refuses(
            reader,
            format!("one bad bundle fails all, and there are {}", facts.unsound),
        );
    }
    let bundles = facts.of(Form::Bundle);
    let typed = bundles.iter().find(|one| is_bundle(one.listed_type.as_deref()));
    match (typed, bundles.is_empty()) {
        (Some(one), _) => unmeasured(Opinion::accepts(reader, "a bundle"), one),
        (None, false) => by_type(reader, facts),
        (None, true) => {
            nothing(reader, facts, "both", "it reads bundles alone, and there is no valid one")
        }
    }
}

/// Those who go by the type in the listing, where that is another.
fn by_type(reader: Reader, facts: &Facts<'_>) -> Opinion {
    let opinion = Opinion::refuses(
        reader,
        "it goes by the type in the listing, and the bundle is listed with another",
    );
    if facts.faults { opinion.mended(facts.repair()) } else { opinion }
}

fn kyverno_image(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::KyvernoImage;
    let (one, why) = match facts.first() {
        First::Bundle(one) => (one, "a bundle"),
        First::Legacy(one) => (one, "a legacy signature, and no bundle that it would prefer"),
        First::Unsound => return in_the_way(reader, facts, true),
        First::Attestations => return in_the_way(reader, facts, false),
        First::Nothing => {
            return nothing(reader, facts, "both", "there is no signature that it reads");
        }
    };
    let opinion = unlogged(Opinion::accepts(reader, why), one);
    let opinion = opinion.running(facts.export("kyverno", one.by_key()));
    match facts.private {
        true => {
            opinion.needing("a TUF repository of that Sigstore, whatever trusted root it is given")
        }
        false => opinion,
    }
}

fn policy_controller(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::PolicyController;
    if let Some(one) = facts.best(Form::Tag) {
        let opinion = unmeasured(Opinion::accepts(reader, "a legacy signature"), one);
        return opinion
            .running(facts.export("policy-controller", one.by_key()))
            .needing("images of Pods: it never sees a chart that Helm or Flux installs");
    }
    match facts.best(Form::Bundle) {
        Some(one) if !one.by_key() => Opinion::depends(
            reader,
            "it takes bundles for attestations only, so that the signature is to be asked for as one",
        )
        .running(facts.export("policy-controller", false))
        .mended(facts.sign("both")),
        Some(_) => Opinion::refuses(
            reader,
            "it takes no bundle for a signature, and none by a key for an attestation",
        )
        .mended(facts.sign("both")),
        None => nothing(reader, facts, "both", "there is no signature that it reads"),
    }
}

fn ratify(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::Ratify;
    if let Some(one) = facts.best(Form::Referrer) {
        return unmeasured(Opinion::accepts(reader, "a legacy signature as a referrer"), one);
    }
    match facts.best(Form::Tag) {
        Some(_) => {
            Opinion::depends(reader, "the legacy signature is under a tag, and not a referrer")
                .needing("a store with allowCosignTag: true")
                .mended(facts.sign("all"))
        }
        None => nothing(
            reader,
            facts,
            "all",
            "it reads no bundle, and there is no valid legacy signature",
        ),
    }
}

/// Those who say that something is signed, and verify nothing.
fn shown(reader: Reader, facts: &Facts<'_>) -> Opinion {
    let by_type = |one: &&SignatureFacts| is_bundle(one.stated_type.as_deref());
    let detects = "it goes by the form, and verifies nothing";
    match (facts.of(Form::Bundle).into_iter().find(by_type), facts.best(Form::Tag)) {
        (Some(_), _) => Opinion::accepts(reader, format!("a bundle; {detects}")),
        (None, Some(_)) => Opinion::accepts(reader, format!("a legacy signature; {detects}")),
        (None, None) => nothing(
            reader,
            facts,
            "both",
            "there is no .sig tag, and no bundle whose manifest has the type of one",
        ),
    }
}

fn artifact_hub(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::ArtifactHub;
    let annotated =
        |one: &&SignatureFacts| one.predicate_annotation.as_deref() == Some(COSIGN_SIGN_PREDICATE);
    let detects = "it goes by the form, and verifies nothing";
    match (facts.best(Form::Tag), facts.of(Form::Bundle).into_iter().find(annotated)) {
        (Some(_), _) => Opinion::accepts(reader, format!("a legacy signature; {detects}")),
        (None, Some(_)) => Opinion::accepts(reader, format!("a bundle with its kind; {detects}")),
        (None, None) if facts.best(Form::Bundle).is_some() => Opinion::refuses(
            reader,
            "the manifest of the bundle lacks the annotation dev.sigstore.bundle.predicateType",
        )
        .mended(facts.sign("bundle")),
        (None, None) => nothing(reader, facts, "both", "there is no signature that it reads"),
    }
}

fn gh(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::Gh;
    let bundles = facts.of(Form::Bundle);
    if bundles.is_empty() {
        return nothing(reader, facts, "both", "it reads bundles alone, and there is no valid one");
    }
    let by_actions = |one: &&&SignatureFacts| {
        one.identity.as_ref().is_some_and(|(_, issuer)| issuer == GITHUB.1)
    };
    let Some(by_actions) = bundles.iter().find(by_actions) else {
        // Nothing but a build there makes such a certificate.
        return Opinion::refuses(reader, "it takes nothing but what was signed in GitHub Actions");
    };
    if facts.unsound > 0 {
        return Opinion::refuses(
            reader,
            format!("one bad bundle fails all, and there are {}", facts.unsound),
        );
    }
    if !is_bundle(by_actions.listed_type.as_deref()) {
        return by_type(reader, facts);
    }
    // A reusable workflow may be of another owner than what was built.
    let path = |uri: &'_ str| uri.strip_prefix("https://github.com/").map(str::to_owned);
    let workflow = by_actions.identity.as_ref().and_then(|(identity, _)| path(identity));
    let source = by_actions.source.as_deref().and_then(path).or_else(|| workflow.clone());
    let source = source.unwrap_or_default();
    let owner = source.split('/').next().filter(|owner| !owner.is_empty()).unwrap_or("OWNER");
    let workflow = workflow.as_deref().and_then(|path| path.split('@').next());
    let workflow = match workflow.filter(|_| by_actions.is_shared()) {
        Some(workflow) => format!(" --signer-workflow {}", shell_word(workflow)),
        None => String::new(),
    };
    let root = match facts.private {
        true => " --custom-trusted-root trusted_root.jsonl",
        false => "",
    };
    unmeasured(Opinion::accepts(reader, "a bundle by GitHub Actions"), by_actions).running(format!(
        "gh attestation verify {} --bundle-from-oci --predicate-type {COSIGN_SIGN_PREDICATE} --owner {}{workflow}{root}",
        shell_word(&format!("oci://{}", facts.image)),
        shell_word(owner),
    ))
}

fn is_bundle(artifact_type: Option<&str>) -> bool {
    artifact_type.is_some_and(|kind| kind.starts_with(BUNDLE))
}

#[cfg(test)]
#[path = "diagnosis/tests.rs"]
mod tests;
