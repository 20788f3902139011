//! Datagram sockets: those of entry points, which all clients share, and one for each session, which is connected to its server, so that the
//! kernel drops the datagrams of anybody else.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use monoio::net::udp::UdpSocket;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{socket, sys};
use crate::limits;

pub use super::sys::LocalAddress;

/// How often a port that is in use is tried again.
const BIND_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// A socket that sends and receives datagrams and never waits.
pub struct DatagramSocket {
    fd: OwnedFd,
    /// Datagrams that the kernel dropped because the receive buffer was full, when they were counted last.
    drops_seen: u32,
    /// Whether the kernel may be asked to cut a message into datagrams of equal length (UDP_SEGMENT).
    cuts: Cell<bool>,
}

/// Opens one socket for each worker on the same address. As for TCP, the kernel gives all datagrams of one client to one of them.
///
/// # Errors
/// The operating system's, with the address in the text.
pub fn bind_together(address: SocketAddr, workers: usize) -> io::Result<Vec<Socket>> {
    if address.port() != 0 {
        let end = Instant::now() + Duration::from_millis(limits::BIND_RETRY_MILLIS);
        while let Err(e) = check_unused(address) {
            if Instant::now() >= end {
                return Err(e);
            }
            std::thread::sleep(BIND_RETRY_INTERVAL);
        }
    }
    let mut sockets = vec![bind(address).map_err(|e| socket::bind_error(address, &e))?];
    // If the port is 0, the kernel chooses one for the first socket, and the others use the same.
    let bound = sockets[0].local_addr()?.as_socket().unwrap_or(address);
    for _ in 1..workers {
        sockets.push(bind(bound).map_err(|e| socket::bind_error(bound, &e))?);
    }
    Ok(sockets)
}

/// Fails if another process uses the address: both would get a part of the clients, without any error.
fn check_unused(address: SocketAddr) -> io::Result<()> {
    let Ok(socket) = Socket::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP)) else {
        return Ok(());
    };
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    match socket.bind(&SockAddr::from(address)) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(socket::bind_error(address, &e)),
        _ => Ok(()),
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let attempt = |address: SocketAddr| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_port(true)?;
        prepare(&socket)?;
        socket.bind(&SockAddr::from(address))?;
        Ok(socket)
    };
    match attempt(address) {
        // On a host without IPv6, ":53" means IPv4 alone.
        Err(e) if address.ip() == Ipv6Addr::UNSPECIFIED && socket::is_no_ipv6(&e) => {
            attempt(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    }
}

/// Sets the options of an entry point's socket: the addresses that clients write to are reported, and the buffer is as large as the system
/// allows (net.core.rmem_max).
///
/// # Errors
/// The operating system's.
pub fn prepare(socket: &Socket) -> io::Result<()> {
    let is_ipv6 = socket.domain()? == Domain::IPV6;
    let (level, name) = match is_ipv6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
    };
    sys::set_number_option(socket.as_fd(), level, name, 1)?;
    socket.set_recv_buffer_size(limits::UDP_SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(limits::UDP_SOCKET_BUFFER_BYTES)
}

impl DatagramSocket {
    /// Uses a handle of an entry point's socket.
    ///
    /// # Errors
    /// The operating system's.
    pub fn of_entry_point(socket: &Socket) -> io::Result<Self> {
        let handle = socket.try_clone()?;
        handle.set_nonblocking(true)?;
        let socket = DatagramSocket::new(handle.into());
        socket.merge_datagrams();
        // The kernel counts from the socket's beginning, which may be in another process.
        Ok(DatagramSocket { drops_seen: sys::dropped_datagrams(socket.as_fd()), ..socket })
    }

    /// Opens a socket that exchanges datagrams with `server` alone.
    ///
    /// # Errors
    /// The operating system's: no descriptor or port is left, or no route leads to the server.
    pub fn connected(server: SocketAddr) -> io::Result<Self> {
        let kind = Type::DGRAM.cloexec().nonblocking();
        let socket = Socket::new(Domain::for_address(server), kind, Some(Protocol::UDP))?;
        socket.connect(&SockAddr::from(server))?;
        Ok(DatagramSocket::new(socket.into()))
    }

    fn new(fd: OwnedFd) -> Self {
        DatagramSocket { fd, drops_seen: 0, cuts: Cell::new(true) }
    }

    /// Lets the kernel report datagrams of equal length that follow each other as one message. Kernels before 5.0 cannot.
    pub fn merge_datagrams(&self) {
        let _ = sys::set_number_option(self.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1);
    }

    /// A handle of the socket to wait with.
    ///
    /// # Errors
    /// The operating system's.
    pub fn readiness(&self) -> io::Result<Readiness> {
        UdpSocket::from_std(self.fd.try_clone()?.into()).map(Readiness)
    }

    pub(super) fn may_cut(&self) -> bool {
        self.cuts.get()
    }

    /// Notes that the way to the peer does not support messages that the kernel cuts.
    pub(super) fn cannot_cut(&self) {
        self.cuts.set(false);
    }

    /// The datagrams that the kernel has dropped since the last call because the receive buffer was full.
    pub fn take_drops(&mut self) -> u32 {
        let drops = sys::dropped_datagrams(self.fd.as_fd());
        drops.wrapping_sub(std::mem::replace(&mut self.drops_seen, drops))
    }
}

/// Waits for a socket, and takes nothing from it.
pub struct Readiness(UdpSocket);

impl Readiness {
    /// Waits until datagrams can be received.
    ///
    /// # Errors
    /// The driver's.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.0.readable(false)
    }

    /// Waits until the socket has room for a datagram.
    ///
    /// # Errors
    /// The driver's.
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.0.writable(false)
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The sessions that each of `workers` workers may have: `max`, unless that needs more than half of the process's descriptors or three quarters
/// of the local ports. Connections need descriptors too, and the system's own look-ups need ports.
pub fn sessions_per_worker(max: usize, workers: usize) -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let descriptors = descriptors.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    bounded_sessions(max, workers, descriptors, local_ports(&range))
}

fn bounded_sessions(max: usize, workers: usize, descriptors: usize, ports: usize) -> usize {
    let workers = workers.max(1);
    max.min(descriptors / 2 / workers).min(ports / 4 * 3 / workers).max(1)
}

/// The number of ports in a range as the kernel writes it; that of its default if the text is no range.
fn local_ports(range: &str) -> usize {
    let ends: Vec<usize> = range.split_whitespace().filter_map(|end| end.parse().ok()).collect();
    let count = ends.get(1).zip(ends.first()).and_then(|(last, first)| last.checked_sub(*first));
    count.map_or(28_232, |count| count + 1)
}

/// Whether a failure says that the server refuses datagrams, or that no way leads to it. ICMP reports the first to the sender's socket.
pub fn is_server_failure(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN | Errno::HOSTDOWN)
    )
}

/// Whether a socket could not be opened because descriptors, ports or memory are used up.
pub fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN | Errno::ADDRINUSE))
}

/// A client's address as people write it: that of an IPv4 client of an IPv6 socket is IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_an_address_and_an_address_in_use_is_named() {
        // An address that no other test uses: its TCP port of the same number is free.
        let sockets = bind_together("127.0.18.47:0".parse().expect("an address"), 2).expect("sockets");
        let addresses: Vec<_> = sockets.iter().map(|one| one.local_addr().ok().and_then(|at| at.as_socket())).collect();
        assert_eq!(addresses[0], addresses[1]);
        let taken = addresses[0].expect("bound");
        let error = bind_together(taken, 1).expect_err("a second process gets an error").to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("stop the other process"), "{error}");
        let tcp = std::net::TcpListener::bind(taken);
        assert!(tcp.is_ok(), "a TCP entry point may use the same number");
    }

    #[test]
    fn wildcard_socket_serves_both_families() {
        let sockets = bind_together("[::]:0".parse().expect("an address"), 1).expect("sockets");
        let port = sockets[0].local_addr().ok().and_then(|at| at.as_socket()).expect("bound").port();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.send_to(b"x", ("127.0.0.1", port)).expect("sent");
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4];
        let (n, from) = sockets[0].recv_from(&mut buffer).expect("received");
        let from = canonical(from.as_socket().expect("inet"));
        assert_eq!((n, from), (1, client.local_addr().expect("bound")));
    }

    #[test]
    fn connected_socket_gets_no_datagram_of_a_stranger() {
        let (server, stranger) = (local(), local());
        let session = DatagramSocket::connected(server.local_addr().expect("bound")).expect("a socket");
        let session = std::net::UdpSocket::from(session.fd);
        let at = session.local_addr().expect("bound");
        stranger.send_to(b"forged", at).expect("sent");
        server.send_to(b"answer", at).expect("sent");
        let mut buffer = [0; 16];
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(session.recv(&mut buffer).expect("the server's"), 6);
        assert_eq!(&buffer[..6], b"answer");
        assert!(session.recv(&mut buffer).is_err());
    }

    #[test]
    fn sessions_leave_descriptors_and_ports_to_others() {
        assert_eq!(bounded_sessions(16_384, 1, 1_048_576, 28_232), 16_384);
        assert_eq!(bounded_sessions(16_384, 2, 1_048_576, 28_232), 10_587, "of the local ports");
        assert_eq!(bounded_sessions(16_384, 2, 4096, 28_232), 1024, "of the descriptors");
        assert_eq!(bounded_sessions(16_384, 64, 16, 16), 1);
        assert_eq!((local_ports("32768\t60999\n"), local_ports("7 3"), local_ports("")), (28_232, 28_232, 28_232));
    }

    fn local() -> std::net::UdpSocket {
        std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket")
    }
}
