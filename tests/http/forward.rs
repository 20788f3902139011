//! Forwarded heads.

use ringway::http::forward::*;
use ringway::http::{BodyFraming, Edits, Reply, RequestView, ResponseView, Version};

use super::{request, response};

const PLAN: ForwardPlan<'static> = ForwardPlan {
    target: b"/t",
    host: HostChoice::Client,
    client_ip: b"192.0.2.7",
    secure: false,
    trusted: false,
    server_name: b"proxy-1",
    body: BodyFraming::None,
    upgrade: false,
    expect: true,
    extra: &[],
};

fn send(text: &str, edits: &Edits, plan: &ForwardPlan<'_>) -> String {
    let head = request::good(text);
    let mut out = Vec::new();
    write_request(&mut out, RequestView { head: &head, bytes: text.as_bytes(), edits }, plan);
    String::from_utf8(out).unwrap()
}

/// The forwarded fields, without request line, Host line and empty line.
fn fields_sent(fields: &str, plan: &ForwardPlan<'_>) -> Vec<String> {
    let text = send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), &Edits::new(), plan);
    let lines = text.strip_suffix("\r\n\r\n").unwrap();
    lines.split("\r\n").skip(2).map(str::to_owned).collect()
}

#[test]
fn plain_request_is_forwarded_byte_for_byte() {
    let text = "GET /x?y HTTP/1.1\r\nUser-Agent: c\r\nhOsT: h.example:81\r\naccept:*/*\r\nA: 1\r\nA: 2\r\n\r\n";
    assert_eq!(
        send(text, &Edits::new(), &ForwardPlan { target: b"/x?y", ..PLAN }),
        "GET /x?y HTTP/1.1\r\nHost: h.example:81\r\nUser-Agent: c\r\naccept:*/*\r\nA: 1\r\nA: 2\r\n\
         X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: h.example:81\r\nX-Forwarded-Port: 81\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Server: proxy-1\r\nX-Real-Ip: 192.0.2.7\r\n\r\n"
    );
}

const CLAIMS: &str = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: wss\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 99\r\n\
    X-Forwarded-Server: s\r\nX-Real-Ip: 10.0.0.2\r\nX-Forwarded-Uri: /u\r\nX-Forwarded-Method: PUT\r\nx-forwarded-for: 10.0.0.3\r\n\
    X-Forwarded-Prefix: /p\r\nX-Forwarded-Ssl: on\r\nForwarded: for=x\r\nX_Forwarded_For: 6\r\nX-Real_Ip: 6\r\n";

#[test]
fn forwarding_fields_of_untrusted_peer_are_replaced() {
    assert_eq!(
        fields_sent(CLAIMS, &ForwardPlan { secure: true, ..PLAN }),
        [
            "X-Forwarded-For: 192.0.2.7",
            "X-Forwarded-Host: a",
            "X-Forwarded-Port: 443",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Server: proxy-1",
            "X-Real-Ip: 192.0.2.7"
        ]
    );
}

#[test]
fn forwarding_fields_of_trusted_peer_are_extended() {
    assert_eq!(
        fields_sent(CLAIMS, &ForwardPlan { trusted: true, ..PLAN }),
        [
            "X-Forwarded-Proto: wss",
            "X-Forwarded-Host: evil",
            "X-Forwarded-Port: 99",
            "X-Real-Ip: 10.0.0.2",
            "X-Forwarded-Uri: /u",
            "X-Forwarded-Method: PUT",
            "X-Forwarded-Prefix: /p",
            "X-Forwarded-Ssl: on",
            "Forwarded: for=x",
            "X-Forwarded-For: 10.0.0.1, 10.0.0.3, 192.0.2.7",
            "X-Forwarded-Server: proxy-1"
        ]
    );
}

#[test]
fn empty_forwarding_fields_of_trusted_peer_are_filled_in() {
    let claims = "X-Forwarded-For:\r\nX-Forwarded-Proto:\r\nX-Forwarded-Host:\r\nX-Forwarded-Port:\r\nX-Real-Ip:\r\n";
    assert_eq!(fields_sent(claims, &ForwardPlan { trusted: true, ..PLAN }), fields_sent("", &PLAN));
}

#[test]
fn forwarded_port_follows_the_trusted_protocol() {
    let sent = fields_sent("X-Forwarded-Proto: https\r\n", &ForwardPlan { trusted: true, ..PLAN });
    assert!(sent.contains(&"X-Forwarded-Port: 443".to_owned()), "{sent:?}");
    let text = send("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", &Edits::new(), &PLAN);
    assert!(text.contains("X-Forwarded-Port: 80\r\n"), "{text}");
    let text = send("GET / HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", &Edits::new(), &PLAN);
    assert!(text.contains("X-Forwarded-Port: 8\r\n"), "{text}");
}

#[test]
fn connection_named_fields_are_dropped_unless_protected() {
    let sent = fields_sent(
        "Keep-Alive: 5\r\nA: b\r\nConnection: close, x-hop, X-Forwarded-For, x-real-ip\r\nProxy-Connection: x\r\nX-Hop: 1\r\nTE: gzip\r\n\
         Trailer: y\r\nUpgrade: h2c\r\nProxy-Authorization: z\r\nProxy-Authenticate: z\r\nX-Forwarded-For: 10.1.1.1\r\nC: d\r\nTE: trailers\r\n",
        &ForwardPlan { trusted: true, ..PLAN },
    );
    assert_eq!(&sent[..4], ["A: b", "C: d", "TE: trailers", "X-Forwarded-For: 10.1.1.1, 192.0.2.7"]);
    assert_eq!(sent.len(), 9, "{sent:?}");
}

#[test]
fn framing_fields_are_rewritten() {
    let post = |field: &str, body| {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\nX: y\r\n\r\n");
        let sent = send(&text, &Edits::new(), &ForwardPlan { body, ..PLAN });
        let framing =
            sent.split("\r\n").filter(|l| l.starts_with("Content-Length") || l.starts_with("Transfer-Encoding"));
        framing.collect::<Vec<_>>().join("|")
    };
    assert_eq!(post("content-length: 007", BodyFraming::Length(7)), "Content-Length: 7");
    assert_eq!(post("Content-Length: 0", BodyFraming::None), "Content-Length: 0");
    assert_eq!(post("Transfer-Encoding: chunked", BodyFraming::Chunked), "Transfer-Encoding: chunked");
    assert_eq!(post("Transfer-Encoding: chunked", BodyFraming::Length(9)), "Content-Length: 9");
    assert_eq!(post("A: b", BodyFraming::None), "Content-Length: 0", "some servers ask for one, and v1 gave it");
    let get = send("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Edits::new(), &PLAN);
    assert!(!get.contains("Content-Length"), "{get}");
}

#[test]
fn trailer_field_is_kept_only_with_chunks() {
    let announced = |body| {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
        send(text, &Edits::new(), &ForwardPlan { body, ..PLAN }).contains("Trailer: X-Sum\r\n")
    };
    assert_eq!((announced(BodyFraming::Chunked), announced(BodyFraming::Length(3))), (true, false));
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n";
    for (client_version, expected) in [(Version::Http11, true), (Version::Http10, false)] {
        let plan = ResponsePlan { client_version, body: BodyFraming::Chunked, ..RESPONSE };
        assert_eq!(answer(text, false, &Edits::new(), &plan).contains("Trailer: X-End\r\n"), expected);
    }
}

#[test]
fn expect_is_forwarded_only_if_asked_for() {
    let text = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let sent = |expect| send(text, &Edits::new(), &ForwardPlan { body: BodyFraming::Length(5), expect, ..PLAN });
    assert!(sent(true).contains("Expect: 100-continue\r\n"));
    assert!(!sent(false).contains("Expect"));
    assert!(!send(&text.replace("Content-Length: 5\r\n", ""), &Edits::new(), &PLAN).contains("Expect"));
}

#[test]
fn upgrade_fields_are_forwarded_as_received() {
    let fields =
        "Connection: keep-alive, Upgrade\r\nupgrade: WebSocket, foo\r\nSec-WebSocket-Key: k\r\nUpgrade: SPDY/3.1\r\n";
    let sent = fields_sent(fields, &ForwardPlan { upgrade: true, ..PLAN });
    assert_eq!(sent[0], "Sec-WebSocket-Key: k");
    assert_eq!(sent[sent.len() - 3..], ["Connection: Upgrade", "Upgrade: WebSocket, foo", "Upgrade: SPDY/3.1"]);
    assert!(sent.contains(&"X-Forwarded-For: 192.0.2.7".to_owned()));
    assert!(!fields_sent(fields, &PLAN).iter().any(|line| line.contains("pgrade")));
    let settings = fields_sent("HTTP2-Settings: AAMAAABk\r\n", &PLAN);
    assert!(!settings.iter().any(|line| line.contains("HTTP2-Settings")), "{settings:?}");
}

#[test]
fn edits_never_change_host_or_framing() {
    let mut edits = Edits::new();
    edits.remove(b"user-agent");
    edits.set(b"X-Set", b"new\r\nInjected: 1");
    edits.add(b"A", b"3");
    for name in
        ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "X_Real_Ip", "X-Forwarded-Server"]
    {
        edits.set(name.as_bytes(), b"bad");
    }
    edits.set(b"X-Forwarded-Proto", b"gopher");
    edits.add(b"X-Forwarded-For", b"10.9.9.9");
    let text = "POST / HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nA: 1\r\nx-set: old\r\nX-Set: older\r\nContent-Length: 3\r\n\r\n";
    let plan = ForwardPlan { body: BodyFraming::Length(3), extra: &[(b"X-Extra", b"e\nf")], ..PLAN };
    assert_eq!(
        send(text, &edits, &plan),
        "POST /t HTTP/1.1\r\nHost: a\r\nA: 1\r\nX-Set: new  Injected: 1\r\nA: 3\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: a\r\n\
         X-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Server: proxy-1\r\nX-Real-Ip: 192.0.2.7\r\n\
         Content-Length: 3\r\nX-Extra: e f\r\n\r\n"
    );
    let trusted = send(text, &edits, &ForwardPlan { trusted: true, ..plan });
    assert!(
        trusted.contains("X-Forwarded-Proto: gopher\r\n")
            && trusted.contains("X-Forwarded-For: 10.9.9.9, 192.0.2.7\r\n")
    );
}

#[test]
fn underscore_alias_of_edited_field_is_dropped() {
    let mut edits = Edits::new();
    edits.set(b"X-Web-User", b"ann");
    edits.remove(b"x-gone-now");
    edits.add(b"X-One-More", b"2");
    edits.set(b"X_Own", b"1");
    let forged = "X_Web_User: eve\r\nx-web_USER: eve\r\nX_GONE_NOW: eve\r\nX-Gone_Now: eve\r\nX_One-More: eve\r\n";
    let kept = "X-One-More: 1\r\nX_Web_Users: u\r\nXXWebXUser: u\r\nX-Own: u\r\n";
    let sent = send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}{kept}\r\n"), &edits, &PLAN);
    let ours = "X-Web-User: ann\r\nX-One-More: 2\r\nX_Own: 1\r\n";
    assert!(sent.starts_with(&format!("GET /t HTTP/1.1\r\nHost: a\r\n{kept}{ours}X-Forwarded-For: ")), "{sent}");
}

#[test]
fn target_cannot_leave_the_request_line() {
    let sent =
        send("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Edits::new(), &ForwardPlan { target: b"/a b\r\n#\0c", ..PLAN });
    assert!(sent.starts_with("GET /a%20b%0D%0A%23%00c HTTP/1.1\r\nHost: a\r\n"), "{sent}");
    let sent = send("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Edits::new(), &ForwardPlan { target: b"", ..PLAN });
    assert!(sent.starts_with("GET / HTTP/1.1\r\n"));
    // Targets as `ReplacePath:new` and `AddPrefix:pre` make them: no server accepts a request line with such a target.
    let sent = send("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Edits::new(), &ForwardPlan { target: b"new?q", ..PLAN });
    assert!(sent.starts_with("GET /new?q HTTP/1.1\r\nHost: a\r\n"), "{sent}");
    let sent = send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &Edits::new(), &ForwardPlan { target: b"*", ..PLAN });
    assert!(sent.starts_with("OPTIONS * HTTP/1.1\r\nHost: a\r\n"), "{sent}");
}

#[test]
fn host_is_that_of_the_target_or_the_server() {
    let text = "GET http://u:8/ HTTP/1.1\r\nHost: other\r\n\r\n";
    let sent = send(text, &Edits::new(), &PLAN);
    assert!(
        sent.contains("\r\nHost: u:8\r\n") && sent.contains("X-Forwarded-Host: u:8\r\n") && !sent.contains("other")
    );
    let sent = send(text, &Edits::new(), &ForwardPlan { host: HostChoice::Given(b"10.0.0.1:80"), ..PLAN });
    assert!(sent.contains("\r\nHost: 10.0.0.1:80\r\n") && sent.contains("X-Forwarded-Host: u:8\r\n"));
}

#[test]
fn field_views_reflect_edits() {
    let text = "GET http://h HTTP/1.1\r\nHost: a\r\nA: 1\r\na: 2\r\nCookie: c\r\n\r\n";
    let head = request::good(text);
    let mut edits = Edits::new();
    let view = RequestView { head: &head, bytes: text.as_bytes(), edits: &edits };
    assert_eq!((view.method(), view.target(), view.host()), (&b"GET"[..], &b"/"[..], &b"h"[..]));
    assert_eq!(view.all(b"A").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(view.known(ringway::http::KnownField::Cookie), Some(&b"c"[..]));
    edits.set(b"cookie", b"d");
    edits.add(b"A", b"3");
    let view = RequestView { head: &head, bytes: text.as_bytes(), edits: &edits };
    assert_eq!(view.all(b"A").collect::<Vec<_>>(), [b"1", b"2", b"3"]);
    assert_eq!(view.known(ringway::http::KnownField::Cookie), Some(&b"d"[..]));
    assert_eq!(view.first(b"none"), None);
}

const RESPONSE: ResponsePlan<'static> =
    ResponsePlan { client_version: Version::Http11, keep_alive: true, body: BodyFraming::None, date: Some(b"D") };

fn answer(text: &str, to_head: bool, edits: &Edits, plan: &ResponsePlan<'_>) -> String {
    let head = response::parse(text.as_bytes(), to_head).unwrap();
    let mut out = Vec::new();
    write_response(&mut out, ResponseView { head: &head, bytes: text.as_bytes(), edits }, plan);
    String::from_utf8(out).unwrap()
}

#[test]
fn plain_response_is_forwarded_byte_for_byte() {
    let text = "HTTP/1.0 203 Fine\r\nserver: x\r\nConnection: close, x-hop\r\nSet-Cookie: a\r\nX-Hop: h\r\nset-cookie: b\r\nDate: theirs\r\n\
                Content-Length: 5\r\nKeep-Alive: 3\r\nUpgrade: h2c\r\nTrailer: t\r\n\r\n";
    let plan = ResponsePlan { body: BodyFraming::Length(5), ..RESPONSE };
    assert_eq!(
        answer(text, false, &Edits::new(), &plan),
        "HTTP/1.1 203 Fine\r\nserver: x\r\nSet-Cookie: a\r\nset-cookie: b\r\nDate: theirs\r\nContent-Length: 5\r\n\r\n"
    );
    let plan = ResponsePlan { client_version: Version::Http10, keep_alive: true, ..plan };
    assert!(answer(text, false, &Edits::new(), &plan).starts_with("HTTP/1.0 203 Fine\r\n"));
    assert!(answer(text, false, &Edits::new(), &plan).ends_with("Connection: keep-alive\r\n\r\n"));
}

#[test]
fn response_framing() {
    let ok = "HTTP/1.1 200 OK\r\nDate: x\r\n";
    let framed = |fields: &str, to_head, client_version, body| {
        let text = format!("{ok}{fields}\r\n");
        let plan = ResponsePlan { client_version, body, ..RESPONSE };
        answer(&text, to_head, &Edits::new(), &plan).split("Date: x\r\n").nth(1).unwrap().replace("\r\n", "|")
    };
    let (v11, v10) = (Version::Http11, Version::Http10);
    assert_eq!(framed("", false, v11, BodyFraming::Chunked), "Transfer-Encoding: chunked||");
    assert_eq!(framed("", false, v11, BodyFraming::UntilClose), "Connection: close||");
    assert_eq!(framed("Transfer-Encoding: chunked\r\n", false, v10, BodyFraming::UntilClose), "Connection: close||");
    assert_eq!(
        framed("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", false, v11, BodyFraming::Chunked),
        "Transfer-Encoding: chunked||"
    );
    assert_eq!(framed("Content-Length: 0\r\n", false, v11, BodyFraming::None), "Content-Length: 0||");
    assert_eq!(framed("Content-Length: 9\r\n", true, v11, BodyFraming::None), "Content-Length: 9||");
    assert_eq!(framed("Content-Length: 9\r\n", false, v11, BodyFraming::None), "Content-Length: 0||");
    let text = "HTTP/1.1 204 No\r\nContent-Length: 9\r\nDate: x\r\n\r\n";
    assert_eq!(answer(text, false, &Edits::new(), &RESPONSE), "HTTP/1.1 204 No\r\nDate: x\r\n\r\n");
    let text = "HTTP/1.1 304 No\r\nContent-Length: 9\r\nDate: x\r\n\r\n";
    assert_eq!(
        answer(text, false, &Edits::new(), &RESPONSE),
        "HTTP/1.1 304 No\r\nDate: x\r\nContent-Length: 9\r\n\r\n"
    );
    assert_eq!(framing_for_client(v11, BodyFraming::UntilClose), BodyFraming::Chunked);
    assert_eq!(framing_for_client(v10, BodyFraming::Chunked), BodyFraming::UntilClose);
    assert_eq!(framing_for_client(v10, BodyFraming::Length(3)), BodyFraming::Length(3));
}

#[test]
fn response_edits_and_dates() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: x\r\nDate: theirs\r\n\r\n";
    let mut edits = Edits::new();
    edits.remove(b"Date");
    edits.set(b"Server", b"y");
    edits.set(b"Content-Length", b"77");
    edits.set(b"Connection", b"z");
    assert_eq!(
        answer(text, false, &edits, &ResponsePlan { keep_alive: false, ..RESPONSE }),
        "HTTP/1.1 200 OK\r\nServer: y\r\nDate: D\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    edits.set(b"Date", b"ours");
    assert_eq!(answer(text, false, &edits, &RESPONSE).matches("Date: ").collect::<Vec<_>>().len(), 1);
}

#[test]
fn http2_client_gets_no_framing_and_no_connection_field() {
    let ok = "HTTP/1.1 200 OK\r\nDate: x\r\n";
    let plan = ResponsePlan { client_version: Version::Http2, ..RESPONSE };
    let sent = |fields: &str, body, keep_alive| {
        let text = format!("{ok}{fields}\r\n");
        let body = framing_for_client(Version::Http2, body);
        answer(&text, false, &Edits::new(), &ResponsePlan { body, keep_alive, ..plan })
    };
    let chunked = "Transfer-Encoding: chunked\r\nTrailer: t\r\nConnection: x\r\nX: hop\r\n";
    assert_eq!(sent(chunked, BodyFraming::Chunked, true), "HTTP/2.0 200 OK\r\nDate: x\r\nTrailer: t\r\n\r\n");
    for keep_alive in [true, false] {
        assert_eq!(sent("", BodyFraming::UntilClose, keep_alive), "HTTP/2.0 200 OK\r\nDate: x\r\n\r\n");
    }
    assert_eq!(
        sent("Trailer: t\r\nContent-Length: 3\r\n", BodyFraming::Length(3), true),
        "HTTP/2.0 200 OK\r\nDate: x\r\nContent-Length: 3\r\n\r\n"
    );
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nA: b\r\n\r\n";
    assert_eq!(answer(switched, false, &Edits::new(), &plan), "HTTP/2.0 101 Switching Protocols\r\nA: b\r\n\r\n");
}

#[test]
fn framing_for_http2_client_is_a_length_or_unknown() {
    use BodyFraming::{Chunked, Length, None, UntilClose};
    for (received, sent) in [(None, None), (Length(3), Length(3)), (Chunked, Chunked), (UntilClose, Chunked)] {
        assert_eq!(framing_for_client(Version::Http2, received), sent);
    }
}

#[test]
fn response_of_http2_server_gets_the_usual_phrase() {
    let text = "HTTP/2.0 404 \r\nserver: s\r\n\r\n";
    let (text11, edits) = (text.replace("2.0", "1.1"), Edits::new());
    let mut head = response::parse(text11.as_bytes(), true).unwrap();
    head.version = Version::Http2;
    for (client_version, line) in
        [(Version::Http11, "HTTP/1.1 404 Not Found\r\n"), (Version::Http2, "HTTP/2.0 404 Not Found\r\n")]
    {
        let mut out = Vec::new();
        let view = ResponseView { head: &head, bytes: text.as_bytes(), edits: &edits };
        write_response(&mut out, view, &ResponsePlan { client_version, ..RESPONSE });
        assert!(out.starts_with(line.as_bytes()), "{}", out.escape_ascii());
    }
}

#[test]
fn local_reply_to_http2_client_has_no_connection_field() {
    let plan = ReplyPlan { version: Version::Http2, keep_alive: false, head_request: false, date: Some(b"D") };
    let mut out = Vec::new();
    write_reply(&mut out, &Reply::text(503, "down").closing(), &plan);
    let expected = "HTTP/2.0 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\nDate: D\r\n\r\ndown";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn removed_length_is_not_announced_without_a_body() {
    let mut edits = Edits::new();
    edits.remove(b"Content-Length");
    let has_length = |head: &str, to_head: bool| {
        let text = format!("HTTP/1.1 {head}\r\nDate: x\r\n\r\n");
        answer(&text, to_head, &edits, &RESPONSE).contains("Content-Length")
    };
    assert!(!has_length("200 OK\r\nContent-Length: 900", true), "HEAD of a body that GET gets compressed");
    assert!(!has_length("304 Not Modified\r\nContent-Length: 900", false));
    assert!(has_length("200 OK\r\nContent-Length: 0", false), "a GET needs it");
}

#[test]
fn switching_protocols_and_other_interim_heads() {
    let text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nupgrade: WebSocket, x\r\nSec-WebSocket-Accept: s\r\n\r\n";
    assert_eq!(
        answer(text, false, &Edits::new(), &RESPONSE),
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s\r\nConnection: Upgrade\r\nUpgrade: WebSocket, x\r\n\r\n"
    );
    let text = "HTTP/1.1 103 Early Hints\r\nLink: l\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(answer(text, false, &Edits::new(), &RESPONSE), "HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n");
    let mut out = Vec::new();
    write_100_continue(&mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn local_replies() {
    let reply = Reply::text(404, "404 page not found\n")
        .with("X-Content-Type-Options", b"no\rsniff".to_vec())
        .with("content-length", &b"9"[..]);
    let plan = ReplyPlan { version: Version::Http11, keep_alive: true, head_request: false, date: Some(b"D") };
    let written = |reply: &Reply, plan: &ReplyPlan<'_>| {
        let mut out = Vec::new();
        write_reply(&mut out, reply, plan);
        String::from_utf8(out).unwrap()
    };
    let head = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: no sniff\r\nContent-Length: 19\r\nDate: D\r\n\r\n";
    assert_eq!(written(&reply, &plan), format!("{head}404 page not found\n"));
    assert_eq!(written(&reply, &ReplyPlan { head_request: true, ..plan }), head);
    let closing = written(&reply.closing(), &ReplyPlan { version: Version::Http10, date: None, ..plan });
    assert!(
        closing.starts_with("HTTP/1.0 404") && closing.contains("Connection: close\r\n") && !closing.contains("Date")
    );
    let none = Reply { status: 204, ..Reply::default() };
    assert_eq!(written(&none, &plan), "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n");
}
