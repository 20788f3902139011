//! Upgrades: the handshake as HTTP, then bytes both ways until both sides have closed.

use super::*;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const FORWARDED_UPGRADE: &str = "GET /ws HTTP/1.1\nHost: a\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nConnection: Upgrade\nUpgrade: websocket\n\n";
const FORWARDED_SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\nConnection: Upgrade\nUpgrade: websocket\n\n";

fn joined(head: &str, tail: &str) -> &'static str {
    format!("{head}{tail}").leak()
}

#[test]
fn tunnel_carries_both_ways_until_both_sides_close() {
    Case {
        client: vec![send(UPGRADE), until("\r\n\r\n"), send("ping"), until("pong"), send("last"), ScriptStep::Close],
        dial_scripts: vec![DialScript::Origin(vec![
            until("\r\n\r\n"),
            send(SWITCHING),
            until("ping"),
            send("pong"),
            until("last"),
        ])],
        client_gets: joined(FORWARDED_SWITCHING, "pong"),
        origins_get: vec![joined(FORWARDED_UPGRADE, "pinglast")],
        ..Case::default()
    }
    .check();
}

#[test]
fn tunnel_delivers_bytes_sent_before_close() {
    // The client has closed and the origin still sends, then vice versa.
    Case {
        client: vec![send(UPGRADE), until("\r\n\r\n"), send("done"), ScriptStep::Close],
        dial_scripts: vec![DialScript::Origin(vec![
            until("\r\n\r\n"),
            send(SWITCHING),
            until("done"),
            send("still here"),
            ScriptStep::Close,
        ])],
        client_gets: joined(FORWARDED_SWITCHING, "still here"),
        origins_get: vec![joined(FORWARDED_UPGRADE, "done")],
        ..Case::default()
    }
    .check();
    Case {
        client: vec![send(UPGRADE), until("farewell"), send("thanks"), ScriptStep::Close],
        dial_scripts: vec![DialScript::Origin(vec![
            until("\r\n\r\n"),
            send(SWITCHING),
            send("farewell"),
            ScriptStep::Close,
        ])],
        client_gets: joined(FORWARDED_SWITCHING, "farewell"),
        origins_get: vec![joined(FORWARDED_UPGRADE, "thanks")],
        ..Case::default()
    }
    .check();
}

#[test]
fn bytes_before_101_are_tunnelled() {
    Case {
        client: vec![send(UPGRADE), send("early"), until("welcome"), ScriptStep::Close],
        dial_scripts: vec![DialScript::Origin(vec![
            until("\r\n\r\n"),
            send(SWITCHING),
            send("welcome"),
            until("early"),
        ])],
        client_gets: joined(FORWARDED_SWITCHING, "welcome"),
        origins_get: vec![joined(FORWARDED_UPGRADE, "early")],
        ..Case::default()
    }
    .check();
}

#[test]
fn refused_upgrade_with_bytes_ahead_closes_connection() {
    // The server's connection is not pooled either.
    Case {
        client: vec![send(UPGRADE), send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")],
        dial_scripts: vec![origin(&[("\r\n\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")])],
        client_gets: "HTTP/1.1 403 Forbidden\nContent-Length: 2\nConnection: close\n\nno",
        origins_get: vec![FORWARDED_UPGRADE],
        ..Case::default()
    }
    .check();
}

#[test]
fn refused_upgrade_without_bytes_ahead_keeps_client_connection() {
    Case {
        client: vec![
            send(UPGRADE),
            until("no"),
            send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![
            origin(&[("\r\n\r\n", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno")]),
            origin(&[("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]),
        ],
        client_gets: "HTTP/1.1 426 Upgrade Required\nContent-Length: 2\n\nnoHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec![FORWARDED_UPGRADE, "GET /next HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn ignored_upgrade_with_bytes_ahead_closes_connection() {
    // What follows may be HTTP/2: it is neither a request nor forwarded. The server got a plain request: its connection is pooled.
    let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    Case {
        client: vec![send(h2c), send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")],
        dial_scripts: vec![origin(&[("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
    Case {
        client: vec![
            send(h2c),
            until("ok"),
            send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("again"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[
            ("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain"),
        ])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 5\n\nagain",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\nGET /next HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

/// An upgrade request with this framing and body, and the form in which the server gets it.
fn with_body(framing: &str, body: &str, forwarded_body: &str) -> (String, &'static str) {
    let fields = format!("Connection: Upgrade\r\nUpgrade: tcp\r\n{framing}\r\n");
    let sent = format!("POST /exec/1/start HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
    let head = format!(
        "POST /exec/1/start HTTP/1.1\nHost: a\n{framing}\nConnection: Upgrade\nUpgrade: tcp\n\n{forwarded_body}"
    );
    (sent, head.leak())
}

const SWITCHING_TO_TCP: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const FORWARDED_TO_TCP: &str = "HTTP/1.1 101 UPGRADED\nConnection: Upgrade\nUpgrade: tcp\n\n";

#[test]
fn upgrade_with_body_delivers_body_before_tunnel() {
    for (framing, body, forwarded, end) in [
        ("Content-Length: 15", "{\"Detach\":false}", "{\"Detach\":false}", "false}"),
        ("Content-Length: 0", "", "", "\r\n\r\n"),
        (
            "Transfer-Encoding: chunked",
            "f\r\n{\"Detach\":false\r\n1\r\n}\r\n0\r\n\r\n",
            "<{\"Detach\":false}>[last]\n",
            "0\r\n\r\n",
        ),
    ] {
        let framing = if body.len() == 16 { "Content-Length: 16" } else { framing };
        let (request, forwarded_request) = with_body(framing, body, forwarded);
        Case {
            client: vec![send(&request), send("stdin"), until("stdout"), ScriptStep::Close],
            dial_scripts: vec![DialScript::Origin(vec![
                until(end),
                send(SWITCHING_TO_TCP),
                until("stdin"),
                send("stdout"),
            ])],
            client_gets: joined(FORWARDED_TO_TCP, "stdout"),
            origins_get: vec![joined(forwarded_request, "stdin")],
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn refused_upgrade_with_body_reads_no_request_behind_it() {
    let (request, forwarded) = with_body("Content-Length: 2", "{}", "{}");
    Case {
        client: vec![send(&request), send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")],
        dial_scripts: vec![origin(&[("{}", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")])],
        client_gets: "HTTP/1.1 404 Not Found\nContent-Length: 2\nConnection: close\n\nno",
        origins_get: vec![forwarded],
        ..Case::default()
    }
    .check();
}

const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\nConnection: close\n\nBad Gateway";

#[test]
fn switch_before_whole_body_is_refused() {
    // The server would read the rest of the body as the other protocol.
    let (request, forwarded) = with_body("Content-Length: 9", "{}", "{}");
    Case {
        client: vec![send(&request), until("Bad Gateway\r\n"), ScriptStep::Close],
        dial_scripts: vec![origin(&[("{}", SWITCHING_TO_TCP)])],
        client_gets: BAD_GATEWAY,
        origins_get: vec![forwarded],
        cuts_client: false,
        ..Case::default()
    }
    .check();
}

#[test]
fn switch_to_protocol_that_was_not_offered_is_refused() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nevil",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, foo\r\n\r\nevil",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\nevil",
    ] {
        Case {
            client: vec![send(UPGRADE), until("Bad Gateway\r\n"), ScriptStep::Close],
            dial_scripts: vec![origin(&[("\r\n\r\n", answer)])],
            client_gets: BAD_GATEWAY,
            origins_get: vec![FORWARDED_UPGRADE],
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn list_of_protocols_is_forwarded_and_server_chooses_one() {
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, foo/2\r\nUpgrade: bar\r\n\r\n";
    Case {
        client: vec![send(request), until("\r\n\r\n"), send("ping"), until("pong"), ScriptStep::Close],
        dial_scripts: vec![DialScript::Origin(vec![
            until("\r\n\r\n"),
            send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: Foo/2\r\n\r\n"),
            until("ping"),
            send("pong"),
        ])],
        client_gets: "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: Foo/2\n\npong",
        origins_get: vec![
            "GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket, foo/2\nUpgrade: bar\n\nping",
        ],
        ..Case::default()
    }
    .check();
}

#[test]
fn upgrade_with_local_reply_closes_connection() {
    // The bytes behind the request were written for another protocol, perhaps by someone else than this client: they must not be a request.
    Case {
        client: vec![send(UPGRADE), send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")],
        dial_scripts: vec![DialScript::Refuse],
        client_gets: "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\nConnection: close\n\nBad Gateway",
        origins_get: Vec::new(),
        ..Case::default()
    }
    .check();
}

#[test]
fn broken_tunnel_ends_on_both_sides() {
    for (client_end, origin_end) in [(ScriptStep::Reset, ScriptStep::Close), (ScriptStep::Close, ScriptStep::Reset)] {
        on_both_drivers(async || {
            let base = Base::new();
            let client = [send(UPGRADE), until("\r\n\r\n"), send("x"), client_end.clone()];
            let dial_scripts =
                [DialScript::Origin(vec![until("\r\n\r\n"), send(SWITCHING), until("x"), origin_end.clone()])];
            for segmentation in [Segmentation::Whole, Segmentation::Bytes, Segmentation::Seed(3)] {
                let outcome = Run {
                    client_segmentation: segmentation,
                    origin_segmentation: segmentation,
                    ..Run::new(&client, &dial_scripts)
                }
                .play(&base)
                .await;
                assert_eq!(outcome.pooled, 0);
                assert!(outcome.client.starts_with("HTTP/1.1 101 "), "{outcome:?}");
            }
        });
    }
}
