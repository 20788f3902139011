//! Rows 42, 50, 51 and 65: sides that are slow, silent or gone, or have no end. Every wait ends near its limit, and memory stays flat.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use ringway::limits;

use crate::client::{Client, find};
use crate::origin::{Origin, Script, Then};
use crate::proxy::{Options, Proxy, routes};
use crate::support::wait_for;
use crate::{DRIVERS, Verdict};

const LIMITS: &str = "[respondingTimeouts]\nreadTimeout = \"1s\"\nidleTimeout = \"1s\"\nwriteTimeout = \"1s\"\n\
                      [forwardingTimeouts]\nresponseHeaderTimeout = \"1s\"\ndialTimeout = \"1s\"\n";
/// A limit of one second is kept within this.
const LATE: Duration = Duration::from_secs(4);

fn proxy(driver: &str) -> Proxy {
    Proxy::with(driver, &Options { tables: LIMITS.into(), ..Options::default() })
}

#[test]
fn slow_client_is_closed_near_the_timeout() {
    // What comes first, then what drips in every 100 ms, and the answer.
    let rows: [(&str, &str, &str, &[u16]); 5] = [
        ("50 silent", "", "", &[0]),
        ("50 idle after a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", &[200]),
        ("50 slow head", "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", &[0, 408]),
        ("50 slow body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "x", &[408]),
        ("50 slow chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", &[408]),
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        thread::scope(|scope| {
            let runs: Vec<_> = rows.map(|row| (row, scope.spawn(|| drip(&proxy, row.1, row.2)))).into_iter().collect();
            for ((name, _, _, allowed), run) in runs {
                let (status, took) = run.join().expect("the client");
                let row = format!("{name} ({driver})");
                verdict.check(&row, allowed.contains(&status), format!("answered {status}"));
                verdict.check(&row, took > Duration::from_millis(700) && took < LATE, format!("closed after {took:?}"));
            }
        });
        let handshake = Client::to(proxy.tls_port).is_closed_within(LATE);
        verdict.check(&format!("50 silent before its handshake ({driver})"), handshake, "it stays");
        let whole = proxy.origin.seen().iter().filter(|s| s.is_whole && s.head.starts_with("POST")).count();
        verdict.check("50", whole == 0, "a body that never ended counted as whole");
        verdict.end();
    }
}

fn drip(proxy: &Proxy, first: &str, piece: &str) -> (u16, Duration) {
    let mut client = proxy.client();
    let start = Instant::now();
    client.send(first);
    while start.elapsed() < LATE + Duration::from_secs(1) {
        client.send(piece);
        if client.is_closed_within(Duration::from_millis(100)) {
            break;
        }
    }
    let took = start.elapsed();
    let status = find(&client.received, b"HTTP/1.1 ")
        .map(|at| String::from_utf8_lossy(&client.received[at + 9..at + 12]).into_owned());
    (status.and_then(|text| text.parse().ok()).unwrap_or(0), took)
}

#[test]
fn unresponsive_server_gets_504_in_time() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        let dripping = Script::answer("HTTP/1.1 200 OK\r\nX: ").then(Then::Hold);
        let rows = [
            ("65 silent origin", Script::answer("").then(Then::Hold), 504),
            ("65 head that never ends", dripping, 504),
            (
                "65 interim answer, then silence",
                Script::answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 2").then(Then::Hold),
                504,
            ),
        ];
        for (name, script, status) in rows {
            let row = format!("{name} ({driver})");
            proxy.origin.plays(script);
            let start = Instant::now();
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.answer();
            verdict.check(&row, answer.status == status, format!("{answer:?}"));
            verdict.check(&row, start.elapsed() < LATE, format!("after {:?}", start.elapsed()));
            proxy.origin.plays(Script::default());
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            verdict.check(&row, client.answer().body == b"ok", "it does not recover");
        }
        verdict.end();
        // One server is down: the request goes on to the other one at once.
        let servers = vec!["http://127.0.0.1:1".to_owned()];
        let proxy = Proxy::with(driver, &Options { tables: LIMITS.into(), servers, ..Options::default() });
        for n in 0..6 {
            let start = Instant::now();
            assert_eq!(proxy.get(&format!("/{n}")).status, 200, "65 refused ({driver})");
            assert!(start.elapsed() < Duration::from_millis(900), "a refused server is passed over at once");
        }
    }
}

/// A listener whose queue is full: the kernel drops what comes in, so that a connection is neither made nor refused.
struct BlackHole {
    listener: socket2::Socket,
    filling: Vec<std::net::TcpStream>,
}

impl BlackHole {
    fn open() -> BlackHole {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).and_then(|()| listener.listen(0)).expect("a listener");
        let mut hole = BlackHole { listener, filling: Vec::new() };
        for _ in 0..20 {
            match std::net::TcpStream::connect_timeout(&hole.address(), Duration::from_millis(300)) {
                Ok(stream) => hole.filling.push(stream),
                Err(_) => return hole,
            }
        }
        panic!("the queue of a listener does not fill");
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().ok().and_then(|address| address.as_socket()).expect("bound")
    }
}

#[test]
fn blackhole_server_gets_504_in_time() {
    for driver in DRIVERS {
        let hole = BlackHole::open();
        let proxy = proxy(driver);
        fs::write(proxy.routes_file(), routes(hole.address().port(), &Options::default())).expect("the routes");
        let mut client = proxy.client();
        // Until the new routes are in force the origin answers.
        wait_for("the routes change", Duration::from_secs(10), || {
            let start = Instant::now();
            client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.answer();
            let took = start.elapsed();
            if answer.status == 200 {
                return Err("still the old routes".to_owned());
            }
            assert_eq!(answer.status, 504, "65 black hole ({driver}): {answer:?}");
            assert!(took > Duration::from_millis(900) && took < LATE, "65 black hole ({driver}): after {took:?}");
            Ok(())
        });
        // It recovers on the same client's connection as soon as somebody takes the connections again.
        let origin = Origin::start();
        fs::write(proxy.routes_file(), routes(origin.port, &Options::default())).expect("the routes");
        wait_for("the proxy serves again", Duration::from_secs(10), || {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.answer();
            if answer.body == b"ok" { Ok(()) } else { Err(format!("{answer:?}")) }
        });
        // With another server beside it, it costs a request the limit and no failure.
        let servers = vec![format!("http://{}", hole.address())];
        fs::write(proxy.routes_file(), routes(origin.port, &Options { servers, ..Options::default() }))
            .expect("routes");
        std::thread::sleep(Duration::from_millis(500));
        for n in 0..4 {
            let start = Instant::now();
            assert_eq!(proxy.get(&format!("/{n}")).status, 200, "65 black hole beside a server ({driver})");
            assert!(start.elapsed() < LATE, "65 ({driver}): {:?}", start.elapsed());
        }
    }
}

/// A side that stops reading stops the other one; nothing piles up in the proxy.
#[test]
fn memory_stays_flat_if_a_side_does_not_read() {
    const BYTES: usize = 64 << 20;
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let before = proxy.process.resident_kib();
        let body =
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").into_bytes(), vec![b'd'; BYTES]].concat();
        proxy.origin.plays(Script::answer(&body).then(Then::Close));
        let mut clients: Vec<_> = (0..4).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        thread::sleep(Duration::from_millis(700));
        let held = proxy.process.resident_kib().saturating_sub(before);
        assert!(held < 8 * 1024, "51 download ({driver}): {held} KiB held for clients that do not read");
        let mut first = clients.remove(0);
        let mut total = 0;
        let mut piece = vec![0; 1 << 20];
        first.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        while let Ok(bytes @ 1..) = first.stream.read(&mut piece) {
            total += bytes;
        }
        assert!(total > BYTES, "51 download ({driver}): {total} bytes arrived after the pause");
        drop(clients);

        let proxy = Proxy::start(driver);
        let before = proxy.process.resident_kib();
        proxy.origin.plays(Script::answer("").early().then(Then::Keep).after(Duration::from_secs(3)));
        let mut client = proxy.client();
        client.stream.set_write_timeout(Some(Duration::from_millis(700))).expect("a limit");
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BYTES}\r\n\r\n"));
        client.send(vec![b'u'; BYTES]);
        let held = proxy.process.resident_kib().saturating_sub(before);
        assert!(held < 8 * 1024, "51 upload ({driver}): {held} KiB held for an origin that does not read");
    }
}

/// An answer that was held whole goes to a client as slow as one that passes through: only standing still is too slow.
#[test]
fn slow_reader_gets_whole_buffered_response() {
    const BYTES: usize = 32 << 20;
    let frontend = "[backends.main.buffering]\nmaxResponseBodyBytes = 67108864\n".to_owned();
    for driver in DRIVERS {
        let proxy =
            Proxy::with(driver, &Options { tables: LIMITS.into(), frontend: frontend.clone(), ..Options::default() });
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
        proxy.origin.plays(Script::answer([head.into_bytes(), vec![b'd'; BYTES]].concat()));
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.stream.set_read_timeout(Some(LATE)).expect("a limit");
        let (mut piece, mut received) = (vec![0; 256 << 10], 0);
        while let Ok(bytes @ 1..) = client.stream.read(&mut piece) {
            received += bytes;
            // All of it takes four times as long as a client may stand still.
            thread::sleep(Duration::from_millis(30) * u32::try_from(bytes).expect("a piece") / (256 << 10));
        }
        assert!(received > BYTES, "50 ({driver}): cut after {received} bytes");
    }
}

/// Nobody waits for an error page for somebody who has gone.
#[test]
fn client_disconnect_cancels_error_page_fetch() {
    // The kernel takes its connections, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let frontend = format!(
        "[frontends.main.errors.pages]\nstatus = [\"404\"]\nbackend = \"pages\"\nquery = \"/page\"\n\
         [backends.pages.servers.silent]\nurl = \"{url}\"\n\
         [frontends.pages]\nbackend = \"pages\"\n[frontends.pages.routes.r]\nrule = \"Host:pages.test\"\n"
    );
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { frontend: frontend.clone(), ..Options::default() });
        proxy.origin.plays(Script::answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
        let before = proxy.process.open_files();
        let mut client = proxy.client();
        client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(!client.is_closed_within(Duration::from_millis(500)), "65 ({driver}): an answer without its page");
        let during = proxy.process.open_files();
        drop(client);
        wait_for("its sockets are closed", LATE, || match proxy.process.open_files() {
            // The connection to the origin is kept.
            now if now <= before + 1 => Ok(()),
            now => Err(format!("{before} before, {during} while it waited, now {now}")),
        });
    }
}

/// An origin whose heads have no end; it counts the connections that the proxy has closed.
fn endless(closed: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the origin");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let closed = closed.clone();
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let mut is_open = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").is_ok();
                while is_open {
                    is_open = stream.write_all(&[b'x'; 64 * 1024]).is_ok();
                }
                closed.fetch_add(1, Relaxed);
            });
        }
    });
    port
}

#[test]
fn endless_response_heads_use_bounded_memory() {
    const REQUESTS: usize = 16;
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let closed = Arc::new(AtomicUsize::new(0));
        let port = endless(closed.clone());
        fs::write(proxy.routes_file(), routes(port, &Options::default())).expect("the routes");
        wait_for("the routes change", Duration::from_secs(10), || match proxy.get("/").status {
            502 => Ok(()),
            status => Err(format!("{status}")),
        });
        let before = proxy.process.peak_kib();
        let mut clients: Vec<_> = (0..REQUESTS).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            let answer = client.answer();
            assert!(answer.status == 502 && answer.is_whole, "42 ({driver}): {answer:?}");
        }
        // A buffer that grows is there twice for a moment, and the allocator keeps some of the old ones.
        let most = (REQUESTS * 4 * limits::RESPONSE_HEAD_BYTES_MAX / 1024) as u64;
        let grown = proxy.process.peak_kib().saturating_sub(before);
        assert!(grown < most, "42 ({driver}): {grown} KiB for {REQUESTS} heads without an end");
        wait_for("the origin's connections are closed", Duration::from_secs(5), || match closed.load(Relaxed) {
            count if count > REQUESTS => Ok(()),
            count => Err(format!("{count}")),
        });
    }
}
