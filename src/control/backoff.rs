//! How long to wait before the next attempt to connect to the Docker Engine or to a store (docs/reference/providers.md#back-off).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_FACTOR: f64 = 1.5;
/// The longest wait before jitter. Short, because changes are not seen until the next attempt: the provider connects within seconds after
/// an Engine returns that was away for minutes. Attempts this frequent cause no relevant load on the Engine.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Each wait is shortened or lengthened by up to this share, so that many proxies do not connect at the same time.
const JITTER: f64 = 0.5;
/// After a connection that lasted this long, the waits start again with the first one.
const GOOD_RUN_MIN: Duration = Duration::from_secs(30);

/// Exponential back-off without a last attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { next: WAIT_FIRST }
    }
}

impl Backoff {
    /// The wait before the next attempt, after a connection that lasted `ran`.
    pub fn after_run(&mut self, ran: Duration) -> Duration {
        self.after_run_with(ran, random_share())
    }

    /// `after_run` with the jitter chosen by `share`, in 0..1.
    fn after_run_with(&mut self, ran: Duration, share: f64) -> Duration {
        if ran >= GOOD_RUN_MIN {
            self.next = WAIT_FIRST;
        }
        let wait = self.next.mul_f64(1.0 - JITTER + 2.0 * JITTER * share);
        self.next = self.next.mul_f64(WAIT_FACTOR).min(WAIT_MAX);
        wait
    }
}

/// The standard library seeds every hasher state randomly, which is random enough for jitter.
fn random_share() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_maximum_and_restart_after_good_run() {
        let mut backoff = Backoff::default();
        let middle = |backoff: &mut Backoff, ran| backoff.after_run_with(Duration::from_secs(ran), 0.5);
        assert_eq!(middle(&mut backoff, 0), WAIT_FIRST);
        assert_eq!(middle(&mut backoff, 0), Duration::from_millis(750));
        for _ in 0..20 {
            middle(&mut backoff, 29);
        }
        assert_eq!(middle(&mut backoff, 0), WAIT_MAX);
        let longest = backoff.after_run_with(Duration::ZERO, 1.0);
        assert!(longest < Duration::from_secs(8), "a returned Engine may stay unconnected for {longest:?}");
        assert_eq!(middle(&mut backoff, 30), WAIT_FIRST);
    }

    #[test]
    fn jitter_is_at_most_half_of_the_wait() {
        for _ in 0..100 {
            let wait = Backoff::default().after_run(Duration::ZERO);
            assert!((WAIT_FIRST / 2..=WAIT_FIRST * 3 / 2).contains(&wait), "{wait:?}");
        }
    }
}
