//! Buffering: the whole request is read before it is sent to a server, and the whole response before it is sent to the client. An
//! expression may repeat the attempts (docs/reference/middlewares.md#buffering). Bodies stay in memory, limited in size; nothing is written
//! to disk.

use std::cell::Cell;

use super::attempt_error::{AttemptError, downstream_error};
use super::error_pages::{self, bounded};
use super::fetch::{FetchError, FetchRequest, fetch};
use super::frontend_reply::send_from_frontend;
use super::gzip;
use super::local_reply::{LocalReply, ReplySource};
use super::outbound::{is_idempotent, write_request_head};
use super::race::{First, race};
use super::reply::send_reply;
use super::request_body::{send_100_continue, wait_for_disconnect};
use super::request_record::RequestRecord;
use super::response_context::{self, ResponseContext, write_response_head};
use super::retry_state::{AttemptTarget, FinalReply, RetryState};
use super::trace;
use super::upgrade::note_bytes_ahead;
use crate::config::snapshot::Frontend;
use crate::http::{BodyFraming, Reply, Violation};
use crate::limits::{self, Bound};
use crate::middleware::buffering::Buffering;
use crate::middleware::error_pages::ErrorPageRequest;
use crate::worker::bounds::invalid_body;
use crate::worker::message::collect::{CollectError, collect};
use crate::worker::message::stream::{BodyReader, ConnectionDisposition, MessageStream, MessageWriter, RelayError};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::{ExchangeContext, UpstreamResponse};
use crate::worker::resources::dial::Dial;
use crate::worker::resources::memory_budget::BufferedBody;
use crate::worker::worker::Worker;

/// The result of the attempts of one round.
enum BufferedAttempt<'w> {
    /// The body of a whole response, whose head is in `ctx.response`.
    Whole(BufferedBody<'w>),
    TooLarge,
    GivenUp(FinalReply),
}

/// Forwards the request in `ctx` with `buffering`, and sends the client a response or, if there is none, a local reply.
pub async fn forward<'s, C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &'s Frontend,
    buffering: &Buffering,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'s>,
) -> ConnectionDisposition {
    let bytes_max = buffering
        .request_bytes_max
        .map_or(limits::BUFFERED_BODY_BYTES_MAX, |max| bounded(max, limits::BUFFERED_BODY_BYTES_MAX));
    let body = match collect_in_time(worker, bytes_max, ctx, client).await {
        Ok(body) => body,
        Err(RequestBodyError::Client(reply)) => {
            record.client_failed(reply.as_ref());
            let Some(reply) = reply else { return ConnectionDisposition::Close };
            return send_reply(worker, ctx, client, reply.closing()).await;
        }
        Err(RequestBodyError::Refused(reply)) => {
            let local_reply = buffering_reply(frontend, reply);
            record.local_reply(&local_reply, None);
            return send_from_frontend(worker, frontend, ctx, client, peer, record, local_reply, ReplySource::Inner)
                .await;
        }
    };
    ctx.body_read = true;
    note_bytes_ahead(&ctx.head, client.split().0, peer);
    let mut attempt = 1;
    let ended = loop {
        let attempts = attempt_servers(worker, frontend, buffering, &body, ctx, peer, record);
        let First::Response(ended) = race(wait_for_disconnect(worker, client.split().0), attempts).await else {
            record.client_failed(None);
            return ConnectionDisposition::Close;
        };
        let status = match &ended {
            BufferedAttempt::Whole(_) => ctx.response.head.status,
            BufferedAttempt::GivenUp(final_reply) => final_reply.local_reply.reply.status,
            BufferedAttempt::TooLarge => break ended,
        };
        if !buffering.again(attempt, ctx.view().method(), status) {
            break ended;
        }
        attempt += 1;
        record.retried();
        ctx.response.forget(&worker.buffers);
    };
    match ended {
        BufferedAttempt::Whole(response) => deliver(worker, frontend, response, ctx, client, peer, record).await,
        BufferedAttempt::TooLarge => {
            let local_reply = buffering_reply(frontend, Buffering::response_too_large());
            record.local_reply(&local_reply, None);
            send_from_frontend(worker, frontend, ctx, client, peer, record, local_reply, ReplySource::Inner).await
        }
        BufferedAttempt::GivenUp(FinalReply { local_reply, source }) => {
            record.final_reply(&local_reply, source);
            send_from_frontend(worker, frontend, ctx, client, peer, record, local_reply, source).await
        }
    }
}

/// A local reply of the buffering middleware, the innermost of the frontend's inner chain.
fn buffering_reply(frontend: &Frontend, reply: Reply) -> LocalReply {
    LocalReply { reply, log_label: None, chain_index: frontend.inner.middlewares().len().saturating_sub(1) }
}

/// Why the request's body could not be read.
pub enum RequestBodyError {
    /// The client broke off or sent bytes that are no body. The reply, if the client is still connected.
    Client(Option<Reply>),
    Refused(Reply),
}

/// Reads the request's whole body, of at most `bytes_max` bytes, within `readTimeout` if that is set.
pub async fn collect_in_time<'w, C: MessageStream, D: Dial>(
    worker: &'w Worker<D>,
    bytes_max: usize,
    ctx: &ExchangeContext,
    client: &mut C,
) -> Result<BufferedBody<'w>, RequestBodyError> {
    let work = collect_request(worker, bytes_max, ctx, client);
    let Some(limit) = worker.shared.timeouts.body_read else { return work.await };
    let elapsed = || {
        worker.exceeded(Bound::BodyRead);
        RequestBodyError::Client(Some(Reply::text(408, "Request Timeout")))
    };
    worker.deadlines.within(limit, work).await.unwrap_or_else(|_| Err(elapsed()))
}

async fn collect_request<'w, C: MessageStream, D: Dial>(
    worker: &'w Worker<D>,
    bytes_max: usize,
    ctx: &ExchangeContext,
    client: &mut C,
) -> Result<BufferedBody<'w>, RequestBodyError> {
    let (reader, writer) = client.split();
    if reader.remaining().is_some_and(|length| length > bytes_max as u64) {
        return Err(body_error(worker, CollectError::TooLarge));
    }
    if ctx.head.expect_continue && !reader.has_buffered() {
        let sent = send_100_continue(writer, worker.stall()).await;
        sent.map_err(|_| RequestBodyError::Client(None))?;
    }
    collect(reader, &worker.budget, bytes_max, worker.stall()).await.map_err(|error| body_error(worker, error))
}

fn body_error<D: Dial>(worker: &Worker<D>, error: CollectError) -> RequestBodyError {
    match error {
        CollectError::TooLarge => {
            worker.exceeded(Bound::BufferedBody);
            RequestBodyError::Refused(Buffering::request_too_large())
        }
        CollectError::OutOfMemory => {
            worker.exceeded(Bound::HeldBytes);
            RequestBodyError::Refused(Reply::text(503, "Service Unavailable"))
        }
        CollectError::Failed(RelayError::Source(e)) => {
            worker.body_failed(&e);
            if invalid_body(&e).is_some_and(|invalid| invalid.0 == Violation::BodyTruncated) {
                return RequestBodyError::Client(None);
            }
            match downstream_error(RelayError::Source(e)) {
                AttemptError::Downstream(reply) => RequestBodyError::Client(reply),
                _ => RequestBodyError::Client(None),
            }
        }
        CollectError::Failed(RelayError::Sink(_)) => RequestBodyError::Client(None),
    }
}

/// Makes attempts at one server after another, as `[retry]` allows, until one responds.
async fn attempt_servers<'w, 's, D: Dial>(
    worker: &'w Worker<D>,
    frontend: &'s Frontend,
    buffering: &Buffering,
    body: &BufferedBody<'w>,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
    record: &mut RequestRecord<'s>,
) -> BufferedAttempt<'w> {
    let backend = &frontend.backend;
    let body_bytes_max = buffering
        .response_bytes_max
        .map_or(limits::BUFFERED_BODY_BYTES_MAX, |max| bounded(max, limits::BUFFERED_BODY_BYTES_MAX));
    let outgoing = match ctx.head.body {
        BodyFraming::None => BodyFraming::None,
        _ => BodyFraming::Length(body.bytes().len() as u64),
    };
    let mut retries = RetryState::new(AttemptTarget::of(frontend), ctx);
    loop {
        let lease = match retries.next(worker, ctx, peer, || record.retried()).await {
            Ok(lease) => lease,
            Err(final_reply) => return BufferedAttempt::GivenUp(final_reply),
        };
        let endpoint = &backend.endpoints[lease.index];
        record.endpoint(endpoint, worker);
        trace::begin_attempt(worker, ctx, frontend, endpoint);
        let mut head = Vec::with_capacity(ctx.bytes.len() + 512);
        write_request_head(worker, frontend, endpoint, ctx, peer, outgoing, &mut head);
        let is_head = ctx.view().method() == b"HEAD";
        let repeatable = is_idempotent(ctx) && ctx.head.body == BodyFraming::None;
        let binds = ctx.view().binds_connection();
        let (client, owner, body) = (Some(peer), Some(&peer.bound), body.bytes());
        let request = FetchRequest { head, body, is_head, repeatable, body_bytes_max, endpoint, binds, client, owner };
        ctx.response.is_probe = lease.is_probe;
        let error = match fetch(worker, request, &mut ctx.response).await {
            Ok(response) => {
                if let Some(cookie) = backend.balancer.set_cookie(&lease) {
                    ctx.response.edits.add(b"Set-Cookie", cookie.as_bytes());
                }
                let status = ctx.response.head.status;
                record.response_received(status, worker);
                trace::ended(worker, ctx, status);
                backend.balancer.record(&lease, status, worker.clock.mono_nanos());
                return BufferedAttempt::Whole(response);
            }
            Err(FetchError::TooLarge) => {
                trace::failed(worker, ctx, &"response too long");
                return BufferedAttempt::TooLarge;
            }
            Err(FetchError::Failed(error)) => error,
        };
        let repeats = !error.is_unsent() && repeatable && error.is_broken() && !ctx.response.repeated;
        ctx.response.repeated |= repeats;
        ctx.response.forget(&worker.buffers);
        trace::failed(worker, ctx, &error);
        worker.log_upstream_error(frontend, endpoint, &error, trace::ids(ctx));
        worker.note_failure(ctx, &error);
        backend.balancer.record(&lease, error.answer().0, worker.clock.mono_nanos());
        if !retries.on_failure(&lease, error, repeats) {
            return BufferedAttempt::GivenUp(retries.final_reply());
        }
    }
}

/// Sends a whole response to the client, or the error page that replaces it.
async fn deliver<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    response: BufferedBody<'_>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> ConnectionDisposition {
    if let Some(page_request) = run_response_chain(worker, frontend, ctx, peer) {
        drop(response);
        return error_pages::serve(worker, frontend, &page_request, ctx, client, peer, record).await;
    }
    let compressed = gzip::compress(&ctx.chain_state, &mut ctx.response, response.bytes());
    let body = compressed.as_deref().unwrap_or(response.bytes());
    let framing = match ctx.response.head.body {
        BodyFraming::None => BodyFraming::None,
        _ => BodyFraming::Length(body.len() as u64),
    };
    let (request_sent, response_started) = (Cell::new(true), Cell::new(false));
    let (context, response_head) = response_context_of(ctx, peer, &request_sent, &response_started);
    let writer = client.split().1;
    let keep_alive = write_response_head(worker, &context, response_head, framing, writer);
    let sent_body = if framing == BodyFraming::None { &[] } else { body };
    record.delivered_whole(response.bytes().len() as u64, body.len() as u64);
    context.chain_state.release_permits();
    let sent = writer.send_body(sent_body, !keep_alive, worker.stall()).await;
    match worker.timed(Bound::StalledBody, sent) {
        Ok(()) if keep_alive => ConnectionDisposition::KeepAlive,
        Ok(()) => ConnectionDisposition::Close,
        Err(_) => {
            record.client_failed(None);
            ConnectionDisposition::Close
        }
    }
}

fn run_response_chain<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Option<ErrorPageRequest> {
    let (request_sent, response_started) = (Cell::new(true), Cell::new(false));
    let (mut context, response) = response_context_of(ctx, peer, &request_sent, &response_started);
    response_context::run_response_chain(worker, frontend, &mut context, response)
}

/// The context of a response whose body is in memory, and the response's head.
fn response_context_of<'a>(
    ctx: &'a mut ExchangeContext,
    peer: &'a ClientInfo,
    request_sent: &'a Cell<bool>,
    response_started: &'a Cell<bool>,
) -> (ResponseContext<'a>, &'a mut UpstreamResponse) {
    let ExchangeContext { head, bytes, edits, chain_state, response, target, path, .. } = ctx;
    let target = if path.changed { Some(&*target) } else { None };
    let context = ResponseContext {
        head,
        bytes,
        edits,
        chain_state,
        target,
        path,
        peer,
        cookie: None,
        request_sent,
        response_started,
    };
    (context, response)
}
