//! The endpoints of the distribution specification.

use super::*;

#[test]
fn serves_a_chart_by_tag_and_by_digest() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    let by_tag = get(&registry, "/v2/charts/web/manifests/1.4.2");
    assert_eq!(by_tag.status, 200);
    assert_eq!(by_tag.header("content-type"), Some(media_type::MANIFEST));
    assert_eq!(by_tag.header("docker-content-digest"), Some(pushed.manifest_digest.as_str()));
    assert_eq!(by_tag.body, pushed.manifest);
    assert!(by_tag.json().get("mediaType").is_none(), "helm writes no top-level media type");
    let by_digest = get(&registry, &format!("/v2/charts/web/manifests/{}", pushed.manifest_digest));
    assert_eq!(by_digest.body, by_tag.body);
    let layer = get(&registry, &format!("/v2/charts/web/blobs/{}", pushed.layer_digest));
    assert_eq!(layer.body, Chart::new("web", "1.4.2").tgz());
}

#[test]
fn head_tells_the_length_and_sends_nothing() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    let reply = send(&registry, "HEAD", "/v2/charts/web/manifests/1.4.2", &[], b"");
    assert_eq!(reply.header("content-length"), Some(pushed.manifest.len().to_string().as_str()));
    assert!(reply.body.is_empty());
}

#[test]
fn unknown_things_are_json_errors() {
    let registry = Registry::start(Options::default());
    web(&registry);
    for (path, code) in [
        ("/v2/charts/web/manifests/9.9.9", "MANIFEST_UNKNOWN"),
        ("/v2/charts/none/manifests/1", "NAME_UNKNOWN"),
        ("/v2/charts/none/tags/list", "NAME_UNKNOWN"),
        ("/v2/charts/web/blobs/sha256:00", "BLOB_UNKNOWN"),
    ] {
        let reply = get(&registry, path);
        assert_eq!((reply.status, reply.json()["errors"][0]["code"].as_str()), (404, Some(code)));
    }
}

#[test]
fn uploads_a_blob_in_two_requests_or_three() {
    let registry = Registry::start(Options::fallback());
    let digest = digest_of(b"hello world");
    let begun = send(&registry, "POST", "/v2/c/x/blobs/uploads/?digest=ignored", &[], b"");
    assert_eq!(begun.status, 202);
    let put = format!("{}&digest={digest}", begun.header("location").unwrap());
    assert_eq!(send(&registry, "PUT", &put, &[], b"hello world").status, 201);
    assert_eq!(registry.blob("c/x", &digest).as_deref(), Some(&b"hello world"[..]));

    let begun = send(&registry, "POST", "/v2/c/y/blobs/uploads/", &[], b"");
    let patch = send(&registry, "PATCH", begun.header("location").unwrap(), &[], b"hello ");
    assert_eq!((patch.status, patch.header("range")), (202, Some("0-5")));
    let put = format!("{}&digest={digest}", patch.header("location").unwrap());
    assert_eq!(send(&registry, "PUT", &put, &[], b"world").status, 201);
    assert!(registry.blob("c/y", &digest).is_some());
}

#[test]
fn refuses_an_upload_that_is_not_its_digest() {
    let registry = Registry::start(Options::default());
    let wrong = digest_of(b"other");
    let path = format!("/v2/c/x/blobs/uploads/?digest={wrong}");
    let reply = send(&registry, "POST", &path, &[], b"hello");
    assert_eq!(
        (reply.status, reply.json()["errors"][0]["code"].as_str()),
        (400, Some("DIGEST_INVALID"))
    );
    assert!(registry.blobs("c/x").is_empty());
}

#[test]
fn uploads_in_one_request_and_mounts_where_the_options_say_so() {
    let registry = Registry::start(Options::default());
    let digest = digest_of(b"hello");
    let post = format!("/v2/c/x/blobs/uploads/?digest={digest}");
    assert_eq!(send(&registry, "POST", &post, &[], b"hello").status, 201);
    let mount = format!("/v2/c/y/blobs/uploads/?mount={digest}&from=c/x");
    assert_eq!(send(&registry, "POST", &mount, &[], b"").status, 201);
    assert!(registry.blob("c/y", &digest).is_some());
    let absent = format!("/v2/c/y/blobs/uploads/?mount={digest}&from=c/none");
    assert_eq!(send(&registry, "POST", &absent, &[], b"").status, 202);
}

#[test]
fn location_takes_the_form_that_was_asked_for() {
    for (location, expected) in [
        (Location::Relative, Some("/v2/c/x/")),
        (Location::Missing, None),
        (
            Location::Foreign("http://other.invalid".to_owned()),
            Some("http://other.invalid/v2/c/x/"),
        ),
        (Location::Verbatim("::not a url".to_owned()), Some("::not a url")),
    ] {
        let registry = Registry::start(Options { location, ..Options::default() });
        let reply = send(&registry, "POST", "/v2/c/x/blobs/uploads/", &[], b"");
        match (reply.header("location"), expected) {
            (Some(found), Some(expected)) => assert!(found.starts_with(expected), "{found}"),
            (found, expected) => assert_eq!(found, expected),
        }
    }
}

#[test]
fn puts_a_manifest_and_refuses_bad_ones() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    let subject = pushed.manifest_digest.as_str();
    let body = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{{\"digest\":\"{}\"}},\"layers\":[],\"subject\":{{\"digest\":\"{subject}\"}}}}",
        media_type::MANIFEST,
        pushed.config_digest
    );
    let typed = format!("content-type: {}", media_type::MANIFEST);
    let put = |reference: &str, body: &str| {
        send(
            &registry,
            "PUT",
            &format!("/v2/charts/web/manifests/{reference}"),
            &[&typed],
            body.as_bytes(),
        )
    };
    let digest = digest_of(body.as_bytes());
    let reply = put(&digest, &body);
    assert_eq!((reply.status, reply.header("oci-subject")), (201, Some(subject)));
    assert_eq!(reply.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(registry.referrers("charts/web", subject).len(), 1);
    assert_eq!(registry.tags("charts/web"), ["1.4.2"]);

    assert_eq!(put(subject, &body).status, 400, "another digest");
    assert_eq!(put("-tag", &body).status, 400, "no tag");
    let unknown = body.replace(&pushed.config_digest, &digest_of(b"nowhere"));
    let reply = put("next", &unknown);
    assert_eq!(reply.json()["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn oci_subject_follows_the_api_or_lies() {
    for (referrers, oci_subject, expected) in [
        (Referrers::Api, None, true),
        (Referrers::NotFound, None, false),
        (Referrers::NotFound, Some(true), true),
        (Referrers::Api, Some(false), false),
    ] {
        let registry = Registry::start(Options { referrers, oci_subject, ..Options::default() });
        let body = "{\"subject\":{\"digest\":\"sha256:00\"}}";
        let reply =
            send(&registry, "PUT", "/v2/c/x/manifests/t", &["content-type: a/b"], body.as_bytes());
        assert_eq!(reply.header("oci-subject").is_some(), expected);
    }
}

#[test]
fn pages_tags_with_links() {
    let registry = Registry::start(Options { page_size: 2, ..Options::default() });
    for version in ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"] {
        registry.push_chart("charts/web", &Chart::new("web", version));
    }
    let (mut path, mut tags, mut pages) = ("/v2/charts/web/tags/list".to_owned(), Vec::new(), 0);
    loop {
        let reply = get(&registry, &path);
        pages += 1;
        tags.extend(
            reply.json()["tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tag| tag.as_str().unwrap().to_owned()),
        );
        let Some(link) = reply.header("link") else { break };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!((pages, tags.len()), (3, 5));
    assert_eq!(tags, registry.tags("charts/web"));
}

#[test]
fn pages_and_filters_referrers() {
    let registry = Registry::start(Options { page_size: 2, ..Options::default() });
    let subject = web(&registry).manifest_digest;
    let attached: Vec<_> = (0..5).map(|number| attach(&registry, &subject, number)).collect();
    let (mut path, mut found) = (format!("/v2/charts/web/referrers/{subject}"), Vec::new());
    loop {
        let reply = get(&registry, &path);
        assert_eq!(reply.header("content-type"), Some(media_type::INDEX));
        for entry in reply.json()["manifests"].as_array().unwrap() {
            assert_eq!(entry["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
            found.push(entry["digest"].as_str().unwrap().to_owned());
        }
        let Some(link) = reply.header("link") else { break };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(found, attached);
    let filtered =
        get(&registry, &format!("/v2/charts/web/referrers/{subject}?artifactType=a%2Fb"));
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(filtered.json()["manifests"].as_array().unwrap().len(), 0);
}

#[test]
fn referrers_answer_in_every_shape_that_was_seen() {
    for (referrers, status, content_type) in [
        (Referrers::Api, 200, Some(media_type::INDEX)),
        (Referrers::Empty, 200, Some(media_type::INDEX)),
        (Referrers::FalseOk, 200, Some("application/json")),
        (Referrers::NotFound, 404, Some("text/plain; charset=utf-8")),
        (Referrers::NotFoundJson, 404, Some("application/json; charset=utf-8")),
        (Referrers::ApiForKnown, 404, Some("application/json; charset=utf-8")),
        (Referrers::Status(401), 401, Some("application/json; charset=utf-8")),
        (Referrers::RedirectTo("https://web.invalid{path}".to_owned()), 303, None),
    ] {
        let registry =
            Registry::start(Options { referrers: referrers.clone(), ..Options::default() });
        let path = format!("/v2/charts/web/referrers/{}", digest_of(b"x"));
        let reply = get(&registry, &path);
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, content_type),
            "{referrers:?}"
        );
        assert_eq!(reply.header("www-authenticate"), None);
        if status == 303 {
            assert_eq!(
                reply.header("location"),
                Some(format!("https://web.invalid{path}").as_str())
            );
        }
    }
}

#[test]
fn deletes_tags_and_manifests() {
    let registry = Registry::start(Options::default());
    let pushed = web(&registry);
    assert_eq!(send(&registry, "DELETE", "/v2/charts/web/manifests/1.4.2", &[], b"").status, 202);
    assert!(registry.tags("charts/web").is_empty());
    let path = format!("/v2/charts/web/manifests/{}", pushed.manifest_digest);
    assert_eq!(send(&registry, "DELETE", &path, &[], b"").status, 202);
    assert_eq!(get(&registry, &path).status, 404);
}

#[test]
fn registries_of_today_have_their_ways() {
    let registry = Registry::start(Options {
        immutable_tags: true,
        digest_tags: true,
        allowed_types: Some(vec![media_type::CHART_CONFIG.to_owned()]),
        ..Options::default()
    });
    let pushed = web(&registry);
    let typed = format!("content-type: {}", media_type::MANIFEST);
    let put = |tag: &str, body: &[u8]| {
        send(&registry, "PUT", &format!("/v2/charts/web/manifests/{tag}"), &[&typed], body).status
    };
    assert_eq!(put("1.4.2", &pushed.manifest), 412);
    assert_eq!(put("1.4.3", &pushed.manifest), 201);
    assert_eq!(
        put("1.4.4", b"{\"artifactType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\"}"),
        400
    );
    let tag = pushed.manifest_digest.replace(':', "-");
    assert_eq!(get(&registry, &format!("/v2/charts/web/manifests/{tag}")).body, pushed.manifest);
}

#[test]
fn two_registries_can_serve_one_content() {
    let content = Registry::start(Options::default());
    let pushed = web(&content);
    let store = Some(content.store());
    let front = Registry::start(Options { store, ..Options::default() });
    assert_eq!(get(&front, MANIFEST).body, pushed.manifest);
    assert_eq!((content.requests().len(), front.requests().len()), (0, 1));
}

#[test]
fn makes_an_index_of_any_length() {
    let index: Value = serde_json::from_slice(&index_of(1000)).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 1000);
    assert_ne!(entries[0]["digest"], entries[999]["digest"]);
}

#[test]
fn provenance_becomes_a_layer_and_layers_are_sorted() {
    let registry = Registry::start(Options::default());
    let pushed =
        registry.push_chart("charts/web", &Chart::new("web", "1.4.2+b.5").provenance("signed"));
    assert_eq!(pushed.tag, "1.4.2_b.5");
    let manifest: Value = serde_json::from_slice(&pushed.manifest).unwrap();
    let layers: Vec<_> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["digest"].as_str().unwrap())
        .collect();
    assert_eq!(layers.len(), 2);
    assert!(layers.is_sorted() && layers.contains(&pushed.provenance_digest.unwrap().as_str()));
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.4.2+b.5");
}
