//! Compresses bodies, in memory or while they are forwarded (docs/reference/middlewares.md#compression). The entry point's middleware has
//! decided whether a body is compressed; its decision is in the chain state.

use std::time::Duration;

use monoio::time::timeout;

use super::request_record::RequestRecord;
use super::response_context::{ResponseContext, ResponseOutcome, write_response_head};
use super::response_end::end_response;
use crate::http::{BodyFraming, Reply};
use crate::middleware::compress::announce;
use crate::middleware::gzip::{CompressionPlan, GZIP_BYTES_MIN, Gzip};
use crate::middleware::validators::trailers_of_compressed;
use crate::middleware::{ChainState, Response};
use crate::net::TimeLimit;
use crate::worker::message::stream::{BodyReader, Delivered, MessageWriter, RelayError, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// If the server sends nothing for this long, it pauses, and the client gets all that the server has sent: long enough that the pieces of
/// one write stay together, and too short to be noticed.
const PAUSE: Duration = Duration::from_millis(5);

/// Compresses the body of a local reply, if the chain state's plan is to compress it.
pub fn compress_reply(state: &ChainState, reply: &mut Reply) {
    if state.body == CompressionPlan::Gzip {
        reply.body = compressed(&reply.body).into();
    }
}

/// Compresses a body that is in memory, if the chain state's plan is to compress it, and changes the response's head accordingly.
pub fn compress(state: &ChainState, response: &mut UpstreamResponse, body: &[u8]) -> Option<Vec<u8>> {
    match state.body {
        CompressionPlan::Plain => return None,
        CompressionPlan::GzipIfLong if body.len() < GZIP_BYTES_MIN => return None,
        CompressionPlan::GzipIfLong => {
            announce(&mut Response::Backend {
                head: &response.head,
                bytes: &response.bytes,
                edits: &mut response.edits,
            });
        }
        CompressionPlan::Gzip => {}
    }
    Some(compressed(body))
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let (mut gzip, mut out) = (Gzip::default(), Vec::new());
    // Writing into memory cannot fail.
    let _ = gzip.push(body, &mut out);
    let _ = gzip.finish(&mut out);
    out
}

/// Sends a response, and compresses its body while it is forwarded. A body of unknown length is compressed if it has
/// [`GZIP_BYTES_MIN`] bytes, or if the server pauses before its end: its length is unknown then.
pub async fn deliver<R: ResponseReader, W: MessageWriter, D: Dial>(
    worker: &Worker<D>,
    reader: &mut R,
    writer: &mut W,
    context: &mut ResponseContext<'_>,
    response: &mut UpstreamResponse,
    record: &mut RequestRecord<'_>,
) -> ResponseOutcome {
    let stall = worker.stall();
    // Reading a response's body has no time limit, compressed or not: it may be a stream of rare events.
    let read_timeout = stall.with(Duration::MAX);
    let mut plain = Vec::new();
    let mut arrived = reader.read_into(&mut plain);
    let mut is_short = false;
    if context.chain_state.body == CompressionPlan::GzipIfLong {
        while plain.len() < GZIP_BYTES_MIN && matches!(arrived, Ok(Delivered::Part)) && !has_paused(reader).await {
            arrived = read_once(reader, &mut plain, read_timeout).await;
        }
        is_short = plain.len() < GZIP_BYTES_MIN && !matches!(arrived, Ok(Delivered::Part));
        if !is_short {
            announce(&mut Response::Backend {
                head: &response.head,
                bytes: &response.bytes,
                edits: &mut response.edits,
            });
        }
    }
    let framing = match &arrived {
        // A body with trailers stays chunked: only chunks carry them.
        Ok(_) if is_short && reader.trailers().is_empty() => BodyFraming::Length(plain.len() as u64),
        _ => writer.framing_for(BodyFraming::Chunked),
    };
    let keep_alive = write_response_head(worker, context, response, framing, writer);
    context.response_started.set(true);
    let result = if is_short {
        send_short(reader, writer, &plain, arrived, stall, context.chain_state).await
    } else {
        let state = &mut *context.chain_state;
        let gzip = Gzip::default();
        let mut gzip =
            GzipWriter { gzip, has_input: false, compressed: Vec::new(), writer, stall, sent_bytes: 0, state };
        let result = gzip.run(reader, plain, arrived, read_timeout).await;
        record.compressed(gzip.sent_bytes);
        result
    };
    let result = worker.relayed(result.map(drop));
    let is_complete = result.is_ok();
    end_response(worker, reader, result, record);
    ResponseOutcome {
        keep_alive: keep_alive && is_complete,
        upstream_ok: is_complete && response.head.keep_alive,
        upgraded: false,
        is_cut: framing == BodyFraming::UntilClose && !is_complete,
        page: None,
    }
}

/// Sends a body that has ended, with the result `arrived`, before it was worth compressing.
async fn send_short<R: BodyReader, W: MessageWriter>(
    reader: &R,
    writer: &mut W,
    plain: &[u8],
    arrived: Result<Delivered, RelayError>,
    stall: TimeLimit<'_>,
    state: &mut ChainState,
) -> Result<Delivered, RelayError> {
    writer.push(plain);
    state.release_permits();
    let sent = match &arrived {
        Ok(_) => writer.finish(reader.trailers(), false, stall).await,
        // The missing end tells the client that the body was cut.
        Err(_) => writer.send(stall).await,
    };
    arrived.and(sent.map(|()| Delivered::All).map_err(RelayError::Sink))
}

/// Whether the server pauses: for [`PAUSE`] nothing more can be read.
async fn has_paused<R: BodyReader>(reader: &mut R) -> bool {
    // An error is no pause: the next read reports it.
    timeout(PAUSE, reader.readable()).await.is_err()
}

/// Waits for bytes of the body and appends their payload to `plain`; there may be none, for example in the middle of a chunk's size.
async fn read_once<R: BodyReader>(
    reader: &mut R,
    plain: &mut Vec<u8>,
    limit: TimeLimit<'_>,
) -> Result<Delivered, RelayError> {
    reader.fill(limit).await?;
    reader.read_into(plain)
}

/// Compresses a body and sends it to the client.
struct GzipWriter<'a, W> {
    gzip: Gzip,
    /// The encoder holds input that has not been flushed.
    has_input: bool,
    compressed: Vec<u8>,
    writer: &'a mut W,
    stall: TimeLimit<'a>,
    /// Bytes of the compressed body.
    sent_bytes: u64,
    state: &'a mut ChainState,
}

impl<W: MessageWriter> GzipWriter<'_, W> {
    /// Compresses and sends `plain`, which has been read already with the result `arrived`, and the rest of the body. Whenever the server
    /// pauses, the client has got all that the server has sent.
    async fn run<R: BodyReader>(
        &mut self,
        reader: &mut R,
        mut plain: Vec<u8>,
        mut arrived: Result<Delivered, RelayError>,
        read_timeout: TimeLimit<'_>,
    ) -> Result<Delivered, RelayError> {
        let broken = RelayError::Source;
        loop {
            if !plain.is_empty() {
                self.gzip.push(&plain, &mut self.compressed).map_err(broken)?;
                self.has_input = true;
                plain.clear();
            }
            match arrived {
                Ok(Delivered::Part | Delivered::Full) => {}
                Ok(_) => break,
                Err(e) => {
                    // The valid bytes still belong to the client; the missing end tells it that the body was cut.
                    let _ = self.gzip.flush(&mut self.compressed);
                    let _ = self.send().await;
                    return Err(e);
                }
            }
            if self.has_input && has_paused(reader).await {
                self.gzip.flush(&mut self.compressed).map_err(broken)?;
                self.has_input = false;
            }
            self.send().await?;
            arrived = read_once(reader, &mut plain, read_timeout).await;
        }
        std::mem::take(&mut self.gzip).finish(&mut self.compressed).map_err(broken)?;
        self.push_compressed();
        self.state.release_permits();
        let trailers = trailers_of_compressed(reader.trailers());
        let sent = self.writer.finish(&trailers, false, self.stall).await;
        sent.map(|()| Delivered::All).map_err(RelayError::Sink)
    }

    fn push_compressed(&mut self) {
        if !self.compressed.is_empty() {
            self.writer.push(&self.compressed);
            self.sent_bytes += self.compressed.len() as u64;
            self.compressed.clear();
        }
    }

    async fn send(&mut self) -> Result<(), RelayError> {
        self.push_compressed();
        self.writer.send(self.stall).await.map_err(RelayError::Sink)
    }
}
