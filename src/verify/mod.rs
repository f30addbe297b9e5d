//! Pure verification: bytes, trust and time in, verdict out.
//!
//! Nothing here reads a file, a socket, the environment or (but for the Sigstore crate's own
//! comparison, which can only refuse more) a clock. Every format is turned into a [`Bundle`] and goes
//! through the one [`Verifier`]; only it can make a [`Verified`].

mod against;
mod bundle;
mod certificate;
mod claimed;
mod coverage;
mod deprecated;
mod entry_content;
mod first_use;
mod identity;
mod key;
mod legacy;
mod legacy_attestation;
mod logged;
mod matcher;
mod pattern;
mod policy;
mod policy_file;
mod predicate;
mod provenance;
mod public_key;
mod refusal;
mod remembered;
mod rule;
mod signer;
mod sought;
mod spelled;
mod statement;
mod trust_root;
mod verifier;
mod yaml_text;

pub use bundle::{Bundle, MAX_BUNDLE_BYTES};
pub use certificate::{Claim, Claims, NameKind, holder};
pub use claimed::ClaimedSigner;
pub use coverage::{Covered, Match, NamedVersion, Question, Target, VersionCheck};
pub use entry_content::{EntryContent, EntrySigner, HelmEntry};
pub use first_use::{first_use, trusting};
pub use identity::{CONSTRAINTS, Constraint, Forge, GITHUB, GITLAB, GOOGLE_ISSUER, Identity};
pub use legacy::{
    CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, LOG_ANNOTATION, LegacySignature, MAX_PAYLOAD_BYTES,
    SIGNATURE_ANNOTATION, SIGNATURE_TYPE, SIMPLE_SIGNING, TIMESTAMP_ANNOTATION,
};
pub use legacy_attestation::{DSSE_ENVELOPE, LegacyAttestation};
pub use logged::{UnverifiedEntry, is_entry_id};
pub use matcher::Matcher;
pub use pattern::{RepositoryPattern, normal_host};
pub use policy::Policy;
pub use policy_file::{MAX_POLICY_BYTES, NamedRule, PolicyFile, RuleProvenance, RuleTrust};
pub use predicate::{COSIGN_CUSTOM_PREDICATE, MAX_PREDICATE_BYTES, predicate_type};
pub use provenance::{
    Keyring, MAX_KEYRING_BYTES, MAX_PROVENANCE_BYTES, ProvMode, UnverifiedProvenance,
    VerifiedProvenance, verify_provenance,
};
pub use public_key::{LogCheck, PublicKey, TrustedKey};
pub use rule::Rule;
pub use signer::Signer;
pub use sought::SoughtEntry;
pub use spelled::Spelled;
pub use statement::{
    COSIGN_SIGN_PREDICATE, PAYLOAD_TYPE, Statement, StatementSubject, SubjectKind,
    TITLE_ANNOTATION, VERSION_ANNOTATION,
};
pub use trust_root::{RootName, TrustRoot};
pub use verifier::{Artifact, Judgement, LogRecord, Stage, Verified, Verifier};
pub use yaml_text::{yaml_comment, yaml_scalar};
