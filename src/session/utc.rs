//! Wall-clock time for people. Nothing is ever computed from it: LSL time and the monotonic clock are for that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::digest::sha256_hex;

/// `time` as `2026-11-23T16:07:20.123Z` (ISO 8601, UTC, milliseconds). Times before 1970 print as 1970.
#[must_use]
pub fn utc_of(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        since.subsec_millis()
    )
}

/// A new session's identity: `20261123T160720Z-1a2b3c4d`. The last part keeps two sessions of one second apart.
#[must_use]
pub fn new_session_id(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let digest = sha256_hex(format!("{} {}", since.as_nanos(), std::process::id()).as_bytes());
    let date: String = utc_of(time)
        .chars()
        .take(19)
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    format!("{date}Z-{}", digest.get(..8).unwrap_or(&digest))
}

/// Year, month and day of a count of days since 1970-01-01, in the proleptic Gregorian calendar.
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`, for days from 1970 on.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_gnu_date() {
        // `date -u -d @N +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc_of(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn two_sessions_of_one_second_have_different_names() {
        let base = UNIX_EPOCH + Duration::from_secs(951_782_400);
        let (a, b) = (
            new_session_id(base),
            new_session_id(base + Duration::from_millis(1)),
        );
        assert!(a.starts_with("20000229T000000Z-") && a.len() == 25, "{a}");
        assert_ne!(a, b);
    }
}
