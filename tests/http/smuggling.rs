//! Every violation of the table in `http::violation`, each with the bytes that cause it.

use std::collections::HashSet;

use ringway::http::h1::progress::HeadLimits;
use ringway::http::{BodyFraming, InvalidBody, RejectedRequest, Violation};
use ringway::limits::{CHUNK_OVERHEAD_BYTES_MAX, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

use super::body::{decode, feed};
use super::request::parse;
use super::response;

/// Request lines; a Host field and the empty line follow.
const LINES: &[(&str, Violation)] = &[
    ("GET  / HTTP/1.1", Violation::RequestLine),
    ("GET /  HTTP/1.1", Violation::RequestLine),
    ("GET / HTTP/1.1 ", Violation::RequestLine),
    ("GET /a b HTTP/1.1", Violation::Version),
    (" GET / HTTP/1.1", Violation::Method),
    ("\tGET / HTTP/1.1", Violation::Method),
    ("G(T / HTTP/1.1", Violation::Method),
    ("G\0T / HTTP/1.1", Violation::Method),
    ("\x16\x03\x01", Violation::Method),
    ("GET", Violation::Method),
    ("AVERYLONGMETHODTHATNOBODYEVERREGISTERED / HTTP/1.1", Violation::Method),
    ("GET\t/ HTTP/1.1", Violation::Method),
    ("CONNECT a:443 HTTP/1.1", Violation::Connect),
    ("CONNECT / HTTP/1.1", Violation::Connect),
    ("GET /\0 HTTP/1.1", Violation::Target),
    ("GET /\x7f HTTP/1.1", Violation::Target),
    ("GET /a\tb HTTP/1.1", Violation::Target),
    ("GET /a#b HTTP/1.1", Violation::Target),
    ("GET a HTTP/1.1", Violation::TargetForm),
    ("GET ?a HTTP/1.1", Violation::TargetForm),
    ("GET * HTTP/1.1", Violation::TargetForm),
    ("OPTIONS *a HTTP/1.1", Violation::TargetForm),
    ("GET a:443 HTTP/1.1", Violation::TargetForm),
    ("GET ftp://a/ HTTP/1.1", Violation::TargetForm),
    ("GET http://a?b HTTP/1.1", Violation::TargetForm),
    ("GET http:/a HTTP/1.1", Violation::TargetForm),
    ("GET http:///a HTTP/1.1", Violation::HostInvalid),
    ("GET http://u:p@a/ HTTP/1.1", Violation::HostInvalid),
    ("GET http://a:b/ HTTP/1.1", Violation::HostInvalid),
    ("GET /%zz HTTP/1.1", Violation::TargetEscape),
    ("GET /% HTTP/1.1", Violation::TargetEscape),
    ("GET /%4?%zz HTTP/1.1", Violation::TargetEscape),
    ("GET http://a/%4 HTTP/1.1", Violation::TargetEscape),
    ("GET /", Violation::Version),
    ("GET / HTTP/1.", Violation::Version),
    ("GET / http/1.1", Violation::Version),
    ("GET / HTTP/1,1", Violation::Version),
    ("GET / HTTP/1.10", Violation::Version),
    ("GET / HTTP/11.1", Violation::Version),
    ("GET / HTTX/1.1", Violation::Version),
    ("GET / HTTP/2.0", Violation::VersionUnknown),
    ("PRI * HTTP/2.0", Violation::VersionUnknown),
    ("GET / HTTP/1.2", Violation::VersionUnknown),
    ("GET / HTTP/0.9", Violation::VersionUnknown),
    ("GET / HTTP/1.1\n", Violation::BareLf),
    ("GET / HTTP/1.1\rX", Violation::BareCr),
    ("\rGET / HTTP/1.1", Violation::BareCr),
    ("\nGET / HTTP/1.1", Violation::Method),
    ("\r\n\r\n\r\nGET / HTTP/1.1", Violation::Method),
];

/// Field lines behind `POST / HTTP/1.1` and a Host field.
const FIELDS: &[(&str, Violation)] = &[
    ("A: b\rc", Violation::BareCr),
    ("A: b\r\r", Violation::BareCr),
    ("A: b\nC: d", Violation::BareLf),
    ("A: b\n\nGET /x HTTP/1.1", Violation::BareLf),
    ("A: b\r\n c", Violation::Fold),
    ("A: b\r\n\tc", Violation::Fold),
    (" Content-Length: 5", Violation::Fold),
    (": b", Violation::EmptyName),
    ("A\0: b", Violation::NameByte),
    ("A(: b", Violation::NameByte),
    ("A\u{e4}: b", Violation::NameByte),
    ("A\x01: b", Violation::NameByte),
    ("\x0bContent-Length: 5", Violation::NameByte),
    ("Content-Length : 5", Violation::SpaceBeforeColon),
    ("Transfer-Encoding\t: chunked", Violation::SpaceBeforeColon),
    ("A b: c", Violation::SpaceBeforeColon),
    ("A", Violation::NoColon),
    ("A: b\0", Violation::ValueByte),
    ("A: \x01b", Violation::ValueByte),
    ("A: b\x7f", Violation::ValueByte),
    ("A: \x0bb", Violation::ValueByte),
    ("Host: a", Violation::HostRepeated),
    ("Host: b", Violation::HostRepeated),
    ("hOST:", Violation::HostRepeated),
    ("Content-Length:", Violation::LengthInvalid),
    ("Content-Length: +5", Violation::LengthInvalid),
    ("Content-Length: -5", Violation::LengthInvalid),
    ("Content-Length: 0x5", Violation::LengthInvalid),
    ("Content-Length: 5 5", Violation::LengthInvalid),
    ("Content-Length: 5, 5", Violation::LengthInvalid),
    ("Content-Length: 5,", Violation::LengthInvalid),
    ("Content-Length: 1_0", Violation::LengthInvalid),
    ("Content-Length: 5.0", Violation::LengthInvalid),
    ("Content-Length: 9223372036854775808", Violation::LengthInvalid),
    ("Content-Length: 18446744073709551621", Violation::LengthInvalid),
    ("Content-Length: 5\r\nContent-Length: 6", Violation::LengthRepeated),
    ("Content-Length: 5\r\nContent-Length: 5", Violation::LengthRepeated),
    ("Content-Length: 0\r\nX: y\r\ncontent-length: 0", Violation::LengthRepeated),
    ("Content-Length: 5\r\nTransfer-Encoding: chunked", Violation::LengthAndCoding),
    ("Transfer-Encoding: chunked\r\nContent-Length: 0", Violation::LengthAndCoding),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Violation::CodingRepeated),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Violation::CodingRepeated),
    ("Transfer-Encoding: gzip, chunked", Violation::CodingNotChunked),
    ("Transfer-Encoding: xchunked", Violation::CodingNotChunked),
    ("Transfer-Encoding: identity", Violation::CodingNotChunked),
    ("Transfer-Encoding:", Violation::CodingNotChunked),
    ("Transfer-Encoding: chunked, identity", Violation::CodingNotChunked),
    ("Transfer-Encoding: chunked, chunked", Violation::CodingNotChunked),
    ("Transfer-Encoding: chunked;q=1", Violation::CodingNotChunked),
    ("Transfer-Encoding: \"chunked\"", Violation::CodingNotChunked),
    ("Transfer-Encoding: \x0bchunked", Violation::ValueByte),
    ("Transfer-Encoding: ,chunked", Violation::CodingNotChunked),
    ("Expect: 200-ok", Violation::Expectation),
    ("Expect: 100-continue, x", Violation::Expectation),
    ("Expect:", Violation::Expectation),
];

/// Whole heads.
const HEADS: &[(&str, Violation)] = &[
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Violation::LeadingSpace),
    ("GET / HTTP/1.1\r\n\tX: a\r\nHost: a\r\n\r\n", Violation::LeadingSpace),
    ("GET / HTTP/1.1\r\n\r\n", Violation::HostMissing),
    ("GET http://a/ HTTP/1.1\r\n\r\n", Violation::HostMissing),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Violation::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Violation::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Violation::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Violation::HostInvalid),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Violation::HostInvalid),
    ("GET / HTTP/1.0\r\nHost: u@a\r\n\r\n", Violation::HostInvalid),
    ("GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", Violation::HostInvalid),
    ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Violation::HostRepeated),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::CodingInHttp10),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Violation::CodingInHttp10),
    ("GET / HTTP/1.1\n\r\n", Violation::BareLf),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", Violation::BareLf),
    ("GET / HTTP/1.1\r\nHost: a\r\n\rX", Violation::BareCr),
];

/// Chunked bodies.
const BODIES: &[(&str, Violation)] = &[
    ("", Violation::BodyTruncated),
    ("5\r\nhello\r\n", Violation::BodyTruncated),
    ("5\r\nhello\r\n0\r\n", Violation::BodyTruncated),
    ("+5\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("-5\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("0x5\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("5_0\r\n", Violation::ChunkSize),
    ("\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    (";a\r\n", Violation::ChunkSize),
    ("g\r\n", Violation::ChunkSize),
    (" 5\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("5 \r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("5\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("5\rhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("5;a\rb\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("ffffffffffffffff\r\na", Violation::ChunkSizeTooLong),
    ("10000000000000005\r\nhello\r\n0\r\n\r\n", Violation::ChunkSizeTooLong),
    ("00000000000000005\r\nhello\r\n0\r\n\r\n", Violation::ChunkSizeTooLong),
    ("5;a\nhello\r\n0\r\n\r\n", Violation::ChunkExtension),
    ("5;\0\r\nhello\r\n0\r\n\r\n", Violation::ChunkExtension),
    ("5;\x7f\r\nhello\r\n0\r\n\r\n", Violation::ChunkExtension),
    ("5\r\nhello\n0\r\n\r\n", Violation::ChunkEnd),
    ("5\r\nhello!\r\n0\r\n\r\n", Violation::ChunkEnd),
    ("5\r\nhelloXX0\r\n\r\n", Violation::ChunkEnd),
    ("5\r\nhello\rX0\r\n\r\n", Violation::ChunkEnd),
    ("0\r\n\n", Violation::Trailer),
    ("0\r\nX\r\n\r\n", Violation::Trailer),
    ("0\r\nGET / HTTP/1.1\r\n\r\n", Violation::Trailer),
    ("0\r\n: b\r\n\r\n", Violation::Trailer),
    ("0\r\nA : b\r\n\r\n", Violation::Trailer),
    ("0\r\nA: b\n\r\n", Violation::Trailer),
    ("0\r\nA: b\rc\r\n\r\n", Violation::Trailer),
    ("0\r\n A: b\r\n\r\n", Violation::Trailer),
    ("0\r\nA: b\r\n c\r\n\r\n", Violation::Trailer),
    ("0\r\nA: \0\r\n\r\n", Violation::Trailer),
];

/// The client's response to a request with this violation.
fn answered(reject: &RejectedRequest, rule: Violation, text: &str) {
    assert_eq!(reject.rule, rule, "{text:.100?}");
    let reply = reject.reply();
    assert_eq!((reply.status, reply.close), (rule.status(), true));
    assert!(reply.body.starts_with(rule.status().to_string().as_bytes()));
}

/// Bodies that exceed a limit and are too long to be cut at every byte.
fn endless_bodies() -> [(String, Violation); 4] {
    let (overhead, trailer) = (CHUNK_OVERHEAD_BYTES_MAX as usize + 1, TRAILER_BYTES_MAX);
    [
        (format!("1;{}\r\n", "a".repeat(overhead)), Violation::ChunkOverhead),
        (format!("1;{}\r\na\r\n", "a".repeat(1000)).repeat(30), Violation::ChunkOverhead),
        (format!("0\r\nA: {}\r\n\r\n", "a".repeat(trailer)), Violation::TrailerTooLong),
        (format!("0\r\n{}\r\n", "Host: b\r\n".repeat(TRAILER_FIELDS_MAX + 1)), Violation::TrailerTooLong),
    ]
}

#[test]
fn every_violation_is_refused() {
    let mut seen = HashSet::new();
    let mut check = |text: String, rule: Violation, limits: &HeadLimits| {
        answered(&parse(text.as_bytes(), limits).expect_err(&text), rule, &text);
        seen.insert(rule);
    };
    let limits = HeadLimits::default();
    for (line, rule) in LINES {
        check(format!("{line}\r\nHost: a\r\n\r\n"), *rule, &limits);
    }
    for (fields, rule) in FIELDS {
        check(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"), *rule, &limits);
    }
    for (head, rule) in HEADS {
        check((*head).to_owned(), *rule, &limits);
    }
    let small = HeadLimits { head_bytes_max: 400, fields_max: 8, target_bytes_max: 20 };
    check(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20)), Violation::TargetTooLong, &small);
    check(format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(500)), Violation::HeadTooLong, &small);
    check(format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(9)), Violation::TooManyFields, &small);
    let options = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", "a,".repeat(65));
    check(options, Violation::TooManyOptions, &limits);
    for (text, rule) in BODIES {
        let InvalidBody(broken) = decode(BodyFraming::Chunked, text.as_bytes()).expect_err(text);
        answered(&broken.into(), *rule, text);
        seen.insert(*rule);
    }
    for (text, rule) in endless_bodies() {
        let InvalidBody(broken) = feed(BodyFraming::Chunked, [text.as_bytes()]).expect_err("too much");
        answered(&broken.into(), rule, &text);
        seen.insert(rule);
    }
    seen.insert(response::parse(b"ICY 200 OK\r\n\r\n", false).expect_err("no status line").rule);
    seen.extend(crate::h2::fields::provoked());
    for rule in Violation::ALL {
        assert!(seen.contains(&rule), "no case breaks {rule:?}");
    }
}

#[test]
fn every_violation_names_its_source() {
    for rule in Violation::ALL {
        let (status, why, source) = rule.row();
        assert!((400..600).contains(&status) && !why.is_empty() && source.starts_with("RFC "), "{rule:?}");
    }
}

#[test]
fn v1s_words() {
    let limits = HeadLimits::default();
    let missing = parse(b"GET / HTTP/1.1\r\n\r\n", &limits).unwrap_err().reply();
    assert_eq!(&*missing.body, b"400 Bad Request: missing required Host header");
    let bad = parse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", &limits).unwrap_err().reply();
    assert_eq!(&*bad.body, b"400 Bad Request");
    let small = HeadLimits { head_bytes_max: 10, ..limits };
    let long = parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &small).unwrap_err().reply();
    assert_eq!(&*long.body, b"431 Request Header Fields Too Large");
}
