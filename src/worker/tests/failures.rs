//! Servers that refuse, vanish, lie or stop, and clients that leave: one honest answer, and no request twice that may not be.

use std::sync::Arc;

use super::stage::TIMEOUTS;
use super::*;
use crate::limits;
use crate::worker::resources::connection_limiter::ConnectionLimitError;
use crate::worker::upstream::connection::NetworkDial;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_TWO: &str = "GET /two HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GOT: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";
const ASKED: &str = "GET / HTTP/1.1\nHost: a\n\n";
const BAD_GATEWAY: &str =
    "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\n\nBad Gateway";

/// A connection that answers once, stays open as if idle, and breaks when it is used again.
fn stale(end: Step) -> Plan {
    Plan::Origin(vec![until("\r\n\r\n"), send(OK), until("HTTP/1.1"), end])
}

#[test]
fn a_get_on_a_connection_that_the_origin_closed_is_repeated_once() {
    for end in [Step::Close, Step::Reset] {
        on_both_drivers(async || {
            let base = Base::new();
            let client = [send(GET), until("ok"), send(GET), until("ok"), Step::Close];
            let plans = [stale(end.clone()), origin(&[("\r\n\r\n", OK)])];
            for chop in [Chop::Whole, Chop::Bytes, Chop::Seed(1), Chop::Seed(2)] {
                for (client_chop, origin_chop) in [(chop, Chop::Whole), (Chop::Whole, chop)] {
                    let run = Run { client_chop, origin_chop, ..Run::new(&client, &plans) };
                    let outcome = run.play(&base).await;
                    assert_eq!(outcome.client, format!("{GOT}{GOT}"), "{chop:?}");
                    assert_eq!((outcome.dials, outcome.pooled), (2, 1));
                    assert_eq!(outcome.origins[1], ASKED);
                }
            }
        });
    }
}

#[test]
fn a_get_that_met_one_dead_connection_tries_its_luck_with_no_other_kept_one() {
    on_both_drivers(async || {
        let base = Base::new();
        let client = [send(GET_TWO), until("ok"), send(GET_TWO), until("ok"), send(GET_TWO), until("ok"), Step::Close];
        // Both servers have a kept connection, and both are dead; one of the servers is gone.
        let plans = [stale(Step::Close), stale(Step::Close), Plan::Refuse, origin(&[("\r\n\r\n", OK)])];
        let outcome = Run::new(&client, &plans).play(&base).await;
        let [first, second, third, fourth] = &outcome.dialled[..] else { panic!("{outcome:?}") };
        assert!(first != second && third == second && fourth == first, "{outcome:?}");
        assert_eq!(outcome.client, format!("{GOT}{GOT}{GOT}"));
        let sent: usize = outcome.origins.iter().map(|heard| heard.matches("GET /two").count()).sum();
        assert_eq!(sent, 2 + 2, "the third request went out once, and once more: {outcome:?}");
    });
}

/// Three requests of one client, of which one meets the connection that the first has left dead. Gives the servers dialled, and how often
/// a request went out.
async fn one_of_three_meets_a_dead_connection(request: &str, plans: &[Plan]) -> (Vec<String>, usize) {
    let client = [send(request), until("ok"), send(request), until("ok"), send(request), until("ok"), Step::Close];
    let outcome = Run::new(&client, plans).play(&Base::new()).await;
    assert_eq!(outcome.client.matches("200 OK").count(), 3, "{outcome:?}");
    let sent = outcome.origins.iter().map(|heard| heard.matches(" HTTP/1.1").count()).sum();
    (outcome.dialled, sent)
}

#[test]
fn a_get_that_met_a_dead_connection_goes_to_another_server_where_there_is_one() {
    on_both_drivers(async || {
        for end in [Step::Close, Step::Reset] {
            let live = || origin(&[("\r\n\r\n", OK), ("\r\n\r\n", OK)]);
            let (dialled, sent) =
                one_of_three_meets_a_dead_connection(GET_TWO, &[stale(end.clone()), live(), live()]).await;
            let [first, second, third] = &dialled[..] else { panic!("{dialled:?}") };
            assert!(first != second && second == third, "the one that may be going is left alone: {dialled:?}");
            assert_eq!(sent, 4, "three requests, and one of them once more");

            // One client, one server: its cookie says so.
            let sticky = "GET /sticky HTTP/1.1\r\nHost: a\r\nCookie: server=http://10.0.0.3:80\r\n\r\n";
            let (dialled, sent) = one_of_three_meets_a_dead_connection(sticky, &[stale(end.clone()), live()]).await;
            assert_eq!((dialled, sent), (vec!["10.0.0.3:80".to_owned(); 2], 4));

            let (dialled, sent) = one_of_three_meets_a_dead_connection(GET, &[stale(end.clone()), live()]).await;
            assert_eq!((dialled, sent), (vec!["10.0.0.1:80".to_owned(); 2], 4));
        }
    });
}

#[test]
fn a_get_is_not_repeated_a_second_time() {
    Case {
        client: vec![send(GET), until("ok"), send(GET), until("Bad Gateway"), until("Bad Gateway"), Step::Close],
        plans: vec![stale(Step::Close), Plan::Origin(vec![until("\r\n\r\n"), Step::Close])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\n\nBad Gateway",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\nHost: a\n\n", ASKED],
        cuts_origin: false,
        ..Case::default()
    }
    .check();
}

#[test]
fn a_post_that_may_have_been_seen_is_never_sent_again() {
    for (length, path, servers) in [(0, "/", 1), (2, "/", 1), (0, "/two", 2), (2, "/two", 2)] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let post = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", &"hi"[..length]);
        on_both_drivers(async || {
            let base = Base::new();
            let mut client = vec![[send(&get), until("ok")]; servers].concat();
            client.extend([send(&post), until("Bad Gateway"), until("Bad Gateway"), Step::Close]);
            let plans = vec![stale(Step::Close); servers];
            let outcome = Run::new(&client, &plans).play(&base).await;
            let close = if length > 0 { "Connection: close\n" } else { "" };
            let expected = BAD_GATEWAY.replace("\n\n", &format!("\n{close}\n"));
            assert_eq!(outcome.client, format!("{}{expected}", GOT.repeat(servers)));
            assert_eq!((outcome.dials, outcome.pooled), (servers, servers - 1));
        });
    }
}

#[test]
fn a_pooled_connection_that_was_closed_or_has_spoken_is_not_used() {
    for step in [Step::Close, Step::Reset, send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil")] {
        Case {
            client: vec![
                send(GET),
                until("ok"),
                send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
                until("ok"),
                Step::Close,
            ],
            plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(OK), step]), origin(&[("hi", OK)])],
            client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            origins_get: vec![ASKED, "POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi"],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn the_next_server_is_tried_when_one_cannot_be_reached() {
    for plan in [Plan::Refuse, Plan::TimeOut] {
        Case {
            client: vec![send(GET_TWO), until("ok"), Step::Close],
            plans: vec![plan, origin(&[("\r\n\r\n", OK)])],
            client_gets: GOT,
            origins_get: vec!["GET /two HTTP/1.1\nHost: a\n\n"],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn a_get_that_a_server_took_along_goes_to_the_next_one_once() {
    let breaks = |end: Step| Plan::Origin(vec![until("\r\n\r\n"), end]);
    for end in [Step::Close, Step::Reset] {
        Case {
            client: vec![send(GET_TWO), until("ok"), Step::Close],
            plans: vec![breaks(end.clone()), origin(&[("\r\n\r\n", OK)])],
            client_gets: GOT,
            origins_get: vec!["GET /two HTTP/1.1\nHost: a\n\n"; 2],
            pooled: 1,
            cuts_origin: false,
            ..Case::default()
        }
        .check();
        Case {
            client: vec![send(GET_TWO), until("Bad Gateway"), until("Bad Gateway"), Step::Close],
            plans: vec![breaks(end.clone()), breaks(end)],
            client_gets: BAD_GATEWAY,
            origins_get: vec!["GET /two HTTP/1.1\nHost: a\n\n"; 2],
            cuts_origin: false,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn a_post_that_a_server_took_along_goes_nowhere_else() {
    Case {
        client: vec![
            send("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
            until("Bad Gateway"),
            until("Bad Gateway"),
            Step::Close,
        ],
        plans: vec![Plan::Origin(vec![until("\r\n\r\n"), Step::Close])],
        client_gets: BAD_GATEWAY,
        origins_get: vec!["POST /two HTTP/1.1\nHost: a\nContent-Length: 0\n\n"],
        cuts_origin: false,
        ..Case::default()
    }
    .check();
}

#[test]
fn a_post_is_sent_to_the_next_server_too_with_its_whole_body() {
    Case {
        client: vec![send("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"), until("ok"), Step::Close],
        plans: vec![Plan::Refuse, origin(&[("hello", OK)])],
        client_gets: GOT,
        origins_get: vec!["POST /two HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn no_server_that_can_be_reached_is_a_bad_gateway() {
    Case {
        client: vec![send(GET_TWO), until("Bad Gateway"), until("Bad Gateway"), send(GET), until("ok"), Step::Close],
        plans: vec![Plan::Refuse, Plan::Refuse, origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\n\nBad GatewayHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec![ASKED],
        pooled: 1,
        ..Case::default()
    }
    .check();
    Case {
        client: vec![send(GET), until("Gateway Timeout"), until("Gateway Timeout"), Step::Close],
        plans: vec![Plan::TimeOut],
        client_gets: "HTTP/1.1 504 Gateway Timeout\nContent-Type: text/plain; charset=utf-8\nContent-Length: 15\n\nGateway Timeout",
        ..Case::default()
    }
    .check();
}

#[test]
fn what_is_no_response_is_a_bad_gateway() {
    let answers = [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nevil",
        "HTTP/1.1 200 O",
        "",
    ];
    for answer in answers {
        Case {
            client: vec![send(GET), until("Bad Gateway"), until("Bad Gateway"), Step::Close],
            plans: vec![Plan::Origin(vec![until("\r\n\r\n"), send(answer), Step::Close])],
            client_gets: BAD_GATEWAY,
            origins_get: vec![ASKED],
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn a_client_that_leaves_in_its_body_leaves_no_whole_request_behind() {
    let requests = [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
            "POST / HTTP/1.1\nHost: a\nContent-Length: 9\n\nhalf",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n<half>[cut]",
        ),
    ];
    for (request, origin_gets) in requests {
        on_both_drivers(async || {
            let base = Base::new();
            for end in [Step::Close, Step::Reset] {
                for client_chop in [Chop::Whole, Chop::Bytes, Chop::Seed(4)] {
                    let client = [send(request), end.clone()];
                    let plans = [Plan::Origin(vec![until("never")])];
                    let outcome = Run { client_chop, ..Run::new(&client, &plans) }.play(&base).await;
                    assert_eq!(outcome.origins, [origin_gets], "{end:?} {client_chop:?}");
                    assert_eq!(outcome.pooled, 0);
                }
            }
        });
    }
}

#[test]
fn a_client_that_leaves_in_its_head_asks_nothing() {
    on_both_drivers(async || {
        let base = Base::new();
        for at in 0..GET.len() {
            for end in [Step::Close, Step::Reset] {
                let client = [send(&GET[..at]), end];
                let outcome = Run::new(&client, &[]).play(&base).await;
                assert_eq!((outcome.client.as_str(), outcome.dials), ("", 0), "after {at} bytes");
            }
        }
    });
}

#[test]
fn a_client_that_leaves_in_its_answer_costs_nothing_but_the_connection() {
    on_both_drivers(async || {
        let base = Base::new();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
        for breaks_at in [0, 1, 20, 90, 100, 1000] {
            let client = [send(GET)];
            let plans = [origin(&[("\r\n\r\n", &answer)])];
            for origin_chop in [Chop::Whole, Chop::Seed(9)] {
                let outcome = Run { breaks_at, origin_chop, ..Run::new(&client, &plans) }.play(&base).await;
                assert_eq!(outcome.origins, [ASKED]);
                assert_eq!(outcome.dials, 1);
            }
        }
    });
}

#[test]
fn memory_goes_back_after_a_burst_and_once_more_at_the_look_behind_it() {
    let shared = Arc::new(Base::new().shared(TIMEOUTS));
    let worker = stage::worker(&shared, NetworkDial);
    let burst = |size: usize| {
        let lent: Vec<_> = (0..size).map(|_| worker.buffers.lend()).collect();
        lent.into_iter().for_each(|buffer| worker.buffers.give_back(buffer));
    };
    let releases = || {
        stage::RELEASES.set(0);
        worker.trim();
        stage::RELEASES.get()
    };
    burst(limits::SPARES_WORTH_RELEASING);
    assert_eq!([releases(), releases(), releases(), releases()], [0, 1, 1, 0]);
    burst(limits::SPARES_WORTH_RELEASING - 1);
    assert_eq!([releases(), releases(), releases()], [0, 0, 0], "a few are not worth it");
}

#[test]
fn connections_without_a_place_are_counted() {
    let shared = Arc::new(Base::new().shared(TIMEOUTS));
    let worker = stage::worker(&shared, NetworkDial);
    (1..=2).for_each(|port| {
        worker.refuse_connection(([192, 0, 2, 7], port).into(), ConnectionLimitError::Total { max: 1 })
    });
    let page = String::from_utf8(shared.metrics_text(&[], 0)).expect("text");
    assert!(page.contains("\nringway_connections_refused_total 2\n"), "{page}");
}

#[test]
fn large_heads_that_do_not_end_share_what_a_worker_may_hold() {
    on_both_drivers(async || {
        let base = Base::new();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n", "x".repeat(20_000));
        let whole = format!("{head}\r\n");
        let held = limits::HELD_BYTES_PER_WORKER_MAX - 10_000;
        let refused = Run { held, ..Run::new(&[send(&head), until("Unavailable")], &[]) }.play(&base).await;
        assert!(refused.client.starts_with("HTTP/1.1 503 "), "{}", refused.client);
        let plans = [origin(&[("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")])];
        let served = Run { held: held - 20_000, ..Run::new(&[send(&whole)], &plans) }.play(&base).await;
        assert!(served.client.starts_with("HTTP/1.1 200 "), "{}", served.client);
    });
}

/// Its kept connections serve meanwhile: it may be full, not gone.
#[test]
fn a_server_that_was_set_aside_is_probed_with_a_new_connection() {
    let base = Base::new();
    let worker = stage::worker(&Arc::new(base.shared(TIMEOUTS)), bounds::Silent);
    let backend = base.tables[0].snapshot.backends.iter().find(|backend| backend.name == "two").expect("it");
    let origin = &backend.endpoints[0];
    let keep = || {
        let (_far, wire) = pipe::Peer::new(&[], Chop::Whole).connect();
        worker.pool.put(origin.pool, wire, worker.clock.mono_nanos(), &worker.buffers);
    };
    (0..limits::CONNECT_FAILURES_MAX).for_each(|_| origin.server.state.note_connect_failed(0));
    keep();
    assert!(worker.take_pooled(origin).is_some(), "nobody probes yet");
    keep();
    let later = limits::EJECTION_SECS * 1_000_000_000;
    let probe = backend.balancer.pick(std::iter::empty(), &Default::default(), later);
    assert!(probe.is_ok() && worker.take_pooled(origin).is_none());
    assert!(worker.take_pooled(origin).is_some(), "the probe is one request");
}

/// Otherwise one request in ten seconds would fail that a kept connection serves.
#[test]
fn a_server_that_stands_alone_is_not_probed() {
    let base = Base::new();
    let worker = stage::worker(&Arc::new(base.shared(TIMEOUTS)), bounds::Silent);
    let backend = base.tables[0].snapshot.backends.iter().find(|backend| backend.name == "one").expect("it");
    let origin = &backend.endpoints[0];
    (0..limits::CONNECT_FAILURES_MAX).for_each(|_| origin.server.state.note_connect_failed(0));
    let (_far, wire) = pipe::Peer::new(&[], Chop::Whole).connect();
    worker.pool.put(origin.pool, wire, worker.clock.mono_nanos(), &worker.buffers);
    let later = limits::EJECTION_SECS * 1_000_000_000;
    assert!(backend.balancer.pick(std::iter::empty(), &Default::default(), later).is_ok());
    assert!(worker.take_pooled(origin).is_some());
}
