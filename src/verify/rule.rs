//! What one rule of a policy file asks of signatures.

use jiff::Timestamp;

use super::identity::Identity;
use super::policy::Policy;
use super::public_key::TrustedKey;
use super::signer::Signer;
use crate::chart::{ChartManifest, Digest};
use crate::error::{Error, Reason, Result};

/// What one rule of a policy file asks of signatures.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// How many different signers have to have signed, of identities and keys together.
    pub count: usize,
    /// The identities that count.
    pub identities: Vec<Identity>,
    /// The keys that count; their places come after those of the identities.
    pub keys: Vec<TrustedKey>,
    /// Who never counts, whatever the lists above say.
    pub denied: Vec<Identity>,
    /// Keys that never count.
    pub denied_keys: Vec<Digest>,
    /// What is refused whoever signed it: an index, a manifest, a chart layer or a provenance layer.
    pub denied_digests: Vec<Digest>,
    /// Proved times from here on count.
    pub signed_after: Option<Timestamp>,
    /// Proved times up to here count.
    pub signed_before: Option<Timestamp>,
    /// What the flags of the run ask for beside.
    pub narrowed: Option<Box<Policy>>,
}

impl Rule {
    /// The members that `signer` is; refused when it is none, or is denied.
    pub(super) fn admit(&self, signer: &Signer) -> Result<Vec<usize>> {
        let key = signer.key_id.as_deref();
        let is = |id: &Digest| key == Some(id.to_string().as_str());
        let denied = match key {
            Some(_) => self.denied_keys.iter().any(is),
            None => self.denied.iter().any(|identity| identity.matches(signer)),
        };
        if denied {
            return Err(Error::refused(Reason::Denied, "signer is denied by the policy")
                .line("found", signer.words()));
        }
        let after = self.identities.len();
        let matched: Vec<usize> = match key {
            Some(_) => {
                let keys = self.keys.iter().enumerate();
                keys.filter(|(_, one)| is(&one.key.id())).map(|(at, _)| after + at).collect()
            }
            None => {
                let identities = self.identities.iter().enumerate();
                identities.filter(|(_, one)| one.matches(signer)).map(|(at, _)| at).collect()
            }
        };
        if matched.is_empty() {
            return Err(super::policy::wrong_signer(&self.identities, &self.keys, signer));
        }
        if let Some(narrowed) = &self.narrowed {
            narrowed.admit(signer)?;
        }
        Ok(matched)
    }

    /// Whether a signature of this proved time counts. The earliest one says when it existed.
    pub(super) fn check_time(&self, proved: Option<Timestamp>) -> Result<()> {
        let (after, before) = (self.signed_after, self.signed_before);
        if after.is_none() && before.is_none() {
            return Ok(());
        }
        let holds = |time: Timestamp| {
            after.is_none_or(|after| time >= after) && before.is_none_or(|before| time <= before)
        };
        if proved.is_some_and(holds) {
            return Ok(());
        }
        let expected = match (after, before) {
            (Some(after), Some(before)) => format!("from {after} to {before}"),
            (Some(after), None) => format!("from {after} on"),
            (None, Some(before)) => format!("up to {before}"),
            (None, None) => String::new(),
        };
        let found = match proved {
            Some(time) => time.to_string(),
            None => "no time that a log or timestamp authority proves".to_owned(),
        };
        Err(Error::refused(Reason::WrongTime, "signed at a time that the policy excludes")
            .expected_found(expected, found))
    }

    /// Refuses a chart that the rule denies, whoever signed it.
    ///
    /// # Errors
    /// Refused (`denied`).
    pub fn check_manifest(&self, manifest: &ChartManifest) -> Result<()> {
        let index = manifest.index.as_ref().map(|index| (index.digest, "index"));
        let prov = manifest.prov.as_ref().map(|prov| (prov.digest, "provenance"));
        let own = [(manifest.digest, "manifest"), (manifest.chart.digest, "chart")];
        own.into_iter()
            .chain(index)
            .chain(prov)
            .try_for_each(|(digest, what)| self.check_digest(&digest, what))
    }

    /// The same of one digest; `what` says whose it is.
    ///
    /// # Errors
    /// Refused (`denied`).
    pub fn check_digest(&self, digest: &Digest, what: &str) -> Result<()> {
        match self.denied_digests.contains(digest) {
            true => Err(Error::refused(Reason::Denied, "denied by the policy")
                .cause(format!("the {what} {digest} is denied, whoever signed it"))),
            false => Ok(()),
        }
    }
}
