//! Keys and provenance files made while a test runs: every detail of both can be wrong on purpose.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedKeyDetails,
    SignedPublicKey, SignedPublicSubKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, Notation, RevocationCode, SecretKey, SecretSubkey, Signature, SignatureConfig,
    SignatureType, Subpacket, SubpacketData,
};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, Password, SignedUser, SigningKey, Tag, Timestamp};
use rand_core::OsRng;

/// The name of the file that [`text`] is about.
pub(super) const FILE: &str = "web-1.4.2.tgz";
/// Its digest.
pub(super) const DIGEST: &str =
    "sha256:2ba200000000000000000000000000000000000000000000000000000000000f";
/// When keys are made, in seconds.
pub(super) const MADE: u32 = 1_700_000_000;
/// When they sign.
pub(super) const SIGNED: u32 = MADE + 1000;

/// The text of a provenance file as Helm writes it.
pub(super) fn text() -> String {
    format!("apiVersion: v2\nname: web\nversion: 1.4.2\n\n...\nfiles:\n  {FILE}: {DIGEST}\n")
}

/// What a signature of a key over itself says.
#[derive(Clone)]
pub(super) struct Says {
    pub at: u32,
    pub hash: HashAlgorithm,
    pub signs: Option<bool>,
    pub lasts: Option<u32>,
}

impl Default for Says {
    fn default() -> Self {
        Self { at: MADE, hash: HashAlgorithm::Sha256, signs: Some(true), lasts: None }
    }
}

impl Says {
    fn subpackets(&self) -> Vec<Subpacket> {
        let flags = self.signs.map(|signs| {
            let mut flags = KeyFlags::default();
            flags.set_certify(true);
            flags.set_sign(signs);
            SubpacketData::KeyFlags(flags)
        });
        let lasts = self.lasts.map(|it| SubpacketData::KeyExpirationTime(Duration::from_secs(it)));
        flags.into_iter().chain(lasts).map(|it| Subpacket::regular(it).unwrap()).collect()
    }
}

/// A key with its secret half.
pub(super) struct Key {
    pub primary: SecretKey,
    pub subkey: SecretSubkey,
    pub public: SignedPublicKey,
}

impl Key {
    /// A key with one user id, which says of itself what `says` says, and without subkeys.
    pub(super) fn new(says: &Says) -> Self {
        let mut subkey = SubkeyParamsBuilder::default();
        subkey.key_type(KeyType::Ed25519Legacy).can_sign(true).created_at(at(MADE));
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .created_at(at(MADE))
            .primary_user_id("Jane <jane@example.com>".into())
            .subkey(subkey.build().unwrap());
        let made = params.build().unwrap().generate(OsRng).unwrap();
        let primary = made.primary_key.clone();
        let subkey = made.secret_subkeys[0].key.clone();
        let user = made.details.users[0].id.clone();
        let public = SignedPublicKey {
            primary_key: primary.public_key().clone(),
            details: SignedKeyDetails::new(Vec::new(), Vec::new(), Vec::new(), Vec::new()),
            public_subkeys: Vec::new(),
        };
        let mut key = Self { primary, subkey, public };
        let signature = config(
            &key.primary,
            SignatureType::CertPositive,
            says.hash,
            says.at,
            says.subpackets(),
        )
        .sign_certification(
            &key.primary,
            &key.public.primary_key,
            &Password::empty(),
            Tag::UserId,
            &user,
        )
        .unwrap();
        key.public.details.users.push(SignedUser::new(user, vec![signature]));
        key
    }

    /// Another signature over the same user id.
    pub(super) fn certify_again(&mut self, says: &Says) {
        let user = &mut self.public.details.users[0];
        let signature = config(
            &self.primary,
            SignatureType::CertPositive,
            says.hash,
            says.at,
            says.subpackets(),
        )
        .sign_certification(
            &self.primary,
            &self.public.primary_key,
            &Password::empty(),
            Tag::UserId,
            &user.id,
        )
        .unwrap();
        user.signatures.push(signature);
    }

    /// Takes the user id back.
    pub(super) fn revoke_user(&mut self, when: u32) {
        let user = &mut self.public.details.users[0];
        let more = vec![reason(RevocationCode::CertUserIdInvalid)];
        let signature =
            config(&self.primary, SignatureType::CertRevocation, HashAlgorithm::Sha256, when, more)
                .sign_certification(
                    &self.primary,
                    &self.public.primary_key,
                    &Password::empty(),
                    Tag::UserId,
                    &user.id,
                )
                .unwrap();
        user.signatures.push(signature);
    }

    pub(super) fn revoke(&mut self, code: Option<RevocationCode>, when: u32) {
        let more = code.map(reason).into_iter().collect();
        let signature =
            config(&self.primary, SignatureType::KeyRevocation, HashAlgorithm::Sha256, when, more)
                .sign_key(&self.primary, &Password::empty(), &self.public.primary_key)
                .unwrap();
        self.public.details.revocation_signatures.push(signature);
    }

    /// Binds the subkey; with `confirmed` it confirms that it belongs to the key.
    pub(super) fn bind(&mut self, says: &Says, confirmed: bool) {
        let key = self.subkey.public_key().clone();
        let mut more = says.subpackets();
        if confirmed {
            let back =
                config(&self.subkey, SignatureType::KeyBinding, says.hash, says.at, Vec::new())
                    .sign_primary_key_binding(
                        &self.subkey,
                        &key,
                        &Password::empty(),
                        &self.public.primary_key,
                    )
                    .unwrap();
            more.push(
                Subpacket::regular(SubpacketData::EmbeddedSignature(Box::new(back))).unwrap(),
            );
        }
        let signature =
            config(&self.primary, SignatureType::SubkeyBinding, says.hash, says.at, more)
                .sign_subkey_binding(
                    &self.primary,
                    &self.public.primary_key,
                    &Password::empty(),
                    &key,
                )
                .unwrap();
        self.public.public_subkeys.push(SignedPublicSubKey::new(key, vec![signature]));
    }

    pub(super) fn revoke_subkey(&mut self, code: RevocationCode, when: u32, more: Vec<Subpacket>) {
        let key = self.subkey.public_key().clone();
        let signature = config(
            &self.primary,
            SignatureType::SubkeyRevocation,
            HashAlgorithm::Sha256,
            when,
            more.into_iter().chain([reason(code)]).collect(),
        )
        .sign_subkey_binding(&self.primary, &self.public.primary_key, &Password::empty(), &key)
        .unwrap();
        self.public.public_subkeys[0].signatures.push(signature);
    }

    /// A provenance file by the primary key.
    pub(super) fn signs(&self) -> String {
        clear_sign(&self.primary, &text(), HashAlgorithm::Sha512, SIGNED, Vec::new())
    }

    /// The same by the subkey.
    pub(super) fn subkey_signs(&self) -> String {
        clear_sign(&self.subkey, &text(), HashAlgorithm::Sha512, SIGNED, Vec::new())
    }

    /// The public key, in binary.
    pub(super) fn ring(&self) -> Vec<u8> {
        self.public.to_bytes().unwrap()
    }

    /// The same in armor.
    pub(super) fn armored(&self) -> String {
        self.public.to_armored_string(ArmorOptions::default()).unwrap()
    }
}

/// A clear-signed text.
pub(super) fn clear_sign(
    signer: &impl SigningKey,
    text: &str,
    hash: HashAlgorithm,
    when: u32,
    more: Vec<Subpacket>,
) -> String {
    let config = config(signer, SignatureType::Text, hash, when, more);
    CleartextSignedMessage::new(text, config, signer, &Password::empty())
        .unwrap()
        .to_armored_string(ArmorOptions::default())
        .unwrap()
}

/// The same signature, which says that it relies on another hash: no key here makes such ones.
pub(super) fn with_hash(signature: &Signature, hash: HashAlgorithm) -> Signature {
    let mut config = signature.config().unwrap().clone();
    config.hash_alg = hash;
    let (value, bytes) = (signature.signed_hash_value(), signature.signature());
    Signature::from_config(config, value.unwrap(), bytes.unwrap().clone()).unwrap()
}

/// Something critical that nobody knows.
pub(super) fn unknown() -> Subpacket {
    let notation = Notation {
        readable: false,
        name: "salt@notations.openpgpjs.org".into(),
        value: vec![7; 16].into(),
    };
    Subpacket::critical(SubpacketData::Notation(notation)).unwrap()
}

/// A detached signature, to be put where it does not belong.
pub(super) fn signature(signer: &impl SigningKey, text: &str) -> Signature {
    config(signer, SignatureType::Text, HashAlgorithm::Sha512, SIGNED, Vec::new())
        .sign(signer, &Password::empty(), text.as_bytes())
        .unwrap()
}

fn config(
    signer: &impl SigningKey,
    typ: SignatureType,
    hash: HashAlgorithm,
    when: u32,
    more: Vec<Subpacket>,
) -> SignatureConfig {
    let mut config = SignatureConfig::v4(typ, signer.algorithm(), hash);
    let own = [
        SubpacketData::SignatureCreationTime(at(when)),
        SubpacketData::IssuerFingerprint(signer.fingerprint()),
    ];
    config.hashed_subpackets = own.into_iter().map(|it| Subpacket::regular(it).unwrap()).collect();
    config.hashed_subpackets.extend(more);
    config
}

fn reason(code: RevocationCode) -> Subpacket {
    Subpacket::regular(SubpacketData::RevocationReason(code, Vec::new().into())).unwrap()
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_secs(seconds)
}
