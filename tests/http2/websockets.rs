//! WebSockets over HTTP/2 (RFC 8441) to servers of both versions, and classic ones beside them.

use crate::peers::Peer;
use crate::proxy::{ENTRIES, Entry, Proxy};
use crate::support::ringway::DRIVERS;
use crate::tools::{output_of, python_or_skip, script};

const TUNNELS: &[&str] = &[
    "echo_over_http2",
    "every_message_is_passed_at_once",
    "deflate_is_agreed_end_to_end",
    "close_codes_pass",
    "other_streams_go_on",
    "reset_closes_the_tunnel",
    "page_instead_of_a_websocket_passes",
];

/// Runs the cases over both entry points, on both drivers.
fn run(server: fn() -> Peer, cases: &[&str]) {
    if !python_or_skip() {
        return;
    }
    let server = server();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        for entry in ENTRIES {
            proxy.run_cases("websockets_client.py", entry, &[], cases);
        }
    }
    assert_eq!(server.protocol_errors(), Vec::<String>::new());
}

#[test]
fn websocket_over_http2_reaches_an_http1_server() {
    run(Peer::websockets, TUNNELS);
}

#[test]
fn websocket_over_http2_reaches_an_h2c_server() {
    run(Peer::h2c, TUNNELS);
}

#[test]
fn classic_websocket_reaches_an_h2c_server() {
    run(Peer::h2c, &["classic_echo", "echo_over_http2", "classic_echo"]);
}

#[test]
fn websocket_to_an_h2c_server_that_announces_none_gets_502() {
    run(Peer::h2c_without_websockets, &["server_without_websockets_gives_502"]);
}

#[test]
fn classic_websocket_passes_beside_http2() {
    run(Peer::websockets, &["classic_echo", "echo_over_http2", "classic_echo"]);
}

#[test]
fn classic_websocket_over_tls_agrees_on_http1() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::websockets();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        proxy.run_cases("websockets_client.py", Entry::Tls, &[], &["classic_over_tls_is_http1"]);
    }
}

/// The Autobahn cases of PyPI kosoku over HTTP/1.1: the proxy changes no frame, so that the outcome is that of the server alone.
#[test]
fn autobahn_cases_pass_through_the_proxy() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::websockets();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        let port = proxy.port(Entry::Plain).to_string();
        let (output, text) = output_of(script("autobahn.py").args(["--port", &port]));
        assert!(output.status.success(), "({driver}): {text}");
    }
}
