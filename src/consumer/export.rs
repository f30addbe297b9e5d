//! The configuration with which others verify a chart: whom we trust, in their words.
//!
//! Every pattern is anchored at both ends, every foreign text is quoted and ASCII. What a consumer does not compare is
//! said; where it would take others for the signer, nothing is printed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::go_pattern::anchored;
use super::private_trust;
use super::told::{check_told_apart, cosign_claims, untold};
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::verify::{
    COSIGN_SIGN_PREDICATE, Claim, Identity, Matcher, normal_host, yaml_comment, yaml_scalar,
};

/// The media type of the layer that Flux hands to Helm.
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The longest name of a Kubernetes object that is also a label (RFC 1123).
const MAX_NAME: usize = 63;
/// Docker Hub by the names that lead to it.
const DOCKER_HUB: [&str; 4] =
    ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// Whether Flux takes the newest version of a range, whatever tag stands beside it.
const BY_RANGE: &str = "has(object.spec.ref) && has(object.spec.ref.semver)";
/// The version of cosign that the workflow installs: the one that the interop suite runs.
const COSIGN_RELEASE: &str = "v3.1.3";

/// Who is to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// Flux: an `OCIRepository` with `spec.verify`.
    Flux,
    /// Kyverno: an `ImageValidatingPolicy` over Flux's `OCIRepository`.
    Kyverno,
    /// Sigstore's policy-controller: a `ClusterImagePolicy`.
    PolicyController,
    /// A workflow of GitHub Actions that runs cosign.
    GithubActions,
}

impl Consumer {
    /// The name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Flux => "Flux",
            Self::Kyverno => "Kyverno",
            Self::PolicyController => "policy-controller",
            Self::GithubActions => "cosign",
        }
    }
}

/// Whom the configuration trusts.
#[derive(Clone, Debug)]
pub enum Trusted {
    /// Any of these signers.
    Identities(Vec<Identity>),
    /// Who has this key: the public key as PEM.
    Key(String),
}

/// A Sigstore of one's own.
#[derive(Clone, Debug)]
pub struct PrivateTrust {
    /// The trusted root (`trusted_root.json`).
    pub trusted_root: String,
    /// Where it comes from by TUF, if it does.
    pub tuf: Option<Tuf>,
}

/// A TUF repository and the root to start from.
#[derive(Clone, Debug)]
pub struct Tuf {
    /// The base URL.
    pub mirror: String,
    /// The root, byte for byte.
    pub root: Vec<u8>,
}

/// What the configuration is for.
#[derive(Clone, Debug)]
pub struct Export<'a> {
    /// `HOST/PATH` of the chart, without scheme and tag.
    pub repository: &'a str,
    /// The tag that was asked for.
    pub tag: Option<&'a str>,
    /// The manifest's digest.
    pub digest: Digest,
    /// Whom to trust.
    pub trusted: &'a Trusted,
    /// What it relies on, where it is not the public-good instance.
    pub private: Option<&'a PrivateTrust>,
    /// Whether the registry speaks plain http.
    pub plain_http: bool,
    /// Whether the chart has a signature in cosign's older format, the only one that policy-controller
    /// takes for a signature.
    pub legacy: bool,
}

/// The configuration for `consumer`.
///
/// # Errors
/// Usage: the consumer cannot express it.
pub fn export(consumer: Consumer, what: &Export<'_>) -> Result<String> {
    for identity in what.identities() {
        check_told_apart(consumer, identity)?;
    }
    match consumer {
        Consumer::Flux => flux(what),
        Consumer::Kyverno => kyverno(what),
        Consumer::PolicyController => policy_controller(what),
        Consumer::GithubActions => github_actions(what),
    }
}

impl Export<'_> {
    /// A name for the object, from the last segment of the repository (RFC 1123 label).
    fn name(&self) -> String {
        let last = self.repository.rsplit('/').next().unwrap_or_default();
        let mut name: String = last
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(MAX_NAME - "verify-".len())
            .collect();
        name = name.trim_matches('-').to_owned();
        if name.is_empty() { "chart".to_owned() } else { name }
    }

    fn identities(&self) -> &[Identity] {
        match self.trusted {
            Trusted::Identities(identities) => identities,
            Trusted::Key(_) => &[],
        }
    }

    /// What the consumer cannot be told, as comments.
    fn unsaid(&self, consumer: Consumer) -> String {
        let mut text = String::new();
        for identity in self.identities() {
            let untold = untold(consumer, identity);
            for one in &untold {
                let _ = writeln!(
                    text,
                    "# Not expressed here, and so not checked: {}",
                    yaml_comment(&one.words())
                );
            }
            if untold.iter().any(|one| one.claim == Claim::SourceRepository) {
                text.push_str(
                    "# Whoever may run the build of this name from another repository (a workflow with `workflow_call`)\n\
                     # signs by it too: keep it to yourself.\n",
                );
            }
        }
        text
    }
}

/// `key: value` where the value is known to be exact, else `key + suffix: pattern`.
fn exact_or_pattern(key: &str, suffix: &str, matcher: &Matcher) -> Result<String> {
    Ok(match matcher {
        Matcher::Exact(text) => format!("{key}: {}", yaml_scalar(text)),
        _ => format!("{key}{suffix}: {}", yaml_scalar(&anchored(matcher)?)),
    })
}

/// Text below a key, each line with this indentation.
fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.trim_end().lines().map(|line| format!("{pad}{}\n", line.trim_end())).collect()
}

fn flux(what: &Export<'_>) -> Result<String> {
    let name = what.name();
    let mut verify = String::from("  verify:\n    provider: cosign\n");
    let mut secrets = String::new();
    let mut secret = |name: &str, file: &str, text: &str| {
        let _ = write!(
            secrets,
            "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n  namespace: flux-system\n\
             stringData:\n  {file}: {}\n",
            yaml_scalar(name),
            yaml_scalar(text)
        );
    };
    match what.trusted {
        Trusted::Key(pem) => {
            let key = format!("{name}-cosign-key");
            let _ = write!(verify, "    secretRef:\n      name: {}\n", yaml_scalar(&key));
            secret(&key, "cosign.pub", pem);
        }
        Trusted::Identities(identities) => {
            verify.push_str("    matchOIDCIdentity:\n");
            for identity in identities {
                let _ = write!(
                    verify,
                    "      - issuer: {}\n        subject: {}\n",
                    yaml_scalar(&anchored(&identity.issuer)?),
                    yaml_scalar(&anchored(&identity.subject)?)
                );
            }
        }
    }
    if let Some(PrivateTrust { trusted_root: root, .. }) = what.private {
        let named = format!("{name}-trusted-root");
        let _ = write!(verify, "    trustedRootSecretRef:\n      name: {}\n", yaml_scalar(&named));
        secret(&named, "trusted_root.json", root);
    }
    let reference = match what.tag {
        Some(tag) => format!("    tag: {}\n", yaml_scalar(tag)),
        None => format!("    digest: {}\n", yaml_scalar(&what.digest.to_string())),
    };
    let insecure = if what.plain_http { "  insecure: true\n" } else { "" };
    Ok(format!(
        "# Flux verifies the chart before a HelmRelease with `chartRef` to this OCIRepository installs it.\n\
         # In cosign's older format (.sig) it also passes what was signed for another chart, so let verify look too.\n\
         {}\
         apiVersion: source.toolkit.fluxcd.io/v1\n\
         kind: OCIRepository\n\
         metadata:\n  name: {}\n  namespace: flux-system\n\
         spec:\n  interval: 10m\n  url: {}\n  ref:\n{reference}{insecure}\
         \x20 layerSelector:\n    mediaType: {CHART_LAYER}\n    operation: copy\n\
         {verify}{secrets}",
        what.unsaid(Consumer::Flux),
        yaml_scalar(&name),
        yaml_scalar(&format!("oci://{}", what.repository)),
    ))
}

fn kyverno(what: &Export<'_>) -> Result<String> {
    let name = what.name();
    let mut cosign = String::new();
    match what.trusted {
        Trusted::Key(pem) => {
            let _ = write!(cosign, "        key:\n          data: |\n{}", indented(pem, 12));
        }
        Trusted::Identities(identities) => {
            cosign.push_str("        keyless:\n          identities:\n");
            for identity in identities {
                let _ = write!(
                    cosign,
                    "            - {}\n              {}\n",
                    exact_or_pattern("issuer", "RegExp", &identity.issuer)?,
                    exact_or_pattern("subject", "RegExp", &identity.subject)?,
                );
            }
        }
    }
    let mut note = "";
    if let Some(PrivateTrust { trusted_root, tuf }) = what.private {
        let _ = write!(
            cosign,
            "        trustedRoot:\n          value: {}\n",
            yaml_scalar(trusted_root)
        );
        match tuf {
            Some(Tuf { mirror, root }) => {
                let _ = write!(
                    cosign,
                    "        tuf:\n          mirror: {}\n          root:\n            data: {}\n",
                    yaml_scalar(mirror),
                    STANDARD.encode(root)
                );
            }
            None => {
                note = "# Kyverno asks a TUF mirror whatever the trusted root says; without `tuf` that is the public one.\n";
            }
        }
    }
    let credentials = match what.plain_http {
        true => "  credentials:\n    allowInsecureRegistry: true\n",
        false => "",
    };
    // Only Flux's sources of this very repository: what they name is compared before it is looked up. The case of the
    // host does not count, nor does its usual port; the path has no upper case.
    let port = if what.plain_http { 80 } else { 443 };
    let (host, path) = what.repository.split_once('/').unwrap_or((what.repository, ""));
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(&format!(":{port}")).unwrap_or(&host);
    let names = if normal_host(host) == DOCKER_HUB[0] { &DOCKER_HUB[..] } else { &[host] };
    let url = |name: &str, port: &str| yaml_scalar(&format!("oci://{name}{port}/{path}"));
    let usual = if host.contains(':') { None } else { Some(format!(":{port}")) };
    let plain = names.iter().map(|name| url(name, ""));
    let with_port = usual.iter().flat_map(|port| names.iter().map(|name| url(name, port)));
    let urls: Vec<_> = plain.chain(with_port).collect();
    Ok(format!(
        "# Kyverno checks each of Flux's OCIRepository objects that takes its chart from here, when it is created or changed.\n\
         # What a tag names may change after that: only a digest, or Flux's own `spec.verify`, holds on. Objects that name\n\
         # another repository, or this one by another name of its host, are not looked at.\n\
         {note}{}\
         apiVersion: policies.kyverno.io/v1\n\
         kind: ImageValidatingPolicy\n\
         metadata:\n  name: {}\n\
         spec:\n  validationActions: [Deny]\n  failurePolicy: Fail\n\
         \x20 evaluation:\n    background:\n      enabled: false\n\
         \x20 matchConstraints:\n    resourceRules:\n      - apiGroups: [source.toolkit.fluxcd.io]\n\
         \x20       apiVersions: [v1]\n        resources: [ocirepositories]\n        operations: [CREATE, UPDATE]\n\
         \x20 matchConditions:\n    - name: this-chart\n      expression: >-\n\
         \x20       object.spec.url.lowerAscii() in [{}]\n\
         \x20 validationConfigurations:\n    mutateDigest: false\n    verifyDigest: false\n    required: true\n\
         \x20 matchImageReferences:\n    - glob: {}\n\
         \x20 images:\n    - name: charts\n      expression: >-\n\
         \x20       {BY_RANGE} ? [] :\n\
         \x20       [{} + (has(object.spec.ref) && has(object.spec.ref.digest) ? '@' + object.spec.ref.digest :\n\
         \x20       has(object.spec.ref) && has(object.spec.ref.tag) ? ':' + object.spec.ref.tag : ':latest')]\n\
         {credentials}\
         \x20 attestors:\n    - name: signer\n      cosign:\n{cosign}\
         \x20 validations:\n    - expression: >-\n\
         \x20       !({BY_RANGE})\n\
         \x20     message: {}\n\
         \x20   - expression: >-\n\
         \x20       images.charts.map(image, verifyImageSignatures(image, [attestors.signer])).all(n, n > 0)\n\
         \x20     message: {}\n",
        what.unsaid(Consumer::Kyverno),
        yaml_scalar(&format!("verify-{name}")),
        urls.join(", "),
        yaml_scalar(&format!("{}*", what.repository)),
        yaml_scalar(what.repository),
        yaml_scalar(
            "spec.ref.semver goes before spec.ref.tag, and which version it names is not known here: use a tag or a digest"
        ),
        yaml_scalar(&format!("{} is not signed by those who are trusted", what.repository)),
    ))
}

fn policy_controller(what: &Export<'_>) -> Result<String> {
    let name = what.name();
    if matches!(what.trusted, Trusted::Key(_)) && !what.legacy {
        return Err(Error::usage("policy-controller verifies no bundles by a key")
            .hint("sign it in the older format too: helm sigstore sign --signature-format both"));
    }
    let trust = what
        .private
        .map(|trust| private_trust::trust_root(&format!("{name}-trust"), trust, what.legacy));
    let trust = trust.transpose()?;
    let reference = match trust {
        Some(_) => format!("        trustRootRef: {}\n", yaml_scalar(&format!("{name}-trust"))),
        None => String::new(),
    };
    let mut authorities = String::new();
    match what.trusted {
        Trusted::Key(pem) => {
            let _ = write!(
                authorities,
                "    - name: key\n      key:\n        data: |\n{}        hashAlgorithm: sha256\n",
                indented(pem, 10)
            );
        }
        Trusted::Identities(identities) => {
            authorities.push_str("    - name: keyless\n      keyless:\n");
            if what.private.is_none() {
                authorities.push_str("        url: https://fulcio.sigstore.dev\n");
            }
            authorities.push_str(&reference);
            authorities.push_str("        identities:\n");
            for identity in identities {
                let _ = write!(
                    authorities,
                    "          - {}\n            {}\n",
                    exact_or_pattern("issuer", "RegExp", &identity.issuer)?,
                    exact_or_pattern("subject", "RegExp", &identity.subject)?,
                );
            }
        }
    }
    let log = match (what.private, what.trusted) {
        (None, _) => "      ctlog:\n        url: https://rekor.sigstore.dev\n".to_owned(),
        (Some(_), _) => format!("      ctlog:\n{reference}"),
    };
    authorities.push_str(&log);
    let note = match what.legacy {
        true => String::new(),
        false => {
            let _ = write!(
                authorities,
                "      signatureFormat: bundle\n      attestations:\n        - name: signature\n          predicateType: {}\n",
                yaml_scalar(COSIGN_SIGN_PREDICATE)
            );
            "# It takes bundles for attestations only, so the signature is asked for as one.\n"
                .to_owned()
        }
    };
    Ok(format!(
        "# policy-controller judges images of Pods: it does not see charts that Helm or Flux installs.\n\
         {note}{}{}\
         apiVersion: policy.sigstore.dev/v1beta1\n\
         kind: ClusterImagePolicy\n\
         metadata:\n  name: {}\n\
         spec:\n  images:\n    - glob: {}\n    - glob: {}\n  authorities:\n{authorities}",
        what.unsaid(Consumer::PolicyController),
        trust.unwrap_or_default(),
        yaml_scalar(&format!("verify-{name}")),
        yaml_scalar(&format!("{}*", what.repository)),
        yaml_scalar(&format!("{}@*", what.repository)),
    ))
}

fn github_actions(what: &Export<'_>) -> Result<String> {
    let name = what.name();
    let reference = match what.tag {
        Some(tag) => format!("{}:{tag}", what.repository),
        None => format!("{}@{}", what.repository, what.digest),
    };
    let mut environment = format!("          CHART: {}\n", expression_free(&reference));
    let mut script = String::new();
    let mut flags = String::new();
    let http = if what.plain_http { " --allow-http-registry" } else { "" };
    if let Some(PrivateTrust { trusted_root: root, .. }) = what.private {
        let _ = writeln!(environment, "          TRUSTED_ROOT: {}", expression_free(root));
        script.push_str(
            "          printf '%s' \"$TRUSTED_ROOT\" > \"$RUNNER_TEMP/trusted_root.json\"\n",
        );
        flags.push_str(" --trusted-root \"$RUNNER_TEMP/trusted_root.json\"");
    }
    flags.push_str(http);
    let mut commands = Vec::new();
    match what.trusted {
        Trusted::Key(pem) => {
            let _ = writeln!(environment, "          PUBLIC_KEY: {}", expression_free(pem));
            commands.push(format!("cosign verify --key env://PUBLIC_KEY{flags}"));
        }
        Trusted::Identities(identities) => {
            for (at, identity) in identities.iter().enumerate() {
                let at = at + 1;
                let _ = writeln!(
                    environment,
                    "          IDENTITY_{at}: {}\n          ISSUER_{at}: {}",
                    expression_free(&anchored(&identity.subject)?),
                    expression_free(&anchored(&identity.issuer)?)
                );
                let mut command = format!(
                    "cosign verify --certificate-identity-regexp \"$IDENTITY_{at}\" \
                     --certificate-oidc-issuer-regexp \"$ISSUER_{at}\""
                );
                for (flag, value) in cosign_claims(identity) {
                    let variable = format!("WORKFLOW_{}_{at}", flag.to_uppercase());
                    let _ =
                        writeln!(environment, "          {variable}: {}", expression_free(value));
                    let _ =
                        write!(command, " --certificate-github-workflow-{flag} \"${variable}\"");
                }
                commands.push(format!("{command}{flags}"));
            }
        }
    }
    // What cosign prints names the first subject of the statement, which may be another: the digest comes from the
    // registry, once, and nothing after that sees the tag. Any of the identities will do.
    let commands: Vec<_> =
        commands.iter().map(|one| format!("{one} \"$image\" > /dev/null")).collect();
    Ok(format!(
        "# Call it before the chart is installed, and install its output `digest-ref`: that is what was verified.\n\
         {}\
         name: {}\n\
         on:\n  workflow_call:\n    outputs:\n      digest-ref:\n        description: The verified chart by its digest\n\
         \x20       value: ${{{{ jobs.verify.outputs.digest-ref }}}}\n  workflow_dispatch:\n\
         permissions:\n  contents: read\n  packages: read\n\
         jobs:\n  verify:\n    runs-on: ubuntu-latest\n    outputs:\n\
         \x20     digest-ref: ${{{{ steps.verify.outputs.digest-ref }}}}\n\
         \x20   steps:\n      - uses: sigstore/cosign-installer@v4\n        with:\n          cosign-release: {COSIGN_RELEASE}\n\
         \x20     - id: verify\n        shell: bash\n        env:\n{environment}\
         \x20       run: |\n          set -euo pipefail\n{script}\
         \x20         repository=${{CHART%%@*}}\n\
         \x20         [[ ${{repository##*/}} != *:* ]] || repository=${{repository%:*}}\n\
         \x20         # The digest that is verified is the one that is answered; the tag is resolved once.\n\
         \x20         found=$(cosign triangulate --type digest{http} \"$CHART\")\n\
         \x20         digest=${{found##*@}}\n\
         \x20         [[ $digest =~ ^sha256:[0-9a-f]{{64}}$ ]] || {{ echo 'no digest was found' >&2; exit 1; }}\n\
         \x20         image=$repository@$digest\n\
         \x20         {}\n\
         \x20         echo \"digest-ref=oci://$image\" >> \"$GITHUB_OUTPUT\"\n",
        what.unsaid(Consumer::GithubActions),
        yaml_scalar(&format!("Verify {name}")),
        commands.join(" ||\n            "),
    ))
}

/// A quoted value in which GitHub Actions sees no expression.
fn expression_free(text: &str) -> String {
    yaml_scalar(&text.replace("${{", "${{ '${{' }}"))
}

#[cfg(test)]
#[path = "export/tests.rs"]
mod tests;
