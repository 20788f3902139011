//! Connections to servers that belong to one client connection.

use super::*;

const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM x\r\nContent-Length: 2\r\n\r\nno";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const RECEIVED: &str = "HTTP/1.1 401 Unauthorized\nWWW-Authenticate: NTLM x\nContent-Length: 2\n\nnoHTTP/1.1 200 OK\nContent-Length: 2\n\nok";

#[test]
fn bound_connection_ends_with_its_client() {
    // The challenge alone binds the connection: the requests behind it use it, although they have no credentials.
    Case {
        client: vec![
            send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
            until("no"),
            send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[("hi", CHALLENGE), ("\r\n\r\n", OK)])],
        client_gets: RECEIVED,
        origins_get: vec!["POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhiGET /next HTTP/1.1\nHost: a\n\n"],
        pooled: 0,
        ..Case::default()
    }
    .check();
}

#[test]
fn credentials_bind_connection_of_their_client() {
    Case {
        client: vec![
            send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: negotiate YII=\r\n\r\n"),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec!["GET / HTTP/1.1\nHost: a\nAuthorization: negotiate YII=\n\n"],
        pooled: 0,
        ..Case::default()
    }
    .check();
}

#[test]
fn bound_connection_wins_over_the_balancer() {
    // Two servers take turns; the client's second and third request go to the server of the first.
    Case {
        client: vec![
            send("GET /two HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("no"),
            send("GET /two HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM y\r\n\r\n"),
            until("ok"),
            send("GET /two HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![origin(&[("\r\n\r\n", CHALLENGE), ("\r\n\r\n", OK), ("\r\n\r\n", OK)])],
        client_gets: "HTTP/1.1 401 Unauthorized\nWWW-Authenticate: NTLM x\nContent-Length: 2\n\nnoHTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        origins_get: vec![
            "GET /two HTTP/1.1\nHost: a\n\nGET /two HTTP/1.1\nHost: a\nAuthorization: NTLM y\n\nGET /two HTTP/1.1\nHost: a\n\n",
        ],
        pooled: 0,
        ..Case::default()
    }
    .check();
}

#[test]
fn bound_connection_that_the_server_closed_is_replaced() {
    Case {
        client: vec![
            send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("no"),
            send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
            until("ok"),
            ScriptStep::Close,
        ],
        dial_scripts: vec![
            DialScript::Origin(vec![until("\r\n\r\n"), send(CHALLENGE), ScriptStep::Close]),
            origin(&[("\r\n\r\n", OK)]),
        ],
        client_gets: RECEIVED,
        origins_get: vec!["GET / HTTP/1.1\nHost: a\n\n", "GET /next HTTP/1.1\nHost: a\n\n"],
        pooled: 1,
        ..Case::default()
    }
    .check();
}
