//! Entry points with `http2 = false`, and clients that ask for an upgrade to h2c.

use crate::peers::Peer;
use crate::proxy::{ENTRIES, Entry, Options, Proxy};
use crate::support::ringway::DRIVERS;
use crate::tools::python_or_skip;

const VERSION: &str = " %{http_version} %{http_code} %{exitcode}";

#[test]
fn http2_false_leaves_http1_alone() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    let options = Options { entry: "http2 = false", ..Options::default() };
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &server, options);
        let got = proxy.curl(Entry::Tls, "/bytes/0", &["--http2", "-w", VERSION]);
        assert_eq!(got, " 1.1 200 0", "{driver}: ALPN");
        let got = proxy.curl(Entry::Plain, "/bytes/0", &["--http2-prior-knowledge", "-w", VERSION]);
        assert!(!got.ends_with(" 0") && !got.contains(" 2 2"), "{driver}: prior knowledge: {got}");
        for entry in ENTRIES {
            let got = proxy.curl(entry, "/bytes/0", &["--http1.1", "-w", VERSION]);
            assert_eq!(got, " 1.1 200 0", "{driver}, {entry:?}");
        }
    }
}

/// RFC 9113 3.1: the upgrade is deprecated; a server may ignore it.
#[test]
fn h2c_upgrade_is_not_answered() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        let got = proxy.curl(Entry::Plain, "/seen", &["--http2", "-w", VERSION]);
        assert!(got.ends_with(" 1.1 200 0"), "{driver}: {got}");
        assert!(!got.to_ascii_lowercase().contains("http2-settings"), "{driver}: {got}");
    }
}
