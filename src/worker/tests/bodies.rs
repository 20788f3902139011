//! Bodies both ways, in every framing; what is cut short must look cut short.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ASKED: &str = "GET / HTTP/1.1\nHost: a\n\n";

#[test]
fn a_counted_body_goes_up_and_the_connections_stay() {
    Case {
        client: vec![
            send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world"),
            until("ok"),
            send(GET),
            until("ok"),
            Step::Close,
        ],
        plans: vec![origin(&[("world", OK), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 11\n\nhello worldGET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn a_post_of_nothing_keeps_its_zero() {
    Case {
        client: vec![send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), until("ok"), Step::Close],
        plans: vec![origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn chunks_go_both_ways_with_trailers_and_without_extensions() {
    let up = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;name=\"v\"\r\nhello\r\n006\r\n world\r\n0;last\r\nX-Sum: 42\r\nContent-Length: 9\r\n\r\n";
    let down = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n3\r\nabc\r\n0\r\nX-End: yes\r\nTransfer-Encoding: chunked\r\n\r\n";
    Case {
        client: vec![send(up), until("X-End: yes\r\n\r\n"), send(GET), until("ok"), Step::Close],
        plans: vec![origin(&[("X-Sum: 42\r\n\r\n", down), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<0123456789abc>[last]X-End: yes\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec![
            "POST / HTTP/1.1\nHost: a\nTrailer: X-Sum\nTransfer-Encoding: chunked\n\n<hello world>[last]X-Sum: 42\n\nGET / HTTP/1.1\nHost: a\n\n",
        ],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn a_body_until_the_end_becomes_chunks_and_the_client_stays() {
    for version in ["1.0", "1.1"] {
        let close = if version == "1.1" { "Connection: close\r\n" } else { "" };
        let answer = format!("HTTP/{version} 200 OK\r\n{close}\r\nuntil the end");
        let first = Plan::Origin(vec![until("\r\n\r\n"), send(&answer), Step::Close]);
        Case {
            client: vec![send(GET), until("0\r\n\r\n"), send(GET), until("ok"), Step::Close],
            plans: vec![first, origin(&[("\r\n\r\n", OK)])],
            client_gets: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<until the end>[last]\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            origins_get: vec![ASKED, ASKED],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn chunks_become_a_body_until_the_end_for_http_1_0() {
    let down = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    Case {
        client: vec![send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")],
        plans: vec![origin(&[("\r\n\r\n", down)])],
        client_gets: "HTTP/1.0 200 OK\nConnection: close\n\nbody",
        origins_get: vec![ASKED],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn a_short_body_is_never_passed_off_as_whole() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "HTTP/1.1 200 OK\nContent-Length: 9\n\nhalf"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<half>[cut]",
        ),
    ];
    for (answer, client_gets) in cases {
        for end in [Step::Close, Step::Reset] {
            Case {
                client: vec![send(GET)],
                plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(answer), end])],
                client_gets,
                origins_get: vec![ASKED],
                ..Case::default()
            }
            .check();
        }
    }
}

#[test]
fn a_response_that_turns_into_nonsense_is_never_passed_off_as_whole() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\nrest\r\n0\r\n\r\n";
    on_both_drivers(async || {
        let base = Base::new();
        for origin_chop in [Chop::Whole, Chop::Bytes].into_iter().chain((1..answer.len()).map(Chop::At)) {
            let (client, plans) = ([send(GET)], [origin(&[("\r\n\r\n", answer)])]);
            let outcome = Run { origin_chop, ..Run::new(&client, &plans) }.play(&base).await;
            // How much of the good bytes in front still went out depends on when they came; the last chunk never does.
            assert!(outcome.client.ends_with("[cut]") && !outcome.client.contains("rest"), "{outcome:?}");
            assert_eq!(outcome.pooled, 0);
        }
    });
}

#[test]
fn a_short_body_that_only_the_end_could_tell_ends_in_a_reset() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\n", Step::Close),
        ("HTTP/1.0 200 OK\r\n\r\nhalf", Step::Reset),
    ];
    for (answer, end) in cases {
        Case {
            client: vec![send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")],
            plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(answer), end])],
            client_gets: "HTTP/1.0 200 OK\nConnection: close\n\nhalf",
            origins_get: vec![ASKED],
            ended: Ended::Cut,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn so_does_one_whose_client_broke_its_request_off_and_still_listens() {
    Case {
        client: vec![send("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 24\r\n\r\nhello"), until("half"), Step::Close],
        plans: vec![Plan::Origin(vec![until("hello"), send("HTTP/1.1 200 OK\r\n\r\nhalf")])],
        client_gets: "HTTP/1.0 200 OK\nConnection: close\n\nhalf",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 24\n\nhello"],
        ended: Ended::Cut,
        ..Case::default()
    }
    .check();
}

#[test]
fn bytes_behind_a_response_are_never_an_answer_to_anyone() {
    let answers = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n~HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", GET, ASKED),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n~\r\n0\r\n\r\nevil", GET, ASKED),
    ];
    for (answer, request, origin_gets) in answers {
        let expected = if answer.contains("chunked") {
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<~>[last]\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok"
        } else {
            "HTTP/1.1 200 OK\nContent-Length: 1\n\n~HTTP/1.1 200 OK\nContent-Length: 2\n\nok"
        };
        Case {
            client: vec![send(request), until("~"), send(GET), until("ok"), Step::Close],
            plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(answer)]), origin(&[("\r\n\r\n", OK)])],
            client_gets: expected,
            origins_get: vec![origin_gets, ASKED],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn a_body_where_none_may_be_costs_the_origin_its_connection() {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "HTTP/1.1 200 OK\nContent-Length: 4\n\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nevil", "HTTP/1.1 204 No Content\n\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\nevil", "HTTP/1.1 304 Not Modified\n\n"),
    ];
    for (method, answer, client_gets) in cases {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let gets: &'static str = format!("{client_gets}HTTP/1.1 200 OK\nContent-Length: 2\n\nok").leak();
        let asked: &'static str = request.replace("\r\n", "\n").leak();
        Case {
            client: vec![send(&request), until("\r\n\r\n"), send(GET), until("ok"), Step::Close],
            plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(answer)]), origin(&[("\r\n\r\n", OK)])],
            client_gets: gets,
            origins_get: vec![asked, ASKED],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn the_proxy_invites_the_body_and_the_origin_never_sees_the_expectation() {
    Case {
        client: vec![
            send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            until("100 Continue\r\n\r\n"),
            send("hello"),
            until("ok"),
            send(GET),
            until("ok"),
            Step::Close,
        ],
        plans: vec![origin(&[("hello", OK), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec![
            "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhelloGET / HTTP/1.1\nHost: a\n\n",
        ],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn an_expectation_that_is_refused_gets_the_final_answer_and_no_invitation() {
    Case {
        client: vec![
            send("POST /auth HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            until("401 Unauthorized\n"),
            Step::Close,
        ],
        client_gets: "HTTP/1.1 401 Unauthorized\nContent-Type: text/plain\nWww-Authenticate: Basic realm=\"traefik\"\nContent-Length: 17\nConnection: close\n\n401 Unauthorized\n",
        ..Case::default()
    }
    .check();
}

#[test]
fn an_answer_before_the_body_has_gone_up_ends_both_connections() {
    let early = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig";
    Case {
        client: vec![
            send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"),
            until("100 Continue\r\n\r\n"),
            send("01234"),
            until("big"),
            send("56789"),
            Step::Close,
        ],
        plans: vec![Plan::Origin(vec![until("01234"), send(early)])],
        client_gets: "HTTP/1.1 100 Continue\n\nHTTP/1.1 413 Payload Too Large\nContent-Length: 3\nConnection: close\n\nbig",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 100\n\n01234"],
        ..Case::default()
    }
    .check();
}

#[test]
fn an_origin_that_answers_and_breaks_off_the_upload_is_still_heard() {
    let early = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n";
    let body = "x".repeat(5000);
    on_both_drivers(async || {
        let base = Base::new();
        for breaks_at in [30, 100, 300, 400] {
            let client = [send(request), send(&body)];
            let plans = [Plan::Breaks(breaks_at, vec![until("POST"), send(early)])];
            for client_chop in [Chop::Bytes, Chop::Seed(3)] {
                let outcome = Run { client_chop, ..Run::new(&client, &plans) }.play(&base).await;
                let gets = "HTTP/1.1 401 Unauthorized\nContent-Length: 2\nConnection: close\n\nno";
                assert_eq!(outcome.client, gets, "after {breaks_at}");
                assert_eq!(outcome.pooled, 0);
            }
        }
    });
}

#[test]
fn a_body_that_is_none_is_refused_with_its_connection() {
    let cases = ["zz\r\n", "5\r\nhelloX", "-5\r\nhello", "FFFFFFFFFFFFFFFFF\r\n", "5 \r\nhello\r\n"];
    for chunks in cases {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        on_both_drivers(async || {
            let base = Base::new();
            for client_chop in [Chop::Whole, Chop::Bytes, Chop::Seed(5)] {
                let client = [send(&request), until("400 Bad Request"), Step::Close];
                let plans = [Plan::Origin(vec![until("never")])];
                let outcome = Run { client_chop, ..Run::new(&client, &plans) }.play(&base).await;
                assert!(outcome.client.starts_with("HTTP/1.1 400 Bad Request\n"), "{chunks:?}: {outcome:?}");
                assert!(outcome.origins.iter().all(|got| !got.contains("[last]")), "{chunks:?}: {outcome:?}");
                assert_eq!(outcome.pooled, 0);
            }
        });
    }
}

#[test]
fn a_bad_body_behind_an_answer_that_has_begun_adds_nothing_to_it() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart";
    Case {
        client: vec![send(head), send("1\r\n~\r\n"), until("start"), send("zz\r\n"), Step::Close],
        plans: vec![Plan::Origin(vec![until("~"), send(answer)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 100\nConnection: close\n\nstart",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n<~>[cut]"],
        ..Case::default()
    }
    .check();
}
