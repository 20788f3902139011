//! A client on PyPI h2, which checks every frame, in front of each kind of server.

use crate::peers::Peer;
use crate::proxy::{ENTRIES, Proxy};
use crate::support::ringway::DRIVERS;
use crate::tools::python_or_skip;

const MESSAGES: &[&str] = &[
    "get_reaches_the_server",
    "cookies_are_joined",
    "set_cookies_stay_apart",
    "response_names_are_of_http2",
    "head_and_empty_statuses_have_no_data",
    "trailers_pass_both_ways",
    "early_hints_pass",
    "expectation_gets_100",
    "content_length_is_kept",
    "connect_is_refused",
];
const STREAMS: &[&str] = &[
    "streams_run_side_by_side",
    "many_streams_one_after_the_other",
    "large_bodies_pass_both_ways",
    "windows_are_kept",
    "events_arrive_at_once",
    "ping_is_answered",
];
const ENDS_OF_STREAMS: &[&str] =
    &["reset_reaches_the_server", "cut_response_is_a_reset", "early_response_stops_the_upload"];

/// Runs the cases over both entry points, on both drivers; the server has to agree with all that it received.
fn run(server: fn() -> Peer, cases: &[&str]) {
    if !python_or_skip() {
        return;
    }
    for driver in DRIVERS {
        let server = server();
        let proxy = Proxy::start(driver, &server);
        for entry in ENTRIES {
            proxy.run_cases("frames.py", entry, &[], cases);
        }
        assert_eq!(server.protocol_errors(), Vec::<String>::new(), "({driver})");
    }
}

#[test]
fn messages_to_an_http1_server_are_translated() {
    run(Peer::http1, MESSAGES);
}

#[test]
fn messages_to_an_h2c_server_keep_their_meaning() {
    run(Peer::h2c, MESSAGES);
}

#[test]
fn messages_to_an_https_server_keep_their_meaning() {
    run(Peer::https, MESSAGES);
}

#[test]
fn streams_to_an_http1_server_do_not_wait_for_each_other() {
    run(Peer::http1, STREAMS);
}

#[test]
fn streams_to_an_h2c_server_do_not_wait_for_each_other() {
    run(Peer::h2c, STREAMS);
}

#[test]
fn streams_to_an_https_server_do_not_wait_for_each_other() {
    run(Peer::https, STREAMS);
}

#[test]
fn ended_streams_to_an_http1_server_leave_the_others_alone() {
    run(Peer::http1, ENDS_OF_STREAMS);
}

#[test]
fn ended_streams_to_an_h2c_server_leave_the_others_alone() {
    run(Peer::h2c, ENDS_OF_STREAMS);
}

#[test]
fn ended_streams_to_an_https_server_leave_the_others_alone() {
    run(Peer::https, ENDS_OF_STREAMS);
}
