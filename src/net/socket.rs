//! Listening sockets, and connections to backends.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use monoio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::{Tcp, sys};
use crate::limits;

/// TCP keep-alive of accepted connections and of connections to backends: the idle time before the first probe (Traefik's fixed values,
/// docs/reference/static-configuration.md#timeouts), and the interval of further probes. The kernel's own interval would detect a vanished
/// peer only after another eleven minutes.
const CLIENT_KEEPALIVE: Keepalive = Keepalive { after: Duration::from_secs(180), every: Duration::from_secs(30) };
const UPSTREAM_KEEPALIVE: Keepalive = Keepalive { after: Duration::from_secs(30), every: Duration::from_secs(10) };
const KEEPALIVE_PROBES: u32 = 3;

struct Keepalive {
    after: Duration,
    every: Duration,
}

const IN_USE: &str = "; stop the other process on this port, or choose another address";

/// How often a port that is in use is tried again.
const BIND_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The address of a listener. As in Go, no host and `::` both mean every address of IPv6 and IPv4.
///
/// # Errors
/// The host is a name that cannot be resolved.
pub fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if host.is_empty() {
        return Ok(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)));
    }
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    use std::net::ToSocketAddrs;
    let failed = |reason: String| io::Error::other(format!("cannot resolve {host}: {reason}; write an address"));
    let found = (host, port).to_socket_addrs().map_err(|e| failed(e.to_string()))?.next();
    found.ok_or_else(|| failed("it has no address".to_owned()))
}

/// Opens one listening socket. Each worker opens its own on the same address (SO_REUSEPORT), and the kernel spreads the connections. The
/// `first` socket of this process is opened only if no other process listens on the address: SO_REUSEPORT alone would allow that.
///
/// # Errors
/// The operating system's, with the address in the text.
pub fn listen(address: SocketAddr, first: bool) -> io::Result<Socket> {
    if first && address.port() != 0 {
        // After a kill -9 the kernel takes a moment to cancel the accepts of the dead process's ring; until then its listener stays open.
        let end = Instant::now() + Duration::from_millis(limits::BIND_RETRY_MILLIS);
        while let Err(e) = check_unused(address) {
            if Instant::now() >= end {
                return Err(e);
            }
            std::thread::sleep(BIND_RETRY_INTERVAL);
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
        // On a host without IPv6, ":80" listens on IPv4 alone.
        Err(e) if address.ip() == std::net::Ipv6Addr::UNSPECIFIED && is_no_ipv6(&e) => {
            attempt(SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    };
    opened.map_err(|e| bind_error(address, &e))
}

/// The message of a socket that could not be bound to `address`.
pub(super) fn bind_error(address: SocketAddr, e: &io::Error) -> io::Error {
    let advice = match e.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root or the capability NET_BIND_SERVICE: give it, or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: write one of its own, or only :port",
        io::ErrorKind::AddrInUse => IN_USE,
        _ => "",
    };
    io::Error::new(e.kind(), format!("cannot listen on {address}: {e}{advice}"))
}

/// Opens one listening socket per worker on the same address.
///
/// # Errors
/// As [`listen`].
pub fn listen_together(address: SocketAddr, workers: usize) -> io::Result<Vec<Socket>> {
    let mut sockets = vec![listen(address, true)?];
    // If the port is 0, the kernel chooses one for the first socket, and the others use the same.
    let bound = sockets[0].local_addr()?.as_socket().unwrap_or(address);
    for _ in 1..workers {
        sockets.push(listen(bound, false)?);
    }
    Ok(sockets)
}

/// Sets TCP_NODELAY and keep-alive on a listening socket. Accepted connections inherit both, which saves two system calls per connection.
pub fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let Keepalive { after, every } = CLIENT_KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after).with_interval(every).with_retries(KEEPALIVE_PROBES))
}

/// Whether a socket is one for datagrams.
pub fn is_datagram(socket: &Socket) -> bool {
    socket.r#type().is_ok_and(|kind| kind == Type::DGRAM)
}

/// Fails if the address is in use: two proxies on one port would each get half of the connections, without any error.
fn check_unused(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP));
    let Ok(socket) = socket else { return Ok(()) };
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    match socket.bind(&SockAddr::from(address)) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(bind_error(address, &e)),
        _ => Ok(()),
    }
}

pub(super) fn is_no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// Registers a handle of a listening socket with the driver of this thread.
pub fn accept_from(socket: &Socket) -> io::Result<monoio::net::TcpListener> {
    let listener: std::net::TcpListener = OwnedFd::from(socket.try_clone()?).into();
    // epoll needs a non-blocking socket. The ring needs a blocking one: else an accept on an empty queue completes with EAGAIN at once.
    listener.set_nonblocking(monoio::utils::is_legacy())?;
    monoio::net::TcpListener::from_std(listener)
}

/// Detaches a new connection from this thread's driver, for another worker.
pub fn detach(stream: TcpStream) -> std::net::TcpStream {
    sys::into_owned(stream).into()
}

/// Registers a connection with the driver of this thread.
///
/// # Errors
/// The operating system's: epoll may have no memory to watch the socket.
pub fn attach(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    // Set as in `accept_from`: the accepting thread may use the other driver.
    stream.set_nonblocking(monoio::utils::is_legacy())?;
    TcpStream::from_std(stream)
}

/// Connects to a backend's address. The caller must bound the time.
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
    fn listener_addresses_are_resolved_as_in_go() {
        assert_eq!(resolve("", 80).ok(), "[::]:80".parse().ok());
        assert_eq!(resolve("127.0.0.1", 8080).ok(), "127.0.0.1:8080".parse().ok());
        assert_eq!(resolve("::1", 443).ok(), "[::1]:443".parse().ok());
        assert!(resolve("localhost", 0).is_ok_and(|address| address.ip().is_loopback()));
        assert!(resolve("no host", 80).unwrap_err().to_string().starts_with("cannot resolve no host: "));
    }

    #[test]
    fn keepalive_detects_a_vanished_peer_after_270_s() {
        let listener = listen("127.0.0.1:0".parse().expect("an address"), true).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let _peer =
            Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|peer| peer.connect(&address).map(|()| peer));
        let (accepted, _) = listener.accept().expect("a connection");
        let probing = accepted.tcp_keepalive_interval().expect("inherited")
            * accepted.tcp_keepalive_retries().expect("inherited");
        let total = accepted.tcp_keepalive_time().expect("inherited") + probing;
        assert!(accepted.keepalive().expect("on") && total == Duration::from_secs(270), "{total:?}");
    }

    #[test]
    fn workers_share_an_address_and_an_address_in_use_is_named() {
        let first = listen("127.0.0.1:0".parse().expect("an address"), true).expect("a listener");
        let address = first.local_addr().expect("bound").as_socket().expect("inet");
        listen(address, false).expect("the second worker's");
        assert!(listen(address, true).is_err(), "a second process gets an error");
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener without SO_REUSEPORT");
        let taken = stranger.local_addr().expect("bound");
        assert!(listen(taken, true).unwrap_err().to_string().contains(&taken.to_string()));
    }
}
