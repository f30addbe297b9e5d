//! A policy from the signers that are on a chart: trust on first use.

use super::certificate::NameKind;
use super::identity::{GITHUB, GITLAB, GOOGLE_ISSUER};
use super::policy_file::SCHEMA;
use super::public_key::PublicKey;
use super::signer::Signer;

/// A policy file whose one rule trusts any of these signers, and `key` where it was one, for `repository`
/// (`oci://HOST/PATH`); with `exact` by no short form. What the signers' certificates say is quoted, never taken
/// for YAML.
pub fn first_use(
    repository: &str,
    signers: &[&Signer],
    key: Option<(&PublicKey, bool)>,
    exact: bool,
) -> String {
    let mut text = format!(
        "schema: {SCHEMA}\nrules:\n  - repositories:\n      - {}\n    any-of:\n",
        quoted(repository)
    );
    let mut written: Vec<String> = Vec::new();
    for signer in signers {
        let entry = match (&signer.key_id, key) {
            (Some(_), Some((key, ignore_tlog))) => {
                let pem: String =
                    key.to_pem().lines().map(|line| format!("          {line}\n")).collect();
                let log = if ignore_tlog { "        insecure-ignore-tlog: true\n" } else { "" };
                format!("      - key: |\n{pem}{log}")
            }
            (Some(_), None) => continue,
            (None, _) => identity(signer, exact),
        };
        if !written.contains(&entry) {
            text.push_str(&entry);
            written.push(entry);
        }
    }
    text
}

fn identity(signer: &Signer, exact: bool) -> String {
    let short = if exact { None } else { short(signer) };
    let lines = short.unwrap_or_else(|| {
        vec![
            ("certificate-identity", signer.identity.clone()),
            ("certificate-oidc-issuer", signer.issuer.clone()),
        ]
    });
    let mut text = String::new();
    for (at, (key, value)) in lines.iter().enumerate() {
        let lead = if at == 0 { "      - " } else { "        " };
        text.push_str(&format!("{lead}{key}: {}\n", quoted(value)));
    }
    text
}

/// The short form, where there is one.
fn short(signer: &Signer) -> Option<Vec<(&'static str, String)>> {
    if signer.kind == Some(NameKind::Email) {
        let address = signer.identity.clone();
        return Some(match signer.issuer == GOOGLE_ISSUER {
            true => vec![("google-account", address)],
            false => vec![("email", address), ("issuer", signer.issuer.clone())],
        });
    }
    let source = signer.source_repository.as_deref()?;
    // The next release has another tag; a branch stays.
    let reference = match signer.source_ref.as_deref()? {
        tag if tag.starts_with("refs/tags/") => "refs/tags/*",
        branch => branch,
    };
    let of = |(host, issuer): (&str, &str)| {
        let path = source.strip_prefix(&format!("https://{host}/"))?;
        (signer.issuer == issuer).then_some(path)
    };
    if let Some(path) = of(GITHUB) {
        let mut lines = vec![("github", format!("{path}@{reference}"))];
        let own = format!("https://{}/{path}/", GITHUB.0);
        if !signer.identity.starts_with(&own) {
            let workflow = signer.identity.strip_prefix(&format!("https://{}/", GITHUB.0))?;
            lines.push(("signer-workflow", workflow.to_owned()));
        }
        return Some(lines);
    }
    let path = of(GITLAB)?;
    let own = format!("https://{}/{path}//", GITLAB.0);
    signer.identity.starts_with(&own).then(|| vec![("gitlab", format!("{path}@{reference}"))])
}

/// A YAML scalar in double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || !c.is_ascii() => {
                quoted.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
