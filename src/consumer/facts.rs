//! What is known of the signatures of a chart, as far as those who verify it decide by it.

use super::told::lies_in;
use crate::chart::shell_word;

/// What the media types of all bundle versions begin with.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// Whether a listing or a manifest with that artifact type says that it holds a bundle.
pub fn is_bundle(artifact_type: Option<&str>) -> bool {
    artifact_type.is_some_and(|kind| kind.starts_with(BUNDLE))
}

/// The form of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A Sigstore bundle, as a referrer.
    Bundle,
    /// cosign's older signature under the tag `sha256-HEX.sig`.
    Tag,
    /// The same as a referrer (cosign's OCI 1.1 experiment).
    Referrer,
}

/// What proves when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// No log: a timestamp, or nothing.
    None,
    /// Rekor v1, with its promise.
    Promise,
    /// A log without a promise: Rekor v2.
    Proof,
}

/// Where a signature is, for those who look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Where everybody looks.
    Found,
    /// The reference names an index, and it is attached to the chart in there alone.
    Inside,
    /// It is listed under the fallback tag, and the registry has the referrers API, so that nobody looks there.
    Overlooked,
    /// It is a bundle in the image under the `.sig` tag, which is of the older format.
    Misplaced,
}

/// A signature that is valid.
#[derive(Clone, Debug)]
pub struct SignatureFacts {
    /// Its form.
    pub form: Form,
    /// Where it is.
    pub spot: Spot,
    /// The artifact type that the place lists it with; none where a tag holds it.
    pub listed_type: Option<String>,
    /// The artifact type that its own manifest states.
    pub stated_type: Option<String>,
    /// The kind of statement, by the annotation of its manifest.
    pub predicate_annotation: Option<String>,
    /// Identity and issuer of its certificate; none for a key.
    pub identity: Option<(String, String)>,
    /// The repository that was built, by its certificate.
    pub source: Option<String>,
    /// The same as `OWNER/REPO` in GitHub's old extension, the only one that cosign compares.
    pub workflow_repository: Option<String>,
    /// What proves its time.
    pub log: Log,
    /// Whether a certificate log vouches for the certificate.
    pub sct: Option<bool>,
}

impl SignatureFacts {
    pub(super) fn by_key(&self) -> bool {
        self.identity.is_none()
    }

    /// Whether others sign by the same name: it does not lie in the repository that was built.
    pub(super) fn is_shared(&self) -> bool {
        let named = self.identity.as_ref().zip(self.source.as_deref());
        named.is_some_and(|((name, _), source)| !lies_in(name, source))
    }
}

/// What is known of a chart.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The chart for our own commands.
    pub reference: &'a str,
    /// Flags that our own commands need beside, with a space before each.
    pub flags: &'a str,
    /// `HOST/PATH@DIGEST`, for everybody else.
    pub image: &'a str,
    /// The valid signatures.
    pub signatures: &'a [SignatureFacts],
    /// What refers to what the reference names, of whatever kind.
    pub listed: usize,
    /// Bundles among them that can be read, of whatever kind: what cannot is no bundle for most.
    pub bundles: usize,
    /// Bundles among them that say something else than that the chart is signed.
    pub attestations: usize,
    /// What has the type of a bundle among them, and is no valid signature of anybody and no attestation, be it that it
    /// cannot be read.
    pub unsound: usize,
    /// What is listed with the type of a bundle, and is none that can be read.
    pub broken: usize,
    /// Signatures under the `.sig` tag, be they valid or not.
    pub tagged: usize,
    /// Whether the index under the fallback tag has faults.
    pub faults: bool,
    /// Whether it is another Sigstore than the public-good one.
    pub private: bool,
    /// The trusted root that was named for it.
    pub trusted_root: Option<&'a str>,
    /// The repository of the signatures, `HOST/PATH`, where it is not the chart's own.
    pub elsewhere: Option<&'a str>,
    /// Whether a place or a candidate stayed open.
    pub open: bool,
}

/// What those find who look at bundles first, and at the older format only where there is no bundle at all.
pub(super) enum First<'a> {
    Bundle(&'a SignatureFacts),
    /// Bundles, and none of them a valid signature.
    Unsound,
    /// Bundles, and some of them say something else.
    Attestations,
    Legacy(&'a SignatureFacts),
    Nothing,
}

impl<'a> Facts<'a> {
    /// The valid signatures of that form on what the reference names, those with a promise first.
    pub(super) fn of(&self, form: Form) -> Vec<&'a SignatureFacts> {
        let mut found: Vec<_> = self
            .signatures
            .iter()
            .filter(|one| one.spot == Spot::Found && one.form == form)
            .collect();
        found.sort_by_key(|one| one.log != Log::Promise);
        found
    }

    /// The best of them.
    pub(super) fn best(&self, form: Form) -> Option<&'a SignatureFacts> {
        self.of(form).into_iter().next()
    }

    pub(super) fn first(&self) -> First<'a> {
        if let Some(bundle) = self.best(Form::Bundle) {
            return First::Bundle(bundle);
        }
        match (self.bundles, self.attestations, self.best(Form::Tag)) {
            (0, _, Some(legacy)) => First::Legacy(legacy),
            (0, _, None) => First::Nothing,
            (_, 0, _) => First::Unsound,
            (_, _, _) => First::Attestations,
        }
    }

    /// The command that signs in that format.
    pub(super) fn sign(&self, format: &str) -> String {
        let by_key =
            !self.signatures.is_empty() && self.signatures.iter().all(SignatureFacts::by_key);
        let key = if by_key { " --key cosign.key" } else { "" };
        // A log without promises proves nothing to those who read the older format.
        let unpromised = self.signatures.iter().any(|one| one.log == Log::Proof);
        let log = match format {
            "bundle" => "",
            _ if unpromised => " --rekor-version 1",
            _ => "",
        };
        let Self { reference, flags, .. } = self;
        format!("helm sigstore sign {reference} --signature-format {format}{key}{log}{flags}")
    }

    /// The command that mends the index under the fallback tag.
    pub(super) fn repair(&self) -> String {
        format!("helm sigstore doctor {} --repair{}", self.reference, self.flags)
    }

    /// The command that verifies it for those who do not, by one of its valid signatures.
    pub fn verify(&self) -> Option<String> {
        let one = self.signatures.first()?;
        let signer = match &one.identity {
            Some((identity, issuer)) => format!(
                "--certificate-identity {} --certificate-oidc-issuer {}",
                shell_word(identity),
                shell_word(issuer)
            ),
            None => "--key cosign.pub".to_owned(),
        };
        let root = match self.trusted_root {
            Some(root) => format!(" --trusted-root {}", shell_word(root)),
            None => String::new(),
        };
        let Self { reference, flags, .. } = self;
        Some(format!("helm sigstore verify {reference} {signer}{flags}{root}"))
    }

    /// The command that prints the configuration of a consumer.
    pub(super) fn export(&self, consumer: &str, key: bool) -> String {
        let key = if key { " --key cosign.pub" } else { "" };
        let Self { reference, flags, .. } = self;
        format!("helm sigstore policy export {consumer} {reference}{key}{flags}")
    }
}
