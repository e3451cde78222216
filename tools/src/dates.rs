//! Days, months and times, in UTC: what Kafka's tools print and take. Knows nothing of zones.

use std::fmt::Write;

pub use client::clock::now_ms;
use protocol::ids::TimestampMs;

const DAY_MS: i64 = 86_400_000;

/// Days from 1970-01-01 (Howard Hinnant's civil calendar arithmetic).
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from 1970. Years are taken to begin in March, so that a
/// leap day is the last of its year.
fn civil(day: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097; // 400 years
    let shifted = day + 719_468; // from 0000-03-01
    let (era, in_era) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next, month, day)
}

/// A time as Java's `SimpleDateFormat` writes it, of whose letters y, M, d, H, m, s and S are
/// known; text between quotes stands for itself.
pub fn formatted(pattern: &str, time_ms: TimestampMs) -> String {
    let (day, ms) = (time_ms.div_euclid(DAY_MS), time_ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(day);
    let mut out = String::new();
    let mut letters = pattern.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            quoted = !quoted;
            continue;
        }
        let value = match letter {
            'y' => year,
            'M' => month,
            'd' => day,
            'H' => ms / 3_600_000,
            'm' => ms / 60_000 % 60,
            's' => ms / 1000 % 60,
            'S' => ms % 1000,
            _ => 0,
        };
        if quoted || !"yMdHmsS".contains(letter) {
            out.push(letter);
            continue;
        }
        let mut width = 1;
        while letters.next_if_eq(&letter).is_some() {
            width += 1;
        }
        let value = if letter == 'y' && width == 2 { value % 100 } else { value };
        let _ = write!(out, "{value:0width$}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_java_does() {
        let pattern = "yyyy-MM-dd HH:mm:ss,SSS";
        assert_eq!(formatted(pattern, 0), "1970-01-01 00:00:00,000");
        assert_eq!(formatted(pattern, 951_782_400_123), "2000-02-29 00:00:00,123");
        assert_eq!(formatted(pattern, 1_735_689_599_999), "2024-12-31 23:59:59,999");
        assert_eq!(formatted("yy 'at' H:m", 951_782_400_123), "00 at 0:0");
    }

    #[test]
    fn days_are_counted_both_ways() {
        for day in [-719_468, -1, 0, 59, 11_016, 20_000, 2_932_896] {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }
}
