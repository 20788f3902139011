//! The timestamps in the Engine's responses (RFC 3339).

use std::time::Duration;

/// Parses `2026-11-23T15:42:17.123Z` or `...+01:00` into the time since 1970. `None` if the text is no timestamp, or is one of Docker's
/// year 1, which means never.
pub fn parse(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_once('T')?;
    let numbers = |text: &str, between| text.split(between).map(|part| part.parse().ok()).collect::<Option<Vec<i64>>>();
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let [hour, minute, second] = numbers(rest.get(..8)?, ':')?[..] else { return None };
    let zone = rest[8..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let fraction = rest[8..rest.len() - zone.len()].trim_start_matches('.');
    let nanos = format!("{fraction:0<9.9}").parse().ok()?;
    let offset = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign @ ("+" | "-"), hours) => {
            let [hours, minutes] = numbers(hours, ':')?[..] else { return None };
            let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
            if sign == "+" { minutes } else { -minutes }
        }
        _ => return None,
    };
    let is_date = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || !(-1440..=1440).contains(&offset) {
        return None;
    }
    let secs = ((day_number(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second;
    u64::try_from(secs).ok().map(|secs| Duration::new(secs, nanos))
}

/// The number of days from 1970-01-01 to the date. The calculation starts the year in March, so that the leap day is the year's last day.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_engine_timestamp_returns_time_since_1970() {
        for (text, since_1970) in [
            ("2026-11-23T15:42:17.123456789Z", Some((1_795_448_537, 123_456_789))),
            ("2026-11-23T16:42:17.5+01:00", Some((1_795_448_537, 500_000_000))),
            ("2026-11-23T15:42:17.0123456789Z", Some((1_795_448_537, 12_345_678))),
            ("2024-02-29T23:59:59Z", Some((1_709_251_199, 0))),
            ("2024-03-01T00:00:00-00:00", Some((1_709_251_200, 0))),
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("1970-01-01T00:00:00.1.2Z", None),
            ("0001-01-01T00:00:00Z", None),
            ("2026-11-23T15:42:17", None),
            ("2026-13-23T15:42:17Z", None),
            ("2026-11-23", None),
            ("", None),
        ] {
            assert_eq!(parse(text), since_1970.map(|(secs, nanos)| Duration::new(secs, nanos)), "{text:?}");
        }
    }
}
