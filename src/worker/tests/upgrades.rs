//! WebSocket: the handshake as HTTP, then bytes both ways until both sides have closed.

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
fn upgrade_denied_by_server_closes_connection() {
    Case {
        client: vec![send(UPGRADE), send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")],
        dial_scripts: vec![origin(&[("\r\n\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")])],
        client_gets: "HTTP/1.1 403 Forbidden\nContent-Length: 2\nConnection: close\n\nno",
        origins_get: vec![FORWARDED_UPGRADE],
        pooled: 1,
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
