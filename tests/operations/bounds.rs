//! A message or wait above a limit has its defined result, and its counter on the running proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::http::Client;
use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::wait_for;

/// The minimum data rate of a body is checked after one second, the time of the whole body after three.
const CONFIG: &str = r#"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[metrics.prometheus]
[ping]
[respondingTimeouts]
readTimeout = "3s"
writeTimeout = "1s"
idleTimeout = "2s"
[accessLog]
filePath = "/dev/full"
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
[backends.small.servers.a]
url = "http://@origin@"
[backends.small.buffering]
maxRequestBodyBytes = 4
[frontends.small]
priority = 100
backend = "small"
[frontends.small.routes.r]
rule = "Host:small"
[frontends.long]
backend = "one"
[frontends.long.routes.r]
rule = "Host:@long@"
[frontends.many]
backend = "one"
[frontends.many.routes.r]
rule = "PathPrefix:@many@"
[frontends.large]
backend = "one"
[frontends.large.routes.r]
rule = "HeadersRegexp:A,\\pL{1000}"
"#;

fn start(driver: &str, origin: &Origin) -> Ringway {
    let setup = Setup::new(driver, CONFIG).fill("@origin@", origin.address);
    setup.fill("@long@", "a.test,".repeat(10_000)).fill("@many@", "/{n:[0-9]+}".repeat(65)).start()
}

fn counted(proxy: &Ringway, bound: &str) -> u64 {
    let start = format!("ringway_bounds_exceeded_total{{bound=\"{bound}\"}} ");
    let page = proxy.page("/metrics");
    let count = page.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok());
    count.unwrap_or_else(|| panic!("{bound} is not on the page: {page}"))
}

fn await_count(proxy: &Ringway, bound: &str, count: u64) {
    wait_for(bound, Duration::from_secs(15), || match counted(proxy, bound) {
        now if now == count => Ok(()),
        now => Err(format!("counted {now} times where {count} are expected: {}", proxy.log())),
    });
}

/// Sends `text`, and `more` every 100 ms, until the proxy closes or responds; returns the response.
fn response_while_sending(port: u16, text: &str, more: &[u8]) -> String {
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    client.write_all(text.as_bytes()).expect("sent");
    client.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
    let mut got = [0; 512];
    for _ in 0..150 {
        match client.read(&mut got) {
            Ok(bytes) => return String::from_utf8_lossy(&got[..bytes]).into_owned(),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock) => {}
            Err(_) => return String::new(),
        }
        let _ = client.write_all(more);
    }
    panic!("neither closed nor answered");
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
const SHORT_POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n";

#[test]
fn slow_clients_are_timed_out_and_counted() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        // The longest limit first: it elapses while the others are tested.
        let mut silent = TcpStream::connect(("127.0.0.1", proxy.https)).expect("connected");
        for bound in ["head_read_secs", "handshake_secs", "stalled_body_secs", "body_bytes_per_stall", "body_read_secs"]
        {
            assert_eq!(counted(&proxy, bound), 0, "{driver}: {bound}");
        }
        assert_eq!(
            response_while_sending(proxy.http, "GET / HTTP/1.1\r\nHo", b""),
            "",
            "{driver}: closed without a response"
        );
        await_count(&proxy, "head_read_secs", 1);
        assert!(response_while_sending(proxy.http, POST, b"").starts_with("HTTP/1.1 408 "), "{driver}: a stalled body");
        await_count(&proxy, "stalled_body_secs", 1);
        assert!(
            response_while_sending(proxy.http, SHORT_POST, b"x").starts_with("HTTP/1.1 408 "),
            "{driver}: a body that drips"
        );
        await_count(&proxy, "body_bytes_per_stall", 1);
        assert!(
            response_while_sending(proxy.http, POST, &[b'x'; 2000]).starts_with("HTTP/1.1 408 "),
            "{driver}: a body that never ends"
        );
        await_count(&proxy, "body_read_secs", 1);
        let idle_before = counted(&proxy, "idle_secs");
        assert_eq!(response_while_sending(proxy.http, "", b""), "", "{driver}: an idle client");
        assert!(counted(&proxy, "idle_secs") > idle_before, "{driver}");
        silent.set_read_timeout(Some(Duration::from_secs(15))).expect("a time limit");
        assert!(matches!(silent.read(&mut [0; 16]), Ok(0) | Err(_)), "{driver}: no handshake, no connection");
        await_count(&proxy, "handshake_secs", 1);
        assert_eq!(counted(&proxy, "head_read_secs"), 1, "{driver}: each for its own bound");
    }
}

#[test]
fn oversized_messages_are_refused_and_counted() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        // Excess entries of the configuration count once each; another reload of the same file does not count.
        for bound in ["rule_bytes", "rule_expressions", "regex_program_bytes"] {
            await_count(&proxy, bound, 1);
        }
        assert_eq!(Client::to(proxy.http).send("POST", "small", "/", "12345").status, 413, "{driver}");
        await_count(&proxy, "buffered_body_bytes", 1);
        let unannounced = "POST / HTTP/1.1\r\nHost: small\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n";
        assert!(response_while_sending(proxy.http, unannounced, b"").starts_with("HTTP/1.1 413 "), "{driver}");
        await_count(&proxy, "buffered_body_bytes", 2);
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert!(response_while_sending(proxy.http, chunked, b"").starts_with("HTTP/1.1 400 "), "{driver}");
        await_count(&proxy, "chunk_framing", 1);
    }
}

/// Returns a listener with a full queue, so that the kernel accepts no further connection, and the connections in it.
fn full_port() -> (Socket, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(0).expect("listening");
    let address = address_of(&socket);
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
    let waiting = std::iter::from_fn(connect).take(100).collect::<Vec<_>>();
    assert!(waiting.len() < 100, "its queue has no end");
    (socket, waiting)
}

fn address_of(socket: &Socket) -> SocketAddr {
    socket.local_addr().expect("bound").as_socket().expect("an address")
}

#[test]
fn slow_servers_are_timed_out_and_counted() {
    let waiting = "\n[forwardingTimeouts]\ndialTimeout = \"1s\"\nresponseHeaderTimeout = \"2s\"\n";
    let config = CONFIG.replace("\n[accessLog]", &format!("{waiting}[accessLog]"));
    // The upload takes three seconds, so the clients' time-outs are removed.
    let config = config.replace("readTimeout = \"3s\"\nwriteTimeout = \"1s\"\n", "");
    let backends = r#"
[backends.full.servers.a]
url = "http://@full@"
[backends.mute.servers.a]
url = "http://@mute@"
[frontends.full]
priority = 100
backend = "full"
[frontends.full.routes.r]
rule = "Host:full"
[frontends.mute]
priority = 100
backend = "mute"
[frontends.mute.routes.r]
rule = "Host:mute"
"#;
    let (full, _waiting) = full_port();
    // The kernel accepts connections to this listener, and no program reads from them.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    for driver in DRIVERS {
        let origin = Origin::start();
        let setup = Setup::new(driver, &format!("{config}{backends}")).fill("@origin@", origin.address);
        let setup = setup.fill("@full@", address_of(&full)).fill("@mute@", mute.local_addr().expect("bound"));
        let proxy = setup.fill("@long@", "a.test").fill("@many@", "/many").start();
        for (host, bound) in [("full", "dial_secs"), ("mute", "response_header_secs")] {
            let before = counted(&proxy, bound);
            assert_eq!(Client::to(proxy.http).get(host, "/").status, 504, "{driver}: {host}");
            assert_eq!(counted(&proxy, bound), before + 1, "{driver}: {bound}");
        }
        // The server's time-out does not run before the whole request was sent.
        let answer = slow_upload(proxy.http);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{driver}: {answer}");
    }
}

/// Returns the response to a request whose body takes three seconds.
fn slow_upload(port: u16) -> String {
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).expect("sent");
    for byte in b"hello" {
        std::thread::sleep(Duration::from_millis(600));
        client.write_all(&[*byte]).expect("sent");
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer and the end");
    answer
}

#[test]
fn access_log_lines_lost_to_a_full_disk_are_counted() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let before = counted(&proxy, "log_file_bytes");
        let mut client = Client::to(proxy.http);
        (0..50).for_each(|_| assert_eq!(client.get("a", "/").status, 200, "{driver}"));
        wait_for("the lines are counted", Duration::from_secs(10), || match counted(&proxy, "log_file_bytes") {
            now if now >= before + 50 => Ok(()),
            now => Err(format!("{before}, then {now}")),
        });
        assert_eq!(counted(&proxy, "log_queue_bytes"), 0, "{driver}: the lines were written, not queued");
    }
}
