//! The document and its rules, as they are written.

use jiff::Timestamp;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::signer::{Member, WireSigner};
use super::{
    ACCEPT, NamedRule, PolicyFile, RuleProvenance, RuleTrust, SCHEMA, Text, located, present, text,
    wrong,
};
use crate::error::Result;
use crate::verify::pattern::RepositoryPattern;
use crate::verify::predicate::predicate_type;
use crate::verify::provenance::ProvMode;
use crate::verify::public_key::PublicKey;
use crate::verify::rule::Rule;

/// Patterns of one file at most.
const MAX_PATTERNS: usize = 1_000;
/// Signers of one list at most.
const MAX_SIGNERS: usize = 100;
/// Denied signers and digests of one rule at most.
const MAX_DENIED: usize = 1_000;
/// Kinds of statements that one rule asks for at most; each is looked for by itself.
const MAX_PREDICATES: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Wire {
    schema: Spanned<String>,
    rules: Spanned<Vec<Spanned<WireRule>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireRule {
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
    prov: Text,
    #[serde(default, deserialize_with = "present")]
    keyring: Text,
    #[serde(default, deserialize_with = "present")]
    require_predicate: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default, deserialize_with = "present")]
    deny: Option<Spanned<Vec<Spanned<WireSigner>>>>,
}

impl Wire {
    pub(super) fn read(self, read_key: &dyn Fn(&str) -> Result<PublicKey>) -> Result<PolicyFile> {
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
        let timed = rule.signed_after.is_some() || rule.signed_before.is_some();
        let prov = provenance(&self.prov, self.keyring, timed)?;
        let required = predicates(self.require_predicate)?;
        let line = place.line();
        Ok(NamedRule { name, line, repositories, all, rule, trust, prov, required })
    }
}

/// `prov` and `keyring`. `timed` says whether signatures count only from or up to a time.
fn provenance(prov: &Text, keyring: Text, timed: bool) -> Result<Option<RuleProvenance>> {
    let (mode, accept) = match (text(prov), prov) {
        (Some(ACCEPT), Some(place)) if timed => {
            return Err(wrong(
                place.referenced,
                "prov: accept proves no time, and the rule asks for one",
            ));
        }
        (Some(ACCEPT), _) => (ProvMode::IfPresent, true),
        (Some(word), Some(place)) => match ProvMode::of(word) {
            Some(mode) => (mode, false),
            None => {
                return Err(wrong(
                    place.referenced,
                    "prov is one of ignore, if-present, require, accept",
                ));
            }
        },
        _ if keyring.is_none() => return Ok(None),
        _ => (ProvMode::IfPresent, false),
    };
    let keyring = match (mode, keyring, prov) {
        (ProvMode::Ignore, Some(keyring), _) => {
            return Err(wrong(keyring.referenced, "keyring does not belong to prov: ignore"));
        }
        // Who may have signed is never left to the machine that verifies.
        (ProvMode::IfPresent | ProvMode::Require, None, Some(prov)) => {
            let words = format!("prov: {} needs a keyring", prov.value);
            return Err(wrong(prov.referenced, words));
        }
        (_, keyring, _) => keyring.map(|file| filled("keyring", file)).transpose()?,
    };
    Ok(Some(RuleProvenance { mode, accept, keyring }))
}

/// `require-predicate`: each kind once.
fn predicates(listed: Option<Spanned<Vec<Spanned<String>>>>) -> Result<Vec<String>> {
    let Some(listed) = listed else { return Ok(Vec::new()) };
    bounded(&listed, MAX_PREDICATES)?;
    let mut kinds: Vec<String> = Vec::new();
    for one in listed.value {
        let kind = predicate_type(&one.value).map_err(located(one.referenced))?;
        if kinds.contains(&kind) {
            return Err(wrong(one.referenced, "this kind of statement is listed twice"));
        }
        kinds.push(kind);
    }
    Ok(kinds)
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
