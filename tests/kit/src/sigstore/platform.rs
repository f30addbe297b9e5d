//! Workloads of other platforms than GitHub and GitLab: their claims, and what Fulcio makes of them.
//!
//! Names and extensions follow `config/identity/config.yaml` of Fulcio 1.8.8 and its principals of the types
//! `kubernetes` and `chainguard-identity`; `tests/interop/run sigstore` compares them with what Fulcio writes.

use serde_json::{Map, Value, json};

use super::identity::{Identity, IssuerKind, claim, fake_commit};

/// The projects and pipelines of the CI platforms have no names in tokens, only these.
const PROJECT: &str = "5c1f6d2e-8f0b-4a54-9d5c-6a1f7f0a3b11";
const PIPELINE: &str = "0b5e2a7c-3d41-4c92-8a6e-2f9d4e1c7b22";

impl Identity {
    /// A Buildkite job, as `ORGANISATION/PIPELINE`.
    pub fn buildkite(pipeline: &str) -> Self {
        let (organization, name) = pipeline.split_once('/').unwrap_or((pipeline, ""));
        let commit = fake_commit(pipeline);
        Self::new(
            IssuerKind::Buildkite,
            json!({
                "agent_id": "0184f4b2-3e5c-4d0f-a5c7-0e9b6b1f2a33",
                "build_branch": "main",
                "build_commit": commit,
                "build_number": 42,
                "build_source": "webhook",
                "job_id": "0184990a-477b-4fa8-9968-496074483cee",
                "organization_slug": organization,
                "pipeline_slug": name,
                "runner_environment": "self-hosted",
                "step_key": "release",
                "sub": format!(
                    "organization:{organization}:pipeline:{name}:ref:refs/heads/main:commit:{commit}:step:release"
                ),
            }),
        )
    }

    /// A CircleCI job for the repository `OWNER/REPOSITORY` at GitHub.
    pub fn circleci(repository: &str) -> Self {
        Self::new(
            IssuerKind::CircleCi,
            json!({
                "oidc.circleci.com/job-id": "9c1f2b7d-6a3e-4f58-b0d4-7e2a5c8f1d44",
                "oidc.circleci.com/pipeline-definition-id": PIPELINE,
                "oidc.circleci.com/pipeline-id": "4e8d1a6b-2c7f-4b39-9f05-3d6b8e0a1c55",
                "oidc.circleci.com/project-id": PROJECT,
                "oidc.circleci.com/ssh-rerun": false,
                "oidc.circleci.com/vcs-origin": format!("github.com/{repository}"),
                "oidc.circleci.com/vcs-ref": "refs/heads/main",
                "oidc.circleci.com/workflow-id": "7a2d9c4e-1b6f-4d83-8e57-0c5f3a9b2e66",
                "sub": format!("org/0f3b/project/{PROJECT}/user/77aa"),
            }),
        )
    }

    /// A Codefresh build, as `ACCOUNT/PROJECT/PIPELINE`.
    pub fn codefresh(pipeline: &str) -> Self {
        let (account, name) = pipeline.split_once('/').unwrap_or((pipeline, ""));
        Self::new(
            IssuerKind::Codefresh,
            json!({
                "account_id": "628a80b693a15c0f9c13ab75",
                "account_name": account,
                "pipeline_id": "65e5a53e52853dc51a5b0cc1",
                "pipeline_name": name,
                "platform_url": "https://g.codefresh.io",
                "runner_environment": "hybrid",
                "scm_ref": "main",
                "scm_repo_url": "https://github.com/acme/charts",
                "sub": format!("account:628a80b693a15c0f9c13ab75:pipeline:65e5a53e52853dc51a5b0cc1:{name}"),
                "workflow_id": "65e6c1a1a1b2c3d4e5f60718",
            }),
        )
    }

    /// A service account, as `NAMESPACE/NAME`.
    pub fn kubernetes(account: &str) -> Self {
        let (namespace, name) = account.split_once('/').unwrap_or(("default", account));
        Self::new(
            IssuerKind::Kubernetes,
            json!({
                "kubernetes.io": {
                    "namespace": namespace,
                    "pod": {"name": "release-7d9f", "uid": "49ad3572-b3dd-43a6-8d77-5858d3660275"},
                    "serviceaccount": {"name": name, "uid": "f5720c1d-e152-4356-a897-11b07aff165d"},
                },
                "sub": format!("system:serviceaccount:{namespace}:{name}"),
            }),
        )
    }

    /// An identity below its issuer, which names it by a path.
    pub fn chainguard(issuer: &str, id: &str) -> Self {
        Self::new(IssuerKind::Chainguard, json!({"iss": issuer, "sub": id}))
    }
}

/// The URI in the certificate.
pub(crate) fn subject(kind: IssuerKind, claims: &Map<String, Value>) -> String {
    let get = |name: &str| claim(claims, name);
    match kind {
        IssuerKind::Buildkite => {
            format!("https://buildkite.com/{}/{}", get("organization_slug"), get("pipeline_slug"))
        }
        IssuerKind::CircleCi => circleci_definition(claims),
        IssuerKind::Codefresh => format!(
            "{}/{}/{}:{}/{}",
            get("platform_url"),
            get("account_name"),
            get("pipeline_name"),
            get("account_id"),
            get("pipeline_id")
        ),
        IssuerKind::Kubernetes => {
            let own = claims.get("kubernetes.io");
            let text = |path: &str| {
                own.and_then(|own| own.pointer(path)).and_then(Value::as_str).unwrap_or_default()
            };
            format!(
                "https://kubernetes.io/namespaces/{}/serviceaccounts/{}",
                text("/namespace"),
                text("/serviceaccount/name")
            )
        }
        _ => format!("{}/{}", get("iss"), get("sub")),
    }
}

/// Fulcio's extensions for the platform's own claims: last arc of the identifier and text, in ascending order.
pub(crate) fn extensions(kind: IssuerKind, claims: &Map<String, Value>) -> Vec<(u32, String)> {
    let get = |name: &str| claim(claims, name);
    match kind {
        IssuerKind::Buildkite => {
            let number = claims.get("build_number").map(Value::to_string).unwrap_or_default();
            let pipeline = subject(kind, claims);
            vec![
                (11, get("runner_environment").into()),
                (13, get("build_commit").into()),
                (20, get("build_source").into()),
                (21, format!("{pipeline}/builds/{number}#{}", get("job_id"))),
            ]
        }
        IssuerKind::CircleCi => {
            let own = |name: &str| claim(claims, &format!("oidc.circleci.com/{name}")).to_owned();
            vec![
                (9, circleci_definition(claims)),
                // Fulcio's template says nothing by two quotation marks.
                (11, "\"\"".into()),
                (12, own("vcs-origin")),
                (14, own("vcs-ref")),
                (18, format!("https://circleci.com/api/v2/pipeline/{}/config", own("pipeline-id"))),
                (
                    21,
                    format!(
                        "https://app.circleci.com//workflow/{}/job/{}",
                        own("workflow-id"),
                        own("job-id")
                    ),
                ),
            ]
        }
        IssuerKind::Codefresh => {
            let build = format!("{}/build/{}", get("platform_url"), get("workflow_id"));
            vec![
                (9, build.clone()),
                (11, get("runner_environment").into()),
                (12, get("scm_repo_url").into()),
                (14, get("scm_ref").into()),
                (18, format!("{}/api/pipelines/{}", get("platform_url"), get("pipeline_id"))),
                (21, build),
            ]
        }
        _ => Vec::new(),
    }
}

fn circleci_definition(claims: &Map<String, Value>) -> String {
    let own = |name: &str| claim(claims, &format!("oidc.circleci.com/{name}")).to_owned();
    format!(
        "https://circleci.com/api/v2/projects/{}/pipeline-definitions/{}",
        own("project-id"),
        own("pipeline-definition-id")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_what_fulcio_writes() {
        let definition = format!(
            "https://circleci.com/api/v2/projects/{PROJECT}/pipeline-definitions/{PIPELINE}"
        );
        for (kind, expected) in [
            (IssuerKind::Uri, "http://issuer/jane"),
            (IssuerKind::Buildkite, "https://buildkite.com/acme/charts"),
            (IssuerKind::CircleCi, &definition),
            (
                IssuerKind::Codefresh,
                "https://g.codefresh.io/acme/charts/release:628a80b693a15c0f9c13ab75/65e5a53e52853dc51a5b0cc1",
            ),
            (IssuerKind::Kubernetes, "https://kubernetes.io/namespaces/ci/serviceaccounts/release"),
            (IssuerKind::Chainguard, "http://issuer/d1ce5/release"),
        ] {
            assert_eq!(Identity::of_kind(kind, None, "http://issuer").subject(), expected);
        }
    }
}
