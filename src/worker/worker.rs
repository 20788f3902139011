//! A worker, and the state that all workers share. A worker reads the published snapshot and counts into shared atomics; with other workers
//! it shares nothing but the hand-off queues of connections and the connection limiter.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use ipnet::IpNet;

use super::bound_connections::BoundConnections;
use super::open_links::OpenLinks;
use super::pool::Pool;
use super::resources::access_log::{LogSink, WorkerLog};
use super::resources::buffers::BufferPool;
use super::resources::client_info::ClientInfo;
use super::resources::clock::Clock;
use super::resources::connection_balancer::{HandoffQueue, WorkerStatus};
use super::resources::connection_limiter::{ConnectionLimitError, ConnectionLimiter};
use super::resources::context::ExchangeContext;
use super::resources::dial::Dial;
use super::resources::entry_point::EntryPoint;
use super::resources::handler_pool::HandlerPool;
use super::resources::host_resolver::HostResolver;
use super::resources::memory_budget::MemoryBudget;
use super::resources::rest_handler::RestHandler;
use super::resources::terminating_configs::TerminatingConfigs;
use super::resources::tracer::Tracer;
use super::resources::verify::VerifyPool;
use super::server_links::ServerLinks;
use crate::http::flattened_host::AskHost;
use crate::limits::{self, Bound};
use crate::middleware::Now;
use crate::net::driver::DriverInfo;
use crate::net::free_list::FreeList;
use crate::net::{Deadlines, TimeLimit, tls_stream, tunnel};
use crate::observe::Published;
use crate::observe::metrics::{Format, Metrics, ProcessFacts, Scrape, ServerSample, Side, WorkerMetrics};
use crate::observe::repeated_lines::{RepeatedLines, repetitions};
use crate::observe::status::ProtocolFacts;
use crate::observe::trace::Tracing;
use crate::tls::challenge::ChallengeTable;
use crate::tls::verifier::refusal::Refusal;

/// Time limits of the data plane; `None` means no limit.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How long a client's connection may idle between requests (`respondingTimeouts.idleTimeout`).
    pub idle: Option<Duration>,
    /// From the start of reading a request to its whole head (`respondingTimeouts.readTimeout`, or the proxy's own default).
    pub head_read: Duration,
    /// For a whole request body, if `respondingTimeouts.readTimeout` is set.
    pub body_read: Option<Duration>,
    /// How long either side may send or take nothing in the middle of a body.
    pub stall: Duration,
    /// `forwardingTimeouts.dialTimeout`.
    pub dial: Duration,
    /// `forwardingTimeouts.responseHeaderTimeout`.
    pub response_header: Option<Duration>,
    /// How long neither side of a TCP connection may send anything (`tcp.idleTimeout`); `Duration::MAX` means no limit.
    pub tcp_idle: Duration,
}

/// The timer ticks between two readings of a worker's CPU time: about a second.
const BUSY_TICKS: u64 = 1000 / limits::DEADLINE_TICK_MILLIS;

/// The state that all workers share: made once at the start, or published by the control plane.
pub struct WorkerShared {
    pub entry_points: Vec<EntryPoint>,
    pub snapshot: Arc<ArcSwap<Published>>,
    pub challenges: Arc<ArcSwap<ChallengeTable>>,
    pub metrics: Arc<Metrics>,
    pub timeouts: Timeouts,
    /// Limits the connections of clients, over all workers.
    pub connection_limiter: Arc<ConnectionLimiter>,
    /// Idle connections to one server that each worker may pool.
    pub idle_per_server_max: usize,
    /// The version in the response of `/api/version`.
    pub version: &'static str,
    pub codename: &'static str,
    /// The value of X-Forwarded-Server.
    pub host_name: String,
    pub verify: VerifyPool,
    /// Applies a document of the REST provider; `None` if that provider is off.
    pub rest_handler: Option<RestHandler>,
    pub access_log: Option<LogSink>,
    /// Asks for the CNAME records of hosts, with `hostResolver.cnameFlattening`.
    pub ask_host: Option<AskHost>,
    /// The settings of tracing; `None` if it is off.
    pub tracing: Option<Arc<Tracing>>,
    /// Limits lines about failures that servers cause.
    pub server_lines: RepeatedLines,
    /// Limits lines about failures that clients cause; apart, so that clients cannot suppress lines about servers.
    pub client_lines: RepeatedLines,
    /// When the process started; all monotonic readings count from here.
    pub start: Instant,
    /// A graceful shutdown has begun: `/ping` reports it (docs/reference/api.md#ping,
    /// docs/reference/command-line.md#signals-and-exit-codes).
    pub stopping: AtomicBool,
    /// New connections are accepted; set once and cleared once.
    pub accepting: AtomicBool,
    /// Tasks that accept; at zero no connection is taken from the listening sockets any more.
    pub accepts: AtomicUsize,
    /// Each response closes its connection.
    pub draining: AtomicBool,
    /// The status of each worker, by its number.
    pub worker_status: Vec<WorkerStatus>,
    /// Reads the figures of the process for `/metrics`.
    pub process_facts: fn() -> ProcessFacts,
    /// Gives memory that the calling thread has freed back to the system.
    pub release_memory: fn(),
}

impl WorkerShared {
    /// Active requests of all workers, tunnels included.
    pub fn active(&self) -> usize {
        self.worker_status.iter().map(|status| status.active.load(Relaxed)).sum()
    }

    /// Open HTTP/2 connections of clients.
    pub fn multiplexed(&self) -> usize {
        self.worker_status.iter().map(|status| status.multiplexed.load(Relaxed)).sum()
    }

    /// Open connections of clients.
    pub fn connections(&self) -> usize {
        self.worker_status.iter().map(|status| status.handoff_queue.load()).sum()
    }

    /// Whether no task accepts any more, and every accepted connection is with the worker that serves it.
    pub fn has_stopped_accepting(&self) -> bool {
        self.accepts.load(Acquire) == 0
            && self.worker_status.iter().all(|status| status.handoff_queue.in_transit() == 0)
    }

    pub(super) fn metrics_page(&self, servers: &[ServerSample], format: Format) -> Vec<u8> {
        let client_connections = self.connections() as u64;
        let scrape = Scrape { servers, client_connections, process: (self.process_facts)() };
        self.metrics.prometheus_page(&scrape, format)
    }

    /// The values of `/api/http2`.
    pub(super) fn protocol_facts(&self) -> ProtocolFacts {
        ProtocolFacts {
            totals: self.metrics.http2(),
            client_connections: self.connections() as u64,
            exceeded: Bound::HTTP2.map(|bound| (bound, self.metrics.times_exceeded(bound))).to_vec(),
        }
    }
}

/// A worker. All its fields belong to its thread.
pub struct Worker<D: Dial> {
    /// The worker itself, for tasks that outlive a request.
    itself: Weak<Worker<D>>,
    pub(super) number: usize,
    pub shared: Arc<WorkerShared>,
    pub driver: DriverInfo,
    pub clock: Clock,
    pub deadlines: Deadlines,
    pub buffers: BufferPool,
    /// Limits the bytes of messages that the worker holds in memory.
    pub budget: MemoryBudget,
    pub pool: Pool<D::Io>,
    pub bound: BoundConnections<D::Io>,
    /// The HTTP/2 connections to servers.
    pub server_links: ServerLinks,
    pub dial: D,
    pub access_log: Option<WorkerLog>,
    pub host_resolver: Option<HostResolver>,
    /// Makes and continues traces; `None` if tracing is off.
    pub(super) tracer: Option<Tracer>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Published>>, Arc<Published>>>,
    /// The HTTP/2 connections of clients.
    pub(super) links: OpenLinks,
    /// Streams of clients that are being served.
    streams: Cell<usize>,
    pub(super) free_contexts: FreeList<Box<ExchangeContext>>,
    pub(super) handler_pool: HandlerPool,
    /// The TLS configurations of TCP routes.
    pub(super) terminating_configs: TerminatingConfigs,
    /// Idle connections that hold a handler and a buffer with a read in progress.
    pub(super) reads_ahead: Cell<usize>,
    /// When a shortage of descriptors or a reached connection limit may be logged again.
    next_log_nanos: Cell<u64>,
    /// How many objects the last [`Worker::trim`] freed.
    last_trimmed: Cell<usize>,
}

impl<D: Dial> Worker<D> {
    pub fn new(number: usize, shared: Arc<WorkerShared>, driver: DriverInfo, dial: D) -> Rc<Self> {
        Rc::new_cyclic(|itself| Worker {
            itself: Weak::clone(itself),
            number,
            driver,
            clock: Clock::new(shared.start),
            deadlines: Deadlines::default(),
            buffers: BufferPool::default(),
            budget: MemoryBudget::default(),
            pool: Pool::new(shared.idle_per_server_max),
            bound: BoundConnections::default(),
            server_links: ServerLinks::default(),
            dial,
            access_log: shared.access_log.clone().map(WorkerLog::new),
            host_resolver: shared.ask_host.clone().map(HostResolver::new),
            tracer: shared.tracing.clone().map(Tracer::new),
            snapshot: RefCell::new(Cache::new(Arc::clone(&shared.snapshot))),
            links: OpenLinks::default(),
            streams: Cell::new(0),
            free_contexts: FreeList::new(limits::POOLED_BUFFERS_MAX),
            handler_pool: HandlerPool::default(),
            terminating_configs: TerminatingConfigs::default(),
            reads_ahead: Cell::new(0),
            next_log_nanos: Cell::new(0),
            last_trimmed: Cell::new(0),
            shared,
        })
    }

    /// The worker, for a task that outlives the request in progress; `None` while the worker is dropped.
    pub fn itself(&self) -> Option<Rc<Self>> {
        self.itself.upgrade()
    }

    /// The current configuration. A request holds the snapshot to its end, so that it sees one configuration.
    pub fn snapshot(&self) -> Arc<Published> {
        Arc::clone(self.snapshot.borrow_mut().load())
    }

    /// Whether a server of the current configuration gets PROXY headers.
    pub(super) fn sends_proxy_headers(&self) -> bool {
        self.with_snapshot(|published| published.snapshot.sends_proxy_headers)
    }

    /// Whether frontends of the current configuration have access logs of their own.
    pub(super) fn has_own_logs(&self) -> bool {
        self.with_snapshot(|published| !published.snapshot.frontend_logs.is_empty())
    }

    /// Reads the current configuration without holding it.
    pub(super) fn with_snapshot<T>(&self, read: impl FnOnce(&Published) -> T) -> T {
        read(self.snapshot.borrow_mut().load())
    }

    pub fn now(&self) -> Now {
        Now { mono_nanos: self.clock.mono_nanos(), unix_secs: self.clock.unix_secs() }
    }

    /// The stall timeout: how long either side may send or take nothing in the middle of a body.
    pub fn stall(&self) -> TimeLimit<'_> {
        self.deadlines.limit(self.shared.timeouts.stall)
    }

    /// Ends the worker's waits whose time has elapsed, once per tick; never returns.
    pub async fn run_timers(&self) {
        let mut ticks = 0u64;
        loop {
            monoio::time::sleep(Duration::from_millis(limits::DEADLINE_TICK_MILLIS)).await;
            self.clock.follow_wall();
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(BUSY_TICKS) {
                self.metrics().busy(thread_cpu_nanos(), self.clock.mono_nanos());
            }
            self.deadlines.sweep(Duration::from_nanos(self.clock.mono_nanos()));
            if self.is_draining() {
                self.links.wake_once();
            }
        }
    }

    /// Takes a place for a stream, unless `STREAMS_PER_WORKER_MAX` streams are being served; [`close_stream`](Self::close_stream) gives it
    /// back.
    pub(super) fn may_open_stream(&self) -> bool {
        let may = self.streams.get() < limits::STREAMS_PER_WORKER_MAX;
        if may {
            self.streams.set(self.streams.get() + 1);
            self.metrics().http2_stream_opened(Side::Client);
        }
        may
    }

    pub(super) fn close_stream(&self) {
        self.streams.set(self.streams.get() - 1);
        self.metrics().http2_stream_closed(Side::Client);
    }

    /// Whether a client may speak HTTP/2 without TLS on the entry point of `peer`, which takes the preface as its announcement.
    pub(super) fn speaks_http2_in_clear(&self, peer: &ClientInfo) -> bool {
        !peer.secure && self.shared.entry_points[peer.entry].http2
    }

    pub fn metrics(&self) -> WorkerMetrics<'_> {
        self.shared.metrics.worker(self.number)
    }

    pub(super) fn handoff_queue(&self) -> &HandoffQueue {
        &self.shared.worker_status[self.number].handoff_queue
    }

    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Relaxed)
    }

    pub(super) fn is_accepting(&self) -> bool {
        self.shared.accepting.load(Relaxed)
    }

    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }

    /// Logs a client certificate that was refused, limited as in [`Worker::log_tls_failure`] for each address.
    pub(super) fn log_refused_certificate(&self, peer: &ClientInfo, refusal: &Refusal) {
        let entry_point = &self.shared.entry_points[peer.entry].name;
        let key = format!("{entry_point} {} {refusal}", peer.ip_text);
        if let Some(repeated) = self.may_log_again(&self.shared.client_lines, &key) {
            tracing::error!(client = %peer.address, %entry_point, "client certificate: {refusal}{repeated}");
        }
    }

    pub(super) fn may_log_again(&self, lines: &RepeatedLines, key: &str) -> Option<String> {
        lines.may_log(key, Duration::from_nanos(self.clock.mono_nanos())).map(repetitions)
    }

    /// Closes the pooled connections to servers because descriptors or memory ran out, and logs the shortage, at most once in
    /// `SHORTAGE_LOG_SECS` instead of 80 times a second.
    pub fn on_resource_shortage(&self, error: &std::io::Error) {
        self.pool.clear();
        self.bound.clear();
        self.server_links.clear();
        if self.may_log() {
            tracing::error!("cannot accept connections: {error}; raise the limit of open files (ulimit -n)");
        }
    }

    /// Counts a connection from `client` that the connection limiter denied, and logs it at most once in `SHORTAGE_LOG_SECS`. The caller
    /// closes the connection.
    pub(super) fn refuse_connection(&self, client: SocketAddr, error: ConnectionLimitError) {
        let count = self.shared.metrics.connection_refused();
        if self.may_log() {
            tracing::error!(%client, "connection refused ({count} so far): {error}");
        }
    }

    fn may_log(&self) -> bool {
        let now = self.clock.mono_nanos();
        let may = now >= self.next_log_nanos.get();
        if may {
            self.next_log_nanos.set(now + limits::SHORTAGE_LOG_SECS * 1_000_000_000);
        }
        may
    }

    /// The proxies in front whose forwarding headers the peer's entry point trusts; empty if it trusts every peer.
    pub fn proxies(&self, peer: &ClientInfo) -> &[IpNet] {
        self.shared.entry_points[peer.entry].proxies()
    }

    /// Counts a request as active until the guard is dropped: a graceful shutdown waits for active requests.
    pub fn begin_request(&self) -> ActiveRequestGuard<'_> {
        let active = &self.shared.worker_status[self.number].active;
        active.fetch_add(1, Relaxed);
        ActiveRequestGuard(active)
    }

    /// As [`begin_request`](Self::begin_request), for a connection that does not borrow the worker: [`leave_request`](Self::leave_request)
    /// uncounts it.
    pub(super) fn enter_request(&self) {
        self.shared.worker_status[self.number].active.fetch_add(1, Relaxed);
    }

    pub(super) fn leave_request(&self) {
        self.shared.worker_status[self.number].active.fetch_sub(1, Relaxed);
    }

    /// Counts a client's HTTP/2 connection until the guard is dropped: a graceful shutdown waits until each has been closed in order.
    pub fn begin_multiplexed(&self) -> ActiveRequestGuard<'_> {
        let multiplexed = &self.shared.worker_status[self.number].multiplexed;
        multiplexed.fetch_add(1, Relaxed);
        ActiveRequestGuard(multiplexed)
    }

    /// How long a client may send nothing: between two requests, or before its `first` one, which has no more time than a head.
    pub(super) fn idle_timeout(&self, first: bool) -> TimeLimit<'_> {
        let idle = self.shared.timeouts.idle.unwrap_or(Duration::MAX);
        self.deadlines.limit(if first { self.first_idle_timeout() } else { idle })
    }

    pub(super) fn first_idle_timeout(&self) -> Duration {
        let Timeouts { idle, head_read, .. } = self.shared.timeouts;
        idle.map_or(head_read, |idle| idle.min(head_read))
    }

    /// The bound that a client has exceeded if its [`idle_timeout`](Self::idle_timeout) has elapsed.
    pub(super) fn idle_limit(&self, first: bool) -> Bound {
        let Timeouts { idle, head_read, .. } = self.shared.timeouts;
        if first && idle.is_none_or(|idle| head_read < idle) { Bound::HeadRead } else { Bound::Idle }
    }

    pub(super) fn may_idle_read(&self) -> bool {
        self.reads_ahead.get() < limits::READS_AHEAD_MAX
    }

    /// A permit to hold a buffer and a handler while idle, unless `READS_AHEAD_MAX` connections have one.
    pub(super) fn try_idle_read(&self) -> Option<IdleReadPermit<'_>> {
        self.may_idle_read().then(|| {
            self.reads_ahead.set(self.reads_ahead.get() + 1);
            IdleReadPermit(&self.reads_ahead)
        })
    }

    pub(super) fn lend_context(&self) -> Box<ExchangeContext> {
        self.free_contexts.take().unwrap_or_default()
    }

    pub(super) fn give_back_context(&self, ctx: Box<ExchangeContext>) {
        self.free_contexts.put(ctx);
    }

    /// Frees pooled connections, handlers, contexts and buffers that have not been needed for a while, and gives their memory back to the
    /// system if they are many.
    pub(super) fn trim(&self) {
        let now_nanos = self.clock.mono_nanos();
        if self.is_draining() {
            self.server_links.clear();
        }
        let closed = self.pool.sweep(now_nanos)
            + self.bound.sweep(now_nanos)
            + self.server_links.sweep(now_nanos, &self.buffers);
        let unneeded = self.handler_pool.trim()
            + self.free_contexts.trim()
            + self.buffers.trim()
            + tls_stream::trim_free_buffers()
            + tunnel::trim_free_buffers();
        let gone = closed + unneeded;
        // After a large trim memory is released at the next trim too: buffers that the ring's operations still hold now are free by then.
        let worth = gone.max(self.last_trimmed.replace(gone)) >= limits::SPARES_WORTH_RELEASING;
        // Until the first configuration is published the allocator gives memory back at once (`allocator::begin`); releasing ends that.
        if worth && !self.snapshot().snapshot.providers.is_empty() {
            (self.shared.release_memory)();
        }
    }
}

/// The CPU time that the calling thread has used.
fn thread_cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Permits an idle connection to hold a buffer and a handler; returned on drop.
pub struct IdleReadPermit<'w>(&'w Cell<usize>);

impl Drop for IdleReadPermit<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Counts one request as active; uncounts it on drop.
pub struct ActiveRequestGuard<'a>(&'a AtomicUsize);

impl Drop for ActiveRequestGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
