//! Many connections at once over dishonest transports, with tables swapped in between, all by seed.
//!
//! Whatever happens, every request gets one answer, its own, or loses its connection; what may not be sent twice is not; and when the last
//! client has gone every count is back at zero. Where all are honest, every request is served.
//!
//! The seeds of a run are 0 to 9999; a failing one is printed, and `RINGWAY_SEED` runs it alone. The time of the worker's limits is the test's own; the runtime's is real, and what is late on
//! the wire is counted in looks, not in seconds.

mod client;
mod link;
mod messages;
mod origin;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use client::Client;
use link::{Ledger, Random, Shared as Linked, Wire, connect};
use origin::{Seen, Server};

use super::stage::{self, Base, TIMEOUTS, check_counts};
use crate::config::dynamic::{Backend, Buffering, Dynamic, Frontend, Headers, MaxConn, Route, Server as Written};
use crate::config::snapshot::Origin;
use crate::error::Cause;
use crate::limits;
use crate::net::TimeLimit;
use crate::net::driver::{Driver, Wanted};
use crate::worker::connection::serve;
use crate::worker::talk::Peer;
use crate::worker::upstream::Dial;
use crate::worker::{Timeouts, Worker};

const SEEDS: u64 = 10_000;
/// Seeds that wait for a limit leave the processor to others.
const THREADS: u64 = 12;
/// Longer than any seed takes.
const HANG: Duration = Duration::from_secs(60);
/// For those who stand still on purpose.
const SHORT: Duration = Duration::from_millis(60);
/// How long a client waits before it goes away.
const PATIENCE: Duration = Duration::from_millis(400);
/// Honest ones are only late, never too late, however busy the machine is.
const LONG: Duration = Duration::from_secs(50);
/// Connections that `/limited` has in every table.
const LIMITED_TO: i64 = 2;

#[test]
fn every_seed_ends_with_every_request_answered_or_its_connection_closed() {
    let alone = std::env::var("RINGWAY_SEED").ok().map(|seed| seed.parse().expect("RINGWAY_SEED is a number"));
    let (next, end) = match alone {
        Some(seed) => (seed, seed + 1),
        None => (0, SEEDS),
    };
    let next = AtomicU64::new(next);
    let threads = if alone.is_some() { 1 } else { THREADS };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let next = &next;
            scope.spawn(move || run(thread, next, end));
        }
    });
}

/// Takes seeds until there are none left. Every third thread has a ring, where the kernel gives one.
fn run(thread: u64, next: &AtomicU64, end: u64) {
    let wanted = if thread.is_multiple_of(3) { Wanted::IoUring } else { Wanted::Epoll };
    let mut driver = Driver::build(wanted).or_else(|_| Driver::build(Wanted::Epoll)).expect("a driver");
    let base = Base::of([document(0), document(1), document(2)]);
    driver.block_on(async {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                return;
            }
            let announce = Announce(seed);
            play(seed, &base).await;
            drop(announce);
        }
    });
}

/// Names the seed when something fails.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation failed; run this seed alone: RINGWAY_SEED={}", self.0);
        }
    }
}

/// The servers, as the worker meets them by dialling.
struct World {
    honest: bool,
    random: RefCell<Random>,
    ledger: Rc<RefCell<Ledger>>,
    seen: Seen,
    servers: RefCell<Vec<Linked<Server>>>,
}

impl Dial for Rc<World> {
    type Io = Wire<Server>;

    async fn dial(&self, origin: &Origin, _limit: TimeLimit<'_>) -> Result<Wire<Server>, Cause> {
        let mut random = self.random.borrow_mut().split();
        looks(random.below(8)).await;
        if !self.honest && random.once_in(8) {
            return Err(match random.below(2) {
                0 => Cause::Io(io::ErrorKind::ConnectionRefused.into()),
                _ => Cause::TimedOut,
            });
        }
        let table = origin.authority.split('.').nth(2).and_then(|part| part.parse().ok()).expect("10.0.TABLE.x");
        let server = Server::new(table, self.honest, random.split(), &self.seen);
        let (link, wire) = connect(server, random.split(), &self.ledger);
        if !self.honest {
            // A server that stands still keeps its client waiting until that leaves: a second, so it must not happen often.
            add_faults(&link, 40, &mut random);
        }
        self.servers.borrow_mut().push(link);
        Ok(wire)
    }
}

/// A link stands still for ever once in `stalls`, and is reset once in ten.
fn add_faults<P>(link: &Linked<P>, stalls: u64, random: &mut Random) {
    let at = random.below(3000) as usize;
    if random.once_in(stalls) {
        link.borrow_mut().stalls_after = at;
    } else if random.once_in(10) {
        link.borrow_mut().resets_after = at;
    }
}

/// Lets the others run so many times.
async fn looks(count: u64) {
    for _ in 0..count {
        let mut looked = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut looked, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

async fn play(seed: u64, base: &Base) {
    let mut random = Random(seed);
    let honest = random.once_in(4);
    let limit = if honest { LONG } else { SHORT };
    let count = 1 + random.below(8);
    let clients = (0..count).map(|number| {
        let window = 1 + random.below(3) as usize;
        Client::new(client::asks(number, honest, &mut random), window)
    });
    let clients: Vec<Client> = clients.collect();
    let seen = meet(base, clients, honest, limit, &mut random).await;
    for (at, (method, id)) in seen.iter().enumerate() {
        let times = seen[..=at].iter().filter(|earlier| earlier.1 == *id).count();
        assert!(times <= if method == "POST" { 1 } else { 2 }, "{method} {id} was sent {times} times");
    }
    // A place that was not given back is missed now.
    let probes = (0..LIMITED_TO).map(|n| Client::new(vec![client::get("limited", format!("probe-{n}"))], 1));
    let seen = meet(base, probes.collect(), true, LONG, &mut random).await;
    assert_eq!(seen.len(), LIMITED_TO as usize, "places under a limit were not given back");
}

/// Serves the clients, all at once, and looks at what is left. Gives what the servers have seen.
async fn meet(
    base: &Base,
    clients: Vec<Client>,
    honest: bool,
    limit: Duration,
    random: &mut Random,
) -> Vec<(String, String)> {
    let timeouts =
        Timeouts { idle: Some(limit), head_read: limit, stall: limit, response_header: Some(limit), ..TIMEOUTS };
    let shared = Arc::new(base.shared(timeouts));
    let world = Rc::new(World {
        honest,
        random: RefCell::new(random.split()),
        ledger: Rc::default(),
        seen: Seen::default(),
        servers: RefCell::default(),
    });
    let worker = stage::worker(&shared, Rc::clone(&world));
    let done = Rc::new(Cell::new(false));
    let swapping =
        monoio::spawn(swap(base.tables.clone(), Arc::clone(&shared), honest, random.split(), Rc::clone(&done)));
    monoio::spawn(pass_time(Rc::clone(&worker), honest, Rc::clone(&done)));
    let mut connections = Vec::new();
    for client in clients {
        let (link, wire) = connect(client, random.split(), &world.ledger);
        if !honest {
            add_faults(&link, 10, random);
        }
        let serving = monoio::spawn(serve(Rc::clone(&worker), wire, peer()));
        connections.push((link, serving));
    }
    for (link, mut serving) in connections {
        let served = match monoio::time::timeout(if honest { HANG } else { PATIENCE }, &mut serving).await {
            Err(_) if !honest => {
                // A response that stands still has no limit, as it may be a stream of rare events: it lasts until its client leaves.
                link.borrow_mut().party.leave();
                link.borrow_mut().wake_reader();
                monoio::time::timeout(HANG, serving).await
            }
            served => served,
        };
        let mut link = link.borrow_mut();
        assert!(served.is_ok() && link.dropped, "a connection never ends, honest {honest}: {link:?}");
        let is_whole = link.ended_in_order();
        link.party.end(is_whole);
        if honest {
            link.party.assert_served();
        }
    }
    done.set(true);
    swapping.await;
    worker.pool.clear();
    base.tables.iter().for_each(|table| check_counts(&shared, table));
    assert_eq!(worker.budget.used(), 0, "bytes of messages that nobody holds any more");
    assert!(world.servers.borrow().iter().all(|link| link.borrow().dropped), "a server's connection is still held");
    check_memory(&world.ledger.borrow());
    world.seen.take()
}

/// The worker's own time: as fast as the clock's for honest ones, who must never be late, and fifty times as fast for all others.
async fn pass_time(worker: Rc<Worker<Rc<World>>>, honest: bool, done: Rc<Cell<bool>>) {
    let tick = Duration::from_millis(limits::DEADLINE_TICK_MILLIS);
    let mut elapsed = Duration::ZERO;
    while !done.get() {
        monoio::time::sleep(if honest { tick } else { tick / 50 }).await;
        elapsed += tick;
        worker.deadlines.sweep(elapsed);
    }
}

/// Puts one table after the other in force until the last client has gone. Honest clients ask only for what stands in all of them.
async fn swap(
    tables: Vec<Arc<crate::observe::Published>>,
    shared: Arc<crate::worker::Shared>,
    honest: bool,
    mut random: Random,
    done: Rc<Cell<bool>>,
) {
    while !done.get() {
        looks(random.below(60)).await;
        monoio::time::sleep(Duration::from_millis(random.below(2))).await;
        let choices = if honest { 2 } else { tables.len() as u64 };
        shared.snapshot.store(Arc::clone(&tables[random.below(choices) as usize]));
    }
}

/// What was taken in and not passed on was held at some time: no more than each connection's buffers.
fn check_memory(ledger: &Ledger) {
    let held = ledger.taken.saturating_sub(ledger.given);
    let bound = ledger.links * (limits::HEAD_BUFFER_BYTES + limits::COPY_BUFFER_MAX_BYTES);
    assert!(held <= bound, "{ledger:?}");
}

fn peer() -> Box<Peer> {
    let address = "192.0.2.7:4711".parse().expect("an address");
    Box::new(Peer { entry: 0, address, ip_text: "192.0.2.7".into(), secure: false, certs: Vec::new(), trusted: true })
}

/// Table `number`: every server and every step of it says which table it belongs to. The last one does without `/one`.
fn document(number: u64) -> Dynamic {
    let backend = |places: &[u64]| {
        let url = |place: &u64| format!("http://10.0.{number}.{place}:80");
        let server = |place: &u64| (format!("server{place}"), Written { url: url(place), weight: 1 });
        Backend { servers: places.iter().map(server).collect(), ..Backend::default() }
    };
    let frontend = |name: &str| {
        let headers = Headers {
            custom_request_headers: [("X-Table".to_owned(), number.to_string())].into(),
            ..Headers::default()
        };
        let route = Route { rule: format!("PathPrefix:/{name}") };
        let written = Frontend {
            backend: name.to_owned(),
            pass_host_header: true,
            headers: Some(Box::new(headers)),
            routes: [("rule".to_owned(), route)].into(),
            ..Frontend::default()
        };
        (name.to_owned(), written)
    };
    let limit = MaxConn { amount: LIMITED_TO, extractor_func: "request.host".to_owned() };
    let buffering = Buffering { max_request_body_bytes: 10_000, ..Buffering::default() };
    let mut document = Dynamic {
        backends: [
            ("one".to_owned(), backend(&[1, 2])),
            ("limited".to_owned(), Backend { max_conn: Some(limit), ..backend(&[3]) }),
            ("held".to_owned(), Backend { buffering: Some(buffering), ..backend(&[4, 5]) }),
        ]
        .into(),
        frontends: ["one", "limited", "held"].map(frontend).into(),
        tls: Vec::new(),
    };
    if number == 2 {
        document.frontends.remove("one");
        document.backends.remove("one");
    }
    document
}
