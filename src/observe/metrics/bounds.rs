//! The buckets of the duration histograms.

/// Traefik's default bounds of the duration histogram, in seconds (docs/reference/metrics.md#keys).
pub const DEFAULT_BUCKETS: [f64; 4] = [0.1, 0.3, 1.2, 5.0];

/// The most bounds of a histogram; further ones are ignored.
pub const BUCKETS_MAX: usize = 64;

/// The upper bounds of the histogram's buckets, in both units.
pub(super) struct Bounds {
    pub(super) seconds: Vec<f64>,
    pub(super) nanos: Vec<u64>,
    /// Whether histograms have exponential buckets besides.
    pub(super) has_exponential: bool,
}

impl Bounds {
    pub(super) fn new(seconds: &[f64], has_exponential: bool) -> Self {
        let wanted = if seconds.is_empty() { &DEFAULT_BUCKETS[..] } else { seconds };
        let mut seconds: Vec<f64> = wanted.iter().copied().filter(|bound| bound.is_finite() && *bound > 0.0).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.dedup();
        seconds.truncate(BUCKETS_MAX);
        let nanos = seconds.iter().map(|bound| (bound * 1e9) as u64).collect();
        Bounds { seconds, nanos, has_exponential }
    }
}
