//! The entries of a rule's lists: signers, and what is denied.

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{Text, located, present, text, wrong};
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::verify::identity::{Constraint, Forge, GOOGLE_ISSUER, Identity};
use crate::verify::public_key::{LogCheck, PublicKey, TrustedKey};
use crate::verify::spelled::Spelled;

macro_rules! signer {
    ($($field:ident),* $(,)?) => {
        /// One identity, or one key; in `deny` also a digest.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct WireSigner {
            $(#[serde(default, deserialize_with = "present")] $field: Text,)*
            #[serde(default, deserialize_with = "present")]
            insecure_ignore_tlog: Option<Spanned<bool>>,
        }

        impl WireSigner {
            /// The keys that are there, in the order of the grammar.
            fn given(&self) -> Vec<(&'static str, Location)> {
                let texts = [$((stringify!($field), self.$field.as_ref().map(|text| text.referenced))),*];
                let log = self.insecure_ignore_tlog.as_ref().map(|one| one.referenced);
                let all = texts.into_iter().chain([("insecure_ignore_tlog", log)]);
                all.filter_map(|(name, place)| Some((name, place?))).collect()
            }
        }
    };
}
signer! {
    certificate_identity, certificate_identity_regexp, certificate_oidc_issuer, certificate_oidc_issuer_regexp,
    github, signer_workflow, github_host, github_issuer, gitlab, gitlab_host, gitlab_issuer,
    google_account, email, issuer, key, digest,
    source_repository, source_ref, source_digest, build_trigger, runner_environment, build_signer,
    certificate_github_workflow_trigger, certificate_github_workflow_sha, certificate_github_workflow_name,
    certificate_github_workflow_repository, certificate_github_workflow_ref,
}

/// The claims that narrow an identity, in the order of [`super::identity::CONSTRAINTS`].
const CLAIMS: [&str; 11] = [
    "source_repository",
    "source_ref",
    "source_digest",
    "build_trigger",
    "runner_environment",
    "build_signer",
    "certificate_github_workflow_trigger",
    "certificate_github_workflow_sha",
    "certificate_github_workflow_name",
    "certificate_github_workflow_repository",
    "certificate_github_workflow_ref",
];

/// What an entry of a list is.
pub(super) enum Member {
    Identity(Box<Identity>),
    Key(TrustedKey),
    Digest(Digest),
}

impl WireSigner {
    /// What the entry at `place` is.
    pub(super) fn read(
        self,
        place: Location,
        read_key: &dyn Fn(&str) -> Result<PublicKey>,
    ) -> Result<Member> {
        const KINDS: [&str; 8] = [
            "certificate_identity",
            "certificate_identity_regexp",
            "github",
            "gitlab",
            "google_account",
            "email",
            "key",
            "digest",
        ];
        let key = |name: &str| name.replace('_', "-");
        let given = self.given();
        let kinds: Vec<_> = given.iter().filter(|(name, _)| KINDS.contains(name)).collect();
        let kind = match kinds.as_slice() {
            [(kind, _)] => *kind,
            [] => {
                return Err(wrong(
                    place,
                    "it names no signer: github, email, certificate-identity, key, …",
                ));
            }
            [(one, _), (two, place), ..] => {
                return Err(wrong(
                    *place,
                    format!("{} and {} are two signers", key(one), key(two)),
                ));
            }
        };
        let belonging: &[&str] = match kind {
            "certificate_identity" | "certificate_identity_regexp" => {
                &["certificate_oidc_issuer", "certificate_oidc_issuer_regexp"]
            }
            "github" => &["signer_workflow", "github_host", "github_issuer"],
            "gitlab" => &["gitlab_host", "gitlab_issuer"],
            "email" => &["issuer"],
            "key" => &["insecure_ignore_tlog"],
            _ => &[],
        };
        let claims = !["key", "digest"].contains(&kind);
        for (name, place) in &given {
            let fits =
                *name == kind || belonging.contains(name) || (claims && CLAIMS.contains(name));
            if !fits {
                return Err(wrong(
                    *place,
                    format!("{} does not belong to {}", key(name), key(kind)),
                ));
            }
        }
        let located = located(place);
        match kind {
            "key" => {
                let named = text(&self.key).unwrap_or_default();
                let inline = named.trim_start().starts_with("-----BEGIN ");
                let read = match inline {
                    true => PublicKey::from_pem(named.as_bytes()),
                    false if named.is_empty() => Err(Error::usage("key is empty")),
                    false => read_key(named),
                };
                let ignored = self.insecure_ignore_tlog.is_some_and(|one| one.value);
                let log = if ignored { LogCheck::Ignored } else { LogCheck::Required };
                Ok(Member::Key(TrustedKey { key: read.map_err(located)?, log }))
            }
            "digest" => {
                let digest = Digest::parse(text(&self.digest).unwrap_or_default());
                Ok(Member::Digest(digest.map_err(located)?))
            }
            _ => Ok(Member::Identity(Box::new(self.identity(kind).map_err(located)?))),
        }
    }

    fn identity(&self, kind: &str) -> Result<Identity> {
        let mut identity = match kind {
            "github" => {
                let forge = Forge::github(text(&self.github_host), text(&self.github_issuer))?;
                let workflow = text(&self.signer_workflow);
                Identity::github(text(&self.github).unwrap_or_default(), workflow, &forge)?
            }
            "gitlab" => {
                let forge = Forge::gitlab(text(&self.gitlab_host), text(&self.gitlab_issuer))?;
                Identity::gitlab(text(&self.gitlab).unwrap_or_default(), &forge)?
            }
            "google_account" => Identity::email(
                "--google-account",
                text(&self.google_account).unwrap_or_default(),
                GOOGLE_ISSUER,
            )?,
            "email" => match text(&self.issuer) {
                Some(issuer) => {
                    Identity::email("--email", text(&self.email).unwrap_or_default(), issuer)?
                }
                None => return Err(Error::usage("email needs its issuer")),
            },
            _ => {
                let subject =
                    spelled(&self.certificate_identity, &self.certificate_identity_regexp)?;
                let issuer =
                    spelled(&self.certificate_oidc_issuer, &self.certificate_oidc_issuer_regexp)?;
                match (subject, issuer) {
                    (Some(subject), Some(issuer)) => Identity::of_certificate(subject, issuer)?,
                    _ => {
                        return Err(Error::usage("an identity needs its issuer")
                            .cause("certificate-oidc-issuer is missing"));
                    }
                }
            }
        };
        identity.constraints.extend(Constraint::listed(
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
            .map(text),
        )?);
        Ok(identity)
    }
}

/// A name or an issuer, as text or as a pattern.
fn spelled<'a>(exact: &'a Text, pattern: &'a Text) -> Result<Option<Spelled<'a>>> {
    match (text(exact), text(pattern)) {
        (Some(_), Some(_)) => Err(Error::usage("an identity has one issuer")),
        (Some(exact), None) => Ok(Some(Spelled::Exact(exact))),
        (None, pattern) => Ok(pattern.map(Spelled::Pattern)),
    }
}
