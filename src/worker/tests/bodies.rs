//! Bodies in both directions, in every framing; a cut body must look cut to its receiver.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FORWARDED_GET: &str = "GET / HTTP/1.1\nHost: a\n\n";

#[test]
fn counted_request_body_keeps_both_connections() {
    Case {
        client: vec![
            send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world"),
            until("ok"),
            send(GET),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[("world", OK), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 11\n\nhello worldGET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn empty_post_keeps_content_length_zero() {
    Case {
        client: vec![send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), until("ok"), ScriptStep::Close],
        dial_scripts: vec![origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn chunked_bodies_keep_trailers_and_lose_extensions() {
    let up = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;name=\"v\"\r\nhello\r\n006\r\n world\r\n0;last\r\nX-Sum: 42\r\nContent-Length: 9\r\n\r\n";
    let down = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n3\r\nabc\r\n0\r\nX-End: yes\r\nTransfer-Encoding: chunked\r\n\r\n";
    Case {
        client: vec![send(up), until("X-End: yes\r\n\r\n"), send(GET), until("ok"), ScriptStep::Close],
        dial_scripts: vec![origin(&[("X-Sum: 42\r\n\r\n", down), ("\r\n\r\n", OK)])],
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
fn body_until_close_becomes_chunked() {
    for version in ["1.0", "1.1"] {
        let close = if version == "1.1" { "Connection: close\r\n" } else { "" };
        let response = format!("HTTP/{version} 200 OK\r\n{close}\r\nuntil the end");
        let first = DialScript::Origin(vec![until("\r\n\r\n"), send(&response), ScriptStep::Close]);
        Case {
            client: vec![send(GET), until("0\r\n\r\n"), send(GET), until("ok"), ScriptStep::Close],
            dial_scripts: vec![first, origin(&[("\r\n\r\n", OK)])],
            client_gets: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<until the end>[last]\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            origins_get: vec![FORWARDED_GET, FORWARDED_GET],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn chunked_body_becomes_until_close_for_http_1_0() {
    let down = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    Case {
        client: vec![send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")],
        dial_scripts: vec![origin(&[("\r\n\r\n", down)])],
        client_gets: "HTTP/1.0 200 OK\nConnection: close\n\nbody",
        origins_get: vec![FORWARDED_GET],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn short_response_body_looks_cut() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "HTTP/1.1 200 OK\nContent-Length: 9\n\nhalf"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<half>[cut]",
        ),
    ];
    for (response, client_gets) in cases {
        for end in [ScriptStep::Close, ScriptStep::Reset] {
            Case {
                client: vec![send(GET)],
                dial_scripts: vec![DialScript::Origin(vec![until("\r\n\r\n"), send(response), end])],
                client_gets,
                origins_get: vec![FORWARDED_GET],
                ..Case::default()
            }
            .check();
        }
    }
}

#[test]
fn response_with_invalid_chunk_looks_cut() {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\nrest\r\n0\r\n\r\n";
    on_both_drivers(async || {
        let base = Base::new();
        for origin_segmentation in
            [Segmentation::Whole, Segmentation::Bytes].into_iter().chain((1..response.len()).map(Segmentation::At))
        {
            let (client, dial_scripts) = ([send(GET)], [origin(&[("\r\n\r\n", response)])]);
            let outcome = Run { origin_segmentation, ..Run::new(&client, &dial_scripts) }.play(&base).await;
            // How many of the valid bytes in front were sent depends on when they arrived; the last chunk is never sent.
            assert!(outcome.client.ends_with("[cut]") && !outcome.client.contains("rest"), "{outcome:?}");
            assert_eq!(outcome.pooled, 0);
        }
    });
}

#[test]
fn short_body_until_close_ends_in_reset() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\n", ScriptStep::Close),
        ("HTTP/1.0 200 OK\r\n\r\nhalf", ScriptStep::Reset),
    ];
    for (response, end) in cases {
        Case {
            client: vec![send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")],
            dial_scripts: vec![DialScript::Origin(vec![until("\r\n\r\n"), send(response), end])],
            client_gets: "HTTP/1.0 200 OK\nConnection: close\n\nhalf",
            origins_get: vec![FORWARDED_GET],
            ended: Ended::Cut,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn aborted_upload_with_body_until_close_ends_in_reset() {
    Case {
        client: vec![
            send("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 24\r\n\r\nhello"),
            until("half"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![DialScript::Origin(vec![until("hello"), send("HTTP/1.1 200 OK\r\n\r\nhalf")])],
        client_gets: "HTTP/1.0 200 OK\nConnection: close\n\nhalf",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 24\n\nhello"],
        ended: Ended::Cut,
        ..Case::default()
    }
    .check();
}

#[test]
fn bytes_behind_response_are_never_forwarded() {
    let responses = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n~HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            GET,
            FORWARDED_GET,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n~\r\n0\r\n\r\nevil", GET, FORWARDED_GET),
    ];
    for (response, request, origin_gets) in responses {
        let expected = if response.contains("chunked") {
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n<~>[last]\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok"
        } else {
            "HTTP/1.1 200 OK\nContent-Length: 1\n\n~HTTP/1.1 200 OK\nContent-Length: 2\n\nok"
        };
        Case {
            client: vec![send(request), until("~"), send(GET), until("ok"), ScriptStep::Close],
            dial_scripts: vec![
                DialScript::Origin(vec![until("\r\n\r\n"), send(response)]),
                origin(&[("\r\n\r\n", OK)]),
            ],
            client_gets: expected,
            origins_get: vec![origin_gets, FORWARDED_GET],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn body_of_bodiless_response_closes_server_connection() {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "HTTP/1.1 200 OK\nContent-Length: 4\n\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nevil", "HTTP/1.1 204 No Content\n\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\nevil", "HTTP/1.1 304 Not Modified\n\n"),
    ];
    for (method, response, client_gets) in cases {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let gets: &'static str = format!("{client_gets}HTTP/1.1 200 OK\nContent-Length: 2\n\nok").leak();
        let forwarded: &'static str = request.replace("\r\n", "\n").leak();
        Case {
            client: vec![send(&request), until("\r\n\r\n"), send(GET), until("ok"), ScriptStep::Close],
            dial_scripts: vec![
                DialScript::Origin(vec![until("\r\n\r\n"), send(response)]),
                origin(&[("\r\n\r\n", OK)]),
            ],
            client_gets: gets,
            origins_get: vec![forwarded, FORWARDED_GET],
            pooled: 1,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn expect_100_continue_is_answered_by_proxy() {
    Case {
        client: vec![
            send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            until("100 Continue\r\n\r\n"),
            send("hello"),
            until("ok"),
            send(GET),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[("hello", OK), ("\r\n\r\n", OK)])],
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
fn denied_expectation_gets_no_100_continue() {
    Case {
        client: vec![
            send("POST /auth HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            until("401 Unauthorized\n"),
            ScriptStep::Close,
        ],
        client_gets: "HTTP/1.1 401 Unauthorized\nContent-Type: text/plain\nWww-Authenticate: Basic realm=\"traefik\"\nContent-Length: 17\nConnection: close\n\n401 Unauthorized\n",
        ..Case::default()
    }
    .check();
}

#[test]
fn early_response_closes_both_connections() {
    let early = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig";
    Case {
        client: vec![
            send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"),
            until("100 Continue\r\n\r\n"),
            send("01234"),
            until("big"),
            send("56789"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![DialScript::Origin(vec![until("01234"), send(early)])],
        client_gets: "HTTP/1.1 100 Continue\n\nHTTP/1.1 413 Payload Too Large\nContent-Length: 3\nConnection: close\n\nbig",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 100\n\n01234"],
        ..Case::default()
    }
    .check();
}

#[test]
fn early_response_of_server_that_closes_is_forwarded() {
    let early = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n";
    let body = "x".repeat(5000);
    on_both_drivers(async || {
        let base = Base::new();
        for breaks_at in [30, 100, 300, 400] {
            let client = [send(request), send(&body)];
            let dial_scripts = [DialScript::Breaks(breaks_at, vec![until("POST"), send(early)])];
            for client_segmentation in [Segmentation::Bytes, Segmentation::Seed(3)] {
                let outcome = Run { client_segmentation, ..Run::new(&client, &dial_scripts) }.play(&base).await;
                let gets = "HTTP/1.1 401 Unauthorized\nContent-Length: 2\nConnection: close\n\nno";
                assert_eq!(outcome.client, gets, "after {breaks_at}");
                assert_eq!(outcome.pooled, 0);
            }
        }
    });
}

#[test]
fn invalid_request_body_gets_400_and_close() {
    let cases = ["zz\r\n", "5\r\nhelloX", "-5\r\nhello", "FFFFFFFFFFFFFFFFF\r\n", "5 \r\nhello\r\n"];
    for chunks in cases {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        on_both_drivers(async || {
            let base = Base::new();
            for client_segmentation in [Segmentation::Whole, Segmentation::Bytes, Segmentation::Seed(5)] {
                let client = [send(&request), until("400 Bad Request"), ScriptStep::Close];
                let dial_scripts = [DialScript::Origin(vec![until("never")])];
                let outcome = Run { client_segmentation, ..Run::new(&client, &dial_scripts) }.play(&base).await;
                assert!(outcome.client.starts_with("HTTP/1.1 400 Bad Request\n"), "{chunks:?}: {outcome:?}");
                assert!(outcome.origins.iter().all(|got| !got.contains("[last]")), "{chunks:?}: {outcome:?}");
                assert_eq!(outcome.pooled, 0);
            }
        });
    }
}

#[test]
fn invalid_body_after_response_start_cuts_response() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart";
    Case {
        client: vec![send(head), send("1\r\n~\r\n"), until("start"), send("zz\r\n"), ScriptStep::Close],
        dial_scripts: vec![DialScript::Origin(vec![until("~"), send(response)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 100\nConnection: close\n\nstart",
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n<~>[cut]"],
        ..Case::default()
    }
    .check();
}
