//! Connection limits of all workers together: excess connections are closed at once, the others stay.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::wait_for;

const CONFIG: &str = r#"
workers = 2
maxConnections = 6
maxConnectionsPerAddress = 3
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[metrics.prometheus]
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

/// Connects from 127.0.0.`host`.
fn connect(proxy: &Ringway, host: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).expect("an address of its own");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], proxy.http)).into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a time limit");
    stream
}

/// Sends a request and leaves the connection open; false if the connection is closed without a response.
fn is_served(client: &mut TcpStream) -> bool {
    let mut got = [0; 4096];
    // A closed connection may fail at the first write or at the read after it.
    let asked = client.write_all(b"GET /bytes/0 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    match asked.and_then(|()| client.read(&mut got)) {
        Ok(0) => false,
        Ok(bytes) => {
            assert!(got[..bytes].starts_with(b"HTTP/1.1 200 "), "{}", got[..bytes].escape_ascii());
            true
        }
        Err(e) => {
            assert!(!matches!(e.kind(), std::io::ErrorKind::WouldBlock), "neither answered nor closed");
            false
        }
    }
}

fn refused(proxy: &Ringway) -> u64 {
    let page = proxy.page("/metrics");
    let count = page.lines().find_map(|line| line.strip_prefix("ringway_connections_refused_total ")?.parse().ok());
    count.unwrap_or_else(|| panic!("no such counter: {page}"))
}

/// Waits for a connection that is served. Permits of closed connections are free once the proxy has seen their end.
fn await_place(proxy: &Ringway, host: u8) -> TcpStream {
    wait_for("a free place", Duration::from_secs(15), || {
        let mut client = connect(proxy, host);
        if is_served(&mut client) { Ok(client) } else { Err(proxy.log()) }
    })
}

/// As many connections as one address may have.
fn three(proxy: &Ringway, host: u8) -> Vec<TcpStream> {
    (0..3).map(|_| await_place(proxy, host)).collect()
}

#[test]
fn connections_above_the_limits_are_closed() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        let mut own = three(&proxy, 2);
        assert!(!is_served(&mut connect(&proxy, 2)), "{driver}: the fourth of an address");
        assert_eq!(refused(&proxy), 1, "{driver}");
        assert!(proxy.log().contains("raise maxConnectionsPerAddress"), "{driver}: {}", proxy.log());

        let mut others = three(&proxy, 3);
        assert!(!is_served(&mut connect(&proxy, 4)), "{driver}: the seventh of all");
        assert!(own.iter_mut().chain(&mut others).all(is_served), "{driver}: open connections stay open");

        drop(own.pop());
        let other = await_place(&proxy, 4);
        assert!(!is_served(&mut connect(&proxy, 5)), "{driver}: that was the only one");
        assert!(own.iter_mut().chain(&mut others).all(is_served), "{driver}");
        drop((other, others));
        let last = await_place(&proxy, 2);
        assert!(refused(&proxy) >= 3, "{driver}: each is counted");
        drop(last);
    }
}
