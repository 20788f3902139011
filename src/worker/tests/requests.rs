//! Requests and their responses: keep-alive, pipelining, versions, local replies, and requests that must never reach an origin.

use super::*;

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn two_requests_share_both_connections() {
    let second = "HTTP/1.1 201 Created\r\nX-Two: 2\r\nContent-Length: 3\r\n\r\ntwo";
    Case {
        client: vec![
            send(GET),
            until("\r\n\r\nok"),
            send("GET /b?c=%2F HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n"),
            until("two"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[("\r\n\r\n", OK), ("\r\n\r\n", second)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 201 Created\nX-Two: 2\nContent-Length: 3\n\ntwo",
        origins_get: vec!["GET /a HTTP/1.1\nHost: a\n\nGET /b?c=%2F HTTP/1.1\nHost: a\nX-A: b\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

/// The last bytes of a connection are sent together with its FIN (`pipe` checks that the FIN follows at once); other bytes must not wait.
#[test]
fn only_last_response_is_sent_with_fin() {
    on_both_drivers(async || {
        let base = Base::new();
        let long_head = "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n";
        let long = format!("{long_head}{}", "x".repeat(400));
        let closing = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for (request, response, origin_segmentation, with_fin) in [
            (closing, OK, Segmentation::Whole, true),
            (closing, &long, Segmentation::At(long_head.len()), true),
            (closing, "nonsense", Segmentation::Whole, true),
            ("GET / HTTP/1.1\r\nHost: none\r\nContent-Length: 9\r\n\r\n", OK, Segmentation::Whole, true),
            ("nonsense\r\n\r\n", OK, Segmentation::Whole, true),
            (GET, OK, Segmentation::Whole, false),
            (GET, &long, Segmentation::At(long_head.len()), false),
        ] {
            let (client, dial_scripts) =
                ([send(request), until("\r\n\r\n"), ScriptStep::Close], [origin(&[("\r\n\r\n", response)])]);
            let outcome = Run { origin_segmentation, ..Run::new(&client, &dial_scripts) }.play(&base).await;
            assert!(outcome.client.starts_with("HTTP/1.1 "), "{request}: {}", outcome.client);
            assert_eq!(base.sent_with_fin.get(), with_fin, "{request} {response}");
        }
    });
}

#[test]
fn pipelined_requests_are_served_in_order() {
    let pipeline = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyzGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    Case {
        client: vec![send(pipeline), until("three"), ScriptStep::Close],
        dial_scripts: vec![origin(&[
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
fn head_response_keeps_length_without_body() {
    Case {
        client: vec![
            send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("\r\n\r\n"),
            send(GET),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[
            ("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
            ("\r\n\r\n", OK),
        ])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 5000\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["HEAD / HTTP/1.1\nHost: a\n\nGET /a HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn responses_204_and_304_have_no_body() {
    Case {
        client: vec![send(GET), until("\r\n\r\n"), send(GET), until("\r\n\r\n"), send(GET), until("ok"), ScriptStep::Close],
        dial_scripts: vec![origin(&[
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
fn http_1_0_connection_closes_unless_keep_alive() {
    Case {
        client: vec![send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")],
        dial_scripts: vec![origin(&[("\r\n\r\n", OK)])],
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
        dial_scripts: vec![origin(&[("\r\n\r\n", OK), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.0 200 OK\nContent-Length: 2\nConnection: keep-alive\n\nokHTTP/1.0 200 OK\nContent-Length: 2\nConnection: close\n\nok",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn request_behind_connection_close_is_not_read() {
    Case {
        client: vec![send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        )],
        dial_scripts: vec![origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn informational_responses_but_100_reach_the_client() {
    let response = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    Case {
        client: vec![send(GET), until("ok"), ScriptStep::Close],
        dial_scripts: vec![origin(&[("\r\n\r\n", response)])],
        client_gets: "HTTP/1.1 103 Early Hints\nLink: </x>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["GET /a HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}

#[test]
fn local_reply_without_request_body_keeps_connection() {
    let none = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";
    Case {
        client: vec![
            send("GET /auth HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("401 Unauthorized\n"),
            send("HEAD /moved/x HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("\r\n\r\n"),
            send(none),
            until("Service Unavailable"),
            ScriptStep::Close,
        ],
        client_gets: "HTTP/1.1 401 Unauthorized\nContent-Type: text/plain\nWww-Authenticate: Basic realm=\"traefik\"\nContent-Length: 17\n\n401 Unauthorized\nHTTP/1.1 307 Temporary Redirect\nContent-Type: text/plain; charset=utf-8\nLocation: http://b/new/x\nContent-Length: 18\n\nHTTP/1.1 503 Service Unavailable\nContent-Type: text/plain; charset=utf-8\nRetry-After: 5\nContent-Length: 19\n\nService Unavailable",
        ..Case::default()
    }
    .check();
}

#[test]
fn local_reply_with_unread_request_body_closes_connection() {
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
fn response_while_draining_closes_connection() {
    on_both_drivers(async || {
        let base = Base::new();
        let dial_scripts = [origin(&[("\r\n\r\n", OK)])];
        let client = [send(GET)];
        let outcome = Run { draining: true, ..Run::new(&client, &dial_scripts) }.play(&base).await;
        assert_eq!(outcome.client, "HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok");
        assert_eq!(outcome.pooled, 0);
        let client = [send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")];
        let outcome = Run { draining: true, ..Run::new(&client, &[]) }.play(&base).await;
        assert!(outcome.client.contains("\nConnection: close\n"), "{}", outcome.client);
    });
}

#[test]
fn ambiguous_request_is_rejected_with_400() {
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
            for segmentation in [Segmentation::Whole, Segmentation::Bytes, Segmentation::Seed(1), Segmentation::Seed(2)]
            {
                let client = [send(head), send(smuggled)];
                let outcome = Run { client_segmentation: segmentation, ..Run::new(&client, &[]) }.play(&base).await;
                assert!(outcome.client.starts_with("HTTP/1.1 400 "), "{head:?}: {outcome:?}");
                assert_eq!(outcome.client.matches("HTTP/1.").count(), 1, "{head:?}: one response, then the end");
                assert!(outcome.client.contains("Connection: close"), "{head:?}");
            }
        }
    });
}
