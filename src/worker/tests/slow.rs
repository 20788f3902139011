//! Slow clients and servers: each wait has its time limit, and the client gets a response if it is still connected.

use std::time::{Duration, Instant};

use super::*;
use crate::worker::Timeouts;
use harness::TIMEOUTS;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SHORT: Duration = Duration::from_millis(150);

/// Runs with both drivers; the run must last about as long as the limit.
fn within_limit(
    timeouts: Timeouts,
    client: &[ScriptStep],
    dial_scripts: &[DialScript],
    takes_max: usize,
    check: impl Fn(RunResult),
) {
    on_both_drivers(async || {
        let base = Base::new();
        let start = Instant::now();
        check(Run { timeouts, takes_max, ..Run::new(client, dial_scripts) }.play(&base).await);
        let took = start.elapsed();
        assert!(took >= SHORT.mul_f32(0.9) && took < SHORT * 30, "took {took:?}");
    });
}

#[test]
fn idle_client_is_closed_without_response() {
    let timeouts = Timeouts { idle: Some(SHORT), ..TIMEOUTS };
    within_limit(timeouts, &[], &[], usize::MAX, |outcome| assert_eq!(outcome.client, ""));
    let dial_scripts = [origin(&[("\r\n\r\n", OK)])];
    within_limit(timeouts, &[send(GET)], &dial_scripts, usize::MAX, |outcome| {
        assert!(outcome.client.ends_with("\n\nok"), "{}", outcome.client);
        assert_eq!(outcome.pooled, 1);
    });
}

#[test]
fn only_client_with_second_request_idles_in_handler() {
    on_both_drivers(async || {
        let base = Base::new();
        let timeouts = Timeouts { idle: Some(SHORT), ..TIMEOUTS };
        let dial_scripts = [origin(&[("\r\n\r\n", OK), ("\r\n\r\n", OK)])];
        let script = [send(GET), until("ok"), send(GET)];
        for (steps, idle_reads) in [(1, 0), (3, 1)] {
            let outcome = Run { timeouts, ..Run::new(&script[..steps], &dial_scripts) }.play(&base).await;
            assert!(outcome.client.ends_with("\n\nok"), "{}", outcome.client);
            assert_eq!(base.idle_reads.get(), idle_reads, "after {steps} steps");
        }
    });
}

#[test]
fn incomplete_head_closes_connection_at_timeout() {
    let timeouts = Timeouts { head_read: SHORT, ..TIMEOUTS };
    within_limit(timeouts, &[send("GET / HTTP/1.1\r\nHo")], &[], usize::MAX, |outcome| {
        assert_eq!((outcome.client.as_str(), outcome.dials), ("", 0));
    });
}

#[test]
fn client_without_first_byte_gets_header_timeout() {
    let timeouts = Timeouts { head_read: SHORT, idle: None, ..TIMEOUTS };
    within_limit(timeouts, &[], &[], usize::MAX, |outcome| {
        assert_eq!((outcome.client.as_str(), outcome.dials), ("", 0));
    });
}

#[test]
fn body_beyond_read_timeout_gets_408() {
    let timeouts = Timeouts { body_read: Some(SHORT), ..TIMEOUTS };
    let client = [
        send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"),
        until("Request Timeout"),
        ScriptStep::Close,
    ];
    let dial_scripts = [DialScript::Origin(vec![until("never")])];
    within_limit(timeouts, &client, &dial_scripts, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 408 Request Timeout\n"), "{}", outcome.client);
    });
}

#[test]
fn stalled_body_gets_408() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let client = [
        send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"),
        until("Request Timeout"),
        ScriptStep::Close,
    ];
    let dial_scripts = [DialScript::Origin(vec![until("never")])];
    within_limit(timeouts, &client, &dial_scripts, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 408 Request Timeout\n"), "{}", outcome.client);
        assert_eq!((outcome.origins.len(), outcome.pooled), (1, 0));
    });
}

#[test]
fn server_without_response_gives_504() {
    let timeouts = Timeouts { response_header: Some(SHORT), ..TIMEOUTS };
    let client = [send(GET), until("Gateway Timeout"), until("Gateway Timeout"), ScriptStep::Close];
    let dial_scripts = [DialScript::Origin(vec![until("never")])];
    within_limit(timeouts, &client, &dial_scripts, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 504 Gateway Timeout\n"), "{}", outcome.client);
        assert_eq!((outcome.dials, outcome.pooled), (1, 0), "a request that was seen is not sent again");
    });
}

#[test]
fn server_that_stops_reading_head_gives_504() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let client = [send(GET), until("Gateway Timeout"), until("Gateway Timeout"), ScriptStep::Close];
    let dial_scripts = [DialScript::Takes(10, vec![until("never")])];
    within_limit(timeouts, &client, &dial_scripts, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 504 "), "{}", outcome.client);
        assert_eq!((outcome.dials, outcome.pooled), (1, 0));
    });
}

#[test]
fn server_that_stops_reading_body_gives_504() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n{}", "x".repeat(400_000));
    let client = [send(&post), until("Gateway Timeout"), until("Gateway Timeout"), ScriptStep::Close];
    let dial_scripts = [DialScript::Takes(1000, vec![until("never")])];
    within_limit(timeouts, &client, &dial_scripts, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 504 "), "{}", outcome.client);
        assert_eq!((outcome.dials, outcome.pooled), (1, 0), "a POST that may have been seen is not sent again");
    });
}

#[test]
fn client_that_stops_reading_closes_both_connections() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    let dial_scripts = [origin(&[("\r\n\r\n", &body)])];
    within_limit(timeouts, &[send(GET)], &dial_scripts, 500, |outcome| assert_eq!(outcome.pooled, 0));
}

#[test]
fn disconnect_while_waiting_cancels_request() {
    for end in [ScriptStep::Close, ScriptStep::Reset] {
        for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"] {
            let client = [send(request), end.clone()];
            let dial_scripts = [DialScript::Origin(vec![until("never")])];
            within_limit(TIMEOUTS, &client, &dial_scripts, usize::MAX, |outcome| {
                assert_eq!((outcome.client.as_str(), outcome.dials, outcome.pooled), ("", 1, 0));
            });
        }
    }
}

#[test]
fn slow_event_stream_lasts_until_client_disconnects() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    let client = [send(GET), until("data: 1"), ScriptStep::Close];
    let dial_scripts = [DialScript::Origin(vec![until("\r\n\r\n"), send(events)])];
    within_limit(timeouts, &client, &dial_scripts, usize::MAX, |outcome| {
        assert!(outcome.client.ends_with("<data: 1\n\n>[cut]"), "{}", outcome.client);
        assert_eq!(outcome.pooled, 0);
    });
}
