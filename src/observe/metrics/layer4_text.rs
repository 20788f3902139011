//! The part of the Prometheus text about layer 4 (docs/reference/metrics.md#layer-4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::layer4::Traffic;
use super::prometheus::{Exposition, escaped};
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
            self.head(&name, "counter", &format!("{what} to a backend."));
            self.traffic(backends, layer4, |page, label, traffic| page.line(&name, label, traffic.total.load(Relaxed)));
            let name = format!("{prefix}_open");
            self.head(&name, "gauge", &format!("Open {what} to a backend."));
            self.traffic(backends, layer4, |page, label, traffic| page.line(&name, label, traffic.open.load(Relaxed)));
            self.head(
                bytes,
                "counter",
                &format!("Bytes of {what} that have ended, from clients (in) and to them (out)."),
            );
            self.traffic(backends, layer4, |page, label, traffic| {
                page.line(bytes, &format!("{label},direction=\"in\""), traffic.bytes_in.load(Relaxed));
                page.line(bytes, &format!("{label},direction=\"out\""), traffic.bytes_out.load(Relaxed));
            });
            let name = format!("{prefix}_ended_total");
            self.head(&name, "counter", &format!("{what} that have ended, by reason."));
            for (at, reason) in EndReason::ALL.iter().enumerate() {
                let count: u64 = metrics.layer4_ends.iter().map(|ends| ends.of(layer4)[at].load(Relaxed)).sum();
                self.line(&name, &format!("reason=\"{}\"", reason.name()), count);
            }
        }
    }

    /// Calls `line` for each backend that has counters, with the label that names it.
    fn traffic(&mut self, backends: &Backends, layer4: Layer4, line: impl Fn(&mut Self, &str, &Traffic)) {
        for (name, backend) in backends {
            if let Some(traffic) = backend.traffic.of(layer4) {
                line(self, &format!("backend=\"{}\"", escaped(name)), traffic);
            }
        }
    }
}
