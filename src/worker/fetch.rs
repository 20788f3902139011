//! One request whose answer is wanted whole in memory: what an authentication server says, an error page, a buffered exchange.

use std::cell::Cell;

use super::Worker;
use super::budget::BufferedBody;
use super::context::UpstreamResponse;
use super::response::read_head;
use super::send::send_in_chunks;
use super::upstream::{Dial, connect};
use crate::config::snapshot::ServerEndpoint;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::h1::body::Decoder;
use crate::limits::Bound;
use crate::net::{ReadHalf, Transport};

/// A request ready to be sent.
pub struct FetchRequest<'a> {
    pub head: Vec<u8>,
    pub body: &'a [u8],
    /// It is a HEAD request: its answer has no body.
    pub is_head: bool,
    /// Safe to be sent again when a kept connection turns out to be dead (RFC 9110 9.2.2). None that has a body is.
    pub repeatable: bool,
    /// An answer's body beyond this is not read.
    pub body_bytes_max: usize,
    pub origin: &'a ServerEndpoint,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub enum FetchError {
    Failed(ProxyError),
    /// The body is longer than the errand allows, or than the worker may still hold. Its head has been read.
    TooLarge,
}

impl From<ProxyError> for FetchError {
    fn from(error: ProxyError) -> Self {
        FetchError::Failed(error)
    }
}

/// Runs the errand: the head comes into `answer`, the body is the value.
///
/// # Errors
/// See [`NotFetched`]; the connection is closed then.
pub async fn fetch<'w, D: Dial>(
    worker: &'w Worker<D>,
    mut errand: FetchRequest<'_>,
    answer: &mut UpstreamResponse,
) -> Result<BufferedBody<'w>, FetchError> {
    let origin = errand.origin;
    if let Some(pooled) = worker.take_pooled(origin, answer) {
        match send_and_read(worker, &mut errand, pooled, answer).await {
            Err(FetchError::Failed(e)) if errand.repeatable && e.is_broken() && answer.read_buffer.is_empty() => {
                answer.read_buffer.release(&worker.buffers);
                answer.repeated = true;
            }
            done => return done,
        }
    }
    let fresh = connect(worker, origin).await?;
    send_and_read(worker, &mut errand, fresh, answer).await
}

async fn send_and_read<'w, D: Dial>(
    worker: &'w Worker<D>,
    errand: &mut FetchRequest<'_>,
    mut connection: D::Io,
    answer: &mut UpstreamResponse,
) -> Result<BufferedBody<'w>, FetchError> {
    // A server that failed before may have begun to answer.
    answer.read_buffer.discard(&worker.buffers);
    let (reader, writer) = connection.split();
    let head = std::mem::take(&mut errand.head);
    let (sent, head) = send_in_chunks(writer, head, errand.body, false, worker.stall()).await;
    // As it was if there is no body, and only then it is needed again.
    debug_assert!(errand.body.is_empty() || !errand.repeatable);
    errand.head = head;
    worker.timed(Bound::StalledBody, sent).map_err(|e| ProxyError::new(ExchangePhase::Send, Cause::Io(e)))?;
    read_head(worker, reader, errand.is_head, &Cell::new(true), answer).await?;
    if answer.head.status == 101 {
        return Err(malformed("101 to a request that asked for no upgrade").into());
    }
    let body = read_body(worker, reader, answer, errand.body_bytes_max).await;
    let in_step = body.is_ok() && answer.head.keep_alive && answer.read_buffer.is_empty();
    // Bytes nobody asked for must never become an answer to anyone (docs/reference/security-promises.md#unsolicited-response).
    drop(answer.read_buffer.take());
    if in_step && !worker.is_draining() {
        worker.pool.put(errand.origin.pool, connection, worker.clock.mono_nanos(), &worker.buffers);
    }
    body
}

async fn read_body<'w, R: ReadHalf, D: Dial>(
    worker: &'w Worker<D>,
    reader: &mut R,
    answer: &mut UpstreamResponse,
    bytes_max: usize,
) -> Result<BufferedBody<'w>, FetchError> {
    let failed = |cause| FetchError::Failed(ProxyError::new(ExchangePhase::Await, cause));
    let too_large = |bound| {
        worker.exceeded(bound);
        FetchError::TooLarge
    };
    let mut decoder = Decoder::new(answer.head.body);
    if decoder.remaining().is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(Bound::BufferedBody));
    }
    let mut body = worker.budget.buffer_body();
    while !decoder.is_done() {
        if answer.read_buffer.is_empty() {
            match worker.stall().within_io(answer.read_buffer.fill(reader, &worker.buffers)).await {
                Ok(0) => {
                    decoder.finish().map_err(|_| failed(Cause::Closed))?;
                    break;
                }
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                    worker.body_failed(&e);
                    return Err(failed(Cause::TimedOut));
                }
                Err(e) => return Err(failed(Cause::Io(e))),
            }
        }
        let step = decoder.decode(answer.read_buffer.pending()).map_err(|invalid| {
            worker.body_refused(invalid);
            malformed(invalid.0.why())
        })?;
        if let Some(range) = &step.data {
            if body.bytes().len() + range.len() > bytes_max {
                return Err(too_large(Bound::BufferedBody));
            }
            if !body.push(&answer.read_buffer.pending()[range.clone()]) {
                return Err(too_large(Bound::HeldBytes));
            }
        }
        answer.read_buffer.consume(step.consumed);
    }
    Ok(body)
}

fn malformed(why: &'static str) -> ProxyError {
    ProxyError::new(ExchangePhase::Await, Cause::Malformed(why))
}
