//! The receiving side of an exchange on a stream.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::task::Poll;
use std::time::Instant;

use super::failure::to_io;
use super::link::Link;
use crate::http::h2::connection::{Data, StreamKey};
use crate::http::{BodyFraming, Edits};
use crate::net::{Deadlines, MinRate, TimeLimit};
use crate::worker::message::limits::RelayLimits;
use crate::worker::message::stream::{BodyReader, BodySink, Delivered, MessageWriter, RelayError};
use crate::worker::resources::buffers::BufferPool;

/// The receiving side of one exchange.
pub struct Reader<'a> {
    pub(super) link: &'a Link,
    pub(super) key: StreamKey,
    pub(super) pool: &'a BufferPool,
    /// The message has no body: what arrives on the stream is for a tunnel.
    pub(super) has_no_body: bool,
    /// Bytes of payload handed over so far.
    payload_bytes: u64,
    /// The trailer lines, once the body is complete.
    trailers: Vec<u8>,
    /// The edits of the head, whose names are dropped from the trailers.
    edits: Option<Box<Edits>>,
    /// The minimum data rate of a client, as for HTTP/1; `None` for a server.
    pub(super) min_rate: Option<MinRate>,
}

impl<'a> Reader<'a> {
    pub(super) fn of_request(link: &'a Link, key: StreamKey, pool: &'a BufferPool, framing: BodyFraming) -> Self {
        let has_no_body = framing == BodyFraming::None;
        let min_rate = Some(MinRate::default());
        Reader { link, key, pool, has_no_body, payload_bytes: 0, trailers: Vec::new(), edits: None, min_rate }
    }

    /// A reader of a response, which has no body until its head has been read.
    pub(super) fn of_response(link: &'a Link, key: StreamKey, pool: &'a BufferPool) -> Self {
        Reader { min_rate: None, ..Reader::of_request(link, key, pool, BodyFraming::None) }
    }

    /// Waits until data, the end of the message or a failure has arrived.
    pub(super) async fn changed(&self) {
        poll_fn(|cx| self.link.poll_stream(self.key, cx, |connection| connection.is_readable(self.key).then_some(())))
            .await;
    }

    fn has_failed(&self) -> bool {
        self.link.see(|connection| connection.failure(self.key).is_some())
    }

    /// Waits until the stream has failed, or until the handler has been woken for another reason. Returns whether it has failed.
    async fn fails(&self, mut note: impl FnMut(&Self)) -> bool {
        let mut is_first = true;
        poll_fn(|cx| {
            note(self);
            if self.has_failed() {
                return Poll::Ready(true);
            }
            if std::mem::take(&mut is_first) {
                self.link.register(self.key, cx.waker());
                return Poll::Pending;
            }
            Poll::Ready(false)
        })
        .await
    }
}

impl BodyReader for Reader<'_> {
    fn read_into(&mut self, sink: &mut impl BodySink) -> Result<Delivered, RelayError> {
        if self.has_no_body {
            return Ok(Delivered::All);
        }
        let mut taken = 0;
        let result = self.link.with(|connection| {
            let result = connection.read_data(self.key, self.pool, |payload| {
                let fits = sink.push(payload);
                if fits {
                    taken += payload.len() as u64;
                }
                fits
            });
            if matches!(result, Ok(Data::All)) {
                if let Some(edits) = &self.edits {
                    connection.retain_trailers(self.key, |name| !edits.concerns(name));
                }
                self.trailers.extend_from_slice(connection.trailers(self.key));
            }
            result
        });
        self.payload_bytes += taken;
        match result {
            Ok(Data::Part) => Ok(Delivered::Part),
            Ok(Data::All) => {
                self.has_no_body = true;
                Ok(Delivered::All)
            }
            Ok(Data::Refused) => Ok(Delivered::Refused),
            Err(failure) => Err(RelayError::Source(to_io(failure))),
        }
    }

    async fn fill(&mut self, limit: TimeLimit<'_>) -> Result<(), RelayError> {
        let start = self.min_rate.is_some().then(Instant::now);
        limit.within(self.changed()).await.map_err(|elapsed| RelayError::Source(elapsed.into()))?;
        let (Some(rate), Some(start)) = (&mut self.min_rate, start) else { return Ok(()) };
        rate.add_bytes(self.link.see(|connection| connection.unread_bytes(self.key)) as u64);
        rate.add_wait(limit.time, start.elapsed()).map_err(RelayError::Source)
    }

    async fn readable(&mut self) -> io::Result<()> {
        self.changed().await;
        Ok(())
    }

    async fn pass_raw<W: MessageWriter>(
        &mut self,
        _sink: &mut W,
        _limits: &mut RelayLimits<'_>,
    ) -> Result<bool, RelayError> {
        Ok(false)
    }

    fn remaining(&self) -> Option<u64> {
        if self.has_no_body { Some(0) } else { self.link.see(|connection| connection.remaining(self.key)) }
    }

    fn has_buffered(&self) -> bool {
        self.link.see(|connection| connection.has_data(self.key))
    }

    fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn drop_edited_trailers(&mut self, edits: &Edits) {
        if !self.has_no_body && !edits.is_empty() {
            self.edits = Some(Box::new(edits.clone()));
        }
    }

    fn is_quiet(&mut self) -> bool {
        !self.has_buffered()
    }

    fn disconnects(&mut self, _deadlines: &Deadlines) -> impl Future<Output = bool> {
        self.fails(|_| {})
    }

    fn disconnects_or_sends(&mut self, _deadlines: &Deadlines, has_more: &Cell<bool>) -> impl Future<Output = bool> {
        self.fails(|reader| has_more.set(has_more.get() || reader.has_buffered()))
    }
}
