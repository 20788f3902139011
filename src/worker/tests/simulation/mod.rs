//! Many connections at once over dishonest transports, with tables swapped in between, all by seed.
//!
//! Whatever happens, every request gets one answer, its own, or loses its connection; what may not be sent twice is not; what is held in
//! memory stays under its bound; and when the last client has gone every count is back at zero. Where all are honest, every request is served.
//!
//! The seeds of a run are 0 to 9999; a failing one is printed, and `RINGWAY_SEED` runs it alone. Time is the seed's own ([`course`]): no
//! runtime and no clock takes part, so that a seed always takes the same course. Only the pace of a body is measured by the real clock,
//! for which next to no time goes by; `tests/slow.rs` looks at that.

mod client;
mod course;
mod link;
mod messages;
mod origin;
mod world;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use client::Client;
use course::{Course, Tasks, looks};
use link::{Random, Shared as Linked, Wire, add_faults, connect};
use world::{HELD_BYTES_MAX, LIMITED_TO, World, document};

use super::stage::{self, Base, TIMEOUTS, check_counts, check_leases};
use crate::observe::Published;
use crate::worker::downstream::h1::serve;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::{Timeouts, VerifyPool, Worker, WorkerShared};

const SEEDS: u64 = 10_000;
/// One seed in so many has a crowd of clients.
const CROWD_ONCE_IN: u64 = 10;
/// How long anybody may be silent: honest ones are only late, never too late.
const LONG: Duration = Duration::from_secs(180);
const SHORT: Duration = Duration::from_secs(10);
/// How long a client waits before it goes away, at the most.
const PATIENCE_SECS: u64 = 60;
/// Clients come within this time.
const ARRIVAL_MILLIS: u64 = 3000;

#[test]
fn every_seed_ends_with_every_request_answered_or_its_connection_closed() {
    let alone = std::env::var("RINGWAY_SEED").ok().map(|seed| seed.parse().expect("RINGWAY_SEED is a number"));
    let (first, end) = match alone {
        Some(seed) => (seed, seed + 1),
        None => (0, SEEDS),
    };
    let (next, verify) = (AtomicU64::new(first), VerifyPool::start().expect("threads"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let seeds = std::iter::from_fn(|| Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < end));
            let verify = &verify;
            scope.spawn(move || {
                for seed in seeds {
                    play(seed, verify);
                }
            });
        }
    });
}

#[test]
fn a_seed_always_takes_the_same_course() {
    let verify = VerifyPool::start().expect("threads");
    let seeds = 0..2 * CROWD_ONCE_IN;
    let first: Vec<u64> = seeds.clone().map(|seed| play(seed, &verify)).collect();
    // In another order, and on another thread: nothing of one seed is left to the next.
    let again = std::thread::scope(|scope| {
        scope.spawn(|| seeds.rev().map(|seed| play(seed, &verify)).collect::<Vec<u64>>()).join().expect("the same")
    });
    assert!(again.iter().rev().eq(&first), "{first:?}, then {again:?} from the last to the first");
    let courses: HashSet<&u64> = first.iter().collect();
    assert_eq!(courses.len(), first.len(), "two seeds took one course");
}

/// Says which seed it was when a check fails.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation failed; run this seed alone: RINGWAY_SEED={}", self.0);
        }
    }
}

/// Gives the trace of what happened.
fn play(seed: u64, verify: &VerifyPool) -> u64 {
    let _announce = Announce(seed);
    let base = Base::with(verify, [document(0), document(1), document(2)]);
    let mut random = Random(seed);
    let honest = random.once_in(4);
    let is_crowd = seed % CROWD_ONCE_IN == CROWD_ONCE_IN - 1;
    let (count, requests_max) = if is_crowd { (50 + random.below(151), 1) } else { (1 + random.below(8), 5) };
    let clients = (0..count).map(|number| {
        let window = 1 + random.below(3) as usize;
        Client::new(client::asks(number, honest, requests_max, &mut random), window)
    });
    let clients: Vec<Client> = clients.collect();
    let (seen, trace) = meet(&base, clients, honest, &mut random);
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (method, id) in &seen {
        let times = times.entry(id).or_default();
        *times += 1;
        assert!(*times <= if method == "POST" { 1 } else { 2 }, "{method} {id} was sent {times} times");
    }
    // A place that was not given back is missed now.
    let probes = (0..LIMITED_TO).map(|n| Client::new(vec![client::get("limited", format!("probe-{n}"))], 1));
    let (seen, _) = meet(&base, probes.collect(), true, &mut random);
    assert_eq!(seen.len(), LIMITED_TO as usize, "places under a limit were not given back");
    trace
}

/// Serves the clients, all at once, and looks at what is left. Gives what the servers have seen, and the trace.
fn meet(base: &Base, clients: Vec<Client>, honest: bool, random: &mut Random) -> (Vec<(String, String)>, u64) {
    let limit = if honest { LONG } else { SHORT };
    let timeouts =
        Timeouts { idle: Some(limit), head_read: limit, stall: limit, response_header: Some(limit), ..TIMEOUTS };
    let shared = Arc::new(base.shared(timeouts));
    let course = Rc::<Course>::default();
    let world = Rc::new(World::new(honest, random.split(), &course));
    let worker = stage::worker(&shared, Rc::clone(&world));
    worker.clock.set(Duration::ZERO);
    let left = Rc::new(Cell::new(clients.len()));
    let check_memory = || {
        assert!(worker.budget.used() <= left.get() * HELD_BYTES_MAX, "{} bytes held", worker.budget.used());
        course.check_memory(worker.budget.used());
    };
    let tasks = Tasks::new();
    for client in clients {
        let (link, wire) = connect(client, random.split(), &course);
        if !honest {
            add_faults(&link, 10, random);
        }
        let visit = Visit { honest, link, left: Rc::clone(&left), random: random.split() };
        tasks.push(Box::pin(visit.run(Rc::clone(&worker), &course, wire)));
    }
    let tables = if honest { &base.tables[..2] } else { &base.tables };
    tasks.push(Box::pin(swap(tables, &shared, &course, random.split(), &left, &check_memory)));
    course.run(&worker, tasks, check_memory);
    worker.pool.clear();
    base.tables.iter().for_each(|table| check_leases(table));
    check_counts(&shared, &base.tables[0]);
    assert_eq!(worker.budget.used(), 0, "bytes of messages that nobody holds any more");
    assert!(worker.deadlines.is_empty() && course.deadlines.is_empty(), "waits that nobody waits for");
    (world.end(), course.trace())
}

/// One client's connection.
struct Visit {
    honest: bool,
    link: Linked<Client>,
    /// Clients that have not gone.
    left: Rc<Cell<usize>>,
    random: Random,
}

impl Visit {
    async fn run(mut self, worker: Rc<Worker<Rc<World>>>, course: &Course, wire: Wire<Client>) {
        course.deadlines.pause(Duration::from_millis(self.random.below(ARRIVAL_MILLIS))).await;
        let patience = match self.honest {
            true => Duration::MAX,
            false => Duration::from_secs(1 + self.random.below(PATIENCE_SECS)),
        };
        let mut serving = Box::pin(serve(worker, wire, peer()));
        if course.deadlines.within(patience, &mut serving).await.is_err() {
            // A response that stands still has no limit, as it may be a stream of rare events: it lasts until its client leaves.
            self.link.borrow_mut().party.leave();
            self.link.borrow_mut().near.wake();
            serving.await;
        }
        let mut link = self.link.borrow_mut();
        assert!(link.near.dropped, "a connection is held after its end");
        let is_whole = link.ended_in_order();
        link.party.end(is_whole);
        if self.honest {
            link.party.assert_served();
        }
        for status in &link.party.answered {
            course.note([u64::from(*status), 0, 3]);
        }
        self.left.set(self.left.get() - 1);
    }
}

/// Puts one table after the other in force until the last client has gone: several while everybody is busy, then none for a while. Honest
/// clients ask only for what stands in all of them.
async fn swap(
    tables: &[Arc<Published>],
    shared: &WorkerShared,
    course: &Course,
    mut random: Random,
    left: &Cell<usize>,
    check_memory: impl Fn(),
) {
    while left.get() > 0 {
        for _ in 0..random.below(8) {
            looks(random.below(60)).await;
            check_memory();
            shared.snapshot.store(Arc::clone(&tables[random.below(tables.len() as u64) as usize]));
        }
        let rest = [10, 1000, 20_000][random.below(3) as usize];
        course.deadlines.pause(Duration::from_millis(random.below(rest))).await;
    }
}

fn peer() -> Box<ClientInfo> {
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
