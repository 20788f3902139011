//! Compression carried out: a body is packed while it passes, or where it lies (docs/reference/middlewares.md#compression). What is compressed was decided by
//! the entry point's step and stands in the passage.

use std::io;
use std::time::Duration;

use monoio::time::timeout;

use super::Worker;
use super::context::UpstreamResponse;
use super::read_buffer::{BufferPool, ReadBuffer};
use super::relay::RelayError;
use super::request_record::RequestRecord;
use super::response::{ResponseContext, ResponseOutcome, write_response_head};
use super::send::send;
use super::upstream::Dial;
use crate::http::forward::framing_for_client;
use crate::http::h1::body::{self, Decoder};
use crate::http::{BodyFraming, Reply};
use crate::limits;
use crate::middleware::compress::announce;
use crate::middleware::gzip::{CompressionPlan, GZIP_BYTES_MIN, Gzip};
use crate::middleware::{ChainState, Response};
use crate::net::{ReadHalf, TimeLimit, WriteHalf};

/// A backend that pauses for so long lets the client see what there is (Traefik's flush interval).
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// Packs the body of an answer of ours, if it is to be packed.
pub fn compress_reply(passage: &ChainState, reply: &mut Reply) {
    if passage.body == CompressionPlan::Gzip {
        reply.body = compressed(&reply.body).into();
    }
}

/// Packs a body that lies in memory whole, if it is to be packed; its head is changed then.
pub fn compress(passage: &ChainState, answer: &mut UpstreamResponse, body: &[u8]) -> Option<Vec<u8>> {
    match passage.body {
        CompressionPlan::Plain => return None,
        CompressionPlan::GzipIfLong if body.len() < GZIP_BYTES_MIN => return None,
        CompressionPlan::GzipIfLong => {
            announce(&mut Response::Backend { head: &answer.head, bytes: &answer.bytes, edits: &mut answer.edits });
        }
        CompressionPlan::Gzip => {}
    }
    Some(compressed(body))
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let (mut gzip, mut out) = (Gzip::default(), Vec::new());
    // Packing into memory cannot fail.
    let _ = gzip.push(body, &mut out);
    let _ = gzip.finish(&mut out);
    out
}

/// Sends a response whose body is packed on its way.
pub async fn deliver<R: ReadHalf, W: WriteHalf, D: Dial>(
    worker: &Worker<D>,
    reader: &mut R,
    writer: &mut W,
    asked: &mut ResponseContext<'_>,
    answer: &mut UpstreamResponse,
    record: &mut RequestRecord<'_>,
) -> ResponseOutcome {
    let stall = worker.stall();
    let mut inbox = std::mem::take(&mut answer.read_buffer);
    let decoder = Decoder::new(answer.head.body);
    let mut source = BodyReader { decoder, inbox: &mut inbox, reader, buffers: &worker.buffers };
    let mut plain = Vec::new();
    let mut is_open = Ok(true);
    if asked.chain_state.body == CompressionPlan::GzipIfLong {
        while plain.len() < GZIP_BYTES_MIN && matches!(is_open, Ok(true)) {
            is_open = source.piece(&mut plain).await;
        }
    }
    let is_short = asked.chain_state.body == CompressionPlan::GzipIfLong && plain.len() < GZIP_BYTES_MIN;
    let framing = match (is_short, &is_open) {
        (true, Ok(_)) => BodyFraming::Length(plain.len() as u64),
        _ => framing_for_client(asked.head.version, BodyFraming::Chunked),
    };
    if !is_short && asked.chain_state.body == CompressionPlan::GzipIfLong {
        announce(&mut Response::Backend { head: &answer.head, bytes: &answer.bytes, edits: &mut answer.edits });
    }
    let mut out = std::mem::take(&mut answer.out);
    let keep_alive = write_response_head(worker, asked, answer, framing, &mut out);
    asked.response_started.set(true);
    let mut moved = plain.len() as u64;
    let result = if is_short {
        frame(&mut out, &plain, framing);
        asked.chain_state.release_permits();
        let (sent, returned) = send(writer, out, stall).await;
        out = returned;
        is_open.and(sent.map_err(RelayError::Sink))
    } else {
        let events = is_event_stream(answer);
        let passage = &mut *asked.chain_state;
        let mut pipe =
            GzipWriter { gzip: Gzip::default(), packed: Vec::new(), out, framing, writer, stall, sent: 0, passage };
        let result = pipe.run(source, plain, &mut moved, events).await;
        record.compressed(pipe.sent);
        out = pipe.out;
        result
    };
    let result = worker.relayed(result);
    record.delivered(moved, &result);
    answer.out = out;
    answer.read_buffer = inbox;
    let is_complete = result.is_ok();
    ResponseOutcome {
        keep_alive: keep_alive && is_complete,
        upstream_ok: is_complete && answer.head.keep_alive,
        upgraded: false,
        is_cut: framing == BodyFraming::UntilClose && !is_complete,
        page: None,
    }
}

fn is_event_stream(answer: &UpstreamResponse) -> bool {
    let view = crate::http::ResponseView { head: &answer.head, bytes: &answer.bytes, edits: &answer.edits };
    view.first(b"content-type").is_some_and(|value| value.starts_with(b"text/event-stream"))
}

/// The backend's body, piece by piece.
struct BodyReader<'a, R> {
    decoder: Decoder,
    inbox: &'a mut ReadBuffer,
    reader: &'a mut R,
    buffers: &'a BufferPool,
}

impl<R: ReadHalf> BodyReader<'_, R> {
    /// Appends the next piece; false at the body's end.
    async fn piece(&mut self, into: &mut Vec<u8>) -> Result<bool, RelayError> {
        let malformed = |e: body::InvalidBody| RelayError::Source(io::Error::new(io::ErrorKind::InvalidData, e));
        loop {
            if self.decoder.is_done() {
                return Ok(false);
            }
            if self.inbox.is_empty() {
                // No limit of time, as for bodies that pass untouched: it may be a stream of rare events.
                if self.inbox.fill(self.reader, self.buffers).await.map_err(RelayError::Source)? == 0 {
                    self.decoder.finish().map_err(malformed)?;
                    return Ok(false);
                }
            }
            let step = self.decoder.decode(self.inbox.pending()).map_err(malformed)?;
            if let Some(range) = &step.data {
                into.extend_from_slice(&self.inbox.pending()[range.clone()]);
            }
            self.inbox.consume(step.consumed);
            if step.data.is_some() {
                return Ok(true);
            }
        }
    }

    /// The next piece has to be waited for.
    fn must_wait(&self) -> bool {
        self.inbox.is_empty() && !self.decoder.is_done()
    }
}

/// The packed body on its way to the client.
struct GzipWriter<'a, W> {
    gzip: Gzip,
    packed: Vec<u8>,
    out: Vec<u8>,
    framing: BodyFraming,
    writer: &'a mut W,
    stall: TimeLimit<'a>,
    sent: u64,
    passage: &'a mut ChainState,
}

impl<W: WriteHalf> GzipWriter<'_, W> {
    /// `plain`: what has been read already; `moved`: bytes of the body before packing.
    async fn run<R: ReadHalf>(
        &mut self,
        mut source: BodyReader<'_, R>,
        mut plain: Vec<u8>,
        moved: &mut u64,
        events: bool,
    ) -> Result<(), RelayError> {
        let broken = RelayError::Source;
        loop {
            let is_new = !plain.is_empty();
            self.gzip.push(&plain, &mut self.packed).map_err(broken)?;
            plain.clear();
            if source.must_wait() {
                let pauses = is_new && (events || timeout(FLUSH_AFTER, source.reader.readable()).await.is_err());
                if pauses {
                    self.gzip.flush(&mut self.packed).map_err(broken)?;
                }
            }
            if source.must_wait() || self.packed.len() >= limits::COPY_BUFFER_MIN_BYTES {
                self.send().await?;
            }
            match source.piece(&mut plain).await {
                Ok(true) => *moved += plain.len() as u64,
                Ok(false) => break,
                Err(e) => {
                    // What was good still belongs to the client; the missing end tells it that there was more.
                    let _ = self.gzip.flush(&mut self.packed);
                    let _ = self.send().await;
                    return Err(e);
                }
            }
        }
        std::mem::take(&mut self.gzip).finish(&mut self.packed).map_err(broken)?;
        self.frame_packed();
        if self.framing == BodyFraming::Chunked {
            body::last_chunk(&mut self.out, source.decoder.trailers());
        }
        self.passage.release_permits();
        self.send().await
    }

    fn frame_packed(&mut self) {
        if !self.packed.is_empty() {
            frame(&mut self.out, &self.packed, self.framing);
            self.sent += self.packed.len() as u64;
            self.packed.clear();
        }
    }

    async fn send(&mut self) -> Result<(), RelayError> {
        self.frame_packed();
        if self.out.is_empty() {
            return Ok(());
        }
        let (result, returned) = send(self.writer, std::mem::take(&mut self.out), self.stall).await;
        self.out = returned;
        self.out.clear();
        result.map_err(RelayError::Sink)
    }
}

fn frame(out: &mut Vec<u8>, data: &[u8], framing: BodyFraming) {
    match framing {
        BodyFraming::Chunked if !data.is_empty() => {
            body::chunk_prefix(out, data.len());
            out.extend_from_slice(data);
            out.extend_from_slice(body::CHUNK_END);
        }
        BodyFraming::Chunked => {}
        _ => out.extend_from_slice(data),
    }
}
