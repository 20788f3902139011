//! The datagrams of UDP entry points (docs/reference/metrics.md#layer-4).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::prometheus::{Exposition, escaped};
use super::{Metrics, WorkerMetrics};

/// Why a datagram was not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// No UDP frontend belongs to the entry point.
    NoFrontend,
    /// The white list does not contain the client's address.
    WhiteList,
    /// The source is the entry point itself, or port 0: it is forged, and the answer would come back.
    ForgedSource,
    /// The backend has no server that is up, or none whose name has an address.
    NoServer,
    /// No descriptor or no port is left for a session's socket.
    Shortage,
    /// No server can be reached, or the system refuses to send the datagram to it.
    ServerFailed,
    /// An answer that the system refuses to send to the client.
    ClientUnreachable,
    /// The send buffer of a socket stayed full.
    SendBuffer,
    /// The receive buffer of the entry point's socket was full.
    ReceiveBuffer,
    /// The receive buffer of a session's socket was full.
    AnswerBuffer,
}

/// The counters of one entry point in one worker. Aligned so that two workers never write to one cache line.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct DatagramCounters {
    /// Whether the entry point takes datagrams at all.
    is_used: AtomicBool,
    passed_in: AtomicU64,
    passed_out: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl DropReason {
    /// All reasons, in the order in which `/metrics` lists them.
    pub const ALL: [DropReason; 10] = [
        DropReason::NoFrontend,
        DropReason::WhiteList,
        DropReason::ForgedSource,
        DropReason::NoServer,
        DropReason::Shortage,
        DropReason::ServerFailed,
        DropReason::ClientUnreachable,
        DropReason::SendBuffer,
        DropReason::ReceiveBuffer,
        DropReason::AnswerBuffer,
    ];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::NoFrontend => "no_frontend",
            DropReason::WhiteList => "white_list",
            DropReason::ForgedSource => "forged_source",
            DropReason::NoServer => "no_server",
            DropReason::Shortage => "shortage",
            DropReason::ServerFailed => "server_failed",
            DropReason::ClientUnreachable => "client_unreachable",
            DropReason::SendBuffer => "send_buffer",
            DropReason::ReceiveBuffer => "receive_buffer",
            DropReason::AnswerBuffer => "answer_buffer",
        }
    }
}

impl WorkerMetrics<'_> {
    /// Lists the entry point among those that take datagrams.
    pub fn takes_datagrams(&self, entry_point: usize) {
        if let Some(counters) = self.datagrams(entry_point) {
            counters.is_used.store(true, Relaxed);
        }
    }

    /// Counts datagrams of clients that were passed on.
    pub fn datagrams_in(&self, entry_point: usize, count: u64) {
        if let Some(counters) = self.datagrams(entry_point) {
            counters.passed_in.fetch_add(count, Relaxed);
        }
    }

    /// Counts answers that were passed on.
    pub fn datagrams_out(&self, entry_point: usize, count: u64) {
        if let Some(counters) = self.datagrams(entry_point) {
            counters.passed_out.fetch_add(count, Relaxed);
        }
    }

    pub fn datagrams_dropped(&self, entry_point: usize, reason: DropReason, count: u64) {
        if let Some(counters) = self.datagrams(entry_point) {
            counters.dropped[reason as usize].fetch_add(count, Relaxed);
        }
    }

    fn datagrams(&self, entry_point: usize) -> Option<&DatagramCounters> {
        self.metrics.datagrams.get(entry_point)?.get(self.worker)
    }
}

impl Exposition {
    pub(super) fn datagrams(&mut self, metrics: &Metrics) {
        let is_used = |counters: &&Box<[DatagramCounters]>| counters.iter().any(|one| one.is_used.load(Relaxed));
        let used: Vec<_> = metrics.entry_points.iter().map(|(name, _)| escaped(name)).zip(&metrics.datagrams).collect();
        let used: Vec<_> = used.into_iter().filter(|(_, counters)| is_used(counters)).collect();
        let name = "ringway_udp_datagrams_total";
        self.head(name, "counter", "Datagrams passed on, from clients (in) and to them (out).");
        for (entry_point, counters) in &used {
            let sum = |of: fn(&DatagramCounters) -> &AtomicU64| -> u64 {
                counters.iter().map(|one| of(one).load(Relaxed)).sum()
            };
            let label = |direction: &str| format!("direction=\"{direction}\",entrypoint=\"{entry_point}\"");
            self.line(name, &label("in"), sum(|one| &one.passed_in));
            self.line(name, &label("out"), sum(|one| &one.passed_out));
        }
        let name = "ringway_udp_datagrams_dropped_total";
        self.head(name, "counter", "Datagrams that were not passed on, by reason.");
        for (entry_point, counters) in &used {
            for reason in DropReason::ALL {
                let count: u64 = counters.iter().map(|one| one.dropped[reason as usize].load(Relaxed)).sum();
                self.line(name, &format!("entrypoint=\"{entry_point}\",reason=\"{}\"", reason.name()), count);
            }
        }
    }
}

// Counters are indexed by discriminant: `ALL` lists every variant, in declaration order.
const _: () = {
    let mut at = 0;
    while at < DropReason::ALL.len() {
        assert!(DropReason::ALL[at] as usize == at);
        at += 1;
    }
    assert!(DropReason::AnswerBuffer as usize + 1 == DropReason::ALL.len());
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{MetricsSettings, Scrape};

    #[test]
    fn datagrams_are_counted_for_the_entry_points_that_take_them() {
        let entry_points = vec!["http".to_owned(), "dns".to_owned()];
        let metrics = Metrics::new(&MetricsSettings { workers: 2, entry_points, ..MetricsSettings::default() });
        metrics.worker(0).takes_datagrams(1);
        metrics.worker(0).datagrams_in(1, 3);
        metrics.worker(1).datagrams_in(1, 4);
        metrics.worker(1).datagrams_out(1, 5);
        metrics.worker(1).datagrams_dropped(1, DropReason::WhiteList, 2);
        metrics.worker(1).datagrams_in(9, 1);
        let page = String::from_utf8(metrics.prometheus_text(&Scrape::default())).expect("text");
        for line in [
            "ringway_udp_datagrams_total{direction=\"in\",entrypoint=\"dns\"} 7",
            "ringway_udp_datagrams_total{direction=\"out\",entrypoint=\"dns\"} 5",
            "ringway_udp_datagrams_dropped_total{entrypoint=\"dns\",reason=\"white_list\"} 2",
            "ringway_udp_datagrams_dropped_total{entrypoint=\"dns\",reason=\"receive_buffer\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
        assert!(!page.contains("ringway_udp_datagrams_total{direction=\"in\",entrypoint=\"http\"}"), "{page}");
    }
}
