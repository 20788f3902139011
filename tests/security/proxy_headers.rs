//! PROXY headers in front of connections: forged, malformed, cut and slow ones, and what counts of the address in them.

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use ringway::detect::{ProxiedAddresses, ProxiedConnection, ProxyVersion, proxy_header};

use crate::client::Client;
use crate::proxy::{Options, Proxy};
use crate::session::{connect_behind, http2_behind};
use crate::support::wait_for;
use crate::{DRIVERS, Verdict};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
/// Longer than any response takes, and shorter than any bound.
const SOON: Duration = Duration::from_secs(5);

/// A proxy whose entry points expect PROXY headers from `peers`, and trust forwarding fields of 10.9.9.9 alone.
fn proxy(driver: &str, peers: &str, more: &str) -> Proxy {
    let tables = |entry: &str| {
        format!(
            "[entryPoints.{entry}.proxyProtocol]\ntrustedIPs = [\"{peers}\"]\n\
             [entryPoints.{entry}.forwardedHeaders]\ntrustedIPs = [\"10.9.9.9\"]\n{}",
            more.replace("ENTRY", entry)
        )
    };
    let metrics =
        "[metrics.prometheus]\nentryPoint = \"http\"\n[accessLog]\nfilePath = \"@dir@/access.log\"\n".to_owned();
    Proxy::with(
        driver,
        &Options { entry: tables("http"), tls_entry: tables("https"), tables: metrics, ..Options::default() },
    )
}

fn header(version: ProxyVersion, source: &str, destination: &str) -> Vec<u8> {
    let address = |text: &str| text.parse().expect(text);
    let addresses = ProxiedAddresses { source: address(source), destination: address(destination) };
    proxy_header(version, &ProxiedConnection { addresses, alpn: Some(b"h2"), server_name: Some("b.test") })
}

/// A version 2 header with these bytes behind the signature.
fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &(payload.len() as u16).to_be_bytes(), payload].concat()
}

/// How many headers had this result.
fn counted(proxy: &Proxy, result: &str) -> u64 {
    count(proxy, &format!("ringway_proxy_headers_total{{result=\"{result}\"}} "))
}

fn count(proxy: &Proxy, series: &str) -> u64 {
    let page = String::from_utf8(proxy.get("/metrics").body).expect("text");
    let count = page.lines().find_map(|line| line.strip_prefix(series));
    count.unwrap_or_else(|| panic!("no {series}: {page}")).parse().expect("a number")
}

/// The X-Forwarded-For and X-Real-Ip with which the origin gets a request that is sent behind `header`.
fn forwarded(proxy: &Proxy, header: &[u8]) -> Vec<String> {
    proxy.origin.set_script(Default::default());
    let answer = proxy.client().send([header, GET.as_bytes()].concat()).answer();
    last_seen(proxy, answer.status)
}

fn last_seen(proxy: &Proxy, status: u16) -> Vec<String> {
    let seen = proxy.origin.seen();
    let Some(request) = seen.last() else { return vec![format!("status {status}, nothing at the origin")] };
    let fields = [request.fields("x-forwarded-for"), request.fields("x-real-ip")].concat();
    fields.into_iter().map(str::to_owned).collect()
}

#[test]
fn address_of_trusted_header_replaces_the_peers() {
    use ProxyVersion::{V1, V2};
    for driver in DRIVERS {
        let proxy = proxy(driver, "127.0.0.0/8", "");
        let mut verdict = Verdict::default();
        let v4 = ["203.0.113.7"; 2];
        let v6 = ["2001:db8::7"; 2];
        let own = ["127.0.0.1"; 2];
        let by_proxy = ["6.6.6.6, 10.9.9.9", "10.9.9.9"];
        let long_field = [&[0; 12][..], b"\x04\x0f\xa0", &[0; 4000]].concat();
        let cases: [(&str, Vec<u8>, [&str; 2]); 12] = [
            ("version 1", header(V1, "203.0.113.7:1", "192.0.2.1:80"), v4),
            ("version 2", header(V2, "203.0.113.7:1", "192.0.2.1:80"), v4),
            ("version 1, IPv6", header(V1, "[2001:db8::7]:1", "[2001:db8::1]:80"), v6),
            ("version 2, IPv6", header(V2, "[2001:db8::7]:1", "[2001:db8::1]:80"), v6),
            ("IPv4-mapped", header(V2, "[::ffff:203.0.113.7]:1", "[2001:db8::1]:80"), v4),
            ("a proxy whose forwarding fields are trusted", header(V1, "10.9.9.9:1", "192.0.2.1:80"), by_proxy),
            ("UNKNOWN", b"PROXY UNKNOWN ffff::1 rest of it\r\n".to_vec(), own),
            ("LOCAL", binary(0x20, 0, b""), own),
            ("LOCAL with addresses", binary(0x20, 0x11, &[9; 12]), own),
            ("AF_UNIX", binary(0x21, 0x31, &[b'/'; 216]), own),
            ("AF_UNSPEC", binary(0x21, 0, b""), own),
            ("no header", Vec::new(), own),
        ];
        for (name, header, wanted) in cases {
            let seen = forwarded(&proxy, &header);
            verdict.check(&format!("{name} ({driver})"), seen == wanted, format!("{seen:?}"));
        }
        let long = binary(0x21, 0x11, &long_field);
        let seen = forwarded(&proxy, &long);
        verdict.check(&format!("long fields ({driver})"), seen == ["0.0.0.0"; 2], format!("{seen:?}"));
        let accepted = counted(&proxy, "accepted");
        verdict.check(&format!("count ({driver})"), accepted == 12, accepted.to_string());
        verdict.end();
        let plain = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
        let header = header(V1, "203.0.113.7:1", "192.0.2.1:80");
        assert_eq!(proxy.client().send([&header, plain.as_bytes()].concat()).answer().status, 200, "({driver})");
        wait_for("the access log names the client", SOON, || {
            let log = fs::read_to_string(proxy.process.file("access.log")).map_err(|e| e.to_string())?;
            if log.contains("203.0.113.7 - - [") { Ok(()) } else { Err(log) }
        });
    }
}

#[test]
fn header_is_taken_exactly_in_front_of_tls_and_http2() {
    for driver in DRIVERS {
        let proxy = proxy(driver, "127.0.0.1", "");
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let header = header(version, "203.0.113.7:1", "192.0.2.1:443");
            proxy.origin.set_script(Default::default());
            let mut session = connect_behind(&header, proxy.tls_port);
            session.write_all(GET.as_bytes()).expect("sent");
            let mut answer = String::new();
            let _ = session.read_to_string(&mut answer);
            assert!(answer.starts_with("HTTP/1.1 200 "), "({driver}): {answer}");
            assert_eq!(last_seen(&proxy, 0), ["203.0.113.7"; 2], "HTTPS ({driver})");
            let mut client = http2_behind(&header, proxy.tls_port, &[]);
            proxy.origin.set_script(Default::default());
            assert_eq!(client.fetch("/h2").status, 200, "({driver})");
            assert_eq!(last_seen(&proxy, 0), ["203.0.113.7"; 2], "HTTP/2 ({driver})");
        }
        // A second header is no header.
        let one = header(ProxyVersion::V1, "203.0.113.7:1", "192.0.2.1:443");
        let twice = [&one[..], &one, GET.as_bytes()].concat();
        assert_eq!(proxy.client().send(twice).answer().status, 400, "({driver})");
    }
}

#[test]
fn forged_header_of_untrusted_peer_changes_nothing() {
    for driver in DRIVERS {
        let proxy = proxy(driver, "10.1.1.1", "");
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            // The address is one whose forwarding fields would be trusted.
            let forged = header(version, "10.9.9.9:1", "192.0.2.1:80");
            assert_eq!(forwarded(&proxy, &forged), ["127.0.0.1"; 2], "({driver})");
        }
        assert_eq!((counted(&proxy, "untrusted"), counted(&proxy, "accepted")), (2, 0), "({driver})");
        let log = proxy.process.log();
        let line = "PROXY header: ignored, the peer is not trusted";
        assert_eq!(log.matches(line).count(), 1, "once for each address ({driver}): {log}");
        assert!(log.contains("add its address to proxyProtocol.trustedIPs"), "({driver}): {log}");
    }
}

#[test]
fn white_list_judges_the_address_in_the_header() {
    let list = "[entryPoints.ENTRY.whiteList]\nsourceRange = [\"203.0.113.0/24\", \"127.0.0.1\"]\n";
    for driver in DRIVERS {
        let proxy = proxy(driver, "127.0.0.1", list);
        for (source, wanted) in [("203.0.113.7:1", 200), ("198.51.100.7:1", 403)] {
            let header = header(ProxyVersion::V2, source, "192.0.2.1:80");
            let status = proxy.client().send([&header[..], GET.as_bytes()].concat()).answer().status;
            assert_eq!(status, wanted, "{source} ({driver})");
        }
    }
}

#[test]
fn header_cut_at_every_byte_ends_the_connection_and_split_there_is_read() {
    for driver in DRIVERS {
        let proxy = proxy(driver, "127.0.0.1", "");
        let mut cuts = 0;
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let header = header(version, "203.0.113.7:1", "192.0.2.1:80");
            for cut in 1..header.len() {
                let mut client = proxy.client();
                client.send(&header[..cut]).finish_sending();
                assert!(client.is_closed_within(SOON), "cut at {cut} ({driver})");
                assert!(client.received.is_empty(), "cut at {cut} ({driver}): {:?}", client.received);
                cuts += 1;
                proxy.origin.set_script(Default::default());
                let mut client = proxy.client();
                client.send(&header[..cut]);
                thread::sleep(Duration::from_millis(2));
                let answer = client.send([&header[cut..], GET.as_bytes()].concat()).answer();
                assert_eq!(answer.status, 200, "split at {cut} ({driver})");
                assert_eq!(last_seen(&proxy, answer.status), ["203.0.113.7"; 2], "split at {cut} ({driver})");
            }
        }
        assert_eq!(counted(&proxy, "cut"), cuts, "({driver})");
        let unused = proxy.client();
        unused.finish_sending();
        drop(unused);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(counted(&proxy, "cut"), cuts, "a connection that was never used ({driver})");
    }
}

#[test]
fn malformed_header_ends_the_connection_without_a_response() {
    let endless = format!("PROXY UNKNOWN {}", "a".repeat(200));
    let cases: [(&str, &str, Vec<u8>); 9] = [
        ("malformed", "no CR", b"PROXY TCP4 203.0.113.7 192.0.2.1 1 80\n".to_vec()),
        ("malformed", "a sign", b"PROXY TCP4 203.0.113.7 192.0.2.1 +1 80\r\n".to_vec()),
        ("malformed", "another family", b"PROXY TCP6 203.0.113.7 192.0.2.1 1 80\r\n".to_vec()),
        ("malformed", "an unknown family", b"PROXY UDP4 203.0.113.7 192.0.2.1 1 80\r\n".to_vec()),
        ("malformed", "an endless line", endless.into_bytes()),
        ("malformed", "version 3", binary(0x31, 0x11, &[0; 12])),
        ("malformed", "an unknown command", binary(0x22, 0x11, &[0; 12])),
        ("malformed", "too short for its addresses", binary(0x21, 0x21, &[0; 12])),
        ("too_long", "too long", binary(0x21, 0x11, &[0; 4081])),
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver, "127.0.0.1", "");
        let mut verdict = Verdict::default();
        for (result, name, bytes) in &cases {
            proxy.origin.set_script(Default::default());
            let before = counted(&proxy, result);
            proxy.origin.set_script(Default::default());
            let mut client: Client = proxy.client();
            client.send([bytes, GET.as_bytes()].concat());
            let is_closed = client.is_closed_within(SOON) && client.received.is_empty();
            verdict.check(&format!("{name} ({driver})"), is_closed, String::from_utf8_lossy(&client.received));
            let after = counted(&proxy, result);
            verdict.check(&format!("{name}, counted ({driver})"), after == before + 1, format!("{before}, {after}"));
            verdict.check(&format!("{name}, origin ({driver})"), proxy.origin.seen().is_empty(), "a request");
        }
        let log = proxy.process.log();
        for line in [
            "PROXY header: malformed PROXY line: check which version",
            "let the load balancer send fewer additional fields",
        ] {
            verdict.check(driver, log.matches(line).count() == 1, format!("{line:?}: {log}"));
        }
        let exceeded = count(&proxy, "ringway_bounds_exceeded_total{bound=\"proxy_header_bytes\"} ");
        verdict.check(driver, exceeded == 1, exceeded.to_string());
        verdict.end();
    }
}

#[test]
fn dripping_header_ends_the_connection_after_ten_seconds() {
    for driver in DRIVERS {
        let proxy = proxy(driver, "127.0.0.1", "");
        let header = header(ProxyVersion::V1, "203.0.113.7:1", "192.0.2.1:80");
        let (mut client, begun) = (proxy.client(), Instant::now());
        let mut bytes = header.iter();
        while begun.elapsed() < Duration::from_secs(15) {
            client.send([*bytes.next().expect("the header is longer")]);
            if client.is_closed_within(Duration::from_millis(500)) {
                break;
            }
        }
        let took = begun.elapsed();
        // The bound is kept to within some ticks of the worker's clock, which a loaded machine delays.
        assert!((9..13).contains(&took.as_secs()), "closed after {took:?} ({driver})");
        assert_eq!(counted(&proxy, "timeout"), 1, "({driver})");
        assert_eq!(count(&proxy, "ringway_bounds_exceeded_total{bound=\"proxy_header_secs\"} "), 1, "({driver})");
        assert!(proxy.process.log().contains("PROXY header: not complete within 10 s"), "({driver})");
    }
}
