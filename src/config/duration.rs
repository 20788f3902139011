//! Reads Go's duration texts as Traefik v1 does (docs/reference/static-configuration.md#values).

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in nanoseconds as the configuration writes it; it may be negative, as in Go.
///
/// Deserializing reads `"10s"`, `"1m30s"`, `"100ms"`, `"10"` (seconds) and the integer `10` (seconds); serializing writes an integer of
/// nanoseconds, as Traefik's API shows durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

/// The error for a text that is no duration; it holds the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidDuration(String);

impl GoDuration {
    /// A duration of whole seconds.
    pub const fn from_secs(secs: i64) -> Self {
        GoDuration(secs.saturating_mul(1_000_000_000))
    }

    /// The span for a timer; `None` for zero and negative durations, which switch a time-out off.
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|&n| n > 0).map(Duration::from_nanos)
    }

    /// Reads a text in which every number has a unit (Go's `time.ParseDuration`); only `"0"` may stand without one.
    pub fn parse_with_unit(text: &str) -> Result<Self, InvalidDuration> {
        let invalid = || InvalidDuration(text.to_owned());
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(GoDuration(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total = 0f64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
            let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
            total += number * unit_nanos(&rest[..unit_len]).ok_or_else(invalid)?;
            rest = &rest[unit_len..];
        }
        if total > i64::MAX as f64 {
            return Err(invalid());
        }
        let nanos = total.round() as i64;
        Ok(GoDuration(if negative { -nanos } else { nanos }))
    }

    /// Reads a text with units, or bare digits, which mean seconds.
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        if let Ok(secs) = text.parse::<i64>() {
            return Ok(GoDuration::from_secs(secs));
        }
        GoDuration::parse_with_unit(text)
    }
}

fn unit_nanos(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a duration: write a number with a unit, as in \"10s\", \"1m30s\" or \"100ms\"", self.0)
    }
}

impl std::error::Error for InvalidDuration {}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl Visitor<'_> for DurationVisitor {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a duration: \"10s\", \"1m30s\", \"100ms\", or a whole number of seconds")
            }
            fn visit_i64<E: de::Error>(self, secs: i64) -> Result<GoDuration, E> {
                Ok(GoDuration::from_secs(secs))
            }
            fn visit_u64<E: de::Error>(self, secs: u64) -> Result<GoDuration, E> {
                i64::try_from(secs).map(GoDuration::from_secs).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                GoDuration::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(DurationVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_accepts_units_and_bare_seconds_only() {
        for (text, nanos) in [
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("100ms", 100_000_000),
            ("10", 10_000_000_000),
            ("-5s", -5_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration(nanos)), "{text}");
        }
        for text in ["", "10 s", "1.5", "10x", "s", "-", "1h 2m"] {
            assert!(GoDuration::parse(text).is_err(), "{text:?} must not be accepted");
        }
    }
}
