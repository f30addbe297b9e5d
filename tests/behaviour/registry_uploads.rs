//! How registries take what is signed, and what is said when they do not.

use helm_sigstore_kit::registry::{
    Action, Fault, Location, Options, Referrers, Registry, media_type,
};
use helm_sigstore_kit::sigstore::Options as SigstoreOptions;

use crate::sign_support::{assert_nothing_public, attached, lines};
use crate::support::World;

fn world(options: Options) -> World {
    World::with(options, SigstoreOptions::default())
}

/// The methods of the requests that store blobs.
fn uploads(world: &World) -> Vec<String> {
    let requests = world.registry.requests();
    let uploads = requests.iter().filter(|request| request.path().contains("/blobs/uploads/"));
    uploads.map(|request| format!("{} {}", request.method, request.status)).collect()
}

/// Signs in a registry of that kind, and verifies; answers how each of the two blobs was stored.
#[track_caller]
fn signs(options: Options) -> Vec<String> {
    let world = world(options);
    let (reference, pushed) = world.push_web();
    world.run(&["sign", &reference]).exits(0);
    let uploads = uploads(&world);
    assert_eq!(attached(&world, &pushed).len(), 1);
    world.verify(&[&reference]).exits(0);
    uploads
}

#[test]
fn a_blob_is_stored_in_one_request_where_the_registry_takes_it() {
    assert_eq!(signs(Options::default()), ["POST 201", "POST 201"]);
}

#[test]
fn a_blob_is_stored_in_two_requests_where_one_only_opens_an_upload() {
    let options = Options { single_post_upload: false, ..Options::default() };
    assert_eq!(signs(options), ["POST 202", "PUT 201", "POST 202", "PUT 201"]);
}

#[test]
fn the_place_of_an_upload_may_be_absolute_relative_or_missing() {
    for location in [Location::Absolute, Location::Relative, Location::Missing] {
        for single_post_upload in [true, false] {
            let options =
                Options { location: location.clone(), single_post_upload, ..Options::default() };
            signs(options);
        }
    }
}

#[test]
fn a_blob_is_stored_in_pieces_where_nothing_else_will_do() {
    let options = Options { single_post_upload: false, put_upload: false, ..Options::default() };
    let uploads = signs(options);
    assert_eq!(uploads[..5], ["POST 202", "PUT 400", "POST 202", "PATCH 202", "PUT 201"]);
}

#[test]
fn a_registry_gets_pieces_as_large_as_it_wants_them() {
    let options = Options {
        single_post_upload: false,
        put_upload: false,
        chunk_min_length: Some(1 << 20),
        ..Options::default()
    };
    let uploads = signs(options);
    assert_eq!(uploads.iter().filter(|line| line.starts_with("PATCH")).count(), 2, "{uploads:?}");
}

#[test]
fn a_proxy_that_bounds_the_first_request_is_got_past_with_the_others() {
    let world = world(Options::default());
    let (reference, pushed) = world.push_web();
    world.registry.fault(Fault::new("digest=", Action::status(413)).method("POST"));
    world.run(&["sign", &reference]).exits(0);
    assert_eq!(attached(&world, &pushed).len(), 1);
}

#[test]
fn a_body_that_is_too_large_is_told_with_its_size() {
    let world = world(Options { max_upload_request: 1, ..Options::default() });
    let (reference, _) = world.push_web();
    let ended = world.run(&["sign", &reference]).exits(4);
    ended.says(": 413").says("it has 2 bytes; the registry, or a proxy before it, does not take");
    assert_nothing_public(&world);
    assert!(uploads(&world).len() <= 5, "{:#?}", lines(&world));
}

#[test]
fn a_blob_that_is_there_already_is_no_conflict() {
    let world = world(Options { refuses_known_blobs: true, ..Options::default() });
    let (reference, pushed) = world.push_web();
    for _ in 0..2 {
        world.run(&["sign", &reference]).exits(0);
    }
    assert_eq!(attached(&world, &pushed).len(), 2);
    assert!(uploads(&world).contains(&"POST 409".to_owned()), "{:#?}", lines(&world));
}

#[test]
fn an_upload_that_leads_to_a_place_nobody_should_go_to_ends_undecided() {
    let other = Registry::start(Options::default());
    for (location, words) in [
        (Location::Verbatim("http://169.254.169.254/x".into()), "to a link-local address"),
        (Location::Verbatim("file:///etc/passwd".into()), "malformed Location"),
        (Location::Verbatim("http://[".into()), "malformed Location"),
        // It takes the bytes for somebody else's upload.
        (Location::Foreign(other.origin()), ": 404"),
    ] {
        let world = world(Options { location, single_post_upload: false, ..Options::default() });
        let (reference, _) = world.push_web();
        world.run(&["sign", &reference]).exits(4).says(words);
        assert_nothing_public(&world);
        assert!(other.requests().iter().all(|request| !request.authorization));
    }
}

/// Signs where the write to `path` is answered in that way; nothing may be public if `early`.
#[track_caller]
fn refused(path: &str, method: &str, status: u16, body: &str, early: bool, words: &[&str]) {
    let world = World::with_fallback_registry();
    let (reference, _) = world.push_web();
    let body = body.as_bytes().to_vec();
    let action = Action::Status { status, headers: Vec::new(), body };
    world.registry.fault(Fault::new(path, action).method(method));
    let ended = world.run(&["sign", &reference]).exits(4).says(&format!(": {status}"));
    for words in words {
        assert!(ended.stderr.contains(words), "no {words:?} in {}", ended.stderr);
    }
    if early {
        assert_nothing_public(&world);
    }
}

#[test]
fn a_list_of_media_types_says_what_to_ask_the_administrator_for() {
    let allowed = vec![media_type::CHART_CONFIG.to_owned(), "application/x".to_owned()];
    let world = world(Options { allowed_types: Some(allowed), ..Options::default() });
    let (reference, pushed) = world.push_web();
    let ended = world.run(&["sign", &reference]).exits(4);
    ended
        .says("unknown media type")
        .says("ask its administrator to allow application/vnd.dev.sigstore.bundle.v0.3+json and")
        .says("application/vnd.oci.empty.v1+json");
    assert_eq!(attached(&world, &pushed).len(), 0);
}

#[test]
fn a_used_up_quota_is_told_wherever_it_is_met() {
    let harbor = r#"{"errors":[{"code":"DENIED","message":"adding 3.1 KiB of storage resource, which when updated to current usage of 10.0 GiB will exceed the configured upper limit of 10.0 GiB"}]}"#;
    refused("/blobs/uploads/", "POST", 403, harbor, true, &["storage quota", "administrator"]);
    refused("/manifests/sha256:", "PUT", 403, harbor, false, &["storage quota"]);
    refused("/manifests/sha256-", "PUT", 412, harbor, false, &["storage quota"]);
    refused("/blobs/uploads/", "POST", 507, "{}", true, &["storage quota"]);
}

#[test]
fn a_registry_that_is_read_only_is_found_out_before_anything_is_public() {
    let harbor = r#"{"errors":[{"code":"DENIED","message":"The system is in read only mode. Any modification is prohibited."}]}"#;
    refused("/blobs/uploads/", "POST", 403, harbor, true, &["read-only for now", "sign later"]);
    // CNCF distribution in its read-only mode, and as a mirror.
    let distribution =
        r#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#;
    refused("/blobs/uploads/", "POST", 405, distribution, true, &["takes no writes here"]);
}

#[test]
fn an_immutable_tag_is_told_by_either_status() {
    for (status, body) in [
        (412, r#"{"errors":[{"code":"PRECONDITION","message":"configured as immutable"}]}"#),
        (409, r#"{"errors":[{"code":"TAG_IMMUTABLE","message":"the tag cannot be overwritten"}]}"#),
        (
            400,
            r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag already exists and cannot be overwritten because the repository is immutable."}]}"#,
        ),
    ] {
        let words = ["tags are immutable here", "exempt the tags sha256-* from immutability"];
        refused("/manifests/sha256-", "PUT", status, body, false, &words);
    }
}

#[test]
fn a_signature_is_attached_where_tags_are_immutable_and_the_registry_lists_referrers() {
    let options = Options { immutable_tags: true, referrers: Referrers::Api, ..Options::default() };
    signs(options);
}
