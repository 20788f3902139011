//! The local time zone: its offset from UTC at a given time, and until when that offset holds. Where the zone comes from is the caller's
//! business (`app/time_zone.rs`).

use std::cell::Cell;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time zone. UTC unless something else was configured.
#[derive(Debug, Clone)]
pub struct LocalZone(TimeZone);

/// The offset of one worker's log lines. A line compares two numbers; the zone's rules are asked again only when its clocks change.
#[derive(Debug)]
pub struct LocalOffset {
    zone: LocalZone,
    period: Cell<OffsetPeriod>,
}

/// A span of time with one offset. An empty span (`from` = `until`) holds no time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OffsetPeriod {
    from: u64,
    until: u64,
    offset_secs: i32,
}

impl Default for LocalZone {
    fn default() -> Self {
        LocalZone(TimeZone::UTC)
    }
}

impl LocalZone {
    /// The zone of a name in the time zone database that the program carries, such as `Europe/Berlin`.
    pub fn bundled(name: &str) -> Option<LocalZone> {
        TimeZone::get(name).ok().map(LocalZone)
    }

    /// The zone that a file of the time zone database describes (RFC 9636).
    ///
    /// # Errors
    /// The bytes are no such file.
    pub fn from_tzif(name: &str, bytes: &[u8]) -> Result<LocalZone, String> {
        TimeZone::tzif(name, bytes).map(LocalZone).map_err(|e| e.to_string())
    }

    /// The zone of a POSIX rule, such as `EST5EDT,M3.2.0,M11.1.0`.
    ///
    /// # Errors
    /// The text is no such rule.
    pub fn from_posix(rule: &str) -> Result<LocalZone, String> {
        TimeZone::posix(rule).map(LocalZone).map_err(|e| e.to_string())
    }

    /// Seconds that local time is ahead of UTC.
    pub fn offset_secs(&self, unix_secs: u64) -> i32 {
        self.period(unix_secs).offset_secs
    }

    /// The offset at a time, and the span from that time to the next change of the zone's clocks.
    fn period(&self, unix_secs: u64) -> OffsetPeriod {
        let Some(at) = i64::try_from(unix_secs).ok().and_then(|secs| Timestamp::from_second(secs).ok()) else {
            return OffsetPeriod { from: unix_secs, until: unix_secs, offset_secs: 0 };
        };
        let change = self.0.following(at).next().and_then(|next| u64::try_from(next.timestamp().as_second()).ok());
        OffsetPeriod { from: unix_secs, until: change.unwrap_or(u64::MAX), offset_secs: self.0.to_offset(at).seconds() }
    }
}

impl LocalOffset {
    pub fn new(zone: LocalZone) -> Self {
        LocalOffset { zone, period: Cell::default() }
    }

    /// Seconds that local time is ahead of UTC at a time.
    pub fn at(&self, unix_secs: u64) -> i32 {
        let mut period = self.period.get();
        if !(period.from..period.until).contains(&unix_secs) {
            period = self.zone.period(unix_secs);
            self.period.set(period);
        }
        period.offset_secs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-01 06:00 UTC: clocks in New York go back from 2 to 1 o'clock.
    const AUTUMN_2026: u64 = 1_793_512_800;
    const HOUR_SECS: i32 = 3600;

    #[test]
    fn offset_follows_a_change_of_the_clocks_to_the_second() {
        let zones = [
            LocalZone::bundled("America/New_York").expect("a zone"),
            LocalZone::from_posix("EST5EDT,M3.2.0,M11.1.0").expect("a rule"),
        ];
        for zone in zones {
            let offset = LocalOffset::new(zone.clone());
            assert_eq!(offset.at(AUTUMN_2026 - 1), -4 * HOUR_SECS);
            assert_eq!(offset.at(AUTUMN_2026), -5 * HOUR_SECS);
            assert_eq!(offset.at(AUTUMN_2026 - 1), -4 * HOUR_SECS, "the wall clock was set back");
            assert_eq!(zone.offset_secs(AUTUMN_2026 + 200 * 86_400), -4 * HOUR_SECS, "the next summer");
        }
    }

    #[test]
    fn rules_are_asked_once_between_two_changes() {
        let offset = LocalOffset::new(LocalZone::bundled("America/New_York").expect("a zone"));
        offset.at(AUTUMN_2026);
        let period = offset.period.get();
        offset.at(AUTUMN_2026 + 100 * 86_400);
        assert_eq!(offset.period.get(), period);
        assert_eq!(period.until, 1_805_007_600, "2027-03-14 07:00 UTC");
    }

    #[test]
    fn zone_without_changes_and_times_outside_its_range_have_an_offset() {
        let utc = LocalOffset::new(LocalZone::default());
        assert_eq!((utc.at(0), utc.at(AUTUMN_2026), utc.at(u64::MAX)), (0, 0, 0));
        assert_eq!(LocalZone::from_posix("<+0545>-5:45").expect("a rule").offset_secs(AUTUMN_2026), 20_700);
        assert!(LocalZone::bundled("Mars/Olympus").is_none() && LocalZone::from_posix("nonsense").is_err());
        assert!(LocalZone::from_tzif("x", b"TZif").is_err());
    }
}
