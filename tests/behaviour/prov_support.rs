//! OpenPGP keys and provenance files, made while a test runs.

use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::digest_of;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey,
};
use pgp::ser::Serialize as _;
use pgp::types::Password;
use rand_core::OsRng;

/// Somebody with a key.
pub(crate) struct Packager(SignedSecretKey);

impl Packager {
    pub(crate) fn new(user: &str) -> Self {
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id(user.to_owned());
        Self(params.build().unwrap().generate(OsRng).unwrap())
    }

    /// The provenance file of a chart, as `helm package --sign` writes it.
    pub(crate) fn signs(&self, chart: &Chart) -> String {
        self.signs_digest(chart, &digest_of(&chart.tgz()))
    }

    /// The same with another digest.
    pub(crate) fn signs_digest(&self, chart: &Chart, digest: &str) -> String {
        let text = format!(
            "apiVersion: v2\nname: {}\nversion: {}\n\n...\nfiles:\n  {}: {digest}\n",
            chart.name(),
            chart.version(),
            chart.file_name(),
        );
        CleartextSignedMessage::sign(OsRng, &text, &self.0.primary_key, &Password::empty())
            .unwrap()
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    /// A chart with its provenance.
    pub(crate) fn packages(&self, chart: Chart) -> Chart {
        let provenance = self.signs(&chart);
        chart.provenance(provenance)
    }

    /// The ring with the public key, in armor.
    pub(crate) fn ring(&self) -> String {
        SignedPublicKey::from(self.0.clone()).to_armored_string(ArmorOptions::default()).unwrap()
    }

    /// The same as GnuPG keeps it: a header, then a blob that holds the key behind what is known of it (GnuPG,
    /// `kbx/keybox-blob.c`).
    pub(crate) fn keybox(&self) -> Vec<u8> {
        /// What stands in front of the key: lengths, one key's fingerprint, no user id, no signature, times.
        const BEFORE: usize = 78;
        /// A checksum, which GnuPG leaves empty here and there.
        const BEHIND: usize = 20;
        let key = SignedPublicKey::from(self.0.clone()).to_bytes().unwrap();
        let number = |value: usize| u32::try_from(value).unwrap().to_be_bytes();
        let mut header = vec![0; 32];
        header[..4].copy_from_slice(&number(32));
        header[4..8].copy_from_slice(&[1, 1, 0, 2]);
        header[8..12].copy_from_slice(b"KBXf");
        let mut blob = vec![0; BEFORE];
        blob[..4].copy_from_slice(&number(BEFORE + key.len() + BEHIND));
        blob[4..8].copy_from_slice(&[2, 1, 0, 0]);
        blob[8..12].copy_from_slice(&number(BEFORE));
        blob[12..16].copy_from_slice(&number(key.len()));
        blob[16..20].copy_from_slice(&[0, 1, 0, 28]);
        blob.extend(key);
        blob.extend([0; BEHIND]);
        [header, blob].concat()
    }

    /// The fingerprint, as Helm prints it.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{:X}", pgp::types::KeyDetails::fingerprint(&self.0.primary_key))
    }
}
