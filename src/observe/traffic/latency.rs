//! A histogram of latencies whose buckets have a constant relative width: each octave has four, so that a percentile is off by less than an
//! eighth.

/// Buckets from 8 microseconds to two minutes; the last one also holds all that took longer.
pub(super) const BUCKETS: usize = 96;

/// The width of the first buckets: 2^13 nanoseconds.
const UNIT_BITS: u32 = 13;
const PER_OCTAVE: usize = 4;
const PER_OCTAVE_BITS: u32 = 2;

/// The counts of one period.
pub(super) type Latencies = [u32; BUCKETS];

/// The bucket of a latency.
#[inline]
pub(super) fn bucket_of(nanos: u64) -> usize {
    let units = nanos >> UNIT_BITS;
    if units < PER_OCTAVE as u64 {
        return units as usize;
    }
    let octave = 63 - units.leading_zeros();
    let part = (units >> (octave - PER_OCTAVE_BITS)) as usize & (PER_OCTAVE - 1);
    (PER_OCTAVE * (octave - PER_OCTAVE_BITS + 1) as usize + part).min(BUCKETS - 1)
}

/// The smallest latency of a bucket, in milliseconds.
fn lower_millis(bucket: usize) -> f64 {
    let units = match bucket {
        0..PER_OCTAVE => bucket as f64,
        _ => {
            let octave = bucket / PER_OCTAVE - 1;
            (PER_OCTAVE + bucket % PER_OCTAVE) as f64 * (octave as f64).exp2()
        }
    };
    units * f64::from(1u32 << UNIT_BITS) / 1e6
}

/// The latency, in milliseconds, that `share` of the counts do not exceed; NaN without counts.
pub(super) fn percentile_millis(counts: &Latencies, share: f64) -> f32 {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    if total == 0 {
        return f32::NAN;
    }
    let wanted = share * total as f64;
    let mut before = 0.0;
    for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let after = before + f64::from(*count);
        if after >= wanted {
            let (low, high) = (lower_millis(bucket), lower_millis(bucket + 1));
            let within = ((wanted - before) / f64::from(*count)).clamp(0.0, 1.0);
            return (low + (high - low) * within) as f32;
        }
        before = after;
    }
    f32::NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_bounds_and_bucket_of_agree() {
        let mut last = 0;
        for nanos in (0..40).map(|bits| 1u64 << bits).flat_map(|n| [n, n + n / 3, n + n / 2, n + n / 5 * 4]) {
            let bucket = bucket_of(nanos);
            let millis = nanos as f64 / 1e6;
            if bucket < BUCKETS - 1 {
                assert!(lower_millis(bucket) <= millis && millis < lower_millis(bucket + 1), "{nanos} in {bucket}");
            }
            last = last.max(bucket);
        }
        assert_eq!(last, BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_an_eighth_of_the_exact_ones() {
        let mut counts = [0; BUCKETS];
        for micros in 1..=100_000u64 {
            counts[bucket_of(micros * 1000)] += 1;
        }
        for (share, exact) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
            let found = percentile_millis(&counts, share);
            assert!((found - exact).abs() < exact / 8.0, "{share}: {found}");
        }
        assert!(percentile_millis(&[0; BUCKETS], 0.5).is_nan());
    }
}
