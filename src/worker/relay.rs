//! Moving one message's body from a reader to a writer, with bounded buffers and back-pressure: nothing is read while the other
//! side has not taken what was read before.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use super::read_buffer::{BufferPool, ReadBuffer};
use super::send::{send, send_final};
use crate::http::h1::body::{self, Decoder};
use crate::http::{BodyFraming, InvalidBody};
use crate::limits;
use crate::middleware::ChainState;
use crate::net::splice::{Pipe, SpliceError, Transfer, pause};
use crate::net::{MinRate, ReadHalf, TimeLimit, WriteHalf};

/// Which side ended a body early.
#[derive(Debug)]
pub enum RelayError {
    /// The sender broke off, stalled, or sent something that is no body.
    Source(io::Error),
    /// The receiver broke off or stalled.
    Sink(io::Error),
}

/// A body on its way.
pub struct Relay<'a> {
    pub decoder: &'a mut Decoder,
    /// How the sender frames it, and how the receiver gets it.
    pub incoming: BodyFraming,
    pub outgoing: BodyFraming,
    pub inbox: &'a mut ReadBuffer,
    pub buffers: &'a BufferPool,
    /// How long the receiver may take nothing.
    pub stall: TimeLimit<'a>,
    /// How long the sender may be silent; `None` for a response, which may be a stream of rare events (v1 has no such limit either).
    pub idle_timeout: Option<TimeLimit<'a>>,
    /// What came in that time: see [`limits::BODY_BYTES_PER_STALL_MIN`].
    pub min_rate: MinRate,
    /// Payload bytes handed to the receiver so far.
    pub moved: u64,
    /// Whose places under limits are given back with the last bytes: those of the request that this body answers.
    pub permits: Option<&'a mut ChainState>,
    /// The receiver's connection is shut down as soon as the body has left.
    pub closes: bool,
}

impl<'a> Relay<'a> {
    /// Appends to `out` what has already arrived of the body, so that a head and a small body leave together. True when that is all.
    ///
    /// # Errors
    /// `Source`: what arrived is no body in this framing.
    pub fn take_buffered(&mut self, out: &mut Vec<u8>) -> Result<bool, RelayError> {
        loop {
            let step = self.decoder.decode(self.inbox.pending()).map_err(malformed)?;
            if let Some(range) = &step.data {
                let data = &self.inbox.pending()[range.clone()];
                self.moved += data.len() as u64;
                match self.outgoing {
                    BodyFraming::Chunked => {
                        body::chunk_prefix(out, data.len());
                        out.extend_from_slice(data);
                        out.extend_from_slice(body::CHUNK_END);
                    }
                    BodyFraming::Length(_) | BodyFraming::UntilClose => out.extend_from_slice(data),
                    BodyFraming::None => {}
                }
            }
            self.inbox.consume(step.consumed);
            if step.done {
                if self.outgoing == BodyFraming::Chunked {
                    body::last_chunk(out, self.decoder.trailers());
                }
                return Ok(true);
            }
            if step.consumed == 0 || self.inbox.is_empty() {
                return Ok(false);
            }
        }
    }

    /// Sends `out`, then the rest of the body as it arrives. Returns the last buffer for reuse.
    ///
    /// # Errors
    /// Which side failed. What was sent before has been sent: the receiver must be told by its connection's end.
    pub async fn run<R: ReadHalf, W: WriteHalf>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        mut out: Vec<u8>,
    ) -> (Result<(), RelayError>, Vec<u8>) {
        match self.take_buffered(&mut out) {
            // Few bodies are longer than what came with their head. Boxed: most connections never need the space.
            Ok(false) => Box::pin(self.run_on(reader, writer, out)).await,
            ended => self.end(ended, writer, out).await,
        }
    }

    async fn run_on<R: ReadHalf, W: WriteHalf>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        mut out: Vec<u8>,
    ) -> (Result<(), RelayError>, Vec<u8>) {
        loop {
            let moved = if self.is_verbatim() {
                self.pass_verbatim(reader, writer, &mut out).await
            } else {
                self.pass_piece(reader, writer, &mut out).await
            };
            if let Err(e) = moved {
                return (Err(e), out);
            }
            match self.take_buffered(&mut out) {
                Ok(false) => {}
                ended => return self.end(ended, writer, out).await,
            }
        }
    }

    /// Sends `out` and waits for the next piece.
    async fn pass_piece<R: ReadHalf, W: WriteHalf>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        out: &mut Vec<u8>,
    ) -> Result<(), RelayError> {
        self.flush(writer, out).await?;
        self.fill(reader).await
    }

    /// Sends `out` and empties it.
    async fn flush<W: WriteHalf>(&self, writer: &mut W, out: &mut Vec<u8>) -> Result<(), RelayError> {
        if out.is_empty() {
            return Ok(());
        }
        let (result, returned) = send(writer, std::mem::take(out), self.stall).await;
        *out = returned;
        out.clear();
        result.map_err(RelayError::Sink)
    }

    /// Sends the last bytes. Good bytes in front of bad ones still belong to the receiver.
    async fn end<W: WriteHalf>(
        &mut self,
        ended: Result<bool, RelayError>,
        writer: &mut W,
        out: Vec<u8>,
    ) -> (Result<(), RelayError>, Vec<u8>) {
        self.release_permits();
        // Behind a bad body the connection may be reset: what was good of it leaves at once.
        let (sent, out) = send_final(writer, out, self.closes && ended.is_ok(), self.stall).await;
        (ended.and(sent.map_err(RelayError::Sink)), out)
    }

    /// The last bytes are about to leave.
    fn release_permits(&mut self) {
        if let Some(passage) = &mut self.permits {
            passage.release_permits();
        }
    }

    /// Counted bytes go out as they come in: then a buffer is filled by one side and sent to the other without being looked at.
    fn is_verbatim(&self) -> bool {
        matches!(
            (self.incoming, self.outgoing),
            (BodyFraming::Length(_), BodyFraming::Length(_)) | (BodyFraming::UntilClose, BodyFraming::UntilClose)
        )
    }

    async fn fill<R: ReadHalf>(&mut self, reader: &mut R) -> Result<(), RelayError> {
        let start = self.idle_timeout.map(|limit| (limit.time, Instant::now()));
        let patience = self.read_timeout();
        let read = patience.within_io(self.inbox.fill(reader, self.buffers)).await.map_err(RelayError::Source)?;
        if read == 0 {
            return self.decoder.finish().map_err(malformed);
        }
        self.account(start, read)
    }

    /// How long the sender is waited for.
    fn read_timeout(&self) -> TimeLimit<'a> {
        self.idle_timeout.unwrap_or(self.stall.with(Duration::MAX))
    }

    fn account(&mut self, start: Option<(Duration, Instant)>, read: usize) -> Result<(), RelayError> {
        let Some((period, start)) = start else { return Ok(()) };
        self.min_rate.add_bytes(read as u64);
        self.min_rate.add_wait(period, start.elapsed()).map_err(RelayError::Source)
    }

    /// The rest is long, counted, and between plain sockets: it may go from one to the other without being seen.
    fn is_spliceable<R: ReadHalf, W: WriteHalf>(&self, reader: &mut R, writer: &mut W) -> bool {
        let is_long = self.decoder.remaining().is_some_and(|left| left >= limits::SPLICE_MIN_BYTES);
        is_long && reader.as_plain().is_some() && writer.as_plain().is_some()
    }

    /// Sends `head` and moves the rest from socket to socket through a pipe.
    async fn splice<R: ReadHalf, W: WriteHalf>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        head: &[u8],
        pipe: Pipe,
    ) -> Result<(), RelayError> {
        let count = self.decoder.remaining().unwrap_or_default();
        let (Some(from), Some(to)) = (reader.as_plain(), writer.as_plain()) else { return Ok(()) };
        let moved = Cell::new(0);
        let answers = &mut self.permits;
        let pace = self.idle_timeout.is_some().then_some(&mut self.min_rate);
        let in_good_pieces = answers.is_some();
        let transfer = Transfer { from, to, head, count, stall: self.stall, in_good_pieces, pace };
        let ends = || answers.iter_mut().for_each(|passage| passage.release_permits());
        let result = transfer.run(pipe, &self.buffers.pipes, &moved, ends).await;
        self.decoder.skip(moved.get());
        self.moved += moved.get();
        result.map_err(|broken| match broken {
            SpliceError::Source(e) => RelayError::Source(e),
            SpliceError::Sink(e) => RelayError::Sink(e),
        })
    }

    /// Sends `out` and the rest of a body whose bytes go out as they come in, until the counted body (or the stream) ends.
    async fn pass_verbatim<R: ReadHalf, W: WriteHalf>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        out: &mut Vec<u8>,
    ) -> Result<(), RelayError> {
        self.inbox.release(self.buffers);
        if self.is_spliceable(reader, writer)
            && let Some(pipe) = self.buffers.pipes.lend()
        {
            let spliced = self.splice(reader, writer, out, pipe).await;
            out.clear();
            return spliced;
        }
        // The first bytes leave together with what has come since.
        let mut buffer = self.buffers.lend_large();
        buffer.append(out);
        let result = self.copy(reader, writer, &mut buffer).await;
        self.buffers.give_back_large(buffer);
        result
    }

    /// Copies through `buffer`, which may begin with bytes to be sent.
    async fn copy<R: ReadHalf, W: WriteHalf>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        buffer: &mut Vec<u8>,
    ) -> Result<(), RelayError> {
        let mut turn = 0;
        loop {
            // What has come meanwhile goes on while buffer and session are still in the core's cache.
            let taken = self.take_at_once(reader, buffer);
            if taken.is_err() {
                // What came before it is good.
                self.flush(writer, buffer).await?;
            }
            if taken? == 0 && buffer.is_empty() {
                turn = 0;
                if !self.await_piece(reader, buffer).await? {
                    return self.decoder.finish().map_err(malformed);
                }
            }
            turn += buffer.len();
            if self.decoder.remaining() == Some(0) {
                self.release_permits();
                let (sent, returned) = send_final(writer, std::mem::take(buffer), self.closes, self.stall).await;
                *buffer = returned;
                return sent.map_err(RelayError::Sink);
            }
            self.flush(writer, buffer).await?;
            if turn >= limits::COPY_TURN_BYTES {
                turn = 0;
                pause().await;
            }
        }
    }

    /// Waits for the next piece, without a buffer: none of this size is held meanwhile. False at the end of the stream.
    async fn await_piece<R: ReadHalf>(&mut self, reader: &mut R, buffer: &mut Vec<u8>) -> Result<bool, RelayError> {
        self.buffers.give_back_large(std::mem::take(buffer));
        let start = self.idle_timeout.map(|limit| (limit.time, Instant::now()));
        self.read_timeout().within_io(reader.readable()).await.map_err(RelayError::Source)?;
        *buffer = self.buffers.lend_large();
        let is_more = self.take_at_once(reader, buffer)? > 0 || self.take_next(reader, buffer).await?;
        self.account(start, 0)?;
        Ok(is_more)
    }

    /// Takes what has arrived of the body, without waiting.
    fn take_at_once<R: ReadHalf>(&mut self, reader: &mut R, buffer: &mut Vec<u8>) -> Result<usize, RelayError> {
        if self.decoder.remaining() == Some(0) {
            return Ok(0);
        }
        let read = reader.try_read(buffer).map_err(RelayError::Source)?;
        self.admit(buffer, read);
        Ok(read)
    }

    /// Reads once; false at the end of the stream.
    async fn take_next<R: ReadHalf>(&mut self, reader: &mut R, buffer: &mut Vec<u8>) -> Result<bool, RelayError> {
        let reading = async { Ok(reader.read(std::mem::take(buffer)).await) };
        let (read, returned) = self.read_timeout().within_io(reading).await.map_err(RelayError::Source)?;
        *buffer = returned;
        let read = read.map_err(RelayError::Source)?;
        self.admit(buffer, read);
        Ok(read > 0)
    }

    /// Counts the last `read` bytes of `buffer`. What follows the body is the next message: it stays with the sender's connection.
    fn admit(&mut self, buffer: &mut Vec<u8>, read: usize) {
        let body_bytes = self.decoder.remaining().map_or(read as u64, |left| left.min(read as u64));
        let end = buffer.len() - read + body_bytes as usize;
        if end < buffer.len() {
            self.inbox.unread(&buffer[end..], self.buffers);
            buffer.truncate(end);
        }
        self.decoder.skip(body_bytes);
        self.moved += body_bytes;
        self.min_rate.add_bytes(body_bytes);
    }
}

fn malformed(error: InvalidBody) -> RelayError {
    RelayError::Source(io::Error::new(io::ErrorKind::InvalidData, error))
}
