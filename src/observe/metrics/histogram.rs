//! A histogram of durations of one worker: the buckets of the text format and, with `[metrics]`, exponential ones. Scrapers that ask for
//! native histograms and the pushers use the exponential ones.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::bounds::Bounds;

/// The exponential buckets' schema of Prometheus: eight buckets for each factor of two, so that a value read back from one is wrong by at
/// most 4.5 %.
pub(super) const SCHEMA: i32 = 3;
const PER_OCTAVE: usize = 1 << SCHEMA;
/// The first octave ends at 2^-16 s (15 µs), the last one at 2^17 s (36 hours).
const OCTAVE_MIN: i64 = -17;
const OCTAVES: usize = 34;

/// 2^(j/8) for each bucket of an octave.
const STEPS: [f64; PER_OCTAVE] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

/// The counters.
pub(super) struct Histogram {
    count: AtomicU64,
    sum_nanos: AtomicU64,
    /// Values no larger than the bound of the same index, but larger than the bound before it.
    buckets: Box<[AtomicU64]>,
    exponential: Option<Box<Exponential>>,
}

/// Counts of exponential buckets, by octave: durations of one kind of request fill few of them.
struct Exponential([OnceLock<Box<[AtomicU64; PER_OCTAVE]>>; OCTAVES]);

/// The counters as a reader finds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HistogramSum {
    pub count: u64,
    pub sum_nanos: u64,
    pub buckets: Vec<u64>,
    /// The counts of exponential buckets by index, in rising order. The bucket `i` ends at 2^(i/8) seconds.
    pub exponential: Vec<(i32, u64)>,
}

impl Histogram {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Histogram {
            count: AtomicU64::new(0),
            sum_nanos: AtomicU64::new(0),
            buckets: bounds.nanos.iter().map(|_| AtomicU64::new(0)).collect(),
            exponential: bounds.has_exponential.then(|| Box::new(Exponential([const { OnceLock::new() }; OCTAVES]))),
        }
    }

    #[inline]
    pub(super) fn record(&self, bounds: &Bounds, nanos: u64) {
        self.count.fetch_add(1, Relaxed);
        self.sum_nanos.fetch_add(nanos, Relaxed);
        let bucket = bounds.nanos.iter().position(|&bound| nanos <= bound);
        if let Some(bucket) = bucket.and_then(|at| self.buckets.get(at)) {
            bucket.fetch_add(1, Relaxed);
        }
        if let Some(exponential) = &self.exponential {
            exponential.record(nanos);
        }
    }

    pub(super) fn read(&self) -> HistogramSum {
        HistogramSum {
            count: self.count.load(Relaxed),
            sum_nanos: self.sum_nanos.load(Relaxed),
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            exponential: self.exponential.as_ref().map_or_else(Vec::new, |exponential| exponential.read()),
        }
    }
}

impl Exponential {
    fn record(&self, nanos: u64) {
        let slot = slot_of(nanos);
        if let Some(octave) = self.0.get(slot / PER_OCTAVE) {
            octave.get_or_init(Box::default)[slot % PER_OCTAVE].fetch_add(1, Relaxed);
        }
    }

    fn read(&self) -> Vec<(i32, u64)> {
        let octaves = self.0.iter().enumerate().filter_map(|(at, octave)| Some((at, octave.get()?)));
        let counts = octaves.flat_map(|(octave, buckets)| {
            let index = move |at: usize| (octave * PER_OCTAVE + at) as i32 + OCTAVE_MIN as i32 * PER_OCTAVE as i32 + 1;
            buckets.iter().enumerate().map(move |(at, count)| (index(at), count.load(Relaxed)))
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl HistogramSum {
    pub(super) fn add(&mut self, other: &HistogramSum) {
        self.count += other.count;
        self.sum_nanos = self.sum_nanos.wrapping_add(other.sum_nanos);
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        for &(index, count) in &other.exponential {
            match self.exponential.binary_search_by_key(&index, |(own, _)| *own) {
                Ok(at) => self.exponential[at].1 += count,
                Err(at) => self.exponential.insert(at, (index, count)),
            }
        }
    }

    /// The values recorded since `before`. All values of a histogram that began again are new.
    pub(super) fn since(&self, before: &HistogramSum) -> Vec<(i32, u64)> {
        let old = |index: i32| {
            let found = before.exponential.binary_search_by_key(&index, |(own, _)| *own);
            found.map_or(0, |at| before.exponential[at].1)
        };
        let has_restarted = self.exponential.iter().any(|(index, count)| *count < old(*index));
        let new = self.exponential.iter().map(|(index, count)| {
            let old = if has_restarted { 0 } else { old(*index) };
            (*index, count - old)
        });
        new.filter(|(_, count)| *count > 0).collect()
    }
}

/// The value in seconds that stands for all values of a bucket: its middle on the logarithmic scale.
pub(super) fn middle_secs(index: i32) -> f64 {
    ((f64::from(index) - 0.5) / PER_OCTAVE as f64).exp2()
}

/// The number of the bucket of a duration, from 0. A bucket includes its upper bound. Durations below the first bucket count in it, those
/// above the last one in that.
fn slot_of(nanos: u64) -> usize {
    let bits = (nanos as f64 / 1e9).to_bits();
    // A duration is never negative: the upper bits are the exponent alone.
    let octave = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    let steps: i64 = STEPS.iter().map(|step| i64::from(*step < mantissa)).sum();
    let slot = (octave - OCTAVE_MIN) * PER_OCTAVE as i64 + steps - 1;
    slot.clamp(0, (OCTAVES * PER_OCTAVE) as i64 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(nanos: &[u64]) -> HistogramSum {
        let bounds = Bounds::new(&[0.1, 1.0], true);
        let histogram = Histogram::new(&bounds);
        nanos.iter().for_each(|&nanos| histogram.record(&bounds, nanos));
        histogram.read()
    }

    #[test]
    fn exponential_bucket_contains_its_value_and_its_upper_bound() {
        for nanos in [16_000, 100_000, 999_999_999, 1_000_000_000, 1_000_000_001, 3_000_000_000, 86_400_000_000_000] {
            let [(index, 1)] = recorded(&[nanos]).exponential[..] else { panic!("{nanos}") };
            let (lower, upper) = (f64::from(index - 1) / 8.0, f64::from(index) / 8.0);
            let secs = nanos as f64 / 1e9;
            assert!(lower.exp2() < secs && secs <= upper.exp2(), "{nanos}: bucket {index}");
            let error = (middle_secs(index) / secs - 1.0).abs();
            assert!(error < 0.045, "{nanos}: {error}");
        }
        assert_eq!(recorded(&[1_000_000_000]).exponential, [(0, 1)]);
        assert_eq!(recorded(&[2_000_000_000]).exponential, [(8, 1)]);
    }

    #[test]
    fn durations_beyond_the_buckets_count_in_the_outermost() {
        let low = recorded(&[0, 1, 7_000]).exponential;
        assert_eq!(low, [(-135, 3)]);
        assert_eq!(recorded(&[u64::MAX]).exponential, [(136, 1)]);
    }

    #[test]
    fn sums_and_differences_match_by_index() {
        let mut sum = recorded(&[1_000_000_000, 5]);
        let before = sum.clone();
        sum.add(&recorded(&[1_000_000_000, 4_000_000_000]));
        assert_eq!((sum.count, &sum.buckets[..]), (4, &[1, 2][..]));
        assert_eq!(sum.since(&before), [(0, 1), (16, 1)]);
        assert_eq!(recorded(&[4_000_000_000]).since(&before), [(16, 1)]);
        let twice = recorded(&[1_000_000_000, 1_000_000_000]);
        assert_eq!(recorded(&[1_000_000_000]).since(&twice), [(0, 1)], "a histogram that began anew");
    }

    #[test]
    fn histogram_without_metrics_has_no_exponential_buckets() {
        let bounds = Bounds::new(&[], false);
        let histogram = Histogram::new(&bounds);
        histogram.record(&bounds, 1);
        assert!(histogram.exponential.is_none() && histogram.read().exponential.is_empty());
    }
}
