//! Policy files: which repositories have to be signed by whom (docs/policy.md, docs/policy.schema.json).
//!
//! Bytes in, rules out. Everything that is wrong in a file is an error of the whole file, with line and column:
//! half a policy would be another policy.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::identity::{Constraint, Forge, GOOGLE_ISSUER, Identity};
use super::matcher::Matcher;
use super::pattern::{RepositoryPattern, normal_host};
use super::public_key::{LogCheck, PublicKey, TrustedKey};
use super::rule::Rule;
use crate::chart::Digest;
use crate::error::{Error, Result};

/// The largest policy file that is read, in bytes.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// What `schema` has to say.
pub(super) const SCHEMA: &str = "helm-sigstore.policy/v1";
/// Patterns of one file at most.
const MAX_PATTERNS: usize = 1_000;
/// Signers of one list at most.
const MAX_SIGNERS: usize = 100;
/// Denied signers and digests of one rule at most.
const MAX_DENIED: usize = 1_000;

/// A policy file.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    rules: Vec<NamedRule>,
}

/// One rule with what it is about.
#[derive(Clone, Debug)]
pub struct NamedRule {
    /// Its `name`, or its first pattern.
    pub name: String,
    /// The line where it begins.
    pub line: u64,
    /// The repositories.
    pub repositories: Vec<RepositoryPattern>,
    /// Whether all signers of its list are needed.
    pub all: bool,
    /// What it asks for.
    pub rule: Rule,
    /// What it relies on.
    pub trust: RuleTrust,
}

/// What a rule relies on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RuleTrust {
    /// What the run relies on.
    OfTheRun,
    /// This instance.
    Instance(String),
    /// This file, or `embedded`.
    TrustedRoot(String),
}

impl PolicyFile {
    /// Reads a policy. `read_key` reads the public key that a `key` names, unless it stands there itself.
    ///
    /// # Errors
    /// Usage, with line and column.
    pub fn parse(bytes: &[u8], read_key: &dyn Fn(&str) -> Result<PublicKey>) -> Result<Self> {
        let bad = |cause: String| Error::usage("bad policy file").cause(cause);
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(bad(format!("it is larger than {MAX_POLICY_BYTES} bytes")));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".into()))?;
        // Some readers end a line here and others do not: a comment would become a rule.
        let lone_return = text.split('\r').skip(1).any(|rest| !rest.starts_with('\n'));
        if lone_return || text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            return Err(bad("it holds a line break that some readers take for text".into()));
        }
        let options = serde_saphyr::options! {
            merge_keys: serde_saphyr::MergeKeyPolicy::AsOrdinary,
            budget: serde_saphyr::budget! {
                max_depth: 16,
                max_documents: 1,
                max_aliases: 100,
                max_anchors: 100,
                max_nodes: 100_000,
                max_total_scalar_bytes: 4 * MAX_POLICY_BYTES,
            },
            with_snippet: false,
        };
        let wire: Wire = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let words = error.to_string();
            let words: String =
                words.lines().next().unwrap_or_default().chars().take(300).collect();
            match error.location() {
                Some(place) if !words.contains("column") => bad(at(place, &words)),
                _ => bad(words),
            }
        })?;
        wire.read(read_key)
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[NamedRule] {
        &self.rules
    }

    /// The rules that are about `repository` at `host`, the one that decides first: where in the file, and by
    /// which pattern.
    pub fn matching(&self, host: &str, repository: &str) -> Vec<(usize, &RepositoryPattern)> {
        let host = normal_host(host);
        let best = |rule: &'_ NamedRule| -> Option<usize> {
            let patterns = rule.repositories.iter().enumerate();
            let matching = patterns.filter(|(_, one)| one.matches(&host, repository));
            matching.max_by_key(|(_, one)| one.precedence()).map(|(at, _)| at)
        };
        let rules = self.rules.iter().enumerate();
        let mut found: Vec<_> = rules
            .filter_map(|(at, rule)| Some((at, rule.repositories.get(best(rule)?)?)))
            .collect();
        found.sort_by_key(|(at, pattern)| (std::cmp::Reverse(pattern.precedence()), *at));
        found
    }
}

fn at(place: Location, words: &str) -> String {
    format!("line {}, column {}: {words}", place.line(), place.column())
}

/// An error in the file about what stands at `place`.
fn wrong(place: Location, words: impl AsRef<str>) -> Error {
    Error::usage("bad policy file").cause(at(place, words.as_ref()))
}

/// The same of an error that another part of the program has about a value.
fn located(place: Location) -> impl Fn(Error) -> Error {
    move |error| {
        let mut words = error.what.clone();
        if !error.object.is_empty() {
            words.push_str(&format!(": {}", error.object.trim_start_matches("--")));
        }
        for line in &error.lines {
            match line.label {
                "" | "cause" => words.push_str(&format!(": {}", line.text)),
                label => words.push_str(&format!("; {label} {}", line.text)),
            }
        }
        wrong(place, words)
    }
}

/// A value that is there: a key without a value is a mistake, and not the same as no key.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

type Text = Option<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Wire {
    schema: Spanned<String>,
    rules: Spanned<Vec<Spanned<WireRule>>>,
}

// The grammar: further requirements of a rule (provenance, predicates) get their keys here and in `Rule`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireRule {
    #[serde(default, deserialize_with = "present")]
    name: Text,
    repositories: Spanned<Vec<Spanned<String>>>,
    #[serde(default, deserialize_with = "present")]
    any_of: Option<Spanned<Vec<Spanned<WireSigner>>>>,
    #[serde(default, deserialize_with = "present")]
    all_of: Option<Spanned<Vec<Spanned<WireSigner>>>>,
    #[serde(default, deserialize_with = "present")]
    min_signatures: Option<Spanned<u32>>,
    #[serde(default, deserialize_with = "present")]
    instance: Text,
    #[serde(default, deserialize_with = "present")]
    trusted_root: Text,
    #[serde(default, deserialize_with = "present")]
    signed_after: Text,
    #[serde(default, deserialize_with = "present")]
    signed_before: Text,
    #[serde(default, deserialize_with = "present")]
    deny: Option<Spanned<Vec<Spanned<WireSigner>>>>,
}

macro_rules! signer {
    ($($field:ident),* $(,)?) => {
        /// One identity, or one key; in `deny` also a digest.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct WireSigner {
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
    source_ref, source_digest, build_trigger, runner_environment, build_signer,
    certificate_github_workflow_trigger, certificate_github_workflow_sha, certificate_github_workflow_name,
    certificate_github_workflow_repository, certificate_github_workflow_ref,
}

/// The claims that narrow an identity, in the order of [`super::identity::CONSTRAINTS`].
const CLAIMS: [&str; 10] = [
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
enum Member {
    Identity(Box<Identity>),
    Key(TrustedKey),
    Digest(Digest),
}

fn text(of: &Text) -> Option<&str> {
    of.as_ref().map(|text| text.value.as_str())
}

impl Wire {
    fn read(self, read_key: &dyn Fn(&str) -> Result<PublicKey>) -> Result<PolicyFile> {
        if self.schema.value != SCHEMA {
            return Err(wrong(self.schema.referenced, format!("schema has to be {SCHEMA}")));
        }
        if self.rules.value.is_empty() {
            return Err(wrong(
                self.rules.referenced,
                "there is no rule: everything would be refused",
            ));
        }
        let mut rules: Vec<NamedRule> = Vec::new();
        let mut patterns: Vec<(usize, RepositoryPattern)> = Vec::new();
        for wire in self.rules.value {
            let place = wire.referenced;
            let places: Vec<_> =
                wire.value.repositories.value.iter().map(|p| p.referenced).collect();
            let rule = wire.value.read(place, read_key)?;
            if let Some(other) = rules.iter().find(|other| other.name == rule.name) {
                let words =
                    format!("the rule in line {} has the same name: {}", other.line, rule.name);
                return Err(wrong(place, words));
            }
            for (pattern, place) in rule.repositories.iter().zip(places) {
                let other = patterns.iter().find(|(_, other)| pattern.is_ambiguous_with(other));
                if let Some((rule, other)) = other {
                    let name = rules.get(*rule).map_or("", |rule| rule.name.as_str());
                    return Err(wrong(
                        place,
                        format!(
                            "{} and {} of the rule {name} match the same repositories, and neither is more specific",
                            pattern.typed, other.typed,
                        ),
                    ));
                }
            }
            let number = rules.len();
            patterns.extend(rule.repositories.iter().cloned().map(|pattern| (number, pattern)));
            if patterns.len() > MAX_PATTERNS {
                return Err(wrong(place, format!("there are more than {MAX_PATTERNS} patterns")));
            }
            rules.push(rule);
        }
        Ok(PolicyFile { rules })
    }
}

impl WireRule {
    fn read(
        self,
        place: Location,
        read_key: &dyn Fn(&str) -> Result<PublicKey>,
    ) -> Result<NamedRule> {
        if self.repositories.value.is_empty() {
            return Err(wrong(self.repositories.referenced, "repositories is empty"));
        }
        let mut repositories = Vec::new();
        for one in &self.repositories.value {
            let pattern = RepositoryPattern::parse(&one.value);
            let pattern = pattern.map_err(|error| error.on(one.value.clone()));
            repositories.push(pattern.map_err(located(one.referenced))?);
        }
        let name = match &self.name {
            Some(name) if name.value.trim().is_empty() => {
                return Err(wrong(name.referenced, "name is empty"));
            }
            Some(name) => name.value.clone(),
            None => repositories.first().map(|one| one.typed.clone()).unwrap_or_default(),
        };
        let (all, signers) = match (self.any_of, self.all_of) {
            (Some(signers), None) => (false, signers),
            (None, Some(signers)) => (true, signers),
            (None, None) => {
                return Err(wrong(place, "the rule trusts nobody: any-of or all-of is missing"));
            }
            (Some(_), Some(all)) => {
                return Err(wrong(all.referenced, "a rule has either any-of or all-of"));
            }
        };
        let mut rule = Rule::default();
        let list = signers.referenced;
        bounded(&signers, MAX_SIGNERS)?;
        for signer in signers.value {
            let place = signer.referenced;
            match signer.value.read(place, read_key)? {
                Member::Identity(identity) => rule.identities.push(*identity),
                Member::Key(key) if rule.keys.iter().any(|one| one.key.id() == key.key.id()) => {
                    return Err(wrong(place, "this key is listed twice"));
                }
                Member::Key(key) => rule.keys.push(key),
                Member::Digest(_) => return Err(wrong(place, "digest belongs into deny")),
            }
        }
        let listed = rule.identities.len() + rule.keys.len();
        rule.count = match (&self.min_signatures, all) {
            (None, true) => listed,
            (None, false) => 1,
            (Some(count), true) => {
                return Err(wrong(
                    count.referenced,
                    "min-signatures is for any-of: all-of asks for all",
                ));
            }
            (Some(count), false) => match usize::try_from(count.value) {
                Ok(number) if (1..=listed).contains(&number) => number,
                _ => {
                    return Err(wrong(
                        count.referenced,
                        format!(
                            "min-signatures has to be from 1 to {listed}, the signers in line {}",
                            list.line()
                        ),
                    ));
                }
            },
        };
        (rule.signed_after, rule.signed_before) =
            (time(&self.signed_after)?, time(&self.signed_before)?);
        if let (Some(after), Some(before), Some(text)) =
            (rule.signed_after, rule.signed_before, &self.signed_before)
            && before < after
        {
            return Err(wrong(text.referenced, "signed-before is earlier than signed-after"));
        }
        if let Some(denied) = self.deny {
            bounded(&denied, MAX_DENIED)?;
            for one in denied.value {
                match one.value.read(one.referenced, read_key)? {
                    Member::Identity(identity) => rule.denied.push(*identity),
                    Member::Key(key) => rule.denied_keys.push(key.key.id()),
                    Member::Digest(digest) => rule.denied_digests.push(digest),
                }
            }
        }
        let trust = match (self.instance, self.trusted_root) {
            (None, None) => RuleTrust::OfTheRun,
            (Some(name), None) => RuleTrust::Instance(filled("instance", name)?),
            (None, Some(file)) => RuleTrust::TrustedRoot(filled("trusted-root", file)?),
            (Some(_), Some(file)) => {
                return Err(wrong(file.referenced, "a rule has either instance or trusted-root"));
            }
        };
        Ok(NamedRule { name, line: place.line(), repositories, all, rule, trust })
    }
}

fn filled(key: &str, text: Spanned<String>) -> Result<String> {
    match text.value.trim().is_empty() {
        true => Err(wrong(text.referenced, format!("{key} is empty"))),
        false => Ok(text.value),
    }
}

fn bounded<T>(list: &Spanned<Vec<T>>, most: usize) -> Result<()> {
    match list.value.len() {
        0 => Err(wrong(list.referenced, "the list is empty")),
        found if found > most => {
            Err(wrong(list.referenced, format!("more than {most} are listed")))
        }
        _ => Ok(()),
    }
}

/// A time as RFC 3339 writes it, or a day, which begins in UTC.
fn time(of: &Text) -> Result<Option<Timestamp>> {
    let Some(text) = of else { return Ok(None) };
    let day = format!("{}T00:00:00Z", text.value);
    let parsed = text.value.parse().or_else(|_| day.parse::<Timestamp>());
    match parsed {
        Ok(time) => Ok(Some(time)),
        Err(_) => Err(wrong(
            text.referenced,
            "not a time: 2026-11-28T12:00:00Z, or 2026-11-28, which begins in UTC",
        )),
    }
}

impl WireSigner {
    fn read(self, place: Location, read_key: &dyn Fn(&str) -> Result<PublicKey>) -> Result<Member> {
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
                let exact = "--certificate-oidc-issuer";
                let issuer =
                    match (&self.certificate_oidc_issuer, &self.certificate_oidc_issuer_regexp) {
                        (Some(text), None) => Matcher::exact(exact, &text.value)?,
                        (None, Some(text)) => {
                            Matcher::pattern("--certificate-oidc-issuer-regexp", &text.value)?
                        }
                        (None, None) => {
                            return Err(Error::usage("an identity needs its issuer")
                                .cause("certificate-oidc-issuer is missing"));
                        }
                        (Some(_), Some(_)) => {
                            return Err(Error::usage("an identity has one issuer"));
                        }
                    };
                let subject = match (&self.certificate_identity, &self.certificate_identity_regexp)
                {
                    (Some(text), _) => Matcher::exact("--certificate-identity", &text.value)?,
                    (None, Some(text)) => {
                        Matcher::pattern("--certificate-identity-regexp", &text.value)?
                    }
                    (None, None) => Matcher::exact("--certificate-identity", "")?,
                };
                Identity::new(subject, issuer)
            }
        };
        identity.constraints.extend(Constraint::listed(
            [
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

#[cfg(test)]
mod tests;
