//! Heads that go out, read back by a reader of header blocks that shares nothing with the decoder of the program.

use ringway::http::forward::{
    ForwardPlan, HostChoice, ReplyPlan, ResponsePlan, write_reply, write_request, write_response,
};
use ringway::http::h2::hpack::TABLE;
use ringway::http::h2::pack::{Unpackable, encode_request, encode_response, encode_trailers};
use ringway::http::{BodyFraming, Edits, Reply, RequestView, ResponseView, Version};

use crate::{request, response};

/// A field of a block: name, value, and whether it must never be indexed.
type Sent = (String, String, bool);

/// Reads a block of indexed static fields and of literals that are neither indexed nor in the Huffman code; panics at anything else.
fn read(block: &[u8]) -> Vec<Sent> {
    let (mut at, mut sent) = (0, Vec::new());
    while at < block.len() {
        let first = block[at];
        if first & 0x80 != 0 {
            let line = text(TABLE[integer(block, &mut at, 7) - 1].line);
            let (name, value) = line.trim_end_matches("\r\n").rsplit_once(": ").expect("a line");
            sent.push((name.to_owned(), value.to_owned(), false));
            continue;
        }
        assert_eq!(first & 0xe0, 0, "no incremental indexing, no size update");
        let name = match integer(block, &mut at, 4) {
            0 => string(block, &mut at),
            index => text(TABLE[index - 1].prefix()).replace(": ", ""),
        };
        sent.push((name, string(block, &mut at), first & 0x10 != 0));
    }
    sent
}

fn integer(block: &[u8], at: &mut usize, bits: u32) -> usize {
    let prefix_max = (1 << bits) - 1;
    let mut value = usize::from(block[*at]) & prefix_max;
    *at += 1;
    let mut shift = 0;
    while value >= prefix_max {
        let byte = usize::from(block[*at]);
        *at += 1;
        value += (byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            break;
        }
    }
    value
}

fn string(block: &[u8], at: &mut usize) -> String {
    assert_eq!(block[*at] & 0x80, 0, "no Huffman code");
    let len = integer(block, at, 7);
    *at += len;
    text(&block[*at - len..*at])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn fields(pairs: &[(&str, &str)]) -> Vec<Sent> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned(), false)).collect()
}

fn packed_request(lines: &str, secure: bool) -> Vec<Sent> {
    let mut block = Vec::new();
    encode_request(lines.as_bytes(), secure, false, &mut block).expect("a request");
    read(&block)
}

fn packed_response(lines: &str) -> Vec<Sent> {
    let mut block = Vec::new();
    encode_response(lines.as_bytes(), false, &mut block);
    read(&block)
}

#[test]
fn forwarded_request_has_pseudo_header_fields_first_and_lower_case_names() {
    let text = "POST /a?b HTTP/1.1\r\nHost: h.example:8080\r\nUser-Agent: c\r\nX-Mixed:  v w\t\r\nEmpty:\r\nAccept-Encoding: gzip, deflate\r\n\
        TE: Trailers\r\nKeep-Alive: 5\r\nContent-Length: 3\r\n\r\n";
    let head = request::good(text);
    let edits = Edits::new();
    let plan = ForwardPlan {
        target: b"/a?b",
        host: HostChoice::Client,
        client_ip: b"192.0.2.7",
        server_name: b"p",
        body: BodyFraming::Length(3),
        ..ForwardPlan::default()
    };
    let mut lines = Vec::new();
    write_request(&mut lines, RequestView { head: &head, bytes: text.as_bytes(), edits: &edits }, &plan);
    let expected = fields(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "h.example:8080"),
        (":path", "/a?b"),
        ("user-agent", "c"),
        ("x-mixed", "v w"),
        ("empty", ""),
        ("accept-encoding", "gzip, deflate"),
        ("te", "trailers"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "h.example:8080"),
        ("x-forwarded-port", "8080"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-server", "p"),
        ("x-real-ip", "192.0.2.7"),
        ("content-length", "3"),
    ]);
    assert_eq!(packed_request(&String::from_utf8(lines).unwrap(), true), expected);
}

#[test]
fn short_requests_are_four_indices_or_literals() {
    let mut block = Vec::new();
    encode_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false, &mut block).unwrap();
    assert_eq!(block, b"\x82\x86\x01\x01a\x84");
    assert_eq!(
        packed_request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", false),
        fields(&[(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a"), (":path", "*")])
    );
    assert_eq!(
        packed_request("PRI /x HTTP/1.1\r\nHost: \r\nB: 1\r\n\r\n", false),
        fields(&[(":method", "PRI"), (":scheme", "http"), (":path", "/x"), ("b", "1")])
    );
}

#[test]
fn fields_of_a_connection_are_not_sent() {
    let lines = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTransfer-Encoding: chunked\r\n\
        Upgrade: x\r\nHTTP2-Settings: x\r\nTE: gzip, trailers\r\nHost: b\r\nTrailer: t\r\n\r\n";
    let expected = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("trailer", "t")];
    assert_eq!(packed_request(lines, false), fields(&expected));
    let lines = "HTTP/2.0 200 OK\r\nConnection: close\r\ntransfer-encoding: chunked\r\nKEEP-ALIVE: x\r\nUpgrade: y\r\nA: b\r\n\r\n";
    assert_eq!(packed_response(lines), fields(&[(":status", "200"), ("a", "b")]));
}

#[test]
fn credentials_are_never_indexed() {
    let lines =
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic x\r\nCookie: a=b; c=d\r\nProxy-Authorization: y\r\n\r\n";
    let sent = packed_request(lines, false);
    let secret: Vec<_> =
        sent.iter().filter(|(.., never)| *never).map(|(name, value, _)| format!("{name}: {value}")).collect();
    assert_eq!(secret, ["authorization: Basic x", "cookie: a=b; c=d", "proxy-authorization: y"]);
    let sent = packed_response("HTTP/2.0 200 OK\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\n\r\n");
    assert_eq!(sent[1..], ["a=b; Path=/", "c=d"].map(|value| ("set-cookie".to_owned(), value.to_owned(), true)));
}

#[test]
fn statuses_are_sent_as_index_or_digits() {
    for status in [200, 204, 206, 304, 400, 404, 500] {
        let mut block = Vec::new();
        encode_response(format!("HTTP/2.0 {status} Phrase of it\r\n\r\n").as_bytes(), false, &mut block);
        assert_eq!((block.len(), read(&block)), (1, fields(&[(":status", &status.to_string())])));
    }
    for status in ["100", "101", "103", "201", "302", "503", "999"] {
        assert_eq!(packed_response(&format!("HTTP/2.0 {status} \r\n\r\n")), fields(&[(":status", status)]));
    }
}

#[test]
fn extended_connect_replaces_the_handshake_of_an_upgrade() {
    let lines = b"GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\n\r\n";
    let mut block = Vec::new();
    assert_eq!(encode_request(lines, true, true, &mut block), Ok(()));
    let expected = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "a"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ];
    assert_eq!(read(&block), fields(&expected));
    let mut block = Vec::new();
    let lines = b"HTTP/2.0 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: p\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    encode_response(lines, true, &mut block);
    assert_eq!(read(&block), fields(&[(":status", "200"), ("sec-websocket-protocol", "p")]));
    let mut block = Vec::new();
    encode_response(b"HTTP/2.0 403 Forbidden\r\nSec-WebSocket-Version: 13\r\n\r\n", true, &mut block);
    assert_eq!(read(&block), fields(&[(":status", "403"), ("sec-websocket-version", "13")]));
}

#[test]
fn heads_without_a_form_in_http2_are_errors() {
    let error =
        |lines: &str, extended: bool| encode_request(lines.as_bytes(), false, extended, &mut Vec::new()).is_err();
    assert!(
        error("", false) && error("GET /\r\n\r\n", false) && error("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", false)
    );
    assert!(error("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true), "no protocol");
    assert!(error("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: a, b\r\n\r\n", true), "two protocols");
    assert!(error("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n", true), "two fields");
    assert!(!error("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: a\r\n\r\n", true));
    assert_eq!(Unpackable("x"), Unpackable("x"));
}

#[test]
fn long_names_and_values_are_sent_whole() {
    let (name, value) = ("n".repeat(300), "v".repeat(70_000));
    let mut block = Vec::new();
    encode_trailers(format!("{name}: {value}\r\nDate: x\r\n").as_bytes(), &mut block);
    assert_eq!(read(&block), fields(&[(&name, &value), ("date", "x")]));
}

#[test]
fn forwarded_response_and_local_reply_have_no_field_of_a_connection() {
    let text = "HTTP/1.1 404 Gone away\r\nServer: s\r\nTrailer: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = response::parse(text.as_bytes(), false).unwrap();
    let plan = ResponsePlan {
        client_version: Version::Http2,
        keep_alive: false,
        body: BodyFraming::Chunked,
        date: Some(b"now"),
    };
    let mut lines = Vec::new();
    write_response(&mut lines, ResponseView { head: &head, bytes: text.as_bytes(), edits: &Edits::new() }, &plan);
    assert_eq!(
        packed_response(&text_of(&lines)),
        fields(&[(":status", "404"), ("server", "s"), ("trailer", "t"), ("date", "now")])
    );
    let mut lines = Vec::new();
    let plan = ReplyPlan { version: Version::Http2, keep_alive: false, head_request: true, date: None };
    write_reply(&mut lines, &Reply::text(503, "down").closing(), &plan);
    let expected = [(":status", "503"), ("content-type", "text/plain; charset=utf-8"), ("content-length", "4")];
    assert_eq!(packed_response(&text_of(&lines)), fields(&expected));
}

fn text_of(lines: &[u8]) -> String {
    text(lines)
}
