//! The proxy's two halves of a connection in memory; the other end implements [`FarEnd`]. `Duplex`, `ReadHalf`, `WriteHalf` and `PeekHalf`
//! come from the module that includes this file: the library's own tests and the fuzzers reach them by different paths.

use std::cell::RefCell;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Duplex, PeekHalf, ReadHalf, WriteHalf};

/// The peer's end of a connection.
pub trait FarEnd: Sized {
    /// The state of the proxy's end.
    fn near(&mut self) -> &mut NearEnd;

    /// Returns up to `room` bytes for the proxy; none at the end of the stream. Before `Pending`, calls [`NearEnd::wait`].
    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>>;

    /// Accepts bytes of the proxy; returns how many.
    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Whether there is nothing to read, and neither an end nor an error.
    fn is_silent(&mut self) -> bool;

    /// Whether the peer has closed its direction, or the connection has failed.
    fn is_gone(&mut self) -> bool;

    /// Sent bytes that the peer's system has not acknowledged, if the peer knows them.
    fn unacknowledged(&mut self) -> Option<usize> {
        None
    }

    /// Waits as long as the next segment takes.
    fn travel(_end: &Shared<Self>) -> impl Future<Output = ()> {
        ready(())
    }
}

/// The state of the proxy's end of a connection.
#[derive(Debug, Default)]
pub struct NearEnd {
    reader: Option<Waker>,
    /// The proxy has announced its last bytes (`write_last`): next, it must shut its direction down or drop the connection.
    pub last: bool,
    /// The proxy has shut its direction down, dropped the connection, aborted it.
    pub finished: bool,
    pub dropped: bool,
    pub cut: bool,
}

impl NearEnd {
    /// Registers the reader's waker and returns `Pending`.
    pub fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Wakes the reader: there is something to read, or the end.
    pub fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Checks that the proxy does not wait between its last bytes and the shutdown: `write_last` may hold bytes back for it.
    fn check_before_wait(&self) {
        assert!(!self.last || self.finished, "a wait after the last bytes");
    }

    fn check_before_bytes(&self, bytes: &[u8]) {
        assert!(!self.last, "bytes after the last ones: {}", bytes.escape_ascii());
        assert!(!self.finished, "bytes after the end of the stream: {}", bytes.escape_ascii());
    }
}

pub type Shared<E> = Rc<RefCell<E>>;
pub type Wire<E> = Duplex<Reader<E>, Writer<E>>;

pub struct Reader<E: FarEnd>(Shared<E>, Peeked);
pub struct Writer<E: FarEnd>(Shared<E>);

/// Bytes that have arrived and have been seen, but not taken.
#[derive(Default)]
struct Peeked {
    bytes: Vec<u8>,
    has_ended: bool,
    low_water: usize,
}

/// Makes a connection: the peer's end, and the proxy's.
pub fn connect<E: FarEnd>(end: E) -> (Shared<E>, Wire<E>) {
    let end = Rc::new(RefCell::new(end));
    (Rc::clone(&end), Duplex { reader: Reader(Rc::clone(&end), Peeked::default()), writer: Writer(end) })
}

impl<E: FarEnd> ReadHalf for Reader<E> {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(64);
        }
        let room = buffer.capacity() - buffer.len();
        if !self.1.bytes.is_empty() || self.1.has_ended {
            let size = self.1.bytes.len().min(room);
            buffer.extend(self.1.bytes.drain(..size));
            return (Ok(size), buffer);
        }
        E::travel(&self.0).await;
        let read = poll_fn(|cx| {
            let mut end = self.0.borrow_mut();
            end.near().check_before_wait();
            end.poll_read(cx, room)
        });
        match read.await {
            Ok(bytes) => {
                buffer.extend_from_slice(&bytes);
                (Ok(bytes.len()), buffer)
            }
            Err(e) => (Err(e), buffer),
        }
    }

    async fn readable(&mut self) -> io::Result<()> {
        if self.1.low_water > 1 {
            return poll_fn(|cx| self.poll_mark(cx)).await;
        }
        if !self.1.bytes.is_empty() || self.1.has_ended {
            return Ok(());
        }
        poll_fn(|cx| {
            let mut end = self.0.borrow_mut();
            end.near().check_before_wait();
            if end.is_silent() { end.near().wait(cx) } else { Poll::Ready(Ok(())) }
        })
        .await
    }

    fn is_reusable(&mut self) -> bool {
        self.1.bytes.is_empty() && !self.1.has_ended && self.0.borrow_mut().is_silent()
    }

    fn is_closed_by_peer(&mut self) -> bool {
        self.1.has_ended || self.0.borrow_mut().is_gone()
    }

    fn abort(&mut self) {
        self.0.borrow_mut().near().cut = true;
    }
}

impl<E: FarEnd> Reader<E> {
    /// Keeps what has arrived, in `Peeked`. Ready if anything has.
    fn poll_arrival(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let arrived = self.0.borrow_mut().poll_read(cx, 64);
        arrived.map_ok(|bytes| {
            self.1.has_ended |= bytes.is_empty();
            self.1.bytes.extend(bytes);
        })
    }

    /// Ready if as many bytes as the low-water mark have arrived, or the end or a failure has.
    fn poll_mark(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        while self.1.bytes.len() < self.1.low_water && !self.1.has_ended {
            match self.poll_arrival(cx) {
                Poll::Ready(Ok(())) => {}
                // The next look meets the failure.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<E: FarEnd> PeekHalf for Reader<E> {
    fn try_peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.1.bytes.len() < into.len() && !self.1.has_ended {
            match self.poll_arrival(&Context::from_waker(Waker::noop())) {
                Poll::Ready(arrived) => arrived?,
                Poll::Pending if self.1.bytes.is_empty() => return Err(io::ErrorKind::WouldBlock.into()),
                Poll::Pending => {}
            }
        }
        let size = self.1.bytes.len().min(into.len());
        into[..size].copy_from_slice(&self.1.bytes[..size]);
        Ok(size)
    }

    fn set_low_water(&mut self, bytes: usize) -> io::Result<()> {
        self.1.low_water = bytes;
        Ok(())
    }
}

impl<E: FarEnd> WriteHalf for Writer<E> {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let mut done = 0;
        while done < buffer.len() {
            E::travel(&self.0).await;
            let left = &buffer[done..];
            let written = poll_fn(|cx| {
                let mut end = self.0.borrow_mut();
                end.near().check_before_bytes(left);
                end.poll_write(cx, left)
            });
            match written.await {
                Ok(size) => done += size,
                Err(e) => return (Err(e), buffer),
            }
        }
        (Ok(()), buffer)
    }

    async fn write_last(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let written = self.write_all(buffer).await;
        self.0.borrow_mut().near().last = written.0.is_ok();
        written
    }

    fn unacknowledged(&self) -> Option<usize> {
        self.0.borrow_mut().unacknowledged()
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        let mut end = self.0.borrow_mut();
        end.near().finished = true;
        end.near().wake();
        Ok(())
    }
}

impl<E: FarEnd> Drop for Writer<E> {
    fn drop(&mut self) {
        self.0.borrow_mut().near().dropped = true;
    }
}
