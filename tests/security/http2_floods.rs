//! Floods over HTTP/2 that cost the sender less than the proxy (RFC 9113 10.5): each ends the connection, and its bound is counted.

use std::time::Duration;

use crate::http2::{Outcome, ended, flood, proxy, times_exceeded, withstand};
use crate::origin::{Script, Then};
use crate::proxy::Proxy;
use crate::support::http2_client::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2Client, PADDED, PING, PRIORITY, SETTINGS,
    WHOLE, block, frame, literal, request, reset, window_update,
};
use crate::{DRIVERS, Verdict};

/// Frames of a flood that is not ended.
const FRAMES_MAX: usize = 40_000;
const UNKNOWN_TYPE: u8 = 0x42;
const WINDOW_SIZE: u16 = 4;

/// A flood: its name, the frame with a number, and the bound that it exceeds. Stream 1 is a POST whose body is open.
type Flood = (&'static str, fn(usize) -> Vec<u8>, &'static str);

const FLOODS: [Flood; 8] = [
    ("PING", |n| frame(PING, 0, 0, n.to_be_bytes()), "http2_control_frames"),
    ("SETTINGS", |_| frame(SETTINGS, 0, 0, b""), "http2_control_frames"),
    ("SETTINGS with values", |n| frame(SETTINGS, 0, 0, setting(WINDOW_SIZE, n as u32 % 9)), "http2_control_frames"),
    ("PRIORITY of idle streams", |n| frame(PRIORITY, 0, 2 * n as u32 + 3, [0, 0, 0, 0, 7]), "http2_control_frames"),
    ("WINDOW_UPDATE of the connection", |_| window_update(0, 1), "http2_control_frames"),
    ("WINDOW_UPDATE of a stream", |_| window_update(1, 1), "http2_control_frames"),
    ("unknown types", |n| frame(UNKNOWN_TYPE, 0, n as u32 % 3, b"x"), "http2_control_frames"),
    ("empty DATA", |_| frame(DATA, 0, 1, b""), "http2_empty_frames"),
];

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A client whose first stream is a POST without the end of its body.
fn posting(proxy: &Proxy) -> (Http2Client, u32) {
    let mut client = Http2Client::to(proxy.port, &[]);
    let id = client.new_stream();
    client.send(frame(HEADERS, END_HEADERS, id, request("POST", "/flood")));
    (client, id)
}

#[test]
fn flood_of_frames_without_use_ends_its_connection() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, piece, bound) in FLOODS {
            let before = times_exceeded(&proxy, &[bound]);
            withstand(&mut verdict, &format!("{name} ({driver})"), &proxy, || {
                let (mut client, _) = posting(&proxy);
                let sent = flood(&mut client, FRAMES_MAX, piece);
                ended(client, &proxy, before, &[bound])
                    .check(sent < FRAMES_MAX, format!("all {sent} frames were taken"))
            });
        }
        verdict.end();
    }
}

/// CVE-2019-9512 and CVE-2019-9515: a client that does not read the replies to its control frames.
#[test]
fn client_that_reads_no_acknowledgement_costs_no_memory() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        withstand(&mut verdict, &format!("unread acknowledgements ({driver})"), &proxy, || {
            let mut client = Http2Client::to(proxy.port, &[]);
            let pings: Vec<u8> = (0..200).flat_map(|_| frame(PING, 0, 0, [7; 8])).collect();
            // 68 MB, far beyond what the sockets' buffers hold.
            let taken = (0..20_000).take_while(|_| client.send(&pings)).count();
            let rest = client.rest(Duration::from_secs(2));
            Outcome::of(client)
                .check(taken < 20_000, "4,000,000 frames were taken")
                .check(rest.is_closed, format!("the connection goes on: {rest:?}"))
        });
        verdict.end();
    }
}

/// CVE-2024-27316: a header block that never ends.
#[test]
fn header_block_without_end_ends_its_connection() {
    let fields = literal(0x00, b"x", &[b'y'; 16_000]);
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, first, piece, bound) in [
            ("empty CONTINUATION", request("GET", "/"), Vec::new(), "http2_empty_frames"),
            ("CONTINUATION with fields", request("GET", "/"), fields.clone(), "http2_header_block"),
        ] {
            let before = times_exceeded(&proxy, &[bound]);
            withstand(&mut verdict, &format!("{name} ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[]);
                let id = client.new_stream();
                // The acknowledgement of the proxy's SETTINGS would interrupt the block.
                client.rest(Duration::from_millis(200));
                client.send(frame(HEADERS, END_STREAM, id, first));
                let sent = flood(&mut client, FRAMES_MAX, |_| frame(CONTINUATION, 0, id, &piece));
                ended(client, &proxy, before, &[bound])
                    .check(sent < FRAMES_MAX, format!("all {sent} frames were taken"))
            });
        }
        verdict.end();
    }
}

/// CVE-2023-44487.
#[test]
fn rapid_reset_ends_its_connection() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        proxy.origin.set_script(Script::default().after(Duration::from_millis(100)));
        // Streams above SETTINGS_MAX_CONCURRENT_STREAMS are refused, which has a bound too: the burst meets one of the two first.
        let bounds = ["http2_rapid_reset", "http2_provoked_resets"];
        let before = times_exceeded(&proxy, &bounds);
        withstand(&mut verdict, &format!("rapid reset ({driver})"), &proxy, || {
            let mut client = Http2Client::to(proxy.port, &[]);
            let sent = flood(&mut client, FRAMES_MAX, |n| {
                let id = 2 * n as u32 + 1;
                [frame(HEADERS, WHOLE, id, request("GET", "/rapid")), reset(id, CANCEL)].concat()
            });
            let asked = proxy.origin.seen().iter().filter(|seen| seen.line().contains("/rapid")).count();
            ended(client, &proxy, before, &bounds)
                .check(sent < 4000, format!("{sent} streams were taken"))
                .check(asked <= 1000, format!("the server got {asked} requests"))
        });
        verdict.end();
    }
}

/// Payload in pieces of one byte is slow, but it is payload: the connection may go on, and the body arrives whole.
#[test]
fn body_in_tiny_frames_arrives_whole() {
    const BYTES: usize = 10_000;
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        withstand(&mut verdict, &format!("tiny DATA ({driver})"), &proxy, || {
            let (mut client, id) = posting(&proxy);
            for _ in 0..BYTES / 100 {
                let frames: Vec<u8> = (0..100).flat_map(|_| frame(DATA, 0, id, b"x")).collect();
                client.send(frames);
            }
            client.send(frame(DATA, END_STREAM, id, b""));
            let answer = client.answer(id);
            let seen = proxy.origin.seen();
            let body = seen.iter().find(|seen| seen.line().contains("/flood")).map(|seen| seen.body.len());
            Outcome::of(client)
                .check(answer.status == 200, format!("{answer:?}"))
                .check(body == Some(BYTES), format!("{body:?} bytes arrived"))
        });
        verdict.end();
    }
}

/// DATA that is padding alone counts against the window, whose credit the proxy returns: without a bound this would go on for ever.
#[test]
fn flood_of_padding_ends_its_connection() {
    let padding = [&[255][..], &[0; 255]].concat();
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        withstand(&mut verdict, &format!("padding ({driver})"), &proxy, || {
            let (mut client, id) = posting(&proxy);
            let sent = flood(&mut client, FRAMES_MAX, |_| frame(DATA, PADDED, id, &padding));
            let rest = client.rest(Duration::from_secs(2));
            Outcome::of(client)
                .check(sent < FRAMES_MAX, format!("all {sent} frames were taken"))
                .check(rest.is_closed, format!("the connection goes on: {rest:?}"))
        });
        verdict.end();
    }
}

/// Streams whose responses the client neither reads nor lets the proxy send.
#[test]
fn responses_that_nobody_takes_cost_little_memory() {
    const BODY: usize = 1 << 20;
    const STREAMS: u32 = 60;
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n{}", "x".repeat(BODY));
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        let cases: [(&str, u32, u32); 2] = [("zero window", 0, 40), ("unread", 0x7fff_ffff, 0)];
        for (name, window, updates) in cases {
            // The neighbours' bodies are short.
            proxy.origin.set_script(Script::default());
            withstand(&mut verdict, &format!("{name} ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[(WINDOW_SIZE, window)]);
                client.send(window_update(0, 0x7000_0000));
                let long = Script::answer(&body);
                let streams: Vec<u32> =
                    with_script(&proxy, long, || (0..STREAMS).map(|_| client.get("/long")).collect());
                let mut got = 0;
                for _ in 0..updates {
                    let pieces: Vec<u8> = streams.iter().flat_map(|&id| window_update(id, 1)).collect();
                    client.send(pieces);
                    if window == 0 {
                        while let Some(arrived) = client.next_frame(Duration::from_millis(20)) {
                            got += if arrived.kind == DATA { arrived.payload.len() } else { 0 };
                        }
                    }
                }
                let allowed = (updates * STREAMS) as usize;
                Outcome::of(client).check(got <= allowed, format!("{got} bytes within windows of {allowed}"))
            });
        }
        verdict.end();
    }
}

/// Runs `ask` with a script, and waits until its requests have reached the origin; the usual script follows.
fn with_script<T>(proxy: &Proxy, script: Script, ask: impl FnOnce() -> Vec<T>) -> Vec<T> {
    proxy.origin.set_script(script.then(Then::Keep));
    let asked = ask();
    let count = asked.len();
    let arrived = proxy.origin.wait(Duration::from_secs(5), |origin| {
        origin.seen().iter().filter(|seen| seen.line().contains("/long")).count() >= count
    });
    assert!(arrived, "the requests did not reach the origin");
    proxy.origin.set_script(Script::default());
    asked
}

/// CVE-2016-6581 and its relatives: blocks that are small on the wire and large once they are decoded.
#[test]
fn compression_bomb_gets_431_within_bounded_memory() {
    let bomb = |name: &[u8]| {
        // One field of almost 4 KiB in the dynamic table, where it is number 62, and 15,000 references to it.
        [request("GET", "/bomb"), literal(0x40, name, &[b'a'; 3900]), vec![0xbe; 15_000]].concat()
    };
    let crumbs: Vec<(&str, &str)> = vec![("cookie", "a=b"); 4000];
    let crumbs = [request("GET", "/bomb"), block(&crumbs)].concat();
    // 640 KiB on the wire, above the bound on a head and below the one on a compressed block.
    let long: Vec<(String, String)> = (0..40).map(|n| (format!("x-{n}"), "y".repeat(16_000))).collect();
    let long = [request("GET", "/bomb"), block(&long)].concat();
    // Each is sent so many times: the CONTINUATION frames of long ones have a bound of their own.
    let blocks = [
        ("fields", bomb(b"x"), 30),
        ("cookies", bomb(b"cookie"), 30),
        ("cookie crumbs", crumbs, 30),
        ("long fields", long, 8),
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, header_block, times) in &blocks {
            withstand(&mut verdict, &format!("bomb of {name} ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[]);
                let mut statuses = Vec::new();
                for _ in 0..*times {
                    let id = client.new_stream();
                    let pieces: Vec<&[u8]> = header_block.chunks(16_000).collect();
                    for (at, piece) in pieces.iter().enumerate() {
                        let last = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
                        match at {
                            0 => client.send(frame(HEADERS, END_STREAM | last, id, piece)),
                            _ => client.send(frame(CONTINUATION, last, id, piece)),
                        };
                    }
                    statuses.push(client.answer(id).status);
                }
                let reached = proxy.origin.seen().iter().any(|seen| seen.line().contains("/bomb"));
                let next = client.fetch("/after").status;
                Outcome::of(client)
                    .check(statuses.iter().all(|&status| status == 431), format!("{statuses:?}"))
                    .check(!reached, "the request reached the server")
                    .check(next == 200, format!("the next request got {next}: the table of the decoder is wrong"))
            });
        }
        verdict.end();
    }
}

#[test]
fn acknowledgement_that_nobody_asked_for_is_harmless() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut client = Http2Client::to(proxy.port, &[]);
        client.send([frame(PING, ACK, 0, [1; 8]), frame(SETTINGS, ACK, 0, b"")].concat());
        let answer = client.fetch("/after");
        assert!(answer.status == 200 && answer.body == b"ok", "({driver}): {answer:?}");
    }
}
