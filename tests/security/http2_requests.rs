//! Requests of HTTP/2 that another program could read differently once they are HTTP/1.1: each is refused alone, the server sees nothing
//! of it, and the other requests of the connection are served.

use crate::attack::{ENTRIES, Entry, Target};
use crate::client::find;
use crate::origin::Script;
use crate::support::http2::Http2;
use crate::support::http2_fields::{Field, block, literal, request};
use crate::support::http2_frames::*;
use crate::{DRIVERS, Verdict};

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"http");
const PATH: Field = (b":path", b"/");
const AUTHORITY: Field = (b":authority", b"a.test");

/// Name, and fields behind the four pseudo fields of a GET.
const FIELDS: [(&str, &[Field]); 42] = [
    ("CRLF in a value", &[(b"x", b"y\r\nz: 1")]),
    ("CR in a value", &[(b"x", b"y\rz")]),
    ("LF in a value", &[(b"x", b"y\nz")]),
    ("NUL in a value", &[(b"x", b"y\0z")]),
    ("a request in a value", &[(b"x", b"y\r\n\r\nGET /behind HTTP/1.1\r\nHost: a.test\r\n\r\n")]),
    ("space before a value", &[(b"x", b" y")]),
    ("space behind a value", &[(b"x", b"y ")]),
    ("tab behind a value", &[(b"x", b"y\t")]),
    ("control byte in a value", &[(b"x", b"y\x01z")]),
    ("DEL in a value", &[(b"x", b"y\x7fz")]),
    ("CRLF in a name", &[(b"x: y\r\nz", b"1")]),
    ("LF in a name", &[(b"x\nz", b"1")]),
    ("NUL in a name", &[(b"x\0z", b"1")]),
    ("colon in a name", &[(b"x:z", b"1")]),
    ("space in a name", &[(b"x z", b"1")]),
    ("space behind a name", &[(b"x ", b"1")]),
    ("upper case in a name", &[(b"X-Upper", b"1")]),
    ("a name above 127", &[(b"x\x80", b"1")]),
    ("empty name", &[(b"", b"1")]),
    ("no token", &[(b"x(y)", b"1")]),
    ("connection", &[(b"connection", b"keep-alive")]),
    ("connection that names a field", &[(b"connection", b"x-real-ip")]),
    ("keep-alive", &[(b"keep-alive", b"timeout=5")]),
    ("proxy-connection", &[(b"proxy-connection", b"keep-alive")]),
    ("upgrade", &[(b"upgrade", b"websocket")]),
    ("transfer-encoding", &[(b"transfer-encoding", b"chunked")]),
    ("transfer-encoding: identity", &[(b"transfer-encoding", b"identity")]),
    ("te other than trailers", &[(b"te", b"gzip")]),
    ("te with more than trailers", &[(b"te", b"trailers, deflate")]),
    ("content-length without DATA", &[(b"content-length", b"5")]),
    ("content-length twice", &[(b"content-length", b"0"), (b"content-length", b"1")]),
    ("content-length list", &[(b"content-length", b"0, 0")]),
    ("content-length +0", &[(b"content-length", b"+0")]),
    ("content-length -1", &[(b"content-length", b"-1")]),
    ("content-length 0x0", &[(b"content-length", b"0x0")]),
    ("content-length above 64 bits", &[(b"content-length", b"18446744073709551616")]),
    ("empty content-length", &[(b"content-length", b"")]),
    ("another Host", &[(b"host", b"b.test")]),
    ("two Hosts", &[(b"host", b"a.test"), (b"host", b"b.test")]),
    ("a pseudo field behind a field", &[(b"x", b"y"), (b":path", b"/behind")]),
    ("an unknown pseudo field", &[(b":unknown", b"1")]),
    (":status", &[(b":status", b"200")]),
];

/// Name, and all fields of a request.
const PSEUDO_FIELDS: [(&str, &[Field]); 43] = [
    ("no :method", &[SCHEME, PATH, AUTHORITY]),
    ("no :scheme", &[METHOD, PATH, AUTHORITY]),
    ("no :path", &[METHOD, SCHEME, AUTHORITY]),
    ("no authority at all", &[METHOD, SCHEME, PATH]),
    ("no field at all", &[(b"x", b"y")]),
    ("two :method", &[METHOD, (b":method", b"POST"), SCHEME, PATH, AUTHORITY]),
    ("equal :method", &[METHOD, METHOD, SCHEME, PATH, AUTHORITY]),
    ("two :scheme", &[METHOD, SCHEME, (b":scheme", b"https"), PATH, AUTHORITY]),
    ("two :path", &[METHOD, SCHEME, PATH, (b":path", b"/behind"), AUTHORITY]),
    ("two :authority", &[METHOD, SCHEME, PATH, AUTHORITY, (b":authority", b"b.test")]),
    ("empty :method", &[(b":method", b""), SCHEME, PATH, AUTHORITY]),
    ("space in :method", &[(b":method", b"GET /behind HTTP/1.1\r\n"), SCHEME, PATH, AUTHORITY]),
    ("line in :method", &[(b":method", b"GET\r\nX"), SCHEME, PATH, AUTHORITY]),
    ("no token in :method", &[(b":method", b"G(T"), SCHEME, PATH, AUTHORITY]),
    ("long :method", &[(b":method", &[b'M'; 200]), SCHEME, PATH, AUTHORITY]),
    ("empty :scheme", &[METHOD, (b":scheme", b""), PATH, AUTHORITY]),
    ("line in :scheme", &[METHOD, (b":scheme", b"http\r\nx: y"), PATH, AUTHORITY]),
    ("URL in :scheme", &[METHOD, (b":scheme", b"http://b.test/?"), PATH, AUTHORITY]),
    ("another :scheme", &[METHOD, (b":scheme", b"ftp"), PATH, AUTHORITY]),
    ("empty :path", &[METHOD, SCHEME, (b":path", b""), AUTHORITY]),
    ("space in :path", &[METHOD, SCHEME, (b":path", b"/a b"), AUTHORITY]),
    ("request in :path", &[METHOD, SCHEME, (b":path", b"/ HTTP/1.1\r\nHost: a\r\n\r\nGET /behind"), AUTHORITY]),
    ("LF in :path", &[METHOD, SCHEME, (b":path", b"/a\nb"), AUTHORITY]),
    ("NUL in :path", &[METHOD, SCHEME, (b":path", b"/a\0b"), AUTHORITY]),
    ("tab in :path", &[METHOD, SCHEME, (b":path", b"/a\tb"), AUTHORITY]),
    (":path without a slash", &[METHOD, SCHEME, (b":path", b"a"), AUTHORITY]),
    (":path with an authority", &[METHOD, SCHEME, (b":path", b"http://b.test/"), AUTHORITY]),
    ("GET *", &[METHOD, SCHEME, (b":path", b"*"), AUTHORITY]),
    ("# in :path", &[METHOD, SCHEME, (b":path", b"/a#b"), AUTHORITY]),
    ("malformed escape in :path", &[METHOD, SCHEME, (b":path", b"/%zz"), AUTHORITY]),
    ("empty :authority", &[METHOD, SCHEME, PATH, (b":authority", b"")]),
    ("line in :authority", &[METHOD, SCHEME, PATH, (b":authority", b"a.test\r\nx: y")]),
    ("userinfo in :authority", &[METHOD, SCHEME, PATH, (b":authority", b"u@a.test")]),
    ("path in :authority", &[METHOD, SCHEME, PATH, (b":authority", b"a.test/b")]),
    ("space in :authority", &[METHOD, SCHEME, PATH, (b":authority", b"a.test b")]),
    ("comma in :authority", &[METHOD, SCHEME, PATH, (b":authority", b"a.test,b.test")]),
    ("escape in :authority", &[METHOD, SCHEME, PATH, (b":authority", b"a%2etest")]),
    ("line in Host", &[METHOD, SCHEME, PATH, (b"host", b"a.test\r\nx: y")]),
    ("upper case :PATH", &[METHOD, SCHEME, (b":PATH", b"/"), AUTHORITY]),
    ("CONNECT", &[(b":method", b"CONNECT"), (b":authority", b"10.0.0.1:22")]),
    ("CONNECT with :path", &[(b":method", b"CONNECT"), SCHEME, PATH, AUTHORITY]),
    ("OPTIONS * with an authority in :path", &[(b":method", b"OPTIONS"), SCHEME, (b":path", b"*b"), AUTHORITY]),
    (":protocol without CONNECT", &[METHOD, SCHEME, PATH, AUTHORITY, (b":protocol", b"websocket")]),
];

/// Sends a request whose block is `fields`, and checks that it is refused alone.
fn refused(client: &mut Http2, target: &Target, case: &str, fields: &[u8], verdict: &mut Verdict) {
    let id = client.next_id();
    client.send(headers(id, END_STREAM, fields));
    refused_on(client, id, target, case, verdict);
}

fn refused_on(client: &mut Http2, id: u32, target: &Target, case: &str, verdict: &mut Verdict) {
    let stream = client.end_of(id);
    let is_refused = stream.reset == Some(PROTOCOL_ERROR) || matches!(stream.status(), 400 | 414 | 417 | 501);
    verdict.check(case, is_refused, format!("{stream:?}, {}", client.state()));
    let seen = target.proxy.origin.seen();
    let is_whole = seen.iter().any(|seen| seen.is_whole) || seen.iter().any(|seen| seen.head.contains("behind"));
    verdict.check(case, !is_whole, format!("the server saw {seen:?}"));
    target.proxy.origin.set_script(Script::default());
    let next = client.exchange("/next");
    verdict.check(case, next.status() == 200, format!("the next request: {next:?}, {}", client.state()));
    let seen = target.proxy.origin.seen();
    let is_next = seen.len() == 1 && seen[0].line() == "GET /next HTTP/1.1";
    verdict.check(case, is_next, format!("then the server saw {seen:?}"));
    target.proxy.origin.set_script(Script::default());
}

#[test]
fn malformed_requests_are_refused_alone() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for entry in ENTRIES {
            let pseudo_fields = [METHOD, (b":scheme", b"http"), PATH, AUTHORITY];
            for (name, fields) in FIELDS {
                let case = format!("{name} ({driver}, {entry:?})");
                let fields = block(&[&pseudo_fields[..], fields].concat());
                refused(&mut target.client(entry), &target, &case, &fields, &mut verdict);
            }
            for (name, fields) in PSEUDO_FIELDS {
                let case = format!("{name} ({driver}, {entry:?})");
                refused(&mut target.client(entry), &target, &case, &block(fields), &mut verdict);
            }
        }
        verdict.end();
    }
}

/// The body of a request that would be a request of its own.
const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Bodies that do not have the announced length (RFC 9113 8.1.1), and trailers that are none.
#[test]
fn bodies_of_another_length_are_refused_alone() {
    let post = |fields: &[Field]| [request("POST", "/"), block(fields)].concat();
    let length = |n: &'static [u8]| -> [Field<'static>; 1] { [(b"content-length", n)] };
    let cases: Vec<(&str, Vec<u8>, Vec<Vec<u8>>)> = vec![
        ("content-length 0", post(&length(b"0")), vec![data(1, END_STREAM, BEHIND)]),
        ("content-length below", post(&length(b"3")), vec![data(1, END_STREAM, b"abcdef")]),
        (
            "content-length below, in two frames",
            post(&length(b"3")),
            vec![data(1, 0, b"abc"), data(1, END_STREAM, b"d")],
        ),
        ("content-length above", post(&length(b"9")), vec![data(1, END_STREAM, b"abc")]),
        (
            "content-length above, trailers",
            post(&length(b"9")),
            vec![data(1, 0, b"abc"), headers(1, END_STREAM, &literal("x", "y"))],
        ),
        (
            "chunks",
            post(&[(b"transfer-encoding", b"chunked")]),
            vec![data(1, END_STREAM, &[b"0\r\n\r\n", BEHIND].concat())],
        ),
        (
            "pseudo field in trailers",
            post(&[]),
            vec![data(1, 0, b"abc"), headers(1, END_STREAM, &literal(":path", "/behind"))],
        ),
        (
            "CRLF in trailers",
            post(&[]),
            vec![data(1, 0, b"abc"), headers(1, END_STREAM, &literal("x", "y\r\n\r\nGET /behind HTTP/1.1"))],
        ),
        ("upper case in trailers", post(&[]), vec![data(1, 0, b"abc"), headers(1, END_STREAM, &literal("X", "y"))]),
        ("trailers without END_STREAM", post(&[]), vec![data(1, 0, b"abc"), headers(1, 0, &literal("x", "y"))]),
    ];
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut verdict = Verdict::default();
        for entry in ENTRIES {
            for (name, head, rest) in &cases {
                let case = format!("{name} ({driver}, {entry:?})");
                let mut client = target.client(entry);
                let id = client.next_id();
                client.send([&headers(id, 0, head)[..], &rest.concat()].concat());
                refused_on(&mut client, id, &target, &case, &mut verdict);
            }
        }
        verdict.end();
    }
}

/// A body may contain anything, and what it contains is a body for the server too.
#[test]
fn request_in_a_body_stays_a_body() {
    for driver in DRIVERS {
        let target = Target::start(driver);
        for entry in ENTRIES {
            for lengths in [vec![], literal("content-length", BEHIND.len().to_string())] {
                let mut client = target.client(entry);
                let id = client.next_id();
                client.send(headers(id, 0, &[request("POST", "/"), lengths].concat()));
                client.send(data(id, END_STREAM, BEHIND));
                assert_eq!(client.end_of(id).status(), 200, "({driver}, {entry:?}): {}", client.state());
                let seen = target.proxy.origin.seen();
                assert!(seen.len() == 1 && seen[0].body == BEHIND, "({driver}, {entry:?}): {seen:?}");
                target.proxy.origin.set_script(Script::default());
            }
        }
    }
}

/// What a request of HTTP/2 becomes for a server of HTTP/1.1.
#[test]
fn forwarded_request_has_one_framing_and_one_host() {
    let fields: [Field; 8] = [
        (b"cookie", b"a=1"),
        (b"x-forwarded-for", b"10.9.8.7"),
        (b"x_forwarded_for", b"10.9.8.7"),
        (b"te", b"trailers"),
        (b"cookie", b"b=2"),
        (b"host", b"a.test"),
        (b"x-bytes", b"\xe9\t,"),
        (b"http2-settings", b"AAMAAABkAAQAoAAAAAIAAAAA"),
    ];
    for driver in DRIVERS {
        let target = Target::start(driver);
        let mut client = target.client(Entry::Plain);
        let id = client.next_id();
        client.send(headers(id, 0, &[request("POST", "/a?b=c"), block(&fields)].concat()));
        client.send(data(id, 0, b"bo"));
        client.send([data(id, 0, b"dy"), headers(id, END_STREAM, &literal("x-sum", "4"))].concat());
        assert_eq!(client.end_of(id).status(), 200, "({driver}): {}", client.state());
        let seen = target.proxy.origin.seen().remove(0);
        assert_eq!(seen.line(), "POST /a?b=c HTTP/1.1", "({driver})");
        for (name, expected) in [
            ("host", vec!["a.test"]),
            ("transfer-encoding", vec!["chunked"]),
            ("content-length", vec![]),
            ("cookie", vec!["a=1; b=2"]),
            ("x-forwarded-for", vec!["127.0.0.1"]),
            ("x_forwarded_for", vec![]),
            ("http2-settings", vec![]),
            ("te", vec!["trailers"]),
            ("x-bytes", vec!["\\xe9\\t,"]),
        ] {
            assert_eq!(seen.fields(name), expected, "{name} ({driver}): {}", seen.head);
        }
        assert!(!seen.head.contains("\r\n:"), "a pseudo field ({driver}): {}", seen.head);
        assert!(find(&seen.body, b"body").is_some() || find(&seen.body, b"x-sum: 4").is_some(), "({driver}): {seen:?}");
    }
}
