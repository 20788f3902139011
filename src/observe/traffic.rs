//! Live traffic for the dashboard and the API: the workers count requests, errors and latencies of entry points, frontends and servers, and
//! the control thread turns the counts into the history of the last fifteen minutes (docs/reference/api.md#history).
//!
//! Only a process with `[api]` has a [`Traffic`]. Memory is bounded: counters exist for the frontends and servers of the configuration and
//! of each only for workers that served it; the history keeps `HISTORY_SERIES_MAX` of them.

mod counters;
mod errors;
mod history;
mod latency;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::labels::ContainerReport;
use crate::limits::TRAFFIC_BLOCKS_MAX;
pub use counters::{Outcome, TrafficCounters};
use errors::ErrorLog;
pub use errors::{ErrorEntry, ErrorFacts};
use history::History;
pub use history::{HistoryView, LiveSecond, Point, Recent, SeriesKey, SeriesView};

/// The live counters, the history and the recent errors of the process.
pub struct Traffic {
    /// Blocks of each counter: one per worker, but bounded; with more workers some share one.
    workers: usize,
    entry_points: Vec<(SeriesKey, TrafficCounters)>,
    /// The counters of frontends and servers, also of those that only requests in flight still use.
    registered: Mutex<BTreeMap<SeriesKey, Arc<TrafficCounters>>>,
    history: Mutex<History>,
    errors: ErrorLog,
    containers: Mutex<Arc<[ContainerReport]>>,
}

impl Traffic {
    pub fn new(workers: usize, entry_points: &[String]) -> Self {
        let entry = |name: &String| (SeriesKey::EntryPoint(name.clone()), TrafficCounters::new(workers));
        let workers = workers.min(TRAFFIC_BLOCKS_MAX);
        Traffic {
            workers,
            entry_points: entry_points.iter().map(entry).collect(),
            registered: Mutex::default(),
            history: Mutex::default(),
            errors: ErrorLog::default(),
            containers: Mutex::new(Arc::new([])),
        }
    }

    /// The counters of the entry point with this index.
    pub fn entry_point(&self, index: usize) -> Option<&TrafficCounters> {
        self.entry_points.get(index).map(|(_, counters)| counters)
    }

    /// The counters of a frontend or server, created at the first call. For the control plane only: the call takes a lock.
    pub fn register(&self, key: SeriesKey) -> Arc<TrafficCounters> {
        let mut registered = lock(&self.registered);
        Arc::clone(registered.entry(key).or_insert_with(|| Arc::new(TrafficCounters::new(self.workers))))
    }

    /// Takes the counts since the last call into the history; the control thread calls this once a second.
    pub fn tick(&self, unix_millis: u64) {
        let mut history = lock(&self.history);
        for (key, counters) in &self.entry_points {
            let taken = counters.take();
            history.add(key, &taken);
            history.add_to_total(&taken);
        }
        if !history.end_second(unix_millis) {
            return;
        }
        lock(&self.registered).retain(|key, counters| {
            // A request in flight holds the configuration, and with it the counters.
            let is_used = Arc::strong_count(counters) > 1;
            history.add(key, &counters.take());
            is_used
        });
        history.end_step(unix_millis);
    }

    /// The history at this time.
    pub fn history(&self) -> HistoryView {
        lock(&self.history).view()
    }

    /// As [`history`](Self::history), but without frontends, servers and entry points.
    pub fn summary(&self) -> HistoryView {
        lock(&self.history).summary()
    }

    /// The points of one series; `None` if nothing is known of it.
    pub fn series(&self, key: &SeriesKey) -> Option<SeriesView> {
        lock(&self.history).series(key)
    }

    /// Stores a request that ended with an error.
    pub fn store_error(&self, facts: &ErrorFacts<'_>) {
        self.errors.store(facts);
    }

    /// The recent errors, the newest first, and how many were not stored because too many came at once.
    pub fn errors(&self) -> (Vec<ErrorEntry>, u64) {
        self.errors.newest()
    }

    /// Publishes the reports on all containers.
    pub fn set_containers(&self, reports: Vec<ContainerReport>) {
        *lock(&self.containers) = reports.into();
    }

    pub fn containers(&self) -> Arc<[ContainerReport]> {
        Arc::clone(&lock(&self.containers))
    }
}

/// Locks a value. A poisoned lock is safe to use: each change is one call that leaves the value whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontend(name: &str) -> SeriesKey {
        SeriesKey::Frontend { provider: "file".into(), name: name.into() }
    }

    #[test]
    fn history_shows_what_workers_counted_before_the_page_was_opened() {
        let traffic = Traffic::new(2, &["http".to_owned()]);
        let shop = traffic.register(frontend("shop"));
        for worker in 0..2 {
            for _ in 0..10 {
                shop.record(worker, Outcome { status: 200, nanos: Some(3_000_000) });
                traffic.entry_point(0).expect("http").record(worker, Outcome { status: 503, nanos: Some(1) });
            }
        }
        for second in 1..=5 {
            traffic.tick(second * 1000);
        }
        let series = traffic.series(&frontend("shop")).expect("a series");
        assert_eq!(series.points.len(), 1);
        assert_eq!((series.points[0].requests, series.points[0].errors), (20, 0));
        let p95 = series.points[0].p95_millis;
        assert!((2.5..3.6).contains(&p95), "{p95}");
        let view = traffic.history();
        assert_eq!((view.total.points[0].requests, view.total.points[0].errors), (20, 20));
        assert_eq!(view.live.iter().map(|live| live.requests).sum::<u64>(), 20);
    }

    #[test]
    fn counters_of_a_removed_frontend_are_dropped_after_their_last_count() {
        let traffic = Traffic::new(1, &[]);
        let shop = traffic.register(frontend("shop"));
        shop.record(0, Outcome { status: 200, nanos: None });
        drop(shop);
        for second in 1..=5 {
            traffic.tick(second * 1000);
        }
        assert!(lock(&traffic.registered).is_empty());
        assert_eq!(traffic.series(&frontend("shop")).expect("its past").points[0].requests, 1);
    }
}
