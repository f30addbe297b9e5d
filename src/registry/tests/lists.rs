//! Tags and referrers, page by page.

use super::*;

#[tokio::test]
async fn every_way_to_lack_the_referrers_api_is_an_absence() {
    for (status, headers, body, why) in [
        (404, vec![("Content-Type", "text/plain")], "404 page not found", "404"),
        (404, vec![], r#"{"errors":[{"code":"METHOD_UNKNOWN"}]}"#, "404"),
        (400, vec![], "", "400"),
        (405, vec![], "", "405"),
        (406, vec![], "", "406"),
        (501, vec![], "", "501"),
        (303, vec![("Location", "https://web.example/x?token=secret")], "", "303 to another site"),
        (200, vec![("Content-Type", "text/html")], "<html>", "200 text/html"),
        (
            200,
            vec![("Content-Type", "application/json")],
            r#"{"manifests":[]}"#,
            "200 application/json",
        ),
        (
            200,
            vec![("Content-Type", INDEX)],
            r#"{"tags":[]}"#,
            "200 with something else than an index",
        ),
    ] {
        let server = Server::start(move |_, _| reply(status, &headers, body)).await;
        match open(&server).referrers(&Digest::of(b"x")).await.unwrap() {
            Referrers::Absent { why: found } => assert_eq!(found, why),
            listed => panic!("{why}: {listed:?}"),
        }
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_401_or_403_leaves_open_whether_there_is_a_referrers_api() {
    for status in [401, 403] {
        let server = Server::start(move |seen, _| match seen.header("authorization") {
            _ if seen.path().contains("referrers") => reply(status, &[], ""),
            Some(_) => reply(404, &[], ""),
            None => reply(401, &[("WWW-Authenticate", "Basic")], ""),
        })
        .await;
        let known = with(&server, user(), Access::Pull);
        known.manifest("1").await.unwrap();
        for repository in [known, open(&server)] {
            let error = repository.referrers(&Digest::of(b"x")).await.unwrap_err();
            assert_eq!((error.class, error.reason), (Class::Undecided, Reason::Unauthorized));
        }
    }
}

fn entry(n: usize) -> String {
    serde_json::to_string(&Descriptor::of(MANIFEST, n.to_string().as_bytes())).unwrap()
}

fn index(entries: impl IntoIterator<Item = usize>) -> String {
    let entries: Vec<_> = entries.into_iter().map(entry).collect();
    format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","))
}

#[tokio::test]
async fn follows_link_pages() {
    let server = Server::start(|seen, n| {
        let next = match n {
            0 => "<?page=2>; rel=\"next\"".to_owned(),
            1 => format!("<http://{}/v2/x/3>; rel=next", seen.header("host").unwrap()),
            _ => "<x>; rel=prev".to_owned(),
        };
        reply(200, &[("Content-Type", INDEX), ("Link", &next)], index([n, n + 10]))
    })
    .await;
    let Referrers::Listed(entries) = open(&server).referrers(&Digest::of(b"x")).await.unwrap()
    else {
        panic!("absent")
    };
    assert_eq!(entries.len(), 6);
    assert!(entries.iter().all(|entry| entry.is_ok()));
    assert_eq!(server.seen()[2].target, "/v2/x/3");
    assert!(server.seen().iter().all(|s| !s.target.contains("artifactType")));
    assert!(server.seen().iter().all(|s| s.header("accept") == Some(INDEX)));
}

#[tokio::test]
async fn refuses_lists_that_never_end_or_lead_away() {
    type Script = fn(&Seen, usize) -> Reply;
    let cases: [(Script, Reason, &str, usize); 7] = [
        (
            |_, _| reply(200, &[("Content-Type", INDEX), ("Link", "<?p=1>; rel=next")], index([])),
            Reason::Malformed,
            "the pages form a loop",
            2,
        ),
        (
            |_, n| {
                let next = format!("<?p={n}>; rel=next");
                reply(200, &[("Content-Type", INDEX), ("Link", &next)], index([n]))
            },
            Reason::LimitReached,
            "more than 20 referrers",
            21,
        ),
        (
            |_, _| {
                let next = "<https://a.example/>; rel=next";
                reply(200, &[("Content-Type", INDEX), ("Link", next)], index([]))
            },
            Reason::Malformed,
            "the link to the next page leads to another site",
            1,
        ),
        (
            |_, _| {
                let next = "<http://[>; rel=next";
                reply(200, &[("Content-Type", INDEX), ("Link", next)], index([]))
            },
            Reason::Malformed,
            "the link to the next page is no URL",
            1,
        ),
        (
            |_, n| {
                let next = format!("<?p={n}>; rel=next");
                let padded = format!("{{\"manifests\":[]{}}}", " ".repeat(3000));
                reply(200, &[("Content-Type", INDEX), ("Link", &next)], padded)
            },
            Reason::LimitReached,
            "over its bound of 988: of a list, 10036 bytes are read",
            4,
        ),
        (
            |_, n| match n {
                0 => {
                    let next = "<?p=1>; rel=next";
                    reply(200, &[("Content-Type", INDEX), ("Link", next)], index([1]))
                }
                _ => reply(404, &[], ""),
            },
            Reason::Malformed,
            "a page is missing: 404",
            2,
        ),
        (
            |_, _| reply(200, &[("Content-Type", INDEX)], "{\"manifests\":["),
            Reason::Malformed,
            "the index is not valid JSON",
            1,
        ),
    ];
    for (script, reason, why, requests) in cases {
        let server = Server::start(script).await;
        let registry = registry(Credentials::anonymous(), |settings| {
            settings.max_referrers = 20;
            settings.max_list_bytes = 10_036;
        });
        let repository = registry.repository(&server.host(), "a", Access::Pull).unwrap();
        let error = repository.referrers(&Digest::of(b"x")).await.unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
        assert_eq!((error.class, error.reason), (Class::Undecided, reason), "{why}");
        assert_eq!(server.seen().len(), requests, "{why}");
    }
}

#[tokio::test]
async fn lists_tags_over_pages() {
    let server = Server::start(|seen, n| match (seen.path(), n) {
        ("/v2/acme/web/tags/list", 0) => {
            let next = "</v2/acme/web/tags/list?last=b&n=1000>; rel=\"next\"";
            reply(200, &[("Link", next)], r#"{"name":"x","tags":["a","b","not a tag"]}"#)
        }
        ("/v2/acme/web/tags/list", 1) => reply(200, &[], r#"{"tags":["c"]}"#),
        ("/v2/acme/web/tags/list", 2) => reply(200, &[], r#"{"tags":null}"#),
        ("/v2/acme/web/tags/list", 3) => reply(404, &[], ""),
        _ => reply(200, &[], "<html>"),
    })
    .await;
    let repository = open(&server);
    assert_eq!(repository.tags().await.unwrap().unwrap(), ["a", "b", "c"]);
    assert_eq!(
        server.lines(),
        ["GET /v2/acme/web/tags/list?n=1000", "GET /v2/acme/web/tags/list?last=b&n=1000"]
    );
    assert!(repository.tags().await.unwrap().unwrap().is_empty());
    assert!(repository.tags().await.unwrap().is_none());
    assert_eq!(repository.tags().await.unwrap_err().reason, Reason::Malformed);
    let few = registry(Credentials::anonymous(), |settings| settings.max_tags = 1);
    let server = Server::start(|_, _| reply(200, &[], r#"{"tags":["a","b"]}"#)).await;
    let error = few.repository(&server.host(), "a", Access::Pull).unwrap().tags().await;
    assert_eq!(error.unwrap_err().reason, Reason::LimitReached);
}
