//! Response heads from origins: which are accepted, and which give a 502.

use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::response_head::{InvalidResponse, parse_response};
use ringway::http::{BodyFraming, ResponseHead, Version};

/// As `request::parse`: all segmentations must agree.
pub fn parse(bytes: &[u8], to_head: bool) -> Result<ResponseHead, InvalidResponse> {
    let limits = HeadLimits::default();
    let outcome = |bytes: &[u8]| {
        let mut head = ResponseHead::default();
        parse_response(bytes, to_head, &limits, &mut head).map(|p| (p == ParseProgress::Complete).then_some(head))
    };
    let whole = outcome(bytes);
    for cut in 0..bytes.len() {
        match outcome(&bytes[..cut]) {
            Ok(None) => {}
            decided => assert_eq!(decided, whole, "cut at {cut}: {}", bytes.escape_ascii()),
        }
    }
    whole.map(|head| head.unwrap_or_else(|| panic!("never complete: {}", bytes.escape_ascii())))
}

fn good(text: &str) -> ResponseHead {
    parse(text.as_bytes(), false).unwrap_or_else(|invalid| panic!("{invalid}: {text:?}"))
}

#[test]
fn ordinary_response() {
    let text =
        "HTTP/1.1 404 Not  found\u{e4}\r\nDate: x\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 3\r\n\r\nabc";
    let head = good(text);
    assert_eq!((head.status, head.version, head.body), (404, Version::Http11, BodyFraming::Length(3)));
    assert_eq!(head.reason.of(text.as_bytes()), "Not  found\u{e4}".as_bytes());
    assert_eq!(head.len, text.len() - 3);
    assert!(head.keep_alive && head.has_date);
}

#[test]
fn bodies() {
    for (text, body, keep_alive) in [
        ("HTTP/1.1 200 OK\r\n\r\n", BodyFraming::UntilClose, false),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", BodyFraming::None, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n", BodyFraming::Chunked, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n", BodyFraming::Chunked, false),
        ("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", BodyFraming::None, true),
        ("HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", BodyFraming::None, true),
        ("HTTP/1.1 100 Continue\r\n\r\n", BodyFraming::None, true),
        ("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", BodyFraming::None, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", BodyFraming::Length(7), false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n", BodyFraming::Length(7), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: Close\r\n\r\n", BodyFraming::Length(7), false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nKeep-Alive: timeout=5, max=1\r\n\r\n", BodyFraming::Length(7), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nKeep-Alive: timeout=5, max=0\r\n\r\n", BodyFraming::Length(7), false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nKeep-Alive: timeout=0\r\n\r\n", BodyFraming::Length(7), false),
    ] {
        let head = good(text);
        assert_eq!((head.body, head.keep_alive), (body, keep_alive), "{text:?}");
    }
    let to_head = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", true).unwrap();
    assert_eq!((to_head.body, to_head.keep_alive), (BodyFraming::None, true));
}

#[test]
fn challenge_for_connection_is_recognised() {
    let binds =
        |field: &str| good(&format!("HTTP/1.1 401 No\r\n{field}\r\nContent-Length: 0\r\n\r\n")).binds_connection;
    assert!(binds("WWW-Authenticate: Negotiate") && binds("www-authenticate: Basic realm=\"a\", ntlm"));
    assert!(
        binds("WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: NTLM") && binds("Proxy-Authenticate: NTLM")
    );
    assert!(!binds("WWW-Authenticate: Basic realm=\"a\"") && !binds("X: NTLM"));
}

#[test]
fn content_length_beside_chunks_is_marked_for_removal() {
    let head = good("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(head.fields.iter().map(|f| f.hop).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn unusable_heads_are_refused() {
    let lines = [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1  200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "<html>",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 -20 OK",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200 O\rK",
    ];
    let fields = [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1, 1",
        "Content-Length: x",
        "Content-Length: -1",
        "Content-Length:",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "A: b\r\n c",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "A : b",
        "A",
        ": b",
        "A: b\0",
        "A: b\nC: d",
        "A: b\rC",
        " A: b",
        "A\0: b",
    ];
    for line in lines {
        let text = format!("{line}\r\nContent-Length: 0\r\n\r\n");
        assert!(parse(text.as_bytes(), false).is_err(), "{text:?}");
    }
    for field in fields {
        for to_head in [false, true] {
            let text = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
            assert!(parse(text.as_bytes(), to_head).is_err(), "{text:?}");
        }
    }
    assert!(parse(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false).is_err());
}

#[test]
fn endless_head_is_refused_at_the_limit() {
    let limits = HeadLimits { head_bytes_max: 64, fields_max: 4, target_bytes_max: 0 };
    let mut head = ResponseHead::default();
    let text = "HTTP/1.1 200 OK\r\nX: ".to_owned() + &"y".repeat(100);
    assert_eq!(parse_response(&text.as_bytes()[..63], false, &limits, &mut head), Ok(ParseProgress::Partial));
    assert!(parse_response(&text.as_bytes()[..64], false, &limits, &mut head).is_err());
    let text = "HTTP/1.1 200 OK\r\n".to_owned() + &"a:b\r\n".repeat(5);
    assert!(parse_response(text.as_bytes(), false, &limits, &mut head).is_err());
}
