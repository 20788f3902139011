//! Attacks over HTTP/2: what all of them must leave alone is measured here. The proxy's memory and CPU time stay bounded, it is idle once
//! nothing is sent any more, and other clients are served meanwhile, over HTTP/1.1 and over HTTP/2.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::Verdict;
use crate::proxy::{Options, Proxy};
use crate::support::http2_client::{Answer, ENHANCE_YOUR_CALM, Http2Client};

/// How much the resident memory may grow. One connection and its streams need far less.
const GROWTH_KIB_MAX: u64 = 24 * 1024;
/// CPU time for one attack, with a program that was built without optimisation.
const CPU_MAX: Duration = Duration::from_secs(5);
/// CPU time in [`IDLE`] after an attack, while the attacker's connections are open.
const IDLE_CPU_MAX: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_millis(400);
/// A neighbour's request takes no longer, on a machine that runs other tests too.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(4);

/// A proxy whose metrics are on its plain entry point.
pub fn proxy(driver: &str) -> Proxy {
    let tables = "[metrics.prometheus]\nentryPoint = \"http\"\n".to_owned();
    Proxy::with(driver, &Options { tables, ..Options::default() })
}

/// The result of an attack: its connections, which stay open until the proxy has been measured, and what is wrong, or nothing.
pub struct Outcome {
    pub clients: Vec<Http2Client>,
    pub wrong: Vec<String>,
}

impl Outcome {
    pub fn of(client: Http2Client) -> Outcome {
        Outcome { clients: vec![client], wrong: Vec::new() }
    }

    pub fn check(mut self, holds: bool, seen: impl Into<String>) -> Outcome {
        if !holds {
            self.wrong.push(seen.into());
        }
        self
    }
}

/// Runs an attack beside two neighbours, and measures the proxy.
pub fn withstand(verdict: &mut Verdict, case: &str, proxy: &Proxy, attack: impl FnOnce() -> Outcome) {
    // The peak of the resident memory counts from here.
    fs::write(format!("/proc/{}/clear_refs", proxy.process.pid()), "5").expect("the peak is reset (as root)");
    let (memory, cpu) = (proxy.process.resident_kib(), proxy.process.cpu());
    let is_over = AtomicBool::new(false);
    let (outcome, troubles) = thread::scope(|scope| {
        let neighbours = [scope.spawn(|| old_neighbour(proxy, &is_over)), scope.spawn(|| neighbour(proxy, &is_over))];
        let over = Over(&is_over);
        let outcome = attack();
        drop(over);
        let troubles = neighbours.map(|neighbour| neighbour.join().expect("a neighbour"));
        (outcome, troubles)
    });
    let spent = proxy.process.cpu() - cpu;
    let growth = proxy.process.peak_kib().saturating_sub(memory);
    outcome.wrong.iter().for_each(|wrong| verdict.check(case, false, wrong));
    troubles.into_iter().flatten().for_each(|trouble| verdict.check(case, false, trouble));
    verdict.check(case, growth <= GROWTH_KIB_MAX, format!("the memory grew by {growth} KiB"));
    verdict.check(case, spent <= CPU_MAX, format!("{spent:?} of CPU time"));
    let before = proxy.process.cpu();
    thread::sleep(IDLE);
    let idle = proxy.process.cpu() - before;
    verdict.check(case, idle <= IDLE_CPU_MAX, format!("{idle:?} of CPU time in {IDLE:?} without any frame"));
    drop(outcome.clients);
}

/// Ends the neighbours on drop, also when the attack panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Sends requests on one HTTP/2 connection until the attack is over, at least one. Returns what is wrong.
fn neighbour(proxy: &Proxy, is_over: &AtomicBool) -> Option<String> {
    let mut client = Http2Client::to(proxy.port, &[]);
    repeat(is_over, "over HTTP/2", || {
        let Answer { status, is_whole, .. } = client.fetch("/neighbour");
        if is_whole { status } else { 0 }
    })
}

fn old_neighbour(proxy: &Proxy, is_over: &AtomicBool) -> Option<String> {
    repeat(is_over, "over HTTP/1.1", || proxy.get("/neighbour").status)
}

fn repeat(is_over: &AtomicBool, how: &str, mut fetch: impl FnMut() -> u16) -> Option<String> {
    loop {
        let start = Instant::now();
        let status = fetch();
        let took = start.elapsed();
        if status != 200 || took > NEIGHBOUR_MAX {
            return Some(format!("a neighbour {how} got {status} after {took:?}"));
        }
        if is_over.load(Relaxed) {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// How often these bounds were exceeded together.
pub fn times_exceeded(proxy: &Proxy, bounds: &[&str]) -> u64 {
    let page = String::from_utf8(proxy.get("/metrics").body).expect("text");
    let count = |bound: &&str| {
        let series = format!("ringway_bounds_exceeded_total{{bound=\"{bound}\"}} ");
        let count = page.lines().find_map(|line| line.strip_prefix(&series));
        count.unwrap_or_else(|| panic!("no {series}: {page}")).parse::<u64>().expect("a number")
    };
    bounds.iter().map(count).sum()
}

/// Waits a moment; false, for use in a search.
fn pause() -> bool {
    thread::sleep(Duration::from_millis(50));
    false
}

/// Sends pieces in groups until the proxy ends the connection, at most `max` pieces. Returns how many were sent.
pub fn flood(client: &mut Http2Client, max: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> usize {
    const GROUP: usize = 50;
    for start in (0..max).step_by(GROUP) {
        let bytes: Vec<u8> = (start..start + GROUP).flat_map(&mut piece).collect();
        if !client.send(bytes) || client.has_been_refused() {
            return start + GROUP;
        }
    }
    max
}

/// The outcome of a flood that the proxy must end, with ENHANCE_YOUR_CALM and a count of one of the bounds.
pub fn ended(mut client: Http2Client, proxy: &Proxy, before: u64, bounds: &[&str]) -> Outcome {
    let rest = client.rest(Duration::from_secs(2));
    // The end of the connection and its count are in one turn of its task, but not in one step.
    let counts = || times_exceeded(proxy, bounds) - before;
    let count = (0..20).map(|_| counts()).find(|&count| count > 0 || pause()).unwrap_or_default();
    // GOAWAY is lost if it is still on its way when the closed connection is reset.
    let code = client.goaway;
    Outcome::of(client)
        .check(rest.is_closed, "the connection goes on")
        .check(matches!(code, None | Some(ENHANCE_YOUR_CALM)), format!("GOAWAY with {code:?}"))
        .check(count == 1, format!("{bounds:?} were counted {count} times"))
}
