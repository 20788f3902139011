//! An HTTP/1 message as it leaves.

use std::io;

use crate::http::forward::framing_for_client;
use crate::http::h1::body;
use crate::http::{BodyFraming, Version};
use crate::limits;
use crate::net::{TimeLimit, WriteHalf};
use crate::worker::message::stream::{BodySink, HeadKind, MessageWriter, RawWrite};
use crate::worker::resources::buffers::BufferPool;

/// The sending side of one exchange. Head and body gather in `out`, so that a head and a small body leave together.
pub struct Writer<'a, W: WriteHalf> {
    half: &'a mut W,
    pool: &'a BufferPool,
    out: Vec<u8>,
    framing: BodyFraming,
    /// The receiver's version.
    version: Version,
}

impl<'a, W: WriteHalf> Writer<'a, W> {
    pub fn new(half: &'a mut W, pool: &'a BufferPool, version: Version) -> Self {
        Writer { half, pool, out: Vec::new(), framing: BodyFraming::None, version }
    }

    pub(super) fn half(&mut self) -> &mut W {
        self.half
    }
}

impl<W: WriteHalf> Drop for Writer<'_, W> {
    fn drop(&mut self) {
        if self.out.capacity() > 0 {
            self.pool.give_back_outgoing(std::mem::take(&mut self.out));
        }
    }
}

impl<W: WriteHalf> BodySink for Writer<'_, W> {
    fn push(&mut self, payload: &[u8]) -> bool {
        match self.framing {
            BodyFraming::Chunked => {
                if !payload.is_empty() {
                    body::chunk_prefix(&mut self.out, payload.len());
                    self.out.extend_from_slice(payload);
                    self.out.extend_from_slice(body::CHUNK_END);
                }
            }
            BodyFraming::Length(_) | BodyFraming::UntilClose => self.out.extend_from_slice(payload),
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

    fn needs_reset_when_cut(&self) -> bool {
        self.version == Version::Http10
    }

    fn head(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = self.pool.lend_outgoing();
        }
        self.out.clear();
        &mut self.out
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
        self.out.clear();
        result
    }

    async fn finish(&mut self, trailers: &[u8], closes: bool, stall: TimeLimit<'_>) -> io::Result<()> {
        if self.framing == BodyFraming::Chunked {
            body::last_chunk(&mut self.out, trailers);
        }
        let result = send_final(self.half, &mut self.out, closes, stall).await;
        self.out.clear();
        result
    }

    fn as_raw(&mut self) -> Option<RawWrite<'_, W>> {
        super::is_counted(self.framing).then_some(RawWrite { half: self.half, unsent: &mut self.out })
    }

    async fn send_body(&mut self, mut body: &[u8], closes: bool, stall: TimeLimit<'_>) -> io::Result<()> {
        loop {
            let room = limits::HELD_PIECE_BYTES.saturating_sub(self.out.len());
            let (next, rest) = body.split_at(room.min(body.len()));
            self.push(next);
            body = rest;
            if body.is_empty() {
                return self.finish(&[], closes, stall).await;
            }
            self.send(stall).await?;
        }
    }
}

/// Sends all of `buffer` within `stall`. The buffer comes back with its contents, unless the time is over.
pub(super) async fn send<W: WriteHalf>(half: &mut W, buffer: &mut Vec<u8>, stall: TimeLimit<'_>) -> io::Result<()> {
    let bytes = std::mem::take(buffer);
    let (result, returned) = stall.within_io(async { Ok(half.write_all(bytes).await) }).await?;
    *buffer = returned;
    result
}

/// As [`send`]; if it `closes`, the connection is shut down as soon as this is done, and the bytes may leave together with its end
/// ([`WriteHalf::write_last`]).
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
