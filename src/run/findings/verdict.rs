//! The verdict over what was found, and in which words it is given (DESIGN decision 7).

use super::{Accepted, Findings};
use crate::chart::shell_word;
use crate::error::{Class, Error, Reason, Result};
use crate::run::report::{LookedIn, Place, SignatureReport};
use crate::verify::{Policy, Signer, trusting};

/// Signers that are named in one message.
const MAX_NAMED: usize = 5;

impl Findings<'_> {
    /// The verdict: the signatures that meet the policy, at least one. `again` is the command that finds these signatures once more, ready to be pasted.
    ///
    /// # Errors
    /// Undecided, refused, unsigned, or (no identity given) usage, in this precedence; but a valid
    /// signature without a policy is a usage error first.
    pub(in crate::run) fn decide(
        self,
        looked_in: &mut Vec<LookedIn>,
        signatures: &mut Vec<SignatureReport>,
        again: &str,
    ) -> Result<Vec<Accepted>> {
        let places: Vec<_> = self
            .looked_in
            .iter()
            .map(|place| {
                let object = match place.place {
                    Place::Referrers => "referrers API",
                    _ => place.object.as_str(),
                };
                format!("{object} ({})", place.status)
            })
            .collect();
        *looked_in = self.looked_in;
        *signatures = self.signatures;
        if let Some(met) = self.met {
            let accepted = self.accepted.into_iter().enumerate();
            return Ok(accepted.filter(|(at, _)| met.contains(at)).map(|(_, one)| one).collect());
        }
        let valid: Vec<&Signer> =
            self.refused.iter().filter_map(|(_, signer)| signer.as_deref()).collect();
        if matches!(self.policy, Policy::Unstated)
            && let Some(first) = valid.first()
        {
            return Err(no_identity(&valid, first, again));
        }
        let open = self.undecided.len();
        if let Some(error) = self.undecided.into_iter().next() {
            return Err(match open {
                1 => error,
                more => {
                    error.note(format!("and {} more places or candidates stayed open", more - 1))
                }
            });
        }
        if !self.accepted.is_empty() {
            return Err(too_few(self.policy, &self.accepted, &self.refused));
        }
        let count = valid.len();
        let others = valid.iter().skip(1).take(MAX_NAMED - 1).map(|signer| signer.words());
        let others: Vec<_> = others.collect();
        let candidates = self.refused.len();
        // The first of equals, as the lines for the other signers leave out the first.
        let best = self
            .refused
            .into_iter()
            .rev()
            .max_by_key(|(error, signer)| usefulness(error, signer.is_some()));
        if let Some((mut error, _)) = best {
            if error.reason == Reason::WrongSigner {
                if let Some(line) = error.lines.iter_mut().find(|line| line.label == "found") {
                    let plural = if count == 1 { "signature" } else { "signatures" };
                    line.text.push_str(&format!("   ({count} valid {plural})"));
                }
                for other in others {
                    error = error.line("found", other);
                }
            } else if candidates > 1 {
                error = error.note(format!("{candidates} candidates were refused"));
            }
            return Err(error);
        }
        Err(Error::new(Class::Unsigned, Reason::Unsigned, "unsigned")
            .line("looked in", places.join(", ")))
    }
}

/// Which refusal helps most: somebody wrong signed for sure, the right chart is another one, and so on down to
/// what cannot even be read.
fn usefulness(error: &Error, valid: bool) -> u8 {
    match error.reason {
        Reason::WrongSigner if valid => 7,
        Reason::Denied | Reason::WrongTime => 6,
        Reason::WrongVersion | Reason::WrongChart => 5,
        Reason::BadSignature => 4,
        Reason::NotCovered | Reason::WrongSigner => 3,
        Reason::UntrustedInstance => 2,
        _ => 1,
    }
}

/// Some of the signers that are needed have signed, and too few of them.
fn too_few(
    policy: &Policy,
    accepted: &[Accepted],
    refused: &[(Error, Option<Box<Signer>>)],
) -> Error {
    let mut people: Vec<&Signer> = Vec::new();
    for signer in accepted.iter().map(|one| one.verified.signer()) {
        if !people.iter().any(|other| other.is_same_person(signer)) {
            people.push(signer);
        }
    }
    let mut error = Error::refused(Reason::TooFewSignatures, "too few signatures")
        .line("expected", format!("{} different trusted signers", policy.min_signatures()));
    for signer in people.iter().take(MAX_NAMED) {
        error = error.line("found", signer.words());
    }
    if people.len() > MAX_NAMED {
        error = error.note(format!("and {} more", people.len() - MAX_NAMED));
    }
    let signed = |at: &usize| accepted.iter().any(|one| one.verified.identities().contains(at));
    let members = policy.members().into_iter().enumerate();
    for (_, missing) in members.filter(|(at, _)| !signed(at)).take(MAX_NAMED) {
        error = error.line("missing", missing);
    }
    match refused.len() {
        0 => error,
        1 => error.note("1 candidate was refused"),
        more => error.note(format!("{more} candidates were refused")),
    }
}

fn no_identity(valid: &[&Signer], first: &Signer, again: &str) -> Error {
    let mut error = Error::new(Class::Usage, Reason::NoIdentity, "no identity to trust was given");
    for signer in valid.iter().take(MAX_NAMED) {
        error = error.line("valid signature by", signer.words());
    }
    if valid.len() > MAX_NAMED {
        error = error.note(format!("and by {} more", valid.len() - MAX_NAMED));
    }
    if first.key_id.is_some() {
        return error.hint(format!("{again} --key cosign.pub"));
    }
    let flags = trusting(first).into_iter();
    let flags = flags.map(|(flag, value)| format!(" --{flag} {}", shell_word(&value)));
    error.hint(format!("{again}{}", flags.collect::<String>()))
}
