//! Exchanges over connections in memory. Each case runs with its bytes whole, one by one, cut at every position and in random pieces, on
//! both sides and with both drivers, and must give the same bytes every time.

mod bodies;
mod bounds;
mod explain;
mod failures;
mod layer4;
#[path = "../../../tests/support/memory_transport.rs"]
mod memory_transport;
mod pipe;
mod requests;
mod server_links;
mod simulation;
mod sizes;
mod slow;
mod harness;
mod unprocessed;
mod bound;
mod upgrades;

use harness::{Base, DialScript, Ended, Run, RunResult};
use pipe::{ScriptStep, Segmentation};

use crate::net::driver::{Driver, DriverPreference};
use crate::net::peek::PeekHalf;
use crate::net::{Duplex, ReadHalf, WriteHalf};

/// The number of random segmentations that each case runs with.
const SEEDS: u64 = 24;

fn send(text: &str) -> ScriptStep {
    ScriptStep::Send(text.as_bytes().to_vec())
}

fn until(text: &str) -> ScriptStep {
    ScriptStep::Await(text.as_bytes().to_vec())
}

/// An origin that waits for the end of each request and sends its response.
fn origin(exchanges: &[(&str, &str)]) -> DialScript {
    DialScript::Origin(exchanges.iter().flat_map(|(request, response)| [until(request), send(response)]).collect())
}

/// A case: the scripts of the peers, and the expected result.
struct Case {
    client: Vec<ScriptStep>,
    dial_scripts: Vec<DialScript>,
    /// The bytes that the client receives, each line ended by LF; chunks joined into one.
    client_gets: &'static str,
    /// The bytes that each connection to an origin receives.
    origins_get: Vec<&'static str>,
    ended: Ended,
    pooled: usize,
    /// Whether the case also runs with the client's bytes cut. False if the result depends on whether bytes have arrived in time.
    cuts_client: bool,
    /// The same for the bytes of the origins.
    cuts_origin: bool,
}

impl Default for Case {
    fn default() -> Self {
        Case {
            client: Vec::new(),
            dial_scripts: Vec::new(),
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
    /// Runs the case in all segmentations, with both drivers.
    fn check(self) {
        on_both_drivers(async || {
            let base = Base::new();
            let expected = RunResult {
                client: self.client_gets.to_owned(),
                origins: self.origins_get.iter().map(|text| (*text).to_owned()).collect(),
                dials: self.dial_scripts.len(),
                dialled: Vec::new(),
                ended: self.ended,
                pooled: self.pooled,
            };
            for (client_segmentation, origin_segmentation) in self.segmentations() {
                let run =
                    Run { client_segmentation, origin_segmentation, ..Run::new(&self.client, &self.dial_scripts) };
                // The server that is dialled depends on the runs before.
                let outcome = RunResult { dialled: Vec::new(), ..run.play(&base).await };
                assert_eq!(outcome, expected, "client {client_segmentation:?}, origin {origin_segmentation:?}");
            }
        });
    }

    fn segmentations(&self) -> Vec<(Segmentation, Segmentation)> {
        let length = |script: &[ScriptStep]| -> usize {
            script.iter().map(|step| if let ScriptStep::Send(bytes) = step { bytes.len() } else { 0 }).sum()
        };
        let origin_bytes = self.dial_scripts.iter().map(|dial_script| match dial_script {
            DialScript::Origin(script) | DialScript::Takes(_, script) | DialScript::Breaks(_, script) => length(script),
            DialScript::Refuse | DialScript::TimeOut => 0,
        });
        // The bytes that the proxy sends are cut at the same positions, and may be longer than the bytes that it received.
        let origin_cuts = origin_bytes.max().unwrap_or_default() + 300;
        let client_cuts = length(&self.client) + 300;
        let mut segmentations = vec![(Segmentation::Whole, Segmentation::Whole)];
        if self.cuts_client {
            segmentations.push((Segmentation::Bytes, Segmentation::Whole));
            segmentations.extend((1..client_cuts).map(|at| (Segmentation::At(at), Segmentation::Whole)));
            segmentations.extend((0..SEEDS).map(|seed| (Segmentation::Seed(seed), Segmentation::Whole)));
        }
        if self.cuts_origin {
            segmentations.push((Segmentation::Whole, Segmentation::Bytes));
            segmentations.extend((1..origin_cuts).map(|at| (Segmentation::Whole, Segmentation::At(at))));
            segmentations.extend((0..SEEDS).map(|seed| (Segmentation::Whole, Segmentation::Seed(seed))));
        }
        if self.cuts_client && self.cuts_origin {
            segmentations.push((Segmentation::Bytes, Segmentation::Bytes));
            segmentations.extend((0..SEEDS).map(|seed| (Segmentation::Seed(seed), Segmentation::Seed(seed + SEEDS))));
        }
        segmentations
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

/// Received bytes in a form in which two runs can be compared: CRLF as LF, chunks joined, and without the fields that the proxy adds to
/// every message (Date, forwarding fields), which tests/http checks.
fn text(wire: &[u8]) -> String {
    let joined = join_chunks(wire);
    let text = String::from_utf8_lossy(&joined).replace("\r\n", "\n");
    let adds = ["Date: ", "X-Forwarded-", "X-Real-Ip: "];
    text.split_inclusive('\n').filter(|line| !adds.iter().any(|name| line.starts_with(name))).collect()
}

/// Joins each chunked body into one chunk. A body without its last chunk ends in `[cut]`.
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
