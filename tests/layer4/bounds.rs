//! Bounds: memory of idle connections and of slow readers, and descriptors after a thousand connections that are opened and reset.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::peers::{EchoServer, Server, connect, read_exact, reset};
use crate::proxy::{Options, Proxy, routes};
use crate::support::ringway::DRIVERS;
use crate::support::{tool_or_skip, wait_for};

fn is_root() -> bool {
    tool_or_skip("root", rustix::process::geteuid().is_root())
}

#[test]
fn thousand_connections_opened_and_reset_leave_no_descriptor() {
    if !is_root() {
        return;
    }
    for driver in DRIVERS {
        let echo = EchoServer::start(b"");
        let proxy = Proxy::start(driver, &[("db", "HostSNI:db.test", "", &echo.url())], &[&echo.url()]);
        read_exact(&mut { talk(proxy.plain[0]) }, b"x", "a connection before the flood");
        proxy.await_idle("plain0");
        let before = proxy.process.open_files();
        let hello = include_bytes!("hellos/chromium.bin");
        for port in [proxy.plain[0], proxy.https()] {
            let mut open: Vec<TcpStream> = (0..1000).map(|_| connect(port)).collect();
            for (number, stream) in open.iter_mut().enumerate() {
                // Nothing, half a ClientHello, or a whole one.
                let _ = stream.write_all(&hello[..[0, 900, hello.len()][number % 3]]);
            }
            open.into_iter().for_each(reset);
        }
        proxy.await_idle("plain0");
        wait_for("the descriptors are as before", Duration::from_secs(30), || {
            // The API's own connections and a few pooled pipes may differ.
            let now = proxy.process.open_files();
            if now <= before + 8 { Ok(()) } else { Err(format!("{before} before, {now} now")) }
        });
        read_exact(&mut { talk(proxy.plain[0]) }, b"x", "a connection after the flood");
        assert!(!proxy.process.log().contains("panic"), "{}", proxy.process.log());
    }
}

/// A connection on which one byte was sent.
fn talk(port: u16) -> TcpStream {
    let mut stream = connect(port);
    stream.write_all(b"x").expect("sends");
    stream
}

#[test]
fn slow_readers_on_both_sides_hold_bounded_memory() {
    if !is_root() {
        return;
    }
    for driver in DRIVERS {
        // The server reads nothing, and sends as much as it can.
        let server = Server::start(|mut stream| {
            stream.set_write_timeout(Some(Duration::from_secs(4))).expect("a socket option");
            let piece = vec![7; 256 * 1024];
            while stream.write_all(&piece).is_ok() {}
        });
        let named = [("db", "HostSNI:db.test", "", server.url())];
        let named: Vec<_> = named.iter().map(|(a, b, c, d)| (*a, *b, *c, d.as_str())).collect();
        let proxy = Proxy::with(driver, Options::default(), 1, &routes(&named, &[&server.url()]));
        let before = proxy.process.resident_kib();
        let mut clients = Vec::new();
        for _ in 0..40 {
            let stream = connect(proxy.plain[0]);
            stream.set_nonblocking(true).expect("non-blocking");
            clients.push(stream);
        }
        let mut tls: Vec<_> =
            (0..20).map(|_| crate::peers::tls_connect(proxy.https(), proxy.folder(), "db.test", &[])).collect();
        for client in &mut tls {
            client.write_all(b"x").expect("sends");
            client.sock.set_nonblocking(true).expect("non-blocking");
        }
        let (start, piece) = (Instant::now(), vec![1; 64 * 1024]);
        let mut sent = 0;
        while start.elapsed() < Duration::from_secs(3) {
            for stream in &mut clients {
                match stream.write(&piece) {
                    Ok(bytes) => sent += bytes,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
                }
            }
            for client in &mut tls {
                let _ = client.write(&piece[..1024]);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let grown = proxy.process.resident_kib().saturating_sub(before);
        // A pipe is the kernel's; 60 connections with a TLS session, two copy buffers and TLS output each.
        assert!(grown < 60 * 700, "{grown} KiB for 60 connections, {sent} bytes sent");
        drop((clients, tls));
        proxy.await_idle("plain0");
    }
}

#[test]
fn idle_connections_take_little_memory() {
    if !is_root() {
        return;
    }
    const COUNT: usize = 2000;
    for driver in DRIVERS {
        let server = Server::start(|mut stream| {
            let _ = stream.write_all(b"h");
            stream.set_read_timeout(None).expect("a socket option");
            let _ = stream.read(&mut [0; 1]);
        });
        let proxy = Proxy::start(driver, &[], &[&server.url()]);
        let open = |count: usize| -> Vec<TcpStream> {
            let greeted = |_| {
                let mut stream = connect(proxy.plain[0]);
                read_exact(&mut stream, b"h", "the greeting");
                stream
            };
            (0..count).map(greeted).collect()
        };
        // The first ones hold buffers of waiting reads.
        let first = open(600);
        thread::sleep(Duration::from_secs(3));
        let before = proxy.process.resident_kib();
        let more = open(COUNT);
        thread::sleep(Duration::from_secs(3));
        let each = (proxy.process.resident_kib().saturating_sub(before)) * 1024 / COUNT as u64;
        println!("{driver}: {each} bytes for an idle TCP connection");
        // The allocator of the debug build and its larger futures take more than a release build: see docs/performance.md.
        assert!(each < 4096, "{each} bytes for an idle TCP connection");
        drop((first, more));
    }
}
