//! The meaning of accepted request heads.

use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::request_head::parse_request;
use ringway::http::{BodyFraming, KnownField, RejectedRequest, RequestHead, Upgrade, Version};

/// Parses whole, byte by byte and cut once at every position: all results must agree, and no proper prefix of a head may be complete.
pub fn parse(bytes: &[u8], limits: &HeadLimits) -> Result<RequestHead, RejectedRequest> {
    let whole = parse_once(bytes, limits);
    let mut head = RequestHead::default();
    let mut dripped = Ok(None);
    for end in 0..=bytes.len() {
        match parse_request(&bytes[..end], limits, &mut head) {
            Ok(ParseProgress::Partial) => {}
            Ok(ParseProgress::Complete) => {
                dripped = Ok(Some(head.clone()));
                break;
            }
            Err(reject) => {
                dripped = Err(reject);
                break;
            }
        }
    }
    assert_eq!(whole, dripped, "whole and dripped differ: {}", bytes.escape_ascii());
    for cut in 0..bytes.len() {
        let first = parse_once(&bytes[..cut], limits);
        match first {
            Ok(None) => {}
            decided => assert_eq!(decided, whole, "cut at {cut}: {}", bytes.escape_ascii()),
        }
    }
    whole.map(|head| head.unwrap_or_else(|| panic!("never complete: {}", bytes.escape_ascii())))
}

fn parse_once(bytes: &[u8], limits: &HeadLimits) -> Result<Option<RequestHead>, RejectedRequest> {
    let mut head = RequestHead::default();
    Ok(match parse_request(bytes, limits, &mut head)? {
        ParseProgress::Complete => Some(head),
        ParseProgress::Partial => None,
    })
}

pub fn good(text: &str) -> RequestHead {
    parse(text.as_bytes(), &HeadLimits::default()).unwrap_or_else(|reject| panic!("{reject}: {text:?}"))
}

#[test]
fn browser_request() {
    let text =
        "GET /a?b=%zz HTTP/1.1\r\nHost: example.org:8080\r\nUser-Agent: \tx y \t\r\nAccept:*/*\r\nX-Empty:\r\n\r\nrest";
    let head = good(text);
    let bytes = text.as_bytes();
    assert_eq!(head.len, bytes.len() - 4);
    assert_eq!(head.method.of(bytes), b"GET");
    assert_eq!(head.target.of(bytes), b"/a?b=%zz");
    assert_eq!(head.host.of(bytes), b"example.org:8080");
    assert_eq!((head.version, head.body, head.keep_alive), (Version::Http11, BodyFraming::None, true));
    let values: Vec<_> = head.fields.iter().map(|f| f.value.of(bytes)).collect();
    assert_eq!(values, [&b"example.org:8080"[..], b"x y", b"*/*", b""]);
    assert!(!head.websocket && !head.expect_continue && !head.target_is_empty);
}

#[test]
fn methods_keep_case_and_leading_empty_lines_are_skipped() {
    let text = "\r\n\r\nget / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = good(text);
    assert_eq!(head.method.of(text.as_bytes()), b"get");
    assert_eq!(head.len, text.len());
}

#[test]
fn targets() {
    for (line, target, host, empty) in [
        ("GET http://u.example:81/p?q HTTP/1.1", "/p?q", "u.example:81", false),
        ("GET HTTPS://u.example HTTP/1.1", "", "u.example", true),
        ("GET http://[::1]:81/ HTTP/1.1", "/", "[::1]:81", false),
        ("OPTIONS * HTTP/1.1", "*", "a", false),
        ("OPTIONS http://u HTTP/1.1", "", "u", true),
        ("GET //..//%2F%2e?x=|{}\"\\ HTTP/1.1", "//..//%2F%2e?x=|{}\"\\", "a", false),
        ("GET /\u{e4} HTTP/1.1", "/\u{e4}", "a", false),
    ] {
        let text = format!("{line}\r\nHost: a\r\n\r\n");
        let head = good(&text);
        assert_eq!(head.target.of(text.as_bytes()), target.as_bytes(), "{line}");
        assert_eq!(head.host.of(text.as_bytes()), host.as_bytes(), "{line}");
        assert_eq!(head.target_is_empty, empty, "{line}");
    }
}

#[test]
fn http10_request_needs_no_host_and_closes() {
    let head = good("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((head.version, head.keep_alive, head.host.is_empty()), (Version::Http10, false, true));
    assert!(good("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost:\r\n\r\n").keep_alive);
    assert!(!good("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n").keep_alive);
}

#[test]
fn bodies() {
    for (fields, body) in [
        ("Content-Length: 0", BodyFraming::None),
        ("Content-Length: 12", BodyFraming::Length(12)),
        ("content-length:9223372036854775807", BodyFraming::Length(i64::MAX as u64)),
        ("Transfer-Encoding: chunked", BodyFraming::Chunked),
        ("transfer-encoding: Chunked ", BodyFraming::Chunked),
        ("X: y", BodyFraming::None),
    ] {
        assert_eq!(good(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).body, body, "{fields}");
    }
}

#[test]
fn connection_options() {
    for (fields, keep_alive) in [
        ("Connection: close", false),
        ("Connection: CLOSE", false),
        ("Connection:\r\nConnection: x, Close ", false),
        ("Connection: keep-alive", true),
        ("Connection: closed", true),
        ("X-Connection: close", true),
    ] {
        assert_eq!(good(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).keep_alive, keep_alive, "{fields}");
    }
}

#[test]
fn expectations() {
    let expects = |text: &str| good(text).expect_continue;
    assert!(expects("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n"));
    assert!(!expects("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"));
    assert!(!expects("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"));
}

#[test]
fn upgrades() {
    let ask = |start: &str, fields: &str| {
        let head = good(&format!("{start} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
        (head.upgrade, head.websocket)
    };
    for (fields, expected) in [
        ("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket", (Upgrade::Forwarded, true)),
        ("Connection: upgrade\r\nUpgrade: websocket, foo", (Upgrade::Forwarded, true)),
        ("Connection: upgrade\r\nUpgrade: foo\r\nUpgrade: websocket", (Upgrade::Forwarded, true)),
        ("Connection: upgrade\r\nUpgrade: SPDY/3.1", (Upgrade::Forwarded, false)),
        ("Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 5", (Upgrade::Forwarded, false)),
        ("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", (Upgrade::Forwarded, true)),
        (
            "Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\nContent-Length: 0",
            (Upgrade::Forwarded, false),
        ),
        ("Upgrade: websocket", (Upgrade::None, false)),
        ("Connection: upgrade", (Upgrade::None, false)),
        ("Connection: upgrade\r\nUpgrade:", (Upgrade::Ignored, false)),
        ("Connection: upgrade\r\nUpgrade: h2c", (Upgrade::Ignored, false)),
        ("Connection: upgrade\r\nUpgrade: websocket, h2c", (Upgrade::Ignored, false)),
        ("Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket", (Upgrade::Ignored, false)),
        ("Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1", (Upgrade::Ignored, false)),
        ("Connection: upgrade\r\nUpgrade: HTTP/2.0", (Upgrade::Ignored, false)),
        ("Connection: upgrade\r\nUpgrade: web socket", (Upgrade::Ignored, false)),
    ] {
        for start in ["GET /", "POST /", "HEAD /"] {
            assert_eq!(ask(start, fields), expected, "{start} {fields}");
        }
    }
    let old = good("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(old.upgrade, Upgrade::None, "HTTP/1.0 has no upgrades");
}

#[test]
fn credentials_of_connection_are_recognised() {
    let binds = |fields: &str| good(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).binds_connection;
    assert!(binds("Authorization: NTLM TlRMTVNTUAAB") && binds("authorization: negotiate YII="));
    assert!(!binds("Authorization: Basic YTpi") && !binds("X: NTLM") && !binds("Proxy-Authorization: NTLM x"));
}

#[test]
fn known_names_and_aliases() {
    for (name, known) in [
        ("COOKIE", KnownField::Cookie),
        ("x-forwarded-for", KnownField::XForwardedFor),
        ("X-Forwarded-Ssl", KnownField::Other),
        ("X_Forwarded_For", KnownField::ForwardedAlias),
        ("X-Forwarded_Proto", KnownField::ForwardedAlias),
        ("x_real-ip", KnownField::ForwardedAlias),
        ("x_forwarded-tls_client", KnownField::ForwardedAlias),
        ("X_Other", KnownField::Other),
        ("Accept", KnownField::Other),
        ("Proxy-Authorization", KnownField::ProxyAuthorization),
    ] {
        let head = good(&format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: v\r\n\r\n"));
        assert_eq!(head.fields[1].known, known, "{name}");
        assert_eq!(KnownField::of(name.as_bytes()), known, "{name}");
    }
}

#[test]
fn every_known_field_name_is_found() {
    let all = [
        KnownField::Host,
        KnownField::Connection,
        KnownField::ContentLength,
        KnownField::TransferEncoding,
        KnownField::Expect,
        KnownField::Upgrade,
        KnownField::Te,
        KnownField::Trailer,
        KnownField::KeepAlive,
        KnownField::ProxyConnection,
        KnownField::ProxyAuthenticate,
        KnownField::ProxyAuthorization,
        KnownField::Authorization,
        KnownField::WwwAuthenticate,
        KnownField::Http2Settings,
        KnownField::Cookie,
        KnownField::Date,
        KnownField::XForwardedFor,
        KnownField::XForwardedProto,
        KnownField::XForwardedHost,
        KnownField::XForwardedPort,
        KnownField::XForwardedServer,
        KnownField::XForwardedUri,
        KnownField::XForwardedMethod,
        KnownField::XForwardedPrefix,
        KnownField::XRealIp,
    ];
    for known in all {
        assert_eq!(KnownField::of(known.name()), known);
        assert_eq!(KnownField::of(&known.name().to_ascii_uppercase()), known);
    }
}

#[test]
fn connection_marks_named_fields_except_the_proxys_own() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nConnection: x-a, host, X-Forwarded-For\r\nConnection: X-Real-Ip,x-b, X-Forwarded-Ssl\r\n\
                X-Forwarded-For: b\r\nX-Real-Ip: c\r\nx-B: d\r\nX-Forwarded-Ssl: on\r\nX-C: e\r\n\r\n";
    let hops: Vec<_> =
        good(text).fields.iter().filter(|f| f.hop).map(|f| f.name.of(text.as_bytes()).to_vec()).collect();
    assert_eq!(hops, [b"X-A".to_vec(), b"x-B".to_vec()]);
}

#[test]
fn large_legal_heads_are_accepted() {
    let text = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(7980));
    let mut head = RequestHead::default();
    assert_eq!(parse_request(text.as_bytes(), &HeadLimits::default(), &mut head), Ok(ParseProgress::Complete));
    let fields: String = (0..100).map(|n| format!("X-Field-{n}: {}\r\n", "v".repeat(110))).collect();
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(parse_request(text.as_bytes(), &HeadLimits::default(), &mut head), Ok(ParseProgress::Complete));
    assert_eq!(head.fields.len(), 101);
}

#[test]
fn limits_are_exact_to_the_byte() {
    let text = "GET /123 HTTP/1.1\r\nHost: a\r\n\r\n";
    let exact = HeadLimits { head_bytes_max: text.len(), fields_max: 1, target_bytes_max: 4 };
    assert!(parse(text.as_bytes(), &exact).is_ok());
    for (limits, status) in [
        (HeadLimits { head_bytes_max: text.len() - 1, ..exact }, 431),
        (HeadLimits { fields_max: 0, ..exact }, 431),
        (HeadLimits { target_bytes_max: 3, ..exact }, 414),
    ] {
        assert_eq!(parse(text.as_bytes(), &limits).unwrap_err().status, status);
    }
    let endless = "GET / HTTP/1.1\r\nX: ".to_owned() + &"y".repeat(200);
    let limits = HeadLimits { head_bytes_max: 100, ..HeadLimits::default() };
    assert_eq!(parse(endless.as_bytes(), &limits).unwrap_err().status, 431);
}

#[test]
fn second_parse_allocates_nothing() {
    let mut head = RequestHead::default();
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n";
    parse_request(text, &HeadLimits::default(), &mut head).unwrap();
    let before = (head.fields.as_ptr(), head.fields.capacity());
    parse_request(text, &HeadLimits::default(), &mut head).unwrap();
    assert_eq!((head.fields.as_ptr(), head.fields.capacity()), before);
    assert_eq!(head.fields.len(), 3);
}

#[test]
fn dripping_head_is_parsed_only_twice() {
    use ringway::http::h1::progress::head_end;
    let fields: String = (0..50).map(|n| format!("X-{n}: v\r\n")).collect();
    for text in [
        format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
        format!("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\n{fields}\n"),
    ] {
        let (mut head, mut parses, mut decided) = (RequestHead::default(), 0, 0);
        let whole = parse_once(text.as_bytes(), &HeadLimits::default());
        for len in 1..=text.len() {
            let bytes = &text.as_bytes()[..len];
            if len > 1 && head_end(bytes, len - 1).is_none() {
                continue;
            }
            parses += 1;
            match parse_request(bytes, &HeadLimits::default(), &mut head) {
                Ok(ParseProgress::Partial) => {}
                Ok(ParseProgress::Complete) => {
                    assert_eq!(whole, Ok(Some(head.clone())));
                    decided = len;
                    break;
                }
                Err(reject) => {
                    assert_eq!(whole, Err(reject));
                    decided = len;
                    break;
                }
            }
        }
        assert_eq!(decided, text.len());
        assert!(parses <= 3, "{parses} parses");
    }
}
