//! Every rule of the table in `h1::strict`, each with the bytes that break it.

use std::collections::HashSet;

use ringway::http::Body;
use ringway::http::h1::body::InvalidBody;
use ringway::http::h1::codec::Limits;
use ringway::http::h1::strict::{Reject, Rule};
use ringway::limits::{CHUNK_OVERHEAD_BYTES_MAX, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

use super::body::{decode, feed};
use super::request::parse;
use super::response;

/// Request lines; a Host field and the empty line follow.
const LINES: &[(&str, Rule)] = &[
    ("GET  / HTTP/1.1", Rule::RequestLine),
    ("GET /  HTTP/1.1", Rule::RequestLine),
    ("GET / HTTP/1.1 ", Rule::RequestLine),
    ("GET /a b HTTP/1.1", Rule::Version),
    (" GET / HTTP/1.1", Rule::Method),
    ("\tGET / HTTP/1.1", Rule::Method),
    ("G(T / HTTP/1.1", Rule::Method),
    ("G\0T / HTTP/1.1", Rule::Method),
    ("\x16\x03\x01", Rule::Method),
    ("GET", Rule::Method),
    ("AVERYLONGMETHODTHATNOBODYEVERREGISTERED / HTTP/1.1", Rule::Method),
    ("GET\t/ HTTP/1.1", Rule::Method),
    ("CONNECT a:443 HTTP/1.1", Rule::Connect),
    ("CONNECT / HTTP/1.1", Rule::Connect),
    ("GET /\0 HTTP/1.1", Rule::Target),
    ("GET /\x7f HTTP/1.1", Rule::Target),
    ("GET /a\tb HTTP/1.1", Rule::Target),
    ("GET /a#b HTTP/1.1", Rule::Target),
    ("GET a HTTP/1.1", Rule::TargetForm),
    ("GET ?a HTTP/1.1", Rule::TargetForm),
    ("GET * HTTP/1.1", Rule::TargetForm),
    ("OPTIONS *a HTTP/1.1", Rule::TargetForm),
    ("GET a:443 HTTP/1.1", Rule::TargetForm),
    ("GET ftp://a/ HTTP/1.1", Rule::TargetForm),
    ("GET http://a?b HTTP/1.1", Rule::TargetForm),
    ("GET http:/a HTTP/1.1", Rule::TargetForm),
    ("GET http:///a HTTP/1.1", Rule::HostInvalid),
    ("GET http://u:p@a/ HTTP/1.1", Rule::HostInvalid),
    ("GET http://a:b/ HTTP/1.1", Rule::HostInvalid),
    ("GET /%zz HTTP/1.1", Rule::TargetEscape),
    ("GET /% HTTP/1.1", Rule::TargetEscape),
    ("GET /%4?%zz HTTP/1.1", Rule::TargetEscape),
    ("GET http://a/%4 HTTP/1.1", Rule::TargetEscape),
    ("GET /", Rule::Version),
    ("GET / HTTP/1.", Rule::Version),
    ("GET / http/1.1", Rule::Version),
    ("GET / HTTP/1,1", Rule::Version),
    ("GET / HTTP/1.10", Rule::Version),
    ("GET / HTTP/11.1", Rule::Version),
    ("GET / HTTX/1.1", Rule::Version),
    ("GET / HTTP/2.0", Rule::VersionUnknown),
    ("PRI * HTTP/2.0", Rule::VersionUnknown),
    ("GET / HTTP/1.2", Rule::VersionUnknown),
    ("GET / HTTP/0.9", Rule::VersionUnknown),
    ("GET / HTTP/1.1\n", Rule::BareLf),
    ("GET / HTTP/1.1\rX", Rule::BareCr),
    ("\rGET / HTTP/1.1", Rule::BareCr),
    ("\nGET / HTTP/1.1", Rule::Method),
    ("\r\n\r\n\r\nGET / HTTP/1.1", Rule::Method),
];

/// Field lines behind `POST / HTTP/1.1` and a Host field.
const FIELDS: &[(&str, Rule)] = &[
    ("A: b\rc", Rule::BareCr),
    ("A: b\r\r", Rule::BareCr),
    ("A: b\nC: d", Rule::BareLf),
    ("A: b\n\nGET /x HTTP/1.1", Rule::BareLf),
    ("A: b\r\n c", Rule::Fold),
    ("A: b\r\n\tc", Rule::Fold),
    (" Content-Length: 5", Rule::Fold),
    (": b", Rule::EmptyName),
    ("A\0: b", Rule::NameByte),
    ("A(: b", Rule::NameByte),
    ("A\u{e4}: b", Rule::NameByte),
    ("A\x01: b", Rule::NameByte),
    ("\x0bContent-Length: 5", Rule::NameByte),
    ("Content-Length : 5", Rule::SpaceBeforeColon),
    ("Transfer-Encoding\t: chunked", Rule::SpaceBeforeColon),
    ("A b: c", Rule::SpaceBeforeColon),
    ("A", Rule::NoColon),
    ("A: b\0", Rule::ValueByte),
    ("A: \x01b", Rule::ValueByte),
    ("A: b\x7f", Rule::ValueByte),
    ("A: \x0bb", Rule::ValueByte),
    ("Host: a", Rule::HostRepeated),
    ("Host: b", Rule::HostRepeated),
    ("hOST:", Rule::HostRepeated),
    ("Content-Length:", Rule::LengthInvalid),
    ("Content-Length: +5", Rule::LengthInvalid),
    ("Content-Length: -5", Rule::LengthInvalid),
    ("Content-Length: 0x5", Rule::LengthInvalid),
    ("Content-Length: 5 5", Rule::LengthInvalid),
    ("Content-Length: 5, 5", Rule::LengthInvalid),
    ("Content-Length: 5,", Rule::LengthInvalid),
    ("Content-Length: 1_0", Rule::LengthInvalid),
    ("Content-Length: 5.0", Rule::LengthInvalid),
    ("Content-Length: 9223372036854775808", Rule::LengthInvalid),
    ("Content-Length: 18446744073709551621", Rule::LengthInvalid),
    ("Content-Length: 5\r\nContent-Length: 6", Rule::LengthRepeated),
    ("Content-Length: 5\r\nContent-Length: 5", Rule::LengthRepeated),
    ("Content-Length: 0\r\nX: y\r\ncontent-length: 0", Rule::LengthRepeated),
    ("Content-Length: 5\r\nTransfer-Encoding: chunked", Rule::LengthAndCoding),
    ("Transfer-Encoding: chunked\r\nContent-Length: 0", Rule::LengthAndCoding),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Rule::CodingRepeated),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Rule::CodingRepeated),
    ("Transfer-Encoding: gzip, chunked", Rule::CodingNotChunked),
    ("Transfer-Encoding: xchunked", Rule::CodingNotChunked),
    ("Transfer-Encoding: identity", Rule::CodingNotChunked),
    ("Transfer-Encoding:", Rule::CodingNotChunked),
    ("Transfer-Encoding: chunked, identity", Rule::CodingNotChunked),
    ("Transfer-Encoding: chunked, chunked", Rule::CodingNotChunked),
    ("Transfer-Encoding: chunked;q=1", Rule::CodingNotChunked),
    ("Transfer-Encoding: \"chunked\"", Rule::CodingNotChunked),
    ("Transfer-Encoding: \x0bchunked", Rule::ValueByte),
    ("Transfer-Encoding: ,chunked", Rule::CodingNotChunked),
    ("Expect: 200-ok", Rule::Expectation),
    ("Expect: 100-continue, x", Rule::Expectation),
    ("Expect:", Rule::Expectation),
];

/// Whole heads.
const HEADS: &[(&str, Rule)] = &[
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Rule::LeadingSpace),
    ("GET / HTTP/1.1\r\n\tX: a\r\nHost: a\r\n\r\n", Rule::LeadingSpace),
    ("GET / HTTP/1.1\r\n\r\n", Rule::HostMissing),
    ("GET http://a/ HTTP/1.1\r\n\r\n", Rule::HostMissing),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Rule::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Rule::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Rule::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Rule::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Rule::HostInvalid),
    ("GET / HTTP/1.0\r\nHost: u@a\r\n\r\n", Rule::HostInvalid),
    ("GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", Rule::HostInvalid),
    ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Rule::HostRepeated),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Rule::CodingInHttp10),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Rule::CodingInHttp10),
    ("GET / HTTP/1.1\n\r\n", Rule::BareLf),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", Rule::BareLf),
    ("GET / HTTP/1.1\r\nHost: a\r\n\rX", Rule::BareCr),
];

/// Chunked bodies.
const BODIES: &[(&str, Rule)] = &[
    ("", Rule::BodyTruncated),
    ("5\r\nhello\r\n", Rule::BodyTruncated),
    ("5\r\nhello\r\n0\r\n", Rule::BodyTruncated),
    ("+5\r\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("-5\r\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("0x5\r\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("5_0\r\n", Rule::ChunkSize),
    ("\r\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    (";a\r\n", Rule::ChunkSize),
    ("g\r\n", Rule::ChunkSize),
    (" 5\r\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("5 \r\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("5\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("5\rhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("5;a\rb\r\nhello\r\n0\r\n\r\n", Rule::ChunkSize),
    ("ffffffffffffffff\r\na", Rule::ChunkSizeTooLong),
    ("10000000000000005\r\nhello\r\n0\r\n\r\n", Rule::ChunkSizeTooLong),
    ("00000000000000005\r\nhello\r\n0\r\n\r\n", Rule::ChunkSizeTooLong),
    ("5;a\nhello\r\n0\r\n\r\n", Rule::ChunkExtension),
    ("5;\0\r\nhello\r\n0\r\n\r\n", Rule::ChunkExtension),
    ("5;\x7f\r\nhello\r\n0\r\n\r\n", Rule::ChunkExtension),
    ("5\r\nhello\n0\r\n\r\n", Rule::ChunkEnd),
    ("5\r\nhello!\r\n0\r\n\r\n", Rule::ChunkEnd),
    ("5\r\nhelloXX0\r\n\r\n", Rule::ChunkEnd),
    ("5\r\nhello\rX0\r\n\r\n", Rule::ChunkEnd),
    ("0\r\n\n", Rule::Trailer),
    ("0\r\nX\r\n\r\n", Rule::Trailer),
    ("0\r\nGET / HTTP/1.1\r\n\r\n", Rule::Trailer),
    ("0\r\n: b\r\n\r\n", Rule::Trailer),
    ("0\r\nA : b\r\n\r\n", Rule::Trailer),
    ("0\r\nA: b\n\r\n", Rule::Trailer),
    ("0\r\nA: b\rc\r\n\r\n", Rule::Trailer),
    ("0\r\n A: b\r\n\r\n", Rule::Trailer),
    ("0\r\nA: b\r\n c\r\n\r\n", Rule::Trailer),
    ("0\r\nA: \0\r\n\r\n", Rule::Trailer),
];

/// What the client of a request gets that breaks `rule`.
fn answered(reject: &Reject, rule: Rule, text: &str) {
    assert_eq!(reject.rule, rule, "{text:.100?}");
    let reply = reject.reply();
    assert_eq!((reply.status, reply.close), (rule.status(), true));
    assert!(reply.body.starts_with(rule.status().to_string().as_bytes()));
}

/// Bodies that are too much of something, too long to be cut at every byte.
fn endless_bodies() -> [(String, Rule); 4] {
    let (overhead, trailer) = (CHUNK_OVERHEAD_BYTES_MAX as usize + 1, TRAILER_BYTES_MAX);
    [
        (format!("1;{}\r\n", "a".repeat(overhead)), Rule::ChunkOverhead),
        (format!("1;{}\r\na\r\n", "a".repeat(1000)).repeat(30), Rule::ChunkOverhead),
        (format!("0\r\nA: {}\r\n\r\n", "a".repeat(trailer)), Rule::TrailerTooLong),
        (format!("0\r\n{}\r\n", "Host: b\r\n".repeat(TRAILER_FIELDS_MAX + 1)), Rule::TrailerTooLong),
    ]
}

#[test]
fn every_rule_refuses() {
    let mut seen = HashSet::new();
    let mut check = |text: String, rule: Rule, limits: &Limits| {
        answered(&parse(text.as_bytes(), limits).expect_err(&text), rule, &text);
        seen.insert(rule);
    };
    let limits = Limits::default();
    for (line, rule) in LINES {
        check(format!("{line}\r\nHost: a\r\n\r\n"), *rule, &limits);
    }
    for (fields, rule) in FIELDS {
        check(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"), *rule, &limits);
    }
    for (head, rule) in HEADS {
        check((*head).to_owned(), *rule, &limits);
    }
    let small = Limits { head_bytes_max: 400, fields_max: 8, target_bytes_max: 20 };
    check(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20)), Rule::TargetTooLong, &small);
    check(format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(500)), Rule::HeadTooLong, &small);
    check(format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(9)), Rule::TooManyFields, &small);
    let options = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", "a,".repeat(65));
    check(options, Rule::TooManyOptions, &limits);
    for (text, rule) in BODIES {
        let InvalidBody(broken) = decode(Body::Chunked, text.as_bytes()).expect_err(text);
        answered(&broken.into(), *rule, text);
        seen.insert(*rule);
    }
    for (text, rule) in endless_bodies() {
        let InvalidBody(broken) = feed(Body::Chunked, [text.as_bytes()]).expect_err("too much");
        answered(&broken.into(), rule, &text);
        seen.insert(rule);
    }
    seen.insert(response::parse(b"ICY 200 OK\r\n\r\n", false).expect_err("no status line").rule);
    for rule in Rule::ALL {
        assert!(seen.contains(&rule), "no case breaks {rule:?}");
    }
}

#[test]
fn the_table_names_its_sources() {
    for rule in Rule::ALL {
        let (status, why, source) = rule.row();
        assert!((400..600).contains(&status) && !why.is_empty() && source.starts_with("RFC "), "{rule:?}");
    }
}

#[test]
fn v1s_words() {
    let limits = Limits::default();
    let missing = parse(b"GET / HTTP/1.1\r\n\r\n", &limits).unwrap_err().reply();
    assert_eq!(&*missing.body, b"400 Bad Request: missing required Host header");
    let bad = parse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", &limits).unwrap_err().reply();
    assert_eq!(&*bad.body, b"400 Bad Request");
    let small = Limits { head_bytes_max: 10, ..limits };
    let long = parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &small).unwrap_err().reply();
    assert_eq!(&*long.body, b"431 Request Header Fields Too Large");
}
