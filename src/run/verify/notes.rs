//! What is told of a chart beside the verdict: what it is called, and what the signatures bind.

use super::super::findings::Accepted;
use super::super::report::{Chart, Outcome};
use super::super::resolve::Resolved;
use crate::verify::{Covered, VersionCheck};

/// What is known of a chart in a registry before anything is verified.
pub(in crate::run) fn describe(resolved: &Resolved, outcome: &mut Outcome) {
    outcome.reference = Some(resolved.words());
    outcome.manifest_digest = Some(resolved.manifest.digest.to_string());
    outcome.chart_digest = Some(resolved.manifest.chart.digest.to_string());
    outcome.prov_digest = resolved.manifest.prov.as_ref().map(|prov| prov.digest.to_string());
    outcome.signature_repository = resolved.signature_repository();
}

/// Puts into words what the signatures bind, and what was not compared. Of several signatures only what all
/// of them cover is signed by as many as were asked for. Answers whether all bind the manifest.
pub(super) fn note(accepted: &[Accepted], in_index: bool, outcome: &mut Outcome) -> bool {
    let all = |part: fn(Covered) -> bool| {
        !accepted.is_empty() && accepted.iter().all(|one| part(one.verified.covered()))
    };
    let named = accepted.first().and_then(|one| one.verified.named());
    if let Some(named) = named {
        outcome.chart = Some(Chart { name: named.name.clone(), version: named.version.clone() });
    }
    let covered = Covered {
        index: all(|covered| covered.index),
        manifest: all(|covered| covered.manifest),
        chart: all(|covered| covered.chart),
        prov: all(|covered| covered.prov),
    };
    let Covered { index, manifest, chart, prov } = covered;
    // No signature at all is accepted only where provenance suffices.
    if accepted.is_empty() {
        outcome.notes = vec!["provenance only, unsigned in Sigstore".to_owned()];
        if outcome.manifest_digest.is_some() {
            outcome.notes.push("manifest: not signed".to_owned());
        }
        outcome.prov = outcome.prov_digest.as_ref().map(|_| "not signed".to_owned());
        return false;
    }
    let parts = [(index, "index"), (manifest, "manifest"), (chart, "chart"), (prov, "provenance")];
    let parts: Vec<_> =
        parts.into_iter().filter_map(|(covered, word)| covered.then_some(word)).collect();
    let listed = match parts.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    };
    outcome.notes = vec![format!("signed: {listed}")];
    outcome.whole = chart
        && (index || !in_index)
        && (manifest || outcome.manifest_digest.is_none())
        && (prov || outcome.prov_digest.is_none());
    if outcome.manifest_digest.is_some() {
        if !all(Covered::binds_manifest) {
            outcome.notes.push("manifest: not signed".to_owned());
        }
        if accepted.iter().any(|one| one.verified.version() == VersionCheck::NotChecked) {
            outcome.notes.push("version: not checked".to_owned());
        }
    }
    if outcome.prov_digest.is_some() {
        outcome.prov = Some(if prov { "signed" } else { "not signed" }.to_owned());
    }
    all(Covered::binds_manifest)
}
