//! HTTP/2 clients that want the proxy to hold memory for them: header blocks that grow when they are decoded, windows that open byte by
//! byte or not at all, and messages that stop halfway.

use std::thread;
use std::time::{Duration, Instant};

use ringway::limits;

use crate::attack::{Entry, Target};
use crate::origin::{Script, Then};
use crate::proxy::Options;
use crate::support::http2::{Http2, WAIT};
use crate::support::http2_fields::{ACCEPT_ENCODING_GZIP, COOKIE_EMPTY, NEWEST, indexed_literal, literal, request};
use crate::support::http2_frames::*;
use crate::{DRIVERS, Verdict};

const LIMITS: &str = "[respondingTimeouts]\nreadTimeout = \"1s\"\nidleTimeout = \"2s\"\nwriteTimeout = \"1s\"\n";
/// A timeout of one second takes effect within this time.
const LATE: Duration = Duration::from_secs(5);

fn with_limits(driver: &str) -> Target {
    Target::with(driver, Options { tables: LIMITS.into(), ..Options::default() })
}

/// Blocks of a few KiB whose fields are many, or take far more memory than the block.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let large = indexed_literal("x-large", vec![b'v'; 3_900]);
    let many = limits::HEAD_FIELDS_MAX + 100;
    vec![
        ("references to a field of 4 KB", [large, vec![NEWEST; 16_000]].concat()),
        ("references to a field of the static table", vec![ACCEPT_ENCODING_GZIP; 16_000]),
        ("empty cookie crumbs", vec![COOKIE_EMPTY; 16_000]),
        ("one cookie crumb, repeated", [indexed_literal("cookie", "a=b"), vec![NEWEST; 16_000]].concat()),
        ("empty fields", (0..many).flat_map(|_| literal("x", "")).collect()),
        ("a list just beyond the bound", just_too_long()),
    ]
}

/// Fields that together are a little longer than a head may be.
fn just_too_long() -> Vec<u8> {
    let one = indexed_literal("x-pad", vec![b'p'; 4_000]);
    [one, vec![NEWEST; limits::REQUEST_HEAD_BYTES_MAX / 4_000 + 2]].concat()
}

/// The excess is decoded and not stored: 431, and the connection is as good as before (RFC 6585 5).
#[test]
fn header_bombs_get_431() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for (name, fields) in bombs() {
            for entry in [Entry::Plain, Entry::Tls] {
                let case = format!("{name} ({driver}, {entry:?})");
                let mut client = target.client(entry);
                let block = [request("GET", "/bomb"), fields.clone()].concat();
                target.under(&case, &mut verdict, || {
                    for _ in 0..20 {
                        let id = client.next_id();
                        client.send(headers(id, END_STREAM, &block));
                        let stream = client.end_of(id);
                        assert_eq!(stream.status(), 431, "{case}: {}", client.state());
                    }
                });
                let after = client.exchange("/after");
                verdict.check(&case, after.status() == 200, format!("the next request: {after:?}, {}", client.state()));
                verdict.check(&case, target.proxy.origin.seen().len() == 1, "the server saw a bomb");
                target.proxy.origin.set_script(Script::default());
            }
        }
        verdict.end();
    }
}

/// The same bombs without a window for the response and with updates of one byte (CVE-2026-49975): nothing is held, and the streams end.
#[test]
fn header_bombs_under_a_closed_window_hold_no_memory() {
    for driver in DRIVERS {
        let target = with_limits(driver);
        let mut verdict = Verdict::default();
        for (name, fields) in bombs() {
            let case = format!("{name}, no window ({driver})");
            let mut client = target.raw(Entry::Plain).begin(&[(INITIAL_WINDOW_SIZE, 0)]);
            let block = [request("GET", "/bomb"), fields].concat();
            target.under(&case, &mut verdict, || {
                let ids: Vec<u32> = (0..50).map(|_| client.next_id()).collect();
                for id in &ids {
                    client.send(headers(*id, END_STREAM, &block));
                }
                trickle(&mut client, &ids, LATE);
            });
            verdict.check(&case, target.proxy.origin.seen().is_empty(), "the server saw a bomb");
        }
        target.recover("bombs", &mut verdict);
        verdict.end();
    }
}

/// Opens the window of each stream by one byte every 50 ms, until all streams or the connection are over, or the time is.
fn trickle(client: &mut Http2, ids: &[u32], limit: Duration) -> Duration {
    let start = Instant::now();
    let is_over = |client: &Http2| client.is_given_up() || ids.iter().all(|id| client.stream(*id).is_over());
    while start.elapsed() < limit && !is_over(client) {
        for id in ids.iter().filter(|id| !client.stream(**id).is_over()).copied().collect::<Vec<_>>() {
            client.send(window_update(id, 1));
        }
        client.wait(Duration::from_millis(50), is_over);
    }
    start.elapsed()
}

const LONG: usize = 4 << 20;

fn long_response() -> Script {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
    Script::answer([head.into_bytes(), vec![b'd'; LONG]].concat()).then(Then::Close)
}

/// A client with a hundred responses under way takes none of them: no window, one byte at a time, or windows but nothing read.
#[test]
fn responses_that_nobody_takes_hold_no_memory() {
    let cases: [(&str, u32, bool); 3] =
        [("no window", 0, false), ("one byte at a time", 0, true), ("nothing is read", 0x7fff_ffff, false)];
    for driver in DRIVERS {
        let target = with_limits(driver);
        let mut verdict = Verdict::default();
        for (name, window, trickles) in cases {
            let case = format!("{name} ({driver})");
            target.proxy.origin.set_script(long_response());
            let mut client = target.raw(Entry::Plain).begin(&[(INITIAL_WINDOW_SIZE, window)]);
            if window > 0 {
                client.send(window_update(0, 0x7fff_ffff - DEFAULT_WINDOW));
            }
            let took = target.under(&case, &mut verdict, || {
                let ids: Vec<u32> = (0..100).map(|_| client.get("/long")).collect();
                let start = Instant::now();
                if trickles {
                    trickle(&mut client, &ids, 2 * LATE)
                } else if window == 0 {
                    client.wait(LATE, |c| c.is_given_up() || ids.iter().all(|id| c.stream(*id).is_over()));
                    start.elapsed()
                } else {
                    thread::sleep(Duration::from_secs(3));
                    start.elapsed()
                }
            });
            if window == 0 {
                let limit = if trickles { 2 * LATE } else { LATE };
                verdict.check(&case, took < limit, format!("after {took:?} still under way: {}", client.state()));
            }
            drop(client);
            target.recover(&case, &mut verdict);
        }
        verdict.end();
    }
}

/// DATA beyond the window is refused; within it the proxy holds no more than the window, even if the server takes nothing.
#[test]
fn uploads_to_a_server_that_takes_nothing_are_held_up() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        let case = format!("upload ({driver})");
        target.proxy.origin.set_script(Script::answer("").early().then(Then::Deaf));
        let mut clients: Vec<Http2> = (0..10).map(|_| target.client(Entry::Plain)).collect();
        target.under(&case, &mut verdict, || {
            for client in &mut clients {
                for _ in 0..20 {
                    let id = client.next_id();
                    client.send(headers(id, 0, &request("POST", "/")));
                }
                // One MiB on each connection, without a look at its windows.
                for n in 0..64 {
                    client.send(data(1 + 2 * (n % 20), 0, &[b'u'; PAYLOAD_MAX]));
                }
                client.wait(Duration::from_millis(300), Http2::is_given_up);
            }
        });
        for client in &clients {
            let is_refused = client.goaway == Some(FLOW_CONTROL_ERROR)
                || client.resets().contains_key(&FLOW_CONTROL_ERROR)
                || client.goaway == Some(ENHANCE_YOUR_CALM);
            verdict.check(&case, is_refused, client.state());
        }
        drop(clients);
        target.recover(&case, &mut verdict);
        verdict.end();
    }
}

/// What a client may leave unfinished, and what it then sends every 100 ms.
#[test]
fn unfinished_input_ends_the_connection_in_time() {
    let head = request("GET", "/");
    let begun = [PREFACE, &settings(&[])].concat();
    let part = &head[..head.len() - 3];
    let cases: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        ("half a preface", PREFACE[..12].to_vec(), Vec::new()),
        ("a preface without SETTINGS", PREFACE.to_vec(), Vec::new()),
        ("half a frame header", [&begun, &frame_header(5, HEADERS, 0, 1)[..5]].concat(), Vec::new()),
        (
            "half a frame",
            [&begun, &frame_header(200, HEADERS, END_HEADERS | END_STREAM, 1)[..], part].concat(),
            Vec::new(),
        ),
        ("half a frame, then byte by byte", [&begun, &frame_header(9_000, HEADERS, 0, 1)[..]].concat(), vec![0]),
        ("half a header block", [&begun, &frame(HEADERS, END_STREAM, 1, part)[..]].concat(), Vec::new()),
        (
            "a header block byte by byte",
            [&begun, &frame(HEADERS, END_STREAM, 1, &[0, 1, b'x', 0x7f, 0xff, 0x7f])[..]].concat(),
            frame(CONTINUATION, 0, 1, b"y"),
        ),
        ("nothing after its SETTINGS", begun.clone(), Vec::new()),
    ];
    for driver in DRIVERS {
        let target = with_limits(driver);
        let mut verdict = Verdict::default();
        target.under("unfinished input", &mut verdict, || {
            thread::scope(|scope| {
                for (name, first, piece) in &cases {
                    let target = &target;
                    scope.spawn(move || {
                        let mut client = target.raw(Entry::Plain);
                        client.send(first);
                        let start = Instant::now();
                        while start.elapsed() < LATE && !client.is_closed_within(Duration::from_millis(100)) {
                            client.send(piece);
                        }
                        assert!(client.is_closed, "{name} ({driver}): open after {LATE:?}: {}", client.state());
                    });
                }
            });
        });
        verdict.check(driver, target.proxy.origin.seen().is_empty(), "the server saw something");
        verdict.end();
    }
}

/// A body that stops, or comes byte by byte, has the time that a slow body of HTTP/1.1 has.
#[test]
fn slow_bodies_end_in_time() {
    for driver in DRIVERS {
        let target = with_limits(driver);
        let mut verdict = Verdict::default();
        for (name, piece) in [("a body that stops", Vec::new()), ("a body byte by byte", data(1, 0, b"x"))] {
            let case = format!("{name} ({driver})");
            target.proxy.origin.set_script(Script::default());
            let mut client = target.client(Entry::Plain);
            let start = Instant::now();
            let id = client.next_id();
            client.send(headers(id, 0, &[request("POST", "/"), literal("content-length", "1000")].concat()));
            // Other traffic on the connection does not extend the time.
            target.under(&case, &mut verdict, || {
                while start.elapsed() < LATE && !client.stream(id).is_over() && !client.is_given_up() {
                    client.send(&piece);
                    client.send(ping());
                    client.wait(Duration::from_millis(100), |c| c.stream(id).is_over());
                }
            });
            let stream = client.stream(id);
            let is_ended = client.is_given_up() || (stream.is_over() && [0, 408].contains(&stream.status()));
            verdict.check(&case, is_ended, format!("after {:?}: {stream:?}", start.elapsed()));
            let whole = target.proxy.origin.seen().iter().any(|seen| seen.is_whole);
            verdict.check(&case, !whole, "a body that never ended counted as whole");
        }
        verdict.end();
    }
}

/// Many connections that do nothing cost little each.
#[test]
fn idle_connections_cost_little() {
    const CONNECTIONS: usize = 500;
    for driver in DRIVERS {
        let target = Target::start(driver);
        target.client(Entry::Plain).exchange("/warm");
        let before = target.proxy.process.resident_kib();
        let mut clients: Vec<Http2> = (0..CONNECTIONS).map(|_| target.client(Entry::Plain)).collect();
        for client in &mut clients {
            assert_eq!(client.exchange("/").status(), 200);
        }
        thread::sleep(Duration::from_secs(3));
        let each = target.proxy.process.resident_kib().saturating_sub(before) as f64 / CONNECTIONS as f64;
        assert!(each < 16.0, "idle connections ({driver}): {each:.1} KiB each");
        assert!(clients.iter_mut().all(|client| client.wait(WAIT, |c| !c.is_given_up())), "an idle connection ended");
    }
}
