//! Policy files: which repositories have to be signed by whom (docs/policy.md, docs/policy.schema.json).
//!
//! Bytes in, rules out. Everything that is wrong in a file is an error of the whole file, with line and column:
//! half a policy would be another policy.

mod document;
mod signer;

use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::pattern::{RepositoryPattern, normal_host};
use super::provenance::ProvMode;
use super::public_key::PublicKey;
use super::rule::Rule;
use crate::error::{Error, Result};

/// The largest policy file that is read, in bytes.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// What `prov` says where provenance suffices.
const ACCEPT: &str = "accept";
/// What `schema` has to say.
pub(super) const SCHEMA: &str = "helm-sigstore.policy/v1";

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
    /// What it says of Helm's provenance file, if anything.
    pub prov: Option<RuleProvenance>,
    /// Kinds of statements that have to be attached too.
    pub required: Vec<String>,
}

/// What a rule says of Helm's provenance file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProvenance {
    /// Whether it is looked at.
    pub mode: ProvMode,
    /// Whether it suffices for a chart that has no signature of Sigstore.
    pub accept: bool,
    /// The keyring whose keys may have signed it; none only where it is not looked at.
    pub keyring: Option<String>,
}

impl RuleProvenance {
    /// The word in the policy.
    pub fn as_str(&self) -> &'static str {
        if self.accept { ACCEPT } else { self.mode.as_str() }
    }
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
        let wire: document::Wire =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
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

fn text(of: &Text) -> Option<&str> {
    of.as_ref().map(|text| text.value.as_str())
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
