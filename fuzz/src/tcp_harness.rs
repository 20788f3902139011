//! A worker between a TCP client and servers in memory, all of which behave as the fuzzer's bytes say: the whole life of a connection of a TCP
//! route. As in `harness`, the clock advances whenever no future can make progress.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ringway::config::dynamic::{Backend, DynamicConfig, Frontend, Route, Server as Written};
use ringway::config::snapshot::ServerEndpoint;
use ringway::error::Cause;
use ringway::limits::DEADLINE_TICK_MILLIS;
use ringway::net::driver::DriverInfo;
use ringway::net::{Deadlines, TimeLimit};
use ringway::worker::{Routed, ClientInfo, ConnectionTask, Dial, Dialled, Timeouts, VersionOffer, Worker, WorkerShared, route_tcp};

use crate::shared;
use crate::wire::{self, Behaviour, Fault, ScriptedPeer, Wire, connect};

/// The name of the route with two servers; every other connection has one server.
pub const NAME: &str = "db.example.com";
const TIMEOUT: Duration = Duration::from_secs(3);
const CLIENT_STAY: Duration = Duration::from_secs(60);
const HANG: Duration = Duration::from_secs(600);
const POLLS_MAX: usize = 200_000;
const CONTROL_BYTES: usize = 3 * Behaviour::BYTES;

/// A scenario, read from the fuzzer's bytes: the behaviour of the client, of the first connection to a server and of all later ones, five
/// bytes each; two bytes with the length of the server's bytes; those; then the client's bytes.
pub struct Scenario {
    client: Behaviour,
    first: Behaviour,
    later: Behaviour,
    client_bytes: Vec<u8>,
    server_bytes: Vec<u8>,
}

impl Scenario {
    /// Reads a scenario; `None` if there are too few bytes.
    pub fn read(bytes: &[u8]) -> Option<Scenario> {
        let (control, rest) = bytes.split_at_checked(CONTROL_BYTES)?;
        let mut behaviours = control.as_chunks().0.iter().map(|bytes| Behaviour::read(*bytes));
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (server, client) = rest.split_at(len);
        Some(Scenario {
            client: behaviours.next()?,
            first: behaviours.next()?,
            later: behaviours.next()?,
            client_bytes: client.to_vec(),
            server_bytes: server.to_vec(),
        })
    }

    /// Whether neither side has a fault.
    pub fn is_faultless(&self) -> bool {
        self.client.fault == Fault::None && self.first.fault == Fault::None
    }
}

/// A peer that sends all its bytes at once.
pub struct Talker(Vec<u8>);

impl ScriptedPeer for Talker {
    fn receive(&mut self, _received: &[u8], outgoing: &mut Vec<u8>) {
        outgoing.append(&mut self.0);
    }
}

#[derive(Default)]
struct Network {
    clock: Rc<Deadlines>,
    behaviours: Cell<(Behaviour, Behaviour)>,
    bytes: RefCell<Vec<u8>>,
    dialled: RefCell<Vec<String>>,
    opened: RefCell<Vec<wire::Shared<Talker>>>,
}

struct NetworkDial(Rc<Network>);

impl Dial for NetworkDial {
    type Io = Wire<Talker>;

    async fn dial(
        &self,
        endpoint: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _limit: TimeLimit<'_>,
    ) -> Result<Dialled<Wire<Talker>>, Cause> {
        let NetworkDial(network) = self;
        network.dialled.borrow_mut().push(endpoint.authority.clone());
        let (first, later) = network.behaviours.get();
        let behaviour = if network.dialled.borrow().len() == 1 { first } else { later };
        match behaviour.fault {
            Fault::RefusesConnection => return Err(Cause::Io(io::ErrorKind::ConnectionRefused.into())),
            Fault::Unreachable => return Err(Cause::TimedOut),
            _ => {}
        }
        let (link, wire) = connect(Talker(network.bytes.borrow().clone()), behaviour, &network.clock);
        network.opened.borrow_mut().push(link);
        Ok(Dialled::http1(wire))
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("TCP servers share no connections");
    }
}

struct Harness {
    shared: Arc<WorkerShared>,
    worker: Rc<Worker<NetworkDial>>,
    network: Rc<Network>,
    elapsed: Cell<Duration>,
}

thread_local! {
    static HARNESS: Harness = Harness::new();
}

/// The observable result of a scenario.
pub struct RunResult {
    pub client: wire::Shared<Talker>,
    pub servers: Vec<wire::Shared<Talker>>,
    /// The servers that were dialled, in order.
    pub dialled: Vec<String>,
}

/// Serves the client's connection to its end.
pub fn run(scenario: &Scenario) -> RunResult {
    HARNESS.with(|harness| harness.run(scenario))
}

impl Harness {
    fn new() -> Harness {
        let mut shared = shared::shared_as(document(), 1, true);
        shared.timeouts = Timeouts {
            idle: Some(TIMEOUT),
            head_read: TIMEOUT,
            body_read: None,
            stall: TIMEOUT,
            dial: TIMEOUT,
            response_header: Some(TIMEOUT),
            tcp_idle: 4 * TIMEOUT,
        };
        let (shared, network) = (Arc::new(shared), Rc::<Network>::default());
        let choice = DriverInfo { name: "none", reason: String::new(), is_fallback: false };
        let worker = Worker::new(0, Arc::clone(&shared), choice, NetworkDial(Rc::clone(&network)));
        Harness { shared, worker, network, elapsed: Cell::default() }
    }

    fn run(&self, scenario: &Scenario) -> RunResult {
        let network = &self.network;
        network.behaviours.set((scenario.first, scenario.later));
        network.bytes.borrow_mut().clone_from(&scenario.server_bytes);
        let (client, wire) = connect(Talker(scenario.client_bytes.clone()), scenario.client, &network.clock);
        self.drive(wire, &client);
        assert!(client.borrow().near.dropped, "the client's connection is still held");
        let servers = network.opened.take();
        assert!(servers.iter().all(|link| link.borrow().near.dropped), "a server's connection is still held");
        assert_eq!(self.shared.active(), 0, "active connections");
        assert!(self.worker.deadlines.is_empty(), "deadlines without a waiting future");
        let published = self.shared.snapshot.load();
        for origin in published.snapshot.backends.iter().flat_map(|backend| &backend.endpoints) {
            assert_eq!(origin.server.state.active(), 0, "active connections at {}", origin.url);
            // Unreachable servers are reachable again in the next scenario.
            origin.server.state.note_connected();
        }
        RunResult { client, servers, dialled: network.dialled.take() }
    }

    /// Polls the connection until it is done, and advances the clock whenever it makes no progress.
    fn drive(&self, wire: Wire<Talker>, client: &wire::Shared<Talker>) {
        let wake_flag = Arc::new(WakeFlag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&wake_flag));
        let (mut serving, mut polls) = (pin!(serve(Rc::clone(&self.worker), wire)), 0);
        let begin = self.elapsed.get();
        loop {
            if wake_flag.0.swap(false, Relaxed) {
                polls += 1;
                assert!(polls < POLLS_MAX, "the worker is polled without end");
                if let Poll::Ready(()) = serving.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return;
                }
                continue;
            }
            let elapsed = self.elapsed.get() + Duration::from_millis(DEADLINE_TICK_MILLIS);
            self.elapsed.set(elapsed);
            self.worker.deadlines.sweep(elapsed);
            self.network.clock.sweep(elapsed);
            assert!(elapsed - begin < HANG, "the connection never ends");
            if elapsed - begin > CLIENT_STAY && !client.borrow().has_disconnected {
                client.borrow_mut().disconnect();
            }
        }
    }
}

async fn serve(worker: Rc<Worker<NetworkDial>>, wire: Wire<Talker>) {
    match route_tcp(worker, wire, peer()).await {
        Routed::Tcp(serving) => serving.await,
        Routed::Closed => {}
        Routed::Http(_) => panic!("the route for everything takes the connection"),
    }
}

struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

fn peer() -> Box<ClientInfo> {
    Box::new(ClientInfo {
        entry: 0,
        address: ([192, 0, 2, 1], 4711).into(),
        ip_text: "192.0.2.1".into(),
        secure: false,
        certs: Vec::new(),
        server_name: None,
        trusted: false,
        arrival: None,
        bound: Default::default(),
        has_sent_ahead: Default::default(),
    })
}

fn document() -> DynamicConfig {
    let backend = |hosts: &[&str]| {
        let server = |host: &&str| ((*host).to_owned(), Written { url: format!("tcp://{host}:5432"), weight: 1 });
        Backend { servers: hosts.iter().map(server).collect(), ..Backend::default() }
    };
    let frontend = |name: &str, rule: String| {
        let routes = [("rule".to_owned(), Route { rule })].into();
        let entry_points = vec!["http".to_owned()];
        let frontend =
            Frontend { backend: name.to_owned(), entry_points, passthrough: true, routes, ..Frontend::default() };
        (name.to_owned(), frontend)
    };
    DynamicConfig {
        backends: [
            ("named".to_owned(), backend(&["10.0.0.1", "10.0.0.2"])),
            ("any".to_owned(), backend(&["10.0.0.9"])),
        ]
        .into(),
        frontends: [frontend("named", format!("HostSNI:{NAME}")), frontend("any", "HostSNI:*".to_owned())].into(),
        tls: Vec::new(),
    }
}
