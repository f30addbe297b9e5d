//! A trusted root in the words of policy-controller: its `TrustRoot` resource.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::export::{PrivateTrust, Tuf};
use crate::error::{Error, Result};
use crate::verify::yaml_scalar;

/// What is needed of a `trusted_root.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct TrustedRoot {
    certificate_authorities: Vec<Authority>,
    tlogs: Vec<Log>,
    ctlogs: Vec<Log>,
    timestamp_authorities: Vec<Authority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authority {
    #[serde(default)]
    subject: Subject,
    #[serde(default)]
    uri: String,
    cert_chain: Chain,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    organization: String,
    common_name: String,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<Certificate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    raw_bytes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    base_url: String,
    public_key: Key,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    raw_bytes: String,
    #[serde(default)]
    key_details: String,
}

/// The resource, with the line that ends its document.
///
/// # Errors
/// Usage: no trusted root, or none that policy-controller can hold.
pub(super) fn trust_root(name: &str, trust: &PrivateTrust, legacy: bool) -> Result<String> {
    let unusable = |cause: String| {
        Error::usage("the trusted root cannot be given to policy-controller").cause(cause)
    };
    let header = format!(
        "apiVersion: policy.sigstore.dev/v1alpha1\nkind: TrustRoot\nmetadata:\n  name: {}\nspec:\n",
        yaml_scalar(name)
    );
    // With a root from TUF it finds no certificate log for a signature in the older format.
    if let (Some(Tuf { mirror, root }), false) = (&trust.tuf, legacy) {
        let root = STANDARD.encode(root);
        return Ok(format!(
            "{header}  remote:\n    mirror: {}\n    root: {root}\n---\n",
            yaml_scalar(mirror)
        ));
    }
    if !legacy {
        // It takes the hexadecimal text of a log's id for the id, which entries of bundles never have.
        return Err(unusable("it verifies bundles only with a root from TUF".to_owned())
            .hint("helm sigstore trust init NAME --mirror URL --root FILE, then --instance NAME"));
    }
    let root: TrustedRoot =
        serde_json::from_str(&trust.trusted_root).map_err(|error| unusable(error.to_string()))?;
    // It reads ECDSA keys only, and a root with another is refused whole.
    let readable = |log: &&Log| !log.public_key.key_details.contains("ED25519");
    let tlogs: Vec<_> = root.tlogs.iter().filter(readable).collect();
    let ctlogs: Vec<_> = root.ctlogs.iter().filter(readable).collect();
    if tlogs.is_empty() {
        return Err(unusable(
            "it knows no log with Ed25519 keys, and there is no other (Rekor v2)".to_owned(),
        ));
    }
    let mut text = format!("{header}  sigstoreKeys:\n");
    authorities(&mut text, "certificateAuthorities", &root.certificate_authorities)
        .map_err(unusable)?;
    logs(&mut text, "tLogs", &tlogs).map_err(unusable)?;
    logs(&mut text, "ctLogs", &ctlogs).map_err(unusable)?;
    authorities(&mut text, "timestampAuthorities", &root.timestamp_authorities)
        .map_err(unusable)?;
    text.push_str("---\n");
    Ok(text)
}

/// PEM of these bytes, in base64 once more, as the resource wants it.
fn pem_in_base64(label: &str, parts: &[&str]) -> std::result::Result<String, String> {
    let mut text = String::new();
    for part in parts {
        let der = STANDARD.decode(part).map_err(|error| error.to_string())?;
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        text.push_str(&pem::encode_config(&pem::Pem::new(label, der), config));
    }
    Ok(STANDARD.encode(text))
}

fn authorities(
    text: &mut String,
    part: &str,
    authorities: &[Authority],
) -> std::result::Result<(), String> {
    if authorities.is_empty() {
        return Ok(());
    }
    let _ = writeln!(text, "    {part}:");
    for Authority { subject, uri, cert_chain } in authorities {
        let certificates: Vec<_> =
            cert_chain.certificates.iter().map(|one| one.raw_bytes.as_str()).collect();
        let _ = writeln!(
            text,
            "      - subject:\n          organization: {}\n          commonName: {}\n        uri: {}\n        certChain: {}",
            yaml_scalar(&subject.organization),
            yaml_scalar(&subject.common_name),
            yaml_scalar(uri),
            pem_in_base64("CERTIFICATE", &certificates)?,
        );
    }
    Ok(())
}

fn logs(text: &mut String, part: &str, logs: &[&Log]) -> std::result::Result<(), String> {
    if logs.is_empty() {
        return Ok(());
    }
    let _ = writeln!(text, "    {part}:");
    for Log { base_url, public_key } in logs {
        let _ = writeln!(
            text,
            "      - baseURL: {}\n        hashAlgorithm: sha-256\n        publicKey: {}",
            yaml_scalar(base_url),
            pem_in_base64("PUBLIC KEY", &[&public_key.raw_bytes])?,
        );
    }
    Ok(())
}
