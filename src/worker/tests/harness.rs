//! The harness: a worker with one client and its origins in memory, and checks of every count after the run.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::pipe::{ScriptStep, ScriptedPeer, Segmentation, Shared as SharedPeer, Wire};
use super::text;
use crate::config::compile::{self, CompileContext, EndpointInterner, EntryPointInfo};
use crate::config::dynamic::{
    Backend, Documents, DynamicConfig, Frontend, LoadBalancer, Redirect, Route, Server, Stickiness,
};
use crate::config::snapshot::{ServerEndpoint, Snapshot, TrustedPeers};
use crate::config::{Rejected, Severity};
use crate::error::Cause;
use crate::limits;
use crate::middleware::Chain;
use crate::net::TimeLimit;
use crate::net::driver::DriverInfo;
use crate::observe::Published;
use crate::observe::metrics::{Format, Metrics, MetricsSettings, ProcessFacts, Scrape};
use crate::worker::downstream::serve;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::{ConnectionTask, Dial, Dialled, VersionOffer};
use crate::worker::{ConnectionLimiter, EntryPoint, Timeouts, VerifyPool, Worker, WorkerShared, WorkerStatus};

/// The time limit of a run. Every exchange in memory takes less; a run that takes as long hangs.
const HANG: Duration = Duration::from_secs(10);

/// The result of one dial.
#[derive(Debug, Clone)]
pub enum DialScript {
    Refuse,
    TimeOut,
    Origin(Vec<ScriptStep>),
    /// An origin that receives at most so many bytes.
    Takes(usize, Vec<ScriptStep>),
    /// An origin that breaks the connection once it has received so many bytes.
    Breaks(usize, Vec<ScriptStep>),
}

/// Dials as the scripts say, in order.
pub struct ScriptedDial {
    pub dial_scripts: RefCell<VecDeque<DialScript>>,
    pub segmentation: Segmentation,
    pub opened: RefCell<Vec<SharedPeer>>,
    pub dialled: RefCell<Vec<String>>,
}

impl Dial for Rc<ScriptedDial> {
    type Io = Wire;

    async fn dial(
        &self,
        endpoint: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _limit: TimeLimit<'_>,
    ) -> Result<Dialled<Wire>, Cause> {
        self.dialled.borrow_mut().push(endpoint.authority.clone());
        let dial_script = self.dial_scripts.borrow_mut().pop_front();
        let mut origin = match dial_script.as_ref().expect("more connections to origins than the case has") {
            DialScript::Refuse => return Err(Cause::Io(io::ErrorKind::ConnectionRefused.into())),
            DialScript::TimeOut => return Err(Cause::TimedOut),
            DialScript::Origin(script) | DialScript::Takes(_, script) | DialScript::Breaks(_, script) => {
                ScriptedPeer::new(script, self.segmentation)
            }
        };
        match dial_script {
            Some(DialScript::Takes(bytes, _)) => origin.takes_max = bytes,
            Some(DialScript::Breaks(bytes, _)) => origin.breaks_at = bytes,
            _ => {}
        }
        let (origin, wire) = origin.connect();
        self.opened.borrow_mut().push(origin);
        Ok(Dialled::http1(wire))
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("the servers speak HTTP/1.1");
    }
}

/// How the client's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Orderly,
    Cut,
}

/// The observable result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunResult {
    /// The bytes that the client received, as [`text`].
    pub client: String,
    /// The bytes that each opened connection to an origin received, in order.
    pub origins: Vec<String>,
    pub dials: usize,
    /// The servers that were dialled, in order; not compared by [`Case`](super::Case).
    pub dialled: Vec<String>,
    pub ended: Ended,
    /// Pooled connections at the end.
    pub pooled: usize,
}

/// A run of a case in one segmentation.
pub struct Run<'a> {
    pub client: &'a [ScriptStep],
    pub dial_scripts: &'a [DialScript],
    pub client_segmentation: Segmentation,
    pub origin_segmentation: Segmentation,
    /// The client receives at most so many bytes.
    pub takes_max: usize,
    /// The client breaks the connection once it has received so many bytes.
    pub breaks_at: usize,
    pub timeouts: Timeouts,
    pub draining: bool,
    /// Bytes of the worker's memory budget that other messages have reserved during the run.
    pub held: usize,
}

impl<'a> Run<'a> {
    pub fn new(client: &'a [ScriptStep], dial_scripts: &'a [DialScript]) -> Self {
        Run {
            client,
            dial_scripts,
            client_segmentation: Segmentation::Whole,
            origin_segmentation: Segmentation::Whole,
            takes_max: usize::MAX,
            breaks_at: usize::MAX,
            timeouts: TIMEOUTS,
            draining: false,
            held: 0,
        }
    }

    /// Serves the client's connection to its end and checks that nothing is leaked. Must run on a worker's runtime.
    pub async fn play(&self, base: &Base) -> RunResult {
        let shared = Arc::new(base.shared(self.timeouts));
        shared.draining.store(self.draining, std::sync::atomic::Ordering::Relaxed);
        let dial = Rc::new(ScriptedDial {
            dial_scripts: RefCell::new(self.dial_scripts.iter().cloned().collect()),
            segmentation: self.origin_segmentation,
            opened: RefCell::default(),
            dialled: RefCell::default(),
        });
        let worker = worker(&shared, Rc::clone(&dial));
        let mut others = worker.budget.reserve();
        assert!(others.set(self.held));
        let mut client = ScriptedPeer::new(self.client, self.client_segmentation);
        (client.takes_max, client.breaks_at) = (self.takes_max, self.breaks_at);
        let (client, wire) = client.connect();
        let mut serving = pin!(serve(Rc::clone(&worker), wire, peer()));
        let mut timing = pin!(worker.run_timers());
        let both = poll_fn(|cx| {
            let _ = timing.as_mut().poll(cx);
            let polled = serving.as_mut().poll(cx);
            if polled.is_pending() {
                base.idle_reads.set(worker.reads_ahead.get());
            }
            polled
        });
        let served = monoio::time::timeout(HANG, both).await;
        assert!(served.is_ok(), "the connection never ends; client received {:?}", text(&client.borrow().received));

        check_counts(&shared, &shared.snapshot.load());
        assert_eq!(worker.reads_ahead.get(), 0, "leaked idle read permits");
        assert_eq!(worker.budget.used(), self.held, "leaked reservations of the memory budget");
        let pooled = worker.pool.len();
        let client = client.borrow();
        assert!(client.near.dropped, "the client's connection is still held");
        base.sent_with_fin.set(client.near.last);
        let (opened, dialled) = (dial.opened.borrow(), dial.dialled.take());
        let held = opened.iter().filter(|origin| !origin.borrow().near.dropped).count();
        assert_eq!(held, pooled, "open connections to origins, and pooled ones");
        assert_eq!(worker.bound.len(), 0, "a bound connection outlives its client");
        check_free_lists(&worker);
        let now = worker.clock.mono_nanos();
        let idle_end = now + limits::UPSTREAM_IDLE_SECS * 1_000_000_000;
        assert_eq!((worker.pool.sweep(now), worker.pool.sweep(idle_end)), (0, pooled), "closed as idle too long");
        assert!(worker.pool.is_empty());
        RunResult {
            client: text(&client.received),
            origins: opened.iter().map(|origin| text(&origin.borrow().received)).collect(),
            dials: dialled.len(),
            dialled,
            ended: if client.near.cut { Ended::Cut } else { Ended::Orderly },
            pooled,
        }
    }
}

/// The client of a run.
pub fn peer() -> Box<ClientInfo> {
    let address = "192.0.2.7:4711".parse().expect("an address");
    Box::new(ClientInfo {
        entry: 0,
        address,
        ip_text: "192.0.2.7".into(),
        secure: false,
        certs: Vec::new(),
        server_name: None,
        trusted: true,
        arrival: None,
        bound: Default::default(),
        has_sent_ahead: Default::default(),
    })
}

/// The only worker of `shared`.
pub fn worker<D: Dial>(shared: &Arc<WorkerShared>, dial: D) -> Rc<Worker<D>> {
    let choice = DriverInfo { name: "test", reason: String::new(), is_fallback: false };
    Worker::new(0, Arc::clone(shared), choice, dial)
}

thread_local! {
    /// How often this thread's workers have released memory to the system.
    pub static RELEASES: Cell<usize> = const { Cell::new(0) };
}

/// Checks that objects used since the last trim stay in their free lists, and that the next trim frees all of them.
fn check_free_lists<D: Dial>(worker: &Worker<D>) {
    let freed = || worker.handler_pool.trim() + worker.free_contexts.trim() + worker.buffers.trim();
    assert_eq!(freed(), 0, "objects that were needed a moment ago");
    worker.trim();
    assert_eq!(freed(), 0, "objects that the trim should have freed");
}

/// Checks that no request, lease or connection counts as active after the last connection.
pub fn check_counts(shared: &WorkerShared, published: &Published) {
    assert_eq!(shared.active(), 0, "active requests");
    check_leases(published);
    let page = String::from_utf8(shared.metrics_page(&[], Format::Text)).expect("text");
    let is_open = |line: &&str| {
        ["traefik_entrypoint_open_connections{", "traefik_backend_open_connections{"]
            .iter()
            .any(|n| line.starts_with(n))
    };
    for line in page.lines().filter(is_open) {
        assert!(line.ends_with(" 0"), "{line}");
    }
}

/// Checks that no server has an active request.
pub fn check_leases(published: &Published) {
    for backend in &published.snapshot.backends {
        for endpoint in &backend.endpoints {
            assert_eq!(endpoint.server.state.active(), 0, "active requests at {}", endpoint.url);
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
    tcp_idle: Duration::from_secs(3),
};

/// The state that all runs share.
pub struct Base {
    /// The configurations that may be published; the first one is published at the start.
    pub tables: Vec<Arc<Published>>,
    verify: VerifyPool,
    metrics: Arc<Metrics>,
    /// How many connections held a handler and a buffer when the last run waited for the last time.
    pub idle_reads: Cell<usize>,
    /// Whether the last bytes to the last run's client were sent with `write_last`, to leave together with the FIN.
    pub sent_with_fin: Cell<bool>,
}

impl Base {
    pub fn new() -> Self {
        Base::of([document()])
    }

    /// Compiles each document after the one before it, as a reload does.
    pub fn of(documents: impl IntoIterator<Item = DynamicConfig>) -> Self {
        Base::with(&VerifyPool::start().expect("threads"), documents)
    }

    /// As [`of`](Self::of), with the threads of a shared `verify` pool.
    pub fn with(verify: &VerifyPool, documents: impl IntoIterator<Item = DynamicConfig>) -> Self {
        Base::compiled(verify, documents, false)
    }

    /// As [`with`](Self::with), as if the entry point had TLS: then TCP routes may have names.
    pub fn compiled(verify: &VerifyPool, documents: impl IntoIterator<Item = DynamicConfig>, has_tls: bool) -> Self {
        let entry = EntryPointInfo {
            name: "http".to_owned(),
            port: 80,
            is_local: true,
            has_tls,
            is_udp: false,
            white_list: Vec::new(),
            has_auth: false,
            sanitize_path: false,
        };
        let context = CompileContext {
            access_log_folder: None,
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
            let empty = Snapshot::empty(1);
            let before = tables.last().map_or(&empty, |published| &published.snapshot);
            let snapshot = compile::compile(&context, &documents, &[], before, &mut interned);
            // Frontends without servers, or behind others, are reported and applied all the same: tests have such ones.
            let is_wanted = |rejected: &Rejected| matches!(rejected.severity, Severity::Partial);
            assert!(snapshot.rejected.iter().all(is_wanted), "{:?}", snapshot.rejected);
            tables.push(Arc::new(Published::new(snapshot, &metrics)));
        }
        Base { tables, verify: verify.clone(), metrics, idle_reads: Cell::default(), sent_with_fin: Cell::default() }
    }

    /// The bounds that were exceeded so far, as `name count`.
    pub fn exceeded(&self) -> Vec<String> {
        let page = String::from_utf8(self.metrics.prometheus_page(&Scrape::default(), Format::Text)).expect("text");
        let counts = page.lines().filter_map(|line| line.strip_prefix("ringway_bounds_exceeded_total{bound=\""));
        counts.filter(|count| !count.ends_with(" 0")).map(|count| count.replace("\"}", "")).collect()
    }

    pub fn shared(&self, timeouts: Timeouts) -> WorkerShared {
        let point = EntryPoint {
            name: "http".to_owned(),
            address: ([0, 0, 0, 0], 80).into(),
            is_udp: false,
            chain: Chain::default(),
            internal_chain: Chain::default(),
            auth: None,
            exposed: None,
            serves_challenges: false,
            serves_rest: false,
            tls: None,
            resolver: None,
            http2: true,
            request_id: false,
            trust: TrustedPeers::Everyone,
            udp_timeout: Duration::from_secs(30),
            proxy_protocol: None,
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
            server_lines: Default::default(),
            client_lines: Default::default(),
            access_log: None,
            ask_host: None,
            tracing: None,
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
        detailed: true,
        workers: 1,
        entry_points: vec!["http".to_owned()],
        buckets: vec![0.1, 1.0],
        recent_errors: 4,
        traffic: false,
    })
}

/// The configuration: `/` has one server, `/two` has two, `/sticky` the same two for clients with a cookie, `/none` has none, `/auth`
/// requires a password, `/moved` redirects.
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
