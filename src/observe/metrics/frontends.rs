//! The bytes of frontends (docs/reference/metrics.md#frontends). Only a process with `[metrics]` counts them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bytes of one frontend, by worker.
pub struct FrontendBytes {
    workers: Box<[WorkerBytes]>,
}

/// Aligned so that two workers never write to one cache line.
#[derive(Default)]
#[repr(align(128))]
struct WorkerBytes {
    received: AtomicU64,
    sent: AtomicU64,
}

impl FrontendBytes {
    pub(super) fn new(workers: usize) -> Self {
        FrontendBytes { workers: (0..workers.max(1)).map(|_| WorkerBytes::default()).collect() }
    }

    /// Adds the body of a request and that of its response.
    pub(super) fn add(&self, worker: usize, received: u64, sent: u64) {
        let counters = &self.workers[worker % self.workers.len()];
        counters.received.fetch_add(received, Relaxed);
        counters.sent.fetch_add(sent, Relaxed);
    }

    /// Bytes received from clients, and sent to them.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.workers.iter().fold((0, 0), |(received, sent), counters| {
            (received.wrapping_add(counters.received.load(Relaxed)), sent.wrapping_add(counters.sent.load(Relaxed)))
        })
    }
}
