//! Who accepts what, as it was measured or read.

use super::super::facts::Form;
use super::*;
use crate::verify::{COSIGN_SIGN_PREDICATE, GITHUB};

const V03: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

fn bundle() -> SignatureFacts {
    SignatureFacts {
        form: Form::Bundle,
        spot: Spot::Found,
        listed_type: Some(V03.into()),
        stated_type: Some(V03.into()),
        predicate_annotation: Some(COSIGN_SIGN_PREDICATE.into()),
        identity: Some(("https://github.com/acme/charts/x".into(), GITHUB.1.into())),
        source: Some("https://github.com/acme/charts".into()),
        workflow_repository: Some("acme/charts".into()),
        log: Log::Promise,
        sct: Some(true),
    }
}

fn tag() -> SignatureFacts {
    SignatureFacts { form: Form::Tag, listed_type: None, stated_type: None, ..bundle() }
}

fn facts(signatures: &[SignatureFacts]) -> Facts<'_> {
    let bundles = signatures.iter().filter(|one| one.form == Form::Bundle).count();
    Facts {
        reference: "oci://r.example/web:1",
        flags: "",
        image: "r.example/web@sha256:00",
        signatures,
        listed: bundles,
        bundles,
        attestations: 0,
        unsound: 0,
        broken: 0,
        tagged: signatures.iter().filter(|one| one.form == Form::Tag).count(),
        faults: false,
        private: false,
        trusted_root: None,
        elsewhere: None,
        open: false,
    }
}

/// The readers that are of that opinion, by name.
fn those(acceptance: Acceptance, facts: &Facts<'_>) -> Vec<&'static str> {
    let all = Reader::ALL.into_iter().map(|reader| diagnose(reader, facts));
    all.filter(|opinion| opinion.acceptance == acceptance)
        .map(|opinion| opinion.reader.name())
        .collect()
}

#[test]
fn both_formats_are_accepted_by_all_but_those_who_have_to_be_told() {
    let both = [bundle(), tag()];
    let facts = facts(&both);
    assert_eq!(those(Acceptance::Refuses, &facts), Vec::<&str>::new());
    assert_eq!(those(Acceptance::Depends, &facts), ["ratify", "hauler"]);
    let ratify = diagnose(Reader::Ratify, &facts);
    assert_eq!(
        ratify.mend.as_deref(),
        Some("helm sigstore sign oci://r.example/web:1 --signature-format all")
    );
}

#[test]
fn a_bundle_alone_is_refused_by_those_who_read_the_older_format() {
    let one = [bundle()];
    let facts = facts(&one);
    let refused = ["flux-older", "sveltos", "kyverno-cosign", "ratify", "connaisseur"];
    assert_eq!(those(Acceptance::Refuses, &facts), refused);
    assert_eq!(those(Acceptance::Depends, &facts), ["policy-controller", "hauler"]);
    let older = [Reader::Connaisseur, Reader::OlderFlux, Reader::PolicyController, Reader::Sveltos];
    for reader in older {
        let mend = diagnose(reader, &facts).mend.unwrap();
        assert!(mend.ends_with("--signature-format both"), "{mend}");
    }
}

#[test]
fn a_legacy_signature_alone_is_refused_by_those_who_read_bundles() {
    let one = [tag()];
    assert_eq!(those(Acceptance::Refuses, &facts(&one)), ["kyverno-bundle", "gh"]);
}

#[test]
fn without_a_signature_everybody_refuses_and_signing_mends_it() {
    let none = facts(&[]);
    assert_eq!(those(Acceptance::Refuses, &none).len(), Reader::ALL.len());
    for reader in Reader::ALL {
        let mend = diagnose(reader, &none).mend.unwrap();
        assert!(mend.starts_with("helm sigstore sign oci://r.example/web:1 "), "{mend}");
    }
}

#[test]
fn rekor_v2_is_accepted_where_it_was_measured_and_depends_elsewhere() {
    let one = [SignatureFacts { log: Log::Proof, ..bundle() }];
    let facts = facts(&one);
    assert_eq!(diagnose(Reader::Cosign3, &facts).acceptance, Acceptance::Accepts);
    let older = diagnose(Reader::Cosign2, &facts);
    assert_eq!(older.acceptance, Acceptance::Depends);
    assert!(older.command.unwrap().contains(" --use-signed-timestamps "));
    assert_eq!(diagnose(Reader::Flux, &facts).acceptance, Acceptance::Accepts);
    assert_eq!(diagnose(Reader::KyvernoBundle, &facts).acceptance, Acceptance::Accepts);
    assert_eq!(diagnose(Reader::Gh, &facts).acceptance, Acceptance::Depends);
    // A legacy signature needs a promise.
    let mend = diagnose(Reader::Connaisseur, &facts).mend.unwrap();
    assert!(mend.ends_with("--signature-format both --rekor-version 1"), "{mend}");
}

#[test]
fn a_bundle_that_is_listed_with_the_wrong_type_is_passed_over_by_those_who_go_by_it() {
    let one = [SignatureFacts { listed_type: Some(EMPTY.into()), ..bundle() }];
    let facts = Facts { faults: true, ..facts(&one) };
    for reader in [Reader::KyvernoBundle, Reader::Gh] {
        let opinion = diagnose(reader, &facts);
        assert_eq!(opinion.acceptance, Acceptance::Refuses);
        assert_eq!(
            opinion.mend.as_deref(),
            Some("helm sigstore doctor oci://r.example/web:1 --repair")
        );
    }
    assert_eq!(diagnose(Reader::Cosign3, &facts).acceptance, Acceptance::Accepts);
    assert_eq!(diagnose(Reader::KyvernoImage, &facts).acceptance, Acceptance::Accepts);
}

#[test]
fn what_has_the_type_of_a_bundle_and_cannot_be_read_stands_in_nobodys_way_but_theirs_who_read_all()
{
    let one = [tag()];
    let facts = Facts { listed: 1, unsound: 1, broken: 1, ..facts(&one) };
    for reader in [Reader::Cosign2, Reader::Cosign3, Reader::Flux, Reader::KyvernoImage] {
        assert_eq!(diagnose(reader, &facts).acceptance, Acceptance::Accepts, "{reader:?}");
    }
    assert_eq!(diagnose(Reader::KyvernoBundle, &facts).acceptance, Acceptance::Refuses);
}

#[test]
fn bundles_that_are_no_signature_stand_in_the_way_of_a_legacy_one() {
    let one = [tag()];
    let facts = Facts { listed: 1, bundles: 1, unsound: 1, ..facts(&one) };
    for reader in [Reader::Cosign2, Reader::Cosign3, Reader::Flux] {
        let opinion = diagnose(reader, &facts);
        assert_eq!(opinion.acceptance, Acceptance::Refuses, "{reader:?}");
        assert!(opinion.mend.unwrap().ends_with("--signature-format bundle"));
    }
    let attested = Facts { attestations: 1, unsound: 0, ..facts.clone() };
    assert_eq!(diagnose(Reader::Cosign3, &attested).acceptance, Acceptance::Depends);
    // Who does not look at bundles is not bothered.
    assert_eq!(diagnose(Reader::Connaisseur, &facts).acceptance, Acceptance::Accepts);
}

#[test]
fn one_bundle_that_cannot_be_read_or_too_many_referrers_fail_kyvernos_bundles() {
    let one = [bundle()];
    let bad = Facts { bundles: 2, listed: 2, unsound: 1, ..facts(&one) };
    assert_eq!(diagnose(Reader::KyvernoBundle, &bad).acceptance, Acceptance::Accepts);
    assert_eq!(diagnose(Reader::Gh, &bad).acceptance, Acceptance::Refuses);
    assert_eq!(diagnose(Reader::Cosign3, &bad).acceptance, Acceptance::Accepts);
    let broken = Facts { bundles: 1, broken: 1, ..bad };
    assert_eq!(diagnose(Reader::KyvernoBundle, &broken).acceptance, Acceptance::Refuses);
    assert_eq!(diagnose(Reader::Cosign3, &broken).acceptance, Acceptance::Accepts);
    let many = Facts { listed: 51, ..facts(&one) };
    assert_eq!(diagnose(Reader::KyvernoBundle, &many).acceptance, Acceptance::Refuses);
    let many = Facts { listed: 50, ..facts(&one) };
    assert_eq!(diagnose(Reader::KyvernoBundle, &many).acceptance, Acceptance::Accepts);
}

#[test]
fn sveltos_reads_a_bundle_by_a_key_and_none_by_an_identity() {
    let one = [SignatureFacts { identity: None, log: Log::None, ..bundle() }];
    assert_eq!(diagnose(Reader::Sveltos, &facts(&one)).acceptance, Acceptance::Accepts);
    let one = [bundle()];
    assert_eq!(diagnose(Reader::Sveltos, &facts(&one)).acceptance, Acceptance::Refuses);
    // Neither is it bothered by bundles that are none: it does not look at them.
    let one = [tag()];
    let facts = Facts { listed: 1, bundles: 1, unsound: 1, private: true, ..facts(&one) };
    let opinion = diagnose(Reader::Sveltos, &facts);
    assert_eq!(opinion.acceptance, Acceptance::Accepts);
    assert!(opinion.why.contains("does not compare"), "{}", opinion.why);
    assert!(opinion.needs.iter().any(|need| need.contains("SIGSTORE_ROOT_FILE")));
}

#[test]
fn hauler_looks_at_a_bundle_only_where_there_is_no_sig_tag() {
    let one = [bundle()];
    let opinion = diagnose(Reader::Hauler, &facts(&one));
    assert_eq!(opinion.acceptance, Acceptance::Depends);
    assert!(opinion.needs[0].contains("Images"), "{:?}", opinion.needs);
    let facts = Facts { tagged: 1, ..facts(&one) };
    let opinion = diagnose(Reader::Hauler, &facts);
    assert_eq!(opinion.acceptance, Acceptance::Refuses);
    assert!(opinion.mend.unwrap().ends_with("--signature-format both"));
}

#[test]
fn kubewarden_wants_a_certificate_and_a_promise_in_a_bundle() {
    let one = [bundle()];
    assert_eq!(diagnose(Reader::Kubewarden, &facts(&one)).acceptance, Acceptance::Accepts);
    let unpromised = [SignatureFacts { log: Log::Proof, ..bundle() }];
    let opinion = diagnose(Reader::Kubewarden, &facts(&unpromised));
    assert_eq!(opinion.acceptance, Acceptance::Refuses);
    assert!(opinion.mend.unwrap().ends_with("--signature-format both --rekor-version 1"));
    let by_key = [SignatureFacts { identity: None, ..bundle() }];
    assert_eq!(diagnose(Reader::Kubewarden, &facts(&by_key)).acceptance, Acceptance::Refuses);
    let both = [by_key[0].clone(), SignatureFacts { identity: None, ..tag() }];
    assert_eq!(diagnose(Reader::Kubewarden, &facts(&both)).acceptance, Acceptance::Accepts);
}

#[test]
fn the_command_for_those_who_look_at_nothing_names_the_signer_and_his_trust() {
    assert_eq!(facts(&[]).verify(), None);
    let one = [bundle()];
    let facts = Facts { flags: " --plain-http", trusted_root: Some("my root"), ..facts(&one) };
    assert_eq!(
        facts.verify().as_deref(),
        Some(
            "helm sigstore verify oci://r.example/web:1 --certificate-identity https://github.com/acme/charts/x --certificate-oidc-issuer https://token.actions.githubusercontent.com --plain-http --trusted-root 'my root'"
        )
    );
}

#[test]
fn nobody_has_the_name_of_another() {
    use super::super::bystander::Bystander;
    let mut names: Vec<_> = Reader::ALL.iter().map(|reader| reader.name()).collect();
    for bystander in Bystander::ALL {
        assert!(bystander.is_called(bystander.name));
        names.push(bystander.name);
        names.extend(bystander.aliases);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn artifact_hub_goes_by_the_annotation_of_the_manifest() {
    let one = [SignatureFacts { predicate_annotation: None, ..bundle() }];
    let opinion = diagnose(Reader::ArtifactHub, &facts(&one));
    assert_eq!(opinion.acceptance, Acceptance::Refuses);
    assert!(opinion.why.contains("predicateType"));
}

#[test]
fn gh_takes_nothing_but_github_actions_and_no_command_changes_that() {
    let one =
        [SignatureFacts { identity: Some(("jane@x".into(), "https://i".into())), ..bundle() }];
    let opinion = diagnose(Reader::Gh, &facts(&one));
    assert_eq!((opinion.acceptance, opinion.mend), (Acceptance::Refuses, None));
    let one = [bundle()];
    let command = diagnose(Reader::Gh, &facts(&one)).command.unwrap();
    assert!(command.contains("--owner acme"), "{command}");
}

#[test]
fn a_key_has_no_identity_in_any_command_and_signs_again_with_the_key() {
    let one = [SignatureFacts { identity: None, sct: None, log: Log::None, ..bundle() }];
    let facts = facts(&one);
    let opinion = diagnose(Reader::Cosign3, &facts);
    assert_eq!(opinion.acceptance, Acceptance::Depends);
    assert_eq!(
        opinion.command.as_deref(),
        Some("cosign verify --key cosign.pub --insecure-ignore-tlog r.example/web@sha256:00")
    );
    let opinion = diagnose(Reader::PolicyController, &facts);
    assert_eq!(opinion.acceptance, Acceptance::Refuses);
    assert!(opinion.mend.unwrap().contains("--key cosign.key"));
}

#[test]
fn what_a_signer_is_called_breaks_out_of_no_command() {
    let evil = "x'; rm -rf / #";
    let one = [SignatureFacts { identity: Some((evil.into(), GITHUB.1.into())), ..bundle() }];
    let command = diagnose(Reader::Cosign3, &facts(&one)).command.unwrap();
    assert!(command.contains(r"'x'\''; rm -rf / #'"), "{command}");
}

#[test]
fn signatures_on_the_chart_in_an_index_are_none_on_the_index() {
    let one = [SignatureFacts { spot: Spot::Inside, ..bundle() }];
    let facts = Facts { bundles: 0, listed: 0, ..facts(&one) };
    let opinion = diagnose(Reader::Cosign3, &facts);
    assert_eq!(opinion.acceptance, Acceptance::Refuses);
    assert!(opinion.why.contains("none is on the index itself"), "{}", opinion.why);
}

#[test]
fn a_place_that_did_not_answer_makes_a_no_unknown_and_leaves_a_yes() {
    let one = [tag()];
    let facts = Facts { open: true, ..facts(&one) };
    assert_eq!(those(Acceptance::Refuses, &facts), Vec::<&str>::new());
    assert_eq!(those(Acceptance::Unknown, &facts), ["kyverno-bundle", "gh"]);
    assert!(those(Acceptance::Accepts, &facts).contains(&"connaisseur"));
}

#[test]
fn signatures_in_another_repository_are_found_by_cosign_which_is_told() {
    let both = [bundle(), tag()];
    let facts = Facts { elsewhere: Some("r.example/signatures"), ..facts(&both) };
    assert_eq!(those(Acceptance::Accepts, &facts), ["cosign-2.6", "cosign-3"]);
    let command = diagnose(Reader::Cosign3, &facts).command.unwrap();
    assert!(
        command.starts_with("COSIGN_REPOSITORY=r.example/signatures cosign verify "),
        "{command}"
    );
}

#[test]
fn a_workflow_that_others_call_is_accepted_where_the_source_is_compared() {
    let called = "https://github.com/acme-ci/sign/.github/workflows/sign.yml@refs/tags/v1";
    let shared = |one: SignatureFacts| SignatureFacts {
        identity: Some((called.into(), GITHUB.1.into())),
        ..one
    };
    let both = [shared(bundle()), shared(tag())];
    let known = facts(&both);
    let depends = [
        "flux",
        "flux-older",
        "sveltos",
        "kyverno-bundle",
        "kyverno-image",
        "policy-controller",
        "ratify",
        "connaisseur",
        "kubewarden",
        "hauler",
    ];
    assert_eq!(those(Acceptance::Depends, &known), depends);
    let flux = diagnose(Reader::Flux, &known);
    assert_eq!(flux.command, None);
    assert!(flux.why.contains("name and issuer alone"), "{}", flux.why);
    let kyverno = diagnose(Reader::KyvernoCosign, &known);
    assert!(kyverno.needs[0].contains("githubWorkflowRepository"), "{:?}", kyverno.needs);
    let cosign = diagnose(Reader::Cosign3, &known).command.unwrap();
    assert!(cosign.contains(" --certificate-github-workflow-repository acme/charts "), "{cosign}");
    let gh = diagnose(Reader::Gh, &known).command.unwrap();
    assert!(
        gh.contains(" --owner acme --signer-workflow acme-ci/sign/.github/workflows/sign.yml"),
        "{gh}"
    );
    // Where GitHub's extension says nothing, cosign compares no source.
    let elsewhere = [SignatureFacts { workflow_repository: None, ..shared(bundle()) }];
    let cosign = diagnose(Reader::Cosign3, &facts(&elsewhere));
    assert!(cosign.needs[0].contains("nobody else runs the build"), "{:?}", cosign.needs);
    // What lies in the repository that was built is told apart by its name.
    let own = [bundle()];
    assert!(diagnose(Reader::Flux, &facts(&own)).command.is_some());
}
