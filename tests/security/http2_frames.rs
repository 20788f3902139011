//! Frames and header blocks of HTTP/2 that break the protocol: the connection ends with the code of RFC 9113, wherever the bytes are cut,
//! and the server sees nothing.

use crate::attack::{ENTRIES, Entry, Target};
use crate::client::{Client, find};
use crate::support::http2::{Http2, WAIT};
use crate::support::http2_fields::{integer, literal, request};
use crate::support::http2_frames::*;
use crate::{DRIVERS, Verdict};

const ANY_SIZE_OR_PROTOCOL: &[u32] = &[PROTOCOL_ERROR, FRAME_SIZE_ERROR];

/// Name, bytes behind preface and SETTINGS, allowed codes of GOAWAY.
fn faults() -> Vec<(&'static str, Vec<u8>, &'static [u32])> {
    let get = |id| headers(id, END_STREAM, &request("GET", "/fault"));
    let open = |id| headers(id, 0, &request("POST", "/fault"));
    vec![
        ("DATA on stream 0", data(0, 0, b"x"), &[PROTOCOL_ERROR]),
        ("HEADERS on stream 0", get(0), &[PROTOCOL_ERROR]),
        ("RST_STREAM on stream 0", reset(0, CANCEL), &[PROTOCOL_ERROR]),
        ("an even stream", get(2), &[PROTOCOL_ERROR]),
        ("DATA on an idle stream", data(1, 0, b"x"), &[PROTOCOL_ERROR]),
        ("RST_STREAM on an idle stream", reset(1, CANCEL), &[PROTOCOL_ERROR]),
        ("WINDOW_UPDATE on an idle stream", window_update(1, 1), &[PROTOCOL_ERROR]),
        ("CONTINUATION without a block", frame(CONTINUATION, END_HEADERS, 1, b""), &[PROTOCOL_ERROR]),
        ("PING within a block", [frame(HEADERS, 0, 1, &request("GET", "/")), ping()].concat(), &[PROTOCOL_ERROR]),
        (
            "another stream within a block",
            [frame(HEADERS, 0, 1, &request("GET", "/")), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("PUSH_PROMISE", [open(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(), &[PROTOCOL_ERROR]),
        ("a frame of 16,385 bytes", frame(PING + 100, 0, 0, &[0; PAYLOAD_MAX + 1]), &[FRAME_SIZE_ERROR]),
        ("the header of a frame of 16 MiB", frame_header(0xff_ffff, DATA, 0, 1), &[FRAME_SIZE_ERROR]),
        ("padding as long as DATA", [open(1), frame(DATA, PADDED, 1, &[3, 0, 0])].concat(), ANY_SIZE_OR_PROTOCOL),
        ("padding as long as HEADERS", frame(HEADERS, PADDED | END_HEADERS, 1, &[200, 0, 0]), ANY_SIZE_OR_PROTOCOL),
        ("a PING of 7 bytes", frame(PING, 0, 0, b"7 bytes"), &[FRAME_SIZE_ERROR]),
        ("a PING on a stream", frame(PING, 0, 1, b"8 octets"), &[PROTOCOL_ERROR]),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5]), &[FRAME_SIZE_ERROR]),
        ("an acknowledgement with a payload", frame(SETTINGS, ACK, 0, &[0; 6]), &[FRAME_SIZE_ERROR]),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), &[PROTOCOL_ERROR]),
        ("ENABLE_PUSH of 2", settings(&[(ENABLE_PUSH, 2)]), &[PROTOCOL_ERROR]),
        ("a window of 2^31", settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]), &[FLOW_CONTROL_ERROR]),
        ("frames of 16,383 bytes", settings(&[(MAX_FRAME_SIZE, 16_383)]), &[PROTOCOL_ERROR]),
        ("frames of 2^24 bytes", settings(&[(MAX_FRAME_SIZE, 1 << 24)]), &[PROTOCOL_ERROR]),
        ("WINDOW_UPDATE of 0", window_update(0, 0), &[PROTOCOL_ERROR]),
        ("a WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, b"123"), &[FRAME_SIZE_ERROR]),
        ("a window above 2^31-1", window_update(0, 0x7fff_ffff), &[FLOW_CONTROL_ERROR]),
        ("a RST_STREAM of 3 bytes", [open(1), frame(RST_STREAM, 0, 1, b"123")].concat(), &[FRAME_SIZE_ERROR]),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("a lower stream", [get(5), get(3)].concat(), &[PROTOCOL_ERROR, STREAM_CLOSED]),
    ]
}

/// Name, and a header block that cannot be decoded (RFC 7541).
fn blocks() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("index 0", vec![0x80]),
        ("an index beyond the table", vec![0x80 | 70]),
        ("an index of 2^32", integer(0x80, 7, 1 << 32)),
        ("an integer without end", [vec![0xff], vec![0x80; 40]].concat()),
        ("an integer that overflows", vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("a name beyond the block", vec![0x00, 0x7e, b'x']),
        ("a value beyond the block", vec![0x00, 0x01, b'x', 0x20, b'y']),
        ("a value of 2^31 bytes", [vec![0x00, 0x01, b'x'], integer(0, 7, 1 << 31)].concat()),
        ("a name with index beyond the table", vec![0x40 | 0x3f, 0x40, 0x00]),
        ("a table above the setting", integer(0x20, 5, 1 << 20)),
        ("an update of the table behind a field", [literal("x", "y"), vec![0x20]].concat()),
        ("EOS in Huffman code", [literal("x", ""), vec![0x00, 0x01, b'y', 0x84, 0xff, 0xff, 0xff, 0xff]].concat()),
        ("zeros as Huffman padding", vec![0x00, 0x01, b'y', 0x81, 0x00]),
        ("Huffman padding of 8 bits", vec![0x00, 0x01, b'y', 0x82, 0x1f, 0xff]),
    ]
}

/// Sends the bytes in pieces that end at each of `cuts`, and checks the code of the end.
fn ends_with(
    target: &Target,
    entry: Entry,
    case: &str,
    bytes: &[u8],
    codes: &[u32],
    cut: usize,
    verdict: &mut Verdict,
) {
    let mut client = target.client(entry);
    for piece in bytes.chunks(cut.max(1)) {
        if !client.send(piece) {
            break;
        }
    }
    client.wait(WAIT, |c| c.goaway.is_some());
    verdict.check(case, client.goaway.is_some_and(|code| codes.contains(&code)), client.state());
    verdict.check(case, client.is_closed_within(WAIT), "the connection stays open");
}

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        target.under(driver, &mut Verdict::default(), || {
            for entry in ENTRIES {
                for (name, bytes, codes) in faults() {
                    let case = format!("{name} ({driver}, {entry:?})");
                    ends_with(&target, entry, &case, &bytes, codes, usize::MAX, &mut verdict);
                }
                for (name, fields) in blocks() {
                    let case = format!("{name} ({driver}, {entry:?})");
                    let bytes = headers(1, END_STREAM, &[request("GET", "/fault"), fields].concat());
                    ends_with(&target, entry, &case, &bytes, &[COMPRESSION_ERROR], usize::MAX, &mut verdict);
                }
            }
        });
        let seen = target.proxy.origin.seen();
        let is_unseen = seen.iter().all(|seen| !seen.is_whole || seen.line().starts_with("GET /fault"));
        verdict.check(driver, is_unseen, format!("the server saw {seen:?}"));
        verdict.end();
    }
}

#[test]
fn the_same_bytes_in_other_pieces_have_the_same_end() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, codes) in faults().into_iter().filter(|(_, bytes, _)| bytes.len() < 200) {
            for cut in [1, 7] {
                let case = format!("{name} ({driver}, pieces of {cut})");
                ends_with(&target, Entry::Plain, &case, &bytes, codes, cut, &mut verdict);
            }
        }
        let request = [PREFACE, &settings(&[]), &headers(1, END_STREAM, &request("GET", "/pieces"))].concat();
        for cut in 1..request.len() {
            let mut client = Http2::connect(target.proxy.port);
            client.send(&request[..cut]);
            std::thread::sleep(std::time::Duration::from_millis(2));
            client.send(&request[cut..]);
            let stream = client.end_of(1);
            verdict.check(
                "pieces",
                stream.status() == 200,
                format!("cut at {cut} ({driver}): {stream:?}, {}", client.state()),
            );
        }
        verdict.end();
    }
}

/// Beginnings that are nearly those of HTTP/2, and requests to change to it (RFC 9113 3.1 has no `Upgrade: h2c` any more).
#[test]
fn other_beginnings_are_not_http2() {
    let cases: [(&str, &[u8], &[u16]); 4] = [
        ("another ending", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n", &[0, 400, 505]),
        ("fields in the preface", b"PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n", &[0, 400, 505]),
        ("GET with the version of HTTP/2", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[400, 505]),
        ("PRI with the version of HTTP/1.1", b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 501]),
    ];
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, allowed) in cases {
            let case = format!("{name} ({driver})");
            let mut client = Client::to(target.proxy.port);
            client.send(bytes);
            let (received, is_closed) = client.rest(WAIT);
            let status =
                find(&received, b"HTTP/1.1 ").and_then(|at| std::str::from_utf8(&received[at + 9..at + 12]).ok());
            let status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
            verdict.check(&case, allowed.contains(&status), format!("{}", received.escape_ascii()));
            verdict.check(&case, is_closed, "the connection stays open");
        }
        verdict.check(driver, target.proxy.origin.seen().is_empty(), format!("{:?}", target.proxy.origin.seen()));
        let mut client = Client::to(target.proxy.port);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
        let answer = client.answer();
        verdict.check("Upgrade: h2c", answer.status == 200 && answer.body == b"ok", format!("({driver}): {answer:?}"));
        let seen = target.proxy.origin.seen();
        let is_plain =
            seen.len() == 1 && ["upgrade", "http2-settings"].iter().all(|name| seen[0].fields(name).is_empty());
        verdict.check("Upgrade: h2c", is_plain, format!("({driver}): {seen:?}"));
        verdict.end();
    }
}
