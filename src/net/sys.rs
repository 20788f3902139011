//! The only file of `net` with `unsafe`: operations that monoio's sockets do not offer through a safe interface, and descriptors that are
//! known by number only. Each block says why it is sound.
#![allow(unsafe_code)]

use std::io;
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

#[cfg(test)]
mod tests {
    use std::io::Write;

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
}
