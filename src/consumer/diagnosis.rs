//! Whether those who verify charts besides us accept one, why not, and what mends it: rules over facts.
//!
//! What is not known of somebody is not claimed: then it depends.

mod clients;
mod clusters;
mod registries;

use super::facts::{Facts, Log, SignatureFacts, Spot};
use super::reader::Reader;
use clients::{cosign, gh, hauler};
use clusters::{
    flux, kubewarden, kyverno_bundle, kyverno_image, legacy, policy_controller, ratify, sveltos,
};
use registries::{artifact_hub, shown};

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
        Reader::Sveltos => sveltos(facts),
        Reader::OlderFlux | Reader::Connaisseur | Reader::KyvernoCosign => legacy(reader, facts),
        Reader::KyvernoBundle => kyverno_bundle(facts),
        Reader::KyvernoImage => kyverno_image(facts),
        Reader::PolicyController => policy_controller(facts),
        Reader::Ratify => ratify(facts),
        Reader::Kubewarden => kubewarden(facts),
        Reader::Hauler => hauler(facts),
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

/// Those who go by the type in the listing, where that is another.
fn by_type(reader: Reader, facts: &Facts<'_>) -> Opinion {
    let opinion = Opinion::refuses(
        reader,
        "it goes by the type in the listing, and the bundle is listed with another",
    );
    if facts.faults { opinion.mended(facts.repair()) } else { opinion }
}

#[cfg(test)]
#[path = "diagnosis/tests.rs"]
mod tests;
