//! A worker with nothing real around it: one client in memory, origins in memory, and every count that must be right at the end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::pipe::{Chop, Peer as Other, Shared as Heard, Step, Wire};
use super::text;
use crate::config::compile::{self, CompileContext, EndpointInterner, EntryPointInfo};
use crate::config::dynamic::{
    Backend, Documents, DynamicConfig, Frontend, LoadBalancer, Redirect, Route, Server, Stickiness,
};
use crate::config::snapshot::{ServerEndpoint, Snapshot, TrustedPeers};
use crate::error::Cause;
use crate::limits;
use crate::middleware::Chain;
use crate::net::TimeLimit;
use crate::net::driver::DriverInfo;
use crate::observe::Published;
use crate::observe::metrics::{Metrics, MetricsSettings, ProcessFacts, Scrape};
use crate::worker::downstream::h1::serve;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::Dial;
use crate::worker::{ConnectionLimiter, EntryPoint, Timeouts, VerifyPool, Worker, WorkerShared, WorkerStatus};

/// Longer than any exchange in memory takes; a test that gets here hangs.
const HANG: Duration = Duration::from_secs(10);

/// What the next dial meets.
#[derive(Debug, Clone)]
pub enum Plan {
    Refuse,
    TimeOut,
    Origin(Vec<Step>),
    /// An origin that takes only so many bytes, or breaks off after so many.
    Takes(usize, Vec<Step>),
    Breaks(usize, Vec<Step>),
}

/// Dials by plan, in order.
pub struct Planned {
    plans: RefCell<VecDeque<Plan>>,
    chop: Chop,
    pub opened: RefCell<Vec<Heard>>,
    pub asked: RefCell<Vec<String>>,
}

impl Dial for Rc<Planned> {
    type Io = Wire;

    async fn dial(&self, origin: &ServerEndpoint, _limit: TimeLimit<'_>) -> Result<Wire, Cause> {
        self.asked.borrow_mut().push(origin.authority.clone());
        let plan = self.plans.borrow_mut().pop_front();
        let mut other = match plan.as_ref().expect("more connections to origins than the case has") {
            Plan::Refuse => return Err(Cause::Io(io::ErrorKind::ConnectionRefused.into())),
            Plan::TimeOut => return Err(Cause::TimedOut),
            Plan::Origin(script) | Plan::Takes(_, script) | Plan::Breaks(_, script) => Other::new(script, self.chop),
        };
        match plan {
            Some(Plan::Takes(bytes, _)) => other.takes_max = bytes,
            Some(Plan::Breaks(bytes, _)) => other.breaks_at = bytes,
            _ => {}
        }
        let (heard, wire) = other.connect();
        self.opened.borrow_mut().push(heard);
        Ok(wire)
    }
}

/// How the client's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Orderly,
    Cut,
}

/// Everything that can be seen from outside after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub client: String,
    /// What each opened connection to an origin heard, in order.
    pub origins: Vec<String>,
    pub dials: usize,
    /// Which servers those were for, in order; only [`Case`](super::Case) leaves them out.
    pub dialled: Vec<String>,
    pub ended: Ended,
    /// Connections kept for reuse.
    pub pooled: usize,
}

/// One run of a case.
pub struct Run<'a> {
    pub client: &'a [Step],
    pub plans: &'a [Plan],
    pub client_chop: Chop,
    pub origin_chop: Chop,
    /// The client takes only so many bytes, or breaks off after so many.
    pub takes_max: usize,
    pub breaks_at: usize,
    pub timeouts: Timeouts,
    pub draining: bool,
    /// What other messages hold of the worker's memory meanwhile.
    pub held: usize,
}

impl<'a> Run<'a> {
    pub fn new(client: &'a [Step], plans: &'a [Plan]) -> Self {
        Run {
            client,
            plans,
            client_chop: Chop::Whole,
            origin_chop: Chop::Whole,
            takes_max: usize::MAX,
            breaks_at: usize::MAX,
            timeouts: TIMEOUTS,
            draining: false,
            held: 0,
        }
    }

    /// Serves the client's connection to its end and looks at what is left. Must run on a worker's runtime.
    pub async fn play(&self, base: &Base) -> Outcome {
        let shared = Arc::new(base.shared(self.timeouts));
        shared.draining.store(self.draining, std::sync::atomic::Ordering::Relaxed);
        let dial = Rc::new(Planned {
            plans: RefCell::new(self.plans.iter().cloned().collect()),
            chop: self.origin_chop,
            opened: RefCell::default(),
            asked: RefCell::default(),
        });
        let worker = worker(&shared, Rc::clone(&dial));
        let mut others = worker.budget.reserve();
        assert!(others.set(self.held));
        let mut other = Other::new(self.client, self.client_chop);
        (other.takes_max, other.breaks_at) = (self.takes_max, self.breaks_at);
        let (client, wire) = other.connect();
        let mut serving = pin!(serve(Rc::clone(&worker), wire, peer()));
        let mut timing = pin!(worker.run_timers());
        let both = poll_fn(|cx| {
            let _ = timing.as_mut().poll(cx);
            let polled = serving.as_mut().poll(cx);
            if polled.is_pending() {
                base.seats.set(worker.reads_ahead.get());
            }
            polled
        });
        let served = monoio::time::timeout(HANG, both).await;
        assert!(served.is_ok(), "the connection never ends; client heard {:?}", text(&client.borrow().heard));

        check_counts(&shared, &shared.snapshot.load());
        assert_eq!(worker.reads_ahead.get(), 0, "a seat that nobody sits in");
        assert_eq!(worker.budget.used(), self.held, "bytes of messages that nobody holds any more");
        let pooled = worker.pool.len();
        let client = client.borrow();
        assert!(client.near.dropped, "the client's connection is still held");
        base.left_with_the_end.set(client.near.last);
        let (opened, dialled) = (dial.opened.borrow(), dial.asked.take());
        let held = opened.iter().filter(|origin| !origin.borrow().near.dropped).count();
        assert_eq!(held, pooled, "connections to origins that nobody holds any more");
        check_spares(&worker);
        let now = worker.clock.mono_nanos();
        let idle_end = now + limits::UPSTREAM_IDLE_SECS * 1_000_000_000;
        assert_eq!((worker.pool.sweep(now), worker.pool.sweep(idle_end)), (0, pooled), "closed as idle too long");
        assert!(worker.pool.is_empty());
        Outcome {
            client: text(&client.heard),
            origins: opened.iter().map(|origin| text(&origin.borrow().heard)).collect(),
            dials: dialled.len(),
            dialled,
            ended: if client.near.cut { Ended::Cut } else { Ended::Orderly },
            pooled,
        }
    }
}

/// Who the client is.
pub fn peer() -> Box<ClientInfo> {
    let address = "192.0.2.7:4711".parse().expect("an address");
    Box::new(ClientInfo {
        entry: 0,
        address,
        ip_text: "192.0.2.7".into(),
        secure: false,
        certs: Vec::new(),
        trusted: true,
    })
}

/// The only worker of `shared`.
pub fn worker<D: Dial>(shared: &Arc<WorkerShared>, dial: D) -> Rc<Worker<D>> {
    let choice = DriverInfo { name: "test", reason: String::new(), is_fallback: false };
    Rc::new(Worker::new(0, Arc::clone(shared), choice, dial))
}

thread_local! {
    /// How often this thread's workers gave memory back to the system.
    pub static RELEASES: Cell<usize> = const { Cell::new(0) };
}

/// What a connection needed is kept for the next one; when none comes it goes.
fn check_spares<D: Dial>(worker: &Worker<D>) {
    let kept = || worker.handler_pool.trim() + worker.free_contexts.trim() + worker.buffers.trim();
    assert_eq!(kept(), 0, "somebody has needed it a moment ago");
    worker.trim();
    assert_eq!(kept(), 0, "spare things that nobody needs");
}

/// After the last connection nothing may count as under way.
pub fn check_counts(shared: &WorkerShared, published: &Published) {
    assert_eq!(shared.active(), 0, "active requests");
    check_leases(published);
    let page = String::from_utf8(shared.metrics_text(&[], 0)).expect("text");
    for line in page.lines().filter(|line| line.starts_with("traefik_entrypoint_open_connections{")) {
        assert!(line.ends_with(" 0"), "{line}");
    }
}

/// No server has a request under way.
pub fn check_leases(published: &Published) {
    for backend in &published.snapshot.backends {
        for origin in &backend.endpoints {
            assert_eq!(origin.server.state.active(), 0, "requests under way at {}", origin.url);
        }
    }
}

pub const TIMEOUTS: Timeouts = Timeouts {
    idle: Some(Duration::from_secs(3)),
    head_read: Duration::from_secs(3),
    body_read: None,
    stall: Duration::from_secs(3),
    dial: Duration::from_secs(3),
    response_header: None,
};

/// What does not change between runs.
pub struct Base {
    /// The tables that may be in force; the first one is at the start.
    pub tables: Vec<Arc<Published>>,
    verify: VerifyPool,
    metrics: Arc<Metrics>,
    /// How many connections held a handler and a buffer when the last run waited for the last time.
    pub seats: Cell<usize>,
    /// The last bytes of the last run's client were said to be the last ones.
    pub left_with_the_end: Cell<bool>,
}

impl Base {
    pub fn new() -> Self {
        Base::of([document()])
    }

    /// Each document becomes a table, compiled after the one before it as by a reload.
    pub fn of(documents: impl IntoIterator<Item = DynamicConfig>) -> Self {
        Base::with(&VerifyPool::start().expect("threads"), documents)
    }

    /// As [`of`](Self::of), with threads that others have too.
    pub fn with(verify: &VerifyPool, documents: impl IntoIterator<Item = DynamicConfig>) -> Self {
        let entry = EntryPointInfo { name: "http".to_owned(), port: 80, has_tls: false, sanitize_path: false };
        let fixture = CompileContext {
            entry_points: vec![entry],
            default_entry_points: vec!["http".to_owned()],
            keep_trailing_slash: false,
            allow_min_weight_zero: false,
            health_interval: Duration::from_secs(30),
            client_tls: Err("no TLS in memory".to_owned()),
            credentials: compile::credential_memory([7; 32]),
            auth_tls: Box::new(|_| Err("no TLS in memory".to_owned())),
            retry: None,
            random: crate::worker::fill_random,
            read: Box::new(|path| Err(io::Error::other(format!("no files here: {path}")))),
        };
        let (metrics, mut interned) = (Arc::new(metrics()), EndpointInterner::default());
        let mut tables: Vec<Arc<Published>> = Vec::new();
        for document in documents {
            let documents: Documents = [("test".to_owned(), document.into())].into();
            let nothing = Snapshot::empty(1);
            let before = tables.last().map_or(&nothing, |published| &published.snapshot);
            let snapshot = compile::compile(&fixture, &documents, &[], before, &mut interned);
            assert!(snapshot.rejected.is_empty(), "{:?}", snapshot.rejected);
            tables.push(Arc::new(Published::new(snapshot, &metrics)));
        }
        Base { tables, verify: verify.clone(), metrics, seats: Cell::default(), left_with_the_end: Cell::default() }
    }

    /// The bounds that were exceeded so far, as `name count`.
    pub fn exceeded(&self) -> Vec<String> {
        let page = String::from_utf8(self.metrics.prometheus_text(&Scrape::default())).expect("text");
        let counts = page.lines().filter_map(|line| line.strip_prefix("ringway_bounds_exceeded_total{bound=\""));
        counts.filter(|count| !count.ends_with(" 0")).map(|count| count.replace("\"}", "")).collect()
    }

    pub fn shared(&self, timeouts: Timeouts) -> WorkerShared {
        let point = EntryPoint {
            name: "http".to_owned(),
            chain: Chain::default(),
            internal_chain: Chain::default(),
            auth: None,
            exposed: None,
            serves_challenges: false,
            serves_rest: false,
            tls: None,
            trust: TrustedPeers::Everyone,
        };
        WorkerShared {
            entry_points: vec![point],
            snapshot: Arc::new(ArcSwap::new(Arc::clone(&self.tables[0]))),
            challenges: Arc::default(),
            metrics: Arc::clone(&self.metrics),
            timeouts,
            connection_limiter: ConnectionLimiter::new(usize::MAX, usize::MAX),
            idle_per_server_max: 8,
            version: "0",
            codename: "test",
            host_name: "proxy".to_owned(),
            verify: self.verify.clone(),
            rest_handler: None,
            access_log: None,
            start: Instant::now(),
            stopping: false.into(),
            accepting: true.into(),
            accepts: 0.into(),
            draining: false.into(),
            worker_status: vec![WorkerStatus::default()],
            process_facts: ProcessFacts::default,
            release_memory: || RELEASES.set(RELEASES.get() + 1),
        }
    }
}

fn metrics() -> Metrics {
    Metrics::new(&MetricsSettings {
        workers: 1,
        entry_points: vec!["http".to_owned()],
        buckets: vec![0.1, 1.0],
        recent_errors: 4,
    })
}

/// `/` has one server, `/two` has two, `/sticky` the same two for clients with a cookie, `/none` has none, `/auth` wants a password, `/moved` redirects.
fn document() -> DynamicConfig {
    let backend = |servers: &[&str]| {
        let server = |url: &&str| ((*url).to_owned(), Server { url: format!("http://{url}"), weight: 1 });
        Backend { servers: servers.iter().map(server).collect(), ..Backend::default() }
    };
    let frontend = |backend: &str, rule: &str| Frontend {
        backend: backend.to_owned(),
        pass_host_header: true,
        routes: [("rule".to_owned(), Route { rule: rule.to_owned() })].into(),
        ..Frontend::default()
    };
    // Apache MD5 of "secret" for the user "test".
    let user = "test:$apr1$salt1234$G61s9lpZAELkzUFCbj/53/".to_owned();
    let guarded = Frontend { basic_auth: vec![user], ..frontend("one", "PathPrefix:/auth") };
    let redirect = Redirect {
        regex: "^http://a/moved(.*)".to_owned(),
        replacement: "http://b/new$1".to_owned(),
        ..Redirect::default()
    };
    let stickiness = Stickiness { cookie_name: "server".to_owned(), ..Stickiness::default() };
    let sticky = LoadBalancer { stickiness: Some(stickiness), ..LoadBalancer::default() };
    let moved = Frontend { redirect: Some(redirect), ..frontend("one", "PathPrefix:/moved") };
    DynamicConfig {
        backends: [
            ("one".to_owned(), backend(&["10.0.0.1:80"])),
            ("two".to_owned(), backend(&["10.0.0.2:80", "10.0.0.3:80"])),
            ("sticky".to_owned(), Backend { load_balancer: Some(sticky), ..backend(&["10.0.0.2:80", "10.0.0.3:80"]) }),
            ("none".to_owned(), backend(&[])),
        ]
        .into(),
        frontends: [
            ("all".to_owned(), frontend("one", "PathPrefix:/")),
            ("two".to_owned(), frontend("two", "PathPrefix:/two")),
            ("sticky".to_owned(), frontend("sticky", "PathPrefix:/sticky")),
            ("none".to_owned(), frontend("none", "PathPrefix:/none")),
            ("auth".to_owned(), guarded),
            ("moved".to_owned(), moved),
            ("nothing".to_owned(), frontend("one", "Host:other.example")),
        ]
        .into(),
        tls: Vec::new(),
    }
}
