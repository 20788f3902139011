//! The exchange on a wire in memory: each case runs whole, byte by byte, cut at every position and in random pieces, on both sides and
//! on both drivers, and has to give the same bytes every time.

mod bodies;
mod bounds;
mod failures;
#[path = "../../../tests/support/memory_transport.rs"]
mod halves;
mod pipe;
mod requests;
mod simulation;
mod sizes;
mod slow;
mod stage;
mod upgrades;

use pipe::{Chop, Step};
use stage::{Base, Ended, Outcome, Plan, Run};

use crate::net::driver::{Driver, DriverPreference};
use crate::net::{Duplex, ReadHalf, WriteHalf};

/// Random ways to cut that each case is run in.
const SEEDS: u64 = 24;

fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

fn until(text: &str) -> Step {
    Step::Await(text.as_bytes().to_vec())
}

/// An origin that waits for the end of each request and answers it.
fn origin(exchanges: &[(&str, &str)]) -> Plan {
    Plan::Origin(exchanges.iter().flat_map(|(request, answer)| [until(request), send(answer)]).collect())
}

/// A case: who says what, and what must come out of it.
struct Case {
    client: Vec<Step>,
    plans: Vec<Plan>,
    /// What the client gets, each line ended by LF; chunks joined into one.
    client_gets: &'static str,
    /// What each connection to an origin gets.
    origins_get: Vec<&'static str>,
    ended: Ended,
    pooled: usize,
    /// How the client's bytes are cut does not change what happens. Not so where it matters whether something arrived in time.
    cuts_client: bool,
    cuts_origin: bool,
}

impl Default for Case {
    fn default() -> Self {
        Case {
            client: Vec::new(),
            plans: Vec::new(),
            client_gets: "",
            origins_get: Vec::new(),
            ended: Ended::Orderly,
            pooled: 0,
            cuts_client: true,
            cuts_origin: true,
        }
    }
}

impl Case {
    /// Runs the case in all ways to cut it, on both drivers.
    fn check(self) {
        on_both_drivers(async || {
            let base = Base::new();
            let expected = Outcome {
                client: self.client_gets.to_owned(),
                origins: self.origins_get.iter().map(|text| (*text).to_owned()).collect(),
                dials: self.plans.len(),
                dialled: Vec::new(),
                ended: self.ended,
                pooled: self.pooled,
            };
            for (client_chop, origin_chop) in self.ways() {
                let run = Run { client_chop, origin_chop, ..Run::new(&self.client, &self.plans) };
                // Whose turn it is depends on the runs before.
                let outcome = Outcome { dialled: Vec::new(), ..run.play(&base).await };
                assert_eq!(outcome, expected, "client {client_chop:?}, origin {origin_chop:?}");
            }
        });
    }

    fn ways(&self) -> Vec<(Chop, Chop)> {
        let length = |script: &[Step]| -> usize {
            script.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() } else { 0 }).sum()
        };
        let origin_bytes = self.plans.iter().map(|plan| match plan {
            Plan::Origin(script) | Plan::Takes(_, script) | Plan::Breaks(_, script) => length(script),
            Plan::Refuse | Plan::TimeOut => 0,
        });
        // What the proxy sends is cut at the same places, and may be longer than what it received.
        let origin_cuts = origin_bytes.max().unwrap_or_default() + 300;
        let client_cuts = length(&self.client) + 300;
        let mut ways = vec![(Chop::Whole, Chop::Whole)];
        if self.cuts_client {
            ways.push((Chop::Bytes, Chop::Whole));
            ways.extend((1..client_cuts).map(|at| (Chop::At(at), Chop::Whole)));
            ways.extend((0..SEEDS).map(|seed| (Chop::Seed(seed), Chop::Whole)));
        }
        if self.cuts_origin {
            ways.push((Chop::Whole, Chop::Bytes));
            ways.extend((1..origin_cuts).map(|at| (Chop::Whole, Chop::At(at))));
            ways.extend((0..SEEDS).map(|seed| (Chop::Whole, Chop::Seed(seed))));
        }
        if self.cuts_client && self.cuts_origin {
            ways.push((Chop::Bytes, Chop::Bytes));
            ways.extend((0..SEEDS).map(|seed| (Chop::Seed(seed), Chop::Seed(seed + SEEDS))));
        }
        ways
    }
}

fn on_both_drivers(mut work: impl AsyncFnMut()) {
    let mut ran = 0;
    for wanted in [DriverPreference::Epoll, DriverPreference::IoUring] {
        match Driver::build(wanted) {
            Ok(mut driver) => {
                driver.block_on(work());
                ran += 1;
            }
            Err(e) => eprintln!("skipped: driver {wanted:?}: {e}"),
        }
    }
    assert!(ran > 0);
}

/// Bytes off the wire in a form that two runs can be compared in: CRLF as LF, chunks joined, and without the fields that every message
/// gets (Date, the proxy's word on the client), which tests/http looks at.
fn text(wire: &[u8]) -> String {
    let joined = join_chunks(wire);
    let text = String::from_utf8_lossy(&joined).replace("\r\n", "\n");
    let adds = ["Date: ", "X-Forwarded-", "X-Real-Ip: "];
    text.split_inclusive('\n').filter(|line| !adds.iter().any(|name| line.starts_with(name))).collect()
}

/// Each chunked body as one chunk. A body that stops short of its last chunk ends in `[cut]`.
fn join_chunks(wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = wire;
    while let Some(at) = memchr::memmem::find(rest, b"Transfer-Encoding: chunked\r\n") {
        let Some(end) = memchr::memmem::find(&rest[at..], b"\r\n\r\n") else { break };
        out.extend_from_slice(&rest[..at + end + 4]);
        rest = &rest[at + end + 4..];
        let mut body = Vec::new();
        let whole = loop {
            let Some(line) = memchr::memmem::find(rest, b"\r\n") else { break false };
            let size =
                std::str::from_utf8(&rest[..line]).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
            let size = size.unwrap_or_else(|| panic!("no chunk size: {:?}", String::from_utf8_lossy(rest)));
            rest = &rest[line + 2..];
            if size == 0 {
                break true;
            }
            body.extend_from_slice(&rest[..size.min(rest.len())]);
            rest = rest.get(size + 2..).unwrap_or_default();
        };
        out.extend_from_slice(format!("<{}>", String::from_utf8_lossy(&body)).as_bytes());
        out.extend_from_slice(if whole { b"[last]" } else { b"[cut]" });
    }
    out.extend_from_slice(rest);
    out
}
