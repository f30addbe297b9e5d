//! Whether a key could sign at the time of a signature (RFC 9580, sections 5.2.1, 5.2.3 and 10.1).
//!
//! Expiry, user ids and the binding of a subkey are judged as of the signature: a key that has expired since does
//! not take back what it signed. A hard revocation (compromised, or no reason given) does, always.

use jiff::Timestamp;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{RevocationCode, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, KeyVersion, Tag, VerifyingKey};

use super::{has_unknown_critical, is_strong};

/// Self-signatures with SHA-1 count until this time, in seconds: 2023-02-01. Many old keys have no others, and
/// nobody can choose what stands in them.
const SHA1_UNTIL: i64 = 1_675_209_600;
/// The shortest modulus of an RSA key that counts.
const MIN_RSA_BITS: u16 = 2048;

/// A key that could sign.
#[derive(Debug)]
pub(super) struct Judged {
    /// Its user ids.
    pub user_ids: Vec<String>,
    /// The fingerprint of the primary key, in upper-case hex.
    pub fingerprint: String,
}

/// A time of OpenPGP, which are whole seconds since 1970.
pub(super) fn time(at: pgp::types::Timestamp) -> Timestamp {
    Timestamp::from_second(i64::from(at.as_secs())).unwrap_or_default()
}

/// Who a signature says made it.
pub(super) fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|it| format!("{it:X}"));
    let id = || signature.issuer_key_id().first().map(|it| it.to_string().to_uppercase());
    fingerprint.or_else(id).unwrap_or_else(|| "a key that it does not name".to_owned())
}

/// Whether `key`, or a subkey of it, made `signature`: nothing if it is none of them, else why it does not count.
pub(super) fn judge(
    key: &SignedPublicKey,
    signature: &Signature,
    text: &[u8],
    signed_at: Timestamp,
) -> Option<Result<Judged, String>> {
    let primary = &key.primary_key;
    let named = |candidate: &dyn KeyDetails| {
        let fingerprint = candidate.fingerprint();
        let ids = signature.issuer_key_id();
        let prints = signature.issuer_fingerprint();
        match prints.is_empty() {
            false => prints.iter().any(|it| **it == fingerprint),
            true => ids.iter().any(|it| **it == candidate.legacy_key_id()),
        }
    };
    if named(primary) {
        return Some(by_primary(key, signature, text, signed_at));
    }
    let subkey = key.public_subkeys.iter().find(|subkey| named(&subkey.key))?;
    Some(by_subkey(key, subkey, signature, text, signed_at))
}

fn by_primary(
    key: &SignedPublicKey,
    signature: &Signature,
    text: &[u8],
    signed_at: Timestamp,
) -> Result<Judged, String> {
    let (judged, flags) = certificate(key, signed_at)?;
    if flags == Some(false) {
        return Err("the key is not one to sign with".to_owned());
    }
    check_arithmetic(&key.primary_key, signature, text)?;
    Ok(judged)
}

fn by_subkey(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    signature: &Signature,
    text: &[u8],
    signed_at: Timestamp,
) -> Result<Judged, String> {
    let primary = &key.primary_key;
    let (judged, _) = certificate(key, signed_at)?;
    if time(subkey.key.created_at()) > signed_at {
        return Err("the signature is older than its key".to_owned());
    }
    check_algorithm(&subkey.key)?;
    let of_type = |typ: SignatureType| {
        subkey.signatures.iter().filter(move |one| {
            one.typ() == Some(typ) && one.verify_subkey_binding(primary, &subkey.key).is_ok()
        })
    };
    // Whatever its hash and whatever else it says, as below: a weak revocation is better heard than passed over.
    check_revocations(of_type(SignatureType::SubkeyRevocation), "subkey", signed_at)?;
    let bindings = of_type(SignatureType::SubkeyBinding).filter(|one| counts(one));
    let binding = in_effect(bindings, signed_at).ok_or("the subkey is not bound to its key")?;
    if signs(binding) != Some(true) {
        return Err("the subkey is not one to sign with".to_owned());
    }
    let back = binding.embedded_signature().filter(|back| {
        counts(back) && back.verify_primary_key_binding(&subkey.key, primary).is_ok()
    });
    if back.is_none() {
        return Err("the subkey does not confirm the key that it is bound to".to_owned());
    }
    check_expiry(&subkey.key, binding, "subkey", signed_at)?;
    check_arithmetic(&subkey.key, signature, text)?;
    Ok(judged)
}

/// What has to be true of the primary key; answers whether its flags say that it signs, if they say anything.
fn certificate(
    key: &SignedPublicKey,
    signed_at: Timestamp,
) -> Result<(Judged, Option<bool>), String> {
    let primary = &key.primary_key;
    if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
        return Err("the key has an old version".to_owned());
    }
    check_algorithm(primary)?;
    if time(primary.created_at()) > signed_at {
        return Err("the signature is older than its key".to_owned());
    }
    let revocations = key.details.revocation_signatures.iter();
    // Whatever its hash: nobody but the key can revoke it.
    let revocations = revocations.filter(|one| one.verify_key(primary).is_ok());
    check_revocations(revocations, "key", signed_at)?;

    let direct = key.details.direct_signatures.iter().filter(|one| {
        one.typ() == Some(SignatureType::Key) && counts(one) && one.verify_key(primary).is_ok()
    });
    let direct = in_effect(direct, signed_at);
    let mut users: Vec<(&str, &Signature)> = Vec::new();
    for user in &key.details.users {
        let own =
            |one: &&Signature| one.verify_certification(primary, Tag::UserId, &user.id).is_ok();
        let certifications = user.signatures.iter().filter(|one| {
            one.typ() != Some(SignatureType::CertRevocation) && counts(one) && own(one)
        });
        let revoked = user.signatures.iter().any(|one| {
            one.typ() == Some(SignatureType::CertRevocation)
                && own(&one)
                && one.created().is_none_or(|at| time(at) <= signed_at)
        });
        if let (Some(text), Some(one), false) =
            (user.id.as_str(), in_effect(certifications, signed_at), revoked)
        {
            users.push((text, one));
        }
    }
    // The one that speaks for the key: the primary user id, of several the one certified last.
    let speaks = users
        .iter()
        .map(|(_, one)| *one)
        .max_by_key(|one| (one.is_primary(), one.created().map_or(0, |at| at.as_secs())));
    let Some(speaks) = speaks else {
        return Err("the key has no user id that counts".to_owned());
    };
    for one in direct.into_iter().chain([speaks]) {
        check_expiry(primary, one, "key", signed_at)?;
    }
    let flags = direct.and_then(signs).or_else(|| signs(speaks));
    let user_ids = users.iter().map(|(text, _)| (*text).to_owned()).collect();
    let fingerprint = format!("{:X}", primary.fingerprint());
    Ok((Judged { user_ids, fingerprint }, flags))
}

/// Whether a signature of a key over itself is worth reading.
pub(super) fn counts(signature: &Signature) -> bool {
    let hash = signature.hash_alg().unwrap_or(HashAlgorithm::None);
    let old = signature.created().is_some_and(|at| i64::from(at.as_secs()) < SHA1_UNTIL);
    (is_strong(hash) || hash == HashAlgorithm::Sha224 || (hash == HashAlgorithm::Sha1 && old))
        && !has_unknown_critical(signature)
}

/// Of several the one in effect at that time: the newest until then. Rings are often cleaned of all but the newest;
/// then the oldest that is left stands for those that are gone.
fn in_effect<'a>(
    signatures: impl Iterator<Item = &'a Signature>,
    signed_at: Timestamp,
) -> Option<&'a Signature> {
    let mut dated: Vec<_> =
        signatures.filter_map(|one| Some((time(one.created()?), one))).collect();
    dated.sort_by_key(|(at, _)| *at);
    let before = dated.iter().rev().find(|(at, _)| *at <= signed_at);
    before.or_else(|| dated.first()).map(|(_, one)| *one)
}

/// What the flags of a key say about signing, where there are any.
fn signs(signature: &Signature) -> Option<bool> {
    let flagged = signature.config().is_some_and(|config| {
        config.hashed_subpackets().any(|one| matches!(one.data, SubpacketData::KeyFlags(_)))
    });
    flagged.then(|| signature.key_flags().sign())
}

fn check_expiry(
    key: &impl KeyDetails,
    signature: &Signature,
    what: &str,
    signed_at: Timestamp,
) -> Result<(), String> {
    let Some(lasts) = signature.key_expiration_time().filter(|it| it.as_secs() > 0) else {
        return Ok(());
    };
    let ends = i64::from(key.created_at().as_secs()).saturating_add(i64::from(lasts.as_secs()));
    match ends <= signed_at.as_second() {
        true => Err(format!("the {what} had expired when it signed")),
        false => Ok(()),
    }
}

fn check_revocations<'a>(
    revocations: impl Iterator<Item = &'a Signature>,
    what: &str,
    signed_at: Timestamp,
) -> Result<(), String> {
    for one in revocations {
        let soft = matches!(
            one.revocation_reason_code(),
            Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
        );
        if !soft {
            return Err(format!("the {what} is revoked"));
        }
        if one.created().is_none_or(|at| time(at) <= signed_at) {
            return Err(format!("the {what} was revoked when it signed"));
        }
    }
    Ok(())
}

fn check_algorithm(key: &impl KeyDetails) -> Result<(), String> {
    match key.algorithm() {
        PublicKeyAlgorithm::RSA | PublicKeyAlgorithm::RSASign
            if !key.public_params().to_bytes().is_ok_and(|bytes| is_long_rsa(&bytes)) =>
        {
            Err("the key is an RSA key of less than 2048 bits".to_owned())
        }
        PublicKeyAlgorithm::DSA => Err("the key is a DSA key, which is weak".to_owned()),
        _ => Ok(()),
    }
}

/// Whether the modulus of an RSA key, the first of its two numbers (RFC 9580, section 5.6.1), is long enough. Its length
/// in bits stands in front.
pub(super) fn is_long_rsa(parameters: &[u8]) -> bool {
    let bits = parameters.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
    bits >= MIN_RSA_BITS
}

fn check_arithmetic(
    key: &impl VerifyingKey,
    signature: &Signature,
    text: &[u8],
) -> Result<(), String> {
    signature.verify(key, text).map_err(|_| "the signature does not fit the text".to_owned())
}
