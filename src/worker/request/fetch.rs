//! Sends a request and reads its whole response into memory: for forward authentication, error pages and buffering.

use std::cell::Cell;
use std::io;

use crate::config::snapshot::ServerEndpoint;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::{BodyFraming, Violation};
use crate::limits::Bound;
use crate::worker::bounds::invalid_body;
use crate::worker::message::collect::{CollectError, collect};
use crate::worker::message::stream::{HeadKind, MessageStream, MessageWriter, RelayError, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::resources::memory_budget::BufferedBody;
use crate::worker::upstream::connection::{ExclusiveConnection, connect};
use crate::worker::upstream::response_head::read_head;
use crate::worker::worker::Worker;

/// A request ready to be sent.
pub struct FetchRequest<'a> {
    pub head: Vec<u8>,
    pub body: &'a [u8],
    /// The request is a HEAD: its response has no body.
    pub is_head: bool,
    /// The request may be sent again if a pooled connection turns out to be stale (RFC 9110 9.2.2). No request with a body may.
    pub repeatable: bool,
    /// The longest body of a response, in bytes.
    pub body_bytes_max: usize,
    pub endpoint: &'a ServerEndpoint,
}

/// Why a fetch brought no whole response.
#[derive(Debug)]
pub enum FetchError {
    Failed(ProxyError),
    /// The body is longer than the request allows, or the worker's memory budget would be exceeded. The response's head has been read.
    TooLarge,
}

impl From<ProxyError> for FetchError {
    fn from(error: ProxyError) -> Self {
        FetchError::Failed(error)
    }
}

/// Sends the request. Reads the response's head into `response`, and returns its body.
///
/// # Errors
/// See [`FetchError`]; the connection is closed then.
pub async fn fetch<'w, D: Dial>(
    worker: &'w Worker<D>,
    request: FetchRequest<'_>,
    response: &mut UpstreamResponse,
) -> Result<BufferedBody<'w>, FetchError> {
    if let Some(pooled) = worker.take_pooled(request.endpoint, response) {
        match send_and_read(worker, &request, ExclusiveConnection::new(pooled), response).await {
            Err(FetchError::Failed(e)) if request.repeatable && e.is_broken() && !response.has_begun => {
                response.repeated = true;
            }
            done => return done,
        }
    }
    let fresh = connect(worker, request.endpoint).await?;
    send_and_read(worker, &request, ExclusiveConnection::new(fresh), response).await
}

async fn send_and_read<'w, D: Dial>(
    worker: &'w Worker<D>,
    request: &FetchRequest<'_>,
    mut connection: ExclusiveConnection<D::Io>,
    response: &mut UpstreamResponse,
) -> Result<BufferedBody<'w>, FetchError> {
    let body = exchange(worker, request, &mut connection.stream(&worker.buffers), response).await;
    response.has_begun = connection.has_unread();
    let is_reusable = body.is_ok() && response.head.keep_alive;
    connection.release(worker, request.endpoint, is_reusable);
    body
}

async fn exchange<'w, U: MessageStream<Reader: ResponseReader>, D: Dial>(
    worker: &'w Worker<D>,
    request: &FetchRequest<'_>,
    upstream: &mut U,
    response: &mut UpstreamResponse,
) -> Result<BufferedBody<'w>, FetchError> {
    let (reader, writer) = upstream.split();
    writer.head().extend_from_slice(&request.head);
    writer.head_complete(HeadKind::Final(BodyFraming::Length(request.body.len() as u64)));
    let sent = writer.send_body(request.body, false, worker.stall()).await;
    worker.timed(Bound::StalledBody, sent).map_err(|e| ProxyError::new(ExchangePhase::Send, Cause::Io(e)))?;
    read_head(worker, reader, request.is_head, &Cell::new(true), response).await?;
    if response.head.status == 101 {
        let cause = Cause::Malformed("101 to a request that asked for no upgrade");
        return Err(ProxyError::new(ExchangePhase::Await, cause).into());
    }
    collect(reader, &worker.budget, request.body_bytes_max, worker.stall())
        .await
        .map_err(|error| fetch_error(worker, error))
}

fn fetch_error<D: Dial>(worker: &Worker<D>, error: CollectError) -> FetchError {
    let bound = match error {
        CollectError::Failed(RelayError::Source(e) | RelayError::Sink(e)) => {
            worker.body_failed(&e);
            return ProxyError::new(ExchangePhase::Await, cause_of(e)).into();
        }
        CollectError::TooLarge => Bound::BufferedBody,
        CollectError::OutOfMemory => Bound::HeldBytes,
    };
    worker.exceeded(bound);
    FetchError::TooLarge
}

fn cause_of(error: io::Error) -> Cause {
    match invalid_body(&error) {
        Some(invalid) if invalid.0 == Violation::BodyTruncated => Cause::Closed,
        Some(invalid) => Cause::Malformed(invalid.0.why()),
        None if error.kind() == io::ErrorKind::TimedOut => Cause::TimedOut,
        None => Cause::Io(error),
    }
}
