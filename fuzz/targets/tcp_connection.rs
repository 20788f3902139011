//! A whole TCP connection over faulty transports: the beginning that is looked at, the route, the connection to a server, the relay. Each side
//! gets the other side's bytes from the first one on, nothing else, and all of them if nothing failed; the route is that of the ClientHello.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::detect::client_hello::{Peek, peek_hello};
use ringway_fuzz::tcp_harness::{self, NAME, RunResult, Scenario};

fuzz_target!(|bytes: &[u8]| {
    let Some(scenario) = Scenario::read(bytes) else { return };
    let RunResult { client, servers, dialled } = tcp_harness::run(&scenario);
    let client = client.borrow();
    assert!(servers.len() <= 1, "a connection goes to one server");
    if let Some(first) = dialled.first() {
        let is_named = match peek_hello(client.taken()) {
            Ok(Peek::Complete(hello)) => hello.server_name.as_deref() == Some(NAME),
            // The end of the stream, or of the time, came before a whole ClientHello.
            _ => false,
        };
        assert_eq!(is_named, !first.starts_with("10.0.0.9:"), "{dialled:?}: {}", client.taken().escape_ascii());
    }
    let Some(server) = servers.first() else {
        assert!(client.received.is_empty(), "bytes of nobody");
        return;
    };
    let server = server.borrow();
    assert!(client.taken().starts_with(&server.received), "the server got other bytes than the client sent");
    assert!(server.taken().starts_with(&client.received), "the client got other bytes than the server sent");
    if scenario.is_faultless() && !client.is_slow() && !server.is_slow() {
        assert_eq!(server.received, client.taken(), "bytes of the client are missing");
        assert_eq!(client.received, server.taken(), "bytes of the server are missing");
    }
});
