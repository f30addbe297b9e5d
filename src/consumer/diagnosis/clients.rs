//! Those who are run by hand or in a pipeline: cosign, gh, hauler.

use super::{Acceptance, Opinion, by_type, in_the_way, nothing, unmeasured};
use crate::chart::shell_word;
use crate::consumer::facts::{Facts, First, Form, Log, SignatureFacts, is_bundle};
use crate::consumer::reader::Reader;
use crate::verify::{COSIGN_SIGN_PREDICATE, GITHUB};

pub(super) fn cosign(reader: Reader, facts: &Facts<'_>) -> Opinion {
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

pub(super) fn gh(facts: &Facts<'_>) -> Opinion {
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

/// It looks at a bundle only where there is no `.sig` tag at all, and at no chart but as an image.
pub(super) fn hauler(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::Hauler;
    let (one, why) = match (facts.best(Form::Tag), facts.first()) {
        (Some(one), _) => (one, "a legacy signature"),
        (None, _) if facts.tagged > 0 => {
            return Opinion::refuses(
                reader,
                "it looks at the .sig tag first, and none there is a valid signature by a trusted signer",
            )
            .mended(facts.sign("both"));
        }
        (None, First::Bundle(one)) => (one, "a bundle, as there is no .sig tag"),
        (None, First::Unsound) => return in_the_way(reader, facts, true),
        (None, First::Attestations) => return in_the_way(reader, facts, false),
        (None, _) => return nothing(reader, facts, "both", "there is no signature that it reads"),
    };
    let why = format!("{why}; it verifies what is listed as an image, and no chart");
    let opinion = unmeasured(Opinion::depends(reader, why), one).needing(
        "the chart among the Images of its manifest: those among the Charts get `helm pull --verify` alone",
    );
    match facts.private {
        true => opinion.needing("the keys of that Sigstore"),
        false => opinion,
    }
}
