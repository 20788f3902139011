//! Sends a request and reads its whole response into memory: for forward authentication, error pages and buffering.

use std::cell::Cell;

use crate::config::snapshot::ServerEndpoint;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::BodyFraming;
use crate::limits::{self, Bound};
use crate::worker::message::collect::{CollectError, collect};
use crate::worker::message::stream::{
    HeadKind, MessageStream, MessageWriter, ReceivedHead, RelayError, ResponseReader,
};
use crate::worker::resources::client_info::{BoundState, ClientInfo};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::{Dial, VersionOffer};
use crate::worker::resources::memory_budget::BufferedBody;
use crate::worker::upstream::acquire::{Requirements, ServerConnection, open, requires_exclusive, take_open};
use crate::worker::upstream::connection::Reuse;
use crate::worker::upstream::faults::{body_cause, send_error};
use crate::worker::upstream::response_head::{read_final_head, read_head};
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
    /// The request has credentials that authenticate the connection.
    pub binds: bool,
    /// The client for whom the request is made, if its server may get a PROXY header.
    pub client: Option<&'a ClientInfo>,
    /// The client connection for which the request is made; `None` for a request of the proxy itself. Only for its owner an authenticated
    /// connection stays open.
    pub owner: Option<&'a BoundState>,
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
    let mut needs = Requirements {
        client: request.client,
        owner: request.owner,
        is_upgrade: false,
        binds: request.binds,
        is_head: request.is_head,
        is_repeated: response.repeated,
        is_probe: response.is_probe,
        needs_exclusive: false,
        counters: None,
    };
    let mut refusals = 0u8;
    loop {
        let opened = take_open(worker, request.endpoint, &needs);
        let is_reused = opened.is_some();
        let connection = match opened {
            Some(connection) => connection,
            None => open(worker, request.endpoint, needs).await?,
        };
        let offer = needs.offer(request.endpoint);
        match send_and_read(worker, &request, connection, offer, response).await {
            Err(FetchError::Failed(e)) if e.is_refused() && refusals < limits::REFUSALS_REPEATED_MAX => {
                refusals += 1;
                needs.needs_exclusive |= requires_exclusive(&e);
            }
            Err(FetchError::Failed(e)) if is_reused && may_repeat(&request, &e, response) => {
                response.repeated = true;
                needs.is_repeated = true;
            }
            done => return done,
        }
    }
}

/// Whether the request may be sent again after a pooled connection has failed: the server has not begun to answer, and the request is
/// repeatable or has certainly not been processed.
fn may_repeat(request: &FetchRequest<'_>, error: &ProxyError, response: &UpstreamResponse) -> bool {
    (request.repeatable && error.is_broken() && !response.has_begun) || response.is_unprocessed
}

async fn send_and_read<'w, D: Dial>(
    worker: &'w Worker<D>,
    request: &FetchRequest<'_>,
    connection: ServerConnection<'w, D::Io>,
    offer: VersionOffer,
    response: &mut UpstreamResponse,
) -> Result<BufferedBody<'w>, FetchError> {
    response.has_begun = false;
    let mut connection = match connection {
        ServerConnection::Exclusive(connection) => connection,
        ServerConnection::Shared(mut shared) => {
            return exchange(worker, request, &mut shared.stream(worker), response).await;
        }
    };
    let body = exchange(worker, request, &mut connection.stream(&worker.buffers), response).await;
    response.has_begun |= connection.has_unread();
    if let Err(FetchError::Failed(e)) = &body {
        let wire_bytes = request.head.len() + request.body.len();
        response.is_unprocessed = e.is_closed() && !response.has_begun && connection.has_unacknowledged(wire_bytes);
    }
    let is_reusable = body.is_ok() && response.head.keep_alive;
    let is_bound = request.binds || response.head.binds_connection || request.owner.is_some_and(|o| o.in_use.get());
    connection.release(
        worker,
        request.endpoint,
        offer,
        Reuse::of(is_reusable, is_bound, request.owner),
        &response.head.announced,
    );
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
    worker.timed(Bound::StalledBody, sent).map_err(send_error)?;
    let sent = Cell::new(true);
    if read_head(worker, reader, request.is_head, &sent, response).await? == ReceivedHead::Interim {
        // The response is read into memory: no client waits for informational responses.
        Box::pin(read_final_head(worker, reader, request.is_head, &sent, response, async |_| {})).await?;
    }
    if response.head.status == 101 {
        let cause = Cause::Malformed("101 to a request that asked for no upgrade");
        return Err(ProxyError::new(ExchangePhase::Await, cause).into());
    }
    let body = collect(reader, &worker.budget, request.body_bytes_max, worker.stall()).await;
    worker.log_deviations(request.endpoint, reader.deviations());
    body.map_err(|error| fetch_error(worker, error))
}

fn fetch_error<D: Dial>(worker: &Worker<D>, error: CollectError) -> FetchError {
    let bound = match error {
        CollectError::Failed(RelayError::Source(e) | RelayError::Sink(e)) => {
            worker.body_failed(&e);
            return ProxyError::new(ExchangePhase::Await, body_cause(e)).into();
        }
        CollectError::TooLarge => Bound::BufferedBody,
        CollectError::OutOfMemory => Bound::HeldBytes,
    };
    worker.exceeded(bound);
    FetchError::TooLarge
}
