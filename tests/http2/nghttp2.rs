//! nghttp and h2load of Debian's nghttp2-client, nghttpd of nghttp2-server.

use std::fs;
use std::process::Command;

use crate::peers::Peer;
use crate::proxy::{ENTRIES, Entry, Proxy};
use crate::support::origin::Origin;
use crate::support::ringway::DRIVERS;
use crate::support::{installed, tool_or_skip};
use crate::tools::{output_of, python_or_skip};

fn nghttp2_or_skip() -> bool {
    tool_or_skip("nghttp2-client", installed("nghttp") && installed("h2load"))
        && tool_or_skip("nghttp2-server", installed("nghttpd"))
        && python_or_skip()
}

fn url(proxy: &Proxy, entry: Entry, path: &str) -> String {
    let scheme = if entry == Entry::Plain { "http" } else { "https" };
    format!("{scheme}://127.0.0.1:{}{path}", proxy.port(entry))
}

const LINES: usize = 50_000;
/// More than the buffers of all sockets on the way hold.
const UPLOAD_BYTES: usize = 8_000_000;

/// nghttp's report of all frames, without colours.
fn nghttp(arguments: &[&str]) -> String {
    let mut command = Command::new("nghttp");
    let (output, text) = output_of(command.args(["--no-verify-peer", "--timeout=20", "--no-dep"]).args(arguments));
    assert!(output.status.success(), "nghttp {arguments:?}: {text}");
    text
}

#[test]
fn nghttp_receives_a_page_with_trailers() {
    if !nghttp2_or_skip() {
        return;
    }
    let (old, new) = (Peer::http1(), Peer::h2c());
    for (driver, server) in DRIVERS.iter().flat_map(|driver| [(driver, &old), (driver, &new)]) {
        let proxy = Proxy::start(driver, server);
        for entry in ENTRIES {
            let got = nghttp(&["-v", "-n", "-H", "te: trailers", &url(&proxy, entry, "/trailers")]);
            for wanted in [":status: 200", "checksum: abc", "grpc-status: 0"] {
                assert!(got.contains(wanted), "{wanted} ({driver}, {entry:?}): {got}");
            }
            assert_eq!(got.matches("recv HEADERS frame").count(), 2, "({driver}, {entry:?}): {got}");
            assert!(!got.contains("recv RST_STREAM") && !got.contains("recv GOAWAY"), "({driver}, {entry:?}): {got}");
        }
    }
}

#[test]
fn nghttp_upload_with_trailers_comes_back() {
    if !nghttp2_or_skip() {
        return;
    }
    let (old, new) = (Peer::http1(), Peer::h2c());
    for (driver, server) in DRIVERS.iter().flat_map(|driver| [(driver, &old), (driver, &new)]) {
        let proxy = Proxy::start(driver, server);
        let file = proxy.process.file("upload");
        fs::write(&file, "0123456789\n".repeat(LINES)).expect("a file to send");
        let file = file.to_string_lossy();
        for entry in ENTRIES {
            let url = url(&proxy, entry, "/echo");
            let upload = ["--no-content-length", "-d", &file, "--trailer", "digest: xyz", "-H", "te: trailers", &url];
            assert_eq!(nghttp(&upload).matches("0123456789\n").count(), LINES, "({driver}, {entry:?})");
            let frames = nghttp(&[&["-v", "-n"], &upload[..]].concat());
            assert!(frames.contains("echo-digest: xyz"), "({driver}, {entry:?}): {frames}");
        }
    }
}

/// nghttp shows the reset, and how much it had sent by then.
#[test]
fn nghttp_upload_ends_with_an_early_413() {
    if !nghttp2_or_skip() {
        return;
    }
    let (old, new) = (Peer::http1(), Peer::h2c());
    for (driver, server) in DRIVERS.iter().flat_map(|driver| [(driver, &old), (driver, &new)]) {
        let proxy = Proxy::start(driver, server);
        let file = proxy.process.file("upload");
        fs::write(&file, vec![b'u'; UPLOAD_BYTES]).expect("a file to send");
        let file = file.to_string_lossy();
        for entry in ENTRIES {
            let got = nghttp(&["-v", "-d", &file, &url(&proxy, entry, "/early/413")]);
            let place = format!("{driver}, {entry:?}, {}", server.url);
            assert!(got.contains(":status: 413") && got.contains("too large"), "{place}: {got}");
            let reset = got.split("recv RST_STREAM").nth(1).expect("a reset after the response");
            assert!(reset.lines().nth(1).is_some_and(|line| line.contains("NO_ERROR")), "{place}: {got}");
            let sent: usize = got.lines().filter_map(sent_bytes).sum();
            assert!(sent < UPLOAD_BYTES, "{place}: all was sent although the response was there");
        }
    }
}

/// The length of a DATA frame that this line of nghttp's report names.
fn sent_bytes(line: &str) -> Option<usize> {
    line.split_once("send DATA frame <length=")?.1.split(',').next()?.parse().ok()
}

#[test]
fn nghttpd_files_with_trailers_pass() {
    if !nghttp2_or_skip() {
        return;
    }
    let page = vec![b'p'; 200_000];
    let server = Peer::nghttpd(&[("index.html", b"the page\n"), ("large", &page)]);
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        for entry in ENTRIES {
            let got = nghttp(&["-v", "-H", "te: trailers", &url(&proxy, entry, "/")]);
            assert!(got.contains("the page") && got.contains("checksum: abc"), "({driver}, {entry:?}): {got}");
            let large = proxy.curl(entry, "/large", &["--http2", "--http2-prior-knowledge"]);
            assert_eq!(large.len(), page.len(), "({driver}, {entry:?})");
        }
    }
}

/// Runs h2load, all of whose requests have to succeed.
fn h2load(driver: &str, entry: Entry, requests: usize, arguments: &[&str]) {
    let count = requests.to_string();
    let (output, text) = output_of(Command::new("h2load").args(["-n", &count, "-t", "1"]).args(arguments));
    let all =
        format!("{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout");
    let good = output.status.success() && text.contains(&all) && text.contains(&format!("status codes: {count} 2xx"));
    assert!(good, "h2load {arguments:?} ({driver}, {entry:?}): {text}");
    let protocol = if entry == Entry::Plain { "Application protocol: h2c" } else { "Application protocol: h2\n" };
    assert!(text.contains(protocol), "({driver}, {entry:?}): {text}");
}

#[test]
fn h2load_with_many_streams_gets_every_response() {
    if !nghttp2_or_skip() {
        return;
    }
    let origin = Origin::start();
    for driver in DRIVERS {
        let proxy = Proxy::to(driver, &format!("http://{}", origin.address));
        for entry in ENTRIES {
            for (streams, requests) in [("1", 400), ("10", 1000), ("100", 2000)] {
                h2load(driver, entry, requests, &["-c", "4", "-m", streams, &url(&proxy, entry, "/")]);
            }
            h2load(driver, entry, 60, &["-c", "4", "-m", "10", &url(&proxy, entry, "/bytes/500000")]);
            let file = proxy.process.file("upload");
            fs::write(&file, vec![b'u'; 100_000]).expect("a file to send");
            let (file, url) = (file.to_string_lossy(), url(&proxy, entry, "/echo"));
            h2load(driver, entry, 100, &["-c", "4", "-m", "10", "-d", &file, &url]);
        }
    }
}

#[test]
fn h2load_to_an_h2c_server_gets_every_response() {
    if !nghttp2_or_skip() {
        return;
    }
    let page = vec![b'p'; 100_000];
    let server = Peer::nghttpd(&[("index.html", b"the page\n"), ("large", &page)]);
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        for (streams, requests) in [("1", 400), ("10", 1000), ("100", 2000)] {
            h2load(driver, Entry::Tls, requests, &["-c", "4", "-m", streams, &url(&proxy, Entry::Tls, "/")]);
        }
        h2load(driver, Entry::Plain, 100, &["-c", "4", "-m", "10", &url(&proxy, Entry::Plain, "/large")]);
    }
}
