//! gRPC between PyPI grpcio on both sides, after gRPC's own interop cases.

use crate::peers::Peer;
use crate::proxy::{ENTRIES, Entry, Proxy};
use crate::support::ringway::DRIVERS;
use crate::tools::python_or_skip;

const CALLS: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "many_connections",
];
const FAILURES: &[&str] = &[
    "cancel_after_begin",
    "cancel_after_first_response",
    "lost_client_is_a_cancellation",
    "timeout_on_sleeping_server",
    "deadline_reaches_the_server",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented",
];

/// Runs the cases over these entry points, on both drivers.
fn run(entries: &[Entry], cases: &[&str]) {
    if !python_or_skip() {
        return;
    }
    let server = Peer::grpc();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        for entry in entries {
            proxy.run_cases("grpc_client.py", *entry, &[], cases);
        }
    }
}

#[test]
fn grpc_calls_of_all_four_kinds_pass() {
    run(&ENTRIES, CALLS);
}

#[test]
fn grpc_statuses_metadata_and_cancellations_pass() {
    run(&ENTRIES, FAILURES);
}

#[test]
fn grpc_ten_thousand_calls_succeed() {
    run(&[Entry::Tls], &["ten_thousand_calls"]);
}

#[test]
fn grpc_keepalive_pings_are_answered() {
    run(&[Entry::Tls], &["keepalive_pings"]);
}

#[test]
fn grpc_server_that_dies_is_unavailable() {
    if !python_or_skip() {
        return;
    }
    for driver in DRIVERS {
        let server = Peer::grpc();
        let proxy = Proxy::start(driver, &server);
        let pid = server.process.id().to_string();
        proxy.run_cases("grpc_client.py", Entry::Tls, &["--server-pid", &pid], &["dead_server_is_unavailable"]);
    }
}
