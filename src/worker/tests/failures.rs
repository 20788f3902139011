//! Servers that refuse, vanish, send invalid responses or stop, and clients that disconnect: one correct response each, and no request is
//! sent twice that may not be.

use std::sync::Arc;

use super::harness::TIMEOUTS;
use super::*;
use crate::limits;
use crate::worker::resources::connection_limiter::ConnectionLimitError;
use crate::worker::upstream::acquire::{Requirements, take_open};
use crate::worker::upstream::network::NetworkDial;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_TWO: &str = "GET /two HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const RECEIVED_OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";
const FORWARDED_GET: &str = "GET / HTTP/1.1\nHost: a\n\n";
const BAD_GATEWAY: &str =
    "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\n\nBad Gateway";

/// A connection that carries one response, stays open as if idle, and breaks when it is used again.
fn stale(end: ScriptStep) -> DialScript {
    DialScript::Origin(vec![until("\r\n\r\n"), send(OK), until("HTTP/1.1"), end])
}

#[test]
fn get_on_stale_connection_is_repeated_once() {
    for end in [ScriptStep::Close, ScriptStep::Reset] {
        on_both_drivers(async || {
            let base = Base::new();
            let client = [send(GET), until("ok"), send(GET), until("ok"), ScriptStep::Close];
            let dial_scripts = [stale(end.clone()), origin(&[("\r\n\r\n", OK)])];
            for segmentation in [Segmentation::Whole, Segmentation::Bytes, Segmentation::Seed(1), Segmentation::Seed(2)]
            {
                for (client_segmentation, origin_segmentation) in
                    [(segmentation, Segmentation::Whole), (Segmentation::Whole, segmentation)]
                {
                    let run = Run { client_segmentation, origin_segmentation, ..Run::new(&client, &dial_scripts) };
                    let outcome = run.play(&base).await;
                    assert_eq!(outcome.client, format!("{RECEIVED_OK}{RECEIVED_OK}"), "{segmentation:?}");
                    assert_eq!((outcome.dials, outcome.pooled), (2, 1));
                    assert_eq!(outcome.origins[1], FORWARDED_GET);
                }
            }
        });
    }
}

#[test]
fn get_after_stale_connection_uses_new_one() {
    on_both_drivers(async || {
        let base = Base::new();
        let client =
            [send(GET_TWO), until("ok"), send(GET_TWO), until("ok"), send(GET_TWO), until("ok"), ScriptStep::Close];
        // Both servers have a pooled connection, and both connections are stale; one of the servers is down.
        let dial_scripts =
            [stale(ScriptStep::Close), stale(ScriptStep::Close), DialScript::Refuse, origin(&[("\r\n\r\n", OK)])];
        let outcome = Run::new(&client, &dial_scripts).play(&base).await;
        let [first, second, third, fourth] = &outcome.dialled[..] else { panic!("{outcome:?}") };
        assert!(first != second && third == second && fourth == first, "{outcome:?}");
        assert_eq!(outcome.client, format!("{RECEIVED_OK}{RECEIVED_OK}{RECEIVED_OK}"));
        let sent: usize = outcome.origins.iter().map(|received| received.matches("GET /two").count()).sum();
        assert_eq!(sent, 2 + 2, "the third request went out once, and once more: {outcome:?}");
    });
}

/// Sends three requests of one client; the pooled connection of the first is stale when a later request uses it. Returns the servers that
/// were dialled, and how often a request was sent.
async fn run_three_with_one_stale(request: &str, dial_scripts: &[DialScript]) -> (Vec<String>, usize) {
    let client =
        [send(request), until("ok"), send(request), until("ok"), send(request), until("ok"), ScriptStep::Close];
    let outcome = Run::new(&client, dial_scripts).play(&Base::new()).await;
    assert_eq!(outcome.client.matches("200 OK").count(), 3, "{outcome:?}");
    let sent = outcome.origins.iter().map(|received| received.matches(" HTTP/1.1").count()).sum();
    (outcome.dialled, sent)
}

#[test]
fn get_after_stale_connection_uses_other_server() {
    on_both_drivers(async || {
        for end in [ScriptStep::Close, ScriptStep::Reset] {
            let live = || origin(&[("\r\n\r\n", OK), ("\r\n\r\n", OK)]);
            let (dialled, sent) = run_three_with_one_stale(GET_TWO, &[stale(end.clone()), live(), live()]).await;
            let [first, second, third] = &dialled[..] else { panic!("{dialled:?}") };
            assert!(
                first != second && second == third,
                "a server that may be shutting down is not dialled: {dialled:?}"
            );
            assert_eq!(sent, 4, "three requests, and one of them once more");

            // A sticky client stays with the server of its cookie.
            let sticky = "GET /sticky HTTP/1.1\r\nHost: a\r\nCookie: server=http://10.0.0.3:80\r\n\r\n";
            let (dialled, sent) = run_three_with_one_stale(sticky, &[stale(end.clone()), live()]).await;
            assert_eq!((dialled, sent), (vec!["10.0.0.3:80".to_owned(); 2], 4));

            let (dialled, sent) = run_three_with_one_stale(GET, &[stale(end.clone()), live()]).await;
            assert_eq!((dialled, sent), (vec!["10.0.0.1:80".to_owned(); 2], 4));
        }
    });
}

#[test]
fn get_is_repeated_at_most_once() {
    Case {
        client: vec![send(GET), until("ok"), send(GET), until("Bad Gateway"), until("Bad Gateway"), ScriptStep::Close],
        dial_scripts: vec![stale(ScriptStep::Close), DialScript::Origin(vec![until("\r\n\r\n"), ScriptStep::Close])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\n\nBad Gateway",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\nHost: a\n\n", FORWARDED_GET],
        cuts_origin: false,
        ..Case::default()
    }
    .check();
}

#[test]
fn post_on_stale_connection_is_not_repeated() {
    for (length, path, servers) in [(0, "/", 1), (2, "/", 1), (0, "/two", 2), (2, "/two", 2)] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let post = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", &"hi"[..length]);
        on_both_drivers(async || {
            let base = Base::new();
            let mut client = vec![[send(&get), until("ok")]; servers].concat();
            client.extend([send(&post), until("Bad Gateway"), until("Bad Gateway"), ScriptStep::Close]);
            let dial_scripts = vec![stale(ScriptStep::Close); servers];
            let outcome = Run::new(&client, &dial_scripts).play(&base).await;
            let close = if length > 0 { "Connection: close\n" } else { "" };
            let expected = BAD_GATEWAY.replace("\n\n", &format!("\n{close}\n"));
            assert_eq!(outcome.client, format!("{}{expected}", RECEIVED_OK.repeat(servers)));
            assert_eq!((outcome.dials, outcome.pooled), (servers, servers - 1));
        });
    }
}

#[test]
fn pooled_connection_closed_or_with_unsolicited_bytes_is_not_used() {
    for step in
        [ScriptStep::Close, ScriptStep::Reset, send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil")]
    {
        Case {
            client: vec![
                send(GET),
                until("ok"),
                send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
                until("ok"),
                ScriptStep::Close,
            ],
            dial_scripts: vec![DialScript::Origin(vec![until("\r\n\r\n"), send(OK), step]), origin(&[("hi", OK)])],
            client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            origins_get: vec![FORWARDED_GET, "POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi"],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn unreachable_server_is_followed_by_next() {
    for dial_script in [DialScript::Refuse, DialScript::TimeOut] {
        Case {
            client: vec![send(GET_TWO), until("ok"), ScriptStep::Close],
            dial_scripts: vec![dial_script, origin(&[("\r\n\r\n", OK)])],
            client_gets: RECEIVED_OK,
            origins_get: vec!["GET /two HTTP/1.1\nHost: a\n\n"],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn get_broken_off_by_server_goes_to_next_once() {
    let breaks = |end: ScriptStep| DialScript::Origin(vec![until("\r\n\r\n"), end]);
    for end in [ScriptStep::Close, ScriptStep::Reset] {
        Case {
            client: vec![send(GET_TWO), until("ok"), ScriptStep::Close],
            dial_scripts: vec![breaks(end.clone()), origin(&[("\r\n\r\n", OK)])],
            client_gets: RECEIVED_OK,
            origins_get: vec!["GET /two HTTP/1.1\nHost: a\n\n"; 2],
            pooled: 1,
            cuts_origin: false,
            ..Case::default()
        }
        .check();
        Case {
            client: vec![send(GET_TWO), until("Bad Gateway"), until("Bad Gateway"), ScriptStep::Close],
            dial_scripts: vec![breaks(end.clone()), breaks(end)],
            client_gets: BAD_GATEWAY,
            origins_get: vec!["GET /two HTTP/1.1\nHost: a\n\n"; 2],
            cuts_origin: false,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn post_broken_off_by_server_is_not_repeated() {
    Case {
        client: vec![
            send("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
            until("Bad Gateway"),
            until("Bad Gateway"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![DialScript::Origin(vec![until("\r\n\r\n"), ScriptStep::Close])],
        client_gets: BAD_GATEWAY,
        origins_get: vec!["POST /two HTTP/1.1\nHost: a\nContent-Length: 0\n\n"],
        cuts_origin: false,
        ..Case::default()
    }
    .check();
}

#[test]
fn unsent_post_goes_to_next_server_with_whole_body() {
    Case {
        client: vec![
            send("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![DialScript::Refuse, origin(&[("hello", OK)])],
        client_gets: RECEIVED_OK,
        origins_get: vec!["POST /two HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn no_reachable_server_gives_502_or_504() {
    Case {
        client: vec![send(GET_TWO), until("Bad Gateway"), until("Bad Gateway"), send(GET), until("ok"), ScriptStep::Close],
        dial_scripts: vec![DialScript::Refuse, DialScript::Refuse, origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\n\nBad GatewayHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec![FORWARDED_GET],
        pooled: 1,
        ..Case::default()
    }
    .check();
    Case {
        client: vec![send(GET), until("Gateway Timeout"), until("Gateway Timeout"), ScriptStep::Close],
        dial_scripts: vec![DialScript::TimeOut],
        client_gets: "HTTP/1.1 504 Gateway Timeout\nContent-Type: text/plain; charset=utf-8\nContent-Length: 15\n\nGateway Timeout",
        ..Case::default()
    }
    .check();
}

#[test]
fn invalid_response_gives_502() {
    let responses = [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nevil",
        "HTTP/1.1 200 O",
        "",
    ];
    for response in responses {
        Case {
            client: vec![send(GET), until("Bad Gateway"), until("Bad Gateway"), ScriptStep::Close],
            dial_scripts: vec![DialScript::Origin(vec![until("\r\n\r\n"), send(response), ScriptStep::Close])],
            client_gets: BAD_GATEWAY,
            origins_get: vec![FORWARDED_GET],
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn disconnect_in_request_body_leaves_request_incomplete() {
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
            for end in [ScriptStep::Close, ScriptStep::Reset] {
                for client_segmentation in [Segmentation::Whole, Segmentation::Bytes, Segmentation::Seed(4)] {
                    let client = [send(request), end.clone()];
                    let dial_scripts = [DialScript::Origin(vec![until("never")])];
                    let outcome = Run { client_segmentation, ..Run::new(&client, &dial_scripts) }.play(&base).await;
                    assert_eq!(outcome.origins, [origin_gets], "{end:?} {client_segmentation:?}");
                    assert_eq!(outcome.pooled, 0);
                }
            }
        });
    }
}

#[test]
fn disconnect_in_head_dials_no_server() {
    on_both_drivers(async || {
        let base = Base::new();
        for at in 0..GET.len() {
            for end in [ScriptStep::Close, ScriptStep::Reset] {
                let client = [send(&GET[..at]), end];
                let outcome = Run::new(&client, &[]).play(&base).await;
                assert_eq!((outcome.client.as_str(), outcome.dials), ("", 0), "after {at} bytes");
            }
        }
    });
}

#[test]
fn disconnect_in_response_leaks_nothing() {
    on_both_drivers(async || {
        let base = Base::new();
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
        for breaks_at in [0, 1, 20, 90, 100, 1000] {
            let client = [send(GET)];
            let dial_scripts = [origin(&[("\r\n\r\n", &response)])];
            for origin_segmentation in [Segmentation::Whole, Segmentation::Seed(9)] {
                let outcome =
                    Run { breaks_at, origin_segmentation, ..Run::new(&client, &dial_scripts) }.play(&base).await;
                assert_eq!(outcome.origins, [FORWARDED_GET]);
                assert_eq!(outcome.dials, 1);
            }
        }
    });
}

#[test]
fn memory_is_released_at_two_trims_after_burst() {
    let shared = Arc::new(Base::new().shared(TIMEOUTS));
    let worker = harness::worker(&shared, NetworkDial);
    let burst = |size: usize| {
        let lent: Vec<_> = (0..size).map(|_| worker.buffers.lend()).collect();
        lent.into_iter().for_each(|buffer| worker.buffers.give_back(buffer));
    };
    let releases = || {
        harness::RELEASES.set(0);
        worker.trim();
        harness::RELEASES.get()
    };
    burst(limits::SPARES_WORTH_RELEASING);
    assert_eq!([releases(), releases(), releases(), releases()], [0, 1, 1, 0]);
    burst(limits::SPARES_WORTH_RELEASING - 1);
    assert_eq!([releases(), releases(), releases()], [0, 0, 0], "a few are not worth it");
}

#[test]
fn refused_connections_are_counted() {
    let shared = Arc::new(Base::new().shared(TIMEOUTS));
    let worker = harness::worker(&shared, NetworkDial);
    (1..=2).for_each(|port| {
        worker.refuse_connection(([192, 0, 2, 7], port).into(), ConnectionLimitError::Total { max: 1 })
    });
    let page = String::from_utf8(shared.metrics_page(&[], crate::observe::metrics::Format::Text)).expect("text");
    assert!(page.contains("\nringway_connections_refused_total 2\n"), "{page}");
}

#[test]
fn long_heads_beyond_memory_budget_get_503() {
    on_both_drivers(async || {
        let base = Base::new();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n", "x".repeat(20_000));
        let whole = format!("{head}\r\n");
        let held = limits::HELD_BYTES_PER_WORKER_MAX - 10_000;
        let refused = Run { held, ..Run::new(&[send(&head), until("Unavailable")], &[]) }.play(&base).await;
        assert!(refused.client.starts_with("HTTP/1.1 503 "), "{}", refused.client);
        let dial_scripts = [origin(&[("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")])];
        let served = Run { held: held - 20_000, ..Run::new(&[send(&whole)], &dial_scripts) }.play(&base).await;
        assert!(served.client.starts_with("HTTP/1.1 200 "), "{}", served.client);
    });
}

/// The pooled connections of an ejected server are still used: the server may be full, not down.
#[test]
fn ejected_server_is_probed_with_new_connection() {
    let base = Base::new();
    let worker = harness::worker(&Arc::new(base.shared(TIMEOUTS)), bounds::Silent);
    let backend = base.tables[0].snapshot.backends.iter().find(|backend| backend.name == "two").expect("it");
    let origin = &backend.endpoints[0];
    let pool_connection = || {
        let (_far, wire) = pipe::ScriptedPeer::new(&[], Segmentation::Whole).connect();
        worker.pool.put(origin.pool, wire, u64::MAX, &worker.buffers);
    };
    (0..limits::CONNECT_FAILURES_MAX).for_each(|_| origin.server.state.note_connect_failed(0));
    let has_pooled = |is_probe| {
        pool_connection();
        take_open(&worker, origin, &Requirements { is_probe, ..Requirements::default() }).is_some()
    };
    let pick = |now| backend.balancer.pick(std::iter::empty(), &Default::default(), now).expect("a server");
    assert!(has_pooled(pick(0).is_probe), "no probe is due yet");
    let later = limits::EJECTION_SECS * 1_000_000_000;
    let (probe, other) = (pick(later), pick(later));
    assert!(Arc::ptr_eq(&probe.server, &origin.server) && probe.is_probe && !has_pooled(probe.is_probe));
    assert!(!other.is_probe && has_pooled(other.is_probe), "the probe is one request");
}

/// With a probe one request in ten seconds would fail that a pooled connection can serve.
#[test]
fn only_server_of_backend_is_not_probed() {
    let base = Base::new();
    let worker = harness::worker(&Arc::new(base.shared(TIMEOUTS)), bounds::Silent);
    let backend = base.tables[0].snapshot.backends.iter().find(|backend| backend.name == "one").expect("it");
    let origin = &backend.endpoints[0];
    (0..limits::CONNECT_FAILURES_MAX).for_each(|_| origin.server.state.note_connect_failed(0));
    let (_far, wire) = pipe::ScriptedPeer::new(&[], Segmentation::Whole).connect();
    worker.pool.put(origin.pool, wire, u64::MAX, &worker.buffers);
    let later = limits::EJECTION_SECS * 1_000_000_000;
    let lease = backend.balancer.pick(std::iter::empty(), &Default::default(), later).expect("the only server");
    let needs = Requirements { is_probe: lease.is_probe, ..Requirements::default() };
    assert!(take_open(&worker, origin, &needs).is_some());
}
