//! How connections of HTTP/2 end: stop, hand-over and idle time-out lose no stream.

use std::time::Duration;

use crate::peers::Peer;
use crate::proxy::{ENTRIES, Entry, Options, Proxy};
use crate::support::ringway::DRIVERS;
use crate::tools::python_or_skip;

/// A process ends with its last stream. Longer than the longest of them, even on a loaded machine.
const END_SECS_MAX: u64 = 20;

fn end(proxy: &Proxy, entry: Entry, case: &str) {
    let pid = proxy.process.pid().to_string();
    proxy.run_cases("frames.py", entry, &["--pid", &pid], &[case]);
}

#[test]
fn stop_with_streams_under_way_loses_no_stream() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    for driver in DRIVERS {
        for entry in ENTRIES {
            let mut proxy = Proxy::start(driver, &server);
            end(&proxy, entry, "stop_loses_no_stream");
            let status = proxy.process.wait(Duration::from_secs(END_SECS_MAX));
            assert_eq!(status.code(), Some(0), "({driver}): {}", proxy.process.log());
        }
    }
}

#[test]
fn handover_with_streams_under_way_loses_no_stream() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    for driver in DRIVERS {
        let mut proxy = Proxy::start(driver, &server);
        end(&proxy, Entry::Tls, "handover_loses_no_stream");
        let successor = proxy.process.successor(1);
        proxy.process.wait(Duration::from_secs(END_SECS_MAX));
        successor.signal("TERM");
        successor.wait();
    }
}

#[test]
fn stop_with_an_h2c_server_loses_no_stream() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::h2c();
    for driver in DRIVERS {
        let mut proxy = Proxy::start(driver, &server);
        end(&proxy, Entry::Tls, "stop_loses_no_stream");
        proxy.process.wait(Duration::from_secs(END_SECS_MAX));
    }
}

#[test]
fn idle_connection_is_ended_by_goaway() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    let options = Options { tables: "[respondingTimeouts]\nidleTimeout = \"1s\"", ..Options::default() };
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &server, options);
        for entry in ENTRIES {
            proxy.run_cases("frames.py", entry, &[], &["idle_connection_gets_goaway"]);
        }
    }
}
