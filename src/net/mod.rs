//! Bytes in and out over the ring. The only room where buffers are lent to the kernel; it knows nothing of HTTP or configuration.
//!
//! *The ring rule* (docs/reference/drivers.md#buffers-and-cancelled-operations, docs/reference/drivers.md#dropped-reads): a buffer goes into an operation and comes back with its result. A read that loses a race or
//! a time-out ends its connection, because bytes that had already arrived are gone with it; a runtime is never dropped, the process
//! drains and exits.

pub mod deadlines;
pub mod driver;
pub mod listener_handover;
mod low_water;
mod min_rate;
mod pipe;
mod ring_probe;
pub mod reusable_future;
pub mod tls_stream;
pub mod socket;
pub mod free_list;
pub mod splice;
mod sys;
pub mod tcp;
pub mod tunnel;
mod nonblocking;

use std::future::Future;
use std::io;

pub use deadlines::{Deadlines, Elapsed, TimeLimit, is_timeout};
pub use min_rate::{MinRate, RateTooLow};
pub use ring_probe::RingProbe;
pub use tcp::Tcp;

/// The receiving side of a connection.
pub trait ReadHalf {
    /// Appends what arrives to `buffer`, as much as its spare capacity takes; 0 means that the peer has finished.
    /// A buffer without spare capacity is grown by the callee's minimum.
    fn read(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)>;

    /// Waits until a read would return at once, holding no buffer meanwhile.
    fn readable(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Whether an idle connection may be used again: open, and nothing unasked has arrived on it (docs/reference/security-promises.md#unsolicited-response).
    fn is_reusable(&mut self) -> bool;

    /// Whether bytes have arrived that nobody has read, so that a close would become a reset; false where that cannot be told.
    fn has_unread(&mut self) -> bool {
        false
    }

    /// Appends what has arrived already, as much as the buffer's spare capacity takes; 0 where that cannot be told without waiting, and at
    /// the end, which the next read tells.
    ///
    /// # Errors
    /// Those of a read. The system tells each once: the next read knows nothing of it.
    fn try_read(&mut self, _buffer: &mut Vec<u8>) -> io::Result<usize> {
        Ok(0)
    }

    /// Begins a read into `buffer` that the next [`read`](Self::read) only takes the outcome of; until then the connection is quiet as
    /// long as nothing has come of it. Gives the buffer back where that is not to be had.
    fn read_ahead(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        Some(buffer)
    }

    /// A read has been begun ahead: the next one brings its own buffer.
    fn is_reading_ahead(&self) -> bool {
        false
    }

    /// The plain socket behind this half, if its bytes may go through a pipe unseen.
    fn as_plain(&mut self) -> Option<&mut tcp::TcpReader> {
        None
    }

    /// Whether the peer has closed its side or the connection has failed, even behind bytes that nobody has read yet.
    fn is_closed_by_peer(&mut self) -> bool;

    /// Makes the connection end in a reset: the one way to tell a peer that a body which lasts until the end is not whole.
    fn abort(&mut self);
}

/// The sending side of a connection.
pub trait WriteHalf {
    /// Sends all of `buffer`; the buffer comes back with its contents.
    fn write_all(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)>;

    /// As [`write_all`](Self::write_all), for the last bytes of a connection that is shut down as soon as this is done, as dropping this half
    /// does too: they may wait for the FIN and leave with it. Nothing may be waited for before it; and a bare close would not do, because one
    /// with unread bytes throws away what has not left.
    fn write_last(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)> {
        self.write_all(buffer)
    }

    /// Says that nothing more will be sent (FIN, after close_notify on TLS).
    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>>;

    /// The plain socket behind this half, if bytes from a pipe may go into it.
    fn as_plain(&mut self) -> Option<&mut tcp::TcpWriter> {
        None
    }
}

/// A connection whose two directions can be used at the same time.
pub trait Transport {
    type Read: ReadHalf;
    type Write: WriteHalf;

    fn split(&mut self) -> (&mut Self::Read, &mut Self::Write);
}

/// A connection as its two halves.
pub struct Duplex<R, W> {
    pub reader: R,
    pub writer: W,
}

impl<R: ReadHalf, W: WriteHalf> Transport for Duplex<R, W> {
    type Read = R;
    type Write = W;

    fn split(&mut self) -> (&mut R, &mut W) {
        (&mut self.reader, &mut self.writer)
    }
}
