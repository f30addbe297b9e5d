//! Those who say that something is signed, and verify nothing: registries and catalogues.

use super::{Opinion, nothing};
use crate::consumer::facts::{Facts, Form, SignatureFacts, is_bundle};
use crate::consumer::reader::Reader;
use crate::verify::COSIGN_SIGN_PREDICATE;

/// Those who say that something is signed, and verify nothing.
pub(super) fn shown(reader: Reader, facts: &Facts<'_>) -> Opinion {
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

pub(super) fn artifact_hub(facts: &Facts<'_>) -> Opinion {
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
