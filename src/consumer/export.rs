//! The configuration with which others verify a chart: whom we trust, in their words.
//!
//! Every pattern is anchored at both ends, every foreign text is quoted as JSON (which YAML reads as it is).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::private_trust;
use crate::chart::Digest;
use crate::error::{Error, Result};
use crate::verify::{COSIGN_SIGN_PREDICATE, Identity, Matcher};

/// The media type of the layer that Flux hands to Helm.
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The longest name of a Kubernetes object that is also a label (RFC 1123).
const MAX_NAME: usize = 63;
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
    match consumer {
        Consumer::Flux => Ok(flux(what)),
        Consumer::Kyverno => Ok(kyverno(what)),
        Consumer::PolicyController => policy_controller(what),
        Consumer::GithubActions => Ok(github_actions(what)),
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
    fn unsaid(&self) -> String {
        let mut text = String::new();
        for identity in self.identities() {
            for constraint in identity.words().1 {
                let _ = writeln!(
                    text,
                    "# Not expressed here, and so not checked: {}",
                    one_line(&constraint)
                );
            }
        }
        text
    }
}

/// A value that YAML reads as this very text: a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// For a comment: nothing that would end it.
fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// A Go regular expression that matches from the first to the last character.
fn anchored(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Exact(text) => format!("^{}$", literal(text)),
        Matcher::Glob { typed, .. } => {
            let parts: Vec<_> = typed.split('*').map(literal).collect();
            format!("^{}$", parts.join(".*"))
        }
        Matcher::Pattern { typed, .. } => format!("^(?:{typed})$"),
    }
}

/// The same characters, none of them an operator.
fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// `key: value` where the value is known to be exact, else `key + suffix: pattern`.
fn exact_or_pattern(key: &str, suffix: &str, matcher: &Matcher) -> String {
    match matcher {
        Matcher::Exact(text) => format!("{key}: {}", quoted(text)),
        _ => format!("{key}{suffix}: {}", quoted(&anchored(matcher))),
    }
}

/// Text below a key, each line with this indentation.
fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.trim_end().lines().map(|line| format!("{pad}{}\n", line.trim_end())).collect()
}

fn flux(what: &Export<'_>) -> String {
    let name = what.name();
    let mut verify = String::from("  verify:\n    provider: cosign\n");
    let mut secrets = String::new();
    let mut secret = |name: &str, file: &str, text: &str| {
        let _ = write!(
            secrets,
            "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: flux-system\n\
             stringData:\n  {file}: {}\n",
            quoted(text)
        );
    };
    match what.trusted {
        Trusted::Key(pem) => {
            let _ = write!(verify, "    secretRef:\n      name: {name}-cosign-key\n");
            secret(&format!("{name}-cosign-key"), "cosign.pub", pem);
        }
        Trusted::Identities(identities) => {
            verify.push_str("    matchOIDCIdentity:\n");
            for identity in identities {
                let _ = write!(
                    verify,
                    "      - issuer: {}\n        subject: {}\n",
                    quoted(&anchored(&identity.issuer)),
                    quoted(&anchored(&identity.subject))
                );
            }
        }
    }
    if let Some(PrivateTrust { trusted_root: root, .. }) = what.private {
        let _ = write!(verify, "    trustedRootSecretRef:\n      name: {name}-trusted-root\n");
        secret(&format!("{name}-trusted-root"), "trusted_root.json", root);
    }
    let reference = match what.tag {
        Some(tag) => format!("    tag: {}\n", quoted(tag)),
        None => format!("    digest: {}\n", quoted(&what.digest.to_string())),
    };
    let insecure = if what.plain_http { "  insecure: true\n" } else { "" };
    format!(
        "# Flux verifies the chart before a HelmRelease with `chartRef` to this OCIRepository installs it.\n\
         # In cosign's older format (.sig) it also passes what was signed for another chart, so let verify look too.\n\
         {}\
         apiVersion: source.toolkit.fluxcd.io/v1\n\
         kind: OCIRepository\n\
         metadata:\n  name: {name}\n  namespace: flux-system\n\
         spec:\n  interval: 10m\n  url: {}\n  ref:\n{reference}{insecure}\
         \x20 layerSelector:\n    mediaType: {CHART_LAYER}\n    operation: copy\n\
         {verify}{secrets}",
        what.unsaid(),
        quoted(&format!("oci://{}", what.repository)),
    )
}

fn kyverno(what: &Export<'_>) -> String {
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
                    exact_or_pattern("issuer", "RegExp", &identity.issuer),
                    exact_or_pattern("subject", "RegExp", &identity.subject),
                );
            }
        }
    }
    let mut note = "";
    if let Some(PrivateTrust { trusted_root, tuf }) = what.private {
        let _ = write!(cosign, "        trustedRoot:\n          value: {}\n", quoted(trusted_root));
        match tuf {
            Some(Tuf { mirror, root }) => {
                let _ = write!(
                    cosign,
                    "        tuf:\n          mirror: {}\n          root:\n            data: {}\n",
                    quoted(mirror),
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
    // Only Flux's sources of this very repository: what they name is compared before it is looked up.
    format!(
        "# Kyverno checks each of Flux's OCIRepository objects that takes its chart from here.\n\
         {note}{}\
         apiVersion: policies.kyverno.io/v1\n\
         kind: ImageValidatingPolicy\n\
         metadata:\n  name: verify-{name}\n\
         spec:\n  validationActions: [Deny]\n  failurePolicy: Fail\n\
         \x20 evaluation:\n    background:\n      enabled: false\n\
         \x20 matchConstraints:\n    resourceRules:\n      - apiGroups: [source.toolkit.fluxcd.io]\n\
         \x20       apiVersions: [v1]\n        resources: [ocirepositories]\n        operations: [CREATE, UPDATE]\n\
         \x20 matchConditions:\n    - name: this-chart\n      expression: object.spec.url == {}\n\
         \x20 validationConfigurations:\n    mutateDigest: false\n    verifyDigest: false\n    required: true\n\
         \x20 matchImageReferences:\n    - glob: {}\n\
         \x20 images:\n    - name: charts\n      expression: >-\n\
         \x20       [{} + (has(object.spec.ref) && has(object.spec.ref.digest) ? '@' + object.spec.ref.digest :\n\
         \x20       has(object.spec.ref) && has(object.spec.ref.tag) ? ':' + object.spec.ref.tag : ':latest')]\n\
         {credentials}\
         \x20 attestors:\n    - name: signer\n      cosign:\n{cosign}\
         \x20 validations:\n    - expression: >-\n\
         \x20       images.charts.map(image, verifyImageSignatures(image, [attestors.signer])).all(n, n > 0)\n\
         \x20     message: {}\n",
        what.unsaid(),
        quoted(&format!("oci://{}", what.repository)),
        quoted(&format!("{}*", what.repository)),
        quoted(what.repository),
        quoted(&format!("{} is not signed by those who are trusted", what.repository)),
    )
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
        Some(_) => format!("        trustRootRef: {name}-trust\n"),
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
                    exact_or_pattern("issuer", "RegExp", &identity.issuer),
                    exact_or_pattern("subject", "RegExp", &identity.subject),
                );
            }
        }
    }
    let log = match (what.private, what.trusted) {
        (None, _) => "      ctlog:\n        url: https://rekor.sigstore.dev\n".to_owned(),
        (Some(_), _) => format!("      ctlog:\n        trustRootRef: {name}-trust\n"),
    };
    authorities.push_str(&log);
    let note = match what.legacy {
        true => String::new(),
        false => {
            let _ = write!(
                authorities,
                "      signatureFormat: bundle\n      attestations:\n        - name: signature\n          predicateType: {}\n",
                quoted(COSIGN_SIGN_PREDICATE)
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
         metadata:\n  name: verify-{name}\n\
         spec:\n  images:\n    - glob: {}\n    - glob: {}\n  authorities:\n{authorities}",
        what.unsaid(),
        trust.unwrap_or_default(),
        quoted(&format!("{}*", what.repository)),
        quoted(&format!("{}@*", what.repository)),
    ))
}

fn github_actions(what: &Export<'_>) -> String {
    let name = what.name();
    let reference = match what.tag {
        Some(tag) => format!("{}:{tag}", what.repository),
        None => format!("{}@{}", what.repository, what.digest),
    };
    let mut environment = format!("          CHART: {}\n", expression_free(&reference));
    let mut script = String::new();
    let mut flags = String::new();
    if let Some(PrivateTrust { trusted_root: root, .. }) = what.private {
        let _ = writeln!(environment, "          TRUSTED_ROOT: {}", expression_free(root));
        script.push_str(
            "          printf '%s' \"$TRUSTED_ROOT\" > \"$RUNNER_TEMP/trusted_root.json\"\n",
        );
        flags.push_str(" --trusted-root \"$RUNNER_TEMP/trusted_root.json\"");
    }
    if what.plain_http {
        flags.push_str(" --allow-http-registry");
    }
    let mut commands = Vec::new();
    match what.trusted {
        Trusted::Key(pem) => {
            let _ = writeln!(environment, "          PUBLIC_KEY: {}", expression_free(pem));
            commands
                .push(format!("cosign verify --key env://PUBLIC_KEY{flags} -o json \"$CHART\""));
        }
        Trusted::Identities(identities) => {
            for (at, identity) in identities.iter().enumerate() {
                let at = at + 1;
                let _ = writeln!(
                    environment,
                    "          IDENTITY_{at}: {}\n          ISSUER_{at}: {}",
                    expression_free(&anchored(&identity.subject)),
                    expression_free(&anchored(&identity.issuer))
                );
                commands.push(format!(
                    "cosign verify --certificate-identity-regexp \"$IDENTITY_{at}\" \
                     --certificate-oidc-issuer-regexp \"$ISSUER_{at}\"{flags} -o json \"$CHART\""
                ));
            }
        }
    }
    // Any of them will do, and each is told what it is to believe.
    let _ = writeln!(script, "          verified=$({})", commands.join(" ||\n            "));
    format!(
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
         \x20         digest=$(jq -er '.[0].critical.image[\"docker-manifest-digest\"]' <<< \"$verified\")\n\
         \x20         repository=${{CHART%%@*}}\n\
         \x20         [[ ${{repository##*/}} != *:* ]] || repository=${{repository%:*}}\n\
         \x20         echo \"digest-ref=oci://$repository@$digest\" >> \"$GITHUB_OUTPUT\"\n",
        what.unsaid(),
        quoted(&format!("Verify {name}")),
    )
}

/// A quoted value in which GitHub Actions sees no expression.
fn expression_free(text: &str) -> String {
    quoted(&text.replace("${{", "${{ '${{' }}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(identity: &str, issuer: &str) -> Identity {
        let matcher = |text: &str| Matcher::exact("--x", text).unwrap();
        Identity::new(matcher(identity), matcher(issuer))
    }

    fn trusting(identity: Identity) -> Trusted {
        Trusted::Identities(vec![identity])
    }

    fn about<'a>(repository: &'a str, trusted: &'a Trusted) -> Export<'a> {
        Export {
            repository,
            tag: Some("1.4.2"),
            digest: Digest::of(b"manifest"),
            trusted,
            private: None,
            plain_http: false,
            legacy: false,
        }
    }

    /// The documents of a configuration.
    fn documents(text: &str) -> Vec<serde_json::Value> {
        text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
    }

    const WORKFLOW: &str =
        "https://github.com/acme/charts/.github/workflows/release.yml@refs/tags/v1.4.2";
    const ACTIONS: &str = "https://token.actions.githubusercontent.com";

    #[test]
    fn flux_is_told_the_identity_as_anchored_patterns() {
        let trusted = trusting(exact(WORKFLOW, ACTIONS));
        let text = export(Consumer::Flux, &about("ghcr.io/acme/charts/web", &trusted)).unwrap();
        assert!(text.contains("passes what was signed for another chart"), "{text}");
        let documents = documents(&text);
        let spec = &documents[0]["spec"];
        assert_eq!(spec["url"], "oci://ghcr.io/acme/charts/web");
        let identity = &spec["verify"]["matchOIDCIdentity"][0];
        assert_eq!(
            identity["subject"],
            r"^https://github\.com/acme/charts/\.github/workflows/release\.yml@refs/tags/v1\.4\.2$"
        );
        assert_eq!(identity["issuer"], r"^https://token\.actions\.githubusercontent\.com$");
        let pattern = regex::Regex::new(identity["subject"].as_str().unwrap()).unwrap();
        assert!(pattern.is_match(WORKFLOW));
        assert!(!pattern.is_match(&format!("{WORKFLOW}-evil")));
        assert!(!pattern.is_match(&WORKFLOW.replace("github.com", "githubXcom")));
    }

    #[test]
    fn nothing_that_is_foreign_ends_its_value() {
        let hostile = "x\"\n  evil: true # ${{ secrets.TOKEN }} '$(id)'";
        let trusted = trusting(exact(hostile, hostile));
        for consumer in [Consumer::Flux, Consumer::Kyverno, Consumer::PolicyController] {
            let text = export(consumer, &about("ghcr.io/acme/web", &trusted)).unwrap();
            assert!(!text.contains("\n  evil: true"), "{text}");
            documents(&text);
        }
        let text = export(Consumer::GithubActions, &about("ghcr.io/acme/web", &trusted)).unwrap();
        assert!(!text.contains("\n  evil: true"), "{text}");
        assert!(!text.contains("# ${{ secrets"), "{text}");
        let workflow = &documents(&text)[0];
        let step = &workflow["jobs"]["verify"]["steps"][1];
        assert!(!step["run"].as_str().unwrap().contains("evil"));
    }

    #[test]
    fn what_a_consumer_cannot_check_is_said() {
        let forge =
            crate::verify::Forge { host: "github.com".to_owned(), issuer: ACTIONS.to_owned() };
        let identity = Identity::github("acme/charts@refs/tags/*", None, &forge).unwrap();
        let trusted = trusting(identity);
        let text = export(Consumer::Flux, &about("ghcr.io/acme/web", &trusted)).unwrap();
        assert!(text.contains("# Not expressed here, and so not checked: source ref"), "{text}");
        assert!(text.contains(r"^https://github\\.com/acme/charts/.*$"), "{text}");
    }

    #[test]
    fn names_are_labels() {
        let trusted = trusting(exact("a", "b"));
        for (repository, name) in [
            ("r.example/charts/web", "web"),
            ("r.example/charts/My_Chart.x", "my-chart-x"),
            ("r.example/___", "chart"),
        ] {
            assert_eq!(about(repository, &trusted).name(), name);
        }
        let long = format!("r.example/{}", "a".repeat(200));
        assert!(about(&long, &trusted).name().len() <= MAX_NAME);
    }

    #[test]
    fn a_key_is_carried_whole() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
        let trusted = Trusted::Key(pem.to_owned());
        let bundle = about("ghcr.io/acme/web", &trusted);
        assert!(export(Consumer::PolicyController, &bundle).is_err());
        let what = Export { legacy: true, ..bundle };
        let flux = export(Consumer::Flux, &what).unwrap();
        assert_eq!(documents(&flux)[1]["stringData"]["cosign.pub"], pem);
        for (consumer, pointer) in [
            (Consumer::Kyverno, "/spec/attestors/0/cosign/key/data"),
            (Consumer::PolicyController, "/spec/authorities/0/key/data"),
        ] {
            let text = export(consumer, &what).unwrap();
            assert_eq!(documents(&text)[0].pointer(pointer).unwrap(), pem, "{text}");
        }
    }
}
