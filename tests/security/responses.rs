//! Responses of an origin: what the client gets of malformed and unusual ones, and whether the origin's connection is reused.

use std::time::Duration;

use crate::client::Answer;
use crate::origin::{Script, Then};
use crate::proxy::Proxy;
use crate::{DRIVERS, Verdict};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const LONG_BYTES: usize = 200_000;
const SECRET: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Stale: 1\r\n\r\nsecret";

/// Name, request, the origin's bytes, and the condition for the client's response. None of these connections may be reused.
type Case = (&'static str, &'static str, &'static [u8], fn(&Answer) -> bool);

const UNFIT: [Case; 35] = [
    ("malformed: no HTTP", GET, b"SSH-2.0-OpenSSH\r\n\r\n", is_502),
    ("malformed: status of two digits", GET, b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", is_502),
    ("malformed: status 099", GET, b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", is_502),
    ("version 2", GET, b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", |a| a.head.starts_with("HTTP/1.1 200")),
    ("malformed: HTTP/0.9", GET, b"<html>\r\n\r\n</html>", is_502),
    ("malformed: bare CR", GET, b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", is_502),
    ("malformed: NUL in a value", GET, b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", is_502),
    ("malformed: space before colon", GET, b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", is_502),
    ("malformed: length on two lines", GET, b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 0\r\n\r\n", is_502),
    ("malformed: head cut short", GET, b"HTTP/1.1 200 OK\r\nContent-Le", is_502),
    ("malformed: nothing", GET, b"", is_502),
    ("two lengths", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", is_502),
    ("length +2", GET, b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", is_502),
    ("length of 2^64", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok", is_502),
    ("unknown coding", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", is_502),
    ("coding in HTTP/1.0", GET, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", is_502),
    ("length and chunks", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", |a| {
        a.status == 200 && a.field("content-length").is_none() && a.body == b"ok" && a.is_whole
    }),
    ("length cut short", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", |a| a.status == 200 && !a.is_whole && a.body == b"short"),
    ("chunks cut short", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", |a| a.status == 200 && !a.is_whole),
    ("invalid chunk size", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n+3\r\nbad\r\n0\r\n\r\n", |a| a.status == 200 && !a.is_whole),
    ("chunk longer than its size", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", |a| a.status == 200 && !a.is_whole),
    ("chunk size ended by LF", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", |a| !a.is_whole),
    ("body behind 204", GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", |a| a.status == 204 && a.field("content-length").is_none()),
    ("body behind 304", GET, b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\nevil", |a| a.status == 304),
    ("body behind HEAD", "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", |a| {
        a.status == 200 && a.field("content-length") == Some("4")
    }),
    ("a second answer at once", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", |a| a.body == b"ok"),
    ("unsolicited 101", GET, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Stale: 1\r\n\r\nsecret", is_502),
    ("too many interim answers", GET, b"", is_502),
    ("HTTP/1.0 origin", GET, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", |a| a.head.starts_with("HTTP/1.1 200") && a.body == b"ok"),
    ("until the end", GET, b"HTTP/1.0 200 OK\r\n\r\nok", |a| a.head.starts_with("HTTP/1.1 200") && a.body == b"ok" && a.is_whole),
    ("endless head", GET, b"", is_502),
    ("a thousand fields too many", GET, b"", is_502),
    ("hop-by-hop of the answer", GET, b"HTTP/1.1 200 OK\r\nConnection: close, X-One\r\nX-One: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: p\r\nContent-Length: 2\r\n\r\nok", |a| {
        ["x-one", "keep-alive", "proxy-authenticate"].iter().all(|n| a.field(n).is_none()) && a.body == b"ok"
    }),
    ("early response to an incomplete body", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\npart", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", |a| {
        a.status == 403 && a.body == b"no" && a.has_connection_close()
    }),
    ("early final response to Expect", "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n", b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno", |a| {
        a.status == 417 || a.status == 100
    }),
];

fn is_502(answer: &Answer) -> bool {
    answer.status == 502 && answer.is_whole && !answer.head.contains("X-Stale")
}

#[test]
fn unusual_responses_leave_no_pooled_connection() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        for (name, request, bytes, holds) in UNFIT {
            let case = format!("{name} ({driver})");
            let then = if name.starts_with("malformed") || name.contains("cut short") || name.contains("until") {
                Then::Close
            } else {
                Then::Keep
            };
            let is_early = name.starts_with("early");
            let mut script = Script::answer(bytes_of(name, bytes)).then(then);
            script.reads_body = !is_early;
            proxy.origin.set_script(script);
            let mut client = proxy.client();
            client.send(request);
            let mut answer = client.answer_to(request.starts_with("HEAD"));
            if matches!(answer.status, 100 | 103) {
                answer = client.final_answer();
            }
            verdict.check(&case, holds(&answer), format!("answered {answer:?}"));
            let used = proxy.origin.seen().first().map_or(0, |s| s.connection);
            // The next request, on the client's connection if that is still open, else on a new one, is not affected.
            for step in ["next", "after"] {
                proxy.origin.set_script(Script::default());
                if client.is_closed_within(Duration::from_millis(20)) {
                    client = proxy.client();
                }
                client.received.clear();
                client.send(GET);
                let answer = client.answer();
                verdict.check(&case, answer.status == 200 && answer.body == b"ok", format!("{step}: {answer:?}"));
                verdict.check(&case, answer.field("x-stale").is_none(), format!("{step}: {answer:?}"));
                let seen = proxy.origin.seen();
                verdict.check(
                    &case,
                    seen.iter().all(|s| !s.is_whole || s.connection != used),
                    format!("{step}: reused, {seen:?}"),
                );
            }
        }
        verdict.end();
    }
}

fn bytes_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    match name {
        "too many interim answers" => {
            ["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(40), SECRET.into()].concat().into_bytes()
        }
        "endless head" => [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 4 << 20]].concat(),
        "a thousand fields too many" => {
            let fields: String = (0..3000).map(|n| format!("X-{n}: y\r\n")).collect();
            format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes()
        }
        _ => bytes.to_vec(),
    }
}

#[test]
fn clean_responses_keep_the_connection_pooled() {
    let cases: [(&str, &str, &str); 5] = [
        (
            "interim answers first",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00A;x=y\r\n0123456789\r\n0\r\nX-T: 1\r\nSet-Cookie: evil\r\n\r\n",
            "0123456789",
        ),
        (
            "Connection names framing",
            "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "repeated fields",
            "HTTP/1.1 200 OK\r\nSet-Cookie: b=1\r\nX-A: 1\r\nSet-Cookie: a=2\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        ("obs-text", "HTTP/1.1 200 Gr\u{fc}n\r\nContent-Length: 2\r\n\r\nok", "ok"),
    ];
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, body) in cases {
            let case = format!("{name} ({driver})");
            proxy.origin.set_script(Script::answer(bytes));
            let mut client = proxy.client();
            for _ in 0..2 {
                client.send(GET);
                let answer = client.final_answer();
                verdict.check(&case, answer.status == 200 && answer.body == body.as_bytes(), format!("{answer:?}"));
                if name.starts_with("repeated") {
                    verdict.check(
                        &case,
                        answer.head.contains("Set-Cookie: b=1\r\nX-A: 1\r\nSet-Cookie: a=2\r\n"),
                        answer.head,
                    );
                }
            }
            let seen = proxy.origin.seen();
            verdict.check(&case, seen.len() == 2 && seen[0].connection == seen[1].connection, format!("{seen:?}"));
        }
        verdict.end();
    }
}

#[test]
fn unsolicited_response_on_idle_connection_is_dropped() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        // The origin keeps the connection open; the unsolicited response arrives after the first one.
        proxy.origin.set_script(Script::default());
        assert_eq!(proxy.get("/warm").status, 200);
        let origin = proxy.origin.clone();
        origin.set_script(Script::answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").then(Then::Keep));
        let mut client = proxy.client();
        client.send(GET);
        assert_eq!(client.answer().body, b"ok");
        origin.send_unsolicited(SECRET);
        std::thread::sleep(Duration::from_millis(50));
        for _ in 0..3 {
            client.send(GET);
            let answer = client.answer();
            assert!(
                answer.body == b"ok" && answer.field("x-stale").is_none(),
                "unsolicited response ({driver}): {answer:?}"
            );
        }
    }
}

/// Sends two pipelined requests. The proxy reads a long response by its length, so that bytes behind it stay in the socket while the
/// second request is already there.
fn pipeline_behind_long_response(proxy: &Proxy, second: &str) -> [Answer; 2] {
    let mut client = proxy.client();
    client.send([GET, second].concat());
    [client.answer(), client.answer()]
}

#[test]
fn bytes_after_long_response_reach_no_client() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG_BYTES}\r\n\r\n{}", "x".repeat(LONG_BYTES));
        proxy.origin.set_script(Script::answer([&*long, SECRET].concat()));
        for round in 0..5 {
            for answer in pipeline_behind_long_response(&proxy, GET) {
                let (bytes, stale) = (answer.body.len(), answer.field("x-stale"));
                assert_eq!(
                    (answer.status, bytes, stale),
                    (200, LONG_BYTES, None),
                    "unsolicited response ({driver}), round {round}"
                );
            }
        }
        // The origin closes without `Connection: close`: a request that must not be sent twice uses a new connection.
        proxy.origin.set_script(Script::answer(long).then(Then::Close));
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
        for round in 0..5 {
            let statuses = pipeline_behind_long_response(&proxy, post).map(|answer| answer.status);
            assert_eq!(statuses, [200, 200], "unsolicited response ({driver}), round {round}");
        }
    }
}

#[test]
fn http10_client_gets_no_chunks_and_a_close() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy
            .origin
            .set_script(Script::answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        let answer = client.answer();
        assert!(
            answer.field("transfer-encoding").is_none() && answer.body == b"ok",
            "HTTP/1.0 client ({driver}): {answer:?}"
        );
        assert!(client.is_closed_within(Duration::from_secs(2)), "HTTP/1.0 client ({driver})");
    }
}

#[test]
fn stale_pooled_connection_costs_no_request() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for (method, allowed) in [("GET", &[200][..]), ("POST", &[200, 502][..])] {
            for _ in 0..10 {
                proxy.origin.set_script(Script::default().then(Then::Close));
                let mut client = proxy.client();
                client.send(format!("{method} /one HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
                // The pooled connection of the previous round may be about to close as well.
                let answer = client.answer();
                assert!(allowed.contains(&answer.status), "stale connection {method} ({driver}): {answer:?}");
                if answer.status != 200 {
                    continue;
                }
                client.send(format!("{method} /two HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
                let answer = client.answer();
                assert!(allowed.contains(&answer.status), "stale connection {method} ({driver}): {answer:?}");
                let twos = proxy.origin.seen().iter().filter(|s| s.head.contains("/two")).count();
                assert!(twos <= 1, "stale connection {method} ({driver}): delivered {twos} times");
            }
        }
    }
}

/// A failed exchange leaves no bytes in reused buffers, neither for this connection nor for another one.
#[test]
fn failed_exchange_leaves_no_bytes_for_the_next() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for bytes in [
            format!("HTTP/1.1 101 Switching Protocols\r\n\r\n{SECRET}"),
            format!("{}{SECRET}", "HTTP/1.1 102 Processing\r\n\r\n".repeat(17)),
        ] {
            proxy.origin.set_script(Script::answer(&bytes));
            let mut first = proxy.client();
            first.send(GET);
            assert_eq!(first.final_answer().status, 502);
            proxy.origin.set_script(Script::default());
            let mut second = proxy.client();
            for client in [&mut first, &mut second] {
                client.send(GET);
                let answer = client.answer();
                assert!(answer.field("x-stale").is_none() && answer.body == b"ok", "({driver}): {answer:?}");
            }
        }
    }
}
