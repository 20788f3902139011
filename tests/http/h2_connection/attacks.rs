//! Attacks that a connection alone can see: each ends the connection before it costs much, holds little memory, and fills no output. What
//! programs do in ordinary life ends none.

use std::time::Duration;

use ringway::http::h2::connection::{Data, Note, Opened};

use super::endpoint::{Endpoint, GET, POST, Plain, RESPONSE};
use super::wire::*;

/// An attack: the frames of its n-th repetition.
type Repeat = fn(u32) -> Vec<Frame>;

/// Repetitions within which a server must have ended the connection, if no time passes.
const REPETITIONS_MAX: u32 = 20_000;
/// Output that may wait while nobody takes it.
const WAITING_MAX: usize = 100 * 1024;

fn id(n: u32) -> u32 {
    2 * n + 1
}

/// A request that is answered at once with END_STREAM.
fn answer(server: &mut Endpoint) {
    while let Some(opened) = server.connection.next_opened() {
        let (Opened::Request(key) | Opened::Rejected(key, _)) = opened;
        let _ = server.connection.send_head(key, RESPONSE, true);
        server.release(key);
    }
    while server.connection.next_woken().is_some() {}
}

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
    Frame::new(kind, flags, stream, payload)
}

const ATTACKS: &[(&str, &[&str], Repeat)] = &[
    ("rapid reset", &[], |n| vec![headers(id(n), END_STREAM, GET), reset(id(n), CANCEL)]),
    ("rapid reset of uploads", &[], |n| vec![headers(id(n), 0, POST), data(id(n), 0, b"x"), reset(id(n), CANCEL)]),
    ("provoked by WINDOW_UPDATE of 0", &[], |n| vec![headers(id(n), 0, POST), window_update(id(n), 0)]),
    ("provoked by a window above its maximum", &[], |n| {
        vec![headers(id(n), 0, POST), window_update(id(n), 0x7fff_ffff)]
    }),
    ("provoked by DATA after the end", &[], |n| vec![headers(id(n), END_STREAM, GET), data(id(n), 0, b"x")]),
    ("provoked by HEADERS after the end", &[], |n| {
        vec![headers(id(n), END_STREAM, GET), headers(id(n), END_STREAM, &[("x", "y")])]
    }),
    ("provoked by a dependency on itself", &[], |n| {
        vec![headers(id(n), 0, POST), raw(PRIORITY, 0, id(n), &priority_on(id(n)))]
    }),
    ("provoked by the length of PRIORITY", &[], |n| vec![headers(id(n), 0, POST), raw(PRIORITY, 0, id(n), &[0; 4])]),
    ("provoked by Content-Length", &[], |n| {
        let fields = [POST, &[("content-length", "1")]].concat();
        vec![headers(id(n), 0, &fields), data(id(n), 0, b"xy")]
    }),
    ("provoked by a malformed head", &[], |n| vec![headers(id(n), END_STREAM, &GET[1..])]),
    ("PING", &[], |_| vec![raw(PING, 0, 0, &[0; 8])]),
    ("answers to PINGs that were not sent", &[], |_| vec![raw(PING, ACK, 0, &[0; 8])]),
    ("SETTINGS", &[], |_| vec![settings(&[])]),
    ("SETTINGS with many values", &[], |_| vec![settings(&[(4, 1000); 100])]),
    ("acknowledgements of no SETTINGS", &[], |_| vec![raw(SETTINGS, ACK, 0, b"")]),
    ("PRIORITY on idle streams", &[], |n| vec![raw(PRIORITY, 0, id(n), &priority_on(0))]),
    ("PRIORITY on a stream", &["stream"], |_| vec![raw(PRIORITY, 0, 1, &priority_on(0))]),
    ("WINDOW_UPDATE of the connection", &[], |_| vec![window_update(0, 1)]),
    ("WINDOW_UPDATE of a stream", &["stream"], |_| vec![window_update(1, 1)]),
    ("WINDOW_UPDATE of a closed stream", &["closed"], |_| vec![window_update(1, 1)]),
    ("RST_STREAM of a closed stream", &["closed"], |_| vec![reset(1, CANCEL)]),
    ("empty DATA", &["stream"], |_| vec![data(1, 0, b"")]),
    ("DATA of padding", &["stream"], |_| vec![data(1, PADDED, b"\x03\0\0\0")]),
    ("empty CONTINUATION", &["block"], |_| vec![raw(CONTINUATION, 0, 1, b"")]),
    ("CONTINUATION of one byte", &["block"], |_| vec![raw(CONTINUATION, 0, 1, &[0x82])]),
    ("CONTINUATION of whole frames", &["block"], |_| vec![raw(CONTINUATION, 0, 1, &[0x82; PAYLOAD_MAX])]),
    ("unknown types", &[], |_| vec![raw(99, 0, 0, b"")]),
    ("unknown types on a stream", &["stream"], |_| vec![raw(99, 0, 1, b"x")]),
    ("GOAWAY", &[], |_| vec![goaway(0, NO_ERROR)]),
];

/// A server as the attack finds it.
fn victim(preparation: &[&str]) -> Endpoint {
    let mut server = Endpoint::server(&[]);
    match preparation {
        ["stream"] => server.send(&[headers(1, 0, POST)]),
        ["closed"] => {
            server.send(&[headers(1, END_STREAM, GET)]);
            answer(&mut server);
        }
        ["block"] => server.send(&[raw(HEADERS, END_STREAM, 1, &block(GET))]),
        _ => {}
    }
    server.output();
    server.notes();
    server
}

#[test]
fn attack_ends_the_connection_before_it_costs_much() {
    for (name, preparation, frames) in ATTACKS {
        let mut server = victim(preparation);
        let mut repetitions = 0;
        while server.connection.error().is_none() {
            assert!(repetitions < REPETITIONS_MAX, "{name}: {repetitions} repetitions are served");
            server.send(&frames(repetitions));
            assert!(server.connection.streams() <= 100, "{name}");
            if preparation.is_empty() {
                answer(&mut server);
            }
            let waiting = server.take_bytes().len();
            assert!(waiting < WAITING_MAX, "{name}: {waiting} bytes wait");
            repetitions += 1;
        }
        let error = server.connection.error().copied();
        let notes = server.notes();
        match error.map(|error| error.code.number()) {
            // A frame after END_STREAM ends the connection at once.
            Some(STREAM_CLOSED) => assert!(name.contains("after the end") && repetitions == 1, "{name}: {repetitions}"),
            Some(ENHANCE_YOUR_CALM) => {
                assert!(notes.iter().any(|note| matches!(note, Note::Exceeded(_))), "{name}: {notes:?}");
            }
            _ => panic!("{name}: {error:?}"),
        }
    }
}

#[test]
fn attack_whose_handlers_do_not_end_holds_a_bounded_number_of_streams() {
    for (name, preparation, frames) in ATTACKS {
        let mut server = victim(preparation);
        for n in 0..REPETITIONS_MAX {
            if server.connection.error().is_some() {
                break;
            }
            server.send(&frames(n));
            server.take_bytes();
            assert!(server.connection.streams() <= 100, "{name}");
            assert!(server.connection.unread_total() <= DEFAULT_WINDOW as usize, "{name}");
        }
        assert!(server.connection.error().is_some(), "{name}");
    }
}

#[test]
fn attacker_who_reads_nothing_fills_no_output() {
    for (name, preparation, frames) in ATTACKS {
        let mut server = victim(preparation);
        let mut n = 0;
        while server.connection.wants_input() {
            server.send(&frames(n));
            n += 1;
            assert!(n < REPETITIONS_MAX, "{name}");
            if preparation.is_empty() {
                answer(&mut server);
            }
        }
        let waiting = server.take_bytes().len();
        assert!(waiting < WAITING_MAX, "{name}: {waiting} bytes wait");
    }
}

#[test]
fn header_list_beyond_its_bound_is_refused_and_the_next_request_served() {
    // A value of 4,000 bytes in the dynamic table, named 8,000 times by one byte each: 32 MB.
    let adds = [&block(GET)[..], b"\x40\x01x\x7f\xa1\x1e", &[b'v'; 4000]].concat();
    let mut server = Endpoint::server(&[]);
    server.send(&[raw(HEADERS, END_HEADERS | END_STREAM, 1, &adds)]);
    server.accept();
    let bomb = [&block(GET)[..], &[0xbe; 8000]].concat();
    server.send(&[raw(HEADERS, END_HEADERS | END_STREAM, 3, &bomb), headers(5, END_STREAM, GET)]);
    match server.connection.next_opened() {
        Some(Opened::Rejected(_, rejected)) => assert_eq!(rejected.status, 431),
        other => panic!("{other:?}"),
    }
    server.accept();
    // Empty cookie crumbs: 32 bytes are counted for each.
    let crumbs = [&block(GET)[..], &b"\x60\x00".repeat(8000)].concat();
    server.send(&[raw(HEADERS, END_HEADERS | END_STREAM, 7, &crumbs)]);
    match server.connection.next_opened() {
        Some(Opened::Rejected(_, rejected)) => assert_eq!(rejected.status, 431),
        other => panic!("{other:?}"),
    }
    assert!(server.connection.error().is_none());
}

#[test]
fn peer_that_grants_one_byte_at_a_time_holds_no_data() {
    let mut server = Endpoint::server(&[(4, 0)]);
    server.send(&[headers(1, END_STREAM, GET)]);
    let key = server.accept();
    server.connection.send_head(key, RESPONSE, false).expect("sent");
    let payload = [1; 100_000];
    for _ in 0..1000 {
        server.now += Duration::from_millis(100);
        server.send(&[window_update(1, 1)]);
        assert!(server.connection.send_data(key, &payload, true).expect("sent") <= 1);
        assert!(server.take_bytes().len() < 500);
    }
}

#[test]
fn browser_that_leaves_its_pages_is_served() {
    let mut server = Endpoint::server(&[]);
    for page in 0..50_u32 {
        let ids: Vec<_> = (0..100).map(|n| id(page * 100 + n)).collect();
        server.send(&ids.iter().map(|id| headers(*id, END_STREAM, GET)).collect::<Vec<_>>());
        let keys: Vec<_> = (0..100).map(|_| server.accept()).collect();
        server.send(&ids.iter().map(|id| reset(*id, CANCEL)).collect::<Vec<_>>());
        keys.into_iter().for_each(|key| server.release(key));
        server.now += Duration::from_secs(1);
        server.output();
        assert!(server.connection.error().is_none(), "page {page}: {:?}", server.connection.error());
    }
}

#[test]
fn load_generator_is_served_however_fast_it_is() {
    let mut server = Endpoint::server(&[(4, 1 << 20)]);
    for n in 0..50_000 {
        server.send(&[headers(id(n), END_STREAM, GET)]);
        let key = server.accept();
        server.connection.send_head(key, RESPONSE, false).expect("sent");
        assert_eq!(server.connection.send_data(key, &[1; 1000], true), Ok(1000));
        server.release(key);
        server.output();
        server.send(&[window_update(0, 1000), window_update(id(n), 1000)]);
        assert!(server.connection.error().is_none(), "request {n}: {:?}", server.connection.error());
    }
}

#[test]
fn stream_of_small_messages_with_pings_is_served() {
    // As a gRPC client sends that measures its bandwidth: a PING and two updates for each few messages.
    let mut server = Endpoint::server(&[(4, 1 << 20)]);
    server.send(&[headers(1, 0, POST)]);
    let key = server.accept();
    server.connection.send_head(key, RESPONSE, false).expect("sent");
    for n in 0..50_000_u32 {
        server.send(&[data(1, 0, b"0123456789")]);
        assert_eq!(server.read(key), (b"0123456789".to_vec(), Ok(Data::Part)));
        assert_eq!(server.connection.send_data(key, b"0123456789", false), Ok(10));
        if n % 4 == 0 {
            server.send(&[raw(PING, 0, 0, &[0; 8]), window_update(0, 40), window_update(1, 40)]);
        }
        server.output();
        assert!(server.connection.error().is_none(), "message {n}: {:?}", server.connection.error());
    }
}

#[test]
fn idle_connection_with_keep_alive_pings_is_served() {
    let mut server = Endpoint::server(&[]);
    for _ in 0..10_000 {
        server.now += Duration::from_secs(10);
        server.send(&[raw(PING, 0, 0, &[0; 8])]);
        assert_eq!(server.output().len(), 1);
    }
    assert!(server.connection.error().is_none());
    server.connection.trim(&Plain);
}
