//! Frames and header blocks that break HTTP/2: the connection ends with the code of RFC 9113, wherever the bytes are cut, and the server
//! sees nothing of them.

use std::thread;
use std::time::Duration;

use crate::client::{Client, find};
use crate::http2::{Outcome, proxy, withstand};
use crate::proxy::Proxy;
use crate::session;
use crate::support::http2_client::{
    ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY,
    HEADERS, Http2Client, PADDED, PING, PREFACE, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED,
    WHOLE, WINDOW_UPDATE, Wire, connect, frame, literal, request, reset, settings, window_update,
};
use crate::{DRIVERS, Verdict};

const ENABLE_PUSH: u16 = 2;
const WINDOW_SIZE: u16 = 4;
const FRAME_SIZE: u16 = 5;
const SIZE_OR_PROTOCOL: &[u32] = &[PROTOCOL_ERROR, FRAME_SIZE_ERROR];
const WAIT: Duration = Duration::from_secs(5);

/// Name, bytes behind preface and SETTINGS, allowed codes of GOAWAY.
type Fault = (&'static str, Vec<u8>, &'static [u32]);

fn get(id: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, id, request("GET", "/fault"))
}

fn post(id: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, id, request("POST", "/fault"))
}

fn of_streams() -> Vec<Fault> {
    let begun = frame(HEADERS, 0, 1, request("GET", "/fault"));
    vec![
        ("DATA on stream 0", frame(DATA, 0, 0, b"x"), &[PROTOCOL_ERROR]),
        ("HEADERS on stream 0", get(0), &[PROTOCOL_ERROR]),
        ("RST_STREAM on stream 0", reset(0, CANCEL), &[PROTOCOL_ERROR]),
        ("an even stream", get(2), &[PROTOCOL_ERROR]),
        ("a lower stream", [get(5), get(3)].concat(), &[PROTOCOL_ERROR, STREAM_CLOSED]),
        ("DATA on an idle stream", frame(DATA, 0, 1, b"x"), &[PROTOCOL_ERROR]),
        ("RST_STREAM on an idle stream", reset(1, CANCEL), &[PROTOCOL_ERROR]),
        ("WINDOW_UPDATE on an idle stream", window_update(1, 1), &[PROTOCOL_ERROR]),
        ("CONTINUATION without a block", frame(CONTINUATION, END_HEADERS, 1, b""), &[PROTOCOL_ERROR]),
        ("PING within a block", [begun.clone(), frame(PING, 0, 0, [0; 8])].concat(), &[PROTOCOL_ERROR]),
        (
            "another stream within a block",
            [begun.clone(), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("HEADERS within a block", [begun, get(3)].concat(), &[PROTOCOL_ERROR]),
        ("PUSH_PROMISE", [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2])].concat(), &[PROTOCOL_ERROR]),
        ("padding as long as DATA", [post(1), frame(DATA, PADDED, 1, [3, 0, 0])].concat(), SIZE_OR_PROTOCOL),
        ("padding longer than HEADERS", frame(HEADERS, PADDED | END_HEADERS, 1, [200, 0, 0]), SIZE_OR_PROTOCOL),
        ("a RST_STREAM of 3 bytes", [post(1), frame(RST_STREAM, 0, 1, b"123")].concat(), &[FRAME_SIZE_ERROR]),
    ]
}

fn of_connection() -> Vec<Fault> {
    vec![
        ("a frame of 16,385 bytes", frame(0x42, 0, 0, [0; 16_385]), &[FRAME_SIZE_ERROR]),
        ("the header of a frame of 16 MiB", vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1], &[FRAME_SIZE_ERROR]),
        ("a PING of 7 bytes", frame(PING, 0, 0, [0; 7]), &[FRAME_SIZE_ERROR]),
        ("a PING on a stream", frame(PING, 0, 1, [0; 8]), &[PROTOCOL_ERROR]),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, [0; 5]), &[FRAME_SIZE_ERROR]),
        ("an acknowledgement with a payload", frame(SETTINGS, ACK, 0, [0; 6]), &[FRAME_SIZE_ERROR]),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b""), &[PROTOCOL_ERROR]),
        ("ENABLE_PUSH of 2", settings(&[(ENABLE_PUSH, 2)]), &[PROTOCOL_ERROR]),
        ("a window of 2^31", settings(&[(WINDOW_SIZE, 1 << 31)]), &[FLOW_CONTROL_ERROR]),
        ("frames of 16,383 bytes", settings(&[(FRAME_SIZE, 16_383)]), &[PROTOCOL_ERROR]),
        ("frames of 2^24 bytes", settings(&[(FRAME_SIZE, 1 << 24)]), &[PROTOCOL_ERROR]),
        ("a WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, b"123"), &[FRAME_SIZE_ERROR]),
        ("a window above 2^31-1", window_update(0, 0x7fff_ffff), &[FLOW_CONTROL_ERROR]),
        ("a GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), &[PROTOCOL_ERROR]),
    ]
}

/// Header blocks that cannot be decoded (RFC 7541), behind the pseudo fields of a request.
fn of_compression() -> Vec<Fault> {
    let blocks: [(&str, Vec<u8>); 14] = [
        ("index 0", vec![0x80]),
        ("an index beyond the table", vec![0x80 | 70]),
        ("an index of 2^32", vec![0xff, 0x81, 0xff, 0xff, 0xff, 0x0f]),
        ("an integer without end", [vec![0xff], vec![0x80; 40]].concat()),
        ("an integer above 64 bits", [vec![0xff], vec![0xff; 12], vec![0x7f]].concat()),
        ("a name beyond the block", vec![0x00, 0x7e, b'x']),
        ("a value beyond the block", vec![0x00, 0x01, b'x', 0x20, b'y']),
        ("a value of 2^31 bytes", vec![0x00, 0x01, b'x', 0x7f, 0x81, 0xff, 0xff, 0xff, 0x07]),
        ("a name beyond the table", vec![0x7f, 0x40, 0x00]),
        ("a table above the setting", vec![0x3f, 0xe1, 0xff, 0x3f]),
        ("an update of the table behind a field", [literal(0, b"x", b"y"), vec![0x20]].concat()),
        ("EOS in Huffman code", vec![0x00, 0x01, b'y', 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("zeros as Huffman padding", vec![0x00, 0x01, b'y', 0x81, 0x00]),
        ("Huffman padding of 8 bits", vec![0x00, 0x01, b'y', 0x82, 0x1f, 0xff]),
    ];
    let whole = |block: Vec<u8>| frame(HEADERS, WHOLE, 1, [request("GET", "/fault"), block].concat());
    blocks.into_iter().map(|(name, block)| (name, whole(block), &[COMPRESSION_ERROR][..])).collect()
}

/// Sends the bytes in pieces of this size; returns what is wrong with the end of the connection.
fn wrong_end(mut client: Http2Client, bytes: &[u8], codes: &[u32], size: usize) -> Option<String> {
    // With its own SETTINGS on the way, the proxy has begun to speak HTTP/2.
    client.next_frame(WAIT);
    for piece in bytes.chunks(size) {
        client.send(piece);
    }
    let rest = client.rest(WAIT);
    let is_ended = rest.is_closed && rest.goaway.is_some_and(|code| codes.contains(&code));
    (!is_ended).then(|| format!("{rest:?}"))
}

#[test]
fn faults_of_frames_and_blocks_end_the_connection() {
    let faults = || of_streams().into_iter().chain(of_connection()).chain(of_compression());
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        withstand(&mut verdict, &format!("faults ({driver})"), &proxy, || {
            let mut outcome = Outcome { clients: Vec::new(), wrong: Vec::new() };
            for (name, bytes, codes) in faults() {
                let plain = wrong_end(Http2Client::to(proxy.port, &[]), &bytes, codes, usize::MAX);
                let tls = wrong_end(session::http2(proxy.tls_port, &[]), &bytes, codes, usize::MAX);
                outcome = outcome.check(plain.is_none(), format!("{name}: {plain:?}"));
                outcome = outcome.check(tls.is_none(), format!("{name} (TLS): {tls:?}"));
            }
            outcome
        });
        check_unseen(&mut verdict, &proxy, driver);
        verdict.end();
    }
}

/// A request before the fault may have reached the server; what is broken has not.
fn check_unseen(verdict: &mut Verdict, proxy: &Proxy, driver: &str) {
    let seen = proxy.origin.seen();
    let is_known = |line: &str| line.contains("/neighbour") || line.contains("/fault") || line.contains("/metrics");
    verdict.check(driver, seen.iter().all(|seen| is_known(seen.line())), format!("{seen:?}"));
    let posts = seen.iter().filter(|seen| seen.is_whole && seen.line().starts_with("POST")).count();
    verdict.check(driver, posts == 0, format!("{posts} bodies that were cut counted as whole"));
}

#[test]
fn cut_of_the_bytes_does_not_change_the_end() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, codes) in of_streams().into_iter().chain(of_connection()).filter(|fault| fault.1.len() < 200)
        {
            for size in [1, 7] {
                let wrong = wrong_end(Http2Client::to(proxy.port, &[]), &bytes, codes, size);
                verdict.check(name, wrong.is_none(), format!("in pieces of {size} ({driver}): {wrong:?}"));
            }
        }
        let whole = [PREFACE, &settings(&[]), &get(1)].concat();
        for cut in 1..whole.len() {
            let mut client = Http2Client::silent(Wire::Plain(connect(proxy.port)));
            client.send(&whole[..cut]);
            thread::sleep(Duration::from_millis(2));
            client.send(&whole[cut..]);
            let answer = client.answer(1);
            verdict.check("a request", answer.status == 200, format!("cut at {cut} ({driver}): {answer:?}"));
        }
        verdict.end();
    }
}

/// Beginnings that are nearly those of HTTP/2.
#[test]
fn other_beginnings_are_not_http2() {
    let cases: [(&str, &[u8], &[u16]); 4] = [
        ("another end", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n", &[0, 400, 505]),
        ("fields in the preface", b"PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n", &[0, 400, 505]),
        ("GET with the version", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[400, 505]),
        ("PRI with another version", b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 501]),
    ];
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, allowed) in cases {
            let mut client = Client::to(proxy.port);
            client.send(bytes);
            let (received, is_closed) = client.rest(WAIT);
            let at = find(&received, b"HTTP/1.1 ").map_or(0, |at| at + 9);
            let status =
                received.get(at..at + 3).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0);
            let case = format!("{name} ({driver})");
            verdict.check(&case, allowed.contains(&status), received.escape_ascii().to_string());
            verdict.check(&case, is_closed, "the connection stays open");
        }
        let seen = proxy.origin.seen();
        verdict.check(driver, seen.is_empty(), format!("the server got {seen:?}"));
        verdict.end();
    }
}

/// RFC 9113 3.1: the change by `Upgrade: h2c` is obsolete. The request is an ordinary one, and the server gets no part of the offer.
#[test]
fn upgrade_to_h2c_stays_unanswered() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut client = proxy.client();
        client.send(
            "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABk\r\n\r\n",
        );
        let answer = client.answer();
        assert!(answer.status == 200 && answer.body == b"ok", "({driver}): {answer:?}");
        let seen = proxy.origin.seen().remove(0);
        for name in ["upgrade", "http2-settings"] {
            assert!(seen.fields(name).is_empty(), "{name} ({driver}): {}", seen.head);
        }
    }
}
