//! The form in which requests reach the origin: framing, hop-by-hop fields, forwarding fields, target, pipelining and Expect.

use std::time::Duration;

use crate::client::QUIET;
use crate::origin::{Script, Seen};
use crate::proxy::{Options, Proxy};
use crate::{DRIVERS, Verdict};

/// Name, the client's request, and the condition for the request that the origin receives.
type Case = (&'static str, &'static [u8], fn(&Seen) -> bool);

/// Requests from a peer that is not trusted.
const CASES: [Case; 32] = [
    ("absolute form wins over Host", b"GET http://b.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n", |s| {
        s.line() == "GET /x?y HTTP/1.1" && s.fields("host") == ["b.test"]
    }),
    ("legal chunks", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n005;a=\"b\"\r\nhello\r\nB;c\r\n world wide\r\n0\r\n\r\n", |s| {
        s.body == b"hello world wide" && s.fields("transfer-encoding") == ["chunked"] && s.fields("content-length").is_empty()
    }),
    ("trailers", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Length: 9\r\nHost: b\r\nX-Forwarded-For: 6.6.6.6\r\nTransfer-Encoding: x\r\n\r\n", |s| {
        s.body == b"hi" && s.fields("host") == ["a"] && !s.head.contains("6.6.6.6")
    }),
    ("hop-by-hop", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-One, x-two\r\nX-One: 1\r\nX-Two: 2\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nProxy-Authorization: p\r\nTE: gzip\r\nTrailer: X\r\nX-Three: 3\r\n\r\n", |s| {
        ["connection", "x-one", "x-two", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer"].iter().all(|n| s.fields(n).is_empty())
            && s.fields("x-three") == ["3"]
    }),
    ("TE: trailers is forwarded", b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n", |s| s.fields("te") == ["trailers"]),
    ("TE: trailers named by Connection is forwarded", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n", |s| s.fields("te") == ["trailers"] && s.fields("connection").is_empty()),
    ("empty first Connection line", b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\nConnection: X-One\r\nX-One: 1\r\n\r\n", |s| s.fields("x-one").is_empty()),
    ("Connection names what must stay", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, X-Forwarded-For, X-Forwarded-Proto, X-Real-Ip, X-Forwarded-Host\r\nContent-Length: 2\r\n\r\nhi", |s| {
        s.fields("host") == ["a"] && s.fields("content-length") == ["2"] && s.body == b"hi" && s.fields("x-forwarded-for") == ["127.0.0.1"]
            && s.fields("x-forwarded-proto") == ["http"] && s.fields("x-real-ip") == ["127.0.0.1"] && s.fields("x-forwarded-host") == ["a"]
    }),
    ("forwarding fields", b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Server: evil\r\nX-Real-Ip: 6.6.6.6\r\nX-Forwarded-Uri: /evil\r\nX-Forwarded-Method: EVIL\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Ssl: evil\r\nx-forwarded-tls-client-cert: evil\r\nForwarded: for=evil\r\n\r\n", |s| {
        s.fields("x-forwarded-for") == ["127.0.0.1"] && s.fields("x-real-ip") == ["127.0.0.1"] && s.fields("x-forwarded-proto") == ["http"]
            && !s.head.contains("6.6.6.6") && !s.head.to_ascii_lowercase().contains("evil")
    }),
    ("forwarding fields with underscores", b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\nx_real_ip: 6.6.6.6\r\nX_FORWARDED-Host: evil\r\nX_Kept: 1\r\n\r\n", |s| {
        !s.head.contains("6.6.6.6") && !s.head.contains("evil") && s.fields("x_kept") == ["1"] && !s.head.to_ascii_lowercase().contains("forwarded_proto")
    }),
    ("order, repeats and bytes", b"GET / HTTP/1.1\r\nHost: a\r\nX-B: 2\r\nx-a: 1\r\nX-B: 3\r\nX-O: \xe4\xff\r\n\r\n", |s| {
        s.fields("x-b") == ["2", "3"] && s.head.contains("X-B: 2\r\nx-a: 1\r\nX-B: 3\r\nX-O: \\xe4\\xff\r\n")
    }),
    ("escapes and query", b"GET /a%2Fb/%7e/%E4?q=%zz&a=b;c=//../x HTTP/1.1\r\nHost: a\r\n\r\n", |s| s.line() == "GET /a%2Fb/%7e/%E4?q=%zz&a=b;c=//../x HTTP/1.1"),
    ("upgrade with a length", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi", |s| s.fields("upgrade") == ["websocket"] && s.fields("connection") == ["Upgrade"] && s.body == b"hi"),
    ("upgrade with chunks", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", |s| s.fields("upgrade") == ["websocket"] && s.fields("connection") == ["Upgrade"] && s.body == b"hi"),
    ("list of protocols", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, foo/2\r\n\r\n", |s| s.fields("upgrade") == ["websocket, foo/2"]),
    ("TLS by upgrade", b"OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", |s| s.fields("upgrade").is_empty() && s.fields("connection").is_empty()),
    ("HTTP2-Settings alone", b"GET / HTTP/1.1\r\nHost: a\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", |s| s.fields("http2-settings").is_empty()),
    ("upgrade of HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", |s| s.fields("upgrade").is_empty()),
    ("h2c", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", |s| {
        s.fields("upgrade").is_empty() && s.fields("connection").is_empty() && s.fields("http2-settings").is_empty()
    }),
    ("h2c beside websocket", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", |s| s.fields("upgrade").is_empty()),
    ("two Upgrade fields", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n", |s| s.fields("upgrade").is_empty()),
    ("GET without framing has no body", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", |s| s.fields("content-length").is_empty() && s.fields("transfer-encoding").is_empty()),
    ("request line of 8000 bytes", b"", |s| s.line().len() == 8000),
    ("fields of 12 KiB", b"", |s| s.head.len() > 12 * 1024),
    ("dot segments", b"GET /public/../admin/x HTTP/1.1\r\nHost: a\r\n\r\n", |s| s.line() == "GET /admin/x HTTP/1.1"),
    ("escaped dots", b"GET /public/%2e%2E/admin HTTP/1.1\r\nHost: a\r\n\r\n", |s| s.line() == "GET /admin HTTP/1.1"),
    ("above the root", b"GET /../../x HTTP/1.1\r\nHost: a\r\n\r\n", |s| s.line() == "GET /x HTTP/1.1"),
    ("HTTP/1.0 without Host", b"GET /old HTTP/1.0\r\n\r\n", |s| s.line() == "GET /old HTTP/1.1" && s.fields("host").len() == 1),
    ("Cookie unchanged", b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nCookie: c=\"d\"\r\n\r\n", |s| s.fields("cookie") == ["a=b", "c=\"d\""]),
    ("encoded slash stays", b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", |s| s.line() == "GET /a%2fb HTTP/1.1"),
    ("absolute URI goes to the backend", b"GET http://127.0.0.1:1/x HTTP/1.1\r\nHost: a\r\n\r\n", |s| s.line() == "GET /x HTTP/1.1"),
    ("Expect ends at the proxy", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", |s| s.fields("expect").is_empty() && s.body == b"hi"),
];

#[test]
fn forwarded_request_has_the_specified_form() {
    let entry = "[entryPoints.http.forwardedHeaders]\ntrustedIPs = [\"10.9.9.9\"]\n";
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { entry: entry.into(), ..Options::default() });
        let mut verdict = Verdict::default();
        for (name, bytes, holds) in CASES {
            let case = format!("{name} ({driver})");
            proxy.origin.set_script(Script::default());
            let bytes = match name {
                _ if name.starts_with("request line") => line_of(8000),
                _ if name.starts_with("fields of") => fields_of(12 * 1024),
                _ => bytes.to_vec(),
            };
            let mut client = proxy.client();
            client.send(&bytes);
            let answer = client.answer();
            verdict.check(&case, answer.status == 200 && answer.body == b"ok", format!("answered {answer:?}"));
            let seen = proxy.origin.seen();
            verdict.check(&case, seen.len() == 1, format!("{} requests arrived", seen.len()));
            verdict.check(
                &case,
                seen.first().is_some_and(|s| s.is_whole && holds(s)),
                format!("the origin saw {seen:?}"),
            );
        }
        verdict.end();
    }
}

/// A request whose line has this many bytes at the origin.
fn line_of(bytes: usize) -> Vec<u8> {
    let path = "p".repeat(bytes - "GET / HTTP/1.1".len());
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn fields_of(bytes: usize) -> Vec<u8> {
    let fields: String = (0..bytes / 64).map(|n| format!("X-{n:04}: {}\r\n", "v".repeat(64))).collect();
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

#[test]
fn forwarding_fields_of_trusted_peer_are_kept() {
    let entry = "[entryPoints.http.forwardedHeaders]\ntrustedIPs = [\"127.0.0.1/32\"]\n";
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { entry: entry.into(), ..Options::default() });
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        let seen = proxy.origin.seen();
        assert_eq!(seen[0].fields("x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
        assert_eq!(seen[0].fields("x-forwarded-proto"), ["https"]);
        assert!(!seen[0].head.contains("7.7.7.7"), "an underscore alias was forwarded");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut client = proxy.client();
        let mut bytes = Vec::new();
        for n in 0..20 {
            let body = format!("body {n}");
            let head = format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            bytes.extend_from_slice(head.as_bytes());
        }
        client.send(&bytes);
        for n in 0..20 {
            assert_eq!(client.answer().status, 200, "answer {n} ({driver})");
        }
        let seen = proxy.origin.seen();
        let bodies: Vec<_> = seen.iter().map(|s| String::from_utf8_lossy(&s.body).into_owned()).collect();
        assert_eq!(bodies, (0..20).map(|n| format!("body {n}")).collect::<Vec<_>>());
    }
}

#[test]
fn connection_close_and_100_continue_are_honoured() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut client = proxy.client();
        client.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer();
        assert!(answer.status == 200 && answer.has_connection_close(), "Connection: close ({driver}): {answer:?}");
        let (rest, ended) = client.rest(Duration::from_secs(5));
        assert!(rest.is_empty() && ended, "Connection: close ({driver})");
        assert!(proxy.origin.seen().iter().all(|s| !s.head.contains("behind")), "Connection: close ({driver})");

        let mut client = proxy.client();
        client.send("POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        assert_eq!(client.answer().status, 100, "Expect ({driver}): the proxy sends 100");
        client.send("body");
        assert_eq!(client.answer().status, 200, "Expect ({driver})");
        assert_eq!(proxy.origin.seen().last().map(|s| s.body.clone()), Some(b"body".to_vec()));
        assert!(!client.is_closed_within(QUIET), "Expect ({driver}): the connection stays open");
    }
}
