//! A signer that is trusted, and the short forms that people use for one.

use super::certificate::{Claim, NameKind};
use super::matcher::Matcher;
use super::signer::Signer;
use crate::error::{Error, Result};

/// GitHub's host and the issuer of its workflow tokens.
pub const GITHUB: (&str, &str) = ("github.com", "https://token.actions.githubusercontent.com");
/// GitLab's host and the issuer of its pipeline tokens.
pub const GITLAB: (&str, &str) = ("gitlab.com", "https://gitlab.com");
/// Who vouches for Google accounts.
pub const GOOGLE_ISSUER: &str = "https://accounts.google.com";

/// A claim of the certificate that must hold beside name and issuer.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// Which claim.
    pub claim: Claim,
    /// What it must be; a certificate without the claim does not match.
    pub value: Matcher,
}

/// The flags that ask for claims: which claim, and whether a `*` stands for anything.
pub const CONSTRAINTS: [(&str, Claim, bool); 11] = [
    ("--source-repository", Claim::SourceRepository, false),
    ("--source-ref", Claim::SourceRef, true),
    ("--source-digest", Claim::SourceDigest, false),
    ("--build-trigger", Claim::BuildTrigger, false),
    ("--runner-environment", Claim::RunnerEnvironment, false),
    ("--build-signer", Claim::BuildSigner, true),
    ("--certificate-github-workflow-trigger", Claim::WorkflowTrigger, false),
    ("--certificate-github-workflow-sha", Claim::WorkflowSha, false),
    ("--certificate-github-workflow-name", Claim::WorkflowName, false),
    ("--certificate-github-workflow-repository", Claim::WorkflowRepository, false),
    ("--certificate-github-workflow-ref", Claim::WorkflowRef, false),
];

impl Constraint {
    /// What the values of the flags in [`CONSTRAINTS`] ask for, in the order of that table.
    ///
    /// # Errors
    /// Usage, when a value cannot be compared.
    pub fn listed(values: [Option<&str>; CONSTRAINTS.len()]) -> Result<Vec<Self>> {
        let given =
            CONSTRAINTS.into_iter().zip(values).filter_map(|((flag, claim, stars), value)| {
                let value = value?;
                let matcher =
                    if stars { Matcher::glob(flag, value) } else { Matcher::exact(flag, value) };
                Some(matcher.map(|value| Self { claim, value }))
            });
        given.collect()
    }

    fn holds(&self, signer: &Signer) -> bool {
        signer.claims.value(self.claim).is_some_and(|found| self.value.matches(found))
    }

    /// What has to hold, for people.
    pub fn words(&self) -> String {
        format!("{}: {}", self.claim.words(), self.value.as_str())
    }
}

/// A signer that is trusted: who, who says so, and what else has to hold.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Compared with the certificate's subject alternative name.
    pub subject: Matcher,
    /// The kind that this name must be of, where it matters.
    pub kind: Option<NameKind>,
    /// Compared with the certificate's OIDC issuer (Fulcio extension 1.3.6.1.4.1.57264.1.8).
    pub issuer: Matcher,
    /// All of them have to hold.
    pub constraints: Vec<Constraint>,
    /// The flag and its value, where a short form stands for all this.
    pub short: Option<String>,
}

/// Where repositories of a kind are, and who vouches for their workflows.
#[derive(Clone, Debug)]
pub struct Forge {
    /// The host in the certificate's URIs.
    pub host: String,
    /// The OIDC issuer.
    pub issuer: String,
}

impl Forge {
    /// GitHub, or what these name in its place.
    ///
    /// # Errors
    /// Usage, when this is no host.
    pub fn github(host: Option<&str>, issuer: Option<&str>) -> Result<Self> {
        // Enterprise Cloud with data residency has an issuer of its own below its domain; an
        // Enterprise Server serves it from the same host.
        Self::named("--github-host", host, issuer, GITHUB, |host| {
            match host.strip_suffix(".ghe.com") {
                Some(tenant) => format!("https://token.actions.{tenant}.ghe.com"),
                None => format!("https://{host}/_services/token"),
            }
        })
    }

    /// The same of GitLab.
    ///
    /// # Errors
    /// Usage, when this is no host.
    pub fn gitlab(host: Option<&str>, issuer: Option<&str>) -> Result<Self> {
        Self::named("--gitlab-host", host, issuer, GITLAB, |host| format!("https://{host}"))
    }

    fn named(
        flag: &str,
        host: Option<&str>,
        issuer: Option<&str>,
        (usual_host, usual_issuer): (&str, &str),
        issuer_of: impl Fn(&str) -> String,
    ) -> Result<Self> {
        let host = host.unwrap_or(usual_host);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(Error::usage("not a host").on(format!("{flag} {host}")));
        }
        let usual = if host == usual_host { usual_issuer.to_owned() } else { issuer_of(host) };
        Ok(Self { host: host.to_owned(), issuer: issuer.map_or(usual, str::to_owned) })
    }
}

impl Identity {
    /// Exactly this name by exactly this issuer, or what the two matchers say.
    pub fn new(subject: Matcher, issuer: Matcher) -> Self {
        Self { subject, kind: None, issuer, constraints: Vec::new(), short: None }
    }

    /// This very signer: name and issuer, and the source where the certificate says it. One who has several sources is
    /// not one: whoever calls the same workflow signs by its name.
    ///
    /// # Errors
    /// Usage, when a name or an issuer is empty.
    pub fn of_signer(signer: &Signer) -> Result<Self> {
        let flag = "--certificate-identity";
        let mut constraints = Vec::new();
        for claim in [Claim::SourceRepository, Claim::SourceRef] {
            if let Some(text) = signer.claims.value(claim).filter(|text| !text.is_empty()) {
                constraints.push(Constraint { claim, value: Matcher::exact(flag, text)? });
            }
        }
        Ok(Self {
            kind: signer.kind,
            constraints,
            ..Self::new(
                Matcher::exact(flag, &signer.identity)?,
                Matcher::exact("--certificate-oidc-issuer", &signer.issuer)?,
            )
        })
    }

    /// What this signer's certificate says of the source in the extensions that GitHub had first, as far as it is what
    /// the constraints ask for.
    pub fn in_githubs_words(&self, signer: &Signer) -> Vec<Constraint> {
        let said = |claim| signer.claims.value(claim).filter(|text| !text.is_empty());
        let asked = |claim| {
            self.constraints.iter().find_map(|one| match &one.value {
                Matcher::Exact(text) if one.claim == claim => Some(text.as_str()),
                _ => None,
            })
        };
        let mut found = Vec::new();
        let mut add = |claim, text: &str| {
            if asked(claim).is_none() {
                found.push(Constraint { claim, value: Matcher::Exact(text.to_owned()) });
            }
        };
        let Some(path) = said(Claim::WorkflowRepository) else { return found };
        if asked(Claim::SourceRepository).is_some_and(|uri| uri.ends_with(&format!("/{path}"))) {
            add(Claim::WorkflowRepository, path);
        }
        if let Some(reference) = said(Claim::WorkflowRef)
            && asked(Claim::SourceRef) == Some(reference)
        {
            add(Claim::WorkflowRef, reference);
        }
        found
    }

    /// A person by e-mail address. `flag` is what the user typed.
    ///
    /// # Errors
    /// Usage, when it is no address or the issuer is empty.
    pub fn email(flag: &str, address: &str, issuer: &str) -> Result<Self> {
        let [_, domain] = address.splitn(2, '@').collect::<Vec<_>>()[..] else {
            return Err(Error::usage("not an e-mail address").on(format!("{flag} {address}")));
        };
        if domain.is_empty() || address.contains(char::is_whitespace) {
            return Err(Error::usage("not an e-mail address").on(format!("{flag} {address}")));
        }
        Ok(Self {
            kind: Some(NameKind::Email),
            short: Some(format!("{flag} {address}")),
            ..Self::new(Matcher::exact(flag, address)?, Matcher::exact(flag, issuer)?)
        })
    }

    /// A workflow of a repository on GitHub, `OWNER/REPO[@REF]`: built from this repository, by a workflow
    /// that lies in it, or by `workflow` (`OWNER/REPO/PATH[@REF]`, a reusable one).
    ///
    /// # Errors
    /// Usage, when it is no repository, no full ref, or no workflow.
    pub fn github(text: &str, workflow: Option<&str>, forge: &Forge) -> Result<Self> {
        let flag = "--github";
        let (repository, reference) = split(flag, text)?;
        if repository.split('/').count() != 2 {
            return Err(not_a_repository(flag, text, "OWNER/REPO or OWNER/REPO@refs/heads/BRANCH"));
        }
        let site = format!("https://{}", forge.host);
        let mut short = format!("{flag} {text}");
        let subject = match workflow {
            None => Matcher::glob(flag, &format!("{site}/{repository}/*"))?,
            Some(workflow) => {
                let flag = "--signer-workflow";
                short = format!("{short} {flag} {workflow}");
                let (path, reference) = split_workflow(flag, workflow)?;
                Matcher::glob(flag, &format!("{site}/{path}@{}", reference.unwrap_or("*")))?
            }
        };
        Self::built(flag, short, subject, &format!("{site}/{repository}"), reference, forge)
    }

    /// A pipeline of a project on GitLab, `GROUP/PROJECT[@REF]`, whose configuration lies in it.
    ///
    /// # Errors
    /// Usage, when it is no project or no full ref.
    pub fn gitlab(text: &str, forge: &Forge) -> Result<Self> {
        let flag = "--gitlab";
        let (project, reference) = split(flag, text)?;
        if project.split('/').count() < 2 {
            return Err(not_a_repository(
                flag,
                text,
                "GROUP/PROJECT or GROUP/PROJECT@refs/heads/BRANCH",
            ));
        }
        let source = format!("https://{}/{project}", forge.host);
        // Two slashes stand between a project and the path of its configuration.
        let subject = Matcher::glob(flag, &format!("{source}//*"))?;
        Self::built(flag, format!("{flag} {text}"), subject, &source, reference, forge)
    }

    fn built(
        flag: &str,
        short: String,
        subject: Matcher,
        source: &str,
        reference: Option<&str>,
        forge: &Forge,
    ) -> Result<Self> {
        let mut constraints = vec![Constraint {
            claim: Claim::SourceRepository,
            value: Matcher::exact(flag, source)?,
        }];
        if let Some(reference) = reference {
            let value = Matcher::glob(flag, reference)?;
            constraints.push(Constraint { claim: Claim::SourceRef, value });
        }
        Ok(Self {
            subject,
            kind: Some(NameKind::Uri),
            issuer: Matcher::exact(flag, &forge.issuer)?,
            constraints,
            short: Some(short),
        })
    }

    /// Whether `signer` is meant. A certificate may name its holder in a way that is not read here: a
    /// pattern never matches nothing.
    pub fn matches(&self, signer: &Signer) -> bool {
        let named = !signer.identity.is_empty() && !signer.issuer.is_empty();
        named && self.names(signer) && self.broken(signer).next().is_none()
    }

    /// Whether name and issuer are the ones, whatever else has to hold.
    pub(super) fn names(&self, signer: &Signer) -> bool {
        self.subject.matches(&signer.identity)
            && self.kind.is_none_or(|kind| signer.kind == Some(kind))
            && self.issuer.matches(&signer.issuer)
    }

    /// The constraints that do not hold.
    pub(super) fn broken(&self, signer: &Signer) -> impl Iterator<Item = &Constraint> {
        self.constraints.iter().filter(|constraint| !constraint.holds(signer))
    }

    /// What it means in the terms of a certificate: `NAME   issuer ISSUER`, then the claims.
    pub fn words(&self) -> (String, Vec<String>) {
        (
            format!("{}   issuer {}", self.subject.as_str(), self.issuer.as_str()),
            self.constraints.iter().map(Constraint::words).collect(),
        )
    }
}

fn not_a_repository(flag: &str, text: &str, expected: &str) -> Error {
    Error::usage("not a repository").on(format!("{flag} {text}")).line("expected", expected)
}

/// `PATH[@REF]`: a path of plain segments, and a full ref in which `*` may stand.
fn split<'a>(flag: &str, text: &'a str) -> Result<(&'a str, Option<&'a str>)> {
    let (path, reference) = match text.split_once('@') {
        Some((path, reference)) => (path, Some(reference)),
        None => (text, None),
    };
    let plain = |segment: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !segment.is_empty() && ![".", ".."].contains(&segment) && segment.chars().all(allowed)
    };
    if !path.split('/').all(plain) {
        return Err(not_a_repository(flag, text, "letters, digits, `-`, `_`, `.` between slashes"));
    }
    match reference {
        Some(short) if short != "*" && !is_full(short) => {
            let branch = if short.is_empty() { "main" } else { short };
            Err(Error::usage("not a full ref")
                .on(format!("{flag} {text}"))
                .hint(format!("{flag} '{path}@refs/heads/{branch}', or refs/tags/…")))
        }
        reference => Ok((path, reference)),
    }
}

fn split_workflow<'a>(flag: &str, text: &'a str) -> Result<(&'a str, Option<&'a str>)> {
    // A workflow that is pinned by its commit is named so in the certificate.
    let commit = text.split_once('@').filter(|(_, reference)| {
        reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let (path, reference) = match commit {
        Some((path, commit)) => (split(flag, path)?.0, Some(commit)),
        None => split(flag, text)?,
    };
    if path.split('/').count() < 3 {
        return Err(Error::usage("not a workflow").on(format!("{flag} {text}")).line(
            "expected",
            "OWNER/REPO/PATH[@REF], for example acme/ci/.github/workflows/sign.yml@refs/tags/v1",
        ));
    }
    Ok((path, reference))
}

/// `refs/…` with something after the kind of ref.
fn is_full(reference: &str) -> bool {
    reference.strip_prefix("refs/").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !reference.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forge((host, issuer): (&str, &str)) -> Forge {
        Forge { host: host.to_owned(), issuer: issuer.to_owned() }
    }

    fn signer(identity: &str, repository: &str, reference: &str) -> Signer {
        let claims = [
            (Claim::SourceRepository, repository.to_owned()),
            (Claim::SourceRef, reference.to_owned()),
        ];
        Signer {
            identity: identity.to_owned(),
            kind: Some(NameKind::Uri),
            issuer: GITHUB.1.to_owned(),
            claims: claims.into_iter().collect(),
            ..Signer::default()
        }
    }

    fn github(text: &str, workflow: Option<&str>) -> Identity {
        Identity::github(text, workflow, &forge(GITHUB)).unwrap()
    }

    const MAIN: &str = "refs/heads/main";
    const CHARTS: &str = "https://github.com/acme/charts";

    #[test]
    fn a_repository_means_its_source_and_a_workflow_in_it() {
        let own = "https://github.com/acme/charts/.github/workflows/release.yml@refs/heads/main";
        let reusable = "https://github.com/acme/ci/.github/workflows/sign.yml@refs/tags/v1";
        let identity = github("acme/charts", None);
        assert!(identity.matches(&signer(own, CHARTS, MAIN)));
        // Somebody else's workflow, somebody else's source, and names that only begin alike.
        assert!(!identity.matches(&signer(reusable, CHARTS, MAIN)));
        assert!(!identity.matches(&signer(own, "https://github.com/acme/charts-evil", MAIN)));
        let alike = "https://github.com/acme/charts-evil/.github/workflows/x.yml@refs/heads/main";
        assert!(!identity.matches(&signer(alike, CHARTS, MAIN)));
        assert!(
            !identity.matches(&Signer {
                issuer: "https://gitlab.com".into(),
                ..signer(own, CHARTS, MAIN)
            })
        );
        let without = Signer { claims: Default::default(), ..signer(own, CHARTS, MAIN) };
        assert!(!identity.matches(&without));

        let called = github("acme/charts", Some("acme/ci/.github/workflows/sign.yml"));
        assert!(called.matches(&signer(reusable, CHARTS, MAIN)));
        assert!(!called.matches(&signer(own, CHARTS, MAIN)));
        assert!(!called.matches(&signer(reusable, "https://github.com/eve/x", MAIN)));
        let pinned = github("acme/charts", Some("acme/ci/.github/workflows/sign.yml@refs/tags/v2"));
        assert!(!pinned.matches(&signer(reusable, CHARTS, MAIN)));
    }

    #[test]
    fn a_ref_is_compared_with_that_of_the_source() {
        let own = "https://github.com/acme/charts/.github/workflows/release.yml@refs/heads/main";
        for (reference, found, matches) in [
            (MAIN, MAIN, true),
            (MAIN, "refs/heads/main2", false),
            ("refs/tags/*", "refs/tags/v1.2/x", true),
            ("refs/tags/*", MAIN, false),
            ("refs/heads/release-*", "refs/heads/release-1", true),
            ("*", "refs/pull/1/merge", true),
        ] {
            let identity = github(&format!("acme/charts@{reference}"), None);
            assert_eq!(identity.matches(&signer(own, CHARTS, found)), matches, "{reference}");
        }
    }

    #[test]
    fn refuses_what_is_no_repository_no_full_ref_and_no_workflow() {
        let at = forge(GITHUB);
        for text in [
            "",
            "acme",
            "acme/",
            "/charts",
            "acme/charts/x",
            "acme/*",
            "acme/cha rts",
            "../charts",
            "acme/charts@",
            "acme/charts@main",
            "acme/charts@refs/",
            "https://github.com/acme/charts",
        ] {
            assert!(Identity::github(text, None, &at).is_err(), "{text}");
        }
        let error = Identity::github("acme/charts@main", None, &at).unwrap_err();
        assert!(error.hint.unwrap().contains("'acme/charts@refs/heads/main'"));
        for workflow in ["", "acme/ci", "acme/ci/x.yml@v1", "acme/ci/*", "acme/*/x.yml"] {
            assert!(Identity::github("acme/charts", Some(workflow), &at).is_err(), "{workflow}");
        }
        let commit = format!("acme/ci/x.yml@{}", "a1".repeat(20));
        Identity::github("acme/charts", Some(&commit), &at).unwrap();
        for text in ["acme", "a//b", "acme/charts@main", "acme/char*"] {
            assert!(Identity::gitlab(text, &forge(GITLAB)).is_err(), "{text}");
        }
        for address in ["", "jane", "jane@", "ja ne@example.com"] {
            assert!(Identity::email("--email", address, "https://i").is_err(), "{address}");
        }
        assert!(Identity::email("--email", "jane@example.com", "").is_err());
    }

    #[test]
    fn a_project_may_lie_in_groups_of_groups() {
        let identity = Identity::gitlab("acme/sub/charts@refs/tags/*", &forge(GITLAB)).unwrap();
        let pipeline = |text: &str, source: &str| Signer {
            issuer: GITLAB.1.to_owned(),
            ..signer(text, source, "refs/tags/v1")
        };
        let source = "https://gitlab.com/acme/sub/charts";
        let name = format!("{source}//.gitlab-ci.yml@refs/tags/v1");
        assert!(identity.matches(&pipeline(&name, source)));
        let other = "https://gitlab.com/acme/sub//charts.yml@refs/tags/v1";
        assert!(!identity.matches(&pipeline(other, source)));
        assert!(!identity.matches(&pipeline(&name, "https://gitlab.com/acme/sub")));
    }

    #[test]
    fn an_address_is_matched_only_by_an_address() {
        let identity = Identity::email("--email", "jane@example.com", "https://i.example").unwrap();
        let jane = |kind| Signer {
            identity: "jane@example.com".into(),
            kind: Some(kind),
            issuer: "https://i.example".into(),
            ..Signer::default()
        };
        assert!(identity.matches(&jane(NameKind::Email)));
        assert!(!identity.matches(&jane(NameKind::Username)));
        assert!(!identity.matches(&jane(NameKind::Uri)));
    }

    #[test]
    fn a_pattern_never_accepts_a_certificate_without_a_name_or_an_issuer() {
        let any = || Matcher::pattern("--x", ".*").unwrap();
        let identity = Identity::new(any(), any());
        let signer = |identity: &str, issuer: &str| Signer {
            identity: identity.to_owned(),
            issuer: issuer.to_owned(),
            ..Signer::default()
        };
        assert!(identity.matches(&signer("jane@acme.example", "https://i.example")));
        assert!(!identity.matches(&signer("", "https://i.example")));
        assert!(!identity.matches(&signer("jane@acme.example", "")));
    }
}
