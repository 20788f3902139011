//! Requests that meet the end of a pooled connection: repeated if the server certainly has not processed them, and only then.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain; charset=utf-8\nContent-Length: 11\n";
const OK_RECEIVED: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

fn text_of(parts: &[&str]) -> &'static str {
    parts.concat().leak()
}

/// A first request that leaves a pooled connection, and a second one that meets the end of that connection.
fn requests(second: &str) -> Vec<ScriptStep> {
    vec![send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n"), until("ok"), send(second), until("ok"), ScriptStep::Close]
}

#[test]
fn request_that_was_not_received_is_repeated_with_any_method() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (sent, forwarded) in [
        (
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody".to_owned(),
            "POST /p HTTP/1.1\nHost: a\nContent-Length: 4\n\nbody",
        ),
        (
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "POST /p HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
        ),
        (
            "PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody".to_owned(),
            "PUT /p HTTP/1.1\nHost: a\nContent-Length: 4\n\nbody",
        ),
        (
            format!("PATCH /p HTTP/1.1\r\nHost: a\r\n{chunked}4\r\nbody\r\n0\r\n\r\n"),
            "PATCH /p HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n<body>[last]\n",
        ),
    ] {
        let end = if sent.contains("body") {
            if sent.contains("chunked") { "0\r\n\r\n" } else { "body" }
        } else {
            "\r\n\r\n"
        };
        Case {
            client: requests(&sent),
            dial_scripts: vec![
                DialScript::Origin(vec![until("\r\n\r\n"), send(OK), ScriptStep::CloseUnseen]),
                origin(&[(end, OK)]),
            ],
            client_gets: text_of(&[OK_RECEIVED, OK_RECEIVED]),
            origins_get: vec!["GET /first HTTP/1.1\nHost: a\n\n", forwarded],
            pooled: 1,
            // A body that arrives after its head is passed on as it comes, and is not there to be repeated.
            cuts_client: false,
            ..Case::default()
        }
        .check();
    }
}

#[test]
fn request_that_may_have_been_processed_is_not_repeated() {
    let post = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    Case {
        client: vec![
            send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("ok"),
            send(post),
            until("Bad Gateway\r\n"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![DialScript::Origin(vec![until("\r\n\r\n"), send(OK), until("body"), ScriptStep::Close])],
        client_gets: text_of(&[OK_RECEIVED, BAD_GATEWAY, "Connection: close\n\nBad Gateway"]),
        origins_get: vec![text_of(&[
            "GET /first HTTP/1.1\nHost: a\n\n",
            "POST /p HTTP/1.1\nHost: a\nContent-Length: 4\n\nbody",
        ])],
        cuts_client: false,
        ..Case::default()
    }
    .check();
}

#[test]
fn unprocessed_request_goes_to_another_server() {
    let post = "POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    // Both servers get a request, so that each has a pooled connection.
    let get = "GET /two HTTP/1.1\r\nHost: a\r\n\r\n";
    Case {
        client: vec![send(get), until("ok"), send(get), until("ok"), send(post), until("ok"), ScriptStep::Close],
        dial_scripts: vec![
            DialScript::Origin(vec![until("\r\n\r\n"), send(OK), ScriptStep::CloseUnseen]),
            DialScript::Origin(vec![until("\r\n\r\n"), send(OK), ScriptStep::CloseUnseen]),
            origin(&[("body", OK)]),
        ],
        client_gets: text_of(&[OK_RECEIVED, OK_RECEIVED, OK_RECEIVED]),
        origins_get: vec![
            "GET /two HTTP/1.1\nHost: a\n\n",
            "GET /two HTTP/1.1\nHost: a\n\n",
            "POST /two HTTP/1.1\nHost: a\nContent-Length: 4\n\nbody",
        ],
        pooled: 2,
        cuts_client: false,
        ..Case::default()
    }
    .check();
}

#[test]
fn exhausted_connection_is_not_pooled() {
    for announced in ["timeout=5, max=0", "timeout=0"] {
        let response = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {announced}\r\nContent-Length: 2\r\n\r\nok");
        Case {
            client: vec![send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), until("ok"), ScriptStep::Close],
            dial_scripts: vec![origin(&[("\r\n\r\n", &response)])],
            client_gets: OK_RECEIVED,
            origins_get: vec!["GET / HTTP/1.1\nHost: a\n\n"],
            ..Case::default()
        }
        .check();
    }
}
