//! curl over HTTP/2, by ALPN and by prior knowledge, and over HTTP/1.1 to HTTP/2 servers.

use std::fs;

use crate::peers::Peer;
use crate::proxy::{ENTRIES, Entry, Options, Proxy};
use crate::support::ringway::DRIVERS;
use crate::tools::python_or_skip;

/// The option that makes curl speak HTTP/2 to this entry point.
fn version(entry: Entry) -> &'static str {
    if entry == Entry::Plain { "--http2-prior-knowledge" } else { "--http2" }
}

/// Runs the check with a server of HTTP/1.1 and with one of HTTP/2, over both entry points, on both drivers.
fn with_all(check: impl Fn(&Proxy, Entry, &str)) {
    if !python_or_skip() {
        return;
    }
    let servers = [Peer::http1(), Peer::h2c()];
    for driver in DRIVERS {
        for server in &servers {
            let proxy = Proxy::start(driver, server);
            for entry in ENTRIES {
                check(&proxy, entry, &format!("{driver}, {entry:?}, {}", server.url));
            }
        }
    }
    for server in servers {
        assert_eq!(server.protocol_errors(), Vec::<String>::new());
    }
}

#[test]
fn curl_methods_get_the_same_over_http2() {
    with_all(|proxy, entry, place| {
        let curl = |path: &str, more: &[&str]| proxy.curl(entry, path, &[&[version(entry)], more].concat());
        let got = curl("/seen", &["-w", "\n%{http_version} %{http_code}"]);
        assert!(got.contains("\"method\": \"GET\"") && got.ends_with("\n2 200"), "{place}: {got}");
        let got = curl("/bytes/1000", &["-I"]);
        assert!(got.starts_with("HTTP/2 200") && got.contains("content-length: 1000\r\n"), "{place}: {got}");
        let got = curl("/seen", &["-d", "a=1", "-X", "PUT"]);
        assert!(got.contains("\"method\": \"PUT\"") && got.contains("\"body\": 3"), "{place}: {got}");
        for status in ["204", "304", "404", "500"] {
            let got = curl(&format!("/status/{status}"), &["-i"]);
            assert!(got.starts_with(&format!("HTTP/2 {status}")), "{place}: {got}");
        }
        // curl 7.88, Debian 12's, cannot use a connection of prior knowledge a second time.
        if entry == Entry::Plain {
            return;
        }
        let got = curl("/redirect", &["-L", "-w", " %{num_redirects} %{num_connects} %{http_version}"]);
        assert!(got.contains("\"path\": \"/target\"") && got.ends_with(" 1 1 2"), "{place}: {got}");
    });
}

#[test]
fn curl_cookies_return_to_the_server() {
    with_all(|proxy, entry, place| {
        let jar = proxy.process.file("cookies");
        let _ = fs::remove_file(&jar);
        let jar = jar.to_string_lossy();
        let curl = |path: &str| proxy.curl(entry, path, &[version(entry), "-b", &jar, "-c", &jar]);
        assert_eq!(curl("/cookies"), "cookies", "{place}");
        let got = curl("/seen");
        // The second cookie is for TLS alone.
        let wanted = if entry == Entry::Tls { "a=1; b=2" } else { "a=1" };
        let sorted = got.replace("b=2; a=1", "a=1; b=2");
        assert!(sorted.contains(&format!("\"{wanted}\"")), "{place}: {got}");
    });
}

#[test]
fn curl_large_bodies_pass_both_ways() {
    with_all(|proxy, entry, place| {
        let (sent, received) = (proxy.process.file("sent"), proxy.process.file("received"));
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n ^ (n >> 9)) as u8).collect();
        fs::write(&sent, &bytes).expect("a file to send");
        let (upload, output) = (format!("@{}", sent.display()), received.to_string_lossy());
        let got = proxy.curl(
            entry,
            "/echo",
            &[version(entry), "--data-binary", &upload, "-H", "Expect:", "-o", &output, "-w", "%{http_code}"],
        );
        assert_eq!(got, "200", "{place}");
        assert!(fs::read(&received).expect("what came back") == bytes, "{place}: other bytes came back");
        let got = proxy.curl(entry, "/bytes/3000000", &[version(entry), "-o", "/dev/null", "-w", "%{size_download}"]);
        assert_eq!(got, "3000000", "{place}");
    });
}

#[test]
fn curl_body_beyond_the_limit_gets_413_of_the_proxy() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    let options = Options { backend: "[backends.one.buffering]\nmaxRequestBodyBytes = 1000\n", ..Options::default() };
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &server, options);
        for entry in ENTRIES {
            let body = "b".repeat(2000);
            let got = proxy.curl(entry, "/echo", &[version(entry), "-d", &body, "-w", " %{errormsg} %{http_code}"]);
            assert!(got.ends_with(" 413"), "{driver}, {entry:?}: {got}");
            let got = proxy.curl(entry, "/echo", &[version(entry), "-d", "small", "-w", " %{http_code}"]);
            assert_eq!(got, "small 200", "{driver}, {entry:?}");
        }
    }
}

#[test]
fn curl_over_http1_reaches_an_h2c_server() {
    if !python_or_skip() {
        return;
    }
    let server = Peer::h2c();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        for entry in ENTRIES {
            let curl = |path: &str, more: &[&str]| proxy.curl(entry, path, &[&["--http1.1", "-i"], more].concat());
            let got = curl("/seen", &[]);
            assert!(got.starts_with("HTTP/1.1 200 ") && got.contains("\"version\": \"2\""), "{driver}: {got}");
            assert!(got.contains("[\"host\", \"a.test:"), "{driver}: {got}");
            let got = curl("/hints", &[]);
            assert_eq!(got.matches("HTTP/1.1 103 ").count(), 2, "{driver}: {got}");
            let got = curl("/trailers", &["-H", "TE: trailers", "--raw"]).to_ascii_lowercase();
            assert!(got.contains("\r\n0\r\nchecksum: abc\r\ngrpc-status: 0\r\n\r\n"), "{driver}: {got}");
            let got = curl("/echo", &["-d", "body", "-H", "Transfer-Encoding: chunked"]);
            assert!(got.ends_with("\r\n\r\nbody"), "{driver}: {got}");
            let got = curl("/status/204", &[]);
            assert!(got.starts_with("HTTP/1.1 204 ") && got.ends_with("\r\n\r\n"), "{driver}: {got}");
        }
        assert_eq!(server.protocol_errors(), Vec::<String>::new(), "({driver})");
    }
}
