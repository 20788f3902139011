//! Requests and answers in step: keep-alive, pipelining, versions, answers of the proxy itself, and what must never reach an origin.

use super::*;

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_get_and_another_on_the_same_two_connections() {
    let second = "HTTP/1.1 201 Created\r\nX-Two: 2\r\nContent-Length: 3\r\n\r\ntwo";
    Case {
        client: vec![
            send(GET),
            until("\r\n\r\nok"),
            send("GET /b?c=%2F HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n"),
            until("two"),
            Step::Close,
        ],
        plans: vec![origin(&[("\r\n\r\n", OK), ("\r\n\r\n", second)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 201 Created\nX-Two: 2\nContent-Length: 3\n\ntwo",
        origins_get: vec!["GET /a HTTP/1.1\nHost: a\n\nGET /b?c=%2F HTTP/1.1\nHost: a\nX-A: b\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

/// Bytes that are said to be the last ones wait for the end (`pipe` sees to it that it follows at once); others must not.
#[test]
fn only_the_last_answer_of_a_connection_leaves_with_its_end() {
    on_both_drivers(async || {
        let base = Base::new();
        let late = "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n";
        let long = format!("{late}{}", "x".repeat(400));
        let closing = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for (asked, answer, origin_chop, leaves) in [
            (closing, OK, Chop::Whole, true),
            (closing, &long, Chop::At(late.len()), true),
            (closing, "nonsense", Chop::Whole, true),
            ("GET / HTTP/1.1\r\nHost: none\r\nContent-Length: 9\r\n\r\n", OK, Chop::Whole, true),
            ("nonsense\r\n\r\n", OK, Chop::Whole, true),
            (GET, OK, Chop::Whole, false),
            (GET, &long, Chop::At(late.len()), false),
        ] {
            let (client, plans) = ([send(asked), until("\r\n\r\n"), Step::Close], [origin(&[("\r\n\r\n", answer)])]);
            let outcome = Run { origin_chop, ..Run::new(&client, &plans) }.play(&base).await;
            assert!(outcome.client.starts_with("HTTP/1.1 "), "{asked}: {}", outcome.client);
            assert_eq!(base.left_with_the_end.get(), leaves, "{asked} {answer}");
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let pipeline = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyzGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    Case {
        client: vec![send(pipeline), until("three"), Step::Close],
        plans: vec![origin(&[
            ("/1 ", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"),
            ("xyz", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"),
            ("/3 ", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree"),
        ])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 3\n\noneHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<two>[last]\nHTTP/1.1 200 OK\nContent-Length: 5\n\nthree",
        origins_get: vec![
            "GET /1 HTTP/1.1\nHost: a\n\nPOST /2 HTTP/1.1\nHost: a\nContent-Length: 3\n\nxyzGET /3 HTTP/1.1\nHost: a\n\n",
        ],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn a_head_response_keeps_its_length_and_has_no_body() {
    Case {
        client: vec![
            send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("\r\n\r\n"),
            send(GET),
            until("ok"),
            Step::Close,
        ],
        plans: vec![origin(&[("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 5000\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["HEAD / HTTP/1.1\nHost: a\n\nGET /a HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn bodiless_statuses_end_at_their_head() {
    Case {
        client: vec![send(GET), until("\r\n\r\n"), send(GET), until("\r\n\r\n"), send(GET), until("ok"), Step::Close],
        plans: vec![origin(&[
            ("\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
            ("\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n"),
            ("\r\n\r\n", OK),
        ])],
        client_gets: "HTTP/1.1 204 No Content\n\nHTTP/1.1 304 Not Modified\nETag: \"x\"\nContent-Length: 77\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec![
            "GET /a HTTP/1.1\nHost: a\n\nGET /a HTTP/1.1\nHost: a\n\nGET /a HTTP/1.1\nHost: a\n\n",
        ],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn a_client_of_http_1_0_is_closed_unless_it_asks_for_more() {
    Case {
        client: vec![send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")],
        plans: vec![origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.0 200 OK\nContent-Length: 2\nConnection: close\n\nok",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
    Case {
        client: vec![
            send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
            until("ok"),
            send("GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
        ],
        plans: vec![origin(&[("\r\n\r\n", OK), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.0 200 OK\nContent-Length: 2\nConnection: keep-alive\n\nokHTTP/1.0 200 OK\nContent-Length: 2\nConnection: close\n\nok",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn after_connection_close_nothing_more_is_read() {
    Case {
        client: vec![send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        )],
        plans: vec![origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn informational_responses_are_left_out() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    Case {
        client: vec![send(GET), until("ok"), Step::Close],
        plans: vec![origin(&[("\r\n\r\n", answer)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["GET /a HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn answers_of_the_proxy_keep_the_connection_when_no_body_is_announced() {
    let none = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";
    Case {
        client: vec![
            send("GET /auth HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("401 Unauthorized\n"),
            send("HEAD /moved/x HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("\r\n\r\n"),
            send(none),
            until("Service Unavailable"),
            Step::Close,
        ],
        client_gets: "HTTP/1.1 401 Unauthorized\nContent-Type: text/plain\nWww-Authenticate: Basic realm=\"traefik\"\nContent-Length: 17\n\n401 Unauthorized\nHTTP/1.1 307 Temporary Redirect\nContent-Type: text/plain; charset=utf-8\nLocation: http://b/new/x\nContent-Length: 18\n\nHTTP/1.1 503 Service Unavailable\nContent-Type: text/plain; charset=utf-8\nRetry-After: 5\nContent-Length: 19\n\nService Unavailable",
        ..Case::default()
    }
    .check();
}

#[test]
fn answers_of_the_proxy_close_when_a_body_is_still_to_come() {
    Case {
        client: vec![send(
            "POST /auth HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n0123456789",
        )],
        client_gets: "HTTP/1.1 401 Unauthorized\nContent-Type: text/plain\nWww-Authenticate: Basic realm=\"traefik\"\nContent-Length: 17\nConnection: close\n\n401 Unauthorized\n",
        ..Case::default()
    }
    .check();
}

#[test]
fn while_the_process_drains_each_answer_ends_its_connection() {
    on_both_drivers(async || {
        let base = Base::new();
        let plans = [origin(&[("\r\n\r\n", OK)])];
        let client = [send(GET)];
        let outcome = Run { draining: true, ..Run::new(&client, &plans) }.play(&base).await;
        assert_eq!(outcome.client, "HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok");
        assert_eq!(outcome.pooled, 0);
        let client = [send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")];
        let outcome = Run { draining: true, ..Run::new(&client, &[]) }.play(&base).await;
        assert!(outcome.client.contains("\nConnection: close\n"), "{}", outcome.client);
    });
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_no_origin_hears_of_it() {
    let smuggled = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let heads = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    ];
    on_both_drivers(async || {
        let base = Base::new();
        for head in heads {
            for chop in [Chop::Whole, Chop::Bytes, Chop::Seed(1), Chop::Seed(2)] {
                let client = [send(head), send(smuggled)];
                let outcome = Run { client_chop: chop, ..Run::new(&client, &[]) }.play(&base).await;
                assert!(outcome.client.starts_with("HTTP/1.1 400 "), "{head:?}: {outcome:?}");
                assert_eq!(outcome.client.matches("HTTP/1.").count(), 1, "{head:?}: one answer, then the end");
                assert!(outcome.client.contains("Connection: close"), "{head:?}");
            }
        }
    });
}
