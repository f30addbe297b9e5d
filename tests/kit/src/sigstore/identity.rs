//! Who signs: the claims of an identity token, and what Fulcio makes of them in a certificate.
//!
//! The table of extensions follows Fulcio's `docs/oid-info.md` and its CI provider templates; it is what Fulcio 1.8.8
//! writes for the same tokens.

use serde_json::{Map, Value, json};

use super::platform;

/// The kinds of issuers that the instance runs, each below its own path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// An e-mail provider, `/email`.
    Email,
    /// GitHub Actions, `/github`.
    GitHub,
    /// GitLab CI, `/gitlab`.
    GitLab,
    /// Workloads with SPIFFE identities, `/spiffe`.
    Spiffe,
    /// Users of another name space, `/username`.
    Username,
    /// Users whose names are URIs, `/uri`.
    Uri,
    /// Buildkite jobs, `/buildkite`.
    Buildkite,
    /// CircleCI jobs, `/circleci`.
    CircleCi,
    /// Codefresh builds, `/codefresh`.
    Codefresh,
    /// Service accounts of a Kubernetes cluster, `/kubernetes`.
    Kubernetes,
    /// Identities of Chainguard's issuer, `/chainguard`.
    Chainguard,
}

/// The domain that Fulcio appends to the names of the `/username` issuer.
const USERNAME_DOMAIN: &str = "users.example.com";

impl IssuerKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Email,
        Self::GitHub,
        Self::GitLab,
        Self::Spiffe,
        Self::Username,
        Self::Uri,
        Self::Buildkite,
        Self::CircleCi,
        Self::Codefresh,
        Self::Kubernetes,
        Self::Chainguard,
    ];

    /// The path segment of the issuer, also its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Spiffe => "spiffe",
            Self::Username => "username",
            Self::Uri => "uri",
            Self::Buildkite => "buildkite",
            Self::CircleCi => "circleci",
            Self::Codefresh => "codefresh",
            Self::Kubernetes => "kubernetes",
            Self::Chainguard => "chainguard",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The subject of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubjectName {
    Email(String),
    Uri(String),
    /// `otherName` with Fulcio's own type.
    Username(String),
}

/// An identity for which [`Sigstore::token`](super::Sigstore::token) makes a token.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) kind: IssuerKind,
    pub(crate) claims: Map<String, Value>,
    pub(crate) audience: String,
    pub(crate) expires_in_seconds: i64,
}

impl Identity {
    /// A GitHub Actions workflow, as `OWNER/REPOSITORY/PATH@REF`:
    /// `acme/charts/.github/workflows/release.yml@refs/heads/main`.
    ///
    /// The token has the claims of a real one. For a reusable workflow that another repository calls, replace
    /// `workflow_ref`, `repository` and `repository_owner` with [`with_claim`](Self::with_claim).
    pub fn github(workflow: &str) -> Self {
        let (path, reference) = workflow.split_once('@').unwrap_or((workflow, "refs/heads/main"));
        let mut segments = path.splitn(3, '/');
        let owner = segments.next().unwrap_or_default();
        let repository = format!("{owner}/{}", segments.next().unwrap_or_default());
        let workflow = format!("{path}@{reference}");
        let ref_type = if reference.starts_with("refs/tags/") { "tag" } else { "branch" };
        let sha = fake_commit(&repository);
        Self::new(
            IssuerKind::GitHub,
            json!({
                "actor": "octocat",
                "actor_id": "583231",
                "base_ref": "",
                "event_name": "push",
                "head_ref": "",
                "job_workflow_ref": workflow,
                "job_workflow_sha": sha,
                "ref": reference,
                "ref_protected": "true",
                "ref_type": ref_type,
                "repository": repository,
                "repository_id": "740291",
                "repository_owner": owner,
                "repository_owner_id": "61055",
                "repository_visibility": "public",
                "run_attempt": "1",
                "run_id": "7412589630",
                "run_number": "42",
                "runner_environment": "github-hosted",
                "sha": sha,
                "sub": format!("repo:{repository}:ref:{reference}"),
                "workflow": "release",
                "workflow_ref": workflow,
                "workflow_sha": sha,
            }),
        )
    }

    /// A GitLab pipeline, as `GROUP/PROJECT//PATH@REF`: `acme/charts//.gitlab-ci.yml@refs/heads/main`.
    pub fn gitlab(config: &str) -> Self {
        let (path, reference) = config.split_once('@').unwrap_or((config, "refs/heads/main"));
        let project = path.split_once("//").map_or(path, |(project, _)| project);
        let namespace = project.rsplit_once('/').map_or(project, |(namespace, _)| namespace);
        let (ref_type, name) = match reference.strip_prefix("refs/tags/") {
            Some(tag) => ("tag", tag),
            None => ("branch", reference.strip_prefix("refs/heads/").unwrap_or(reference)),
        };
        let sha = fake_commit(project);
        Self::new(
            IssuerKind::GitLab,
            json!({
                "ci_config_ref_uri": format!("gitlab.com/{path}@{reference}"),
                "ci_config_sha": sha,
                "job_id": "5512340987",
                "namespace_id": "72041",
                "namespace_path": namespace,
                "pipeline_id": "1106723451",
                "pipeline_source": "push",
                "project_id": "51380964",
                "project_path": project,
                "project_visibility": "public",
                "ref": name,
                "ref_path": reference,
                "ref_protected": "true",
                "ref_type": ref_type,
                "runner_environment": "gitlab-hosted",
                "runner_id": 12270837,
                "sha": sha,
                "sub": format!("project_path:{project}:ref_type:{ref_type}:ref:{name}"),
                "user_email": "jane@example.com",
                "user_id": "9183",
                "user_login": "jane",
            }),
        )
    }

    /// A person with a verified e-mail address.
    pub fn email(address: &str) -> Self {
        let claims = json!({
            "email": address,
            "email_verified": true,
            "sub": format!("CgVrXQ{}", hex::encode(address)),
        });
        Self::new(IssuerKind::Email, claims)
    }

    /// A person who signed in at another provider through a federating one (dex): the certificate names
    /// `connector` as the issuer.
    pub fn federated_email(address: &str, connector: &str) -> Self {
        let federated = json!({"connector_id": connector, "user_id": hex::encode(address)});
        Self::email(address).with_claim("federated_claims", federated)
    }

    /// A workload: `spiffe://TRUST-DOMAIN/PATH`.
    pub fn spiffe(id: &str) -> Self {
        Self::new(IssuerKind::Spiffe, json!({"sub": id}))
    }

    /// A user by name, who has no e-mail address.
    pub fn username(name: &str) -> Self {
        Self::new(IssuerKind::Username, json!({"sub": name}))
    }

    /// A user by URI.
    pub fn uri(uri: &str) -> Self {
        Self::new(IssuerKind::Uri, json!({"sub": uri}))
    }

    /// An identity of each kind, by its name or as `acme` would have it; `issuer` is where the token will come from.
    pub fn of_kind(kind: IssuerKind, name: Option<&str>, issuer: &str) -> Self {
        let or = |usual| name.unwrap_or(usual);
        match kind {
            IssuerKind::Email => Self::email(or("jane@example.com")),
            IssuerKind::GitHub => {
                Self::github(or("acme/charts/.github/workflows/release.yml@refs/heads/main"))
            }
            IssuerKind::GitLab => Self::gitlab(or("acme/charts//.gitlab-ci.yml@refs/heads/main")),
            IssuerKind::Spiffe => Self::spiffe(or("spiffe://acme.example/ns/ci/sa/release")),
            IssuerKind::Username => Self::username(or("jane")),
            IssuerKind::Uri => Self::uri(or(&format!("{issuer}/jane"))),
            IssuerKind::Buildkite => Self::buildkite(or("acme/charts")),
            IssuerKind::CircleCi => Self::circleci(or("acme/charts")),
            IssuerKind::Codefresh => Self::codefresh(or("acme/charts/release")),
            IssuerKind::Kubernetes => Self::kubernetes(or("ci/release")),
            IssuerKind::Chainguard => Self::chainguard(issuer, or("d1ce5/release")),
        }
    }

    pub(super) fn new(kind: IssuerKind, claims: Value) -> Self {
        let claims = match claims {
            Value::Object(claims) => claims,
            _ => Map::new(),
        };
        Self { kind, claims, audience: "sigstore".into(), expires_in_seconds: 600 }
    }

    /// For another audience than `sigstore`.
    #[must_use]
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.audience = audience.into();
        self
    }

    /// Sets or replaces a claim; [`Value::Null`] removes it.
    #[must_use]
    pub fn with_claim(mut self, name: &str, value: Value) -> Self {
        if value.is_null() {
            self.claims.remove(name);
        } else {
            self.claims.insert(name.into(), value);
        }
        self
    }

    /// Ends so many seconds from now, in the past if negative; 600 otherwise.
    #[must_use]
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in_seconds = seconds;
        self
    }

    /// Which issuer makes the token.
    pub fn kind(&self) -> IssuerKind {
        self.kind
    }

    /// The identity in the certificate, as `--certificate-identity` takes it.
    pub fn subject(&self) -> String {
        match subject(self.kind, &self.claims) {
            SubjectName::Email(name) | SubjectName::Uri(name) | SubjectName::Username(name) => name,
        }
    }
}

/// A commit identifier that depends on nothing but the text.
pub(super) fn fake_commit(seed: &str) -> String {
    let digest = super::keys::sha256(seed.as_bytes());
    hex::encode(digest.get(..20).unwrap_or_default())
}

pub(super) fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> &'a str {
    claims.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The subject alternative name that Fulcio gives to these claims.
pub(crate) fn subject(kind: IssuerKind, claims: &Map<String, Value>) -> SubjectName {
    match kind {
        IssuerKind::Email => SubjectName::Email(claim(claims, "email").into()),
        IssuerKind::GitHub => {
            SubjectName::Uri(format!("https://github.com/{}", claim(claims, "job_workflow_ref")))
        }
        IssuerKind::GitLab => {
            SubjectName::Uri(format!("https://{}", claim(claims, "ci_config_ref_uri")))
        }
        IssuerKind::Spiffe | IssuerKind::Uri => SubjectName::Uri(claim(claims, "sub").into()),
        IssuerKind::Buildkite
        | IssuerKind::CircleCi
        | IssuerKind::Codefresh
        | IssuerKind::Kubernetes
        | IssuerKind::Chainguard => SubjectName::Uri(platform::subject(kind, claims)),
        IssuerKind::Username => {
            SubjectName::Username(format!("{}!{USERNAME_DOMAIN}", claim(claims, "sub")))
        }
    }
}

/// The issuer that the certificate names where a federating provider passes on another one
/// (`issuer-claim: $.federated_claims.connector_id`).
pub(crate) fn upstream_issuer(kind: IssuerKind, claims: &Map<String, Value>) -> Option<String> {
    let connector = claims.get("federated_claims")?.get("connector_id")?.as_str()?;
    (kind == IssuerKind::Email).then(|| connector.to_owned())
}

/// Fulcio's extensions for these claims, but for the issuer: last arc of the identifier and text, in ascending order.
pub(crate) fn extensions(kind: IssuerKind, claims: &Map<String, Value>) -> Vec<(u32, String)> {
    let get = |name: &str| claim(claims, name);
    let mut table = match kind {
        IssuerKind::Email | IssuerKind::Spiffe | IssuerKind::Username | IssuerKind::Uri => {
            Vec::new()
        }
        IssuerKind::Buildkite
        | IssuerKind::CircleCi
        | IssuerKind::Codefresh
        | IssuerKind::Kubernetes
        | IssuerKind::Chainguard => platform::extensions(kind, claims),
        IssuerKind::GitHub => {
            let url = |rest: &str| format!("https://github.com/{rest}");
            let run = format!(
                "{}/actions/runs/{}/attempts/{}",
                url(get("repository")),
                get("run_id"),
                get("run_attempt")
            );
            vec![
                (2, get("event_name").into()),
                (3, get("sha").into()),
                (4, get("workflow").into()),
                (5, get("repository").into()),
                (6, get("ref").into()),
                (9, url(get("job_workflow_ref"))),
                (10, get("job_workflow_sha").into()),
                (11, get("runner_environment").into()),
                (12, url(get("repository"))),
                (13, get("sha").into()),
                (14, get("ref").into()),
                (15, get("repository_id").into()),
                (16, url(get("repository_owner"))),
                (17, get("repository_owner_id").into()),
                (18, url(get("workflow_ref"))),
                (19, get("workflow_sha").into()),
                (20, get("event_name").into()),
                (21, run),
                (22, get("repository_visibility").into()),
                (23, get("environment").into()),
            ]
        }
        IssuerKind::GitLab => {
            let url = |rest: &str| format!("https://gitlab.com/{rest}");
            let config = format!("https://{}", get("ci_config_ref_uri"));
            let place = if get("ref_type") == "tag" { "tags" } else { "heads" };
            vec![
                (9, config.clone()),
                (10, get("ci_config_sha").into()),
                (11, get("runner_environment").into()),
                (12, url(get("project_path"))),
                (13, get("sha").into()),
                (14, format!("refs/{place}/{}", get("ref"))),
                (15, get("project_id").into()),
                (16, url(get("namespace_path"))),
                (17, get("namespace_id").into()),
                (18, config),
                (19, get("ci_config_sha").into()),
                (20, get("pipeline_source").into()),
                (21, format!("{}/-/jobs/{}", url(get("project_path")), get("job_id"))),
                (22, get("project_visibility").into()),
                (23, get("environment").into()),
            ]
        }
    };
    // The token's subject as it is; Fulcio 1.8 writes it for every kind.
    table.push((24, get("sub").into()));
    table.retain(|(_, text)| !text.is_empty());
    table
}

/// What a client signs to prove that it holds the key: the e-mail address, or the token's subject.
pub(crate) fn challenge(claims: &Map<String, Value>) -> &str {
    let email = claim(claims, "email");
    if email.is_empty() { claim(claims, "sub") } else { email }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_what_fulcio_writes() {
        let github = Identity::github("acme/charts/.github/workflows/release.yml@refs/heads/main");
        let gitlab = Identity::gitlab("acme/sub/charts//.gitlab-ci.yml@refs/tags/v1");
        assert_eq!(
            github.subject(),
            "https://github.com/acme/charts/.github/workflows/release.yml@refs/heads/main"
        );
        assert_eq!(
            gitlab.subject(),
            "https://gitlab.com/acme/sub/charts//.gitlab-ci.yml@refs/tags/v1"
        );
        assert_eq!(Identity::email("jane@example.com").subject(), "jane@example.com");
        let table = extensions(gitlab.kind, &gitlab.claims);
        assert!(table.contains(&(12, "https://gitlab.com/acme/sub/charts".into())));
        assert!(table.contains(&(14, "refs/tags/v1".into())));
        assert!(table.contains(&(16, "https://gitlab.com/acme/sub".into())));
    }

    #[test]
    fn a_job_without_environment_has_no_such_extension() {
        let identity =
            Identity::github("acme/charts/.github/workflows/release.yml@refs/heads/main");
        assert!(extensions(identity.kind, &identity.claims).iter().all(|(arc, _)| *arc != 23));
        let deployed = identity.with_claim("environment", json!("production"));
        assert!(extensions(deployed.kind, &deployed.claims).contains(&(23, "production".into())));
    }
}
