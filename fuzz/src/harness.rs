//! A worker between a client and servers in memory, all of which behave as the fuzzer's bytes say. The harness has its own clock: whenever
//! no future can make progress, the clock advances.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ringway::config::dynamic::{Backend, Buffering, DynamicConfig, Frontend, MaxConn, Route, Server as Written};
use ringway::config::snapshot::ServerEndpoint;
use ringway::error::Cause;
use ringway::limits::DEADLINE_TICK_MILLIS;
use ringway::net::driver::DriverInfo;
use ringway::net::{Deadlines, TimeLimit};
use ringway::worker::{ClientInfo, ConnectionTask, Dial, Dialled, Timeouts, VersionOffer, Worker, WorkerShared, serve};

use crate::reading::{self, Rest};
use crate::shared;
use crate::wire::{self, Behaviour, Fault, ScriptedPeer, Wire, connect};

/// The client's address, as text.
pub const PEER: &str = "192.0.2.1";
/// Separates the client's bytes from the servers' responses, and these from each other.
pub const SEPARATOR: &[u8] = b"\n~~~\n";
const CONTROL_BYTES: usize = 3 * Behaviour::BYTES + 1;

/// All time-outs of the worker, and the time after which a client disconnects.
const TIMEOUT: Duration = Duration::from_secs(3);
const CLIENT_STAY: Duration = Duration::from_secs(40);
/// Upper bounds for a run: elapsed time of the harness's clock, and polls of the worker.
const HANG: Duration = Duration::from_secs(600);
const POLLS_MAX: usize = 200_000;

/// A scenario, read from the fuzzer's bytes: the behaviour of the client, of the first connection to a server and of all later ones, five
/// bytes each; a byte of flags; then the client's bytes and the servers' responses in turn. When the responses are used up, servers send
/// a good one.
pub struct Scenario {
    client: Behaviour,
    /// Behaviour of the connections to servers: the first one, and all others.
    first: Behaviour,
    later: Behaviour,
    /// The client is a trusted peer, whose X-Forwarded-* fields count, and the connection came over TLS.
    pub trusted: bool,
    /// Servers respond as soon as they have a request's head; servers send a response before they have a request.
    answers_early: bool,
    responds_unasked: bool,
    client_bytes: Vec<u8>,
    answers: Vec<Vec<u8>>,
}

impl Scenario {
    /// Reads a scenario; `None` if there are too few bytes.
    pub fn read(bytes: &[u8]) -> Option<Scenario> {
        let (control, text) = bytes.split_at_checked(CONTROL_BYTES)?;
        let (behaviours, flags) = control.split_at(3 * Behaviour::BYTES);
        let mut behaviours = behaviours.as_chunks().0.iter().map(|bytes| Behaviour::read(*bytes));
        let mut parts = split(text).into_iter();
        Some(Scenario {
            client: behaviours.next()?,
            first: behaviours.next()?,
            later: behaviours.next()?,
            trusted: flags[0] & 1 != 0,
            answers_early: flags[0] & 2 != 0,
            responds_unasked: flags[0] & 4 != 0,
            client_bytes: parts.next()?,
            answers: parts.collect(),
        })
    }
}

fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        parts.push(rest[..at].to_vec());
        rest = &rest[at + SEPARATOR.len()..];
    }
    parts.push(rest.to_vec());
    parts
}

/// A client that sends all its bytes at once.
pub struct Client(Vec<u8>);

impl ScriptedPeer for Client {
    fn receive(&mut self, _heard: &[u8], outgoing: &mut Vec<u8>) {
        outgoing.append(&mut self.0);
    }
}

/// A server that answers requests in turn, with the next response of the scenario.
pub struct Server {
    script: Rc<Script>,
    /// Bytes of the requests that are answered, and whether the current request is answered already.
    answered: usize,
    has_responded: bool,
    /// The server sent something before it had a whole request.
    pub responded_early: bool,
    /// The number of each request among those of all servers, and the offset of its first byte.
    pub begun: Vec<(usize, usize)>,
}

/// State that all servers of a scenario share.
#[derive(Default)]
struct Script {
    answers: RefCell<VecDeque<Vec<u8>>>,
    answers_early: bool,
    begun: Cell<usize>,
}

impl Script {
    fn answer(&self) -> Vec<u8> {
        let next = self.answers.borrow_mut().pop_front();
        next.unwrap_or_else(|| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    }
}

impl ScriptedPeer for Server {
    fn receive(&mut self, received: &[u8], outgoing: &mut Vec<u8>) {
        while self.answered < received.len() {
            if self.begun.last().is_none_or(|(_, at)| *at < self.answered) {
                self.begun.push((self.script.begun.replace(self.script.begun.get() + 1), self.answered));
            }
            let Some((request, rest)) = reading::first_request(&received[self.answered..]) else { return };
            // A malformed head is checked after the run.
            if rest == Rest::Refused || (!request.is_whole && !self.script.answers_early) {
                return;
            }
            if !std::mem::replace(&mut self.has_responded, true) {
                outgoing.extend_from_slice(&self.script.answer());
                self.responded_early |= !request.is_whole;
            }
            if !request.is_whole {
                return;
            }
            self.has_responded = false;
            self.answered += request.len;
            if matches!(rest, Rest::Tunnel) {
                // Another protocol follows, or the end.
                self.answered = usize::MAX;
            }
        }
    }
}

/// The servers that the worker can dial.
#[derive(Default)]
struct Network {
    clock: Rc<Deadlines>,
    script: RefCell<Rc<Script>>,
    first: Cell<Behaviour>,
    later: Cell<Behaviour>,
    responds_unasked: Cell<bool>,
    dials: Cell<usize>,
    opened: RefCell<Vec<wire::Shared<Server>>>,
}

impl Network {
    fn begin(&self, scenario: &Scenario) {
        let answers = RefCell::new(scenario.answers.iter().cloned().collect());
        let script = Script { answers, answers_early: scenario.answers_early, begun: Cell::default() };
        self.script.replace(Rc::new(script));
        self.first.set(scenario.first);
        self.later.set(scenario.later);
        self.responds_unasked.set(scenario.responds_unasked);
        self.dials.set(0);
        self.opened.borrow_mut().clear();
    }
}

/// Connects the worker to the servers in memory.
struct NetworkDial(Rc<Network>);

impl Dial for NetworkDial {
    type Io = Wire<Server>;

    async fn dial(&self, _origin: &ServerEndpoint, _: Option<&ClientInfo>, _: VersionOffer, _limit: TimeLimit<'_>) -> Result<Dialled<Wire<Server>>, Cause> {
        let NetworkDial(network) = self;
        let is_first = network.dials.replace(network.dials.get() + 1) == 0;
        let behaviour = if is_first { network.first.get() } else { network.later.get() };
        match behaviour.fault {
            Fault::RefusesConnection => return Err(Cause::Io(io::ErrorKind::ConnectionRefused.into())),
            Fault::Unreachable => return Err(Cause::TimedOut),
            _ => {}
        }
        let script = Rc::clone(&network.script.borrow());
        let responded_early = network.responds_unasked.get();
        let server = Server { script, answered: 0, has_responded: false, responded_early, begun: Vec::new() };
        let (link, wire) = connect(server, behaviour, &network.clock);
        if responded_early {
            let unsolicited = link.borrow().peer.script.answer();
            link.borrow_mut().send_unsolicited(&unsolicited);
        }
        network.opened.borrow_mut().push(Rc::clone(&link));
        Ok(Dialled::http1(wire))
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("the servers speak HTTP/1.1");
    }
}

/// The worker, and the state that is reused by all scenarios. A scenario leaves in the worker what every connection leaves there: free
/// buffers and the state of the load balancing.
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
    pub client: wire::Shared<Client>,
    pub servers: Vec<wire::Shared<Server>>,
}

/// Serves the client's connection to its end.
pub fn run(scenario: &Scenario) -> RunResult {
    HARNESS.with(|harness| harness.run(scenario))
}

impl Harness {
    fn new() -> Harness {
        let mut shared = shared::shared(document(), 1);
        shared.timeouts = Timeouts {
            idle: Some(TIMEOUT),
            head_read: TIMEOUT,
            body_read: None,
            stall: TIMEOUT,
            dial: TIMEOUT,
            response_header: Some(TIMEOUT),
            tcp_idle: TIMEOUT,
        };
        let (shared, network) = (Arc::new(shared), Rc::<Network>::default());
        let choice = DriverInfo { name: "none", reason: String::new(), is_fallback: false };
        let worker = Worker::new(0, Arc::clone(&shared), choice, NetworkDial(Rc::clone(&network)));
        Harness { shared, worker, network, elapsed: Cell::default() }
    }

    fn run(&self, scenario: &Scenario) -> RunResult {
        self.network.begin(scenario);
        let (client, wire) = connect(Client(scenario.client_bytes.clone()), scenario.client, &self.network.clock);
        let peer = Box::new(ClientInfo {
            entry: 0,
            address: ([192, 0, 2, 1], 4711).into(),
            ip_text: PEER.into(),
            secure: scenario.trusted,
            certs: Vec::new(),
            server_name: None,
            trusted: scenario.trusted,
            arrival: None,
            bound: Default::default(),
            has_sent_ahead: Default::default(),
        });
        self.drive(serve(Rc::clone(&self.worker), wire, peer), &client);
        assert!(client.borrow().near.dropped, "the client's connection is still held");
        self.check_counts();
        RunResult { client, servers: self.network.opened.take() }
    }

    /// Polls `serving` until it is done, and advances the clock whenever it makes no progress.
    fn drive(&self, serving: impl Future<Output = ()>, client: &wire::Shared<Client>) {
        let wake_flag = Arc::new(WakeFlag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&wake_flag));
        let (mut serving, mut polls) = (pin!(serving), 0);
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

    /// Checks that nothing counts as active after the last connection.
    fn check_counts(&self) {
        assert_eq!(self.shared.active(), 0, "active requests");
        assert_eq!(self.worker.budget.used(), 0, "reserved bytes without a message");
        assert!(self.worker.deadlines.is_empty(), "deadlines without a waiting future");
        let held = self.network.opened.borrow().iter().filter(|link| !link.borrow().near.dropped).count();
        assert_eq!(held, self.worker.pool.len(), "open connections outside the pool");
        assert_eq!(self.worker.bound.len(), 0, "a bound connection outlives its client");
        self.worker.pool.clear();
        assert!(self.network.opened.borrow().iter().all(|link| link.borrow().near.dropped), "the pool was emptied");
        let published = self.shared.snapshot.load();
        for origin in published.snapshot.backends.iter().flat_map(|backend| &backend.endpoints) {
            assert_eq!(origin.server.state.active(), 0, "active requests at {}", origin.url);
            // Unreachable servers are reachable again in the next scenario.
            origin.server.state.note_connected();
        }
    }
}

struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// `/` has one server, `/two` has two, `/held` is buffered, `/limited` serves one request at a time.
fn document() -> DynamicConfig {
    let backend = |servers: &[&str]| {
        let server = |url: &&str| ((*url).to_owned(), Written { url: format!("http://{url}"), weight: 1 });
        Backend { servers: servers.iter().map(server).collect(), ..Backend::default() }
    };
    let frontend = |name: &str, rule: &str| {
        let routes = [("rule".to_owned(), Route { rule: rule.to_owned() })].into();
        (name.to_owned(), Frontend { backend: name.to_owned(), pass_host_header: true, routes, ..Frontend::default() })
    };
    let buffering = Buffering { max_request_body_bytes: 1000, max_response_body_bytes: 1000, ..Buffering::default() };
    let limit = MaxConn { amount: 1, extractor_func: "request.host".to_owned() };
    DynamicConfig {
        backends: [
            ("one".to_owned(), backend(&["10.0.0.1:80"])),
            ("two".to_owned(), backend(&["10.0.0.2:80", "10.0.0.3:80"])),
            ("held".to_owned(), Backend { buffering: Some(buffering), ..backend(&["10.0.0.4:80", "10.0.0.5:80"]) }),
            ("limited".to_owned(), Backend { max_conn: Some(limit), ..backend(&["10.0.0.6:80"]) }),
        ]
        .into(),
        frontends: [
            frontend("one", "PathPrefix:/"),
            frontend("two", "PathPrefix:/two"),
            frontend("held", "PathPrefix:/held"),
            frontend("limited", "PathPrefix:/limited"),
        ]
        .into(),
        tls: Vec::new(),
    }
}
