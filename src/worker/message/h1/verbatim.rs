//! Moves the rest of a body that needs no framing from socket to socket, unread: through a pipe, or through one large buffer.

use std::cell::Cell;

use super::reader::Reader;
use super::writer::{send, send_final};
use crate::limits;
use crate::net::splice::{Pipe, SpliceError, Transfer, pause};
use crate::net::{ReadHalf, WriteHalf};
use crate::worker::message::limits::RelayLimits;
use crate::worker::message::stream::{RawWrite, RelayError};

impl<R: ReadHalf> Reader<'_, R> {
    /// Sends the bytes that `sink` holds and the rest of the body, until the counted body (or the stream) ends.
    pub(super) async fn pass_verbatim<W: WriteHalf>(
        &mut self,
        sink: RawWrite<'_, W>,
        limits: &mut RelayLimits<'_>,
    ) -> Result<(), RelayError> {
        self.buffer.release(self.pool);
        let RawWrite { half, unsent } = sink;
        if self.is_spliceable(half)
            && let Some(pipe) = self.pool.pipes.lend()
        {
            let spliced = self.splice(half, unsent, pipe, limits).await;
            unsent.clear();
            return spliced;
        }
        // The unsent bytes are sent together with the bytes that have arrived since.
        let mut buffer = self.pool.lend_large();
        buffer.append(unsent);
        self.pool.give_back_outgoing(std::mem::take(unsent));
        let result = self.copy(half, &mut buffer, limits).await;
        self.pool.give_back_large(buffer);
        result
    }

    /// Whether the rest of the body may be spliced, without being copied: it has at least `SPLICE_MIN_BYTES`, and both sockets are plain.
    fn is_spliceable<W: WriteHalf>(&mut self, half: &mut W) -> bool {
        let is_long = self.decoder.remaining().is_some_and(|left| left >= limits::SPLICE_MIN_BYTES);
        is_long && self.half.as_plain().is_some() && half.as_plain().is_some()
    }

    /// Sends `head` and moves the rest of the body from socket to socket through a pipe.
    async fn splice<W: WriteHalf>(
        &mut self,
        half: &mut W,
        head: &[u8],
        pipe: Pipe,
        limits: &mut RelayLimits<'_>,
    ) -> Result<(), RelayError> {
        let count = self.decoder.remaining().unwrap_or_default();
        let (Some(from), Some(to)) = (self.half.as_plain(), half.as_plain()) else { return Ok(()) };
        let moved = Cell::new(0);
        let in_good_pieces = limits.permits.is_some();
        let pace = self.min_rate.as_mut();
        let transfer = Transfer { from, to, head, count, stall: limits.stall, in_good_pieces, pace };
        let result = transfer.run(pipe, &self.pool.pipes, &moved, || limits.release_permits()).await;
        self.decoder.skip(moved.get());
        self.payload_bytes += moved.get();
        result.map_err(|broken| match broken {
            SpliceError::Source(e) => RelayError::Source(e),
            SpliceError::Sink(e) => RelayError::Sink(e),
        })
    }

    /// Copies the rest of the body through `buffer`, which may begin with bytes to be sent.
    async fn copy<W: WriteHalf>(
        &mut self,
        half: &mut W,
        buffer: &mut Vec<u8>,
        limits: &mut RelayLimits<'_>,
    ) -> Result<(), RelayError> {
        let mut turn = 0;
        loop {
            // Bytes that have arrived meanwhile are sent while buffer and TLS session are still in the core's cache.
            let taken = self.try_take(buffer);
            if taken.is_err() {
                // Bytes that arrived before the error are valid.
                flush(half, buffer, limits).await?;
            }
            if taken? == 0 && buffer.is_empty() {
                turn = 0;
                if !self.await_piece(buffer, limits).await? {
                    return self.end_of_stream();
                }
            }
            turn += buffer.len();
            if self.decoder.remaining() == Some(0) {
                limits.release_permits();
                let sent = send_final(half, buffer, limits.closes, limits.stall).await;
                buffer.clear();
                return sent.map_err(RelayError::Sink);
            }
            flush(half, buffer, limits).await?;
            if turn >= limits::COPY_TURN_BYTES {
                turn = 0;
                pause().await;
            }
        }
    }

    /// Waits for the next piece, and holds no large buffer meanwhile. Returns false at the end of the stream.
    async fn await_piece(&mut self, buffer: &mut Vec<u8>, limits: &RelayLimits<'_>) -> Result<bool, RelayError> {
        let timeout = limits.read_timeout;
        self.pool.give_back_large(std::mem::take(buffer));
        let start = self.start_waiting();
        timeout.within_io(self.half.readable()).await.map_err(RelayError::Source)?;
        *buffer = self.pool.lend_large();
        let is_more = self.try_take(buffer)? > 0 || self.take_next(buffer, limits).await?;
        self.stop_waiting(start, timeout.time, 0)?;
        Ok(is_more)
    }

    /// Reads bytes of the body that have arrived, without waiting.
    fn try_take(&mut self, buffer: &mut Vec<u8>) -> Result<usize, RelayError> {
        if self.decoder.remaining() == Some(0) {
            return Ok(0);
        }
        let read = self.half.try_read(buffer).map_err(RelayError::Source)?;
        self.account(buffer, read);
        Ok(read)
    }

    /// Reads once; returns false at the end of the stream.
    async fn take_next(&mut self, buffer: &mut Vec<u8>, limits: &RelayLimits<'_>) -> Result<bool, RelayError> {
        let reading = async { Ok(self.half.read(std::mem::take(buffer)).await) };
        let (read, returned) = limits.read_timeout.within_io(reading).await.map_err(RelayError::Source)?;
        *buffer = returned;
        let read = read.map_err(RelayError::Source)?;
        self.account(buffer, read);
        Ok(read > 0)
    }

    /// Counts the last `read` bytes of `buffer`. Bytes behind the body belong to the next message: they go back to the sender's read
    /// buffer.
    fn account(&mut self, buffer: &mut Vec<u8>, read: usize) {
        let body_bytes = self.decoder.remaining().map_or(read as u64, |left| left.min(read as u64));
        let end = buffer.len() - read + body_bytes as usize;
        if end < buffer.len() {
            self.buffer.unread(&buffer[end..], self.pool);
            buffer.truncate(end);
        }
        self.decoder.skip(body_bytes);
        self.payload_bytes += body_bytes;
        if let Some(rate) = &mut self.min_rate {
            rate.add_bytes(body_bytes);
        }
    }
}

/// Sends `buffer` and empties it.
async fn flush<W: WriteHalf>(half: &mut W, buffer: &mut Vec<u8>, limits: &RelayLimits<'_>) -> Result<(), RelayError> {
    if buffer.is_empty() {
        return Ok(());
    }
    let sent = send(half, buffer, limits.stall).await;
    buffer.clear();
    sent.map_err(RelayError::Sink)
}
