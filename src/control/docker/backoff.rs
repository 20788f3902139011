//! How long to wait before the Engine is tried again (docs/reference/providers.md#back-off, point 4).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const FACTOR: f64 = 1.5;
/// Short, because what changed meanwhile is unheard until the next attempt: an Engine that was away for minutes is heard seconds after
/// its return. An attempt that often costs it nothing worth sparing.
const LONGEST: Duration = Duration::from_secs(5);
/// Each wait is shortened or lengthened by up to this share, so that many proxies do not come at once.
const JITTER: f64 = 0.5;
/// A connection that held this long starts the waits anew.
const GOOD_RUN: Duration = Duration::from_secs(30);

/// Exponential back-off without an end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    /// The wait after a run of the given length.
    pub fn after_run(&mut self, ran: Duration) -> Duration {
        self.after_run_with(ran, random_share())
    }

    /// `share` in 0..1 picks the jitter.
    fn after_run_with(&mut self, ran: Duration, share: f64) -> Duration {
        if ran >= GOOD_RUN {
            self.next = FIRST;
        }
        let wait = self.next.mul_f64(1.0 - JITTER + 2.0 * JITTER * share);
        self.next = self.next.mul_f64(FACTOR).min(LONGEST);
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
    fn waits_grow_up_to_the_cap_and_start_anew_after_a_good_run() {
        let mut backoff = Backoff::default();
        let middle = |backoff: &mut Backoff, ran| backoff.after_run_with(Duration::from_secs(ran), 0.5);
        assert_eq!(middle(&mut backoff, 0), FIRST);
        assert_eq!(middle(&mut backoff, 0), Duration::from_millis(750));
        for _ in 0..20 {
            middle(&mut backoff, 29);
        }
        assert_eq!(middle(&mut backoff, 0), LONGEST);
        let longest = backoff.after_run_with(Duration::ZERO, 1.0);
        assert!(longest < Duration::from_secs(8), "an Engine that is back may be unheard for {longest:?}");
        assert_eq!(middle(&mut backoff, 30), FIRST);
    }

    #[test]
    fn jitter_stays_within_half() {
        for _ in 0..100 {
            let wait = Backoff::default().after_run(Duration::ZERO);
            assert!((FIRST / 2..=FIRST * 3 / 2).contains(&wait), "{wait:?}");
        }
    }
}
