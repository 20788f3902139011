//! Requests over HTTP/2 that would be two requests, or another one, once they are written as HTTP/1.1 (RFC 9113 8.2 and 10.3): none reaches
//! the server.

use crate::http2::proxy;
use crate::origin::Script;
use crate::proxy::Proxy;
use crate::support::http2_client::{
    Answer, DATA, END_HEADERS, END_STREAM, HEADERS, Http2Client, PROTOCOL_ERROR, WHOLE, block, frame, request,
};
use crate::{DRIVERS, Verdict};

const METHOD: (&[u8], &[u8]) = (b":method", b"GET");
const SCHEME: (&[u8], &[u8]) = (b":scheme", b"http");
const AUTHORITY: (&[u8], &[u8]) = (b":authority", b"a.test");
const PATH: (&[u8], &[u8]) = (b":path", b"/x");

type Fields = Vec<(&'static [u8], &'static [u8])>;

/// A good request with more fields behind it.
fn with(fields: &[(&'static [u8], &'static [u8])]) -> Fields {
    [&[METHOD, SCHEME, AUTHORITY, PATH], fields].concat()
}

fn field_cases() -> Vec<(&'static str, Fields)> {
    vec![
        ("CRLF in a value", with(&[(b"x", b"a\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n")])),
        ("LF in a value", with(&[(b"x", b"a\nsmuggled: b")])),
        ("CR in a value", with(&[(b"x", b"a\rsmuggled: b")])),
        ("NUL in a value", with(&[(b"x", b"a\0b")])),
        ("space before a value", with(&[(b"x", b" a")])),
        ("tab behind a value", with(&[(b"x", b"a\t")])),
        ("upper case in a name", with(&[(b"X-Up", b"a")])),
        ("colon in a name", with(&[(b"x:y", b"a")])),
        ("space in a name", with(&[(b"x y", b"a")])),
        ("CRLF in a name", with(&[(b"x: a\r\nsmuggled", b"b")])),
        ("LF in a name", with(&[(b"x\nsmuggled", b"b")])),
        ("byte 0x80 in a name", with(&[(b"x\x80", b"a")])),
        ("empty name", with(&[(b"", b"a")])),
        ("connection", with(&[(b"connection", b"close")])),
        ("keep-alive", with(&[(b"keep-alive", b"timeout=5")])),
        ("proxy-connection", with(&[(b"proxy-connection", b"close")])),
        ("upgrade", with(&[(b"upgrade", b"websocket")])),
        ("transfer-encoding", with(&[(b"transfer-encoding", b"chunked")])),
        ("te of another value", with(&[(b"te", b"gzip")])),
        ("second host", with(&[(b"host", b"b.test")])),
        ("host with CRLF", vec![METHOD, SCHEME, PATH, (b"host", b"a.test\r\nsmuggled: b")]),
        ("two hosts without an authority", vec![METHOD, SCHEME, PATH, (b"host", b"a.test"), (b"host", b"b.test")]),
        ("length beside END_STREAM", with(&[(b"content-length", b"5")])),
        ("two lengths", with(&[(b"content-length", b"0"), (b"content-length", b"5")])),
        ("length with a sign", with(&[(b"content-length", b"+0")])),
        ("list of lengths", with(&[(b"content-length", b"0, 5")])),
        ("negative length", with(&[(b"content-length", b"-1")])),
        ("length 0x0", with(&[(b"content-length", b"0x0")])),
        ("length above 64 bits", with(&[(b"content-length", b"18446744073709551616")])),
        ("empty length", with(&[(b"content-length", b"")])),
        ("space behind a value", with(&[(b"x", b"a ")])),
        ("control byte in a value", with(&[(b"x", b"a\x01b")])),
        ("DEL in a value", with(&[(b"x", b"a\x7fb")])),
        ("NUL in a name", with(&[(b"x\0y", b"a")])),
        ("space behind a name", with(&[(b"x ", b"a")])),
        ("no token as a name", with(&[(b"x(y)", b"a")])),
        ("connection that names a field", with(&[(b"connection", b"x-real-ip")])),
        ("transfer-encoding: identity", with(&[(b"transfer-encoding", b"identity")])),
        ("te with more than trailers", with(&[(b"te", b"trailers, deflate")])),
    ]
}

fn pseudo_cases() -> Vec<(&'static str, Fields)> {
    vec![
        ("space in the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/x HTTP/1.1 /smuggled")]),
        ("CRLF in the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/x HTTP/1.1\r\nsmuggled: b\r\n\r\n")]),
        ("LF in the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/x\nsmuggled")]),
        ("NUL in the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/x\0")]),
        ("empty path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"")]),
        ("path without a slash", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"x")]),
        ("method with a line", vec![(b":method", b"GET /smuggled HTTP/1.1\r\nx:"), SCHEME, AUTHORITY, PATH]),
        ("method with a space", vec![(b":method", b"GET /smuggled"), SCHEME, AUTHORITY, PATH]),
        ("empty method", vec![(b":method", b""), SCHEME, AUTHORITY, PATH]),
        ("CRLF in the authority", vec![METHOD, SCHEME, (b":authority", b"a.test\r\nsmuggled: b"), PATH]),
        ("user in the authority", vec![METHOD, SCHEME, (b":authority", b"u@a.test"), PATH]),
        ("path in the authority", vec![METHOD, SCHEME, (b":authority", b"a.test/smuggled"), PATH]),
        ("space in the authority", vec![METHOD, SCHEME, (b":authority", b"a.test b"), PATH]),
        ("CRLF in the scheme", vec![METHOD, (b":scheme", b"http\r\nsmuggled: b"), AUTHORITY, PATH]),
        ("two methods", vec![METHOD, (b":method", b"POST"), SCHEME, AUTHORITY, PATH]),
        ("two schemes", vec![METHOD, SCHEME, (b":scheme", b"https"), AUTHORITY, PATH]),
        ("two authorities", vec![METHOD, SCHEME, AUTHORITY, (b":authority", b"b.test"), PATH]),
        ("two paths", vec![METHOD, SCHEME, AUTHORITY, PATH, (b":path", b"/smuggled")]),
        ("no method", vec![SCHEME, AUTHORITY, PATH]),
        ("no scheme", vec![METHOD, AUTHORITY, PATH]),
        ("no path", vec![METHOD, SCHEME, AUTHORITY]),
        ("no host", vec![METHOD, SCHEME, PATH]),
        ("unknown pseudo field", with(&[(b":smuggled", b"a")])),
        ("status in a request", with(&[(b":status", b"200")])),
        ("pseudo field behind a field", vec![METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH]),
        ("protocol without CONNECT", with(&[(b":protocol", b"websocket")])),
        ("tab in the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/x\ty")]),
        ("URL as the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"http://b.test/")]),
        ("GET *", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"*")]),
        ("fragment in the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/x#y")]),
        ("malformed escape in the path", vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/%zz")]),
        ("no token as the method", vec![(b":method", b"G(T"), SCHEME, AUTHORITY, PATH]),
        ("method without end", vec![(b":method", &[b'M'; 200]), SCHEME, AUTHORITY, PATH]),
        ("empty authority", vec![METHOD, SCHEME, (b":authority", b""), PATH]),
        ("comma in the authority", vec![METHOD, SCHEME, (b":authority", b"a.test,b.test"), PATH]),
        ("escape in the authority", vec![METHOD, SCHEME, (b":authority", b"a%2etest"), PATH]),
        ("empty scheme", vec![METHOD, (b":scheme", b""), AUTHORITY, PATH]),
        ("URL as the scheme", vec![METHOD, (b":scheme", b"http://b.test/?"), AUTHORITY, PATH]),
        ("upper case in a pseudo field", vec![METHOD, SCHEME, AUTHORITY, (b":PATH", b"/x")]),
        ("only fields", vec![(b"x", b"y")]),
        ("CONNECT", vec![(b":method", b"CONNECT"), (b":authority", b"10.0.0.1:22")]),
        ("CONNECT with a path", vec![(b":method", b"CONNECT"), SCHEME, AUTHORITY, PATH]),
    ]
}

#[test]
fn request_that_could_be_split_does_not_reach_the_server() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, fields) in field_cases().into_iter().chain(pseudo_cases()) {
            let case = format!("{name} ({driver})");
            let mut client = Http2Client::to(proxy.port, &[]);
            let id = client.new_stream();
            client.send(frame(HEADERS, WHOLE, id, block(&fields)));
            let answer = client.answer(id);
            verdict.check(&case, is_refused(&answer), format!("{answer:?}"));
            // The fault is of this request alone (RFC 9113 8.1.1).
            let next = client.fetch("/next");
            verdict.check(&case, next.status == 200, format!("the next request of the connection got {next:?}"));
        }
        check_untouched(&mut verdict, &proxy, driver);
        verdict.end();
    }
}

/// The proxy takes no part of such a request, and its connections to the server are still in step.
fn check_untouched(verdict: &mut Verdict, proxy: &Proxy, driver: &str) {
    let mut seen = proxy.origin.seen();
    seen.retain(|seen| seen.line() != "GET /next HTTP/1.1" || !seen.fields("smuggled").is_empty());
    verdict.check(driver, seen.is_empty(), format!("the server got {seen:?}"));
    let answer = Http2Client::to(proxy.port, &[]).fetch("/after");
    verdict.check(driver, answer.status == 200 && answer.body == b"ok", format!("the next request got {answer:?}"));
}

fn is_refused(answer: &Answer) -> bool {
    let is_error_reply = (400..500).contains(&answer.status) || answer.status == 501;
    is_error_reply || answer.reset == Some(PROTOCOL_ERROR) || answer.goaway == Some(PROTOCOL_ERROR)
}

/// The server may have got the head and a part of the body, but nothing that it takes for a whole request.
#[test]
fn body_that_contradicts_its_length_never_arrives_whole() {
    let trailers: [(&str, Fields); 5] = [
        ("pseudo field in the trailers", vec![(b":path", b"/smuggled")]),
        ("upper case in the trailers", vec![(b"X-Up", b"a")]),
        ("LF in the trailers", vec![(b"x", b"a\nsmuggled: b")]),
        ("CRLF in a name of the trailers", vec![(b"x\r\nsmuggled", b"b")]),
        ("connection in the trailers", vec![(b"connection", b"close")]),
    ];
    let with_length = |length: &str| [request("POST", "/body"), block(&[("content-length", length)])].concat();
    let mut cases = vec![
        ("shorter than its length", with_length("5"), frame(DATA, END_STREAM, 1, b"abc")),
        ("longer than its length", with_length("5"), frame(DATA, END_STREAM, 1, b"abcdefg")),
        ("longer than the length 0", with_length("0"), frame(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n")),
        ("without the announced bytes", with_length("5"), frame(DATA, END_STREAM, 1, b"")),
    ];
    for (name, fields) in &trailers {
        let end = frame(HEADERS, WHOLE, 1, block(fields));
        cases.push((name, request("POST", "/body"), [frame(DATA, 0, 1, b"abc"), end].concat()));
    }
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, head, rest) in &cases {
            let mut client = Http2Client::to(proxy.port, &[]);
            let id = client.new_stream();
            client.send([frame(HEADERS, END_HEADERS, id, head), rest.clone()].concat());
            let answer = client.answer(id);
            verdict.check(&format!("{name} ({driver})"), is_refused(&answer), format!("{answer:?}"));
        }
        // A body of 0 bytes is whole: only what follows it is refused.
        let seen = proxy.origin.seen();
        let whole: Vec<_> =
            seen.iter().filter(|seen| seen.is_whole && seen.fields("content-length") != ["0"]).collect();
        verdict.check(driver, whole.is_empty(), format!("whole requests reached the server: {whole:?}"));
        let smuggled = seen.iter().any(|seen| seen.line().contains("smuggled") || !seen.fields("smuggled").is_empty());
        verdict.check(driver, !smuggled, format!("{seen:?}"));
        verdict.end();
    }
}

/// A body may hold anything, and what it holds is the body for the server too.
#[test]
fn request_in_a_body_stays_a_body() {
    const BEHIND: &[u8] = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for driver in DRIVERS {
        let proxy = proxy(driver);
        for length in [Vec::new(), block(&[("content-length", BEHIND.len().to_string())])] {
            let mut client = Http2Client::to(proxy.port, &[]);
            let id = client.new_stream();
            client.send(frame(HEADERS, END_HEADERS, id, [request("POST", "/body"), length].concat()));
            client.send(frame(DATA, END_STREAM, id, BEHIND));
            let answer = client.answer(id);
            assert_eq!(answer.status, 200, "({driver}): {answer:?}");
            let seen = proxy.origin.seen();
            assert!(seen.len() == 1 && seen[0].body == BEHIND, "({driver}): {seen:?}");
            proxy.origin.set_script(Script::default());
        }
    }
}

/// What the rules allow is forwarded: without this the tests above could pass on a proxy that refuses everything.
#[test]
fn odd_but_legal_request_is_forwarded_as_one_request() {
    let fields: Fields = vec![
        METHOD,
        SCHEME,
        (b":authority", b"A.test:80"),
        (b":path", b"/odd?q=%0d%0a"),
        (b"te", b"trailers"),
        (b"cookie", b"a=b"),
        (b"cookie", b"c=d"),
        (b"x-high", b"\xc3\xa9"),
        (b"x-empty", b""),
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut client = Http2Client::to(proxy.port, &[]);
        let id = client.new_stream();
        client.send(frame(HEADERS, WHOLE, id, block(&fields)));
        let answer = client.answer(id);
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "({driver}): {answer:?}");
        let seen = proxy.origin.seen();
        assert_eq!(seen.len(), 1, "({driver}): {seen:?}");
        assert_eq!(seen[0].line(), "GET /odd?q=%0d%0a HTTP/1.1", "({driver})");
        assert_eq!(seen[0].fields("cookie"), ["a=b; c=d"], "({driver})");
        assert_eq!(seen[0].fields("host").len(), 1, "({driver}): {}", seen[0].head);
        assert!(seen[0].fields("connection").is_empty() || seen[0].fields("connection") == ["te"], "{}", seen[0].head);
    }
}
