//! HTTP/2 clients that stop halfway, send byte by byte, or keep their windows shut: every wait ends near its timeout, whatever else the
//! client sends meanwhile, and the proxy holds no more than the windows.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::http2::{Outcome, withstand};
use crate::origin::{Script, Then};
use crate::proxy::{Options, Proxy};
use crate::support::http2_client::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, Frame, GOAWAY, HEADERS,
    Http2Client, PING, PREFACE, RST_STREAM, WHOLE, Wire, block, connect, frame, literal, request, settings,
    window_update,
};
use crate::{DRIVERS, Verdict};

const LIMITS: &str = "[respondingTimeouts]\nreadTimeout = \"1s\"\nidleTimeout = \"2s\"\nwriteTimeout = \"1s\"\n";
/// A timeout of one second takes effect within this time.
const LATE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);
const WINDOW_SIZE: u16 = 4;

fn with_limits(driver: &str) -> Proxy {
    Proxy::with(driver, &Options { tables: LIMITS.into(), ..Options::default() })
}

/// The streams of a client that are not over, and how the connection and the streams ended.
#[derive(Debug, Default)]
struct Open {
    streams: BTreeSet<u32>,
    resets: Vec<u32>,
    goaway: Option<u32>,
    /// Bytes of payload that arrived.
    payload: usize,
}

impl Open {
    fn is_over(&self) -> bool {
        self.goaway.is_some() || self.streams.is_empty()
    }

    fn has_arrived(&mut self, frame: &Frame) {
        let number = |at: usize| {
            let bytes = frame.payload.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes))
        };
        let mut is_end = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        match frame.kind {
            DATA => self.payload += frame.payload.len(),
            GOAWAY => self.goaway = Some(number(4)),
            RST_STREAM => {
                self.resets.push(number(0));
                is_end = true;
            }
            _ => {}
        }
        if is_end {
            self.streams.remove(&frame.stream);
        }
    }

    /// Reads until all streams are over, for at most `limit`; every 50 ms the client sends what `piece` returns.
    fn watch(
        &mut self,
        client: &mut Http2Client,
        limit: Duration,
        piece: impl Fn(&BTreeSet<u32>) -> Vec<u8>,
    ) -> Duration {
        let start = Instant::now();
        while start.elapsed() < limit && !self.is_over() {
            client.send(piece(&self.streams));
            let step = Instant::now() + STEP;
            while let Some(frame) = client.next_frame(step.saturating_duration_since(Instant::now())) {
                self.has_arrived(&frame);
            }
            if client.is_closed() {
                self.goaway.get_or_insert(u32::MAX);
            }
        }
        start.elapsed()
    }
}

/// What a client leaves unfinished, and what it sends every 50 ms from then on.
fn unfinished() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let begun = [PREFACE, &settings(&[])].concat();
    let head = request("GET", "/unfinished");
    let part = head[..head.len() - 3].to_vec();
    let header = |length: u8, kind: u8, flags: u8| vec![0, 0, length, kind, flags, 0, 0, 0, 1];
    // The value of this field has 16,000 bytes.
    let long = literal(0, b"x", &[b'y'; 16_000])[..6].to_vec();
    vec![
        ("half a preface", PREFACE[..12].to_vec(), Vec::new()),
        ("a preface without SETTINGS", PREFACE.to_vec(), Vec::new()),
        ("half a frame header", [&begun, &header(5, HEADERS, 0)[..5]].concat(), Vec::new()),
        ("half a frame", [begun.clone(), header(200, HEADERS, WHOLE), part.clone()].concat(), Vec::new()),
        ("a frame byte by byte", [begun.clone(), header(255, HEADERS, END_HEADERS)].concat(), vec![0]),
        ("half a header block", [begun.clone(), frame(HEADERS, END_STREAM, 1, part)].concat(), Vec::new()),
        (
            "a header block byte by byte",
            [begun.clone(), frame(HEADERS, END_STREAM, 1, long)].concat(),
            frame(CONTINUATION, 0, 1, b"y"),
        ),
        ("nothing but SETTINGS", begun, Vec::new()),
    ]
}

#[test]
fn unfinished_input_ends_its_connection_in_time() {
    for driver in DRIVERS {
        let proxy = with_limits(driver);
        let mut verdict = Verdict::default();
        withstand(&mut verdict, &format!("unfinished input ({driver})"), &proxy, || {
            let ends: Vec<(&str, Duration)> = thread::scope(|scope| {
                let run = |(name, first, piece): (&'static str, Vec<u8>, Vec<u8>)| {
                    let port = proxy.port;
                    scope.spawn(move || (name, time_open(port, &first, &piece)))
                };
                let runs: Vec<_> = unfinished().into_iter().map(run).collect();
                runs.into_iter().map(|run| run.join().expect("a client")).collect()
            });
            let late: Vec<_> = ends.iter().filter(|(_, took)| *took >= LATE).collect();
            let early: Vec<_> = ends.iter().filter(|(_, took)| *took < Duration::from_millis(700)).collect();
            let nothing = Outcome { clients: Vec::new(), wrong: Vec::new() };
            nothing
                .check(late.is_empty(), format!("open for too long: {late:?}"))
                .check(early.is_empty(), format!("{early:?}"))
        });
        let seen = proxy.origin.seen().iter().any(|seen| seen.head.contains("unfinished"));
        verdict.check(driver, !seen, "the server got a part of a head");
        verdict.end();
    }
}

/// How long the proxy keeps the connection of a client that sends these first bytes and then a piece every 50 ms.
fn time_open(port: u16, first: &[u8], piece: &[u8]) -> Duration {
    let mut client = Http2Client::silent(Wire::Plain(connect(port)));
    client.send(first);
    let start = Instant::now();
    while start.elapsed() < LATE && !client.rest(STEP).is_closed {
        client.send(piece);
    }
    start.elapsed()
}

/// A body that stops or trickles has the time that it has over HTTP/1.1; other traffic of the connection does not extend it.
#[test]
fn slow_body_ends_its_stream_in_time() {
    for driver in DRIVERS {
        let proxy = with_limits(driver);
        let mut verdict = Verdict::default();
        for (name, piece) in [("stops", Vec::new()), ("byte by byte", frame(DATA, 0, 1, b"x"))] {
            withstand(&mut verdict, &format!("slow body, {name} ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[]);
                let id = client.new_stream();
                let head = [request("POST", "/slow"), block(&[("content-length", "1000")])].concat();
                client.send(frame(HEADERS, END_HEADERS, id, head));
                let mut open = Open { streams: BTreeSet::from([id]), ..Open::default() };
                let with_ping = [piece, frame(PING, 0, 0, [0; 8])].concat();
                let took = open.watch(&mut client, LATE, |_| with_ping.clone());
                let whole = proxy.origin.seen().iter().any(|seen| seen.is_whole && seen.line().contains("/slow"));
                Outcome::of(client)
                    .check(open.is_over(), format!("open after {took:?}"))
                    .check(took > Duration::from_millis(700), format!("ended after {took:?}: {open:?}"))
                    .check(!whole, "a body that never ended counted as whole")
            });
        }
        verdict.end();
    }
}

/// Requests for responses that the client does not take; the usual script follows for the neighbours.
fn ask_for_long_responses(proxy: &Proxy, client: &mut Http2Client, count: u32) -> Open {
    const BYTES: usize = 1 << 20;
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n{}", "d".repeat(BYTES));
    proxy.origin.set_script(Script::answer(long).then(Then::Close));
    let streams: BTreeSet<u32> = (0..count).map(|_| client.get("/long")).collect();
    let is_asked = |n: usize| n >= count as usize;
    let asked = proxy.origin.wait(LATE, |o| is_asked(o.seen().iter().filter(|s| s.line().contains("/long")).count()));
    assert!(asked, "the requests do not reach the server");
    proxy.origin.set_script(Script::default());
    Open { streams, ..Open::default() }
}

/// A window that never opens, and one that opens by a byte now and then (CVE-2026-49975): both end, and nothing is held for them.
#[test]
fn window_that_hardly_opens_ends_its_stream_in_time() {
    const STREAMS: u32 = 60;
    let trickle: fn(&BTreeSet<u32>) -> Vec<u8> =
        |streams| streams.iter().flat_map(|&id| window_update(id, 1)).collect();
    let nothing: fn(&BTreeSet<u32>) -> Vec<u8> = |_| Vec::new();
    for driver in DRIVERS {
        let proxy = with_limits(driver);
        let mut verdict = Verdict::default();
        for (name, piece) in [("shut", nothing), ("byte by byte", trickle)] {
            withstand(&mut verdict, &format!("window {name} ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[(WINDOW_SIZE, 0)]);
                let mut open = ask_for_long_responses(&proxy, &mut client, STREAMS);
                let took = open.watch(&mut client, 2 * LATE, piece);
                Outcome::of(client)
                    .check(open.is_over(), format!("after {took:?}: {} streams are open", open.streams.len()))
                    .check(open.payload < 100 * STREAMS as usize, format!("{} bytes arrived", open.payload))
            });
        }
        verdict.end();
    }
}

/// Heads that are refused under a shut window hold nothing either, although their responses cannot be sent.
#[test]
fn refused_heads_under_a_shut_window_hold_no_memory() {
    const STREAMS: usize = 60;
    let small = literal(0x40, b"x", &[b'a'; 3900]);
    let bombs = [
        ("references to a large field", [small, vec![0xbe; 15_000]].concat()),
        ("references to the static table", vec![0x80 | 16; 15_000]),
        ("empty cookie crumbs", vec![0x80 | 32; 15_000]),
    ];
    let trickle = |streams: &BTreeSet<u32>| streams.iter().flat_map(|&id| window_update(id, 1)).collect();
    for driver in DRIVERS {
        let proxy = with_limits(driver);
        let mut verdict = Verdict::default();
        for (name, fields) in &bombs {
            withstand(&mut verdict, &format!("{name} under a shut window ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[(WINDOW_SIZE, 0)]);
                let head = [request("GET", "/bomb"), fields.clone()].concat();
                let streams: BTreeSet<u32> = (0..STREAMS).map(|_| client.new_stream()).collect();
                for &id in &streams {
                    let (first, rest) = head.split_at(head.len().min(16_000));
                    client.send(frame(HEADERS, END_STREAM, id, first));
                    client.send(frame(CONTINUATION, END_HEADERS, id, rest));
                }
                let mut open = Open { streams, ..Open::default() };
                let took = open.watch(&mut client, 2 * LATE, trickle);
                let seen = proxy.origin.seen().iter().any(|seen| seen.line().contains("/bomb"));
                Outcome::of(client)
                    .check(open.is_over(), format!("after {took:?}: {} streams are open", open.streams.len()))
                    .check(!seen, "the server got a bomb")
            });
        }
        verdict.end();
    }
}

/// The proxy holds at most what its windows allow, and refuses more, if the server takes nothing.
#[test]
fn upload_that_no_server_takes_is_held_up() {
    const CONNECTIONS: usize = 8;
    // 32 MiB on each connection, far beyond the windows and what the sockets to the server hold.
    const FRAMES: usize = 2048;
    for driver in DRIVERS {
        let proxy = crate::http2::proxy(driver);
        let mut verdict = Verdict::default();
        // The server takes the heads and nothing more; the neighbours come when the usual script is back.
        proxy.origin.set_script(Script::answer("").early().then(Then::Deaf));
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Http2Client::to(proxy.port, &[])).collect();
        let ids: Vec<u32> = clients.iter_mut().map(Http2Client::new_stream).collect();
        for (client, &id) in clients.iter_mut().zip(&ids) {
            client.send(frame(HEADERS, END_HEADERS, id, request("POST", "/upload")));
        }
        assert!(proxy.origin.wait(LATE, |origin| origin.seen().len() >= CONNECTIONS), "the server gets no requests");
        proxy.origin.set_script(Script::default());
        withstand(&mut verdict, &format!("uploads ({driver})"), &proxy, || {
            let mut outcome = Outcome { clients: Vec::new(), wrong: Vec::new() };
            for (mut client, id) in clients.into_iter().zip(ids) {
                let sent = (0..FRAMES).take_while(|_| client.send(frame(DATA, 0, id, [b'u'; 16_384]))).count();
                let mut open = Open { streams: BTreeSet::from([id]), ..Open::default() };
                open.watch(&mut client, LATE, |_| Vec::new());
                let codes = [FLOW_CONTROL_ERROR, ENHANCE_YOUR_CALM, u32::MAX];
                let is_refused =
                    open.goaway.is_some_and(|code| codes.contains(&code)) || open.resets.contains(&FLOW_CONTROL_ERROR);
                outcome = outcome.check(is_refused, format!("{sent} frames were taken: {open:?}"));
                outcome.clients.push(client);
            }
            outcome
        });
        verdict.end();
    }
}

#[test]
fn idle_connections_cost_little_memory() {
    const CONNECTIONS: usize = 500;
    const EACH_KIB_MAX: u64 = 16;
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        assert_eq!(Http2Client::to(proxy.port, &[]).fetch("/warm").status, 200);
        let before = proxy.process.resident_kib();
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Http2Client::to(proxy.port, &[])).collect();
        for client in &mut clients {
            assert_eq!(client.fetch("/").status, 200, "({driver})");
        }
        thread::sleep(Duration::from_secs(4));
        let each = proxy.process.resident_kib().saturating_sub(before) / CONNECTIONS as u64;
        assert!(each < EACH_KIB_MAX, "({driver}): {each} KiB for each idle connection");
        for client in &mut clients {
            assert_eq!(client.fetch("/again").status, 200, "({driver})");
        }
    }
}
