//! Rows 1 to 21, 48 and 63: what is refused. The answer is in the row's list, the connection ends, nothing behind it is executed, and
//! the origin sees nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use ringway::limits;

use crate::client::find;
use crate::proxy::Proxy;
use crate::{DRIVERS, Verdict};

/// What a smuggler would have executed.
const BEHIND: &str = "GET /behind HTTP/1.1\r\nHost: a.test\r\n\r\n";
const BAD: &[u16] = &[400];

/// Number and name, the request, the answers allowed.
type Row = (&'static str, &'static [u8], &'static [u16]);

const HEADS: [Row; 58] = [
    (
        "01 CL + TE",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    (
        "01 TE + CL",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
        BAD,
    ),
    ("02 TE in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    ("03 chunked not last", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", BAD),
    ("03 unknown coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", BAD),
    (
        "03 unknown before chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    ("03 twice chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", BAD),
    (
        "03 two fields",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    ("03 identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n", BAD),
    ("03 vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", BAD),
    ("04 different CL", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", BAD),
    ("04 CL list", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nxy", BAD),
    ("05 equal CL repeated", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", BAD),
    ("05 equal CL list", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", BAD),
    ("06 CL +5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde", BAD),
    ("06 CL 0x5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nabcde", BAD),
    ("06 CL 5 5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nabcde", BAD),
    ("06 CL -1", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", BAD),
    ("06 CL 5_0", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5_0\r\n\r\nabcde", BAD),
    ("06 CL empty", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", BAD),
    ("06 CL 2^63", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", BAD),
    ("06 CL 2^64 + 5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nabcde", BAD),
    ("07 space before colon", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", BAD),
    ("07 tab before colon", b"GET / HTTP/1.1\r\nHost: a\r\nX-A\t: 3\r\n\r\n", BAD),
    ("08 obs-fold", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", BAD),
    ("08 fold hides TE", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", BAD),
    ("09 bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n", BAD),
    ("09 bare CR before a name", b"GET / HTTP/1.1\r\nHost: a\r\n\rX-A: b\r\n\r\n", BAD),
    ("10 bare LF", b"GET / HTTP/1.1\nHost: a\n\n", BAD),
    ("10 one bare LF", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\nX-B: c\r\n\r\n", BAD),
    ("11 NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n", BAD),
    ("11 NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX-\0A: b\r\n\r\n", BAD),
    ("12 empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", BAD),
    ("12 no token", b"GET / HTTP/1.1\r\nHost: a\r\nX(A): b\r\n\r\n", BAD),
    ("12 no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", BAD),
    ("13 space before the first field", b"GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n", BAD),
    ("14 no Host", b"GET / HTTP/1.1\r\n\r\n", BAD),
    ("14 two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    ("14 equal Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
    ("14 invalid Host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD),
    ("14 Host with userinfo", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD),
    ("14 Host with a comma", b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", BAD),
    ("14 empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", BAD),
    ("16 HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[400, 505]),
    ("16 preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 505]),
    ("16 lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", &[400, 505]),
    ("16 junk", b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n", &[400, 505]),
    ("16 none", b"GET /\r\nHost: a\r\n\r\n", &[400, 505]),
    ("17 space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("17 NUL in the target", b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("17 control in the target", b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("17 no leading slash", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("17 GET *", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("18 # in the target", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("17 malformed escape", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("63 CONNECT", b"CONNECT 10.0.0.1:22 HTTP/1.1\r\nHost: 10.0.0.1:22\r\n\r\n", &[400, 405, 501]),
    ("63 absolute with another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("53 unknown expectation", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\nx", &[417]),
];

#[test]
fn malformed_request_heads_are_refused() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, allowed) in HEADS {
            let row = format!("{name} ({driver})");
            let mut client = proxy.client();
            client.send([bytes, BEHIND.as_bytes()].concat());
            let answer = client.answer();
            let (rest, ended) = client.rest(Duration::from_secs(5));
            verdict.check(&row, allowed.contains(&answer.status), format!("answered {answer:?}"));
            verdict.check(&row, answer.field("date").is_some(), format!("no Date: {answer:?}"));
            verdict.check(&row, ended, "the connection stays open");
            verdict.check(&row, rest.is_empty(), format!("something follows: {:?}", rest.escape_ascii().to_string()));
            verdict.check(&row, proxy.origin.bytes() == 0, format!("the origin saw {:?}", proxy.origin.seen()));
            proxy.origin.plays(crate::origin::Script::default());
        }
        verdict.end();
    }
}

/// Chunked bodies that are none. The head may have reached the origin by then, but never a whole request.
const CHUNKS: [(&str, &[u8]); 19] = [
    ("19 sign", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("19 minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("19 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("19 underscore", b"1_0\r\nhello\r\n0\r\n\r\n"),
    ("19 empty", b"\r\nhello\r\n0\r\n\r\n"),
    ("19 only an extension", b";x\r\nhello\r\n0\r\n\r\n"),
    ("19 not hexadecimal", b"5g\r\nhello\r\n0\r\n\r\n"),
    ("19 above 64 bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("19 twenty zeros", b"00000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("19 space before", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("19 space behind", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("20 data longer than the size", b"4\r\nhello\r\n0\r\n\r\n"),
    ("20 data ended by LF", b"5\r\nhello\n0\r\n\r\n"),
    ("20 data ended by two other bytes", b"5\r\nhelloXX0\r\n\r\n"),
    ("21 size ended by LF", b"5\nhello\r\n0\r\n\r\n"),
    ("21 LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("21 CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("24 malformed trailer", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n"),
    ("24 LF in the trailers", b"5\r\nhello\r\n0\r\nX: y\n\r\n"),
];

#[test]
fn malformed_chunks_never_make_a_whole_request() {
    let head = b"POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        for (name, body) in CHUNKS {
            for pause in [None, Some(Duration::from_millis(30))] {
                let row = format!("{name} ({driver}, {pause:?})");
                let mut client = proxy.client();
                client.send(head);
                // With a pause the head is on its way already when the bad chunk comes.
                pause.into_iter().for_each(std::thread::sleep);
                client.send([body, BEHIND.as_bytes()].concat());
                let answer = client.answer();
                let (rest, ended) = client.rest(Duration::from_secs(5));
                verdict.check(&row, [0, 400].contains(&answer.status), format!("answered {answer:?}"));
                verdict.check(
                    &row,
                    ended && rest.is_empty(),
                    format!("goes on with {:?}", rest.escape_ascii().to_string()),
                );
                let seen = proxy.origin.seen();
                verdict.check(
                    &row,
                    seen.iter().all(|s| !s.is_whole && !s.head.contains("behind")),
                    format!("{seen:?}"),
                );
                proxy.origin.plays(crate::origin::Script::default());
            }
        }
        verdict.end();
    }
}

#[test]
fn oversized_heads_are_refused_at_little_cost() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        let (memory, cpu) = (proxy.process.resident_kib(), proxy.process.cpu());
        let rows: [(&str, Vec<u8>, u16); 4] = [
            ("48 100,000 fields", fields(100_000), 431),
            ("48 a field of 2 MiB", [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &vec![b'x'; 2 << 20][..]].concat(), 431),
            ("48 a URI of 4 MiB", [b"GET /", &vec![b'u'; 4 << 20][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat(), 414),
            ("48 a method without end", vec![b'M'; 1 << 20], 400),
        ];
        for (name, bytes, status) in rows {
            let row = format!("{name} ({driver})");
            let mut client = proxy.client();
            let start = Instant::now();
            client.send(&bytes);
            let answer = client.answer();
            // What is still being sent meets a closed connection. Linux lets the client read what came before the reset.
            verdict.check(&row, answer.status == status, format!("answered {answer:?}"));
            verdict.check(&row, client.rest(Duration::from_secs(5)).1, "the connection stays open");
            verdict.check(&row, start.elapsed() < Duration::from_secs(5), format!("took {:?}", start.elapsed()));
        }
        verdict.check("48", proxy.origin.bytes() == 0, "the origin saw something");
        verdict.check(
            "48",
            proxy.process.cpu() - cpu < Duration::from_secs(2),
            format!("CPU {:?}", proxy.process.cpu() - cpu),
        );
        let grown = proxy.process.resident_kib().saturating_sub(memory);
        verdict.check("48", grown < 16 * 1024, format!("memory grew by {grown} KiB"));
        verdict.end();
    }
}

/// A head just within a limit is served, and one beyond it answered, to a client that sends all of it before it reads.
#[test]
fn heads_at_the_limit_are_served_and_above_refused() {
    const HEAD_MAX: usize = limits::REQUEST_HEAD_BYTES_MAX;
    let rows: [(&str, Vec<u8>, u16); 7] = [
        ("48 all bytes", of_bytes(HEAD_MAX), 200),
        ("48 one byte more", of_bytes(HEAD_MAX + 1), 431),
        // What was not read when the answer went is read before the end: on many systems a reset takes along what was not yet read.
        ("48 many bytes more", of_bytes(HEAD_MAX + 128 * 1024), 431),
        ("48 all fields", fields(limits::HEAD_FIELDS_MAX - 1), 200),
        ("48 one field more", fields(limits::HEAD_FIELDS_MAX), 431),
        ("48 the longest target", of_target(limits::TARGET_BYTES_MAX), 200),
        ("48 a target one byte longer", of_target(limits::TARGET_BYTES_MAX + 1), 414),
    ];
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, status) in &rows {
            let row = format!("{name} ({driver})");
            let mut client = proxy.client();
            verdict.check(&row, client.stream.write_all(bytes).is_ok(), "not all of it could be sent");
            let answer = client.answer();
            verdict.check(&row, answer.status == *status && answer.is_whole, format!("answered {answer:?}"));
            let is_refused = *status != 200;
            verdict.check(&row, answer.says_close() == is_refused, format!("answered {answer:?}"));
            if is_refused {
                verdict.check(&row, client.rest(Duration::from_secs(5)).1, "the connection stays open");
                std::thread::sleep(Duration::from_millis(50));
                let error = client.stream.take_error().expect("a socket");
                verdict.check(&row, error.is_none(), format!("the end is a reset: {error:?}"));
            }
        }
        let seen = proxy.origin.seen().len();
        verdict.check("48", seen == 3, format!("the origin saw {seen} requests"));
        verdict.end();
    }
}

fn of_bytes(count: usize) -> Vec<u8> {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    bytes.resize(count - 4, b'x');
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

fn of_target(count: usize) -> Vec<u8> {
    format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "u".repeat(count - 1)).into_bytes()
}

/// Host and so many more.
fn fields(count: usize) -> Vec<u8> {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    (0..count).for_each(|n| bytes.extend_from_slice(format!("X-{n}: y\r\n").as_bytes()));
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Every cut of one smuggling attempt, byte by byte: how the bytes arrive changes nothing.
#[test]
fn te_cl_conflict_is_refused_at_every_split() {
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for cut in (1..request.len() - 6).step_by(3) {
            let mut client = proxy.client();
            client.send(&request[..cut]);
            std::thread::sleep(Duration::from_millis(2));
            client.send(&request[cut..]);
            let answer = client.answer();
            assert_eq!(answer.status, 400, "cut at {cut} ({driver}): {answer:?}");
            assert!(find(answer.head.as_bytes(), b"Connection: close").is_some());
        }
        assert_eq!(proxy.origin.bytes(), 0);
    }
}
