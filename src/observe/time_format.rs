//! Formats times and durations as Traefik's logs and API do. The time itself is always an argument.

const SECOND_NANOS: u64 = 1_000_000_000;
const DAY_SECS: i64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point in time and the UTC offset in which it is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    pub unix_nanos: u64,
    /// Seconds that the shown local time is ahead of UTC; 0 shows UTC.
    pub offset_secs: i32,
}

impl Timestamp {
    pub fn utc(unix_nanos: u64) -> Self {
        Timestamp { unix_nanos, offset_secs: 0 }
    }

    /// Appends `23/Nov/2026:15:42:17 +0000`: the time of an access log line (docs/reference/logs.md#clf).
    pub fn push_clf(self, out: &mut Vec<u8>) {
        let t = self.civil();
        push_padded(out, t.day, 2);
        out.push(b'/');
        out.extend_from_slice(MONTHS[(t.month - 1) as usize % MONTHS.len()].as_bytes());
        out.push(b'/');
        push_padded(out, t.year, 4);
        out.push(b':');
        push_clock(out, &t);
        out.push(b' ');
        self.push_offset(out, false);
    }

    /// Appends `2026-11-23T15:42:17Z` or `…+01:00` (RFC 3339, whole seconds).
    pub fn push_rfc3339(self, out: &mut Vec<u8>) {
        self.second().push(out);
    }

    /// Formats the time to the second, for callers that show several times of the same second.
    pub fn second(self) -> FormattedSecond {
        FormattedSecond { timestamp: self, text: self.date_and_clock(b'T') }
    }

    /// Appends `2026-11-23 15:42:17.5 +0000 UTC m=+12.345678901`: UTC time as Go prints it, followed by the age of the process
    /// (docs/reference/api.md#health).
    pub fn push_go(self, uptime_nanos: u64, out: &mut Vec<u8>) {
        let utc = Timestamp::utc(self.unix_nanos);
        out.extend_from_slice(&utc.date_and_clock(b' '));
        push_fraction(out, self.unix_nanos % SECOND_NANOS, 9);
        out.extend_from_slice(b" +0000 UTC m=+");
        push_number(out, uptime_nanos / SECOND_NANOS);
        out.push(b'.');
        push_padded(out, uptime_nanos % SECOND_NANOS, 9);
    }

    /// `2026-11-23T15:42:17`, with `separator` between date and clock. Years from 10000 on are not supported.
    fn date_and_clock(self, separator: u8) -> [u8; 19] {
        let t = self.civil();
        let [[y, e], [a, r], [m, o], [d, d2], [h, h2], [i, i2], [s, s2]] =
            [t.year / 100, t.year % 100, t.month, t.day, t.hour, t.minute, t.second].map(two_digits);
        [y, e, a, r, b'-', m, o, b'-', d, d2, separator, h, h2, b':', i, i2, b':', s, s2]
    }

    fn push_zone(self, out: &mut Vec<u8>) {
        if self.offset_secs == 0 { out.push(b'Z') } else { self.push_offset(out, true) }
    }

    fn push_offset(self, out: &mut Vec<u8>, colon: bool) {
        let minutes = u64::from(self.offset_secs.unsigned_abs()) / 60;
        out.push(if self.offset_secs < 0 { b'-' } else { b'+' });
        push_padded(out, minutes / 60, 2);
        if colon {
            out.push(b':');
        }
        push_padded(out, minutes % 60, 2);
    }

    fn civil(self) -> Civil {
        let secs = (self.unix_nanos / SECOND_NANOS) as i64 + i64::from(self.offset_secs);
        let (year, month, day) = date_of_day(secs.div_euclid(DAY_SECS));
        let rest = secs.rem_euclid(DAY_SECS) as u64;
        Civil { year, month, day, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 }
    }
}

/// A time formatted to the second.
#[derive(Debug, Clone, Copy)]
pub struct FormattedSecond {
    timestamp: Timestamp,
    text: [u8; 19],
}

impl FormattedSecond {
    /// The formatted second of another time. The text is reused if second and offset are the same.
    pub fn or_of(self, timestamp: Timestamp) -> FormattedSecond {
        let second_of = |timestamp: Timestamp| (timestamp.unix_nanos / SECOND_NANOS, timestamp.offset_secs);
        if second_of(timestamp) == second_of(self.timestamp) {
            FormattedSecond { timestamp, ..self }
        } else {
            timestamp.second()
        }
    }

    /// Appends `2026-11-23T15:42:17Z` or `…+01:00` (RFC 3339, whole seconds).
    pub fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
        self.timestamp.push_zone(out);
    }

    /// Appends the time with the fraction of the second, without its trailing zeros.
    pub fn push_nanos(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
        push_fraction(out, self.timestamp.unix_nanos % SECOND_NANOS, 9);
        self.timestamp.push_zone(out);
    }
}

/// The last two digits of a number.
fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Appends a duration as Go prints it: `0s`, `1.5µs`, `42ms`, `1m2.5s`, `2h0m0s`.
pub fn push_go_duration(nanos: u64, out: &mut Vec<u8>) {
    let (unit, digits, name) = match nanos {
        0 => return out.extend_from_slice(b"0s"),
        1..1_000 => (1, 0, "ns"),
        1_000..1_000_000 => (1_000, 3, "µs"),
        1_000_000..SECOND_NANOS => (1_000_000, 6, "ms"),
        _ => (SECOND_NANOS, 9, "s"),
    };
    let mut whole = nanos / unit;
    if unit == SECOND_NANOS {
        let (hours, minutes) = (whole / 3600, whole / 60 % 60);
        if hours > 0 {
            push_number(out, hours);
            out.push(b'h');
        }
        if hours > 0 || minutes > 0 {
            push_number(out, minutes);
            out.push(b'm');
        }
        whole %= 60;
    }
    push_number(out, whole);
    push_fraction(out, nanos % unit, digits);
    out.extend_from_slice(name.as_bytes());
}

/// Appends a number in decimal.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Year, month (from 1) and day of the Gregorian calendar. Counts in 400-year cycles of years that begin in March, so that the
/// leap day is the last day of a year and the first day of each month is a linear function of the month.
fn date_of_day(days_since_1970: i64) -> (u64, u64, u64) {
    const CYCLE_DAYS: i64 = 146_097;
    let days = days_since_1970 + 719_468; // from 0000-03-01
    let cycle = days.div_euclid(CYCLE_DAYS);
    let day_of_cycle = days.rem_euclid(CYCLE_DAYS);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year as u64, month as u64, day as u64)
}

fn push_clock(out: &mut Vec<u8>, t: &Civil) {
    push_padded(out, t.hour, 2);
    out.push(b':');
    push_padded(out, t.minute, 2);
    out.push(b':');
    push_padded(out, t.second, 2);
}

/// Appends a number in decimal, with leading zeros up to `width` digits. Formatted by hand: a log line has a dozen of these, and
/// `write!` takes 50 ns for each.
pub fn push_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    debug_assert!(width <= 20, "no number has more digits");
    let mut digits = [b'0'; 20];
    let (mut rest, mut from) = (number, digits.len());
    while rest > 0 {
        from -= 1;
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[from.min(digits.len() - width)..]);
}

fn push_fraction(out: &mut Vec<u8>, fraction: u64, digits: usize) {
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    push_padded(out, fraction, digits);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_formatted_as_clf_rfc3339_and_go() {
        let nanos = 1_795_448_537_120_000_000; // 2026-11-23 15:42:17.12 UTC
        let (utc, east, west) = (
            Timestamp::utc(nanos),
            Timestamp { unix_nanos: nanos, offset_secs: 19_800 },
            Timestamp { unix_nanos: nanos, offset_secs: -12_600 },
        );
        assert_eq!(text(|o| utc.push_clf(o)), "23/Nov/2026:15:42:17 +0000");
        assert_eq!(text(|o| east.push_clf(o)), "23/Nov/2026:21:12:17 +0530");
        assert_eq!(text(|o| west.push_clf(o)), "23/Nov/2026:12:12:17 -0330");
        assert_eq!(text(|o| utc.push_rfc3339(o)), "2026-11-23T15:42:17Z");
        assert_eq!(text(|o| east.second().push_nanos(o)), "2026-11-23T21:12:17.12+05:30");
        let later = |nanos_later| Timestamp { unix_nanos: nanos + nanos_later, offset_secs: 19_800 };
        let reformatted = |timestamp| text(|o| east.second().or_of(timestamp).push_nanos(o));
        assert_eq!(reformatted(later(879_999_999)), "2026-11-23T21:12:17.999999999+05:30");
        assert_eq!(reformatted(later(880_000_000)), "2026-11-23T21:12:18+05:30");
        assert_eq!(reformatted(utc), "2026-11-23T15:42:17.12Z");
        assert_eq!(text(|o| utc.push_go(12_345_678_901, o)), "2026-11-23 15:42:17.12 +0000 UTC m=+12.345678901");
    }

    #[test]
    fn calendar_agrees_with_httpdate() {
        for day in (0..80_000u64).step_by(7).chain([59, 60, 11_016, 11_017]) {
            let secs = day * 86_400 + 3_661;
            let theirs = httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(secs));
            let ours = text(|o| Timestamp::utc(secs * SECOND_NANOS).push_clf(o));
            let (date, clock) = ours.split_once(':').unwrap();
            let expected = format!("{} {}", date.replace('/', " "), clock.replace(" +0000", ""));
            assert_eq!(&theirs[5..25], expected, "day {day}");
        }
    }

    #[test]
    fn durations_are_formatted_as_in_go() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (42_000_000, "42ms"),
            (999_999_999, "999.999999ms"),
            (1_000_000_000, "1s"),
            (62_500_000_000, "1m2.5s"),
            (7_200_000_000_000, "2h0m0s"),
            (93_784_000_000_001, "26h3m4.000000001s"),
        ] {
            assert_eq!(text(|o| push_go_duration(nanos, o)), expected);
        }
    }
}
