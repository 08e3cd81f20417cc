//! Time: a monotonic timestamp in 8 bytes, small enough to store several for each client, and RFC 3339 text.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The instant of timestamp 0.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A point in time in 8 bytes: nanoseconds since this process first used the clock. Monotonic, like [`Instant`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The current time.
    pub fn now() -> Self {
        Timestamp(START.elapsed().as_nanos() as u64)
    }

    /// Nanoseconds since timestamp 0.
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since timestamp 0.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The time since this timestamp; zero if it is in the future.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().0.saturating_sub(self.0))
    }

    /// The same point in time as an [`Instant`].
    pub fn instant(self) -> Instant {
        *START + Duration::from_nanos(self.0)
    }

    /// The same point in time by the system clock. The result is computed from the clock's current value, so it changes
    /// when the clock is set.
    pub fn to_system_time(self) -> SystemTime {
        SystemTime::now() - self.elapsed()
    }
}

/// Formats a time as RFC 3339 in UTC, with milliseconds. Times before 1970 are formatted as 1970-01-01.
pub fn rfc_3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let Date { year, month, day } = civil_date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// A calendar date; month and day count from 1.
struct Date {
    year: u64,
    month: u64,
    day: u64,
}

/// The date `days` days after 1970-01-01 in the proleptic Gregorian calendar, by Howard Hinnant's `civil_from_days`:
/// its years begin in March, so that the leap day is the last day.
fn civil_date(days: u64) -> Date {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    Date { year: era * 400 + year_of_era + u64::from(month <= 2), month, day }
}

/// The days from 1970-01-01 to a date, by Howard Hinnant's `days_from_civil`, the inverse of [`civil_date`].
pub fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_time_is_formatted_as_rfc_3339() {
        let at = |seconds| rfc_3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.000Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00.000Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59.000Z");
    }

    #[test]
    fn days_since_epoch_is_the_inverse_of_civil_date() {
        for days in (0..60_000).step_by(7) {
            let Date { year, month, day } = civil_date(days);
            assert_eq!(days_since_epoch(year as i64, month as i64, day as i64), days as i64);
        }
    }

    #[test]
    fn timestamp_converts_to_instant_and_system_time() {
        let (before, timestamp, after) = (Instant::now(), Timestamp::now(), Instant::now());
        assert!(before <= timestamp.instant() && timestamp.instant() <= after);
        assert!(timestamp.to_system_time() <= SystemTime::now() && timestamp <= Timestamp::now());
    }
}
