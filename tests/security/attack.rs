//! An attack beside a neighbour: while it runs, other connections get their responses in time, and memory and CPU time of the process stay
//! bounded.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::Verdict;
use crate::client::Client;
use crate::origin::{Origin, Script};
use crate::proxy::{Options, Proxy};
use crate::session;
use crate::support::http2::Http2;
use crate::support::http2_fields::request_to;
use crate::support::http2_frames::{END_STREAM, headers};

const NEIGHBOUR: &str = "neighbour.test";
/// A neighbour's response takes no longer than this, on a machine that runs other tests too.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);
/// Memory that an attack may add to the process.
pub const GROWTH_KIB_MAX: u64 = 12 * 1024;
/// CPU time that an attack may cost the process, not optimised.
pub const CPU_MAX: Duration = Duration::from_secs(8);

/// How a client reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Plain,
    Tls,
}

pub const ENTRIES: [Entry; 2] = [Entry::Plain, Entry::Tls];

/// A proxy whose neighbours have an origin server of their own.
pub struct Target {
    pub proxy: Proxy,
    _neighbour: Origin,
}

impl Target {
    pub fn start(driver: &str) -> Target {
        Target::with(driver, Options::default())
    }

    pub fn with(driver: &str, mut options: Options) -> Target {
        let neighbour = Origin::start();
        options.frontend += &format!(
            "\n[backends.neighbour.servers.one]\nurl = \"http://127.0.0.1:{}\"\n[frontends.neighbour]\n\
             backend = \"neighbour\"\npassHostHeader = true\n[frontends.neighbour.routes.host]\nrule = \"Host:{NEIGHBOUR}\"\n",
            neighbour.port
        );
        options.entry += "\n[entryPoints.traefik]\naddress = \"127.0.0.1:@api@\"\n";
        options.tables += "\n[metrics.prometheus]\n";
        Target { proxy: Proxy::with(driver, &options), _neighbour: neighbour }
    }

    /// An HTTP/2 connection on which nothing has been sent.
    pub fn raw(&self, entry: Entry) -> Http2 {
        match entry {
            Entry::Plain => Http2::connect(self.proxy.port),
            Entry::Tls => session::http2(self.proxy.tls_port),
        }
    }

    /// An HTTP/2 connection on which requests may be sent.
    pub fn client(&self, entry: Entry) -> Http2 {
        self.raw(entry).begin(&[])
    }

    /// How often a bound was exceeded, by its name in the metrics.
    pub fn exceeded(&self, bound: &str) -> u64 {
        let page = self.proxy.process.page("/metrics");
        let start = format!("ringway_bounds_exceeded_total{{bound=\"{bound}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{bound} is no bound: {page}"))
    }

    /// Runs an attack beside the neighbours, then checks what it cost.
    pub fn under<T>(&self, case: &str, verdict: &mut Verdict, attack: impl FnOnce() -> T) -> T {
        let (memory, cpu) = (self.proxy.process.resident_kib(), self.proxy.process.cpu());
        let is_over = AtomicBool::new(false);
        let (result, faults) = thread::scope(|scope| {
            let neighbours = scope.spawn(|| self.neighbours(&is_over));
            let result = attack();
            is_over.store(true, Relaxed);
            (result, neighbours.join().expect("the neighbours"))
        });
        for fault in faults {
            verdict.check(case, false, fault);
        }
        let spent = self.proxy.process.cpu() - cpu;
        verdict.check(case, spent < CPU_MAX, format!("CPU {spent:?}"));
        let grown = self.proxy.process.resident_kib().saturating_sub(memory);
        verdict.check(case, grown < GROWTH_KIB_MAX, format!("memory grew by {grown} KiB"));
        result
    }

    /// Sends requests of both versions, on new and on old connections, until the attack is over; returns what went wrong.
    fn neighbours(&self, is_over: &AtomicBool) -> Vec<String> {
        let mut faults = Vec::new();
        let mut old = Http2::to(self.proxy.port);
        let mut served = 0;
        while !is_over.load(Relaxed) || served == 0 {
            let start = Instant::now();
            let http1 = Client::to(self.proxy.port)
                .send(format!("GET / HTTP/1.1\r\nHost: {NEIGHBOUR}\r\nConnection: close\r\n\r\n"))
                .answer()
                .status;
            let fresh = neighbour_status(&mut Http2::to(self.proxy.port));
            let kept = neighbour_status(&mut old);
            let took = start.elapsed();
            if [http1, fresh, kept] != [200; 3] || took > NEIGHBOUR_MAX {
                faults.push(format!(
                    "a neighbour got {http1} by HTTP/1.1, {fresh} on a new and {kept} on an old HTTP/2 connection after {took:?}: {}",
                    old.state()
                ));
                return faults;
            }
            served += 1;
            thread::sleep(PAUSE);
        }
        faults
    }

    /// Whether all is as before: a request on a new connection is served, and the origin has the usual script again.
    pub fn recover(&self, case: &str, verdict: &mut Verdict) {
        self.proxy.origin.set_script(Script::default());
        let stream = Http2::to(self.proxy.port).exchange("/after");
        verdict.check(case, stream.status() == 200, format!("afterwards: {stream:?}"));
    }
}

fn neighbour_status(client: &mut Http2) -> u16 {
    let id = client.next_id();
    client.send(headers(id, END_STREAM, &request_to(NEIGHBOUR, "GET", "/")));
    client.end_of(id).status()
}
