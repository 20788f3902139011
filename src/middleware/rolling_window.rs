//! Counters and a latency histogram over the last seconds, for breakers.

/// Counts in `SLOTS` slots of `slot_nanos` each; what is older than all of them is forgotten.
#[derive(Debug, Clone)]
pub(super) struct Rolling<T> {
    slots: Vec<T>,
    slot_nanos: u64,
    /// The number of the newest slot since the clock's zero.
    newest: u64,
}

impl<T: Clone + Default> Rolling<T> {
    pub fn new(slots: usize, slot_nanos: u64) -> Self {
        Rolling { slots: vec![T::default(); slots], slot_nanos, newest: 0 }
    }

    /// The slot of this moment.
    pub fn current(&mut self, now_nanos: u64) -> &mut T {
        self.roll(now_nanos);
        let at = self.newest as usize % self.slots.len();
        &mut self.slots[at]
    }

    /// The slots that still count.
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
        for step in 0..passed {
            let at = (now - step) as usize % self.slots.len();
            self.slots[at] = T::default();
        }
        self.newest = self.newest.max(now);
    }
}

/// Bits of a latency that are kept below its highest one: the error stays under 1/64.
const KEPT_BITS: u32 = 6;
/// Latencies above 2^32 µs (71 minutes) count as that.
const MICROS_MAX: u64 = u32::MAX as u64;
const BUCKETS: usize = (32 - KEPT_BITS as usize + 1) << KEPT_BITS;

/// Latencies in microseconds, in buckets that widen with the value.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    /// Empty until the first record: an idle slot costs nothing.
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

    /// The value in microseconds that `quantile` percent of the records of all `parts` do not exceed; 0 without records.
    pub fn quantile<'a>(parts: impl Iterator<Item = &'a Histogram> + Clone, quantile: f64) -> u64 {
        let filled = parts.filter(|part| !part.counts.is_empty());
        let total: u64 = filled.clone().flat_map(|part| &part.counts).map(|&count| u64::from(count)).sum();
        if total == 0 {
            return 0;
        }
        let wanted = ((quantile / 100.0 * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for bucket in 0..BUCKETS {
            seen += filled.clone().map(|part| u64::from(part.counts[bucket])).sum::<u64>();
            if seen >= wanted {
                return value_of(bucket);
            }
        }
        MICROS_MAX
    }
}

fn bucket_of(micros: u64) -> usize {
    let shift = (64 - micros.leading_zeros()).saturating_sub(KEPT_BITS + 1);
    ((shift as usize) << KEPT_BITS) + (micros >> shift) as usize
}

/// The least value that falls into the bucket.
fn value_of(bucket: usize) -> u64 {
    let low_bits = (bucket >> KEPT_BITS).saturating_sub(1);
    ((bucket - (low_bits << KEPT_BITS)) as u64) << low_bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn old_slots_are_forgotten() {
        let mut counts = Rolling::<u32>::new(10, 1_000);
        *counts.current(500) += 1;
        *counts.current(9_999) += 2;
        assert_eq!(counts.live(9_999).sum::<u32>(), 3);
        assert_eq!(counts.live(10_000).sum::<u32>(), 2);
        assert_eq!(counts.live(1_000_000).sum::<u32>(), 0);
    }

    #[test]
    fn a_clock_that_stands_still_or_lags_loses_nothing() {
        let mut counts = Rolling::<u32>::new(10, 1_000);
        *counts.current(50_000) += 1;
        // Another worker read its clock a little earlier.
        *counts.current(48_000) += 1;
        assert_eq!(counts.live(50_000).sum::<u32>(), 2);
    }

    #[test]
    fn quantiles_of_a_known_set() {
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
        fn a_bucket_holds_its_values(micros in 0u64..=MICROS_MAX) {
            let low = value_of(bucket_of(micros));
            prop_assert!(low <= micros && micros - low <= micros / 64);
            prop_assert!(bucket_of(micros) < BUCKETS);
        }
    }
}
