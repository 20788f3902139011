//! The rate limit: token buckets per source (docs/reference/middlewares.md#rate-limit).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::source_extractor::{PerSource, SourceExtractor};
use super::{ChainScope, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;

/// A rate limit: a request passes if every bucket of its source has a token.
#[derive(Debug)]
pub struct RateLimit {
    source: SourceExtractor,
    state: Arc<RateState>,
    label: Label,
}

/// A bucket of `burst` tokens that gains `average` tokens in each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub period: Duration,
    pub average: u64,
    pub burst: u64,
}

/// Why a set of rates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRate {
    NoRates,
    NotPositive { period: i64, average: i64, burst: i64 },
    TooFast,
}

/// The buckets of all sources. Survives reloads as long as the rates stay the same.
#[derive(Debug)]
pub struct RateState {
    rates: Arc<[Rate]>,
    sources: PerSource<Box<[Bucket]>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u64,
    /// The time up to which tokens have been credited.
    credited_nanos: u64,
}

impl Rate {
    /// Checks configured values: a period in nanoseconds, and two numbers of requests.
    pub fn new(period_nanos: i64, average: i64, burst: i64) -> Result<Self, InvalidRate> {
        let invalid = InvalidRate::NotPositive { period: period_nanos, average, burst };
        let positive = |value: i64| u64::try_from(value).ok().filter(|&value| value > 0).ok_or(invalid.clone());
        let rate = Rate {
            period: Duration::from_nanos(positive(period_nanos)?),
            average: positive(average)?,
            burst: positive(burst)?,
        };
        if rate.token_nanos() == 0 { Err(InvalidRate::TooFast) } else { Ok(rate) }
    }

    fn token_nanos(&self) -> u64 {
        self.period.as_nanos() as u64 / self.average
    }
}

impl RateState {
    /// Makes one bucket per period: of several rates with the same period the last one counts.
    pub fn new(rates: &[Rate]) -> Result<Self, InvalidRate> {
        let mut unique: Vec<Rate> = Vec::new();
        for rate in rates {
            unique.retain(|other| other.period != rate.period);
            unique.push(*rate);
        }
        let longest = unique.iter().map(|rate| rate.period.as_nanos() as u64).max().ok_or(InvalidRate::NoRates)?;
        let idle = longest.saturating_mul(10).saturating_add(1_000_000_000);
        Ok(RateState { rates: unique.into(), sources: PerSource::new(idle) })
    }

    /// Whether the buckets were made for these rates, so that a reload may carry the state over.
    pub fn serves(&self, rates: &[Rate]) -> bool {
        RateState::new(rates).is_ok_and(|other| other.rates == self.rates)
    }

    /// Takes a token from every bucket of the source `key`. If a bucket is empty, takes none and returns the nanoseconds to wait: as in
    /// Traefik the whole time that one token takes, even if part of it has elapsed.
    fn take(&self, key: u64, now_nanos: u64) -> Result<(), u64> {
        let full_buckets = || {
            let full_bucket = |rate: &Rate| Bucket { tokens: rate.burst, credited_nanos: now_nanos };
            self.rates.iter().map(full_bucket).collect::<Box<[_]>>()
        };
        self.sources.with(key, now_nanos, full_buckets, |buckets| {
            self.credit(buckets, now_nanos)?;
            buckets.iter_mut().for_each(|bucket| bucket.tokens -= 1);
            Ok(())
        })
    }

    /// The result that [`take`](Self::take) would have now. No token is taken.
    fn would_take(&self, key: u64, now_nanos: u64) -> Result<(), u64> {
        match self.sources.peek(key, now_nanos) {
            Some(mut buckets) => self.credit(&mut buckets, now_nanos),
            // The buckets of a new source are full.
            None => Ok(()),
        }
    }

    /// Credits the buckets; `Err` with the nanoseconds to wait if one has no token.
    fn credit(&self, buckets: &mut [Bucket], now_nanos: u64) -> Result<(), u64> {
        let mut wait = 0;
        for (bucket, rate) in buckets.iter_mut().zip(self.rates.iter()) {
            bucket.credit(rate, now_nanos);
            if bucket.tokens == 0 {
                wait = wait.max(rate.token_nanos());
            }
        }
        if wait > 0 { Err(wait) } else { Ok(()) }
    }
}

impl Bucket {
    fn credit(&mut self, rate: &Rate, now_nanos: u64) {
        let token = rate.token_nanos();
        let earned = now_nanos.saturating_sub(self.credited_nanos) / token;
        self.tokens = self.tokens.saturating_add(earned);
        // A fraction of a token stays credited for later, unless the bucket is full.
        self.credited_nanos += earned * token;
        if self.tokens >= rate.burst {
            self.tokens = rate.burst;
            self.credited_nanos = self.credited_nanos.max(now_nanos);
        }
    }
}

impl RateLimit {
    pub fn new(source: SourceExtractor, state: Arc<RateState>, scope: ChainScope) -> Self {
        RateLimit { source, state, label: scope.label("rate limit") }
    }

    pub fn on_request(&self, request: &Request, info: &RequestInfo) -> Verdict {
        let key = self.source.key(&self.state.sources.hasher, request, info);
        self.verdict(self.state.take(key, info.now.mono_nanos))
    }

    /// The verdict that a request would get now. No token is taken.
    pub fn preview(&self, request: &Request, info: &RequestInfo) -> Verdict {
        let key = self.source.key(&self.state.sources.hasher, request, info);
        self.verdict(self.state.would_take(key, info.now.mono_nanos))
    }

    /// The rates as text: `100 per 1s with bursts of 200`.
    pub fn rates_text(&self) -> String {
        let text = |rate: &Rate| {
            let period = go_duration(u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX));
            format!("{} per {period} with bursts of {}", rate.average, rate.burst)
        };
        self.state.rates.iter().map(text).collect::<Vec<_>>().join(" and ")
    }

    fn verdict(&self, taken: Result<(), u64>) -> Verdict {
        let Err(wait) = taken else { return Verdict::Next };
        let text = go_duration(wait);
        let secs = (wait as f64 / 1e9).round_ties_even() as u64;
        let reply = Reply::text(429, format!("max rate reached: retry-in {text}"))
            .with("Retry-After", secs.to_string().into_bytes())
            .with("X-Retry-In", text.into_bytes());
        Verdict::reply(reply, &self.label)
    }
}

/// Formats a duration as Go does: `5s`, `1m30s`, `1.5s`, `250ms`, `10µs`.
fn go_duration(nanos: u64) -> String {
    let fraction = |value: u64, unit: u64| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(nanos, 1_000) + "µs",
        1_000_000..1_000_000_000 => fraction(nanos, 1_000_000) + "ms",
        _ => {
            let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
            let secs = fraction(nanos % 60_000_000_000, 1_000_000_000) + "s";
            match (hours, minutes) {
                (0, 0) => secs,
                (0, _) => format!("{minutes}m{secs}"),
                _ => format!("{hours}h{minutes}m{secs}"),
            }
        }
    }
}

impl fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidRate::NoRates => {
                f.write_str("the rate limit has no rateSet: add one with period, average and burst")
            }
            InvalidRate::NotPositive { period, average, burst } => write!(
                f,
                "period ({period} ns), average ({average}) and burst ({burst}) of a rate must all be greater than zero"
            ),
            InvalidRate::TooFast => f.write_str("the rate is above one request per nanosecond: remove the rate limit"),
        }
    }
}

impl std::error::Error for InvalidRate {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duration_is_formatted_as_in_go() {
        for (nanos, text) in [
            (5_000_000_000, "5s"),
            (90_000_000_000, "1m30s"),
            (1_500_000_000, "1.5s"),
            (250_000_000, "250ms"),
            (10_500, "10.5µs"),
            (7, "7ns"),
            (3_600_000_000_000, "1h0m0s"),
            (4_999_999_871, "4.999999871s"),
        ] {
            assert_eq!(go_duration(nanos), text);
        }
    }

    #[test]
    fn refused_request_takes_no_token() {
        let slow = Rate::new(10_000_000_000, 1, 1).unwrap();
        let fast = Rate::new(1_000_000_000, 1, 2).unwrap();
        let state = RateState::new(&[slow, fast]).unwrap();
        assert_eq!(state.take(1, 0), Ok(()));
        // The slow bucket is empty: the second token of the fast bucket stays.
        assert_eq!(state.take(1, 1), Err(10_000_000_000));
        assert_eq!(state.take(1, 10_000_000_000), Ok(()));
        assert_eq!(state.take(2, 1), Ok(()), "another source has buckets of its own");
    }

    #[test]
    fn last_rate_of_a_period_counts() {
        let first = Rate::new(1_000_000_000, 1, 1).unwrap();
        let second = Rate::new(1_000_000_000, 9, 9).unwrap();
        assert_eq!(&*RateState::new(&[first, second]).unwrap().rates, &[second]);
        assert!(Rate::new(0, 1, 1).is_err() && Rate::new(1, -1, 1).is_err() && Rate::new(1, 1, 0).is_err());
        assert_eq!(Rate::new(5, 10, 1), Err(InvalidRate::TooFast));
    }

    #[test]
    fn number_of_sources_is_bounded() {
        let state = RateState::new(&[Rate::new(1_000_000_000, 1, 1).unwrap()]).unwrap();
        let spread = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for source in 0..100_000 {
            let _ = state.take(spread(source), source);
        }
        assert!(state.sources.len() <= crate::limits::SOURCES_MAX);
    }

    proptest! {
        #[test]
        fn passed_requests_never_exceed_the_rate(
            burst in 1u64..20,
            average in 1u64..50,
            gaps in prop::collection::vec(0u64..200_000_000, 1..300),
        ) {
            let rate = Rate { period: Duration::from_secs(1), average, burst };
            let state = RateState::new(&[rate]).unwrap();
            let mut now = 0;
            let mut passed = 0u64;
            for gap in gaps {
                now += gap;
                passed += u64::from(state.take(7, now).is_ok());
                prop_assert!(passed <= burst + now / rate.token_nanos());
            }
        }
    }
}
