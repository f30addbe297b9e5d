//! Whom a signature on a chart would have us trust, in words and as a policy: trust on first use.

use super::certificate::{Claim, NameKind};
use super::identity::{Forge, GITHUB, GITLAB, GOOGLE_ISSUER, Identity};
use super::policy_file::SCHEMA;
use super::public_key::PublicKey;
use super::signer::Signer;
use super::yaml_text::yaml_scalar;

/// A policy file whose one rule trusts any of these signers, and `key` where it was one, for `repository`
/// (`oci://HOST/PATH`); with `exact` by no short form. What the signers' certificates say is quoted, never taken
/// for YAML.
pub fn first_use(
    repository: &str,
    signers: &[&Signer],
    key: Option<(&PublicKey, bool)>,
    exact: bool,
) -> String {
    let mut text = format!(
        "schema: {SCHEMA}\nrules:\n  - repositories:\n      - {}\n    any-of:\n",
        yaml_scalar(repository)
    );
    let mut written: Vec<String> = Vec::new();
    for signer in signers {
        let entry = match (&signer.key_id, key) {
            (Some(_), Some((key, ignore_tlog))) => {
                let pem: String =
                    key.to_pem().lines().map(|line| format!("          {line}\n")).collect();
                let log = if ignore_tlog { "        insecure-ignore-tlog: true\n" } else { "" };
                format!("      - key: |\n{pem}{log}")
            }
            (Some(_), None) => continue,
            (None, _) => identity(signer, exact),
        };
        if !written.contains(&entry) {
            text.push_str(&entry);
            written.push(entry);
        }
    }
    text
}

/// How exactly this signer is trusted, in the words that flags and policies share: the short form where there is one
/// that means him, else name and issuer with the source. A name alone would not do: whoever may run the same build
/// from another repository signs by it too.
pub fn trusting(signer: &Signer) -> Vec<(&'static str, String)> {
    short(signer).unwrap_or_else(|| whole(signer))
}

fn identity(signer: &Signer, exact: bool) -> String {
    let lines = if exact { whole(signer) } else { trusting(signer) };
    let mut text = String::new();
    for (at, (key, value)) in lines.iter().enumerate() {
        let lead = if at == 0 { "      - " } else { "        " };
        text.push_str(&format!("{lead}{key}: {}\n", yaml_scalar(value)));
    }
    text
}

fn whole(signer: &Signer) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("certificate-identity", signer.identity.clone()),
        ("certificate-oidc-issuer", signer.issuer.clone()),
    ];
    if let Some(repository) = said(&signer.source_repository) {
        lines.push(("source-repository", repository.to_owned()));
        if let Some(reference) = said(&signer.source_ref) {
            lines.push(("source-ref", to_come(reference).to_owned()));
        }
    }
    lines
}

/// The short form, where there is one, and this is who it means.
fn short(signer: &Signer) -> Option<Vec<(&'static str, String)>> {
    if signer.kind == Some(NameKind::Email) {
        let address = signer.identity.clone();
        let identity = Identity::email("--email", &address, &signer.issuer).ok()?;
        let lines = match signer.issuer == GOOGLE_ISSUER {
            true => vec![("google-account", address)],
            false => vec![("email", address), ("issuer", signer.issuer.clone())],
        };
        return identity.matches(signer).then_some(lines);
    }
    let source = said(&signer.source_repository)?;
    let (host, path) = source.strip_prefix("https://")?.split_once('/')?;
    let text = format!("{path}@{}", to_come(said(&signer.source_ref)?));
    let issuer = signer.issuer.as_str();
    let mut lines = Vec::new();
    // Of an issuer that is not github.com's the extension says that it is a GitHub: nobody else's tokens lead to it.
    let github = signer.claims.value(Claim::WorkflowRepository) == Some(path);
    let identity = if github || (host, issuer) == GITHUB {
        let site = format!("https://{host}/");
        let workflow = match signer.identity.starts_with(&format!("{source}/")) {
            true => None,
            false => Some(signer.identity.strip_prefix(&site)?),
        };
        let forge = Forge::github(Some(host), Some(issuer)).ok()?;
        let identity = Identity::github(&text, workflow, &forge).ok()?;
        lines.push(("github", text));
        lines.extend(workflow.map(|workflow| ("signer-workflow", workflow.to_owned())));
        let usual = Forge::github(Some(host), None).ok()?;
        lines.extend(elsewhere(["github-host", "github-issuer"], &forge, &usual, GITHUB.0));
        identity
    } else {
        let forge = Forge::gitlab(Some(host), Some(issuer)).ok()?;
        let identity = Identity::gitlab(&text, &forge).ok()?;
        lines.push(("gitlab", text));
        let usual = Forge::gitlab(Some(host), None).ok()?;
        lines.extend(elsewhere(["gitlab-host", "gitlab-issuer"], &forge, &usual, GITLAB.0));
        identity
    };
    identity.matches(signer).then_some(lines)
}

/// Where a forge is not the usual one.
fn elsewhere(
    [host, issuer]: [&'static str; 2],
    forge: &Forge,
    usual: &Forge,
    usual_host: &str,
) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if forge.host != usual_host {
        lines.push((host, forge.host.clone()));
    }
    if forge.issuer != usual.issuer {
        lines.push((issuer, forge.issuer.clone()));
    }
    lines
}

/// What a claim says, if anything.
fn said(claim: &Option<String>) -> Option<&str> {
    claim.as_deref().filter(|text| !text.is_empty())
}

/// The next release has another tag; a branch stays.
fn to_come(reference: &str) -> &str {
    if reference.starts_with("refs/tags/") { "refs/tags/*" } else { reference }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARTS: &str = "https://git.acme.example/acme/charts";

    fn signer(identity: &str, issuer: &str, source: &str, reference: &str) -> Signer {
        let claims = [
            (Claim::SourceRepository, source.to_owned()),
            (Claim::SourceRef, reference.to_owned()),
        ];
        Signer {
            identity: identity.to_owned(),
            kind: Some(NameKind::Uri),
            issuer: issuer.to_owned(),
            source_repository: Some(source.to_owned()),
            source_ref: Some(reference.to_owned()),
            claims: claims.into_iter().collect(),
            ..Signer::default()
        }
    }

    fn words(signer: &Signer) -> String {
        let lines = trusting(signer).into_iter();
        lines.map(|(key, value)| format!("--{key} {value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_workflow_of_another_repository_is_named_beside_the_source() {
        let signer = signer(
            "https://github.com/acme-ci/sign/.github/workflows/sign.yml@refs/tags/v1",
            GITHUB.1,
            "https://github.com/acme/charts",
            "refs/tags/v1.4.2",
        );
        assert_eq!(
            words(&signer),
            "--github acme/charts@refs/tags/* \
             --signer-workflow acme-ci/sign/.github/workflows/sign.yml@refs/tags/v1"
        );
    }

    #[test]
    fn other_forges_are_named_with_their_hosts_and_issuers() {
        let mut on_github = signer(
            &format!("{CHARTS}/.github/workflows/x.yml@refs/heads/main"),
            "https://git.acme.example/_services/token",
            CHARTS,
            "refs/heads/main",
        );
        on_github.claims = on_github_claims(&on_github);
        assert_eq!(
            words(&on_github),
            "--github acme/charts@refs/heads/main --github-host git.acme.example"
        );
        on_github.issuer = "https://id.acme.example".to_owned();
        assert!(words(&on_github).ends_with(" --github-issuer https://id.acme.example"));
        let on_gitlab = signer(
            &format!("{CHARTS}//.gitlab-ci.yml@refs/heads/main"),
            "https://git.acme.example",
            CHARTS,
            "refs/heads/main",
        );
        assert_eq!(
            words(&on_gitlab),
            "--gitlab acme/charts@refs/heads/main --gitlab-host git.acme.example"
        );
    }

    fn on_github_claims(signer: &Signer) -> crate::verify::Claims {
        [
            (Claim::SourceRepository, signer.source_repository.clone().unwrap()),
            (Claim::SourceRef, signer.source_ref.clone().unwrap()),
            (Claim::WorkflowRepository, "acme/charts".to_owned()),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn who_has_no_short_form_is_trusted_for_his_source_alone() {
        // The configuration of another project runs for this one.
        let shared = "https://gitlab.com/acme/ci//sign.yml@refs/heads/main";
        let source = "https://gitlab.com/acme/charts";
        let called = signer(shared, GITLAB.1, source, "refs/tags/v1");
        let expected = format!(
            "--certificate-identity {shared} --certificate-oidc-issuer https://gitlab.com \
             --source-repository {source} --source-ref refs/tags/*"
        );
        assert_eq!(words(&called), expected);
        let text = first_use("oci://r.example/web", &[&called], None, false);
        let no_keys = |_: &str| Err(crate::error::Error::usage("no key"));
        let file = super::super::policy_file::PolicyFile::parse(text.as_bytes(), &no_keys).unwrap();
        let rule = &file.rules()[0].rule;
        assert!(rule.identities[0].matches(&called));
        let stranger = signer(shared, GITLAB.1, "https://gitlab.com/eve/x", "refs/tags/v1");
        assert!(!rule.identities[0].matches(&stranger));
    }

    #[test]
    fn a_short_form_that_would_not_mean_the_signer_is_not_written() {
        let odd = signer(
            "https://github.com/acme/charts/.github/workflows/x.yml@refs/heads/a b",
            GITHUB.1,
            "https://github.com/acme/charts",
            "refs/heads/a b",
        );
        assert!(words(&odd).starts_with("--certificate-identity "), "{}", words(&odd));
    }
}
