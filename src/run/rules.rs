//! A policy file as a run uses it: every rule with the trust that it names.

use super::provenance::ProvCheck;
use super::report::{PolicyReport, TrustedAs};
use super::trust::Trust;
use crate::chart::{ChartReference, shell_word};
use crate::error::{Error, Reason, Result};
use crate::verify::{LogCheck, NamedRule, Policy, PolicyFile};

/// What a policy file means for a run.
#[derive(Debug)]
pub enum PolicySource {
    /// Nothing: none was named and none was found, or it was switched off.
    Flags,
    /// One was found, and flags replace it for this run.
    Replaced(String),
    /// Its rules decide, each over the repositories that it is about.
    Rules(Box<Rules>),
}

/// The rules of a policy file.
#[derive(Debug)]
pub struct Rules {
    file: PolicyFile,
    path: String,
    source: &'static str,
    grounds: Vec<Grounds>,
}

/// What a rule relies on and asks for beside signatures.
#[derive(Clone, Debug)]
pub struct Means {
    /// What its cryptography relies on.
    pub trust: Trust,
    /// How Helm's provenance file is looked at; or why a flag stands against the rule.
    pub prov: Result<ProvCheck>,
    /// Kinds of statements that have to be there too, those of flags among them.
    pub required: Vec<String>,
}

/// What one object is judged by.
#[derive(Debug)]
pub(super) struct Grounds {
    pub(super) policy: Policy,
    pub(super) means: Means,
    pub(super) report: PolicyReport,
    pub(super) weakened: Vec<String>,
}

/// The same, of a rule or of flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judges<'a> {
    pub(super) policy: &'a Policy,
    pub(super) trust: &'a Trust,
    pub(super) prov: &'a ProvCheck,
    pub(super) required: &'a [String],
}

impl Grounds {
    /// # Errors
    /// Usage, where a flag stands against the rule.
    pub(super) fn judges(&self) -> Result<Judges<'_>> {
        let Means { trust, prov, required } = &self.means;
        let prov = prov.as_ref().map_err(Error::clone)?;
        Ok(Judges { policy: &self.policy, trust, prov, required })
    }
}

impl Rules {
    /// The rules of `file`, which lies at `path`; `named` says whether the user named it. `narrowed` is whom
    /// the flags name beside, and `means` what each rule relies on.
    ///
    /// # Errors
    /// Those of `means`.
    pub fn new(
        file: PolicyFile,
        path: String,
        named: bool,
        narrowed: Option<&Policy>,
        mut means: impl FnMut(&NamedRule) -> Result<Means>,
    ) -> Result<Self> {
        let source = if named { "file" } else { "default-file" };
        let mut grounds = Vec::new();
        for named in file.rules() {
            let mut rule = named.rule.clone();
            rule.narrowed = narrowed.cloned().map(Box::new);
            let unlogged = rule.keys.iter().any(|key| key.log == LogCheck::Ignored);
            let weakened = unlogged.then(|| "--insecure-ignore-tlog".to_owned());
            let policy = Policy::Rule(Box::new(rule));
            let means = means(named)?;
            let mut report = PolicyReport {
                file: Some(path.clone()),
                rule: Some(named.name.clone()),
                narrowed: narrowed.is_some(),
                ..PolicyReport::new(source, &policy)
            };
            if let Ok(prov) = &means.prov {
                report.asks(prov, &means.required);
            }
            let weakened = weakened.into_iter().collect();
            grounds.push(Grounds { policy, means, report, weakened });
        }
        Ok(Self { file, path, source, grounds })
    }

    /// What `reference` is judged by: the rule with the most specific pattern that matches its repository.
    ///
    /// # Errors
    /// Refused (`no-rule`), when no rule is about it.
    pub(super) fn grounds(&self, reference: &ChartReference) -> Result<&Grounds> {
        let matching = self.file.matching(&reference.host, &reference.repository);
        let decides = matching.first().and_then(|(rule, _)| self.grounds.get(*rule));
        decides.ok_or_else(|| {
            Error::refused(Reason::NoRule, "no rule of the policy covers it")
                .line("policy", self.path.clone())
                .hint(format!(
                    "helm sigstore policy test {} --policy {}",
                    shell_word(&reference.typed),
                    shell_word(&self.path)
                ))
        })
    }

    /// What is reported as long as no rule was looked for.
    pub(super) fn report(&self) -> PolicyReport {
        PolicyReport {
            file: Some(self.path.clone()),
            ..PolicyReport::new(self.source, &Policy::Unstated)
        }
    }
}

impl PolicyReport {
    /// What `policy` asks for, which came from `source`.
    pub(super) fn new(source: &'static str, policy: &Policy) -> Self {
        Self {
            source,
            file: None,
            rule: None,
            narrowed: false,
            replaces: None,
            min_signatures: policy.min_signatures(),
            identities: policy.identities().iter().map(TrustedAs::from).collect(),
            keys: policy.keys().iter().map(|key| key.key.id().to_string()).collect(),
            prov: None,
            keyring: None,
            require_predicate: Vec::new(),
        }
    }

    /// Tells what is asked for beside signatures.
    pub(super) fn asks(&mut self, prov: &ProvCheck, required: &[String]) {
        self.prov = Some(prov.as_str());
        self.keyring.clone_from(&prov.keyring);
        self.require_predicate = required.to_vec();
    }
}
