//! Large bodies, many clients, and clients that abort: every client gets its own response, whole.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::DRIVERS;
use crate::client::{Client, find};
use crate::proxy::{Options, Proxy, routes};

const BYTES: usize = 100 << 20;
const CLIENTS: usize = 500;

/// Starts an origin server that echoes each request's body as it arrives. Its listen backlog holds all clients at once: a backlog of 128
/// overflows on a busy machine; the kernel then repeats the handshakes after 1, 3, 7 and 15 seconds, and a response comes too late.
fn echo() -> u16 {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).and_then(|()| socket.listen(4 * CLIENTS as i32)).expect("a listener");
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo_one(stream));
        }
    });
    port
}

fn echo_one(mut stream: std::net::TcpStream) -> Option<()> {
    let mut inbox = Vec::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        let head = loop {
            if let Some(at) = find(&inbox, b"\r\n\r\n") {
                break inbox.drain(..at + 4).collect::<Vec<u8>>();
            }
            match stream.read(&mut piece) {
                Ok(bytes @ 1..) => inbox.extend_from_slice(&piece[..bytes]),
                _ => return None,
            }
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut left: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").as_bytes()).ok()?;
        while left > 0 {
            if inbox.is_empty() {
                let bytes = stream.read(&mut piece).ok().filter(|&bytes| bytes > 0)?;
                inbox.extend_from_slice(&piece[..bytes]);
            }
            let now = inbox.len().min(left);
            stream.write_all(&inbox[..now]).ok()?;
            inbox.drain(..now);
            left -= now;
        }
    }
}

fn proxy_before(origin: u16, driver: &str) -> Proxy {
    let proxy = Proxy::start(driver);
    std::fs::write(proxy.routes_file(), routes(origin, &Options::default())).expect("the routes");
    let end = std::time::Instant::now() + Duration::from_secs(10);
    // The scripted origin responds with `ok`, the echo with an empty body.
    while !proxy.get("/is-it-the-echo").body.is_empty() {
        assert!(std::time::Instant::now() < end, "the routes did not change");
        thread::sleep(Duration::from_millis(50));
    }
    proxy
}

/// Both directions at once: the response begins while the request body is still being sent.
#[test]
fn large_body_both_ways_at_once_arrives_intact() {
    let origin = echo();
    for driver in DRIVERS {
        let proxy = proxy_before(origin, driver);
        let mut client = proxy.client();
        let mut sender = client.stream.try_clone().expect("the connection twice");
        let sending = thread::spawn(move || {
            sender.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes())?;
            let block = pattern();
            (0..BYTES / block.len()).try_for_each(|_| sender.write_all(&block))
        });
        client.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let mut piece = vec![0; 1 << 20];
        let mut received = Vec::with_capacity(BYTES + 4096);
        let head = loop {
            let bytes = client.stream.read(&mut piece).expect("the answer comes while the body goes");
            assert!(bytes > 0, "({driver}): cut after {} bytes", received.len());
            received.extend_from_slice(&piece[..bytes]);
            if let Some(at) = find(&received[..received.len().min(4096)], b"\r\n\r\n") {
                break at + 4;
            }
        };
        while received.len() < head + BYTES {
            let bytes = client.stream.read(&mut piece).expect("the body continues");
            assert!(bytes > 0, "({driver}): cut after {} bytes", received.len());
            received.extend_from_slice(&piece[..bytes]);
        }
        sending.join().expect("the sender").expect("all was sent");
        let block = pattern();
        assert!(received[head..].chunks(block.len()).all(|chunk| chunk == block), "({driver}): bytes are mixed up");
    }
}

/// Returns one MiB without repetitions.
fn pattern() -> Vec<u8> {
    (0..1u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[test]
fn aborting_clients_do_not_mix_up_other_responses() {
    let origin = echo();
    for driver in DRIVERS {
        let proxy = proxy_before(origin, driver);
        let port = proxy.port;
        thread::scope(|scope| {
            for n in 0..CLIENTS {
                scope.spawn(move || {
                    let mut client = Client::to(port);
                    for turn in 0..4 {
                        let body = format!("client {n} turn {turn};").repeat(1 + (n * 7 + turn * 31) % 400);
                        let head = format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
                        client.send(head);
                        if n % 5 == 0 && turn == 2 {
                            // This client aborts in the middle of its body.
                            client.send(&body.as_bytes()[..body.len() / 2]);
                            return;
                        }
                        client.send(&body);
                        let answer = client.answer();
                        assert_eq!(answer.status, 200, "client {n} turn {turn} ({driver})");
                        assert!(
                            answer.body == body.as_bytes(),
                            "client {n} turn {turn} ({driver}): another one's bytes"
                        );
                        if answer.has_connection_close() {
                            // A response that begins before the whole body was sent ends the connection.
                            client = Client::to(port);
                        }
                    }
                });
            }
        });
    }
}
