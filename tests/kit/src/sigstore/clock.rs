//! The instance's clock, which a test may set apart from the verifier's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::DateTime;

use super::error::Result;

/// Time as the issuing services see it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_seconds: AtomicI64,
}

impl Clock {
    pub(crate) fn set_offset(&self, seconds: i64) {
        self.offset_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Milliseconds since 1970 of the issuing services.
    pub(crate) fn milliseconds(&self) -> u64 {
        let offset = self.offset_seconds.load(Ordering::Relaxed).saturating_mul(1000);
        wall_milliseconds().saturating_add_signed(offset)
    }

    /// Whole seconds since 1970 of the issuing services.
    pub(crate) fn seconds(&self) -> u64 {
        self.milliseconds() / 1000
    }
}

fn wall_milliseconds() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds since 1970 of the machine: what identity tokens live by, offset or not.
pub(crate) fn wall_seconds() -> u64 {
    wall_milliseconds() / 1000
}

/// `seconds` since 1970 as a calendar date.
pub(crate) fn date(seconds: u64) -> Result<DateTime> {
    Ok(DateTime::from_unix_duration(Duration::from_secs(seconds))?)
}
