//! Plain TCP over monoio: a connection as the two halves of one socket.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Waker};

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf, Splitable};
use monoio::net::TcpStream;
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, connect_unspec, sendmsg};

use super::pipe::splice_once;
use super::reusable_future::ReusableFuture;
use super::{Duplex, ReadHalf, WriteHalf, sys};
use crate::limits;

/// A TCP connection.
pub type Tcp = Duplex<TcpReader, TcpWriter>;

/// The result of a read. The received bytes follow those that were in the buffer.
type Received = (io::Result<usize>, Vec<u8>);

pub struct TcpReader {
    half: TcpOwnedReadHalf,
    /// The read ahead: started before its bytes are awaited, and still running if the wait for them is dropped. On an idle connection this
    /// one operation of the ring does two jobs: as long as it is pending, nothing unasked has arrived, and it receives the next response.
    ahead: Option<ReusableFuture<Vec<u8>, Received>>,
}

pub struct TcpWriter {
    half: TcpOwnedWriteHalf,
}

impl Tcp {
    pub fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Duplex { reader: TcpReader { half: read, ahead: None }, writer: TcpWriter { half: write } }
    }
}

impl TcpReader {
    pub(super) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(sys::with_socket(&self.half, |fd| rustix::io::ioctl_fionbio(fd, on))?)
    }

    /// The descriptor's number, the same for both halves of a connection.
    pub(super) fn number(&self) -> RawFd {
        sys::with_socket(&self.half, |fd| fd.as_raw_fd())
    }

    pub(super) fn set_low_water(&self, bytes: usize) -> io::Result<()> {
        sys::set_low_water(&self.half, bytes)
    }

    /// Copies bytes that have arrived into `into` without taking them from the socket.
    pub(super) fn try_peek(&self, into: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let (bytes, _) = sys::with_socket(&self.half, |fd| rustix::net::recv(fd, into, flags))?;
        Ok(bytes)
    }

    /// Takes `count` bytes, which must have arrived, from the socket and drops them.
    ///
    /// # Errors
    /// The failure of the connection; `UnexpectedEof` if fewer bytes have arrived.
    pub fn discard(&mut self, mut count: usize) -> io::Result<()> {
        let mut sink = [0u8; 256];
        while count > 0 {
            let part = &mut sink[..count.min(256)];
            let (bytes, _) = sys::with_socket(&self.half, |fd| rustix::net::recv(fd, part, RecvFlags::DONTWAIT))?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            count -= bytes;
        }
        Ok(())
    }

    /// The address that the peer has connected to.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let address = sys::with_socket(&self.half, |fd| rustix::net::getsockname(fd))?;
        SocketAddr::try_from(address).map_err(io::Error::from)
    }

    pub(super) fn splice_into(&self, pipe: &std::os::fd::OwnedFd, count: usize) -> io::Result<usize> {
        sys::with_socket(&self.half, |fd| splice_once(fd, pipe, count, false))
    }
}

impl TcpWriter {
    pub(super) fn number(&self) -> RawFd {
        sys::with_write_socket(&self.half, |fd| fd.as_raw_fd())
    }

    pub(super) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(sys::with_write_socket(&self.half, |fd| rustix::io::ioctl_fionbio(fd, on))?)
    }

    pub(super) fn splice_from(&self, pipe: &std::os::fd::OwnedFd, count: usize, more: bool) -> io::Result<usize> {
        sys::with_write_socket(&self.half, |fd| splice_once(pipe, fd, count, more))
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        sys::writable(&self.half).await
    }

    /// Sends as much as the socket takes without waiting. With `more`, the kernel may hold the bytes back until further bytes follow.
    ///
    /// # Errors
    /// `WouldBlock` if the socket takes nothing at the moment; else the failure of the connection.
    pub(super) fn try_write(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        let control = &mut SendAncillaryBuffer::default();
        Ok(sys::with_write_socket(&self.half, |fd| sendmsg(fd, parts, control, flags))?)
    }
}

/// Whether an operation failed only because the socket is not ready. While one direction is spliced the socket is non-blocking (`splice`),
/// and the ring then completes an operation with this error instead of waiting: the other direction waits for readiness itself.
fn is_not_ready(result: &io::Result<usize>) -> bool {
    matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}

/// Waits for bytes and reads them. Grows a full `buffer` by [`limits::HEAD_BUFFER_BYTES`].
async fn receive(half: &mut TcpOwnedReadHalf, mut buffer: Vec<u8>) -> Received {
    if buffer.capacity() == buffer.len() {
        buffer.reserve(limits::HEAD_BUFFER_BYTES);
    }
    loop {
        let free = buffer.len()..buffer.capacity();
        let (result, slice) = half.read(buffer.slice_mut(free)).await;
        buffer = slice.into_inner();
        if !is_not_ready(&result) {
            return (result, buffer);
        }
        if let Err(e) = sys::readable(half).await {
            return (Err(e), buffer);
        }
    }
}

impl ReadHalf for TcpReader {
    async fn read(&mut self, mut buffer: Vec<u8>) -> Received {
        let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.is_busy()) else {
            return receive(&mut self.half, buffer).await;
        };
        let (result, received) = poll_fn(|cx| ahead.poll_output(cx)).await;
        if buffer.is_empty() {
            return (result, received);
        }
        buffer.extend_from_slice(&received);
        (result, buffer)
    }

    async fn readable(&mut self) -> io::Result<()> {
        match self.ahead.as_mut().filter(|ahead| ahead.is_busy()) {
            Some(ahead) => poll_fn(|cx| ahead.poll_ready(cx)).await,
            None => sys::readable(&self.half).await?,
        }
        Ok(())
    }

    fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        if self.is_reading_ahead() || buffer.len() == buffer.capacity() {
            return Ok(0);
        }
        let free = rustix::buffer::spare_capacity(buffer);
        let received = sys::with_socket(&self.half, |fd| rustix::net::recv(fd, free, RecvFlags::DONTWAIT));
        match received {
            Ok((_, bytes)) => Ok(bytes),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    fn read_ahead(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        let ahead = self.ahead.get_or_insert_with(|| {
            let shared = Rc::clone(&self.half.0);
            ReusableFuture::new(move |buffer| {
                let mut half = OwnedReadHalf(Rc::clone(&shared));
                async move { receive(&mut half, buffer).await }
            })
        });
        ahead.start(buffer);
        None
    }

    fn is_reading_ahead(&self) -> bool {
        self.ahead.as_ref().is_some_and(ReusableFuture::is_busy)
    }

    fn is_reusable(&mut self) -> bool {
        let ahead = self.ahead.as_mut().filter(|ahead| ahead.is_busy());
        if ahead.is_some_and(|ahead| ahead.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()) {
            return false;
        }
        // A read started a moment ago is submitted with the ring's next turn and has not looked at the socket yet: bytes behind the last
        // response must not become the response of the next request (docs/reference/security-promises.md#unsolicited-response). The peek
        // takes at most half a microsecond; a request takes ten or more.
        let mut byte = [0u8; 1];
        let peeked =
            sys::with_socket(&self.half, |fd| rustix::net::recv(fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT));
        matches!(peeked, Err(Errno::AGAIN))
    }

    fn has_unread(&mut self) -> bool {
        sys::with_socket(&self.half, |fd| rustix::io::ioctl_fionread(fd)).is_ok_and(|bytes| bytes > 0)
    }

    fn as_plain(&mut self) -> Option<&mut TcpReader> {
        Some(self)
    }

    fn is_closed_by_peer(&mut self) -> bool {
        let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        sys::with_socket(&self.half, |fd| {
            let mut watched = [PollFd::from_borrowed_fd(fd, ends)];
            let found = poll(&mut watched, Some(&Timespec::default()));
            found.is_ok() && watched[0].revents().intersects(ends)
        })
    }

    fn abort(&mut self) {
        // The reset is sent now, not when the socket is closed: dropping the writer sends a FIN before that, and after a FIN the peer takes
        // the body as complete. If this fails, the connection ends with the FIN: there is no other way.
        let _ = sys::with_socket(&self.half, |fd| connect_unspec(fd));
    }
}

impl TcpWriter {
    /// Sends the bytes of `buffer` from `sent` on.
    async fn write_from(&mut self, mut sent: usize, mut buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        while sent < buffer.len() {
            let (result, slice) = self.half.write(buffer.slice(sent..)).await;
            buffer = slice.into_inner();
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
                Ok(bytes) => sent += bytes,
                Err(_) if is_not_ready(&result) => {
                    if let Err(e) = self.writable().await {
                        return (Err(e), buffer);
                    }
                }
                Err(e) => return (Err(e), buffer),
            }
        }
        (Ok(()), buffer)
    }
}

impl WriteHalf for TcpWriter {
    fn write_all(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)> {
        self.write_from(0, buffer)
    }

    async fn write_last(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        // The socket takes nearly every response at once. `write_from` sends the rest, if any, and reports a failure. The kernel holds back
        // only bytes that no others follow.
        let sent = if buffer.is_empty() { 0 } else { self.try_write(&[IoSlice::new(&buffer)], true).unwrap_or(0) };
        self.write_from(sent, buffer).await
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.half.shutdown().await
    }

    fn as_plain(&mut self) -> Option<&mut TcpWriter> {
        Some(self)
    }

    fn unacknowledged(&self) -> Option<usize> {
        sys::unacknowledged(&self.half).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream as StdStream};
    use std::time::Duration;

    use super::*;
    use crate::net::driver::{Driver, DriverPreference};

    /// Runs `test` on each driver with a connection and its other end, a plain blocking socket.
    fn on_both_drivers(test: impl AsyncFn(Tcp, StdStream)) {
        for preference in [DriverPreference::Auto, DriverPreference::Epoll] {
            let mut driver = Driver::build(preference).expect("a driver");
            driver.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
                let far = StdStream::connect(listener.local_addr().expect("bound")).expect("connects");
                let (near, _) = listener.accept().expect("accepts");
                near.set_nonblocking(monoio::utils::is_legacy()).expect("mode");
                test(Tcp::new(TcpStream::from_std(near).expect("a stream")), far).await;
            });
        }
    }

    #[test]
    fn bytes_sent_after_the_peer_closed_stay_unacknowledged() {
        on_both_drivers(async |Duplex { mut reader, mut writer }, far| {
            assert!(writer.write_all(b"first".to_vec()).await.0.is_ok());
            assert_eq!((&far).read(&mut [0; 16]).expect("there"), 5);
            assert_eq!(writer.unacknowledged(), Some(0), "the peer has received them");
            drop(far);
            assert!(writer.write_all(b"request".to_vec()).await.0.is_ok());
            let (end, _) = reader.read(Vec::new()).await;
            assert!(matches!(end, Ok(0)), "the peer's FIN came before its reset: {end:?}");
            assert_eq!(writer.unacknowledged(), Some(7), "the peer never had them");
        });
    }

    #[test]
    fn write_last_sends_its_bytes_with_the_fin() {
        on_both_drivers(async |Duplex { reader, mut writer }, mut far| {
            far.set_nonblocking(true).expect("mode");
            let mut got = [0; 16];
            assert!(writer.write_all(b"first".to_vec()).await.0.is_ok());
            // Over the loopback interface sent bytes have arrived at once.
            assert_eq!(far.read(&mut got).expect("at once"), 5);
            let (sent, buffer) = writer.write_last(b"last".to_vec()).await;
            assert!(sent.is_ok() && buffer == b"last", "the buffer comes back");
            assert!(
                far.read(&mut got).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock),
                "the bytes left without the FIN"
            );
            // Dropping the writer sends the FIN; the driver closes the socket later.
            drop(writer);
            assert_eq!((far.read(&mut got).expect("there"), far.read(&mut got).expect("the end")), (4, 0));
            drop(reader);
        });
    }

    #[test]
    fn write_last_arrives_although_received_bytes_are_unread() {
        on_both_drivers(async |Duplex { reader, mut writer }, mut far| {
            far.write_all(b"one request too many").expect("sent");
            assert!(writer.write_last(b"last".to_vec()).await.0.is_ok());
            drop((writer, reader));
            let mut got = [0; 16];
            assert_eq!(far.read(&mut got).expect("there"), 4);
        });
    }

    #[test]
    fn write_last_of_a_long_buffer_arrives_whole() {
        on_both_drivers(async |Duplex { reader, mut writer }, mut far| {
            let body: Vec<u8> = (0..20_000_000).map(|n| (n * 31 % 251) as u8).collect();
            let expected = body.clone();
            let reading = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                let mut got = Vec::new();
                far.read_to_end(&mut got).expect("arrives");
                got == expected
            });
            assert!(writer.write_last(body).await.0.is_ok());
            assert!(writer.shutdown().await.is_ok());
            drop((reader, writer));
            while !reading.is_finished() {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(reading.join().expect("no panic"));
        });
    }

    #[test]
    fn abort_resets_the_connection_after_the_sent_bytes() {
        on_both_drivers(async |Duplex { mut reader, mut writer }, mut far| {
            assert!(writer.write_all(b"half".to_vec()).await.0.is_ok());
            reader.abort();
            drop((writer, reader));
            let mut got = [0; 16];
            assert_eq!(far.read(&mut got).expect("there"), 4);
            assert_eq!(far.read(&mut got).map_err(|e| e.kind()), Err(io::ErrorKind::ConnectionReset));
        });
    }

    #[test]
    fn try_read_reports_a_failure() {
        on_both_drivers(async |Duplex { mut reader, writer }, far| {
            let mut buffer = Vec::with_capacity(16);
            assert_eq!(reader.try_read(&mut buffer).expect("nothing yet"), 0);
            connect_unspec(&far).expect("a reset");
            reader.readable().await.expect("something is there");
            assert_eq!(reader.try_read(&mut buffer).map_err(|e| e.kind()), Err(io::ErrorKind::ConnectionReset));
            drop(writer);
        });
    }

    #[test]
    fn write_last_fails_if_the_peer_has_reset() {
        on_both_drivers(async |Duplex { mut writer, .. }, far| {
            rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).expect("an option");
            drop(far);
            assert!(writer.write_last(b"nobody hears".to_vec()).await.0.is_err());
        });
    }
}
