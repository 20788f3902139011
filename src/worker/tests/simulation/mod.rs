//! Simulation: many concurrent connections with faults, while configurations are published in between, all decided by a seed.
//!
//! For each seed: every request gets exactly its own response or loses its connection; no request is sent twice that may not be; the memory
//! held stays below its bound; and after the last client every count is back at zero. In seeds without faults every request is served.
//!
//! In half of the seeds clients speak HTTP/2, in half of them servers do, or some of each side ([`versions`]): the rules are the same for
//! all four combinations.
//!
//! A run has the seeds 0 to 9999; a failing seed is printed, and `RINGWAY_SEED` runs it alone. Time is simulated ([`scheduler`]): no
//! runtime and no clock takes part, so that a seed always has the same trace. Only the data rate of a body is measured with the real clock,
//! for which almost no time elapses; `tests/slow.rs` tests slow bodies.

mod client;
mod http2_client;
mod http2_origin;
mod http2_peer;
mod scheduler;
mod link;
mod messages;
mod origin;
mod network;
mod versions;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use http2_client::Http2Client;
use link::{Random, Shared as SharedLink, Wire, add_faults, connect};
use network::{LIMITED_TO, Network, document};
use scheduler::{Scheduler, Tasks, yield_times};
use versions::{AnyClient, EXPECTED, SEEN, Versions};

use super::harness::{self, Base, TIMEOUTS, check_counts, check_leases};
use crate::observe::Published;
use crate::worker::downstream::serve;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::{Timeouts, VerifyPool, Worker, WorkerShared};

const SEEDS: u64 = 10_000;
/// Every tenth seed has 50 to 200 clients.
const CROWD_ONCE_IN: u64 = 10;
/// Requests of a client that speaks HTTP/2, most of them at the same time.
const HTTP2_REQUESTS_MAX: u64 = 12;
/// The worker's time limits, without faults and with faults. Without faults messages are delayed, but never beyond the limit.
const LONG: Duration = Duration::from_secs(180);
const SHORT: Duration = Duration::from_secs(10);
/// How long a client waits at most before it gives up.
const CLIENT_WAIT_SECS: u64 = 60;
/// Clients connect within this time.
const ARRIVAL_MILLIS: u64 = 3000;

#[test]
fn every_request_gets_its_response_or_loses_its_connection() {
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
    let seen = SEEN.lock().expect("the counts");
    println!("events on HTTP/2 streams: {seen:#?}");
    let missing: Vec<&str> = EXPECTED.into_iter().filter(|event| !seen.contains_key(*event)).collect();
    assert!(alone.is_some() || missing.is_empty(), "no seed has these: {missing:?}");
}

#[test]
fn same_seed_gives_same_trace() {
    let verify = VerifyPool::start().expect("threads");
    let seeds = 0..2 * CROWD_ONCE_IN;
    let first: Vec<u64> = seeds.clone().map(|seed| play(seed, &verify)).collect();
    // In another order and on another thread: a seed must not depend on the seeds before it.
    let again = std::thread::scope(|scope| {
        scope.spawn(|| seeds.rev().map(|seed| play(seed, &verify)).collect::<Vec<u64>>()).join().expect("the same")
    });
    assert!(again.iter().rev().eq(&first), "{first:?}, then {again:?} from the last to the first");
    let traces: HashSet<&u64> = first.iter().collect();
    assert_eq!(traces.len(), first.len(), "two seeds have the same trace");
}

/// Prints the seed if a check fails.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation failed; run this seed alone: RINGWAY_SEED={}", self.0);
        }
    }
}

/// Runs a seed; returns its trace.
fn play(seed: u64, verify: &VerifyPool) -> u64 {
    let _announce = Announce(seed);
    let mut random = Random(seed);
    let (of_clients, of_servers) = (Versions::choose(&mut random), Versions::choose(&mut random));
    let base = Base::with(verify, (0..3).map(|number| document(number, of_servers)));
    let faultless = random.once_in(4);
    let is_crowd = seed % CROWD_ONCE_IN == CROWD_ONCE_IN - 1;
    let (count, requests_max) = if is_crowd { (50 + random.below(151), 1) } else { (1 + random.below(8), 5) };
    let make_clients = |scheduler: &Rc<Scheduler>, random: &mut Random| {
        let client = |number| {
            if of_clients.is_http2(number) {
                let requests_max = if is_crowd { requests_max } else { HTTP2_REQUESTS_MAX };
                let requests = client::common_requests(number, faultless, requests_max, random);
                return AnyClient::Http2(Box::new(Http2Client::new(requests, faultless, random.split(), scheduler)));
            }
            let window = 1 + random.below(3) as usize;
            AnyClient::http1(client::requests(number, faultless, requests_max, random), window)
        };
        (0..count).map(client).collect()
    };
    let (received, trace) = serve_clients(&base, make_clients, faultless, &mut random);
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (method, id) in &received {
        let times = times.entry(id).or_default();
        *times += 1;
        assert!(*times <= if method == "POST" { 1 } else { 2 }, "{method} {id} was sent {times} times");
    }
    // A permit of `/limited` that was not released would be missing now.
    let probe = |number| AnyClient::http1(vec![client::get("limited", format!("probe-{number}"))], 1);
    let make_probes = |_: &Rc<Scheduler>, _: &mut Random| (0..LIMITED_TO).map(probe).collect();
    let (received, _) = serve_clients(&base, make_probes, true, &mut random);
    assert_eq!(received.len(), LIMITED_TO as usize, "permits of a limit were not released");
    trace
}

/// Serves all clients concurrently, and checks that nothing is leaked. Returns the requests that the servers have received, and the trace.
fn serve_clients(
    base: &Base,
    make_clients: impl FnOnce(&Rc<Scheduler>, &mut Random) -> Vec<AnyClient>,
    faultless: bool,
    random: &mut Random,
) -> (Vec<(String, String)>, u64) {
    let limit = if faultless { LONG } else { SHORT };
    let (idle, response_header) = (Some(limit), Some(limit));
    let timeouts = Timeouts { idle, head_read: limit, stall: limit, dial: limit, response_header, ..TIMEOUTS };
    let shared = Arc::new(base.shared(timeouts));
    let scheduler = Rc::<Scheduler>::default();
    let network = Rc::new(Network::new(faultless, random.split(), &scheduler));
    let worker = harness::worker(&shared, Rc::clone(&network));
    worker.clock.set(Duration::ZERO);
    let clients = make_clients(&scheduler, random);
    let left = Rc::new(Left { clients: Cell::new(clients.len()), held_bytes_max: Cell::default() });
    let check_memory = || {
        let held_bytes_max = left.held_bytes_max.get() + network.held_bytes_max();
        assert!(worker.budget.used() <= held_bytes_max, "{} bytes held", worker.budget.used());
        scheduler.check_memory(worker.budget.used());
    };
    let tasks = Tasks::new();
    for client in clients {
        left.held_bytes_max.set(left.held_bytes_max.get() + client.held_bytes_max());
        let (link, wire) = connect(client, random.split(), &scheduler);
        if !faultless {
            add_faults(&link, 10, random);
        }
        let visit = Visit { faultless, link, left: Rc::clone(&left), random: random.split() };
        tasks.push(Box::pin(visit.run(Rc::clone(&worker), &scheduler, wire)));
    }
    let tables = if faultless { &base.tables[..2] } else { &base.tables };
    let publishing = publish_configurations(tables, &shared, &scheduler, random.split(), &left, &check_memory);
    // Connections to servers that no request uses any more would wait for their idle timeout.
    tasks.push(Box::pin(publishing.map(|()| worker.server_links.clear())));
    scheduler.run(&worker, tasks, check_memory);
    worker.pool.clear();
    assert_eq!(worker.server_links.len(), 0, "a connection to a server is still shared");
    base.tables.iter().for_each(|table| check_leases(table));
    check_counts(&shared, &base.tables[0]);
    assert_eq!(worker.budget.used(), 0, "leaked reservations of the memory budget");
    assert!(worker.deadlines.is_empty() && scheduler.deadlines.is_empty(), "leaked waits");
    (network.end(), scheduler.trace())
}

/// The clients that are still connected.
struct Left {
    clients: Cell<usize>,
    /// The bytes that the worker may hold for them.
    held_bytes_max: Cell<usize>,
}

/// A client's connection.
struct Visit {
    faultless: bool,
    link: SharedLink<AnyClient>,
    left: Rc<Left>,
    random: Random,
}

impl Visit {
    async fn run(mut self, worker: Rc<Worker<Rc<Network>>>, scheduler: &Scheduler, wire: Wire<AnyClient>) {
        scheduler.deadlines.pause(Duration::from_millis(self.random.below(ARRIVAL_MILLIS))).await;
        let wait = match self.faultless {
            true => Duration::MAX,
            false => Duration::from_secs(1 + self.random.below(CLIENT_WAIT_SECS)),
        };
        let mut serving = Box::pin(serve(worker, wire, peer()));
        if scheduler.deadlines.within(wait, &mut serving).await.is_err() {
            // A stalled response has no time limit, because it may be a stream of rare events: it lasts until its client disconnects.
            self.link.borrow_mut().party.leave();
            self.link.borrow_mut().near.wake();
            serving.await;
        }
        let mut link = self.link.borrow_mut();
        assert!(link.near.dropped, "a connection is held after its end");
        let is_whole = link.ended_in_order();
        link.party.end(is_whole);
        if self.faultless {
            link.party.assert_served();
        }
        for status in link.party.statuses() {
            scheduler.note([u64::from(status), 0, 3]);
        }
        self.left.clients.set(self.left.clients.get() - 1);
        self.left.held_bytes_max.set(self.left.held_bytes_max.get() - link.party.held_bytes_max());
    }
}

/// Publishes random configurations until the last client has disconnected: several in quick succession, then none for a while. In seeds
/// without faults the clients request only routes that all published configurations have.
async fn publish_configurations(
    tables: &[Arc<Published>],
    shared: &WorkerShared,
    scheduler: &Scheduler,
    mut random: Random,
    left: &Left,
    check_memory: impl Fn(),
) {
    while left.clients.get() > 0 {
        for _ in 0..random.below(8) {
            yield_times(random.below(60)).await;
            check_memory();
            shared.snapshot.store(Arc::clone(&tables[random.below(tables.len() as u64) as usize]));
        }
        let pause_millis_max = [10, 1000, 20_000][random.below(3) as usize];
        scheduler.deadlines.pause(Duration::from_millis(random.below(pause_millis_max))).await;
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
        server_name: None,
        trusted: true,
        arrival: None,
        bound: Default::default(),
        has_sent_ahead: Default::default(),
    })
}
