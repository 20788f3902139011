//! Counters and a latency histogram over the last seconds, for circuit breakers.

/// A ring of time slots of `slot_nanos` each. A value older than all slots is dropped.
#[derive(Debug, Clone)]
pub(super) struct Rolling<T> {
    slots: Vec<T>,
    slot_nanos: u64,
    /// Number of the newest slot, counted from the clock's zero.
    newest: u64,
}

impl<T: Clone + Default> Rolling<T> {
    pub fn new(slots: usize, slot_nanos: u64) -> Self {
        Rolling { slots: vec![T::default(); slots], slot_nanos, newest: 0 }
    }

    /// The slot of the time `now_nanos`.
    pub fn current(&mut self, now_nanos: u64) -> &mut T {
        self.roll(now_nanos);
        let at = self.newest as usize % self.slots.len();
        &mut self.slots[at]
    }

    /// The slots that are not too old at `now_nanos`.
    pub fn live(&mut self, now_nanos: u64) -> impl Iterator<Item = &T> {
        self.roll(now_nanos);
        self.slots.iter()
    }

    pub fn clear(&mut self) {
        self.slots.fill(T::default());
    }

    fn roll(&mut self, now_nanos: u64) {
        let now = now_nanos / self.slot_nanos;
        let passed = now.saturating_sub(self.newest).min(self.slots.len() as u64);
        for age in 0..passed {
            let at = (now - age) as usize % self.slots.len();
            self.slots[at] = T::default();
        }
        self.newest = self.newest.max(now);
    }
}

/// Bits of a latency that are stored below its highest set bit: the relative error stays below 1/64.
const PRECISION_BITS: u32 = 6;
/// The highest latency, 2^32 - 1 µs (71 minutes): higher ones are recorded as this.
const MICROS_MAX: u64 = u32::MAX as u64;
const BUCKETS: usize = (32 - PRECISION_BITS as usize + 1) << PRECISION_BITS;

/// Latencies in microseconds, in buckets that widen with the value.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    /// Records per bucket; empty until the first one, so that an idle slot costs no memory.
    counts: Vec<u32>,
}

impl Histogram {
    pub fn record(&mut self, micros: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let bucket = &mut self.counts[bucket_of(micros.min(MICROS_MAX))];
        *bucket = bucket.saturating_add(1);
    }

    /// The latency in microseconds that `quantile` percent of the records of all `parts` do not exceed; 0 if there are no records.
    pub fn quantile<'a>(parts: impl Iterator<Item = &'a Histogram> + Clone, quantile: f64) -> u64 {
        let filled = parts.filter(|part| !part.counts.is_empty());
        let total: u64 = filled.clone().flat_map(|part| &part.counts).map(|&count| u64::from(count)).sum();
        if total == 0 {
            return 0;
        }
        let rank = ((quantile / 100.0 * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for bucket in 0..BUCKETS {
            seen += filled.clone().map(|part| u64::from(part.counts[bucket])).sum::<u64>();
            if seen >= rank {
                return value_of(bucket);
            }
        }
        MICROS_MAX
    }
}

fn bucket_of(micros: u64) -> usize {
    let shift = (64 - micros.leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    ((shift as usize) << PRECISION_BITS) + (micros >> shift) as usize
}

/// The least value of a bucket.
fn value_of(bucket: usize) -> u64 {
    let low_bits = (bucket >> PRECISION_BITS).saturating_sub(1);
    ((bucket - (low_bits << PRECISION_BITS)) as u64) << low_bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slot_older_than_window_is_dropped() {
        let mut counts = Rolling::<u32>::new(10, 1_000);
        *counts.current(500) += 1;
        *counts.current(9_999) += 2;
        assert_eq!(counts.live(9_999).sum::<u32>(), 3);
        assert_eq!(counts.live(10_000).sum::<u32>(), 2);
        assert_eq!(counts.live(1_000_000).sum::<u32>(), 0);
    }

    #[test]
    fn lagging_clock_loses_no_count() {
        let mut counts = Rolling::<u32>::new(10, 1_000);
        *counts.current(50_000) += 1;
        // Another worker has read the clock a little earlier.
        *counts.current(48_000) += 1;
        assert_eq!(counts.live(50_000).sum::<u32>(), 2);
    }

    #[test]
    fn quantile_of_known_latencies_is_exact_to_1_64th() {
        let mut part = Histogram::default();
        (1..=100).for_each(|ms| part.record(ms * 1_000));
        for (quantile, ms) in [(50.0, 50), (99.0, 99), (100.0, 100)] {
            let value = Histogram::quantile([part.clone()].iter(), quantile);
            assert!(value.abs_diff(ms * 1_000) <= ms * 1_000 / 64 + 1, "{quantile}: {value}");
        }
        assert_eq!(Histogram::quantile([].iter(), 50.0), 0);
    }

    proptest! {
        #[test]
        fn bucket_value_is_exact_to_1_64th(micros in 0u64..=MICROS_MAX) {
            let low = value_of(bucket_of(micros));
            prop_assert!(low <= micros && micros - low <= micros / 64);
            prop_assert!(bucket_of(micros) < BUCKETS);
        }
    }
}
