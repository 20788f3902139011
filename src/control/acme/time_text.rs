//! Parses dates as authorities write them (RFC 3339 5.6), without a library for time zones.

/// Seconds since 1970 of a date such as `2026-12-02T10:00:00Z`, `2026-12-02 10:00:00 UTC` or `2026-12-02T10:00:00.5+01:00`. Text behind the
/// date is ignored.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        let is_number = digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    };
    let is_at = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    if !(is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"Tt ") && is_at(13, b":") && is_at(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !is_valid {
        return None;
    }
    let fraction = match bytes.get(19) {
        Some(b'.') => 1 + bytes[20..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = 19 + fraction;
    let offset = match bytes.get(zone) {
        Some(sign @ (b'+' | b'-')) => {
            let secs = (number(zone + 1, zone + 3)? * 60 + number(zone + 4, zone + 6)?) * 60;
            if *sign == b'+' { secs } else { -secs }
        }
        _ => 0,
    };
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. The year is counted from March, so that the leap day is its last day.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_all_spellings_of_authorities() {
        // date -u -d 2026-12-02T10:00:00Z +%s
        assert_eq!(parse("2026-12-02T10:00:00Z"), Some(1_796_205_600));
        assert_eq!(parse("2026-12-02 10:00:00 UTC: see https://ca.test"), Some(1_796_205_600));
        assert_eq!(parse("2026-12-02T11:00:00.123+01:00"), Some(1_796_205_600));
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        // date -u -d 2028-02-29T23:59:59Z +%s
        assert_eq!(parse("2028-02-29T23:59:59Z"), Some(1_835_481_599));
        for text in ["", "soon", "2026-13-02T10:00:00Z", "2026-12-02", "2026-12-02T10:00", "2026-12-02T10:00:00+"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
