//! The counters of requests, summed over all workers: the values that a scrape shows and a push sends.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use super::block::{Block, Kind};
use super::histogram::{HistogramSum, middle_secs};
use super::upstream::UpstreamSum;
use super::{BackendMetrics, Method, Metrics, Protocol};

/// The counters that Traefik pushes.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    pub reloads: u64,
    pub reload_failures: u64,
    /// In seconds since 1970; 0 if never.
    pub last_reload_unix_secs: u64,
    pub last_failure_unix_secs: u64,
    pub entry_points: Vec<Owner>,
    pub backends: Vec<Owner>,
}

/// An entry point or a backend with its sums over all workers.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    pub name: String,
    pub(super) series: BTreeMap<Kind, HistogramSum>,
    pub(super) open: BTreeMap<(Method, Protocol), i64>,
    pub retries: u64,
    pub(super) upstream: Option<UpstreamSum>,
}

/// The labels of requests of one kind, and what was counted of them since another reading.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRequests {
    pub code: String,
    pub method: &'static str,
    pub protocol: &'static str,
    pub count: u64,
    /// Durations in seconds and how many requests took each, in rising order.
    pub durations: Vec<(f64, u64)>,
}

impl Metrics {
    /// Reads all counters of requests and of reloads.
    pub fn reading(&self) -> Reading {
        Reading {
            reloads: self.reloads.load(Relaxed),
            reload_failures: self.reload_failures.load(Relaxed),
            last_reload_unix_secs: self.reload_unix_secs.load(Relaxed),
            last_failure_unix_secs: self.reload_failure_unix_secs.load(Relaxed),
            entry_points: self.entry_points.iter().map(|(name, blocks)| Owner::new(name, blocks)).collect(),
            backends: self.backends().iter().map(|(name, backend)| Owner::of_backend(name, backend)).collect(),
        }
    }
}

impl Owner {
    fn new(name: &str, blocks: &[Block]) -> Self {
        let mut owner = Owner { name: name.to_owned(), ..Owner::default() };
        for block in blocks {
            block.each(|kind, sum| owner.series.entry(kind).or_default().add(&sum));
            for (pair, count) in block.open() {
                *owner.open.entry(pair).or_default() += count;
            }
            owner.retries += block.retries();
        }
        // A pair that was never used has no series. A pair that was used stays listed with 0, so that its series does not end.
        let used = |pair: &(Method, Protocol)| owner.series.keys().any(|kind| (kind.method, kind.protocol) == *pair);
        owner.open.retain(|pair, count| *count != 0 || used(pair));
        owner
    }

    fn of_backend(name: &str, backend: &BackendMetrics) -> Self {
        let mut owner = Owner::new(name, &backend.blocks);
        for counters in &backend.upstream {
            counters.add_to(owner.upstream.get_or_insert_default());
        }
        owner
    }

    /// The requests that were counted after `before` was read.
    pub fn requests_since(&self, before: Option<&Owner>) -> Vec<NewRequests> {
        let none = HistogramSum::default();
        let new = self.series.iter().map(|(kind, sum)| {
            let old = before.and_then(|before| before.series.get(kind)).unwrap_or(&none);
            NewRequests {
                code: kind.code(),
                method: kind.method.label(),
                protocol: kind.protocol.label(),
                count: new_count(sum.count, old.count),
                durations: sum.since(old).into_iter().map(|(index, count)| (middle_secs(index), count)).collect(),
            }
        });
        new.filter(|requests| requests.count > 0).collect()
    }

    /// Requests in flight, by method and protocol.
    pub fn open(&self) -> impl Iterator<Item = (&'static str, &'static str, i64)> + '_ {
        self.open.iter().map(|((method, protocol), count)| (method.label(), protocol.label(), *count))
    }
}

impl Kind {
    /// The value of the label `code`.
    pub(super) fn code(&self) -> String {
        if self.status == 0 { "other".to_owned() } else { self.status.to_string() }
    }
}

/// The count since a counter was `old`. A counter that is smaller now began again: its backend was away for a while.
pub fn new_count(now: u64, old: u64) -> u64 {
    if now < old { now } else { now - old }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{MetricsSettings, Sample};

    fn record(metrics: &Metrics, worker: usize, nanos: u64) {
        metrics.worker(worker).record(&Sample {
            entry_point: 0,
            backend: None,
            status: 200,
            method: Method::Get,
            protocol: Protocol::Http,
            nanos,
            backend_nanos: 0,
            bytes: 0,
            unix_secs: 0,
        });
    }

    #[test]
    fn requests_since_a_reading_have_their_count_and_durations() {
        let settings = MetricsSettings {
            workers: 2,
            entry_points: vec!["http".into()],
            detailed: true,
            ..MetricsSettings::default()
        };
        let metrics = Metrics::new(&settings);
        record(&metrics, 0, 1_000_000_000);
        let before = metrics.reading();
        assert_eq!(before.entry_points[0].requests_since(None)[0].count, 1);
        assert!(before.entry_points[0].requests_since(Some(&before.entry_points[0])).is_empty());
        record(&metrics, 0, 1_000_000_000);
        record(&metrics, 1, 8_000_000_000);
        let after = metrics.reading();
        let [requests] = &after.entry_points[0].requests_since(Some(&before.entry_points[0]))[..] else {
            panic!("one kind of request")
        };
        assert_eq!((requests.code.as_str(), requests.method, requests.count), ("200", "GET", 2));
        let [(first, 1), (second, 1)] = requests.durations[..] else { panic!("{requests:?}") };
        assert!((0.95..1.05).contains(&first) && (7.6..8.4).contains(&second), "{requests:?}");
    }

    #[test]
    fn counter_that_began_anew_counts_from_zero() {
        assert_eq!((new_count(7, 5), new_count(3, 5)), (2, 3));
    }
}
