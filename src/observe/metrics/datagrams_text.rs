//! The part of the Prometheus text about the datagrams of UDP entry points (docs/reference/metrics.md#layer-4).

use super::datagrams::{DatagramTotals, DropReason};
use super::exposition::{Exposition, MetricType};

impl Exposition {
    /// `entry_points` are those that take datagrams, by name.
    pub(super) fn datagrams(&mut self, entry_points: &[(&str, DatagramTotals)]) {
        let name = "ringway_udp_datagrams_total";
        self.head(name, MetricType::Counter, "Datagrams passed on, from clients (in) and to them (out).");
        for (entry_point, totals) in entry_points {
            for (direction, count) in [("in", totals.passed_in), ("out", totals.passed_out)] {
                self.line(&[("direction", direction), ("entrypoint", entry_point)], count as f64);
            }
        }
        let name = "ringway_udp_datagrams_dropped_total";
        self.head(name, MetricType::Counter, "Datagrams that were not passed on, by reason.");
        for (entry_point, totals) in entry_points {
            for (reason, count) in DropReason::ALL.iter().zip(totals.dropped) {
                self.line(&[("entrypoint", entry_point), ("reason", reason.name())], count as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::metrics::{DropReason, Format, Metrics, MetricsSettings, Scrape};

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
        let page = String::from_utf8(metrics.prometheus_page(&Scrape::default(), Format::Text)).expect("text");
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
