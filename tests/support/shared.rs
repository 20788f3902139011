//! The shared state of workers, made from one document, without files and a control plane.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ringway::config::compile::{self, CompileContext, EndpointInterner, EntryPointInfo};
use ringway::config::dynamic::{Backend, Documents, DynamicConfig, Frontend, Route, Server};
use ringway::config::snapshot::{Snapshot, TrustedPeers};
use ringway::middleware::Chain;
use ringway::observe::Published;
use ringway::observe::metrics::{Metrics, MetricsSettings, ProcessFacts};
use ringway::worker::{ConnectionLimiter, EntryPoint, Timeouts, VerifyPool, WorkerShared, WorkerStatus};

/// The shared state of `workers` workers: one entry point without TLS, and the routes of `document`.
pub fn shared(document: DynamicConfig, workers: usize) -> WorkerShared {
    shared_as(document, workers, false)
}

/// As [`shared`]; the routes are compiled as if the entry point had TLS if `has_tls`: then TCP routes may have names.
pub fn shared_as(document: DynamicConfig, workers: usize, has_tls: bool) -> WorkerShared {
    let metrics = Arc::new(Metrics::new(&MetricsSettings {
        workers,
        entry_points: vec!["http".to_owned()],
        ..MetricsSettings::default()
    }));
    let published = Published::new(snapshot(document, has_tls), &metrics);
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
    let second = Duration::from_secs(1);
    WorkerShared {
        entry_points: vec![point],
        snapshot: Arc::new(ArcSwap::from_pointee(published)),
        challenges: Arc::default(),
        metrics,
        timeouts: Timeouts {
            idle: Some(180 * second),
            head_read: 60 * second,
            body_read: None,
            stall: 180 * second,
            dial: 30 * second,
            response_header: None,
            tcp_idle: Duration::MAX,
        },
        connection_limiter: ConnectionLimiter::new(usize::MAX, usize::MAX),
        idle_per_server_max: 8,
        version: "0",
        codename: "memory",
        host_name: "proxy".to_owned(),
        verify: VerifyPool::start().expect("threads"),
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
        worker_status: (0..workers).map(|_| WorkerStatus::default()).collect(),
        process_facts: ProcessFacts::default,
        release_memory: || (),
    }
}

/// A document with a backend of one server and `count` frontends, one per host, each changed by `finish`.
pub fn hosts(server: &str, count: usize, finish: impl Fn(&mut Frontend)) -> DynamicConfig {
    let server = Server { url: server.to_owned(), weight: 1 };
    let backend = Backend { servers: [("one".to_owned(), server)].into(), ..Backend::default() };
    let frontend = |n: usize| {
        let rule = format!("Host:h{n}.bench.test");
        let mut frontend = Frontend {
            backend: "one".to_owned(),
            pass_host_header: true,
            routes: [("rule".to_owned(), Route { rule })].into(),
            ..Frontend::default()
        };
        finish(&mut frontend);
        (format!("h{n}"), frontend)
    };
    let frontends = (0..count).map(frontend).collect();
    DynamicConfig { backends: [("one".to_owned(), backend)].into(), frontends, tls: Vec::new() }
}

fn snapshot(document: DynamicConfig, has_tls: bool) -> Snapshot {
    let context = CompileContext {
        access_log_folder: None,
        entry_points: vec![EntryPointInfo {
            name: "http".to_owned(),
            port: 80,
            is_local: true,
            has_tls,
            is_udp: false,
            white_list: Vec::new(),
            has_auth: false,
            sanitize_path: true,
        }],
        default_entry_points: vec!["http".to_owned()],
        keep_trailing_slash: false,
        allow_min_weight_zero: false,
        health_interval: Duration::from_secs(30),
        client_tls: Err("no TLS in memory".to_owned()),
        credentials: compile::credential_memory([7; 32]),
        auth_tls: Box::new(|_| Err("no TLS in memory".to_owned())),
        retry: None,
        random: |bytes| bytes.fill(7),
        read: Box::new(|path| Err(io::Error::other(format!("no files here: {path}")))),
    };
    let documents: Documents = [("file".to_owned(), document.into())].into();
    let compiled = compile::compile(&context, &documents, &[], &Snapshot::empty(1), &mut EndpointInterner::default());
    assert!(compiled.rejected.is_empty(), "{:?}", compiled.rejected);
    compiled
}
