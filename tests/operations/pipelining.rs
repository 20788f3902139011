//! The proxy stops reading from a client that sends request after request and reads no response: the client costs little memory, no other
//! client loses a request, and each response arrives once the client reads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::http::Client;
use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::wait_for;

/// A single worker, so that the other clients' requests use the same ring.
const CONFIG: &str = r#"
workers = 1
[entryPoints.http]
address = "127.0.0.1:@http@"
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

/// Several times as many as the sockets can hold responses, which repeat the requests.
const REQUESTS: usize = 10_000;
const PADDING: usize = 2000;
/// The requests are 20 MB, the responses as many.
const GROWTH_KIB_MAX: u64 = 6 * 1024;

/// Connects with small socket buffers, so that the proxy soon meets backpressure.
fn connect(proxy: &Ringway) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small queue");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], proxy.http)).into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
    stream
}

/// Sends all requests, the last of which closes; blocks while the proxy does not read.
fn flood(mut stream: &TcpStream) {
    let padding = "p".repeat(PADDING);
    for n in 0..REQUESTS {
        let end = if n + 1 == REQUESTS { "Connection: close\r\n" } else { "" };
        let request = format!("GET /{n} HTTP/1.1\r\nHost: a.test\r\nX-Padding: {padding}\r\n{end}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
    }
}

/// Waits until no further request has arrived at the origin for two seconds; returns their number.
fn await_standstill(origin: &Origin) -> usize {
    let (mut last, mut looks) = (0, 0);
    wait_for("the proxy stops asking", Duration::from_secs(60), || {
        let now = origin.requests.load(SeqCst);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
        if looks == 20 { Ok(now) } else { Err(format!("{now} requests so far")) }
    })
}

/// Reads the next response's body: the request's head as the origin got it.
fn answer(reader: &mut impl BufRead) -> String {
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).expect("an answer") > 0, "the connection ended in {head:?}");
        head.push_str(&line);
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("text")
}

#[test]
fn pipelined_flood_waits_in_the_client_sockets() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        let mut other = Client::to(proxy.http);
        assert_eq!(other.get("a.test", "/other").status, 200, "{driver}");
        let before = proxy.resident_kib();

        let stream = connect(&proxy);
        thread::scope(|scope| {
            scope.spawn(|| flood(&stream));
            let asked = await_standstill(&origin);
            assert!(asked < REQUESTS, "{driver}: {asked} requests were asked for one who takes no answer");
            for n in 0..50 {
                assert_eq!(other.get("a.test", &format!("/other/{n}")).status, 200, "{driver}: another client");
            }

            let mut reader = BufReader::new(&stream);
            for n in 0..REQUESTS {
                let body = answer(&mut reader);
                assert!(body.starts_with(&format!("GET /{n} HTTP/1.1\r\n")), "{driver}: answer {n} is to {body:.60}");
            }
            assert_eq!(reader.read(&mut [0]).expect("the end"), 0, "{driver}: nothing follows the last answer");
        });
        let grown = proxy.peak_kib().saturating_sub(before);
        assert!(grown < GROWTH_KIB_MAX, "{driver}: {grown} KiB more");
    }
}
