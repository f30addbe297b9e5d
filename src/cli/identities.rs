//! Whom `verify` trusts: the flags, and the policy that they make.

use clap::builder::NonEmptyStringValueParser;
use clap::parser::ValueSource;
use clap::{ArgGroup, ArgMatches, Args};

use crate::error::{Error, Result};
use crate::verify::{Constraint, Forge, GOOGLE_ISSUER, Identity, Policy, Spelled};

/// The flags that name a signer; the group of this name joins them.
pub(super) const SIGNERS: &str = "signers";
/// The flags that name an issuer, likewise.
pub(super) const ISSUERS: &str = "issuers";
/// Names, and the issuers that vouch for them.
pub(super) const PAIRS: [(&[&str], &[&str]); 2] = [
    (
        &["certificate_identity", "certificate_identity_regexp"],
        &["certificate_oidc_issuer", "certificate_oidc_issuer_regexp"],
    ),
    (&["email"], &["issuer"]),
];
/// Those of them that take a regular expression.
const PATTERNS: [&str; 2] = ["certificate_identity_regexp", "certificate_oidc_issuer_regexp"];
/// The flags whose order on the command line pairs a signer with its issuer.
const PAIRED: [&str; 6] = [
    "certificate_identity",
    "certificate_identity_regexp",
    "certificate_oidc_issuer",
    "certificate_oidc_issuer_regexp",
    "email",
    "issuer",
];

#[derive(Debug, Default, Args)]
#[command(
    next_help_heading = "Identity to trust",
    group = ArgGroup::new(SIGNERS).multiple(true),
    group = ArgGroup::new(ISSUERS).multiple(true)
)]
pub(super) struct IdentityArgs {
    /// Identity that may have signed: the e-mail address, URI or user name in the certificate; repeatable, each with
    /// its issuer in the same order: `--certificate-identity jane@acme.example`
    #[arg(long, value_name = "IDENTITY", group = SIGNERS, value_parser = NonEmptyStringValueParser::new())]
    pub certificate_identity: Vec<String>,

    /// The same as a regular expression over the whole identity: `--certificate-identity-regexp
    /// 'https://github\.com/acme/.*'`
    #[arg(long, value_name = "PATTERN", group = SIGNERS, value_parser = NonEmptyStringValueParser::new())]
    pub certificate_identity_regexp: Vec<String>,

    /// OIDC issuer that must have vouched for the identity: `--certificate-oidc-issuer https://accounts.google.com`
    #[arg(long, value_name = "URL", group = ISSUERS, value_parser = NonEmptyStringValueParser::new())]
    pub certificate_oidc_issuer: Vec<String>,

    /// The same as a regular expression over the whole issuer: `--certificate-oidc-issuer-regexp
    /// 'https://.*\.acme\.example'`
    #[arg(long, value_name = "PATTERN", group = ISSUERS, value_parser = NonEmptyStringValueParser::new())]
    pub certificate_oidc_issuer_regexp: Vec<String>,

    /// A workflow of this GitHub repository, built from it: `--github acme/charts@refs/tags/*`
    #[arg(long, value_name = "OWNER/REPO[@REF]", group = SIGNERS, value_parser = NonEmptyStringValueParser::new())]
    pub github: Vec<String>,

    /// The reusable workflow that signs for --github: `--signer-workflow acme/ci/.github/workflows/sign.yml@refs/tags/v1`
    #[arg(long, value_name = "OWNER/REPO/PATH[@REF]", value_parser = NonEmptyStringValueParser::new())]
    pub signer_workflow: Option<String>,

    /// Host of --github other than github.com: `--github-host acme.ghe.com`
    #[arg(long, value_name = "HOST", value_parser = NonEmptyStringValueParser::new())]
    pub github_host: Option<String>,

    /// Issuer of --github other than the host's own, as an enterprise may have: `--github-issuer
    /// https://token.actions.githubusercontent.com/acme`
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub github_issuer: Option<String>,

    /// A pipeline of this GitLab project: `--gitlab acme/charts@refs/heads/main`
    #[arg(long, value_name = "GROUP/PROJECT[@REF]", group = SIGNERS, value_parser = NonEmptyStringValueParser::new())]
    pub gitlab: Vec<String>,

    /// Host of --gitlab other than gitlab.com: `--gitlab-host gitlab.acme.example`
    #[arg(long, value_name = "HOST", value_parser = NonEmptyStringValueParser::new())]
    pub gitlab_host: Option<String>,

    /// Issuer of --gitlab other than the host's own: `--gitlab-issuer https://id.acme.example`
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub gitlab_issuer: Option<String>,

    /// A Google account, also a service account: `--google-account release@acme.iam.gserviceaccount.com`
    #[arg(long, value_name = "ADDRESS", group = SIGNERS, value_parser = NonEmptyStringValueParser::new())]
    pub google_account: Vec<String>,

    /// A person by e-mail address: `--email jane@acme.example --issuer https://accounts.google.com`
    #[arg(long, value_name = "ADDRESS", group = SIGNERS, value_parser = NonEmptyStringValueParser::new())]
    pub email: Vec<String>,

    /// Who vouches for --email; one each, in the same order: `--issuer https://accounts.google.com`
    #[arg(long, value_name = "URL", group = ISSUERS, value_parser = NonEmptyStringValueParser::new())]
    pub issuer: Vec<String>,

    /// How many different ones of these identities must have signed: `--min-signatures 2`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub min_signatures: u32,

    /// Repository of the source, for every identity: `--source-repository https://git.acme.example/acme/charts`
    #[arg(long, value_name = "URI", value_parser = NonEmptyStringValueParser::new())]
    pub source_repository: Option<String>,

    /// Ref of the source, for every identity; `*` stands for anything: `--source-ref 'refs/tags/*'`
    #[arg(long, value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub source_ref: Option<String>,

    /// Commit of the source, for every identity: `--source-digest 4f2c1d…`
    #[arg(long, value_name = "COMMIT", value_parser = NonEmptyStringValueParser::new())]
    pub source_digest: Option<String>,

    /// Event that triggered the build, for every identity: `--build-trigger release`
    #[arg(long, value_name = "EVENT", value_parser = NonEmptyStringValueParser::new())]
    pub build_trigger: Option<String>,

    /// What the build ran on, for every identity: `--runner-environment github-hosted`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub runner_environment: Option<String>,

    /// URI of the workflow that signed, for every identity; `*` stands for anything: `--build-signer
    /// 'https://github.com/acme/ci/*'`
    #[arg(long, value_name = "URI", value_parser = NonEmptyStringValueParser::new())]
    pub build_signer: Option<String>,

    /// Event in GitHub's old extension, as cosign compares it; better --build-trigger
    /// (`--certificate-github-workflow-trigger push`)
    #[arg(long, value_name = "EVENT", value_parser = NonEmptyStringValueParser::new())]
    pub certificate_github_workflow_trigger: Option<String>,

    /// Commit in GitHub's old extension; better --source-digest (`--certificate-github-workflow-sha 4f2c1d…`)
    #[arg(long, value_name = "COMMIT", value_parser = NonEmptyStringValueParser::new())]
    pub certificate_github_workflow_sha: Option<String>,

    /// Name of the workflow in GitHub's old extension: `--certificate-github-workflow-name Release`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub certificate_github_workflow_name: Option<String>,

    /// OWNER/REPO in GitHub's old extension; better --github (`--certificate-github-workflow-repository acme/charts`)
    #[arg(long, value_name = "OWNER/REPO", value_parser = NonEmptyStringValueParser::new())]
    pub certificate_github_workflow_repository: Option<String>,

    /// Ref in GitHub's old extension; better --source-ref (`--certificate-github-workflow-ref refs/tags/v1`)
    #[arg(long, value_name = "REF", value_parser = NonEmptyStringValueParser::new())]
    pub certificate_github_workflow_ref: Option<String>,

    /// The paired flags in their order.
    #[arg(skip)]
    pub sequence: Vec<(&'static str, String)>,
}

impl IdentityArgs {
    /// Takes the order of the paired flags from what was parsed.
    pub(super) fn keep_order(&mut self, matches: &ArgMatches) {
        let mut found = Vec::new();
        for id in PAIRED {
            if !matches!(
                matches.value_source(id),
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            ) {
                continue;
            }
            let values = matches.get_many::<String>(id).into_iter().flatten();
            let places = matches.indices_of(id).into_iter().flatten();
            found.extend(places.zip(values).map(|(place, value)| (place, id, value.clone())));
        }
        found.sort();
        self.sequence = found.into_iter().map(|(_, id, value)| (id, value)).collect();
    }

    /// Whom these flags trust.
    ///
    /// # Errors
    /// Usage, when a signer lacks its issuer or the reverse, when a value makes no sense, or when more
    /// signatures are asked for than there are identities.
    pub(super) fn policy(&self) -> Result<Policy> {
        let mut identities = self.listed()?;
        identities.extend(self.by_address()?);
        identities.extend(self.built()?);
        let constraints = self.constraints()?;
        if let (true, Some(constraint)) = (identities.is_empty(), constraints.first()) {
            return Err(Error::usage("a constraint narrows an identity: name one")
                .cause(format!("{} alone trusts nobody", constraint.claim.words()))
                .hint("--github OWNER/REPO, or --certificate-identity IDENTITY"));
        }
        for identity in &mut identities {
            identity.constraints.extend(constraints.iter().cloned());
        }
        let count = usize::try_from(self.min_signatures).unwrap_or(usize::MAX);
        if count > identities.len().max(1) {
            return Err(Error::usage("more signatures than identities are asked for")
                .on(format!("--min-signatures {count}"))
                .cause(match identities.len() {
                    0 => "no identity is listed".to_owned(),
                    1 => "1 identity is listed, and each counts once".to_owned(),
                    listed => format!("{listed} identities are listed, and each counts once"),
                }));
        }
        Ok(match (identities.is_empty(), count) {
            (true, _) => Policy::Unstated,
            (false, 1) => Policy::AnyOf(identities),
            (false, count) => Policy::AtLeast(count, identities),
        })
    }

    fn in_order(&self, ids: [&'static str; 2]) -> Vec<(&'static str, &str)> {
        let all = self.sequence.iter().map(|(id, value)| (*id, value.as_str()));
        all.filter(|(id, _)| ids.contains(id)).collect()
    }

    /// `--certificate-identity[-regexp]`, each with its `--certificate-oidc-issuer[-regexp]`.
    fn listed(&self) -> Result<Vec<Identity>> {
        let names = self.in_order(["certificate_identity", "certificate_identity_regexp"]);
        let issuers = self.in_order(["certificate_oidc_issuer", "certificate_oidc_issuer_regexp"]);
        match (names.len(), issuers.len()) {
            (1.., 0) => {
                return Err(Error::usage("an identity needs its issuer").hint(
                    "--certificate-oidc-issuer https://token.actions.githubusercontent.com",
                ));
            }
            (0, 1..) => {
                return Err(Error::usage("an issuer vouches for many identities: name one").hint(
                    "--certificate-identity IDENTITY, or --certificate-identity-regexp PATTERN",
                ));
            }
            (names, issuers) if names != issuers => {
                return Err(Error::usage("every identity needs its own issuer, in the same order")
                    .expected_found(
                        format!("{names} --certificate-oidc-issuer or -regexp"),
                        issuers.to_string(),
                    ));
            }
            _ => {}
        }
        let spelled = |(id, text)| match PATTERNS.contains(&id) {
            true => Spelled::Pattern(text),
            false => Spelled::Exact(text),
        };
        let pairs = names.into_iter().zip(issuers);
        pairs
            .map(|(name, issuer)| Identity::of_certificate(spelled(name), spelled(issuer)))
            .collect()
    }

    /// `--email`, each with its `--issuer`, and `--google-account`.
    fn by_address(&self) -> Result<Vec<Identity>> {
        if self.email.len() != self.issuer.len() {
            return Err(Error::usage("every --email needs its own --issuer, in the same order")
                .expected_found(
                    format!("{} --issuer", self.email.len()),
                    self.issuer.len().to_string(),
                ));
        }
        let people = self.email.iter().zip(&self.issuer);
        let people = people.map(|(address, issuer)| Identity::email("--email", address, issuer));
        let google = self.google_account.iter();
        let google = google.map(|one| Identity::email("--google-account", one, GOOGLE_ISSUER));
        people.chain(google).collect()
    }

    /// `--github` and `--gitlab`.
    fn built(&self) -> Result<Vec<Identity>> {
        for (flag, given, of, needed) in [
            ("--signer-workflow", self.signer_workflow.is_some(), "--github", &self.github),
            ("--github-host", self.github_host.is_some(), "--github", &self.github),
            ("--github-issuer", self.github_issuer.is_some(), "--github", &self.github),
            ("--gitlab-host", self.gitlab_host.is_some(), "--gitlab", &self.gitlab),
            ("--gitlab-issuer", self.gitlab_issuer.is_some(), "--gitlab", &self.gitlab),
        ] {
            if given && needed.is_empty() {
                return Err(Error::usage(format!("{flag} belongs to {of}")));
            }
        }
        let github = Forge::github(self.github_host.as_deref(), self.github_issuer.as_deref())?;
        let gitlab = Forge::gitlab(self.gitlab_host.as_deref(), self.gitlab_issuer.as_deref())?;
        let workflow = self.signer_workflow.as_deref();
        let repositories = self.github.iter();
        let repositories = repositories.map(|text| Identity::github(text, workflow, &github));
        let projects = self.gitlab.iter().map(|text| Identity::gitlab(text, &gitlab));
        repositories.chain(projects).collect()
    }

    fn constraints(&self) -> Result<Vec<Constraint>> {
        Constraint::listed(
            [
                &self.source_repository,
                &self.source_ref,
                &self.source_digest,
                &self.build_trigger,
                &self.runner_environment,
                &self.build_signer,
                &self.certificate_github_workflow_trigger,
                &self.certificate_github_workflow_sha,
                &self.certificate_github_workflow_name,
                &self.certificate_github_workflow_repository,
                &self.certificate_github_workflow_ref,
            ]
            .map(Option::as_deref),
        )
    }
}
