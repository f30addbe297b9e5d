use super::*;
use crate::verify::{LogCheck, NameKind, Policy, Signer};

const RULE: &str = "schema: helm-sigstore.policy/v1\nrules:\n  - repositories: [ghcr.io/acme/*]\n";
const JANE: &str =
    "    any-of:\n      - email: jane@acme.example\n        issuer: https://i.example\n";
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";

fn parse(text: &str) -> Result<PolicyFile> {
    PolicyFile::parse(text.as_bytes(), &|named| match named {
        "a.pub" => PublicKey::from_pem(PEM.as_bytes()),
        _ => Err(Error::usage("cannot open key").on(named)),
    })
}

/// What is wrong with a file.
#[track_caller]
fn cause(text: &str) -> String {
    let error = parse(text).unwrap_err();
    assert_eq!((error.class.exit_code(), error.what.as_str()), (2, "bad policy file"), "{error}");
    error.lines[0].text.clone()
}

fn decides(policy: &PolicyFile, host: &str, repository: &str) -> Option<String> {
    let matching = policy.matching(host, repository);
    matching.first().map(|(at, _)| policy.rules()[*at].name.clone())
}

#[test]
fn every_key_of_the_grammar_is_read() {
    let text = format!(
        "{RULE}    name: acme
    min-signatures: 2
    instance: acme
    signed-after: 2026-01-01
    signed-before: 2027-01-01T12:00:00Z
    prov: require
    keyring: acme.gpg
    require-predicate: [spdx, https://acme.example/review/v1]
    any-of:
      - github: acme/charts@refs/tags/*
        signer-workflow: acme/ci/.github/workflows/sign.yml
        github-host: acme.ghe.com
        github-issuer: https://token.actions.acme.ghe.com
        source-ref: refs/tags/v*
        source-digest: 00ff
        build-trigger: release
        runner-environment: github-hosted
        build-signer: https://github.com/*
        certificate-github-workflow-trigger: push
        certificate-github-workflow-sha: 00ff
        certificate-github-workflow-name: release
        certificate-github-workflow-repository: acme/charts
        certificate-github-workflow-ref: refs/tags/v1
      - gitlab: acme/charts
        gitlab-host: gitlab.acme.example
        gitlab-issuer: https://gitlab.acme.example
      - google-account: release@acme.iam.gserviceaccount.com
      - email: jane@acme.example
        issuer: https://i.example
      - certificate-identity: spiffe://acme/a
        certificate-oidc-issuer-regexp: https://.*
      - certificate-identity-regexp: https://.*
        certificate-oidc-issuer: https://i.example
      - key: a.pub
        insecure-ignore-tlog: true
    deny:
      - email: joe@acme.example
        issuer: https://i.example
      - digest: sha256:{}
      - key: a.pub
",
        "0f".repeat(32)
    );
    let policy = parse(&text).unwrap();
    let rule = &policy.rules()[0];
    assert_eq!((rule.name.as_str(), rule.rule.count, rule.line), ("acme", 2, 3));
    assert_eq!((rule.rule.identities.len(), rule.rule.keys.len()), (6, 1));
    assert_eq!(rule.rule.keys[0].log, LogCheck::Ignored);
    assert_eq!(rule.rule.identities[0].constraints.len(), 12);
    assert_eq!(rule.trust, RuleTrust::Instance("acme".to_owned()));
    let keyring = Some("acme.gpg".to_owned());
    let prov = RuleProvenance { mode: ProvMode::Require, accept: false, keyring };
    assert_eq!(rule.prov, Some(prov));
    assert_eq!(rule.required, ["https://spdx.dev/Document", "https://acme.example/review/v1"]);
    assert_eq!(rule.rule.signed_after.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(
        (rule.rule.denied.len(), rule.rule.denied_keys.len(), rule.rule.denied_digests.len()),
        (1, 1, 1)
    );
}

#[test]
fn all_of_asks_for_everybody_and_any_of_for_one() {
    let both = JANE.to_owned() + "      - key: a.pub\n";
    assert_eq!(parse(&(RULE.to_owned() + &both)).unwrap().rules()[0].rule.count, 1);
    let all = both.replace("any-of", "all-of");
    assert_eq!(parse(&(RULE.to_owned() + &all)).unwrap().rules()[0].rule.count, 2);
}

#[test]
fn what_is_wrong_is_said_with_line_and_column() {
    let jane = RULE.to_owned() + JANE;
    for (text, place, words) in [
        (jane.clone() + "    colour: red\n", "line 7, column 5", "colour"),
        (jane.clone() + "    prov: signed\n", "line 7, column 11", "prov is one of"),
        (
            jane.clone() + "    prov: true\n    keyring: a.gpg\n",
            "line 7, column 11",
            "prov is one of",
        ),
        (jane.clone() + "    prov: require\n", "line 7, column 11", "needs a keyring"),
        (jane.clone() + "    prov: accept\n", "line 7, column 11", "needs a keyring"),
        (jane.clone() + "    prov: if-present\n", "line 7, column 11", "needs a keyring"),
        (jane.clone() + "    prov: ignore\n    keyring: a\n", "line 8, column 14", "prov: ignore"),
        (jane.clone() + "    keyring: ''\n", "line 7, column 14", "keyring is empty"),
        (jane.clone() + "    keyring: a.gpg\n    prov:\n", "line 8", ""),
        (
            jane.clone() + "    prov: accept\n    keyring: a\n    signed-after: 2026-01-01\n",
            "line 7, column 11",
            "proves no time",
        ),
        (
            jane.clone() + "    prov: accept\n    keyring: a\n    signed-before: 2026-01-01\n",
            "line 7, column 11",
            "proves no time",
        ),
        (jane.clone() + "    require-predicate: spdx\n", "line 7, column 24", ""),
        (jane.clone() + "    require-predicate: []\n", "line 7, column 24", "empty"),
        (
            jane.clone() + "    require-predicate: [sbom]\n",
            "line 7, column 25",
            "no such predicate",
        ),
        (
            jane.clone() + "    require-predicate: [spdx, spdxjson]\n",
            "line 7, column 31",
            "listed twice",
        ),
        (jane.clone() + "    name: a\n    name: b\n", "line 8, column 5", "name"),
        (jane.clone() + "        issuer: https://other.example\n", "line 7, column 9", "issuer"),
        (jane.clone() + "    <<: {name: x}\n", "line 7, column 5", "<<"),
        (jane.clone() + "    name:\n", "line 7", ""),
        (jane.clone() + "    name: ''\n", "line 7, column 11", "name is empty"),
        (jane.clone() + "    deny: []\n", "line 7, column 11", "empty"),
        (jane.clone() + "    deny:\n", "line 7", ""),
        (jane.clone() + "    signed-after:\n", "line 7", ""),
        (jane.clone() + "    signed-after: soon\n", "line 7, column 19", "not a time"),
        (jane.clone() + "    signed-after: 2026-02-30\n", "line 7, column 19", "not a time"),
        (jane.clone() + "    min-signatures: 2\n", "line 7, column 21", "from 1 to 1"),
        (jane.clone() + "    min-signatures: 0\n", "line 7, column 21", "from 1 to 1"),
        (jane.clone() + "    min-signatures: -1\n", "line 7, column 21", ""),
        (jane.clone() + "    instance: a\n    trusted-root: b\n", "line 8, column 19", "either"),
        (jane.clone() + "    all-of: [{key: a.pub}]\n", "line 7, column 13", "either"),
        (jane.clone() + "    deny: [{digest: md5:00}]\n", "line 7, column 12", "digest"),
        (jane.clone() + "      - digest: sha256:00\n", "line 7, column 9", "digest"),
        (jane.clone() + "      - key: b.pub\n", "line 7, column 9", "cannot open key"),
        (jane.clone() + "      - key: a.pub\n      - key: a.pub\n", "line 8, column 9", "twice"),
        (jane.clone() + "      - github: acme\n", "line 7, column 9", "not a repository"),
        (jane.clone() + "      - github: a/b\n        email: x@y\n", "line 8", "two signers"),
        (
            jane.clone() + "      - github: a/b\n        issuer: x\n",
            "line 8",
            "issuer does not belong to github",
        ),
        (
            jane.clone() + "      - key: a.pub\n        source-ref: x\n",
            "line 8",
            "does not belong to key",
        ),
        (jane.clone() + "      - certificate-identity: x\n", "line 7, column 9", "issuer"),
        (jane.clone() + "      - issuer: x\n", "line 7, column 9", "names no signer"),
        (jane.clone() + "      - {}\n", "line 7, column 9", "names no signer"),
        (
            jane.clone()
                + "      - certificate-identity-regexp: '('\n        certificate-oidc-issuer: x\n",
            "line 7, column 9",
            "not a regular expression",
        ),
        (
            jane.clone() + "      - certificate-identity: ''\n        certificate-oidc-issuer: x\n",
            "line 7, column 9",
            "empty value",
        ),
        (RULE.to_owned(), "line 3, column 5", "trusts nobody"),
        (RULE.to_owned() + "    any-of: []\n", "line 4, column 13", "empty"),
        (jane.replace("ghcr.io/acme/*", "ghcr.io/acme/"), "line 3, column 20", "slash"),
        (jane.replace("[ghcr.io/acme/*]", "[]"), "line 3, column 19", "empty"),
        (jane.replace("/v1", "/v2"), "line 1, column 9", "schema"),
        ("schema: helm-sigstore.policy/v1\nrules: []\n".to_owned(), "line 2, column 8", "no rule"),
        ("schema: helm-sigstore.policy/v1\n".to_owned(), "line", "rules"),
    ] {
        let cause = cause(&text);
        assert!(
            cause.contains(place) && cause.contains(words),
            "{place} {words:?}: {cause}\n{text}"
        );
    }
}

#[test]
fn a_keyring_alone_means_that_provenance_decides_where_there_is_some() {
    let policy = parse(&format!("{RULE}{JANE}    keyring: a.gpg\n")).unwrap();
    let prov = policy.rules()[0].prov.clone().unwrap();
    assert_eq!((prov.mode, prov.accept, prov.as_str()), (ProvMode::IfPresent, false, "if-present"));
    let policy = parse(&format!("{RULE}{JANE}    prov: ignore\n")).unwrap();
    let prov = policy.rules()[0].prov.clone().unwrap();
    assert_eq!((prov.mode, prov.keyring), (ProvMode::Ignore, None));
    assert_eq!(parse(&format!("{RULE}{JANE}")).unwrap().rules()[0].prov, None);
}

#[test]
fn bombs_and_what_is_no_document_are_refused() {
    let bomb = (1..12).fold("a0: &a0 [x]\n".to_owned(), |text, at| {
        let before = at - 1;
        text + &format!("a{at}: &a{at} [*a{before},*a{before},*a{before},*a{before},*a{before}]\n")
    });
    let deep = "[".repeat(10_000);
    let long = format!("{RULE}{JANE}# {}", "x".repeat(MAX_POLICY_BYTES));
    let twice = format!("{RULE}{JANE}---\n{RULE}{JANE}");
    let hidden = format!("{RULE}{JANE}# \r    instance: evil\n");
    for text in
        ["", "x", "[]", "{}", "\t", &bomb, &deep, &long, &twice, &hidden, "rules: !!binary x"]
    {
        let shown: String = text.chars().take(60).collect();
        assert!(parse(text).is_err(), "{shown}");
    }
    assert!(PolicyFile::parse(b"\xff\xfe", &|_| Err(Error::usage("x"))).is_err());
    let marked = format!("\u{feff}{RULE}{JANE}");
    parse(&marked).unwrap();
    let rules: String =
        (0..1_001).map(|at| format!("  - repositories: [ghcr.io/acme/c{at}]\n{JANE}")).collect();
    let many = format!("schema: helm-sigstore.policy/v1\nrules:\n{rules}");
    assert!(cause(&many).contains("more than 1000 patterns"));
}

#[test]
fn the_longest_literal_prefix_decides_and_nothing_is_inherited() {
    let rule = |pattern: &str| format!("  - repositories: ['{pattern}']\n{JANE}");
    let of = |patterns: &[&str]| {
        let rules: String = patterns.iter().map(|pattern| rule(pattern)).collect();
        parse(&format!("schema: helm-sigstore.policy/v1\nrules:\n{rules}"))
    };
    let policy =
        of(&["ghcr.io/**", "ghcr.io/acme/**", "ghcr.io/acme/web", "ghcr.io/acme/web*", "*/**"])
            .unwrap();
    for (host, repository, expected) in [
        ("ghcr.io", "other/web", Some("ghcr.io/**")),
        ("ghcr.io", "acme/api", Some("ghcr.io/acme/**")),
        ("ghcr.io", "acme/web", Some("ghcr.io/acme/web")),
        ("ghcr.io:443", "acme/web2", Some("ghcr.io/acme/web*")),
        ("ghcr.io", "acme/web/x", Some("ghcr.io/acme/**")),
        ("evil.example", "acme/web", Some("*/**")),
    ] {
        assert_eq!(decides(&policy, host, repository).as_deref(), expected, "{host}/{repository}");
    }
    assert_eq!(policy.matching("ghcr.io", "acme/web").len(), 5);
    let policy = of(&["ghcr.io/acme/*"]).unwrap();
    assert_eq!(decides(&policy, "ghcr.io.evil.example", "acme/web"), None);
    for two in [["ghcr.io/a/*", "ghcr.io/a/**"], ["docker.io/a/b", "OCI://index.docker.io:443/a/b"]]
    {
        let error = of(&two).unwrap_err();
        assert!(error.to_string().contains("neither is more specific"), "{error}");
    }
}

fn signer(name: &str, kind: NameKind) -> Signer {
    Signer {
        identity: name.to_owned(),
        kind: Some(kind),
        issuer: "https://i.example".to_owned(),
        ..Signer::default()
    }
}

#[test]
fn what_is_written_on_first_use_is_read_again_and_means_these_signers() {
    let tricky = "https://x.example/\"\n    any-of: []\u{202e}\\ü # - x";
    let signers = [
        signer("jane@acme.example", NameKind::Email),
        signer(tricky, NameKind::Uri),
        Signer {
            source_repository: Some("https://github.com/acme/charts".to_owned()),
            source_ref: Some("refs/tags/v1".to_owned()),
            claims: [
                (
                    crate::verify::Claim::SourceRepository,
                    "https://github.com/acme/charts".to_owned(),
                ),
                (crate::verify::Claim::SourceRef, "refs/tags/v1".to_owned()),
            ]
            .into_iter()
            .collect(),
            issuer: crate::verify::GITHUB.1.to_owned(),
            ..signer(
                "https://github.com/acme/charts/.github/workflows/r.yml@refs/tags/v1",
                NameKind::Uri,
            )
        },
    ];
    let all: Vec<_> = signers.iter().collect();
    let text = crate::verify::first_use("oci://ghcr.io/acme/web", &all, None, false);
    assert!(text.contains("github: \"acme/charts@refs/tags/*\""), "{text}");
    let policy = parse(&text).unwrap();
    let policy = Policy::Rule(Box::new(policy.rules()[0].rule.clone()));
    for one in &signers {
        policy.admit(one).unwrap();
    }
    assert!(policy.admit(&signer("joe@acme.example", NameKind::Email)).is_err());
    let key = PublicKey::from_pem(PEM.as_bytes()).unwrap();
    let by_key = Signer { key_id: Some(key.id().to_string()), ..Signer::default() };
    let text =
        crate::verify::first_use("oci://ghcr.io/acme/web", &[&by_key], Some((&key, true)), false);
    let policy = parse(&text).unwrap();
    assert_eq!(policy.rules()[0].rule.keys[0].key.id(), key.id());
}
