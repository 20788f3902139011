//! Rate limits, connection limits, breakers, buffering and retries (docs/reference/middlewares.md#rate-limit,
//! docs/reference/backends.md#retry).

use std::sync::Arc;

use ringway::http::Reply;
use ringway::limits::EXTRA_ROUNDS_MAX;
use ringway::middleware::breaker::{Breaker, BreakerPhase, BreakerState};
use ringway::middleware::buffering::{Buffering, BufferingSizes};
use ringway::middleware::max_conn::MaxConn;
use ringway::middleware::rate_limit::{Rate, RateLimit, RateState};
use ringway::middleware::request_permit::ConnState;
use ringway::middleware::retry::RetryPolicy;
use ringway::middleware::source_extractor::SourceExtractor;
use ringway::middleware::{ChainScope, Middleware};

use crate::support::*;

const SECOND: u64 = 1_000_000_000;

fn rate_limit(source: &str, period_secs: i64, average: i64, burst: i64) -> ChainRun {
    let rate = Rate::new(period_secs * SECOND as i64, average, burst).unwrap();
    let state = Arc::new(RateState::new(&[rate]).unwrap());
    let step = RateLimit::new(SourceExtractor::parse(source).unwrap(), state, ChainScope::Frontend("f"));
    ChainRun::new(vec![Middleware::RateLimit(step)])
}

#[test]
fn rate_limit_sets_retry_after() {
    let mut run = rate_limit("client.ip", 10, 2, 2);
    assert!(passes(&run.get("h", "/")) && passes(&run.get("h", "/")));
    let (status, fields, body, label) = shown(run.get("h", "/"));
    assert_eq!((status, body.as_str()), (429, "max rate reached: retry-in 5s"));
    assert_eq!((value(&fields, "retry-after"), value(&fields, "x-retry-in")), (Some("5"), Some("5s")));
    assert_eq!(label.as_deref(), Some("rate limit for f"));
    run.now_nanos = 5 * SECOND;
    assert!(passes(&run.get("h", "/")));
    assert!(!passes(&run.get("h", "/")));
    run.peer = "192.0.2.8".parse().unwrap();
    assert!(passes(&run.get("h", "/")), "another client");
}

#[test]
fn source_is_address_host_or_header() {
    let mut v6 = rate_limit("client.ip", 10, 1, 1);
    for (peer, expected) in [("2001:db8::1", true), ("2001:db8::1", false), ("2001:db8::2", true), ("192.0.2.1", true)]
    {
        v6.peer = peer.parse().unwrap();
        assert_eq!(passes(&v6.get("h", "/")), expected, "{peer}");
    }
    let mut host = rate_limit("request.host", 10, 1, 1);
    assert!(passes(&host.get("a", "/")) && passes(&host.get("a:80", "/")) && !passes(&host.get("a", "/")));
    assert!(!passes(&host.get("A", "/")) && !passes(&host.get("a.", "/")), "the spelling of a host is no other source");
    let mut field = rate_limit("request.header.X-Key", 10, 1, 1);
    assert!(passes(&field.get("a", "/")) && !passes(&field.get("a", "/")), "no field is a source too");
    assert!(passes(&field.send("GET / HTTP/1.1\nHost: h\nX-Key: 1")));
    for wrong in ["", "client.IP", "request.header.", "request.path"] {
        assert!(SourceExtractor::parse(wrong).unwrap_err().to_string().contains("client.ip"), "{wrong}");
    }
}

#[test]
fn max_conn_permits_are_released() {
    let state = Arc::new(ConnState::default());
    let limited = |amount| {
        let step = MaxConn::new(amount, SourceExtractor::Host, state.clone(), ChainScope::Frontend("f"));
        ChainRun::new(vec![Middleware::MaxConn(step)])
    };
    let (mut first, mut second) = (limited(1), limited(1));
    assert!(passes(&first.get("h", "/")));
    assert_eq!(state.active(), 1);
    let (status, _, body, label) = shown(second.get("h", "/"));
    assert_eq!((status, body.as_str()), (429, "max connections reached: 1"));
    assert_eq!(label.as_deref(), Some("connection limit for f"));
    assert!(passes(&second.get("other", "/")));
    first.state.clear();
    second.state.begin_attempt(0);
    assert_eq!(state.active(), 0);
    assert!(passes(&second.get("h", "/")));
    assert_eq!(shown(limited(-1).get("x", "/")).2, "max connections reached: -1");
    drop(second);
    assert_eq!(state.active(), 0);
}

fn breaker(expression: &str) -> (ChainRun, Arc<BreakerState>) {
    let state = Arc::new(BreakerState::new(expression).unwrap());
    (ChainRun::new(vec![Middleware::Breaker(Breaker::new(state.clone()))]), state)
}

#[test]
fn breaker_recovery_admits_a_growing_share() {
    let (mut run, state) = breaker("ResponseCodeRatio(500, 600, 0, 600) > 0.5");
    assert!(passes(&run.get("h", "/")));
    run.respond("HTTP/1.1 500 Oops\nContent-Length: 0");
    assert_eq!(state.phase(), BreakerPhase::Tripped { until_nanos: 10 * SECOND });
    let (status, _, body, label) = shown(run.get("h", "/"));
    assert_eq!((status, body.as_str(), label), (503, "Service Unavailable", None));
    // Twenty requests a second during recovery: the admitted share grows from none to a half.
    let mut admitted = [0; 10];
    for tick in 0..200 {
        run.now_nanos = 10 * SECOND + tick * SECOND / 20;
        if passes(&run.get("h", "/")) {
            admitted[tick as usize / 20] += 1;
            run.respond("HTTP/1.1 200 OK\nContent-Length: 0");
        }
    }
    assert!(admitted[0] <= 1 && admitted.is_sorted_by(|a, b| *a <= *b + 2), "{admitted:?}");
    let total: i32 = admitted.iter().sum();
    assert!((80..=100).contains(&total), "{admitted:?}");
    run.now_nanos = 21 * SECOND;
    assert!(passes(&run.get("h", "/")));
    assert_eq!(state.phase(), BreakerPhase::Standby);
}

#[test]
fn breaker_trips_again_on_failure_during_recovery() {
    let state = BreakerState::new("NetworkErrorRatio() >= 0.5").unwrap();
    state.record(502, 0, 0);
    assert!(!state.admits(9 * SECOND));
    let admitted = (0..100).filter(|tick| state.admits(10 * SECOND + tick * SECOND / 20)).count();
    assert!((1..50).contains(&admitted), "{admitted}");
    assert!(matches!(state.phase(), BreakerPhase::Recovering { .. }));
    state.record(504, 0, 15 * SECOND);
    assert_eq!(state.phase(), BreakerPhase::Tripped { until_nanos: 25 * SECOND });
}

#[test]
fn breaker_counts_gateway_errors_and_local_replies() {
    let (mut run, state) = breaker("NetworkErrorRatio() > 0.5");
    assert!(passes(&run.get("h", "/")));
    run.respond_local(&mut Reply::text(429, "x"));
    assert_eq!(state.phase(), BreakerPhase::Standby);
    for _ in 0..2 {
        run.now_nanos += SECOND;
        run.respond_gateway(&mut Reply::text(502, "Bad Gateway"));
    }
    assert!(matches!(state.phase(), BreakerPhase::Tripped { .. }));
}

#[test]
fn breaker_evaluates_every_tenth_of_a_second() {
    let state = BreakerState::new("NetworkErrorRatio() > 0.5").unwrap();
    state.record(200, 0, 0);
    (1..5).for_each(|n| state.record(502, 0, n));
    assert_eq!(state.phase(), BreakerPhase::Standby);
    state.record(502, 0, SECOND / 10);
    assert!(matches!(state.phase(), BreakerPhase::Tripped { .. }));
}

#[test]
fn breaker_trips_on_latency_and_forgets_old_failures() {
    let state = BreakerState::new("LatencyAtQuantileMS(50.0) > 100 && NetworkErrorRatio() < 0.5").unwrap();
    state.record(200, 90_000_000, 0);
    assert_eq!(state.phase(), BreakerPhase::Standby);
    (1..4).for_each(|n| state.record(200, 150_000_000, n * SECOND));
    assert!(matches!(state.phase(), BreakerPhase::Tripped { .. }));
    let state = BreakerState::new("ResponseCodeRatio(500, 600, 0, 600) > 0.4").unwrap();
    (0..3).for_each(|_| state.record(200, 0, 0));
    (0..3).for_each(|_| state.record(500, 0, 1));
    state.record(200, 0, 11 * SECOND);
    assert_eq!(state.phase(), BreakerPhase::Standby);
}

#[test]
fn breaker_expressions_are_parsed_strictly() {
    for right in [
        "NetworkErrorRatio() > 0.5",
        "( LatencyAtQuantileMS(50.0) > 50 || NetworkErrorRatio()>=1.0 ) && ResponseCodeRatio(500,600,0,600) != 0.3",
        "NetworkErrorRatio() == 0.1 || NetworkErrorRatio() <= 0.2 && NetworkErrorRatio() < 0.3",
    ] {
        assert!(BreakerState::new(right).is_ok(), "{right}");
    }
    for (wrong, hint) in [
        ("NetworkErrorRatio() > 1", "decimal point"),
        ("LatencyAtQuantileMS(50) > 50", "50.0"),
        ("LatencyAtQuantileMS(50.0) > 0.5", "whole number"),
        ("ResponseCodeRatio(500, 600) > 0.5", "dividedByFrom"),
        ("!NetworkErrorRatio() > 0.5", "name"),
        ("NetworkErrorRatio() > 0.5 &&", "name"),
        ("NetworkErrorRatio() 0.5", "=="),
        ("(NetworkErrorRatio() > 0.5", ")"),
        ("NetworkErrorRatio() > 0.5 x", "end"),
        ("Foo() > 0.5", "NetworkErrorRatio()"),
        ("NetworkErrorRatio() > 0.5.5", "number"),
        ("", "name"),
    ] {
        let error = BreakerState::new(wrong).unwrap_err().to_string();
        assert!(error.contains(hint), "{wrong}: {error}");
    }
    assert!(BreakerState::new(&"(".repeat(100_000)).is_err(), "the stack is bounded");
}

#[test]
fn buffering_refuses_large_bodies_and_repeats() {
    let sizes = BufferingSizes { max_request: 10, max_response: -1, ..Default::default() };
    let retry = "(IsNetworkError() || ResponseCode() == 500) && Attempts() < 3 && RequestMethod() != \"POST\"";
    let step = Buffering::new(sizes, retry).unwrap();
    assert_eq!((step.request_bytes_max, step.response_bytes_max, step.request_mem_bytes), (Some(10), None, 1 << 20));
    let again = |attempt, method: &str, status| step.again(attempt, method.as_bytes(), status);
    assert!(again(1, "GET", 502) && again(2, "GET", 500) && !again(3, "GET", 502) && !again(1, "GET", 503));
    assert!(!again(1, "POST", 502));
    let endless = Buffering::new(sizes, "ResponseCode() != 200").unwrap();
    assert!(endless.again(EXTRA_ROUNDS_MAX, b"GET", 500) && !endless.again(EXTRA_ROUNDS_MAX + 1, b"GET", 500));
    let mut run = ChainRun::new(vec![Middleware::Buffering(step)]);
    assert!(passes(&run.send("POST / HTTP/1.1\nHost: h\nContent-Length: 10")));
    let (status, _, body, _) = shown(run.send("POST / HTTP/1.1\nHost: h\nContent-Length: 11"));
    assert_eq!((status, body.as_str()), (413, "Request Entity Too Large"));
    assert!(passes(&run.send("POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked")));
    for wrong in ["IsNetworkError() == 1", "Attempts() < 1.0", "RequestMethod() == GET", "Foo()", "Attempts(1) < 2"] {
        assert!(Buffering::new(sizes, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn local_replies_but_503_are_repeated_within_the_attempts() {
    let retry = RetryPolicy::new(3, 9);
    assert!(
        retry.repeats_local_reply(1, 429) && retry.repeats_local_reply(2, 429) && !retry.repeats_local_reply(3, 429)
    );
    assert!(!retry.repeats_local_reply(1, 503));
    assert_eq!((RetryPolicy::new(0, 4).attempts(), RetryPolicy::new(-1, 0).attempts()), (4, 1));
}
