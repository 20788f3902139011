//! Network I/O over io_uring or epoll. The only module that lends buffers to the kernel. It knows nothing of HTTP or configuration.
//!
//! *The ring rule* (docs/reference/drivers.md#buffers-and-cancelled-operations, docs/reference/drivers.md#dropped-reads): a buffer is moved
//! into an operation and comes back with its result. If a read loses a race or its time-out elapses, its connection must be closed: bytes
//! that had already arrived are lost with the dropped read. A runtime is never dropped: the process drains and exits.

pub mod deadlines;
pub mod driver;
pub mod listener_handover;
mod low_water;
mod min_rate;
pub mod peek;
mod pipe;
mod ring_probe;
pub mod reusable_future;
pub mod tls_stream;
pub mod readiness_set;
pub mod socket;
pub mod free_list;
pub mod splice;
mod sys;
pub mod tcp;
pub mod tunnel;
pub mod udp;
pub mod udp_batch;
mod nonblocking;

use std::future::Future;
use std::io;

pub use deadlines::{Deadlines, Elapsed, TimeLimit, is_timeout};
pub use min_rate::{MinRate, RateTooLow};
pub use ring_probe::RingProbe;
pub use tcp::Tcp;

/// The receiving side of a connection.
pub trait ReadHalf {
    /// Waits for bytes and appends them to `buffer`, as many as its spare capacity takes; 0 means that the peer has finished. A buffer
    /// without spare capacity is grown by the callee's minimum.
    fn read(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)>;

    /// Waits until a read would return at once. No buffer is needed meanwhile.
    fn readable(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Whether an idle connection may be used again: it is open, and no unsolicited bytes have arrived on it
    /// (docs/reference/security-promises.md#unsolicited-response).
    fn is_reusable(&mut self) -> bool;

    /// Whether bytes have arrived that have not been read, so that a close would become a reset; false if that is unknown.
    fn has_unread(&mut self) -> bool {
        false
    }

    /// Appends bytes that have arrived already, as many as the buffer's spare capacity takes. 0 if there are none, if reading needs a wait,
    /// and at the end of the stream, which the next read reports.
    ///
    /// # Errors
    /// The errors of a read. The kernel reports each error once: the next read does not report it again.
    fn try_read(&mut self, _buffer: &mut Vec<u8>) -> io::Result<usize> {
        Ok(0)
    }

    /// Starts a read into `buffer`, whose outcome the next [`read`](Self::read) takes. As long as the read ahead is pending, nothing has
    /// arrived. Returns the buffer if this half does not support that.
    fn read_ahead(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        Some(buffer)
    }

    /// Whether a read ahead has been started: then the next read returns the buffer of that one.
    fn is_reading_ahead(&self) -> bool {
        false
    }

    /// The plain socket of this half, if its bytes may be spliced through a pipe; `None` with TLS.
    fn as_plain(&mut self) -> Option<&mut tcp::TcpReader> {
        None
    }

    /// Whether the peer has closed its side or the connection has failed, even if unread bytes precede that.
    fn is_closed_by_peer(&mut self) -> bool;

    /// Resets the connection: the only way to tell a peer that a body without a length, which ends with the connection, is incomplete.
    fn abort(&mut self);
}

/// The sending side of a connection.
pub trait WriteHalf {
    /// Sends all of `buffer`; the buffer comes back with its contents.
    fn write_all(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)>;

    /// As [`write_all`](Self::write_all), for the last bytes of a connection: the kernel may hold them back and send them with the FIN. The
    /// caller must shut this half down, or drop it, right after this, without waiting for anything else. Closing the socket without a
    /// shutdown is not enough: if received bytes are unread, a close discards bytes that have not been sent.
    fn write_last(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)> {
        self.write_all(buffer)
    }

    /// Bytes that were sent, and that the peer's system has not acknowledged; `None` if that is unknown. On TLS the bytes of its records.
    fn unacknowledged(&self) -> Option<usize> {
        None
    }

    /// Ends the sending direction: sends close_notify on TLS, then FIN.
    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>>;

    /// The plain socket of this half, if bytes may be spliced into it from a pipe; `None` with TLS.
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

/// A connection that consists of two halves.
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
