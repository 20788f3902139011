//! The counters of a backend's connections to its servers (docs/reference/metrics.md#servers). Only a process with `[metrics]` has them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::bounds::Bounds;
use super::histogram::{Histogram, HistogramSum};

/// The upper bounds in seconds of the histograms of connecting and of the first byte.
pub(super) const UPSTREAM_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Where the connection of a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionSource {
    /// An idle connection.
    Pooled,
    /// A connection that other requests use at the same time.
    Shared,
    /// A connection that was opened for the request.
    New,
}

impl ConnectionSource {
    pub(super) const ALL: [ConnectionSource; 3] =
        [ConnectionSource::Pooled, ConnectionSource::Shared, ConnectionSource::New];

    pub(super) fn name(self) -> &'static str {
        match self {
            ConnectionSource::Pooled => "pooled",
            ConnectionSource::Shared => "shared",
            ConnectionSource::New => "new",
        }
    }
}

/// The counters of one backend in one worker. Aligned so that two workers never write to one cache line.
#[repr(align(128))]
pub struct UpstreamCounters {
    bounds: Arc<Bounds>,
    /// Indexed by [`ConnectionSource`].
    connections: [AtomicU64; ConnectionSource::ALL.len()],
    failures: AtomicU64,
    connect: OnceLock<Box<Histogram>>,
    first_byte: OnceLock<Box<Histogram>>,
}

/// The counters of one backend as a reader finds them.
#[derive(Debug, Clone, Default)]
pub(super) struct UpstreamSum {
    pub connections: [u64; ConnectionSource::ALL.len()],
    pub failures: u64,
    pub connect: HistogramSum,
    pub first_byte: HistogramSum,
}

impl UpstreamCounters {
    pub(super) fn new(bounds: &Arc<Bounds>) -> Self {
        UpstreamCounters {
            bounds: Arc::clone(bounds),
            connections: Default::default(),
            failures: AtomicU64::new(0),
            connect: OnceLock::new(),
            first_byte: OnceLock::new(),
        }
    }

    /// Counts a request by the source of its connection.
    #[inline]
    pub fn connection(&self, source: ConnectionSource) {
        self.connections[source as usize].fetch_add(1, Relaxed);
    }

    /// Counts a request whose connection was opened in `nanos`, its TLS handshake included.
    pub fn connected(&self, nanos: u64) {
        self.connection(ConnectionSource::New);
        self.connect.get_or_init(|| Box::new(Histogram::new(&self.bounds))).record(&self.bounds, nanos);
    }

    /// Counts a connection that could not be opened.
    pub fn connect_failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Counts a response whose head arrived `nanos` after its server was chosen.
    pub fn first_byte(&self, nanos: u64) {
        self.first_byte.get_or_init(|| Box::new(Histogram::new(&self.bounds))).record(&self.bounds, nanos);
    }

    pub(super) fn add_to(&self, sum: &mut UpstreamSum) {
        for (sum, count) in sum.connections.iter_mut().zip(&self.connections) {
            *sum += count.load(Relaxed);
        }
        sum.failures += self.failures.load(Relaxed);
        for (sum, histogram) in [(&mut sum.connect, &self.connect), (&mut sum.first_byte, &self.first_byte)] {
            histogram.get().into_iter().for_each(|histogram| sum.add(&histogram.read()));
        }
    }
}
