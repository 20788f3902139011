//! Counters of the data plane: each worker adds to its own block, and a scrape adds up the blocks of all workers.
//!
//! Recording takes no lock and allocates only for the first request of a kind (status, method, protocol): a sample finds its
//! counters by the number of the entry point, the number of the worker and a short list of the kinds seen there. Backends come
//! and go with configurations: the control plane calls [`Metrics::backend`] for the blocks of a name and stores the `Arc` beside
//! the snapshot, in [`Published`](super::Published), so that a backend of the same name keeps its counters across a reload.

mod block;
mod bounds;
mod busy;
mod datagrams;
mod datagrams_text;
mod exposition;
mod frontends;
mod health_counters;
mod histogram;
mod http2;
mod http2_text;
mod labels;
mod layer4;
mod layer4_text;
mod open;
mod prometheus;
mod protobuf;
mod proxy_headers;
mod reading;
mod upstream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::certificates::CertificateState;
use super::traffic::Traffic;
use crate::limits::Bound;
use crate::observe::layer4::{EndReason, Layer4};
use block::Block;
use bounds::Bounds;
pub use bounds::{BUCKETS_MAX, DEFAULT_BUCKETS};
use busy::BusyTime;
use datagrams::DatagramCounters;
pub use datagrams::{DatagramTotals, DropReason};
pub use exposition::Format;
pub use frontends::FrontendBytes;
use health_counters::HealthCounters;
pub use health_counters::{HealthTotals, RecentError};
use http2::Http2Counters;
pub use http2::{DirectedTotals, Direction, Http2Totals, REASONS, Side, SideTotals};
pub use labels::{Method, Protocol};
use layer4::{BackendTraffic, EndCounters};
pub use open::OpenConnections;
pub use prometheus::{ProcessFacts, Scrape, ServerHealth, ServerSample, states_by_url};
use proxy_headers::ProxyHeaderCounters;
pub use proxy_headers::ProxyHeaderResult;
pub use reading::{NewRequests, Owner, Reading, new_count};
use upstream::UPSTREAM_BUCKETS;
pub use upstream::{ConnectionSource, UpstreamCounters};

/// The layout of [`Metrics`], fixed for the life of the process.
#[derive(Debug, Clone, Default)]
pub struct MetricsSettings {
    pub workers: usize,
    pub entry_points: Vec<String>,
    /// Upper bounds in seconds; empty means [`DEFAULT_BUCKETS`].
    pub buckets: Vec<f64>,
    /// How many recent errors `/health` shows (`api.statistics.recentErrors`); 0 keeps none.
    pub recent_errors: usize,
    /// Whether live traffic is counted for the API and the dashboard.
    pub traffic: bool,
    /// Whether durations are counted in exponential buckets too, and connections to servers and the bytes of frontends at all: with
    /// `[metrics]`.
    pub detailed: bool,
}

/// A finished request.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    /// The entry point's index in [`MetricsSettings::entry_points`].
    pub entry_point: usize,
    /// `None` if no server was chosen: redirects, refusals, unknown hosts.
    pub backend: Option<&'a BackendMetrics>,
    pub status: u16,
    pub method: Method,
    pub protocol: Protocol,
    /// From the complete request head to the end of the response.
    pub nanos: u64,
    /// From the choice of the last server to the end of the response.
    pub backend_nanos: u64,
    /// Bytes of the response body sent to the client.
    pub bytes: u64,
    /// The start of the request in whole seconds since 1970: the second in which `/health` counts the request.
    pub unix_secs: u64,
}

/// All counters of the process. Shared by reference: no method needs `&mut`.
pub struct Metrics {
    bounds: Arc<Bounds>,
    upstream_bounds: Arc<Bounds>,
    is_detailed: bool,
    entry_points: Vec<(String, Box<[Block]>)>,
    backends: Mutex<BTreeMap<String, Arc<BackendMetrics>>>,
    frontends: Mutex<BTreeMap<String, Arc<FrontendBytes>>>,
    /// Indexed by worker.
    busy: Box<[BusyTime]>,
    /// Indexed by worker.
    health_counters: Box<[HealthCounters]>,
    /// Indexed by worker.
    http2_counters: Box<[Http2Counters]>,
    /// Indexed by worker.
    layer4_ends: Box<[EndCounters]>,
    /// Indexed by entry point, then by worker.
    datagrams: Vec<Box<[DatagramCounters]>>,
    recent_errors: usize,
    reloads: AtomicU64,
    reload_unix_secs: AtomicU64,
    reload_failures: AtomicU64,
    reload_failure_unix_secs: AtomicU64,
    connection_panics: AtomicU64,
    heads_refused: AtomicU64,
    connections_refused: AtomicU64,
    proxy_headers: ProxyHeaderCounters,
    certificates: Mutex<Arc<[CertificateState]>>,
    traffic: Option<Traffic>,
    /// Indexed by [`Bound`]. Shared by the workers: exceeding a bound is rare, and its handling is slow anyway.
    exceeded: [AtomicU64; Bound::ALL.len()],
}

/// The counters of one backend, one block per worker.
pub struct BackendMetrics {
    blocks: Box<[Block]>,
    /// Indexed by worker; empty without `[metrics]`.
    upstream: Box<[UpstreamCounters]>,
    /// The connections and sessions of layer 4.
    traffic: BackendTraffic,
}

/// The view that one worker has of [`Metrics`]; cheap to copy.
#[derive(Clone, Copy)]
pub struct WorkerMetrics<'m> {
    metrics: &'m Metrics,
    worker: usize,
}

impl Metrics {
    pub fn new(settings: &MetricsSettings) -> Self {
        let workers = settings.workers.max(1);
        let bounds = Arc::new(Bounds::new(&settings.buckets, settings.detailed));
        let blocks = || (0..workers).map(|_| Block::new(&bounds)).collect();
        Metrics {
            entry_points: settings.entry_points.iter().map(|name| (name.clone(), blocks())).collect(),
            upstream_bounds: Arc::new(Bounds::new(&UPSTREAM_BUCKETS, settings.detailed)),
            is_detailed: settings.detailed,
            backends: Mutex::default(),
            frontends: Mutex::default(),
            busy: (0..workers).map(|_| BusyTime::default()).collect(),
            health_counters: (0..workers).map(|_| HealthCounters::new(settings.recent_errors)).collect(),
            http2_counters: (0..workers).map(|_| Http2Counters::default()).collect(),
            layer4_ends: (0..workers).map(|_| EndCounters::default()).collect(),
            datagrams: settings
                .entry_points
                .iter()
                .map(|_| (0..workers).map(|_| DatagramCounters::default()).collect())
                .collect(),
            recent_errors: settings.recent_errors,
            reloads: AtomicU64::new(0),
            reload_unix_secs: AtomicU64::new(0),
            reload_failures: AtomicU64::new(0),
            reload_failure_unix_secs: AtomicU64::new(0),
            connection_panics: AtomicU64::new(0),
            heads_refused: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            proxy_headers: ProxyHeaderCounters::default(),
            certificates: Mutex::new(Arc::new([])),
            traffic: settings.traffic.then(|| Traffic::new(workers, &settings.entry_points)),
            exceeded: std::array::from_fn(|_| AtomicU64::default()),
            bounds,
        }
    }

    /// The live traffic; `None` without `[api]`.
    #[inline]
    pub fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_ref()
    }

    /// Publishes the states of all certificates.
    pub fn set_certificates(&self, states: Vec<CertificateState>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = states.into();
    }

    /// The states of all certificates.
    pub fn certificates(&self) -> Arc<[CertificateState]> {
        Arc::clone(&self.certificates.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The view of worker `number`. Numbers beyond the last wrap around, so that workers share blocks: correct, but slower.
    pub fn worker(&self, number: usize) -> WorkerMetrics<'_> {
        WorkerMetrics { metrics: self, worker: number % self.health_counters.len() }
    }

    /// The counters of the named backend, created at the first call. For the control plane only: the call takes a lock.
    pub fn backend(&self, name: &str) -> Arc<BackendMetrics> {
        let mut backends = self.backends();
        if let Some(existing) = backends.get(name) {
            return Arc::clone(existing);
        }
        let workers = self.health_counters.len();
        let blocks = (0..workers).map(|_| Block::new(&self.bounds)).collect();
        let counted = if self.is_detailed { workers } else { 0 };
        let upstream = (0..counted).map(|_| UpstreamCounters::new(&self.upstream_bounds)).collect();
        let created = Arc::new(BackendMetrics { blocks, upstream, traffic: BackendTraffic::default() });
        backends.insert(name.to_owned(), Arc::clone(&created));
        created
    }

    /// Removes the counters of all backends for whose name `is_named` returns false.
    pub fn retain_backends(&self, mut is_named: impl FnMut(&str) -> bool) {
        self.backends().retain(|name, _| is_named(name));
    }

    /// The bytes of the named frontend, created at the first call; `None` without `[metrics]`. For the control plane only.
    pub fn frontend(&self, name: &str) -> Option<Arc<FrontendBytes>> {
        let created = || Arc::new(FrontendBytes::new(self.health_counters.len()));
        self.is_detailed.then(|| Arc::clone(self.frontends().entry(name.to_owned()).or_insert_with(created)))
    }

    /// Removes the bytes of all frontends for whose name `is_named` returns false.
    pub fn retain_frontends(&self, mut is_named: impl FnMut(&str) -> bool) {
        self.frontends().retain(|name, _| is_named(name));
    }

    /// Counts a configuration that was applied.
    pub fn reloaded(&self, unix_secs: u64) {
        self.reloads.fetch_add(1, Relaxed);
        self.reload_unix_secs.store(unix_secs, Relaxed);
    }

    /// Counts a configuration, or a part of one, that could not be read.
    pub fn reload_failed(&self, unix_secs: u64) {
        self.reload_failures.fetch_add(1, Relaxed);
        self.reload_failure_unix_secs.store(unix_secs, Relaxed);
    }

    /// Counts a connection that ended with a panic, which is a bug in Ringway.
    pub fn connection_panicked(&self) {
        self.connection_panics.fetch_add(1, Relaxed);
    }

    /// Counts a request head that the parser refused as malformed or too large. Such a request has no method and no access log line.
    pub fn head_refused(&self) {
        self.heads_refused.fetch_add(1, Relaxed);
    }

    /// Counts a connection that was closed at once because the limit of all connections or of its address was reached. Returns the
    /// number of such connections since the start.
    pub fn connection_refused(&self) -> u64 {
        self.connections_refused.fetch_add(1, Relaxed) + 1
    }

    /// Counts the PROXY header of a client's connection.
    pub fn proxy_header(&self, result: ProxyHeaderResult) {
        self.proxy_headers.count(result);
    }

    /// Adds `count` to the counter of an exceeded bound.
    pub fn exceeded(&self, bound: Bound, count: u64) {
        self.exceeded[bound as usize].fetch_add(count, Relaxed);
    }

    /// How often a bound was exceeded.
    pub fn times_exceeded(&self, bound: Bound) -> u64 {
        self.exceeded[bound as usize].load(Relaxed)
    }

    /// The HTTP/2 counters of all workers.
    pub fn http2(&self) -> Http2Totals {
        http2::sum(&self.http2_counters)
    }

    /// The datagrams of the entry points that take some, by name.
    pub fn datagrams(&self) -> Vec<(&str, DatagramTotals)> {
        let counted = self.entry_points.iter().zip(&self.datagrams);
        counted.filter_map(|((name, _), workers)| Some((name.as_str(), datagrams::sum(workers)?))).collect()
    }

    /// The totals of `/health` over all workers.
    pub fn health(&self, unix_secs: u64) -> HealthTotals {
        health_counters::sum(&self.health_counters, unix_secs, self.recent_errors)
    }

    /// The body of `/metrics` (docs/reference/metrics.md#prometheus).
    pub fn prometheus_page(&self, scrape: &Scrape, format: Format) -> Vec<u8> {
        prometheus::render(self, scrape, format)
    }

    /// Locks the backends. A poisoned lock is safe to use: a panic leaves the map whole, because each change of it is one call.
    fn backends(&self) -> MutexGuard<'_, BTreeMap<String, Arc<BackendMetrics>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the frontends, as [`backends`](Self::backends) does.
    fn frontends(&self) -> MutexGuard<'_, BTreeMap<String, Arc<FrontendBytes>>> {
        self.frontends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'m> WorkerMetrics<'m> {
    /// The live traffic and the worker's number in it; `None` without `[api]`.
    #[inline]
    pub fn traffic(&self) -> Option<(&'m Traffic, usize)> {
        self.metrics.traffic().map(|traffic| (traffic, self.worker))
    }

    /// Counts a finished request.
    pub fn record(&self, sample: &Sample) {
        if let Some(block) = self.entry_point(sample.entry_point) {
            block.record(sample.status, sample.method, sample.protocol, sample.nanos);
        }
        if let Some(backend) = sample.backend {
            self.block_of(backend).record(sample.status, sample.method, sample.protocol, sample.backend_nanos);
        }
        self.metrics.health_counters[self.worker].record(sample.status, sample.nanos, sample.bytes, sample.unix_secs);
    }

    /// Counts a request in flight on this entry point, until [`closed`](Self::closed) is called.
    #[inline]
    pub fn opened(&self, entry_point: usize, method: Method, protocol: Protocol) {
        if let Some(block) = self.entry_point(entry_point) {
            block.add_open(method, protocol, 1);
        }
    }

    #[inline]
    pub fn closed(&self, entry_point: usize, method: Method, protocol: Protocol) {
        if let Some(block) = self.entry_point(entry_point) {
            block.add_open(method, protocol, -1);
        }
    }

    /// Counts a request in flight to this backend, until [`backend_closed`](Self::backend_closed) is called.
    #[inline]
    pub fn backend_opened(&self, backend: &BackendMetrics, method: Method, protocol: Protocol) {
        self.block_of(backend).add_open(method, protocol, 1);
    }

    #[inline]
    pub fn backend_closed(&self, backend: &BackendMetrics, method: Method, protocol: Protocol) {
        self.block_of(backend).add_open(method, protocol, -1);
    }

    /// The counters of this worker's connections to the backend's servers; `None` without `[metrics]`.
    #[inline]
    pub fn upstream<'b>(&self, backend: &'b BackendMetrics) -> Option<&'b UpstreamCounters> {
        backend.upstream.get(self.worker)
    }

    /// Adds the bytes of a request's body and of its response's.
    pub fn frontend_bytes(&self, frontend: &FrontendBytes, received: u64, sent: u64) {
        frontend.add(self.worker, received, sent);
    }

    /// Stores the CPU time of the worker's thread, as read at `now_nanos`.
    pub fn busy(&self, cpu_nanos: u64, now_nanos: u64) {
        self.metrics.busy[self.worker].set(cpu_nanos, now_nanos);
    }

    /// Counts an attempt after the first.
    pub fn retried(&self, backend: &BackendMetrics) {
        self.block_of(backend).add_retry();
    }

    /// Stores a request that ended with a status of 400 or more, for `/health`; other statuses are ignored. Takes a lock that only
    /// this worker and `/health` use.
    pub fn record_error(&self, status: u16, method: &[u8], host: &[u8], path: &[u8], unix_nanos: u64) {
        if status >= 400 {
            self.metrics.health_counters[self.worker].store_error(status, method, host, path, unix_nanos);
        }
    }

    /// Counts an open HTTP/2 connection, until [`http2_connection_closed`](Self::http2_connection_closed) is called.
    pub fn http2_connection_opened(&self, side: Side) {
        self.http2().connection_opened(side);
    }

    pub fn http2_connection_closed(&self, side: Side) {
        self.http2().connection_closed(side);
    }

    /// Counts an open HTTP/2 stream, until [`http2_stream_closed`](Self::http2_stream_closed) is called.
    #[inline]
    pub fn http2_stream_opened(&self, side: Side) {
        self.http2().stream_opened(side);
    }

    #[inline]
    pub fn http2_stream_closed(&self, side: Side) {
        self.http2().stream_closed(side);
    }

    /// Counts a RST_STREAM frame. `code` is the error code (RFC 9113 7); each code without a name counts as 14.
    pub fn http2_reset(&self, side: Side, direction: Direction, code: usize) {
        self.http2().reset(side, direction, code);
    }

    /// Counts a GOAWAY frame, `code` as in [`http2_reset`](Self::http2_reset).
    pub fn http2_goaway(&self, side: Side, direction: Direction, code: usize) {
        self.http2().goaway(side, direction, code);
    }

    /// Counts an open TCP connection or UDP session, until [`connection_closed`](Self::connection_closed) is called.
    pub fn connection_opened(&self, layer4: Layer4, backend: &BackendMetrics) {
        backend.traffic.opened(layer4);
    }

    /// Counts the end of a connection or session. `backend` is that of [`connection_opened`](Self::connection_opened); `None` for one that
    /// was refused before it.
    pub fn connection_closed(
        &self,
        layer4: Layer4,
        backend: Option<&BackendMetrics>,
        reason: EndReason,
        bytes_in: u64,
        bytes_out: u64,
    ) {
        if let Some(backend) = backend {
            backend.traffic.closed(layer4, bytes_in, bytes_out);
        }
        if let Some(ends) = self.metrics.layer4_ends.get(self.worker) {
            ends.of(layer4)[reason as usize].fetch_add(1, Relaxed);
        }
    }

    #[inline]
    fn http2(&self) -> &Http2Counters {
        &self.metrics.http2_counters[self.worker]
    }

    /// Lists the entry point among those that take datagrams.
    pub fn takes_datagrams(&self, entry_point: usize) {
        self.with_datagrams(entry_point, DatagramCounters::begin);
    }

    /// Counts datagrams of clients that were passed on.
    pub fn datagrams_in(&self, entry_point: usize, count: u64) {
        self.with_datagrams(entry_point, |counters| counters.add_in(count));
    }

    /// Counts answers that were passed on.
    pub fn datagrams_out(&self, entry_point: usize, count: u64) {
        self.with_datagrams(entry_point, |counters| counters.add_out(count));
    }

    /// Counts datagrams that were not passed on.
    pub fn datagrams_dropped(&self, entry_point: usize, reason: DropReason, count: u64) {
        self.with_datagrams(entry_point, |counters| counters.add_dropped(reason, count));
    }

    fn with_datagrams(&self, entry_point: usize, count: impl FnOnce(&DatagramCounters)) {
        let workers = self.metrics.datagrams.get(entry_point);
        if let Some(counters) = workers.and_then(|workers| workers.get(self.worker)) {
            count(counters);
        }
    }

    fn entry_point(&self, number: usize) -> Option<&Block> {
        self.metrics.entry_points.get(number).map(|(_, blocks)| &blocks[self.worker])
    }

    fn block_of<'b>(&self, backend: &'b BackendMetrics) -> &'b Block {
        // A backend has at least one block; a backend of another `Metrics` may have fewer blocks than this one has workers.
        &backend.blocks[self.worker % backend.blocks.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(workers: usize) -> Metrics {
        Metrics::new(&MetricsSettings { workers, entry_points: vec!["http".into()], ..MetricsSettings::default() })
    }

    #[test]
    fn backend_keeps_counters_until_no_configuration_names_it() {
        let metrics = metrics(2);
        let first = metrics.backend("b1");
        assert!(Arc::ptr_eq(&first, &metrics.backend("b1")));
        metrics.retain_backends(|name| name == "b1");
        assert!(Arc::ptr_eq(&first, &metrics.backend("b1")));
        metrics.retain_backends(|_| false);
        assert!(!Arc::ptr_eq(&first, &metrics.backend("b1")));
    }

    #[test]
    fn bucket_bounds_are_sorted_finite_and_limited() {
        assert_eq!(Bounds::new(&[], false).seconds, DEFAULT_BUCKETS);
        let odd = Bounds::new(&[5.0, 0.5, f64::NAN, -1.0, 0.5, f64::INFINITY], false);
        assert_eq!((odd.seconds, odd.nanos), (vec![0.5, 5.0], vec![500_000_000, 5_000_000_000]));
        let many: Vec<f64> = (1..1000).map(f64::from).collect();
        assert_eq!(Bounds::new(&many, false).seconds.len(), BUCKETS_MAX);
    }

    #[test]
    fn unknown_entry_point_and_foreign_backend_are_harmless() {
        let (small, large) = (metrics(1), metrics(4));
        let backend = small.backend("b");
        large.worker(3).record(&Sample {
            entry_point: 9,
            backend: Some(&backend),
            status: 200,
            method: Method::Get,
            protocol: Protocol::Http,
            nanos: 1,
            backend_nanos: 1,
            bytes: 1,
            unix_secs: 1,
        });
        large.worker(99).opened(9, Method::Get, Protocol::Http);
        assert_eq!(large.health(1).total_count, 1);
    }
}
