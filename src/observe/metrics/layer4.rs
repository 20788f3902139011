//! The counters of TCP connections and UDP sessions (docs/reference/metrics.md#layer-4).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::observe::layer4::{EndReason, Layer4};

/// The counters of one backend; most backends have none. The workers share them: they are written once at the beginning and once at the end
/// of a connection, which costs far more itself.
#[derive(Default)]
pub(super) struct BackendTraffic {
    tcp: OnceLock<Box<Traffic>>,
    udp: OnceLock<Box<Traffic>>,
}

/// Aligned so that counters of two backends never share a cache line.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Traffic {
    pub total: AtomicU64,
    pub open: AtomicI64,
    /// Bytes that clients sent, and that they received.
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
}

/// The connections and sessions of one worker, counted by the reason of their end.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct EndCounters {
    tcp: [AtomicU64; EndReason::ALL.len()],
    udp: [AtomicU64; EndReason::ALL.len()],
}

impl BackendTraffic {
    pub(super) fn of(&self, layer4: Layer4) -> Option<&Traffic> {
        self.slot(layer4).get().map(|traffic| &**traffic)
    }

    fn slot(&self, layer4: Layer4) -> &OnceLock<Box<Traffic>> {
        match layer4 {
            Layer4::Tcp => &self.tcp,
            Layer4::Udp => &self.udp,
        }
    }
}

impl EndCounters {
    pub(super) fn of(&self, layer4: Layer4) -> &[AtomicU64; EndReason::ALL.len()] {
        match layer4 {
            Layer4::Tcp => &self.tcp,
            Layer4::Udp => &self.udp,
        }
    }
}

impl BackendTraffic {
    pub(super) fn opened(&self, layer4: Layer4) {
        let traffic = self.slot(layer4).get_or_init(Box::default);
        traffic.total.fetch_add(1, Relaxed);
        traffic.open.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self, layer4: Layer4, bytes_in: u64, bytes_out: u64) {
        if let Some(traffic) = self.of(layer4) {
            traffic.open.fetch_sub(1, Relaxed);
            traffic.bytes_in.fetch_add(bytes_in, Relaxed);
            traffic.bytes_out.fetch_add(bytes_out, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{Format, Metrics, MetricsSettings, Scrape};

    #[test]
    fn connections_sessions_and_ends_are_counted_by_backend_and_reason() {
        let metrics = Metrics::new(&MetricsSettings { workers: 2, ..MetricsSettings::default() });
        let backend = metrics.backend("db");
        for worker in 0..2 {
            metrics.worker(worker).connection_opened(Layer4::Tcp, &backend);
        }
        metrics.worker(1).connection_closed(Layer4::Tcp, Some(&backend), EndReason::ClientReset, 10, 20);
        metrics.worker(0).connection_closed(Layer4::Tcp, None, EndReason::WhiteList, 0, 0);
        let page = String::from_utf8(metrics.prometheus_page(&Scrape::default(), Format::Text)).expect("text");
        for line in [
            "ringway_tcp_connections_total{backend=\"db\"} 2",
            "ringway_tcp_connections_open{backend=\"db\"} 1",
            "ringway_tcp_bytes_total{backend=\"db\",direction=\"in\"} 10",
            "ringway_tcp_bytes_total{backend=\"db\",direction=\"out\"} 20",
            "ringway_tcp_connections_ended_total{reason=\"client_reset\"} 1",
            "ringway_tcp_connections_ended_total{reason=\"white_list\"} 1",
            "ringway_udp_sessions_ended_total{reason=\"idle_timeout\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
        assert!(!page.contains("ringway_udp_sessions_total{"), "a backend without sessions has no series");
        metrics.worker(0).connection_opened(Layer4::Udp, &backend);
        let page = String::from_utf8(metrics.prometheus_page(&Scrape::default(), Format::Text)).expect("text");
        assert!(page.contains("\nringway_udp_sessions_open{backend=\"db\"} 1\n"), "{page}");
    }
}
