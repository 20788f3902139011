//! How connections begin and end: servers that speak first, half-closed connections, resets, close_notify, time-outs, and the log line.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::peers::{EchoServer, Server, connect, is_reset, read_end, read_exact, reset, tls_connect, tls_echo_server};
use crate::proxy::{Options, Proxy, certificate, routes};
use crate::support::free_port;
use crate::support::ringway::DRIVERS;

/// The members of a JSON line, as far as the tests read them.
fn has(line: &str, members: &[&str]) {
    for member in members {
        assert!(line.contains(member), "{member} is not in {line}");
    }
}

#[test]
fn server_that_speaks_first_is_not_kept_waiting() {
    for driver in DRIVERS {
        let echo = EchoServer::start(b"220 ready\r\n");
        let proxy = Proxy::start(driver, &[], &[&echo.url()]);
        let mut client = connect(proxy.plain[0]);
        read_exact(&mut client, b"220 ready\r\n", "the greeting");
        client.write_all(b"QUIT\r\n").expect("sends");
        read_exact(&mut client, b"QUIT\r\n", "the echo");
        client.shutdown(Shutdown::Write).expect("half-closed");
        read_end(&mut client);
        let lines = proxy.access_log(1);
        let backend_addr = format!("\"BackendAddr\":\"{}\"", echo.0.address);
        has(
            &lines[0],
            &[
                &backend_addr,
                "\"BackendName\":\"plain0\"",
                "\"FrontendName\":\"plain0\"",
                "\"ClientHost\":\"127.0.0.1\"",
                "\"DownstreamContentSize\":17",
                "\"RequestContentSize\":6",
                "\"RequestProtocol\":\"TCP\"",
                "\"EndReason\":\"client_closed\"",
                "\"Duration\":",
            ],
        );
        assert_eq!(proxy.metric("ringway_tcp_connections_total{backend=\"plain0\"}"), 1);
        assert_eq!(proxy.metric("ringway_tcp_bytes_total{backend=\"plain0\",direction=\"out\"}"), 17);
        assert_eq!(proxy.metric("ringway_tcp_connections_ended_total{reason=\"client_closed\"}"), 1);
    }
}

#[test]
fn terminated_tls_takes_any_protocol_agrees_on_none_and_ends_with_close_notify() {
    for driver in DRIVERS {
        let echo = EchoServer::start(b"plain\n");
        let proxy = Proxy::start(
            driver,
            &[
                ("db", "HostSNI:db.test", "", &echo.url()),
                ("mail", "HostSNI:other.test", "alpn = [\"imap\"]", &echo.url()),
            ],
            &[],
        );
        for (name, protocols, agreed) in [
            ("db.test", &["postgresql"][..], None),
            ("db.test", &["h2", "http/1.1"], None),
            ("db.test", &[], None),
            ("other.test", &["pop3", "imap"], Some(&b"imap"[..])),
        ] {
            let mut client = tls_connect(proxy.https(), proxy.folder(), name, protocols);
            read_exact(&mut client, b"plain\n", name);
            client.write_all(b"data").expect("sends");
            read_exact(&mut client, b"data", name);
            assert_eq!(client.conn.alpn_protocol(), agreed, "{protocols:?}");
            client.conn.send_close_notify();
            client.flush().expect("sends");
            // rustls reports an end without close_notify as an error.
            read_end(&mut client);
        }
        let lines = proxy.access_log(4);
        has(
            &lines[0],
            &["\"RequestProtocol\":\"TLS\"", "\"RequestHost\":\"db.test\"", "\"EndReason\":\"client_closed\""],
        );
        // The server ends first: the client sees close_notify too.
        let greeter = Server::start(|mut stream| drop(stream.write_all(b"bye")));
        proxy.replace_routes(&routes(&[("db", "HostSNI:db.test", "", &greeter.url())], &[]), 2);
        let mut client = tls_connect(proxy.https(), proxy.folder(), "db.test", &[]);
        read_exact(&mut client, b"bye", "the server's only bytes");
        read_end(&mut client);
        client.conn.send_close_notify();
        client.flush().expect("sends");
        let lines = proxy.access_log(5);
        has(&lines[4], &["\"EndReason\":\"server_closed\""]);
    }
}

#[test]
fn client_without_close_notify_is_a_reset_for_the_server() {
    for driver in DRIVERS {
        let (seen, outcomes) = std::sync::mpsc::channel();
        let server = Server::start(move |mut stream| seen.send(is_reset(&mut stream)).unwrap_or_default());
        let proxy = Proxy::start(driver, &[("db", "HostSNI:db.test", "", &server.url())], &[]);
        let mut client = tls_connect(proxy.https(), proxy.folder(), "db.test", &[]);
        client.write_all(b"half a message").expect("sends");
        client.sock.shutdown(Shutdown::Write).expect("an end of TCP alone");
        assert!(outcomes.recv_timeout(Duration::from_secs(20)).expect("an outcome"), "the server saw an orderly end");
        has(&proxy.access_log(1)[0], &["\"EndReason\":\"client_truncated\""]);
    }
}

#[test]
fn half_closed_client_receives_everything_and_resets_go_both_ways() {
    for driver in DRIVERS {
        let sums = Server::start(|mut stream| {
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).is_ok() {
                let _ = stream.write_all(format!("{} bytes", all.len()).as_bytes());
            }
        });
        let resets = Server::start(|mut stream| {
            let _ = stream.write_all(b"x");
            let _ = stream.read_exact(&mut [0; 1]);
            reset(stream);
        });
        let (seen, outcomes) = std::sync::mpsc::channel();
        let watches = Server::start(move |mut stream| {
            let _ = stream.write_all(b"x");
            seen.send(is_reset(&mut stream)).unwrap_or_default();
        });
        let proxy = Proxy::start(driver, &[], &[&sums.url(), &resets.url(), &watches.url()]);
        let mut client = connect(proxy.plain[0]);
        client.write_all(&vec![7; 3_000_000]).expect("sends");
        client.shutdown(Shutdown::Write).expect("half-closed");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an orderly end");
        assert_eq!(answer, "3000000 bytes");
        has(&proxy.access_log(1)[0], &["\"EndReason\":\"client_closed\"", "\"RequestContentSize\":3000000"]);

        let mut client = connect(proxy.plain[1]);
        read_exact(&mut client, b"x", "the server's byte");
        client.write_all(b"y").expect("sends");
        assert!(is_reset(&mut client), "the server's reset became an orderly end");
        has(&proxy.access_log(2)[1], &["\"EndReason\":\"server_reset\""]);

        let mut client = connect(proxy.plain[2]);
        read_exact(&mut client, b"x", "the server's byte");
        reset(client);
        assert!(
            outcomes.recv_timeout(Duration::from_secs(20)).expect("an outcome"),
            "the client's reset became an end"
        );
        has(&proxy.access_log(3)[2], &["\"EndReason\":\"client_reset\""]);
    }
}

#[test]
fn idle_connection_ends_and_active_connection_does_not() {
    for driver in DRIVERS {
        let echo = EchoServer::start(b"");
        let routes = routes(&[("db", "HostSNI:db.test", "", &echo.url())], &[&echo.url()]);
        let options = Options { top: "", idle: "1s" };
        let proxy = Proxy::with(driver, options, 1, &routes);
        let mut active = connect(proxy.plain[0]);
        let start = Instant::now();
        let mut idle = connect(proxy.plain[0]);
        let mut tls = tls_connect(proxy.https(), proxy.folder(), "db.test", &[]);
        tls.write_all(b"t").expect("sends");
        read_exact(&mut tls, b"t", "through TLS");
        for _ in 0..16 {
            active.write_all(b"a").expect("sends");
            read_exact(&mut active, b"a", "an active connection");
            std::thread::sleep(Duration::from_millis(100));
        }
        read_end(&mut idle);
        // An idle timeout ends TLS with close_notify.
        read_end(&mut tls);
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        active.write_all(b"b").expect("sends");
        read_exact(&mut active, b"b", "an active connection");
        let lines = proxy.access_log(2);
        lines.iter().take(2).for_each(|line| has(line, &["\"EndReason\":\"idle_timeout\""]));
    }
}

#[test]
fn connection_that_no_server_takes_is_reset_and_logged() {
    for driver in DRIVERS {
        let nobody = format!("tcp://127.0.0.1:{}", free_port());
        let echo = EchoServer::start(b"hi");
        let text = routes(&[], &[&nobody, &echo.url(), &echo.url()])
            + "[frontends.plain1.whiteList]\nsourceRange = [\"10.0.0.0/8\"]\n\
               [backends.plain2.maxConn]\namount = 1\nextractorFunc = \"client.ip\"\n";
        let proxy = Proxy::with(driver, Options::default(), 3, &text);
        for (number, reason) in [(0, "connect_failed"), (1, "white_list")] {
            assert!(is_reset(&mut connect(proxy.plain[number])), "{reason}");
            has(&proxy.access_log(number + 1)[number], &[&format!("\"EndReason\":\"{reason}\"")]);
        }
        let mut first = connect(proxy.plain[2]);
        read_exact(&mut first, b"hi", "the first connection");
        assert!(is_reset(&mut connect(proxy.plain[2])), "the second connection");
        has(&proxy.access_log(3)[2], &["\"EndReason\":\"connection_limit\""]);
        drop(first);
        proxy.await_idle("plain2");
        read_exact(&mut connect(proxy.plain[2]), b"hi", "a connection after the first one");
        assert_eq!(echo.0.count(), 2, "connections that were refused never reach a server");
    }
}

#[test]
fn drain_waits_for_connections_and_hand_over_keeps_them() {
    for driver in DRIVERS {
        let echo = EchoServer::start(b"");
        let routes = routes(&[], &[&echo.url()]);
        let mut proxy = Proxy::with(driver, Options { top: "graceTimeOut = \"20s\"", idle: "10m" }, 1, &routes);
        let mut client = connect(proxy.plain[0]);
        client.write_all(b"1").expect("sends");
        read_exact(&mut client, b"1", "before the hand-over");
        proxy.process.signal("USR2");
        let successor = proxy.process.successor(1);
        client.write_all(b"2").expect("sends");
        read_exact(&mut client, b"2", "in the old process");
        let mut next = connect(proxy.plain[0]);
        next.write_all(b"3").expect("sends");
        read_exact(&mut next, b"3", "in the new process");
        client.shutdown(Shutdown::Write).expect("half-closed");
        read_end(&mut client);
        proxy.process.wait(Duration::from_secs(30));
        successor.signal("TERM");
        std::thread::sleep(Duration::from_millis(500));
        next.write_all(b"4").expect("sends");
        read_exact(&mut next, b"4", "while the process drains");
        drop(next);
        successor.wait();
    }
}

#[test]
fn passed_through_tls_is_the_servers_own() {
    for driver in DRIVERS {
        let folder = tempfile::tempdir().expect("a folder");
        certificate(folder.path());
        let server = tls_echo_server(folder.path(), "own");
        let proxy = Proxy::start(driver, &[("raw", "HostSNI:raw.test", "passthrough = true", &server.url())], &[]);
        // The client trusts the certificate of the server alone: that of the proxy would fail.
        let mut client = tls_connect(proxy.https(), folder.path(), "raw.test", &["any"]);
        read_exact(&mut client, b"own", "the greeting");
        let long: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        let mut got = vec![0; long.len()];
        for (sent, received) in long.chunks(4000).zip(got.chunks_mut(4000)) {
            client.write_all(sent).expect("sends");
            client.read_exact(received).expect("the echo");
        }
        assert!(got == long);
        client.conn.send_close_notify();
        client.flush().expect("sends");
        read_end(&mut client);
        drop(client);
        has(&proxy.access_log(1)[0], &["\"RequestProtocol\":\"TCP\"", "\"RequestHost\":\"raw.test\""]);
    }
}
