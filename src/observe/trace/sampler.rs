//! The sampler decides which requests are traced whose sender has not decided (docs/reference/tracing.md#sampling).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The decision for requests without a parent's.
#[derive(Debug)]
pub enum Sampler {
    All,
    None,
    /// Traces whose id, in its lower 63 bits, is below this number: all services with the same share decide alike.
    Below(u64),
    Rate(RateLimit),
}

/// At most so many traces per second, of all workers together.
#[derive(Debug)]
pub struct RateLimit {
    interval_nanos: u64,
    burst_nanos: u64,
    /// When the next trace is due; traces may begin up to `burst_nanos` earlier.
    next_nanos: AtomicU64,
}

const NANOS: f64 = 1e9;
/// The longest interval between two traces: a day. Rarer ones are none.
const INTERVAL_SECS_MAX: f64 = 86_400.0;

impl Sampler {
    /// The sampler of Traefik's `samplingType` and `samplingParam`.
    ///
    /// # Errors
    /// The message says what is wrong and what to write.
    pub fn new(kind: &str, parameter: f64) -> Result<Sampler, String> {
        match kind {
            "const" if parameter == 0.0 => Ok(Sampler::None),
            "const" => Ok(Sampler::All),
            "probabilistic" if (0.0..=1.0).contains(&parameter) => Ok(Sampler::share(parameter)),
            "probabilistic" => Err(format!("{parameter} is no share of requests: use a number from 0 to 1")),
            "rateLimiting" if parameter == 0.0 => Ok(Sampler::None),
            "rateLimiting" if parameter > 0.0 && parameter.is_finite() => Ok(Sampler::Rate(RateLimit::new(parameter))),
            "rateLimiting" => Err(format!("{parameter} is no number of traces per second: use 0 or more")),
            other => Err(format!("{other:?} is no sampler: use const, probabilistic or rateLimiting")),
        }
    }

    fn share(share: f64) -> Sampler {
        if share == 1.0 { Sampler::All } else { Sampler::Below((share * (1u64 << 63) as f64) as u64) }
    }

    /// Whether the trace is recorded whose id has this lower half. `mono_nanos` is the time, which never goes back.
    #[inline]
    pub fn samples(&self, trace_number: u64, mono_nanos: u64) -> bool {
        match self {
            Sampler::Below(limit) => trace_number & (u64::MAX >> 1) < *limit,
            Sampler::All => true,
            Sampler::None => false,
            Sampler::Rate(limit) => limit.take(mono_nanos),
        }
    }
}

impl RateLimit {
    fn new(per_second: f64) -> RateLimit {
        let interval = (1.0 / per_second).min(INTERVAL_SECS_MAX) * NANOS;
        let burst = (per_second - 1.0).max(0.0) * interval;
        RateLimit { interval_nanos: interval as u64, burst_nanos: burst as u64, next_nanos: AtomicU64::new(0) }
    }

    /// Takes one trace, if one is due.
    fn take(&self, now: u64) -> bool {
        let mut next = self.next_nanos.load(Relaxed);
        loop {
            if next > now.saturating_add(self.burst_nanos) {
                return false;
            }
            let after = next.max(now).saturating_add(self.interval_nanos);
            match self.next_nanos.compare_exchange_weak(next, after, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(current) => next = current,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_of_ids_is_sampled() {
        let sampler = Sampler::new("probabilistic", 0.25).expect("a sampler");
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let count = (1..=10_000).filter(|&n| sampler.samples(spread(n), 0)).count();
        assert!((2_400..=2_600).contains(&count), "{count} of 10,000");
        assert!(!Sampler::new("probabilistic", 0.0).expect("none").samples(0, 0));
        assert!(Sampler::new("probabilistic", 1.0).expect("all").samples(u64::MAX, 0));
    }

    #[test]
    fn rate_limit_allows_so_many_traces_per_second() {
        let sampler = Sampler::new("rateLimiting", 5.0).expect("a sampler");
        let mut taken = 0;
        for milli in 0..10_000u64 {
            taken += usize::from(sampler.samples(1, milli * 1_000_000));
        }
        assert!((50..=55).contains(&taken), "{taken} in ten seconds, with a burst of five at the start");
        let rare = Sampler::new("rateLimiting", 0.1).expect("a sampler");
        assert!(rare.samples(1, 0) && !rare.samples(1, 9_000_000_000) && rare.samples(1, 10_000_000_000));
    }

    #[test]
    fn wrong_sampler_is_refused_with_what_to_write() {
        for (kind, parameter, expected) in [
            ("probabilistic", 1.5, "from 0 to 1"),
            ("probabilistic", f64::NAN, "from 0 to 1"),
            ("rateLimiting", -1.0, "0 or more"),
            ("rateLimiting", f64::INFINITY, "0 or more"),
            ("remote", 1.0, "use const, probabilistic or rateLimiting"),
        ] {
            let refused = Sampler::new(kind, parameter).expect_err(kind);
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
