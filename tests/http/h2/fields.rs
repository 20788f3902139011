//! Received header blocks become heads: what is accepted, and which rule every other block violates.

use proptest::prelude::*;
use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::{request_head, response_head};
use ringway::http::h2::fields::{HeadError, decode_request, decode_response, decode_trailers};
use ringway::http::h2::hpack::Decoder;
use ringway::http::h2::pack::{encode_request, encode_response, encode_trailers};
use ringway::http::{BodyFraming, KnownField, RequestHead, ResponseHead, Upgrade, Version, Violation};

use super::block::{index, indexed_literal, literals};

type Pairs<'a> = &'a [(&'a str, &'a str)];

const GET: Pairs<'_> = &[(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/p?q")];
const POST: Pairs<'_> = &[(":method", "POST"), (":scheme", "https"), (":authority", "a.example"), (":path", "/")];
const CONNECT: Pairs<'_> = &[
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "a.example"),
];

fn request_of(block: &[u8], end_stream: bool, limits: &HeadLimits) -> Result<(RequestHead, String), HeadError> {
    let (mut head, mut lines) = (RequestHead::default(), b"rest".to_vec());
    let result = decode_request(&mut Decoder::new(4096), block, end_stream, limits, &mut head, &mut lines);
    if result.is_err() {
        assert!(lines.is_empty() && head.fields.is_empty(), "an error leaves nothing behind");
    }
    result.map(|()| (head, String::from_utf8_lossy(&lines).into_owned()))
}

fn request(pairs: Pairs<'_>, end_stream: bool) -> Result<(RequestHead, String), HeadError> {
    request_of(&literals(pairs), end_stream, &HeadLimits::default())
}

fn with(pairs: Pairs<'_>, more: Pairs<'_>) -> Vec<(String, String)> {
    pairs.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn request_with(pairs: Pairs<'_>, more: Pairs<'_>, end_stream: bool) -> Result<(RequestHead, String), HeadError> {
    request_of(&literals(&with(pairs, more)), end_stream, &HeadLimits::default())
}

fn response(pairs: Pairs<'_>, end_stream: bool, to_head: bool) -> Result<(ResponseHead, String), HeadError> {
    let (mut head, mut lines) = (ResponseHead::default(), Vec::new());
    let limits = HeadLimits::RESPONSE;
    let block = literals(pairs);
    decode_response(&mut Decoder::new(4096), &block, end_stream, to_head, &limits, &mut head, &mut lines)?;
    Ok((head, String::from_utf8_lossy(&lines).into_owned()))
}

fn trailers(pairs: Pairs<'_>) -> Result<String, HeadError> {
    let mut lines = Vec::new();
    decode_trailers(&mut Decoder::new(4096), &literals(pairs), &mut lines)?;
    Ok(String::from_utf8_lossy(&lines).into_owned())
}

/// Checks that each field of a head refers to its line, and that its name is known as from HTTP/1.1.
fn check_fields(head: &RequestHead, lines: &str) {
    for field in &head.fields {
        let (name, value) = (field.name.of(lines.as_bytes()), field.value.of(lines.as_bytes()));
        assert_eq!(field.known, KnownField::of(name), "{lines}");
        let line = [name, b": ", value, b"\r\n"].concat();
        let end = field.value.end as usize + 2;
        assert_eq!(&lines.as_bytes()[field.name.start as usize..end], line, "{lines}");
    }
}

#[test]
fn request_becomes_the_lines_of_a_head() {
    let more = [("accept", "*/*"), ("te", "trailers"), ("x-forwarded-for", "1.2.3.4"), ("user-agent", "")];
    let (head, lines) = request_with(GET, &more, true).unwrap();
    assert_eq!(
        lines,
        "GET /p?q HTTP/2.0\r\nhost: a.example\r\naccept: */*\r\nte: trailers\r\nx-forwarded-for: 1.2.3.4\r\nuser-agent: \r\n\r\n"
    );
    let bytes = lines.as_bytes();
    assert_eq!(
        (head.method.of(bytes), head.target.of(bytes), head.host.of(bytes)),
        (&b"GET"[..], &b"/p?q"[..], &b"a.example"[..])
    );
    assert_eq!(
        (head.version, head.body, head.keep_alive, head.len),
        (Version::Http2, BodyFraming::None, true, bytes.len())
    );
    assert_eq!((head.upgrade, head.extended_connect, head.websocket), (Upgrade::None, false, false));
    assert_eq!(head.fields.len(), 5);
    check_fields(&head, &lines);
}

#[test]
fn request_without_regular_fields_is_complete() {
    let (head, lines) = request(GET, true).unwrap();
    assert_eq!((lines.as_str(), head.fields.len()), ("GET /p?q HTTP/2.0\r\nhost: a.example\r\n\r\n", 1));
    let options = [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "a")];
    assert_eq!(request(&options, true).unwrap().1, "OPTIONS * HTTP/2.0\r\nhost: a\r\n\r\n");
}

#[test]
fn host_stands_in_for_the_authority_and_is_left_out_beside_it() {
    let alone = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("accept", "x"), ("host", "b:81")];
    let (head, lines) = request(&alone, true).unwrap();
    assert_eq!(lines, "GET / HTTP/2.0\r\naccept: x\r\nhost: b:81\r\n\r\n");
    assert_eq!(head.host.of(lines.as_bytes()), b"b:81");
    check_fields(&head, &lines);
    for same in ["a.example", "A.EXAMPLE", "a.example.", "a.example:443"] {
        let (head, lines) = request_with(GET, &[("host", same), ("accept", "x")], true).unwrap();
        assert_eq!(lines, "GET /p?q HTTP/2.0\r\nhost: a.example\r\naccept: x\r\n\r\n");
        check_fields(&head, &lines);
    }
}

#[test]
fn cookie_crumbs_become_one_field() {
    for (more, expected) in [
        (
            &[("cookie", "a=1"), ("cookie", "b=2"), ("accept", "x"), ("cookie", "")][..],
            "accept: x\r\ncookie: a=1; b=2\r\n",
        ),
        (
            &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c"), ("accept", "x")],
            "cookie: a=1; b=2; c\r\naccept: x\r\n",
        ),
        (&[("cookie", ""), ("cookie", "b=2"), ("cookie", "")], "cookie: b=2\r\n"),
        (&[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("yy", "2")], "x: 1\r\nyy: 2\r\ncookie: a=1; b=2\r\n"),
        (
            &[("x", "1"), ("cookie", "a"), ("y", "2"), ("cookie", "b"), ("cookie", "c"), ("z", ""), ("cookie", "d")],
            "x: 1\r\ny: 2\r\nz: \r\ncookie: a; b; c; d\r\n",
        ),
    ] {
        let (head, lines) = request_with(GET, more, true).unwrap();
        assert_eq!(lines, format!("GET /p?q HTTP/2.0\r\nhost: a.example\r\n{expected}\r\n"));
        assert_eq!(head.fields.iter().filter(|field| field.known == KnownField::Cookie).count(), 1);
        check_fields(&head, &lines);
    }
}

#[test]
fn body_is_framed_by_the_stream_and_content_length() {
    for (length, end_stream, expected) in [
        (None, true, BodyFraming::None),
        (None, false, BodyFraming::Chunked),
        (Some("0"), true, BodyFraming::None),
        (Some("0"), false, BodyFraming::None),
        (Some("5"), false, BodyFraming::Length(5)),
    ] {
        let more: Vec<_> = length.map(|length| ("content-length", length)).into_iter().collect();
        assert_eq!(request_with(POST, &more, end_stream).unwrap().0.body, expected);
    }
    let expect = [("expect", "100-Continue")];
    assert!(request_with(POST, &expect, false).unwrap().0.expect_continue);
    assert!(!request_with(POST, &expect, true).unwrap().0.expect_continue);
    assert!(request_with(GET, &[("authorization", "NTLM abc")], true).unwrap().0.binds_connection);
}

#[test]
fn extended_connect_becomes_an_upgrade() {
    let (head, lines) = request_with(CONNECT, &[("sec-websocket-version", "13")], false).unwrap();
    let expected = "GET /chat HTTP/2.0\r\nhost: a.example\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\r\n";
    assert_eq!(lines, expected);
    assert_eq!(
        (head.upgrade, head.websocket, head.extended_connect, head.body),
        (Upgrade::Forwarded, true, true, BodyFraming::None)
    );
    check_fields(&head, &lines);
    let mut other = CONNECT.to_vec();
    other[1].1 = "derp";
    let (head, _) = request(&other, false).unwrap();
    assert_eq!((head.upgrade, head.websocket, head.extended_connect), (Upgrade::Forwarded, false, true));
    // The head that follows on the same connection has none of it.
    let (mut head, mut lines, mut decoder) = (head, Vec::new(), Decoder::new(4096));
    decode_request(&mut decoder, &literals(GET), true, &HeadLimits::default(), &mut head, &mut lines).unwrap();
    assert_eq!((head.upgrade, head.websocket, head.extended_connect), (Upgrade::None, false, false));
}

const M: &str = ":method";
const S: &str = ":scheme";
const A: &str = ":authority";
const P: &str = ":path";

/// Requests that are malformed: a stream error.
const MALFORMED: &[(Pairs<'_>, Violation)] = &[
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("Accept", "x")], Violation::NameUppercase),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("", "x")], Violation::EmptyName),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a b", "x")], Violation::NameByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a:", "x")], Violation::NameByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a\r\nb", "x")], Violation::NameByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a", "x\r\nb: c")], Violation::ValueByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a", "x\ny")], Violation::ValueByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a", "x\ry")], Violation::ValueByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a", "\0")], Violation::ValueByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a", " x")], Violation::ValueSpace),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("a", "x\t")], Violation::ValueSpace),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/\r\nx: y")], Violation::ValueByte),
    (&[(M, "GET\r\n"), (S, "http"), (A, "a"), (P, "/")], Violation::ValueByte),
    (&[(M, "GET"), (S, "http"), (A, "a\r\nb: c"), (P, "/")], Violation::ValueByte),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("connection", "close")], Violation::ConnectionField),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("keep-alive", "x")], Violation::ConnectionField),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("proxy-connection", "x")], Violation::ConnectionField),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("transfer-encoding", "chunked")], Violation::ConnectionField),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("upgrade", "h2c")], Violation::ConnectionField),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("te", "trailers, gzip")], Violation::TeNotTrailers),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("te", "")], Violation::TeNotTrailers),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), (":x", "y")], Violation::PseudoUnknown),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), (":status", "200")], Violation::PseudoUnknown),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), (P, "/")], Violation::PseudoRepeated),
    (&[(M, "GET"), (M, "GET"), (S, "http"), (A, "a"), (P, "/")], Violation::PseudoRepeated),
    (&[(S, "http"), (A, "a"), (P, "/")], Violation::PseudoMissing),
    (&[(M, "GET"), (A, "a"), (P, "/")], Violation::PseudoMissing),
    (&[(M, "GET"), (S, "http"), (A, "a")], Violation::PseudoMissing),
    (&[], Violation::PseudoMissing),
    (&[("accept", "x"), (M, "GET"), (S, "http"), (A, "a"), (P, "/")], Violation::PseudoMissing),
    (&[(M, "GET"), (S, "http"), (P, "/"), ("host", "a"), (A, "a")], Violation::PseudoAfterField),
    (&[(M, "GET"), (S, "ftp"), (A, "a"), (P, "/")], Violation::Scheme),
    (&[(M, "GET"), (S, ""), (A, "a"), (P, "/")], Violation::Scheme),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "")], Violation::PathEmpty),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("host", "b")], Violation::HostDiffers),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("host", "a:443")], Violation::HostDiffers),
    (&[(M, "GET"), (":protocol", "websocket"), (S, "http"), (A, "a"), (P, "/")], Violation::ConnectForm),
    (&[(M, "CONNECT"), (S, "http"), (A, "a:1"), (P, "/")], Violation::ConnectForm),
    (&[(M, "CONNECT")], Violation::ConnectForm),
    (&[(M, "CONNECT"), (":protocol", "websocket"), (A, "a:1")], Violation::PseudoMissing),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("content-length", "+1")], Violation::LengthInvalid),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("content-length", "1, 1")], Violation::LengthInvalid),
    (
        &[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("content-length", "0"), ("content-length", "0")],
        Violation::LengthRepeated,
    ),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("content-length", "1")], Violation::LengthMismatch),
];

/// Requests that get a reply.
const REJECTED: &[(Pairs<'_>, Violation)] = &[
    (&[(M, "GET"), (S, "http"), (P, "/")], Violation::HostMissing),
    (&[(M, "GET"), (S, "http"), (A, ""), (P, "/")], Violation::HostInvalid),
    (&[(M, "GET"), (S, "http"), (A, "u@a"), (P, "/")], Violation::HostInvalid),
    (&[(M, "GET"), (S, "http"), (A, "a/b"), (P, "/")], Violation::HostInvalid),
    (&[(M, "GET"), (S, "http"), (P, "/"), ("host", "a b")], Violation::HostInvalid),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("host", "")], Violation::HostInvalid),
    (&[(M, "GET"), (S, "http"), (P, "/"), ("host", "a"), ("host", "a")], Violation::HostRepeated),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("host", "a"), ("host", "a")], Violation::HostRepeated),
    (&[(M, "G T"), (S, "http"), (A, "a"), (P, "/")], Violation::Method),
    (&[(M, ""), (S, "http"), (A, "a"), (P, "/")], Violation::Method),
    (&[(M, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"), (S, "http"), (A, "a"), (P, "/")], Violation::Method),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/a b")], Violation::Target),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/ HTTP/1.1")], Violation::Target),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/#x")], Violation::Target),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/%2")], Violation::TargetEscape),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "x")], Violation::TargetForm),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "*")], Violation::TargetForm),
    (&[(M, "OPTIONS"), (S, "http"), (A, "a"), (P, "*?")], Violation::TargetForm),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "http://a/")], Violation::TargetForm),
    (&[(M, "GET"), (S, "http"), (A, "a"), (P, "/"), ("expect", "200-ok")], Violation::Expectation),
    (&[(M, "CONNECT"), (A, "a:443")], Violation::Connect),
    (&[(M, "CONNECT"), (":protocol", "h2c"), (S, "http"), (A, "a"), (P, "/")], Violation::TunnelProtocol),
    (&[(M, "CONNECT"), (":protocol", "TLS/1.3"), (S, "http"), (A, "a"), (P, "/")], Violation::TunnelProtocol),
    (&[(M, "CONNECT"), (":protocol", "websocket, foo"), (S, "http"), (A, "a"), (P, "/")], Violation::TunnelProtocol),
    (&[(M, "CONNECT"), (":protocol", ""), (S, "http"), (A, "a"), (P, "/")], Violation::TunnelProtocol),
];

/// Responses that are malformed, without the end of the stream.
const RESPONSES: &[(Pairs<'_>, Violation)] = &[
    (&[(":status", "20")], Violation::Status),
    (&[(":status", "099")], Violation::Status),
    (&[(":status", "2000")], Violation::Status),
    (&[(":status", "+20")], Violation::Status),
    (&[(":status", "101")], Violation::SwitchingProtocols),
    (&[(":status", "200"), (":status", "200")], Violation::PseudoRepeated),
    (&[("server", "x"), (":status", "200")], Violation::PseudoMissing),
    (&[], Violation::PseudoMissing),
    (&[(":status", "200"), ("server", "x"), (":path", "/")], Violation::PseudoAfterField),
    (&[(":status", "200"), (":path", "/")], Violation::PseudoUnknown),
    (&[(":status", "200"), ("connection", "close")], Violation::ConnectionField),
    (&[(":status", "200"), ("Server", "x")], Violation::NameUppercase),
    (&[(":status", "200"), ("server", "x\ny")], Violation::ValueByte),
    (&[(":status", "200"), ("server", " x\n")], Violation::ValueByte),
    (&[(":status", "200"), ("content-length", "1"), ("content-length", "2")], Violation::LengthRepeated),
    (&[(":status", "200"), ("content-length", "x")], Violation::LengthInvalid),
];

const TRAILERS: &[(Pairs<'_>, Violation)] = &[
    (&[("a", "b"), (":status", "200")], Violation::PseudoInTrailers),
    (&[(":x", "")], Violation::PseudoInTrailers),
    (&[("A", "b")], Violation::NameUppercase),
    (&[("a", "b\nc")], Violation::ValueByte),
    (&[("connection", "close")], Violation::ConnectionField),
];

/// The rules that only the connection can check, whose tests are those of the connection.
const OF_THE_CONNECTION: [Violation; 1] = [Violation::TrailersWithoutEnd];

/// All rules that blocks of these tests violate, and those of the connection.
pub fn provoked() -> impl Iterator<Item = Violation> {
    let tables = [MALFORMED, REJECTED, RESPONSES, TRAILERS];
    let rules = tables.into_iter().flatten().map(|(_, rule)| *rule);
    rules.chain([Violation::InterimEnd]).chain(OF_THE_CONNECTION)
}

#[test]
fn request_that_violates_a_rule_is_refused() {
    for (pairs, rule) in MALFORMED {
        let error = request(pairs, true).expect_err(rule.why());
        assert_eq!(error, HeadError::Malformed(*rule), "{pairs:?}");
    }
    for (pairs, rule) in REJECTED {
        let error = request(pairs, true).expect_err(rule.why());
        assert_eq!(error, HeadError::Rejected((*rule).into()), "{pairs:?}");
    }
}

#[test]
fn response_that_violates_a_rule_is_malformed() {
    for (pairs, rule) in RESPONSES {
        let error = response(pairs, false, false).expect_err(rule.why());
        assert_eq!(error, HeadError::Malformed(*rule), "{pairs:?}");
    }
    let interim = response(&[(":status", "103")], true, false).expect_err("an end");
    assert_eq!(interim, HeadError::Malformed(Violation::InterimEnd));
    let short = response(&[(":status", "200"), ("content-length", "1")], true, false).expect_err("no body");
    assert_eq!(short, HeadError::Malformed(Violation::LengthMismatch));
}

#[test]
fn trailer_that_violates_a_rule_is_malformed() {
    for (pairs, rule) in TRAILERS {
        assert_eq!(trailers(pairs), Err(HeadError::Malformed(*rule)), "{pairs:?}");
    }
    for many in [vec![("a", "b"); 65], vec![("host", "b"); 65], vec![("a", &"b".repeat(300)[..]); 60]] {
        assert_eq!(trailers(&many), Err(HeadError::Malformed(Violation::TrailerTooLong)));
    }
}

#[test]
fn response_becomes_the_lines_of_a_head() {
    let fields =
        [(":status", "200"), ("date", "D"), ("server", " s\t"), ("content-length", "3"), ("content-length", "3")];
    let (head, lines) = response(&fields, false, false).unwrap();
    assert_eq!(lines, "HTTP/2.0 200 \r\ndate: D\r\nserver: s\r\ncontent-length: 3\r\n\r\n");
    assert_eq!((head.status, head.version, head.body), (200, Version::Http2, BodyFraming::Length(3)));
    assert!(head.has_date && head.keep_alive && head.reason.is_empty() && head.len == lines.len());
    assert_eq!(head.fields[1].value.of(lines.as_bytes()), b"s");
    for (status, length, end_stream, to_head, expected) in [
        ("200", None, false, false, BodyFraming::Chunked),
        ("200", None, true, false, BodyFraming::None),
        ("200", Some("0"), false, false, BodyFraming::None),
        ("200", Some("7"), true, true, BodyFraming::None),
        ("304", Some("7"), true, false, BodyFraming::None),
        ("204", None, true, false, BodyFraming::None),
        ("103", None, false, false, BodyFraming::None),
    ] {
        let mut fields = vec![(":status", status)];
        fields.extend(length.map(|length| ("content-length", length)));
        assert_eq!(response(&fields, end_stream, to_head).unwrap().0.body, expected, "{status} {length:?}");
    }
    let bound = response(&[(":status", "401"), ("www-authenticate", "Negotiate")], true, false).unwrap().0;
    assert!(bound.binds_connection);
}

#[test]
fn trailers_are_filtered_as_those_of_chunked_bodies() {
    let sent = [
        ("grpc-status", "0"),
        ("content-length", "3"),
        ("x-forwarded-for", "1"),
        ("grpc-message", "a b "),
        ("te", "x"),
    ];
    assert_eq!(trailers(&sent).unwrap(), "grpc-status: 0\r\ngrpc-message: a b\r\n");
    assert_eq!(trailers(&[]).unwrap(), "");
}

#[test]
fn head_beyond_a_bound_is_refused_and_the_table_stays_right() {
    let limits = HeadLimits { head_bytes_max: 400, fields_max: 8, target_bytes_max: 20 };
    let long_path = [(M, "GET"), (S, "http"), (A, "a"), (P, "/aaaaaaaaaaaaaaaaaaaa")];
    let rejected = |rule: Violation| HeadError::Rejected(rule.into());
    assert_eq!(request_of(&literals(&long_path), true, &limits).err(), Some(rejected(Violation::TargetTooLong)));
    let crumbs = with(GET, &[("cookie", "a"); 5]);
    assert_eq!(request_of(&literals(&crumbs), true, &limits).err(), Some(rejected(Violation::TooManyFields)));
    // 188 bytes count for the pseudo-header fields: 60 of text and 4 times 32.
    let text: usize = GET.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    for (over, expected) in [(0, None), (1, Some(rejected(Violation::HeadTooLong)))] {
        let value = "v".repeat(400 - text - 33 + over);
        let block = literals(&with(GET, &[("x", &value)]));
        assert_eq!(request_of(&block, true, &limits).err(), expected);
    }

    let (mut decoder, mut head, mut lines) = (Decoder::new(4096), RequestHead::default(), Vec::new());
    let pseudo = literals(GET);
    let bomb = [
        &pseudo[..],
        &indexed_literal(b"bomb", &[b'v'; 3000]),
        &index(62).repeat(10_000),
        &indexed_literal(b"x", b"y"),
    ]
    .concat();
    let result = decode_request(&mut decoder, &bomb, true, &limits, &mut head, &mut lines);
    assert_eq!(result, Err(rejected(Violation::HeadTooLong)));
    assert!(lines.capacity() < 8 * 1024, "{}", lines.capacity());
    let next = [&pseudo[..], &index(62)].concat();
    decode_request(&mut decoder, &next, true, &limits, &mut head, &mut lines).unwrap();
    assert!(lines.ends_with(b"\r\nx: y\r\n\r\n"), "the entry after the bound was stored");
    // Likewise after a malformed head, in all three kinds of blocks.
    let broken = [&literals(&[("X", "y")])[..], &indexed_literal(b"y", b"1")].concat();
    decode_request(&mut decoder, &broken, true, &limits, &mut head, &mut lines).expect_err("malformed");
    decode_trailers(&mut decoder, &[&broken[..], &indexed_literal(b"z", b"2")].concat(), &mut lines)
        .expect_err("malformed");
    let mut response = ResponseHead::default();
    let ok = [&[0x88][..], &index(62), &index(63)].concat();
    decode_response(&mut decoder, &ok, true, false, &HeadLimits::RESPONSE, &mut response, &mut lines).unwrap();
    assert_eq!(lines, b"HTTP/2.0 200 \r\nz: 2\r\ny: 1\r\n\r\n");
}

#[test]
fn invalid_block_is_a_compression_error() {
    let error = request_of(&[0x80], true, &HeadLimits::default()).unwrap_err();
    assert_eq!(error, HeadError::Compression("index zero in a header block"));
    let late = [literals(&[("X", "malformed")]), vec![0x80]].concat();
    assert!(matches!(request_of(&late, true, &HeadLimits::default()), Err(HeadError::Compression(_))));
}

/// The head that the strict parser of HTTP/1.1 reads from the lines.
fn reread(lines: &str) -> Option<RequestHead> {
    let mut head = RequestHead::default();
    let text = lines.replacen(" HTTP/2.0\r\n", " HTTP/1.1\r\n", 1);
    match request_head::parse_request(text.as_bytes(), &HeadLimits::default(), &mut head) {
        Ok(ParseProgress::Complete) => Some(head),
        _ => None,
    }
}

/// Asserts that HTTP/1.1 reads the same head from the lines.
fn check_reread(head: &RequestHead, lines: &str) {
    let second = reread(lines).unwrap_or_else(|| panic!("{lines:?}"));
    assert_eq!(second.len, head.len, "{lines:?}");
    assert_eq!((second.method, second.target, second.host), (head.method, head.target, head.host), "{lines:?}");
    assert_eq!(second.fields, head.fields, "{lines:?}");
}

#[test]
fn host_field_behind_cookie_crumbs_is_the_host() {
    let fields =
        [(M, "GET"), (S, "http"), (P, "/"), ("cookie", "a=evil.test"), ("x", "1"), ("host", "a.test"), ("cookie", "b")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (head, lines) = request_of(&literals(&fields), true, &HeadLimits::default()).expect("a request");
    assert_eq!(head.host.of(lines.as_bytes()), b"a.test", "{lines}");
    check_reread(&head, &lines);
}

proptest! {
    #[test]
    fn accepted_request_is_read_alike_by_http1(
        path in "/[!-~]{0,20}",
        host in prop_oneof![Just(String::new()), "[a-z.:0-9]{1,8}"],
        pairs in proptest::collection::vec(
            (
                prop_oneof![Just("cookie".to_owned()), Just("host".to_owned()), "[a-z:_-]{1,8}", "[ -~\r\n]{0,4}"],
                prop_oneof![Just("100-continue".to_owned()), Just("12".to_owned()), "[ -~]{0,12}", "[ -~\r\n\t\0]{0,6}"],
            ),
            0..8,
        ),
        end_stream: bool,
    ) {
        let mut fields = vec![(M.to_owned(), "POST".to_owned()), (S.to_owned(), "http".to_owned()), (P.to_owned(), path)];
        if !host.is_empty() {
            fields.push((A.to_owned(), host));
        }
        fields.extend(pairs);
        if let Ok((head, lines)) = request_of(&literals(&fields), end_stream, &HeadLimits::default()) {
            check_fields(&head, &lines);
            check_reread(&head, &lines);
        }
    }

    #[test]
    fn packed_request_is_decoded_to_the_same_lines(
        path in "/[a-z0-9?=&]{0,20}",
        pairs in proptest::collection::vec(("x-[a-z]{1,12}|accept|user-agent|te", "[!-~]([ -~]{0,90}[!-~])?"), 0..9),
        secure: bool,
    ) {
        let mut lines = format!("PUT {path} HTTP/2.0\r\nhost: a.example\r\n");
        for (name, value) in &pairs {
            let value = if name == "te" { "trailers" } else { value };
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        lines.push_str("\r\n");
        let mut block = Vec::new();
        encode_request(lines.as_bytes(), secure, false, &mut block).unwrap();
        let (head, decoded) = request_of(&block, true, &HeadLimits::default()).unwrap();
        prop_assert_eq!(&decoded, &lines);
        check_fields(&head, &decoded);
    }

    #[test]
    fn packed_response_and_trailers_are_decoded_to_the_same_lines(
        status in 200u16..=599,
        pairs in proptest::collection::vec(("x-[a-z]{1,12}|date|server", "[!-~]([ -~]{0,90}[!-~])?"), 0..9),
    ) {
        let fields: String = pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = format!("HTTP/2.0 {status} \r\n{fields}\r\n");
        let mut block = Vec::new();
        encode_response(lines.as_bytes(), false, &mut block);
        let (mut head, mut decoded) = (ResponseHead::default(), Vec::new());
        decode_response(&mut Decoder::new(4096), &block, true, false, &HeadLimits::RESPONSE, &mut head, &mut decoded).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&decoded), &*lines);
        let http1 = lines.replacen("HTTP/2.0", "HTTP/1.1", 1);
        let mut second = ResponseHead::default();
        let progress = response_head::parse_response(http1.as_bytes(), false, &HeadLimits::RESPONSE, &mut second);
        prop_assert_eq!(progress, Ok(ParseProgress::Complete));
        prop_assert_eq!(&second.fields, &head.fields);

        block.clear();
        encode_trailers(fields.as_bytes(), &mut block);
        decode_trailers(&mut Decoder::new(4096), &block, &mut decoded).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&decoded), &*fields);
    }
}
