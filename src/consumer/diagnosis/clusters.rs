//! Those who judge in a cluster: Flux, Sveltos, Kyverno, policy-controller, Ratify, Connaisseur, Kubewarden.

use super::{Opinion, by_type, in_the_way, nothing, unlogged, unmeasured};
use crate::consumer::facts::{Facts, First, Form, Log, SignatureFacts, is_bundle};
use crate::consumer::reader::Reader;

/// What refers to a chart, at most, for Kyverno's `SigstoreBundle`.
const KYVERNO_MOST: usize = 50;

pub(super) fn flux(facts: &Facts<'_>) -> Opinion {
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

/// By a key it tries the bundles first; by identity it asks for the older format alone.
pub(super) fn sveltos(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::Sveltos;
    let bundles = facts.of(Form::Bundle);
    let opinion = if bundles.iter().any(|one| one.by_key()) {
        // It asks no log about a key.
        Opinion::accepts(reader, "a bundle by a key")
    } else if let Some(one) = facts
        .best(Form::Tag)
        .or_else(|| facts.of(Form::Referrer).into_iter().find(|one| !one.by_key()))
    {
        let why = "a legacy signature; it does not compare what that is over with the chart";
        let opinion = Opinion::accepts(reader, why);
        if one.by_key() { opinion } else { unmeasured(opinion, one) }
    } else if bundles.is_empty() {
        return nothing(reader, facts, "both", "there is no signature that it reads");
    } else {
        return Opinion::refuses(
            reader,
            "of identities it reads the older format alone, and there is no valid signature in it",
        )
        .mended(facts.sign("both"));
    };
    let opinion = opinion.needing(
        "signatureVerification at the chart, taken from a registry: what it gets from a Flux source it does not verify",
    );
    match facts.private && facts.signatures.iter().any(|one| !one.by_key()) {
        true => opinion.needing(
            "the keys of that Sigstore in the environment of its controller (SIGSTORE_ROOT_FILE, SIGSTORE_REKOR_PUBLIC_KEY, SIGSTORE_CT_LOG_PUBLIC_KEY_FILE)",
        ),
        false => opinion,
    }
}

/// Those who read nothing but the `.sig` tag.
pub(super) fn legacy(reader: Reader, facts: &Facts<'_>) -> Opinion {
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

/// It takes nothing for a bundle but what is listed with the type of one, and ends at the first of these that it cannot
/// read; one that does not verify it passes over.
pub(super) fn kyverno_bundle(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::KyvernoBundle;
    if facts.listed > KYVERNO_MOST {
        return Opinion::refuses(
            reader,
            format!("it takes {KYVERNO_MOST} referrers at most, and there are {}", facts.listed),
        );
    }
    if facts.broken > 0 {
        return Opinion::refuses(
            reader,
            format!("one bundle that cannot be read fails all, and there are {}", facts.broken),
        );
    }
    let bundles = facts.of(Form::Bundle);
    let typed = bundles.iter().find(|one| is_bundle(one.listed_type.as_deref()));
    match (typed, bundles.is_empty()) {
        (Some(one), _) => {
            let opinion = unlogged(Opinion::accepts(reader, "a bundle"), one);
            match facts.private {
                true => opinion.needing(
                    "a TUF repository of that Sigstore, of which all of Kyverno is told (--enableTuf, --tufMirror, --tufRoot)",
                ),
                false => opinion,
            }
        }
        (None, false) => by_type(reader, facts),
        (None, true) if facts.attestations > 0 => in_the_way(reader, facts, false),
        (None, true) => {
            nothing(reader, facts, "both", "it reads bundles alone, and there is no valid one")
        }
    }
}

pub(super) fn kyverno_image(facts: &Facts<'_>) -> Opinion {
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

pub(super) fn policy_controller(facts: &Facts<'_>) -> Opinion {
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

pub(super) fn ratify(facts: &Facts<'_>) -> Opinion {
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

/// Kubewarden, and whoever else builds on sigstore-rs: both formats together, and what is bad is passed over.
pub(super) fn kubewarden(facts: &Facts<'_>) -> Opinion {
    let reader = Reader::Kubewarden;
    let bundles = facts.of(Form::Bundle);
    let promised = |one: &&&SignatureFacts| !one.by_key() && one.log == Log::Promise;
    let opinion = match (bundles.iter().find(promised), facts.best(Form::Tag)) {
        (Some(_), _) => Opinion::accepts(reader, "a bundle"),
        (None, Some(one)) if one.by_key() => Opinion::accepts(reader, "a legacy signature"),
        (None, Some(one)) => unmeasured(Opinion::accepts(reader, "a legacy signature"), one),
        (None, None) if bundles.is_empty() => {
            return nothing(reader, facts, "both", "there is no signature that it reads");
        }
        (None, None) => {
            return Opinion::refuses(
                reader,
                "it takes bundles with a certificate and the promise of Rekor v1 alone, and none of these has both",
            )
            .mended(facts.sign("both"));
        }
    };
    let opinion = opinion.needing(
        "a policy that asks about charts: verify-image-signatures asks about images of Pods and what makes them",
    );
    match facts.private {
        true => opinion.needing("the trusted root of that Sigstore"),
        false => opinion,
    }
}
