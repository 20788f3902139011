//! UDP sessions: answers, addresses, white lists, strangers, servers that refuse or leave, bounds.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::support::ringway::{DRIVERS, run_with_config};
use crate::udp_peers::{
    Answer, Dns, Options, Server, UdpProxy, ask, client, dig, dynamic, free_udp_port, is_silent, receive,
};

#[test]
fn dig_gets_the_answer_over_both_families_and_from_each_local_address() {
    let Some(dns) = Dns::start() else { return };
    for driver in DRIVERS {
        let server = format!("udp://127.0.0.1:{}", dns.port);
        let proxy = UdpProxy::start(driver, &[&server], Options::default());
        for host in ["127.0.0.1", "127.0.0.9", "::1"] {
            assert_eq!(dig(host, proxy.port, &[]).trim(), "192.0.2.7", "{driver}: {host}");
        }
        let many: Vec<&str> = ["one.test"; 40].to_vec();
        let answers = dig("127.0.0.1", proxy.port, &many);
        assert_eq!(answers.matches("192.0.2.7").count(), 41, "{driver}: {answers}");
        assert_eq!(proxy.dropped("server_failed") + proxy.dropped("client_unreachable"), 0);
    }
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::Named);
        let proxy = UdpProxy::start(driver, &[&server.url()], Options::default());
        let one = client("127.0.0.1");
        for round in 0..3 {
            for host in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
                assert_eq!(ask(&one, proxy.at(host), &format!("{host} {round}")), format!("a {host} {round}"));
            }
        }
        assert_eq!(
            server.sources.lock().expect("no panic").len(),
            9,
            "the server sees a socket for each address in turn"
        );
        assert_eq!(proxy.metric("ringway_udp_sessions_total{backend=\"udp\"}"), 3);
        assert_eq!(ask(&client("::1"), proxy.at("::1"), "six"), "a six");
        // An entry point on one address takes datagrams for no other.
        let proxy = UdpProxy::start(driver, &[&server.url()], Options { listen: "127.0.0.4", ..Options::default() });
        assert_eq!(ask(&one, proxy.at("127.0.0.4"), "own"), "a own");
        one.send_to(b"other", proxy.at("127.0.0.5")).expect("sent");
        assert!(is_silent(&one));
    }
}

#[test]
fn server_on_ipv6_answers_clients_of_both_families() {
    for driver in DRIVERS {
        let server = Server::on(UdpSocket::bind("[::1]:0").expect("a port"), "six", Answer::Named);
        let proxy = UdpProxy::start(driver, &[&server.url()], Options::default());
        for host in ["127.0.0.1", "::1"] {
            assert_eq!(ask(&client(host), proxy.at(host), host), format!("six {host}"), "{driver}");
        }
    }
}

#[test]
fn datagrams_of_all_sizes_arrive_unchanged() {
    for driver in DRIVERS {
        let server = Server::start("", Answer::Echo);
        let proxy = UdpProxy::start(driver, &[&server.url()], Options::default());
        let one = client("127.0.0.1");
        for size in [0, 1, 511, 1232, 1420, 1500, 9000, 40_000, 65_507] {
            let sent: Vec<u8> = (0..size).map(|n: usize| (n * 7 + size) as u8).collect();
            one.send_to(&sent, proxy.at("127.0.0.1")).expect("sent");
            let mut buffer = vec![0; 65_536];
            let received = one.recv(&mut buffer).unwrap_or_else(|e| panic!("{driver}: {size} bytes: {e}"));
            assert!(buffer[..received] == sent, "{driver}: {size} bytes became {received}, or others");
        }
    }
}

#[test]
fn white_list_drops_datagrams_of_other_clients() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::Named);
        let frontend = "[frontends.udp.whiteList]\nsourceRange = [\"127.0.0.2\"]";
        let proxy = UdpProxy::start(driver, &[&server.url()], Options { frontend, ..Options::default() });
        assert_eq!(ask(&client("127.0.0.2"), proxy.at("127.0.0.1"), "x"), "a x");
        let denied = client("127.0.0.3");
        denied.send_to(b"y", proxy.at("127.0.0.1")).expect("sent");
        assert!(is_silent(&denied));
        assert_eq!((server.count(), proxy.dropped("white_list")), (1, 1), "{driver}");
    }
}

#[test]
fn strangers_reach_neither_a_session_nor_its_client() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::Named);
        let proxy = UdpProxy::start(driver, &[&server.url()], Options::default());
        let one = client("127.0.0.1");
        assert_eq!(ask(&one, proxy.at("127.0.0.1"), "1"), "a 1");
        let session = server.sources.lock().expect("no panic")[0];
        // The session's socket is known to somebody who is not its server: from another port, and from another address.
        for host in ["127.0.0.1", "127.0.0.6"] {
            client(host).send_to(b"forged", session).expect("sent");
        }
        assert!(is_silent(&one), "{driver}");
        assert_eq!(ask(&one, proxy.at("127.0.0.1"), "2"), "a 2");
        assert_eq!(proxy.metric("ringway_udp_datagrams_total{direction=\"out\",entrypoint=\"dns\"}"), 2);
    }
}

#[test]
fn sessions_are_balanced_and_sticky_by_address() {
    for driver in DRIVERS {
        let servers = [Server::start("a", Answer::Named), Server::start("b", Answer::Named)];
        let urls: Vec<String> = servers.iter().map(Server::url).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let proxy = UdpProxy::start(driver, &urls, Options::default());
        let mut seen = Vec::new();
        for _ in 0..8 {
            let one = client("127.0.0.1");
            let first = ask(&one, proxy.at("127.0.0.1"), "x");
            assert_eq!(ask(&one, proxy.at("127.0.0.1"), "x"), first, "a session keeps its server");
            seen.push(first);
        }
        assert_eq!(seen.iter().filter(|answer| *answer == "a x").count(), 4, "{driver}: {seen:?}");
        let backend = "[backends.udp.loadBalancer.stickiness]";
        let options = Options { backend, ..Options::default() };
        let proxy = UdpProxy::start(driver, &urls, options);
        let own = |host: &str| {
            let answers: Vec<String> = (0..6).map(|_| ask(&client(host), proxy.at("127.0.0.1"), "x")).collect();
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{driver}: {host}: {answers:?}");
            answers[0].clone()
        };
        let servers: Vec<String> = (1..20).map(|n| own(&format!("127.0.1.{n}"))).collect();
        assert!(servers.iter().any(|server| *server != servers[0]), "all clients have one server: {servers:?}");
    }
}

#[test]
fn server_that_refuses_loses_no_query_and_is_ejected() {
    let Some(dns) = Dns::start() else { return };
    for driver in DRIVERS {
        let closed = format!("udp://127.0.0.1:{}", free_udp_port());
        let open = format!("udp://127.0.0.1:{}", dns.port);
        let proxy = UdpProxy::start(driver, &[&closed, &open], Options { entry: SHORT, ..Options::default() });
        for number in 0..12 {
            assert_eq!(dig("127.0.0.1", proxy.port, &[]).trim(), "192.0.2.7", "{driver}: query {number}");
        }
        // Three refusals in a row eject the server: the other sessions do not come to it.
        proxy.ringway.await_log("server refuses datagrams: its port is closed", 1);
        let lines = proxy.log_lines(12);
        let moved = lines.iter().filter(|line| line["RetryAttempts"] == 1).count();
        assert_eq!(moved, 3, "{driver}: {lines:?}");
        assert!(lines.iter().all(|line| line["BackendURL"]["Host"] == format!("127.0.0.1:{}", dns.port)));
        assert!(lines.iter().all(|line| line["EndReason"] == "idle_timeout"), "{lines:?}");
    }
}

#[test]
fn datagrams_without_a_server_are_counted_and_logged_once() {
    for driver in DRIVERS {
        let closed = format!("udp://127.0.0.1:{}", free_udp_port());
        let proxy = UdpProxy::start(driver, &[&closed], Options::default());
        for _ in 0..3 {
            client("127.0.0.1").send_to(b"x", proxy.at("127.0.0.1")).expect("sent");
        }
        proxy.await_metric("ringway_udp_sessions_ended_total{reason=\"connect_failed\"}", |ended| ended == 3);
        proxy.ringway.await_log("datagrams dropped: no server takes them", 1);
        assert_eq!(proxy.ringway.log().matches("datagrams dropped").count(), 1);
        proxy.configure(&[], Options::default());
        client("127.0.0.1").send_to(b"x", proxy.at("127.0.0.1")).expect("sent");
        proxy.await_metric("ringway_udp_datagrams_dropped_total{entrypoint=\"dns\",reason=\"no_server\"}", |count| {
            count == 1
        });
    }
}

/// An entry point whose sessions end early.
const SHORT: &str = "[entryPoints.dns.udp]\ntimeout = \"1s\"";

#[test]
fn idle_session_ends_with_a_log_line() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::Named);
        let proxy = UdpProxy::start(driver, &[&server.url()], Options { entry: SHORT, ..Options::default() });
        let one = client("127.0.0.1");
        let start = Instant::now();
        for _ in 0..4 {
            assert_eq!(ask(&one, proxy.at("127.0.0.1"), "four"), "a four");
            std::thread::sleep(Duration::from_millis(400));
        }
        let line = proxy.log_lines(1).remove(0);
        assert!(start.elapsed() >= Duration::from_millis(2200), "each datagram gives the session another second");
        let expected = serde_json::json!({
            "BackendName": "udp", "ClientHost": "127.0.0.1", "DownstreamContentSize": 24, "RequestContentSize": 16,
            "EndReason": "idle_timeout", "FrontendName": "udp", "RequestProtocol": "UDP", "RetryAttempts": 0,
            "BackendAddr": server.address.to_string(), "ClientAddr": one.local_addr().expect("bound").to_string(),
        });
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(&line[key], value, "{driver}: {key} of {line}");
        }
        assert_eq!(proxy.metric("ringway_udp_sessions_open{backend=\"udp\"}"), 0);
        assert_eq!(ask(&one, proxy.at("127.0.0.1"), "new"), "a new");
        assert_eq!(server.sources.lock().expect("no panic").len(), 2, "another session has another socket");
    }
}

#[test]
fn replaced_server_loses_no_datagram_and_its_late_answers_arrive() {
    for driver in DRIVERS {
        let old = Server::start("old", Answer::Late(Duration::from_millis(400)));
        let new = Server::start("new", Answer::Named);
        let proxy = UdpProxy::start(driver, &[&old.url()], Options::default());
        let one = client("127.0.0.1");
        let (mut sent, mut answers) = (0, Vec::new());
        let mut send = |count: usize| {
            for _ in 0..count {
                one.send_to(format!("{sent}").as_bytes(), proxy.at("127.0.0.1")).expect("sent");
                sent += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        send(30);
        proxy.configure(&[&new.url()], Options::default());
        send(50);
        one.set_read_timeout(Some(Duration::from_millis(800))).expect("set");
        while let Some((answer, _)) = receive(&one) {
            answers.push(answer);
        }
        for number in 0..sent {
            let count = answers.iter().filter(|answer| answer.split(' ').nth(1) == Some(&number.to_string())).count();
            assert_eq!(count, 1, "{driver}: datagram {number} of {sent}: {answers:?}");
        }
        assert!(answers.iter().filter(|answer| answer.starts_with("new ")).count() >= 40, "{answers:?}");
        let line = proxy.log_lines(1).remove(0);
        assert_eq!(line["EndReason"], "server_removed", "{driver}: {line}");
    }
}

/// The bound of a process with one worker: half of its descriptors and three quarters of the local ports limit it.
fn sessions_max(proxy: &UdpProxy) -> u64 {
    let numbers = |file: &str, line: &str| -> Vec<u64> {
        let text = std::fs::read_to_string(file).expect("a file of the kernel");
        let line = text.lines().find_map(|found| found.strip_prefix(line)).expect("a line");
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let descriptors = numbers(&format!("/proc/{}/limits", proxy.ringway.pid()), "Max open files")[0];
    let ports = numbers("/proc/sys/net/ipv4/ip_local_port_range", "");
    16_384.min(descriptors / 2).min((ports[1] - ports[0] + 1) / 4 * 3)
}

#[test]
fn sessions_of_a_worker_are_bounded() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::Nothing);
        let proxy = UdpProxy::start(driver, &[&server.url()], Options { global: "workers = 1", ..Options::default() });
        let bound = sessions_max(&proxy);
        let asked = proxy.at("127.0.0.1");
        let first = client("127.0.0.1");
        first.send_to(b"first", asked).expect("sent");
        let mut sent: u64 = 1;
        // At the pace of the proxy, and few at a time: the buffer of its socket, which may be 208 KiB, must take all of them.
        while sent < bound + 200 {
            for _ in 0..100 {
                let host = format!("127.1.{}.{}", sent % 200, 1 + sent / 200 % 200);
                UdpSocket::bind((host, 0)).and_then(|one| one.send_to(b"x", asked)).expect("sent");
                sent += 1;
            }
            let total = sent;
            proxy.await_metric("ringway_udp_sessions_total{backend=\"udp\"}", |count| count == total);
        }
        assert_eq!(proxy.metric("ringway_udp_sessions_open{backend=\"udp\"}"), bound, "{driver}");
        let evicted = proxy.metric("ringway_udp_sessions_ended_total{reason=\"evicted\"}");
        assert_eq!(evicted, sent - bound, "{driver}");
        assert_eq!(proxy.metric("ringway_bounds_exceeded_total{bound=\"udp_sessions_per_worker\"}"), evicted);
        assert_eq!(proxy.log_lines(1)[0]["ClientAddr"], first.local_addr().expect("bound").to_string());
        let resident = proxy.ringway.resident_kib();
        println!("{driver}: {bound} sessions, {resident} KiB resident");
        assert!(resident < 160 * 1024, "{driver}: {resident} KiB");
    }
}

#[test]
fn check_names_what_a_udp_entry_point_cannot_have() {
    for (entry, text) in
        [("[entryPoints.dns.tls]", "tls"), ("[entryPoints.dns.proxyProtocol]\ninsecure = true", "proxyProtocol")]
    {
        let config = format!("[entryPoints.dns]\naddress = \":0/udp\"\n{entry}\n");
        let (_, said) = run_with_config(&["check"], &config);
        assert!(said.contains("dns") && said.contains(text), "{entry}: {said}");
    }
    let (code, said) = run_with_config(&["check"], "[entryPoints.dns]\naddress = \":0/udp\"\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(dynamic(&["udp://a:1"], Options::default()).contains("udp://a:1"));
}
