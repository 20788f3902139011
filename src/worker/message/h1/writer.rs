//! The sending side of an HTTP/1 exchange: frames and sends a message.

use std::io;

use crate::http::forward::framing_for_client;
use crate::http::h1::body;
use crate::http::{BodyFraming, Version};
use crate::limits;
use crate::net::{TimeLimit, WriteHalf};
use crate::worker::message::stream::{BodySink, HeadKind, MessageWriter, RawWrite, SentMessage};
use crate::worker::resources::buffers::BufferPool;

/// The sending side of one exchange. Head and body are collected in `out`, so that a head and a small body leave together.
pub struct Writer<'a, W: WriteHalf> {
    half: &'a mut W,
    pool: &'a BufferPool,
    out: Vec<u8>,
    framing: BodyFraming,
    /// The receiver's version.
    version: Version,
    /// `out` holds the bytes of the message after they have been sent.
    keeps_sent: bool,
}

impl<'a, W: WriteHalf> Writer<'a, W> {
    pub fn new(half: &'a mut W, pool: &'a BufferPool, version: Version) -> Self {
        Writer { half, pool, out: Vec::new(), framing: BodyFraming::None, version, keeps_sent: false }
    }

    pub(super) fn half(&mut self) -> &mut W {
        self.half
    }
}

impl<W: WriteHalf> Writer<'_, W> {
    /// The buffer, lent from the pool if the writer holds none.
    fn lend_out(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = self.pool.lend_outgoing();
        }
        &mut self.out
    }

    /// Gives the buffer back once its bytes are sent: a tunnel, or a stream of rare events, holds none while it waits.
    fn release(&mut self) {
        if self.out.capacity() > 0 {
            self.pool.give_back_outgoing(std::mem::take(&mut self.out));
        }
    }
}

impl<W: WriteHalf> Drop for Writer<'_, W> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<W: WriteHalf> BodySink for Writer<'_, W> {
    fn push(&mut self, payload: &[u8]) -> bool {
        match self.framing {
            BodyFraming::Chunked => {
                if !payload.is_empty() {
                    let out = self.lend_out();
                    body::chunk_prefix(out, payload.len());
                    out.extend_from_slice(payload);
                    out.extend_from_slice(body::CHUNK_END);
                }
            }
            BodyFraming::Length(_) | BodyFraming::UntilClose => self.lend_out().extend_from_slice(payload),
            BodyFraming::None => {}
        }
        true
    }
}

impl<W: WriteHalf> MessageWriter for Writer<'_, W> {
    type Half = W;

    fn framing_for(&self, received: BodyFraming) -> BodyFraming {
        framing_for_client(self.version, received)
    }

    fn takes_interim(&self) -> bool {
        self.version == Version::Http11
    }

    fn needs_reset_when_cut(&self) -> bool {
        self.version == Version::Http10
    }

    fn head(&mut self) -> &mut Vec<u8> {
        let out = self.lend_out();
        out.clear();
        out
    }

    fn head_complete(&mut self, kind: HeadKind) {
        if let HeadKind::Final(framing) = kind {
            self.framing = framing;
        }
    }

    async fn send(&mut self, stall: TimeLimit<'_>) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let result = send(self.half, &mut self.out, stall).await;
        self.release();
        result
    }

    async fn finish(&mut self, trailers: &[u8], closes: bool, stall: TimeLimit<'_>) -> io::Result<()> {
        if self.framing == BodyFraming::Chunked {
            body::last_chunk(self.lend_out(), trailers);
        }
        let result = send_final(self.half, &mut self.out, closes, stall).await;
        if !self.keeps_sent {
            self.release();
        }
        result
    }

    fn keep_sent(&mut self) {
        self.keeps_sent = true;
    }

    fn forget_sent(&mut self) {
        self.keeps_sent = false;
    }

    fn take_sent(&mut self) -> Option<SentMessage> {
        let wire = std::mem::take(&mut self.keeps_sent).then(|| std::mem::take(&mut self.out))?;
        Some(SentMessage { wire_bytes: wire.len(), payload: payload_of(&wire, self.framing) })
    }

    fn as_raw(&mut self) -> Option<RawWrite<'_, W>> {
        super::is_counted(self.framing).then_some(RawWrite { half: self.half, unsent: &mut self.out })
    }

    async fn send_body(&mut self, mut body: &[u8], closes: bool, stall: TimeLimit<'_>) -> io::Result<()> {
        loop {
            let free_bytes = limits::HELD_PIECE_BYTES.saturating_sub(self.out.len());
            let (next, rest) = body.split_at(free_bytes.min(body.len()));
            self.push(next);
            body = rest;
            if body.is_empty() {
                return self.finish(&[], closes, stall).await;
            }
            self.send(stall).await?;
        }
    }
}

/// The payload of a whole message as it was sent.
fn payload_of(wire: &[u8], framing: BodyFraming) -> Vec<u8> {
    const HEAD_END: &[u8] = b"\r\n\r\n";
    let body_at = memchr::memmem::find(wire, HEAD_END).map_or(wire.len(), |at| at + HEAD_END.len());
    let mut rest = wire.get(body_at..).unwrap_or_default();
    if framing != BodyFraming::Chunked {
        return rest.to_vec();
    }
    let (mut decoder, mut payload) = (body::Decoder::new(framing), Vec::new());
    while let Ok(step) = decoder.decode(rest) {
        payload.extend_from_slice(step.data.and_then(|range| rest.get(range)).unwrap_or_default());
        rest = rest.get(step.consumed..).unwrap_or_default();
        if step.done || step.consumed == 0 {
            break;
        }
    }
    payload
}

/// Sends all of `buffer` within `stall`. The buffer comes back with its contents, unless the time has elapsed.
pub(super) async fn send<W: WriteHalf>(half: &mut W, buffer: &mut Vec<u8>, stall: TimeLimit<'_>) -> io::Result<()> {
    let bytes = std::mem::take(buffer);
    let (result, returned) = stall.within_io(async { Ok(half.write_all(bytes).await) }).await?;
    *buffer = returned;
    result
}

/// As [`send`]. If the message `closes` the connection, the connection is shut down as soon as the bytes are sent, and they may leave
/// together with the FIN ([`WriteHalf::write_last`]).
pub async fn send_final<W: WriteHalf>(
    half: &mut W,
    buffer: &mut Vec<u8>,
    closes: bool,
    stall: TimeLimit<'_>,
) -> io::Result<()> {
    if !closes {
        return send(half, buffer, stall).await;
    }
    let bytes = std::mem::take(buffer);
    let (result, returned) = stall.within_io(async { Ok(half.write_last(bytes).await) }).await?;
    *buffer = returned;
    result
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::net::Deadlines;

    /// Collects the bytes that are sent.
    #[derive(Default)]
    struct Sent(Vec<u8>);

    impl WriteHalf for Sent {
        async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
            self.0.extend_from_slice(&buffer);
            (Ok(()), buffer)
        }

        async fn shutdown(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn writer_holds_no_buffer_between_pieces_and_after_the_end() {
        let (pool, deadlines, mut sent) = (BufferPool::default(), Deadlines::default(), Sent::default());
        let stall = deadlines.limit(Duration::MAX);
        let mut writer = Writer::new(&mut sent, &pool, Version::Http11);
        writer.head().extend_from_slice(b"HEAD\r\n\r\n");
        writer.head_complete(HeadKind::Final(BodyFraming::Chunked));
        assert!(writer.send(stall).now_or_never().expect("no wait").is_ok());
        assert_eq!(writer.out.capacity(), 0, "a stream of rare events holds no buffer while it waits");
        assert!(writer.push(b"abc"));
        assert!(writer.finish(b"T: 1\r\n", false, stall).now_or_never().expect("no wait").is_ok());
        assert_eq!(writer.out.capacity(), 0, "nor does a tunnel");
        drop(writer);
        assert_eq!(sent.0, b"HEAD\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n");
    }
}
