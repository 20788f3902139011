//! Sockets: listening, and connecting to a backend.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use monoio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::{Tcp, sys};
use crate::limits;

/// TCP keep-alive on accepted connections, and towards backends: how long nothing has come (Traefik's fixed values, docs/reference/static-configuration.md#timeouts), and how
/// often a peer that has vanished is asked after that. The kernel's own would ask for eleven minutes.
const CLIENT_KEEPALIVE: Keepalive = Keepalive { after: Duration::from_secs(180), every: Duration::from_secs(30) };
const UPSTREAM_KEEPALIVE: Keepalive = Keepalive { after: Duration::from_secs(30), every: Duration::from_secs(10) };
const KEEPALIVE_PROBES: u32 = 3;

struct Keepalive {
    after: Duration,
    every: Duration,
}

const IN_USE: &str = "; stop the other process on this port, or choose another address";

/// How often a taken port is tried again.
const TAKEN_LOOK_EVERY: Duration = Duration::from_millis(50);

/// The address of an entry point: `:80` and `[::]:80` listen on IPv6 and IPv4 alike, as Go does.
pub fn parse_address(text: &str) -> io::Result<SocketAddr> {
    let invalid = |why: &str| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{text:?} is no address to listen on: {why}; write host:port or :port"),
        )
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid("it has no port"))?;
    let port: u16 = port.parse().map_err(|_| invalid("its port is not a number up to 65535"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Ok(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)));
    }
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    use std::net::ToSocketAddrs;
    (host, port).to_socket_addrs()?.next().ok_or_else(|| invalid("its host has no address"))
}

/// Opens one listening socket. Every worker opens its own on the same address (SO_REUSEPORT): the kernel spreads the connections.
/// The `first` one of this process is opened only if no other process listens there, which SO_REUSEPORT alone would allow.
///
/// # Errors
/// The system's, with the address in its text.
pub fn listen(address: SocketAddr, first: bool) -> io::Result<Socket> {
    if first && address.port() != 0 {
        // After a kill -9 the kernel takes a moment to cancel the accepts of a dead process's ring, and its listener lives as long.
        let end = Instant::now() + Duration::from_millis(limits::BIND_RETRY_MILLIS);
        while let Err(e) = refuse_taken(address) {
            if Instant::now() >= end {
                return Err(e);
            }
            std::thread::sleep(TAKEN_LOOK_EVERY);
        }
    }
    let attempt = |address: SocketAddr| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        prepare(&socket)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(limits::LISTEN_BACKLOG)?;
        Ok(socket)
    };
    let opened = match attempt(address) {
        // A host without IPv6 still serves ":80".
        Err(e) if address.ip() == std::net::Ipv6Addr::UNSPECIFIED && is_no_ipv6(&e) => {
            attempt(SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    };
    opened.map_err(|e| {
        let advice = match e.kind() {
            io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need root or the capability NET_BIND_SERVICE: give it, or choose a higher port"
            }
            io::ErrorKind::AddrNotAvailable => {
                "; this machine has no such address: write one of its own, or only :port"
            }
            io::ErrorKind::AddrInUse => IN_USE,
            _ => "",
        };
        io::Error::new(e.kind(), format!("cannot listen on {address}: {e}{advice}"))
    })
}

/// One socket per worker on the same address.
///
/// # Errors
/// As [`listen`].
pub fn listen_together(address: SocketAddr, workers: usize) -> io::Result<Vec<Socket>> {
    let mut sockets = vec![listen(address, true)?];
    // Port 0 is chosen once: the other workers join the port that the first one got.
    let bound = sockets[0].local_addr()?.as_socket().unwrap_or(address);
    for _ in 1..workers {
        sockets.push(listen(bound, false)?);
    }
    Ok(sockets)
}

/// Options of a listening socket. Accepted ones inherit both, which saves two system calls per connection.
pub fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let Keepalive { after, every } = CLIENT_KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after).with_interval(every).with_retries(KEEPALIVE_PROBES))
}

/// Fails if the address is in use: two proxies on one port would each get half of the connections, and nobody would know why.
fn refuse_taken(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP));
    let Ok(socket) = socket else { return Ok(()) };
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    match socket.bind(&SockAddr::from(address)) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            Err(io::Error::new(e.kind(), format!("cannot listen on {address}: {e}{IN_USE}")))
        }
        _ => Ok(()),
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// Hands a listening socket to the ring of this thread.
pub fn accept_from(socket: &Socket) -> io::Result<monoio::net::TcpListener> {
    let listener: std::net::TcpListener = OwnedFd::from(socket.try_clone()?).into();
    // The epoll driver needs a non-blocking socket; the ring must have a blocking one, or an empty queue completes with EAGAIN at once.
    listener.set_nonblocking(monoio::utils::is_legacy())?;
    monoio::net::TcpListener::from_std(listener)
}

/// Takes a fresh connection off this thread's ring, for another one.
pub fn detach(stream: TcpStream) -> std::net::TcpStream {
    sys::into_owned(stream).into()
}

/// Hands a connection to the ring of this thread.
///
/// # Errors
/// The system's: on epoll there may be no memory to watch it.
pub fn attach(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    // As for listeners, and it may come from a thread with the other driver.
    stream.set_nonblocking(monoio::utils::is_legacy())?;
    TcpStream::from_std(stream)
}

/// Connects to a backend's address. The caller bounds the time.
pub async fn connect(address: SocketAddr) -> io::Result<Tcp> {
    let stream = TcpStream::connect_addr(address).await?;
    stream.set_nodelay(true)?;
    let Keepalive { after, every } = UPSTREAM_KEEPALIVE;
    stream.set_tcp_keepalive(Some(after), Some(every), Some(KEEPALIVE_PROBES))?;
    Ok(Tcp::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_go_reads_them() {
        assert_eq!(parse_address(":80").ok(), "[::]:80".parse().ok());
        assert_eq!(parse_address("127.0.0.1:8080").ok(), "127.0.0.1:8080".parse().ok());
        assert_eq!(parse_address("[::1]:443").ok(), "[::1]:443".parse().ok());
        assert!(parse_address("80").unwrap_err().to_string().contains("no port"));
        assert!(parse_address(":http").unwrap_err().to_string().contains("not a number"));
    }

    #[test]
    fn a_peer_that_has_vanished_is_asked_for_minutes_not_for_a_quarter_of_an_hour() {
        let listener = listen("127.0.0.1:0".parse().expect("an address"), true).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let _peer =
            Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|peer| peer.connect(&address).map(|()| peer));
        let (accepted, _) = listener.accept().expect("a connection");
        let asked = accepted.tcp_keepalive_interval().expect("it inherits")
            * accepted.tcp_keepalive_retries().expect("it inherits");
        let all = accepted.tcp_keepalive_time().expect("it inherits") + asked;
        assert!(accepted.keepalive().expect("on") && all == Duration::from_secs(270), "{all:?}");
    }

    #[test]
    fn two_sockets_share_one_address_and_a_taken_one_is_named() {
        let first = listen("127.0.0.1:0".parse().expect("an address"), true).expect("a listener");
        let address = first.local_addr().expect("bound").as_socket().expect("inet");
        listen(address, false).expect("the second worker's");
        assert!(listen(address, true).is_err(), "a second process is told");
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener without SO_REUSEPORT");
        let taken = stranger.local_addr().expect("bound");
        assert!(listen(taken, true).unwrap_err().to_string().contains(&taken.to_string()));
    }
}
