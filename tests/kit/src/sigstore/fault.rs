//! Misbehaviour on demand: one row per thing that a service can do wrong.

use std::sync::Mutex;
use std::time::Duration;

use super::http::lock;

/// The services of the instance, each on its own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Identity provider.
    Oidc,
    /// Certificate authority.
    Fulcio,
    /// Certificate transparency log.
    Ct,
    /// Transparency log, version 1.
    RekorV1,
    /// Transparency log, version 2 (tiles).
    RekorV2,
    /// Timestamp authority.
    Tsa,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 6] =
        [Self::Oidc, Self::Fulcio, Self::Ct, Self::RekorV1, Self::RekorV2, Self::Tsa];

    /// The name on the command line and in environment variables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Fulcio => "fulcio",
            Self::Ct => "ct",
            Self::RekorV1 => "rekor-v1",
            Self::RekorV2 => "rekor-v2",
            Self::Tsa => "tsa",
        }
    }

    /// The service with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

/// What a service does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers every request after this time, correctly.
    Delay(Service, Duration),
    /// Takes every request and never answers.
    Hang(Service),
    /// Answers every request with this status and the service's usual error document.
    Status(Service, u16),
    /// Answers every request with 429 and `Retry-After` in seconds.
    Throttle(Service, u32),
    /// Answers every request with 200 and a body that is no document of this service.
    Garbage(Service),

    /// Identity provider: the discovery document names the issuer with a slash at its end.
    AnotherIssuer,
    /// Identity provider: it gives no codes for devices.
    NoDevices,
    /// Identity provider: it knows PKCE in plain text only.
    NoPkce,
    /// Identity provider: its token endpoint is the metadata server of the machine.
    EndpointElsewhere,
    /// Identity provider: the browser comes back with another state.
    WrongState,
    /// Identity provider: the browser comes back in the name of another issuer.
    MixedUpIssuer,
    /// Identity provider: the person said no.
    AccessDenied,
    /// Identity provider: the token holds another nonce.
    WrongTokenNonce,
    /// Identity provider: the token is another issuer's.
    WrongTokenIssuer,
    /// Identity provider: clients that wait for a device are told to slow down.
    SlowDown,
    /// Identity provider: tokens last for 2 seconds, and codes for devices for one.
    ShortLife,

    /// Fulcio: the certificate is for another key than the one asked for.
    CertificateForAnotherKey,
    /// Fulcio: the certificate names somebody else.
    CertificateForAnotherSubject,
    /// Fulcio: the certificate names somebody else too, in second place.
    CertificateWithSecondSubject,
    /// Fulcio: the deprecated extension of this number contradicts its successor.
    ContradictoryExtension(u32),
    /// Fulcio: the certificate has only the deprecated extensions, as those of old had.
    OnlyDeprecatedExtensions,
    /// Fulcio: no certificate timestamp is embedded.
    NoSct,
    /// Fulcio: the certificate timestamp is by a log that is not in the trusted root.
    SctByUnknownLog,

    /// Rekor: logs the entry, but answers 409, as if it had been there before.
    Duplicate(Service),
    /// Rekor: answers 409 and points at an entry of somebody else.
    DuplicateOfAnother(Service),
    /// Rekor: answers with a valid entry, but for other data by another key.
    EntryForAnother(Service),
    /// Rekor v1: the signed entry timestamp does not verify.
    WrongSet,
    /// Rekor: the checkpoint's signature does not verify.
    WrongCheckpoint(Service),
    /// Rekor: the inclusion proof does not lead to the checkpoint's root.
    WrongInclusionProof(Service),
    /// Rekor v1: whoever reads or searches it is told something else.
    LogLies(LogLie),

    /// Timestamp authority: another nonce than the one asked for.
    WrongNonce,
    /// Timestamp authority: a timestamp over another digest.
    WrongImprint,
    /// Timestamp authority: signed by a certificate that is not in the trusted root.
    TimestampByUnknownAuthority,
    /// Timestamp authority: a correct timestamp with 200 instead of 201.
    TimestampWith200,
}

/// What a log of version 1 tells whoever reads or searches it, in place of what it has. One that lies about its index,
/// or misses it, finds entries under their whole identifiers only, with the tree in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLie {
    /// Another entry than the one asked for, under its own identifier.
    AnotherEntry,
    /// Another entry, under the identifier of the one asked for.
    WrongIdentifier,
    /// The entry without its signed entry timestamp.
    NoPromise,
    /// The entry without its inclusion proof.
    NoProof,
    /// A signed entry timestamp over another entry.
    WrongPromise,
    /// A proof that leads to another root.
    WrongProof,
    /// A checkpoint whose signature does not verify.
    WrongCheckpoint,
    /// The entry as another log proves it, with that log's key.
    AnotherLog,
    /// An index that names 150 entries of others too.
    ManyOthers,
    /// An index that names an entry about something else.
    IndexOfAnother,
    /// An index with more identifiers than anybody reads.
    EndlessIndex,
    /// An index that names an entry that is not there too.
    IndexOfMissing,
    /// An index whose identifiers are paths.
    IndexOfPaths,
    /// Nothing but that.
    WholeIdentifiers,
}

impl LogLie {
    /// Whether an entry is found by the hash of its content alone.
    pub(crate) fn finds_by_hash(self) -> bool {
        !matches!(
            self,
            Self::ManyOthers
                | Self::IndexOfAnother
                | Self::EndlessIndex
                | Self::IndexOfMissing
                | Self::IndexOfPaths
                | Self::WholeIdentifiers
        )
    }
}

impl Fault {
    /// The service that misbehaves.
    pub fn service(&self) -> Service {
        match self {
            Self::Delay(service, _)
            | Self::Hang(service)
            | Self::Status(service, _)
            | Self::Throttle(service, _)
            | Self::Garbage(service)
            | Self::Duplicate(service)
            | Self::DuplicateOfAnother(service)
            | Self::EntryForAnother(service)
            | Self::WrongCheckpoint(service)
            | Self::WrongInclusionProof(service) => *service,
            Self::AnotherIssuer
            | Self::NoDevices
            | Self::NoPkce
            | Self::EndpointElsewhere
            | Self::WrongState
            | Self::MixedUpIssuer
            | Self::AccessDenied
            | Self::WrongTokenNonce
            | Self::WrongTokenIssuer
            | Self::SlowDown
            | Self::ShortLife => Service::Oidc,
            Self::CertificateForAnotherKey
            | Self::CertificateForAnotherSubject
            | Self::CertificateWithSecondSubject
            | Self::ContradictoryExtension(_)
            | Self::OnlyDeprecatedExtensions
            | Self::NoSct
            | Self::SctByUnknownLog => Service::Fulcio,
            Self::WrongSet | Self::LogLies(_) => Service::RekorV1,
            Self::WrongNonce
            | Self::WrongImprint
            | Self::TimestampByUnknownAuthority
            | Self::TimestampWith200 => Service::Tsa,
        }
    }

    /// Whether reads are concerned too. What is wrong with an answer's content concerns only what is asked for by POST.
    fn concerns(&self, method: &str) -> bool {
        let any_request = matches!(
            self,
            Self::Delay(..)
                | Self::Hang(_)
                | Self::Status(..)
                | Self::Throttle(..)
                | Self::Garbage(_)
                | Self::LogLies(_)
        );
        any_request || self.service() == Service::Oidc || method == "POST"
    }
}

struct Active {
    fault: Fault,
    /// How many requests it still spoils; `None` for all.
    remaining: Option<u32>,
}

/// The faults in force, one a service at most.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Active>>);

impl Faults {
    /// Puts a fault in force in place of an earlier one of the same service.
    pub(crate) fn set(&self, fault: Fault, remaining: Option<u32>) {
        let mut active = lock(&self.0);
        active.retain(|other| other.fault.service() != fault.service());
        active.push(Active { fault, remaining });
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// The fault that spoils this request, if any.
    pub(crate) fn take(&self, service: Service, method: &str) -> Option<Fault> {
        let mut active = lock(&self.0);
        let found = active.iter_mut().find(|active| {
            active.fault.service() == service
                && active.fault.concerns(method)
                && active.remaining != Some(0)
        })?;
        if let Some(remaining) = &mut found.remaining {
            *remaining = remaining.saturating_sub(1);
        }
        Some(found.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_ends_by_itself() {
        let faults = Faults::default();
        faults.set(Fault::Status(Service::Tsa, 500), Some(1));
        assert!(faults.take(Service::RekorV1, "POST").is_none());
        assert!(faults.take(Service::Tsa, "POST").is_some());
        assert!(faults.take(Service::Tsa, "POST").is_none());
    }

    #[test]
    fn faults_in_content_leave_reads_alone() {
        let faults = Faults::default();
        faults.set(Fault::Duplicate(Service::RekorV1), None);
        assert!(faults.take(Service::RekorV1, "GET").is_none());
        assert!(faults.take(Service::RekorV1, "POST").is_some());
    }

    #[test]
    fn a_later_fault_replaces_the_service_s_earlier_one() {
        let faults = Faults::default();
        faults.set(Fault::WrongNonce, None);
        faults.set(Fault::WrongImprint, None);
        assert_eq!(faults.take(Service::Tsa, "POST"), Some(Fault::WrongImprint));
    }
}
