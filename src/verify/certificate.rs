//! What a Fulcio certificate says of its holder: one name, and the claims of the token behind it.
//!
//! Read only beside a successful verification; until then a certificate is a stranger's text.

use std::collections::{BTreeMap, BTreeSet};

use const_oid::ObjectIdentifier;
use der::Decode;
use sigstore_types::DerCertificate;
use sigstore_verify::crypto::x509::FulcioCiClaims;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::error::{Error, Reason, Result};

/// The name of a user in another name space (Fulcio's `username` issuers, `oid-info.md` number 7).
const FULCIO_USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// What kind of name a certificate bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// An e-mail address (`rfc822Name`).
    Email,
    /// A URI: a workflow, or a SPIFFE identity.
    Uri,
    /// A user name, `SUBJECT!DOMAIN` (`otherName`).
    Username,
}

/// A claim that Fulcio copies from the token into an extension (`oid-info.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Build signer URI (.9).
    BuildSigner,
    /// Build trigger (.20).
    BuildTrigger,
    /// Runner environment (.11).
    RunnerEnvironment,
    /// Source repository digest (.13).
    SourceDigest,
    /// Source repository ref (.14).
    SourceRef,
    /// Source repository URI (.12).
    SourceRepository,
    /// GitHub workflow name (.4, deprecated).
    WorkflowName,
    /// GitHub workflow ref (.6, deprecated).
    WorkflowRef,
    /// GitHub workflow repository (.5, deprecated).
    WorkflowRepository,
    /// GitHub workflow SHA (.3, deprecated).
    WorkflowSha,
    /// GitHub workflow trigger (.2, deprecated).
    WorkflowTrigger,
}

impl Claim {
    /// The claim in the words of Fulcio's table.
    pub fn words(self) -> &'static str {
        match self {
            Self::BuildSigner => "build signer",
            Self::BuildTrigger => "build trigger",
            Self::RunnerEnvironment => "runner environment",
            Self::SourceDigest => "source digest",
            Self::SourceRef => "source ref",
            Self::SourceRepository => "source repository",
            Self::WorkflowName => "workflow name",
            Self::WorkflowRef => "workflow ref",
            Self::WorkflowRepository => "workflow repository",
            Self::WorkflowSha => "workflow sha",
            Self::WorkflowTrigger => "workflow trigger",
        }
    }
}

/// The claims of one certificate. One that is absent or cannot be read is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<Claim, String>);

impl Claims {
    pub(super) fn read(from: &FulcioCiClaims) -> Self {
        let old = &from.deprecated_github;
        let table = [
            (Claim::BuildSigner, &from.build_signer_uri),
            (Claim::BuildTrigger, &from.build_trigger),
            (Claim::RunnerEnvironment, &from.runner_environment),
            (Claim::SourceDigest, &from.source_repository_digest),
            (Claim::SourceRef, &from.source_repository_ref),
            (Claim::SourceRepository, &from.source_repository_uri),
            (Claim::WorkflowName, &old.workflow_name),
            (Claim::WorkflowRef, &old.workflow_ref),
            (Claim::WorkflowRepository, &old.workflow_repository),
            (Claim::WorkflowSha, &old.workflow_sha),
            (Claim::WorkflowTrigger, &old.workflow_trigger),
        ];
        table.into_iter().filter_map(|(claim, text)| Some((claim, text.clone()?))).collect()
    }

    /// What the certificate claims.
    pub fn value(&self, claim: Claim) -> Option<&str> {
        self.0.get(&claim).map(String::as_str)
    }
}

impl FromIterator<(Claim, String)> for Claims {
    fn from_iter<T: IntoIterator<Item = (Claim, String)>>(claims: T) -> Self {
        Self(claims.into_iter().collect())
    }
}

/// The one name that a certificate bears; nothing where it is of a kind that Fulcio does not issue.
///
/// # Errors
/// Refused (`bad-signature`), when the certificate bears several names or repeats an extension: readers
/// that take the first and readers that take the last would see two different signers.
pub fn holder(leaf: &DerCertificate) -> Result<Option<(NameKind, String)>> {
    holder_of(&parse(leaf)?)
}

pub(super) fn wrong(cause: String) -> Error {
    Error::refused(Reason::BadSignature, "certificate does not verify").cause(cause)
}

/// Parses a certificate.
///
/// # Errors
/// Refused (`bad-signature`), when it is none.
pub(super) fn parse(leaf: &DerCertificate) -> Result<Certificate> {
    Certificate::from_der(leaf.as_bytes()).map_err(|error| wrong(error.to_string()))
}

/// As [`holder`], of a certificate that is parsed.
pub(super) fn holder_of(leaf: &Certificate) -> Result<Option<(NameKind, String)>> {
    let mut seen = BTreeSet::new();
    for extension in leaf.tbs_certificate.extensions.iter().flatten() {
        if !seen.insert(extension.extn_id) {
            return Err(wrong(format!("it has the extension {} twice", extension.extn_id)));
        }
    }
    let names = leaf.tbs_certificate.get::<SubjectAltName>();
    let Some((_, SubjectAltName(names))) = names.map_err(|error| wrong(error.to_string()))? else {
        return Ok(None);
    };
    let name = match names.as_slice() {
        [] => return Ok(None),
        [name] => name,
        several => {
            return Err(wrong(format!(
                "it bears {} names, where Fulcio issues one: whose signature it is cannot be told",
                several.len()
            )));
        }
    };
    Ok(match name {
        GeneralName::Rfc822Name(address) => Some((NameKind::Email, address.to_string())),
        GeneralName::UniformResourceIdentifier(uri) => Some((NameKind::Uri, uri.to_string())),
        GeneralName::OtherName(other) if other.type_id == FULCIO_USERNAME => {
            let name = other
                .value
                .decode_as::<String>()
                .map_err(|error| wrong(format!("its user name cannot be read: {error}")))?;
            Some((NameKind::Username, name))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, OtherNameValue, SanType};

    use super::*;

    const USERNAME: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 7];

    fn leaf(change: impl FnOnce(&mut CertificateParams)) -> DerCertificate {
        let mut params = CertificateParams::default();
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        DerCertificate::new(certificate.der().to_vec())
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn named(names: Vec<SanType>) -> Result<Option<(NameKind, String)>> {
        holder(&leaf(|params| params.subject_alt_names = names))
    }

    #[test]
    fn reads_the_one_name_of_each_kind_that_fulcio_issues() {
        let email = SanType::Rfc822Name("jane@example.com".try_into().unwrap());
        let user = |oid: &[u64]| {
            let value = OtherNameValue::Utf8String("jane!example.com".to_owned());
            SanType::OtherName((oid.to_vec(), value))
        };
        for (name, expected) in [
            (email, Some((NameKind::Email, "jane@example.com"))),
            (uri("spiffe://acme/x"), Some((NameKind::Uri, "spiffe://acme/x"))),
            (user(&USERNAME), Some((NameKind::Username, "jane!example.com"))),
            // Another type of the same form says nothing that is known here.
            (user(&[1, 3, 6, 1, 4, 1, 57264, 1, 8]), None),
            (SanType::DnsName("example.com".try_into().unwrap()), None),
        ] {
            let expected = expected.map(|(kind, text)| (kind, text.to_owned()));
            assert_eq!(named(vec![name]).unwrap(), expected);
        }
        assert_eq!(named(Vec::new()).unwrap(), None);
    }

    #[test]
    fn a_second_name_hides_behind_no_first_one() {
        let dns = SanType::DnsName("example.com".try_into().unwrap());
        for second in [uri("https://mallory.example/"), dns] {
            let error = named(vec![uri("https://acme.example/"), second]).unwrap_err();
            assert_eq!(error.reason, Reason::BadSignature);
            assert!(error.to_string().contains("bears 2 names"), "{error}");
        }
    }

    #[test]
    fn refuses_an_extension_that_stands_twice() {
        let twice = leaf(|params| {
            for text in [b"one", b"two"] {
                let extension = CustomExtension::from_oid_content(
                    &[1, 3, 6, 1, 4, 1, 57264, 1, 6],
                    text.to_vec(),
                );
                params.custom_extensions.push(extension);
            }
        });
        let error = holder(&twice).unwrap_err();
        assert!(error.to_string().contains("1.3.6.1.4.1.57264.1.6 twice"), "{error}");
        assert!(holder(&DerCertificate::new(vec![1, 2, 3])).is_err());
    }
}
