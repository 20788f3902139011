//! Those who keep others waiting: each has its limit, and is told where somebody is left to tell.

use std::time::{Duration, Instant};

use super::*;
use crate::worker::Timeouts;
use stage::TIMEOUTS;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SHORT: Duration = Duration::from_millis(150);

/// Plays on both drivers; the run must last about as long as the limit.
fn within_limit(timeouts: Timeouts, client: &[Step], plans: &[Plan], takes_max: usize, look: impl Fn(Outcome)) {
    on_both_drivers(async || {
        let base = Base::new();
        let start = Instant::now();
        look(Run { timeouts, takes_max, ..Run::new(client, plans) }.play(&base).await);
        let took = start.elapsed();
        assert!(took >= SHORT.mul_f32(0.9) && took < SHORT * 30, "took {took:?}");
    });
}

#[test]
fn an_idle_client_is_closed_without_a_word() {
    let timeouts = Timeouts { idle: Some(SHORT), ..TIMEOUTS };
    within_limit(timeouts, &[], &[], usize::MAX, |outcome| assert_eq!(outcome.client, ""));
    let plans = [origin(&[("\r\n\r\n", OK)])];
    within_limit(timeouts, &[send(GET)], &plans, usize::MAX, |outcome| {
        assert!(outcome.client.ends_with("\n\nok"), "{}", outcome.client);
        assert_eq!(outcome.pooled, 1);
    });
}

#[test]
fn only_a_client_that_comes_back_keeps_a_handler_while_it_idles() {
    on_both_drivers(async || {
        let base = Base::new();
        let timeouts = Timeouts { idle: Some(SHORT), ..TIMEOUTS };
        let plans = [origin(&[("\r\n\r\n", OK), ("\r\n\r\n", OK)])];
        let asks = [send(GET), until("ok"), send(GET)];
        for (asked, seats) in [(1, 0), (3, 1)] {
            let outcome = Run { timeouts, ..Run::new(&asks[..asked], &plans) }.play(&base).await;
            assert!(outcome.client.ends_with("\n\nok"), "{}", outcome.client);
            assert_eq!(base.seats.get(), seats, "after {asked} steps");
        }
    });
}

#[test]
fn a_head_that_never_ends_is_closed() {
    let timeouts = Timeouts { head_read: SHORT, ..TIMEOUTS };
    within_limit(timeouts, &[send("GET / HTTP/1.1\r\nHo")], &[], usize::MAX, |outcome| {
        assert_eq!((outcome.client.as_str(), outcome.dials), ("", 0));
    });
}

#[test]
fn a_client_that_never_says_a_word_has_as_long_as_a_head() {
    let timeouts = Timeouts { head_read: SHORT, idle: None, ..TIMEOUTS };
    within_limit(timeouts, &[], &[], usize::MAX, |outcome| {
        assert_eq!((outcome.client.as_str(), outcome.dials), ("", 0));
    });
}

#[test]
fn a_whole_body_has_its_time_where_one_is_set() {
    let timeouts = Timeouts { body_read: Some(SHORT), ..TIMEOUTS };
    let client =
        [send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"), until("Request Timeout"), Step::Close];
    let plans = [Plan::Origin(vec![until("never")])];
    within_limit(timeouts, &client, &plans, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 408 Request Timeout\n"), "{}", outcome.client);
    });
}

#[test]
fn a_body_that_stands_still_gets_408() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let client =
        [send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"), until("Request Timeout"), Step::Close];
    let plans = [Plan::Origin(vec![until("never")])];
    within_limit(timeouts, &client, &plans, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 408 Request Timeout\n"), "{}", outcome.client);
        assert_eq!((outcome.origins.len(), outcome.pooled), (1, 0));
    });
}

#[test]
fn an_origin_that_does_not_answer_is_a_gateway_timeout() {
    let timeouts = Timeouts { response_header: Some(SHORT), ..TIMEOUTS };
    let client = [send(GET), until("Gateway Timeout"), until("Gateway Timeout"), Step::Close];
    let plans = [Plan::Origin(vec![until("never")])];
    within_limit(timeouts, &client, &plans, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 504 Gateway Timeout\n"), "{}", outcome.client);
        assert_eq!((outcome.dials, outcome.pooled), (1, 0), "a request that was seen is not sent again");
    });
}

#[test]
fn an_origin_that_takes_no_more_of_a_request_is_a_gateway_timeout() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let client = [send(GET), until("Gateway Timeout"), until("Gateway Timeout"), Step::Close];
    let plans = [Plan::Takes(10, vec![until("never")])];
    within_limit(timeouts, &client, &plans, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 504 "), "{}", outcome.client);
        assert_eq!((outcome.dials, outcome.pooled), (1, 0));
    });
}

#[test]
fn an_origin_that_takes_no_more_of_a_body_is_not_waited_for_for_ever() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n{}", "x".repeat(400_000));
    let client = [send(&post), until("Gateway Timeout"), until("Gateway Timeout"), Step::Close];
    let plans = [Plan::Takes(1000, vec![until("never")])];
    within_limit(timeouts, &client, &plans, usize::MAX, |outcome| {
        assert!(outcome.client.starts_with("HTTP/1.1 504 "), "{}", outcome.client);
        assert_eq!((outcome.dials, outcome.pooled), (1, 0), "a POST that may have been seen is not sent again");
    });
}

#[test]
fn a_client_that_reads_nothing_is_closed_and_the_origin_let_go() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    let plans = [origin(&[("\r\n\r\n", &body)])];
    within_limit(timeouts, &[send(GET)], &plans, 500, |outcome| assert_eq!(outcome.pooled, 0));
}

#[test]
fn a_client_that_goes_while_it_waits_takes_its_request_with_it() {
    for end in [Step::Close, Step::Reset] {
        for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"] {
            let client = [send(request), end.clone()];
            let plans = [Plan::Origin(vec![until("never")])];
            within_limit(TIMEOUTS, &client, &plans, usize::MAX, |outcome| {
                assert_eq!((outcome.client.as_str(), outcome.dials, outcome.pooled), ("", 1, 0));
            });
        }
    }
}

#[test]
fn a_stream_of_rare_events_lasts_longer_than_any_limit_and_ends_with_its_client() {
    let timeouts = Timeouts { stall: SHORT, ..TIMEOUTS };
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    let client = [send(GET), until("data: 1"), Step::Close];
    let plans = [Plan::Origin(vec![until("\r\n\r\n"), send(events)])];
    within_limit(timeouts, &client, &plans, usize::MAX, |outcome| {
        assert!(outcome.client.ends_with("<data: 1\n\n>[cut]"), "{}", outcome.client);
        assert_eq!(outcome.pooled, 0);
    });
}
