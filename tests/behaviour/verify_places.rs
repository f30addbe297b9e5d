//! Where signatures are looked for, what each place may answer, and how many questions it takes.

use helm_sigstore_kit::registry::{
    Action, Auth, Bearer, Fault, Options, Pushed, Referrers, Registry, media_type,
};
use serde_json::{Value, json};

use crate::support::World;
use crate::verify_craft::{
    BUNDLE, SBOM_PREDICATE, attach, attach_as, entry, fallback_tag, list, refuses, sign, usual,
};

fn world_with(referrers: Referrers) -> World {
    let options = Options { referrers, ..Options::default() };
    World::with(options, helm_sigstore_kit::sigstore::Options::default())
}

/// A good signature that only the fallback tag lists.
fn sign_into_the_tag(world: &World) -> (String, Pushed) {
    let (reference, pushed) = world.push_web();
    let digest = attach(world, &pushed, &sign(world, &usual(&pushed, "web", "1.4.2")));
    list(world, &pushed, &[entry(world, &pushed, &digest)]);
    (reference, pushed)
}

fn paths(world: &World) -> Vec<String> {
    world.registry.requests().iter().map(|request| request.line()).collect()
}

#[test]
fn every_answer_that_means_no_such_api_leads_to_the_fallback_tag() {
    let elsewhere = Registry::start(Options::default());
    let elsewhere_url = format!("{}{{path}}", elsewhere.origin());
    for (referrers, status) in [
        (Referrers::NotFound, "404"),
        (Referrers::NotFoundJson, "404"),
        (Referrers::Status(400), "400"),
        (Referrers::Status(405), "405"),
        (Referrers::Status(406), "406"),
        (Referrers::Status(501), "501"),
        (Referrers::FalseOk, "200 application/json"),
        (Referrers::RedirectTo(elsewhere_url), "303 to another site"),
        (Referrers::Empty, "none"),
    ] {
        let world = world_with(referrers.clone());
        let (reference, pushed) = sign_into_the_tag(&world);
        let result = world.verdict(&[&reference]);
        assert_eq!(result["verdict"], "verified", "{referrers:?}: {result:#}");
        assert_eq!(result["signatures"][0]["place"], "fallback-tag");
        assert_eq!(result["lookedIn"][0]["status"], status, "{referrers:?}");
        assert_eq!(result["lookedIn"][0]["place"], "referrers");
        assert_eq!(result["lookedIn"][1]["object"], format!("tag {}", fallback_tag(&pushed)));
        // And where nothing is listed, all of them mean unsigned.
        world.registry.delete_tag("charts/web", &fallback_tag(&pushed));
        let looked = format!(
            "  looked in  referrers API ({status}), tag {tag} (404), tag {tag}.sig (404)\n",
            tag = fallback_tag(&pushed)
        );
        refuses(&world, &[&reference], 3, "unsigned", &[&looked]);
    }
    assert_eq!(elsewhere.requests(), []);
}

#[test]
fn every_answer_that_means_not_now_leaves_the_api_open_and_the_tag_can_still_verify() {
    for (status, reason) in [
        (401, "unauthorized"),
        (403, "unauthorized"),
        (429, "throttled"),
        (500, "unreachable"),
        (502, "unreachable"),
        (503, "unreachable"),
        (504, "unreachable"),
        (418, "unreachable"),
    ] {
        let world = World::new();
        let (reference, pushed) = sign_into_the_tag(&world);
        // So long a wait ends the attempts at once.
        let refusal = Action::status_with(status, "retry-after", "3600");
        world.registry.fault(Fault::new("/referrers/", refusal));
        let result = world.verdict(&[&reference]);
        assert_eq!(result["verdict"], "verified", "{status}: {result:#}");
        assert_eq!(result["signatures"][0]["place"], "fallback-tag");
        world.registry.delete_tag("charts/web", &fallback_tag(&pushed));
        let words = format!("/referrers/{}: {status}", pushed.manifest_digest);
        refuses(&world, &[&reference], 4, reason, &["error: undecided: ", &words]);
    }
}

#[test]
fn a_tag_that_cannot_be_asked_leaves_the_verdict_open() {
    for suffix in ["", ".sig"] {
        let world = World::with_fallback_registry();
        let (reference, pushed) = world.push_web();
        let tag = format!("{}{suffix}", fallback_tag(&pushed));
        // The other tag passes: it is not this path's end.
        let throttled = Action::status_with(429, "retry-after", "3600");
        let path = format!("/manifests/{tag}");
        let fault = Fault::new(&path, throttled);
        world.registry.fault(fault);
        refuses(&world, &[&reference], 4, "throttled", &[&path, "429, retry after 3600 s"]);
    }
}

#[test]
fn a_registry_that_answers_the_tag_with_the_subject_itself_has_no_fallback_tag() {
    let options = Options { digest_tags: true, ..Options::fallback() };
    let world = World::with(options, helm_sigstore_kit::sigstore::Options::default());
    let (reference, pushed) = world.push_web();
    let tag = fallback_tag(&pushed);
    refuses(&world, &[&reference], 3, "unsigned", &[&format!("tag {tag} (no index)")]);
    assert!(paths(&world).iter().any(|line| line.contains(&tag) && line.ends_with("-> 200")));
}

#[test]
fn a_fallback_tag_that_is_no_index_lists_nothing_and_one_that_is_broken_is_open() {
    let world = World::with_fallback_registry();
    let (reference, pushed) = world.push_web();
    let tag = fallback_tag(&pushed);
    let write = |media_type: &str, bytes: &[u8]| {
        world.registry.put_manifest("charts/web", Some(&tag), media_type, bytes.to_vec());
    };
    write(media_type::MANIFEST, br#"{"schemaVersion":2,"layers":[]}"#);
    refuses(&world, &[&reference], 3, "unsigned", &[]);
    for broken in [
        &b"nonsense"[..],
        br#"{"manifests":[],"manifests":[]}"#,
        br#"{"manifests":[],"layers":[],"config":{}}"#,
        br#"{"manifests":["#,
    ] {
        write(media_type::INDEX, broken);
        refuses(&world, &[&reference], 4, "malformed", &[&format!("tag {tag}: ")]);
    }
    write(media_type::INDEX, br#"{"schemaVersion":2,"manifests":null}"#);
    refuses(&world, &[&reference], 3, "unsigned", &[]);
}

#[test]
fn signatures_beyond_the_first_page_of_referrers_are_seen() {
    let options = Options { page_size: 2, ..Options::default() };
    let world = World::with(options, helm_sigstore_kit::sigstore::Options::default());
    let (reference, pushed) = world.push_web();
    for number in 0..5 {
        attach(&world, &pushed, format!("{{\"n\":{number}}}").as_bytes());
    }
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    world.verify(&[&reference]).exits(0);
    let pages = paths(&world).iter().filter(|line| line.contains("/referrers/")).count();
    assert_eq!(pages, 3);
}

#[test]
fn links_that_loop_or_lead_elsewhere_leave_the_listing_open() {
    let elsewhere = Registry::start(Options::default());
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach(&world, &pushed, b"{}");
    for (link, words) in [
        ("<{path}>; rel=\"next\"".to_owned(), "the pages form a loop"),
        (format!("<{}/v2/>; rel=\"next\"", elsewhere.origin()), "leads to another site"),
        ("<http://>; rel=\"next\"".to_owned(), "is no URL"),
    ] {
        world.registry.clear_faults();
        world.registry.fault(Fault::new("/referrers/", Action::SetHeader("link".into(), link)));
        refuses(&world, &[&reference], 4, "malformed", &[words]);
    }
    world.registry.clear_faults();
    // Each page leads to another one, without end.
    let deeper = "<{path}?x>; rel=\"next\"".to_owned();
    world.registry.fault(Fault::new("/referrers/", Action::SetHeader("link".into(), deeper)));
    world.verify(&[&reference]).exits(4).says("more than 1000 pages");
    assert_eq!(elsewhere.requests(), []);
}

#[test]
fn a_false_promise_of_an_index_is_not_believed() {
    let world = World::new();
    let (reference, _) = sign_into_the_tag(&world);
    for body in [&b"{}"[..], br#"{"tags":[]}"#, br#"{"manifests":{}}"#] {
        world.registry.clear_faults();
        world.registry.fault(Fault::new("/referrers/", Action::ReplaceBody(body.to_vec())));
        let result = world.verdict(&[&reference]);
        assert_eq!(result["signatures"][0]["place"], "fallback-tag", "{result:#}");
    }
    world.registry.clear_faults();
    world.registry.fault(Fault::new("/referrers/", Action::ReplaceBody(b"<html>".to_vec())));
    let result = world.verdict(&[&reference]);
    assert_eq!(result["verdict"], "verified");
}

#[test]
fn the_tags_are_not_asked_once_the_api_gave_a_good_signature() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    world.verify(&[&reference]).exits(0);
    let tag = fallback_tag(&pushed);
    assert!(paths(&world).iter().all(|line| !line.contains(&tag)), "{:?}", paths(&world));
    assert!(paths(&world).iter().all(|line| !line.contains(&pushed.layer_digest)));
}

#[test]
fn a_bundle_that_is_not_inlined_takes_one_request_more() {
    for (world, expected) in [(World::new(), 4), (World::with_fallback_registry(), 6)] {
        let (reference, pushed) = sign_into_the_tag(&world);
        world.verify(&[&reference]).exits(0);
        assert_eq!(paths(&world).len(), expected, "{:?}", paths(&world));
        assert!(paths(&world).iter().all(|line| !line.contains(&pushed.layer_digest)));
    }
}

#[test]
fn a_cold_token_takes_two_requests_more() {
    let bearer = Bearer { anonymous_pull: true, ..Bearer::new("user", "secret") };
    let options = Options { auth: Auth::Bearer(bearer), ..Options::default() };
    let world = World::with(options, helm_sigstore_kit::sigstore::Options::default());
    let (reference, pushed) = world.push_web();
    let bundle = sign(&world, &usual(&pushed, "web", "1.4.2"));
    attach_as(&world, &pushed, &bundle, |manifest| {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(&bundle);
        manifest["layers"][0]["data"] = data.into();
    });
    world.verify(&[&reference]).exits(0);
    let lines = paths(&world);
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].ends_with("-> 401") && lines[1].contains("/token"), "{lines:?}");
}

#[test]
fn other_attestations_cost_nothing_when_their_listing_says_what_they_are() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    for number in 0..9 {
        attach_as(&world, &pushed, format!("{{\"n\":{number}}}").as_bytes(), |manifest| {
            manifest["annotations"]["dev.sigstore.bundle.predicateType"] = SBOM_PREDICATE.into();
            manifest["annotations"]["org.opencontainers.image.created"] =
                "2030-01-01T00:00:00Z".into();
        });
    }
    attach(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")));
    world.verify(&[&reference]).exits(0);
    assert_eq!(paths(&world).len(), 4, "{:?}", paths(&world));
}

#[test]
fn a_chart_that_was_signed_often_takes_no_more_requests_than_one_signed_once() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    let statement = usual(&pushed, "web", "1.4.2");
    for _ in 0..10 {
        attach(&world, &pushed, &sign(&world, &statement));
    }
    world.verify(&[&reference]).exits(0);
    assert_eq!(paths(&world).len(), 4, "{:?}", paths(&world));
    assert_eq!(world.verdict(&[&reference])["signatures"].as_array().unwrap().len(), 1);
}

#[test]
fn a_signature_in_the_tag_counts_although_the_api_lists_only_bad_ones() {
    let world = World::new();
    let (reference, pushed) = world.push_web();
    attach(&world, &pushed, b"{}");
    let digest =
        attach_as(&world, &pushed, &sign(&world, &usual(&pushed, "web", "1.4.2")), |manifest| {
            // The API does not list what has no subject.
            manifest.as_object_mut().unwrap().remove("subject");
        });
    let mut listed = entry(&world, &pushed, &digest);
    listed["artifactType"] = json!(BUNDLE);
    list(&world, &pushed, &[listed]);
    let result = world.verdict(&[&reference]);
    assert_eq!(result["verdict"], "verified");
    let signatures = result["signatures"].as_array().unwrap();
    let places: Vec<&Value> = signatures.iter().map(|signature| &signature["place"]).collect();
    assert_eq!(places, ["referrers", "fallback-tag"]);
}
