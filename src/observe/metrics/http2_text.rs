//! The part of the Prometheus text about HTTP/2 (docs/reference/metrics.md#http2).

use super::exposition::{Exposition, MetricType};
use super::http2::{DirectedTotals, Http2Totals, REASONS, Side, SideTotals};

/// The count of one side, given its totals.
type Count = fn(&SideTotals) -> u64;
/// The frames of one side, given its totals.
type Frames = fn(&SideTotals) -> &DirectedTotals;

const COUNTS: [(&str, MetricType, &str, Count); 4] = [
    ("connections_open", MetricType::Gauge, "Open HTTP/2 connections.", |side| side.connections_open),
    ("connections_total", MetricType::Counter, "HTTP/2 connections.", |side| side.connections),
    ("streams_open", MetricType::Gauge, "Open HTTP/2 streams.", |side| side.streams_open),
    ("streams_total", MetricType::Counter, "HTTP/2 streams.", |side| side.streams),
];

const FRAMES: [(&str, &str, Frames); 2] = [
    ("resets_total", "HTTP/2 streams that were reset (RST_STREAM).", |side| &side.resets),
    ("goaways_total", "GOAWAY frames, which end an HTTP/2 connection.", |side| &side.goaways),
];

impl Exposition {
    /// `client_connections` are the open connections of clients of all versions.
    pub(super) fn http2(&mut self, totals: &Http2Totals, client_connections: u64) {
        let name = "ringway_client_connections_open";
        self.head(name, MetricType::Gauge, "Open connections of clients.");
        let http2 = totals.clients.connections_open;
        self.line(&[("protocol", "http/1")], client_connections.saturating_sub(http2) as f64);
        self.line(&[("protocol", "http/2")], http2 as f64);
        for (name, kind, help, pick) in COUNTS {
            let name = format!("ringway_http2_{name}");
            self.head(&name, kind, help);
            for side in Side::ALL {
                self.line(&[("side", side.name())], pick(totals.of(side)) as f64);
            }
        }
        for (name, help, pick) in FRAMES {
            let name = format!("ringway_http2_{name}");
            self.head(&name, MetricType::Counter, help);
            for side in Side::ALL {
                self.frames(side, pick(totals.of(side)));
            }
        }
    }

    fn frames(&mut self, side: Side, counts: &DirectedTotals) {
        for (direction, counts) in [("sent", &counts.sent), ("received", &counts.received)] {
            for (reason, count) in REASONS.iter().zip(counts) {
                self.line(&[("direction", direction), ("reason", reason), ("side", side.name())], *count as f64);
            }
        }
    }
}
