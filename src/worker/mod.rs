//! The data plane: one thread, one ring each. A worker reads the published snapshot and counts into shared atomics; with other workers it has
//! nothing to do but to pass a connection on (`balance`) and to count it (`places`).

pub mod access_log;
mod ask;
mod balance;
mod both;
mod bounds;
mod budget;
mod buffered;
mod clock;
mod connection;
mod entry;
mod exchange;
mod fetch;
mod forward;
mod gzip;
mod handler;
mod inbox;
mod internal;
mod listen;
mod local;
pub mod log_queue;
mod pages;
mod places;
mod pool;
mod record;
mod relay;
mod respond;
mod rest;
mod send;
mod talk;
mod tries;
mod upload;
mod upstream;
mod verify;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use ipnet::IpNet;

use crate::config::snapshot::{Frontend, Origin, Trust};
use crate::error::ProxyError;
use crate::limits::{self, Bound};
use crate::middleware::Now;
use crate::net::driver::Choice;
use crate::net::spare::Spare;
use crate::net::{Deadlines, TimeLimit, secure};
use crate::observe::Published;
use crate::observe::metrics::{Metrics, ProcessFacts, Scrape, ServerState, WorkerMetrics};
use crate::tls::challenge::ChallengeTable;
use balance::Intake;
use budget::Budget;
use clock::Clock;
pub use connection::serve;
pub use entry::EntryPoint;
use handler::Handlers;
use inbox::Buffers;
pub use listen::{WorkerHandle, spawn};
use places::NoPlace;
pub use places::Places;
use pool::Pool;
pub use rest::{NotTaken, TakeDocument};
use talk::{Answered, Talk};
pub use talk::{Peer, fill_random};
pub use upstream::Dial;
pub use verify::VerifyPool;

/// Time limits of the data plane; `None` means none.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A client's connection between requests (`respondingTimeouts.idleTimeout`).
    pub idle: Option<Duration>,
    /// From the first look at a connection to a whole head (`respondingTimeouts.readTimeout`, or ours).
    pub head_read: Duration,
    /// A whole request body, where `respondingTimeouts.readTimeout` is set.
    pub body_read: Option<Duration>,
    /// Either side standing still in mid-body.
    pub stall: Duration,
    /// `forwardingTimeouts.dialTimeout`.
    pub dial: Duration,
    /// `forwardingTimeouts.responseHeaderTimeout`.
    pub response_header: Option<Duration>,
}

/// What a worker shows of itself while it runs. Aligned so that no two workers write to one cache line.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Vitals {
    /// Requests under way, tunnels included.
    pub active: AtomicUsize,
    /// Its ring has carried another byte.
    pub beats: AtomicU64,
    /// Its connections, and those that others pass on to it.
    intake: Intake,
}

impl Vitals {
    /// The worker's thread has started and has not ended.
    pub fn is_running(&self) -> bool {
        self.intake.is_open()
    }
}

/// What all workers share: made once at the start, or published by the control plane.
pub struct Shared {
    pub entry_points: Vec<EntryPoint>,
    pub snapshot: Arc<ArcSwap<Published>>,
    pub challenges: Arc<ArcSwap<ChallengeTable>>,
    pub metrics: Arc<Metrics>,
    pub timeouts: Timeouts,
    /// For the connections of clients, whichever worker serves them.
    pub places: Arc<Places>,
    /// Idle connections kept for one server by each worker.
    pub idle_per_server_max: usize,
    /// What `/api/version` says.
    pub version: &'static str,
    pub codename: &'static str,
    /// For X-Forwarded-Server.
    pub host_name: String,
    pub verify: VerifyPool,
    /// What the REST provider does with a document.
    pub take_document: Option<TakeDocument>,
    pub access_log: Option<access_log::LogSink>,
    /// When the process started; all monotonic readings count from here.
    pub start: Instant,
    /// The process is stopping: `/ping` says so (static.md 1.7).
    pub stopping: AtomicBool,
    /// New connections are accepted; set once and cleared once.
    pub accepting: AtomicBool,
    /// Tasks that accept; at zero nothing is taken from the listening sockets any more.
    pub accepts: AtomicUsize,
    /// Answers end their connections.
    pub draining: AtomicBool,
    /// One per worker.
    pub vitals: Vec<Vitals>,
    /// Process facts for `/metrics`, read by the wiring.
    pub process_facts: fn() -> ProcessFacts,
    /// Gives freed memory back to the system, that of the calling thread first of all.
    pub release_memory: fn(),
}

impl Shared {
    /// Requests under way in all workers, tunnels included.
    pub fn active(&self) -> usize {
        self.vitals.iter().map(|vitals| vitals.active.load(Relaxed)).sum()
    }

    /// Open connections of clients.
    pub fn connections(&self) -> usize {
        self.vitals.iter().map(|vitals| vitals.intake.load()).sum()
    }

    /// Nothing is taken from the listening sockets any more, and what was taken is with the worker that serves it.
    pub fn doors_are_closed(&self) -> bool {
        self.accepts.load(Acquire) == 0 && self.vitals.iter().all(|vitals| vitals.intake.on_the_way() == 0)
    }

    fn metrics_text(&self, servers: &[ServerState], _now_nanos: u64) -> Vec<u8> {
        self.metrics.prometheus_text(&Scrape { servers, process: (self.process_facts)() })
    }
}

/// One worker. Everything in it belongs to its thread.
pub struct Worker<D: Dial> {
    number: usize,
    pub shared: Arc<Shared>,
    pub driver: Choice,
    pub clock: Clock,
    pub deadlines: Deadlines,
    pub buffers: Buffers,
    /// What it may hold of messages in memory.
    pub budget: Budget,
    pub pool: Pool<D::Io>,
    pub dial: D,
    pub access_log: Option<access_log::WorkerLog>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Published>>, Arc<Published>>>,
    spare_talks: Spare<Box<Talk>>,
    handlers: Handlers,
    /// Connections that wait for their next request with a buffer in hand.
    reads_ahead: Cell<usize>,
    /// When a shortage of descriptors, or of places, may be told again.
    next_complaint: Cell<u64>,
    /// How many things the last [`Worker::trim`] let go.
    let_go: Cell<usize>,
}

impl<D: Dial> Worker<D> {
    pub fn new(number: usize, shared: Arc<Shared>, driver: Choice, dial: D) -> Self {
        Worker {
            number,
            driver,
            clock: Clock::new(shared.start),
            deadlines: Deadlines::default(),
            buffers: Buffers::default(),
            budget: Budget::default(),
            pool: Pool::new(shared.idle_per_server_max),
            dial,
            access_log: shared.access_log.clone().map(access_log::WorkerLog::new),
            snapshot: RefCell::new(Cache::new(Arc::clone(&shared.snapshot))),
            spare_talks: Spare::new(limits::POOLED_BUFFERS_MAX),
            handlers: Handlers::default(),
            reads_ahead: Cell::new(0),
            next_complaint: Cell::new(0),
            let_go: Cell::new(0),
            shared,
        }
    }

    /// The configuration in force. A request holds it to its end, so it sees one configuration.
    pub fn snapshot(&self) -> Arc<Published> {
        Arc::clone(self.snapshot.borrow_mut().load())
    }

    pub fn now(&self) -> Now {
        Now { mono_nanos: self.clock.mono_nanos(), unix_secs: self.clock.unix_secs() }
    }

    /// How long either side may stand still in mid-body.
    pub fn stall(&self) -> TimeLimit<'_> {
        self.deadlines.limit(self.shared.timeouts.stall)
    }

    /// Lets the worker's waits end in time; runs as long as its thread does.
    pub async fn keep_time(&self) {
        loop {
            monoio::time::sleep(Duration::from_millis(limits::DEADLINE_TICK_MILLIS)).await;
            self.clock.follow_wall();
            self.deadlines.sweep(Duration::from_nanos(self.clock.mono_nanos()));
        }
    }

    pub fn metrics(&self) -> WorkerMetrics<'_> {
        self.shared.metrics.worker(self.number)
    }

    fn intake(&self) -> &Intake {
        &self.shared.vitals[self.number].intake
    }

    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Relaxed)
    }

    fn is_accepting(&self) -> bool {
        self.shared.accepting.load(Relaxed)
    }

    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }

    /// Says in the log which server failed, for whom and how.
    pub fn complain(&self, frontend: &Frontend, origin: &Origin, error: &ProxyError) {
        tracing::warn!(frontend = %frontend.name, backend = %frontend.backend.name, server = %origin.url, "backend server failed: {error}");
    }

    /// Descriptors or memory ran out: idle connections to backends are given up, and the log says so now and then, not 80 times a second.
    pub fn run_short(&self, error: &std::io::Error) {
        self.pool.clear();
        if self.may_complain() {
            tracing::error!("cannot accept connections: {error}; raise the limit of open files (ulimit -n)");
        }
    }

    /// There is no place for a connection from `client`: it is closed, counted, and told now and then.
    fn turn_away(&self, client: SocketAddr, why: NoPlace) {
        let count = self.shared.metrics.connection_refused();
        if self.may_complain() {
            tracing::error!(%client, "connection closed at once, one of {count} since the start: {why}");
        }
    }

    fn may_complain(&self) -> bool {
        let now = self.clock.mono_nanos();
        let may = now >= self.next_complaint.get();
        if may {
            self.next_complaint.set(now + limits::ACCEPT_COMPLAINT_SECS * 1_000_000_000);
        }
        may
    }

    /// The proxies in front whose words count on the peer's entry point; none where everybody's do.
    pub fn proxies(&self, peer: &Peer) -> &[IpNet] {
        match &self.shared.entry_points[peer.entry].trust {
            Trust::Only(networks) => networks,
            Trust::Everyone => &[],
        }
    }

    /// A kept connection to the server for a request that awaits `answer`; none for the probe of a server that was set aside.
    fn kept(&self, origin: &Origin, answer: &Answered) -> Option<D::Io> {
        if answer.repeated || origin.server.state.connects_anew() {
            None
        } else {
            self.pool.take(origin.pool, self.clock.mono_nanos())
        }
    }

    /// Counts a request as active until the guard is dropped: a stop waits for it.
    pub fn begin_request(&self) -> Busy<'_> {
        let active = &self.shared.vitals[self.number].active;
        active.fetch_add(1, Relaxed);
        Busy(active)
    }

    /// How long a client may be silent: between two requests, or before its `first` one, which has no more time than a head.
    fn patience(&self, first: bool) -> TimeLimit<'_> {
        let idle = self.shared.timeouts.idle.unwrap_or(Duration::MAX);
        self.deadlines.limit(if first { self.patience_for_first() } else { idle })
    }

    fn patience_for_first(&self) -> Duration {
        let Timeouts { idle, head_read, .. } = self.shared.timeouts;
        idle.map_or(head_read, |idle| idle.min(head_read))
    }

    /// The bound that one has exceeded who was silent for longer.
    fn silence(&self, first: bool) -> Bound {
        let Timeouts { idle, head_read, .. } = self.shared.timeouts;
        if first && idle.is_none_or(|idle| head_read < idle) { Bound::HeadRead } else { Bound::Idle }
    }

    fn has_seat(&self) -> bool {
        self.reads_ahead.get() < limits::READS_AHEAD_MAX
    }

    /// A place among the connections that may hold a buffer and a handler while they idle.
    fn take_seat(&self) -> Option<Seat<'_>> {
        self.has_seat().then(|| {
            self.reads_ahead.set(self.reads_ahead.get() + 1);
            Seat(&self.reads_ahead)
        })
    }

    fn lend_talk(&self) -> Box<Talk> {
        self.spare_talks.take().unwrap_or_default()
    }

    fn give_back_talk(&self, talk: Box<Talk>) {
        self.spare_talks.put(talk);
    }

    /// Lets everything go that is kept for reuse and that nobody has needed for a while.
    fn trim(&self) {
        let closed = self.pool.sweep(self.clock.mono_nanos());
        let unneeded = self.handlers.trim() + self.spare_talks.trim() + self.buffers.trim() + secure::trim_spare();
        let gone = closed + unneeded;
        // At the next look once more: what operations of the ring still hold now is free by then.
        let worth = gone.max(self.let_go.replace(gone)) >= limits::SPARES_WORTH_RELEASING;
        // Until a configuration stands the allocator gives back at once, and being told ends that (`memory::begin`).
        if worth && !self.snapshot().snapshot.providers.is_empty() {
            (self.shared.release_memory)();
        }
    }
}

/// One of few places; free again when it is dropped.
struct Seat<'w>(&'w Cell<usize>);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A request under way.
pub struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
