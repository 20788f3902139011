//! Clients and servers that are slow, silent or gone, or send without end: every wait ends near its timeout, and memory stays bounded.

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
/// A timeout of one second takes effect within this time.
const LATE: Duration = Duration::from_secs(4);

fn proxy(driver: &str) -> Proxy {
    Proxy::with(driver, &Options { tables: LIMITS.into(), ..Options::default() })
}

#[test]
fn slow_client_is_closed_near_the_timeout() {
    // Name, the first bytes, the bytes sent every 100 ms after them, and the allowed statuses.
    let cases: [(&str, &str, &str, &[u16]); 5] = [
        ("silent", "", "", &[0]),
        ("idle after a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", &[200]),
        ("slow head", "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", &[0, 408]),
        ("slow body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "x", &[408]),
        ("slow chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", &[408]),
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        thread::scope(|scope| {
            let runs: Vec<_> =
                cases.map(|case| (case, scope.spawn(|| drip(&proxy, case.1, case.2)))).into_iter().collect();
            for ((name, _, _, allowed), run) in runs {
                let (status, took) = run.join().expect("the client");
                let case = format!("{name} ({driver})");
                verdict.check(&case, allowed.contains(&status), format!("answered {status}"));
                verdict.check(
                    &case,
                    took > Duration::from_millis(700) && took < LATE,
                    format!("closed after {took:?}"),
                );
            }
        });
        let handshake = Client::to(proxy.tls_port).is_closed_within(LATE);
        verdict.check(&format!("silent before its handshake ({driver})"), handshake, "the connection stays open");
        let whole = proxy.origin.seen().iter().filter(|s| s.is_whole && s.head.starts_with("POST")).count();
        verdict.check("slow client", whole == 0, "a body that never ended counted as whole");
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
        let cases = [
            ("silent origin", Script::answer("").then(Then::Hold), 504),
            ("head that never ends", dripping, 504),
            (
                "interim answer, then silence",
                Script::answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 2").then(Then::Hold),
                504,
            ),
        ];
        for (name, script, status) in cases {
            let case = format!("{name} ({driver})");
            proxy.origin.set_script(script);
            let start = Instant::now();
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.final_answer();
            verdict.check(&case, answer.status == status, format!("{answer:?}"));
            verdict.check(&case, start.elapsed() < LATE, format!("after {:?}", start.elapsed()));
            proxy.origin.set_script(Script::default());
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            verdict.check(&case, client.answer().body == b"ok", "the next request fails");
        }
        verdict.end();
        // One server is down: the request goes to the other one at once.
        let servers = vec!["http://127.0.0.1:1".to_owned()];
        let proxy = Proxy::with(driver, &Options { tables: LIMITS.into(), servers, ..Options::default() });
        for n in 0..6 {
            let start = Instant::now();
            assert_eq!(proxy.get(&format!("/{n}")).status, 200, "refused ({driver})");
            assert!(start.elapsed() < Duration::from_millis(900), "a refused server is passed over at once");
        }
    }
}

/// A listener whose backlog is full: the kernel drops further SYNs, so that a connection is neither established nor refused.
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
        // Until the new routes are in force, the origin responds.
        wait_for("the routes change", Duration::from_secs(10), || {
            let start = Instant::now();
            client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.answer();
            let took = start.elapsed();
            if answer.status == 200 {
                return Err("still the old routes".to_owned());
            }
            assert_eq!(answer.status, 504, "black hole ({driver}): {answer:?}");
            assert!(took > Duration::from_millis(900) && took < LATE, "black hole ({driver}): after {took:?}");
            Ok(())
        });
        // Requests on the same client connection succeed as soon as a server accepts connections again.
        let origin = Origin::start();
        fs::write(proxy.routes_file(), routes(origin.port, &Options::default())).expect("the routes");
        wait_for("the proxy serves again", Duration::from_secs(10), || {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.answer();
            if answer.body == b"ok" { Ok(()) } else { Err(format!("{answer:?}")) }
        });
        // Beside another server, the unreachable one costs a request the connect timeout and no failure.
        let servers = vec![format!("http://{}", hole.address())];
        fs::write(proxy.routes_file(), routes(origin.port, &Options { servers, ..Options::default() }))
            .expect("routes");
        std::thread::sleep(Duration::from_millis(500));
        for n in 0..4 {
            let start = Instant::now();
            assert_eq!(proxy.get(&format!("/{n}")).status, 200, "black hole beside a server ({driver})");
            assert!(start.elapsed() < LATE, "unresponsive server ({driver}): {:?}", start.elapsed());
        }
    }
}

/// If one side stops reading, the proxy stops reading from the other side instead of buffering.
#[test]
fn memory_stays_flat_if_a_side_does_not_read() {
    const BYTES: usize = 64 << 20;
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let before = proxy.process.resident_kib();
        let body =
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").into_bytes(), vec![b'd'; BYTES]].concat();
        proxy.origin.set_script(Script::answer(&body).then(Then::Close));
        let mut clients: Vec<_> = (0..4).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        thread::sleep(Duration::from_millis(700));
        let held = proxy.process.resident_kib().saturating_sub(before);
        assert!(held < 8 * 1024, "download ({driver}): {held} KiB held for clients that do not read");
        let mut first = clients.remove(0);
        let mut total = 0;
        let mut piece = vec![0; 1 << 20];
        first.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        while let Ok(bytes @ 1..) = first.stream.read(&mut piece) {
            total += bytes;
        }
        assert!(total > BYTES, "download ({driver}): {total} bytes arrived after the pause");
        drop(clients);

        let proxy = Proxy::start(driver);
        let before = proxy.process.resident_kib();
        proxy.origin.set_script(Script::answer("").early().then(Then::Keep).after(Duration::from_secs(3)));
        let mut client = proxy.client();
        client.stream.set_write_timeout(Some(Duration::from_millis(700))).expect("a limit");
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BYTES}\r\n\r\n"));
        client.send(vec![b'u'; BYTES]);
        let held = proxy.process.resident_kib().saturating_sub(before);
        assert!(held < 8 * 1024, "upload ({driver}): {held} KiB held for an origin that does not read");
    }
}

/// A buffered response is subject to the same limit as a streamed one: the stall timeout, not a time for the whole response.
#[test]
fn slow_reader_gets_whole_buffered_response() {
    const BYTES: usize = 32 << 20;
    let frontend = "[backends.main.buffering]\nmaxResponseBodyBytes = 67108864\n".to_owned();
    for driver in DRIVERS {
        let proxy =
            Proxy::with(driver, &Options { tables: LIMITS.into(), frontend: frontend.clone(), ..Options::default() });
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
        proxy.origin.set_script(Script::answer([head.into_bytes(), vec![b'd'; BYTES]].concat()));
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.stream.set_read_timeout(Some(LATE)).expect("a limit");
        let (mut piece, mut received) = (vec![0; 256 << 10], 0);
        while let Ok(bytes @ 1..) = client.stream.read(&mut piece) {
            received += bytes;
            // The whole response takes four times as long as the stall timeout.
            thread::sleep(Duration::from_millis(30) * u32::try_from(bytes).expect("a piece") / (256 << 10));
        }
        assert!(received > BYTES, "slow client ({driver}): cut after {received} bytes");
    }
}

/// When the client disconnects, the proxy cancels the fetch of an error page.
#[test]
fn client_disconnect_cancels_error_page_fetch() {
    // The kernel accepts connections to this listener, and no program reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let frontend = format!(
        "[frontends.main.errors.pages]\nstatus = [\"404\"]\nbackend = \"pages\"\nquery = \"/page\"\n\
         [backends.pages.servers.silent]\nurl = \"{url}\"\n\
         [frontends.pages]\nbackend = \"pages\"\n[frontends.pages.routes.r]\nrule = \"Host:pages.test\"\n"
    );
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { frontend: frontend.clone(), ..Options::default() });
        proxy.origin.set_script(Script::answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
        let before = proxy.process.open_files();
        let mut client = proxy.client();
        client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            !client.is_closed_within(Duration::from_millis(500)),
            "unresponsive server ({driver}): an answer without its page"
        );
        let during = proxy.process.open_files();
        drop(client);
        wait_for("the sockets of the fetch are closed", LATE, || match proxy.process.open_files() {
            // The connection to the origin stays in the pool.
            now if now <= before + 1 => Ok(()),
            now => Err(format!("{before} before, {during} while it waited, now {now}")),
        });
    }
}

/// Starts an origin whose response heads do not end; the origin counts the connections that the proxy has closed.
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
            assert!(answer.status == 502 && answer.is_whole, "endless head ({driver}): {answer:?}");
        }
        // A growing buffer exists twice for a moment, and the allocator keeps some of the old ones.
        let most = (REQUESTS * 4 * limits::RESPONSE_HEAD_BYTES_MAX / 1024) as u64;
        let grown = proxy.process.peak_kib().saturating_sub(before);
        assert!(grown < most, "endless head ({driver}): {grown} KiB for {REQUESTS} heads without an end");
        wait_for("the origin's connections are closed", Duration::from_secs(5), || match closed.load(Relaxed) {
            count if count > REQUESTS => Ok(()),
            count => Err(format!("{count}")),
        });
    }
}
