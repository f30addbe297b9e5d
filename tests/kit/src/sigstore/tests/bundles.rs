//! Whole bundles, judged by another implementation.

use super::*;

#[test]
fn bundles_of_every_identity_and_log_verify() {
    let sigstore = start();
    let identities = [
        github(),
        Identity::gitlab("acme/charts//.gitlab-ci.yml@refs/tags/v1"),
        Identity::email("jane@example.com"),
    ];
    for identity in &identities {
        for version in [RekorVersion::V1, RekorVersion::V2] {
            let bundle = sign(&sigstore, identity, version, true);
            verify(&sigstore, &bundle, identity)
                .unwrap_or_else(|error| panic!("{:?} {version:?}: {error}", identity.kind()));
        }
    }
}

#[test]
fn a_v1_entry_s_time_suffices_without_a_timestamp() {
    let sigstore = start();
    let bundle = sign(&sigstore, &github(), RekorVersion::V1, false);
    verify(&sigstore, &bundle, &github()).unwrap();
}

#[test]
fn the_first_entries_of_empty_logs_verify() {
    let sigstore = Sigstore::start(Options { earlier_entries: 0, ..Options::default() });
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let bundle = sign(&sigstore, &github(), version, true);
        verify(&sigstore, &bundle, &github()).unwrap();
    }
}

#[test]
fn another_instance_s_bundle_does_not_verify() {
    let (one, other) = (start(), start());
    let bundle = sign(&one, &github(), RekorVersion::V1, true);
    assert!(verify(&other, &bundle, &github()).is_err());
    assert!(verify(&one, &bundle, &Identity::email("jane@example.com")).is_err());
}

#[test]
fn requests_are_counted_by_service() {
    let sigstore = start();
    sign(&sigstore, &github(), RekorVersion::V1, true);
    for service in [Service::Fulcio, Service::Tsa, Service::RekorV1] {
        assert_eq!(sigstore.request_count(service), 1, "{service:?}");
    }
    assert_eq!(
        sigstore.requests().last().unwrap(),
        &Request {
            service: Service::RekorV1,
            method: "POST".into(),
            path: "/api/v1/log/entries".into()
        }
    );
    sigstore.reset_requests();
    assert!(sigstore.requests().is_empty());
}

#[test]
fn the_documents_parse_and_name_the_services() {
    let options = Options { rekor: vec![RekorVersion::V1, RekorVersion::V2], ..Options::default() };
    let sigstore = Sigstore::start(options);
    let config = SigningConfig::from_json(&sigstore.signing_config_json()).unwrap();
    let text = format!("{config:?}");
    for url in [
        sigstore.fulcio_url(),
        sigstore.rekor_v1_url(),
        sigstore.rekor_v2_url(),
        sigstore.tsa_url(),
    ] {
        assert!(text.contains(&url), "{url}");
    }
    let both: Value = serde_json::from_str(&sigstore.trust_config_json()).unwrap();
    assert_eq!(both["mediaType"], "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json");
    let without = Sigstore::start(Options { tsa: false, ..Options::default() });
    assert!(!without.signing_config_json().contains("tsaUrls"));
}
