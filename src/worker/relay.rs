//! Moving one message's body from a reader to a writer, with bounded buffers and back-pressure: nothing is read while the other
//! side has not taken what was read before.

use std::io;
use std::time::{Duration, Instant};

use super::inbox::{Buffers, Inbox};
use crate::http::Body;
use crate::http::h1::body::{self, Decoder};
use crate::limits;
use crate::net::splice::{self, Broken};
use crate::net::{ReadHalf, TimeLimit, WriteHalf};

/// Which side ended a body early.
#[derive(Debug)]
pub enum RelayError {
    /// The sender broke off, stalled, or sent something that is no body.
    Source(io::Error),
    /// The receiver broke off or stalled.
    Sink,
}

/// A body on its way.
pub struct Relay<'a> {
    pub decoder: &'a mut Decoder,
    /// How the sender frames it, and how the receiver gets it.
    pub incoming: Body,
    pub outgoing: Body,
    pub inbox: &'a mut Inbox,
    pub buffers: &'a Buffers,
    /// How long the receiver may take nothing.
    pub stall: TimeLimit<'a>,
    /// How long the sender may be silent; `None` for a response, which may be a stream of rare events (v1 has no such limit either).
    pub silence: Option<TimeLimit<'a>>,
    /// What came in that time: see [`limits::BODY_BYTES_PER_STALL_MIN`].
    pub pace: Pace,
    /// Payload bytes handed to the receiver so far.
    pub moved: u64,
}

/// Time spent waiting for a sender, against what came in it: waiting for the receiver does not count.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// # Errors
    /// `TimedOut`: less than [`limits::BODY_BYTES_PER_STALL_MIN`] came in a whole `period` of waiting.
    pub fn account(&mut self, period: Duration, waited: Duration, bytes: usize) -> io::Result<()> {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < period {
            return Ok(());
        }
        let Pace { bytes, .. } = std::mem::take(self);
        if bytes < limits::BODY_BYTES_PER_STALL_MIN { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl<'a> Relay<'a> {
    /// Appends to `out` what has already arrived of the body, so that a head and a small body leave together. True when that is all.
    ///
    /// # Errors
    /// `Source`: what arrived is no body in this framing.
    pub fn take_arrived(&mut self, out: &mut Vec<u8>) -> Result<bool, RelayError> {
        loop {
            let step = self.decoder.decode(self.inbox.pending()).map_err(malformed)?;
            if let Some(range) = &step.data {
                let data = &self.inbox.pending()[range.clone()];
                self.moved += data.len() as u64;
                match self.outgoing {
                    Body::Chunked => {
                        body::chunk_prefix(out, data.len());
                        out.extend_from_slice(data);
                        out.extend_from_slice(body::CHUNK_END);
                    }
                    Body::Length(_) | Body::UntilClose => out.extend_from_slice(data),
                    Body::None => {}
                }
            }
            self.inbox.consume(step.consumed);
            if step.done {
                if self.outgoing == Body::Chunked {
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
        match self.take_arrived(&mut out) {
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
            if !out.is_empty() {
                let (result, returned) = send(writer, out, self.stall).await;
                out = returned;
                if result.is_err() {
                    return (Err(RelayError::Sink), out);
                }
                out.clear();
            }
            let moved =
                if self.is_verbatim() { self.copy_verbatim(reader, writer).await } else { self.fill(reader).await };
            if let Err(e) = moved {
                return (Err(e), out);
            }
            match self.take_arrived(&mut out) {
                Ok(false) => {}
                ended => return self.end(ended, writer, out).await,
            }
        }
    }

    /// Sends the last bytes. Good bytes in front of bad ones still belong to the receiver.
    async fn end<W: WriteHalf>(
        &self,
        ended: Result<bool, RelayError>,
        writer: &mut W,
        out: Vec<u8>,
    ) -> (Result<(), RelayError>, Vec<u8>) {
        let (sent, out) = send(writer, out, self.stall).await;
        (ended.and(sent.map_err(|_| RelayError::Sink)), out)
    }

    /// Counted bytes go out as they come in: then a buffer is filled by one side and sent to the other without being looked at.
    fn is_verbatim(&self) -> bool {
        matches!(
            (self.incoming, self.outgoing),
            (Body::Length(_), Body::Length(_)) | (Body::UntilClose, Body::UntilClose)
        )
    }

    async fn fill<R: ReadHalf>(&mut self, reader: &mut R) -> Result<(), RelayError> {
        let start = self.silence.map(|limit| (limit.time, Instant::now()));
        let patience = self.patience();
        let read = patience.bound(self.inbox.fill(reader, self.buffers)).await.map_err(RelayError::Source)?;
        if read == 0 {
            return self.decoder.finish().map_err(malformed);
        }
        self.account(start, read)
    }

    /// How long the sender is waited for.
    fn patience(&self) -> TimeLimit<'a> {
        self.silence.unwrap_or(self.stall.with(Duration::MAX))
    }

    fn account(&mut self, start: Option<(Duration, Instant)>, read: usize) -> Result<(), RelayError> {
        let Some((period, start)) = start else { return Ok(()) };
        self.pace.account(period, start.elapsed(), read).map_err(RelayError::Source)
    }

    /// Moves the rest of a long counted body from socket to socket through a pipe. False if this body is none of that kind.
    async fn splice<R: ReadHalf, W: WriteHalf>(&mut self, reader: &mut R, writer: &mut W) -> Result<bool, RelayError> {
        let Some(left) = self.decoder.remaining().filter(|&left| left >= limits::SPLICE_MIN_BYTES) else {
            return Ok(false);
        };
        let (Some(from), Some(to)) = (reader.as_plain(), writer.as_plain()) else { return Ok(false) };
        let mut moved = 0;
        let result = splice::transfer(from, to, left, self.stall, &self.buffers.pipes, &mut moved).await;
        self.decoder.skip(moved);
        self.moved += moved;
        match result {
            Ok(()) => Ok(true),
            Err(Broken::Source(e)) => Err(RelayError::Source(e)),
            Err(Broken::Sink(_)) => Err(RelayError::Sink),
        }
    }

    /// Copies through one buffer that grows while the stream keeps filling it, until the counted body (or the stream) ends.
    async fn copy_verbatim<R: ReadHalf, W: WriteHalf>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<(), RelayError> {
        self.inbox.release(self.buffers);
        if self.splice(reader, writer).await? {
            return Ok(());
        }
        let mut buffer: Vec<u8> = Vec::with_capacity(limits::COPY_BUFFER_MIN_BYTES);
        while self.decoder.remaining() != Some(0) {
            let start = self.silence.map(|limit| (limit.time, Instant::now()));
            let reading = async { Ok(reader.read(std::mem::take(&mut buffer)).await) };
            let (read, returned) = self.patience().bound(reading).await.map_err(RelayError::Source)?;
            buffer = returned;
            let read = read.map_err(RelayError::Source)?;
            if read == 0 {
                return self.decoder.finish().map_err(malformed);
            }
            self.account(start, read)?;
            let body_bytes = self.decoder.remaining().map_or(read as u64, |left| left.min(read as u64)) as usize;
            if body_bytes < read {
                // What follows the body is the next message: it stays with the sender's connection.
                self.inbox.put_back(&buffer[body_bytes..], self.buffers);
                buffer.truncate(body_bytes);
            }
            self.decoder.skip(body_bytes as u64);
            self.moved += body_bytes as u64;
            let was_full = buffer.len() == buffer.capacity();
            let (result, returned) = send(writer, buffer, self.stall).await;
            result.map_err(|_| RelayError::Sink)?;
            buffer = returned;
            buffer.clear();
            if was_full && buffer.capacity() < limits::COPY_BUFFER_MAX_BYTES {
                buffer = Vec::with_capacity(buffer.capacity() * 4);
            }
        }
        Ok(())
    }
}

/// Sends a whole buffer, within `stall`.
pub async fn send<W: WriteHalf>(writer: &mut W, buffer: Vec<u8>, stall: TimeLimit<'_>) -> (io::Result<()>, Vec<u8>) {
    let sent = stall.bound(async { Ok(writer.write_all(buffer).await) }).await;
    sent.unwrap_or_else(|late| (Err(late), Vec::new()))
}

fn malformed(error: body::InvalidBody) -> RelayError {
    RelayError::Source(io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_drips_is_too_slow_and_one_that_pauses_is_not() {
        let period = Duration::from_secs(180);
        let mut drip = Pace::default();
        let slow = (0..20).map(|_| drip.account(period, Duration::from_secs(10), 1)).find(Result::is_err);
        assert!(slow.is_some_and(|e| e.is_err_and(|e| e.kind() == io::ErrorKind::TimedOut)));
        let mut pauses = Pace::default();
        for _ in 0..20 {
            assert!(pauses.account(period, Duration::from_secs(170), 2048).is_ok());
        }
    }
}
