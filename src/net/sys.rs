//! The only file of `net` with `unsafe`: operations that monoio's sockets do not offer through a safe interface, and descriptors that are
//! known by number only. Each block says why it is sound.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use monoio::net::TcpStream;
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};

/// Waits until the socket of `half` is readable, without lending a buffer to the kernel.
pub async fn readable(half: &TcpOwnedReadHalf) -> io::Result<()> {
    // SAFETY: monoio's halves share the stream through an `Rc<UnsafeCell>` on one thread. Its methods form a `&mut` only while they
    // build an operation and none is held across a suspension, so this shared reference never meets a live exclusive one; `readable`
    // itself reads nothing but the descriptor.
    let stream: &TcpStream = unsafe { &*half.0.get() };
    stream.readable(false).await
}

/// Calls `with` on the descriptor of `half`, for system calls that do not go through the driver.
pub fn with_socket<R>(half: &TcpOwnedReadHalf, with: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
    // SAFETY: as above for the reference; the descriptor is open as long as the stream lives, and `half` keeps it alive for this call.
    let fd = unsafe { BorrowedFd::borrow_raw((*half.0.get()).as_raw_fd()) };
    with(fd)
}

/// Waits until the socket of `half` is writable.
pub async fn writable(half: &TcpOwnedWriteHalf) -> io::Result<()> {
    // SAFETY: as in `readable`.
    let stream: &TcpStream = unsafe { &*half.0.get() };
    stream.writable(false).await
}

/// As [`with_socket`], for the sending half.
pub fn with_write_socket<R>(half: &TcpOwnedWriteHalf, with: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
    // SAFETY: as in `with_socket`.
    let fd = unsafe { BorrowedFd::borrow_raw((*half.0.get()).as_raw_fd()) };
    with(fd)
}

/// Sets the number of bytes from which on the socket of `half` counts as readable (SO_RCVLOWAT, socket(7)). The end of the stream and a
/// failure make it readable at once.
///
/// # Errors
/// The operating system's.
pub fn set_low_water(half: &TcpOwnedReadHalf, bytes: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    with_socket(half, |fd| {
        // SAFETY: the kernel reads the `c_int` that the pointer and the length describe, and `value` lives until it has.
        let set = unsafe {
            let value = std::ptr::from_ref(&value).cast();
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVLOWAT,
                value,
                size_of::<libc::c_int>() as u32,
            )
        };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

/// The number of sent bytes that the peer's system has not acknowledged (SIOCOUTQ, tcp(7)). A reset does not change it.
///
/// # Errors
/// The operating system's.
pub fn unacknowledged(half: &TcpOwnedWriteHalf) -> io::Result<usize> {
    with_write_socket(half, |fd| {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the kernel writes one `c_int` to the address, and `bytes` lives until it has.
        let asked = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, std::ptr::from_mut(&mut bytes)) };
        if asked == 0 { Ok(usize::try_from(bytes).unwrap_or_default()) } else { Err(io::Error::last_os_error()) }
    })
}

/// Detaches the socket of a stream, on which no operation has been started yet, from the driver of its thread.
pub fn into_owned(stream: TcpStream) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up the stream's only handle without closing it, so the descriptor is open and has no other owner.
    unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) }
}

/// Takes ownership of a descriptor that the parent process left open for this one, and sets close-on-exec on it.
///
/// # Errors
/// There is no open descriptor of that number.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the descriptor is only borrowed to check whether it is open; nothing is read or closed through it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: the descriptor is open, as the call above shows, and no object of this process owns it: the caller calls this once per
    // number, at the start of the process, with numbers that the parent named.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes all descriptors above standard error that are not in `kept`: children of a process on io_uring inherit its client connections,
/// and a connection ends only when its last copy is closed.
pub fn close_others(kept: &[RawFd]) {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    // The list contains the folder's own descriptor. That one is closed before the loop: `adopt` fails on it.
    let numbers: Vec<RawFd> = numbers.collect();
    for fd in numbers.into_iter().filter(|fd| *fd > 2 && !kept.contains(fd)) {
        drop(adopt(fd));
    }
}

/// The messages that one system call receives or sends at most.
pub const BATCH_MAX: usize = 32;

/// An address of this host, and the interface that it belongs to if the address alone does not say that (link-local ones).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalAddress {
    pub ip: IpAddr,
    pub interface: u32,
}

/// The kernel's report about a received message.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    pub bytes: usize,
    pub source: SocketAddr,
    /// The address that the sender wrote to, if the socket reports it.
    pub local: Option<LocalAddress>,
    /// The length of each datagram but the last, if the message consists of several (UDP_GRO).
    pub segment: Option<usize>,
}

/// A message to send: the pieces one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub pieces: &'a [IoSlice<'a>],
    /// `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// The source address; the kernel chooses one if there is none.
    pub from: Option<LocalAddress>,
    /// The length of the datagrams into which the kernel cuts the message (UDP_SEGMENT).
    pub segment: Option<u16>,
}

/// The memory of an address of IPv4 or IPv6.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// The memory of control messages: three of the kinds that are used here fit, and `u64` aligns them.
type Control = [u64; 12];

/// Receives the messages that have arrived, one into each buffer, without waiting (recvmmsg(2)). Calls `received` with the number of the
/// buffer and what it holds. Messages from addresses that are neither IPv4 nor IPv6, and cut ones, are ignored.
///
/// # Errors
/// The operating system's; `WouldBlock` if nothing has arrived.
pub fn receive_datagrams<'b>(
    socket: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'b mut [u8]>,
    mut received: impl FnMut(usize, Received),
) -> io::Result<()> {
    // SAFETY: zero is a valid value of each of these C types: null pointers, empty lengths, family AF_UNSPEC.
    let (mut names, mut messages): ([Name; BATCH_MAX], [libc::mmsghdr; BATCH_MAX]) = unsafe { std::mem::zeroed() };
    let mut controls: [Control; BATCH_MAX] = [[0; 12]; BATCH_MAX];
    let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
    let mut count = 0;
    for ((((buffer, message), name), control), piece) in
        buffers.zip(&mut messages).zip(&mut names).zip(&mut controls).zip(&mut pieces)
    {
        *piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let header = &mut message.msg_hdr;
        header.msg_name = std::ptr::from_mut(name).cast();
        header.msg_namelen = size_of::<Name>() as u32;
        header.msg_iov = piece;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>();
        count += 1;
    }
    // SAFETY: the first `count` headers describe memory that lives until the call has returned: the buffers are borrowed mutably for this
    // function, no two of them overlap, and the arrays above have at least `count` elements.
    let filled = unsafe {
        libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT, std::ptr::null_mut())
    };
    let Ok(filled) = usize::try_from(filled) else { return Err(io::Error::last_os_error()) };
    for (number, (message, name)) in messages.iter().zip(&names).take(filled).enumerate() {
        if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            continue;
        }
        let Some(source) = name.address() else { continue };
        let mut report = Received { bytes: message.msg_len as usize, source, local: None, segment: None };
        read_control(&message.msg_hdr, &mut report);
        received(number, report);
    }
    Ok(())
}

/// Reads the local address and the segment length from the control messages that the kernel has written.
fn read_control(header: &libc::msghdr, report: &mut Received) {
    // SAFETY: the kernel has written control messages of `msg_controllen` bytes into memory that lives as long as `header` is borrowed. The
    // macros stay within that length, and each value is read, without any demand on alignment, only if its message is long enough.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = at.as_ref() {
            let data = libc::CMSG_DATA(at);
            let holds = |bytes: usize| message.cmsg_len >= libc::CMSG_LEN(bytes as u32) as usize;
            match (message.cmsg_level, message.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                    let info: libc::in_pktinfo = data.cast::<libc::in_pktinfo>().read_unaligned();
                    // `ipi_spec_dst`, not `ipi_addr`: a broadcast address is no source of an answer.
                    let ip = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into();
                    report.local = Some(LocalAddress { ip, interface: 0 });
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                    let info: libc::in6_pktinfo = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                    // A multicast address is no source of an answer: the kernel chooses one.
                    let is_usable = !ip.is_multicast();
                    report.local = is_usable.then_some(LocalAddress { ip: ip.into(), interface });
                }
                (libc::SOL_UDP, libc::UDP_GRO) if holds(size_of::<libc::c_int>()) => {
                    let length = data.cast::<libc::c_int>().read_unaligned();
                    report.segment = usize::try_from(length).ok().filter(|&length| length > 0);
                }
                _ => {}
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
}

/// Sends the first [`BATCH_MAX`] messages, in order, without waiting (sendmmsg(2)). Returns how many were sent.
///
/// # Errors
/// The operating system's for the first message; a failure of a later one is the next call's.
pub fn send_datagrams(socket: BorrowedFd<'_>, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
    // SAFETY: as in `receive_datagrams`.
    let (mut names, mut messages): ([Name; BATCH_MAX], [libc::mmsghdr; BATCH_MAX]) = unsafe { std::mem::zeroed() };
    let mut controls: [Control; BATCH_MAX] = [[0; 12]; BATCH_MAX];
    let mut count = 0;
    for (((one, message), name), control) in outgoing.iter().zip(&mut messages).zip(&mut names).zip(&mut controls) {
        let header = &mut message.msg_hdr;
        if let Some(to) = one.to {
            header.msg_namelen = name.set(to);
            header.msg_name = std::ptr::from_mut(name).cast();
        }
        // An `IoSlice` has the layout of an `iovec`, and the kernel only reads through it.
        header.msg_iov = one.pieces.as_ptr().cast_mut().cast();
        header.msg_iovlen = one.pieces.len();
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = write_control(control, one);
        count += 1;
    }
    // SAFETY: the first `count` headers describe memory that lives until the call has returned, and the kernel reads it only.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes the source address and the segment length as control messages. Returns their length.
fn write_control(control: &mut Control, outgoing: &Outgoing<'_>) -> usize {
    let mut used = 0;
    let mut add = |level: libc::c_int, kind: libc::c_int, data: &[u8]| {
        // SAFETY: `CMSG_SPACE` only computes a length.
        let (space, length) = unsafe { (libc::CMSG_SPACE(data.len() as u32), libc::CMSG_LEN(data.len() as u32)) };
        let Some(room) = control.get_mut(used..used + space as usize / size_of::<u64>()) else { return };
        let at = room.as_mut_ptr().cast::<libc::cmsghdr>();
        // SAFETY: `room` has the `space` bytes of one control message and the alignment of its header, whose data begin behind it.
        unsafe {
            (*at).cmsg_level = level;
            (*at).cmsg_type = kind;
            (*at).cmsg_len = length as usize;
            std::ptr::copy_nonoverlapping(data.as_ptr(), libc::CMSG_DATA(at), data.len());
        }
        used += space as usize / size_of::<u64>();
    };
    match outgoing.from.map(|from| (from.ip, from.interface)) {
        // struct in_pktinfo: interface, source address, destination (which the kernel ignores).
        Some((IpAddr::V4(ip), _)) => {
            let mut info = [0; size_of::<libc::in_pktinfo>()];
            info[4..8].copy_from_slice(&ip.octets());
            add(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        // struct in6_pktinfo: source address, interface.
        Some((IpAddr::V6(ip), interface)) => {
            let mut info = [0; size_of::<libc::in6_pktinfo>()];
            info[..16].copy_from_slice(&ip.octets());
            info[16..].copy_from_slice(&interface.to_ne_bytes());
            add(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    if let Some(segment) = outgoing.segment {
        add(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    used * size_of::<u64>()
}

impl Name {
    /// Stores an address. Returns its length.
    fn set(&mut self, address: SocketAddr) -> u32 {
        match address {
            SocketAddr::V4(address) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                size_of::<libc::sockaddr_in>() as u32
            }
            SocketAddr::V6(address) => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                size_of::<libc::sockaddr_in6>() as u32
            }
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        // SAFETY: each field is made of integers, for which all bits are valid, and the memory was zeroed before the kernel wrote to it.
        let (family, v4, v6) = unsafe { (libc::c_int::from(self.family), self.v4, self.v6) };
        match family {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

/// Sets one of UDP's and IP's options that are a number (ip(7), ipv6(7), udp(7)).
///
/// # Errors
/// The operating system's: older kernels do not know all of them.
pub fn set_number_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads the `c_int` that the pointer and the length describe, and `value` lives until it has.
    let set = unsafe {
        let value = std::ptr::from_ref(&value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, value, size_of::<libc::c_int>() as u32)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The number of datagrams that the kernel has dropped because the socket's receive buffer was full (SO_MEMINFO); 0 if unknown.
pub fn dropped_datagrams(socket: BorrowedFd<'_>) -> u32 {
    const SO_MEMINFO: libc::c_int = 55;
    const DROPS: usize = 8;
    let mut values = [0_u32; DROPS + 1];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `values`, and both live until it has.
    let result = unsafe {
        let (values, length) = (values.as_mut_ptr().cast(), std::ptr::from_mut(&mut length));
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_MEMINFO, values, length)
    };
    if result == 0 { values[DROPS] } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use monoio::io::Splitable;

    use super::*;

    #[test]
    fn readable_waits_for_bytes_and_with_socket_reads_them() {
        let mut runtime =
            monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build().expect("a runtime");
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("its address");
            let mut client = std::net::TcpStream::connect(address).expect("a connection");
            let (accepted, _) = listener.accept().expect("the connection");
            accepted.set_nonblocking(true).expect("non-blocking");
            let (half, _write) = TcpStream::from_std(accepted).expect("a stream").into_split();
            let early = monoio::time::timeout(std::time::Duration::from_millis(20), readable(&half)).await;
            assert!(early.is_err(), "nothing has been sent yet");
            client.write_all(b"x").expect("sent");
            readable(&half).await.expect("readable");
            let mut byte = [0u8; 4];
            let n = with_socket(&half, |fd| rustix::net::recv(fd, &mut byte, rustix::net::RecvFlags::DONTWAIT));
            assert_eq!(n, Ok((1, 1)));
        });
    }

    fn udp(address: &str) -> std::net::UdpSocket {
        std::net::UdpSocket::bind(address).expect("a socket")
    }

    fn receive(socket: &std::net::UdpSocket) -> Vec<(Vec<u8>, Received)> {
        let mut buffers = vec![[0_u8; 4096]; 4];
        let mut reports = Vec::new();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let filled = receive_datagrams(socket.as_fd(), buffers.iter_mut().map(|one| &mut one[..]), |number, report| {
            reports.push((number, report));
        });
        filled.expect("datagrams have arrived");
        reports.into_iter().map(|(number, report)| (buffers[number][..report.bytes].to_vec(), report)).collect()
    }

    #[test]
    fn datagrams_come_with_their_source_and_the_address_that_was_asked() {
        for (listen, asked, level, name) in [
            ("0.0.0.0:0", "127.0.0.7", libc::IPPROTO_IP, libc::IP_PKTINFO),
            ("[::]:0", "127.0.0.7", libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            ("[::]:0", "::1", libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        ] {
            let server = udp(listen);
            set_number_option(server.as_fd(), level, name, 1).expect("set");
            let asked: IpAddr = asked.parse().expect("an address");
            let client = udp(if asked.is_ipv4() { "127.0.0.2:0" } else { "[::1]:0" });
            client.connect((asked, server.local_addr().expect("bound").port())).expect("connected");
            client.send(b"one").expect("sent");
            client.send(b"").expect("sent");
            let got = receive(&server);
            let texts: Vec<&[u8]> = got.iter().map(|(bytes, _)| &bytes[..]).collect();
            assert_eq!(texts, [&b"one"[..], b""]);
            let report = got[0].1;
            let source = report.source;
            assert_eq!((source.ip().to_canonical(), source.port()), {
                let own = client.local_addr().expect("bound");
                (own.ip(), own.port())
            });
            let local = report.local.expect("the address that was asked");
            assert_eq!(local.ip.to_canonical(), asked);
            // The client's connected socket takes the answer only if it comes from there.
            let answer = [IoSlice::new(b"an"), IoSlice::new(b"swer")];
            let one = Outgoing { pieces: &answer, to: Some(source), from: report.local, segment: None };
            assert_eq!(send_datagrams(server.as_fd(), &[one]).expect("sent"), 1);
            assert_eq!(receive(&client)[0].0, b"answer");
        }
    }

    #[test]
    fn message_with_a_segment_length_arrives_as_that_many_datagrams() {
        let (server, client) = (udp("127.0.0.1:0"), udp("127.0.0.1:0"));
        client.connect(server.local_addr().expect("bound")).expect("connected");
        let whole = vec![7; 2500];
        let one = Outgoing { pieces: &[IoSlice::new(&whole)], to: None, from: None, segment: Some(1000) };
        assert_eq!(send_datagrams(client.as_fd(), &[one]).expect("sent"), 1);
        let lengths: Vec<usize> = receive(&server).iter().map(|(bytes, _)| bytes.len()).collect();
        assert_eq!(lengths, [1000, 1000, 500]);
        set_number_option(server.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).expect("set");
        send_datagrams(client.as_fd(), &[one]).expect("sent");
        let got = receive(&server);
        let shown: Vec<_> = got.iter().map(|(bytes, report)| (bytes.len(), report.segment)).collect();
        assert_eq!(shown, [(2500, Some(1000))]);
    }

    #[test]
    fn refusal_of_a_connected_peer_is_the_next_calls_error_and_drops_are_counted() {
        let (server, client) = (udp("127.0.0.1:0"), udp("127.0.0.1:0"));
        client.connect(server.local_addr().expect("bound")).expect("connected");
        let one = Outgoing { pieces: &[IoSlice::new(&[1; 1400])], to: None, from: None, segment: None };
        assert_eq!(dropped_datagrams(server.as_fd()), 0);
        (0..2000).for_each(|_| drop(send_datagrams(client.as_fd(), &[one])));
        assert!(dropped_datagrams(server.as_fd()) > 0);
        drop(server);
        let failed = (0..2).find_map(|_| send_datagrams(client.as_fd(), &[one]).err()).expect("refused");
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionRefused);
        let nothing = receive_datagrams(client.as_fd(), [&mut [0; 9][..]].into_iter(), |_, _| {});
        assert!(nothing.is_err());
    }
}
