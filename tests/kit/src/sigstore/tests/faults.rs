//! Faults and clocks: what is wrong is seen, and only that.

use super::*;

#[test]
fn every_fault_in_what_is_issued_makes_the_bundle_fail() {
    let sigstore = start();
    let cases = [
        (Fault::CertificateForAnotherSubject, RekorVersion::V1),
        (Fault::NoSct, RekorVersion::V1),
        (Fault::SctByUnknownLog, RekorVersion::V1),
        (Fault::EntryForAnother(Service::RekorV1), RekorVersion::V1),
        (Fault::EntryForAnother(Service::RekorV2), RekorVersion::V2),
        (Fault::WrongSet, RekorVersion::V1),
        (Fault::WrongCheckpoint(Service::RekorV1), RekorVersion::V1),
        (Fault::WrongCheckpoint(Service::RekorV2), RekorVersion::V2),
        (Fault::WrongInclusionProof(Service::RekorV1), RekorVersion::V1),
        (Fault::WrongInclusionProof(Service::RekorV2), RekorVersion::V2),
        (Fault::TimestampByUnknownAuthority, RekorVersion::V1),
        (Fault::WrongImprint, RekorVersion::V2),
    ];
    for (fault, version) in cases {
        sigstore.set_fault(fault.clone());
        let bundle = sign(&sigstore, &github(), version, true);
        assert!(verify(&sigstore, &bundle, &github()).is_err(), "{fault:?}");
        sigstore.clear_faults();
        let bundle = sign(&sigstore, &github(), version, true);
        verify(&sigstore, &bundle, &github()).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
}

#[test]
fn a_certificate_for_another_key_cannot_be_logged() {
    let sigstore = start();
    sigstore.set_fault(Fault::CertificateForAnotherKey);
    let signed = Signed::new(&sigstore, &github());
    assert_eq!(signed.log(&sigstore, RekorVersion::V1).status, 400);
}

#[test]
fn pretended_conflicts_point_at_the_own_or_at_another_entry() {
    let sigstore = start();
    let cases = [
        (Fault::Duplicate(Service::RekorV1), true),
        (Fault::DuplicateOfAnother(Service::RekorV1), false),
    ];
    for (fault, own) in cases {
        sigstore.set_fault_times(fault, 1);
        let signed = Signed::new(&sigstore, &github());
        let answer = signed.log(&sigstore, RekorVersion::V1);
        assert_eq!(answer.status, 409);
        let location =
            answer.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        let existing = get(&format!("{}{location}", sigstore.rekor_v1_url()));
        let bundle = signed.bundle(v1_entry(&existing.json()), None);
        assert_eq!(verify(&sigstore, &bundle, &github()).is_ok(), own);
    }
}

#[test]
fn failures_are_worded_as_the_services_word_them() {
    let sigstore = start();
    sigstore.set_fault(Fault::Status(Service::Fulcio, 401));
    sigstore.set_fault(Fault::Throttle(Service::RekorV1, 7));
    sigstore.set_fault(Fault::Status(Service::Tsa, 500));
    let answer = post(&format!("{}/api/v2/signingCert", sigstore.fulcio_url()), &json!({}));
    assert_eq!((answer.status, &answer.json()["code"]), (401, &json!(16)));
    let answer = post(&format!("{}/api/v1/log/entries", sigstore.rekor_v1_url()), &json!({}));
    assert_eq!((answer.status, &answer.json()["code"]), (429, &json!(429)));
    assert!(answer.head.contains("retry-after: 7"));
    assert_eq!(timestamp(&sigstore, b"x").status, 500);
}

#[test]
fn a_service_that_hangs_does_not_keep_the_instance_from_ending() {
    let sigstore = start();
    sigstore.set_fault(Fault::Hang(Service::Tsa));
    let address = sigstore.url(Service::Tsa).replace("http://", "");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0; 1]).is_err());
    drop(sigstore);
}

#[test]
fn a_clock_ahead_shows_in_everything_that_is_issued() {
    let sigstore = start();
    sigstore.set_clock_offset(3600);
    let v1 = sign(&sigstore, &github(), RekorVersion::V1, false);
    let error = verify(&sigstore, &v1, &github()).unwrap_err();
    assert!(error.to_string().contains("future"), "{error}");
    // The verifier behind `verify` accepts timestamps from the future; that is for its users to know.
    let v2 = sign(&sigstore, &github(), RekorVersion::V2, true);
    verify(&sigstore, &v2, &github()).unwrap();
    sigstore.set_clock_offset(-24 * 3600);
    let past = sign(&sigstore, &github(), RekorVersion::V1, true);
    verify(&sigstore, &past, &github()).unwrap();
}

#[test]
fn pretended_conflicts_of_version_two_name_an_index() {
    let sigstore = start();
    for fault in [Fault::Duplicate(Service::RekorV2), Fault::DuplicateOfAnother(Service::RekorV2)] {
        sigstore.set_fault_times(fault, 1);
        let signed = Signed::new(&sigstore, &github());
        let answer = signed.log(&sigstore, RekorVersion::V2);
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!(6)));
        assert!(answer.head.contains("x-log-index: "));
    }
}
