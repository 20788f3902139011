//! A worker between a client and backends in memory, all of whom do what the fuzzer's bytes say. Its time is the stage's own: when nobody
//! can go on, the clock does.

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
use ringway::worker::{ClientInfo, Dial, Timeouts, Worker, WorkerShared, serve};

use crate::reading::{self, Rest};
use crate::shared;
use crate::wire::{self, Conduct, Fault, Party, Wire, connect};

/// The client's address, as text.
pub const PEER: &str = "192.0.2.1";
/// Between what the client says and the backends' answers, and between two of these.
pub const SEPARATOR: &[u8] = b"\n~~~\n";
const CONTROL_BYTES: usize = 3 * Conduct::BYTES + 1;

/// How long anybody may be silent, and how long a client stays.
const PATIENCE: Duration = Duration::from_secs(3);
const STAY: Duration = Duration::from_secs(40);
/// Longer than any connection lasts: of time that goes by, and in turns of the worker.
const HANG: Duration = Duration::from_secs(600);
const TURNS_MAX: usize = 200_000;

/// What the fuzzer's bytes say: the conduct of the client, of the first connection to a backend and of all later ones, five bytes each, a
/// byte of flags, then what the client says and the backends' answers in turn. Where answers run out there is one more, a good one.
pub struct Play {
    client: Conduct,
    /// The connections to backends: the first one, and all others.
    first: Conduct,
    later: Conduct,
    /// The client's own X-Forwarded-* words count, and it came over TLS.
    pub trusted: bool,
    /// Backends answer as soon as they have a request's head; they speak before they are asked.
    answers_early: bool,
    speaks_first: bool,
    says: Vec<u8>,
    answers: Vec<Vec<u8>>,
}

impl Play {
    /// `None` for bytes that are too few.
    pub fn read(bytes: &[u8]) -> Option<Play> {
        let (control, text) = bytes.split_at_checked(CONTROL_BYTES)?;
        let (conducts, flags) = control.split_at(3 * Conduct::BYTES);
        let mut conducts = conducts.as_chunks().0.iter().map(|bytes| Conduct::read(*bytes));
        let mut parts = split(text).into_iter();
        Some(Play {
            client: conducts.next()?,
            first: conducts.next()?,
            later: conducts.next()?,
            trusted: flags[0] & 1 != 0,
            answers_early: flags[0] & 2 != 0,
            speaks_first: flags[0] & 4 != 0,
            says: parts.next()?,
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

/// Says all it has to say at once.
pub struct Client(Vec<u8>);

impl Party for Client {
    fn hear(&mut self, _heard: &[u8], says: &mut Vec<u8>) {
        says.append(&mut self.0);
    }
}

/// Answers requests in turn, with what the play has for whichever backend is asked next.
pub struct Server {
    script: Rc<Script>,
    /// Bytes of whole requests that it has answered, and whether it has answered the one under way.
    answered: usize,
    is_ahead: bool,
    /// It said something before it had a whole request.
    pub spoke_early: bool,
    /// The number of each request's first byte among those of all backends, and where it lies.
    pub begun: Vec<(usize, usize)>,
}

/// What all backends share in one play.
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

impl Party for Server {
    fn hear(&mut self, heard: &[u8], says: &mut Vec<u8>) {
        while self.answered < heard.len() {
            if self.begun.last().is_none_or(|(_, at)| *at < self.answered) {
                self.begun.push((self.script.begun.replace(self.script.begun.get() + 1), self.answered));
            }
            let Some((request, rest)) = reading::first_request(&heard[self.answered..]) else { return };
            // A head that nobody can read is judged when all is over.
            if rest == Rest::Refused || (!request.is_whole && !self.script.answers_early) {
                return;
            }
            if !std::mem::replace(&mut self.is_ahead, true) {
                says.extend_from_slice(&self.script.answer());
                self.spoke_early |= !request.is_whole;
            }
            if !request.is_whole {
                return;
            }
            self.is_ahead = false;
            self.answered += request.len;
            if matches!(rest, Rest::Tunnel) {
                // What follows is another protocol, or the end.
                self.answered = usize::MAX;
            }
        }
    }
}

/// The backends, as the worker meets them by dialling.
#[derive(Default)]
struct World {
    clock: Rc<Deadlines>,
    script: RefCell<Rc<Script>>,
    first: Cell<Conduct>,
    later: Cell<Conduct>,
    speaks_first: Cell<bool>,
    dials: Cell<usize>,
    opened: RefCell<Vec<wire::Shared<Server>>>,
}

impl World {
    fn begin(&self, play: &Play) {
        let answers = RefCell::new(play.answers.iter().cloned().collect());
        let script = Script { answers, answers_early: play.answers_early, begun: Cell::default() };
        self.script.replace(Rc::new(script));
        self.first.set(play.first);
        self.later.set(play.later);
        self.speaks_first.set(play.speaks_first);
        self.dials.set(0);
        self.opened.borrow_mut().clear();
    }
}

/// The way there.
struct Way(Rc<World>);

impl Dial for Way {
    type Io = Wire<Server>;

    async fn dial(&self, _origin: &ServerEndpoint, _limit: TimeLimit<'_>) -> Result<Wire<Server>, Cause> {
        let Way(world) = self;
        let is_first = world.dials.replace(world.dials.get() + 1) == 0;
        let conduct = if is_first { world.first.get() } else { world.later.get() };
        match conduct.fault {
            Fault::Refuses => return Err(Cause::Io(io::ErrorKind::ConnectionRefused.into())),
            Fault::IsAway => return Err(Cause::TimedOut),
            _ => {}
        }
        let script = Rc::clone(&world.script.borrow());
        let spoke_early = world.speaks_first.get();
        let server = Server { script, answered: 0, is_ahead: false, spoke_early, begun: Vec::new() };
        let (line, wire) = connect(server, conduct, &world.clock);
        if spoke_early {
            let unasked = line.borrow().party.script.answer();
            line.borrow_mut().say(&unasked);
        }
        world.opened.borrow_mut().push(Rc::clone(&line));
        Ok(wire)
    }
}

/// The worker, and what is kept from one play to the next. What a play leaves in it is what every connection leaves in a worker: spare
/// memory, and whose turn it is.
struct Stage {
    shared: Arc<WorkerShared>,
    worker: Rc<Worker<Way>>,
    world: Rc<World>,
    elapsed: Cell<Duration>,
}

thread_local! {
    static STAGE: Stage = Stage::new();
}

/// Everything that can be seen from outside after a play.
pub struct Outcome {
    pub client: wire::Shared<Client>,
    pub servers: Vec<wire::Shared<Server>>,
}

/// Serves the client's connection to its end.
pub fn run(play: &Play) -> Outcome {
    STAGE.with(|stage| stage.run(play))
}

impl Stage {
    fn new() -> Stage {
        let mut shared = shared::shared(document(), 1);
        shared.timeouts = Timeouts {
            idle: Some(PATIENCE),
            head_read: PATIENCE,
            body_read: None,
            stall: PATIENCE,
            dial: PATIENCE,
            response_header: Some(PATIENCE),
        };
        let (shared, world) = (Arc::new(shared), Rc::<World>::default());
        let choice = DriverInfo { name: "none", reason: String::new(), is_fallback: false };
        let worker = Rc::new(Worker::new(0, Arc::clone(&shared), choice, Way(Rc::clone(&world))));
        Stage { shared, worker, world, elapsed: Cell::default() }
    }

    fn run(&self, play: &Play) -> Outcome {
        self.world.begin(play);
        let (client, wire) = connect(Client(play.says.clone()), play.client, &self.world.clock);
        let peer = Box::new(ClientInfo {
            entry: 0,
            address: ([192, 0, 2, 1], 4711).into(),
            ip_text: PEER.into(),
            secure: play.trusted,
            certs: Vec::new(),
            trusted: play.trusted,
        });
        self.drive(serve(Rc::clone(&self.worker), wire, peer), &client);
        assert!(client.borrow().near.dropped, "the client's connection is still held");
        self.check_counts();
        Outcome { client, servers: self.world.opened.take() }
    }

    /// Lets the clock go on whenever `serving` cannot, until it is done.
    fn drive(&self, serving: impl Future<Output = ()>, client: &wire::Shared<Client>) {
        let alarm = Arc::new(Alarm(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&alarm));
        let (mut serving, mut turns) = (pin!(serving), 0);
        let begin = self.elapsed.get();
        loop {
            if alarm.0.swap(false, Relaxed) {
                turns += 1;
                assert!(turns < TURNS_MAX, "the worker turns in circles");
                if let Poll::Ready(()) = serving.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return;
                }
                continue;
            }
            let elapsed = self.elapsed.get() + Duration::from_millis(DEADLINE_TICK_MILLIS);
            self.elapsed.set(elapsed);
            self.worker.deadlines.sweep(elapsed);
            self.world.clock.sweep(elapsed);
            assert!(elapsed - begin < HANG, "the connection never ends");
            if elapsed - begin > STAY && !client.borrow().has_left {
                client.borrow_mut().leave();
            }
        }
    }

    /// After the last connection nothing may count as under way.
    fn check_counts(&self) {
        assert_eq!(self.shared.active(), 0, "active requests");
        assert_eq!(self.worker.budget.used(), 0, "bytes of messages that nobody holds any more");
        assert!(self.worker.deadlines.is_empty(), "waits that nobody waits for");
        let held = self.world.opened.borrow().iter().filter(|line| !line.borrow().near.dropped).count();
        assert_eq!(held, self.worker.pool.len(), "connections to backends that nobody holds any more");
        self.worker.pool.clear();
        assert!(self.world.opened.borrow().iter().all(|line| line.borrow().near.dropped), "the pool was emptied");
        let published = self.shared.snapshot.load();
        for origin in published.snapshot.backends.iter().flat_map(|backend| &backend.endpoints) {
            assert_eq!(origin.server.state.active(), 0, "requests under way at {}", origin.url);
            // Those who could not be reached are all right in the next play.
            origin.server.state.note_connected();
        }
    }
}

struct Alarm(AtomicBool);

impl Wake for Alarm {
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
