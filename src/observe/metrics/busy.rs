//! How busy each worker is (docs/reference/metrics.md#workers).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The CPU time of one worker, which the worker itself stores about once a second.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct BusyTime {
    cpu_nanos: AtomicU64,
    at_nanos: AtomicU64,
    /// The share of the time between the last two readings, in millionths.
    share_millionths: AtomicU64,
}

impl BusyTime {
    /// Stores the CPU time of the worker's thread, as read at `now_nanos` on a clock that only moves forward.
    pub(super) fn set(&self, cpu_nanos: u64, now_nanos: u64) {
        let cpu = cpu_nanos.saturating_sub(self.cpu_nanos.swap(cpu_nanos, Relaxed));
        let elapsed = now_nanos.saturating_sub(self.at_nanos.swap(now_nanos, Relaxed));
        let share = u128::from(cpu) * 1_000_000 / u128::from(elapsed.max(1));
        self.share_millionths.store(share.min(1_000_000) as u64, Relaxed);
    }

    pub(super) fn cpu_secs(&self) -> f64 {
        self.cpu_nanos.load(Relaxed) as f64 / 1e9
    }

    /// From 0 (idle) to 1 (busy all the time).
    pub(super) fn share(&self) -> f64 {
        self.share_millionths.load(Relaxed) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_that_of_the_time_between_two_readings() {
        let busy = BusyTime::default();
        busy.set(1_000_000_000, 10_000_000_000);
        busy.set(1_250_000_000, 11_000_000_000);
        assert_eq!((busy.cpu_secs(), busy.share()), (1.25, 0.25));
        busy.set(9_000_000_000, 11_000_000_000);
        assert_eq!(busy.share(), 1.0);
    }
}
