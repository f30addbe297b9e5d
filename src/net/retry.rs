//! What is asked again, and after how long.

use std::time::Duration;

use jiff::Timestamp;
use rand_core::{OsRng, RngCore};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest pause that a server may ask for; a longer one ends the attempt at once.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// How often an answer with `status` may be followed by another attempt, up to `max` times.
pub(super) fn attempts_after(status: StatusCode, max: u32) -> u32 {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => max,
        StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::GATEWAY_TIMEOUT => max.min(2),
        _ => 0,
    }
}

/// The pause before attempt number `attempt + 1` (counted from 0): doubled each time, with jitter so that
/// a thousand clients which failed together do not come back together.
pub(super) fn backoff(base: Duration, attempt: u32) -> Duration {
    let full = base.saturating_mul(1 << attempt.min(6));
    let mut noise = [0_u8; 2];
    // Without randomness the pause is merely the same for everybody.
    let _ = OsRng.try_fill_bytes(&mut noise);
    full / 2 + full.mul_f64(f64::from(u16::from_le_bytes(noise)) / f64::from(u16::MAX) / 2.0)
}

/// What a `Retry-After` header asks for, in either of its forms (RFC 9110 section 10.2.3).
///
/// A date is measured against the server's own `Date` when it sent one, so that a wrong clock here does
/// not turn seconds into days.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number holds are still "much later".
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let then = http_date(text)?;
    let now = headers
        .get(DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(http_date)
        .unwrap_or_else(Timestamp::now);
    Some(Duration::from_secs(u64::try_from(then.as_second() - now.as_second()).unwrap_or(0)))
}

fn http_date(text: &str) -> Option<Timestamp> {
    if text.len() > 64 {
        return None;
    }
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn reads_both_forms_of_retry_after() {
        let ask = |value: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_str(date).unwrap());
            }
            retry_after(&headers).map(|d| d.as_secs())
        };
        let date = Some("Sun, 22 Nov 2026 08:49:37 GMT");
        assert_eq!(ask("7", None), Some(7));
        assert_eq!(ask(" 0 ", None), Some(0));
        assert_eq!(ask("99999999999999999999999", None), Some(u64::MAX));
        assert_eq!(ask("Sun, 22 Nov 2026 08:50:00 GMT", date), Some(23));
        assert_eq!(ask("Sun, 22 Nov 2026 08:49:00 GMT", date), Some(0));
        assert_eq!(ask("Sun, 06 Nov 1994 08:49:37 GMT", None), Some(0));
        for nonsense in ["soon", "-1", "1.5", "", "Sun, 99 Nov 2026 08:50:00 GMT"] {
            assert_eq!(ask(nonsense, date), None, "{nonsense}");
        }
    }

    #[test]
    fn backs_off_within_bounds() {
        let base = Duration::from_millis(200);
        for attempt in 0..40 {
            let full = base * (1 << attempt.min(6));
            let pause = backoff(base, attempt);
            assert!(pause >= full / 2 && pause <= full, "{attempt}: {pause:?}");
        }
    }

    #[test]
    fn repeats_only_what_may_pass() {
        for (status, attempts) in [(429, 3), (503, 3), (500, 2), (502, 2), (504, 2)] {
            assert_eq!(attempts_after(StatusCode::from_u16(status).unwrap(), 3), attempts);
        }
        for status in [200, 301, 400, 401, 403, 404, 409, 501] {
            assert_eq!(attempts_after(StatusCode::from_u16(status).unwrap(), 3), 0);
        }
    }
}
