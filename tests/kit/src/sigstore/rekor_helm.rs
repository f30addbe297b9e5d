//! What Rekor v1 logs of provenance files: proposed entries of the type `helm` 0.0.1, checked as Rekor's
//! `types/helm/v0.0.1` does and made canonical. It holds nothing against a key that has expired or was revoked.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pgp::armor::{self, BlockType};
use pgp::composed::{ArmorOptions, CleartextSignedMessage, Deserializable, SignedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Error, Result};
use super::keys::sha256;
use super::rekor_entry::Proposal;

/// Checks a proposed entry: one key, and a clear-signed text by it whose second part names a file with its digest.
pub(crate) fn propose_helm(spec: Value) -> Result<Proposal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec {
        public_key: Content,
        chart: Chart,
    }
    #[derive(Deserialize)]
    struct Chart {
        provenance: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        content: Option<String>,
    }
    let Spec { public_key, chart: Chart { provenance } } = serde_json::from_value(spec)?;
    let bytes = |content: Content, what: &str| -> Result<Vec<u8>> {
        let text = content.content.ok_or_else(|| Error::new(format!("missing {what}")))?;
        Ok(BASE64.decode(text)?)
    };
    let key = bytes(public_key, "public key content")?;
    let provenance = bytes(provenance, "provenance content")?;
    let pgp = |error: pgp::errors::Error| Error::new(error.to_string());
    let key = match key.starts_with(b"-----BEGIN PGP") {
        true => SignedPublicKey::from_armor_single(Cursor::new(&key)).map_err(pgp)?.0,
        false => SignedPublicKey::from_bytes(Cursor::new(&key)).map_err(pgp)?,
    };
    let text = std::str::from_utf8(&provenance)
        .map_err(|_| Error::new("unable to decode provenance file"))?;
    let (message, _) = CleartextSignedMessage::from_string(text).map_err(pgp)?;
    let verified = message.verify(&key).is_ok()
        || key.public_subkeys.iter().any(|subkey| message.verify(&subkey.key).is_ok());
    let (true, Some(signature)) = (verified, message.signatures().first()) else {
        return Err(Error::new("openpgp: invalid signature: signature by unknown entity"));
    };
    let signed = message.signed_text().replace("\r\n", "\n");
    let sums = signed
        .split("\n...\n")
        .nth(1)
        .ok_or_else(|| Error::new("message block must have at least two parts"))?;
    let hash = sums
        .lines()
        .skip_while(|line| *line != "files:")
        .nth(1)
        .and_then(|line| line.split_once(": "))
        .map(|(_, hash)| hash.trim())
        .ok_or_else(|| Error::new("no checksums found"))?;
    let (algorithm, value) =
        hash.split_once(':').ok_or_else(|| Error::new("invalid hash found in Provenance file"))?;

    let canonical_key =
        key.to_armored_string(ArmorOptions { include_checksum: false, ..ArmorOptions::default() });
    let canonical_key = canonical_key.map_err(pgp)?;
    let mut packets = Vec::new();
    pgp::packet::PacketTrait::to_writer_with_header(signature, &mut packets).map_err(pgp)?;
    let mut canonical_signature = Vec::new();
    armor::write(&Raw(packets), BlockType::Signature, &mut canonical_signature, None, false)
        .map_err(pgp)?;
    let mut keys = vec![hex::encode(sha256(canonical_key.as_bytes())), hash.to_lowercase()];
    let users = key.details.users.iter().filter_map(|user| user.id.as_str());
    keys.extend(
        users.filter_map(|user| Some(user.rsplit_once('<')?.1.strip_suffix('>')?.to_owned())),
    );
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "helm",
        "spec": {
            "chart": {
                "hash": {"algorithm": algorithm, "value": value},
                "provenance": {"signature": {"content": BASE64.encode(canonical_signature)}},
            },
            "publicKey": {"content": BASE64.encode(canonical_key)},
        },
    });
    Ok(Proposal { body: serde_json_canonicalizer::to_vec(&body)?, keys })
}

/// Bytes that are written as they are.
struct Raw(Vec<u8>);

impl pgp::ser::Serialize for Raw {
    fn to_writer<W: std::io::Write>(&self, writer: &mut W) -> pgp::errors::Result<()> {
        Ok(writer.write_all(&self.0)?)
    }

    fn write_len(&self) -> usize {
        self.0.len()
    }
}
