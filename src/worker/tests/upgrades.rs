//! WebSocket: the handshake as HTTP, then bytes both ways until both sides have ended.

use super::*;

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const ASKED: &str = "GET /ws HTTP/1.1\nHost: a\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nConnection: Upgrade\nUpgrade: websocket\n\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\nConnection: Upgrade\nUpgrade: websocket\n\n";

fn joined(head: &str, tail: &str) -> &'static str {
    format!("{head}{tail}").leak()
}

#[test]
fn bytes_go_both_ways_until_both_sides_have_ended() {
    Case {
        client: vec![send(ASK), until("\r\n\r\n"), send("ping"), until("pong"), send("last"), Step::Close],
        plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(SWITCH), until("ping"), send("pong"), until("last")])],
        client_gets: joined(SWITCHED, "pong"),
        origins_get: vec![joined(ASKED, "pinglast")],
        ..Case::default()
    }
    .check();
}

#[test]
fn what_one_side_sent_before_its_end_still_arrives() {
    // The client has finished; the origin still talks, and the other way round.
    Case {
        client: vec![send(ASK), until("\r\n\r\n"), send("done"), Step::Close],
        plans: vec![Plan::Origin(vec![
            until("\r\n\r\n"),
            send(SWITCH),
            until("done"),
            send("still here"),
            Step::Close,
        ])],
        client_gets: joined(SWITCHED, "still here"),
        origins_get: vec![joined(ASKED, "done")],
        ..Case::default()
    }
    .check();
    Case {
        client: vec![send(ASK), until("farewell"), send("thanks"), Step::Close],
        plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(SWITCH), send("farewell"), Step::Close])],
        client_gets: joined(SWITCHED, "farewell"),
        origins_get: vec![joined(ASKED, "thanks")],
        ..Case::default()
    }
    .check();
}

#[test]
fn bytes_sent_before_the_switch_belong_to_the_tunnel() {
    Case {
        client: vec![send(ASK), send("early"), until("welcome"), Step::Close],
        plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(SWITCH), send("welcome"), until("early")])],
        client_gets: joined(SWITCHED, "welcome"),
        origins_get: vec![joined(ASKED, "early")],
        ..Case::default()
    }
    .check();
}

#[test]
fn a_refused_upgrade_is_an_answer_like_any_other_and_the_end() {
    Case {
        client: vec![send(ASK), send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")],
        plans: vec![origin(&[("\r\n\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")])],
        client_gets: "HTTP/1.1 403 Forbidden\nContent-Length: 2\nConnection: close\n\nno",
        origins_get: vec![ASKED],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn an_upgrade_that_the_proxy_itself_refuses_is_the_end_too() {
    // What follows was written for another protocol, and another client may have chosen it.
    Case {
        client: vec![send(ASK), send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")],
        plans: vec![Plan::Refuse],
        client_gets: "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\nConnection: close\n\nBad Gateway",
        origins_get: Vec::new(),
        ..Case::default()
    }
    .check();
}

#[test]
fn a_tunnel_that_breaks_ends_on_both_sides() {
    for (client_end, origin_end) in [(Step::Reset, Step::Close), (Step::Close, Step::Reset)] {
        on_both_drivers(async || {
            let base = Base::new();
            let client = [send(ASK), until("\r\n\r\n"), send("x"), client_end.clone()];
            let plans = [Plan::Origin(vec![until("\r\n\r\n"), send(SWITCH), until("x"), origin_end.clone()])];
            for chop in [Chop::Whole, Chop::Bytes, Chop::Seed(3)] {
                let outcome =
                    Run { client_chop: chop, origin_chop: chop, ..Run::new(&client, &plans) }.play(&base).await;
                assert_eq!(outcome.pooled, 0);
                assert!(outcome.client.starts_with("HTTP/1.1 101 "), "{outcome:?}");
            }
        });
    }
}
