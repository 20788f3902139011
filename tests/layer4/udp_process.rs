//! UDP and the process: floods, shutdown, hand-over, sockets that another process uses.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::ringway::DRIVERS;
use crate::support::wait_for;
use crate::udp_peers::{Answer, Options, Server, UdpProxy, ask, client, free_udp_port, receive};

/// The size of WireGuard's packets on a path of 1,500 bytes.
const PACKET_BYTES: usize = 1420;

/// The datagrams that the kernel dropped at the socket bound to this port.
fn kernel_drops(port: u16) -> u64 {
    let wanted = format!(":{port:04X}");
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .flat_map(|file| fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&wanted)))
        .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
        .sum()
}

#[test]
fn each_packet_of_a_flood_arrives_or_is_counted_as_dropped() {
    const PACKETS: u64 = 60_000;
    for driver in DRIVERS {
        let server = Server::start("", Answer::Echo);
        let entry = "[entryPoints.dns.udp]\ntimeout = \"1s\"";
        let proxy = UdpProxy::start(driver, &[&server.url()], Options { entry, ..Options::default() });
        let one = client("127.0.0.1");
        one.connect(proxy.at("127.0.0.1")).expect("connected");
        let answers = Arc::new(AtomicBool::new(false));
        let reader = {
            let (one, is_over) = (one.try_clone().expect("a handle"), Arc::clone(&answers));
            std::thread::spawn(move || {
                one.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
                let (mut buffer, mut count) = ([0; 2048], 0_u64);
                loop {
                    match one.recv(&mut buffer) {
                        Ok(bytes) => {
                            assert_eq!(bytes, PACKET_BYTES);
                            count += 1;
                        }
                        Err(_) if is_over.load(Relaxed) => return count,
                        Err(_) => {}
                    }
                }
            })
        };
        let start = Instant::now();
        let packet = [0x57; PACKET_BYTES];
        for number in 0..PACKETS {
            one.send(&packet).expect("sent");
            // A sender without pauses takes the core that the proxy needs.
            if number % 64 == 63 {
                std::thread::yield_now();
            }
            // Requests are served meanwhile.
            if number % 20_000 == 10_000 {
                assert_eq!(proxy.ringway.page("/ping"), "OK", "{driver}");
            }
        }
        answers.store(true, Relaxed);
        let returned = reader.join().expect("no panic");
        let elapsed = start.elapsed();
        // The answers that the kernel dropped at the session's socket are counted when the session ends.
        proxy.log_lines(1);
        std::thread::sleep(Duration::from_millis(1200));
        let series = |direction: &str| {
            proxy.metric(&format!("ringway_udp_datagrams_total{{direction=\"{direction}\",entrypoint=\"dns\"}}"))
        };
        let (passed_in, passed_out) = (series("in"), series("out"));
        let not_received = proxy.dropped("receive_buffer");
        println!(
            "{driver}: {PACKETS} packets in {elapsed:?}: {passed_in} to the server, {not_received} dropped by the kernel before the \
             proxy, {} at the server, {passed_out} answers, {returned} at the client",
            kernel_drops(server.address.port())
        );
        assert_eq!(
            passed_in + not_received,
            PACKETS,
            "{driver}: each packet was passed on, or dropped in the full buffer"
        );
        assert_eq!(
            server.count() + kernel_drops(server.address.port()),
            passed_in,
            "{driver}: what the server did not read"
        );
        let not_read = proxy.dropped("answer_buffer");
        println!("{driver}: {not_read} answers dropped by the kernel at the session's socket");
        assert_eq!(
            passed_out + not_read,
            server.count(),
            "{driver}: each answer was passed on, or dropped in the full buffer"
        );
        let at_client = kernel_drops(one.local_addr().expect("bound").port());
        assert_eq!(returned + at_client, passed_out, "{driver}: what the client did not read");
        assert!(passed_in > 1000 && returned > 0, "{driver}: most packets were lost");
        assert_eq!(proxy.metric("ringway_udp_sessions_total{backend=\"udp\"}"), 1);
        assert!(proxy.ringway.peak_kib() < 160 * 1024, "{driver}: {} KiB", proxy.ringway.peak_kib());
        for reason in ["no_frontend", "server_failed", "client_unreachable", "send_buffer", "shortage", "forged_source"]
        {
            assert_eq!(proxy.dropped(reason), 0, "{driver}: {reason}");
        }
    }
}

#[test]
fn answers_under_way_go_out_before_the_process_ends() {
    for driver in DRIVERS {
        let server = Server::start("late", Answer::Late(Duration::from_millis(900)));
        let mut proxy = UdpProxy::start(driver, &[&server.url()], Options::default());
        let one = client("127.0.0.1");
        one.send_to(b"x", proxy.at("127.0.0.1")).expect("sent");
        wait_for("the server has it", Duration::from_secs(5), || {
            if server.count() == 1 { Ok(()) } else { Err(String::new()) }
        });
        proxy.ringway.signal("TERM");
        assert_eq!(receive(&one).map(|(answer, _)| answer).as_deref(), Some("late x"), "{driver}");
        assert!(proxy.ringway.wait(Duration::from_secs(8)).success());
        assert_eq!(proxy.log_lines(1)[0]["EndReason"], "shutdown");
    }
}

#[test]
fn session_without_an_answer_holds_the_end_up_for_five_seconds_at_most() {
    for driver in DRIVERS {
        let server = Server::start("", Answer::Nothing);
        let mut proxy = UdpProxy::start(driver, &[&server.url()], Options::default());
        client("127.0.0.1").send_to(b"x", proxy.at("127.0.0.1")).expect("sent");
        wait_for("the server has it", Duration::from_secs(5), || {
            if server.count() == 1 { Ok(()) } else { Err(String::new()) }
        });
        let start = Instant::now();
        proxy.ringway.signal("TERM");
        assert!(proxy.ringway.wait(Duration::from_secs(20)).success());
        assert!(start.elapsed() < Duration::from_secs(9), "{driver}: {:?}", start.elapsed());
    }
}

/// Asks every few milliseconds until told to end. Returns the queries without an answer.
fn ask_on(asked: SocketAddr, is_over: &AtomicBool) -> (usize, Vec<usize>) {
    let (mut number, mut lost) = (0, Vec::new());
    while !is_over.load(Relaxed) {
        // Each query comes from a port of its own, as those of a resolver.
        let one = UdpSocket::bind("127.0.0.1:0").expect("a port");
        one.set_read_timeout(Some(Duration::from_secs(3))).expect("set");
        one.send_to(number.to_string().as_bytes(), asked).expect("sent");
        match receive(&one) {
            Some((answer, _)) => assert_eq!(answer, format!("a {number}")),
            None => lost.push(number),
        }
        number += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    (number, lost)
}

#[test]
fn hand_over_loses_no_query_and_old_sessions_keep_their_answers() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::LateIfSlow(Duration::from_secs(7)));
        let entry = "[entryPoints.dns.udp]\ntimeout = \"9s\"";
        let mut proxy = UdpProxy::start(driver, &[&server.url()], Options { entry, ..Options::default() });
        let is_over = Arc::new(AtomicBool::new(false));
        let asking = {
            let (asked, is_over) = (proxy.at("127.0.0.1"), Arc::clone(&is_over));
            std::thread::spawn(move || ask_on(asked, &is_over))
        };
        std::thread::sleep(Duration::from_millis(200));
        let waiting = client("127.0.0.7");
        waiting.send_to(b"slow", proxy.at("127.0.0.3")).expect("sent");
        proxy.ringway.signal("USR2");
        let successor = proxy.ringway.successor(1);
        let (answer, source) = receive(&waiting).expect("the old session's answer");
        assert_eq!((answer.as_str(), source), ("a slow", proxy.at("127.0.0.3")), "{driver}");
        is_over.store(true, Relaxed);
        let (count, lost) = asking.join().expect("no panic");
        assert!(lost.is_empty() && count > 50, "{driver}: {lost:?} of {count} queries have no answer");
        assert!(
            proxy.ringway.wait(Duration::from_secs(30)).success(),
            "the old process ends when its sessions are idle"
        );
        assert_eq!(ask(&client("127.0.0.1"), proxy.at("127.0.0.1"), "alone"), "a alone");
        successor.signal("TERM");
        successor.wait();
    }
}

#[test]
fn socket_of_systemd_is_used_and_its_datagrams_wait_for_the_process() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::Named);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).expect("an inheritable descriptor");
        let one = client("127.0.0.1");
        let asked = socket.local_addr().expect("bound");
        one.send_to(b"early", asked).expect("sent");
        let (script, fd) = ("exec 3<&$1; shift; LISTEN_PID=$$ exec \"$@\"", socket.as_raw_fd().to_string());
        // The entry point's own address is another one: the name decides.
        let setup = UdpProxy::setup(driver, free_udp_port(), &[&server.url()], Options::default());
        let setup =
            setup.under(&["bash", "-c", script, "activated", &fd]).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "dns");
        let _proxy = UdpProxy::of(setup, asked.port());
        let (answer, source) = receive(&one).expect("an answer to what was sent before the start");
        assert_eq!((answer.as_str(), source), ("a early", asked), "{driver}");
        assert_eq!(ask(&one, asked, "late"), "a late");
    }
}

#[test]
fn descriptors_are_left_to_connections() {
    for driver in DRIVERS {
        let server = Server::start("a", Answer::Named);
        let (port, options) = (free_udp_port(), Options { global: "workers = 1", ..Options::default() });
        let setup = UdpProxy::setup(driver, port, &[&server.url()], options).under(&["prlimit", "--nofile=256:256"]);
        let proxy = UdpProxy::of(setup, port);
        // More clients than the process has descriptors.
        for number in 0..400 {
            let one = client("127.0.0.1");
            assert_eq!(ask(&one, proxy.at("127.0.0.1"), "x"), "a x", "{driver}: client {number}");
        }
        assert_eq!(proxy.metric("ringway_udp_sessions_open{backend=\"udp\"}"), 128, "{driver}");
        assert_eq!(proxy.dropped("shortage"), 0, "{driver}");
        assert_eq!(proxy.ringway.page("/ping"), "OK");
    }
}

#[test]
fn address_that_another_process_uses_ends_the_start() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let config = format!("[entryPoints.dns]\naddress = \"127.0.0.1:{port}/udp\"\n");
    let (code, said) = crate::support::ringway::run_with_config(&[], &config);
    assert_eq!(code, Some(1));
    assert!(said.contains("entry point dns") && said.contains("stop the other process"), "{said}");
}
