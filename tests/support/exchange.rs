//! The whole exchange without a network or a driver: a client that asks the same again and again, an origin that answers the same, and
//! between them a worker with a table of a thousand routes. Nothing ever has to be waited for, so one poll serves all requests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ringway::config::compile::{self, EntryFacts, Fixture, Interned};
use ringway::config::dynamic::{Backend, Dynamic, Frontend, Route, Server};
use ringway::config::snapshot::{Origin, Snapshot, Trust};
use ringway::error::Cause;
use ringway::middleware::Chain;
use ringway::net::driver::Choice;
use ringway::net::{Duplex, ReadHalf, TimeLimit, WriteHalf};
use ringway::observe::Published;
use ringway::observe::metrics::{Metrics, MetricsSettings, ProcessFacts};
use ringway::worker::{Dial, EntryPoint, Peer, Shared, Timeouts, VerifyPool, Vitals, Worker, serve};

const REQUEST: &[u8] =
    b"GET /bytes/128?x=1 HTTP/1.1\r\nHost: h500.bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nServer: memory\r\n\r\nhello, world";
const HOSTS: usize = 1000;

/// A worker, ready to serve.
pub struct Stage {
    worker: Rc<Worker<Answering>>,
}

/// Called before the request of that number is sent, counted from 0.
pub type Watch = Rc<dyn Fn(usize)>;

impl Stage {
    pub fn new() -> Self {
        let metrics = Arc::new(Metrics::new(&MetricsSettings {
            workers: 1,
            entry_points: vec!["http".to_owned()],
            ..MetricsSettings::default()
        }));
        let published = Published::new(snapshot(), &metrics);
        let choice = Choice { name: "none", reason: String::new(), is_fallback: false };
        Stage { worker: Rc::new(Worker::new(0, Arc::new(shared(published, metrics)), choice, Answering)) }
    }

    /// Serves one connection of `count` requests; gives the bytes that the client got.
    pub fn serve(&self, count: usize, watch: Watch) -> usize {
        let got = Rc::new(Cell::new(0));
        let client = Duplex {
            reader: Asking { left: count, count, watch },
            writer: Taking { got: Rc::clone(&got), asked: Rc::default() },
        };
        let peer = Box::new(Peer {
            entry: 0,
            address: ([192, 0, 2, 7], 4711).into(),
            ip_text: "192.0.2.7".into(),
            secure: false,
            certs: Vec::new(),
            trusted: true,
        });
        let served = pin!(serve(Rc::clone(&self.worker), client, peer)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(served.is_ready(), "something was waited for");
        got.get()
    }
}

/// Bytes of one answer as the client gets it, without what changes from one second to the next.
pub fn answer_bytes_min() -> usize {
    ANSWER.len()
}

struct Answering;

impl Dial for Answering {
    type Io = Duplex<Replying, Taking>;

    async fn dial(&self, _origin: &Origin, _limit: TimeLimit<'_>) -> Result<Self::Io, Cause> {
        let asked = Rc::new(Cell::new(false));
        Ok(Duplex { reader: Replying(Rc::clone(&asked)), writer: Taking { got: Rc::default(), asked } })
    }
}

struct Asking {
    left: usize,
    count: usize,
    watch: Watch,
}

impl ReadHalf for Asking {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        (self.watch)(self.count - self.left);
        if self.left == 0 {
            return (Ok(0), buffer);
        }
        self.left -= 1;
        buffer.extend_from_slice(REQUEST);
        (Ok(REQUEST.len()), buffer)
    }

    async fn readable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_quiet(&mut self) -> bool {
        false
    }

    fn is_gone(&mut self) -> bool {
        false
    }

    fn abort(&mut self) {}
}

/// Takes whatever is sent, and tells the other half of it.
pub struct Taking {
    got: Rc<Cell<usize>>,
    asked: Rc<Cell<bool>>,
}

impl WriteHalf for Taking {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.got.set(self.got.get() + buffer.len());
        self.asked.set(true);
        (Ok(()), buffer)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers once for each request.
pub struct Replying(Rc<Cell<bool>>);

impl ReadHalf for Replying {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        assert!(self.0.replace(false), "an answer is wanted that nobody asked for");
        buffer.extend_from_slice(ANSWER);
        (Ok(ANSWER.len()), buffer)
    }

    async fn readable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_quiet(&mut self) -> bool {
        !self.0.get()
    }

    fn is_gone(&mut self) -> bool {
        false
    }

    fn abort(&mut self) {}
}

fn snapshot() -> Snapshot {
    let fixture = Fixture {
        entry_points: vec![EntryFacts { name: "http".to_owned(), port: 80, has_tls: false, sanitize_path: true }],
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
    let server = Server { url: "http://10.0.0.1:80".to_owned(), weight: 1 };
    let backend = Backend { servers: [("one".to_owned(), server)].into(), ..Backend::default() };
    let frontend = |rule: String| Frontend {
        backend: "one".to_owned(),
        pass_host_header: true,
        routes: [("rule".to_owned(), Route { rule })].into(),
        ..Frontend::default()
    };
    let frontends = (0..HOSTS).map(|n| (format!("h{n}"), frontend(format!("Host:h{n}.bench.test")))).collect();
    let document = Dynamic { backends: [("one".to_owned(), backend)].into(), frontends, tls: Vec::new() };
    let documents: BTreeMap<String, Dynamic> = [("file".to_owned(), document)].into();
    let compiled = compile::compile(&fixture, &documents, &[], &Snapshot::empty(1), &mut Interned::default());
    assert!(compiled.rejected.is_empty(), "{:?}", compiled.rejected);
    compiled
}

fn shared(published: Published, metrics: Arc<Metrics>) -> Shared {
    let point = EntryPoint {
        name: "http".to_owned(),
        chain: Chain::default(),
        guard: Chain::default(),
        auth: None,
        exposed: None,
        serves_challenges: false,
        serves_rest: false,
        tls: None,
        trust: Trust::Everyone,
    };
    let second = Duration::from_secs(1);
    Shared {
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
        },
        idle_per_server_max: 8,
        version: "0",
        codename: "memory",
        host_name: "proxy".to_owned(),
        verify: VerifyPool::start().expect("threads"),
        take_document: None,
        access_log: None,
        start: Instant::now(),
        stopping: false.into(),
        accepting: true.into(),
        accepts: 0.into(),
        connections: 0.into(),
        draining: false.into(),
        vitals: vec![Vitals::default()],
        process_facts: ProcessFacts::default,
    }
}
