//! Who has to have signed, and how many of them.

use jiff::Timestamp;

use super::identity::Identity;
use super::public_key::TrustedKey;
use super::rule::Rule;
use super::signer::Signer;
use crate::error::{Class, Error, Reason, Result};

/// Identities that are named in one message.
const MAX_NAMED: usize = 8;

/// What has to hold for a signature to count.
#[derive(Clone, Debug)]
pub enum Policy {
    /// Any one of these identities; never empty.
    AnyOf(Vec<Identity>),
    /// So many different ones of these identities, each by a signer of its own.
    AtLeast(usize, Vec<Identity>),
    /// This key, and no identity.
    Key(Box<TrustedKey>),
    /// A rule of a policy file, with what the flags of the run ask for beside.
    Rule(Box<Rule>),
    /// The user named nobody: every valid signature is reported and none is accepted.
    Unstated,
}

impl Policy {
    /// The identities that are trusted.
    pub fn identities(&self) -> &[Identity] {
        match self {
            Self::AnyOf(identities) | Self::AtLeast(_, identities) => identities,
            Self::Rule(rule) => &rule.identities,
            Self::Key(_) | Self::Unstated => &[],
        }
    }

    /// The keys that are trusted.
    pub fn keys(&self) -> &[TrustedKey] {
        match self {
            Self::Key(key) => std::slice::from_ref(key),
            Self::Rule(rule) => &rule.keys,
            Self::AnyOf(_) | Self::AtLeast(..) | Self::Unstated => &[],
        }
    }

    /// The rule of a policy file, if it is one.
    pub fn rule(&self) -> Option<&Rule> {
        if let Self::Rule(rule) = self { Some(rule) } else { None }
    }

    /// Everybody who counts, in words, in the order of the places that [`Policy::admit`] answers.
    pub fn members(&self) -> Vec<String> {
        let identities = self.identities().iter().map(|one| one.words().0);
        identities.chain(self.keys().iter().map(|one| format!("key {}", one.key.id()))).collect()
    }

    /// How many of them have to have signed.
    pub fn min_signatures(&self) -> usize {
        match self {
            Self::AtLeast(count, _) => (*count).max(1),
            Self::Rule(rule) => {
                let narrowed = rule.narrowed.as_ref().map_or(1, |policy| policy.min_signatures());
                rule.count.max(narrowed)
            }
            Self::AnyOf(_) | Self::Key(_) | Self::Unstated => 1,
        }
    }

    /// The trusted identities that `signer` is, by their places in the list.
    ///
    /// # Errors
    /// Refused (`wrong-signer`), with both sides, when it is none; usage (`no-identity`), when nobody is
    /// trusted.
    pub fn admit(&self, signer: &Signer) -> Result<Vec<usize>> {
        if matches!(self, Self::Unstated) {
            return Err(Error::new(
                Class::Usage,
                Reason::NoIdentity,
                "no identity to trust was given",
            ));
        }
        if let Self::Rule(rule) = self {
            return rule.admit(signer);
        }
        if let Self::Key(trusted) = self {
            let expected = trusted.key.id().to_string();
            if signer.key_id.as_deref() == Some(&expected) {
                return Ok(vec![0]);
            }
            return Err(Error::refused(Reason::WrongSigner, "wrong signer")
                .expected_found(format!("key {expected}"), signer.words()));
        }
        let identities = self.identities().iter().enumerate();
        let matched: Vec<_> =
            identities.filter(|(_, one)| one.matches(signer)).map(|(at, _)| at).collect();
        if matched.is_empty() {
            Err(wrong_signer(self.identities(), &[], signer))
        } else {
            Ok(matched)
        }
    }

    /// Whether a signature that was made at this proved time counts.
    ///
    /// # Errors
    /// Refused (`wrong-time`).
    pub(super) fn check_time(&self, proved: Option<Timestamp>) -> Result<()> {
        self.rule().map_or(Ok(()), |rule| rule.check_time(proved))
    }

    /// Which of these signatures meet the policy together, if they do: every one stands for another
    /// identity of the list. A signature is given as its signer and the identities that it is
    /// ([`Policy::admit`]); two signatures of one signer count once, so that nobody can meet two patterns
    /// that overlap alone.
    pub fn met(&self, signatures: &[(&Signer, &[usize])]) -> Option<Vec<usize>> {
        let mut people: Vec<Person<'_>> = Vec::new();
        for (at, (signer, identities)) in signatures.iter().enumerate() {
            match people.iter_mut().find(|person| person.signer.is_same_person(signer)) {
                Some(person) => person.identities.extend_from_slice(identities),
                None => people.push(Person { at, signer, identities: identities.to_vec() }),
            }
        }
        let places = self.identities().len() + self.keys().len();
        let mut owners = vec![None; places];
        for person in 0..people.len() {
            let mut tried = vec![false; owners.len()];
            take(person, &people, &mut owners, &mut tried);
        }
        let owners = owners.into_iter().flatten();
        let mut used: Vec<usize> =
            owners.filter_map(|person| people.get(person)).map(|person| person.at).collect();
        // What flags ask for beside a rule is counted over their own list, below.
        let needed = self.rule().map_or_else(|| self.min_signatures(), |rule| rule.count.max(1));
        if used.len() < needed {
            return None;
        }
        if let Some(narrowed) = self.rule().and_then(|rule| rule.narrowed.as_deref()) {
            let matched: Vec<_> = signatures
                .iter()
                .map(|(signer, _)| narrowed.admit(signer).unwrap_or_default())
                .collect();
            let pairs: Vec<_> =
                signatures.iter().zip(&matched).map(|((s, _), m)| (*s, m.as_slice())).collect();
            used.extend(narrowed.met(&pairs)?);
        }
        used.sort_unstable();
        used.dedup();
        Some(used)
    }
}

/// Everything that one signer signed.
struct Person<'a> {
    /// The first of the signatures.
    at: usize,
    signer: &'a Signer,
    /// The identities that the signatures stand for.
    identities: Vec<usize>,
}

/// Finds an identity for a person, moving others to another one of theirs where that makes room (an
/// augmenting path of a bipartite matching; as deep as there are identities).
fn take(
    person: usize,
    people: &[Person<'_>],
    owners: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    let Some(wanted) = people.get(person) else { return false };
    for &identity in &wanted.identities {
        match tried.get_mut(identity) {
            Some(tried) if !*tried => *tried = true,
            _ => continue,
        }
        let owner = owners.get(identity).copied().flatten();
        if owner.is_none_or(|owner| take(owner, people, owners, tried)) {
            if let Some(place) = owners.get_mut(identity) {
                *place = Some(person);
            }
            return true;
        }
    }
    false
}

pub(super) fn wrong_signer(identities: &[Identity], keys: &[TrustedKey], signer: &Signer) -> Error {
    let mut error = Error::refused(Reason::WrongSigner, "wrong signer");
    for identity in identities.iter().take(MAX_NAMED) {
        let (name, constraints) = identity.words();
        if let Some(short) = &identity.short {
            error = error.line("trusted", short.clone());
        }
        error = error.line("expected", name);
        for constraint in constraints {
            error = error.line("expected", constraint);
        }
    }
    for key in keys.iter().take(MAX_NAMED) {
        error = error.line("expected", format!("key {}", key.key.id()));
    }
    if identities.len() > MAX_NAMED {
        error = error.note(format!("and {} more identities", identities.len() - MAX_NAMED));
    }
    error = error.line("found", signer.words());
    // What else does not hold is said of the identities that this signer would be.
    let mut broken = Vec::new();
    for identity in identities.iter().filter(|identity| !identity.constraints.is_empty()) {
        broken.extend(identity.broken(signer).map(|constraint| constraint.claim));
    }
    broken.sort_unstable();
    broken.dedup();
    for claim in broken {
        let found = signer.claims.value(claim).unwrap_or("none");
        error = error.line("found", format!("{}: {found}", claim.words()));
    }
    match identities.iter().find_map(|identity| whole_form(identity, signer)) {
        Some(flags) => error
            .note("the pattern has to match the whole text: it would match only a part of it")
            .hint(flags),
        None => error,
    }
}

/// The flags that would match, where a pattern fails only because it matches no more than a part.
fn whole_form(identity: &Identity, signer: &Signer) -> Option<String> {
    let quoted = |form: String| form.replace('\'', r"'\''");
    let subject = identity.subject.unanchored_form(&signer.identity);
    let issuer = identity.issuer.unanchored_form(&signer.issuer);
    let subject = match (subject, identity.subject.matches(&signer.identity)) {
        (Some(form), _) => Some(format!("--certificate-identity-regexp '{}'", quoted(form))),
        (None, true) => None,
        (None, false) => return None,
    };
    let issuer = match (issuer, identity.issuer.matches(&signer.issuer)) {
        (Some(form), _) => Some(format!("--certificate-oidc-issuer-regexp '{}'", quoted(form))),
        (None, true) => None,
        (None, false) => return None,
    };
    let flags = [subject, issuer].into_iter().flatten().collect::<Vec<_>>();
    (!flags.is_empty()).then(|| flags.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Matcher;

    fn signer(name: &str) -> Signer {
        Signer { identity: name.to_owned(), issuer: "i".to_owned(), ..Signer::default() }
    }

    fn policy(count: usize, patterns: &[&str]) -> Policy {
        let matcher = |text: &str| Matcher::pattern("--x", text).unwrap();
        let list = patterns.iter().map(|text| Identity::new(matcher(text), matcher("i")));
        Policy::AtLeast(count, list.collect())
    }

    fn met(policy: &Policy, names: &[&str]) -> bool {
        let signers: Vec<_> = names.iter().map(|name| signer(name)).collect();
        let matched: Vec<_> =
            signers.iter().map(|signer| policy.admit(signer).unwrap_or_default()).collect();
        let signatures: Vec<_> =
            signers.iter().zip(&matched).map(|(s, m)| (s, m.as_slice())).collect();
        policy.met(&signatures).is_some()
    }

    #[test]
    fn so_many_different_identities_have_to_have_signed() {
        let two = policy(2, &["alice", "bob", "carol"]);
        assert!(met(&two, &["alice", "carol"]));
        assert!(met(&two, &["alice", "alice", "bob"]));
        for too_few in [&[][..], &["alice"], &["alice", "alice"], &["alice", "mallory"]] {
            assert!(!met(&two, too_few), "{too_few:?}");
        }
        assert!(met(&policy(1, &["alice"]), &["alice"]));
    }

    #[test]
    fn a_signature_counts_for_one_identity_and_gives_way_where_that_helps() {
        // Alice is both; Bob is only the first, which Alice took.
        let overlapping = policy(2, &["alice|bob", "alice"]);
        assert!(met(&overlapping, &["alice", "bob"]));
        assert!(!met(&overlapping, &["alice", "alice"]));
        assert!(!met(&policy(2, &[".*", ".*"]), &["alice", "alice"]));
        assert!(met(&policy(2, &[".*", ".*"]), &["alice", "bob"]));
        assert!(met(&policy(3, &["a|b", "b|c", "c|a"]), &["a", "b", "c"]));
        // Two people who are only the same one identity.
        assert!(!met(&policy(2, &["alice|bob", "carol"]), &["alice", "bob"]));
    }

    #[test]
    fn nobody_is_admitted_where_nobody_is_trusted() {
        let error = Policy::Unstated.admit(&signer("alice")).unwrap_err();
        assert_eq!(error.reason, Reason::NoIdentity);
        assert!(Policy::AnyOf(Vec::new()).admit(&signer("alice")).is_err());
    }
}
