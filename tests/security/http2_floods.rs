//! Frames of HTTP/2 that cost the proxy more than the client: each kind ends the connection after a bounded number of them, whether the
//! client reads what comes back or not.

use std::time::Duration;

use crate::attack::{ENTRIES, Entry, Target};
use crate::origin::{Script, Then};
use crate::support::http2::{Http2, WAIT};
use crate::support::http2_fields::{literal, request};
use crate::support::http2_frames::*;
use crate::{DRIVERS, Verdict};

/// Frames of each kind that a client tries to send.
const FRAMES: usize = 60_000;
/// Frames between two looks at what has come back.
const BATCH: usize = 50;
/// Streams that a client tries to open.
const STREAMS: usize = 20_000;
/// A client that opens and resets streams gets no more than this many requests to the server.
const REQUESTS_MAX: usize = 3_000;

/// Sends `count` pieces until the proxy gives the connection up; returns how many were sent.
fn flood(client: &mut Http2, count: usize, reads: bool, mut piece: impl FnMut(&mut Http2) -> Vec<u8>) -> usize {
    for sent in (0..count).step_by(BATCH) {
        let batch: Vec<u8> = (0..BATCH).flat_map(|_| piece(client)).collect();
        let is_taken = client.send(batch);
        if reads {
            client.drain();
        }
        if !is_taken || client.is_given_up() {
            return sent + BATCH;
        }
    }
    count
}

/// Checks that the connection ended for this reason, and that the proxy counted it.
fn ended_for(client: &mut Http2, target: &Target, bound: &str, case: &str, verdict: &mut Verdict) {
    client.wait(WAIT, |c| c.goaway.is_some());
    verdict.check(case, client.goaway == Some(ENHANCE_YOUR_CALM), client.state());
    verdict.check(case, client.is_closed_within(WAIT), "the connection stays open");
    verdict.check(case, target.exceeded(bound) > 0, format!("{bound} was not counted"));
}

#[test]
fn rapid_resets_end_the_connection() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for (entry, then) in [(Entry::Plain, Then::Keep), (Entry::Plain, Then::Hold), (Entry::Tls, Then::Hold)] {
            let case = format!("rapid reset ({driver}, {entry:?}, the server does {then:?})");
            target.proxy.origin.set_script(Script::answer("").then(then));
            let mut client = target.client(entry);
            let sent = target.under(&case, &mut verdict, || {
                flood(&mut client, STREAMS, true, |client| {
                    let id = client.next_id();
                    [headers(id, END_STREAM, &request("GET", "/")), reset(id, CANCEL)].concat()
                })
            });
            verdict.check(&case, sent < STREAMS, format!("{sent} streams were opened and reset"));
            ended_for(&mut client, &target, "http2_rapid_reset", &case, &mut verdict);
            let requests = target.proxy.origin.seen().len();
            verdict.check(&case, requests < REQUESTS_MAX, format!("the server got {requests} requests"));
            target.recover(&case, &mut verdict);
        }
        verdict.end();
    }
}

/// What a client sends on an open stream to make the proxy reset it (CVE-2025-8671); all are errors of a stream, not of the connection.
type Provocation = (&'static str, fn(u32) -> Vec<u8>);

const PROVOCATIONS: [Provocation; 8] = [
    ("WINDOW_UPDATE of 0", |id| [open(id, END_STREAM, &[]), window_update(id, 0)].concat()),
    ("WINDOW_UPDATE above 2^31-1", |id| [open(id, END_STREAM, &[]), window_update(id, 0x7fff_ffff)].concat()),
    ("DATA after END_STREAM", |id| [open(id, END_STREAM, &[]), data(id, 0, b"x")].concat()),
    ("HEADERS after END_STREAM", |id| [open(id, END_STREAM, &[]), open(id, END_STREAM, &[])].concat()),
    ("PRIORITY of a wrong length", |id| [open(id, END_STREAM, &[]), frame(PRIORITY, 0, id, b"1234")].concat()),
    ("more DATA than Content-Length", |id| [open(id, 0, &[("content-length", "1")]), data(id, 0, b"xx")].concat()),
    ("less DATA than Content-Length", |id| {
        [open(id, 0, &[("content-length", "9")]), data(id, END_STREAM, b"x")].concat()
    }),
    ("a malformed field", |id| open(id, END_STREAM, &[("X-Upper", "y")])),
];

fn open(id: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let more = fields.iter().flat_map(|(name, value)| literal(name, value));
    headers(id, flags, &request("POST", "/").into_iter().chain(more).collect::<Vec<_>>())
}

#[test]
fn provoked_resets_end_the_connection() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for (name, provocation) in PROVOCATIONS {
            let case = format!("MadeYouReset ({driver}): {name}");
            target.proxy.origin.set_script(Script::answer("").then(Then::Hold));
            let mut client = target.client(Entry::Plain);
            let sent = target.under(&case, &mut verdict, || {
                flood(&mut client, STREAMS, true, |client| provocation(client.next_id()))
            });
            verdict.check(&case, sent < STREAMS, format!("{sent} streams were opened"));
            client.wait(WAIT, |c| c.goaway.is_some());
            // A proxy may also treat the error as one of the connection (RFC 9113 5.4.1): then the first one ends it.
            let is_ended = client.goaway.is_some_and(|code| code == ENHANCE_YOUR_CALM || sent <= BATCH);
            verdict.check(&case, is_ended, client.state());
            let requests = target.proxy.origin.seen().len();
            verdict.check(&case, requests < REQUESTS_MAX, format!("the server got {requests} requests"));
            target.recover(&case, &mut verdict);
        }
        verdict.check(driver, target.exceeded("http2_provoked_resets") > 0, "http2_provoked_resets was not counted");
        verdict.end();
    }
}

/// Kinds of frames that bring nothing, what comes before them, and the bound that ends each.
type Flood = (&'static str, &'static str, fn() -> Vec<u8>, fn() -> Vec<u8>);

const FLOODS: [Flood; 9] = [
    ("PING", "http2_control_frames", Vec::new, ping),
    ("SETTINGS", "http2_control_frames", Vec::new, || settings(&[(INITIAL_WINDOW_SIZE, 65_535)])),
    ("empty SETTINGS", "http2_control_frames", Vec::new, || settings(&[])),
    ("PRIORITY", "http2_control_frames", Vec::new, || priority(1, 3)),
    ("WINDOW_UPDATE of the connection", "http2_control_frames", Vec::new, || window_update(0, 1)),
    ("WINDOW_UPDATE of a stream", "http2_control_frames", upload, || window_update(1, 1)),
    ("frames of an unknown type", "http2_control_frames", Vec::new, || frame(0xbe, 0, 0, b"")),
    ("empty DATA", "http2_empty_frames", upload, || data(1, 0, b"")),
    ("DATA that is all padding", "http2_empty_frames", upload, || frame(DATA, PADDED, 1, &[1, 0])),
];

/// The head of a request whose body does not end.
fn upload() -> Vec<u8> {
    headers(1, 0, &request("POST", "/"))
}

#[test]
fn frames_without_use_end_the_connection() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for (name, bound, first, piece) in FLOODS {
            for reads in [true, false] {
                let case = format!("{name} ({driver}, the client {})", if reads { "reads" } else { "reads nothing" });
                let mut client = target.client(Entry::Plain);
                client.send(first());
                let sent = target.under(&case, &mut verdict, || flood(&mut client, FRAMES, reads, |_| piece()));
                verdict.check(&case, sent < FRAMES, format!("{sent} frames were sent: {}", client.state()));
                if reads {
                    ended_for(&mut client, &target, bound, &case, &mut verdict);
                }
            }
        }
        target.recover("flood", &mut verdict);
        verdict.end();
    }
}

/// A client that sends its body byte by byte is slow and allowed; its frames cost the neighbours nothing, and the server gets all of them.
#[test]
fn tiny_data_frames_are_served_beside_others() {
    const BYTES: usize = 20_000;
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for entry in ENTRIES {
            let case = format!("tiny DATA ({driver}, {entry:?})");
            target.proxy.origin.set_script(Script::default());
            let mut client = target.client(entry);
            client.send(upload());
            target.under(&case, &mut verdict, || flood(&mut client, BYTES, true, |_| data(1, 0, b"x")));
            client.send(data(1, END_STREAM, b""));
            let stream = client.end_of(1);
            let arrived: Vec<usize> = target.proxy.origin.seen().iter().map(|seen| seen.body.len()).collect();
            // A proxy may end it as a flood, but never pass a part on as the whole.
            let is_whole = stream.status() == 200 && arrived == [BYTES];
            let is_refused = client.goaway == Some(ENHANCE_YOUR_CALM) && stream.status() != 200;
            verdict.check(
                &case,
                is_whole || is_refused,
                format!("{stream:?}, {}, arrived {arrived:?}", client.state()),
            );
        }
        verdict.end();
    }
}

/// A header block that never ends, in full and in empty frames (CVE-2024-27316).
#[test]
fn endless_continuation_frames_end_the_connection() {
    let cases: [(&str, &str, Vec<u8>); 3] = [
        ("empty", "http2_empty_frames", Vec::new()),
        ("of one byte", "http2_empty_frames", vec![0]),
        ("full", "http2_header_block", vec![b'x'; PAYLOAD_MAX]),
    ];
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for (name, bound, piece) in &cases {
            let case = format!("CONTINUATION frames, {name} ({driver})");
            let mut client = target.client(Entry::Plain);
            // A literal whose value is longer than all frames together.
            client.send(frame(HEADERS, END_STREAM, 1, &[&[0, 1, b'x'][..], &[0x7f, 0xff, 0xff, 0xff, 0x7f]].concat()));
            let sent = target
                .under(&case, &mut verdict, || flood(&mut client, FRAMES, true, |_| frame(CONTINUATION, 0, 1, piece)));
            verdict.check(&case, sent < FRAMES, format!("{sent} frames were sent: {}", client.state()));
            ended_for(&mut client, &target, bound, &case, &mut verdict);
        }
        verdict.check(driver, target.proxy.origin.seen().is_empty(), "the server saw something");
        target.recover("CONTINUATION", &mut verdict);
        verdict.end();
    }
}

/// A client that makes the proxy respond and reads nothing: what waits for it stays bounded, and the proxy reads no further.
#[test]
fn unread_control_frames_are_held_up() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        let case = format!("unread control frames ({driver})");
        let mut clients: Vec<Http2> = (0..20).map(|_| target.client(Entry::Plain)).collect();
        target.under(&case, &mut verdict, || {
            for client in &mut clients {
                flood(client, 5_000, false, |_| [ping(), settings(&[])].concat());
            }
            std::thread::sleep(Duration::from_millis(500));
        });
        drop(clients);
        target.recover(&case, &mut verdict);
        verdict.end();
    }
}
