use super::*;
use crate::error::Class;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> (String, String, Option<String>, bool) {
    let reference = ChartReference::parse(text).unwrap();
    assert_eq!(reference.typed, text);
    assert_eq!(reference.to_string(), text);
    (reference.host, reference.repository, reference.tag, reference.digest.is_some())
}

#[test]
fn accepts_what_helm_accepts_and_what_users_paste() {
    let d = format!("@sha256:{HEX}");
    for (text, host, repository, tag, digest) in [
        ("oci://ghcr.io/acme/charts/web", "ghcr.io", "acme/charts/web", None, false),
        ("oci://ghcr.io/acme/web:1.4.2", "ghcr.io", "acme/web", Some("1.4.2"), false),
        ("ghcr.io/acme/web:1.4.2", "ghcr.io", "acme/web", Some("1.4.2"), false),
        ("localhost/web:latest", "localhost", "web", Some("latest"), false),
        ("localhost:5000/web", "localhost:5000", "web", None, false),
        ("LOCALHOST:5000/web", "localhost:5000", "web", None, false),
        ("oci://registry/charts/web", "registry", "charts/web", None, false),
        ("OCI://registry/charts/web", "registry", "charts/web", None, false),
        ("oci://my_registry:5000/web", "my_registry:5000", "web", None, false),
        ("127.0.0.1:5000/web:1", "127.0.0.1:5000", "web", Some("1"), false),
        ("[::1]:5000/a/web:1.0.0", "[::1]:5000", "a/web", Some("1.0.0"), false),
        ("oci://[fe80::1]/web", "[fe80::1]", "web", None, false),
        ("ghcr.io/a/web:1.3.0+build.5", "ghcr.io", "a/web", Some("1.3.0_build.5"), false),
        ("ghcr.io/a/web:1.3.0_build.5", "ghcr.io", "a/web", Some("1.3.0_build.5"), false),
        ("ghcr.io/a/a__b/c.d/e---f/g_h", "ghcr.io", "a/a__b/c.d/e---f/g_h", None, false),
        (&format!("ghcr.io/a/web{d}"), "ghcr.io", "a/web", None, true),
        (&format!("oci://ghcr.io/a/web:1.0.0{d}"), "ghcr.io", "a/web", Some("1.0.0"), true),
        ("docker.io/acme/web:1", "docker.io", "acme/web", Some("1"), false),
        ("xn--bcher-kva.example/web", "xn--bcher-kva.example", "web", None, false),
    ] {
        let expected = (host.into(), repository.into(), tag.map(String::from), digest);
        assert_eq!(parse(text), expected, "{text}");
    }
}

#[test]
fn reads_past_what_helm_reads_past_and_says_so_to_who_writes() {
    let d = format!("sha256:{HEX}");
    for (text, repository, tag, digest, overlooked) in [
        ("oci://ghcr.io/a/web:", "a/web", None, false, "the tag is empty"),
        ("ghcr.io/a/web@", "a/web", None, false, "the digest is empty"),
        ("ghcr.io/a/web:1.4.2@", "a/web", Some("1.4.2"), false, "the digest is empty"),
        (&format!("ghcr.io/a/web:@{d}"), "a/web", None, true, "the tag is empty"),
        ("oci://ghcr.io/a%2Fweb%3A1.4.2", "a/web", Some("1.4.2"), false, "percent-encoded"),
        ("oci://ghcr.io/a/web:1%2b2", "a/web", Some("1_2"), false, "percent-encoded"),
        (&format!("oci://ghcr.io/a/web%40{d}"), "a/web", None, true, "percent-encoded"),
    ] {
        let expected = ("ghcr.io".into(), repository.into(), tag.map(String::from), digest);
        assert_eq!(parse(text), expected, "{text}");
        let found = ChartReference::parse(text).unwrap().overlooked().unwrap();
        assert!(found.contains(overlooked), "{text}: {found}");
    }
    for text in ["ghcr.io/a/web", "[::1]:5000/a/web:1", &format!("ghcr.io/a/web:1@{d}")] {
        assert_eq!(ChartReference::parse(text).unwrap().overlooked(), None, "{text}");
    }
}

#[test]
fn changes_plus_in_the_tag_and_nowhere_else() {
    // Helm replaces the tag's text everywhere, which turns this host into another one.
    let reference = ChartReference::parse("ghcr.io/a1_b/1_b:1_b").unwrap();
    assert_eq!(reference.repository, "a1_b/1_b");
    let reference = ChartReference::parse("1.2:5000/a/1.2:1.2+1").unwrap();
    assert_eq!(reference.host, "1.2:5000");
    assert_eq!(reference.repository, "a/1.2");
    assert_eq!(reference.tag.as_deref(), Some("1.2_1"));
    assert_eq!(reference.tag_version().as_deref(), Some("1.2+1"));
}

#[test]
fn refuses_malformed_references_and_says_why() {
    let long = "a".repeat(256);
    for (text, why) in [
        ("", "empty"),
        ("web", "names no registry"),
        ("acme/charts/web", "names no registry"),
        ("./web", "is no host name"),
        ("../web", "is no host name"),
        ("oci://", "host is missing"),
        ("oci:///web", "host is missing"),
        ("oci://ghcr.io", "no repository"),
        ("oci://ghcr.io/", "no repository"),
        ("ghcr.io/:1.0", "no repository"),
        ("ghcr.io/a/", "\"\" cannot be part"),
        ("ghcr.io//a", "\"\" cannot be part"),
        ("ghcr.io/a/../b", "\"..\" cannot be part"),
        ("ghcr.io/a/./b", "\".\" cannot be part"),
        ("ghcr.io/Acme/web", "lower case"),
        ("ghcr.io/-web", "cannot be part"),
        ("ghcr.io/web-", "cannot be part"),
        ("ghcr.io/a___b", "cannot be part"),
        ("ghcr.io/a.-b", "cannot be part"),
        ("ghcr.io/a?b", "cannot be part"),
        ("ghcr.io/a#b", "cannot be part"),
        ("ghcr.io/a%", "stands for nothing"),
        ("ghcr.io/a%2", "stands for nothing"),
        ("ghcr.io/a%+2b", "stands for nothing"),
        ("ghcr.io/a%zz", "stands for nothing"),
        ("ghcr.io/a%00", "stands for nothing"),
        ("ghcr.io/a%0a", "stands for nothing"),
        ("ghcr.io/a%20b", "stands for nothing"),
        ("ghcr.io/a%c3%a9", "stands for nothing"),
        ("ghcr.io/web%253A1", "stands for nothing"),
        ("ghcr.io/a%2f..%2fb", "\"..\" cannot be part"),
        ("ghcr.io/a%3fb", "cannot be part"),
        ("ghcr.io/wéb", "cannot be part"),
        ("ghcr.io/a\\b", "cannot be part"),
        ("ghcr.io/a b", "holds ' '"),
        ("ghcr.io/a\n", "holds '\\n'"),
        ("ghcr.io/a\u{1b}[31m", "holds"),
        ("ghcr.io/web:+1", "is no tag"),
        ("ghcr.io/web:.1", "is no tag"),
        ("ghcr.io/web:1:2", "is no tag"),
        ("ghcr.io/web:1~2", "is no tag"),
        ("ghcr.io/web:1/2", "is no tag"),
        ("ghcr.io/web@x", "sha256:HEX"),
        ("ghcr.io/web::", "is no tag"),
        ("ghcr.io/web@@", "sha256:HEX"),
        ("ghcr.io/web@sha256:00", "64 lower-case"),
        ("ghcr.io/web@sha512:00", "not sha256"),
        (&format!("ghcr.io/web@sha256:{HEX}@sha256:{HEX}"), "64 lower-case"),
        (&format!("ghcr.io/web@sha256:{HEX}:1.0"), "64 lower-case"),
        ("ghcr.io:/web", "is no port"),
        ("ghcr.io:0/web", "is no port"),
        ("ghcr.io:65536/web", "is no port"),
        ("ghcr.io:+80/web", "is no port"),
        ("ghcr.io:80:80/web", "is no port"),
        ("oci://gh_cr..io/web", "is no host name"),
        ("oci://-a/web", "is no host name"),
        ("oci://gïthub.com/web", "is no host name"),
        ("oci://[::1/web", "not closed"),
        ("oci://[::1%25lo]/web", "no IPv6 address"),
        ("oci://[::g]/web", "no IPv6 address"),
        ("oci://[::1]x/web", "only a port"),
        (&format!("ghcr.io/{long}"), "longer than 255"),
        (&format!("ghcr.io/web:{}", "1".repeat(129)), "longer than 128"),
        (&format!("{long}.io/web"), "is no host name"),
        (&format!("ghcr.io/{}", "a/".repeat(600)), "longer than 1024"),
    ] {
        let error = ChartReference::parse(text).unwrap_err();
        assert_eq!(error.class, Class::Usage, "{text}");
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
}

#[test]
fn hints_only_where_one_thing_can_be_meant() {
    for (text, hint) in [
        ("https://ghcr.io/acme/web:1.0.0", Some("oci://ghcr.io/acme/web:1.0.0")),
        ("docker://ghcr.io/acme/web:1.0.0", Some("oci://ghcr.io/acme/web:1.0.0")),
        ("https://charts.example.com/index.yaml?x=1", None),
        ("ghcr.io/Acme/Web:V1", Some("ghcr.io/acme/web:V1")),
        ("ghcr.io/Acme/W?b", None),
        ("acme/web:1.0.0", Some("oci://REGISTRY/acme/web:1.0.0")),
        ("web", None),
    ] {
        let error = ChartReference::parse(text).unwrap_err();
        assert_eq!(error.hint.as_deref(), hint, "{text}: {error}");
    }
}

#[test]
fn never_repeats_a_password() {
    for text in [
        "oci://bob:hunter2@ghcr.io/acme/web",
        "bob:hunter2@ghcr.io/acme/web",
        "https://bob:hunter2@ghcr.io/acme/web",
        "oci://hunter2@ghcr.io",
    ] {
        let error = ChartReference::parse(text).unwrap_err().on(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        assert!(error.to_string().contains("credentials"), "{error}");
    }
}

#[test]
fn says_what_others_need() {
    let digest = Digest::parse(&format!("sha256:{HEX}")).unwrap();
    let reference = ChartReference::parse("docker.io/acme/charts/web:1.0.0+b").unwrap();
    assert_eq!(reference.name(), "web");
    assert_eq!(reference.request_host(), "registry-1.docker.io");
    assert_eq!(reference.repository_ref(), "oci://docker.io/acme/charts/web");
    let pinned = format!("oci://docker.io/acme/charts/web@sha256:{HEX}");
    assert_eq!(reference.with_digest(&digest), pinned);
    assert_eq!(ChartReference::parse(&pinned).unwrap().digest, Some(digest));
    assert_eq!(reference.wire_reference().as_deref(), Some("1.0.0_b"));
    let both = ChartReference::parse(&format!("ghcr.io/a/web:1@{digest}")).unwrap();
    assert_eq!(both.wire_reference(), Some(digest.to_string()));
    assert_eq!(both.request_host(), "ghcr.io");
    let bare = ChartReference::parse("localhost/web").unwrap();
    assert_eq!((bare.name(), bare.wire_reference()), ("web", None));
    assert_eq!(bare.with_tag("1.0.0+b").unwrap().tag.as_deref(), Some("1.0.0_b"));
    assert!(bare.with_tag("a b").is_err());
}

#[test]
fn finds_where_helm_push_put_a_chart() {
    for (prefix, expected) in [
        ("oci://ghcr.io/acme/charts", "oci://ghcr.io/acme/charts/web:1.0.0_b"),
        ("oci://ghcr.io/acme/charts/", "oci://ghcr.io/acme/charts/web:1.0.0_b"),
        ("ghcr.io/acme", "oci://ghcr.io/acme/web:1.0.0_b"),
        ("oci://localhost:5000", "oci://localhost:5000/web:1.0.0_b"),
        ("oci://localhost:5000/", "oci://localhost:5000/web:1.0.0_b"),
    ] {
        let prefix = RepositoryPrefix::parse(prefix).unwrap();
        let reference = prefix.chart("web", "1.0.0+b").unwrap();
        assert_eq!(reference.typed, expected);
        assert_eq!(ChartReference::parse(expected).unwrap(), reference);
    }
    let hub = RepositoryPrefix::parse("oci://docker.io/acme").unwrap();
    assert_eq!(
        (hub.request_host(), hub.to_string().as_str()),
        ("registry-1.docker.io", "oci://docker.io/acme")
    );
    for (name, version) in [
        ("Web", "1.0.0"),
        ("a/b", "1.0.0"),
        ("..", "1.0.0"),
        ("", "1.0.0"),
        ("web", ""),
        ("web", "1 0"),
    ] {
        assert!(hub.chart(name, version).is_err(), "{name} {version}");
    }
    for text in [
        "",
        "acme",
        "acme/charts",
        "oci://ghcr.io/a/web:1",
        "https://ghcr.io/acme",
        "oci://ghcr.io/a//",
    ] {
        assert!(RepositoryPrefix::parse(text).is_err(), "{text}");
    }
}

#[test]
fn survives_mutated_references() {
    let seeds = [
        format!("oci://[::1]:5000/acme/charts/web:1.3.0+build.5@sha256:{HEX}"),
        "https://bob:pw@ghcr.io/acme/web:1".to_owned(),
        "ghcr.io/Acme/é/web".to_owned(),
    ];
    let mut random = crate::chart::tests::Random::new(1);
    for round in 0..20_000 {
        let text = random.mutate(seeds[round % seeds.len()].as_bytes());
        let text = String::from_utf8_lossy(&text);
        let _ = RepositoryPrefix::parse(&text);
        if let Ok(reference) = ChartReference::parse(&text) {
            let again = ChartReference::parse(&reference.repository_ref()).unwrap();
            assert_eq!((again.host, again.repository), (reference.host, reference.repository));
        }
    }
}
