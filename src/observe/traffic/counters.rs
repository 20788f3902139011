//! The live counters of one entry point, frontend or server. Each worker has a block of its own, made at its first request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::latency::{BUCKETS, Latencies, bucket_of};

/// The end of a request, as far as the counters need it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub status: u16,
    /// `None` for a tunnel: how long it was open says nothing about latency.
    pub nanos: Option<u64>,
}

/// The counters, by worker.
pub struct TrafficCounters {
    workers: Box<[OnceLock<Box<Block>>]>,
}

/// The counts since the control thread last took them. Aligned so that two workers never write to one cache line.
#[repr(align(128))]
struct Block {
    requests: AtomicU32,
    client_errors: AtomicU32,
    errors: AtomicU32,
    latencies: [AtomicU32; BUCKETS],
}

/// Counts of a period.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub requests: u64,
    /// Responses with a 4xx.
    pub client_errors: u64,
    /// Responses with a 5xx.
    pub errors: u64,
    pub latencies: Latencies,
}

impl TrafficCounters {
    pub(super) fn new(workers: usize) -> Self {
        TrafficCounters { workers: (0..workers.max(1)).map(|_| OnceLock::new()).collect() }
    }

    /// Counts a finished request. Only the first request of a worker allocates.
    #[inline]
    pub fn record(&self, worker: usize, outcome: Outcome) {
        let Some(slot) = self.workers.get(worker % self.workers.len()) else { return };
        let block = slot.get_or_init(Box::default);
        block.requests.fetch_add(1, Relaxed);
        match outcome.status {
            500.. => drop(block.errors.fetch_add(1, Relaxed)),
            400.. => drop(block.client_errors.fetch_add(1, Relaxed)),
            _ => {}
        }
        if let Some(count) = outcome.nanos.and_then(|nanos| block.latencies.get(bucket_of(nanos))) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Takes the counts of all workers: they begin at zero again.
    pub(super) fn take(&self) -> Taken {
        let mut taken = Taken::default();
        for block in self.workers.iter().filter_map(OnceLock::get) {
            let requests = block.requests.load(Relaxed);
            // Most frontends have no request in most seconds: their counters are only read.
            if requests == 0 {
                continue;
            }
            taken.requests += u64::from(take(&block.requests));
            taken.client_errors += u64::from(take(&block.client_errors));
            taken.errors += u64::from(take(&block.errors));
            for (sum, count) in taken.latencies.iter_mut().zip(&block.latencies) {
                *sum = sum.saturating_add(take(count));
            }
        }
        taken
    }
}

/// Takes one count. A count of zero is not written, so that the worker keeps its cache line.
fn take(count: &AtomicU32) -> u32 {
    match count.load(Relaxed) {
        0 => 0,
        _ => count.swap(0, Relaxed),
    }
}

impl Default for Block {
    fn default() -> Self {
        Block {
            requests: AtomicU32::new(0),
            client_errors: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            latencies: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

impl Default for Taken {
    fn default() -> Self {
        Taken { requests: 0, client_errors: 0, errors: 0, latencies: [0; BUCKETS] }
    }
}

impl Taken {
    pub(super) fn add(&mut self, other: &Taken) {
        self.requests += other.requests;
        self.client_errors += other.client_errors;
        self.errors += other.errors;
        for (sum, more) in self.latencies.iter_mut().zip(&other.latencies) {
            *sum = sum.saturating_add(*more);
        }
    }
}
