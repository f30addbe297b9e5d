//! What a consumer is told of a signer beside name and issuer, and whether that tells him from others.

use super::export::Consumer;
use crate::error::{Error, Result};
use crate::verify::{Claim, Constraint, Identity, Matcher};

/// Refuses what would trust strangers: a workflow that others may call signs for all of them by its own name, and
/// only the source tells them apart.
pub(super) fn check_told_apart(consumer: Consumer, identity: &Identity) -> Result<()> {
    let untold = untold(consumer, identity);
    let source = untold.iter().find(|one| one.claim == Claim::SourceRepository);
    let Some(source) = source.filter(|one| !all_lie_in(&identity.subject, &one.value)) else {
        return Ok(());
    };
    let source = source.value.as_str();
    let title = consumer.title();
    Err(Error::usage(format!("{title} cannot tell the signer from others"))
        .line("signed by", identity.words().0)
        .line("source", source)
        .cause("this name does not lie in the repository that was built, so others that run the same build sign by it too")
        .note(match consumer {
            Consumer::GithubActions => "cosign compares the source with GitHub's extension alone, and no certificate here says so",
            _ => "it compares nothing but name and issuer",
        })
        .note(format!("sign with a workflow that lies in {source}, or let helm sigstore verify look")))
}

/// Whether every name that matches lies in this repository.
fn all_lie_in(subject: &Matcher, repository: &Matcher) -> bool {
    let begins = match subject {
        Matcher::Exact(text) => text.as_str(),
        Matcher::Glob { typed, .. } => typed.split('*').next().unwrap_or_default(),
        Matcher::Pattern { .. } => return false,
    };
    matches!(repository, Matcher::Exact(repository) if lies_in(begins, repository))
}

/// Whether a name lies in this repository. GitHub writes one slash after it, GitLab two.
pub(super) fn lies_in(name: &str, repository: &str) -> bool {
    let Some(path) = name.strip_prefix(repository) else { return false };
    // With one slash, and two later, it is a project of GitLab below a group of this name.
    path.starts_with("//") || (path.starts_with('/') && !path.contains("//"))
}

/// What cosign's command line compares beside name and issuer: GitHub's old extensions, exactly.
const COSIGN_CLAIMS: [(Claim, &str); 5] = [
    (Claim::WorkflowTrigger, "trigger"),
    (Claim::WorkflowSha, "sha"),
    (Claim::WorkflowName, "name"),
    (Claim::WorkflowRepository, "repository"),
    (Claim::WorkflowRef, "ref"),
];

/// The flags of cosign for an identity, by what stands behind `--certificate-github-workflow-`, with their values.
pub(super) fn cosign_claims(identity: &Identity) -> Vec<(&'static str, &str)> {
    let exact = |claim: Claim| {
        identity.constraints.iter().find_map(|one| match &one.value {
            Matcher::Exact(text) if one.claim == claim => Some(text.as_str()),
            _ => None,
        })
    };
    let known = COSIGN_CLAIMS.into_iter();
    known.filter_map(|(claim, flag)| Some((flag, exact(claim)?))).collect()
}

/// The constraints of an identity that the consumer is not told.
pub(super) fn untold(consumer: Consumer, identity: &Identity) -> Vec<&Constraint> {
    let told = match consumer {
        Consumer::GithubActions => cosign_claims(identity),
        Consumer::Flux | Consumer::Kyverno | Consumer::PolicyController => Vec::new(),
    };
    let is = |flag: &str, means: &dyn Fn(&str) -> bool| {
        told.iter().any(|(name, value)| *name == flag && means(value))
    };
    let is_told = |one: &Constraint| match (one.claim, &one.value) {
        (Claim::SourceRepository, Matcher::Exact(uri)) => is("repository", &|path| {
            uri.strip_suffix(path).is_some_and(|site| {
                site.strip_prefix("https://")
                    .and_then(|site| site.strip_suffix('/'))
                    .is_some_and(|host| !host.contains('/'))
            })
        }),
        (Claim::SourceRef, Matcher::Exact(reference)) => is("ref", &|value| value == reference),
        (claim, Matcher::Exact(text)) => COSIGN_CLAIMS
            .iter()
            .any(|(known, flag)| *known == claim && is(flag, &|value| value == text)),
        _ => false,
    };
    identity.constraints.iter().filter(|one| !is_told(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lies_in_a_repository_as_its_forge_writes_it() {
        let exact = |text: &str| Matcher::exact("--x", text).unwrap();
        let charts = exact("https://forge.example/acme/charts");
        for (name, lies) in [
            ("https://forge.example/acme/charts/.github/workflows/x.yml@refs/heads/main", true),
            ("https://forge.example/acme/charts//.gitlab-ci.yml@refs/heads/main", true),
            ("https://forge.example/acme/charts/*", true),
            ("https://forge.example/acme/charts//*", true),
            // A project in a group of the repository's name.
            ("https://forge.example/acme/charts/ci//.gitlab-ci.yml@refs/heads/main", false),
            ("https://forge.example/acme/charts-evil/.github/workflows/x.yml@v1", false),
            ("https://forge.example/acme/ci/.github/workflows/x.yml@refs/heads/main", false),
            ("https://forge.example/acme/charts", false),
            ("https://forge.example/acme/chart*", false),
            ("*", false),
        ] {
            let subject = Matcher::glob("--x", name).unwrap();
            assert_eq!(all_lie_in(&subject, &charts), lies, "{name}");
        }
        let pattern = Matcher::pattern("--x", "https://forge.example/acme/charts/.*").unwrap();
        assert!(!all_lie_in(&pattern, &charts));
    }
}
