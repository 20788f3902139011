//! The receiving side of an HTTP/1 exchange: decodes the body of a message.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::is_counted;
use super::read_buffer::ReadBuffer;
use crate::http::deviation::Deviations;
use crate::http::h1::body::Decoder;
use crate::http::{BodyFraming, Edits, InvalidBody};
use crate::limits;
use crate::net::{Deadlines, MinRate, ReadHalf, TimeLimit};
use crate::worker::message::limits::RelayLimits;
use crate::worker::message::stream::{BodyReader, BodySink, Delivered, MessageWriter, RelayError};
use crate::worker::resources::buffers::BufferPool;

/// The receiving side of one exchange.
pub struct Reader<'a, R> {
    pub(super) half: &'a mut R,
    pub(super) buffer: &'a mut ReadBuffer,
    pub(super) pool: &'a BufferPool,
    pub(super) decoder: Decoder,
    /// The deviations of heads that were normalised.
    pub(super) deviations: Deviations,
    /// The body is bare payload, without framing between its bytes.
    pub(super) is_counted: bool,
    /// Bytes of payload handed over so far.
    pub(super) payload_bytes: u64,
    /// The minimum data rate ([`limits::BODY_BYTES_PER_STALL_MIN`]) of a client, which could hold a server's connection indefinitely with a
    /// byte now and then; `None` for a server.
    pub(super) min_rate: Option<MinRate>,
}

impl<'a, R: ReadHalf> Reader<'a, R> {
    pub fn of_request(half: &'a mut R, buffer: &'a mut ReadBuffer, pool: &'a BufferPool, framing: BodyFraming) -> Self {
        let min_rate = Some(MinRate::default());
        Reader {
            half,
            buffer,
            pool,
            decoder: Decoder::new(framing),
            deviations: Deviations::default(),
            is_counted: is_counted(framing),
            payload_bytes: 0,
            min_rate,
        }
    }

    /// A reader of a response; it has no body until [`ResponseReader::read_head`](super::super::stream::ResponseReader::read_head) has read
    /// a head that announces one.
    pub fn of_response(half: &'a mut R, buffer: &'a mut ReadBuffer, pool: &'a BufferPool) -> Self {
        let decoder = Decoder::new(BodyFraming::None);
        let deviations = Deviations::default();
        Reader { half, buffer, pool, decoder, deviations, is_counted: false, payload_bytes: 0, min_rate: None }
    }

    /// The read half, and the bytes that have arrived on it and have not been handed over.
    pub(super) fn raw_parts(&mut self) -> (&mut R, Vec<u8>) {
        (self.half, self.buffer.take())
    }

    /// The time at which waiting begins, if the sender has a minimum data rate.
    pub(super) fn start_waiting(&self) -> Option<Instant> {
        self.min_rate.is_some().then(Instant::now)
    }

    /// Accounts for `read` bytes and the time since `start` that was spent waiting for them.
    ///
    /// # Errors
    /// The sender is slower than its minimum data rate.
    pub(super) fn stop_waiting(
        &mut self,
        start: Option<Instant>,
        period: Duration,
        read: usize,
    ) -> Result<(), RelayError> {
        let (Some(rate), Some(start)) = (&mut self.min_rate, start) else { return Ok(()) };
        rate.add_bytes(read as u64);
        rate.add_wait(period, start.elapsed()).map_err(RelayError::Source)
    }

    /// Handles the end of the connection: an error unless the body is complete by it.
    pub(super) fn end_of_stream(&mut self) -> Result<(), RelayError> {
        self.decoder.finish().map_err(malformed)
    }
}

impl<R: ReadHalf> BodyReader for Reader<'_, R> {
    fn read_into(&mut self, sink: &mut impl BodySink) -> Result<Delivered, RelayError> {
        loop {
            let has_payload = !self.buffer.is_empty() && !self.decoder.is_done();
            let space = if has_payload { sink.space() } else { usize::MAX };
            if space == 0 {
                return Ok(Delivered::Full);
            }
            let step = self.decoder.decode_within(self.buffer.pending(), space).map_err(malformed)?;
            if let Some(range) = &step.data {
                let payload = &self.buffer.pending()[range.clone()];
                if !sink.push(payload) {
                    return Ok(Delivered::Refused);
                }
                self.payload_bytes += payload.len() as u64;
            }
            self.buffer.consume(step.consumed);
            if step.done {
                return Ok(Delivered::All);
            }
            if step.consumed == 0 || self.buffer.is_empty() {
                return Ok(Delivered::Part);
            }
        }
    }

    async fn fill(&mut self, limit: TimeLimit<'_>) -> Result<(), RelayError> {
        let is_long = self.is_counted && self.decoder.remaining().is_some_and(|left| left >= limits::SPLICE_MIN_BYTES);
        if is_long && self.buffer.is_empty() && !self.half.is_reading_ahead() {
            self.buffer.lend_large(self.pool);
        }
        let start = self.start_waiting();
        let read = limit.within_io(self.buffer.fill(self.half, self.pool)).await.map_err(RelayError::Source)?;
        if read == 0 {
            return self.end_of_stream();
        }
        self.stop_waiting(start, limit.time, read)
    }

    fn readable(&mut self) -> impl Future<Output = io::Result<()>> {
        self.half.readable()
    }

    async fn pass_raw<W: MessageWriter>(
        &mut self,
        sink: &mut W,
        limits: &mut RelayLimits<'_>,
    ) -> Result<bool, RelayError> {
        if !self.is_counted {
            return Ok(false);
        }
        let Some(raw) = sink.as_raw() else { return Ok(false) };
        self.pass_verbatim(raw, limits).await.map(|()| true)
    }

    fn remaining(&self) -> Option<u64> {
        self.decoder.remaining()
    }

    fn has_buffered(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    fn trailers(&self) -> &[u8] {
        self.decoder.trailers()
    }

    fn drop_edited_trailers(&mut self, edits: &Edits) {
        self.decoder.drop_edited_trailers(edits);
    }

    /// Polls the socket once in [`limits::DISCONNECT_POLL_MILLIS`]: that costs quick requests next to nothing, and needs no operation of
    /// the ring.
    async fn disconnects(&mut self, deadlines: &Deadlines) -> bool {
        deadlines.pause(Duration::from_millis(limits::DISCONNECT_POLL_MILLIS)).await;
        self.half.is_closed_by_peer()
    }

    async fn disconnects_or_sends(&mut self, deadlines: &Deadlines, has_more: &Cell<bool>) -> bool {
        let mut pause = pin!(deadlines.pause(Duration::from_millis(limits::DISCONNECT_POLL_MILLIS)));
        poll_fn(|cx| {
            if !has_more.get() {
                has_more.set(!self.is_quiet());
            }
            pause.as_mut().poll(cx)
        })
        .await;
        self.half.is_closed_by_peer()
    }

    fn is_quiet(&mut self) -> bool {
        self.buffer.is_empty() && self.half.is_reusable()
    }
}

fn malformed(error: InvalidBody) -> RelayError {
    RelayError::Source(io::Error::new(io::ErrorKind::InvalidData, error))
}
