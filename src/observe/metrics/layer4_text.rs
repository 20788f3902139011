//! The part of the Prometheus text about layer 4 (docs/reference/metrics.md#layer-4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::exposition::{Exposition, MetricType};
use super::layer4::Traffic;
use super::{BackendMetrics, Metrics};
use crate::observe::layer4::{EndReason, Layer4};

type Backends = BTreeMap<String, Arc<BackendMetrics>>;

impl Exposition {
    pub(super) fn layer4(&mut self, metrics: &Metrics, backends: &Backends) {
        for (layer4, prefix, bytes, what) in [
            (Layer4::Tcp, "ringway_tcp_connections", "ringway_tcp_bytes_total", "TCP connections"),
            (Layer4::Udp, "ringway_udp_sessions", "ringway_udp_bytes_total", "UDP sessions"),
        ] {
            let name = format!("{prefix}_total");
            self.head(&name, MetricType::Counter, &format!("{what} to a backend."));
            self.traffic(backends, layer4, |page, backend, traffic| {
                page.line(&[("backend", backend)], traffic.total.load(Relaxed) as f64);
            });
            let name = format!("{prefix}_open");
            self.head(&name, MetricType::Gauge, &format!("Open {what} to a backend."));
            self.traffic(backends, layer4, |page, backend, traffic| {
                page.line(&[("backend", backend)], traffic.open.load(Relaxed) as f64);
            });
            self.head(
                bytes,
                MetricType::Counter,
                &format!("Bytes of {what} that have ended, from clients (in) and to them (out)."),
            );
            self.traffic(backends, layer4, |page, backend, traffic| {
                let (bytes_in, bytes_out) = (traffic.bytes_in.load(Relaxed), traffic.bytes_out.load(Relaxed));
                page.line(&[("backend", backend), ("direction", "in")], bytes_in as f64);
                page.line(&[("backend", backend), ("direction", "out")], bytes_out as f64);
            });
            let name = format!("{prefix}_ended_total");
            self.head(&name, MetricType::Counter, &format!("{what} that have ended, by reason."));
            for (at, reason) in EndReason::ALL.iter().enumerate() {
                let count: u64 = metrics.layer4_ends.iter().map(|ends| ends.of(layer4)[at].load(Relaxed)).sum();
                self.line(&[("reason", reason.name())], count as f64);
            }
        }
    }

    /// Calls `line` for each backend that has counters, with its name.
    fn traffic(&mut self, backends: &Backends, layer4: Layer4, line: impl Fn(&mut Self, &str, &Traffic)) {
        for (name, backend) in backends {
            if let Some(traffic) = backend.traffic.of(layer4) {
                line(self, name, traffic);
            }
        }
    }
}
