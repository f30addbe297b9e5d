//! What all services of one instance share, and who answers what.

use std::sync::Mutex;

use super::Options;
use super::clock::{Clock, wall_seconds};
use super::ct::CtLog;
use super::error::Result;
use super::fault::{Faults, Service};
use super::fulcio::{self, Fulcio};
use super::http::{Call, Reply, Request};
use super::oidc::Provider;
use super::rekor_v1::{self, RekorV1};
use super::rekor_v2::RekorV2;
use super::tsa::Tsa;

/// Keys and authorities are valid from so long before the start, so that a test may set the clock back.
const VALID_BEFORE_SECONDS: u64 = 400 * 24 * 3600;
/// And for so long after it.
const VALID_AFTER_SECONDS: u64 = 3650 * 24 * 3600;

/// One Sigstore.
pub(crate) struct Instance {
    pub(crate) options: Options,
    pub(crate) valid_from: u64,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) requests: Mutex<Vec<Request>>,
    pub(crate) oidc: Provider,
    pub(crate) fulcio: Fulcio,
    pub(crate) ct: CtLog,
    pub(crate) rekor_v1: RekorV1,
    pub(crate) rekor_v2: RekorV2,
    pub(crate) tsa: Tsa,
    urls: Vec<(Service, String)>,
}

impl Instance {
    /// Fresh keys and empty logs for services at these URLs.
    pub(crate) fn new(options: Options, urls: Vec<(Service, String)>) -> Result<Self> {
        let now = wall_seconds();
        let valid_from = now.saturating_sub(VALID_BEFORE_SECONDS);
        let valid_until = now.saturating_add(VALID_AFTER_SECONDS);
        let oidc_url = urls.iter().find(|(service, _)| *service == Service::Oidc);
        let earlier = options.earlier_entries;
        Ok(Self {
            options,
            valid_from,
            clock: Clock::default(),
            faults: Faults::default(),
            requests: Mutex::default(),
            oidc: Provider::new(oidc_url.map(|(_, url)| url.clone()).unwrap_or_default())?,
            fulcio: Fulcio::new(valid_from, valid_until)?,
            ct: CtLog::new()?,
            rekor_v1: RekorV1::new(earlier, now)?,
            rekor_v2: RekorV2::new(earlier)?,
            tsa: Tsa::new(valid_from, valid_until)?,
            urls,
        })
    }

    /// The base URL of a service.
    pub(crate) fn url(&self, service: Service) -> &str {
        self.urls.iter().find(|(one, _)| *one == service).map_or("", |(_, url)| url)
    }

    pub(crate) fn answer(&self, service: Service, call: &Call) -> Reply {
        match service {
            Service::Oidc => self.oidc.answer(call),
            Service::Fulcio => self.fulcio.answer(call, &self.oidc, &self.ct, &self.clock),
            Service::Ct => self.ct.answer(call, self.clock.milliseconds()),
            Service::RekorV1 => self.rekor_v1.answer(call, self.clock.seconds()),
            Service::RekorV2 => self.rekor_v2.answer(call),
            Service::Tsa => self.tsa.answer(call, self.clock.seconds()),
        }
    }

    /// A failure as this service words it.
    pub(crate) fn failure(&self, service: Service, status: u16) -> Reply {
        let message = match (service, status) {
            (Service::Fulcio, 401) => "There was an error processing the identity token",
            (Service::Fulcio, 500) => "error creating certificate",
            (Service::RekorV1, 500) => "unexpected error communicating with transparency log",
            (_, 429) => "too many requests",
            _ => "the service fails as asked",
        };
        match service {
            Service::Fulcio | Service::RekorV2 => fulcio::failure(status, message),
            Service::RekorV1 => rekor_v1::failure(status, message),
            Service::Oidc | Service::Ct | Service::Tsa => Reply::text(status, message),
        }
    }
}
